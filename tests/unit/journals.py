"""A journal on a disk that fails when it is told to, and what it then holds."""

from __future__ import annotations

import errno
import os
from itertools import count
from pathlib import Path

from ecsnet.analytics.folder import State, segments
from ecsnet.analytics.journal import Journal, Limits
from ecsnet.analytics.reader import Damage, documents
from ecsnet.analytics.records import Event, Slice, encode
from ecsnet.analytics.segment import Series

EVENTS, SNAPSHOTS = Series.EVENTS, Series.SNAPSHOTS


class Disk:
    """Takes so many bytes, and fails to write or to sync when it is told to."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.broken = False
        self.refuses: int | None = None  # the number of the error that writes end with
        self.syncs = 0
        self.writes = 0

    def write(self, descriptor: int, data: bytes) -> int:
        self.writes += 1
        assert self.writes < 10_000, "it spins"
        if self.refuses is not None:
            raise OSError(self.refuses, os.strerror(self.refuses))
        used = sum(path.stat().st_size for path in self.folder.iterdir())
        left = self.room - used
        if left <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(descriptor, data[:left])

    def fsync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")
        os.fsync(descriptor)

    folder: Path


class Writer:
    """A journal and what is put into it."""

    def __init__(
        self, folder: Path, disk: Disk | None = None, *, total: int = 1 << 30, **limits: int
    ) -> None:
        self.disk = disk or Disk()
        self.disk.folder = folder
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.journal = Journal(folder, "srv", limits=Limits(total, **limits), disk=self.disk)
        self.match = self.journal.begin(os.urandom(16), 1_700_000_000_000, "", 60.0)
        self.numbers = {series: count(1) for series in Series}

    def put(self, series: Series, times: int = 1, size: int = 0) -> None:
        for _ in range(times):
            number = next(self.numbers[series])
            record: Event | Slice
            if series is EVENTS:
                data: dict[str, object] = {"n": number, "text": "x" * size}
                record = Event(self.match, number, number, 0, "t", None, None, False, data)
            else:
                record = Slice(self.match, number, number, number, 0, [number] * (1 + size), [], [])
            self.journal.put(series, self.match, encode(record))


def ticks(folder: Path, series: Series = EVENTS, damage: Damage | None = None) -> list[object]:
    return [document["tick"] for document in documents(folder, series, damage=damage)]


def states(folder: Path) -> list[tuple[Series, State]]:
    return [(segment.series, segment.state) for segment in segments(folder)]
