"""The journal on disks that fail, beside others that write, and after those that died."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecsnet.analytics.folder import (
    FolderInUseError,
    JournalError,
    Segment,
    State,
    highest_number,
    lock,
    mark_shipped,
    recover,
    rename,
    segments,
)
from ecsnet.analytics.journal import Journal, Limits, Lost
from ecsnet.analytics.reader import Cursor, Damage, Offset, documents
from ecsnet.analytics.records import Event, Slice, encode
from ecsnet.analytics.segment import HEADER, frames, seed_of
from tests.unit.journals import EVENTS, SNAPSHOTS, Disk, Writer, states, ticks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def writer(folder: Path) -> Iterator[Writer]:
    made = Writer(folder)
    yield made
    made.journal.close()


# What a tick sees of it.


def test_nothing_is_written_by_whoever_puts(writer: Writer, folder: Path) -> None:
    writer.put(EVENTS, 10)
    assert segments(folder) == []
    assert writer.journal.waiting > 0
    writer.journal.round()
    assert ticks(folder) == list(range(1, 11))
    assert writer.journal.waiting == 0


def test_what_waits_in_memory_has_a_cap_and_what_is_dropped_is_counted(folder: Path) -> None:
    writer = Writer(folder, events=2000, snapshots=1000)
    writer.put(EVENTS, 100, size=100)
    writer.put(SNAPSHOTS, 100, size=100)
    assert writer.journal.waiting <= 3000
    lost = writer.journal.lost
    writer.journal.close()
    assert 0 < len(ticks(folder)) == 100 - lost.events
    assert 0 < len(ticks(folder, SNAPSHOTS)) == 100 - lost.snapshots


def test_a_game_that_tells_too_much_leaves_room_for_what_ecsnet_tells(folder: Path) -> None:
    writer = Writer(folder, events=4000)
    record = encode(Event(writer.match, 1, 1, 0, "t", None, None, True, {"text": "x" * 100}))
    while writer.journal.put(EVENTS, writer.match, record):
        pass
    assert writer.journal.put(EVENTS, writer.match, record, own=True)
    writer.journal.close()


def test_snapshots_do_not_take_the_room_of_events(folder: Path) -> None:
    writer = Writer(folder, events=2000, snapshots=1000)
    writer.put(SNAPSHOTS, 100, size=100)
    writer.put(EVENTS, 5)
    assert writer.journal.lost.events == 0
    writer.journal.close()


def test_a_record_that_is_longer_than_a_frame_is_dropped(writer: Writer) -> None:
    writer.put(EVENTS, size=300_000)
    assert writer.journal.lost == Lost(events=1)


def test_a_thread_writes(folder: Path) -> None:
    writer = Writer(folder)
    writer.journal.start()
    writer.put(EVENTS, 3)
    writer.journal.close()
    assert ticks(folder) == [1, 2, 3]
    assert states(folder) == [(EVENTS, State.SEALED)]


# Segments.


def test_a_segment_ends_when_it_is_large(folder: Path) -> None:
    writer = Writer(folder, segment=5000)
    for _ in range(10):
        writer.put(EVENTS, 10, size=100)
        writer.journal.round()
    assert len(segments(folder)) > 2
    writer.journal.close()
    assert ticks(folder) == list(range(1, 101))
    assert {state for _, state in states(folder)} == {State.SEALED}


def test_both_series_and_all_runs_count_up_together(folder: Path) -> None:
    for _ in range(2):
        writer = Writer(folder)
        writer.put(EVENTS)
        writer.put(SNAPSHOTS)
        writer.journal.close()
    assert [segment.number for segment in segments(folder)] == [1, 2, 3, 4]


def test_numbers_go_on_behind_what_was_shipped_and_deleted(folder: Path) -> None:
    folder.mkdir()
    position = {"target": "t", "events": [41, 0], "snapshots": [12, 0]}
    (folder / "position-ab.json").write_text(json.dumps(position))
    (folder / "position-cd.json").write_text("{")
    assert highest_number(folder) == 41
    writer = Writer(folder)
    writer.put(EVENTS)
    writer.journal.close()
    assert [segment.number for segment in segments(folder)] == [42]


def test_more_than_may_be_kept_goes_the_least_valuable_first(folder: Path) -> None:
    writer = Writer(folder, segment=3000, total=20_000)
    for _ in range(8):
        writer.put(EVENTS, 10, size=100)
        writer.put(SNAPSHOTS, 10, size=100)
        writer.journal.round()
    size = sum(segment.path.stat().st_size for segment in segments(folder))
    assert size <= 20_000 + 2 * 3000
    # Snapshots went, events stayed as long as there were others.
    kept = len(ticks(folder, SNAPSHOTS))
    lost = writer.journal.lost
    assert lost.snapshots == 80 - kept > 0
    assert lost.events == 80 - len(ticks(folder))
    writer.journal.close()


def test_what_is_shipped_goes_before_what_is_not_and_is_not_lost(folder: Path) -> None:
    writer = Writer(folder, segment=3000, total=12_000)
    for _ in range(3):
        writer.put(EVENTS, 20, size=100)
        writer.journal.round()
    for segment in segments(folder):
        if segment.state is State.SEALED:
            mark_shipped(segment)
    before = writer.journal.lost
    for _ in range(3):
        writer.put(SNAPSHOTS, 20, size=100)
        writer.journal.round()
    assert writer.journal.lost == before
    assert (EVENTS, State.SHIPPED) not in states(folder)[:1]
    assert len(ticks(folder, SNAPSHOTS)) == 60
    writer.journal.close()


def test_old_segments_are_deleted(folder: Path) -> None:
    now = [0.0]
    folder.mkdir()
    limits = Limits(age=100.0, segment=100)
    journal = Journal(folder, limits=limits, clock=lambda: now[0])
    match = journal.begin(bytes(16), 0, "", 60.0)
    record = encode(Event(match, 1, 1, 0, "t", None, None, False, {"text": "x" * 100}))
    journal.put(EVENTS, match, record)
    journal.round()
    (segment,) = segments(folder)
    now[0] = segment.path.stat().st_mtime + 99
    journal.round()
    assert segments(folder) == [segment]
    now[0] += 2
    journal.round()
    assert segments(folder) == []
    assert journal.lost == Lost(events=1)
    journal.close()


# Disks that fail.


def test_on_a_full_disk_nothing_is_torn_and_what_fits_can_be_read(folder: Path) -> None:
    disk = Disk(room=3000)
    writer = Writer(folder, disk)
    for _ in range(10):
        writer.put(EVENTS, 5, size=100)
        writer.journal.round()
    damage = Damage()
    kept = ticks(folder, damage=damage)
    assert kept == list(range(1, len(kept) + 1))
    assert 0 < len(kept) < 50
    assert damage == Damage()
    disk.room = 1 << 30
    writer.journal.round()
    assert ticks(folder) == list(range(1, 51))  # the rest had waited in memory
    writer.journal.close()


def test_on_a_full_disk_events_displace_snapshots(folder: Path) -> None:
    disk = Disk(room=20_000)
    writer = Writer(folder, disk)
    writer.put(SNAPSHOTS, 100, size=180)
    writer.journal.round()
    assert len(ticks(folder, SNAPSHOTS)) > 50
    writer.put(EVENTS, 50, size=100)
    writer.journal.round()
    assert ticks(folder) == list(range(1, 51))
    lost = writer.journal.lost
    assert lost.events == 0
    assert lost.snapshots > 0
    writer.journal.close()
    assert len(ticks(folder, SNAPSHOTS)) == 100 - writer.journal.lost.snapshots


def test_on_a_full_disk_snapshots_displace_no_events(folder: Path) -> None:
    disk = Disk(room=6000)
    writer = Writer(folder, disk, segment=2000, snapshots=3000)
    for _ in range(6):
        writer.put(EVENTS, 5, size=100)
        writer.journal.round()
    kept = ticks(folder)
    for _ in range(20):
        writer.put(SNAPSHOTS, 5, size=100)
        writer.journal.round()
    assert ticks(folder)[: len(kept)] == kept
    assert writer.journal.lost.events == 0
    assert writer.journal.lost.snapshots > 0
    writer.journal.close()


def test_what_a_failed_sync_may_have_lost_is_written_again(folder: Path) -> None:
    disk = Disk()
    writer = Writer(folder, disk)
    writer.put(EVENTS, 5)
    writer.journal.round()
    writer.put(EVENTS, 5)
    disk.broken = True
    writer.journal.round()
    (given_up,) = segments(folder)
    assert given_up.state is State.SEALED
    assert writer.journal.waiting > 0
    disk.broken = False
    writer.journal.round()
    # In another file: the pages of the first may never reach the disk, whatever fsync says now.
    assert [segment.number for segment in segments(folder)] == [1, 2]
    assert ticks(folder) == list(range(1, 11))
    assert writer.journal.waiting == 0
    writer.journal.close()


def test_what_is_written_twice_is_read_once(folder: Path) -> None:
    disk = Disk()
    writer = Writer(folder, disk)
    writer.put(EVENTS)
    writer.journal.round()
    writer.put(EVENTS, 4)
    writer.journal._events.write()
    (segment,) = segments(folder)
    written = segment.path.read_bytes()
    disk.broken = True
    writer.journal.round()
    segments(folder)[0].path.write_bytes(written)  # it had reached the disk after all
    disk.broken = False
    writer.journal.round()
    assert len(segments(folder)) == 2
    assert ticks(folder) == [1, 2, 3, 4, 5]
    assert [entry.document["tick"] for entry in Cursor(folder, EVENTS).read(100, 1 << 20)] == [
        1,
        2,
        3,
        4,
        5,
    ]
    writer.journal.close()


def test_trouble_is_told_once_and_so_is_its_end(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk()
    writer = Writer(folder, disk)
    disk.broken = True
    caplog.set_level("INFO", "ecsnet.analytics")
    for _ in range(3):
        writer.put(EVENTS)
        writer.journal.round()
    for broken in (False, True, False):
        disk.broken = broken
        writer.put(EVENTS)
        writer.journal.round()
    for _ in range(30):
        writer.journal.round()
    first, second = caplog.messages
    assert "cannot be written: Input/output error" in first
    assert "is written again" in second
    writer.journal.close()


def test_an_end_on_a_full_disk_says_how_much_is_missing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(folder, Disk(room=3000))
    writer.put(EVENTS, 50, size=100)
    writer.journal.close()
    kept = len(ticks(folder))
    assert f"ends without its last {50 - kept} records" in caplog.text


def test_a_folder_that_is_gone_costs_no_more_than_records(folder: Path) -> None:
    writer = Writer(folder)
    writer.put(EVENTS)
    writer.journal.round()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    writer.put(EVENTS)
    writer.journal.round()
    writer.journal.close()


# One writer a folder.


def test_a_second_server_is_told_to_take_another_folder(writer: Writer, folder: Path) -> None:
    with pytest.raises(FolderInUseError, match="give each a folder of its own"):
        Journal(folder)


def test_a_second_process_does_not_touch_the_tail_of_the_first(
    writer: Writer, folder: Path
) -> None:
    writer.put(EVENTS, 5)
    writer.journal.round()
    (segment,) = segments(folder)
    before = segment.path.read_bytes()
    code = (
        "import sys, pathlib; from ecsnet.analytics.journal import Journal\n"
        "try: Journal(pathlib.Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert said.stdout.strip() == "FolderInUseError"
    assert segment.path.read_bytes() == before


def test_a_folder_that_cannot_be_one_is_an_error_that_says_so(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(JournalError, match="cannot be written to"):
        Journal(file / "journal")
    with pytest.raises(JournalError, match=r"there is no folder .*--analytics"):
        list(documents(tmp_path / "nothing", EVENTS))


def test_a_small_journal_stays_within_its_bounds(folder: Path) -> None:
    assert Limits.of(1 << 30, None) == Limits()
    limits = Limits.of(1 << 20, None)
    writer = Writer(folder, total=limits.folder, segment=limits.segment)
    for _ in range(30):
        writer.put(EVENTS, 100, size=1000)
        writer.put(SNAPSHOTS, 5)
        writer.journal.round()
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 1 << 20
    writer.journal.close()
    assert ticks(folder)[-1] == 3000


# After one that died.


def left_open(folder: Path, records: int = 5) -> bytes:
    """The bytes of a segment whose writer died."""
    writer = Writer(folder)
    writer.put(EVENTS, records)
    writer.journal.round()
    (segment,) = segments(folder)
    data = segment.path.read_bytes()
    writer.journal.close()
    rename(segments(folder)[0], State.OPEN)
    return data


@pytest.mark.parametrize("torn", [b"", b"\xec\xf5\x0a\x1d\x40\0\0\0half", b"\0" * 500])
def test_a_torn_tail_is_cut_and_all_before_it_is_kept(folder: Path, torn: bytes) -> None:
    data = left_open(folder)
    (segment,) = segments(folder)
    segment.path.write_bytes(data + torn)
    with lock(folder):
        assert recover(folder) == 1
    (sealed,) = segments(folder)
    assert sealed.state is State.SEALED
    assert sealed.path.read_bytes() == data
    assert ticks(folder) == [1, 2, 3, 4, 5]


def test_what_is_damaged_in_the_middle_is_not_cut_but_skipped_and_counted(folder: Path) -> None:
    data = bytearray(left_open(folder))
    found = list(frames(bytes(data[HEADER:]), seed_of(bytes(data)) or 0))
    data[found[3].start + 14] ^= 0xFF
    segments(folder)[0].path.write_bytes(data)
    with lock(folder):
        recover(folder)
    (sealed,) = segments(folder)
    assert sealed.path.read_bytes() == bytes(data)
    damage = Damage()
    assert ticks(folder, damage=damage) == [1, 3, 4, 5]
    assert damage == Damage(1, found[3].end - found[3].start)


def test_the_next_server_begins_where_the_last_one_died(folder: Path) -> None:
    left_open(folder)
    writer = Writer(folder)
    assert states(folder) == [(EVENTS, State.SEALED)]
    writer.put(EVENTS, 2)
    writer.journal.close()
    assert ticks(folder) == [1, 2, 3, 4, 5, 1, 2]


def test_a_segment_that_was_only_begun_is_none(folder: Path) -> None:
    folder.mkdir()
    (folder / "events-00000001.open").write_bytes(b"ECS")
    with lock(folder):
        recover(folder)
    assert segments(folder) == []


def test_other_files_are_left_alone(folder: Path) -> None:
    folder.mkdir()
    names = ["notes.txt", "events-1.open", "events-00000001.bak"]
    for name in names:
        (folder / name).write_text("mine")
    with lock(folder):
        recover(folder)
    assert segments(folder) == []
    assert {path.name for path in folder.iterdir()} >= set(names)


# Following it.


def read(cursor: Cursor, most: int = 1000) -> list[object]:
    return [entry.document["tick"] for entry in cursor.read(most, 1 << 20)]


def test_a_cursor_follows_what_has_reached_the_disk_and_no_more(
    writer: Writer, folder: Path
) -> None:
    cursor = Cursor(folder, EVENTS)
    assert read(cursor) == []
    writer.put(EVENTS, 3)
    writer.journal._events.write()
    assert ticks(folder) == [1, 2, 3]
    assert read(cursor) == []  # a power cut could take it back
    writer.journal.round()
    assert read(cursor) == [1, 2, 3]
    assert read(cursor) == []
    writer.put(EVENTS, 2)
    writer.journal.round()
    assert read(cursor) == [4, 5]


def test_a_cursor_goes_on_where_another_one_ended(folder: Path) -> None:
    writer = Writer(folder, segment=1500)
    for _ in range(6):
        writer.put(EVENTS, 5, size=50)
        writer.journal.round()
    seen: list[object] = []
    place = Offset()
    while True:
        entries = Cursor(folder, EVENTS, place).read(4, 1 << 20)
        if not entries:
            break
        seen += [entry.document["tick"] for entry in entries]
        place = entries[-1].after
    assert seen == list(range(1, 31))
    writer.journal.close()


def test_a_cursor_takes_no_more_than_it_is_to(writer: Writer, folder: Path) -> None:
    writer.put(EVENTS, 10, size=1000)
    writer.journal.round()
    cursor = Cursor(folder, EVENTS)
    assert len(cursor.read(3, 1 << 20)) == 3
    assert len(cursor.read(100, 2600)) == 2
    assert len(cursor.read(100, 1)) == 1  # one that is larger than all that may be taken


def test_a_cursor_tells_which_segments_it_has_left_behind(folder: Path) -> None:
    writer = Writer(folder, segment=1500)
    cursor = Cursor(folder, EVENTS)
    for _ in range(6):
        writer.put(EVENTS, 5, size=50)
        writer.journal.round()
    assert len(read(cursor)) == 30
    for segment in cursor.finished():
        mark_shipped(segment)
    assert cursor.finished() == []
    writer.journal.close()
    assert read(cursor) == []
    for segment in cursor.finished():
        mark_shipped(segment)
    assert {state for _, state in states(folder)} == {State.SHIPPED}
    assert ticks(folder) == list(range(1, 31))


def test_a_cursor_gets_over_a_segment_that_was_deleted_while_it_slept(folder: Path) -> None:
    writer = Writer(folder, segment=600)
    for _ in range(6):
        writer.put(EVENTS, 5, size=50)
        writer.journal.round()
    cursor = Cursor(folder, EVENTS)
    assert len(cursor.read(2, 1 << 20)) == 2
    for segment in segments(folder)[:2]:
        segment.path.unlink()
    rest = read(cursor)
    assert rest[-1] == 30
    assert rest == sorted(rest)  # type: ignore[type-var]
    writer.journal.close()


def test_parts_of_one_slice_are_done_together(folder: Path) -> None:
    writer = Writer(folder)
    slice_ = Slice(0, 1, 1, 1, 0, list(range(4000)), [None] * 4000, [])
    writer.journal.put(SNAPSHOTS, 0, encode(slice_))
    writer.journal.round()
    entries = Cursor(folder, SNAPSHOTS).read(100, 1 << 30)
    assert len(entries) > 1
    (segment,) = segments(folder)
    places = {entry.after for entry in entries[:-1]}
    assert len(places) == 1
    assert places.pop() < entries[-1].after
    # Whoever died in between gets all of them again.
    again = Cursor(folder, SNAPSHOTS, entries[0].after).read(100, 1 << 30)
    assert [entry.document["_id"] for entry in again] == [
        entry.document["_id"] for entry in entries
    ]
    assert segment.number == entries[-1].after.number
    writer.journal.close()


def test_a_record_of_a_match_that_was_not_announced_is_left_out(folder: Path) -> None:
    left_open(folder)
    (segment,) = segments(folder)
    data = segment.path.read_bytes()
    found = list(frames(data[HEADER:], seed_of(data) or 0))
    announced = found[1]
    broken = bytearray(data)
    broken[announced.start + 13] ^= 0xFF
    segment.path.write_bytes(broken)
    assert ticks(folder) == []


def test_one_of_another_format_is_refused_with_the_way_out(folder: Path) -> None:
    from ecsnet.analytics.records import Head
    from ecsnet.analytics.segment import frame, new_header

    folder.mkdir()
    header = new_header()
    head = frame(encode(Head(99, "events", 1, "", ())), seed_of(header) or 0)
    Segment.named(folder, EVENTS, 1, State.SEALED).path.write_bytes(header + head)
    with pytest.raises(JournalError, match="has format 99, and this ecsnet reads 1"):
        ticks(folder)


def test_a_file_that_was_emptied_is_damage(folder: Path) -> None:
    left_open(folder)
    (segment,) = segments(folder)
    rename(segment, State.SEALED).path.write_bytes(b"")
    damage = Damage()
    assert ticks(folder, damage=damage) == []
    assert damage.segments == 1
