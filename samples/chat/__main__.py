"""Chat on a command line. The first one started hosts, the next one joins."""

import argparse
import queue
import threading
import time

import esper

import ecsnet as net
from ecsnet.components import Player

from . import bot
from .game import LENGTH, Note, Said, Say, server

HELP = "Type a line to say it, /who to see who is here, /quit to leave."


def main() -> None:
    parser = argparse.ArgumentParser(prog="chat", description=HELP)
    parser.add_argument("--name", default="Somebody", help="what you are called")
    parser.add_argument("--bot", action="store_true", help="let the computer talk for you")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    given = parser.parse_args()
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    if not given.bot:
        threading.Thread(target=read, args=(lines,), daemon=True).start()
    end = time.perf_counter() + given.seconds
    with net.play(server, name=given.name) as client:
        while not client.closed and time.perf_counter() < end:
            for event in client.poll():
                tell(event)
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
    lines.put("/quit")


def obey(line: str, client: net.ClientWorld) -> bool:
    """Do what was typed; False to leave."""
    match line.strip():
        case "/quit":
            return False
        case "/who":
            print("* here:", ", ".join(player.name for _, player in esper.get_component(Player)))
        case text if text:
            client.send(Say(text[:LENGTH]))
    return True


def tell(event: object) -> None:
    """Print what happened."""
    match event:
        case net.Connected():
            print(f"Welcome. {HELP}")
        case Said(name, text):
            print(f"{name}: {text}")
        case Note(text):
            print(f"* {text}")
        case net.Refused(reason, message) | net.Disconnected(reason, message):
            print(f"The chat is over: {message or reason}")


if __name__ == "__main__":
    main()
