"""``perf predict``: what a client takes that runs ahead of its server, and is wrong or right.

There is no server in it and no network: the game's two loops (those of ``perf movement``) run in a
world of their own, and what they come to is told of as a server tells of it, ten ticks after it was
predicted. The predicting end is the framework's own, with the same two loops as a shared system.

The floor is ten plain ticks of the two loops in the world that is told of.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import esper
import msgspec

from ecsnet.components import Owner, Position, Velocity
from ecsnet.prediction.history import History
from ecsnet.prediction.predictor import Predictor
from ecsnet.replication.client.store import Store
from ecsnet.replication.wire import STRUCTURE_TAG, WireFormat, encode_part
from ecsnet.schema import current_registry, encode
from ecsnet.simulation.spec import SimulationSpec
from ecsnet.world import World
from perf.build import first_on_path
from perf.children import Child, cores
from perf.movement import BACK, SIDE, SPEED, STEP, Loops, put_back
from perf.report import PerfError, Report, paired

EPOCH = 1
PLAYER = 1
SETTLE_TICKS = 30
DATAGRAM = 25
"""The entities whose values go into one datagram."""

TRIP = 8
"""The ticks that a server waits for an ack: it cannot know that the newest ones have come."""

PUSH = 8.0
"""By how much the server moves something that nobody could predict, in units."""

PATIENCE_SECONDS = 300.0


class Case(NamedTuple):
    """A number of entities that are predicted, and of others that stand around them."""

    predicted: int
    others: int = 0


CASES: dict[str, Case] = {
    "100 entities": Case(100),
    "1 entity": Case(1),
    "10 entities": Case(10),
    "400 entities": Case(400),
    "100 entities among 100 others": Case(100, others=100),
}


@dataclass(frozen=True)
class Took:
    """A run of a case: medians of its rounds, in seconds.

    Attributes:
        back: What it takes to go back ten ticks, and to run them again with a snapshot of each.
        differs: What it takes to take in an update of which something was predicted otherwise: to
            compare, and all that `back` is.
        agrees: What it takes to take in an update of which all was predicted.
        floor: Ten plain ticks.
    """

    back: float
    differs: float
    agrees: float
    floor: float


def run(command: str, runs: int, rounds: int, build: Path | None = None) -> Report:
    """Measures all cases in turns.

    Args:
        command: The command line, for the report.
        runs: How many runs of each.
        rounds: How often each figure has its turn in a run.
        build: Where ecsnet is imported from; see `perf.build`. The working tree if None.

    Returns:
        The report: going back, an update that differs, and one that does not, by case.
    """
    measured: dict[str, list[Took]] = {name: [] for name in CASES}
    for index in range(runs):
        for name, case in CASES.items():
            with first_on_path(build):
                child = Child(measure, cores()[0], case, rounds)
            with child:
                measured[name].append(child.expect(Took, PATIENCE_SECONDS))
        print(f"run {index + 1} of {runs}", file=sys.stderr)
    report = Report("predict", command)
    figures: dict[str, Callable[[Took], float]] = {
        f"{BACK} ticks back": lambda took: took.back,
        "an update that differs": lambda took: took.differs,
        "an update that agrees": lambda took: took.agrees,
    }
    for what, figure in figures.items():
        for name, all_runs in measured.items():
            values = [figure(took) * 1e6 for took in all_runs]
            floors = [took.floor * 1e6 for took in all_runs]
            report.rows.append(paired(f"{what}, {name}", "us", values, floors))
    return report


def measure(connection: Connection, case: Case, rounds: int) -> None:
    """Child: a run of a case."""
    game = Game(case)
    for _ in range(SETTLE_TICKS):
        game.go_on()
    back: list[float] = []
    differs: list[float] = []
    agrees: list[float] = []
    floors: list[float] = []
    for _ in range(rounds):
        agrees.append(game.go_on())
        back.append(game.go_back())
        floors.append(game.plain_ticks())
        game.push()
        differs.append(game.go_on(corrections=1))
    connection.send(
        Took(*[statistics.median(seconds) for seconds in (back, differs, agrees, floors)])
    )


class Game:
    """A world as it is on a server, and what its player's client predicts of it."""

    def __init__(self, case: Case) -> None:
        """Fills the world; the same case is always the same world."""
        schema = current_registry().schema()
        self.kinds = schema.components
        self.moving = [schema.cid_of[cls] for cls in (Position, Velocity)]
        self.world = World()
        self.loops = Loops()
        self.entities: list[int] = []
        self.numbers: dict[int, int] = {}  # their network ids
        self.tick = 0
        rng = random.Random(1)
        with self.world:
            for number in range(case.predicted + case.others):
                place = Position(rng.uniform(0, SIDE), rng.uniform(0, SIDE))
                speed = Velocity(rng.uniform(-SPEED, SPEED), rng.uniform(-SPEED, SPEED))
                entity = esper.create_entity(place, speed, Owner())
                self.entities.append(entity)
                self.numbers[entity] = PLAYER + number
                if number < case.predicted:
                    esper.component_for_entity(entity, Owner).player = self.entities[0]
        spec = SimulationSpec(1 / STEP)
        spec.add_function(Loops().process, 0, shared=True)
        wire = WireFormat(schema)
        self.update, self.structure = wire.update, wire.structure
        self.store = Store(wire, EPOCH)
        self.predictor = Predictor(spec, spec.tick_rate, schema.components, PLAYER, 1)
        self.history = History(BACK)
        self._begin(schema.cid_of[Owner])

    def _begin(self, owner: int) -> None:
        """Tells of the entities that there are, with what they have."""
        came = [self._run(self.entities, [*self.moving, owner])]
        message = encode([STRUCTURE_TAG, EPOCH, self.tick, [], [], [], came])
        if not self.store.structure(1, msgspec.msgpack.decode(message, type=self.structure), 0):
            raise PerfError("the client did not take what came into sight")

    def go_on(self, corrections: int = 0) -> float:
        """Lets a tick pass at both ends; returns what the client takes for what it is told then.

        Args:
            corrections: How often it is to find something to set right.
        """
        predictor = self.predictor
        with self.world:
            self.loops.process(STEP)
        self.tick += 1
        self._tell()
        before = predictor.corrections
        began = time.thread_time()
        predictor.correct(self.store)
        took = time.thread_time() - began
        if predictor.corrections - before != corrections:
            raise PerfError(f"{predictor.corrections - before} corrections, not {corrections}")
        predictor.simulate(self.store, self.tick + BACK)
        if predictor.failure is not None:
            raise PerfError(str(predictor.failure))
        return took

    def push(self) -> None:
        """Moves one of the predicted entities, which no client can know of."""
        with self.world:
            esper.component_for_entity(self.entities[0], Position).x += PUSH

    def go_back(self) -> float:
        """Goes back in the private world and `BACK` ticks forth again; it ends as it was.

        Returns:
            Seconds.
        """
        world = self.predictor.world
        with world:
            before = world.snapshot()
            began = time.thread_time()
            world.restore(before)
            world.put_back()
            for tick in range(self.tick, self.tick + BACK):
                world.step(tick, ())
                self.history.keep(tick, world.snapshot())
            took = time.thread_time() - began
            world.restore(before)
        return took

    def plain_ticks(self) -> float:
        """Runs `BACK` ticks of the two loops, and nothing else; the world ends as it was.

        Returns:
            Seconds.
        """
        with self.world:
            movers = [each for _, each in esper.get_components(Position, Velocity)]
            before = [(at.x, at.y, way.dx, way.dy) for at, way in movers]
            began = time.thread_time()
            for _ in range(BACK):
                self.loops.process(STEP)
            took = time.thread_time() - began
            put_back(movers, before)
        return took

    def _tell(self) -> None:
        """Tells of a tick, in as many datagrams as a server takes for it."""
        parts = [
            self.entities[first : first + DATAGRAM]
            for first in range(0, len(self.entities), DATAGRAM)
        ]
        for index, part in enumerate(parts):
            bits = encode_part(index, len(parts), 0)
            runs = [self._run(part, self.moving)]
            payload = [EPOCH, self.tick, min(self.tick, TRIP), 1, bits, None, runs]
            update = self.update.decode(encode(payload))
            if update is None or not self.store.update(update, 0):
                raise PerfError("the client did not take an update")

    def _number_of(self, entity: int | None) -> int | None:
        return None if entity is None else self.numbers[entity]

    def _run(self, entities: Sequence[int], cids: Sequence[int]) -> object:
        """Returns the values of entities for a message."""
        columns: list[object] = []
        for cid in cids:
            kind = self.kinds[cid]
            values = [
                kind.to_wire(self.world.components(entity)[kind.cls], self._number_of)
                for entity in entities
            ]
            columns.append([cid, values])
        first = self.numbers[entities[0]]
        return [[first] + [1] * (len(entities) - 1), columns]
