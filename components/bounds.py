"""The part of the world that something stays in."""

from __future__ import annotations

from ecsnet.schema import replicated


@replicated
class Bounds:
    """A rectangle that an entity, with all of its Collider, does not leave.

    One that reaches an edge stands exactly on it: ``position.x == bounds.left``. With ``bounce`` it
    comes back from there at the same speed; without, it slides along the edge.
    """

    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    bounce: bool = False
