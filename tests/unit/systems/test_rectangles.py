"""Boxes that move and meet."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.systems.rectangles import TOLERANCE, Box, Space, hit, overlap, swept, touch

UNIT: Box = (0.0, 0.0, 1.0, 1.0)

coordinates = st.floats(-1000, 1000)
sizes = st.floats(0.5, 300)


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


def _shrunk(box: Box) -> list[float]:
    return [box[0] + TOLERANCE, box[1] + TOLERANCE, box[2] - TOLERANCE, box[3] - TOLERANCE]


def _grown(box: Box) -> list[float]:
    return [box[0] - TOLERANCE, box[1] - TOLERANCE, box[2] + TOLERANCE, box[3] + TOLERANCE]


def test_overlap_and_touch() -> None:
    beside, corner, over, apart = (1, 0, 2, 1), (1, 1, 2, 2), (0.5, 0.5, 2, 2), (3, 0, 4, 1)
    assert [overlap(UNIT, b) for b in (beside, corner, over, apart)] == [False, False, True, False]
    assert [touch(UNIT, b) for b in (beside, corner, over, apart)] == [True, False, True, False]


def test_swept() -> None:
    assert swept(UNIT, 3, -2) == (0, -2, 4, 1)
    assert swept(UNIT, -3, 2) == (-3, 0, 1, 3)


@given(st.lists(boxes(), max_size=30), boxes())
def test_space_finds_all_that_touch(placed: list[Box], probe: Box) -> None:
    space = Space(enumerate(placed))
    near = space.near(probe)
    assert near == sorted(set(near))
    assert {e for e, box in enumerate(placed) if touch(box, probe)} <= set(near)


@given(st.lists(boxes(), min_size=2, max_size=10), st.lists(boxes(), min_size=1, max_size=10))
def test_space_follows_what_moves(placed: list[Box], moves: list[Box]) -> None:
    space = Space(enumerate(placed))
    for turn, box in enumerate(moves):
        space.move(turn % len(placed), box)
        assert turn % len(placed) in space.near(box)
    assert {e for e, b in space.boxes.items() if touch(b, moves[0])} <= set(space.near(moves[0]))


def test_space_leaves_far_things_out() -> None:
    space = Space((e, (100.0 * e, 0.0, 100.0 * e + 10, 10.0)) for e in range(50))
    assert space.near((200.0, 0.0, 210.0, 10.0)) == [2]
    space.move(2, (4000.0, 0.0, 4010.0, 10.0))
    assert space.near((200.0, 0.0, 210.0, 10.0)) == []


def test_space_takes_boxes_that_are_huge_or_no_numbers() -> None:
    space = Space([(1, UNIT), (2, (-math.inf, 0, math.inf, 1)), (3, (0, 0, math.nan, 1))])
    assert set(space.near((500, 0, 501, 1))) == {2, 3}
    space.move(2, (0, 0, 1, 1))
    assert space.near((500, 0, 501, 1)) == [3]
    assert space.near((-1e12, -1e12, 1e12, 1e12)) == [1, 2, 3]
    assert Space().near(UNIT) == []
