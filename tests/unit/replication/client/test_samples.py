"""What is drawn between two values: the rules, one by one."""

from __future__ import annotations

import pytest

from ecsnet.replication.client.samples import EXTRAPOLATED_TICKS, Samples
from ecsnet.replication.client.store import ENTITIES
from ecsnet.replication.wire import LEFT_OUT, U32
from tests.unit.replication.client.playing import Dial, Ghost, Jumps, Place, Playing, Slow, Tank


@pytest.fixture
def play() -> Playing:
    """A thing at 0 since tick 10, drawn there."""
    made = Playing()
    made.structure(10, ([1], Place, [[0.0]]))
    made.update(10)
    assert made.x(10) == 0
    return made


def test_a_value_lies_between_two(play: Playing) -> None:
    play.place(11, 10.0)
    play.place(12, 30.0)
    assert [play.x(tick) for tick in (10.25, 10.5, 11, 11.5, 11.75, 12)] == [2.5, 5, 10, 20, 25, 30]


def test_only_floats_lie_between() -> None:
    play = Playing()
    play.structure(10, ([1], Dial, [[350.0, 1]]))
    play.update(10)
    play.update(11, ([1], Dial, [[10.0, 2]]))
    assert play.draw(10.25, Dial) == (355, 1)
    assert play.draw(10.75, Dial) == (5, 1)
    assert play.draw(11, Dial) == (10, 2)


def test_other_types_are_shown_at_their_tick(play: Playing) -> None:
    play.structure(10, ([1], Tank, [[3]]))
    play.update(11, ([1], Tank, [[7]]))
    assert play.draw(10.9, Tank) == (3,)
    assert play.draw(11, Tank) == (7,)


def test_what_comes_late_is_drawn_towards(play: Playing) -> None:
    """Rule 4."""
    play.place(12, 10.0)
    assert play.x(10.5) == 2.5
    play.place(11, 9.0)
    assert play.x(10.5) == 4.5
    assert play.x(11.5) == 9.5


def test_what_comes_later_still_is_drawn_from(play: Playing) -> None:
    play.place(13, 12.0)
    play.place(11, 6.0)
    assert play.x(11.5) == 7.5
    play.place(12, 10.0)
    assert play.x(12.5) == 11


def test_a_late_value_is_not_taken_for_the_newest(play: Playing) -> None:
    play.place(12, 10.0)
    assert play.x(12.5) == 10
    play.place(11, 4.0)
    play.place(13, 12.0)
    assert play.x(12.5) == 11


# Rule 5: what is not mentioned is unchanged, but only in a tick that came whole.


def test_what_begins_to_move_stands_until_then(play: Playing) -> None:
    for tick in range(11, 20):
        play.place(tick, None)
    play.place(20, 8.0)
    assert [play.x(tick) for tick in (15, 19, 19.5, 20)] == [0, 0, 4, 8]


@pytest.mark.parametrize("part", [(0, 2, 0), (1, 2, 0), (0, 1, LEFT_OUT)])
def test_in_a_tick_that_did_not_come_whole_it_may_have_moved(
    play: Playing, part: tuple[int, int, int]
) -> None:
    play.place(11, None)
    play.place(12, None, part=part)
    play.place(13, 8.0)
    assert play.x(12) == 4


def test_a_tick_is_whole_when_its_last_datagram_has_come(play: Playing) -> None:
    play.place(11, None)
    play.place(13, 8.0)
    assert play.x(12) == 4
    play.place(12, None, part=(1, 2, 0))
    assert play.x(12) == 4
    play.place(12, None, part=(0, 2, 0))
    assert play.x(12) == 0
    assert play.x(12.5) == 4


def test_a_tick_whose_structure_has_not_come_is_not_whole(play: Playing) -> None:
    play.place(11, None, depends=play.number + 1)
    play.place(12, 8.0, depends=play.number + 1)
    assert play.x(11) == 4


@pytest.mark.parametrize(("number", "further"), [(40_000, 40_000), ((1 << 32) + 1, 1)])
def test_a_tick_is_not_whole_however_far_its_structure_is_away(number: int, further: int) -> None:
    """On the wire, numbers of messages have 32 bits."""
    play = Playing()
    play.structure(10, ([1], Place, [[0.0]]), number=number)
    play.update(10, depends=number & U32)
    assert play.x(10) == 0
    play.place(11, None, depends=(number + further) & U32)
    play.place(12, 8.0, depends=number & U32)
    assert play.x(11) == 4


