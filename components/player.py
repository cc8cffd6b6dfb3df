"""The player entity's component."""

from __future__ import annotations

from ecsnet.schema import replicated


@replicated
class Player:
    """Marks the entity that stands for a player; the server adds it when somebody joins."""

    id: int = 0
    """Number of the player in this simulation; never given to another one."""
    name: str = ""
    """Name of the player: 1 to 24 printable characters."""
