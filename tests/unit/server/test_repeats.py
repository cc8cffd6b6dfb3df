"""What is said once counts once, however often it comes; and long silence changes nothing."""

from __future__ import annotations

from typing import Annotated

import esper
import pytest

from ecsnet.client.tick_clock import REPORTS, TickClock
from ecsnet.notifications import Changed, Spawned
from ecsnet.schema import Between, Registry, command, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.simulation.simulation import commands
from ecsnet.testing import FaultyLink, Harness
from ecsnet.testing.network import Tap
from ecsnet.transport.address import Address
from ecsnet.transport.conditioner import Direction, Link

with use_registry(Registry()) as registry:

    @replicated
    class Place:
        x: float = 0.0
        y: float = 0.0

    @command(hold=True)
    class Steer:
        dx: Annotated[int, Between(-1, 1)] = 0

    @command
    class Shoot:
        number: int = 0


def shooting(seen: list[int]) -> ServerWorld:
    """A game that notes each shot, and makes an entity of it."""
    with use_registry(registry):
        server = ServerWorld(seed=1, tick_rate=60)

    @server.system
    def shoot(dt: float) -> None:
        for _, shot in commands(Shoot):
            seen.append(shot.number)
            esper.create_entity(Place(shot.number))

    return server


def crowd(size: int) -> ServerWorld:
    """A game whose entities all move in every tick."""
    with use_registry(registry):
        server = ServerWorld(seed=1, tick_rate=60)

    @server.on_start
    def start() -> None:
        for _ in range(size):
            esper.create_entity(Place())

    @server.system
    def move(dt: float) -> None:
        for _, place in esper.get_component(Place):
            place.x += dt
            place.y -= dt

    return server


# A report on commands travels in each datagram of its tick.


@pytest.mark.parametrize("size", [1, 400])
def test_a_report_is_taken_once_however_many_datagrams_its_tick_has(size: int) -> None:
    with Harness(crowd(size)) as game:
        client = game.connect("alice")
        ticks = client._sender.ticks
        assert ticks is not None
        game.until(lambda: len(ticks._reports) == 1)
        before = client.stats.datagrams_received
        game.run(seconds=1)
        assert client.stats.datagrams_received - before >= (180 if size > 1 else 60)
        # Four a second: the memory of eight covers two seconds.
        assert len(ticks._reports) == 5 < REPORTS


def steered(copies: int, *, older: bool = False) -> TickClock:
    """A clock after ten reports, each of them in so many copies."""
    clock = TickClock(60)
    now, server = 0.0, 100
    clock.start(server, now, 0.1)
    for step in range(1, 151):
        now += 1 / 60
        server += 1
        clock.heard(server, now)
        clock.advance(now)
        if step % 15 == 0:
            for _ in range(copies):
                clock.report(clock.tick - server - 4.0 - step % 4, server)
            if older:
                clock.report(-30.0, server - 15)
    return clock


@pytest.mark.parametrize("copies", [2, 10])
def test_copies_of_a_report_steer_like_one(copies: int) -> None:
    once, often = steered(1), steered(copies)
    assert len(once._reports) == REPORTS
    assert list(often._reports) == list(once._reports)
    assert (often.tick, often.speed, often.jumps) == (once.tick, once.speed, once.jumps)


def test_a_report_that_was_overtaken_by_a_newer_one_does_not_steer() -> None:
    straight, overtaken = steered(1), steered(1, older=True)
    assert list(overtaken._reports) == list(straight._reports)
    assert (overtaken.tick, overtaken.speed) == (straight.tick, straight.speed)


# The same datagram, again and again.


def echo(copies: int) -> Tap:
    """Repeat each datagram, and one from long ago after each."""
    pasts: dict[Direction, list[bytes]] = {"in": [], "out": []}

    def tap(direction: Direction, data: bytes, _address: Address) -> list[bytes]:
        past = pasts[direction]
        past.append(data)
        return [data] * copies + past[-200:-199]

    return tap


