"""What the measures say of recordings that are made by hand."""

from __future__ import annotations

from math import inf

import pytest

from ecsnet.testing.measures import (
    Corrections,
    Path,
    Sample,
    Steps,
    Timeline,
    ages,
    corrections,
    distances,
    first_seen,
    frames_until_motion,
    percentile,
    right_again,
    slides,
    steps,
)

RATE = 60.0
LINE = Path({tick: (4.0 * tick, 0.0) for tick in range(100)})
"""Four units a tick to the right."""


def drawn(
    *places: tuple[float, float] | None, fps: float = 60.0, first: float = 50.0
) -> list[Sample]:
    """Frames in which something was drawn there, at the ticks that go by meanwhile."""
    return [
        Sample(index / fps, first + index * RATE / fps, place) for index, place in enumerate(places)
    ]


def along(path: Path, *ticks: float, fps: float = 60.0) -> list[Sample]:
    """Frames in which something was drawn where it was at these ticks."""
    return [Sample(index / fps, tick, path.at(tick)) for index, tick in enumerate(ticks)]


# Paths.


def test_a_path_has_places_between_ticks_and_none_beyond_them() -> None:
    assert LINE.at(10) == (40.0, 0.0)
    assert LINE.at(10.25) == (41.0, 0.0)
    assert LINE.at(99) == (396.0, 0.0)
    assert LINE.at(99.5) is LINE.at(-1) is None
    assert Path({1: (0.0, 0.0), 3: (8.0, 0.0)}).at(1.5) is None


def test_a_path_has_no_places_within_a_jump() -> None:
    path = Path({1: (0.0, 0.0), 2: (0.0, 61.0), 3: (0.0, 121.0)}, jump=60.0)
    assert path.at(1.9) == (0.0, 0.0)
    assert path.at(2.5) == (0.0, 91.0)


def test_a_velocity_is_that_of_a_whole_stretch() -> None:
    places = {tick: (4.0 * min(tick, 50), 0.0) for tick in range(100) if tick != 80}
    path = Path(places)
    assert path.velocity(10, 20) == path.velocity(0, 50) == (4.0, 0.0)
    assert path.velocity(10, 51) is None
    assert path.velocity(50, 60) == (0.0, 0.0)
    assert path.velocity(75, 85) is path.velocity(90, 110) is path.velocity(-5, 10) is None


# Steps.


@pytest.mark.parametrize("fps", [30.0, 60.0, 62.5, 144.0])
def test_a_steady_mover_that_is_drawn_so_has_no_hitch(fps: float) -> None:
    ticks = [20 + index * RATE / fps for index in range(20)]
    found = steps(LINE, along(LINE, *ticks, fps=fps), RATE)
    assert found == Steps(19, 0, 0, pytest.approx(1))


def test_a_frame_without_news_and_the_double_step_behind_it_are_hitches() -> None:
    assert steps(LINE, along(LINE, 20, 21, 21, 23, 24), RATE) == (4, 2, 1, pytest.approx(2))


def test_a_sidestep_is_a_hitch_though_it_is_no_longer() -> None:
    samples = drawn((80, 0), (84, 0), (84, 4), (84, 8), first=20)
    assert steps(LINE, samples, RATE) == (3, 2, 0, pytest.approx(1))


def test_what_is_slewed_by_a_few_per_cent_has_no_hitch_and_by_half_it_has() -> None:
    assert steps(LINE, along(LINE, 20, 21.1, 22.0), RATE).hitches == 0
    assert steps(LINE, along(LINE, 20, 21.5, 22.5), RATE).hitches == 1


def test_nothing_is_a_hitch_where_the_server_made_a_turn_near_it() -> None:
    corner = Path({tick: (4.0 * min(tick, 50), 4.0 * max(tick - 50, 0)) for tick in range(100)})
    assert steps(corner, along(corner, 45, 46, 46, 48), RATE).frames == 2
    assert steps(corner, along(corner, 47, 49, 49, 53), RATE).frames == 0
    assert steps(corner, along(corner, 47, 49, 49, 53), RATE, around=1).frames == 2
    assert steps(corner, along(corner, 45, 46, 46, 48), RATE, around=5).frames == 0
    assert steps(corner, along(corner, 54, 55, 55), RATE) == (2, 1, 1, pytest.approx(1))


def test_what_stands_still_or_is_not_drawn_has_no_steps() -> None:
    still = Path(dict.fromkeys(range(100), (5.0, 5.0)))
    assert steps(still, drawn((5, 5), (5, 5), (9, 9)), RATE).frames == 0
    assert steps(LINE, drawn((200, 0), None, (208, 0)), RATE).frames == 0
    assert steps(LINE, [], RATE) == Steps(0, 0, 0, 0.0)


# Distances and corrections.


