"""Calls: methods of a component that run on the other end, as commands and events.

A method under ``@net.rpc`` becomes a type of its own: a command where clients call and the server
runs it, an event where the server calls and clients run it. Its parameters are the fields; an event
has the entity of the component before them.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from ecsnet.errors import DeclarationError
from ecsnet.schema.fields import EntityRef
from ecsnet.validation.wording import brief

__all__ = ["SELF", "SIDES", "Call", "Rpc", "Side", "call_class", "rpcs"]

Side: TypeAlias = Literal["server", "owner", "all"]
"""The end on which a call runs: the server, the client of the player who owns the entity, or the
clients of all who see it."""

SIDES: Final[tuple[Side, ...]] = ("server", "owner", "all")

_CONSTANT: Final = (int, float, str, bytes, type(None), tuple, enum.Enum)

SELF: Final = "self"
"""The field of an event in which the entity of the component stands."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """The mark that ``@net.rpc`` puts on a method.

    Attributes:
        side: Where it runs.
        function: The method itself.
    """

    side: Side
    function: Callable[..., object]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A method of a component that runs on another end.

    Attributes:
        name: The name in logs: ``"Knight.attack"``.
        side: Where it runs.
        component: The class of the component.
        function: The method itself.
        signature: The parameters of that.
        positional: The parameters that it takes by their place, in order.
        named: Those that it takes by their name alone.
    """

    name: str
    side: Side
    component: type
    function: Callable[..., object]
    signature: inspect.Signature
    positional: tuple[str, ...]
    named: tuple[str, ...]

    def bind(
        self, component: object, arguments: tuple[object, ...], named: dict[str, object]
    ) -> dict[str, object]:
        """Return the arguments of a call by the names of their parameters.

        Raises:
            TypeError: They are not those that the method takes.
        """
        try:
            bound = self.signature.bind(component, *arguments, **named)
        except TypeError as error:
            raise TypeError(f"{self.name}(): {error}") from None
        _, *rest = bound.arguments.items()
        return dict(rest)

    def run(self, component: object, arguments: object) -> None:
        """Run it.

        Args:
            component: The component.
            arguments: An instance of the type that the call is: its fields are the arguments.
        """
        values = [getattr(arguments, name) for name in self.positional]
        self.function(component, *values, **{name: getattr(arguments, name) for name in self.named})

    def named_arguments(self, arguments: object) -> dict[str, object]:
        """Return the arguments of a call by the names of their parameters; as for `run`."""
        return {name: getattr(arguments, name) for name in (*self.positional, *self.named)}


def rpcs(cls: type[object]) -> Iterator[tuple[str, Rpc]]:
    """Yield the methods of a class under ``@net.rpc``, inherited ones too."""
    for name in dict.fromkeys(name for owner in cls.__mro__ for name in vars(owner)):
        mark = getattr(inspect.getattr_static(cls, name), "__ecsnet_rpc__", None)
        if isinstance(mark, Rpc):
            yield name, mark


def call_class(cls: type[object], name: str, rpc: Rpc) -> tuple[type[object], Call]:
    """Return the class to declare for a method, and the call.

    Args:
        cls: The class of the component.
        name: The name of the method.
        rpc: Its mark.

    Raises:
        DeclarationError: Something about its parameters cannot be sent.
    """
    path = f"{cls.__name__}.{name}"
    annotations: dict[str, object] = {} if rpc.side == "server" else {SELF: EntityRef}
    namespace: dict[str, object] = {}
    positional: list[str] = []
    named: list[str] = []
    signature = inspect.signature(rpc.function)
    _, *parameters = signature.parameters.values()
    for each in parameters:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            stars = "*" if each.kind is each.VAR_POSITIONAL else "**"
            raise DeclarationError(
                f"{path}({stars}{each.name}): a call has so many parameters, and each a type:"
                f" write {each.name}: Annotated[list[...], net.MaxLen(...)]"
            )
        if each.annotation is each.empty:
            raise DeclarationError(
                f"{path}({each.name}): it has no annotation, and that says what may be sent: write"
                f" {each.name}: int, or whatever it is"
            )
        annotations[each.name] = each.annotation
        if each.default is not each.empty:
            if not isinstance(each.default, _CONSTANT):
                raise DeclarationError(
                    f"{path}({each.name}): the default {brief(each.default)} can change: give a"
                    " constant, such as () or None"
                )
            namespace[each.name] = each.default
        (named if each.kind is each.KEYWORD_ONLY else positional).append(each.name)
    if signature.return_annotation not in (signature.empty, None, "None"):
        raise DeclarationError(
            f"{path}() returns {_text(signature.return_annotation)}: a call goes to another end and"
            " brings nothing back: write -> None, and let the other end call a method with the"
            " answer"
        )
    namespace |= {
        "__module__": cls.__module__,
        "__qualname__": f"{cls.__qualname__}.{name}",
        "__annotations__": annotations,
        "__doc__": rpc.function.__doc__,
    }
    call = Call(path, rpc.side, cls, rpc.function, signature, tuple(positional), tuple(named))
    return type(path, (), namespace), call


def _text(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "more")
