"""The reliable channel: messages that arrive once each and in order, in fragments.

``Outgoing`` cuts messages into fragments and says which go into the next packet; a peer
tells it what became of the packet. What is short and oldest is piggybacked: it is repeated in
packet after packet until acked, so that one lost packet costs one tick and no round trip.
The rest is streamed: sent once, again when its packet was lost, with as many bytes on
their way as a window allows that grows with acks and shrinks with losses.

``Incoming`` puts them together again, within bounds that the sender keeps to: messages at
most ``MESSAGE_WINDOW`` numbers and ``SPAN`` bytes beyond what has been delivered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from ecsnet.errors import UsageError
from ecsnet.schema.gate import encode
from ecsnet.session.packets import Fragment
from ecsnet.session.sequence import unwrap

__all__ = [
    "FRAGMENT_BYTES",
    "MESSAGE_WINDOW",
    "PIGGYBACK_BYTES",
    "SPAN",
    "Incoming",
    "Outgoing",
    "SentFragments",
]

PIGGYBACK_BYTES: Final = 400
"""Encoded bytes of unacked messages that are repeated in packets, at most."""

FRAGMENT_BYTES: Final = 1024
"""Bytes in every part of a message but its last."""

MESSAGE_WINDOW: Final = 256
"""The furthest that the number of a message on its way may be beyond the last one delivered."""

SPAN: Final = 128 * 1024
"""Bytes of messages on their way at one time, from the oldest undelivered one on; a
longer message travels alone."""

# A fragment around its bytes: array, number, length, part and parts at their longest.
_FRAGMENT_HEADER: Final = 13
_PIGGYBACKED_HEADER: Final = 7
_LIST_HEADER: Final = 3  # around all that are piggybacked
_STREAM_BYTES: Final = FRAGMENT_BYTES + _FRAGMENT_HEADER + 40  # one whole fragment and a few crumbs

_FIRST_WINDOW: Final = 16 * 1024
_MIN_WINDOW: Final = 8 * 1024


class _Message:
    """A message on its way out."""

    __slots__ = ("data", "end", "number", "parts", "pending")

    def __init__(self, number: int, data: bytes, end: int) -> None:
        self.number = number
        self.data = data
        self.end = end  # bytes ever queued, this message included
        self.parts = max(1, -(-len(data) // FRAGMENT_BYTES))
        self.pending = (1 << self.parts) - 1  # bit i: part i is not acked


SentFragments: TypeAlias = Sequence[tuple[_Message, int]]
"""The parts of messages that one packet of the stream carries."""


class Outgoing:
    """The sending half.

    Args:
        limit: Bytes in the longest message.
        first: The number before that of the first message.

    Attributes:
        queued: Number of the last message queued.
        delivered: Every message up to this number has arrived.
        unacked: By number, the messages that have not arrived.
        backlog: Bytes in them.
        window: Bytes that the stream may have on their way.
        in_flight: Bytes that it has.
    """

    __slots__ = (
        "_again",
        "_cut_at",
        "_fresh_number",
        "_fresh_part",
        "_limit",
        "_piggyback",
        "_piggybacked_to",
        "_queued_bytes",
        "_stale",
        "_steady",
        "backlog",
        "delivered",
        "in_flight",
        "queued",
        "unacked",
        "window",
    )

    def __init__(self, limit: int, first: int = 0) -> None:
        self.backlog = 0
        self._stale = False
        self._steady = False
        self._piggyback: msgspec.Raw | None = None
        self.queued = self.delivered = first
        self.unacked: dict[int, _Message] = {}
        self._piggybacked_to = first
        self._again: deque[tuple[_Message, int]] = deque()
        self.in_flight = 0
        self.window = float(_FIRST_WINDOW)
        self._queued_bytes = 0
        # The first message, and the first part of it, that the stream has not sent yet.
        self._fresh_number = first + 1
        self._fresh_part = 0
        self._limit = limit
        self._cut_at = float("-inf")

    def queue(self, message: bytes) -> int:
        """Put a message into the line and return its number."""
        if len(message) > self._limit:
            raise UsageError(
                f"a message of {len(message)} bytes is too long, the limit is {self._limit}"
            )
        self.queued += 1
        self._queued_bytes += len(message)
        self.backlog += len(message)
        self.unacked[self.queued] = _Message(self.queued, message, self._queued_bytes)
        self._stale = True
        return self.queued

    def piggybacked(self) -> tuple[msgspec.Raw | None, int]:
        """Return the encoded fragments that go along in every packet now, and the number of the
        last message in them: they are whole messages, all of `unacked` up to that one.
        """
        if self._stale:
            self._stale = False
            fragments: list[tuple[int, bytes]] = []
            room = PIGGYBACK_BYTES - _LIST_HEADER
            last = self.delivered + MESSAGE_WINDOW
            for number, message in self.unacked.items():  # the oldest first
                room -= len(message.data) + _PIGGYBACKED_HEADER
                if room < 0 or number > last or not self._in_span(message):
                    break
                fragments.append((number & 0xFFFF, message.data))
                self._piggybacked_to = number
            self._piggyback = msgspec.Raw(encode(fragments)) if fragments else None
        return self._piggyback, self._piggybacked_to

    @property
    def streaming(self) -> bool:
        """True if anything is left for the stream to send, now or when it may."""
        if self._stale:
            self.piggybacked()
        return self._piggybacked_to < self.queued and (
            bool(self._again) or self._fresh_number <= self.queued
        )

    def fill(
        self, allowance: int
    ) -> tuple[list[tuple[int, bytes, int, int]], SentFragments, int] | None:
        """Take fragments for one packet of the stream out of the line.

        Args:
            allowance: Bytes that the fragments may have on the wire.

        Returns:
            The fragments, what they are, and the bytes that they count; None when there is
            nothing to send or no room for it.
        """
        self.piggybacked()
        room = min(allowance, _STREAM_BYTES)
        # With nothing on its way no ack can open the window.
        if self.in_flight:
            room = min(room, int(self.window) - self.in_flight)
        fragments: list[tuple[int, bytes, int, int]] = []
        sent_fragments: list[tuple[_Message, int]] = []
        size = 0
        while (following := self._next()) is not None:
            message, part = following
            start = part * FRAGMENT_BYTES
            data = message.data[start : start + FRAGMENT_BYTES]
            if size + len(data) + _FRAGMENT_HEADER > room:
                break
            size += len(data) + _FRAGMENT_HEADER
            fragments.append((message.number & 0xFFFF, data, part, message.parts))
            sent_fragments.append(following)
            self._step()
        if not sent_fragments:
            return None
        self.in_flight += size
        return fragments, sent_fragments, size

    def piggyback_arrived(self, last: int) -> None:
        """Note that a packet arrived that everything up to a message was piggybacked on."""
        unacked = self.unacked
        for number in range(self.delivered + 1, last + 1):
            message = unacked.pop(number, None)
            if message is not None:
                message.pending = 0
                self.backlog -= len(message.data)
                self._settle()

    def arrived(self, sent_fragments: SentFragments, size: int) -> None:
        """Note that a packet of the stream arrived; ``size`` is 0 for one that was given up."""
        if size:
            self.in_flight -= size
            # Slow start until the first loss, then one fragment more a window.
            grown = size if not self._steady else size * FRAGMENT_BYTES / self.window
            self.window = min(float(SPAN), self.window + grown)
        for message, part in sent_fragments:
            bit = 1 << part
            if message.pending & bit:
                message.pending ^= bit
                if not message.pending:
                    self._finished(message)

    def lost(self, sent_fragments: SentFragments, size: int, sent_at: float, now: float) -> None:
        """Note that a packet of the stream is given up: what it carried goes again, where it
        must.
        """
        if not size:
            return
        self.in_flight -= size
        # One cut for all losses of one window: those sent before the last cut are old news.
        if sent_at > self._cut_at:
            self._cut_at = now
            self._steady = True
            self.window = max(float(_MIN_WINDOW), self.window * 0.7)
        self._again.extend(sent_fragments)

    def _finished(self, message: _Message) -> None:
        del self.unacked[message.number]
        self.backlog -= len(message.data)
        self._settle()

    def _settle(self) -> None:
        """Go on behind what has arrived, after a message less is in `unacked`."""
        if not self.unacked:
            self.delivered = self.queued
            self._again.clear()
            self._piggyback = None
            self._stale = False
        else:
            while self.delivered + 1 not in self.unacked:
                self.delivered += 1
            self._stale = True
        if self._fresh_number <= self.delivered:
            self._fresh_number = self.delivered + 1
            self._fresh_part = 0

    def _next(self) -> tuple[_Message, int] | None:
        """Return the part that the stream sends next; what is piggybacked or arrived is skipped."""
        again = self._again
        while again:
            message, part = again[0]
            if message.pending >> part & 1 and message.number > self._piggybacked_to:
                return again[0]
            again.popleft()
        while self._fresh_number <= self.queued:
            fresh = self.unacked.get(self._fresh_number)
            if fresh is not None and fresh.number > self._piggybacked_to:
                ahead = fresh.number - self.delivered
                fits = ahead <= MESSAGE_WINDOW and self._in_span(fresh)
                return (fresh, self._fresh_part) if fits else None
            self._fresh_number += 1
            self._fresh_part = 0
        return None

    def _in_span(self, message: _Message) -> bool:
        """Return whether the peer has room for a message beside those before it."""
        oldest = self.unacked[self.delivered + 1]
        return message is oldest or message.end - oldest.end + len(oldest.data) <= SPAN

    def _step(self) -> None:
        """Take what ``_next`` returned out of the line."""
        if self._again:
            self._again.popleft()
            return
        self._fresh_part += 1
        if self._fresh_part == self.unacked[self._fresh_number].parts:
            self._fresh_number += 1
            self._fresh_part = 0


class _Parts:
    """A message on its way in."""

    __slots__ = ("data", "left")

    def __init__(self, parts: int) -> None:
        self.data: list[bytes | None] = [None] * parts
        self.left = parts


class Incoming:
    """The receiving half.

    Args:
        limit: Bytes in the longest message.
        first: The number before that of the first message.

    Attributes:
        received: Number of the last message handed out.
        held: Bytes that wait for what comes before them.
    """

    __slots__ = ("_limit", "_max_parts", "_waiting", "held", "received")

    def __init__(self, limit: int, first: int = 0) -> None:
        self.received = first
        self.held = 0
        self._limit = limit
        self._max_parts = max(1, -(-limit // FRAGMENT_BYTES))
        self._waiting: dict[int, _Parts] = {}

    def admit(self, fragments: Sequence[Fragment]) -> int | None:
        """Look whether a packet's fragments can be taken, without taking them.

        Returns:
            How many messages begin with them; None when an honest peer would not have
            sent them.
        """
        news: dict[int, int] = {}
        held = self.held
        for fragment in fragments:
            number = unwrap(fragment.number, 16, self.received)
            if number <= self.received:
                continue
            size = len(fragment.data)
            parts = fragment.parts
            before = self._waiting.get(number)
            known = news.setdefault(number, parts) if before is None else len(before.data)
            last = fragment.part == parts - 1
            if (
                number > self.received + MESSAGE_WINDOW
                or parts > self._max_parts
                or parts != known
                or fragment.part >= parts
                or size > FRAGMENT_BYTES
                or (parts > 1 and not size)
                or (not last and size != FRAGMENT_BYTES)
                or (last and (parts - 1) * FRAGMENT_BYTES + size > self._limit)
            ):
                return None
            if before is None or before.data[fragment.part] is None:
                held += size
        return len(news) if held <= max(SPAN, self._limit) else None

    def take(self, fragments: Sequence[Fragment]) -> list[tuple[int, bytes]]:
        """Take admitted fragments; return the messages that are complete now, in order."""
        waiting = self._waiting
        for fragment in fragments:
            number = unwrap(fragment.number, 16, self.received)
            if number <= self.received:
                continue
            message = waiting.get(number)
            if message is None:
                message = waiting[number] = _Parts(fragment.parts)
            if message.data[fragment.part] is None:
                message.data[fragment.part] = fragment.data
                message.left -= 1
                self.held += len(fragment.data)
        ready: list[tuple[int, bytes]] = []
        while (following := waiting.get(self.received + 1)) is not None and not following.left:
            self.received += 1
            del waiting[self.received]
            data = b"".join(part for part in following.data if part is not None)
            self.held -= len(data)
            ready.append((self.received, data))
        return ready
