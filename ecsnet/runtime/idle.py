"""The check for entities in esper worlds in which no game runs.

``esper.create_entity`` at the top of a file works on the world that is current then, while each run
of a server has a world of its own: nothing fails, and nothing ever comes of it. It is only worth a
warning, for such a world may as well be the program's own affair.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

import esper

from ecsnet.world import World, idle_worlds

__all__ = ["ViewWatch", "warn_of_idle_worlds"]

_log = logging.getLogger("ecsnet.server")

_POLLS = 300
"""By then a game that runs its view's processors has done so: five seconds, at 60 frames each."""


def warn_of_idle_worlds() -> None:
    """Warn, in one line, of what is in worlds in which the game that starts now does not run."""
    found = [f"{world.name!r} holds {held}" for world in idle_worlds() if (held := _held(world))]
    if found:
        _log.warning(
            "the esper world %s, where the game does not run, for each run has a world of its own:"
            " create entities and set handlers in @server.on_start, and give processors to"
            " server.add_system()",
            "; ".join(found),
        )


class ViewWatch:
    """The warnings of things meant for the game, in the world of the player who hosts it.

    What draws, and what is drawn, belongs there. Entities of replicated components alone do not:
    nobody else would see them. Nor do processors that nothing runs, which shows after a while.

    Args:
        view: The world, before the game has begun.
        replicated: The classes of components that the server sends.
    """

    def __init__(self, view: World, replicated: Collection[type]) -> None:
        self._view = view
        self._witness: _Witness | None = None
        self._polls = 0
        for_game = sum(
            bool(components) and all(kind in replicated for kind in components)
            for components in view.tables().values()
        )
        if for_game:
            _log.warning(
                "%s made with replicated components outside the game, where no other player sees"
                " them: create entities in @server.on_start",
                _count(for_game, "entity", "entities"),
            )
        self._processors = _processors(view)
        if self._processors:
            self._witness = _Witness()
            with view:
                esper.add_processor(self._witness)

    def look(self) -> None:
        """Look whether anything runs the processors; to be called once in each poll."""
        if self._witness is None:
            return
        self._polls += 1
        if self._witness.ran:
            self.close()
        elif self._polls >= _POLLS:
            _log.warning(
                "%s given to esper.add_processor() outside the game, and nothing calls"
                " esper.process(): rules go to server.add_system(), what draws runs in your loop",
                self._processors,
            )
            self.close()

    def close(self) -> None:
        """Leave the world as it was. Closing twice is fine."""
        if self._witness is not None:
            self._witness = None
            with self._view:
                esper.remove_processor(_Witness)
        self._view.close()


class _Witness(esper.Processor):
    """A processor that tells whether the processors of its world are run."""

    def __init__(self) -> None:
        self.ran = False

    def process(self, *_arguments: object, **_named: object) -> None:
        self.ran = True


def _held(world: World) -> str:
    """``"2 entities, 1 processor (Move)"``; empty when there is nothing in it."""
    parts = []
    if entities := len(world.tables()):
        parts.append(_count(entities, "entity", "entities"))
    if processors := _processors(world):
        parts.append(processors)
    if events := world.handled():
        parts.append(f"{_count(len(events), 'handled event')} ({_list(map(repr, events))})")
    return ", ".join(parts)


def _processors(world: World) -> str:
    names = [type(one).__name__ for one in world.processors()]
    return f"{_count(len(names), 'processor')} ({_list(names)})" if names else ""


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _list(names: Iterable[str]) -> str:
    """Return the first three of some names."""
    ordered = sorted(names)
    return ", ".join(ordered[:3]) + (", ..." if ordered[3:] else "")
