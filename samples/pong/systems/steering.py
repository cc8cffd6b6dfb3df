import esper

import ecsnet as net
from ecsnet.components import Velocity

from ..commands import Steer
from ..components import Paddle
from ..table import PADDLE_SPEED


class SteeringSystem(esper.Processor):  # MovementSystem sees how far a paddle gets
    def process(self, dt: float) -> None:
        held = dict(net.commands(Steer))
        for entity, (_, speed) in esper.get_components(Paddle, Velocity):
            speed.dy = held.get(entity, Steer()).dy * PADDLE_SPEED
