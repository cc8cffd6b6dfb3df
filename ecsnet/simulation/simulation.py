"""One running world: its tick, systems, players, commands and random numbers. No socket, no clock.

What comes from outside (joins, leaves, commands, presences) enters `Simulation.step` as data, at
the boundary between two ticks. The same spec, seed and data make the same match again.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from hashlib import blake2b
from typing import Final, TypeVar, cast

import esper

from ecsnet.commands.inbox import PlayerCommands, ReceivedCommand
from ecsnet.errors import OutsideTickError, UsageError, WorldError
from ecsnet.runtime.rate_limited_log import RationedLog
from ecsnet.schema import CommandType, command_type, is_sent
from ecsnet.simulation.emission import Emission
from ecsnet.simulation.lobby import LobbyControl
from ecsnet.simulation.observer import Observers
from ecsnet.simulation.past import Past
from ecsnet.simulation.presence import PlayerPresence, note_left, note_presence
from ecsnet.simulation.spec import SimulationSpec, gets_reason
from ecsnet.simulation.teleports import count_jump
from ecsnet.validation.arguments import check_instance, name_of
from ecsnet.world import World, current_name

__all__ = [
    "KEEP",
    "Join",
    "Keep",
    "Leave",
    "Simulation",
    "commands",
    "running",
    "running_now",
    "tick",
]

T = TypeVar("T")

logger = logging.getLogger("ecsnet.server")


class Keep(Enum):
    """The type of `KEEP`."""

    KEEP = "keep"


_NOBODIES: Final = 16
"""So many numbers of players that there are not are complained about; more say the same."""

KEEP = Keep.KEEP
"""Returned by an ``on_leave`` hook: leave the player's entity, and what it owns, in the world."""


