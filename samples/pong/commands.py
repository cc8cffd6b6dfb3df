from typing import Annotated

import ecsnet as net


@net.command(hold=True)  # a state: how the stick stands, in every tick
class Steer:
    dy: Annotated[int, net.Between(-1, 1)] = 0


@net.command  # an action: it happens once
class Serve:
    pass
