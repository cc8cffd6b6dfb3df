"""Pong in a window. The first one started hosts the game, the next one joins it."""

import argparse
import time

import pygame

import ecsnet as net

from . import bot
from .game import server
from .window import Window, steer


def main() -> None:
    keys = "W and S or the arrows move, space serves and says that you are ready."
    parser = argparse.ArgumentParser(prog="pong", description=keys)
    parser.add_argument("--name", default="player", help="what you are called")
    parser.add_argument("--bot", action="store_true", help="let the computer play for you")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--profile", action="store_true", help="print how long poll() took")
    given = parser.parse_args()
    window, clock = Window(), pygame.time.Clock()
    pygame.event.set_blocked(pygame.MOUSEMOTION)  # what nobody takes would fill the queue
    took: list[float] = []
    end = time.perf_counter() + given.seconds
    with net.play(server, name=given.name) as client:
        while time.perf_counter() < end and not client.closed and not pygame.event.get(pygame.QUIT):
            (bot.play if given.bot else steer)(client)
            before = time.perf_counter()
            events = client.poll()
            took.append((time.perf_counter() - before) * 1000)
            window.draw(client, events)
            pygame.display.flip()
            pygame.display.set_caption(f"Pong · {client.stats}")
            clock.tick(60)
    if given.profile and took:
        took.sort()
        p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
        print(f"poll: p50 {p50:.3f} ms, p99 {p99:.3f} ms, max {took[-1]:.3f} ms, {len(took)} polls")


if __name__ == "__main__":
    main()
