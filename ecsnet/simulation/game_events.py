"""The events that systems and hooks report to the observers of their simulation."""

from __future__ import annotations

from typing import Final

from ecsnet.errors import UsageError
from ecsnet.simulation.simulation import running
from ecsnet.validation.arguments import is_text
from ecsnet.validation.wording import brief

__all__ = ["analytics_event", "teleported"]

_OWN_EVENTS: Final = frozenset(
    (
        *("start", "stop", "join", "leave", "refused", "kicked", "suspect", "commands", "events"),
        *("lost", "match_began", "match_ended"),
    )
)


def analytics_event(
    type: str, /, *, player: int | None = None, entity: int | None = None, **data: object
) -> None:
    """Keep an event of the game's own: ``net.analytics_event("pickup", entity=chest, gold=5)``.

    Nothing happens where analytics are off. Any values will do; what is long is cut, at 4,096
    characters of a text, 256 items of a container and 5 containers within each other. An object
    that is none of Python's own is told as its text.

    Args:
        type: What happened.
        player: Number of the player that it is about, `Player.id`.
        entity: The entity that it is about.
        data: More about it.

    Raises:
        OutsideTickError: Called outside a tick.
        UsageError: The type is no text, or one of ecsnet's own; what is given as a player or as an
            entity can be none.
    """
    observers = running("net.analytics_event()").observers
    given: object = type
    if not is_text(given) or not given or given in _OWN_EVENTS:
        own = ", ".join(sorted(_OWN_EVENTS))
        raise UsageError(
            f"net.analytics_event({brief(type)}): the type is a text of your own; ecsnet's are"
            f" {own}"
        )
    if not (player is None or _is_number(player)):
        raise UsageError(f"net.analytics_event(player={brief(player)}): give a Player.id, a number")
    if not (entity is None or _is_number(entity)):
        raise UsageError(f"net.analytics_event(entity={brief(entity)}): give an entity, a number")
    observers.event(type, player, entity, data)


def teleported(entity: int) -> None:
    """Say that the game itself moves an entity in this tick, however far: nobody is suspected, and
    clients draw it there at once, and not on its way.

    An entity that clients are shown gets a `ecsnet.components.Teleports` for that.

    Raises:
        OutsideTickError: Called outside a tick.
        UsageError: This can be no entity.
    """
    simulation = running("net.teleported()")
    if not _is_number(entity):
        raise UsageError(f"net.teleported({brief(entity)}): give an entity, a number")
    simulation.teleported(entity)


def _is_number(given: object) -> bool:
    return type(given) is int and 0 <= given < 1 << 63  # a journal holds no others
