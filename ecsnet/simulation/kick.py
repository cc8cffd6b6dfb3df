"""`kick`: what systems and hooks call to throw a player out."""

from __future__ import annotations

from ecsnet.errors import UsageError
from ecsnet.session.goodbye import GOODBYE_TEXT
from ecsnet.simulation.simulation import running
from ecsnet.validation.arguments import is_text, is_whole
from ecsnet.validation.text import clean_text
from ecsnet.validation.wording import brief

__all__ = ["kick"]


def kick(player: int, text: str = "") -> None:
    """Throw a player out: ``net.kick(player, "the match is over")``.

    The player leaves with the next tick, in which ``on_leave`` gets the reason ``"kicked"``. Its
    client gets all that was sent to it before, and then `Disconnected`, whose ``message`` is the
    text. Nothing happens for an entity that is no player, or whose player has just left.

    Args:
        player: The player's entity, as ``on_join`` gets it.
        text: For the player; cleaned as by `clean_text`, and cut after 200 characters.

    Raises:
        OutsideTickError: Called outside a tick.
        UsageError: This can be no entity, or the text is none.
    """
    simulation = running("net.kick()")
    if not is_whole(player):
        raise UsageError(f"net.kick({brief(player)}): give a player's entity, a number")
    if not is_text(text):
        raise UsageError(
            f"net.kick(text={brief(text)}): give a text for the player, or leave it out"
        )
    if simulation.ahead:
        return
    number = simulation.player_number.get(player)
    # While hooks see a player leave, it is in the second no more.
    if number is None or number not in simulation.player_entity:
        simulation.ignored["kick"] += 1
        return
    simulation.kicked.setdefault(number, clean_text(text, GOODBYE_TEXT))
