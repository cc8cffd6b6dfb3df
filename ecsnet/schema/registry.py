"""Who declared what: the types of one game."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from ecsnet.errors import DeclarationError
from ecsnet.schema.annotations import Reader
from ecsnet.schema.description import Schema
from ecsnet.schema.shapes import Foreign
from ecsnet.schema.wiretype import CommandType, ComponentType, WireType
from ecsnet.wording import brief

__all__ = ["Registry", "current_registry", "is_stock", "register_type", "use_registry"]

T = TypeVar("T")


class _Declared:
    """Types by wire name; components and commands may share a name."""

    def __init__(self) -> None:
        self.components: dict[str, ComponentType] = {}
        self.commands: dict[str, CommandType] = {}

    def __len__(self) -> int:
        return len(self.components) + len(self.commands)


_stock = _Declared()


class Registry:
    """The types that a game declared. Every registry also holds ecsnet's stock types."""

    def __init__(self) -> None:
        self._own = _Declared()
        self._foreign: dict[object, Foreign] = {}
        self._schema: Schema | None = None
        self._schema_size = -1

    def add(self, wire_type: ComponentType | CommandType) -> None:
        """Take in a declared class.

        Raises:
            DeclarationError: There is one of that name; the message names both places.
        """
        declared = _stock if is_stock(wire_type.cls.__module__) else self._own
        if isinstance(wire_type, ComponentType):
            _put(declared.components, wire_type)
        else:
            _put(declared.commands, wire_type)

    def register_type(
        self,
        cls: type[T],
        wire_type: object,
        to_wire: Callable[[T], object],
        from_wire: Callable[..., T],
    ) -> None:
        """Let fields hold a type that somebody else wrote; see ``register_type``."""
        self._register(cls, wire_type, to_wire, from_wire, sys._getframe(1))

    def foreign(self, cls: object) -> Foreign | None:
        """How a foreign type crosses the wire; None when it is not registered."""
        return self._foreign.get(cls)

    def components(self) -> list[ComponentType]:
        """All replicated types by wire name, those for the server's eyes only as well."""
        declared = [*_stock.components.values(), *self._own.components.values()]
        return sorted(declared, key=lambda component: component.name)

    def commands(self) -> list[CommandType]:
        """All command types, by wire name."""
        declared = [*_stock.commands.values(), *self._own.commands.values()]
        return sorted(declared, key=lambda command: command.name)

    def schema(self) -> Schema:
        """The types that cross the wire, as they are now; the same object until one is added."""
        size = len(_stock) + len(self._own)
        if self._schema is None or size != self._schema_size:
            self._schema = Schema(self.components(), self.commands())
            self._schema_size = size
        return self._schema

    def _register(
        self,
        cls: type[T],
        wire_type: object,
        to_wire: Callable[[T], object],
        from_wire: Callable[..., T],
        caller: FrameType,
    ) -> None:
        given: object = cls
        if (
            not isinstance(given, type)
            or given.__module__ == "builtins"
            or "__ecsnet__" in vars(given)
        ):
            raise DeclarationError(
                f"register_type() got {brief(cls)}: it takes a class that cannot cross the wire"
                " as it is"
            )
        place = f"{os.path.basename(caller.f_code.co_filename)}:{caller.f_lineno}"
        other = self._foreign.get(cls)
        if other is not None:
            raise DeclarationError(
                f"{cls.__qualname__} is registered twice: at {other.place} and at {place}"
            )

        def resolve(path: str, text: str) -> object:
            raise DeclarationError(f"{path}: give the type itself, not {text!r}")

        path = f"register_type({cls.__qualname__}, ...)"
        Reader(False, self.foreign, resolve).read(path, wire_type)
        self._foreign[cls] = Foreign(cls, wire_type, to_wire, from_wire, place)


def register_type(
    cls: type[T],
    wire_type: object,
    to_wire: Callable[[T], object],
    from_wire: Callable[..., T],
) -> None:
    """Let fields hold a type that somebody else wrote.

    Call it above the first class with such a field::

        net.register_type(pygame.Vector2, tuple[float, float], tuple, pygame.Vector2)

    Args:
        cls: The type.
        wire_type: What crosses the wire in its place: anything that a field may hold.
        to_wire: Makes the second from the first.
        from_wire: The way back. It gets what a peer sent, so it has to raise on a value of the
            wire type that it cannot use.

    Raises:
        DeclarationError: The type is registered already, or crosses the wire as it is.
    """
    _current._register(cls, wire_type, to_wire, from_wire, sys._getframe(1))


def current_registry() -> Registry:
    """The registry that declarations go into."""
    return _current


@contextmanager
def use_registry(registry: Registry) -> Generator[Registry]:
    """Let declarations go into another registry inside a ``with``, to keep games apart."""
    global _current
    before, _current = _current, registry
    try:
        yield registry
    finally:
        _current = before


_current = Registry()

D = TypeVar("D", bound=WireType)


def is_stock(module: str) -> bool:
    """Whether a module is part of ecsnet; its samples are games like any other."""
    return module.startswith("ecsnet.") and not module.startswith("ecsnet.samples.")


def _put(types: dict[str, D], new: D) -> None:
    old = types.setdefault(new.name, new)
    if old is new:
        return
    if (old.file, old.line) == (new.file, new.line):
        modules = old.cls.__module__, new.cls.__module__
        raise DeclarationError(
            f"class {new.name} is declared twice: at {old.place} and at {new.place};"
            f" the same line ran as {modules[0]} and as {modules[1]}, and may run only once"
        )
    places = (old.place, new.place)
    if os.path.basename(old.file) == os.path.basename(new.file):
        places = (f"{old.file}:{old.line}", f"{new.file}:{new.line}")
    raise DeclarationError(
        f"class {new.name} is declared twice: at {places[0]} and at {places[1]};"
        " the wire name does not hold the module, so rename one of them"
    )
