"""How much everything holds that an object holds: what grows with each player who came shows here.

No table is named, so that one which is new, or is forgotten in a test, counts all the same.
"""

from __future__ import annotations

import inspect
from collections import Counter, deque
from collections.abc import Iterator
from functools import cache
from types import ModuleType

__all__ = ["grown", "holdings"]

_CONTAINERS = (list, dict, set, frozenset, deque, bytearray, tuple)


def holdings(root: object, *, outside: tuple[object, ...] = ()) -> Counter[str]:
    """Count the entries of all containers that hang on an object of ecsnet's.

    Args:
        root: The object.
        outside: Objects that do not count, nor what hangs on them alone.

    Returns:
        How many entries there are by path, such as ``members[].peer._carried``: entries of a
        container share one path. Fixed rings count their places that are filled.
    """
    counts: Counter[str] = Counter()
    seen = {id(root), *map(id, outside)}
    waiting: list[tuple[str, object]] = [("", root)]
    for path, value in waiting:
        if isinstance(value, _CONTAINERS):
            if isinstance(value, list) and None in value:
                value = [each for each in value if each is not None]
            if not isinstance(value, tuple):
                counts[path] += len(value)
            parts = [(f"{path}[]", each) for each in _entries(value)]
        else:
            parts = [(f"{path}.{name}".lstrip("."), each) for name, each in _attributes(value)]
        for name, part in parts:
            if (_is_ours(part) or isinstance(part, _CONTAINERS)) and id(part) not in seen:
                seen.add(id(part))
                waiting.append((name, part))
    return counts


def grown(before: Counter[str], after: Counter[str]) -> dict[str, str]:
    """Which containers hold more than before, and how much: empty where nothing is left."""
    return {
        path: f"{before[path]} -> {count}"
        for path, count in after.items()
        if count > before[path]
    }  # fmt: skip


def _entries(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.keys()
        yield from value.values()
    elif not isinstance(value, bytearray):
        assert isinstance(value, _CONTAINERS)
        yield from value


def _is_ours(value: object) -> bool:
    """Whether it is an instance of a class of ecsnet's."""
    return (
        type(value).__module__.startswith("ecsnet")
        and not isinstance(value, type | ModuleType)
        and not callable(value)
    )


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    yield from getattr(value, "__dict__", {}).items()
    for name in _slots(type(value)):
        try:
            yield name, getattr(value, name)
        except AttributeError:  # not set
            pass


@cache
def _slots(cls: type) -> tuple[str, ...]:
    """Attributes beside ``__dict__``: slots, and what compiled classes have."""
    return tuple(
        name
        for base in cls.__mro__
        if base.__module__.startswith("ecsnet")
        for name, member in vars(base).items()
        if inspect.ismemberdescriptor(member)
        or (inspect.isgetsetdescriptor(member) and not name.startswith("__"))
    )
