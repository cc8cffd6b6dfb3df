"""Sends bad datagrams into a live server and a live client: `python tests/fuzz/run.py --count N`.

Exits with status 1 when an exception escaped, a component changed that nothing sound told to
change, memory grew, or, of 100,000 datagrams, none was of some kind. The seed that it prints, with
``--workers 1``, runs the same datagrams again.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

from hostile import KINDS, OUTCOMES, Arena, Memory, growth, memory

from ecsnet.connection import admission
from ecsnet.connection import plain as connection

_MOMENTS = 10  # at which memory is looked at
_SAMPLE = 50_000  # fewer datagrams than this say nothing about memory
_ALL = 100_000  # with fewer datagrams, not everything has to happen
_REMEMBERED = 64  # addresses


@dataclass
class Report:
    """What one worker found."""

    seed: int
    sent: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    moments: list[Memory] = field(default_factory=list)
    failure: str | None = None


@contextmanager
def _short_memory() -> Iterator[None]:
    """Let a host remember few of those who left: a host that still fills up with the thousands that
    it may remember looks like one that leaks.
    """
    with (
        patch.object(connection, "_DISMISSED", _REMEMBERED),
        patch.object(admission, "REMEMBERED", _REMEMBERED),
    ):
        yield


def work(seed: int, count: int) -> Report:
    """Send ``count`` datagrams and more or less a few."""
    report = Report(seed)
    arena: Arena | None = None
    logging.getLogger("ecsnet").setLevel(logging.CRITICAL)
    try:
        with _short_memory():
            arena = Arena(seed)
            arena.rehearse()
            for _ in range(_MOMENTS):
                arena.attack(count // _MOMENTS + 1)
                arena.settle()
                report.moments.append(memory(arena))
            arena.finish()
            arena.close()
        # The first moments still see caches fill.
        if count >= _SAMPLE:
            report.failure = growth(report.moments[2:])
    except BaseException:
        report.failure = traceback.format_exc()
        if arena is not None:
            recent = "\n".join(f"  {kind}: {data.hex()}" for kind, data in [*arena.recent][-6:])
            report.failure += f"the last datagrams, newest last:\n{recent}"
    if arena is not None:
        report.sent, report.outcomes = arena.sent, arena.outcomes
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="datagrams")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(10**6)
    workers = max(1, min(arguments.workers, arguments.count // 1000 + 1))
    jobs = [(seed + index, -(-arguments.count // workers)) for index in range(workers)]
    print(f"seed {seed}, {workers} workers", flush=True)
    began = time.perf_counter()
    if workers == 1:
        reports = [work(*jobs[0])]
    else:
        with multiprocessing.Pool(workers) as pool:
            reports = pool.starmap(work, jobs, chunksize=1)
    return summary(reports, time.perf_counter() - began)


def summary(reports: list[Report], seconds: float) -> int:
    """Print what happened; 1 when anything was wrong."""
    sent, outcomes = Counter[str](), Counter[str]()
    for report in reports:
        sent += report.sent
        outcomes += report.outcomes
    for title, names, counts in (("sent", KINDS, sent), ("became of it", OUTCOMES, outcomes)):
        print(f"\n{title}:")
        for name in names:
            print(f"{counts[name]:>12,}  {name}")
    print()
    for report in reports:
        for label, value in memory_lines(report):
            print(f"{label}: {value}")
    print(f"\n{sum(sent.values()):,} datagrams in {seconds:.0f} s")
    status = 0
    for report in reports:
        if report.failure is not None:
            print(f"\nFAILED, worker with --seed {report.seed} --workers 1:\n{report.failure}")
            status = 1
    never = [name for name in (*KINDS, *OUTCOMES) if not (sent + outcomes)[name]]
    if never and sum(sent.values()) >= _ALL:
        print(f"\nFAILED: never happened: {', '.join(never)}")
        status = 1
    if not status:
        print("no exception escaped, no component changed, memory is flat")
    return status


def memory_lines(report: Report) -> list[tuple[str, str]]:
    if len(report.moments) < 3:
        return []
    first, last = report.moments[2], report.moments[-1]
    sizes = (
        f"{first.rss / 2**20:.1f} -> {last.rss / 2**20:.1f} MiB,"
        f" {first.blocks:,} -> {last.blocks:,} blocks,"
        f" {first.elements.total():,} -> {last.elements.total():,} elements in containers"
    )
    span = f"from {first.datagrams:,} to {last.datagrams:,} datagrams"
    return [(f"memory of worker {report.seed} {span}", sizes)]


if __name__ == "__main__":
    sys.exit(main())
