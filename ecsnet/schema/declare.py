"""``@replicated``, ``@command``, ``@event``: from an annotated class to a Struct that crosses."""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import linecache
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, ClassVar, Literal, TypeVar, dataclass_transform, overload

import msgspec

from ecsnet.errors import DeclarationError
from ecsnet.schema.annotations import Reader
from ecsnet.schema.calls import Call, call_class, rpcs
from ecsnet.schema.codegen import Check, generate
from ecsnet.schema.contents import total
from ecsnet.schema.registry import current_registry, is_stock
from ecsnet.schema.shapes import Shape, bound_of, lasts, wire_struct
from ecsnet.schema.wiretype import KINDS, CommandType, ComponentType, EventType, Field, WireType
from ecsnet.validation.arguments import is_number, is_text
from ecsnet.validation.wording import brief

__all__ = ["command", "event", "replicated"]

T = TypeVar("T")

_StructMeta: type[type] = type(msgspec.Struct)
_FACTORY: type[object] = type(msgspec.defstruct("_", [("_", list, [])]).__struct_defaults__[0])
_MISSING = object()
_LEFT_BEHIND = {
    "__annotate__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__dict__",
    "__match_args__",
    "__slots__",
    "__weakref__",
}

_VISIBLE_TO = ("everyone", "owner", "server")

_REFUSED = {
    "__init__": "the constructor is made from the fields: give them defaults, or write a"
    " classmethod that fills them in",
    "__new__": "the constructor is made from the fields: give them defaults, or write a"
    " classmethod that fills them in",
    "__post_init__": "it would run on what a peer sent: write a classmethod that fills fields in",
    "__eq__": "equal means equal fields, which is how changes are found: name the method"
    " otherwise, such as same_as()",
    "__ne__": "equal means equal fields, which is how changes are found: name the method"
    " otherwise, such as same_as()",
    "__setattr__": "fields are written as they are: use a method or a property that sets them",
    "__getattribute__": "fields are read as they are: use a method or a property",
    "__copy__": "a copy has equal fields: name the method otherwise, such as copied()",
    "__slots__": "the fields are the slots: leave it out",
}

_MUTABLE = (list, dict, set, bytearray, msgspec.Struct)
"""Of these, no two instances may share one as the default of a field."""

_PLAIN = (int, float, str, bytes, type(None), tuple, list, dict, enum.Enum)
"""The types of the values in a field, beside Structs and registered types."""


class _NoDataclass:
    """Lets ``@dataclass`` above a declared class say so, where it would fail without a word."""

    def __get__(self, instance: object, owner: type[object]) -> object:
        # @dataclass asks each base of the class below it. Whoever asks the class itself, as
        # is_dataclass() does, is to hear that it is none.
        if owner is _Declared:
            *others, last = [f"@net.{kind.decorator}" for kind in KINDS]
            raise DeclarationError(
                "@dataclass stands above a class that is, or inherits from, a declared one:"
                f" {', '.join(others)} and {last} stand in place of @dataclass"
            )
        raise AttributeError("__dataclass_fields__")


class _Declared(msgspec.Struct):
    """The base of what the decorators make."""

    __dataclass_fields__: ClassVar[_NoDataclass] = _NoDataclass()


@overload
@dataclass_transform(field_specifiers=(dataclasses.field,))
def replicated(cls: type[T], /) -> type[T]: ...


@overload
def replicated(
    cls: None = None,
    /,
    *,
    visible_to: Literal["everyone", "owner", "server"] = "everyone",
    once: bool = False,
    rate: int = 1,
    interpolate: bool = False,
    snap: float | None = None,
    predicted: bool = True,
) -> Callable[[type[T]], type[T]]: ...


