"""The shipper's logic, without a database and without waiting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ecsnet.analytics import shipper as module
from ecsnet.analytics.checkpoint import Checkpoint
from ecsnet.analytics.folder import Segment, State, segments
from ecsnet.analytics.reader import Entry, Offset
from ecsnet.analytics.segment import Series
from ecsnet.analytics.shipper import BATCH_BYTES, BATCH_DOCUMENTS, FLUSH_SECONDS, Shipper
from ecsnet.analytics.sink import Refused, Unavailable
from ecsnet.analytics.values import Document
from tests.analytics.made import event

EVENTS, STATES = "server_events", "game_state"

Judge = Callable[[str, Sequence[Document]], None]


class MemorySink:
    """Stores documents by their ids, and what it was asked in which order."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Document]] = {EVENTS: {}, STATES: {}}
        self.asked: list[tuple[str, list[str]]] = []
        self.doubled = 0
        self.judges: list[Judge] = []
        self.in_flight = 0

    async def write(self, collection: str, documents: Sequence[Document]) -> None:
        assert self.in_flight == 0, "one insert in flight"
        self.in_flight += 1
        try:
            await asyncio.sleep(0)
            self.asked.append((collection, ids(documents)))
            for judge in self.judges:
                judge(collection, documents)
            for document in documents:
                self.stored[collection].setdefault(str(document["_id"]), document)
        finally:
            self.in_flight -= 1

    async def aclose(self) -> None:
        pass


