"""Reads a journal, while it is written or afterwards, whatever became of its bytes.

`documents` reads everything that is there, for reports. A `Cursor` follows one series for a
shipper: only what has reached the disk, from a place that can be saved. Both skip and count what is
damaged.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ecsnet.analytics.documents import Origin, documents_of, size_of
from ecsnet.analytics.folder import JournalError, Segment, State, UnreadableError, segments
from ecsnet.analytics.records import FORMAT, Event, Head, Mark, Match, Slice, decode
from ecsnet.analytics.segment import HEADER, SEGMENT_LIMIT, Series, frames, seed_of
from ecsnet.analytics.values import Document
from ecsnet.wording import file_trouble

__all__ = ["Cursor", "Damage", "Entry", "Place", "Series", "documents"]


# How records begin that say nothing about those behind them: the tags of events and slices.
_DONE_WITH = (b"\x02", b"\x03")


@dataclass(slots=True)
class Damage:
    """What could not be read.

    Attributes:
        segments: Files with damage in them.
        bytes: Bytes that were skipped.
    """

    segments: int = 0
    bytes: int = 0

    def add(self, skipped: int) -> None:
        """Count the damage of one segment, if there is any."""
        if skipped:
            self.segments += 1
            self.bytes += skipped

    def __bool__(self) -> bool:
        return self.segments > 0

    def __str__(self) -> str:
        many = "1 segment is" if self.segments == 1 else f"{self.segments:,} segments are"
        skipped = "1 byte was" if self.bytes == 1 else f"{self.bytes:,} bytes were"
        return f"{many} damaged, {skipped} skipped"


class Place(NamedTuple):
    """A place in a series, between two frames.

    Attributes:
        number: Of the segment; 0 before the first.
        offset: Bytes from its beginning.
    """

    number: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A document, and where it stood.

    Attributes:
        document: The document.
        size: Its bytes, about.
        after: Where to go on once it is done. Documents of one frame are done together: all but
            the last of them name the beginning of the frame.
    """

    document: Document
    size: int
    after: Place


def documents(
    folder: Path,
    series: Series,
    *,
    match: str | None = None,
    damage: Damage | None = None,
) -> Iterator[Document]:
    """All documents of a series, in the order in which they were written.

    Args:
        folder: Of the journal.
        series: Which of the two.
        match: Id of the match; all matches when left out.
        damage: Where to count what could not be read.

    Raises:
        JournalError: There is no journal there, it cannot be read, or another version of ecsnet
            wrote it.
    """
    damage = Damage() if damage is None else damage
    known = _Known()
    for segment in segments(folder, series):
        read = _Read(segment, known, 0)
        for found in read:
            wanted = match is None or found.origin.match.id.hex() == match
            if wanted and known.is_new(found):
                yield from documents_of(found.record, found.origin)
        damage.add(read.skipped)


_BEGINNING = Place()


class Cursor:
    """Follows one series from a place on: what has reached the disk, once.

    Args:
        folder: Of the journal.
        series: Which of the two.
        place: Where to begin.

    Attributes:
        damage: What could not be read.

    Raises:
        JournalError: There is no journal there.
    """

    def __init__(self, folder: Path, series: Series, place: Place = _BEGINNING) -> None:
        segments(folder, series)  # whether there is a folder
        self.damage = Damage()
        self._folder = folder
        self._series = series
        self._place = place
        self._known = _Known()
        self._segment: Segment | None = None
        self._records: Iterator[_Found] = iter(())
        self._read: _Read | None = None
        self._waiting: list[Entry] = []
        self._finished: list[Segment] = []

    def read(self, documents: int, size: int) -> list[Entry]:
        """The next documents.

        Args:
            documents: How many at most.
            size: Bytes in all of them at most, but for a first one that is larger.

        Returns:
            What there is of them by now; nothing when there is nothing new.
        """
        taken: list[Entry] = []
        while len(taken) < documents:
            if not self._waiting and not self._refill():
                break
            first = self._waiting[0]
            size -= first.size
            if taken and size < 0:
                break
            taken.append(self._waiting.pop(0))
        return taken

    def finished(self) -> list[Segment]:
        """The sealed segments that lie wholly behind what `read` gave so far."""
        if self._waiting:
            return []
        finished, self._finished = self._finished, []
        return finished

    def _refill(self) -> bool:
        """Make documents of the next record; false when there is none yet."""
        while True:
            for found in self._records:
                self._place = found.end
                if not self._known.is_new(found):
                    continue
                made = list(documents_of(found.record, found.origin))
                for number, document in enumerate(made, 1):
                    after = found.end if number == len(made) else found.start
                    self._waiting.append(Entry(document, size_of(document), after))
                return True
            if not self._advance():
                return False

    def _advance(self) -> bool:
        """Look for more records, in the same segment or in the next; false when there are none."""
        while True:
            last, read = self._segment, self._read
            self._records = iter(())
            if last is not None and read is not None and read.complete:
                self.damage.add(read.skipped)
                if last.state is State.SEALED:
                    self._finished.append(last)
                self._segment = self._read = None
                self._place = Place(last.number + 1, 0)
            there = segments(self._folder, self._series)
            segment = next((one for one in there if one.number >= self._place.number), None)
            if segment is None:
                return False
            offset = self._place.offset if segment.number == self._place.number else 0
            self._segment = segment
            self._read = read = _Read(segment, self._known, offset, synced=True)
            records = iter(read)
            first = next(records, None)
            if first is not None:
                self._records = itertools.chain([first], records)
                return True
            if not read.complete:
                return False