def replicated(
    cls: type[T] | None = None,
    /,
    *,
    visible_to: str = "everyone",
    once: bool = False,
    rate: int = 1,
    interpolate: bool = False,
    snap: float | None = None,
    predicted: bool = True,
) -> type[T] | Callable[[type[T]], type[T]]:
    """Make a class a component that the server's clients see.

    ::

        @net.replicated
        class Tank:
            x: float = 0.0
            hp: Annotated[int, net.Between(0, 100)] = 100

    Fields are declared and the constructor works as under ``@dataclass``; methods, properties
    and ``super()`` are kept. Fields hold int, float, bool, str, bytes, None, an Enum, a Literal,
    ``net.EntityRef``, a type given to ``net.register_type``, another such class, and tuples,
    lists and dicts of these.

    Args:
        cls: The class, when the decorator stands without parentheses.
        visible_to: ``"everyone"`` who can see the entity, only the player who is the entity's
            ``"owner"``, or nobody but the ``"server"``.
        once: Send the values of the moment it is added to an entity, and no later ones.
        rate: Send changes at most every so many ticks.
        interpolate: Draw its float fields between two values that came, where a client is smooth:
            a little later, and without steps. Fields of all other types change when the later one
            is drawn.
        snap: With ``interpolate``, a step longer than that, in the units of the fields and as
            between two points, is a jump, which nothing is drawn within; None: no step is.
        predicted: False for what only the server's own systems write in every tick, though it is
            on an entity that a player owns: its client does not run ahead with it.

    Returns:
        A new class of the same name and place.

    Raises:
        DeclarationError: The class cannot be declared like that. The message says why, and
            what to write instead.
    """
    if not is_text(visible_to) or visible_to not in _VISIBLE_TO:
        allowed = ", ".join(map(repr, _VISIBLE_TO))
        raise DeclarationError(
            f"replicated(visible_to={brief(visible_to)}): it is one of {allowed}"
        )
    if not isinstance(once, bool):
        raise DeclarationError(f"replicated(once={brief(once)}): it is True or False")
    if type(rate) is not int or not 1 <= rate <= 1000:
        raise DeclarationError(f"replicated(rate={brief(rate)}): a number of ticks from 1 to 1000")
    if once and rate != 1:
        raise DeclarationError("replicated(once=True): it is sent once, so a rate means nothing")
    for option, flag in (("interpolate", interpolate), ("predicted", predicted)):
        if not isinstance(flag, bool):
            raise DeclarationError(f"replicated({option}={brief(flag)}): it is True or False")
    if once and interpolate:
        raise DeclarationError(
            "replicated(once=True): it is sent once, so there is nothing to interpolate"
        )
    if snap is not None:
        if not (is_number(snap) and 0 < snap < math.inf):
            raise DeclarationError(f"replicated(snap={brief(snap)}): a number above 0, or None")
        if not interpolate:
            raise DeclarationError(
                f"replicated(snap={brief(snap)}): it goes with interpolate=True, which draws"
                " between two values"
            )
        snap = float(snap)

    return _decorate(
        ComponentType,
        cls,
        visible_to=visible_to,
        once=once,
        rate=rate,
        interpolate=interpolate,
        snap=snap,
        predicted=predicted,
    )


@overload
@dataclass_transform(field_specifiers=(dataclasses.field,))
def command(cls: type[T], /) -> type[T]: ...


@overload
def command(cls: None = None, /, *, hold: bool = False) -> Callable[[type[T]], type[T]]: ...


def command(
    cls: type[T] | None = None, /, *, hold: bool = False
) -> type[T] | Callable[[type[T]], type[T]]:
    """Make a class a command, which clients send and systems get from ``net.commands``.

    Fields are as under ``@replicated``, and bounded, for anybody may send anything: a str,
    bytes, list, dict or ``tuple[T, ...]`` says how long it may be with ``net.MaxLen``; floats
    are finite and ints fit 64 bits unless ``net.Between`` says more.

    Args:
        cls: The class, when the decorator stands without parentheses.
        hold: The command is a state that goes on until the next one, such as where a stick
            points, and not an action that happens once.

    Returns:
        A new class of the same name and place.

    Raises:
        DeclarationError: The class cannot be declared like that. The message says why, and
            what to write instead.
    """
    if not isinstance(hold, bool):
        raise DeclarationError(f"command(hold={brief(hold)}): it is True or False")
    return _decorate(CommandType, cls, hold=hold)


@overload
@dataclass_transform(field_specifiers=(dataclasses.field,))
def event(cls: type[T], /) -> type[T]: ...


@overload
def event(cls: None = None, /) -> Callable[[type[T]], type[T]]: ...


def event(cls: type[T] | None = None, /) -> type[T] | Callable[[type[T]], type[T]]:
    """Make a class an event, which ``net.emit`` sends and clients get from ``poll()``.

    ::

        @net.event
        class Boom:
            x: float
            y: float
            by: net.EntityRef = None

    Fields are as under ``@replicated``. An event says what has happened, once; what goes on is a
    component.

    Args:
        cls: The class, when the decorator stands without parentheses.

    Returns:
        A new class of the same name and place.

    Raises:
        DeclarationError: The class cannot be declared like that. The message says why, and
            what to write instead.
    """
    return _decorate(EventType, cls)


