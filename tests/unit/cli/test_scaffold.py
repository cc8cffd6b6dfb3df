"""`ecsnet new`: what it writes, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ecsnet
from ecsnet.cli import scaffold
from ecsnet.cli.main import main
from ecsnet.cli.scaffold import check_name, new_game
from ecsnet.errors import UsageError

HOME = str(Path(ecsnet.__file__).parents[1])

PARTS = {"components", "systems", "game.py", "test_game.py", "window.py", "README.md"}


@pytest.mark.parametrize("typed", ["star_fall", "./star_fall", "inner/star_fall", "star_fall/"])
def test_writes_a_game_that_tests_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    assert main(["new", typed]) == 0
    assert "cd " in capsys.readouterr().out
    folder = tmp_path / typed
    assert {path.name for path in folder.iterdir()} >= PARTS
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if "$" in path.read_text(encoding="utf-8")]
    assert "Star Fall" in (folder / "README.md").read_text(encoding="utf-8")
    assert len((folder / "README.md").read_text(encoding="utf-8").splitlines()) <= 12
    if typed != "star_fall":
        return
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": HOME},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "cannot be a game's name"),
        (".", "cannot be a game's name"),
        ("my-game", "cannot be a game's name: use letters, digits and _"),
        ("2048", "a letter first"),
        ("my game", "cannot be a game's name"),
        ("spiel.py", "cannot be a game's name"),
        ("größe", "cannot be a game's name"),
        ("__main__", "a letter first"),
        ("_x", "a letter first"),
        ("class", "is a word of Python's"),
        ("True", "is a word of Python's"),
        ("json", "a module is called 'json', and the game would hide it"),
        ("sys", "a module is called 'sys'"),
        ("ecsnet", "a module is called 'ecsnet'"),
        ("esper", "a module is called 'esper'"),
        ("msgspec", "a module is called 'msgspec'"),
        ("pytest", "a module is called 'pytest'"),
        ("systems", "is the name of a part of the game"),
        ("game", "is the name of a part of the game"),
        ("rules", "is the name of a part of the game"),
    ],
)
def test_a_name_that_will_not_do_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=says):
        check_name(name)
    with pytest.raises(UsageError):
        new_game(Path(name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", [True, False])
def test_an_environment_in_the_folder_that_we_are_in_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: bool
) -> None:
    installed = tmp_path / "venv" / "lib"
    (installed / "boxed").mkdir(parents=True)
    (installed / ("boxed/__init__.py" if package else "boxed.py")).write_text("")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").write_text("")
    (tmp_path / "file.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(installed)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="a module is called 'boxed'"):
        check_name("boxed")
    check_name("own")
    check_name("file")


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_what_is_there_stays(tmp_path: Path, there: str) -> None:
    path = tmp_path / "mine"
    if there == "folder":
        path.mkdir()
    elif there == "file":
        path.write_text("precious")
    else:
        path.symlink_to("nowhere")
    with pytest.raises(UsageError, match="is there already: choose another name"):
        new_game(path)
    assert os.listdir(tmp_path) == ["mine"]
    assert there != "file" or path.read_text() == "precious"
    assert there != "folder" or list(path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot make .*: No such file or directory: is the name"):
        new_game(tmp_path / "nowhere" / "mine")


def test_a_disk_that_is_full_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = list(scaffold._files())

    def some() -> object:
        yield from files[:3]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scaffold, "check_name", lambda name: None)
    monkeypatch.setattr(scaffold, "_files", some)
    with pytest.raises(UsageError, match=r"cannot write .*mine: No space left on device"):
        new_game(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_name_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "ecsnet new: a module is called 'json', and the game would hide it: choose another\n"
    )
