"""What is in the wheel and in the sdist, and under which names."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LINKED = ("systems", "components", "samples")


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        found = archive.namelist()
    assert len(found) == len(set(found))
    return {name for name in found if ".dist-info/" not in name}


def in_tree(folder: Path, prefix: str) -> set[str]:
    """The files below a folder, links followed in its first level, under a prefix."""
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}"
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_ecsnet_and_nothing_else(artefacts: Any, root: Path) -> None:
    expected = {
        name
        for name in in_tree(root / "ecsnet", "ecsnet")
        if PurePosixPath(name).parts[1] not in LINKED
    }
    for folder in LINKED:
        expected |= in_tree(root / folder, f"ecsnet/{folder}")
    assert names(artefacts.wheel) == expected
    assert {f"ecsnet/{folder}/__init__.py" for folder in LINKED} | {"ecsnet/py.typed"} <= expected
    assert {PurePosixPath(name).parts[0] for name in expected} == {"ecsnet"}


def test_the_working_tree_gives_the_same_wheel(artefacts: Any) -> None:
    with zipfile.ZipFile(artefacts.wheel) as one, zipfile.ZipFile(artefacts.direct) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())
        for name in one.namelist():
            assert one.read(name) == other.read(name), name


def test_sdist_holds_every_folder_once_and_no_link(artefacts: Any, root: Path) -> None:
    with tarfile.open(artefacts.sdist) as archive:
        members = archive.getmembers()
    assert not [m.name for m in members if m.issym() or m.islnk()]
    inside = {PurePosixPath(*PurePosixPath(m.name).parts[1:]) for m in members if m.isfile()}
    assert not [path for path in inside if path.parts[0] == ".dev"]
    assert not [path for path in inside if path.parts[0] == "ecsnet" and path.parts[1] in LINKED]
    for folder in LINKED:
        assert in_tree(root / folder, folder) <= {str(path) for path in inside}
    tops = {path.parts[0] for path in inside}
    assert {"tests", "LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"} <= tops


def test_metadata(artefacts: Any) -> None:
    with zipfile.ZipFile(artefacts.wheel) as archive:
        (info,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = archive.read(f"{info}/METADATA").decode()
        scripts = archive.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert "Name: ecsnet\n" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    provided = {line for line in metadata.splitlines() if line.startswith("Provides-Extra: ")}
    assert provided == {f"Provides-Extra: {extra}" for extra in ("pygame", "analytics", "all")}
    assert "ecsnet = ecsnet.__main__:run" in scripts
