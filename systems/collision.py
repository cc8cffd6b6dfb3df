"""A system that finds the rectangles that meet."""

from __future__ import annotations

import esper

from ecsnet.components import Collider, Contacts, Position
from ecsnet.systems.rectangles import Box, Space, overlap, touch


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
        blocking: set[int] = set()
        for entity, (at, size) in esper.get_components(Position, Collider):
            if esper.entity_exists(entity):
                boxes[entity] = (at.x, at.y, at.x + size.width, at.y + size.height)
                if size.blocking:
                    blocking.add(entity)

        met: dict[int, list[int]] = {entity: [] for entity in boxes}
        space = Space(boxes.items())
        for entity in sorted(boxes):
            box = boxes[entity]
            for other in space.near(box):
                if other <= entity:
                    continue
                meets = touch if entity in blocking and other in blocking else overlap
                if meets(box, boxes[other]):
                    met[entity].append(other)
                    met[other].append(entity)

        for entity, contacts in esper.get_component(Contacts):
            contacts.entities = tuple(sorted(met.pop(entity, ())))
        for entity, others in met.items():
            esper.add_component(entity, Contacts(tuple(sorted(others))))
