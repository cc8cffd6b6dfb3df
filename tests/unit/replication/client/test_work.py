"""What it counts as work to take events in: a poll does so much and no more."""

from __future__ import annotations

from ecsnet.replication.client.store import Store
from ecsnet.replication.wire import Events, WireFormat
from ecsnet.schema import Gate, Registry, encode, event, use_registry

with use_registry(Registry()) as registry:

    @event
    class Ping:
        number: int = 0


EPOCH = 7


def work_of(count: int) -> int:
    """The work of one message with so many events."""
    wire = WireFormat(registry.schema())
    gate: Gate[Events[object]] = Gate(wire.events, 1 << 20)
    store = Store(wire, EPOCH, 1, 1 << 20)
    message = gate.decode(encode((18, EPOCH, 2, [(0, [n]) for n in range(count)])))
    assert message is not None
    before = store.work
    store.happened(message, 10 * count)
    return store.work - before


def test_each_event_is_work_as_some_values_are() -> None:
    one, ten, hundred = map(work_of, (1, 10, 100))
    assert (ten - one) / 9 == (hundred - ten) / 90 >= 8
