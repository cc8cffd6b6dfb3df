"""A client's way to its server: look-up, handshake and session, over whatever carries datagrams."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from ecsnet.client.stats import ClientStats
from ecsnet.connection.plain import ClientHandshake, Connection
from ecsnet.peer import Peer
from ecsnet.replication.wire import MESSAGE_BYTES
from ecsnet.session.goodbye import GOODBYE_TEXT, Reason
from ecsnet.session.packets import RAW
from ecsnet.session.session import Received
from ecsnet.transport.address import Address
from ecsnet.transport.conditioner import Link
from ecsnet.transport.contract import ClientTransport
from ecsnet.transport.udp_client import Resolver, UdpClientSocket
from ecsnet.validation.text import clean_text

__all__ = ["ClientConnection", "End"]

DATAGRAMS_A_POLL: Final = 1000
"""The most datagrams that one poll takes in, so that a flood cannot hold a frame up."""

DATAGRAMS_WAITING: Final = 2 * DATAGRAMS_A_POLL
"""The most datagrams that wait for later polls."""

STALL: Final = 0.25
"""The most seconds that one gap between polls counts for, where time runs out."""

BANDWIDTH: Final = 64 * 1024
"""Bytes a second that the server is sent at most; commands do not wait for it."""

LOOK_UP_SECONDS: Final = 20.0
"""The longest time for the look-up of the server's name; stalls of this end do not count."""

_SERVER: Final[Address] = ("the server", 0)  # where that is, the transport knows

INVALID_DATA: Final = "the server sent invalid data again and again"

UNKNOWN: Final = (
    f"nothing tells within {LOOK_UP_SECONDS:g} s which address the server's name stands for:"
    " is there a network? Its address in digits needs no look-up"
)


BUSY: Final = (
    "the server is there and does not let us in: too many join at once, or too much gets lost on"
    " the way; try again"
)


@dataclass(frozen=True, slots=True)
class End:
    """The reason why there is no connection, or none any more.

    Attributes:
        reason: Why.
        detail: What is known beside the reason, and what helps.
    """

    reason: Reason
    detail: str = ""


