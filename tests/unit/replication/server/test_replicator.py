"""Server and clients without sockets: a replicator on one side, stores and views on the other."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Annotated

import esper
import msgspec
import pytest

from ecsnet.components import Owner, Player
from ecsnet.connection.plain import Connection
from ecsnet.limits import MAX_PACKET
from ecsnet.peer import BANDWIDTH, Peer
from ecsnet.replication.client.comparison import comparable
from ecsnet.replication.client.store import WAITING_BYTES, Store
from ecsnet.replication.client.view import ViewWorld
from ecsnet.replication.encoding import encode_run
from ecsnet.replication.server.interest import (
    Everyone,
    Grid,
    Interest,
    InterestObserver,
    Placed,
    Visible,
)
from ecsnet.replication.server.replicator import Replicator
from ecsnet.replication.server.structure import StructureWriter
from ecsnet.replication.sizes import ENTITY_BYTES
from ecsnet.replication.wire import (
    BODY_BYTES,
    STRUCTURE_BYTES,
    Structure,
    Update,
    WireFormat,
)
from ecsnet.schema import (
    EntityRef,
    Gate,
    Quantized,
    Registry,
    encode,
    replicated,
    use_registry,
)
from ecsnet.session.packets import RAW
from ecsnet.testing import ManualClock, Network
from ecsnet.transport.address import Address
from ecsnet.world import World

with use_registry(Registry()) as registry:

    @replicated
    class Place:
        x: float = 0.0
        y: float = 0.0

    @replicated
    class Tank:
        hp: int = 10
        speed: float = 0.0

    @replicated
    class Coarse:
        x: Annotated[float, Quantized(0.5)] = 0.0

    @replicated
    class Blob:
        data: bytes = b""

    @replicated
    class Bag:
        items: list[int] = []

    @replicated
    class Likes:
        whom: EntityRef = None

    @replicated(visible_to="owner")
    class Secret:
        code: int = 0

    @replicated(visible_to="owner")
    class Diary:
        text: str = ""

    @replicated(once=True)
    class Kind:
        number: int = 0

    @replicated(once=True, visible_to="owner")
    class Badge:
        number: int = 0

    @replicated(rate=5)
    class Slow:
        n: int = 0

    @replicated(interpolate=True, rate=4)
    class Glide:
        x: float = 0.0

    @replicated(interpolate=True, visible_to="owner")
    class Whisper:
        x: float = 0.0


SCHEMA = registry.schema()
CID = SCHEMA.cid_of
WIRE = WireFormat(SCHEMA)
EPOCH = 0xC0FFEE
TICK = 1 / 60
RESYNC = b"resync"
"""In place of the message that asks for everything."""


class Packet:
    """What a client was sent, taken apart."""

    def __init__(self, data: bytes, tick: int) -> None:
        self.data = data
        self.tick = tick
        parts: list[msgspec.Raw] = msgspec.msgpack.decode(data, type=list[msgspec.Raw])
        self.update: Update[object, object] | None = None
        if parts[3] != msgspec.Raw(b"\xc0"):
            self.update = WIRE.update.decode(bytes(memoryview(parts[3])))
            assert self.update is not None
        self.fragments: list[list[object]] = []
        if len(parts) > 4:
            self.fragments = msgspec.msgpack.decode(parts[4])

    def values(self) -> dict[tuple[int, int], object]:
        """Network id and component id to value."""
        found = {}
        for run in self.update.runs if self.update is not None else ():
            columns = WIRE.columns(run)
            assert columns is not None
            for cid, values in columns:
                found.update({(net, cid): v for net, v in zip(run.entities(), values, strict=True)})
        return found


class Client:
    """One client with both ends of its session. What is on its way can be lost and delayed."""

    def __init__(
        self,
        field: Field,
        bandwidth: float,
        waiting_bytes: int,
        player: int,
        *,
        smooth: bool = False,
    ) -> None:
        self.field = field
        self.player = player
        self.end = field.network.connect()
        self.link = self.end.link
        self.server, self.peer = Peer(RAW), Peer(RAW)
        self.server.relink(
            Connection(None, b"8 bytes.", 0.0, server=True), self.end.address, self.deliver
        )
        self.server.limit(bandwidth)
        self.client_state = field.replicator.add_client(player, self.server, smooth=smooth)
        self.store = Store(WIRE, EPOCH, field.tick, waiting_bytes, predicting=smooth)
        self.view = ViewWorld(SCHEMA, World())
        self.gate: Gate[Structure[object]] = Gate(WIRE.structure, 1 << 20)
        self.packets: list[Packet] = []
        self.structures: list[bytes] = []
        self.messages: list[Structure[object]] = []
        self.lose: Callable[[Packet], bool] = lambda packet: False
        self.mute = False
        self.resyncs = 0

    def deliver(self, datagram: bytes, address: Address) -> None:
        packet = datagram[1:-4]
        assert len(packet) <= MAX_PACKET
        sent = Packet(packet, self.field.tick)
        self.packets.append(sent)
        if not self.lose(sent):
            self.field.network.send(packet, address)

    def take(self, data: bytes) -> None:
        now = self.field.now
        received = self.peer.receive_packet(data, now)
        if received is None:
            return
        for number, message in received.messages:
            self.structures.append(message)
            structure = self.gate.decode(message)
            assert structure is not None
            self.messages.append(structure)
            assert self.store.structure(number, structure)
        if received.payload is not None:
            update = WIRE.update.decode(received.payload)
            assert update is not None
            assert self.store.update(update, len(received.payload))

    def poll(self) -> None:
        now = self.field.now
        for packet in self.end.receive():
            self.take(packet)
        if self.store.resync and not self.store.asked:
            self.store.resync = False
            self.store.asked += 1
            self.resyncs += 1
            self.end.send(RESYNC)
        self.view.reconcile(self.store)
        if self.peer.due(now) or self.peer.session.ack_due:
            (data,) = self.peer.pack(None, now)
            if not self.mute:
                self.end.send(data)

    def hear(self, data: bytes) -> None:
        """Let the server's end have what the client sent."""
        if data == RESYNC:
            self.field.replicator.resync(self.client_state)
        else:
            self.server.receive_packet(data, self.field.now)

    def of(self, entity: int) -> dict[type, object] | None:
        """What the store holds of an entity of the server's world, by type."""
        net = self.field.replicator.network_id(entity)
        record = None if net is None else self.store.entities.get(net)
        if record is None:
            return None
        return {SCHEMA.components[cid].cls: value for cid, value in record.values.items()}

    def knows(self, entity: int) -> bool:
        return self.of(entity) is not None

    def difference(self) -> str | None:
        """Where what is shown is not what the server has and this client may see."""
        replicator, world = self.field.replicator, self.field.world
        visible = replicator.visible(self.client_state)
        if visible.keys() != self.store.entities.keys():
            return f"entities {sorted(visible.keys() ^ self.store.entities.keys())}"
        for net, bits in visible.items():
            values = self.store.entities[net].values
            if set(replicator.entities.cids(bits)) != values.keys():
                return f"components of {net}: {sorted(values)}"
            parts = world.components(replicator.entity(net) or 0)
            for cid, value in values.items():
                kind = SCHEMA.components[cid]
                live = encode(kind.to_wire(parts[kind.cls], replicator.network_id))
                native = msgspec.msgpack.decode(live)
                if not kind.once and native != msgspec.msgpack.decode(encode(value)):
                    return f"{parts[kind.cls]} of {net} is {value}"
        for net, cid, shown, said in comparable(self.view, self.store):
            if shown != said:
                return f"the view shows {shown} of {net}, {cid}"
        return None

    def fresh(self) -> list[Packet]:
        """The packets since the last call."""
        packets, self.packets = self.packets, []
        return packets

    def values(self) -> dict[tuple[int, int], list[object]]:
        """The values sent since the last call."""
        found: dict[tuple[int, int], list[object]] = {}
        for packet in self.fresh():
            for key, value in packet.values().items():
                found.setdefault(key, []).append(value)
        return found


