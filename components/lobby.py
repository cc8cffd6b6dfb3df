"""The lobby, as everybody sees it, and what players do in it."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from ecsnet.schema import Gate, MaxLen, command, replicated

INFO_BYTES: Final = 200
"""The most bytes of what a player tells the others."""

InfoValue: TypeAlias = bool | int | float | str
"""A value of what a player tells the others."""

_INFO: Gate[dict[str, InfoValue]] = Gate(dict[str, InfoValue], INFO_BYTES)


@replicated
class LobbyState:
    """The phase of the game, on an entity of its own; `ecsnet.systems.LobbySystem` writes it."""

    phase: Literal["waiting", "countdown", "playing"] = "waiting"
    until: int = 0
    """The tick in which the countdown is over; 0 in the other phases."""
    match: int = 0
    """Number of the match that is played or was played last; the first is 1."""


@replicated
class LobbyPlayer:
    """The part of a player in the lobby, on the player's own entity."""

    ready: bool = False
    plays: bool = False
    """True if the player has a place in the match, this one or the next; False for who watches."""
    info: bytes = b""
    """The news of the player for the others: a map in MessagePack, of at most 200 bytes; see
    `values`."""

    def values(self) -> dict[str, InfoValue]:
        """Return what the player tells the others, by name; nothing where it cannot be read."""
        return (_INFO.decode(self.info) if self.info else None) or {}


@command
class LobbyReady:
    """The wish of a player to be ready, or no longer."""

    ready: bool = True


@command
class LobbyInfo:
    """The wish of a player to tell the others something; it takes the place of what was told."""

    info: Annotated[bytes, MaxLen(INFO_BYTES)] = b""
