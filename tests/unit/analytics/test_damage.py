"""A bit that changes costs what it damages, or 320 KiB at most; and what it costs is told."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from ecsnet.analytics.folder import State, rename, segments
from ecsnet.analytics.journal import Journal, Limits
from ecsnet.analytics.reader import Cursor, Damage, documents
from ecsnet.analytics.records import Declared, Event, Head, Mark, Match, Slice, decode, encode
from ecsnet.analytics.segment import HEADER, Frame, Series, frames, seed_of
from ecsnet.analytics.writer import REPEAT_BYTES, REPEAT_SHARE
from ecsnet.schema import PLAIN
from tests.unit.journals import EVENTS, SNAPSHOTS, Writer, ticks

MOST_LOST = 320 * 1024


@dataclass
class One:
    """A journal of one sealed segment."""

    path: Path
    data: bytes
    frames: list[Frame]

    @classmethod
    def of(cls, folder: Path) -> One:
        (segment,) = segments(folder)
        data = segment.path.read_bytes()
        return cls(segment.path, data, list(frames(data[HEADER:], seed_of(data) or 0)))

    def places(self, kind: type) -> list[Frame]:
        return [found for found in self.frames if isinstance(decode(found.payload), kind)]

    def flip(self, at: int, bit: int = 0) -> None:
        broken = bytearray(self.data)
        broken[at] ^= 1 << bit
        self.path.write_bytes(broken)


def check_lost(one: One, series: Series, before: list[object]) -> int:
    """After one bit: little is lost, as much is told, and all else is as it was; how many."""
    damage = Damage()
    after = ticks(one.path.parent, series, damage)
    there = set(after)
    lost = [tick for tick in before if tick not in there]
    assert [tick for tick in before if tick in there] == after
    sizes = {}
    for found in one.frames:
        record = decode(found.payload)
        if isinstance(record, Event | Slice):
            sizes[record.tick] = found.end - found.start
    size = sum(sizes[tick] for tick in lost if isinstance(tick, int))
    assert size <= MOST_LOST
    assert size <= damage.bytes <= MOST_LOST + REPEAT_BYTES
    assert damage.segments == 1
    return len(lost)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> One:
    """A segment of 20,000 events of two matches, in turns."""
    folder = tmp_path_factory.mktemp("played")
    writer = Writer(folder, segment=8 << 20)
    other = writer.journal.begin(bytes(range(16)), 1_700_000_000_000, "red", 60.0)
    for number in range(1, 20_001):
        match = writer.match if number % 2 else other
        writer.journal.put(
            EVENTS,
            match,
            encode(Event(match, number, number, 0, "t", None, None, False, {"n": number})),
        )
        if number % 5_000 == 0:
            writer.journal.round()
    writer.journal.close()
    return One.of(folder)


@pytest.fixture
def large(played: One, folder: Path) -> One:
    """The same, to damage."""
    folder.mkdir()
    path = folder / played.path.name
    path.write_bytes(played.data)
    return One(path, played.data, played.frames)


@pytest.mark.parametrize("which", [0, 1, -1], ids=["first", "second", "last"])
@pytest.mark.parametrize("kind", [Head, Match])
@pytest.mark.parametrize("where", ["length", "checksum", "tag"])
def test_a_bit_in_a_head_or_a_match_costs_little(
    large: One, kind: type, which: int, where: str
) -> None:
    before = ticks(large.path.parent)
    assert len(before) == 20_000
    found = large.places(kind)[which]
    at = {"length": 4, "checksum": 9, "tag": 13}[where]
    large.flip(found.start + at)
    lost = check_lost(large, EVENTS, before)
    if which == 0 and kind is Match:
        assert lost > 100, "the first match frame tells where all until the next one come from"


def test_any_bit_costs_little(large: One) -> None:
    before = ticks(large.path.parent)
    dice = random.Random(41)
    lost = 0
    for _ in range(6):
        large.flip(dice.randrange(HEADER, len(large.data)), dice.randrange(8))
        lost += check_lost(large, EVENTS, before)
    assert lost


def test_a_bit_in_the_schema_of_snapshots_costs_little(folder: Path) -> None:
    declared = tuple(
        Declared(f"c{n}", f"game.C{n}", tuple("abcdefgh"), (PLAIN,) * 8) for n in range(20)
    )
    journal = Journal(folder, "srv", declared, limits=Limits(segment=8 << 20, snapshots=8 << 20))
    match = journal.begin(bytes(16), 0, "", 60.0)
    for n in range(1, 500):
        journal.put(SNAPSHOTS, match, encode(Slice(match, n, n, n, 0, [n] * 1000, [None], [])))
    journal.close()
    one = One.of(folder)
    before = ticks(folder, SNAPSHOTS)
    assert len(before) == 499
    heads = one.places(Head)
    assert len(heads) > 5
    one.flip(heads[0].start + 40)
    assert 0 < check_lost(one, SNAPSHOTS, before) < 250


def test_records_as_long_as_they_can_be_are_each_told_on_their_own(folder: Path) -> None:
    writer = Writer(folder, segment=8 << 20, events=8 << 20)
    writer.put(EVENTS, 10, size=250 * 1024)
    writer.journal.close()
    one = One.of(folder)
    before = ticks(folder)
    assert len(before) == 10
    for kind in (Head, Match):
        one.flip(one.places(kind)[1].start + 14)
        assert check_lost(one, EVENTS, before) <= 1


def test_a_head_and_the_matches_are_said_again(large: One) -> None:
    heads = [found.start for found in large.places(Head)]
    assert heads[0] == HEADER
    apart = [later - earlier for earlier, later in itertools.pairwise(heads)]
    assert len(apart) >= len(large.data) // REPEAT_BYTES
    assert max(apart) <= REPEAT_BYTES + 256
    assert len(large.places(Match)) == 2 * len(heads)


def test_a_long_head_is_not_most_of_a_journal(folder: Path) -> None:
    declared = tuple(
        Declared(f"c{n}", f"game.C{n}", tuple(f"field{m}" for m in range(20)), (PLAIN,) * 20)
        for n in range(200)
    )
    journal = Journal(folder, "srv", declared, limits=Limits(events=8 << 20))
    match = journal.begin(bytes(16), 0, "", 60.0)
    for n in range(1, 20_001):
        journal.put(EVENTS, match, encode(Event(match, n, n, 0, "t", None, None, False, {})))
    journal.close()
    one = One.of(folder)
    heads = one.places(Head)
    assert len(heads) > 1
    assert sum(head.end - head.start for head in heads) < 1.3 * len(one.data) / REPEAT_SHARE + (
        heads[0].end - heads[0].start
    )
    assert len(ticks(folder)) == 20_000


def test_a_shipper_tells_of_records_that_do_not_say_where_they_come_from(large: One) -> None:
    large.flip(large.places(Match)[0].start + 20)
    folder = large.path.parent
    told = Damage()
    expected = ticks(folder, damage=told)
    for renamed in (State.SEALED, State.OPEN):  # being written, the same
        (segment,) = segments(folder)
        rename(segment, renamed)
        cursor = Cursor(folder, EVENTS)
        shipped: list[object] = []
        while entries := cursor.read(500, 1 << 20):
            shipped += [entry.document["tick"] for entry in entries]
        assert shipped == expected
        assert cursor.damage.bytes == told.bytes > 10_000


def test_a_file_that_was_emptied_is_damage_of_no_bytes(folder: Path) -> None:
    writer = Writer(folder)
    writer.put(EVENTS)
    writer.journal.close()
    (segment,) = segments(folder)
    segment.path.write_bytes(b"")
    damage = Damage()
    assert ticks(folder, damage=damage) == []
    assert damage == Damage(1, 0)
    assert str(damage) == "1 segment is damaged, 0 bytes were skipped"
    cursor = Cursor(folder, EVENTS)
    assert cursor.read(10, 1 << 20) == []
    assert cursor.damage == damage


# A reader of format 1 that knows nothing of this.


class OldMark(msgspec.Struct, array_like=True, frozen=True, tag_field="record", tag=4):
    """As it was."""


def test_readers_that_know_marks_without_a_count_read_on(large: One) -> None:
    old = msgspec.msgpack.Decoder(Head | Match | Event | Slice | OldMark)
    known: dict[int, bytes] = {}
    events = 0
    for found in large.frames:
        record = old.decode(found.payload)
        if isinstance(record, Match):
            assert known.setdefault(record.number, record.id) == record.id
        elif isinstance(record, Event):
            assert record.match in known
            events += 1
    assert events == 20_000
    assert encode(OldMark()) == b"\x91\x04"
    assert decode(b"\x91\x04") == Mark(None)


def test_what_one_match_lost_is_not_another_ones(folder: Path, large: One) -> None:
    assert large.path.parent == folder
    # A number means another match in the next segment: nothing is left of the one before.
    writer = Writer(folder)
    writer.put(EVENTS, 5)
    writer.journal.close()
    second = segments(folder)[1]
    data = bytearray(second.path.read_bytes())
    match = list(frames(bytes(data[HEADER:]), seed_of(bytes(data)) or 0))[1]
    assert isinstance(decode(match.payload), Match)
    data[match.start + 15] ^= 1
    second.path.write_bytes(data)
    first = {str(each["match"]) for each in documents(folder, EVENTS)}
    assert len(first) == 2
    damage = Damage()
    assert len(ticks(folder, damage=damage)) == 20_000
    assert damage.bytes > 5 * 20
