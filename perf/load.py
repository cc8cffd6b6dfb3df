"""The load of ``tick`` as child processes: clients of ecsnet, or their shadows for the floor."""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from perf.children import Begun, Ready
from perf.floors import Traffic, spread
from perf.swarm import Blind, Swarm

LISTEN_SECONDS = 0.005
PLANNED_TURNS = 64


@dataclass(frozen=True)
class Stop:
    """From the parent: stop counting and say what was counted, during so many ticks."""

    ticks: int


@dataclass(frozen=True)
class Counted:
    """What went over the sockets.

    Attributes:
        traffic: Datagrams and their sizes.
        skipped: Turns that the load could not keep up with.
        busy: How much of its core the load took, 0 to 1.
    """

    traffic: Traffic
    skipped: int
    busy: float


def blind(connection: Connection, port: int, rate: float, traffic: Traffic) -> None:
    """Child: sends and receives ``traffic``'s sizes at its rates, decoding nothing."""
    sent = sum(traffic.up.values())
    turns = sent / traffic.clients / traffic.ticks * rate
    sizes = spread(traffic.up, traffic.clients * PLANNED_TURNS, seed=2)
    bots = [
        Blind(sizes[start : start + PLANNED_TURNS]) for start in range(0, len(sizes), PLANNED_TURNS)
    ]
    connection.send(Ready())
    count(connection, Swarm(bots, turns, port))


def count(connection: Connection, swarm: Swarm) -> None:
    """Runs ``swarm`` for ever, counting between the parent's ``Begun`` and ``Stop``."""
    listened = begun = time.perf_counter()
    cpu = time.process_time()
    while True:
        swarm.step()
        now = time.perf_counter()
        if now - listened < LISTEN_SECONDS:
            continue
        listened = now
        if connection.poll():
            message: object = connection.recv()
            if isinstance(message, Begun):
                swarm.count_again()
                begun, cpu = now, time.process_time()
            elif isinstance(message, Stop):
                busy = (time.process_time() - cpu) / (now - begun)
                connection.send(Counted(swarm.traffic(message.ticks), swarm.skipped, busy))