class Field:
    def __init__(
        self,
        interest: Interest | None = None,
        kind: type[Replicator] = Replicator,
        predicted: Iterable[type] = (),
    ) -> None:
        self.world = World()
        self.replicator = kind(
            SCHEMA,
            self.world,
            epoch=EPOCH,
            interest=interest,
            owner=Owner,
            interval=TICK,
            predicted=predicted,
        )
        self.clients: list[Client] = []
        self.tick = 0
        self.network = Network(ManualClock(10.0))
        self.world.__enter__()

    def close(self) -> None:
        self.world.__exit__(None, None, None)
        for client in self.clients:
            client.view.world.close()
        self.world.close()

    @property
    def now(self) -> float:
        return self.network.clock.now

    def join(
        self,
        *components: object,
        bandwidth: float = BANDWIDTH,
        waiting_bytes: int = WAITING_BYTES,
        settle: bool = True,
        smooth: bool = False,
    ) -> Client:
        player = esper.create_entity(Player(len(self.clients) + 1, "p"), *components)
        client = Client(self, bandwidth, waiting_bytes, player, smooth=smooth)
        self.clients.append(client)
        if settle:
            self.step(4)
        return client

    def step(self, ticks: int = 1) -> None:
        for _ in range(ticks):
            self.tick += 1
            self.network.run(TICK)
            self.world.flush_dead()
            self.replicator.collect_changes(self.tick)
            self.replicator.send_updates(self.now)
            clients = {client.end.address: client for client in self.clients}
            for client in self.clients:
                client.poll()
            for data, address in self.network.receive():
                clients[address].hear(data)

    def settle(self, within: int = 200) -> int:
        """Step until all clients show what they may see; returns how many ticks it took."""
        for ticks in range(1, within + 1):
            self.step()
            if all(client.difference() is None for client in self.clients):
                return ticks
        raise AssertionError([client.difference() for client in self.clients])

    def spawn(self, *components: object) -> int:
        return esper.create_entity(*components)

    def net(self, entity: int) -> int:
        net = self.replicator.network_id(entity)
        assert net is not None
        return net


@pytest.fixture
def field(request: pytest.FixtureRequest) -> Iterator[Field]:
    made = Field(getattr(request, "param", None))
    yield made
    made.close()


def interest(policy: Interest) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("field", [policy], indirect=True)


gridded = interest(Grid(Place, 10))


class Blindfold(Grid):
    """A grid in which who looks from nothing sees only what has no position."""

    def group_key(
        self, client: InterestObserver, entities: Iterable[Placed], tick: int
    ) -> Hashable:
        return None if client.focus is None else super().group_key(client, entities, tick)


def get(entity: int, cls: type) -> object:
    return esper.component_for_entity(entity, cls)


def tank(entity: int) -> Tank:
    return esper.component_for_entity(entity, Tank)


# The plain case.


def test_everything_the_server_does_is_seen_a_tick_later(field: Field) -> None:
    client = field.join()
    one = field.spawn(Tank(1), Place(1, 2))
    field.step()
    assert client.of(one) == {Tank: Tank(1), Place: Place(1, 2)}
    tank(one).hp = 5
    field.step()
    assert client.of(one) == {Tank: Tank(5), Place: Place(1, 2)}
    esper.remove_component(one, Place)
    esper.add_component(one, Bag([1]))
    field.step()
    assert client.of(one) == {Tank: Tank(5), Bag: Bag([1])}
    field.world.delete(one)
    field.step()
    assert not client.knows(one)
    assert client.difference() is None


def test_insert_and_remove_in_one_tick_is_the_new_value_or_nothing(field: Field) -> None:
    client = field.join()
    one, two = field.spawn(Tank(1)), field.spawn(Tank(2))
    field.step()
    esper.remove_component(one, Tank)
    esper.add_component(one, Tank(8))
    esper.add_component(two, Place())
    esper.remove_component(two, Place)
    field.step()
    assert client.of(one) == {Tank: Tank(8)}
    assert client.of(two) == {Tank: Tank(2)}


def test_when_nothing_changes_nothing_is_sent_but_signs_of_life(field: Field) -> None:
    client = field.join(Tank(1))
    field.step(60)
    client.fresh()
    field.step(60)
    packets = client.fresh()
    assert 3 <= len(packets) <= 20
    assert all(packet.update is None or not packet.update.runs for packet in packets)


def test_clients_with_one_neighbourhood_share_the_bytes(field: Field) -> None:
    clients = [field.join() for _ in range(3)]
    one = field.spawn(Tank(1))
    field.step(30)
    tank(one).hp = 2
    field.step()
    assert len({id(client.client_state.known) for client in clients}) == 1
    bodies = [body for group in field.replicator._groups.by_key.values() for body in group.bodies]
    assert len(bodies) == 1
    for client in clients:
        assert bytes(memoryview(bodies[0].raw)) in client.packets[-1].data


def test_who_leaves_is_told_nothing_more(field: Field) -> None:
    one, other = field.join(Tank(1)), field.join()
    field.replicator.remove_client(one.client_state)
    assert not list(field.replicator.entities.belongings(one.player))
    one.fresh()
    tank(one.player).hp = 2
    field.step(5)
    assert one.fresh() == []
    assert other.of(one.player) is not None
    field.replicator.remove_client(other.client_state)
    assert not field.replicator._groups.by_key
    assert not field.replicator._groups.watchers
    ungrouped = field.replicator.add_client(one.player, Peer(RAW))
    assert set(field.replicator.visible(ungrouped)) == {field.net(one.player)}
    assert field.replicator.shown(ungrouped) == 0
    field.replicator.remove_client(ungrouped)


def test_network_ids_are_looked_up_both_ways(field: Field) -> None:
    client = field.join()
    one = field.spawn(Tank())
    assert field.replicator.network_id(one) is None
    field.step()
    net = field.net(one)
    assert field.replicator.entity(net) == one
    assert field.replicator.entity(net + 1) is None
    assert field.replicator.can_see(client.client_state, net)
    assert not field.replicator.can_see(client.client_state, net + 1)


# Acks are taken for all packets, loss is decided by time.


def test_many_packets_a_tick_over_a_long_way_are_all_acked_and_none_is_sent_again(
    field: Field,
) -> None:
    client = field.join(bandwidth=4e6)
    client.link.lag = 0.15
    entities = [field.spawn(Tank(), Blob(bytes(60))) for _ in range(60)]
    field.step(500)
    assert 0.28 < client.server.session.path.rtt < 0.36
    client.fresh()
    changes = 0
    for number in range(20, 80):
        for entity in entities:
            tank(entity).hp = number
            esper.component_for_entity(entity, Blob).data = bytes([number]) * 60
            changes += 2
        field.step()
        assert not client.client_state.owed
    packets = client.fresh()
    assert len(packets) >= 4 * 60  # far beyond 64 packets in flight
    assert sum(len(packet.values()) for packet in packets) == changes
    field.step(60)
    assert client.server.session.in_flight == 0
    assert field.settle() == 1


# Structure rides along.


def test_a_spawn_in_a_lost_packet_comes_with_the_next_tick(field: Field) -> None:
    client = field.join(Place())
    client.link.lag = 0.2
    field.step(60)
    client.lose = lambda packet: packet.tick == field.tick
    one = field.spawn(Tank(1))
    field.step()
    client.lose = lambda packet: False
    for tick in range(2, 40):
        esper.component_for_entity(client.player, Place).x += 1
        tank(one).hp = tick
        field.step()
        if client.knows(one):
            break
    # One tick of the loss and the way there, and not the way there and back again.
    assert tick - 1 == pytest.approx(0.2 / TICK, abs=2.5)


