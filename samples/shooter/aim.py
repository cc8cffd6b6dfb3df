"""The way of shots. Nothing in here writes, so that the bot can aim with it, too."""

import contextlib
import math

import esper

import ecsnet as net
from ecsnet.components import Collider, Position

from .components import Ship
from .field import SHIP


def seen_by(ship: int) -> contextlib.AbstractContextManager[None]:
    """The others where this ship's player saw them, or, if it wants it so, where they are now."""
    rewind = esper.component_for_entity(ship, Ship).rewind
    return net.rewind(ship) if rewind else contextlib.nullcontext()


def trace(shooter: int, at: Position, angle: float, reach: float) -> tuple[float, int | None]:
    """Return how far a shot gets, and the ship that it strikes, if any."""
    dx, dy = ahead(angle, 1)
    victim = None
    for _, (corner, size) in esper.get_components(Position, Collider):  # walls
        reach = min(reach, to_wall(at.x - corner.x, at.y - corner.y, dx, dy, size))
    for entity, (_, other) in esper.get_components(Ship, Position):
        x, y = other.x - at.x, other.y - at.y
        along, aside = x * dx + y * dy, x * dy - y * dx
        if entity != shooter and along > 0 and abs(aside) < SHIP:
            way = max(0.0, along - math.sqrt(SHIP**2 - aside**2))
            if way < reach:
                reach, victim = way, entity
    return reach, victim


def to_wall(x: float, y: float, dx: float, dy: float, size: Collider) -> float:
    """How far it is to a wall whose corner is (0, 0)."""
    enters, leaves = 0.0, math.inf
    for at, way, width in ((x, dx, size.width), (y, dy, size.height)):
        if abs(way) > 1e-9:
            one, other = sorted((-at / way, (width - at) / way))
            enters, leaves = max(enters, one), min(leaves, other)
        elif not 0 < at < width:
            return math.inf
    return enters if enters < leaves else math.inf


def ahead(angle: float, way: float) -> tuple[float, float]:
    """What is added to a place to get so far in this direction."""
    return math.cos(math.radians(angle)) * way, math.sin(math.radians(angle)) * way
