"""A system that moves entities with a velocity, as fast and as far as they may."""

from __future__ import annotations

import math
from operator import itemgetter

import esper

from ecsnet.components import Bounds, Collider, MaxSpeed, Position, Velocity
from ecsnet.systems.rectangles import Box, Hit, Space, hit, swept
from ecsnet.validation.arguments import check_number

_MOST_TURNS = 8


class MovementSystem(esper.Processor):
    """A system that adds Velocity to Position within the rules of an entity's other components.

    - `MaxSpeed` (or ``max_speed``) cuts the velocity down, in its own direction. It is checked
      here and nowhere else, so it holds whatever a client sent.
    - `Bounds` ends the way at an edge, or turns it around.
    - A blocking `Collider` ends it at the edge of any other blocking one, and what is left of the
      step slides along. The whole way is looked at, so nothing is jumped over at any speed.

    Entities move one after the other, by ascending id, and the system remembers nothing: the same
    world always moves the same way. A velocity that is not a finite number counts as none.

    Only movement is checked. A system that writes a Position puts the entity there, which is what
    a respawn wants; for a position that a client asks for, see `Velocity.reach`.

    Args:
        max_speed: Limit for entities without MaxSpeed, in units per second; None for no limit.
    """

    def __init__(self, max_speed: float | None = None) -> None:
        if max_speed is not None:
            advice = "give units per second, 0 or more, or None for no limit"
            check_number("MovementSystem(max_speed", max_speed, 0, math.inf, advice)
        self.max_speed = max_speed

    def process(self, dt: float) -> None:
        """Move everything by one step of ``dt`` seconds."""
        movers = esper.get_components(Position, Velocity)
        space: Space | None = None
        for entity, (position, velocity) in sorted(movers, key=itemgetter(0)):
            if not esper.entity_exists(entity):
                continue
            self._limit(entity, velocity)
            bounds = esper.try_component(entity, Bounds)
            collider = esper.try_component(entity, Collider)
            blocking = collider is not None and collider.blocking
            if bounds is None and not blocking:
                position.x += velocity.dx * dt
                position.y += velocity.dy * dt
                continue
            if blocking and space is None:
                space = _blockers()
            _travel(entity, position, velocity, dt, bounds, collider, space if blocking else None)

    def _limit(self, entity: int, velocity: Velocity) -> None:
        speed = math.hypot(velocity.dx, velocity.dy)
        if not math.isfinite(speed):
            velocity.dx = velocity.dy = 0.0
            return
        limit = esper.try_component(entity, MaxSpeed)
        most = self.max_speed if limit is None else limit.speed
        if most is not None and speed > most:
            # In this order: most / speed may be too small for a float.
            velocity.dx = velocity.dx / speed * most
            velocity.dy = velocity.dy / speed * most


def _blockers() -> Space:
    """Return every blocking collider that is alive, with its place."""
    return Space(
        (entity, (at.x, at.y, at.x + size.width, at.y + size.height))
        for entity, (at, size) in esper.get_components(Position, Collider)
        if size.blocking and esper.entity_exists(entity)
    )


def _travel(
    entity: int,
    position: Position,
    velocity: Velocity,
    dt: float,
    bounds: Bounds | None,
    collider: Collider | None,
    space: Space | None,
) -> None:
    """Take one entity along its way, turn by turn: each hit ends or turns one axis of it."""
    width, height = (collider.width, collider.height) if collider is not None else (0.0, 0.0)
    x, y = position.x, position.y
    dx, dy = velocity.dx * dt, velocity.dy * dt
    if bounds is not None:
        x, y = _inside(x, y, width, height, bounds)
    for _ in range(_MOST_TURNS):
        box = (x, y, x + width, y + height)
        first = _first_blocker(entity, box, dx, dy, space)
        bounce = False
        if bounds is not None:
            edge = _first_edge(box, dx, dy, bounds)
            if edge is not None and (first is None or edge.time <= first.time):
                first, bounce = edge, bounds.bounce
        if first is None:
            x, y = x + dx, y + dy
            break
        rest = 1.0 - first.time
        if first.along_y:
            x, y = x + dx * first.time, first.edge
            dx, dy = dx * rest, -dy * rest if bounce else 0.0
            velocity.dy = -velocity.dy if bounce else velocity.dy
        else:
            x, y = first.edge, y + dy * first.time
            dx, dy = -dx * rest if bounce else 0.0, dy * rest
            velocity.dx = -velocity.dx if bounce else velocity.dx
    if bounds is not None:
        # Rounding: what reaches an edge at the very end of its way is not beyond it.
        x, y = _inside(x, y, width, height, bounds)
    if (x, y) != (position.x, position.y):
        position.x, position.y = x, y
        if space is not None:
            space.move(entity, (x, y, x + width, y + height))


def _inside(x: float, y: float, width: float, height: float, bounds: Bounds) -> tuple[float, float]:
    return (
        max(min(x, bounds.right - width), bounds.left),
        max(min(y, bounds.bottom - height), bounds.top),
    )


def _first_blocker(entity: int, box: Box, dx: float, dy: float, space: Space | None) -> Hit | None:
    if space is None or (dx == 0.0 and dy == 0.0):
        return None
    hits = [
        found
        for other in space.near(swept(box, dx, dy))
        if other != entity and (found := hit(box, dx, dy, space.boxes[other])) is not None
    ]
    return min(hits, default=None)


def _first_edge(box: Box, dx: float, dy: float, bounds: Bounds) -> Hit | None:
    """Return the edge of the bounds that a box inside them reaches before its way ends."""
    left, top, right, bottom = box
    hits: list[Hit] = []
    if dx != 0.0:
        room = bounds.right - right if dx > 0.0 else left - bounds.left
        stop = max(bounds.left, bounds.right - (right - left)) if dx > 0.0 else bounds.left
        hits.append(Hit(max(room, 0.0) / abs(dx), False, False, stop))
    if dy != 0.0:
        room = bounds.bottom - bottom if dy > 0.0 else top - bounds.top
        stop = max(bounds.top, bounds.bottom - (bottom - top)) if dy > 0.0 else bounds.top
        hits.append(Hit(max(room, 0.0) / abs(dy), False, True, stop))
    return min((found for found in hits if found.time < 1.0), default=None)
