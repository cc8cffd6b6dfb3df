"""Documents as files that other tools read: JSON lines, or a flat CSV. Written as they are read."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TextIO

import msgspec

from ecsnet.analytics.reading import as_event, as_state
from ecsnet.analytics.sources import Match
from ecsnet.analytics.values import Document

__all__ = ["Column", "columns_of", "csv_of_events", "csv_of_states", "jsonl"]

Column = tuple[str, str]
"""Key of a component, and a field of it."""

ABOUT = ("match", "started", "server", "room", "tick", "time")
"""What every row begins with."""


def jsonl(documents: Iterable[Document], out: TextIO) -> None:
    """Write documents, one JSON object a line. Times are ISO 8601, bytes Base64.

    Args:
        documents: What to write.
        out: Where to.
    """
    out.writelines(f"{_json(document)}\n" for document in documents)


def csv_of_events(documents: Iterable[Document], out: TextIO) -> None:
    """Write events, one a row; the column ``data`` is JSON.

    Args:
        documents: Of ``server_events``.
        out: Where to.
    """
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow([*ABOUT, "type", "player", "entity", "data"])
    for event in map(as_event, documents):
        about = [_cell(getattr(event, name)) for name in ABOUT]
        rows.writerow([*about, event.type, event.player, event.entity, _json(event.data)])


def columns_of(matches: Iterable[Match], states: Iterable[Document]) -> list[Column]:
    """Which component fields there are.

    Args:
        matches: Their schemas are asked first.
        states: Of matches whose schema was lost: what stands in them.
    """
    columns: dict[Column, None] = {}
    for match in matches:
        for component in match.components:
            columns.update(dict.fromkeys((component.key, field) for field in component.fields))
    for state in map(as_state, states):
        for entity in state.entities:
            for key, fields in entity.items():
                if isinstance(fields, dict):
                    columns.update(dict.fromkeys((key, field) for field in fields))
    return list(columns)


def csv_of_states(columns: Sequence[Column], documents: Iterable[Document], out: TextIO) -> None:
    """Write snapshots, a row for each entity, a column for each field: ``position_x``.

    A field that an entity does not have is empty. An entity that a snapshot tells of in two
    documents has two rows.

    Args:
        columns: Which component fields.
        documents: Of ``game_state``.
        out: Where to.
    """
    rows = csv.writer(out, lineterminator="\n")
    names = [f"{key}_{field}" for key, field in columns]
    rows.writerow([*ABOUT, "snapshot", "entity", "owner", *names])
    for state in map(as_state, documents):
        about = [_cell(getattr(state, name)) for name in ABOUT]
        for entity in state.entities:
            values = (_field(entity.get(key), field) for key, field in columns)
            rows.writerow([*about, state.snapshot, entity.get("id"), entity.get("owner"), *values])


def _field(component: object, field: str) -> object:
    return _cell(component.get(field)) if isinstance(component, dict) else None


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, (bool, list, dict, bytes)):
        return _json(value)
    return value


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
