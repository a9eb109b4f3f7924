"""As much of JSON Schema as the contract's schema uses. Anything else in a schema is an error, so that nothing passes unread."""

import json
import re
from pathlib import Path

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "peer-contract.schema.json").read_text())
ANNOTATIONS = {"$schema", "$id", "$defs", "title", "description"}
TYPES = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
}


def definition(path):
    node = SCHEMA["$defs"]
    for part in path.split("/", 1):
        node = node[part]
    return node


def faults(value, schema, at="line"):
    """What is wrong with a value, as a list of texts."""
    out = []
    for key, rule in schema.items():
        if key in ANNOTATIONS:
            continue
        if key == "$ref":
            out += faults(value, definition(rule.removeprefix("#/$defs/")), at)
        elif key == "type":
            if not TYPES[rule](value):
                return [f"{at} is no {rule}: {value!r}"]
        elif key == "const":
            if value != rule or type(value) is not type(rule):
                out.append(f"{at} is not {rule!r}")
        elif key == "enum":
            if value not in rule:
                out.append(f"{at} is none of {rule}")
        elif key == "pattern":
            if isinstance(value, str) and not re.search(rule, value):
                out.append(f"{at} does not look like {rule}: {value!r}")
        elif key == "minimum":
            if value < rule:
                out.append(f"{at} is below {rule}")
        elif key == "maximum":
            if value > rule:
                out.append(f"{at} is above {rule}")
        elif key == "maxItems":
            if len(value) > rule:
                out.append(f"{at} has more than {rule} items")
        elif key == "items":
            for i, item in enumerate(value):
                out += faults(item, rule, f"{at}[{i}]")
        elif key == "required":
            out += [f"{at}.{name} is missing" for name in rule if name not in value]
        elif key == "properties":
            for name, sub in rule.items():
                if name in value:
                    out += faults(value[name], sub, f"{at}.{name}")
        elif key == "additionalProperties":
            others = [name for name in value if name not in schema.get("properties", {})]
            if rule is False:
                out += [f"{at}.{name} is not in the contract" for name in others]
            elif rule is not True:
                for name in others:
                    out += faults(value[name], rule, f"{at}.{name}")
        elif key in ("oneOf", "anyOf"):
            passing = sum(not faults(value, option, at) for option in rule)
            if passing == 0 or (key == "oneOf" and passing > 1):
                out.append(f"{at} fits {passing} of {len(rule)} forms: {value!r}")
        else:
            raise NotImplementedError(key)
    return out
