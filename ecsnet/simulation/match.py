"""`start_match` and `end_match`: what systems and hooks call in a game with a lobby."""

from __future__ import annotations

from ecsnet.errors import UsageError
from ecsnet.simulation.lobby import LobbyControl
from ecsnet.simulation.simulation import Simulation, running

__all__ = ["end_match", "start_match"]


def start_match() -> None:
    """Begin a match now, whoever is ready and whatever the countdown says.

    ``on_play`` hooks have run when it returns. Nothing happens while a match is played, or when
    nobody is there to play.

    Raises:
        OutsideTickError: Called outside a tick.
        UsageError: The game has no lobby.
    """
    simulation = running("net.start_match()")
    if simulation.ahead:
        return
    if not _lobby(simulation, "start_match").start():
        simulation.ignored["start_match"] += 1


def end_match() -> None:
    """End the match now: its players are in the lobby again, and nobody is ready.

    What was made since ``on_play`` is deleted, except players: all entities of the world that were
    not there when the match began. Nothing happens when no match is played.

    Raises:
        OutsideTickError: Called outside a tick.
        UsageError: The game has no lobby.
    """
    simulation = running("net.end_match()")
    if simulation.ahead:
        return
    if not _lobby(simulation, "end_match").end():
        simulation.ignored["end_match"] += 1


def _lobby(simulation: Simulation, name: str) -> LobbyControl:
    if simulation.lobby is None:
        raise UsageError(
            f"net.{name}() in a game without a lobby: make the server with"
            " ServerWorld(lobby=net.Lobby(...))"
        )
    return simulation.lobby
