import ecsnet as net


@net.event
class Won:  # the match; to all
    name: str
