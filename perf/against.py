"""``perf against``: a benchmark in this checkout beside the same one in another.

Machines drift, so one run here and one run there make a pair, whose order changes from pair to
pair. What is compared are the values of rows of the same name, and the median of the pairs' ratios
is what counts. Each checkout is measured by its own ``perf``: their wire formats may differ.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from perf.build import ROOT
from perf.report import PerfError, Report, Row, paired

Values = dict[str, tuple[float, str]]
"""A row's name to its value and unit."""


def run(command: str, other: Path, benchmark: Sequence[str], pairs: int) -> Report:
    """Measures both checkouts in turns.

    Args:
        command: The command line, for the report.
        other: The other checkout.
        benchmark: The benchmark's name and its own options, as for ``python -m perf``.
        pairs: How many pairs of runs.

    Returns:
        The report: the other checkout's values are the floor.

    Raises:
        PerfError: The other folder is no checkout, or a run failed.
    """
    if not (other / "perf" / "__main__.py").is_file():
        raise PerfError(f"{other} holds no perf/: give the folder of another checkout")
    arguments = [*benchmark, "--runs", "1", "--json"]
    here: list[Values] = []
    there: list[Values] = []
    for index in range(pairs):
        order = [(ROOT, here), (other, there)]
        for folder, values in order if index % 2 == 0 else reversed(order):
            values.append(_values(folder, arguments))
        print(f"pair {index + 1} of {pairs}", file=sys.stderr)
    report = Report("against", command)
    for name, (_, unit) in here[0].items():
        if all(name in values for values in (*here, *there)):
            ours = [values[name][0] for values in here]
            theirs = [values[name][0] for values in there]
            report.rows.append(_row(name, unit, ours, theirs))
    return report


def _values(folder: Path, arguments: Sequence[str]) -> Values:
    done = subprocess.run(
        [sys.executable, "-m", "perf", *arguments],
        cwd=folder,  # first on the path of a module that is run by its name
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PerfError(f"perf in {folder} ended with status {done.returncode}:\n{done.stderr}")
    return {row["name"]: (row["value"], row["unit"]) for row in json.loads(done.stdout)["rows"]}


def _row(name: str, unit: str, ours: Sequence[float], theirs: Sequence[float]) -> Row:
    if not all(theirs):  # counts of what should not happen are mostly 0
        values = statistics.median(ours), unit, statistics.median(theirs)
        return Row(name, *values, runs=len(ours))
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    note = ""
    if len(ratios) > 1:
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        note = f"quartiles {low:.3f}, {middle:.3f}, {high:.3f}"
    return paired(name, unit, ours, theirs, note)
