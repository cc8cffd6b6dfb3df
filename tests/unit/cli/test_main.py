"""The command line, as far as it starts nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ecsnet
from ecsnet.cli import main as cli
from ecsnet.schema import Registry, use_registry
from ecsnet.server.world import ServerWorld

Run = Callable[..., tuple[int, str, str]]

# `from ecsnet.play import ...` in the package hides the module behind the function.
play_module = importlib.import_module("ecsnet.play")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with nothing of it left imported afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(play_module, "_join_instead", None)
    before = set(sys.modules)
    with use_registry(Registry()):
        yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ServerWorld, str, int]]:
    """Serve nothing; note what would have been."""
    calls: list[tuple[ServerWorld, str, int]] = []

    async def serve(self: ServerWorld, host: str, port: int, **_: object) -> None:
        calls.append((self, host, port))

    monkeypatch.setattr(ServerWorld, "serve", serve)
    return calls


def one_line(text: str) -> str:
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    return text.strip()


def test_version(run: Run) -> None:
    status, out, err = run("--version")
    version = out.strip().removesuffix(", compiled")
    assert (status, version, err) == (0, f"ecsnet {ecsnet.__version__}", "")


def test_help_names_every_command(run: Run) -> None:
    status, out, _ = run("--help")
    assert status == 0
    assert all(command in out for command in ("new", "serve", "join", "demo", "analytics"))
    for command in ("new", "serve", "join", "demo", "analytics"):
        assert run(command, "--help")[0] == 0


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "give a COMMAND: new, serve, join, demo or analytics"),
        ("--bogus", "unrecognized arguments: --bogus;"),
        ("dance", "dance"),
        ("serve", "required: GAME;"),
        ("serve coins", "there is no game 'coins': give a FILE.py or one of "),
        ("serve coins.py", "there is no file coins.py"),
        ("serve games/coins.py", "there is no file games/coins.py"),
        ("serve .", ". is a folder without a __main__.py: name a file in it, such as game.py"),
        ("serve :server", "':server' names no game: write FILE.py, or FILE.py:SERVER"),
        ("serve coins:", "'coins:' names no game"),
        ("serve game:server --port 65536", "65536"),
        ("serve game:server --port -1", "port"),
        ("serve game:server --port ten", "ten"),
        ("serve game:server --tick-rate fast", "fast"),
        ("serve game:server --bogus", "--bogus"),
        ("serve game:server --analytics=", "--analytics: '': name a folder"),
        ("serve game:server --analytics mongodb://u:secret@h/db", "'mongodb://...': this is where"),
        ("join", "required: NAME|FILE.py, HOST:PORT;"),
        ("join pong", "required: HOST:PORT;"),
        ("serve game:server --port \u0667", "port"),
        (f"serve game:server --port {'9' * 5000}", "is no port"),
        ("join pong host:port", "HOST:PORT"),
        ("join pong 1.2.3.4:²", "is no address"),
        ("join nothing localhost", "nothing"),
        ("join nothing.py localhost", "nothing.py"),
        ("demo nothing --headless", "nothing"),
        ("demo --clients 0", "--clients"),
        ("demo --clients many", "--clients"),
        ("demo --clients ²", "--clients"),
        ("demo --seconds 0", "--seconds"),
        ("demo --seconds nan", "--seconds"),
        ("demo --lag -1", "--lag"),
        ("demo --loss 101", "--loss"),
        ("demo --jitter much", "--jitter"),
        ("demo knights --headless --screenshot x.png", "knights"),
        ("demo nothing.py", "there is no file nothing.py"),
        ("demo nothing.py:server", "there is no file nothing.py"),
        ("demo nothing.py:", "'nothing.py:' names no game: write FILE.py, or FILE.py:SERVER"),
        ("demo :server", "':server' names no game"),
        ("demo .", ". is a folder without a __main__.py: name a file in it, such as game.py"),
        ("join . localhost", ". is a folder without a __main__.py"),
        ("demo --headless --screenshot nowhere/x.png", "nowhere"),
        ("demo --headless --film nowhere/x.json", "nowhere"),
    ],
)
def test_what_is_typed_wrong_is_one_line_and_status_2(
    run: Run, folder: Path, typed: str, says: str
) -> None:
    status, out, err = run(*typed.split())
    assert (status, out) == (2, "")
    assert says in one_line(err)
    assert err.startswith("ecsnet")


# ecsnet serve


@pytest.mark.parametrize(
    "game",
    [
        "blank:server",
        "blank.py:server",
        "inner/blank.py:server",
        "blank.py",
        "blank",
        "inner/blank.py",
    ],
)
def test_serves_what_the_current_folder_holds(
    run: Run, folder: Path, served: list[tuple[ServerWorld, str, int]], game: str
) -> None:
    (folder / "inner").mkdir()
    path = folder / game.partition(":")[0]
    path.with_suffix(".py").write_text("import ecsnet\nserver = ecsnet.ServerWorld(tick_rate=50)\n")
    status, out, err = run("serve", game, "--host", "127.0.0.1", "--port", 1234, "--tick-rate", 30)
    assert (status, out, err) == (0, "", "")
    [(server, host, port)] = served
    assert (server.tick_rate, host, port) == (30, "127.0.0.1", 1234)


def test_serves_samples(run: Run, folder: Path, served: list[tuple[ServerWorld, str, int]]) -> None:
    for game in ("ecsnet.samples.pong.game:server", "pong"):
        assert run("serve", game)[0] == 0
        assert served.pop()[1:] == ("0.0.0.0", 7777)


@pytest.mark.parametrize(
    ("game", "says"),
    [
        ("there:sever", "there:server"),
        ("there:number", "there:number is 1, not a ServerWorld; it has there:server"),
        ("there:Tank", "there:Tank is class Tank, not a ServerWorld; it has there:server"),
        ("there:Hue", "there:Hue is class Hue, not a ServerWorld"),
        ("there:thing", "there:thing is an object, not a ServerWorld"),
        ("none:server", "it has none"),
        ("nowhere:server", "no module 'nowhere'"),
        ("nowhere.deep:server", "no module 'nowhere'"),
        ("nowhere.py:server", "no file nowhere.py"),
        ("lacking:server", "No module named 'nowhere' (lacking.py:2)"),
        ("misspelt:server", "(lacking.py"),
        ("syntax:server", "syntax.py, line 1"),
        ("fields:server", "A.x"),
        ("json:loads", "json:loads is function loads(), not a ServerWorld; it has none"),
    ],
)
def test_a_server_that_is_not_there_is_one_line_and_status_2(
    run: Run, folder: Path, game: str, says: str
) -> None:
    server = "import ecsnet as net\nserver = net.ServerWorld()\n"
    for name, text in {
        "there": f"{server}number = 1\nthing = object()\n"
        "@net.replicated\nclass Tank:\n    x: int = 0\n"
        "import enum\nclass Hue(enum.Enum):\n    RED = 1\n",
        "none": "",
        "lacking": "x = 1\nimport nowhere\n",
        "misspelt": "from lacking import y\n",
        "syntax": "x = (\n",
        "fields": f"{server}@net.replicated\nclass A:\n    x: object\n",
    }.items():
        (folder / f"{name}.py").write_text(text)
    status, out, err = run("serve", game)
    assert (status, out) == (2, "")
    assert says in one_line(err)


def test_a_tick_rate_that_cannot_be_is_one_line_and_status_2(run: Run, folder: Path) -> None:
    status, _, err = run("serve", "ecsnet.samples.pong.game:server", "--tick-rate", 0)
    assert status == 2
    assert "between 1 and 1000" in one_line(err)


# ecsnet join

GAME = """
import sys
from importlib import import_module
import ecsnet
ecsnet.play(ecsnet.ServerWorld()).close()
print(__name__, sys.argv[1:], import_module("ecsnet.play")._join_instead, sys.path[0])
"""


def test_joins_with_a_file(run: Run, folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "game.py").write_text(GAME)
    status, out, err = run("join", "inner/game.py", "127.0.0.1:99", "--name", "Ann")
    assert (status, err) == (0, "")
    assert out.strip() == f"__main__ ['--name', 'Ann'] 127.0.0.1:99 {folder / 'inner'}"


def test_joins_with_a_folder_that_was_copied(run: Run, folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "__init__.py").write_text("")
    (folder / "mine" / "part.py").write_text("part = 'relative'\n")
    (folder / "mine" / "__main__.py").write_text(f"from .part import part\nprint(part)\n{GAME}")
    status, out, err = run("join", "mine", "[::1]:99")
    assert (status, err) == (0, "")
    assert out.split() == ["relative", "__main__", "[]", "[::1]:99", str(folder)]


REFUSED = """
import sys
import ecsnet
from ecsnet.session.goodbye import Reason
from ecsnet.client.connection import End
client = ecsnet.play(ecsnet.ServerWorld())
client._connection.end = End(Reason.FULL)
client.poll()
"""


@pytest.mark.parametrize("end", ["", "sys.exit()", "sys.exit(0)"])
def test_a_refusal_fails_with_its_reason_once(
    run: Run, folder: Path, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    (folder / "game.py").write_text(REFUSED + end)
    assert run("join", "game.py", "127.0.0.1:99") == (1, "", "")
    (record,) = caplog.records
    # A warning is on stderr where the game configures no logging.
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        "refused: the server is full: try again later",
    )


def test_a_later_client_that_is_let_in_makes_up_for_a_refusal(run: Run, folder: Path) -> None:
    (folder / "game.py").write_text(f"{REFUSED}\n{GAME}")
    assert run("join", "game.py", "127.0.0.1:99")[0] == 0


def test_a_status_of_the_games_own_is_kept(run: Run, folder: Path) -> None:
    (folder / "game.py").write_text(f"{REFUSED}sys.exit(7)")
    assert run("join", "game.py", "127.0.0.1:99")[0] == 7


def test_a_program_that_never_plays_joins_nothing(run: Run, folder: Path) -> None:
    (folder / "game.py").write_text("print('done')")
    status, out, err = run("join", "game.py", "127.0.0.1:99")
    assert (status, out) == (2, "done\n")
    assert one_line(err) == (
        "ecsnet join: game.py ended and never called net.play(): it joined nothing"
    )
    (folder / "game.py").write_text("import sys\nsys.exit()")  # as after its --help
    assert run("join", "game.py", "127.0.0.1:99") == (0, "", "")
