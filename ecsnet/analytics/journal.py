"""The writer of a journal, in a thread of its own that sees only bytes.

The tick puts encoded records in a queue and goes on; it never waits, and what waits has a cap. The
thread wakes a few times a second, writes what is there, brings it to the disk, and marks that it
has. A disk that is full or broken costs records, which are counted, and never the game.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ecsnet.analytics.folder import (
    JournalError,
    Segment,
    State,
    highest_number,
    is_held,
    lock,
    recover,
    segments,
)
from ecsnet.analytics.records import Declared, Match, encode
from ecsnet.analytics.retention import CLASSES, unshipped_records, worth
from ecsnet.analytics.segment import Series
from ecsnet.analytics.writer import FULL, Disk, SeriesWriter
from ecsnet.validation.wording import file_trouble

__all__ = ["Disk", "Journal", "Limits", "Lost"]

logger = logging.getLogger("ecsnet.analytics")

_ROUND_SECONDS = 0.25
_CLOSE_SECONDS = 5.0
_CALM_ROUNDS = 20  # a disk that is nearly full takes a little now and then


class _RealDisk:
    write = staticmethod(os.write)
    fsync = staticmethod(os.fsync)


_REAL_DISK = _RealDisk()


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a journal.

    Attributes:
        folder: Bytes of all segments together.
        age: Seconds after which a segment is deleted; None for never.
        segment: Bytes at which a segment is sealed and the next one begun.
        events: Bytes of events that may wait in memory.
        snapshots: Bytes of slices that may wait in memory.
    """

    folder: int = 1 << 30
    age: float | None = None
    segment: int = 4 << 20
    events: int = 2 << 20
    snapshots: int = 5 << 20

    @classmethod
    def of(cls, folder: int, age: float | None) -> Limits:
        """Return the usual limits of a folder of so many bytes.

        What is being written is never deleted, so it has to be a small part of the whole.
        """
        return cls(folder=folder, age=age, segment=min(_USUAL.segment, folder // 8))

    def waiting(self, series: Series) -> int:
        """Bytes of a series that may wait in memory."""
        return self.events if series is Series.EVENTS else self.snapshots


_USUAL = Limits()


@dataclass(slots=True)
class Lost:
    """Counts of what was dropped so far, because memory or the disk was full.

    Attributes:
        events: How many events.
        snapshots: How many slices of snapshots.
    """

    events: int = 0
    snapshots: int = 0

    @property
    def total(self) -> int:
        """Both."""
        return self.events + self.snapshots


class Journal:
    """The journal of a server, in a folder that it holds alone.

    Args:
        folder: Where; made when it is not there.
        server: Which server this is; for the documents.
        components: The component types of the game.
        limits: How much it may take.
        disk: What writes and syncs.
        clock: Seconds since 1970; for the age of segments.

    Raises:
        FolderInUseError: Another process writes there.
        JournalError: The folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        server: str = "",
        components: Sequence[Declared] = (),
        *,
        limits: Limits = _USUAL,
        disk: Disk = _REAL_DISK,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self._limits = limits
        self._clock = clock
        self._resources = ExitStack()
        # Who ships the folder by hand has the lock for a moment.
        self._lock = self._resources.enter_context(lock(folder, patience=0.5))
        try:
            left = recover(folder)
            if left:
                logger.info("%s: repaired %d segments of a server that died", folder, left)
            self._number = highest_number(folder)
        except OSError as error:
            self._resources.close()
            raise JournalError(
                f"the journal in {folder} cannot be used: {file_trouble(error)}"
            ) from error
        except BaseException:
            self._resources.close()
            raise
        self._matches: list[bytes] = []
        self._deleted = Lost()
        self._trouble: str | None = None
        self._calm = 0  # rounds without
        self._refused = 0  # records, by the last round
        declared = tuple(components)
        self._events, self._snapshots = self._files = [
            SeriesWriter(
                folder,
                series,
                server,
                declared,
                self._matches,
                self._next_number,
                cap=limits.waiting(series),
                segment=limits.segment,
                disk=disk,
            )
            for series in (Series.EVENTS, Series.SNAPSHOTS)
        ]
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    # The tick's end.

    @property
    def lost(self) -> Lost:
        """Counts of what was dropped so far."""
        deleted = self._deleted
        return Lost(
            self._events.refused + deleted.events, self._snapshots.refused + deleted.snapshots
        )

    @property
    def waiting(self) -> int:
        """Bytes that wait in memory."""
        return sum(file.waiting for file in self._files)

    def begin(self, identity: bytes, started: int, room: str, tick_rate: float) -> int:
        """Announce a match; returns the number by which its records name it.

        Args:
            identity: 16 random bytes.
            started: Milliseconds since 1970.
            room: Where it is played; empty without rooms.
            tick_rate: Ticks a second.
        """
        number = len(self._matches)
        self._matches.append(encode(Match(number, identity, started, room, tick_rate)))
        return number

    def put(self, series: Series, match: int, record: bytes, *, own: bool = False) -> bool:
        """Queue an encoded record; never waits.

        Args:
            series: Which of the two.
            match: Its number.
            record: The record.
            own: Whether ecsnet tells it: a game that tells too much does not take all the room.

        Returns:
            Whether there was room; one for which there is none is dropped and counted.
        """
        file = self._events if series is Series.EVENTS else self._snapshots
        return file.put(match, record, own)

    # The thread's end.

    def start(self) -> None:
        """Write from now on, in a thread."""
        self._thread = threading.Thread(target=self._work, name="ecsnet-journal", daemon=True)
        self._thread.start()

    def round(self) -> None:
        """Write what waits, bring it to the disk, and keep within the limits."""
        trouble = None
        refused = sum(file.refused for file in self._files)
        if refused > self._refused:
            trouble, self._refused = "there is more of it than can wait in memory", refused
        try:
            if not is_held(self.folder, self._lock):
                trouble = "somebody has deleted the folder, and what was in it is gone"
                self._make_folder()
            for file in self._files:
                trouble = self._save(file) or trouble
            self._retain()
        except (OSError, JournalError) as error:
            trouble = trouble or _reason(error)
        self._tell(trouble)

    def close(self) -> None:
        """Write what waits, seal the segments and let the folder go; at most about 5 s."""
        if self._thread is not None:
            self._ending.set()
            self._thread.join(_CLOSE_SECONDS)
            if self._thread.is_alive():
                logger.warning(
                    "the disk of %s does not answer: its last records are lost", self.folder
                )
                return  # the thread has it
        else:
            self._finish()

    def _save(self, file: SeriesWriter) -> str | None:
        """Bring what waits in a series to the disk, on a full one at the cost of older segments.

        Returns:
            Why not all of it is there now.
        """
        while True:
            try:
                file.write()
                file.sync()
            except OSError as error:
                if error.errno in FULL:
                    with contextlib.suppress(OSError, JournalError):  # the disk has said why
                        if self._make_room(file.series):
                            continue
                return file_trouble(error)
            return None

    def _make_folder(self) -> None:
        """Hold a folder that somebody has deleted, once more."""
        for file in self._files:
            file.give_up()
        self._resources.close()
        self._lock = self._resources.enter_context(lock(self.folder))

    def _work(self) -> None:
        while not self._ending.wait(_ROUND_SECONDS):
            self.round()
        self._finish()

    def _finish(self) -> None:
        try:
            self.round()
            for file in self._files:
                with contextlib.suppress(OSError):
                    file.seal()
            left = sum(file.queued for file in self._files)
            if left:
                logger.warning(
                    "the journal in %s ends without its last %d records", self.folder, left
                )
        finally:
            self._resources.close()

    def _tell(self, trouble: str | None) -> None:
        """Say what is wrong, and that it is over: when it has been for a while."""
        if trouble is not None:
            self._calm = 0
            if self._trouble is None:
                logger.warning(
                    "the journal in %s cannot be written: %s; the game goes on, and what does not"
                    " fit into memory is dropped and counted",
                    self.folder,
                    trouble,
                )
                self._trouble = trouble
        elif self._trouble is not None:
            self._calm += 1
            if self._calm >= _CALM_ROUNDS:
                logger.info("the journal in %s is written again", self.folder)
                self._trouble = None

    # Segments.

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _retain(self) -> None:
        """Delete what is more, or older, than may be kept."""
        limits = self._limits
        kept: list[tuple[Segment, int]] = []
        size = 0
        oldest = self._clock() - limits.age if limits.age is not None else None
        for segment in segments(self.folder):
            with contextlib.suppress(FileNotFoundError):
                status = segment.path.stat()
                if (
                    oldest is not None
                    and segment.state is not State.OPEN
                    and status.st_mtime < oldest
                ):
                    self._delete(segment)
                    continue
                kept.append((segment, status.st_size))
                size += status.st_size
        for segment, bytes_ in sorted(kept, key=lambda each: worth(each[0])):
            if size <= limits.folder:
                return
            if segment.state is not State.OPEN:
                self._delete(segment)
                size -= bytes_

    def _make_room(self, series: Series) -> bool:
        """Delete the least that a full disk can do without, for records of a series.

        Returns:
            Whether there was anything.
        """
        there = sorted(segments(self.folder), key=worth)
        for segment in there:
            if segment.state is State.OPEN or worth(segment)[0] > CLASSES[series]:
                continue
            self._delete(segment)
            return True
        if series is Series.EVENTS and self._snapshots.seal():
            return self._make_room(series)
        return False

    def _delete(self, segment: Segment) -> None:
        count = unshipped_records(segment)
        try:
            segment.path.unlink()
        except FileNotFoundError:
            return  # a shipper has just renamed it
        if segment.series is Series.EVENTS:
            self._deleted.events += count
        else:
            self._deleted.snapshots += count


def _reason(error: OSError | JournalError) -> str:
    return file_trouble(error) if isinstance(error, OSError) else f"{error}"
