"""Change detection: each replicated component against its shadow, once a tick for all clients.

The shadow is what clients were last told. Flat components are compared as structs, everything
that can change inside is compared as encoded bytes, so a change made in place is never missed.
The comparing is msgspec's and in C; systems keep writing plain attributes.

A value reaches its shadow only after a decode of its own encoding: constructors and attribute
writes do not validate, and one bad value must not make every client refuse a datagram. Code of the
game's runs on the way (converters, comparisons, time zones), so whatever it raises means a value
that cannot be sent, and nothing more. And a value reaches it only while its entity has room for it,
see `Sizes`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from itertools import chain, compress
from operator import is_not
from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from ecsnet.replication.sizes import CONTAINER_BYTES, ENTITY_BYTES, MENTIONS_OF_ONE, Sizes
from ecsnet.schema import TOO_MANY, ComponentType, Gate, encode, lasts
from ecsnet.validation.wording import short_name

log = logging.getLogger("ecsnet.server")

T = TypeVar("T")
EntityT = TypeVar("EntityT", bound=Hashable)
ShadowT = TypeVar("ShadowT")
Reference = Callable[[int | None], int | None]
"""A function from an esper entity to its network id."""

_ONE: Final = b"\x91"  # makes a list of one encoded value

_UNLIKE: Final = object()  # in place of a shadow that must not be compared with

_astuple: Callable[[Any], tuple[object, ...]] = msgspec.structs.astuple


class Shadows(Generic[EntityT]):
    """The shadows of a detector as they were at one tick."""

    __slots__ = ("_index", "_values")

    def __init__(self, index: dict[EntityT, int], values: list[object]) -> None:
        self._index = index
        self._values = values

    def get(self, entity: EntityT) -> object:
        """Return the shadow of an entity; None where it had none."""
        i = self._index.get(entity)
        return None if i is None else self._values[i]


class Checked:
    """Values that can be sent.

    Attributes:
        indices: Where their components are.
        wires: Their encodable wire values.
        made: What these are after encode and decode: shares nothing, and holds exactly the types
            that were declared.
        size: Bytes that they take encoded, all together.
    """

    __slots__ = ("indices", "made", "size", "wires")

    def __init__(
        self, indices: list[int], wires: list[object], made: list[object], size: int
    ) -> None:
        self.indices = indices
        self.wires = wires
        self.made = made
        self.size = size

    def add(self, others: Checked, at: int) -> None:
        """Take over one of others."""
        self.indices.append(others.indices[at])
        self.wires.append(others.wires[at])
        self.made.append(others.made[at])


class ChangeDetector(Generic[EntityT, ShadowT]):
    """One component type's values, shadows and structure. What stands for an entity, ``sync`` is
    told; here it is only a key.
    """

    def __init__(
        self, component: ComponentType, cid: int, reference: Reference, sizes: Sizes[EntityT]
    ) -> None:
        self.component = component
        self.cid = cid
        self.bit = 1 << cid
        self.private = component.visible_to == "owner"
        self.repeated = component.repeated
        """True if a value that comes to rest is sent three times."""
        self.moved: list[EntityT] = []
        """The entities whose value changed when it was last compared, where that is repeated. Kept
        by `ReplicatedEntities`, like `rested` and `moved_at`."""
        self.rested: list[EntityT] = []
        """The entities whose value was sent a second time then."""
        self.moved_at = 0
        """The tick in which it was."""
        self.compared_at = 0
        """The tick in which it was compared last."""

        self._reference = reference
        self._source: Sequence[tuple[int, object]] = ()
        self._entities: list[EntityT] = []
        self._components: list[object] = []
        self._shadows: list[ShadowT | None] = []  # None: no good value yet
        self._index: dict[EntityT, int] = {}
        self._bits: dict[EntityT, int] = {}  # of all entities; made when there is need for it
        self._ticks: list[int | None] = []  # of the newest values
        self._due = cid % component.rate  # types of one rate take turns
        self._complained: set[EntityT] = set()
        self._strangers: set[int] = set()  # components of another type, stored under this one
        self._sizes = sizes
        self._large: set[EntityT] = set()  # whose value is counted in sizes
        containers = CONTAINER_BYTES * component.contents.containers
        self._bounded = component.bound is not None and component.bound + containers <= sizes.small
        # Values that take no more than this all together are small each: a container takes a byte.
        self._sparing = sizes.small - containers
        if component.nests:
            self._sparing = sizes.small // (1 + CONTAINER_BYTES)
        # The type is known at run time only.
        gate: Gate[list[object]] = Gate(
            list[component.wire_type],  # type: ignore[name-defined]
            1 << 30,
        )
        self._decode = gate.decode_or_raise

    def stale(self, source: Sequence[tuple[int, object]]) -> bool:
        """Return whether the structure may have changed: esper makes a new list when it did."""
        return source is not self._source

    def sync(
        self, source: Sequence[tuple[int, object]], entities: list[EntityT]
    ) -> tuple[list[EntityT], list[EntityT]]:
        """Take over esper's list of this component.

        Args:
            source: The list.
            entities: What stands for its entities here, in the same order.

        Returns:
            The entities on which the component appeared and those from which it went; one that was
            replaced in one tick, where that is another value for ever (``once``), is in both.
        """
        old = self._index
        shadows, olds, ticks = self._shadows, self._components, self._ticks
        self._source = source
        self._entities = entities
        self._components = components = [component for _, component in source]
        self._index = {entity: i for i, entity in enumerate(entities)}
        self._bits = {}
        cls = self.component.cls
        self._strangers = {i for i, value in enumerate(components) if type(value) is not cls}
        kept = [old.get(entity) for entity in entities]
        self._shadows = [None if i is None else shadows[i] for i in kept]
        self._ticks = [None if i is None else ticks[i] for i in kept]
        renewed = self._renewed(olds, kept)
        for i in renewed:
            self._shadows[i] = None
        gone = [e for e, i in old.items() if e not in self._index and shadows[i] is not None]
        gone += [self._entities[i] for i in renewed]
        for entity in self._large.intersection(gone):
            self._uncount(entity)
        self._complained.intersection_update(self._index)
        fresh = [i for i, shadow in enumerate(self._shadows) if shadow is None]
        return self._admit(fresh), gone

    def clear(self) -> list[EntityT]:
        """Forget everything, as after ``esper.clear_database``; returns who had a value."""
        gone = [e for e, i in self._index.items() if self._shadows[i] is not None]
        for entity in list(self._large):
            self._uncount(entity)
        self._source = ()
        self._entities, self._components, self._shadows, self._ticks = [], [], [], []
        self._index, self._bits = {}, {}
        self._strangers = set()
        return gone

    def due(self, tick: int) -> bool:
        """Return whether this type is compared in ``tick``: every ``rate`` ticks at most."""
        if tick < self._due:
            return False
        self._due = tick + self.component.rate
        self.compared_at = tick
        return True

    def changed(self) -> tuple[list[EntityT], list[EntityT]]:
        """Compare and take over what differs. Returns the entities with a new value and those
        whose first good value this is.
        """
        indices = self._differing()
        if self._strangers:
            indices = sorted(self._strangers.union(indices))
        if self._complained:  # of what equals its shadow again, nothing is wrong any more
            self._complained.intersection_update([self._entities[i] for i in indices])
        if not indices:
            return [], []
        first = [i for i in indices if self._shadows[i] is None]
        if first:
            known = set(first)
            indices = [i for i in indices if i not in known]
        return self._take(indices), self._admit(first)

    def wires(self, entities: list[EntityT]) -> list[object]:
        """Return the shadows of entities that have one, as encodable wire values."""
        raise NotImplementedError

    def live(self, entity: EntityT) -> object:
        """Return the component itself, as it was found by the last `sync`."""
        return self._components[self._index[entity]]

    def shadow(self, entity: EntityT) -> ShadowT | None:
        """Return the value that clients were last sent; None when there is none."""
        i = self._index.get(entity)
        return None if i is None else self._shadows[i]

    def note_changed(self, entities: list[EntityT], tick: int) -> None:
        """Note the tick in which entities, each of them once, got new values."""
        if len(entities) == len(self._entities):
            self._ticks = [tick] * len(entities)
        else:
            ticks, index = self._ticks, self._index
            for entity in entities:
                ticks[index[entity]] = tick

    def note_removed(self, entity: EntityT) -> None:
        """Note that an entity has lost its value."""
        i = self._index.get(entity)
        if i is not None:
            self._ticks[i] = None

    def changed_at(self, entity: EntityT) -> int | None:
        """Return the tick of an entity's newest value; None when it has none."""
        i = self._index.get(entity)
        return None if i is None else self._ticks[i]

    def ticks(self) -> dict[EntityT, int]:
        """Return the ticks of all newest values. For tests."""
        pairs = zip(self._entities, self._ticks, strict=True)
        return {entity: tick for entity, tick in pairs if tick is not None}

    def bits_of(self, entities: list[EntityT]) -> dict[EntityT, int]:
        """Return a new dict with this type's bit for entities, each of which has the component."""
        if len(entities) < len(self._entities):
            return dict.fromkeys(entities, self.bit)
        if not self._bits:
            self._bits = dict.fromkeys(entities, self.bit)
        return self._bits.copy()  # in a tenth of the time that making one takes

    @property
    def count(self) -> int:
        """Number of the components, as found by the last `sync`."""
        return len(self._components)

    def told(self) -> Callable[[EntityT], object]:
        """Return what gives the values that clients were told up to now, None for an entity without
        one; it does so whatever changes afterwards.
        """
        # Every `sync` makes a new index.
        return Shadows(self._index, cast("list[object]", self._shadows.copy())).get

    def floats(self, value: object) -> tuple[float, ...]:
        """Return the floats in a value that clients were told."""
        return self.component.floats(value)

    # What the kinds of detector differ in.

    def _differing(self) -> list[int]:
        raise NotImplementedError

    def _take(self, indices: list[int]) -> list[EntityT]:
        """Check values and make them the shadows; returns the entities whose value was good."""
        raise NotImplementedError

    def _renewed(self, components: list[object], kept: list[int | None]) -> list[int]:
        return []

    def _admit(self, indices: list[int]) -> list[EntityT]:
        return self._take(indices) if indices else []

    # Values that cannot be sent.

    def _checked(self, indices: list[int]) -> Checked:
        """Pick the live components that can be sent; log what is wrong with the rest."""
        if self._strangers:
            indices = self._acquainted(indices)
        checked = self._tried(indices)
        if not self._bounded and (checked.size > self._sparing or self._large):
            checked = self._fitting(checked)
        if self._complained:
            self._complained.difference_update(self._entities[i] for i in checked.indices)
        return checked

    def _tried(self, indices: list[int]) -> Checked:
        """Encode and decode them in one go, and one by one where that fails."""
        try:
            return self._try(indices)
        except Exception:  # noqa: BLE001 - what a game puts in a field may raise anything
            pass
        good = Checked([], [], [], 0)
        for i in indices:
            try:
                one = self._try([i])
            except Exception:  # noqa: BLE001 - the same, of this one
                self._complain(i, *self._misfit(i))
                continue
            good.indices.append(i)
            good.wires += one.wires
            good.made += one.made
            good.size += one.size
        return good

    def _try(self, indices: list[int]) -> Checked:
        to_wire, reference, components = self.component.to_wire, self._reference, self._components
        wires: list[object]
        if self.component.direct:
            wires = _pick(components, indices)
        else:
            wires = [to_wire(components[i], reference) for i in indices]
        encoded = encode(wires)
        return Checked(indices, wires, self._decode(encoded), len(encoded))

    def _acquainted(self, indices: list[int]) -> list[int]:
        """Pick those that are of the very type. A subclass may have other fields, or tell equal
        values from others in its own way.
        """
        name = self.component.name
        for i in indices:
            if i in self._strangers:
                other = short_name(type(self._components[i]))
                self._complain(i, name, f"it holds a {other}, stored under the type {name}")
        return [i for i in indices if i not in self._strangers]

    def _fitting(self, checked: Checked) -> Checked:
        """Pick those for which their entities have room, and clients for their references."""
        if self.component.has_refs and checked.size > MENTIONS_OF_ONE:
            checked = self._referring(checked)
        lengths = list(map(len, map(encode, checked.wires)))
        small = self._sizes.small
        if not self._large and max(lengths, default=0) <= self._sparing:
            return checked
        weights = list(map(self._weight, checked.made, lengths))
        fitting = Checked([], [], [], checked.size)
        for at, i in enumerate(checked.indices):
            entity, weight = self._entities[i], weights[at]
            if weight > small or entity in self._large:
                if not self._sizes.set(entity, self.cid, weight):
                    self._complain_of_size(i, lengths[at], weight)
                    continue
                if weight > small:
                    self._large.add(entity)
                else:
                    self._large.discard(entity)
            fitting.add(checked, at)
        return fitting

    def _referring(self, checked: Checked) -> Checked:
        """Pick those with no more references than a client takes."""
        fitting = Checked([], [], [], checked.size)
        for at, i in enumerate(checked.indices):
            count = len(self.component.refs(checked.made[at]))
            if count <= MENTIONS_OF_ONE:
                fitting.add(checked, at)
                continue
            self._complain(
                i,
                f"{self.component.name} with {count:,} references",
                f"a component can hold {MENTIONS_OF_ONE:,}",
            )
        return fitting

    def has_room(self, entity: EntityT, wire: object) -> bool:
        """Return whether a decoded wire value could be sent beside all else of its entity."""
        weight = self._weight(wire, len(encode(wire)))
        if self._sizes.would_be(entity, self.cid, weight) > ENTITY_BYTES:
            return False
        return not self.component.has_refs or len(self.component.refs(wire)) <= MENTIONS_OF_ONE

    def _weight(self, made: object, length: int) -> int:
        """Return the bytes that a value of ``length`` encoded bytes counts."""
        component = self.component
        containers = component.contents.containers
        if component.nests and component.count is not None:
            containers += component.count(made)[0]
        return length + CONTAINER_BYTES * containers

    def _uncount(self, entity: EntityT) -> None:
        self._large.discard(entity)
        self._sizes.drop(entity, self.cid)

    def _misfit(self, i: int) -> tuple[str, str]:
        """Name the part of a component that cannot be sent, and why, if the repr hides it."""
        found = self.component.misfit(self._components[i], self._reference)
        return found or (self.component.name, "it cannot be encoded")

    def _complain_of_size(self, i: int, size: int, weight: int) -> None:
        total = self._sizes.would_be(self._entities[i], self.cid, weight)
        containers = (weight - size) // CONTAINER_BYTES
        what, each = "", ""
        if self.component.nests:
            more = "more than " if containers > TOO_MANY else ""
            what = f" in {more}{min(containers, TOO_MANY):,} containers"
            each = f", with {CONTAINER_BYTES} for each container"
        self._complain(
            i,
            f"{self.component.name} of {size:,} bytes{what}",
            f"with it the entity's components take {total:,} bytes{each}, and {ENTITY_BYTES:,} can"
            " be sent at once",
        )

    def _complain(self, i: int, what: str, why: str) -> None:
        """Name component, field and entity once, until the value is good again."""
        entity = self._entities[i]
        if entity in self._complained:
            return
        self._complained.add(entity)
        number, _ = self._source[i]
        log.error(
            "%s on entity %d%s; clients %s",
            what,
            number,
            f": {why}" if why else "",
            f"get no {self.component.name} until it is valid"
            if self._shadows[i] is None
            else f"keep the last valid {self.component.name}",
        )


