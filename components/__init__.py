"""Stock components: what many games need and stock systems understand."""

from __future__ import annotations

if __name__ != "ecsnet.components":  # a second name would make two of every class in here
    raise ImportError("import ecsnet.components, not components")

from ecsnet.components.bounds import Bounds
from ecsnet.components.collider import Collider, Contacts
from ecsnet.components.lobby import LobbyInfo, LobbyPlayer, LobbyReady, LobbyState
from ecsnet.components.owner import Owner
from ecsnet.components.player import Player
from ecsnet.components.position import Position
from ecsnet.components.presence import Presence
from ecsnet.components.teleports import Teleports
from ecsnet.components.velocity import MaxSpeed, Velocity

__all__ = [
    "Bounds",
    "Collider",
    "Contacts",
    "LobbyInfo",
    "LobbyPlayer",
    "LobbyReady",
    "LobbyState",
    "MaxSpeed",
    "Owner",
    "Player",
    "Position",
    "Presence",
    "Teleports",
    "Velocity",
]
