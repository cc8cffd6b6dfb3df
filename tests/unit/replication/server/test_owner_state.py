"""What players own and run ahead with, in every update."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import esper
import pytest

from ecsnet.components import Owner, Position
from ecsnet.notifications import Changed, Notification
from ecsnet.peer import BANDWIDTH
from ecsnet.replication.client.store import WAITING_BYTES, Store
from ecsnet.replication.encoding import encode_run
from ecsnet.replication.server.owner_state import OWNER_BYTES
from ecsnet.replication.wire import BODY_BYTES
from ecsnet.schema import Registry, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.testing import Harness
from tests.unit.replication.server.test_replicator import (
    CID,
    SCHEMA,
    WIRE,
    Badge,
    Bag,
    Blob,
    Client,
    Diary,
    Field,
    Kind,
    Place,
    Secret,
    Slow,
    Tank,
)

PREDICTED = (Place, Tank, Secret, Bag, Blob, Kind, Slow, Diary)


@pytest.fixture
def field() -> Iterator[Field]:
    made = Field(predicted=PREDICTED)
    yield made
    made.close()


def told(client: Client) -> list[tuple[type, object]]:
    """What a client was told of its own entity in the last packet, sorted."""
    net = client.field.net(client.player)
    (packet,) = client.fresh()
    values = [(SCHEMA.components[cid].cls, value) for (of, cid), value in packet.values().items()]
    assert {of for of, _ in packet.values()} <= {net}
    return sorted(values, key=lambda pair: pair[0].__name__)


def test_who_predicts_is_told_what_did_not_change(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = field.join(Place(1.0), Tank(), Secret(7), smooth=True)
    client.view.watched.update((Place, Tank, Secret))
    field.step(10)
    client.fresh()
    notified: list[Notification] = []
    reconcile = client.view.reconcile

    def noting(store: Store) -> list[Notification]:
        notifications = reconcile(store)
        notified.extend(notifications)
        return notifications

    monkeypatch.setattr(client.view, "reconcile", noting)
    record = client.store.entities[field.net(client.player)]
    for _ in range(5):
        field.step()
        assert told(client) == [(Place, Place(1.0)), (Secret, Secret(7)), (Tank, Tank())]
        assert {record.ticks[CID[kind]] for kind in (Place, Secret, Tank)} == {field.tick}
        assert client.store.confirmed_tick == field.tick
    assert notified == []
    field.world.components(client.player)[Tank].hp = 3
    field.step()
    assert [type(each) for each in notified] == [Changed]


def test_what_changed_is_told_once_in_its_update(field: Field) -> None:
    client = field.join(Place(1.0), Tank(), Secret(7), smooth=True)
    field.step(10)
    parts = field.world.components(client.player)
    client.fresh()
    for tick in range(12):
        if tick % 2:
            parts[Place].x += 1.0
        if tick % 3 == 0:
            parts[Secret].code = tick
        field.step()
        (packet,) = client.packets
        assert packet.update is not None
        named = Counter(
            (net, column.cid)
            for run in packet.update.runs
            for column in WIRE.columns(run) or ()
            for net in run.entities()
        )
        assert set(named.values()) == {1}
        assert len(named) == 3
        assert told(client) == [
            (Place, parts[Place]),
            (Secret, parts[Secret]),
            (Tank, parts[Tank]),
        ]
    assert client.difference() is None


def test_nobody_else_is_told(field: Field) -> None:
    client = field.join(Place(1.0), Secret(7), smooth=True)
    others = [field.join(Place(2.0), smooth=True), field.join(Place(3.0))]
    thing = field.spawn(Place(9.0))
    field.step(60)
    for each in (client, *others):
        each.fresh()
    field.step(10)
    mine = {field.net(client.player)}
    assert {net for net, _ in client.values()} == mine
    assert {net for net, _ in others[0].values()} == {field.net(others[0].player)}
    assert others[1].values() == {}
    assert field.net(thing) not in mine


def test_where_nothing_is_predicted_nothing_is_told() -> None:
    field = Field()
    client = field.join(Place(1.0), Badge(1), smooth=True)
    field.step(60)
    client.fresh()
    field.step(10)
    assert client.values() == {}
    field.close()


def test_what_is_not_known_of_each_tick_does_not_go_along(field: Field) -> None:
    client = field.join(Place(1.0), Kind(3), Slow(4), smooth=True)
    field.step(10)
    client.fresh()
    for _ in range(5):
        field.step()
        assert told(client) == [(Place, Place(1.0))]


def test_what_is_large_does_not_go_along(field: Field) -> None:
    client = field.join(Place(1.0), Blob(bytes(5000)), Bag([1]), smooth=True)
    other = field.join(Bag([7] * (OWNER_BYTES + 1)), Place(2.0), smooth=True)
    thing = field.spawn(Place(3.0), Owner(other.player))
    field.step(30)
    client.fresh(), other.fresh()
    field.step()
    assert told(client) == [(Bag, Bag([1])), (Place, Place(1.0))]
    assert other.values() == {(field.net(thing), CID[Place]): [Place(3.0)]}


def test_what_a_player_owns_goes_along_while_it_owns_it(field: Field) -> None:
    client = field.join(smooth=True)
    thing = field.spawn(Place(1.0), Secret(5), Owner(client.player))
    another = field.spawn(Place(2.0), Owner(client.player))
    field.step(60)

    def named() -> set[tuple[int, type]]:
        client.fresh()
        field.step()
        return {(net, SCHEMA.components[cid].cls) for net, cid in client.values()}

    net, other = field.net(thing), field.net(another)
    assert named() == {(net, Place), (net, Secret), (other, Place)}
    esper.remove_component(thing, Secret)
    field.step()
    assert named() == {(net, Place), (other, Place)}
    esper.delete_entity(another)
    field.step()
    assert named() == {(net, Place)}
    field.world.components(thing)[Owner].player = None
    field.step(2)
    assert named() == set()
    field.world.components(thing)[Owner].player = client.player
    field.step(2)
    assert named() == {(net, Place)}
    esper.clear_database()
    field.step(2)
    assert named() == set()


def test_a_component_that_is_replaced_goes_along_with_its_new_value(field: Field) -> None:
    client = field.join(Secret(1), Tank(), smooth=True)
    field.step(10)
    esper.remove_component(client.player, Secret)
    esper.add_component(client.player, Secret(2))
    field.step(2)
    client.fresh()
    field.step()
    assert told(client) == [(Secret, Secret(2)), (Tank, Tank())]
    assert client.difference() is None


def test_of_too_much_one_part_after_the_other_has_its_turn(field: Field) -> None:
    client = field.join(smooth=True)
    things = [field.spawn(Place(float(number)), Owner(client.player)) for number in range(100)]
    field.step(120)
    client.fresh()
    seen: Counter[int] = Counter()
    for _ in range(40):
        field.step()
        (packet,) = client.fresh()
        assert packet.update is not None
        nets = [net for run in packet.update.runs for net in run.entities()]
        assert 0 < len(packet.data) <= OWNER_BYTES + 100
        seen.update(nets)
    assert set(seen) == {field.net(thing) for thing in things}
    assert max(seen.values()) - min(seen.values()) <= 1
    for thing in things[3:]:
        esper.delete_entity(thing)
    field.step(5)
    client.fresh()
    field.step()
    assert {net for net, _ in client.values()} == {field.net(thing) for thing in things[:3]}


def filling(field: Field, entity: int) -> Diary:
    """The value with which an entity takes all bytes that may go along."""
    empty = encode_run([field.net(entity)], [(CID[Diary], [Diary("x" * 256)])])
    return Diary("x" * (256 + BODY_BYTES // 2 - len(empty)))


def test_half_a_datagram_goes_along_and_no_more(field: Field) -> None:
    client = field.join(Diary(), smooth=True)
    diary = field.world.components(client.player)[Diary]
    text = filling(field, client.player).text
    for diary.text, goes in ((text, True), (text + "x", False)):
        field.step(10)
        client.fresh()
        field.step(5)
        assert len(client.values()) == goes


@pytest.mark.parametrize("small", [1, 2])
def test_what_fills_it_and_all_that_is_small_have_their_turns(field: Field, small: int) -> None:
    client = field.join(Diary(), smooth=True)
    things = [field.spawn(Place(1.0), Owner(client.player)) for _ in range(small)]
    esper.add_component(client.player, filling(field, client.player))
    field.step(20)
    client.fresh()
    seen: Counter[int] = Counter()
    for _ in range(10):
        field.step()
        seen.update(net for net, _ in client.values())
    assert seen == {field.net(entity): 5 for entity in (client.player, *things)}


def test_who_owns_nothing_any_more_is_told_nothing(field: Field) -> None:
    client = field.join(Place(1.0), smooth=True)
    field.step(10)
    esper.delete_entity(client.player)
    field.step(10)
    client.fresh()
    field.step(10)
    assert client.values() == {}


def test_who_comes_back_is_told_the_first_part_first(field: Field) -> None:
    client = field.join(smooth=True)
    things = [field.spawn(Place(float(number)), Owner(client.player)) for number in range(100)]
    field.step(121)
    for ticks in (1, 2):  # whichever part it was at
        field.step(ticks)
        field.replicator.remove_client(client.client_state)
        field.clients.remove(client)
        client = Client(field, BANDWIDTH, WAITING_BYTES, client.player, smooth=True)
        field.clients.append(client)
        field.step()
        state = field.replicator._owner_states.bodies[client.player]
        told = [net for run in state.runs for net in run.nets]
        assert told[0] == field.net(things[0])


def test_where_all_of_it_changed_nothing_goes_along(field: Field) -> None:
    client = field.join(Place(1.0), smooth=True)
    field.step(10)
    for _ in range(5):
        field.world.components(client.player)[Place].x += 1.0
        client.fresh()
        field.step()
        (packet,) = client.packets
        assert packet.update is not None
        assert len(packet.update.runs) == 1


def test_nothing_goes_along_to_who_comes_back_and_does_not_predict(field: Field) -> None:
    client = field.join(Place(1.0), smooth=True)
    field.step(10)
    field.replicator.remove_client(client.client_state)
    field.clients.remove(client)
    again = Client(field, BANDWIDTH, WAITING_BYTES, client.player)
    field.clients.append(again)
    field.step(60)
    again.fresh()
    field.step(10)
    assert again.values() == {}
    assert again.difference() is None
    field.world.components(client.player)[Place].x = 5.0
    field.step(60)
    again.fresh()
    field.step(10)
    assert again.values() == {}


def test_nothing_goes_along_to_who_has_the_number_after_the_database_was_cleared(
    field: Field,
) -> None:
    client = field.join(Place(1.0), smooth=True)
    field.step(10)
    esper.clear_database()
    field.step()
    other = field.join(Place(2.0))
    assert other.player == client.player
    field.step(60)
    other.fresh()
    field.step(10)
    assert other.values() == {}
    assert other.difference() is None


def test_it_has_a_datagram_of_its_own_where_there_is_no_room(field: Field) -> None:
    client = field.join(Place(1.0), Tank(), Diary("x" * 300), smooth=True)
    things = [field.spawn(Place(1.0, float(number))) for number in range(40)]
    field.step(30)
    for count in (40, 20):
        client.fresh()
        for thing in things[:count]:
            field.world.components(thing)[Place].x += 1.0
        field.step()
        parts = [packet.update for packet in client.fresh()]
        assert [(part.index, part.count) for part in parts if part] == [
            (index, len(parts)) for index in range(len(parts))
        ]
        assert len(parts) == (2 if count == 40 else 1)
        assert client.store.entities[field.net(client.player)].ticks[CID[Diary]] == field.tick
        assert client.store.confirmed_tick >= field.tick - 1


def test_who_is_sent_several_datagrams_has_it_in_the_last(field: Field) -> None:
    client = field.join(Place(1.0), smooth=True)
    other = field.join(Place(1.0), smooth=True)
    things = [field.spawn(Place(1.0, float(number))) for number in range(150)]
    field.step(30)
    client.fresh(), other.fresh()
    for thing in things:
        field.world.components(thing)[Place].x += 1.0
    field.step()
    packets = client.fresh()
    assert len(packets) == len(other.packets) >= 3
    assert (field.net(client.player), CID[Place]) in packets[-1].values()
    assert all((field.net(client.player), CID[Place]) not in p.values() for p in packets[:-1])
    assert client.difference() is None


def test_a_value_larger_than_a_datagram_comes_beside_it(field: Field) -> None:
    client = field.join(Place(1.0), smooth=True)
    thing = field.spawn(Blob(b""))
    field.step(30)
    field.world.components(thing)[Blob].data = bytes(3000)
    field.settle(30)
    assert client.of(thing) == {Blob: Blob(bytes(3000))}


def test_whoever_has_a_number_of_before_the_database_was_cleared_is_told_nothing(
    field: Field,
) -> None:
    ann = field.join(Place(1.0), smooth=True)
    esper.clear_database()
    field.step()
    bob = field.join(Place(1.0))  # whose client does not predict
    assert bob.player == ann.player
    field.step(30)
    bob.fresh()
    field.step(30)
    assert bob.values() == {}


def test_that_it_got_lost_is_no_matter(field: Field) -> None:
    client = field.join(Place(1.0), Tank(), smooth=True)
    field.step(60)
    lost = set(range(field.tick + 1, field.tick + 6))
    client.lose = lambda packet: packet.tick in lost
    for _ in range(60):
        field.step()
        assert not client.client_state.owed
        assert client.client_state.in_sync
    assert client.store.confirmed_tick == field.tick


def test_it_counts_against_the_bandwidth(field: Field) -> None:
    client = field.join(Place(1.0), bandwidth=2500, smooth=True)
    things = [field.spawn(Place(1.0), Owner(client.player)) for _ in range(20)]
    field.step(600)
    client.fresh()
    field.step(600)
    assert 0.5 * 2500 * 10 < sum(len(packet.data) + 5 for packet in client.packets) < 2500 * 10.5
    assert things


@pytest.mark.parametrize(("shared", "smooth"), [(True, True), (True, False), (False, True)])
def test_only_who_predicts_in_a_game_with_a_shared_system_is_told(
    shared: bool, smooth: bool
) -> None:
    with use_registry(Registry()) as registry:

        @replicated
        class Ship:
            fuel: int = 5

        @replicated(predicted=False)
        class Score:
            points: int = 0

        server = ServerWorld(seed=1)

    @server.on_join
    def join(player: int) -> None:
        for component in (Ship(), Score(), Position(1.0)):
            esper.add_component(player, component)
        esper.create_entity(Position(2.0), Owner(player))

    @server.system(shared=shared)
    def steer(dt: float) -> None:
        pass

    with Harness(server, registry=registry) as play:
        ann = play.connect("Ann", smooth=smooth)
        for kind in (Ship, Position):
            ann.watch(kind)
        play.run(0.5)
        seat, store = play.member(ann).seat, ann._protocol.store
        assert seat is not None
        assert store is not None
        assert seat.client_state is not None
        body = play.room.replicator._owner_states.bodies.get(seat.client_state.player)
        own = store.entities[ann._protocol.player_net]
        heard = {store.wire.schema.components[cid].cls: tick for cid, tick in own.ticks.items()}
        if not (shared and smooth):
            assert body is None
            assert max(heard.values()) < store.tick
            return
        assert body is not None
        kinds = [{store.wire.schema.components[cid].cls for cid in run.cids} for run in body.runs]
        assert sorted(kinds, key=len) == [{Position}, {Ship, Position}]
        assert heard[Ship] == heard[Position] == store.tick
        assert heard[Score] < store.tick
        assert not [each for each in play.events(ann) if isinstance(each, Changed)]
