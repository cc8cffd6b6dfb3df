"""Components' values over place and over time: what the pictures are drawn from."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from math import floor
from typing import Literal

import msgspec

from ecsnet.analytics.reading import Component, as_event, as_state
from ecsnet.analytics.sources import Match
from ecsnet.analytics.values import Document
from ecsnet.errors import UsageError
from ecsnet.validation.arguments import is_number

__all__ = ["HeatMap", "Line", "Timeline", "Who", "heat", "timeline"]

Who = Literal["players", "all"] | int
"""The entities of a map: owned ones, all, or the one of this number."""


# Heat map


class HeatMap(msgspec.Struct, frozen=True, kw_only=True):
    """The frequencies of a component's values, by place."""

    component: str
    x: str
    """The field across."""
    y: str
    """The field downwards."""
    who: Who
    matches: int
    entities: int
    samples: int
    """An entity in a snapshot is one."""
    left: float
    """The least x; `top` is the least y."""
    top: float
    cell: float
    """Side of a cell."""
    counts: list[list[int]]
    """Samples in each cell: a row for each step of y, the least first."""


def heat(
    matches: Sequence[Match],
    states: Iterable[Document],
    component: str,
    *,
    x: str | None = None,
    y: str | None = None,
    who: Who = "players",
    cells: int = 64,
) -> HeatMap:
    """Count where entities were.

    Args:
        matches: Which.
        states: Their snapshots.
        component: A component's name, in any case, with or without what is before its dot.
        x: The field across; left out, ``x`` or the first that holds numbers.
        y: The field downwards; left out, ``y`` or the second that holds numbers.
        who: Whose.
        cells: How many along the longer side. Cells are squares.

    Raises:
        UsageError: There is no such component or field, or nothing of it was seen.
    """
    name, keys = _find_component(matches, component)
    across, down = array("d"), array("d")
    seen, entities = set[str](), set[tuple[str, object]]()
    axes: tuple[str, str] | None = None
    strange: str | None = None  # a field that holds something else
    for match, entity in _entities(states):
        values = entity.get(keys.get(match, ""))
        if not isinstance(values, dict) or not _is(entity, who):
            continue
        axes = axes or _axes(name, values, x, y)
        at = [value for value in map(values.get, axes) if is_number(value)]
        if len(at) < 2:
            strange = strange or next(field for field in axes if not is_number(values.get(field)))
        else:
            across.append(at[0])
            down.append(at[1])
            seen.add(match)
            entities.add((match, entity.get("id")))
    if strange is not None and not across:
        raise UsageError(f"{name}.{strange} holds no numbers: give --x and --y of fields that do")
    if axes is None or not across:
        whose = {"players": "a player's entity", "all": "any entity"}.get(
            str(who), f"the entity {who}"
        )
        hint = "; --who all looks at everybody's" if who == "players" else ""
        raise UsageError(f"no snapshot has {name} with two numbers on {whose}{hint}")
    left, top = min(across), min(down)
    side = max(_half(max(across), left), _half(max(down), top)) / cells or 0.5
    rows = [
        [0] * (_cell(max(across), left, side, cells) + 1)
        for _ in range(_cell(max(down), top, side, cells) + 1)
    ]
    for at_x, at_y in zip(across, down, strict=True):
        rows[_cell(at_y, top, side, cells)][_cell(at_x, left, side, cells)] += 1
    return HeatMap(
        component=name,
        x=axes[0],
        y=axes[1],
        who=who,
        matches=len(seen),
        entities=len(entities),
        samples=len(across),
        left=left,
        top=top,
        cell=2 * side,
        counts=rows,
    )


def _half(value: float, least: float) -> float:
    """Half of how far it is from the least: the whole may be more than a float holds."""
    return value / 2 - least / 2


def _cell(value: float, least: float, side: float, cells: int) -> int:
    # The greatest value belongs to the last cell.
    return min(floor(_half(value, least) / side), cells - 1)


def _is(entity: dict[str, object], who: Who) -> bool:
    if who == "players":
        return entity.get("owner") is not None
    return who == "all" or entity.get("id") == who


