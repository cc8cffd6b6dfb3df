"""What a benchmark hands back: rows, printed as a table or as one JSON object."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import msgspec


class PerfError(Exception):
    """A benchmark could not be run to its end."""


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        name: What was measured, unique within the report.
        value: The figure for ecsnet: the median of the runs.
        unit: What ``value`` and ``floor`` are in.
        floor: The same figure for the floor, or None where there is none.
        ratio: The median of the ratios of the pairs, or None.
        lowest: The lowest ratio of any pair (of any run's value where there is no floor).
        highest: The highest one.
        runs: How many runs stand behind it.
        note: What a reader should know about it.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    lowest: float | None = None
    highest: float | None = None
    runs: int = 1
    note: str = ""


def paired(
    name: str, unit: str, values: Sequence[float], floors: Sequence[float], note: str = ""
) -> Row:
    """Returns the row of runs that were made in pairs: ``values[i]`` beside ``floors[i]``."""
    ratios = [value / floor for value, floor in zip(values, floors, strict=True)]
    return Row(
        name,
        statistics.median(values),
        unit,
        statistics.median(floors),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        len(ratios),
        note,
    )


def single(name: str, unit: str, values: Sequence[float], note: str = "") -> Row:
    """Returns the row of runs that have no floor beside them."""
    return Row(
        name,
        statistics.median(values),
        unit,
        lowest=min(values),
        highest=max(values),
        runs=len(values),
        note=note,
    )


def _describe_machine() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": str(len(os.sched_getaffinity(0))),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


@dataclass
class Report:
    """Everything one benchmark found out.

    Attributes:
        benchmark: Its name.
        command: The command that makes it again.
        rows: The figures, the most telling first.
        machine: What it ran on, for whoever compares absolute figures.
    """

    benchmark: str
    command: str
    rows: list[Row] = field(default_factory=list[Row])
    machine: dict[str, str] = field(default_factory=_describe_machine)

    def json(self) -> str:
        """Returns the report as one JSON object."""
        return msgspec.json.encode(asdict(self)).decode()

    def table(self) -> str:
        """Returns the report as text, ratios first."""
        lines = [("ratio", "lowest..highest", "value", "floor", "unit", "runs", "what")]
        for row in self.rows:
            spread = f"{_number(row.lowest)}..{_number(row.highest)}" if row.runs > 1 else ""
            what = f"{row.name}  ({row.note})" if row.note else row.name
            lines.append(
                (
                    _number(row.ratio),
                    spread,
                    _number(row.value),
                    _number(row.floor),
                    row.unit,
                    str(row.runs),
                    what,
                )
            )
        widths = [max(len(line[column]) for line in lines) for column in range(6)]
        text = [f"$ {self.command}", ", ".join(f"{k} {v}" for k, v in self.machine.items())]
        for line in lines:
            cells = [cell.rjust(width) for cell, width in zip(line, widths, strict=False)]
            text.append("  ".join([*cells, line[6]]).rstrip())
        return "\n".join(text)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"
