"""What a client is sent, against its bandwidth."""

from __future__ import annotations

from ecsnet.connection.plain import MAX_DATAGRAM
from ecsnet.peer import BANDWIDTH_SECONDS

__all__ = ["Spending"]


class Spending:
    """Watches what is sent to one client: never more, over any time, than its bandwidth allows.

    That is the bandwidth for as long as it takes, and what may be put by before: one burst for
    values and one for the stream of larger things. Each may be overdrawn by a packet, values also
    by the one before it, with messages that find no room beside them.

    Args:
        bandwidth: Bytes a second.
    """

    def __init__(self, bandwidth: float) -> None:
        self.bandwidth = bandwidth
        self.burst = max(bandwidth * BANDWIDTH_SECONDS, 2 * MAX_DATAGRAM)
        self.allowed = 2 * self.burst + 3 * MAX_DATAGRAM
        self.total = 0
        self.worst = 0.0
        """The largest share of what is allowed that was ever used up."""
        self._level = 0.0
        self._at: float | None = None

    def sent(self, size: int, now: float) -> None:
        """Take a datagram; ``now`` in seconds."""
        if self._at is not None:
            self._level = max(0.0, self._level - (now - self._at) * self.bandwidth)
        self._at = now
        self._level += size
        self.total += size
        self.worst = max(self.worst, self._level / self.allowed)
