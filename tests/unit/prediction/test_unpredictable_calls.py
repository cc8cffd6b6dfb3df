"""Which calls answer otherwise when they are made again."""

from __future__ import annotations

import datetime
import gc
import os
import random
import sys
import time
import uuid
from collections.abc import Callable
from types import FrameType

import pytest

from ecsnet.prediction.unpredictable_calls import UnpredictableCalls

SEEDED = random.Random(7)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (time.time, "time.time"),
        (time.monotonic_ns, "time.monotonic_ns"),
        (time.perf_counter, "time.perf_counter"),
        (random.random, "random.random"),
        (lambda: random.getrandbits(8), "random.getrandbits"),
        (lambda: random.randint(1, 6), "random.randint"),
        (lambda: random.choice("abc"), "random.choice"),
        (lambda: random.gauss(0, 1), "random.gauss"),
        (datetime.datetime.now, "datetime.now"),
        (datetime.date.today, "date.today"),
        (lambda: os.urandom(4), "os.urandom"),
        (uuid.uuid4, "os.urandom"),
    ],
)
def test_what_differs_is_found(call: Callable[[], object], name: str) -> None:
    def system(dt: float) -> None:
        call()

    found = UnpredictableCalls().watch(system, 1.0)
    assert [what for what, _ in found] == [name]
    assert all(":" in where for _, where in found)


def test_it_is_found_where_the_game_calls_it() -> None:
    def helper() -> int:
        return random.randrange(6)

    def system(dt: float) -> None:
        helper()
        helper()

    line = helper.__code__.co_firstlineno + 1
    found = UnpredictableCalls().watch(system, 1.0)
    assert found == (("random.randrange", f"test_unpredictable_calls.py:{line}"),)


@pytest.mark.parametrize(
    "call",
    [
        SEEDED.random,
        lambda: SEEDED.choice("abc"),
        lambda: SEEDED.gauss(0, 1),
        lambda: time.strftime("%H", (2026, 1, 1, 1, 1, 1, 1, 1, 1)),
        lambda: datetime.date(2026, 1, 1).isoformat(),
        lambda: sorted([3, 1]),
    ],
)
def test_what_is_the_same_is_not(call: Callable[[], object]) -> None:
    assert UnpredictableCalls().watch(lambda dt: call(), 1.0) == ()


def test_what_runs_beside_it_is_not_its_own() -> None:
    def collected(phase: str, info: dict[str, int]) -> None:
        time.perf_counter()

    def system(dt: float) -> None:
        kept.extend([] for _ in range(2000))

    kept: list[list[int]] = []
    thresholds = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(100)
    try:
        assert UnpredictableCalls().watch(system, 1.0) == ()
        assert gc.isenabled()
        gc.disable()
        UnpredictableCalls().watch(system, 1.0)
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(collected)


def test_the_system_is_given_its_seconds_and_may_raise() -> None:
    given: list[float] = []
    UnpredictableCalls().watch(given.append, 0.25)
    assert given == [0.25]

    def system(dt: float) -> None:
        raise RuntimeError("the game's")

    with pytest.raises(RuntimeError, match="the game's"):
        UnpredictableCalls().watch(system, 1.0)
    assert sys.getprofile() is None


def test_a_profiler_that_runs_goes_on() -> None:
    told: list[str] = []

    def profiler(frame: FrameType, event: str, argument: object) -> None:
        told.append(event)

    def system(dt: float) -> None:
        time.time()

    sys.setprofile(profiler)
    try:
        found = UnpredictableCalls().watch(system, 1.0)
        still = sys.getprofile()
    finally:
        sys.setprofile(None)
    assert found == ()
    assert still is profiler
    assert "c_call" in told
