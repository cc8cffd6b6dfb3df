"""The notifications that `ClientWorld.poll` returns: what happened on this client.

Entities are ids of the client's esper world; those of `Despawned` are gone from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "Changed",
    "Connected",
    "Despawned",
    "Disconnected",
    "Inserted",
    "Notification",
    "Refused",
    "Removed",
    "Spawned",
]


@dataclass(frozen=True, slots=True)
class Connected:
    """The server let us in, and our player's own entity is in the view."""

    player: int
    """Our player entity; 0 when the game has none for us, or has deleted it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server did not let us in; nothing follows."""

    reason: str
    """In one word: ``"full"``, ``"schema"``, ``"declined"``, …"""
    message: str
    """For the player: what the game said, or a sentence on the reason and what helps."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection ended; nothing follows."""

    reason: str
    """In one word: ``"timeout"``, ``"shutdown"``, ``"kicked"``, ``"left"``, …"""
    message: str = field(default="", compare=False)
    """For the player: what the game said when it threw us out, or a sentence on the reason. For
    ``==`` it makes no difference."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """An entity came into sight."""

    entity: int


@dataclass(frozen=True, slots=True)
class Despawned:
    """An entity went; it is no longer in the view."""

    entity: int
    why: Literal["despawned", "hidden"]
    """The reason: it is gone on the server, or only out of our sight."""
    components: Mapping[type, object]
    """The components it had at last, by type; those that the game itself added included."""


@dataclass(frozen=True, slots=True)
class Inserted:
    """A replicated component appeared on an entity that was there before."""

    entity: int
    component: object


@dataclass(frozen=True, slots=True)
class Removed:
    """A replicated component went from an entity that stays."""

    entity: int
    component: object
    """As it was at last."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A replicated component of a type under `ClientWorld.watch` has a new value."""

    entity: int
    component: object


Notification: TypeAlias = (
    Connected | Refused | Disconnected | Spawned | Despawned | Inserted | Removed | Changed
)
