"""One running world: its tick, systems, players, commands and random numbers. No socket, no clock.

What comes from outside (joins, leaves, commands) enters `Simulation.step` as data, at the boundary
between two ticks. The same recipe, seed and data make the same match again.
"""

from __future__ import annotations

import inspect
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Protocol, TypeVar, cast

import esper

from ecsnet.commands import Entry
from ecsnet.errors import OutsideTickError, PeerError, UsageError, WorldError
from ecsnet.schema import CommandType, command_type
from ecsnet.world import World, current_name

__all__ = [
    "KEEP",
    "Join",
    "Keep",
    "OnError",
    "Recipe",
    "Simulation",
    "System",
    "commands",
    "rng",
    "running",
    "tick",
]

T = TypeVar("T")

logger = logging.getLogger("ecsnet.server")

OnError = Literal["stop", "skip"]
"""What happens when a system or hook raises: stop the simulation, or skip it for the tick."""


class Keep(Enum):
    """The type of `KEEP`."""

    KEEP = "keep"


KEEP = Keep.KEEP
"""Returned by an ``on_leave`` hook: leave the player's entity, and what it owns, in the world."""


class System(Protocol):
    """What a system is: ``esper.Processor`` fits, and so does any object like it."""

    def process(self, dt: float, /) -> object:
        """Run for one tick of ``dt`` seconds."""


@dataclass(frozen=True, slots=True)
class Join:
    """Somebody comes in.

    Attributes:
        player_id: Number of the player, never used before in this simulation.
        name: What the player is called.
    """

    player_id: int
    name: str


@dataclass(slots=True)
class Recipe:
    """What a simulation is made from. Any number of them can be.

    Attributes:
        tick_rate: Ticks per second.
        systems: What makes or is each system, with its priority and its name.
        on_start: Called in the first tick.
        on_join: Called with the player's entity when somebody joins.
        on_leave: Called with the player's entity when somebody leaves; may return `KEEP`.
        on_error: What to do when one of them raises.
    """

    tick_rate: float = 60.0
    systems: list[tuple[float, str, Callable[[], Callable[[float], object]]]] = field(
        default_factory=list
    )
    on_start: list[Callable[[], object]] = field(default_factory=list)
    on_join: list[Callable[[int], object]] = field(default_factory=list)
    on_leave: list[Callable[[int], object]] = field(default_factory=list)
    on_error: OnError = "stop"

    def add_function(self, function: Callable[[float], object], priority: float) -> None:
        """Add a function of ``dt`` as a system."""
        self.systems.append((priority, _name_of(function), lambda: function))

    def add_system(
        self, system: type[System] | Callable[[], System] | System, priority: float
    ) -> None:
        """Add a class, something that makes a system, or a system.

        Raises:
            UsageError: It is none of these.
        """
        process = getattr(system, "process", None)
        if not isinstance(system, type) and callable(process):
            instance = cast(System, system)
            name = type(system).__qualname__
            self.systems.append((priority, name, lambda: instance.process))
            return
        if isinstance(system, type) and not callable(process):
            raise UsageError(
                f"add_system() got {system.__qualname__}, which has no method process(dt): add one"
            )
        if not callable(system):
            raise UsageError(
                f"add_system() got {system!r}: it takes a class with a method process(dt), "
                "an instance of one, or a function that makes one"
            )
        make = cast(Callable[[], System], system)
        if _needs_arguments(make):
            what = "put @server.system above it" if inspect.isroutine(make) else "add an instance"
            raise UsageError(
                f"add_system() got {_name_of(make)}, which cannot be called without arguments: "
                f"{what}"
            )
        self.systems.append((priority, _name_of(make), lambda: _process_of(make)))


