"""Processes that ship real journals to a real database, while one or the other goes away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pymongo
import pytest

from ecsnet.analytics import supervisor as minding
from ecsnet.analytics.checkpoint import Checkpoint, TargetInUseError
from ecsnet.analytics.folder import JournalError, State, lock, segments
from ecsnet.analytics.mongo import open_sink
from ecsnet.analytics.reader import documents
from ecsnet.analytics.segment import Series
from ecsnet.analytics.ship import URI_VARIABLE
from ecsnet.analytics.shipper import Shipper
from ecsnet.analytics.supervisor import ShipperSupervisor, ship
from ecsnet.analytics.target import target_name
from ecsnet.errors import UsageError
from tests.analytics import outages
from tests.analytics.made import Game, event, events
from tests.analytics.mongod import Mongod
from tests.analytics.proxy import Proxy
from tests.analytics.test_shipper import Feed

Driver = Literal["motor", "pymongo"]

both = pytest.mark.parametrize("driver", ["motor", "pymongo"])

PATIENCE = 60.0
COLLECTIONS = {Series.EVENTS: "server_events", Series.SNAPSHOTS: "game_state"}


def wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came about"
        time.sleep(0.01)


def stored(uri: str, series: Series = Series.EVENTS) -> list[dict[str, Any]]:
    with pymongo.MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        collection = client.get_default_database("ecsnet")[COLLECTIONS[series]]
        return list(collection.find(sort=[("match", 1), ("_id", 1)]))


def check_equal(folder: Path, uri: str) -> int:
    """Everything in the journal is in the database, as it is, and nothing else; how many."""
    count = 0
    for series in Series:
        kept = sorted(documents(folder, series), key=lambda each: (each["match"], each["_id"]))
        assert stored(uri, series) == kept
        count += len(kept)
    return count


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def game(folder: Path) -> Iterator[Game]:
    game = Game(folder)
    game.journal.start()
    yield game
    game.close()


@contextlib.contextmanager
def minded(folder: Path, uri: str, driver: Driver) -> Iterator[ShipperSupervisor]:
    supervisor = ShipperSupervisor(folder, uri, driver=driver)
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()


# Until nothing is left.


@both
def test_a_journal_is_shipped_whole(driver: Driver, folder: Path, database: str) -> None:
    game = Game(folder, segment=5_000)
    for _ in range(5):
        game.play(150)
        game.sync()
    game.close()
    assert ship(folder, database, driver=driver) == 0
    assert check_equal(folder, database) == 1500
    assert len(segments(folder)) > 5
    assert {segment.state for segment in segments(folder)} == {State.SHIPPED}


@both
def test_nothing_is_sent_twice(
    driver: Driver, folder: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    game = Game(folder)
    game.play(100)
    game.close()
    assert ship(folder, database, driver=driver) == 0
    with caplog.at_level(logging.INFO, "ecsnet.analytics"):
        assert ship(folder, database, driver=driver) == 0
    assert caplog.records[-1].getMessage().startswith("analytics: 0 documents shipped to 127.0.0.1")


def test_what_a_server_that_died_left_is_shipped(folder: Path, database: str) -> None:
    code = (
        "import os, sys; from pathlib import Path; from tests.analytics.made import Game\n"
        "game = Game(Path(sys.argv[1])); game.play(70); game.sync()\n"
        "game.play(30); [file.write() for file in game.journal._files]\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, folder], check=False, timeout=PATIENCE)
    assert State.OPEN in {segment.state for segment in segments(folder)}
    assert ship(folder, database) == 0
    assert check_equal(folder, database) == 200, "what had not been synced, too"
    assert {segment.state for segment in segments(folder)} == {State.SHIPPED}


def test_beside_a_server_only_what_is_on_the_disk_is_shipped(folder: Path, database: str) -> None:
    game = Game(folder)
    game.play(70)
    game.sync()
    game.play(30)
    for file in game.journal._files:
        file.write()
    assert ship(folder, database) == 0
    assert len(stored(database)) == 70
    assert State.OPEN in {segment.state for segment in segments(folder)}, "it is the server's"
    game.close()
    assert ship(folder, database) == 0
    assert check_equal(folder, database) == 200


def test_the_writers_lock_is_free_afterwards(folder: Path, database: str) -> None:
    Game(folder).close()
    assert ship(folder, database) == 0
    with lock(folder):
        pass


def test_damage_is_told_and_the_rest_is_shipped(
    folder: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    game = Game(folder)
    game.play(100)
    game.close()
    [path] = folder.glob("events-*")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert ship(folder, database) == 0
    assert check_equal(folder, database) == 199
    (told,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert re.fullmatch(
        r"analytics: .*journal, events: 1 segment is damaged, \d+ bytes were skipped",
        told.getMessage(),
    )


def test_what_cannot_be_read_now_is_not_passed_over(folder: Path, database: str) -> None:
    game = Game(folder)
    game.play(10)
    game.close()
    [path] = folder.glob("events-*")
    aside = path.rename(path.with_suffix(".aside"))
    path.mkdir()
    with pytest.raises(JournalError, match=r"events-.* cannot be read: Is a directory"):
        ship(folder, database)
    path.rmdir()
    aside.rename(path)
    assert ship(folder, database) == 0
    assert check_equal(folder, database) == 20


def test_one_journal_can_go_to_two_databases(folder: Path, database: str, mongod: Mongod) -> None:
    game = Game(folder)
    game.play(10)
    game.close()
    assert ship(folder, database) == 0
    assert ship(folder, mongod.uri) == 0
    assert check_equal(folder, database) == check_equal(folder, mongod.uri) == 20


def test_what_cannot_be_shipped_is_told(folder: Path) -> None:
    uri = "mongodb://u:hunter2@127.0.0.1:1/x"
    with pytest.raises(JournalError, match="there is no folder"):
        ship(folder, uri)
    folder.mkdir()
    with pytest.raises(JournalError, match="there is no journal in"):
        ship(folder, uri)
    assert list(folder.iterdir()) == []
    Game(folder).close()
    with Checkpoint(folder, target_name(uri)), pytest.raises(TargetInUseError, match="another"):
        ship(folder, uri)
    with pytest.raises(UsageError, match="w=0"):
        ship(folder, f"{uri}?w=0")


@both
def test_a_missing_driver_is_named(
    driver: Driver, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minding.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=rf"{driver} is missing.*'ecsnet\[analytics\]'"):
        ShipperSupervisor(folder, "mongodb://h", driver=driver)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "motor.motor_asyncio", None)
    if driver == "motor":
        Game(folder).close()
        with pytest.raises(UsageError, match="motor is missing"):
            ship(folder, "mongodb://h")


@both
@pytest.mark.parametrize("bad", [float("nan"), [[1]]], ids=["breaks", "refused"])
def test_a_document_that_the_server_cannot_stand_is_set_aside(
    driver: Driver, bad: Any, tmp_path: Path, mongod: Mongod
) -> None:
    made = events(700)
    made[300] = event(301, x=bad)

    async def run(checkpoint: Checkpoint, feed: Feed) -> Shipper:
        sink = open_sink(mongod.uri, driver)
        try:
            shipper = Shipper(sink, checkpoint, {Series.EVENTS: feed})
            await shipper.run(follow=False)
        finally:
            await sink.aclose()
        return shipper

    with Checkpoint(tmp_path, "x") as checkpoint:
        shipper = asyncio.run(run(checkpoint, Feed(made)))
        assert (shipper.set_aside, shipper.taken) == (1, 699)
        assert [each.document["_id"] for each in checkpoint.aside()] == [made[300]["_id"]]
        assert len(stored(mongod.uri)) == 699
        shipper = asyncio.run(run(checkpoint, Feed()))
        assert (shipper.set_aside, shipper.taken) == (1, 0), "offered again"


# A server's child.


@both
def test_what_is_played_is_shipped_meanwhile(
    driver: Driver, folder: Path, game: Game, database: str
) -> None:
    with minded(folder, database, driver) as supervisor:
        game.play(50)
        wait(lambda: len(stored(database)) == 50, "the first half")
        game.play(50)
        wait(lambda: len(stored(database)) == 100, "the second half")
        game.play(11)
        game.close()
        assert supervisor.stop(PATIENCE)
    assert check_equal(folder, database) == 222, "what came last, too"


@contextlib.contextmanager
def stuck_stderr() -> Iterator[None]:
    """The stderr of this process is a pipe that is full, and that nobody reads."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    before = os.dup(2)
    os.dup2(writing, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        for number in (before, writing, reading):
            os.close(number)


@both
def test_it_is_shipped_though_nobody_reads_what_a_child_says(
    driver: Driver, folder: Path, game: Game, database: str
) -> None:
    with stuck_stderr(), minded(folder, database, driver) as supervisor:
        game.play(50)
        wait(lambda: len(stored(database, Series.SNAPSHOTS)) == 50, "all of it")
        game.close()
        assert supervisor.stop(PATIENCE)
    assert check_equal(folder, database) == 100


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_the_uri_is_on_no_command_line(folder: Path, game: Game, mongod: Mongod) -> None:
    uri = mongod.uri.replace("//", "//ann:hunter2@")
    with minded(folder, uri, "motor") as supervisor:
        wait(lambda: supervisor.pid, "the process")
        process = Path(f"/proc/{supervisor.pid}")
        wait(lambda: b"ecsnet.analytics" in (process / "cmdline").read_bytes(), "its name")
        assert b"hunter2" not in (process / "cmdline").read_bytes()
        assert b"hunter2" in (process / "environ").read_bytes()
    assert not any("hunter2" in str(path) for path in folder.iterdir())
    for path in folder.iterdir():
        assert b"hunter2" not in path.read_bytes()
    assert URI_VARIABLE not in os.environ


@both
def test_a_shipper_that_is_killed_is_started_again(
    driver: Driver, folder: Path, game: Game, database: str
) -> None:
    with minded(folder, database, driver) as supervisor:
        for round_ in (1, 2, 3):
            game.play(20)
            wait(lambda: len(stored(database)) == 20 * round_, "a round")  # noqa: B023
            pid = supervisor.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            wait(lambda: supervisor.pid not in (None, pid), "another process")  # noqa: B023
        game.close()
        assert supervisor.stop(PATIENCE)
    assert check_equal(folder, database) == 120


def test_a_shipper_without_a_chance_is_not_started_again(
    folder: Path, game: Game, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = Checkpoint(folder, target_name("mongodb://127.0.0.1:1/x"))
    checkpoint.close()
    next(folder.glob("position-*.lock")).with_suffix(".json").write_text("{")
    with caplog.at_level(logging.INFO, "ecsnet.analytics"):
        supervisor = ShipperSupervisor(folder, "mongodb://127.0.0.1:1/x")
        supervisor.start()
        wait(lambda: "nothing is shipped" in caplog.text, "the end")
        assert supervisor.stop(0.0)


@both
def test_a_shipper_ends_while_the_database_hangs(
    driver: Driver, folder: Path, game: Game, mongod: Mongod
) -> None:
    with Proxy(mongod.port) as proxy, minded(folder, proxy.uri, driver) as supervisor:
        game.play(10)
        for series in Series:
            wait(lambda: len(stored(mongod.uri, series)) == 10, "the first")  # noqa: B023
        mongod.freeze()
        before = proxy.inserts
        game.play(10)
        wait(lambda: proxy.inserts > before, "an insert without an answer")
        game.close()
        assert supervisor.stop(10.0), "by itself"
        mongod.thaw()
    assert ship(folder, mongod.uri, driver=driver) == 0
    assert check_equal(folder, mongod.uri) == 40


@pytest.mark.parametrize(
    ("driver", "number"), [("motor", signal.SIGTERM), ("pymongo", signal.SIGINT)]
)
def test_a_command_ends_on_a_signal_while_the_database_hangs(
    driver: Driver, number: int, folder: Path, game: Game, mongod: Mongod
) -> None:
    code = (
        "import sys; from pathlib import Path; from ecsnet.analytics.supervisor import ship\n"
        "sys.exit(ship(Path(sys.argv[1]), sys.argv[2], driver=sys.argv[3]))"
    )
    with Proxy(mongod.port) as proxy:
        game.play(10)
        game.close()
        mongod.freeze()
        process = subprocess.Popen([sys.executable, "-c", code, folder, proxy.uri, driver])
        try:
            wait(lambda: (folder / "lock").exists() and proxy.accepted, "a connection")
            process.send_signal(number)
            assert process.wait(10) == 1, "something is left"
        finally:
            process.kill()
            process.wait()
        mongod.thaw()


def test_a_shipper_ends_with_its_server(folder: Path, database: str) -> None:
    code = (
        "import os, sys, time; from pathlib import Path\n"
        "from ecsnet.analytics.supervisor import ShipperSupervisor\n"
        "from tests.analytics.made import Game\n"
        "game = Game(Path(sys.argv[1])); game.journal.start(); game.play(10)\n"
        "ShipperSupervisor(Path(sys.argv[1]), sys.argv[2]).start()\n"
        "sys.stdin.read()"
    )
    server = subprocess.Popen([sys.executable, "-c", code, folder, database], stdin=subprocess.PIPE)
    try:
        wait(lambda: len(stored(database)) == 10, "the first")
    finally:
        server.kill()
        server.wait()
        assert server.stdin is not None
        server.stdin.close()

    def gone() -> bool:
        try:
            Checkpoint(folder, target_name(database)).close()
        except TargetInUseError:
            return False
        return True

    wait(gone, "the end of the shipper")


# All of it at once.


@both
@pytest.mark.usefixtures("own_servers")
def test_outages_lose_and_double_nothing(driver: Driver, tmp_path: Path) -> None:
    outcome = outages.run(tmp_path, 3000, 5, driver=driver)
    assert outcome.outages == dict.fromkeys(outages.KINDS, 1)
    assert outcome.stored == outcome.kept >= outcome.synced >= 3000
    assert outcome.good, outcome
