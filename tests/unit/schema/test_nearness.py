"""Two wire forms of one value: what is quantised may be a step apart, and nothing else."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any

import msgspec
import pytest

from ecsnet.schema import (
    Quantized,
    Registry,
    component_type,
    register_type,
    replicated,
    use_registry,
)

Step = Annotated[float, Quantized(0.5)]


class Spot(msgspec.Struct):
    x: Step = 0.0
    name: str = ""


class Angle:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees


with use_registry(Registry()):
    register_type(Angle, Step, lambda angle: angle.degrees, Angle)

    @replicated
    class Drone:
        x: Step = 0.0
        y: float = 0.0
        fuel: Step | None = None
        trail: list[Step] = field(default_factory=list)
        pair: tuple[int, Step] = (0, 0.0)
        spots: dict[str, Spot] = field(default_factory=dict)
        angle: Angle = field(default_factory=lambda: Angle(0.0))
        name: str = ""


def near(one: dict[str, Any], other: dict[str, Any]) -> bool:
    kind = component_type(Drone)
    wires = [kind.to_wire(Drone(**each), lambda entity: entity) for each in (one, other)]
    found = kind.near(*wires)
    assert kind.near(*reversed(wires)) is found
    return found


@pytest.mark.parametrize(
    ("field", "value", "near_ones", "far_ones"),
    [
        ("x", 1.0, [1.0, 0.5, 1.5], [2.0, 0.0]),
        ("y", 1.0, [1.0, 1], [1.0000001]),
        ("fuel", 1.0, [1.5], [2.0, None]),
        ("fuel", None, [None], [0.0]),
        ("trail", [1.0, 2.0], [[1.5, 1.5]], [[1.0], [1.0, 3.0], []]),
        ("pair", (1, 1.0), [(1, 1.5)], [(2, 1.0), (1, 2.0)]),
        ("spots", {"a": Spot(1.0)}, [{"a": Spot(1.5)}], [{"b": Spot(1.0)}, {"a": Spot(1.0, "b")}]),
        ("angle", Angle(1.0), [Angle(1.5)], [Angle(2.0)]),
        ("name", "a", ["a"], ["b"]),
    ],
)
def test_one_step_apart_is_near(
    field: str, value: object, near_ones: list[object], far_ones: list[object]
) -> None:
    for other in near_ones:
        assert near({field: value}, {field: other}), other
    for other in far_ones:
        assert not near({field: value}, {field: other}), other


def test_what_has_no_fields_is_always_near() -> None:
    with use_registry(Registry()):

        @replicated
        class Mark:
            pass

    kind = component_type(Mark)
    assert kind.near(Mark(), Mark()) is True
