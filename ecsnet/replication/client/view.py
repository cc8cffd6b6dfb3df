"""The client's half, second part: the esper world that the game renders.

The store says what is; `View.reconcile` makes the world say the same, and tells what happened.
Components that the game adds itself live in the same entities and are left alone. What the game
deletes of the replicated ones comes back.

The game's own functions may do anything to the world, or raise. They are called at two points:
the converters of its types before `View.reconcile` changes any component, and what it attached
after all is as the store says, in `View.call_back`. Whatever they do to the world shows in the next
`View.reconcile`, which mends it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import esper

from ecsnet.errors import UsageError
from ecsnet.notifications import Changed, Despawned, Inserted, Notification, Removed, Spawned
from ecsnet.replication.client.store import EntityState, Store, effort
from ecsnet.replication.sizes import MENTIONS_OF_ONE
from ecsnet.schema import ComponentType, Schema
from ecsnet.world import World

logger = logging.getLogger("ecsnet.client")

_NONE: frozenset[int] = frozenset()

PARTS_AT_ONCE = 4096
"""About how many entities, components and containers in these one `View.reconcile` brings up to
date, sixteen items for one; the others have to wait."""

MENTIONS = 262_144
"""The most references to entities that are kept, different ones within each component, together
with what is in these components, see `effort`: one that comes or goes may have them made again."""


@dataclass(frozen=True, slots=True, eq=False)
class Attachment:
    """Something that the game hangs on every entity with some replicated component."""

    cls: type
    make: Callable[[int, object], object]
    remove: Callable[[object], object] | None

    def __str__(self) -> str:
        return getattr(self.make, "__qualname__", None) or type(self.make).__name__


class _Nothing:
    """No entity has one: esper's list of them is another one after every change of structure."""


