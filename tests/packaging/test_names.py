"""ecsnet's folders have one name each, and a game's own folders keep theirs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDERS = ["systems", "components", "samples"]

FIND = "import importlib.util as u; print(u.find_spec({!r}))"


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_second_name_outside_the_repository(
    folder: str, fresh_python: Callable[..., str]
) -> None:
    assert fresh_python(FIND.format(folder)) == "None"


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_second_name_is_refused_inside_the_repository(folder: str, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"ImportError: import ecsnet.{folder}, not {folder}" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_wheel_has_its_folders_and_no_second_name(installed: Any, tmp_path: Path) -> None:
    code = "\n".join(
        [
            "import importlib.util, ecsnet",
            "print(ecsnet.__file__)",
            *(f"import ecsnet.{folder}; print(ecsnet.{folder}.__file__)" for folder in FOLDERS),
            *(f"print(importlib.util.find_spec({folder!r}))" for folder in FOLDERS),
        ]
    )
    lines = installed.run(installed.python, "-c", code, cwd=tmp_path).splitlines()
    assert all(Path(line).is_relative_to(installed.home) for line in lines[:4])
    assert lines[4:] == ["None"] * 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_command_is_there(installed: Any, tmp_path: Path) -> None:
    import ecsnet

    script = installed.run(installed.python.parent / "ecsnet", "--version", cwd=tmp_path)
    module = installed.run(installed.python, "-m", "ecsnet", "--version", cwd=tmp_path)
    assert script == module
    assert ecsnet.__version__ in script
