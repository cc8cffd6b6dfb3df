"""The public test kit, used as a game's tests would use it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import esper
import pytest

import ecsnet as net
from ecsnet import testing
from ecsnet.errors import UsageError
from ecsnet.notifications import Connected, Disconnected
from ecsnet.session.goodbye import Reason
from ecsnet.testing import FaultyLink, Harness, ManualClock, Network, Registry, use_registry

with use_registry(Registry()) as registry:

    @net.replicated
    class Square:
        x: float = 0.0

    @net.replicated
    class Angle:
        degrees: Annotated[float, net.Quantized(0.5)] = 0.0

    @net.replicated(once=True)
    class Kind:
        number: int = 0

    @net.replicated
    class Health:
        hp: int = 1

    @net.command(hold=True)
    class Steer:
        dx: Annotated[int, net.Between(-1, 1)] = 0

    @net.command
    class Boom:
        pass


def game(**options: float) -> net.ServerWorld:
    with use_registry(registry):
        server = net.ServerWorld(60, seed=1, timeout=2.0, **options)  # type: ignore[arg-type]

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Square())

    @server.system
    def move(dt: float) -> None:
        for player, steer in net.commands(Steer):
            esper.component_for_entity(player, Square).x += steer.dx * 60 * dt
        if net.commands(Boom):
            raise RuntimeError("boom")

    return server


def test_all_of_the_public_names_are_there() -> None:
    for name in testing.__all__:
        assert getattr(testing, name) is not None


def test_the_clock_moves_when_told_to() -> None:
    clock = ManualClock(5.0)
    assert clock() == 5.0
    assert clock.advance(0.25) == clock() == clock.now == 5.25
    assert "5.25" in repr(clock)
    with pytest.raises(UsageError, match="forwards only"):
        clock.advance(-1)
    with pytest.raises(UsageError, match="forwards only"):
        clock.advance(float("nan"))


def test_a_client_plays_over_a_bad_network() -> None:
    with Harness(game(), seed=3) as played:
        link = FaultyLink(0.03, 0.02, 0.2, duplicate=0.1, corrupt=0.05, seed=3)
        alice = played.connect("alice", link)
        assert isinstance(played.events(alice)[0], Connected)
        alice.send(Steer(1))
        played.run(2)
        alice.release(Steer)
        result = played.settle()
        assert result, result
        assert result.compared >= 2
        assert "all equal" in str(result)
        with alice.view:
            ((_, square),) = esper.get_component(Square)
        assert 30 < square.x < 130
        stats = link.stats
        assert min(stats.dropped, stats.duplicated, stats.corrupted, stats.reordered) > 0


def test_the_same_seed_gives_the_same_bytes() -> None:
    def play(seed: int) -> list[bytes]:
        sent: list[bytes] = []
        with Harness(game(), seed=seed) as played:
            played.watch_sent = lambda data, seat: sent.append(data)
            alice = played.connect("alice", FaultyLink(0.01, loss=0.3, seed=seed))
            alice.send(Steer(1))
            played.run(1)
        return sent

    assert play(1) == play(1)
    assert play(1) != play(2)


def test_clients_are_told_apart() -> None:
    with Harness(game()) as played:
        alice = played.connect("alice")
        bob = played.connect("bob", every=2)
        assert list(played) == played.clients == [alice, bob]
        member = played.member(bob)
        assert member is not None
        assert member.name == "bob"
        assert played.seats[bob].longest > 20
        assert played.seats[bob].end.longest > 20
        played.leave(bob)
        played.run(0.5)
        assert played.clients == [alice]
        assert played.member(bob) is None
        assert played.settle()


def test_a_client_that_vanishes_times_out() -> None:
    with Harness(game()) as played:
        alice = played.connect("alice")
        bob = played.connect("bob")
        played.vanish(bob)
        played.run(1)
        assert played.member(bob) is not None
        played.until(lambda: played.member(bob) is None, seconds=5)
        assert played.settle(), played.compare(alice)


def test_a_server_that_ends_takes_its_clients_along() -> None:
    played = Harness(game())
    alice = played.connect("alice")
    world = alice.view.name
    member = played.member(alice)
    assert member is not None
    played.host.disconnect(member, Reason.KICKED, played.clock.now)
    played.run(0.2)
    assert isinstance(played.events(alice)[-1], Disconnected)
    assert played.clients == []
    assert not played.compare(alice)
    assert "not in the game" in str(played.compare(alice))
    played.close()
    assert world not in esper.list_worlds()


def test_what_a_system_raises_is_raised() -> None:
    with Harness(game()) as played:
        alice = played.connect("alice")
        alice.send(Boom())
        with pytest.raises(RuntimeError, match="boom"):
            played.run(1)


def test_nobody_waits_for_ever() -> None:
    with Harness(game()) as played:
        with pytest.raises(UsageError, match="alice did not get in"):
            played.connect("alice", FaultyLink(loss=1.0), wait=1.0)
        with pytest.raises(UsageError, match="did not happen within"):
            played.until(lambda: False, seconds=0.5)


def test_differences_are_found_and_named() -> None:
    with Harness(game()) as played:
        alice = played.connect("alice")
        with played.world:
            thing = esper.create_entity(Square(2), Angle(10.2), Kind(7), Health(9))
        assert played.settle()
        assert played.compare().compared == 6

        with played.world:
            esper.component_for_entity(thing, Angle).degrees = 10.1  # the same step
            esper.component_for_entity(thing, Kind).number = 8  # sent once
            esper.component_for_entity(thing, Square).x = -0.0
        assert "Square" in str(played.compare())
        assert played.settle(), played.compare()

        local = alice._view.local[played.room.replicator.network_id(thing) or 0]
        with alice.view:
            esper.component_for_entity(local, Square).x = 99.0
            stray = esper.create_entity(Health())
        assert "view has Square(x=99.0)" in str(played.compare(alice))
        assert "stray Health" in str(played.compare(alice))
        with alice.view:
            esper.delete_entity(stray, immediate=True)

        with played.world:
            esper.create_entity(Health())
        played.step()
        alice._protocol.store.entities.popitem()  # type: ignore[union-attr]
        assert "is missing" in str(played.compare())
        assert "view and store differ" in str(played.compare())


def test_a_value_that_cannot_be_sent_compares_with_the_last_good_one() -> None:
    with Harness(game()) as played:
        played.connect("alice")
        with played.world:
            thing = esper.create_entity(Health(9))
        assert played.settle()
        with played.world:
            esper.component_for_entity(thing, Health).hp = 0.5  # type: ignore[assignment]
        result = played.settle()
        assert result
        assert result.kept == 1
        good = {(thing, Health): b"\x91\x09"}
        assert played.compare(good=good)
        bad = {(thing, Health): b"\x91\x08"}
        assert "Health" in str(played.compare(good=bad))


def test_more_differences_than_anybody_reads() -> None:
    result = testing.Comparison(3, 0, [f"difference {n}" for n in range(30)])
    assert "30 differences" in str(result)
    assert "and 10 more" in str(result)
    result += testing.Comparison(1)
    assert result.compared == 4


# The link.


def end_to_end(link: FaultyLink, count: int = 200) -> list[bytes]:
    network = Network()
    end = network.connect(link)
    arrived: list[bytes] = []
    for number in range(count):
        end.send(b"%d" % number)
        network.send(b"%d" % number, end.address)
        network.run(0.01)
        network.receive()
        arrived += end.receive()
    network.run(10)
    return arrived + list(end.receive())


def test_a_perfect_link_loses_nothing() -> None:
    assert end_to_end(FaultyLink()) == [b"%d" % number for number in range(200)]


def test_bursts_take_neighbours_along() -> None:
    link = FaultyLink(burst=0.03, burst_seconds=0.1, seed=1)
    numbers = [int(data) for data in end_to_end(link)]
    gaps = [later - earlier for earlier, later in pairwise(numbers)]
    assert max(gaps) >= 8
    assert link.stats.burst == link.stats.dropped > 20
    assert len(numbers) < 190


def test_a_cut_loses_and_a_stall_delays() -> None:
    link = FaultyLink()
    link.cut(1.0, 0.0)
    link.put("in", b"lost", 0.5)
    link.put("in", b"kept", 1.0)
    assert link.take("in", 1.0) == [b"kept"]
    assert link.stats.cut == 1
    link.stall(1.0, 2.0)
    link.put("in", b"late", 2.5)
    assert link.take("in", 2.9) == []
    assert link.take("in", 3.0) == [b"late"]
    assert link.stats.stalled == 1


def test_a_healed_link_goes_on_reordering() -> None:
    link = FaultyLink(0.1, 0.1, 0.5, duplicate=0.2, corrupt=0.5, burst=0.1, seed=4)
    link.cut(99, 0)
    link.stall(99, 0)
    link.heal()
    arrived = end_to_end(link)
    assert {int(data) for data in arrived} == set(range(200))
    assert arrived != sorted(arrived, key=int)
    assert link.stats.dropped == link.stats.corrupted == 0
    assert link.stats.duplicated > 10


def test_a_link_takes_no_nonsense() -> None:
    with pytest.raises(UsageError, match="burst=2"):
        FaultyLink(burst=2)
    with pytest.raises(UsageError, match="burst_seconds=-1"):
        FaultyLink(burst_seconds=-1)
    with pytest.raises(UsageError, match="loss=2"):
        FaultyLink(loss=2)
