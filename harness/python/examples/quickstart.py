"""A node, another to bootstrap from, an announcement, and a lookup that finds it.

    python3 quickstart.py                             hyperconform-peer, or the Node peer, whichever is there
    python3 quickstart.py "node ../../node/peer.mjs"  any command line
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hyperconform_peer import Swarm

peer = sys.argv[1] if len(sys.argv) > 1 else None

# A node on a random port
node = Swarm(peer=peer)
print(f"Node started on port {node.port}")

# Another node to bootstrap from
bootstrap_node = Swarm(port=8000, peer=peer)
print(f"Bootstrap node on port {bootstrap_node.port}")

node.bootstrap("127.0.0.1", bootstrap_node.port)

# Announce a topic, and find who is there: ourselves
topic = bytes(32)
print("Announced to", node.announce(topic, node.port), "node(s)")
peers = node.get_peers(topic)
print("Found peers:", peers)

node.close()
bootstrap_node.close()
sys.exit(0 if [found["publicKey"] for found in peers] == [node.public_key] else 1)
