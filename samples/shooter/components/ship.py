import ecsnet as net


@net.replicated
class Ship:  # ticks in which its weapons are loaded again
    gun: int = 0
    beam: int = 0
    rewind: bool = True  # as its player says in Steer
