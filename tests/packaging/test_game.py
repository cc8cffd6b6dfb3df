"""A stranger's game, outside the repository, against the wheel: it runs and it type-checks."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from perf.children import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@contextlib.contextmanager
def started(
    installed: Any, game: Path, *command: object
) -> Generator[subprocess.Popen[str], None, None]:
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=game,
        env=installed.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_two_players_see_each_other(installed: Any, game: Path) -> None:
    port = free_port()
    serve = ("-m", "ecsnet", "serve", "game:server", "--host", "127.0.0.1", "--port", port)
    with (
        started(installed, game, installed.python, *serve) as server,
        started(installed, game, installed.python, "bot.py", "anna", port) as anna,
        started(installed, game, installed.python, "bot.py", "bert", port) as bert,
    ):
        for player in (anna, bert):
            out, err = player.communicate(timeout=60)
            assert player.returncode == 0, err
            assert json.loads(out) == {"moved": {"anna": True, "bert": True}, "fuels": 1}
        assert server.poll() is None
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=20)
        assert server.returncode == 0, out + err


def test_game_keeps_its_own_folders(installed: Any, game: Path) -> None:
    code = (
        "import game, components, systems, ecsnet.components, ecsnet.systems\n"
        "print(components.__file__, systems.__file__, ecsnet.systems.__file__, sep='\\n')"
    )
    own, own_too, ours = installed.run(installed.python, "-c", code, cwd=game).split()
    assert Path(own).is_relative_to(game)
    assert Path(own_too).is_relative_to(game)
    assert Path(ours).is_relative_to(installed.home)


def test_mypy_accepts_the_game(installed: Any, game: Path) -> None:
    out = installed.run(
        sys.executable,
        *("-m", "mypy", "--strict", "--python-executable", installed.python),
        *("--cache-dir", game / ".mypy_cache", "game.py", "bot.py"),
        cwd=game,
        timeout=250,
    )
    assert "no issues found in 2 source files" in out


def test_mypy_sees_the_fields(installed: Any, game: Path) -> None:
    """The wheel is typed, not merely importable: a mistake in the game is found."""
    (game / "wrong.py").write_text("from components import Tank\nTank(hp='full')\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--python-executable"),
            *(str(installed.python), "--cache-dir", str(game / ".mypy_cache"), "wrong.py"),
        ],
        cwd=game,
        env=installed.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert 'Argument "hp" to "Tank" has incompatible type "str"; expected "int"' in done.stdout


def test_pyright_accepts_the_game(installed: Any, game: Path) -> None:
    (game / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    out = installed.run(
        *(sys.executable, "-m", "pyright", "--pythonpath", installed.python, "--outputjson"),
        cwd=game,
        timeout=250,
    )
    summary = json.loads(out)["summary"]
    assert summary["errorCount"] == summary["warningCount"] == 0
    assert summary["filesAnalyzed"] >= 6


def test_a_new_game_runs_and_is_typed_and_tidy(installed: Any, tmp_path: Path) -> None:
    ecsnet = installed.python.parent / "ecsnet"
    installed.run(ecsnet, "new", "star_fall", cwd=tmp_path)
    folder = tmp_path / "star_fall"
    out = installed.run(
        *(ecsnet, "demo", "star_fall/game.py", "--headless", "--seconds", 2, "--json"),
        *("--clients", 2, "--lag", 100, "--jitter", 20, "--loss", 5),
        cwd=tmp_path,
    )
    figures = json.loads(out)
    assert figures["diverged"] == 0
    assert figures["compared"] > 40
    assert figures["commands_sent"] > 0
    tests = installed.run(installed.python, "-m", "pytest", "-q", cwd=folder)
    assert "2 passed" in tests
    out = installed.run(
        sys.executable,
        *("-m", "mypy", "--strict", "--python-executable", installed.python),
        *("--cache-dir", tmp_path / ".mypy_cache", "."),
        cwd=folder,
        timeout=250,
    )
    assert "no issues found" in out
    for command in (("check",), ("format", "--check")):
        installed.run(
            *(sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", 100, "."),
            cwd=folder,
        )
