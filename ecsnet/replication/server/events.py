"""Events on their way to the clients: who gets which, encoded once for all who get the same.

A game emits events in a tick, and they are looked at when that is over: only then what was spawned
in it has a network id. Each client gets those that are for it in one message, between what enters
its sight and what leaves it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Final, TypeAlias

from msgspec import Raw

from ecsnet.peer import Peer
from ecsnet.replication.encoding import encode_events
from ecsnet.replication.server.client_state import ClientState, InterestGroup
from ecsnet.replication.server.entities import Entity, ReplicatedEntities
from ecsnet.replication.server.groups import InterestGroups
from ecsnet.replication.wire import BODY_BYTES, EVENT_BYTES
from ecsnet.schema import EventType, Gate, Schema, encode
from ecsnet.simulation.emission import Emission

__all__ = ["Emitted", "EventWriter"]

log = logging.getLogger("ecsnet.server")

Emitted: TypeAlias = tuple[Sequence[Emission], Collection[int]]
"""The events of one tick, and the numbers of the players who were in the game then."""

LOOSE_BYTES: Final = BODY_BYTES - 80
"""The most that one event takes that is not reliable: it has to fit into a datagram."""

_NONE: Final[frozenset[int]] = frozenset()
_LIST_HEADER: Final = 3  # around the events of an update


class _Event:
    """An event as it leaves: for each set of entities that a client does not see, other bytes.

    Attributes:
        emission: What was emitted.
        number: The number of its type on the wire.
        order: Counts the events of a simulation.
        about: Network id of the entity that a client must see to get it; 0 for any.
        nets: Network ids of the entities that it refers to, by their esper ids.
        data: The event, encoded for clients that see all of these.
    """

    __slots__ = ("_masked", "about", "data", "emission", "nets", "number", "order")

    def __init__(
        self,
        emission: Emission,
        number: int,
        order: int,
        about: int,
        nets: dict[int, int],
        data: bytes,
    ) -> None:
        self.emission = emission
        self.number = number
        self.order = order
        self.about = about
        self.nets = nets
        self.data = data
        self._masked: dict[frozenset[int], _Copy] = {}

    @property
    def same_for_all(self) -> bool:
        """True if all who get it get the same, and nobody is left out."""
        return not (self.about or self.nets or self.emission.but)

    def copy_for(self, hidden: frozenset[int]) -> _Copy:
        """Return the event for clients that do not see some of the entities it refers to."""
        copy = self._masked.get(hidden)
        if copy is None:
            data = self._encode(hidden) if hidden else self.data
            copy = self._masked[hidden] = _Copy(self.emission, data)
        return copy

    def _encode(self, hidden: frozenset[int]) -> bytes:
        def reference(entity: int | None) -> int | None:
            net = None if entity is None else self.nets.get(entity)
            return None if net in hidden else net

        wire = self.emission.kind.to_wire(self.emission.event, reference)
        return encode((self.number, wire))


class _Copy:
    """An event, encoded for those who see the same of what it refers to.

    It does not refer to the `_Event` that keeps it: both, and what was sent to whom, are to be
    gone with their tick, and not to wait for the garbage collector.
    """

    __slots__ = ("data", "emission")

    def __init__(self, emission: Emission, data: bytes) -> None:
        self.emission = emission
        self.data = data


class _Batch:
    """The events that some clients get in one update.

    Attributes:
        reliable: How many of them are.
        messages: Those that are reliable.
        bodies: The others, as many to one update as fit into its datagram.
        sent: The number of the last message to a client, by the number of its player.
    """

    __slots__ = ("bodies", "messages", "reliable", "sent")

    def __init__(self, reliable: int, messages: list[bytes], bodies: list[Raw]) -> None:
        self.reliable = reliable
        self.messages = messages
        self.bodies = bodies
        self.sent: dict[int, int] = {}


class EventWriter:
    """Tells clients what happened.

    Args:
        schema: The event types.
        entities: The entities that clients may see.
        groups: Who sees which cells.
        epoch: Names the simulation and its boot; in every message.

    Attributes:
        pending: Whether a client may have to be told of something in this update.
        bodies: What clients get beside reliable messages, in this update.
    """

    def __init__(
        self, schema: Schema, entities: ReplicatedEntities, groups: InterestGroups, epoch: int
    ) -> None:
        self.pending = False
        self.bodies: dict[ClientState, list[Raw]] = {}
        self._entities = entities
        self._groups = groups
        self._epoch = epoch
        self._tick = 0
        self._count = 0  # events so far
        self._number_of = schema.event_id_of
        self._gates: dict[type, Gate[object]] = {
            kind.cls: Gate(kind.wire_type, EVENT_BYTES) for kind in schema.events
        }
        self._clients: Sequence[ClientState] = ()  # those that are told of the world
        self._players: dict[int | None, int] = {}  # the number of each, by entity; once it is asked
        # The clients' peers, by the numbers of their players; receipts keep them.
        self._receivers: dict[int, Peer[object]] = {}
        self._complained: set[tuple[type, str]] = set()
        # The events of this update: for everybody, for a player alone by its number, and for those
        # who look at a cell.
        self._for_all: list[_Event] = []
        self._for_one: dict[int, list[_Event]] = {}
        self._for_group: dict[InterestGroup, list[_Event]] = {}
        # For players whose client is not told of the world yet, and will be in the next update; and
        # for those of whom that was so in the last one.
        self._for_newcomers: dict[int, list[_Event]] = {}
        self._waiting: dict[int, list[_Event]] = {}
        # Those for everybody, where they are the same for all.
        self._uniform: _Batch | None = None
        self._batches: dict[tuple[_Copy, ...], _Batch] = {}

    def collect(self, emitted: Sequence[Emitted], tick: int, clients: Sequence[ClientState]) -> int:
        """Take the events of the ticks since the last update; to be called once before `tell`.

        Args:
            emitted: The events, tick by tick.
            tick: The tick that has just run.
            clients: The clients that are told of the world.

        Returns:
            How many of them nobody can get: they are about what was never there, or is long dead.
        """
        self._tick = tick
        self.pending = bool(emitted or self._waiting)
        if not self.pending:
            return 0
        self._clients = clients
        self._receivers = {client.player_id: client.peer for client in clients}
        ignored = 0
        for emissions, players in emitted:
            newcomers = set(players).difference(self._receivers)
            for emission in emissions:
                about = self._subject(emission)
                if emission.about is not None and about is None:
                    ignored += 1
                    continue
                event = self._made(emission, 0 if about is None else about.net)
                if event is not None:
                    self._route(event, about, newcomers)
        if all(event.same_for_all for event in self._for_all):
            self._uniform = self._batch(tuple([event.copy_for(_NONE) for event in self._for_all]))
        return ignored

    def end(self) -> None:
        """Forget the events of an update that is over."""
        if self.pending:
            self._clients, self._receivers = (), {}
            self._players.clear()
            self._for_all.clear()
            self._for_one.clear()
            self._for_group.clear()
            self._uniform = None
            self._batches.clear()
            self.bodies.clear()
            self._waiting, self._for_newcomers = self._for_newcomers, {}

    # What is sent.

    def _subject(self, emission: Emission) -> Entity | None:
        """Return the entity that an event is about, if there is one and clients may know it."""
        if emission.about is None:
            return None
        return self._entities.find(emission.about, emission.identity)

    def _made(self, emission: Emission, about: int) -> _Event | None:
        """Encode an event; None for one that cannot be sent, which the log tells."""
        kind, event = emission.kind, emission.event
        number = self._number_of.get(kind.cls)
        if number is None:
            self._complain(kind, kind.name, f"{kind.place} was imported after the server was made")
            return None
        nets: dict[int, int] = {}

        def reference(entity: int | None) -> int | None:
            if entity is None:
                return None
            net = self._entities.named(entity, emission.identity)
            if net is not None:
                nets[entity] = net
            return net

        try:
            wire = encode(kind.to_wire(event, reference))
            self._gates[kind.cls].decode_or_raise(wire)
        except Exception:  # noqa: BLE001 - both run code of the game's types
            what, why = kind.misfit(event, reference) or (kind.name, "it cannot be encoded")
            self._complain(kind, what, why)
            return None
        data = encode((number, Raw(wire)))
        most = EVENT_BYTES if emission.reliable else LOOSE_BYTES
        if len(data) > most:
            which = "an event" if emission.reliable else "one with reliable=False"
            self._complain(
                kind, kind.name, f"it takes {len(data):,} bytes, and {which} {most:,} at most"
            )
            return None
        self._count += 1
        return _Event(emission, number, self._count, about, nets, data)

    def _complain(self, kind: EventType, what: str, why: str) -> None:
        """Log an event that is dropped, once for each type and field."""
        key = kind.cls, what.partition(": ")[0]
        if key not in self._complained:
            self._complained.add(key)
            because = f": {why}" if why else ""
            log.error("%s%s; the event is dropped, and others like it", what, because)

    # Who gets what.

    def _route(self, event: _Event, about: Entity | None, newcomers: Collection[int]) -> None:
        """Lay an event before those who may get it."""
        emission = event.emission
        for player in newcomers:
            if emission.to is None or player in emission.to:
                self._for_newcomers.setdefault(player, []).append(event)
        if emission.to is not None:
            for player in emission.to:
                self._for_one.setdefault(player, []).append(event)
        elif about is None:
            self._for_all.append(event)
        else:
            self._route_by_sight(event, about)

    def _route_by_sight(self, event: _Event, about: Entity) -> None:
        if about.net not in self._entities.by_net:
            self._for_all.append(event)  # nobody looks at the dead any more: whoever knew it
            return
        for group in self._groups.watchers.get(about.cell, ()):
            self._for_group.setdefault(group, []).append(event)
        if not self._players:
            self._players = {client.player: client.player_id for client in self._clients}
        owner = self._players.get(about.owner)
        if owner is not None:  # who sees it wherever it is
            self._for_one.setdefault(owner, []).append(event)

    def tell(self, client: ClientState, before: set[int]) -> None:
        """Queue what happened for a client, which was told just now of what enters its sight.

        Args:
            client: The client.
            before: What it knew before.
        """
        events = self._candidates(client)
        batch = self._uniform
        if batch is None or events is not self._for_all:
            batch = self._batch(self._copies(client, before, events))
        client.events_due += batch.reliable
        for message in batch.messages:
            batch.sent[client.player_id] = client.peer.queue(message)
        if batch.bodies:
            self.bodies[client] = batch.bodies

    def _copies(
        self, client: ClientState, before: set[int], events: list[_Event]
    ) -> tuple[_Copy, ...]:
        """Return those events that are for a client, as it may see them."""
        known = client.known
        copies: list[_Copy] = []
        for event in events:
            if client.player_id in event.emission.but:
                continue
            about = event.about
            if about and about not in known and about not in before:
                continue
            hidden = _NONE
            if event.nets:
                nets = event.nets.values()
                hidden = frozenset([n for n in nets if not (n in known or n in before)])
            copies.append(event.copy_for(hidden))
        return tuple(copies)

    def _candidates(self, client: ClientState) -> list[_Event]:
        """Return what may be for a client, in order."""
        if not (self._for_one or self._waiting or self._for_group):
            return self._for_all
        one = self._for_one.get(client.player_id)
        waiting = self._waiting.get(client.player_id)
        group = client.group
        seen = None if group is None else self._for_group.get(group)
        if not (one or waiting or seen):
            return self._for_all
        events = {*self._for_all, *(one or ()), *(waiting or ()), *(seen or ())}
        return sorted(events, key=_order)

    def _batch(self, copies: tuple[_Copy, ...]) -> _Batch:
        batch = self._batches.get(copies)
        if batch is None:
            reliable = [copy.data for copy in copies if copy.emission.reliable]
            loose = [copy.data for copy in copies if not copy.emission.reliable]
            batch = self._batches[copies] = _Batch(
                len(reliable),
                [
                    encode_events(self._epoch, self._tick, [Raw(data) for data in some])
                    for some in _filled(reliable, EVENT_BYTES)
                ],
                [
                    Raw(encode([Raw(data) for data in some]))
                    for some in _filled(loose, BODY_BYTES - _LIST_HEADER)
                ],
            )
            for copy in copies:
                if copy.emission.reliable:
                    copy.emission.sent_in(self._receivers, batch.sent)
        return batch


def _order(event: _Event) -> int:
    return event.order


def _filled(events: list[bytes], most: int) -> list[list[bytes]]:
    """Split events into lists of so many bytes at most, unless one is longer."""
    lists: list[list[bytes]] = []
    room = 0
    for data in events:
        if len(data) > room:
            lists.append([])
            room = most
        lists[-1].append(data)
        room -= len(data)
    return lists
