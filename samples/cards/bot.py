import random

import esper

import ecsnet as net

from .game import Draw, Hand, Play, Table
from .rules import best


def play(client: net.ClientWorld) -> None:
    """Play for somebody, who thinks for a moment."""
    mine = client.mine(Hand)
    assert len(esper.get_component(Hand)) == len(mine)  # there is no other to peek at
    for _, table in esper.get_component(Table):
        for seat, hand in mine:
            if table.turn == seat and random.random() < 0.1:
                card = best(hand.cards, table.top)
                client.send(Play(card) if card else Draw(), entity=seat)
