"""The estimates of a session's path: round trip, jitter, loss, and when to give up."""

from __future__ import annotations

from typing import Final

__all__ = ["PathEstimate"]

_MIN_PATIENCE: Final = 0.05
_MAX_PATIENCE: Final = 2.0
_FIRST_PATIENCE: Final = 0.5
# After a stall of either end a sample says more about the stall than about the path.
_MAX_SAMPLE: Final = 2.0


class PathEstimate:
    """Smoothed measurements of one path, fed by a session.

    Args:
        peer_interval: Seconds between the peer's packets at its usual pace.

    Attributes:
        rtt: Round trip, seconds, from answered pings; 0.1 until the first.
        jitter: Its mean deviation, seconds.
        ack_lag: Seconds from sending a packet until its ack is here: the round trip and
            the peer's leisure. 0 until the first.
        ack_deviation: Its mean deviation, seconds.
        measured: Whether a ping has been answered.
    """

    __slots__ = (
        "_arrived",
        "_lost",
        "ack_deviation",
        "ack_lag",
        "jitter",
        "measured",
        "peer_interval",
        "rtt",
    )

    def __init__(self, peer_interval: float) -> None:
        self.peer_interval = peer_interval
        self.rtt = 0.1
        self.jitter = 0.05
        self.ack_lag = 0.0
        self.ack_deviation = 0.0
        self.measured = False
        self._arrived = 0.0
        self._lost = 0.0

    @property
    def loss_timeout(self) -> float:
        """Seconds after which a packet without an ack counts as lost."""
        if not (self.measured or self.ack_lag):
            return _FIRST_PATIENCE + self.peer_interval
        loss_timeout = self.ack_lag + 4 * self.ack_deviation
        # The first ping may be lost: until there is a pong the acks alone must do.
        if self.measured:
            loss_timeout = max(loss_timeout, self.rtt + 4 * self.jitter)
        return min(max(loss_timeout + self.peer_interval, _MIN_PATIENCE), _MAX_PATIENCE)

    @property
    def loss(self) -> float:
        """The share of recent packets that got lost on the way to the peer, 0 to 1."""
        total = self._arrived + self._lost
        return self._lost / total if total else 0.0

    def ponged(self, sample: float) -> None:
        """Take a measured round trip."""
        sample = min(sample, _MAX_SAMPLE)
        if self.measured:
            self.jitter += (abs(sample - self.rtt) - self.jitter) / 4
            self.rtt += (sample - self.rtt) / 8
        else:
            self.measured = True
            self.rtt, self.jitter = sample, sample / 2

    def acked(self, sample: float, arrived: int) -> None:
        """Take the time from sending a packet to the first ack that named it newest.

        Args:
            sample: That time, seconds.
            arrived: Packets that arrived according to the same ack, for the loss.
        """
        self._arrived += arrived
        if self._arrived + self._lost > 256:
            self.count(0, 0)
        # By here comes every packet with news, hence no min(), max() and abs().
        if sample > _MAX_SAMPLE:
            sample = _MAX_SAMPLE
        lag = self.ack_lag
        deviation = self.ack_deviation
        if lag:
            off = sample - lag
            lag += off * 0.125
            deviation += ((off if off > 0 else -off) - deviation) * 0.25
        else:
            lag, deviation = sample, sample / 2
        self.ack_lag, self.ack_deviation = lag, deviation

    def count(self, arrived: int, lost: int) -> None:
        """Count packets that arrived and that were given up; a late arrival is (1, -1)."""
        self._arrived += arrived
        self._lost = max(0.0, self._lost + lost)
        if self._arrived + self._lost > 256:
            self._arrived /= 2
            self._lost /= 2
