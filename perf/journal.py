"""``perf journal``: how long ticks take while old parts of a journal are deleted beside them.

Each pair of runs is one whose folder is full, so that something goes for all that comes, and one
with a bound that is never met. Nothing else is in them: what a tick does is to tell of things.
"""

from __future__ import annotations

import gc
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from ecsnet.analytics.folder import segments
from ecsnet.analytics.journal import Journal, Limits
from ecsnet.analytics.records import Event, encode
from ecsnet.analytics.segment import Series
from perf.children import Child, cores
from perf.report import Report, Row, paired

RATE = 60.0
RECORDS = 20_000
"""A second."""

FULL = 64 << 20
ENDLESS = 1 << 50
"""Bytes that a folder may hold."""


@dataclass(frozen=True)
class Measured:
    """What a run was like.

    Attributes:
        ticks: How long each took, in seconds.
        deleted: Segments that went meanwhile.
        lost: Records of theirs.
    """

    ticks: list[float]
    deleted: int
    lost: int


def tell(connection: Connection, folder: Path, bound: int, ticks: int) -> None:
    """Child: fills a folder, and then tells of so much in each tick."""
    limits = Limits.of(FULL, None)
    journal = Journal(folder, "perf", limits=Limits(bound, segment=limits.segment))
    match = journal.begin(bytes(16), 0, "", RATE)
    number = told = 0

    def put(records: int) -> None:
        nonlocal number, told
        for _ in range(records):
            number += 1
            data: dict[str, object] = {"item": "potion", "gold": 13, "at": [10.5, 20.25]}
            event = Event(match, number, number, 0, "pickup", 1, 7, False, data)
            record = encode(event)
            told += len(record)
            journal.put(Series.EVENTS, match, record)

    while told < FULL:
        put(10_000)
        journal.round()
    before, lost = {segment.number for segment in segments(folder)}, journal.lost.total
    gc.freeze()
    journal.start()
    took: list[float] = []
    due = time.perf_counter()
    for _ in range(ticks):
        due += 1 / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        began = time.perf_counter()
        put(round(RECORDS / RATE))
        took.append(time.perf_counter() - began)
    after = {segment.number for segment in segments(folder)}
    connection.send(Measured(took, len(before - after), journal.lost.total - lost))
    journal.close()


def run(command: str, runs: int, seconds: float) -> Report:
    """Runs ``runs`` pairs and tells how they compare.

    Args:
        command: The command line, for the report.
        runs: How many pairs.
        seconds: How long each run is measured.
    """
    ticks = round(seconds * RATE)
    pairs = [(_measured(FULL, ticks), _measured(ENDLESS, ticks)) for _ in range(runs)]
    deleting = [pair[0] for pair in pairs]

    def row(name: str, share: float) -> Row:
        full, endless = (
            [sorted(told.ticks)[int(len(told.ticks) * share)] * 1e3 for told in side]
            for side in zip(*pairs, strict=True)
        )
        return paired(f"tick, {name}", "ms", full, endless)

    deleted = Row("segments deleted", sum(each.deleted for each in deleting), "in all", runs=runs)
    lost = Row("records in them", sum(each.lost for each in deleting), "in all", runs=runs)
    return Report("journal", command, [row("p99", 0.99), row("median", 0.5), deleted, lost])


def _measured(bound: int, ticks: int) -> Measured:
    with (
        tempfile.TemporaryDirectory() as folder,
        Child(tell, cores()[0], Path(folder, "journal"), bound, ticks) as child,
    ):
        return child.expect(Measured, 120 + 3 * ticks / RATE)
