"""The signals that ask a process to end: Ctrl-C, SIGTERM, and SIGHUP when its terminal goes.

Imported before all else of ecsnet, so it imports little itself.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType

__all__ = ["Importing", "end_of", "ending"]

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


@contextlib.contextmanager
def ending(take: Callable[[int], object]) -> Iterator[None]:
    """Call ``take`` with the number of each signal that asks this process to end.

    That is in the main thread, and only for signals that nobody has taken or ignores: the
    program's own handlers, those of a window's library, and `nohup` stay as they are. What was
    there before is put back afterwards.

    Args:
        take: Called in the main thread, between any two steps of it.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        take(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        for number in filter(_is_free, numbers):
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)


def end_of(number: int) -> BaseException:
    """Return the exception of a signal: SIGINT raises its usual one, the others end the program."""
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


def _is_free(number: int) -> bool:
    """Return whether a signal has its default effect."""
    if signal.getsignal(number) not in (signal.SIG_DFL, signal.default_int_handler):
        return False
    return number == signal.SIGINT or not _taken_in_c(number)


def _taken_in_c(number: int) -> bool:
    """Return whether a library has a handler that Python does not see, as SDL has for SIGTERM."""
    if sys.platform == "win32":
        return False
    try:
        import ctypes

        action = (ctypes.c_void_p * 64)()  # more than any struct sigaction; the handler is first
        return ctypes.CDLL(None).sigaction(number, None, action) == 0 and bool(action[0])
    except (ImportError, OSError, AttributeError):
        return False


class Importing:
    """A stretch of imports, for ``with``; from here on Ctrl-C ends the program quietly.

    An import that is cut in half may leave a module of C broken, and crash. So a Ctrl-C that comes
    meanwhile interrupts at the end.

    One that the program does not catch unwinds it and ends it as SIGINT does, but without a
    traceback. It has one as ever where the program has an ``excepthook`` of its own, where Python
    is interactive, and under ``python -X dev``.
    """

    def __init__(self) -> None:
        self._holds = False
        self._interrupted = False
        if sys.excepthook is sys.__excepthook__ and not sys.flags.dev_mode:
            sys.excepthook = _show

    def __enter__(self) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._holds = True

    def __exit__(self, *_error: object) -> None:
        if self._holds:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._interrupted:
            raise KeyboardInterrupt

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupted = True


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    if interactive or not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
