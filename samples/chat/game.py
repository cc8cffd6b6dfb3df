from typing import Annotated

import esper

import ecsnet as net
from ecsnet.components import Player

LENGTH = 75  # characters of a line; also with four bytes for each, it fits into a command
PAUSE = 0.5  # seconds from one line of a player to the next


@net.command
class Say:
    text: Annotated[str, net.MaxLen(LENGTH)] = ""


@net.event
class Said:  # by a player
    name: str
    text: str


@net.event
class Note:  # by the server
    text: str


class Speaker:  # on a player's entity; it is not replicated
    waits_until = 0.0  # a tick


server = net.ServerWorld(tick_rate=20)


def name_of(player: int) -> str:
    return esper.component_for_entity(player, Player).name


@server.on_join
def join(player: int) -> None:
    esper.add_component(player, Speaker())
    net.emit(Note(f"{name_of(player)} comes"), but=player)


@server.on_leave
def leave(player: int, reason: str) -> None:
    net.emit(Note(f"{name_of(player)} goes ({reason})"))


@server.system
def talk(dt: float) -> None:
    for player, say in net.commands(Say, Speaker):
        speaker = esper.component_for_entity(player, Speaker)
        text = net.clean_text(say.text, LENGTH).strip()
        if net.tick() < speaker.waits_until:
            net.emit(Note(f"Not so fast! Nobody has read: {text}"), player)
        elif text:
            speaker.waits_until = net.tick() + PAUSE / dt
            net.emit(Said(name_of(player), text))
