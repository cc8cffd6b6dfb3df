"""Which game somebody means, its server and its bot."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecsnet.cli.games import bot_of, figures_of, find_game, program_of, sample_names, server_of
from ecsnet.errors import UsageError
from ecsnet.play import play
from ecsnet.schema import Registry, use_registry
from ecsnet.server.world import ServerWorld

GAME = "import ecsnet as net\nserver = net.ServerWorld(tick_rate={rate})\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with nothing of it left imported afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = set(sys.modules)
    with use_registry(Registry()):
        yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


PACKAGE = {
    "mine/__init__.py": "",
    "mine/rules.py": GAME.format(rate=21),
    "mine/__main__.py": "from .rules import server\n",
}


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"blank.py": GAME.format(rate=21)}, "blank.py"),
        ({"blank.py": GAME.format(rate=21)}, "./blank.py"),
        ({"blank.py": GAME.format(rate=21)}, "blank"),
        ({"blank.py": GAME.format(rate=21)}, "blank.py:server"),
        ({"blank.py": GAME.format(rate=21)}, "blank:server"),
        ({"my-game.py": GAME.format(rate=21)}, "my-game.py"),
        ({"2048.py": GAME.format(rate=21)}, "2048.py"),
        ({"inner/blank.py": GAME.format(rate=21)}, "inner/blank.py"),
        ({"blank.py": GAME.format(rate=21) + "alias = server\n"}, "blank.py"),
        ({"blank.py": GAME.format(rate=20) + "two = net.ServerWorld(21)\n"}, "blank.py:two"),
        ({"blank.py": "import ecsnet\nclass A:\n    b = ecsnet.ServerWorld(21)\n"}, "blank.py:A.b"),
        ({"pong.py": GAME.format(rate=21)}, "pong"),
        (PACKAGE, "mine"),
        (PACKAGE, "mine/"),
        (PACKAGE, "./mine"),
        (PACKAGE, "mine/__main__.py"),
        (PACKAGE, "mine:server"),
        (PACKAGE, "mine.rules:server"),
        ({f"games/{name}": text for name, text in PACKAGE.items()}, "games/mine"),
    ],
)  # fmt: skip
def test_finds_the_server(folder: Path, files: dict[str, str], text: str) -> None:
    write(folder, files)
    server, _ = server_of(find_game(text))
    assert server.tick_rate == 21


def test_the_server_of_a_package_needs_no_window(folder: Path) -> None:
    write(folder, {**PACKAGE, "mine/game.py": GAME.format(rate=30), "mine/__main__.py": "1 / 0"})
    server, module = server_of(find_game("mine"))
    assert (server.tick_rate, module.__name__) == (30, "mine.game")


def test_samples_are_found_where_the_folder_has_nothing_of_that_name(folder: Path) -> None:
    assert {"knights", "pong", "square"} <= set(sample_names())
    assert find_game("pong").code == "ecsnet.samples.pong"
    (folder / "pong").mkdir()  # no game
    assert find_game("pong").code == "ecsnet.samples.pong"
    assert isinstance(server_of(find_game("ecsnet.samples.pong.game:server"))[0], ServerWorld)


@pytest.mark.parametrize(
    ("source", "text", "says"),
    [
        ("x = 1\n", "blank.py", "there is no server in blank.py: give it one at its top level"),
        ("x = 1\n", "blank.py:server", "there is no 'server' in blank.py; it has none"),
        ("server = 7\n", "blank.py:server", "blank.py:server is 7, not a ServerWorld"),
        (GAME.format(rate=20), "blank.py:sever", "'sever' in blank.py; it has blank.py:server"),
        (GAME.format(rate=20) + "b = net.ServerWorld()\n", "blank.py", "servers, server, b"),
        ("server = (\n", "blank.py", r"blank cannot be imported: .*blank.py, line 1"),
        ("import nowhere\n", "blank.py", r"No module named 'nowhere' \(blank.py:1\)"),
        ("def f():\n    import ecsnet\n    server = ecsnet.ServerWorld()\n", "blank.py", "no serv"),
        ("from .rules import server\n", "blank.py", "attempted relative import"),
        ("def make():\n    ...\n", "blank.py:make", r"where this makes one, write server = m"),
        (f"{GAME.format(rate=20)}server.tick_rate = 0\n", "blank.py", r"tick_rate=0.*blank.py:3"),
        ("import sys\nsys.exit()\n", "blank.py", r"ends the program.*\(blank.py:2\): put what"),
        ("raise SystemExit('no')\n", "blank.py", r"sys.exit\('no'\) \(blank.py:1\): put what"),
        (
            f"{GAME.format(rate=20)}net.play(server, offline=True)\n",
            "blank.py",
            r"play\(\) while blank is only imported: put what .*__main__.*blank.py:3",
        ),
        (
            f"{GAME.format(rate=20)}server.run('127.0.0.1', 0)\n",
            "blank.py",
            r"serve\(\) while blank is only imported: put what .*__main__.*blank.py:3",
        ),
    ],
)  # fmt: skip
def test_what_has_no_server_is_refused(folder: Path, source: str, text: str, says: str) -> None:
    write(folder, {"blank.py": source})
    with pytest.raises(UsageError, match=says):
        server_of(find_game(text))


@pytest.mark.parametrize("name", ["json.py", "random.py", "esper.py"])
def test_a_file_that_another_module_hides_is_refused(folder: Path, name: str) -> None:
    write(folder, {f"inner/{name}": GAME.format(rate=20)})
    with pytest.raises(UsageError, match="has the name of another module, which hides it: rename"):
        server_of(find_game(f"inner/{name}"))


def test_a_game_that_was_imported_may_be_played(folder: Path) -> None:
    write(folder, {"blank.py": GAME.format(rate=20), "broken.py": "1 / 0"})
    with pytest.raises(ZeroDivisionError):
        server_of(find_game("broken.py"))
    server, _ = server_of(find_game("blank.py"))
    with play(server, offline=True) as client:
        client.poll()
        assert not client.closed


def test_a_file_with_dots_in_its_name_is_refused(folder: Path) -> None:
    write(folder, {"game.v2.py": GAME.format(rate=20)})
    with pytest.raises(UsageError, match=r"game\.v2\.py cannot be imported: leave the dots out"):
        server_of(find_game("game.v2.py"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "nothing.py",
        "no/thing",
        "no/thing.py",
        "nothing.py:server",
        ":server",
        "a:b-c",
        "C:\\games\\pong.py",
    ],
)
def test_what_is_no_game_is_refused(folder: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"there is no|names no game|is a folder without"):
        find_game(text)


def test_a_file_is_found_where_it_was_typed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, {"inner/blank.py": GAME.format(rate=20)})
    game = find_game("inner/blank.py")
    monkeypatch.chdir(os.sep)
    assert game.folder == str(folder / "inner")


# Who plays.

BOT = "def bot(client):\n    return 'own'\n"


@pytest.mark.parametrize(
    ("files", "text", "plays"),
    [
        ({"blank.py": GAME.format(rate=20)}, "blank.py", None),
        ({"blank.py": GAME.format(rate=20) + BOT}, "blank.py", "own"),
        ({"blank.py": GAME.format(rate=20), "bot.py": "def play(client): ..."}, "blank.py", None),
        (PACKAGE, "mine", None),
        ({**PACKAGE, "mine/bot.py": "def play(client):\n    return 'beside'\n"}, "mine", "beside"),
        ({**PACKAGE, "mine/bot.py": "def play(client):\n    return 'beside'\n",
          "mine/__main__.py": "from . import bot\nfrom .rules import server\n"}, "mine", "beside"),
    ],
)  # fmt: skip
def test_finds_the_bot(folder: Path, files: dict[str, str], text: str, plays: str | None) -> None:
    write(folder, files)
    bot = bot_of(server_of(find_game(text))[1])
    assert (bot and bot(None)) == plays  # type: ignore[arg-type]


FIGURES = "def figures(client):\n    return {'points': 3}\n"


@pytest.mark.parametrize(
    ("files", "text", "there"),
    [
        ({"blank.py": f"{GAME.format(rate=20)}{BOT}"}, "blank.py", False),
        ({"blank.py": f"{GAME.format(rate=20)}{BOT}{FIGURES}"}, "blank.py", True),
        ({"blank.py": f"{GAME.format(rate=20)}{BOT}figures = 3\n"}, "blank.py", False),
        ({**PACKAGE, "mine/bot.py": f"def play(client): ...\n{FIGURES}"}, "mine", True),
        (PACKAGE, "mine", False),
    ],
)
def test_finds_figures_of_the_games_own(
    folder: Path, files: dict[str, str], text: str, there: bool
) -> None:
    write(folder, files)
    figures = figures_of(server_of(find_game(text))[1])
    assert (figures and figures(None)) == ({"points": 3} if there else None)  # type: ignore[arg-type]


def test_figures_that_cannot_be_called_are_refused(folder: Path) -> None:
    write(folder, {"blank.py": f"{GAME.format(rate=20)}{BOT}def figures(): ...\n"})
    with pytest.raises(UsageError, match=r"figures\(\), but calls it as figures\(client\)"):
        figures_of(server_of(find_game("blank.py"))[1])


@pytest.mark.parametrize(
    ("bot", "says"),
    [
        ("def bot(): ...", r"bot\(\), but calls it as bot\(client\)"),
        ("async def bot(client): ...", "which is async"),
        ("def bot(client, speed): ...", r"bot\(client, speed\)"),
    ],
)
def test_a_bot_that_cannot_be_called_is_refused(folder: Path, bot: str, says: str) -> None:
    write(folder, {"blank.py": f"{GAME.format(rate=20)}{bot}\n"})
    with pytest.raises(UsageError, match=says):
        bot_of(server_of(find_game("blank.py"))[1])


# What runs.

TELL = (
    "import sys\nran = getattr(sys, 'ran', []); ran.append((__name__, __file__)); sys.ran = ran\n"
)


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("blank.py", "blank.py"),
        ("blank", "blank.py"),
        ("blank:server", "blank.py"),
        ("mine", "mine/__main__.py"),
        ("mine.rules:server", "mine/__main__.py"),
    ],
)
def test_runs_the_program(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, file: str
) -> None:
    monkeypatch.setattr(sys, "ran", [], raising=False)
    write(folder, {"blank.py": TELL, **PACKAGE, "mine/__main__.py": TELL})
    program_of(find_game(text))()
    [(name, path)] = sys.ran  # type: ignore[attr-defined]
    assert name == "__main__"
    assert os.path.isabs(path)
    assert Path(path).samefile(folder / file)
