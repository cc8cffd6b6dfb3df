"""`ecsnet serve` with a database: one that is there, one that stands still, one that comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ecsnet
from ecsnet.analytics.folder import State, segments
from tests.analytics.mongod import Mongod
from tests.analytics.test_ship import check_equal, stored, wait

GAME = """
import ecsnet as net

server = net.ServerWorld(tick_rate=60)


@server.system
def tell(dt: float) -> None:
    net.analytics_event("tick", number=net.tick())
"""

END_SECONDS = 6.0


class Served:
    """A server process on a folder and a database."""

    def __init__(self, tmp_path: Path, uri: str) -> None:
        (tmp_path / "game.py").write_text(GAME)
        self.folder = tmp_path / "journal"
        self.log = tmp_path / "log"
        home = str(Path(ecsnet.__file__).parents[1])
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ecsnet", "serve", "game:server"),
                    *("--host", "127.0.0.1", "--port", "0", "--analytics", "journal"),
                ],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": home, "ECSNET_MONGO_URI": uri},
                stdout=log,
                stderr=log,
            )

    def says(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(END_SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def matches(folder: Path) -> set[str]:
    from ecsnet.analytics.reader import Series, documents

    return {str(document["match"]) for document in documents(folder, Series.EVENTS)}


def test_what_a_server_keeps_is_in_the_database_when_it_has_ended(
    tmp_path: Path, database: str
) -> None:
    served = Served(tmp_path, database)
    try:
        wait(lambda: len(stored(database)) > 50, "fifty documents")
        assert served.end() == 0
    finally:
        served.kill()
    assert check_equal(served.folder, database) > 50
    assert {segment.state for segment in segments(served.folder)} == {State.SHIPPED}
    assert stored(database)[-1]["type"] == "stop"


def test_a_server_ends_in_time_while_its_database_stands_still(
    tmp_path: Path, mongod: Mongod
) -> None:
    uri = f"{mongod.uri}/game"
    served = Served(tmp_path, uri)
    try:
        wait(lambda: len(stored(uri)) > 10, "ten documents")
        mongod.freeze()
        before = len(list((tmp_path / "journal").glob("*.open")))
        assert before
        size = sum(path.stat().st_size for path in served.folder.glob("*.open"))
        wait(
            lambda: sum(path.stat().st_size for path in served.folder.glob("*.open")) > size + 2000,
            "more in the journal",
        )
        assert served.end() == 0
    finally:
        served.kill()
        mongod.thaw()
    first = matches(served.folder)
    again = Served(tmp_path, uri)  # ships the rest
    try:
        wait(lambda: first < {each["match"] for each in stored(uri)}, "the next match")
        assert again.end() == 0
    finally:
        again.kill()
    assert check_equal(served.folder, uri) > 10


def test_a_killed_server_loses_nothing_that_was_written(tmp_path: Path, database: str) -> None:
    served = Served(tmp_path, database)
    try:
        wait(lambda: len(stored(database)) > 20, "twenty documents")
    finally:
        served.kill()
    again = Served(tmp_path, database)
    try:
        wait(lambda: again.says("repaired"), "the recovery")
        wait(lambda: len({each["match"] for each in stored(database)}) == 2, "the next match")
        assert again.end() == 0
    finally:
        again.kill()
    check_equal(served.folder, database)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("mongodb://127.0.0.1/x?w=0", "w=0"),
        ("postgres://127.0.0.1/x", "mongodb://"),
    ],
)
def test_a_uri_that_cannot_be_is_one_line_and_status_2(tmp_path: Path, uri: str, says: str) -> None:
    served = Served(tmp_path, uri)
    try:
        assert served.process.wait(30) == 2
    finally:
        served.kill()
    (line,) = served.log.read_text().splitlines()
    assert says in line
