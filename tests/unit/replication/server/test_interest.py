from __future__ import annotations

import math
from collections.abc import Hashable

import pytest

from ecsnet.errors import UsageError
from ecsnet.replication.server.interest import ANYWHERE, Everyone, Grid, Interest, Visible
from ecsnet.schema import Registry, replicated, use_registry

with use_registry(Registry()):

    @replicated
    class Place:
        x: float = 0.0
        y: float = 0.0

    @replicated
    class Spot:
        east: float = 0.0
        north: float = 0.0


class Thing:
    def __init__(self, net: int = 1, point: tuple[float, float] | None = None) -> None:
        self.net = net
        self.esper = net + 100
        self.cell: Hashable = ANYWHERE
        self.point = point


class InterestObserver:
    def __init__(self, focus: Thing | None = None, group_key: Hashable = None) -> None:
        self.player = 7
        self.focus = focus
        self.group_key = group_key


def moved(grid: Grid, thing: Thing, x: float, y: float = 5.0) -> Hashable:
    thing.point = grid.point(Place(x, y)) or thing.point
    thing.cell = grid.cell(thing)
    return thing.cell


def test_everyone_is_one_cell_that_everybody_sees() -> None:
    policy = Everyone()
    thing = Thing()
    assert policy.cell(thing) is ANYWHERE
    assert policy.group_key(InterestObserver(), [thing], 1) == policy.group_key(
        InterestObserver(thing), [thing], 2
    )
    assert list(policy.cells(policy.group_key(InterestObserver(), [], 1))) == [ANYWHERE]
    assert policy.position is None
    assert policy.point(Place()) is None


def test_a_grid_sorts_points_into_cells_on_both_sides_of_zero() -> None:
    grid = Grid(Place, 10, hysteresis=0)
    for x, column in ((0.0, 0), (9.99, 0), (10.0, 1), (-0.01, -1), (-10.0, -1), (-10.01, -2)):
        assert moved(grid, Thing(), x) == (column, 0)


def test_a_border_must_be_crossed_by_some_of_a_cell_before_it_counts() -> None:
    grid = Grid(Place, 10, hysteresis=0.1)
    thing = Thing()
    assert moved(grid, thing, 9.9) == (0, 0)
    crossings = 0
    for step in range(50):  # to and fro across the border
        before = thing.cell
        crossings += moved(grid, thing, 10.9 if step % 2 else 9.1) != before
    assert crossings == 0
    assert moved(grid, thing, 11.0) == (1, 0)
    assert moved(grid, thing, 9.1) == (1, 0)
    assert moved(grid, thing, 8.9) == (0, 0)
    assert moved(grid, thing, 5.0, 10.9) == (0, 0)
    assert moved(grid, thing, 5.0, -1.1) == (0, -1)


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf, "left", None])
def test_what_is_no_point_leaves_an_entity_where_it_was(x: object) -> None:
    grid = Grid(Place, 10)
    thing = Thing()
    moved(grid, thing, 25.0)
    assert moved(grid, thing, x) == (2, 0)  # type: ignore[arg-type]
    assert grid.cell(Thing()) is ANYWHERE


def test_a_viewer_sees_the_cells_around_its_own_and_what_has_no_position() -> None:
    grid = Grid(Place, 10)
    thing = Thing()
    moved(grid, thing, 35.0)
    group_key = grid.group_key(InterestObserver(thing), [], 1)
    cells = set(grid.cells(group_key))
    assert cells == {ANYWHERE, *((x, y) for x in (2, 3, 4) for y in (-1, 0, 1))}
    assert len(set(Grid(Place, 10, radius=0).cells(group_key))) == 2
    assert len(set(Grid(Place, 10, radius=2).cells(group_key))) == 26
    assert list(grid.cells(None)) == [ANYWHERE]


def test_a_viewer_without_a_centre_stays_where_it_was() -> None:
    grid = Grid(Place, 10)
    assert grid.group_key(InterestObserver(None, (3, 4)), [], 1) == (3, 4)
    assert grid.group_key(InterestObserver(Thing(), (3, 4)), [], 1) == (3, 4)
    assert grid.group_key(InterestObserver(), [], 1) is None


def test_coordinates_may_have_other_names() -> None:
    grid = Grid(Spot, 2, fields=("east", "north"))
    assert grid.point(Spot(3, 5)) == (3, 5)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"size": 0}, "greater than 0"),
        ({"size": math.nan}, "greater than 0"),
        ({"radius": -1}, "0 or more cells"),
        ({"hysteresis": 1}, "a part of a cell"),
        ({"hysteresis": -0.1}, "a part of a cell"),
        ({"fields": ("x", "z")}, r"no field 'z'; name its two coordinates .*\)$"),
        ({"position": int}, "int, which is not replicated"),
    ],
)
def test_a_grid_that_cannot_be_says_why(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Grid(**{"position": Place, "size": 10, **arguments})  # type: ignore[arg-type]


def test_a_predicate_is_asked_with_the_ids_of_the_servers_world() -> None:
    asked: list[tuple[int, int]] = []

    def even(player: int, entity: int) -> bool:
        asked.append((player, entity))
        return entity % 2 == 0

    policy = Visible(even)
    things = [Thing(1), Thing(2), Thing(4)]
    group_key = policy.group_key(InterestObserver(), things, 1)
    assert asked == [(7, 101), (7, 102), (7, 104)]
    assert set(policy.cells(group_key)) == {2, 4} == {policy.cell(thing) for thing in things[1:]}
    assert list(policy.cells(None)) == []


def test_a_predicate_may_be_asked_less_often() -> None:
    answers = iter([True, False, True])
    policy = Visible(lambda player, entity: next(answers), every=3)
    observer, seen = InterestObserver(), []
    for tick in range(5):
        observer.group_key = policy.group_key(observer, [Thing()], tick)
        seen.append(bool(observer.group_key))
    assert seen == [True, True, True, False, False]
    # Who has just come is not kept waiting.
    assert Visible(lambda *_: True, every=3).group_key(InterestObserver(), [Thing()], 4)
    with pytest.raises(UsageError, match="1 or more ticks"):
        Visible(lambda player, entity: True, every=0)


def test_policies_have_no_state_so_that_one_serves_any_number_of_simulations() -> None:
    policies: list[Interest] = [Everyone(), Grid(Place, 10), Visible(lambda p, e: True)]
    for policy in policies:
        before = dict(vars(policy))
        thing = Thing(point=(1, 1))
        policy.cell(thing)
        list(policy.cells(policy.group_key(InterestObserver(thing), [thing], 1)))
        assert vars(policy) == before
