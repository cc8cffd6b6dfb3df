"""Crazy Eights for four, which knows of no network.

In turn each of them plays a card of the same rank or suit as the one on top, or an eight, which
goes on everything; or draws one. Whoever has none left wins. "10H" is the ten of hearts.
"""

import random
from collections.abc import Sequence

RANKS, SUITS = ("7", "8", "9", "10", "J", "Q", "K", "A"), "CDHS"
HANDS, CARDS = 4, 5  # and so many cards for each at first


def goes_on(card: str, top: str) -> bool:
    return card[:-1] in ("8", top[:-1]) or card[-1] == top[-1]


def best(cards: Sequence[str], top: str) -> str | None:
    """Return the card to play, eights last; None where only drawing is left."""
    fitting = [card for card in cards if goes_on(card, top)]
    return min(fitting, key=lambda card: card[:-1] == "8", default=None)


class Deal:
    """The cards of one round. ``turn`` is the number of the hand whose turn it is, or has won."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.stock = [rank + suit for rank in RANKS for suit in SUITS]
        rng.shuffle(self.stock)
        self.hands = [[self.stock.pop() for _ in range(CARDS)] for _ in range(HANDS)]
        self.played = [self.stock.pop()]
        self.turn = rng.randrange(HANDS)

    @property
    def top(self) -> str:
        return self.played[-1]

    @property
    def hand(self) -> list[str]:
        return self.hands[self.turn]

    @property
    def over(self) -> bool:
        return not self.hand

    def play(self, card: str) -> bool:
        """Play a card of the one whose turn it is; False where the rules forbid it."""
        if card not in self.hand or not goes_on(card, self.top):
            return False
        self.hand.remove(card)
        self.played.append(card)
        self._go_on()
        return True

    def draw(self) -> bool:
        """Let the one whose turn it is draw a card; False at the end."""
        if self.over:
            return False
        if not self.stock:
            *self.stock, top = self.played
            self.played = [top]
            self.rng.shuffle(self.stock)
        if self.stock:  # or all are in the hands: then this one passes
            self.hand.append(self.stock.pop())
        self._go_on()
        return True

    def _go_on(self) -> None:
        if not self.over:
            self.turn = (self.turn + 1) % HANDS
