"""The comparison of a client's world with what the server says that it may see.

Equal means: the server's live value, sent through encode and decode. A quantised field compares as
quantised, an int in a float field as a float, -0.0 is 0.0. What is sent once compares with the
value at its insert, what has a rate after that many quiet ticks. A value that cannot be sent, or
for which its entity has no room, is not sent, and clients keep the last valid one.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from ecsnet.client.world import ClientWorld
from ecsnet.replication.server.client_state import ClientState
from ecsnet.replication.server.replicator import Replicator
from ecsnet.schema import ComponentType, Gate, Schema, encode
from ecsnet.world import World

__all__ = ["Comparison", "Inserts", "Truth"]

_brief = reprlib.Repr()
_brief.maxother = _brief.maxstring = 80

_VALUE_BYTES = 1 << 30


@dataclass(slots=True)
class Comparison:
    """The result of `Harness.compare`. It is true when nothing differs.

    Attributes:
        compared: Values looked at, each in the store and in the view.
        kept: Of these, values for which the server's live one cannot be sent.
        differences: One line for each thing that differs.
    """

    compared: int = 0
    kept: int = 0
    differences: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.differences

    def __iadd__(self, other: Comparison) -> Comparison:
        self.compared += other.compared
        self.kept += other.kept
        self.differences += other.differences
        return self

    def __str__(self) -> str:
        if not self.differences:
            return f"{self.compared} values compared, all equal"
        shown = self.differences[:20]
        more = len(self.differences) - len(shown)
        head = f"{self.compared} values compared, {len(self.differences)} differences:"
        return "\n  ".join([head, *shown, *([f"... and {more} more"] if more else [])])


class Inserts:
    """The values of ``once`` components when they are inserted, noted without asking replication.

    Args:
        schema: The game's types.
        world: The server's world.
        replicator: Names the network ids behind references.
    """

    def __init__(self, schema: Schema, world: World, replicator: Replicator) -> None:
        self._world = world
        self._replicator = replicator
        self._kinds = [kind for kind in schema.components if kind.once]
        self._codecs = {kind.cls: _Codec(kind, schema.cid_of[kind.cls]) for kind in self._kinds}
        self._sources: dict[type, object] = {}
        self._known: dict[type, dict[int, tuple[object, object]]] = {
            kind.cls: {} for kind in self._kinds
        }

    def note(self) -> None:
        """Look for new ones; to be called after each update that the server sends."""
        for kind in self._kinds:
            source: list[tuple[int, object]] = self._world.structure(kind.cls)
            before = self._known[kind.cls]
            if source is self._sources.get(kind.cls) and len(before) == len(source):
                continue
            self._sources[kind.cls] = source
            now: dict[int, tuple[object, object]] = {}
            for entity, component in source:
                old = before.get(entity)
                if old is not None and old[0] is component:
                    now[entity] = old
                    continue
                sent = self._codecs[kind.cls].sent(component, entity, self._replicator)
                if sent is not None:
                    now[entity] = component, sent
            self._known[kind.cls] = now

    def value(self, entity: int, cls: type) -> object | None:
        """Return the decoded wire value at the insert; None when it was never valid."""
        known = self._known[cls].get(entity)
        return None if known is None else known[1]


class Truth:
    """The comparison of clients with one simulation.

    Args:
        schema: The game's types.
        world: The server's world.
        replicator: Says who may see what.
        inserts: Remembers what is sent once.
    """

    def __init__(
        self, schema: Schema, world: World, replicator: Replicator, inserts: Inserts
    ) -> None:
        self._schema = schema
        self._world = world
        self._replicator = replicator
        self._inserts = inserts
        self._codecs = [_Codec(kind, cid) for cid, kind in enumerate(schema.components)]
        self._types = {kind.cls for kind in schema.components}

    def compare(
        self,
        client: ClientWorld,
        client_state: ClientState,
        name: str,
        good: Mapping[tuple[int, type], bytes],
    ) -> Comparison:
        """Compare a client's store and view with what it may see."""
        result = Comparison()
        expected = self._compare_store(client, client_state, name, good, result)
        if client._protocol.store is not None:
            self._compare_view(client, name, expected, result)
        return result

    def told(
        self,
        client: ClientWorld,
        client_state: ClientState,
        name: str,
        good: Mapping[tuple[int, type], bytes],
    ) -> Comparison:
        """Compare what a client was told with what it may see, whatever it draws."""
        result = Comparison()
        self._compare_store(client, client_state, name, good, result)
        return result

    def _compare_store(
        self,
        client: ClientWorld,
        client_state: ClientState,
        name: str,
        good: Mapping[tuple[int, type], bytes],
        result: Comparison,
    ) -> dict[int, dict[int, object]]:
        """Compare the store; returns the wire values that the client should have."""
        expected: dict[int, dict[int, object]] = {}
        store = client._protocol.store
        if store is None:
            result.differences.append(f"{name}: was never welcomed")
            return expected
        replicator = self._replicator
        visible = replicator.visible(client_state)
        for net in sorted(visible.keys() - store.entities.keys()):
            result.differences.append(f"{name}: entity {net} is missing")
        for net in sorted(store.entities.keys() - visible.keys()):
            result.differences.append(f"{name}: entity {net} should not be there")
        for net, bits in visible.items():
            record = store.entities.get(net)
            entity = replicator.entity(net)
            if record is None or entity is None:
                continue
            cids = set(replicator.entities.cids(bits))
            if record.values.keys() != cids:
                have, want = self._names(record.values.keys()), self._names(cids)
                result.differences.append(f"{name}: entity {net} has {have}, should have {want}")
            live = self._world.components(entity)
            values = expected[net] = {}
            for cid in record.values.keys() & cids:
                kind = self._schema.components[cid]
                result.compared += 1
                want_value = self._expected(cid, entity, live.get(kind.cls), good)
                if want_value is None:
                    result.kept += 1
                    want_value = record.values[cid]
                elif (entity, kind.cls) in good:
                    result.kept += 1
                values[cid] = want_value
                if not _same(record.values[cid], want_value):
                    result.differences.append(
                        f"{name}: entity {net} {kind.name}: store has"
                        f" {_brief.repr(record.values[cid])} of tick {record.ticks[cid]},"
                        f" server {_brief.repr(want_value)}"
                    )
        return expected

    def _expected(
        self, cid: int, entity: int, live: object | None, good: Mapping[tuple[int, type], bytes]
    ) -> object | None:
        """Return the decoded wire value that the client should hold; None when it is not known."""
        kind = self._schema.components[cid]
        if kind.once:
            return self._inserts.value(entity, kind.cls)
        kept = good.get((entity, kind.cls))
        if kept is not None:
            return self._codecs[cid].decode(kept)
        return None if live is None else self._codecs[cid].sent(live, entity, self._replicator)

    def _compare_view(
        self,
        client: ClientWorld,
        name: str,
        expected: dict[int, dict[int, object]],
        result: Comparison,
    ) -> None:
        view, world = client._view, client.view
        store = client._protocol.store
        assert store is not None
        if view.local.keys() != store.entities.keys():
            differing = sorted(view.local.keys() ^ store.entities.keys())
            result.differences.append(f"{name}: view and store differ in entities {differing}")
        for cls in sorted(self._types, key=lambda cls: cls.__qualname__):
            strays = [e for e, _ in world.structure(cls) if e not in view.remote]
            if strays:
                result.differences.append(f"{name}: the view has stray {cls.__name__}: {strays}")
        for net, values in expected.items():
            entity = view.local.get(net)
            if entity is None:
                continue
            components = world.components(entity)
            shown = {cls for cls in components if cls in self._types}
            wanted = {self._schema.components[cid].cls for cid in store.entities[net].values}
            if shown != wanted:
                result.differences.append(f"{name}: the view's entity {net} has wrong components")
            for cid, wire in values.items():
                kind = self._schema.components[cid]
                found = components.get(kind.cls)
                want = kind.from_wire(wire, view.reference)
                if found is not None and kind.differing(found, want) is not None:
                    result.differences.append(
                        f"{name}: entity {net} {kind.name}: view has {_brief.repr(found)},"
                        f" server {_brief.repr(want)}"
                    )

    def _names(self, cids: object) -> list[str]:
        components = self._schema.components
        return [kind.name for cid, kind in enumerate(components) if cid in cids]  # type: ignore[operator]


class _Codec:
    """The conversion of a component on its way to a client."""

    def __init__(self, kind: ComponentType, cid: int) -> None:
        self._kind = kind
        self._cid = cid
        self._gate: Gate[object] = Gate(kind.wire_type, _VALUE_BYTES)

    def sent(self, component: object, entity: int, replicator: Replicator) -> object | None:
        """Return the wire value after encode and decode; None when it cannot be sent."""
        entities = replicator.entities
        try:
            encoded = encode(self._kind.to_wire(component, entities.network_id))
        except Exception:  # noqa: BLE001 - what a game puts in a field may raise anything
            return None
        made = self.decode(encoded)
        known = entities.by_esper.get(entity)
        if made is None or known is None or entities.has_room(known, self._cid, made):
            return made
        return None

    def decode(self, encoded: bytes) -> object | None:
        return self._gate.decode(encoded)


def _same(one: object, other: object) -> bool:
    """Equal, or both not a number in the same places."""
    return one == other or repr(one) == repr(other)
