"""One client, as a host knows it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Final

from ecsnet.commands.frames import Input
from ecsnet.commands.inbox import Inbox
from ecsnet.peer import Peer
from ecsnet.replication.server.client_state import ClientState
from ecsnet.transport.address import Address

if TYPE_CHECKING:
    from ecsnet.server.room import Room

__all__ = ["HANDSHAKE_SECONDS", "HostStats", "Member", "MemberState"]

HANDSHAKE_SECONDS: Final = 10.0
"""How long a client may take from its connection to its part in the game."""


class MemberState(Enum):
    """How far a client has come on its way through a game."""

    HANDSHAKE = "greeting"
    SCHEMA_MISMATCH = "offered"
    JOINING = "joining"
    JOINED = "joined"
    CLOSED = "gone"


@dataclass(slots=True)
class HostStats:
    """What a host did so far; for log lines, demos and measurements.

    Attributes:
        ticks: Ticks run, of all simulations.
        dropped_ticks: Ticks that never ran because they were long overdue.
        clients: Players in the game now.
        joined: Players who ever joined.
        packets_sent: Packets sent: all datagrams but those of handshakes and goodbyes.
        packets_received: Packets received, without those that were dropped.
        bytes_sent: Bytes in all datagrams sent.
        commands_applied: Commands handed to ticks; see `Inbox`, as for the rest.
        commands_expired: Actions that were dropped because too many waited.
        commands_superseded: Held commands that a newer one replaced before their tick.
        commands_rejected: Commands that could not be used.
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
    denied: Counter[str] = field(default_factory=Counter)


class Member:
    """One client of a host, from its connection to its end.

    Attributes:
        peer: Connection and session.
        name: What the player is called; empty before it said so.
        player_id: Number of the player in its simulation; 0 before.
        inbox: Its commands.
        client_state: Its part of replication, once it is in the game.
    """

    __slots__ = (
        "client_state",
        "deadline",
        "inbox",
        "joined_at",
        "name",
        "peer",
        "player_id",
        "playing",
        "report_at",
        "reported_at",
        "room",
        "slack",
        "state",
    )

    def __init__(
        self,
        peer: Peer[Input],
        inbox: Inbox,
        now: float,
    ) -> None:
        self.peer = peer
        self.playing: Room | None = None  # the room, from the tick it came in
        self.slack = inf  # the least since the last report, in ticks
        self.inbox = inbox
        self.report_at = 0  # tick
        self.player_id = 0

        self.name = ""
        self.client_state: ClientState | None = None
        self.room: Room | None = None
        self.state = MemberState.HANDSHAKE
        self.deadline = now + HANDSHAKE_SECONDS
        self.joined_at = now
        self.reported_at = 0  # packets sent until the last report

    @property
    def address(self) -> Address:
        """Where its datagrams come from."""
        return self.peer.address

    def __str__(self) -> str:
        host, port = self.peer.address[:2]
        number = f"player {self.player_id}, " if self.player_id else ""
        who = f"{self.name} " if self.name else ""
        return f"{who}({number}{host}:{port})"

    def count_into(self, stats: HostStats) -> None:
        """Add what its session and its commands came to."""
        session = self.peer.session
        stats.bytes_sent += self.peer.bytes_sent
        stats.packets_sent += session.packets_sent
        stats.packets_received += session.packets_received
        if self.room is not None:
            inbox = self.inbox
            stats.commands_applied += inbox.applied
            stats.commands_expired += inbox.expired
            stats.commands_superseded += inbox.superseded
            rejected = self.room.simulation.rejected
            stats.commands_rejected += inbox.rejected + rejected[self.player_id]
