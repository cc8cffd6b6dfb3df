"""Entities, processors and handlers in worlds in which no game runs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import esper
import pytest

import ecsnet as net
import ecsnet.world as world_module
from ecsnet.components import Position
from ecsnet.runtime.idle import warn_of_idle_worlds
from ecsnet.schema import Registry, use_registry
from ecsnet.testing import ManualClock
from ecsnet.world import World, idle_worlds

MODULE = sys.modules[net.play.__module__]

with use_registry(Registry()) as registry:

    @net.replicated
    class Coin:
        worth: int = 1


class Picture:
    pass


class Move(esper.Processor):
    def process(self, dt: float = 0.0) -> None: ...


class Render(esper.Processor):
    ran = 0

    def process(self) -> None:
        self.ran += 1


def hit() -> None: ...


@pytest.fixture(autouse=True)
def only_the_default_world() -> Iterator[None]:
    """Whatever other tests have left in esper is put aside."""
    before = esper.current_world
    esper.switch_world(before)  # which puts down what it holds
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(esper, "_context_map", {})
        patched.setattr(esper, "_current_world", None)
        patched.setattr(world_module, "_in_use", Counter())
        esper.switch_world("default")
        yield
    esper._current_world = None
    esper.switch_world(before)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all((one.levelname, one.name) == ("WARNING", "ecsnet.server") for one in caplog.records)
    return caplog.messages


def test_what_stands_in_the_default_world_is_told(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        esper.create_entity(Coin())
    for kind in (Move, Render, type("Aim", (Move,), {}), type("Burn", (Move,), {})):
        esper.add_processor(kind())
    esper.set_handler("hit", hit)
    warn_of_idle_worlds()
    (line,) = said(caplog)
    assert line.startswith(
        "the esper world 'default' holds 3 entities, 4 processors (Aim, Burn, Move, ...), 1 handled"
        " event ('hit'), where the game does not run"
    )
    assert "@server.on_start" in line
    assert "server.add_system()" in line


@pytest.mark.parametrize("what", ["entity", "processor", "handler"])
def test_one_of_them_is_enough_in_any_world(caplog: pytest.LogCaptureFixture, what: str) -> None:
    esper.switch_world("level")
    if what == "entity":
        esper.create_entity()
    elif what == "processor":
        esper.add_processor(Move())
    else:
        esper.set_handler("hit", hit)
    esper.switch_world("default")
    warn_of_idle_worlds()
    (line,) = said(caplog)
    assert "the esper world 'level' holds 1 " in line
    assert "'default'" not in line
    assert esper.current_world == "default"


def test_several_worlds_are_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    esper.create_entity()
    esper.switch_world("level")
    esper.create_entity()
    warn_of_idle_worlds()
    (line,) = said(caplog)
    assert "'default' holds 1 entity; 'level' holds 1 entity" in line


def test_worlds_that_something_uses_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    view, other = World.current(), World()
    for world in (view, other):
        with world:
            esper.create_entity()
    warn_of_idle_worlds()
    assert said(caplog) == []
    view.close()
    assert [world.name for world in idle_worlds()] == ["default"]
    warn_of_idle_worlds()
    assert len(said(caplog)) == 1
    other.close()


def test_nothing_there_is_nothing_told(caplog: pytest.LogCaptureFixture) -> None:
    esper.delete_entity(esper.create_entity(), immediate=True)
    warn_of_idle_worlds()
    assert [world.name for world in idle_worlds()] == ["default"]
    assert said(caplog) == []


# The world of the player who hosts.


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    made = ManualClock()
    monkeypatch.setattr(MODULE, "time", SimpleNamespace(perf_counter=made))
    return made


def play(clock: ManualClock, frames: int = 400, *, process: bool = False) -> None:
    with use_registry(registry):
        server = net.ServerWorld()
        with net.play(server, offline=True) as client:
            for _ in range(frames):
                clock.advance(1 / 60)
                client.poll()
                if process:
                    esper.process()
            assert client.connected is (frames > 1)


def test_what_only_the_server_should_make_is_told(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    esper.create_entity(Coin())
    esper.create_entity(Coin(), Position())
    play(clock)
    assert said(caplog) == [
        (
            "2 entities made with replicated components outside the game, where no other"
            " player sees them: create entities in @server.on_start"
        )
    ]


def test_what_is_for_the_eye_is_not_told(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    esper.create_entity(Picture())
    esper.create_entity(Picture(), Position())
    esper.create_entity()
    render = Render()
    esper.add_processor(render)
    esper.set_handler("hit", hit)
    play(clock, process=True)
    assert render.ran == 400
    assert said(caplog) == []


def test_a_processor_that_nothing_runs_is_told_once(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    esper.add_processor(Move())
    play(clock, 250)
    assert said(caplog) == []
    play(clock, 1000)
    assert said(caplog) == [
        (
            "1 processor (Move) given to esper.add_processor() outside the game, and nothing calls"
            " esper.process(): rules go to server.add_system(), what draws runs in your loop"
        )
    ]


@pytest.mark.parametrize("process", [True, False])
def test_the_view_is_left_as_it_was(clock: ManualClock, process: bool) -> None:
    move = Move()
    esper.add_processor(move)
    for frames in (1, 400):
        play(clock, frames, process=process)
        assert World.current().processors() == [move]


def test_other_worlds_are_told_when_a_game_is_played(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    esper.switch_world("level")
    esper.add_processor(Move())
    esper.switch_world("default")
    play(clock, 30)
    (line,) = said(caplog)
    assert "the esper world 'level' holds 1 processor (Move)" in line
