"""`Presence`: how clients are heard, as data of a tick and as a component that shows it."""

from __future__ import annotations

from collections.abc import Sequence

import esper
import pytest

import ecsnet as net
from ecsnet.commands.inbox import PlayerCommands
from ecsnet.components import Owner, Player, Presence
from ecsnet.schema import Registry, use_registry
from ecsnet.server.presences import SILENT_SECONDS, PresenceWatch
from ecsnet.simulation.observer import Observer
from ecsnet.simulation.presence import PlayerPresence
from ecsnet.simulation.simulation import Join, Leave, Simulation
from ecsnet.testing import FaultyLink, Harness
from ecsnet.transport.conditioner import Link

with use_registry(Registry()) as registry:

    @net.command
    class Shout:
        pass


class Recorder(Observer):
    """What went into each tick."""

    def __init__(self) -> None:
        self.ticks: list[
            tuple[
                Sequence[Join], Sequence[Leave], Sequence[PlayerCommands], Sequence[PlayerPresence]
            ]
        ] = []

    def tick_began(
        self,
        tick: int,
        joins: Sequence[Join],
        leaves: Sequence[Leave],
        commands: Sequence[PlayerCommands],
        presences: Sequence[PlayerPresence],
    ) -> None:
        self.ticks.append((joins, leaves, commands, presences))

    def said(self) -> list[tuple[int, PlayerPresence]]:
        """The presences, by the number of their tick."""
        return [
            (number, each)
            for number, (_, _, _, presences) in enumerate(self.ticks, 1)
            for each in presences
        ]


def game(*, present: bool = True, keep: bool = False, **options: object) -> net.ServerWorld:
    with use_registry(registry):
        server = net.ServerWorld(**options)  # type: ignore[arg-type]

    @server.on_join
    def join(player: int) -> None:
        if present:
            esper.add_component(player, Presence())

    @server.on_leave
    def leave(player: int) -> object:
        return net.KEEP if keep else None

    return server


def seen(client: net.ClientWorld) -> dict[str, tuple[str, int]]:
    """Status and ping of each player, as a client sees them."""
    with client.view:
        found = esper.get_components(Player, Presence)
        return {who.name: (presence.status, presence.ping) for _, (who, presence) in found}


def test_who_is_silent_for_two_seconds_is_lost_until_something_comes_again() -> None:
    link = FaultyLink(lag=0.02, seed=1)
    with Harness(game(timeout=30.0), registry=registry) as play:
        ann, bob = play.connect("Ann"), play.connect("Bob", link)
        play.run(1)
        assert seen(ann)["Bob"][0] == "ok"
        link.cut(SILENT_SECONDS + 0.5, play.clock.now)
        play.run(SILENT_SECONDS - 0.1)
        assert seen(ann)["Bob"][0] == "ok"
        play.run(0.5)
        assert seen(ann)["Bob"][0] == "lost"
        assert seen(ann)["Ann"][0] == "ok"
        play.run(0.5)
        assert seen(ann)["Bob"][0] == seen(bob)["Bob"][0] == "ok"
        assert play.settle()


def test_who_comes_back_is_there_in_the_tick_of_its_first_command() -> None:
    server = game(timeout=30.0)
    heard: list[str] = []

    @server.system
    def note(dt: float) -> None:
        for player, _ in net.commands(Shout):
            heard.append(esper.component_for_entity(player, Presence).status)

    for moment in range(20):
        link = FaultyLink(lag=0.02, seed=1)
        with Harness(server, registry=registry) as play:
            bob = play.connect("Bob", link)
            play.run(1)
            link.cut(2.6 + moment / 60, play.clock.now)
            play.run(2.6)
            assert statuses(play.simulation)[0][0] == "lost"
            bob.send(Shout())
            play.run(2)
    assert heard == ["ok"] * 20


def test_who_sends_seldom_is_not_lost_in_between() -> None:
    with Harness(game(command_rate=1.0, tick_rate=20.0), registry=registry) as play:
        recorder = Recorder()
        play.room.observers.add(recorder)
        link = FaultyLink(lag=0.1, seed=1)
        play.connect("Ann", link)
        for _ in range(8):
            link.cut(1.3, play.clock.now)  # one packet, or two
            play.run(4.25)
        said = recorder.said()
        assert len(said) >= 30
        assert not any(presence.silent for _, presence in said)


