"""The documents, typed: the one module that knows their layout."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import msgspec

from ecsnet.analytics.values import Document
from ecsnet.errors import UsageError

__all__ = [
    "Component",
    "Counts",
    "Event",
    "Leave",
    "Lost",
    "Start",
    "State",
    "Stop",
    "as_event",
    "as_state",
    "detail",
]

_Typed = TypeVar("_Typed", bound=msgspec.Struct)


class _Kept(msgspec.Struct, frozen=True):
    """The fields of every document."""

    id: str = msgspec.field(name="_id")
    match: str
    started: datetime
    server: str
    room: str
    tick: int
    time: datetime


class Event(_Kept, frozen=True):
    """A document of ``server_events``."""

    type: str
    player: int | None = None
    entity: int | None = None
    data: dict[str, object] = {}


class State(_Kept, frozen=True):
    """A document of ``game_state``."""

    snapshot: int
    entities: list[dict[str, object]]


# What stands in the `data` of events that ecsnet makes. All of it may be missing: somebody else's
# event of that name, or one of another version, is no reason to show nothing at all.


class Component(msgspec.Struct, frozen=True):
    """A component that the game declares."""

    key: str
    """The key of it in documents."""
    name: str
    """Its wire name, such as ``ecsnet.Position``."""
    fields: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        """The names for it on the command line, in lower case."""
        name = self.name.casefold()
        return {self.key.casefold(), name, name.rpartition(".")[2]}


class Start(msgspec.Struct, frozen=True):
    """Of ``start``."""

    tick_rate: float | None = None
    components: tuple[Component, ...] = ()
    commands: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


class Leave(msgspec.Struct, frozen=True):
    """Of ``join`` and ``leave``."""

    name: str = ""
    reason: str = ""


class Count(msgspec.Struct, frozen=True):
    """The number of commands, or events, of one kind."""

    name: str
    count: int


class Counts(msgspec.Struct, frozen=True):
    """Of ``commands`` and ``events``."""

    counts: list[Count] = []


class Lost(msgspec.Struct, frozen=True):
    """Of ``lost``."""

    events: int = 0
    snapshots: int = 0


class Stop(msgspec.Struct, frozen=True):
    """Of ``stop``."""

    reason: str = "stopped"
    ticks: int | None = None
    dropped_ticks: int | None = None
    joined: int | None = None
    commands_applied: int | None = None
    commands_expired: int | None = None
    commands_superseded: int | None = None
    events_emitted: int | None = None
    lost_events: int = 0
    lost_snapshots: int = 0


def as_event(document: Document) -> Event:
    """Decode a document of ``server_events``.

    Raises:
        UsageError: It is something else.
    """
    return _typed(document, Event)


def as_state(document: Document) -> State:
    """Decode a document of ``game_state``.

    Raises:
        UsageError: It is something else.
    """
    return _typed(document, State)


def detail(event: Event, kind: type[_Typed]) -> _Typed:
    """Decode an event's `data`; leave out all of it, where it is not what ecsnet writes."""
    try:
        return msgspec.convert(event.data, kind)
    except msgspec.ValidationError:
        return kind()


def _typed(document: Document, kind: type[_Typed]) -> _Typed:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"the document {document.get('_id')!r} is none of ecsnet's: {error}; "
            "is this the right database?"
        ) from error
