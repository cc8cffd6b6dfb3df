"""Calls of functions of the game: all of them are made, whatever one of them does."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext

from ecsnet.world import World

__all__ = ["call_each"]

logger = logging.getLogger("ecsnet.client")


def call_each(calls: deque[Callable[[], object]], world: World, what: str) -> None:
    """Call functions in order, those too that are added meanwhile.

    Args:
        calls: The functions; empty afterwards.
        world: The world that is current while they run, as long as it is there.
        what: What they are called in the log: ``"attached functions"``.

    Raises:
        Exception: The first that one of them raised, once all were called; the last of further ones
            is logged.
    """
    raised = 0
    first: Exception | None = None
    last: Exception | None = None
    while calls:
        call = calls.popleft()
        try:
            with world if world.there else nullcontext():
                call()
        except Exception as error:  # noqa: BLE001 - the game's, and raised below
            raised += 1
            first, last = first or error, error
    if raised > 1:
        logger.warning("%d %s raised, the last one:", raised, what, exc_info=last)
    if first is not None:
        raise first
