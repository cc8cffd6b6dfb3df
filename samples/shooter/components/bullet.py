import ecsnet as net


@net.replicated
class Bullet:  # its Owner shot it
    angle: float = 0.0
    end: int = 0  # the tick in which it goes
    victim: net.EntityRef = None  # the ship that it struck
