"""The velocity of an entity, and the limit of its speed."""

from __future__ import annotations

from ecsnet.components.position import Position
from ecsnet.schema import replicated


@replicated
class Velocity:
    """The velocity at which `ecsnet.systems.MovementSystem` moves an entity, units per second."""

    dx: float = 0.0
    dy: float = 0.0

    def reach(self, position: Position, x: float, y: float, dt: float) -> None:
        """Aim for (x, y): the velocity that gets there in one step.

        A server that lets clients say where they are writes no position of theirs: it aims for
        it, and the entity's MaxSpeed and what blocks it decide how far it gets.

        Args:
            position: Where the entity is.
            x: Goal, in units.
            y: Goal, in units.
            dt: The step, in seconds.
        """
        self.dx = (x - position.x) / dt
        self.dy = (y - position.y) / dt


@replicated
class MaxSpeed:
    """The speed that an entity never exceeds, in units per second, whatever its Velocity says.

    0 holds it in place.
    """

    speed: float = 0.0
