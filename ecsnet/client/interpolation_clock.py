"""The tick that others are drawn at: behind the newest one, by as much as the network needs.

What is drawn between two values needs both of them, so it is drawn late. How late is measured: in
the frame before an update came, no more than the update before that one was there to draw. The
clock runs with the server's ticks, at the speed of this end's time, and slews to where it would
have been just in time for the worst of the last seconds. While nothing changes the server says
little, and nobody waits for what it does not say.

After a silence nothing of that is known any more but how much packets vary. Of the heap that comes
then only the newest one says where the server is: the others have waited.
"""

from __future__ import annotations

from collections import deque

from ecsnet.client.tick_clock import SILENCE, UPDATES_MISSED
from ecsnet.replication.client.samples import EXTRAPOLATED_TICKS

__all__ = ["InterpolationClock"]

WINDOW = 3.0
"""Seconds for which the worst packet counts."""

SLEW = 0.05
"""The share by which the clock runs faster or slower than the server's, to correct itself."""

JUMP = 0.25
"""Seconds from which on it does not slew, but jumps."""

MARGIN = 0.25
"""Ticks for which it waits beside: now and then a packet is a little later than all before."""

MOST_DELAY = 0.5
"""Seconds by which packets vary, at most: with more, there was a silence that did not show."""


class InterpolationClock:
    """The clock that says which of the server's ticks others are drawn at.

    Args:
        tick_rate: The server's ticks per second.
        update_rate: Its updates per second; one each tick when left out.

    Attributes:
        shown: The tick that is drawn, with its fraction; None before anything was heard. It never
            goes back.
        rate: Ticks of the server in a second.
        jumps: How often it left the slew and jumped.
    """

    def __init__(self, tick_rate: float, update_rate: float | None = None) -> None:
        self.shown: float | None = None
        self.rate = tick_rate
        self.jumps = 0
        interval = 1.0 if update_rate is None else max(1.0, tick_rate / update_rate)
        self._interval = interval  # ticks from one update to the next
        self._silence = max(SILENCE, UPDATES_MISSED / (update_rate or tick_rate))
        self._most = MOST_DELAY * tick_rate + interval
        self._newest = -1  # tick of an update
        self._heard: list[int] = []  # the same for each of the datagrams of a tick
        self._reached = -1  # tick of anything
        self._heard_at = float("-inf")
        self._restarted = False  # since the last frame, after a silence
        self._restarted_at = 0.0
        self._now = 0.0  # of the last frame
        self._origin = 0.0  # so that the offsets below keep their precision
        self._position = 0.0  # now, in ticks and fractions
        # Offsets are ticks less the ticks that went by here. `_needed` has those that the clock
        # may not exceed, `_arrived` those of packets as they came: each with its time, for the
        # window, and without those that a later one outdoes.
        self._needed: deque[tuple[float, float]] = deque()
        self._arrived: deque[tuple[float, float]] = deque()
        self._spread = interval + 1.0  # ticks between the two, where nothing is known yet

    @property
    def delay(self) -> float:
        """Number of ticks that others are drawn later than the fastest packet would allow; 0 before
        anything was heard.
        """
        if not self._arrived:
            return 0.0
        return self._arrived[0][1] - self._offset(self._position, self._now)

    def heard(self, tick: int, confirmed: int, now: float, index: int = 0, count: int = 1) -> None:
        """Take note of the tick of an update; old ones mean nothing.

        Args:
            tick: The server's tick.
            confirmed: The tick up to which nothing is missing here, as the update says.
            now: Seconds, on the clock of `advance`.
            index: Which of the datagrams of this tick it is.
            count: How many there are.
        """
        if tick > self._newest:
            del self._heard[count:]
            self._heard += [self._newest] * (count - len(self._heard))
        if index >= len(self._heard) or tick <= self._heard[index]:
            return
        if self._newest < 0:
            self._origin = self._now = now
        arrived = self._offset(tick, now)
        # What moves is mostly in the same one of some datagrams: the gap is that between these.
        before = max(self._heard[index], min(confirmed, tick - self._interval))
        needed = self._offset(before, self._now) - MARGIN
        while self._needed and self._needed[-1][1] >= needed:
            self._needed.pop()
        self._needed.append((now, needed))
        while self._arrived and self._arrived[-1][1] <= arrived:
            self._arrived.pop()
        self._arrived.append((now, arrived))
        spread = self._arrived[0][1] - self._needed[0][1]
        if now - self._heard_at > self._silence or self._restarted or spread > self._most:
            self._restart(tick, arrived, now)
        elif now - self._restarted_at >= WINDOW:
            self._spread = spread
        self._heard[index] = tick
        self._newest = max(self._newest, tick)
        self._heard_at = now
        self.reached(tick)

    def reached(self, tick: int) -> None:
        """Take note that something has come that is to be drawn at a tick."""
        self._reached = max(self._reached, tick)

    def advance(self, now: float) -> float | None:
        """Move the clock; to be called once a frame, after what arrived was handed in.

        Returns:
            The tick that is drawn, see `shown`.
        """
        if self._newest < 0:
            return None
        elapsed = max(0.0, now - self._now) * self.rate
        self._now = now
        for window in (self._needed, self._arrived):
            while len(window) > 1 and window[0][0] < now - WINDOW:
                window.popleft()
        position = self._needed[0][1] + (now - self._origin) * self.rate
        error = position - self._position - elapsed
        if self._restarted or abs(error) >= JUMP * self.rate:
            self._restarted = False
            self.jumps += 1
            self._position = position
        else:
            slew = SLEW * elapsed
            self._position += elapsed + max(-slew, min(slew, error))
        drawn = min(self._position, self._reached + EXTRAPOLATED_TICKS)
        self.shown = drawn if self.shown is None else max(self.shown, drawn)
        return self.shown

    def _restart(self, tick: int, arrived: float, now: float) -> None:
        """Forget the window: from this packet on, packets vary as much as they did before."""
        self._restarted = True
        self._restarted_at = now
        self._heard = [tick] * len(self._heard)
        self._arrived.clear()
        self._needed.clear()
        self._arrived.append((now, arrived))
        self._needed.append((now, arrived - self._spread))

    def _offset(self, tick: float, now: float) -> float:
        return tick - (now - self._origin) * self.rate
