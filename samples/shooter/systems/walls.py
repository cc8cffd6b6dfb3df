import math

import esper

from ecsnet.components import Collider, Position, Velocity

from ..components import Ship
from ..field import HEIGHT, SHIP, WIDTH


class WallSystem(esper.Processor):
    """Keeps ships out of walls, which are all that has a Collider, and ends their way into them."""

    def process(self, dt: float) -> None:
        for _, (_, at, speed) in esper.get_components(Ship, Position, Velocity):
            if not SHIP < at.x < WIDTH - SHIP:  # its Bounds stopped it
                speed.dx = 0.0
            if not SHIP < at.y < HEIGHT - SHIP:
                speed.dy = 0.0
            for _, (corner, size) in esper.get_components(Position, Collider):
                x = min(max(at.x, corner.x), corner.x + size.width)  # where it is nearest
                y = min(max(at.y, corner.y), corner.y + size.height)
                away = math.hypot(at.x - x, at.y - y)
                if 0 < away < SHIP:
                    out_x, out_y = (at.x - x) / away, (at.y - y) / away
                    at.x, at.y = x + out_x * SHIP, y + out_y * SHIP
                    into = min(0.0, speed.dx * out_x + speed.dy * out_y)
                    speed.dx, speed.dy = speed.dx - into * out_x, speed.dy - into * out_y
