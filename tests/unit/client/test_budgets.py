"""What a server may make a client keep and do has bounds: beyond them it is left, with a reason."""

from __future__ import annotations

import logging
import tracemalloc
from collections.abc import Iterator
from typing import Annotated

import esper
import msgspec
import pytest

import ecsnet.client.protocol
import ecsnet.replication.client.references
import ecsnet.replication.client.store
from ecsnet.client.connection import DATAGRAMS_WAITING
from ecsnet.client.protocol import WORK_A_POLL
from ecsnet.messages.joining import Welcome
from ecsnet.notifications import Changed, Connected, Disconnected, Refused, Spawned
from ecsnet.replication.client.store import (
    COMPONENTS,
    CONTENT_BYTES,
    ENTITIES,
    ITEM_BYTES,
    MESSAGE_ENTITIES,
    Store,
)
from ecsnet.replication.client.view import PARTS_AT_ONCE
from ecsnet.replication.sizes import MENTIONS_OF_ONE
from ecsnet.replication.wire import Resync
from ecsnet.schema import (
    EntityRef,
    Quantized,
    Registry,
    encode,
    register_type,
    replicated,
    use_registry,
)
from ecsnet.server.world import ServerWorld
from ecsnet.session.channel import FRAGMENT_BYTES
from ecsnet.session.goodbye import Reason
from ecsnet.testing import Harness
from tests.unit.hostile_server import HostileServer, is_over, run_of

