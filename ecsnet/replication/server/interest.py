"""Interest: which entities a client sees.

Entities stand in *cells*, a client sees the cells of its *neighbourhood*, and all clients with
the same neighbourhood share the bytes. "Everyone sees everything" is the case of one cell, a
predicate per client the case of one cell per entity.

What a player owns it sees in any case. A policy keeps no state: one object serves any number
of simulations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable
from math import inf
from typing import Final, Protocol

from ecsnet.errors import UsageError
from ecsnet.replication.server.grid_index import GridIndex
from ecsnet.schema import component_type
from ecsnet.validation.arguments import (
    check_function,
    check_instance,
    check_whole,
    is_number,
    is_text,
)
from ecsnet.validation.wording import brief

RADIUS: Final = 50
"""Cells that a `Grid` lets clients see in each direction, at most; the block is 101 x 101 then."""

ANYWHERE: Hashable = None
"""The cell of what has no position: everybody sees it."""


class Placed(Protocol):
    """An entity as a policy sees it."""

    net: int
    """Its network id."""
    esper: int
    """Its id in the server's esper world."""
    cell: Hashable
    """The cell it stands in; `ANYWHERE` before it was placed."""
    point: tuple[float, float] | None
    """The coordinates of it, when the policy asks for positions."""


class InterestObserver(Protocol):
    """A client as a policy sees it."""

    player: int
    """The player entity in the server's esper world."""

    @property
    def focus(self) -> Placed | None:
        """The entity that it looks from: the player's, or the first it owns with a position."""

    group_key: Hashable
    """The neighbourhood it had in the tick before."""


class Interest(ABC):
    """A policy. Subclass one of the three below rather than this."""

    position: type | None = None
    """The replicated component that places an entity."""

    dynamic = True
    """True if `place` may answer anew while the cell that a client looks from stays the same."""

    @abstractmethod
    def cell(self, entity: Placed) -> Hashable:
        """Return the cell for an entity that appeared or moved; ``entity.cell`` is its old one."""

    @abstractmethod
    def group_key(
        self, observer: InterestObserver, entities: Iterable[Placed], tick: int
    ) -> Hashable:
        """Return the neighbourhood of a client, by a key; clients with equal keys share bytes."""

    @abstractmethod
    def cells(self, group_key: Hashable) -> Iterable[Hashable]:
        """Return the cells of a neighbourhood."""

    def point(self, position: object) -> tuple[float, float] | None:
        """Return the coordinates in a position component."""
        return None


class Everyone(Interest):
    """Everybody sees everything (the default)."""

    dynamic = False

    def cell(self, entity: Placed) -> Hashable:
        return ANYWHERE

    def group_key(
        self, observer: InterestObserver, entities: Iterable[Placed], tick: int
    ) -> Hashable:
        return ANYWHERE

    def cells(self, group_key: Hashable) -> Iterable[Hashable]:
        return (ANYWHERE,)


class Grid(Interest):
    """A uniform grid over a position component.

    A client sees the cells up to ``radius`` around the entity that it looks from. Entities
    without the component are seen by all. A client whose entity died stays where it was.

    Args:
        position: The replicated component that holds the coordinates.
        size: The side of a cell, in the component's units.
        radius: How many cells around the client's own are seen; 1 is a block of 3 x 3.
        fields: The names of the two coordinates in ``position``.
        hysteresis: How far, in cells, an entity must be past a border before it changes cell.
    """

    dynamic = False

    def __init__(
        self,
        position: type,
        size: float,
        radius: int = 1,
        *,
        fields: tuple[str, str] = ("x", "y"),
        hysteresis: float = 0.1,
    ) -> None:
        if not (is_number(size) and 0 < size < inf):
            raise UsageError(f"Grid(size={brief(size)}): the side of a cell must be greater than 0")
        check_whole(
            "Grid(radius",
            radius,
            0,
            f"give 0 or more cells around the client, up to {RADIUS}; for more, larger cells",
            RADIUS,
        )
        if not (is_number(hysteresis) and 0 <= hysteresis < 1):
            raise UsageError(f"Grid(hysteresis={brief(hysteresis)}): give a part of a cell, 0 to 1")
        named: object = fields
        if not (isinstance(named, tuple | list) and len(named) == 2 and all(map(is_text, named))):
            raise UsageError(
                f"Grid(fields={brief(fields)}): give the names of two fields, such as ('x', 'y')"
            )
        check_instance(
            "Grid(position", position, type, "give the class of a component, not an instance"
        )
        placing = component_type(position, "Grid()")
        there = {field.name for field in placing.fields}
        missing = [name for name in fields if name not in there]
        if missing:
            raise UsageError(
                f"Grid({position.__name__}): it has no field {missing[0]!r}; name its two"
                " coordinates with fields=(…, …)"
            )
        for field in placing.fields:
            if field.name in fields and not field.number:
                raise UsageError(
                    f"Grid({position.__name__}): its {field.name} is {field.text}, and a coordinate"
                    " is a number: name two others with fields=(…, …)"
                )
        self.position = position
        self.size = size
        self.radius = radius
        self.hysteresis = hysteresis
        x, y = fields
        self.grid_index = GridIndex(size, hysteresis, (x, y))
        """The computation of `point` and `cell`; called directly unless the grid is a subclass."""
        around = range(-radius, radius + 1)
        self._block = [(dx, dy) for dx in around for dy in around]

    def point(self, position: object) -> tuple[float, float] | None:
        return self.grid_index.point(position)

    def cell(self, entity: Placed) -> Hashable:
        return self.grid_index.square(entity.point, entity.cell)

    def group_key(
        self, observer: InterestObserver, entities: Iterable[Placed], tick: int
    ) -> Hashable:
        focus = observer.focus
        if focus is None or focus.cell is ANYWHERE:
            return observer.group_key
        return focus.cell

    def cells(self, group_key: Hashable) -> Iterable[Hashable]:
        yield ANYWHERE
        if isinstance(group_key, tuple):
            x, y = group_key
            for dx, dy in self._block:
                yield x + dx, y + dy


class Visible(Interest):
    """A predicate decides for each client and entity.

    Args:
        predicate: Called as ``predicate(player, entity)`` with ids of the server's esper world,
            which is current during the call; True lets the player's client see the entity.
        every: Ask again every so many ticks.
    """

    def __init__(self, predicate: Callable[[int, int], bool], *, every: int = 1) -> None:
        check_function("Visible(predicate", predicate, "player: int, entity: int")
        check_whole("Visible(every", every, 1, "give 1 or more ticks")
        self.predicate = predicate
        self.every = every

    def cell(self, entity: Placed) -> Hashable:
        return entity.net

    def group_key(
        self, observer: InterestObserver, entities: Iterable[Placed], tick: int
    ) -> Hashable:
        if isinstance(observer.group_key, frozenset) and tick % self.every:
            return observer.group_key
        predicate, player = self.predicate, observer.player
        return frozenset(e.net for e in entities if predicate(player, e.esper))

    def cells(self, group_key: Hashable) -> Iterable[Hashable]:
        return group_key if isinstance(group_key, frozenset) else ()
