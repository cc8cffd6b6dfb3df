"""A room: one simulation, and the members who sit in it.

A room does all of it by itself: it admits members, runs ticks when they are due, welcomes, reports,
fails and closes. Joins, leaves, commands and presences reach its simulation at tick boundaries
only, as plain data. It knows no connection and no other room.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from math import ceil, inf
from typing import Final

from ecsnet.commands.frames import SIXTEENTHS, Frame, Input
from ecsnet.commands.inbox import Inbox, PlayerCommands
from ecsnet.components import LobbyPlayer, LobbyState, Owner, Player, Presence, Teleports
from ecsnet.errors import BadMessageError
from ecsnet.messages.joining import MemberState, Welcome
from ecsnet.replication.server.interest import Interest
from ecsnet.replication.server.network_ids import NetworkIds
from ecsnet.replication.server.replicator import Replicator
from ecsnet.replication.server.system import ReplicationSystem
from ecsnet.runtime.rate_limited_log import RationedLog
from ecsnet.schema import Gate, Schema, encode
from ecsnet.server.members import Member, Seat
from ecsnet.server.presences import PresenceWatch
from ecsnet.server.stats import RoomStats
from ecsnet.session.goodbye import Reason, sentence
from ecsnet.simulation.join_request import JoinRequest, refusal
from ecsnet.simulation.observer import Observers, ObserverSource
from ecsnet.simulation.past import Past
from ecsnet.simulation.simulation import Join, Leave, Simulation
from ecsnet.simulation.spec import SimulationSpec
from ecsnet.validation.names import Names

__all__ = ["REPORT_SECONDS", "REWIND_SECONDS", "Room"]

REPORT_SECONDS: Final = 0.25
"""The time between two reports to a client on how its commands arrived."""

REWIND_SECONDS: Final = 0.35
"""The most by which a shot looks back, unless a game says otherwise."""

_DRAWN_JITTERS: Final = 8.0
_DRAWN_UPDATES: Final = 6.0
_DRAWN_SPARE: Final = 0.1
"""By how much an honest client draws behind the tick that it acts in, at most: a round trip; what
both directions vary by, in mean deviations of it; updates that get lost in a row; two packets of
commands; and seconds for its frames, and for what is not measured yet."""

_ENTITY_SECONDS: Final = 1e-3
"""The time that a client has to stay for each entity that it was to be shown: ten times what
sending it takes, with 26 bytes each and the usual bandwidth."""


_SERVERS: Final = (LobbyPlayer, LobbyState, Owner, Player, Presence)
"""Stock components of what players own that no shared system writes."""


class Room:
    """One simulation on a host, with the members in it.

    Args:
        spec: What the simulation is made from.
        now: Seconds on the clock of all calls; the first tick is due.
        schema: The game's types.
        frames: The gate for commands, of the same schema.
        epoch: Names the room and its boot, 32 bits.
        seed: Of the simulation's random numbers.
        log: Where it tells who comes and goes.
        update_rate: Updates a second to clients; each tick when None.
        command_rate: Packets a second from each client; one with each of its ticks when None.
        interest: Who sees what; everyone everything when None.
        catch_up: Seconds of overdue ticks that are made up for; beyond them time is dropped.
        rewind: The most seconds by which `ecsnet.rewind` looks back.
        sources: Each gives an observer.

    Attributes:
        spec: What the simulation is made from.
        simulation: The simulation.
        replicator: What sends its world to the members.
        observers: Who is told what happens.
        seats: The members in it, by their seats.
        players: The same, by the number of their player.
        names: What they are called, and those who are about to come in.
        next_tick: The tick that runs next.
        next_at: When it is due, in seconds.
        dropped_ticks: Ticks that never ran because they were long overdue.
        every: Ticks from one update to the next.
    """

    def __init__(
        self,
        spec: SimulationSpec,
        now: float,
        *,
        schema: Schema,
        frames: Gate[list[Frame]],
        epoch: int,
        seed: int,
        log: RationedLog,
        update_rate: float | None,
        command_rate: float | None,
        interest: Interest | None,
        catch_up: float,
        rewind: float,
        sources: Iterable[ObserverSource],
    ) -> None:
        self.spec = spec
        self.epoch = epoch
        self._log = log

        self.tick_rate = spec.tick_rate
        self.dt = 1 / spec.tick_rate
        self.every = max(1, round(spec.tick_rate / (update_rate or spec.tick_rate)))
        self.command_rate = command_rate
        self.command_interval = 0.0 if command_rate is None else 1 / command_rate  # seconds
        self._frames = frames
        self._catch_up = catch_up
        self.next_tick = 1
        self.dropped_ticks = 0
        self._plan(now)

        self.seats: list[Seat] = []
        self.players: dict[int, Seat] = {}
        self.names = Names()
        self._last_player_id = 0
        self._joining: list[Seat] = []  # come in with the next tick
        self._leaving: list[Leave] = []  # go with it
        # Those whom the game has thrown out, with the text for each, and those of them who have had
        # the update of that tick: they are the host's now.
        self._kicked: list[tuple[Seat, str]] = []
        self._dismissed: list[tuple[Member, str]] = []
        self._arriving: list[Seat] = []  # are in, and wait for an update to be welcomed
        # Who is reported to in which tick of a cycle, so that it is not everybody in the same one.
        cycle = max(1, round(REPORT_SECONDS * spec.tick_rate))
        self._report_turns: list[list[Seat]] = [[] for _ in range(cycle)]
        self._reporting: list[Seat] = []  # whose report has not gone out yet
        self._totals = RoomStats()  # without the commands of those who are in it

        simulation = Simulation(
            spec,
            seed=seed,
            epoch=epoch,
            player=Player,
            owner=Owner,
            presence=Presence,
            teleports=Teleports,
        )
        self.simulation = simulation
        self._presences = PresenceWatch(simulation, self.command_interval)
        self.replicator = Replicator(
            schema,
            simulation.world,
            epoch=epoch,
            interest=interest,
            owner=Owner,
            interval=self.every / spec.tick_rate,
            draw_id=NetworkIds(str(seed).encode()).draw,
            rewind=ceil(rewind * spec.tick_rate),
            teleports=Teleports,
            predicted=_predicted(spec, schema),
        )
        self._rewind = rewind
        simulation.resolve = self.replicator.entity
        simulation.network_id = self.replicator.network_id
        simulation.sees = self.sees
        simulation.look_back = self._look_back
        replication = ReplicationSystem(self.replicator, simulation.world, self.every)
        last = float("-inf")
        simulation.add_system(replication.process, last, "ReplicationSystem", while_paused=True)
        self._on_request = tuple(spec.on_request)
        self.observers = Observers([source.observe(simulation) for source in sources])
        simulation.observers = self.observers

    @property
    def failure(self) -> Exception | None:
        """The exception of a system or hook that has stopped the room."""
        return self.simulation.failure

    def stats(self) -> RoomStats:
        """Return the counts of the room so far."""
        totals = self._totals
        stats = RoomStats(
            ticks=self.simulation.tick,
            dropped_ticks=self.dropped_ticks,
            clients=len(self.seats),
            joined=totals.joined,
            commands_applied=totals.commands_applied,
            commands_expired=totals.commands_expired,
            commands_superseded=totals.commands_superseded,
            commands_rejected=totals.commands_rejected,
            events_emitted=totals.events_emitted,
            rewinds=self.simulation.rewinds,
            rewinds_limited=self.simulation.rewinds_limited,
            ignored=self.simulation.ignored.copy(),
        )
        for seat in self.seats:
            seat.count_into(stats)
        return stats

    def sees(self, player_id: int, net: int) -> bool:
        """Return whether a player's client sees an entity, by network id, or did a moment ago."""
        seat = self.players.get(player_id)
        client_state = None if seat is None else seat.client_state
        return client_state is not None and self.replicator.can_name(client_state, net)

    # Who comes and goes.

    def refusal(self, request: JoinRequest) -> tuple[Reason, str] | None:
        """Ask the game whether somebody may come in.

        Returns:
            Why not, and the text for the player; None where the game lets it in.
        """
        if self.failure is not None:
            return Reason.ERROR, ""
        lobby = self.simulation.lobby
        text = None if lobby is None else lobby.refusal(len(self.seats) + len(self._joining))
        if text is not None:
            return Reason.DECLINED, text
        failed = partial(self.simulation.hook_failed, between=True)
        return refusal(self._on_request, request, failed)

    def admit(self, member: Member, first_frame: int = 0) -> Seat:
        """Give a member a seat; its player comes in with the next tick.

        Args:
            member: The member.
            first_frame: Number of the first frame of commands that is news.
        """
        self._last_player_id += 1
        interval, update_interval = self.command_interval, self.every * self.dt
        inbox = Inbox(self.tick_rate, self._frames, interval, update_interval, first_frame)
        name = self.names.take(member.name)
        seat = Seat(self, member, self._last_player_id, name, inbox)
        self._joining.append(seat)
        return seat

    def occupants(self) -> list[Seat]:
        """Return the seats that are taken, also by players who have not come in yet, or are being
        thrown out.
        """
        return [*self._joining, *self.seats, *[seat for seat, _ in self._kicked]]

    def leave(self, seat: Seat, reason: str, now: float) -> float:
        """Take a seat back; its player goes with the next tick.

        Returns:
            Seconds by which it went too early for what showing it the world takes; 0 mostly.
        """
        if seat.joined_at is None:
            self.names.free(seat.name)
            self._joining.remove(seat)
            return 0.0
        if self.players.get(seat.player_id) is seat:
            self._let_go(seat, reason)
        self._kicked = [each for each in self._kicked if each[0] is not seat]
        owing = 0.0
        client_state = seat.client_state
        if client_state is not None:
            owing = _ENTITY_SECONDS * self.replicator.shown(client_state)
            self.replicator.remove_client(client_state)
            seat.client_state = None
        return max(0.0, owing - (now - seat.joined_at))

    def _let_go(self, seat: Seat, reason: str) -> None:
        """Let a player go with the next tick; its client may still be told of the world."""
        self.names.free(seat.name)
        self.seats.remove(seat)
        del self.players[seat.player_id]
        if seat.client_state is None:
            self._arriving.remove(seat)
        self._report_turns[seat.report_turn].remove(seat)
        seat.count_into(self._totals)
        self._leaving.append(Leave(seat.player_id, reason))
        seat.member.peer.on_packet = None
        self.observers.left(seat.player_id, seat.name, reason)

    def _kick(self, now: float) -> None:
        """Let those go whom the game has thrown out in the tick that has run.

        What it has to say to them goes out with an update: that of this tick, or the next one.
        """
        reason = Reason.KICKED.value
        for player_id, text in self.simulation.take_kicked().items():
            seat = self.players[player_id]
            self._log.info(now, "%s is gone: %s", seat.member, sentence(reason, text))
            self.observers.kicked(player_id, seat.name, reason)
            self._let_go(seat, reason)
            self._kicked.append((seat, text))

    def _dismiss_kicked(self, now: float) -> None:
        """Tell those who were thrown out nothing more of the world."""
        for seat, text in self._kicked.copy():
            self.leave(seat, Reason.KICKED.value, now)
            self._dismissed.append((seat.member, text))

    def take_dismissed(self) -> list[tuple[Member, str]]:
        """Hand out the members whom the game has thrown out, with the text for each: they have no
        seat any more, and the last of what they were told is on its way.
        """
        dismissed, self._dismissed = self._dismissed, []
        return dismissed

    # What players do.

    def receive_commands(self, seat: Seat, payload: Input, now: float) -> bool:
        """Take the commands of a packet.

        Returns:
            Whether an honest client may have sent them.
        """
        epoch, number, tick, frames = payload
        if epoch != self.epoch:
            return True
        if now > self._stalled_after:
            # The host slept. How early commands come is measured against the ticks that will be.
            self._skip_overdue(now)
        try:
            fresh = seat.inbox.receive_frames(number, tick, frames, self.next_tick)
        except BadMessageError:
            return False
        if fresh >= 0:
            # How early it came, in ticks; the least is reported.
            slack = fresh - now * self.tick_rate - self._phase
            if slack < seat.slack:
                seat.slack = slack
        return True

    # Ticks.

    def advance(self, now: float, early: float = 0.0) -> int:
        """Run the ticks that are due; none after a failure.

        Args:
            now: Seconds.
            early: Seconds by which a tick may run before it is due: half of the beat of a caller
                whose own timer keeps it.

        Returns:
            How many ticks were run.
        """
        self._skip_overdue(now)
        if early:
            self._follow_timer(now, early)
        ran = 0
        while self.next_at - early <= now and self.simulation.failure is None:
            self._tick(now)
            ran += 1
        return ran

    def _tick(self, now: float) -> None:
        """Run one tick, from what came in to what goes out."""
        tick = self.next_tick
        self._put_reports_away()
        self._make_reports(tick)
        joins = self._admit_joining(now)
        leaves = self._take_leaving()
        commands = self._collect_commands(tick)
        presences = self._presences.look(self.seats, now)
        self.observers.tick_began(tick, joins, leaves, commands, presences)
        self.simulation.step(joins, leaves, commands, presences)
        if self.simulation.failure is not None:
            return
        self._totals.events_emitted += len(self.simulation.emitted)
        if self.simulation.kicked:
            self._kick(now)
        if tick % self.every == 0:
            self.replicator.send_updates(now)
            self._welcome_arriving()
            if self._kicked:
                self._dismiss_kicked(now)
        self.next_tick += 1
        self._plan(self.next_at + self.dt)
        self.observers.tick_ended(tick)

    def _admit_joining(self, now: float) -> list[Join]:
        """Let in those whose join is part of the tick that begins."""
        joins: list[Join] = []
        for seat in self._joining:
            member = seat.member
            member.enter(MemberState.JOINED, self._log, now)
            seat.joined_at = now
            self.seats.append(seat)
            self.players[seat.player_id] = seat
            seat.report_turn = (self.next_tick + 1 + seat.player_id) % len(self._report_turns)
            self._report_turns[seat.report_turn].append(seat)
            self._arriving.append(seat)
            self._totals.joined += 1
            self._log.info(now, "%s joined", member)
            self.observers.joined(seat.player_id, seat.name)
            if self.observers.see_packets:
                member.peer.on_packet = partial(self.observers.packet, seat.player_id)
            joins.append(Join(seat.player_id, seat.name))
        self._joining.clear()
        return joins

    def _take_leaving(self) -> list[Leave]:
        leaves, self._leaving = self._leaving, []
        return leaves

    def _collect_commands(self, tick: int) -> list[PlayerCommands]:
        """Take the commands of each player for a tick."""
        commands: list[PlayerCommands] = []
        for seat in self.seats:
            taken = seat.inbox.take(tick)
            said = seat.inbox.drawn
            if said is not None:
                if seat.client_state is not None:
                    self.replicator.remember_for(seat.client_state)
                drawn = self._believe(seat, tick, said)
                commands.append(PlayerCommands(seat.player_id, taken, drawn, drawn != said))
            elif taken:
                given = seat.given
                if given.commands is not taken:
                    given = seat.given = PlayerCommands(seat.player_id, taken)
                commands.append(given)
        return commands

    def _believe(self, seat: Seat, tick: int, said: int) -> int:
        """Hold what a client says that it drew against what an honest one can have drawn.

        Args:
            seat: The client's.
            tick: The tick that its commands are for.
            said: What was drawn then, in sixteenths of a tick.

        Returns:
            The nearest to it that can be.
        """
        seconds = self._rewind
        path = seat.member.peer.session.path
        if path.measured:
            spare = _DRAWN_JITTERS * path.jitter + _DRAWN_SPARE
            between = _DRAWN_UPDATES * self.every * self.dt + 2 * self.command_interval
            seconds = min(seconds, path.rtt + spare + between)
        newest = SIXTEENTHS * ((tick - 1) // self.every * self.every)
        oldest = SIXTEENTHS * tick - int(SIXTEENTHS * self.tick_rate * seconds)
        return max(oldest, min(said, newest))

    def _look_back(self, player_id: int, past: Past) -> bool:
        """Let components show what a player saw; return whether that is known."""
        seat, given = self.players.get(player_id), self.simulation.drawn.get(player_id)
        client_state = None if seat is None else seat.client_state
        if given is None or given.drawn is None or client_state is None:
            return False
        return self.replicator.look_back(client_state, given.drawn / SIXTEENTHS, past)

    def _welcome_arriving(self) -> None:
        """Tell newcomers who they are; from the next update on they are told of the world."""
        simulation, replicator = self.simulation, self.replicator
        for seat in self._arriving:
            player = simulation.player_entity.get(seat.player_id)
            net = None if player is None else replicator.network_id(player)
            welcome = Welcome(
                simulation.epoch,
                net or 0,
                seat.player_id,
                self.tick_rate,
                self.tick_rate / self.every,
                simulation.tick & 0xFFFF_FFFF,
                self.command_rate,
                simulation.public_seed,
                self._rewind,
            )
            member = seat.member
            member.peer.queue(encode(welcome))
            # An entity that is none: a game may have deleted its player on the spot.
            seat.client_state = replicator.add_client(
                -seat.player_id if player is None else player,
                member.peer,
                str(member),
                seat.player_id,
                smooth=member.smooth,
            )
        self._arriving.clear()

    # How commands arrive: a report travels once, with the next update; the next report makes up for
    # one that is lost.

    def _make_reports(self, tick: int) -> None:
        """Put into the next updates how the commands of those arrive whose turn it is."""
        for seat in self._report_turns[tick % len(self._report_turns)]:
            client_state, slack = seat.client_state, seat.slack
            if client_state is None or slack == inf:
                continue
            seat.slack = inf
            inbox = seat.inbox
            client_state.report = (
                round(slack * 16),
                inbox.applied,
                inbox.expired,
                inbox.superseded,
                seat.rejected,
            )
            seat.reported_at = seat.member.peer.session.packets_sent
            self._reporting.append(seat)

    def _put_reports_away(self) -> None:
        """Take back the reports that have gone out."""
        if not self._reporting:
            return
        waiting: list[Seat] = []
        for seat in self._reporting:
            client_state = seat.client_state
            if client_state is None:
                continue
            if seat.member.peer.session.packets_sent == seat.reported_at:
                waiting.append(seat)
            else:
                client_state.report = None
        self._reporting = waiting

    # When ticks are due.

    def _skip_overdue(self, now: float) -> None:
        """Skip the ticks that are overdue by more than what is caught up."""
        if now > self._stalled_after:
            skipped = int((now - self.next_at) * self.tick_rate)
            self.dropped_ticks += skipped
            self._plan(self.next_at + skipped * self.dt)

    def _follow_timer(self, now: float, early: float) -> None:
        """Let the plan follow a timer that keeps the beat and fires now.

        Commands are to be in time for when ticks do run, not for when they once were planned. A
        beat in which no tick of this room is due says nothing.
        """
        error = now - self.next_at
        if -early <= error < self.dt:
            self._plan(self.next_at + error / 8)

    def _plan(self, next_at: float) -> None:
        self.next_at = next_at
        self._phase = self.next_tick - next_at * self.tick_rate  # to turn seconds into ticks
        self._stalled_after = next_at + self._catch_up + self.dt

    # The end.

    def close(self) -> None:
        """End the simulation: everybody leaves, hooks run, the world is deleted.

        Nothing but the last happens where a failure has stopped it; what a hook raises now is the
        `failure` then.
        """
        self.simulation.finish(self._take_leaving())
        stats = self.stats()
        figures = {
            "dropped_ticks": stats.dropped_ticks,
            "joined": stats.joined,
            "commands_applied": stats.commands_applied,
            "commands_expired": stats.commands_expired,
            "commands_superseded": stats.commands_superseded,
            "events_emitted": stats.events_emitted,
        }
        self.observers.stopped("stopped" if self.failure is None else "failed", figures)
        self.simulation.close()


def _predicted(spec: SimulationSpec, schema: Schema) -> list[type]:
    """Return the component types that clients run ahead with: none in a game without shared
    systems.
    """
    if not spec.shared:
        return []
    return [kind.cls for kind in schema.components if kind.predicted and kind.cls not in _SERVERS]