class StructScan(ChangeDetector[EntityT, object]):
    """Flat components whose wire form is the struct itself: struct copies as shadows.

    A value that differs from its own decoding, such as a list in the place of a tuple, is not as
    immutable as its type says. It has the decoding for its shadow, which it differs from in every
    tick, and is compared as encoded bytes then.
    """

    def _differing(self) -> list[int]:
        components, shadows = self._components, self._shadows
        try:
            if components == shadows:  # as it is with many types, in half the time
                return []
            return [i for i, component in enumerate(components) if component != shadows[i]]
        except Exception:  # noqa: BLE001 - the __eq__ of what is in a field is not ours
            return [i for i, value in enumerate(components) if not _equal(value, shadows[i])]

    def _take(self, indices: list[int]) -> list[EntityT]:
        checked = self._checked(indices)
        entities, shadows = self._entities, self._shadows
        if not self.component.buffers and _equal(checked.wires, checked.made):
            values = checked.made
            if 2 * len(values) < len(shadows):
                # Copies have the very objects that the components have: the next comparing is
                # faster, as long as that tells that nothing changed.
                clone, components = self.component.clone, self._components
                values = [clone(components[i]) for i in checked.indices]
            if len(values) == len(shadows):
                shadows[:] = values
            else:
                for i, value in zip(checked.indices, values, strict=True):
                    shadows[i] = value
            return _pick(entities, checked.indices)
        taken = []
        for i, wire, made in zip(checked.indices, checked.wires, checked.made, strict=True):
            shadow = shadows[i]
            if shadow is None or _equal(wire, made) or encode(made) != encode(shadow):
                shadows[i] = made
                taken.append(entities[i])
        return taken

    def wires(self, entities: list[EntityT]) -> list[object]:
        shadows, index = self._shadows, self._index
        return [shadows[index[entity]] for entity in entities]


