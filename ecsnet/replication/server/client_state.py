"""One client, as replication sees it: what it knows, what it is owed, what is on its way.

The shared state of all clients with one neighbourhood is an `InterestGroup`; a client that knows
exactly what its neighbourhood shows is *settled* and costs next to nothing. All else is worked out
as a set difference, known before against visible now, never from a list of events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from math import inf
from typing import Final

from ecsnet.peer import NO_TAG, Peer
from ecsnet.replication.server.entities import Entity, ReplicatedEntities
from ecsnet.replication.server.owed import OwedValues
from ecsnet.replication.server.packing import DatagramBody, EncodedRun, bits_of, tick_of
from ecsnet.replication.wire import STRUCTURE_BYTES, U32


class InterestGroup:
    """A neighbourhood: cells, what stands in them, and the clients that see exactly these."""

    __slots__ = (
        "before",
        "big",
        "bodies",
        "cells",
        "clients",
        "departures",
        "fresh",
        "group_key",
        "leaving",
        "message",
        "only",
        "runs",
        "visible",
    )

    def __init__(
        self, group_key: Hashable, cells: Iterable[Hashable], entities: ReplicatedEntities
    ) -> None:
        self.group_key = group_key
        self.cells = tuple(cells)
        self.clients: list[ClientState] = []
        self.visible: set[int] = self.look(entities)
        """Network ids; another set object whenever its content changed, so that ``is`` tells
        whether a client knows exactly this."""
        self.runs: list[EncodedRun] = []
        """The new values in its cells, while they are gathered."""
        self.fresh: list[EncodedRun] = []
        """The runs of it that fit a datagram."""
        self.big: list[EncodedRun] = []
        """The runs of it that do not."""
        self.before = self.visible
        """The entities that were visible in the tick before."""
        self.message: bytes | None = None
        """The structural update from the one to the other; without what leaves, where events come
        before that."""
        self.departures: bytes | None = None
        """The structural update with what leaves, where events come before it."""
        self.leaving: set[int] = set()
        """The entities that left; another set each time."""
        self.bodies: list[DatagramBody] = []
        """The datagram bodies, for clients that see what the whole group sees."""
        self.only: DatagramBody | None = None
        """The body, where one is all that there is."""

    def look(self, entities: ReplicatedEntities) -> set[int]:
        """Return the entities in the group's cells now."""
        empty: set[int] = set()
        return empty.union(*[entities.cells.get(cell, ()) for cell in self.cells])


