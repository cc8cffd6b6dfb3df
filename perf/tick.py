"""``perf tick``: the server's CPU per client and tick, beside one that only moves datagrams.

The server has core one, the clients have core two. Each pair of runs is ecsnet first, then the
floor with the datagram sizes and rates, both ways, that were counted during the measured ticks of
the ecsnet run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perf import game
from perf.bots import players
from perf.build import first_on_path
from perf.children import Begun, Child, Measured, Ready, cores, free_port
from perf.floors import Traffic, mean_size, same_traffic
from perf.load import Counted, Stop, blind
from perf.report import Report, Row, paired

RATE = 60.0
JOIN_SECONDS = 60.0


@dataclass(frozen=True)
class Pair:
    """One ecsnet run and the floor that moved the same datagrams after it."""

    ecsnet: Measured
    floor: Measured
    counted: Counted
    floor_counted: Counted


def run(
    command: str,
    clients: Sequence[int],
    runs: int,
    warmup: int,
    ticks: int,
    entities: int,
    build: Path | None = None,
) -> Report:
    """Runs ``runs`` pairs for each number in ``clients``, taking turns.

    Args:
        command: The command line, for the report.
        clients: The numbers of clients.
        runs: How many pairs of each.
        warmup: Ticks between the last join and the first measured tick.
        ticks: How many ticks are measured in each run.
        entities: How many entities the world holds; a tenth of them moves each tick.
        build: Where servers import ecsnet from; see `perf.build`. The working tree if None.

    Returns:
        The report: a few rows for each number of clients.
    """
    pairs: dict[int, list[Pair]] = {count: [] for count in clients}
    for index in range(runs):
        for count in clients:
            pair = one_pair(count, warmup, ticks, entities, build)
            pairs[count].append(pair)
            print(
                f"run {index + 1} of {runs}, {count} clients: "
                f"{_each(pair.ecsnet, count):.1f} us beside {_each(pair.floor, count):.1f}",
                file=sys.stderr,
            )
    report = Report("tick", command)
    for count in clients:
        report.rows.append(_cpu_row(count, pairs[count]))
    for count in clients:
        report.rows.extend(_rows(count, pairs[count]))
    return report


def one_pair(
    clients: int, warmup: int, ticks: int, entities: int, build: Path | None = None
) -> Pair:
    """Makes one run of ecsnet and one of the floor with its traffic."""
    server_core, load_core = cores()
    port = free_port()
    with first_on_path(build):
        server = Child(game.serve_crowd, server_core, port, clients, entities, RATE, warmup, ticks)
    with server:
        server.expect(Ready, JOIN_SECONDS)  # or one of the clients' sockets might get its port
        with Child(players, load_core, port, clients, RATE) as load:
            load.tell(Ready())
            measured, counted = _measured(server, load, warmup, ticks)
    port = free_port()
    traffic = counted.traffic
    with Child(same_traffic, server_core, port, traffic, RATE, warmup, ticks) as server:
        server.expect(Ready, JOIN_SECONDS)
        with Child(blind, load_core, port, RATE, traffic) as load:
            floor, floor_counted = _measured(server, load, warmup, ticks)
    return Pair(measured, floor, counted, floor_counted)


def _measured(server: Child, load: Child, warmup: int, ticks: int) -> tuple[Measured, Counted]:
    load.expect(Ready, JOIN_SECONDS)
    server.expect(Begun, JOIN_SECONDS + warmup / RATE)
    load.tell(Begun())
    measured = server.expect(Measured, 10 + 3 * ticks / RATE)
    load.tell(Stop(ticks))
    return measured, load.expect(Counted, 10)


def _each(measured: Measured, clients: int) -> float:
    return measured.cpu / measured.ticks / clients * 1e6


def _cpu_row(clients: int, pairs: Sequence[Pair]) -> Row:
    values = [_each(pair.ecsnet, clients) for pair in pairs]
    floors = [_each(pair.floor, clients) for pair in pairs]
    share = max(pair.ecsnet.cpu / pair.ecsnet.wall for pair in pairs)
    return paired(
        f"server CPU per client and tick, {clients} clients",
        "us",
        values,
        floors,
        f"at most {share:.0%} of a core",
    )


def _rows(clients: int, pairs: Sequence[Pair]) -> list[Row]:
    def total(name: str, values: Sequence[int], floors: Sequence[int], note: str = "") -> Row:
        return Row(
            f"{name}, {clients} clients",
            sum(values),
            "in all",
            sum(floors),
            runs=len(pairs),
            note=note,
        )

    def traffic(name: str, ours: Sequence[Traffic], theirs: Sequence[Traffic]) -> list[Row]:
        rows: list[Row] = []
        for what, unit, figure in (
            ("datagrams", "a client and tick", _rate),
            ("size", "bytes, mean", _size),
        ):
            rows.append(
                paired(
                    f"{what} {name}, {clients} clients",
                    unit,
                    [figure(t, name) for t in ours],
                    [figure(t, name) for t in theirs],
                )
            )
        return rows

    ours = [pair.counted.traffic for pair in pairs]
    theirs = [pair.floor_counted.traffic for pair in pairs]
    return [
        total(
            "missed ticks",
            [pair.ecsnet.missed for pair in pairs],
            [pair.floor.missed for pair in pairs],
            f"of {sum(pair.ecsnet.ticks for pair in pairs)}",
        ),
        paired(
            f"longest time between two ticks, {clients} clients",
            "ms",
            [pair.ecsnet.longest * 1e3 for pair in pairs],
            [pair.floor.longest * 1e3 for pair in pairs],
        ),
        *traffic("down", ours, theirs),
        *traffic("up", ours, theirs),
        total(
            "turns the load could not keep up with",
            [pair.counted.skipped for pair in pairs],
            [pair.floor_counted.skipped for pair in pairs],
        ),
        paired(
            f"how busy the load was, {clients} clients",
            "of a core",
            [pair.counted.busy for pair in pairs],
            [pair.floor_counted.busy for pair in pairs],
        ),
        paired(
            f"times another program took the server's core, {clients} clients",
            "a second",
            [pair.ecsnet.displaced / pair.ecsnet.wall for pair in pairs],
            [max(1, pair.floor.displaced) / pair.floor.wall for pair in pairs],
        ),
    ]


def _sizes(traffic: Traffic, way: str) -> dict[int, int]:
    return traffic.down if way == "down" else traffic.up


def _rate(traffic: Traffic, way: str) -> float:
    return sum(_sizes(traffic, way).values()) / traffic.clients / traffic.ticks


def _size(traffic: Traffic, way: str) -> float:
    return mean_size(_sizes(traffic, way))