def _decorate(
    kind: type[WireType], cls: type[T] | None, **options: object
) -> type[T] | Callable[[type[T]], type[T]]:
    """Do the work of a decorator, or return one where it stands with parentheses."""

    def declare(cls: type[T], caller: FrameType) -> type[T]:
        wire_type = _declare(kind, cls, caller, options)
        registry = current_registry()
        registry.add(wire_type)
        for call in wire_type.calls.values():
            registry.add(call)
        return wire_type.cls

    if cls is not None:
        return declare(cls, sys._getframe(2))
    return lambda cls: declare(cls, sys._getframe(1))


@dataclass(slots=True)
class _Slot:
    """A field on its way into a Struct."""

    annotation: object
    default: object = _MISSING
    factory: Callable[[], object] | None = None

    @property
    def required(self) -> bool:
        return self.default is _MISSING and self.factory is None

    def text(self) -> str | None:
        if self.factory is not None:
            return f"{getattr(self.factory, '__name__', 'made')}()"
        return None if self.required else brief(self.default)


def _declare(
    kind: type[WireType],
    cls: type[object],
    caller: FrameType,
    options: Mapping[str, Any],
    call: Call | None = None,
) -> WireType:
    """Rebuild an annotated class as a Struct, with everything that is known about it.

    Args:
        kind: What it becomes.
        cls: The class.
        caller: The frame at the decorator.
        options: Those of the decorator.
        call: The method that it is made of, where it is made of one.
    """
    _refuse(cls, kind)
    name = cls.__name__
    file, line = _place(cls, caller) if call is None else _place_of(call)
    resolve = _resolver(cls, caller)
    reader = Reader(kind.from_client, current_registry().foreign, resolve, cls)

    slots = _slots(cls, resolve)
    _refuse_values_without_type(cls, slots)
    shapes = {
        field: reader.read(f"{name}.{field}", slot.annotation) for field, slot in slots.items()
    }
    for field, slot in slots.items():
        _settle_default(f"{name}.{field}", slot, shapes[field])
    _refuse_required_after_optional(name, slots)

    if options.get("interpolate") and not any(shape.blends for shape in shapes.values()):
        raise DeclarationError(
            f"class {name} has no field that is a float, so interpolate=True has nothing to draw"
            " between two values: make a number in it a float, or leave interpolate out"
        )

    direct = all(shape.native for shape in shapes.values())
    struct = _struct(cls, slots, shapes)
    fields = list(shapes.items())
    wire_type = struct if direct else wire_struct(struct, fields)
    flat = all(shape.immutable for shape in shapes.values())
    codec = generate(struct, wire_type, fields, flat)
    described = tuple(
        Field(field, shape.text, slots[field].text(), shape.kind, shape.number, shape.suspect)
        for field, shape in fields
    )
    for (field, slot), check in zip(slots.items(), codec.checks, strict=True):
        if slot.factory in (list, dict):
            _check_default(f"{name}.{field}", slot.factory(), shapes[field], check)
        elif slot.default is not _MISSING:
            _check_default(f"{name}.{field}", slot.default, shapes[field], check)

    # For classes that inherit from this one or hold it: the author's annotations.
    struct.__ecsnet_hints__ = {field: slot.annotation for field, slot in slots.items()}  # type: ignore[attr-defined]
    declared = kind(
        cls=struct,
        name=("ecsnet." if is_stock(cls.__module__) else "") + cls.__qualname__,
        file=file,
        line=line,
        line_text=linecache.getline(file, line),
        fields=described,
        flat=flat,
        direct=direct,
        has_refs=any(shape.refs for shape in shapes.values()),
        wire_type=wire_type,
        to_wire=codec.to_wire,
        from_wire=codec.from_wire,
        refs=codec.refs,
        assign=codec.assign,
        move=codec.move,
        clone=codec.clone,
        field_checks=codec.checks,
        bound=bound_of(shapes.values()),
        contents=total(*[shape.contents for shape in shapes.values()]),
        nests=any(shape.nests for shape in shapes.values()),
        count=codec.count,
        floats=codec.floats,
        blend=codec.blend,
        near=codec.near,
        distance=codec.distance,
        read_floats=codec.read_floats,
        write_floats=codec.write_floats,
        buffers=any(shape.buffers for shape in shapes.values()),
        calls=_calls(kind, struct, caller, options),
        call=call,
        **options,
    )
    struct.__ecsnet__ = declared  # type: ignore[attr-defined]
    return declared


