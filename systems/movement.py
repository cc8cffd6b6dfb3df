"""A system that moves entities with a velocity, as fast and as far as they may."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import esper

from ecsnet.components import Bounds, Collider, MaxSpeed, Position, Velocity
from ecsnet.systems.rectangles import EVERYWHERE, TOLERANCE, Box, Hit, Space, cell_side, hit
from ecsnet.validation.arguments import check_number

_MOST_TURNS = 8

_MARGIN = 100 * TOLERANCE
"""More than all turns of a step can come to by rounding, while coordinates are below `_FAR`."""

_FAR = 1e9
_FASTEST = sys.float_info.max

_Blocking: TypeAlias = tuple[Position, Velocity, Bounds | None, Collider]
"""The components of a mover that others block."""


class MovementSystem(esper.Processor):
    """A system that adds Velocity to Position within the rules of an entity's other components.

    - `MaxSpeed` (or ``max_speed``) cuts the velocity down, in its own direction. It is checked
      here and nowhere else, so it holds whatever a client sent.
    - `Bounds` ends the way at an edge, or turns it around.
    - A blocking `Collider` ends it at the edge of any other blocking one, and what is left of the
      step slides along. The whole way is looked at, so nothing is jumped over at any speed.

    Entities that block move one after the other, by ascending id, and the same world always moves
    the same way. A velocity that is not a finite number counts as none.

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
        # What stands still is put in its place again only where it is not as in the last step.
        self._walls: dict[int, Box] = {}
        self._side = 64.0
        self._scenery = Space(self._walls, self._side)

    def process(self, dt: float) -> None:
        """Move everything by one step of ``dt`` seconds."""
        limits = dict(esper.get_component(MaxSpeed))
        bounded = dict(esper.get_component(Bounds))
        colliders = dict(esper.get_component(Collider))
        unlimited = _FASTEST if self.max_speed is None else self.max_speed
        blocking: dict[int, _Blocking] = {}
        reaches: dict[int, Box] = {}
        for entity, (position, velocity) in esper.get_components(Position, Velocity):
            if not esper.entity_exists(entity):
                continue
            limit = limits.get(entity)
            most = unlimited if limit is None else limit.speed
            if not math.hypot(velocity.dx, velocity.dy) <= most <= _FASTEST:
                _limit(velocity, most)
            bounds = bounded.get(entity)
            collider = colliders.get(entity)
            if collider is not None and collider.blocking:
                blocking[entity] = (position, velocity, bounds, collider)
                reaches[entity] = _reach(position, velocity, dt, bounds, collider)
            elif bounds is None:
                position.x += velocity.dx * dt
                position.y += velocity.dy * dt
            else:
                _travel(position, velocity, dt, bounds, collider, ())
        if not blocking:
            return
        near = self._near(reaches)
        for entity in sorted(blocking):
            position, velocity, bounds, collider = blocking[entity]
            obstacles: Sequence[Box] = ()
            if entity in near:
                others = sorted(near[entity])
                obstacles = [_box(other) for other in others if esper.entity_exists(other)]
            _travel(position, velocity, dt, bounds, collider, obstacles)

    def _near(self, reaches: Mapping[int, Box]) -> defaultdict[int, list[int]]:
        """Return what each mover may meet in this step, of those that move and the scenery."""
        side = cell_side(reaches.values())
        near: defaultdict[int, list[int]] = defaultdict(list)
        for one, other in Space(reaches, side).pairs():
            near[one].append(other)
            near[other].append(one)
        walls = {
            entity: (at.x, at.y, at.x + size.width, at.y + size.height)
            for entity, (at, size) in esper.get_components(Position, Collider)
            if size.blocking and entity not in reaches
        }
        if (walls, side) != (self._walls, self._side):
            self._walls, self._side, self._scenery = walls, side, Space(walls, side)
        if walls:
            for entity, reach in reaches.items():
                if found := self._scenery.near(reach):
                    near[entity] += found
        return near


def _limit(velocity: Velocity, most: float) -> None:
    """Cut a velocity down to a speed; one that is not a finite number counts as none."""
    speed = math.hypot(velocity.dx, velocity.dy)
    if not math.isfinite(speed):
        velocity.dx = velocity.dy = 0.0
    elif speed > most:
        # In this order: most / speed may be too small for a float.
        velocity.dx = velocity.dx / speed * most
        velocity.dy = velocity.dy / speed * most


