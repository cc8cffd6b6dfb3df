import ecsnet as net


@net.replicated
class Paddle:  # its Owner plays it
    left: bool = True
    score: int = 0
