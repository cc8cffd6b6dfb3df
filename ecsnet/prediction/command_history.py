"""The player's commands by tick, as the server will take them."""

from __future__ import annotations

from collections.abc import Sequence

from ecsnet.commands.inbox import REPEAT_SECONDS, ReceivedCommand

__all__ = ["CommandHistory"]

_NONE: tuple[ReceivedCommand, ...] = ()


class CommandHistory:
    """The commands of the last ticks.

    The server repeats what was held last in ticks of which it is told nothing, for a while. Such
    ticks are those that a client leaves out after a stall.

    Args:
        tick_rate: Ticks in a second.
        ticks: The number of ticks that are kept.
    """

    def __init__(self, tick_rate: float, ticks: int) -> None:
        self._ticks = ticks
        self._repeat = max(1, round(REPEAT_SECONDS * tick_rate))
        self._given: dict[int, tuple[ReceivedCommand, ...]] = {}
        self._held = _NONE
        self._held_at = -self._repeat

    def record(
        self, tick: int, held: tuple[ReceivedCommand, ...], actions: Sequence[ReceivedCommand]
    ) -> None:
        """Note the commands of a tick: ascending, but ticks may be left out."""
        # Who looks up an older tick from now on must not find what is held in this one.
        for left_out in range(max(self._held_at + 1, tick - self._ticks), tick):
            self._given[left_out] = self.of(left_out)
        self._given[tick] = (*held, *actions)
        self._held, self._held_at = held, tick
        for old in [old for old in self._given if old <= tick - self._ticks]:
            del self._given[old]

    def of(self, tick: int) -> tuple[ReceivedCommand, ...]:
        """Return the commands of a tick, held ones first, then actions in their order."""
        given = self._given.get(tick)
        if given is not None:
            return given
        return self._held if 0 < tick - self._held_at <= self._repeat else _NONE
