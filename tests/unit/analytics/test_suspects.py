"""Limits on what values do: each change is looked at, however short."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import esper
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecsnet as net
from ecsnet.analytics.suspects import Finding, Watch
from ecsnet.components import Position
from ecsnet.schema import Registry, component_type, use_registry
from ecsnet.world import World

RATE = 60.0


class Course:
    """A world with one entity, and what is found about it."""

    def __init__(self, world: World, limits: net.Suspect) -> None:
        self.world = world
        self.place = Position()
        with world:
            self.entity = esper.create_entity(self.place)
        self.watch = Watch(world, Position, ["x", "y"], limits, RATE)
        self.tick = 0
        self.check()

    def check(self, *, exempt: bool = False) -> list[Finding]:
        self.tick += 1
        return list(self.watch.check(self.tick, {self.entity} if exempt else ()))

    def move(self, dx: float, dy: float = 0.0) -> list[Finding]:
        self.place.x += dx
        self.place.y += dy
        return self.check()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def test_each_tick_of_a_speed_hack_is_found_and_no_honest_one(world: World) -> None:
    course = Course(world, net.Suspect(max_speed=300))
    for _ in range(60):
        assert course.move(300 / RATE) == []
    found = [finding for _ in range(6) for finding in course.move(3000 / RATE)]
    assert len(found) == 6
    first = found[0]
    assert (first.entity, first.field, first.limit) == (course.entity, "x, y", "max_speed")
    assert first.rate == pytest.approx(3000)
    assert (first.before, first.after) == (
        (pytest.approx(300), 0.0),
        (pytest.approx(350), 0.0),
    )
    assert course.move(300 / RATE) == []


def test_a_point_moves_as_far_as_its_way_is_long(world: World) -> None:
    course = Course(world, net.Suspect(max_speed=300))
    assert course.move(3.5, 3.5) == []
    assert course.move(4, 4) != []


@given(st.lists(st.floats(-300, 300), max_size=100))
def test_nothing_within_the_limit_is_ever_found(speeds: list[float]) -> None:
    with World() as world:
        course = Course(world, net.Suspect(max_speed=300))
        assert [found for speed in speeds for found in course.move(speed / RATE)] == []


def test_a_jump_that_the_game_makes_is_exempt_for_its_tick(world: World) -> None:
    course = Course(world, net.Suspect(max_speed=300))
    course.place.x += 5000
    assert course.check(exempt=True) == []
    assert course.check() == []
    assert course.move(5000) != []


def test_an_entity_that_comes_or_goes_does_not_hide_what_another_does(world: World) -> None:
    course = Course(world, net.Suspect(max_speed=300))
    with world:
        esper.create_entity(Position(1e6, 1e6))  # it did not move there
    (found,) = course.move(1000)
    assert found.entity == course.entity
    with world:
        esper.add_component(course.entity, Position(9000, 0))  # nor does a new component
    assert len(course.check()) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_any_more_is_found_once(world: World, value: float) -> None:
    course = Course(world, net.Suspect(max_speed=300))
    course.place.x = value
    assert len(course.check()) == 1
    assert course.check() == []


def test_values_of_other_kinds_are_left_alone(world: World) -> None:
    course = Course(world, net.Suspect(max_speed=300, max_rate=5))
    course.place.x = None  # type: ignore[assignment]
    assert course.check() == []
    course.place.x = 10**400
    assert course.check() == []
    course.place.x = True
    assert course.check() == []


# How fast something grows.


def gold(world: World, limits: net.Suspect) -> Course:
    course = Course(world, limits)
    course.watch = Watch(world, Position, ["x"], limits, RATE)
    course.check()
    return course


def test_growth_is_looked_at_over_a_second(world: World) -> None:
    course = gold(world, net.Suspect(max_rate=10))
    for _ in range(5):
        assert course.move(10) == []  # ten at once, once a second
        for _ in range(59):
            assert course.check() == []
    assert course.move(6) == []
    (found,) = course.move(6)
    assert (found.limit, found.allowed, found.rate) == ("max_rate", 10, 12)
    assert (found.before, found.after) == (pytest.approx(56), pytest.approx(62))


def test_what_shrinks_is_never_too_fast(world: World) -> None:
    course = gold(world, net.Suspect(max_rate=10))
    assert course.move(-1000) == []
    assert course.move(10) == []


def test_a_gain_is_found_once(world: World) -> None:
    course = gold(world, net.Suspect(max_rate=10))
    assert len(course.move(1000)) == 1
    assert course.move(5) == []


# Declaring them.


def test_a_limit_stands_beside_the_others_at_the_field() -> None:
    with use_registry(Registry()):

        @net.replicated(visible_to="server")
        class Purse:
            gold: Annotated[int, net.Between(0, 10**6), net.Suspect(max_rate=50)] = 0
            at: Annotated[tuple[float, float], net.Suspect(max_speed=300)] = (0.0, 0.0)
            maybe: Annotated[float | None, net.Suspect(max_speed=1)] = None

        found = [field.suspect for field in component_type(Purse).fields]
    assert found == [
        net.Suspect(max_rate=50),
        net.Suspect(max_speed=300),
        net.Suspect(max_speed=1),
    ]


def test_a_limit_that_means_nothing_is_refused() -> None:
    with pytest.raises(net.DeclarationError, match="one of them or both"):
        net.Suspect()
    for speed, rate in ((-1, None), (1, -1), (True, None), (None, math.inf)):
        with pytest.raises(net.DeclarationError, match="numbers from 0"):
            net.Suspect(max_speed=speed, max_rate=rate)
    for limit in (0, 0.5):
        assert net.Suspect(max_rate=limit).max_rate == limit
    with (
        use_registry(Registry()),
        pytest.raises(net.DeclarationError, match=r"Suspect goes with int, float and tuples"),
    ):

        @net.replicated
        class Named:
            name: Annotated[str, net.Suspect(max_rate=1)] = ""


def test_a_command_has_no_limits_to_suspect() -> None:
    with (
        use_registry(Registry()),
        pytest.raises(net.DeclarationError, match=r"which the server holds"),
    ):

        @net.command
        class Dig:
            depth: Annotated[int, net.Suspect(max_rate=1)] = 0


def test_a_mark_without_brackets_is_refused() -> None:
    with (
        use_registry(Registry()),
        pytest.raises(net.DeclarationError, match=r"Suspect without brackets .* Suspect\(\.\.\.\)"),
    ):

        @net.replicated
        class Purse:
            gold: Annotated[int, net.Suspect] = 0
