import esper

import ecsnet as net
from ecsnet.components import Owner

from ..components import Beam, Bullet, Score
from ..field import BEAM_TICKS


class HitSystem(esper.Processor):  # not shared: what a hit does, the server alone says
    """Counts what the other systems say has struck."""

    def process(self, dt: float) -> None:
        for entity, (bullet, owner) in esper.get_components(Bullet, Owner):
            if bullet.victim is not None and owner.player is not None:
                self.hit(owner.player, bullet.victim, damage=1)
                esper.delete_entity(entity)
        for _, (beam, owner) in esper.get_components(Beam, Owner):
            new = beam.end == net.tick() + BEAM_TICKS
            if new and owner.player is not None:
                score = esper.component_for_entity(owner.player, Score)
                score.beams += 1
                if beam.victim is not None:
                    score.hits += 1
                    self.hit(owner.player, beam.victim, damage=2)

    def hit(self, shooter: int, victim: int, damage: int) -> None:
        score = esper.component_for_entity(victim, Score)
        if score.armour > 0:
            score.armour -= damage
            if score.armour <= 0:
                esper.component_for_entity(shooter, Score).points += 1
