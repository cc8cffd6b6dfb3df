"""Real-time multiplayer over the esper entity component system."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
