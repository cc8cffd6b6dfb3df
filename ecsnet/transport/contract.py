"""The contract of transports: what a client and a server may expect of whatever carries datagrams.

A transport carries datagrams between one server end and any number of client ends. It gives no
promise that one arrives: datagrams may get lost, come twice and overtake each other. It does
promise what follows, and `ecsnet.testing.check_transport` tries it on any transport.

**Datagrams** of 1 to `DATAGRAM_BYTES` bytes, which is all that ecsnet sends, arrive as they were
sent or not at all: never cut, joined or changed. An empty one may be lost, a longer one may also
arrive cut off, somewhere beyond that length.

**Nothing blocks.** Every call returns at once. A transport that cannot keep up, such as one over a
stream, drops datagrams: a session takes that for loss and says again what matters, while whatever
is old and still comes helps nobody.

**Nothing raises** for the network's sake. Peers that are gone, networks that are down, buffers that
are full are all the same: what was to be sent is lost. ``dropped`` counts what this end knows to
have lost, which leaves out what an operating system loses by itself.

**Everything has a bound**: what waits to be fetched, what waits to be sent, what is remembered of
peers. Beyond it datagrams are dropped.

**After close()** an end sends nothing, receives nothing and hands nothing on, and does not raise;
closing twice is fine. What it had sent before still arrives, as far as any datagram does.

**One thread** makes an end and calls it. Where a server end hands datagrams on by itself it does so
on that thread, and never from within one of its own calls but `LoopServerTransport.drain`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, TypeAlias

from ecsnet.transport.address import Address

__all__ = [
    "DATAGRAM_BYTES",
    "POLL_BUDGET",
    "ClientTransport",
    "Handler",
    "LoopServerTransport",
    "ServerTransport",
]

DATAGRAM_BYTES: Final = 1200
"""Bytes that a transport carries in one datagram at least, and that ecsnet sends at most."""

POLL_BUDGET: Final = 1000
"""Datagrams that one `receive` gives at most, where nothing else is asked for."""

Handler: TypeAlias = Callable[[Sequence[tuple[bytes, Address]], float], None]
"""Called with some datagrams, each with its client's address, and when they were seen, in seconds
of ``time.perf_counter``."""


class ClientTransport(Protocol):
    """A client's end: datagrams to and from one server."""

    @property
    def dropped(self) -> int:
        """Datagrams that this end knows to be lost: refused, too long, or beyond a bound."""
        ...

    def send(self, data: bytes) -> None:
        """Send a datagram to the server."""

    def receive(self, budget: int = POLL_BUDGET) -> Iterable[bytes]:
        """Give the server's datagrams that wait, at most ``budget`` of them."""
        ...

    def pin(self) -> None:
        """Stay with the server's address that the last datagram came from.

        A server can have several addresses, of which not all can be reached. Until this call
        datagrams may go to each of them in turn, and come from any; afterwards only the one counts.
        Nothing happens before a datagram has come, the second time, and where there is only one.
        """

    def close(self) -> None:
        """Let go of what the end holds: sockets, connections, memory."""


class ServerTransport(Protocol):
    """A server's end: datagrams to and from any number of clients, each at an address of its own.

    An `Address` names one client's end for as long as that is open: all datagrams from there have
    an equal address, no two clients share one, and what is sent to it goes there and nowhere else.
    Its first part is a host (an IP address in digits, where there is one), which limits for one
    address go by; its second a number, 0 for a source that nobody can answer. Whoever is there is
    unproven: whoever can forge datagrams can forge addresses.
    """

    @property
    def dropped(self) -> int:
        """Datagrams that this end knows to be lost: refused, too long, or beyond a bound."""
        ...

    @property
    def address(self) -> Address:
        """The address at which clients reach it, with the port that the system chose."""
        ...

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram to a client.

        A client that reached the server at one of several local addresses is answered from that
        one: others would take the answer for a stranger's.
        """

    def receive(self, budget: int = POLL_BUDGET) -> Iterable[tuple[bytes, Address]]:
        """Give the clients' datagrams that wait, at most ``budget``, and where they came from."""
        ...

    def close(self) -> None:
        """Let go of what the end holds; its address is free again."""


class LoopServerTransport(ServerTransport, Protocol):
    """A server's end on an event loop, which hands datagrams on by itself once it was started."""

    @property
    def errors(self) -> int:
        """Number of times that the handler raised; what it was given then is lost.

        The first such exception is logged, and no more: a peer that found a way to raise must not
        be able to fill a disk.
        """
        ...

    def start(self, handler: Handler) -> None:
        """Hand datagrams on to a handler from now on; call it once.

        What comes before waits within a bound. The handler may send, and may close this end.
        """

    def drain(self) -> None:
        """Hand on everything that waits, before this call returns."""

    def watch(self, wanted: bool) -> None:
        """Say whether datagrams are worth being handed on the moment they come.

        Where not, they are handed on in batches: when `drain` is called, and now and then without.
        An end may take no notice.
        """
