"""Log lines that peers can cause: so many of each kind, and a count for the others."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from typing import Final

from ecsnet.session.token_bucket import TokenBucket

__all__ = ["RationedLog"]

BURST: Final = 50.0
"""Lines of one kind that may come at once."""

LINES_A_SECOND: Final = 5.0
"""Lines of one kind that may come for ever."""


class RationedLog:
    """A log of what peers do. One that comes and goes a thousand times must not fill a disk.

    The text of a line, with its placeholders, says of which kind it is.

    Args:
        logger: Where the lines go.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._buckets: dict[tuple[int, str], TokenBucket] = {}
        self._left_out: Counter[tuple[int, str]] = Counter()

    def debug(self, now: float, text: str, *arguments: object) -> None:
        """Log a line for somebody who looks for the reason of something; as `info`."""
        self._say(logging.DEBUG, now, text, arguments)

    def info(self, now: float, text: str, *arguments: object) -> None:
        """Log a line that tells what happens, or count it.

        Args:
            now: Seconds on a clock that never runs backwards.
            text: As for ``Logger.info``.
            *arguments: As for ``Logger.info``.
        """
        self._say(logging.INFO, now, text, arguments)

    def warning(self, now: float, text: str, *arguments: object) -> None:
        """Log a line of something that is wrong, or count it; as `info`."""
        self._say(logging.WARNING, now, text, arguments)

    def catch_up(self, now: float) -> None:
        """Tell how many lines were left out, where there may be lines of that kind again."""
        for kind in list(self._left_out):
            if self._buckets[kind].take(1, now):
                self._tell(kind)

    def _say(self, level: int, now: float, text: str, arguments: tuple[object, ...]) -> None:
        if not self._logger.isEnabledFor(level):
            return
        kind = level, text
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = TokenBucket(LINES_A_SECOND, BURST)
        if not bucket.take(1, now):
            self._left_out[kind] += 1
            return
        if kind in self._left_out:
            self._tell(kind)
        self._log(level, text, *arguments)

    def _tell(self, kind: tuple[int, str]) -> None:
        level, text = kind
        self._log(level, "left out %d lines more like: %s", self._left_out.pop(kind), text)

    def _log(self, level: int, text: str, *arguments: object) -> None:
        """Log a line; a game's own handler that raises over it ends nobody's game."""
        try:
            self._logger.log(level, text, *arguments)
        except Exception:  # noqa: BLE001 - whatever it is
            if logging.lastResort is not None:
                told = {"msg": "a handler of the log raised", "exc_info": sys.exc_info()}
                logging.lastResort.handle(logging.makeLogRecord(told))
