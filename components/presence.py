"""The state of a player's connection, for everybody to see."""

from __future__ import annotations

from typing import Literal

from ecsnet.schema import replicated


@replicated
class Presence:
    """The state of a player's connection. A game adds it to the player's own entity, in
    ``on_join``; the server keeps it up to date from there on.

    Without a host, as in `ServerWorld.step`, there are no connections, and only ``"left"`` comes.
    """

    status: Literal["ok", "lost", "left"] = "ok"
    """``"lost"`` after two seconds of silence, until something comes again; ``"left"`` where
    `ecsnet.KEEP` holds the entity of a player who has left."""
    ping: int = 0
    """Round trip between server and client, milliseconds; 0 until it was measured. It follows
    changes of a tenth, once a second."""
