"""The drawn store, with what is predicted in the place of what was told."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ecsnet.replication.client.event_queue import EventQueue
from ecsnet.replication.client.store import LAST_ID, EntityState, Store, Why

__all__ = ["Overlay"]


class Overlay:
    """All that the view shows of a room: the player's own as it is ahead, all else as it is drawn.

    Args:
        told: The store that takes what arrives as it arrives.
        drawn: The store that is drawn. Its `Store.dirty` and `Store.went` are used up.

    Attributes:
        entities: What is shown, as `Store.entities`.
        dirty: As `Store.dirty`.
        went: As `Store.went`.
    """

    def __init__(self, told: Store, drawn: Store) -> None:
        self.entities: dict[int, EntityState] = {}
        self.dirty: dict[int, set[int]] = {}
        self.went: dict[int, Why] = {}
        self._told = told
        self._drawn = drawn
        self._ahead: dict[int, EntityState | None] = {}  # None: it was deleted ahead
        # What was ahead and is gone, as was told, but is not in the drawn store: it stays as it was
        # shown last until its end is drawn, behind the events before it. With the drawn store's own
        # of it; None until there is one.
        self._gone: dict[int, EntityState | None] = {}

    @property
    def events(self) -> EventQueue:
        """The events of the drawn store."""
        return self._drawn.events

    @property
    def ending(self) -> Collection[int]:
        """The keys of what is shown as it was last, or hidden, until its end is drawn."""
        return self._gone

    def take_over(self) -> None:
        """Take over what has changed in the drawn store."""
        drawn = self._drawn
        for net, cids in drawn.dirty.items():
            record = drawn.entities.get(net)
            if net in self._ahead or self._is_ending(net, record):
                # What went as it began to be ahead may have been shown before.
                shown = self.entities.get(net)
                if shown is not None and (removed := cids - shown.values.keys()):
                    self.dirty.setdefault(net, set()).update(removed)
            else:
                self._show(net, record, drawn.went.get(net, "despawned"), cids)
        drawn.dirty.clear()
        drawn.went.clear()

    def predict(
        self, ahead: Mapping[int, Mapping[int, object] | None], went: Mapping[int, Why]
    ) -> None:
        """Show what is ahead.

        Args:
            ahead: The wire values, by key and component id, of all that is predicted; None for an
                entity that was deleted ahead.
            went: The reasons why entities went that were ahead and are no more, by key.
        """
        drawn, told = self._drawn.entities, self._told.entities
        up_to_date = self._drawn.structured >= self._told.structured
        for key in self._ahead.keys() - ahead.keys():
            del self._ahead[key]
            if key in told:  # a copy where it is not drawn yet: what it is told from now on waits
                self._show(key, drawn.get(key) or EntityState(values={**told[key].values}))
            elif key > LAST_ID or (up_to_date and key not in drawn):
                self._show(key, None, went.get(key, "despawned"))
            else:
                self._gone[key] = drawn.get(key)
        for key, values in ahead.items():
            self._gone.pop(key, None)
            before = self._ahead.get(key)
            if values is None:
                if before is not None or key not in self._ahead:
                    self._show(key, None, "despawned")
                self._ahead[key] = None
            elif before is None:
                record = self._ahead[key] = EntityState(values={**values})
                self._show(key, record)
            else:
                self._renew(key, before, values)

    def rename(self, key: int, net: int) -> None:
        """Give what was predicted the network id under which it was told."""
        for table in (self._ahead, self.entities, self.dirty, self.went):
            if key in table:
                table[net] = table.pop(key)  # type: ignore[assignment]  # of the same one

    def _is_ending(self, net: int, record: EntityState | None) -> bool:
        """Return whether what the drawn store has of an entity is of a life that is over."""
        if net not in self._gone:
            return False
        if self._gone[net] is None:
            self._gone[net] = record
        if self._gone[net] is record is not None:
            return True
        del self._gone[net]
        return False

    def _renew(self, key: int, record: EntityState, values: Mapping[int, object]) -> None:
        shown = record.values
        changed = {cid for cid in shown if cid not in values}
        for cid in changed:
            del shown[cid]
        for cid, value in values.items():
            if cid not in shown or _differ(shown[cid], value):
                shown[cid] = value
                changed.add(cid)
        if changed:
            self.dirty.setdefault(key, set()).update(changed)

    def _show(
        self,
        net: int,
        record: EntityState | None,
        why: Why = "despawned",
        cids: set[int] | None = None,
    ) -> None:
        """Show an entity from now on as it is here; None: it is gone.

        Args:
            net: Its network id, or key.
            record: As it is.
            why: Why it is gone.
            cids: What has changed in it; all of it when left out. Where it went and came again,
                what it lost before it went is only there.
        """
        before = self.entities.pop(net, None)
        if record is None:
            if before is None:
                return
            self.went[net] = why
        else:
            self.went.pop(net, None)
            self.entities[net] = record
        dirty = self.dirty.setdefault(net, set())
        dirty.update(cids or ())
        if before is record and cids is not None:
            return
        for each in (before, record):
            dirty.update(() if each is None else each.values)


def _differ(one: object, other: object) -> bool:
    try:
        return bool(one != other)
    except Exception:  # noqa: BLE001 - the game's own may raise
        return True
