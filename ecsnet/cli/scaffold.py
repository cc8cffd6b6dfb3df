"""`ecsnet new`: writes a game that runs at once and tests itself.

What it writes stands in the folder ``template``, each file with ``.txt`` behind its name, as it is
no part of ecsnet.
"""

from __future__ import annotations

import importlib.util
import keyword
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template

from ecsnet.errors import UsageError
from ecsnet.validation.wording import file_trouble

__all__ = ["check_name", "new_game"]

_TEMPLATE = Path(__file__).with_name("template")
_ENDING = ".txt"


def new_game(path: Path) -> list[Path]:
    """Write a game into a folder of its own, which is made.

    Args:
        path: The folder. Its name is the game's.

    Returns:
        The files that were written.

    Raises:
        UsageError: The name will not do, something is there already, or the folder cannot be
            made. Nothing is left behind then.
    """
    check_name(path.name)
    title = path.name.replace("_", " ").title()
    try:
        path.mkdir()
    except FileExistsError:
        raise UsageError(f"{path} is there already: choose another name, or move it away") from None
    except OSError as error:
        raise UsageError(f"cannot make {path}: {file_trouble(error)}") from error
    written = []
    try:
        for part, text in _files():
            file = path / part
            file.parent.mkdir(exist_ok=True)
            file.write_text(Template(text).substitute(title=title), encoding="utf-8")
            written.append(file)
    except BaseException as error:
        shutil.rmtree(path, ignore_errors=True)  # all of it is ours
        if isinstance(error, OSError):
            raise UsageError(f"cannot write {path}: {file_trouble(error)}") from error
        raise
    return written


def check_name(name: str) -> None:
    """Refuse a name that a game's folder cannot have.

    A folder can be imported by its name, so that is a name of Python's, and hides no module.

    Raises:
        UsageError: It will not do.
    """
    if not (name.isidentifier() and name.isascii() and name[0].isalpha()):
        raise UsageError(
            f"{name!r:.60} cannot be a game's name: use letters, digits and _, a letter first"
        )
    if keyword.iskeyword(name):
        raise UsageError(f"{name!r} is a word of Python's: choose another name")
    if name in {part.parts[0].partition(".")[0] for part, _ in _files()}:
        raise UsageError(f"{name!r} is the name of a part of the game: choose another name")
    if name in sys.stdlib_module_names or _is_installed(name):
        raise UsageError(f"a module is called {name!r}, and the game would hide it: choose another")


def _is_installed(name: str) -> bool:
    """Return whether a module of that name exists, other than in the current folder."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        return False
    place = Path(found.origin).absolute()
    if found.submodule_search_locations is not None:
        place = place.parent  # a package is its folder
    return place.parent != Path.cwd()


def _files() -> Iterator[tuple[Path, str]]:
    """Yield the files to write: path, and the text with its ``$title``."""
    for file in sorted(_TEMPLATE.rglob(f"*{_ENDING}")):
        part = file.relative_to(_TEMPLATE)
        yield part.with_name(part.name.removesuffix(_ENDING)), file.read_text(encoding="utf-8")
