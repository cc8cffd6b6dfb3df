"""The owner of an entity."""

from __future__ import annotations

from ecsnet.schema import EntityRef, replicated


@replicated
class Owner:
    """The owner of an entity: a player.

    The player's commands may name it, its owner-only components are sent to that player alone, and
    it goes when the player leaves.
    """

    player: EntityRef = None
    """The player's entity; None when nobody's."""
