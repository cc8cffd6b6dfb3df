import ecsnet as net

from ..field import ARMOUR


@net.replicated(predicted=False)  # the server alone writes it
class Score:
    colour: int = 0
    armour: int = ARMOUR
    points: int = 0
    beams: int = 0  # shot
    hits: int = 0  # of these
