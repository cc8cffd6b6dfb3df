"""Time that only passes when a test says so."""

from __future__ import annotations

from math import inf

from ecsnet.errors import UsageError
from ecsnet.validation.arguments import check_number, is_number
from ecsnet.validation.wording import brief

__all__ = ["ManualClock"]


class ManualClock:
    """A clock to hand to whatever takes one: calling it gives the seconds.

    Args:
        now: Seconds that it starts at.

    Raises:
        UsageError: It is no number.

    Attributes:
        now: The same seconds that a call gives.
    """

    def __init__(self, now: float = 100.0) -> None:
        check_number("ManualClock(now", now, -inf, inf, "give seconds")
        self.now = now

    def __call__(self) -> float:
        """Return the time, seconds."""
        return self.now

    def advance(self, seconds: float) -> float:
        """Let time pass; returns the new time.

        Raises:
            UsageError: Time would run backwards.
        """
        if not (is_number(seconds) and seconds >= 0):
            raise UsageError(f"advance({brief(seconds)}): time runs forwards only, give 0 or more")
        self.now += seconds
        return self.now

    def __repr__(self) -> str:
        return f"<ManualClock {self.now:.4f} s>"
