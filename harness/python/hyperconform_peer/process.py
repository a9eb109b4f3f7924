"""A peer process: requests out, replies and events in."""

from __future__ import annotations

import collections
import itertools
import json
import os
import queue
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONTRACT = 1
DEFAULT_TIMEOUT = 60.0
LAST_LINES_KEPT = 40


class PeerError(Exception):
    """The peer answered with an error, or ended. `code` is one of the contract's or of the reference's codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class PeerUnsupported(PeerError):
    """The peer does not have this command, or can't honour this argument."""

    def __init__(self, command: str, argument: str | None) -> None:
        super().__init__("UNSUPPORTED", command if argument is None else f"{command} with {argument}")
        self.command = command
        self.argument = argument


def default_command() -> list[str]:
    """The peer to drive where the caller names none: $HYPERCONFORM_PEER, else hyperconform-peer, else the Node peer beside us."""
    if named := os.environ.get("HYPERCONFORM_PEER"):
        return shlex.split(named)
    if found := shutil.which("hyperconform-peer"):
        return [found]
    node = Path(__file__).resolve().parents[2] / "node" / "peer.mjs"
    if node.exists() and (found := shutil.which("node")):
        return [found, str(node)]
    raise FileNotFoundError("no peer to drive: build hyperconform-peer, or set HYPERCONFORM_PEER to a command line")


class PeerProcess:
    """One peer. `request` may be called from any thread; events reach `on_event` on one thread of their own, in order."""

    def __init__(
        self,
        command: list[str] | str | None = None,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        if isinstance(command, str):
            command = shlex.split(command)
        self.command = command or default_command()
        self.timeout = timeout
        self.on_event = on_event
        self.last_lines: collections.deque[str] = collections.deque(maxlen=LAST_LINES_KEPT)
        self._ids = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue] = {}
        self._lock = threading.Lock()
        self._events: queue.SimpleQueue = queue.SimpleQueue()
        self._ended = False
        self._process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._threads = [
            threading.Thread(target=run, name=f"peer-{name}", daemon=True)
            for name, run in (("stdout", self._read), ("stderr", self._read_errors), ("events", self._deliver))
        ]
        for thread in self._threads:
            thread.start()
        try:
            self.description = self.request("hello", contract=CONTRACT)
        except BaseException:
            self.close()
            raise

    # --- requests

    def request(self, command: str, timeout: float | None = None, **arguments: Any) -> dict[str, Any]:
        """Sends one command, waits for its reply, and returns its results. Bytes among the arguments become hexadecimal digits."""
        waiter: queue.SimpleQueue = queue.SimpleQueue()
        with self._lock:
            if self._ended:
                raise PeerError("PEER_ENDED", self._obituary())
            request_id = next(self._ids)
            self._waiting[request_id] = waiter
            line = json.dumps({"id": request_id, "command": command, **_plain(arguments)}, separators=(",", ":"))
            try:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            except (BrokenPipeError, ValueError):
                self._waiting.pop(request_id)
                raise PeerError("PEER_ENDED", self._obituary()) from None
        try:
            reply = waiter.get(timeout=self.timeout if timeout is None else timeout)
        except queue.Empty:
            raise PeerError("PEER_SILENT", f"{command} was not answered in time") from None
        finally:
            with self._lock:
                self._waiting.pop(request_id, None)
        if reply is None:
            raise PeerError("PEER_ENDED", self._obituary())
        if reply.get("unsupported"):
            raise PeerUnsupported(command, reply.get("argument"))
        if "error" in reply:
            raise PeerError(reply["error"].get("code", "INTERNAL"), reply["error"].get("message", ""))
        return {key: value for key, value in reply.items() if key not in ("id", "ok")}

    # --- life

    def close(self, timeout: float = 10.0) -> int | None:
        """Ends the peer by ending its input, and returns its exit status. One that does not end in time is killed."""
        with self._lock:
            try:
                self._process.stdin.close()
            except (BrokenPipeError, OSError):
                pass
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(1)
        for stream in (self._process.stdout, self._process.stderr):
            stream.close()
        return status

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _obituary(self) -> str:
        said = " | ".join(self.last_lines)
        return f"{self.command[0]} has ended" + (f"; it said last: {said}" if said else "")

    # --- threads

    def _read(self) -> None:
        for text in self._process.stdout:
            try:
                line = json.loads(text)
            except ValueError:
                self.last_lines.append(f"not JSON: {text.rstrip()}")
                continue
            if "event" in line:
                self._events.put(line)
                continue
            with self._lock:
                waiter = self._waiting.get(line.get("id"))
            if waiter is not None:
                waiter.put(line)
        with self._lock:
            self._ended = True
            for waiter in self._waiting.values():
                waiter.put(None)
        self._events.put(None)

    def _read_errors(self) -> None:
        for text in self._process.stderr:
            self.last_lines.append(text.rstrip())

    def _deliver(self) -> None:
        while (event := self._events.get()) is not None:
            if self.on_event is not None:
                self.on_event(event)


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
