"""The import of modules that the command line names; the current folder is importable."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

from ecsnet.errors import EcsnetError, UsageError
from ecsnet.validation.wording import brief

__all__ = ["attribute_of", "check_started", "import_path", "load"]

_GUARD = 'put what runs the game under if __name__ == "__main__":'
_ECSNET = os.path.dirname(__file__) + os.sep

_loading: str | None = None  # the module that `load` imports just now


def attribute_of(module: ModuleType, name: str) -> object:
    """Return an attribute of a module, by a name with or without dots; None when there is none."""
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def load(name: str, folder: str | None = None) -> ModuleType:
    """Import a module by its name, or by its file's.

    Args:
        name: Of the module, or the path of its file.
        folder: What has to be importable for that: the file's folder, else the current one, when
            left out.

    Raises:
        UsageError: There is none of that name, or it cannot be imported.
    """
    path: Path | None = None
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"there is no file {name}")
        folder, name = folder or str(path.absolute().parent), path.stem
        if "." in name:
            raise UsageError(f"{path} cannot be imported: leave the dots out of its name")
    folder = folder or os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    global _loading
    outer, _loading = _loading, name
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"there is no module {error.name!r} in {folder} or installed"
            ) from error
        raise UsageError(f"{name} cannot be imported: {error}{_line_of(error, folder)}") from error
    except (ImportError, SyntaxError, TypeError, ValueError, EcsnetError) as error:
        raise UsageError(f"{name} cannot be imported: {error}{_line_of(error, folder)}") from error
    except SystemExit as error:
        raise UsageError(
            f"{name} cannot be imported: it ends the program, sys.exit({brief(error.code)})"
            f"{_line_of(error, folder)}: {_GUARD}"
        ) from error
    finally:
        _loading = outer
    if path is not None and not path.samefile(getattr(module, "__file__", None) or os.devnull):
        raise UsageError(f"{path} has the name of another module, which hides it: rename it")
    return module


def check_started(what: str) -> None:
    """Refuse to run a game that is only imported, to find something in it.

    Args:
        what: What was called, such as ``play()``.

    Raises:
        UsageError: `load` is importing.
    """
    if _loading is not None:
        raise UsageError(f"{what} while {_loading} is only imported: {_GUARD}")


def _line_of(error: BaseException, folder: str) -> str:
    """Return the line of a folder's code at which an import went wrong, as `` (game.py:3)``."""
    if isinstance(error, SyntaxError):
        return ""
    inside = os.path.join(folder, "")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(inside) and not frame.filename.startswith(_ECSNET)
    ]
    return f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""


def import_path() -> str:
    """Return a ``PYTHONPATH`` for child processes: the same packages as here, by any means."""
    return os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
