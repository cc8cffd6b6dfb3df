import esper
import pygame

import ecsnet as net
from ecsnet.components import Collider, Player, Position

from .aim import ahead
from .commands import Steer, Zap
from .components import Beam, Bullet, Heading, Score
from .events import Boom
from .field import ARMOUR, HEIGHT, NOSE, SHIP, WIDTH

SIZE = WIDTH, HEIGHT + 28
SPACE, WALL, TEXT, PLAIN, OFF = "#12161f", "#4a546a", "#98a2b6", "#eef1f6", "#ff6b8b"
COLOURS = "#ffc04c", "#4cc3ff", "#7bdc8f", "#c58bff", "#ff9e5e", "#f3e06a", "#6be0d0", "#e88bc4"
BAD = net.Link(lag=0.075, jitter=0.015, loss=0.05)  # each way
BOOM = 20  # frames


class Window:
    """The window of one player, with the switches that show what each word does."""

    def __init__(self) -> None:
        pygame.font.init()
        self.screen = pygame.display.set_mode(SIZE)
        self.booms: list[tuple[Boom, int]] = []
        self.rewind = True

    def steer(self, client: net.ClientWorld) -> None:
        """Send what the keys say, and turn the switches."""
        typed = [event.key for event in pygame.event.get(pygame.KEYDOWN)]
        if pygame.K_1 in typed:
            client.interpolation = not client.interpolation
        if pygame.K_2 in typed:
            client.prediction = not client.prediction
        if pygame.K_3 in typed:
            self.rewind = not self.rewind
        if pygame.K_4 in typed:
            client.link = None if client.link else BAD
        down = pygame.key.get_pressed()
        turn = (down[pygame.K_RIGHT] | down[pygame.K_d]) - (down[pygame.K_LEFT] | down[pygame.K_a])
        thrust = (down[pygame.K_UP] | down[pygame.K_w]) - (down[pygame.K_DOWN] | down[pygame.K_s])
        client.send(Steer(turn, thrust, down[pygame.K_SPACE], self.rewind))
        if pygame.K_x in typed:
            client.send(Zap())

    def draw(self, client: net.ClientWorld, events: list[object]) -> None:
        """Draw the world that is current, after a poll that returned these events."""
        self.screen.fill(SPACE)
        for _, (at, size) in esper.get_components(Position, Collider):
            pygame.draw.rect(self.screen, WALL, (at.x, at.y, size.width, size.height))
        for _, beam in esper.get_component(Beam):
            pygame.draw.line(self.screen, PLAIN, (beam.x, beam.y), (beam.to_x, beam.to_y), 2)
        for _, (bullet, at) in esper.get_components(Bullet, Position):
            radius = 3 if bullet.victim is None else 7  # a spark, until the server says the same
            pygame.draw.circle(self.screen, PLAIN, (at.x, at.y), radius)
        for ship, (score, at) in esper.get_components(Score, Position):
            self.draw_ship(ship, score, at, mine=ship == client.player)
        self.booms += [(event, BOOM) for event in events if isinstance(event, Boom)]
        for boom, left in self.booms:
            pygame.draw.circle(self.screen, PLAIN, (boom.x, boom.y), SHIP + 2 * (BOOM - left), 2)
        self.booms = [(boom, left - 1) for boom, left in self.booms if left > 1]
        self.draw_switches(client)

    def draw_ship(self, entity: int, score: Score, at: Position, *, mine: bool) -> None:
        colour = COLOURS[score.colour % len(COLOURS)]
        angle = esper.component_for_entity(entity, Heading).angle
        corners = [ahead(angle + turn, way) for turn, way in ((0, NOSE), (140, SHIP), (220, SHIP))]
        shape = [(at.x + x, at.y + y) for x, y in corners]
        pygame.draw.polygon(self.screen, colour, shape)
        pygame.draw.circle(self.screen, PLAIN if mine else colour, (at.x, at.y), SHIP, 1)
        pygame.draw.rect(self.screen, colour, (at.x - 12, at.y + 18, 24 * score.armour / ARMOUR, 3))
        name = esper.component_for_entity(entity, Player).name
        self.write(f"{name} {score.points}", at.x, at.y - 24 if at.y > 36 else at.y + 32, colour)

    def draw_switches(self, client: net.ClientWorld) -> None:
        switches = {
            "1 interpolation": client.interpolation,
            "2 prediction": client.prediction,
            "3 lag compensation": self.rewind,
            "4 good network": client.link is None,
        }
        for number, (name, on) in enumerate(switches.items()):
            text, colour = f"{name} {'on' if on else 'off'}", TEXT if on else OFF
            self.write(text, 80 + 160 * number, HEIGHT + 14, colour)

    def write(self, text: str, x: float, y: float, colour: str) -> None:
        picture = pygame.font.Font(None, 20).render(text, True, colour)
        place = picture.get_rect(center=(x, y)).clamp(self.screen.get_rect())
        self.screen.blit(picture, place)
