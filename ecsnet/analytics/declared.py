"""The component types that a game declared, as journals and documents name them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from ecsnet.analytics.records import Declared, encode
from ecsnet.analytics.segment import FRAME_LIMIT
from ecsnet.errors import UsageError
from ecsnet.schema import PLAIN, ComponentType

__all__ = ["DECLARED_LIMIT", "declare"]

_log = logging.getLogger("ecsnet.analytics")

DECLARED_LIMIT: Final = FRAME_LIMIT // 2
"""Bytes of all that a game declares: it stands in one frame of a journal, again and again."""

_TAKEN = ("id", "owner", "_id")  # what every entity in a document has


def declare(components: Sequence[ComponentType]) -> tuple[Declared, ...]:
    """Give component types the names that documents have for them: `Position` is ``position``.

    Types that would share a name, or take one that is taken, get the whole wire name, such as
    ``ecsnet_position``. Where it is more than a journal says again and again, such as the names of
    thousands of enum members, values are told as they are encoded.

    Raises:
        UsageError: The names of types and fields alone are too much.
    """
    short = [_key(component.name.rpartition(".")[2]) for component in components]
    times = Counter(short)
    keys: list[str] = []
    for component, key in zip(components, short, strict=True):
        if times[key] > 1 or key in _TAKEN:
            key = _key(component.name)
        while key in keys or key in _TAKEN:
            key += "_"
        keys.append(key)
    return _fitting(
        [
            Declared(
                key,
                component.name,
                tuple(field.name for field in component.fields),
                tuple(field.kind for field in component.fields),
            )
            for component, key in zip(components, keys, strict=True)
        ]
    )


def _fitting(declared: list[Declared]) -> tuple[Declared, ...]:
    """Keep as many of the fields' kinds as fit: the longest goes first."""
    sizes = [len(encode(one)) for one in declared]
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        if sum(sizes) <= DECLARED_LIMIT:
            break
        one = declared[number]
        bare = Declared(one.key, one.name, one.fields, (PLAIN,) * len(one.fields))
        _log.warning(
            "%s: its enums and structs have more names than a journal holds: values are told"
            " without them",
            one.name,
        )
        declared[number], sizes[number] = bare, len(encode(bare))
    if sum(sizes) > DECLARED_LIMIT:
        raise UsageError(
            f"the names of the game's {len(sizes):,} component types and their fields take"
            f" {sum(sizes):,} bytes, and a journal holds {DECLARED_LIMIT:,}: use fewer or shorter"
            " ones, or leave analytics= out"
        )
    return tuple(declared)


def _key(name: str) -> str:
    made = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.lower())
    return made if made[0].isalpha() else f"c{made}"
