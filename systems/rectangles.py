"""Rectangles that move and meet: the geometry behind movement and collision.

A box is ``(left, top, right, bottom)``. Everything here is exact arithmetic on its arguments in a
fixed order, so that a server, a prediction and a replay get the same result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

Box: TypeAlias = tuple[float, float, float, float]

TOLERANCE = 1e-6
"""Lengths up to this many units are rounding errors and count as nothing."""

_MANY_CELLS = 64


class Hit(NamedTuple):
    """A hit of a moving box on an obstacle. Hits compare in the order in which they happen."""

    time: float
    """The part of the way that is gone by then, 0 to 1."""
    corner: bool
    """True if corner met corner. Of two hits at one time a full side decides: a box that slides
    over a row of boxes must not be caught at the joints."""
    along_y: bool
    """The axis that the hit stops."""
    edge: float
    """Coordinate at which the moving box's left (or top) ends up."""


def hit(box: Box, dx: float, dy: float, obstacle: Box) -> Hit | None:
    """Return the hit of a box that moves by (dx, dy) on an obstacle; None when there is none.

    A box that is inside the obstacle already is not held: it can leave in any direction.
    """
    left, top, right, bottom = box
    near_x, near_y, far_x, far_y = obstacle
    enter_x, leave_x = _passage(left, right, dx, near_x, far_x)
    enter_y, leave_y = _passage(top, bottom, dy, near_y, far_y)
    enter = max(enter_x, enter_y)
    if enter < 0.0 or enter >= 1.0 or enter >= leave_x or enter >= leave_y:
        return None
    corner = enter_x == enter_y
    if enter_x >= enter_y:
        return Hit(enter, corner, False, near_x - (right - left) if dx > 0.0 else far_x)
    return Hit(enter, corner, True, near_y - (bottom - top) if dy > 0.0 else far_y)


def _passage(low: float, high: float, d: float, near: float, far: float) -> tuple[float, float]:
    """Return when a span that moves by d enters and leaves another one, in parts of the way.

    Entering is judged a little early and leaving a little early too: spans that touch do not
    overlap, but the one that moves against the other enters at once.
    """
    if d == 0.0:
        overlaps = high - near > TOLERANCE and far - low > TOLERANCE
        return (-math.inf, math.inf) if overlaps else (math.inf, -math.inf)
    gap, way_out = (near - high, far - low) if d > 0.0 else (low - far, high - near)
    enter = max(gap, 0.0) / abs(d) if gap >= -TOLERANCE else -math.inf
    return enter, (way_out - TOLERANCE) / abs(d)


def overlap(a: Box, b: Box) -> bool:
    """Return whether two boxes share more than an edge."""
    return (
        min(a[2], b[2]) - max(a[0], b[0]) > TOLERANCE
        and min(a[3], b[3]) - max(a[1], b[1]) > TOLERANCE
    )


def touch(a: Box, b: Box) -> bool:
    """Return whether two boxes share a piece of an edge, or more; a corner is not enough."""
    common_x = min(a[2], b[2]) - max(a[0], b[0])
    common_y = min(a[3], b[3]) - max(a[1], b[1])
    return min(common_x, common_y) >= -TOLERANCE and max(common_x, common_y) > TOLERANCE


def swept(box: Box, dx: float, dy: float) -> Box:
    """Return the smallest box around a box and where it gets by moving by (dx, dy)."""
    left, top, right, bottom = box
    return (
        left + min(dx, 0.0),
        top + min(dy, 0.0),
        right + max(dx, 0.0),
        bottom + max(dy, 0.0),
    )


class Space:
    """Boxes by entity, found by place through a grid.

    Args:
        boxes: The boxes to begin with.
    """

    __slots__ = ("_cells", "_places", "_size", "_wide", "boxes")

    def __init__(self, boxes: Iterable[tuple[int, Box]] = ()) -> None:
        self.boxes: dict[int, Box] = dict(boxes)
        sides = sorted(max(r - l, b - t) for l, t, r, b in self.boxes.values())  # noqa: E741
        middle = sides[len(sides) // 2] if sides else 0.0
        # Twice the usual box: it stands in one to four cells. Any other size would be correct too.
        self._size = 2.0 * middle if 0.0 < middle < math.inf else 64.0
        self._cells: dict[tuple[int, int], set[int]] = {}
        self._places: dict[int, list[tuple[int, int]]] = {}
        self._wide: set[int] = set()
        for entity, box in self.boxes.items():
            self._insert(entity, box)

    def move(self, entity: int, box: Box) -> None:
        """Put an entity's box somewhere else."""
        for cell in self._places.pop(entity, ()):
            self._cells[cell].discard(entity)
        self._wide.discard(entity)
        self.boxes[entity] = box
        self._insert(entity, box)

    def near(self, box: Box) -> list[int]:
        """Return the entities whose boxes may meet this one, in ascending order."""
        cells = self._covered(box)
        if cells is None:
            return sorted(self.boxes)
        found = set(self._wide)
        for cell in cells:
            found.update(self._cells.get(cell, ()))
        return sorted(found)

    def _insert(self, entity: int, box: Box) -> None:
        cells = self._covered(box)
        if cells is None:
            self._wide.add(entity)
            return
        self._places[entity] = cells
        for cell in cells:
            self._cells.setdefault(cell, set()).add(entity)

    def _covered(self, box: Box) -> list[tuple[int, int]] | None:
        """Return the cells that a box lies in, with the tolerance around it; None when too many."""
        left, top, right, bottom = box
        size = self._size
        west, north = (left - TOLERANCE) / size, (top - TOLERANCE) / size
        east, south = (right + TOLERANCE) / size, (bottom + TOLERANCE) / size
        if not (east - west + 2.0) * (south - north + 2.0) <= _MANY_CELLS:  # also when not a number
            return None
        return [
            (x, y)
            for x in range(math.floor(west), math.floor(east) + 1)
            for y in range(math.floor(north), math.floor(south) + 1)
        ]
