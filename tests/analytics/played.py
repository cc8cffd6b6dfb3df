"""Matches made by hand, as records: for a journal, and as the documents that it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ecsnet.analytics.documents import Origin, documents_of
from ecsnet.analytics.journal import Journal
from ecsnet.analytics.records import Declared, Event, Match, Slice, encode
from ecsnet.analytics.segment import Series
from ecsnet.analytics.values import Document
from ecsnet.schema import PLAIN

START = 1_790_000_000_000
"""When the first match starts, in milliseconds."""

POSITION = Declared("position", "ecsnet.Position", ("x", "y"), (PLAIN, PLAIN))
SCORE = Declared("score", "game.Score", ("coins", "title"), (PLAIN, PLAIN))
GHOST = Declared("ghost", "game.Ghost", ("mood",), (PLAIN,))
GAME = (POSITION, SCORE, GHOST)

Entities = Mapping[int, tuple[int | None, Mapping[str, Sequence[object]]]]
"""By number: the owner, and each component's fields."""


class Played:
    """A server that plays matches of 10 ticks a second."""

    def __init__(self, components: Sequence[Declared] = GAME, server: str = "here") -> None:
        self.components = components
        self.server = server
        self.matches: list[Match] = []
        self.records: list[tuple[Series, Event | Slice]] = []
        self._seq: dict[tuple[int, Series], int] = {}

    def match(self, identity: str, *, room: str = "", starts: bool = True, after: int = 0) -> int:
        """Begin one, `after` seconds after the first; its id is padded with zeros."""
        id_ = bytes.fromhex(identity.ljust(32, "0"))
        number = len(self.matches)
        self.matches.append(Match(number, id_, START + after * 1000, room, 10.0))
        if starts:
            declared = [
                {"key": each.key, "name": each.name, "fields": list(each.fields)}
                for each in self.components
            ]
            commands = ["game.Jump", "game.Move", "game.Wave"]
            events = ["game.Boom", "game.Calm"]
            self.event(
                number,
                "start",
                0,
                tick_rate=10.0,
                interval=10,
                components=declared,
                commands=commands,
                events=events,
            )
        return number

    def event(
        self,
        match: int,
        type: str,
        tick: int,
        player: int | None = None,
        entity: int | None = None,
        own: bool = True,
        **data: object,
    ) -> None:
        seq, time = self._next(match, Series.EVENTS), self._time(match, tick)
        made = Event(match, seq, tick, time, type, player, entity, own, data)
        self.records.append((Series.EVENTS, made))

    def snapshot(self, match: int, tick: int, entities: Entities, *, of: int | None = None) -> None:
        """A slice of the snapshot that began in the tick `of`; in this one when left out."""
        columns: list[tuple[int, list[object]]] = [
            (
                number,
                [list(own[each.key]) if each.key in own else None for _, own in entities.values()],
            )
            for number, each in enumerate(self.components)
        ]
        made = Slice(
            match=match,
            seq=self._next(match, Series.SNAPSHOTS),
            tick=tick,
            snapshot=tick if of is None else of,
            time=self._time(match, tick),
            entities=list(entities),
            owners=[owner for owner, _ in entities.values()],
            columns=columns,
        )
        self.records.append((Series.SNAPSHOTS, made))

    def stop(self, match: int, tick: int, **data: object) -> None:
        figures = {
            "reason": "stopped",
            "ticks": tick,
            "dropped_ticks": 0,
            "joined": 0,
            "commands_applied": 0,
            "commands_expired": 0,
            "commands_superseded": 0,
            "lost_events": 0,
            "lost_snapshots": 0,
        }
        self.event(match, "stop", tick, **{**figures, **data})

    def _next(self, match: int, series: Series) -> int:
        self._seq[match, series] = seq = self._seq.get((match, series), 0) + 1
        return seq

    def _time(self, match: int, tick: int) -> int:
        return self.matches[match].started + tick * 100

    # What became of it.

    def write(self, folder: Path) -> None:
        """Write a journal."""
        journal = Journal(folder, self.server, self.components)
        numbers = [
            journal.begin(each.id, each.started, each.room, each.tick_rate) for each in self.matches
        ]
        for series, record in self.records:
            assert journal.put(series, numbers[record.match], encode(record))
        journal.close()

    def events(self) -> Iterator[Document]:
        return self._documents(Series.EVENTS)

    def states(self) -> Iterator[Document]:
        return self._documents(Series.SNAPSHOTS)

    def _documents(self, series: Series) -> Iterator[Document]:
        for of, record in self.records:
            if of is series:
                origin = Origin(self.matches[record.match], self.server, self.components)
                yield from documents_of(record, origin)


A, B, C = "a1".ljust(32, "0"), "a2".ljust(32, "0"), "c0ffee".ljust(32, "0")


def some_matches() -> Played:
    """Three, in two rooms at once and then one that crashed. Mallory is too fast in two of them."""
    made = Played()
    first, second = made.match("a1", room="red"), made.match("a2", room="blue", after=1)
    made.event(first, "join", 1, 1, 11, name="Ada")
    made.event(first, "join", 2, 2, 12, name="[red]Mallory\x1b[2J")
    made.event(second, "join", 1, 1, 31, name="Bob")
    for tick in (10, 20, 30, 40):
        # Mallory runs 40 units in the second between the ticks 20 and 30.
        fast = 4.0 if tick > 20 else 1.0
        made.snapshot(
            first,
            tick,
            {
                11: (1, {"position": (float(tick), 5.0), "score": (tick // 10, "squire")}),
                12: (2, {"position": (tick * fast, 9.5), "score": (0, "=1+1")}),
            },
        )
        made.snapshot(first, tick + 1, {13: (None, {"position": (70.0, 20)})}, of=tick)
        made.snapshot(second, tick, {31: (1, {"position": (float(-tick), 0.0)})})
        made.event(first, "commands", tick, counts=[{"name": "game.Move", "count": 18}])
        if tick == 20:
            limits = {"limit": "max_speed", "allowed": 12.0}
            for late in (3, 5):
                if late == 5:
                    made.event(first, "coin", 24, 1, 11, own=False, worth=3, colour="gold")
                made.event(
                    first,
                    "suspect",
                    tick + late,
                    2,
                    12,
                    component="position",
                    field="x",
                    rate=40.0,
                    before=20.0,
                    after=24.0,
                    **limits,
                )
    made.event(first, "commands", 41, counts=[{"name": "game.Jump", "count": 1}])
    made.event(first, "events", 41, counts=[{"name": "game.Boom", "count": 5}])
    made.event(first, "leave", 41, 2, name="[red]Mallory\x1b[2J", reason="left")
    made.event(first, "lost", 41, events=0, snapshots=2)
    made.stop(
        first,
        42,
        joined=2,
        dropped_ticks=3,
        commands_applied=73,
        commands_expired=1,
        commands_superseded=2,
        events_emitted=6,
        lost_snapshots=2,
    )
    made.stop(second, 40, joined=1, reason="failed")
    third = made.match("c0ffee", after=3600)
    made.event(third, "join", 1, 1, 7, name="[red]Mallory\x1b[2J")
    made.event(
        third,
        "suspect",
        7,
        1,
        7,
        component="score",
        field="coins",
        limit="max_rate",
        allowed=1.0,
        rate=99.0,
        before=0,
        after=99,
    )
    made.event(third, "events", 7, counts=[{"name": "game.Boom", "count": 2}])
    made.snapshot(third, 10, {7: (1, {"score": (99, "")}), 8: (None, {"ghost": ("sad",)})})
    return made
