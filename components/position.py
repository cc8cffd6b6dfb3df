"""The position of an entity."""

from __future__ import annotations

from ecsnet.schema import replicated


@replicated(interpolate=True)
class Position:
    """A point in the world; of an entity with a Collider, its top left corner.

    ``y`` grows downwards, as on a screen, in whatever unit the game likes; stock systems only need
    one unit throughout.
    """

    x: float = 0.0
    y: float = 0.0
