"""The server's end of UDP: a plain socket to poll, and the same on an event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import OrderedDict, deque
from time import perf_counter
from typing import Final

from ecsnet.errors import UsageError
from ecsnet.transport.address import Address, bind_udp
from ecsnet.transport.contract import POLL_BUDGET, Handler
from ecsnet.transport.local_address import (
    ANCILLARY_BYTES,
    bind_beside,
    local_host,
    tell_local_address,
)

__all__ = ["UdpServer", "UdpServerSocket"]

_log = logging.getLogger("ecsnet.server")

_LONGEST: Final = 2048
_AT_ONCE: Final = 4096
# So few are taken off the socket before they are handed on: docs/performance.md says why.
_BATCH: Final = 16
# Between two looks at a socket that is not watched: where it cannot be, and where that would cost
# too much. The latter is once between two ticks, with 60 of them a second.
_LOOK_SECONDS: Final = 0.004
_BUSY_LOOK_SECONDS: Final = 0.009

# A machine can have as many addresses as a whole IPv6 network has.
_MOST_LOCAL: Final = 64
# Sources can be forged. Who is forgotten is known again with the next datagram.
_MOST_ROUTES: Final = 16_384


class BoundSocket:
    """A socket, and its two calls for each datagram, looked up once."""

    def __init__(self, bound: socket.socket) -> None:
        self.socket = bound
        self.recvfrom = bound.recvfrom
        self.sendto = bound.sendto


class UdpServerSocket:
    """A bound port that is polled: a `ServerTransport`.

    Where it is bound to all addresses of the machine, the first socket only finds out which of them
    are in use. Each of these gets a socket of its own, which the system prefers, so that answers
    leave from the address that was asked; see `local_address`. Where clients use more than one, the
    clients of all but the first are remembered with their socket. Windows' Python does not tell
    where a datagram was sent to: there the system chooses.

    Args:
        host: A name or address of this machine, ``"0.0.0.0"`` or ``"::"`` for all.
        port: The port, 0 for any free one.

    Raises:
        AddressInUseError: Another socket has the port.
        UsageError: The address is not one of this machine's, or not allowed.

    Attributes:
        dropped: Datagrams that the system refused to send.
        closed: Whether it was closed.
    """

    def __init__(self, host: str, port: int) -> None:
        first = BoundSocket(bind_udp(host, port))
        self._address: Address = first.socket.getsockname()
        self.dropped = 0
        self.closed = False
        # One for all addresses of the machine, where there is need for others beside it.
        self._everywhere = first if tell_local_address(first.socket) else None
        self._sockets: deque[BoundSocket] = deque()  # of one address each; the next one first
        if self._everywhere is None:
            self._sockets.append(first)
        self._by_local: dict[str, BoundSocket] = {}
        self._usual = first  # for clients that are not in _routes
        self._routes: OrderedDict[Address, BoundSocket] = OrderedDict()

    @property
    def address(self) -> Address:
        """The address that it listens on, with the port that the system chose."""
        return self._address

    def receive(self, budget: int = POLL_BUDGET) -> list[tuple[bytes, Address]]:
        """Return the datagrams that wait, at most ``budget``, and where they came from."""
        datagrams: list[tuple[bytes, Address]] = []
        for _ in range(len(self._sockets)):
            current = self._sockets[0]
            self._sockets.rotate(-1)  # none of them can keep the others waiting
            self._take(current, budget, datagrams)
            if len(datagrams) >= budget:
                return datagrams
        if self._everywhere is not None:
            self._find_out(self._everywhere, budget, datagrams)
        return datagrams

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram; what the system will not send is lost like any other."""
        through = self._routes.get(address, self._usual) if self._routes else self._usual
        try:
            through.sendto(data, address)
        except (OSError, ValueError, OverflowError):
            self.dropped += 1

    def close(self) -> None:
        """Free the port. What was sent before still goes out."""
        self.closed = True
        for each in self._all_sockets():
            each.close()

    def _all_sockets(self) -> list[socket.socket]:
        first = [] if self._everywhere is None else [self._everywhere]
        return [each.socket for each in (*first, *self._sockets)]

    def _take(
        self, current: BoundSocket, budget: int, datagrams: list[tuple[bytes, Address]]
    ) -> None:
        before = len(datagrams)
        take, add = current.recvfrom, datagrams.append
        while len(datagrams) < budget:
            try:
                add(take(_LONGEST))
            except ConnectionError:  # Windows: an earlier datagram found a closed port
                continue
            except OSError:
                break
        if len(self._by_local) > 1:
            for _, address in datagrams[before:]:
                self._route(address, current)

    def _find_out(
        self, everywhere: BoundSocket, budget: int, datagrams: list[tuple[bytes, Address]]
    ) -> None:
        """Take datagrams that are the first at an address of this machine, mostly."""
        while len(datagrams) < budget:
            try:
                data, ancillary, _, address = everywhere.socket.recvmsg(_LONGEST, ANCILLARY_BYTES)
            except OSError:
                break
            datagrams.append((data, address))
            host = local_host(ancillary)
            self._route(address, everywhere if host is None else self._socket_at(host, everywhere))

    def _socket_at(self, host: str, everywhere: BoundSocket) -> BoundSocket:
        """Return the socket of one of this machine's addresses, or the one for all."""
        found = self._by_local.get(host)
        if found is None:
            if len(self._by_local) >= _MOST_LOCAL:
                return everywhere
            bound = bind_beside(everywhere.socket, host)
            found = everywhere if bound is None else BoundSocket(bound)
            if not self._by_local:
                self._usual = found
            self._by_local[host] = found
            if found is not everywhere:
                self._sockets.append(found)
                self._opened(found.socket)
        return found

    def _route(self, address: Address, through: BoundSocket) -> None:
        """Remember which socket a client is answered through."""
        routes = self._routes
        if through is self._usual:
            routes.pop(address, None)
        elif routes.get(address) is not through:
            if len(routes) >= _MOST_ROUTES:
                routes.popitem(last=False)
            routes[address] = through

    def _opened(self, opened: socket.socket) -> None:
        """Notice that there is one more socket."""


