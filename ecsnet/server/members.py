"""A client, as a host knows it: who it is, where it plays, and how it is reached.

The three have lives of their own: a `Member` goes on when its connection breaks and `Peer.relink`
gives it another, and when it gets up from its `Seat` in one room and takes one in another.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from ecsnet.commands.frames import Input
from ecsnet.commands.inbox import Inbox, PlayerCommands
from ecsnet.messages.joining import MemberState
from ecsnet.peer import Peer
from ecsnet.replication.server.client_state import ClientState
from ecsnet.runtime.rate_limited_log import RationedLog
from ecsnet.server.stats import RoomStats
from ecsnet.transport.address import Address

if TYPE_CHECKING:
    from ecsnet.server.room import Room

__all__ = ["HANDSHAKE_SECONDS", "Member", "Seat"]

HANDSHAKE_SECONDS: Final = 10.0
"""The longest time from a client's connection to its place in the game."""


class Member:
    """One client of a host, from its connection to its end.

    Attributes:
        peer: The session with it, and how it is reached now.
        seat: Its place in a room, or the last one after its end; None before it said who it is.
        name: What it wants to be called; empty before it said so.
        smooth: Whether it draws between two values, and wants to be told in every update of
            what it owns.
        state: How far it has come; see `enter`.
        deadline: When it has to be in the game, in the host's seconds.
    """

    __slots__ = ("deadline", "name", "peer", "seat", "smooth", "state")

    def __init__(self, peer: Peer[Input], now: float) -> None:
        self.peer = peer
        self.seat: Seat | None = None
        self.state = MemberState.HANDSHAKE
        self.name = ""
        self.smooth = False
        self.deadline = now + HANDSHAKE_SECONDS

    def __str__(self) -> str:
        host, port = self.peer.address[:2]
        seat = self.seat
        if seat is not None:
            return f"{seat.name} (player {seat.player_id}, {host}:{port})"
        return f"{self.name} ({host}:{port})" if self.name else f"({host}:{port})"

    @property
    def address(self) -> Address:
        """The address that its datagrams come from."""
        return self.peer.address

    @property
    def client_state(self) -> ClientState | None:
        """Its part of replication, while it is in a room and was welcomed there."""
        seat = self.seat
        return None if seat is None else seat.client_state

    def enter(self, state: MemberState, log: RationedLog, now: float) -> None:
        """Change the state; nothing else does."""
        log.debug(now, "%s: %s -> %s", self, self.state.value, state.value)
        self.state = state


class Seat:
    """A member's place in one room.

    Attributes:
        room: The room.
        member: Who sits there.
        player_id: Number of its player in the room.
        name: What its player is called there.
        inbox: Its commands.
        given: The commands of its last tick with any, where its client has not said what it drew:
            mostly those of the next one are the same.
        client_state: Its part of replication, from its welcome on.
        slack: The least time by which its commands came early since the last report, in ticks.
        report_turn: In which tick of a cycle it is reported to.
        reported_at: Packets that its session had sent when the last report was made.
        joined_at: When it came in, in the host's seconds; None while it waits for its first tick.
    """

    __slots__ = (
        "client_state",
        "given",
        "inbox",
        "joined_at",
        "member",
        "name",
        "player_id",
        "report_turn",
        "reported_at",
        "room",
        "slack",
    )

    def __init__(self, room: Room, member: Member, player_id: int, name: str, inbox: Inbox) -> None:
        self.room = room
        self.member = member
        self.player_id = player_id
        self.name = name
        self.inbox = inbox
        self.given = PlayerCommands(player_id, ())
        self.client_state: ClientState | None = None
        self.slack = inf
        self.report_turn = 0
        self.reported_at = 0
        self.joined_at: float | None = None

    @property
    def rejected(self) -> int:
        """Commands that the inbox or the simulation could not use."""
        return self.inbox.rejected + self.room.simulation.rejected[self.player_id]

    def count_into(self, stats: RoomStats) -> None:
        """Add what its commands came to."""
        inbox = self.inbox
        stats.commands_applied += inbox.applied
        stats.commands_expired += inbox.expired
        stats.commands_superseded += inbox.superseded
        stats.commands_rejected += self.rejected
