import ecsnet as net


@net.replicated
class Paddle:  # its Owner plays it; while that is nobody, the computer does
    left: bool = True
    score: int = 0