@dataclass(slots=True)
class _Known:
    """What records so far said about those to come."""

    head: Head | None = None
    matches: dict[int, Match] = field(default_factory=dict)
    seen: dict[bytes, int] = field(default_factory=dict)

    def begin(self) -> None:
        """A segment begins; it says everything again."""
        self.head = None
        self.matches.clear()

    def origin(self, record: Event | Slice) -> Origin | None:
        """Where a record comes from; None when nothing before it says so."""
        match = self.matches.get(record.match)
        if match is None or self.head is None:
            return None
        return Origin(match, self.head.server, self.head.components)

    def is_new(self, found: _Found) -> bool:
        """Whether a record comes for the first time; call it once for each.

        What may not have reached the disk is written again in the next segment.
        """
        identity, seq = found.origin.match.id, found.record.seq
        if seq <= self.seen.get(identity, 0):
            return False
        self.seen[identity] = seq
        return True


class _Found(NamedTuple):
    """A record that was read, and where it begins and ends."""

    record: Event | Slice
    origin: Origin
    start: Place
    end: Place


class _Read:
    """The records of one segment behind an offset.

    Attributes:
        complete: Whether nothing will follow.
        skipped: Damaged bytes, so far.
    """

    def __init__(
        self, segment: Segment, known: _Known, offset: int, *, synced: bool = False
    ) -> None:
        self.skipped = 0
        self.complete = segment.state is not State.OPEN
        self._segment = segment
        self._known = known
        self._offset = offset
        self._synced = synced and not self.complete

    def __iter__(self) -> Iterator[_Found]:
        segment, known = self._segment, self._known
        known.begin()
        data = self._data()
        if data is None:
            self.complete = True
            return
        seed = seed_of(data)
        if seed is None:
            self.skipped += max(1, len(data)) if self.complete else 0
            return
        ready: list[_Found] = []
        last = HEADER
        for payload, start, end in frames(data[HEADER:], seed):
            self.skipped += start - last
            last = end
            if end <= self._offset and payload[1:2] in _DONE_WITH:
                continue  # not decoded only to be left out
            record = decode(payload)
            if isinstance(record, Head):
                if record.format != FORMAT:
                    raise JournalError(
                        f"{segment.path} has format {record.format}, and this ecsnet reads"
                        f" {FORMAT}: use the ecsnet that wrote it"
                    )
                known.head = record
            elif isinstance(record, Match):
                known.matches[record.number] = record
            elif isinstance(record, Event | Slice):
                origin = known.origin(record)
                if end <= self._offset or origin is None:
                    continue
                places = Place(segment.number, start), Place(segment.number, end)
                ready.append(_Found(record, origin, *places))
                if not self._synced:
                    yield ready.pop()
            elif isinstance(record, Mark):
                yield from ready
                ready.clear()
            else:
                self.skipped += end - start
        if self.complete:
            self.skipped += len(data) - last

    def _data(self) -> bytes | None:
        """The bytes of the segment; None when it was deleted. It may have got another name since
        the folder was listed.
        """
        segment = self._segment
        for state in (segment.state, State.SEALED, State.SHIPPED):
            path = Segment.named(segment.path.parent, segment.series, segment.number, state).path
            try:
                with path.open("rb") as file:
                    return file.read(SEGMENT_LIMIT)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise UnreadableError(f"{path} cannot be read: {file_trouble(error)}") from error
        return None
