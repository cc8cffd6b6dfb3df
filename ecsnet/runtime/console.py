"""The log of a server on stderr, without a tick ever waiting for whoever reads it.

Where stderr is a pipe that nobody reads, a write to it waits for ever, and so would the tick that
logs. Lines therefore go into a queue, and a thread writes them: what finds the queue full is
dropped and counted, and the count is told when somebody reads again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import sys
import threading
import traceback
from collections.abc import Iterator
from logging.handlers import QueueHandler
from queue import Empty, Full, Queue
from typing import Final, TextIO

__all__ = ["console_log", "last_resort", "open_standard_files"]

LINES: Final = 1000
"""Lines that wait for the thread at most."""

_STDERR: Final = 2

_FLUSH_SECONDS: Final = 0.2  # at the end, for what waits; a reader that is there needs less


@contextlib.contextmanager
def console_log(level: int | None = None) -> Iterator[None]:
    """Show the log from INFO on, and Python's warnings, where the program has set up nothing.

    Args:
        level: Of the loggers ``ecsnet.*``, also where the program has set up others; theirs is left
            as it is when left out.
    """
    root, own = logging.getLogger(), logging.getLogger("ecsnet")
    before = own.level
    if level is not None:
        own.setLevel(level)
    try:
        with contextlib.nullcontext() if root.handlers else _shown_from(root):
            yield
    finally:
        own.setLevel(before)


@contextlib.contextmanager
def _shown_from(root: logging.Logger) -> Iterator[None]:
    handler = ConsoleHandler(logging.NOTSET)
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()


@contextlib.contextmanager
def last_resort() -> Iterator[None]:
    """Take the place of what Python does with warnings where nobody has set up logging.

    Nothing is configured: where the program sets up handlers, now or later, these are used.
    """
    before = logging.lastResort
    handler = ConsoleHandler(logging.WARNING)
    logging.lastResort = handler
    try:
        yield
    finally:
        logging.lastResort = before
        handler.close()


def open_standard_files() -> None:
    """Open the null device where stdin, stdout or stderr are closed.

    What is opened next would get their numbers. uvloop kills a process that closes one of these,
    and what a child process says would go into it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(number, True)
    os.close(number)


class ConsoleHandler(QueueHandler):
    """A handler whose lines a thread writes to stderr; it never waits for that.

    Args:
        level: The least level that is shown.
        stream: Where to write instead.

    Attributes:
        dropped: Lines that found the queue full.
    """

    def __init__(self, level: int, stream: TextIO | None = None) -> None:
        self._lines: Queue[logging.LogRecord | None] = Queue(LINES)
        super().__init__(self._lines)
        self.setLevel(level)
        self.dropped = 0
        self._told = 0
        self._closing = threading.Event()
        self._stream = sys.stderr if stream is None else stream
        # A daemon: the process does not wait for one that is stuck in a write.
        self._thread = threading.Thread(target=self._write_all, name="ecsnet log", daemon=True)
        self._thread.start()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a line for the writing thread; drop and count it when the queue is full."""
        try:
            self._lines.put_nowait(record)
        except Full:
            self.dropped += 1

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging calls it
        """Queue why a line cannot be made: `logging` would write that to stderr, and wait."""
        if logging.raiseExceptions:
            where = f"{record.pathname}:{record.lineno}"
            said = f"{where} logs what cannot be shown\n{traceback.format_exc().rstrip()}"
            self.enqueue(logging.makeLogRecord({"msg": said}))

    def close(self) -> None:
        """Write what waits, if somebody reads, and end. Closing twice is fine."""
        self._closing.set()
        with contextlib.suppress(Full):
            self._lines.put_nowait(None)  # wakes the thread, where it waits for something
        self._thread.join(_FLUSH_SECONDS)
        super().close()

    def _write_all(self) -> None:
        while True:
            try:
                record = self._lines.get(block=not self._closing.is_set())
            except Empty:
                return
            if record is not None:
                _write(self._stream, record.getMessage() + "\n")
            if self._lines.empty() and (dropped := self.dropped - self._told):
                self._told += dropped
                _write(self._stream, f"{dropped} lines of the log dropped: nobody read them\n")


def _write(stream: TextIO, text: str) -> None:
    """Write to a stream, past its buffer: at the end Python waits for whoever holds that."""
    try:
        number = stream.fileno()
    except (AttributeError, OSError, ValueError):  # no file; None, in a program without a console
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.write(text)
        return
    data = text.encode(stream.encoding or "utf-8", "backslashreplace")
    while data:
        try:
            data = data[os.write(number, data) :]
        except BlockingIOError:  # somebody made it non-blocking
            select.select((), (number,), ())
        except OSError:  # whoever read has gone
            return
