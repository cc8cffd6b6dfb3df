"""What is said once counts once, in however many datagrams or calls it comes."""

from __future__ import annotations

import esper
import pytest

from ecsnet.schema import Registry, replicated, use_registry
from ecsnet.server import ServerWorld
from ecsnet.session.clock import REPORTS, TickClock
from ecsnet.testing import Harness

with use_registry(Registry()) as registry:

    @replicated
    class Place:
        x: float = 0.0
        y: float = 0.0


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
        ticks = client._ticks
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
