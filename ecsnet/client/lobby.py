"""The lobby of a game, as its client sees it at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import esper

from ecsnet.components import LobbyPlayer, LobbyState, Player, Presence
from ecsnet.components.lobby import INFO_BYTES, InfoValue
from ecsnet.errors import UsageError
from ecsnet.schema import ENCODE_ERRORS, encode
from ecsnet.validation.wording import brief
from ecsnet.world import World

__all__ = ["ClientLobby", "PlayerInLobby", "encode_info", "read_lobby"]


@dataclass(frozen=True, slots=True)
class PlayerInLobby:
    """One player, as `ClientLobby` lists them.

    Attributes:
        entity: The player's entity in the view.
        name: What the player is called.
        mine: Whether it is this client's own player.
        ready: Whether the player is ready.
        plays: Whether the player has a place in the match, this one or the next; else it watches.
        info: Whatever the player has told the others with `ClientWorld.set_info`.
        status: The connection: ``"ok"``, ``"lost"`` after two seconds of silence, ``"left"`` where
            the game keeps the entity of a player who has left.
        ping: Round trip between the server and its client, milliseconds; 0 until it was measured.
    """

    entity: int
    name: str
    mine: bool
    ready: bool
    plays: bool
    info: dict[str, InfoValue]
    status: Literal["ok", "lost", "left"]
    ping: int


@dataclass(frozen=True, slots=True)
class ClientLobby:
    """The lobby of a game, read from the view; it does not change afterwards.

    Attributes:
        phase: ``"waiting"`` until all are ready, ``"countdown"``, or ``"playing"``.
        seconds_left: Seconds until the countdown is over; 0 in the other phases.
        match: Number of the match that is played or was played last; 0 before the first.
        players: Everybody in the game, in the order in which they came.
    """

    phase: Literal["waiting", "countdown", "playing"]
    seconds_left: float
    match: int
    players: list[PlayerInLobby]


def read_lobby(view: World, player: int | None, tick: int, tick_rate: float) -> ClientLobby | None:
    """Return the lobby that a view shows; None where it shows none.

    Args:
        view: The view.
        player: The client's own player in it.
        tick: The server's tick that is shown.
        tick_rate: Ticks a second.
    """
    with view:
        for _, state in esper.get_component(LobbyState):
            # The tick may be here, and the phase that it brought not yet.
            left = max(0.0, (state.until - tick) / tick_rate)
            return ClientLobby(state.phase, left, state.match, _players(view, player))
    return None


def encode_info(values: Mapping[str, object]) -> bytes:
    """Return what a player tells the others, for `LobbyInfo`.

    Raises:
        UsageError: A value is none that may be told, or it is too much.
    """
    for name, value in values.items():
        try:
            fits = isinstance(value, int | float | str) and bool(encode({name: value}))
        except ENCODE_ERRORS:
            fits = False
        if not fits:
            raise UsageError(
                f"set_info({name}={brief(value)}): a value is an int of at most 64 bits, a float,"
                " a bool or a str"
            )
    data = encode(values)
    if len(data) > INFO_BYTES:
        raise UsageError(
            f"set_info() got {len(data)} bytes encoded: at most {INFO_BYTES} are told to the others"
        )
    return data


def _players(view: World, own: int | None) -> list[PlayerInLobby]:
    found: list[tuple[int, PlayerInLobby]] = []
    for entity, (who, each) in esper.get_components(Player, LobbyPlayer):
        presence = view.components(entity).get(Presence)
        if not isinstance(presence, Presence):
            presence = Presence()
        made = PlayerInLobby(
            entity,
            who.name,
            entity == own,
            each.ready,
            each.plays,
            each.values(),
            presence.status,
            presence.ping,
        )
        found.append((who.id, made))
    return [made for _, made in sorted(found, key=lambda pair: pair[0])]
