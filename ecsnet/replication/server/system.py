"""The last system of a server's tick: finds out what the clients are to be told."""

from __future__ import annotations

import esper

from ecsnet.replication.server.replicator import Replicator
from ecsnet.simulation.emission import Emission
from ecsnet.simulation.simulation import running
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

    def __init__(self, replicator: Replicator, world: World, every: int) -> None:
        self._replicator = replicator
        self._world = world
        self._every = every
        # By tick since the last update: what was emitted, and the players in the game.
        self._emitted: list[tuple[list[Emission], list[int]]] = []

    def process(self, dt: float) -> None:
        """Collect what changed and what happened, in the ticks that an update follows."""
        # What the systems deleted in this tick is gone in this tick.
        self._world.flush_dead()
        simulation = running("ReplicationSystem")
        if simulation.emitted:
            self._emitted.append((simulation.emitted, [*simulation.player_entity]))
        if simulation.tick % self._every == 0:
            emitted, self._emitted = self._emitted, []
            ignored = self._replicator.collect_changes(
                simulation.tick, emitted, held=simulation.held
            )
            if ignored:
                simulation.ignored["emit"] += ignored
