"""`rng`: what systems and hooks call for random numbers."""

from __future__ import annotations

import random

from ecsnet.errors import UsageError
from ecsnet.simulation.simulation import running
from ecsnet.validation.arguments import is_whole
from ecsnet.validation.wording import brief

__all__ = ["rng"]


def rng(entity: int | None = None) -> random.Random:
    """Return random numbers of the running simulation: seeded, so that a match can be run again.

    Those of an entity are made anew in each tick, from what its player's client knows too: a shared
    system that asks for them comes to the same on both ends. Asked again for it in a tick, they go
    on. What a system makes has numbers of its own from the next tick on at the earliest, and a
    round trip later on a client; until then it has its owner's. Whoever reads the traffic knows
    what they will be: what nobody may guess is up to ``net.rng()``, which is the server's alone.

    Args:
        entity: The entity that they are for; all systems share the same ones when left out.

    Raises:
        OutsideTickError: Called outside a tick.
        UsageError: This can be no entity.
    """
    simulation = running("net.rng()")
    if entity is None:
        return simulation.rng
    if not is_whole(entity):
        raise UsageError(
            f"net.rng({brief(entity)}): give an entity, a number, or leave it out for the"
            " simulation's own"
        )
    return simulation.rng_of(entity)
