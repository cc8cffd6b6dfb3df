"""The world in which a client runs ahead: a simulation of the shared systems alone.

It holds what the player owns, and scenery: what is in sight and not the player's, at its newest
told value, which shared systems see and may run into. They may also write or delete it, but that
is not for them to say here, so it is put back before they run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Final

import esper

from ecsnet.commands.inbox import PlayerCommands, ReceivedCommand
from ecsnet.components import Owner, Player, Teleports
from ecsnet.prediction.history import Layout, Snapshot
from ecsnet.replication.client.store import LAST_ID
from ecsnet.replication.client.world_stamp import WorldStamp
from ecsnet.schema import ComponentType
from ecsnet.simulation.past import Past
from ecsnet.simulation.simulation import Simulation
from ecsnet.simulation.spec import SimulationSpec, SystemSpec

__all__ = ["Failure", "PrivateWorld", "Replica"]

_SEEN_TICKS: Final = 64  # in which somebody looked at what was drawn


class Replica:
    """An entity of the private world that the server told of, or that is predicted.

    Args:
        key: Its network id; of what is only predicted a greater number.
        entity: Its number in the private world. It keeps that when it is deleted there.
        own: Whether the player owns it, so that it is predicted.
        born: The tick in which it was predicted to come into being; 0 for what was told.
        kinds: The ids of its components then.

    Attributes:
        told: The components that are put back to what was told last, by id: of scenery all, of
            what is predicted those that are not.
        checked: The ticks of which its components were compared with the prediction, by id.
        removed: The ticks of which it was told that predicted components are not there, by id.
    """

    __slots__ = ("born", "checked", "entity", "key", "kinds", "own", "removed", "told")

    def __init__(
        self,
        key: int,
        entity: int,
        own: bool,
        born: int = 0,
        kinds: frozenset[int] = frozenset(),
    ) -> None:
        self.key = key
        self.entity = entity
        self.own = own
        self.born = born
        self.kinds = kinds
        self.told: dict[int, object] = {}
        self.checked: dict[int, int] = {}
        self.removed: dict[int, int] = {}


class Failure:
    """A shared system that raised.

    Args:
        system: Its name.
        error: What it raised.
    """

    def __init__(self, system: str, error: Exception) -> None:
        self.system = system
        self.error = error

    def __str__(self) -> str:
        asked = _asked_for(self.error.__traceback__)
        if asked is None:
            return f"the shared system {self.system} raised"
        entity, kind = asked
        name = getattr(kind, "__qualname__", kind)
        return (
            f"the shared system {self.system} asked entity {entity} for {name}, which is not there"
            " on a client; let it be sent to the player, as @net.replicated does, or take"
            " shared=True from the system"
        )


class PrivateWorld:
    """A simulation of a game's shared systems.

    Args:
        spec: The game's.
        tick_rate: Ticks of the server in a second; its game may have another one than this end's.
        components: The component types that cross the wire, by component id.
        player: The network id of the player's entity.
        number: The player's number.
        seed: Of the random numbers that both ends know.

    Attributes:
        simulation: The simulation.
        drawn: Returns what is drawn now of a component that is drawn between values, by network id
            and component id; None where nothing is.
        replicas: What is in it, by key.
        owned: Those of them that the player owns, by key.
        call: Calls a system: its name, its function and the seconds of the tick.
        failure: Set when a shared system has raised: what is in here means nothing any more.
        playing: Whether systems run, but for those that always do.
    """

    def __init__(
        self,
        spec: SimulationSpec,
        tick_rate: float,
        components: Sequence[ComponentType],
        player: int,
        number: int,
        seed: int = 0,
    ) -> None:
        self.drawn: Callable[[int, int], Sequence[float] | None] = _draw_nothing
        self.call: Callable[[str, Callable[[float], object], float], object] = _call
        self.failure: Failure | None = None
        self.replicas: dict[int, Replica] = {}
        self.owned: dict[int, Replica] = {}
        self._components = components
        self._cids = {kind.cls: cid for cid, kind in enumerate(components)}
        self._player = player
        self._number = number
        self._keys: dict[int, int] = {}  # of entities
        own = SimulationSpec(tick_rate, [self._guarded(system) for system in spec.shared])
        self.simulation = Simulation(
            own, seed=0, epoch=0, player=Player, owner=Owner, teleports=Teleports, ahead=True
        )
        self.simulation.resolve = self.entity_of
        self.simulation.public_seed = seed
        self.simulation.network_id = self._network_id
        self.simulation.look_back = self._look_back
        self.world = self.simulation.world
        self._identity = self.world.identity()
        # What is predicted, and where: as of when nothing had come or gone since.
        self._between = [cid for cid, kind in enumerate(components) if kind.interpolate]
        # What was drawn in ticks that looked at it, by network id and component id.
        self._seen: dict[int, dict[tuple[int, int], Sequence[float]]] = {}
        self._stamp = WorldStamp(self.world)
        self._layout = Layout({})
        self._live: list[tuple[int, ComponentType, list[object]]] = []
        self._copied: dict[int, list[object]] = {}  # by component id, when that was done last
        # What is put back, likewise: type, component, and what was told.
        self._scene_stamp = WorldStamp(self.world)
        self._scene: list[tuple[ComponentType, object, object]] = []

    def __enter__(self) -> PrivateWorld:
        self.world.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.world.__exit__(kind, error, traceback)

    @property
    def playing(self) -> bool:
        """True if systems run that do not run in every phase."""
        return self.simulation.playing

    @playing.setter
    def playing(self, playing: bool) -> None:
        self.simulation.playing = playing

    def close(self) -> None:
        """Delete the world."""
        self.simulation.close()

    # Who is who.

    def entity_of(self, key: int | None) -> int | None:
        """Return the entity behind a key; None where there is none."""
        replica = None if key is None else self.replicas.get(key)
        return None if replica is None else replica.entity

    def key_of(self, entity: int | None) -> int | None:
        """Return the key of an entity; None where it has none."""
        return None if entity is None else self._keys.get(entity)

    def _network_id(self, entity: int) -> int | None:
        """Return the network id of an entity; None where the server has not told of it."""
        key = self._keys.get(entity)
        return key if key is not None and key <= LAST_ID else None

    def create(self, key: int, own: bool) -> Replica:
        """Create an entity that was told, without components."""
        return self.adopt(esper.create_entity(), key, own)

    def adopt(
        self, entity: int, key: int, own: bool, born: int = 0, kinds: frozenset[int] = frozenset()
    ) -> Replica:
        """Take an entity in; see `Replica`."""
        replica = self.replicas[key] = Replica(key, entity, own, born, kinds)
        if own:
            self.owned[key] = replica
        self._keys[entity] = key
        if key == self._player:
            self.simulation.player_entity[self._number] = entity
            self.simulation.player_number[entity] = self._number
        self._stamp.clear()
        self._scene_stamp.clear()
        return replica

    def forget(self, replica: Replica) -> None:
        """Delete an entity, and know nothing of it any more."""
        self.world.delete(replica.entity, immediate=True)
        del self.replicas[replica.key]
        self.owned.pop(replica.key, None)
        self._keys.pop(replica.entity, None)
        if replica.key == self._player:
            self.simulation.player_entity.pop(self._number, None)
            self.simulation.player_number.pop(replica.entity, None)
        self._stamp.clear()
        self._scene_stamp.clear()

    def rename(self, replica: Replica, key: int) -> None:
        """Give what was only predicted the key under which it was told."""
        del self.replicas[replica.key], self.owned[replica.key]
        replica.key = key
        self.replicas[key] = self.owned[key] = replica
        self._keys[replica.entity] = key

    def rebind(self, replica: Replica, entity: int) -> None:
        """Let another entity be a replica from now on: the old one was taken back."""
        self._keys.pop(replica.entity, None)
        replica.entity = entity
        self._keys[entity] = replica.key
        self._stamp.clear()

    def take_back(self, replica: Replica) -> None:
        """Delete the entity of a replica that stays known."""
        self.world.delete(replica.entity, immediate=True)

    def own(self, replica: Replica, own: bool) -> None:
        """Predict an entity from now on, or no longer."""
        replica.own = own
        if own:
            self.owned[replica.key] = replica
        else:
            del self.owned[replica.key]
        replica.told.clear()
        replica.checked.clear()
        replica.removed.clear()
        self._stamp.clear()
        self._scene_stamp.clear()

    def alive(self, replica: Replica) -> bool:
        """Return whether a replica is there, and not deleted."""
        return self.world.alive(replica.entity)

    def kinds_of(self, entity: int) -> frozenset[int]:
        """Return the ids of the components of an entity that cross the wire."""
        cids, components = self._cids, self.world.components(entity)
        return frozenset([cids[cls] for cls in components if cls in cids])

    # What is put back.

    def tell(self, replica: Replica, cid: int, component: object | None) -> None:
        """Note what was told of a component that is not predicted; None: it is gone. It shows with
        the next `put_back`. Nobody else may hold the component, unless it is flat.
        """
        kind = self._components[cid]
        known = replica.told.get(cid)
        if known is not None and component is not None:
            kind.move(known, component)
            return
        self._scene_stamp.clear()
        self._stamp.clear()
        if component is not None:
            replica.told[cid] = kind.clone(component) if kind.flat else component
        elif known is not None:
            del replica.told[cid]
            self.world.remove(replica.entity, kind.cls)

    def put_back(self) -> None:
        """Make all that is not predicted what was told of it last."""
        if not self._scene_stamp.undisturbed:
            self._scene = [*self._set_up()]
            self._scene_stamp.renew()
        for kind, component, told in self._scene:
            if not kind.flat or component != told:
                kind.assign(component, told)

    def _set_up(self) -> Iterable[tuple[ComponentType, object, object]]:
        """Bring back what is not there, take away what nobody told of, and yield what there is."""
        world, kinds = self.world, self._components
        for replica in self.replicas.values():
            if replica.own and not (replica.told and world.alive(replica.entity)):
                continue
            world.revive(replica.entity)
            components = world.components(replica.entity)
            for cid in () if replica.own else self.kinds_of(replica.entity) - replica.told.keys():
                world.remove(replica.entity, kinds[cid].cls)
            for cid, told in replica.told.items():
                kind = kinds[cid]
                if kind.cls not in components:
                    world.add(replica.entity, kind.clone(told))
                yield kind, components[kind.cls], told

    # What is predicted.

    def put(self, replica: Replica, cid: int, component: object | None) -> None:
        """Give something that is predicted a component, or take it away."""
        kind = self._components[cid]
        found = self.world.components(replica.entity).get(kind.cls)
        if component is None:
            self.world.remove(replica.entity, kind.cls)
        elif found is None:
            self.world.revive(replica.entity)
            self.world.add(replica.entity, component)
        else:
            kind.assign(found, component)

    def snapshot(self) -> Snapshot:
        """Copy what is predicted. Of types that did not change, two copies in a row are one."""
        if not self._stamp.undisturbed:
            self._arrange()
        columns: dict[int, list[object]] = {}
        for cid, kind, live in self._live:
            column = self._copied.get(cid)
            if column is None or not kind.flat or column != live:
                column = [*map(kind.clone, live)]
            columns[cid] = column
        self._copied = columns
        return Snapshot(self._layout, columns)

    def restore(self, snapshot: Snapshot) -> None:
        """Make what is predicted what it was; what has come since then is deleted."""
        if not (self._stamp.undisturbed and snapshot.layout is self._layout):
            self._rebuild(snapshot)
            return
        for cid, kind, live in self._live:
            column, assign = snapshot.columns[cid], kind.assign
            if not kind.flat or column != live:
                for component, copy in zip(live, column, strict=True):
                    assign(component, copy)

    def _rebuild(self, snapshot: Snapshot) -> None:
        """Bring replicas back, or take them away, with all components that they had."""
        world, kinds = self.world, self._components
        for replica in self.owned.values():
            had = snapshot.layout.kinds.get(replica.entity)
            if had is None:
                world.delete(replica.entity, immediate=True)
                continue
            world.revive(replica.entity)
            has = self.kinds_of(replica.entity)
            for cid in has - had - replica.told.keys():
                world.remove(replica.entity, kinds[cid].cls)
            for cid in sorted(had):
                copy = snapshot.value(replica.entity, cid)
                assert copy is not None  # it had one
                self.put(replica, cid, kinds[cid].clone(copy))

    def _arrange(self) -> None:
        """Look up what there is to copy."""
        there = {
            replica.entity: self.kinds_of(replica.entity) - replica.told.keys()
            for replica in self.owned.values()
            if self.world.alive(replica.entity)
        }
        if there != self._layout.kinds:
            self._layout = Layout(there)
        tables = self.world.tables()
        self._live = [
            (cid, kind, [tables[entity][kind.cls] for entity in row])
            for cid, row in self._layout.rows.items()
            for kind in (self._components[cid],)
        ]
        self._stamp.renew()

    # A tick.

    def step(self, tick: int, commands: tuple[ReceivedCommand, ...]) -> list[int]:
        """Run a tick, and return the entities that it made and the player owns, in their order.

        All others that it made are deleted: the server will tell of them.
        """
        simulation, world = self.simulation, self.world
        simulation.tick = tick - 1
        simulation.step(commands=[PlayerCommands(self._number, commands)] if commands else ())
        if self.failure is None and simulation.failure is not None:
            self.failure = Failure("of this tick", simulation.failure)
        if self.failure is None and world.identity() is not self._identity:
            self.failure = Failure("of this tick", RuntimeError("it cleared the database"))
        if self.failure is not None:
            return []
        world.flush_dead()
        made = []
        if not self._stamp.undisturbed:
            there, _ = world.census()
            for entity in sorted([entity for entity in there if entity not in self._keys]):
                owner = world.components(entity).get(Owner)
                mine = None if not isinstance(owner, Owner) else self.key_of(owner.player)
                if mine == self._player:
                    made.append(entity)
                else:
                    world.delete(entity, immediate=True)
        return made

    def _look_back(self, _player_id: int, past: Past) -> bool:
        """Show others as they are drawn; in a tick that runs again, as they were drawn then."""
        tick, world = self.simulation.tick, self.world
        seen = self._seen.get(tick)
        if seen is None:
            seen = self._seen[tick] = {
                (replica.key, cid): floats
                for replica in self.replicas.values()
                if not replica.own
                for cid in self._between
                if cid in replica.told and (floats := self.drawn(replica.key, cid)) is not None
            }
            while len(self._seen) > _SEEN_TICKS:
                del self._seen[min(self._seen)]
        for (key, cid), floats in seen.items():
            kind, entity = self._components[cid], self.entity_of(key)
            component = None if entity is None else world.components(entity).get(kind.cls)
            if component is not None:
                past.show(kind, component, floats)
        return bool(seen)

    def _guarded(self, system: SystemSpec) -> SystemSpec:
        """Let what a system raises end the prediction, and nothing else."""

        def make() -> Callable[[float], object]:
            try:
                return partial(self._run, system.name, system.make())
            except Exception as error:  # noqa: BLE001 - it is the game's
                self.failure = Failure(system.name, error)
                return _do_nothing

        return system._replace(make=make)

    def _run(self, name: str, process: Callable[[float], object], dt: float) -> None:
        try:
            self.call(name, process, dt)
        except Exception as error:  # noqa: BLE001 - systems may raise anything
            if self.failure is None:
                self.failure = Failure(name, error)


def _draw_nothing(_net: int, _cid: int) -> None:
    return None


def _call(_name: str, process: Callable[[float], object], dt: float) -> None:
    process(dt)


def _do_nothing(dt: float) -> None:
    """Stand for a system that could not be made."""


def _asked_for(traceback: TracebackType | None) -> tuple[object, object] | None:
    """Return the entity and the type of a component that esper was asked for, if that raised."""
    found: Mapping[str, object] = {}
    while traceback is not None:
        frame = traceback.tb_frame
        found = frame.f_locals if frame.f_globals is vars(esper) else {}
        traceback = traceback.tb_next
    if "entity" in found and "component_type" in found:
        return found["entity"], found["component_type"]
    return None
