"""The server's end: `ServerWorld`, the door for authors, over a `Host` without sockets or clocks.

A host keeps the members that connect and runs rooms; a room owns one simulation and the members in
it.
"""

from __future__ import annotations

from ecsnet.server.world import ServerWorld

__all__ = ["ServerWorld"]
