"""The messages of replication on the wire: runs, updates, structural messages and events.

A *run* is some entities and, for each component type that it carries, one value per entity.
An *update* travels unreliably and holds runs of values; a *structural message* travels in the
reliable-ordered channel and holds what came, what went, and the values it came with. Events travel
in that channel, too, in messages of their own; those that may get lost travel in updates.
Byte by byte this is described in ``docs/protocol.md``.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Annotated, Any, Final, Generic, NamedTuple, TypeVar, Union

import msgspec

from ecsnet.schema import TOO_MANY, Contents, EventType, Gate, Schema

BODY_BYTES: Final = 1080
"""The most that the runs of one datagram may take. With the update's and the packet's headers,
the envelope, and room for netcode's, a datagram stays below 1,200 bytes."""

STRUCTURE_BYTES: Final = 16 * 1024
"""The most that one structural message of entering entities holds, split at entity boundaries."""

MESSAGE_BYTES: Final = 1 << 20
"""The longest message that a server sends and a client takes."""

STRUCTURE_TAG: Final = 16
"""The tag of structural messages in the reliable channel; smaller ones are control messages."""

EVENTS_TAG: Final = 18
"""The tag of messages with events."""

EVENT_BYTES: Final = 16 * 1024
"""The most that one event takes, and that the events of one message take unless it holds one."""

EVENTS_MESSAGE_BYTES: Final = EVENT_BYTES + 16
"""The longest message with events: the rest is around them."""

U32: Final = 0xFFFF_FFFF

PARTS: Final = 1024
"""The most datagrams of one tick to one client."""

LEFT_OUT: Final = 1
"""Set in `Update.part`: see `Update.left_out`."""

HELD: Final = 2
"""Set in `Update.part`: see `Update.held`."""

_U32 = Annotated[int, msgspec.Meta(ge=0, le=U32)]
_I53 = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
_Part = Annotated[int, msgspec.Meta(ge=0, lt=4 * PARTS * PARTS)]

ColumnT = TypeVar("ColumnT")
EventT = TypeVar("EventT")

_Nothing = Annotated[int, msgspec.Meta(ge=1, le=0)]
"""The type of no value: that of the events in a game that declares none."""


