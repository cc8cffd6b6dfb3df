"""What players do with what they own, in a soak: a shared system, which also runs ahead in clients.

They fly, and shoot. A shot comes into being and goes by commands and ticks alone, so that whoever
plays with ``smooth=True`` may predict all of it, but for what others do to it.
"""

from __future__ import annotations

from math import cos, hypot, radians, sin
from typing import Annotated

import esper

import ecsnet as net
from ecsnet.components import Owner
from ecsnet.testing import Registry, use_registry

__all__ = ["FLOWN", "REGISTRY", "SHOT_TICKS", "Course", "Flight", "Fly", "Shoot", "Shot"]

FLOWN = (
    "smooth clients", "corrections", "replayed ticks", "drawn worlds at rest", "jumps told",
    "pushed by the server", "shots asked for", "shots fired", "shots drawn", "shots drawn twice",
    "interpolation switched", "prediction switched",
    "deaths of one's own told",
)  # fmt: skip
"""Everything that must happen in a soak, of prediction and interpolation."""

SHOT_TICKS = 20

REGISTRY = Registry()
with use_registry(REGISTRY):

    @net.replicated(interpolate=True, snap=60.0)
    class Course:
        x: float = 0.0
        y: float = 0.0
        degrees: Annotated[float, net.Quantized(0.5), net.Turn(360)] = 0.0

    @net.replicated
    class Shot:
        number: int = 0
        near: int = 0
        """How many others were near by, for whoever shot."""
        left: int = SHOT_TICKS
        """Ticks."""

    @net.command(hold=True)
    class Fly:
        turn: Annotated[int, net.Between(-1, 1)] = 0

    @net.command
    class Shoot:
        number: int = 0


class Flight:
    """The shared system."""

    def process(self, dt: float) -> None:
        for entity, fly in net.commands(Fly, Course):
            course = esper.component_for_entity(entity, Course)
            course.degrees = (course.degrees + fly.turn * 180 * dt) % 360
            _advance(course, 120 * dt)
        for entity, shoot in net.commands(Shoot, Course):
            owner = esper.try_component(entity, Owner)
            player = entity if owner is None else owner.player
            if type(player) is int and esper.entity_exists(player):
                self._shoot(entity, player, shoot.number)
        for entity, (shot, course) in esper.get_components(Shot, Course):
            shot.left -= 1
            _advance(course, 300 * dt)
            if shot.left <= 0:
                esper.delete_entity(entity)

    def _shoot(self, entity: int, player: int, number: int) -> None:
        course = esper.component_for_entity(entity, Course)
        with net.rewind(entity):
            others = [each for other, each in esper.get_component(Course) if other != entity]
            near = sum(hypot(each.x - course.x, each.y - course.y) < 100 for each in others)
        degrees = (course.degrees + net.rng(entity).uniform(-9, 9)) % 360
        esper.create_entity(Course(course.x, course.y, degrees), Shot(number, near), Owner(player))


def _advance(course: Course, by: float) -> None:
    course.x += by * cos(radians(course.degrees))
    course.y += by * sin(radians(course.degrees))
