"""Sessions on one side, simulations on the other, and what goes between them.

A host has no socket and no clock: datagrams come in through `Host.receive`, go out through a
function that it is given, and `Host.tick` is called when a tick is due. Joins, leaves and commands
reach a simulation at its tick boundaries only. When the machine cannot keep up, time is dropped:
ticks that are long overdue never run.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from math import inf
from typing import Final, TypeAlias, cast

from ecsnet.analytics.service import AnalyticsService
from ecsnet.commands.frames import Input, frames_gate
from ecsnet.commands.inbox import Given, Inbox
from ecsnet.components import Owner, Player
from ecsnet.connection.plain import MAX_PACKET, OVERHEAD, TIMEOUT, Listener, Reason
from ecsnet.errors import BadMessageError
from ecsnet.messages.joining import (
    WIRE_VERSION,
    Hello,
    SchemaDiffers,
    SchemaOffer,
    Welcome,
)
from ecsnet.replication.server.interest import Interest
from ecsnet.replication.server.network_ids import NetworkIds
from ecsnet.replication.server.replicator import BANDWIDTH, Replicator
from ecsnet.replication.wire import MESSAGE_BYTES, Resync
from ecsnet.runtime.rate_limited_log import RationedLog
from ecsnet.schema import Gate, Schema, encode
from ecsnet.server.members import GREETING_SECONDS, Guest, GuestState, HostStats, Send
from ecsnet.server.room import Stage
from ecsnet.session.packets import Packets
from ecsnet.session.session import KEEPALIVE, Session
from ecsnet.simulation.simulation import Join, Simulation
from ecsnet.simulation.spec import Recipe
from ecsnet.systems import AnalyticsSystem
from ecsnet.transport.address import Address, answerable, source_of
from ecsnet.validation.names import is_name, printable

__all__ = ["Host"]

logger = logging.getLogger("ecsnet.server")

MESSAGE_LIMIT: Final = 4096
"""Bytes in the longest reliable message taken from a client."""

PACKET_RATE: Final = 300.0
BYTE_RATE: Final = 128 * 1024.0
MESSAGE_RATE: Final = 30.0
"""What a client may send in a second, with a burst of two seconds..."""

PACKETS_A_TICK: Final = 2.0
"""... or so many packets in each tick, full ones, where that is more."""

PACKETS_MISSED: Final = 3
"""However short the timeout is: so many packets that a client sends at least have to be missing."""

CATCH_UP_SECONDS: Final = 0.1
"""How much overdue time is caught up; what is beyond it is dropped."""

BACKLOG_BYTES: Final = 8 << 20
BACKLOG_MESSAGES: Final = 16_384
"""What may wait for a client that acknowledges nothing, before it is given up as too slow."""

_ENTITY_SECONDS: Final = 1e-3
"""How long a client has to stay for each entity that it was to be shown, or its address waits: ten
times what sending it takes, with 26 bytes each and the usual bandwidth."""

_CHECK_SECONDS: Final = 0.1
_COMPLAINT_SECONDS: Final = 10.0  # from one warning of dropped ticks to the next
_OFFER_ALLOWANCE: Final = 16 * 1024  # bytes streamed a tick to a client that is not in the game yet

_FromClient: TypeAlias = Hello | SchemaDiffers | Resync


class Host:
    """Any number of clients in any number of simulations.

    Args:
        schema: The game's types.
        send: Sends a datagram.
        random: Returns that many random bytes; for keys, ids and seeds.
        max_clients: Connections at one time.
        per_address: How many of them one address may have; all but an eighth when left out.
        timeout: Seconds of silence after which a client is given up; where clients send seldom, the
            time of three packets.
        bandwidth: Bytes a second that one client is sent at most.
        catch_up: Seconds of overdue ticks that are made up for; beyond them time is dropped.
        analytics: What keeps what happens; nothing when left out. It is closed with the host.

    Attributes:
        stages: The simulations.
        guests: The clients, by address.
        listener: Handshakes and connections.
        choose: Decides which simulation a client joins, from its name.
        closed: Whether `close` was called.
        analytics: What keeps what happens, where that is on.
    """

    def __init__(
        self,
        schema: Schema,
        send: Send,
        *,
        random: Callable[[int], bytes],
        max_clients: int = 64,
        per_address: int | None = None,
        timeout: float = TIMEOUT,
        bandwidth: float = BANDWIDTH,
        catch_up: float = CATCH_UP_SECONDS,
        analytics: AnalyticsService | None = None,
    ) -> None:
        self.schema = schema
        self.stages: list[Stage] = []
        self.guests: dict[Address, Guest] = {}
        self.listener = Listener(
            random(32),
            random,
            max_clients,
            timeout=timeout,
            per_address=per_address,
            source=source_of,
        )
        self.choose: Callable[[str], Stage] = lambda _name: self.stages[0]
        self.closed = False

        self._send = send
        self._random = random
        self._bandwidth = bandwidth
        self._catch_up = catch_up
        self.analytics = analytics
        # An alias of a tuple is a type at run time, which type checkers do not take for one.
        self._packets: Packets[Input] = Packets(Input)  # type: ignore[arg-type]
        self._frames = frames_gate(schema)
        self._messages: Gate[_FromClient] = Gate(_FromClient, MESSAGE_LIMIT)
        self._log = RationedLog(logger)
        self._check_at = float("-inf")
        self._complained_at = float("-inf")
        self._complained_of = 0  # dropped ticks
        self._stats = HostStats()  # what is not counted anywhere else

    # Simulations.

    def add_simulation(
        self,
        recipe: Recipe,
        now: float,
        *,
        update_rate: float | None = None,
        command_rate: float | None = None,
        interest: Interest | None = None,
        seed: int | None = None,
    ) -> Stage:
        """Start a simulation; its first tick is due at once.

        Args:
            recipe: What it is made from.
            now: Seconds on the clock that `receive` and `tick` are called with.
            update_rate: Updates a second to clients; each tick when left out.
            command_rate: Packets a second from each client; one with each of its ticks when left
                out.
            interest: Who sees what; everyone everything when left out.
            seed: Of its random numbers; random when left out.
        """
        every = max(1, round(recipe.tick_rate / (update_rate or recipe.tick_rate)))
        epoch = int.from_bytes(self._random(4), "little")
        if seed is None:
            seed = int.from_bytes(self._random(8), "little")
        simulation = Simulation(recipe, seed=seed, epoch=epoch, player=Player, owner=Owner)
        replicator = Replicator(
            self.schema,
            simulation.world,
            epoch=epoch,
            interest=interest,
            owner=Owner,
            interval=every / recipe.tick_rate,
            draw_id=NetworkIds(str(seed).encode()).draw,
        )
        stage = Stage(
            simulation, replicator, recipe.tick_rate, every, self._catch_up, now, command_rate
        )
        seldom = max(KEEPALIVE, stage.command_interval)
        self.listener.timeout = max(self.listener.timeout, PACKETS_MISSED * seldom)
        simulation.resolve = replicator.entity
        simulation.sees = stage.sees
        simulation.add_system(
            stage.replication.process, float("-inf"), "ReplicationSystem", always=True
        )
        if self.analytics is not None:
            stage.analytics = AnalyticsSystem(simulation, self.analytics)
            simulation.observer = stage.analytics
            simulation.add_system(
                stage.analytics.process, float("-inf"), "AnalyticsSystem", always=True
            )
        self.stages.append(stage)
        return stage

    @property
    def next_tick_at(self) -> float:
        """When `tick` has something to do, in the host's seconds."""
        return min((stage.next_at for stage in self.stages), default=self._check_at)

    @property
    def failure(self) -> Exception | None:
        """What a system or hook raised, where that stopped a simulation."""
        for stage in self.stages:
            if stage.simulation.failure is not None:
                return stage.simulation.failure
        return None

    @property
    def dropped_ticks(self) -> int:
        """Ticks that never ran because they were long overdue, of all simulations."""
        return sum(stage.dropped_ticks for stage in self.stages)

    def stats(self) -> HostStats:
        """What the host did so far."""
        stats = HostStats(
            ticks=sum(stage.simulation.tick for stage in self.stages),
            dropped_ticks=self.dropped_ticks,
            clients=sum(len(stage.guests) for stage in self.stages),
            joined=self._stats.joined,
            packets_sent=self._stats.packets_sent,
            packets_received=self._stats.packets_received,
            bytes_sent=self._stats.bytes_sent,
            commands_applied=self._stats.commands_applied,
            commands_expired=self._stats.commands_expired,
            commands_superseded=self._stats.commands_superseded,
            commands_rejected=self._stats.commands_rejected,
            denied=self.listener.admission.denied.copy(),
        )
        for guest in self.guests.values():
            guest.count_into(stats)
        return stats

    # Datagrams.

    def receive(self, data: bytes, address: Address, now: float) -> None:
        """Take a datagram. What is wrong with it is counted, never raised.

        Args:
            data: The datagram.
            address: Where it came from.
            now: Seconds on a clock that never runs backwards.
        """
        guest = self.guests.get(address)
        if guest is not None and (packet := guest.connection.open(data, now)) is not None:
            self._packet(guest, packet, now)
            return
        if self.closed or not answerable(address):
            return
        inbound = self.listener.receive(data, address, now)
        if inbound is None:
            return
        if inbound.closed is not None and guest is not None:
            self._forget(guest, inbound.closed.reason or Reason.LEFT, now)
        if inbound.refused is not None:
            self._log.info(now, "%s:%d is not let in: %s", *address[:2], inbound.refused)
            self._note_refusal("", inbound.refused, self._first_stage(), now)
        if inbound.opened and inbound.connection is not None:
            connection, session = inbound.connection, self._session()
            # Found by its address with each datagram: what guests have in common is there once.
            address = cast(Address, (sys.intern(address[0]), *address[1:]))
            inbox = Inbox(1.0, self._frames)
            guest = Guest(connection, session, address, self._send, self._stats, inbox, now)
            self.guests[address] = guest
        for reply in inbound.replies:
            self._deliver(reply, address)

    def _packet(self, guest: Guest, packet: bytes, now: float) -> None:
        """Every packet of every client comes by here."""
        session = guest.session
        received = session.receive(packet, now)
        if received is None:
            if session.abusive:
                self.disconnect(guest, Reason.ABUSE, now)
            return
        given, stage = received.payload, guest.playing
        if given is not None and stage is not None:
            self._commands(guest, stage, given, now)
        if received.messages:
            for _, message in received.messages:
                self._message(guest, message, now)
        if received.reply and guest.state is not GuestState.GONE:
            reply = session.send(None, now)
            if guest.viewer is not None:  # messages ride in it, too
                guest.viewer.allowance -= len(reply) + OVERHEAD
            guest.deliver(reply)

    def _commands(self, guest: Guest, stage: Stage, given: Input, now: float) -> None:
        """What a player does."""
        epoch, number, tick, frames = given
        if epoch != stage.epoch:
            return
        if now > stage.asleep_at:
            # The host slept. How early commands come is measured against the ticks that will be.
            stage.drop_time(now)
        try:
            fresh = guest.inbox.receive(number, tick, frames, stage.next_tick)
        except BadMessageError:
            self._strike(guest, now)
            return
        if fresh >= 0:
            # How early it came, in ticks; the least is reported.
            slack = fresh - now * stage.tick_rate - stage.phase
            if slack < guest.slack:
                guest.slack = slack

    def _message(self, guest: Guest, data: bytes, now: float) -> None:
        """A reliable message."""
        if guest.state is GuestState.GONE:
            return
        message = self._messages.decode(data)
        if isinstance(message, Hello) and guest.state is GuestState.GREETING:
            self._hello(guest, message, now)
        elif isinstance(message, SchemaDiffers) and guest.state is GuestState.OFFERED:
            difference = printable(message.difference)
            self._log.info(now, "%s plays another game and is refused: %s", guest, difference)
            self.disconnect(guest, Reason.SCHEMA, now)
        elif isinstance(message, Resync) and guest.viewer is not None and guest.stage is not None:
            guest.stage.replicator.resync(guest.viewer)
        else:
            self._strike(guest, now)

    def _hello(self, guest: Guest, hello: Hello, now: float) -> None:
        if hello.wire_version != WIRE_VERSION:
            self._log.info(
                now,
                "%s speaks wire version %d and is refused: this is version %d",
                guest,
                hello.wire_version,
                WIRE_VERSION,
            )
            self.disconnect(guest, Reason.VERSION, now)
        elif not is_name(hello.name):
            self._log.info(now, "%s is refused for its name, %r", guest, printable(hello.name))
            self.disconnect(guest, Reason.NAME, now)
        elif hello.fingerprint != self.schema.fingerprint:
            guest.name = hello.name
            guest.state = GuestState.OFFERED
            guest.session.queue(encode(SchemaOffer(self.schema.encode_description())))
        else:
            guest.state = GuestState.JOINING
            stage = guest.stage = self.choose(hello.name)
            guest.name = stage.names.take(hello.name)
            guest.inbox = Inbox(stage.tick_rate, self._frames, stage.command_interval)
            # What it does not send more often cannot be missed sooner.
            path = guest.session.path
            path.peer_interval = max(path.peer_interval, stage.command_interval)
            stage.last_player_id += 1
            guest.player_id = stage.last_player_id
            stage.joins.append(Join(guest.player_id, guest.name))
            stage.joining.append(guest)

    def _strike(self, guest: Guest, now: float) -> None:
        guest.session.strike(now)
        if guest.session.abusive:
            self.disconnect(guest, Reason.ABUSE, now)

    # Ticks.

    def tick(self, now: float, *, early: float = 0.0) -> int:
        """Run the ticks that are due, and whatever else time brings.

        Args:
            now: Seconds, as for `receive`.
            early: Share of a tick by which one may run before it is due: for a caller whose
                own timer keeps the beat.

        Returns:
            How many ticks were run.
        """
        if self.closed:
            return 0
        ran = 0
        for stage in self.stages:
            stage.drop_time(now)
            if early:
                stage.fall_in(now)
            while stage.next_at - early * stage.dt <= now and stage.simulation.failure is None:
                self._step(stage, now)
                ran += 1
        if now >= self._check_at:
            self._check_at = now + _CHECK_SECONDS
            self._check(now)
        return ran

    def _step(self, stage: Stage, now: float) -> None:
        tick = stage.next_tick
        stage.replication.now = now
        if stage.joining:
            self._seat(stage, tick, now)
        joins, stage.joins = stage.joins, []
        leaves, stage.leaves = stage.leaves, []
        if stage.reporting:
            self._put_reports_away(stage)
        stage.simulation.step(joins, leaves, self._taken(stage, tick))
        stage.ticked()
        if stage.arriving and tick % stage.every == 0:
            self._welcome(stage)

    def _taken(self, stage: Stage, tick: int) -> Iterator[tuple[int, tuple[Given, ...]]]:
        """The guests' commands for a tick, one after the other: each guest is visited once, and
        what it gave is put to use while it is in the cache.
        """
        for guest in stage.guests:
            given = guest.inbox.take(tick)
            if given:
                yield guest.player_id, given
            if tick >= guest.report_at:
                self._report(stage, guest, tick)

    def _seat(self, stage: Stage, tick: int, now: float) -> None:
        """Let in those whose join is part of the tick that begins."""
        for guest in stage.joining:
            guest.state = GuestState.JOINED
            guest.playing = stage
            guest.joined_at = now
            # Not everybody in the same tick.
            guest.report_at = tick + 1 + guest.player_id % stage.report_ticks
            stage.guests.append(guest)
            stage.players[guest.player_id] = guest
            stage.arriving.append(guest)
            self._stats.joined += 1
            self._log.info(now, "%s joined", guest)
            if stage.analytics is not None:
                stage.analytics.joined(guest.player_id, guest.name)
        stage.joining.clear()

    def _welcome(self, stage: Stage) -> None:
        """Tell newcomers who they are; from the next update on they are told of the world."""
        simulation, replicator = stage.simulation, stage.replicator
        for guest in stage.arriving:
            player = simulation.player_entity.get(guest.player_id)
            net = None if player is None else replicator.network_id(player)
            welcome = Welcome(
                simulation.epoch,
                net or 0,
                guest.player_id,
                stage.tick_rate,
                stage.tick_rate / stage.every,
                simulation.tick & 0xFFFF_FFFF,
                stage.command_rate,
            )
            guest.session.queue(encode(welcome))
            # An entity that is none: a game may have deleted its player on the spot.
            guest.viewer = replicator.add_viewer(
                -guest.player_id if player is None else player,
                guest.session,
                guest,
                self._bandwidth,
            )
        stage.arriving.clear()

    def _report(self, stage: Stage, guest: Guest, tick: int) -> None:
        """Put into the next update how the guest's commands arrive."""
        guest.report_at = tick + stage.report_ticks
        viewer = guest.viewer
        if viewer is None:
            return
        slack, guest.slack = guest.slack, inf
        if slack == inf:
            return
        inbox = guest.inbox
        viewer.report = (
            round(slack * 16),
            inbox.applied,
            inbox.expired,
            inbox.superseded,
            inbox.rejected + stage.simulation.rejected[guest.player_id],
        )
        guest.reported_at = guest.session.packets_sent
        stage.reporting.append(guest)

    def _put_reports_away(self, stage: Stage) -> None:
        """A report travels once. A lost one is made up for by the next."""
        waiting = []
        for guest in stage.reporting:
            if guest.viewer is None:
                continue
            if guest.session.packets_sent == guest.reported_at:
                waiting.append(guest)
            else:
                guest.viewer.report = None
        stage.reporting = waiting

    def _check(self, now: float) -> None:
        """What need not happen each tick: time-outs, and sessions of those who are not in yet."""
        dropped = self.dropped_ticks
        if dropped > self._complained_of and now >= self._complained_at + _COMPLAINT_SECONDS:
            logger.warning(
                "%d ticks dropped: the server stood still, or its systems take longer than a tick,"
                " and time goes by more slowly in the game",
                dropped - self._complained_of,
            )
            self._complained_at, self._complained_of = now, dropped
        self._log.catch_up(now)
        for connection in self.listener.poll(now):
            guest = self.guests.get(cast(Address, connection.address))
            if guest is not None and guest.connection is connection:
                for datagram in connection.goodbye():  # a client that sleeps hears it one day
                    self._deliver(datagram, guest.address)
                self._forget(guest, Reason.TIMEOUT, now)
        for guest in list(self.guests.values()):
            session = guest.session
            waiting = session.queued - session.delivered
            if waiting > BACKLOG_MESSAGES or session.backlog > BACKLOG_BYTES:
                self._log.info(now, "%s takes in too little: %d messages wait", guest, waiting)
                self.disconnect(guest, Reason.SLOW, now)
                continue
            if guest.viewer is not None:
                continue
            if self.listener.stalled:
                guest.deadline = min(guest.deadline + self.listener.stalled, now + GREETING_SECONDS)
            if now > guest.deadline and guest.state in (GuestState.GREETING, GuestState.OFFERED):
                late = guest.state is GuestState.OFFERED
                self._log.info(now, "%s did not get into the game in time", guest)
                self.disconnect(guest, Reason.SCHEMA if late else Reason.TIMEOUT, now)
                continue
            session.lost(now)
            packets = session.stream(now, _OFFER_ALLOWANCE)
            if session.due(now) or session.backlog:
                packets.append(session.send(None, now))
            for packet in packets:
                guest.deliver(packet)

    # Goodbyes.

    def disconnect(self, guest: Guest, reason: Reason, now: float) -> None:
        """End a guest's connection and tell it why."""
        self._note_end(guest, reason, now)
        for datagram in self.listener.disconnect(guest.connection, reason, now):
            self._deliver(datagram, guest.address)
        self._forget(guest, reason, now)

    def close(self, reason: Reason, now: float) -> None:
        """Tell everybody goodbye and end the simulations: everybody leaves, hooks run.

        A hook that raises is the `failure` then.
        """
        if self.closed:
            return
        self.closed = True
        self.listener.refusing = reason
        for guest in list(self.guests.values()):
            self.disconnect(guest, reason, now)
        for stage in self.stages:
            stage.simulation.finish()
            if stage.analytics is not None:
                failed = stage.simulation.failure is not None
                stage.analytics.stopped("failed" if failed else "stopped", self._figures(stage))
            stage.simulation.close()
        if self.analytics is not None:
            self.analytics.close()

    def _note_end(self, guest: Guest, reason: Reason, now: float) -> None:
        """Tell analytics of somebody who is refused or thrown out."""
        stage = guest.stage or self._first_stage()
        if stage is None or stage.analytics is None or self.closed:
            return
        if guest.state is GuestState.JOINED:
            stage.analytics.kicked(guest.player_id, guest.name, reason)
        elif guest.state is not GuestState.GONE:
            self._note_refusal(guest.name, reason, stage, now)

    def _note_refusal(self, name: str, reason: Reason, stage: Stage | None, now: float) -> None:
        if stage is not None and stage.analytics is not None:
            stage.analytics.turned_away(name, reason, now)

    def _first_stage(self) -> Stage | None:
        """Where is told what happens before anybody is in a simulation."""
        return self.stages[0] if self.stages else None

    def _figures(self, stage: Stage) -> dict[str, int]:
        """What the last event of a match says."""
        stats = self.stats()
        return {
            "dropped_ticks": stage.dropped_ticks,
            "joined": stats.joined,
            "commands_applied": stats.commands_applied,
            "commands_expired": stats.commands_expired,
            "commands_superseded": stats.commands_superseded,
        }

    def _forget(self, guest: Guest, reason: Reason, now: float) -> None:
        """A guest is gone, and so is its player at the next tick."""
        if self.guests.get(guest.address) is guest:
            del self.guests[guest.address]
        if guest.state is GuestState.GONE:
            return
        guest.count_into(self._stats)
        state, guest.state = guest.state, GuestState.GONE
        guest.playing = None
        stage = guest.stage
        if stage is None:
            return
        stage.names.free(guest.name)
        if state is GuestState.JOINING:
            stage.joining.remove(guest)
            stage.joins = [join for join in stage.joins if join.player_id != guest.player_id]
        elif state is GuestState.JOINED:
            self._log.info(now, "%s is gone: %s", guest, reason)
            stage.guests.remove(guest)
            del stage.players[guest.player_id]
            if guest in stage.arriving:
                stage.arriving.remove(guest)
            if guest.viewer is not None:
                owing = _ENTITY_SECONDS * stage.replicator.shown(guest.viewer)
                if (stayed := now - guest.joined_at) < owing:
                    self.listener.admission.charge(guest.address, owing - stayed, now)
                stage.replicator.remove_viewer(guest.viewer)
                guest.viewer = None
            stage.leaves.append(guest.player_id)
            if stage.analytics is not None:
                stage.analytics.left(guest.player_id, guest.name, reason)

    # Sending.

    def _session(self) -> Session[Input]:
        fastest = PACKETS_A_TICK * max((stage.tick_rate for stage in self.stages), default=0.0)
        return Session(
            self._packets,
            message_limit=MESSAGE_LIMIT,
            send_limit=MESSAGE_BYTES,
            packet_rate=max(PACKET_RATE, fastest),
            byte_rate=max(BYTE_RATE, fastest * MAX_PACKET),
            message_rate=MESSAGE_RATE,
        )

    def _deliver(self, datagram: bytes, address: Address) -> None:
        self._stats.bytes_sent += len(datagram)
        self._send(datagram, address)