@dataclass(frozen=True, slots=True)
class Join:
    """Somebody comes in.

    Attributes:
        player_id: Number of the player, never used before in this simulation.
        name: What the player is called.
    """

    player_id: int
    name: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Somebody goes.

    Attributes:
        player_id: Number of the player.
        reason: Why, in one word: ``"left"``, ``"timeout"``, ``"kicked"``, ...
    """

    player_id: int
    reason: str = "left"


class _Commanded:
    """The commands of one type in one tick.

    A held command is handed out in each tick, so systems get a copy, and where that needs no look
    at the world it is made at once. All others are made when a system asks. Entities and player
    numbers are only handed on, and therefore annotated as objects (docs/performance.md).
    """

    __slots__ = ("call", "copy", "count", "given", "kind", "values")

    def __init__(self, kind: CommandType) -> None:
        self.kind = kind
        self.call = kind.call
        self.copy = kind.clone if kind.direct and kind.hold else None
        self.count = 0
        self.values: list[tuple[object, object]] = []  # entity and command, as systems get them
        self.given: list[tuple[object, object, object]] = []  # entity, wire value, player number


class Simulation:
    """One world, made from a spec, that runs tick by tick.

    Args:
        spec: Rates, systems and hooks; what is added to it later does not count.
        seed: Of the random numbers that systems ask for.
        epoch: Names this simulation and its boot, 32 bits.
        player: Makes the component that marks a player's entity, from its number and name.
        owner: The component type whose ``player`` field names the player that owns an entity.
        presence: The component type that shows the state of a player's connection.
        teleports: The component type that counts an entity's jumps.
        name: Of its esper world; made up when left out.
        ahead: Whether it is a client's own, which runs ahead of its server.

    Attributes:
        world: The esper world.
        tick: The tick that runs or ran last; 0 before the first.
        dt: Seconds per tick.
        rng: The random numbers.
        public_seed: The seed of those that clients know, too, 64 bits.
        player_entity: The entity of each player, by player number.
        player_number: The number of each player, by entity; while hooks see one leave, too.
        rejected: Per player, commands for entities that were gone or not the player's own, and
            entities that commands named though the player could not see them.
        emitted: The events of the tick that runs or ran last, in the order of `ecsnet.emit`.
        ignored: What the game asked for and only the moment made impossible, such as an event to
            somebody who has just left: how often, by the name of the function.
        kicked: The texts for players whom the game throws out and who are still there, by player
            number; see `take_kicked`.
        errors: How often each system or hook raised.
        failure: What a system or hook raised, where that stops the simulation.
        drawn: What the players said that they were shown in the tick that runs or ran last, by
            their number; without those who said nothing.
        past: What the block of `ecsnet.rewind` that runs now has changed; None outside of one.
        rewinds: Number of blocks of `ecsnet.rewind` in which something was rewound.
        rewinds_limited: Those of them that looked at another moment than the client said.
        resolve: Maps network ids to entities, where there is replication.
        network_id: Maps entities to network ids, where there is replication.
        look_back: Lets components show what a player saw, by its number; returns whether it could.
        sees: Whether a player, by number, may name a network id, where there are clients.
        observers: Whoever is told what the game says of itself.
        lobby: What gathers the players of a match; None in a game without a lobby.
        playing: Whether a match is played, as it always is without a lobby. Until then only some
            systems run, and what players call on the server does nothing.
        paused: Set it to run none of the game's systems for now, so that the world can be compared
            with its copies. Joins, leaves and replication go on; commands do nothing.
        held: Whether the systems that are not `always` are held back in the tick that runs or ran
            last: it is paused, or no match is played.
        ahead: Whether it is a client's own, which runs ahead of its server. Nobody hears of what
            its systems say to others: that is for the server to say, where they run, too.
    """

    def __init__(
        self,
        spec: SimulationSpec,
        *,
        seed: int,
        epoch: int,
        player: Callable[[int, str], object],
        owner: type[object],
        presence: type[object] | None = None,
        teleports: type[object] | None = None,
        name: str | None = None,
        ahead: bool = False,
    ) -> None:
        self.ahead = ahead
        self.world = World(name)
        self.epoch = epoch
        self.tick = 0
        self.dt = 1 / spec.tick_rate
        self.rng = random.Random(seed)
        digest = blake2b(str(seed).encode(), digest_size=8, person=b"public seed").digest()
        self.public_seed = int.from_bytes(digest, "little")
        self.player_entity: dict[int, int] = {}
        self.player_number: dict[int, int] = {}
        self.rejected: Counter[int] = Counter()
        self.emitted: list[Emission] = []
        self.ignored: Counter[str] = Counter()
        self.kicked: dict[int, str] = {}
        self.errors: Counter[str] = Counter()
        self.failure: Exception | None = None
        self.paused = self.held = False
        self.drawn: dict[int, PlayerCommands] = {}
        self.past: Past | None = None
        self.rewinds = self.rewinds_limited = 0
        self.resolve: Callable[[int], int | None] = _resolve_nothing
        self.network_id: Callable[[int], int | None] = _resolve_nothing
        self.look_back: Callable[[int, Past], bool] = _see_the_present
        self.sees: Callable[[int, int], bool] = _see_everything
        self.observers = Observers()

        self._dice: dict[int, random.Random] = {}  # of entities, in this tick
        self._log = RationedLog(logger)
        self._identity = self.world.identity()
        self._player = player
        self._owner = owner
        self._presence = presence
        self._teleports = teleports
        self._names: dict[int, str] = {}  # of the players whose entity was there when last seen
        self._owners: object = None  # esper's list of owners, when it was looked at last
        self._named: set[int] = set()  # whom they named
        self._nobodies: set[int] = set()  # who of them was no player, and was complained about
        # Who of `player_entity` has an entity, and esper's list of owners when that was looked up.
        self._alive: dict[object, object] = {}
        self._alive_with: object = None
        self._on_error = spec.on_error
        self._on_start = tuple(spec.on_start)
        self._on_join = tuple(spec.on_join)
        self._on_leave = tuple((hook, gets_reason(hook)) for hook in spec.on_leave)
        self._on_play = tuple(spec.on_play)
        # Priority, name, what to call, and whether it runs in every phase and while paused.
        self._systems: list[tuple[float, str, Callable[[float], object], bool, bool]] = []
        self._commanded: dict[CommandType, _Commanded] = {}  # in this tick
        # The calls of this tick, in order: entity, call, player number.
        self._calls: list[tuple[object, ReceivedCommand, object]] = []
        self.lobby: LobbyControl | None = None
        self.playing = spec.lobby is None
        with self.world:
            if spec.lobby is not None:
                self.lobby = spec.lobby(self)
                self.add_system(self.lobby.process, float("inf"), "LobbySystem", always=True)
            for system in spec.systems:
                self.add_system(system.make(), system.priority, system.name, always=system.always)

    def add_system(
        self,
        process: Callable[[float], object],
        priority: float,
        name: str,
        *,
        always: bool = False,
        while_paused: bool = False,
    ) -> None:
        """Add a system to this simulation alone.

        Args:
            process: Called with ``dt`` each tick.
            priority: Higher ones run first; equal ones in the order in which they were added.
            name: For the log.
            always: Whether it runs also while no match is played, see `playing`.
            while_paused: Whether it runs in any case, even while the simulation is `paused`.
        """
        self._systems.append((priority, name, process, always, while_paused))
        self._systems.sort(key=lambda system: -system[0])

    def step(
        self,
        joins: Sequence[Join] = (),
        leaves: Sequence[Leave] = (),
        commands: Sequence[PlayerCommands] = (),
        presences: Sequence[PlayerPresence] = (),
    ) -> None:
        """Run one tick.

        The four are plain data: whoever keeps them has recorded the match.

        Args:
            joins: Who comes in.
            leaves: Who goes, and why.
            commands: Player numbers with what `Inbox.take` gave for this tick.
            presences: News of how clients are heard.

        Raises:
            UsageError: The simulation has stopped, or a tick is running already.
        """
        global _running
        if self.failure is not None:
            raise UsageError("step() of a simulation that has stopped, see its failure")
        if _running is self:
            raise UsageError("step() inside a tick of the same simulation")
        before, _running = _running, self
        self.tick += 1
        self.emitted = []
        self.held = self.paused or not self.playing
        if self._dice:
            self._dice = {}
        try:
            with self.world as world:
                world.flush_dead()
                if self.tick == 1:
                    for hook in self._on_start:
                        self._call(name_of(hook), hook)
                for join in joins:
                    self._join(join)
                for leave in leaves:
                    self._leave(leave)
                if presences and not self.paused:
                    self._note_presences(presences)
                self._dispatch(commands)
                if self._calls:
                    self._run_calls()
                for _, name, process, always, while_paused in self._systems:
                    if while_paused or (not self.paused and (always or self.playing)):
                        self._call(name, process, self.dt)
                if not self.ahead:
                    self._look_for_mistakes()
                if world.identity() is not self._identity:
                    # The database was cleared: players are gone, and their ids of esper will
                    # be somebody else's.
                    self._identity = world.identity()
                    self.player_entity.clear()
                    self.player_number.clear()
        finally:
            _running = before

    def finish(self, leaves: Sequence[Leave] = ()) -> None:
        """Let everybody leave: the game ends. Hooks run as in a tick, systems do not.

        Nothing happens in a simulation that a failure has stopped: its world may be half done.
        What a hook raises here is the `failure` afterwards, as in a tick.

        Args:
            leaves: Who goes for which reason; the others go because the game shuts down.
        """
        global _running
        if self.failure is not None or not self.player_entity:
            return
        before, _running = _running, self
        self._commanded.clear()
        self.drawn.clear()
        try:
            with self.world as world:
                world.flush_dead()
                reasons = {leave.player_id: leave.reason for leave in leaves}
                for player_id in list(self.player_entity):
                    self._leave(Leave(player_id, reasons.get(player_id, "shutdown")))
        finally:
            _running = before

    def take_kicked(self) -> dict[int, str]:
        """Hand out whom the game has thrown out since the last call: texts by player number.

        It only says so: their `Leave` belongs to the next tick.
        """
        kicked, self.kicked = self.kicked, {}
        return kicked

    def begin_match(self, number: int, players: list[int]) -> None:
        """Let a match begin: from here on all systems run.

        Args:
            number: Of the match; the first is 1.
            players: The entities of those who play.
        """
        self.playing = True
        self.held = False
        self.observers.match_began(number, [self.player_number[player] for player in players])
        for hook in self._on_play:
            if self.playing:  # the hook before may have ended it
                self._call(name_of(hook), hook, players.copy())

    def end_match(self, number: int) -> None:
        """Let the match of that number end."""
        self.playing = False
        self.observers.match_ended(number)

    def teleported(self, entity: int) -> None:
        """Note that the game itself moves an entity: where clients are shown it, they see that it
        jumps.
        """
        self.observers.teleported(entity)
        teleports = self._teleports
        if teleports is None or not self.world.alive(entity):
            return
        components = self.world.components(entity)
        counted = components.get(teleports)
        if counted is None and any(map(is_sent, components)):
            counted = teleports()
            esper.add_component(entity, counted)
        if counted is not None:
            count_jump(counted)

    def commands(self, command: type[T], *having: type) -> list[tuple[int, T]]:
        """Return the result of `ecsnet.commands` while this simulation runs a tick."""
        kind = command_type(command, "net.commands()")
        for other in having:
            check_instance("net.commands(having", other, type, "give classes of components")
        commanded = self._commanded.get(kind)
        values: list[tuple[object, object]] = []
        if commanded is not None:
            if commanded.given:
                self._decode(commanded)
            values = commanded.values
        with self.world as world:
            there, dead = world.census()
            if dead or world.structure(self._owner) is not self._alive_with:
                found = [pair for pair in values if pair[0] in there and pair[0] not in dead]
            else:  # nothing came or went since they were sorted
                found = values.copy()
            if having:
                has = esper.has_components
                found = [pair for pair in found if has(cast(int, pair[0]), *having)]
            return cast("list[tuple[int, T]]", found)

    def taken(self) -> Iterator[tuple[CommandType, int]]:
        """Count the commands of each type that came into the tick that runs or ran last."""
        for kind, commanded in self._commanded.items():
            yield kind, commanded.count

    def close(self) -> None:
        """Delete the world."""
        self.world.close()

    def _join(self, join: Join) -> None:
        player = esper.create_entity(self._player(join.player_id, join.name))
        self.player_entity[join.player_id] = player
        self.player_number[player] = join.player_id
        self._names[join.player_id] = join.name
        if self.lobby is not None:
            self._call("LobbySystem.join", self.lobby.join, player)
        for hook in self._on_join:
            self._call(name_of(hook), hook, player)

    def _leave(self, leave: Leave) -> None:
        player_id = leave.player_id
        player = self.player_entity.pop(player_id, None)
        self._alive.pop(player_id, None)
        self.rejected.pop(player_id, None)
        self._names.pop(player_id, None)
        self.kicked.pop(player_id, None)
        if player is None:
            return
        world = self.world
        keep = False
        for hook, with_reason in self._on_leave:
            # The game may have deleted it, and so may the hook before.
            if world.alive(player):
                given: tuple[object, ...] = (player, leave.reason) if with_reason else (player,)
                keep |= self._call(name_of(hook), hook, *given) is KEEP
        self.player_number.pop(player, None)
        if keep:
            presence = self._presence_of(player)
            if presence is not None:
                note_left(presence)
            return
        for entity, owner in list(world.structure(self._owner)):
            if getattr(owner, "player", None) == player:
                world.delete(entity, immediate=True)
        world.delete(player, immediate=True)

    def _note_presences(self, presences: Sequence[PlayerPresence]) -> None:
        """Show how clients are heard, on the entities of players that have the component."""
        for presence in presences:
            player = self.player_entity.get(presence.player_id)
            component = None if player is None else self._presence_of(player)
            if component is not None:
                note_presence(component, presence)

    def _presence_of(self, player: int) -> object | None:
        if self._presence is None:
            return None
        return self.world.components(player).get(self._presence)

    def players_with_presence(self) -> set[int]:
        """Return the numbers of the players whose entities show the state of their connection."""
        if self._presence is None:
            return set()
        numbers, holders = self.player_number, self.world.holders(self._presence)
        return {numbers[entity] for entity in holders if entity in numbers}

    def _look_for_mistakes(self) -> None:
        """Warn of two that nothing else shows: the game deleted the entity of somebody who still
        plays, and an `Owner` names no player.
        """
        owners = self.world.structure(self._owner)
        if owners is self._owners:
            return  # nothing came or went
        self._owners = owners
        now = self.tick * self.dt
        self._log.catch_up(now)
        alive = self.world.alive
        cleared = self.world.identity() is not self._identity
        entities = self.player_entity
        for player_id in [n for n in self._names if cleared or not alive(entities[n])]:
            self._log.warning(
                now,
                "the entity of player %d (%s), who is still in the game, is gone in tick %d: the"
                " game deleted it, and the player only looks on from here; remove its components"
                " instead, or give players avatars of their own, with Owner(player), to delete",
                player_id,
                self._names.pop(player_id),
                self.tick,
            )
        named: set[int] = set()
        for entity, owner in owners:
            player = getattr(owner, "player", None)
            if type(player) is not int:
                continue
            named.add(player)
            # Who was a player when it was first named may have left since.
            if player in self.player_number or player in self._named or player in self._nobodies:
                continue
            if len(self._nobodies) < _NOBODIES:
                self._nobodies.add(player)
                self._log.warning(
                    now,
                    "Owner(%d) on entity %d names no player's entity, in tick %d: nobody owns it;"
                    " give the entity that on_join is called with, not Player.id",
                    player,
                    entity,
                    self.tick,
                )
        self._named = named

    def _dispatch(self, commands: Sequence[PlayerCommands]) -> None:
        """Sort commands by type, and leave out those for what is gone or somebody else's."""
        by_kind = self._commanded
        by_kind.clear()
        self.drawn.clear()
        there, dead = self.world.census()
        owners = self.world.structure(self._owner)
        if dead or owners is not self._alive_with:
            self._alive = {
                player_id: player
                for player_id, player in self.player_entity.items()
                if player in there and player not in dead
            }
            # The next tick may find other ones dead, or none.
            self._alive_with = None if dead else owners
        players = self._alive
        for one in commands:
            player_id: object = one.player_id
            player = players.get(player_id)
            if player is None:
                self.rejected[one.player_id] += len(one.commands)
                continue
            if one.drawn is not None:
                self.drawn[one.player_id] = one
            for given in one.commands:
                entity = player
                if given.target:
                    entity = None
                    if self.sees(one.player_id, given.target):
                        entity = self._owned(given.target, cast(int, player))
                    if entity is None:
                        self.rejected[one.player_id] += 1
                        continue
                kind = given.kind
                commanded = by_kind.get(kind)
                if commanded is None:
                    commanded = by_kind[kind] = _Commanded(kind)
                copy = commanded.copy
                if copy is not None:
                    commanded.values.append((entity, copy(given.value)))
                elif commanded.call is not None:
                    self._calls.append((entity, given, player_id))
                    commanded.count += 1
                else:
                    commanded.given.append((entity, given.value, player_id))
        for commanded in by_kind.values():
            commanded.count += len(commanded.values) + len(commanded.given)

    def _run_calls(self) -> None:
        """Run the methods that players call on the components of what they own."""
        calls, self._calls = self._calls, []
        if self.paused:
            return
        for target, given, player_id in calls:
            entity, number = cast(int, target), cast(int, player_id)
            if not self.playing:
                self.rejected[number] += 1
                continue
            call = given.kind.call
            assert call is not None  # since _dispatch()
            component = None
            if self.world.alive(entity):  # another call may have deleted it
                component = self.world.components(entity).get(call.component)
            if component is None:
                self.rejected[number] += 1
                continue
            try:
                arguments = given.kind.from_wire(given.value, partial(self._resolve_seen, number))
            except Exception:  # noqa: BLE001 - of the code of a type of the game's
                self.rejected[number] += 1
                continue
            self._call(call.name, call.run, component, arguments)

    def player_of(self, entity: int) -> int | None:
        """Return the number of the player who is an entity or owns it; None where nobody who is in
        the game does.
        """
        player: object = entity
        if player not in self.player_number:
            player = getattr(self.world.components(entity).get(self._owner), "player", None)
        number = self.player_number.get(player) if type(player) is int else None
        # While hooks see a player leave, it is in the second no more.
        return number if number in self.player_entity else None

    def rng_of(self, entity: int) -> random.Random:
        """Return the result of `ecsnet.rng` for an entity while this simulation runs a tick."""
        key = 0  # of all that nobody knows
        net = self.network_id(entity)
        if net is not None:
            key = 2 * net
        else:
            player_id = self.player_of(entity)
            if player_id is not None:
                key = 2 * player_id + 1
        found = self._dice.get(key)
        if found is None:
            # All of it counts, so no two of them are alike.
            seed = (key << 32 | self.tick) << 64 | self.public_seed
            found = self._dice[key] = random.Random(seed)
        return found

    def _owned(self, net: int, player: int) -> int | None:
        """Return the entity behind a network id, if it is alive and the player's."""
        entity = self._resolve_alive(net)
        if entity is None or entity == player:
            return entity
        owner = esper.try_component(entity, self._owner)
        return entity if getattr(owner, "player", None) == player else None

    def _resolve_seen(self, player_id: int, net: int | None) -> int | None:
        """Return the entity that a player's command refers to; None where the player cannot see it.

        Ids can be guessed. What the command does with an entity, and whether there is one, would
        tell what nobody showed to the player.
        """
        if net is None or self.sees(player_id, net):
            return self._resolve_alive(net)
        self.rejected[player_id] += 1
        return None

    def _resolve_alive(self, net: int | None) -> int | None:
        entity = None if net is None else self.resolve(net)
        return entity if entity is not None and esper.entity_exists(entity) else None

    def _decode(self, commanded: _Commanded) -> None:
        """Make commands what systems get. A held one is handed out each tick, so each is a copy."""
        kind = commanded.kind
        given, commanded.given = commanded.given, []
        for entity, wire, player_id in given:
            try:
                value = kind.from_wire(wire, partial(self._resolve_seen, cast(int, player_id)))
                if kind.hold:
                    value = kind.clone(value)
            except Exception:  # noqa: BLE001 - of the code of a type of the game's
                self.rejected[cast(int, player_id)] += 1
                continue
            commanded.values.append((entity, value))

    def _call(self, name: str, function: Callable[..., object], *arguments: object) -> object:
        """Call a system or hook in this world.

        What it raises, and a world that it leaves switched, is dealt with as the spec says.
        """
        if self.failure is not None:
            return None
        before = self.past
        with self.world:
            try:
                result = function(*arguments)
                if self.past is not before:
                    raise UsageError(
                        f"{name} left a block of net.rewind() open: end it before it returns"
                    )
                if current_name() != self.world.name:
                    raise WorldError(
                        f"{name} left the esper world {current_name()!r} current: "
                        f"switch back to {self.world.name!r} before it returns"
                    )
                return result
            except Exception as error:  # noqa: BLE001 - systems may raise anything
                if self.past is not before:
                    self.end_rewind(before)
                self.hook_failed(name, error)
        self.world.repair()
        return None

    def begin_rewind(self, past: Past) -> Past | None:
        """Put the present back for a block of `ecsnet.rewind`; return what the block around it has
        changed, for `end_rewind`.
        """
        outer, self.past = self.past, past
        if outer is not None:
            outer.leave()
        return outer

    def end_rewind(self, outer: Past | None) -> None:
        """Put the present back, and what the block around has changed."""
        if self.past is not None:
            self.past.leave()
        self.past = outer
        if outer is not None:
            outer.enter()

    def hook_failed(self, name: str, error: Exception, *, between: bool = False) -> None:
        """Deal with what a system or hook raised, as the spec says.

        Args:
            name: That of the system or hook, for the log.
            error: What it raised.
            between: Whether that was between two ticks: a request to join, which is refused.
        """
        self.errors[name] += 1
        when = "after" if between else "in"
        if self._on_error == "stop":
            self.failure = error
            logger.error("%s raised %s tick %d, stopping: %r", name, when, self.tick, error)
        elif self.errors[name] == 1:
            logger.error(
                "%s raised %s tick %d, %s; not logged again",
                name,
                when,
                self.tick,
                "and the request is refused" if between else "skipped for this tick",
                exc_info=error,
            )


