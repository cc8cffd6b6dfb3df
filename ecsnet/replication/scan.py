"""Change detection: each replicated component against its shadow, once a tick for all clients.

The shadow is what clients were last told. Flat components are compared as structs, everything
that can change inside is compared as encoded bytes, so a change made in place is never missed.
The comparing is msgspec's and in C; systems keep writing plain attributes.

A value reaches its shadow only after a decode of its own encoding: constructors and attribute
writes do not validate, and one bad value must not make every client refuse a datagram.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from itertools import compress
from operator import is_not
from typing import Any, Generic, TypeVar, cast

import msgspec

from ecsnet.schema import ENCODE_ERRORS, ComponentType, Gate, encode

log = logging.getLogger("ecsnet.server")

_VALUE_BYTES = 1 << 20

EntityT = TypeVar("EntityT", bound=Hashable)
ShadowT = TypeVar("ShadowT")
Reference = Callable[[int | None], int | None]
"""Maps an esper entity to its network id."""


class Scan(Generic[EntityT, ShadowT]):
    """One component type's values, shadows and structure. What stands for an entity, ``sync`` is
    told; here it is only a key.
    """

    def __init__(self, component: ComponentType, cid: int, reference: Reference) -> None:
        self.component = component
        self.cid = cid
        self.bit = 1 << cid
        self.private = component.visible_to == "owner"
        self.changed_at: dict[int, int] = {}
        """Network id to the tick of the newest value. Kept by the replicator."""

        self._reference = reference
        self._source: Sequence[tuple[int, object]] = ()
        self._entities: list[EntityT] = []
        self._components: list[object] = []
        self._shadows: list[ShadowT | None] = []  # None: no good value yet
        self._index: dict[EntityT, int] = {}
        self._due = cid % component.rate  # types of one rate take turns
        self._complained: set[EntityT] = set()
        # The type is known at run time only.
        self._gate: Gate[list[object]] = Gate(
            list[component.wire_type],  # type: ignore[name-defined]
            1 << 30,
        )

    def stale(self, source: Sequence[tuple[int, object]]) -> bool:
        """Whether the structure may have changed: esper makes a new list when anything did."""
        return source is not self._source

    def sync(
        self, source: Sequence[tuple[int, object]], entities: list[EntityT]
    ) -> tuple[list[EntityT], list[EntityT]]:
        """Take over esper's list of this component.

        Args:
            source: the list.
            entities: what stands for its entities here, in the same order.

        Returns:
            The entities on which the component appeared and those from which it went; one that was
            replaced in one tick, where that is another value for ever (``once``), is in both.
        """
        old = self._index
        shadows, components = self._shadows, self._components
        self._source = source
        self._entities = entities
        self._components = [component for _, component in source]
        self._index = {entity: i for i, entity in enumerate(entities)}
        kept = [old.get(entity) for entity in entities]
        self._shadows = [None if i is None else shadows[i] for i in kept]
        renewed = self._renewed(components, kept)
        for i in renewed:
            self._shadows[i] = None
        gone = [e for e, i in old.items() if e not in self._index and shadows[i] is not None]
        gone += [self._entities[i] for i in renewed]
        self._complained.intersection_update(self._index)
        fresh = [i for i, shadow in enumerate(self._shadows) if shadow is None]
        return self._admit(fresh), gone

    def clear(self) -> list[EntityT]:
        """Forget everything, as after ``esper.clear_database``; returns who had a value."""
        gone = [e for e, i in self._index.items() if self._shadows[i] is not None]
        self._source = ()
        self._entities, self._components, self._shadows, self._index = [], [], [], {}
        return gone

    def due(self, tick: int) -> bool:
        """Whether this type is compared in ``tick``; with ``rate=k`` at most every k ticks."""
        if tick < self._due:
            return False
        self._due = tick + self.component.rate
        return True

    def changed(self) -> tuple[list[EntityT], list[EntityT]]:
        """Compare and take over what differs. Returns the entities with a new value and those
        whose first good value this is.
        """
        indices = self._differing()
        if not indices:
            return [], []
        first = [i for i in indices if self._shadows[i] is None]
        if first:
            known = set(first)
            indices = [i for i in indices if i not in known]
        return self._take(indices), self._admit(first)

    def wire(self, entity: EntityT) -> object:
        """The shadow as an encodable wire value."""
        raise NotImplementedError

    def wires(self, entities: list[EntityT]) -> list[object]:
        """The same for many."""
        return [self.wire(entity) for entity in entities]

    def live(self, entity: EntityT) -> object:
        """The component itself, as it was found by the last `sync`."""
        return self._components[self._index[entity]]

    def shadow(self, entity: EntityT) -> ShadowT | None:
        """What clients were last told; None when that is nothing."""
        i = self._index.get(entity)
        return None if i is None else self._shadows[i]

    # What the kinds of scan differ in.

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

    def _good(self, wires: list[object]) -> bool:
        """Whether all these wire values survive their own encoding, checked in one go."""
        try:
            encoded = encode(wires)
        except ENCODE_ERRORS:
            return False
        return self._gate.decode(encoded) is not None

    def _to_wires(self, indices: list[int]) -> tuple[list[int], list[object]]:
        """Wire values of live components, without those that cannot be sent."""
        to_wire, reference, components = self.component.to_wire, self._reference, self._components
        wires: list[object]
        try:
            if self.component.direct:
                wires = [components[i] for i in indices]
            else:
                wires = [to_wire(components[i], reference) for i in indices]
        except ENCODE_ERRORS:
            pass
        else:
            if self._good(wires):
                if self._complained:
                    self._complained.difference_update(self._entities[i] for i in indices)
                return indices, wires
        good: list[int] = []
        kept: list[object] = []
        for i in indices:
            try:
                wire = to_wire(components[i], reference)
            except ENCODE_ERRORS:
                self._complain(i)
                continue
            if self._good([wire]):
                self._complained.discard(self._entities[i])
                good.append(i)
                kept.append(wire)
            else:
                self._complain(i)
        return good, kept

    def _complain(self, i: int) -> None:
        """Name component, field and entity once, until the value is good again."""
        entity = self._entities[i]
        if entity in self._complained:
            return
        self._complained.add(entity)
        number, _ = self._source[i]
        never = self._shadows[i] is None
        log.error(
            "%s on entity %d: the whole %s stays at home, clients %s",
            self.component.fault(self._components[i], self._reference) or self.component.name,
            number,
            self.component.name,
            "do not get it until it is good" if never else "keep the last good one",
        )


class StructScan(Scan[EntityT, object]):
    """Flat components whose wire form is the struct itself: struct copies as shadows."""

    def _differing(self) -> list[int]:
        components, shadows = self._components, self._shadows
        if components == shadows:  # as it is with many types, in half the time
            return []
        return [i for i, component in enumerate(components) if component != shadows[i]]

    def _take(self, indices: list[int]) -> list[EntityT]:
        indices, _ = self._to_wires(indices)
        clone = self.component.clone
        for i in indices:
            self._shadows[i] = clone(self._components[i])
        return [self._entities[i] for i in indices]

    def wire(self, entity: EntityT) -> object:
        return self._shadows[self._index[entity]]


class LossyScan(StructScan[EntityT]):
    """Flat components that lose something on the way (quantised fields): also compared by what
    would be sent, so that a change too small to be seen is not sent.
    """

    def __init__(self, component: ComponentType, cid: int, reference: Reference) -> None:
        super().__init__(component, cid, reference)
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
        clone, taken = self.component.clone, []
        for i, wire in zip(*self._to_wires(indices), strict=True):
            entity = self._entities[i]
            first = self._shadows[i] is None
            self._shadows[i] = clone(self._components[i])
            if first or self._wires.get(entity) != wire:
                self._wires[entity] = wire
                taken.append(entity)
        return taken

    def wire(self, entity: EntityT) -> object:
        return self._wires[entity]


class BytesScan(Scan[EntityT, bytes]):
    """Components that hold something mutable or a reference: encoded bytes as shadows."""

    def _differing(self) -> list[int]:
        to_wire, reference = self.component.to_wire, self._reference
        try:
            if self.component.direct:
                new = list(map(encode, self._components))
            else:
                new = [encode(to_wire(value, reference)) for value in self._components]
        except ENCODE_ERRORS:  # of one of them: _take finds out which
            return list(range(len(self._components)))
        shadows = self._shadows
        return [i for i, value in enumerate(new) if value != shadows[i]]

    def _take(self, indices: list[int]) -> list[EntityT]:
        taken = []
        for i, wire in zip(*self._to_wires(indices), strict=True):
            new = encode(wire)
            if new != self._shadows[i]:
                self._shadows[i] = new
                taken.append(self._entities[i])
        return taken

    def wire(self, entity: EntityT) -> object:
        shadow = self._shadows[self._index[entity]]
        assert shadow is not None  # only entities that have a value are asked for
        return msgspec.Raw(shadow)


class OnceScan(BytesScan[EntityT]):
    """``once=True``: the bytes of the insert are kept for every later client."""

    def _differing(self) -> list[int]:
        return [i for i, shadow in enumerate(self._shadows) if shadow is None]

    def _renewed(self, components: list[object], kept: list[int | None]) -> list[int]:
        # Another instance under the same entity is another insert, with another value.
        olds = [None if i is None else components[i] for i in kept]
        replaced = map(is_not, self._components, olds)
        return [
            i
            for i in compress(range(len(kept)), replaced)
            if kept[i] is not None and self._shadows[i] is not None
        ]


def scan_for(component: ComponentType, cid: int, reference: Reference) -> Scan[EntityT, object]:
    """The scan that fits a component's annotations."""
    kind: type[Scan[EntityT, Any]]  # what its shadows are is its own business
    if component.once:
        kind = OnceScan
    elif not component.flat or component.has_refs:
        kind = BytesScan
    elif component.direct:
        kind = StructScan
    else:
        kind = LossyScan
    return cast("Scan[EntityT, object]", kind(component, cid, reference))