def _calls(
    kind: type[WireType], cls: type[object], caller: FrameType, options: Mapping[str, object]
) -> dict[str, WireType]:
    """Declare the methods of a class under ``@net.rpc``, by their names."""
    calls: dict[str, WireType] = {}
    for name, rpc in rpcs(cls):
        if kind is not ComponentType:
            raise DeclarationError(
                f"{cls.__name__}.{name}: @net.rpc goes above a method of a class under"
                f" @net.replicated, and {cls.__name__} is under @net.{kind.decorator}"
            )
        if options["visible_to"] == "server":
            raise DeclarationError(
                f"{cls.__name__}.{name}: no client ever has a {cls.__name__}, which is visible to"
                " the server only, so nobody can call it or be called by it"
            )
        made, call = call_class(cls, name, rpc)
        if rpc.side == "server":
            calls[name] = _declare(CommandType, made, caller, {"hold": False}, call)
        else:
            calls[name] = _declare(EventType, made, caller, {}, call)
    return calls


def _refuse(cls: object, kind: type[WireType]) -> None:
    """Refuse what cannot become a Struct that means what its author thinks."""
    decorator = kind.decorator
    if not isinstance(cls, type):
        has_options = len(dataclasses.fields(kind)) > len(dataclasses.fields(WireType))
        or_with = f" or @net.{decorator}(option=...)" if has_options else ""
        raise DeclarationError(
            f"{decorator}() got {brief(cls)}: write @net.{decorator}{or_with} above a class"
        )
    name = cls.__name__
    known = vars(cls).get("__ecsnet__")
    if isinstance(known, WireType):
        raise DeclarationError(f"class {name} is declared already: one decorator, once")
    if "__dataclass_fields__" in vars(cls):
        raise DeclarationError(f"class {name}: @net.{decorator} stands in place of @dataclass")
    if issubclass(cls, enum.Enum):
        raise DeclarationError(
            f"class {name} is an Enum, which is the type of a field: use it in a class that has"
            f" one, as in kind: {name}"
        )
    if typing.is_typeddict(cls):
        raise DeclarationError(f"class {name} is a TypedDict: write class {name}, without a base")
    if type(cls) is not type and not isinstance(cls, _StructMeta):
        raise DeclarationError(
            f"class {name}: its metaclass {type(cls).__name__.lstrip('_')} cannot be kept:"
            " leave out ABC, Protocol and the like"
        )
    for owner in cls.__mro__:
        if owner is object or owner.__module__.partition(".")[0] == "msgspec":
            continue
        for attribute, way_out in _REFUSED.items():
            if attribute in vars(owner) and (attribute != "__slots__" or _is_plain(cls, owner)):
                raise DeclarationError(f"{owner.__name__}.{attribute} cannot be kept: {way_out}")


def _is_plain(cls: type[object], owner: type[object]) -> bool:
    return owner is cls and not isinstance(owner, _StructMeta)


def _resolver(cls: type[object], caller: FrameType) -> Callable[[str, str], object]:
    """Evaluate annotations that are strings, as if where the class stands."""
    module = sys.modules.get(cls.__module__)
    outer = caller.f_globals
    if module is not None and outer.get("__name__") != cls.__module__:
        outer = vars(module)
    names = {**caller.f_locals, **vars(cls), cls.__name__: cls}

    def resolve(path: str, text: str) -> object:
        try:
            return eval(text, outer, names)
        except Exception as error:
            raise DeclarationError(
                f"{path}: the annotation {text!r} cannot be read here ({error}):"
                f" what it names must exist above class {cls.__name__}, not only for type checkers"
            ) from error

    return resolve


def _slots(cls: type[object], resolve: Callable[[str, str], object]) -> dict[str, _Slot]:
    """Return the fields in wire order: inherited ones first, as in a dataclass."""
    slots: dict[str, _Slot] = {}
    mixed_in: dict[str, str] = {}
    for base in reversed(cls.__mro__[1:]):
        if isinstance(base, _StructMeta):
            slots.update(_inherited(base))
        else:
            annotated = inspect.get_annotations(base).items()
            mixed_in.update((field, base.__name__) for field, text in annotated if _is_field(text))
    given = _defaults(cls)
    for field, annotation in inspect.get_annotations(cls).items():
        path = f"{cls.__name__}.{field}"
        if isinstance(annotation, str):
            annotation = resolve(path, annotation)
        if _is_field(annotation):
            slots[field] = _slot(path, annotation, given.get(field, _MISSING))
    for field, base_name in mixed_in.items():
        if field not in slots:
            raise DeclarationError(
                f"{cls.__name__}.{field} comes from class {base_name}, which has no decorator:"
                f" put one above class {base_name}, or write {field}: ClassVar[...] there"
            )
    return slots


