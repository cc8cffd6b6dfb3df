"""What a game declared, as journals and documents name it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ecsnet.analytics.records import Declared
from ecsnet.schema import ComponentType

__all__ = ["declare"]

_TAKEN = ("id", "owner", "_id")  # what every entity in a document has


def declare(components: Sequence[ComponentType]) -> tuple[Declared, ...]:
    """What documents call component types: `Position` is ``position``.

    Types that would share a name, or take one that is taken, get the whole wire name, such as
    ``ecsnet_position``.
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
    return tuple(
        Declared(
            key,
            component.name,
            tuple(field.name for field in component.fields),
            tuple(field.kind for field in component.fields),
        )
        for component, key in zip(components, keys, strict=True)
    )


def _key(name: str) -> str:
    made = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.lower())
    return made if made[0].isalpha() else f"c{made}"