def test_small_structure_is_in_each_packet_until_it_is_acked(field: Field) -> None:
    client = field.join(Tank())
    client.mute = True
    field.spawn(Tank(3))
    field.step()
    client.fresh()
    for hp in range(5):
        tank(client.player).hp = hp
        field.step()
    assert [len(packet.fragments) for packet in client.fresh()] == [1] * 5
    client.mute = False
    field.step(3)
    client.fresh()
    tank(client.player).hp = 99
    field.step()
    assert [len(packet.fragments) for packet in client.fresh()] == [0]


# Owed.


def test_what_was_lost_is_sent_again_with_its_value_of_then(field: Field) -> None:
    client = field.join()
    one, two = field.spawn(Tank(1)), field.spawn(Tank(1))
    field.step(30)
    client.lose = lambda packet: True
    tank(one).hp = 7
    tank(two).speed = 1.0
    field.step()
    client.lose = lambda packet: False
    client.fresh()
    tank(two).hp = 9
    assert field.settle(60) > 1
    values = client.values()
    assert values[field.net(one), CID[Tank]] == [Tank(7)]
    # The other has a newer value on its way: it is sent once.
    assert values[field.net(two), CID[Tank]] == [Tank(9, 1.0)]


def test_what_the_budget_left_out_is_owed_and_comes(field: Field) -> None:
    bandwidth = 6000
    client = field.join(bandwidth=bandwidth)
    entities = [field.spawn(Tank(), Place(i)) for i in range(250)]
    field.settle(900)
    field.step(100)
    client.fresh()
    before = field.now
    owed = 0
    for hp in range(1000, 1060):
        for entity in entities:
            tank(entity).hp = hp
        field.step()
        owed = max(owed, len(client.client_state.owed))
    assert owed > 20
    spent = sum(len(packet.data) for packet in client.packets)
    assert spent <= bandwidth * (field.now - before) + client.server._burst + 2 * MAX_PACKET
    assert client.difference() is not None
    # Nothing changes any more: what is stale is owed, and leaves only by being sent.
    field.settle(300)
    field.step(60)
    assert not client.client_state.owed


def test_what_is_owed_to_everybody_is_not_sent_to_those_who_have_it(field: Field) -> None:
    poor, rich = field.join(bandwidth=4000), field.join()
    entities = [field.spawn(Tank(), Blob(bytes(40))) for i in range(60)]
    field.settle(600)
    for entity in entities:
        tank(entity).hp = 5
    field.step()
    assert rich.difference() is None
    assert not rich.client_state.owed
    field.settle(300)
    rich.fresh()
    field.step(10)
    assert not any(packet.values() for packet in rich.fresh())
    assert poor.difference() is None


# The newest wins.


def test_an_old_datagram_does_not_overwrite_a_component_inserted_anew(field: Field) -> None:
    client = field.join()
    one = field.spawn(Tank(1))
    field.step(5)
    late: list[bytes] = []
    client.lose = lambda packet: bool(late.append(packet.data)) or True
    tank(one).hp = 2
    field.step()
    client.lose = lambda packet: False
    esper.remove_component(one, Tank)
    field.step()
    esper.add_component(one, Tank(3))
    field.step()
    assert client.of(one) == {Tank: Tank(3)}
    assert late
    for data in late:
        client.take(data)
    assert client.of(one) == {Tank: Tank(3)}


def test_packets_may_come_in_any_order_and_twice(field: Field) -> None:
    client = field.join()
    entities = [field.spawn(Tank(0)) for _ in range(10)]
    field.step(5)
    held: list[bytes] = []
    client.lose = lambda packet: bool(held.append(packet.data)) or True
    for hp in range(1, 12):
        for entity in entities[: hp % 10 + 1]:
            tank(entity).hp = hp
        field.step()
    client.lose = lambda packet: False
    random.Random(3).shuffle(held)
    for data in held * 2:
        client.take(data)
    assert client.peer.session.duplicates >= len(held)
    assert field.settle(3)
    field.step(30)
    client.fresh()
    field.step(30)
    assert not any(packet.values() for packet in client.fresh())  # all of it is acked


# An invalid value is not sent.


def test_one_bad_value_keeps_nobody_from_anything(
    field: Field, caplog: pytest.LogCaptureFixture
) -> None:
    clients = [field.join(), field.join()]
    entities = [field.spawn(Tank(1), Place()) for _ in range(5)]
    field.step(3)
    tank(entities[2]).hp = 2.5  # type: ignore[assignment]
    esper.component_for_entity(entities[2], Place).x = 4.0
    for entity in entities[3:]:
        tank(entity).hp = 8
    field.step(3)
    for client in clients:  # who decodes each datagram, or fails
        assert [client.of(entity) for entity in entities[2:4]] == [
            {Tank: Tank(1), Place: Place(4.0)},
            {Tank: Tank(8), Place: Place()},
        ]
    newcomer = field.join()
    assert newcomer.of(entities[2]) == {Tank: Tank(1), Place: Place(4.0)}
    (line,) = caplog.messages
    assert "Tank.hp: 2.5 is not int" in line
    assert f"entity {entities[2]}" in line


def test_a_bad_value_hides_no_other_that_is_too_large(
    field: Field, caplog: pytest.LogCaptureFixture
) -> None:
    client = field.join()
    bad, large = field.spawn(Blob(b"x")), field.spawn(Blob(b"y"))
    field.step(3)
    get(bad, Blob).data = "no bytes"  # type: ignore[attr-defined]
    get(large, Blob).data = bytes(ENTITY_BYTES)  # type: ignore[attr-defined]
    field.step(3)
    assert client.of(bad) == {Blob: Blob(b"x")}
    assert client.of(large) == {Blob: Blob(b"y")}
    assert len(caplog.messages) == 2


# Runs.


def test_what_changed_in_one_tick_travels_together(field: Field) -> None:
    client = field.join()
    entities = [field.spawn(Tank(), Place(), Blob(bytes(20))) for _ in range(90)]
    field.settle(100)
    client.fresh()
    for entity in entities:
        tank(entity).hp += 1
        esper.component_for_entity(entity, Place).x += 1
    for entity in entities[:9]:
        esper.component_for_entity(entity, Blob).data = bytes(21)
    field.step()
    packets = [packet for packet in client.fresh() if packet.values()]
    assert len(packets) > 1
    seen: dict[int, set[int]] = {}
    for packet in packets:
        assert packet.update is not None
        for run in packet.update.runs:
            cids = {cid for cid, _ in WIRE.columns(run) or ()}
            for net in run.entities():
                assert net not in seen  # a whole entity is in one run
                seen[net] = cids
    both, all_three = {CID[Tank], CID[Place]}, {CID[Tank], CID[Place], CID[Blob]}
    for number, entity in enumerate(entities):
        assert seen[field.net(entity)] == (all_three if number < 9 else both)


def test_of_an_entity_larger_than_a_datagram_one_version_is_in_flight(field: Field) -> None:
    client = field.join(Tank())
    client.link.lag = 0.1
    big = field.spawn(Blob(bytes(3000)))
    field.step(60)
    backlog = 0
    for number in range(120):
        esper.component_for_entity(big, Blob).data = bytes([number]) * 3000
        field.step()
        backlog = max(backlog, client.server.backlog)
    assert 3000 <= backlog < 2 * 3000
    assert client.messages[-1].sets  # it came by the stream
    assert field.settle(60) > 1


def test_a_large_value_comes_beside_a_small_one(field: Field) -> None:
    client = field.join()
    small, large = field.spawn(Tank()), field.spawn(Blob(bytes(5000)))
    field.settle()
    field.step(60)
    tank(small).hp = 3
    get(large, Blob).data = b"x" * 5000  # type: ignore[attr-defined]
    field.settle(20)
    assert client.of(large) == {Blob: Blob(b"x" * 5000)}


def test_what_fills_a_datagram_exactly_goes_by_one_beside_what_is_larger(field: Field) -> None:
    client = field.join()
    exact, larger = field.spawn(Blob()), field.spawn(Blob())
    field.step(30)
    around = len(encode_run([field.net(exact)], [(CID[Blob], [[bytes(1000)]])])) - 1000
    client.fresh()
    get(exact, Blob).data = bytes(BODY_BYTES - around)  # type: ignore[attr-defined]
    get(larger, Blob).data = bytes(3000)  # type: ignore[attr-defined]
    field.step(10)
    assert client.values() == {
        (field.net(exact), CID[Blob]): [Blob(bytes(BODY_BYTES - around))],
    }
    assert client.difference() is None


