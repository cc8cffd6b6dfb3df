"""The clients of a world in groups: who looks where, and sees the same as whom."""

from __future__ import annotations

from collections.abc import Hashable

from ecsnet.replication.server.client_state import ClientState, InterestGroup
from ecsnet.replication.server.entities import Change, Delta, Entity, ReplicatedEntities
from ecsnet.replication.server.interest import Interest

__all__ = ["InterestGroups"]


class InterestGroups:
    """The interest groups that there are.

    Args:
        entities: The entities that clients may see.
        interest: Decides who sees what.

    Attributes:
        by_key: The groups, by their key.
        watchers: The groups that see a cell, by the cell.
    """

    def __init__(self, entities: ReplicatedEntities, interest: Interest) -> None:
        self.by_key: dict[Hashable, InterestGroup] = {}
        self.watchers: dict[Hashable, list[InterestGroup]] = {}
        self._entities = entities
        self._interest = interest
        self._ungrouped: list[ClientState] = []  # those to look at in `update`
        self._focused: dict[int, list[ClientState]] = {}  # by the network id that they look from

    def add(self, client: ClientState) -> None:
        """Add a client, which comes into a group with the next `update`."""
        self._ungrouped.append(client)

    def remove(self, client: ClientState) -> None:
        """Remove a client, and its group where nobody is left in that."""
        if client in self._ungrouped:
            self._ungrouped.remove(client)
        self._set_focus(client, None)
        self._leave(client)

    def update(self, clients: list[ClientState], delta: Delta, tick: int) -> None:
        """Put every client into the group of the place it looks from.

        Args:
            clients: All clients.
            delta: What changed.
            tick: The tick in which it did.
        """
        interest, entities = self._interest, self._entities.by_esper.values()
        dynamic = interest.dynamic
        dirty = delta.owners
        ungrouped = self._ungrouped
        if dynamic or dirty or delta.cleared:
            ungrouped = clients
        elif self._focused:  # only those whose centre came to another cell
            for change in delta.cells.values():
                for net in change.entered:
                    ungrouped += self._focused.get(net, ())
        for client in ungrouped:
            if client.resettle or client.player in dirty:
                client.unsettle()
                self._set_focus(client, self._focus(client))
            elif not dynamic:
                focus = client.focus
                if focus is None or focus.cell is client.focus_cell:
                    continue
            client.focus_cell = None if client.focus is None else client.focus.cell
            group_key = interest.group_key(client, entities, tick)
            group = client.group
            if group is not None and (
                group_key is client.group_key or group_key == client.group_key
            ):
                continue
            client.group_key = group_key
            self._leave(client)
            group = self.by_key.get(group_key)
            if group is None:
                group = InterestGroup(group_key, interest.cells(group_key), self._entities)
                self.by_key[group_key] = group
                for cell in group.cells:
                    self.watchers.setdefault(cell, []).append(group)
            group.clients.append(client)
            client.group = group
            client.unsettle()
        self._ungrouped.clear()

    def changed(self, delta: Delta) -> dict[InterestGroup, Change]:
        """Group the changes by the interest groups in whose cells entities entered or left."""
        watchers = self.watchers
        groups: dict[InterestGroup, Change] = {}
        for cell, change in delta.cells.items():
            for group in watchers.get(cell, ()):
                known = groups.get(group)
                if known is None:
                    known = groups[group] = Change()
                known.entered |= change.entered
                known.left |= change.left
        for entity in (*delta.inserted, *delta.removed):
            for group in watchers.get(entity.cell, ()):
                if group not in groups:
                    groups[group] = Change()
        return groups

    def _set_focus(self, client: ClientState, focus: Entity | None) -> None:
        """Let a client look from there."""
        old = client.focus
        if focus is old:
            return
        client.focus = focus
        if old is not None:
            self._focused[old.net].remove(client)
            if not self._focused[old.net]:
                del self._focused[old.net]
        if focus is not None:
            self._focused.setdefault(focus.net, []).append(client)

    def _focus(self, client: ClientState) -> Entity | None:
        """Find the focus of a player: itself, or the first thing it owns that has a position."""
        owned = [e for e in self._entities.belongings(client.player) if e.point is not None]
        if not owned:
            return None
        return min(owned, key=lambda e: (e.esper != client.player, e.order))

    def _leave(self, client: ClientState) -> None:
        group = client.group
        if group is None:
            return
        client.group = None
        group.clients.remove(client)
        if group.clients:
            return
        del self.by_key[group.group_key]
        for cell in group.cells:
            watchers = self.watchers[cell]
            watchers.remove(group)
            if not watchers:
                del self.watchers[cell]
