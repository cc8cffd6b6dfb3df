"""Sizes that more than one layer has to keep to."""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_PACKET"]

MAX_PACKET: Final = 1175
"""Bytes in the longest packet. With netcode's 25 bytes round it, 1,200 on the wire."""
