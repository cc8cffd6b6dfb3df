"""The delay before the next attempt at something that failed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

__all__ = ["pause"]

_FIRST_SECONDS: Final = 0.1
_LONGEST_SECONDS: Final = 10.0


def pause(failures: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds to wait after so many failures in a row, 0 being the first.

    Exponential, with full jitter: those who failed together do not come back together. See Brooker,
    Exponential Backoff And Jitter, AWS Architecture Blog, 2015.

    Args:
        failures: How many there were before.
        uniform: A random number between two others.
    """
    longest = _FIRST_SECONDS * 2 ** min(failures, 32)
    return uniform(0.0, min(_LONGEST_SECONDS, longest))
