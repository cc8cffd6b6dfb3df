"""Squares on a plane: the arithmetic of `Grid`, which is done for everything that moves."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from math import floor
from operator import attrgetter
from typing import Final

_FAR: Final = 1e300


class GridIndex:
    """The squares of a grid, and the reader of the points that it sorts into them.

    Args:
        size: The side of a square.
        hysteresis: How far, in squares, a point must be past a border before it counts.
        fields: The names of the two coordinates in an object.
    """

    __slots__ = ("_high", "_low", "_read", "_size")

    def __init__(self, size: float, hysteresis: float, fields: tuple[str, str]) -> None:
        self._size = size
        self._low = -hysteresis
        self._high = 1 + hysteresis
        self._read: Callable[[object], tuple[float, float]] = attrgetter(*fields)

    def point(self, position: object) -> tuple[float, float] | None:
        """Return the coordinates of an object; None where one is infinite, or no number."""
        try:
            x, y = self._read(position)
            # As floats: a subclass may calculate in its own way, and raise.
            return (float(x), float(y)) if -_FAR < x < _FAR and -_FAR < y < _FAR else None
        except Exception:  # noqa: BLE001 - what a game puts in a field may raise anything
            return None

    def square(self, point: tuple[float, float] | None, old: Hashable) -> Hashable:
        """Return the square of a point that was in ``old`` before; ``old`` without a point."""
        if point is None:
            return old
        x, y = point[0] / self._size, point[1] / self._size
        if isinstance(old, tuple):
            column: int = old[0]
            row: int = old[1]
            if self._low <= x - column < self._high and self._low <= y - row < self._high:
                return old
        return floor(x), floor(y)
