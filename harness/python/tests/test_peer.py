"""A real peer against the contract: every command it says it has, each line held against the schema.

    HYPERCONFORM_PEER="node ../node/peer.mjs" python3 -m unittest tests.test_peer

Everything stays on 127.0.0.1. Without HYPERCONFORM_PEER the tests are skipped.
"""

import hashlib
import json
import os
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hyperconform_peer import PeerError, PeerProcess, PeerUnsupported, Swarm
from tests.schema import SCHEMA, definition, faults

COMMAND = os.environ.get("HYPERCONFORM_PEER")


class Driven(PeerProcess):
    """A peer whose lines are all checked, and whose events can be waited for."""

    def __init__(self):
        self.events = []
        self.faults = []
        self.news = threading.Condition()
        super().__init__(COMMAND, on_event=self._keep)

    def request(self, command, timeout=None, **arguments):
        results = super().request(command, timeout, **arguments)
        if command in SCHEMA["$defs"]["results"]:
            self.faults += faults({"id": 0, "ok": True, **results}, definition("results/" + command), command)
        return results

    def _keep(self, event):
        if event["event"] in SCHEMA["$defs"]["events"]:
            self.faults += faults(event, definition("events/" + event["event"]), event["event"])
        with self.news:
            self.events.append(event)
            self.news.notify_all()

    def wait(self, name, timeout=20, count=1, **fields):
        """The first (or the count-th) event of that name whose fields are these."""

        def matching():
            return [e for e in self.events if e["event"] == name and all(e.get(k) == v for k, v in fields.items())]

        with self.news:
            if not self.news.wait_for(lambda: len(matching()) >= count, timeout):
                raise AssertionError(f"no {name} with {fields}; events were {[e['event'] for e in self.events]}")
            return matching()[count - 1]

    def received(self, stream, length, timeout=20):
        def data():
            return b"".join(bytes.fromhex(e["data"]) for e in self.events if e["event"] == "data" and e["stream"] == stream)

        with self.news:
            if not self.news.wait_for(lambda: len(data()) >= length, timeout):
                raise AssertionError(f"{len(data())} of {length} bytes came")
            return data()


def pattern(length):
    return bytes((k + (k >> 8) + (k >> 16)) & 0xFF for k in range(length))


