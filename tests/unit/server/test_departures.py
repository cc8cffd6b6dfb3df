"""Members that come and go, in any state: nothing of them is left anywhere."""

from __future__ import annotations

import random
from collections.abc import Callable

import esper
import pytest

from ecsnet.components import Owner, Player
from ecsnet.messages.joining import MemberState
from ecsnet.replication.server.interest import Grid
from ecsnet.replication.wire import Resync
from ecsnet.schema import Registry, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.simulation.spec import SimulationSpec
from ecsnet.testing import Harness
from tests.unit.noting import NotingPeer
from tests.unit.server.test_host import OTHER, STEER, Client, HostNetwork, Square, Steer, moving

HOURS = 7300.0


def leftovers(network: HostNetwork | Harness) -> dict[str, object]:
    """What a host without clients still holds of those that it had, table by table."""
    host, room = network.host, network.room
    listener, replicator, simulation = host.peers.listener, room.replicator, room.simulation
    entities = replicator.entities
    tables: dict[str, object] = {
        "host.members": host.members,
        "peers": host.peers.by_address,
        "listener._ended": listener._ended,
        "listener.admission": len(listener.admission),
        "room.seats": room.seats,
        "room.players": room.players,
        "room.names": len(room.names),
        "room._leaving": room._leaving,
        "room._joining": room._joining,
        "room._arriving": room._arriving,
        "room._reporting": room._reporting,
        "room._report_turns": sum(map(len, room._report_turns)),
        "replicator.clients": replicator.clients,
        "replicator._groups.by_key": replicator._groups.by_key,
        "replicator._groups.watchers": replicator._groups.watchers,
        "replicator._groups._ungrouped": replicator._groups._ungrouped,
        "replicator._groups._focused": replicator._groups._focused,
        "entities._players": entities._players,
        "entities.owned": entities.owned,
        "entities.by_net": entities.by_net,
        "entities.by_esper": entities.by_esper,
        "entities.cells": entities.cells,
        "entities._limbo": entities._limbo,
        "simulation.player_entity": simulation.player_entity,
        "simulation.player_number": simulation.player_number,
        "simulation.rejected": simulation.rejected,
        "simulation._names": simulation._names,
        "simulation._alive": simulation._alive,
    }
    tables |= {
        f"detector {detector.component.cls.__name__}": detector.ticks()
        for detector in entities.detectors
    }
    with simulation.world:
        tables["world"] = [each for kind in (Player, Square) for each in esper.get_component(kind)]
    return {name: table for name, table in tables.items() if table}


def say_goodbye(client: Client) -> None:
    if client.connection is None:  # it does not know yet that it was accepted
        client.deaf = True
        return
    client.say(client.session.session.pack_goodbye(Reason.LEFT, "", client.network.now))


def fall_silent(client: Client) -> None:
    client.deaf = True


def be_kicked(client: Client) -> None:
    client.network.host.disconnect(client.member, Reason.KICKED, client.network.now)


def abuse(client: Client) -> None:
    client.deaf = client.connection is None
    for _ in range(5):
        client.say(b"\xc1")


def start_anew(client: Client) -> None:
    client.deaf = True
    again = client.network.client("Anew", address=client.address)
    client.network.at(1.0, lambda: say_goodbye(again))


WAYS: dict[str, Callable[[Client], None]] = {
    "goodbye": say_goodbye,
    "silence": fall_silent,
    "kicked": be_kicked,
    "abuse": abuse,
    "anew": start_anew,
}


def accepted(client: Client) -> bool:
    return client.connection is not None


def state(wanted: MemberState) -> Callable[[Client], bool]:
    def reached(client: Client) -> bool:
        member = client.network.host.member(client.address)
        return member is not None and member.state is wanted

    return reached


def unwelcomed(client: Client) -> bool:
    """In the game, and not yet told so."""
    return state(MemberState.JOINED)(client) and client.member.seat in client.network.room._arriving


def welcomed(client: Client) -> bool:
    return client.welcome is not None


def playing(client: Client) -> bool:
    return len(client.reports) > 2


STAGES: dict[str, Callable[[Client], bool]] = {
    "accepted": accepted,
    "handshake": state(MemberState.HANDSHAKE),
    "offered": state(MemberState.SCHEMA_MISMATCH),
    "joining": state(MemberState.JOINING),
    "unwelcomed": unwelcomed,
    "welcomed": welcomed,
    "playing": playing,
}


@pytest.mark.parametrize("room", STAGES)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_of_who_leaves(way: str, room: str) -> None:
    # Updates so rare that there is time between the join and the welcome.
    network = HostNetwork(moving(20.0), update_rate=2.0)
    network.lag = 0.002
    schema = {"schema": OTHER, "polite": False} if room == "offered" else {}
    bystander = network.client("Bob")
    network.until(lambda: bystander.welcome)
    reached = 0
    for _ in range(3):
        client = network.client("Ann", **schema)
        client.act = lambda outbox: outbox.hold(STEER, 0, Steer(1))
        for _ in range(5000):
            if STAGES[room](client):
                break
            network.run(0.001)
        reached += STAGES[room](client)
        WAYS[way](client)
        network.run(50.0 if way == "abuse" else 13.0)  # who was thrown out waits
        assert network.host.member(client.address) is None
    assert reached == 3
    assert network.room.replicator.clients == [bystander.member.client_state]
    assert len(network.room.seats) == len(network.room.names) == 1
    say_goodbye(bystander)
    network.run(12.0)
    network.clock.advance(HOURS)
    network.host.tick(network.now)
    network.host.receive_datagrams([(b"", ("10.0.0.1", 1))], network.now)
    assert leftovers(network) == {}


