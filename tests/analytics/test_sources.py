"""Where reports read: whatever holds the documents, they are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.analytics.maps import heat, timeline
from ecsnet.analytics.reports import summaries, suspects, usage
from ecsnet.analytics.sources import (
    JournalSource,
    MongoSource,
    Source,
    _in_order,
    choose,
    matches_of,
)
from ecsnet.analytics.values import Document
from ecsnet.errors import UsageError
from tests.analytics.played import A, B, C, Played, some_matches


def insert(uri: str, played: Played) -> None:
    import pymongo

    with pymongo.MongoClient(uri) as client:
        database = client.get_default_database()
        for name, documents in (
            ("server_events", played.events()),
            ("game_state", played.states()),
        ):
            # Backwards: a shipper that tries again brings documents in any order.
            for document in list(documents)[::-1]:
                database[name].insert_one(document)


def of(documents: Iterator[Document], match: str) -> list[Document]:
    return [document for document in documents if document["match"] == match]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    some_matches().write(tmp_path)
    return tmp_path


# Matches.


def test_matches_are_told_by_their_events(journal: Path) -> None:
    first, second, third = JournalSource(journal).matches()
    assert [first.id, second.id, third.id] == [A, B, C]
    assert (first.room, first.server, first.tick_rate, first.ticks) == ("red", "here", 10.0, 42)
    assert [each.state for each in (first, second, third)] == [
        "stopped",
        "failed",
        "running or crashed",
    ]
    assert first.ended is not None
    assert (first.ended - first.started).total_seconds() == 4.2
    assert third.ended is None
    assert third.ticks == 7  # of its last event
    assert [component.name for component in first.components] == [
        "ecsnet.Position",
        "game.Score",
        "game.Ghost",
    ]
    assert first.commands == ("game.Jump", "game.Move", "game.Wave")
    assert first.events == ("game.Boom", "game.Calm")


def test_a_match_whose_first_event_was_lost_is_one_nevertheless() -> None:
    played = Played()
    number = played.match("ab", starts=False)
    played.event(number, "join", 3, 1, 5, name="Ada")
    [match] = matches_of(played.events())
    assert (match.ticks, match.tick_rate, match.components) == (3, None, ())


def test_a_document_of_somebody_else_is_told() -> None:
    with pytest.raises(UsageError, match=r"'x' is none of ecsnet's: .*; is this the right"):
        matches_of([{"_id": "x", "type": "start"}])


def test_events_that_are_not_what_ecsnet_writes_say_nothing_more() -> None:
    played = Played()
    number = played.match("ab", starts=False)
    played.event(number, "start", 0, tick_rate="fast", components=3)
    played.event(number, "stop", 9, ticks=None, reason=4)
    [match] = matches_of(played.events())
    assert (match.tick_rate, match.ticks, match.state) == (None, 9, "stopped")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["all"], [A, B, C]),
        (["latest"], [C]),
        ([A], [A]),
        (["c"], [C]),
        (["C0FFEE"], [C]),
        (["latest", "a1", "c0"], [A, C]),
        (["latest", "all"], [A, B, C]),
    ],
)
def test_matches_are_chosen(wanted: list[str], found: list[str]) -> None:
    matches = matches_of(some_matches().events())
    assert [match.id for match in choose(matches, wanted, "here")] == found


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("a", f"'a' is the beginning of 2 matches, such as {A} and {B}: give more of it"),
        ("b", "there is no match 'b' among the 3 in here: give an id or the beginning of one"),
    ],
)
def test_a_match_that_is_not_there_is_told(wanted: str, says: str) -> None:
    matches = matches_of(some_matches().events())
    with pytest.raises(UsageError) as caught:
        choose(matches, ["latest", wanted], "here")
    assert says in str(caught.value)


def test_no_matches_are_told() -> None:
    with pytest.raises(UsageError, match="there are no matches in here yet"):
        choose([], ["all"], "here")


# Journals.


def test_a_journal_gives_what_was_written(journal: Path) -> None:
    source, played = JournalSource(journal), some_matches()
    assert list(source.events(A, B, C)) == list(played.events())
    assert list(source.states(A, B, C)) == list(played.states())
    assert list(source.states(B)) == of(played.states(), B)
    assert [each["match"] for each in source.states(A, C)].count(C) == 1
    assert list(source.states()) == []
    assert not source.damage()


def test_damage_is_counted_once(journal: Path) -> None:
    [path] = journal.glob("events-*")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    source = JournalSource(journal)
    assert len(source.matches()) == 3
    assert len(list(source.events(A, B, C))) == len(list(some_matches().events())) - 1
    damage = source.damage()
    assert damage.segments == 1
    assert 0 < damage.bytes < len(data)


def test_what_cannot_be_read_is_not_called_damaged(journal: Path) -> None:
    [path] = journal.glob("events-*")
    path.unlink()
    path.mkdir()
    with pytest.raises(UsageError, match=r"events-.* cannot be read: Is a directory"):
        JournalSource(journal).matches()


def test_no_journal_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere: a server makes one"):
        JournalSource(tmp_path / "nowhere")


# MongoDB.


def test_all_reports_are_the_same_from_either(journal: Path, database: str) -> None:
    played = some_matches()
    insert(database, played)
    with closing(MongoSource(database)) as mongo:
        sources: list[Source] = [JournalSource(journal), mongo]
        for match in (A, B, C):
            events, states = [
                [list(each.events(match)), list(each.states(match))] for each in sources
            ]
            assert events == states
        matches = matches_of(played.events())
        reports: list[Callable[[Source], object]] = [
            lambda source: source.matches(),
            lambda source: summaries(matches, source.events(A, B, C), source.states(A, B, C)),
            lambda source: usage(matches, source.events(A, B, C), source.states(A, B, C)),
            lambda source: suspects(matches, source.events(A, B, C)),
            lambda source: heat(matches, source.states(A, B, C), "position"),
            lambda source: timeline(matches[0], source.events(A), source.states(A), 12),
        ]
        for report in reports:
            assert report(sources[0]) == report(mongo)
        assert mongo.matches() == matches
        assert not mongo.damage()


def test_parts_of_a_large_slice_are_in_order(database: str) -> None:
    played = Played()
    number = played.match("ab")
    many = {entity: (None, {"position": (float(entity), 0.0)}) for entity in range(9000)}
    played.snapshot(number, 1, many)
    documents = list(played.states())
    assert len(documents) >= 10
    insert(database, played)
    with closing(MongoSource(database)) as source:
        match = str(documents[0]["match"])
        assert list(source.states(match)) == documents


@given(parts=st.lists(st.integers(0, 30), max_size=6))
def test_documents_are_in_order_and_each_is_there_once(parts: list[int]) -> None:
    written: list[Document] = [
        {"_id": f"ab-{sequence:08d}" + (f".{part}" if parts[sequence] else "")}
        for sequence in range(len(parts))
        for part in range(1, max(parts[sequence], 1) + 1)
    ]
    stored = sorted(written * 2, key=lambda document: str(document["_id"]))
    assert list(_in_order(stored)) == written


def test_ints_are_ints_however_wide(database: str) -> None:
    played = Played()
    number = played.match("ab")
    played.event(number, "coin", 1, own=False, worth=2**40, small=3)
    insert(database, played)
    with closing(MongoSource(database)) as source:
        [_, coin] = source.events(str(next(played.events())["match"]))
    data = coin["data"]
    assert isinstance(data, dict)
    assert [(type(value), value) for value in data.values()] == [(int, 2**40), (int, 3)]


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("localhost:27017", "write mongodb://HOST:PORT/DATABASE"),
        ("mongodb://", "this is no MongoDB URI"),
        ("mongodb://me:secret@localhost:1/a.b?bogus", "cannot be read"),
    ],
)
def test_a_uri_that_is_none_is_told(uri: str, says: str) -> None:
    pytest.importorskip("pymongo")
    with pytest.raises(UsageError, match=says) as caught:
        MongoSource(uri)
    assert "secret" not in str(caught.value)


def test_a_database_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pymongo")
    monkeypatch.setattr("ecsnet.analytics.sources.PATIENCE", 0.1)
    with pytest.raises(UsageError) as caught:
        MongoSource("mongodb://me:secret@127.0.0.1:1/game")
    assert str(caught.value).startswith("the MongoDB at 127.0.0.1:1/game cannot be read: ")
    assert "Connection refused" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_match_whose_oldest_events_were_deleted_still_has_its_schema(tmp_path: Path) -> None:
    whole = some_matches()
    whole.write(tmp_path / "whole")
    expected = JournalSource(tmp_path / "whole").matches()
    lost = some_matches()
    lost.records = [
        (series, record)
        for series, record in lost.records
        if getattr(record, "type", None) != "start"
    ]
    lost.write(tmp_path / "lost")
    source = JournalSource(tmp_path / "lost")
    found = source.matches()
    assert [(match.id, match.tick_rate, match.ticks) for match in found] == [
        (match.id, match.tick_rate, match.ticks) for match in expected
    ]
    assert all(match.components == expected[0].components for match in found)
    assert len(expected[0].components) == 3
    assert "start" not in {event["type"] for event in source.events(A, B, C)}
