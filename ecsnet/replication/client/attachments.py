"""Attachments of the game to entities of the view, such as sprites.

The game's functions that make and remove them may do anything to the world, or raise. So none is
called while the view is being changed: what comes and goes is noted, and `Attachments.call_back`
calls what is due once the world is as the store says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Container
from dataclasses import dataclass
from functools import partial

from ecsnet.errors import UsageError
from ecsnet.replication.client.call_each import call_each
from ecsnet.replication.client.world_stamp import WorldStamp
from ecsnet.world import World

__all__ = ["Attachment", "Attachments"]


@dataclass(frozen=True, slots=True, eq=False)
class Attachment:
    """Something that the game attaches to every entity with some replicated component.

    Attributes:
        cls: The type of that component.
        make: Makes it, of the entity and the component; None for nothing.
        remove: Called with what was made when the component or the entity went.
    """

    cls: type
    make: Callable[[int, object], object]
    remove: Callable[[object], object] | None

    def __str__(self) -> str:
        return getattr(self.make, "__qualname__", None) or type(self.make).__name__


class Attachments:
    """The attachments of a view, what they made, and the calls that are due.

    Args:
        world: The esper world of the view.
        stamp: Its structure, as the view knows it: what is attached here is known.
        entities: The replicated entities, live.
        types: The replicated types.

    Attributes:
        by_type: What to attach, by type of the component.
        calling: True if functions of the game are being called.
    """

    def __init__(
        self, world: World, stamp: WorldStamp, entities: Container[int], types: Collection[type]
    ) -> None:
        self.by_type: dict[type, list[Attachment]] = {}
        self.calling = False
        self._world = world
        self._stamp = stamp
        self._entities = entities
        self._types = types
        self._made: dict[int, dict[Attachment, object]] = {}  # by entity
        self._calls: deque[Callable[[], object]] = deque()
        self._postponed: deque[Callable[[], object]] = deque()  # to the next `call_back`

    def add(self, attachment: Attachment) -> None:
        """Attach something to every entity with a component, now and later.

        Within `call_back`, entities that are there have to wait for the next one.
        """
        self.by_type.setdefault(attachment.cls, []).append(attachment)
        waiting = self._postponed if self.calling else self._calls
        with self._world:
            for entity, _ in self._world.structure(attachment.cls):
                if entity in self._entities:
                    waiting.append(partial(self._make, entity, attachment))

    # What the view tells.

    def appeared(self, entity: int, cls: type) -> None:
        """Note that an entity has got a component of a type in `by_type`."""
        for attachment in self.by_type[cls]:
            self._calls.append(partial(self._make, entity, attachment))

    def disappeared(self, entity: int, cls: type) -> None:
        """Take off what was attached to a component, which goes."""
        for attachment in [*self._made.get(entity, ())]:
            if attachment.cls is cls:
                self._take_off(entity, attachment)

    def forget(self, entity: int) -> None:
        """Take off all that was attached to an entity, which goes."""
        for attachment in [*self._made.get(entity, ())]:
            self._take_off(entity, attachment)

    def clear(self) -> None:
        """Let go of all that was attached: the database was cleared."""
        for made in self._made.values():
            for attachment, attached in made.items():
                self._let_go(attachment, attached)
        self._made.clear()

    def call_back(self) -> None:
        """Call what the game attached, for what came and went.

        Whatever these functions do, each of them is called once. Where one calls this again,
        nothing happens.

        Raises:
            Exception: As for `call_each`.
        """
        if self.calling:
            return
        self.calling = True
        self._calls.extend(self._postponed)
        self._postponed.clear()
        try:
            call_each(self._calls, self._world, "attached functions")
        finally:
            self.calling = False

    # On an entity.

    def _make(self, entity: int, attachment: Attachment) -> None:
        """Let the game make what it attaches, and put that on the entity."""
        component = self._holder(entity, attachment)
        if component is None or attachment in self._made.get(entity, ()):
            return
        undisturbed = self._stamp.undisturbed
        made = attachment.make(entity, component)
        if made is None:
            return
        with self._world:  # wherever the game went
            undisturbed = undisturbed and self._stamp.undisturbed
            if self._holder(entity, attachment) is None:
                self._let_go(attachment, made)
                return
            self._check(entity, attachment, made)
            self._made.setdefault(entity, {})[attachment] = made
            self._world.add(entity, made)
            if undisturbed:
                self._stamp.renew()

    def _holder(self, entity: int, attachment: Attachment) -> object | None:
        """Return the component that something is attached to; None when either is gone."""
        known = entity in self._entities and self._stamp.same_world
        if not (known and self._world.alive(entity)):
            return None
        return self._world.components(entity).get(attachment.cls)

    def _check(self, entity: int, attachment: Attachment, made: object) -> None:
        """Refuse what would take the place of something else on the entity."""
        name = type(made).__qualname__
        fault = None
        if type(made) in self._types:
            fault = f"{attachment} made a {name}, which is replicated: only the server makes those"
        for other, its in self._made.get(entity, {}).items():
            if type(its) is type(made):
                fault = (
                    f"{other} and {attachment} both made a {name} for entity {entity}, which can"
                    f" have one: let each make a type of its own, such as a subclass of {name}"
                )
        if fault is not None:
            self._let_go(attachment, made)
            raise UsageError(f"attach({attachment.cls.__name__}, …): {fault}")

    def _take_off(self, entity: int, attachment: Attachment) -> None:
        attached = self._made[entity]
        made = attached.pop(attachment)
        if not attached:
            del self._made[entity]
        if self._world.components(entity).get(type(made)) is made:
            self._world.remove(entity, type(made))
        self._let_go(attachment, made)

    def _let_go(self, attachment: Attachment, made: object) -> None:
        if attachment.remove is not None:
            self._calls.append(partial(attachment.remove, made))
