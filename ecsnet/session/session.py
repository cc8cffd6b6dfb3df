"""A session: numbered packets and their acks over lossy datagrams.

Both ends of a connection run the same class. It has no socket, no clock and no
randomness: ``now`` (seconds, never backwards) and packets come in as arguments, packets
and what became of them come out. Which envelope carries the packets is not its business, and its
state outlives a change of connection. It knows nothing of messages either: their fragments are
handed through, and `ecsnet.peer.Peer` joins the two.

A packet is a msgpack array, ``[number16, ack16, missing64, payload]`` or, with more to
say, ``[number16, ack16, missing64, payload, fragments, ping, pong, goodbye]``, of which the last
may be left out:

- ``ack16`` is a packet that has come, mostly the newest; bit i of ``missing64`` says that
  packet ``ack - 1 - i`` has not. All well is 0, one byte.
- ``payload`` is the caller's: unreliable; the tag given with it is told acked or lost.
- ``fragments`` are reliable messages, or parts of them: see ``channel.py``.
- ``ping`` asks for a ``pong``: the same id, and the microseconds that it waited there.
- ``goodbye`` ends the session: a reason, and a text for the player.

Three rules keep it honest. Acks are taken for every packet of the last seconds, in
whatever order they come. Loss is decided by time alone, never by position. And what this
end cannot take in (over a budget, beyond a window) is dropped unacked, so that the sender
knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final, Generic

import msgspec

from ecsnet.errors import UsageError
from ecsnet.limits import MAX_PACKET
from ecsnet.schema.gate import DECODE_ERRORS, encode
from ecsnet.session.goodbye import GOODBYE_TEXT, Goodbye, Reason, code_of
from ecsnet.session.inbound_budget import InboundBudget
from ecsnet.session.packets import PING_IDS, Fragment, PacketCodec, PayloadT
from ecsnet.session.path import PathEstimate
from ecsnet.session.sent_packets import NO_TAG, SentPackets
from ecsnet.session.sequence import unwrap

__all__ = ["HEADER_BYTES", "KEEPALIVE", "MAX_PAYLOAD", "NO_TAG", "Lost", "Received", "Session"]

HEADER_BYTES: Final = 32
"""Array, number, ack, missing, fragments' header, ping and pong at their longest."""

KEEPALIVE: Final = 0.2
"""Seconds of quiet after which something is sent though there is nothing to say."""

MAX_PAYLOAD: Final = MAX_PACKET - HEADER_BYTES
"""Encoded bytes that fit into one packet beside the header, without fragments."""

_MASK64: Final = (1 << 64) - 1
# Packets behind the newest that either end keeps track of: four seconds at 256 a second.
_TRACK: Final = 1024
_TRACK_MASK: Final = (1 << _TRACK) - 1
_SMALL: Final = (1 << 61) - 1  # numbers up to this one are fast where compiled
_ACK_EVERY: Final = 32
# While all is well, only packets with these bits 0 in their numbers are timed and may ping: each
# eighth.
_LOOK: Final = 7
# Seconds after its loss was decided for which a packet's ack still counts.
_MEMORY: Final = 2.0
# Seconds of quiet after which something is sent while acks are awaited.
_NUDGE: Final = 0.05

_URGENT: Final = 128

_SHORT: Final = b"\x94"  # how msgpack begins an array of four
_NIL: Final = msgspec.Raw(b"\xc0")
_NO_FRAGMENTS: Final = msgspec.Raw(b"\x90")


class Received(Generic[PayloadT]):
    """The content of a packet, and what it says about packets of this end.

    Attributes:
        number: The packet's number.
        payload: The peer's payload; None when there was none.
        fragments: The fragments of messages in it.
        messages: Reliable messages that are complete now, in order: (number, bytes). Set by `Peer`.
        late: Tags of packets that ``lost`` had given up and that have arrived after all.
        carriers: Numbers of packets that have arrived and may have carried fragments.
        reply: Whether something should be sent at once: a ping wants its answer, or so
            many packets have come that the peer should hear of them.
    """

    __slots__ = (
        "_acked",
        "_tag",
        "carriers",
        "fragments",
        "late",
        "messages",
        "number",
        "payload",
        "reply",
    )

    def __init__(
        self, number: int, payload: PayloadT | None, reply: bool, tag: int = NO_TAG
    ) -> None:
        self.number = number
        self.payload = payload
        self.reply = reply
        self._tag = tag  # mostly there is one ack, and this is its tag
        self._acked: Sequence[int] = ()
        self.late: Sequence[int] = ()
        self.carriers: Sequence[int] = ()
        self.fragments: Sequence[Fragment] = ()
        self.messages: Sequence[tuple[int, bytes]] = ()

    @property
    def acked(self) -> Sequence[int]:
        """The tags of packets that the peer now says it has."""
        return self._acked if self._tag == NO_TAG else (self._tag,)