def _reach(
    position: Position, velocity: Velocity, dt: float, bounds: Bounds | None, collider: Collider
) -> Box:
    """Return a box that an entity does not leave in this step, whatever turns its way takes."""
    left, top = position.x, position.y
    right, bottom = left + collider.width, top + collider.height
    if bounds is not None and not (
        bounds.left <= left
        and bounds.top <= top
        and right <= bounds.right
        and bottom <= bounds.bottom
    ):
        return EVERYWHERE  # it is brought back first
    far_x, far_y = abs(velocity.dx * dt) + _MARGIN, abs(velocity.dy * dt) + _MARGIN
    left, top, right, bottom = left - far_x, top - far_y, right + far_x, bottom + far_y
    if left > -_FAR and top > -_FAR and right < _FAR and bottom < _FAR:
        return left, top, right, bottom
    return EVERYWHERE


def _box(entity: int) -> Box:
    """Return where an entity's collider is now."""
    at = esper.component_for_entity(entity, Position)
    size = esper.component_for_entity(entity, Collider)
    return at.x, at.y, at.x + size.width, at.y + size.height


def _travel(
    position: Position,
    velocity: Velocity,
    dt: float,
    bounds: Bounds | None,
    collider: Collider | None,
    obstacles: Sequence[Box],
) -> None:
    """Take one entity along its way, which is mostly free: nothing ends or turns it."""
    x, y = position.x, position.y
    dx, dy = velocity.dx * dt, velocity.dy * dt
    width, height = (collider.width, collider.height) if collider is not None else (0.0, 0.0)
    box = (x, y, x + width, y + height)
    free = not obstacles or _first_obstacle(box, dx, dy, obstacles) is None
    if free and bounds is not None:
        free = _is_free(x, dx, width, bounds.left, bounds.right) and _is_free(
            y, dy, height, bounds.top, bounds.bottom
        )
    if free:
        x, y = x + dx, y + dy
    else:
        x, y = _turn_by_turn(x, y, width, height, velocity, dt, bounds, obstacles)
    if (x, y) != (position.x, position.y):
        position.x, position.y = x, y


def _is_free(at: float, way: float, size: float, low: float, high: float) -> bool:
    """Return whether a span is within low and high, and reaches neither before its way ends."""
    if way > 0.0:
        return low <= at and at + way <= high - size and way <= high - (at + size)
    return at <= high - size and low <= at + way and -way <= at - low


def _turn_by_turn(
    x: float,
    y: float,
    width: float,
    height: float,
    velocity: Velocity,
    dt: float,
    bounds: Bounds | None,
    obstacles: Sequence[Box],
) -> tuple[float, float]:
    """Return where a way ends on which each hit ends or turns one axis."""
    dx, dy = velocity.dx * dt, velocity.dy * dt
    if bounds is not None:
        x, y = _inside(x, y, width, height, bounds)
    for _ in range(_MOST_TURNS):
        box = (x, y, x + width, y + height)
        first = _first_obstacle(box, dx, dy, obstacles)
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
    return x, y


def _inside(x: float, y: float, width: float, height: float, bounds: Bounds) -> tuple[float, float]:
    return (
        max(min(x, bounds.right - width), bounds.left),
        max(min(y, bounds.bottom - height), bounds.top),
    )


def _first_obstacle(box: Box, dx: float, dy: float, obstacles: Sequence[Box]) -> Hit | None:
    if dx == 0.0 and dy == 0.0:
        return None
    first: Hit | None = None
    for obstacle in obstacles:
        found = hit(box, dx, dy, obstacle)
        if found is not None and (first is None or found < first):
            first = found
    return first


def _first_edge(box: Box, dx: float, dy: float, bounds: Bounds) -> Hit | None:
    """Return the edge of the bounds that a box inside them reaches before its way ends."""
    left, top, right, bottom = box
    time_x = _time_to_edge(left, right, dx, bounds.left, bounds.right)
    time_y = _time_to_edge(top, bottom, dy, bounds.top, bounds.bottom)
    if time_x < 1.0 and not time_y < time_x:
        stop = max(bounds.left, bounds.right - (right - left)) if dx > 0.0 else bounds.left
        return Hit(time_x, False, False, stop)
    if time_y < 1.0:
        stop = max(bounds.top, bounds.bottom - (bottom - top)) if dy > 0.0 else bounds.top
        return Hit(time_y, False, True, stop)
    return None


def _time_to_edge(low: float, high: float, d: float, near: float, far: float) -> float:
    """Return which part of the way is gone when a span between two edges reaches one of them."""
    if d == 0.0:
        return 1.0
    room = far - high if d > 0.0 else low - near
    return max(room, 0.0) / abs(d)
