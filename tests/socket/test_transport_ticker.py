from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter

import pytest

from ecsnet.transport import ticker as ticker_module
from ecsnet.transport.ticker import Ticker

Loop = Callable[[], asyncio.AbstractEventLoop]


def _loops() -> list[object]:
    loops: list[object] = [pytest.param(asyncio.SelectorEventLoop, id="asyncio")]
    try:
        import uvloop
    except ImportError:
        loops.append(pytest.param(None, id="uvloop", marks=pytest.mark.skip("no uvloop")))
    else:
        loops.append(pytest.param(uvloop.new_event_loop, id="uvloop"))
    return loops


loops = pytest.mark.parametrize("loop", _loops())
ways = pytest.mark.parametrize("timerfd", [True, False], ids=["timerfd", "timer"])


def run(loop: Loop, work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work(), 20)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(bounded())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@loops
@ways
def test_ticks_come_and_stop(loop: Loop, timerfd: bool) -> None:
    async def work() -> None:
        seen: list[int] = []
        ticker = Ticker(500, seen.append, timerfd=timerfd)
        ticker.stop()
        ticker.start()
        assert (ticker._fd is not None) == (timerfd and sys.platform.startswith("linux"))
        await until(lambda: len(seen) >= 20)
        timer, handle = ticker._fd, ticker._handle
        ticker.stop()
        ticker.stop()
        if timer is not None:
            assert not asyncio.get_running_loop().remove_reader(timer)  # nobody looks at it
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(timer)
        if handle is not None:
            assert handle.cancelled()
        made = ticker.ticks
        await asyncio.sleep(0.02)
        assert ticker.ticks == made == len(seen)
        assert ticker.missed == sum(seen)

    run(loop, work)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="has no timerfd")
@pytest.mark.parametrize("seconds", [0.025, 2.5])
def test_a_timer_expires_at_each_interval_and_not_before(seconds: float) -> None:
    timer = ticker_module._timerfd(seconds)
    assert timer is not None
    spec = (ctypes.c_long * 4)()
    try:
        assert ctypes.CDLL(None).timerfd_gettime(timer, spec) == 0
    finally:
        os.close(timer)
    whole, part = divmod(round(seconds * 1e9), 10**9)
    assert (spec[0], spec[1]) == (whole, part)
    # The first time is not set to be sooner or later; some of it may be over.
    assert (0, 0) < (spec[2], spec[3]) <= (whole, part)


@loops
@ways
def test_the_grid_does_not_move(loop: Loop, timerfd: bool) -> None:
    """Ticks made and skipped are the intervals that went by, however late each one was."""

    async def work() -> None:
        ticker = Ticker(400, lambda missed: None, timerfd=timerfd)
        began = perf_counter()
        ticker.start()
        started = perf_counter()
        await until(lambda: ticker.ticks + ticker.missed >= 80)
        counted = ticker.ticks + ticker.missed
        ended = perf_counter()
        ticker.stop()
        # No tick before its time, and no tick fewer than whole intervals seen at the last one.
        assert counted <= (ended - began) * 400
        assert counted >= 80
        assert ended > started

    run(loop, work)


@loops
@ways
def test_ticks_that_could_not_be_kept_are_skipped_and_told(loop: Loop, timerfd: bool) -> None:
    async def work() -> None:
        seen: list[int] = []

        def slow(missed: int) -> None:
            seen.append(missed)
            if len(seen) == 3:
                until_then = perf_counter() + 0.1
                while perf_counter() < until_then:
                    pass

        ticker = Ticker(200, slow, timerfd=timerfd)
        ticker.start()
        await until(lambda: len(seen) >= 5)
        ticker.stop()
        assert seen[3] >= 18  # a tenth of a second is twenty ticks
        assert ticker.missed >= 18

    run(loop, work)


@loops
@ways
def test_it_may_be_stopped_from_within_and_survives_what_raises(loop: Loop, timerfd: bool) -> None:
    async def work() -> None:
        raised: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: raised.append(context["exception"])
        )
        done = asyncio.Event()

        def tick(missed: int) -> None:
            if ticker.ticks < 3:
                raise RuntimeError("bug")
            ticker.stop()
            done.set()

        ticker = Ticker(500, tick, timerfd=timerfd)
        ticker.start()
        await done.wait()
        await asyncio.sleep(0.02)
        assert ticker.ticks == 3
        assert len(raised) == 2

    run(loop, work)


def test_an_early_wake_up_is_no_tick() -> None:
    async def work() -> None:
        ticker = Ticker(1, lambda missed: None)
        ticker.start()
        assert (ticker._fd is not None) == sys.platform.startswith("linux")
        ticker._expired()
        assert ticker.ticks == 0
        ticker.stop()
        ticker._expired()
        ticker._wait()
        assert ticker.ticks == 0

    run(asyncio.SelectorEventLoop, work)


class _ExactLoop:
    """Calls back when it was asked to, on a clock of its own; a turn takes 10 microseconds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.delays: list[float] = []

    def call_later(self, delay: float, call: Callable[[], None]) -> asyncio.TimerHandle | None:
        self.delays.append(delay)
        self.due.append((self.now + delay, call))
        return None

    def call_soon(self, call: Callable[[], None]) -> asyncio.Handle | None:
        self.due.append((self.now, call))
        return None

    def turn(self) -> None:
        at, call = self.due.pop()
        self.now = max(self.now + 1e-5, at)
        call()


def test_without_a_timer_a_tick_is_waited_for_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = _ExactLoop()
    monkeypatch.setattr(ticker_module, "perf_counter", lambda: loop.now)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    came: list[float] = []
    ticker = Ticker(50, lambda missed: came.append(loop.now), timerfd=False)
    ticker.start()
    turns = 0
    while len(came) < 20:
        loop.turn()
        turns += 1
    for n, at in enumerate(came, 1):
        assert 0 <= at - (100 + n / 50) <= 2e-5
    assert ticker.missed == 0
    assert turns < 20 * 300  # it sleeps most of the time


@pytest.mark.parametrize(("rate", "slept"), [(50, 0.0188), (300, 1 / 300 - 0.0012), (500, None)])
def test_without_a_timer_it_sleeps_until_a_moment_before_each_tick(
    rate: int, slept: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = _ExactLoop()
    monkeypatch.setattr(ticker_module, "perf_counter", lambda: loop.now)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    ticker = Ticker(rate, lambda missed: None, timerfd=False)
    ticker.start()
    while ticker.ticks < 10:
        loop.turn()
    assert loop.delays == ([] if slept is None else [pytest.approx(slept, abs=5e-5)] * 10)


class _NoTimers:
    def timerfd_create(self, *args: object) -> int:
        return -1


class _NoSetting:
    opened = -1

    def timerfd_create(self, *args: object) -> int:
        _NoSetting.opened = os.open(os.devnull, os.O_RDONLY)
        return _NoSetting.opened

    def timerfd_settime(self, *args: object) -> int:
        return -1


@pytest.mark.parametrize("libc", [object, _NoTimers, _NoSetting])
def test_without_timerfd_it_falls_back(
    libc: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc())
    assert ticker_module._timerfd(0.1) is None
    if libc is _NoSetting:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(_NoSetting.opened)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert ticker_module._timerfd(0.1) is None


class _First:
    """Gives the first descriptor, as to a daemon that has closed its stdin."""

    def timerfd_create(self, *args: object) -> int:
        return 0

    def timerfd_settime(self, *args: object) -> int:
        return 0


def test_any_descriptor_is_good_for_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: _First())
    assert ticker_module._timerfd(0.1) == 0
