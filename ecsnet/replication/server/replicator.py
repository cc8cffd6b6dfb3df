"""The server's half of replication: one simulation's world, sent to any number of clients.

Once a tick `Replicator.replicate` finds what changed, tells each client what came and went
(reliably, in order) and what has a new value (unreliably, always the latest). Each value is
encoded once, in a run of its cell; clients with the same neighbourhood share the bytes; a
client's own state is what it knows, what it is owed and its packets in flight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from typing import Final, cast

from msgspec import Raw

from ecsnet.connection.plain import OVERHEAD
from ecsnet.replication.encoding import encode_run, encode_structure
from ecsnet.replication.server.client_state import STREAM_WINDOW, Hood, Outlet, Viewer, mine
from ecsnet.replication.server.entities import Change, Delta, Entity, Population
from ecsnet.replication.server.interest import Everyone, Interest
from ecsnet.replication.server.packing import (
    Flight,
    Run,
    Sheet,
    make_owned_runs,
    make_runs,
    sheets,
)
from ecsnet.replication.wire import PIECE_BYTES, SHEET_BYTES, U32
from ecsnet.schema import Schema
from ecsnet.session.session import Session
from ecsnet.world import World

BANDWIDTH: Final = 256 * 1024
"""Bytes per second that a client is sent at most, unless the game says otherwise."""

SIGHT_SECONDS: Final = 1.0
"""How long a client may go on naming what left its sight: it may not know that yet, and what it
did before is still on its way, or waits for its tick."""

_TURN_SECONDS: Final = 1.5e-4  # for each entity that a client is told of again
_RESYNC_TURNS: Final = 20  # after so many times its own, it is a client's turn again
_RESYNC_WAIT: Final = 20.0  # seconds that it waits for that at most
_ENTERING_BYTES: Final = PIECE_BYTES * 3 // 4  # of a piece; its owner may get more of it
_CHUNK: Final = 32  # entities whose size is looked at together while a piece is filled
_NOBODY: Final = -1
_HEAD_BYTES: Final = 48  # of an update, at most
_NOTHING: Final = Raw(b"\x90")
_BATCH: Final = 16  # packets
_FLOOD: Final = 4 << 20  # bytes that one client may be told of new components, and not have
_MOST_GONE: Final = PIECE_BYTES // 9  # network ids in one piece, each at its longest
_MANY: Final = PIECE_BYTES // 16  # entities: more are not tried whether they fit a piece

Gone = dict[int, list[int]]
"""Component id to the network ids that lost it."""


class Replicator:
    """Replicates one world.

    Args:
        schema: the component types that cross the wire.
        world: the server's world.
        epoch: names the simulation and the boot it runs in (u32); in every update.
        interest: decides who sees what.
        owner: the component type whose ``player`` field names an entity's owner.
        interval: ticks between two calls of `replicate`, times the tick's length, in seconds.
        draw_id: gives network ids; see `Population`.
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
        self.population = Population(schema, world, self.interest, owner, draw_id)
        self.viewers: list[Viewer] = []
        self.tick = 0

        self._world = world
        self._interval = interval
        self._sight_updates = math.ceil(SIGHT_SECONDS / interval)
        self._updates = 0
        self._stride = 1  # ticks from the last update to this one
        self._hoods: dict[Hashable, Hood] = {}
        self._unseated: list[Viewer] = []  # those to look at in _seat()
        self._centred: dict[int, list[Viewer]] = {}  # by the network id that they look from
        self._resyncs: list[Viewer] = []  # those that wait until they may have one
        self._resync_at = 0  # the update from which on it is the next one's turn
        self._delta = Delta(0)
        self._watchers: dict[Hashable, list[Hood]] = {}  # by cell
        self._recorded: dict[frozenset[int], list[bytes]] = {}  # in this tick

    def add_viewer(
        self,
        player: int,
        session: Session[object],
        outlet: Outlet,
        bandwidth: float = BANDWIDTH,
    ) -> Viewer:
        """A client that from now on is told of the world; ``player`` is its player entity."""
        viewer = Viewer(player, session, outlet, bandwidth, self._interval)
        self.population.set_player(player, True)
        self.viewers.append(viewer)
        self._unseated.append(viewer)
        return viewer

    def remove_viewer(self, viewer: Viewer) -> None:
        """The client is gone."""
        self.population.set_player(viewer.player, False)
        self.viewers.remove(viewer)
        if viewer in self._unseated:
            self._unseated.remove(viewer)
        if viewer in self._resyncs:
            self._resyncs.remove(viewer)
        self._centre_on(viewer, None)
        self._leave_hood(viewer)

    def network_id(self, entity: int) -> int | None:
        """The network id of an esper entity; None when it is not replicated (yet)."""
        return self.population.network_id(entity)

    def entity(self, net: int) -> int | None:
        """The esper entity behind a network id; None when it is gone or never was."""
        known = self.population.by_net.get(net)
        return None if known is None else known.esper

    def resync(self, viewer: Viewer) -> None:
        """The client lost values that it had acknowledged: send it everything again.

        That costs as much as the client knows entities. So clients take turns, each as long as it
        knows many, and its next turn comes after twenty times that, or after 20 seconds. How long
        its line takes for the bytes does not count: an update never costs more than its bandwidth.
        """
        updates = self._updates
        if updates < max(viewer.resync_at, self._resync_at) or viewer.restoring:
            if viewer not in self._resyncs:
                self._resyncs.append(viewer)
            return
        turn = len(viewer.known) * _TURN_SECONDS
        self._resync_at = updates + math.ceil(turn / self._interval)
        pause = min(_RESYNC_TURNS * turn, _RESYNC_WAIT)
        viewer.resync_at = updates + math.ceil(pause / self._interval)
        viewer.restoring = True
        viewer.resync(self._message([], {}, []))

    def _resync_who_waits(self) -> None:
        waiting, self._resyncs = self._resyncs, []
        for viewer in waiting:
            self.resync(viewer)

    def shown(self, viewer: Viewer) -> int:
        """How many entities this client is shown, or will be once all of them have entered."""
        return 0 if viewer.hood is None else len(viewer.hood.visible)

    def can_see(self, viewer: Viewer, net: int) -> bool:
        """Whether this client was told of the entity, and not told that it went."""
        return net in viewer.known

    def can_name(self, viewer: Viewer, net: int) -> bool:
        """Whether this client can see the entity, or could a moment ago."""
        if net in viewer.known:
            return True
        since = self._updates - self._sight_updates
        return any(net in nets for update, nets in viewer.left_sight if update > since)

    def visible(self, viewer: Viewer) -> dict[int, int]:
        """What a client may see now: network ids to component bits. For tests and inspection."""
        shown = set(viewer.hood.visible) if viewer.hood else set()
        owned = {entity.net for entity in self.population.belongings(viewer.player)}
        by_net = self.population.by_net
        result = {}
        for net in shown | owned:
            entity = by_net[net]
            bits = entity.public | (entity.private if net in owned else 0)
            if bits:
                result[net] = bits
        return result

    def replicate(self, tick: int, now: float) -> None:
        """Send what changed since the last call.

        Args:
            tick: the tick that has just run; goes up from call to call.
            now: seconds on any monotonic clock.
        """
        self._stride = tick - self.tick
        self.tick = tick
        self._updates += 1
        self._recorded.clear()
        if self._resyncs:
            self._resync_who_waits()
        with self._world:
            self._delta = self.population.capture(tick)
            if self._delta.cleared:
                # Players are gone, too, and their ids of esper will be somebody else's.
                for viewer in self.viewers:
                    viewer.player = _NOBODY
                    viewer.unsettle()
            self._seat()
        private, bulky = self._spread()
        changed = self._structural()
        for hood in self._hoods.values():
            self._prepare(hood, changed.get(hood), private, bulky, now)
        self._serve(private, now)

    def _prepare(
        self, hood: Hood, change: Change | None, private: set[int], bulky: bool, now: float
    ) -> None:
        """Make what all who look at a neighbourhood are told."""
        hood.before = hood.visible
        hood.message = None if change is None else self._refresh(hood, change)
        runs, hood.runs = hood.runs, []
        hood.big = [run for run in runs if run.size > SHEET_BYTES] if bulky else []
        hood.fresh = [run for run in runs if run.size <= SHEET_BYTES] if bulky else runs
        public = [run for run in hood.fresh if run.data] if private else hood.fresh
        hood.sheets = sheets(self.tick, public, now)
        hood.only = hood.sheets[0] if len(hood.sheets) == 1 and not hood.big else None

    # Who looks where.

    def _seat(self) -> None:
        """Put every viewer into the hood of the place it looks from."""
        interest, entities = self.interest, self.population.by_esper.values()
        restless = interest.restless
        delta = self._delta
        dirty = delta.owners
        unseated = self._unseated
        if restless or dirty or delta.cleared:
            unseated = self.viewers
        elif self._centred:  # only those whose centre came to another cell
            for change in delta.cells.values():
                for net in change.came:
                    unseated += self._centred.get(net, ())
        for viewer in unseated:
            if viewer.resettle or (dirty and viewer.player in dirty):
                viewer.unsettle()
                self._centre_on(viewer, self._centre(viewer))
            elif not restless:
                centre = viewer.centre
                if centre is None or centre.cell is viewer.seat:
                    continue
            viewer.seat = None if viewer.centre is None else viewer.centre.cell
            place = interest.place(viewer, entities, self.tick)
            hood = viewer.hood
            if hood is not None and (place is viewer.place or place == viewer.place):
                continue
            viewer.place = place
            self._leave_hood(viewer)
            hood = self._hoods.get(place)
            if hood is None:
                hood = Hood(place, interest.cells(place), self.population)
                self._hoods[place] = hood
                for cell in hood.cells:
                    self._watchers.setdefault(cell, []).append(hood)
            hood.viewers.append(viewer)
            viewer.hood = hood
            viewer.unsettle()
        self._unseated.clear()

    def _centre_on(self, viewer: Viewer, centre: Entity | None) -> None:
        """Let a viewer look from there."""
        old = viewer.centre
        if centre is old:
            return
        viewer.centre = centre
        if old is not None:
            self._centred[old.net].remove(viewer)
            if not self._centred[old.net]:
                del self._centred[old.net]
        if centre is not None:
            self._centred.setdefault(centre.net, []).append(viewer)

    def _centre(self, viewer: Viewer) -> Entity | None:
        """Where a player looks from: itself, or the first thing it owns that has a position."""
        owned = [e for e in self.population.belongings(viewer.player) if e.point is not None]
        if not owned:
            return None
        return min(owned, key=lambda e: (e.esper != viewer.player, e.order))

    def _leave_hood(self, viewer: Viewer) -> None:
        hood = viewer.hood
        if hood is None:
            return
        viewer.hood = None
        hood.viewers.remove(viewer)
        if hood.viewers:
            return
        del self._hoods[hood.place]
        for cell in hood.cells:
            watchers = self._watchers[cell]
            watchers.remove(hood)
            if not watchers:
                del self._watchers[cell]

    def _structural(self) -> dict[Hood, Change]:
        """The hoods in whose cells somebody or something came or went, and who it was."""
        delta, watchers = self._delta, self._watchers
        hoods: dict[Hood, Change] = {}
        for cell, change in delta.cells.items():
            for hood in watchers.get(cell, ()):
                known = hoods.get(hood)
                if known is None:
                    known = hoods[hood] = Change()
                known.came |= change.came
                known.went |= change.went
        for entity in (*delta.inserted, *delta.removed):
            for hood in watchers.get(entity.cell, ()):
                if hood not in hoods:
                    hoods[hood] = Change()
        return hoods

    def _refresh(self, hood: Hood, change: Change) -> bytes | None:
        """Take over what came to the hood's cells and went from them.

        Returns:
            The structural update that says so, the same for all of its settled viewers.
        """
        delta, before = self._delta, hood.before
        # Who went from one of its cells to another is still there. A hood that was made in this
        # tick shows all this already.
        entering = (change.came - change.went) - before
        leaving = hood.leaving = (change.went - change.came) & before
        if entering or leaving:
            hood.visible = before.copy()
            hood.visible -= leaving
            hood.visible |= entering
        removals: Gone = {}
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

    def _tell(self, viewer: Viewer, hood: Hood) -> None:
        """Queue the structural update that takes a viewer from what it knows to what it sees."""
        if viewer.known is hood.before and not viewer.resettle:
            message = hood.message
            if message is None:
                return
            if not viewer.known_private and len(message) <= PIECE_BYTES:
                viewer.session.queue(message)
                viewer.known = hood.visible
                if hood.leaving:
                    viewer.note_leaving(hood.leaving, self._updates, self._sight_updates)
                return
        self._tell_apart(viewer, hood)

    def _tell_apart(self, viewer: Viewer, hood: Hood) -> None:
        """The same, worked out for one viewer alone: while it enters, or has what others lack."""
        population = self.population
        owned = {entity.net: entity for entity in population.belongings(viewer.player)}
        viewer.extra = owned.keys() - hood.visible if owned else set()
        target = hood.visible | viewer.extra if viewer.extra else hood.visible
        before = viewer.known
        gone = before - target
        kept = before - gone
        sets = self._inserts(kept)
        if sets and viewer.session.backlog + sum(map(len, sets)) > _FLOOD:
            # More than may wait for it: who got new components goes out of sight, and comes back
            # as the stream has room.
            hiding = kept.intersection([entity.net for entity in self._delta.inserted])
            gone, kept, target = gone | hiding, kept - hiding, target - hiding
            sets = []
        arriving = self._next_piece(viewer, target - kept, owned)
        known = kept | arriving

        private = {
            net: entity.private for net, entity in owned.items() if entity.private and net in known
        }
        viewer.resettle = self._postpone(viewer, private)
        removals = self._removals(kept)
        sets += self._records(arriving)
        self._settle_private(viewer, private, known, removals, sets)

        viewer.known = hood.visible if known == hood.visible else known
        viewer.known_private = private
        for net in gone:
            viewer.big.pop(net, None)
        if gone:
            viewer.note_leaving(gone, self._updates, self._sight_updates)
        last = None
        for message in self._messages(gone, removals, sets):
            last = (viewer.session.queue(message), len(message))
            if arriving:
                viewer.pieces.append(last)

    def _postpone(self, viewer: Viewer, private: dict[int, int]) -> bool:
        """Take what a viewer gains of owner-only components out of what it is to know, for large
        entities and while enough is on its way.

        Returns:
            Whether there is anything left for later.
        """
        backlog = viewer.session.backlog
        postponed = False
        for net, bits in list(private.items()):
            had = viewer.known_private.get(net, 0)
            large = self.population.large_bytes(net) if bits & ~had else 0
            if large and backlog >= STREAM_WINDOW:
                private[net] = bits & had
                postponed = True
            else:
                backlog += large
        return postponed

    def _settle_private(
        self,
        viewer: Viewer,
        private: dict[int, int],
        known: set[int],
        removals: Gone,
        sets: list[bytes],
    ) -> None:
        """Add what this viewer alone gains and loses of owner-only components."""
        delta, population = self._delta, self.population
        gains: dict[int, list[int]] = {}
        for net, bits in private.items():
            had = viewer.known_private.get(net, 0)
            entity = population.by_net[net]
            # Removed and inserted within one tick: another value under the same bits.
            again = delta.inserted.get(entity, 0) & delta.removed.get(entity, 0) & had
            for cid in population.cids(again | (had & ~bits)):
                removals.setdefault(cid, []).append(net)
            gained = (bits & ~had) | (again & bits)
            if gained:
                gains.setdefault(gained, []).append(net)
        for net in viewer.known_private.keys() - private.keys():
            if net in known:
                for cid in population.cids(viewer.known_private[net]):
                    removals.setdefault(cid, []).append(net)
        sets += self._split({bits: sorted(nets) for bits, nets in gains.items()})

    def _may_enter(self, viewer: Viewer) -> bool:
        """Whether so few pieces are on their way that the client can have one more."""
        delivered, pieces = viewer.session.delivered, viewer.pieces
        while pieces and pieces[0][0] <= delivered:
            pieces.popleft()
        return sum(size for _, size in pieces) < STREAM_WINDOW

    def _next_piece(self, viewer: Viewer, pending: set[int], owned: dict[int, Entity]) -> set[int]:
        """Which of the pending entities enter now: nearest first, at most a piece, and only
        while few are on their way.
        """
        if not pending or not self._may_enter(viewer):
            return set()
        if len(pending) <= _MANY and owned.keys().isdisjoint(pending):
            size = sum([len(run) for run in self._records(pending)])
            if size <= PIECE_BYTES:
                return pending
        # The player's own entity goes first, then what it owns: a client is in the game when it has
        # the former. What was looked up before may be gone, or have entered.
        order = viewer.entering
        first = self.population.in_order(pending.intersection(owned))
        first.sort(key=lambda net: owned[net].esper != viewer.player)
        order += reversed(first)
        left = pending.copy()
        piece: set[int] = set()
        room = _ENTERING_BYTES
        while left:
            chunk: list[int] = []
            while left and len(chunk) < _CHUNK:
                if not order:
                    order += self._farthest_first(viewer, left)
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

    def _farthest_first(self, viewer: Viewer, nets: set[int]) -> list[int]:
        """Network ids, those of what is next to a viewer last."""
        by_net, centre = self.population.by_net, viewer.centre
        point = centre.point if centre is not None else None
        order = self.population.in_order(nets)
        order.reverse()
        if point is None:
            return order
        x, y = point

        def distance(net: int) -> float:
            there = by_net[net].point
            return 0.0 if there is None else (there[0] - x) ** 2 + (there[1] - y) ** 2

        order.sort(key=distance, reverse=True)
        return order

    def _messages(self, gone: Iterable[int], removals: Gone, sets: list[bytes]) -> Iterable[bytes]:
        """Structural messages of at most about a piece each; nothing when nothing happened."""
        if not (gone or removals or sets):
            return
        *before, (gone, removals) = _farewells(sorted(gone), removals)
        for some, of_some in before:
            yield self._message(some, of_some, [])
        start = size = 0
        for end, run in enumerate(sets):
            length = len(run)
            if size and size + length > PIECE_BYTES:
                yield self._message(gone, removals, sets[start:end])
                gone, removals, start, size = [], {}, end, 0
            size += length
        yield self._message(gone, removals, sets[start:])

    def _message(self, gone: Iterable[int], removals: Gone, sets: list[bytes]) -> bytes:
        by_net = self.population.by_net
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
            by_net = self.population.by_net
            groups: dict[int, list[int]] = {}
            for net in self.population.in_order(nets):
                bits = by_net[net].public
                if bits:
                    groups.setdefault(bits, []).append(net)
            records = self._recorded[key] = self._split(groups)
        return records

    def _inserts(self, kept: set[int]) -> list[bytes]:
        """The components that appeared on entities that were seen before."""
        groups: dict[int, list[int]] = {}
        for entity, inserted in self._delta.inserted.items():
            bits = inserted & entity.public
            if bits and entity.net in kept:
                groups.setdefault(bits, []).append(entity.net)
        return self._split({bits: sorted(nets) for bits, nets in groups.items()})

    def _removals(self, kept: set[int]) -> Gone:
        gone: Gone = {}
        private = self.population.private_bits
        for entity, bits in self._delta.removed.items():
            if entity.net in kept:
                for cid in self.population.cids(bits & ~private):
                    gone.setdefault(cid, []).append(entity.net)
        return gone

    def _split(self, groups: dict[int, list[int]]) -> list[bytes]:
        """Runs of at most a piece each, where entities allow it."""
        runs: list[bytes] = []
        for bits, nets in groups.items():
            pending = [nets]
            while pending:
                part = pending.pop()
                run = self._run(part, bits)
                if len(part) > 1 and len(run) > PIECE_BYTES:
                    half = len(part) // 2
                    pending += [part[half:], part[:half]]
                else:
                    runs.append(run)
        return runs

    def _run(self, nets: list[int], bits: int) -> bytes:
        population = self.population
        columns = [(cid, population.wires(cid, nets)) for cid in population.cids(bits)]
        return encode_run(nets, columns)

    # Values: what a client is told of every tick.

    def _spread(self) -> tuple[set[int], bool]:
        """Encode what changed, cell by cell, and lay the runs before the hoods that see them.

        Returns:
            The players who get values of their own, because owner-only components changed, and
            whether an entity is larger than a datagram.
        """
        groups: dict[tuple[Hashable, int, int | None], list[int]] = {}
        players: set[int] = set()
        bulky = False
        private = self.population.private_bits
        for entity, bits in self._delta.changed.items():
            owner: int | None = None
            if bits & private:
                owner = entity.owner
                if owner is None:
                    bits &= ~private
                else:
                    players.add(owner)
            if bits and entity.public:
                groups.setdefault((entity.cell, bits, owner), []).append(entity.net)
        for (place, bits, owner), nets in groups.items():
            watchers = self._watchers.get(place)
            if watchers is None:
                continue
            nets.sort()
            for run in self._fresh_runs(nets, bits, owner):
                if run.size > SHEET_BYTES:
                    bulky = True
                for hood in watchers:
                    hood.runs.append(run)
        return players, bulky

    def _fresh_runs(self, nets: list[int], bits: int, owner: int | None) -> list[Run]:
        population = self.population
        private = population.private_bits
        if owner is None:
            return make_runs(nets, population.cids(bits), population.wires)
        public, secret = population.cids(bits & ~private), population.cids(bits & private)
        return make_owned_runs(nets, public, secret, owner, population.wires)

    def _owe_big(self, viewer: Viewer, runs: list[Run]) -> None:
        """What is larger than a datagram goes by the stream, through owed."""
        for run in runs:
            form = mine(run, viewer.player)
            if form is not None:
                known = [net for net in form.nets if net in viewer.known]
                viewer.owe(known, form.cids, self.tick)

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
        # Made for some clients at a time: the system's part of sending pushes our code out of the
        # cache.
        ready: list[tuple[Outlet, bytes]] = []
        for viewer in self.viewers:
            hood = viewer.hood
            assert hood is not None  # since _seat()
            if hood.message is not None:
                self._tell(viewer, hood)
            sheet = hood.only
            if (
                sheet is None
                or viewer.known is not hood.visible
                or not viewer.sound
                or viewer.allowance <= 0
                or (private and viewer.player in private)
            ):
                self._send(viewer, hood, private, now)
                continue
            session = viewer.session
            if session.more:
                if session.backlog and (
                    session.streaming or session.room() < sheet.size + _HEAD_BYTES
                ):
                    self._send(viewer, hood, private, now)
                    continue
                viewer.depends = session.queued & U32
            # All records of this session are flights; a cast() would be a call for each client.
            oldest: Flight | None = session.oldest()  # type: ignore[assignment]
            unsolid = 0 if oldest is None else ticks - oldest.tick  # as Viewer.unsolid has it
            if unsolid > viewer.patience:
                self._send(viewer, hood, private, now)
                continue
            packet = session.send(
                (epoch, tick, unsolid, viewer.depends, viewer.report, sheet.raw), now, sheet.flight
            )
            viewer.allowance -= float(len(packet) + OVERHEAD)  # compiled, floats are no objects
            ready.append((viewer.outlet, packet))
            if len(ready) == _BATCH:
                _deliver(ready)
        _deliver(ready)

    def _send(self, viewer: Viewer, hood: Hood, private: set[int], now: float) -> None:
        """One viewer's datagrams of this tick, where they may be its own."""
        if hood.message is None and (
            viewer.resettle or (viewer.known is not hood.visible and self._may_enter(viewer))
        ):
            self._tell(viewer, hood)
        if hood.big:
            self._owe_big(viewer, hood.big)
        shared = viewer.known is hood.visible and viewer.player not in private
        session = viewer.session
        if now >= session.overdue_at:
            for flight in session.lost(now):
                viewer.lose(cast(Flight, flight), self.population)
        gained = viewer.gain * (self._updates - viewer.refilled)
        viewer.allowance = min(viewer.burst, viewer.allowance + gained)
        viewer.refilled = self._updates
        if viewer.resyncing and session.delivered >= viewer.resyncing:
            viewer.owe_all(self.population)
        ready = hood.sheets
        if viewer.owed or not shared:
            ready = self._own_sheets(viewer, hood, now)
        backlog = session.backlog
        streaming = bool(backlog) and session.streaming
        if streaming:
            self._stream(viewer, now)
        whole = len(ready) == 1
        sent = False
        for sheet in ready:
            if viewer.allowance <= 0:
                for run in sheet.flight.runs:
                    nets = [net for net in run.nets if net in viewer.known]
                    viewer.owe(nets, run.cids, self.tick)
                continue
            if not sent and backlog and session.room() < sheet.size + _HEAD_BYTES:
                self._emit(viewer, session.send(None, now))  # with what rides, by itself
                sent = True
            payload = self._update(viewer, whole, sheet.raw)
            self._emit(viewer, session.send(payload, now, sheet.flight, ride=not sent))
            sent = True
        if not sent and viewer.allowance > 0 and session.due(now):
            payload = self._update(viewer, not viewer.owed, _NOTHING)
            self._emit(viewer, session.send(payload, now))
        if viewer.restoring and not (viewer.resyncing or viewer.owed):
            viewer.restoring = False
        viewer.sound = not (viewer.owed or viewer.fills or viewer.resyncing or viewer.resettle)
        viewer.depends = session.queued & U32
        viewer.patience = int(session.patience / self._interval * self._stride)

    def _stream(self, viewer: Viewer, now: float) -> None:
        """Send of what is too large to ride. Half of the bandwidth is for it while there is
        some, so that neither starves the other.
        """
        viewer.allowance -= viewer.gain / 2
        viewer.stream_allowance = min(viewer.burst, viewer.stream_allowance + viewer.gain / 2)
        for packet in viewer.session.stream(now, int(viewer.stream_allowance)):
            viewer.stream_allowance -= len(packet) + OVERHEAD
            viewer.outlet.deliver(packet)

    def _update(self, viewer: Viewer, whole: bool, runs: Raw) -> tuple[object, ...]:
        """An `Update`, encodable; ``whole`` as for `Viewer.unsolid`."""
        return (
            self.epoch,
            self.tick & U32,
            viewer.unsolid(self.tick, whole),
            viewer.session.queued & U32,
            viewer.report,
            runs,
        )

    def _emit(self, viewer: Viewer, packet: bytes) -> None:
        viewer.allowance -= len(packet) + OVERHEAD
        viewer.outlet.deliver(packet)

    def _own_sheets(self, viewer: Viewer, hood: Hood, now: float) -> list[Sheet]:
        """What one viewer gets that does not share: owed values first, then the fresh ones."""
        settled = viewer.known is hood.visible
        own = []
        if viewer.owed:
            own = self._owed_runs(viewer)
        for run in hood.fresh:
            form = mine(run, viewer.player)
            if form is not None and (settled or not viewer.known.isdisjoint(form.nets)):
                own.append(form)
        own += self._extra_runs(viewer)
        return sheets(self.tick, own, now)

    def _extra_runs(self, viewer: Viewer) -> list[Run]:
        """New values of what a viewer owns outside its neighbourhood."""
        changed, by_net = self._delta.changed, self.population.by_net
        groups: dict[int, list[int]] = {}
        for net in viewer.extra & viewer.known:
            bits = changed.get(by_net[net], 0)
            if bits:
                groups.setdefault(bits, []).append(net)
        result = []
        for bits, nets in groups.items():
            cids = self.population.cids(bits)
            for run in make_runs(sorted(nets), cids, self.population.wires):
                if run.size > SHEET_BYTES:
                    viewer.owe(run.nets, run.cids, self.tick)
                else:
                    result.append(run)
        return result

    def _owed_runs(self, viewer: Viewer) -> list[Run]:
        groups: dict[int, list[int]] = {}
        room = viewer.allowance
        if viewer.restoring:  # of much no more than the bandwidth: a burst is felt by all
            room = min(room, viewer.gain)
        for net, bits in viewer.take_owed(self.population, int(room), self.tick):
            groups.setdefault(bits, []).append(net)
        result = []
        for bits, nets in groups.items():
            cids = self.population.cids(bits)
            for run in make_runs(sorted(nets), cids, self.population.wires):
                if run.size > SHEET_BYTES:
                    if viewer.session.backlog >= STREAM_WINDOW:
                        viewer.owe(run.nets, run.cids, self.tick)
                        continue
                    message = self._message((), {}, [run.data])
                    delivered = viewer.session.delivered
                    viewer.big = {
                        n: number for n, number in viewer.big.items() if number > delivered
                    }
                    viewer.big[run.nets[0]] = viewer.session.queue(message)
                else:
                    result.append(run)
        return result


def _deliver(ready: list[tuple[Outlet, bytes]]) -> None:
    """Send packets, and forget them."""
    for outlet, packet in ready:
        outlet.deliver(packet)
    ready.clear()


def _farewells(gone: list[int], removals: Gone) -> list[tuple[list[int], Gone]]:
    """What went, in parts that take a piece each at most; one part, as it nearly always is."""
    if len(gone) + len(removals) + sum(map(len, removals.values())) <= _MOST_GONE:
        return [(gone, removals)]
    parts: list[tuple[list[int], Gone]] = [(some, {}) for some in _parted(gone)]
    for cid, nets in removals.items():
        parts += [([], {cid: some}) for some in _parted(nets)]
    return parts


def _parted(nets: list[int]) -> list[list[int]]:
    return [nets[start : start + _MOST_GONE] for start in range(0, len(nets), _MOST_GONE)]
