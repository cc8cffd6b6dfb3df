"""The registry: the types that one game declares.

A declaration that is executed again takes the place of what it declared before, as when a module is
reloaded, a file is run twice in one process, or a cell of a notebook once more. Two declarations of
one name are a mistake, and so is one module under two names: both would make two of a class.
"""

from __future__ import annotations

import linecache
import os
import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, TypeVar
from weakref import WeakSet

from ecsnet.errors import DeclarationError
from ecsnet.schema.annotations import Reader
from ecsnet.schema.description import Schema
from ecsnet.schema.shapes import Foreign, Origin
from ecsnet.schema.wiretype import WireType
from ecsnet.validation.arguments import check_function, check_instance
from ecsnet.validation.wording import brief

__all__ = ["Registry", "current_registry", "is_stock", "register_type", "use_registry"]

T = TypeVar("T")

W = TypeVar("W", bound=WireType)

_INTERACTIVE = re.compile(r"<.*>|.*[/\\](ipykernel|marimo)_\d+[/\\].*")
"""File names of what was typed: each cell or line has one of its own, or all have the same."""


class Running(Protocol):
    """Something that uses the types of a registry until it is closed."""

    @property
    def closed(self) -> bool: ...


class _Declared:
    """Declared types.

    Attributes:
        types: By kind and wire name: types of two kinds may share a name.
        changes: How often something was added or took another's place.
    """

    def __init__(self) -> None:
        self.types: dict[tuple[type[WireType], str], WireType] = {}
        self.changes = 0


_stock = _Declared()


class Registry:
    """The types that a game declared. Every registry also holds ecsnet's stock types."""

    def __init__(self) -> None:
        self._own = _Declared()
        self._foreign: dict[object, Foreign] = {}
        self._schema: tuple[tuple[int, int], Schema] | None = None
        self._users: WeakSet[Running] = WeakSet()

    def add(self, wire_type: WireType) -> None:
        """Take in a declared class.

        Raises:
            DeclarationError: There is one of that name, declared elsewhere, or here while a game
                runs with it; the message names both places.
        """
        declared = _stock if is_stock(wire_type.cls.__module__) else self._own
        key = type(wire_type), wire_type.name
        old = declared.types.get(key)
        if old is not None:
            self._refuse_another(old, wire_type)
        declared.types[key] = wire_type
        declared.changes += 1

    def use(self, running: Running) -> None:
        """Let no declaration take another's place until something is closed, or gone."""
        self._users.add(running)

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
        """Return the wire form of a foreign type; None when it is not registered."""
        return self._foreign.get(cls)

    def types(self, kind: type[W]) -> list[W]:
        """Return the types of a kind by wire name, also those that stay with the server.

        Args:
            kind: A class of `KINDS`, or ``WireType`` for all of them.
        """
        declared = [*_stock.types.values(), *self._own.types.values()]
        return sorted((t for t in declared if isinstance(t, kind)), key=lambda t: t.name)

    def schema(self) -> Schema:
        """Return the types that cross the wire now; the same object until one is declared."""
        changes = (_stock.changes, self._own.changes)
        if self._schema is None or self._schema[0] != changes:
            self._schema = changes, Schema(self.types(WireType))
        return self._schema[1]

    def _refuse_another(self, old: WireType, new: WireType) -> None:
        if is_stock(new.cls.__module__) or not _is_again(_origin(old), _origin(new)):
            raise DeclarationError(_twice(old, new))
        self._refuse_while_used(f"class {new.name}", new.place)

    def _refuse_while_used(self, what: str, place: str) -> None:
        if any(not user.closed for user in self._users):
            raise DeclarationError(
                f"{what} is declared again, at {place}, while a game runs with the one before:"
                " close its clients and stop its server, then run this again"
            )

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
        check_function("register_type(to_wire", to_wire, f"value: {cls.__name__}")
        check_function("register_type(from_wire", from_wire, "wire: object")
        file, line = caller.f_code.co_filename, caller.f_lineno
        place = f"{os.path.basename(file)}:{line}"
        linecache.checkcache(file)  # it may have been edited and reloaded
        text = linecache.getline(file, line)
        origin = Origin(str(caller.f_globals.get("__name__")), file, line, text)
        other = self._foreign.get(cls)
        if other is not None:
            if not _is_again(other.origin, origin):
                raise DeclarationError(
                    f"{cls.__qualname__} is registered twice: at {other.place} and at {place}"
                )
            self._refuse_while_used(cls.__qualname__, place)

        def resolve(path: str, text: str) -> object:
            raise DeclarationError(f"{path}: give the type itself, not {text!r}")

        path = f"register_type({cls.__qualname__}, ...)"
        Reader(False, self.foreign, resolve).read(path, wire_type)
        self._foreign[cls] = Foreign(cls, wire_type, to_wire, from_wire, place, origin)


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
        UsageError: One of the functions does not take one value.
    """
    _current._register(cls, wire_type, to_wire, from_wire, sys._getframe(1))


def current_registry() -> Registry:
    """Return the registry that declarations go into."""
    return _current


@contextmanager
def use_registry(registry: Registry) -> Generator[Registry]:
    """Let declarations go into another registry inside a ``with``, to keep games apart.

    Raises:
        UsageError: It is no `Registry`.
    """
    check_instance("use_registry(registry", registry, Registry, "give a Registry()")
    global _current
    before, _current = _current, registry
    try:
        yield registry
    finally:
        _current = before


_current = Registry()


def is_stock(module: str) -> bool:
    """Return whether a module is part of ecsnet; its samples are games like any other."""
    return module.startswith("ecsnet.") and not module.startswith("ecsnet.samples.")


def _origin(declared: WireType) -> Origin:
    return Origin(declared.cls.__module__, declared.file, declared.line, declared.line_text)


def _is_again(old: Origin, new: Origin) -> bool:
    """Return whether a declaration is an earlier one, executed again."""
    if old.module != new.module:
        return False
    if _INTERACTIVE.fullmatch(old.file) and _INTERACTIVE.fullmatch(new.file):
        return True
    if old.file != new.file or old.line == new.line:
        return old.file == new.file
    # The file was edited in between, unless the other one still stands there.
    return bool(old.text) and linecache.getline(new.file, old.line) != old.text


def _twice(old: WireType, new: WireType) -> str:
    if (old.file, old.line) == (new.file, new.line):
        modules = old.cls.__module__, new.cls.__module__
        return (
            f"class {new.name} is declared twice: at {old.place} and at {new.place};"
            f" the same line ran as {modules[0]} and as {modules[1]}, and may run only once"
        )
    places = (old.place, new.place)
    if os.path.basename(old.file) == os.path.basename(new.file):
        places = (f"{old.file}:{old.line}", f"{new.file}:{new.line}")
    return (
        f"class {new.name} is declared twice: at {places[0]} and at {places[1]};"
        " the wire name does not hold the module, so rename one of them"
    )
