"""Writes a journal, in a thread of its own that sees only bytes.

The tick puts encoded records in a queue and goes on; it never waits, and what waits has a cap. The
thread wakes a few times a second, writes what is there, brings it to the disk, and marks that it
has. A disk that is full or broken costs records, which are counted, and never the game.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ecsnet.analytics.folder import (
    JournalError,
    Segment,
    State,
    highest_number,
    lock,
    recover,
    rename,
    segments,
    shipped_until,
    sync_folder,
)
from ecsnet.analytics.records import (
    FORMAT,
    Declared,
    Event,
    Head,
    Mark,
    Match,
    Slice,
    decode,
    encode,
)
from ecsnet.analytics.segment import (
    FRAME_LIMIT,
    HEADER,
    Series,
    frame,
    frames,
    new_header,
    seed_of,
)
from ecsnet.wording import file_trouble

__all__ = ["Disk", "Journal", "Limits", "Lost"]

logger = logging.getLogger("ecsnet.analytics")

_ROUND_SECONDS = 0.25
_CLOSE_SECONDS = 5.0
_WRITE_BYTES = 256 * 1024
_CALM_ROUNDS = 20  # a disk that is nearly full takes a little now and then


class Disk(Protocol):
    """What a journal asks of the operating system; tests have disks that fail."""

    def write(self, descriptor: int, data: bytes, /) -> int:
        """As `os.write`."""
        ...

    def fsync(self, descriptor: int, /) -> None:
        """As `os.fsync`."""


class _RealDisk:
    write = staticmethod(os.write)
    fsync = staticmethod(os.fsync)


_REAL_DISK = _RealDisk()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a journal may take.

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
        """The usual limits of a folder of so many bytes.

        What is being written is never deleted, so it has to be a small part of the whole.
        """
        return cls(folder=folder, age=age, segment=min(_USUAL.segment, folder // 8))

    def waiting(self, series: Series) -> int:
        """Bytes of a series that may wait in memory."""
        return self.events if series is Series.EVENTS else self.snapshots


_USUAL = Limits()


@dataclass(slots=True)
class Lost:
    """What was dropped so far: memory or the disk was full.

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
        self._resources.enter_context(lock(folder, patience=0.5))
        try:
            left = recover(folder)
            if left:
                logger.info(
                    "%s: what a server that died has left is whole now, segments: %d", folder, left
                )
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
        self._events = _File(self, Series.EVENTS, server, declared, disk)
        self._snapshots = _File(self, Series.SNAPSHOTS, server, declared, disk)
        self._files = (self._events, self._snapshots)
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    # The tick's end.

    @property
    def lost(self) -> Lost:
        """What was dropped so far."""
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
        for file in self._files:
            try:
                file.write()
                file.sync()
            except OSError as error:
                trouble = file_trouble(error)
        try:
            self._retain()
        except (OSError, JournalError) as error:
            there = self.folder.is_dir()
            trouble = trouble or (f"{error}" if there else "somebody has deleted the folder")
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
        for segment, bytes_ in sorted(kept, key=lambda each: _worth(each[0])):
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
        there = sorted(segments(self.folder), key=_worth)
        for segment in there:
            if segment.state is State.OPEN or _worth(segment)[0] > _CLASSES[series]:
                continue
            self._delete(segment)
            return True
        if series is Series.EVENTS and self._snapshots.seal():
            return self._make_room(series)
        return False

    def _delete(self, segment: Segment) -> None:
        unshipped = segment.state is not State.SHIPPED
        count = _records_in(segment) if unshipped else 0
        try:
            segment.path.unlink()
        except FileNotFoundError:
            return  # a shipper has just renamed it
        if segment.series is Series.EVENTS:
            self._deleted.events += count
        else:
            self._deleted.snapshots += count


_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))

_CLASSES = {Series.SNAPSHOTS: 2, Series.EVENTS: 3}


def _worth(segment: Segment) -> tuple[int, int]:
    """What goes first when space ends: what is shipped, and of that snapshots; the oldest first."""
    shipped = segment.state is State.SHIPPED
    return (_CLASSES[segment.series] - (2 if shipped else 0), segment.number)


def _records_in(segment: Segment) -> int:
    """How many events or slices of a segment are in no database yet."""
    number, offset = shipped_until(segment.path.parent, segment.series)
    if number > segment.number:
        return 0
    try:
        data = segment.path.read_bytes()
    except OSError:
        return 0
    seed = seed_of(data)
    if seed is None:
        return 0
    return sum(
        isinstance(decode(found.payload), Event | Slice)
        for found in frames(data[HEADER:], seed)
        if number < segment.number or found.end > offset
    )


