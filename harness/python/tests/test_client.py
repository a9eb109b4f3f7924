"""The client against a peer without a network."""

import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hyperconform_peer import PeerError, PeerProcess, PeerUnsupported, Swarm
from tests.schema import SCHEMA, definition, faults

FAKE = [sys.executable, str(Path(__file__).with_name("fake_peer.py"))]
TOPIC = bytes(range(32))


class Process(unittest.TestCase):
    def test_hello_and_exit_status(self):
        peer = PeerProcess(FAKE)
        self.assertEqual(peer.description["name"], "fake")
        self.assertEqual(peer.close(), 0)

    def test_a_nonsense_command_is_unsupported(self):
        with PeerProcess(FAKE) as peer, self.assertRaises(PeerUnsupported) as caught:
            peer.request("frobnicate")
        self.assertEqual(caught.exception.command, "frobnicate")

    def test_errors_carry_their_code(self):
        with PeerProcess(FAKE) as peer, self.assertRaises(PeerError) as caught:
            peer.request("leave", node=1, topic=TOPIC)
        self.assertEqual(caught.exception.code, "BAD_REQUEST")

    def test_a_line_that_is_no_json_is_kept_as_evidence(self):
        with PeerProcess(FAKE) as peer:
            self.assertEqual(peer.request("clock"), {"t": 1})
            self.assertEqual(list(peer.last_lines), ["not JSON: this is not JSON"])

    def test_a_crash_is_told_with_the_last_words(self):
        with PeerProcess(FAKE) as peer:
            with self.assertRaises(PeerError) as caught:
                peer.request("suspend", node=1)
            self.assertEqual(caught.exception.code, "PEER_ENDED")
            self.assertEqual(peer.close(), 3)
            self.assertIn("a last word", peer.last_lines)

    def test_silence_is_told_apart_from_a_crash(self):
        with PeerProcess(FAKE) as peer, self.assertRaises(PeerError) as caught:
            peer.request("resume", node=1, timeout=0.05)
        self.assertEqual(caught.exception.code, "PEER_SILENT")


class SwarmMethods(unittest.TestCase):
    def setUp(self):
        self.swarm = Swarm(port=8001, peer=FAKE)
        self.addCleanup(self.swarm.close)

    def test_announce_and_get_peers(self):
        self.swarm.bootstrap("127.0.0.1", 49737)
        self.assertEqual(self.swarm.get_peers(TOPIC), [])
        self.assertEqual(self.swarm.announce(TOPIC, 8001), 2)
        self.assertEqual([p["publicKey"] for p in self.swarm.get_peers(TOPIC.hex())], [self.swarm.public_key])

    def test_connections_and_data(self):
        heard, ended = [], threading.Event()
        done = threading.Event()

        def data(piece):
            heard.append(piece)
            if len(heard) == 2:
                done.set()

        def connected(connection, info):
            self.assertEqual(info["remotePublicKey"], "11" * 32)
            connection.on("close", lambda error: ended.set())
            connection.on("data", data)
            connection.write("hello")

        self.swarm.on("connection", connected)
        self.swarm.bootstrap("127.0.0.1", 49737)
        self.swarm.join(TOPIC)
        self.assertTrue(self.swarm.flush())
        self.assertTrue(done.wait(5))
        self.assertEqual(heard, [b"hello from afar", b"hello"])
        self.swarm.connections[0].end()
        self.assertTrue(ended.wait(5))
        self.assertEqual(self.swarm.connections, [])

    def test_data_before_the_handler_is_not_lost(self):
        got, heard, everything = threading.Event(), [], []

        def data(piece):
            everything.append(piece)
            got.set()

        self.swarm.on("data", data)
        self.swarm.join(TOPIC)
        self.assertTrue(got.wait(5))
        self.assertEqual(everything, [b"hello from afar"])
        self.swarm.connections[0].on("data", heard.append)
        self.assertEqual(heard, [b"hello from afar"])

    def test_connections_read_like_sockets(self):
        pieces, done = [], threading.Event()

        def connected(connection, info):
            self.assertEqual(info["publicKey"], "11" * 32)  # the other side's
            connection.sendall(b"abc")
            connection.end()
            while piece := connection.recv(9):
                pieces.append(piece)
            self.assertEqual(connection.recv(9), b"")
            done.set()

        self.swarm.on("connection", connected)
        self.swarm.join(TOPIC)
        self.assertTrue(done.wait(5))
        self.assertEqual(pieces, [b"hello fro", b"m afar", b"abc"])

    def test_a_node_has_a_port_before_it_has_a_network(self):
        with Swarm(peer=FAKE) as swarm:
            port = swarm.port
            self.assertGreater(port, 0)
            key = swarm.bootstrap("127.0.0.1", 49737).public_key
            self.assertEqual((swarm.port, swarm.public_key), (port, key))

    def test_a_topic_has_32_bytes(self):
        with self.assertRaises(ValueError):
            self.swarm.announce(b"too short")

    def test_bootstrap_comes_first(self):
        self.swarm.announce(TOPIC)
        with self.assertRaises(PeerError):
            self.swarm.bootstrap("127.0.0.1", 49737)


class Contract(unittest.TestCase):
    def test_the_schema_knows_results_for_every_request(self):
        self.assertEqual(SCHEMA["$defs"]["requests"].keys(), SCHEMA["$defs"]["results"].keys())

    def test_every_command_and_event_of_the_text_is_in_the_schema_and_back(self):
        import re

        text = (Path(__file__).resolve().parents[2] / "PEERS.md").read_text()
        named = set(re.findall(r"`([A-Za-z.]+)`", text))
        for kind in ("requests", "events"):
            for name in SCHEMA["$defs"][kind]:
                self.assertIn(name, named)

    def test_the_checker_can_fail(self):
        good = {"id": 1, "command": "announce", "node": 1, "topic": "00" * 32}
        self.assertEqual(faults(good, definition("request")), [])
        for bad in ({**good, "topic": "00"}, {**good, "id": "1"}, {**good, "extra": 1}, {"id": 1, "command": "announce"}, {**good, "command": "nonsense"}):
            self.assertNotEqual(faults(bad, definition("request")), [])


if __name__ == "__main__":
    unittest.main()
