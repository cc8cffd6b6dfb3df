"""Built once for all tests in this folder: the artefacts, and an environment with the wheel in it.

Nothing here needs a network: the build is not isolated, and the environment borrows what ecsnet
depends on from the one that runs the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Artefacts:
    sdist: Path
    wheel: Path
    """Built from the sdist, as an index would have it."""
    direct: Path
    """Built from the working tree."""


@dataclass(frozen=True)
class Installed:
    """A virtual environment that has the wheel, not the working tree."""

    home: Path

    @property
    def python(self) -> Path:
        return self.home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def environment(self) -> dict[str, str]:
        """What its activate script would set, and nothing that points back at the tree."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV_"))}
        path = f"{self.python.parent}{os.pathsep}{kept.get('PATH', '')}"
        return {**kept, "VIRTUAL_ENV": str(self.home), "PATH": path}

    def run(self, *command: object, cwd: Path, timeout: float = 100) -> str:
        """Run a command there and return what it printed; any other status than 0 fails."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Artefacts:
    def build(*options: str) -> Path:
        out = tmp_path_factory.mktemp("dist")
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), *options]
        done = subprocess.run(
            [*command, str(ROOT)], cwd=out, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return out

    def only(folder: Path, pattern: str) -> Path:
        (path,) = folder.glob(pattern)
        return path

    both = build()
    return Artefacts(
        sdist=only(both, "*.tar.gz"),
        wheel=only(both, "*.whl"),
        direct=only(build("--wheel"), "*.whl"),
    )


@pytest.fixture(scope="session")
def installed(artefacts: Artefacts, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    there = Installed(home)
    own = there.run(
        there.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home
    )
    # A path in a .pth file is added as it is: the .pth files in there, and with them an editable
    # ecsnet, do not count.
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(own.strip()) / "borrowed.pth").write_text("\n".join(sorted(borrowed)), encoding="utf-8")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(there.python),
        "--disable-pip-version-check",
    ]
    subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", "--no-index", str(artefacts.wheel)], check=True
    )
    return there


@pytest.fixture
def game(tmp_path: Path) -> Path:
    """A user's game, with systems/ and components/ of its own, far away from the repository."""
    folder = tmp_path / "game"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(__file__).parent / "game", folder, ignore=ignored)
    return folder


@pytest.fixture
def fresh_python(tmp_path: Path) -> Callable[..., str]:
    """Runs code in a new interpreter of this environment, in a folder of the caller's choice."""

    def run(code: str, cwd: Path = tmp_path) -> str:
        return subprocess.run(
            [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True
        ).stdout.strip()

    return run
