"""The limits for connections from one source: no address shuts the others out.

What is counted here is counted for *sources*: addresses that have proved that datagrams reach
them, without their ports. Nothing is kept for a source that is turned away, and of those that are
gone only as many as `REMEMBERED`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from enum import StrEnum
from typing import Final, Protocol

from ecsnet.session.token_bucket import TokenBucket

__all__ = ["HALF_OPEN", "JOINS_A_SECOND", "REMEMBERED", "Admission", "Denial"]

JOINS_A_SECOND: Final = 4.0
"""Connections that one source may open in a second, after as many at once as there are places."""

HALF_OPEN: Final = 16
"""Connections of one source that are accepted and have not said anything yet..."""

HALF_OPEN_SHARE: Final = 4
"""... or this part of its places, where that is more: a school joins at once after a restart."""

REMEMBERED: Final = 4096
"""Sources without a connection that are remembered, for a while."""

_FIRST_WAIT: Final = 10.0  # seconds, after the first kick; it doubles with each
_LONGEST_WAIT: Final = 640.0
_KICK_MEMORY: Final = 3600.0  # seconds after which kicks are forgotten
_SWEEP_SECONDS: Final = 5.0


class Denial(StrEnum):
    """The reason for denying a source one more connection."""

    FULL = "full"
    """All places are taken."""
    ADDRESS = "address"
    """The source has as many places as one may have."""
    JOINS = "joins"
    """It opened too many connections in a short time."""
    HALF_OPEN = "half-open"
    """Too many of its connections have not said anything yet: not now, but in a moment."""
    ABUSE = "abuse"
    """It was thrown out for abuse a short time ago."""


class Counted(Protocol):
    """The part of a connection that is counted."""

    @property
    def confirmed(self) -> bool:
        """True once a packet has come since the handshake."""
        ...

    @property
    def closed(self) -> bool:
        """True if the connection has ended."""
        ...


class _Source:
    """The counts of one source."""

    __slots__ = ("barred_until", "joins", "kicks", "places", "silent")

    def __init__(self, burst: float) -> None:
        self.joins = TokenBucket(JOINS_A_SECOND, burst)
        self.places = 0
        self.silent: list[Counted] = []
        self.kicks = 0
        self.barred_until = float("-inf")

    def can_be_forgotten(self, now: float) -> bool:
        if now < self.barred_until + _KICK_MEMORY:
            return False
        return self.joins.level(now) >= self.joins.burst


class Admission:
    """The counts of all sources.

    Args:
        places: Connections at one time.
        per_source: How many of them one source may have; all but an eighth when left out.
        source: What counts as one, from a connection's address.

    Attributes:
        denied: How often a connection was denied, by cause.
    """

    def __init__(
        self,
        places: int,
        per_source: int | None,
        source: Callable[[Hashable], Hashable],
    ) -> None:
        self.places = places
        self.per_source = places - places // 8 if per_source is None else per_source
        self.denied: Counter[str] = Counter()
        self._half_open = max(HALF_OPEN, self.per_source // HALF_OPEN_SHARE)
        self._source = source
        self._here: dict[Hashable, _Source] = {}  # those with connections
        self._gone: dict[Hashable, _Source] = {}  # those without, the longest gone first
        self._taken = 0
        self._sweep_at = float("-inf")

    def __len__(self) -> int:
        """Return the number of sources that are remembered."""
        return len(self._here) + len(self._gone)

    def deny(self, address: Hashable, now: float, *, again: bool) -> Denial | None:
        """Look whether an address may have a connection now; count it when it may not.

        Args:
            address: Where it is. It has proved that it is there.
            now: Seconds on a clock that never runs backwards.
            again: Whether it gives up another connection for this one.

        Returns:
            Why not; None when it may.
        """
        denial = self._denial(address, now, again)
        if denial is not None:
            self.denied[denial.value] += 1
        return denial

    def opened(self, address: Hashable, connection: Counted, now: float) -> None:
        """Note a connection that there is now."""
        key = self._source(address)
        known = self._here.get(key)
        if known is None:
            known = self._gone.pop(key) if key in self._gone else _Source(self.places)
            self._here[key] = known
        known.joins.take(1, now)
        known.places += 1
        known.silent.append(connection)
        self._taken += 1

    def closed(self, address: Hashable, now: float, *, abusive: bool) -> None:
        """Note that a connection has ended.

        Args:
            address: Where it was.
            now: Seconds.
            abusive: Whether it was thrown out for abuse: the source has to wait, and longer each
                time.
        """
        key = self._source(address)
        known = self._here.get(key)
        if known is None:  # it did not come in by here
            return
        known.places -= 1
        self._taken -= 1
        if abusive:
            if now >= known.barred_until + _KICK_MEMORY:
                known.kicks = 0
            known.kicks += 1
            wait = min(_FIRST_WAIT * 2.0 ** min(known.kicks - 1, 32), _LONGEST_WAIT)
            known.barred_until = now + wait
        if known.places:
            return
        known.silent.clear()
        del self._here[key]
        self._gone[key] = known
        if len(self._gone) > REMEMBERED:
            del self._gone[next(iter(self._gone))]

    def charge(self, address: Hashable, seconds: float, now: float) -> None:
        """Let a source pay for a connection that cost more than it was good for.

        Args:
            address: Where it was.
            seconds: How long the source will have to wait longer for its next ones, once it has
                used up what it may open at once.
            now: Seconds.
        """
        key = self._source(address)
        known = self._here.get(key) or self._gone.get(key)
        if known is not None:
            known.joins.spend(seconds * JOINS_A_SECOND, now)

    def sweep(self, now: float) -> None:
        """Forget the sources of which nothing need be kept in mind. Cheap, to be called often."""
        if now < self._sweep_at:
            return
        self._sweep_at = now + _SWEEP_SECONDS
        gone = self._gone
        for key in [key for key, source in gone.items() if source.can_be_forgotten(now)]:
            del gone[key]

    def _denial(self, address: Hashable, now: float, again: bool) -> Denial | None:
        key = self._source(address)
        known = self._here.get(key) or self._gone.get(key)
        if known is not None and now < known.barred_until:
            return Denial.ABUSE
        if self._taken >= self.places and not again:
            return Denial.FULL
        if known is None:
            return None
        known.silent = [each for each in known.silent if not (each.closed or each.confirmed)]
        if len(known.silent) >= self._half_open:
            return Denial.HALF_OPEN
        if known.places >= self.per_source and not again:
            return Denial.ADDRESS
        return Denial.JOINS if known.joins.level(now) < 1 else None