class Lost:
    """Packets that were given up.

    Attributes:
        tags: The tags of those that had one, oldest first.
        carriers: Numbers of those that may have carried fragments, and when they were sent, in
            seconds.
        forgotten: Numbers of such ones that were given up so long ago that no ack of them counts
            any more.
    """

    __slots__ = ("carriers", "forgotten", "tags")

    def __init__(self) -> None:
        self.tags: list[int] = []
        self.carriers: list[tuple[int, float]] = []
        self.forgotten: list[int] = []


class Session(Generic[PayloadT]):
    """One end of a conversation; see the module's docstring.

    Args:
        codec: The peer's packets: with payloads of some type, or ``RAW``.
        packet_rate: Packets a second taken from the peer, with a burst of two seconds;
            infinite unless given.
        byte_rate: Bytes a second taken from the peer, likewise; see `InboundBudget`.
        peer_interval: Seconds between the peer's packets at its usual pace: it cannot
            ack more often.
        keepalive: Seconds of quiet after which ``due`` says to send something.
        ping_interval: Seconds between the pings that packets carry on their own.
        first: The number before that of the first packet, the same on both ends (tests start close
            to where the wire's numbers wrap).

    Attributes:
        path: Round trip, jitter, loss towards the peer, loss timeout.
        budget: What the peer may send.
        more: Whether the next packet says more than its payload: acks, answers.
        tagged: The packets with a tag whose fate is open.
        number: The number of the last packet sent.
        carrier: The number of the last packet sent with fragments.
        packets_received: How many came and were taken.
        duplicates: Packets dropped because they had come before.
        stale: Packets dropped because they were more than 1,024 behind the newest.
        malformed: Packets dropped because they do not decode.
        bad_acks: Packets dropped because they ack what was never sent.
        overdue_at: When ``lost`` has something to do next; before, it need not be called.
        loss_in: The share of the peer's recent packets that did not get here, 0 to 1.
        goodbye: The peer's last word, once it has come.
    """

    __slots__ = (
        "_ack_wanted",
        "_begun",
        "_carriers",
        "_counted_packets",
        "_counted_top",
        "_expected_missing",
        "_full",
        "_gone",
        "_heard",
        "_holes",
        "_holes_heard",
        "_late_acks",
        "_missing",
        "_missing_top",
        "_ping_at",
        "_ping_id",
        "_pings",
        "_pong_at",
        "_pong_id",
        "_raw",
        "_recent",
        "_sent_at",
        "_settled",
        "_short",
        "_top",
        "bad_acks",
        "budget",
        "carrier",
        "duplicates",
        "goodbye",
        "keepalive",
        "loss_in",
        "malformed",
        "more",
        "number",
        "overdue_at",
        "packets_received",
        "path",
        "ping_interval",
        "stale",
        "tagged",
    )

    def __init__(
        self,
        codec: PacketCodec[PayloadT],
        *,
        packet_rate: float = inf,
        byte_rate: float = inf,
        peer_interval: float = 0.05,
        keepalive: float = KEEPALIVE,
        ping_interval: float = 0.25,
        first: int = 0,
    ) -> None:
        self.path = PathEstimate(peer_interval)
        self.budget = InboundBudget(packet_rate, byte_rate, MAX_PACKET)
        self.keepalive = keepalive
        self.ping_interval = ping_interval
        self._raw = codec.raw
        self._short = codec.short
        self._full = codec.full
        # What came. Bit i of missing: packet missing_top - 1 - i has not. All after that one came,
        # up to the top: a packet in order needs not touch hundreds of bits.
        self._top = self._missing_top = first
        self._missing = 0
        self._recent = 0  # the same of the 64 packets before the top, as packets have it
        self._late_acks: list[int] = []  # of packets too old for the mask of the newest
        self._ack_wanted = 0
        # What was sent. Packets with a tag and those that only carry fragments lie apart, so that
        # the oldest tag is found without a search.
        self.number = self._begun = first
        self.carrier = first
        self.tagged = SentPackets()
        self._carriers = SentPackets()
        self._sent_at = -inf
        self._heard = first  # the newest packet that the peer is known to have
        self._settled = first  # what was heard when acks were last settled one by one
        # Bit i: packet holes_heard - i is not known to have arrived. All after that one have, up to
        # what was heard.
        self._holes = 0
        self._holes_heard = first
        # What the peer's next packet says is missing there, unless something comes late.
        self._expected_missing = 0
        # Those given up: when they are forgotten, their tag, when they were sent.
        self._gone: dict[int, tuple[float, int, float]] = {}
        self.overdue_at = 0.0  # nothing is given up before
        self.more = True  # the first packet pings
        self._ping_at = -inf
        self._ping_id = 0
        self._pings: dict[int, float] = {}
        self._pong_id = 0
        self._pong_at = 0.0
        self._counted_top = first
        self._counted_packets = 0
        self.loss_in = 0.0
        self.goodbye: Goodbye | None = None
        self.packets_received = 0
        self.duplicates = self.stale = self.malformed = self.bad_acks = 0

    @property
    def packets_sent(self) -> int:
        """Number of packets made."""
        return self.number - self._begun

    @property
    def in_flight(self) -> int:
        """Packets with a tag or fragments whose fate is open."""
        return len(self.tagged) + len(self._carriers)

    @property
    def ack_due(self) -> bool:
        """True if so many packets wait for their ack that it should go out at once."""
        return self._ack_wanted >= _ACK_EVERY

    def due(self, now: float) -> bool:
        """Return whether something should be sent although there is nothing to say."""
        if self._ack_wanted or self._late_acks:  # a ping wants an ack, too
            return True
        quiet = now - self._sent_at
        return quiet >= self.keepalive or (quiet >= _NUDGE and self._awaited())

    def forget_tags(self) -> None:
        """Say nothing more about the packets sent so far: whoever gave their tags is gone."""
        merged = SentPackets()
        flights = [each for each in (self.tagged, self._carriers) if each.oldest_tag != NO_TAG]
        oldest = min([flight.oldest_number for flight in flights], default=self.number)
        for number in range(oldest, self.number + 1):
            for flight in flights:
                if flight.oldest_number <= number < flight.end_number:
                    sent_at = flight.sent_at(number)
                    if flight.pop(number) != NO_TAG:
                        merged.add(number, 0, sent_at)
        self._carriers = merged
        self._gone = {n: (at, NO_TAG, sent_at) for n, (at, _, sent_at) in self._gone.items()}

    # Sending.

    def send(self, payload: object, now: float, tag: int = NO_TAG) -> bytes:
        """Return the next packet.

        Args:
            payload: Anything that encodes as msgpack; None for nothing.
            now: Seconds.
            tag: What ``acked``, ``late`` or ``lost`` will say about this packet, 0 or more; with
                `NO_TAG` nothing will be said.

        Raises:
            UsageError: It is longer than a packet.
        """
        number = self.number + 1
        if tag != NO_TAG and number & _LOOK and not self.more:
            # It says its payload and what came, as most packets of a server do.
            packet = encode((number & 0xFFFF, self._top & 0xFFFF, self._recent, payload))
            if len(packet) <= MAX_PACKET:
                self.number = number
                self._sent_at = now
                self._ack_wanted = 0
                self.tagged.add(number, tag, now)
                return packet
        ping = self._due_ping(now, payload is not None)
        packet = self._pack(payload, None, now, ping)
        if len(packet) > MAX_PACKET:
            raise UsageError(
                f"a packet of {len(packet)} bytes is too long, the limit is {MAX_PACKET}"
            )
        self._sent(now, ping)
        if tag != NO_TAG:
            self.tagged.add(number, tag, now)
        return packet

    def send_fragments(
        self, fragments: msgspec.Raw, payload: object, now: float, tag: int = NO_TAG
    ) -> bytes | None:
        """Return the next packet, with fragments of messages beside its payload; None where both
        are longer than a packet: then there is none.

        Args:
            fragments: The encoded fragments.
            payload: As for `send`.
            now: Seconds.
            tag: As for `send`.
        """
        number = self.number + 1
        if number & _LOOK and not self.more:
            low, ack = number & 0xFFFF, self._top & 0xFFFF
            packet = encode((low, ack, self._recent, payload, fragments, 0, None))
            if len(packet) > MAX_PACKET:
                return None
            self.number = number
            self._sent_at = now
            self._ack_wanted = 0
        else:
            ping = self._due_ping(now, True)
            packet = self._pack(payload, fragments, now, ping)
            if len(packet) > MAX_PACKET:
                return None
            self._sent(now, ping)
        self.carrier = number
        if tag != NO_TAG:
            self.tagged.add(number, tag, now)
        else:
            self._carriers.add(number, 0, now)
        return packet

    def pack_goodbye(self, reason: Reason, text: str, now: float) -> bytes:
        """Return a packet that ends the session for the peer.

        Args:
            reason: Why.
            text: What there is to say beside it; cut off after `GOODBYE_TEXT` characters.
            now: Seconds.
        """
        goodbye = Goodbye(code_of(reason), text[:GOODBYE_TEXT])
        number, ack = self.number + 1 & 0xFFFF, self._top & 0xFFFF
        packet = encode((number, ack, self._recent, None, _NO_FRAGMENTS, 0, None, goodbye))
        self._sent(now, 0)
        return packet

    @staticmethod
    def pack_last_words(reason: Reason, text: str = "") -> bytes:
        """Return the shortest packet that ends a session, for a peer to which it has ended before.

        Nobody looks at the numbers in a last packet, so these are 0.

        Args:
            reason: As for `pack_goodbye`.
            text: As for `pack_goodbye`.
        """
        goodbye = Goodbye(code_of(reason), text[:GOODBYE_TEXT])
        return encode((0, 0, 0, None, _NO_FRAGMENTS, 0, None, goodbye))

    def ping(self, now: float) -> bytes:
        """Return a packet whose answer is wanted at once, not with the next tick."""
        ping = self._following_ping()
        packet = self._pack(None, None, now, ping | _URGENT)
        self._sent(now, ping)
        return packet

    def _awaited(self) -> bool:
        """Return whether acks are awaited."""
        return self.tagged.oldest_tag != NO_TAG or self._carriers.oldest_tag != NO_TAG

    def _due_ping(self, now: float, wants_ack: bool) -> int:
        """Return the id of the ping that the next packet carries; 0 for none.

        Args:
            now: Seconds.
            wants_ack: Whether there is something else in it that wants an ack.
        """
        if now >= self._ping_at or (not wants_ack and self._awaited()):
            return self._following_ping()
        return 0

    def _following_ping(self) -> int:
        """Return the id of the ping after the last one."""
        return self._ping_id % PING_IDS + 1

    def _pack(self, payload: object, fragments: msgspec.Raw | None, now: float, ping: int) -> bytes:
        """Encode a packet with the next number; that it goes out, `_sent` notes."""
        top = self._top
        if self._late_acks:
            top = self._late_acks[-1]
            missing = self._all_missing() >> self._top - top & _MASK64
        else:
            missing = self._recent
        number = self.number + 1
        if not ping and fragments is None and not self._pong_id:
            return encode((number & 0xFFFF, top & 0xFFFF, missing, payload))
        pong: tuple[int, int] | None = None
        if self._pong_id:
            held = min(int((now - self._pong_at) * 1e6), 0xFFFFFFFF)
            pong = (self._pong_id, held)
        if fragments is None:
            fragments = _NO_FRAGMENTS
        return encode((number & 0xFFFF, top & 0xFFFF, missing, payload, fragments, ping, pong))

    def _sent(self, now: float, ping: int) -> None:
        """Note that the packet just encoded goes out, with that ping; 0 for none."""
        if ping:
            self._pinged(ping, now)
        self.number += 1
        self._sent_at = now
        self._ack_wanted = 0
        self._pong_id = 0
        if self._late_acks:
            self._late_acks.pop()
        self.more = bool(self._late_acks)

    def _pinged(self, ping: int, now: float) -> None:
        self._ping_id = ping
        self._ping_at = now + self.ping_interval
        self._pings[ping] = now
        # A good moment to look how many of the peer's numbers have come.
        numbers = self._top - self._counted_top
        if numbers >= 8:
            came = self.packets_received - self._counted_packets
            self.loss_in += (max(0.0, 1 - came / numbers) - self.loss_in) / 4
            self._counted_top, self._counted_packets = self._top, self.packets_received

    # Receiving.

    def receive_packet(self, packet: bytes, now: float) -> Received[PayloadT] | None:
        """Take a packet; None when there is nothing in it for the caller, or it is the last one,
        see `goodbye`.

        It never raises on what a peer sends: what is bad, a duplicate or too much is
        counted and dropped, without an ack.
        """
        if not self.budget.take(len(packet), now):
            return None
        if packet[:1] != _SHORT:
            return self._receive_full(packet, now)
        try:
            number16, ack16, missing, payload = self._short(packet)
        except DECODE_ERRORS:
            self._count_malformed(now)
            return None
        number, ack = self._top + 1, self._heard + 1
        if (
            number16 == number & 0xFFFF
            and ack16 == ack & 0xFFFF
            and missing == self._expected_missing
            and payload is not None
            and not (self._raw and payload == _NIL)
        ):
            # The packet after the last one, with the ack of the next one, as most are.
            timed = not ack & _LOOK
            sent_at = self.tagged.sent_at(ack) if timed else 0.0
            tag = self.tagged.pop(ack)
            if tag != NO_TAG:
                if timed:
                    self.path.acked(now - sent_at, ack - self._settled)
                    self._settled = ack
                self._top, self._heard = number, ack
                if self._recent:
                    self._recent = _shifted64(self._recent)
                if missing:
                    self._expected_missing = _shifted64(missing)
                self.packets_received += 1
                wanted = self._ack_wanted = self._ack_wanted + 1
                received = Received(number, payload, wanted >= _ACK_EVERY, tag)
                if ack <= self.carrier:
                    received.carriers = (ack,)
                return received
        return self._receive(number16, ack16, missing, payload, (), 0, None, now)

    def _receive_full(self, packet: bytes, now: float) -> Received[PayloadT] | None:
        """Take a packet that may say all there is to say."""
        full = self._full.decode(packet)
        if full is None:
            self._count_malformed(now)
            return None
        if full.goodbye is not None:
            self.goodbye = full.goodbye
            return None
        return self._receive(
            full.number,
            full.ack,
            full.missing,
            full.payload,
            full.fragments,
            full.ping,
            full.pong,
            now,
        )

    def _receive(
        self,
        number16: int,
        ack16: int,
        lacking: int,
        payload: PayloadT | None,
        fragments: Sequence[Fragment],
        came_ping: int,
        pong: tuple[int, int] | None,
        now: float,
    ) -> Received[PayloadT] | None:
        """Take a decoded packet of any kind."""
        top = self._top
        number = unwrap(number16, 16, top)
        behind = top - number
        in_order = behind == -1
        missing = 0 if in_order else self._all_missing()
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
        behind = self.number - ack16 & 0xFFFF
        ack = self.number - behind
        if behind > 0x7FFF or ack < 0:
            self.bad_acks += 1
            self.budget.strike(now)
            return None

        # From here on the packet counts as received, unless it is refused.
        if in_order:
            self._top = top
            self._recent = _shifted64(self._recent)
        else:
            self._note_missing(top, missing)
        self.packets_received += 1
        if top - number > 64:
            # Too far behind for the mask of the newest: it gets an ack of its own.
            self._late_acks = [*self._late_acks[-63:], number]
            self.more = True
        acked: Sequence[int] = ()
        late: Sequence[int] = ()
        carriers: Sequence[int] = ()
        if ack != self._heard or self._holes:
            acked, late, carriers = self._take_acks(ack, lacking, now)
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
        if ack == self._heard:
            self._expected_missing = _shifted64(lacking) if lacking else 0
        received = Received(number, payload, reply)
        received.fragments = fragments
        received._acked, received.late, received.carriers = acked, late, carriers
        return received

    def refuse(self, number: int) -> None:
        """Treat a packet that was just received as one that never came, so that it gets no ack:
        what it carries cannot be taken in.
        """
        top, missing = self._top, self._all_missing()
        behind = top - number
        if behind:
            missing |= 1 << behind - 1
            if number in self._late_acks:
                self._late_acks.remove(number)
        else:  # the newest that counts is the one before it that came
            top -= 1
            while missing & 1:
                missing >>= 1
                top -= 1
            missing >>= 1
        self._note_missing(top, missing)
        self.packets_received -= 1

    def _note_missing(self, top: int, missing: int) -> None:
        """Note the newest packet that came, and as bits those before it that did not."""
        self._top = self._missing_top = top
        self._missing = missing
        self._recent = missing & _MASK64

    def _all_missing(self) -> int:
        """Return the packets that did not come; bit i: packet top - 1 - i."""
        return _tracked(self._missing, self._top - self._missing_top)

    def _count_malformed(self, now: float) -> None:
        self.malformed += 1
        self.budget.strike(now)

    def overdue(self, now: float) -> bool:
        """Return whether packets without a tag are in flight, and `lost` has something to do: how
        old those with a tag are can be seen in `tagged`.
        """
        return now >= self.overdue_at and self._carriers.oldest_tag != NO_TAG

    def lost(self, now: float) -> Lost | None:
        """Give up the packets that have had no ack for longer than the path takes.

        Returns:
            Which ones; None while it is not time to look. Each tag comes once in ``acked`` or here;
            one that came here may come once more, in ``late``.
        """
        if now < self.overdue_at:
            return None
        self.budget.refill(now)
        lost = Lost()
        timeout = self.path.loss_timeout
        # When to look again: soon, because the timeout may shrink; sooner for what is in flight.
        overdue_at = now + min(timeout, _NUDGE)
        for flight in (self.tagged, self._carriers):
            self._give_up(flight, now - timeout, now, lost)
            if flight.oldest_tag != NO_TAG:
                overdue_at = min(overdue_at, flight.oldest_sent_at + timeout)
        gone = self._gone
        while (number := next(iter(gone), None)) is not None:
            forgotten_at = gone[number][0]
            if forgotten_at > now:
                overdue_at = min(overdue_at, forgotten_at)
                break
            del gone[number]
            lost.forgotten.append(number)
        if self._holes and not gone and self._all_ahead():
            self._holes = 0
        self.overdue_at = overdue_at
        return lost

    def _all_ahead(self) -> bool:
        """Return whether no packet from before the newest acked one is in flight."""
        heard = self._heard
        return all(
            flight.oldest_number > heard or flight.oldest_tag == NO_TAG
            for flight in (self.tagged, self._carriers)
        )

    def _give_up(self, flight: SentPackets, cutoff: float, now: float, lost: Lost) -> None:
        """Give up what was sent before ``cutoff``."""
        given_up = 0
        while flight.oldest_tag != NO_TAG and flight.oldest_sent_at < cutoff:
            number, sent_at = flight.oldest_number, flight.oldest_sent_at
            tag = flight.pop(number)
            if flight is self.tagged:
                lost.tags.append(tag)
            else:
                tag = NO_TAG
            self._gone[number] = now + _MEMORY, tag, sent_at
            if number <= self.carrier:
                lost.carriers.append((number, sent_at))
            given_up += 1
        if given_up:
            self.path.count(0, given_up)

    def _take_acks(
        self, ack: int, missing: int, now: float
    ) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """Settle every packet that is known to have arrived only now.

        Returns:
            Their tags; the tags of those that had been given up; the numbers of those that may
            have carried fragments.
        """
        ahead = ack - self._heard
        # Those that were acked one by one since the last time here; see receive_packet().
        arrived = self._heard - self._settled
        if 0 < ahead <= 65 and missing == self._expected_missing << ahead - 1 & _MASK64:
            news = (1 << ahead) - 1  # and of those before nothing else is known now
        else:
            # Bit i: packet ack - i has arrived, as far as this ack can tell.
            known = (~missing & _MASK64) << 1 | 1
            holes = _tracked(self._holes, self._heard - self._holes_heard)
            if ahead >= 0:
                holes = holes << ahead | (1 << ahead) - 1
            elif ahead > -_TRACK:
                known <<= -ahead
            else:
                return (), (), ()
            holes &= _TRACK_MASK
            news = holes & known
            self._holes = holes ^ news
            self._holes_heard = max(ack, self._heard)
        heard = self._heard = self._settled = max(ack, self._heard)
        acked: list[int] = []
        late: list[int] = []
        carriers: list[int] = []
        newest_at = -inf
        while news:
            bit = news.bit_length() - 1
            news ^= 1 << bit
            number = heard - bit
            for flight in (self.tagged, self._carriers):
                at = flight.sent_at(number) if number == ack else 0.0
                tag = flight.pop(number)
                if tag != NO_TAG:
                    sent_at = at
                    arrived += 1
                    if flight is self.tagged:
                        acked.append(tag)
                    break
            else:
                gone = self._gone.pop(number, None)
                if gone is None:
                    continue
                _, tag, sent_at = gone
                self.path.count(1, -1)
                if tag != NO_TAG:
                    late.append(tag)
            if number <= self.carrier:
                carriers.append(number)
            if number == ack:
                newest_at = sent_at
        if newest_at != -inf:
            self.path.acked(now - newest_at, arrived)
        elif arrived:
            self.path.count(arrived, 0)
        return acked, late, carriers


def _tracked(bits: int, since: int) -> int:
    """Return the bits of packets that are kept track of, so many packets later."""
    return bits << since & _TRACK_MASK if bits and since < _TRACK else 0


def _shifted64(bits: int) -> int:
    """Return 64 bits, one packet later."""
    bits <<= 1
    return bits if bits <= _SMALL else bits & _MASK64
