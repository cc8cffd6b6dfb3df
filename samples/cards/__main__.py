"""Crazy Eights on a command line. The first one started hosts, three more can sit down."""

import argparse
import queue
import threading
import time

import esper

import ecsnet as net
from ecsnet.components import Owner, Player

from . import bot
from .game import Draw, Drew, Hand, Play, Played, Seat, Table, Won, YourTurn, server
from .rules import goes_on

HELP = "a card to play it (10H), draw, look, quit"
SEATS = ("North", "East", "South", "West")


def main() -> None:
    parser = argparse.ArgumentParser(prog="cards", description=f"Commands: {HELP}.")
    parser.add_argument("--name", default="Somebody", help="what you are called")
    parser.add_argument("--bot", action="store_true", help="let the computer play for you")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    given = parser.parse_args()
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    if not given.bot:
        threading.Thread(target=read, args=(lines,), daemon=True).start()
    end = time.perf_counter() + given.seconds
    with net.play(server, name=given.name) as client:
        client.watch(Owner)
        while not client.closed and time.perf_counter() < end:
            for event in client.poll():
                tell(event, client)
            if given.bot:
                bot.play(client)
            elif client.connected and not lines.empty() and not obey(lines.get(), client):
                break
            time.sleep(1 / 30)


def read(lines: queue.SimpleQueue[str]) -> None:
    """Runs in a thread of its own, which touches nothing but the queue."""
    with open(0, closefd=False, errors="replace") as typed:
        for line in typed:
            lines.put(line)
    lines.put("quit")


def obey(line: str, client: net.ClientWorld) -> bool:
    """Do what was typed; False to leave."""
    match line.strip().upper():
        case "QUIT":
            return False
        case "LOOK":
            look(client)
        case word if word:
            play(word, client)
    return True


def play(word: str, client: net.ClientWorld) -> None:
    ((_, table),) = esper.get_component(Table)
    for seat, hand in client.mine(Hand):
        if table.turn != seat:
            print("  it is not your turn")
        elif word == "DRAW":
            client.send(Draw(), entity=seat)
        elif word in hand.cards and goes_on(word, table.top):
            client.send(Play(word), entity=seat)
        else:
            print(f"  {word!r} does not go; type {HELP}")


def look(client: net.ClientWorld) -> None:
    for entity, seat in esper.get_component(Seat):
        print(f"  {label(entity)}: {seat.cards} cards, {seat.wins} rounds won")
    for _, table in esper.get_component(Table):
        print(f"  on top: {table.top}")
    for _, hand in client.mine(Hand):
        print(f"  your hand: {' '.join(hand.cards)}")


def tell(event: object, client: net.ClientWorld) -> None:
    """Print what happened."""
    match event:
        case net.Connected():
            print(f"Welcome. Type {HELP}")
            look(client)
        case net.Changed(seat, Owner()):
            print(f"Now it is {label(seat)}")
        case YourTurn(top, seconds):
            print(f"Your turn, {top} is on top: {seconds:g} seconds")
            look(client)
        case Played(int(seat), card):
            print(f"{label(seat)} plays {card}")
        case Drew(int(seat)):
            print(f"{label(seat)} draws")
        case Won(int(seat)):
            print(f"{label(seat)} wins the round")
        case net.Refused(reason, message) | net.Disconnected(reason, message):
            print(f"The game is over: {message or reason}")


def label(seat: int) -> str:
    player = esper.component_for_entity(seat, Owner).player
    name = "computer" if player is None else esper.component_for_entity(player, Player).name
    return f"{SEATS[esper.component_for_entity(seat, Seat).number]} ({name})"


if __name__ == "__main__":
    main()
