"""The interpreter for child processes: this Python, where there is one, with its packages."""

from __future__ import annotations

import contextlib
import os
import site
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution

from ecsnet.errors import UsageError

__all__ = ["installed_path", "interpreter"]

_NAMES = ("python", "pypy", "graalpy")


def interpreter(what: str, instead: str) -> str:
    """Find the Python that runs this program, to start another one with.

    Args:
        what: What is to be started.
        instead: What to do where there is none.

    Raises:
        UsageError: There is none: the program is frozen (PyInstaller, Nuitka and others), or has a
            Python inside. To start it would be to start the game once more.
    """
    program = sys.executable or ""
    names = (os.path.basename(path).lower() for path in (program, os.path.realpath(program)))
    frozen = getattr(sys, "frozen", False) or hasattr(sys.modules.get("__main__"), "__compiled__")
    if frozen or not any(name.startswith(_NAMES) for name in names):
        raise UsageError(
            f"{what} needs a Python of its own, and {program or 'this program'} is none, but has"
            f" one inside: {instead}"
        )
    return program


def installed_path(*names: str) -> list[str]:
    """Find the folders in which packages are installed.

    What else is on ``sys.path``, such as the folder of a game and its modules, is not among them.

    Args:
        names: Of distributions that are to be found there; those that are missing are left out.
    """
    folders: list[str] = []
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            folders.append(str(distribution(name).locate_file("")))
    folders += _site_folders()
    return list(dict.fromkeys(map(os.path.abspath, folders)))


def _site_folders() -> Iterable[str]:
    yield from site.getsitepackages()
    if site.ENABLE_USER_SITE:
        yield site.getusersitepackages()
