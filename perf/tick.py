"""``perf tick``: the server's CPU per client and tick, beside one that only moves datagrams.

The server has core one, the clients have core two. Each turn is the plain game, then a floor with
the datagram sizes and rates, both ways, that were counted during the measured ticks of it: a plain
socket that is drained twice a tick. Ratios are to that, since it is nearly always the lower floor.
The other one, an endpoint of uvloop, ends the turn; how far each of them swings stands in the
report, since neither is always the steadier.

In between, where they are asked for, come the same game with loss, the same game with a value that
only its player sees, and the same game with shared systems, for clients that run ahead; each beside
the plain one of the turn. The game in which everybody sees everybody has a floor of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.bots import players
from perf.build import first_on_path
from perf.children import Begun, Child, Held, Measured, Ready, cores, free_port
from perf.floors import Floor, Traffic, mean_size, plain_socket, uvloop_endpoint
from perf.game import Kind, serve_measured
from perf.load import Counted, Stop, blind
from perf.report import Report, Row, paired, single

RATE = 60.0
JOIN_SECONDS = 60.0
VARIANTS: dict[Kind, str] = {
    "loss": "1 % loss both ways",
    "own": "owner-only values that change each tick",
    "shared": "shared systems",
    "declared": "events and calls declared",
    "events": "100 events a second to all",
}
"""The games that are put beside the plain one, and what the report calls them."""


@dataclass(frozen=True)
class Setup:
    """The settings of all runs.

    Attributes:
        warmup: Ticks between the last join and the first measured tick.
        ticks: How many ticks are measured in each run.
        entities: How many entities the crowd's world holds; a tenth of them moves each tick.
        build: Where servers import ecsnet from; see `perf.build`. The working tree if None.
    """

    warmup: int
    ticks: int
    entities: int
    build: Path | None = None


@dataclass(frozen=True)
class Run:
    """One run of one server, and what went over the sockets of its clients."""

    server: Measured
    load: Counted

    @property
    def each(self) -> float:
        """CPU seconds for each client and tick."""
        return self.server.cpu / self.server.ticks / self.load.traffic.clients


@dataclass(frozen=True)
class Pair:
    """A run of a game, and the one that it is put beside."""

    game: Run
    beside: Run


class Turns:
    """The pairs of all turns, by what the report calls them, and the other floor's runs."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.pairs: dict[str, list[Pair]] = {}
        self.endpoints: dict[str, list[Run]] = {}

    def crowd(self, clients: int, kinds: Collection[Kind]) -> None:
        """Measures the plain game, its floors, and in between those of ``kinds`` beside it."""
        name = f"{clients} clients"
        plain = game_run("plain", clients, self.setup)
        self._add(name, plain, floor_run(plain_socket, plain, self.setup))
        for kind, what in VARIANTS.items():
            if kind in kinds:
                self._add(f"{name}, {what}", game_run(kind, clients, self.setup), plain)
        endpoint = floor_run(uvloop_endpoint, plain, self.setup)
        self.endpoints.setdefault(name, []).append(endpoint)

    def everybody(self, clients: int) -> None:
        """Measures the game in which everybody sees everybody, and its floor."""
        game = game_run("everybody", clients, self.setup)
        floor = floor_run(plain_socket, game, self.setup)
        self._add(f"{clients} players who all see each other", game, floor)

    def _add(self, name: str, game: Run, beside: Run) -> None:
        self.pairs.setdefault(name, []).append(Pair(game, beside))
        print(f"{name}: {game.each * 1e6:.1f} us beside {beside.each * 1e6:.1f}", file=sys.stderr)


def run(
    command: str,
    clients: Sequence[int],
    runs: int,
    setup: Setup,
    kinds: Collection[Kind] = ("plain",),
    everybody: int = 100,
) -> Report:
    """Runs ``runs`` turns for each number in ``clients``, taking turns.

    Args:
        command: The command line, for the report.
        clients: The numbers of clients of the crowd.
        runs: How many turns of each.
        setup: The settings of all runs.
        kinds: The games; the plain one is measured wherever another is put beside it.
        everybody: The number of players who all see each other.

    Returns:
        The report: a few rows for each game and number of clients.
    """
    turns = Turns(setup)
    for index in range(runs):
        print(f"run {index + 1} of {runs}", file=sys.stderr)
        if set(kinds) != {"everybody"}:
            for count in clients:
                turns.crowd(count, kinds)
        if "everybody" in kinds:
            turns.everybody(everybody)
    report = Report("tick", command)
    for name, pairs in turns.pairs.items():
        report.rows.append(_cpu_row(name, pairs))
    for name, endpoints in turns.endpoints.items():
        report.rows.extend(_floor_rows(name, turns.pairs[name], endpoints))
    for name, pairs in turns.pairs.items():
        report.rows.extend(_rows(name, pairs))
    return report


