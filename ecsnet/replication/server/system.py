"""The last system of a server's tick: finds out what the clients are to be told."""

from __future__ import annotations

import esper

from ecsnet.replication.server.replicator import Replicator
from ecsnet.simulation.simulation import tick
from ecsnet.world import World

__all__ = ["ReplicationSystem"]


class ReplicationSystem(esper.Processor):
    """Diffs every replicated component; `Replicator.send_updates` sends what changed.

    A room adds one to its simulation, below all other systems, and sends after the tick.

    Args:
        replicator: What knows the clients.
        world: The simulation's world.
        every: Ticks from one update to the next.
    """

    def __init__(self, replicator: Replicator, world: World, every: int = 1) -> None:
        self._replicator = replicator
        self._world = world
        self._every = every

    def process(self, dt: float) -> None:
        """Collect what changed, in the ticks that an update follows."""
        # What the systems deleted in this tick is gone in this tick.
        self._world.flush_dead()
        running = tick()
        if running % self._every == 0:
            self._replicator.collect_changes(running)
