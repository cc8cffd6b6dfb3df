"""``perf size``: what a moved entity takes on the wire, counted in the datagrams of a host.

A world of 1,000 entities, of which 50 are somewhere else each tick, and a client that sees all of
them and acks everything. The *body* is the runs of an update: ids, component numbers, values and
the arrays around them. All else in a datagram is *headers*: the update's, the packet's and the
envelope's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import esper
import msgspec

from ecsnet.connection.plain import PAYLOAD
from ecsnet.schema import Between, Gate, Quantized, Registry, command, replicated, use_registry
from ecsnet.server.host import Host
from ecsnet.simulation.simulation import tick
from ecsnet.simulation.spec import SimulationSpec
from ecsnet.transport.address import Address
from perf.bots import Crowd, PlayerBot, head_gate
from perf.report import PerfError, Report, Row, single

ENTITIES = 1000
MOVED = 50
WORLD = 4096.0
STEP = 1 / 16
RATE = 60.0
SETTLE_TICKS = 300
TICKS = 200
CLIENT: Address = ("127.0.0.1", 1)

_packet_gate: Gate[list[msgspec.Raw]] = Gate(list[msgspec.Raw], 1300)


@dataclass(frozen=True)
class Size:
    """What went to one client in the counted ticks.

    Attributes:
        moved: Entities that moved, all ticks together.
        body: Bytes of runs.
        headers: Bytes of all else in the datagrams that carried them.
        datagrams: How many these were.
    """

    moved: int
    body: int
    headers: int
    datagrams: int


def run(command_line: str, runs: int) -> Report:
    """Counts unquantised and quantised coordinates, in ``runs`` worlds each.

    Args:
        command_line: The command line, for the report.
        runs: How many worlds, each with other places.

    Returns:
        The report.
    """
    report = Report("size", command_line)
    for name, measure in (("float64", plain), ("Quantized(1/16)", quantised)):
        sizes = [measure(seed) for seed in range(runs)]
        report.rows += _rows(name, sizes)
    return report


def plain(seed: int) -> Size:
    """Counts entities whose two coordinates are floats as they are."""
    with use_registry(Registry()) as registry:

        @replicated
        class Point:
            x: float = 0.0
            y: float = 0.0

        return _counted(registry, Point, seed)


def quantised(seed: int) -> Size:
    """Counts entities whose two coordinates are sent in sixteenths of a unit."""
    with use_registry(Registry()) as registry:

        @replicated
        class Point:
            x: Annotated[float, Quantized(STEP)] = 0.0
            y: Annotated[float, Quantized(STEP)] = 0.0

        return _counted(registry, Point, seed)


def _counted(registry: Registry, point: Callable[[float, float], object], seed: int) -> Size:
    @command(hold=True)
    class Steer:
        dx: Annotated[int, Between(-1, 1)] = 0
        dy: Annotated[int, Between(-1, 1)] = 0

    schema = registry.schema()
    dice = random.Random(seed)
    sent: list[bytes] = []
    host = Host(schema, lambda data, _: sent.append(data), random=dice.randbytes)
    host.add_room(_spec(point, dice), 0.0, seed=seed)
    crowd = Crowd(schema, Steer, RATE)
    bot = PlayerBot(0, crowd)
    moved = body = headers = datagrams = 0
    for number in range(SETTLE_TICKS + TICKS):
        now = number / RATE
        for datagram in bot.turn(now):
            host.receive_datagrams([(datagram, CLIENT)], now)
        host.tick(now)
        arrived = list(sent)
        sent.clear()
        for datagram in arrived:
            if number >= SETTLE_TICKS and (runs := _runs(datagram)):
                body += runs
                headers += len(datagram) - runs
                datagrams += 1
            for reply in bot.take(datagram, now):
                host.receive_datagrams([(reply, CLIENT)], now)
        moved += MOVED if number >= SETTLE_TICKS else 0
    if not datagrams:
        raise PerfError("no update reached the client")
    return Size(moved, body, headers, datagrams)


def _spec(point: Callable[[float, float], object], dice: random.Random) -> SimulationSpec:
    """A game that puts 50 entities somewhere else each tick."""

    def place(entity: int) -> None:
        esper.add_component(entity, point(dice.uniform(0, WORLD), dice.uniform(0, WORLD)))

    def start() -> None:
        for _ in range(ENTITIES):
            place(esper.create_entity())

    def move(_dt: float) -> None:
        if tick() < SETTLE_TICKS:
            return
        for entity in dice.sample(range(1, ENTITIES + 1), MOVED):
            place(entity)

    spec = SimulationSpec(tick_rate=RATE, on_start=[start])
    spec.add_function(move, 0)
    return spec


def _runs(datagram: bytes) -> int:
    """Returns how many bytes of a datagram are runs of values; 0 where there are none."""
    if datagram[0] != PAYLOAD:
        return 0
    parts = _packet_gate.decode(datagram[1:-4])
    head = None if parts is None or len(parts) < 4 else head_gate.decode(bytes(parts[3]))
    if head is None:
        return 0
    size = len(bytes(head[6]))
    return size if size > 1 else 0


def _rows(name: str, sizes: Sequence[Size]) -> list[Row]:
    return [
        single(f"body, {name}", "bytes an entity", [size.body / size.moved for size in sizes]),
        single(
            f"headers, {name}",
            "bytes a datagram",
            [size.headers / size.datagrams for size in sizes],
        ),
        single(
            f"datagrams, {name}",
            f"for {MOVED} entities",
            [size.datagrams * MOVED / size.moved for size in sizes],
        ),
    ]
