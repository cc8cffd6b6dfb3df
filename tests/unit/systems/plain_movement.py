"""Movement and contacts as they are meant, with no thought of speed: everybody is asked about all.

The stock systems must do the same to the bit.
"""

from __future__ import annotations

import math

import esper

from ecsnet.components import Bounds, Collider, MaxSpeed, Position, Velocity
from ecsnet.systems.rectangles import TOLERANCE, Box, Hit, overlap, touch


def move(dt: float, max_speed: float | None = None) -> None:
    """Move everything in the current world by one step, one after the other."""
    for entity, (_, velocity) in sorted(esper.get_components(Position, Velocity)):
        if not esper.entity_exists(entity):
            continue
        limit = esper.try_component(entity, MaxSpeed)
        _limit(velocity, max_speed if limit is None else limit.speed)
        _travel(entity, dt)


def contacts() -> dict[int, tuple[int, ...]]:
    """Return what each entity with a collider meets."""
    boxes = _colliders(blocking=False)
    solid = _colliders(blocking=True)
    met: dict[int, list[int]] = {entity: [] for entity in boxes}
    for one in sorted(boxes):
        for other in sorted(boxes):
            meets = touch if one in solid and other in solid else overlap
            if one < other and meets(boxes[one], boxes[other]):
                met[one].append(other)
                met[other].append(one)
    return {entity: tuple(sorted(others)) for entity, others in met.items()}


def _colliders(*, blocking: bool) -> dict[int, Box]:
    return {
        entity: (at.x, at.y, at.x + size.width, at.y + size.height)
        for entity, (at, size) in esper.get_components(Position, Collider)
        if esper.entity_exists(entity) and (size.blocking or not blocking)
    }


def _limit(velocity: Velocity, most: float | None) -> None:
    speed = math.hypot(velocity.dx, velocity.dy)
    if not math.isfinite(speed):
        velocity.dx = velocity.dy = 0.0
    elif most is not None and speed > most:
        velocity.dx = velocity.dx / speed * most
        velocity.dy = velocity.dy / speed * most


def _travel(entity: int, dt: float) -> None:
    position = esper.component_for_entity(entity, Position)
    velocity = esper.component_for_entity(entity, Velocity)
    bounds = esper.try_component(entity, Bounds)
    collider = esper.try_component(entity, Collider)
    blocking = collider is not None and collider.blocking
    if bounds is None and not blocking:
        position.x += velocity.dx * dt
        position.y += velocity.dy * dt
        return
    width, height = (collider.width, collider.height) if collider is not None else (0.0, 0.0)
    others = _colliders(blocking=True) if blocking else {}
    obstacles = [others[other] for other in sorted(others) if other != entity]
    x, y = position.x, position.y
    dx, dy = velocity.dx * dt, velocity.dy * dt
    if bounds is not None:
        x, y = _inside(x, y, width, height, bounds)
    for _ in range(8):
        box = (x, y, x + width, y + height)
        moves = dx != 0.0 or dy != 0.0
        hits = [hit(box, dx, dy, other) for other in obstacles if moves]
        first = min((found for found in hits if found is not None), default=None)
        bounce = False
        if bounds is not None:
            edge = min((e for e in _edges(box, dx, dy, bounds) if e.time < 1.0), default=None)
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
        x, y = _inside(x, y, width, height, bounds)
    if (x, y) != (position.x, position.y):
        position.x, position.y = x, y


def _inside(x: float, y: float, width: float, height: float, bounds: Bounds) -> tuple[float, float]:
    return (
        max(min(x, bounds.right - width), bounds.left),
        max(min(y, bounds.bottom - height), bounds.top),
    )


def _edges(box: Box, dx: float, dy: float, bounds: Bounds) -> list[Hit]:
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
    return hits


def hit(box: Box, dx: float, dy: float, obstacle: Box) -> Hit | None:
    """Return the hit of a box that moves on an obstacle."""
    left, top, right, bottom = box
    near_x, near_y, far_x, far_y = obstacle
    enter_x, leave_x = _passage(left, right, dx, near_x, far_x)
    enter_y, leave_y = _passage(top, bottom, dy, near_y, far_y)
    enter = max(enter_x, enter_y)
    if enter < 0.0 or enter >= 1.0 or enter >= leave_x or enter >= leave_y:
        return None
    corner = enter_x == enter_y
    if enter_x >= enter_y:
        return Hit(enter, corner, False, near_x - (right - left) if dx > 0.0 else far_x)
    return Hit(enter, corner, True, near_y - (bottom - top) if dy > 0.0 else far_y)


def _passage(low: float, high: float, d: float, near: float, far: float) -> tuple[float, float]:
    if d == 0.0:
        overlaps = high - near > TOLERANCE and far - low > TOLERANCE
        return (-math.inf, math.inf) if overlaps else (math.inf, -math.inf)
    gap, way_out = (near - high, far - low) if d > 0.0 else (low - far, high - near)
    enter = max(gap, 0.0) / abs(d) if gap >= -TOLERANCE else -math.inf
    return enter, (way_out - TOLERANCE) / abs(d)
