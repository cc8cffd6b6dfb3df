"""What lies between two values of a component: its floats, and angles the shorter way round."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.schema import (
    Between,
    ComponentType,
    EntityRef,
    Quantized,
    Registry,
    Turn,
    component_type,
    replicated,
    use_registry,
)


@pytest.fixture(autouse=True)
def registry() -> Iterator[Registry]:
    with use_registry(Registry()) as registry:
        yield registry


def declare(annotation: object) -> tuple[ComponentType, Any]:
    """A component with one field, value, that is to be blended."""
    with use_registry(Registry()):
        made = type("Dial", (), {"__annotations__": {"value": annotation}})
        cls = replicated(interpolate=True)(made)
        return component_type(cls), cls


PLAIN = declare(float)
ANGLE = declare(Annotated[float, Turn(360)])


def at(declared: tuple[ComponentType, Any], one: float, other: float, fraction: float) -> float:
    kind, cls = declared
    dial = cls(0.0)
    kind.blend(dial, (one,), (other,), fraction)
    return float(dial.value)


def test_floats_alone_are_blended() -> None:
    @replicated(interpolate=True)
    class Drone:
        name: str
        x: float
        hp: int
        y: Annotated[float, Quantized(0.5), Between(0, 10)]
        fuel: float | None
        at: tuple[float, float]
        target: EntityRef
        angle: Annotated[float, Turn(360)]

    kind = component_type(Drone)
    before = Drone("a", 1.0, 3, 2.0, 1.0, (1.0, 2.0), None, 350.0)
    after = Drone("b", 2.0, 5, 3.0, 2.0, (2.0, 3.0), None, 10.0)
    one, other = (kind.floats(kind.to_wire(drone, lambda net: net)) for drone in (before, after))
    assert one == (1.0, 2.0, 350.0)
    assert other == (2.0, 3.0, 10.0)
    shown = Drone("a", 1.0, 3, 2.0, 1.0, (1.0, 2.0), None, 350.0)
    kind.blend(shown, one, other, 0.25)
    assert shown == Drone("a", 1.25, 3, 2.25, 1.0, (1.0, 2.0), None, 355.0)


def test_two_values_are_apart_as_points_are() -> None:
    @replicated(interpolate=True)
    class Drone:
        x: float
        hp: int
        y: float
        angle: Annotated[float, Turn(360)]

    kind = component_type(Drone)
    assert kind.distance((0.0, 0.0, 90.0), (3.0, 4.0, 90.0)) == 5
    assert kind.distance((0.0, 0.0, 350.0), (0.0, 0.0, 10.0)) == pytest.approx(20)
    assert PLAIN[0].distance((3.0,), (-1.0,)) == 4


def test_floats_of_a_component_are_read_and_written_as_they_are() -> None:
    @replicated(interpolate=True)
    class Drone:
        x: float
        hp: int
        y: Annotated[float, Quantized(0.5), Between(0, 10)]
        angle: Annotated[float, Turn(360)]

    kind = component_type(Drone)
    held = (float("inf"), 0.1, -0.1)
    drone = Drone(held[0], 3, held[1], held[2])
    assert kind.read_floats(drone) == held
    kind.write_floats(drone, (1.0, 0.3, 725.5))
    assert drone == Drone(1.0, 3, 0.3, 725.5)
    kind.write_floats(drone, held)
    assert kind.read_floats(drone) == held


def test_floats_of_a_quantised_value_are_those_of_its_component() -> None:
    kind, _ = declare(Annotated[float, Quantized(0.28), Between(-1, 1)])
    for steps, value in ((-4, -1.0), (3, 0.84), (4, 1.0)):
        wire = kind.wire_type(steps)
        assert kind.floats(wire) == (kind.from_wire(wire, lambda net: net).value,)  # type: ignore[attr-defined]
        assert kind.floats(wire) == pytest.approx((value,))


def test_a_class_without_floats_has_nothing_to_blend() -> None:
    @replicated
    class Rank:
        stars: int = 3

    kind = component_type(Rank)
    rank = Rank()
    assert kind.floats(rank) == ()
    assert kind.distance((), ()) == 0
    assert kind.read_floats(rank) == ()
    kind.blend(rank, (), (), 0.5)
    kind.write_floats(rank, ())
    assert rank == Rank(3)


@pytest.mark.parametrize(
    ("one", "other", "fraction", "value"),
    [(1, 3, 0.5, 2), (1, 3, 0.0, 1), (1, 3, 1.0, 3), (1, 3, 2.5, 6), (3, 1, 0.25, 2.5)],
)
def test_a_float_lies_on_the_line(one: float, other: float, fraction: float, value: float) -> None:
    assert at(PLAIN, one, other, fraction) == value


@pytest.mark.parametrize(
    ("one", "other", "fraction", "value"),
    [
        (10, 30, 0.5, 20),
        # By way of 0, and by way of 180, where angles are kept around 0.
        (350, 10, 0.25, 355),
        (350, 10, 0.5, 0),
        (350, 10, 0.75, 5),
        (10, 350, 0.75, 355),
        (170, -170, 0.25, 175),
        (170, -170, 0.75, -175),
        (-10, 10, 0.5, 0),
        # Beyond the second value it goes on round.
        (340, 350, 3.0, 10),
        # What grows without end goes on as it is.
        (715, 725, 0.5, 720),
        (725, 5, 0.5, 725),
        # Kept from 0 on, or around 0: from the least to just below a full turn more.
        (0, 350, 0.5, 355),
        (10, 0, 2.0, 350),
        (360, 10, 0.5, 365),
        (350, 360, 2.0, 370),
        (350, 370, 0.75, 365),
    ],
)
def test_an_angle_goes_the_shorter_way(
    one: float, other: float, fraction: float, value: float
) -> None:
    assert at(ANGLE, one, other, fraction) == pytest.approx(value)


Fractions = st.floats(0, 4)
Angles = st.floats(0, 360, exclude_max=True)


@given(Angles, Angles, Fractions)
def test_an_angle_stays_where_angles_are_kept(one: float, other: float, fraction: float) -> None:
    assert 0 <= at(ANGLE, one, other, fraction) < 360
    if min(one, other) < 180:  # else both are kept from 0 on, as far as one can tell
        assert -180 <= at(ANGLE, one - 180, other - 180, fraction) < 180


@given(Angles, Angles)
def test_an_angle_is_never_more_than_half_a_turn_away(one: float, other: float) -> None:
    halfway = at(ANGLE, one, other, 0.5)
    for end in (one, other):
        apart = abs(halfway - end)
        assert min(apart, 360 - apart) <= 90.001
