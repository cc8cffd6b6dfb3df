"""``perf movement``: what the stock systems take, in one tick and in ten ticks run again.

A hundred entities fly about in a square. Ten ticks are what a client does that predicts and was
wrong: it puts Position and Velocity back and runs its systems ten times.

The floor is the least that a game would write: one loop that adds, and one that turns around what
is outside. It knows no colliders.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import NamedTuple

import esper

from ecsnet.components import Bounds, Collider, Position, Velocity
from ecsnet.systems import CollisionSystem, MovementSystem
from ecsnet.world import World
from perf.children import Child, cores
from perf.report import Report, paired

ENTITIES = 100
SIDE = 1600.0
SPEED = 120.0
SIZE = 16.0
STEP = 1 / 60
BACK = 10
WALLS = 200
TICKS = (1, BACK)
PATIENCE_SECONDS = 120.0


class Loops(esper.Processor):
    """The floor."""

    def process(self, dt: float) -> None:
        for _, (position, velocity) in esper.get_components(Position, Velocity):
            position.x += velocity.dx * dt
            position.y += velocity.dy * dt
        for _, (position, velocity) in esper.get_components(Position, Velocity):
            if not 0.0 <= position.x <= SIDE:
                velocity.dx = -velocity.dx
            if not 0.0 <= position.y <= SIDE:
                velocity.dy = -velocity.dy


class Case(NamedTuple):
    """A measured system, with what its entities have beside Position and Velocity."""

    system: Callable[[], esper.Processor]
    bounds: bool = False
    collider: bool = False
    blocking: bool = False
    walls: int = 0


LOOPS = "two loops"
CASES: dict[str, Case] = {
    LOOPS: Case(Loops),
    "MovementSystem": Case(MovementSystem),
    "MovementSystem and Bounds": Case(MovementSystem, bounds=True),
    "MovementSystem, Bounds and blocking": Case(
        MovementSystem, bounds=True, collider=True, blocking=True
    ),
    f"the same among {WALLS} walls": Case(
        MovementSystem, bounds=True, collider=True, blocking=True, walls=WALLS
    ),
    "CollisionSystem": Case(CollisionSystem, collider=True),
}


@dataclass(frozen=True)
class Took:
    """Seconds by case and number of ticks: medians of the rounds of a run."""

    seconds: dict[tuple[str, int], float]


def run(command: str, runs: int, rounds: int) -> Report:
    """Measures all cases in turns.

    Args:
        command: The command line, for the report.
        runs: How many runs.
        rounds: How often each case has its turn in a run.

    Returns:
        The report: each system beside the two loops, in one tick and in ten.
    """
    measured: list[Took] = []
    for index in range(runs):
        with Child(measure, cores()[0], rounds) as child:
            measured.append(child.expect(Took, PATIENCE_SECONDS))
        print(f"run {index + 1} of {runs}", file=sys.stderr)
    report = Report("movement", command)
    for ticks in TICKS:
        floors = [took.seconds[LOOPS, ticks] * 1e6 for took in measured]
        for name in CASES:
            if name != LOOPS:
                values = [took.seconds[name, ticks] * 1e6 for took in measured]
                what = "one tick" if ticks == 1 else f"{ticks} ticks back"
                report.rows.append(paired(f"{what}, {name}", "us", values, floors))
    return report


def measure(connection: Connection, rounds: int) -> None:
    """Child: a run."""
    games = {name: Game(case) for name, case in CASES.items()}
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for ticks in TICKS:
            for name, game in games.items():
                seconds.setdefault((name, ticks), []).append(game.again(ticks))
    connection.send(Took({key: statistics.median(each) for key, each in seconds.items()}))


class Game:
    """A world of one case, which goes a tick further each time that it was measured."""

    def __init__(self, case: Case) -> None:
        """Fills the world; the same case is always the same world."""
        rng = random.Random(1)
        self.world = World()
        self.system = case.system()
        self.further = Loops() if case.system is CollisionSystem else self.system
        with self.world:
            for number in range(case.walls):
                place = Position(80.0 * (number % 20), 80.0 * (number // 20))
                esper.create_entity(place, Collider(SIZE, SIZE, blocking=True))
            for number in range(ENTITIES):
                # On a grid of their own: nothing begins inside of something else.
                place = Position(160.0 * (number % 10) + 40.0, 160.0 * (number // 10) + 40.0)
                speed = Velocity(rng.uniform(-SPEED, SPEED), rng.uniform(-SPEED, SPEED))
                entity = esper.create_entity(place, speed)
                if case.bounds:
                    esper.add_component(entity, Bounds(0.0, 0.0, SIDE, SIDE, bounce=True))
                if case.collider:
                    esper.add_component(entity, Collider(SIZE, SIZE, case.blocking))

    def again(self, ticks: int) -> float:
        """Goes a tick further, and from there as many as that again, of which it is the time."""
        with self.world:
            self.further.process(STEP)
            movers = [each for _, each in esper.get_components(Position, Velocity)]
            before = [(at.x, at.y, way.dx, way.dy) for at, way in movers]
            self.system.process(STEP)
            began = time.thread_time()
            put_back(movers, before)
            for _ in range(ticks):
                self.system.process(STEP)
            took = time.thread_time() - began
            put_back(movers, before)
            return took


def put_back(
    movers: Sequence[tuple[Position, Velocity]], before: Sequence[tuple[float, float, float, float]]
) -> None:
    for (position, velocity), values in zip(movers, before, strict=True):
        position.x, position.y, velocity.dx, velocity.dy = values
