"""Datagrams within one process: bytes in one end, the same bytes out of the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

__all__ = ["MemoryEnd", "memory_pair"]

# What a real socket's buffer would hold; more is lost, like there.
_CAPACITY = 4096


class MemoryEnd:
    """One end of a pair. It has the methods of a client's socket.

    Attributes:
        overflowed: Datagrams to this end that were lost because nobody fetched them.
    """

    def __init__(self) -> None:
        self.overflowed = 0
        self._waiting: deque[bytes] = deque()
        self._peer: MemoryEnd | None = None

    def send(self, data: bytes) -> None:
        """Give a datagram to the other end."""
        peer = self._peer
        if peer is None:
            return
        if len(peer._waiting) >= _CAPACITY:
            peer.overflowed += 1
        else:
            peer._waiting.append(data)

    def receive(self, budget: int = 1000) -> Iterator[bytes]:
        """Yield the datagrams that wait, at most ``budget``."""
        for _ in range(min(budget, len(self._waiting))):
            yield self._waiting.popleft()

    def pin(self) -> None:
        """Do nothing: there is one peer only."""

    def close(self) -> None:
        """Stop sending; what the other end has not fetched yet stays there."""
        self._peer = None


def memory_pair() -> tuple[MemoryEnd, MemoryEnd]:
    """Return two ends that are joined."""
    one, other = MemoryEnd(), MemoryEnd()
    one._peer, other._peer = other, one
    return one, other
