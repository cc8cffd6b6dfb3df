"""The private world as it was after each of the last ticks.

Components are kept by type and not by entity: which entities have one seldom changes, so most ticks
share that, and a tick costs one copy of each component.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["History", "Layout", "Snapshot"]


class Layout:
    """The components that are kept of each entity; many ticks share one.

    Args:
        kinds: The component ids of each entity.

    Attributes:
        kinds: The same.
        rows: The entities that have a component, by component id, each with its place in the
            columns of snapshots.
    """

    __slots__ = ("kinds", "rows")

    def __init__(self, kinds: Mapping[int, frozenset[int]]) -> None:
        self.kinds = kinds
        self.rows: dict[int, dict[int, int]] = {}
        for entity, cids in kinds.items():
            for cid in cids:
                row = self.rows.setdefault(cid, {})
                row[entity] = len(row)


class Snapshot:
    """Copies of components, after a tick. Nobody changes them.

    Args:
        layout: Which ones there are.
        columns: The copies, by component id, in the order of the layout's rows.
    """

    __slots__ = ("columns", "layout")

    def __init__(self, layout: Layout, columns: Mapping[int, list[object]]) -> None:
        self.layout = layout
        self.columns = columns

    def value(self, entity: int, cid: int) -> object | None:
        """Return a component as it was; None where it was not there."""
        try:
            return self.columns[cid][self.layout.rows[cid][entity]]
        except KeyError:
            return None


class History:
    """The snapshots of the last ticks.

    Args:
        ticks: The number of ticks that are kept.
    """

    def __init__(self, ticks: int) -> None:
        self._ticks = ticks
        self._snapshots: dict[int, Snapshot] = {}

    def keep(self, tick: int, snapshot: Snapshot) -> None:
        """Keep the snapshot of a tick, in the place of an earlier one of it."""
        self._snapshots[tick] = snapshot
        self._snapshots.pop(tick - self._ticks, None)

    def get(self, tick: int) -> Snapshot | None:
        """Return the snapshot of a tick; None where there is none, or none any more."""
        return self._snapshots.get(tick)

    @property
    def oldest(self) -> int:
        """The oldest tick that is kept; 0 where none is."""
        return next(iter(self._snapshots), 0)

    def clear(self) -> None:
        """Forget all of them."""
        self._snapshots.clear()
