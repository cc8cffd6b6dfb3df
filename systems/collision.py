"""A system that finds the rectangles that meet."""

from __future__ import annotations

from collections import defaultdict

import esper

from ecsnet.components import Collider, Contacts, Position
from ecsnet.systems.rectangles import TOLERANCE, Box, Space, cell_side, overlap, touch


class CollisionSystem(esper.Processor):
    """A system that writes the contacts of each entity with Position and Collider in this tick.

    Run it after what moves; systems that run later read the result::

        for coin, contacts in esper.get_component(Contacts):
            for player in contacts.entities: ...

    Two colliders meet when they overlap; two blocking ones, which `MovementSystem` keeps from
    overlapping, when their edges touch. Contacts is made here, once an entity, and is symmetrical.
    """

    def process(self, dt: float) -> None:
        """Find what meets now; the length of the step does not matter."""
        boxes: dict[int, Box] = {}
        rooms: dict[int, Box] = {}
        blocking: set[int] = set()
        for entity, (at, size) in esper.get_components(Position, Collider):
            if esper.entity_exists(entity):
                left, top = at.x, at.y
                right, bottom = left + size.width, top + size.height
                boxes[entity] = (left, top, right, bottom)
                # What touches may be a rounding error apart.
                rooms[entity] = (left, top, right + TOLERANCE, bottom + TOLERANCE)
                if size.blocking:
                    blocking.add(entity)

        met: defaultdict[int, list[int]] = defaultdict(list)
        for one, other in Space(rooms, cell_side(rooms.values())).pairs():
            meets = touch if one in blocking and other in blocking else overlap
            if meets(boxes[one], boxes[other]):
                met[one].append(other)
                met[other].append(one)

        known: set[int] = set()
        for entity, contacts in esper.get_component(Contacts):
            known.add(entity)
            contacts.entities = tuple(sorted(met.get(entity, ())))
        for entity in boxes:
            if entity not in known:
                esper.add_component(entity, Contacts(tuple(sorted(met.get(entity, ())))))
