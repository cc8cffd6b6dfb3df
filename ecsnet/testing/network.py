"""A network on a clock of its own: one server's end, clients' ends, and the links between them.

::

    from ecsnet.testing import FaultyLink, Network

    network = Network()
    end = network.connect(FaultyLink(lag=0.05, loss=0.2, seed=1))
    end.send(b"hello")
    network.run(seconds=0.1)
    for data, address in network.receive():
        network.send(data, address)

A `Harness` stands on one. By itself it is for who needs only the datagrams of one end: to test a
server or a client against one that is written by hand.
"""

from __future__ import annotations

import heapq
import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from typing import TypeAlias

from ecsnet.errors import UsageError
from ecsnet.testing.clock import ManualClock
from ecsnet.transport.address import Address
from ecsnet.transport.conditioner import Direction, Link
from ecsnet.transport.contract import POLL_BUDGET
from ecsnet.validation.arguments import check_instance, check_number
from ecsnet.validation.wording import brief

__all__ = ["LinkEnd", "Network", "Tap"]

Tap: TypeAlias = Callable[[Direction, bytes, Address], Iterable[bytes]]
"""Called with each datagram that sets out, whether it is on its way "in" to a client or "out" to
the server, and the client's address; returns the datagrams that go on in its place."""

LONGEST = 1e6
"""Seconds that one call runs at most: eleven days of the virtual clock."""

_SECONDS = f"give seconds, from 0 to {LONGEST:,.0f}"


class Network:
    """One server and its clients; it is itself the server's end, a `ServerTransport`.

    Datagrams are put on their way when they are sent, and wait where they arrive until they are
    received. Nothing happens but in `run`, and in the calls of the two ends.

    Args:
        clock: The time; a new clock when left out.

    Raises:
        UsageError: It is no `ManualClock`.

    Attributes:
        clock: The time.
        links: The paths between the server and its clients, by the clients' addresses. A client
            whose link is taken out is gone for the server, and the server for it.
        tap: Sees, drops or forges what sets out at either end; None lets everything go.
        handler: Called in `run` with the datagrams that arrive at the server, with the addresses
            they came from and with the time, at the moment at which they do; with None they wait
            for `receive`.
        address: The server's.
        dropped: Datagrams to or from a client that is gone.
        closed: Whether the server's end was closed.
    """

    def __init__(self, clock: ManualClock | None = None) -> None:
        if clock is not None:
            check_instance("Network(clock", clock, ManualClock, "give a ManualClock")
        self.clock = ManualClock() if clock is None else clock
        self.links: dict[Address, Link] = {}
        self.tap: Tap | None = None
        self.handler: Callable[[Sequence[tuple[bytes, Address]], float], None] | None = None
        self.address: Address = ("10.255.255.1", 7777)
        self.dropped = 0
        self.closed = False
        self._arrived: deque[tuple[bytes, Address]] = deque()
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._clients = 0

    # The ends.

    def connect(self, link: Link | None = None, address: Address | None = None) -> LinkEnd:
        """Return the end of a new client.

        Args:
            link: The path between it and the server; a perfect one when left out.
            address: Where its datagrams come from; one that is free when left out. An end that
                was there before receives nothing more.

        Raises:
            UsageError: The link is none.
        """
        if link is not None:
            check_instance("connect(link", link, Link, "give a Link, or a FaultyLink")
        self._clients += 1
        if address is None:
            address = (f"10.0.{self._clients >> 8}.{self._clients & 255}", 40_000)
        link = Link(seed=0) if link is None else link
        if not self.closed:
            self.links[address] = link
        return LinkEnd(self, link, address)

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram from the server to a client."""
        if not self.closed:
            self.carry("in", data, address)

    def receive(self, budget: int = sys.maxsize) -> list[tuple[bytes, Address]]:
        """Return what has arrived at the server, at most ``budget`` datagrams, and from where.

        Datagrams of one client come in the order of their arrival, clients in that in which they
        connected.
        """
        for address, link in self.links.items():
            self._arrived += ((data, address) for data in link.take("out", self.clock.now))
        return [self._arrived.popleft() for _ in range(min(budget, len(self._arrived)))]

    def carry(self, direction: Direction, data: bytes, address: Address) -> None:
        """Put a datagram on its way between the server and a client."""
        link = self.links.get(address)
        if link is None:
            self.dropped += 1
            return
        for each in (data,) if self.tap is None else self.tap(direction, data, address):
            link.put(direction, each, self.clock.now)

    def close(self) -> None:
        """Close the server's end: it sends and receives nothing more; what it sent arrives."""
        self.closed = True
        self.links.clear()
        self._arrived.clear()

    # Time.

    def at(self, delay: float, call: Callable[[], object]) -> None:
        """Call something in so many seconds, while `run` lets them pass.

        Raises:
            UsageError: The delay is negative, or what to call is no function.
        """
        check_number("at(delay", delay, 0, LONGEST, _SECONDS)
        if not callable(call):
            raise UsageError(f"at(call={brief(call)}): give a function")
        heapq.heappush(self._agenda, (self.clock.now + delay, next(self._order), call))

    def run(self, seconds: float) -> None:
        """Let time pass, with all that happens meanwhile, each at its time.

        Raises:
            UsageError: Time would run backwards.
        """
        check_number("run(seconds", seconds, 0, LONGEST, _SECONDS)
        clock = self.clock
        end = clock.now + seconds
        while (due := self._next_at()) <= end:
            clock.now = max(clock.now, due)
            if self.handler is not None and (arrived := self.receive()):
                self.handler(arrived, clock.now)
            elif self._agenda and self._agenda[0][0] <= clock.now:
                heapq.heappop(self._agenda)[2]()
        clock.now = end

    def _next_at(self) -> float:
        """Return when something arrives that the handler takes, or is to be called."""
        times = [self._agenda[0][0]] if self._agenda else []
        if self.handler is not None:
            arrivals = (link.next_at("out") for link in self.links.values())
            times += [due for due in arrivals if due is not None]
        return min(times, default=inf)


class LinkEnd:
    """A client's end of a `Network`, a `ClientTransport`; made by `Network.connect`.

    Attributes:
        link: The path between it and the server.
        address: Where the server sees its datagrams come from.
        longest: Bytes in the longest datagram sent.
        sent: Datagrams sent.
        dropped: None: what the link loses is in its own figures.
        closed: Whether the client closed it.
    """

    def __init__(self, network: Network, link: Link, address: Address) -> None:
        self.link = link
        self.address = address
        self.longest = 0
        self.sent = 0
        self.dropped = 0
        self.closed = False
        self._network = network
        self._arrived: deque[bytes] = deque()

    def send(self, data: bytes) -> None:
        """Give a datagram to the server."""
        if self.closed:
            return
        self.sent += 1
        self.longest = max(self.longest, len(data))
        self._network.carry("out", data, self.address)

    def receive(self, budget: int = POLL_BUDGET) -> Iterator[bytes]:
        """Yield the datagrams that have arrived, at most ``budget``."""
        if self.closed:
            return
        self._arrived += self.link.take("in", self._network.clock.now)
        for _ in range(min(budget, len(self._arrived))):
            yield self._arrived.popleft()

    def pin(self) -> None:
        """Do nothing: there is one peer only."""

    def close(self) -> None:
        """Send nothing more; what is on its way arrives."""
        self.closed = True
