"""Drives any process that speaks the peer contract (../PEERS.md). Standard library only."""

from .process import PeerError, PeerProcess, PeerUnsupported, default_command
from .swarm import Connection, Swarm

__all__ = ["Connection", "PeerError", "PeerProcess", "PeerUnsupported", "Swarm", "default_command"]
