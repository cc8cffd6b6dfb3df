"""The replicated entities of a world, and what changed about them in a tick.

Network ids are given here and never reused while the server runs, whatever esper does with its
own (they restart after ``esper.clear_database``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Hashable, Iterator, Set
from itertools import count

from ecsnet.errors import BadValueError, UsageError
from ecsnet.replication.server.changes import ChangeDetector, detector_for
from ecsnet.replication.server.interest import ANYWHERE, Grid, Interest
from ecsnet.replication.sizes import Sizes
from ecsnet.schema import Schema, unsent
from ecsnet.world import World

log = logging.getLogger("ecsnet.server")


class Entity:
    """A replicated entity. ``public`` and ``private`` are bit sets of component ids: what
    everybody who sees it gets, and what only its owner gets. ``order`` tells which of two entities
    was there first, which their network ids do not.
    """

    __slots__ = ("cell", "esper", "net", "order", "owner", "point", "private", "public")

    def __init__(self, net: int, esper: int, order: int) -> None:
        self.net = net
        self.esper = esper
        self.order = order
        self.public = 0
        self.private = 0
        self.cell: Hashable = ANYWHERE
        self.point: tuple[float, float] | None = None
        self.owner: int | None = None


EntityDetector = ChangeDetector[Entity, object]

Touched = dict[Entity, tuple[int, int]]
"""Entities to look at once more, with the public and private bits they had before."""


NOWHERE: Hashable = "nowhere"
"""In place of a cell: where an entity was that appears, or is that goes."""


class Change:
    """The entities that entered and left: network ids, each in one of the two at most."""

    __slots__ = ("entered", "left")

    def __init__(self) -> None:
        self.entered: set[int] = set()
        self.left: set[int] = set()


class Delta:
    """The changes of one tick."""

    __slots__ = ("cells", "changed", "cleared", "inserted", "owners", "removed", "tick")

    def __init__(self, tick: int) -> None:
        self.tick = tick
        self.cleared = False
        """True if the whole database was cleared: ``esper.clear_database``."""
        self.changed: dict[Entity, int] = {}
        """New values: entity to component bits."""
        self.inserted: dict[Entity, int] = {}
        """Components that appeared on entities that were there before."""
        self.removed: dict[Entity, int] = {}
        """Components that went from entities that are there still."""
        self.cells: dict[Hashable, Change] = {}
        """The cells that entities came to or went from."""
        self.owners: set[int] = set()
        """Players (esper entities) whose belongings changed in number or in structure."""

    def entered(self, net: int, cell: Hashable) -> None:
        """Note that an entity is in a cell now."""
        change = self._change(cell)
        if net in change.left:  # and is back
            change.left.discard(net)
        else:
            change.entered.add(net)

    def left(self, net: int, cell: Hashable) -> None:
        """Note that an entity is in a cell no more."""
        change = self._change(cell)
        if net in change.entered:
            change.entered.discard(net)
        else:
            change.left.add(net)

    def _change(self, cell: Hashable) -> Change:
        change = self.cells.get(cell)
        if change is None:
            change = self.cells[cell] = Change()
        return change


class ReplicatedEntities:
    """The replicated entities of one world.

    Args:
        schema: The component types that cross the wire.
        world: The server's world; it must be current while methods run.
        interest: Places entities in cells.
        owner: The component type whose ``player`` field names an entity's owner.
        draw_id: Gives the next network id, each one once; they count from 1 when left out.
    """

    def __init__(
        self,
        schema: Schema,
        world: World,
        interest: Interest,
        owner: type | None = None,
        draw_id: Callable[[], int] | None = None,
    ) -> None:
        self.by_net: dict[int, Entity] = {}
        self.by_esper: dict[int, Entity] = {}
        self.cells: dict[Hashable, set[int]] = {}
        """The network ids of the public entities in each cell."""
        self.buried: dict[int, Entity] = {}
        """The entities that the last `capture` found to be gone, by their ids in esper."""
        self.owned: dict[int, dict[Entity, None]] = {}
        """The entities of each player, in the order in which they came: a run can be had again."""
        self.sizes: Sizes[Entity] = Sizes(len(schema.components))
        """The sizes of entities, in bytes."""
        self.detectors: list[EntityDetector] = [
            detector_for(component, cid, self.network_id, self.sizes)
            for cid, component in enumerate(schema.components)
        ]
        self.private_bits = sum(detector.bit for detector in self.detectors if detector.private)

        self._world = world
        self._interest = interest
        # A grid that a game derived from ours may have a mind of its own.
        self._grid_index = interest.grid_index if type(interest) is Grid else None
        self._owner_type = owner
        self._players: set[int] = set()
        self._draw_id = draw_id or count(1).__next__
        self._arrived = 0
        self._identity = self._buried_of = world.identity()
        self._warned = False
        self._repeats_rest = False
        self._limbo: set[Entity] = set()  # known, with no component that could be sent
        self._cids: dict[int, tuple[int, ...]] = {}
        self._sent = schema.cid_of
        self._seen: set[type] = set()  # types of components that are, or were, on entities
        cid_of = schema.cid_of
        self._owner_bit = 1 << cid_of[owner] if owner in cid_of else 0
        position = interest.position
        if position is not None and position not in cid_of:
            raise UsageError(
                f"{type(interest).__name__}({position.__name__}): clients never get this component;"
                " interest needs one that is replicated, and not visible_to='server'"
            )
        self._position_bit = 1 << cid_of[position] if position is not None else 0

    def repeat_rest(self, repeat: bool) -> None:
        """Say whether the last value of what comes to rest is to be sent three times.

        Smooth clients draw between two values, so a last one that got lost would show until the
        loss is noticed. Others need no more than that it is sent again then.
        """
        if repeat != self._repeats_rest:
            self._repeats_rest = repeat
            for detector in self.detectors:
                detector.moved, detector.rested = [], []

    def network_id(self, entity: int | None) -> int | None:
        """Return the network id of an esper entity; None when it has none.

        Raises:
            BadValueError: What a component refers to cannot be an entity.
        """
        if entity is None:
            return None
        number = _entity_id(entity)
        if number is None:
            raise BadValueError(f"{entity!r} is not an entity")
        known = self.by_esper.get(number)
        return None if known is None else known.net

    def find(self, entity: int, identity: object) -> Entity | None:
        """Return an esper entity as it is replicated, also one that has just gone; None when it
        has no network id.

        Args:
            entity: The number of an entity, as it was a short while ago.
            identity: The world that it was in then, see `World.identity`: numbers may have begun
                again since.
        """
        found: Entity | None = None
        if identity is self._identity:
            found = self.by_esper.get(entity)
        if found is None and identity is self._buried_of:
            found = self.buried.get(entity)
        return found

    def named(self, entity: int, identity: object) -> int | None:
        """Return the network id for a reference to an esper entity; None when it has none.

        Args:
            entity: As for `find`.
            identity: As for `find`.

        Raises:
            BadValueError: What is referred to cannot be an entity.
        """
        number = _entity_id(entity)
        if number is None:
            raise BadValueError(f"{entity!r} is not an entity")
        found = self.find(number, identity)
        return None if found is None else found.net

    def in_order(self, nets: Set[int]) -> list[int]:
        """Network ids in the order in which their entities came to be, as clients create them."""
        by_net = self.by_net  # in that order itself
        if 8 * len(nets) > len(by_net):
            return [net for net in by_net if net in nets]
        return sorted(nets, key=lambda net: by_net[net].order)

    def cids(self, bits: int) -> tuple[int, ...]:
        """Return the component ids in a bit set, ascending."""
        cids = self._cids.get(bits)
        if cids is None:
            cids = tuple(cid for cid in range(bits.bit_length()) if bits >> cid & 1)
            self._cids[bits] = cids
        return cids

    def columns(self, cids: tuple[int, ...], nets: list[int]) -> list[tuple[int, list[object]]]:
        """Return the shadows of component types, as wire values for network ids: a column each."""
        by_net = self.by_net
        return self.columns_of(cids, [by_net[net] for net in nets])

    def columns_of(
        self, cids: tuple[int, ...], entities: list[Entity]
    ) -> list[tuple[int, list[object]]]:
        """Return the same for entities."""
        detectors = self.detectors
        return [(cid, detectors[cid].wires(entities)) for cid in cids]

    def has_room(self, entity: Entity, cid: int, wire: object) -> bool:
        """Return whether a decoded wire value could be sent beside all else of its entity."""
        return self.detectors[cid].has_room(entity, wire)

    def large_bytes(self, net: int) -> int:
        """Return the bytes that the large values of an entity take; 0 for nearly every entity."""
        entity = self.by_net.get(net)
        return 0 if entity is None else self.sizes.total(entity)

    def set_player(self, entity: int, present: bool) -> None:
        """Set whether a player's client is there: then the player entity owns itself."""
        if present:
            self._players.add(entity)
        else:
            self._players.discard(entity)
        known = self.by_esper.get(entity)
        if known is not None:
            self._settle_owner(known, None)

    def capture(self, tick: int) -> Delta:
        """Compare the world with the shadows: what changed since the last call."""
        delta = Delta(tick)
        touched: Touched = {}
        self.buried.clear()
        self._buried_of = self._identity
        self._structure(delta, touched)
        self._values(delta, touched)
        self._settle(delta, touched)
        return delta

    def _structure(self, delta: Delta, touched: Touched) -> None:
        """Components that came and went. ``touched`` keeps the bits that an entity had before."""
        world = self._world
        if world.identity() is not self._identity:
            self._identity = world.identity()
            delta.cleared = True
            for detector in self.detectors:
                for entity in detector.clear():
                    self._drop(detector, entity, delta, touched)
            self._limbo.update(self.by_esper.values())
            self.by_esper.clear()
            self._players.clear()
        sources: list[tuple[EntityDetector, list[tuple[int, object]]]] = [
            (detector, world.structure(detector.component.cls)) for detector in self.detectors
        ]
        stale = [(detector, source) for detector, source in sources if detector.stale(source)]
        if not stale:
            return
        if not self._seen.issuperset(world.types()):
            self._meet(world.types())
        arrived = {esper for _, source in stale for esper, _ in source} - self.by_esper.keys()
        for esper in sorted(arrived):
            self._arrived += 1
            entity = Entity(self._draw_id(), esper, self._arrived)
            self.by_esper[esper] = self.by_net[entity.net] = entity
            self._limbo.add(entity)
        for detector, source in stale:
            appeared, gone = detector.sync(source, [self.by_esper[esper] for esper, _ in source])
            for entity in gone:
                self._drop(detector, entity, delta, touched)
            for entity in appeared:
                self._raise(detector, entity, delta, touched)

    def _meet(self, types: Collection[type]) -> None:
        """Warn of types that look as if they were sent, and are not."""
        for cls in [cls for cls in types if cls not in self._seen]:
            self._seen.add(cls)
            why = unsent(cls, self._sent) or self._hidden(cls)
            if why is not None:
                log.warning("%s", why)

    def _hidden(self, alias: type) -> str | None:
        """Say that a component which would be sent is stored under a type that is not."""
        for entity in () if alias in self._sent else self._world.holders(alias):
            cls = type(self._world.components(entity).get(alias))
            if cls in self._sent:
                return (
                    f"{cls.__qualname__} on entity {entity} is never sent: it is stored under the"
                    f" type {alias.__qualname__}; add it without type_alias"
                )
        return None

    def _values(self, delta: Delta, touched: Touched) -> None:
        for detector in self.detectors:
            if not detector.due(delta.tick):
                continue
            new, first = detector.changed()
            for entity in first:
                self._raise(detector, entity, delta, touched)
            if self._repeats_rest and detector.repeated:
                new = self._with_rested(detector, new, delta.tick)
            if not new:
                continue
            bit = detector.bit
            detector.note_changed(new, delta.tick)
            if delta.changed:
                changed = delta.changed
                for entity in new:
                    changed[entity] = changed.get(entity, 0) | bit
            else:
                delta.changed = detector.bits_of(new)
            if bit & self._owner_bit:
                for entity in new:
                    touched.setdefault(entity, (entity.public, entity.private))
            if bit & self._position_bit:
                for entity in new:
                    if entity.public and entity not in touched:
                        cell = self._locate(entity, detector.live(entity))
                        if cell != entity.cell:
                            self._move(entity, entity.cell, cell, delta)

    def _with_rested(self, detector: EntityDetector, new: list[Entity], tick: int) -> list[Entity]:
        """Add to the entities with a new value those that had one when it was last compared, or the
        time before.
        """
        moved, rested, since = detector.moved, detector.rested, detector.moved_at
        detector.moved, detector.rested, detector.moved_at = new, [], tick
        if not rested and (not moved or moved == new):
            return new
        there = set(new)
        changed_at = detector.changed_at
        # What has gone meanwhile, or come anew, has not changed then.
        again = [e for e in moved if e not in there and changed_at(e) == since]
        detector.rested = again
        return new + again + [e for e in rested if e not in there and changed_at(e) == since]

    def _raise(
        self, detector: EntityDetector, entity: Entity, delta: Delta, touched: Touched
    ) -> None:
        touched.setdefault(entity, (entity.public, entity.private))
        delta.inserted[entity] = delta.inserted.get(entity, 0) | detector.bit
        detector.note_changed([entity], delta.tick)
        if detector.private:
            entity.private |= detector.bit
        else:
            entity.public |= detector.bit

    def _drop(
        self, detector: EntityDetector, entity: Entity, delta: Delta, touched: Touched
    ) -> None:
        touched.setdefault(entity, (entity.public, entity.private))
        delta.removed[entity] = delta.removed.get(entity, 0) | detector.bit
        detector.note_removed(entity)
        if detector.private:
            entity.private &= ~detector.bit
        else:
            entity.public &= ~detector.bit

    def _settle(self, delta: Delta, touched: Touched) -> None:
        """Cells, owners and burials of the entities that were touched."""
        for entity, (public, private) in touched.items():
            structural = entity in delta.inserted or entity in delta.removed
            if structural and entity.owner is not None:
                delta.owners.add(entity.owner)
            there = entity.public or entity.private
            if not ((public or private) and there):
                # It came or went as a whole: nobody is told of its parts.
                delta.inserted.pop(entity, None)
                delta.removed.pop(entity, None)
            if there:
                self._limbo.discard(entity)
            else:
                self._limbo.add(entity)
            self._place(entity, public, delta)
            self._settle_owner(entity, delta)
        if not self._limbo:
            return
        for entity in [e for e in self._limbo if not self._is_there(e)]:
            self._limbo.discard(entity)
            del self.by_net[entity.net]
            self.buried[entity.esper] = entity
            if self.by_esper.get(entity.esper) is entity:
                del self.by_esper[entity.esper]

    def _is_there(self, entity: Entity) -> bool:
        return self.by_esper.get(entity.esper) is entity and self._world.alive(entity.esper)

    def _place(self, entity: Entity, before: int, delta: Delta) -> None:
        """Put an entity that was touched where it belongs now."""
        old = entity.cell if before else NOWHERE
        if not entity.public:
            self._move(entity, old, NOWHERE, delta)
            return
        position = self._interest.position
        component: object | None = None
        if position is not None and (entity.public | entity.private) & self._position_bit:
            component = self._world.components(entity.esper).get(position)
        self._move(entity, old, self._locate(entity, component), delta)

    def _locate(self, entity: Entity, position: object | None) -> Hashable:
        """Return the cell for an entity, from its position where the policy asks for one."""
        if self._interest.position is not None:
            if position is None:
                if entity.point is not None and not self._warned:
                    self._warn_of_lost_position(entity)
                entity.point = None
                return ANYWHERE
            grid_index = self._grid_index
            if grid_index is not None:  # the same without calls of Python
                entity.point = grid_index.point(position) or entity.point
                return grid_index.square(entity.point, entity.cell)
            entity.point = self._interest.point(position) or entity.point
        return self._interest.cell(entity)

    def _warn_of_lost_position(self, entity: Entity) -> None:
        """Tell, once, that an entity which some could see is seen by all from now on."""
        self._warned = True
        assert self._interest.position is not None
        log.warning(
            "entity %d had a %s and has none now, so every player sees it, wherever it was: delete"
            " it, or leave that on it; said once",
            entity.esper,
            self._interest.position.__name__,
        )

    def _move(self, entity: Entity, old: Hashable, new: Hashable, delta: Delta) -> None:
        if new == old:
            return
        if old is not NOWHERE:
            members = self.cells[old]
            members.discard(entity.net)
            if not members:
                del self.cells[old]
            delta.left(entity.net, old)
        if new is not NOWHERE:
            entity.cell = new
            self.cells.setdefault(new, set()).add(entity.net)
            delta.entered(entity.net, new)

    def _settle_owner(self, entity: Entity, delta: Delta | None) -> None:
        new: int | None = None
        if entity.public or entity.private:
            if entity.esper in self._players:
                new = entity.esper
            if self._owner_type is not None and entity.public & self._owner_bit:
                component = self._world.components(entity.esper).get(self._owner_type)
                named = getattr(component, "player", None)
                player = _entity_id(named)
                if named is None or player is not None:
                    # A player entity that is gone owns nothing: clients read None there, too.
                    new = player if player is not None and self._world.alive(player) else None
                else:
                    new = entity.owner  # clients keep the last valid value
        old = entity.owner
        if new == old:
            return
        entity.owner = new
        if old is not None:
            del self.owned[old][entity]
            if not self.owned[old]:
                del self.owned[old]
        if new is not None:
            self.owned.setdefault(new, {})[entity] = None
        if delta is not None:
            delta.owners.update(player for player in (old, new) if player is not None)

    def belongings(self, player: int | None) -> Iterator[Entity]:
        """Yield the entities that a player (an esper entity) owns, itself included."""
        if player is not None:
            yield from self.owned.get(player, ())


def _entity_id(value: object) -> int | None:
    """Return the number of an entity as a plain int; None for what cannot be one."""
    if type(value) is int:
        return value
    # A bool is an int, too, and never meant as an entity.
    return int.__int__(value) if isinstance(value, int) and type(value) is not bool else None
