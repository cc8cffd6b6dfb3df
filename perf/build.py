"""The compiled build of ecsnet that servers are measured with, made when it is needed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

from perf.lock import locked
from perf.report import PerfError

ROOT = Path(__file__).parents[1]
SOURCES = ("ecsnet", "systems", "components", "samples", "hatch_build.py", "pyproject.toml")


def compiled() -> Path:
    """Returns a folder with ecsnet as a compiled wheel has it.

    It is built from the working tree, with the hook that makes compiled wheels; once for each state
    of the sources, and kept under ``build/``.

    Raises:
        PerfError: It cannot be built; there is no C compiler, say.
    """
    folder = ROOT / "build" / "compiled" / f"{sysconfig.get_platform()}-{_digest()}"
    with locked(folder.parent.with_suffix(".lock")):
        if not folder.exists():
            _build(folder)
    return folder


@contextlib.contextmanager
def first_on_path(folder: Path | None) -> Iterator[None]:
    """Lets child processes that are started inside import what is in a folder before all else."""
    if folder is None:
        yield
        return
    sys.path.insert(0, str(folder))  # a spawned process starts with its parent's path
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _build(folder: Path) -> None:
    print("compiling ecsnet, about half a minute (once for each state of it) ...", file=sys.stderr)
    shutil.rmtree(folder.parent, ignore_errors=True)
    wheels = folder.parent / "wheel"
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels)]
    made = subprocess.run(
        [*command, str(ROOT)],
        env={**os.environ, "ECSNET_COMPILE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise PerfError(
            "ecsnet could not be compiled; a C compiler and the dev dependencies are needed, or"
            f" --interpreted measures without:\n{made.stdout[-2000:]}{made.stderr[-2000:]}"
        )
    (wheel,) = wheels.glob("*.whl")
    unpacked = folder.with_name("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    unpacked.rename(folder)


def _digest() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name in SOURCES:
        path = ROOT / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            digest.update(f"{file.relative_to(ROOT)}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