class Simulation:
    """One world, made from a recipe, that runs tick by tick.

    Args:
        recipe: Rates, systems and hooks; what is added to it later does not count.
        seed: Of the random numbers that systems ask for.
        epoch: Names this simulation and its boot, 32 bits.
        player: Makes the component that marks a player's entity, from its number and name.
        owner: The component type whose ``player`` field names the player that owns an entity.
        name: Of its esper world; made up when left out.

    Attributes:
        world: The esper world.
        tick: The tick that runs or ran last; 0 before the first.
        dt: Seconds per tick.
        rng: The random numbers.
        player_entity: The entity of each player, by player number.
        rejected: Per player, commands for entities that were gone or not the player's own.
        errors: How often each system or hook raised.
        failure: What a system or hook raised, where that stops the simulation.
        resolve: Maps network ids to entities, where there is replication.
        still: Set it to run none of the game's systems for now, so that the world can be compared
            with its copies. Joins, leaves and replication go on; commands do nothing.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        seed: int,
        epoch: int,
        player: Callable[[int, str], object],
        owner: type[object],
        name: str | None = None,
    ) -> None:
        self.world = World(name)
        self.epoch = epoch
        self.tick = 0
        self.dt = 1 / recipe.tick_rate
        self.rng = random.Random(seed)
        self.player_entity: dict[int, int] = {}
        self.rejected: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.failure: Exception | None = None
        self.still = False
        self.resolve: Callable[[int], int | None] = _resolve_nothing

        self._identity = self.world.identity()
        self._player = player
        self._owner = owner
        self._on_error = recipe.on_error
        self._on_start = tuple(recipe.on_start)
        self._on_join = tuple(recipe.on_join)
        self._on_leave = tuple(recipe.on_leave)
        self._systems: list[tuple[float, str, Callable[[float], object], bool]] = []
        # Entity, entry and player number by type; then what systems were given of them.
        self._entries: dict[CommandType, list[tuple[int, Entry, int]]] = {}
        self._values: dict[CommandType, list[tuple[int, object]]] = {}
        with self.world:
            for priority, title, make in recipe.systems:
                self.add_system(make(), priority, title)

    def add_system(
        self,
        process: Callable[[float], object],
        priority: float,
        name: str,
        *,
        always: bool = False,
    ) -> None:
        """Add a system to this simulation alone.

        Args:
            process: Called with ``dt`` each tick.
            priority: Higher ones run first; equal ones in the order in which they were added.
            name: For the log.
            always: Whether it runs even while the simulation holds `still`.
        """
        self._systems.append((priority, name, process, always))
        self._systems.sort(key=lambda system: -system[0])

    def step(
        self,
        joins: Iterable[Join] = (),
        leaves: Iterable[int] = (),
        commands: Iterable[tuple[int, Sequence[Entry]]] = (),
    ) -> None:
        """Run one tick.

        Args:
            joins: Who comes in.
            leaves: Numbers of the players who go.
            commands: Player numbers with what `Inbox.take` gave for this tick.

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
        try:
            with self.world as world:
                world.flush_dead()
                if self.tick == 1:
                    for hook in self._on_start:
                        self._call(_name_of(hook), hook)
                for join in joins:
                    self._join(join)
                for player_id in leaves:
                    self._leave(player_id)
                self._values.clear()
                self._sort(commands)
                for _, name, process, always in self._systems:
                    if always or not self.still:
                        self._call(name, process, self.dt)
                if world.identity() is not self._identity:
                    # The database was cleared: players are gone, and their ids of esper will
                    # be somebody else's.
                    self._identity = world.identity()
                    self.player_entity.clear()
        finally:
            _running = before

    def commands(self, command: type[T], *having: type) -> list[tuple[int, T]]:
        """What `ecsnet.commands` gives while this simulation runs a tick."""
        kind = command_type(command, "net.commands()")
        values = self._values.get(kind)
        if values is None:
            values = self._values[kind] = self._made(kind)
        with self.world as world:
            found = world.living(values)
            if having:
                has = esper.has_components
                found = [pair for pair in found if has(pair[0], *having)]
            return cast("list[tuple[int, T]]", found)

    def close(self) -> None:
        """Delete the world."""
        self.world.close()

    def _join(self, join: Join) -> None:
        player = esper.create_entity(self._player(join.player_id, join.name))
        self.player_entity[join.player_id] = player
        for hook in self._on_join:
            self._call(_name_of(hook), hook, player)

    def _leave(self, player_id: int) -> None:
        player = self.player_entity.pop(player_id, None)
        self.rejected.pop(player_id, None)
        if player is None:
            return
        keep = False
        for hook in self._on_leave:
            keep |= self._call(_name_of(hook), hook, player) is KEEP
        if keep:
            return
        world = self.world
        for entity, owner in list(world.structure(self._owner)):
            if getattr(owner, "player", None) == player:
                world.delete(entity, immediate=True)
        world.delete(player, immediate=True)

    def _sort(self, commands: Iterable[tuple[int, Sequence[Entry]]]) -> None:
        """Sort commands by type, and leave out those for what is gone or somebody else's."""
        entries = self._entries
        for group in entries.values():
            group.clear()
        exists = esper.entity_exists
        for player_id, given in commands:
            if not given:
                continue
            player = self.player_entity.get(player_id)
            if player is None or not exists(player):
                self.rejected[player_id] += len(given)
                continue
            for entry in given:
                entity = player if entry.target == 0 else self._owned(entry.target, player)
                if entity is None:
                    self.rejected[player_id] += 1
                elif entry.kind in entries:
                    entries[entry.kind].append((entity, entry, player_id))
                else:
                    entries[entry.kind] = [(entity, entry, player_id)]

    def _owned(self, net: int, player: int) -> int | None:
        """The entity behind a network id, if it is alive and the player's."""
        entity = self._resolve_alive(net)
        if entity is None or entity == player:
            return entity
        owner = esper.try_component(entity, self._owner)
        return entity if getattr(owner, "player", None) == player else None

    def _resolve_alive(self, net: int | None) -> int | None:
        entity = None if net is None else self.resolve(net)
        return entity if entity is not None and esper.entity_exists(entity) else None

    def _made(self, kind: CommandType) -> list[tuple[int, object]]:
        """Commands as systems get them. A held one is handed out each tick, so each is a copy."""
        made: list[tuple[int, object]] = []
        from_wire, clone, resolve, held = kind.from_wire, kind.clone, self._resolve_alive, kind.hold
        for entity, entry, player_id in self._entries.get(kind, ()):
            try:
                value = from_wire(entry.value, resolve)
            except PeerError:
                self.rejected[player_id] += 1
                continue
            made.append((entity, clone(value) if held else value))
        return made

    def _call(self, name: str, function: Callable[..., object], *arguments: object) -> object:
        """Call a system or hook in this world.

        What it raises, and a world that it leaves switched, is dealt with as the recipe says.
        """
        if self.failure is not None:
            return None
        with self.world:
            try:
                result = function(*arguments)
                if current_name() != self.world.name:
                    raise WorldError(
                        f"{name} left the esper world {current_name()!r} current: "
                        f"switch back to {self.world.name!r} before it returns"
                    )
                return result
            except Exception as error:  # noqa: BLE001 - systems may raise anything
                self._failed(name, error)
        self.world.repair()
        return None

    def _failed(self, name: str, error: Exception) -> None:
        self.errors[name] += 1
        if self._on_error == "stop":
            self.failure = error
            logger.error("%s raised in tick %d, stopping: %r", name, self.tick, error)
        elif self.errors[name] == 1:
            logger.error(
                "%s raised in tick %d, skipped for this tick; not logged again",
                name,
                self.tick,
                exc_info=error,
            )


