"""``perf apply``: how many changed entities a client takes in, in a millisecond of its frame.

There is no socket in it: a host puts updates of a thousand entities, which have all changed, into
memory, and the clock runs while a `ClientWorld` polls, until its esper world shows them. It is CPU
time of one thread.

The floor is the least that any of it could be: decoding the same values with msgspec, beside ids by
which the objects are found that get them.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import esper
import msgspec

from ecsnet.client.world import ClientWorld
from ecsnet.schema import encode
from ecsnet.transport.memory import MemoryServer
from perf.build import first_on_path
from perf.children import Child, cores
from perf.report import PerfError, Report, paired, single
from perf.thousand import ENTITIES, NAMES, PATIENCE_SECONDS, Kind, Thousand, settle

_decoder = msgspec.msgpack.Decoder(tuple[list[int], list[int | str]])


@dataclass(frozen=True)
class Polls:
    """A run: medians of its polls.

    Attributes:
        seconds: What one takes.
        floor: What its values take where there is nothing but them, in seconds.
    """

    seconds: float
    floor: float


def run(command: str, runs: int, updates: int, build: Path | None = None) -> Report:
    """Measures ints and texts in turns.

    Args:
        command: The command line, for the report.
        runs: How many runs of each.
        updates: How many updates each of them measures.
        build: Where ecsnet is imported from; see `perf.build`. The working tree if None.

    Returns:
        The report: what a thousand entities take, and how many go into a millisecond.
    """
    measured: dict[Kind, list[Polls]] = {kind: [] for kind in NAMES}
    for index in range(runs):
        for kind, name in NAMES.items():
            each = one_run(kind, updates, build)
            measured[kind].append(each)
            print(
                f"run {index + 1} of {runs}, {name}: {each.seconds * 1e6:.0f} us", file=sys.stderr
            )
    report = Report("apply", command)
    for kind, all_runs in measured.items():
        values = [each.seconds * 1e6 for each in all_runs]
        floors = [each.floor * 1e6 for each in all_runs]
        report.rows.append(paired(f"a poll that takes in {NAMES[kind]}", "us", values, floors))
    for kind, all_runs in measured.items():
        rates = [ENTITIES / each.seconds / 1e3 for each in all_runs]
        report.rows.append(single(f"taken in of {NAMES[kind]}", "entities a ms", rates))
    return report


def one_run(kind: Kind, updates: int, build: Path | None = None) -> Polls:
    """Measures the polls that take in ``updates`` updates, in a process of its own."""
    core, _ = cores()
    with first_on_path(build):
        child = Child(apply, core, kind, updates)
    with child:
        return child.expect(Polls, PATIENCE_SECONDS)


def apply(connection: Connection, kind: Kind, updates: int) -> None:
    """Child: the client of `one_run` and its host."""
    memory = MemoryServer()
    world = Thousand(kind, memory.send)
    client = ClientWorld.over(
        memory.connect(),
        world="perf",
        registry=world.registry,
        smooth=False,
        clock=lambda: world.now,
        random=random.Random(2).randbytes,
    )

    def update() -> list[object]:
        """Puts an update into memory; returns its values."""
        world.host.receive_datagrams(memory.receive(), world.now)
        values = world.change()
        world.tick()
        return list(values)

    def step() -> None:
        update()
        client.poll()

    settle(step)
    seconds: list[float] = []
    floors: list[float] = []
    for _ in range(updates):
        values = update()
        began = time.thread_time()
        client.poll()
        seconds.append(time.thread_time() - began)
        with client.view:
            components = esper.get_component(world.values.kind)
        shown = [component.value for _, component in components]
        if Counter(shown) != Counter(values):
            raise PerfError(f"the client does not show the {ENTITIES} values that it was sent")
        floors.append(_floor(values))
    connection.send(Polls(statistics.median(seconds), statistics.median(floors)))


class _Plain:
    """An object with a value."""

    value: object = None


def _floor(values: list[object]) -> float:
    """Returns what it takes to decode values with ids, and to set them, in seconds."""
    data = encode((list(range(len(values))), values))
    objects = {number: _Plain() for number in range(len(values))}
    began = time.thread_time()
    for number, value in zip(*_decoder.decode(data), strict=True):
        objects[number].value = value
    return time.thread_time() - began
