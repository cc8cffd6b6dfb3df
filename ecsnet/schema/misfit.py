"""The reason why a value does not fit a field, where its repr looks as if it did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ecsnet.schema.gate import encode
from ecsnet.validation.wording import brief, type_name

__all__ = ["INT64", "reason"]

INT64 = (-(2**63), 2**63 - 1)
"""The least and the greatest int that crosses."""

_PLAIN = (int, float, bool, str, bytes, type(None), tuple, list, dict)
_LEAVES = 100_000  # looked at, at most


def reason(value: object, wire: object, text: str) -> str:
    """Say why a field cannot hold a value.

    Args:
        value: What it was given.
        wire: That in its wire form, or the same object where there is none.
        text: What the field holds: ``"list[int]"``.

    Returns:
        ``"it is a numpy.float32"``, ``"1e400 in it is too large for 64 bits"`` or the like; empty
        where the repr of the value says enough.
    """
    for leaf in _leaves(wire):
        fault = _leaf_fault(leaf)
        if fault:
            return f"it {fault}" if leaf is value else f"{brief(leaf)} in it {fault}"
    kind = type(value)
    if kind in _PLAIN or text.startswith(kind.__name__) or _shows_its_type(value):
        return ""
    return f"it is a {type_name(kind)}"


def _leaf_fault(leaf: object) -> str:
    try:
        encode(leaf)
    except OverflowError:
        return "is too large for 64 bits"
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    except Exception:  # noqa: BLE001 - the code of a value is not ours
        return "" if _shows_its_type(leaf) else f"is a {type_name(type(leaf))}"
    if isinstance(leaf, int) and not INT64[0] <= leaf <= INT64[1]:
        return "is too large for 64 bits"
    return ""


def _shows_its_type(value: object) -> bool:
    """Return whether the repr of a value shows its type: ``<Mode.FAST: 1>``, ``a Goblin``,
    ``Goblin(hp=1)``.
    """
    return brief(value).startswith(("<", "a ", "an ", f"{type(value).__name__}("))


def _leaves(value: object) -> Iterator[object]:
    """Yield the values in containers, and in containers within them."""
    waiting = [value]
    for _ in range(_LEAVES):
        if not waiting:
            return
        item = waiting.pop()
        inside = _contents(item)
        if inside is None:
            yield item
        else:
            waiting.extend(reversed([*inside]))


def _contents(value: object) -> Iterable[object] | None:
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name, None) for name in value.__struct_fields__]
    return None
