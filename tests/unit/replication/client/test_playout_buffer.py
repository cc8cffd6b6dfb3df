"""The buffer in front of the store that is drawn: what waits, in which order, and how much."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecsnet.replication.client.playout_buffer
from tests.unit.replication.client.playing import Boom, Place, Playing, Tank


def test_values_wait_for_their_tick() -> None:
    play = Playing()
    play.structure(10, ([1], Tank, [[3]]))
    play.update(12, ([1], Tank, [[5]]))
    play.update(11, ([1], Tank, [[4]]))
    assert play.draw(9.9, Tank) is None
    assert [play.draw(tick, Tank) for tick in (10, 10.9, 11, 12)] == [(3,), (3,), (4,), (5,)]


def test_ticks_go_on_where_those_on_the_wire_begin_again() -> None:
    wrap = 1 << 32
    play = Playing(start=wrap - 20)
    play.structure(wrap - 10, ([1], Tank, [[3]]))
    play.update(wrap - 1, ([1], Tank, [[4]]))
    play.update(wrap + 1, ([1], Tank, [[5]]))
    play.structure(wrap + 2, despawned=[1])
    ticks = (wrap - 10, wrap - 1, wrap, wrap + 1, wrap + 2)
    assert [play.draw(tick, Tank) for tick in ticks] == [(3,), (4,), (4,), (5,), None]


def test_what_is_reliable_may_be_far_ahead_of_the_last_tick() -> None:
    play = Playing()
    play.structure(100_000, ([1], Tank, [[3]]))
    assert play.draw(99_999, Tank) is None
    assert play.draw(100_000, Tank) == (3,)
    play.happen(200_000, 2)
    play.draw(199_999)
    assert play.drawn.events.came == 0
    play.draw(200_000)
    assert play.drawn.events.came == 1


def test_what_went_is_drawn_until_then() -> None:
    play = Playing()
    play.structure(10, ([1, 2], Tank, [[3], [3]]))
    play.structure(12, despawned=[1], hidden=[2])
    assert not play.told.entities
    assert play.draw(11.9, Tank) == (3,)
    assert play.draw(12, Tank) is None
    assert play.drawn.went == {1: "despawned", 2: "hidden"}


def test_what_comes_late_is_drawn_at_once() -> None:
    play = Playing()
    play.structure(10, ([1], Tank, [[3]]))
    assert play.draw(20, Tank) == (3,)
    play.update(15, ([1], Tank, [[5]]))
    play.structure(16, ([2], Tank, [[6]]))
    assert play.draw(20.1, Tank) == (5,)
    assert play.draw(20.1, Tank, net=2) == (6,)


def test_what_is_reliable_comes_before_what_depends_on_it() -> None:
    play = Playing()
    play.structure(10, ([1], Tank, [[3]]))
    play.update(10, events=[7])
    play.draw(10)
    assert play.drawn.events.came == 1  # for its structure was there


def test_what_is_due_at_once_comes_by_its_tick() -> None:
    play = Playing()
    play.structure(10, ([1], Tank, [[3]]))
    play.happen(12, 2)
    play.update(11, events=[1], depends=1)
    play.update(12, events=[3])
    play.draw(20)
    play.drawn.events.shown((), (), ())
    assert [wire for _, wire, _, _ in play.drawn.events.take()] == [Boom(1), Boom(2), Boom(3)]


def test_events_wait_between_what_comes_and_what_goes() -> None:
    play = Playing()
    play.structure(10, ([1], Tank, [[3]]))
    play.happen(11, 1, 2)
    play.structure(12, despawned=[1])
    counts = []
    for tick in (10, 11, 12):
        play.draw(tick)
        counts.append((play.drawn.events.came, len(play.drawn.went), 1 in play.drawn.entities))
    assert counts == [(0, 0, True), (2, 0, True), (2, 0, True)]
    play.drawn.events.shown((), (), ())
    kinds = [(kind.cls, wire) for kind, wire, _, _ in play.drawn.events.take()]
    assert kinds == [(Boom, Boom(1)), (Boom, Boom(2))]
    play.drawn.events.note_returned()
    play.drawn.depart()
    assert play.drawn.went == {1: "despawned"}


def test_the_store_that_is_told_keeps_no_events() -> None:
    play = Playing()
    play.structure(10, ([1], Tank, [[3]]))
    play.happen(11, 1, 2)
    play.update(11, events=[3])
    assert play.told.events.came == 0
    play.structure(12, despawned=[1])
    assert not play.told.entities
    play.draw(12)
    assert play.drawn.events.came == 3


def test_reliable_messages_stay_in_their_order() -> None:
    play = Playing()
    play.structure(12, ([1], Tank, [[3]]))
    play.structure(10, despawned=[1])
    assert play.draw(11, Tank) is None
    play.draw(11)
    assert play.drawn.structured == 0
    play.draw(12)
    assert play.drawn.structured == 2
    assert not play.drawn.entities


def test_what_depends_on_an_earlier_stay_is_no_part_of_this_one() -> None:
    play = Playing()
    play.buffer._number = 3
    play.update(10, ([1], Place, [[1.0]]), depends=2)
    assert not play.buffer._updates
    assert not play.buffer._samples._tracks
    play.update(10, ([1], Place, [[1.0]]), depends=3)
    assert play.buffer._updates
    assert play.buffer._samples._tracks


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is far ahead of its own ticks is shown at once, and not kept."""
    monkeypatch.setattr(ecsnet.replication.client.playout_buffer, "BUFFER_BYTES", 20_000)
    play = Playing()
    play.structure(10, ([*range(1, 101)], Place, [[0.0]] * 100))
    play.draw(10)
    most = 0
    for tick in range(1000, 1100):
        play.update(tick, ([*range(1, 101)], Place, [[float(tick)]] * 100))
        most = max(most, play.buffer._bytes)
        play.draw(11)
        assert play.buffer._bytes <= 20_000
    assert most > 20_000
    assert play.drawn.entities[1].ticks != {}
    assert max(play.drawn.entities[1].ticks.values()) > 1000  # shown early
    assert sum(len(track.ticks) for track in play.buffer._samples._tracks.values()) < 5000
    for _ in range(300):
        play.number += 1
        play.told.passed(play.number)
        play.buffer.passed(play.number)
    assert play.buffer._bytes > 20_000
    play.draw(11)
    assert play.buffer._bytes == 0