def _inherited(base: type[object]) -> dict[str, _Slot]:
    """Return the fields that a Struct gives to its subclasses, as its author annotated them."""
    hints: Mapping[str, object] | None = vars(base).get("__ecsnet_hints__")
    if hints is None:
        try:
            hints = inspect.get_annotations(base, eval_str=True)
        except Exception as error:
            raise DeclarationError(
                f"the annotations of class {base.__name__} cannot be read: {error}"
            ) from error
    given = _defaults(base)
    return {
        field: _slot(f"{base.__name__}.{field}", hint, given.get(field, _MISSING))
        for field, hint in hints.items()
        if _is_field(hint)
    }


def _is_field(annotation: object) -> bool:
    if isinstance(annotation, str):
        return re.match(r"(\w+\.)*ClassVar\b", annotation) is None
    return annotation is not ClassVar and typing.get_origin(annotation) is not ClassVar


def _defaults(cls: type[object]) -> Mapping[str, object]:
    """Return the values behind the ``=`` of each field."""
    if not isinstance(cls, _StructMeta):
        return vars(cls)
    struct: type[msgspec.Struct] = cls  # type: ignore[assignment]
    names, defaults = struct.__struct_fields__, struct.__struct_defaults__
    return dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))


def _slot(path: str, annotation: object, given: object) -> _Slot:
    if given is msgspec.NODEFAULT:
        return _Slot(annotation)
    if type(given) is _FACTORY:
        return _Slot(annotation, factory=given.factory)  # type: ignore[attr-defined]
    if not isinstance(given, dataclasses.Field):
        return _Slot(annotation, given)
    if not given.init or given.compare is False or given.kw_only is True:
        raise DeclarationError(
            f"{path}: of dataclasses.field only default and default_factory mean something here"
        )
    if given.default_factory is not dataclasses.MISSING:
        return _Slot(annotation, factory=given.default_factory)
    if given.default is not dataclasses.MISSING:
        return _Slot(annotation, given.default)
    return _Slot(annotation)


def _settle_default(path: str, slot: _Slot, shape: Shape) -> None:
    """Let no two instances share a default that can change."""
    default = slot.default
    if isinstance(default, list | dict) and not default:
        slot.default, slot.factory = _MISSING, type(default)
    elif shape.immutable:
        if default is not _MISSING and not lasts(default):
            raise _bad_default(path, default, shape)
    elif isinstance(default, msgspec.Struct | tuple) and lasts(default):
        pass  # it is shared safely, though a type in it has an __eq__ of its own
    elif isinstance(default, (*_MUTABLE, tuple)) or current_registry().foreign(type(default)):
        raise DeclarationError(
            f"{path}: all instances would share one {type(default).__name__}:"
            f" use dataclasses.field(default_factory=lambda: {brief(default)})"
        )


def _check_default(path: str, default: object, shape: Shape, check: Check) -> None:
    why = check(default, lambda entity: entity)
    if why is not None:
        raise _bad_default(path, default, shape, why) from None


def _bad_default(path: str, default: object, shape: Shape, why: str = "") -> DeclarationError:
    because = f": {why}" if why else ""
    return DeclarationError(f"{path}: the default {brief(default)} is not {shape.text}{because}")


def _refuse_values_without_type(cls: type[object], slots: Mapping[str, _Slot]) -> None:
    """Refuse ``x = 3``, which looks like a field and would be none."""
    annotated = inspect.get_annotations(cls)
    for name, value in vars(cls).items():
        if name in annotated or (name.startswith("__") and name.endswith("__")):
            continue
        if name not in slots and any(name in vars(base) for base in cls.__mro__[1:]):
            continue  # another value for a class attribute of a base
        text = _assigned(value)
        if text is not None:
            path, kind = f"{cls.__name__}.{name}", _type_text(value)
            raise DeclarationError(
                f"{path} = {text} has no type: write {name}: {kind} = {text},"
                f" or {name}: ClassVar[{kind}] = {text} where all instances share it"
            )