@pytest.mark.parametrize("copies", [2, 4])  # with more, there are too many packets a second
def test_what_comes_many_times_happens_once(copies: int) -> None:
    seen: list[int] = []
    with Harness(shooting(seen)) as game:
        game.network.tap = echo(copies)
        client = game.connect("alice", Link(lag=0.03, jitter=0.01, seed=1))
        for number in range(60):
            client.send(Shoot(number))
            client.send(Steer(1))
            game.step(2)
        client.release(Steer)
        member = game.member(client)
        assert member is not None
        game.run(seconds=1)
        assert game.settle()
        assert seen == list(range(60))
        peer, inbox, own = member.peer, member.seat.inbox, client._connection.peer
        outbox = client._sender.outbox
        assert peer.session.duplicates + peer.session.stale > 50 * copies
        assert own.session.duplicates + own.session.stale > 50 * copies
        # Once each, and neither end takes the other for hostile.
        assert inbox.applied + inbox.superseded + outbox.expired == outbox.sent
        for budget in (peer.session.budget, own.session.budget):
            assert budget.strikes == budget.excess == 0
        spawned = [event for event in game.events(client) if isinstance(event, Spawned)]
        assert len(spawned) == len({event.entity for event in spawned}) == 61  # and the player


# The same call, twice.


def test_calls_may_come_twice() -> None:
    seen: list[int] = []
    gone: list[int] = []
    server = shooting(seen)
    server.on_leave(lambda player: gone.append(player) and None)
    with Harness(server) as game:
        alice, bob = game.connect("alice"), game.connect("bob")
        alice.watch(Place)
        alice.watch(Place)
        alice.send(Steer(1))
        alice.send(Steer(1))
        alice.release(Steer)
        alice.release(Steer)
        alice.send(Shoot(1))
        game.run(seconds=0.5)
        changed = [event for event in game.events(bob) if isinstance(event, Changed)]
        assert changed == []
        assert seen == [1]
        member = game.member(bob)
        assert member is not None
        for _ in range(2):
            game.host.disconnect(member, Reason.ABUSE, game.clock.now)
            alice.close()
            game.run(seconds=0.5)
        assert len(gone) == 2
        assert game.host.stats().joined == 2
        assert game.host.stats().clients == 0
        game.host.close(Reason.SHUTDOWN, game.clock.now)
        game.host.close(Reason.SHUTDOWN, game.clock.now)
        assert game.host.tick(game.clock.now + 1) == 0


# Nothing at all, for long.


@pytest.mark.parametrize("minutes", [1, 10])
def test_a_game_in_which_nothing_happens_goes_on(minutes: int) -> None:
    seen: list[int] = []
    with Harness(shooting(seen)) as game:
        client = game.connect("alice", Link(lag=0.05, loss=0.05, seed=1))
        game.run(seconds=1)
        before = game.seats[client].end.sent, client.stats.datagrams_received
        game.run(seconds=60 * minutes)
        assert client.connected
        assert client.stats.datagrams_received - before[1] > 60 * minutes
        client.send(Shoot(7))
        game.run(seconds=1)
        assert seen == [7]
        assert game.settle()


@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("end", ["client", "way"])
def test_after_a_stall_commands_count_at_once(end: str, seconds: float) -> None:
    seen: list[int] = []
    with Harness(shooting(seen)) as game:
        link = FaultyLink(lag=0.03, seed=1)
        client = game.connect("alice", link)
        game.run(seconds=2)
        if end == "client":
            game.seats[client].polling = False
        else:
            link.stall(seconds, game.clock.now)
        game.run(seconds=seconds)
        game.seats[client].polling = True
        assert client.connected
        game.run(seconds=0.3)
        client.send(Shoot(1))
        game.run(seconds=0.2)
        assert seen == [1]
        assert game.settle()
