"""Ticks, frames and datagrams at times of their own, and the record of all of them."""

from __future__ import annotations

from itertools import pairwise

import esper
import pytest

import ecsnet as net
from ecsnet.components import Position
from ecsnet.errors import UsageError
from ecsnet.testing import FaultyLink, Harness, Registry, use_registry
from ecsnet.testing.measures import distances, path_of, samples_of

with use_registry(Registry()) as registry:

    @net.replicated
    class Health:
        name: str = "x"
        hp: int = 100

    @net.replicated
    class Label:
        text: str = ""

    @net.command(hold=True)
    class Steer:
        dx: int = 0


class Plain:
    pass


def game() -> net.ServerWorld:
    with use_registry(registry):
        server = net.ServerWorld(60, seed=1)

    @server.on_join
    def join(player: int) -> None:
        for component in (Position(), Health(), Label()):
            esper.add_component(player, component)

    @server.system
    def move(dt: float) -> None:
        for player, steer in net.commands(Steer):
            esper.component_for_entity(player, Position).x += steer.dx * 60 * dt

    return server


def test_a_client_draws_as_many_frames_as_it_is_told() -> None:
    with Harness(game()) as played:
        recording = played.record(Position)
        slow = played.connect("slow", fps=30)
        fast = played.connect("fast", fps=144, phase=0.003)
        for frames in recording.frames.values():
            frames.clear()
        recording.ticks.clear()
        played.run(2)
        assert len(recording.ticks) == 120
        for client, fps in ((slow, 30), (fast, 144)):
            frames = recording.frames[client]
            assert abs(len(frames) - 2 * fps) <= 1
            assert all(b.at - a.at == pytest.approx(1 / fps) for a, b in pairwise(frames))


def test_a_frame_shows_a_tick_as_old_as_the_way_is_long() -> None:
    with Harness(game()) as played:
        recording = played.record(Position)
        client = played.connect("ada", FaultyLink(lag=0.05, seed=1), fps=100, phase=0.001)
        played.run(1)
        last = recording.frames[client][-1]
        age = last.at - recording.ticks[last.newest].at
        assert 0.05 <= age <= 0.05 + 1 / 60 + 1 / 100


def test_datagrams_reach_the_server_between_its_ticks() -> None:
    def earliness(fps: float | None) -> set[float]:
        """By how much commands come early, in sixteenths of a tick."""
        with Harness(game()) as played:
            client = played.connect("ada", fps=fps, phase=0.006)
            client.send(Steer(1))
            said: set[float] = set()
            for _ in range(200):
                played.step()
                member = played.member(client)
                assert member is not None
                state = member.client_state
                if state is not None and state.report is not None:
                    said.add(state.report[0] % 16)
        return said

    assert earliness(None) <= {0, 1}  # with a tick, that is
    assert len(earliness(97.0)) > 3


def test_it_says_what_was_drawn_and_what_was_there() -> None:
    with Harness(game()) as played:
        recording = played.record(Position, Health)
        ada = played.connect("ada", FaultyLink(lag=0.03, seed=1), fps=60, phase=0.002)
        bob = played.connect("bob", fps=60, phase=0.004)
        ada.send(Steer(1))
        played.run(1)
        frame = recording.frames[bob][-1]
        assert frame.player == bob.player
        assert frame.shown == frame.ahead == frame.newest
        remote = [entity for entity in frame.values[Position] if entity != bob.player]
        net_id = recording.network_id(bob, remote[0])
        assert net_id is not None
        assert recording.entities(bob, net_id) == remote
        assert recording.network_id(bob, 12345) is None
        assert frame.values[Health][remote[0]] == (100,)  # a name is no number
        path, samples = (
            path_of(recording, net_id, Position),
            samples_of(recording, bob, net_id, Position),
        )
        assert len(samples) == len(recording.frames[bob])
        assert set(distances(path, samples)) <= {0.0, None}
        place = samples[-1].place
        assert place is not None
        assert place[0] > 30
        own = samples_of(recording, bob, net_id, Position, own=True)
        assert [sample.tick for sample in own] == [each.ahead for each in recording.frames[bob]]


def test_keys_are_looked_at_before_each_poll() -> None:
    with Harness(game()) as played:
        ada = played.connect("ada", fps=60, phase=0.004)
        polled: list[int] = []
        played.seats[ada].before_poll = lambda: polled.append(ada.stats.tick)
        played.run(1)
        assert len(polled) == 60
        assert sorted(set(polled)) == polled


def test_a_client_that_stalls_draws_nothing_until_it_goes_on() -> None:
    with Harness(game()) as played:
        recording = played.record(Position)
        ada = played.connect("ada", fps=60, phase=0.004)
        bob = played.connect("bob", every=1)
        begun = played.clock.now
        played.stall(2, ada)
        played.stall(1, bob)
        played.run(3)
        for client, seconds in ((ada, 2), (bob, 1)):
            frames = [frame.at - begun for frame in recording.frames[client]]
            assert not [at for at in frames if 0 < at < seconds - 1e-6]
            assert sum(at > seconds - 1e-6 for at in frames) == pytest.approx(
                60 * (3 - seconds), abs=2
            )
        assert ada.connected


def test_a_server_that_stalls_runs_no_tick_and_hears_nothing() -> None:
    with Harness(game()) as played:
        ada = played.connect("ada", fps=60, phase=0.004)
        ada.send(Steer(1))
        played.run(1)
        tick, received = played.simulation.tick, played.host.stats().packets_received
        at = played.clock.now
        played.stall(2)
        assert played.clock.now == pytest.approx(at + 2)
        assert played.simulation.tick == tick
        assert played.host.stats().packets_received == received
        played.run(1)
        assert played.simulation.tick >= tick + 60
        assert played.host.stats().packets_received > received
        assert ada.connected


def test_ticks_go_on_where_all_clients_have_frames_of_their_own() -> None:
    with Harness(game()) as played:
        ada = played.connect("ada", FaultyLink(0.02, 0.01, 0.1, seed=4), fps=144)
        ada.send(Steer(1))
        played.run(1)
        ada.release(Steer)
        result = played.settle()
        assert result, result
        assert result.compared >= 3


def test_what_cannot_be_is_refused() -> None:
    with Harness(game()) as played:
        for fps in (0, -60, float("nan"), float("inf"), "60", True):
            with pytest.raises(UsageError, match="fps"):
                played.connect(fps=fps)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="phase"):
            played.connect(fps=60, phase=-1)
        with pytest.raises(UsageError, match="give one of them"):
            played.connect(fps=60, every=2)
        with pytest.raises(UsageError, match="seconds"):
            played.stall(-1)
        with pytest.raises(UsageError, match="client"):
            played.stall(1, "ada")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="components to record"):
            played.record()
        with pytest.raises(UsageError, match="Plain"):
            played.record(Plain)
        with pytest.raises(UsageError, match="no field is a number"):
            played.record(Label)
