"""Ticks that do not drift: a call at every multiple of an interval, on an event loop.

On Linux a timerfd wakes the loop, within a tenth of a millisecond and at no cost.
Elsewhere a timer wakes it a little early and the rest is polled away: uvloop's timers
are good to a millisecond only, and ``call_at`` would miss by three.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
from collections.abc import Callable
from time import perf_counter

__all__ = ["Ticker"]

_CLOCK_MONOTONIC = 1
_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
_EARLY = 0.0012


def _timerfd(interval: float) -> int | None:
    """Return a timerfd that expires every ``interval`` seconds; None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    nanoseconds = max(1, round(interval * 1e9))
    spec = (ctypes.c_long * 4)(*divmod(nanoseconds, 10**9), *divmod(nanoseconds, 10**9))
    try:
        libc = ctypes.CDLL(None)
        fd = int(libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC))
    except (OSError, AttributeError):
        return None
    if fd < 0:
        return None
    if libc.timerfd_settime(fd, 0, spec, None) != 0:
        os.close(fd)
        return None
    return fd


class Ticker:
    """A loop that calls a function at a steady rate until it is stopped.

    A tick that comes late does not move the ones after it. Ticks that could not be kept,
    because the function or something else took too long, are skipped and reported.

    Args:
        rate: Calls a second.
        on_tick: Called with how many ticks were skipped just before this one.
        timerfd: False to do without, for comparison and for tests.

    Attributes:
        ticks: Calls made.
        missed: Ticks skipped.
    """

    def __init__(
        self, rate: float, on_tick: Callable[[int], None], *, timerfd: bool = True
    ) -> None:
        self.ticks = 0
        self.missed = 0
        self._interval = 1.0 / rate
        self._on_tick = on_tick
        self._use_timerfd = timerfd
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd: int | None = None
        self._next = 0.0
        self._handle: asyncio.Handle | None = None

    def start(self) -> None:
        """Begin, on the running event loop; the first tick comes after one interval."""
        self._loop = asyncio.get_running_loop()
        if self._use_timerfd:
            self._fd = _timerfd(self._interval)
        if self._fd is not None:
            self._loop.add_reader(self._fd, self._expired)
        else:
            self._next = perf_counter() + self._interval
            self._wait()

    def stop(self) -> None:
        """Make no more calls. May be called from within one, and twice."""
        if self._fd is not None:
            assert self._loop is not None  # since start()
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
        if self._handle is not None:
            self._handle.cancel()
        self._fd = self._handle = self._loop = None

    def _expired(self) -> None:
        if self._fd is None:
            return
        try:
            (expirations,) = struct.unpack("=Q", os.read(self._fd, 8))
        except BlockingIOError:
            return
        self._call(expirations - 1)

    def _wait(self) -> None:
        if self._loop is None:
            return
        left = self._next - perf_counter()
        if left > 2 * _EARLY:
            self._handle = self._loop.call_later(left - _EARLY, self._wait)
        elif left > 0:
            self._handle = self._loop.call_soon(self._wait)
        else:
            missed = int(-left / self._interval)
            self._next += (missed + 1) * self._interval
            try:
                self._call(missed)
            finally:
                if self._loop is not None:
                    self._handle = self._loop.call_soon(self._wait)

    def _call(self, missed: int) -> None:
        self.ticks += 1
        self.missed += missed
        self._on_tick(missed)