@pytest.mark.parametrize("stage", ["joining", "unwelcomed"])
def test_who_leaves_before_it_was_shown_the_world_owes_nothing(stage: str) -> None:
    network = HostNetwork(moving(20.0), update_rate=2.0)
    network.lag = 0.002
    network.client("Bob")
    network.run(3.0)
    client = network.client("Ann")
    while not STAGES[stage](client):
        network.run(0.001)
    seat = client.member.seat
    assert seat is not None
    assert network.room.leave(seat, "left", network.now) == 0


@pytest.mark.parametrize(("stayed", "owes"), [(0.0, 3.0), (1.0, 2.0), (2.5, 0.5), (4.0, 0.0)])
def test_who_goes_soon_after_it_was_shown_the_world_owes_what_it_cost(
    stayed: float, owes: float
) -> None:
    network = HostNetwork()
    with network.room.simulation.world:
        for _ in range(3000):
            esper.create_entity(Square())
    client = network.client("Ann")
    network.until(lambda: client.structures)
    network.run(1.0)
    seat = client.member.seat
    assert seat is not None
    assert seat.joined_at is not None
    # A millisecond for each, however soon; nothing once it has stayed so long.
    owed = network.room.leave(seat, "left", seat.joined_at + stayed)
    assert owed == pytest.approx(owes, abs=0.01)


def test_who_comes_for_a_look_at_a_large_world_again_and_again_has_to_wait() -> None:
    def visits(entities: int) -> int:
        network = HostNetwork(max_clients=8)
        with network.room.simulation.world:
            for _ in range(entities):
                esper.create_entity(Square())
        for visit in range(8):
            client = network.client("Ann", address=("10.0.0.1", 2000 + visit))
            network.run(0.5)
            if client.welcome is None:
                return visit
            say_goodbye(client)
            network.run(0.1)
        return 8

    assert visits(10) == 8
    assert visits(3000) < 4


def test_nothing_is_left_of_what_players_owned_and_asked_for() -> None:
    spec: SimulationSpec = moving()

    def furnish(player: int) -> None:
        for _ in range(5):
            esper.create_entity(Square(), Owner(player))

    spec.on_join.append(furnish)
    network = HostNetwork(spec)
    network.loss = 0.1
    for _ in range(3):
        clients = network.joined(4)
        for client in clients:
            client.act = lambda outbox: outbox.hold(STEER, 0, Steer(1))
            client.tell(Resync())
        network.run(2.0)
        assert len(network.room.replicator.entities.owned) == 4
        for client in clients:
            client.end.link.loss = 0.0
            say_goodbye(client)
        network.run(1.0)
        network.links.clear()
    network.clock.advance(HOURS)
    network.host.tick(network.now)
    assert network.host.stats().joined == 12
    assert leftovers(network) == {}


def test_nothing_is_left_of_who_looked_from_somewhere() -> None:
    with use_registry(Registry()) as registry:

        @replicated
        class Place:
            x: float = 0.0
            y: float = 0.0

        server = ServerWorld(interest=Grid(Place, 10))

        @server.on_join
        def join(player: int) -> None:
            esper.add_component(player, Place(100.0 * player, 5.0))

    with Harness(server, registry=registry) as game:
        clients = [game.connect(f"Player {number}") for number in range(3)]
        game.run(0.5)
        assert len(game.room.replicator._groups._focused) == 3
        game.vanish(clients[0])
        game.leave(clients[1])
        game.host.disconnect(game.member(clients[2]), Reason.KICKED, game.clock.now)  # type: ignore[arg-type]
        game.run(12.0)
        game.clock.advance(HOURS)
        game.step(2)
        assert leftovers(game) == {}


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_session_lets_go_of_what_has_arrived(loss: float) -> None:
    """The fragments and tags of packets are forgotten once their fate is known."""
    dice = random.Random(4)
    ends = NotingPeer(), NotingPeer()
    arrived = [0, 0]
    now = 0.0
    for step in range(900):
        now += 1 / 60
        for end, peer in enumerate(ends):
            if step < 600:
                if dice.random() < 0.3:
                    peer.queue(dice.randbytes(dice.choice((5, 90, 3000))))
                packets = [peer.send(step, now, step), *peer.stream(now, 6000)]
            else:
                packets = [peer.send(None, now)] if peer.due(now) else []
                packets += peer.stream(now, 6000)
            peer.lost(now)
            for packet in packets:
                if step >= 600 or dice.random() >= loss:
                    received = ends[1 - end].receive(packet, now)
                    arrived[end] += len(received.messages) if received else 0
    for end, peer in enumerate(ends):
        assert arrived[end] == peer.queued > 100
        assert peer._carried == {}
        assert not len(peer._piggybacks)
        assert peer.session._gone == {}
        assert peer.session.in_flight == 0
        assert peer.backlog == 0
        assert not peer._out.unacked
        assert not peer.session._late_acks
        assert not peer._incoming._waiting
