"""The records in the frames of a journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from ecsnet.schema import DECODE_ERRORS, Kind

__all__ = [
    "EVENT",
    "FORMAT",
    "SLICE",
    "Declared",
    "Event",
    "Head",
    "Mark",
    "Match",
    "Record",
    "Slice",
    "decode",
    "encode",
    "makes_documents",
]

EVENT, SLICE = 2, 3
"""The first elements of these records, for who makes them as arrays."""

FORMAT = 1
"""Version of the records; a reader refuses another one."""


class Declared(msgspec.Struct, array_like=True, frozen=True):
    """One component type of the game.

    Attributes:
        key: What it is called in documents.
        name: Its wire name.
        fields: Their names.
        kinds: What each of them holds.
    """

    key: str
    name: str
    fields: tuple[str, ...]
    kinds: tuple[Kind, ...]


class Head(msgspec.Struct, array_like=True, frozen=True, tag_field="record", tag=0):
    """The first record of a segment, which says it again now and then.

    Attributes:
        format: `FORMAT`.
        series: ``"events"`` or ``"snapshots"``.
        number: Of the segment.
        server: Which server writes.
        components: What columns of slices mean, by their numbers.
    """

    format: int
    series: str
    number: int
    server: str
    components: tuple[Declared, ...]


class Match(msgspec.Struct, array_like=True, frozen=True, tag_field="record", tag=1):
    """The record before the first one of a match behind each head.

    Attributes:
        number: What the segment's records call it.
        id: 16 random bytes.
        started: Milliseconds since 1970, UTC.
        room: Where it is played; empty without rooms.
        tick_rate: Ticks a second.
    """

    number: int
    id: bytes
    started: int
    room: str
    tick_rate: float


class Event(msgspec.Struct, array_like=True, frozen=True, tag_field="record", tag=EVENT):
    """Something that happened.

    Attributes:
        match: Number of the match.
        seq: Counts the match's events from 1.
        tick: When.
        time: Milliseconds since 1970, UTC.
        type: What.
        player: Number of the player that it is about.
        entity: The entity that it is about.
        own: Whether ecsnet made it: then the keys inside ``data`` are ecsnet's.
        data: More about it.
    """

    match: int
    seq: int
    tick: int
    time: int
    type: str
    player: int | None
    entity: int | None
    own: bool
    data: dict[str, object]


class Slice(msgspec.Struct, array_like=True, frozen=True, tag_field="record", tag=SLICE):
    """Some entities of a snapshot, in columns.

    Attributes:
        match: Number of the match.
        seq: Counts the match's slices from 1.
        tick: When these entities were like this.
        snapshot: The tick in which the snapshot began.
        time: Milliseconds since 1970, UTC.
        entities: Their esper ids.
        owners: For each, the number of the player who owns it.
        columns: Number of a component type, and for each entity its fields, or None.
    """

    match: int
    seq: int
    tick: int
    snapshot: int
    time: int
    entities: list[int]
    owners: list[int | None]
    columns: list[tuple[int, list[object]]]


class Mark(msgspec.Struct, array_like=True, frozen=True, tag_field="record", tag=4):
    """All before it has reached the disk.

    Attributes:
        records: How many events or slices the segment holds by then; None where the server that
            wrote it did not say.
    """

    records: int | None = None


Record: TypeAlias = Head | Match | Event | Slice | Mark

encode = msgspec.msgpack.Encoder().encode

_decode: Callable[[bytes], Record] = msgspec.msgpack.Decoder(Record).decode


def decode(payload: bytes) -> Record | None:
    """Return the record in a frame; None when it is none."""
    try:
        return _decode(payload)
    except DECODE_ERRORS:
        return None


def makes_documents(payload: bytes) -> bool:
    """Return whether a payload is an event or a slice, without decoding it."""
    return payload[1:2] in _TAGS


_TAGS = (bytes((EVENT,)), bytes((SLICE,)))
