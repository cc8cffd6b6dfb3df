import random

import ecsnet as net

from .game import Say

LINES = ("Hello!", "Is anybody here?", "I am a bot.", "Nice to meet you.", "Lag? What lag?")


def play(client: net.ClientWorld) -> None:
    """Say something, about once in two seconds."""
    if random.random() < 0.01:
        client.send(Say(random.choice(LINES)))
