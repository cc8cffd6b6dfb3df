"""The jumps of an entity, which its component counts so that clients see them."""

from __future__ import annotations

from typing import Final, Protocol, cast

__all__ = ["count_jump"]

_COUNTS: Final = 65_536


class _Teleports(Protocol):
    """The field of the component that counts them."""

    count: int


def count_jump(component: object) -> None:
    """Count one more in a component."""
    counted = cast(_Teleports, component)
    counted.count = (counted.count + 1) % _COUNTS
