import esper

import ecsnet as net
from ecsnet.components import Owner, Position

from ..aim import ahead, seen_by, trace
from ..commands import Zap
from ..components import Beam, Heading, Ship
from ..field import BEAM, BEAM_PAUSE, BEAM_TICKS, NOSE


class BeamSystem(esper.Processor):
    """Shoots beams, which strike at once, and lets them fade."""

    def process(self, dt: float) -> None:
        for entity, beam in esper.get_component(Beam):
            if net.tick() >= beam.end:
                esper.delete_entity(entity)
        zapping = dict(net.commands(Zap))
        for player, (ship, heading, at) in esper.get_components(Ship, Heading, Position):
            if player in zapping and net.tick() >= ship.beam:
                ship.beam = net.tick() + BEAM_PAUSE
                self.shoot(player, heading.angle, at)

    def shoot(self, player: int, angle: float, at: Position) -> None:
        with seen_by(player):
            way, victim = trace(player, at, angle, BEAM)
        (x, y), (to_x, to_y) = ahead(angle, min(NOSE, way)), ahead(angle, way)
        beam = Beam(at.x + x, at.y + y, at.x + to_x, at.y + to_y, net.tick() + BEAM_TICKS, victim)
        esper.create_entity(beam, Owner(player))
