"""The shipper of a journal to a database: nothing lost, nothing twice, whatever fails in between.

Documents have ids of their own, so a batch of which nobody knows whether it arrived is sent again.
The position moves only over what is there, or is set aside on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from ecsnet.analytics import backoff
from ecsnet.analytics.checkpoint import Checkpoint, DeadLetter
from ecsnet.analytics.folder import Segment, State, mark_shipped, segments
from ecsnet.analytics.reader import Entry, Offset
from ecsnet.analytics.segment import Series
from ecsnet.analytics.sink import Refused, Sink, Unavailable
from ecsnet.analytics.values import Document
from ecsnet.validation.wording import file_trouble

__all__ = ["COLLECTIONS", "FLUSH_SECONDS", "Feed", "Shipper"]

_log = logging.getLogger("ecsnet.analytics")

COLLECTIONS: Final = {Series.EVENTS: "server_events", Series.SNAPSHOTS: "game_state"}
"""The collections for the documents of each series."""

BATCH_DOCUMENTS: Final = 200
BATCH_BYTES: Final = 256 * 1024

FLUSH_SECONDS: Final = 5.0
"""The longest time that an end may take."""

LONE_FAILURES: Final = 3
"""So often a document is refused alone before it is set aside."""

_LAST_ATTEMPT: Final = 8  # of those in a row that fail: who has no patience gives up
_LOOK_SECONDS: Final = 0.5  # between looks at a journal in which there was nothing new
_SUSPECTS: Final = 200  # of a series; then no more of it is read until they are cleared up
_MOST_LOOKS: Final = 20  # between tries while nothing is taken


class Feed(Protocol):
    """One series of a journal, from some place on; `ecsnet.analytics.reader.Cursor` is one."""

    def read(self, documents: int, size: int, /) -> list[Entry]:
        """Return the next documents, at most so many and so many bytes; empty if there are none."""
        ...

    def finished(self) -> list[Segment]:
        """Return the sealed segments that became wholly read since the last call."""
        ...


@dataclass(slots=True, eq=False)
class _Suspect:
    """A document that was refused alone."""

    entry: Entry
    before: Offset
    reason: str
    taken: int  # documents taken by then; who fails again before another is taken is not to blame
    failures: int = 1


@dataclass(slots=True)
class _Line:
    """One series on its way."""

    series: Series
    feed: Feed
    reached: Offset
    suspects: list[_Suspect] = field(default_factory=list)
    finished: list[Segment] = field(default_factory=list)

    @property
    def place(self) -> Offset:
        """Before it, everything is done."""
        return min((suspect.before for suspect in self.suspects), default=self.reached)


class _Ended(Exception):  # noqa: N818 - the way out, from wherever it waits
    pass


class Shipper:
    """The shipper of one journal to one database.

    Args:
        sink: The database.
        position: What is remembered of it.
        feeds: The journal, by series; from the position on.
        sleep: Waits so many seconds.
        uniform: A random number between two others.

    Attributes:
        taken: Documents that the database has, of those that were offered since the start.
        set_aside: Documents that are set aside.
        done: Whether it ended because nothing was left.
    """

    def __init__(
        self,
        sink: Sink,
        checkpoint: Checkpoint,
        feeds: Mapping[Series, Feed],
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.taken = 0
        self.set_aside = 0
        self.done = False
        self._sink = sink
        self._checkpoint = checkpoint
        self._lines = [
            _Line(series, feed, checkpoint.places[series]) for series, feed in feeds.items()
        ]
        self._sleep = sleep
        self._uniform = uniform
        self._stopping = asyncio.Event()
        self._reachable: bool | None = None
        self._attempt = 0
        self._patient = True
        self._said: str | None = None

    async def run(self, *, follow: bool, patient: bool = True) -> None:
        """Ship until told to stop, or until nothing is left.

        Args:
            follow: Whether to wait for more when nothing is left.
            patient: Whether to wait for a database that is away, however long that takes.

        Raises:
            OSError: What is shipped cannot be remembered: the disk is full or broken.
        """
        self._patient = patient
        work = asyncio.ensure_future(self._ship(follow))
        stop = asyncio.ensure_future(self._stopping.wait())
        flush: asyncio.Future[object] | None = None
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                flush = asyncio.ensure_future(self._sleep(FLUSH_SECONDS))
                await asyncio.wait({work, flush}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            rest = [task for task in (work, stop, flush) if task is not None]
            for task in rest:
                task.cancel()
            await asyncio.wait(rest)
        if not work.cancelled():
            work.result()

    def stop(self) -> None:
        """Ship what is there by now, for at most 5 s, and end; what is left waits for next time."""
        self._stopping.set()

    @property
    def refused(self) -> int:
        """Documents that were refused, and hold the position where it is."""
        return sum(len(line.suspects) for line in self._lines)

    # The rounds.

    async def _ship(self, follow: bool) -> None:
        looks = until = 0
        with contextlib.suppress(_Ended):
            self._find_finished()
            await self._offer_aside()
            while True:
                before, moved = self.taken, False
                for line in self._lines:
                    moved |= await self._advance(line)
                if self.taken == before and self.refused and not moved and looks >= until:
                    await self._try_one()
                    looks, until = 0, min(2 * until + 1, _MOST_LOOKS)
                if self.taken > before:
                    # Only now does another refusal say something about who is refused.
                    await self._clear_up()
                    looks = until = 0
                elif not moved:
                    if not follow or self._stopping.is_set():
                        self.done = True
                        return
                    looks += 1
                    await self._pause(_LOOK_SECONDS)

    async def _advance(self, line: _Line) -> bool:
        """Offer the next batch of a series; false when there is none."""
        if len(line.suspects) >= _SUSPECTS:
            return False
        entries = line.feed.read(BATCH_DOCUMENTS, BATCH_BYTES)
        if not entries:
            self._settle(line)
            return False
        before = [line.reached, *(entry.after for entry in entries)]
        documents = [entry.document for entry in entries]
        for index, reason in await self._offer(line.series, documents):
            line.suspects.append(_Suspect(entries[index], before[index], reason, self.taken))
        line.reached = entries[-1].after
        if len(line.suspects) >= _SUSPECTS:
            _log.warning(
                "analytics: %s does not take any of the documents: %s; the journal in %s keeps"
                " them",
                self._checkpoint.target,
                line.suspects[-1].reason,
                self._checkpoint.folder,
            )
        self._settle(line)
        return True

    async def _clear_up(self) -> None:
        """Offer what was refused once more, alone; set aside what was refused too often."""
        for line in self._lines:
            for suspect in list(line.suspects):
                if self.taken > suspect.taken:
                    await self._try(line, suspect)
            self._put_aside(line)
            self._settle(line)

    async def _try_one(self) -> None:
        """Nothing is taken at all: to try one now and then is enough, each in turn."""
        for line in self._lines:
            if line.suspects:
                suspect = line.suspects[0]
                line.suspects.append(line.suspects.pop(0))
                await self._try(line, suspect)
                self._settle(line)

    async def _try(self, line: _Line, suspect: _Suspect) -> None:
        reason = await self._offer_alone(line.series, suspect.entry.document)
        if reason is None:
            line.suspects.remove(suspect)
            return
        suspect.reason = reason
        if self.taken > suspect.taken:
            suspect.failures += 1
            suspect.taken = self.taken

    def _put_aside(self, line: _Line) -> None:
        gone = [suspect for suspect in line.suspects if suspect.failures >= LONE_FAILURES]
        if not gone:
            return
        try:  # on the disk, before the position moves over them
            self._checkpoint.set_aside(
                DeadLetter(line.series, suspect.entry.document, suspect.reason) for suspect in gone
            )
        except OSError as error:
            self._trouble(f"nothing can be set aside: {file_trouble(error)}")
            return
        line.suspects = [suspect for suspect in line.suspects if suspect not in gone]
        self.set_aside += len(gone)
        _log.warning(
            "analytics: %s does not take %d of the documents, such as %s: %s; they are kept in %s"
            " and offered again at the next start",
            self._checkpoint.target,
            len(gone),
            gone[0].entry.document.get("_id"),
            gone[0].reason,
            self._checkpoint.folder,
        )

    async def _offer_aside(self) -> None:
        """Offer what was set aside in earlier runs."""
        aside = self._checkpoint.aside()
        self.set_aside = len(aside)
        if not aside:
            return
        left: list[DeadLetter] = []
        for line in self._lines:
            offered = [one for one in aside if one.series is line.series]
            for at in range(0, len(offered), BATCH_DOCUMENTS):
                batch = offered[at : at + BATCH_DOCUMENTS]
                refused = await self._offer(line.series, [one.document for one in batch])
                left += (
                    DeadLetter(line.series, batch[index].document, reason)
                    for index, reason in refused
                )
        self._checkpoint.keep_aside(left)
        self.set_aside = len(left)
        _log.info(
            "analytics: of %d documents that were set aside %s took %d",
            len(aside),
            self._checkpoint.target,
            len(aside) - len(left),
        )

    # The database.

    async def _offer(self, series: Series, documents: Sequence[Document]) -> list[tuple[int, str]]:
        """Bring documents into the database.

        Returns:
            Those that it refused alone: by their index, and why. All others are there.
        """
        refused: list[tuple[int, str]] = []
        parts = [(0, len(documents))]
        while parts:
            begin, end = parts.pop()
            reason = await self._write(series, documents[begin:end])
            if reason is None:
                self.taken += end - begin
            elif end - begin == 1:
                refused.append((begin, reason))
            else:
                middle = (begin + end) // 2
                parts += ((middle, end), (begin, middle))
        return refused

    async def _offer_alone(self, series: Series, document: Document) -> str | None:
        refused = await self._offer(series, [document])
        return refused[0][1] if refused else None

    async def _write(self, series: Series, documents: Sequence[Document]) -> str | None:
        """Write until the database says something definite.

        Returns:
            None when all are there, or why not.
        """
        cuts = 0
        while True:
            try:
                await self._sink.write(COLLECTIONS[series], documents)
            except Refused as refused:
                self._is_reachable()
                return refused.reason
            except Unavailable as trouble:
                reason, cut = trouble.reason, trouble.cut
            else:
                self._is_reachable()
                return None
            if cut and await self._answers(series):
                # The connection is lost over these documents, and over nothing else.
                cuts += 1
                if cuts >= 2:
                    return reason
                self._attempt = 0
            else:
                self._is_unreachable(reason)
            await self._back_off()

    async def _answers(self, series: Series) -> bool:
        try:
            await self._sink.write(COLLECTIONS[series], ())
        except Unavailable:
            return False
        return True

    def _is_reachable(self) -> None:
        if not self._reachable:
            again = "" if self._reachable is None else " again"
            _log.info("analytics: shipping to %s%s", self._checkpoint.target, again)
        self._reachable = True
        self._attempt = 0

    def _is_unreachable(self, reason: str) -> None:
        if self._reachable is not False:
            _log.warning(
                "analytics: %s takes no documents: %s; the journal in %s keeps them until it"
                " does%s",
                self._checkpoint.target,
                reason,
                self._checkpoint.folder,
                "" if self._patient else "; trying for about a minute",
            )
        self._reachable = False

    # Waiting.

    async def _back_off(self) -> None:
        """Wait a random while, on average longer each time."""
        if self._stopping.is_set() or (not self._patient and self._attempt >= _LAST_ATTEMPT):
            raise _Ended
        seconds = backoff.pause(self._attempt, self._uniform)
        self._attempt += 1
        await self._pause(seconds)

    async def _pause(self, seconds: float) -> None:
        """Wait, at most until told to stop."""
        pause = asyncio.ensure_future(self._sleep(seconds))
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({pause, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            stop.cancel()
            await asyncio.gather(pause, stop, return_exceptions=True)

    # The journal.

    def _find_finished(self) -> None:
        """Find segments that were shipped before the last run ended, and not marked any more."""
        for line in self._lines:
            line.finished = [
                segment
                for segment in segments(self._checkpoint.folder, line.series)
                if segment.state is State.SEALED and segment.number < line.place.number
            ]

    def _settle(self, line: _Line) -> None:
        """Remember how far a series is, and note which segments every target has by now."""
        line.finished += line.feed.finished()
        if line.finished and not line.suspects:
            # Nothing will follow in these: the next document is in another segment.
            line.reached = max(line.reached, Offset(line.finished[-1].number + 1))
        places = {**self._checkpoint.places, line.series: line.place}
        try:
            self._checkpoint.save(places)
        except OSError as error:
            # The disk is full: to go on, and to say which segments can be deleted, helps it most.
            self._trouble(f"its position cannot be saved: {file_trouble(error)}")
        else:
            self._trouble(None)
        waiting: list[Segment] = []
        others = [other[line.series].number for other in self._checkpoint.others()]
        least = min([line.place.number, *others])
        for segment in line.finished:
            if segment.number < least:
                mark_shipped(segment)
            else:
                waiting.append(segment)
        line.finished = waiting

    def _trouble(self, text: str | None) -> None:
        """Say what is wrong with the folder, once."""
        if text is not None and text != self._said:
            _log.warning("analytics: %s: %s", self._checkpoint.folder, text)
        self._said = text
