"""The client's end: `ClientWorld`, the door for authors, over one connection to a server."""

from __future__ import annotations

from ecsnet.client.world import ClientWorld

__all__ = ["ClientWorld"]