def test_distances_are_from_the_place_at_the_tick_of_drawing() -> None:
    samples = drawn((200, 0), (204, 3), None, (212, 0), fps=120)
    assert distances(LINE, samples) == [0.0, pytest.approx((4 + 9) ** 0.5), None, 6.0]
    assert distances(LINE, drawn((0, 0), first=200)) == [None]


def test_a_correction_counts_once_however_long_it_takes() -> None:
    assert corrections([0, 0.9, 1.1, 4, None, 2, 0.5, 3, 0]) == Corrections(2, 4)
    assert corrections([0, 0.9, 1.1, 4, None, 2, 0.5, 3, 0], above=3.5) == Corrections(1, 4)
    assert corrections([None, 0.2]) == Corrections(0, 0.2)
    assert corrections([]) == Corrections(0, 0.0)


def test_a_slide_is_a_frame_in_which_a_jump_is_half_done() -> None:
    places = {tick: (2.0 * tick + (100 if tick > 50 else 0), 0.0) for tick in range(100)}
    path = Path(places, jump=60.0)
    assert path.jumps() == [50]
    assert Path(places).jumps() == []
    late = drawn((96, 0), (98, 0), (100, 0), (100, 0), (204, 0), (206, 0), first=48.5)
    assert slides(path, late) == 0
    assert slides(path, drawn((96, 0), (130, 0), (165, 0), None, (206, 0), first=48.5)) == 2
    assert slides(path, drawn((150, 0), (150, 0), first=70)) == 0
    assert slides(path, drawn((150, 0), (150, 0), first=53.5)) == 1


# Delays.


def test_motion_is_seen_in_the_frame_of_the_key_or_so_many_after_it() -> None:
    samples = drawn((0, 0), (0, 0), (0, 0), (0, 0.005), (0, 4), (0, 8))
    assert frames_until_motion(samples, 4, limit=10) == 0
    assert frames_until_motion(samples, 2, limit=10) == 2
    assert frames_until_motion(samples, 2, limit=2) is None


def test_what_comes_to_rest_slowly_stands_still() -> None:
    samples = drawn((0, 0), *((0, 0.006 * index) for index in range(5)), (0, 4))
    assert frames_until_motion(samples, 2, limit=10) == 4


def test_what_moved_already_says_nothing_of_a_key() -> None:
    samples = drawn((0, 0), (0, 4), (0, 8), None, (0, 8), (0, 8), (0, 12))
    assert frames_until_motion(samples, 2, limit=10) is None
    assert frames_until_motion(samples, 4, limit=10) is None
    assert frames_until_motion(samples, 1, limit=10) is None
    assert frames_until_motion(samples, 6, limit=10) == 0


def test_what_appears_is_seen_so_many_frames_later() -> None:
    samples = drawn(None, None, (0, 0), (0, 0))
    assert first_seen(samples, 0) == 2
    assert first_seen(samples, 2) == 0
    assert first_seen(samples, 4) is None


# Ages, and being right again.


def test_an_age_is_that_of_the_tick_drawn_whenever_it_ran() -> None:
    timeline = Timeline({1: 10.0, 2: 10.5, 3: 20.0})
    samples = [Sample(10.5, 1, None), Sample(11.0, 1.5, None), Sample(21.0, 2.5, None)]
    assert ages(samples, timeline) == pytest.approx([0.5, 0.75, 5.75])
    beyond = [Sample(21.0, 4.0, None), Sample(11.0, 0.0, None)]
    assert ages(beyond, timeline) == [21.0 - 29.5, 11.0 - 9.5]
    assert Timeline({1: 10.0}).at(2) == 10.0


def test_it_is_right_again_after_the_last_wrong_frame() -> None:
    samples = drawn(*[(0, 0)] * 10, fps=10)
    wrong = [9, 0, 0, 0, 2, 0, 1.5, 0, None, 0]
    fresh = [0.1] * 10
    assert right_again(samples, wrong, fresh, after=0.35) == pytest.approx(0.35)
    assert right_again(samples, wrong, fresh, after=0.65) == 0
    assert right_again(samples, wrong, fresh, after=0.35, above=1.6) == pytest.approx(0.15)
    assert right_again(samples, [0] * 9 + [7], fresh, after=0.35) == inf


def test_it_is_not_right_while_it_is_old() -> None:
    samples = drawn(*[(0, 0)] * 10, fps=10)
    age = [0.1, 0.1, 0.1, 5.0, 5.0, 0.3, 0.1, 0.1, 0.1, 0.1]
    right: list[float | None] = [0.0] * 10
    assert right_again(samples, right, age, after=0.35, oldest=0.4) == pytest.approx(0.15)
    assert right_again(samples, right, age, after=0.35, oldest=0.2) == pytest.approx(0.25)
    assert right_again(samples, right, age, after=0.35) == 0


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile(range(1, 101), 1) == 100
    assert percentile([5], 0.01) == 5
    assert percentile([], 0.5) == 0
