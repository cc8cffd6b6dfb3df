"""A transport within one process: bytes in at one end, the same bytes out of the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, TypeVar

from ecsnet.transport.address import Address
from ecsnet.transport.contract import POLL_BUDGET

__all__ = ["IN_PROCESS", "MemoryClient", "MemoryServer"]

IN_PROCESS: Final = "in process"
"""The host in the address of each end: no socket has one like it."""

# What a real socket's buffer would hold; more is lost, like there.
_CAPACITY = 4096

T = TypeVar("T")


class MemoryServer:
    """The server's end, a `ServerTransport`; `connect` makes the clients' ends.

    Attributes:
        dropped: Datagrams lost: the client is gone, or too many waited there.
        closed: Whether it was closed.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.closed = False
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._clients: dict[Address, MemoryClient] = {}
        self._numbers = 0

    @property
    def address(self) -> Address:
        """No client's address; clients are made with `connect`."""
        return IN_PROCESS, 0

    def connect(self) -> MemoryClient:
        """Return the end of a new client."""
        self._numbers += 1
        client = MemoryClient(self, (IN_PROCESS, self._numbers))
        if not self.closed:
            self._clients[client.address] = client
        return client

    def send(self, data: bytes, address: Address) -> None:
        """Give a datagram to a client."""
        if self.closed:
            return
        client = self._clients.get(address)
        if client is None or not client.put(data):
            self.dropped += 1

    def receive(self, budget: int = POLL_BUDGET) -> Iterator[tuple[bytes, Address]]:
        """Yield the datagrams that wait, at most ``budget``, and where they came from."""
        return _taken(self._waiting, budget)

    def put(self, data: bytes, address: Address) -> bool:
        """Take a datagram from a client; returns whether there was room for it."""
        if self.closed or len(self._waiting) >= _CAPACITY:
            return False
        self._waiting.append((data, address))
        return True

    def forget(self, address: Address) -> None:
        """Let go of a client that has closed."""
        self._clients.pop(address, None)

    def close(self) -> None:
        """Send and receive nothing more; clients may still fetch what they were sent."""
        self.closed = True
        self._waiting.clear()
        self._clients.clear()


class MemoryClient:
    """A client's end, a `ClientTransport`; made by `MemoryServer.connect`.

    Attributes:
        address: Where the server sees its datagrams come from.
        dropped: Datagrams lost: the server is gone, or too many waited there.
        closed: Whether it was closed.
    """

    def __init__(self, server: MemoryServer, address: Address) -> None:
        self.address: Final = address
        self.dropped = 0
        self.closed = False
        self._server = server
        self._waiting: deque[bytes] = deque()

    def send(self, data: bytes) -> None:
        """Give a datagram to the server."""
        if not self.closed and not self._server.put(data, self.address):
            self.dropped += 1

    def receive(self, budget: int = POLL_BUDGET) -> Iterator[bytes]:
        """Yield the datagrams that wait, at most ``budget``."""
        return _taken(self._waiting, budget)

    def put(self, data: bytes) -> bool:
        """Take a datagram from the server; returns whether there was room for it."""
        if len(self._waiting) >= _CAPACITY:
            return False
        self._waiting.append(data)
        return True

    def pin(self) -> None:
        """Do nothing: there is one server only."""

    def close(self) -> None:
        """Send and receive nothing more; the server may still fetch what it was sent."""
        self.closed = True
        self._waiting.clear()
        self._server.forget(self.address)


def _taken(waiting: deque[T], budget: int) -> Iterator[T]:
    for _ in range(min(budget, len(waiting))):
        if not waiting:  # closed meanwhile
            return
        yield waiting.popleft()