class Feed:
    """A series in memory: segment 1, one document at each offset."""

    def __init__(self, documents: Sequence[Document] = (), size: int = 100) -> None:
        self.documents = list(documents)
        self.size = size
        self.at = 0
        self.asked: list[tuple[int, int]] = []
        self.done: list[Segment] = []

    def read(self, documents: int, size: int) -> list[Entry]:
        self.asked.append((documents, size))
        count = min(documents, size // self.size)
        taken = self.documents[self.at : self.at + count]
        first = self.at + 1
        self.at += len(taken)
        return [Entry(each, self.size, Offset(1, first + n)) for n, each in enumerate(taken)]

    def finished(self) -> list[Segment]:
        done, self.done = self.done, []
        return done


class Pauses:
    """Time that passes at once. ``then`` is called with how often it has."""

    def __init__(self, then: Callable[[int], None] = lambda _: None) -> None:
        self.slept: list[float] = []
        self.flush = asyncio.Event()
        self._then = then

    async def sleep(self, seconds: float) -> None:
        if seconds == FLUSH_SECONDS:
            await self.flush.wait()
            return
        self.slept.append(seconds)
        assert len(self.slept) < 5000, "it waits for ever"
        self._then(len(self.slept))
        await asyncio.sleep(0)


def ids(documents: Sequence[Document]) -> list[str]:
    return [str(document["_id"]) for document in documents]


def made(series: str, count: int) -> list[Document]:
    return [{**event(seq), "_id": f"{series}{seq}"} for seq in range(1, count + 1)]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint(tmp_path, "somewhere/x") as checkpoint:
        yield checkpoint


def run(
    sink: MemorySink,
    checkpoint: Checkpoint,
    events: Feed,
    states: Feed | None = None,
    *,
    follow: bool = False,
    then: Callable[[int, Shipper], None] = lambda _, __: None,
) -> tuple[Shipper, list[float]]:
    """Ship; ``then`` is called at each pause, and by the 200th it is told to stop."""

    async def ship() -> tuple[Shipper, list[float]]:
        def paused(count: int) -> None:
            then(count, shipper)
            if count == 200:
                shipper.stop()

        pauses = Pauses(paused)
        feeds = {Series.EVENTS: events, Series.SNAPSHOTS: states or Feed()}
        shipper = Shipper(
            sink, checkpoint, feeds, sleep=pauses.sleep, uniform=lambda least, most: most
        )
        await shipper.run(follow=follow)
        return shipper, pauses.slept

    return asyncio.run(ship())


def refuse(*bad: str, until: Callable[[], bool] = lambda: False) -> Judge:
    def judge(_: str, documents: Sequence[Document]) -> None:
        if set(bad) & set(ids(documents)) and not until():
            raise Refused("no such thing")

    return judge


def alone(sink: MemorySink, name: str) -> int:
    """How often a document was offered alone."""
    return sum(asked == [name] for _, asked in sink.asked)


# The ordinary way.


def test_everything_arrives_in_batches_and_in_turn(checkpoint: Checkpoint) -> None:
    sink = MemorySink()
    shipper, slept = run(sink, checkpoint, Feed(made("e", 450)), Feed(made("s", 250)))
    assert list(sink.stored[EVENTS]) == ids(made("e", 450))
    assert list(sink.stored[STATES]) == ids(made("s", 250))
    assert [(name, len(asked)) for name, asked in sink.asked] == [
        (EVENTS, 200),
        (STATES, 200),
        (EVENTS, 200),
        (STATES, 50),
        (EVENTS, 50),
    ]
    assert (shipper.taken, shipper.set_aside, slept) == (700, 0, [])
    assert checkpoint.places == {Series.EVENTS: Offset(1, 450), Series.SNAPSHOTS: Offset(1, 250)}


def test_batches_are_small(checkpoint: Checkpoint) -> None:
    feed = Feed(made("e", 30), size=30_000)
    sink = MemorySink()
    run(sink, checkpoint, feed)
    assert (BATCH_DOCUMENTS, BATCH_BYTES) == (200, 256 * 1024)
    assert set(feed.asked) == {(200, 256 * 1024)}
    assert max(len(asked) for _, asked in sink.asked) == 8


def test_following_waits_for_more(checkpoint: Checkpoint) -> None:
    sink, feed = MemorySink(), Feed(made("e", 3))

    def then(count: int, shipper: Shipper) -> None:
        if count == 5:
            feed.documents += made("f", 2)
        if count == 9:
            feed.documents += made("g", 2)
            shipper.stop()

    _, slept = run(sink, checkpoint, feed, follow=True, then=then)
    assert len(sink.stored[EVENTS]) == 7, "what was there at the end, too"
    assert len(slept) == 9
    assert max(slept) <= 0.5, "2 s after it happened it is on its way"


def test_the_checkpoint_never_is_ahead_of_the_database(checkpoint: Checkpoint) -> None:
    sink = MemorySink()

    def look(collection: str, documents: Sequence[Document]) -> None:
        place = checkpoint.places[Series.EVENTS]
        assert len(sink.stored[EVENTS]) == place.offset

    sink.judges.append(look)
    run(sink, checkpoint, Feed(made("e", 1000)))
    assert checkpoint.places[Series.EVENTS] == Offset(1, 1000)


def test_segments_are_marked_once_every_target_has_them(checkpoint: Checkpoint) -> None:
    folder = checkpoint.folder
    for number in (1, 2, 4):
        Segment.named(folder, Series.EVENTS, number, State.SEALED).path.touch()
    names = segments(folder)
    with Checkpoint(folder, "elsewhere/x") as other:
        other.save({Series.EVENTS: Offset(2, 5), Series.SNAPSHOTS: Offset(1, 1)})
        feed = Feed(made("e", 2))
        feed.done = names
        run(MemorySink(), checkpoint, feed)
        assert [each.state.value for each in segments(folder)] == ["shipped", "sealed", "sealed"]
        assert checkpoint.places[Series.EVENTS] == Offset(5, 0)
        other.save({Series.EVENTS: Offset(5, 0), Series.SNAPSHOTS: Offset(1, 1)})
    run(MemorySink(), checkpoint, Feed())
    assert {each.state for each in segments(folder)} == {State.SHIPPED}


def test_a_full_disk_stops_no_shipping(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save", full)
    path = Segment.named(checkpoint.folder, Series.EVENTS, 1, State.SEALED).path
    path.touch()
    feed = Feed(made("e", 600))
    feed.done = segments(checkpoint.folder)
    sink = MemorySink()
    with caplog.at_level(logging.INFO, "ecsnet.analytics"):
        run(sink, checkpoint, feed)
    assert len(sink.stored[EVENTS]) == 600
    assert [each.state for each in segments(checkpoint.folder)] == [State.SHIPPED]
    assert sum("No space left" in record.getMessage() for record in caplog.records) == 1


# A database that is away.


def test_it_waits_longer_and_longer_and_says_so_once(
    checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    sink = MemorySink()
    down = iter([True] * 12)

    def judge(_: str, __: Sequence[Document]) -> None:
        if next(down, False):
            raise Unavailable("connection refused")

    sink.judges.append(judge)
    with caplog.at_level(logging.INFO, "ecsnet.analytics"):
        _, slept = run(sink, checkpoint, Feed(made("e", 300)))
    assert slept[:8] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0])
    assert max(slept) == 10.0
    assert len(sink.stored[EVENTS]) == 300
    first, second = [record.getMessage() for record in caplog.records]
    assert "connection refused" in first
    assert "shipping to somewhere/x" in second


def test_the_wait_is_jittered() -> None:
    import inspect
    import random

    assert inspect.signature(Shipper).parameters["uniform"].default == random.uniform


def test_the_same_batch_is_sent_again_whole(checkpoint: Checkpoint) -> None:
    sink = MemorySink()
    failures = iter([True, False, True, True])

    def judge(_: str, documents: Sequence[Document]) -> None:
        if documents and next(failures, False):
            raise Unavailable("stepped down")

    sink.judges.append(judge)
    run(sink, checkpoint, Feed(made("e", 400)))
    assert [len(asked) for _, asked in sink.asked] == [200, 200, 200, 200, 200]
    assert len(sink.stored[EVENTS]) == 400


# Documents that it does not take.


def test_a_bad_document_is_found_and_the_others_arrive(checkpoint: Checkpoint) -> None:
    sink = MemorySink()
    sink.judges.append(refuse("e77"))
    shipper, _ = run(sink, checkpoint, Feed(made("e", 900)))
    assert set(ids(made("e", 900))) - set(sink.stored[EVENTS]) == {"e77"}
    assert (shipper.set_aside, alone(sink, "e77")) == (1, 3)
    assert [each.document["_id"] for each in checkpoint.aside()] == ["e77"]
    assert checkpoint.aside()[0].reason == "no such thing"
    assert checkpoint.places[Series.EVENTS] == Offset(1, 900)


def test_nothing_is_set_aside_before_others_are_taken(checkpoint: Checkpoint) -> None:
    """A database that takes nothing says nothing about any one document."""
    sink, feed = MemorySink(), Feed(made("e", 3))
    sink.judges.append(refuse("e1", "e2", "e3"))
    seen: list[int] = []

    def then(count: int, shipper: Shipper) -> None:
        seen.append(shipper.set_aside)
        if count == 190:
            shipper.stop()

    shipper, _ = run(sink, checkpoint, feed, follow=True, then=then)
    assert min(alone(sink, f"e{n}") for n in (1, 2, 3)) >= 3
    assert (set(seen), checkpoint.aside(), shipper.refused) == ({0}, [], 3)
    assert checkpoint.places[Series.EVENTS] == Offset(0, 0), "it does not move over them"


def test_each_failure_counts_after_another_was_taken(checkpoint: Checkpoint) -> None:
    sink, feed = MemorySink(), Feed(made("e", 1))
    sink.judges.append(refuse("e1"))
    aside: dict[int, int] = {}

    def then(count: int, shipper: Shipper) -> None:
        aside[count] = shipper.set_aside
        if count in (50, 100):
            feed.documents += made("f" if count == 50 else "g", 1)

    run(sink, checkpoint, feed, follow=True, then=then)
    assert (aside[100], aside[102]) == (0, 1), "the first, and one after each of two others"


def test_what_is_refused_for_a_while_is_taken_in_the_end(checkpoint: Checkpoint) -> None:
    sink, feed = MemorySink(), Feed(made("e", 500))
    well: list[bool] = []
    sink.judges.append(refuse(*ids(made("e", 500)), until=lambda: bool(well)))

    def then(count: int, shipper: Shipper) -> None:
        if count == 60:
            assert shipper.refused
            well.append(True)
        if count == 150:
            shipper.stop()

    shipper, slept = run(sink, checkpoint, feed, follow=True, then=then)
    assert len(sink.stored[EVENTS]) == 500
    assert (shipper.refused, shipper.set_aside) == (0, 0)
    assert checkpoint.places[Series.EVENTS] == Offset(1, 500)
    assert len(slept) == 150


def test_a_database_that_refuses_everything_is_not_hammered(
    checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    sink, feed = MemorySink(), Feed(made("e", 5000))
    sink.judges.append(refuse(*ids(made("e", 5000))))
    with caplog.at_level(logging.INFO, "ecsnet.analytics"):
        run(sink, checkpoint, feed, follow=True)
    assert len(sink.asked) < 399 + 30, "one batch to its documents, then one now and then"
    assert feed.at == BATCH_DOCUMENTS, "and no more is read"
    assert sum("does not take any" in record.getMessage() for record in caplog.records) == 1


def test_what_is_set_aside_is_offered_at_every_start(checkpoint: Checkpoint) -> None:
    sink = MemorySink()
    sink.judges.append(refuse("e5", "e6"))
    run(sink, checkpoint, Feed(made("e", 600)))
    assert len(checkpoint.aside()) == 2
    sink.judges = [refuse("e6")]
    shipper, _ = run(sink, checkpoint, Feed())
    assert [each.document["_id"] for each in checkpoint.aside()] == ["e6"]
    assert shipper.set_aside == 1
    sink.judges = []
    shipper, _ = run(sink, checkpoint, Feed())
    assert checkpoint.aside() == []
    assert len(sink.stored[EVENTS]) == 600


def test_aside_is_on_the_disk_before_the_checkpoint_moves(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = MemorySink()
    sink.judges.append(refuse("e5"))
    save = checkpoint.save

    def saving(places: dict[Series, Offset]) -> None:
        if places[Series.EVENTS] > Offset(1, 4):
            assert len(checkpoint.aside()) == 1
        save(places)

    monkeypatch.setattr(checkpoint, "save", saving)
    run(sink, checkpoint, Feed(made("e", 600)))
    assert checkpoint.places[Series.EVENTS] == Offset(1, 600)


def test_what_cannot_be_set_aside_is_kept(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "set_aside", full)
    sink = MemorySink()
    sink.judges.append(refuse("e5"))
    shipper, _ = run(sink, checkpoint, Feed(made("e", 900)))
    assert (shipper.refused, shipper.set_aside) == (1, 0)
    assert checkpoint.places[Series.EVENTS] == Offset(1, 4)


# Documents over which the connection is lost.


def cutting(*bad: str) -> Judge:
    def judge(_: str, documents: Sequence[Document]) -> None:
        if set(bad) & set(ids(documents)):
            raise Unavailable("connection closed", cut=True)

    return judge


def test_a_document_that_breaks_the_connection_is_found(
    checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    sink = MemorySink()
    sink.judges.append(cutting("e77", "e150"))
    with caplog.at_level(logging.INFO, "ecsnet.analytics"):
        shipper, slept = run(sink, checkpoint, Feed(made("e", 900)))
    assert len(sink.stored[EVENTS]) == 898
    assert shipper.set_aside == 2
    assert max(slept) < 0.5, "a server that answers is not waited for"
    assert not any("takes no documents" in record.getMessage() for record in caplog.records)


def test_a_connection_lost_once_takes_nothing_apart(checkpoint: Checkpoint) -> None:
    sink = MemorySink()
    cuts = iter([True])

    def judge(_: str, documents: Sequence[Document]) -> None:
        if documents and next(cuts, False):
            raise Unavailable("connection closed", cut=True)

    sink.judges.append(judge)
    run(sink, checkpoint, Feed(made("e", 400)))
    assert [len(asked) for _, asked in sink.asked] == [200, 0, 200, 200]


def test_connections_lost_to_a_server_that_is_gone_take_nothing_apart(
    checkpoint: Checkpoint,
) -> None:
    sink = MemorySink()
    down = iter([True] * 20)

    def judge(_: str, __: Sequence[Document]) -> None:
        if next(down, False):
            raise Unavailable("connection closed", cut=True)

    sink.judges.append(judge)
    run(sink, checkpoint, Feed(made("e", 400)))
    assert {len(asked) for _, asked in sink.asked} == {0, 200}
    assert len(sink.stored[EVENTS]) == 400


# The end.


def test_a_database_that_is_away_is_not_waited_for_at_the_end(checkpoint: Checkpoint) -> None:
    sink = MemorySink()

    def away(_: str, __: Sequence[Document]) -> None:
        raise Unavailable("connection refused")

    sink.judges.append(away)

    def then(count: int, shipper: Shipper) -> None:
        if count == 7:
            shipper.stop()

    _, slept = run(sink, checkpoint, Feed(made("e", 3)), follow=True, then=then)
    assert len(slept) == 7


def test_a_write_that_hangs_ends_with_the_flush(checkpoint: Checkpoint) -> None:
    class Hanging(MemorySink):
        async def write(self, collection: str, documents: Sequence[Document]) -> None:
            began.set()
            await asyncio.Event().wait()

    began = asyncio.Event()

    async def ship() -> None:
        pauses = Pauses()
        feeds = {Series.EVENTS: Feed(made("e", 3)), Series.SNAPSHOTS: Feed()}
        shipper = Shipper(Hanging(), checkpoint, feeds, sleep=pauses.sleep)
        running = asyncio.ensure_future(shipper.run(follow=True))
        await began.wait()
        shipper.stop()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not running.done(), "it has 5 s"
        pauses.flush.set()
        await running

    asyncio.run(ship())
    assert module.FLUSH_SECONDS == 5.0
    assert checkpoint.places[Series.EVENTS] == Offset()


def test_who_has_no_patience_gives_up_and_leaves_the_rest(checkpoint: Checkpoint) -> None:
    sink = MemorySink()

    def judge(_: str, __: Sequence[Document]) -> None:
        raise Unavailable("connection refused")

    sink.judges.append(judge)

    async def ship() -> Shipper:
        feeds = {Series.EVENTS: Feed(made("e", 10))}
        shipper = Shipper(sink, checkpoint, feeds, sleep=lambda _: asyncio.sleep(0))
        await shipper.run(follow=False, patient=False)
        return shipper

    shipper = asyncio.run(ship())
    assert not shipper.done
    assert 1 < len(sink.asked) < 20
    assert checkpoint.places[Series.EVENTS] == Offset()