class Report(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The server's report to a client on its commands; all counts are since it joined."""

    slack: _I53
    """Sixteenths of a tick by which the newest commands arrived early (negative: late)."""
    applied: _I53 = 0
    expired: _I53 = 0
    superseded: _I53 = 0
    rejected: _I53 = 0


class Run(msgspec.Struct, Generic[ColumnT], array_like=True, forbid_unknown_fields=True):
    """Whole entities that carry the same component types: network ids as differences
    (the first one from 0), and a column of values for each type.
    """

    ids: list[_I53]
    columns: list[ColumnT]

    def entities(self) -> list[int]:
        """Return the network ids, in the order of the values."""
        return list(accumulate(self.ids))


def encode_part(index: int, count: int, flags: int) -> int:
    """Encode `Update.part`.

    Args:
        index: Which datagram of its tick it is, from 0.
        count: How many there are, 1 to `PARTS`.
        flags: `LEFT_OUT` and `HELD`, or none.
    """
    return ((count - 1) * PARTS + index) << 2 | flags


class Update(msgspec.Struct, Generic[ColumnT, EventT], array_like=True, forbid_unknown_fields=True):
    """The payload of a datagram from the server.

    A tick has come *whole* when all its datagrams have come, from 0 to ``count - 1``, and nothing
    was ``left_out``: then what is not in them has not changed since the update before. Where
    ``unconfirmed_ticks`` is 0 or 1, the update before counts as whole, too, even if nothing was
    sent in it. All of that holds once ``depends`` is applied.
    """

    epoch: _U32
    """Number of the simulation and of the server's boot that it runs in."""
    tick: _U32
    unconfirmed_ticks: _I53
    """Number of ticks before ``tick`` at which the client was last owed nothing."""
    depends: _U32
    """The structural message after which these values make sense."""
    part: _Part
    """The place of this datagram among those of its tick, and two flags; see `index`, `count`,
    `left_out` and `held`."""
    report: Report | None
    runs: list[Run[ColumnT]]
    events: list[EventT] = []
    """Events of ``tick`` that nobody sends again; left out where there are none."""

    @property
    def index(self) -> int:
        """The place of this datagram among those of its tick, from 0."""
        return (self.part >> 2) % PARTS

    @property
    def count(self) -> int:
        """Number of datagrams that the client is sent in this tick."""
        return (self.part >> 2) // PARTS + 1

    @property
    def left_out(self) -> bool:
        """True if the client lacks values, of this tick or an earlier one, that are not in the
        datagrams of this tick, and that the server knows it to lack.
        """
        return bool(self.part & LEFT_OUT)

    @property
    def held(self) -> bool:
        """True if the game's systems were held back in this tick, but those that always run."""
        return bool(self.part & HELD)


class Structure(
    msgspec.Struct,
    Generic[ColumnT],
    array_like=True,
    forbid_unknown_fields=True,
    tag=STRUCTURE_TAG,
):
    """A structural message; applied as a whole, in the order of its fields."""

    epoch: _U32
    tick: _U32
    despawned: list[_I53]
    """Differences of network ids, like a run's."""
    hidden: list[_I53]
    """Entities that went out of this client's sight."""
    removed: list[tuple[_I53, list[_I53]]]
    """Component id, and differences of network ids."""
    sets: Annotated[list[Run[ColumnT]], msgspec.Meta(max_length=STRUCTURE_BYTES)]
    """Entities and components that came, with their values of ``tick``."""


class Events(
    msgspec.Struct,
    Generic[EventT],
    array_like=True,
    forbid_unknown_fields=True,
    tag=EVENTS_TAG,
):
    """Events, in the order in which they were emitted."""

    epoch: _U32
    tick: _U32
    """Of the update that they go with."""
    events: list[EventT]


class Resync(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=17):
    """Client to server: values were lost on my side, owe me everything again."""


class Column(NamedTuple):
    """A decoded column: which component type, and a wire value per entity."""

    cid: int
    values: list[object]


class WireFormat:
    """The gates and types of one schema.

    The type of a column differs with its component, and that of an event with its kind, so the
    types are made here from the schema: one typed decode of a datagram then checks and builds
    every value in it.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        columns = tuple(
            _tagged(f"Column{cid}", "values", list[component.wire_type], cid)  # type: ignore[name-defined]
            for cid, component in enumerate(schema.components)
        )
        events = tuple(
            _tagged(f"Event{number}", "value", kind.wire_type, number)
            for number, kind in enumerate(schema.events)
        )
        self._cid_of_column: dict[type, int] = {column: cid for cid, column in enumerate(columns)}
        self._type_of_event: dict[type, EventType] = dict(zip(events, schema.events, strict=True))
        column: Any = Union[columns]  # noqa: UP007 - made at run time
        event: Any = Union[events] if events else _Nothing  # noqa: UP007
        self.update: Gate[Update[object, object]] = Gate(Update[column, event], 1_300)
        self.structure: type[Structure[object]] = Structure[column]
        self.events: type[Events[object]] = Events[event]

    def event(self, decoded: object) -> tuple[EventType, object]:
        """Return the type and the wire value of a decoded event."""
        return self._type_of_event[type(decoded)], decoded.value  # type: ignore[attr-defined]

    def contents(self, run: Run[object]) -> Contents:
        """Count what the values of a decoded run hold; not all of it, where that is more containers
        than `TOO_MANY`.
        """
        containers = items = 0
        for column in run.columns:
            values: list[object] = column.values  # type: ignore[attr-defined]
            component = self.schema.components[self._cid_of_column[type(column)]]
            containers += len(values) * component.contents.containers
            items += len(values) * component.contents.items
            if component.count is None:
                continue
            for value in values:
                if containers > TOO_MANY:
                    break
                more_containers, more_items = component.count(value)
                containers += more_containers
                items += more_items
        return Contents(containers, items)

    def columns(self, run: Run[object]) -> list[Column] | None:
        """Return the columns of a decoded run; None when one does not fit its entities."""
        count = len(run.ids)
        result = []
        for column in run.columns:
            values: list[object] = column.values  # type: ignore[attr-defined]
            if len(values) != count:
                return None
            result.append(Column(self._cid_of_column[type(column)], values))
        return result


def _tagged(name: str, field: str, of: object, number: int) -> type[msgspec.Struct]:
    """Make a Struct of one field, which a number tells from others on the wire."""
    return msgspec.defstruct(
        name, [(field, of)], tag=number, array_like=True, forbid_unknown_fields=True
    )
