"""``perf analytics``: how long ticks take with analytics, beside the same game without.

The game has core one; its clients, the shipper and the database have core two. Each pair of runs is
one with 1,000 documents a second, shipped to a real database, and one without analytics.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

import ecsnet as net
from ecsnet.analytics.reader import Series, documents
from ecsnet.analytics.service import AnalyticsService
from ecsnet.simulation.observer import Observer
from perf.bots import players
from perf.build import first_on_path
from perf.children import Begun, Child, Ready, cores, free_port
from perf.game import crowd
from perf.load import Stop
from perf.report import PerfError, Report, Row, paired, single

RATE = 60.0
JOIN_SECONDS = 60.0
DOCUMENTS = 1000
"""A second."""


@dataclass(frozen=True)
class Timed:
    """What a run was like.

    Attributes:
        ticks: How long each took, in seconds.
        waiting: The most bytes of documents that waited in memory.
        lost: Documents that were dropped.
    """

    ticks: list[float]
    waiting: int
    lost: int


@dataclass(frozen=True)
class Kept:
    """What came of the documents of a run.

    Attributes:
        rate: Documents a second.
        shipped: Share of them that the database has.
    """

    rate: float
    shipped: float


def serve(
    connection: Connection, port: int, clients: int, folder: Path | None, warmup: int, ticks: int
) -> None:
    """Child: the crowd of ``perf tick``, which tells of a thousand things a second."""
    server = crowd(clients, entities=1000, rate=RATE)
    if folder is not None:
        server.analytics = net.Analytics(folder, server="perf")
    timed: list[float] = []
    began, waiting, owed = 0.0, 0, 0.0
    count = -warmup

    @server.on_start
    def start() -> None:
        assert server.host is not None
        (room,) = server.host.rooms
        room.observers.add(End())  # behind everything else, analytics included
        connection.send(Ready())

    @server.system(priority=1000)
    def begin(_dt: float) -> None:
        nonlocal began
        began = perf_counter()

    @server.system(priority=1)
    def tell(_dt: float) -> None:
        nonlocal owed
        owed += DOCUMENTS / RATE
        while owed >= 1:
            owed -= 1
            net.analytics_event("pickup", entity=7, item="potion", gold=13, at=(10.5, 20.25))

    class End(Observer):
        def tick_ended(self, tick: int) -> None:
            nonlocal count, waiting
            took = perf_counter() - began
            assert server.host is not None
            (room,) = server.host.rooms
            if len(room.seats) < clients:
                return
            count += 1
            if count == 1:
                connection.send(Begun())
            if count >= 1:
                timed.append(took)
            lost = 0
            for source in server.host.sources:
                assert isinstance(source, AnalyticsService)
                waiting = max(waiting, source.journal.waiting)
                lost = source.journal.lost.total
            if count == ticks:
                connection.send(Timed(timed, waiting, lost))
                server.stop()

    server.run("127.0.0.1", port)
    connection.send(Ready())  # all is on the disk


def ship(connection: Connection, folder: Path, uri: str) -> None:
    """Child: ships a journal until it is ended."""
    from ecsnet.analytics.ship import ship as run

    connection.send(Ready())
    run(folder, uri, follow=True, driver="motor", expire_days=None)


def run(command: str, runs: int, seconds: float, clients: int, build: Path | None) -> Report:
    """Runs ``runs`` pairs and tells how they compare.

    Args:
        command: The command line, for the report.
        runs: How many pairs.
        seconds: How long each run is measured.
        clients: How many clients play.
        build: Where servers import ecsnet from; see `perf.build`. The working tree if None.
    """
    ticks = round(seconds * RATE)
    pairs: list[tuple[Timed, Timed]] = []
    kept: list[Kept] = []
    with database() as uri:
        for index in range(runs):
            name = f"{uri}/perf{os.getpid()}_{index}"
            with tempfile.TemporaryDirectory() as folder:
                keeping, outcome = _keeping(Path(folder, "journal"), name, clients, ticks, build)
            plain = _plain(clients, ticks, build)
            pairs.append((keeping, plain))
            kept.append(outcome)
            print(
                f"run {index + 1} of {runs}: p99 {_p99(keeping) * 1e3:.2f} ms beside"
                f" {_p99(plain) * 1e3:.2f}, {outcome.rate:.0f} documents/s",
                file=sys.stderr,
            )
    return Report("analytics", command, _rows(pairs, kept))


@contextmanager
def database() -> Iterator[str]:
    """A MongoDB-wire server on the second core: that of the tests."""
    from tests.analytics import mongod

    given = os.environ.get(mongod.URI)
    if given:
        yield given.rstrip("/")
        return
    before = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(0, {cores()[1]})
        try:
            server = mongod.Mongod(Path(folder))
        except mongod.NoServerError as error:
            raise PerfError(f"no database: {error}") from error
        finally:
            os.sched_setaffinity(0, before)
        try:
            yield server.uri
        finally:
            server.close()


def _keeping(
    folder: Path, uri: str, clients: int, ticks: int, build: Path | None
) -> tuple[Timed, Kept]:
    folder.mkdir()
    with Child(ship, cores()[1], folder, uri) as shipper:
        shipper.expect(Ready, 30)
        timed = _timed(clients, folder, ticks, build)
        written = sum(sum(1 for _ in documents(folder, series)) for series in Series)
        shipped = _arrived(uri, written)
    # From the first tick on: those before the measured ones told as much.
    spanned = [document["time"] for document in documents(folder, Series.EVENTS)]
    span = (max(spanned) - min(spanned)).total_seconds()  # type: ignore[operator,type-var]
    return timed, Kept(written / span, shipped / written)


def _plain(clients: int, ticks: int, build: Path | None) -> Timed:
    return _timed(clients, None, ticks, build)


def _timed(clients: int, folder: Path | None, ticks: int, build: Path | None) -> Timed:
    server_core, load_core = cores()
    port = free_port()
    with first_on_path(build):
        server = Child(serve, server_core, port, clients, folder, round(2 * RATE), ticks)
    with server:
        server.expect(Ready, JOIN_SECONDS)
        with Child(players, load_core, port, clients, RATE) as load:
            load.tell(Ready())
            load.expect(Ready, JOIN_SECONDS)
            server.expect(Begun, JOIN_SECONDS)
            load.tell(Begun())
            timed = server.expect(Timed, 30 + 3 * ticks / RATE)
            load.tell(Stop(ticks))
        server.expect(Ready, 30)
    return timed


def _arrived(uri: str, expected: int, seconds: float = 30.0) -> int:
    """How many documents the database has once all are there, or nothing has come for a while."""
    import pymongo

    deadline = perf_counter() + seconds
    with pymongo.MongoClient[dict[str, object]](uri) as client:
        collections = [client.get_default_database()[n] for n in ("server_events", "game_state")]
        while True:
            count = sum(collection.count_documents({}) for collection in collections)
            if count >= expected or perf_counter() > deadline:
                return count


def _p99(timed: Timed) -> float:
    return sorted(timed.ticks)[int(len(timed.ticks) * 0.99)]


def _rows(pairs: list[tuple[Timed, Timed]], kept: list[Kept]) -> list[Row]:
    def row(name: str, share: float) -> Row:
        keeping, plain = (
            [sorted(timed.ticks)[int(len(timed.ticks) * share)] * 1e3 for timed in side]
            for side in zip(*pairs, strict=True)
        )
        return paired(f"tick, {name}", "ms", keeping, plain)

    keeping = [pair[0] for pair in pairs]
    rows = [row("p99", 0.99), row("median", 0.5)]
    waiting = single("most that waits in memory", "MiB", [k.waiting / 2**20 for k in keeping])
    rows.append(replace(waiting, value=max(k.waiting / 2**20 for k in keeping)))
    rows.append(single("documents", "a second", [each.rate for each in kept]))
    rows.append(single("in the database", "share", [each.shipped for each in kept]))
    rows.append(Row("lost", sum(k.lost for k in keeping), "in all", runs=len(keeping)))
    return rows
