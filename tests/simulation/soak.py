"""Simulated worlds under faults, many seeds at a time.

    python tests/simulation/soak.py --seeds 200 --ticks 2000
    python tests/simulation/soak.py --seed 17 --ticks 2000

The first plays that many seeds on all cores, prints what failed and how often each kind of fault
and event happened, and ends with status 1 if anything failed or anything never happened. The second
plays one seed again, exactly as it was.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from chaos import EVENTS, Plan, Report, run

FEW_SEEDS = 24
"""With fewer seeds than these, not everything has to happen."""


def play(ticks: int, seed: int) -> Report:
    """Play one seed; runs in a process of its own."""
    return run(Plan.of(seed, ticks))


def reports(seeds: Sequence[int], ticks: int, processes: int) -> Iterator[Report]:
    """Play seeds on several cores; their reports come in any order."""
    if processes == 1 or len(seeds) == 1:
        yield from map(partial(play, ticks), seeds)
        return
    with multiprocessing.Pool(processes) as pool:
        yield from pool.imap_unordered(partial(play, ticks), seeds)


def table(counts: Counter[str]) -> str:
    """The counts of all faults and events, in columns."""
    cells = [f"{name} {counts[name]:,}" for name in EVENTS]
    width = max(map(len, cells)) + 2
    columns = max(1, 100 // width)
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return "\n".join("  " + "".join(cell.ljust(width) for cell in row).rstrip() for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds, from 0 on")
    parser.add_argument("--ticks", type=int, default=2000, help="ticks of chaos in each of them")
    parser.add_argument("--seed", type=int, help="play this one only")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.ticks < 1 or options.processes < 1:
        parser.error("--seeds, --ticks and --processes are 1 or more")

    seeds = range(options.seeds) if options.seed is None else [options.seed]
    counts: Counter[str] = Counter()
    failed: list[Report] = []
    slowest = rested = 0.0
    began = time.perf_counter()
    shown = began
    for done, report in enumerate(reports(seeds, options.ticks, options.processes), 1):
        counts += report.counts
        slowest = max(slowest, report.settled)
        rested = max(rested, report.rested)
        if report.failure is not None:
            failed.append(report)
            print(f"seed {report.seed} FAILED: {report.failure.strip()}", flush=True)
        if len(seeds) == 1:
            print(report)
        now = time.perf_counter()
        if now - shown >= 10 or done == len(seeds):
            shown = now
            print(
                f"{done}/{len(seeds)} seeds, {len(failed)} failed, {now - began:.0f} s", flush=True
            )
    print(f"how often each kind of fault and event happened:\n{table(counts)}")
    print(f"the slowest to come right took {slowest:.1f} s of its own time after the last loss")
    print(f"the slowest to draw all that was told took {rested:.2f} s")
    missing = [name for name in EVENTS if not counts[name]]
    if missing and len(seeds) >= FEW_SEEDS:
        print(f"never happened: {', '.join(missing)}")
    for report in sorted(failed, key=lambda report: report.seed):
        print(f"again: python tests/simulation/soak.py --seed {report.seed} --ticks {report.ticks}")
    if failed:
        print(f"FAILED: {len(failed)} of {len(seeds)} seeds")
        return 1
    if missing and len(seeds) >= FEW_SEEDS:
        return 1
    print(f"ok: {len(seeds)} seeds, {counts['values compared']:,} values compared, 0 mismatches")
    return 0


if __name__ == "__main__":
    sys.exit(main())
