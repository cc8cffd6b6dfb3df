"""Reports on matches: functions from documents to figures, the same for tables and JSON.

Documents of several matches may come mixed, as a journal holds them.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain

import msgspec

from ecsnet.analytics.reading import (
    Counts,
    Event,
    Leave,
    Lost,
    Stop,
    as_event,
    as_state,
    detail,
)
from ecsnet.analytics.sources import Match
from ecsnet.analytics.values import Document
from ecsnet.errors import EcsnetError, UsageError

__all__ = [
    "Accused",
    "Commands",
    "Finding",
    "Rule",
    "Summary",
    "Suspects",
    "Use",
    "findings_of",
    "summaries",
    "suspects",
    "usage",
]


# summary


class Commands(msgspec.Struct, frozen=True):
    """The fates of players' commands, as the server counted them at its end."""

    applied: int | None
    expired: int | None
    superseded: int | None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One match in figures."""

    match: str
    server: str
    room: str
    started: datetime
    ended: datetime | None
    state: str
    """``"stopped"``, ``"failed"`` or ``"running or crashed"``."""
    ticks: int
    seconds: float
    """That were played: ticks by their rate."""
    tick_rate: float | None
    dropped_ticks: int | None
    """None before its end, like all that the server tells then."""
    joined: int
    players: list[str]
    """Names, as they came."""
    most_players: int
    """At once."""
    commands: Commands | None
    commands_taken: int
    """By ticks, as it was told while the match ran."""
    emitted: int
    """Events that the game emitted; what the server counted, or what was told so far."""
    entities: int
    """With declared components, in the last snapshot."""
    most_entities: int
    server_events: int
    """Documents."""
    game_state: int
    """Documents."""
    events: dict[str, int]
    """The number of documents in ``server_events`` of each type, the most frequent first."""
    lost_events: int
    lost_snapshots: int


class _Tally:
    """The counts of one match."""

    def __init__(self, match: Match) -> None:
        self._match = match
        self._until = match.started
        self._types: Counter[str] = Counter()
        self._names: dict[str, None] = {}
        self._here: set[int | None] = set()
        self._most_here = 0
        self._taken = self._emitted = 0
        self._lost = Lost()
        self._stop: Stop | None = None
        self._states = 0
        self._snapshot = -1
        self._entities: set[object] = set()
        self._most_entities = 0

    def event(self, event: Event) -> None:
        self._until = max(self._until, event.time)
        self._types[event.type] += 1
        if event.type == "join":
            self._names[detail(event, Leave).name] = None
            self._here.add(event.player)
            self._most_here = max(self._most_here, len(self._here))
        elif event.type == "leave":
            self._here.discard(event.player)
        elif event.type == "commands":
            self._taken += sum(each.count for each in detail(event, Counts).counts)
        elif event.type == "events":
            self._emitted += sum(each.count for each in detail(event, Counts).counts)
        elif event.type == "lost":
            self._lost = detail(event, Lost)
        elif event.type == "stop":
            self._stop = stop = detail(event, Stop)
            self._lost = Lost(stop.lost_events, stop.lost_snapshots)

    def state(self, document: Document) -> None:
        state = as_state(document)
        self._until = max(self._until, state.time)
        self._states += 1
        if state.snapshot != self._snapshot:
            self._snapshot, self._entities = state.snapshot, set()
        self._entities.update(entity.get("id") for entity in state.entities)
        self._most_entities = max(self._most_entities, len(self._entities))

    def _seconds(self) -> float:
        """Return the seconds played, from ticks and, where it is known, their rate."""
        if self._match.tick_rate:
            return round(self._match.ticks / self._match.tick_rate, 3)
        return round((self._until - self._match.started).total_seconds(), 3)

    def summary(self) -> Summary:
        match, stop = self._match, self._stop
        joined, emitted = self._types["join"], self._emitted
        return Summary(
            match=match.id,
            server=match.server,
            room=match.room,
            started=match.started,
            ended=match.ended,
            state=match.state,
            ticks=match.ticks,
            seconds=self._seconds(),
            tick_rate=match.tick_rate,
            dropped_ticks=stop.dropped_ticks if stop else None,
            joined=stop.joined if stop and stop.joined is not None else joined,
            players=list(self._names),
            most_players=self._most_here,
            commands=Commands(
                stop.commands_applied, stop.commands_expired, stop.commands_superseded
            )
            if stop
            else None,
            commands_taken=self._taken,
            emitted=stop.events_emitted if stop and stop.events_emitted is not None else emitted,
            entities=len(self._entities),
            most_entities=self._most_entities,
            server_events=self._types.total(),
            game_state=self._states,
            events=dict(sorted(self._types.items(), key=lambda each: (-each[1], each[0]))),
            lost_events=self._lost.events,
            lost_snapshots=self._lost.snapshots,
        )


def summaries(
    matches: Sequence[Match], events: Iterable[Document], states: Iterable[Document]
) -> list[Summary]:
    """Sum up each match in figures.

    Args:
        matches: Which.
        events: Their events.
        states: Their snapshots.
    """
    tallies = {match.id: _Tally(match) for match in matches}
    for document in events:
        event = as_event(document)
        tallies[event.match].event(event)
    for document in states:
        tallies[str(document["match"])].state(document)
    return [tally.summary() for tally in tallies.values()]


# usage


class Use(msgspec.Struct, frozen=True):
    """The usage of one kind of thing."""

    kind: str
    """``"component"``, ``"command"``, ``"emission"`` for an event that the game emitted, or
    ``"event"`` for a document of ``server_events``."""
    name: str
    count: int
    """Of a component, on how many entities snapshots found it, all snapshots together."""
    matches: int
    """In how many matches it was seen."""


_COUNTED = {"commands": "command", "events": "emission"}
"""Events that count something of the game's: by type, the kind of it."""


