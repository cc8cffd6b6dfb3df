"""The client's clock by itself, and with outbox, inbox and slack meter over a bad network.

Everything here runs on a virtual clock; the figures are of simulated time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import msgspec
import pytest

from ecsnet.client.tick_clock import SILENCE, TickClock
from ecsnet.commands.frames import Input, frames_gate
from ecsnet.commands.inbox import Inbox
from ecsnet.commands.outbox import Outbox
from ecsnet.schema import Gate, Registry, command, encode, use_registry
from ecsnet.testing import ManualClock, Network
from ecsnet.transport.address import Address
from ecsnet.transport.conditioner import Link

with use_registry(Registry()) as registry:

    @command(hold=True)
    class Stick:
        x: int = 0

    @command
    class Shot:
        number: int = 0


SCHEMA = registry.schema()
STICK, SHOT = SCHEMA.command_id_of[Stick], SCHEMA.command_id_of[Shot]

FRAME_RATES = (30, 60, 62.5, 144)
TICK_RATES = (20, 60, 64)


class Game:
    """A client that flies and shoots, a server that ticks, and a link between them.

    Both ends do with the parts what ecsnet's client and host do with them.
    """

    def __init__(
        self,
        frame_rate: float,
        tick_rate: float,
        seed: int = 1,
        *,
        lag: float = 0.0,
        jitter: float = 0.0,
        loss: float = 0.0,
        every: int = 1,
        slowness: float = 1.0,
    ) -> None:
        self.frame_rate, self.tick_rate = frame_rate, tick_rate
        self.lag, self.jitter, self.loss = lag, jitter, loss
        self.link = Link(lag, jitter, loss, seed=~seed)
        self.every = every
        self.slowness = slowness
        self.dice = random.Random(seed)
        self.network = Network(ManualClock(1000.0))
        self.end = self.network.connect(self.link)
        self.network.handler = self.arrive

        self.clock = TickClock(tick_rate)
        self.outbox = Outbox()
        self.flying = True
        self.fired = 0
        self.fired_at: list[float] = []
        self.sent_at = 0.0
        self.client_sleeps = (0.0, 0.0)

        self.inbox = Inbox(tick_rate, frames_gate(SCHEMA))
        self.slacks: list[float] = []  # since the last report
        self.gate: Gate[Input] = Gate(Input, 1200)
        self.next_tick = 500
        self.next_at = self.now
        self.received: list[int] = []
        self.flown: list[int] = []
        self.hit: list[int] = []
        self.delays: list[float] = []
        self.server_sleeps = (0.0, 0.0)

        self.network.at(self.dice.random() / frame_rate, self.poll)
        self.network.at(0, self.tick)

    @property
    def now(self) -> float:
        return self.network.clock.now

    def run(self, seconds: float) -> None:
        self.network.run(seconds)

    def land(self) -> None:
        """Let go of everything and wait until all is quiet."""
        self.flying = False
        self.run(4)
        self.run(150 / self.tick_rate)
        assert not self.outbox.pending

    def asleep(self, sleeps: tuple[float, float], what: Callable[[], None]) -> bool:
        if sleeps[0] <= self.now < sleeps[1]:
            self.network.at(sleeps[1] - self.now, what)
            return True
        return False

    # The client.

    def poll(self) -> None:
        if self.asleep(self.client_sleeps, self.poll):
            return
        self.network.at(1 / self.frame_rate, self.poll)
        clock, outbox = self.clock, self.outbox
        for data in self.end.receive():
            self.hear(*msgspec.msgpack.decode(data))
        if self.flying and clock.tick >= 0:
            outbox.hold(STICK, 0, Stick(int(self.now * 1000)))
            if self.dice.random() < 5 / self.frame_rate:
                outbox.act(SHOT, 0, Shot(self.fired))
                self.fired += 1
                self.fired_at.append(self.now)
        elif not self.flying:
            outbox.release_all()
        ticks = clock.advance(self.now)
        if clock.paused:
            outbox.idle()
        before = outbox.sent
        outbox.stamp(ticks)
        packed = outbox.pack(700)
        if packed is None or (outbox.sent == before and self.now - self.sent_at < 1 / 30):
            return
        self.sent_at = self.now
        # In place of the room's epoch, for the ack.
        through = packed.through
        self.end.send(encode((through, packed.number, packed.tick, packed.frames)))

    def hear(self, tick: int, acks: list[int], report: float | None) -> None:
        if self.clock.tick < 0 and self.clock.paused:
            round_trip = 2 * self.lag + self.dice.uniform(-1, 1) * self.jitter
            self.clock.start(tick, self.now, round_trip)
        self.clock.heard(tick, self.now)
        for through in acks:
            self.outbox.acked(through)
        if report is not None:
            self.clock.report(report, tick, self.loss)

    # The server.

    def arrive(self, datagrams: Sequence[tuple[bytes, Address]], _now: float) -> None:
        if self.asleep(self.server_sleeps, lambda: self.arrive(datagrams, self.now)):
            return
        self.skip_overdue()
        for data, _ in datagrams:
            whole = self.gate.decode(data)
            assert whole is not None
            self.received.append(whole[0])
            fresh = self.inbox.receive_frames(*whole[1:], self.next_tick)
            if fresh >= 0:
                due_in = (self.next_at - self.now) * self.tick_rate
                self.slacks.append(fresh - self.next_tick + due_in)

    def skip_overdue(self) -> None:
        if self.now - self.next_at > 0.1:
            self.next_at = self.now

    def tick(self) -> None:
        if self.asleep(self.server_sleeps, self.tick):
            return
        self.skip_overdue()
        tick = self.next_tick
        for entry in self.inbox.take(tick):
            if isinstance(entry.value, Shot):
                self.hit.append(entry.value.number)
                self.delays.append(self.now - self.fired_at[entry.value.number])
            else:
                self.flown.append(tick)
        self.next_tick += 1
        self.next_at += self.slowness / self.tick_rate
        self.network.at(max(0, self.next_at - self.now), self.tick)
        if tick % self.every:
            return
        report = None
        if tick % max(1, round(self.tick_rate / 4)) < self.every:
            report = min(self.slacks, default=None)
            self.slacks.clear()
        self.network.send(encode((tick, self.received[-200:], report)), self.end.address)


def assert_sound(game: Game) -> None:
    outbox, inbox = game.outbox, game.inbox
    assert outbox.sent > 50
    assert outbox.sent == inbox.applied + inbox.expired + inbox.superseded
    assert outbox.expired == inbox.rejected == 0
    assert game.hit == list(range(game.fired))
    assert game.fired > 5


@pytest.mark.parametrize("tick_rate", TICK_RATES)
@pytest.mark.parametrize("frame_rate", FRAME_RATES)
def test_without_faults_next_to_nothing_is_late(frame_rate: float, tick_rate: float) -> None:
    for seed in range(3):
        game = Game(frame_rate, tick_rate, seed)
        game.run(10)
        game.land()
        assert_sound(game)
        assert game.inbox.expired == 0
        assert game.inbox.superseded <= 0.03 * game.outbox.sent
        assert sum(game.delays) / len(game.delays) < 1 / tick_rate + 1 / frame_rate


@pytest.mark.parametrize("tick_rate", TICK_RATES)
@pytest.mark.parametrize("frame_rate", FRAME_RATES)
def test_on_a_bad_network_few_are_late(frame_rate: float, tick_rate: float) -> None:
    for seed in range(4):
        game = Game(frame_rate, tick_rate, seed, lag=0.1, jitter=0.03, loss=0.2)
        game.run(10)
        game.land()
        assert_sound(game)
        assert game.link.stats.dropped > 50
        assert game.inbox.expired <= 0.01 * game.outbox.sent
        assert game.inbox.superseded <= 0.05 * game.outbox.sent


@pytest.mark.parametrize("tick_rate", TICK_RATES)
def test_every_frame_rate_flies_the_same_way(tick_rate: float) -> None:
    """A stick that is held for 10 seconds moves its ship in so many ticks, whatever the client."""
    for lag, jitter, loss in ((0.0, 0.0, 0.0), (0.1, 0.03, 0.2)):
        flown = []
        for frame_rate in FRAME_RATES:
            game = Game(frame_rate, tick_rate, lag=lag, jitter=jitter, loss=loss)
            game.run(10)
            game.land()
            assert len(set(game.flown)) == len(game.flown)
            flown.append(len(game.flown) / tick_rate)
        assert max(flown) - min(flown) < 0.4
        assert min(flown) > 9.4
        assert max(flown) < 10.4


@pytest.mark.parametrize("tick_rate", TICK_RATES)
@pytest.mark.parametrize("frame_rate", FRAME_RATES)
@pytest.mark.parametrize("end", ["client", "server"])
@pytest.mark.parametrize("lag", [0.0, 0.1])
def test_comes_right_after_a_stall(
    end: str, frame_rate: float, tick_rate: float, lag: float
) -> None:
    game = Game(frame_rate, tick_rate, lag=lag)
    sleeps = (1003.0, 1008.0)
    if end == "client":
        game.client_sleeps = sleeps
    else:
        game.server_sleeps = sleeps
    game.run(10)
    ticked, flown, superseded = game.next_tick, len(game.flown), game.inbox.superseded
    fired = len(game.delays)
    game.run(5)
    ticks = game.next_tick - ticked
    assert ticks == pytest.approx(5 * tick_rate, abs=1)
    assert len(game.flown) - flown == ticks
    assert game.inbox.superseded - superseded <= 0.05 * ticks
    game.land()
    assert_sound(game)
    late = game.delays[fired:]
    assert max(late) < 2 * lag + 2 / tick_rate + 2 / frame_rate + 0.3


def test_low_update_rates_and_slow_frames_do_as_well() -> None:
    for frame_rate, every in ((60, 3), (144, 3), (10, 1), (5, 1)):
        sent = superseded = 0
        for seed in range(6):  # of one alone, chance doubles the share
            game = Game(frame_rate, 60, seed, lag=0.05, jitter=0.01, loss=0.05, every=every)
            game.run(10)
            game.land()
            assert_sound(game)
            sent += game.outbox.sent
            superseded += game.inbox.superseded
        assert superseded <= 0.07 * sent


def test_follows_a_server_that_cannot_keep_up() -> None:
    game = Game(60, 60, slowness=1.4)
    game.run(20)
    ticked = game.next_tick
    fired = len(game.delays)
    game.run(5)
    assert game.next_tick - ticked == pytest.approx(5 * 60 / 1.4, abs=2)
    assert max(game.delays[fired:]) < 1.2
    game.land()
    assert_sound(game)


def test_a_client_that_polls_all_the_time_waits_for_no_more_than_the_tick() -> None:
    game = Game(2000, 60)
    game.run(20)
    shots = game.delays[len(game.delays) // 2 :]
    assert len(shots) > 30
    assert sum(shots) / len(shots) < 0.6 / 60


# The clock alone.


def test_does_nothing_before_it_is_started() -> None:
    clock = TickClock(60)
    assert not clock.advance(5.0)
    assert clock.paused
    assert clock.tick == -1
    clock.start(100, 6.0, 0.1)
    assert not clock.paused
    first = clock.advance(6.0)
    assert len(first) == 1
    assert first[0] == clock.tick > 106


def test_no_tick_comes_twice_whatever_happens() -> None:
    dice = random.Random(3)
    clock = TickClock(60)
    now = 100.0
    seen: list[int] = []
    clock.start(1000, now, 0.05)
    for _ in range(5000):
        now += dice.choice((0.0, 0.001, 0.016, 0.1, 0.3, 6.0))
        if dice.random() < 0.7:
            clock.heard(int(now * 60) - 5000 + dice.randrange(-200, 200), now)
        if dice.random() < 0.2:
            clock.report(
                dice.uniform(-400, 400), clock.tick + dice.randrange(-90, 90), dice.random()
            )
        seen += clock.advance(now)
    assert len(seen) > 1000
    assert seen == sorted(set(seen))
    assert clock.jumps > 0


def test_begins_one_tick_after_a_long_frame() -> None:
    clock = TickClock(60)
    clock.start(0, 0.0, 0.0)
    clock.advance(0.0)
    before = clock.tick
    clock.heard(6, 0.1)
    assert len(clock.advance(0.1)) == 6
    clock.heard(66, 1.1)
    ticks = clock.advance(1.1)
    assert len(ticks) == 1
    assert ticks[0] == before + 66


def test_pauses_in_silence_and_goes_on_with_what_it_hears() -> None:
    clock = TickClock(60)
    clock.start(0, 0.0, 0.0)
    clock.advance(0.0)
    now, begun = 0.0, 0
    while now < 3:
        now += 1 / 60
        begun += len(clock.advance(now))
    assert clock.paused
    assert begun == pytest.approx(SILENCE * 60, abs=1)
    stopped, lead = clock.tick, clock.lead
    clock.heard(1000, now)
    assert clock.advance(now) == range(1000 + int(lead), 1001 + int(lead))
    assert not clock.paused
    assert clock.tick > stopped


def test_three_updates_in_a_row_have_to_be_missing() -> None:
    clock = TickClock(60, update_rate=4)
    clock.start(0, 0.0, 0.1)
    paused = []
    for frame in range(1, 60 * 6):
        now = frame / 60
        if frame % 15 == 0 and now <= 3:
            clock.heard(frame, now)
        clock.advance(now)
        if clock.paused:
            paused.append(now)
    assert paused[0] == pytest.approx(3.75, abs=0.03)


def test_its_position_is_within_the_tick_that_runs_unless_it_waits() -> None:
    clock = TickClock(60.0)
    clock.start(100, 10.0, rtt=0.0)
    positions = []
    for step in range(100):
        clock.heard(100 + step // 3, 10.0 + step / 180)
        clock.advance(10.0 + step / 180)
        positions.append(clock.position)
        assert 0 <= clock.position - clock.tick < 1
        assert not clock.waiting
    assert positions == sorted(positions)
    assert positions[-1] - positions[0] == pytest.approx(99 / 3)


def test_waits_for_a_server_that_lost_time() -> None:
    clock = TickClock(60)
    clock.start(0, 0.0, 0.0)
    clock.advance(0.0)
    now = 0.0
    while now < 3:
        now += 1 / 60
        clock.advance(now)
    stopped = clock.tick
    begun: list[int] = []
    for server in range(1, 120):
        now += 1 / 60
        clock.heard(server, now)
        begun += clock.advance(now)
    assert begun[0] == stopped + 1
    assert clock.tick - 119 == pytest.approx(clock.lead, abs=1)


def test_jumps_after_the_machine_slept() -> None:
    clock = TickClock(60)
    clock.start(0, 0.0, 0.0)
    clock.advance(0.0)
    clock.heard(36_000, 0.02)  # ten minutes on the server, none on the clock
    (tick,) = clock.advance(0.02)
    assert tick > 36_000


@pytest.mark.parametrize(("later", "counts"), [(-1, False), (0, False), (1, True), (2, True)])
def test_reports_on_ticks_before_a_jump_mean_nothing(later: int, counts: bool) -> None:
    clock = TickClock(60)
    now, server = 0.0, 100
    clock.start(server, now, 0.1)
    for _ in range(60):
        now += 1 / 60
        server += 1
        clock.heard(server, now)
        clock.advance(now)
    clock.report(30.0, server)
    assert clock.jumps == 1  # back: the ticks that come next are told again
    server += 1
    first = clock.tick + later  # of the quarter of a second that a report is about
    clock.report(first + 15.0 - server, server)
    assert clock.jumps == 1 + counts


def test_slews_by_a_few_per_cent_and_settles() -> None:
    clock = TickClock(60)
    now, server = 0.0, 100
    clock.start(server, now, 0.2)
    speeds = []
    for step in range(1, 1200):
        now += 1 / 60
        server += 1
        clock.heard(server, now)
        clock.advance(now)
        speeds.append(clock.speed)
        if step % 15 == 0:
            clock.report(clock.tick - server - 4.0, server)
    assert 0.94 < min(speeds) < 0.999
    assert max(speeds) <= 1.1
    assert clock.speed == pytest.approx(1, abs=0.003)
    assert clock.tick - server == pytest.approx(4.5, abs=1.1)


@pytest.mark.parametrize("frame_rate", [20, 60, 240])
def test_the_slew_has_the_same_bounds_at_any_frame_rate(frame_rate: int) -> None:
    clock = TickClock(60)
    clock.start(100, 0.0, 0.2)
    needed = 4.0
    speeds: dict[float, list[float]] = {}
    for frame in range(1, 30 * frame_rate):
        now = frame / frame_rate
        server = 100 + int(now * 60)
        clock.heard(server, now)
        clock.advance(now)
        if frame % (frame_rate // 4) == 0:
            clock.report(clock.tick - server - needed, server)
        if frame % (10 * frame_rate) == 0:  # the way becomes longer, and shorter again
            jumps = clock.jumps
            needed = 11.0 if needed == 4.0 else 4.0
        if now > 10:
            speeds.setdefault(needed, []).append(clock.speed)
    assert max(speeds[11.0]) == pytest.approx(1.1)
    assert min(speeds[4.0]) == pytest.approx(0.95)
    assert clock.jumps == jumps


def test_a_single_bad_report_does_not_count_unless_packets_get_lost() -> None:
    for loss, wanted in ((0.0, 1.0), (0.2, 1.05)):
        clock = TickClock(60)
        now, server = 0.0, 100
        clock.start(server, now, 0.1)
        for step in range(1, 600):
            now += 1 / 60
            server += 1
            clock.heard(server, now)
            clock.advance(now)
            if step % 15 == 0:
                bad = 5.0 if step == 585 else 0.0
                clock.report(clock.tick - server - 6.0 - bad, server, loss)
        assert clock.speed == pytest.approx(wanted, abs=0.03)


def test_it_starts_so_far_ahead_that_what_is_sent_next_comes_in_time() -> None:
    """It is sent up to a frame and an interval later, and a round trip older when it is there."""
    clock = TickClock(60.0, interval=0.05)
    clock.start(100, 10.0, rtt=0.0)
    clock.advance(10.0)
    clock.advance(10.02)
    clock.start(100, 10.02, rtt=0.1)
    assert clock.lead == pytest.approx((0.1 + 0.02 + 0.05) * 60.0 + 1.5)


def test_who_predicts_is_a_tick_earlier_from_the_start_and_ever_after() -> None:
    """The worst of what is on time is just in time; with `early` it is a tick more."""
    leads = []
    for early in (0.0, 1.0):
        clock = TickClock(60.0)
        clock.early = early
        clock.start(100, 10.0, rtt=0.1)
        started = clock.lead
        now, server = 10.0, 100
        for step in range(600):
            now += 1 / 60
            server += 1
            clock.heard(server, now)
            clock.advance(now)
            if step % 15 == 0:  # commands take five ticks, and come from five ticks ago
                clock.report(clock.tick - server - 10.0, server)
        leads.append((started, clock.position - server))
    (start, settled), (early_start, early_settled) = leads
    assert early_start - start == 1.0
    assert early_settled - settled == pytest.approx(1.0, abs=0.05)


def test_started_again_it_hears_the_ticks_of_a_room_that_has_run_for_less_long() -> None:
    clock = TickClock(60.0)
    clock.start(100_000, 10.0, rtt=0.0)
    clock.heard(100_005, 10.1)
    clock.advance(10.1)
    clock.start(10, 10.1, rtt=0.0)
    for step in range(1, round(2 * SILENCE * 60)):
        clock.heard(10 + step, 10.1 + step / 60)
        clock.advance(10.1 + step / 60)
    assert not clock.paused


def test_a_tick_counts_once_and_not_again_in_each_frame_until_the_next() -> None:
    clock = TickClock(60.0)
    clock.heard(3, 0.0)  # of the room before
    clock.start(100, 0.0, 0.05)
    started = clock.lead
    clock.advance(0.02)
    assert clock.lead == started
    clock.heard(102, 0.03)
    clock.advance(0.03)
    heard = clock.lead
    assert heard != started
    for frame in range(4, 9):
        clock.advance(frame / 100)
        assert clock.lead == heard
    assert clock.jumps == 0
