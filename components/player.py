"""The player entity's component."""

from __future__ import annotations

from ecsnet.schema import replicated


@replicated
class Player:
    """The mark of a player's own entity; the server adds it when the player joins."""

    id: int = 0
    """Number of the player in this simulation; never given to another one."""
    name: str = ""
    """Name of the player: 1 to 24 printable characters."""
