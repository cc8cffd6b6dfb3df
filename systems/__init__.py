"""Stock systems: esper processors that any game can add."""

from __future__ import annotations

if __name__ != "ecsnet.systems":  # a second name would make two of every class in here
    raise ImportError("import ecsnet.systems, not systems")

from ecsnet.analytics.capture import AnalyticsSystem
from ecsnet.replication.server.system import ReplicationSystem
from ecsnet.systems.collision import CollisionSystem
from ecsnet.systems.lobby import LobbySystem
from ecsnet.systems.movement import MovementSystem

__all__ = [
    "AnalyticsSystem",
    "CollisionSystem",
    "LobbySystem",
    "MovementSystem",
    "ReplicationSystem",
]