with use_registry(Registry()) as registry:

    @replicated
    class Empty:
        pass

    @replicated
    class Tank:
        hp: int = 10

    @replicated
    class Bag:
        items: list[int] = []

    @replicated
    class Follows:
        others: list[EntityRef] = []

    class Slot(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
        items: list[int] = []

    class Label:
        def __init__(self, number: int) -> None:
            self.number = number

    register_type(Label, int, lambda label: label.number, Label)

    @replicated
    class Groups:
        of: list[list[EntityRef]] = []

    @replicated
    class Shelves:
        by_name: dict[str, list[int]] = {}

    @replicated
    class Slots:
        slots: list[Slot] = []

    @replicated
    class Rows:
        rows: tuple[tuple[int, ...], ...] = ()

    @replicated
    class Deep:
        deep: list[list[list[int]]] = []

    @replicated
    class Perhaps:
        pairs: list[tuple[int, int] | None] = []

    @replicated
    class Labels:
        labels: list[Label] = []

    @replicated
    class Words:
        words: list[str] = []

    @replicated
    class Tables:
        tables: list[dict[int, int]] = []

    Wide: type = replicated(
        type("Wide", (), {"__annotations__": {f"f{number}": int for number in range(200)}})
    )

    @replicated
    class Steps:
        steps: list[Annotated[float, Quantized(0.5)]] = []


CID = registry.schema().cid_of


@pytest.fixture
def server() -> Iterator[HostileServer]:
    made = HostileServer(registry)
    made.welcome()
    assert made.client.connected
    yield made
    made.close()


def store_of(server: HostileServer) -> Store:
    store = server.client._protocol.store
    assert store is not None
    return store


def shown(server: HostileServer, cls: type) -> int:
    with server.client.view:
        return len(esper.get_component(cls))


def until_over(server: HostileServer, polls: int = 60) -> object:
    events: list[object] = []
    for _ in range(polls):
        events += server.poll()
        if server.client.closed:
            assert is_over(events[-1])
            return events[-1]
    raise AssertionError("it goes on")


def structure(
    *runs: object, despawned: object = (), hidden: object = (), removed: object = ()
) -> bytes:
    return encode((16, 7, 101, despawned, hidden, removed, runs))


MILLION = [1] * 1_000_000
HALF = [1] * 500_000
MANY: list[object] = [[]] * 1_000_000


def content(cls: type, field: object) -> bytes:
    """One entity with one component of one field."""
    return structure(([1], [(CID[cls], [[field]])]))


TOO_MUCH: dict[str, tuple[bytes, str]] = {
    "a million ids and no column": (structure((MILLION, [])), "ids and values"),
    "half a million entities": (structure((HALF, [(CID[Empty], [[]] * len(HALF))])), "ids and"),
    "a million despawned": (structure(despawned=MILLION), "ids and values"),
    "a million out of sight": (structure(hidden=MILLION), "ids and values"),
    "a million removals": (structure(removed=[(0, MILLION)]), "ids and values"),
    "many runs of many ids": (structure(*[([1] * 5000, [])] * 100), "ids and values"),
    "more entities than a piece holds": (
        structure(([1] * 9000, [(CID[Empty], [[]] * 9000)])),
        f"9,000 entities, at most {MESSAGE_ENTITIES:,}",
    ),
    "a hundred thousand references": (
        structure(([1], [(CID[Follows], [[[5] * 100_000]])])),
        f"100,000 references, at most {MENTIONS_OF_ONE:,}",
    ),
}


@pytest.mark.parametrize("message", TOO_MUCH)
def test_what_one_message_may_bring_is_looked_at_before_it_is_expanded(
    server: HostileServer, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    data, says = TOO_MUCH[message]
    server.say(data)
    tracemalloc.start()
    try:
        event = until_over(server)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert event == Disconnected("overload")
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.getMessage().startswith("disconnected: overload: too much to keep: ")
    assert says in warning.getMessage()
    assert server.goodbye is Reason.OVERLOAD
    assert len(store_of(server).entities) <= 1
    assert peak < 48 << 20


TOO_DEEP: dict[str, bytes] = {
    "a million lists of references": content(Groups, MANY),
    "lists in a dict": content(Shelves, {str(number): [] for number in range(100_000)}),
    "Structs with a list each, left out": content(Slots, MANY),
    "tuples of one": content(Rows, [[1]] * 300_000),
    "lists in many lists": content(Deep, MANY),
    "lists in one list in a list": content(Deep, [MANY]),
    "pairs": content(Perhaps, [[1, 1]] * 300_000),
    "values that code of the game's makes": content(Labels, MILLION),
    "a few containers in each of many entities": structure(
        ([1] * 1000, [(CID[Groups], [[[[]] * 90]] * 1000)])
    ),
}


@pytest.mark.parametrize("message", TOO_DEEP)
def test_what_is_in_a_value_is_counted_before_it_is_expanded(
    server: HostileServer, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.say(TOO_DEEP[message])
    tracemalloc.start()
    try:
        event = until_over(server)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert event == Disconnected("overload")
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.getMessage().startswith("disconnected: overload: too much to keep: ")
    assert "containers or more" in warning.getMessage()
    assert server.goodbye is Reason.OVERLOAD
    assert store_of(server).entities == {}
    assert kept < 2 << 20
    assert peak < 112 << 20  # as much as the decoding takes


def test_a_message_with_more_runs_than_may_be_is_senseless(server: HostileServer) -> None:
    server.say(structure(*[([1], [])] * 200_000))
    for _ in range(20):
        server.poll()
    assert server.client._connection.peer.session.budget.strikes == 1
    assert store_of(server).entities == {}


def test_entities_over_time(server: HostileServer) -> None:
    """Many small messages, each of which any server may send."""
    net = 1
    while not server.client.closed:
        assert net < 2 * ENTITIES
        server.structure(run_of(registry, Empty, net, *[[]] * 1000))
        net += 1000
        server.poll()
    assert len(store_of(server).entities) == ENTITIES // 1000 * 1000
    assert server.goodbye is Reason.OVERLOAD


def test_as_many_entities_as_may_be_are_shown(server: HostileServer) -> None:
    net = 1
    while net <= ENTITIES:
        count = min(1000, ENTITIES + 1 - net)
        server.structure(run_of(registry, Tank, net, *[[3]] * count))
        net += count
        server.poll()
    for _ in range(20):
        server.poll()
    assert server.client.connected
    assert shown(server, Tank) == len(store_of(server).entities) == ENTITIES
    server.structure(run_of(registry, Tank, 5, [4]))  # known ones are no more
    server.poll()
    assert server.client.connected
    server.structure(run_of(registry, Tank, net, [3]))
    assert until_over(server) == Disconnected("overload")


def test_as_many_entities_as_a_message_may_bring_are_shown(server: HostileServer) -> None:
    server.say(structure(([1] * MESSAGE_ENTITIES, [(CID[Empty], [[]] * MESSAGE_ENTITIES)])))
    for _ in range(20):
        server.poll()
    assert len(store_of(server).entities) == MESSAGE_ENTITIES
    assert server.client.connected


def test_entities_that_go_make_room(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecsnet.replication.client.store, "ENTITIES", 100)
    monkeypatch.setattr(ecsnet.replication.client.store, "COMPONENTS", 250)
    for start in range(1, 3000, 100):
        bag = run_of(registry, Bag, start, *[[[1]]] * 100)
        server.structure(run_of(registry, Tank, start, *[[3]] * 100), bag)
        server.poll()
        server.structure(removed=[(CID[Bag], list(range(start, start + 50)))])
        server.poll()
        server.structure(despawned=list(range(start, start + 60)))
        server.structure(hidden=list(range(start + 60, start + 100)))
        server.poll()
    for _ in range(5):
        server.poll()
    assert server.client.connected
    assert store_of(server)._keys == len(store_of(server).entities) == 0


def test_components(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert COMPONENTS >= 5 * ENTITIES
    monkeypatch.setattr(ecsnet.replication.client.store, "COMPONENTS", 150)
    server.structure(run_of(registry, Tank, 1, *[[3]] * 100))
    server.structure(run_of(registry, Bag, 1, *[[[1]]] * 50))
    server.poll()
    assert store_of(server)._keys == 150
    assert server.client.connected
    server.structure(run_of(registry, Bag, 51, [[1]]))
    assert until_over(server) == Disconnected("overload")


def test_content_over_time(server: HostileServer) -> None:
    """A value of a megabyte for one entity after the other."""
    most = 0
    for net in range(1, 100):
        server.structure(run_of(registry, Bag, net, [[0] * 1_000_000]))
        for _ in range(12):
            server.poll()
        if server.client.closed:
            break
        most = net
    assert server.goodbye is Reason.OVERLOAD
    assert CONTENT_BYTES // 2 < most * 1_000_000 * (1 + ITEM_BYTES) <= CONTENT_BYTES


@pytest.mark.parametrize(
    ("cls", "field", "most"),
    [
        (Groups, [[]] * 8_000, 8),
        (Slots, [[]] * 4_000, 8),
        (Bag, [-32] * 40_000, 12),
        (Steps, [5] * 40_000, 12),
        (Words, ["ab"] * 30_000, 12),
        (Tables, [{-9: -10}] * 5_000, 20),
        (Wide, None, 12),
    ],
)
def test_what_content_takes_in_memory(
    server: HostileServer,
    cls: type,
    field: object,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As much as a client keeps, of what takes most room for its bytes."""
    limit = 2 << 20
    monkeypatch.setattr(ecsnet.replication.client.store, "CONTENT_BYTES", limit)
    monkeypatch.setattr(ecsnet.replication.client.store, "_RECOUNT_BYTES", limit // 4)
    values = [[field]] if cls is not Wide else [[-32] * 200] * 200
    server.structure(run_of(registry, Tank, 1, [1]))
    server.poll()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        peak = 0
        for net in range(2, 1000):
            server.structure(run_of(registry, cls, 10_000 * net, *values))
            for _ in range(4):
                server.poll()
            if server.client.closed:
                break
            peak = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert server.goodbye is Reason.OVERLOAD
    assert limit < peak < most * limit


def test_what_is_in_values_that_wait_is_counted(server: HostileServer) -> None:
    """Datagrams full of empty lists, each for another entity, that depend on what never comes."""
    store = store_of(server)
    tracemalloc.start()
    try:
        for net in range(1, 2000):
            server.tick += 1
            run = run_of(registry, Groups, net, [[[]] * 1_000])
            server.send((7, server.tick, 0, server.peer.queued + 9, 0, None, [run]))
            server.poll()
            if store.asked:
                break
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert store.asked == 1  # what waited was dropped
    assert 20 < net < 100
    assert kept < 8 << 20


def test_containers_are_shown_over_several_polls(server: HostileServer) -> None:
    parts = PARTS_AT_ONCE // 2
    server.structure(*[run_of(registry, Groups, net, [[[]] * parts]) for net in range(1, 8)])
    appeared = []
    while sum(appeared) < 7:
        assert len(appeared) < 10
        appeared.append(sum(isinstance(event, Spawned) for event in server.poll()))
    assert appeared == [1] * 7
    assert server.client.connected


def test_what_did_not_change_on_an_entity_is_no_work(server: HostileServer) -> None:
    count = 1000
    for start in range(1, count, 100):
        tanks = run_of(registry, Tank, start, *[[1]] * 100)
        server.structure(tanks, run_of(registry, Groups, start, *[[[[]] * 40]] * 100))
    appeared = 0
    for _ in range(100):
        appeared += sum(isinstance(event, Spawned) for event in server.poll())
    assert appeared == count
    server.tick += 1
    for start in range(1, count, 100):
        run = run_of(registry, Tank, start, *[[2]] * 100)
        server.send((7, server.tick, 0, server.peer.queued, 0, None, [run]))
    server.poll()
    with server.client.view:
        assert {tank.hp for _, tank in esper.get_component(Tank)} == {2}


def test_long_lists_are_shown_over_several_polls(server: HostileServer) -> None:
    steps = [5] * 16 * PARTS_AT_ONCE
    server.structure(*[run_of(registry, Steps, net, [steps]) for net in range(1, 6)])
    appeared = []
    while sum(appeared) < 5:
        assert len(appeared) < 30
        appeared.append(sum(isinstance(event, Spawned) for event in server.poll()))
    assert max(appeared) == 1
    assert server.client.connected


def test_what_is_in_values_is_work(server: HostileServer) -> None:
    """Small messages, each with much in it."""
    for net in range(1, 40):
        server.structure(run_of(registry, Groups, net, [[[]] * 5_000]))
    store = store_of(server)
    polls = 0
    while len(store.entities) < 39:
        before = store.work
        server.poll()
        polls += 1
        assert store.work - before < WORK_A_POLL + 6_000
        assert polls < 60
    assert polls >= 39 * 5_000 // WORK_A_POLL


def test_containers_around_references_are_bounded(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entity that comes and goes, and that large components mention, costs that much."""
    monkeypatch.setattr(ecsnet.replication.client.references, "MENTIONS", 10_000)
    for turn in range(20):  # of one component the newest value counts
        server.structure(run_of(registry, Groups, 1, [[[99], *[[]] * (3_000 + turn)]]))
        server.poll()
    server.structure(run_of(registry, Groups, 2, [[[]] * 20_000]))  # mentions nobody
    server.poll()
    assert server.client.connected
    for net in range(3, 6):
        server.structure(run_of(registry, Groups, net, [[[99], *[[]] * 3_000]]))
    assert until_over(server) == Disconnected("overload")
    assert 10_000 - 3_100 < server.client._view.references.kept <= 10_000


def test_content_that_is_replaced_takes_no_room(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Much comes in the course of a game, and little of it is there at a time."""
    monkeypatch.setattr(ecsnet.replication.client.store, "CONTENT_BYTES", 1_000_000)
    monkeypatch.setattr(ecsnet.replication.client.store, "_RECOUNT_BYTES", 250_000)
    monkeypatch.setattr(ecsnet.replication.client.store, "_RECOUNTED_AT_ONCE", 20)
    came = 0
    server.structure(run_of(registry, Bag, 1, *[[[1] * 100]] * 50))
    for turn in range(100):
        came += 20_000 * (1 + ITEM_BYTES)
        server.structure(run_of(registry, Bag, 60 + turn % 3, [[turn % 100] * 20_000]))
        server.poll()
        server.poll()
    for _ in range(10):
        server.poll()
    assert server.client.connected
    assert came > 5 * 1_000_000
    assert shown(server, Bag) == 53


def test_content_in_updates(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that travel unreliably and grow, each a little larger than it looks on average."""
    monkeypatch.setattr(ecsnet.replication.client.store, "CONTENT_BYTES", 500_000)
    monkeypatch.setattr(ecsnet.replication.client.store, "_RECOUNT_BYTES", 125_000)
    monkeypatch.setattr(ecsnet.replication.client.store, "_RECOUNTED_AT_ONCE", 100)
    server.structure(run_of(registry, Bag, 1, *[[[]]] * 1000))
    server.poll()
    sent = 0
    while not server.client.closed:
        assert sent < 1000
        net = sent + 1
        run = run_of(registry, Bag, net, [[1] * 900])
        small = run_of(registry, Bag, 1, *[[[]]] * 30)
        server.tick += 1
        server.send((7, server.tick, 0, server.peer.queued, 0, None, [small, run]))
        server.poll()
        sent += 1
    assert server.goodbye is Reason.OVERLOAD
    assert sent > 100


def test_references_over_time(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecsnet.replication.client.references, "MENTIONS", 500)
    for net in range(1, 50):
        server.structure(run_of(registry, Follows, net, [list(range(100, 160))]))
        server.poll()
        if server.client.closed:
            break
        assert server.client._view.references.kept == (60 + 60 // 16) * net <= 500
    assert server.goodbye is Reason.OVERLOAD


def test_references_that_change_make_room(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecsnet.replication.client.references, "MENTIONS", 500)
    for turn in range(50):
        server.structure(run_of(registry, Follows, 1, [list(range(turn + 1, turn + 300))]))
        server.poll()
    server.structure(despawned=[1])
    server.poll()
    assert server.client.connected
    assert server.client._view.references.kept == 0


def test_ids_that_no_entity_can_have(server: HostileServer) -> None:
    events: list[object] = []
    for ids in ([-5], [0], [2**53, 2**53], [5, -5], [1, -1]):
        columns = [(CID[Tank], [[1]] * len(ids))]
        server.say(encode((16, 7, 101, [], [], [], [(ids, columns)])))
        events += server.poll()
        assert store_of(server).entities == {}
    assert events == [Disconnected("abuse")]


# What one poll does.


def flood(server: HostileServer, datagrams: int, entities: int = 300) -> None:
    """Updates for all of some entities, each in a datagram of its own."""
    for number in range(datagrams):
        server.tick += 1
        run = run_of(registry, Tank, 1, *[[number % 100]] * entities)
        server.send((7, server.tick, 0, server.peer.queued, 0, None, [run]))


def test_a_flood_of_updates_is_spread_over_polls(server: HostileServer) -> None:
    server.client.watch(Tank)
    server.structure(run_of(registry, Tank, 1, *[[3]] * 300))
    server.poll()
    flood(server, 900)
    store = store_of(server)
    polls = changes = 0
    while server.client._connection._waiting or server.client._protocol._arrived or not polls:
        before = store.work
        changes += sum(isinstance(event, Changed) for event in server.poll())
        polls += 1
        assert store.work - before < WORK_A_POLL + 2000
        assert server.client.connected
    assert polls > 10
    assert changes == 300 * polls
    assert store.tick == server.tick
    with server.client.view:
        assert {tank.hp for _, tank in esper.get_component(Tank)} == {899 % 100}


def test_datagrams_that_wait_are_bounded(server: HostileServer) -> None:
    server.structure(run_of(registry, Tank, 1, *[[3]] * 300))
    server.poll()
    for _ in range(6):
        flood(server, 1000)
        server.poll()
        assert len(server.client._connection._waiting) <= DATAGRAMS_WAITING
    assert len(server.client._connection._waiting) > 1000
    assert server.client.connected


def test_many_arrivals_are_shown_over_several_polls_each_as_a_whole(server: HostileServer) -> None:
    for start in range(1, 20_000, 2000):
        tanks = run_of(registry, Tank, start, *[[start]] * 2000)
        server.structure(tanks, run_of(registry, Follows, start, *[[[start + 1]]] * 2000))
    polls = 0
    appeared: list[int] = []
    while sum(appeared) < 20_000:
        events = server.poll()
        polls += 1
        assert polls < 100
        new = [event.entity for event in events if isinstance(event, Spawned)]
        appeared.append(len(new))
        with server.client.view:
            for entity in new:
                assert esper.has_components(entity, Tank, Follows)
    assert max(appeared) <= PARTS_AT_ONCE // 3
    assert server.client.connected
    with server.client.view:
        # References to what came later have healed.
        for _, (tank, follows) in esper.get_components(Tank, Follows):
            (target,) = follows.others
            assert target is not None
            assert esper.component_for_entity(target, Tank).hp == tank.hp


def test_debug_mode_takes_no_offence_at_what_is_not_shown_yet() -> None:
    with use_registry(registry):
        server = ServerWorld(seed=1, bandwidth=1 << 24)

    @server.on_start
    def start() -> None:
        for _ in range(6000):
            esper.create_entity(Tank())

    @server.system
    def change(dt: float) -> None:
        for _, tank in esper.get_component(Tank):
            tank.hp += 1

    with Harness(server) as game:
        client = game.connect("Ann", debug=True)
        game.run(1.5)
        assert game.settle()
        assert client.connected


def test_early_updates_are_taken_over_a_poll_at_a_time() -> None:
    made = HostileServer(registry)
    made.accept()
    flood(made, 1000)
    made.poll()
    made.poll()
    assert len(made.client._protocol._early) == 1000
    flood(made, 500)
    made.poll()
    assert len(made.client._protocol._early) == 1000  # and no more
    made.tick -= 1500
    made.welcome()
    polls = 0
    while made.client._protocol._arrived:
        before = store_of(made).work
        made.poll()
        polls += 1
        assert store_of(made).work - before < WORK_A_POLL + 2000
    assert polls > 5
    assert made.client.connected
    assert store_of(made).asked == 1  # some were not kept: all is asked for again
    made.close()


def test_resyncs_are_asked_for_one_at_a_time(server: HostileServer) -> None:
    """A server that makes the client drop what waits, again and again, and answers never."""
    net = 1
    for _ in range(300):
        run = run_of(registry, Tank, net, *[[1]] * 300)
        net += 300
        server.tick += 1
        for _ in range(10):
            server.send((7, server.tick, 0, server.peer.queued + 9, 0, None, [run]))
        server.poll()
        assert store_of(server)._waiting_bytes <= store_of(server)._waiting_limit + 50_000
    assert server.heard.count(encode(Resync())) == 1
    assert server.client._connection.peer._out.backlog < 100


def test_fragments_of_messages_that_never_come_are_bounded(server: HostileServer) -> None:
    peer, connection = server.peer, server.connection
    assert connection is not None
    first = server.peer.queued + 1
    for number in range(first, first + 400):
        for part in (0, 1022):
            packet = peer.session.send(None, server.clock.now)
            head = msgspec_head(packet)
            piece = (number & 0xFFFF, bytes(FRAGMENT_BYTES), part, 1024)
            server.deliver(connection.seal(encode((*head, None, [piece], 0, None))))
    for _ in range(3):
        server.poll()
    incoming = server.client._connection.peer._incoming
    assert incoming.held <= 1 << 20
    assert len(incoming._waiting) <= 256
    assert server.client.closed  # no server sends what lies beyond the window


def msgspec_head(packet: bytes) -> tuple[int, int, int]:
    number, ack, missing, *_ = msgspec.msgpack.decode(packet)
    return number, ack, missing


def test_a_welcome_with_a_rate_that_cannot_be() -> None:
    for rate in (0.0, -1.0, float("inf"), float("nan"), 1e300, 1e-300):
        made = HostileServer(registry)
        made.accept()
        made.say(encode(Welcome(7, 0, 1, rate, 60.0, 100)))
        made.poll()
        made.say(encode(Welcome(7, 0, 1, 60.0, rate, 100)))
        made.poll()
        assert made.client._protocol.store is None
        assert made.client._connection.peer.session.budget.strikes == 2
        made.close()


@pytest.mark.parametrize("step", [1, -1, 1000, 2**31 - 1, -(2**31) + 1])
def test_ticks_that_jump(server: HostileServer, step: int) -> None:
    server.structure(run_of(registry, Tank, 1, [3]))
    tick = server.tick
    for number in range(200):
        tick += step
        slack = (-1) ** number * 2**53
        report = (slack, 2**53, 0, 0, 0)
        run = run_of(registry, Tank, 1, [number])
        server.send((7, tick & 0xFFFFFFFF, 2**53, server.peer.queued, 0, report, [run]))
        server.poll()
    assert server.client.connected
    assert len(server.client._sender.outbox._runs) < 1000
    assert shown(server, Tank) == 1


# What nobody fetches.


def test_notifications_that_nobody_takes_are_bounded(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A game whose function raises each time, and that goes on all the same."""
    monkeypatch.setattr(ecsnet.client.protocol, "NOTIFICATIONS", 1000)
    raised: list[int] = []

    def make(entity: int, tank: Tank) -> object:
        raised.append(entity)
        raise ValueError("no picture")

    server.client.attach(Tank, make)
    ended: list[object] = []
    for turn in range(100):
        net = 1 + turn * 100
        server.structure(
            run_of(registry, Tank, net, *[[1]] * 100), despawned=range(max(1, net - 100), net)
        )
        try:
            ended += server.poll()
        except ValueError:
            continue
        if server.client.closed:
            break
    assert 400 <= len(raised) < 1000
    assert ended[-1] == Disconnected("overload")
    assert len(ended) < 1500


def test_too_much_before_the_player_is_in_is_a_refusal() -> None:
    made = HostileServer(registry)
    made.accept()
    made.say(encode(Welcome(7, 5, 1, 60.0, 60.0, 100)))
    made.say(structure((MILLION, [])))
    event = until_over(made)
    assert isinstance(event, Refused)
    assert event.reason == "overload"
    assert event.message.startswith("too much to keep")
    made.close()


def test_a_large_world_of_an_honest_server_is_within_all_limits() -> None:
    with use_registry(registry):
        server = ServerWorld(seed=1, bandwidth=1 << 24)

    @server.on_start
    def start() -> None:
        for number in range(20_000):
            esper.create_entity(Tank(number), Follows([1]))

    with Harness(server) as game:
        client = game.connect("Ann")
        game.until(lambda: len(client._view.local) == 20_001, 60)
        assert any(isinstance(event, Connected) for event in game.events(client))
        with game.world:
            for entity, _ in list(esper.get_component(Follows)):
                esper.remove_component(entity, Follows)
        game.run(1.0)
        with game.world:
            for entity, _ in list(esper.get_component(Tank)):
                esper.delete_entity(entity)
        game.run(1.0)
        assert client.connected
        assert game.compare(client)
        assert len(client._view.local) == 1
