"""Cards: the rules, and four hands that nobody else sees."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator

import esper
import pytest

import ecsnet as net
from ecsnet.components import Owner
from ecsnet.testing import FaultyLink, Harness, Registry, use_registry

with use_registry(Registry()):
    from ecsnet.samples.cards import bot
    from ecsnet.samples.cards.game import (
        PAUSE,
        TURN,
        Draw,
        Drew,
        Hand,
        Play,
        Played,
        Seat,
        Table,
        Won,
        YourTurn,
        server,
    )
    from ecsnet.samples.cards.rules import CARDS, HANDS, Deal, best, goes_on

ROUND = PAUSE * HANDS + 1.0  # seconds that the computer takes for a turn of each hand


# The rules.


@pytest.mark.parametrize(
    ("card", "top", "goes"),
    [
        ("QH", "QS", True),
        ("QH", "7H", True),
        ("QH", "7S", False),
        ("10C", "10D", True),
        ("10C", "JC", True),
        ("10C", "AD", False),
        ("8C", "AD", True),  # an eight goes on everything, and not everything on it
        ("AD", "8C", False),
        ("AC", "8C", True),
    ],
)
def test_a_card_goes_on_its_rank_or_suit(card: str, top: str, goes: bool) -> None:
    assert goes_on(card, top) is goes


def test_eights_are_kept_for_the_end() -> None:
    assert best(["8C", "7H", "QD"], "QS") == "QD"
    assert best(["8C", "7H", "QD"], "AS") == "8C"
    assert best(["7H", "QD"], "AS") is None


def cards_of(deal: Deal) -> list[str]:
    return sorted(itertools.chain(deal.stock, deal.played, *deal.hands))


def test_a_deal_never_gains_or_loses_a_card_and_somebody_wins() -> None:
    turned = 0
    for seed in range(200):
        deal = Deal(random.Random(seed))
        deck = cards_of(deal)
        assert len(set(deck)) == 32
        assert [len(hand) for hand in deal.hands] == [CARDS] * HANDS
        for _ in range(1000):
            before, played = deal.turn, len(deal.played)
            card = best(deal.hand, deal.top)
            assert deal.draw() if card is None else deal.play(card)
            turned += len(deal.played) < played
            assert cards_of(deal) == deck
            if deal.over:
                break
            assert deal.turn == (before + 1) % HANDS
        assert deal.hands[deal.turn] == []
        assert not deal.draw()
        assert not deal.play(deal.top)
    assert turned > 0  # the stock ran out


def test_what_the_rules_forbid_changes_nothing() -> None:
    deal = Deal(random.Random(1))
    deal.hands[deal.turn], deal.played = ["7H", "QD"], ["AS"]
    turn = deal.turn
    assert not deal.play("7H")  # it does not go
    assert not deal.play("AC")  # it is not there
    assert not deal.play("")
    assert (deal.turn, deal.hand, deal.top) == (turn, ["7H", "QD"], "AS")


def test_who_finds_no_card_to_draw_passes() -> None:
    deal = Deal(random.Random(1))
    deal.stock, deal.played, turn = [], ["AS"], deal.turn
    assert deal.draw()
    assert len(deal.hands[turn]) == CARDS
    assert deal.turn != turn


# The game.


class Evening:
    """A table, whose players are bots, over links that lose 5 %. Each tick nobody has a hand of
    somebody else's.
    """

    def __init__(self, game: Harness) -> None:
        self.game = game
        self.playing: set[net.ClientWorld] = set()
        self.hands_seen: Counter[net.ClientWorld] = Counter()

    def connect(self, name: str, plays: bool = True) -> net.ClientWorld:
        link = FaultyLink(lag=0.05, jitter=0.02, loss=0.05, seed=len(self.game.seats))
        client = self.game.connect(name, link)
        if plays:
            self.playing.add(client)
        return client

    def leave(self, client: net.ClientWorld) -> None:
        self.playing.discard(client)
        self.game.leave(client)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * self.game.room.tick_rate)):
            for client in self.game.clients:
                with client.view:
                    for seat, _ in esper.get_component(Hand):
                        assert esper.component_for_entity(seat, Owner).player == client.player
                        self.hands_seen[client] += 1
                    if client in self.playing:
                        bot.play(client)
            self.game.step()

    def seat(self, client: net.ClientWorld) -> int:
        """Return the number of a client's seat."""
        with client.view:
            ((_, seat),) = client.mine(Seat)
        return seat.number

    def entity(self, client: net.ClientWorld, number: int) -> int:
        """Return the entity of a seat in a client's view."""
        return next(e for e, seat in client.view.structure(Seat) if seat.number == number)

    def hands(self) -> list[list[str]]:
        """Return the hands that there are on the server."""
        with self.game.world:
            found = esper.get_components(Seat, Hand)
            return [list(hand.cards) for _, (seat, hand) in sorted(found, key=_number)]

    def hand(self, client: net.ClientWorld) -> list[str]:
        """Return the hand that a client sees."""
        with client.view:
            ((_, hand),) = client.mine(Hand)
        return hand.cards

    def got(self, client: net.ClientWorld, *kinds: type) -> list[object]:
        """Return the events of some kinds that a client got."""
        return [event for event in self.game.events(client) if isinstance(event, kinds)]


def _number(found: tuple[int, tuple[Seat, Hand]]) -> int:
    return found[1][0].number