def test_ticks_are_remembered_as_whole_for_as_long_as_they_are_drawn() -> None:
    play = Playing()
    play.structure(10, ([1], Place, [[10.0]]))
    play.update(10)
    for tick in range(12, 700, 2):
        play.place(tick - 1, None)
        play.place(tick, float(tick))
        assert [play.x(tick - 1), play.x(tick - 0.5)] == [tick - 2, tick - 1]


@pytest.mark.parametrize(("ticks", "slides"), [(100, 100), (128, 128), (300, 128)])
def test_what_is_not_known_to_stand_slides_for_128_ticks_at_most(
    play: Playing, ticks: int, slides: int
) -> None:
    play.place(10 + ticks, 64.0)
    start = 10 + ticks - slides
    assert play.x(start) == 0
    assert play.x(start + 1) == 64 / slides
    assert play.x(start + slides / 2) == 32


def test_where_nothing_was_missing_silence_says_that_too(play: Playing) -> None:
    """While nothing changes, nothing is sent."""
    play.place(60, 8.0, unconfirmed=1)
    assert [play.x(tick) for tick in (40, 59, 59.5, 60)] == [0, 0, 4, 8]


def test_where_something_was_missing_silence_says_nothing(play: Playing) -> None:
    play.place(20, 10.0, unconfirmed=2)
    assert play.x(15) == 5


def test_with_fewer_updates_ticks_between_them_are_no_pause() -> None:
    play = Playing(interval=3)
    play.structure(9, ([1], Place, [[0.0]]))
    play.update(9)
    play.place(12, 6.0)
    assert play.x(10) == 2
    play.place(15, None)
    play.place(18, 12.0, unconfirmed=1)
    assert [play.x(tick) for tick in (14, 15, 16, 18)] == [6, 6, 8, 12]


def test_a_type_that_has_a_rate_is_not_missing_between_its_turns() -> None:
    play = Playing()
    play.structure(8, ([1], Slow, [[0.0]]))
    for tick in range(8, 12):
        play.update(tick)
    play.update(12, ([1], Slow, [[8.0]]))
    assert play.draw(9, Slow) == (2,)
    assert play.draw(11.5, Slow) == (7,)
    for tick in range(13, 20):
        play.update(tick)
    play.update(20, ([1], Slow, [[16.0]]))
    assert play.draw(15.9, Slow) == (8,)
    assert play.draw(17, Slow) == (10,)


def test_the_turns_of_a_type_are_those_of_updates() -> None:
    play = Playing(interval=3)
    play.structure(12, ([1], Slow, [[0.0]]))
    for tick in (12, 15, 18, 21):
        play.update(tick)
    play.update(24, ([1], Slow, [[12.0]]))
    assert [play.draw(tick, Slow) for tick in (18, 21)] == [(0,), (6,)]


# Rule 7: beyond what was heard of.


def test_what_moves_goes_on_while_nothing_is_heard(play: Playing) -> None:
    play.place(11, 2.0)
    play.place(12, 4.0)
    assert [play.x(tick) for tick in (12.5, 13, 14.5, 15)] == [5, 6, 9, 10]


def test_it_goes_on_for_some_ticks(play: Playing) -> None:
    play.place(11, 2.0)
    play.place(12, 4.0)
    assert play.x(12 + EXTRAPOLATED_TICKS + 0.5) == 4 + 2 * EXTRAPOLATED_TICKS
    assert play.x(12 + EXTRAPOLATED_TICKS + 1) == 4  # and then it is where it was last


def test_it_goes_on_for_two_updates_where_one_comes_in_three_ticks() -> None:
    play = Playing(interval=3)
    play.structure(9, ([1], Place, [[0.0]]))
    play.update(9)
    play.place(12, 3.0)
    assert [play.x(tick) for tick in (12, 15, 18, 20)] == [3, 6, 9, 9]


def test_a_datagram_that_comes_twice_is_one_value(play: Playing) -> None:
    play.place(11, 2.0)
    for _ in range(2):
        play.place(12, 4.0)
    assert [play.x(tick) for tick in (11.5, 12, 12.5)] == [3, 4, 5]


def test_what_stands_does_not_go_on(play: Playing) -> None:
    play.place(11, 2.0)
    play.place(12, 4.0)
    play.place(13, None)
    assert play.x(14) == 4


def test_what_was_said_twice_does_not_go_on(play: Playing) -> None:
    play.place(11, 4.0)
    play.place(12, 4.0)
    assert play.x(13) == 4


