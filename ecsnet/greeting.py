"""The first reliable messages of a session: who are you, and do we play the same game?

The client opens with `Hello`. A server that declares the same game lets the player in at its next
tick and answers `Welcome`. Otherwise it answers `SchemaOffer`: the client finds what differs, shows
it to its player and returns it as `SchemaDiffers`, so that both ends can name it.

Replication's messages share the channel; they have tags from 16 on.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated, TypeAlias

import msgspec

from ecsnet.errors import UsageError

__all__ = [
    "NAME_LENGTH",
    "WIRE_VERSION",
    "Hello",
    "SchemaDiffers",
    "SchemaOffer",
    "ServerGreeting",
    "Welcome",
    "is_name",
    "printable",
    "tidy_name",
]

WIRE_VERSION = 1
"""Version of everything inside packets; both ends must have the same."""

NAME_LENGTH = 24
"""Characters in the longest player name."""

DIFFERENCE_LENGTH = 400
"""Characters of a difference between two games that one end tells the other."""

_U32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
_Id = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Rate = Annotated[float, msgspec.Meta(ge=0.1, le=10_000)]


class Hello(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=1, frozen=True):
    """Client to server, first of all."""

    wire_version: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
    fingerprint: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    """Of the schema."""
    name: Annotated[str, msgspec.Meta(max_length=NAME_LENGTH)]
    """What the player wants to be called; see `is_name`."""


class Welcome(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=2, frozen=True):
    """Server to client: you are in."""

    epoch: _U32
    """Names the simulation and the boot of the server; in every datagram from now on."""
    player: _Id
    """Network id of the player's own entity; 0 when the game has none for it."""
    player_id: _Id
    """Number of the player in this simulation."""
    tick_rate: _Rate
    """Ticks of the simulation in a second."""
    update_rate: _Rate
    """How many of them are followed by an update."""
    tick: _U32
    """The tick that has just run, low 32 bits."""


class SchemaOffer(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=3, frozen=True):
    """Server to client: our games differ, here is mine."""

    description: Annotated[bytes, msgspec.Meta(max_length=1 << 20)]
    """For `Schema.first_difference`."""


class SchemaDiffers(
    msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=4, frozen=True
):
    """Client to server: this is what differs. Goodbye."""

    difference: Annotated[str, msgspec.Meta(max_length=DIFFERENCE_LENGTH)]


ServerGreeting: TypeAlias = Welcome | SchemaOffer
"""What a client may be greeted with."""


def is_name(name: str) -> bool:
    """Whether a player can be called that.

    A name is 1 to 24 printable characters in normal form C, with no space at either end. Every
    text has one such form, so two names that look alike by composition alone are the same name.
    """
    return (
        0 < len(name) <= NAME_LENGTH
        and name.isprintable()
        and name == name.strip()
        and unicodedata.is_normalized("NFC", name)
    )


def tidy_name(name: str) -> str:
    """Bring what somebody typed into the form of a name.

    Raises:
        UsageError: It is no text, empty, too long or not printable.
    """
    if not isinstance(name, str):
        raise UsageError(f"name={name!r}: a player's name is a str")
    tidy = unicodedata.normalize("NFC", name).strip()
    if not is_name(tidy):
        raise UsageError(
            f"name={printable(name)!r}: a player's name is 1 to {NAME_LENGTH} printable characters"
        )
    return tidy


def printable(text: str, limit: int = DIFFERENCE_LENGTH) -> str:
    """Text from a peer as it may stand in one line of a log: bounded, and nothing but printable."""
    short = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in short
    )
