"""Sentences on why a client was refused, or why its connection ended."""

from __future__ import annotations

from ecsnet.client.connection import End
from ecsnet.session.goodbye import Reason, sentence

__all__ = ["DIFFERENT_GAME", "disconnection", "farewell", "refusal"]

DIFFERENT_GAME = "this game differs from the server's: both ends need the same version of it"
"""The sentence where nobody knows in what."""

_REFUSALS = {
    Reason.UNREACHABLE: "nobody answers there: is the server running, is its UDP port open?",
    Reason.FULL: "the server is full: try again later",
    Reason.ADDRESS: "the server has no more places for players from your address, or too many came"
    " from there at once: try again later, or ask who runs it for a higher per_address=",
    Reason.ABUSE: "the server threw somebody out who played from your address, because what came"
    " was no honest client's: wait a minute, and try again",
    Reason.VERSION: "the server speaks another version of the protocol: both ends need the same"
    " version of ecsnet",
    Reason.SCHEMA: DIFFERENT_GAME,
    Reason.NAME: "the server does not take this name: choose another",
    Reason.DECLINED: "the game does not let you in",
    Reason.KICKED: "the game has thrown you out",
    Reason.ERROR: "the server has failed; its own log says why",
    Reason.SHUTDOWN: "the server is shutting down",
    Reason.TIMEOUT: "the server did not let us in in time: try again",
}

_ENDS = {
    Reason.TIMEOUT: "nothing has come from the server for a while: it is gone, or the network is",
    Reason.SHUTDOWN: "the server has ended",
    Reason.ERROR: "the server has failed; its own log says why",
    Reason.KICKED: "the server has thrown us out",
    Reason.ABUSE: "the server takes what we sent for no honest client's",
    Reason.SLOW: "we take in too little of what is sent: the network or this program is too slow",
}


def refusal(end: End, difference: str | None) -> tuple[Reason, str]:
    """Return why the server did not let us in, and the sentence on it.

    Args:
        end: What the connection says.
        difference: Between the server's game and this one, where they differ.
    """
    if difference is not None:
        return Reason.SCHEMA, difference
    general = _REFUSALS.get(end.reason, f"the server said: {end.reason}")
    return end.reason, end.detail or general


def disconnection(end: End) -> str:
    """Return the line for the log on why a client that was in the game is not any more."""
    return sentence(f"disconnected: {end.reason}", _why(end))


def farewell(end: End) -> str:
    """Return what the player is told of why the connection has ended."""
    return _why(end) or f"the connection has ended: {end.reason}"


def _why(end: End) -> str:
    return end.detail or _ENDS.get(end.reason, "")
