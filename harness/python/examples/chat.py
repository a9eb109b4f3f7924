"""A chat among everybody who joins the same topic.

    python3 chat.py --bootstrap 127.0.0.1:49737 --name alice my-room

Type lines; an empty line, or the end of the input, leaves. --peer names the implementation to run on; they all understand each other.
"""

import argparse
import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hyperconform_peer import Swarm

parser = argparse.ArgumentParser()
parser.add_argument("room")
parser.add_argument("--name", default="somebody")
parser.add_argument("--bootstrap", required=True, help="host:port of a node of the network")
parser.add_argument("--peer", help="command line of a peer process")
options = parser.parse_args()

host, port = options.bootstrap.rsplit(":", 1)
topic = hashlib.sha256(options.room.encode()).digest()


def connected(connection, info):
    print(f"* {connection.remote_public_key[:8]} is here", flush=True)
    connection.on("data", lambda data: print(data.decode(errors="replace"), flush=True))
    connection.on("close", lambda error: print(f"* {connection.remote_public_key[:8]} has left", flush=True))
    connection.on("end", connection.end)


with Swarm(peer=options.peer) as swarm:
    swarm.on("connection", connected)
    swarm.bootstrap(host, int(port))
    swarm.join(topic)
    swarm.flush()
    print(f"* {len(swarm.connections)} here", flush=True)
    for line in sys.stdin:
        if not line.strip():
            break
        swarm.send(f"{options.name}: {line.strip()}")
    for connection in swarm.connections:
        connection.flush()