_running: Simulation | None = None


def running(what: str) -> Simulation:
    """Return the simulation whose tick runs.

    Args:
        what: What the caller was asked for: ``"net.tick()"``.

    Raises:
        OutsideTickError: None runs.
    """
    if _running is None:
        raise OutsideTickError(
            f"{what} outside a tick: call it in a system, on_start, on_join, on_play or on_leave"
        )
    return _running


def running_now() -> Simulation | None:
    """Return the simulation whose tick runs; None outside a tick."""
    return _running


def commands(command: type[T], *having: type) -> list[tuple[int, T]]:
    """Return the commands of one type for this tick.

    A client chooses which of its entities a command is for. A system that takes it for granted
    that the entity has a component names it: ``net.commands(Steer, Position)``.

    Args:
        command: A class under ``@command``.
        having: Only commands for entities with all of these components.

    Returns:
        ``(entity, command)`` for each; the entity is the player's own or one that it owns, and
        alive. A held command comes in each tick while it is held, an action once.

    Raises:
        OutsideTickError: Called outside a tick.
        UsageError: The class is not a command.
    """
    if _running is None:
        running(f"net.commands({getattr(command, '__name__', command)})")
    assert _running is not None
    return _running.commands(command, *having)


def tick() -> int:
    """Return the number of the tick that runs; the first is 1.

    Raises:
        OutsideTickError: Called outside a tick.
    """
    return running("net.tick()").tick


def _resolve_nothing(_: int) -> int | None:
    return None


def _see_the_present(_player_id: int, _past: Past) -> bool:
    return False


def _see_everything(_player_id: int, _net: int) -> bool:
    return True
