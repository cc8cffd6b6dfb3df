"""Disks that are full, broken or gone: what does not fit is dropped and told, and nothing spins."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.analytics import writer as writing
from ecsnet.analytics.folder import FolderInUseError, State, lock, mark_shipped, segments
from ecsnet.analytics.journal import Journal, Limits, Lost
from ecsnet.analytics.reader import Cursor, Damage, documents
from ecsnet.analytics.records import Event, encode
from ecsnet.analytics.retention import unshipped_records
from ecsnet.analytics.segment import HEADER, frame, frames, seed_of
from tests.unit.journals import EVENTS, SNAPSHOTS, Disk, Writer, states, ticks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def refusing(number: int) -> Callable[..., object]:
    """Something that the operating system refuses."""

    def refuse(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return refuse


# Full.


@pytest.mark.parametrize("sizes", [(0, 900), (10, 20, 900), (900, 0), (0, 0, 0, 2000, 0)])
def test_a_batch_that_does_not_fit_is_tried_in_ever_smaller_parts(
    folder: Path, sizes: tuple[int, ...]
) -> None:
    # A short record before a long one: half of their bytes is always more than the first.
    disk = Disk(room=250)
    writer = Writer(folder, disk)
    for size in sizes:
        writer.put(EVENTS, size=size)
    for _ in range(5):
        disk.writes = 0
        writer.journal.round()
        assert disk.writes < 12
    kept = ticks(folder)
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) < len(sizes)
    disk.room = 1 << 20
    writer.journal.round()
    assert ticks(folder) == list(range(1, len(sizes) + 1))
    writer.journal.close()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 1500), min_size=1, max_size=30),
    st.lists(st.integers(-400, 1500), min_size=1, max_size=8),
)
def test_whatever_fits_is_kept_in_order_and_no_round_is_long(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], room: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    disk = Disk(room=400)
    writer = Writer(folder, disk)
    for size in sizes:
        writer.put(EVENTS, size=size)
    for more in room:
        disk.room += more
        disk.writes = 0
        writer.journal.round()
        assert disk.writes < 30
        damage = Damage()
        kept = ticks(folder, damage=damage)
        assert kept == list(range(1, len(kept) + 1))
        assert not damage
    disk.room = 1 << 20
    writer.journal.close()
    assert ticks(folder) == list(range(1, len(sizes) + 1))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("where", ["write", "fsync", "open"])
def test_a_full_disk_is_made_room_on_wherever_it_shows(
    folder: Path, where: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(folder, segment=2000)
    for _ in range(10):
        writer.put(SNAPSHOTS, 10, size=100)
        writer.journal.round()
    before = len(segments(folder))
    assert before > 3
    there = writer.disk.fsync, os.open, writer.disk.write

    def when_there_is_room(do: Callable[..., int]) -> Callable[..., int]:
        def call(*given: object) -> int:
            if len(segments(folder, SNAPSHOTS)) > before - 2 and given[0] != folder:
                raise OSError(number, os.strerror(number))
            return do(*given)

        return call

    with monkeypatch.context() as patched:
        if where == "open":
            patched.setattr(writing.os, "open", when_there_is_room(there[1]))
        elif where == "fsync":
            patched.setattr(writer.disk, "fsync", when_there_is_room(there[0]))
        else:
            patched.setattr(writer.disk, "write", when_there_is_room(there[2]))
        writer.put(EVENTS, 5)
        writer.journal.round()
    assert ticks(folder) == [1, 2, 3, 4, 5]
    assert writer.journal.lost.events == 0
    assert writer.journal.lost.snapshots == 100 - len(ticks(folder, SNAPSHOTS)) > 0
    writer.journal.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("where", ["write", "fsync", "open", "rename", "everything"])
def test_a_disk_that_takes_nothing_is_told_once_and_left_alone(
    folder: Path,
    where: str,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = Writer(folder, events=6000, segment=1500)
    writer.put(EVENTS, 3, size=100)
    writer.journal.round()
    calls = [0]
    refuse = refusing(number)

    def counted(*given: object, **named: object) -> object:
        calls[0] += 1
        assert calls[0] < 1000, "it spins"
        return refuse(*given, **named)

    with monkeypatch.context() as patched:
        if where in ("write", "everything"):
            patched.setattr(writer.disk, "write", counted)
        if where in ("fsync", "everything"):
            patched.setattr(writer.disk, "fsync", counted)
        if where in ("open", "everything"):
            patched.setattr(writing.os, "open", counted)
        if where in ("rename", "everything"):
            patched.setattr(Path, "rename", counted)
        if where == "everything":
            patched.setattr(writing.os, "ftruncate", counted)
            patched.setattr(Path, "unlink", counted)
        for _ in range(12):
            writer.put(EVENTS, 10, size=100)
            writer.journal.round()
        assert calls[0] >= 1
        assert len(list(folder.iterdir())) < 8, "it leaves no heap of files"
        assert writer.journal.waiting <= 6000
        told = [each for each in caplog.messages if "cannot be written" in each]
        assert len(told) == 1
    lost = writer.journal.lost.events
    for _ in range(3):
        writer.journal.round()
    writer.journal.close()
    kept = ticks(folder)
    assert sorted(kept, key=str) == sorted(set(kept), key=str)
    assert len(kept) == 123 - writer.journal.lost.events
    assert writer.journal.lost.events == lost
    assert {state for _, state in states(folder)} == {State.SEALED}
    # And a shipper gets over all of it.
    entries = Cursor(folder, EVENTS).read(1000, 1 << 20)
    assert [entry.document["tick"] for entry in entries] == kept


def test_a_disk_that_cannot_take_back_half_a_frame_is_written_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    writer = Writer(folder, disk)
    writer.put(EVENTS, 2)
    writer.journal.round()
    disk.room = sum(path.stat().st_size for path in folder.iterdir()) + 60
    with monkeypatch.context() as patched:
        patched.setattr(writing.os, "ftruncate", refusing(errno.EIO))
        writer.put(EVENTS, 3, size=200)
        writer.journal.round()
        assert disk.writes > 3
        disk.room = 1 << 20
        writer.journal.round()
    writer.journal.close()
    damage = Damage()
    assert ticks(folder, damage=damage) == [1, 2, 3, 4, 5]
    assert not damage


def test_syncs_that_fail_for_ever_leave_no_heap_of_files(folder: Path) -> None:
    disk = Disk()
    writer = Writer(folder, disk)
    disk.broken = True
    for _ in range(50):
        writer.put(EVENTS)
        writer.journal.round()
    assert disk.syncs == 50
    assert len(segments(folder)) <= 1
    disk.broken = False
    writer.journal.close()
    assert ticks(folder) == list(range(1, 51))


def test_an_end_on_a_disk_that_takes_nothing_is_one(folder: Path) -> None:
    disk = Disk(room=300)
    writer = Writer(folder, disk, events=1 << 20)
    dice = random.Random(18)
    for _ in range(300):
        writer.put(EVENTS, size=dice.choice((0, 10, 2000)))
    writer.journal.start()
    writer.journal.close()
    assert writer.journal._thread is not None
    assert not writer.journal._thread.is_alive()
    assert disk.writes > 1


# Gone.


@pytest.mark.parametrize("what", ["folder", "files", "lock"])
def test_a_folder_that_somebody_deletes_is_made_again(
    folder: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(folder)
    writer.put(EVENTS, 3)
    writer.journal.round()
    if what == "folder":
        shutil.rmtree(folder)
    elif what == "files":
        for path in folder.iterdir():
            path.unlink()
    else:
        (folder / "lock").unlink()
    writer.put(EVENTS, 3)
    for _ in range(3):
        writer.journal.round()
    told = [each for each in caplog.messages if "cannot be written" in each]
    assert len(told) == 1
    assert "somebody has deleted" in told[0]
    with pytest.raises(FolderInUseError), lock(folder):
        pass
    writer.put(EVENTS, 3)
    writer.journal.close()
    kept = list(documents(folder, EVENTS))
    first = 1 if what == "lock" else 4
    assert [document["tick"] for document in kept] == list(range(first, 10))
    assert {document["server"] for document in kept} == {"srv"}


def test_a_folder_that_another_server_has_made_meanwhile_is_its_own(folder: Path) -> None:
    writer = Writer(folder)
    writer.put(EVENTS, 3)
    writer.journal.round()
    shutil.rmtree(folder)
    other = Writer(folder)
    for _ in range(3):
        writer.put(EVENTS, 3)
        writer.journal.round()
    assert segments(folder) == []
    assert writer.journal.waiting > 0
    other.journal.close()
    writer.journal.close()
    assert ticks(folder) == list(range(4, 13)), "once the other one has ended"


def test_a_folder_that_is_gone_while_the_disk_is_full_ends_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    writer = Writer(folder, disk, segment=500)
    writer.put(EVENTS, 20, size=100)
    writer.journal.round()

    def write(descriptor: int, data: bytes) -> int:
        shutil.rmtree(folder, ignore_errors=True)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(disk, "write", write)
        writer.put(EVENTS, 2)
        writer.journal.round()
        assert not folder.exists()
    writer.journal.close()
    assert ticks(folder) == [21, 22]


# How much goes with what is deleted.


def test_a_segment_says_how_many_records_it_holds(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(folder, segment=1500)
    for _ in range(9):
        writer.put(EVENTS, 10, size=30)
        writer.journal.round()
    writer.journal.close()
    there = segments(folder)
    assert len(there) > 2
    sealed = {segment: unshipped_records(segment) for segment in there}
    assert sum(sealed.values()) == 90
    looked: list[int] = []

    def counting(data: bytes, *given: int) -> object:
        looked.append(len(data))
        return frames(data, *given)

    monkeypatch.setattr("ecsnet.analytics.retention.frames", counting)
    assert {segment: unshipped_records(segment) for segment in there} == sealed
    assert max(looked) < 100, "only the end was looked at"


@pytest.mark.parametrize("tail", ["no mark", "an old mark", "damaged"])
def test_of_a_segment_that_does_not_say_records_are_counted(folder: Path, tail: str) -> None:
    writer = Writer(folder)
    writer.put(EVENTS, 7)
    writer.journal.round()
    writer.put(EVENTS, 7)
    writer.journal.close()
    (segment,) = segments(folder)
    data = segment.path.read_bytes()
    if tail == "no mark":
        segment.path.write_bytes(data[:-20])
        assert unshipped_records(segment) in (13, 14)
    elif tail == "an old mark":
        seed = seed_of(data) or 0
        parts = [found.payload for found in frames(data[HEADER:], seed)]
        parts[-1] = b"\x91\x04"
        segment.path.write_bytes(data[:HEADER] + b"".join(frame(part, seed) for part in parts))
        assert unshipped_records(segment) == 14
    else:
        segment.path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert unshipped_records(segment) == 14


def test_what_a_shipper_has_of_a_segment_is_not_lost_with_it(folder: Path) -> None:
    writer = Writer(folder)
    for _ in range(4):
        writer.put(EVENTS, 5)
        writer.journal.round()
    writer.journal.close()
    (segment,) = segments(folder)
    for read in (1, 5, 7, 20):
        after = Cursor(folder, EVENTS).read(read, 1 << 20)[-1].after
        position = {"target": "t", "events": list(after), "snapshots": [0, 0]}
        (folder / "position-ab.json").write_text(json.dumps(position))
        assert unshipped_records(segment) == 20 - read
    position = {"target": "t", "events": [segment.number, 0], "snapshots": [0, 0]}
    (folder / "position-ab.json").write_text(json.dumps(position))
    assert unshipped_records(segment) == 20
    mark_shipped(segment)
    assert unshipped_records(segments(folder)[0]) == 0


def test_deleting_old_segments_takes_none_of_them_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of an earlier server's, too.
    writer = Writer(folder, segment=20_000)
    for _ in range(10):
        writer.put(EVENTS, 200, size=30)
        writer.journal.round()
    writer.journal.close()
    looked = [0]

    def counting(data: bytes, *given: int) -> object:
        looked[0] += len(data)
        return frames(data, *given)

    monkeypatch.setattr("ecsnet.analytics.retention.frames", counting)
    before = len(ticks(folder))
    size = sum(segment.path.stat().st_size for segment in segments(folder))
    limits = Limits(folder=size, segment=20_000)
    journal = Journal(folder, "srv", limits=limits)
    match = journal.begin(bytes(16), 0, "", 60.0)
    for n in range(1, 1001):
        event = Event(match, n, n, 0, "t", None, None, False, {"text": "x" * 30})
        journal.put(EVENTS, match, encode(event))
        if n % 100 == 0:
            journal.round()
    journal.close()
    lost = journal.lost
    assert lost == Lost(events=before + 1000 - len(ticks(folder)))
    assert lost.events > 500
    assert 0 < looked[0] < 2000
