"""The record of packets that were sent and whose fate is not known yet."""

from __future__ import annotations

from typing import Final

__all__ = ["NO_TAG", "SentPackets"]

NO_TAG: Final = -1
"""The tag of a packet whose sender does not ask what becomes of it."""


class SentPackets:
    """Tags of packets in flight, and when these were sent, by the packets' numbers.

    Mostly the oldest goes next, so that one lies at hand and the others in a ring that grows; where
    packets are acked at once the ring is not touched.

    Attributes:
        oldest_number: Number of the oldest packet, when there is one.
        end_number: Number after that of the newest; equal to ``oldest_number`` when there is none.
        oldest_tag: The oldest packet's tag; `NO_TAG` when there is none.
        oldest_sent_at: When it was sent, seconds.
    """

    __slots__ = (
        "_sent_at",
        "_tags",
        "end_number",
        "oldest_number",
        "oldest_sent_at",
        "oldest_tag",
    )

    def __init__(self) -> None:
        self.oldest_number = self.end_number = 0
        self.oldest_tag = NO_TAG
        self.oldest_sent_at = 0.0
        # Rings by the low bits of the number; always a power of two.
        self._tags: list[int] = [NO_TAG] * 16
        self._sent_at: list[float] = [0.0] * 16

    def __len__(self) -> int:
        return len(self._tags) - self._tags.count(NO_TAG) + (self.oldest_tag != NO_TAG)

    def add(self, number: int, tag: int, sent_at: float) -> None:
        """Add a packet, newer than all; its tag is not negative."""
        if self.oldest_tag == NO_TAG:
            self.oldest_tag = tag
            self.oldest_sent_at = sent_at
            self.oldest_number = number
            self.end_number = number + 1
            return
        while number - self.oldest_number >= len(self._tags):
            self._grow()
        at = number & len(self._tags) - 1
        self._tags[at] = tag
        self._sent_at[at] = sent_at
        self.end_number = number + 1

    def sent_at(self, number: int) -> float:
        """Return when a packet that is in here was sent, seconds."""
        if number == self.oldest_number:
            return self.oldest_sent_at
        return self._sent_at[number & len(self._tags) - 1]

    def pop(self, number: int) -> int:
        """Remove a packet and return its tag; `NO_TAG` when it is not in here."""
        if number != self.oldest_number:
            if not self.oldest_number < number < self.end_number:
                return NO_TAG
            at = number & len(self._tags) - 1
            tag = self._tags[at]
            self._tags[at] = NO_TAG
            return tag
        tag, end = self.oldest_tag, self.end_number
        while (number := number + 1) < end:
            tags = self._tags
            at = number & len(tags) - 1
            following = tags[at]
            if following != NO_TAG:
                tags[at] = NO_TAG
                self.oldest_tag, self.oldest_sent_at = following, self._sent_at[at]
                self.oldest_number = number
                return tag
        self.oldest_tag = NO_TAG
        self.oldest_number = end
        return tag

    def _grow(self) -> None:
        size = len(self._tags)
        tags = [NO_TAG] * (2 * size)
        sent_at = [0.0] * (2 * size)
        for number in range(self.oldest_number, self.end_number):
            old, new = number & size - 1, number & 2 * size - 1
            tags[new], sent_at[new] = self._tags[old], self._sent_at[old]
        self._tags, self._sent_at = tags, sent_at
