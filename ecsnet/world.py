"""One esper world, entered and left in one place.

esper keeps the current world in module globals. This module switches it and reads esper's private
tables; no other module does either. It also stands between the caller and what esper does not
forgive: deleting an entity twice or one that never was, adding to one that is gone, a world that
comes into being because somebody switched to a name that was deleted.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import TypeVar

import esper

from ecsnet.errors import UsageError, WorldError, WrongThreadError
from ecsnet.validation.arguments import check_text

_T = TypeVar("_T")

_NOTHING: Mapping[type, object] = MappingProxyType({})
_numbers = itertools.count(1)
_in_use: Counter[str] = Counter()
"""Names of the esper worlds that a `World` stands for, and how many do."""


class World:
    """A named esper world.

    ``with world:`` makes it the current one and puts back the one that was current before. Blocks
    nest, in any order, and entering the world that is current already costs next to nothing. The
    methods work on this world whichever one is current. Never ``await`` inside a block: other
    tasks would find the wrong world.

    esper is one set of globals for the whole process, so the first thread to use any world is the
    only one that may, for as long as it lives.

    Args:
        name: Name of the new esper world; made up when left out.

    Raises:
        WorldError: A world of that name exists.
        WrongThreadError: Another thread uses esper.
    """

    __slots__ = ("__weakref__", "_adopted", "_closed", "_holders", "_previous", "name")

    def __init__(self, name: str | None = None) -> None:
        _check_thread()
        if name is not None:
            check_text("World(name", name, "give a text, or leave it out")
        if name is None:
            name = next(n for n in map("ecsnet-{}".format, _numbers) if not _exists(n))
        elif _exists(name):
            raise WorldError(
                f"there is an esper world {name!r} already: choose another name, "
                "or World.current() while it is the current one"
            )
        self.name = name
        self._previous: list[str] = []
        self._adopted = False
        self._closed = False
        # By type: esper's list of a component, and the entities of it by the ids of the objects.
        self._holders: dict[type, tuple[list[tuple[int, object]], dict[int, int | None]]] = {}
        before = esper.current_world
        esper.switch_world(name)
        _switch(before)
        _in_use[name] += 1

    @classmethod
    def current(cls) -> World:
        """Adopt the esper world that is current now; `close` will leave it in place.

        Raises:
            WrongThreadError: Another thread uses esper.
        """
        return cls.named(esper.current_world)

    @classmethod
    def named(cls, name: str) -> World:
        """Return the world of that name: adopted where it exists, as by `current`, else made.

        Raises:
            WrongThreadError: Another thread uses esper.
        """
        _check_thread()
        check_text("World.named(name", name, "give a text")
        if not _exists(name):
            return cls(name)
        world = cls.__new__(cls)
        world.name = name
        world._previous = []
        world._holders = {}
        world._adopted = True
        world._closed = False
        _in_use[name] += 1
        return world

    def __enter__(self) -> World:
        if not _here.owns_esper:
            _check_thread()
        before = esper.current_world
        if before != self.name or self._closed:
            self._check_open()
            _switch(self.name)
        self._previous.append(before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        before = self._previous.pop()
        if esper.current_world == before:
            return
        if _exists(before):
            _switch(before)
            return
        # Switching to a deleted name would give the caller an empty world under the old name.
        _switch("default")
        if error is None:
            raise WorldError(
                f"the esper world {before!r} was deleted while {self.name!r} was in use"
            )

    @property
    def closed(self) -> bool:
        """True if `close` was called."""
        return self._closed

    @property
    def there(self) -> bool:
        """True if the esper world exists: it may have been deleted by its name."""
        return _exists(self.name)

    def close(self) -> None:
        """Delete the esper world with all that is in it; an adopted one is only let go.

        Closing twice is fine. Using the world afterwards raises WorldError.

        Raises:
            WorldError: The world is in use: inside its ``with`` block, or current.
            WrongThreadError: Another thread uses esper.
        """
        _check_thread()
        if self._closed:
            return
        if self._previous:
            raise WorldError(f"close() inside `with` of the world {self.name!r}: leave it first")
        if not self._adopted and _exists(self.name):
            if esper.current_world == self.name:
                raise WorldError(
                    f"close() of the world {self.name!r} while it is current: "
                    "esper.switch_world to another first"
                )
            esper.delete_world(self.name)
        self._closed = True
        _in_use[self.name] -= 1
        if not _in_use[self.name]:
            del _in_use[self.name]

    def alive(self, entity: int) -> bool:
        """Return whether the entity exists and is not deleted."""
        with self:
            return entity in esper._entities and entity not in esper._dead_entities

    def census(self) -> tuple[Collection[int], Collection[int]]:
        """Return the entities that exist, and the deleted ones; live, not to be changed."""
        with self:
            return esper._entities, esper._dead_entities

    def components(self, entity: int) -> Mapping[type, object]:
        """Return an entity's components by type, live and not to be changed; empty if unknown."""
        with self:
            return esper._entities.get(entity, _NOTHING)

    def tables(self) -> Mapping[int, Mapping[type, object]]:
        """Return the components of every entity by type, live and not to be changed."""
        with self:
            return esper._entities

    def holders(self, component_type: type) -> Collection[int]:
        """Return the entities that have a component, in no order; live, not to be changed."""
        with self:
            return esper._components.get(component_type, ())

    def processors(self) -> Sequence[esper.Processor]:
        """Return the processors that ``esper.process`` runs; live, not to be changed."""
        with self:
            return esper._processors

    def handled(self) -> Collection[str]:
        """Return the names of the events that have a handler; live, not to be changed."""
        with self:
            return esper.event_registry

    def structure(self, component_type: type[_T]) -> list[tuple[int, _T]]:
        """Return the list of (entity, component) that esper caches for a type; not to be changed.

        The very same list comes back until an entity or component is created, added, replaced or
        removed anywhere in the world, so ``structure(T) is last_list`` is an exact test for "no
        structural change" as long as the last list is held on to.
        """
        with self:
            try:
                return esper.get_component(component_type)
            except KeyError:
                # Somebody added to an entity that is gone; every query for the type fails now.
                self.repair()
                return esper.get_component(component_type)

    def entity_of(self, component: object) -> int:
        """Return the entity that a component is on. It goes by the object: equal ones are others.

        Raises:
            UsageError: It is on no entity of this world, or on several.
        """
        cls = type(component)
        source = self.structure(cls)
        known = self._holders.get(cls)
        if known is None or known[0] is not source:
            index: dict[int, int | None] = {}
            for entity, each in source:
                index[id(each)] = None if id(each) in index else entity
            known = self._holders[cls] = source, index
        if id(component) not in known[1]:
            raise UsageError(
                f"this {cls.__qualname__} is on no entity of the world {self.name!r}: take it from"
                " a query there; what a client shows is in its view, see `with client.view:`"
            )
        found = known[1][id(component)]
        if found is None:
            raise UsageError(
                f"this {cls.__qualname__} is on several entities: give each a component of its own"
            )
        return found

    def types(self) -> Collection[type]:
        """Return the types under which components are stored; live, not to be changed."""
        with self:
            return esper._components.keys()

    def identity(self) -> object:
        """Return an object that is another one after ``esper.clear_database`` in this world.

        Entity ids start again then, so nothing known about the old ones holds.
        """
        with self:
            return esper._entity_count

    def add(self, entity: int, component: object, type_alias: type | None = None) -> bool:
        """Add or replace a component.

        Args:
            entity: The entity; one that is gone or was never there is left alone.
            component: The component.
            type_alias: Type to store it under, when not its own.

        Returns:
            Whether it was added.
        """
        with self:
            if not self.alive(entity):
                return False
            esper.add_component(entity, component, type_alias)
            return True

    def remove(self, entity: int, component_type: type[_T]) -> _T | None:
        """Remove a component and return it; None when there is no such entity or component."""
        with self:
            if component_type not in self.components(entity):
                return None
            return esper.remove_component(entity, component_type)

    def delete(self, entity: int, *, immediate: bool = False) -> bool:
        """Delete an entity.

        Args:
            entity: The entity; one that is gone or was never there is left alone.
            immediate: Take it out of the tables now, not at the next `flush_dead` or
                ``esper.process``. Not to be used while iterating over a query.

        Returns:
            Whether it was alive.
        """
        with self:
            alive = self.alive(entity)
            if immediate and entity in esper._entities:
                esper.delete_entity(entity, immediate=True)
                esper._dead_entities.discard(entity)
            elif alive:
                esper.delete_entity(entity)
            return alive

    def revive(self, entity: int) -> None:
        """Bring an entity that was here back under its old number, without components; nothing
        happens where it is alive.
        """
        with self:
            esper._dead_entities.discard(entity)
            if entity not in esper._entities:
                esper._entities[entity] = {}
                esper.clear_cache()

    def flush_dead(self) -> tuple[int, ...]:
        """Finish the pending deletions and return the entities that went, in ascending order.

        Pending deletions of entities that do not exist, at which ``esper.process`` would fail now
        and for ever after, are dropped.
        """
        with self:
            dead = esper._dead_entities
            if not dead:
                return ()
            dead.difference_update([e for e in dead if e not in esper._entities])
            gone = tuple(sorted(dead))
            esper.clear_dead_entities()
            return gone

    def repair(self) -> int:
        """Make the world's tables consistent after a system raised in the middle of something.

        ``esper.add_component`` on an entity that is gone raises, but leaves an entry behind at
        which every later query for the type fails.

        Returns:
            How many such entries and deletions of unknown entities were dropped.
        """
        with self:
            known = esper._entities
            unknown = [e for e in esper._dead_entities if e not in known]
            esper._dead_entities.difference_update(unknown)
            dropped = len(unknown)
            for component_type, holders in list(esper._components.items()):
                stray = [e for e in holders if component_type not in known.get(e, _NOTHING)]
                holders.difference_update(stray)
                dropped += len(stray)
                if not holders:
                    del esper._components[component_type]
            if dropped:
                esper.clear_cache()
            return dropped

    def __repr__(self) -> str:
        return f"<World {self.name!r}{' closed' if self._closed else ''}>"

    def _check_open(self) -> None:
        if self._closed:
            raise WorldError(f"the world {self.name!r} is closed")
        if not _exists(self.name):
            raise WorldError(f"the esper world {self.name!r} was deleted")


