"""The count of an entity's jumps."""

from __future__ import annotations

from typing import Annotated

from ecsnet.schema import Between, replicated


@replicated
class Teleports:
    """The number of times that the game itself has moved an entity, which clients are not to draw
    on its way there. `ecsnet.teleported` adds it to an entity and counts it up.
    """

    count: Annotated[int, Between(0, 65_535)] = 0
    """Begins again at 0 after 65,535: that it is another one than before is what counts."""