def usage(
    matches: Sequence[Match], events: Iterable[Document], states: Iterable[Document]
) -> list[Use]:
    """Components, commands and events by how often they were seen, the rarest first.

    What the game declares and nobody has seen is there with 0.

    Args:
        matches: Which.
        events: Their events.
        states: Their snapshots.
    """
    counts: Counter[tuple[str, str]] = Counter()
    seen: dict[tuple[str, str], set[str]] = {}

    def count(kind: str, name: str, number: int, match: str) -> None:
        counts[kind, name] += number
        where = seen.setdefault((kind, name), set())
        if number:
            where.add(match)

    names: dict[str, dict[str, str]] = {}
    for match in matches:
        names[match.id] = {each.key: each.name for each in match.components}
        for component in match.components:
            count("component", component.name, 0, match.id)
        for command in match.commands:
            count("command", command, 0, match.id)
        for emitted in match.events:
            count("emission", emitted, 0, match.id)
    for document in events:
        event = as_event(document)
        count("event", event.type, 1, event.match)
        kind = _COUNTED.get(event.type)
        if kind is not None:
            for each in detail(event, Counts).counts:
                count(kind, each.name, each.count, event.match)
    for document in states:
        state = as_state(document)
        of = names[state.match]
        keys = Counter(chain.from_iterable(state.entities))
        for key, number in keys.items():
            if key not in ("id", "owner"):
                count("component", of.get(key, key), number, state.match)
    uses = [Use(*key, number, len(seen[key])) for key, number in counts.items()]
    return sorted(uses, key=lambda use: (use.count, use.kind, use.name))


# suspects


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a rule found."""

    match: str
    rule: str
    """The limit that was passed, or the name of the author's own rule."""
    tick: int | None
    player: int | None
    name: str | None = None
    """The player's."""
    entity: int | None
    data: dict[str, object]
    """The details of the finding."""


