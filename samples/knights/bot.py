import random

import esper

import ecsnet as net

from .game import Barbarian, Knight


def play(client: net.ClientWorld) -> None:
    """Attack the weakest barbarian, about three times a second."""
    camp = [(barbarian.health, entity) for entity, barbarian in esper.get_component(Barbarian)]
    for _, knight in client.mine(Knight):
        if camp and knight.health > 30 and random.random() < 0.05:
            knight.attack(min(camp)[1])