def test_what_may_be_on_its_way_goes_on_though_others_of_its_tick_came(play: Playing) -> None:
    """Most of what moved goes on moving: it would stand for a frame, and then take two steps."""
    play.place(11, 2.0)
    play.place(12, 4.0)
    play.place(13, None, part=(0, 2, 0))
    assert [play.x(tick) for tick in (12.5, 13)] == [5, 6]
    play.place(14, 9.0)
    assert play.x(13.5) == 7.75


def test_what_may_be_on_its_way_stands_when_the_rest_of_its_tick_has_come(play: Playing) -> None:
    play.place(11, 2.0)
    play.place(12, 4.0)
    play.place(13, None, part=(0, 2, 0))
    assert play.x(12.5) == 5
    play.place(13, None, part=(1, 2, 0))
    assert play.x(12.75) == play.x(13) == 4


def test_what_does_not_come_back_is_shown_as_it_was_told(play: Playing) -> None:
    play.place(11, 2.0)
    play.place(12, 4.0)
    assert play.x(14) == 8
    play.place(13, None)
    assert play.x(14) == 4


# Rule 9: jumps.


def test_a_jump_is_not_slid_through(play: Playing) -> None:
    play.structure(10, ([1], Jumps, [[0]]))
    play.place(11, 2.0)
    play.update(12, ([1], Place, [[500.0]]), ([1], Jumps, [[1]]))
    play.place(13, 502.0)
    assert [play.x(tick) for tick in (10.5, 11.5, 11.9, 12, 12.5)] == [1, 2, 2, 500, 501]


def test_a_jump_is_known_where_the_value_of_its_tick_is_not(play: Playing) -> None:
    play.structure(10, ([1], Jumps, [[0]]))
    play.place(11, 2.0)
    play.update(12, ([1], Jumps, [[1]]))
    play.place(13, 502.0)
    assert [play.x(tick) for tick in (11.5, 12.5, 13)] == [2, 2, 502]


def test_a_jump_said_twice_is_one(play: Playing) -> None:
    play.structure(10, ([1], Jumps, [[0]]))
    play.place(11, 2.0)
    play.update(12, ([1], Place, [[500.0]]), ([1], Jumps, [[1]]))
    play.update(13, ([1], Place, [[502.0]]), ([1], Jumps, [[1]]))
    assert play.x(12.5) == 501
    play.update(14, ([1], Place, [[0.0]]), ([1], Jumps, [[2]]))
    assert play.x(13.5) == 502


def test_a_jump_is_where_it_was_said_first_in_whatever_order_that_comes(play: Playing) -> None:
    play.structure(10, ([1], Jumps, [[0]]))
    play.place(11, 2.0)
    play.update(13, ([1], Place, [[502.0]]), ([1], Jumps, [[1]]))
    assert play.x(11.5) == 2
    play.update(12, ([1], Place, [[500.0]]), ([1], Jumps, [[1]]))
    assert [play.x(tick) for tick in (11.5, 12.5)] == [2, 501]


@pytest.mark.parametrize(("number", "x"), [(16, 0.0), (17, 5.0)])
def test_sixteen_jumps_of_an_entity_are_remembered(play: Playing, number: int, x: float) -> None:
    play.structure(10, ([1], Jumps, [[0]]))
    for jump in range(1, number + 1):
        play.update(10 + jump, ([1], Place, [[10.0 * jump]]), ([1], Jumps, [[jump]]))
    assert play.x(10.5) == x


def test_the_first_jump_of_an_entity_brings_the_component(play: Playing) -> None:
    play.place(11, 2.0)
    play.structure(12, ([1], Jumps, [[1]]))
    play.place(12, 500.0)
    assert play.x(11.5) == 2
    assert play.x(12) == 500


def test_others_do_not_jump_with_it(play: Playing) -> None:
    play.structure(10, ([2], Place, [[0.0]]), ([1], Jumps, [[0]]))
    play.update(11, ([1, 2], Place, [[500.0], [10.0]]), ([1], Jumps, [[1]]))
    assert play.x(10.5, net=1) == 0
    assert play.x(10.5, net=2) == 5


def test_a_jump_is_not_gone_on_with(play: Playing) -> None:
    play.structure(10, ([1], Jumps, [[0]]))
    play.place(11, 2.0)
    play.update(12, ([1], Place, [[500.0]]), ([1], Jumps, [[1]]))
    assert play.x(13) == 500