class Accused(msgspec.Struct, frozen=True):
    """The number of findings about one player."""

    name: str | None
    """None: of nobody's entities, or of a player whose name is not known."""
    findings: int
    matches: int
    """In how many."""
    rules: dict[str, int]
    """The number of findings by rule."""


class Suspects(msgspec.Struct, frozen=True):
    """The findings of rules, and the players with most of them."""

    accused: list[Accused]
    findings: list[Finding]


Rule = Callable[[Iterator[Document]], Iterable[Mapping[str, object]]]
"""The author's own: gets a match's documents by tick, events before snapshots, and yields findings:
mappings with ``tick``, ``player`` and ``entity``, each where it is known, and whatever else tells
what was seen."""


def suspects(
    matches: Sequence[Match], events: Iterable[Document], own: Iterable[Finding] = ()
) -> Suspects:
    """Collect the findings of the schema's limits and of the author's own rules.

    Args:
        matches: Which.
        events: Their events.
        own: What own rules found.
    """
    names: dict[tuple[str, int | None], str] = {}
    found: list[Finding] = []
    for document in events:
        event = as_event(document)
        if event.type == "join":
            names[event.match, event.player] = detail(event, Leave).name
        elif event.type == "suspect":
            found.append(
                Finding(
                    match=event.match,
                    rule=str(event.data.get("limit", event.type)),
                    tick=event.tick,
                    player=event.player,
                    entity=event.entity,
                    data={key: value for key, value in event.data.items() if key != "limit"},
                )
            )
    found.extend(own)
    order = {match.id: number for number, match in enumerate(matches)}
    found.sort(key=lambda each: (order[each.match], -1 if each.tick is None else each.tick))
    named = [
        msgspec.structs.replace(each, name=names.get((each.match, each.player))) for each in found
    ]
    return Suspects(_accused(named), named)


def _accused(findings: Iterable[Finding]) -> list[Accused]:
    """Of whom the most was found comes first. Over many matches, a name is all that stays."""
    of: dict[str | None, list[Finding]] = {}
    for finding in findings:
        of.setdefault(finding.name, []).append(finding)
    accused = [
        Accused(
            name,
            len(found),
            len({each.match for each in found}),
            dict(Counter(each.rule for each in found).most_common()),
        )
        for name, found in of.items()
    ]
    return sorted(accused, key=lambda each: -each.findings)


_FINDINGS = 'mappings such as {"tick": 5, "player": 1, "entity": 3, "why": "too fast"}'


def findings_of(
    rule: Rule, name: str, match: str, documents: Iterator[Document]
) -> Iterator[Finding]:
    """Run an author's own rule on a match and collect its findings.

    Args:
        rule: What they wrote.
        name: What it is called.
        match: Id of the match.
        documents: The match's, by tick.

    Raises:
        UsageError: It raises, or yields something else than findings.
    """
    for each in _found_by(rule, name, documents):
        if not isinstance(each, Mapping):
            raise UsageError(f"{name} found {each!r}: a rule yields {_FINDINGS}")
        data = {str(key): value for key, value in each.items()}
        where = {key: data.pop(key, None) for key in ("tick", "player", "entity")}
        for key, value in where.items():
            if value is not None and not isinstance(value, int):
                raise UsageError(f"{name} found {key} {value!r}: expected a number, or None")
        yield msgspec.convert({"match": match, "rule": name, "data": data, **where}, Finding)


def _found_by(rule: Rule, name: str, documents: Iterator[Document]) -> Iterator[object]:
    """Yield what a rule yields; turn what it raises into a line that says where."""
    try:
        found: object = rule(documents)
        if not isinstance(found, Iterable):
            kind = type(found).__name__
            raise UsageError(f"{name} gave {kind}: a rule yields findings, {_FINDINGS}")
        yield from found
    except EcsnetError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise UsageError(
            f"{name} raised {error!r}, in line {place.lineno} of {place.filename}: a rule takes a"
            f" match's documents and yields {_FINDINGS}"
        ) from error
