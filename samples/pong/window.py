import esper
import pygame

import ecsnet as net
from ecsnet.components import Collider, Owner, Player, Position

from .commands import Serve, Steer
from .components import Paddle
from .table import HEIGHT, WIDTH

SIZE = WIDTH, HEIGHT
TABLE, LINE, TEXT, PLAIN, MINE = "#12161f", "#4a546a", "#98a2b6", "#eef1f6", "#ffc04c"


def steer(client: net.ClientWorld) -> None:
    """Send what the keys say: W and S or the arrows move, space serves."""
    keys = pygame.key.get_pressed()
    down, up = keys[pygame.K_s] or keys[pygame.K_DOWN], keys[pygame.K_w] or keys[pygame.K_UP]
    client.send(Steer(down - up))
    if pygame.K_SPACE in [event.key for event in pygame.event.get(pygame.KEYDOWN)]:
        client.send(Serve())


def draw(screen: pygame.Surface, client: net.ClientWorld) -> None:
    """Draw the world that is current, from one player's point of view."""
    screen.fill(TABLE)
    for y in range(8, HEIGHT, 24):
        pygame.draw.rect(screen, LINE, (WIDTH // 2 - 2, y, 4, 12))
    mine = [entity for entity, _ in client.mine(Paddle)]
    for entity, (paddle, owner) in esper.get_components(Paddle, Owner):
        player = esper.try_component(owner.player, Player) if owner.player else None
        name, colour = player.name if player else "computer", MINE if entity in mine else TEXT
        x = WIDTH // 4 if paddle.left else WIDTH * 3 // 4
        write(screen, str(paddle.score), 110, x, 70, LINE)
        write(screen, name, 28, x, 128, colour)
    for entity, (place, size) in esper.get_components(Position, Collider):
        box = round(place.x), round(place.y), size.width, size.height
        pygame.draw.rect(screen, MINE if entity in mine else PLAIN, box, border_radius=4)


def write(screen: pygame.Surface, text: str, size: int, x: int, y: int, colour: str) -> None:
    picture = pygame.font.Font(None, size).render(text, True, colour)
    screen.blit(picture, picture.get_rect(center=(x, y)))
