"""Reports as tables for a person to read, by rich."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ecsnet.analytics.reading import Event
from ecsnet.analytics.reports import Finding, Summary, Suspects, Use
from ecsnet.analytics.sources import Match

__all__ = [
    "event_table",
    "match_table",
    "show",
    "summary_tables",
    "suspect_tables",
    "use_table",
]

SHORT = 8
"""Digits of a match id that tell it from others; it takes as little to name it."""

SIDE_BY_SIDE = 3
"""Matches in one table of figures."""

WIDE = 1 << 16
"""Columns where there is no terminal: what reads this can cut lines itself."""


def show(*tables: RenderableType, file: TextIO | None = None) -> None:
    """Write tables, one below the other.

    Args:
        tables: What to write.
        file: Where to; stdout when left out.
    """
    out = file or sys.stdout
    console = Console(file=out, highlight=False, emoji=False)
    for number, table in enumerate(tables):
        if number:
            out.write("\n")
        if console.is_terminal:
            console.print(table)
        else:
            out.writelines(f"{line}\n" for line in _lines(table))


def _lines(table: RenderableType) -> Iterator[str]:
    """Print a table for other programs: a line for each row, and no blanks at its end."""
    console = Console(file=io.StringIO(), highlight=False, emoji=False, width=WIDE)
    with console.capture() as made:
        console.print(table)
    return map(str.rstrip, made.get().splitlines())


def match_table(matches: Sequence[Match]) -> Table:
    """Lay out all matches, a line for each."""
    table = _table("match", "server", "room", "started", "ended", "ticks#", "seconds#")
    for match in matches:
        seconds = match.ticks / match.tick_rate if match.tick_rate else None
        _row(
            table,
            match.id[:SHORT],
            match.server,
            match.room,
            match.started,
            match.ended or match.state,
            match.ticks,
            seconds and round(seconds, 1),
        )
    return table


def summary_tables(summaries: Sequence[Summary]) -> list[Table]:
    """Lay out matches side by side, so many as there is room for in one table."""
    return [
        _summary_table(summaries[first : first + SIDE_BY_SIDE])
        for first in range(0, len(summaries), SIDE_BY_SIDE)
    ]


def _summary_table(summaries: Sequence[Summary]) -> Table:
    table = _table("", *(each.match[:SHORT] for each in summaries))
    rows: dict[str, list[object]] = {
        "server": [each.server for each in summaries],
        "room": [each.room for each in summaries],
        "started": [each.started for each in summaries],
        "ended": [each.ended or each.state for each in summaries],
        "ticks": [each.ticks for each in summaries],
        "seconds": [each.seconds for each in summaries],
        "tick rate": [each.tick_rate for each in summaries],
        "dropped ticks": [each.dropped_ticks for each in summaries],
        "players": [_players(each) for each in summaries],
        "commands": [_commands(each) for each in summaries],
        "emitted": [f"{each.emitted:,} events" for each in summaries],
        "entities": [
            f"{each.entities:,} last, {each.most_entities:,} at most" for each in summaries
        ],
        "documents": [
            f"{each.server_events:,} server_events, {each.game_state:,} game_state"
            for each in summaries
        ],
        "events": [
            ", ".join(f"{count:,} {type}" for type, count in each.events.items())
            for each in summaries
        ],
        "lost": [
            f"{each.lost_events:,} events, {each.lost_snapshots:,} snapshots" for each in summaries
        ],
    }
    for name, values in rows.items():
        _row(table, name, *values)
    return table


def _players(summary: Summary) -> str:
    names = f": {', '.join(summary.players)}" if summary.players else ""
    return f"{summary.joined:,} joined, {summary.most_players:,} at once{names}"


def _commands(summary: Summary) -> str:
    of = summary.commands
    if of is None:
        return f"{summary.commands_taken:,} so far"
    figures = (of.applied, of.expired, of.superseded)
    names = ("applied", "expired", "superseded")
    return ", ".join(
        f"{'?' if number is None else f'{number:,}'} {name}"
        for number, name in zip(figures, names, strict=True)
    )


def event_table(events: Iterable[Event]) -> Table:
    """Events, a line for each."""
    table = _table("match", "time", "tick#", "type", "player#", "entity#", "data")
    for event in events:
        _row(
            table,
            event.match[:SHORT],
            event.time,
            event.tick,
            event.type,
            event.player,
            event.entity,
            event.data,
        )
    return table


def use_table(uses: Iterable[Use]) -> Table:
    """Lay out usage, one kind of thing a row."""
    table = _table("kind", "name", "count#", "matches#")
    for use in uses:
        _row(table, use.kind, use.name, use.count, use.matches)
    return table


def suspect_tables(suspects: Suspects) -> list[RenderableType]:
    """Lay out the findings, and the players with most of them."""
    if not suspects.findings:
        return [Text("nothing suspect")]
    findings = _table("match", "tick#", "player", "entity#", "rule", "what was seen")
    for each in suspects.findings:
        player = each.player if each.name is None else each.name
        _row(findings, each.match[:SHORT], each.tick, player, each.entity, each.rule, _seen(each))
    accused = _table("player", "findings#", "matches#", "rules")
    for who in suspects.accused:
        _row(accused, who.name, who.findings, who.matches, who.rules)
    return [findings, accused]


def _seen(finding: Finding) -> object:
    """Describe a finding: of a limit in words, of an own rule as it said it."""
    data = finding.data
    try:
        values = [data[key] for key in ("component", "field", "rate", "allowed", "before", "after")]
    except KeyError:
        return data
    what, field, rate, allowed, before, after = map(_shown, values)
    return f"{what}.{field}: {rate} a second, {allowed} allowed; {before} to {after}"


# Cells.


def _table(*columns: str) -> Table:
    """Make a table; columns that end in # hold numbers."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        right = column.endswith("#")
        table.add_column(
            column.removesuffix("#"), justify="right" if right else "left", overflow="fold"
        )
    return table


def _row(table: Table, *values: object) -> None:
    # As Text: what players wrote is no markup.
    table.add_row(*(Text(_shown(value)) for value in values))


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_shown(key)} {_shown(of)}" for key, of in value.items())
    if isinstance(value, list):
        return f"[{'; '.join(map(_shown, value))}]"
    # Nor may it speak to the terminal.
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in str(value)
    )
