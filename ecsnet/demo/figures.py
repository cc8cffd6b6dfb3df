"""Figures from many measurements."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["spread"]


def spread(seconds: Iterable[float]) -> tuple[float, float, float]:
    """Median, 99th percentile and greatest, in milliseconds; zeros of nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return 0.0, 0.0, 0.0
    last = len(ordered) - 1
    picked = (ordered[last // 2], ordered[last * 99 // 100], ordered[last])
    # Three of them: mypy does not count.
    return tuple(round(each * 1000, 3) for each in picked)  # type: ignore[return-value]
