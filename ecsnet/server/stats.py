"""The counts of a room and a host, for log lines, demos and measurements."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["HostStats", "RoomStats"]


@dataclass(slots=True)
class RoomStats:
    """The counts of a room so far.

    Attributes:
        ticks: Ticks run.
        dropped_ticks: Ticks that never ran because they were long overdue.
        clients: Players in it now.
        joined: Players who ever joined.
        commands_applied: Commands handed to ticks; see `Inbox`, as for the rest.
        commands_expired: Actions that were dropped because too many waited.
        commands_superseded: Held commands that a newer one replaced before their tick.
        commands_rejected: Commands that could not be used.
        events_emitted: Events that the game emitted.
        rewinds: Blocks of `ecsnet.rewind` in which something was rewound.
        rewinds_limited: Those of them that looked at another moment than the client said.
        ignored: What the game asked for in vain; see `Simulation.ignored`.
    """

    ticks: int = 0
    dropped_ticks: int = 0
    clients: int = 0
    joined: int = 0
    commands_applied: int = 0
    commands_expired: int = 0
    commands_superseded: int = 0
    commands_rejected: int = 0
    events_emitted: int = 0
    rewinds: int = 0
    rewinds_limited: int = 0
    ignored: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class HostStats:
    """The counts of a host so far, with all the rooms that it ever had.

    Attributes:
        ticks: Ticks run, of all rooms.
        dropped_ticks: Ticks that never ran because they were long overdue.
        clients: Players in a room now.
        joined: Players who ever joined a room.
        packets_sent: Packets sent: all datagrams but those of handshakes.
        packets_received: Packets received, without those that were dropped.
        bytes_sent: Bytes in all datagrams sent.
        commands_applied: Commands handed to ticks; see `Inbox`, as for the rest.
        commands_expired: Actions that were dropped because too many waited.
        commands_superseded: Held commands that a newer one replaced before their tick.
        commands_rejected: Commands that could not be used.
        events_emitted: Events that the game emitted.
        rewinds: Blocks of `ecsnet.rewind` in which something was rewound.
        rewinds_limited: Those of them that looked at another moment than the client said.
        ignored: What the game asked for in vain; see `Simulation.ignored`.
        denied: How often somebody was not let in, by cause: ``"full"``, ``"address"`` (as many
            places as one address may have), ``"joins"`` (too many in a short time),
            ``"half-open"`` (too many that say nothing; asked again, they may come in) and
            ``"abuse"`` (thrown out a short time ago).
    """

    ticks: int = 0
    dropped_ticks: int = 0
    clients: int = 0
    joined: int = 0
    packets_sent: int = 0
    packets_received: int = 0
    bytes_sent: int = 0
    commands_applied: int = 0
    commands_expired: int = 0
    commands_superseded: int = 0
    commands_rejected: int = 0
    events_emitted: int = 0
    rewinds: int = 0
    rewinds_limited: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    denied: Counter[str] = field(default_factory=Counter)

    def add_room(self, room: RoomStats) -> None:
        """Count what a room did."""
        self.ticks += room.ticks
        self.dropped_ticks += room.dropped_ticks
        self.clients += room.clients
        self.joined += room.joined
        self.commands_applied += room.commands_applied
        self.commands_expired += room.commands_expired
        self.commands_superseded += room.commands_superseded
        self.commands_rejected += room.commands_rejected
        self.events_emitted += room.events_emitted
        self.rewinds += room.rewinds
        self.rewinds_limited += room.rewinds_limited
        self.ignored.update(room.ignored)
