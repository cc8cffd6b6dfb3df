"""From changed entities to runs, and from runs to what fits a datagram.

A run is encoded once and shared by every client that sees its cell; it is also what the record
of a packet in flight lists, so a lost packet names what it carried.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final, TypeAlias

from msgspec import Raw

from ecsnet.replication.encoding import encode_ids, encode_run, encode_run_of
from ecsnet.replication.server.entities import Entity
from ecsnet.replication.wire import BODY_BYTES

Columns: TypeAlias = list[tuple[int, list[object]]]
"""Component ids, with the wire values of entities: what the shadows hold."""

INDEX_BITS: Final = 24
"""Of a tag of `SentUpdates`, for the bodies of one tick."""

_GUESS: Final = 64  # entities that a datagram holds, before anything is known of them
_TRIES: Final = 4  # to fill a datagram better

_SHORT_ARRAYS: Final = [bytes((0x90 | count,)) for count in range(16)]


class EncodedRun:
    """Whole entities with the same component types, encoded.

    Attributes:
        nets: The network ids of the entities.
        cids: The component types that it carries.
        data: The run, encoded.
        size: Bytes in that.
    """

    __slots__ = ("cids", "data", "nets", "size")

    def __init__(self, nets: list[int], cids: tuple[int, ...], data: bytes) -> None:
        self.nets = nets
        self.cids = cids
        self.data = data
        self.size = len(data)


class DatagramBody:
    """Runs that fill one datagram, ready to go into any number of packets.

    Attributes:
        runs: The runs.
        data: The runs, encoded one after the other.
        raw: The same as an array.
        tag: Names the body in `SentUpdates`, and the packets that carry it.
    """

    __slots__ = ("data", "raw", "runs", "tag")

    def __init__(self, runs: list[EncodedRun], data: bytes, tag: int) -> None:
        self.runs = runs
        self.data = data
        self.raw = Raw(array_header(len(runs)) + data)
        self.tag = tag

    @property
    def size(self) -> int:
        """Bytes in the array."""
        return len(self.raw)

    def with_runs_of(self, other: DatagramBody) -> Raw | None:
        """Return the runs of this and of another one, as an array; None where they do not fit into
        one datagram.
        """
        if self.size + len(other.data) > BODY_BYTES:
            return None
        return Raw(array_header(len(self.runs) + len(other.runs)) + self.data + other.data)


class SentUpdates:
    """The bodies in the updates of the last seconds, by the tags of their packets. A tag holds the
    tick, so that the oldest packet in flight tells it.
    """

    __slots__ = ("_bodies", "_by_tick", "_tick")

    def __init__(self) -> None:
        self._by_tick: dict[int, list[list[EncodedRun]]] = {}
        self._tick = 0
        self._bodies: list[list[EncodedRun]] = []  # of that tick

    def __len__(self) -> int:
        return len(self._by_tick)

    def begin(self, tick: int) -> None:
        """Begin the update of a tick."""
        self._tick = tick
        self._bodies = []

    def settle(self, oldest: int) -> None:
        """Forget the updates before a tick: all clients have them, or were found not to."""
        by_tick = self._by_tick
        while by_tick and (first := next(iter(by_tick))) < oldest:
            del by_tick[first]

    def fill_datagrams(self, runs: list[EncodedRun]) -> list[DatagramBody]:
        """Fill datagrams of this tick with runs, in order."""
        if not runs:
            return []
        data = b"".join([run.data for run in runs])
        if len(data) <= BODY_BYTES:  # as it is for most
            return [self._add(runs, data)]
        bodies: list[DatagramBody] = []
        first = start = end = 0  # the first run of a datagram, its data, the end of that
        for at, run in enumerate(runs):
            length = len(run.data)
            if at > first and end + length - start > BODY_BYTES:
                bodies.append(self._add(runs[first:at], data[start:end]))
                first, start = at, end
            end += length
        bodies.append(self._add(runs[first:], data[start:]))
        return bodies

    def extend(self, body: DatagramBody | None, runs: list[EncodedRun]) -> DatagramBody | None:
        """Fill a datagram of this tick with the runs of a body, or none, and more; None where they
        do not fit.
        """
        data = runs[0].data if len(runs) == 1 else b"".join([run.data for run in runs])
        if body is not None:
            data = body.data + data
            runs = body.runs + runs
        return self._add(runs, data) if len(data) <= BODY_BYTES else None

    def _add(self, runs: list[EncodedRun], data: bytes) -> DatagramBody:
        known = self._bodies
        if not known:
            self._by_tick[self._tick] = known
        tag = self._tick << INDEX_BITS | len(known)
        known.append(runs)
        return DatagramBody(runs, data, tag)

    def runs(self, tag: int) -> list[EncodedRun]:
        """Return what a packet carried."""
        return self._by_tick[tick_of(tag)][tag & (1 << INDEX_BITS) - 1]


def tick_of(tag: int) -> int:
    """Return the tick in a tag of `SentUpdates`."""
    return tag >> INDEX_BITS


def bits_of(cids: Iterable[int]) -> int:
    """Return component ids as a bit set."""
    bits = 0
    for cid in cids:
        bits |= 1 << cid
    return bits


def array_header(count: int) -> bytes:
    """Return the head of a MessagePack array of up to 65,535 elements."""
    return _SHORT_ARRAYS[count] if count < 16 else b"\xdc" + count.to_bytes(2, "big")


def make_runs(nets: list[int], cids: tuple[int, ...], columns: Columns) -> list[EncodedRun]:
    """Encode sorted entities into runs that fill a datagram each, as nearly as whole ones can.

    An entity that does not fit one by itself comes as a run larger than `BODY_BYTES`.
    """
    mean = BODY_BYTES / _GUESS
    if len(nets) <= _GUESS:
        data = encode_run(nets, columns)
        if len(data) <= BODY_BYTES or len(nets) == 1:
            return [EncodedRun(nets, cids, data)]
        mean = len(data) / len(nets)
    runs: list[EncodedRun] = []
    start = 0
    while start < len(nets):
        count, data = _fill(nets, columns, start, mean)
        mean = len(data) / count
        runs.append(EncodedRun(nets[start : start + count], cids, data))
        start += count
    return runs


class _Cut:
    """The part of a batch that goes into one run.

    Attributes:
        start: Its first entity, by its place in the batch.
        end: The first one behind it.
        nets: The network ids.
        ids: The same, encoded.
        size: Bytes of the run when it was cut.
    """

    __slots__ = ("end", "ids", "nets", "size", "start")

    def __init__(self, start: int, run: EncodedRun) -> None:
        self.start = start
        self.end = start + len(run.nets)
        self.nets = run.nets
        self.ids = encode_ids(run.nets)
        self.size = run.size


class Batch:
    """Many entities of a cell with new values of the same component types. Mostly all of them
    change again, so what depends on their ids alone is kept: sorting and encoding ids, which tell
    nothing, takes longer than encoding values.

    Args:
        found: The entities.

    Attributes:
        found: The same, in that order.
        entities: The same, by their network ids.
        nets: These ids.
    """

    __slots__ = ("_cuts", "entities", "found", "nets")

    def __init__(self, found: list[Entity]) -> None:
        self.found = found
        self.entities = sorted(found, key=attrgetter("net"))
        self.nets = [entity.net for entity in self.entities]
        self._cuts: list[_Cut] = []

    def encode(self, cids: tuple[int, ...], columns: Columns) -> list[EncodedRun]:
        """Encode new values as `make_runs` does, into the runs of the last time where these fill
        their datagrams still.

        Args:
            cids: The component types, the same each time.
            columns: The values, in the order of `entities`.
        """
        cuts = self._cuts
        runs: list[EncodedRun] = []
        shrunk = 0
        for cut in cuts:
            part = [(cid, values[cut.start : cut.end]) for cid, values in columns]
            run = EncodedRun(cut.nets, cids, encode_run_of(cut.ids, part))
            if run.size > BODY_BYTES:
                break
            shrunk += cut.size - run.size
            runs.append(run)
        if shrunk >= BODY_BYTES:  # fewer datagrams may do
            runs = []
        del cuts[len(runs) :]
        start = cuts[-1].end if cuts else 0
        if start < len(self.nets):
            rest = [(cid, values[start:]) for cid, values in columns]
            for run in make_runs(self.nets[start:], cids, rest):
                cuts.append(_Cut(start, run))
                runs.append(run)
                start += len(run.nets)
        return runs


def _fill(nets: list[int], columns: Columns, start: int, mean: float) -> tuple[int, bytes]:
    """Encode as many entities from ``start`` on as fit a datagram, or one that does not.

    Where they all take about as much as ``mean``, the first try is the last one. Where they do not,
    a few more close in on what fits.

    Returns:
        How many they are, and their run.
    """
    left = len(nets) - start
    fitting, best = 0, b""
    excess = left + 1  # so many do not fit, as far as that is known
    count = min(left, max(1, int(BODY_BYTES / mean)))
    tries = 0
    while True:
        end = start + count
        data = encode_run(nets[start:end], [(cid, values[start:end]) for cid, values in columns])
        tries += 1
        if len(data) <= BODY_BYTES or count == 1:
            fitting, best = count, data
            if BODY_BYTES - len(data) < len(data) // count:  # no room for another such one
                return fitting, best
        else:
            excess = count
        if excess - fitting <= 1 or (fitting and tries >= _TRIES):
            return fitting, best
        count = min(excess - 1, max(fitting + 1, count * BODY_BYTES // len(data)))
