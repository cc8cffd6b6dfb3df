"""The client's tick, steered so that commands arrive just before the server needs them.

The server measures by how much each client's ticks come early and reports the least
of it four times a second. From each report the client works out how early its commands would have
been with an unsteered clock; that is the network's doing alone and does not change while the clock
is being corrected, so there is no loop that could swing. The clock then slews, by a few per cent,
to where the worst of the last reports would have been just in time.

After a stall, whoever stood still, both ends drop time. The client begins no ticks while nothing
is heard from the server, and starts again from the first tick that it hears. When both ends stood
still there is no silence: the same poll that finds much time gone by hears the server, which has
dropped that time. So the newest tick is believed, and not the time that went by, where the two
differ by more than any network explains.
"""

from __future__ import annotations

from collections import deque
from math import floor

__all__ = ["TickClock"]

SILENCE = 0.25
"""Seconds without a word from the server after which no more ticks begin. The player's keys are
dead for as long after a stall of the server: what was stamped in the silence is done first."""

UPDATES_MISSED = 3
"""So many updates in a row have to be missing, too: with a low update rate, silence is usual."""

BURST_SECONDS = 0.125
"""The most time whose ticks begin in one go; beyond it only the newest begins."""

SLEW = 0.05
"""The share by which the clock runs faster or slower than the server's, to correct itself..."""

SLEW_LATE = 0.1
"""... and how much faster while commands arrive late."""

JUMP_AHEAD = 0.15
"""Seconds of lateness from which the clock jumps: ticks are left out."""

JUMP_BACK = 0.25
"""Seconds of earliness from which it does: no tick begins until time has caught up. It does so too
when the server turns out to have dropped as much time."""

REPORTS = 8
"""The number of reports that are remembered: about two seconds."""

LOSSY = 0.02
"""From this share of lost packets on, no report is taken for a chance hit."""

_NOTHING = range(0)


