"""What type checkers make of the decorators and of what takes classes; it also runs.

A line that must be refused carries an ignore, and the checkers report ignores that nothing needs:
``mypy --strict`` for ``type: ignore``, pyright with reportUnnecessaryTypeIgnoreComment for its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Literal, assert_type

from ecsnet.calls import entity_of, rpc
from ecsnet.client.world import ClientWorld
from ecsnet.schema import (
    Between,
    CommandType,
    ComponentType,
    EntityRef,
    EventType,
    Gate,
    Quantized,
    Schema,
    Turn,
    command,
    command_type,
    component_type,
    current_registry,
    encode,
    event,
    event_type,
    register_type,
    replicated,
)
from ecsnet.simulation.emission import Emission
from ecsnet.simulation.events import emit


@replicated
class Bare:
    x: float
    hp: int = 100

    def hurt(self, by: int) -> bool:
        self.hp -= by
        return self.hp <= 0


@replicated(visible_to="owner", rate=2)
class Called:
    ammo: list[int] = dataclasses.field(default_factory=list[int])
    angle: Annotated[float, Quantized(1 / 16)] = 0.0
    target: EntityRef = None


@replicated(interpolate=True, snap=60, predicted=False)
class Drone:
    x: float = 0.0
    angle: Annotated[float, Turn(360)] = 0.0


@replicated()
class Tank(Bare):
    shells: int = 3


@command
class Jump:
    high: bool = False


@command(hold=True)
class Steer:
    dx: Annotated[int, Between(-1, 1)] = 0


@event
class Boom:
    x: float
    by: EntityRef = None


@event()
class Over:
    text: str = ""


@replicated
class Knight:
    gold: int = 0

    @rpc("server")
    def attack(self, kind: Literal["slash", "stab"], hard: bool = False) -> None:
        self.gold += 1 + hard

    @rpc("all")
    def shout(self, *, text: str) -> None:
        self.gold += len(text)


class Vector:
    def __init__(self, x: float, y: float) -> None:
        self.x, self.y = x, y


def pair(vector: Vector) -> tuple[float, float]:
    return vector.x, vector.y


def from_pair(pair: tuple[float, float]) -> Vector:
    return Vector(*pair)


def accepted() -> None:
    bare = Bare(1.0, hp=3)
    assert_type(bare, Bare)
    assert_type(bare.x, float)
    assert_type(bare.hurt(1), bool)

    called = Called([1], 0.5)
    assert_type(called, Called)
    assert_type(called.ammo, list[int])
    assert_type(called.angle, float)
    assert_type(called.target, int | None)
    called.target = 7

    tank = Tank(1.0, 2, shells=3)
    assert_type(tank, Tank)
    assert_type(tank.hp, int)
    as_bare: Bare = tank
    assert as_bare is tank

    assert_type(Jump(), Jump)
    assert_type(Steer(-1), Steer)
    assert_type(Steer().dx, int)

    boom = Boom(1.0, by=3)
    assert_type(boom, Boom)
    assert_type(boom.by, int | None)
    assert_type(Over("won"), Over)

    constructor: Callable[[float, int], Bare] = Bare
    assert constructor(1.0, 2) == Bare(1.0, 2)

    register_type(Vector, tuple[float, float], pair, from_pair)

    assert_type(component_type(Bare), ComponentType)
    assert_type(command_type(Steer, "send()"), CommandType)
    assert_type(event_type(Boom, "emit()"), EventType)
    assert_type(current_registry().schema(), Schema)
    assert_type(encode(tank), bytes)
    gate = Gate(Bare, 100)
    assert_type(gate, Gate[Bare])
    assert_type(gate.decode(b""), Bare | None)
    union: Gate[Bare | None] = Gate(Bare | None, 100)
    assert_type(union.decode(b""), Bare | None)


def asked(client: ClientWorld) -> None:
    assert_type(client.mine(), list[int])
    assert_type(client.mine(Bare), list[tuple[int, Bare]])
    assert_type(client.mine(Bare, Tank), list[tuple[int, tuple[Bare, Tank]]])
    assert_type(
        client.mine(Bare, Tank, Called, Jump),
        list[tuple[int, tuple[Bare, Tank, Called, Jump]]],
    )
    assert_type(client.mine(Bare, Tank, Called, Jump, Steer), list[tuple[int, tuple[object, ...]]])
    for _, (bare, called, tank) in client.mine(Bare, Called, Tank):
        assert_type((bare, called, tank), tuple[Bare, Called, Tank])


def told(knight: Knight) -> None:
    """Systems and hooks would do that, and clients call what runs on the server."""
    assert_type(emit(Boom(1.0)), Emission)
    assert_type(emit(Boom(1.0), [1, 2], but=3, about=4, reliable=False).arrived(1), bool)
    assert_type(entity_of(knight), int)
    knight.attack("slash", hard=True)
    knight.shout(text="ho")


def refused() -> None:
    Boom()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    event(hold=True)  # type: ignore[call-overload]  # pyright: ignore
    emit(Boom(1.0), to="bob")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rpc("client")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Knight().attack("bite")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Knight().shout("ho")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Bare()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Bare("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Bare(1.0, 2, 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Called(ammo=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Called(amo=[])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Jump(True, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Steer(dx="left")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Bare(1.0).mana = 3  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    replicated(visible_to="team")  # type: ignore[call-overload]  # pyright: ignore
    replicated(hold=True)  # type: ignore[call-overload]  # pyright: ignore
    command(rate=2)  # type: ignore[call-overload]  # pyright: ignore
    register_type(Vector, tuple[float, float], len, from_pair)  # type: ignore[arg-type]  # pyright: ignore
    register_type(Vector, tuple[float, float], pair, str)  # type: ignore[arg-type]  # pyright: ignore


if __name__ == "__main__":
    accepted()
