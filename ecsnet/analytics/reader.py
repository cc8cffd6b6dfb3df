"""The reader of a journal, while it is written or afterwards, however damaged its bytes are.

`documents` reads everything that is there, for reports. A `Cursor` follows one series for a
shipper: only what has reached the disk, from a place that can be saved. Both skip and count what is
damaged.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ecsnet.analytics.documents import Origin, documents_of, size_of
from ecsnet.analytics.folder import JournalError, Segment, State, UnreadableError, segments
from ecsnet.analytics.records import (
    FORMAT,
    Event,
    Head,
    Mark,
    Match,
    Slice,
    decode,
    makes_documents,
)
from ecsnet.analytics.segment import (
    FRAME_PREFIX,
    HEADER,
    SEGMENT_LIMIT,
    Series,
    frames,
    seed_of,
)
from ecsnet.analytics.values import Document
from ecsnet.validation.wording import file_trouble

__all__ = [
    "Cursor",
    "Damage",
    "Entry",
    "Offset",
    "Outline",
    "Series",
    "documents",
    "outlines",
]


@dataclass(slots=True)
class Damage:
    """Counts of what could not be read.

    Attributes:
        segments: Files with damage in them.
        bytes: Bytes that were skipped.
    """

    segments: int = 0
    bytes: int = 0

    def add(self, read: _Read) -> None:
        """Count the damage of one segment, if there is any."""
        if read.damaged:
            self.segments += 1
            self.bytes += read.skipped

    def __bool__(self) -> bool:
        return self.segments > 0

    def __str__(self) -> str:
        many = "1 segment is" if self.segments == 1 else f"{self.segments:,} segments are"
        skipped = "1 byte was" if self.bytes == 1 else f"{self.bytes:,} bytes were"
        return f"{many} damaged, {skipped} skipped"


class Offset(NamedTuple):
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
    after: Offset


def documents(
    folder: Path,
    series: Series,
    *,
    match: str | None = None,
    damage: Damage | None = None,
) -> Iterator[Document]:
    """Yield all documents of a series, in the order in which they were written.

    Args:
        folder: Of the journal.
        series: Which of the two.
        match: Id of the match; all matches when left out.
        damage: Where to count what could not be read.

    Raises:
        JournalError: There is no journal there, it cannot be read, or another version of ecsnet
            wrote it.
    """
    for found in _records(folder, series, Damage() if damage is None else damage):
        if match is None or found.origin.match.id.hex() == match:
            yield from documents_of(found.record, found.origin)


@dataclass(slots=True)
class Outline:
    """Records that describe a match as a whole.

    Attributes:
        origin: The match, and what its server declares.
        events: Documents of its ``start`` and ``stop``, and of its last event; those there are.
    """

    origin: Origin
    events: list[Document] = field(default_factory=list)


def outlines(folder: Path, *, damage: Damage | None = None) -> Iterator[Outline]:
    """Yield the matches that events tell of, and decode no other events, which is faster.

    Args:
        folder: Of the journal.
        damage: Where to count what could not be read.

    Raises:
        JournalError: As for `documents`.
    """
    made: dict[bytes, Outline] = {}
    last: dict[bytes, _Found] = {}
    for found in _records(folder, Series.EVENTS, Damage() if damage is None else damage):
        record, identity = found.record, found.origin.match.id
        assert isinstance(record, Event)
        outline = made.setdefault(identity, Outline(found.origin))
        if record.type in ("start", "stop"):
            outline.events += documents_of(record, found.origin)
        if identity not in last or record.tick >= last[identity].record.tick:
            last[identity] = found
    for identity, outline in made.items():
        found = last[identity]
        outline.events += documents_of(found.record, found.origin)
        yield outline


def _records(folder: Path, series: Series, damage: Damage) -> Iterator[_Found]:
    """Yield all records of a series, once each."""
    known = _Known()
    for segment in segments(folder, series):
        read = _Read(segment.number, known)
        for found in read.look(segment, whole=segment.state is not State.OPEN):
            if known.is_new(found):
                yield found
        damage.add(read)


_BEGINNING = Offset()


class Cursor:
    """A reader that follows one series from an offset on: what has reached the disk, once.

    Args:
        folder: Of the journal.
        series: Which of the two.
        place: Where to begin.

    Raises:
        JournalError: There is no journal there.
    """

    def __init__(self, folder: Path, series: Series, place: Offset = _BEGINNING) -> None:
        segments(folder, series)  # whether there is a folder
        self._damage = Damage()  # of the segments behind
        self._folder = folder
        self._series = series
        self._place = place
        self._known = _Known()
        self._read: _Read | None = None
        self._records: Iterator[_Found] = iter(())
        self._waiting: list[Entry] = []
        self._finished: list[Segment] = []

    @property
    def damage(self) -> Damage:
        """Counts of what could not be read so far."""
        damage = replace(self._damage)
        if self._read is not None:
            damage.add(self._read)
        return damage

    def read(self, documents: int, size: int) -> list[Entry]:
        """Return the next documents.

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
        """Return the sealed segments that lie wholly behind what `read` gave so far."""
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
            there = [
                segment
                for segment in segments(self._folder, self._series)
                if segment.number >= self._place.number
            ]
            read = self._read
            if read is not None and (not there or there[0].number != read.number):
                self._leave(read)  # it was deleted
                continue
            if not there:
                return False
            segment = there[0]
            if read is None:
                if segment.number > self._place.number:
                    self._place = Offset(segment.number)
                offset = self._place.offset
                read = self._read = _Read(segment.number, self._known, offset, synced=True)
            # Of a writer that could not give a segment its name, the next one tells as much.
            whole = segment.state is not State.OPEN or len(there) > 1
            records = read.look(segment, whole=whole)
            first = next(records, None)
            if first is not None:
                self._records = itertools.chain([first], records)
                return True
            if not whole:
                return False
            if segment.state is State.SEALED:
                self._finished.append(segment)
            self._leave(read)

    def _leave(self, read: _Read) -> None:
        """Be done with a segment."""
        self._damage.add(read)
        self._read = None
        self._place = Offset(read.number + 1)


