"""Snapshots of a world: slices of encoded columns, a little of a large world each tick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

import msgspec

from ecsnet.analytics.segment import FRAME_LIMIT
from ecsnet.analytics.values import plain
from ecsnet.world import World

__all__ = ["Column", "Sampler", "owner_of"]

TICK_SECONDS = 0.0001
"""The longest time that a tick works at a snapshot. One slice is taken in any case; but of a large
world not in the tick in which the snapshot begins, which has looked for its entities."""

SLICE_BYTES = 12 * 1024
"""The size that slices aim at; documents are a few times as large."""

_MOST = 64  # entities in a slice: a tick should not feel even one


@dataclass(frozen=True, slots=True)
class Column:
    """A component type that is sampled.

    Attributes:
        number: What the journal calls it.
        cls: The class.
        every: Ticks from one sample to the next.
    """

    number: int
    cls: type
    every: int


_Column: TypeAlias = tuple[int, list[object]]


@dataclass(slots=True)
class _Snapshot:
    """One that is being taken."""

    tick: int
    columns: list[Column]
    entities: list[int]
    done: int = 0


class Sampler:
    """The sampler, which takes snapshots of a world when they are due.

    Args:
        world: The world.
        columns: What is sampled.
        owner: The component type whose ``player`` field names the player who owns an entity.
        begin: Called with the tick and the snapshot's for each slice; returns what stands before
            the entities in its record, see `records.Slice`.
        put: Called with each encoded slice.
        to_wire: Makes what msgspec encodes from a value of a type that it does not know.
        clock: Seconds, to measure by.
    """

    def __init__(
        self,
        world: World,
        columns: Sequence[Column],
        owner: type,
        begin: Callable[[int, int], tuple[object, ...]],
        put: Callable[[bytes], object],
        *,
        to_wire: Callable[[object], object] = plain,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._world = world
        self._columns = tuple(columns)
        self._owner = owner
        self._put = put
        self._begin = begin
        self._encode = msgspec.msgpack.Encoder(enc_hook=to_wire).encode
        self._clock = clock
        self._current: _Snapshot | None = None
        self._due: set[Column] = set()
        self._size = _MOST  # of the next slice, in entities
        self._took = 0.0  # seconds, for the last one
        self._empty = True  # there was nothing in the last snapshot

    def take(self, tick: int, players: Mapping[int, int]) -> None:
        """Take what is due, within the time that there is.

        Args:
            tick: The tick that runs.
            players: Numbers of the players by their entities.
        """
        self._due.update([column for column in self._columns if tick % column.every == 0])
        snapshot = self._current
        if snapshot is None and not self._due:
            return
        began = now = self._clock()
        if snapshot is None:
            snapshot = self._current = self._start(tick)
            self._note_emptiness(snapshot, tick)
            now = self._clock()
        small = len(snapshot.entities) <= self._size  # then it is of one tick, whatever it takes
        while snapshot.done < len(snapshot.entities):
            # Is there time for another one, after what this tick has done already?
            if not small and now > began and now + self._took > began + TICK_SECONDS:
                return
            self._slice(snapshot, tick, players)
            before, now = now, self._clock()
            self._took = now - before
        self._current = None

    def _start(self, tick: int) -> _Snapshot:
        columns = [column for column in self._columns if column in self._due]
        self._due.clear()
        there = set().union(*[self._world.holders(column.cls) for column in columns])
        return _Snapshot(tick, columns, sorted(there))

    def _note_emptiness(self, snapshot: _Snapshot, tick: int) -> None:
        """Put one slice without entities for a world that has become empty."""
        if snapshot.entities:
            self._empty = False
        elif not self._empty and not any(self._world.holders(each.cls) for each in self._columns):
            self._empty = True
            self._put(self._encoded((*self._begin(tick, tick), [], []), []))

    def _slice(self, snapshot: _Snapshot, tick: int, players: Mapping[int, int]) -> None:
        """Encode the next entities of a snapshot; as they are now, not as they were."""
        chosen = snapshot.entities[snapshot.done : snapshot.done + self._size]
        tables = self._world.tables()
        entities = [entity for entity in chosen if entity in tables]
        if entities:
            there = [tables[entity] for entity in entities]
            owner = self._owner
            # Most have none: that saves a call.
            owners = [
                owner_of(entity, table[owner], players) if owner in table else players.get(entity)
                for entity, table in zip(entities, there, strict=True)
            ]
            columns: list[_Column] = []
            for column in snapshot.columns:
                cls = column.cls
                values = [table.get(cls) for table in there]
                # Not any(): a game's component may be false.
                if not all(value is None for value in values):
                    columns.append((column.number, values))
            made = self._encoded((*self._begin(tick, snapshot.tick), entities, owners), columns)
            if len(made) > FRAME_LIMIT // 2 and len(chosen) > 1:
                self._size = len(chosen) // 2
                self._slice(snapshot, tick, players)
                return
            if len(made) > FRAME_LIMIT:
                columns = [(n, [self._bounded(one) for one in values]) for n, values in columns]
                made = self._encoded((*self._begin(tick, snapshot.tick), entities, owners), columns)
            self._put(made)
            self._size = max(1, min(_MOST, len(chosen) * SLICE_BYTES // len(made)))
        snapshot.done += len(chosen)

    def _encoded(self, rest: tuple[object, ...], columns: list[_Column]) -> bytes:
        try:
            return self._encode((*rest, columns))
        except Exception:  # noqa: BLE001 - games put anything into fields, converters are theirs
            mended = [
                (number, [self._without_fault(component) for component in values])
                for number, values in columns
            ]
            return self._encode((*rest, mended))

    def _bounded(self, component: object) -> object:
        """Return a component, or its size where no frame could hold it."""
        size = len(self._encode(self._without_fault(component)))
        return component if size <= FRAME_LIMIT // 16 else {"too_large": size}

    def _without_fault(self, component: object) -> object:
        try:
            self._encode(component)
        except Exception:  # noqa: BLE001 - what a game puts in a field may raise anything
            names = getattr(type(component), "__struct_fields__", ())
            return [plain(getattr(component, name, None)) for name in names]
        return component


def owner_of(entity: int, owner: object, players: Mapping[int, int]) -> int | None:
    """Return the number of the player who owns an entity, or is it.

    Args:
        entity: The entity.
        owner: Its component that names the owner, if it has one.
        players: Numbers of the players by their entities.
    """
    named = getattr(owner, "player", None)
    number = players.get(named) if type(named) is int else None  # games put anything there
    return players.get(entity) if number is None else number
