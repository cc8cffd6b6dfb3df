WIDTH, HEIGHT = 640, 400  # in pixels; speeds in pixels a second
PADDLE, PADDLE_SPEED = (12, 72), 300
BALL, BALL_SPEED, BALL_TOP_SPEED = 12, 300, 620
POINTS = 5  # win the match