class ClientConnection:
    """One connection to a server, from the look-up of its name to its end.

    Args:
        hello: The first message; it goes out as soon as there is a connection.
        now: Seconds, on the clock of all calls.
        random: Returns that many random bytes.

    Attributes:
        link: A bad network to go through; None for the real one.
        stats: Figures, kept up to date.
        peer: The server; nothing goes there until there is a connection.
        end: Why it is over, once it is.
    """

    def __init__(self, hello: bytes, now: float, random: Callable[[int], bytes]) -> None:
        self.link: Link | None = None
        self.stats = ClientStats()
        self.peer = Peer(RAW, message_limit=MESSAGE_BYTES, peer_interval=0.05)
        self.peer.limit(BANDWIDTH)
        self.end: End | None = None
        self._hello = hello
        self._random = random
        self._waiting: deque[bytes] = deque()  # datagrams that nobody has looked at yet
        self._resolver: Resolver | None = None
        self._transport: ClientTransport | None = None
        self._udp: UdpClientSocket | None = None  # the transport, where that is UDP
        self._now = self._looked_at = now
        self._look_up_left = LOOK_UP_SECONDS
        self._handshake = ClientHandshake(random(8), now)
        self._rated_at = now
        self._rated_bytes = 0

    @property
    def connected(self) -> bool:
        """True if the handshake is done and the connection has not ended."""
        return self.peer.connection is not None and self.end is None

    def resolve(self, host: str, port: int) -> None:
        """Go to the server of that name over UDP; the look-up goes on beside the calls."""
        self._resolver = Resolver(host, port)

    def over(self, transport: ClientTransport) -> None:
        """Go over something that reaches the server already."""
        self._transport = transport

    def fetch(self, now: float) -> None:
        """Take what has arrived off the transport, for `next_packet`. It begins a poll."""
        self._now = now
        if self._transport is None:
            self._transport = self._resolved(now)
        transport, link, waiting = self._transport, self.link, self._waiting
        if transport is None or self.end is not None:
            return
        if link is None:
            waiting.extend(transport.receive(DATAGRAMS_A_POLL))
        else:
            for datagram in transport.receive(DATAGRAMS_A_POLL):
                link.put("in", datagram, now)
            for datagram in link.take("out", now):
                transport.send(datagram)
            waiting.extend(link.take("in", now))
        while len(waiting) > DATAGRAMS_WAITING:
            waiting.pop()  # lost, as in the buffer of a socket

    def next_packet(self, now: float) -> Received[msgspec.Raw] | None:
        """Take in what was fetched, up to the next packet of the session.

        Returns:
            What is in it; None when there is nothing more. It is answered, where it asks for that.
        """
        waiting = self._waiting
        while waiting and self.end is None:
            datagram = waiting.popleft()
            self.stats.datagrams_received += 1
            self.stats.bytes_received += len(datagram)
            received = self._datagram(datagram, now)
            if not self._leave_the_abusive() and received is not None:
                if received.reply:
                    self.peer.send(None, now)
                return received
        return None

    def check(self, now: float) -> None:
        """Go on with the handshake; give up a server that is silent or abusive."""
        if self._transport is None or self.end is not None or self._leave_the_abusive():
            return
        connection = self.peer.connection
        if connection is None:
            for datagram in self._handshake.poll(now):
                self._send(datagram, _SERVER)
            if self._handshake.refused is not None:
                self.end = End(self._handshake.refused, self._why_not(self._handshake))
        elif connection.silent(now):
            self.peer.send_goodbye(Reason.TIMEOUT, "", now)  # it may sleep, and hear it one day
            self.end = End(Reason.TIMEOUT)

    def measure(self, now: float) -> None:
        """Bring the figures up to date."""
        stats, session = self.stats, self.peer.session
        path = session.path
        if path.measured:
            stats.measured, stats.rtt, stats.jitter = True, path.rtt, path.jitter
        stats.loss = max(path.loss, session.loss_in)
        if self.peer.connection is not None:
            stats.silence = now - self.peer.connection.heard
        elapsed = now - self._rated_at
        if elapsed >= 1:
            octets = stats.bytes_sent + stats.bytes_received
            stats.rate = (octets - self._rated_bytes) / elapsed
            self._rated_at, self._rated_bytes = now, octets

    def relink(self, connection: Connection) -> None:
        """Go on over another connection with the same server; the session stays."""
        self.peer.relink(connection, _SERVER, self._send)

    def leave(self, reason: Reason = Reason.LEFT) -> None:
        """Tell the server goodbye, past any `link`."""
        if self.connected:
            link, self.link = self.link, None
            self.peer.send_goodbye(reason, "", self._now)
            self.link = link

    def give_up(self, reason: Reason, detail: str = "") -> None:
        """End the connection from here, and tell the server."""
        self.leave(reason)
        self.end = End(reason, detail)

    def close(self) -> None:
        """Let go of what carries datagrams. Closing twice is fine."""
        if self._transport is not None:
            self._transport.close()

    def _leave_the_abusive(self) -> bool:
        if self.peer.abusive and self.end is None:
            self.give_up(Reason.ABUSE, INVALID_DATA)
        return self.peer.abusive

    def _why_not(self, handshake: ClientHandshake) -> str:
        """Describe why a handshake failed, beside the reason."""
        if handshake.refused is Reason.UNREACHABLE and handshake.answered:
            return BUSY
        return "" if self._udp is None else self._udp.trouble or ""

    def _resolved(self, now: float) -> ClientTransport | None:
        """Return the way to the server, once its address is known."""
        resolver = self._resolver
        if resolver is None:
            return None
        if resolver.error is not None:
            self.end = End(Reason.UNREACHABLE, resolver.error)
            return None
        addresses = resolver.poll()
        if addresses is None:
            elapsed, self._looked_at = now - self._looked_at, now
            self._look_up_left -= min(elapsed, STALL)
            if self._look_up_left < 0:
                self.end = End(Reason.UNREACHABLE, UNKNOWN)
            return None
        self._handshake = ClientHandshake(self._random(8), now)  # its time begins now
        self._udp = UdpClientSocket(addresses)
        return self._udp

    def _datagram(self, datagram: bytes, now: float) -> Received[msgspec.Raw] | None:
        connection = self.peer.connection
        if connection is None:
            if not self._handshake.receive_answer(datagram, now):
                self.stats.datagrams_rejected += 1
            elif self._handshake.connection is not None:
                assert self._transport is not None
                self._transport.pin()
                self.relink(self._handshake.connection)
                self.peer.queue(self._hello)
            return None
        packet = connection.open(datagram, now)
        if packet is None:
            self.stats.datagrams_rejected += 1
            return None
        received = self.peer.receive_packet(packet, now)
        goodbye = self.peer.goodbye
        if goodbye is not None:
            self.end = End(goodbye.reason, clean_text(goodbye.text, GOODBYE_TEXT))
        return received

    def _send(self, datagram: bytes, _server: Address) -> None:
        assert self._transport is not None
        self.stats.datagrams_sent += 1
        self.stats.bytes_sent += len(datagram)
        if self.link is None:
            self._transport.send(datagram)
            return
        self.link.put("out", datagram, self._now)
        for due in self.link.take("out", self._now):
            self._transport.send(due)
