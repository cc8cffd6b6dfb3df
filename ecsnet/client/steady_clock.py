"""Time that only goes forward, whatever a game's clock does."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["SteadyClock"]


class SteadyClock:
    """Seconds of a clock that may be set back, as that of the wall is.

    While it is set back no time goes by; from there on it counts again.

    Args:
        clock: The clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._now = self._shown = clock()

    def __call__(self) -> float:
        shown = self._clock()
        if shown > self._shown:
            self._now += shown - self._shown
        self._shown = shown
        return self._now
