"""The values that are drawn between: those of ``interpolate`` components that were told lately.

A value that did not change is not told again. So between two values of a component there may be a
time in which it stood still, and it has to be known from when on it did not: not being mentioned
means that only in a tick that came whole, and only in one in which the type has its turn.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Sequence
from math import isfinite
from typing import Final, NamedTuple

from ecsnet.replication.client.store import ENTITIES, Store
from ecsnet.replication.wire import PARTS
from ecsnet.schema import ComponentType

__all__ = ["Blend", "Samples"]

EXTRAPOLATED_TICKS: Final = 6
"""The most ticks that are drawn beyond what was heard of: two updates, where one comes in three
ticks. Half as many are used up by two losses in a row."""

_REMEMBERED: Final = 128  # ticks for which it is known what of them is missing, and who jumped
_JUMPS: Final = 16  # of an entity meanwhile
_LEFT_OUT: Final = 1 << PARTS

_Floats = tuple[float, ...]


class Blend(NamedTuple):
    """A place between two values of a component, for `WireType.blend`."""

    one: _Floats
    other: _Floats
    fraction: float


class Samples:
    """The history of what is drawn between values, no longer than it takes.

    Args:
        components: The component types, by component id.
        interval: Ticks from one update to the next.
        entities: The network ids that are known now.
        teleports: The component id of the type that changes when an entity jumps; None for none.

    Attributes:
        newest: The newest tick that was heard of.
    """

    def __init__(
        self,
        components: Sequence[ComponentType],
        interval: int,
        entities: Container[int],
        teleports: int | None = None,
    ) -> None:
        self.newest = -1
        self._entities = entities
        self._components = components
        self._interval = interval
        self._teleports = teleports
        # Ticks from one turn of an interpolated type to the next, by component id.
        self._turns = {
            cid: -(-kind.rate // interval) * interval
            for cid, kind in enumerate(components)
            if kind.interpolate
        }
        self._tracks: dict[tuple[int, int], _Track] = {}
        # What is missing of a tick: a bit for each datagram, and `_LEFT_OUT`. 0: it came whole.
        self._missing: dict[int, int] = {}
        # By network id, the ticks at which an entity jumped, and what said so.
        self._jumps: dict[int, list[tuple[int, object]]] = {}

    def clear(self) -> None:
        """Forget all values: what is shown next is what the store says."""
        self._tracks.clear()

    # What is told.

    def heard(self, tick: int, index: int, count: int, *, left_out: bool, settled: bool) -> None:
        """Take note of a datagram.

        Args:
            tick: Its tick.
            index: Which of the datagrams of this tick it is.
            count: How many there are.
            left_out: Whether the client lacks something that is not in them.
            settled: Whether nothing was missing in the update before.
        """
        self.newest = max(self.newest, tick)
        all_of_it = (1 << count) - 1 | (_LEFT_OUT if left_out else 0)
        self._missing[tick] = self._missing.get(tick, all_of_it) & ~(1 << index)
        if settled:
            self._missing[tick - self._interval] = 0
        if len(self._missing) > 2 * _REMEMBERED:
            oldest = self.newest - _REMEMBERED
            self._missing = {at: lacks for at, lacks in self._missing.items() if at >= oldest}

    def note(self, nets: Sequence[int], cid: int, values: Sequence[object], tick: int) -> None:
        """Take note of the values of a component for some entities, from an update."""
        if cid in self._turns:
            floats = self._components[cid].floats
            for net, value in zip(nets, values, strict=True):
                track = self._tracks.get((net, cid))
                if track is None:
                    track = self._tracks[net, cid] = _Track()
                track.add(tick, _finite(floats(value)))
        elif cid == self._teleports:
            for net, value in zip(nets, values, strict=True):
                self._jump(net, tick, value)

    def note_inserted(
        self, nets: Sequence[int], cid: int, values: Sequence[object], tick: int
    ) -> None:
        """Take note of a component that appears on some entities: it was nowhere before."""
        self.note(nets, cid, values, tick)
        if cid in self._turns:
            for net in nets:
                self._jump(net, tick, None)

    def _jump(self, net: int, tick: int, said: object) -> None:
        """Note that an entity jumped; it is told three times, and the first one counts."""
        if net not in self._entities:
            return
        jumps = self._jumps.setdefault(net, [])
        for number, (at, before) in enumerate(jumps):
            if said is not None and said == before:
                jumps[number] = min(at, tick), said
                return
        jumps.append((tick, said))
        del jumps[:-_JUMPS]
        if len(self._jumps) > ENTITIES:  # most of them are gone, in a time that stands still
            self._jumps.clear()

    # What is drawn.

    def draw(self, tick: float, store: Store) -> dict[tuple[int, int], Blend]:
        """Return what lies between two values at a tick, by network id and component id; let go of
        what will not be drawn any more.

        Args:
            tick: The tick that is drawn, with its fraction; it never goes back.
            store: What was told up to that tick.
        """
        if self._jumps:
            oldest = tick - _REMEMBERED
            self._jumps = {n: jumps for n, jumps in self._jumps.items() if jumps[-1][0] > oldest}
        blends: dict[tuple[int, int], Blend] = {}
        for key, track in list(self._tracks.items()):
            net, cid = key
            record = store.entities.get(net)
            wire = None if record is None else record.values.get(cid)
            past = track.forget_before(tick)
            if record is None or wire is None:
                if past == len(track.ticks):
                    del self._tracks[key]
                continue
            if not past or track.ticks[past - 1] < record.ticks[cid]:
                track.add(record.ticks[cid], _finite(self._components[cid].floats(wire)))
                past = track.forget_before(tick)
            if past == len(track.ticks):
                if past < 2 or not self._goes_on(cid, track, tick):
                    del self._tracks[key]
                    continue
                past -= 1
            if not past:
                continue
            blend = self._between(net, cid, track, past, tick)
            if blend is not None:
                blends[key] = blend
        return blends

    def _goes_on(self, cid: int, track: _Track, tick: float) -> bool:
        """Return whether a component may have changed again after its last value, as far as it is
        known.
        """
        last, turn = track.ticks[-1], self._turns[cid]
        if tick >= last + EXTRAPOLATED_TICKS + turn:
            return False
        turns = range(last + turn, self.newest + 1, turn)
        return all(self._missing.get(at, _LEFT_OUT) for at in turns)

    def _between(self, net: int, cid: int, track: _Track, number: int, tick: float) -> Blend | None:
        """Return what lies at a tick between a value and the one before it; None where the value
        before it is shown as it is.
        """
        before, after = track.ticks[number - 1], track.ticks[number]
        one, other = track.floats[number - 1], track.floats[number]
        start = self._moves_from(cid, before, after)
        if after < tick:
            # No tick since then is known to have left it as it was, see `_goes_on`.
            tick = min(tick, after + EXTRAPOLATED_TICKS)
        if one is None or other is None or tick <= start:
            return None
        kind = self._components[cid]
        if kind.snap is not None and kind.distance(one, other) > kind.snap:
            return None
        if any(before < jump <= after for jump, _ in self._jumps.get(net, ())):
            return None
        return Blend(one, other, (tick - start) / (after - start))

    def _moves_from(self, cid: int, before: int, after: int) -> int:
        """Return the last tick, from ``before`` on, at which a component is known to have had the
        value of ``before``.
        """
        turn = self._turns[cid]
        at = after - turn
        oldest = max(before, after - _REMEMBERED)
        while at > oldest and self._missing.get(at, _LEFT_OUT):
            at -= turn
        return max(at, before)


class _Track:
    """The values of one component, by tick."""

    __slots__ = ("floats", "ticks")

    def __init__(self) -> None:
        self.ticks: list[int] = []
        self.floats: list[_Floats | None] = []
        """Each None where one of its floats is not finite: nothing lies beside such a value."""

    def add(self, tick: int, floats: _Floats | None) -> None:
        """Sort a value in, though it may have come late."""
        at = bisect_right(self.ticks, tick)
        if not at or self.ticks[at - 1] != tick:
            self.ticks.insert(at, tick)
            self.floats.insert(at, floats)

    def forget_before(self, tick: float) -> int:
        """Keep the last two values up to a tick, or what there is; returns how many that is."""
        past = bisect_right(self.ticks, tick)
        if past > 2:
            del self.ticks[: past - 2], self.floats[: past - 2]
            return 2
        return past


def _finite(floats: _Floats) -> _Floats | None:
    return floats if isfinite(sum(floats)) else None
