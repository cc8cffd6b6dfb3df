"""The process that ships: ``ecsnet analytics ship``, or the child that a server starts.

`main` is that child. It finds the URI in its environment, where other users do not see it, and ends
when its stdin does: because the server closed it, or because the server is no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ecsnet.analytics.checkpoint import Checkpoint, TargetInUseError
from ecsnet.analytics.folder import (
    FolderInUseError,
    JournalError,
    UnreadableError,
    lock,
    recover,
    segments,
)
from ecsnet.analytics.reader import Cursor
from ecsnet.analytics.segment import Series
from ecsnet.analytics.shipper import Shipper
from ecsnet.analytics.target import target_name
from ecsnet.errors import UsageError
from ecsnet.runtime.console import console_log
from ecsnet.validation.wording import file_trouble

if TYPE_CHECKING:
    from ecsnet.analytics.mongo import Driver

__all__ = ["END_SECONDS", "URI_VARIABLE", "WRONG", "main", "ship"]

_log = logging.getLogger("ecsnet.analytics")

URI_VARIABLE: Final = "ECSNET_SHIP_TO"
"""The environment variable in which a child finds the URI."""

WRONG: Final = 2
"""Exit status of a child that was given something wrong: to start it again is no use."""

END_SECONDS: Final = 5.8
"""After so long a child ends whatever its driver's threads do."""

_GRACE_SECONDS: Final = 0.3
_TELL_SECONDS: Final = 5.0


def ship(
    folder: Path,
    uri: str,
    *,
    follow: bool = False,
    driver: Driver = "motor",
    expire_days: float | None = None,
) -> int:
    """Ship a journal to MongoDB, until nothing is left or somebody interrupts.

    A database that is away is waited for, without ``follow`` for about a minute. SIGINT and
    SIGTERM end it within about 5 s; what is left by then is shipped next time.

    Args:
        folder: Of the journal. Nobody needs to be writing it.
        uri: Of the database.
        follow: Whether to wait for more when nothing is left.
        driver: What talks to the database.
        expire_days: After how many days the database may delete a document, where it can.

    Returns:
        An exit status: 0 when the database has everything, 1 when something is left or was refused.

    Raises:
        JournalError: There is no journal, it cannot be read, or it is being shipped already.
        UsageError: The driver is missing, or the URI asks for what cannot be.
    """
    if not follow and not segments(folder) and not (folder / "lock").exists():
        raise JournalError(f"there is no journal in {folder}: give the folder of a server's")

    async def control(shipper: Shipper) -> None:
        telling = asyncio.ensure_future(_tell(shipper))
        try:
            with _signals(shipper.stop, signal.SIGINT, signal.SIGTERM):
                await shipper.run(follow=follow, patient=follow)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    shipper = asyncio.run(_ship(folder, uri, driver, expire_days, control))
    refused = shipper.refused + shipper.set_aside
    _log.info(
        "analytics: %d documents shipped to %s%s%s",
        shipper.taken,
        target_name(uri),
        f", {refused} refused" if refused else "",
        "" if shipper.done else "; the rest is shipped next time",
    )
    return int(bool(refused) or not shipper.done)


async def _ship(
    folder: Path,
    uri: str,
    driver: Driver,
    expire_days: float | None,
    control: Callable[[Shipper], Awaitable[None]],
) -> Shipper:
    """Have everything that a shipper needs while ``control`` runs it."""
    from ecsnet.analytics.mongo import open_sink

    segments(folder)  # before anything is made in it: is there such a folder?
    with Checkpoint(folder, target_name(uri)) as checkpoint:
        _recover(folder)
        feeds = {series: Cursor(folder, series, checkpoint.places[series]) for series in Series}
        sink = open_sink(uri, driver, expire_days=expire_days)
        try:
            shipper = Shipper(sink, checkpoint, feeds)
            await control(shipper)
        finally:
            await sink.aclose()
            for series, cursor in feeds.items():
                if cursor.damage:
                    _log.warning("analytics: %s, %s: %s", folder, series, cursor.damage)
        return shipper


def _recover(folder: Path) -> None:
    """Make whole what a server that died has left. While one lives, it has the lock."""
    try:
        with lock(folder):
            left = recover(folder)
    except FolderInUseError:
        return
    except OSError as error:
        raise JournalError(
            f"the journal in {folder} cannot be used: {file_trouble(error)}"
        ) from error
    if left:
        _log.info("analytics: %s: repaired the segments of a server that died", folder)


async def _tell(shipper: Shipper) -> None:
    """Say now and then how far it is."""
    before = shipper.taken
    while True:
        await asyncio.sleep(_TELL_SECONDS)
        if shipper.taken > before:
            _log.info("analytics: %d documents shipped so far", shipper.taken)
        before = shipper.taken


@contextlib.contextmanager
def _signals(stop: Callable[[], object], *numbers: signal.Signals) -> Iterator[None]:
    """Call ``stop`` on these signals, where this is the main thread."""
    loop = asyncio.get_running_loop()
    before: list[tuple[signal.Signals, Any]] = []
    with contextlib.suppress(ValueError):
        for number in numbers:
            handler = signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
            before.append((number, handler))
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


# A server's child.


def main(folder: str, driver: str, days: str) -> NoReturn:
    """Be a server's child.

    Args:
        folder: Of the journal.
        driver: What talks to the database.
        days: After how many days the database may delete a document; empty for never.
    """
    # Whoever presses Ctrl-C means the server, which has last things to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with console_log():  # stderr is the server's, and may be a pipe that nobody reads
        status = _ship_for_a_server(folder, driver, days)
    os._exit(status)  # drivers have threads that wait for databases


def _ship_for_a_server(folder: str, driver: str, days: str) -> int:
    """Run as `main` does, and return the exit status."""
    try:
        uri = os.environ.pop(URI_VARIABLE)
        expire_days = float(days) if days else None
        shipper = asyncio.run(
            _ship(
                Path(folder),
                uri,
                "motor" if driver == "motor" else "pymongo",
                expire_days,
                _follow_until_told,
            )
        )
        if not shipper.done:
            _log.warning(
                "analytics: %s does not have everything yet: the next server on %s ships the rest,"
                " or `ecsnet analytics ship %s --mongo URI`",
                target_name(uri),
                folder,
                folder,
            )
    except (TargetInUseError, UnreadableError) as error:
        # The shipper of a server that died has its last seconds; a disk may answer again.
        return _fail(error, 1)
    except UsageError as error:
        return _fail(error, WRONG)
    except Exception as error:  # noqa: BLE001 - whatever it is, the server starts another one
        return _fail(error, 1)
    return 0


def _fail(error: Exception, status: int) -> int:
    _log.error("analytics: nothing is shipped: %s", error)
    return status


async def _follow_until_told(shipper: Shipper) -> None:
    loop = asyncio.get_running_loop()

    def listen() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(shipper.stop)
        time.sleep(END_SECONDS)
        os._exit(1)

    threading.Thread(target=listen, name="stdin", daemon=True).start()
    # A whole group may be asked to end at once: then the server's last things come in a moment.
    with _signals(lambda: loop.call_later(_GRACE_SECONDS, shipper.stop), signal.SIGTERM):
        await shipper.run(follow=True)
