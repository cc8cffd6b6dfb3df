from typing import Annotated

import ecsnet as net


@net.replicated(interpolate=True)  # it glides on the others' screens, as the stock Position does
class Heading:
    angle: Annotated[float, net.Turn(360)] = 0.0  # clockwise from the right; 350 to 10 is 20
