"""The work that it is to take something in: a poll does so much and no more."""

from __future__ import annotations

import pytest

from ecsnet.replication.client.store import Store, effort
from ecsnet.replication.encoding import deltas
from ecsnet.replication.wire import Events, Structure, WireFormat
from ecsnet.schema import Gate, Registry, encode, event, replicated, use_registry

with use_registry(Registry()) as registry:

    @event
    class Ping:
        number: int = 0

    @event
    class Said:
        words: list[int] = []

    @replicated
    class Bag:
        items: list[int] = []

    @replicated
    class Tank:
        hp: int = 0


SCHEMA = registry.schema()
PING, SAID = (
    next(number for number, kind in enumerate(SCHEMA.events) if kind.cls is cls)
    for cls in (Ping, Said)
)
EPOCH = 7


@pytest.fixture
def store() -> Store:
    return Store(WireFormat(SCHEMA), EPOCH, 1, 1 << 20)


def happen(store: Store, *events: object, size: int = 100) -> int:
    """Take one message with events; returns the work of it."""
    gate: Gate[Events[object]] = Gate(store.wire.events, 1 << 20)
    message = gate.decode(encode((18, EPOCH, 2, events)))
    assert message is not None
    before = store.work
    assert store.happened(message, size)
    return store.work - before


def structure(store: Store, *runs: object, despawned: object = ()) -> int:
    """Take one structural message; returns the work of it."""
    gate: Gate[Structure[object]] = Gate(store.wire.structure, 1 << 20)
    message = gate.decode(encode((16, EPOCH, 2, despawned, [], [], runs)))
    assert message is not None
    before = store.work
    assert store.structure(1, message, 100)
    return store.work - before


def update(store: Store, *runs: object) -> int:
    """Take one datagram; returns the work of it."""
    decoded = store.wire.update.decode(encode((EPOCH, 2, 0, 0, 0, None, runs)))
    assert decoded is not None
    before = store.work
    assert store.update(decoded, 100)
    return store.work - before


def run(nets: list[int], cls: type, *values: object) -> object:
    return deltas(nets), [(SCHEMA.cid_of[cls], [[value] for value in values])]


def test_each_event_is_work_as_some_values_are(store: Store) -> None:
    one, ten, hundred = (
        happen(store, *[(PING, [n]) for n in range(count)]) for count in (1, 10, 100)
    )
    assert (ten - one) / 9 == (hundred - ten) / 90 == 8


def test_what_is_in_an_event_is_work_too(store: Store) -> None:
    empty = happen(store, (SAID, [[]]))
    assert happen(store, (SAID, [[1] * 160])) == empty + 10


def test_an_event_takes_its_share_of_the_message_and_what_is_in_it(store: Store) -> None:
    """Sixteen bytes for each container, and four for each field and item."""
    happen(store, *[(SAID, [[1, 2, 3]])] * 10, size=1000)
    assert store.taken == 10 * (100 + 16 + 4 * (1 + 3))
    assert [event.size for event in store.events._waiting] == [store.taken / 10] * 10


def test_a_datagram_is_work_though_it_says_nothing(store: Store) -> None:
    assert update(store) == 25


def test_a_structural_message_is_more_work_than_an_update(store: Store) -> None:
    """Of each entity there is its id and its values."""
    assert structure(store, despawned=[5, 1]) == 25 + 4 * 2
    assert structure(store, run([1, 2, 3], Tank, 7, 7, 7)) == 25 + 4 * 3 * 2
    assert update(store, run([1, 2, 3], Tank, 7, 7, 7)) == 25 + 3 * 2


def test_what_is_in_values_is_work_too(store: Store) -> None:
    empty = structure(store, run([1], Bag, []))
    assert structure(store, run([1], Bag, [1] * 160)) == empty + 10
    empty = update(store, run([1], Bag, []))
    assert update(store, run([1], Bag, [1] * 160)) == empty + 10


def test_a_container_and_sixteen_items_are_work_as_one_value() -> None:
    assert [effort(0, items) for items in (15, 16, 31, 32)] == [0, 1, 1, 2]
    assert effort(3, 32) == 5
