import StrictJSON

extension Results {
    /// The value that `results.json` holds; keys in fixed order, nothing that depends on time or machine.
    public var json: JSON {
        [
            "schema": .string(Results.schema),
            "scoreVersion": .integer(Results.scoreVersion),
            "implementation": ["name": .string(implementation.name), "version": .string(implementation.version)],
            "reference": [
                "name": .string(referenceName), "total": .integer(reference.total), "passed": .integer(reference.passed),
                "failed": .integer(reference.failed), "notRun": .integer(reference.notRun),
            ],
            "corpusDigest": .string(corpusDigest),
            "toolVersion": .string(toolVersion),
            "seed": .integer(seed),
            "score": .optional(score),
            "coverage": .optional(coverage),
            "layers": .object(layersJSON),
            "requirements": .array(requirements.map(\.json)),
            "vectors": [
                "cases": .integer(vectors.cases), "passed": .integer(vectors.passed), "fieldsExpected": .integer(vectors.fieldsExpected),
                "fieldsCompared": .integer(vectors.fieldsCompared),
            ],
            "bundles": .array(
                bundles.map {
                    [
                        "name": .string($0.name), "packets": .integer($0.packets), "unexplained": .integer($0.unexplained),
                        "verdict": .string($0.verdict.rawValue),
                    ]
                }),
        ]
    }

    private var layersJSON: JSONObject {
        var object = JSONObject()
        for layer in layers {
            object.set(
                layer.name,
                [
                    "score": .optional(layer.score), "coverage": .optional(layer.coverage), "total": .integer(layer.counts.total),
                    "passed": .integer(layer.counts.passed), "failed": .integer(layer.counts.failed),
                    "notRun": .integer(layer.counts.notRun),
                ])
        }
        return object
    }
}

extension Results.RequirementEntry {
    var json: JSON {
        [
            "id": .string(id), "layer": .string(layer), "level": .string(level.rawValue), "kind": .string(kind.rawValue),
            "verdict": .string(verdict.rawValue), "reason": .string(reason), "checks": .array(checks.map(\.json)),
        ]
    }
}

extension Results.CheckEntry {
    var json: JSON {
        [
            "id": .string(id), "tier": .string(tier.rawValue), "subject": .string(subject.description),
            "verdict": .string(verdict.rawValue), "evidence": evidence.json,
        ]
    }
}

extension Results.Evidence {
    var json: JSON {
        [
            "comparisons": .integer(comparisons), "reason": .string(reason), "allowances": .array(allowances.map { .string($0) }),
            "findings": .array(
                findings.map {
                    [
                        "field": .string($0.field), "expected": .string($0.expected), "actual": .string($0.actual),
                        "location": .string($0.location), "kind": .string($0.kind.rawValue),
                    ]
                }),
            "kills": .array(kills.map { .string($0) }),
        ]
    }
}

extension JSON {
    static func optional(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
}
