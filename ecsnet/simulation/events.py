"""`emit`: what systems and hooks call to tell clients what happened."""

from __future__ import annotations

from collections.abc import Iterable

from ecsnet.errors import UsageError
from ecsnet.schema import event_type
from ecsnet.simulation.emission import Emission
from ecsnet.simulation.simulation import Simulation, running
from ecsnet.validation.arguments import check_flag, is_whole
from ecsnet.validation.wording import brief

__all__ = ["emit"]

_WHOM = "give a player's entity, one that a player owns, or several of them"


def emit(
    event: object,
    to: int | Iterable[int] | None = None,
    *,
    but: int | Iterable[int] | None = None,
    about: int | None = None,
    reliable: bool = True,
) -> Emission:
    """Tell clients what happened: ``net.emit(Boom(x, y))``.

    Their `ClientWorld.poll` returns the event: behind the `Spawned` of what the same tick has
    brought, and before the `Despawned` of what it has taken. It is copied here and sent with the
    next update.

    Args:
        event: An instance of a class under ``@event``.
        to: Who gets it: a player's entity, an entity that a player owns, or several of these;
            everybody in this world when left out.
        but: Who of them does not, likewise.
        about: An entity: only clients that see it get the event, also when it has just died.
        reliable: True to let it arrive exactly once and in order, whatever gets lost; False to
            send it with this tick's update or never, for what is worth nothing later.

    Returns:
        The receipt; its `Emission.arrived` tells whether a player's client has the event.

    For entities that nobody owns, dead ones and players who have just left, nothing happens. An
    event with a value that does not fit, or of more than 16 KiB, is dropped with a line in the log.

    Raises:
        OutsideTickError: Called outside a tick.
        UsageError: It is not an event, or what is given as an entity can be none.
    """
    simulation = running(f"net.emit({type(event).__name__})")
    kind = event_type(type(event), "emit()")
    if about is not None and not is_whole(about):
        raise UsageError(f"emit(about={brief(about)}): give an entity, a number")
    check_flag("emit(reliable", reliable)
    try:
        copy = kind.clone(event)
    except Exception:  # noqa: BLE001 - what a game puts in a field may raise anything
        copy = event  # it cannot be sent, which the log will say
    emission = Emission(
        kind,
        copy,
        simulation.tick,
        None if to is None else _players(simulation, "to", to),
        frozenset() if but is None else _players(simulation, "but", but),
        about,
        reliable,
        simulation.world.identity(),
        simulation.player_number,
    )
    if not simulation.ahead:
        simulation.emitted.append(emission)
    return emission


def _players(simulation: Simulation, name: str, given: int | Iterable[int]) -> frozenset[int]:
    """Return the numbers of the players that are meant by some entities."""
    if is_whole(given):
        entities: list[int] = [given]
    else:
        try:
            entities = list(given)  # type: ignore[arg-type]
        except TypeError:
            raise UsageError(f"emit({name}={brief(given)}): {_WHOM}") from None
    players: set[int] = set()
    for entity in entities:
        if not is_whole(entity):
            raise UsageError(f"emit({name}={brief(given)}): {_WHOM}")
        player_id = simulation.player_of(entity)
        if player_id is not None:
            players.add(player_id)
        else:
            simulation.ignored["emit"] += 1
    return frozenset(players)
