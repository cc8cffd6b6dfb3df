"""Knights on a command line: text only, as a client needs no renderer.

The first one started hosts the game, the next one joins it.
"""

import argparse
import queue
import threading
import time

import esper

import ecsnet as net
from ecsnet.components import Player

from . import bot
from .game import Barbarian, Knight, server

HELP = "look, attack, attack NAME, quit"


def main() -> None:
    parser = argparse.ArgumentParser(prog="knights", description=f"Commands: {HELP}.")
    parser.add_argument("--name", default="Knight", help="what you are called")
    parser.add_argument("--bot", action="store_true", help="let the computer play for you")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    given = parser.parse_args()
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    if not given.bot:
        threading.Thread(target=read, args=(lines,), daemon=True).start()
    end = time.perf_counter() + given.seconds
    with net.play(server, name=given.name) as client:
        client.watch(Knight, Barbarian)
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
    verb, _, name = line.strip().lower().partition(" ")
    if verb == "attack":
        attack(name.strip(), client)
    elif verb == "look":
        for entity, kind in [*esper.get_component(Knight), *esper.get_component(Barbarian)]:
            print(f"  {describe(entity, kind)}")
    elif verb and verb != "quit":
        print(f"  commands: {HELP}")
    return verb != "quit"


def attack(name: str, client: net.ClientWorld) -> None:
    """Attack the barbarian of that name; without a name, any."""
    found = [e for e, foe in esper.get_component(Barbarian) if foe.name.lower() == name]
    if name and not found:
        print(f"  there is no barbarian {name!r}: look")
        return
    for _, knight in client.mine(Knight):
        if found:
            knight.attack(found[0])
        else:
            knight.attack_random()


def tell(event: object, client: net.ClientWorld) -> None:
    """Print what happened."""
    if isinstance(event, net.Connected):
        print(f"Welcome. Commands: {HELP}")
    elif isinstance(event, net.Spawned):
        for kind in (Barbarian, Knight):
            if esper.has_component(event.entity, kind):
                print(
                    describe(event.entity, esper.component_for_entity(event.entity, kind)), "comes"
                )
    elif isinstance(event, net.Changed):
        print(describe(event.entity, event.component))
    elif isinstance(event, net.Despawned):
        for part in event.components.values():
            if isinstance(part, Barbarian):
                print(f"{part.name} falls")
    elif isinstance(event, net.Refused | net.Disconnected):
        print(f"The game is over: {event.reason}")


def describe(entity: int, kind: object) -> str:
    if isinstance(kind, Barbarian):
        return f"{kind.name} the barbarian: {kind.health} health"
    player = esper.try_component(entity, Player)
    if isinstance(kind, Knight) and player is not None:
        return f"{player.name} the knight: {kind.health} health, {kind.gold} gold"
    return "somebody"


if __name__ == "__main__":
    main()
