"""The conversion of any value to a storable one: `plain` for the journal, `storable` for documents.

Both are total: whatever comes in, something comes out that a database takes. What a player typed
is a value there, never a key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from itertools import islice
from typing import TypeAlias, TypeVar, cast

from ecsnet.schema import PLAIN, Kind

__all__ = [
    "Document",
    "Value",
    "is_key",
    "is_plain",
    "milliseconds",
    "plain",
    "storable",
    "to_document",
]

Value: TypeAlias = (
    "bool | int | float | str | bytes | datetime | list[Value] | dict[str, Value] | None"
)
"""A value in a document: ints of 64 bits, finite floats, no list directly in another."""

Document: TypeAlias = dict[str, Value]
"""A document of the database, or what equals it."""

STORED_DEPTH = 24
"""Containers within each other that a document holds of one value: games nest a few. MongoDB takes
100 levels, of which each of these may need two.
"""

_T = TypeVar("_T")

_EPOCH = datetime.fromtimestamp(0, UTC)
_INT64 = range(-(2**63), 2**63)
_TEXT_LIMIT = 4096  # characters or bytes that `plain` keeps
_ITEMS_LIMIT = 256  # items of a container that `plain` keeps
_DEPTH_LIMIT = 6
_PLAIN = frozenset((int, float, bool, str, type(None)))
_TOTAL_LIMIT = 4096  # items of all containers in one value

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def is_key(text: str) -> bool:
    """Return whether a text may be a key of a document."""
    return _KEY.fullmatch(text) is not None


def is_plain(value: object) -> bool:
    """Return whether `plain` would only shorten a value, as it does with most from games."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is tuple or kind is list:
        items = cast("Sequence[object]", value)
        return len(items) <= _ITEMS_LIMIT and _PLAIN.issuperset(map(type, items))
    return False


def plain(value: object) -> object:
    """Convert a value from a game's event to one that msgpack can hold; cut where it is huge."""
    return _plain(value, _DEPTH_LIMIT, [_TOTAL_LIMIT])


def storable(value: object, *, own: bool = False, depth: int = STORED_DEPTH) -> Value:
    """Convert a value from a journal to one that a database takes.

    Args:
        value: Anything that msgpack can hold.
        own: Whether ecsnet wrote it: then the keys of its dicts stay keys.
        depth: How many containers within each other are kept.
    """
    if value is None or isinstance(value, bool | bytes | str):
        return value
    if isinstance(value, int):
        return value if value in _INT64 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else _name_of(value)
    if isinstance(value, datetime):
        return value.isoformat()
    inner = depth - 1
    if isinstance(value, list | tuple) and depth:
        return [_within(storable(item, own=own, depth=inner)) for item in value]
    if isinstance(value, dict) and depth:
        if own:
            return {str(k): storable(v, own=True, depth=inner) for k, v in value.items()}
        return [
            {"k": storable(k, depth=inner), "v": storable(v, depth=inner)} for k, v in value.items()
        ]
    # Of msgpack's extensions: the same text each time, and not where in memory it lies.
    return f"a {type(value).__name__}"


def to_document(value: object, kind: Kind, depth: int = STORED_DEPTH) -> Value:
    """Convert the encoded value of a field for a document: enums by name, structs with names.

    A value that is not what its field says is told as it stands.

    Args:
        value: What was encoded.
        kind: What the field holds.
        depth: As for `storable`.
    """
    if kind is PLAIN or kind.form == "plain" or value is None or not depth:
        return storable(value, depth=depth)
    inner = depth - 1
    if kind.form == "enum":
        if not isinstance(value, bool) and value in kind.values:
            return kind.names[kind.values.index(value)]
    elif kind.form == "struct":
        if isinstance(value, list) and len(value) == len(kind.names) == len(kind.parts):
            fields = zip(kind.names, value, kind.parts, strict=True)
            return {name: to_document(item, part, inner) for name, item, part in fields}
        if isinstance(value, dict):  # of a msgspec Struct that is not an array
            parts = zip(kind.names, kind.parts, strict=False)
            return {name: to_document(value.get(name), part, inner) for name, part in parts}
    elif kind.form == "list":
        if isinstance(value, list) and kind.parts:
            return [_within(to_document(item, kind.parts[0], inner)) for item in value]
    elif kind.form == "tuple":
        if isinstance(value, list) and len(value) == len(kind.parts):
            items = zip(value, kind.parts, strict=True)
            return [_within(to_document(item, part, inner)) for item, part in items]
    elif isinstance(value, dict) and len(kind.parts) == 2:
        key, item = kind.parts
        return [
            {"k": to_document(k, key, inner), "v": to_document(v, item, inner)}
            for k, v in value.items()
        ]
    return storable(value, depth=depth)


@lru_cache(maxsize=256)  # a match and a tick have one for all of their documents
def milliseconds(time: int) -> datetime:
    """Milliseconds since 1970 as a time; the nearest that there is, where there is none."""
    try:
        return _EPOCH + timedelta(milliseconds=time)
    except OverflowError:
        return _EPOCH


def _plain(value: object, depth: int, left: list[int]) -> object:
    """Do as `plain`, for so many containers in each other, and so many items in all of them."""
    # Most that games tell is one of these.
    kind = type(value)
    if value is None or kind is bool or kind is float or (kind is int and value in _INT64):
        return value
    if kind is str and isinstance(value, str) and value.isascii() and len(value) <= _TEXT_LIMIT:
        return value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, int):
        return int(value) if value in _INT64 else _text_of(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return value[:_TEXT_LIMIT].encode("utf-8", "replace").decode()
    if isinstance(value, bytes | bytearray):
        return bytes(value[:_TEXT_LIMIT])
    if not depth:
        return _text_of(value)
    try:
        if isinstance(value, Mapping):
            pairs = _taken(value.items(), left)
            return {_key_of(key): _plain(item, depth - 1, left) for key, item in pairs}
        if isinstance(value, list | tuple | Set):
            return [_plain(item, depth - 1, left) for item in _taken(value, left)]
        names = getattr(type(value), "__struct_fields__", None)
        if names is not None:
            fields = _taken(names, left)
            return {name: _plain(getattr(value, name), depth - 1, left) for name in fields}
    except Exception:  # noqa: BLE001 - containers of games may raise anything
        pass
    return _text_of(value)


def _taken(items: Iterable[_T], left: list[int]) -> list[_T]:
    """Return as many items of a container as may be kept."""
    taken = list(islice(items, min(_ITEMS_LIMIT, left[0])))
    left[0] -= len(taken)
    return taken


def _within(value: Value) -> Value:
    """Return a value as an item of a list: lists within lists are more than every server takes."""
    return {"items": value} if isinstance(value, list) else value


def _name_of(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _key_of(key: object) -> str:
    return str(_plain(key, 0, [0]))


def _text_of(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 12_000:
        return f"an int of {value.bit_length()} bits"  # str() of it raises, or takes for ever
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - a repr is not ours
        text = f"a {type(value).__name__}"
    return text[:_TEXT_LIMIT].encode("utf-8", "replace").decode()