def _assigned(value: object) -> str | None:
    """Return the text behind the ``=`` of a value that a field may hold; None for anything else."""
    if isinstance(value, dataclasses.Field):
        return "field(...)"
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    holds = isinstance(value, (*_PLAIN, msgspec.Struct))
    return brief(value) if holds or current_registry().foreign(type(value)) else None


def _type_text(value: object) -> str:
    if value is None:
        return "... | None"
    if isinstance(value, dataclasses.Field):
        return "..."
    name = type(value).__name__
    return f"{name}[...]" if type(value) in (tuple, list, dict) else name


def _refuse_required_after_optional(name: str, slots: Mapping[str, _Slot]) -> None:
    optional = None
    for field, slot in slots.items():
        if not slot.required:
            optional = field
        elif optional is not None:
            raise DeclarationError(
                f"{name}.{field} must have a default too, because it comes after"
                f" {name}.{optional}, which has one"
            )


def _struct(
    cls: type[object], slots: Mapping[str, _Slot], shapes: Mapping[str, Shape]
) -> type[msgspec.Struct]:
    namespace = {
        attribute: value
        for attribute, value in vars(cls).items()
        if attribute not in _LEFT_BEHIND
        and not attribute.startswith("__struct_")
        and not isinstance(value, types.MemberDescriptorType)
    }
    namespace["__qualname__"] = cls.__qualname__
    namespace["__annotations__"] = {
        field: shapes[field].wire if shapes[field].native else slot.annotation
        for field, slot in slots.items()
    }
    for field, slot in slots.items():
        namespace.pop(field, None)
        if slot.factory is not None:
            namespace[field] = msgspec.field(default_factory=slot.factory)
        elif slot.default is not _MISSING:
            namespace[field] = slot.default
    bases = tuple(base for base in cls.__bases__ if base is not object)
    if not isinstance(cls, _StructMeta):
        bases += (_Declared,)
    has_dict = any("__dict__" in vars(base) for base in cls.__mro__[1:])
    scalar = all(shape.scalar for shape in shapes.values())
    try:
        made: type[msgspec.Struct] = _StructMeta(
            cls.__name__,
            bases,
            namespace,
            array_like=True,
            forbid_unknown_fields=True,
            omit_defaults=False,
            frozen=False,
            eq=True,
            order=False,
            kw_only=False,
            tag=False,
            gc=has_dict or not scalar,
        )
    except (TypeError, ValueError) as error:
        raise DeclarationError(f"class {cls.__name__} cannot be declared: {error}") from error
    for function in _functions(namespace.values()):
        _rebind(function, cls, made)
    return made


def _functions(values: Iterable[object]) -> Iterator[types.FunctionType]:
    """Yield every function within class attributes: methods, accessors, and what these wrap."""
    waiting = list(values)
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, types.FunctionType):
            yield value
            waiting.extend(_contents(value))
        elif isinstance(value, classmethod | staticmethod):
            waiting.append(value.__func__)
        elif isinstance(value, property):
            waiting.extend((value.fget, value.fset, value.fdel))
        elif isinstance(value, functools.partialmethod):
            waiting.append(value.func)
        else:
            waiting.append(getattr(value, "__wrapped__", None))


def _contents(function: types.FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue


def _rebind(function: types.FunctionType, old: type[object], new: type[object]) -> None:
    """Let ``super()`` and ``__class__`` mean the new class."""
    for cell in function.__closure__ or ():
        try:
            if cell.cell_contents is old:
                cell.cell_contents = new
        except ValueError:  # not filled yet
            continue


def _place(cls: type[object], caller: FrameType) -> tuple[str, int]:
    """Return the file, and the line with the word ``class``: the frame stands at the decorator."""
    return _line_of("class", cls.__name__, caller.f_code.co_filename, caller.f_lineno)


def _place_of(call: Call) -> tuple[str, int]:
    """Return the file, and the line with the word ``def``."""
    code = inspect.unwrap(call.function).__code__
    return _line_of("def", code.co_name, code.co_filename, code.co_firstlineno)


def _line_of(keyword: str, name: str, file: str, first: int) -> tuple[str, int]:
    """Find the line with the keyword, from the first decorator on."""
    linecache.checkcache(file)  # it may have been edited and reloaded
    begins = re.compile(rf"\s*{keyword}\s+{re.escape(name)}\b")
    for line in range(first, first + 50):
        if begins.match(linecache.getline(file, line)):
            return file, line
    return file, first
