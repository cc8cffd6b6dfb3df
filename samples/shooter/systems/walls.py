import math

import esper

from ecsnet.components import Collider, Position

from ..components import Ship
from ..field import SHIP


class WallSystem(esper.Processor):
    """Keeps ships out of walls, which are all that has a Collider."""

    def process(self, dt: float) -> None:
        for _, (_, at) in esper.get_components(Ship, Position):
            for _, (corner, size) in esper.get_components(Position, Collider):
                x = min(max(at.x, corner.x), corner.x + size.width)  # where it is nearest
                y = min(max(at.y, corner.y), corner.y + size.height)
                away = math.hypot(at.x - x, at.y - y)
                if 0 < away < SHIP:
                    at.x = x + (at.x - x) / away * SHIP
                    at.y = y + (at.y - y) / away * SHIP