def test_two_mebibytes_wait_for_their_tick() -> None:
    play = Playing()
    play.happen(20, 1, size=0)
    play.happen(21, 2, size=(2 << 20) - 2 * play.buffer._bytes)
    assert play.buffer._bytes == 2 << 20
    play.draw(10)
    assert play.drawn.events.came == 0
    play.happen(22, 3, size=0)
    play.draw(10)
    assert play.drawn.events.came == 3


def test_ten_thousand_messages_that_say_little_wait_for_their_tick() -> None:
    play = Playing()
    play.structure(20)
    for number in range(2, 10_000):
        play.buffer.passed(number)
    play.draw(10)
    assert play.drawn.structured == 0
    for number in range(10_000, 11_000):
        play.buffer.passed(number)
    play.draw(10)
    assert play.drawn.structured == 10_999


def test_what_has_no_tick_waits_for_none() -> None:
    play = Playing()
    play.buffer.passed(1)
    play.draw(-1.0)  # as before anything was heard
    assert play.drawn.structured == 1


def test_what_comes_from_a_long_time_ahead_or_ago_has_its_tick() -> None:
    """More than half of what sixteen bits hold."""
    play = Playing()
    play.structure(10, ([1], Tank, [[3]]))
    play.structure(40_010, ([2], Tank, [[4]]))
    play.happen(40_020, 1)
    assert play.draw(40_009, Tank, net=2) is None
    assert play.draw(40_010, Tank, net=2) == (4,)
    assert play.drawn.events.came == 0
    play.draw(40_020)
    assert play.drawn.events.came == 1
    play.update(80_030)
    play.update(40_030, ([1], Tank, [[5]]))
    assert play.draw(40_030, Tank) == (5,)


def test_events_have_their_tick_where_those_on_the_wire_begin_again() -> None:
    wrap = 1 << 32
    play = Playing(start=wrap - 20)
    play.happen(wrap + 2, 1)
    play.draw(wrap + 1)
    assert play.drawn.events.came == 0
    play.draw(wrap + 2)
    assert play.drawn.events.came == 1


def test_all_of_it_is_let_go_of_at_the_end() -> None:
    play = Playing()
    play.structure(10, ([1], Tank, [[3]]))
    play.happen(500, 1)
    play.update(1000, ([1], Tank, [[4]]))
    play.buffer.flush()
    assert play.drawn.entities[1].values == play.told.entities[1].values
    assert play.drawn.events.came == 1
    assert play.buffer._bytes == 0


@given(st.integers(0, 2**32), st.integers(1, 4), st.floats(0, 0.6))
def test_in_the_end_the_drawn_store_says_what_the_told_one_says(
    seed: int, interval: int, loss: float
) -> None:
    """Whatever gets lost of the updates, and in whatever order they come."""
    rng = random.Random(seed)
    play = Playing(interval)
    shown = 0.0
    alive: set[int] = set()
    waiting: list[tuple[int, int, list[int], list[int]]] = []  # arrives, tick, nets, values
    for step in range(40):
        tick = 10 + step * interval
        if rng.random() < 0.4:
            net = rng.randrange(1, 8)
            if net in alive:
                alive.discard(net)
                play.structure(tick, despawned=[net])
            else:
                alive.add(net)
                cls = rng.choice((Place, Tank))
                play.structure(tick, ([net], cls, [[step]]))
        nets = sorted(rng.sample(range(1, 8), rng.randrange(0, 5)))
        if rng.random() >= loss:
            arrives = step + rng.choice((0, 0, 0, 1, 3, 9))
            waiting.append((arrives, tick, nets, [rng.randrange(100) for _ in nets]))
        rng.shuffle(waiting)
        for entry in [entry for entry in waiting if entry[0] <= step]:
            waiting.remove(entry)
            _, sent, which, values = entry
            cls = rng.choice((Place, Tank))
            runs = [(which, cls, [[value] for value in values])] if which else []
            depends = max(0, play.number + rng.choice((-1, 0, 0, 1)))
            part = (rng.randrange(2), 2, rng.randrange(2))
            play.update(sent, *runs, part=part, depends=depends, unconfirmed=rng.randrange(9))
        shown = max(shown, tick - rng.random() * 8)
        for net in range(1, 8):
            play.draw(shown, Place, net)
        for record in play.drawn.entities.values():
            assert all(at <= shown for at in record.ticks.values())
    play.number += 1
    play.told.passed(play.number)
    play.buffer.passed(play.number)
    play.draw(1000)
    assert {net: record.values for net, record in play.drawn.entities.items()} == {
        net: record.values for net, record in play.told.entities.items()
    }
    assert play.buffer.play(1200) == {}
    assert not play.buffer._samples._tracks
    assert play.buffer._bytes == 0
