"""The client's half, first part: what the server last said.

The store holds a wire value and its tick for each (entity, component) and takes packets in any
order: the newest value wins, a value that depends on structure still on its way waits for it,
and one for what the client does not know is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import inf
from typing import Literal, TypeAlias

import msgspec

from ecsnet.replication.client.event_queue import EventQueue, ReceivedEvent
from ecsnet.replication.sizes import CONTAINER_BYTES
from ecsnet.replication.wire import (
    MESSAGE_BYTES,
    STRUCTURE_BYTES,
    Column,
    Events,
    Report,
    Run,
    Structure,
    Update,
    WireFormat,
)
from ecsnet.schema import TOO_MANY, ComponentType, Contents, encode
from ecsnet.session.sequence import unwrap

WAITING_BYTES = 1 << 20
"""About how much may wait for structure before the client asks for everything again."""

ENTITIES = 32_768
"""The most entities that a client keeps."""

COMPONENTS = 10 * ENTITIES
"""The most components of them that it keeps."""

CONTENT_BYTES = 16 << 20
"""About how many bytes these may take: as many as on the wire, `CONTAINER_BYTES` for each container
within a component, and `ITEM_BYTES` for each item. In memory that is up to twenty times as much."""

ITEM_BYTES = 4
"""The bytes that each field, and each item of a container in one, counts beside its encoding."""

MESSAGE_PARTS = 131_072
"""The most ids and values in one structural message."""

MESSAGE_ENTITIES = STRUCTURE_BYTES // 2
"""The most entities in one message: each takes an id and a value, of a byte or more."""

DEPARTING = 4096
"""The most entities that stay for the events before their end."""

Why: TypeAlias = Literal["despawned", "hidden"]
"""The reason why an entity goes: it is gone on the server, or only out of sight."""

LAST_ID = 2**53
"""The greatest network id."""

_EVENT_WORK = 8  # what an event takes, in values of an update
_MESSAGE_WORK = 25  # what a message takes, in values of an update
_STRUCTURE_WORK = 4  # what a part of a structural message takes
_ITEMS_A_VALUE = 16  # of a container, converted one by one
_KEY_BYTES = 100  # what a waiting value costs beside its content
_RECOUNT_BYTES = CONTENT_BYTES // 4
_RECOUNTED_AT_ONCE = 2000  # entities


class EntityState(msgspec.Struct, gc=False):
    """An entity as the server last described it, by component id.

    The garbage collector need not look at one: nothing within refers to it.
    """

    values: dict[int, object] = {}
    ticks: dict[int, int] = {}
    since: int = -1
    """The tick in which it came into sight."""


class Store:
    """Confirmed state of one connection.

    Args:
        wire: The gates and types of the schema.
        epoch: The simulation that the server put us in; what names another is dropped.
        tick: The server's tick when it did.
        waiting_bytes: The bound for values that wait for structure.
        number: The message by which it did. What depends on an earlier one is of an earlier stay,
            in this simulation or in another, and is dropped.
        drawn: Whether the view shows it. Another one keeps no events.
        predicting: Whether the server may say in every update what the player owns.
    """

    def __init__(
        self,
        wire: WireFormat,
        epoch: int,
        tick: int = 0,
        waiting_bytes: int = WAITING_BYTES,
        *,
        number: int = 0,
        drawn: bool = True,
        predicting: bool = False,
    ) -> None:
        self.predicting = predicting
        self.wire = wire
        self.epoch = epoch
        self.tick = tick
        """The newest tick that a packet was of."""
        self.held = False
        """No systems ran in that tick, but for those that always do."""
        self.confirmed_tick = 0
        """The values of all ticks up to this one have arrived."""
        self.structured = number
        """The last structural message that was applied."""
        self.report: Report | None = None
        self.entities: dict[int, EntityState] = {}
        self.dirty: dict[int, set[int]] = {}
        """The changes since the view was last brought up to date: component ids by entity."""
        self.went: dict[int, Why] = {}
        """The reasons why entities left since then."""
        self.events = EventQueue()
        """The events that were not handed out."""
        self.resync = False
        """Set when waiting values had to be dropped: the server must send everything again."""
        self.asked = 0
        """Resyncs that the server was asked for and has not answered."""
        self.dropped = 0
        """Messages that named another simulation or did not make sense."""

        self.work = 0
        """Ids and values looked at so far, and some for each message: a measure of time."""
        self.taken = 0
        """Bytes of all that it was told so far, counted as those that it keeps are."""
        self.overload: str | None = None
        """Set when the server says more than a client keeps: how much of what."""

        # The types whose values are said again though they have not changed.
        self._repeated = frozenset(
            [
                cid
                for cid, kind in enumerate(wire.schema.components)
                if kind.repeated or (predicting and kind.predicted)
            ]
        )
        self._drawn = drawn
        self._number = number
        self._keys = 0  # components of all entities
        # What the values take is at most what was counted when all of them were encoded last, and
        # the bytes that came since then.
        self._counted = self._came = 0
        self._recount: list[int] | None = None  # entities that are still to be counted
        self._recounted = self._came_meanwhile = 0
        self._first_depends = inf  # the least that an update depended on
        self._trusted = 0  # updates that depend on less do not know of a resync
        # What goes behind events that the game was not given yet: why, and how many had come.
        self._departing: dict[int, tuple[Why, int]] = {}
        self._waiting: dict[tuple[int, int], tuple[int, int, object, int]] = {}
        self._waiting_bytes = 0
        self._waiting_limit = waiting_bytes

    @property
    def introduced(self) -> bool:
        """True if all structure that the first update depends on was applied. The player's own
        entity comes with it, if there is one.
        """
        return self.structured >= self._first_depends

    def update(self, update: Update[object, object], size: int) -> bool:
        """Apply a datagram's values; ``size`` is its length in bytes.

        Returns:
            Whether it made sense and was for this simulation.
        """
        parts = self._parts(update.runs)
        contents = self._contents(update.runs)
        size += _beside(contents)
        self._note(size, parts, _MESSAGE_WORK + parts + effort(*contents))
        sound = update.epoch == self.epoch and update.index < update.count
        runs = self._runs(update.runs) if sound else None
        if runs is None:
            self.dropped += 1
            return False
        tick = unwrap(update.tick, 32, self.tick)
        depends = unwrap(update.depends, 32, self.structured)
        if depends < self._number:
            return True
        if tick >= self.tick:
            self.tick = tick
            self.held = update.held
            if update.report is not None:
                self.report = update.report
        ready = depends <= self.structured
        self._first_depends = min(self._first_depends, depends)
        # While something waits, a key may show an older value than one that came: of each key
        # only the newest is kept, and that may depend on more.
        missing = self._waiting or self.resync or self.asked
        if ready and depends >= self._trusted and not missing:
            self.confirmed_tick = max(self.confirmed_tick, tick - update.unconfirmed_ticks)
        count = 0
        for nets, columns in runs:
            count += len(nets) * len(columns)
            for cid, values in columns:
                for net, value in zip(nets, values, strict=True):
                    self._value(net, cid, tick, value)
        if not ready and count:
            self._wait(runs, tick, depends, size // count)
        if ready:  # or they come with their tick never
            self._happened(update.events, size, reliable=False)
        return True

    def structure(self, number: int, message: Structure[object], size: int = 0) -> bool:
        """Apply the structural message with this number in the reliable channel; ``size`` is its
        length in bytes.

        Returns:
            Whether it made sense and was for this simulation.
        """
        self.structured = number
        if not self._affordable(message, size):
            return True
        runs = self._runs(message.sets) if message.epoch == self.epoch else None
        if runs is None or not all(0 < net <= LAST_ID for nets, _ in runs for net in nets):
            self.dropped += 1
            return False
        if not (message.despawned or message.hidden or message.removed or runs):
            self.asked = max(0, self.asked - 1)
            self._trusted = number
        tick = unwrap(message.tick, 32, self.tick)
        for net in accumulate(message.despawned):
            self._forget(net, "despawned")
        for net in accumulate(message.hidden):
            self._forget(net, "hidden")
        for cid, ids in message.removed:
            for net in accumulate(ids):
                record = self.entities.get(net)
                if record is not None and record.ticks.pop(cid, None) is not None:
                    self._keys -= 1
                    del record.values[cid]
                    self._touch(net, cid)
        for nets, columns in runs:
            for net in nets:
                if net in self._departing:
                    self._remove(net, self._departing.pop(net)[0])
                if net not in self.entities:
                    self.entities[net] = EntityState(since=tick)
                    self.dirty.setdefault(net, set())
            for cid, values in columns:
                for net, value in zip(nets, values, strict=True):
                    ticks = self.entities[net].ticks
                    if cid not in ticks:
                        ticks[cid] = -1
                        self._keys += 1
                    self._value(net, cid, tick, value)
        self._release()
        self._check_kept()
        return True

    def happened(self, message: Events[object], size: int) -> bool:
        """Take the events of a message; ``size`` is its length in bytes.

        Returns:
            Whether they are of this simulation.
        """
        if message.epoch != self.epoch:
            self.dropped += 1
            return False
        self._happened(message.events, size, reliable=True)
        return True

    def passed(self, number: int) -> None:
        """Note a message of the reliable channel that is not structural."""
        self.structured = number
        self._release()

    def _runs(self, runs: Iterable[Run[object]]) -> list[tuple[list[int], list[Column]]] | None:
        """Return decoded runs as entities and columns; None when one contradicts itself."""
        result = []
        for run in runs:
            columns = self.wire.columns(run)
            if columns is None:
                return None
            result.append((run.entities(), columns))
        return result

    def _value(self, net: int, cid: int, tick: int, value: object) -> None:
        """Take over a value when its key is known and it is newer."""
        record = self.entities.get(net)
        if record is None:
            return
        known = record.ticks.get(cid)
        if known is None or tick <= known:
            return
        record.ticks[cid] = tick
        again = cid in self._repeated and cid in record.values and _same(record.values[cid], value)
        record.values[cid] = value
        if not again:
            self._touch(net, cid)

    def _touch(self, net: int, cid: int) -> None:
        dirty = self.dirty.get(net)
        if dirty is None:
            self.dirty[net] = {cid}
        else:
            dirty.add(cid)

    def depart(self) -> None:
        """To be called once a poll: let go what the server took away, where the game was given the
        events before that.
        """
        returned = self.events.returned
        for net, (why, events) in list(self._departing.items()):
            if events > returned:
                break
            del self._departing[net]
            self._remove(net, why)

    def _forget(self, net: int, why: Why) -> None:
        """Let an entity go, or let it stay for the events that came before."""
        events = self.events
        if events.came > events.returned and len(self._departing) < DEPARTING:
            if net in self.entities:
                self._departing.setdefault(net, (why, events.came))
        else:
            self._remove(net, why)

    def _remove(self, net: int, why: Why) -> None:
        record = self.entities.pop(net, None)
        if record is not None:
            self._keys -= len(record.ticks)
            self.dirty.setdefault(net, set()).update(record.values)
            self.went[net] = why

    def _happened(self, events: Sequence[object], size: int, *, reliable: bool) -> None:
        self.work += _EVENT_WORK * len(events)
        for decoded in events:
            kind, wire = self.wire.event(decoded)
            held = kind.held(wire)
            self.work += effort(*held)
            share = size // len(events) + _beside(held)
            self.taken += share
            if self._drawn:
                self.events.add(ReceivedEvent(kind, wire, share, reliable))

    # What may be kept and done. All of it is looked at before an id becomes anything.

    def _affordable(self, message: Structure[object], size: int) -> bool:
        """Return whether there is room for all that a message may bring."""
        parts = len(message.despawned) + len(message.hidden) + self._parts(message.sets)
        parts += sum([len(ids) for _, ids in message.removed])
        if parts > MESSAGE_PARTS:
            self.overload = f"a message has {parts:,} ids and values, at most {MESSAGE_PARTS:,} fit"
            return False
        contents = self._contents(message.sets)
        if size + CONTAINER_BYTES * contents.containers > MESSAGE_BYTES:
            self.overload = (
                f"a message of {size:,} bytes has {contents.containers:,} containers or more, and"
                f" with {CONTAINER_BYTES} bytes for each at most {MESSAGE_BYTES:,} fit"
            )
            return False
        work = _STRUCTURE_WORK * parts + effort(*contents)
        self._note(size + _beside(contents), parts, _MESSAGE_WORK + work)
        named = sum([len(run.ids) for run in message.sets])
        if named > min(MESSAGE_ENTITIES, ENTITIES - len(self.entities)):
            news = {net for run in message.sets for net in run.entities()} - self.entities.keys()
            if len(news) > MESSAGE_ENTITIES:
                self.overload = (
                    f"a message brings {len(news):,} entities, at most {MESSAGE_ENTITIES:,} fit"
                )
            elif len(self.entities) + len(news) > ENTITIES:
                self.overload = f"the server shows more than {ENTITIES:,} entities"
        return self.overload is None

    @staticmethod
    def _parts(runs: Iterable[Run[object]]) -> int:
        return sum([len(run.ids) * (1 + len(run.columns)) for run in runs])

    def _contents(self, runs: Iterable[Run[object]]) -> Contents:
        """Count what values hold, as far as `TOO_MANY` containers."""
        containers = items = 0
        for run in runs:
            found = self.wire.contents(run)
            containers += found.containers
            items += found.items
            if containers > TOO_MANY:
                break
        return Contents(containers, items)

    def _note(self, size: int, parts: int, work: int) -> None:
        self.work += work
        self.taken += size
        if parts:
            self._came += size
            self._came_meanwhile += size

    def recount(self) -> None:
        """To be called once a poll: goes on counting what is kept, where much came since it was
        counted last.
        """
        if self._recount is None:
            if self._came < _RECOUNT_BYTES:
                return
            self._recount = list(self.entities)
            self._recounted = self._came_meanwhile = 0
        now = self._recount[-_RECOUNTED_AT_ONCE:]
        del self._recount[-_RECOUNTED_AT_ONCE:]
        for net in now:
            record = self.entities.get(net)
            if record is not None:
                self._recounted += len(encode(record.values))
                for cid, value in record.values.items():
                    self._recounted += _beside(self.wire.schema.components[cid].held(value))
        if not self._recount:
            self._recount = None
            self._counted, self._came = self._recounted, self._came_meanwhile
        self._check_kept()

    def _check_kept(self) -> None:
        if self._keys > COMPONENTS:
            self.overload = f"the server shows more than {COMPONENTS:,} components"
        elif self._counted + self._came > CONTENT_BYTES:
            self.overload = (
                f"what the server shows takes more than {CONTENT_BYTES >> 20} MiB, with"
                f" {CONTAINER_BYTES} bytes for each container and {ITEM_BYTES} for each item"
            )

    # Values that came before the structure they depend on. They are applied at once where
    # their key is known, and again when the structure is there: it may take the key away and
    # bring it back with an older value.

    def _wait(
        self,
        runs: Iterable[tuple[list[int], list[Column]]],
        tick: int,
        depends: int,
        cost: int,
    ) -> None:
        waiting = self._waiting
        cost += _KEY_BYTES
        for net, cid, value in _flat(runs):
            key = (net, cid)
            older = waiting.get(key)
            if older is not None:
                if older[1] >= tick:
                    continue
                self._waiting_bytes -= older[3]
            waiting[key] = (depends, tick, value, cost)
            self._waiting_bytes += cost
        if self._waiting_bytes > self._waiting_limit:
            self._waiting.clear()
            self._waiting_bytes = 0
            self.resync = True

    def _release(self) -> None:
        if not self._waiting:
            return
        ready = [key for key, (depends, *_) in self._waiting.items() if depends <= self.structured]
        for key in ready:
            _, tick, value, cost = self._waiting.pop(key)
            self._waiting_bytes -= cost
            self._value(*key, tick, value)


def effort(containers: int, items: int) -> int:
    """Return the work of making values that hold so much, in values that hold little."""
    return containers + items // _ITEMS_A_VALUE


def effort_of(kind: ComponentType, wire: object) -> int:
    """Return the work of making one value, beyond the least of its type."""
    return 0 if kind.count is None else effort(*kind.count(wire))


def _same(one: object, other: object) -> bool:
    """Return whether two wire values are equal; False where comparing them raises."""
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - of the code of a type of the game's
        return False


def _beside(contents: Contents) -> int:
    """Return the bytes that values count beside their encoding."""
    return CONTAINER_BYTES * contents.containers + ITEM_BYTES * contents.items


def _flat(runs: Iterable[tuple[list[int], list[Column]]]) -> Iterator[tuple[int, int, object]]:
    for nets, columns in runs:
        for cid, values in columns:
            for net, value in zip(nets, values, strict=True):
                yield net, cid, value
