"""``python -m perf tick|response|size``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from perf import response, size, tick
from perf.report import PerfError, Report


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one benchmark and prints its report; returns the exit status."""
    options = _parser().parse_args(arguments)
    command = " ".join(["python -m perf", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        report = _report(options, command)
    except PerfError as error:
        print(f"perf: {error}", file=sys.stderr)
        return 1
    print(report.json() if options.json else report.table())
    return 0


def _report(options: argparse.Namespace, command: str) -> Report:
    if options.benchmark == "size":
        return size.run(command, options.runs)
    if options.benchmark == "response":
        return response.run(command, options.clients, options.runs, options.seconds, options.settle)
    ticks = max(1, round(options.seconds * tick.RATE))
    return tick.run(command, options.clients, options.runs, options.warmup, ticks, options.entities)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m perf", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    one = benchmarks.add_parser("tick", help="server CPU per client and tick")
    one.add_argument("--clients", type=_count, nargs="+", default=[512, 256], metavar="N")
    one.add_argument("--entities", type=_count, default=1000, metavar="N")
    one.add_argument("--seconds", type=float, default=5.0, help="measured in each run")
    one.add_argument("--warmup", type=_count, default=120, metavar="TICKS")
    two = benchmarks.add_parser("response", help="ping, and command to effect")
    two.add_argument(
        "--clients", type=_count, nargs="+", default=list(response.CLIENTS), metavar="N"
    )
    two.add_argument("--seconds", type=float, default=2.0, help="measured in each run")
    two.add_argument(
        "--settle", type=float, default=5.0, metavar="SECONDS", help="before each of them"
    )
    three = benchmarks.add_parser("size", help="bytes per moved entity")
    for benchmark in (one, two, three):
        benchmark.add_argument("--runs", type=_count, default=5, metavar="N")
        benchmark.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
