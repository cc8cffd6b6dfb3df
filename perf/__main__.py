"""``python -m perf tick|replicate|apply|predict|response|size|feel|analytics|world|...``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from perf import (
    against,
    analytics,
    apply,
    feel,
    journal,
    movement,
    predict,
    replicate,
    response,
    size,
    sockets,
    tick,
    world,
)
from perf.build import compiled
from perf.game import Kind
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
    if options.benchmark == "against":
        return against.run(command, options.other, options.arguments, options.pairs)
    if options.benchmark == "size":
        return size.run(command, options.runs)
    if options.benchmark == "feel":
        smooth = options.smooth == "on"
        return feel.run(command, options.rows, options.seeds, options.seconds, smooth=smooth)
    if options.benchmark == "journal":
        return journal.run(command, options.runs, options.seconds)
    if options.benchmark == "movement":
        return movement.run(command, options.runs, options.rounds)
    if options.benchmark == "sockets":
        return sockets.run(command, options.runs)
    build = None if options.interpreted else compiled()
    runs = options.runs
    if options.benchmark == "replicate":
        report = replicate.run(command, runs, options.updates, build)
    elif options.benchmark == "apply":
        report = apply.run(command, runs, options.updates, build)
    elif options.benchmark == "predict":
        report = predict.run(command, runs, options.rounds, build)
    else:
        report = _server_report(options, command, build)
    report.machine["ecsnet"] = "interpreted" if build is None else "compiled"
    return report


def _server_report(options: argparse.Namespace, command: str, build: Path | None) -> Report:
    """Measures a server with sockets for some seconds."""
    runs, seconds = options.runs, options.seconds
    if options.benchmark == "analytics":
        return analytics.run(command, runs, seconds, options.clients, build)
    if options.benchmark == "world":
        ticks = max(1, round(seconds * world.RATE))
        return world.run(
            command, options.clients, options.entities, runs, ticks, options.settle, build
        )
    if options.benchmark == "response":
        return response.run(command, options.clients, runs, seconds, options.settle, build)
    ticks = max(1, round(seconds * tick.RATE))
    setup = tick.Setup(options.warmup, ticks, options.entities, build)
    return tick.run(command, options.clients, runs, setup, options.rows, options.everybody)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m perf", description=__doc__)
    add = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK").add_parser
    each = argparse.ArgumentParser(add_help=False)
    each.add_argument("--runs", type=_count, default=5, metavar="N")
    each.add_argument("--json", action="store_true", help="print one JSON object")
    built = argparse.ArgumentParser(add_help=False, parents=[each])
    built.add_argument("--interpreted", action="store_true", help="ecsnet as it is, not compiled")

    one = add("tick", parents=[built], help="server CPU per client and tick")
    one.add_argument("--clients", type=_count, nargs="+", default=[512, 256], metavar="N")
    one.add_argument("--entities", type=_count, default=1000, metavar="N")
    one.add_argument("--seconds", type=float, default=5.0, help="measured in each run")
    one.add_argument("--warmup", type=_count, default=120, metavar="TICKS")
    one.add_argument(
        "--rows", nargs="+", choices=get_args(Kind), default=["plain"], help="games to measure"
    )
    one.add_argument(
        "--everybody", type=_count, default=100, metavar="N", help="players who all see each other"
    )
    for name, what in (
        ("replicate", "what an update costs, without sockets"),
        ("apply", "entities that a client takes in, without sockets"),
    ):
        one = add(name, parents=[built], help=what)
        one.add_argument("--updates", type=_count, default=200, metavar="N")
    one = add("predict", parents=[built], help="a client that runs ahead, and goes back")
    one.add_argument("--rounds", type=_count, default=60, metavar="N")
    one = add("response", parents=[built], help="ping, and command to effect")
    one.add_argument(
        "--clients", type=_count, nargs="+", default=list(response.CLIENTS), metavar="N"
    )
    one.add_argument("--seconds", type=float, default=2.0, help="measured in each run")
    one.add_argument(
        "--settle", type=float, default=5.0, metavar="SECONDS", help="before each of them"
    )
    add("size", parents=[each], help="bytes per moved entity")
    one = add("feel", help="what players see on a bad network, frame by frame")
    one.add_argument("--json", action="store_true", help="print one JSON object")
    one.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14], metavar="N")
    one.add_argument("--seconds", type=float, default=60.0, help="measured in each run")
    one.add_argument(
        "--rows",
        nargs="+",
        choices=feel.SCENARIOS,
        default=[*feel.SCENARIOS],
        help="what is played",
    )
    one.add_argument(
        "--smooth", choices=["on", "off"], default="on", help="off: all is drawn as it arrives"
    )
    one = add("analytics", parents=[built], help="ticks with analytics beside ticks without")
    one.add_argument("--clients", type=_count, default=32, metavar="N")
    one.add_argument("--seconds", type=float, default=15.0, help="measured in each run")
    one = add("world", parents=[built], help="clients that ask for the world, beside idle ones")
    one.add_argument("--clients", type=_count, default=8, metavar="N")
    one.add_argument("--entities", type=_count, default=10_000, metavar="N")
    one.add_argument("--seconds", type=float, default=20.0, help="measured in each run")
    one.add_argument(
        "--settle", type=float, default=6.0, metavar="SECONDS", help="before each of them"
    )
    one = add("journal", parents=[each], help="ticks while old parts of a journal are deleted")
    one.add_argument("--seconds", type=float, default=20.0, help="measured in each run")
    one = add("movement", parents=[each], help="the stock systems, in one tick and in ten")
    one.add_argument("--rounds", type=_count, default=60, metavar="N")
    add("sockets", parents=[each], help="datagrams at several addresses of a machine")

    one = add("against", help="a benchmark here beside another checkout's")
    one.add_argument("other", type=Path, metavar="FOLDER", help="the other checkout")
    one.add_argument("--pairs", type=_count, default=15, metavar="N")
    one.add_argument("--json", action="store_true", help="print one JSON object")
    one.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="the benchmark and its options"
    )
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
