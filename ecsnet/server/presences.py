"""The look at how clients are heard, for the players whose games want to know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ecsnet.connection.plain import Connection
from ecsnet.server.members import Seat
from ecsnet.simulation.presence import PlayerPresence
from ecsnet.simulation.simulation import Simulation

__all__ = ["SILENT_SECONDS", "PresenceWatch"]

SILENT_SECONDS: Final = 2.0
"""Seconds without a word after which a client counts as lost..."""

PACKETS_MISSED: Final = 3
"""... or the time of so many of its packets, where it sends seldom."""

LOOK_SECONDS: Final = 0.25
"""Seconds from one look at who falls silent to the next; who comes back is seen at once."""

PING_LOOKS: Final = 4
"""With every so many looks all is said of everybody, pings too: once a second."""

_STALL: Final = 1.0  # seconds by which a look may be late: beyond, this end stood still itself


class PresenceWatch:
    """The look at the members of one room.

    Args:
        simulation: The room's.
        command_interval: Seconds from one packet of a client's to the next, where it sends seldom.
    """

    def __init__(self, simulation: Simulation, command_interval: float) -> None:
        self._simulation = simulation
        self.silent_after = max(SILENT_SECONDS, PACKETS_MISSED * command_interval)
        self._due = float("-inf")  # the next look
        self._looks = 0
        self._silent: set[int] = set()  # players who were, when last looked at

    def look(self, seats: Iterable[Seat], now: float) -> list[PlayerPresence]:
        """Return what there is to say of the members in the room; to be called in each tick."""
        if now < self._due:
            return self._returned(seats, now) if self._silent else []
        late = now - self._due
        self._due = now + LOOK_SECONDS
        if _STALL < late < float("inf"):
            return []  # what has come meanwhile is taken in first
        players = self._simulation.players_with_presence()
        everything = self._looks % PING_LOOKS == 0
        self._looks += 1
        before, self._silent = self._silent, set()
        found: list[PlayerPresence] = []
        for seat in seats if players else ():
            number, peer = seat.player_id, seat.member.peer
            if number not in players or peer.connection is None:
                continue
            silent = self._is_silent(peer.connection, now)
            if silent:
                self._silent.add(number)
            if everything:
                path = peer.session.path
                ping = round(path.rtt * 1000) if path.measured else None
                found.append(PlayerPresence(number, silent, ping))
            elif silent != (number in before):
                found.append(PlayerPresence(number, silent))
        return found

    def _returned(self, seats: Iterable[Seat], now: float) -> list[PlayerPresence]:
        """Return those of whom something has come again: their commands are to find them there."""
        found: list[PlayerPresence] = []
        for seat in seats:
            number, connection = seat.player_id, seat.member.peer.connection
            if number not in self._silent or connection is None:
                continue
            if not self._is_silent(connection, now):
                self._silent.remove(number)
                found.append(PlayerPresence(number, False))
        return found

    def _is_silent(self, connection: Connection, now: float) -> bool:
        return now - connection.heard > self.silent_after
