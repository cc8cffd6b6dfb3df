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
from ecsnet.commands.inbox import Inbox, ReceivedCommand
from ecsnet.components import Owner, Player
from ecsnet.connection.plain import MAX_PACKET, TIMEOUT, Connection, Listener, Reason
from ecsnet.errors import BadMessageError
from ecsnet.messages.joining import (
    WIRE_VERSION,
    Hello,
    SchemaDiffers,
    SchemaOffer,
    Welcome,
)
from ecsnet.peer import Peer, Send
from ecsnet.replication.server.interest import Interest
from ecsnet.replication.server.network_ids import NetworkIds
from ecsnet.replication.server.replicator import BANDWIDTH, Replicator
from ecsnet.replication.wire import MESSAGE_BYTES, Resync
from ecsnet.runtime.rate_limited_log import RationedLog
from ecsnet.schema import Gate, Schema, encode
from ecsnet.server.members import HANDSHAKE_SECONDS, HostStats, Member, MemberState
from ecsnet.server.room import Room
from ecsnet.session.packets import PacketCodec
from ecsnet.session.session import KEEPALIVE
from ecsnet.simulation.simulation import Join, Simulation
from ecsnet.simulation.spec import SimulationSpec
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
        rooms: The simulations.
        members: The clients, by connection.
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
        self.rooms: list[Room] = []
        self.members: dict[Connection, Member] = {}
        self.listener = Listener(
            random(32),
            random,
            max_clients,
            timeout=timeout,
            per_address=per_address,
            source=source_of,
        )
        self.choose: Callable[[str], Room] = lambda _name: self.rooms[0]
        self.closed = False

        self._send = send
        self._random = random
        self._bandwidth = bandwidth
        self._catch_up = catch_up
        self.analytics = analytics
        # An alias of a tuple is a type at run time, which type checkers do not take for one.
        self._packets: PacketCodec[Input] = PacketCodec(Input)  # type: ignore[arg-type]
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
        spec: SimulationSpec,
        now: float,
        *,
        update_rate: float | None = None,
        command_rate: float | None = None,
        interest: Interest | None = None,
        seed: int | None = None,
    ) -> Room:
        """Start a simulation; its first tick is due at once.

        Args:
            spec: What it is made from.
            now: Seconds on the clock that `receive` and `tick` are called with.
            update_rate: Updates a second to clients; each tick when left out.
            command_rate: Packets a second from each client; one with each of its ticks when left
                out.
            interest: Who sees what; everyone everything when left out.
            seed: Of its random numbers; random when left out.
        """
        every = max(1, round(spec.tick_rate / (update_rate or spec.tick_rate)))
        epoch = int.from_bytes(self._random(4), "little")
        if seed is None:
            seed = int.from_bytes(self._random(8), "little")
        simulation = Simulation(spec, seed=seed, epoch=epoch, player=Player, owner=Owner)
        replicator = Replicator(
            self.schema,
            simulation.world,
            epoch=epoch,
            interest=interest,
            owner=Owner,
            interval=every / spec.tick_rate,
            draw_id=NetworkIds(str(seed).encode()).draw,
        )
        room = Room(
            simulation, replicator, spec.tick_rate, every, self._catch_up, now, command_rate
        )
        seldom = max(KEEPALIVE, room.command_interval)
        self.listener.timeout = max(self.listener.timeout, PACKETS_MISSED * seldom)
        simulation.resolve = replicator.entity
        simulation.sees = room.sees
        simulation.add_system(
            room.replication.process, float("-inf"), "ReplicationSystem", always=True
        )
        if self.analytics is not None:
            room.analytics = AnalyticsSystem(simulation, self.analytics)
            simulation.observer = room.analytics
            simulation.add_system(
                room.analytics.process, float("-inf"), "AnalyticsSystem", always=True
            )
        self.rooms.append(room)
        return room

    @property
    def next_tick_at(self) -> float:
        """When `tick` has something to do, in the host's seconds."""
        return min((room.next_at for room in self.rooms), default=self._check_at)

    @property
    def failure(self) -> Exception | None:
        """What a system or hook raised, where that stopped a simulation."""
        for room in self.rooms:
            if room.simulation.failure is not None:
                return room.simulation.failure
        return None

    @property
    def dropped_ticks(self) -> int:
        """Ticks that never ran because they were long overdue, of all simulations."""
        return sum(room.dropped_ticks for room in self.rooms)

    def stats(self) -> HostStats:
        """What the host did so far."""
        stats = HostStats(
            ticks=sum(room.simulation.tick for room in self.rooms),
            dropped_ticks=self.dropped_ticks,
            clients=sum(len(room.members) for room in self.rooms),
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
        for member in self.members.values():
            member.count_into(stats)
        return stats

    def member(self, address: Address) -> Member | None:
        """The member whose datagrams come from an address; None when there is none."""
        connection = self.listener.connections.get(address)
        return None if connection is None else self.members.get(connection)

    # Datagrams.

    def receive(self, data: bytes, address: Address, now: float) -> None:
        """Take a datagram. What is wrong with it is counted, never raised.

        Args:
            data: The datagram.
            address: Where it came from.
            now: Seconds on a clock that never runs backwards.
        """
        connection = self.listener.connections.get(address)
        if connection is not None and (packet := connection.open(data, now)) is not None:
            self._packet(self.members[connection], packet, now)
            return
        if self.closed or not answerable(address):
            return
        inbound = self.listener.receive_other(data, address, now)
        if inbound is None:
            return
        if inbound.closed is not None:
            self._forget(self.members[inbound.closed], inbound.closed.reason or Reason.LEFT, now)
        if inbound.refused is not None:
            self._log.info(now, "%s:%d is not let in: %s", *address[:2], inbound.refused)
            self._note_refusal("", inbound.refused, self._first_room(), now)
        if inbound.opened and inbound.connection is not None:
            connection, peer = inbound.connection, self._peer()
            # Found by its address with each datagram: what members have in common is there once.
            address = cast(Address, (sys.intern(address[0]), *address[1:]))
            inbox = Inbox(1.0, self._frames)
            peer.relink(connection, address, self._send)
            member = Member(peer, inbox, now)
            self.members[connection] = member
        for reply in inbound.replies:
            self._deliver(reply, address)

    def _packet(self, member: Member, packet: bytes, now: float) -> None:
        """Every packet of every client comes by here."""
        peer = member.peer
        received = peer.receive_packet(packet, now)
        if received is None:
            if peer.abusive:
                self.disconnect(member, Reason.ABUSE, now)
            return
        given, room = received.payload, member.playing
        if given is not None and room is not None:
            self._commands(member, room, given, now)
        if received.messages:
            for _, message in received.messages:
                self._message(member, message, now)
        if received.reply and member.state is not MemberState.CLOSED:
            size = peer.send(None, now)
            if member.client_state is not None:  # messages go along in it, too
                member.client_state.allowance -= size

    def _commands(self, member: Member, room: Room, given: Input, now: float) -> None:
        """What a player does."""
        epoch, number, tick, frames = given
        if epoch != room.epoch:
            return
        if now > room.stalled_after:
            # The host slept. How early commands come is measured against the ticks that will be.
            room.skip_overdue(now)
        try:
            fresh = member.inbox.receive(number, tick, frames, room.next_tick)
        except BadMessageError:
            self._strike(member, now)
            return
        if fresh >= 0:
            # How early it came, in ticks; the least is reported.
            slack = fresh - now * room.tick_rate - room.phase
            if slack < member.slack:
                member.slack = slack

    def _message(self, member: Member, data: bytes, now: float) -> None:
        """A reliable message."""
        if member.state is MemberState.CLOSED:
            return
        message = self._messages.decode(data)
        if isinstance(message, Hello) and member.state is MemberState.HANDSHAKE:
            self._hello(member, message, now)
        elif isinstance(message, SchemaDiffers) and member.state is MemberState.SCHEMA_MISMATCH:
            difference = printable(message.difference)
            self._log.info(now, "%s plays another game and is refused: %s", member, difference)
            self.disconnect(member, Reason.SCHEMA, now)
        elif (
            isinstance(message, Resync)
            and member.client_state is not None
            and member.room is not None
        ):
            member.room.replicator.resync(member.client_state)
        else:
            self._strike(member, now)

    def _hello(self, member: Member, hello: Hello, now: float) -> None:
        if hello.wire_version != WIRE_VERSION:
            self._log.info(
                now,
                "%s speaks wire version %d and is refused: this is version %d",
                member,
                hello.wire_version,
                WIRE_VERSION,
            )
            self.disconnect(member, Reason.VERSION, now)
        elif not is_name(hello.name):
            self._log.info(now, "%s is refused for its name, %r", member, printable(hello.name))
            self.disconnect(member, Reason.NAME, now)
        elif hello.fingerprint != self.schema.fingerprint:
            member.name = hello.name
            member.state = MemberState.SCHEMA_MISMATCH
            member.peer.queue(encode(SchemaOffer(self.schema.encode_description())))
        else:
            member.state = MemberState.JOINING
            room = member.room = self.choose(hello.name)
            member.name = room.names.take(hello.name)
            member.inbox = Inbox(room.tick_rate, self._frames, room.command_interval)
            # What it does not send more often cannot be missed sooner.
            path = member.peer.session.path
            path.peer_interval = max(path.peer_interval, room.command_interval)
            room.last_player_id += 1
            member.player_id = room.last_player_id
            room.joins.append(Join(member.player_id, member.name))
            room.joining.append(member)

    def _strike(self, member: Member, now: float) -> None:
        member.peer.strike(now)
        if member.peer.abusive:
            self.disconnect(member, Reason.ABUSE, now)

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
        for room in self.rooms:
            room.skip_overdue(now)
            if early:
                room.follow_timer(now)
            while room.next_at - early * room.dt <= now and room.simulation.failure is None:
                self._step(room, now)
                ran += 1
        if now >= self._check_at:
            self._check_at = now + _CHECK_SECONDS
            self._check(now)
        return ran

    def _step(self, room: Room, now: float) -> None:
        tick = room.next_tick
        room.replication.now = now
        if room.joining:
            self._admit_joining(room, tick, now)
        joins, room.joins = room.joins, []
        leaves, room.leaves = room.leaves, []
        if room.reporting:
            self._put_reports_away(room)
        room.simulation.step(joins, leaves, self._collect_commands(room, tick))
        room.ticked()
        if room.arriving and tick % room.every == 0:
            self._welcome(room)

    def _collect_commands(
        self, room: Room, tick: int
    ) -> Iterator[tuple[int, tuple[ReceivedCommand, ...]]]:
        """The members' commands for a tick, one after the other: each member is visited once, and
        what it gave is put to use while it is in the cache.
        """
        for member in room.members:
            given = member.inbox.take(tick)
            if given:
                yield member.player_id, given
            if tick >= member.report_at:
                self._report(room, member, tick)

    def _admit_joining(self, room: Room, tick: int, now: float) -> None:
        """Let in those whose join is part of the tick that begins."""
        for member in room.joining:
            member.state = MemberState.JOINED
            member.playing = room
            member.joined_at = now
            # Not everybody in the same tick.
            member.report_at = tick + 1 + member.player_id % room.report_ticks
            room.members.append(member)
            room.players[member.player_id] = member
            room.arriving.append(member)
            self._stats.joined += 1
            self._log.info(now, "%s joined", member)
            if room.analytics is not None:
                room.analytics.joined(member.player_id, member.name)
        room.joining.clear()

    def _welcome(self, room: Room) -> None:
        """Tell newcomers who they are; from the next update on they are told of the world."""
        simulation, replicator = room.simulation, room.replicator
        for member in room.arriving:
            player = simulation.player_entity.get(member.player_id)
            net = None if player is None else replicator.network_id(player)
            welcome = Welcome(
                simulation.epoch,
                net or 0,
                member.player_id,
                room.tick_rate,
                room.tick_rate / room.every,
                simulation.tick & 0xFFFF_FFFF,
                room.command_rate,
            )
            member.peer.queue(encode(welcome))
            # An entity that is none: a game may have deleted its player on the spot.
            member.client_state = replicator.add_client(
                -member.player_id if player is None else player,
                member.peer,
                self._bandwidth,
            )
        room.arriving.clear()

    def _report(self, room: Room, member: Member, tick: int) -> None:
        """Put into the next update how the member's commands arrive."""
        member.report_at = tick + room.report_ticks
        client_state = member.client_state
        if client_state is None:
            return
        slack, member.slack = member.slack, inf
        if slack == inf:
            return
        inbox = member.inbox
        client_state.report = (
            round(slack * 16),
            inbox.applied,
            inbox.expired,
            inbox.superseded,
            inbox.rejected + room.simulation.rejected[member.player_id],
        )
        member.reported_at = member.peer.session.packets_sent
        room.reporting.append(member)

    def _put_reports_away(self, room: Room) -> None:
        """A report travels once. A lost one is made up for by the next."""
        waiting = []
        for member in room.reporting:
            if member.client_state is None:
                continue
            if member.peer.session.packets_sent == member.reported_at:
                waiting.append(member)
            else:
                member.client_state.report = None
        room.reporting = waiting

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
            member = self.members[connection]
            for datagram in connection.goodbye():  # a client that sleeps hears it one day
                self._deliver(datagram, member.address)
            self._forget(member, Reason.TIMEOUT, now)
        for member in list(self.members.values()):
            peer = member.peer
            waiting = peer.queued - peer.delivered
            if waiting > BACKLOG_MESSAGES or peer.backlog > BACKLOG_BYTES:
                self._log.info(now, "%s takes in too little: %d messages wait", member, waiting)
                self.disconnect(member, Reason.SLOW, now)
                continue
            if member.client_state is not None:
                continue
            if self.listener.stalled:
                member.deadline = min(
                    member.deadline + self.listener.stalled, now + HANDSHAKE_SECONDS
                )
            if now > member.deadline and member.state in (
                MemberState.HANDSHAKE,
                MemberState.SCHEMA_MISMATCH,
            ):
                late = member.state is MemberState.SCHEMA_MISMATCH
                self._log.info(now, "%s did not get into the game in time", member)
                self.disconnect(member, Reason.SCHEMA if late else Reason.TIMEOUT, now)
                continue
            peer.lost(now)
            peer.send_messages(now, _OFFER_ALLOWANCE)
            if peer.due(now) or peer.backlog:
                peer.send(None, now)

    # Goodbyes.

    def disconnect(self, member: Member, reason: Reason, now: float) -> None:
        """End a member's connection and tell it why."""
        self._note_end(member, reason, now)
        if member.peer.connection is not None:
            for datagram in self.listener.disconnect(member.peer.connection, reason, now):
                self._deliver(datagram, member.address)
        self._forget(member, reason, now)

    def close(self, reason: Reason, now: float) -> None:
        """Tell everybody goodbye and end the simulations: everybody leaves, hooks run.

        A hook that raises is the `failure` then.
        """
        if self.closed:
            return
        self.closed = True
        self.listener.refusing = reason
        for member in list(self.members.values()):
            self.disconnect(member, reason, now)
        for room in self.rooms:
            room.simulation.finish()
            if room.analytics is not None:
                failed = room.simulation.failure is not None
                room.analytics.stopped("failed" if failed else "stopped", self._figures(room))
            room.simulation.close()
        if self.analytics is not None:
            self.analytics.close()

    def _note_end(self, member: Member, reason: Reason, now: float) -> None:
        """Tell analytics of somebody who is refused or thrown out."""
        room = member.room or self._first_room()
        if room is None or room.analytics is None or self.closed:
            return
        if member.state is MemberState.JOINED:
            room.analytics.kicked(member.player_id, member.name, reason)
        elif member.state is not MemberState.CLOSED:
            self._note_refusal(member.name, reason, room, now)

    def _note_refusal(self, name: str, reason: Reason, room: Room | None, now: float) -> None:
        if room is not None and room.analytics is not None:
            room.analytics.turned_away(name, reason, now)

    def _first_room(self) -> Room | None:
        """Where is told what happens before anybody is in a simulation."""
        return self.rooms[0] if self.rooms else None

    def _figures(self, room: Room) -> dict[str, int]:
        """What the last event of a match says."""
        stats = self.stats()
        return {
            "dropped_ticks": room.dropped_ticks,
            "joined": stats.joined,
            "commands_applied": stats.commands_applied,
            "commands_expired": stats.commands_expired,
            "commands_superseded": stats.commands_superseded,
        }

    def _forget(self, member: Member, reason: Reason, now: float) -> None:
        """A member is gone, and so is its player at the next tick."""
        if member.peer.connection is not None:
            self.members.pop(member.peer.connection, None)
        if member.state is MemberState.CLOSED:
            return
        member.count_into(self._stats)
        state, member.state = member.state, MemberState.CLOSED
        member.playing = None
        room = member.room
        if room is None:
            return
        room.names.free(member.name)
        if state is MemberState.JOINING:
            room.joining.remove(member)
            room.joins = [join for join in room.joins if join.player_id != member.player_id]
        elif state is MemberState.JOINED:
            self._log.info(now, "%s is gone: %s", member, reason)
            room.members.remove(member)
            del room.players[member.player_id]
            if member in room.arriving:
                room.arriving.remove(member)
            if member.client_state is not None:
                owing = _ENTITY_SECONDS * room.replicator.shown(member.client_state)
                if (stayed := now - member.joined_at) < owing:
                    self.listener.admission.charge(member.address, owing - stayed, now)
                room.replicator.remove_client(member.client_state)
                member.client_state = None
            room.leaves.append(member.player_id)
            if room.analytics is not None:
                room.analytics.left(member.player_id, member.name, reason)

    # Sending.

    def _peer(self) -> Peer[Input]:
        fastest = PACKETS_A_TICK * max((room.tick_rate for room in self.rooms), default=0.0)
        return Peer(
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
