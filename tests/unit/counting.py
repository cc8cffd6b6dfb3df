"""What something costs, whatever else the machine does."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType


def instructions(run: Callable[[], object], *names: str) -> int:
    """How many instructions of Python the functions of these names execute; without names, all."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> object:
        nonlocal count
        if names and event == "call" and frame.f_code.co_name not in names:
            return None
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before, collecting = sys.gettrace(), gc.isenabled()
    gc.disable()  # what other tests left would be finalized in here, and counted
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
        if collecting:
            gc.enable()
    return count
