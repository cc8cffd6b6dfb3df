"""The room that something takes, and what it meets there."""

from __future__ import annotations

from dataclasses import dataclass

from ecsnet.schema import replicated


@replicated
class Collider:
    """A rectangle whose top left corner is the entity's Position; sizes in units.

    Two colliders that are both ``blocking`` keep each other out: `ecsnet.systems.MovementSystem`
    stops the one that moves at the other's edge. All others pass through.
    """

    width: float = 0.0
    height: float = 0.0
    blocking: bool = False


@dataclass(slots=True)
class Contacts:
    """The contacts of a collider in this tick. `ecsnet.systems.CollisionSystem` keeps them; they
    are not sent.

    Two blocking colliders meet when their edges touch, any others when they overlap.
    """

    entities: tuple[int, ...] = ()
    """The other entities, in ascending order."""
