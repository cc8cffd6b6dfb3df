"""What a tank is made of, and what its player may tell it."""

from typing import Annotated

import ecsnet as net


@net.replicated
class Tank:
    hp: int = 100
    heading: Annotated[float, net.Quantized(1 / 64)] = 0.0

    def alive(self) -> bool:
        return self.hp > 0


@net.replicated(visible_to="owner")
class Fuel:
    left: float = 10.0


@net.command(hold=True)
class Drive:
    dx: Annotated[int, net.Between(-1, 1)] = 0
