"""Documents as a journal gives them, and a journal."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ecsnet.analytics.journal import Journal, Limits
from ecsnet.analytics.records import Event, Slice, encode
from ecsnet.analytics.segment import Series
from ecsnet.analytics.values import Document

MATCH = "0123456789abcdef0123456789abcdef"
STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(seq: int, type: str = "scored", **data: object) -> Document:
    """An event of the game's."""
    return {
        "_id": f"{MATCH}-{seq:08d}",
        "match": MATCH,
        "started": STARTED,
        "server": "test",
        "room": "",
        "tick": seq,
        "time": STARTED + timedelta(milliseconds=16 * seq),
        "type": type,
        "player": 1,
        "entity": None,
        "data": data,  # type: ignore[dict-item]
    }


def events(count: int, first: int = 1) -> list[Document]:
    return [event(seq) for seq in range(first, first + count)]


class Game:
    """A server's end of a journal: counts up, one event and one snapshot a tick."""

    def __init__(self, folder: Path, *, segment: int = 4 << 20) -> None:
        self.journal = Journal(folder, "test", limits=Limits(segment=segment))
        self.id = os.urandom(16)
        self._match = self.journal.begin(self.id, 1_772_000_000_000, "", 60.0)
        self.ticks = 0

    def play(self, ticks: int) -> None:
        """Put ticks where the journal writes from."""
        for tick in range(self.ticks + 1, self.ticks + ticks + 1):
            time = 1_772_000_000_000 + 16 * tick
            happened = Event(self._match, tick, tick, time, "scored", 1, 2, False, {"by": "Ann"})
            slice_ = Slice(self._match, tick, tick, tick, time, [tick], [None], [])
            self.journal.put(Series.EVENTS, self._match, encode(happened))
            self.journal.put(Series.SNAPSHOTS, self._match, encode(slice_))
        self.ticks += ticks

    def sync(self) -> None:
        """Bring it to the disk, where no thread does."""
        self.journal.round()

    def close(self) -> None:
        self.journal.close()
