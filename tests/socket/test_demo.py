"""`ecsnet demo`: real processes on the loopback, with and without a bad network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ecsnet
from ecsnet.analytics.reader import Series, documents
from ecsnet.demo import DemoError, Options, Outcome, runner
from ecsnet.demo.control import Child

HOME = str(Path(ecsnet.__file__).parents[1])
PATIENCE = 30.0

KEYS = {
    "ticks", "clients", "commands_sent", "commands_applied", "commands_expired",
    "commands_superseded", "datagrams_sent", "datagrams_dropped", "bytes_sent", "entities",
    "rtt_ms", "loss", "compared", "diverged", "events_sent", "events_due", "events_seen",
}  # fmt: skip


def played(**options: object) -> tuple[Outcome, list[str]]:
    told: list[str] = []
    outcome = runner.run(Options(**options), told.append)  # type: ignore[arg-type]
    dealt_with = outcome.commands_applied + outcome.commands_expired + outcome.commands_superseded
    assert outcome.commands_sent == dealt_with > 0
    assert outcome.compared > 0
    assert outcome.diverged == 0
    assert outcome.good
    assert outcome.ticks > 0
    assert outcome.polls > 0
    assert any(line.startswith("playing") for line in told)
    return outcome, told


@pytest.fixture(scope="module")
def match(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """A match of Pong on a good network, and its journal."""
    journal = tmp_path_factory.mktemp("match") / "journal"
    outcome, _ = played(seconds=5.0, analytics=journal)  # a match begins after three
    return outcome, journal


def test_on_a_good_network_nothing_is_lost(match: tuple[Outcome, Path]) -> None:
    outcome, _ = match
    assert outcome.clients == 2
    assert outcome.entities == 6
    assert outcome.compared == 48
    assert outcome.commands_expired == 0
    assert outcome.commands_rejected == 0
    assert outcome.datagrams_dropped == 0
    assert outcome.commands_sent > 100
    assert outcome.bytes_sent > outcome.datagrams_sent > 100


def test_on_a_bad_network_the_worlds_are_equal_in_the_end() -> None:
    outcome, _ = played(seconds=6.0, lag=0.1, jitter=0.03, loss=0.2)
    assert outcome.datagrams_dropped > 0
    assert outcome.commands_expired <= outcome.commands_sent * 0.01
    assert outcome.commands_superseded <= outcome.commands_sent * 0.1
    assert outcome.rtt_ms > 100
    assert outcome.loss > 0


def test_actions_and_spawns_on_a_bad_network() -> None:
    outcome, _ = played(sample="knights", clients=3, seconds=3.0, lag=0.03, jitter=0.02, loss=0.3)
    assert outcome.clients == 3
    assert outcome.datagrams_dropped > 0
    assert outcome.commands_expired == 0
    assert sum(outcome.events_seen.values()) == outcome.events_sent > 0  # each to one player


def test_events_and_secrets_on_a_bad_network() -> None:
    # Its bots look for hands of others, too.
    outcome, _ = played(sample="cards", clients=4, seconds=4.0, lag=0.05, loss=0.1)
    assert outcome.datagrams_dropped > 0
    assert outcome.events_seen == outcome.events_due
    assert all(seen > 0 for seen in outcome.events_seen.values())


def test_how_it_felt_on_a_bad_network(tmp_path: Path) -> None:
    bad = {"lag": 0.075, "jitter": 0.015, "loss": 0.05}
    film = tmp_path / "film.json"
    outcome, _ = played(sample="shooter", clients=3, seconds=8.0, film=film, **bad)
    assert outcome.datagrams_dropped > 0
    assert outcome.feel.frames > 500
    assert outcome.feel.keys > 0
    assert outcome.feel.own_delay_frames["p50"] <= 2  # the server answers after twelve
    assert outcome.figures["beams"] >= outcome.figures["verdicts"] > 0
    assert outcome.rewinds > outcome.rewinds_limited
    players = json.loads(film.read_bytes())["players"]
    assert len(players) == 3
    assert sum(len(each["frames"]) for each in players.values()) == outcome.feel.frames


def test_a_journal_of_it_agrees_with_its_figures(match: tuple[Outcome, Path]) -> None:
    outcome, journal = match
    events = list(documents(journal, Series.EVENTS))
    (stop,) = (event for event in events if event["type"] == "stop")
    data: Any = stop["data"]
    assert data["ticks"] == outcome.ticks
    assert data["joined"] == outcome.clients
    assert data["commands_applied"] == outcome.commands_applied
    assert data["commands_superseded"] == outcome.commands_superseded
    assert data["lost_events"] == data["lost_snapshots"] == 0
    snapshots: list[Any] = list(documents(journal, Series.SNAPSHOTS))
    assert max(len(each["entities"]) for each in snapshots) == outcome.entities


def test_json_is_one_object_and_the_picture_shows_both_windows(tmp_path: Path) -> None:
    pygame = pytest.importorskip("pygame")
    done = subprocess.run(
        [sys.executable, "-m", "ecsnet", "demo", "pong", "--headless", "--seconds", "5", "--json",
         "--screenshot", "both.png"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": HOME},
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures.keys() >= KEYS
    assert figures["diverged"] == 0
    assert figures["compared"] > 0
    assert "playing" in done.stderr
    picture = pygame.image.load(tmp_path / "both.png")
    width, height = picture.get_size()
    assert width > 2 * 640
    assert height > 400
    # Each player's own paddle is the one that is marked. Who came first plays on the left.
    mine = [x for x in range(width) if any(_marked(picture, x, y) for y in range(46, height))]
    middle = width // 2
    first_window = any(x < 60 for x in mine), any(middle - 60 < x < middle for x in mine)
    second_window = any(middle < x < middle + 60 for x in mine), any(x > width - 60 for x in mine)
    assert {first_window, second_window} == {(True, False), (False, True)}


def _marked(picture: object, x: int, y: int) -> bool:
    return tuple(picture.get_at((x, y)))[:3] == (0xFF, 0xC0, 0x4C)  # type: ignore[attr-defined]


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_processes_end_with_their_parent(number: signal.Signals) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "ecsnet", "demo", "pong", "--headless", "--seconds", "600"],
        cwd=HOME,
        stderr=subprocess.PIPE,
        text=True,
    )
    children: list[int] = []
    try:
        assert demo.stderr is not None
        until(lambda: demo.stderr is not None and "playing" in demo.stderr.readline())
        children = children_of(demo.pid)
        assert len(children) == 3
        assert all(runs(child) for child in children)
        demo.send_signal(number)
        demo.communicate(timeout=PATIENCE)
        until(lambda: not any(runs(child) for child in children))
    finally:
        demo.kill()
        demo.communicate()
    assert demo.returncode == (130 if number is signal.SIGINT else -number)


def test_a_process_that_dies_ends_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Child] = []

    class Noted(Child):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            made.append(self)

    def tell(text: str) -> None:
        if text.startswith("playing"):
            os.kill(made[0].pid, signal.SIGTERM)

    monkeypatch.setattr(runner, "Child", Noted)
    with pytest.raises(DemoError, match="the server ended with status"):
        runner.run(Options(seconds=60.0), tell)
    assert len(made) == 3
    assert all(child._process.poll() is not None for child in made)


def test_a_window_for_every_player_is_there_without_a_display(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    outcome, _ = played(seconds=5.0, windows=True)
    assert outcome.clients == 2
    assert outcome.entities == 6