def test_large_owned_and_distant_entities_go_by_the_stream_too() -> None:
    field = Field(Grid(Place, 10))
    client = field.join(Place(5, 5), Diary("a" * 2000))
    far = field.spawn(Place(500, 500), Blob(bytes(2000)), Owner(client.player))
    field.settle()
    for number in range(3):
        get(client.player, Diary).text = f"{number}" * 2000  # type: ignore[attr-defined]
        get(far, Blob).data = bytes([number]) * 2000  # type: ignore[attr-defined]
        field.step(2)
    field.settle()
    assert client.of(far) is not None
    field.close()


def test_so_many_bytes_of_large_entities_are_on_their_way_at_a_time(field: Field) -> None:
    client = field.join()
    crowd = [field.spawn(Blob(bytes(5000))) for _ in range(12)]
    field.settle()
    field.step(60)
    client.mute = True  # so that nothing is known to have arrived
    for entity in crowd:
        esper.component_for_entity(entity, Blob).data = b"x" * 5000
    field.step(60)
    assert 2 * STRUCTURE_BYTES <= client.server.backlog < 2 * STRUCTURE_BYTES + 5100
    client.mute = False
    field.settle(600)


def test_a_small_gain_of_an_owner_is_queued_however_much_is_on_its_way(field: Field) -> None:
    client = field.join()
    crowd = [field.spawn(Blob(bytes(5000))) for _ in range(12)]
    field.settle()
    field.step(60)
    client.mute = True
    for entity in crowd:
        esper.component_for_entity(entity, Blob).data = b"x" * 5000
    field.step(60)
    assert client.server.backlog >= 2 * STRUCTURE_BYTES
    queued = client.server.queued
    esper.add_component(client.player, Secret())
    field.step()
    assert client.server.queued == queued + 1  # behind that, in its turn
    client.mute = False
    field.settle(600)
    assert Secret in client.of(client.player)  # type: ignore[operator]


def test_nothing_is_kept_of_large_entities_that_are_gone(field: Field) -> None:
    client = field.join()
    for number in range(5):
        big = field.spawn(Blob(bytes(2000)))
        field.settle()
        esper.component_for_entity(big, Blob).data = bytes([number]) * 2000
        field.settle()
        field.world.delete(big)
        field.settle()
    assert len(client.client_state.big) <= 1


# Waiting values.


def test_when_too_much_waits_for_structure_everything_is_sent_again(field: Field) -> None:
    client = field.join(waiting_bytes=3000)
    client.lose = lambda packet: bool(packet.fragments)
    entities = [field.spawn(Tank(), Blob(bytes(60))) for _ in range(60)]
    for hp in range(60):
        for entity in entities:
            tank(entity).hp = hp
        field.step()
        assert client.store._waiting_bytes <= 3000
    client.lose = lambda packet: False
    field.settle(400)
    assert client.resyncs > 0
    field.step(60)
    assert client.store.confirmed_tick > field.tick - 20


def test_who_lost_the_values_of_a_huge_world_has_its_next_turn_after_twenty_seconds(
    field: Field,
) -> None:
    client = field.join(settle=False)
    state = client.client_state
    waits = []
    for known in (2_000, 5_000, 100_000):
        state.known = {*range(known)}
        field.replicator._resync_at = state.resync_at = 0
        state.restoring = False
        field.replicator.resync(state)
        waits.append(state.resync_at - field.replicator._updates)
    assert waits == [6 * 60, 15 * 60, 20 * 60]


# Entering is streamed.


@pytest.mark.parametrize("bandwidth", [4e5, 5e4])
@pytest.mark.parametrize("player", [True, False])
def test_a_late_joiner_gets_the_world_in_pieces(
    field: Field, bandwidth: float, player: bool
) -> None:
    for number in range(1500):
        field.spawn(Tank(number), Place(number, 1), Blob(bytes(20)))
    field.step()
    client = field.join(bandwidth=bandwidth, settle=False)
    if not player:
        esper.delete_entity(client.player, immediate=True)
    client.link.lag = 0.05
    in_flight = 0
    for _ in range(400):
        field.step()
        in_flight = max(in_flight, client.server.backlog)
        if client.difference() is None:
            break
    assert client.difference() is None
    assert len(client.structures) > 4
    assert max(map(len, client.structures)) <= STRUCTURE_BYTES
    filled = [len(structure) / STRUCTURE_BYTES for structure in client.structures[1:-2]]
    assert 0.7 < min(filled) <= max(filled) < 0.76  # a quarter is for what its owner alone may see
    assert STRUCTURE_BYTES < in_flight <= 3 * STRUCTURE_BYTES


def test_the_own_player_enters_first_and_then_what_it_owns(field: Field) -> None:
    others = [field.spawn(Blob(bytes(700))) for _ in range(60)]
    owned = [field.spawn(Blob(bytes(700))) for _ in range(30)]  # with lower ids than the player
    client = field.join(Blob(bytes(700)), settle=False)
    for entity in owned:
        esper.add_component(entity, Owner(client.player))
        esper.add_component(entity, Secret(1))
    field.step()
    pieces: dict[int, int] = {}
    while client.difference() is not None:
        field.step()
        for piece, message in enumerate(client.messages):
            for run in message.sets:
                for net in run.entities():
                    pieces.setdefault(net, piece)
    came = {entity: pieces[field.net(entity)] for entity in (client.player, *owned, *others)}
    assert came[client.player] == 0
    assert 1 <= max(came[entity] for entity in owned) <= min(came[entity] for entity in others)


@interest(Grid(Place, 1000))
def test_what_is_nearest_enters_first(field: Field) -> None:
    near = [field.spawn(Place(500 + i, 500), Blob(bytes(200))) for i in range(1, 40)]
    far = [field.spawn(Place(900 - i, 10), Blob(bytes(200))) for i in range(75)]
    far += [field.spawn(Place(10, 900 - i), Blob(bytes(200))) for i in range(75)]
    far += [field.spawn(Place(500, 900 - i), Blob(bytes(200))) for i in range(75)]
    far += [field.spawn(Place(900 - i, 500), Blob(bytes(200))) for i in range(75)]
    nowhere = field.spawn(Tank())
    field.step()
    client = field.join(Place(500, 500), settle=False)
    while not client.messages:
        field.step()
    first = client.messages[0]
    entered = [net for run in first.sets for net in run.entities()]
    assert {field.net(entity) for entity in (client.player, nowhere, *near)} <= set(entered)
    assert 0 < sum(field.net(entity) in entered for entity in far) < len(far)
    field.settle()


@pytest.mark.parametrize("most", [100, 2000])
@interest(Grid(Place, 1000))
def test_however_large_each_is_the_nearer_ones_enter_first(field: Field, most: int) -> None:
    dice = random.Random(4)
    sizes = [2 * STRUCTURE_BYTES if i % 33 == 32 else dice.randrange(most) for i in range(300)]
    line = [field.spawn(Place(500 - i, 500), Blob(bytes(size))) for i, size in enumerate(sizes)]
    field.step()
    client = field.join(Place(500, 500), settle=False)
    field.settle(600)
    pieces: dict[int, int] = {}
    for piece, message in enumerate(client.messages):
        for run in message.sets:
            for net in run.entities():
                pieces.setdefault(net, piece)
    entered = [pieces[field.net(entity)] for entity in line]
    assert entered == sorted(entered)
    assert entered[-1] > 8
    lengths = [
        len(structure)
        for structure, message in zip(client.structures, client.messages, strict=True)
        if sum(len(run.ids) for run in message.sets) > 1
    ]
    assert max(lengths) <= STRUCTURE_BYTES


