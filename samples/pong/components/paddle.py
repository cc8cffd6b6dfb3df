import ecsnet as net


@net.replicated(predicted=False)  # the server alone writes it
class Paddle:  # its Owner plays it
    left: bool = True
    score: int = 0