class TickClock:
    """The clock that says which client ticks begin, in terms of the server's ticks.

    A client tick carries the number of the server tick that its commands are for.

    Args:
        tick_rate: The server's ticks per second.
        update_rate: Its updates per second; one each tick when left out.
        interval: Seconds for which ticks are saved up before they are sent.

    Attributes:
        tick: The tick that began last; -1 before the first.
        paused: Whether no ticks begin for now, because the server is silent or was never heard.
        rate: Ticks of the server in a second.
        speed: How fast it runs now; 1 is the server's speed.
        jumps: How often it left the slew and jumped.
        early: Ticks by which commands are to arrive earlier than just in time.
    """

    def __init__(
        self, tick_rate: float, update_rate: float | None = None, interval: float = 0.0
    ) -> None:
        self.tick = -1
        self.paused = True
        self.speed = 1.0
        self.jumps = 0
        self.early = 0.0
        self.rate = tick_rate
        self._interval = interval
        self._silence = max(SILENCE, UPDATES_MISSED / (update_rate or tick_rate))
        self._now = float("inf")
        self._origin = 0.0  # so that the offset below does not eat the float's precision
        self._position = 0.0  # now, in ticks and fractions
        self._newest = -1  # server tick heard of
        self._fresh = False  # it was heard since the last advance
        self._heard_at = float("-inf")
        self._lead = 0.0  # position less the newest server tick, as it mostly is
        self._started = False
        self._frame = 0.0  # seconds between calls of advance
        self._wanted: float | None = None  # offset to slew to
        self._reports: deque[float] = deque(maxlen=REPORTS)
        self._offsets: deque[tuple[int, float]] = deque(maxlen=256)  # of ticks that began
        self._settled = 0  # reports on ticks before this one come from before a jump
        self._reported = -1  # server tick of the newest report

    @property
    def position(self) -> float:
        """The client's tick with its fraction; below `tick` while it is `waiting`."""
        return self._position

    @property
    def lead(self) -> float:
        """Number of ticks that the client is ahead of the newest server tick that it heard of."""
        return self._lead

    @property
    def waiting(self) -> bool:
        """True if it jumped back, so that no tick begins until time has caught up."""
        return self._position < self.tick

    def start(self, tick: int, now: float, rtt: float) -> None:
        """Start the clock, or start it again.

        Args:
            tick: The server's tick when it sent what has just arrived.
            now: Seconds, on a clock that never runs backwards.
            rtt: Round trip in seconds, as far as known.
        """
        self._started = True
        self._origin = self._now = self._heard_at = now
        self._newest = tick
        self._fresh = False
        # What is sent now arrives a round trip after what has just arrived was sent. How much it
        # varies is not known yet: the first reports will say, and may move the clock at once.
        self._lead = (rtt + self._frame + self._interval) * self.rate + 1.5 + self.early
        self.paused = False
        self._forget(tick + self._lead)
        self.jumps = 0

    def heard(self, tick: int, now: float) -> None:
        """Take note of the tick that the server put on a datagram; old ones mean nothing."""
        if tick > self._newest:
            self._newest = tick
            self._fresh = True
            self._heard_at = now

    def report(self, slack: float, tick: int, loss: float = 0.0) -> None:
        """Steer by a report of the server's.

        Each datagram of a tick carries the same one: it is taken once, and an older one never.

        Args:
            slack: Least time by which this client's ticks came early, in ticks; negative: late.
            tick: The server's tick when it reported.
            loss: Share of packets that get lost, 0 to 1.
        """
        if tick <= self._reported:
            return
        self._reported = tick
        # What arrived during the report's quarter of a second was for about these ticks.
        window = self.rate / 4
        middle = tick + slack - window / 2
        if not self._offsets or middle - window / 2 < self._settled:
            return
        offset = self._offsets[0][1]
        for began, then in reversed(self._offsets):
            if began <= middle:
                offset = then
                break
        reports = self._reports
        reports.append(slack - offset)
        recent = min(list(reports)[-3:])
        if len(reports) > 3 and recent - min(reports) > JUMP_BACK / 2 * self.rate:
            # The way became shorter, or the server dropped time: what was before is over.
            while len(reports) > 3:
                reports.popleft()
        ordered = sorted(reports)
        chance_hit = len(ordered) > 3 and loss < LOSSY
        margin = self.rate * 0.001 + min(self.rate * self._frame / 2, 1.0) + self.early
        self._wanted = margin - ordered[1 if chance_hit else 0]
        error = self._wanted - self._offset()
        settled = len(reports) > 3
        back, ahead = (JUMP_BACK * self.rate, JUMP_AHEAD * self.rate) if settled else (2.0, 1.0)
        if not -back < error < ahead:
            self._lead += error
            self._jump(self._position + error)

    def advance(self, now: float) -> range:
        """Move the clock; to be called once a poll, after what arrived was handed in.

        Returns:
            The client ticks that begin now. Some are left out after a stall; none comes twice.
        """
        elapsed = max(0.0, now - self._now)
        self._now = now
        frame = min(elapsed, BURST_SECONDS)
        self._frame += (frame - self._frame) / 8 if self._frame else frame
        if not self._started:
            return _NOTHING
        self._move(elapsed)
        if now - self._heard_at > self._silence:
            self.paused = True
            return _NOTHING
        if self._fresh:
            self._listen()
        begun = floor(self._position)
        if begun <= self.tick:
            return _NOTHING
        first = self.tick + 1
        if begun - first >= max(2.0, BURST_SECONDS * self.rate):
            # What is said again of ticks before comes late by the stall: no report on the network.
            first = self._settled = begun
        self.tick = begun
        self._offsets.append((begun, self._offset()))
        return range(first, begun + 1)

    def _move(self, elapsed: float) -> None:
        ahead = elapsed * self.rate
        self._position += ahead
        if self._wanted is None or ahead <= 0:
            return
        error = self._wanted - self._offset()
        # Most of the error goes within a second, sooner when commands are late.
        change = error * min(1.0, elapsed * (1.0 if error > 0 else 0.85))
        change = max(-SLEW * ahead, min(SLEW_LATE * ahead, change))
        self._position += change
        self._lead += change
        self.speed = 1 + change / ahead

    def _listen(self) -> None:
        self._fresh = False
        ahead = self._position - self._newest
        # The newest tick lies ahead where this machine slept, clock and all; far behind where the
        # server dropped time, or this end's clock counted more of it.
        slept = ahead < -JUMP_AHEAD * self.rate or ahead - self._lead > JUMP_BACK * self.rate
        if self.paused or slept:
            self.paused = False
            self._forget(self._newest + self._lead)
        else:
            self._lead += (ahead - self._lead) / 16

    def _forget(self, position: float) -> None:
        """Jump where the reports so far mean nothing."""
        self._reports.clear()
        self._wanted = None
        self.speed = 1.0
        self._jump(position)

    def _jump(self, position: float) -> None:
        self.jumps += 1
        self._position = position
        self._settled = max(self.tick + 1, floor(position))

    def _offset(self) -> float:
        return self._position - (self._now - self._origin) * self.rate
