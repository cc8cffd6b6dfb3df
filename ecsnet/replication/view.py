"""The client's half, second part: the esper world that the game renders.

The store says what is; `View.reconcile` makes the world say the same, and tells what happened.
Components that the game adds itself live in the same entities and are left alone. What the game
deletes of the replicated ones comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import esper

from ecsnet.errors import PeerError
from ecsnet.events import Changed, Despawned, Event, Inserted, Removed, Spawned
from ecsnet.replication.store import Record, Store
from ecsnet.schema import ComponentType, Schema
from ecsnet.world import World


class Attachment(NamedTuple):
    """Something that the game hangs on every entity with some replicated component."""

    cls: type
    make: Callable[[int, object], object]
    remove: Callable[[object], object] | None


class View:
    """The replicated entities of a client's world.

    Args:
        schema: the component types that cross the wire.
        world: the esper world; usually the one that was current when the client connected.
    """

    def __init__(self, schema: Schema, world: World) -> None:
        self.world = world
        self.local: dict[int, int] = {}
        """Network id to entity."""
        self.remote: dict[int, int] = {}
        """Entity to network id."""
        self.watched: set[type] = set()
        self.broken = 0
        """Values that the converter of a registered type refused."""

        self._components = schema.components
        self._types = {component.cls for component in schema.components}
        self._referring = [cid for cid, kind in enumerate(schema.components) if kind.has_refs]
        self._attachments: list[Attachment] = []
        self._attached: dict[tuple[int, Attachment], object] = {}
        self._refers: dict[int, set[tuple[int, int]]] = {}  # to a network id: who mentions it
        self._mentions: dict[tuple[int, int], tuple[int, ...]] = {}
        self._identity: object = None
        self._structure: list[object] = []

    def reference(self, net: int | None) -> int | None:
        """The entity behind a network id; None when it is not in sight."""
        return None if net is None else self.local.get(net)

    def attach(self, attachment: Attachment) -> None:
        """Hang something on every entity with a component, now and later."""
        self._attachments.append(attachment)
        with self.world:
            structure: list[tuple[int, object]] = self.world.structure(attachment.cls)
            for entity, component in list(structure):
                if entity in self.remote:
                    self._hang(entity, attachment, component)

    def reconcile(self, store: Store) -> list[Event]:
        """Make the world say what the store says; returns what happened."""
        dirty, went = store.dirty, store.went
        events: list[Event] = []
        with self.world:
            self.world.flush_dead()
            rebuilt = self._tampered(store)
            if not dirty and not rebuilt:
                return events
            store.dirty, store.went = {}, {}
            for net in rebuilt:
                dirty[net] = set(store.entities[net].values)
            arrived: list[int] = []
            for net in [net for net in dirty if net not in store.entities]:
                entity = self.local.get(net)
                if entity is not None:
                    events.append(self._despawn(net, entity, went.get(net, "despawned")))
            for net, cids in dirty.items():
                record = store.entities.get(net)
                if record is None:
                    continue
                entity = self.local.get(net)
                if entity is None:
                    arrived.append(net)
                    entity = self._spawn(net, record)
                    events.append(Spawned(entity))
                else:
                    events += self._renew(net, entity, record, cids)
            self._heal(store, [*arrived, *went])
            for net in arrived:
                for cid in store.entities[net].values:
                    self._appeared(self.local[net], self._components[cid].cls)
            self._stamp()
        return events

    def clear(self) -> None:
        """Take all that is replicated out of the world, as when a client closes."""
        with self.world:
            self.world.flush_dead()
            for net, entity in list(self.local.items()):
                self._despawn(net, entity, "hidden")

    def written(self, store: Store) -> tuple[int, str] | None:
        """The first replicated value that differs from the store's: its entity and a name such
        as ``"Position.x"``. It is put right again. None when nobody wrote any.
        """
        with self.world:
            for net, record in store.entities.items():
                entity = self.local.get(net)
                if entity is None:
                    continue
                components = self.world.components(entity)
                for cid, wire in record.values.items():
                    kind = self._components[cid]
                    found = components.get(kind.cls)
                    true = self._native(kind, wire)
                    if found is None or true is None or found == true:
                        continue
                    for field in kind.fields:
                        shown, said = getattr(found, field.name), getattr(true, field.name)
                        # What is not a number differs from itself.
                        if shown != said and (shown == shown or said == said):
                            kind.assign(found, true)
                            return entity, f"{kind.cls.__name__}.{field.name}"
        return None

    def comparable(self, store: Store) -> Iterator[tuple[int, int, object, object]]:
        """Every (network id, component id) of the store with the view's value and the store's,
        both as components. For tests and checks.
        """
        with self.world:
            for net, record in store.entities.items():
                entity = self.local.get(net)
                components = {} if entity is None else self.world.components(entity)
                for cid, wire in record.values.items():
                    kind = self._components[cid]
                    yield net, cid, components.get(kind.cls), self._native(kind, wire)

    # What the game did to the world between two polls.

    def _stamp(self) -> None:
        self._identity = self.world.identity()
        self._structure = [self.world.structure(cls) for cls in self._types]

    def _tampered(self, store: Store) -> set[int]:
        """Entities of the store that the game deleted, whole or in part."""
        world = self.world
        if world.identity() is not self._identity:
            for key in [*self._attached]:
                self._unhang(*key)
            self.local.clear()
            self.remote.clear()
            self._mentions.clear()
            self._refers.clear()
        elif all(
            world.structure(cls) is known
            for cls, known in zip(self._types, self._structure, strict=True)
        ):
            return set()
        damaged = set()
        for net, record in store.entities.items():
            entity = self.local.get(net)
            if entity is not None and not world.alive(entity):
                self._forget(net, entity)
                entity = None
            dirty = store.dirty.get(net)
            if entity is None:
                if dirty is None:
                    damaged.add(net)
                continue
            components = world.components(entity)
            missing = [cid for cid in record.values if self._components[cid].cls not in components]
            if missing and dirty is None:
                damaged.add(net)
            elif dirty is not None:
                dirty.update(missing)
        for net in store.dirty:
            entity = self.local.get(net)
            if entity is not None and not world.alive(entity):
                self._forget(net, entity)
        if not damaged:
            self._stamp()
        return damaged

    # Entities.

    def _spawn(self, net: int, record: Record) -> int:
        components = [
            component
            for cid, wire in record.values.items()
            if (component := self._made(net, cid, wire)) is not None
        ]
        entity = esper.create_entity(*components)
        self.local[net] = entity
        self.remote[entity] = net
        return entity

    def _despawn(self, net: int, entity: int, why: str) -> Despawned:
        components = dict(self.world.components(entity))
        self._forget(net, entity)
        self.world.delete(entity, immediate=True)
        return Despawned(entity, "hidden" if why == "hidden" else "despawned", components)

    def _forget(self, net: int, entity: int) -> None:
        del self.local[net], self.remote[entity]
        for cid in self._referring:
            self._mention(net, cid, None)
        for attachment in self._attachments:
            self._unhang(entity, attachment)

    def _renew(self, net: int, entity: int, record: Record, cids: Iterable[int]) -> Iterator[Event]:
        """Bring some components of an entity up to date."""
        components = self.world.components(entity)
        for cid in cids:
            kind = self._components[cid]
            found = components.get(kind.cls)
            if cid not in record.values:
                self._mention(net, cid, None)
                if found is not None:
                    self._disappeared(entity, kind.cls)
                    self.world.remove(entity, kind.cls)
                    yield Removed(entity, found)
                continue
            new = self._made(net, cid, record.values[cid], fresh=found is None)
            if new is None:
                continue
            if found is None:
                self.world.add(entity, new)
                self._appeared(entity, kind.cls)
                yield Inserted(entity, new)
                continue
            kind.assign(found, new)
            if kind.cls in self.watched:
                yield Changed(entity, found)

    # Values.

    def _native(self, kind: ComponentType, wire: object) -> object | None:
        """A wire value as a component, which may share what is mutable; None when the
        converter of a registered type refuses it.
        """
        try:
            return kind.from_wire(wire, self.reference)
        except PeerError:
            self.broken += 1
            return None

    def _made(self, net: int, cid: int, wire: object, *, fresh: bool = True) -> object | None:
        kind = self._components[cid]
        if kind.has_refs:
            self._mention(net, cid, wire)
        native = self._native(kind, wire)
        return kind.clone(native) if fresh and native is not None else native

    # References: out of sight they read None, and they heal.

    def _mention(self, net: int, cid: int, wire: object | None) -> None:
        key = (net, cid)
        for mentioned in self._mentions.pop(key, ()):
            referrers = self._refers[mentioned]
            referrers.discard(key)
            if not referrers:
                del self._refers[mentioned]
        if wire is None:
            return
        mentions = tuple(set(self._components[cid].refs(wire)))
        if mentions:
            self._mentions[key] = mentions
            for mentioned in mentions:
                self._refers.setdefault(mentioned, set()).add(key)

    def _heal(self, store: Store, moved: Iterable[int]) -> None:
        """Entities came and went: look again at the references to them."""
        for mentioned in moved:
            for net, cid in list(self._refers.get(mentioned, ())):
                record = store.entities.get(net)
                wire = None if record is None else record.values.get(cid)
                if wire is None:
                    self._mention(net, cid, None)
                    continue
                kind = self._components[cid]
                found = self.world.components(self.local[net]).get(kind.cls)
                native = self._native(kind, wire)
                if found is not None and native is not None:
                    kind.assign(found, native)

    # What the game hangs on entities.

    def _appeared(self, entity: int, cls: type) -> None:
        for attachment in self._attachments:
            if attachment.cls is cls:
                component = self.world.components(entity).get(cls)
                if component is not None:
                    self._hang(entity, attachment, component)

    def _disappeared(self, entity: int, cls: type) -> None:
        for attachment in self._attachments:
            if attachment.cls is cls:
                self._unhang(entity, attachment)

    def _hang(self, entity: int, attachment: Attachment, component: object) -> None:
        made = attachment.make(entity, component)
        if made is not None:
            self._attached[entity, attachment] = made
            self.world.add(entity, made)

    def _unhang(self, entity: int, attachment: Attachment) -> None:
        made = self._attached.pop((entity, attachment), None)
        if made is None:
            return
        if attachment.remove is not None:
            attachment.remove(made)
        if self.world.components(entity).get(type(made)) is made:
            self.world.remove(entity, type(made))
