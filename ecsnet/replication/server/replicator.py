"""The server's half of replication: one simulation's world, sent to any number of clients.

Once a tick `Replicator.collect_changes` finds what changed, and `Replicator.send_updates` tells
each client what came and went (reliably, in order) and what has a new value (unreliably, always the
latest). Each value is encoded once, in a run of its cell; clients with the same neighbourhood share
the bytes; a client's own state is what it knows, what it is owed and its packets in flight.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Iterable
from typing import Final

from msgspec import Raw

from ecsnet.peer import NO_TAG, Peer
from ecsnet.peers import Update, send_updates
from ecsnet.replication.encoding import encode_run, encode_structure
from ecsnet.replication.server.client_state import (
    STREAM_WINDOW,
    ClientState,
    InterestGroup,
    form_for,
)
from ecsnet.replication.server.entities import Change, Delta, Entity, ReplicatedEntities
from ecsnet.replication.server.interest import Everyone, Interest
from ecsnet.replication.server.packing import (
    INDEX_BITS,
    DatagramBody,
    EncodedRun,
    SentUpdates,
    fill_datagrams,
    make_owned_runs,
    make_runs,
    tick_of,
)
from ecsnet.replication.wire import BODY_BYTES, STRUCTURE_BYTES, U32
from ecsnet.schema import Schema
from ecsnet.world import World

log = logging.getLogger("ecsnet.server")

SIGHT_SECONDS: Final = 1.0
"""The time for which a client may go on naming what left its sight: it may not know that yet, and
what it did before is still on its way, or waits for its tick."""

_TURN_SECONDS: Final = 1.5e-4  # for each entity that a client is told of again
_RESYNC_TURNS: Final = 20  # after so many times its own, it is a client's turn again
_RESYNC_WAIT: Final = 20.0  # seconds that it waits for that at most
_ENTERING_BYTES: Final = STRUCTURE_BYTES * 3 // 4  # of a piece; its owner may get more of it
_CHUNK: Final = 32  # entities whose size is looked at together while a piece is filled
_NOBODY: Final = -1
_NOTHING: Final = Raw(b"\x90")
_FLOOD: Final = 4 << 20  # bytes that one client may be told of new components, and not have
_MOST_GONE: Final = STRUCTURE_BYTES // 9  # network ids in one piece, each at its longest
_SETTLE_UPDATES: Final = 64  # from one look at which updates are settled to the next
_MANY: Final = STRUCTURE_BYTES // 16  # entities: more are not tried whether they fit a piece

Removals = dict[int, list[int]]
"""Component id to the network ids that lost it."""


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
        self._groups: dict[Hashable, InterestGroup] = {}
        self._ungrouped: list[ClientState] = []  # those to look at in _group_clients()
        self._focused: dict[int, list[ClientState]] = {}  # by the network id that they look from
        self._resyncs: list[ClientState] = []  # those that wait until they may have one
        self._resync_at = 0  # the update from which on it is the next one's turn
        self._delta = Delta(0)
        self._watchers: dict[Hashable, list[InterestGroup]] = {}  # by cell
        self._recorded: dict[frozenset[int], list[bytes]] = {}  # in this tick
        self._sent = SentUpdates()
        self._traced = False  # whether the log takes what happens to each client

    def add_client(
        self,
        player: int,
        peer: Peer[object],
        name: str = "a client",
    ) -> ClientState:
        """Add a client that is sent the world from now on.

        Args:
            player: Its player entity.
            peer: What carries its packets, within its bandwidth.
            name: What the log calls it.
        """
        client = ClientState(player, peer, self._interval, name)
        self.entities.set_player(player, True)
        self.clients.append(client)
        self._ungrouped.append(client)
        return client

    def remove_client(self, client: ClientState) -> None:
        """Remove a client that has left."""
        self.entities.set_player(client.player, False)
        self.clients.remove(client)
        if client in self._ungrouped:
            self._ungrouped.remove(client)
        if client in self._resyncs:
            self._resyncs.remove(client)
        self._set_focus(client, None)
        self._leave_group(client)

    def network_id(self, entity: int) -> int | None:
        """Return the network id of an esper entity; None when it is not replicated (yet)."""
        return self.entities.network_id(entity)

    def entity(self, net: int) -> int | None:
        """Return the esper entity behind a network id; None when it is gone or never was."""
        known = self.entities.by_net.get(net)
        return None if known is None else known.esper

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
        client.resync(self._message([], {}, []))

    def _oldest_in_flight(self) -> int:
        """Return the tick of the oldest update of which it is open whether all clients have it."""
        oldest = self.tick
        for client in self.clients:
            tag = client.tagged.oldest_tag
            if tag != NO_TAG:
                oldest = min(oldest, tick_of(tag))
        return oldest

    def _resync_who_waits(self) -> None:
        waiting, self._resyncs = self._resyncs, []
        for client in waiting:
            self.resync(client)

    def shown(self, client: ClientState) -> int:
        """Count the entities that this client is shown, or will be once all have entered."""
        return 0 if client.group is None else len(client.group.visible)

    def can_see(self, client: ClientState, net: int) -> bool:
        """Return whether this client was told of the entity, and not told that it left."""
        return net in client.known

    def can_name(self, client: ClientState, net: int) -> bool:
        """Return whether this client can see the entity, or could a moment ago."""
        if net in client.known:
            return True
        since = self._updates - self._sight_updates
        return any(net in nets for update, nets in client.left_sight if update > since)

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

    def collect_changes(self, tick: int) -> None:
        """Find out what changed in the world since the last call, and who looks at what.

        Args:
            tick: The tick that has just run; goes up from call to call.
        """
        self._stride = tick - self.tick
        self.tick = tick
        self._updates += 1
        self._recorded.clear()
        if self._updates % _SETTLE_UPDATES == 0:
            self._sent.settle(self._oldest_in_flight())
        self._sent.begin(tick)
        if self._resyncs:
            self._resync_who_waits()
        self._traced = log.isEnabledFor(logging.DEBUG)
        with self._world:
            self._delta = self.entities.capture(tick)
            if self._delta.cleared:
                # Players are gone, too, and their ids of esper will be somebody else's.
                for client in self.clients:
                    client.player = _NOBODY
                    client.unsettle()
            self._group_clients()

    def send_updates(self, now: float) -> None:
        """Send the clients what `collect_changes` has found; to be called once after it.

        Args:
            now: Seconds on any monotonic clock.
        """
        private, bulky = self._spread()
        changed = self._structural()
        for group in self._groups.values():
            self._prepare(group, changed.get(group), private, bulky, now)
        self._serve(private, now)

    def _prepare(
        self,
        group: InterestGroup,
        change: Change | None,
        private: set[int],
        bulky: bool,
        now: float,
    ) -> None:
        """Make what all who look at a neighbourhood are told."""
        group.before = group.visible
        group.message = None if change is None else self._refresh(group, change)
        runs, group.runs = group.runs, []
        group.big = [run for run in runs if run.size > BODY_BYTES] if bulky else []
        group.fresh = [run for run in runs if run.size <= BODY_BYTES] if bulky else runs
        public = [run for run in group.fresh if run.data] if private else group.fresh
        group.bodies = self._sent.add(fill_datagrams(public))
        group.only = group.bodies[0] if len(group.bodies) == 1 and not group.big else None

    # Who looks where.

    def _group_clients(self) -> None:
        """Put every client into the group of the place it looks from."""
        interest, entities = self.interest, self.entities.by_esper.values()
        dynamic = interest.dynamic
        delta = self._delta
        dirty = delta.owners
        ungrouped = self._ungrouped
        if dynamic or dirty or delta.cleared:
            ungrouped = self.clients
        elif self._focused:  # only those whose centre came to another cell
            for change in delta.cells.values():
                for net in change.entered:
                    ungrouped += self._focused.get(net, ())
        for client in ungrouped:
            if client.resettle or (dirty and client.player in dirty):
                client.unsettle()
                self._set_focus(client, self._focus(client))
            elif not dynamic:
                focus = client.focus
                if focus is None or focus.cell is client.focus_cell:
                    continue
            client.focus_cell = None if client.focus is None else client.focus.cell
            group_key = interest.group_key(client, entities, self.tick)
            group = client.group
            if group is not None and (
                group_key is client.group_key or group_key == client.group_key
            ):
                continue
            client.group_key = group_key
            self._leave_group(client)
            group = self._groups.get(group_key)
            if group is None:
                group = InterestGroup(group_key, interest.cells(group_key), self.entities)
                self._groups[group_key] = group
                for cell in group.cells:
                    self._watchers.setdefault(cell, []).append(group)
            group.clients.append(client)
            client.group = group
            client.unsettle()
        self._ungrouped.clear()

    def _set_focus(self, client: ClientState, focus: Entity | None) -> None:
        """Let a client look from there."""
        old = client.focus
        if focus is old:
            return
        client.focus = focus
        if old is not None:
            self._focused[old.net].remove(client)
            if not self._focused[old.net]:
                del self._focused[old.net]
        if focus is not None:
            self._focused.setdefault(focus.net, []).append(client)

    def _focus(self, client: ClientState) -> Entity | None:
        """Find the focus of a player: itself, or the first thing it owns that has a position."""
        owned = [e for e in self.entities.belongings(client.player) if e.point is not None]
        if not owned:
            return None
        return min(owned, key=lambda e: (e.esper != client.player, e.order))

    def _leave_group(self, client: ClientState) -> None:
        group = client.group
        if group is None:
            return
        client.group = None
        group.clients.remove(client)
        if group.clients:
            return
        del self._groups[group.group_key]
        for cell in group.cells:
            watchers = self._watchers[cell]
            watchers.remove(group)
            if not watchers:
                del self._watchers[cell]

    def _structural(self) -> dict[InterestGroup, Change]:
        """Group the changes by the interest groups in whose cells entities entered or left."""
        delta, watchers = self._delta, self._watchers
        groups: dict[InterestGroup, Change] = {}
        for cell, change in delta.cells.items():
            for group in watchers.get(cell, ()):
                known = groups.get(group)
                if known is None:
                    known = groups[group] = Change()
                known.entered |= change.entered
                known.left |= change.left
        for entity in (*delta.inserted, *delta.removed):
            for group in watchers.get(entity.cell, ()):
                if group not in groups:
                    groups[group] = Change()
        return groups

    def _refresh(self, group: InterestGroup, change: Change) -> bytes | None:
        """Take over what came to the group's cells and went from them.

        Returns:
            The structural update that says so, the same for all of its settled clients.
        """
        delta, before = self._delta, group.before
        # Who went from one of its cells to another is still there. A group that was made in this
        # tick shows all this already.
        entering = (change.entered - change.left) - before
        leaving = group.leaving = (change.left - change.entered) & before
        if entering or leaving:
            group.visible = before.copy()
            group.visible -= leaving
            group.visible |= entering
        removals: Removals = {}
        sets: list[bytes] = []
        if delta.inserted or delta.removed:
            kept = before - leaving if leaving else before
            removals = self._removals(kept)
            sets = self._inserts(kept)
        if entering:
            sets += self._records(entering)
        if leaving or removals or sets:
            return self._message(leaving, removals, sets)
        return None

    # Structure: what a client is told reliably.

    def _tell(self, client: ClientState, group: InterestGroup) -> None:
        """Queue the structural update that takes a client from what it knows to what it sees."""
        if client.known is group.before and not client.resettle:
            message = group.message
            if message is None:
                return
            if not client.known_private and len(message) <= STRUCTURE_BYTES:
                client.queue(message)
                if self._traced:
                    _trace_sight(client, client.known, group.visible, group.visible)
                client.known = group.visible
                if group.leaving:
                    client.note_leaving(group.leaving, self._updates, self._sight_updates)
                return
        self._tell_apart(client, group)

    def _tell_apart(self, client: ClientState, group: InterestGroup) -> None:
        """Work out the structure for one client alone: while it enters, or has what others lack."""
        entities = self.entities
        owned = {entity.net: entity for entity in entities.belongings(client.player)}
        client.extra = owned.keys() - group.visible if owned else set()
        target = group.visible | client.extra if client.extra else group.visible
        before = client.known
        gone = before - target
        kept = before - gone
        sets = self._inserts(kept)
        if sets and client.peer.backlog + sum(map(len, sets)) > _FLOOD:
            # More than may wait for it: who got new components goes out of sight, and comes back
            # as the stream has room.
            hiding = kept.intersection([entity.net for entity in self._delta.inserted])
            gone, kept, target = gone | hiding, kept - hiding, target - hiding
            sets = []
        arriving = self._next_piece(client, target - kept, owned)
        known = kept | arriving

        private = {
            net: entity.private for net, entity in owned.items() if entity.private and net in known
        }
        client.resettle = self._postpone(client, private)
        removals = self._removals(kept)
        sets += self._records(arriving)
        self._settle_private(client, private, known, removals, sets)

        if self._traced:
            _trace_sight(client, before, known, target)
        client.known = group.visible if known == group.visible else known
        client.known_private = private
        for net in gone:
            client.big.pop(net, None)
        if gone:
            client.note_leaving(gone, self._updates, self._sight_updates)
        last = None
        for message in self._messages(gone, removals, sets):
            last = (client.queue(message), len(message))
            if arriving:
                client.pieces.append(last)

    def _postpone(self, client: ClientState, private: dict[int, int]) -> bool:
        """Take what a client gains of owner-only components out of what it is to know, for large
        entities and while enough is on its way.

        Returns:
            Whether there is anything left for later.
        """
        backlog = client.peer.backlog
        postponed = False
        for net, bits in list(private.items()):
            had = client.known_private.get(net, 0)
            large = self.entities.large_bytes(net) if bits & ~had else 0
            if large and backlog >= STREAM_WINDOW:
                private[net] = bits & had
                postponed = True
            else:
                backlog += large
        return postponed

    def _settle_private(
        self,
        client: ClientState,
        private: dict[int, int],
        known: set[int],
        removals: Removals,
        sets: list[bytes],
    ) -> None:
        """Add what this client alone gains and loses of owner-only components."""
        delta, entities = self._delta, self.entities
        gains: dict[int, list[int]] = {}
        for net, bits in private.items():
            had = client.known_private.get(net, 0)
            entity = entities.by_net[net]
            # Removed and inserted within one tick: another value under the same bits.
            again = delta.inserted.get(entity, 0) & delta.removed.get(entity, 0) & had
            for cid in entities.cids(again | (had & ~bits)):
                removals.setdefault(cid, []).append(net)
            gained = (bits & ~had) | (again & bits)
            if gained:
                gains.setdefault(gained, []).append(net)
        for net in client.known_private.keys() - private.keys():
            if net in known:
                for cid in entities.cids(client.known_private[net]):
                    removals.setdefault(cid, []).append(net)
        sets += self._split({bits: sorted(nets) for bits, nets in gains.items()})

    def _may_enter(self, client: ClientState) -> bool:
        """Return whether so few pieces are on their way that the client can have one more."""
        delivered, pieces = client.peer.delivered, client.pieces
        while pieces and pieces[0][0] <= delivered:
            pieces.popleft()
        return sum(size for _, size in pieces) < STREAM_WINDOW

    def _next_piece(
        self, client: ClientState, pending: set[int], owned: dict[int, Entity]
    ) -> set[int]:
        """Choose the pending entities that enter now: nearest first, at most a piece, and only
        while few are on their way.
        """
        if not pending or not self._may_enter(client):
            return set()
        if len(pending) <= _MANY and owned.keys().isdisjoint(pending):
            size = sum([len(run) for run in self._records(pending)])
            if size <= STRUCTURE_BYTES:
                return pending
        # The player's own entity goes first, then what it owns: a client is in the game when it has
        # the former. What was looked up before may be gone, or have entered.
        order = client.entering
        first = self.entities.in_order(pending.intersection(owned))
        first.sort(key=lambda net: owned[net].esper != client.player)
        order += reversed(first)
        left = pending.copy()
        piece: set[int] = set()
        room = _ENTERING_BYTES
        while left:
            chunk: list[int] = []
            while left and len(chunk) < _CHUNK:
                if not order:
                    order += self._farthest_first(client, left)
                net = order.pop()
                if net in left:
                    left.discard(net)
                    chunk.append(net)
            size = self._size(chunk)
            full = size > room
            while size > room and len(chunk) > 1:
                half = len(chunk) // 2
                order += reversed(chunk[half:])
                del chunk[half:]
                size = self._size(chunk)
            if size <= room or not piece:
                piece.update(chunk)
                room -= size
            else:
                order += reversed(chunk)
            if full:
                break
        return piece

    def _size(self, nets: list[int]) -> int:
        """Bytes that entities take as they enter, encoded once for all who meet them now."""
        return sum([len(run) for run in self._records(set(nets))])

    def _farthest_first(self, client: ClientState, nets: set[int]) -> list[int]:
        """Network ids, those of what is next to a client last."""
        by_net, focus = self.entities.by_net, client.focus
        point = focus.point if focus is not None else None
        order = self.entities.in_order(nets)
        order.reverse()
        if point is None:
            return order
        x, y = point

        def distance(net: int) -> float:
            there = by_net[net].point
            return 0.0 if there is None else (there[0] - x) ** 2 + (there[1] - y) ** 2

        order.sort(key=distance, reverse=True)
        return order

    def _messages(
        self, gone: Iterable[int], removals: Removals, sets: list[bytes]
    ) -> Iterable[bytes]:
        """Structural messages of at most about a piece each; nothing when nothing happened."""
        if not (gone or removals or sets):
            return
        *before, (gone, removals) = _farewells(sorted(gone), removals)
        for some, of_some in before:
            yield self._message(some, of_some, [])
        start = size = 0
        for end, run in enumerate(sets):
            length = len(run)
            if size and size + length > STRUCTURE_BYTES:
                yield self._message(gone, removals, sets[start:end])
                gone, removals, start, size = [], {}, end, 0
            size += length
        yield self._message(gone, removals, sets[start:])

    def _message(self, gone: Iterable[int], removals: Removals, sets: list[bytes]) -> bytes:
        by_net = self.entities.by_net
        despawned: list[int] = []
        hidden: list[int] = []
        for net in sorted(gone):
            entity = by_net.get(net)
            (hidden if entity is not None and entity.public else despawned).append(net)
        removed = [(cid, sorted(set(nets))) for cid, nets in sorted(removals.items())]
        runs = [Raw(run) for run in sets]
        return encode_structure(self.epoch, self.tick, despawned, hidden, removed, runs)

    def _records(self, nets: set[int]) -> list[bytes]:
        """Whole entities, as everybody sees them, grouped by their components; encoded once for
        all who meet the same ones in one tick.
        """
        key = frozenset(nets)
        records = self._recorded.get(key)
        if records is None:
            by_net = self.entities.by_net
            by_bits: dict[int, list[int]] = {}
            for net in self.entities.in_order(nets):
                bits = by_net[net].public
                if bits:
                    by_bits.setdefault(bits, []).append(net)
            records = self._recorded[key] = self._split(by_bits)
        return records

    def _inserts(self, kept: set[int]) -> list[bytes]:
        """Return the components that appeared on entities that were seen before."""
        by_bits: dict[int, list[int]] = {}
        for entity, inserted in self._delta.inserted.items():
            bits = inserted & entity.public
            if bits and entity.net in kept:
                by_bits.setdefault(bits, []).append(entity.net)
        return self._split({bits: sorted(nets) for bits, nets in by_bits.items()})

    def _removals(self, kept: set[int]) -> Removals:
        gone: Removals = {}
        private = self.entities.private_bits
        for entity, bits in self._delta.removed.items():
            if entity.net in kept:
                for cid in self.entities.cids(bits & ~private):
                    gone.setdefault(cid, []).append(entity.net)
        return gone

    def _split(self, by_bits: dict[int, list[int]]) -> list[bytes]:
        """Encode runs of at most a piece each, where entities allow it."""
        runs: list[bytes] = []
        for bits, nets in by_bits.items():
            pending = [nets]
            while pending:
                part = pending.pop()
                run = self._run(part, bits)
                if len(part) > 1 and len(run) > STRUCTURE_BYTES:
                    half = len(part) // 2
                    pending += [part[half:], part[:half]]
                else:
                    runs.append(run)
        return runs

    def _run(self, nets: list[int], bits: int) -> bytes:
        entities = self.entities
        columns = [(cid, entities.wires(cid, nets)) for cid in entities.cids(bits)]
        return encode_run(nets, columns)

    # Values: what a client is told of every tick.

    def _spread(self) -> tuple[set[int], bool]:
        """Encode what changed, cell by cell, and lay the runs before the groups that see them.

        Returns:
            The players who get values of their own, because owner-only components changed, and
            whether an entity is larger than a datagram.
        """
        by_bits: dict[tuple[Hashable, int, int | None], list[int]] = {}
        players: set[int] = set()
        bulky = False
        private = self.entities.private_bits
        for entity, bits in self._delta.changed.items():
            owner: int | None = None
            if bits & private:
                owner = entity.owner
                if owner is None:
                    bits &= ~private
                else:
                    players.add(owner)
            if bits and entity.public:
                by_bits.setdefault((entity.cell, bits, owner), []).append(entity.net)
        for (group_key, bits, owner), nets in by_bits.items():
            watchers = self._watchers.get(group_key)
            if watchers is None:
                continue
            nets.sort()
            for run in self._fresh_runs(nets, bits, owner):
                if run.size > BODY_BYTES:
                    bulky = True
                for group in watchers:
                    group.runs.append(run)
        return players, bulky

    def _fresh_runs(self, nets: list[int], bits: int, owner: int | None) -> list[EncodedRun]:
        entities = self.entities
        private = entities.private_bits
        if owner is None:
            return make_runs(nets, entities.cids(bits), entities.wires)
        public, secret = entities.cids(bits & ~private), entities.cids(bits & private)
        return make_owned_runs(nets, public, secret, owner, entities.wires)

    def _owe_big(self, client: ClientState, runs: list[EncodedRun]) -> None:
        """Owe a client the runs that are larger than a datagram, so that they go by the stream."""
        for run in runs:
            form = form_for(run, client.player)
            if form is not None:
                known = [net for net in form.nets if net in client.known]
                client.owe(known, form.cids, self.tick)

    def _serve(self, private: set[int], now: float) -> None:
        """Send to every client what it gets. Most clients lack nothing in most ticks, and get
        their neighbourhood's one datagram.

        Each step in here costs a busy server one part in a hundred. Clients come in the order in
        which they joined, though neighbourhood by neighbourhood would be shorter: it is mostly that
        in which they lie in memory, so the processor can fetch what is needed next.
        """
        ticks = self.tick + 1
        epoch: object = self.epoch  # an object: compiled, it is made once and not for each
        tick: object = self.tick & U32
        updates: list[Update[object]] = []
        for client in self.clients:
            group = client.group
            assert group is not None  # since _group_clients()
            if group.message is not None:
                self._tell(client, group)
            body, peer = group.only, client.peer
            if (
                body is None
                or client.known is not group.visible
                or not client.in_sync
                or peer.allowance <= 0
                or (private and client.player in private)
                or (peer.unacked and peer.overdue(now))
            ):
                self._send(client, group, private, now)
                continue
            oldest = client.tagged.oldest_tag
            # As ClientState.unconfirmed_ticks has it.
            unconfirmed = 0 if oldest == NO_TAG else ticks - (oldest >> INDEX_BITS)
            if unconfirmed > client.loss_timeout:
                self._send(client, group, private, now)
                continue
            payload = (epoch, tick, unconfirmed, client.depends, client.report, body.raw)
            updates.append((peer, payload, body.tag))
        send_updates(updates, now)

    def _send(
        self, client: ClientState, group: InterestGroup, private: set[int], now: float
    ) -> None:
        """One client's datagrams of this tick, where they may be its own."""
        if group.message is None and (
            client.resettle or (client.known is not group.visible and self._may_enter(client))
        ):
            self._tell(client, group)
        if group.big:
            self._owe_big(client, group.big)
        shared = client.known is group.visible and client.player not in private
        peer = client.peer
        lost = peer.lost(now)
        for tag in lost:
            client.lose(tick_of(tag), self._sent.runs(tag), self.entities)
        if lost and self._traced:
            log.debug("%s lost %d updates: %d values are owed", client, len(lost), len(client.owed))
        peer.refill(now)
        if client.resyncing and peer.delivered >= client.resyncing:
            client.owe_all(self.entities)
        ready = group.bodies
        if client.owed or not shared:
            ready = self._own_bodies(client, group)
        whole = len(ready) == 1
        sent = False
        for body in ready:
            if peer.allowance <= 0:
                for run in body.runs:
                    nets = [net for net in run.nets if net in client.known]
                    client.owe(nets, run.cids, self.tick)
                continue
            peer.send(self._update(client, whole, body.raw), now, body.tag)
            sent = True
        if not sent:
            peer.send_messages(now)
            if peer.allowance > 0 and peer.due(now):
                peer.send(self._update(client, not client.owed, _NOTHING), now)
        if client.restoring and not (client.resyncing or client.owed):
            client.restoring = False
        client.in_sync = not (client.owed or client.fills or client.resyncing or client.resettle)
        client.loss_timeout = int(peer.loss_timeout / self._interval * self._stride)

    def _update(self, client: ClientState, whole: bool, runs: Raw) -> tuple[object, ...]:
        """Make an `Update`, encodable; ``whole`` as for `ClientState.unconfirmed_ticks`."""
        return (
            self.epoch,
            self.tick & U32,
            client.unconfirmed_ticks(self.tick, whole),
            client.depends,
            client.report,
            runs,
        )

    def _own_bodies(self, client: ClientState, group: InterestGroup) -> list[DatagramBody]:
        """Fill the bodies of one client that does not share: owed values first, then fresh ones."""
        settled = client.known is group.visible
        own = []
        if client.owed:
            own = self._owed_runs(client)
        for run in group.fresh:
            form = form_for(run, client.player)
            if form is not None and (settled or not client.known.isdisjoint(form.nets)):
                own.append(form)
        own += self._extra_runs(client)
        return self._sent.add(fill_datagrams(own))

    def _extra_runs(self, client: ClientState) -> list[EncodedRun]:
        """Encode the new values of what a client owns outside its neighbourhood."""
        changed, by_net = self._delta.changed, self.entities.by_net
        by_bits: dict[int, list[int]] = {}
        for net in client.extra & client.known:
            bits = changed.get(by_net[net], 0)
            if bits:
                by_bits.setdefault(bits, []).append(net)
        result = []
        for bits, nets in by_bits.items():
            cids = self.entities.cids(bits)
            for run in make_runs(sorted(nets), cids, self.entities.wires):
                if run.size > BODY_BYTES:
                    client.owe(run.nets, run.cids, self.tick)
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
            for run in make_runs(sorted(nets), cids, self.entities.wires):
                if run.size > BODY_BYTES:
                    if client.peer.backlog >= STREAM_WINDOW:
                        client.owe(run.nets, run.cids, self.tick)
                        continue
                    message = self._message((), {}, [run.data])
                    delivered = client.peer.delivered
                    client.big = {
                        n: number for n, number in client.big.items() if number > delivered
                    }
                    client.big[run.nets[0]] = client.queue(message)
                else:
                    result.append(run)
        return result


def _trace_sight(client: ClientState, before: set[int], known: set[int], target: set[int]) -> None:
    """Log what enters a client's sight and leaves it."""
    entered, left, waiting = len(known - before), len(before - known), len(target - known)
    if entered or left:
        more = f", {waiting} wait" if waiting else ""
        log.debug("%s: %d entities enter its sight, %d leave it%s", client, entered, left, more)


def _farewells(gone: list[int], removals: Removals) -> list[tuple[list[int], Removals]]:
    """Split the removals into messages of at most a piece each; nearly always it is one."""
    if len(gone) + len(removals) + sum(map(len, removals.values())) <= _MOST_GONE:
        return [(gone, removals)]
    parts: list[tuple[list[int], Removals]] = [(some, {}) for some in _parted(gone)]
    for cid, nets in removals.items():
        parts += [([], {cid: some}) for some in _parted(nets)]
    return parts


def _parted(nets: list[int]) -> list[list[int]]:
    return [nets[start : start + _MOST_GONE] for start in range(0, len(nets), _MOST_GONE)]
