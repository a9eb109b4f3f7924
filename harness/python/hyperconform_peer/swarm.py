"""`Swarm`: the methods that KadePy's users know, over a stack that speaks Hyperswarm."""

from __future__ import annotations

import os
import queue
import socket
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from .process import PeerError, PeerProcess

Address = tuple[str, int]


class Connection:
    """An encrypted, authenticated connection to one peer."""

    def __init__(self, swarm: Swarm, event: dict[str, Any]) -> None:
        self._swarm = swarm
        self._handlers: dict[str, list[Callable]] = {}
        self._early: list[tuple[str, tuple]] = []
        self._lock = threading.Lock()
        self.stream: int = event["stream"]
        self.public_key = event["publicKey"]
        self.remote_public_key = event["remotePublicKey"]
        self.handshake_hash = event["handshakeHash"]
        self.initiator: bool = event["initiator"]
        self.closed = False
        self._pieces: queue.SimpleQueue | None = None
        self._rest = b""

    def on(self, event: str, handler: Callable) -> Connection:
        """`data` (bytes), `message` (bytes), `end` (), `close` (error or None). What came before the first handler is not lost."""
        with self._lock:
            self._handlers.setdefault(event, []).append(handler)
            mine = [arguments for name, arguments in self._early if name == event]
            self._early = [item for item in self._early if item[0] != event]
        for arguments in mine:
            _call(handler, *arguments)
        return self

    def write(self, data: bytes | str) -> bool:
        """Sends data, reliably and in order. False says: better to wait a little before the next."""
        return self._request("write", data=_bytes(data))["drained"]

    def send(self, data: bytes | str) -> bool:
        """Sends one unordered message, which may get lost."""
        return self._request("send", data=_bytes(data))["sent"]

    sendall = write

    def recv(self, size: int) -> bytes:
        """Waits for data, as a socket does; empty at the end. For those who don't use `on("data")`. Not from within a handler of events
        other than `connection`: the data it waits for would wait for the handler."""
        if self._pieces is None:
            self._pieces = queue.SimpleQueue()
            self.on("data", self._pieces.put)
            self.on("end", lambda: self._pieces.put(b""))
            self.on("close", lambda error: self._pieces.put(b""))
        while not self._rest:
            self._rest = self._pieces.get()
            if not self._rest:
                self._pieces.put(b"")  # the end stays the end
                return b""
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def flush(self) -> bool:
        """Waits until the other side has everything that was written."""
        return self._request("flush")["flushed"]

    def end(self) -> None:
        """Nothing more from us; the other side may go on."""
        self._request("end")

    def close(self) -> None:
        if not self.closed:
            try:
                self._request("close")
            except PeerError as error:
                if error.code not in ("UNKNOWN_HANDLE", "CLOSED", "PEER_ENDED"):
                    raise

    def _request(self, command: str, **arguments: Any) -> dict[str, Any]:
        return self._swarm.peer.request(command, stream=self.stream, **arguments)

    def _emit(self, event: str, *arguments: Any) -> None:
        with self._lock:
            handlers = list(self._handlers.get(event, []))
            if not handlers:
                self._early.append((event, arguments))
        for handler in handlers:
            _call(handler, *arguments)


