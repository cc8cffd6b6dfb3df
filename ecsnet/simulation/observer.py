"""The observers of a match: what the core tells them while it runs.

Analytics is an observer; a recorder, an inspector and metrics can be. A room has a list of them and
knows none of their kinds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ecsnet.commands.inbox import PlayerCommands
from ecsnet.simulation.presence import PlayerPresence

if TYPE_CHECKING:
    from ecsnet.simulation.simulation import Join, Leave, Simulation

__all__ = ["Observer", "ObserverSource", "Observers"]

logger = logging.getLogger("ecsnet.server")


class Observer:
    """An observer of one room. Derive from it and override the calls that you want to get.

    Calls come in the order in which things happen, in the server's thread, and a tick waits for
    them. Whatever is handed over belongs to the game: look at it, or copy it.

    An observer that raises is told nothing more, and its error is logged; the game goes on.

    Attributes:
        sees_packets: Whether `packet` is to be called, for players who come in from now on.
    """

    sees_packets = False

    def joined(self, player_id: int, name: str) -> None:
        """Note that a player comes in with the tick that is about to run."""

    def left(self, player_id: int, name: str, reason: str) -> None:
        """Note that a player is gone; its entity goes with the next tick."""

    def refused(self, name: str, reason: str, now: float) -> None:
        """Note that somebody was refused before being in the game.

        Args:
            name: What they wanted to be called; empty where they have not said.
            reason: Why, in one word.
            now: Seconds, on the host's clock. There may be floods.
        """

    def kicked(self, player_id: int, name: str, reason: str) -> None:
        """Note that a player is being thrown out; `left` follows."""

    def tick_began(
        self,
        tick: int,
        joins: Sequence[Join],
        leaves: Sequence[Leave],
        commands: Sequence[PlayerCommands],
        presences: Sequence[PlayerPresence],
    ) -> None:
        """Note what goes into a tick: `Simulation.step` with the same makes the same tick again."""

    def tick_ended(self, tick: int) -> None:
        """Look at a tick that has run: nobody's world is current, and nothing is half done."""

    def event(
        self, type: str, player: int | None, entity: int | None, data: Mapping[str, object]
    ) -> None:
        """Note an event of the game's own; see `ecsnet.analytics_event`."""

    def teleported(self, entity: int) -> None:
        """Note that the game itself moves an entity in this tick, however far."""

    def packet(self, player_id: int, packet: bytes, sent: bool) -> None:
        """Look at a packet of a player's session, sent or received; see `sees_packets`.

        Those received are as they came, before anything in them is looked at.
        """

    def match_began(self, number: int, players: Sequence[int]) -> None:
        """Note that a match begins in this tick, in a game with a lobby.

        Args:
            number: Of the match in this simulation; the first is 1.
            players: Numbers of those who play.
        """

    def match_ended(self, number: int) -> None:
        """Note that the match of that number ends in this tick; its players go to the lobby."""

    def stopped(self, reason: str, figures: Mapping[str, int]) -> None:
        """Note that the match is over; nothing follows.

        Args:
            reason: ``"stopped"`` or ``"failed"``.
            figures: What the room counted.
        """


class ObserverSource(Protocol):
    """A source of observers: one for each room of a host."""

    def observe(self, simulation: Simulation) -> Observer:
        """Return what observes a room, before its first tick.

        Args:
            simulation: The room's.
        """
        ...

    def close(self) -> None:
        """Let go of everything: the host has closed, and all its rooms have stopped."""


class Observers(Observer):
    """The observers of one room, as one. What one of them raises stays in here.

    Args:
        observers: Those that are there from the start.
    """

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._each = list(observers)

    def __iter__(self) -> Iterator[Observer]:
        return iter(self._each)

    def __len__(self) -> int:
        return len(self._each)

    def add(self, observer: Observer) -> None:
        """Tell one more observer from now on."""
        self._each.append(observer)

    @property
    def see_packets(self) -> bool:
        """True if one of them wants to see packets."""
        return any(observer.sees_packets for observer in self._each)

    def joined(self, player_id: int, name: str) -> None:
        self._tell("joined", player_id, name)

    def left(self, player_id: int, name: str, reason: str) -> None:
        self._tell("left", player_id, name, reason)

    def refused(self, name: str, reason: str, now: float) -> None:
        self._tell("refused", name, reason, now)

    def kicked(self, player_id: int, name: str, reason: str) -> None:
        self._tell("kicked", player_id, name, reason)

    def tick_began(
        self,
        tick: int,
        joins: Sequence[Join],
        leaves: Sequence[Leave],
        commands: Sequence[PlayerCommands],
        presences: Sequence[PlayerPresence],
    ) -> None:
        self._tell("tick_began", tick, joins, leaves, commands, presences)

    def tick_ended(self, tick: int) -> None:
        self._tell("tick_ended", tick)

    def event(
        self, type: str, player: int | None, entity: int | None, data: Mapping[str, object]
    ) -> None:
        self._tell("event", type, player, entity, data)

    def teleported(self, entity: int) -> None:
        self._tell("teleported", entity)

    def match_began(self, number: int, players: Sequence[int]) -> None:
        self._tell("match_began", number, players)

    def match_ended(self, number: int) -> None:
        self._tell("match_ended", number)

    def packet(self, player_id: int, packet: bytes, sent: bool) -> None:
        for observer in [each for each in self._each if each.sees_packets]:
            self._call(observer, "packet", player_id, packet, sent)

    def stopped(self, reason: str, figures: Mapping[str, int]) -> None:
        self._tell("stopped", reason, figures)

    def _tell(self, method: str, *arguments: object) -> None:
        for observer in self._each.copy():
            self._call(observer, method, *arguments)

    def _call(self, observer: Observer, method: str, *arguments: object) -> None:
        try:
            getattr(observer, method)(*arguments)
        except Exception:
            logger.exception(
                "%s.%s() raised; this observer is told nothing more",
                type(observer).__name__,
                method,
            )
            self._each.remove(observer)
