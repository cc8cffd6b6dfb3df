import math
import random

import esper

import ecsnet as net
from ecsnet.components import Position

from .aim import ahead, trace
from .commands import Steer, Zap
from .components import Heading, Score, Ship
from .field import BEAM, TURN

PLAN, TURNS, AIMS = 90, 45, 60  # frames: a plan, its turn, when it shoots
EDGE = 2.0  # pixels


class Pilot:
    """Who flies a ship: a component of the client's own. It also counts who was right."""

    def __init__(self) -> None:
        self.frame = random.randrange(PLAN)
        self.turn = self.turns = 0
        self.thrust = 1
        self.loaded = False
        self.saw: bool | None = None  # did the last beam hit, on the screen?
        self.beams = self.hits = 0  # as the server says
        self.shots = self.right = 0

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
        if self.frame == AIMS:
            self.loaded, self.saw = True, None
        if self.loaded and self.frame >= AIMS:
            hits = self.sees_hit(ship, at)
            if hits or (hits is not None and self.frame == PLAN - 1):
                self.loaded, self.saw = False, hits
                client.send(Zap())

    def bearing(self, ship: int, at: Position) -> float:
        """How far it has to turn."""
        others = [o for entity, (_, o) in esper.get_components(Ship, Position) if entity != ship]
        goal = min(others, key=lambda o: math.dist((at.x, at.y), (o.x, o.y)), default=at)
        angle = math.degrees(math.atan2(goal.y - at.y, goal.x - at.x))
        return (angle - esper.component_for_entity(ship, Heading).angle + 180) % 360 - 180

    def sees_hit(self, ship: int, at: Position) -> bool | None:
        """Whether a beam would hit what is to be seen; None too near an edge to tell."""
        angle = esper.component_for_entity(ship, Heading).angle
        x, y = ahead(angle + 90, EDGE)
        beside = Position(at.x + x, at.y + y), Position(at.x - x, at.y - y)
        one, other = (trace(ship, place, angle, BEAM)[1] for place in beside)
        return one is not None if one == other else None

    def judge(self, score: Score) -> None:
        """Compare what it saw with what the server says."""
        if self.saw is not None and score.beams == self.beams + 1:
            self.shots += 1
            self.right += self.saw == (score.hits > self.hits)
            self.saw = None
        self.beams, self.hits = score.beams, score.hits


def play(client: net.ClientWorld) -> None:
    for ship, (at, score) in client.mine(Position, Score):
        pilot = esper.try_component(ship, Pilot)
        if pilot is None:
            pilot = Pilot()
            esper.add_component(ship, pilot)
        pilot.judge(score)
        pilot.fly(client, ship, at)


def figures(client: net.ClientWorld) -> dict[str, float]:
    """For `ecsnet demo`: beams shot, and those of which the server said what was to be seen."""
    for _, (_, pilot) in client.mine(Score, Pilot):
        return {"beams": pilot.shots, "verdicts": pilot.right}
    return {}
