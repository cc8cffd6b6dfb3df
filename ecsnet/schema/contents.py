"""The count of what a value holds, which its bytes do not tell.

An empty list takes one byte on the wire, and more than a hundred in the memory of a client, and
time to convert. So what is in a value is counted: a part of the count goes with the type, and what
has no fixed length is counted by generated code.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["ONE", "TOO_MANY", "Contents", "total"]

TOO_MANY: Final = 65_536
"""Of more containers than this, no more are counted: no value may have as many."""


class Contents(NamedTuple):
    """The number of containers and items in a value, or in all values of a type.

    Attributes:
        containers: Lists, tuples, dicts, Structs and values of registered types, at any depth. One
            that may be None counts as if it were there, where its type has a fixed number of them.
        items: All that has a place of its own: scalars and containers, at any depth.
    """

    containers: int
    items: int


ONE: Final = Contents(0, 1)
"""A scalar."""


def total(*parts: Contents) -> Contents:
    """Add up the contents of several values."""
    return Contents(sum([part.containers for part in parts]), sum([part.items for part in parts]))
