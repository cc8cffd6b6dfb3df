"""The figures of a client's connection."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ClientStats"]

_SILENT = 2.0  # seconds, from which on there is nothing better to say


@dataclass(slots=True)
class ClientStats:
    """Figures of one connection. ``str(stats)`` fits a window's title.

    Those of ticks, commands and events are of the room that we are in.
    """

    measured: bool = False
    """True once a round trip was measured; until then ``rtt`` and ``jitter`` are 0."""
    rtt: float = 0.0
    """Round trip, seconds."""
    jitter: float = 0.0
    """Its mean deviation, seconds."""
    loss: float = 0.0
    """Share of packets lost, the worse direction, 0 to 1."""
    silence: float = 0.0
    """Seconds since the last sound datagram from the server, 0 before the first. At 10 the
    connection is given up."""
    rate: float = 0.0
    """Bytes per second in both directions, over about the last second."""
    bytes_sent: int = 0
    """Bytes in all datagrams sent."""
    bytes_received: int = 0
    """Bytes in all datagrams received."""
    datagrams_sent: int = 0
    """Datagrams sent."""
    datagrams_received: int = 0
    """Datagrams received, the rejected ones included."""
    datagrams_rejected: int = 0
    """Corrupt, foreign or senseless ones."""
    tick: int = 0
    """The server's newest tick that we heard of."""
    confirmed_tick: int = 0
    """All values of ticks up to this one have arrived."""
    commands_sent: int = 0
    """Commands sent: an action once, a held one for each tick."""
    commands_applied: int = 0
    """Commands that the server took in at a tick."""
    commands_expired: int = 0
    """Actions dropped because they came too late, here or on the server."""
    commands_superseded: int = 0
    """Held commands that came after their tick."""
    commands_rejected: int = 0
    """Commands for entities that were gone or not ours, here or on the server."""
    events_received: int = 0
    """Events that the game was given."""
    delay: float = 0.0
    """Ticks by which others are drawn later than the network alone would have it, so that there is
    always a later value to draw towards; 0 where everything is shown at once."""
    ahead: float = 0.0
    """Ticks by which our own is drawn ahead of the newest tick that we heard of; 0 where nothing
    is."""
    corrections: int = 0
    """Times that the server said something else than was predicted here."""
    replayed_ticks: int = 0
    """Ticks that ran again for that, or to catch up, as at the beginning and after a stall."""

    def __str__(self) -> str:
        if self.silence >= _SILENT:
            return f"nothing from the server for {self.silence:.0f} s"
        way = f"rtt {self.rtt * 1000:.0f} ms · loss {self.loss * 100:.0f} %"
        parts = [way if self.measured else "rtt ? · loss ?", f"{self.rate / 1000:.0f} kB/s"]
        if self.ahead:
            parts.append(f"ahead {self.ahead:.0f}")
        if self.delay:
            parts.append(f"behind {self.delay:.0f}")
        return " · ".join(parts) + " ticks" * (len(parts) > 2)
