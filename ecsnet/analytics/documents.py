"""From the records of a journal to the documents of the two collections.

Records are what a tick can make fast; documents are what people and databases like to read. The
same record makes the same documents each time, with the same ``_id``: writing them twice is writing
them once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ecsnet.analytics.records import Declared, Event, Match, Slice
from ecsnet.analytics.values import Document, Value, is_key, milliseconds, storable, to_document

__all__ = ["DOCUMENT_LIMIT", "Origin", "documents_of", "size_of"]

DOCUMENT_LIMIT = 64 * 1024
"""Bytes of the largest document, about."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of records: the fields that are the same in each of their documents.

    Attributes:
        match: The match.
        server: Which server wrote them.
        components: What the columns of slices mean.
    """

    match: Match
    server: str
    components: Sequence[Declared]


def documents_of(record: Event | Slice, origin: Origin) -> Iterator[Document]:
    """Make the documents of a record: of an event one, of a slice seldom more."""
    document = _common(record, origin)
    if isinstance(record, Event):
        document["type"] = record.type
        document["player"] = storable(record.player)
        document["entity"] = storable(record.entity)
        document["data"] = _data(record)
        yield document
        return
    document["snapshot"] = record.snapshot
    parts = list(_parts(_entities(record, origin.components)))
    for number, entities in enumerate(parts, 1):
        identity = _identity(record, origin)
        if len(parts) > 1:
            identity += f".{number}"
        yield {**document, "_id": identity, "entities": entities}


def size_of(value: Value) -> int:
    """Bytes that a value takes in BSON, or a little more; its own key left out."""
    if isinstance(value, str):
        return 6 + (len(value) if value.isascii() else len(value.encode()))
    if isinstance(value, bytes):
        return 6 + len(value)
    if isinstance(value, dict):
        return 6 + sum(len(key) + 2 + size_of(item) for key, item in value.items())
    if isinstance(value, list):
        return 6 + sum(8 + size_of(item) for item in value)
    return 9


def _common(record: Event | Slice, origin: Origin) -> Document:
    match = origin.match
    return {
        "_id": _identity(record, origin),
        "match": match.id.hex(),
        "started": milliseconds(match.started),
        "server": origin.server,
        "room": match.room,
        "tick": record.tick,
        "time": milliseconds(record.time),
    }


def _identity(record: Event | Slice, origin: Origin) -> str:
    return f"{origin.match.id.hex()}-{record.seq:08d}"


def _data(event: Event) -> Value:
    if event.own:
        return storable(event.data, own=True)
    data: dict[str, Value] = {}
    others: list[Value] = []
    for key, value in event.data.items():
        if is_key(key) and key != "others":
            data[key] = storable(value)
        else:  # somebody unpacked what a player sent
            others.append({"k": key, "v": storable(value)})
    if others:
        data["others"] = others
    return data


def _entities(record: Slice, components: Sequence[Declared]) -> list[dict[str, Value]]:
    owners = record.owners
    entities: list[dict[str, Value]] = [
        {"id": storable(entity), "owner": storable(owners[n]) if n < len(owners) else None}
        for n, entity in enumerate(record.entities)
    ]
    for number, column in record.columns:
        if not 0 <= number < len(components):
            continue
        declared = components[number]
        for entity, value in zip(entities, column, strict=False):
            if value is not None:
                entity[declared.key] = _component(value, declared)
    return entities


def _component(value: object, declared: Declared) -> Value:
    fields, kinds = declared.fields, declared.kinds
    if isinstance(value, dict) and list(value) == ["too_large"]:
        return {"too_large": storable(value["too_large"])}
    if not isinstance(value, list) or not len(value) == len(fields) == len(kinds):
        return {"value": storable(value)}
    return dict(zip(fields, map(to_document, value, kinds), strict=True))


def _parts(entities: list[dict[str, Value]]) -> Iterator[list[Value]]:
    """Split what one document cannot hold; always in the same way."""
    part: list[Value] = []
    size = 0
    for entity in entities:
        each = size_of(entity)
        if each > DOCUMENT_LIMIT:
            entity = {key: _bounded(value) for key, value in entity.items()}
            each = size_of(entity)
        if part and size + each > DOCUMENT_LIMIT:
            yield part
            part, size = [], 0
        part.append(entity)
        size += each + 8
    yield part


def _bounded(value: Value) -> Value:
    size = size_of(value)
    return value if size <= DOCUMENT_LIMIT // 16 else {"too_large": size}
