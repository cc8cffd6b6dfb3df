"""The server's end of UDP: a plain socket to poll, and the same on an event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter
from typing import Final

from ecsnet.transport.address import Address, bind_udp

__all__ = ["UdpServer", "UdpServerSocket"]

_log = logging.getLogger("ecsnet.server")

_LONGEST: Final = 2048
_AT_ONCE: Final = 4096
# So few are taken off the socket before they are handed on: they are still in the cache then, and
# the next ones get the same memory.
_BATCH: Final = 16
# Between two looks at a socket that is not watched: where it cannot be, and where that would cost
# too much. The latter is once between two ticks, with 60 of them a second.
_LOOK_SECONDS: Final = 0.004
_BUSY_LOOK_SECONDS: Final = 0.009


class UdpServerSocket:
    """A bound socket that is polled.

    Args:
        host: A name or address of this machine, ``"0.0.0.0"`` or ``"::"`` for all.
        port: The port, 0 for any free one.

    Raises:
        AddressInUseError: Another socket has the port.
        UsageError: The address is not one of this machine's, or not allowed.

    Attributes:
        address: Where it listens, with the port that the system chose.
        send_errors: Datagrams that the system refused to send.
    """

    def __init__(self, host: str, port: int) -> None:
        self._socket = bind_udp(host, port)
        self.address: Address = self._socket.getsockname()
        self.send_errors = 0
        # Looked up once: they are called for each datagram.
        self._recvfrom = self._socket.recvfrom
        self._sendto = self._socket.sendto

    def receive(self, budget: int = 1000) -> list[tuple[bytes, Address]]:
        """Return the datagrams that wait, at most ``budget``, and where they came from."""
        datagrams: list[tuple[bytes, Address]] = []
        take, add = self._recvfrom, datagrams.append
        while len(datagrams) < budget:
            try:
                add(take(_LONGEST))
            except ConnectionError:  # Windows: an earlier datagram found a closed port
                continue
            except OSError:
                break
        return datagrams

    def sendto(self, data: bytes, address: Address) -> None:
        """Send a datagram; what the system will not send is lost like any other."""
        try:
            self._sendto(data, address)
        except (OSError, ValueError, OverflowError):
            self.send_errors += 1

    def close(self) -> None:
        """Free the port. What was sent before still goes out."""
        self._socket.close()


class UdpServer(UdpServerSocket):
    """A UDP endpoint on the running event loop, uvloop's or asyncio's.

    Datagrams are handed on the moment they come. With many clients that is a turn of the loop for
    each: then the socket had better be looked at when the caller says `drain`, and 9 ms after the
    last look; see `watch`. On loops that cannot watch a socket (Windows' default one) it always is,
    every 4 ms.

    Args:
        host: As for `UdpServerSocket`; ``port`` likewise.
        on_datagram: Called with every datagram, where it came from, and when it was seen, in
            seconds of ``time.perf_counter``. It may be replaced.

    Attributes:
        errors: Datagrams whose handler raised.
        watched: Whether datagrams are handed on the moment they come.
    """

    def __init__(
        self, host: str, port: int, on_datagram: Callable[[bytes, Address, float], None]
    ) -> None:
        super().__init__(host, port)
        self.errors = 0
        self.watched = False
        self._unwatchable = False  # by this loop
        self.on_datagram = on_datagram
        self._loop = asyncio.get_running_loop()
        self._look: asyncio.TimerHandle | None = None
        self._look_later()
        self.watch(True)

    def watch(self, wanted: bool) -> None:
        """Hand datagrams on the moment they come, or only when somebody looks."""
        if wanted is self.watched or self._unwatchable or self._socket.fileno() < 0:
            return
        if not wanted:
            self._loop.remove_reader(self._socket)
            self._look_later()
        else:
            try:
                self._loop.add_reader(self._socket, self.drain)
            except NotImplementedError:
                self._unwatchable = True
                return
            self._stop_looking()
        self.watched = wanted

    def drain(self) -> None:
        """Hand on everything that waits."""
        handle = self.on_datagram
        for _ in range(_AT_ONCE // _BATCH):
            datagrams = self.receive(_BATCH)
            now = perf_counter()
            for data, address in datagrams:
                try:
                    handle(data, address, now)
                except Exception:  # noqa: BLE001 - the loop would log every one of them
                    self.errors += 1
                    # Once: a peer that found a way to raise must not be able to fill the disk.
                    if self.errors == 1:
                        _log.exception("a datagram raised; further ones are counted and not logged")
            if len(datagrams) < _BATCH:
                break
        if self._look is not None:
            self._look.cancel()
            self._look_later()

    def close(self) -> None:
        if self.watched:
            self._loop.remove_reader(self._socket)
            self.watched = False
        self._stop_looking()
        super().close()

    def _stop_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _look_later(self) -> None:
        seconds = _LOOK_SECONDS if self._unwatchable else _BUSY_LOOK_SECONDS
        self._look = self._loop.call_later(seconds, self.drain)
