"""The budget of a peer: rates, and how much bad input is tolerated."""

from __future__ import annotations

from math import inf
from typing import Final

__all__ = ["BURST_SECONDS", "EXCESS_STRIKES", "TOLERATED", "InboundBudget"]

BURST_SECONDS: Final = 2.0
"""A peer may send at once what its rates allow in so many seconds."""

TOLERATED: Final = 4.0
"""Strikes beyond which a peer is abusive."""

EXCESS_STRIKES: Final = 0.8
"""Strikes that a second of excess counts for, so that five seconds of it are too much, whether in
one piece or with calm between."""

_FORGIVEN_SECONDS: Final = 60.0  # in which one strike is forgiven
_EXCESS_GAP: Final = 0.25  # the most seconds that pass for excess between two packets


class InboundBudget:
    """One bucket for two rates: in bytes, of which each packet takes at least so many that there
    cannot be more packets.

    Args:
        packet_rate: Packets a second, with a burst of two seconds.
        byte_rate: Bytes a second, likewise. A packet counts as at least ``byte_rate /
            packet_rate`` bytes.
        longest: Bytes in the longest packet.

    Attributes:
        excess: Packets that exceeded the rates.
        strikes: How often the peer did what no honest peer does, ever.
    """

    __slots__ = (
        "_blame",
        "_blamed_at",
        "_burst",
        "_excess_at",
        "_least",
        "_level",
        "_rate",
        "_refilled_at",
        "excess",
        "strikes",
    )

    def __init__(self, packet_rate: float, byte_rate: float, longest: int) -> None:
        rate = min(byte_rate, packet_rate * longest)
        self._level = self._burst = rate * BURST_SECONDS
        self._least = 0 if rate == inf else max(1, int(rate / packet_rate))
        self._rate = rate
        self._refilled_at = 0.0
        self.excess = 0
        self.strikes = 0
        self._blame = 0.0  # strikes and excess, less what was forgiven
        self._blamed_at = self._excess_at = -inf

    @property
    def abusive(self) -> bool:
        """True if the peer should be dropped: five times bad input, or five seconds of excess.

        Calm does not wipe the slate clean: a strike, or its worth in excess, is forgiven a minute.
        """
        return self._blame > TOLERATED

    def take(self, size: int, now: float) -> bool:
        """Take a packet of ``size`` bytes out of the bucket; return False where it exceeds the
        rates. The bucket is refilled when it is empty, and by `refill`.
        """
        if size < self._least:
            size = self._least
        level = self._level - size
        if level < 0:
            self.refill(now)
            level = self._level - size
            if level < 0:
                self.exceeded(now)
                return False
        self._level = level
        return True

    def refill(self, now: float) -> None:
        """Let in what has come together since the last call."""
        elapsed = now - self._refilled_at
        if elapsed > 0:
            self._refilled_at = now
            self._level = min(self._burst, self._level + elapsed * self._rate)

    def exceeded(self, now: float) -> None:
        """Count a packet that exceeds a rate."""
        self.excess += 1
        # What a stall held back comes all at once, and counts as one short moment.
        self._add_blame(EXCESS_STRIKES * min(now - self._excess_at, _EXCESS_GAP), now)
        self._excess_at = now

    def strike(self, now: float) -> None:
        """Count bad input."""
        self.strikes += 1
        self._add_blame(1.0, now)

    def _add_blame(self, strikes: float, now: float) -> None:
        forgiven = max(0.0, now - self._blamed_at) / _FORGIVEN_SECONDS
        self._blame = max(0.0, self._blame - forgiven) + strikes
        self._blamed_at = now
