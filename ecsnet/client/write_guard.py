"""The debug mode's check that only the server writes what is replicated."""

from __future__ import annotations

from collections.abc import Callable

from ecsnet.errors import ReadOnlyError
from ecsnet.replication.client.comparison import mend_written
from ecsnet.replication.client.view import Shown, ViewWorld
from ecsnet.world import World


class WriteGuard:
    """The guard that compares a client's view with the store, around every processor.

    Args:
        view: The view to watch.
        world: Its world.
    """

    def __init__(self, view: ViewWorld, world: World) -> None:
        self._view = view
        self._world = world
        self._store: Shown | None = None

    def check(self, store: Shown, who: str = "code outside esper's processors") -> None:
        """Compare.

        Raises:
            ReadOnlyError: A replicated component was written. It is put right again.
        """
        written = mend_written(self._view, store)
        if written is not None:
            entity, name = written
            raise ReadOnlyError(
                f"{who} wrote {name} on entity {entity}; only the server may: send a command"
            )

    def watch(self, store: Shown | None) -> None:
        """Check after each processor of the view's world, so that the message can name it."""
        self._store = store
        for processor in self._world.processors():
            process: Callable[..., object] = processor.process
            if isinstance(process, _Checked):
                if process.guard is self:
                    continue
                process = process.process  # the guard was that of an earlier connection
            checked = _Checked(process, type(processor).__name__, self)
            vars(processor)["process"] = checked


class _Checked:
    """A processor's ``process``, with a check after it."""

    def __init__(self, process: Callable[..., object], name: str, guard: WriteGuard) -> None:
        self.process = process
        self.guard = guard
        self._name = name

    def __call__(self, *arguments: object, **named: object) -> object:
        result = self.process(*arguments, **named)
        store = self.guard._store
        if store is not None:
            self.guard.check(store, self._name)
        return result
