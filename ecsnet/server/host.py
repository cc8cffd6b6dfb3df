"""Members on one side, rooms on the other, and the way from the one to the other.

A host has no socket and no clock: datagrams come in through `Host.receive_datagrams`, go out
through a function that it is given, and `Host.tick` is called when a tick is due. It chooses a room
for each member, routes, and counts. Connections and packets are the business of its peers, and what
happens in a room is that room's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from ecsnet.commands.frames import Input, frames_gate
from ecsnet.commands.join_data import JoinDataGate
from ecsnet.connection.plain import TIMEOUT, Connection, Listener
from ecsnet.errors import BadMessageError, UsageError
from ecsnet.limits import MAX_PACKET
from ecsnet.messages.joining import (
    WIRE_VERSION,
    Hello,
    MemberState,
    SchemaDiffers,
    SchemaOffer,
)
from ecsnet.messages.table import MessageTable, handles
from ecsnet.peer import BANDWIDTH, Peer, Send
from ecsnet.peers import Ended, Opened, Peers
from ecsnet.replication.server.interest import Interest
from ecsnet.replication.wire import MESSAGE_BYTES, Resync
from ecsnet.runtime.rate_limited_log import RationedLog
from ecsnet.schema import Schema, encode
from ecsnet.server.members import HANDSHAKE_SECONDS, Member
from ecsnet.server.room import REWIND_SECONDS, Room
from ecsnet.server.stats import HostStats
from ecsnet.session.goodbye import Reason, sentence
from ecsnet.session.packets import PacketCodec
from ecsnet.session.session import KEEPALIVE, Received
from ecsnet.simulation.join_request import JoinRequest
from ecsnet.simulation.observer import ObserverSource
from ecsnet.simulation.spec import SimulationSpec
from ecsnet.transport.address import Address, source_of
from ecsnet.validation.names import is_name, printable

__all__ = ["Host"]

logger = logging.getLogger("ecsnet.server")

MESSAGE_LIMIT: Final = 4096
"""Bytes in the longest reliable message taken from a client."""

PACKET_RATE: Final = 300.0
BYTE_RATE: Final = 128 * 1024.0
MESSAGE_RATE: Final = 30.0
"""The limits for what a client sends in a second, with a burst of two seconds..."""

PACKETS_A_TICK: Final = 2.0
"""... or so many packets in each tick, full ones, where that is more."""

PACKETS_MISSED: Final = 3
"""However short the timeout is: so many packets that a client sends at least have to be missing."""

CATCH_UP_SECONDS: Final = 0.1
"""Seconds of overdue time that are caught up; time beyond it is dropped."""

BACKLOG_BYTES: Final = 8 << 20
BACKLOG_MESSAGES: Final = 16_384
"""The most that waits for a client that acknowledges nothing, before it is given up as too slow."""

GOODBYE_SECONDS: Final = 1.0
"""The longest time for which a goodbye to somebody whom the game has thrown out waits for what was
sent before."""

_CHECK_SECONDS: Final = 0.1
_COMPLAINT_SECONDS: Final = 10.0  # from one warning of dropped ticks to the next


class Host:
    """Any number of clients in any number of rooms.

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
        sources: Each gives every room an observer, and is closed with the host.

    Attributes:
        rooms: The rooms; see `add_room` and `remove_room`.
        peers: The clients' connections and sessions.
        members: The clients, by their peers.
        choose: Decides which room a client joins, from its name; None where there is none for it.
            Unless set, that with the fewest players.
        failure: What a system or hook raised, where that has left the host without a room, or
            happened while the host closed.
        closed: Whether `close` was called.
        sources: What gives observers.
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
        sources: Sequence[ObserverSource] = (),
    ) -> None:
        self.schema = schema
        self.rooms: list[Room] = []
        listener = Listener(
            random(32),
            random,
            max_clients,
            timeout=timeout,
            per_address=per_address,
            source=source_of,
        )
        self.peers: Peers[Input] = Peers(listener, send, self._make_peer, self._refused)
        self.members: dict[Peer[Input], Member] = {}
        self.choose: Callable[[str], Room | None] = self._least_crowded
        self.failure: Exception | None = None
        self.closed = False
        self.sources = sources

        self._random = random
        self._bandwidth = bandwidth
        self._catch_up = catch_up
        # An alias of a tuple is a type at run time, which type checkers do not take for one.
        self._packets: PacketCodec[Input] = PacketCodec(Input)  # type: ignore[arg-type]
        self._frames = frames_gate(schema)
        self._join_data = JoinDataGate(schema.commands)
        # Who was thrown out, with the text for each, until when its goodbye may wait.
        self._dismissed: dict[Member, tuple[str, float]] = {}
        self._messages: MessageTable[Member] = MessageTable(
            MESSAGE_LIMIT,
            [
                handles(Hello, [MemberState.HANDSHAKE], self._hello),
                handles(SchemaDiffers, [MemberState.SCHEMA_MISMATCH], self._schema_differs),
                # One may be on its way while the member changes its room.
                handles(Resync, [MemberState.JOINING, MemberState.JOINED], self._resync),
            ],
        )
        self._log = RationedLog(logger)
        # Specs with systems that all rooms would share; those that a room was ever made from.
        self._shared: list[SimulationSpec] = []
        self._check_at = float("-inf")
        self._complained_at = float("-inf")
        self._complained_of = 0  # dropped ticks
        self._stats = HostStats()  # what is not counted anywhere else

    # Rooms.

    def add_room(
        self,
        spec: SimulationSpec,
        now: float,
        *,
        update_rate: float | None = None,
        command_rate: float | None = None,
        interest: Interest | None = None,
        seed: int | None = None,
        rewind: float = REWIND_SECONDS,
    ) -> Room:
        """Open a room; its first tick is due at once.

        Args:
            spec: What its simulation is made from.
            now: Seconds on the clock that `receive_datagrams` and `tick` are called with.
            update_rate: Updates a second to clients; each tick when left out.
            command_rate: Packets a second from each client; one with each of its ticks when left
                out.
            interest: Who sees what; everyone everything when left out.
            seed: Of its random numbers; random when left out.
            rewind: The most seconds by which `ecsnet.rewind` looks back.

        Raises:
            UsageError: An earlier room was made from the spec, and a system in it is an instance,
                which both would share.
        """
        if any(each is spec for each in self._shared):
            name = spec.instances[0]
            raise UsageError(
                f"a second room from a game with add_system({name}(...)): both would share that"
                f" instance, and what it remembers; add the class, add_system({name}), or a"
                " function that makes one for each room"
            )
        epoch = int.from_bytes(self._random(4), "little")
        if seed is None:
            seed = int.from_bytes(self._random(8), "little")
        room = Room(
            spec,
            now,
            schema=self.schema,
            frames=self._frames,
            epoch=epoch,
            seed=seed,
            log=self._log,
            update_rate=update_rate,
            command_rate=command_rate,
            interest=interest,
            catch_up=self._catch_up,
            rewind=rewind,
            sources=self.sources,
        )
        seldom = max(KEEPALIVE, room.command_interval)
        listener = self.peers.listener
        listener.timeout = max(listener.timeout, PACKETS_MISSED * seldom)
        if spec.instances:
            self._shared.append(spec)
        self.rooms.append(room)
        return room

    def remove_room(self, room: Room, reason: Reason, now: float) -> None:
        """Close a room: its members are told goodbye, everybody leaves, hooks run.

        A hook that raises is the room's `failure` then. Who is to play on is moved before.
        """
        self.rooms.remove(room)
        for seat in room.occupants():
            self.disconnect(seat.member, reason, now)
        room.close()
        self._stats.add_room(room.stats())

    def move(self, member: Member, room: Room, now: float) -> None:
        """Let a member change its room: it goes from one and comes into the other with the next
        tick of each. Its session goes on, and with it the numbers of its commands.
        """
        seat = member.seat
        assert seat is not None  # it is in a room
        seat.room.leave(seat, "moved", now)
        # What is in flight says nothing about the room that comes.
        member.peer.session.forget_tags()
        self._enter(member, room, seat.inbox.number, now)

    @property
    def next_tick_at(self) -> float:
        """Time at which `tick` has something to do, in the host's seconds."""
        return min((room.next_at for room in self.rooms), default=self._check_at)

    @property
    def dropped_ticks(self) -> int:
        """Ticks that never ran because they were long overdue, of all rooms."""
        return self._stats.dropped_ticks + sum(room.dropped_ticks for room in self.rooms)

    def stats(self) -> HostStats:
        """Return the counts of the host so far."""
        sessions = self.peers.stats()
        stats = replace(
            self._stats,
            denied=self.peers.listener.admission.denied.copy(),
            ignored=self._stats.ignored.copy(),
            packets_sent=sessions.packets_sent,
            packets_received=sessions.packets_received,
            bytes_sent=sessions.bytes_sent,
        )
        for room in self.rooms:
            stats.add_room(room.stats())
        return stats

    def _least_crowded(self, _name: str) -> Room | None:
        return min(self.rooms, key=lambda room: len(room.names), default=None)

    def _room_failed(self, room: Room, failure: Exception, now: float) -> None:
        """End a room in which a system or hook raised; the others go on."""
        self.remove_room(room, Reason.ERROR, now)
        if not self.rooms:
            self.failure = failure

    # Datagrams.

    def member(self, address: Address) -> Member | None:
        """Return the member whose datagrams come from an address; None when there is none."""
        peer = self.peers.by_address.get(address)
        return None if peer is None else self.members.get(peer)

    def receive_datagrams(self, datagrams: Iterable[tuple[bytes, Address]], now: float) -> None:
        """Take datagrams. What is wrong with one is counted, never raised.

        Args:
            datagrams: Datagrams, and where they came from.
            now: Seconds on a clock that never runs backwards.
        """
        if self.closed:
            return
        for peer, news in self.peers.receive_datagrams(datagrams, now):
            member = self.members.get(peer)
            if member is None:
                if isinstance(news, Opened):
                    self.members[peer] = Member(peer, now)
                continue  # or something before this has ended it
            if not isinstance(news, Received):
                self._ended(member, news, now)
                continue
            payload, seat = news.payload, member.seat
            if (
                payload is not None
                and seat is not None
                and not seat.room.receive_commands(seat, payload, now)
            ):
                self._strike(member, now)
            if news.messages:  # as in Peer.receive_packet()
                for _, message in news.messages:
                    self._message(member, message, now)
            if news.reply and member.state is not MemberState.CLOSED:
                peer.send(None, now)

    def _ended(self, member: Member, news: object, now: float) -> None:
        """Let a member go whose session has ended, or has to end."""
        if isinstance(news, Ended):
            self._forget(member, news.reason, now)
        else:
            self.disconnect(member, Reason.ABUSE, now)

    def _refused(self, address: Address, reason: Reason, now: float) -> None:
        self._log.info(now, "%s:%d is not let in: %s", *address[:2], reason)
        self._note_refusal("", reason, None, now)

    def _message(self, member: Member, data: bytes, now: float) -> None:
        """Dispatch a reliable message of a member."""
        if member.state in (MemberState.LEAVING, MemberState.CLOSED):
            return
        if not self._messages.dispatch(data, member.state, member, now):
            self._strike(member, now)

    def _hello(self, hello: Hello, member: Member, now: float) -> None:
        if hello.wire_version != WIRE_VERSION:
            self._log.info(
                now,
                "%s speaks wire version %d and is refused: this is version %d",
                member,
                hello.wire_version,
                WIRE_VERSION,
            )
            self.disconnect(member, Reason.VERSION, now)
            return
        if not is_name(hello.name):
            self._log.info(now, "%s is refused for its name, %r", member, printable(hello.name))
            self.disconnect(member, Reason.NAME, now)
            return
        member.name = hello.name
        member.smooth = hello.smooth
        if hello.fingerprint != self.schema.fingerprint:
            member.enter(MemberState.SCHEMA_MISMATCH, self._log, now)
            member.peer.queue(encode(SchemaOffer(self.schema.encode_description())))
            return
        data: object = None
        if hello.data is not None:
            try:
                data = self._join_data.decode(hello.data)
            except BadMessageError:
                self._strike(member, now)
                return
        room = self.choose(hello.name)
        if room is None:
            self._log.info(now, "%s is refused: there is no room for it", member)
            self.disconnect(member, Reason.FULL, now)
            return
        refusal = room.refusal(JoinRequest(hello.name, member.address, data))
        if refusal is None:
            self._enter(member, room, 0, now)
            return
        reason, text = refusal
        self._log.info(now, "%s is refused: %s", member, sentence(reason, text))
        self.disconnect(member, reason, now, text)

    def _schema_differs(self, differs: SchemaDiffers, member: Member, now: float) -> None:
        difference = printable(differs.difference)
        self._log.info(now, "%s plays another game and is refused: %s", member, difference)
        self.disconnect(member, Reason.SCHEMA, now)

    def _resync(self, _: Resync, member: Member, _now: float) -> None:
        seat = member.seat
        if seat is not None and seat.client_state is not None:  # else it asks about another room
            seat.room.replicator.resync(seat.client_state)

    def _enter(self, member: Member, room: Room, first_frame: int, now: float) -> None:
        """Let a member take a seat in a room."""
        member.seat = room.admit(member, first_frame)
        member.enter(MemberState.JOINING, self._log, now)
        # What it does not send more often cannot be missed sooner.
        path = member.peer.session.path
        path.peer_interval = max(path.peer_interval, room.command_interval)

    def _strike(self, member: Member, now: float) -> None:
        member.peer.strike(now)
        if member.peer.abusive:
            self.disconnect(member, Reason.ABUSE, now)

    # Ticks.

    def tick(self, now: float, *, early: float = 0.0) -> int:
        """Run the ticks that are due, and whatever else time brings.

        A room in which a system or hook raised ends; see `failure`.

        Args:
            now: Seconds, as for `receive_datagrams`.
            early: Seconds by which a tick may run before it is due: half of the beat of a caller
                whose own timer keeps it.

        Returns:
            How many ticks were run.
        """
        if self.closed:
            return 0
        ran = 0
        if self._dismissed:
            self._see_off(now)
        for room in self.rooms.copy():
            ran += room.advance(now, early)
            for member, text in room.take_dismissed():
                member.enter(MemberState.LEAVING, self._log, now)
                self._dismissed[member] = text, now + GOODBYE_SECONDS
            failure = room.failure
            if failure is not None:
                self._room_failed(room, failure, now)
        if now >= self._check_at:
            self._check_at = now + _CHECK_SECONDS
            self._check(now)
        return ran

    def _check(self, now: float) -> None:
        """Do the work that no tick needs: time-outs, sessions of clients that are not in yet."""
        dropped = self.dropped_ticks
        if dropped > self._complained_of and now >= self._complained_at + _COMPLAINT_SECONDS:
            logger.warning(
                "%d ticks dropped: the server stood still, or its systems take longer than a tick,"
                " and time goes by more slowly in the game",
                dropped - self._complained_of,
            )
            self._complained_at, self._complained_of = now, dropped
        self._log.catch_up(now)
        for peer in self.peers.give_up_silent(now):
            self._forget(self.members[peer], Reason.TIMEOUT, now)
        stalled = self.peers.listener.stalled
        for member in list(self.members.values()):
            peer = member.peer
            waiting = peer.queued - peer.delivered
            if waiting > BACKLOG_MESSAGES or peer.backlog > BACKLOG_BYTES:
                self._log.info(now, "%s takes in too little: %d messages wait", member, waiting)
                self.disconnect(member, Reason.SLOW, now)
                continue
            if member.client_state is not None:
                continue
            if stalled:
                member.deadline = min(member.deadline + stalled, now + HANDSHAKE_SECONDS)
            if now > member.deadline and member.state in (
                MemberState.HANDSHAKE,
                MemberState.SCHEMA_MISMATCH,
            ):
                late = member.state is MemberState.SCHEMA_MISMATCH
                self._log.info(now, "%s did not get into the game in time", member)
                self.disconnect(member, Reason.SCHEMA if late else Reason.TIMEOUT, now)
                continue
            peer.lost(now)
            peer.flush(now)

    def relink(self, member: Member, connection: Connection, now: float) -> None:
        """Go on with a member over another connection; its session and all else stay.

        Args:
            member: The member, whose connection is up.
            connection: The new one, with the address of its client.
            now: Seconds, as for `receive_datagrams`.
        """
        self.peers.relink(member.peer, connection, now)

    # Goodbyes.

    def _see_off(self, now: float) -> None:
        """Tell those goodbye who were thrown out and have all that was sent to them before."""
        for member, (text, until) in list(self._dismissed.items()):
            peer = member.peer
            peer.lost(now)
            if peer.unacked and now < until:
                peer.flush(now)
            else:
                self.disconnect(member, Reason.KICKED, now, text)

    def disconnect(self, member: Member, reason: Reason, now: float, text: str = "") -> None:
        """End a member's session.

        Args:
            member: The member.
            reason: Why; the client is told.
            now: Seconds, as for `receive_datagrams`.
            text: What the client is told beside it, for its player.
        """
        self._note_end(member, reason, now)
        self.peers.disconnect(member.peer, reason, text, now)
        self._forget(member, reason, now)

    def close(self, reason: Reason, now: float) -> None:
        """Tell everybody goodbye and close the rooms: everybody leaves, hooks run.

        A hook that raises is the `failure` then.
        """
        if self.closed:
            return
        self.closed = True
        for member, (text, _) in list(self._dismissed.items()):
            self.disconnect(member, Reason.KICKED, now, text)
        for member in list(self.members.values()):
            self.disconnect(member, reason, now)
        for room in self.rooms:
            room.close()
            self.failure = self.failure or room.failure
        for source in self.sources:
            source.close()

    def _note_end(self, member: Member, reason: Reason, now: float) -> None:
        """Tell observers of somebody who is refused or thrown out, unless its room ends, too."""
        seat = member.seat
        if self.closed or member.state in (MemberState.LEAVING, MemberState.CLOSED):
            return
        if seat is not None and seat.room not in self.rooms:
            return
        if seat is not None and seat.joined_at is not None:
            seat.room.observers.kicked(seat.player_id, seat.name, reason)
        else:
            self._note_refusal(member.name, reason, None if seat is None else seat.room, now)

    def _note_refusal(self, name: str, reason: Reason, room: Room | None, now: float) -> None:
        """Tell the observers of a room of somebody who is refused; before one was chosen, those of
        all rooms.
        """
        for each in self.rooms if room is None else [room]:
            each.observers.refused(name, reason, now)

    def _forget(self, member: Member, reason: Reason, now: float) -> None:
        """Remove a member; its player goes at the next tick."""
        self.members.pop(member.peer, None)
        if member.state is MemberState.CLOSED:
            return
        if member.state is MemberState.JOINED:
            self._log.info(now, "%s is gone: %s", member, reason)
        member.enter(MemberState.CLOSED, self._log, now)
        self._dismissed.pop(member, None)
        seat = member.seat
        if seat is not None and (early := seat.room.leave(seat, reason.value, now)):
            self.peers.listener.admission.charge(member.address, early, now)

    def _make_peer(self) -> Peer[Input]:
        fastest = PACKETS_A_TICK * max((room.tick_rate for room in self.rooms), default=0.0)
        peer = Peer(
            self._packets,
            message_limit=MESSAGE_LIMIT,
            send_limit=MESSAGE_BYTES,
            packet_rate=max(PACKET_RATE, fastest),
            byte_rate=max(BYTE_RATE, fastest * MAX_PACKET),
            message_rate=MESSAGE_RATE,
        )
        peer.limit(self._bandwidth)
        return peer
