"""What a server told, and what is drawn of it when, for the tests of what lies between values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from ecsnet.replication.client.playout_buffer import PlayoutBuffer
from ecsnet.replication.client.store import Store
from ecsnet.replication.encoding import deltas, encode_run, encode_structure
from ecsnet.replication.wire import U32, Events, Structure, Update, WireFormat, encode_part
from ecsnet.schema import Gate, Quantized, Registry, Turn, encode, event, replicated, use_registry

with use_registry(Registry()) as registry:

    @replicated(interpolate=True)
    class Place:
        x: float = 0.0

    @replicated(interpolate=True, snap=10)
    class Ghost:
        x: float = 0.0
        y: Annotated[float, Quantized(0.5)] = 0.0

    @replicated(interpolate=True, rate=4)
    class Slow:
        x: float = 0.0

    @replicated(interpolate=True)
    class Dial:
        angle: Annotated[float, Turn(360)] = 0.0
        hp: int = 0

    @replicated
    class Tank:
        hp: int = 10

    @replicated
    class Jumps:
        count: int = 0

    @event
    class Boom:
        size: int = 0


SCHEMA = registry.schema()
CID = SCHEMA.cid_of
EPOCH = 77

Run = tuple[Sequence[int], type, Sequence[Sequence[object]]]
"""Network ids, the type of a component, and its fields on the wire for each of them."""


class Playing:
    """A store that is told, and the buffer in front of the one that is drawn.

    Args:
        interval: Ticks from one update to the next.
        start: The tick at which the client came.
    """

    def __init__(self, interval: int = 1, start: int = 0) -> None:
        wire = WireFormat(SCHEMA)
        self._structures: Gate[Structure[object]] = Gate(wire.structure, 1 << 20)
        self._events: Gate[Events[object]] = Gate(wire.events, 1 << 20)
        self._updates = wire.update
        self.told = Store(wire, EPOCH, start, drawn=False)
        self.buffer = PlayoutBuffer(self.told, interval, CID[Jumps])
        self.number = 0

    @property
    def drawn(self) -> Store:
        return self.buffer.store

    def update(
        self,
        tick: int,
        *runs: Run,
        part: tuple[int, int, int] = (0, 1, 0),
        unconfirmed: int = 9,
        depends: int | None = None,
        events: Sequence[int] = (),
    ) -> None:
        """A datagram; ``part`` is its index, how many there are, and flags."""
        head = (EPOCH, tick & U32, unconfirmed, self.number if depends is None else depends)
        body = [(deltas(nets), [(CID[cls], values)]) for nets, cls, values in runs]
        data = encode((*head, encode_part(*part), None, body, [[0, [size]] for size in events]))
        update: Update[object, object] | None = self._updates.decode(data)
        assert update is not None
        assert self.told.update(update, len(data))
        self.buffer.update(update, len(data))

    def structure(
        self,
        tick: int,
        *runs: Run,
        despawned: Sequence[int] = (),
        hidden: Sequence[int] = (),
        removed: Sequence[tuple[type, int]] = (),
        number: int | None = None,
    ) -> None:
        self.number = self.number + 1 if number is None else number
        sets = [msgspec.Raw(encode_run(nets, [(CID[cls], values)])) for nets, cls, values in runs]
        taken = [(CID[cls], [net]) for cls, net in removed]
        raw = encode_structure(EPOCH, tick, list(despawned), list(hidden), taken, sets)
        message = self._structures.decode(raw)
        assert message is not None
        assert self.told.structure(self.number, message, len(raw))
        self.buffer.structure(self.number, message, len(raw))

    def happen(self, tick: int, *sizes: int, size: int = 40) -> None:
        self.number += 1
        message = self._events.decode(
            encode([18, EPOCH, tick & U32, [[0, [size]] for size in sizes]])
        )
        assert message is not None
        assert self.told.happened(message, size)
        self.told.passed(self.number)
        self.buffer.happened(message, size)
        self.buffer.passed(self.number)

    def place(self, tick: int, x: float | None, net: int = 1, **options: object) -> None:
        """An update with where something is; None where it does not say."""
        runs: list[Run] = [] if x is None else [([net], Place, [[x]])]
        self.update(tick, *runs, **options)  # type: ignore[arg-type]

    def draw(self, tick: float, cls: type = Place, net: int = 1) -> tuple[object, ...] | None:
        """Go on to a tick; returns the fields of a component as they are drawn."""
        blends = self.buffer.play(tick)
        record = self.drawn.entities.get(net)
        cid = CID[cls]
        if record is None or cid not in record.values:
            return None
        kind = SCHEMA.components[cid]
        made = kind.clone(kind.from_wire(record.values[cid], lambda ref: ref))
        if (net, cid) in blends:
            kind.blend(made, *blends[net, cid])
        return msgspec.structs.astuple(made)  # type: ignore[arg-type]

    def x(self, tick: float, net: int = 1) -> float | None:
        drawn = self.draw(tick, net=net)
        return None if drawn is None else float(drawn[0])  # type: ignore[arg-type]
