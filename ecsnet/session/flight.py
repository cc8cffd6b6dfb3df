"""What a sender remembers of its packets until it knows what became of them."""

from __future__ import annotations

__all__ = ["Flight", "Record"]


class Record:
    """What the sender remembers of a packet in flight; callers subclass it.

    One record may stand for packets of many sessions, when they carry the same.

    Args:
        sent_at: When it is sent, seconds: the ``now`` that goes to ``Session.send`` with it.
    """

    __slots__ = ("sent_at",)

    def __init__(self, sent_at: float) -> None:
        self.sent_at = sent_at


class Flight:
    """Records by the number of their packet, in a ring that grows. Mostly the oldest goes next.

    Attributes:
        first: Number of the oldest record, when there is one.
        end: Number after the newest; equal to ``first`` when there is none.
    """

    __slots__ = ("_ring", "end", "first")

    def __init__(self) -> None:
        self.first = self.end = 0
        self._ring: list[Record | None] = [None] * 16  # always a power of two

    def __len__(self) -> int:
        return len(self._ring) - self._ring.count(None)

    def put(self, number: int, record: Record) -> None:
        """Add the record of a packet, newer than all."""
        if self.first == self.end:
            self.first = number
        ring = self._ring
        while number - self.first >= len(ring):
            ring = self._grow()
        ring[number & len(ring) - 1] = record
        self.end = number + 1

    def take(self, number: int) -> Record | None:
        """Remove the record of a packet and return it; None when there is none."""
        if not self.first <= number < self.end:
            return None
        ring = self._ring
        mask = len(ring) - 1
        record = ring[number & mask]
        ring[number & mask] = None
        if number == self.first:
            number += 1
            while number < self.end and ring[number & mask] is None:
                number += 1
            self.first = number
        return record

    def oldest(self) -> Record | None:
        """Return the oldest record, None when there is none."""
        ring = self._ring
        return ring[self.first & len(ring) - 1]

    def _grow(self) -> list[Record | None]:
        old = self._ring
        ring: list[Record | None] = [None] * (2 * len(old))
        for number in range(self.first, self.end):
            ring[number & len(ring) - 1] = old[number & len(old) - 1]
        self._ring = ring
        return ring
