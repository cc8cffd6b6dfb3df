"""The sources of reports: a journal's folder or a MongoDB, which give the same documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import structs

from ecsnet.analytics.documents import Origin
from ecsnet.analytics.folder import segments
from ecsnet.analytics.reader import Damage, Series, documents, outlines
from ecsnet.analytics.reading import Component, Event, Start, Stop, as_event, detail
from ecsnet.analytics.target import conceal, parse_target
from ecsnet.analytics.values import Document
from ecsnet.errors import UsageError

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection

__all__ = [
    "JournalSource",
    "Match",
    "MongoSource",
    "Source",
    "choose",
    "matches_of",
]

EVENTS, STATES = "server_events", "game_state"

PATIENCE = 5.0
"""Seconds that a database has for its first answer."""

TIMEOUT = 60_000
"""Milliseconds that it has for each batch: a large sort takes its time."""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """One match, as its first and last events tell it."""

    id: str
    started: datetime
    server: str
    room: str
    tick_rate: float | None
    """None where nothing says so: the event that does was lost, and there is no journal."""
    ended: datetime | None
    """None while it runs, and for ever when it crashed."""
    reason: str | None
    """The reason of its end."""
    ticks: int
    """Until its last event."""
    components: tuple[Component, ...]
    commands: tuple[str, ...]
    events: tuple[str, ...]

    @property
    def state(self) -> str:
        """``"stopped"``, ``"failed"`` or ``"running or crashed"``."""
        return self.reason or "running or crashed"


class Source(Protocol):
    """A source of reports. Of one match, documents come in the order in which it was played."""

    name: str
    """The name of it in messages."""

    def matches(self) -> list[Match]:
        """Return all matches, the oldest first."""
        ...

    def events(self, *matches: str) -> Iterator[Document]:
        """Return the events of these matches."""
        ...

    def states(self, *matches: str) -> Iterator[Document]:
        """Their snapshots."""
        ...

    def damage(self) -> Damage:
        """Return counts of what could not be read so far."""
        ...

    def close(self) -> None:
        """End it."""
        ...


def matches_of(events: Iterable[Document]) -> list[Match]:
    """Return the matches that events tell of, the oldest first."""
    known: dict[str, _Known] = {}
    for document in events:
        event = as_event(document)
        match = known.setdefault(event.match, _Known(event))
        if event.tick >= match.last.tick:
            match.last = event
        if event.type == "start":
            match.start = detail(event, Start)
        elif event.type == "stop":
            match.stop, match.ended = detail(event, Stop), event.time
    return sorted(
        (each.match() for each in known.values()), key=lambda each: (each.started, each.id)
    )


@dataclass
class _Known:
    """The facts about a match so far."""

    last: Event
    start: Start = field(default_factory=Start)
    stop: Stop | None = None
    ended: datetime | None = None

    def match(self) -> Match:
        last, start, stop = self.last, self.start, self.stop
        return Match(
            id=last.match,
            started=last.started,
            server=last.server,
            room=last.room,
            tick_rate=start.tick_rate,
            ended=self.ended,
            reason=stop.reason if stop else None,
            ticks=stop.ticks if stop and stop.ticks is not None else last.tick,
            components=start.components,
            commands=start.commands,
            events=start.events,
        )


def choose(matches: Sequence[Match], wanted: Sequence[str], place: str) -> list[Match]:
    """Find the matches that a name means: by id, by the beginning of one, ``latest`` or ``all``.

    Args:
        matches: All there are, the oldest first.
        wanted: What was typed.
        place: Where they come from, for messages.

    Returns:
        Each once, the oldest first.

    Raises:
        UsageError: One is not there, or more than one could be meant.
    """
    if not matches:
        raise UsageError(f"there are no matches in {place} yet")
    chosen: set[str] = set()
    for text in wanted:
        if text == "all":
            return list(matches)
        found = [matches[-1].id] if text == "latest" else _begin_with(matches, text)
        if not found:
            raise UsageError(
                f"there is no match {text!r} among the {len(matches)} in {place}: "
                "give an id or the beginning of one, latest or all"
            )
        if len(found) > 1:
            raise UsageError(
                f"{text!r} is the beginning of {len(found)} matches, such as {found[0]} and "
                f"{found[1]}: give more of it"
            )
        chosen.update(found)
    return [match for match in matches if match.id in chosen]


def _begin_with(matches: Sequence[Match], text: str) -> list[str]:
    return [match.id for match in matches if match.id.startswith(text.casefold())]


class JournalSource:
    """A journal as a source, also while a server writes it.

    Args:
        folder: Where it is.

    Raises:
        JournalError: There is no journal there.
    """

    def __init__(self, folder: Path) -> None:
        segments(folder)  # whether there is one
        self.name = str(folder)
        self._folder = folder
        self._passes: list[tuple[Series, Damage]] = []

    def matches(self) -> list[Match]:
        damage = Damage()
        self._passes.append((Series.EVENTS, damage))
        origins: dict[str, Origin] = {}
        to_document: list[Document] = []
        for outline in outlines(self._folder, damage=damage):
            origins[outline.origin.match.id.hex()] = outline.origin
            to_document += outline.events
        return [_with_schema(match, origins[match.id]) for match in matches_of(to_document)]

    def events(self, *matches: str) -> Iterator[Document]:
        return self._documents(Series.EVENTS, matches)

    def states(self, *matches: str) -> Iterator[Document]:
        return self._documents(Series.SNAPSHOTS, matches)

    def damage(self) -> Damage:
        # Whoever reads a series twice meets the same damage twice.
        worst = {
            series: max((each for of, each in self._passes if of is series), key=lambda d: d.bytes)
            for series, _ in self._passes
        }
        return Damage(sum(d.segments for d in worst.values()), sum(d.bytes for d in worst.values()))

    def close(self) -> None:
        pass

    def _documents(self, series: Series, matches: Sequence[str] | None) -> Iterator[Document]:
        damage = Damage()
        self._passes.append((series, damage))
        only = matches[0] if matches is not None and len(matches) == 1 else None
        found = documents(self._folder, series, match=only, damage=damage)
        if matches is None or only is not None:
            return found
        wanted = frozenset(matches)
        return (document for document in found if document["match"] in wanted)


def _with_schema(match: Match, origin: Origin) -> Match:
    """Return a match; where its start was lost, with what the journal says of it elsewhere."""
    if match.tick_rate is not None:
        return match
    declared = [Component(each.key, each.name, each.fields) for each in origin.components]
    return structs.replace(
        match, tick_rate=origin.match.tick_rate, components=match.components or tuple(declared)
    )


class MongoSource:
    """A MongoDB as a source.

    Args:
        uri: Of the server; its path may name a database, ``ecsnet`` else.

    Raises:
        UsageError: It cannot be reached, or the URI is none.
    """

    def __init__(self, uri: str) -> None:
        # Here, so that a journal can be read where pymongo is missing.
        import pymongo
        from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
        from bson.int64 import Int64

        class _Integers(TypeDecoder):
            """An int is an int, however wide it was stored."""

            @property
            def bson_type(self) -> type:
                return Int64

            def transform_bson(self, value: int) -> int:
                return int(value)

        options = CodecOptions[Document](
            tz_aware=True, tzinfo=UTC, type_registry=TypeRegistry([_Integers()])
        )
        target = parse_target(uri)
        self.name = f"the MongoDB at {target.name}"
        with _told(self.name), ExitStack() as opened:
            client: MongoClient[Document] = pymongo.MongoClient(
                uri, timeoutMS=TIMEOUT, appname="ecsnet analytics"
            )
            opened.callback(client.close)
            database = client.get_database(target.database).with_options(options)
            with pymongo.timeout(PATIENCE):
                client.admin.command("ping")
            self._opened = opened.pop_all()
        self._events = database[EVENTS]
        self._states = database[STATES]

    def matches(self) -> list[Match]:
        with _told(self.name):
            to_document = list(self._events.find({"type": {"$in": ["start", "stop"]}}))
            ended = {
                str(document["match"]) for document in to_document if document["type"] == "stop"
            }
            # Of a match that runs or crashed, the last event says how far it came.
            for group in self._events.aggregate([{"$group": {"_id": "$match"}}]):
                if group["_id"] not in ended:
                    last = self._events.find_one(_of(str(group["_id"])), sort=[("_id", -1)])
                    to_document += [last] if last else []
        return matches_of(to_document)

    def events(self, *matches: str) -> Iterator[Document]:
        return self._documents(self._events, matches)

    def states(self, *matches: str) -> Iterator[Document]:
        return self._documents(self._states, matches)

    def damage(self) -> Damage:
        return Damage()

    def close(self) -> None:
        self._opened.close()

    def _documents(
        self, collection: Collection[Document], matches: Sequence[str]
    ) -> Iterator[Document]:
        for match in matches:
            with _told(self.name), collection.find(_of(match)).sort("_id", 1) as cursor:
                yield from _in_order(cursor)


def _in_order(documents: Iterable[Document]) -> Iterator[Document]:
    """Documents of a match that are sorted by `_id`, as they were written.

    As text, part .10 comes before .2; and a collection whose ids are not unique (time series) may
    hold one twice.
    """
    for _, parts in groupby(documents, lambda document: _place(document)[0]):
        by_number = {_place(part)[1]: part for part in parts}
        yield from (by_number[number] for number in sorted(by_number))


def _of(match: str) -> dict[str, object]:
    """Make the filter for one match; the bounds let the index of ``_id`` give the order, too."""
    return {"match": match, "_id": {"$gte": f"{match}-", "$lt": f"{match}."}}


def _place(document: Document) -> tuple[str, int]:
    """Sequence and part of a document, from its id."""
    sequence, _, part = str(document["_id"]).partition(".")
    return sequence, int(part or 0)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn what pymongo raises into a line that names the source.

    Raises:
        UsageError: It raised something.
    """
    from pymongo.errors import PyMongoError

    try:
        yield
    except PyMongoError as error:
        why = str(error).partition(" (configured timeouts:")[0].partition(", full error:")[0]
        raise UsageError(
            f"{name} cannot be read: {conceal(why)}; is it running, and the URI right?"
        ) from error
