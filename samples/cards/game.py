from typing import Annotated

import esper

import ecsnet as net
from ecsnet.components import Owner, Player

from .rules import HANDS, Deal, best

TURN, PAUSE = 15.0, 1.0  # seconds for a player's turn; for the computer's, and between two rounds


@net.replicated
class Table:
    top: str = ""  # the card on top
    turn: net.EntityRef = None  # a seat, or None between two rounds


@net.replicated
class Seat:  # its Owner plays it; while that is nobody, the computer does
    number: int = 0
    cards: int = 0  # how many all others see the backs of
    wins: int = 0


@net.replicated(visible_to="owner")
class Hand:  # on the seat
    cards: list[str] = []


@net.command
class Play:
    card: Annotated[str, net.MaxLen(3)] = ""


@net.command
class Draw:
    pass


@net.event
class YourTurn:  # to one player
    top: str
    seconds: float


@net.event
class Played:  # to all, as are the others
    seat: net.EntityRef
    card: str


@net.event
class Drew:
    seat: net.EntityRef


@net.event
class Won:
    seat: net.EntityRef


class Clock:  # on the table, and not replicated
    turn: tuple[object, ...] = ()  # the one that is under way
    since = 0  # the tick in which it began


server = net.ServerWorld(tick_rate=20)


@server.on_start
def start() -> None:
    esper.create_entity(Table(), Deal(net.rng()), Clock())  # the Deal is a plain class: not sent
    for number in range(HANDS):
        esper.create_entity(Seat(number), Hand(), Owner())


@server.on_leave
def leave(player: int) -> None:
    for _, owner in esper.get_component(Owner):
        if owner.player == player:
            owner.player = None  # or the seat would go, too


@server.system(priority=40)  # who waits for a seat takes one over, with the hand that lies there
def sit(dt: float) -> None:
    owners = [owner for _, owner in esper.get_component(Owner)]
    for player, _ in esper.get_component(Player):
        free = [owner for owner in owners if owner.player is None]
        if free and all(owner.player != player for owner in owners):
            free[0].player = player


@server.system(priority=30)
def obey(dt: float) -> None:
    for _, deal in esper.get_component(Deal):
        for seat, play in net.commands(Play, Seat):
            if seat == seat_of(deal.turn):
                move(deal, seat, play.card)
        for seat, _ in net.commands(Draw, Seat):
            if seat == seat_of(deal.turn):
                move(deal, seat, None)


@server.system(priority=20)  # nobody waits for ever: when time is up, the computer plays
def hurry(dt: float) -> None:
    for table, (deal, clock) in esper.get_components(Deal, Clock):
        seat = seat_of(deal.turn)
        player = None if deal.over else esper.component_for_entity(seat, Owner).player
        if clock.turn != (seat, player, deal.over):  # another player in this seat has time, too
            clock.turn, clock.since = (seat, player, deal.over), net.tick()
            if player is not None:
                net.emit(YourTurn(deal.top, TURN), to=player)
        elif (net.tick() - clock.since) * dt >= (PAUSE if player is None else TURN):
            if deal.over:
                esper.add_component(table, Deal(net.rng()))
            else:
                move(deal, seat, best(deal.hand, deal.top))


@server.system(priority=10)  # what players may know of the cards
def show(dt: float) -> None:
    for _, (table, deal) in esper.get_components(Table, Deal):
        table.top, table.turn = deal.top, None if deal.over else seat_of(deal.turn)
        for _, (seat, hand) in esper.get_components(Seat, Hand):
            hand.cards = deal.hands[seat.number]
            seat.cards = len(hand.cards)


def seat_of(number: int) -> int:
    return next(entity for entity, seat in esper.get_component(Seat) if seat.number == number)


def move(deal: Deal, seat: int, card: str | None) -> None:
    """Play a card, or draw one, and tell everybody."""
    if card is None:
        if deal.draw():
            net.emit(Drew(seat))
    elif deal.play(card):
        net.emit(Played(seat, card))
        if deal.over:
            esper.component_for_entity(seat, Seat).wins += 1
            net.emit(Won(seat))
