"""``perf response``: how long an answer takes, beside uvloop servers that do nothing but answer.

Two questions, asked with 2 to 128 clients of a game in which everybody moves and everybody sees
it. *Ping* is the session's own ping, asked 64 times a second by each client, beside a bare echo
that gets the same number of pings and nothing else. *Effect* is the time from ``client.send`` to
the moment at which a client that polls without pause sees the component change, beside a server
that answers everything at its next 60 Hz tick; that takes half a tick on average, and no server
that simulates in ticks can take less.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import esper

import ecsnet as net
from perf.bots import Crowd, PingingBot, joined
from perf.build import first_on_path
from perf.children import Child, Held, Ready, cores, free_port
from perf.floors import answer_at_tick, echo
from perf.game import Press, Pressed, Steer, schema, serve_arena
from perf.probes import (
    PROBE_BYTES,
    EchoPinger,
    EchoProbe,
    Probe,
    Times,
    effect_times,
    ping_times,
)
from perf.report import PerfError, Report, Row, paired
from perf.swarm import Blind, Swarm

CLIENTS = (2, 4, 8, 16, 32, 64, 128)
TICK_RATE = 60.0
SEND_RATE = 64.0
PATIENCE_SECONDS = 30.0


class WorldProbe(Probe):
    """A client world that presses and looks for the effect in its view."""

    def __init__(self, port: int) -> None:
        """Connects to ``port`` of the loopback; ``ready`` once its player is there."""
        self.client = net.ClientWorld.connect("127.0.0.1", port, name="probe", smooth=False)
        self.number = 0

    def ready(self) -> bool:
        """Polls; returns whether the client has its player."""
        self.client.poll()
        return self.client.player is not None

    def ask(self) -> None:
        self.number += 1
        self.client.send(Press(self.number))

    def poll(self) -> bool:
        self.client.poll()
        player = self.client.player
        if player is None:
            raise PerfError("the probe lost its player")
        pressed = esper.try_component(player, Pressed)
        return pressed is not None and pressed.number == self.number


def run(
    command: str,
    clients: Sequence[int],
    runs: int,
    seconds: float,
    settle: float,
    build: Path | None = None,
) -> Report:
    """Asks both questions ``runs`` times with each number of ``clients``, taking turns.

    Args:
        command: The command line, for the report.
        clients: The numbers of clients.
        runs: How many pairs of each.
        seconds: How long each measured stretch is.
        settle: Seconds before it, in which the clients find their pace.
        build: Where servers import ecsnet from; see `perf.build`. The working tree if None.

    Returns:
        The report: two rows for each number of clients.
    """
    pings: dict[int, list[tuple[float, float]]] = {count: [] for count in clients}
    effects: dict[int, list[tuple[float, float]]] = {count: [] for count in clients}
    pings_of = partial(session_pings, build, settle)
    effects_of = partial(world_effects, build, settle)
    for index in range(runs):
        for count in clients:
            ping = _mean(echo_floor, count, seconds)
            effect = _mean(tick_floor, count, seconds)
            pings[count].append((_mean(pings_of, count, seconds), ping))
            effects[count].append((_mean(effects_of, count, seconds), effect))
            print(
                f"run {index + 1} of {runs}, {count} clients: "
                f"ping {_beside(pings[count][-1], 1e6)} us, "
                f"effect {_beside(effects[count][-1], 1e3)} ms",
                file=sys.stderr,
            )
    report = Report("response", command)
    for count in clients:
        report.rows.append(_row(f"ping, {count} clients", "us", pings[count], 1e6))
    for count in clients:
        report.rows.append(_row(f"effect, {count} clients", "ms", effects[count], 1e3))
    return report


def echo_floor(clients: int, seconds: float) -> Times:
    """Returns what pings to a bare echo take."""
    server_core, load_core = cores()
    port = free_port()
    with (
        Child(echo, server_core, port) as server,
        Held(ping_echo, load_core, port, clients, seconds) as load,
    ):
        server.expect(Ready, PATIENCE_SECONDS)
        load.tell(Ready())
        return load.expect(Times, PATIENCE_SECONDS + seconds)


def tick_floor(clients: int, seconds: float) -> Times:
    """Returns what answers of a server that answers at its ticks take."""
    server_core, load_core = cores()
    port = free_port()
    with (
        Child(answer_at_tick, server_core, port, TICK_RATE) as server,
        Held(ask_ticks, load_core, port, clients, seconds) as load,
    ):
        server.expect(Ready, PATIENCE_SECONDS)
        load.tell(Ready())
        return load.expect(Times, PATIENCE_SECONDS + seconds)


def session_pings(build: Path | None, settle: float, clients: int, seconds: float) -> Times:
    """Returns what pings of sessions with a game server take."""
    server_core, load_core = cores()
    port = free_port()
    with first_on_path(build):
        server = Child(serve_arena, server_core, port, clients, TICK_RATE)
    with server, Held(ping_sessions, load_core, port, clients, seconds, settle) as load:
        server.expect(Ready, PATIENCE_SECONDS)
        load.tell(Ready())
        return load.expect(Times, PATIENCE_SECONDS + settle + seconds)


def world_effects(build: Path | None, settle: float, clients: int, seconds: float) -> Times:
    """Returns what effects in a client world take."""
    server_core, load_core = cores()
    port = free_port()
    with first_on_path(build):
        server = Child(serve_arena, server_core, port, clients, TICK_RATE)
    with server, Held(ask_world, load_core, port, clients, seconds, settle) as load:
        server.expect(Ready, PATIENCE_SECONDS)
        load.tell(Ready())
        return load.expect(Times, PATIENCE_SECONDS + settle + seconds)


def ping_echo(connection: Connection, port: int, clients: int, seconds: float) -> None:
    """Child: the clients of `echo_floor`."""
    swarm = Swarm([EchoPinger() for _ in range(clients)], SEND_RATE, port)
    connection.send(ping_times(swarm, SEND_RATE, seconds))


def ask_ticks(connection: Connection, port: int, clients: int, seconds: float) -> None:
    """Child: the clients of `tick_floor`."""
    swarm = Swarm([Blind([PROBE_BYTES]) for _ in range(clients - 1)], SEND_RATE, port)
    connection.send(effect_times(EchoProbe(port), swarm, 1 / TICK_RATE, seconds))


def ping_sessions(
    connection: Connection, port: int, clients: int, seconds: float, settle: float
) -> None:
    """Child: the clients of `session_pings`."""
    crowd = Crowd(schema(), Steer, TICK_RATE, pings=False)
    swarm = joined(port, clients, crowd, SEND_RATE, PingingBot)
    _settle(swarm, settle)
    connection.send(ping_times(swarm, SEND_RATE, seconds))


def ask_world(
    connection: Connection, port: int, clients: int, seconds: float, settle: float
) -> None:
    """Child: the clients of `world_effects`."""
    swarm = joined(port, clients - 1, Crowd(schema(), Steer, TICK_RATE), SEND_RATE)
    probe = WorldProbe(port)
    while not probe.ready():
        swarm.step(0)
    _settle(swarm, settle, probe)
    connection.send(effect_times(probe, swarm, 1 / TICK_RATE, seconds))


def _settle(swarm: Swarm, seconds: float, probe: Probe | None = None) -> None:
    """Lets everybody find its pace."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        swarm.step(0)
        if probe is not None:
            probe.poll()


def _mean(question: Callable[[int, float], Times], clients: int, seconds: float) -> float:
    times = question(clients, seconds)
    if len(times.seconds) < 10 * times.unanswered or not times.seconds:
        raise PerfError(
            f"{clients} clients: {len(times.seconds)} answers came, {times.unanswered} never"
        )
    return statistics.mean(times.seconds)


def _beside(pair: tuple[float, float], scale: float) -> str:
    return f"{pair[0] * scale:.1f} beside {pair[1] * scale:.1f}"


def _row(name: str, unit: str, pairs: Sequence[tuple[float, float]], scale: float) -> Row:
    ours, floors = zip(*pairs, strict=True)
    return paired(name, unit, [x * scale for x in ours], [x * scale for x in floors], "mean")
