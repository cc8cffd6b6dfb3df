"""The demo: a game's server and its players, each a process of its own, and what came of it.

`run` starts them on the loopback, lets them play through a network as bad as asked for, brings
everything to rest and compares every player's world with the server's.
"""

from __future__ import annotations

from ecsnet.demo.report import Outcome
from ecsnet.demo.runner import DemoError, Options, has_window, run

__all__ = ["DemoError", "Options", "Outcome", "has_window", "run"]
