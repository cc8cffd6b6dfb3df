"""Network ids: never twice the same, and none tells how many there were before it.

Ids that count tell a client how much is built, spawned and fired beyond its sight. So they are
drawn from a block without putting back, in an order that only the key tells: all ids of a block are
equally likely to come next. Blocks grow, because small ids are short on the wire: of few entities
nobody learns more than that they are fewer than 4,096, of many that they are more.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Final

__all__ = ["NetworkIds"]

ENDS: Final = (1 << 12, 1 << 16)
"""The ends of the first blocks; each later one is as long as the last of these reaches."""

_DRAW_BYTES: Final = 4


class NetworkIds:
    """The ids of one simulation's entities, the same for the same key.

    Args:
        key: Random, and never told.
    """

    def __init__(self, key: bytes) -> None:
        self._key = blake2b(key, person=b"network ids").digest()
        self._start = 0
        self._end = 1  # 0 is no id
        self._left: array[int] = array("H")  # what was not drawn of the block, in any order
        self._digests = 0
        self._random = b""

    def draw(self) -> int:
        """Return the next id."""
        if not self._left:
            self._begin_block()
        left = self._left
        which = self._dice() % len(left)
        left[which], left[-1] = left[-1], left[which]
        return self._start + left.pop()

    def _begin_block(self) -> None:
        self._start = self._end
        longer = [end for end in ENDS if end > self._start]
        self._end = longer[0] if longer else self._start + ENDS[-1]
        self._left = array("H", range(self._end - self._start))

    def _dice(self) -> int:
        if not self._random:
            self._digests += 1
            counter = self._digests.to_bytes(8, "little")
            self._random = blake2b(counter, key=self._key).digest()
        number = int.from_bytes(self._random[:_DRAW_BYTES], "little")
        self._random = self._random[_DRAW_BYTES:]
        return number
