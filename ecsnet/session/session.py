"""A session: numbered packets, their acks, and reliable messages over lossy datagrams.

Both ends of a connection run the same class. It has no socket, no clock and no
randomness: ``now`` (seconds, never backwards) and packets come in as arguments, packets
and what arrived come out. Which envelope carries the packets is not its business, and its
state outlives a change of connection.

A packet is a msgpack array, ``[number16, ack16, missing64, payload]`` or, with more to
say, ``[number16, ack16, missing64, payload, pieces, ping, pong]``:

- ``ack16`` is a packet that has come, mostly the newest; bit i of ``missing64`` says that
  packet ``ack - 1 - i`` has not. All well is 0, one byte.
- ``payload`` is the caller's: unreliable; the record given with it is told acked or lost.
- ``pieces`` are reliable messages, or parts of them: see ``channel.py``.
- ``ping`` asks for a ``pong``: the same id, and the microseconds that it waited there.

Three rules keep it honest. Acks are taken for every packet of the last seconds, in
whatever order they come. Loss is decided by time alone, never by position. And what this
end cannot take in (over a budget, beyond a window) is dropped unacked, so that the sender
knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic

import msgspec

from ecsnet.connection.plain import MAX_PACKET
from ecsnet.errors import UsageError
from ecsnet.schema.gate import DECODE_ERRORS, encode
from ecsnet.session.channel import Incoming, Outgoing, SentFragments
from ecsnet.session.packets import PING_IDS, Fragment, PacketCodec, PayloadT
from ecsnet.session.path import PathEstimate
from ecsnet.session.sent_packets import SentPacket, SentPackets
from ecsnet.session.sequence import unwrap
from ecsnet.session.token_bucket import TokenBucket

__all__ = ["KEEPALIVE", "MAX_PAYLOAD", "Received", "SentPacket", "Session"]

# Array, number, ack, missing, pieces' header, ping and pong at their longest.
_HEADER: Final = 32

KEEPALIVE: Final = 0.2
"""Seconds of quiet after which something is sent though there is nothing to say."""

MAX_PAYLOAD: Final = MAX_PACKET - _HEADER
"""Encoded bytes that fit into one packet beside the header, when no message rides."""

_MASK64: Final = (1 << 64) - 1
# Packets behind the newest that either end keeps track of: four seconds at 256 a second.
_TRACK: Final = 1024
_TRACK_MASK: Final = (1 << _TRACK) - 1
_ACK_EVERY: Final = 32
# While all is well, only packets with these bits 0 in their numbers are timed and may ping: each
# eighth.
_LOOK: Final = 7
# Seconds after its loss was decided for which a packet's ack still counts.
_MEMORY: Final = 2.0
# Seconds of quiet after which something is sent while acks are awaited.
_NUDGE: Final = 0.05

_URGENT: Final = 128
# Strikes beyond which a peer is abusive, and seconds in which one is forgiven.
_TOLERATED: Final = 4.0
_FORGIVEN_SECONDS: Final = 60.0
# Strikes that a second of excess counts for, so that five seconds of it are too much, whether in
# one piece or with calm between; and the most seconds that pass for excess between two packets.
_EXCESS_STRIKES: Final = 0.8
_EXCESS_GAP: Final = 0.25
_BURST_SECONDS: Final = 2.0

_NO_CARGO: tuple[SentFragments, int] = ((), 0)

# Names of this module, which compiled code need not look up.
_encode: Final = encode

_SHORT: Final = b"\x94"  # how msgpack begins an array of four
_NIL: Final = msgspec.Raw(b"\xc0")
_NO_PIECES: Final = msgspec.Raw(b"\x90")


class Received(Generic[PayloadT]):
    """What was in a packet.

    Attributes:
        payload: The peer's payload; None when there was none.
        messages: Reliable messages that are complete now, in order: (number, bytes).
        late: Records that ``lost`` had given up and that have arrived after all.
        reply: Whether something should be sent at once: a ping wants its answer, or so
            many packets have come that the peer should hear of them.
    """

    __slots__ = ("_acked", "_record", "late", "messages", "payload", "reply")

    def __init__(
        self,
        payload: PayloadT | None,
        messages: Sequence[tuple[int, bytes]],
        record: SentPacket | None,
        acked: Sequence[SentPacket],
        late: Sequence[SentPacket],
        reply: bool,
    ) -> None:
        self.payload = payload
        self.messages = messages
        self._record = record  # mostly the only one
        self._acked = acked
        self.late = late
        self.reply = reply

    @property
    def acked(self) -> Sequence[SentPacket]:
        """The records of packets that the peer now says it has."""
        return self._acked if self._record is None else (self._record,)


class _Hot(SentPackets):
    """What a session touches for each packet. Slots lie in memory by class, then by name: with
    some hundred sessions the wait for memory is half of the cost, so these lie together. That is
    also why a session is, rather than has, the flight of the packets with a record.
    """

    __slots__ = (
        "_ack_wanted",
        "_even",
        "_heard",
        "_laden",
        "_least",
        "_level",
        "_missing",
        "_number",
        "_raw",
        "_sent_at",
        "_short",
        "_top",
        "more",
        "packets_received",
    )


class Session(_Hot, Generic[PayloadT]):
    """One end of a conversation; see the module's docstring.

    A caller does, once a tick: ``receive`` for each packet that came, ``lost``, ``send``
    with what there is to say, ``stream`` while there is a byte allowance, and, when it
    had nothing to say, ``send(None, now)`` if ``due``.

    Args:
        packets: The peer's packets: with payloads of some type, or ``RAW``.
        message_limit: Bytes in the longest message taken from the peer.
        send_limit: Bytes in the longest message that ``queue`` takes.
        packet_rate: Packets a second taken from the peer, with a burst of two seconds;
            infinite unless given.
        byte_rate: Bytes a second taken from the peer, likewise. There is one bucket for
            both: a packet counts as at least ``byte_rate / packet_rate`` bytes.
        message_rate: Messages a second taken from the peer, likewise.
        peer_interval: Seconds between the peer's packets at its usual pace: it cannot
            ack more often.
        keepalive: Seconds of quiet after which ``due`` says to send something.
        ping_interval: Seconds between the pings that packets carry on their own.
        first: The number before that of the first packet and the first message, the
            same on both ends (tests start close to where the wire's numbers wrap).

    Attributes:
        path: Round trip, jitter, loss towards the peer, patience.
        more: Whether the next packet says more than its payload: messages, acks, answers.
        packets_received: How many came and were taken.
        duplicates: Packets dropped because they had come before.
        stale: Packets dropped because they were more than 1,024 behind the newest.
        malformed: Packets dropped because they do not decode.
        bad_acks: Packets dropped because they ack what was never sent.
        bad_pieces: Packets dropped because of pieces that no honest peer sends.
        excess: Packets dropped because they exceed a rate.
        overdue_at: When ``lost`` has something to do next; before, it need not be called.
        strikes: How often the peer did what no honest peer does, ever.
    """

    __slots__ = (
        "_begun",
        "_blame",
        "_blamed_at",
        "_burst",
        "_cargo",
        "_carriers",
        "_counted_packets",
        "_counted_top",
        "_excess_at",
        "_full",
        "_gone",
        "_holes",
        "_in",
        "_late_acks",
        "_loss_in",
        "_messages",
        "_out",
        "_ping_at",
        "_ping_id",
        "_pings",
        "_pong_at",
        "_pong_id",
        "_rate",
        "_refilled_at",
        "_settled",
        "bad_acks",
        "bad_pieces",
        "duplicates",
        "excess",
        "keepalive",
        "malformed",
        "overdue_at",
        "path",
        "ping_interval",
        "stale",
        "strikes",
    )

    def __init__(
        self,
        packets: PacketCodec[PayloadT],
        *,
        message_limit: int = 1 << 20,
        send_limit: int = 1 << 20,
        packet_rate: float = float("inf"),
        byte_rate: float = float("inf"),
        message_rate: float = float("inf"),
        peer_interval: float = 0.05,
        keepalive: float = KEEPALIVE,
        ping_interval: float = 0.25,
        first: int = 0,
    ) -> None:
        super().__init__()
        # What each packet needs comes first and together, what some need next: compiled,
        # attributes lie in memory as they are listed here.

        # One bucket for both rates: in bytes, of which each packet takes at least so many that
        # there cannot be more packets. Refilled when it is empty, and regularly by lost().
        rate = min(byte_rate, packet_rate * MAX_PACKET)
        self._level = rate * _BURST_SECONDS
        self._least = 0
        if rate != float("inf"):
            self._least = max(1, int(rate / packet_rate))
        # Whether all before the newest has come and was acked, here and there. When in doubt, it
        # is False.
        self._even = False
        self._raw = packets.raw
        self.more = True  # the first packet pings
        self._short = packets.short
        # What we got. Bit i of missing: packet top - 1 - i has not come.
        self._top = first
        self._missing = 0
        self._heard = first  # the newest packet that the peer is known to have
        # What we sent. Packets with a record and those that only carry pieces lie apart,
        # so that the oldest record is found without a search.
        self._number = first
        self._laden = first  # the newest packet with something in _cargo
        self._ack_wanted = 0
        self.packets_received = 0
        self._sent_at = float("-inf")

        self._out = Outgoing(send_limit, first)
        self.overdue_at = 0.0  # nothing is given up before
        self._holes = 0  # bit i: packet heard - i is not known to have arrived
        self._settled = first  # what was heard when acks were last settled one by one
        self._late_acks: list[int] = []
        self._pong_id = 0
        self._pong_at = 0.0
        self._ping_at = float("-inf")
        self.path = PathEstimate(peer_interval)
        self._full = packets.full
        # What of messages is in our packets, and the bytes of it that count against the window.
        self._cargo: dict[int, tuple[SentFragments, int]] = {}
        self._carriers = SentPackets()
        # Those given up: when they are forgotten, what of messages was in them, and whether
        # the caller knows of them.
        self._gone: dict[int, tuple[float, SentPacket, SentFragments, bool]] = {}
        self._rate = rate
        self._refilled_at = 0.0
        self._burst = self._level

        self._begun = first
        self._in = Incoming(message_limit, first)
        self.keepalive = keepalive
        self.ping_interval = ping_interval
        self._ping_id = 0
        self._pings: dict[int, float] = {}
        self._loss_in = 0.0
        self._counted_top, self._counted_packets = first, 0
        self.duplicates = self.stale = self.malformed = 0
        self.bad_acks = self.bad_pieces = self.excess = 0
        self.strikes = 0
        self._messages: TokenBucket | None = None
        if message_rate != float("inf"):
            self._messages = TokenBucket(message_rate, message_rate * _BURST_SECONDS)
        self._blame = 0.0  # strikes and excess, less what was forgiven
        self._blamed_at = self._excess_at = float("-inf")

    # What a caller may ask.

    @property
    def packets_sent(self) -> int:
        """How many packets were made."""
        return self._number - self._begun

    @property
    def rtt(self) -> float:
        """The round trip, seconds, smoothed; 0.1 until the first pong."""
        return self.path.rtt

    @property
    def jitter(self) -> float:
        """The mean deviation of the round trip, seconds."""
        return self.path.jitter

    @property
    def loss_timeout(self) -> float:
        """Seconds after which ``lost`` gives up a packet that has had no ack."""
        return self.path.loss_timeout

    @property
    def loss(self) -> float:
        """The share of recent packets that got lost on the way to the peer, 0 to 1."""
        return self.path.loss

    @property
    def loss_in(self) -> float:
        """The share of the peer's recent packets that did not get here, 0 to 1."""
        return self._loss_in

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
        """The number of the last message that ``receive`` handed out."""
        return self._in.received

    @property
    def backlog(self) -> int:
        """Bytes of messages that the peer has not acked."""
        return self._out.backlog

    @property
    def streaming(self) -> bool:
        """Whether messages wait for ``stream`` to send them."""
        return bool(self._out.unacked) and self._out.streaming

    @property
    def in_flight(self) -> int:
        """Packets with a record or pieces whose fate is open."""
        return self.flying() + self._carriers.flying()

    @property
    def ack_due(self) -> bool:
        """Whether so many packets wait for their ack that it should go out at once."""
        return self._ack_wanted >= _ACK_EVERY

    @property
    def abusive(self) -> bool:
        """Whether the peer should be dropped: five times bad input, or five seconds of excess.

        Calm does not wipe the slate clean: a strike, or its worth in excess, is forgiven a minute.
        """
        return self._blame > _TOLERATED

    def strike(self, now: float) -> None:
        """Count bad input that the caller found in a payload or a message."""
        self.strikes += 1
        self._add_blame(1.0, now)

    def room(self) -> int:
        """Return how many encoded bytes of payload fit into the next riding packet."""
        if not self._out.unacked:
            return MAX_PAYLOAD
        raw, _ = self._out.piggybacked()
        return MAX_PAYLOAD if raw is None else MAX_PAYLOAD - len(raw)

    def due(self, now: float) -> bool:
        """Return whether something should be sent although there is nothing to say."""
        if self._ack_wanted or self._pong_id or self._late_acks:
            return True
        if self._out.unacked and self._out.piggybacked()[1]:
            return True
        quiet = now - self._sent_at
        if quiet >= self.keepalive:
            return True
        return quiet >= _NUDGE and self._awaited()

    # Sending.

    def queue(self, message: bytes) -> int:
        """Put a reliable message into the line; return its number, from 1 on.

        Raises:
            UsageError: It is longer than the limit.
        """
        self.more = True
        return self._out.queue(message)

    def send(
        self,
        payload: object,
        now: float,
        record: SentPacket | None = None,
        *,
        piggyback: bool = True,
    ) -> bytes:
        """Return the next packet.

        Args:
            payload: Anything that encodes as msgpack; None for nothing.
            now: Seconds.
            record: What ``acked``, ``late`` or ``lost`` will say about this packet; with
                None nothing will be said.
            piggyback: Whether the small unacked messages ride in it. They do in the first
                packet of a tick.

        Raises:
            UsageError: The payload is longer than a packet, see ``room``.
        """
        number = self._number + 1
        if record is not None and not self.more and number & _LOOK and not self._missing:
            # As it is for most packets of a server: there is only the payload to send.
            packet = _encode((number & 0xFFFF, self._top & 0xFFFF, 0, payload))
            if len(packet) <= MAX_PACKET:
                self._number = number
                self._sent_at = now
                self._ack_wanted = 0
                self.add(number, record)
                return packet
        out = self._out
        fragments: msgspec.Raw | None = None
        sent_fragments: SentFragments = ()
        if piggyback and out.unacked:
            fragments, sent_fragments = out.piggybacked()
        packet = self._pack(payload, fragments, now, 0)
        if len(packet) > MAX_PACKET:
            if fragments is not None:
                fragments, sent_fragments = None, ()
                packet = self._pack(payload, None, now, 0)
            if len(packet) > MAX_PACKET:
                raise UsageError(
                    f"a packet of {len(packet)} bytes is too long, the limit is {MAX_PACKET}: "
                    f"payloads have at most {MAX_PAYLOAD} bytes, Session.room() tells"
                )
        self._sent(now)
        if sent_fragments:
            self._laden = number
            self._cargo[number] = sent_fragments, 0
        if record is not None:
            self.add(number, record)
        elif sent_fragments:
            self._carriers.add(number, SentPacket(now))
        return packet

    def stream(self, now: float, allowance: int) -> list[bytes]:
        """Return packets of waiting messages, as many as the window lets go.

        Args:
            now: Seconds.
            allowance: Bytes that the packets may have in all. Less than a packet's worth
                (1,175 bytes) may yield nothing.
        """
        packets: list[bytes] = []
        out = self._out
        while out.unacked and (filled := out.fill(allowance - _HEADER)) is not None:
            wire, sent_fragments, size = filled
            packet = self._pack(None, msgspec.Raw(_encode(wire)), now, 0)
            number = self._sent(now)
            self._carriers.add(number, SentPacket(now))
            self._laden = number
            self._cargo[number] = sent_fragments, size
            allowance -= len(packet)
            packets.append(packet)
        return packets

    def ping(self, now: float) -> bytes:
        """Return a packet whose answer is wanted at once, not with the next tick."""
        packet = self._pack(None, None, now, _URGENT)
        self._sent(now)
        return packet

    def _awaited(self) -> bool:
        """Return whether acks are awaited."""
        carriers = self._carriers
        return self.oldest_number < self.end_number or carriers.oldest_number < carriers.end_number

    def _pack(
        self, payload: object, fragments: msgspec.Raw | None, now: float, urgent: int
    ) -> bytes:
        """Encode a packet with the next number; only pings and acks note that it was made."""
        top = self._top
        missing = self._missing
        if self._late_acks:
            top = self._late_acks[-1]
            missing >>= self._top - top
        if missing:
            missing &= _MASK64
        number = self._number + 1
        ping = 0
        if (
            now >= self._ping_at
            or urgent
            # Nothing else in it that wants an ack, and acks are awaited.
            or (payload is None and fragments is None and self._awaited())
        ):
            ping = self._next_ping(now) | urgent
        elif fragments is None and not self._pong_id:
            return _encode((number & 0xFFFF, top & 0xFFFF, missing, payload))
        pong: tuple[int, int] | None = None
        if self._pong_id:
            held = min(int((now - self._pong_at) * 1e6), 0xFFFFFFFF)
            pong = (self._pong_id, held)
        if fragments is None:
            fragments = _NO_PIECES
        return _encode((number & 0xFFFF, top & 0xFFFF, missing, payload, fragments, ping, pong))

    def _sent(self, now: float) -> int:
        """Note that the packet just encoded goes out; return its number."""
        self._number += 1
        self._sent_at = now
        self._ack_wanted = 0
        self._pong_id = 0
        if self._late_acks:
            self._late_acks.pop()
        self.more = bool(self._out.unacked or self._late_acks)
        return self._number

    def _next_ping(self, now: float) -> int:
        self._ping_at = now + self.ping_interval
        self._ping_id = self._ping_id % PING_IDS + 1
        self._pings[self._ping_id] = now
        # A good moment to look how many of the peer's numbers have come.
        numbers = self._top - self._counted_top
        if numbers >= 8:
            came = self.packets_received - self._counted_packets
            self._loss_in += (max(0.0, 1 - came / numbers) - self._loss_in) / 4
            self._counted_top, self._counted_packets = self._top, self.packets_received
        return self._ping_id

    # Receiving.

    def receive(self, packet: bytes, now: float) -> Received[PayloadT] | None:
        """Take a packet; None when there is nothing in it for the caller.

        It never raises on what a peer sends: what is bad, a duplicate or too much is
        counted and dropped, without an ack.
        """
        level = self._level - self._least
        if level >= 0 and len(packet) <= self._least:
            self._level = level
        elif not self._affordable(len(packet), now):
            return None
        fragments: Sequence[Fragment] = ()
        came_ping = 0
        pong: tuple[int, int] | None = None
        if packet[:1] == _SHORT:
            try:
                number16, ack16, lacking, payload = self._short(packet)
            except DECODE_ERRORS:
                self._count_malformed(now)
                return None
            number, ack = self._top + 1, self._heard + 1
            if (
                # As it is mostly: the next packet, with a payload and the ack of the next of ours,
                # and all before them had arrived.
                self._even
                and number16 == number & 0xFFFF
                and ack16 == ack & 0xFFFF
                and ack & _LOOK
                and not lacking
                and payload is not None
                and not (self._raw and payload == _NIL)
                and (record := self.pop(ack)) is not None
            ):
                self._top, self._heard = number, ack
                self.packets_received += 1
                if ack <= self._laden:
                    sent_fragments, size = self._cargo.pop(ack, _NO_CARGO)
                    if sent_fragments:
                        self._out.arrived(sent_fragments, size)
                wanted = self._ack_wanted = self._ack_wanted + 1
                return Received(payload, (), record, (), (), wanted >= _ACK_EVERY)
        else:
            came = self._full.decode(packet)
            if came is None:
                self._count_malformed(now)
                return None
            number16, ack16, lacking, payload = came.number, came.ack, came.missing, came.payload
            fragments, came_ping, pong = came.fragments, came.ping, came.pong

        top, missing = self._top, self._missing
        number = top + 1
        if number16 == number & 0xFFFF:
            top = number
            if missing:
                missing = missing << 1 & _TRACK_MASK
        else:
            number = unwrap(number16, 16, top)
            behind = top - number
            if behind < 0:
                top = number
                missing = (missing << -behind | (1 << -behind - 1) - 1) & _TRACK_MASK
            elif behind > _TRACK:
                self.stale += 1
                return None
            elif not behind or not missing >> behind - 1 & 1:
                self.duplicates += 1
                return None
            else:
                missing ^= 1 << behind - 1
        # As unwrap() would have it: one from the future looks half the numbers old.
        behind = self._number - ack16 & 0xFFFF
        ack = self._number - behind
        if behind > 0x7FFF or ack < 0:
            self.bad_acks += 1
            self.strike(now)
            return None
        if fragments and not self._admits(fragments, now):
            return None

        # From here on the packet counts as received.
        self._top, self._missing = top, missing
        self.packets_received += 1
        if top - number > 64:
            # Too far behind for the mask of the newest: it gets an ack of its own.
            self._late_acks = [*self._late_acks[-63:], number]
            self.more = True
        acked: Sequence[SentPacket] = ()
        late: Sequence[SentPacket] = ()
        if ack != self._heard or self._holes:
            acked, late = self._take_acks(ack, lacking, now)
        reply = False
        ping = came_ping & PING_IDS
        if ping:
            self._pong_id, self._pong_at = ping, now
            self.more = True
            reply = came_ping >= _URGENT
        if pong is not None:
            asked = self._pings.pop(pong[0], None)
            if asked is not None:
                self.path.ponged(max(0.0, now - asked - pong[1] * 1e-6))
        if self._raw and payload == _NIL:
            payload = None
        if payload is not None or fragments or ping:
            self._ack_wanted += 1
            reply = reply or self._ack_wanted >= _ACK_EVERY
        messages = self._in.take(fragments) if fragments else ()
        self._even = not (self._missing or self._holes)
        return Received(payload, messages, None, acked, late, reply)

    def _count_malformed(self, now: float) -> None:
        self.malformed += 1
        self.strike(now)

    def lost(self, now: float) -> Sequence[SentPacket]:
        """Give up the packets that have had no ack for longer than the path takes.

        Returns:
            Their records, oldest first. Each record comes once in ``acked`` or here; one
            that came here may come once more, in ``late``.
        """
        if now < self.overdue_at:
            return ()
        self._refill(now)
        records: list[SentPacket] | None = None
        loss_timeout = self.path.loss_timeout
        # When to look again: soon, because patience may shrink; sooner for what is in flight.
        overdue_at = now + min(loss_timeout, _NUDGE)
        for flight in (self, self._carriers):
            record = flight.oldest()
            if record is not None and record.sent_at < now - loss_timeout:
                records = self._give_up(flight, now - loss_timeout, now, records)
                record = flight.oldest()
            if record is not None:
                overdue_at = min(overdue_at, record.sent_at + loss_timeout)
        gone = self._gone
        while (number := next(iter(gone), None)) is not None:
            forgotten_at = gone[number][0]
            if forgotten_at > now:
                overdue_at = min(overdue_at, forgotten_at)
                break
            del gone[number]
        if self._holes and not gone and self._all_ahead():
            self._holes = 0
        self.overdue_at = overdue_at
        return records or ()

    def _all_ahead(self) -> bool:
        """Return whether no packet from before the newest acked one is in flight."""
        heard = self._heard
        return all(
            flight.oldest_number > heard or flight.oldest_number == flight.end_number
            for flight in (self, self._carriers)
        )

    def _give_up(
        self, flight: SentPackets, cutoff: float, now: float, records: list[SentPacket] | None
    ) -> list[SentPacket]:
        """Give up what was sent before ``cutoff``; return ``records`` with those of the caller."""
        found = records or []
        given_up = 0
        while (record := flight.oldest()) is not None and record.sent_at < cutoff:
            number = flight.oldest_number
            flight.pop(number)
            sent_fragments, size = self._cargo.pop(number, _NO_CARGO)
            self._gone[number] = now + _MEMORY, record, sent_fragments, flight is self
            self._even = False
            self._out.lost(sent_fragments, size, record.sent_at, now)
            if flight is self:
                found.append(record)
            given_up += 1
        self.path.count(0, given_up)
        return found

    def _take_acks(
        self, ack: int, missing: int, now: float
    ) -> tuple[Sequence[SentPacket], Sequence[SentPacket]]:
        """Settle every packet that is known to have arrived only now."""
        ahead = ack - self._heard
        if ahead > 0 and not missing and not self._holes and ahead <= 65:
            news = (1 << ahead) - 1
        else:
            # Bit i: packet ack - i has arrived, as far as this ack can tell.
            known = (~missing & _MASK64) << 1 | 1
            holes = self._holes
            if ahead >= 0:
                holes = (holes << ahead | (1 << ahead) - 1) & _TRACK_MASK
            elif ahead > -_TRACK:
                known <<= -ahead
            else:
                return (), ()
            news = holes & known
            self._holes = holes ^ news
        # Those that were acked one by one since the last time here; see receive().
        arrived = self._heard - self._settled
        heard = self._heard = self._settled = max(ack, self._heard)
        acked: list[SentPacket] = []
        late: list[SentPacket] = []
        newest_at: float | None = None
        while news:
            bit = news.bit_length() - 1
            news ^= 1 << bit
            number = heard - bit
            record = self.pop(number)
            if record is not None:
                acked.append(record)
            else:
                record = self._carriers.pop(number)
            if record is not None:
                arrived += 1
                sent_fragments, size = self._cargo.pop(number, _NO_CARGO)
            else:
                gone = self._gone.pop(number, None)
                if gone is None:
                    continue
                _, record, sent_fragments, late_too = gone
                size = 0  # its loss took it out of the window
                self.path.count(1, -1)
                if late_too:
                    late.append(record)
            if sent_fragments:
                self._out.arrived(sent_fragments, size)
            if number == ack:
                newest_at = record.sent_at
        if newest_at is not None:
            self.path.acked(now - newest_at, arrived)
        elif arrived:
            self.path.count(arrived, 0)
        return acked, late

    def _admits(self, fragments: Sequence[Fragment], now: float) -> bool:
        """Return whether the pieces of a packet can be taken in."""
        begun = self._in.admit(fragments)
        if begun is None:
            self.bad_pieces += 1
            self.strike(now)
            return False
        if begun and self._messages is not None and not self._messages.take(begun, now):
            self._exceeded(now)
            return False
        return True

    def _affordable(self, size: int, now: float) -> bool:
        """Take a packet out of the inbound bucket, or return that it exceeds the rates."""
        level = self._level - max(size, self._least)
        if level < 0:
            self._refill(now)
            level = self._level - max(size, self._least)
            if level < 0:
                self._exceeded(now)
                return False
        self._level = level
        return True

    def _refill(self, now: float) -> None:
        """Let into the inbound bucket what has come together since the last call."""
        elapsed = now - self._refilled_at
        if elapsed > 0 and self._rate != float("inf"):
            self._refilled_at = now
            self._level = min(self._burst, self._level + elapsed * self._rate)

    def _exceeded(self, now: float) -> None:
        self.excess += 1
        # What a stall held back comes all at once, and counts as one short moment.
        self._add_blame(_EXCESS_STRIKES * min(now - self._excess_at, _EXCESS_GAP), now)
        self._excess_at = now

    def _add_blame(self, strikes: float, now: float) -> None:
        forgiven = max(0.0, now - self._blamed_at) / _FORGIVEN_SECONDS
        self._blame = max(0.0, self._blame - forgiven) + strikes
        self._blamed_at = now
