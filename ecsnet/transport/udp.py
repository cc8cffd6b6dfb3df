"""The server's end of UDP: an endpoint on an event loop, and a plain socket to poll."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator

from ecsnet.errors import UsageError
from ecsnet.transport.address import Address, answerable, bind_udp

__all__ = ["UdpServer", "UdpServerSocket"]

_log = logging.getLogger("ecsnet.server")

_LONGEST = 2048


class _Protocol(asyncio.DatagramProtocol):
    """Hands datagrams on; whatever goes wrong stays here and is counted."""

    def __init__(self, server: UdpServer) -> None:
        self._server = server
        self._on_datagram = server._on_datagram

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if not answerable(addr):
            self._server.dropped_sources += 1
            return
        try:
            self._on_datagram(data, addr)
        except Exception:  # noqa: BLE001 - the loop would log every one of them
            self._server.errors += 1
            # Once: a peer that found a way to raise must not be able to fill the disk.
            if self._server.errors == 1:
                _log.exception("a datagram raised; further ones are counted and not logged")

    def error_received(self, exc: Exception) -> None:
        self._server.send_errors += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._lost(exc)


class UdpServer:
    """A UDP endpoint on the running event loop, uvloop's or asyncio's.

    Make it with ``await UdpServer.start(...)``.

    Attributes:
        address: Where it listens, with the port that the system chose.
        dropped_sources: Datagrams from where nothing can be answered: port 0, broadcast.
        errors: Datagrams whose handler raised.
        send_errors: Datagrams that the system refused to send.
    """

    def __init__(self, bound: socket.socket, on_datagram: Callable[[bytes, Address], None]) -> None:
        self.address: Address = bound.getsockname()
        self.receive_buffer = bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.dropped_sources = self.errors = self.send_errors = 0
        self._on_datagram = on_datagram
        self._socket = bound
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = False
        self._gone: asyncio.Event = asyncio.Event()
        self._reopening: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, host: str, port: int, on_datagram: Callable[[bytes, Address], None]
    ) -> UdpServer:
        """Bind and begin to receive.

        Args:
            host: A name or address of this machine, ``"0.0.0.0"`` or ``"::"`` for all.
            port: The port, 0 for any free one.
            on_datagram: Called with every datagram and where it came from.

        Raises:
            AddressInUseError: Another socket has the port.
            UsageError: The address is not one of this machine's, or not allowed.
        """
        bound = bind_udp(host, port)
        server = cls(bound, on_datagram)
        await server._open(bound)
        return server

    def sendto(self, data: bytes, address: Address) -> None:
        """Send a datagram; what the system will not send is lost like any other."""
        try:
            # Past the transport, which would only add its own cost: a datagram is gone or lost.
            self._socket.sendto(data, address)
        except (OSError, ValueError, OverflowError):
            self.send_errors += 1

    def close(self) -> None:
        """Stop. What was sent before still goes out."""
        if self._closed:
            return
        self._closed = True
        if self._reopening is not None:
            self._reopening.cancel()
        if self._transport is None:
            self._gone.set()
        else:
            self._transport.close()
            self._transport = None

    async def wait_closed(self) -> None:
        """Wait until the port is free again."""
        await self._gone.wait()

    async def _open(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._socket = bound
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Protocol(self), sock=bound
        )

    def _lost(self, error: Exception | None) -> None:
        """Note that the transport ended; if nobody asked for that, open it again."""
        if self._closed:
            self._gone.set()
            return
        self._transport = None
        _log.warning("the UDP endpoint closed by itself (%s): opening it again", error)
        self._reopening = asyncio.get_running_loop().create_task(self._reopen())

    async def _reopen(self) -> None:
        host, port = self.address[:2]
        while not self._closed:
            try:
                await self._open(bind_udp(host, port))
            except (UsageError, OSError) as error:
                _log.warning("cannot listen yet, trying again in a second: %s", error)
                await asyncio.sleep(1.0)
            else:
                return


class UdpServerSocket:
    """The server's end without an event loop: a bound socket that is polled.

    Raises:
        AddressInUseError: Another socket has the port.
        UsageError: The address is not one of this machine's, or not allowed.

    Attributes:
        address: Where it listens, with the port that the system chose.
        dropped_sources: Datagrams from where nothing can be answered.
        send_errors: Datagrams that the system refused to send.
    """

    def __init__(self, host: str, port: int) -> None:
        self._socket = bind_udp(host, port)
        self.address: Address = self._socket.getsockname()
        self.dropped_sources = self.send_errors = 0

    def receive(self, budget: int = 1000) -> Iterator[tuple[bytes, Address]]:
        """Yield the datagrams that wait, at most ``budget``, and where they came from."""
        for _ in range(budget):
            try:
                data, address = self._socket.recvfrom(_LONGEST)
            except ConnectionError:  # Windows: an earlier datagram found a closed port
                continue
            except OSError:
                return
            if answerable(address):
                yield data, address
            else:
                self.dropped_sources += 1

    def sendto(self, data: bytes, address: Address) -> None:
        """Send a datagram; what the system will not send is lost like any other."""
        try:
            self._socket.sendto(data, address)
        except (OSError, OverflowError):
            self.send_errors += 1

    def close(self) -> None:
        """Free the port."""
        self._socket.close()
