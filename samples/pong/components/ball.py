import ecsnet as net


@net.replicated
class Ball:
    serve_at: int = 60  # the tick that brings it into play; 0 while it is
    rally: int = 0  # how often it was returned
