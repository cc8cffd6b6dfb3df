"""Boxes that move and meet."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ecsnet.systems.rectangles import (
    TOLERANCE,
    Box,
    Space,
    apart,
    cell_side,
    hit,
    overlap,
    touch,
)
from tests.unit.systems import plain_movement

UNIT: Box = (0.0, 0.0, 1.0, 1.0)

coordinates = st.floats(-1000, 1000)
sizes = st.floats(0.5, 300)


odd = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, 10.0, -10.0, 5e-324, 1e300])
"""Numbers at which something is equal to something else, or no number."""


fine = st.builds(
    lambda tenths, small: 0.1 * tenths + 0.5 * TOLERANCE * small,
    st.integers(-30, 30),
    st.integers(-4, 4),
)
"""Numbers of which many are equal but for rounding, or next to that."""


def plain_box(left: float, top: float, width: float, height: float) -> Box:
    return left, top, left + abs(width), top + abs(height)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, top = draw(coordinates), draw(coordinates)
    return left, top, left + draw(sizes), top + draw(sizes)


@pytest.mark.parametrize(
    ("dx", "dy", "obstacle", "time", "along_y", "edge"),
    [
        (4, 0, (3, 0, 4, 1), 0.5, False, 2.0),
        (-4, 0, (-3, 0, -2, 1), 0.5, False, -2.0),
        (0, 4, (0, 3, 1, 4), 0.5, True, 2.0),
        (0, -4, (0, -3, 1, -2), 0.5, True, -2.0),
        (4, 2, (3, 0, 4, 9), 0.5, False, 2.0),
        (8, 8, (5, 3, 9, 9), 0.5, False, 4.0),
    ],
)
def test_hit_says_when_where_and_on_which_axis(
    dx: float, dy: float, obstacle: Box, time: float, along_y: bool, edge: float
) -> None:
    found = hit(UNIT, dx, dy, obstacle)
    assert found is not None
    assert (found.time, found.along_y, found.edge) == (time, along_y, edge)


@pytest.mark.parametrize(
    ("dx", "dy", "obstacle"),
    [
        (1, 0, (3, 0, 4, 1)),  # not far enough
        (2, 0, (3, 0, 4, 1)),  # arrives at the edge and no further
        (-9, 0, (3, 0, 4, 1)),  # away from it
        (9, 0, (3, 1, 4, 2)),  # past it, edge along edge
        (9, 9, (3, 0, 4, 1)),  # diagonally past it
        (0, 0, (3, 0, 4, 1)),
        (9, 0, (0.2, 0.2, 4, 4)),  # out of it, from inside
        (9, 0, (math.nan, 0, 4, 1)),
    ],
)
def test_no_hit(dx: float, dy: float, obstacle: Box) -> None:
    assert hit(UNIT, dx, dy, obstacle) is None


def test_contact_stops_what_pushes_on_and_lets_the_rest_slide() -> None:
    floor: Box = (-5, 1, 5, 2)
    assert hit(UNIT, 3, 0, floor) is None
    assert hit(UNIT, 3, -1, floor) is None
    pushed = hit(UNIT, 3, 1, floor)
    assert pushed is not None
    assert (pushed.time, pushed.along_y, pushed.edge) == (0.0, True, 0.0)


def test_a_full_side_comes_before_a_corner() -> None:
    below, below_right = hit(UNIT, 1, 1, (0, 1, 1, 2)), hit(UNIT, 1, 1, (1, 1, 2, 2))
    assert below is not None
    assert below_right is not None
    assert below.time == below_right.time == 0.0
    assert min(below, below_right) is below


@given(boxes(), st.floats(-2000, 2000), st.floats(-2000, 2000), boxes())
def test_a_hit_ends_at_the_edge_and_no_hit_ends_outside(
    box: Box, dx: float, dy: float, obstacle: Box
) -> None:
    if overlap(box, obstacle):
        assert hit(box, dx, dy, obstacle) is None
        return
    found = hit(box, dx, dy, obstacle)
    part = 1.0 if found is None else found.time
    left, top = box[0] + dx * part, box[1] + dy * part
    if found is not None:
        left, top = (left, found.edge) if found.along_y else (found.edge, top)
    end = left, top, left + box[2] - box[0], top + box[3] - box[1]
    assert not overlap(end, tuple(_shrunk(obstacle)))  # type: ignore[arg-type]
    if found is not None:
        assert touch(tuple(_grown(end)), obstacle)  # type: ignore[arg-type]


any_boxes = (
    boxes()
    | st.builds(plain_box, fine, fine, fine, fine)
    | st.builds(plain_box, odd, odd, odd, odd)
)


@settings(max_examples=500)
@given(
    any_boxes,
    fine | odd,
    fine | odd,
    any_boxes,
)
def test_hit_is_exact(box: Box, dx: float, dy: float, obstacle: Box) -> None:
    assume(math.isfinite(dx) and math.isfinite(dy))  # as a velocity is
    assert repr(hit(box, dx, dy, obstacle)) == repr(plain_movement.hit(box, dx, dy, obstacle))


def test_hit_is_exact_where_things_nearly_touch() -> None:
    rng = random.Random(1)

    def number() -> float:
        return 0.1 * rng.randint(-8, 8) + 0.5 * TOLERANCE * rng.choice([0, 0, -3, -2, -1, 1, 2, 3])

    hits = 0
    for _ in range(20_000):
        box, obstacle = (plain_box(number(), number(), number(), number()) for _ in range(2))
        dx, dy = number(), number()
        expected = plain_movement.hit(box, dx, dy, obstacle)
        assert hit(box, dx, dy, obstacle) == expected
        hits += expected is not None
    assert hits > 1000


def _shrunk(box: Box) -> list[float]:
    return [box[0] + TOLERANCE, box[1] + TOLERANCE, box[2] - TOLERANCE, box[3] - TOLERANCE]


def _grown(box: Box) -> list[float]:
    return [box[0] - TOLERANCE, box[1] - TOLERANCE, box[2] + TOLERANCE, box[3] + TOLERANCE]


def test_overlap_and_touch() -> None:
    beside, corner, over, apart = (1, 0, 2, 1), (1, 1, 2, 2), (0.5, 0.5, 2, 2), (3, 0, 4, 1)
    assert [overlap(UNIT, b) for b in (beside, corner, over, apart)] == [False, False, True, False]
    assert [touch(UNIT, b) for b in (beside, corner, over, apart)] == [True, False, True, False]


def test_apart() -> None:
    edge, corner, right, below = (1, 0, 2, 1), (1, 1, 2, 2), (1.1, 0, 2, 1), (0, 1.1, 1, 2)
    assert [apart(UNIT, b) for b in (edge, corner, right, below)] == [False, False, True, True]
    assert [apart(b, UNIT) for b in (edge, corner, right, below)] == [False, False, True, True]


def placed(boxes: Iterable[Box]) -> Space:
    by_entity = dict(enumerate(boxes))
    return Space(by_entity, cell_side(by_entity.values()))


@given(st.lists(boxes(), max_size=30), boxes())
def test_space_finds_all_that_touch(all_boxes: list[Box], probe: Box) -> None:
    near = placed(all_boxes).near(probe)
    assert near == sorted(set(near))
    assert near == [e for e, box in enumerate(all_boxes) if not apart(box, probe)]


@given(st.lists(boxes(), max_size=30), st.floats(0.1, 1e4))
def test_space_pairs_all_that_touch_whatever_its_cells(all_boxes: list[Box], side: float) -> None:
    pairs = Space(dict(enumerate(all_boxes)), side).pairs()
    both = combinations(enumerate(all_boxes), 2)
    assert pairs == {(a, b) for (a, one), (b, other) in both if not apart(one, other)}


def test_space_leaves_far_things_out() -> None:
    space = placed((100.0 * e, 0.0, 100.0 * e + 10, 10.0) for e in range(50))
    assert space.near((200.0, 0.0, 210.0, 10.0)) == [2]
    assert space.near((4000.0, 0.0, 4010.0, 10.0)) == [40]
    assert space.near((220.0, 0.0, 230.0, 10.0)) == []
    assert space.pairs() == set()


def test_space_takes_boxes_that_are_huge_or_no_numbers() -> None:
    space = placed([UNIT, (-math.inf, 0, math.inf, 1), (0, 0, math.nan, 1)])
    assert space.near((500, 0, 501, 1)) == [1, 2]
    assert space.near((500, 5, 501, 6)) == [2]
    assert space.near((500, 0, 520, 1)) == [1, 2]
    assert space.near((-1e12, -1e12, 1e12, 1e12)) == [0, 1, 2]
    assert space.near((5, 5, math.nan, 6)) == [0, 1, 2]
    assert space.pairs() == {(0, 1), (0, 2), (1, 2)}
    far_apart = placed([UNIT, (3, 3, 4, 4), (0, 0, math.nan, 1)])
    assert far_apart.pairs() == {(0, 2), (1, 2)}
    assert placed([]).near(UNIT) == []


@pytest.mark.parametrize(
    ("all_boxes", "side"),
    [
        ([], 64.0),
        ([(0.0, 0.0, 0.0, 0.0)], 64.0),
        ([(0.0, 0.0, math.inf, 1.0)], 64.0),
        ([(0.0, 0.0, 1.7e308, 0.0)], 64.0),
        ([UNIT], 8.0),
        ([UNIT, (5.0, 5.0, 6.5, 6.5), (0.0, 0.0, 1e6, 1e6)], 8.0),
        ([(0.0, 0.0, 16.0, 16.0)], 128.0),
    ],
)
def test_cells_are_some_times_as_large_as_most_boxes(all_boxes: list[Box], side: float) -> None:
    assert cell_side(all_boxes) == side
