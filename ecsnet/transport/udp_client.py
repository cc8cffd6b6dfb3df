"""The client's end of UDP: a plain socket that never blocks, and names looked up aside."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence

from ecsnet.transport.address import Address, check_port
from ecsnet.transport.contract import POLL_BUDGET
from ecsnet.validation.wording import send_trouble

__all__ = ["Resolver", "UdpClientSocket"]

_LONGEST = 2048
_RECEIVE_BUFFER = 1 << 20
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}

Lookup = Callable[[str, int], Sequence[Address]]


def _look_up(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    addresses: list[Address] = []
    for _, _, _, _, address in found:
        if address not in addresses:
            addresses.append(address)  # type: ignore[arg-type]
    # A game server is most often bound to IPv4; the other kind gets its turn a blink later.
    return sorted(addresses, key=lambda one: ":" in one[0])


class Resolver:
    """The look-up of a host name in a thread of its own, so that no frame waits for it.

    Addresses in digits are there at once. The thread is a daemon and touches nothing else.

    Args:
        host: A name or an address.
        port: The port.
        lookup: What looks up; raises ``OSError`` when there is no such name.

    Raises:
        UsageError: There is no such port.

    Attributes:
        error: Why the name could not be looked up; None while it may still be.
    """

    def __init__(self, host: str, port: int, *, lookup: Lookup = _look_up) -> None:
        check_port(port)
        self.error: str | None = None
        self._addresses: list[Address] | None = None
        self._host = host = _ANYWHERE.get(host, host)
        self._port = port
        self._lookup = lookup
        try:
            numeric = socket.getaddrinfo(
                host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
            )
        except (OSError, ValueError, OverflowError):
            threading.Thread(target=self._run, name="ecsnet-resolver", daemon=True).start()
        else:
            self._addresses = [numeric[0][4]]  # type: ignore[list-item]

    def poll(self) -> list[Address] | None:
        """Return the addresses, best first, once they are known."""
        return self._addresses

    def _run(self) -> None:
        try:
            addresses = list(self._lookup(self._host, self._port))
        except (OSError, ValueError, OverflowError) as error:
            trouble = send_trouble(error, self._host)
            self.error = f"cannot find {self._host}: {trouble}"
            return
        if addresses:
            self._addresses = addresses
        else:
            self.error = f"cannot find {self._host}: it has no address; is the name spelt right?"


class UdpClientSocket:
    """Datagrams to and from one server, which may have several addresses: a `ClientTransport`.

    Until ``pin`` says which address answers, every datagram goes to the next of them in
    turn. Nothing blocks and nothing raises: what the network refuses is lost.

    Args:
        addresses: Where the server may be, as from ``Resolver.poll``.

    Attributes:
        address: The address pinned, None before.
        dropped: Datagrams that the system refused to send.
        trouble: Why it would send none at all, and what helps; None once it sent one.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.address: Address | None = None
        self.dropped = 0
        self.trouble: str | None = None
        self._addresses = list(addresses)
        self._turn = 0
        self._sent = False
        self._last: Address | None = None
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}
        for address in self._addresses:
            self._open(_family(address))

    def _open(self, family: socket.AddressFamily) -> None:
        if family in self._sockets:
            return
        try:
            opened = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as error:  # a machine without IPv6
            self._cannot_send(error, self._addresses[0])
            return
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._sockets[family] = opened

    def send(self, data: bytes) -> None:
        """Send a datagram to the server, or to the next address that may be it."""
        address = self.address
        if address is None:
            if not self._addresses:
                return
            address = self._addresses[self._turn % len(self._addresses)]
            self._turn += 1
        opened = self._sockets.get(_family(address))
        try:
            if opened is not None:
                opened.sendto(data, address)
                self._sent, self.trouble = True, None
        except (OSError, OverflowError) as error:
            self.dropped += 1
            self._cannot_send(error, address)

    def receive(self, budget: int = POLL_BUDGET) -> Iterator[bytes]:
        """Yield the server's datagrams that wait, at most ``budget``."""
        for opened in list(self._sockets.values()):
            while budget > 0:
                budget -= 1
                try:
                    data, address = opened.recvfrom(_LONGEST)
                except ConnectionError:  # an earlier datagram found nobody there
                    continue
                except OSError:  # nothing waits, or closed
                    break
                if address == self.address or (self.address is None and self._known(address)):
                    self._last = address
                    yield data

    def pin(self) -> None:
        """Stay with the address that the last datagram came from."""
        if self._last is None:
            return
        self.address = self._last
        for family in list(self._sockets):
            if family != _family(self.address):
                self._sockets.pop(family).close()

    def close(self) -> None:
        """Close the socket; sending and receiving do nothing from now on."""
        for opened in self._sockets.values():
            opened.close()
        self._sockets.clear()

    def _cannot_send(self, error: Exception, address: Address) -> None:
        if not self._sent:
            self.trouble = f"cannot send to {address[0]}: {send_trouble(error, address[0])}"

    def _known(self, address: Address) -> bool:
        return any(address[:2] == one[:2] for one in self._addresses)


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET
