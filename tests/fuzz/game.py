"""The game that is fuzzed: fields of every kind, and systems that look at commands but obey none.

What moves moves by the tick alone, so what the world must look like is known at any time. It has a
lobby: matches begin when players are ready, or by the clock, and end by the clock. Only what calls
do on the server depends on that.

What is shared, and so runs ahead in smooth clients, is a dial of each player's, and pellets:
nothing of that is looked at here, but for what clients make of it.
"""

from __future__ import annotations

import enum
import math
from functools import partial
from typing import Annotated, Literal, TypeAlias

import esper

import ecsnet.simulation.simulation as net
from ecsnet.calls import entity_of, rpc
from ecsnet.components import LobbyInfo, LobbyPlayer, LobbyReady, LobbyState, Owner, Player
from ecsnet.schema import (
    Between,
    EntityRef,
    MaxLen,
    Quantized,
    Registry,
    Turn,
    command,
    event,
    replicated,
    use_registry,
)
from ecsnet.simulation.events import emit
from ecsnet.simulation.join_request import JoinRequest
from ecsnet.simulation.kick import kick
from ecsnet.simulation.lobby import Lobby
from ecsnet.simulation.match import end_match, start_match
from ecsnet.simulation.rewind import rewind
from ecsnet.simulation.rng import rng
from ecsnet.simulation.spec import SimulationSpec
from ecsnet.systems import LobbySystem


class Team(enum.Enum):
    RED = "red"
    BLUE = "blue"


Tags: TypeAlias = Annotated[list[int], MaxLen(4)]

with use_registry(Registry()) as registry:

    @replicated(interpolate=True, snap=100.0)
    class Place:
        x: float = 0.0
        y: float = 0.0

    @replicated(interpolate=True)
    class Heading:
        angle: Annotated[float, Quantized(1 / 16), Turn(25)] = 0.0

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

    @replicated
    class Horn:
        """Each player has one, and so has an NPC."""

        pitch: int = 0

        @rpc("server")
        def blow(
            self, number: Annotated[int, Between(0, 2**40)], at: EntityRef, tags: Tags
        ) -> None:
            ((_, watch),) = esper.get_component(Watch)
            watch.blown(entity_of(self), number, at, tags)

        @rpc("owner")
        def answer(self, number: int, at: EntityRef) -> None:
            entity_of(self)

        @rpc("all")
        def sound(self, number: int, names: dict[str, list[int]]) -> None:
            entity_of(self)

    @replicated(interpolate=True)
    class Dial:
        angle: Annotated[float, Turn(360)] = 0.0

    @replicated
    class Pellet:
        left: int = 20

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
BLOW, ANSWER, SOUND = (Horn.__ecsnet__.calls[name].cls for name in ("blow", "answer", "sound"))
"""The classes that the calls are on the wire."""

NPCS = 8
PAUSE = 4
"""Ticks from one `Boom` to the next."""

MATCH = 150
"""Ticks from when a match has begun by the clock to its end, and from there to the next one."""


def numbers(tick: int, index: int) -> tuple[float, float, float, int]:
    """Where an entity is, where it looks and how well it is in a tick."""
    slow = tick // 4
    return float(tick % 500 + index), slow % 97 / 4, slow % 64 / 16, slow % 101


def names_of(tick: int) -> dict[str, list[int]]:
    """What an event or a call of a tick says besides."""
    return {"tick": [tick] * (tick % 5)}


def boom(tick: int, at: int | None, near: list[int | None]) -> Boom:
    """What happens in a tick, and where."""
    return Boom(tick, at, near, tick % 64 / 16, names_of(tick))


def turn(_dt: float) -> None:
    """What players do with what they own; shared."""
    for player, wink in net.commands(Wink, Dial):
        dial = esper.component_for_entity(player, Dial)
        dial.angle = (dial.angle + wink.count % 7 + rng(player).random()) % 360
        if wink.count % 16 == 15:
            esper.create_entity(Pellet(), Dial(dial.angle), Owner(player))
    for entity, pellet in esper.get_component(Pellet):
        pellet.left -= 1
        if pellet.left <= 0:
            esper.delete_entity(entity)