def idle_worlds() -> Iterator[World]:
    """Yield the esper worlds that no `World` stands for, each adopted while it is looked at."""
    for name in [name for name in esper.list_worlds() if not _in_use[name]]:
        world = World.named(name)
        try:
            yield world
        finally:
            world.close()


def current_name() -> str:
    """Name of the esper world that is current."""
    return esper.current_world


class _Here(threading.local):
    owns_esper = False


_here = _Here()
_owner: threading.Thread | None = None


def _check_thread() -> None:
    """Let the first thread in, and another one only after that one has ended."""
    global _owner
    if _here.owns_esper:
        return
    thread = threading.current_thread()
    if _owner is not None and _owner.is_alive():
        raise WrongThreadError(
            f"a world used from thread {thread.name!r}: esper's current world belongs to the "
            f"whole process, and thread {_owner.name!r} is using it; stay on one thread, "
            "or use a process each"
        )
    _owner = thread
    _here.owns_esper = True


def _exists(name: str) -> bool:
    return name in esper._context_map


def _switch(name: str) -> None:
    esper.switch_world(name)
    # A handler that died while another world was current is still in this one's registry, where
    # the next dispatch_event would call None.
    if esper.event_registry:
        for event, handlers in list(esper.event_registry.items()):
            handlers.difference_update([ref for ref in handlers if ref() is None])
            if not handlers:
                del esper.event_registry[event]
