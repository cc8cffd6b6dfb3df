"""The methods of the game that the server calls on a client."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from ecsnet.replication.client.call_each import call_each
from ecsnet.schema import Call, EventType
from ecsnet.schema.calls import SELF
from ecsnet.world import World

__all__ = ["Calls"]


class Calls:
    """The calls that are due, and the view on whose components they run.

    Args:
        view: The world of the view.

    Attributes:
        running: Whether methods of the game are being called.
        on_call: Called before each with the call, the entity and the arguments; None mostly.
        missed: Calls for components that are not in the view, or no longer.
    """

    def __init__(self, view: World) -> None:
        self.running = False
        self.on_call: Callable[[Call, int, object], object] | None = None
        self.missed = 0
        self._view = view
        self._due: deque[Callable[[], object]] = deque()

    def run(self, calls: Iterable[tuple[EventType, object]]) -> None:
        """Run calls, in order.

        Raises:
            Exception: As for `call_each`.
        """
        self._due.extend([partial(self._run, kind, arguments) for kind, arguments in calls])
        self.running = True
        try:
            call_each(self._due, self._view, "calls")
        finally:
            self.running = False

    def _run(self, kind: EventType, arguments: object) -> None:
        call, entity = kind.call, getattr(arguments, SELF)
        assert call is not None  # or it were an event of the game's
        view, component = self._view, None
        if entity is not None and view.there and view.alive(entity):
            component = view.components(entity).get(call.component)
        if entity is None or component is None:
            self.missed += 1
            return
        if self.on_call is not None:
            self.on_call(call, entity, arguments)
        call.run(component, arguments)