@pytest.fixture
def evening(monkeypatch: pytest.MonkeyPatch) -> Iterator[Evening]:
    monkeypatch.setattr(bot, "random", random.Random(1))
    with Harness(server, seed=1) as game:
        yield Evening(game)


def test_nobody_ever_has_a_hand_of_somebody_elses(evening: Evening) -> None:
    first = [evening.connect(name) for name in ("Ann", "Bob", "Cleo", "Dan")]
    late = evening.connect("Eve")
    evening.run(20)
    assert evening.hands_seen[late] == 0  # she waits for a seat
    evening.leave(first[1])
    evening.run(20)
    assert evening.game.settle()
    assert all(evening.hands_seen[client] > 300 for client in first)
    assert evening.hands_seen[late] > 300
    assert evening.hand(late) == evening.hands()[1]
    assert sum(each.link.stats.dropped for each in evening.game.seats.values()) > 100
    # What is played all have read, from when they came.
    games = [
        [getattr(event, "card", None) for event in evening.got(client, Played, Drew, Won)]
        for client in (first[0], first[2], first[3])
    ]
    assert len(games[2]) > 50
    assert all(game[-len(games[2]) :] == games[2] for game in games)


def test_your_turn_is_told_to_one(evening: Evening) -> None:
    clients = [evening.connect(name) for name in ("Ann", "Bob", "Cleo", "Dan")]
    evening.run(20)
    assert evening.game.settle()
    told = [each for each in evening.game.emitted if isinstance(each.event, YourTurn)]
    assert len(told) > 20
    assert sum(len(evening.got(client, YourTurn)) for client in clients) == len(told)
    for client in clients:
        with client.view:
            seat = evening.entity(client, evening.seat(client))
        # After the turn that one is told of, it is that one who plays or draws.
        for event, following in itertools.pairwise(evening.got(client, YourTurn, Played, Drew)):
            if isinstance(event, YourTurn):
                assert isinstance(following, Played | Drew)
                assert following.seat == seat


def test_the_computer_plays_for_who_is_missing(evening: Evening) -> None:
    ann = evening.connect("Ann")
    seats = {evening.entity(ann, number) for number in range(1, HANDS)}
    evening.run(ROUND * 3)
    moved = Counter(event.seat for event in evening.got(ann, Played, Drew))  # type: ignore[attr-defined]
    assert all(moved[seat] >= 2 for seat in seats)


def test_nobody_waits_for_ever(evening: Evening) -> None:
    ann = evening.connect("Ann", plays=False)
    evening.game.until(lambda: evening.got(ann, YourTurn), ROUND)
    evening.game.events(ann).clear()
    evening.run(TURN - 1)
    assert not evening.got(ann, Played, Drew)
    evening.run(2)
    (first, *_) = evening.got(ann, Played, Drew)
    assert first.seat == evening.entity(ann, evening.seat(ann))  # type: ignore[attr-defined]


def test_a_round_is_won_and_the_next_one_dealt(evening: Evening) -> None:
    ann = evening.connect("Ann")
    evening.run(120)
    assert evening.game.settle()
    rounds = len(evening.got(ann, Won))
    assert rounds >= 1
    assert sum(seat.wins for _, seat in ann.view.structure(Seat)) == rounds
    assert [seat.cards for _, seat in ann.view.structure(Seat)] == list(map(len, evening.hands()))


def test_a_seat_is_taken_over_with_its_hand_and_its_turn(evening: Evening) -> None:
    ann, bob = evening.connect("Ann", plays=False), evening.connect("Bob", plays=False)
    evening.game.until(lambda: evening.got(bob, YourTurn), ROUND + TURN)
    hands, number = evening.hands(), evening.seat(bob)
    assert evening.hand(bob) == hands[number]
    evening.leave(bob)
    cleo = evening.connect("Cleo", plays=False)
    evening.run(0.5)
    assert evening.seat(cleo) == number
    assert evening.hand(cleo) == hands[number]
    assert evening.hands() == hands
    assert len(evening.got(cleo, YourTurn)) == 1
    assert evening.hand(ann) == hands[evening.seat(ann)]


def test_whose_turn_it_is_not_does_nothing(evening: Evening) -> None:
    ann, bob = evening.connect("Ann", plays=False), evening.connect("Bob", plays=False)
    ((table, _),) = ann.view.structure(Table)
    seat = evening.entity(ann, evening.seat(ann))

    def turn() -> int | None:
        return dict(ann.view.structure(Table))[table].turn

    evening.game.until(lambda: turn() == seat, ROUND * 2)
    hands, other = evening.hands(), evening.entity(bob, evening.seat(bob))
    for card in hands[evening.seat(bob)][:4]:
        bob.send(Play(card), entity=other)  # it is not his turn
        ann.send(Play(card), entity=seat)  # it is not her card
    bob.send(Draw(), entity=other)
    bob.send(Draw(), entity=evening.entity(bob, evening.seat(ann)))  # not his seat
    evening.run(1)
    assert turn() == seat
    assert evening.hands() == hands
    assert ann.stats.commands_applied == 4
    assert bob.stats.commands_rejected == 1
    ann.send(Draw(), entity=seat)
    evening.run(0.5)
    assert turn() != seat
    assert len(evening.hand(ann)) == len(hands[evening.seat(ann)]) + 1
