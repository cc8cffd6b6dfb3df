"""Calls whose answer differs from one run to the next: clocks, and chance without a seed.

Python's profiling hook tells of each call, of those into C as well, so nothing of a game or of the
standard library is replaced for it.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import date
from types import BuiltinFunctionType, FrameType, ModuleType
from typing import Final

__all__ = ["UnpredictableCalls"]

_SHARED_RANDOM: Final = getattr(random.random, "__self__", None)
"""The generator behind the functions of the module."""

_TIMES: Final = frozenset({"time", "time_ns", "monotonic", "monotonic_ns", "localtime", "gmtime"})
_MORE_TIMES: Final = frozenset({"perf_counter", "perf_counter_ns", "process_time", "thread_time"})
_DATES: Final = frozenset({"now", "today", "utcnow"})


class UnpredictableCalls:
    """A watch over what a function calls."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], None] = {}

    def watch(self, process: Callable[[float], object], dt: float) -> tuple[tuple[str, str], ...]:
        """Call a system, and return what it called, with where: ``("time.time", "game.py:12")``.

        Where a profiler runs already nothing is found.
        """
        if sys.getprofile() is not None:
            process(dt)
            return ()
        self._found = {}
        collects = gc.isenabled()
        gc.disable()  # its callbacks and finalizers are not the system's, and may ask for the time
        sys.setprofile(self._look)
        try:
            process(dt)
        finally:
            sys.setprofile(None)
            if collects:
                gc.enable()
        return tuple(self._found)

    def _look(self, frame: FrameType, event: str, function: object) -> None:
        if event == "c_call" and isinstance(function, BuiltinFunctionType):
            self._note(_builtin(function), frame)
        elif (
            event == "call"
            and frame.f_globals is vars(random)
            and frame.f_locals.get("self") is _SHARED_RANDOM
        ):
            self._note(f"random.{frame.f_code.co_name}", frame.f_back)

    def _note(self, call: str | None, caller: FrameType | None) -> None:
        if call is None or caller is None or caller.f_globals is vars(random):
            return  # the function of the module that the game called is noted
        file = os.path.basename(caller.f_code.co_filename)
        self._found[call, f"{file}:{caller.f_lineno}"] = None


def _builtin(function: BuiltinFunctionType) -> str | None:
    """Name a function that is written in C; None where it may be called."""
    owner, name = function.__self__, function.__name__
    if owner is _SHARED_RANDOM:
        return f"random.{name}"
    if isinstance(owner, ModuleType):
        if owner is time and name in _TIMES | _MORE_TIMES:
            return f"time.{name}"
        return "os.urandom" if name == "urandom" else None
    if isinstance(owner, type) and issubclass(owner, date) and name in _DATES:
        return f"{owner.__name__}.{name}"
    return None