def test_a_long_step_is_a_jump() -> None:
    play = Playing()
    play.structure(10, ([1], Ghost, [[0.0, 0]]))
    play.update(10)
    play.update(11, ([1], Ghost, [[6.0, 16]]))  # ten units away
    play.update(12, ([1], Ghost, [[12.0, 33]]))  # a little more
    play.update(13, ([1], Ghost, [[13.0, 33]]))
    assert play.draw(10.5, Ghost) == (3, 4)
    assert play.draw(11.5, Ghost) == (6, 8)
    assert play.draw(12.5, Ghost) == (12.5, 16.5)


def test_what_is_not_finite_is_slid_through_by_nothing(play: Playing) -> None:
    play.place(11, float("inf"))
    play.place(12, 5.0)
    play.place(13, 6.0)
    assert [play.x(tick) for tick in (10.5, 11.5, 12.5)] == [0, float("inf"), 5.5]


# What comes and goes.


def test_what_comes_back_into_sight_does_not_slide_there(play: Playing) -> None:
    play.place(11, 2.0)
    play.structure(12, hidden=[1])
    play.structure(13, ([1], Place, [[500.0]]))
    play.place(14, 502.0)
    assert [play.x(tick) for tick in (10.5, 11.5, 12.5, 13, 13.5)] == [1, 2, None, 500, 501]


def test_what_leaves_the_sight_and_is_back_within_a_tick_does_not_slide(play: Playing) -> None:
    for tick, x in ((11, 100.0), (13, 200.0)):
        play.structure(tick, hidden=[1])
        play.structure(tick, ([1], Place, [[x]]))
        play.place(tick + 1, x)
    ticks = (10.5, 11, 12.5, 13, 14)
    assert [play.x(tick) for tick in ticks] == [0, 100, 100, 200, 200]


def test_a_component_that_was_removed_is_not_drawn(play: Playing) -> None:
    play.place(11, 2.0)
    play.structure(12, removed=[(Place, 1)])
    play.place(13, 3.0)
    assert [play.x(tick) for tick in (10.5, 12, 12.5, 13)] == [1, None, None, None]
    assert 1 in play.drawn.entities


def test_not_all_is_remembered_that_jumps_in_a_time_that_stands_still(play: Playing) -> None:
    components = play.buffer.store.wire.schema.components
    cid = next(cid for cid, kind in enumerate(components) if kind.cls is Place)
    samples = Samples(components, 1, range(2 * ENTITIES))
    most = 0
    for net in range(2 * ENTITIES):
        samples.note_inserted([net], cid, [components[cid].to_wire(Place(), lambda it: it)], 7)
        most = max(most, len(samples._jumps))
    assert most == ENTITIES
    assert samples._jumps


def test_another_component_that_comes_is_no_jump(play: Playing) -> None:
    play.structure(11, ([1], Tank, [[3]]))
    play.place(11, 2.0)
    assert play.x(10.5) == 1


def test_values_ahead_of_their_entity_are_drawn_once_it_is_there(play: Playing) -> None:
    play.update(12, ([2], Place, [[4.0]]), depends=play.number + 1)
    play.update(13, ([2], Place, [[6.0]]), depends=play.number + 1)
    assert play.x(10.5, net=2) is None
    play.structure(11, ([2], Place, [[2.0]]))
    assert [play.x(tick, net=2) for tick in (11, 11.5, 12.5)] == [2, 3, 5]


def test_nothing_is_kept_of_what_stands(play: Playing) -> None:
    samples = play.buffer._samples
    for tick in range(11, 400):
        play.place(tick, float(tick))
        play.structure(tick, ([2], Place, [[1.0]]), ([1], Jumps, [[tick]]))
        play.structure(tick, despawned=[2])
        play.draw(tick - 2.5)
        assert all(len(track.ticks) <= 5 for track in samples._tracks.values())
        assert len(samples._missing) <= 257
    assert sum(map(len, samples._jumps.values())) <= 64
    for tick in range(400, 700):
        play.place(tick, None)
        play.draw(tick)
    assert not samples._tracks
    assert not samples._jumps
    assert len(samples._missing) <= 257
    # Neither of what is told of entities that nobody knows.
    for tick in range(700, 710):
        play.update(tick, ([9], Place, [[1.0]]), ([9], Jumps, [[tick]]))
    play.draw(711)
    assert not samples._tracks
    assert not samples._jumps
