"""The presence of players as data: how a host hears their clients, and what a tick makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

__all__ = ["PlayerPresence", "note_left", "note_presence"]


@dataclass(frozen=True, slots=True)
class PlayerPresence:
    """The state of a player's connection, as it enters a tick.

    Attributes:
        player_id: Number of the player.
        silent: Whether nothing has come from its client for a while.
        ping: Round trip in milliseconds; None where there is nothing new to say of it.
    """

    player_id: int
    silent: bool
    ping: int | None = None


class _Presence(Protocol):
    """The fields of the component that shows it."""

    status: str
    ping: int


def note_presence(component: object, presence: PlayerPresence) -> None:
    """Write into a component what differs; of the ping only what can be noticed."""
    shown = cast(_Presence, component)
    status = "lost" if presence.silent else "ok"
    if shown.status != status:
        shown.status = status
    ping = presence.ping
    if ping is not None and abs(ping - shown.ping) >= max(1, shown.ping / 10):
        shown.ping = ping


def note_left(component: object) -> None:
    """Write into a component that its player has left."""
    cast(_Presence, component).status = "left"