class _File:
    """One series of a journal: its queue, and the segment that is being written.

    Bytes are counted up by whoever puts, and up by whoever is done, so that neither of two threads
    writes what the other one writes.
    """

    def __init__(
        self,
        journal: Journal,
        series: Series,
        server: str,
        components: tuple[Declared, ...],
        disk: Disk,
    ) -> None:
        self.refused = 0
        self._journal = journal
        self._series = series
        self._server = server
        self._components = components
        self._disk = disk
        self._cap = journal._limits.waiting(series)
        self._queue: deque[tuple[int, bytes]] = deque()
        self._came = 0  # bytes
        self._went = 0
        self._unsynced: list[tuple[int, bytes]] = []  # written, and not known to be on the disk
        self._segment: Segment | None = None
        self._descriptor = -1
        self._seed = 0
        self._end = 0  # of what is written
        self._solid = 0  # of what is on the disk
        self._announced: set[int] = set()

    @property
    def waiting(self) -> int:
        """Bytes in memory."""
        return self._came - self._went

    @property
    def queued(self) -> int:
        """Records that are not written yet."""
        return len(self._queue)

    def put(self, match: int, record: bytes, own: bool = True) -> bool:
        """Queue a record, if there is room."""
        size = len(record)
        cap = self._cap if own else self._cap * 3 // 4
        if self._came - self._went + size > cap or size > FRAME_LIMIT:
            self.refused += 1
            return False
        self._queue.append((match, record))
        self._came += size
        return True

    def write(self) -> None:
        """Write what waits.

        Raises:
            OSError: It cannot be written now; it goes on waiting.
        """
        queue = self._queue
        most = _WRITE_BYTES
        while queue:
            if self._segment is None:
                self._begin()
            taken: list[tuple[int, bytes]] = []
            parts: list[bytes] = []
            announced = set(self._announced)
            size = 0
            while queue and size < most:
                match, record = queue.popleft()
                taken.append((match, record))
                if match not in announced:
                    announced.add(match)
                    parts.append(frame(self._journal._matches[match], self._seed))
                parts.append(frame(record, self._seed))
                size += len(record)
            try:
                self._put_down(b"".join(parts))
            except OSError as error:
                queue.extendleft(reversed(taken))
                if error.errno not in _FULL or len(taken) == 1:
                    raise
                most = size // 2  # less of it may fit
                continue
            self._announced = announced
            self._unsynced += taken
            if self._end >= self._journal._limits.segment:
                self.sync()
                self.seal()

    def sync(self) -> None:
        """Bring what is written to the disk, and mark that it is there.

        Raises:
            OSError: The disk failed. The segment is given up; what it was to hold waits again.
        """
        if not self._unsynced:
            return
        try:
            self._disk.fsync(self._descriptor)
        except OSError:
            # Pages that failed once may be taken for written the next time: never trust this
            # file again.
            self._queue.extendleft(reversed(self._unsynced))
            self._unsynced.clear()
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._solid)
            self._let_go()
            raise
        self._went += sum(len(record) for _, record in self._unsynced)
        self._unsynced.clear()
        self._solid = self._end
        with contextlib.suppress(OSError):  # the next mark, or the seal, tells as much
            self._put_down(frame(encode(Mark()), self._seed), insist=False)

    def seal(self) -> bool:
        """End the segment that is being written; its next record begins another one.

        Returns:
            Whether there was one.

        Raises:
            OSError: The disk failed.
        """
        if self._segment is None:
            return False
        self.sync()
        self._let_go()
        return True

    def _begin(self) -> None:
        journal = self._journal
        number = journal._next_number()
        segment = Segment.named(journal.folder, self._series, number, State.OPEN)
        header = new_header()
        self._seed = seed_of(header) or 0
        self._descriptor = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        self._segment, self._end, self._solid = segment, 0, 0
        self._announced.clear()
        head = Head(FORMAT, self._series.value, number, self._server, self._components)
        try:
            self._put_down(header + frame(encode(head), self._seed))
            sync_folder(journal.folder)
        except OSError:
            os.close(self._descriptor)
            self._segment = None
            segment.path.unlink(missing_ok=True)
            raise
        self._solid = self._end

    def _put_down(self, data: bytes, *, insist: bool = True) -> None:
        """Append all of some bytes, or none of them; on a full disk at the cost of older ones."""
        while True:
            try:
                written = self._disk.write(self._descriptor, data)
                if written == len(data):
                    self._end += written
                    return
            except OSError as error:
                failure = error
            else:
                # A short write does not say why.
                failure = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(self._descriptor, self._end)
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            if not insist or failure.errno not in _FULL:
                raise failure
            if not self._journal._make_room(self._series):
                raise failure

    def _let_go(self) -> None:
        segment, self._segment = self._segment, None
        os.close(self._descriptor)
        if segment is not None:
            rename(segment, State.SEALED)
