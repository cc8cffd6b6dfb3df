import ecsnet as net


@net.event
class Boom:  # a ship is gone, and comes back elsewhere
    x: float
    y: float