_running: Simulation | None = None


def running(what: str) -> Simulation:
    """The simulation whose tick runs.

    Args:
        what: What the caller was asked for: ``"net.tick()"``.

    Raises:
        OutsideTickError: None runs.
    """
    if _running is None:
        raise OutsideTickError(
            f"{what} outside a tick: call it in a system, on_start, on_join or on_leave"
        )
    return _running


def commands(command: type[T], *having: type) -> list[tuple[int, T]]:
    """The commands of one type for this tick.

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
    """Number of the tick that runs; the first is 1.

    Raises:
        OutsideTickError: Called outside a tick.
    """
    return running("net.tick()").tick


def rng() -> random.Random:
    """The running simulation's random numbers: seeded, so that a match can be run again.

    Raises:
        OutsideTickError: Called outside a tick.
    """
    return running("net.rng()").rng


def _process_of(make: Callable[[], System]) -> Callable[[float], object]:
    made = make()
    process = getattr(made, "process", None)
    if not callable(process):
        raise UsageError(
            f"{_name_of(make)} made {made!r}, which has no method process(dt): "
            "a function that is a system itself goes under @server.system"
        )
    return cast("Callable[[float], object]", process)


def _name_of(function: Callable[..., object]) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)


def _needs_arguments(make: Callable[..., object]) -> bool:
    try:
        inspect.signature(make).bind()
    except TypeError:
        return True
    except ValueError:
        return False
    return False


def _resolve_nothing(_: int) -> int | None:
    return None
