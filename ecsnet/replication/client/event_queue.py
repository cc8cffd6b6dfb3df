"""The events that a client got and has not handed out.

An event is handed out when the view shows what its server told before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Iterator
from typing import Final, NamedTuple

from ecsnet.schema import EventType

__all__ = ["EVENTS", "EVENTS_BYTES", "EventQueue", "ReceivedEvent"]

EVENTS: Final = 65_536
"""The most events that wait in a client."""

EVENTS_BYTES: Final = 4 << 20
"""About how many bytes they may take, counted as those of components are."""

EVENTS_AT_ONCE: Final = 4096
"""The most events that one poll hands out; the others have to wait."""

BYTES_AT_ONCE: Final = 512 << 10
"""About how many bytes they may take together, counted likewise."""


class ReceivedEvent(NamedTuple):
    """An event as the server sent it."""

    kind: EventType
    wire: object
    size: int
    """In bytes, with what its containers and items cost beside them."""
    reliable: bool
    """True if the server sends each exactly once."""


class EventQueue:
    """The events of one stay in a room, in the order in which they were emitted.

    Attributes:
        came: How many events have come.
        returned: How many of these were in the lists that polls returned.
        given: How many the game was given.
        given_reliable: How many of these the server sends exactly once.
        overload: Set when more come than may wait: how much of what.
    """

    def __init__(self) -> None:
        self.came = self.returned = 0
        self.given = self.given_reliable = 0
        self.overload: str | None = None
        self._waiting: deque[ReceivedEvent] = deque()
        self._bytes = 0
        self._ready = self._taken = 0  # of those that came
        # While the view lags: what it still lacked when so many events had come.
        self._lacking: set[int] = set()
        self._came_before = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: ReceivedEvent) -> None:
        """Put an event behind the others."""
        self.came += 1
        self._bytes += event.size
        self._waiting.append(event)
        if len(self._waiting) > EVENTS:
            self.overload = f"more than {EVENTS:,} events wait"
        elif self._bytes > EVENTS_BYTES:
            self.overload = f"the events that wait take more than {EVENTS_BYTES >> 20} MiB"

    def take(self) -> Iterator[ReceivedEvent]:
        """Yield the events that the view is ready for, as many as one poll hands out."""
        most, room = min(self._ready, self._taken + EVENTS_AT_ONCE), BYTES_AT_ONCE
        while self._taken < most and room > 0:
            event = self._waiting.popleft()
            self._bytes -= event.size
            self._taken += 1
            room -= event.size
            yield event

    def note_returned(self) -> None:
        """Note that the game is given the list with all that was taken."""
        self.returned = self._taken

    def shown(self, nets: Iterable[int], dirty: Iterable[int], alive: Container[int]) -> None:
        """Note how far the view has come. It is nearly always up to date; where it is not, events
        wait for what it lacked when they came, and for nothing that came since.

        Args:
            nets: The entities that were brought up to date.
            dirty: Those that still have to be.
            alive: The entities that are there.
        """
        if self._ready == self.came:
            return
        if self._lacking:
            self._lacking.difference_update(nets)
            self._lacking = {net for net in self._lacking if net in alive}
            if self._lacking:
                return
            self._ready = self._came_before
        self._lacking = {net for net in dirty if net in alive}
        if self._lacking:
            self._came_before = self.came
        else:
            self._ready = self.came
