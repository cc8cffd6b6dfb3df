"""A network that is as bad as a test wants it: `ecsnet.Link` with bursts, stalls and cuts."""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import inf

from ecsnet.transport.conditioner import Direction, Link, LinkStats
from ecsnet.validation.arguments import check_number, check_whole

__all__ = ["FaultStats", "FaultyLink"]


@dataclass(slots=True)
class FaultStats(LinkStats):
    """The counts of a `FaultyLink` for the datagrams that it carried, both directions together."""

    burst: int = 0
    """Datagrams lost in bursts; they are among the dropped ones."""
    cut: int = 0
    """Datagrams lost while the link was cut; they are among the dropped ones."""
    stalled: int = 0
    """Datagrams that were put into a link that stood still."""


class FaultyLink(Link):
    """A `Link` that also loses datagrams in bursts, stands still, and can be cut.

    The same seed, and the same datagrams at the same times, fare the same.

    Args:
        lag: Seconds that a datagram takes.
        jitter: Seconds by which that varies, up and down; datagrams overtake each other.
        loss: Share of datagrams that get lost, 0 to 1.
        duplicate: Share that arrives twice.
        corrupt: Share that arrives with some bits flipped.
        burst: Chance of a datagram to begin a burst, in which all in its direction get lost.
        burst_seconds: How long a burst lasts.
        seed: Of the dice.

    Raises:
        UsageError: A share is not between 0 and 1, or a time is negative.
    """

    stats: FaultStats

    def __init__(
        self,
        lag: float = 0.0,
        jitter: float = 0.0,
        loss: float = 0.0,
        *,
        duplicate: float = 0.0,
        corrupt: float = 0.0,
        burst: float = 0.0,
        burst_seconds: float = 0.1,
        seed: int = 0,
    ) -> None:
        check_whole("FaultyLink(seed", seed, -inf, "give a whole number")
        super().__init__(lag, jitter, loss, duplicate=duplicate, corrupt=corrupt, seed=seed)
        check_number("FaultyLink(burst", burst, 0, 1, "give a share between 0 and 1")
        check_number("FaultyLink(burst_seconds", burst_seconds, 0, inf, "give seconds, 0 or more")
        self.burst = burst
        self.burst_seconds = burst_seconds
        self.stats = FaultStats()
        self._burst_dice = random.Random(seed ^ 0x5EED)
        self._burst_until: dict[Direction, float] = {}
        self._still_until = float("-inf")
        self._cut_until = float("-inf")

    def stall(self, seconds: float, now: float) -> None:
        """Let nothing arrive for a while; all of it comes at once afterwards."""
        self._still_until = max(self._still_until, now + seconds)

    def cut(self, seconds: float, now: float) -> None:
        """Lose everything that is put in during a while."""
        self._cut_until = max(self._cut_until, now + seconds)

    def heal(self) -> None:
        """Lose, corrupt and hold back nothing more. Lag, jitter and duplicates stay, so that
        datagrams go on overtaking each other.
        """
        self.loss = self.corrupt = self.burst = 0.0
        self._burst_until.clear()
        self._still_until = self._cut_until = float("-inf")

    def put(self, direction: Direction, data: bytes, now: float) -> None:
        """Let a datagram in at one end; ``now`` in seconds."""
        stats = self.stats
        if now < self._cut_until:
            stats.carried += 1
            stats.dropped += 1
            stats.cut += 1
            return
        if self.burst:
            if self._burst_dice.random() < self.burst:
                self._burst_until[direction] = now + self.burst_seconds
            if now < self._burst_until.get(direction, now):
                stats.carried += 1
                stats.dropped += 1
                stats.burst += 1
                return
        if now < self._still_until:
            stats.stalled += 1
        super().put(direction, data, now)

    def take(self, direction: Direction, now: float) -> list[bytes]:
        """Take the datagrams that have arrived at the other end by now."""
        return [] if now < self._still_until else super().take(direction, now)

    def next_at(self, direction: Direction | None = None) -> float | None:
        """Return when the next datagram arrives, see `Link.next_at`."""
        due = super().next_at(direction)
        return None if due is None else max(due, self._still_until)
