"""The writer of one series of a journal: a queue of records, and the segment that takes them.

Nothing is half written: what a disk takes only in part is cut off again and waits, and what a
failed sync may have lost is written once more, to another file.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ecsnet.analytics.folder import Segment, State, rename, sync_folder
from ecsnet.analytics.records import FORMAT, Declared, Head, Mark, encode
from ecsnet.analytics.segment import FRAME_LIMIT, Series, frame, new_header, seed_of

__all__ = ["FULL", "REPEAT_BYTES", "REPEAT_SHARE", "Disk", "SeriesWriter"]

FULL: Final = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
"""The error numbers of a full disk."""

REPEAT_BYTES: Final = 64 * 1024
"""Bytes after which a segment says its head and its matches again: so much can hang on one bit."""

REPEAT_SHARE: Final = 8
"""The number of times its own size after which a long head is repeated."""

_WRITE_BYTES: Final = 256 * 1024


class Disk(Protocol):
    """The calls of a journal to the operating system; tests have disks that fail."""

    def write(self, descriptor: int, data: bytes, /) -> int:
        """Write as `os.write` does."""
        ...

    def fsync(self, descriptor: int, /) -> None:
        """Sync as `os.fsync` does."""


@dataclass(slots=True)
class _Batch:
    """Records on their way into a segment, and what the segment will have said with them."""

    taken: list[tuple[int, bytes]]
    frames: list[bytes]
    repeated: int  # where the head stands that was said last
    announced: set[int]  # matches, behind that head


class SeriesWriter:
    """One series of a journal: its queue, and the segment that is being written.

    Bytes are counted up by whoever puts, and up by whoever is done, so that neither of two threads
    writes what the other one writes.

    Args:
        folder: Of the journal.
        series: Which of the two.
        server: Which server writes.
        components: The component types of the game.
        matches: Encoded `Match` records, by their numbers; it grows.
        next_number: Gives a new segment its number.
        cap: Bytes that may wait in memory.
        segment: Bytes at which a segment is sealed and the next one begun.
        disk: What writes and syncs.

    Attributes:
        series: Which of the two.
        refused: Records for which memory had no room.
    """

    def __init__(
        self,
        folder: Path,
        series: Series,
        server: str,
        components: tuple[Declared, ...],
        matches: Sequence[bytes],
        next_number: Callable[[], int],
        *,
        cap: int,
        segment: int,
        disk: Disk,
    ) -> None:
        self.series = series
        self.refused = 0
        self._folder = folder
        self._server = server
        self._components = components
        self._matches = matches
        self._next_number = next_number
        self._cap = cap
        self._segment_bytes = segment
        self._disk = disk
        self._queue: deque[tuple[int, bytes]] = deque()
        self._came = 0  # bytes
        self._went = 0
        self._unsynced: list[tuple[int, bytes]] = []  # written, and not known to be on the disk
        self._segment: Segment | None = None
        self._closed: list[Segment] = []  # that could not be renamed yet
        self._descriptor = -1
        self._seed = 0
        self._head = b""
        self._end = 0  # of what is written
        self._solid = 0  # of what is on the disk
        self._records = 0  # that are on the disk
        self._repeated = 0
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
        most = len(self._queue)
        while self._queue:
            if self._segment is None:
                self._begin()
            batch = self._batch(most)
            try:
                self._append(b"".join(batch.frames))
            except OSError as error:
                self._queue.extendleft(reversed(batch.taken))
                if error.errno not in FULL or len(batch.taken) == 1:
                    raise
                most = len(batch.taken) // 2  # fewer of them may fit
                continue
            self._repeated, self._announced = batch.repeated, batch.announced
            self._unsynced += batch.taken
            if self._end >= self._segment_bytes:
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
            self.give_up()
            raise
        self._went += sum(len(record) for _, record in self._unsynced)
        self._records += len(self._unsynced)
        self._unsynced.clear()
        self._solid = self._end
        with contextlib.suppress(OSError):  # the next mark, or the seal, tells as much
            self._append(frame(encode(Mark(self._records)), self._seed))

    def seal(self) -> bool:
        """End the segment that is being written; its next record begins another one.

        Returns:
            Whether there was one.

        Raises:
            OSError: The disk failed.
        """
        there = self._segment is not None
        self.sync()
        self._close()
        self._seal_closed()
        return there

    def give_up(self) -> None:
        """End the segment with what is known to be on the disk; the rest waits again."""
        self._queue.extendleft(reversed(self._unsynced))
        self._unsynced.clear()
        if self._segment is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._solid)
        if not self._records:
            self._discard()
            return
        self._close()
        with contextlib.suppress(OSError):
            self._seal_closed()

    def _begin(self) -> None:
        self._seal_closed()  # the open one is always the last one
        number = self._next_number()
        segment = Segment.named(self._folder, self.series, number, State.OPEN)
        header = new_header()
        self._seed = seed_of(header) or 0
        self._head = encode(Head(FORMAT, self.series.value, number, self._server, self._components))
        self._descriptor = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        self._segment = segment
        self._end = self._solid = self._records = 0
        self._repeated = len(header)
        self._announced = set()
        try:
            self._append(header + frame(self._head, self._seed))
            sync_folder(self._folder)
        except OSError:
            self._discard()
            raise
        self._solid = self._end

    def _batch(self, most: int) -> _Batch:
        """Take records from the queue: so many at most, and not much more than is written at once.

        The head and the matches are said again now and then, so that a bit that changes in them
        does not cost all that follows.
        """
        batch = _Batch([], [], self._repeated, self._announced.copy())
        queue, seed, announced = self._queue, self._seed, batch.announced
        every = max(REPEAT_BYTES, REPEAT_SHARE * len(self._head))
        end, last = self._end, self._end + _WRITE_BYTES
        while queue and len(batch.taken) < most and end < last:
            match, record = one = queue.popleft()
            batch.taken.append(one)
            far = end + len(record) > batch.repeated + every
            if far or match not in announced:
                end += self._introduce(batch, match, end if far and announced else None)
            made = frame(record, seed)
            batch.frames.append(made)
            end += len(made)
        return batch

    def _introduce(self, batch: _Batch, match: int, head_at: int | None) -> int:
        """Say the head again, if it is to stand somewhere, and a match that is not announced.

        Returns:
            How many bytes that takes.
        """
        said: list[bytes] = []
        if head_at is not None:
            batch.repeated = head_at
            batch.announced.clear()
            said.append(self._head)
        if match not in batch.announced:
            batch.announced.add(match)
            said.append(self._matches[match])
        made = b"".join(frame(payload, self._seed) for payload in said)
        batch.frames.append(made)
        return len(made)

    def _append(self, data: bytes) -> None:
        """Append all of some bytes, or none of them."""
        try:
            written = self._disk.write(self._descriptor, data)
            if written < len(data):  # which does not say why
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            # Where nothing can be cut off, what comes next is written over it.
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end += written

    def _close(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            self._closed.append(segment)
            with contextlib.suppress(OSError):  # what counts was synced
                os.close(self._descriptor)

    def _seal_closed(self) -> None:
        while self._closed:
            with contextlib.suppress(FileNotFoundError):  # somebody has deleted it
                rename(self._closed[0], State.SEALED)
            del self._closed[0]

    def _discard(self) -> None:
        """Delete the segment that is being written, in which nothing is."""
        segment, self._segment = self._segment, None
        if segment is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            with contextlib.suppress(OSError):
                segment.path.unlink()
