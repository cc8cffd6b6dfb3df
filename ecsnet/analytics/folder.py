"""The folder of a journal: the names of its files, who may write, what a dead writer left behind.

``events-00000012.open`` is being written, ``.sealed`` is whole, and ``.shipped`` is in a database
as well. Numbers count up over both series and over all runs of the server.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

from ecsnet.analytics.segment import HEADER, SEGMENT_LIMIT, Series, frames, seed_of
from ecsnet.errors import UsageError
from ecsnet.validation.wording import file_trouble

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = [
    "FolderInUseError",
    "JournalError",
    "Segment",
    "State",
    "UnreadableError",
    "highest_number",
    "is_held",
    "lock",
    "mark_shipped",
    "recover",
    "rename",
    "saved_places",
    "segments",
    "shipped_until",
    "sync_folder",
]

_NAME = re.compile(r"(events|snapshots)-(\d{8,12})\.(open|sealed|shipped)")


class JournalError(UsageError):
    """A folder holds no journal, or cannot be used as one."""


class UnreadableError(JournalError):
    """A journal cannot be read now: it is not there, or the disk does not give it."""


class FolderInUseError(JournalError):
    """Another process writes into the folder."""


class State(StrEnum):
    """The state of a segment, which is the ending of its name."""

    OPEN = "open"
    SEALED = "sealed"
    SHIPPED = "shipped"


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of a journal.

    Attributes:
        path: Where it is.
        series: What it holds.
        number: Its number; later ones are higher.
        state: What became of it so far.
    """

    path: Path
    series: Series
    number: int
    state: State

    @classmethod
    def named(cls, folder: Path, series: Series, number: int, state: State) -> Segment:
        """Return the segment of that name."""
        return cls(folder / f"{series}-{number:08d}.{state}", series, number, state)


def segments(folder: Path, series: Series | None = None) -> list[Segment]:
    """Return the segments in a folder, by number; of both series where none is given.

    Raises:
        JournalError: There is no such folder, or it cannot be read.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError as error:
        raise UnreadableError(
            f"there is no folder {folder}: a server makes one with --analytics DIR or"
            " net.ServerWorld(analytics=DIR)"
        ) from error
    except NotADirectoryError as error:
        raise JournalError(f"{folder} is a file: a journal is a folder") from error
    except OSError as error:
        raise UnreadableError(
            f"the journal in {folder} cannot be read: {file_trouble(error)}"
        ) from error
    found: dict[tuple[str, int], Segment] = {}
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None or (series is not None and match[1] != series):
            continue
        number, state = int(match[2]), State(match[3])
        one = Segment(folder / name, Series(match[1]), number, state)
        found[match[1], number] = one
    return sorted(found.values(), key=lambda segment: segment.number)


def highest_number(folder: Path) -> int:
    """Return the highest number that was ever given in a folder, as far as it shows."""
    given = [segment.number for segment in segments(folder)]
    return max([*given, *(shipped_until(folder, series)[0] for series in Series)])


def shipped_until(folder: Path, series: Series) -> tuple[int, int]:
    """Return how far the furthest shipper has come: a segment's number, and an offset in it."""
    furthest = (0, 0)
    for path in folder.glob("position-*.json"):
        with contextlib.suppress(FileNotFoundError):
            furthest = max(furthest, (saved_places(path) or {}).get(series, furthest))
    return furthest


_Count = Annotated[int, msgspec.Meta(ge=0, lt=10**11)]  # a name has room for ten times as many


class _Saved(msgspec.Struct):
    events: tuple[_Count, _Count]
    snapshots: tuple[_Count, _Count]


def saved_places(path: Path) -> dict[Series, tuple[int, int]] | None:
    """Read how far a shipper has come, as it saved it: a segment's number, and an offset in it.

    Returns:
        By series; None where the file says nothing that can be.

    Raises:
        FileNotFoundError: There is no such file.
    """
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=_Saved)
    except FileNotFoundError:
        raise
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None
    return {Series.EVENTS: saved.events, Series.SNAPSHOTS: saved.snapshots}


@contextlib.contextmanager
def lock(folder: Path, patience: float = 0.0) -> Iterator[BinaryIO]:
    """Be the only writer of a folder while inside.

    Args:
        folder: Of the journal; made when it is not there.
        patience: Seconds to wait for another one, which may be about to end.

    Yields:
        The file that is locked, for `is_held`.

    Raises:
        FolderInUseError: Another process is.
        JournalError: The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("ab")
    except FileExistsError as error:
        raise JournalError(
            f"the journal cannot be written to {folder}, which is a file: name a folder"
        ) from error
    except OSError as error:
        raise JournalError(
            f"the journal cannot be written to {folder}: {file_trouble(error)}"
        ) from error
    with file:
        give_up = time.monotonic() + patience
        while not _try_lock(file):
            if time.monotonic() >= give_up:
                raise FolderInUseError(
                    f"another server writes its journal to {folder}: give each a folder of its own"
                )
            time.sleep(0.02)
        yield file


def is_held(folder: Path, file: BinaryIO) -> bool:
    """Tell whether a file that `lock` gave still locks the folder: it may have been deleted."""
    try:
        return os.path.samestat((folder / "lock").stat(), os.fstat(file.fileno()))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # or it is closed
        return False


def recover(folder: Path) -> int:
    """Seal what a writer that died left open; for the holder of the `lock`.

    A torn frame at the end is cut off, unless a whole one follows; and all is brought to the disk.

    Returns:
        How many segments were left open.
    """
    left = [segment for segment in segments(folder) if segment.state is State.OPEN]
    for segment in left:
        with segment.path.open("r+b") as file:
            data = file.read(SEGMENT_LIMIT)
            seed = seed_of(data)
            end = HEADER
            if seed is not None:
                for found in frames(data[HEADER:], seed):
                    end = found.end
                if len(data) < SEGMENT_LIMIT:
                    file.truncate(end)
            os.fsync(file.fileno())
        if seed is None and len(data) < HEADER:
            segment.path.unlink()  # it died while it began this one
        else:
            rename(segment, State.SEALED)
    if left:
        sync_folder(folder)
    return len(left)


def mark_shipped(segment: Segment) -> None:
    """Note that all of a sealed segment is in a database; nothing happens when it is gone."""
    with contextlib.suppress(FileNotFoundError):
        rename(segment, State.SHIPPED)


def rename(segment: Segment, state: State) -> Segment:
    """Give a segment another state."""
    renamed = Segment.named(segment.path.parent, segment.series, segment.number, state)
    segment.path.rename(renamed.path)
    return renamed


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder's files to the disk, where the system can."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(file: BinaryIO) -> bool:
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
