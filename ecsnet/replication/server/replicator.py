"""The server's half of replication: one simulation's world, sent to any number of clients.

Once a tick `Replicator.collect_changes` finds what changed, and `Replicator.send_updates` tells
each client what came and went (reliably, in order) and what has a new value (unreliably, always the
latest). Each value is encoded once, in a run of its cell; clients with the same neighbourhood share
the bytes; a client's own state is what it knows, what it is owed and its packets in flight.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import attrgetter
from typing import Final

from msgspec import Raw

from ecsnet.limits import MAX_PACKET
from ecsnet.peer import NO_TAG, Peer
from ecsnet.peers import UpdateSender
from ecsnet.replication.encoding import encode_run
from ecsnet.replication.server.client_state import STREAM_WINDOW, ClientState, InterestGroup
from ecsnet.replication.server.entities import Change, Delta, Entity, ReplicatedEntities
from ecsnet.replication.server.events import Emitted, EventWriter
from ecsnet.replication.server.groups import InterestGroups
from ecsnet.replication.server.history import History
from ecsnet.replication.server.interest import Everyone, Interest
from ecsnet.replication.server.owner_state import OwnerStates
from ecsnet.replication.server.packing import (
    INDEX_BITS,
    Batch,
    DatagramBody,
    EncodedRun,
    SentUpdates,
    make_runs,
    tick_of,
)
from ecsnet.replication.server.structure import StructureWriter
from ecsnet.replication.wire import BODY_BYTES, HELD, LEFT_OUT, PARTS, U32, encode_part
from ecsnet.schema import Schema
from ecsnet.session.channel import PIGGYBACK_BYTES
from ecsnet.simulation.past import Past
from ecsnet.world import World

log = logging.getLogger("ecsnet.server")

SIGHT_SECONDS: Final = 1.0
"""The time for which a client may go on naming what left its sight: it may not know that yet, and
what it did before is still on its way, or waits for its tick."""

_TURN_SECONDS: Final = 1.5e-4  # for each entity that a client is told of again
_RESYNC_TURNS: Final = 20  # after so many times its own, it is a client's turn again
_RESYNC_WAIT: Final = 20.0  # seconds that it waits for that at most
_MANY: Final = 16  # entities of a batch
_net: Final = attrgetter("net")
_owner_and_net: Final = attrgetter("owner", "net")
_NOBODY: Final = -1
_NOTHING: Final = Raw(b"\x90")
_SETTLE_UPDATES: Final = 8  # from one look at which updates are settled to the next
_PATH_UPDATES: Final = 32  # from one look at the path to a client to the next
_AROUND_BODY: Final = MAX_PACKET - BODY_BYTES  # bytes around a datagram's runs, at most


class Replicator:
    """The replication of one world to all of its clients.

    Args:
        schema: The component types that cross the wire.
        world: The server's world.
        epoch: Names the simulation and the boot it runs in (u32); in every update.
        interest: Decides who sees what.
        owner: The component type whose ``player`` field names an entity's owner.
        interval: Ticks between two calls of `send_updates`, times the tick's length, in seconds.
        draw_id: Gives network ids; see `ReplicatedEntities`.
        rewind: Ticks by which it looks back at most for what a client drew.
        teleports: The component type that changes when an entity jumps.
        predicted: The component types that clients run ahead with; see `OwnerStates`.
    """

    def __init__(
        self,
        schema: Schema,
        world: World,
        *,
        epoch: int,
        interest: Interest | None = None,
        owner: type | None = None,
        interval: float = 1 / 60,
        draw_id: Callable[[], int] | None = None,
        rewind: int = 0,
        teleports: type | None = None,
        predicted: Iterable[type] = (),
    ) -> None:
        self.epoch = epoch
        self.interest = interest or Everyone()
        self.entities = ReplicatedEntities(schema, world, self.interest, owner, draw_id)
        self.clients: list[ClientState] = []
        self.tick = 0

        self._world = world
        self._interval = interval
        self._sight_updates = math.ceil(SIGHT_SECONDS / interval)
        self._updates = 0
        self._stride = 1  # ticks from the last update to this one
        self._held = 0  # `HELD` or nothing, in each update of this tick
        self._history = History(self.entities, world, rewind, teleports) if rewind else None
        self._drawers = 0  # clients for which it remembers
        self._groups = InterestGroups(self.entities, self.interest)
        self._structure = StructureWriter(self.entities, epoch, self._sight_updates)
        self._events = EventWriter(schema, self.entities, self._groups, epoch)
        self._owner_states = OwnerStates(self.entities, predicted)
        self._resyncs: list[ClientState] = []  # those that wait until they may have one
        self._resync_at = 0  # the update from which on it is the next one's turn
        self._delta = Delta(0)
        # Those of the last update, by cell and component bits.
        self._batches: dict[tuple[Hashable, int], Batch] = {}
        self._sent = SentUpdates()
        # The runs of this tick that one player alone gets, by player.
        self._own: dict[int | None, list[EncodedRun]] = {}

    def add_client(
        self,
        player: int,
        peer: Peer[object],
        name: str = "a client",
        player_id: int = 0,
        *,
        smooth: bool = False,
    ) -> ClientState:
        """Add a client that is sent the world from now on.

        Args:
            player: Its player entity.
            peer: What carries its packets, within its bandwidth.
            name: What the log calls it.
            player_id: The number of its player, for events.
            smooth: Whether it draws between two values, and wants to be told in every update of
                what it owns.
        """
        client = ClientState(player, peer, self._interval, name, player_id, smooth=smooth)
        self.entities.set_player(player, True)
        if smooth:
            self._owner_states.add(player)
        self.clients.append(client)
        self._repeat_rest()
        self._groups.add(client)
        return client

    def remove_client(self, client: ClientState) -> None:
        """Remove a client that has left."""
        self.entities.set_player(client.player, False)
        self._owner_states.remove(client.player)
        self._drawers -= client.draws
        if self._history is not None and not self._drawers:
            self._history.clear()
        self.clients.remove(client)
        self._repeat_rest()
        if client in self._resyncs:
            self._resyncs.remove(client)
        self._groups.remove(client)

    def _repeat_rest(self) -> None:
        """Have what comes to rest said again while somebody is there who draws it."""
        self.entities.repeat_rest(any(client.smooth for client in self.clients))

    def collect_changes(
        self, tick: int, emitted: Sequence[Emitted] = (), *, held: bool = False
    ) -> int:
        """Find out what changed in the world since the last call, and who looks at what.

        Args:
            tick: The tick that has just run; goes up from call to call.
            emitted: The events of the ticks since then.
            held: Whether the systems of the game were held back in it, see `Simulation.held`.

        Returns:
            How many of the events nobody can get, see `EventWriter.collect`.
        """
        self._stride = tick - self.tick
        self.tick = tick
        self._held = HELD if held else 0
        self._updates += 1
        self._structure.begin(tick, self._updates)
        if self._updates % _SETTLE_UPDATES == 0:
            self._sent.settle(self._oldest_in_flight())
        self._sent.begin(tick)
        if self._resyncs:
            self._resync_who_waits()
        with self._world:
            self._delta = self.entities.capture(tick)
            if self._delta.cleared:
                # Players are gone, too, and their ids of esper will be somebody else's.
                self._owner_states.clear()
                for client in self.clients:
                    client.player = _NOBODY
                    client.unsettle()
            if self._history is not None and self._drawers:
                self._history.note(self._delta)
            self._owner_states.update(self._delta)
            self._structure.take(self._delta)
            self._groups.update(self.clients, self._delta, tick)
            ignored = self._events.collect(emitted, tick, self.clients)
            self._structure.parted = self._events.pending
        return ignored

    def send_updates(self, now: float) -> None:
        """Send the clients what `collect_changes` has found; to be called once after it.

        Args:
            now: Seconds on any monotonic clock.
        """
        for client in self.clients[self._updates % _PATH_UPDATES :: _PATH_UPDATES]:
            self._set_loss_timeout(client)
        bulky = self._spread()
        changed = self._groups.changed(self._delta)
        for group in self._groups.by_key.values():
            self._prepare(group, changed.get(group), bulky)
        self._serve(now)
        self._events.end()

    def _tell_with_events(self, client: ClientState, group: InterestGroup) -> None:
        """Queue what enters a client's sight, then what happened, then what leaves."""
        before = client.known
        departures: list[bytes] = []
        if group.message is not None or group.departures is not None or self._grows(client):
            self._structure.tell(client, group, departures)
        self._events.tell(client, before)
        for message in departures:
            client.queue(message)

    def _grows(self, client: ClientState) -> bool:
        """Return whether a client is to be told of more than its group is."""
        if client.resettle:
            return True
        group = client.group
        assert group is not None  # since InterestGroups.update()
        return client.known is not group.visible and self._structure.may_enter(client)

    def _prepare(self, group: InterestGroup, change: Change | None, bulky: bool) -> None:
        """Make what all who look at a neighbourhood are told."""
        group.before = group.visible
        group.departures = None
        group.message = None if change is None else self._structure.refresh(group, change)
        runs, group.runs = group.runs, []
        group.big = [run for run in runs if run.size > BODY_BYTES] if bulky else []
        group.fresh = [run for run in runs if run.size <= BODY_BYTES] if bulky else runs
        group.bodies = self._sent.fill_datagrams(group.fresh)
        group.only = group.bodies[0] if len(group.bodies) == 1 and not group.big else None

    # Values: what a client is told of every tick.

    def _spread(self) -> bool:
        """Encode what changed, cell by cell, and lay the runs before the groups that see them; what
        only owners may see before these.

        Returns:
            Whether an entity is larger than a datagram.
        """
        by_bits: dict[tuple[Hashable, int], list[Entity]] = {}
        secrets: dict[int, list[Entity]] = {}
        bulky = False
        # Mostly an entity is grouped with the one before it.
        alike: list[Entity] = []
        last_cell: Hashable = None
        last_bits = 0
        private = self.entities.private_bits
        for entity, bits in self._delta.changed.items():
            if secret := bits & private:
                bits ^= secret
                if entity.owner is not None and entity.public:
                    secrets.setdefault(secret, []).append(entity)
            if bits and entity.public:
                cell = entity.cell
                if cell is not last_cell or bits != last_bits:
                    last_cell, last_bits = cell, bits
                    alike = by_bits.setdefault((cell, bits), [])
                alike.append(entity)
        before, self._batches = self._batches, {}
        for key, found in by_bits.items():
            cell, bits = key
            watchers = self._groups.watchers.get(cell)
            if watchers is None:
                continue
            cids = self.entities.cids(bits)
            if len(found) < _MANY:
                if len(found) > 1:
                    found.sort(key=_net)
                nets = [entity.net for entity in found]
                runs = make_runs(nets, cids, self.entities.columns_of(cids, found))
            else:
                batch = before.get(key)
                if batch is None or batch.found != found:
                    batch = Batch(found)
                self._batches[key] = batch
                runs = batch.encode(cids, self.entities.columns_of(cids, batch.entities))
            for run in runs:
                if run.size > BODY_BYTES:
                    bulky = True
                for group in watchers:
                    group.runs.append(run)
        self._own = {}
        for secret, owned in secrets.items():
            self._spread_secrets(self.entities.cids(secret), owned)
        return bulky

    def _spread_secrets(self, cids: tuple[int, ...], owned: list[Entity]) -> None:
        """Encode owner-only components of entities for each of their owners."""
        own, nets, start = self._own, [], 0
        one_each = len({entity.owner for entity in owned}) == len(owned)
        if not one_each:
            owned.sort(key=_owner_and_net)
        columns = self.entities.columns_of(cids, owned)
        for end, entity in enumerate(owned, 1):
            owner = entity.owner
            nets.append(entity.net)
            if not one_each and end < len(owned) and owned[end].owner == owner:
                continue
            data = encode_run(nets, [(cid, values[start:end]) for cid, values in columns])
            own.setdefault(owner, []).append(EncodedRun(nets, cids, data))
            nets, start = [], end

    def _serve(self, now: float) -> None:
        """Send to every client what it gets. Most clients lack nothing in most ticks, and get
        their neighbourhood's one datagram.

        Each step in here costs a busy server one part in a hundred. Clients come in the order in
        which they joined, though neighbourhood by neighbourhood would be shorter: it is mostly that
        in which they lie in memory, so the processor can fetch what is needed next.
        """
        ticks = self.tick + 1
        epoch: object = self.epoch  # an object: compiled, it is made once and not for each
        tick: object = self.tick & U32
        part: object = encode_part(0, 1, self._held)
        own = self._own
        states = self._owner_states.bodies
        loose = self._events.bodies
        parted = self._structure.parted
        sender = UpdateSender(now)
        for client in self.clients:
            group = client.group
            assert group is not None  # since InterestGroups.update()
            if parted:
                self._tell_with_events(client, group)
            elif group.message is not None:
                self._structure.tell(client, group)
            peer, oldest = client.peer, client.tagged.oldest_tag
            # As ClientState.unconfirmed_ticks has it.
            unconfirmed = 0 if oldest == NO_TAG else ticks - (oldest >> INDEX_BITS)
            body: DatagramBody | None = None
            state = states.get(client.player) if states else None
            if (
                client.known is group.visible
                and client.in_sync
                and unconfirmed <= client.loss_timeout_ticks
                and peer.allowance > 0
                and not (peer.unacked and peer.overdue(now))
                and not (loose and client in loose)
            ):
                body = group.only
                mine = own.get(client.player) if own else None
                if mine is not None:
                    if body is not None or not (group.bodies or group.big):
                        body = self._sent.extend(body, mine)
                elif state is not None and not group.bodies and not group.big:
                    body, state = state, None
            if body is None:
                self._send(client, group, now)
                continue
            if client.repairing:
                unconfirmed = client.unconfirmed_ticks(self.tick, True)
            raw: Raw | None = body.raw
            if state is not None:
                raw = body.with_runs_of(state)
                if raw is None:
                    self._send_both(sender, client, body, state, unconfirmed)
                    continue
            payload = (epoch, tick, unconfirmed, client.depends, part, client.report, raw)
            sender.send(peer, payload, body.tag)
        sender.flush()

    def _send_both(
        self,
        sender: UpdateSender,
        client: ClientState,
        body: DatagramBody,
        state: DatagramBody,
        unconfirmed: int,
    ) -> None:
        """Send the updates of a client whose owner state has no room beside all else."""
        for index, each in enumerate((body, state)):
            payload = (
                self.epoch,
                self.tick & U32,
                max(index, unconfirmed),  # the second one lacks what is in the first
                client.depends,
                encode_part(index, 2, self._held),
                client.report,
                each.raw,
            )
            sender.send(client.peer, payload, each.tag)

    def _send(self, client: ClientState, group: InterestGroup, now: float) -> None:
        """One client's datagrams of this tick, where they may be its own."""
        if group.message is None and not self._structure.parted and self._grows(client):
            self._structure.tell(client, group)
        own = self._own.get(client.player, [])
        for run in group.big:  # so that they go by the stream
            client.owe(run, self.tick)
        shared = client.known is group.visible and client.player not in self._own
        peer = client.peer
        lost = peer.lost(now)
        for tag in lost:
            client.lose(tick_of(tag), self._sent.runs(tag), self.entities)
        if lost and self._structure.traced:
            self._trace_losses(client, len(lost), now)
        peer.refill(now)
        if client.resyncing and peer.delivered >= client.resyncing:
            client.owe_all(self.entities)
        ready = group.bodies
        depends = client.depends
        if client.owed or not shared:
            ready = self._own_bodies(client, group, own)
        parts = self._parts(client, ready)
        if not parts:
            peer.send_messages(now)
            if peer.allowance > 0 and peer.due(now):
                parts.append((_NOTHING, None, NO_TAG))
        flags = self._held
        if client.owed or client.resyncing or client.depends != depends:  # went by the stream
            flags |= LEFT_OUT
        for index, (runs, events, tag) in enumerate(parts):
            whole = len(ready) == 1 if tag != NO_TAG else not (ready or client.owed)
            update = (
                self.epoch,
                self.tick & U32,
                client.unconfirmed_ticks(self.tick, whole),
                client.depends,
                encode_part(index, len(parts), flags),
                client.report,
                runs,
            )
            peer.send(update if events is None else (*update, events), now, tag)
        if not (client.resyncing or client.owed):
            client.restoring = False
        client.in_sync = not (client.owed or client.resyncing or client.resettle)
        client.repairing = bool(client.owed.resends)
        self._set_loss_timeout(client)

    def _set_loss_timeout(self, client: ClientState) -> None:
        """Take over what the path to a client is like by now."""
        ticks = client.peer.loss_timeout / self._interval * self._stride
        # Rounded up, and the tick of the packet is the first one: before, none would be found lost.
        client.loss_timeout_ticks = 1 + int(ticks)

    def _trace_losses(self, client: ClientState, lost: int, now: float) -> None:
        """Log what a client lost, at most once a second: a bad line loses many packets."""
        client.losses += lost
        if now - client.losses_logged_at >= 1.0:
            owed = len(client.owed)
            log.debug("%s lost %d updates: %d entities are owed", client, client.losses, owed)
            client.losses, client.losses_logged_at = 0, now

    def _parts(
        self, client: ClientState, ready: list[DatagramBody]
    ) -> list[tuple[Raw, Raw | None, int]]:
        """Choose the datagrams of this tick for which a client's bandwidth has room; what is in
        the others is owed.

        Returns:
            For each the runs, the events that may get lost, and the tag.
        """
        peer = client.peer
        room = peer.allowance
        if room > 0 and peer.unacked:
            room = max(1.0, room - PIGGYBACK_BYTES)
        events = [*self._events.bodies.get(client, ())]
        state = self._owner_states.bodies.get(client.player)
        parts: list[tuple[Raw, Raw | None, int]] = []
        for body in ready:
            if room <= 0 or len(parts) == PARTS:
                for run in body.runs:
                    client.owe(run, self.tick)
                continue
            raw, beside = body.raw, None
            if state is not None and body is ready[-1]:
                both = body.with_runs_of(state)
                if both is not None:
                    raw, state = both, None
            if events and len(raw) + len(events[0]) <= BODY_BYTES:
                beside = events.pop(0)
                room -= len(beside)
            parts.append((raw, beside, body.tag))
            room -= len(raw) + _AROUND_BODY
        if state is not None and room > 0 and len(parts) < PARTS:
            parts.append((state.raw, None, NO_TAG))
            room -= state.size + _AROUND_BODY
        for some in events:
            if room > 0 and len(parts) < PARTS:
                parts.append((_NOTHING, some, NO_TAG))
                room -= len(some) + _AROUND_BODY
        return parts

    def _own_bodies(
        self, client: ClientState, group: InterestGroup, own: list[EncodedRun]
    ) -> list[DatagramBody]:
        """Fill the bodies of one client that does not share: owed values first, then fresh ones."""
        known, settled = client.known, client.known is group.visible
        runs = self._owed_runs(client) if client.owed else []
        # What has owner-only values, too, or is seen by its owner alone, goes by itself: no
        # datagram parts an entity.
        apart = client.extra.union(*[run.nets for run in own])
        for run in group.fresh:
            if not settled and known.isdisjoint(run.nets):
                continue
            if apart.isdisjoint(run.nets):
                runs.append(run)
            elif rest := [net for net in run.nets if net not in apart]:
                runs += make_runs(rest, run.cids, self.entities.columns(run.cids, rest))
        runs += self._whole_runs(client, apart & known)
        return self._sent.fill_datagrams(runs)

    def _whole_runs(self, client: ClientState, owned: set[int]) -> list[EncodedRun]:
        """Encode all new values of entities that a client owns."""
        changed, by_net = self._delta.changed, self.entities.by_net
        by_bits: dict[int, list[int]] = {}
        for net in owned:
            bits = changed.get(by_net[net], 0)
            if bits:
                by_bits.setdefault(bits, []).append(net)
        result = []
        for bits, nets in by_bits.items():
            cids = self.entities.cids(bits)
            nets.sort()
            for run in make_runs(nets, cids, self.entities.columns(cids, nets)):
                if run.size > BODY_BYTES:
                    client.owe(run, self.tick)
                else:
                    result.append(run)
        return result

    def _owed_runs(self, client: ClientState) -> list[EncodedRun]:
        by_bits: dict[int, list[int]] = {}
        room = client.peer.allowance
        if client.restoring:  # of much no more than the bandwidth: a burst is felt by all
            room = min(room, client.gain)
        for net, bits in client.take_owed(self.entities, int(room), self.tick):
            by_bits.setdefault(bits, []).append(net)
        result = []
        for bits, nets in by_bits.items():
            cids = self.entities.cids(bits)
            nets.sort()
            for run in make_runs(nets, cids, self.entities.columns(cids, nets)):
                if run.size > BODY_BYTES:
                    if client.peer.backlog >= STREAM_WINDOW:
                        client.owe(run, self.tick)
                        continue
                    message = self._structure.message((), {}, [run.data])
                    delivered = client.peer.delivered
                    client.big = {
                        n: number for n, number in client.big.items() if number > delivered
                    }
                    client.big[run.nets[0]] = client.queue(message)
                else:
                    result.append(run)
        return result

    def _oldest_in_flight(self) -> int:
        """Return the tick of the oldest update of which it is open whether all clients have it."""
        oldest = self.tick
        for client in self.clients:
            tag = client.tagged.oldest_tag
            if tag != NO_TAG:
                oldest = min(oldest, tick_of(tag))
        return oldest

    # Everything again, for those who lost values.

    def resync(self, client: ClientState) -> None:
        """Send a client everything again, since it lost values that it had acknowledged.

        That costs as much as the client knows entities. So clients take turns, each as long as it
        knows many, and its next turn comes after twenty times that, or after 20 seconds. How long
        its line takes for the bytes does not count: an update never costs more than its bandwidth.
        """
        updates = self._updates
        if updates < max(client.resync_at, self._resync_at) or client.restoring:
            if client not in self._resyncs:
                self._resyncs.append(client)
            return
        turn = len(client.known) * _TURN_SECONDS
        self._resync_at = updates + math.ceil(turn / self._interval)
        pause = min(_RESYNC_TURNS * turn, _RESYNC_WAIT)
        client.resync_at = updates + math.ceil(pause / self._interval)
        client.restoring = True
        log.debug("%s lost values and is sent all %d entities again", client, len(client.known))
        client.resync(self._structure.message([], {}, []))

    def _resync_who_waits(self) -> None:
        waiting, self._resyncs = self._resyncs, []
        for client in waiting:
            self.resync(client)

    # Who is who, and who sees what.

    def network_id(self, entity: int) -> int | None:
        """Return the network id of an esper entity; None when it is not replicated (yet)."""
        return self.entities.network_id(entity)

    def entity(self, net: int) -> int | None:
        """Return the esper entity behind a network id; None when it is gone or never was."""
        known = self.entities.by_net.get(net)
        return None if known is None else known.esper

    def shown(self, client: ClientState) -> int:
        """Count the entities that this client is shown, or will be once all have entered."""
        return 0 if client.group is None else len(client.group.visible)

    def can_see(self, client: ClientState, net: int) -> bool:
        """Return whether this client was told of the entity, and not told that it left."""
        return net in client.known

    def can_name(self, client: ClientState, net: int) -> bool:
        """Return whether this client can see the entity, or could a moment ago."""
        return net in client.known or any(net in nets for nets in self._left_lately(client))

    def _left_lately(self, client: ClientState) -> list[set[int]]:
        since = self._updates - self._sight_updates
        return [nets for update, nets in client.left_sight if update > since]

    def remember_for(self, client: ClientState) -> None:
        """Remember what is told from now on, as long as a client is there that draws behind it."""
        if client.draws:
            return
        client.draws = True
        self._drawers += 1

    def look_back(self, client: ClientState, at: float, past: Past) -> bool:
        """Let components show what a client drew.

        Args:
            client: The client; what its player owns stays as it is.
            at: The tick that it drew, and the fraction of the way to the next.
            past: What keeps the present.

        Returns:
            Whether it is known what was told then.
        """
        history = self._history
        if history is None:
            return False
        # What has just left its sight it may have drawn still.
        seen = client.known.union(*self._left_lately(client))
        return history.show(at, seen, client.player, past)

    def visible(self, client: ClientState) -> dict[int, int]:
        """Return the network ids that a client may see now, to component bits. For tests."""
        shown = set(client.group.visible) if client.group else set()
        owned = {entity.net for entity in self.entities.belongings(client.player)}
        by_net = self.entities.by_net
        result = {}
        for net in shown | owned:
            entity = by_net[net]
            bits = entity.public | (entity.private if net in owned else 0)
            if bits:
                result[net] = bits
        return result
