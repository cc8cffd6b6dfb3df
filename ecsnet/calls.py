"""Calls between the ends of a game: methods under `rpc`, and the entity of a component.

What a call sends is a command or an event, see `ecsnet.schema.calls`; here is decided on which end
the caller stands.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TypeVar

from ecsnet.client.world import showing
from ecsnet.errors import DeclarationError, UsageError
from ecsnet.schema import SIDES, ComponentType, Rpc, Side
from ecsnet.simulation.events import emit
from ecsnet.simulation.simulation import running_now
from ecsnet.validation.arguments import is_text, refuse_later
from ecsnet.validation.wording import brief
from ecsnet.world import World, current_name

__all__ = ["entity_of", "rpc"]

F = TypeVar("F", bound=Callable[..., None])

_ALLOWED = ", ".join(map(repr, SIDES))


def rpc(side: Side) -> Callable[[F], F]:
    """Let a method of a replicated component run on the other end: ``@net.rpc("server")``.

    ::

        @net.replicated
        class Knight:
            health: int = 100

            @net.rpc("server")
            def attack(self, kind: Literal["slash", "stab"]) -> None:
                self.result(net.rng().random() < 0.5)

            @net.rpc("owner")
            def result(self, won: bool) -> None:
                print("won" if won else "lost")

    ``"server"``: a client calls it for a component of what its player owns. It is an action, and
    runs on the server before the systems of its tick. Its parameters are bounded as the fields of a
    command are.

    ``"owner"`` and ``"all"``: the server calls it, in a tick. It is an event, and runs within
    `ClientWorld.poll`, on the client of the player who owns the entity, or on all that see it.

    Called in a tick, a method for the server is an ordinary method. Elsewhere the client is meant
    whose view is the current world, as within ``with client.view:``.

    Args:
        side: Where it runs.

    Raises:
        DeclarationError: It is none of these, or stands above something else than a method.
    """
    given: object = side
    if not is_text(given) or given not in SIDES:
        if callable(given):
            raise DeclarationError(f"@net.rpc goes with a side: write @net.rpc({SIDES[0]!r})")
        raise DeclarationError(f"rpc({brief(given)}): the side is one of {_ALLOWED}")

    def mark(function: F) -> F:
        if not inspect.isfunction(function):
            raise DeclarationError(
                f"@net.rpc got {brief(function)}: it stands above a method of a replicated class,"
                " as def writes it"
            )
        name = function.__qualname__
        scope = name.rpartition(".")[0]
        if not scope or scope.endswith("<locals>"):
            raise DeclarationError(
                f"@net.rpc got the function {function.__name__}: it stands above a method of a"
                " replicated class, whose entity the call is for"
            )
        refuse_later("@net.rpc", function, name, "self, ...")

        @functools.wraps(function)
        def call(self: object, /, *arguments: object, **named: object) -> None:
            _call(function.__name__, self, arguments, named)

        call.__ecsnet_rpc__ = Rpc(side, function)  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return mark


def entity_of(component: object) -> int:
    """Return the entity that a component is on, in the world that is current or whose tick runs.

    Args:
        component: The very object, as a query returns it: equal ones are others.

    Raises:
        UsageError: It is on no entity of this world, or on several.
    """
    return _here().entity_of(component)


def _here() -> World:
    simulation = running_now()
    if simulation is not None:
        return simulation.world
    client = showing(current_name())
    return World.current() if client is None else client.view


def _call(
    method: str, component: object, arguments: tuple[object, ...], named: dict[str, object]
) -> None:
    """Run a method under `rpc`, or have it run on the other end."""
    cls = type(component)
    known = vars(cls).get("__ecsnet__")
    if not isinstance(known, ComponentType):
        raise UsageError(
            f"{cls.__qualname__}.{method}() is a call, and class {cls.__qualname__} is not"
            f" replicated: put @net.replicated above class {cls.__qualname__}"
        )
    kind = known.calls[method]
    call = kind.call
    assert call is not None  # or it were no call
    simulation = running_now()
    if simulation is not None:
        if call.side == "server":
            call.function(component, *arguments, **named)
            return
        entity = simulation.world.entity_of(component)
        event = kind.cls(entity, **call.bind(component, arguments, named))
        if call.side == "owner":
            emit(event, entity)
        else:
            emit(event, about=entity)
        return
    client = showing(current_name())
    if client is None:
        raise UsageError(
            f"{call.name}() outside a tick, and the current world shows no client: call it in a"
            " system or hook on the server, or within `with client.view:` on a client"
        )
    if call.side != "server":
        raise UsageError(
            f"{call.name}() was called on a client, where it runs: only the server may call it, in"
            " a system or hook"
        )
    entity = client.view.entity_of(component)
    command = kind.cls(**call.bind(component, arguments, named))
    if client.connected:
        client.send(command, entity)
