import math
import random

import esper

import ecsnet as net
from ecsnet.components import Position, Teleports, Velocity

from .aim import ahead, trace
from .commands import Steer, Zap
from .components import Heading, Score, Ship
from .field import BEAM, TURN

PLAN, TURNS = 90, 45  # frames: a plan, its turn
FIRST, LAST = 50, 80  # frames in which it shoots: well away from turns, its heading is what it saw
EDGE = 2.0  # pixels
SHOT = 2 / 60  # seconds until what it sends now is done: its ship flies on


class Pilot:
    """Who flies a ship: a component of the client's own. It also counts who was right."""

    def __init__(self) -> None:
        self.frame = random.randrange(PLAN)
        self.turn = self.turns = 0
        self.thrust = 1
        self.loaded = False
        self.saw: bool | None = None  # did the last beam hit, on the screen?
        self.jumps = 0  # of its ship, when it shot that
        self.beams = self.hits = 0  # as the server says
        self.shots = self.right = self.near_edge = self.moved = 0  # see figures()

    def fly(self, client: net.ClientWorld, ship: int, at: Position) -> None:
        """Turn towards the nearest ship, fly on, and shoot when one is in the way."""
        self.frame = (self.frame + 1) % PLAN
        away = self.bearing(ship, at)
        if self.frame == 0:
            self.turn = 1 if away > 0 else -1
            self.turns = min(TURNS, round(abs(away) / TURN * 60))
            self.thrust = random.choice((1, 0, -1))
        turn = self.turn if self.frame < self.turns else 0
        client.send(Steer(turn, self.thrust, fire=abs(away) < 10))
        if self.frame == FIRST:
            self.loaded, self.saw = self.saw is None, None  # one verdict at a time
        if self.loaded and self.frame >= FIRST:
            hits, last = self.sees_hit(ship, at), self.frame >= LAST
            if hits or (last and hits is not None):
                self.loaded, self.saw, self.jumps = False, hits, jumps_of(ship)
                client.send(Zap())
            elif last:
                self.loaded = False
                self.near_edge += 1

    def bearing(self, ship: int, at: Position) -> float:
        """How far it has to turn."""
        others = [o for entity, (_, o) in esper.get_components(Ship, Position) if entity != ship]
        goal = min(others, key=lambda o: math.dist((at.x, at.y), (o.x, o.y)), default=at)
        angle = math.degrees(math.atan2(goal.y - at.y, goal.x - at.x))
        return (angle - esper.component_for_entity(ship, Heading).angle + 180) % 360 - 180

    def sees_hit(self, ship: int, at: Position) -> bool | None:
        """Whether a beam would hit what is to be seen; None too near an edge to tell."""
        angle = esper.component_for_entity(ship, Heading).angle
        speed = esper.component_for_entity(ship, Velocity)
        x, y = ahead(angle + 90, 1)
        way = EDGE + SHOT * abs(speed.dx * x + speed.dy * y)
        beside = [Position(at.x + side * x, at.y + side * y) for side in (way, -way)]
        one, other = (trace(ship, place, angle, BEAM)[1] for place in beside)
        return one is not None if one == other else None

    def judge(self, ship: int, score: Score) -> None:
        """Compare what it saw with what the server says."""
        if self.saw is not None and score.beams == self.beams + 1:
            if jumps_of(ship) == self.jumps:
                self.shots += 1
                self.right += self.saw == (score.hits > self.hits)
            else:
                self.moved += 1
            self.saw = None
        self.beams, self.hits = score.beams, score.hits


def jumps_of(ship: int) -> int:
    """Count how often the server put this ship elsewhere, as far as is known here."""
    jumps = esper.try_component(ship, Teleports)
    return 0 if jumps is None else jumps.count


def play(client: net.ClientWorld) -> None:
    for ship, (at, score) in client.mine(Position, Score):
        pilot = esper.try_component(ship, Pilot)
        if pilot is None:
            pilot = Pilot()
            esper.add_component(ship, pilot)
        pilot.judge(ship, score)
        pilot.fly(client, ship, at)


def figures(client: net.ClientWorld) -> dict[str, float]:
    """For `ecsnet demo`: beams shot, and those of which the server said what was to be seen.

    Not among them are those not shot, `near_edge` of a ship or a wall; those of a ship that had
    `moved`, as its player could not know yet; and those whose verdict did not come in time.
    """
    for _, (_, pilot) in client.mine(Score, Pilot):
        judged: dict[str, float] = {"beams": pilot.shots, "verdicts": pilot.right}
        return judged | {"near_edge": pilot.near_edge, "moved": pilot.moved}
    return {}
