"""The game that is fuzzed: fields of every kind, and systems that look at commands but obey none.

What moves moves by the tick alone, so what the world must look like is known at any time.
"""

from __future__ import annotations

import enum
import math
from typing import Annotated, Literal

import esper

import ecsnet.simulation.simulation as net
from ecsnet.components import Owner, Player
from ecsnet.schema import (
    Between,
    EntityRef,
    MaxLen,
    Quantized,
    Registry,
    command,
    event,
    replicated,
    use_registry,
)
from ecsnet.simulation.events import emit
from ecsnet.simulation.join_request import JoinRequest
from ecsnet.simulation.spec import SimulationSpec


class Team(enum.Enum):
    RED = "red"
    BLUE = "blue"


with use_registry(Registry()) as registry:

    @replicated
    class Place:
        x: float = 0.0
        y: float = 0.0

    @replicated
    class Heading:
        angle: Annotated[float, Quantized(1 / 16)] = 0.0

    @replicated
    class Health:
        hp: Annotated[int, Between(0, 100)] = 100
        alive: bool = True

    @replicated
    class Bag:
        items: list[int] = []
        labels: dict[str, int] = {}

    @replicated
    class Badge:
        team: Team = Team.RED
        rank: Literal["low", "high"] = "low"
        motto: str = ""
        seal: bytes = b""
        pair: tuple[int, float] = (0, 0.0)

    @replicated
    class Follows:
        whom: EntityRef = None
        others: list[EntityRef] = []

    @replicated(once=True)
    class Kind:
        number: int = 0

    @replicated(visible_to="owner")
    class Secret:
        code: int = 0
        hint: str | None = None

    @command(hold=True)
    class Steer:
        dx: Annotated[int, Between(-1, 1)] = 0
        aim: Annotated[float, Between(-3.0, 3.0)] = 0.0

    @command
    class Fire:
        at: EntityRef = None
        power: float = 0.0

    @command
    class Say:
        text: Annotated[str, MaxLen(40)] = ""
        tags: Annotated[list[int], MaxLen(4)] = []

    @command
    class Wink:
        """What the honest players send, and nobody else may send for them."""

        count: int = 0

    @event
    class Boom:
        """Arrives, each of them and in order."""

        number: int
        at: EntityRef = None
        near: list[EntityRef] = []
        force: Annotated[float, Quantized(1 / 16)] = 0.0
        names: dict[str, list[int]] = {}

    @event
    class Spark:
        """Arrives or not."""

        number: int
        at: EntityRef = None


SCHEMA = registry.schema()
NPCS = 8
PAUSE = 4
"""Ticks from one `Boom` to the next."""


def numbers(tick: int, index: int) -> tuple[float, float, float, int]:
    """Where an entity is, where it looks and how well it is in a tick."""
    slow = tick // 4
    return float(tick % 500 + index), slow % 97 / 4, slow % 64 / 16, slow % 101


def boom(tick: int, at: int | None, near: list[int | None]) -> Boom:
    """What happens in a tick, and where."""
    return Boom(tick, at, near, tick % 64 / 16, {"tick": [tick] * (tick % 5)})


class Watch:
    """Looks at what commands the systems get; what must not be is noted in ``complaints``."""

    def __init__(self) -> None:
        self.honest: set[int] = set()
        """Player entities that send nothing but `Wink`."""
        self.seen = 0
        self.asked = 0
        self.complaints: list[str] = []

    def look(self, _dt: float) -> None:
        for entity, steer in net.commands(Steer):
            self._need(entity, steer, steer.dx in (-1, 0, 1) and abs(steer.aim) <= 3)
        for entity, fire in net.commands(Fire):
            known = fire.at is None or esper.entity_exists(fire.at)
            self._need(entity, fire, math.isfinite(fire.power) and known)
        for entity, say in net.commands(Say):
            fits = len(say.text) <= 40 and len(say.tags) <= 4
            self._need(entity, say, fits and all(type(tag) is int for tag in say.tags))
        for entity, wink in net.commands(Wink):
            if not -(2**63) <= wink.count < 2**63:
                self.complaints.append(f"{wink} reached entity {entity}")

    def ask(self, request: JoinRequest) -> None:
        """Look at what somebody sent along who wants to join."""
        match request.data:
            case None:
                return
            case Steer(dx, aim):
                good = dx in (-1, 0, 1) and abs(aim) <= 3
            case Fire(at, power):
                good = at is None and math.isfinite(power)
            case Say(text, tags):
                good = len(text) <= 40 and len(tags) <= 4
            case Wink(count):
                good = -(2**63) <= count < 2**63
            case _:
                good = False
        self.asked += 1
        if not good:
            self.complaints.append(f"{request.data} reached a hook")

    def _need(self, entity: int, value: object, good: bool) -> None:
        self.seen += 1
        if not good or entity in self.honest or not esper.entity_exists(entity):
            self.complaints.append(f"{value} reached entity {entity}")
        if not esper.has_component(entity, Player):
            self.complaints.append(f"{value} reached entity {entity}, which is nobody's")


def spec(watch: Watch) -> SimulationSpec:
    made = SimulationSpec(tick_rate=60.0)
    npcs: list[int] = []

    def start() -> None:
        for index in range(NPCS):
            parts: list[object] = [Place(), Kind(index)]
            parts += [[Heading(), Bag([1, index])], [Health(), Badge()], [Secret(7)]][index % 3]
            npcs.append(esper.create_entity(*parts))
        for index, npc in enumerate(npcs):
            esper.add_component(npc, Follows(npcs[index - 1], npcs[:index]))

    def join(player: int) -> None:
        esper.add_component(player, Secret(player, "hint"))

    def move(_dt: float) -> None:
        for index, npc in enumerate(npcs):
            x, y, angle, hp = numbers(net.tick(), index)
            place = esper.component_for_entity(npc, Place)
            place.x, place.y = x, y
            if (heading := esper.try_component(npc, Heading)) is not None:
                heading.angle = angle
            if (health := esper.try_component(npc, Health)) is not None:
                health.hp = hp
            if (bag := esper.try_component(npc, Bag)) is not None:
                bag.items[0] = hp
        if net.tick() % PAUSE == 0:
            here = npcs[net.tick() % NPCS]
            emit(boom(net.tick(), here, npcs[:2]), about=here)
        emit(Spark(net.tick(), npcs[0]), reliable=False)

    made.on_request.append(watch.ask)
    made.on_start.append(start)
    made.on_join.append(join)
    made.add_function(watch.look, 10)
    made.add_function(move, 0)
    return made


__all__ = ["NPCS", "SCHEMA", "Owner", "Watch", "numbers", "registry", "spec"]