class LossyScan(StructScan[EntityT]):
    """Flat components that lose something on the way (quantised fields): also compared by what
    would be sent, so that a change too small to be seen is not sent.
    """

    def __init__(
        self, component: ComponentType, cid: int, reference: Reference, sizes: Sizes[EntityT]
    ) -> None:
        super().__init__(component, cid, reference, sizes)
        self._wires: dict[EntityT, object] = {}

    def sync(
        self, source: Sequence[tuple[int, object]], entities: list[EntityT]
    ) -> tuple[list[EntityT], list[EntityT]]:
        appeared, gone = super().sync(source, entities)
        for entity in gone:
            self._wires.pop(entity, None)
        return appeared, gone

    def clear(self) -> list[EntityT]:
        self._wires.clear()
        return super().clear()

    def _take(self, indices: list[int]) -> list[EntityT]:
        checked = self._checked(indices)
        clone, components, taken = self.component.clone, self._components, []
        values = [components[i] for i in checked.indices]
        lasting = _SCALARS.issuperset(map(type, chain.from_iterable(map(_astuple, values))))
        for i, wire in zip(checked.indices, checked.made, strict=True):
            entity, value = self._entities[i], components[i]
            sure = lasting or all(map(lasts, _astuple(value)))
            self._shadows[i] = clone(value) if sure else _UNLIKE
            old = self._wires.get(entity)
            if old is None or (old != wire and (sure or encode(old) != encode(wire))):
                self._wires[entity] = wire
                taken.append(entity)
        return taken

    def wires(self, entities: list[EntityT]) -> list[object]:
        return [self._wires[entity] for entity in entities]

    def told(self) -> Callable[[EntityT], object]:
        return self._wires.copy().get