class UdpServer(UdpServerSocket):
    """A UDP port on the running event loop, uvloop's or asyncio's: a `LoopServerTransport`.

    Datagrams are handed on the moment they come. With many clients that is a turn of the loop for
    each: then the sockets had better be looked at when the caller says `drain`, and 9 ms after the
    last look; see `watch`. On loops that cannot watch a socket (Windows' default one) they always
    are, every 4 ms.

    Args:
        host: As for `UdpServerSocket`; ``port`` likewise.

    Attributes:
        errors: How often the handler raised; what it was given then is lost.
        watched: Whether datagrams are handed on the moment they come.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.errors = 0
        self.watched = False
        self._unwatchable = False  # by this loop
        self._handler: Handler | None = None
        self._loop = asyncio.get_running_loop()
        self._look: asyncio.TimerHandle | None = None

    def start(self, handler: Handler) -> None:
        """Hand datagrams on to a handler from now on.

        What came before has waited in the socket's buffer.

        Args:
            handler: Called with the datagrams that came, where each came from, and when they were
                seen, in seconds of ``time.perf_counter``.

        Raises:
            UsageError: It was started before.
        """
        if self._handler is not None:
            raise UsageError("start() of a UdpServer that was started: bind another one")
        if not self.closed:
            self._handler = handler
            self._look_later()
            self.watch(True)

    def watch(self, wanted: bool) -> None:
        """Hand datagrams on the moment they come, or only when somebody looks."""
        if wanted is self.watched or self._unwatchable or self.closed or self._handler is None:
            return
        if not wanted:
            self._stop_watching()
            self._look_later()
        else:
            try:
                for each in self._all_sockets():
                    self._loop.add_reader(each, self.drain)
            except NotImplementedError:
                self._unwatchable = True
                return
            self._stop_looking()
        self.watched = wanted

    def drain(self) -> None:
        """Hand on everything that waits."""
        handle = self._handler
        if handle is None:
            return
        for _ in range(_AT_ONCE // _BATCH):
            datagrams = self.receive(_BATCH)
            if datagrams:
                self._handle(handle, datagrams)
            if len(datagrams) < _BATCH:
                break
        if self._look is not None:
            self._look.cancel()
            self._look_later()

    def _handle(self, handle: Handler, datagrams: list[tuple[bytes, Address]]) -> None:
        try:
            handle(datagrams, perf_counter())
        except Exception:  # noqa: BLE001 - the loop would log every one of them
            self.errors += 1
            # Once: a peer that found a way to raise must not be able to fill the disk.
            if self.errors == 1:
                _log.exception("datagrams raised; further ones are counted and not logged")

    def close(self) -> None:
        if self.watched:
            self._stop_watching()
        self._stop_looking()
        super().close()

    def _opened(self, opened: socket.socket) -> None:
        if self.watched:
            self._loop.add_reader(opened, self.drain)

    def _stop_watching(self) -> None:
        for each in self._all_sockets():
            self._loop.remove_reader(each)
        self.watched = False

    def _stop_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _look_later(self) -> None:
        seconds = _LOOK_SECONDS if self._unwatchable else _BUSY_LOOK_SECONDS
        self._look = self._loop.call_later(seconds, self.drain)
