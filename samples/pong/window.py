import math

import esper
import pygame

import ecsnet as net
from ecsnet.components import Collider, Owner, Player, Position

from .commands import Serve, Steer
from .components import Paddle
from .events import Won
from .table import HEIGHT, WIDTH

SIZE = WIDTH, HEIGHT
TABLE, LINE, TEXT, PLAIN, MINE = "#12161f", "#4a546a", "#98a2b6", "#eef1f6", "#ffc04c"
NEWS = 240  # ticks for which it stays: four seconds


def steer(client: net.ClientWorld) -> None:
    """Send what the keys say: W and S or the arrows move, space serves and says one is ready."""
    keys = pygame.key.get_pressed()
    down, up = keys[pygame.K_s] or keys[pygame.K_DOWN], keys[pygame.K_w] or keys[pygame.K_UP]
    space = pygame.K_SPACE in [event.key for event in pygame.event.get(pygame.KEYDOWN)]
    for paddle, _ in client.mine(Paddle):
        client.send(Steer(down - up), entity=paddle)
        if space:
            client.send(Serve(), entity=paddle)
    if space and client.lobby and client.lobby.phase != "playing":
        client.set_ready(not any(each.mine and each.ready for each in client.lobby.players))


class Window:
    """The window of one player, who plays or watches."""

    def __init__(self) -> None:
        pygame.font.init()
        self.screen = pygame.display.set_mode(SIZE)
        self.news, self.news_until = "", 0

    def draw(self, client: net.ClientWorld, events: list[object]) -> None:
        """Draw the world that is current, after a poll that returned these events."""
        for event in events:
            if isinstance(event, Won):
                self.news, self.news_until = f"{event.name} wins", client.stats.tick + NEWS
        self.screen.fill(TABLE)
        if client.lobby and client.lobby.phase == "playing":
            self.draw_match(client)
        else:
            self.draw_lobby(client)

    def draw_lobby(self, client: net.ClientWorld) -> None:
        title = self.news if client.stats.tick < self.news_until else "Pong"
        self.write(title, 90, WIDTH // 2, 80, PLAIN)
        lobby = client.lobby
        if lobby is None:
            return
        for row, each in enumerate(each for each in lobby.players if each.plays):
            text = f"{each.name}: {'ready' if each.ready else 'not ready'}"
            self.write(text, 36, WIDTH // 2, 165 + 40 * row, MINE if each.mine else TEXT)
        watching = sum(not each.plays for each in lobby.players)
        if watching:
            self.write(f"{watching} watching", 28, WIDTH // 2, 245, TEXT)
        if lobby.phase == "countdown":
            self.write(str(math.ceil(lobby.seconds_left)), 110, WIDTH // 2, 325, MINE)
        elif any(each.mine and each.plays and not each.ready for each in lobby.players):
            self.write("press SPACE when you are ready", 32, WIDTH // 2, 325, PLAIN)
        else:
            self.write("waiting for the others", 32, WIDTH // 2, 325, TEXT)

    def draw_match(self, client: net.ClientWorld) -> None:
        for y in range(8, HEIGHT, 24):
            pygame.draw.rect(self.screen, LINE, (WIDTH // 2 - 2, y, 4, 12))
        mine = [entity for entity, _ in client.mine(Paddle)]
        for entity, (paddle, owner) in esper.get_components(Paddle, Owner):
            player = esper.try_component(owner.player, Player) if owner.player else None
            x = WIDTH // 4 if paddle.left else WIDTH * 3 // 4
            self.write(str(paddle.score), 110, x, 70, LINE)
            self.write(player.name if player else "", 28, x, 128, MINE if entity in mine else TEXT)
        for entity, (place, size) in esper.get_components(Position, Collider):
            box = round(place.x), round(place.y), size.width, size.height
            colour = MINE if entity in mine else PLAIN
            pygame.draw.rect(self.screen, colour, box, border_radius=4)

    def write(self, text: str, size: int, x: int, y: int, colour: str) -> None:
        size = min(size, 2 * WIDTH // (len(text) + 1))  # or it would not fit
        picture = pygame.font.Font(None, size).render(text, True, colour)
        self.screen.blit(picture, picture.get_rect(center=(x, y)))
