import ecsnet as net


@net.replicated
class Ball:
    serve_at: int = 0  # the tick that brings it into play; 0 while it is
    rally: int = 0  # how often it was returned
