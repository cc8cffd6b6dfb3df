import esper

import ecsnet as net
from ecsnet.components import Bounds, Collider, Owner, Player, Position, Velocity
from ecsnet.systems import CollisionSystem, MovementSystem

from .components import Ball, Paddle
from .systems import BallSystem, SteeringSystem
from .table import BALL, HEIGHT, PADDLE, WIDTH

server = net.ServerWorld(tick_rate=60)  # alone: ecsnet serve pong.game:server
server.add_system(SteeringSystem, priority=40)
server.add_system(MovementSystem, priority=30)
server.add_system(CollisionSystem, priority=20)
server.add_system(BallSystem, priority=10)


@server.on_start
def start() -> None:
    walls = Bounds(-WIDTH, 0, 2 * WIDTH, HEIGHT, bounce=True)  # none at the left and right
    esper.create_entity(Ball(), Position(), Velocity(), Collider(BALL, BALL), walls)
    for left in (True, False):
        at = Position(16 if left else WIDTH - 16 - PADDLE[0], (HEIGHT - PADDLE[1]) / 2)
        table = Bounds(0, 0, WIDTH, HEIGHT)
        esper.create_entity(Paddle(left), Owner(), at, Velocity(), Collider(*PADDLE), table)


@server.on_leave
def leave(player: int) -> None:
    for _, owner in esper.get_component(Owner):
        if owner.player == player:
            owner.player = None


@server.system(priority=50)  # who waits for a paddle takes one over from the computer
def seat(dt: float) -> None:
    owners = [owner for _, owner in esper.get_component(Owner)]
    for player, _ in esper.get_component(Player):
        free = [owner for owner in owners if owner.player is None]
        if free and all(owner.player != player for owner in owners):
            free[0].player = player