def test_a_small_world_enters_in_one_message_with_a_run_for_each_kind(field: Field) -> None:
    for number in range(3):
        field.spawn(Tank(number))
        field.spawn(Tank(number), Place(number))
    field.step()
    client = field.join()
    (message,) = client.messages
    assert sorted(len(run.ids) for run in message.sets) == [1, 3, 3]
    large = field.spawn(Blob(bytes(2 * STRUCTURE_BYTES)))
    field.settle()
    assert client.knows(large)
    assert len(client.messages) == 2


def test_who_enters_is_told_once_of_what_comes_meanwhile(field: Field) -> None:
    one = field.spawn(Tank(1))
    for _ in range(600):
        field.spawn(Blob(bytes(100)))
    field.step()
    client = field.join(settle=False)
    field.step(2)
    assert client.knows(one)
    assert client.difference() is not None
    esper.add_component(one, Place(7))
    field.settle()
    told = [
        run.entities()
        for message in client.messages
        for run in message.sets
        if CID[Place] in {cid for cid, _ in WIRE.columns(run) or ()}
    ]
    assert told == [[field.net(one)]]


@gridded
def test_what_a_player_owns_far_away_enters_as_soon_as_there_is_room(field: Field) -> None:
    for _ in range(56):
        field.spawn(Place(5, 5), Blob(bytes(600)))
    field.step()
    client = field.join(Place(5, 5), settle=False)
    client.mute = True
    field.step(6)
    known = client.client_state.known
    assert known == field.replicator.visible(client.client_state).keys()  # and acknowledges nothing
    far = field.spawn(Place(500, 500), Owner(client.player))
    field.step(3)
    assert field.net(far) not in client.client_state.known
    client.mute = False
    field.step(60)
    assert client.knows(far)
    assert client.difference() is None


def test_values_of_what_has_not_entered_yet_do_no_harm(field: Field) -> None:
    entities = [field.spawn(Tank(number), Blob(bytes(100))) for number in range(600)]
    field.step()
    client = field.join(bandwidth=3e5, settle=False)
    client.link.lag = 0.05
    for hp in range(60):
        for entity in entities[::7]:
            tank(entity).hp = hp
        field.step()
    field.settle(400)
    assert not client.store._waiting


# Neighbourhoods.


@gridded
def test_a_client_sees_the_cells_around_its_player_as_it_moves(field: Field) -> None:
    row = [field.spawn(Place(x, 5), Tank(x)) for x in range(5, 200, 10)]
    client = field.join(Place(5, 5))
    for x in range(5, 200, 3):
        esper.component_for_entity(client.player, Place).x = x
        field.step(2)
        assert client.difference() is None
        assert 3 <= sum(client.knows(entity) for entity in row) + 1 <= 5
    assert not client.knows(row[0])
    assert client.knows(row[-1])


@gridded
def test_neighbourhood_changes_are_differences_of_what_is_known_and_what_is_there(
    field: Field,
) -> None:
    client = field.join(Place(5, 5))
    gone, stays, follows = (
        field.spawn(Place(15, 5), Tank(1)),
        field.spawn(Place(15, 5), Tank(2)),
        field.spawn(Place(-5, 5), Tank(3)),
    )
    field.step(5)
    # All in one tick: the client moves on, one dies, one moves along, one comes where it goes.
    esper.component_for_entity(client.player, Place).x = 25
    esper.component_for_entity(follows, Place).x = 35
    field.world.delete(gone)
    new = field.spawn(Place(35, 5), Tank(4))
    field.step()
    assert [client.knows(entity) for entity in (stays, follows, new)] == [True] * 3
    assert client.difference() is None
    last = client.messages[-1]
    assert (len(last.despawned), last.hidden) == (1, [])
    # And with nobody else about, one goes out of sight.
    esper.component_for_entity(client.player, Place).x = 45
    field.step()
    assert client.messages[-1].hidden == [field.net(stays)]
    assert client.difference() is None


@gridded
def test_of_what_leaves_sight_nothing_new_is_told(field: Field) -> None:
    client = field.join(Place(5, 5))
    thing = field.spawn(Place(15, 5), Secret())
    field.step(5)
    esper.component_for_entity(thing, Place).x = 500
    esper.add_component(thing, Tank(1))
    field.step()
    assert client.messages[-1].hidden == [field.net(thing)]
    assert client.messages[-1].sets == []
    assert not client.knows(thing)


def test_what_has_nothing_left_that_all_may_see_is_gone_for_them(field: Field) -> None:
    client = field.join()
    thing = field.spawn(Tank(1), Secret(1))
    field.step(5)
    named = field.net(thing)
    esper.remove_component(thing, Tank)
    field.step()
    assert (client.messages[-1].despawned, client.messages[-1].hidden) == ([named], [])
    assert not client.knows(thing)


@gridded
def test_to_and_fro_at_a_border_costs_nothing(field: Field) -> None:
    client = field.join(Place(9, 5))
    [field.spawn(Place(x, 5), Blob(bytes(50))) for x in range(-15, 40, 10)]
    field.settle()
    before = client.server.queued
    for step in range(40):
        esper.component_for_entity(client.player, Place).x = 10.9 if step % 2 else 9.1
        field.step()
    assert client.server.queued == before
    assert client.difference() is None


@gridded
def test_worlds_stay_equal_with_everything_moving_under_loss(field: Field) -> None:
    dice = random.Random(8)
    clients = [field.join(Place(dice.uniform(0, 80), 5), Secret()) for _ in range(3)]
    entities = [field.spawn(Place(dice.uniform(0, 80), 5), Tank()) for _ in range(30)]
    lost = 0

    def lose(packet: Packet) -> bool:
        nonlocal lost
        lost += (chance := dice.random() < 0.3)
        return chance

    for client in clients:
        client.lose, client.link.lag = lose, 0.03
    for _ in range(200):
        for entity in dice.sample(entities, 8):
            place = esper.component_for_entity(entity, Place)
            place.x = (place.x + dice.uniform(-9, 9)) % 80
        for client in clients:
            place = esper.component_for_entity(client.player, Place)
            place.x = (place.x + dice.uniform(-3, 3)) % 80
        if dice.random() < 0.3:
            field.world.delete(entities.pop(dice.randrange(len(entities))))
            entities.append(field.spawn(Place(dice.uniform(0, 80), 5), Tank()))
        field.step()
    for client in clients:
        client.lose = lambda packet: False
    assert lost > 100
    assert field.settle(60) < 60


@interest(Visible(lambda player, entity: (player + entity) % 2 == 0))
def test_a_predicate_decides_what_a_client_sees(field: Field) -> None:
    clients = [field.join(Tank()) for _ in range(2)]
    entities = [field.spawn(Tank(number)) for number in range(6)]
    field.settle()
    for client in clients:
        for entity in entities:
            assert client.knows(entity) == ((client.player + entity) % 2 == 0)
        assert client.knows(client.player)  # one's own in any case


# The shadow speaks.


def test_rate_holds_for_newcomers_too(field: Field) -> None:
    old = field.join()
    one = field.spawn(Slow(0))
    changes = []
    for number in range(1, 40):
        esper.component_for_entity(one, Slow).n = number
        if number == 22:
            new = field.join(settle=False)
        field.step()
        parts = old.of(one)
        assert parts is not None
        changes.append(parts[Slow])
        if number > 22:
            assert new.of(one) == parts  # not a value that nobody else has yet
    assert len(set(map(str, changes))) <= 40 / 5 + 1
    field.step(5)
    assert old.of(one) == new.of(one) == {Slow: Slow(39)}


def test_a_value_sent_again_is_the_shadow_and_not_the_live_one(field: Field) -> None:
    client = field.join()
    one = field.spawn(Slow(0))
    field.step(10)
    cid = CID[Slow]
    client.lose = lambda packet: bool(packet.values())
    esper.component_for_entity(one, Slow).n = 1
    field.step(5)
    assert client.of(one) == {Slow: Slow(0)}
    client.fresh()
    client.lose = lambda packet: False
    resent: list[object] = []
    for number in range(2, 30):
        # Off beat: the live value runs ahead of what was told.
        esper.component_for_entity(one, Slow).n = number
        field.step()
        for packet in client.fresh():
            value = packet.values().get((field.net(one), cid))
            if value is not None:
                resent.append(value)
                entities = field.replicator.entities
                assert value == entities.detectors[cid].shadow(entities.by_esper[one])
    assert len(resent) >= 4


