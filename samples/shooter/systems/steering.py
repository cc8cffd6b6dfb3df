import esper

import ecsnet as net
from ecsnet.components import Velocity

from ..aim import ahead
from ..commands import Steer
from ..components import Heading, Ship
from ..field import GRIP, SPEED, TURN


class SteeringSystem(esper.Processor):
    """Turns and pushes ships; MovementSystem moves them."""

    def process(self, dt: float) -> None:
        held = dict(net.commands(Steer))
        for entity, (ship, heading, speed) in esper.get_components(Ship, Heading, Velocity):
            stick = held.get(entity, Steer())
            ship.rewind = stick.rewind
            heading.angle = (heading.angle + stick.turn * TURN * dt) % 360
            dx, dy = ahead(heading.angle, stick.thrust * SPEED)
            speed.dx += (dx - speed.dx) * GRIP * dt
            speed.dy += (dy - speed.dy) * GRIP * dt
