import esper

import ecsnet as net
from ecsnet.components import Owner, Velocity

from ..bot import follow
from ..commands import Steer
from ..components import Paddle
from ..table import PADDLE_SPEED


class SteeringSystem(esper.Processor):  # MovementSystem sees how far a paddle gets
    def process(self, dt: float) -> None:
        held: dict[int | None, Steer] = dict(net.commands(Steer))
        for entity, (_, owner, speed) in esper.get_components(Paddle, Owner, Velocity):
            way = follow(entity) if owner.player is None else held.get(owner.player, Steer()).dy
            speed.dy = way * PADDLE_SPEED
