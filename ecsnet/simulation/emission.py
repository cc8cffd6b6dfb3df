"""An event on its way from the game to its clients, and the receipt for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ecsnet.schema import EventType
from ecsnet.validation.arguments import check_whole

__all__ = ["Emission", "Receiver"]


class Receiver(Protocol):
    """The receiver of reliable messages: a client, as its server knows it."""

    @property
    def delivered(self) -> int:
        """Every message up to this number has arrived there."""
        ...


class Emission:
    """An event that was emitted; it is returned by `ecsnet.emit` as the receipt for it.

    Attributes:
        kind: The type of the event.
        event: The event as it was then; what the game changes afterwards does not show.
        tick: The tick in which it was emitted.
        to: The numbers of the players that it is for; None for everybody.
        but: The numbers of those that it is not for.
        about: The entity that a client must see to get it; None for any.
        reliable: Whether it arrives exactly once, or with its tick's update or never.
        identity: The world that its entities are of, see `World.identity`.
    """

    __slots__ = (
        "_player_number",
        "_sent",
        "about",
        "but",
        "event",
        "identity",
        "kind",
        "reliable",
        "tick",
        "to",
    )

    def __init__(
        self,
        kind: EventType,
        event: object,
        tick: int,
        to: frozenset[int] | None,
        but: frozenset[int],
        about: int | None,
        reliable: bool,
        identity: object,
        player_number: Mapping[int, int],
    ) -> None:
        self.kind = kind
        self.event = event
        self.tick = tick
        self.to = to
        self.but = but
        self.about = about
        self.reliable = reliable
        self.identity = identity
        self._player_number = player_number  # of each player in the game, by entity
        self._sent: list[tuple[Mapping[int, Receiver], Mapping[int, int]]] = []

    def __repr__(self) -> str:
        return f"<Emission of {self.event!r} in tick {self.tick}>"

    def arrived(self, player: int) -> bool:
        """Return whether a player's client has acknowledged the event.

        It stays false for a client that the event was not for, or that has left before, and for an
        event that was emitted with ``reliable=False``, of which nobody keeps track.

        Args:
            player: The player's entity.

        Raises:
            UsageError: This can be no entity.
        """
        check_whole("arrived(player", player, 0, "give the entity of a player")
        player_id = self._player_number.get(player, 0)  # which is no player's
        for receivers, messages in self._sent:
            if player_id in messages:
                return receivers[player_id].delivered >= messages[player_id]
        return False

    def sent_in(self, receivers: Mapping[int, Receiver], messages: Mapping[int, int]) -> None:
        """Note the messages that carry it: who gets some, and the number of the message to each, by
        the number of the player; more of these may be added later.
        """
        self._sent.append((receivers, messages))
