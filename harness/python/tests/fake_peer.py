"""A peer without a network: it stands for a whole one in the tests of the client. It also misbehaves when told to."""

import json
import sys
import time

TOPICS = {}
SEEDED = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
streams = 100


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def event(name, **fields):
    say({"event": name, "t": time.time_ns() // 1000, **fields})


def node(n):
    return {"id": None, "host": "127.0.0.1", "port": 49737 + n}


for text in sys.stdin:
    request = json.loads(text)
    number, command = request["id"], request["command"]
    ok = {"id": number, "ok": True}
    if command == "hello":
        say({**ok, "contract": 1, "name": "fake", "language": "python", "versions": {}, "commands": ["hello", "start"], "layers": ["dht", "swarm"]})
    elif command == "start":
        say({
            **ok, "node": 1, "publicKey": SEEDED, "address": {"host": request["host"], "port": request.get("port") or 40000}, "clientPort": 40001,
            "remoteAddress": None, "nodeId": None, "ephemeral": True, "firewalled": True, "bootstrapped": True,
        })
    elif command == "announce":
        TOPICS.setdefault(request["topic"], []).append(SEEDED)
        say({**ok, "closestNodes": [node(0), node(1)]})
    elif command == "lookup":
        peers = [{"publicKey": key, "relayAddresses": []} for key in TOPICS.get(request["topic"], [])]
        say({**ok, "results": [{"from": node(0), "peers": peers}, {"from": node(1), "peers": peers}], "closestNodes": []})
    elif command == "join":
        say(ok)
        streams += 1
        event(
            "connection", node=1, stream=streams, publicKey=SEEDED, remotePublicKey="11" * 32, handshakeHash="22" * 64, initiator=True,
            remoteAddress=None, udx=None, client=True, topics=[request["topic"]],
        )
        event("data", stream=streams, data=b"hello from afar".hex())
    elif command == "write":
        say({**ok, "drained": True})
        event("data", stream=request["stream"], data=request["data"])
    elif command == "end":
        say(ok)
        event("end", stream=request["stream"])
        event("close", stream=request["stream"], error=None)
    elif command == "flush":
        say({**ok, "flushed": True})
    elif command == "leave":
        say({"id": number, "error": {"code": "BAD_REQUEST", "message": "not joined"}})
    elif command == "clock":
        sys.stdout.write("this is not JSON\n")
        say({**ok, "t": 1})
    elif command == "suspend":
        sys.stderr.write("a last word\n")
        sys.stderr.flush()
        sys.exit(3)
    elif command == "resume":
        pass  # silence
    elif command == "close":
        say(ok)
    else:
        say({"id": number, "unsupported": True})
