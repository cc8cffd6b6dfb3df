"""A journal is written and shipped while everything around it fails; then all is compared.

    python tests/analytics/outages.py --documents 100000 --outages 20

Servers, shippers and writers are killed, servers hang, answers get lost. What any writer knew to be
on its disk has to be in the database in the end, once, and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import pymongo

if not __package__:
    sys.path[0] = str(Path(__file__).parents[2])

from ecsnet.analytics.reader import documents
from ecsnet.analytics.segment import Series
from ecsnet.analytics.shipper import COLLECTIONS
from ecsnet.analytics.supervisor import ShipperSupervisor, ship
from tests.analytics.made import Game
from tests.analytics.mongod import Mongod
from tests.analytics.proxy import Proxy

KINDS = ("server killed", "server stalled", "answer lost", "shipper killed", "writer killed")

PATIENCE = 60.0
SEGMENT = 200_000
BATCH = 50  # ticks between syncs; an event and a snapshot each

Driver = Literal["motor", "pymongo"]


class Outcome:
    """What came of it.

    Attributes:
        synced: Documents that writers knew to be on the disk.
        kept: Documents in the journal.
        stored: Documents in the database.
        lost: Documents in the journal, or synced, that the database has not.
        strange: Documents that it has, and the journal has not, or has otherwise.
        doubled: Documents that it has more than once, under whatever id.
        outages: How many of each kind there were.
    """

    def __init__(self) -> None:
        self.synced = self.kept = self.stored = self.lost = self.strange = self.doubled = 0
        self.outages: Counter[str] = Counter()

    @property
    def good(self) -> bool:
        return not (self.lost or self.strange or self.doubled)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(self.outages.items()))
        return (
            f"{self.outages.total()} outages: {kinds}\n"
            f"documents: {self.synced} known to be on the disk, {self.kept} in the journal,"
            f" {self.stored} in the database\n"
            f"{self.lost} lost, {self.doubled} doubled, {self.strange} strange"
        )


class Writer:
    """A process that plays as it is told, and tells what is on the disk."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--write", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.match = self._hear()
        self.synced = 0  # ticks
        self._asked = 0

    def play(self, ticks: int) -> None:
        """Play, and wait until it is on the disk."""
        self.ask(ticks)
        while self.synced < self._asked:
            self.synced = int(self._hear())

    def ask(self, ticks: int) -> None:
        assert self._process.stdin is not None
        print(ticks, file=self._process.stdin, flush=True)
        self._asked += ticks

    def kill(self) -> None:
        """In the middle of something."""
        self.ask(BATCH * 100)
        self.synced = int(self._hear())
        self._process.kill()
        for line in self._process.stdout or ():
            with contextlib.suppress(ValueError):
                self.synced = max(self.synced, int(line)) if line.endswith("\n") else self.synced
        self.close()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.endswith("\n"), "the writer ended"
        return line.strip()


def write(folder: Path) -> None:
    """The writer's end."""
    game = Game(folder, segment=SEGMENT)
    print(game.id.hex(), flush=True)
    for line in sys.stdin:
        left = int(line)
        while left:
            ticks = min(left, BATCH)
            game.play(ticks)
            game.sync()
            print(game.ticks, flush=True)
            left -= ticks
    game.close()


def run(
    folder: Path,
    count: int,
    outages: int,
    *,
    driver: Driver = "motor",
    seed: int = 0,
    tell: Callable[[str], object] = lambda _: None,
) -> Outcome:
    """Let things fail while so many documents are written and shipped."""
    rng = random.Random(seed)
    outcome = Outcome()
    journal, data = folder / "journal", folder / "data"
    data.mkdir()
    mongod = Mongod(data)
    writers = [Writer(journal)]
    ticks = max(1, count // 2 // (outages + 1))
    with contextlib.ExitStack() as stack:
        stack.callback(mongod.close)
        proxy = stack.enter_context(Proxy(mongod.port))
        supervisor = ShipperSupervisor(journal, f"{proxy.uri}/?timeoutMS=1000", driver=driver)
        supervisor.start()
        stack.callback(supervisor.stop)
        stack.callback(lambda: writers[-1].close())

        def play(part: float = 1.0) -> None:
            before = proxy.inserts
            writers[-1].play(max(1, int(ticks * part)))
            _wait(lambda: proxy.inserts > before, "an insert on its way")

        for number in range(outages):
            if number % len(KINDS) == 0:
                kinds = rng.sample(KINDS, len(KINDS))
            kind = kinds[number % len(KINDS)]
            tell(f"{number + 1}: {kind}")
            play(0.5)
            if kind == "server killed":
                mongod.kill()
                writers[-1].play(max(1, ticks // 4))
                mongod.start()
            elif kind == "server stalled":
                mongod.freeze()
                accepted = proxy.accepted
                writers[-1].play(max(1, ticks // 4))
                _wait(lambda: proxy.accepted > accepted, "another try")  # noqa: B023
                mongod.thaw()
            elif kind == "answer lost":
                lost = proxy.lost
                proxy.lose_answers(1)
                writers[-1].play(max(1, ticks // 4))
                _wait(lambda: proxy.lost > lost, "a lost answer")  # noqa: B023
            elif kind == "shipper killed":
                pid = supervisor.pid
                if pid is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            else:
                writers[-1].kill()
                writers.append(Writer(journal))
            outcome.outages[kind] += 1
            play(0.25)
        left = count // 2 - sum(writer.synced for writer in writers)
        if left > 0:
            writers[-1].play(left)
        writers[-1].close()
        supervisor.stop()
        tell("shipping the rest")
        ship(journal, proxy.uri, driver=driver)
        _compare(journal, mongod.uri, writers, outcome)
    return outcome


def _compare(journal: Path, uri: str, writers: Sequence[Writer], outcome: Outcome) -> None:
    outcome.synced = 2 * sum(writer.synced for writer in writers)
    with pymongo.MongoClient[dict[str, object]](uri, tz_aware=True) as client:
        for series in Series:
            kept = {each["_id"]: each for each in documents(journal, series)}
            stored = list(client["ecsnet"][COLLECTIONS[series]].find())
            by_id = {each["_id"]: each for each in stored}
            ticks = {(each["match"], each["tick"]) for each in stored}
            known = {(w.match, tick) for w in writers for tick in range(1, w.synced + 1)}
            outcome.kept += len(kept)
            outcome.stored += len(stored)
            outcome.doubled += len(stored) - min(len(by_id), len(ticks))
            outcome.lost += len(kept.keys() - by_id.keys()) + len(known - ticks)
            outcome.strange += sum(kept.get(each) != by_id[each] for each in by_id)


def _wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came about"
        time.sleep(0.01)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--documents", type=int, default=100_000, metavar="N", help="to write (%(default)s)")
    add("--outages", type=int, default=20, metavar="N", help="how many (%(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="for their order (%(default)s)")
    add("--driver", choices=["motor", "pymongo"], default="motor", help="(%(default)s)")
    add("--write", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write is not None:
        write(given.write)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(
            Path(folder),
            given.documents,
            given.outages,
            driver=given.driver,
            seed=given.seed,
            tell=lambda text: print(text, file=sys.stderr, flush=True),
        )
    print(outcome)
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
