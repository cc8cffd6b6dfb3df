"""The compiled build is the same ecsnet: the same tests pass, and worlds stay equal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
]

DERIVING = (
    "commands/test_command_rate.py",
    "server/test_departures.py",
    "server/test_host.py",
    "runtime/test_rate_limited_log.py",
    "replication/server/test_client_state.py",
    "replication/server/test_fast_way.py",
    "session/test_session.py",
    "replication/server/test_world_requests.py",
)
"""Tests that put classes of their own in the place of compiled ones, or derive from them."""


@pytest.fixture(scope="module")
def compiled(root: Path) -> Path:
    """A folder that holds what is in a compiled wheel; the benchmarks use the same."""
    made = subprocess.run(
        [sys.executable, "-c", "from perf.build import compiled; print(compiled())"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return Path(made.stdout.strip())


def run(folder: Path, *arguments: object, cwd: Path) -> str:
    """Run Python with that ecsnet, and no other; returns what it printed."""
    path = os.pathsep.join([str(folder), str(cwd)])
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_what_it_runs_is_compiled(compiled: Path, tmp_path: Path) -> None:
    code = (
        "import ecsnet.server.host as m, ecsnet.session.session as s; print(m.__file__, s.__file__)"
    )
    files = run(compiled, "-c", code, cwd=tmp_path).split()
    assert all(Path(file).is_relative_to(compiled) for file in files), files
    assert not [file for file in files if file.endswith(".py")]
    assert run(compiled, "-m", "ecsnet", "--version", cwd=tmp_path).endswith(", compiled\n")


def test_the_same_unit_tests_pass(compiled: Path, root: Path) -> None:
    unit = root / "tests" / "unit"
    files = [file.relative_to(unit).as_posix() for file in sorted(unit.rglob("test_*.py"))]
    same = [f"tests/unit/{name}" for name in files if name not in DERIVING]
    options = ["-q", "-p", "no:cacheprovider", "--override-ini=addopts=--import-mode=importlib"]

    def passed(tests: list[str]) -> bool:
        return " passed" in run(compiled, "-P", "-m", "pytest", *options, *tests, cwd=root)

    # A core each: they are most of what this suite takes. In `make test` the other core has work.
    parts = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
    with ThreadPoolExecutor(parts) as pool:
        assert all(pool.map(passed, (same[part::parts] for part in range(parts))))


def test_worlds_stay_equal_on_a_bad_network(compiled: Path, tmp_path: Path) -> None:
    link = ["--lag", 100, "--jitter", 30, "--loss", 20]
    game = ["-m", "ecsnet", "demo", "pong", "--headless", "--seconds", 6, "--clients", 2, "--json"]
    result = json.loads(run(compiled, *game, *link, cwd=tmp_path))
    assert result["compared"] > 0
    assert result["diverged"] == 0
    sent = result["commands_applied"] + result["commands_superseded"] + result["commands_expired"]
    assert result["commands_sent"] == sent > 0
    assert result["datagrams_dropped"] > 0


def test_bad_datagrams_do_nothing(compiled: Path, root: Path) -> None:
    said = run(compiled, "tests/fuzz/run.py", "--count", 20_000, cwd=root)
    assert said