@pytest.mark.parametrize(
    ("interval", "seconds"), [(0.0, 2.0), (0.05, 2.0), (0.5, 2.0), (1.0, 3.0), (2.0, 6.0)]
)
def test_silence_is_two_seconds_or_three_packets(interval: float, seconds: float) -> None:
    server = game()
    simulation = Simulation(server.spec, seed=1, epoch=1, player=Player, owner=Owner)
    assert PresenceWatch(simulation, interval).silent_after == seconds
    simulation.close()


@pytest.mark.parametrize(("stood_still", "blamed"), [(0.7, True), (1.4, False)])
def test_a_look_that_is_a_second_late_blames_nobody(stood_still: float, blamed: bool) -> None:
    with Harness(game(timeout=30.0), registry=registry) as play:
        link = FaultyLink(seed=1)
        play.connect("Ann", link)
        play.run(1)
        (seat,) = play.room.seats
        connection = seat.member.peer.connection
        assert connection is not None
        connection.heard = play.clock.now - 5.0
        watch = PresenceWatch(play.simulation, 0.0)
        watch.look([], play.clock.now)
        late = play.clock.now + 0.25 + stood_still
        assert [each.silent for each in watch.look([seat], late)] == [True] * blamed
        assert [each.silent for each in watch.look([seat], late + 0.26)] == [True] * (not blamed)


def test_two_seconds_of_silence_are_not_yet_too_long_nor_is_a_look_a_second_late() -> None:
    with Harness(game(timeout=30.0), registry=registry) as play:
        play.connect("Ann", FaultyLink(seed=1))
        play.run(1)
        (seat,) = play.room.seats
        connection = seat.member.peer.connection
        assert connection is not None
        connection.heard = 1000.0
        watch = PresenceWatch(play.simulation, 0.0)
        said = [watch.look([seat], now) for now in (1001.5, 1002.0, 1003.25)]
        assert [[each.silent for each in found] for found in said] == [[False], [], [True]]


def test_the_first_look_and_every_fourth_say_all_of_everybody() -> None:
    with Harness(game(), registry=registry) as play:
        play.connect("Ann", FaultyLink(lag=0.02, seed=1))
        play.run(1)
        watch = PresenceWatch(play.simulation, 0.0)
        looks = [play.clock.now + 0.25 * look for look in range(9)]
        said = [watch.look(play.room.seats, now) for now in looks]
        assert [len(each) for each in said] == [1, 0, 0, 0, 1, 0, 0, 0, 1]


@pytest.mark.parametrize("lag", [0.0, 0.025, 0.1])
def test_the_ping_is_the_round_trip_and_changes_seldom(lag: float) -> None:
    with Harness(game(), registry=registry) as play:
        ann = play.connect("Ann", Link(lag=lag, jitter=0.001, seed=3))
        play.run(5)
        ping = seen(ann)["Ann"][1]
        assert 2000 * lag <= ping <= 2000 * lag + 60  # a poll and a tick take their time
        component = play.simulation.world.components(play.simulation.player_entity[1])[Presence]
        assert isinstance(component, Presence)
        values = set()
        for _ in range(600):
            play.step()
            values.add(component.ping)
        assert len(values) <= 2


def test_it_is_said_once_a_second_and_where_it_changes_and_only_of_those_who_have_it() -> None:
    server = game(timeout=30.0)
    link = FaultyLink(seed=1)
    with Harness(server, registry=registry) as play:
        recorder = Recorder()
        play.room.observers.add(recorder)
        play.connect("Ann", link)
        play.connect("Bob")
        with play.world:
            esper.remove_component(play.simulation.player_entity[2], Presence)
        play.run(3)
        before = recorder.said()
        start = len(recorder.ticks)
        play.run(10)
        said = [(tick, each) for tick, each in recorder.said() if tick > start]
        assert before
        assert {each.player_id for _, each in said} == {1}
        assert len(said) == 10
        start = len(recorder.ticks)
        link.cut(4, play.clock.now)
        play.run(6)
        flags = [each.silent for tick, each in recorder.said() if tick > start]
        assert True in flags
        assert flags[-1] is False
        assert len(flags) <= 6 + 2


