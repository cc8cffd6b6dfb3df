"""The limit for the size of one entity.

An entity is told as a whole, in one message, to whoever comes to see it. So what its components
take together has to stay below what a client takes in one message: bytes, and some for each
container in a value, which costs a client more than its bytes tell.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Final, Generic, TypeVar

from ecsnet.replication.wire import MESSAGE_BYTES, STRUCTURE_BYTES

__all__ = ["CONTAINER_BYTES", "ENTITY_BYTES", "MENTIONS_OF_ONE", "Sizes"]

ENTITY_BYTES: Final = 1_000_000
"""The most that the components of one entity may take together, encoded, those that only its
owner gets among them."""

CONTAINER_BYTES: Final = 16
"""The bytes that each container within a component counts beside its encoding, here and where a
client looks at a message; see `Contents`."""

MENTIONS_OF_ONE: Final = 16_384
"""The most references that one component holds."""

_EntityT = TypeVar("_EntityT", bound=Hashable)

_NONE: Final[dict[int, int]] = {}
_COLUMN_BYTES: Final = 8  # around one component's value in a run, at most
_SMALL: Final = 1024
# What a message has left beside a full entity and, before it, a piece of what went.
_REST: Final = MESSAGE_BYTES - ENTITY_BYTES - STRUCTURE_BYTES - 1024


class Sizes(Generic[_EntityT]):
    """The size of each entity, in bytes and `CONTAINER_BYTES`.

    Values up to ``small`` bytes are not counted, which spares nearly every game the counting: one
    of each type has its place in a message beside `ENTITY_BYTES`.

    Args:
        types: How many component types there are.

    Attributes:
        small: Bytes in the largest value that is not counted.
    """

    def __init__(self, types: int = 1) -> None:
        self.small = min(_SMALL, _REST // max(1, types) - _COLUMN_BYTES)
        self._sizes: dict[_EntityT, dict[int, int]] = {}

    def total(self, entity: _EntityT) -> int:
        """Return the bytes that the counted components of an entity take."""
        return sum(self._sizes.get(entity, {}).values())

    def large(self, entity: _EntityT) -> Collection[int]:
        """Return the component ids of an entity's values that are counted."""
        return self._sizes.get(entity, _NONE)

    def would_be(self, entity: _EntityT, cid: int, size: int) -> int:
        """Return the bytes that they would take with a value of ``size`` bytes for one of them."""
        counted = size + _COLUMN_BYTES if size > self.small else 0
        return self.total(entity) - self._sizes.get(entity, {}).get(cid, 0) + counted

    def set(self, entity: _EntityT, cid: int, size: int) -> bool:
        """Count a new value.

        Returns:
            Whether the entity has room for it; where not, the old value counts on.
        """
        if self.would_be(entity, cid, size) > ENTITY_BYTES:
            return False
        if size > self.small:
            self._sizes.setdefault(entity, {})[cid] = size + _COLUMN_BYTES
        else:
            self.drop(entity, cid)
        return True

    def drop(self, entity: _EntityT, cid: int) -> None:
        """Count a component no more: it went."""
        sizes = self._sizes.get(entity)
        if sizes is not None and sizes.pop(cid, None) is not None and not sizes:
            del self._sizes[entity]
