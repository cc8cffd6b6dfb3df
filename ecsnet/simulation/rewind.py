"""`rewind`: what systems and hooks call to judge what a player did by what it saw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from ecsnet.errors import UsageError
from ecsnet.simulation.past import Past
from ecsnet.simulation.simulation import Simulation, running
from ecsnet.validation.arguments import is_whole
from ecsnet.validation.wording import brief

__all__ = ["rewind"]


def rewind(entity: int) -> AbstractContextManager[None]:
    """Show the others as a player saw them when it did what it does in this tick.

    ```python
    for ship, _ in net.commands(Zap, Position):
        with net.rewind(ship):
            x = esper.component_for_entity(ship, Position).x
            hit = [e for e, at in esper.get_component(Position) if e != ship and abs(at.x - x) < 20]
        for enemy in hit:
            ...
    ```

    Within the block the float fields of components under ``replicated(interpolate=True)`` hold what
    that player's client drew. Everything else is as it is now: all other fields and types, what the
    player owns, and which entities there are. So what has just been deleted is not there, though
    the player still saw it; and what has just come, and the player did not see yet, is where it is
    now. What is out of its sight is not rewound either.

    It looks back by at most ``ServerWorld(rewind=...)`` seconds. Nothing is rewound for a client
    that has not said what it drew, as those with ``smooth=False``, in `ServerWorld.step`, and for
    an entity that nobody owns.

    Afterwards all is as it was before, also where the block raises; only a field that the block has
    given another value keeps it. Blocks nest: the inner one counts.

    Args:
        entity: A player's entity, or one that a player owns.

    Raises:
        OutsideTickError: Called outside a tick.
        UsageError: This can be no entity.
    """
    simulation = running("net.rewind()")
    if not is_whole(entity):
        raise UsageError(
            f"net.rewind({brief(entity)}): give a player's entity, or one that a player owns, a"
            " number"
        )
    return _rewound(simulation, entity)


@contextmanager
def _rewound(simulation: Simulation, entity: int) -> Iterator[None]:
    past = Past()
    outer = simulation.begin_rewind(past)
    player_id = simulation.player_of(entity)
    try:
        if player_id is None:
            simulation.ignored["rewind"] += 1
        elif simulation.look_back(player_id, past):
            simulation.rewinds += 1
            given = simulation.drawn.get(player_id)
            simulation.rewinds_limited += given is not None and given.limited
        yield
    finally:
        simulation.end_rewind(outer)
