"""The buffer in front of the store that is drawn: what was told waits there for its tick.

The same messages go into two stores. One takes each as it arrives: it says what is confirmed, and
what the server may make us keep. The other one gets them here, when the drawn tick has come as far
as theirs, and the view shows it as it would show the first. So what came, what went, what changed
and what happened are seen in the order in which they were on the server.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from operator import attrgetter
from typing import Final, NamedTuple

from ecsnet.replication.client.samples import Blend, Samples
from ecsnet.replication.client.store import Store
from ecsnet.replication.wire import Events, Structure, Update
from ecsnet.session.sequence import unwrap

__all__ = ["PlayoutBuffer"]

BUFFER_BYTES: Final = 2 << 20
"""About how many bytes may wait, counted as a store counts what it keeps. With more of them, all is
shown at once."""

_MESSAGE_BYTES: Final = 200  # what each message costs beside its content


class _Waiting(NamedTuple):
    """A message that waits."""

    tick: int
    apply: Callable[[], object]
    size: int


_tick: Final = attrgetter("tick")


class PlayoutBuffer:
    """The messages that wait for their tick, in front of the store that is drawn.

    Args:
        told: The store that takes what arrives as it arrives, and did so before this is told of it.
        interval: Ticks from one update to the next.
        teleports: The component id of the type that changes when an entity jumps; None for none.
        number: The reliable message that began this stay, as for `Store`.

    Attributes:
        store: What was told up to the drawn tick.
    """

    def __init__(
        self, told: Store, interval: int, teleports: int | None = None, *, number: int = 0
    ) -> None:
        self.store = Store(
            told.wire, told.epoch, told.tick, number=number, predicting=told.predicting
        )
        self._told = told
        self._number = number
        self._samples = Samples(told.wire.schema.components, interval, told.entities, teleports)
        # Reliable messages in their order, and updates by their tick.
        self._messages: deque[_Waiting] = deque()
        self._updates: list[_Waiting] = []
        self._bytes = 0
        self._taken = told.taken

    def update(self, update: Update[object, object], size: int) -> int:
        """Take an update that made sense; ``size`` is its length in bytes. Returns its tick."""
        told = self._told
        depends = unwrap(update.depends, 32, told.structured)
        tick = unwrap(update.tick, 32, told.tick)
        if depends < self._number:
            return tick
        waiting = _Waiting(tick, partial(self.store.update, update, size), self._cost())
        insort(self._updates, waiting, key=_tick)
        self._samples.heard(
            tick,
            update.index,
            update.count,
            left_out=update.left_out or depends > told.structured,
            settled=update.unconfirmed_ticks <= 1,
        )
        for run in update.runs:
            nets = run.entities()
            for cid, values in told.wire.columns(run) or ():
                self._samples.note(nets, cid, values, tick)
        return tick

    def structure(self, number: int, message: Structure[object], size: int) -> int:
        """Take a structural message of our room, as for `Store.structure`; returns its tick."""
        tick = unwrap(message.tick, 32, self._told.tick)
        self._queue(tick, partial(self.store.structure, number, message, size))
        for run in message.sets:
            nets = run.entities()
            for cid, values in self._told.wire.columns(run) or ():
                self._samples.note_inserted(nets, cid, values, tick)
        return tick

    def happened(self, message: Events[object], size: int) -> int:
        """Take the events of a message of our room, as for `Store.happened`; returns its tick."""
        tick = unwrap(message.tick, 32, self._told.tick)
        self._queue(tick, partial(self.store.happened, message, size))
        return tick

    def passed(self, number: int) -> None:
        """Note a message of the reliable channel that is not structural."""
        self._queue(-1, partial(self.store.passed, number))

    def play(self, tick: float) -> dict[tuple[int, int], Blend]:
        """Let the store have what was told up to a tick.

        Args:
            tick: The tick that is drawn, with its fraction; it never goes back.

        Returns:
            What lies between two values then, by network id and component id.
        """
        if self._bytes > BUFFER_BYTES:
            self._samples.clear()
            self._feed(inf)
        self._feed(tick)
        return self._samples.draw(tick, self.store)

    def flush(self) -> None:
        """Let the store have all that was told: no tick will be drawn any more."""
        self._feed(inf)

    def _cost(self) -> int:
        """Return what the message that was told last costs while it waits."""
        before, self._taken = self._taken, self._told.taken
        cost = self._taken - before + _MESSAGE_BYTES
        self._bytes += cost
        return cost

    def _queue(self, tick: int, apply: Callable[[], object]) -> None:
        self._messages.append(_Waiting(tick, apply, self._cost()))

    def _feed(self, tick: float) -> None:
        """Apply what is due, by tick: of one tick what is reliable first, for the rest depends on
        it.
        """
        messages, updates = self._messages, self._updates
        fed = 0
        while True:
            first = updates[fed].tick if fed < len(updates) else inf
            if messages and messages[0].tick <= min(tick, first):
                waiting = messages.popleft()
            elif fed < len(updates) and first <= tick:
                waiting = updates[fed]
                fed += 1
            else:
                break
            self._bytes -= waiting.size
            waiting.apply()
        del updates[:fed]