def test_once_is_the_value_at_insert_for_every_later_client(field: Field) -> None:
    one = field.spawn(Kind(1))
    first = field.join()
    esper.component_for_entity(one, Kind).number = 2
    second = field.join()
    assert first.of(one) == second.of(one) == {Kind: Kind(1)}
    esper.remove_component(one, Kind)
    esper.add_component(one, Kind(3))
    field.step()
    assert first.of(one) == second.of(one) == field.join().of(one) == {Kind: Kind(3)}


# Solid.


@pytest.mark.parametrize(("count", "bandwidth"), [(40, 40_000), (600, 1e6)])
def test_confirmed_tick_promises_that_nothing_older_is_missing(
    field: Field, count: int, bandwidth: float
) -> None:
    """In one datagram a tick, and in several."""
    dice = random.Random(5)
    client = field.join(bandwidth=bandwidth)
    entities = [field.spawn(Tank(), Place()) for _ in range(count)]
    field.settle(60)
    client.link.lag = 0.04
    client.lose = lambda packet: dice.random() < 0.3
    history: dict[int, dict[tuple[int, int], int]] = {}
    detectors = [(CID[cls], field.replicator.entities.detectors[CID[cls]]) for cls in (Tank, Place)]
    lags = []
    compared = 0
    for _ in range(300):
        for entity in dice.sample(entities, count * 3 // 8):
            tank(entity).hp += 1
        for entity in dice.sample(entities, 3):
            esper.component_for_entity(entity, Place).x += 1
        field.step()
        history[field.tick] = {
            (entity.net, cid): tick
            for cid, detector in detectors
            for entity, tick in detector.ticks().items()
        }
        confirmed_tick = client.store.confirmed_tick
        assert confirmed_tick <= client.store.tick <= field.tick
        lags.append(field.tick - confirmed_tick)
        for (net, cid), tick in history.get(confirmed_tick, {}).items():
            assert client.store.entities[net].ticks[cid] >= tick
            compared += 1
    assert compared > 10_000
    assert max(lags) > 5  # it lags while something is missing
    client.lose = lambda packet: False
    field.settle(60)
    field.step(60)
    assert field.tick - client.store.confirmed_tick < 20  # and comes up again


def test_a_tick_of_which_a_datagram_is_missing_is_not_confirmed(field: Field) -> None:
    client = field.join(bandwidth=1e6)
    entities = [field.spawn(Blob(bytes(25))) for _ in range(60)]
    field.settle()
    field.step(60)
    carried: list[Packet] = []

    def lose(packet: Packet) -> bool:
        if packet.update is not None and packet.update.runs:
            carried.append(packet)
        return len(carried) > 1

    client.lose = lose
    for entity in entities:
        get(entity, Blob).data = b"x" * 25  # type: ignore[attr-defined]
    field.step()
    assert len(carried) == 2
    client.lose = lambda packet: False
    assert client.store.tick == field.tick
    assert client.store.confirmed_tick < field.tick
    field.settle()


def test_runs_are_in_the_order_of_ids_in_whatever_order_entities_got_theirs(field: Field) -> None:
    ids = iter([9, 3, 30, 7, 1, *range(40, 50)])
    field.replicator.entities._draw_id = ids.__next__
    entities = [field.spawn(Tank(), Secret()) for _ in range(4)]
    client = field.join()
    for entity in entities[2:]:
        esper.add_component(entity, Owner(client.player))
    field.step(2)
    for entity in entities:
        tank(entity).hp += 1
        esper.component_for_entity(entity, Secret).code += 1
    field.step()
    assert [field.net(entity) for entity in entities] == [9, 3, 30, 7]
    assert client.difference() is None


# Owners.


def test_owner_only_components_reach_their_owner_and_nobody_else(field: Field) -> None:
    ann, bob = field.join(Secret(1)), field.join(Secret(2))
    thing = field.spawn(Tank(), Secret(3), Owner(ann.player))
    nobodys = field.spawn(Tank(), Secret(4))
    field.step(2)
    for number in range(5, 9):
        for entity in (ann.player, bob.player, thing, nobodys):
            esper.component_for_entity(entity, Secret).code = number
            if number % 2:
                tank(thing).hp = number
        field.step()
    assert Secret in (ann.of(ann.player) or {})
    assert (ann.of(thing) or {})[Secret] == Secret(8)
    assert (bob.of(bob.player) or {})[Secret] == Secret(8)
    for client, entity in ((bob, thing), (bob, ann.player), (ann, bob.player), (ann, nobodys)):
        assert Secret not in (client.of(entity) or {})
    cid = CID[Secret]
    for client, own in ((ann, {ann.player, thing}), (bob, {bob.player})):
        told = {net for packet in client.packets for net, c in packet.values() if c == cid}
        assert told == {field.net(entity) for entity in own}
        assert client.difference() is None


def test_everything_again_is_nothing_of_what_only_others_may_see(field: Field) -> None:
    ann, bob = field.join(Badge(1), Secret(2), Tank()), field.join(Badge(3), Secret(4))
    field.step(60)
    bob.fresh()
    field.replicator.resync(bob.client_state)
    field.step(60)
    told: dict[int, set[int]] = {}
    for net, cid in bob.values():
        told.setdefault(net, set()).add(cid)
    assert told[field.net(ann.player)] == {CID[Tank], CID[Player]}
    assert told[field.net(bob.player)] == {CID[Badge], CID[Secret], CID[Player]}


def test_owner_only_values_of_one_owner_travel_in_one_run(field: Field) -> None:
    ann, bob = field.join(), field.join()
    things = [field.spawn(Secret(1), Owner(each.player)) for each in (ann, bob) * 3]
    field.step(30)
    for client in (ann, bob):
        client.fresh()
    for thing in reversed(things):
        esper.component_for_entity(thing, Secret).code = 2
    field.step()
    for client, own in ((ann, things[::2]), (bob, things[1::2])):
        runs = [run for packet in client.fresh() if packet.update for run in packet.update.runs]
        assert [list(run.entities()) for run in runs] == [sorted(map(field.net, own))]


def test_owner_only_values_that_were_lost_are_sent_again_to_the_owner(field: Field) -> None:
    ann, bob = field.join(Secret(1)), field.join()
    field.step(30)
    ann.lose = bob.lose = lambda packet: True
    esper.component_for_entity(ann.player, Secret).code = 9
    field.step()
    ann.lose = bob.lose = lambda packet: False
    bob.fresh()
    field.settle(60)
    assert (ann.of(ann.player) or {})[Secret] == Secret(9)
    assert not any((field.net(ann.player), CID[Secret]) in p.values() for p in bob.fresh())


def test_owner_only_values_come_beside_more_than_a_datagram(field: Field) -> None:
    ann = field.join(Secret(1))
    entities = [field.spawn(Blob(bytes(25))) for _ in range(60)]
    field.settle()
    field.step(60)
    ann.fresh()
    for entity in entities:
        get(entity, Blob).data = b"x" * 25  # type: ignore[attr-defined]
    get(ann.player, Secret).code = 2  # type: ignore[attr-defined]
    field.step()
    assert len([packet for packet in ann.fresh() if packet.values()]) > 1
    field.settle(20)


def test_a_change_of_owner_is_told_to_both(field: Field) -> None:
    ann, bob = field.join(), field.join()
    thing = field.spawn(Tank(), Secret(3), Diary("dear"), Owner(ann.player))
    field.step(2)
    assert set(ann.of(thing) or {}) == {Tank, Owner, Secret, Diary}
    assert set(bob.of(thing) or {}) == {Tank, Owner}
    esper.component_for_entity(thing, Owner).player = bob.player
    field.step()
    assert set(bob.of(thing) or {}) == {Tank, Owner, Secret, Diary}
    assert set(ann.of(thing) or {}) == {Tank, Owner}
    esper.component_for_entity(thing, Secret).code = 4
    field.step()
    assert (bob.of(thing) or {})[Secret] == Secret(4)
    esper.remove_component(thing, Diary)
    field.step()
    assert set(bob.of(thing) or {}) == {Tank, Owner, Secret}
    esper.remove_component(thing, Owner)
    field.step()
    assert set(bob.of(thing) or {}) == {Tank}
    for client in (ann, bob):
        assert client.difference() is None


def test_owner_only_components_inserted_anew_are_told_anew(field: Field) -> None:
    ann = field.join(Secret(1), Badge(1))
    for component in (Secret(5), Badge(5)):
        esper.remove_component(ann.player, type(component))
        esper.add_component(ann.player, component)
        field.step()
        assert (ann.of(ann.player) or {})[type(component)] == component
    esper.remove_component(ann.player, Secret)
    field.step()
    assert Secret not in (ann.of(ann.player) or {})
    esper.add_component(ann.player, Secret(7))
    field.step()
    assert (ann.of(ann.player) or {})[Secret] == Secret(7)


def test_that_owner_only_components_come_and_go_is_told_to_the_owner_alone(field: Field) -> None:
    ann, bob = field.join(), field.join()
    thing = field.spawn(Tank(1), Secret(1), Owner(ann.player))
    field.step(5)
    queued = bob.server.queued
    esper.add_component(thing, Diary("dear"))
    field.step()
    came = ann.messages[-1]
    assert [[cid for cid, _ in WIRE.columns(run) or ()] for run in came.sets] == [[CID[Diary]]]
    assert came.removed == []
    esper.remove_component(thing, Secret)
    field.step()
    went = ann.messages[-1]
    assert went.sets == []
    assert went.removed == [(CID[Secret], [field.net(thing)])]
    assert bob.server.queued == queued
    assert ann.difference() is bob.difference() is None


def test_what_only_its_owner_may_see_any_of_is_shown_to_it_alone(field: Field) -> None:
    ann, bob = field.join(Secret(1)), field.join()
    esper.remove_component(ann.player, Player)
    field.step(2)
    assert ann.of(ann.player) == {Secret: Secret(1)}
    assert not bob.knows(ann.player)
    esper.component_for_entity(ann.player, Secret).code = 5
    field.step()
    assert ann.of(ann.player) == {Secret: Secret(5)}
    assert ann.difference() is bob.difference() is None


@gridded
def test_owners_see_what_they_own_wherever_it_is(field: Field) -> None:
    ann, bob = field.join(Place(5, 5)), field.join(Place(5, 5))
    far = field.spawn(Place(500, 500), Tank(1), Secret(2), Owner(ann.player))
    field.step(2)
    assert set(ann.of(far) or {}) == {Place, Tank, Secret, Owner}
    assert not bob.knows(far)
    tank(far).hp = 9
    esper.component_for_entity(far, Secret).code = 9
    field.step()
    assert (ann.of(far) or {})[Tank] == Tank(9)
    assert (ann.of(far) or {})[Secret] == Secret(9)
    esper.component_for_entity(far, Owner).player = None
    field.step()
    assert not ann.knows(far)
    assert ann.difference() is None


@gridded
def test_what_has_no_position_is_seen_by_all_and_a_dead_centre_stays(field: Field) -> None:
    ann = field.join(Place(55, 5))
    banner, near = field.spawn(Tank(1)), field.spawn(Place(52, 5))
    field.spawn(Place(5, 5))
    field.step(2)
    assert ann.knows(banner)
    field.world.delete(ann.player)
    field.step(3)
    assert ann.knows(near)  # it still looks at where it was
    assert ann.difference() is None
    ship = field.spawn(Place(205, 5), Owner(ann.player))
    field.step(2)
    assert not ann.knows(ship)  # a player that is gone owns nothing
    assert ann.knows(near)


@interest(Blindfold(Place, 10))
def test_where_the_database_was_cleared_a_client_looks_from_nothing_and_owns_nothing(
    field: Field,
) -> None:
    ann = field.join(Place(5, 5), Secret(1))
    near = field.spawn(Place(5, 5))
    field.step(2)
    assert ann.knows(near)
    esper.clear_database()
    field.step()
    bob = field.join(Place(5, 5), Secret(2), settle=False)
    assert bob.player == ann.player  # esper counts from 1 again
    banner, thing = field.spawn(Tank(1)), field.spawn(Tank(2), Secret(3), Owner(bob.player))
    field.step(5)
    assert bob.knows(bob.player)
    assert not ann.knows(bob.player)
    for client, sees in ((ann, {Tank, Owner}), (bob, {Tank, Owner, Secret})):
        assert client.knows(banner)
        assert set(client.of(thing) or {}) == sees
        assert client.difference() is None
    assert ann.client_state.focus is None


@gridded
def test_a_viewer_looks_from_its_player_or_else_from_what_it_owns(field: Field) -> None:
    ann = field.join()
    far, near = field.spawn(Place(505, 5), Tank(1)), field.spawn(Place(5, 5), Tank(2))
    field.step(2)
    assert not ann.knows(far)
    ship = field.spawn(Place(500, 5), Owner(ann.player))
    field.step(2)
    assert ann.knows(far)
    esper.add_component(ann.player, Place(5, 5))
    field.step(2)
    assert ann.knows(near)
    assert not ann.knows(far)
    assert ann.knows(ship)


# Equal means.


def test_what_does_not_show_on_the_wire_is_not_sent(field: Field) -> None:
    client = field.join()
    one = field.spawn(Coarse(1.0), Tank(1, 2.0))
    field.step(30)
    client.fresh()
    for x in (1.01, 1.2, 0.9, 1.1):
        esper.component_for_entity(one, Coarse).x = x
        tank(one).speed = 2 if x > 1 else 2.0
        field.step()
    tank(one).speed = 0.0
    field.step()
    tank(one).speed = -0.0
    field.step()
    values = client.values()
    assert values == {(field.net(one), CID[Tank]): [Tank(1, 0.0)]}
    assert client.difference() is None
    esper.component_for_entity(one, Coarse).x = 1.6
    field.step()
    assert len(client.values()) == 1


def test_a_view_shows_quantised_values_and_floats_for_ints(field: Field) -> None:
    client = field.join()
    one = field.spawn(Coarse(1.3), Tank(1, 7))
    field.step()
    local = client.view.local[field.net(one)]
    parts = client.view.world.components(local)
    assert parts[Coarse] == Coarse(1.5)
    speed = parts[Tank].speed  # type: ignore[attr-defined]
    assert (speed, type(speed)) == (7.0, float)


# Identity.


def test_network_ids_are_never_reused_even_after_clear_database(field: Field) -> None:
    client = field.join(settle=False)
    used: set[int] = set()
    for _ in range(4):
        entities = [field.spawn(Tank(i)) for i in range(5)]
        field.step(2)
        nets = {field.net(entity) for entity in entities}
        assert not nets & used
        used |= nets
        assert nets <= client.store.entities.keys()
        esper.clear_database()
        field.step(2)
        assert not nets & client.store.entities.keys()
    assert len(used) == 20


def test_despawn_and_respawn_in_one_tick_is_another_entity(field: Field) -> None:
    client = field.join()
    one = field.spawn(Tank(1))
    field.step()
    before = field.net(one)
    field.world.delete(one)
    two = field.spawn(Tank(2))
    field.step()
    assert before not in client.store.entities
    assert field.net(two) != before
    assert client.of(two) == {Tank: Tank(2)}


def test_every_datagram_names_its_simulation(field: Field) -> None:
    client = field.join(Tank(1))
    for hp in range(5):
        tank(client.player).hp = hp
        field.spawn(Place())
        field.step()
    updates = [packet.update for packet in client.packets if packet.update is not None]
    assert len(updates) >= 5
    assert {update.epoch for update in updates} == {EPOCH}
    assert {message.epoch for message in client.messages} == {EPOCH}


def test_a_reference_to_what_is_out_of_sight_heals(field: Field) -> None:
    client = field.join()
    later = field.spawn(5)  # nothing that is replicated
    one = field.spawn(Likes(later))
    field.step()
    local = client.view.local[field.net(one)]
    assert client.view.world.components(local)[Likes] == Likes(None)
    esper.add_component(later, Tank())
    field.step(2)
    assert client.view.world.components(local)[Likes] == Likes(client.view.local[field.net(later)])
    assert client.difference() is None


# PacketCodec.


def test_what_rides_and_what_fills_a_datagram_do_not_fit_into_one(field: Field) -> None:
    client = field.join(bandwidth=4e6)
    entities = [field.spawn(Blob(bytes(60))) for _ in range(40)]
    field.settle()
    client.fresh()
    field.spawn(Blob(bytes(300)))
    for entity in entities:
        esper.component_for_entity(entity, Blob).data = bytes([1]) * 60
    field.step()
    packets = client.fresh()
    assert packets[0].fragments
    assert packets[0].update is None  # what rides, by itself
    assert max(len(packet.data) for packet in packets) <= MAX_PACKET
    assert any(len(packet.data) > BODY_BYTES - 300 for packet in packets)
    assert client.difference() is None


def test_an_empty_bucket_stays_silent_until_it_fills(field: Field) -> None:
    client = field.join(Tank(), bandwidth=600)
    for hp in range(300):
        tank(client.player).hp = hp
        field.step()
    assert sum(len(packet.data) for packet in client.packets) < 600 * 5.2 + 2 * 2350
    field.settle(300)


def test_the_report_goes_into_each_update(field: Field) -> None:
    client = field.join(Tank())
    client.client_state.report = (16, 1, 2, 3, 4)
    tank(client.player).hp = 3
    field.step()
    report = client.store.report
    assert report is not None
    assert (report.slack, report.applied, report.rejected) == (16, 1, 4)


def test_a_large_change_of_structure_is_cut_into_pieces(field: Field) -> None:
    client = field.join(bandwidth=4e6)
    entities = [field.spawn(Place(i)) for i in range(400)]
    field.settle()
    client.structures.clear()
    for entity in entities[:200]:
        esper.add_component(entity, Blob(bytes(150)))
    for entity in entities[200:]:
        esper.add_component(entity, Bag(list(range(50))))
        esper.remove_component(entity, Place)
    field.settle()
    assert len(client.structures) > 2
    assert max(map(len, client.structures)) <= STRUCTURE_BYTES + 2000


def test_two_large_gains_of_the_same_kind_are_two_messages(field: Field) -> None:
    client = field.join(bandwidth=4e6)
    entities = [field.spawn(Place(i)) for i in range(2)]
    field.settle()
    client.structures.clear()
    for entity in entities:
        esper.add_component(entity, Blob(bytes(STRUCTURE_BYTES * 2 // 3)))
    field.settle()
    assert len(client.structures) >= 2
    assert max(map(len, client.structures)) <= STRUCTURE_BYTES


def size_of_run(*sizes: int, cids: Sequence[int] = (CID[Blob],)) -> int:
    """Bytes of a run of tanks and blobs of so many bytes."""
    columns: dict[int, list[object]] = {
        CID[Tank]: [[10, 0.0]] * len(sizes),
        CID[Blob]: [[bytes(size)] for size in sizes],
    }
    return len(encode_run([*range(1, len(sizes) + 1)], [(cid, columns[cid]) for cid in cids]))


@pytest.mark.parametrize(("more", "messages"), [(0, 1), (1, 2)])
def test_entities_of_one_kind_that_fill_a_piece_exactly_enter_at_once(
    field: Field, more: int, messages: int
) -> None:
    client = field.join()
    size = STRUCTURE_BYTES - size_of_run(8000, 1000) + 1000
    queued = client.server.queued
    crowd = [field.spawn(Blob(bytes(8000))), field.spawn(Blob(bytes(size + more)))]
    field.step()
    assert client.server.queued == queued + 1
    field.settle()
    assert client.server.queued == queued + messages
    assert all(client.knows(entity) for entity in crowd)


@pytest.mark.parametrize(("more", "messages"), [(0, 1), (1, 2)])
def test_entities_of_two_kinds_that_fill_a_piece_exactly_enter_in_one_message(
    field: Field, more: int, messages: int
) -> None:
    client = field.join()
    size = STRUCTURE_BYTES - size_of_run(8000) + 1000
    size -= size_of_run(1000, cids=(CID[Tank], CID[Blob]))
    queued = client.server.queued
    field.spawn(Blob(bytes(8000)))
    field.spawn(Tank(), Blob(bytes(size + more)))
    field.settle()
    assert client.server.queued == queued + messages


def test_of_two_entities_that_do_not_fit_a_piece_one_enters_first(field: Field) -> None:
    client = field.join()
    queued = client.server.queued
    one, other = field.spawn(Blob(bytes(10_000))), field.spawn(Blob(bytes(10_000)))
    field.step()
    assert client.server.queued == queued + 1
    assert field.net(one) in client.client_state.known
    assert field.net(other) not in client.client_state.known
    field.settle()
    assert client.server.queued == queued + 2


@pytest.mark.parametrize(("more", "count"), [(0, 2), (1, 1)])
def test_a_piece_takes_what_fills_its_room_exactly(field: Field, more: int, count: int) -> None:
    client = field.join()
    size = STRUCTURE_BYTES * 3 // 4 - size_of_run(6000, 1000) + 1000
    sizes = 6000, size + more, 10_000, 10_000
    entities = [field.spawn(Blob(bytes(size))) for size in sizes]
    field.step()
    crowd = [field.net(entity) for entity in entities]
    assert [net in client.client_state.known for net in crowd] == [i < count for i in range(4)]
    field.settle()


def test_pieces_wait_while_the_window_is_full() -> None:
    field = Field()
    client = field.join()
    writer = StructureWriter(field.replicator.entities, EPOCH, 60)
    state = client.client_state
    last = client.server.delivered + 1
    state.pieces.clear()
    state.pieces.append((last, 2 * STRUCTURE_BYTES - 1))
    assert writer.may_enter(state)
    state.pieces.append((last, 1))
    assert not writer.may_enter(state)
    state.pieces.clear()
    field.close()


def test_new_components_that_would_flood_a_client_come_piece_by_piece(field: Field) -> None:
    client = field.join(bandwidth=4e6)
    crowd = [field.spawn(Tank()) for _ in range(90)]
    field.settle()
    for entity in crowd:
        esper.add_component(entity, Blob(bytes(50_000)))
    backlog = 0
    for _ in range(5):
        field.step()
        backlog = max(backlog, client.server.backlog)
    assert 50_000 <= backlog < 200_000  # of 4.5 MB
    assert client.client_state.known < {field.net(entity) for entity in (client.player, *crowd)}


def test_everyone_is_the_default() -> None:
    world = World()
    assert isinstance(Replicator(SCHEMA, world, epoch=1).interest, Everyone)
    world.close()


def test_a_lost_part_of_a_message_goes_again_to_who_lacks_no_value(field: Field) -> None:
    client = field.join()
    tank = field.spawn(Tank())
    field.settle()
    lost: list[Packet] = []

    def lose_first_part(packet: Packet) -> bool:
        if not lost and any(len(fragment) > 2 for fragment in packet.fragments):
            lost.append(packet)
            return True
        return False

    client.lose = lose_first_part
    blob = field.spawn(Blob(bytes(3000)))
    for hp in range(60):
        esper.component_for_entity(tank, Tank).hp = hp
        field.step()
        assert not client.client_state.owed
    assert len(lost) == 1
    assert client.knows(blob)
    assert client.peer.received == client.server.queued
