"""The ``ecsnet`` command as a process: ``ecsnet`` or ``python -m ecsnet``."""

from __future__ import annotations

import io
import os
import signal
import sys

from ecsnet.runtime.signals import Importing

__all__ = ["run"]

_INTERRUPTED = 128 + signal.SIGINT


def run() -> int:
    """Run the command with what was typed.

    Returns:
        The exit status of `ecsnet.cli.main`; 130 after Ctrl-C, from the first import on, and 1 when
        what reads the output has gone, as in ``ecsnet ... | head``.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may have any characters
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with Importing():
            from ecsnet.cli.main import main
        try:
            return main()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # not later, when nobody can catch it
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in filter(None, (sys.stdout, sys.stderr)):  # each is flushed once more
            os.dup2(nowhere, stream.fileno())
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to unwind


if __name__ == "__main__":
    sys.exit(run())