def game_run(kind: Kind, clients: int, setup: Setup) -> Run:
    """Makes one run of a game of ecsnet."""
    server_core, load_core = cores()
    port = free_port()
    with first_on_path(setup.build):
        server = Child(
            serve_measured,
            server_core,
            port,
            kind,
            clients,
            setup.entities,
            RATE,
            setup.warmup,
            setup.ticks,
        )
    with server, Held(players, load_core, port, clients, RATE, kind) as load:
        return _measured(server, load, setup)


def floor_run(floor: Floor, game: Run, setup: Setup) -> Run:
    """Makes one run of a floor with the traffic of a run of a game."""
    server_core, load_core = cores()
    port = free_port()
    traffic = game.load.traffic
    with (
        Child(floor, server_core, port, traffic, RATE, setup.warmup, setup.ticks) as server,
        Held(blind, load_core, port, RATE, traffic) as load,
    ):
        return _measured(server, load, setup)


def _measured(server: Child, load: Child, setup: Setup) -> Run:
    server.expect(Ready, JOIN_SECONDS)
    load.tell(Ready())
    load.expect(Ready, JOIN_SECONDS)
    server.expect(Begun, JOIN_SECONDS + setup.warmup / RATE)
    load.tell(Begun())
    measured = server.expect(Measured, 10 + 3 * setup.ticks / RATE)
    load.tell(Stop(setup.ticks))
    return Run(measured, load.expect(Counted, 10))


def _cpu_row(name: str, pairs: Sequence[Pair]) -> Row:
    share = max(pair.game.server.cpu / pair.game.server.wall for pair in pairs)
    return paired(
        f"server CPU per client and tick, {name}",
        "us",
        [pair.game.each * 1e6 for pair in pairs],
        [pair.beside.each * 1e6 for pair in pairs],
        f"at most {share:.0%} of a core",
    )


def _floor_rows(name: str, pairs: Sequence[Pair], endpoints: Sequence[Run]) -> list[Row]:
    """The other floor, and how far both of them swing."""
    games = [pair.game.each * 1e6 for pair in pairs]
    sockets = [pair.beside.each * 1e6 for pair in pairs]
    others = [run.each * 1e6 for run in endpoints]
    return [
        paired(f"server CPU beside an endpoint of uvloop, {name}", "us", games, others),
        single(f"floor: a plain socket drained twice a tick, {name}", "us", sockets),
        single(f"floor: an endpoint of uvloop, {name}", "us", others),
    ]


def _rows(label: str, pairs: Sequence[Pair]) -> list[Row]:
    def total(name: str, values: Sequence[int], floors: Sequence[int], note: str = "") -> Row:
        return Row(
            f"{name}, {label}",
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
                    f"{what} {name}, {label}",
                    unit,
                    [figure(t, name) for t in ours],
                    [figure(t, name) for t in theirs],
                )
            )
        return rows

    ours = [pair.game.load.traffic for pair in pairs]
    theirs = [pair.beside.load.traffic for pair in pairs]
    return [
        total(
            "missed ticks",
            [pair.game.server.missed for pair in pairs],
            [pair.beside.server.missed for pair in pairs],
            f"of {sum(pair.game.server.ticks for pair in pairs)}",
        ),
        paired(
            f"longest time between two ticks, {label}",
            "ms",
            [pair.game.server.longest * 1e3 for pair in pairs],
            [pair.beside.server.longest * 1e3 for pair in pairs],
        ),
        *traffic("down", ours, theirs),
        *traffic("up", ours, theirs),
        total(
            "turns the load could not keep up with",
            [pair.game.load.skipped for pair in pairs],
            [pair.beside.load.skipped for pair in pairs],
        ),
        paired(
            f"how busy the load was, {label}",
            "of a core",
            [pair.game.load.busy for pair in pairs],
            [pair.beside.load.busy for pair in pairs],
        ),
        paired(
            f"times another program took the server's core, {label}",
            "a second",
            [pair.game.server.displaced / pair.game.server.wall for pair in pairs],
            [max(1, pair.beside.server.displaced) / pair.beside.server.wall for pair in pairs],
        ),
    ]


def _sizes(traffic: Traffic, way: str) -> dict[int, int]:
    return traffic.down if way == "down" else traffic.up


def _rate(traffic: Traffic, way: str) -> float:
    return sum(_sizes(traffic, way).values()) / traffic.clients / traffic.ticks


def _size(traffic: Traffic, way: str) -> float:
    return mean_size(_sizes(traffic, way))
