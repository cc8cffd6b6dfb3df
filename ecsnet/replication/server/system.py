"""The last system of a server's tick: sends the world to the clients."""

from __future__ import annotations

import esper

from ecsnet.replication.server.replicator import Replicator
from ecsnet.simulation.simulation import tick
from ecsnet.world import World

__all__ = ["ReplicationSystem"]


class ReplicationSystem(esper.Processor):
    """Diffs every replicated component and sends what changed; see `Replicator`.

    A host adds one to each simulation that it runs, below all other systems.

    Args:
        replicator: What knows the clients.
        world: The simulation's world.
        every: Ticks from one update to the next.

    Attributes:
        now: The host's time of the tick, in seconds; the host sets it.
    """

    def __init__(self, replicator: Replicator, world: World, every: int = 1) -> None:
        self.now = 0.0
        self._replicator = replicator
        self._world = world
        self._every = every

    def process(self, dt: float) -> None:
        """Replicate, in the ticks that an update follows."""
        # What the systems deleted in this tick is gone in this tick.
        self._world.flush_dead()
        running = tick()
        if running % self._every == 0:
            self._replicator.replicate(running, self.now)