def test_nothing_is_said_in_a_game_that_does_not_want_to_know() -> None:
    with Harness(game(present=False), registry=registry) as play:
        recorder = Recorder()
        play.room.observers.add(recorder)
        play.connect("Ann")
        play.run(5)
        assert len(recorder.ticks) > 250
        assert recorder.said() == []


def test_it_stands_still_while_the_simulation_is_paused() -> None:
    link = FaultyLink(lag=0.02, seed=1)
    with Harness(game(timeout=30.0), registry=registry) as play:
        ann = play.connect("Ann")
        play.connect("Bob", link)
        play.run(1)
        before = seen(ann)
        link.lag = 0.3
        play.simulation.paused = True
        play.run(4)
        link.cut(7, play.clock.now)
        play.run(4)
        assert seen(ann) == before
        play.simulation.paused = False
        play.run(2)
        assert seen(ann)["Bob"][0] == "lost"


def test_nobody_is_lost_because_the_server_stood_still() -> None:
    with Harness(game(timeout=30.0), registry=registry) as play:
        recorder = Recorder()
        play.room.observers.add(recorder)
        link = FaultyLink(lag=0.05, seed=1)
        play.connect("Ann", link)
        play.run(1)
        link.cut(0.2, play.clock.now)
        play.run(0.2)
        play.clock.advance(5)  # nobody polls, and nobody ticks, and nothing is on its way
        play.run(2)
        said = recorder.said()
        assert len(said) >= 2
        assert not any(presence.silent for _, presence in said)


def test_who_has_left_and_is_kept_shows_it() -> None:
    with Harness(game(keep=True), registry=registry) as play:
        ann, bob = play.connect("Ann"), play.connect("Bob")
        play.leave(bob)
        play.run(3)
        assert seen(ann)["Bob"][0] == "left"
        assert seen(ann)["Ann"][0] == "ok"
        assert play.settle()


def test_the_same_data_make_the_same_presences_again() -> None:
    server = game(timeout=30.0)
    link = FaultyLink(lag=0.05, jitter=0.02, loss=0.2, seed=4)
    with Harness(server, registry=registry) as play:
        recorder = Recorder()
        play.room.observers.add(recorder)
        play.connect("Ann", link)
        shown: list[tuple[str, int]] = []
        again: list[tuple[str, int]] = []
        play.step()
        play.run(4)
        link.cut(4, play.clock.now)
        play.run(8)
        shown = statuses(play.simulation)
        assert ("ok", 0) not in shown
    simulation = Simulation(
        server.spec, seed=1, epoch=1, player=Player, owner=Owner, presence=Presence
    )
    for data in recorder.ticks:
        simulation.step(*data)
        again += statuses(simulation)
    assert again[-1:] == shown
    assert {status for status, _ in again} == {"ok", "lost"}
    simulation.close()


def statuses(simulation: Simulation) -> list[tuple[str, int]]:
    with simulation.world:
        return [(each.status, each.ping) for _, each in esper.get_component(Presence)]


def test_without_a_host_nothing_is_heard_and_who_is_kept_has_left() -> None:
    server = game(keep=True)
    simulation = server.step(300, joins=["Ann", "Bob"])
    assert statuses(simulation) == [("ok", 0), ("ok", 0)]
    server.step(leaves=[1])
    assert sorted(statuses(simulation)) == [("left", 0), ("ok", 0)]


@pytest.mark.parametrize(
    ("shown", "ping", "after"),
    [(0, 1, 1), (0, 0, 0), (5, 6, 6), (50, 54, 50), (50, 55, 55), (50, 45, 45), (200, 181, 200)],
)
def test_a_ping_is_written_when_it_differs_by_a_tenth(shown: int, ping: int, after: int) -> None:
    server = game()
    simulation = Simulation(
        server.spec, seed=1, epoch=1, player=Player, owner=Owner, presence=Presence
    )
    simulation.step([Join(1, "Ann")], presences=[PlayerPresence(1, False, shown)])
    simulation.step(presences=[PlayerPresence(1, False, ping), PlayerPresence(9, True, 7)])
    assert statuses(simulation) == [("ok", after)]
    simulation.step(presences=[PlayerPresence(1, True)])
    assert statuses(simulation) == [("lost", after)]
    simulation.close()
