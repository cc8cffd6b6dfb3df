"""Imports point down: a package knows those below it, and nobody above or beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LEVELS = """
    ecsnet.__main__
    ecsnet.cli
    ecsnet.demo
    ecsnet.cli.games
    ecsnet.samples
    ecsnet
    ecsnet.play ecsnet.testing ecsnet.calls
    ecsnet.server ecsnet.client
    ecsnet.systems ecsnet.prediction
    ecsnet.analytics ecsnet.replication.server ecsnet.replication.client
    ecsnet.simulation ecsnet.replication ecsnet.messages ecsnet.components ecsnet.peers
    ecsnet.commands ecsnet.peer ecsnet.runtime ecsnet.notifications
    ecsnet.connection
    ecsnet.session ecsnet.transport ecsnet.analytics_options
    ecsnet.schema
    ecsnet.world
    ecsnet.validation
    ecsnet.errors ecsnet.limits
"""
"""From the top down. What is on one line knows nothing of each other."""

LEVEL = {
    package: level
    for level, line in enumerate(LEVELS.strip().splitlines())
    for package in line.split()
}
FOLDERS = {
    "ecsnet": ROOT / "ecsnet",
    "ecsnet.systems": ROOT / "systems",
    "ecsnet.components": ROOT / "components",
    "ecsnet.samples": ROOT / "samples",
}


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of ecsnet with its file, through the three folders with another name once."""
    for package, folder in FOLDERS.items():
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            if package != "ecsnet" or not any(name.startswith(f"{each}.") for each in linked()):
                yield name, file


def linked() -> list[str]:
    return [package for package in FOLDERS if package != "ecsnet"]


def package_of(module: str) -> str:
    """The package of the list that a module belongs to; that of ``ecsnet`` is its file alone."""
    parts = module.split(".")
    for length in range(len(parts), 1, -1):
        package = ".".join(parts[:length])
        if package in LEVEL:
            return package
    assert module == "ecsnet", f"{module} has no place in the list"
    return module


def imports(file: Path, module: str) -> Iterator[str]:
    """The modules of ecsnet that a module imports, also in functions and for types."""
    is_package = file.name == "__init__.py"
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")[: len(module.split(".")) - node.level + is_package]
                base = ".".join(filter(None, (*parts, base)))
            # A name may be a module of its own.
            found = [f"{base}.{alias.name}" for alias in node.names]
            found = [name if name in MODULES else base for name in found]
        else:
            continue
        yield from (name for name in found if name.split(".")[0] == "ecsnet")


MODULES = dict(modules())


@pytest.mark.parametrize("package", LEVEL)
def test_imports_point_down(package: str) -> None:
    own = [module for module in MODULES if package_of(module) == package]
    assert own
    up = [
        f"{module} imports {target}"
        for module in own
        for target in imports(MODULES[module], module)
        if package_of(target) != package and LEVEL[package_of(target)] <= LEVEL[package]
    ]
    assert up == []


def test_every_module_has_a_place_and_most_are_imported() -> None:
    assert len(MODULES) > 120
    arrows = {
        (package_of(module), package_of(target))
        for module, file in MODULES.items()
        for target in imports(file, module)
    }
    assert ("ecsnet.server", "ecsnet.simulation") in arrows
    assert ("ecsnet.server", "ecsnet.analytics") in arrows  # within a function
    assert ("ecsnet.systems", "ecsnet.replication.server") in arrows
    assert len(arrows) > 80


def test_the_documents_list_the_same_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    listed = text[text.index("Imports point down this list") :].split("```")[1]
    shown = [part.split() for part in listed.replace(",", " ").split(">")]
    assert shown == [
        [package.removeprefix("ecsnet.") for package in line.split()]
        for line in LEVELS.strip().splitlines()
    ]


def test_an_arrow_up_is_found(tmp_path: Path) -> None:
    file = tmp_path / "made.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from ecsnet.server.room import Room\n"
        "def late():\n"
        "    import ecsnet.cli.main\n"
        "from . import codec\n"
        "from ..play import play\n"
    )
    found = list(imports(file, "ecsnet.session.made"))
    assert sorted(found) == [
        "ecsnet.cli.main",
        "ecsnet.play",
        "ecsnet.server.room",
        "ecsnet.session",
    ]
    assert [package_of(name) for name in sorted(found)][:2] == ["ecsnet.cli", "ecsnet.play"]
