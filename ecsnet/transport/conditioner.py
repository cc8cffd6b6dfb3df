"""A bad network to try a game on: delays, loses, doubles, reorders and corrupts datagrams."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import Literal

from ecsnet.errors import UsageError
from ecsnet.validation.arguments import check_seed, is_number
from ecsnet.validation.wording import brief

__all__ = ["Link", "LinkStats"]

LONGEST = 10.0
"""Seconds; above that somebody meant milliseconds, and a client would give its server up."""

Direction = Literal["in", "out"]


@dataclass(slots=True)
class LinkStats:
    """The counts of a link for the datagrams that it carried, both directions together."""

    carried: int = 0
    dropped: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0


@dataclass(slots=True)
class _Lane:
    """One direction: datagrams by the time at which they arrive."""

    waiting: list[tuple[float, int, bytes]] = field(default_factory=list)
    carried: int = 0
    latest: float = float("-inf")


class Link:
    """The path between a client and its server.

    Everything happens to each direction by itself: a round trip is twice ``lag`` longer. The
    same seed and the same datagrams at the same times fare the same.

    Args:
        lag: Seconds that a datagram takes.
        jitter: Seconds by which that varies, up and down; datagrams overtake each other.
        loss: Share of datagrams that get lost, 0 to 1.
        duplicate: Share that arrives twice.
        corrupt: Share that arrives with some bits flipped.
        seed: Of the dice; random when left out.

    Attributes:
        stats: What it did so far.

    Raises:
        UsageError: A share is not between 0 and 1, a time is not between 0 and 10 seconds, or
            the seed is no number.
    """

    def __init__(
        self,
        lag: float = 0.0,
        jitter: float = 0.0,
        loss: float = 0.0,
        *,
        duplicate: float = 0.0,
        corrupt: float = 0.0,
        seed: int | None = None,
    ) -> None:
        for name, share in {"loss": loss, "duplicate": duplicate, "corrupt": corrupt}.items():
            if not _between(0, share, 1):
                raise UsageError(f"Link({name}={brief(share)}): give a share between 0 and 1")
        for name, seconds in {"lag": lag, "jitter": jitter}.items():
            if not _between(0, seconds, LONGEST):
                raise UsageError(f"Link({name}={brief(seconds)}): {_advice(seconds)}")
        check_seed("Link(seed", seed)
        self.lag = lag
        self.jitter = jitter
        self.loss = loss
        self.duplicate = duplicate
        self.corrupt = corrupt
        self.stats = LinkStats()
        self._dice = random.Random(seed)
        self._lanes: dict[Direction, _Lane] = {"in": _Lane(), "out": _Lane()}

    def put(self, direction: Direction, data: bytes, now: float) -> None:
        """Let a datagram in at one end; ``now`` in seconds."""
        stats, dice = self.stats, self._dice
        stats.carried += 1
        if dice.random() < self.loss:
            stats.dropped += 1
            return
        copies = 1
        if dice.random() < self.duplicate:
            stats.duplicated += 1
            copies = 2
        for _ in range(copies):
            copy = data
            if dice.random() < self.corrupt and data:
                stats.corrupted += 1
                copy = self._flipped(data)
            lane = self._lanes[direction]
            due = now + max(0.0, self.lag + dice.uniform(-self.jitter, self.jitter))
            if due < lane.latest:
                stats.reordered += 1
            lane.latest = max(lane.latest, due)
            lane.carried += 1
            heapq.heappush(lane.waiting, (due, lane.carried, copy))

    def take(self, direction: Direction, now: float) -> list[bytes]:
        """Take the datagrams that have arrived at the other end by now."""
        waiting = self._lanes[direction].waiting
        arrived = []
        while waiting and waiting[0][0] <= now:
            arrived.append(heapq.heappop(waiting)[2])
        return arrived

    def next_at(self, direction: Direction | None = None) -> float | None:
        """Return when the next datagram arrives at the other end; None when none is on its way.

        Without a direction, that is at either end.
        """
        lanes = self._lanes.values() if direction is None else (self._lanes[direction],)
        return min((lane.waiting[0][0] for lane in lanes if lane.waiting), default=None)

    def _flipped(self, data: bytes) -> bytes:
        flipped = bytearray(data)
        for _ in range(self._dice.randint(1, 4)):
            flipped[self._dice.randrange(len(flipped))] ^= 1 << self._dice.randrange(8)
        return bytes(flipped)

    def __repr__(self) -> str:
        return f"Link(lag={self.lag:g}, jitter={self.jitter:g}, loss={self.loss:g})"


def _between(least: float, value: object, most: float) -> bool:
    return is_number(value) and least <= value <= most


def _advice(seconds: float) -> str:
    advice = f"give seconds, from 0 to {LONGEST:g}"
    if _between(LONGEST, seconds, LONGEST * 1000):
        advice += f"; did you mean {seconds / 1000:g}?"
    return advice
