"""What a sender remembers of its packets until it knows what became of them."""

from __future__ import annotations

__all__ = ["SentPacket", "SentPackets"]


class SentPacket:
    """What the sender remembers of a packet in flight; callers subclass it.

    One record may stand for packets of many sessions, when they carry the same.

    Args:
        sent_at: When it is sent, seconds: the ``now`` that goes to ``Session.send`` with it.
    """

    __slots__ = ("sent_at",)

    def __init__(self, sent_at: float) -> None:
        self.sent_at = sent_at


class SentPackets:
    """Records by the number of their packet. Mostly the oldest goes next, so that one lies at hand
    and the others in a ring that grows; where packets are acked at once the ring is not touched.

    Attributes:
        oldest_number: Number of the oldest record, when there is one.
        end_number: Number after that of the newest; equal to ``oldest_number`` when there is none.
    """

    __slots__ = ("_oldest", "_ring", "end_number", "oldest_number")

    def __init__(self) -> None:
        self.oldest_number = self.end_number = 0
        self._oldest: SentPacket | None = None
        self._ring: list[SentPacket | None] = [None] * 16  # always a power of two

    def flying(self) -> int:
        """Return how many records there are."""
        return len(self._ring) - self._ring.count(None) + (self._oldest is not None)

    def add(self, number: int, record: SentPacket) -> None:
        """Add the record of a packet, newer than all."""
        if self._oldest is None:
            self._oldest = record
            self.oldest_number = number
            self.end_number = number + 1
            return
        ring = self._ring
        while number - self.oldest_number >= len(ring):
            ring = self._grow()
        ring[number & len(ring) - 1] = record
        self.end_number = number + 1

    def pop(self, number: int) -> SentPacket | None:
        """Remove the record of a packet and return it; None when there is none."""
        first, end = self.oldest_number, self.end_number
        if not first <= number < end:
            return None
        if number != first:
            ring = self._ring
            record = ring[number & len(ring) - 1]
            ring[number & len(ring) - 1] = None
            return record
        record = self._oldest
        following: SentPacket | None = None
        first += 1
        while first < end:
            ring = self._ring
            following = ring[first & len(ring) - 1]
            if following is not None:
                ring[first & len(ring) - 1] = None
                break
            first += 1
        self._oldest = following
        self.oldest_number = first
        return record

    def oldest(self) -> SentPacket | None:
        """Return the oldest record, None when there is none."""
        return self._oldest

    def _grow(self) -> list[SentPacket | None]:
        old = self._ring
        ring: list[SentPacket | None] = [None] * (2 * len(old))
        for number in range(self.oldest_number, self.end_number):
            ring[number & len(ring) - 1] = old[number & len(old) - 1]
        self._ring = ring
        return ring