class ClientState:
    """A client's part of replication.

    Args:
        player: The player entity in the server's world.
        peer: Carries the packets.
        interval: Seconds from one update to the next.
        name: What the log calls it.
        player_id: The number of its player.
        smooth: Whether it draws between two values, and wants to be told in every update of
            what it owns.
    """

    __slots__ = (
        "big",
        "depends",
        "draws",
        "entering",
        "events_due",
        "extra",
        "focus",
        "focus_cell",
        "gain",
        "group",
        "group_key",
        "in_sync",
        "known",
        "known_private",
        "left_sight",
        "loss_timeout_ticks",
        "losses",
        "losses_logged_at",
        "name",
        "owed",
        "peer",
        "pieces",
        "player",
        "player_id",
        "repairing",
        "report",
        "resettle",
        "restoring",
        "resync_at",
        "resyncing",
        "smooth",
        "tagged",
    )

    def __init__(
        self,
        player: int,
        peer: Peer[object],
        interval: float,
        name: str,
        player_id: int,
        *,
        smooth: bool,
    ) -> None:
        self.player = player
        self.player_id = player_id
        self.smooth = smooth
        self.draws = False
        """True if it says what it draws; see `Replicator.remember_for`."""
        self.peer = peer
        self.tagged = peer.tagged
        """The packets whose fate is open; the tags are those of `SentUpdates`."""
        self.name = name
        self.report: tuple[int, ...] | None = None
        """The figures in every update: what the server measured of this client's commands."""
        self.events_due = 0
        """Number of reliable events queued for it."""

        self.focus: Entity | None = None
        self.focus_cell: Hashable = None
        """The cell that it looked from when it was last given a place."""
        self.group_key: Hashable = None
        self.group: InterestGroup | None = None
        self.known: set[int] = set()
        """Entities that this client was told of and not told that they went."""
        self.resettle = True
        """True if what it owns must be looked through again."""
        self.in_sync = False
        """True if it is settled and owed nothing, as of the last update that was made for it
        alone."""
        self.depends = peer.queued & U32
        """The last structural message queued for it, as the wire has it; at first the last of any
        kind."""
        self.loss_timeout_ticks = 0
        """Number of ticks after which packets in flight are looked at for loss, while it is in
        sync."""

        self.gain = peer.bandwidth * interval
        """Bytes of bandwidth from one update to the next."""
        self.known_private: dict[int, int] = {}
        """Owner-only components that it was told of: network id to component bits."""
        self.extra: set[int] = set()
        """The entities that it owns outside its neighbourhood."""
        self.owed = OwedValues()
        self.repairing = False
        """True while something sent again may be on its way, as of the last update that was made
        for it alone."""
        self.entering: list[int] = []
        """The entities that enter its sight, the nearest last, as far as that was looked up."""
        self.pieces: deque[tuple[int, int]] = deque()
        """Messages of entering entities on their way: number, bytes."""
        self.big: dict[int, int] = {}
        """Entities larger than a datagram: the message that carries their latest version."""
        self.left_sight: deque[tuple[int, set[int]]] = deque()
        """The entities that left its sight lately: the update that said so, network ids."""
        self.losses = 0
        """Updates lost that the log has not told."""
        self.losses_logged_at = -inf
        self.resyncing = 0
        """The structural message that answers a client which lost values, until it is there."""
        self.restoring = False
        """True if it asked for everything, and is being sent that again."""
        self.resync_at = 0
        """The update from which on it may have everything again."""

    def __str__(self) -> str:
        return self.name

    def queue(self, message: bytes) -> int:
        """Queue a structural message, on which the updates after it depend; return its number."""
        number = self.peer.queue(message)
        self.depends = number & U32
        return number

    def note_leaving(self, nets: set[int], update: int, memory: int) -> None:
        """Remember for so many updates what the client is told of in this one that it went."""
        left = self.left_sight
        while left and left[0][0] <= update - memory:
            left.popleft()
        left.append((update, nets))

    def unsettle(self) -> None:
        """See `resettle`."""
        self.resettle = True
        self.in_sync = False

    def owe(self, run: EncodedRun, tick: int) -> None:
        """Owe what the client knows of a run that was not sent in a tick."""
        bits = bits_of(run.cids)
        for net in run.nets:
            if net in self.known:
                self.owed.owe(net, bits, tick)

    def lose(self, tick: int, runs: Iterable[EncodedRun], entities: ReplicatedEntities) -> None:
        """Owe the values of a lost packet, unless a newer value is on its way."""
        by_net, known, owed = entities.by_net, self.known, self.owed
        for run in runs:
            detectors = [entities.detectors[cid] for cid in run.cids]
            for net in run.nets:
                entity = by_net.get(net)
                if entity is None or net not in known:
                    continue
                lost = 0
                for detector in detectors:
                    newest = detector.changed_at(entity)
                    if newest is None:
                        continue
                    if newest <= tick or owed.bits(net) & detector.bit:
                        lost |= detector.bit
                    else:
                        owed.replace(net, detector.bit, newest, tick)
                if lost:
                    owed.owe(net, lost, tick)

    def resync(self, answer: bytes) -> None:
        """Begin a resync: the client lost values that it had acknowledged, and is soon owed all.

        Args:
            answer: A structural message without content; it tells the client which updates
                know of this, and can be trusted with what they say is confirmed.
        """
        self.resyncing = self.queue(answer)
        self.in_sync = False

    def owe_all(self, entities: ReplicatedEntities) -> None:
        """Owe the client everything it knows, once the answer to a resync has arrived. Not before,
        or all of it might have to wait there for the answer, and overflow once more.
        """
        self.resyncing = 0
        for net in sorted(self.known):
            bits = self.sees(net, entities)
            if bits:
                self.owed.owe(net, bits, 0)  # nobody knows since when it lacks them

    def sees(self, net: int, entities: ReplicatedEntities) -> int:
        """Return the component bits of a known entity that this client may see now."""
        entity = entities.by_net.get(net)
        if entity is None or net not in self.known:
            return 0
        return entity.public | (entity.private & self.known_private.get(net, 0))

    def unconfirmed_ticks(self, tick: int, whole: bool) -> int:
        """Count the ticks since the client was last owed nothing, with nothing unacknowledged.

        Args:
            tick: The current tick.
            whole: Whether the packet that says so carries all values of ``tick``.
        """
        if self.resyncing:
            return tick + 1
        lag = 0 if whole else 1
        oldest = self.tagged.oldest_tag
        settled = tick if oldest == NO_TAG else tick_of(oldest)  # all packets of the ticks before
        if oldest != NO_TAG:
            lag = tick - settled + 1
        owed = self.owed
        if owed.resends:
            owed.settle(settled)
        self.repairing = bool(owed.resends)
        return max(lag, owed.unconfirmed_ticks(tick, whole))

    def take_owed(
        self, entities: ReplicatedEntities, room: int, tick: int
    ) -> list[tuple[int, int]]:
        """Take the oldest owed values for about ``room`` bytes out of the set, to be sent in
        packets of ``tick``.

        Returns entities with their component bits, oldest first. Keys that the client may not
        see any more are dropped. Large entities, which go by the stream, wait while that has
        enough to do: there may be more of them than may ever wait there.
        """
        owed, big, delivered = self.owed, self.big, self.peer.delivered
        oldest = self.tagged.oldest_tag
        open_from = tick if oldest == NO_TAG else tick_of(oldest)
        taken: list[tuple[int, int]] = []
        waiting: list[int] = []
        gone: list[int] = []
        cost = 0
        for net in owed:
            if cost >= room or len(waiting) >= _PASS:
                break
            if big and big.get(net, 0) > delivered:
                waiting.append(net)
            elif bits := owed.bits(net) & self.sees(net, entities):
                taken.append((net, bits))
                cost += 4 + 12 * bits.bit_count()
            else:
                gone.append(net)
        for net, bits in taken:
            owed.resend(net, bits, tick, open_from)
        for net in waiting:
            owed.postpone(net)
        for net in gone:
            owed.drop(net)
        return taken


STREAM_WINDOW: Final = 2 * STRUCTURE_BYTES
"""While so many bytes of messages are on their way to a client, entities and values for which more
would have to be queued wait."""

_PASS: Final = 64  # entities that are owed, cannot go yet and are passed over in one update
