"""Rectangles that move and meet: the geometry behind movement and collision.

A box is ``(left, top, right, bottom)``. Everything here is exact arithmetic on its arguments in a
fixed order, so that a server, a prediction and a replay get the same result.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, combinations, product
from typing import NamedTuple, TypeAlias

Box: TypeAlias = tuple[float, float, float, float]

EVERYWHERE: Box = (-math.inf, -math.inf, math.inf, math.inf)
"""The box of what may be anywhere."""

TOLERANCE = 1e-6
"""Lengths up to this many units are rounding errors and count as nothing."""

_MANY_CELLS = 64
_MOST_SPAN = 1e300


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
    # Most obstacles are not reached on one of the axes, or left behind.
    if dx > 0.0:
        if near_x - right >= dx or far_x - left <= TOLERANCE:
            return None
    elif left - far_x >= -dx or right - near_x <= TOLERANCE:
        return None
    if dy > 0.0:
        if near_y - bottom >= dy or far_y - top <= TOLERANCE:
            return None
    elif top - far_y >= -dy or bottom - near_y <= TOLERANCE:
        return None
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


def apart(a: Box, b: Box) -> bool:
    """Return whether two boxes share no point at all."""
    return a[0] > b[2] or a[2] < b[0] or a[1] > b[3] or a[3] < b[1]


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


def cell_side(boxes: Iterable[Box]) -> float:
    """Return a side for the cells of a `Space` in which boxes like these are to be found.

    It is a power of two, and so mostly stays what it is while the boxes change a little.
    """
    spans = sorted(right - left + bottom - top for left, top, right, bottom in boxes)
    middle = spans[len(spans) // 2] if spans else 0.0
    # Four to eight times the usual box, which mostly lies in one cell, and in four at most.
    return math.ldexp(2.0, math.frexp(middle)[1]) if 0.0 < middle < _MOST_SPAN else 64.0


class Space:
    """Boxes by entity, found by place through a grid.

    A box with a coordinate that is not a number may be anywhere: it shares a point with all others.

    Args:
        boxes: The boxes, by entity.
        side: Length of the sides of a cell. It has an effect on speed only; see `cell_side`.
    """

    __slots__ = ("_boxes", "_cells", "_side", "_wide")

    def __init__(self, boxes: Mapping[int, Box], side: float) -> None:
        self._boxes = boxes = dict(boxes)
        self._side = side
        self._cells = cells = defaultdict[tuple[float, float], list[int]](list)
        self._wide: list[int] = []
        for entity, (left, top, right, bottom) in boxes.items():
            west, north, east, south = left // side, top // side, right // side, bottom // side
            if west == east and north == south:
                cells[west, north].append(entity)
            elif (east - west + 1.0) * (south - north + 1.0) <= _MANY_CELLS:
                for cell in _cells(west, north, east, south):
                    cells[cell].append(entity)
            else:  # it is that large, or has a coordinate that is not a number
                boxes[entity] = _certain(boxes[entity])
                self._wide.append(entity)

    def pairs(self) -> set[tuple[int, int]]:
        """Return the pairs of entities whose boxes share a point, the smaller id first."""
        boxes = self._boxes
        found: set[tuple[int, int]] = set()
        crowds = [there for there in self._cells.values() if len(there) > 1]
        for one, other in chain.from_iterable(combinations(there, 2) for there in crowds):
            if not apart(boxes[one], boxes[other]):
                found.add((one, other) if one < other else (other, one))
        for one in self._wide:
            for other in boxes:
                if one != other and not apart(boxes[one], boxes[other]):
                    found.add((one, other) if one < other else (other, one))
        return found

    def near(self, box: Box) -> list[int]:
        """Return the entities whose boxes share a point with this one, in ascending order."""
        left, top, right, bottom = box
        side = self._side
        west, north, east, south = left // side, top // side, right // side, bottom // side
        there = self._cells.get
        found: Iterable[int]
        if west == east and north == south:
            found = [*there((west, north), ()), *self._wide]
        elif (east - west + 1.0) * (south - north + 1.0) <= _MANY_CELLS:
            found = {e for cell in _cells(west, north, east, south) for e in there(cell, ())}
            found.update(self._wide)
        else:
            found, box = self._boxes, _certain(box)
        return sorted(entity for entity in found if not apart(box, self._boxes[entity]))


def _cells(west: float, north: float, east: float, south: float) -> Iterator[tuple[int, int]]:
    return product(range(int(west), int(east) + 1), range(int(north), int(south) + 1))


def _certain(box: Box) -> Box:
    return EVERYWHERE if any(map(math.isnan, box)) else box
