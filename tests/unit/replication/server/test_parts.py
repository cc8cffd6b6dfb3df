"""Which datagram of its tick an update is, and whether the tick came whole."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from esper import add_component, get_component
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.client.world import ClientWorld
from ecsnet.components import LobbyReady, Position
from ecsnet.peer import BANDWIDTH
from ecsnet.replication.server.interest import Grid
from ecsnet.replication.wire import (
    HELD,
    LEFT_OUT,
    PARTS,
    Report,
    Update,
    WireFormat,
    encode_part,
)
from ecsnet.schema import Registry, encode, event, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.simulation.events import emit
from ecsnet.simulation.lobby import Lobby
from ecsnet.simulation.match import end_match
from ecsnet.simulation.simulation import tick
from ecsnet.testing import Harness
from tests.unit.replication.server.test_replicator import (
    CID,
    EPOCH,
    SCHEMA,
    WIRE,
    Bag,
    Blob,
    Client,
    Field,
    Packet,
    Place,
    Secret,
    Slow,
    Tank,
    field,
)

__all__ = ["field"]


def parts(packets: list[Packet]) -> list[tuple[int, int, bool, bool]]:
    """What the updates say of themselves: index, count, left out, held."""
    return [
        (packet.update.index, packet.update.count, packet.update.left_out, packet.update.held)
        for packet in packets
        if packet.update is not None
    ]


def whole(packets: list[Packet]) -> bool:
    """Whether these packets of one tick are all that there are, with nothing left out."""
    told = parts(packets)
    return bool(told) and [(i, n, False) for i, n, left_out, _ in told if not left_out] == [
        (index, len(told), False) for index in range(len(told))
    ]


def outdated(client: Client) -> list[tuple[int, int]]:
    """The network ids and component ids of which a client has not the newest value."""
    replicator, world = client.field.replicator, client.field.world
    found = []
    for number, bits in replicator.visible(client.client_state).items():
        record = client.store.entities.get(number)
        if record is None:
            continue
        components = world.components(replicator.entity(number) or 0)
        for cid in replicator.entities.cids(bits):
            kind = SCHEMA.components[cid]
            if kind.rate > 1 or cid not in record.values:
                continue
            live = kind.to_wire(components[kind.cls], replicator.network_id)
            if encode(live) != encode(record.values[cid]):
                found.append((number, cid))
    return found


@pytest.mark.parametrize(("index", "count", "flags"), [(0, 1, 0), (1, 2, 3), (1023, 1024, 3)])
def test_part_is_read_as_it_was_made(index: int, count: int, flags: int) -> None:
    part = encode_part(index, count, flags)
    update = WIRE.update.decode(encode((EPOCH, 1, 0, 0, part, None, [])))
    assert update is not None
    assert (update.index, update.count, update.left_out, update.held) == (
        index,
        count,
        bool(flags & 1),
        bool(flags & 2),
    )


def test_a_part_is_bounded() -> None:
    most = encode_part(PARTS - 1, PARTS, 3)
    for part, sound in ((most, True), (most + 1, False), (-1, False), (None, False)):
        data = encode((EPOCH, 1, 0, 0, part, None, []))
        assert (WireFormat(SCHEMA).update.decode(data) is not None) is sound


@pytest.mark.parametrize(
    ("index", "count", "flags", "part"),
    [(0, 1, LEFT_OUT, 1), (0, 1, HELD, 2), (1, 2, 0, 4_100), (1023, 1024, 0, 4_194_300)],
)
def test_a_part_is_on_the_wire_as_the_protocol_has_it(
    index: int, count: int, flags: int, part: int
) -> None:
    assert encode_part(index, count, flags) == part
    update = WIRE.update.decode(encode((EPOCH, 1, 0, 0, part, None, [])))
    assert update is not None
    assert (update.index, update.count) == (index, count)
    assert (update.left_out, update.held) == (part == 1, part == 2)


@pytest.mark.parametrize(
    ("most", "head"),
    [
        (2**32 - 1, lambda number: (number, 1, 0, 0, 0, None)),
        (2**32 - 1, lambda number: (EPOCH, number, 0, 0, 0, None)),
        (2**53, lambda number: (EPOCH, 1, number, 0, 0, None)),
        (2**53, lambda number: (EPOCH, 1, -number, 0, 0, None)),
        (2**53, lambda number: (EPOCH, 1, 0, 0, 0, (number, 0, 0, 0, 0))),
        (2**53, lambda number: (EPOCH, 1, 0, 0, 0, (-number, 0, 0, 0, 0))),
    ],
)
def test_the_numbers_of_an_update_are_bounded(
    most: int, head: Callable[[int], tuple[object, ...]]
) -> None:
    for number, sound in ((most, True), (most + 1, False)):
        data = encode((*head(number), []))
        assert (WIRE.update.decode(data) is not None) is sound


def test_an_update_longer_than_a_datagram_is_not_looked_at() -> None:
    for length, sound in ((1_300, True), (1_301, False)):
        around = len(update_with([[CID[Blob], [[bytes(1_000)]]]])) - 1_000
        data = update_with([[CID[Blob], [[bytes(length - around)]]]])
        assert len(data) == length
        assert (WIRE.update.decode(data) is not None) is sound


def test_a_column_holds_its_values_and_nothing_else() -> None:
    for column, sound in (([CID[Tank], [[1, 0.0]]], True), ([CID[Tank], [[1, 0.0]], 0], False)):
        assert (WIRE.update.decode(update_with([column])) is not None) is sound


def test_in_a_game_without_events_an_update_brings_none() -> None:
    for events, sound in (([], True), ([1], False), ([[0, [1]]], False)):
        data = encode((EPOCH, 1, 0, 0, 0, None, [], events))
        assert (WIRE.update.decode(data) is not None) is sound


def test_counts_that_a_report_does_not_have_are_zero() -> None:
    update = WIRE.update.decode(encode((EPOCH, 1, 0, 0, 0, (-5,), [])))
    assert update is not None
    assert update.report == Report(-5, applied=0, expired=0, superseded=0, rejected=0)


def update_with(columns: list[list[object]]) -> bytes:
    """An update with one run, of one entity."""
    return encode((EPOCH, 1, 0, 0, 0, None, [[[3], columns]]))


def test_one_datagram_is_the_only_one_of_its_tick(field: Field) -> None:
    client = field.join(Place(1.0))
    client.fresh()
    field.world.components(client.player)[Place].x = 2.0
    field.step()
    assert parts(client.fresh()) == [(0, 1, False, False)]


def test_datagrams_of_one_tick_are_numbered(field: Field) -> None:
    client = field.join()
    things = [field.spawn(Place(1.0, float(number))) for number in range(200)]
    field.step(30)
    client.fresh()
    for thing in things:
        field.world.components(thing)[Place].x += 1.0
    field.step()
    count = len(client.packets)
    assert count >= 3
    assert parts(client.fresh()) == [(index, count, False, False) for index in range(count)]
    assert outdated(client) == []


def test_what_is_beyond_the_last_part_of_a_tick_goes_in_the_next_one(field: Field) -> None:
    client = field.join(bandwidth=1e9)
    things = [field.spawn(Blob(bytes(900))) for _ in range(PARTS + 2)]
    field.settle()
    client.fresh()
    for thing in things:
        field.world.components(thing)[Blob].data = b"x" * 900
    field.step()
    assert parts(client.fresh()) == [(index, PARTS, True, False) for index in range(PARTS)]
    field.step()
    assert parts(client.fresh()) == [(index, 2, False, False) for index in range(2)]
    field.settle()


def test_what_bandwidth_has_no_room_for_is_left_out(field: Field) -> None:
    client = field.join(bandwidth=20_000)
    things = [field.spawn(Place(1.0, float(number))) for number in range(300)]
    field.step(200)
    client.fresh()
    for thing in things:
        field.world.components(thing)[Place].x += 1.0
    seen = set()
    for _ in range(100):
        field.step()
        behind = bool(outdated(client))
        for index, count, left_out, _ in parts(client.fresh()):
            assert index < count
            assert left_out == behind
            seen.add(left_out)
    assert seen == {True, False}


def test_an_entity_larger_than_a_datagram_is_left_out(field: Field) -> None:
    client = field.join(Place(1.0))
    thing = field.spawn(Blob(b""))
    field.step(10)
    client.fresh()
    field.world.components(thing)[Blob].data = bytes(3000)
    field.world.components(client.player)[Place].x = 2.0
    field.step()
    assert {left_out for _, _, left_out, _ in parts(client.fresh())} == {True}
    field.step(10)
    client.fresh()
    field.world.components(client.player)[Place].x = 3.0
    field.step()
    assert {left_out for _, _, left_out, _ in parts(client.fresh())} == {False}
    assert outdated(client) == []


def test_all_is_left_out_until_a_resync_is_answered(field: Field) -> None:
    client = field.join(Place(1.0))
    field.step(10)
    client.fresh()
    client.mute = True  # so the answer is not acknowledged
    field.replicator.resync(client.client_state)
    for x in (2.0, 3.0):
        field.world.components(client.player)[Place].x = x
        field.step()
        assert parts(client.fresh()) == [(0, 1, True, False)]
    client.mute = False
    field.settle()
    field.step(10)
    client.fresh()
    field.world.components(client.player)[Place].x = 4.0
    field.step()
    assert parts(client.fresh()) == [(0, 1, False, False)]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 32), st.booleans(), st.sampled_from((30_000.0, 90_000.0, BANDWIDTH)))
def test_a_tick_that_came_whole_left_nothing_behind(
    seed: int, grid: bool, bandwidth: float
) -> None:
    """On a network that loses nothing: the client then has all of its values."""
    dice = random.Random(seed)
    field = Field(Grid(Place, 10) if grid else None)
    try:
        clients = [
            field.join(Place(dice.uniform(0, 30), 5.0), Tank(), Secret(), bandwidth=bandwidth)
            for _ in range(2)
        ]
        things = [
            field.spawn(Place(dice.uniform(0, 30), 5.0), Tank(), Bag([]), Slow()) for _ in range(60)
        ]
        field.step(40)
        for client in clients:
            client.fresh()
            assert outdated(client) == []
        for tick in range(60):
            for thing in (*things, *(client.player for client in clients)):
                components = field.world.components(thing)
                if dice.random() < 0.5:
                    components[Place].x += dice.uniform(-1, 1)
                if dice.random() < 0.2:
                    components[Tank].hp = tick
                if Secret in components and dice.random() < 0.3:
                    components[Secret].code = tick
                if Bag in components and dice.random() < 0.02:
                    components[Bag].items = [tick] * dice.choice((3, 2000))
            if dice.random() < 0.02:
                field.replicator.resync(dice.choice(clients).client_state)
            field.step()
            for client in clients:
                # As far as all is there that the updates depend on.
                if whole(client.fresh()) and client.store.structured == client.client_state.depends:
                    assert outdated(client) == []
        field.settle(1000)
        states = [client.client_state for client in clients]
        while any(state.repairing or not state.in_sync for state in states):
            field.step()  # until a resync is answered, too
        for client in clients:
            client.fresh()
            field.world.components(client.player)[Tank].hp += 100
        field.step()
        assert all(whole(client.fresh()) for client in clients)
    finally:
        field.close()


def heard(client: ClientWorld) -> list[Update[object, object]]:
    """The updates that a client takes from now on."""
    told: list[Update[object, object]] = []
    store = client._protocol.store
    assert store is not None
    take = store.update

    def watched(update: Update[object, object], size: int) -> bool:
        told.append(update)
        return take(update, size)

    store.update = watched  # type: ignore[method-assign]
    return told


def shouted(*sizes: int, bandwidth: float = BANDWIDTH) -> list[Update[object, object]]:
    """The updates of a client, of which those of tick 30 bring texts that may get lost."""
    with use_registry(Registry()) as registry:

        @event
        class Shout:
            text: str = ""

        server = ServerWorld(seed=1, bandwidth=bandwidth)

    @server.system
    def speak(dt: float) -> None:
        if tick() == 30:
            for size in sizes:
                emit(Shout("x" * size), reliable=False)

    with Harness(server, registry=registry) as play:
        told = heard(play.connect("Ann"))
        play.run(1.0)
    return told


def test_events_that_go_by_themselves_are_numbered_with_the_rest() -> None:
    told = shouted(900, 900, 900)
    spoken = [(update.index, update.count) for update in told if update.tick == 30]
    assert spoken == [(0, 3), (1, 3), (2, 3)]
    assert {update.count for update in told if update.tick != 30} == {1}


def test_no_more_events_go_by_themselves_than_can_be_numbered() -> None:
    told = shouted(*[900] * (PARTS + 2), bandwidth=100e6)
    spoken = [(update.index, update.count) for update in told if update.tick == 30]
    assert spoken == [(index, PARTS) for index in range(PARTS)]


@pytest.mark.parametrize(("last", "count"), [(359, 1), (360, 2)])
def test_events_that_may_get_lost_fill_a_datagram_and_no_more(last: int, count: int) -> None:
    # Of a body, less the head of a list.
    told = shouted(*[size - 6 for size in (359, 359, last)])
    spoken = [(update.index, update.count) for update in told if update.tick == 30]
    assert spoken == [(index, count) for index in range(count)]


def test_the_ticks_in_which_systems_are_held_back_say_so() -> None:
    with use_registry(Registry()) as registry:
        server = ServerWorld(seed=1, lobby=Lobby(players=(1, 1), countdown=0))
    ran: set[int] = set()

    @server.on_join
    def join(player: int) -> None:
        add_component(player, Position())

    @server.system(always=True)
    def move(dt: float) -> None:
        for _, position in get_component(Position):
            position.x += dt  # so that there is an update in each tick

    @server.system
    def play_on(dt: float) -> None:
        ran.add(tick())
        if len(ran) == 20:
            end_match()

    with Harness(server, registry=registry) as play:
        ann = play.connect("Ann")
        told = heard(ann)
        play.run(0.2)
        ann.send(LobbyReady())
        play.run(0.2)
        play.simulation.paused = True
        play.run(0.3)
        play.simulation.paused = False
        play.run(1.0)
        assert len(ran) >= 20
        held = {update.tick for update in told if update.held}
        free = {update.tick for update in told if not update.held}
        assert free == ran
        assert len(held) > 20
        assert held.isdisjoint(ran)
