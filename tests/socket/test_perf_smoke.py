"""The benchmarks run to their end and say what they promise. No figure is judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from perf.build import compiled
from perf.report import Report, Row
from perf.swarm import Bot, Lossy

ROOT = Path(__file__).parents[2]
Rows = dict[str, dict[str, Any]]
KEYS = {"name", "value", "unit", "floor", "ratio"}

pytestmark = [
    pytest.mark.timeout(400),  # the first to need it compiles
    pytest.mark.skipif(sys.platform != "linux", reason="epoll and timerfd"),
]


def perf(*arguments: str, runs: tuple[str, ...] = ("--runs", "1")) -> dict[str, Any]:
    if "--interpreted" not in arguments:
        compiled()
    done = subprocess.run(
        [sys.executable, "-m", "perf", *arguments, *runs, "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["rows"]
    assert all(row.keys() >= KEYS for row in report["rows"])
    return report


def rows(report: dict[str, Any]) -> Rows:
    return {row["name"]: row for row in report["rows"]}


def _bytes_down(report: Rows, name: str) -> float:
    rate, size = report[f"datagrams down, {name}"], report[f"size down, {name}"]
    return float(rate["value"] * size["value"])


def test_world_measures_those_who_ask_beside_idle_ones() -> None:
    few, short = ("--clients", "2", "--entities", "200"), ("--seconds", "0.5", "--settle", "1")
    report = rows(perf("world", *few, *short))
    for way in ("resync", "rejoin"):
        cpu = report[f"server CPU, 2 clients that {way}"]
        assert cpu["value"] > 0
        assert cpu["floor"] > 0
        assert int(cpu["note"].split()[0]) > 0
        assert report[f"missed ticks, 2 clients that {way}"]["note"] == "of 30"


@pytest.fixture(scope="module")
def ticks() -> Rows:
    """The rows of all games of ``tick``."""
    few = ["--clients", "3", "--entities", "40", "--everybody", "4"]
    short = ["--seconds", "0.5", "--warmup", "30"]
    games = ["loss", "own", "shared", "everybody"]
    return rows(perf("tick", *few, *short, "--rows", *games))


def test_tick_moves_the_same_datagrams_in_both_runs(ticks: Rows) -> None:
    cpu = ticks["server CPU per client and tick, 3 clients"]
    assert cpu["value"] > 0
    assert cpu["floor"] > 0
    assert cpu["ratio"] == pytest.approx(cpu["value"] / cpu["floor"])
    socket = ticks["floor: a plain socket drained twice a tick, 3 clients"]
    endpoint = ticks["floor: an endpoint of uvloop, 3 clients"]
    assert socket["value"] == cpu["floor"]
    beside = ticks["server CPU beside an endpoint of uvloop, 3 clients"]
    assert (beside["value"], beside["floor"]) == (cpu["value"], endpoint["value"])
    for way in ("up", "down"):
        size = ticks[f"size {way}, 3 clients"]
        assert size["value"] > 20
        assert 0.7 < size["ratio"] < 1.3
        assert ticks[f"datagrams {way}, 3 clients"]["value"] > 0.3
    assert "missed ticks, 3 clients" in ticks


def test_tick_puts_other_games_beside_the_plain_one(ticks: Rows) -> None:
    plain = ticks["server CPU per client and tick, 3 clients"]
    own = "3 clients, owner-only values that change each tick"
    shared = "3 clients, shared systems"
    for name in ("3 clients, 1 % loss both ways", own, shared):
        cpu = ticks[f"server CPU per client and tick, {name}"]
        assert cpu["value"] > 0
        assert cpu["floor"] == plain["value"]
        assert ticks[f"missed ticks, {name}"]["note"] == "of 30"
    # The values of their own come: an id, a number, and the arrays around them.
    assert _bytes_down(ticks, own) > _bytes_down(ticks, "3 clients") + 4
    # What they own comes though it stands still in nine of ten ticks: a Position, two floats.
    assert _bytes_down(ticks, shared) > _bytes_down(ticks, "3 clients") + 14
    everybody = "4 players who all see each other"
    assert ticks[f"server CPU per client and tick, {everybody}"]["floor"] > 0
    assert _bytes_down(ticks, everybody) > 4 * 9  # a float for each in each tick


def test_lossy_bots_lose_as_much_as_they_are_to_and_no_more() -> None:
    class Echo(Bot):
        def __init__(self) -> None:
            self.taken = 0

        def turn(self, now: float) -> Sequence[bytes]:
            return [b"turn"]

        def take(self, datagram: bytes, now: float) -> Sequence[bytes]:
            self.taken += 1
            return [datagram]

    echo = Echo()
    bot = Lossy(echo, 0.1, seed=1)
    sent = sum(len(bot.turn(0.0)) for _ in range(10_000))
    answered = sum(len(bot.take(b"", 0.0)) for _ in range(10_000))
    assert 8_800 < sent < 9_200
    assert 8_800 < echo.taken < 9_200
    assert 0.88 * echo.taken < answered < 0.92 * echo.taken


def test_replicate_measures_ints_and_texts_for_few_and_many() -> None:
    report = rows(perf("replicate", "--updates", "5"))
    sizes = {"1,000 ints": 1000, "1,000 texts of 60 characters": 60_000}
    for what, size in sizes.items():
        for clients in ("1 client", "20 clients"):
            update = report[f"one update, {what} to {clients}"]
            assert update["value"] > update["floor"] > 0
            # All of it goes to everybody, once.
            datagrams = report[f"datagrams, {what} to {clients}"]["value"]
            assert size < datagrams * 1200 < 2 * size + 3 * 1200


def test_apply_measures_a_client_that_shows_all() -> None:
    report = rows(perf("apply", "--updates", "5"))
    for what in ("1,000 ints", "1,000 texts of 60 characters"):
        poll = report[f"a poll that takes in {what}"]
        assert poll["value"] > poll["floor"] > 0
        assert report[f"taken in of {what}"]["value"] == pytest.approx(1e6 / poll["value"])
    update = report["a poll that takes in 1,000 floats, smooth"]
    between = report["a frame between two updates, smooth"]
    assert update["value"] > between["value"] > 0
    assert update["floor"] == between["floor"] > 0


def test_predict_puts_what_goes_back_beside_plain_ticks() -> None:
    report = rows(perf("predict", "--rounds", "2", "--interpreted"))
    for name in ("1 entity", "100 entities", "100 entities among 100 others"):
        back = report[f"10 ticks back, {name}"]
        right, wrong = (report[f"an update that {what}, {name}"] for what in ("agrees", "differs"))
        # An update that differs is compared, as one that agrees, and then goes back.
        assert wrong["value"] > right["value"] > 0
        assert back["value"] > back["floor"] == wrong["floor"] == right["floor"] > 0


def test_response_answers_both_questions() -> None:
    report = rows(perf("response", "--clients", "2", "--seconds", "1", "--settle", "0.5"))
    for question in ("ping, 2 clients", "effect, 2 clients"):
        assert report[question]["value"] > 0
        assert report[question]["floor"] > 0


def test_size_counts_what_a_host_sends() -> None:
    report = rows(perf("size"))
    plain, quantised = report["body, float64"], report["body, Quantized(1/16)"]
    assert 18 < plain["value"] <= 22
    assert 4 < quantised["value"] <= 9
    assert report["headers, float64"]["value"] > 5


def test_movement_puts_the_systems_beside_two_loops() -> None:
    report = rows(perf("movement", "--rounds", "2"))
    for name in ("MovementSystem", "MovementSystem, Bounds and blocking", "CollisionSystem"):
        one, ten = report[f"one tick, {name}"], report[f"10 ticks back, {name}"]
        assert ten["value"] > one["value"] > 0
        assert ten["floor"] > one["floor"] > 0


def test_sockets_measures_one_way_beside_the_other() -> None:
    report = rows(perf("sockets"))
    for way in (
        "in and out, a server on 0.0.0.0",
        "in and out, clients at two of its addresses",
        "in, recvmsg for each datagram",
    ):
        assert report[way]["value"] > 0
        assert report[way]["floor"] > 0


def test_feel_says_how_each_row_feels() -> None:
    names = ("144", "client-stall", "push")
    report = perf("feel", "--seconds", "3", "--seeds", "1", "2", "--rows", *names, runs=())
    assert {row["name"].partition(":")[0] for row in report["rows"]} == {*names}
    assert all(row["runs"] == 2 for row in report["rows"])
    found = rows(report)
    assert 75 < found["144: age of what is drawn, p50"]["value"] < 200
    assert found["144: age of what is drawn, p50"]["note"] == ""
    assert "at most 2" in found["144: input to motion, most"]["note"]


def test_a_table_has_a_line_for_each_row() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "perf", "size", "--runs", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "body, Quantized(1/16)" in done.stdout
    assert done.stdout.splitlines()[0] == "$ python -m perf size --runs 1"


def test_a_table_takes_what_never_came() -> None:
    report = Report(
        "feel",
        "python -m perf feel",
        [Row("until right again", float("inf"), "s"), Row("missed", 0, "in all")],
    )
    assert "inf" in report.table()


def test_a_checkout_beside_itself_is_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "perf", "against", "--pairs", "2", "--json", str(ROOT), "size"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["rows"]
    assert len(report) > 2
    assert all(row["ratio"] == 1 and row["runs"] == 2 for row in report)
