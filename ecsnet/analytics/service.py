"""Everything that a host with analytics has beside its game: the journal, and what ships it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ecsnet.analytics.declared import declare
from ecsnet.analytics.journal import Journal, Limits
from ecsnet.analytics.options import Analytics
from ecsnet.analytics.values import plain
from ecsnet.schema import Registry

if TYPE_CHECKING:
    from ecsnet.simulation import Simulation
    from ecsnet.systems import AnalyticsSystem

__all__ = ["AnalyticsService"]

_DAY = 86_400.0


class AnalyticsService:
    """A journal that is being written, with a shipper where there is a database.

    Args:
        options: What is kept how often, and where.
        registry: The types of the game.

    Raises:
        JournalError: The folder cannot be used.
    """

    def __init__(self, options: Analytics, registry: Registry) -> None:
        self._options = options
        self._registry = registry
        self._components = registry.components()
        self._commands = registry.commands()
        age = None if options.max_days is None else options.max_days * _DAY
        self.journal = Journal(
            options.path,
            options.server or socket.gethostname(),
            declare(self._components),
            limits=Limits(folder=options.max_bytes, age=age),
        )
        self.journal.start()

    @classmethod
    def open(cls, options: Analytics | None, registry: Registry) -> AnalyticsService | None:
        """Start what the options ask for; None where there are none."""
        return None if options is None else cls(options, registry)

    def observe(self, simulation: Simulation) -> AnalyticsSystem:
        """Begin a match: what is to keep a simulation's events and snapshots."""
        from ecsnet.systems import AnalyticsSystem

        return AnalyticsSystem(
            simulation,
            self.journal,
            self._options,
            self._components,
            self._commands,
            to_wire=self._to_wire,
        )

    def close(self) -> None:
        """Bring everything to the disk and let the folder go."""
        self.journal.close()

    def _to_wire(self, value: object) -> object:
        """What stands for a value that msgspec does not know."""
        foreign = self._registry.foreign(type(value))
        return plain(value) if foreign is None else foreign.to_wire(value)
