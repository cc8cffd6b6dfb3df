"""Tanks go where their players steer them, while there is fuel."""

import esper

import ecsnet as net
from components import Drive, Fuel
from ecsnet.components import Velocity


class DrivingSystem(esper.Processor):
    def process(self, dt: float) -> None:
        for tank, drive in net.commands(Drive):
            fuel = esper.component_for_entity(tank, Fuel)
            velocity = esper.component_for_entity(tank, Velocity)
            velocity.dx = drive.dx * 60.0 if fuel.left > 0.0 else 0.0
            fuel.left -= abs(drive.dx) * dt
