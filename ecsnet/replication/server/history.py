"""The values that clients were told lately and draw between, for looking back at them.

A client draws others some ticks behind the newest. So what its player aimed at is not where the
server has it when the shot is heard, and the server looks it up here, as that client drew it:
between the same two values, by the same fraction, and with nothing between the two ends of a jump.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from sys import float_info
from typing import NamedTuple, TypeAlias

from ecsnet.replication.server.entities import (
    Delta,
    Entity,
    EntityDetector,
    ReplicatedEntities,
)
from ecsnet.simulation.past import Past
from ecsnet.world import World

__all__ = ["History"]

Told: TypeAlias = Callable[[Entity], object]
"""A look-up of what was told of entities, see `ChangeDetector.told`."""


class _Between(NamedTuple):
    """The values of a type before and after a moment; the same ones where there is no such two."""

    one: Told
    other: Told
    first: int
    """The tick of the one."""
    second: int
    """The tick of the other."""


class _Values:
    """The values of one component type, at those ticks in which it was compared."""

    def __init__(self, detector: EntityDetector, kept: int) -> None:
        self.detector = detector
        self._kept = kept  # ticks
        self._ticks: deque[int] = deque()
        self._told: deque[Told] = deque()

    def note(self, tick: int) -> None:
        detector, ticks, told = self.detector, self._ticks, self._told
        if detector.compared_at != tick or not (ticks or detector.count):
            return
        ticks.append(tick)
        told.append(detector.told())
        while len(ticks) > 1 and ticks[1] <= tick - self._kept:
            ticks.popleft()
            told.popleft()

    def clear(self) -> None:
        self._ticks.clear()
        self._told.clear()

    def around(self, at: float) -> _Between | None:
        """Return the values around a moment; None where there are none yet."""
        ticks, told = self._ticks, self._told
        if not ticks:
            return None
        after = bisect_right(ticks, at)
        before = max(0, after - 1)
        after = min(after, len(ticks) - 1)
        return _Between(told[before], told[after], ticks[before], ticks[after])

    def at(self, tick: int) -> Told:
        """Return the values as they were told last up to a tick."""
        before = bisect_right(self._ticks, tick)
        return self._told[before - 1] if before else _nothing


class History:
    """The values that clients draw between, as far back as a game looks.

    Args:
        entities: Where the values are.
        world: The server's world.
        kept: For how many ticks.
        teleports: The component type that changes when an entity jumps; None for none.
    """

    def __init__(
        self, entities: ReplicatedEntities, world: World, kept: int, teleports: type | None
    ) -> None:
        self._entities = entities
        self._world = world
        self._identity: object = None
        self._types = [
            _Values(detector, kept)
            for detector in entities.detectors
            if detector.component.interpolate and not detector.private
        ]
        self._jumps = [
            _Values(detector, kept)
            for detector in entities.detectors
            if self._types and detector.component.cls is teleports
        ]

    def note(self, delta: Delta) -> None:
        """Keep what `ReplicatedEntities.capture` has just found."""
        self._identity = self._world.identity()
        if delta.cleared:
            self.clear()
        for values in (*self._types, *self._jumps):
            values.note(delta.tick)

    def clear(self) -> None:
        """Forget everything."""
        for values in (*self._types, *self._jumps):
            values.clear()

    def show(self, at: float, nets: Iterable[int], player: int, past: Past) -> bool:
        """Let components show what a client drew.

        Args:
            at: The tick that it drew, and the fraction of the way to the next.
            nets: The network ids of what it sees.
            player: Its player entity; what that owns stays as it is.
            past: What keeps the present.

        Returns:
            Whether anything is known of what was told.
        """
        world = self._world
        if world.identity() is not self._identity:
            return False  # cleared since: the numbers are those of other entities
        by_net, tables = self._entities.by_net, world.tables()
        seen = [
            (entity, tables[entity.esper])
            for entity in map(by_net.get, nets)
            if entity is not None and entity.owner != player and entity.esper in tables
        ]
        known = False
        for values in self._types:
            between = values.around(at)
            if between is None:
                continue
            known = True
            one, other, first, second = between
            fraction = (at - first) / (second - first) if second > first else 0.0
            floats, kind = values.detector.floats, values.detector.component
            cls = kind.cls
            furthest = float_info.max if kind.snap is None else kind.snap
            jumps = [(counted.at(first), counted.at(second)) for counted in self._jumps]
            for entity, components in seen:
                component, before = components.get(cls), one(entity)
                if before is None or type(component) is not cls:
                    continue  # it came later, or is gone
                start, after = floats(before), other(entity)
                end = start if after is None or after is before else floats(after)
                if (
                    end == start
                    or not kind.distance(start, end) <= furthest  # or one of them is not finite
                    or any(was(entity) != now(entity) for was, now in jumps)
                ):
                    past.show(kind, component, start)
                else:
                    past.show_between(kind, component, start, end, fraction)
        return known


def _nothing(_: Entity) -> object:
    return None
