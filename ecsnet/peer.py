"""A peer: the connection to it, the session with it, and the reliable messages in that.

This is what drives all three. Packets come in by `Peer.receive_packet`, once their connection has
opened the datagrams, and `Peer.send` hands datagrams to the function that the connection was given
with. A server drives all of its peers together, see `ecsnet.peers`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, Generic, TypeAlias

import msgspec

from ecsnet.connection.plain import OVERHEAD, Connection
from ecsnet.limits import MAX_PACKET
from ecsnet.schema.gate import encode
from ecsnet.session.channel import Incoming, Outgoing, SentFragments
from ecsnet.session.goodbye import Goodbye, Reason
from ecsnet.session.inbound_budget import BURST_SECONDS
from ecsnet.session.packets import PacketCodec, PayloadT
from ecsnet.session.sent_packets import SentPackets
from ecsnet.session.session import (
    HEADER_BYTES,
    KEEPALIVE,
    NO_TAG,
    Received,
    Session,
)
from ecsnet.session.token_bucket import TokenBucket
from ecsnet.transport.address import Address

__all__ = ["BANDWIDTH", "NO_TAG", "Peer", "Send"]

Send: TypeAlias = Callable[[bytes, Address], None]
"""A function that sends a datagram to an address."""

BANDWIDTH: Final = 256 * 1024
"""Bytes a second that a client is sent at most, unless the game says otherwise."""

BANDWIDTH_SECONDS: Final = 0.25
"""Seconds of bandwidth that may be sent at once."""

_NOWHERE: Final[Address] = ("", 0)
_GOODBYES: Final = 5  # alike, because some get lost


class Peer(Generic[PayloadT]):
    """The other end of one session.

    A caller does, once a tick: ``receive_packet`` for each packet that came, ``lost``, ``send``
    with what there is to say, and where there is nothing, ``flush``.

    What is sent is measured against a bandwidth. Messages that are too long, or too many, to be
    piggybacked have half of it while they wait, so that neither they nor payloads starve.

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
        bandwidth: Bytes a second that are sent at most, see `limit`; infinite at first.
        allowance: Bytes that payloads may take now. Whoever sends them has to heed it; the last one
            may overdraw it.
        bytes_sent: Bytes in all datagrams that were sent to it.
        on_packet: Called with each packet, and whether it is sent; None mostly.
        bad_fragments: Packets dropped because of fragments that no honest peer sends.
    """

    __slots__ = (
        "_burst",
        "_carried",
        "_incoming",
        "_messages",
        "_out",
        "_piggybacked_at",
        "_piggybacks",
        "_refilled_at",
        "_send",
        "_stream_allowance",
        "address",
        "allowance",
        "bad_fragments",
        "bandwidth",
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
        # The packets that messages were piggybacked on; the tag is the number of the last of these.
        self._piggybacks = SentPackets()
        # What is in packets of the stream, by number, and the bytes of it that count against the
        # window.
        self._carried: dict[int, tuple[SentFragments, int]] = {}
        self._messages: TokenBucket | None = None
        if message_rate != inf:
            self._messages = TokenBucket(message_rate, message_rate * BURST_SECONDS)
        self.bad_fragments = 0
        self._piggybacked_at = -inf  # seconds
        self.bandwidth = self._burst = self.allowance = self._stream_allowance = inf
        self._refilled_at = inf

    def limit(self, bandwidth: float) -> None:
        """Send no more than so many bytes a second from now on."""
        self.bandwidth = bandwidth
        self._burst = max(bandwidth * BANDWIDTH_SECONDS, 2 * MAX_PACKET)
        self.allowance = self._stream_allowance = self._burst / 2
        self._refilled_at = inf  # from the first `refill` on

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
        self._piggybacked_at = -inf
        return number

    # Receiving.

    def receive_packet(self, packet: bytes, now: float) -> Received[PayloadT] | None:
        """Take a packet; None when there is nothing in it for the caller, or it is the last one,
        see `goodbye`.

        It never raises on what a peer sends: what is bad, a duplicate or too much is counted and
        dropped, without an ack.
        """
        if self.on_packet is not None:
            self.on_packet(packet, False)
        received = self.session.receive_packet(packet, now)
        if received is None:
            return None
        # Most have none of both, and an iterator would have to be made to find that out.
        if received.carriers:
            for number in received.carriers:
                self._arrived(number)
        if received.fragments:
            if not self._admits(received, now):
                self.session.refuse(received.number)
                return None
            received.messages = self._incoming.take(received.fragments)
        return received

    def _arrived(self, number: int) -> None:
        last = self._piggybacks.pop(number)
        if last != NO_TAG:
            self._out.piggyback_arrived(last)
        else:
            carried = self._carried.pop(number, None)
            if carried is None:
                return
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

    @property
    def goodbye(self) -> Goodbye | None:
        """The peer's last word, once it has come."""
        return self.session.goodbye

    # What the peer did wrong.

    @property
    def abusive(self) -> bool:
        """True if the peer should be dropped; see `InboundBudget`."""
        return self.session.budget.abusive

    def strike(self, now: float) -> None:
        """Count bad input that the caller found in a payload or a message."""
        self.session.budget.strike(now)

    # Fates.

    @property
    def tagged(self) -> SentPackets:
        """The packets with a tag whose fate is open."""
        return self.session.tagged

    @property
    def loss_timeout(self) -> float:
        """Seconds after which a packet without an ack is given up."""
        return self.session.path.loss_timeout

    def overdue(self, now: float) -> bool:
        """Return whether messages are on their way in packets without a tag, and `lost` has
        something to do.
        """
        return self.session.overdue(now)

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
            self._piggybacks.pop(number)
            self._carried.pop(number, None)
        return lost.tags

    # Sending.

    def refill(self, now: float) -> None:
        """Let the bandwidth since the last call be sent."""
        elapsed, self._refilled_at = now - self._refilled_at, now
        if elapsed <= 0 or self.bandwidth == inf:
            return
        gained = elapsed * self.bandwidth
        for_stream = gained / 2 if self.streaming else 0.0
        self._stream_allowance = min(self._burst, self._stream_allowance + for_stream)
        self.allowance = min(self._burst, self.allowance + gained - for_stream)

    def due(self, now: float) -> bool:
        """Return whether something should be sent although there is nothing to say."""
        if self.session.due(now):
            return True
        return self.unacked and self._out.piggybacked()[0] is not None

    def send(self, payload: object, now: float, tag: int = NO_TAG) -> None:
        """Send the next packet, and of the messages that wait what may go now.

        Args:
            payload: Anything that encodes as msgpack; None for nothing.
            now: Seconds.
            tag: What ``acked``, ``late`` or ``lost`` will say about this packet, 0 or more.

        Raises:
            UsageError: The payload is longer than a packet.
        """
        for packet in self.pack(payload, now, tag):
            self.transmit(packet)

    def send_messages(self, now: float) -> None:
        """Send of the messages that are not piggybacked what may go now."""
        for packet in self.pack_messages(now):
            self.transmit(packet)

    def flush(self, now: float) -> None:
        """Send what is due where there is no payload: messages, acks, signs of life. All of it is
        within the bandwidth, so that an ack may have to wait for that.
        """
        self.send_messages(now)
        self.refill(now)
        if self.allowance > 0 and self.due(now):
            self.send(None, now)

    def send_goodbye(self, reason: Reason, text: str, now: float) -> tuple[bytes, bytes]:
        """Tell the peer that the session has ended, and why.

        Returns:
            The shortest datagram that says the same, and the shortest one without the text.
        """
        for _ in range(_GOODBYES):
            self.transmit(self.session.pack_goodbye(reason, text, now))
        connection, session = self.connection, self.session
        assert connection is not None
        return (
            connection.seal(session.pack_last_words(reason, text)),
            connection.seal(session.pack_last_words(reason)),
        )

    # Packets, for whoever carries them itself.

    def pack(self, payload: object, now: float, tag: int = NO_TAG) -> list[bytes]:
        """Return the packets that `send` sends; the last one has the payload.

        Short messages are piggybacked on the first packet of each moment, or go in one right before
        it where both do not fit into one.
        """
        if not self.unacked:
            return [self.session.send(payload, now, tag)]
        raw, last = self._out.piggybacked()
        packets = self.pack_messages(now) if self._out.streaming else []
        if raw is not None and self._piggybacked_at != now:
            self._piggybacked_at = now
            together = self.session.send_fragments(raw, payload, now, tag)
            packet = together or self.session.send_fragments(raw, None, now)
            assert packet is not None  # what is piggybacked is less than a packet
            self._piggybacks.add(self.session.number, last, now)
            packets.append(packet)
            if together is not None:
                return packets
        packets.append(self.session.send(payload, now, tag))
        return packets

    def pack_messages(self, now: float) -> list[bytes]:
        """Return packets of messages that are not piggybacked, as many as window and bandwidth let
        go.
        """
        packets: list[bytes] = []
        if not self.streaming:
            return packets
        self.refill(now)
        while True:
            room = min(self._stream_allowance, MAX_PACKET) - HEADER_BYTES
            filled = self._out.fill(int(room))
            if filled is None:
                return packets
            wire, fragments, size = filled
            packet = self.session.send_fragments(msgspec.Raw(encode(wire)), None, now)
            assert packet is not None  # the room was that of a packet
            self._carried[self.session.number] = fragments, size
            # It is not taken from what payloads have.
            self._stream_allowance -= len(packet) + OVERHEAD
            self.allowance += len(packet) + OVERHEAD
            packets.append(packet)

    def transmit(self, packet: bytes) -> None:
        """Send a packet."""
        connection = self.connection
        assert connection is not None
        if self.on_packet is not None:
            self.on_packet(packet, True)
        datagram = connection.seal(packet)
        size = len(datagram)
        self.bytes_sent += size
        self.allowance -= size
        self._send(datagram, self.address)


def _send_nowhere(_datagram: bytes, _address: Address) -> None:
    """Send nothing: there is no connection."""
