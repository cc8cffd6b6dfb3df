"""The first reliable messages of a session: who are you, and do we play the same game?

The client opens with `Hello`. A server that declares the same game lets the player in at its next
tick, unless the game says no, and answers `Welcome`; one more `Welcome` puts the player into
another room. Otherwise the answer is `SchemaOffer`: the client finds what differs, shows it to its
player and returns it as `SchemaDiffers`, so that both ends can name it.

Replication's messages share the channel; they have tags from 16 on.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import msgspec

from ecsnet.commands.join_data import JoinData
from ecsnet.validation.names import NAME_LENGTH

__all__ = [
    "WIRE_VERSION",
    "Hello",
    "MemberState",
    "SchemaDiffers",
    "SchemaOffer",
    "Welcome",
]

WIRE_VERSION = 4
"""Version of everything inside packets; both ends must have the same."""

DIFFERENCE_LENGTH = 400
"""Characters of a difference between two games that one end tells the other."""

_U32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
_U64 = Annotated[int, msgspec.Meta(ge=0)]  # MessagePack has no greater one
_Id = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Rate = Annotated[float, msgspec.Meta(ge=0.1, le=10_000)]
_CommandRate = Annotated[float, msgspec.Meta(ge=1, le=10_000)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]


class MemberState(Enum):
    """The state of a client on its way through a game; each end keeps it for itself.

    All states lead to CLOSED, and beside that HANDSHAKE to SCHEMA_MISMATCH or JOINING, JOINING to
    JOINED, and JOINED to LEAVING and, with a change of the room, to JOINING.
    """

    HANDSHAKE = "handshake"
    """There is a connection; the client says who it is, and the server answers."""
    SCHEMA_MISMATCH = "schema mismatch"
    """The games differ; the client says in what."""
    JOINING = "joining"
    """The server has chosen a room; on the client, its welcome has come."""
    JOINED = "joined"
    """The player is in the room; on the client, its entity has come."""
    LEAVING = "leaving"
    """On the server only: the game has thrown the player out, and what was sent before arrives."""
    CLOSED = "closed"
    """It is over."""


class Hello(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=1, frozen=True):
    """Client to server, first of all."""

    wire_version: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
    fingerprint: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    """Of the schema."""
    name: Annotated[str, msgspec.Meta(max_length=NAME_LENGTH)]
    """The name that the player asks for; see `ecsnet.validation.names`."""
    data: JoinData | None = None
    """For the game, which may say no; see `ecsnet.commands.join_data`."""
    smooth: bool = False
    """The client draws others between two updates, and its own ahead of them: where the game has
    systems for that, it is to be told of what it owns in every update."""


class Welcome(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=2, frozen=True):
    """Server to client: you are in, and what you knew of another room is over."""

    epoch: _U32
    """Number of the simulation and the server's boot; in every datagram from now on."""
    player: _Id
    """Network id of the player's own entity; 0 when the game has none for it."""
    player_id: _Id
    """Number of the player in this simulation."""
    tick_rate: _Rate
    """Ticks of the simulation in a second."""
    update_rate: _Rate
    """Number of them that are followed by an update."""
    tick: _U32
    """The tick that has just run, low 32 bits."""
    command_rate: _CommandRate | None = None
    """Packets that the client is to send in a second; one with each of its ticks when None."""
    seed: _U64 = 0
    """Of the random numbers that clients may know, see `ecsnet.rng`."""
    rewind: _Seconds = 0.0
    """The most seconds by which the server looks back for a player."""


class SchemaOffer(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=3, frozen=True):
    """Server to client: our games differ, here is mine."""

    description: Annotated[bytes, msgspec.Meta(max_length=1 << 20)]
    """For `Schema.first_difference`."""


class SchemaDiffers(
    msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=4, frozen=True
):
    """Client to server: this is what differs. Goodbye."""

    difference: Annotated[str, msgspec.Meta(max_length=DIFFERENCE_LENGTH)]
