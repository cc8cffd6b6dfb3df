"""Token buckets: how much may be sent or accepted, now and on average."""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """A bucket that fills at a steady rate up to a brim, and is drawn from.

    It starts full. The unit is whatever the caller counts: bytes, packets, messages.
    Time comes in as an argument and must not run backwards; where it does, nothing is
    added.

    Args:
        rate: Units that flow in each second.
        burst: The brim: what can be taken at once after a pause.
    """

    __slots__ = ("_at", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at: float | None = None

    def level(self, now: float) -> float:
        """Return the units that are there at ``now``; negative while in debt."""
        at = self._at
        if at is None:
            self._at = now
        elif now > at:
            self._level = min(self.burst, self._level + (now - at) * self.rate)
            self._at = now
        return self._level

    def take(self, units: float, now: float) -> bool:
        """Take ``units`` if all of them are there; return whether they were."""
        if self.level(now) < units:
            return False
        self._level -= units
        return True

    def spend(self, units: float, now: float) -> None:
        """Take ``units`` that are gone already, going into debt by one burst at most."""
        self._level = max(self.level(now) - units, -self.burst)
