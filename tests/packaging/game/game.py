"""A small game: ``ecsnet serve game:server``."""

import esper

import ecsnet as net
from components import Fuel, Tank
from ecsnet.components import Bounds, MaxSpeed, Position, Velocity
from ecsnet.systems import MovementSystem
from systems import DrivingSystem

server = net.ServerWorld(tick_rate=60)
server.add_system(DrivingSystem, priority=10)
server.add_system(MovementSystem)


@server.on_join
def join(player: int) -> None:
    parts = Tank(), Fuel(), Position(0.0, 0.0), Velocity(), MaxSpeed(50.0), Bounds(0, 0, 640, 480)
    for part in parts:
        esper.add_component(player, part)