@unittest.skipUnless(COMMAND, "HYPERCONFORM_PEER names no peer")
class Peer(unittest.TestCase):
    def setUp(self):
        self.peer = Driven()
        self.addCleanup(self._finish)

    def _finish(self):
        self.assertEqual(self.peer.close(), 0)
        self.assertEqual(self.peer.faults, [])

    def need(self, *commands):
        for command in commands:
            if command not in self.peer.description["commands"]:
                self.skipTest(f"the peer has no {command}")

    def network(self, size=4):
        """A small network: the addresses to bootstrap from, and its nodes."""
        self.need("start")
        first = self.peer.request("start", bootstrap=[], port=0, ephemeral=False, firewalled=False)
        self.bootstrap = [first["address"]]
        nodes = [first]
        for _ in range(size - 1):
            nodes.append(self.peer.request("start", bootstrap=self.bootstrap, port=0, ephemeral=False, firewalled=False))
        return nodes

    def node(self, **options):
        return self.peer.request("start", bootstrap=self.bootstrap, port=0, **options)["node"]

    def code(self, command, **arguments):
        with self.assertRaises(PeerError) as caught:
            self.peer.request(command, **arguments)
        return caught.exception.code

    # --- the frame

    def test_nonsense_is_unsupported(self):
        with self.assertRaises(PeerUnsupported):
            self.peer.request("frobnicate", anything=1)

    def test_bad_requests_are_refused(self):
        self.need("start", "listen")
        self.assertEqual(self.code("start"), "BAD_REQUEST")  # there is no default bootstrap list
        self.assertEqual(self.code("start", bootstrap=[], nonsense=1), "BAD_REQUEST")
        self.assertEqual(self.code("start", bootstrap=[], seed="00"), "BAD_REQUEST")
        self.assertEqual(self.code("listen", node=12345), "UNKNOWN_HANDLE")

    def test_clock(self):
        self.need("clock")
        self.assertLess(abs(self.peer.request("clock")["t"] - time.time() * 1e6), 5e6)

    # --- the DHT

    def test_operations(self):
        self.need("ping", "announce", "lookup", "mutablePut", "immutablePut", "request")
        nodes = self.network()
        a, b = self.node(), self.node()
        target = nodes[1]["address"]
        pong = self.peer.request("ping", node=a, **target)
        self.assertEqual(pong["from"]["id"], nodes[1]["nodeId"])
        self.peer.request("ping", node=a, size=500, **target)
        delayed = self.peer.request("delayedPing", node=a, delayMilliseconds=100, **target)
        self.assertGreaterEqual(delayed["rttMilliseconds"], 95)
        self.assertTrue(self.peer.request("findNode", node=a, target=bytes(32))["closestNodes"])

        topic, seed = hashlib.sha256(b"topic").digest(), bytes([7] * 32)
        stored = self.peer.request("announce", node=a, topic=topic, seed=seed, relayAddresses=[target])
        self.assertTrue(stored["closestNodes"])
        found = [p for r in self.peer.request("lookup", node=b, topic=topic)["results"] for p in r["peers"]]
        self.assertTrue(found)
        self.assertEqual({len(p["publicKey"]) for p in found}, {64})
        self.assertEqual(found[0]["relayAddresses"], [target])
        self.peer.request("unannounce", node=a, topic=topic, seed=seed)
        self.assertEqual([p for r in self.peer.request("lookup", node=b, topic=topic)["results"] for p in r["peers"]], [])

        put = self.peer.request("mutablePut", node=a, seed=seed, value=b"one", seq=1)
        got = self.peer.request("mutableGet", node=b, publicKey=put["publicKey"])
        self.assertEqual((got["found"], got["seq"], got["value"]), (True, 1, b"one".hex()))
        self.assertEqual(got["signature"], put["signature"])
        self.assertFalse(self.peer.request("mutableGet", node=b, publicKey=put["publicKey"], seq=2)["found"])
        put = self.peer.request("immutablePut", node=a, value=b"value")
        self.assertEqual(put["hash"], hashlib.blake2b(b"value", digest_size=32).hexdigest())
        self.assertEqual(self.peer.request("immutableGet", node=b, hash=put["hash"])["value"], b"value".hex())
        self.assertFalse(self.peer.request("immutableGet", node=b, hash=bytes(32))["found"])

        self.assertEqual(self.peer.request("request", node=a, number=99, target=bytes(32), **target)["errorCode"], 1)
        bad = self.peer.request("request", node=a, number=4, target=topic, token=bytes(32), value=b"x", **target)
        self.assertEqual(bad["errorCode"], 2)
        self.assertIsNotNone(bad["token"])
        if "query" in self.peer.description["commands"]:
            self.assertTrue(self.peer.request("query", node=a, number=3, target=topic)["replies"])
        self.assertGreater(self.peer.request("stats", node=a)["tableSize"], 0)
        self.peer.request("info", node=a)
        self.peer.request("close", node=a)
        self.assertEqual(self.code("info", node=a), "UNKNOWN_HANDLE")

    def test_a_dead_host_times_out(self):
        self.need("request")
        self.network(2)
        self.assertEqual(self.code("request", node=self.node(), number=3, target=bytes(32), host="127.0.0.1", port=9, retry=False), "REQUEST_TIMEOUT")

    # --- connections

    def test_connect_and_echo(self):
        self.need("listen", "connect")
        self.network()
        server, client = self.node(firewalled=False), self.node()
        listening = self.peer.request("listen", node=server, seed=bytes([9] * 32), receive="echo")
        stream = self.peer.request("connect", node=client, publicKey=listening["publicKey"])["stream"]
        self.peer.request("write", stream=stream, data=b"hello")
        opened = self.peer.wait("open", stream=stream)
        connection = self.peer.wait("connection", server=listening["server"])
        self.assertEqual(opened["handshakeHash"], connection["handshakeHash"])
        self.assertEqual(opened["remotePublicKey"], listening["publicKey"])
        self.assertEqual((opened["initiator"], connection["initiator"]), (True, False))
        self.assertEqual(self.peer.received(stream, 5), b"hello")
        self.peer.request("write", stream=stream, generate=100000)
        self.assertEqual(self.peer.received(stream, 100005)[5:], pattern(100000))
        digest = self.peer.request("digest", stream=stream)
        self.assertEqual(digest, {"bytes": 100005, "sha256": hashlib.sha256(b"hello" + pattern(100000)).hexdigest()})
        self.assertTrue(self.peer.request("flush", stream=stream)["flushed"])
        self.peer.request("send", stream=stream, data=b"unordered")
        self.assertEqual(self.peer.wait("message", stream=stream)["data"], b"unordered".hex())
        self.peer.request("stats", stream=stream)
        self.peer.request("end", stream=stream)
        self.peer.wait("end", stream=stream)
        self.assertIsNone(self.peer.wait("close", stream=stream)["error"])
        self.assertIsNone(self.peer.wait("close", stream=connection["stream"])["error"])
        self.peer.request("close", server=listening["server"])

    def test_nobody_has_the_key(self):
        self.need("connect")
        self.network()
        stream = self.peer.request("connect", node=self.node(), publicKey=bytes([3] * 32))["stream"]
        self.assertEqual(self.peer.wait("close", stream=stream)["error"]["code"], "PEER_NOT_FOUND")

    def test_the_firewall_refuses(self):
        self.need("listen", "connect")
        self.network()
        listening = self.peer.request("listen", node=self.node(firewalled=False), firewall={"allow": []})
        stream = self.peer.request("connect", node=self.node(), publicKey=listening["publicKey"])["stream"]
        self.assertTrue(self.peer.wait("firewall", server=listening["server"])["refused"])
        self.assertEqual(self.peer.wait("close", stream=stream, timeout=30)["error"]["code"], "PEER_CONNECTION_FAILED")

    def test_relayed(self):
        self.need("relay", "listen", "connect")
        self.network()
        relay = self.peer.request("relay", node=self.node(ephemeral=False, firewalled=False))
        server = self.peer.request(
            "listen", node=self.node(), relayThrough=relay["publicKey"], shareLocalAddress=False, receive="echo"
        )
        stream = self.peer.request(
            "connect", node=self.node(), publicKey=server["publicKey"], relayThrough=relay["publicKey"], localConnection=False, fastOpen=False
        )["stream"]
        self.peer.request("write", stream=stream, data=b"round about")
        self.assertEqual(self.peer.received(stream, 11), b"round about")

    # --- swarms

    def test_swarms_meet(self):
        self.need("join", "flush")
        self.network()
        topic = hashlib.sha256(b"meet").digest()
        a = self.node(kind="swarm", receive="echo")
        b = self.node(kind="swarm")
        self.peer.request("join", node=a, topic=topic, server=True, client=False)
        self.assertTrue(self.peer.request("flush", node=a, topic=topic)["flushed"])
        self.peer.request("join", node=b, topic=topic, server=False, client=True)
        self.peer.request("flush", node=b)
        met = self.peer.wait("connection", node=b)
        self.assertEqual((met["client"], met["topics"]), (True, [topic.hex()]))
        self.assertFalse(self.peer.wait("connection", node=a)["client"])
        self.peer.request("write", stream=met["stream"], data=b"hi")
        self.assertEqual(self.peer.received(met["stream"], 2), b"hi")
        self.assertEqual([p["connected"] for p in self.peer.request("peers", node=b)["peers"]], [True])
        self.peer.request("suspend", node=b)
        self.peer.wait("close", stream=met["stream"])
        self.peer.request("resume", node=b)
        self.peer.wait("connection", node=b, count=2, timeout=40)
        self.peer.request("leave", node=b, topic=topic)
        self.peer.request("stats", node=b)

    def test_join_peer_and_ban(self):
        self.need("joinPeer", "leavePeer", "ban")
        self.network()
        a = self.peer.request("start", kind="swarm", bootstrap=self.bootstrap, port=0)
        b = self.node(kind="swarm")
        self.peer.request("join", node=a["node"], topic=bytes(32), server=True, client=False)
        self.peer.request("flush", node=a["node"])
        self.peer.request("joinPeer", node=b, publicKey=a["publicKey"])
        self.peer.wait("connection", node=b)
        self.peer.request("leavePeer", node=b, publicKey=a["publicKey"])
        self.peer.request("ban", node=b, publicKey=a["publicKey"])

    # --- UDX

    def test_udx(self):
        self.need("udx.bind", "udx.stream", "udx.connect")
        a, b = self.peer.request("udx.bind"), self.peer.request("udx.bind", port=0)
        self.peer.request("udx.socketSend", socket=a["socket"], data=b"plain", **b["address"])
        self.assertEqual(self.peer.wait("socketMessage", socket=b["socket"])["data"], b"plain".hex())
        one = self.peer.request("udx.stream", localId=1001)["stream"]
        two = self.peer.request("udx.stream", localId=2002, receive="echo")["stream"]
        self.peer.request("udx.connect", stream=two, socket=b["socket"], remoteId=1001, **a["address"])
        self.peer.request("udx.connect", stream=one, socket=a["socket"], remoteId=2002, **b["address"])
        self.peer.request("write", stream=one, generate=50000)
        self.assertEqual(self.peer.received(one, 50000), pattern(50000))
        self.assertTrue(self.peer.request("flush", stream=one)["flushed"])
        self.peer.request("send", stream=one, data=b"m")
        self.assertEqual(self.peer.wait("message", stream=one)["data"], b"m".hex())
        self.peer.request("stats", stream=one)
        self.peer.request("end", stream=one)
        self.assertIsNone(self.peer.wait("close", stream=one)["error"])
        self.assertIsNone(self.peer.wait("close", stream=two)["error"])
        self.peer.request("close", socket=a["socket"])

    def test_udx_first_sequence_and_destroy(self):
        self.need("udx.bind", "udx.stream", "udx.connect", "destroy")
        a, b = self.peer.request("udx.bind"), self.peer.request("udx.bind")
        try:
            one = self.peer.request("udx.stream", localId=1, firstSequence=4294967290)["stream"]
        except PeerUnsupported:
            self.skipTest("the peer can't choose its first sequence number")
        two = self.peer.request("udx.stream", localId=2)["stream"]
        self.peer.request("udx.connect", stream=two, socket=b["socket"], remoteId=1, acknowledged=4294967290, **a["address"])
        self.peer.request("udx.connect", stream=one, socket=a["socket"], remoteId=2, **b["address"])
        self.peer.request("write", stream=one, generate=20000)
        self.assertEqual(self.peer.received(two, 20000), pattern(20000))
        self.peer.request("destroy", stream=one)
        self.assertEqual(self.peer.wait("close", stream=two)["error"]["code"], "ECONNRESET")

    def test_udx_relay_and_change_remote(self):
        self.need("udx.relay", "udx.changeRemote")
        a, r, b, moved = (self.peer.request("udx.bind") for _ in range(4))
        one = self.peer.request("udx.stream", localId=1)["stream"]
        two = self.peer.request("udx.stream", localId=2)["stream"]
        left = self.peer.request("udx.stream", localId=11)["stream"]
        right = self.peer.request("udx.stream", localId=12)["stream"]
        self.peer.request("udx.relay", stream=left, to=right)
        self.peer.request("udx.relay", stream=right, to=left)
        self.peer.request("udx.connect", stream=left, socket=r["socket"], remoteId=1, **a["address"])
        self.peer.request("udx.connect", stream=right, socket=r["socket"], remoteId=2, **b["address"])
        self.peer.request("udx.connect", stream=one, socket=a["socket"], remoteId=11, **r["address"])
        self.peer.request("udx.connect", stream=two, socket=b["socket"], remoteId=12, **r["address"])
        self.peer.request("write", stream=one, data=b"by way of the relay")
        self.assertEqual(self.peer.received(two, 19), b"by way of the relay")

    def test_udx_half_open_and_pause(self):
        self.need("udx.bind", "pause", "unpause")
        a, b = self.peer.request("udx.bind"), self.peer.request("udx.bind")
        one, two = self.peer.request("udx.stream", localId=1)["stream"], self.peer.request("udx.stream", localId=2)["stream"]
        self.peer.request("udx.connect", stream=two, socket=b["socket"], remoteId=1, **a["address"])
        self.peer.request("udx.connect", stream=one, socket=a["socket"], remoteId=2, **b["address"])
        self.peer.request("pause", stream=two)
        self.peer.request("write", stream=one, data=b"bye")
        self.peer.request("end", stream=one)
        self.peer.request("unpause", stream=two)
        self.peer.wait("end", stream=two)
        self.peer.request("write", stream=two, data=b"still here")
        self.peer.request("end", stream=two)
        self.assertEqual(self.peer.received(one, 10), b"still here")

    # --- secret-stream and Protomux

    def secret_streams(self, **options):
        self.need("secretStream.listen", "secretStream.connect")
        listening = self.peer.request("secretStream.listen", seed=bytes([5] * 32), **options)
        stream = self.peer.request("secretStream.connect", **listening["address"], **{
            **options, **({"remotePublicKey": listening["publicKey"]} if options.get("pattern") == "IK" else {})
        })["stream"]
        return listening, stream, self.peer.wait("connection", server=listening["server"])["stream"]

    def test_secret_stream_patterns(self):
        for name in ("XX", "IK"):
            with self.subTest(name):
                listening, client, server = self.secret_streams(pattern=name)
                self.assertEqual(self.peer.wait("open", stream=client)["remotePublicKey"], listening["publicKey"])
                self.peer.request("write", stream=client, data=b"")
                self.peer.request("write", stream=client, data=b"one message")
                self.assertEqual(self.peer.received(server, 11), b"one message")
                self.assertEqual([e["data"] for e in self.peer.events if e["event"] == "data" and e["stream"] == server], ["", b"one message".hex()])
                self.peer.request("close", server=listening["server"])
                self.peer.request("destroy", stream=client)

    def test_channels(self):
        self.need("channel.open", "channel.send")
        wanted = [{"protocol": "one", "handshake": b"hs".hex(), "messages": 2}, {"protocol": "two", "channelId": "0102"}]
        listening = self.peer.request("secretStream.listen", receive="protomux", channels=wanted)
        mine = [{"protocol": "one", "handshake": b"from client".hex(), "messages": 2}, {"protocol": "two", "channelId": "0102"}]
        client = self.peer.request("secretStream.connect", receive="protomux", channels=mine, **listening["address"])["stream"]
        server = self.peer.wait("connection", server=listening["server"])["stream"]
        far = [self.peer.wait("channel", stream=server, protocol=p)["channel"] for p in ("one", "two")]
        one, two = (self.peer.wait("channel", stream=client, protocol=p)["channel"] for p in ("one", "two"))
        self.assertEqual(self.peer.wait("channelOpen", channel=one)["handshake"], b"hs".hex())
        self.assertEqual(self.peer.wait("channelOpen", channel=far[0])["handshake"], b"from client".hex())
        self.assertIsNone(self.peer.wait("channelOpen", channel=two)["handshake"])
        self.peer.request("channel.send", channel=one, type=1, data=b"typed")
        self.assertEqual(self.peer.wait("channelMessage", channel=far[0])["type"], 1)
        self.peer.request("channel.cork", stream=client)
        for i in range(3):
            self.peer.request("channel.send", channel=two, data=bytes([i]))
        self.peer.request("channel.uncork", stream=client)
        self.assertEqual(self.peer.wait("channelMessage", channel=far[1], count=3)["data"], "02")
        unknown = self.peer.request("channel.open", stream=client, protocol="unknown")["channel"]
        self.peer.wait("channelRefused", stream=server, protocol="unknown")
        self.assertTrue(self.peer.wait("channelClose", channel=unknown)["remote"])
        self.peer.request("channel.close", channel=one)
        self.assertTrue(self.peer.wait("channelClose", channel=far[0])["remote"])
        self.peer.request("close", channel=two)

    # --- the key log

    def test_keylog(self):
        self.need("keylog")
        import tempfile

        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "keys.jsonl"
            self.peer.request("keylog", path=str(path))
            self.secret_streams()
            self.peer.wait("open")
            lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.assertEqual(lines[0]["schema"], "hyperswarm-keylog/2")
        kinds = [line["type"] for line in lines]
        # From the ephemeral keys everything else of a secret-stream follows; a peer may tell it, or leave it to be worked out.
        self.assertEqual(kinds.count("noise-ephemeral"), 2)

    # --- the class that people use

    def test_quick_start(self):
        topic = hashlib.sha256(b"my-app-topic").digest()
        with Swarm(peer=COMMAND) as node, Swarm(port=18001, peer=COMMAND) as bootstrap_node:
            self.assertEqual(bootstrap_node.address, ("127.0.0.1", 18001))
            port = node.port
            node.bootstrap("127.0.0.1", 18001)
            self.assertEqual(node.port, port)
            self.assertGreater(node.announce(topic, node.port), 0)
            self.assertEqual([p["publicKey"] for p in node.get_peers(topic)], [node.public_key])


if __name__ == "__main__":
    unittest.main()
