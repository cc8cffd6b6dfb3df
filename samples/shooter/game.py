import math

import esper

import ecsnet as net
from ecsnet.components import Bounds, Collider, Position, Velocity
from ecsnet.systems import MovementSystem

from .components import Heading, Score, Ship
from .events import Boom
from .field import ARMOUR, HEIGHT, SHIP, STARTS, WALLS, WIDTH
from .systems import BeamSystem, BulletSystem, HitSystem, SteeringSystem, WallSystem

server = net.ServerWorld(tick_rate=60, max_clients=8)  # alone: ecsnet serve shooter.game:server
server.add_system(SteeringSystem, priority=60, shared=True)  # these run ahead, in the client
server.add_system(MovementSystem, priority=50, shared=True)
server.add_system(WallSystem, priority=40, shared=True)
server.add_system(BulletSystem, priority=30, shared=True)
server.add_system(BeamSystem, priority=20, shared=True)
server.add_system(HitSystem, priority=10)  # this one, and what follows, does not


@server.on_start
def build() -> None:
    for left, top, width, height in WALLS:
        esper.create_entity(Position(left, top), Collider(width, height))


@server.on_join
def join(player: int) -> None:
    taken = {score.colour for _, score in esper.get_component(Score)}
    colour = min(set(range(len(taken) + 1)) - taken)
    field = Bounds(SHIP, SHIP, WIDTH - SHIP, HEIGHT - SHIP)
    place = Position(*free_start())
    for part in (Ship(), Heading(), place, Velocity(), field, Score(colour)):
        esper.add_component(player, part)


@server.system(priority=0)
def return_from_the_dead(dt: float) -> None:
    for ship, (score, at, speed) in esper.get_components(Score, Position, Velocity):
        if score.armour <= 0:
            net.emit(Boom(at.x, at.y))
            score.armour = ARMOUR
            speed.dx = speed.dy = 0.0
            at.x, at.y = free_start()
            net.teleported(ship)  # nobody sees it glide there


def free_start() -> tuple[float, float]:
    """The start that is farthest from all ships."""
    ships = [(at.x, at.y) for _, (_, at) in esper.get_components(Ship, Position)]
    return max(STARTS, key=lambda start: min((math.dist(start, at) for at in ships), default=0))