@dataclass(slots=True)
class _Known:
    """The facts from earlier records that later ones depend on."""

    head: Head | None = None
    matches: dict[int, Match] = field(default_factory=dict)
    seen: dict[bytes, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Begin a segment, and forget the records before it: it repeats what they said."""
        self.head = None
        self.matches.clear()

    def origin(self, record: Event | Slice) -> Origin | None:
        """Return the origin of a record; None when no record before it names one."""
        match = self.matches.get(record.match)
        if match is None or self.head is None:
            return None
        return Origin(match, self.head.server, self.head.components)

    def is_new(self, found: _Found) -> bool:
        """Return whether a record comes for the first time; call it once for each.

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
    start: Offset
    end: Offset


class _Read:
    """One segment, read once from its beginning to its end, in as many looks as that takes.

    Args:
        number: Of the segment.
        known: What is known so far.
        offset: Records that end before it are left out.
        synced: Whether a record of a segment that is being written counts only once a mark says
            that it is on the disk.

    Attributes:
        number: Likewise.
        skipped: Bytes that say nothing: damaged ones, and records that do not tell where they come
            from because what said so is damaged.
    """

    def __init__(
        self, number: int, known: _Known, offset: int = 0, *, synced: bool = False
    ) -> None:
        self.number = number
        self.skipped = 0
        self._headless = False
        self._known = known
        self._offset = offset
        self._synced = synced
        self._seed: int | None = None
        self._at = HEADER  # all before it was looked at
        self._last = HEADER, b""  # where the last frame stands, and how it begins
        self._waiting: list[_Found] = []  # for a mark
        self._marked = HEADER, 0  # where the last mark ends, and what was skipped by then
        known.begin()

    @property
    def damaged(self) -> bool:
        """True if anything is damaged: also a file that was emptied, which has nothing to skip."""
        return self._headless or self.skipped > 0

    def look(self, segment: Segment, *, whole: bool) -> Iterator[_Found]:
        """Yield the records that have come since the last look, which was taken to its end.

        Args:
            segment: The segment, as it is called now.
            whole: Whether nothing will follow.
        """
        data = self._new_bytes(segment)
        if data is None:
            return
        if self._seed is None:
            self._headless = whole
            self.skipped = len(data) if whole else 0
            return
        known, seed, begin = self._known, self._seed, self._at
        waits = self._synced and not whole
        if not waits:
            yield from self._waiting
            self._waiting.clear()
        for payload, start, end in frames(data, seed, begin):
            self.skipped += start - self._at
            self._at = end
            self._last = start, data[start - begin : start - begin + FRAME_PREFIX]
            if end <= self._offset and makes_documents(payload):
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
                if end <= self._offset:
                    continue
                if origin is None:
                    self.skipped += end - start
                    continue
                found = _Found(record, origin, Offset(self.number, start), Offset(self.number, end))
                if waits:
                    self._waiting.append(found)
                else:
                    yield found
            elif isinstance(record, Mark):
                self._marked = end, self.skipped
                yield from self._waiting
                self._waiting.clear()
            else:
                self.skipped += end - start
        if whole:
            rest = begin + len(data) - self._at
            self.skipped += rest
            self._at += rest

    def _new_bytes(self, segment: Segment) -> bytes | None:
        """Return the bytes that were not looked at yet, or all of them where no seed is known.

        Returns:
            None when the segment was deleted.
        """
        with _opened(segment) as file:
            if file is None:
                return None
            if self._seed is None:
                data = file.read(SEGMENT_LIMIT)
                self._seed = seed_of(data)
                return data if self._seed is None else data[HEADER:]
            start, begins = self._last
            file.seek(start)
            data = file.read(SEGMENT_LIMIT - start)
            if data.startswith(begins):
                return data[self._at - start :]
            # Its writer has taken back what was not marked yet: the disk was full, or failed.
            self._waiting.clear()
            self._at, self.skipped = self._marked
            self._last = self._at, b""
            file.seek(self._at)
            return file.read(SEGMENT_LIMIT - self._at)


@contextlib.contextmanager
def _opened(segment: Segment) -> Iterator[BinaryIO | None]:
    """Yield a segment's file, which may have got another name since; None when it was deleted.

    Raises:
        UnreadableError: It is there, and cannot be read.
    """
    try:
        with contextlib.ExitStack() as opened:
            file: BinaryIO | None = None
            for state in (segment.state, State.SEALED, State.SHIPPED):
                named = Segment.named(segment.path.parent, segment.series, segment.number, state)
                with contextlib.suppress(FileNotFoundError):
                    file = opened.enter_context(named.path.open("rb"))
                    break
            yield file
    except OSError as error:
        raise UnreadableError(f"{segment.path} cannot be read: {file_trouble(error)}") from error
