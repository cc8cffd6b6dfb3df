"""The debug mode's check of shared systems: what does not come out the same again is named."""

from __future__ import annotations

import itertools
import random
import re
import time
from collections.abc import Callable

import esper
import pytest

import ecsnet as net
from ecsnet.components import Owner
from ecsnet.prediction.private_world import PrivateWorld
from ecsnet.prediction.replay_check import ReplayCheck
from ecsnet.schema import Registry, use_registry
from ecsnet.simulation.simulation import running
from ecsnet.testing import FaultyLink, Harness

with use_registry(Registry()) as registry:

    @net.replicated
    class Place:
        x: float = 0.0
        y: float = 0.0

    @net.replicated
    class Gun:
        last: net.EntityRef = None
        shots: int = 0

    @net.replicated
    class Wall:
        x: float = 0.0

    @net.replicated(once=True)
    class Colour:
        name: str = "red"


System = Callable[[float], object]


def play(*systems: System, seconds: float = 3.0, debug: bool = True) -> net.ClientWorld:
    """Play a game with these shared systems for a while; returns a client of it."""
    with use_registry(registry):
        server = net.ServerWorld()

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Place())
        esper.add_component(player, Gun())
        esper.add_component(player, Colour())

    @server.on_start
    def start() -> None:
        esper.create_entity(Wall(5.0))

    for priority, system in enumerate(systems):
        server.system(shared=True, priority=-priority)(system)
    with Harness(server, seed=1) as game:
        client = game.connect("Ann", FaultyLink(lag=0.05, seed=2), smooth=True, debug=debug)
        game.run(seconds=seconds)
        assert client.ahead is not None
        return client


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "ecsnet.client"]


def move(dt: float) -> None:
    for _, place in esper.get_component(Place):
        place.x += 60 * dt


def dodge(dt: float) -> None:
    """Do all that a shared system may."""
    walls = [wall.x for _, wall in esper.get_component(Wall)]
    for wall, (it,) in esper.get_components(Wall):
        it.x += 1.0
        if net.tick() % 30 == 0:
            esper.delete_entity(wall)
    for ship, (gun, place) in esper.get_components(Gun, Place):
        place.y = net.rng(ship).random() + sum(walls)
        if net.tick() % 20 == 0:
            gun.last = esper.create_entity(Place(place.x), Owner(ship))
            gun.shots += 1
        elif net.tick() % 20 == 10 and gun.last is not None:
            esper.delete_entity(gun.last)
            gun.last = None


def test_what_comes_out_the_same_is_not_spoken_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReplayCheck, "is_due", lambda check, tick: True)  # each tick, for once
    play(move, dodge, seconds=5)
    assert said(caplog) == []


def test_a_system_that_keeps_something_is_named(caplog: pytest.LogCaptureFixture) -> None:
    steps = itertools.count()

    def drift(dt: float) -> None:
        for _, place in esper.get_component(Place):
            place.y = float(next(steps))

    def follow(dt: float) -> None:
        for _, (place, gun) in esper.get_components(Place, Gun):
            gun.shots = int(place.y)

    play(move, drift, follow)
    (text,) = said(caplog)
    assert "drift came out differently when its tick ran again" in text
    assert "Place.y was " in text
    assert "follow" not in text


def test_so_is_one_that_makes_something_at_one_time_only(caplog: pytest.LogCaptureFixture) -> None:
    turns = itertools.cycle([True, False])

    def shoot(dt: float) -> None:
        for ship, _ in esper.get_component(Gun):
            if next(turns):
                esper.create_entity(Wall(), Owner(ship))

    play(shoot)
    text = said(caplog)[0]
    assert "shoot came out differently" in text
    assert re.search("Wall was (there, and then not|not there, and then) there", text)


def test_chance_and_clocks_are_named_with_their_place(caplog: pytest.LogCaptureFixture) -> None:
    def wind(dt: float) -> None:
        for _, place in esper.get_component(Place):
            place.y = random.random()

    def age(dt: float) -> None:
        time.monotonic()

    play(wind, age)
    texts = said(caplog)
    line = wind.__code__.co_firstlineno + 2
    assert f"wind calls random.random, in test_replay_check.py:{line}, " in texts[0]
    assert "age calls time.monotonic, in " in texts[1]
    assert "wind came out differently" in texts[2]
    assert "Place.y was 0." in texts[2]
    assert len(texts) == 3


def test_what_is_sent_once_may_not_be_written(caplog: pytest.LogCaptureFixture) -> None:
    def paint(dt: float) -> None:
        for _, colour in esper.get_component(Colour):
            colour.name = "blue" if net.tick() % 2 else "red"

    play(move, paint)
    (text,) = said(caplog)
    assert "paint writes Colour.name, which nobody is told of" in text


def test_without_debug_nothing_is_checked(caplog: pytest.LogCaptureFixture) -> None:
    def age(dt: float) -> None:
        for _, place in esper.get_component(Place):
            place.y = time.monotonic()

    play(age, debug=False)
    assert said(caplog) == []


def test_one_tick_of_each_second_is_chosen() -> None:
    with use_registry(registry):
        server = net.ServerWorld(tick_rate=30)

    world = PrivateWorld(server.spec, 30, registry.schema().components, 1, 1)
    choices = iter([0, 29, 7, 3])
    check = ReplayCheck(world, (), 30, choose=lambda below: next(choices))
    assert [tick for tick in range(120) if check.is_due(tick)] == [0, 59, 67, 93]
    usual = world.call
    assert check.step(1, ()) == []
    assert world.call is usual
    world.close()


def test_a_system_that_deletes_at_one_time_only_is_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReplayCheck, "is_due", lambda check, tick: True)
    turns = itertools.cycle([True, False])

    def build(dt: float) -> None:
        for ship, (gun,) in esper.get_components(Gun):
            if gun.last is None:
                gun.last = esper.create_entity(Wall(), Owner(ship))

    def sink(dt: float) -> None:
        for wall, _ in esper.get_components(Wall, Owner):
            if running_ahead() and next(turns):
                esper.delete_entity(wall)

    play(build, sink)
    text = said(caplog)[0]
    assert "sink came out differently" in text
    assert re.search("(Wall|Owner) was (there, and then not|not there, and then) there", text)


def raise_error(dt: float) -> None:
    for ship, _ in esper.get_component(Gun):
        esper.component_for_entity(ship, Wall).x += 1


def clear(dt: float) -> None:
    if esper.get_component(Gun):
        esper.clear_database()


@pytest.mark.parametrize("mistake", [raise_error, clear])
def test_what_ends_the_prediction_does_so_in_a_check_too(
    mistake: System, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReplayCheck, "is_due", lambda check, tick: True)
    with use_registry(registry):
        server = net.ServerWorld()
    server.on_join(lambda player: esper.add_component(player, Gun()))

    @server.system(shared=True)
    def only_there(dt: float) -> None:
        if running_ahead():
            mistake(dt)

    with Harness(server, seed=1) as game:
        client = game.connect("Ann", smooth=True, debug=True)
        game.run(seconds=2)
        assert client.ahead is None
        assert client.connected
    (text,) = said(caplog)
    assert "From now on nothing is predicted" in text


def running_ahead() -> bool:
    """Return whether this is a client's private world."""
    return running("this test").ahead
