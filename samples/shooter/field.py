"""The numbers of the game: pixels, degrees, seconds, and ticks where it says so."""

WIDTH, HEIGHT = 640, 480
WALLS = (  # left, top, width, height
    (130, 100, 20, 120),
    (490, 260, 20, 120),
    (250, 130, 140, 20),
    (250, 330, 140, 20),
)
STARTS = ((60, 60), (580, 420), (580, 60), (60, 420), (320, 50), (320, 430), (50, 240), (590, 240))

SHIP, ARMOUR = 12.0, 3  # its radius, and the hits that it takes
SPEED, GRIP, TURN = 210.0, 5.0, 180.0  # GRIP: how fast it comes to its speed
NOSE = 18.0  # where shots begin

BULLET_SPEED, BULLET_TICKS, BULLET_PAUSE = 420.0, 75, 9  # the last two in ticks
SPREAD = 2.0
BEAM, BEAM_TICKS, BEAM_PAUSE = 800.0, 18, 45
