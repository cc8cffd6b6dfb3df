from typing import Annotated

import ecsnet as net

Direction = Annotated[int, net.Between(-1, 1)]


@net.command(hold=True)  # a state: how the keys stand, in every tick
class Steer:
    turn: Direction = 0
    thrust: Direction = 0
    fire: bool = False
    rewind: bool = True  # are my shots judged by what I saw? An honest game asks nobody


@net.command  # an action: it happens once
class Zap:
    pass
