"""The facts about one declared class, and the functions that find them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import takewhile
from typing import ClassVar, TypeVar

from ecsnet.errors import UsageError
from ecsnet.schema.calls import Call
from ecsnet.schema.codegen import Check, Count, Ref
from ecsnet.schema.contents import Contents
from ecsnet.schema.fields import Suspect
from ecsnet.schema.gate import encode
from ecsnet.schema.kinds import Kind
from ecsnet.validation.wording import brief

__all__ = [
    "KINDS",
    "CommandType",
    "ComponentType",
    "EventType",
    "Field",
    "WireType",
    "command_type",
    "component_type",
    "event_type",
    "is_sent",
    "unsent",
]

W = TypeVar("W", bound="WireType")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a declared class."""

    name: str
    text: str
    """Description of what it holds, as the other end is told: ``"int between -1 and 1"``."""
    default: str | None
    """The repr of its default, ``"list()"`` for a factory, None when it must be given."""
    kind: Kind
    """The kind of what it holds, as data."""
    number: bool
    """It holds a single number, or None."""
    suspect: Suspect | None
    """The limit that it never passes in honest play."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WireType:
    """The facts about one declared class. The functions are generated for the class.

    Each kind of declaration is a subclass, listed in `KINDS`. What it adds are the options of its
    decorator, and all that both ends have to agree on beside the fields.

    A value and its wire form may share what is mutable, such as a list: encode the one at
    once, ``clone`` the other before it is handed out.
    """

    kind: ClassVar[str]
    """The name of the kind, in messages and in the description: ``"component"``."""
    decorator: ClassVar[str]
    """The name of its decorator in ``ecsnet``: ``"replicated"``."""
    predicate: ClassVar[str]
    """The predicate of such a class, in messages: ``"replicated"``, ``"a command"``."""
    from_client: ClassVar[bool]
    """Clients send it, and may send anything: all that a field holds must be bounded."""

    cls: type
    name: str
    """The wire name: the qualified name without its module; ``ecsnet.X`` for stock types."""
    file: str
    line: int
    line_text: str
    """Text of that line."""
    fields: tuple[Field, ...]
    flat: bool
    """Every field is immutable: comparing structs finds every change, ``__copy__`` copies all."""
    direct: bool
    """The wire form is the struct itself: ``to_wire`` and ``from_wire`` have nothing to do."""
    has_refs: bool
    """There are entity references inside."""
    wire_type: type
    """The type that msgspec decodes: ``cls`` when direct."""
    to_wire: Callable[[object, Ref], object]
    """``to_wire(value, ref)``: the encodable wire form; ``ref`` maps a local entity id to its
    network id. Raises BadValueError for a value that does not fit, as far as that shows."""
    from_wire: Callable[[object, Ref], object]
    """``from_wire(wire, ref)``: the value; ``ref`` maps a network id to the local entity id.
    Raises BadMessageError when a foreign type's converter does not like what it got."""
    refs: Callable[[object], tuple[int, ...]]
    """``refs(wire)``: the network ids in a wire form, as often as they occur."""
    assign: Callable[[object, object], None]
    """``assign(dst, src)``: give every field of ``dst`` a copy of ``src``'s."""
    move: Callable[[object, object], None]
    """``move(dst, src)``: give every field of ``dst`` what ``src``'s holds, which nobody else may
    hold then. Runs no code of the game's."""
    clone: Callable[[object], object]
    """``clone(value)``: a copy that shares nothing mutable."""
    floats: Callable[[object], tuple[float, ...]]
    """``floats(wire)``: what the fields that are floats hold, as the value has them; not those that
    may be None."""
    blend: Callable[[object, Sequence[float], Sequence[float], float], None]
    """``blend(dst, one, other, fraction)``: give the float fields of ``dst`` what lies between two
    such tuples: at 0 it is ``one``, at 1 it is ``other``, and beyond 1 it goes on."""
    distance: Callable[[Sequence[float], Sequence[float]], float]
    """``distance(one, other)``: how far two such tuples are apart, as two points are."""
    read_floats: Callable[[object], tuple[float, ...]]
    """``read_floats(value)``: what these fields of the value itself hold."""
    write_floats: Callable[[object, Sequence[float]], None]
    """``write_floats(dst, floats)``: let them hold what is given, unchanged."""
    near: Callable[[object, object], bool]
    """``near(wire, wire)``: whether two wire forms are of one value, as far as they tell: what is
    quantised may be one step apart."""
    field_checks: tuple[Check, ...]
    """For each field: whether it can hold a value."""
    bound: int | None
    """The most bytes that a wire form takes encoded; None where its type sets no bound."""
    contents: Contents
    """The least that each instance holds, without itself."""
    nests: bool
    """True if the number of containers differs from one instance to the other."""
    count: Count | None
    """``count(wire)``: what a wire form holds beyond `contents`; None where that is nothing."""
    buffers: bool
    """There are bytes inside: what equals them may be a bytearray, which can change."""
    calls: Mapping[str, WireType]
    """The types of its methods that run on the other end, by their names."""
    call: Call | None
    """The method that it is itself, where it is one."""

    @property
    def place(self) -> str:
        """The place of the class: ``"game.py:9"``."""
        return f"{os.path.basename(self.file)}:{self.line}"

    @property
    def crosses(self) -> bool:
        """True if it crosses the wire, and is part of the schema."""
        return True

    def options(self) -> tuple[tuple[str, str], ...]:
        """Return its decorator's options as the other end is told them: ``(("hold", "True"),)``."""
        added = fields(self)[len(fields(WireType)) :]
        return tuple((option.name, str(getattr(self, option.name))) for option in added)

    def misfit(self, value: object, ref: Ref) -> tuple[str, str] | None:
        """Find what keeps a value from crossing the wire; for errors, not for the hot path.

        Args:
            value: An instance of the class.
            ref: As for ``to_wire``.

        Returns:
            ``("Tank.hp: 1.5 is not float", "it is a numpy.float32")``; the second is empty where
            the first says enough. None when nothing does.
        """
        for field, check in zip(self.fields, self.field_checks, strict=True):
            found = getattr(value, field.name, None)
            why = check(found, ref)
            if why is not None:
                return f"{self.cls.__name__}.{field.name}: {brief(found)} is not {field.text}", why
        return None

    def held(self, wire: object) -> Contents:
        """Count what a wire form holds, without itself."""
        fixed = self.contents
        if self.count is None:
            return fixed
        containers, items = self.count(wire)
        return Contents(fixed.containers + containers, fixed.items + items)

    def fault(self, value: object, ref: Ref) -> str | None:
        """Say what keeps a value from crossing the wire, in one line: see ``misfit``."""
        found = self.misfit(value, ref)
        return None if found is None else ": ".join(filter(None, found))

    def differing(self, one: object, other: object) -> str | None:
        """Find where two values differ; for checks, not for the hot path.

        What says that it is equal is believed. What does not may have no notion of it, or raise:
        then it counts what would cross the wire.

        Args:
            one: Any instance of the class.
            other: Another one, which can cross.

        Returns:
            The name of the first such field; None when there is none.
        """
        for field in self.fields:
            found = getattr(one, field.name, None)
            try:
                if found == getattr(other, field.name):
                    continue
            except Exception:  # noqa: BLE001 - an array has no single answer, say
                pass
            probe = self.clone(other)
            setattr(probe, field.name, found)
            if self._crossing(probe) != self._crossing(other):
                return field.name
        return None

    def _crossing(self, value: object) -> bytes:
        """Encode a value, entities by their numbers here; empty for one that cannot be encoded."""
        try:
            return encode(self.to_wire(value, lambda entity: entity))
        except Exception:  # noqa: BLE001 - converters are not ours
            return b""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ({self.place})>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ComponentType(WireType):
    """A class under ``@replicated``."""

    kind = "component"
    decorator = "replicated"
    predicate = "replicated"
    from_client = False

    visible_to: str
    """``"everyone"``, ``"owner"`` or ``"server"``."""
    once: bool
    """Sent when it is inserted, never again."""
    rate: int
    """Sent at most every so many ticks."""
    interpolate: bool
    """Its floats are drawn between two values."""
    snap: float | None
    """A step longer than that is a jump, in the units of its fields; None: no step is."""
    predicted: bool
    """Its owner's client runs ahead with it, and sets it right where the server says otherwise."""

    @property
    def repeated(self) -> bool:
        """True if a value that comes to rest is told three times: others are drawn by it."""
        return self.interpolate or self.name == "ecsnet.Teleports"

    @property
    def crosses(self) -> bool:
        return self.visible_to != "server"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CommandType(WireType):
    """A class under ``@command``."""

    kind = "command"
    decorator = "command"
    predicate = "a command"
    from_client = True

    hold: bool
    """A state that goes on, not an action that happens once."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EventType(WireType):
    """A class under ``@event``."""

    kind = "event"
    decorator = "event"
    predicate = "an event"
    from_client = False


KINDS: tuple[type[WireType], ...] = (ComponentType, CommandType, EventType)
"""All kinds of declarations, in the order of the description; each has names and numbers of its
own."""


def component_type(cls: type[object], verb: str = "this") -> ComponentType:
    """Return the component type of a replicated class.

    Args:
        cls: The class itself; a subclass counts only under a decorator of its own.
        verb: What the caller does, for the message: ``"attach()"``.

    Raises:
        UsageError: The class is not replicated.
    """
    return _of_kind(ComponentType, cls, verb)


def command_type(cls: type[object], verb: str = "this") -> CommandType:
    """Return the command type of a class.

    Args:
        cls: The class itself; a subclass counts only under a decorator of its own.
        verb: What the caller does, for the message: ``"send()"``.

    Raises:
        UsageError: The class is not a command.
    """
    return _of_kind(CommandType, cls, verb)


def event_type(cls: type[object], verb: str = "this") -> EventType:
    """Return the event type of a class.

    Args:
        cls: The class itself; a subclass counts only under a decorator of its own.
        verb: What the caller does, for the message: ``"emit()"``.

    Raises:
        UsageError: The class is not an event.
    """
    return _of_kind(EventType, cls, verb)


def is_sent(cls: type[object]) -> bool:
    """Return whether components of a class are sent to clients."""
    known = _known(cls)
    return isinstance(known, ComponentType) and known.crosses


def unsent(cls: type[object], sent: Container[type]) -> str | None:
    """Say why the instances of a class are sent to nobody, where its author may expect otherwise.

    Args:
        cls: The class of a component that is on an entity.
        sent: The classes that are sent.

    Returns:
        ``"Minion is never sent: ..."``; None for what is sent, and for what is plainly not meant
        to be.
    """
    if cls in sent:
        return None
    name = cls.__qualname__
    known = _known(cls)
    if isinstance(known, ComponentType) and known.crosses:
        return (
            f"{name} ({known.place}) is never sent: it was declared when this server was made"
            " already, or again since then; import its module before"
        )
    base = next((base for base in cls.__mro__[1:] if base in sent), None)
    if known is not None or base is None:
        return None
    return (
        f"{name} is never sent: it inherits from {base.__qualname__}, which is replicated, and has"
        f" no decorator of its own; put @net.replicated above class {name}{_place_of(cls)}"
    )


def _of_kind(kind: type[W], cls: type[object], verb: str) -> W:
    found = _known(cls)
    if isinstance(found, kind):
        return found
    raise UsageError(_refusal(cls, verb, found, kind))


def _known(cls: object) -> object:
    # Not getattr: a subclass without a decorator is not declared.
    return cls.__dict__.get("__ecsnet__") if isinstance(cls, type) else None


def _refusal(cls: object, verb: str, found: object, kind: type[WireType]) -> str:
    wanted = kind.predicate
    if not isinstance(cls, type):
        if _known(type(cls)) is None:
            return f"{verb} got {brief(cls)}: pass a class that is {wanted}"
        return f"{verb} got {brief(cls)}: pass the class, {type(cls).__name__}"
    if issubclass(cls, type) or cls.__module__ in ("types", "typing"):  # list[int], int | str
        return f"{verb} got a class: pass an instance of it"
    name = "None" if cls is type(None) else cls.__qualname__
    if isinstance(found, WireType):
        return f"{verb} got {name}, which is {found.predicate}, not {wanted} ({found.place})"
    message = f"{verb} got {name}, which is not {wanted}"
    if cls.__module__ == "builtins":
        return message
    return f"{message}: put @net.{kind.decorator} above class {name}{_place_of(cls)}"


def _place_of(cls: type[object]) -> str:
    """`` (game.py:9)`` for a class that was not declared; only found where its source is."""
    try:
        file = inspect.getsourcefile(cls)
        lines, start = inspect.getsourcelines(cls)
    except (OSError, TypeError):
        return ""
    skipped = sum(1 for _ in takewhile(lambda line: not line.lstrip().startswith("class "), lines))
    return f" ({os.path.basename(str(file))}:{start + skipped})"
