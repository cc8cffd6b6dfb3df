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

    @replicated
    class Pin:
        x: float = 0.0
        y: float = 0.0
        name: str = ""


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


def test_a_border_counts_from_exactly_as_far_as_is_said_on_all_sides() -> None:
    grid = Grid(Place, 10, hysteresis=0.5)
    for x, y, cell in (
        (15.0, 35.0, (2, 3)),
        (14.75, 35.0, (1, 3)),
        (34.75, 35.0, (2, 3)),
        (35.0, 35.0, (3, 3)),
        (25.0, 25.0, (2, 3)),
        (25.0, 24.75, (2, 2)),
        (25.0, 44.75, (2, 3)),
        (25.0, 45.0, (2, 4)),
    ):
        thing = Thing()
        assert moved(grid, thing, 25.0, 35.0) == (2, 3)
        assert moved(grid, thing, x, y) == cell


def test_by_default_one_cell_around_is_seen_and_a_border_is_a_tenth_of_a_cell() -> None:
    grid = Grid(Place, 10)
    assert (grid.position, grid.size, grid.radius, grid.hysteresis) == (Place, 10, 1, 0.1)
    assert len(set(grid.cells((0, 0)))) == 1 + 3 * 3
    thing = Thing()
    assert [moved(grid, thing, x) for x in (9.0, 10.9, 11.1)] == [(0, 0), (0, 0), (1, 0)]


@pytest.mark.parametrize("far", [1e300, -1e300, 1.5e300, math.inf, -math.inf, math.nan])
def test_where_either_coordinate_is_too_far_away_is_no_point(far: float) -> None:
    grid = Grid(Place, 10)
    assert grid.point(Place(far, 0.0)) is grid.point(Place(0.0, far)) is None
    assert grid.point(Place(9e299, -9e299)) == (9e299, -9e299)


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
        ({"size": math.inf}, "greater than 0"),
        ({"size": "10"}, "greater than 0"),
        ({"radius": -1}, "0 or more cells"),
        ({"radius": 51}, "0 or more cells around the client, up to 50"),
        ({"hysteresis": 1}, "a part of a cell"),
        ({"hysteresis": -0.1}, "a part of a cell"),
        ({"hysteresis": "0.1"}, "a part of a cell"),
        ({"fields": "xy"}, "the names of two fields"),
        ({"fields": ("x",)}, "the names of two fields"),
        ({"fields": ("x", "y", "x")}, "the names of two fields"),
        ({"fields": ("x", 1)}, "the names of two fields"),
        ({"position": Pin, "fields": ("x", "name")}, "its name is str, and a coordinate"),
        ({"position": Place()}, "the class of a component, not an instance"),
        ({"fields": ("x", "z")}, r"no field 'z'; name its two coordinates .*\)$"),
        ({"position": int}, "int, which is not replicated"),
    ],
)
def test_a_grid_that_cannot_be_says_why(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Grid(**{"position": Place, "size": 10, **arguments})  # type: ignore[arg-type]


def test_a_grid_may_be_as_fine_and_as_wide_as_this() -> None:
    grid = Grid(Pin, 0.5, 50, fields=["x", "y"])  # type: ignore[arg-type]
    assert len(set(grid.cells((0, 0)))) == 1 + 101 * 101
    assert grid.cell(Thing(point=(0.6, -0.1))) == (1, -1)


def test_a_predicate_is_a_function_of_two_and_asked_in_every_tick() -> None:
    with pytest.raises(UsageError, match="predicate"):
        Visible("all")  # type: ignore[arg-type]
    asked: list[int] = []
    policy = Visible(lambda player, entity: bool(asked.append(entity)))  # type: ignore[func-returns-value]
    observer = InterestObserver()
    for tick in range(5):
        observer.group_key = policy.group_key(observer, [Thing()], tick)
    assert len(asked) == 5


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
