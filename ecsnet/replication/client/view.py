"""The client's half, second part: the esper world that the game renders.

The store says what is; `ViewWorld.reconcile` makes the world say the same, and tells what happened.
Components that the game adds itself live in the same entities and are left alone. What the game
deletes of the replicated ones comes back.

The game's own functions may do anything to the world, or raise. They are called at two points:
the converters of its types before `ViewWorld.reconcile` changes any component (`conversion`), and
what it attached after all is as the store says (`attachments`). Whatever they do to the world shows
in the next `ViewWorld.reconcile`, which mends it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from math import isfinite
from typing import Protocol

import esper

from ecsnet.notifications import Changed, Despawned, Inserted, Notification, Removed, Spawned
from ecsnet.replication.client.attachments import Attachment, Attachments
from ecsnet.replication.client.conversion import Conversion
from ecsnet.replication.client.event_queue import EventQueue
from ecsnet.replication.client.references import References
from ecsnet.replication.client.samples import Blend
from ecsnet.replication.client.store import EntityState, Why, effort_of
from ecsnet.replication.client.world_stamp import WorldStamp
from ecsnet.schema import ComponentType, EventType, Schema
from ecsnet.world import World

__all__ = ["PARTS_AT_ONCE", "Shown", "ViewWorld"]

PARTS_AT_ONCE = 4096
"""About how many entities, components and containers in these one `ViewWorld.reconcile` brings up
to date, sixteen items for one; the others have to wait."""

_NONE: frozenset[int] = frozenset()
_EMPTY: Mapping[type, object] = {}


class Shown(Protocol):
    """The source of a view: a `Store`, or what stands in front of one."""

    @property
    def entities(self) -> dict[int, EntityState]:
        """As `Store.entities`."""
        ...

    @property
    def dirty(self) -> dict[int, set[int]]:
        """As `Store.dirty`."""
        ...

    @property
    def went(self) -> dict[int, Why]:
        """As `Store.went`."""
        ...

    @property
    def events(self) -> EventQueue:
        """As `Store.events`."""
        ...


class ViewWorld:
    """The replicated entities of a client's world.

    Args:
        schema: The component types that cross the wire.
        world: The esper world; usually the one that was current when the client connected.

    Attributes:
        world: The esper world.
        components: The component types, by component id.
        local: Network id to entity.
        remote: Entity to network id.
        watched: The types of which `Changed` is told.
        conversion: What makes components and events of wire values.
        references: Who mentions whom. Once there are too many, no value is shown any more.
        attachments: What the game attached.
        blended: The components whose floats lie between two values, by network id and component id.
    """

    def __init__(self, schema: Schema, world: World) -> None:
        self.world = world
        self.components = schema.components
        self.local: dict[int, int] = {}
        self.remote: dict[int, int] = {}
        self.watched: set[type] = set()
        self.blended: Mapping[tuple[int, int], Blend] = {}
        self._stamp = WorldStamp(world)
        self.conversion = Conversion(self.reference)
        self.references = References(schema.components)
        self.attachments = Attachments(
            world, self._stamp, self.remote, {kind.cls for kind in schema.components}
        )
        self._counted = {cid for cid, kind in enumerate(schema.components) if kind.count}
        self._converting = False
        self._unborn: set[int] = set()  # network ids of entities that have no component yet

    def reference(self, net: int | None) -> int | None:
        """Return the entity behind a network id; None when it is not in sight."""
        return None if net is None else self.local.get(net)

    def attach(self, attachment: Attachment) -> None:
        """Attach something to every entity with a component, now and later.

        Within `Attachments.call_back` and `reconcile`, entities that are there have to wait for the
        next one.

        Raises:
            Exception: As for `Attachments.call_back`.
        """
        self.attachments.add(attachment)
        if not self._converting:
            self.attachments.call_back()

    def rename(self, net: int, other: int) -> None:
        """Let an entity go by another network id from now on; nothing happens where it is not there
        or the other one is.
        """
        if other in self.local or net not in self.local:
            return
        entity = self.local[other] = self.local.pop(net)
        self.remote[entity] = other
        self.references.rename(net, other)
        if net in self._unborn:
            self._unborn.remove(net)
            self._unborn.add(other)

    def clear(self) -> None:
        """Take all that is replicated out of the world, as when a client closes.

        Raises:
            Exception: As for `Attachments.call_back`.
        """
        if self.world.there:
            self.hide_all()
        else:
            self._lose_all()
        self.attachments.call_back()

    def hide_all(self) -> list[Notification]:
        """Take all that is replicated out of the world: another store is shown from now on, in
        which network ids mean other things.
        """
        with self.world:
            self.world.flush_dead()
            self.blended = {}
            if not self._stamp.same_world:
                self._lose_all()
            return [self._despawn(net, entity, "hidden") for net, entity in [*self.local.items()]]

    def reconcile(self, store: Shown) -> list[Notification]:
        """Make the world say what the store says; returns what happened.

        Entities are brought up to date as a whole, so many at a time; what is left stays dirty.
        """
        events: list[Notification] = []
        with self.world:
            self.world.flush_dead()
            self._notice_damage(store)
            if not store.dirty:
                store.events.shown((), (), ())
                return events
            batch = self._batch(store)
            moved: list[int] = []
            for net in [net for net in batch if net not in store.entities]:
                del batch[net], store.dirty[net]
                why = store.went.pop(net, "despawned")
                moved.append(net)  # also where the game has deleted it before
                entity = self.local.get(net)
                if entity is not None:
                    events.append(self._despawn(net, entity, why))
            # They are there before their components, so that references among them can be read.
            for net in batch:
                if net not in self.local:
                    moved.append(net)
                    self._create(net)
            healed = self._referring_to(moved, store, batch)
            self._stamp.renew()
            values = self._converted(store, batch, healed)
            with self.world:  # wherever a converter went
                if self._stamp.same_world:  # or all of it is made anew, next time
                    events += self._applied(store, batch, healed, values)
                    store.events.shown(batch, store.dirty, store.entities)
        return events

    def blend(self, store: Shown, blends: Mapping[tuple[int, int], Blend]) -> None:
        """Draw components between two values, and those as they are that were drawn so before. To
        be called after each `reconcile`.

        Args:
            store: The store that is shown.
            blends: What lies between two values now, by network id and component id.
        """
        if not (blends or self.blended):
            return
        over = {key: self._unblended(store, *key) for key in self.blended.keys() - blends.keys()}
        self.blended = blends
        with self.world:
            tables = self.world.tables()
            for (net, cid), blend in itertools.chain(over.items(), blends.items()):
                kind = self.components[cid]
                entity = self.local.get(net)
                found = None if entity is None else tables.get(entity, _EMPTY).get(kind.cls)
                if found is not None and blend is not None:
                    kind.blend(found, *blend)

    def take_events(self, store: Shown) -> list[tuple[EventType, object]]:
        """Take the events that the view is ready for, with their types, as the game gets them:
        references are to entities of the view. To be called after `reconcile`.
        """
        taken: list[tuple[EventType, object]] = []
        if not store.events:
            return taken
        self._converting = True
        try:
            for kind, wire, _, reliable in store.events.take():
                with self.world:  # wherever a converter went
                    value = self.conversion.value(kind, wire)
                if value is not None:
                    store.events.given += 1
                    store.events.given_reliable += reliable
                    taken.append((kind, value))
        finally:
            self._converting = False
        return taken

    # What the game did to the world.

    def _notice_damage(self, store: Shown) -> None:
        """Mark in the store what the game deleted, whole or in part: it is to come back."""
        world = self.world
        if not self._stamp.same_world:
            self._lose_all()
        elif self._stamp.undisturbed:
            return
        for net, entity in list(self.local.items()):
            if not world.alive(entity):
                self._forget(net, entity)
        for net, record in store.entities.items():
            known = self.local.get(net)
            components = {} if known is None else world.components(known)
            missing = [cid for cid in record.values if self.components[cid].cls not in components]
            if missing or known is None:
                store.dirty.setdefault(net, set()).update(missing)
        self._stamp.renew()

    def _lose_all(self) -> None:
        """Forget all entities: the database was cleared."""
        self.blended = {}
        self.attachments.clear()
        self.references.clear()
        self.local.clear()
        self.remote.clear()
        self._unborn.clear()
        self._stamp.clear()

    # What is brought up to date.

    def _batch(self, store: Shown) -> dict[int, set[int]]:
        """Take the changes that are brought up to date now: the oldest ones."""
        room = PARTS_AT_ONCE
        batch: dict[int, set[int]] = {}
        for net, cids in store.dirty.items():
            record = store.entities.get(net)
            new = record is not None and net not in self.local
            room -= 1 + self._parts(record, record.values if new and record is not None else cids)
            if room < 0 and batch:
                break
            batch[net] = cids
        return batch

    def _parts(self, record: EntityState | None, cids: Collection[int]) -> int:
        """Return some components of an entity, and what is in them."""
        parts = len(cids)
        if record is not None and not self._counted.isdisjoint(cids):
            values = record.values
            parts += sum(
                [effort_of(self.components[cid], values[cid]) for cid in cids if cid in values]
            )
        return parts

    def _referring_to(
        self, moved: Iterable[int], store: Shown, batch: dict[int, set[int]]
    ) -> dict[int, set[int]]:
        """Return the components with references to entities that came or went: by network id, those
        that are not looked at anyway.
        """
        healed: dict[int, set[int]] = {}
        for net, cid in self.references.referrers(moved):
            record = store.entities.get(net)
            if record is None or cid not in record.values or net not in self.local:
                continue
            if net not in self._unborn and cid not in batch.get(net, _NONE):
                healed.setdefault(net, set()).add(cid)
        return healed

    def _unblended(self, store: Shown, net: int, cid: int) -> Blend | None:
        """Return the floats of a component as the store has them; None where it has none."""
        record = store.entities.get(net)
        wire = None if record is None else record.values.get(cid)
        if wire is None:
            return None
        floats = self.components[cid].floats(wire)
        # What is not finite is new, and nothing was between it and another value.
        return Blend(floats, floats, 0.0) if isfinite(sum(floats)) else None

    # Values: code of the game's runs, and nothing is half done.

    def _converted(
        self, store: Shown, batch: dict[int, set[int]], healed: dict[int, set[int]]
    ) -> dict[int, dict[int, object]]:
        """Make the components that are to be shown, by network id and component id. Nothing else
        holds what is made here, but for what is flat.
        """
        self._converting = True
        try:
            return {
                net: self._values(
                    net, store.entities[net], batch.get(net, _NONE) | healed.get(net, _NONE)
                )
                for net in dict.fromkeys((*batch, *healed))
            }
        finally:
            self._converting = False

    def _values(self, net: int, record: EntityState, cids: Iterable[int]) -> dict[int, object]:
        values: dict[int, object] = {}
        for cid in record.values if net in self._unborn else cids:
            if cid not in record.values:
                continue
            kind, wire = self.components[cid], record.values[cid]
            if kind.has_refs:
                self.references.note(net, cid, wire)
            value = None if self.references.overload else self.conversion.value(kind, wire)
            if value is not None:
                values[cid] = value
        return values

    # Entities; no code of the game's runs.

    def _applied(
        self,
        store: Shown,
        batch: dict[int, set[int]],
        healed: dict[int, set[int]],
        values: dict[int, dict[int, object]],
    ) -> list[Notification]:
        """Give entities the components that they are to have; no code of the game's runs."""
        events: list[Notification] = []
        undisturbed = self._stamp.undisturbed
        for net, cids in batch.items():
            del store.dirty[net]
            store.went.pop(net, None)
            entity = self.local[net]
            if not (undisturbed or self.world.alive(entity)):
                continue
            if net in self._unborn:
                events.append(self._bear(net, entity, values[net]))
            else:
                events += self._renew(net, entity, store.entities[net], cids, values[net])
        for net, cids in healed.items():
            self._refresh(self.local[net], cids, values[net])
        if undisturbed:
            self._stamp.renew()
        return events

    def _create(self, net: int) -> None:
        entity = esper.create_entity()
        self.local[net] = entity
        self.remote[entity] = net
        self._unborn.add(net)

    def _bear(self, net: int, entity: int, values: dict[int, object]) -> Spawned:
        """Give a new entity its components."""
        self._unborn.discard(net)
        for cid, value in values.items():
            self._insert(entity, self.components[cid], value)
        return Spawned(entity)

    def _despawn(self, net: int, entity: int, why: str) -> Despawned:
        components = dict(self.world.components(entity))
        self._forget(net, entity)
        self.world.delete(entity, immediate=True)
        return Despawned(entity, "hidden" if why == "hidden" else "despawned", components)

    def _forget(self, net: int, entity: int) -> None:
        del self.local[net], self.remote[entity]
        self._unborn.discard(net)
        self.references.forget_entity(net)
        self.attachments.forget(entity)

    def _renew(
        self,
        net: int,
        entity: int,
        record: EntityState,
        cids: Iterable[int],
        values: dict[int, object],
    ) -> Iterator[Notification]:
        """Bring some components of an entity up to date."""
        components = self.world.components(entity)
        for cid in cids:
            kind = self.components[cid]
            found = components.get(kind.cls)
            if cid not in record.values:
                self.references.forget(net, cid)
                if found is not None:
                    self.attachments.disappeared(entity, kind.cls)
                    self.world.remove(entity, kind.cls)
                    yield Removed(entity, found)
                continue
            new = values.get(cid)
            if new is None:
                continue
            if found is None:
                yield Inserted(entity, self._insert(entity, kind, new))
                continue
            kind.move(found, new)
            if kind.cls in self.watched:
                yield Changed(entity, found)

    def _insert(self, entity: int, kind: ComponentType, value: object) -> object:
        # What is flat may be the store's own.
        component = kind.clone(value) if kind.flat else value
        esper.add_component(entity, component)
        if kind.cls in self.attachments.by_type:
            self.attachments.appeared(entity, kind.cls)
        return component

    def _refresh(self, entity: int, cids: Iterable[int], values: dict[int, object]) -> None:
        """Give components, where they are there, the values that they have now."""
        components = self.world.components(entity)
        for cid in cids:
            kind = self.components[cid]
            found, value = components.get(kind.cls), values.get(cid)
            if found is not None and value is not None:
                kind.move(found, value)
