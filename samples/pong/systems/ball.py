import esper

import ecsnet as net
from ecsnet.components import Contacts, Position, Velocity

from ..commands import Serve
from ..components import Ball, Paddle
from ..table import BALL, BALL_SPEED, BALL_TOP_SPEED, HEIGHT, PADDLE, WIDTH


class BallSystem(esper.Processor):
    """Serves the ball, returns it from paddles and counts the points."""

    def process(self, dt: float) -> None:
        for entity, (ball, at, speed) in esper.get_components(Ball, Position, Velocity):
            if ball.serve_at:
                at.x, at.y = (WIDTH - BALL) / 2, (HEIGHT - BALL) / 2
                if net.tick() >= ball.serve_at or net.commands(Serve, Paddle):
                    ball.serve_at = ball.rally = 0
                    speed.dx = BALL_SPEED * net.rng().choice((-1, 1))
                    speed.dy = BALL_SPEED * net.rng().uniform(-1, 1)
            elif -BALL < at.x < WIDTH:
                for paddle in esper.component_for_entity(entity, Contacts).entities:
                    self.bounce(ball, at, speed, esper.component_for_entity(paddle, Position))
            else:
                for paddle, scorer in esper.get_component(Paddle):
                    if scorer.left == (at.x > 0):
                        scorer.score += 1
                        net.analytics_event("point", entity=paddle, rally=ball.rally)
                ball.serve_at = net.tick() + 60
                speed.dx = speed.dy = 0.0

    def bounce(self, ball: Ball, at: Position, speed: Velocity, paddle: Position) -> None:
        if (speed.dx < 0) == (paddle.x < WIDTH / 2):  # it comes towards this one
            ball.rally += 1
            way = 1 if speed.dx < 0 else -1
            speed.dx = way * min(BALL_SPEED + 20 * ball.rally, BALL_TOP_SPEED)
            speed.dy = (at.y + BALL / 2 - paddle.y - PADDLE[1] / 2) * 8
