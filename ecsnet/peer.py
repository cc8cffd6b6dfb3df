"""A peer: the connection to it, the session with it, and the reliable messages in that.

This is what drives all three. Packets come in by `Peer.receive_packet`, once their connection has
opened the datagrams, and `Peer.send` hands datagrams to the function that the connection was given
with. Where something else carries packets, `Peer.pack` returns them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, Generic, TypeAlias

import msgspec

from ecsnet.connection.plain import Connection
from ecsnet.schema.gate import encode
from ecsnet.session.channel import Incoming, Outgoing, SentFragments
from ecsnet.session.inbound_budget import BURST_SECONDS
from ecsnet.session.packets import PacketCodec, PayloadT
from ecsnet.session.session import (
    HEADER_BYTES,
    KEEPALIVE,
    MAX_PAYLOAD,
    NO_TAG,
    Received,
    Session,
)
from ecsnet.session.token_bucket import TokenBucket
from ecsnet.transport.address import Address

__all__ = ["NO_TAG", "Peer", "Send"]

Send: TypeAlias = Callable[[bytes, Address], None]
"""A function that sends a datagram to an address."""

_NOWHERE: Final[Address] = ("", 0)


class Peer(Generic[PayloadT]):
    """The other end of one session.

    A caller does, once a tick: ``receive_packet`` for each packet that came, ``lost``, ``send``
    with what there is to say, ``send_messages`` while there is a byte allowance, and, when it had
    nothing to say and something is ``due``, ``send(None, now)``.

    Args:
        codec: The peer's packets: with payloads of some type, or ``RAW``.
        message_limit: Bytes in the longest message taken from the peer.
        send_limit: Bytes in the longest message that ``queue`` takes.
        packet_rate: Packets a second taken from the peer, with a burst of two seconds;
            infinite unless given.
        byte_rate: Bytes a second taken from the peer, likewise; see `InboundBudget`.
        message_rate: Messages a second taken from the peer, likewise.
        peer_interval: Seconds between the peer's packets at its usual pace.
        keepalive: Seconds of quiet after which something is sent.
        ping_interval: Seconds between the pings that packets carry on their own.
        first: The number before that of the first packet and the first message, the same on both
            ends.

    Attributes:
        session: Packet numbers and acks.
        connection: The connection; None before the first one.
        address: Where its datagrams go.
        unacked: Whether messages wait for their ack.
        bytes_sent: Bytes in all datagrams that were sent to it.
        on_packet: Called with each packet, and whether it is sent; None mostly.
        bad_fragments: Packets dropped because of fragments that no honest peer sends.
    """

    __slots__ = (
        "_carried",
        "_incoming",
        "_messages",
        "_out",
        "_send",
        "address",
        "bad_fragments",
        "bytes_sent",
        "connection",
        "on_packet",
        "session",
        "unacked",
    )

    def __init__(
        self,
        codec: PacketCodec[PayloadT],
        *,
        message_limit: int = 1 << 20,
        send_limit: int = 1 << 20,
        packet_rate: float = inf,
        byte_rate: float = inf,
        message_rate: float = inf,
        peer_interval: float = 0.05,
        keepalive: float = KEEPALIVE,
        ping_interval: float = 0.25,
        first: int = 0,
    ) -> None:
        self.session: Session[PayloadT] = Session(
            codec,
            packet_rate=packet_rate,
            byte_rate=byte_rate,
            peer_interval=peer_interval,
            keepalive=keepalive,
            ping_interval=ping_interval,
            first=first,
        )
        self.connection: Connection | None = None
        self.address: Address = _NOWHERE
        self._send: Send = _send_nowhere
        self.unacked = False
        self.bytes_sent = 0
        self.on_packet: Callable[[bytes, bool], None] | None = None
        self._out = Outgoing(send_limit, first)
        self._incoming = Incoming(message_limit, first)
        # What of messages is in packets, by number, and the bytes of it that count against the
        # window.
        self._carried: dict[int, tuple[SentFragments, int]] = {}
        self._messages: TokenBucket | None = None
        if message_rate != inf:
            self._messages = TokenBucket(message_rate, message_rate * BURST_SECONDS)
        self.bad_fragments = 0

    def relink(self, connection: Connection, address: Address, send: Send) -> None:
        """Go on over another connection: session and messages stay as they are.

        Args:
            connection: The connection.
            address: Where its datagrams go.
            send: What sends them.
        """
        self.connection, self.address, self._send = connection, address, send

    # Messages.

    @property
    def queued(self) -> int:
        """The number of the last message queued."""
        return self._out.queued

    @property
    def delivered(self) -> int:
        """Every message up to this number has arrived at the peer."""
        return self._out.delivered

    @property
    def received(self) -> int:
        """The number of the last message that ``receive_packet`` handed out."""
        return self._incoming.received

    @property
    def backlog(self) -> int:
        """Bytes of messages that the peer has not acked."""
        return self._out.backlog

    @property
    def streaming(self) -> bool:
        """True if messages wait that are too long, or too many, to go along with a payload."""
        return self.unacked and self._out.streaming

    def queue(self, message: bytes) -> int:
        """Put a reliable message into the line; return its number, from 1 on.

        Raises:
            UsageError: It is longer than the limit.
        """
        number = self._out.queue(message)
        self.unacked = True
        return number

    def room(self) -> int:
        """Return how many encoded bytes of payload fit into the next packet beside the messages
        that go along with it.
        """
        if not self.unacked:
            return MAX_PAYLOAD
        raw, _ = self._out.piggybacked()
        return MAX_PAYLOAD if raw is None else MAX_PAYLOAD - len(raw)

    # Receiving.

    def receive_packet(self, packet: bytes, now: float) -> Received[PayloadT] | None:
        """Take a packet; None when there is nothing in it for the caller.

        It never raises on what a peer sends: what is bad, a duplicate or too much is counted and
        dropped, without an ack.
        """
        if self.on_packet is not None:
            self.on_packet(packet, False)
        received = self.session.receive(packet, now)
        if received is None:
            return None
        for number in received.carriers:
            self._arrived(number)
        if received.fragments:
            if not self._admits(received, now):
                self.session.refuse(received.number)
                return None
            received.messages = self._incoming.take(received.fragments)
        return received

    def _arrived(self, number: int) -> None:
        carried = self._carried.pop(number, None)
        if carried is not None:
            self._out.arrived(carried[0], carried[1])
            self.unacked = bool(self._out.unacked)

    def _admits(self, received: Received[PayloadT], now: float) -> bool:
        """Return whether the fragments in a packet can be taken in."""
        begun = self._incoming.admit(received.fragments)
        if begun is None:
            self.bad_fragments += 1
            self.strike(now)
            return False
        if begun and self._messages is not None and not self._messages.take(begun, now):
            self.session.budget.exceeded(now)
            return False
        return True

    # What the peer did wrong.

    @property
    def abusive(self) -> bool:
        """True if the peer should be dropped; see `InboundBudget`."""
        return self.session.budget.abusive

    def strike(self, now: float) -> None:
        """Count bad input that the caller found in a payload or a message."""
        self.session.budget.strike(now)

    # Sending.

    def lost(self, now: float) -> list[int]:
        """Give up the packets that have had no ack for longer than the path takes; return their
        tags, oldest first. What they carried of messages goes again.
        """
        lost = self.session.lost(now)
        if lost is None:
            return []
        for number, sent_at in lost.carriers:
            fragments, size = self._carried.get(number, ((), 0))
            if size:
                self._out.lost(fragments, size, sent_at, now)
                self._carried[number] = fragments, 0
        for number in lost.forgotten:
            self._carried.pop(number, None)
        return lost.tags

    def due(self, now: float) -> bool:
        """Return whether something should be sent although there is nothing to say."""
        if self.session.due(now):
            return True
        return self.unacked and bool(self._out.piggybacked()[1])

    def pack(
        self, payload: object, now: float, tag: int = NO_TAG, *, piggyback: bool = True
    ) -> bytes:
        """Return the next packet.

        Args:
            payload: Anything that encodes as msgpack; None for nothing.
            now: Seconds.
            tag: What ``acked``, ``late`` or ``lost`` will say about this packet, 0 or more.
            piggyback: Whether the short unacked messages go along. They do in the first packet of
                a tick.

        Raises:
            UsageError: The payload is longer than a packet, see ``room``.
        """
        session = self.session
        if not (piggyback and self.unacked):
            return session.send(payload, now, tag)
        raw, fragments = self._out.piggybacked()
        packet = session.send(payload, now, tag, raw)
        if session.carrier == session.number:
            self._carried[session.number] = fragments, 0
        return packet

    def pack_messages(self, now: float, allowance: int) -> list[bytes]:
        """Return packets of waiting messages, as many as the window lets go.

        Args:
            now: Seconds.
            allowance: Bytes that the packets may have in all. Less than a packet's worth
                (1,175 bytes) may yield nothing.
        """
        packets: list[bytes] = []
        while self.unacked and (filled := self._out.fill(allowance - HEADER_BYTES)) is not None:
            wire, fragments, size = filled
            packet = self.session.send(None, now, NO_TAG, msgspec.Raw(encode(wire)))
            self._carried[self.session.number] = fragments, size
            allowance -= len(packet)
            packets.append(packet)
        return packets

    def transmit(self, packet: bytes) -> int:
        """Send a packet; return the bytes of its datagram."""
        connection = self.connection
        assert connection is not None
        if self.on_packet is not None:
            self.on_packet(packet, True)
        datagram = connection.seal(packet)
        size = len(datagram)
        self.bytes_sent += size
        self._send(datagram, self.address)
        return size

    def send(
        self, payload: object, now: float, tag: int = NO_TAG, *, piggyback: bool = True
    ) -> int:
        """Send the next packet, see `pack`; return the bytes of its datagram."""
        return self.transmit(self.pack(payload, now, tag, piggyback=piggyback))

    def send_messages(self, now: float, allowance: int) -> int:
        """Send waiting messages, see `pack_messages`; return the bytes of the datagrams."""
        sent = 0
        for packet in self.pack_messages(now, allowance):
            sent += self.transmit(packet)
        return sent


def _send_nowhere(_datagram: bytes, _address: Address) -> None:
    """Send nothing: there is no connection."""
