from typing import Annotated

import ecsnet as net

Pixels = Annotated[float, net.Quantized(1 / 16)]


@net.replicated
class Beam:  # its Owner shot it
    x: Pixels = 0.0
    y: Pixels = 0.0
    to_x: Pixels = 0.0
    to_y: Pixels = 0.0
    end: int = 0  # the tick in which it goes
    victim: net.EntityRef = None  # the ship that it struck
