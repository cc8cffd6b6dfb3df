"""A simulation on a host: when its ticks are due, and who is in it."""

from __future__ import annotations

from typing import Final

from ecsnet.replication.server.replicator import Replicator
from ecsnet.server.members import Member
from ecsnet.simulation.simulation import Join, Simulation
from ecsnet.systems import AnalyticsSystem, ReplicationSystem
from ecsnet.validation.names import Names

__all__ = ["REPORT_SECONDS", "Room"]

REPORT_SECONDS: Final = 0.25
"""How often a client is told how its commands arrived."""


class Room:
    """One simulation on a host, with the members in it.

    Attributes:
        simulation: The simulation.
        replicator: What sends its world to the members.
        members: Those who are in it.
        players: The same, by the number of their player.
        names: What they are called, and those who are about to come in.
        next_tick: The tick that runs next.
        next_at: When it is due, in the host's seconds.
        dropped_ticks: Ticks that never ran because they were long overdue.
        every: Ticks from one update to the next.
        command_rate: Packets that each client is to send in a second; one with each of its ticks
            when None.
        analytics: What keeps what happens, where that is on.
    """

    def __init__(
        self,
        simulation: Simulation,
        replicator: Replicator,
        tick_rate: float,
        every: int,
        catch_up: float,
        now: float,
        command_rate: float | None = None,
    ) -> None:
        self.simulation = simulation
        self.replicator = replicator
        self.members: list[Member] = []
        self.players: dict[int, Member] = {}
        self.names = Names()
        self.next_tick = 1
        self.next_at = now
        self.dropped_ticks = 0
        self.tick_rate = tick_rate
        self.every = every
        self.command_rate = command_rate
        self.command_interval = 0.0 if command_rate is None else 1 / command_rate  # seconds
        self.epoch = simulation.epoch
        self.catch_up = catch_up

        self.dt = 1 / tick_rate
        self._plan(now)
        self.report_ticks = max(1, round(REPORT_SECONDS * tick_rate))
        self.last_player_id = 0
        self.joins: list[Join] = []
        self.leaves: list[int] = []
        self.joining: list[Member] = []  # come in with the next tick
        self.arriving: list[Member] = []  # are in, and wait for an update to be welcomed
        self.reporting: list[Member] = []
        self.replication = ReplicationSystem(replicator, simulation.world, every)
        self.analytics: AnalyticsSystem | None = None

    def sees(self, player_id: int, net: int) -> bool:
        """Whether a player's client was shown an entity, by its network id, up to a moment ago."""
        member = self.players.get(player_id)
        client_state = None if member is None else member.client_state
        return client_state is not None and self.replicator.can_name(client_state, net)

    def skip_overdue(self, now: float) -> None:
        """Skip the ticks that are overdue by more than what is caught up."""
        if now > self.stalled_after:
            skipped = int((now - self.next_at) * self.tick_rate)
            self.dropped_ticks += skipped
            self._plan(self.next_at + skipped * self.dt)

    def follow_timer(self, now: float) -> None:
        """Let the plan follow a timer that keeps the beat and fires now.

        Commands are to be in time for when ticks do run, not for when they once were planned.
        """
        error = now - self.next_at
        if abs(error) < self.dt:
            self._plan(self.next_at + error / 8)

    def ticked(self) -> None:
        """Plan the next tick; this one has run."""
        self.next_tick += 1
        self._plan(self.next_at + self.dt)

    def _plan(self, next_at: float) -> None:
        self.next_at = next_at
        self.phase = self.next_tick - next_at * self.tick_rate  # to turn seconds into ticks
        self.stalled_after = next_at + self.catch_up + self.dt
