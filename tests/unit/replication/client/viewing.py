"""A view, and a store that hears what a server would say, for the tests of the client's half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

import msgspec

from ecsnet.notifications import Notification
from ecsnet.replication.client.comparison import comparable
from ecsnet.replication.client.event_queue import ReceivedEvent
from ecsnet.replication.client.store import Store
from ecsnet.replication.client.view import ViewWorld
from ecsnet.replication.encoding import encode_run, encode_structure
from ecsnet.replication.wire import Structure, WireFormat
from ecsnet.schema import (
    EntityRef,
    Gate,
    Registry,
    encode,
    event,
    event_type,
    register_type,
    replicated,
    use_registry,
)
from ecsnet.world import World


class Angle:
    """Somebody else's type; its converter refuses what is out of range."""

    def __init__(self, degrees: int) -> None:
        if not 0 <= degrees < 360:
            raise ValueError(degrees)
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Angle) and other.degrees == self.degrees

    __hash__ = None  # type: ignore[assignment]


with use_registry(Registry()) as registry:
    register_type(Angle, int, lambda angle: angle.degrees, Angle)

    @replicated
    class Place:
        x: float = 0.0
        y: float = 0.0

    @replicated
    class Tank:
        hp: int = 10

    @replicated
    class Bag:
        items: list[int] = []

    @replicated
    class Likes:
        whom: EntityRef = None
        others: list[EntityRef] = []

    @replicated
    class Turret:
        angle: Angle = field(default_factory=lambda: Angle(0))

    @event
    class Turned:
        angle: Angle = field(default_factory=lambda: Angle(0))


SCHEMA = registry.schema()
CID = SCHEMA.cid_of


class Sprite:
    def __init__(self, entity: int, value: object) -> None:
        self.entity, self.value = entity, value
        self.killed = 0

    def kill(self) -> None:
        self.killed += 1


class Subject:
    """A view, and a store that hears what a server would say."""

    def __init__(self) -> None:
        wire = WireFormat(SCHEMA)
        self.gate: Gate[Structure[object]] = Gate(wire.structure, 1 << 20)
        self.store = Store(wire, 1)
        self.world = World()
        self.view = ViewWorld(SCHEMA, self.world)
        self.tick = 0

    def say(
        self,
        sets: dict[int, Sequence[object]] | None = None,
        *,
        gone: Sequence[int] = (),
        hidden: Sequence[int] = (),
        removed: Sequence[tuple[type, int]] = (),
    ) -> None:
        """Structure; components are given with network ids for references."""
        self.tick += 1
        runs = []
        for net, components in (sets or {}).items():
            columns = []
            for component in components:
                cid = CID[type(component)]
                columns.append((cid, [SCHEMA.components[cid].to_wire(component, lambda e: e)]))
            runs.append(msgspec.Raw(encode_run([net], columns)))
        taken = [(CID[cls], [net]) for cls, net in removed]
        raw = encode_structure(1, self.tick, list(gone), list(hidden), taken, runs)
        message = self.gate.decode(raw)
        assert message is not None
        assert self.store.structure(self.tick, message)

    def happen(self, wire: int, *, reliable: bool = True) -> None:
        """A `Turned`, by this angle; it waits for nothing."""
        kind = event_type(Turned, "this")
        assert kind.wire_type is not None
        value = Gate(kind.wire_type, 100).decode(encode([wire]))
        self.store.events.add(ReceivedEvent(kind, value, 10, reliable))
        self.store.events.shown((), (), ())

    def poll(self) -> list[Notification]:
        events = self.view.reconcile(self.store)
        self.view.attachments.call_back()
        return events

    def show(self, sets: dict[int, Sequence[object]]) -> list[Notification]:
        self.say(sets)
        return self.poll()

    def of(self, net: int) -> dict[type, object]:
        return dict(self.world.components(self.view.local[net]))

    def true(self) -> bool:
        """Return whether the view holds what the store does, something at least."""
        compared = list(comparable(self.view, self.store))
        return bool(compared) and all(shown == said for _, _, shown, said in compared)

    def close(self) -> None:
        self.world.close()