class Watch:
    """Looks at what commands the systems get; what must not be is noted in ``complaints``."""

    def __init__(self) -> None:
        self.honest: set[int] = set()
        """Player entities that send nothing but `Wink`, and calls and infos with numbers that go
        up."""
        self.doomed: dict[int, str] = {}
        """Player entities that the game throws out in the next tick, with the texts."""
        self.seen = 0
        self.asked = 0
        self.called = 0
        self.gathered = 0
        self.looked_back = 0
        self.complaints: list[str] = []
        self._last: dict[int, int] = {}  # number of the last call for an honest player
        self._ready: dict[int, bool] = {}  # who was, when last looked at
        self._playing = False

    def look(self, _dt: float) -> None:
        self._look_at_lobby()
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
            self._look_back(entity)

    def _look_back(self, entity: int) -> None:
        """Look at what a player saw, and whether all is as it was afterwards."""
        places = [place for _, place in esper.get_component(Place)]
        now = [(place.x, place.y) for place in places]
        with rewind(entity):
            self.looked_back += [(place.x, place.y) for place in places] != now
        if [(place.x, place.y) for place in places] != now:
            self.complaints.append(f"places stay rewound for entity {entity}")

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
            case LobbyReady(ready):
                good = type(ready) is bool
            case LobbyInfo(info):
                good = len(info) <= 200
            case _:
                good = False
        self.asked += 1
        if not good:
            self.complaints.append(f"{request.data} reached a hook")

    def blown(self, entity: int, number: int, at: int | None, tags: list[int]) -> None:
        """Look at a call."""
        self.called += entity not in self.honest
        good = type(number) is int and 0 <= number <= 2**40 and len(tags) <= 4
        good &= all(type(tag) is int for tag in tags)
        good &= at is None or esper.entity_exists(at)
        if entity in self.honest:
            good &= self._last.get(entity, 0) < number and at == entity and tags == [number]
            self._last[entity] = number
        if not good or not esper.has_component(entity, Player):
            self.complaints.append(f"a call with {number}, {at}, {tags} ran for entity {entity}")
        if [state.phase for _, state in esper.get_component(LobbyState)] != ["playing"]:
            self.complaints.append("a call ran while nobody plays")

    def _look_at_lobby(self) -> None:
        """Look at what has become of what players say in the lobby."""
        ((_, state),) = esper.get_component(LobbyState)
        told = {player: said.info for player, said in net.commands(LobbyInfo, LobbyPlayer)}
        wished = {player for player, _ in net.commands(LobbyReady, LobbyPlayer)}
        self.gathered += len((told.keys() | wished) - self.honest)
        for player, each in esper.get_component(LobbyPlayer):
            if len(each.info) > 200 or each.info != told.get(player, each.info):
                self.complaints.append(f"{each.info!r} is what player {player} tells the others")
            if player in self.honest and each.values().keys() - {"beat"}:
                self.complaints.append(f"{each.values()} is told in an honest name")
            if each.ready and not self._ready.get(player):
                if player not in wished:
                    self.complaints.append(f"player {player} is ready, and has not said so")
                if self._playing and state.phase == "playing":
                    self.complaints.append(f"player {player} became ready in a match")
            self._ready[player] = each.ready
        self._playing = state.phase == "playing"
        made = [e for e, _ in esper.get_component(Follows) if not esper.has_component(e, Place)]
        if state.phase != "playing" and made:
            self.complaints.append(f"{made} outlived the match that it was made in")

    def left(self, player: int) -> None:
        """Forget a player."""
        self._ready.pop(player, None)

    def _need(self, entity: int, value: object, good: bool) -> None:
        self.seen += 1
        self._look_back(entity)
        there = esper.entity_exists(entity)
        owner = esper.try_component(entity, Owner) if there else None
        player = entity if owner is None else owner.player  # they may be for what somebody owns
        if not good or player in self.honest or not there:
            self.complaints.append(f"{value} reached entity {entity}")
        known = player is not None and esper.entity_exists(player)
        if not known or not esper.has_component(player, Player):
            self.complaints.append(f"{value} reached entity {entity}, which is nobody's")


class Rules:
    """The game as its smooth clients have it: they run what is shared."""

    def __init__(self) -> None:
        self.spec = SimulationSpec(tick_rate=60.0)
        self.spec.add_function(turn, 5, shared=True)


def spec(watch: Watch) -> SimulationSpec:
    made = SimulationSpec(tick_rate=60.0)
    made.lobby = partial(LobbySystem, Lobby((1, 8), 0.1, "play"))
    npcs: list[int] = []

    def start() -> None:
        esper.create_entity(watch)
        for index in range(NPCS):
            parts: list[object] = [Place(), Kind(index)]
            parts += [[Heading(), Bag([1, index])], [Health(), Badge()], [Secret(7)]][index % 3]
            npcs.append(esper.create_entity(*parts))
        for index, npc in enumerate(npcs):
            esper.add_component(npc, Follows(npcs[index - 1], npcs[:index]))
        esper.add_component(npcs[0], Horn())

    def join(player: int) -> None:
        esper.add_component(player, Secret(player, "hint"))
        esper.add_component(player, Horn())
        esper.add_component(player, Dial())

    def play(players: list[int]) -> None:
        esper.create_entity(Follows(players[0]))

    def move(_dt: float) -> None:
        tick = net.tick()
        for index, npc in enumerate(npcs):
            x, y, angle, hp = numbers(tick, index)
            place = esper.component_for_entity(npc, Place)
            place.x, place.y = x, y
            if (heading := esper.try_component(npc, Heading)) is not None:
                heading.angle = angle
            if (health := esper.try_component(npc, Health)) is not None:
                health.hp = hp
            if (bag := esper.try_component(npc, Bag)) is not None:
                bag.items[0] = hp
        if tick % PAUSE == 0:
            here = npcs[tick % NPCS]
            emit(boom(tick, here, npcs[:2]), about=here)
            for _, (horn, _) in esper.get_components(Horn, Player):
                horn.answer(tick, here)
            esper.component_for_entity(npcs[0], Horn).sound(tick, names_of(tick))
        emit(Spark(tick, npcs[0]), reliable=False)

    def judge(_dt: float) -> None:
        if net.tick() % (2 * MATCH) == MATCH:
            start_match()
        elif net.tick() % (2 * MATCH) == 0:
            end_match()
        for player, text in watch.doomed.items():
            kick(player, text)
        watch.doomed.clear()

    made.on_request.append(watch.ask)
    made.on_start.append(start)
    made.on_join.append(join)
    made.on_play.append(play)
    made.on_leave.append(watch.left)
    made.add_function(watch.look, 10, always=True)
    made.add_function(turn, 5, shared=True)
    made.add_function(move, 0, always=True)
    made.add_function(judge, -1, always=True)
    return made


__all__ = [
    "ANSWER",
    "BLOW",
    "NPCS",
    "SCHEMA",
    "SOUND",
    "Owner",
    "Rules",
    "Watch",
    "numbers",
    "registry",
    "spec",
]
