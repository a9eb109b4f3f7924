"""Two nodes: one bootstraps from the other, announces a topic, and is found.

    python3 quickstart.py                             hyperconform-peer, or the Node peer, whichever is there
    python3 quickstart.py "node ../../node/peer.mjs"  any command line
"""

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hyperconform_peer import Swarm

peer = sys.argv[1] if len(sys.argv) > 1 else None
topic = hashlib.sha256(b"my-app-topic").digest()

with Swarm(port=8001, peer=peer) as first, Swarm(port=8002, peer=peer) as second:
    print("first node at", *first.address)
    second.bootstrap("127.0.0.1", 8001)
    stored = second.announce(topic, 8002)
    print(f"announced to {stored} node(s)")
    peers = first.get_peers(topic) or second.get_peers(topic)
    for found in peers:
        print("found", found["publicKey"])
    assert [found["publicKey"] for found in peers] == [second.public_key]
