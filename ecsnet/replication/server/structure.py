"""The reliable part of replication: which entities and components there are.

A structural message takes clients from what they know to what they see. Those who see the same get
the same bytes; a client that enters, or owns what others may not see, gets its own. What enters is
told in pieces, the nearest first, while few of them are on their way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from msgspec import Raw

from ecsnet.replication.encoding import encode_run, encode_structure
from ecsnet.replication.server.client_state import STREAM_WINDOW, ClientState, InterestGroup
from ecsnet.replication.server.entities import Change, Delta, Entity, ReplicatedEntities
from ecsnet.replication.wire import STRUCTURE_BYTES

__all__ = ["Removals", "StructureWriter"]

log = logging.getLogger("ecsnet.server")

_ENTERING_BYTES: Final = STRUCTURE_BYTES * 3 // 4  # of a piece; its owner may get more of it
_CHUNK: Final = 32  # entities whose size is looked at together while a piece is filled
_FLOOD: Final = 4 << 20  # bytes that one client may be told of new components, and not have
_MOST_GONE: Final = STRUCTURE_BYTES // 9  # network ids in one piece, each at its longest
_MANY: Final = STRUCTURE_BYTES // 16  # entities: more are not tried whether they fit a piece

Removals = dict[int, list[int]]
"""Component id to the network ids that lost it."""


class StructureWriter:
    """Tells clients which entities and components there are.

    Args:
        entities: The entities that clients may see.
        epoch: Names the simulation and its boot; in every message.
        sight_updates: Updates for which is remembered what left a client's sight.

    Attributes:
        traced: Whether the log takes what happens to each client.
        parted: Whether clients are told of events in this update: behind what enters their sight,
            and before what leaves it.
    """

    def __init__(self, entities: ReplicatedEntities, epoch: int, sight_updates: int) -> None:
        self.traced = self.parted = False
        self._entities = entities
        self._epoch = epoch
        self._sight_updates = sight_updates
        self._tick = self._update = 0
        self._delta = Delta(0)
        self._recorded: dict[frozenset[int], list[bytes]] = {}  # in this update

    def begin(self, tick: int, update: int) -> None:
        """Begin an update of a tick; ``update`` is its number."""
        self._tick, self._update = tick, update
        self._recorded.clear()
        self.traced = log.isEnabledFor(logging.DEBUG)

    def take(self, delta: Delta) -> None:
        """Note what changed."""
        self._delta = delta

    def refresh(self, group: InterestGroup, change: Change) -> bytes | None:
        """Take over what came to the group's cells and went from them.

        Returns:
            The structural update that says so, the same for all of its settled clients. What leaves
            is in the group's `departures`, where the update is `parted`.
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
        gone = leaving
        if leaving and self.parted:
            group.departures = self.message(leaving, {}, [])
            gone = set()
        if gone or removals or sets:
            return self.message(gone, removals, sets)
        return None

    def tell(
        self, client: ClientState, group: InterestGroup, departures: list[bytes] | None = None
    ) -> None:
        """Queue the structural update that takes a client from what it knows to what it sees.

        Args:
            client: The client.
            group: The group that it is in.
            departures: Where the update is `parted`: gets what is to be queued behind the events.
        """
        if client.known is group.before and not client.resettle:
            message, leaves = group.message, group.departures
            fits = message is None or len(message) <= STRUCTURE_BYTES
            if fits and not client.extra and not self._owns(client, group.leaving):
                if message is not None:
                    client.queue(message)
                if leaves is not None and departures is not None:
                    departures.append(leaves)
                if self.traced:
                    _trace_sight(client, client.known, group.visible, group.visible)
                client.known = group.visible
                if group.leaving:
                    client.note_leaving(group.leaving, self._update, self._sight_updates)
                return
        self._tell_apart(client, group, departures)

    def _owns(self, client: ClientState, nets: set[int]) -> bool:
        """Return whether some of the entities are a client's own, which it sees in any case."""
        if not nets:
            return False
        owned = self._entities.owned.get(client.player, {})
        return not nets.isdisjoint([entity.net for entity in owned])

    def _tell_apart(
        self, client: ClientState, group: InterestGroup, departures: list[bytes] | None
    ) -> None:
        """Work out the structure for one client alone: while it enters, or has what others lack."""
        entities = self._entities
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

        if self.traced:
            _trace_sight(client, before, known, target)
        # What it owns elsewhere may have to wait for room: until it is there, more is to be told.
        settled = known == group.visible and not client.extra
        client.known = group.visible if settled else known
        client.known_private = private
        for net in gone:
            client.big.pop(net, None)
        if gone:
            client.note_leaving(gone, self._update, self._sight_updates)
        if departures is not None:
            departures += self._messages(gone, {}, [])
            gone = set()
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
            large = self._entities.large_bytes(net) if bits & ~had else 0
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
        delta, entities = self._delta, self._entities
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

    def may_enter(self, client: ClientState) -> bool:
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
        if not pending or not self.may_enter(client):
            return set()
        if len(pending) <= _MANY and owned.keys().isdisjoint(pending):
            size = sum([len(run) for run in self._records(pending)])
            if size <= STRUCTURE_BYTES:
                return pending
        # The player's own entity goes first, then what it owns: a client is in the game when it has
        # the former. What was looked up before may be gone, or have entered.
        order = client.entering
        first = self._entities.in_order(pending.intersection(owned))
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
        by_net, focus = self._entities.by_net, client.focus
        point = focus.point if focus is not None else None
        order = self._entities.in_order(nets)
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
            yield self.message(some, of_some, [])
        start = size = 0
        for end, run in enumerate(sets):
            length = len(run)
            if size and size + length > STRUCTURE_BYTES:
                yield self.message(gone, removals, sets[start:end])
                gone, removals, start, size = [], {}, end, 0
            size += length
        yield self.message(gone, removals, sets[start:])

    def message(self, gone: Iterable[int], removals: Removals, sets: list[bytes]) -> bytes:
        """Return a structural message.

        Args:
            gone: Network ids of entities that are despawned, or hidden where they still live.
            removals: Components that were removed.
            sets: Runs of entities or components that entered.
        """
        by_net = self._entities.by_net
        despawned: list[int] = []
        hidden: list[int] = []
        for net in sorted(gone):
            entity = by_net.get(net)
            (hidden if entity is not None and entity.public else despawned).append(net)
        removed = [(cid, sorted(set(nets))) for cid, nets in sorted(removals.items())]
        runs = [Raw(run) for run in sets]
        return encode_structure(self._epoch, self._tick, despawned, hidden, removed, runs)

    def _records(self, nets: set[int]) -> list[bytes]:
        """Whole entities, as everybody sees them, grouped by their components; encoded once for
        all who meet the same ones in one tick.
        """
        key = frozenset(nets)
        records = self._recorded.get(key)
        if records is None:
            by_net = self._entities.by_net
            by_bits: dict[int, list[int]] = {}
            for net in self._entities.in_order(nets):
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
        private = self._entities.private_bits
        for entity, bits in self._delta.removed.items():
            if entity.net in kept:
                for cid in self._entities.cids(bits & ~private):
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
        entities = self._entities
        columns = entities.columns(entities.cids(bits), nets)
        return encode_run(nets, columns)


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
