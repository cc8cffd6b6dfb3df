"""A few seeds of the soak, and what it promises about itself. `make soak` plays many."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from chaos import EVENTS, Plan, run
from soak import FEW_SEEDS, main, table

SOAK = Path(__file__).with_name("soak.py")


@pytest.mark.parametrize("seed", range(16))
def test_every_client_comes_to_show_what_the_server_says(seed: int) -> None:
    report = run(Plan.of(seed, 400))
    assert report.failure is None, report.failure
    counts = report.counts
    assert counts["values compared"] > 20  # few, where the game has just cleared its world
    assert counts["clients compared"] >= 2
    assert counts["spawns"] > 20
    assert counts["writes"] > 500
    assert counts["markers checked"] > 100
    assert counts["confirmed checked"] > 10


def test_without_loss_twins_are_watched_all_the_time() -> None:
    report = run(Plan.of(5, 200))
    assert report.failure is None, report.failure
    assert report.counts["dropped"] == 0
    assert report.counts["atomic checked"] > 10_000


def test_half_of_all_datagrams_lost() -> None:
    plan = Plan(
        1001, 400, policy="grid", loss=0.5, duplicate=0.1, corrupt=0.05, lag=0.05, jitter=0.1
    )
    report = run(plan)
    assert report.failure is None, report.failure
    assert report.counts["dropped"] > 500
    assert report.counts["corrupted"] > 25
    assert report.counts["reordered"] > 500
    assert report.counts["packets lost"] > 200


@pytest.mark.parametrize("policy", ["everyone", "grid", "predicate"])
def test_a_database_that_is_cleared_again_and_again(policy: str) -> None:
    plan = Plan(77, 600, policy=policy, clears=0.02, comings=0.02, loss=0.1, jitter=0.05)
    report = run(plan)
    assert report.failure is None, report.failure
    assert report.counts["clear_database"] >= 2
    assert report.counts["joins"] > 4


def test_structure_that_has_no_room_to_ride_along_may_come_late() -> None:
    plan = Plan(
        0, 420, loss=0.1, corrupt=0.02, lag=0.06, jitter=0.005, clients=2, entities=40, comings=0,
        blobs=0, operations=1.2,
    )  # fmt: skip
    report = run(plan)
    assert report.failure is None, report.failure
    assert report.counts["promptness checked"] > 100


def test_who_times_out_while_the_game_is_paused_is_told_of_like_any_other() -> None:
    plan = Plan(
        5, 100, late="play", tick_rate=20, every=3, comings=0.05, entities=20, operations=0.5,
        events=0.1, damage=0, mischief=0,
    )  # fmt: skip
    report = run(plan)
    assert report.failure is None, report.failure
    assert report.counts["timeouts"] == report.counts["vanishes"] == 3


def test_a_seed_is_the_same_whatever_the_hash_seed() -> None:
    path = os.pathsep.join(filter(None, sys.path))
    digests = set()
    for hash_seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, str(SOAK), "--seed", "11", "--ticks", "150"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.partition("digest ")[2][:8])
    digests.add(f"{run(Plan.of(11, 150)).digest:08x}")
    assert len(digests) == 1
    assert digests != {""}


def test_the_command_prints_every_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "2", "--ticks", "40", "--processes", "1"]) == 0
    out = capsys.readouterr().out
    assert "ok: 2 seeds" in out
    for name in EVENTS:
        assert f"{name} " in out
    assert FEW_SEEDS > 2
    assert table(run(Plan.of(0, 20)).counts).count("\n") > 10


def test_the_command_says_which_seed_failed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecsnet.replication.server.client_state import ClientState

    monkeypatch.setattr(ClientState, "lose", lambda self, flight, entities: None)
    assert main(["--seed", "1", "--ticks", "200"]) == 1
    out = capsys.readouterr().out
    assert "seed 1 FAILED" in out
    assert "soak.py --seed 1 --ticks 200" in out
