"""What a server starts to ship its journal runs nothing of the game's, and is no second game."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest

from ecsnet.analytics.service import AnalyticsService
from ecsnet.analytics.supervisor import ShipperSupervisor
from ecsnet.analytics_options import Analytics
from ecsnet.errors import UsageError
from ecsnet.runtime import interpreter
from ecsnet.schema import Registry
from tests.analytics.made import Game

NAMES = [
    *("msgspec", "motor", "pymongo", "bson", "dns", "gridfs", "esper", "uvloop", "ecsnet"),
    *("sitecustomize", "usercustomize"),
    *("asyncio", "logging", "json", "ssl", "random", "signal", "typing", "encodings"),
]
"""Modules of a game that are called like ones that a shipper imports."""


def game_of(tmp_path: Path, names: list[str]) -> Path:
    """A game's folder; each of its modules leaves a file when it runs."""
    folder = tmp_path / "game"
    folder.mkdir()
    for name in names:
        said = f"open({str(tmp_path / f'ran-{name}')!r}, 'w').close()\n"
        if len(name) % 2:
            (folder / f"{name}.py").write_text(said)
        else:
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(said)
    return folder


def ran(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.glob("ran-*"))


@pytest.mark.parametrize(
    ("driver", "names"),
    [
        ("motor", NAMES),
        ("pymongo", NAMES),
        ("motor", ["msgspec"]),
        ("motor", ["motor", "bson"]),
        ("motor", ["sitecustomize", "usercustomize"]),
        ("pymongo", ["logging", "dns"]),
    ],
)
def test_nothing_of_the_games_folder_runs_in_a_shipper(
    driver: Literal["motor", "pymongo"],
    names: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hostile = game_of(tmp_path, names)
    game = Game(tmp_path / "journal")
    game.play(3)
    game.close()
    monkeypatch.chdir(hostile)
    monkeypatch.setattr(sys, "path", [str(hostile), "", *sys.path])
    for name in ("PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE"):
        monkeypatch.setenv(name, str(hostile))
    with socket.create_server(("127.0.0.1", 0)) as database:
        database.settimeout(60)
        uri = f"mongodb://127.0.0.1:{database.getsockname()[1]}/x"
        supervisor = ShipperSupervisor(tmp_path / "journal", uri, driver=driver)
        supervisor.start()
        try:
            connection, _ = database.accept()  # so all that it imports was imported
            connection.close()
        finally:
            supervisor.stop(0.0)
    assert ran(tmp_path) == []


def test_nor_does_what_a_package_put_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = game_of(tmp_path, NAMES)
    # As `pip install --editable .` of a game does: its folder comes behind all others.
    site = tmp_path / "site"
    site.mkdir()
    (site / "game.pth").write_text(f"{hostile}\n")
    monkeypatch.setattr(interpreter.site, "getsitepackages", lambda: [str(site)])
    monkeypatch.setattr(sys, "path", [*sys.path, str(site), str(hostile)])
    path = interpreter.installed_path("msgspec", "motor", "there is none of that name")
    assert str(hostile) not in path
    assert str(site) in path
    assert any((Path(folder) / "msgspec").is_dir() for folder in path)
    code = "import sys; sys.path += sys.argv[1:]; import motor"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, *path], check=False)
    assert done.returncode == 0
    assert ran(tmp_path) == []


# Programs that are no Python.


def test_a_frozen_program_says_at_once_how_to_ship(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    game = tmp_path / "game"
    game.write_text(f"#!/bin/sh\ntouch {started}\n")
    game.chmod(0o755)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(game))
    options = Analytics(tmp_path / "journal", mongo="mongodb://ann:hunter2@127.0.0.1:1/x")
    with pytest.raises(UsageError) as raised:
        AnalyticsService(options, Registry(), {})
    assert "needs a Python of its own" in str(raised.value)
    assert f"ecsnet analytics ship {tmp_path / 'journal'} --mongo URI --follow" in str(raised.value)
    assert "hunter2" not in str(raised.value)
    with pytest.raises(UsageError, match="leave mongo= "):
        AnalyticsService(
            Analytics(tmp_path / "journal"), Registry(), {"ECSNET_MONGO_URI": "mongodb://h"}
        )
    AnalyticsService(Analytics(tmp_path / "journal"), Registry(), {}).close()  # a journal is kept
    assert not started.exists()


@pytest.mark.parametrize(
    ("executable", "is_one"),
    [
        (sys.executable, True),
        ("/opt/bin/pypy3.11", True),
        ("C:/Games/Python311/pythonw.exe", True),
        ("", False),
        ("/usr/bin/uwsgi", False),
        ("/Applications/Pong.app/Contents/MacOS/Pong", False),
    ],
)
def test_what_is_no_python_is_not_started(
    executable: str, is_one: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    if is_one:
        assert interpreter.interpreter("it", "go") == executable
    else:
        with pytest.raises(UsageError, match=r"it needs a Python of its own.*: go"):
            interpreter.interpreter("it", "go")


def test_a_python_by_another_name_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "game-server"
    link.symlink_to(os.path.realpath(sys.executable))
    monkeypatch.setattr(sys, "executable", str(link))
    assert interpreter.interpreter("it", "go") == str(link)


def test_a_compiled_program_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    main = ModuleType("__main__")
    main.__compiled__ = object()  # type: ignore[attr-defined]  # as Nuitka says it
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(UsageError, match="has one inside"):
        interpreter.interpreter("it", "go")
