"""The check of a tick's changes for what never happens in honest play.

Samples taken once a second show nothing of a hack that lasts six ticks, so each change is looked
at; what stays as it is costs one comparison of two lists.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter, ne
from typing import Literal, TypeAlias

from ecsnet.schema import Suspect
from ecsnet.world import World

__all__ = ["Finding", "Watch"]

# What repeated additions of floats may be off by.
_TOLERANCE = 1 + 1e-6


@dataclass(frozen=True, slots=True)
class Finding:
    """A value did what it never does.

    Attributes:
        entity: Whose.
        field: Which; several, with commas between, where they are one point.
        limit: Which limit it went beyond.
        allowed: The limit, in units a second.
        rate: What it did, in units a second.
        before: The value before.
        after: The value after; of a tuple, or of several fields, both hold all of it.
    """

    entity: int
    field: str
    limit: Literal["max_speed", "max_rate"]
    allowed: float
    rate: float
    before: object
    after: object


_Point: TypeAlias = tuple[float, ...]


class Watch:
    """A watch on some fields of one component type, as one value.

    Args:
        world: The world.
        cls: The component type.
        fields: The fields; several are one point.
        limits: What they never do.
        tick_rate: Ticks a second.
    """

    def __init__(
        self, world: World, cls: type, fields: Sequence[str], limits: Suspect, tick_rate: float
    ) -> None:
        self.cls = cls
        self._world = world
        self._name = ", ".join(fields)
        self._limits = limits
        self._tick_rate = tick_rate
        self._get: Callable[[object], object] = attrgetter(*fields)
        self._pairs: list[tuple[int, object]] | None = None
        self._values: list[object] = []
        self._before: dict[int, object] = {}
        self._gains: dict[int, deque[tuple[int, float]]] = {}

    def check(self, tick: int, exempt: Collection[int]) -> Iterator[Finding]:
        """Look at what changed since the last call.

        Args:
            tick: The tick that runs.
            exempt: Entities that may have jumped.
        """
        pairs: list[tuple[int, object]] = self._world.structure(self.cls)
        values = list(map(self._get, [component for _, component in pairs]))
        if pairs is self._pairs:
            if values == self._values:
                return
            changed = map(ne, values, self._values)
            moved = list(compress(zip(pairs, self._values, values, strict=True), changed))
        else:
            # Entities or components came or went; what was there before is found by its entity.
            before = self._before
            if self._pairs is not None:
                there = [entity for entity, _ in self._pairs]
                before = self._before = dict(zip(there, self._values, strict=True))
            moved = [
                (pair, before[pair[0]], value)
                for pair, value in zip(pairs, values, strict=True)
                if pair[0] in before and before[pair[0]] != value
            ]
            self._gains = {e: self._gains[e] for e, _ in pairs if e in self._gains}
        self._pairs, self._values = pairs, values
        for (entity, _), old, new in moved:
            yield from self._findings(tick, entity, old, new, entity in exempt)

    def _findings(
        self, tick: int, entity: int, before: object, after: object, exempt: bool
    ) -> Iterator[Finding]:
        old, new = _point(before), _point(after)
        if old is None or new is None or len(old) != len(new):
            return
        speed, rate = self._limits.max_speed, self._limits.max_rate
        if speed is not None and not exempt:
            done = _distance(old, new) * self._tick_rate
            # Turned round, so that a value that is no number is beyond every limit.
            if not done <= speed * _TOLERANCE:
                yield Finding(entity, self._name, "max_speed", speed, done, before, after)
        if rate is not None:
            gain = max((b - a for a, b in zip(old, new, strict=True)), default=0.0)
            grown = self._grown(tick, entity, gain)
            if not grown <= rate * _TOLERANCE:
                self._gains.pop(entity, None)  # what led to this finding leads to no other
                yield Finding(entity, self._name, "max_rate", rate, grown, before, after)

    def _grown(self, tick: int, entity: int, gain: float) -> float:
        """By how much a value has grown within a second."""
        if gain <= 0:
            return 0.0
        gains = self._gains.setdefault(entity, deque())
        gains.append((tick, gain))
        while gains[0][0] <= tick - self._tick_rate:
            gains.popleft()
        return sum(each for _, each in gains)


def _point(value: object) -> _Point | None:
    """Return a value as numbers; None when it holds anything else."""
    items = value if isinstance(value, tuple) else (value,)
    try:
        point = tuple(
            float(item)
            for item in items
            if isinstance(item, int | float) and not isinstance(item, bool)
        )
    except OverflowError:
        point = (math.inf,) * len(items)
    return point if len(point) == len(items) else None


def _distance(a: _Point, b: _Point) -> float:
    if any(map(math.isnan, a)) and any(map(math.isnan, b)):
        return 0.0  # it was told when it became one
    return math.dist(a, b)
