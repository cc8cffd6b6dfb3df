"""References among the entities of the view: out of sight they read None, and they heal.

Components refer to entities by network id. Whenever an entity comes or goes, those that mention it
have to be made again, and this tells which ones they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from ecsnet.replication.client.store import effort_of
from ecsnet.replication.sizes import MENTIONS_OF_ONE
from ecsnet.schema import ComponentType

__all__ = ["MENTIONS", "References"]

MENTIONS = 262_144
"""The most references to entities that are kept, different ones within each component, together
with what is in these components, see `effort`: one that comes or goes may have them made again."""


class References:
    """The references from the components of a view to its entities.

    A component is named by the network id of its entity and its component id.

    Args:
        components: The component types that cross the wire, by component id.

    Attributes:
        kept: The references that are kept, together with what is in their components.
        overload: Set when that is more than may be kept: how much. What is noted from then on may
            be missing.
    """

    def __init__(self, components: Sequence[ComponentType]) -> None:
        self.kept = 0
        self.overload: str | None = None
        self._components = components
        self._referring = [cid for cid, kind in enumerate(components) if kind.has_refs]
        self._referrers: dict[int, set[tuple[int, int]]] = {}  # of a network id
        self._mentions: dict[tuple[int, int], tuple[tuple[int, ...], int]] = {}  # and effort

    def note(self, net: int, cid: int, wire: object) -> None:
        """Note what a component mentions now, in the place of what it did before."""
        self.forget(net, cid)
        kind = self._components[cid]
        found = kind.refs(wire)
        if len(found) > MENTIONS_OF_ONE:
            self.overload = (
                f"a {kind.name} holds {len(found):,} references, at most {MENTIONS_OF_ONE:,}"
            )
            return
        mentions = tuple(set(found))
        if not mentions:
            return
        within = effort_of(kind, wire)
        if self.kept + len(mentions) + within > MENTIONS:
            self.overload = (
                f"components hold more than {MENTIONS:,} references to entities, with the"
                " containers, and sixteenths of the items, around them"
            )
            return
        self.kept += len(mentions) + within
        self._mentions[net, cid] = mentions, within
        for mentioned in mentions:
            self._referrers.setdefault(mentioned, set()).add((net, cid))

    def forget(self, net: int, cid: int) -> None:
        """Forget what a component mentioned."""
        mentions, within = self._mentions.pop((net, cid), ((), 0))
        self.kept -= len(mentions) + within
        for mentioned in mentions:
            referrers = self._referrers[mentioned]
            referrers.discard((net, cid))
            if not referrers:
                del self._referrers[mentioned]

    def forget_entity(self, net: int) -> None:
        """Forget what the components of an entity mentioned."""
        for cid in self._referring:
            self.forget(net, cid)

    def rename(self, net: int, other: int) -> None:
        """Note that an entity goes by another network id, and what its components mention by that.
        Those that mention it are to be noted again.
        """
        for cid in self._referring:
            found = self._mentions.pop((net, cid), None)
            if found is None:
                continue
            self._mentions[other, cid] = found
            for mentioned in found[0]:
                self._referrers[mentioned].discard((net, cid))
                self._referrers[mentioned].add((other, cid))

    def clear(self) -> None:
        """Forget all references."""
        self._referrers.clear()
        self._mentions.clear()
        self.kept = 0

    def referrers(self, moved: Iterable[int]) -> Iterable[tuple[int, int]]:
        """Return the components that mention some of these entities, each of them once."""
        found = [self._referrers.get(mentioned, ()) for mentioned in moved]
        return dict.fromkeys(chain.from_iterable(found))
