"""The spec of a simulation: rates, systems and hooks, checked when they are added.

What would fail in the first tick, far from the line that is wrong, is refused on that line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, cast

from ecsnet.errors import UsageError
from ecsnet.simulation.join_request import JoinRequest
from ecsnet.simulation.lobby import LobbyControl
from ecsnet.validation.arguments import (
    check_call,
    check_flag,
    is_number,
    name_of,
    refuse_later,
    takes,
    takes_named,
)
from ecsnet.validation.wording import brief

if TYPE_CHECKING:
    from ecsnet.simulation.simulation import Simulation

__all__ = ["Game", "OnError", "SimulationSpec", "System", "SystemSpec", "gets_reason"]

OnError = Literal["stop", "skip"]
"""The choice when a system or hook raises: stop the simulation, or skip it for the tick."""


class System(Protocol):
    """A system: ``esper.Processor`` fits, and so does any object like it."""

    def process(self, dt: float, /) -> object:
        """Run for one tick of ``dt`` seconds."""


class SystemSpec(NamedTuple):
    """A system of a spec."""

    priority: float
    """Systems with a higher one run first, equal ones in the order in which they were added."""
    name: str
    """For the log."""
    make: Callable[[], Callable[[float], object]]
    """Makes the function of ``dt`` that one simulation calls."""
    always: bool
    """It runs in every phase of a game with a lobby."""
    shared: bool
    """It runs on the server, and ahead of it in each client, on what that client's player owns."""


@dataclass(slots=True)
class SimulationSpec:
    """The spec of a simulation. Any number of simulations can be made from it.

    Attributes:
        tick_rate: Ticks per second.
        systems: The systems, in the order in which they were added.
        instances: Names of the systems that are instances: all simulations share them.
        on_request: Called with the request of somebody who wants to join, between ticks; may return
            a text, which refuses.
        on_start: Called in the first tick.
        on_join: Called with the player's entity when somebody joins.
        on_play: Called with the players' entities when a match begins, in a game with a lobby.
        on_leave: Called with the player's entity when somebody leaves, unless the game has
            deleted it, and with the reason where it takes one; may return `KEEP`.
        on_error: What to do when one of them raises.
        lobby: Makes the lobby of a simulation; None for a game without one.
    """

    tick_rate: float = 60.0
    systems: list[SystemSpec] = field(default_factory=list)
    instances: list[str] = field(default_factory=list)
    on_request: list[Callable[[JoinRequest], object]] = field(default_factory=list)
    on_start: list[Callable[[], object]] = field(default_factory=list)
    on_join: list[Callable[[int], object]] = field(default_factory=list)
    on_play: list[Callable[[list[int]], object]] = field(default_factory=list)
    on_leave: list[Callable[..., object]] = field(default_factory=list)
    on_error: OnError = "stop"
    lobby: Callable[[Simulation], LobbyControl] | None = None

    @property
    def shared(self) -> list[SystemSpec]:
        """The systems that clients run, too, ahead of the server."""
        return [system for system in self.systems if system.shared]

    def add_function(
        self,
        function: Callable[[float], object],
        priority: float,
        *,
        always: bool = False,
        shared: bool = False,
    ) -> None:
        """Add a function of ``dt`` as a system.

        Raises:
            UsageError: It does not take ``dt``, the priority is no number, or ``always`` or
                ``shared`` no bool.
        """
        _check_system("@server.system", function, name_of(function))
        self._add(priority, name_of(function), lambda: function, always, shared)

    def add_system(
        self,
        system: type[System] | Callable[[], System] | Callable[[float], object] | System,
        priority: float,
        *,
        always: bool = False,
        shared: bool = False,
    ) -> None:
        """Add a class, something that makes a system, a system, or a function of ``dt``.

        Raises:
            UsageError: It is none of these, the priority is no number, ``always`` or ``shared`` no
                bool, or what is to be shared an instance.
        """
        process = getattr(system, "process", None)
        if isinstance(system, type):
            if not callable(process):
                raise UsageError(
                    f"add_system() got {system.__qualname__}, which has no method process(dt): "
                    "add one"
                )
            unbound = inspect.isfunction(inspect.getattr_static(system, "process"))
            name = f"{system.__qualname__}.process"
            _check_system("add_system()", process, name, unbound=unbound)
        elif callable(process):
            instance, name = cast(System, system), type(system).__qualname__
            _check_system("add_system()", process, f"{name}.process")
            if shared is True:
                raise UsageError(
                    f"add_system({name}(…), shared=True): a shared system runs in the server and"
                    " again in each client, so each makes one of its own: give the class, or a"
                    f" function that makes one, lambda: {name}(…)"
                )
            self._add(priority, name, lambda: instance.process, always, shared)
            self.instances.append(name)
            return
        elif not callable(system):
            raise UsageError(
                f"add_system() got {brief(system)}: it takes a class with a method process(dt), "
                "an instance of one, a function that makes one, or a function of dt"
            )
        else:
            refuse_later("add_system()", system, name_of(system), "dt: float")
        make = cast(Callable[[], System], system)
        if takes(make):
            self._add(priority, name_of(make), lambda: _process_of(make), always, shared)
        elif isinstance(system, type):
            raise UsageError(
                f"add_system() got {name_of(make)}, which cannot be called without arguments: "
                "add an instance"
            )
        else:
            function = cast("Callable[[float], object]", system)
            _check_system("add_system()", function, name_of(function))
            self._add(priority, name_of(function), lambda: function, always, shared)

    def _add(
        self,
        priority: float,
        name: str,
        make: Callable[[], Callable[[float], object]],
        always: bool,
        shared: bool,
    ) -> None:
        if not is_number(priority):
            raise UsageError(
                f"priority={brief(priority)} of {name}: give a number; systems with a higher one"
                " run first"
            )
        check_flag(f"always of {name}", always)
        check_flag(f"shared of {name}", shared)
        self.systems.append(SystemSpec(priority, name, make, always, shared))


class Game(Protocol):
    """A game whose shared systems a client can run: a `ServerWorld` is one."""

    @property
    def spec(self) -> SimulationSpec:
        """The spec of its simulations."""
        ...


def gets_reason(hook: Callable[..., object]) -> bool:
    """Return whether an ``on_leave`` hook gets the reason too: where it needs a second argument, or
    names one ``reason``. What else has a default is there for the game's own use.
    """
    if not takes(hook, 0, ""):
        return False
    return not takes(hook, 0) or takes_named(hook, "reason")


def _check_system(
    where: str, process: Callable[..., object], name: str, *, unbound: bool = False
) -> None:
    method = unbound or inspect.ismethod(process)
    check_call(where, process, name, f"{'self, ' * method}dt: float", unbound=unbound)


def _process_of(make: Callable[[], System]) -> Callable[[float], object]:
    made = make()
    process = getattr(made, "process", None)
    if not callable(process):
        raise UsageError(
            f"{name_of(make)} made {brief(made)}, which has no method process(dt): "
            "a function that is a system itself goes under @server.system"
        )
    _check_system("add_system()", process, f"{type(made).__qualname__}.process")
    return cast("Callable[[float], object]", process)
