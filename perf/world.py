"""``perf world``: clients that ask for the whole world as often as they may, beside idle ones.

A large world that stands still, and three runs of the same clients: they are idle, they ask for
everything again ten times a second, or they leave and join as fast as the server lets them. The
floor of the latter two is the idle run beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import esper

import ecsnet as net
from ecsnet.components import Player, Position
from ecsnet.connection.plain import ClientHandshake
from ecsnet.peer import Peer
from ecsnet.replication.wire import Resync
from ecsnet.schema import encode
from ecsnet.session.goodbye import Reason
from ecsnet.session.packets import RAW
from perf.bots import Crowd, PlayerBot
from perf.build import first_on_path
from perf.children import Begun, Child, Held, Measured, Meter, Ready, cores, free_port
from perf.game import Steer, room_for, schema
from perf.load import Stop
from perf.report import Report, Row, paired
from perf.swarm import Swarm

RATE = 60.0
JOIN_SECONDS = 60.0
ASK_TURNS = 6
LOOK_STEPS = 10
WAYS = ("resync", "rejoin")


@dataclass(frozen=True)
class Round:
    """One run of each kind, one after the other, by kind."""

    measured: dict[str, Measured]
    asked: dict[str, int]


def run(
    command: str,
    clients: int,
    entities: int,
    runs: int,
    ticks: int,
    settle: float,
    build: Path | None = None,
) -> Report:
    """Measures idle clients, and beside them those that ask and those that come again.

    Args:
        command: The command line, for the report.
        clients: How many clients.
        entities: How many entities the world holds.
        runs: How many runs of each kind.
        ticks: How many ticks are measured in each.
        settle: Seconds between the last join and the first of them.
        build: Where servers import ecsnet from; see `perf.build`. The working tree if None.

    Returns:
        The report: for both kinds, the CPU beside that of idle clients, and missed ticks.
    """
    rounds: list[Round] = []
    for index in range(runs):
        measured: dict[str, Measured] = {}
        asked: dict[str, int] = {}
        for way in ("idle", *WAYS):
            measured[way], asked[way] = one_run(way, clients, entities, ticks, settle, build)
            share = measured[way].cpu / measured[way].wall
            print(f"run {index + 1} of {runs}, {way}: {share:.1%} of a core", file=sys.stderr)
        rounds.append(Round(measured, asked))
    report = Report("world", command)
    for way in WAYS:
        report.rows.append(
            paired(
                f"server CPU, {clients} clients that {way}",
                "of a core",
                [each.measured[way].cpu / each.measured[way].wall for each in rounds],
                [each.measured["idle"].cpu / each.measured["idle"].wall for each in rounds],
                f"{sum(each.asked[way] for each in rounds)} times in all",
            )
        )
    for way in WAYS:
        report.rows.append(
            Row(
                f"missed ticks, {clients} clients that {way}",
                sum(each.measured[way].missed for each in rounds),
                "in all",
                sum(each.measured["idle"].missed for each in rounds),
                runs=runs,
                note=f"of {runs * ticks}",
            )
        )
    return report


def one_run(
    way: str,
    clients: int,
    entities: int,
    ticks: int,
    settle: float,
    build: Path | None = None,
) -> tuple[Measured, int]:
    """Measures a server whose clients are ``"idle"``, ``"resync"`` or ``"rejoin"``."""
    server_core, load_core = cores()
    port = free_port()
    with first_on_path(build):
        server = Child(serve_still, server_core, port, clients, entities, RATE, ticks, settle)
    with server, Held(askers, load_core, port, clients, RATE, way) as load:
        server.expect(Ready, JOIN_SECONDS)
        load.tell(Ready())
        load.expect(Ready, JOIN_SECONDS)
        server.expect(Begun, JOIN_SECONDS)
        measured = server.expect(Measured, 10 + 5 * ticks / RATE)
        load.tell(Stop(ticks))
        return measured, load.expect(int, 10)


def serve_still(
    connection: Pipe,
    port: int,
    clients: int,
    entities: int,
    rate: float,
    ticks: int,
    settle: float,
) -> None:
    """Child: a world of ``entities`` that stand still, and everybody sees all of them."""
    server = net.ServerWorld(tick_rate=rate, max_clients=room_for(clients))
    meter = Meter(connection, rate, round(settle * rate), ticks)
    full = False

    @server.on_start
    def start() -> None:
        for number in range(entities):
            esper.create_entity(Position(float(number), 1.0))
        connection.send(Ready())

    @server.system
    def measure(_dt: float) -> None:
        nonlocal full
        full = full or len(esper.get_component(Player)) == clients
        if full:
            meter.tick()

    server.run("127.0.0.1", port)


class Asker(PlayerBot):
    """A client that asks for the world again, by the one way or the other.

    Attributes:
        asked: How often it did, and was not refused.
    """

    def __init__(self, number: int, crowd: Crowd, way: str) -> None:
        """The client is number ``number`` of ``crowd``; ``way`` as for `one_run`."""
        super().__init__(number, crowd)
        self.way = way
        self.asked = 0
        self.turns = number

    def turn(self, now: float) -> Sequence[bytes]:
        self.turns += 1
        if self.handshake is not None and self.handshake.refused is not None:
            if self.turns % ASK_TURNS:
                return ()
            self._anew(now)
        elif self.epoch is not None and self.turns % ASK_TURNS == 0:
            if self.way == "resync":
                self.peer.queue(encode(Resync()))
                self.asked += 1
            elif self.way == "rejoin" and self.connection is not None:
                goodbye = self.peer.session.pack_goodbye(Reason.LEFT, "", now)
                datagram = self.connection.seal(goodbye)
                self.asked += 1
                self._anew(now)
                return [datagram]
        return super().turn(now)

    def _anew(self, now: float) -> None:
        self.connection = self.epoch = None
        self.peer = Peer(RAW, peer_interval=1 / self.crowd.rate)
        self.frame = self.acked = self.tick = 0
        self.handshake = ClientHandshake(
            self.turns.to_bytes(4, "little") + self.number.to_bytes(4, "little"), now
        )


def askers(pipe: Pipe, port: int, clients: int, rate: float, way: str) -> None:
    """Child: ``clients`` that ask for the world; says ``Ready`` when all of them are in."""
    crowd = Crowd(schema(), Steer, rate)
    bots = [Asker(number, crowd, "idle") for number in range(clients)]
    swarm = Swarm(bots, rate, port)
    while crowd.welcomed < clients:
        swarm.step()
    for bot in bots:
        bot.way = way
    pipe.send(Ready())
    while not pipe.poll():
        for _ in range(LOOK_STEPS):
            swarm.step()
    pipe.send(sum(bot.asked for bot in bots))