class ViewWorld:
    """The replicated entities of a client's world.

    Args:
        schema: The component types that cross the wire.
        world: The esper world; usually the one that was current when the client connected.
    """

    def __init__(self, schema: Schema, world: World) -> None:
        self.world = world
        self.local: dict[int, int] = {}
        """Network id to entity."""
        self.remote: dict[int, int] = {}
        """Entity to network id."""
        self.watched: set[type] = set()
        self.broken = 0
        """Values that the code of a type of the game's refused."""
        self.calling = False
        """True if functions that the game attached are being called."""
        self.overload: str | None = None
        """Set when there are more references than are kept: how many. From then on no value is
        shown."""

        self._components = schema.components
        self._types = {component.cls for component in schema.components}
        self._referring = [cid for cid, kind in enumerate(schema.components) if kind.has_refs]
        self._counts = {cid: kind.count for cid, kind in enumerate(schema.components) if kind.count}
        self._attachments: list[Attachment] = []
        self._attached: dict[int, dict[Attachment, object]] = {}  # by entity
        self._calls: deque[Callable[[], object]] = deque()  # what the game attached, to be called
        self._postponed: deque[Callable[[], object]] = deque()  # the same, for the next time
        self._converting = False
        self._told: set[type] = set()  # types of which it was said that code of theirs raised
        self._unborn: set[int] = set()  # network ids of entities that have no component yet
        self._refers: dict[int, set[tuple[int, int]]] = {}  # to a network id: who mentions it
        self._mentions: dict[tuple[int, int], tuple[tuple[int, ...], int]] = {}  # and effort
        self._mentioned = 0  # in all of them
        self._identity: object = None
        self._structure: object = None

    def reference(self, net: int | None) -> int | None:
        """Return the entity behind a network id; None when it is not in sight."""
        return None if net is None else self.local.get(net)

    def attach(self, attachment: Attachment) -> None:
        """Hang something on every entity with a component, now and later.

        Within `call_back` and `reconcile`, entities that are there have to wait for the next one.

        Raises:
            Exception: As for `call_back`.
        """
        self._attachments.append(attachment)
        waiting = self._postponed if self.calling else self._calls
        with self.world:
            for entity, _ in self.world.structure(attachment.cls):
                if entity in self.remote:
                    waiting.append(partial(self._hang, entity, attachment))
        if not self._converting:
            self.call_back()

    def hide_all(self) -> list[Notification]:
        """Take all that is replicated out of the world: another store is shown from now on, in
        which network ids mean other things.
        """
        with self.world:
            self.world.flush_dead()
            if not self._same_world():
                self._lose_all()
            return [self._despawn(net, entity, "hidden") for net, entity in [*self.local.items()]]

    def reconcile(self, store: Store) -> list[Notification]:
        """Make the world say what the store says; returns what happened.

        Entities are brought up to date as a whole, so many at a time; what is left stays dirty.
        """
        events: list[Notification] = []
        with self.world:
            self.world.flush_dead()
            self._notice_damage(store)
            if not store.dirty:
                return events
            batch = self._batch(store)
            moved: list[int] = []
            for net in [net for net in batch if net not in store.entities]:
                del batch[net], store.dirty[net]
                why = store.went.pop(net, "despawned")
                entity = self.local.get(net)
                if entity is not None:
                    moved.append(net)
                    events.append(self._despawn(net, entity, why))
            # They are there before their components, so that references among them can be read.
            for net in batch:
                if net not in self.local:
                    moved.append(net)
                    self._create(net)
            healed = self._referring_to(moved, store, batch)
            self._stamp()
            values = self._converted(store, batch, healed)
            with self.world:  # wherever a converter went
                if self._same_world():  # or all of it is made anew, next time
                    events += self._applied(store, batch, healed, values)
        return events

    def call_back(self) -> None:
        """Call what the game attached, for what came and went.

        Whatever these functions do, each of them is called once. Where one calls this again,
        nothing happens.

        Raises:
            Exception: The first that one of them raised, once all were called; the last of further
                ones is logged.
        """
        if self.calling:
            return
        self.calling = True
        raised = 0
        first: Exception | None = None
        last: Exception | None = None
        self._calls.extend(self._postponed)
        self._postponed.clear()
        try:
            while self._calls:
                call = self._calls.popleft()
                try:
                    with self.world if self.world.there else nullcontext():
                        call()
                except Exception as error:  # noqa: BLE001 - the game's, and raised below
                    raised += 1
                    first, last = first or error, error
        finally:
            self.calling = False
        if raised > 1:
            logger.warning("%d attached functions raised, the last one:", raised, exc_info=last)
        if first is not None:
            raise first

    def clear(self) -> None:
        """Take all that is replicated out of the world, as when a client closes.

        Raises:
            Exception: As for `call_back`.
        """
        if self.world.there:
            self.hide_all()
        else:
            self._lose_all()
        self.call_back()

    def written(self, store: Store) -> tuple[int, str] | None:
        """Find the first replicated value that differs from the store's, and put it right again:
        its entity and a name such as ``"Position.x"``. None when the game wrote none.
        """
        with self.world:
            for net, record in store.entities.items():
                entity = self.local.get(net)
                if entity is None or net in store.dirty:
                    continue
                components = self.world.components(entity)
                for cid, wire in record.values.items():
                    kind = self._components[cid]
                    found = components.get(kind.cls)
                    true = self._private(kind, wire)
                    if found is None or true is None:
                        continue
                    field = kind.differing(found, true)
                    if field is not None:
                        kind.move(found, true)
                        return entity, f"{kind.cls.__name__}.{field}"
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
                    yield net, cid, components.get(kind.cls), self._private(kind, wire)

    # What the game did to the world since we looked at it last.

    def _stamp(self) -> None:
        """Take the world's structure, as it is now, for known."""
        self._identity = self.world.identity()
        self._structure = self.world.structure(_Nothing)

    def _same_world(self) -> bool:
        """Return whether entities are still those that we know: nobody cleared the database."""
        return self.world.identity() is self._identity or self._identity is None

    def _undisturbed(self) -> bool:
        """Return whether nothing came or went since `_stamp`."""
        return self._same_world() and self.world.structure(_Nothing) is self._structure

    def _notice_damage(self, store: Store) -> None:
        """Mark in the store what the game deleted, whole or in part: it is to come back."""
        world = self.world
        if not self._same_world():
            self._lose_all()
        elif self._undisturbed():
            return
        for net, entity in list(self.local.items()):
            if not world.alive(entity):
                self._forget(net, entity)
        for net, record in store.entities.items():
            known = self.local.get(net)
            components = {} if known is None else world.components(known)
            missing = [cid for cid in record.values if self._components[cid].cls not in components]
            if missing or known is None:
                store.dirty.setdefault(net, set()).update(missing)
        self._stamp()

    def _lose_all(self) -> None:
        """Forget all entities: the database was cleared."""
        for attached in self._attached.values():
            for attachment, made in attached.items():
                self._let_go(attachment, made)
        for known in (self._attached, self.local, self.remote, self._mentions, self._refers):
            known.clear()
        self._unborn.clear()
        self._mentioned = 0
        self._identity = None

    # Entities.

    def _batch(self, store: Store) -> dict[int, set[int]]:
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
        if record is not None and not self._counts.keys().isdisjoint(cids):
            parts += sum([self._effort(cid, record.values.get(cid)) for cid in cids])
        return parts

    def _effort(self, cid: int, wire: object | None) -> int:
        """Return the work for a value beyond the least of its type, see `effort`."""
        count = self._counts.get(cid)
        return 0 if wire is None or count is None else effort(*count(wire))

    def _applied(
        self,
        store: Store,
        batch: dict[int, set[int]],
        healed: dict[int, set[int]],
        values: dict[int, dict[int, object]],
    ) -> list[Notification]:
        """Give entities the components that they are to have; no code of the game's runs."""
        events: list[Notification] = []
        undisturbed = self._undisturbed()
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
            self._stamp()
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
            self._insert(entity, self._components[cid], value)
        return Spawned(entity)

    def _despawn(self, net: int, entity: int, why: str) -> Despawned:
        components = dict(self.world.components(entity))
        self._forget(net, entity)
        self.world.delete(entity, immediate=True)
        return Despawned(entity, "hidden" if why == "hidden" else "despawned", components)

    def _forget(self, net: int, entity: int) -> None:
        del self.local[net], self.remote[entity]
        self._unborn.discard(net)
        for cid in self._referring:
            self._mention(net, cid, None)
        for attachment in [*self._attached.get(entity, ())]:
            self._unhang(entity, attachment)

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
            kind = self._components[cid]
            found = components.get(kind.cls)
            if cid not in record.values:
                self._mention(net, cid, None)
                if found is not None:
                    self._disappeared(entity, kind.cls)
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
        for attachment in self._attachments:
            if attachment.cls is kind.cls:
                self._calls.append(partial(self._hang, entity, attachment))
        return component

    def _refresh(self, entity: int, cids: Iterable[int], values: dict[int, object]) -> None:
        """Give components, where they are there, the values that they have now."""
        components = self.world.components(entity)
        for cid in cids:
            kind = self._components[cid]
            found, value = components.get(kind.cls), values.get(cid)
            if found is not None and value is not None:
                kind.move(found, value)

    # Values.

    def _converted(
        self, store: Store, batch: dict[int, set[int]], healed: dict[int, set[int]]
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
            kind, wire = self._components[cid], record.values[cid]
            if kind.has_refs:
                self._mention(net, cid, wire)
            value = None if self.overload else self._private(kind, wire)
            if value is not None:
                values[cid] = value
        return values

    def _private(self, kind: ComponentType, wire: object) -> object | None:
        """Convert a wire value to a component that shares nothing mutable with it; None when the
        code of a type of the game's refuses it.
        """
        try:
            value = kind.from_wire(wire, self.reference)
            return value if kind.flat else kind.clone(value)
        except Exception as error:
            self.broken += 1
            if kind.cls not in self._told:
                self._told.add(kind.cls)
                logger.warning(
                    "a %s from the server is not shown, because the game's own code raised; said"
                    " once for all of them:",
                    kind.name,
                    exc_info=error,
                )
            return None

    # References: out of sight they read None, and they heal.

    def _mention(self, net: int, cid: int, wire: object | None) -> None:
        key = (net, cid)
        before, within = self._mentions.pop(key, ((), 0))
        self._mentioned -= len(before) + within
        for mentioned in before:
            referrers = self._refers[mentioned]
            referrers.discard(key)
            if not referrers:
                del self._refers[mentioned]
        if wire is None:
            return
        found = self._components[cid].refs(wire)
        if len(found) > MENTIONS_OF_ONE:
            name = self._components[cid].name
            self.overload = f"a {name} holds {len(found):,} references, at most {MENTIONS_OF_ONE:,}"
            return
        mentions = tuple(set(found))
        within = self._effort(cid, wire) if mentions else 0
        if self._mentioned + len(mentions) + within > MENTIONS:
            self.overload = (
                f"components hold more than {MENTIONS:,} references to entities, with the"
                " containers, and sixteenths of the items, around them"
            )
            return
        self._mentioned += len(mentions) + within
        if mentions:
            self._mentions[key] = mentions, within
            for mentioned in mentions:
                self._refers.setdefault(mentioned, set()).add(key)

    def _referring_to(
        self, moved: Iterable[int], store: Store, batch: dict[int, set[int]]
    ) -> dict[int, set[int]]:
        """Return the components with references to entities that came or went: by network id, those
        that are not looked at anyway.
        """
        healed: dict[int, set[int]] = {}
        for mentioned in moved:
            for net, cid in self._refers.get(mentioned, ()):
                record = store.entities.get(net)
                if record is None or cid not in record.values or net not in self.local:
                    continue
                if net not in self._unborn and cid not in batch.get(net, _NONE):
                    healed.setdefault(net, set()).add(cid)
        return healed

    # What the game hangs on entities.

    def _hang(self, entity: int, attachment: Attachment) -> None:
        component = self._holder(entity, attachment)
        if component is None or attachment in self._attached.get(entity, ()):
            return
        undisturbed = self._undisturbed()
        made = attachment.make(entity, component)
        if made is None:
            return
        with self.world:  # wherever the game went
            undisturbed = undisturbed and self._undisturbed()
            if self._holder(entity, attachment) is None:
                self._let_go(attachment, made)
                return
            self._check_hung(entity, attachment, made)
            self._attached.setdefault(entity, {})[attachment] = made
            self.world.add(entity, made)
            if undisturbed:
                self._stamp()

    def _holder(self, entity: int, attachment: Attachment) -> object | None:
        """Return the component that something is attached to; None when either is gone."""
        if entity not in self.remote or not (self._same_world() and self.world.alive(entity)):
            return None
        return self.world.components(entity).get(attachment.cls)

    def _check_hung(self, entity: int, attachment: Attachment, made: object) -> None:
        """Refuse what would take the place of something else on the entity."""
        name = type(made).__qualname__
        fault = None
        if type(made) in self._types:
            fault = f"{attachment} made a {name}, which is replicated: only the server makes those"
        for other, its in self._attached.get(entity, {}).items():
            if type(its) is type(made):
                fault = (
                    f"{other} and {attachment} both made a {name} for entity {entity}, which can"
                    f" have one: let each make a type of its own, such as a subclass of {name}"
                )
        if fault is not None:
            self._let_go(attachment, made)
            raise UsageError(f"attach({attachment.cls.__name__}, …): {fault}")

    def _disappeared(self, entity: int, cls: type) -> None:
        for attachment in [*self._attached.get(entity, ())]:
            if attachment.cls is cls:
                self._unhang(entity, attachment)

    def _unhang(self, entity: int, attachment: Attachment) -> None:
        attached = self._attached[entity]
        made = attached.pop(attachment)
        if not attached:
            del self._attached[entity]
        if self.world.components(entity).get(type(made)) is made:
            self.world.remove(entity, type(made))
        self._let_go(attachment, made)

    def _let_go(self, attachment: Attachment, made: object) -> None:
        if attachment.remove is not None:
            self._calls.append(partial(attachment.remove, made))
