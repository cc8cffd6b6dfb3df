"""What is installed with ecsnet is what it imports, and what it imports is installed with it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
OURS = ("ecsnet", "systems", "components", "samples")
BESIDE = ("tests", "perf")

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
NEEDED: list[str] = PROJECT["project"]["dependencies"]


def normal(name: str) -> str:
    """A distribution's name, as an index compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def listed(requirements: list[Any]) -> set[str]:
    names = {normal(Requirement(one).name) for one in requirements if isinstance(one, str)}
    return names - {"ecsnet"}


def at_run_time(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports in a module that are carried out, and not only read by type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from at_run_time(other)
        else:
            yield from at_run_time(node)


def imported(folders: tuple[str, ...]) -> dict[str, set[str]]:
    """The third-party distributions imported below some folders, and the files that do it."""
    owners = packages_distributions()
    found: dict[str, set[str]] = {}
    for path in (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))):
        local = {*OURS, *BESIDE, *(other.stem for other in path.parent.iterdir())}
        for node in at_run_time(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""] if not node.level else []
            else:
                names = [alias.name for alias in node.names]
            for top in {name.partition(".")[0] for name in names}:
                if top and top not in local and top not in sys.stdlib_module_names:
                    for owner in owners.get(top, [top]):
                        found.setdefault(normal(owner), set()).add(str(path.relative_to(ROOT)))
    return found


def test_everything_listed_is_imported() -> None:
    used = imported(OURS)
    assert {"esper", "msgspec", "uvloop"} <= listed(NEEDED)
    assert listed(NEEDED) <= used.keys()
    for extra, requirements in EXTRAS.items():
        assert listed(requirements) <= used.keys(), extra


def test_everything_imported_is_listed() -> None:
    used = imported(OURS)
    everything = listed(NEEDED) | {name for each in EXTRAS.values() for name in listed(each)}
    assert {name: files for name, files in used.items() if name not in everything} == {}
    groups = {name for each in PROJECT["dependency-groups"].values() for name in listed(each)}
    beside = imported(BESIDE)
    assert {"pytest", "hypothesis"} <= beside.keys()
    missing = {name: files for name, files in beside.items() if name not in everything | groups}
    assert missing == {}


def test_all_is_every_other_extra() -> None:
    (everything,) = (Requirement(one) for one in EXTRAS["all"])
    assert everything.name == "ecsnet"
    assert everything.extras == EXTRAS.keys() - {"all"}


@pytest.mark.parametrize(
    ("platform", "python", "wanted"),
    [
        ("linux", "CPython", True),
        ("darwin", "CPython", True),
        ("win32", "CPython", False),
        ("emscripten", "CPython", False),
        ("linux", "PyPy", False),
    ],
)
def test_uvloop_only_where_it_exists(platform: str, python: str, wanted: bool) -> None:
    (uvloop,) = (each for each in map(Requirement, NEEDED) if each.name == "uvloop")
    assert uvloop.marker is not None
    machine = {"sys_platform": platform, "platform_python_implementation": python}
    assert uvloop.marker.evaluate(machine) is wanted
