"""``perf apply``: how many changed entities a client takes in, in a millisecond of its frame.

There is no socket in it: a host puts updates of a thousand entities, which have all changed, into
memory, and the clock runs while a `ClientWorld` polls, until its esper world shows them. It is CPU
time of one thread.

The floor is the least that any of it could be: decoding the same values with msgspec, beside ids by
which the objects are found that get them.

Beside that, a smooth client, which draws a thousand floats between two values, takes turns with a
plain one that is told the same. Each of them also has a frame between two updates.
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
from typing import Any

import esper
import msgspec

from ecsnet.client.world import ClientWorld
from ecsnet.schema import encode
from ecsnet.transport.memory import MemoryServer
from perf.build import first_on_path
from perf.children import Child, cores
from perf.report import PerfError, Report, paired, single
from perf.thousand import ENTITIES, NAMES, PATIENCE_SECONDS, RATE, Kind, Thousand, settle

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


@dataclass(frozen=True)
class Frames:
    """A run with a smooth client and a plain one: medians, in seconds.

    Attributes:
        plain: What a poll takes of the plain one, with an update.
        update: The same of the smooth one.
        between: What a poll takes of the smooth one, without.
    """

    plain: float
    update: float
    between: float


def run(command: str, runs: int, updates: int, build: Path | None = None) -> Report:
    """Measures ints, texts, and floats that are drawn between two values, in turns.

    Args:
        command: The command line, for the report.
        runs: How many runs of each.
        updates: How many updates each of them measures.
        build: Where ecsnet is imported from; see `perf.build`. The working tree if None.

    Returns:
        The report: what a thousand entities take, and how many go into a millisecond.
    """
    measured: dict[Kind, list[Polls]] = {kind: [] for kind in NAMES}
    drawn: list[Frames] = []
    for index in range(runs):
        for kind, name in NAMES.items():
            each = one_run(kind, updates, build)
            measured[kind].append(each)
            print(
                f"run {index + 1} of {runs}, {name}: {each.seconds * 1e6:.0f} us", file=sys.stderr
            )
        drawn.append(smooth_run(updates, build))
        print(
            f"run {index + 1} of {runs}, smooth: {drawn[-1].update * 1e6:.0f} us", file=sys.stderr
        )
    report = Report("apply", command)
    for kind, all_runs in measured.items():
        values = [each.seconds * 1e6 for each in all_runs]
        floors = [each.floor * 1e6 for each in all_runs]
        report.rows.append(paired(f"a poll that takes in {NAMES[kind]}", "us", values, floors))
    for kind, all_runs in measured.items():
        rates = [ENTITIES / each.seconds / 1e3 for each in all_runs]
        report.rows.append(single(f"taken in of {NAMES[kind]}", "entities a ms", rates))
    plain = [each.plain * 1e6 for each in drawn]
    for name, polls in (
        ("a poll that takes in 1,000 floats, smooth", [each.update * 1e6 for each in drawn]),
        ("a frame between two updates, smooth", [each.between * 1e6 for each in drawn]),
    ):
        report.rows.append(paired(name, "us", polls, plain, "beside a plain poll of 1,000 floats"))
    return report


def one_run(kind: Kind, updates: int, build: Path | None = None) -> Polls:
    """Measures the polls that take in ``updates`` updates, in a process of its own."""
    core, _ = cores()
    with first_on_path(build):
        child = Child(apply, core, kind, updates)
    with child:
        return child.expect(Polls, PATIENCE_SECONDS)


def smooth_run(updates: int, build: Path | None = None) -> Frames:
    """Measures a smooth client beside a plain one, in a process of their own."""
    core, _ = cores()
    with first_on_path(build):
        child = Child(draw, core, updates)
    with child:
        return child.expect(Frames, PATIENCE_SECONDS)


def apply(connection: Connection, kind: Kind, updates: int) -> None:
    """Child: the client of `one_run` and its host."""
    memory = MemoryServer()
    world = Thousand(kind, memory.send)
    client = _client(memory, world)

    def step() -> None:
        _update(memory, world)
        client.poll()

    settle(step)
    seconds: list[float] = []
    floors: list[float] = []
    for _ in range(updates):
        values = _update(memory, world)
        seconds.append(_poll(client))
        if Counter(_shown(client, world)) != Counter(values):
            raise PerfError(f"the client does not show the {ENTITIES} values that it was sent")
        floors.append(_floor(values))
    connection.send(Polls(statistics.median(seconds), statistics.median(floors)))


def draw(connection: Connection, updates: int) -> None:
    """Child: the clients of `smooth_run` and their host."""
    memory = MemoryServer()
    world = Thousand("floats", memory.send)
    plain, smooth = (_client(memory, world, smooth=smooth) for smooth in (False, True))
    told: list[list[Any]] = []  # from the first tick on
    frames: list[Frames] = []

    def step() -> None:
        told.append(_update(memory, world))
        without, update = _poll(plain), _poll(smooth)
        world.now += 0.5 / RATE
        _poll(plain)
        frames.append(Frames(without, update, _poll(smooth)))

    settle(step)
    frames.clear()
    for _ in range(updates):
        step()
        drawn = smooth.shown or 1.0
        tick, fraction = int(drawn), drawn % 1.0
        between = [
            one + (other - one) * fraction
            for one, other in zip(told[tick - 1], told[tick], strict=True)
        ]
        found = zip(_shown(smooth, world), between, strict=True)
        if not all(abs(value - true) < 1e-6 for value, true in found):
            raise PerfError(f"the smooth client does not draw what lies between at tick {drawn}")
    connection.send(
        Frames(
            statistics.median([each.plain for each in frames]),
            statistics.median([each.update for each in frames]),
            statistics.median([each.between for each in frames]),
        )
    )


def _client(memory: MemoryServer, world: Thousand, *, smooth: bool = False) -> ClientWorld:
    return ClientWorld.over(
        memory.connect(),
        world="smooth" if smooth else "perf",
        registry=world.registry,
        smooth=smooth,
        clock=lambda: world.now,
        random=random.Random(2 + smooth).randbytes,
    )


def _update(memory: MemoryServer, world: Thousand) -> list[Any]:
    """Puts an update into memory; returns its values."""
    world.host.receive_datagrams(memory.receive(), world.now)
    values = world.change()
    world.tick()
    return list(values)


def _poll(client: ClientWorld) -> float:
    """Returns the seconds that a poll takes."""
    began = time.thread_time()
    client.poll()
    return time.thread_time() - began


def _shown(client: ClientWorld, world: Thousand) -> list[Any]:
    with client.view:
        return [component.value for _, component in esper.get_component(world.values.kind)]


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