class BytesScan(ChangeDetector[EntityT, bytes]):
    """Components that hold something mutable or a reference: encoded bytes as shadows."""

    def _differing(self) -> list[int]:
        to_wire, reference, shadows = self.component.to_wire, self._reference, self._shadows
        try:
            if self.component.direct:
                new = list(map(encode, self._components))
            else:
                new = [encode(to_wire(value, reference)) for value in self._components]
        except Exception:  # noqa: BLE001 - of one of them
            new = list(map(self._encoded, self._components))
        return [i for i, value in enumerate(new) if value != shadows[i]]

    def _encoded(self, value: object) -> bytes:
        """Return the bytes of one component; none where encoding fails: no shadow is empty."""
        try:
            return encode(self.component.to_wire(value, self._reference))
        except Exception:  # noqa: BLE001 - what a game puts in a field may raise anything
            return b""

    def _take(self, indices: list[int]) -> list[EntityT]:
        checked = self._checked(indices)
        taken = []
        for i, wire in zip(checked.indices, checked.wires, strict=True):
            new = encode(wire)
            if new != self._shadows[i]:
                self._shadows[i] = new
                taken.append(self._entities[i])
        return taken

    def wires(self, entities: list[EntityT]) -> list[object]:
        wires: list[object] = []
        for entity in entities:
            shadow = self._shadows[self._index[entity]]
            assert shadow is not None
            wires.append(msgspec.Raw(shadow))
        return wires

    def floats(self, value: object) -> tuple[float, ...]:
        assert isinstance(value, bytes)
        return self.component.floats(self._decode(_ONE + value)[0])


