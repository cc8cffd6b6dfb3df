"""A record of a game that a `Harness` runs: what clients drew, beside what the server had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import NamedTuple, TypeAlias, cast

from ecsnet.client.world import ClientWorld
from ecsnet.errors import UsageError
from ecsnet.replication.client.store import LAST_ID
from ecsnet.schema import component_type
from ecsnet.world import World

__all__ = ["DrawnFrame", "Place", "Recording", "ServerTick", "Values"]

Place: TypeAlias = tuple[float, ...]
"""The numbers in a component, in the order of its fields: ``(x, y)`` of a Position."""

Values: TypeAlias = Mapping[type, Mapping[int, Place]]
"""The values of the recorded components, by type and entity."""


class ServerTick(NamedTuple):
    """The values that the server had when it had run a tick and sent its update."""

    at: float
    """The time, in seconds of the harness' clock."""
    values: Values
    """The values, by type and network id."""


class DrawnFrame(NamedTuple):
    """The values that a client's view had after a poll: what the game draws in that frame."""

    at: float
    """The time, in seconds of the harness' clock."""
    newest: int
    """The server's newest tick that the client had heard of."""
    shown: float
    """The server's tick at which it drew what others own."""
    ahead: float
    """The server's tick at which it drew what its own player owns."""
    player: int | None
    """The player's entity in the view."""
    values: Values
    """The values, by type and entity of the view."""


class Recording:
    """A record of some components of a game; made by `Harness.record`.

    ::

        with Harness(server, seed=1) as game:
            recording = game.record(Position)
            alice = game.connect("alice", FaultyLink(lag=0.075, loss=0.05, seed=1), fps=144)
            game.run(seconds=10)
        for frame in recording.frames[alice]:
            for entity, (x, y) in frame.values[Position].items():
                tick = recording.ticks[int(frame.shown)]
                ...                 # where was recording.network_id(alice, entity) in this tick?

    Attributes:
        components: The types that it records.
        ticks: The server's ticks, by their numbers.
        frames: The frames of each client, in order.
    """

    def __init__(self, components: tuple[type, ...]) -> None:
        self.components = components
        self.ticks: dict[int, ServerTick] = {}
        self.frames: dict[ClientWorld, list[DrawnFrame]] = {}
        self._read = {component: _reader(component) for component in components}
        self._network_ids: dict[ClientWorld, dict[int, int]] = {}

    def network_id(self, client: ClientWorld, entity: int) -> int | None:
        """Return the id by which the server calls an entity of a client's view, also one that is
        gone; None where it never had one.
        """
        return self._network_ids.get(client, {}).get(entity)

    def entities(self, client: ClientWorld, net: int) -> list[int]:
        """Return the entities of a client's view that had a network id, in order: mostly one, more
        where it came into sight several times.
        """
        known = self._network_ids.get(client, {})
        return [entity for entity, each in known.items() if each == net]

    def note_tick(
        self, tick: int, at: float, world: World, network_id: Callable[[int], int | None]
    ) -> None:
        """Note what the server has after a tick.

        Args:
            tick: The tick.
            at: Seconds.
            world: The server's world.
            network_id: Returns the network id of an entity; None where it has none.
        """
        values: dict[type, dict[int, Place]] = {}
        for component, read in self._read.items():
            known = values[component] = {}
            for entity, value in _all(world, component):
                net = network_id(entity)
                if net is not None:
                    known[net] = read(value)
        self.ticks[tick] = ServerTick(at, values)

    def note_frame(self, client: ClientWorld, at: float) -> None:
        """Note what a client draws after a poll, once it is in the game."""
        if not client.connected:
            return
        values: dict[type, dict[int, Place]] = {}
        remote, known = client._view.remote, self._network_ids.setdefault(client, {})
        for component, read in self._read.items():
            places = values[component] = {}
            for entity, value in _all(client.view, component):
                places[entity] = read(value)
                # What was predicted goes by another one until it is told.
                if known.get(entity, LAST_ID + 1) > LAST_ID and entity in remote:
                    known[entity] = remote[entity]
        newest = client.stats.tick
        shown = newest if client.shown is None else client.shown
        ahead = shown if client.ahead is None else client.ahead
        frame = DrawnFrame(at, newest, shown, ahead, client.player, values)
        self.frames.setdefault(client, []).append(frame)


def _reader(component: type) -> Callable[[object], Place]:
    """Return what reads the numbers of a component."""
    names = [field.name for field in component_type(component, "record()").fields if field.number]
    if not names:
        raise UsageError(
            f"record() got {component.__name__}, in which no field is a number: give components"
            " with numbers, such as Position"
        )
    read = attrgetter(*names)
    if len(names) == 1:
        return lambda value: (cast(float, read(value)),)
    return cast("Callable[[object], Place]", read)


def _all(world: World, component: type[object]) -> list[tuple[int, object]]:
    return world.structure(component)
