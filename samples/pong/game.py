import esper

import ecsnet as net
from ecsnet.components import Bounds, Collider, Owner, Player, Position, Velocity
from ecsnet.systems import CollisionSystem, MovementSystem

from .components import Ball, Paddle
from .events import Won
from .systems import BallSystem, SteeringSystem
from .table import BALL, HEIGHT, PADDLE, POINTS, WIDTH

lobby = net.Lobby(players=(2, 2), countdown=3.0, late="watch")
server = net.ServerWorld(tick_rate=60, lobby=lobby)  # alone: ecsnet serve pong.game:server
server.add_system(SteeringSystem, priority=40, shared=True)  # paddles answer at once
server.add_system(MovementSystem, priority=30, shared=True)
server.add_system(CollisionSystem, priority=20)
server.add_system(BallSystem, priority=10)


@server.on_play  # what is made here goes with the end of the match
def lay(players: list[int]) -> None:
    walls = Bounds(-WIDTH, 0, 2 * WIDTH, HEIGHT, bounce=True)  # none at the left and right
    esper.create_entity(Ball(net.tick() + 60), Position(), Velocity(), Collider(BALL, BALL), walls)
    for player, left in zip(players, (True, False), strict=True):
        at = Position(16 if left else WIDTH - 16 - PADDLE[0], (HEIGHT - PADDLE[1]) / 2)
        table = Bounds(0, 0, WIDTH, HEIGHT)
        esper.create_entity(Paddle(left), Owner(player), at, Velocity(), Collider(*PADDLE), table)


@server.system(priority=0)
def judge(dt: float) -> None:
    paddles = esper.get_components(Paddle, Owner)  # a paddle goes with its player
    for _, (paddle, owner) in paddles:
        if owner.player is not None and (paddle.score >= POINTS or len(paddles) == 1):
            net.emit(Won(esper.component_for_entity(owner.player, Player).name))
            net.end_match()