class OnceScan(BytesScan[EntityT]):
    """``once=True``: the bytes of the insert are kept for every later client."""

    def _differing(self) -> list[int]:
        return [i for i, shadow in enumerate(self._shadows) if shadow is None]

    def _renewed(self, components: list[object], kept: list[int | None]) -> list[int]:
        # Another instance under the same entity is another insert, with another value.
        olds = [None if i is None else components[i] for i in kept]
        replaced = map(is_not, self._components, olds)
        changed = compress(range(len(kept)), replaced)
        return [i for i in changed if self._shadows[i] is not None]


def detector_for(
    component: ComponentType,
    cid: int,
    reference: Reference,
    sizes: Sizes[EntityT] | None = None,
) -> ChangeDetector[EntityT, object]:
    """Return the detector that fits a component's annotations.

    Args:
        component: The component type.
        cid: Its number.
        reference: Maps an esper entity to its network id.
        sizes: What entities say, shared by the detectors of one world.
    """
    kind: type[ChangeDetector[EntityT, Any]]  # what its shadows are is its own business
    if component.once:
        kind = OnceScan
    elif not component.flat or component.has_refs:
        kind = BytesScan
    elif component.direct:
        kind = StructScan
    else:
        kind = LossyScan
    shared: Sizes[EntityT] = Sizes() if sizes is None else sizes
    return cast("ChangeDetector[EntityT, object]", kind(component, cid, reference, shared))


def _pick(values: list[T], indices: list[int]) -> list[T]:
    """Return the values at ascending indices."""
    return values.copy() if len(indices) == len(values) else [values[i] for i in indices]


_SCALARS: Final = frozenset((int, float, bool, str, bytes, type(None)))


def _equal(one: object, other: object) -> bool:
    """Return whether two values are equal; False where comparing them raises."""
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - the __eq__ of what is in a field is not ours
        return False
