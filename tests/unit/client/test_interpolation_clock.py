"""The tick that others are drawn at, over a virtual network and at any frame rate."""

from __future__ import annotations

import random
from math import inf

import pytest

from ecsnet.client.interpolation_clock import JUMP, MOST_DELAY, SLEW, WINDOW, InterpolationClock
from ecsnet.client.tick_clock import SILENCE
from ecsnet.replication.client.samples import EXTRAPOLATED_TICKS

FRAME_RATES = (30, 60, 62.5, 144)


class Watching:
    """A server that ticks, a network, and a client that looks in each frame.

    Attributes:
        ages: Of each frame, when it was, and the seconds since what it draws was now.
        steps: Ticks from one frame to the next, over those that went by.
        starved: Frames whose tick lies beyond the newest one whose first datagram has come.
    """

    def __init__(
        self,
        frame_rate: float = 60,
        *,
        tick_rate: float = 60,
        every: int = 1,
        lag: float = 0.05,
        jitter: float = 0.0,
        loss: float = 0.0,
        seed: int = 1,
        parts: int = 1,
    ) -> None:
        self.parts = parts
        self.frame_rate, self.tick_rate, self.every = frame_rate, tick_rate, every
        self.lag, self.jitter, self.loss = lag, jitter, loss
        self.clock = InterpolationClock(tick_rate, tick_rate / every)
        self.now = 0.0
        self.tick = 1000.0  # of the server, with its fraction
        self.stopped = False  # the server's time stands
        self.holds = False  # the network keeps what it has
        self.ages: list[tuple[float, float]] = []
        self.steps: list[tuple[float, float]] = []
        self.starved: list[float] = []
        self._random = random.Random(seed)
        self._waiting: list[tuple[float, int, int]] = []
        self._heard = 0
        self._at = 0.0
        self._shown: float | None = None

    def run(self, seconds: float, *, frames: bool = True) -> None:
        step = 0.001
        end = self.now + seconds
        while self.now < end:
            self.now += step
            before = self.tick // self.every
            if not self.stopped:
                self.tick += step * self.tick_rate
            for part in range(self.parts if self.tick // self.every != before else 0):
                if self._random.random() >= self.loss:
                    late = self.lag + self._random.uniform(-self.jitter, self.jitter)
                    number = int(self.tick // self.every) * self.every
                    self._waiting.append((self.now + late, number, part))
            if frames and self.now >= self._at:
                self._at = max(self._at + 1 / self.frame_rate, self.now)
                self._frame()

    def _frame(self) -> None:
        due = [] if self.holds else [entry for entry in self._waiting if entry[0] <= self.now]
        for entry in sorted(due):
            self._waiting.remove(entry)
            _, tick, part = entry
            if part == 0:
                self._heard = max(self._heard, tick)
            self.clock.heard(tick, tick - 12, self.now, part, self.parts)
        shown = self.clock.advance(self.now)
        if shown is None:
            return
        if self._shown is not None:
            went_by = (self.now - self.ages[-1][0]) * self.tick_rate
            self.steps.append((self.now, (shown - self._shown) / went_by))
        self._shown = shown
        self.ages.append((self.now, (self.tick - shown) / self.tick_rate))
        if shown > self._heard:
            self.starved.append(self.now)

    def age(self, since: float = 0.0) -> float:
        ages = sorted(age for at, age in self.ages if at >= since)
        return ages[len(ages) // 2]

    def starved_after(self, seconds: float) -> int:
        return len([at for at in self.starved if at > seconds])

    def since(self, values: list[tuple[float, float]], start: float) -> list[float]:
        return [value for at, value in values if at >= start]


def test_nothing_is_drawn_before_anything_was_heard() -> None:
    clock = InterpolationClock(60)
    assert clock.advance(1.0) is None
    assert clock.shown is None
    assert clock.delay == 0
    clock.heard(100, 99, 1.5)
    assert clock.advance(1.5) is not None


@pytest.mark.parametrize("frame_rate", FRAME_RATES)
def test_on_a_perfect_line_it_is_drawn_a_tick_or_two_late(frame_rate: float) -> None:
    game = Watching(frame_rate)
    game.run(20)
    assert not game.starved_after(5)
    assert 0.05 <= game.age(5) <= 0.05 + 2.1 / 60 + 1 / frame_rate
    assert all(abs(step - 1) <= SLEW + 0.001 for step in game.since(game.steps, 5))
    assert game.clock.jumps == 1


@pytest.mark.parametrize("frame_rate", FRAME_RATES)
@pytest.mark.parametrize("seed", [1, 2])
def test_on_a_bad_line_it_is_late_enough(frame_rate: float, seed: int) -> None:
    game = Watching(frame_rate, lag=0.075, jitter=0.015, loss=0.05, seed=seed)
    game.run(60)
    assert game.starved_after(5) <= 15 * max(1.0, frame_rate / 60)
    assert game.age(5) <= 0.130
    steps = game.since(game.steps, 5)
    assert max(abs(step - 1) for step in steps) <= SLEW + 0.001
    assert game.clock.jumps == 1


def test_it_waits_for_the_gap_before_a_packet_too() -> None:
    """Rule 2: not only for how late one comes."""
    game = Watching(144, loss=0.2, seed=3)
    game.run(60)
    # 1,200 times a packet got lost, often two in a row; without the gaps each is felt.
    assert game.starved_after(5) < 120
    assert game.age(5) > 0.05 + 1.5 / 60


def test_it_waits_for_each_of_the_datagrams_of_a_tick() -> None:
    """Else what is in one of them would be felt each time that this one gets lost."""
    one = Watching(lag=0.075, jitter=0.015, loss=0.05)
    three = Watching(lag=0.075, jitter=0.015, loss=0.05, parts=3)
    for game in (one, three):
        game.run(60)
        assert game.starved_after(5) <= 15
    assert abs(one.age(5) - three.age(5)) < 0.02


def test_datagrams_that_there_were_not_are_no_gaps() -> None:
    """Mostly a tick has one, and sometimes three."""
    clock = InterpolationClock(60)
    for tick in range(1000, 1400):
        now = tick / 60
        count = 3 if tick % 50 == 0 else 1
        for index in range(count):
            clock.heard(tick, tick - 10, now, index, count)
        clock.heard(tick, tick - 10, now, 5, 1)  # there is no such one
        clock.advance(now)
    assert clock.delay < 1.5
    assert clock.jumps == 1


def test_a_part_that_comes_late_is_not_the_newest() -> None:
    clock = InterpolationClock(60)
    clock.heard(1010, 1000, 1.0, 0, 2)
    clock.heard(1008, 1000, 1.0, 1, 2)
    clock.heard(1009, 1000, 1.0, 0, 1)
    assert clock.advance(1.0) == pytest.approx(1010, abs=3)
    # Nor is a part that none came of since a silence a gap as long as that.
    clock.heard(1011, 1000, 1.016, 0, 2)
    clock.heard(1012, 1000, 1.016, 1, 2)
    clock.advance(1.016)
    clock.heard(1500, 1000, 9.1, 0, 2)
    clock.advance(9.1)
    clock.heard(1501, 1000, 9.116, 1, 2)
    clock.heard(1500, 1000, 9.116, 1, 2)
    clock.advance(9.116)
    clock.heard(1502, 1000, 9.133, 0, 2)
    assert clock.advance(9.133) == pytest.approx(1502, abs=4)
    assert clock.jumps == 2


def test_the_delay_follows_the_network() -> None:
    game = Watching(jitter=0.005)
    game.run(10)
    calm = game.clock.delay
    game.jitter = 0.04
    game.run(10)
    rough = game.clock.delay
    game.jitter = 0.005
    game.run(WINDOW + 5)
    assert calm < 3 < rough < 7
    assert game.clock.delay == pytest.approx(calm, abs=0.5)
    assert game.clock.jumps == 1
    assert max(abs(step - 1) for step in game.since(game.steps, 2)) <= SLEW + 0.001


@pytest.mark.parametrize("every", [2, 3, 6])
def test_fewer_updates_are_no_gaps_that_come_as_a_surprise(every: int) -> None:
    game = Watching(144, every=every, jitter=0.01)
    game.run(30)
    assert game.starved_after(5) < 5
    assert every - 0.5 <= game.clock.delay <= every + 2
    assert game.clock.jumps == 1


# Rule 3: silences.


def stall(game: Watching, seconds: float, how: str) -> None:
    if how == "client":
        game.run(seconds, frames=False)
    elif how == "server":
        game.stopped = True
        game.run(seconds)
        game.stopped = False
    elif how == "link":
        game.holds = True
        game.run(seconds)
        game.holds = False
    else:
        loss, game.loss = game.loss, 1.0
        game.run(seconds)
        game.loss = loss


@pytest.mark.parametrize("frame_rate", FRAME_RATES)
@pytest.mark.parametrize("how", ["client", "server", "link", "loss"])
def test_after_a_stall_it_is_right_at_once(frame_rate: float, how: str) -> None:
    game = Watching(frame_rate, lag=0.075, jitter=0.015, loss=0.05)
    game.run(10)
    before, delay = game.age(5), game.clock.delay
    stall(game, 5.0, how)
    back = game.now
    game.run(4)
    # The first frames may still be of the stall, or wait for what was drawn beyond it.
    ages = game.since(game.ages, back + 0.3)
    assert all(abs(age - before) < 0.05 for age in ages)
    assert game.clock.delay < delay + 3
    assert all(step >= 0 for step in game.since(game.steps, 0))


def test_of_the_heap_after_a_silence_the_newest_counts() -> None:
    clock = InterpolationClock(60)
    for tick in range(60):
        clock.heard(1000 + tick, 900, tick / 60)
        clock.advance(tick / 60)
    for tick in range(60, 360):
        clock.heard(1000 + tick, 900, 6.0)
    shown = clock.advance(6.0)
    assert shown is not None
    assert 1355 <= shown <= 1359
    # Where the rest of the heap comes a frame later, too.
    for tick in range(360, 500):
        clock.heard(1000 + tick, 900, 6.01)
    shown = clock.advance(6.01)
    assert shown is not None
    assert 1495 <= shown <= 1499


def test_how_much_packets_vary_is_kept() -> None:
    game = Watching(lag=0.075, jitter=0.04)
    game.run(10)
    delay = game.clock.delay
    assert delay > 3
    stall(game, 5.0, "loss")
    game.run(0.3)
    assert delay - 0.5 < game.clock.delay < delay + 3


# While little is said.


def test_where_nothing_is_missing_nobody_waits_for_what_is_not_said() -> None:
    """A world that stands, with a word five times a second."""
    game = Watching(jitter=0.005)
    game.run(5)
    before = game.clock.delay
    clock = game.clock
    for _ in range(40):
        game.loss = 1.0
        game.run(0.2)
        tick = int(game.tick)
        clock.heard(tick, tick - 1, game.now)
        clock.advance(game.now)
    assert clock.delay < before + 4.5  # for these came without any lag: so much earlier
    game.loss = 0.0
    game.run(0.5)
    assert game.clock.jumps == 1


@pytest.mark.parametrize("lost", [False, True])
def test_the_first_that_is_said_again_is_no_gap(lost: bool) -> None:
    clock = InterpolationClock(60)
    now = 0.0
    for tick in range(1000, 1060):
        now = tick / 60
        clock.heard(tick, tick - 10, now)
        clock.advance(now)
    before = clock.delay
    # Twelve ticks of silence, then it moves: the first packet of that may get lost.
    for tick in range(1060, 1090):
        now = tick / 60
        if tick >= 1072 + lost:
            clock.heard(tick, 1071, now)
        clock.advance(now)
    assert clock.delay <= before + 1 + lost


# What it never does.


def test_it_never_goes_back_nor_far_ahead() -> None:
    for seed in range(20):
        rng = random.Random(seed)
        clock = InterpolationClock(60, rng.choice((None, 20.0, 60.0)))
        now, tick, newest, shown = 0.0, 1000, 1000, -inf
        for _ in range(400):
            now += rng.choice((0.001, 0.016, 0.033, 0.2, 3.0))
            tick += rng.choice((0, 1, 1, 2, 30, -3, 100_000 if seed % 5 == 0 else 1))
            for _ in range(rng.randrange(3)):
                heard = tick + rng.randrange(-3, 3)
                clock.heard(heard, heard - rng.randrange(-(2**40), 2**40), now)
                newest = max(newest, heard)
            after = clock.advance(now)
            if after is not None:
                assert shown <= after <= newest + EXTRAPOLATED_TICKS
                shown = after
            assert -EXTRAPOLATED_TICKS * 100 < clock.delay <= (MOST_DELAY + JUMP) * 60 + 3


def test_while_nothing_comes_it_stops_three_ticks_beyond() -> None:
    game = Watching()
    game.run(5)
    game.loss = 1.0
    game.run(2)
    assert game.clock.shown == game._heard + EXTRAPOLATED_TICKS


def test_what_is_to_be_drawn_at_a_tick_is() -> None:
    """Though no update has that tick: a message came alone, while nothing else changes."""
    game = Watching()
    game.run(5)
    game.loss = 1.0
    game.run(0.1)
    tick = int(game.tick) + 2
    game.clock.reached(tick)
    game.run(0.2)
    assert game.clock.shown is not None
    assert tick <= game.clock.shown <= tick + EXTRAPOLATED_TICKS


def test_silence_is_what_the_other_clock_takes_for_one() -> None:
    clock = InterpolationClock(60, 2.0)
    assert clock._silence == 1.5
    assert InterpolationClock(60)._silence == SILENCE


# Its figures, one by one.


def steady(clock: InterpolationClock, ticks: range, *, ahead: int = 0) -> None:
    """A packet for each tick, in whose frame it comes, and that confirms all before it."""
    for tick in ticks:
        now = tick / clock.rate
        clock.heard(tick + ahead, tick + ahead, now)
        clock.advance(now)


@pytest.mark.parametrize(("update_rate", "behind"), [(None, 2.0), (60.0, 2.0), (20.0, 4.0)])
def test_it_begins_an_update_and_a_tick_behind(update_rate: float | None, behind: float) -> None:
    clock = InterpolationClock(60, update_rate)
    clock.heard(100, 99, 1.0)
    assert clock.advance(1.0) == 100 - behind
    assert (clock.delay, clock.jumps) == (behind, 1)


def test_a_room_begins_with_tick_0() -> None:
    clock = InterpolationClock(64)
    clock.heard(0, 0, 1.0)
    assert clock.advance(1.0) == -2
    clock.heard(1, 1, 1.0 + 1 / 64)
    assert clock.advance(1.0 + 1 / 64) == -1


def test_where_nothing_comes_after_tick_0_it_stops_as_anywhere() -> None:
    clock = InterpolationClock(64)
    clock.heard(0, 0, 1.0)
    clock.advance(1.0)
    assert clock.advance(2.0) == EXTRAPOLATED_TICKS


@pytest.mark.parametrize(
    ("update_rate", "delay"), [(None, 0.25), (60.0, 0.25), (120.0, 0.25), (20.0, 2.25)]
)
def test_while_nothing_is_missing_it_waits_for_an_update_and_a_quarter_of_a_tick(
    update_rate: float | None, delay: float
) -> None:
    """In the frame before an update, what came before that is drawn; of one that is due each tick,
    all of it."""
    clock = InterpolationClock(60, update_rate)
    for tick in range(1000, 1600):
        now = tick / 60
        if tick % 12 == 0:
            clock.heard(tick, tick, now)
        clock.advance(now)
    assert clock.delay == pytest.approx(delay)
    assert clock.jumps == 1


def test_a_late_packet_counts_for_three_seconds_and_is_made_up_slowly() -> None:
    clock = InterpolationClock(60)
    steady(clock, range(1000, 1400))
    assert clock.delay == pytest.approx(0.25)
    for tick in range(1400, 1406):
        clock.advance(tick / 60)
    clock.heard(1406, 1399, 1406 / 60)  # six ticks were missing
    slower, faster = [], []
    before = clock.advance(1406 / 60)
    assert before is not None
    for tick in range(1407, 1800):
        steady(clock, range(tick, tick + 1))
        shown = clock.shown
        assert shown is not None
        if shown - before < 0.999:
            slower.append(shown - before)
        elif shown - before > 1.001:
            faster.append((tick, shown - before))
        if tick == 1550:
            assert clock.delay == pytest.approx(6.25)
        before = shown
    assert min(slower) == pytest.approx(0.95)
    assert max(step for _, step in faster) == pytest.approx(1.05)
    assert faster[0][0] == pytest.approx(1406 + 180, abs=1)
    assert clock.delay == pytest.approx(0.25)
    assert clock.jumps == 1


@pytest.mark.parametrize(("ahead", "at_once", "later"), [(14, 1, 1), (16, 1, 2), (31, 2, 2)])
def test_a_quarter_of_a_second_is_made_up_at_once(ahead: int, at_once: int, later: int) -> None:
    """The server's ticks leap. As long as the old ones count, packets seem to vary by as much, and
    half a second is too much for that."""
    clock = InterpolationClock(60)
    steady(clock, range(1000, 1400))
    steady(clock, range(1400, 1402), ahead=ahead)
    assert clock.jumps == at_once
    steady(clock, range(1402, 1700), ahead=ahead)
    assert clock.jumps == later


@pytest.mark.parametrize(("ahead", "jumps"), [(30, 1), (31, 2)])
def test_packets_vary_by_half_a_second_and_an_update_at_most(ahead: int, jumps: int) -> None:
    clock = InterpolationClock(60)
    steady(clock, range(1000, 1400))
    steady(clock, range(1400, 1402), ahead=ahead)
    assert clock.jumps == jumps


@pytest.mark.parametrize(("ticks", "jumps"), [(16, 1), (17, 2)])
def test_it_begins_anew_after_more_than_a_quarter_of_a_second(ticks: int, jumps: int) -> None:
    clock = InterpolationClock(64)
    steady(clock, range(1000, 1032))
    for tick in range(1032, 1031 + ticks):
        clock.advance(tick / 64)
    steady(clock, range(1031 + ticks, 1040 + ticks))
    assert clock.jumps == jumps


def test_a_datagram_that_comes_twice_does_not_break_the_silence() -> None:
    clock = InterpolationClock(64)
    steady(clock, range(1000, 1032))
    clock.heard(1031, 1031, 1044 / 64)
    clock.advance(1044 / 64)
    steady(clock, range(1057, 1058))
    assert clock.jumps == 2


@pytest.mark.parametrize(("seconds", "delay"), [(2, 2.0), (4, 0.25)])
def test_how_much_packets_vary_is_known_after_three_seconds(seconds: int, delay: float) -> None:
    clock = InterpolationClock(64)
    steady(clock, range(1000, 1000 + seconds * 64))
    back = 1064 + seconds * 64
    steady(clock, range(back, back + 1))
    assert clock.delay == pytest.approx(delay)