def _axes(
    component: str, values: dict[str, object], x: str | None, y: str | None
) -> tuple[str, str]:
    """Return the two fields, by what was asked for, by name, or by what they hold."""
    found = [_field(component, values, "--x", x), _field(component, values, "--y", y)]
    numeric = [field for field in values if is_number(values[field])]
    usual = ["x", "y"] if {"x", "y"} <= values.keys() else numeric
    free = iter([field for field in usual if field not in found])
    across, down = (field or next(free, None) for field in found)
    if across is None or down is None:
        fields = ", ".join(values) or "no fields"
        raise UsageError(f"{component} holds no place: of its fields ({fields}) no two are numbers")
    return across, down


def _field(component: str, values: dict[str, object], option: str, asked: str | None) -> str | None:
    """Return the field that was asked for, in any case; None where none was."""
    if asked is None:
        return None
    for field in values:
        if field.casefold() == asked.casefold():
            return field
    fields = ", ".join(values) or "none"
    raise UsageError(f"{component} has no field {asked!r}: {option} is one of {fields}")


# Timeline


class Line(msgspec.Struct, frozen=True):
    """A field's values. `ticks` and `values` are of one length."""

    component: str
    field: str
    ticks: list[int]
    values: list[object]


class Timeline(msgspec.Struct, frozen=True):
    """An entity's values over time."""

    match: str
    entity: int
    tick_rate: float | None
    lines: list[Line]
    suspect: list[int]
    """Ticks in which it passed a limit."""


def timeline(
    match: Match,
    events: Iterable[Document],
    states: Iterable[Document],
    entity: int,
    field: str | None = None,
) -> Timeline:
    """Follow an entity's values.

    Args:
        match: Which.
        events: Its events.
        states: Its snapshots.
        entity: Number of the entity.
        field: ``FIELD``, ``COMPONENT`` or ``COMPONENT.FIELD`` in any case; all when left out.

    Raises:
        UsageError: There is no such entity or field.
    """
    known = {component.key: component for component in match.components}
    lines: dict[tuple[str, str], Line] = {}
    there: dict[str, None] = {}
    for tick, values in _of_entity(states, entity):
        for key, fields in values.items():
            if not isinstance(fields, dict):
                continue  # its id, its owner
            component = known.get(key) or Component(key, key)
            for name, value in fields.items():
                there[f"{component.name}.{name}"] = None
                if field is None or field.casefold() in _names(component, name):
                    line = lines.setdefault((key, name), Line(component.name, name, [], []))
                    line.ticks.append(tick)
                    line.values.append(value)
    if not there:
        raise UsageError(f"no snapshot of {match.id} has an entity {entity}")
    if not lines:
        raise UsageError(f"entity {entity} has no {field!r}: it has {', '.join(there)}")
    limits = [
        event.tick
        for event in map(as_event, events)
        if event.type == "suspect" and event.entity == entity
    ]
    return Timeline(match.id, entity, match.tick_rate, list(lines.values()), limits)


def _names(component: Component, field: str) -> set[str]:
    """Return the names that a component's field may be asked for by."""
    field = field.casefold()
    return {field, *component.names, *(f"{name}.{field}" for name in component.names)}


def _of_entity(states: Iterable[Document], entity: int) -> Iterator[tuple[int, dict[str, object]]]:
    for state in map(as_state, states):
        for values in state.entities:
            if values.get("id") == entity:
                yield state.tick, values


# What both need.


def _find_component(matches: Sequence[Match], text: str) -> tuple[str, dict[str, str]]:
    """Return the component of that name, and what each match's documents call it."""
    name = text.casefold()
    found = {
        component.name
        for match in matches
        for component in match.components
        if name in component.names
    }
    if len(found) > 1 and text in found:
        found = {text}
    if len(found) > 1:
        raise UsageError(f"{text!r} may be {' or '.join(sorted(found))}: give the whole name")
    known = sorted({each.name for match in matches for each in match.components})
    # A match whose first event was lost says nothing of its schema: there, the name must do.
    if not found and all(match.components for match in matches):
        raise UsageError(
            f"there is no component {text!r}: {', '.join(known)}"
            if known
            else f"there is no component {text!r}: the game declares none"
        )
    whole = next(iter(found), text)
    keys = {
        match.id: next(
            (each.key for each in match.components if each.name == whole),
            "" if match.components else name.rpartition(".")[2],
        )
        for match in matches
    }
    return whole, keys


def _entities(states: Iterable[Document]) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each entity in each document, with its match."""
    for state in map(as_state, states):
        for entity in state.entities:
            yield state.match, entity
