"""Runs the type checkers over ``schema_declarations.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ecsnet

TREE = Path(ecsnet.__file__).parents[1]
FILE = Path(__file__).with_name("schema_declarations.py")


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MYPYPATH": str(TREE), "PYTHONPATH": str(TREE)}
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_runs(tmp_path: Path) -> None:
    done = run(str(FILE), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_mypy(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    done = run("-m", "mypy", "--strict", "--no-color-output", str(FILE), cwd=tmp_path)
    assert "Success: no issues found in 1 source file" in done.stdout, done.stdout
    text = FILE.read_text()
    assert text.count("# type: ignore[") >= 10


@pytest.mark.slow
def test_pyright(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    (tmp_path / FILE.name).write_text(FILE.read_text())
    config = {
        "typeCheckingMode": "strict",
        "reportUnnecessaryTypeIgnoreComment": "error",
        "enableTypeIgnoreComments": False,
        "include": [FILE.name],
        "extraPaths": [str(TREE)],
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    done = run("-m", "pyright", "--pythonpath", sys.executable, cwd=tmp_path)
    assert "0 errors" in done.stdout, done.stdout
