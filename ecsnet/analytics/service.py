"""Everything that a host with analytics has beside its game: the journal, and what ships it.

A host knows it as a source of observers.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping

from ecsnet.analytics.capture import AnalyticsSystem
from ecsnet.analytics.declared import declare
from ecsnet.analytics.journal import Journal, Limits
from ecsnet.analytics.supervisor import ShipperSupervisor
from ecsnet.analytics.values import plain
from ecsnet.analytics_options import MONGO_VARIABLE, Analytics
from ecsnet.schema import CommandType, ComponentType, EventType, Registry
from ecsnet.simulation.simulation import Simulation

__all__ = ["AnalyticsService"]

_log = logging.getLogger("ecsnet.analytics")

_DAY = 86_400.0
_END_SECONDS = 5.8


class AnalyticsService:
    """A journal that is being written, with a shipper where there is a database.

    Args:
        options: What is kept how often, and where.
        registry: The types of the game.
        environment: Its `MONGO_VARIABLE` names the database where the options do not.

    Attributes:
        options: What is kept how often.
        components: The component types of the game, as the journal numbers them.
        declared: The same, as documents name them.
        commands: Its command types.
        events: Its event types.
        journal: Where everything goes.

    Raises:
        JournalError: The folder cannot be used.
        UsageError: The database's URI is none, or what talks to it is not installed.
    """

    def __init__(
        self, options: Analytics, registry: Registry, environment: Mapping[str, str]
    ) -> None:
        self.options = options
        self.components = tuple(registry.types(ComponentType))
        self.declared = declare(self.components)
        self.commands = tuple(registry.types(CommandType))
        self.events = tuple(registry.types(EventType))
        self._registry = registry
        age = None if options.max_days is None else options.max_days * _DAY
        self.journal = Journal(
            options.path,
            options.server or socket.gethostname(),
            self.declared,
            limits=Limits.of(options.max_bytes, age),
        )
        self._minder: ShipperSupervisor | None = None
        uri = options.mongo or environment.get(MONGO_VARIABLE)
        try:
            if uri:
                self._minder = ShipperSupervisor(
                    options.path, uri, driver=options.driver, expire_days=options.expire_days
                )
                self._minder.start()
        except BaseException:
            self.journal.close()
            raise
        self.journal.start()
        _log.info("events and snapshots are written to %s", options.path.absolute())

    def observe(self, simulation: Simulation) -> AnalyticsSystem:
        """Return the observer that records a simulation: a match begins."""
        return AnalyticsSystem(simulation, self)

    def close(self) -> None:
        """Bring everything to the disk, and what can be shipped by then into the database.

        That takes 6 s at most; what is left is shipped by the next server on this folder.
        """
        began = time.monotonic()
        self.journal.close()
        if self._minder is not None:
            self._minder.stop(max(0.5, _END_SECONDS - (time.monotonic() - began)))

    def to_wire(self, value: object) -> object:
        """Replace a value that msgspec does not know."""
        foreign = self._registry.foreign(type(value))
        return plain(value) if foreign is None else foreign.to_wire(value)
