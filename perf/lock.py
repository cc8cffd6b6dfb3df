"""A lock between processes, for what only one of them is to make."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lets one process in at a time; it ends with the process, too, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if sys.platform != "win32":  # there, two may make the same
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
