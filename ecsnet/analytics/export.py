"""Documents as files that other tools read: JSON lines, or tables as CSV. Written as they are read.

`ecsnet.analytics.sqlite` writes the same tables.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TextIO, TypeAlias

import msgspec

from ecsnet.analytics.reading import as_event, as_state
from ecsnet.analytics.sources import Match
from ecsnet.analytics.values import Document

__all__ = [
    "Cell",
    "Column",
    "Json",
    "Table",
    "columns_of",
    "event_table",
    "jsonl",
    "match_table",
    "state_table",
    "to_csv",
]

Column: TypeAlias = tuple[str, str]
"""Key of a component, and a field of it."""


class Json(str):
    """A text that is JSON, and that a person has not typed."""

    __slots__ = ()


Cell: TypeAlias = "str | int | float | None"
"""A value in a table; `Json` stands for what is more than that."""

ABOUT: Final = ("match", "started", "server", "room", "tick", "time")
"""The columns that every row of events and states begins with."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, made as they are asked for.

    Attributes:
        columns: Their names, no two of them alike.
        rows: A cell for each column.
    """

    columns: Sequence[str]
    rows: Iterable[Sequence[Cell]]


def jsonl(documents: Iterable[Document], out: TextIO) -> None:
    """Write documents, one JSON object a line. Times are ISO 8601, bytes Base64.

    Args:
        documents: What to write.
        out: Where to.
    """
    out.writelines(f"{_json(document)}\n" for document in documents)


def match_table(matches: Iterable[Match]) -> Table:
    """Make a table of matches, one a row; components, commands and events are JSON.

    Args:
        matches: Which.
    """
    names = [name for name in Match.__struct_fields__ if name != "id"]
    rows = ([match.id, *(_cell(getattr(match, name)) for name in names)] for match in matches)
    return Table(["match", *names], rows)


def event_table(documents: Iterable[Document]) -> Table:
    """Events, one a row; the column ``data`` is JSON.

    Args:
        documents: Of ``server_events``.
    """

    def rows() -> Iterator[Sequence[Cell]]:
        for event in map(as_event, documents):
            about = [_cell(getattr(event, name)) for name in ABOUT]
            yield [*about, event.type, event.player, event.entity, Json(_json(event.data))]

    return Table([*ABOUT, "type", "player", "entity", "data"], rows())


def columns_of(matches: Iterable[Match], states: Iterable[Document]) -> list[Column]:
    """List the component fields of some matches.

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


def state_table(columns: Sequence[Column], documents: Iterable[Document]) -> Table:
    """Snapshots, a row for each entity, a column for each field: ``position_x``.

    A field that an entity does not have is empty. An entity that a snapshot tells of in two
    documents has two rows.

    Args:
        columns: Which component fields.
        documents: Of ``game_state``.
    """

    def rows() -> Iterator[Sequence[Cell]]:
        for state in map(as_state, documents):
            about = [_cell(getattr(state, name)) for name in ABOUT]
            for entity in state.entities:
                one = [_cell(entity.get("id")), _cell(entity.get("owner"))]
                values = (_field(entity.get(key), field) for key, field in columns)
                yield [*about, state.snapshot, *one, *values]

    fixed = [*ABOUT, "snapshot", "entity", "owner"]
    return Table(_unlike([*fixed, *(f"{key}_{field}" for key, field in columns)]), rows())


def to_csv(table: Table, out: TextIO) -> None:
    """Write a table as CSV, in which a spreadsheet finds no formula.

    Args:
        table: What to write.
        out: Where to.
    """
    rows = csv.writer(_Lines(out))
    rows.writerow(map(_harmless, table.columns))
    rows.writerows(map(_harmless, row) for row in table.rows)


def _unlike(names: Sequence[str]) -> list[str]:
    """Names of which no two are alike, in capitals or not: ``a_b_c`` may be of ``a`` or ``a_b``."""
    taken: set[str] = set()
    made: list[str] = []
    for name in names:
        number, given = 1, name
        while given.lower() in taken:
            number += 1
            given = f"{name}_{number}"
        taken.add(given.lower())
        made.append(given)
    return made


def _field(component: object, field: str) -> Cell:
    return _cell(component.get(field)) if isinstance(component, dict) else None


def _cell(value: object) -> Cell:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    return Json(_json(value))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


# Spreadsheets take for a formula what begins with one of these (some of them what only looks like
# one, too), whatever stands before it that cannot be seen; and for a new cell, in some countries,
# what follows a semicolon.
_FORMULA: Final = frozenset("=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b")
_UNSEEN = r"\s\x00-\x1f\x7f-\xa0\xad\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff"
_BEGINNING = re.compile(rf"(?:^|[;\t\r\n])[{_UNSEEN}]*")
_BREAKS = re.compile(r"[;\t\r\n]")
_NUMBER = re.compile(r"-(?:Infinity|\d{19,})")  # which no other cell can hold


def _harmless(cell: Cell) -> Cell:
    """Return a cell, with a ' before what a spreadsheet would take for a formula."""
    if isinstance(cell, Json):
        return cell.replace(";", r"\u003b")  # in JSON it is part of a text
    if not isinstance(cell, str) or _NUMBER.fullmatch(cell):
        return cell
    return _BEGINNING.sub(_marked, cell)


def _marked(begin: re.Match[str]) -> str:
    unseen = begin[0]
    formula = begin.string[begin.end() : begin.end() + 1] in _FORMULA
    breaks = _BREAKS.search(unseen) is not None
    before = begin.start() == 0 and (formula or unseen[:1] in ("\t", "\r", "\n"))
    mark = "'"
    return mark * before + unseen + mark * (formula and (breaks or not before))


class _Lines:
    """A file with line feeds after rows. With that as its own end, `csv` leaves a CR bare."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, row: str) -> int:
        return self._out.write(row.removesuffix("\r\n") + "\n")