class Swarm:
    """A node that finds peers by topic and by key.

    Nothing is contacted unless it is named: give `bootstrap_nodes`, or call `bootstrap`. A swarm with neither is the first node of a
    network of its own, at its `port`.
    """

    def __init__(
        self,
        port: int = 0,
        bootstrap_nodes: Iterable[Address] | None = None,
        *,
        host: str = "127.0.0.1",
        seed: bytes | None = None,
        peer: PeerProcess | list[str] | str | None = None,
        **options: Any,
    ) -> None:
        self.host = host
        self._port = port or _free_port(host)
        # One key pair for the life of this object, also when bootstrap() starts its node anew.
        self._options = {"seed": seed or os.urandom(32), **options}
        self._nodes = list(bootstrap_nodes or [])
        self._used = False
        self._handlers: dict[str, list[Callable]] = {}
        self._connections: dict[int, Connection] = {}
        self._lock = threading.RLock()
        self._info: dict[str, Any] | None = None
        self._owns_peer = not isinstance(peer, PeerProcess)
        self.peer = PeerProcess(peer) if self._owns_peer else peer
        self._forward = self.peer.on_event
        self.peer.on_event = self._on_event
        if port and not self._nodes:
            self._start()  # somebody else is about to bootstrap from it

    # --- KadePy's methods

    def bootstrap(self, host: str | Iterable[Address], port: int | None = None) -> Swarm:
        """Joins the network that this node (or these nodes) belongs to."""
        nodes = [(host, port)] if isinstance(host, str) else list(host)
        with self._lock:
            if self._used:
                raise PeerError("BAD_REQUEST", "bootstrap comes before announcing, joining and looking up")
            if self._info is not None:
                self.peer.request("close", node=self._info["node"])
                self._info = None
            self._nodes += nodes
            self._start()
        return self

    def announce(self, topic: bytes | str, port: int | None = None) -> int:
        """Announces ourselves under a topic, and returns how many nodes store it. `port` is KadePy's and has no use here: peers are
        found by key, and connected to wherever they are."""
        return len(self._request("announce", topic=_key(topic))["closestNodes"])

    def get_peers(self, topic: bytes | str) -> list[dict[str, Any]]:
        """Who is announced under a topic: [{"publicKey": ..., "relayAddresses": [...]}], each peer once."""
        found: dict[str, dict[str, Any]] = {}
        for result in self._request("lookup", topic=_key(topic))["results"]:
            for peer in result["peers"]:
                found.setdefault(peer["publicKey"], peer)
        return list(found.values())

    def join(self, topic: bytes | str, announce: bool = True, lookup: bool = True) -> None:
        """Finds and connects to everybody under a topic; `on("connection")` brings them."""
        self._request("join", topic=_key(topic), server=announce, client=lookup)

    def leave(self, topic: bytes | str) -> None:
        self._request("leave", topic=_key(topic))

    def on(self, event: str, handler: Callable) -> Swarm:
        """`connection` (connection, info), each time in a thread of its own; `data` (bytes) of every connection; and any other event of the
        contract by its name (the event's object). `info["publicKey"]` is the other side's."""
        self._handlers.setdefault(event, []).append(handler)
        return self

    def send(self, data: bytes | str) -> None:
        """Writes to every open connection."""
        for connection in self.connections:
            connection.write(data)

    def close(self) -> None:
        if self._owns_peer:
            self.peer.close()
        elif self._info is not None:
            self.peer.request("close", node=self._info["node"])

    # --- what Hyperswarm adds

    def flush(self, topic: bytes | str | None = None) -> bool:
        """Waits until a topic's announce and lookup are done; without a topic, also until all found peers were tried."""
        return self._request("flush", **({} if topic is None else {"topic": _key(topic)}))["flushed"]

    def join_peer(self, public_key: bytes | str) -> None:
        self._request("joinPeer", publicKey=_key(public_key))

    def put(self, value: bytes | str) -> str:
        """Stores an immutable value, and returns its hash."""
        return self._request("immutablePut", value=_bytes(value))["hash"]

    def get(self, hash: bytes | str) -> bytes | None:
        result = self._request("immutableGet", hash=_key(hash))
        return bytes.fromhex(result["value"]) if result["found"] else None

    @property
    def connections(self) -> list[Connection]:
        with self._lock:
            return list(self._connections.values())

    @property
    def port(self) -> int:
        """Where the node is, or will be."""
        return self._port if self._info is None else self._info["address"]["port"]

    @property
    def address(self) -> Address:
        address = self._start()["address"]
        return address["host"], address["port"]

    @property
    def public_key(self) -> str:
        return self._start()["publicKey"]

    def __enter__(self) -> Swarm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- inside

    def _start(self) -> dict[str, Any]:
        with self._lock:
            if self._info is None:
                options = {
                    "kind": "swarm", "host": self.host, "port": self._port, "bootstrap": [{"host": h, "port": p} for h, p in self._nodes]
                }
                if not self._nodes:
                    options["bootstrapper"] = True
                elif self._loopback():
                    # Nobody is behind a NAT on one machine: the node may store things for others at once.
                    options.update(ephemeral=False, firewalled=False)
                self._info = self.peer.request("start", **{**options, **self._options})
            return self._info

    def _loopback(self) -> bool:
        return self.host.startswith("127.") or self.host == "::1"

    def _request(self, command: str, **arguments: Any) -> dict[str, Any]:
        node = self._start()["node"]
        self._used = True
        return self.peer.request(command, node=node, **arguments)

    def _on_event(self, event: dict[str, Any]) -> None:
        if self._forward is not None:
            self._forward(event)
        name = event["event"]
        if name == "connection" and "node" in event and event["node"] == (self._info or self._start())["node"]:
            connection = Connection(self, event)
            with self._lock:
                self._connections[connection.stream] = connection
            info = {**event, "publicKey": event["remotePublicKey"]}
            for handler in self._handlers.get("connection", []):
                threading.Thread(target=_call, args=(handler, connection, info), name="connection", daemon=True).start()
            return
        with self._lock:
            connection = self._connections.get(event.get("stream"))
        if connection is not None:
            if name in ("data", "message"):
                connection._emit(name, bytes.fromhex(event["data"]))
            elif name == "end":
                connection._emit("end")
            elif name == "close":
                connection.closed = True
                with self._lock:
                    self._connections.pop(connection.stream, None)
                connection._emit("close", event["error"])
        for handler in self._handlers.get(name, []):
            _call(handler, bytes.fromhex(event["data"]) if name == "data" else event)


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def _call(handler: Callable, *arguments: Any) -> None:
    try:
        handler(*arguments)
    except Exception:  # one handler's fault must not stop the events of all others
        traceback.print_exc()


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else bytes(data)


def _key(value: bytes | str) -> bytes:
    key = bytes.fromhex(value) if isinstance(value, str) else bytes(value)
    if len(key) != 32:
        raise ValueError("topics, keys and hashes are 32 bytes, or 64 hexadecimal digits")
    return key
