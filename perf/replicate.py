"""``perf replicate``: what one update costs a server, of a world in which everything has changed.

There is no socket and no game in it: a thousand entities get other values, and then the clock runs
while a host ticks, which finds the changes, encodes them and hands datagrams to a function. Clients
take them and acknowledge them while it stands. It is CPU time of one thread.

The floor is the least that any of it could be: encoding the same values once, as one list, with
msgspec. What one update to one client consists of is measured part by part, in the same runs.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from ecsnet.replication.server.packing import Batch
from ecsnet.schema import encode
from ecsnet.transport.address import Address
from perf.bots import Crowd, PlayerBot
from perf.build import first_on_path
from perf.children import Child, cores
from perf.report import PerfError, Report, paired, single
from perf.thousand import NAMES, PATIENCE_SECONDS, RATE, Kind, Thousand, settle

T = TypeVar("T")

CLIENTS = (1, 20)
PARTS = ("finding and checking what changed", "looking up values by network id", "encoding runs")
"""The parts of an update that are measured by themselves. All else is simulation, noting what
changed and when, grouping it by who sees it, and packets."""

GARBAGE = 100_000
"""Objects after which the garbage collector looks, as for `ServerWorld.run`."""


@dataclass(frozen=True)
class Updates:
    """A run: medians of its updates.

    Attributes:
        seconds: What one takes.
        floor: What encoding its values takes, in seconds.
        datagrams: How many go to each client in one, on average.
        parts: What of it each of `PARTS` takes, in seconds; nothing for more than one client.
    """

    seconds: float
    floor: float
    datagrams: float
    parts: Mapping[str, float]


def run(command: str, runs: int, updates: int, build: Path | None = None) -> Report:
    """Measures ints and texts, for each number of clients, in turns.

    Args:
        command: The command line, for the report.
        runs: How many runs of each.
        updates: How many updates each of them measures.
        build: Where ecsnet is imported from; see `perf.build`. The working tree if None.

    Returns:
        The report: what one update costs, and in how many datagrams it goes.
    """
    cases: list[tuple[Kind, int]] = [(kind, count) for kind in NAMES for count in CLIENTS]
    measured: dict[str, list[Updates]] = {}
    for index in range(runs):
        for kind, count in cases:
            name = f"{NAMES[kind]} to {count} client{'s' * (count > 1)}"
            each = one_run(kind, count, updates, build)
            measured.setdefault(name, []).append(each)
            print(
                f"run {index + 1} of {runs}, {name}: {each.seconds * 1e6:.0f} us", file=sys.stderr
            )
    report = Report("replicate", command)
    for name, all_runs in measured.items():
        values = [each.seconds * 1e6 for each in all_runs]
        floors = [each.floor * 1e6 for each in all_runs]
        report.rows.append(paired(f"one update, {name}", "us", values, floors))
    for name, all_runs in measured.items():
        floors = [each.floor * 1e6 for each in all_runs]
        for part in all_runs[0].parts:
            values = [each.parts[part] * 1e6 for each in all_runs]
            report.rows.append(paired(f"of that, {name}: {part}", "us", values, floors))
    for name, all_runs in measured.items():
        counts = [each.datagrams for each in all_runs]
        report.rows.append(single(f"datagrams, {name}", "a client and update", counts))
    return report


def one_run(kind: Kind, clients: int, updates: int, build: Path | None = None) -> Updates:
    """Measures ``updates`` updates to ``clients``, in a process of its own."""
    server_core, _ = cores()
    with first_on_path(build):
        child = Child(replicate, server_core, kind, clients, updates)
    with child:
        return child.expect(Updates, PATIENCE_SECONDS)


def replicate(connection: Connection, kind: Kind, clients: int, updates: int) -> None:
    """Child: the host of `one_run` and its clients."""
    sent: list[tuple[bytes, Address]] = []
    world = Thousand(kind, lambda data, address: sent.append((data, address)))
    crowd = Crowd(world.registry.schema(), world.held, RATE)
    bots: dict[Address, PlayerBot] = {
        ("client", number + 1): PlayerBot(number, crowd) for number in range(clients)
    }

    def exchange() -> None:
        """Gives the clients what was sent, and the host what they say to it and by themselves."""
        host, now = world.host, world.now
        arrived = sent.copy()
        sent.clear()
        for data, address in arrived:
            replies = bots[address].take(data, now)
            host.receive_datagrams([(reply, address) for reply in replies], now)
        for address, bot in bots.items():
            host.receive_datagrams([(data, address) for data in bot.turn(now)], now)

    def step() -> None:
        exchange()
        world.change()
        world.tick()

    gc.set_threshold(GARBAGE)
    settle(step)
    if crowd.welcomed < clients:
        raise PerfError(f"{crowd.welcomed} of {clients} clients are in")
    seconds: list[float] = []
    floors: list[float] = []
    datagrams = 0
    for _ in range(updates):
        exchange()
        values = world.change()
        began = time.thread_time()
        world.tick()
        seconds.append(time.thread_time() - began)
        encode(values)  # once before: what the tick left of the caches is no part of the floor
        began = time.thread_time()
        encode(values)
        floors.append(time.thread_time() - began)
        datagrams += len(sent)
        if {address for _, address in sent} != bots.keys():
            raise PerfError("a client was not told of an update")
    whole = statistics.median(seconds)
    parts: dict[str, float] = {}
    if clients == 1:
        parts = measure_parts(world, updates)
        parts["the rest"] = whole - sum(parts.values())
    each = datagrams / updates / clients
    connection.send(Updates(whole, statistics.median(floors), each, parts))


def measure_parts(world: Thousand, updates: int) -> dict[str, float]:
    """Returns the seconds that each of `PARTS` takes, median of so many changes of a world. The
    world is of no use afterwards.
    """
    entities = world.host.rooms[0].replicator.entities
    (detector,) = [each for each in entities.detectors if each.component.cls is world.values.kind]
    cids = (detector.cid,)
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}

    def lap(part: str, do: Callable[[], T]) -> T:
        began = time.thread_time()
        done = do()
        seconds[part].append(time.thread_time() - began)
        return done

    finding, looking_up, encoding = PARTS
    world.change()
    batch = Batch(detector.changed()[0])
    for _ in range(updates):
        world.change()
        lap(finding, detector.changed)
        columns = lap(looking_up, partial(entities.columns_of, cids, batch.entities))
        lap(encoding, partial(batch.encode, cids, columns))
    return {part: statistics.median(each) for part, each in seconds.items()}
