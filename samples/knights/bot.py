import random

import esper

import ecsnet as net

from .game import Attack, Barbarian, Knight


def play(client: net.ClientWorld) -> None:
    """Attack the weakest barbarian, about three times a second."""
    camp = [(barbarian.health, entity) for entity, barbarian in esper.get_component(Barbarian)]
    fit = any(knight.health > 30 for _, knight in client.mine(Knight))
    if camp and fit and random.random() < 0.05:
        client.send(Attack(min(camp)[1]))
