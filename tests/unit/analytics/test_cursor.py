"""A cursor looks at each frame once, however often it looks, and whatever the writer takes back."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from ecsnet.analytics import reader
from ecsnet.analytics.folder import State, rename, segments
from ecsnet.analytics.reader import Cursor, Offset
from ecsnet.analytics.records import Mark, encode
from ecsnet.analytics.segment import HEADER, Frame, frame, frames, seed_of
from tests.unit.journals import EVENTS, Disk, Writer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


Looked: TypeAlias = Counter[tuple[int, int]]


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Looked:
    """How often each frame was looked at, by the seed of its segment and its place."""
    seen: Looked = Counter()
    frames = reader.frames

    def counting(data: bytes, seed: int, base: int = HEADER) -> Iterator[Frame]:
        for found in frames(data, seed, base):
            seen[seed, found.start] += 1
            yield found

    monkeypatch.setattr(reader, "frames", counting)
    return seen


def read(cursor: Cursor, most: int = 1000) -> list[object]:
    return [entry.document["tick"] for entry in cursor.read(most, 1 << 20)]


def test_no_frame_of_an_open_segment_is_looked_at_twice(folder: Path, looked_at: Looked) -> None:
    writer = Writer(folder)
    cursor = Cursor(folder, EVENTS)
    seen: list[object] = []
    for _ in range(100):
        writer.put(EVENTS, 20)
        writer.journal.round()
        seen += read(cursor)
        assert read(cursor) == []
    assert seen == list(range(1, 2001))
    assert len(looked_at) > 2000
    assert set(looked_at.values()) == {1}
    writer.journal.close()
    assert read(cursor) == []
    assert set(looked_at.values()) == {1}
    assert [segment.state for segment in cursor.finished()] == [State.SEALED]


def test_nor_is_one_that_no_mark_had_followed_yet(folder: Path, looked_at: Looked) -> None:
    writer = Writer(folder)
    cursor = Cursor(folder, EVENTS)
    for first in (1, 4):
        writer.put(EVENTS, 3)
        writer.journal._events.write()
        assert read(cursor) == []
        assert read(cursor) == []
        writer.journal.round()
        assert read(cursor) == [first, first + 1, first + 2]
    assert set(looked_at.values()) == {1}
    assert len(looked_at) == 6 + 2 + 2, "and a head, a match and two marks"
    writer.journal.close()


def test_nor_when_the_segment_is_sealed_while_records_wait_for_a_mark(
    folder: Path, looked_at: Looked
) -> None:
    writer = Writer(folder)
    cursor = Cursor(folder, EVENTS)
    writer.put(EVENTS, 3)
    writer.journal._events.write()
    assert read(cursor) == []
    rename(segments(folder)[0], State.SEALED)
    assert read(cursor) == [1, 2, 3]
    assert set(looked_at.values()) == {1}
    rename(segments(folder)[0], State.OPEN)
    writer.journal.close()


def test_a_cursor_looks_at_a_segment_once_over_many_segments(
    folder: Path, looked_at: Looked
) -> None:
    writer = Writer(folder, segment=3000)
    cursor = Cursor(folder, EVENTS)
    seen: list[object] = []
    for _ in range(40):
        writer.put(EVENTS, 7, size=30)
        writer.journal.round()
        seen += read(cursor, most=5)  # it falls behind
    while more := read(cursor):
        seen += more
    assert len(segments(folder)) > 5
    assert seen == list(range(1, 281))
    assert set(looked_at.values()) == {1}
    writer.journal.close()


# What a writer takes back.


def test_what_a_failed_sync_took_back_comes_from_the_next_segment(folder: Path) -> None:
    disk = Disk()
    writer = Writer(folder, disk)
    cursor = Cursor(folder, EVENTS)
    writer.put(EVENTS, 3)
    writer.journal.round()
    assert read(cursor) == [1, 2, 3]
    writer.put(EVENTS, 3)
    writer.journal._events.write()
    assert read(cursor) == []  # it has looked at them
    disk.broken = True
    writer.journal.round()
    assert read(cursor) == []
    disk.broken = False
    writer.journal.round()
    entries = cursor.read(100, 1 << 20)
    assert [entry.document["tick"] for entry in entries] == [4, 5, 6]
    assert {entry.after.number for entry in entries} == {2}
    assert not cursor.damage
    writer.journal.close()


def test_what_was_written_over_is_read_as_it_stands_now(folder: Path) -> None:
    writer = Writer(folder)
    cursor = Cursor(folder, EVENTS)
    writer.put(EVENTS, 3)
    writer.journal.round()
    assert read(cursor) == [1, 2, 3]
    (segment,) = segments(folder)
    confirmed_tick = segment.path.read_bytes()
    writer.put(EVENTS, 4)
    writer.journal._events.write()
    torn = segment.path.read_bytes()
    assert read(cursor) == []  # whole frames of a batch that did not fit
    segment.path.write_bytes(confirmed_tick)
    writer.journal.close()
    data = segments(folder)[0].path.read_bytes()
    rename(segments(folder)[0], State.OPEN)
    # The same records with a mark in between, as when half of a batch fitted.
    assert data[: len(confirmed_tick)] == confirmed_tick
    seed = seed_of(data) or 0
    rest = [
        found.payload for found in frames(torn[len(confirmed_tick) :], seed, len(confirmed_tick))
    ]
    mark = encode(Mark(5))
    written = b"".join(frame(each, seed) for each in (*rest[:2], mark, *rest[2:], encode(Mark(7))))
    (segment,) = segments(folder)
    segment.path.write_bytes(confirmed_tick + written)
    assert read(cursor) == [4, 5, 6, 7]
    assert not cursor.damage


def test_a_full_disk_that_takes_half_a_batch_is_followed(folder: Path, looked_at: Looked) -> None:
    disk = Disk(room=4000)
    writer = Writer(folder, disk)
    cursor = Cursor(folder, EVENTS)
    dice = random.Random(42)
    seen: list[object] = []
    for number in range(60):
        writer.put(EVENTS, 3, size=dice.randrange(120))
        writer.journal.round()
        seen += read(cursor)
        if number % 3 == 2:
            disk.room += 500
    disk.room = 1 << 30
    writer.journal.close()
    seen += read(cursor)
    assert seen == list(range(1, 181))
    assert not cursor.damage
    assert set(looked_at.values()) == {1}


def test_a_cursor_goes_over_a_segment_whose_writer_could_not_rename_it(folder: Path) -> None:
    writer = Writer(folder, segment=500)
    for _ in range(3):
        writer.put(EVENTS, 5, size=50)
        writer.journal.round()
    writer.journal.close()
    for segment in segments(folder):
        rename(segment, State.OPEN)
    cursor = Cursor(folder, EVENTS)
    assert read(cursor) == list(range(1, 16))
    assert cursor.finished() == []


def test_a_place_in_the_middle_is_enough_to_go_on(folder: Path, looked_at: Looked) -> None:
    writer = Writer(folder)
    writer.put(EVENTS, 10)
    writer.journal.round()
    place = Cursor(folder, EVENTS).read(4, 1 << 20)[-1].after
    looked_at.clear()
    cursor = Cursor(folder, EVENTS, place)
    assert read(cursor) == [5, 6, 7, 8, 9, 10]
    writer.put(EVENTS, 2)
    writer.journal.round()
    assert read(cursor) == [11, 12]
    assert set(looked_at.values()) == {1}
    assert Offset(1, 0) < place
    writer.journal.close()


def test_a_segment_that_is_deleted_while_it_is_followed_is_left(folder: Path) -> None:
    writer = Writer(folder, segment=500)
    cursor = Cursor(folder, EVENTS)
    writer.put(EVENTS, 2)
    writer.journal.round()
    assert read(cursor) == [1, 2]
    segments(folder)[0].path.unlink()
    assert read(cursor) == []
    writer.put(EVENTS, 20, size=50)
    writer.journal.round()
    writer.put(EVENTS)
    writer.journal.round()
    assert read(cursor)[-1] == 23
    assert cursor.finished() == []
    writer.journal.close()
