"""A shooter in a window. The first one started hosts the game, the next ones join it."""

import argparse
import time

import pygame

import ecsnet as net

from . import bot
from .game import server
from .window import Window


def main() -> None:
    keys = "Arrows or WASD fly, space fires, X zaps; 1, 2, 3 switch what makes it feel good."
    parser = argparse.ArgumentParser(prog="shooter", description=keys)
    parser.add_argument("--name", default="player", help="what you are called")
    parser.add_argument("--bot", action="store_true", help="let the computer play for you")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    given = parser.parse_args()
    window, clock = Window(), pygame.time.Clock()
    pygame.event.set_blocked(pygame.MOUSEMOTION)  # what nobody takes would fill the queue
    end = time.perf_counter() + given.seconds
    with net.play(server, name=given.name) as client:
        while time.perf_counter() < end and not client.closed and not pygame.event.get(pygame.QUIT):
            (bot.play if given.bot else window.steer)(client)
            window.draw(client, client.poll())
            pygame.display.flip()
            pygame.display.set_caption(f"Shooter · {client.stats}")
            clock.tick(60)


if __name__ == "__main__":
    main()
