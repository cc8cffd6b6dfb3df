"""The shape of a field: what its annotation means, on the wire and in memory.

``Reader.read`` turns one annotation into a tree of shapes, or refuses it with a
``DeclarationError`` that names the field. A shape knows the type msgspec decodes, the text that
describes it to the other end, and how generated code converts, copies and searches it.
"""

from __future__ import annotations

import enum
import inspect
import math
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from types import GenericAlias, UnionType
from typing import Annotated, Any, Literal, Union

import msgspec

from ecsnet.errors import DeclarationError
from ecsnet.schema.codegen import Code
from ecsnet.schema.fields import Between, EntityMark, MaxLen, Quantized, Suspect
from ecsnet.schema.kinds import PLAIN, Kind

__all__ = ["Foreign", "Reader", "Shape", "strict", "wire_struct"]

_INT64 = (-(2**63), 2**63 - 1)
_FINITE = (-sys.float_info.max, sys.float_info.max)
# Above this a float no longer tells neighbouring steps apart with certainty.
_STEPS = (-(2**50), 2**50)
_TEXT_LIMIT = 400

_GOES_WITH: dict[type, str] = {
    Quantized: "float",
    Between: "int and float",
    MaxLen: "str, bytes, list, dict and tuple[T, ...]",
    Suspect: "int, float and tuples of them",
}

_MARKS = (Quantized, Between, MaxLen, EntityMark, Suspect)

_ADVICE = {
    "Vector2": "use two floats",
    "Vector3": "use three floats",
    "Rect": "use four ints",
    "FRect": "use four floats",
    "Color": "use four ints",
    "complex": "use two floats",
    "datetime": "use a float, in seconds",
    "timedelta": "use a float, in seconds",
    "Decimal": "use an int of the smallest unit",
    "set": "use a list",
    "frozenset": "use a tuple",
    "bytearray": "use bytes",
    "object": "use the type that it holds",
    "Any": "use the type that it holds",
}


@dataclass(frozen=True, slots=True)
class Foreign:
    """A type that somebody else wrote, and how it crosses the wire."""

    cls: type[object]
    wire_type: object
    to_wire: Callable[[Any], object]
    from_wire: Callable[[Any], object]
    place: str


class Shape:
    """One annotation, understood. As such: a value that crosses as it is.

    Attributes:
        text: Describes the shape to people and to the other end.
        wire: The type that msgspec decodes.
        immutable: A shared value can never change under a holder.
        scalar: Immutable and not a container: it cannot take part in a reference cycle.
        native: The wire form is the value itself.
        refs: There are entity references inside.
        foreign: There is code inside that is not ours and may raise on what a peer sent.
        key: Can be the key of a dict.
        kind: What a value means that was encoded as it stands.
        number: A single number.
        suspect: What it never does in honest play.
    """

    immutable = True
    scalar = True
    native = True
    refs = False
    foreign = False
    kind = PLAIN
    number = False
    suspect: Suspect | None = None

    def __init__(self, text: str, wire: object, *, key: bool = False) -> None:
        self.text = _bounded(text)
        self.wire = wire
        self.key = key

    def to_wire(self, code: Code, value: str) -> str:
        """An expression for the wire form of ``value``."""
        return value

    def from_wire(self, code: Code, value: str) -> str:
        """An expression for the component form of the wire value ``value``."""
        return value

    def clone(self, code: Code, value: str) -> str:
        """An expression for a copy of ``value`` that shares nothing mutable with it."""
        return value

    def collect(self, code: Code, value: str) -> list[str]:
        """Statements that ``add`` each network id in the wire value ``value``."""
        return []


class _Entity(Shape):
    native = False
    refs = True

    def __init__(self) -> None:
        network_id = Annotated[int, msgspec.Meta(ge=1, le=_INT64[1])]
        super().__init__("EntityRef", Union[network_id, None])  # noqa: UP007 - pyright

    def to_wire(self, code: Code, value: str) -> str:
        return f"ref({value})"

    def from_wire(self, code: Code, value: str) -> str:
        return f"ref({value})"

    def collect(self, code: Code, value: str) -> list[str]:
        name = code.fresh()
        return [f"if ({name} := {value}) is not None: add({name})"]


class _Quantized(Shape):
    native = False

    def __init__(self, step: float, bounds: tuple[float, float] | None) -> None:
        text = f"float in steps of {step!r}"
        lo, hi = _STEPS
        if bounds is not None:
            text += f" between {bounds[0]!r} and {bounds[1]!r}"
            lo, hi = (round(min(max(bound / step, lo), hi)) for bound in bounds)
        super().__init__(text, Annotated[int, msgspec.Meta(ge=lo, le=hi)])
        self._step = step
        # The outermost step can lie up to half a step outside the bounds.
        self._clamp = None
        if bounds is not None and not (bounds[0] <= lo * step and hi * step <= bounds[1]):
            self._clamp = bounds

    def to_wire(self, code: Code, value: str) -> str:
        return f"round({value} / {self._step!r})"

    def from_wire(self, code: Code, value: str) -> str:
        number = f"{value} * {self._step!r}"
        if self._clamp is None:
            return number
        lo, hi = self._clamp
        return f"min(max({number}, {lo!r}), {hi!r})"


class _Holder(Shape):
    """A shape with shapes inside."""

    def __init__(self, text: str, wire: object, *inner: Shape) -> None:
        super().__init__(text, wire)
        self.immutable = all(shape.immutable for shape in inner)
        self.scalar = False
        self.native = all(shape.native for shape in inner)
        self.refs = any(shape.refs for shape in inner)
        self.foreign = any(shape.foreign for shape in inner)


class _Optional(_Holder):
    def __init__(self, inner: Shape) -> None:
        super().__init__(f"{inner.text} | None", Union[inner.wire, None], inner)  # noqa: UP007
        self.scalar = inner.scalar
        self.kind = inner.kind
        self.number = inner.number
        self.suspect = inner.suspect
        self._inner = inner

    def to_wire(self, code: Code, value: str) -> str:
        return value if self.native else self._guard(code, value, self._inner.to_wire)

    def from_wire(self, code: Code, value: str) -> str:
        return value if self.native else self._guard(code, value, self._inner.from_wire)

    def clone(self, code: Code, value: str) -> str:
        return value if self.immutable else self._guard(code, value, self._inner.clone)

    def collect(self, code: Code, value: str) -> list[str]:
        name = code.fresh()
        inside = self._inner.collect(code, name)
        if not inside:
            return []
        return [f"if ({name} := {value}) is not None:", *_indented(inside)]

    @staticmethod
    def _guard(code: Code, value: str, convert: Callable[[Code, str], str]) -> str:
        name = code.fresh()
        return f"(None if ({name} := {value}) is None else {convert(code, name)})"


class _Sequence(_Holder):
    """``list[T]``, and ``tuple[T, ...]``."""

    def __init__(self, text: str, wire: object, inner: Shape, is_list: bool) -> None:
        super().__init__(text, wire, inner)
        self.immutable = inner.immutable and not is_list
        self.kind = _kind("list", inner)
        self._inner = inner
        self._is_list = is_list

    def to_wire(self, code: Code, value: str) -> str:
        return value if self.native else self._each(code, value, self._inner.to_wire)

    def from_wire(self, code: Code, value: str) -> str:
        return value if self.native else self._each(code, value, self._inner.from_wire)

    def clone(self, code: Code, value: str) -> str:
        if self.immutable:
            return value
        if self._inner.immutable:
            return f"[*{value}]"
        return self._each(code, value, self._inner.clone)

    def collect(self, code: Code, value: str) -> list[str]:
        name = code.fresh()
        inside = self._inner.collect(code, name)
        return [f"for {name} in {value}:", *_indented(inside)] if inside else []

    def _each(self, code: Code, value: str, convert: Callable[[Code, str], str]) -> str:
        name = code.fresh()
        items = f"[{convert(code, name)} for {name} in {value}]"
        return items if self._is_list else f"tuple({items})"


class _Fixed(_Holder):
    """``tuple[A, B]``: as many items as types."""

    def __init__(self, inner: Sequence[Shape]) -> None:
        text = ", ".join(shape.text for shape in inner) or "()"
        wire = GenericAlias(tuple, tuple(shape.wire for shape in inner))
        super().__init__(f"tuple[{text}]", wire, *inner)
        self.kind = _kind("tuple", *inner)
        self._inner = inner

    def to_wire(self, code: Code, value: str) -> str:
        if self.native:
            return value
        return self._unpack(code, value, [shape.to_wire for shape in self._inner], ", ref")

    def from_wire(self, code: Code, value: str) -> str:
        if self.native:
            return value
        return self._unpack(code, value, [shape.from_wire for shape in self._inner], ", ref")

    def clone(self, code: Code, value: str) -> str:
        if self.immutable:
            return value
        return self._unpack(code, value, [shape.clone for shape in self._inner])

    def collect(self, code: Code, value: str) -> list[str]:
        names = [code.fresh() for _ in self._inner]
        inside = [
            line
            for name, shape in zip(names, self._inner, strict=True)
            for line in shape.collect(code, name)
        ]
        return [f"{', '.join(names)}, = {value}", *inside] if inside else []

    @staticmethod
    def _unpack(
        code: Code, value: str, converts: Sequence[Callable[[Code, str], str]], extra: str = ""
    ) -> str:
        # A function, so that a tuple of the wrong length raises instead of losing items.
        names = [code.fresh() for _ in converts]
        items = [convert(code, name) for convert, name in zip(converts, names, strict=True)]
        body = [f"{', '.join(names)}, = items", f"return ({', '.join(items)},)"]
        return f"{code.function(f'items{extra}', body)}({value}{extra})"


class _Mapping(_Holder):
    def __init__(self, text: str, wire: object, key: Shape, inner: Shape) -> None:
        super().__init__(text, wire, key, inner)
        self.immutable = False
        self.kind = _kind("dict", key, inner)
        self._inner = inner

    def to_wire(self, code: Code, value: str) -> str:
        return value if self.native else self._each(code, value, self._inner.to_wire)

    def from_wire(self, code: Code, value: str) -> str:
        return value if self.native else self._each(code, value, self._inner.from_wire)

    def clone(self, code: Code, value: str) -> str:
        if self._inner.immutable:
            return f"{{**{value}}}"
        return self._each(code, value, self._inner.clone)

    def collect(self, code: Code, value: str) -> list[str]:
        name = code.fresh()
        inside = self._inner.collect(code, name)
        return [f"for {name} in {value}.values():", *_indented(inside)] if inside else []

    @staticmethod
    def _each(code: Code, value: str, convert: Callable[[Code, str], str]) -> str:
        key, item = code.fresh(), code.fresh()
        return f"{{{key}: {convert(code, item)} for {key}, {item} in {value}.items()}}"


class _Nested(_Holder):
    def __init__(
        self,
        cls: type[msgspec.Struct],
        fields: Sequence[tuple[str, Shape]],
        hints: Mapping[str, object],
    ) -> None:
        shapes = [shape for _, shape in fields]
        text = ", ".join(f"{name}: {shape.text}" for name, shape in fields)
        super().__init__(f"{_short(cls)}({text})", cls, *shapes)
        config = cls.__struct_config__
        self._cls = cls
        self._fields = fields
        names = tuple(name for name, _ in fields)
        self.kind = Kind("struct", names, parts=tuple(shape.kind for shape in shapes))
        self._shallow = self.immutable
        self.immutable = self.immutable and config.frozen
        runs_code = hasattr(cls, "__post_init__")
        self.native = (
            self.native
            and not runs_code
            and strict(cls)
            and all(hints.get(name) == shape.wire for name, shape in fields)
        )
        self.foreign = self.foreign or runs_code
        if not self.native:
            self.wire = wire_struct(cls, fields)

    def to_wire(self, code: Code, value: str) -> str:
        if self.native:
            return value
        items = [shape.to_wire(code, f"value.{name}") for name, shape in self._fields]
        make = code.constant(self.wire)
        body = [f"return {make}({', '.join(items)})"]
        return f"{code.function('value, ref', body)}({value}, ref)"

    def from_wire(self, code: Code, value: str) -> str:
        if self.native:
            return value
        body = self._build(code, [shape.from_wire for _, shape in self._fields])
        return f"{code.function('value, ref', body)}({value}, ref)"

    def clone(self, code: Code, value: str) -> str:
        if self.immutable:
            return value
        if self._shallow:
            return f"{value}.__copy__()"
        body = self._build(code, [shape.clone for _, shape in self._fields])
        return f"{code.function('value', body)}({value})"

    def collect(self, code: Code, value: str) -> list[str]:
        holder = code.fresh()
        inside = [
            line for name, shape in self._fields for line in shape.collect(code, f"{holder}.{name}")
        ]
        return [f"{holder} = {value}", *inside] if inside else []

    def _build(self, code: Code, converts: Sequence[Callable[[Code, str], str]]) -> list[str]:
        items = [
            f"{name}={convert(code, f'value.{name}')}"
            for (name, _), convert in zip(self._fields, converts, strict=True)
        ]
        return [f"return {code.constant(self._cls)}({', '.join(items)})"]


class _Foreign(_Holder):
    def __init__(self, foreign: Foreign, inner: Shape) -> None:
        super().__init__(f"{_short(foreign.cls)} as {inner.text}", inner.wire, inner)
        self.immutable = self.native = False
        self.foreign = True
        self.kind = inner.kind
        self._foreign = foreign
        self._inner = inner

    def to_wire(self, code: Code, value: str) -> str:
        return self._inner.to_wire(code, f"{code.constant(self._foreign.to_wire)}({value})")

    def from_wire(self, code: Code, value: str) -> str:
        inner = self._inner.from_wire(code, value)
        return f"{code.constant(self._foreign.from_wire)}({inner})"

    def clone(self, code: Code, value: str) -> str:
        to_wire, from_wire = map(code.constant, (self._foreign.to_wire, self._foreign.from_wire))
        return f"{from_wire}({to_wire}({value}))"

    def collect(self, code: Code, value: str) -> list[str]:
        return self._inner.collect(code, value)


class Reader:
    """Reads the annotations of one class.

    Args:
        command: Whether a client sends it: then everything must be bounded.
        foreign: Finds a registered foreign type.
        resolve: Evaluates an annotation that is still a string; gets the path, too.
        cls: The class itself, as its own annotations see it.
    """

    def __init__(
        self,
        command: bool,
        foreign: Callable[[object], Foreign | None],
        resolve: Callable[[str, str], object],
        cls: type[object] | None = None,
    ) -> None:
        self._command = command
        self._foreign = foreign
        self._resolve = resolve
        self._inside: list[type[object]] = [] if cls is None else [cls]

    def read(self, path: str, annotation: object) -> Shape:
        """Understand one annotation.

        Args:
            path: ``"Tank.hp"``, for the message of an error.
            annotation: The annotation; strings inside are resolved.

        Raises:
            DeclarationError: It cannot cross the wire like that.
        """
        base, marks = self._unwrap(path, annotation)
        shape = self._base(path, base, marks)
        shape.number = shape.number or base in (int, float)
        if Suspect in marks and self._command:
            raise DeclarationError(
                f"{path}: Suspect goes with fields of components, which the server holds; what"
                " players send is bounded with Between"
            )
        if _is_numbers(base):
            suspect = marks.pop(Suspect, None)
            shape.suspect = suspect if isinstance(suspect, Suspect) else None
        for mark in marks.values():
            goes_with = _GOES_WITH[type(mark)]
            raise DeclarationError(
                f"{path}: {type(mark).__name__} goes with {goes_with}, not with {_name(base)}"
            )
        return shape

    def _unwrap(self, path: str, annotation: object) -> tuple[object, dict[type, object]]:
        marks: dict[type, object] = {}
        while True:
            if isinstance(annotation, str):
                annotation = self._resolve(path, annotation)
            elif isinstance(annotation, typing.ForwardRef):
                annotation = self._resolve(path, annotation.__forward_arg__)
            elif typing.get_origin(annotation) is Annotated:
                annotation, *metadata = typing.get_args(annotation)
                for mark in metadata:
                    if isinstance(mark, msgspec.Meta):
                        raise DeclarationError(
                            f"{path}: use net.Between, net.MaxLen or net.Quantized"
                            " in place of msgspec.Meta"
                        )
                    if isinstance(mark, type) and issubclass(mark, _MARKS):
                        raise DeclarationError(
                            f"{path}: {mark.__name__} without brackets says nothing: write"
                            f" {mark.__name__}(...)"
                        )
                    if isinstance(mark, _MARKS):
                        if type(mark) in marks:
                            raise DeclarationError(f"{path}: two of {type(mark).__name__}")
                        marks[type(mark)] = mark
            elif isinstance(annotation, typing.NewType):
                annotation = annotation.__supertype__
            elif type(annotation).__name__ == "TypeAliasType":
                annotation = annotation.__value__  # type: ignore[attr-defined]
            else:
                return annotation, marks

    def _base(self, path: str, base: object, marks: dict[type, object]) -> Shape:
        origin = typing.get_origin(base)
        if marks.pop(EntityMark, None):
            return _Entity()
        if base is None or base is type(None):
            return Shape("None", None)
        if base is bool:
            return Shape("bool", bool)
        if base is int:
            return self._int(path, marks)
        if base is float:
            return self._float(marks)
        if base is str or base is bytes:
            meta, text = self._length(path, base.__name__, marks)
            return Shape(text, Annotated[base, meta] if meta else base, key=True)
        if origin is Union or origin is UnionType:
            return self._optional(path, base, marks)
        if origin is Literal:
            return self._literal(path, base)
        if origin in (list, tuple, dict):
            return self._container(path, origin, typing.get_args(base), marks)
        if isinstance(base, type):
            foreign = self._foreign(base)
            if foreign is not None:
                return _Foreign(foreign, self.read(path, foreign.wire_type))
            if issubclass(base, enum.Enum):
                return self._enum(path, base)
            if base in self._inside:
                raise DeclarationError(
                    f"{path}: {_short(base)} inside itself cannot cross the wire:"
                    " make it an entity of its own and use net.EntityRef"
                )
            if issubclass(base, msgspec.Struct):
                return self._nested(path, base)
        raise DeclarationError(f"{path}: {_name(base)} cannot cross the wire: {_advice(base)}")

    def _int(self, path: str, marks: dict[type, object]) -> Shape:
        between = marks.pop(Between, None)
        if isinstance(between, Between):
            if not (_whole(between.lo) and _whole(between.hi)):
                raise DeclarationError(f"{path}: the bounds of an int are whole, below 2**63")
            lo, hi = int(between.lo), int(between.hi)
            meta = msgspec.Meta(ge=lo, le=hi)
            return Shape(f"int between {lo} and {hi}", Annotated[int, meta], key=True)
        if self._command:
            return Shape("int", Annotated[int, msgspec.Meta(ge=_INT64[0], le=_INT64[1])], key=True)
        return Shape("int", int, key=True)

    def _float(self, marks: dict[type, object]) -> Shape:
        between = marks.pop(Between, None)
        bounds = None
        if isinstance(between, Between):
            bounds = (float(between.lo), float(between.hi))
        quantized = marks.pop(Quantized, None)
        if isinstance(quantized, Quantized):
            return _Quantized(float(quantized.step), bounds)
        if bounds is not None:
            text = f"float between {bounds[0]!r} and {bounds[1]!r}"
            return Shape(text, Annotated[float, msgspec.Meta(ge=bounds[0], le=bounds[1])])
        if self._command:
            # Two finite bounds keep out NaN and the infinities.
            return Shape("float", Annotated[float, msgspec.Meta(ge=_FINITE[0], le=_FINITE[1])])
        return Shape("float", float)

    def _length(
        self, path: str, text: str, marks: dict[type, object]
    ) -> tuple[msgspec.Meta | None, str]:
        limit = marks.pop(MaxLen, None)
        if isinstance(limit, MaxLen):
            return msgspec.Meta(max_length=limit.n), f"{text} up to {limit.n}"
        if self._command:
            raise DeclarationError(
                f"{path}: a client could send any amount; say how much it may be:"
                f" Annotated[{text}, net.MaxLen(64)]"
            )
        return None, text

    def _optional(self, path: str, base: object, marks: dict[type, object]) -> Shape:
        given = typing.get_args(base)
        members = [member for member in given if member is not type(None)]
        if len(members) > 1 or len(members) == len(given):
            raise DeclarationError(
                f"{path}: {_name(base)} cannot cross the wire:"
                " use one type (with None, if need be), or two fields"
            )
        inner = members[0]
        for mark in marks.values():
            inner = Annotated[inner, mark]
        marks.clear()
        shape = self.read(path, inner)
        return shape if isinstance(shape, _Entity) else _Optional(shape)

    def _literal(self, path: str, base: object) -> Shape:
        text = ", ".join(sorted(map(repr, typing.get_args(base))))
        return _checked(path, Shape(f"Literal[{text}]", base, key=True))

    def _enum(self, path: str, base: type[enum.Enum]) -> Shape:
        name = _short(base)
        if issubclass(base, enum.Flag):
            raise DeclarationError(f"{path}: {name} cannot cross the wire, being a Flag: use int")
        if "_missing_" in vars(base):
            raise DeclarationError(
                f"{path}: {name} cannot cross the wire with its own _missing_,"
                " which would run on what a peer sends: use int or str"
            )
        text = ", ".join(f"{member.name}={member.value!r}" for member in base)
        shape = _checked(path, Shape(f"{name}({text})", base, key=True))
        names, values = zip(*((member.name, member.value) for member in base), strict=True)
        shape.kind = Kind("enum", names, values)
        return shape

    def _container(
        self, path: str, origin: object, inner: tuple[object, ...], marks: dict[type, object]
    ) -> Shape:
        if origin is dict:
            key, item = (self.read(path, part) for part in inner)
            if not key.key:
                raise DeclarationError(
                    f"{path}: {key.text} cannot be the key of a dict:"
                    " use int, str, bytes, an Enum or a Literal, or a list of pairs"
                )
            meta, text = self._length(path, f"dict[{key.text}, {item.text}]", marks)
            return _Mapping(text, _wire(dict, (key.wire, item.wire), meta), key, item)
        if origin is list:
            item = self.read(path, inner[0])
            meta, text = self._length(path, f"list[{item.text}]", marks)
            return _Sequence(text, _wire(list, (item.wire,), meta), item, is_list=True)
        if len(inner) == 2 and inner[1] is Ellipsis:
            item = self.read(path, inner[0])
            meta, text = self._length(path, f"tuple[{item.text}, ...]", marks)
            return _Sequence(text, _wire(tuple, (item.wire, ...), meta), item, is_list=False)
        return _Fixed([self.read(path, part) for part in inner])

    def _nested(self, path: str, base: type[msgspec.Struct]) -> Shape:
        # Of a declared class: what its author wrote, and what msgspec decodes in its place.
        written = vars(base).get("__ecsnet_hints__")
        hints: Mapping[str, object] = inspect.get_annotations(base)
        if written is None:
            try:
                written = hints = typing.get_type_hints(base, include_extras=True)
            except Exception as error:
                raise DeclarationError(
                    f"{path}: the annotations of {_short(base)} cannot be read: {error}"
                ) from error
        self._inside.append(base)
        try:
            fields = [
                (name, self.read(f"{path}.{name}", written[name]))
                for name in base.__struct_fields__
            ]
        finally:
            self._inside.pop()
        return _Nested(base, fields, hints)


def strict(cls: type[msgspec.Struct]) -> bool:
    """Whether a Struct crosses the wire as an array of its fields and nothing else."""
    config = cls.__struct_config__
    return (
        config.array_like
        and config.forbid_unknown_fields
        and config.tag is None
        and not config.omit_defaults
    )


def wire_struct(cls: type[object], fields: Sequence[tuple[str, Shape]]) -> type[msgspec.Struct]:
    """The Struct that crosses the wire in the place of ``cls``."""
    return msgspec.defstruct(
        cls.__name__,
        [(name, shape.wire) for name, shape in fields],
        module=cls.__module__,
        array_like=True,
        forbid_unknown_fields=True,
        gc=not all(shape.scalar for _, shape in fields),
    )


def _checked(path: str, shape: Shape) -> Shape:
    """Refuse what msgspec cannot decode, such as an Enum of floats."""
    try:
        msgspec.msgpack.Decoder(shape.wire)
    except (TypeError, NotImplementedError):
        raise DeclarationError(
            f"{path}: {shape.text} cannot cross the wire:"
            " its values must be all int or all str, and fit 64 bits"
        ) from None
    return shape


def _wire(origin: type[object], inner: tuple[object, ...], meta: msgspec.Meta | None) -> object:
    wire = GenericAlias(origin, inner)
    return Annotated[wire, meta] if meta else wire


def _kind(form: Literal["list", "tuple", "dict"], *inner: Shape) -> Kind:
    """The kind of a container; plain where all within it is."""
    parts = tuple(shape.kind for shape in inner)
    return PLAIN if all(part is PLAIN for part in parts) else Kind(form, parts=parts)


def _is_numbers(base: object) -> bool:
    """Whether an annotation means an int, a float, or a tuple of as many of them as are named."""
    if typing.get_origin(base) is tuple:
        return all(part in (int, float) for part in typing.get_args(base))
    return base in (int, float)


def _whole(number: float) -> bool:
    return _INT64[0] <= number <= _INT64[1] and math.floor(number) == number


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _bounded(text: str) -> str:
    if len(text) <= _TEXT_LIMIT:
        return text
    return f"{text[:_TEXT_LIMIT]}... #{blake2b(text.encode(), digest_size=8).hexdigest()}"


def _short(cls: type[object]) -> str:
    """The qualified name, without the functions around it."""
    return cls.__qualname__.rpartition("<locals>.")[2]


def _name(annotation: object) -> str:
    """``pygame.Vector2`` rather than ``<class 'pygame.math.Vector2'>``."""
    if not isinstance(annotation, type) or typing.get_origin(annotation):
        return str(annotation).replace("typing.", "")
    package, name = annotation.__module__.partition(".")[0], annotation.__name__
    if getattr(sys.modules.get(package), name, None) is annotation:
        return name if package == "builtins" else f"{package}.{name}"
    return _short(annotation)


def _advice(annotation: object) -> str:
    name = getattr(annotation, "__name__", "")
    if annotation is list or annotation is dict or annotation is tuple:
        return f"say what it holds, as in {name}[{'str, int' if annotation is dict else 'int'}]"
    advice = _ADVICE.get(name)
    if advice is None and isinstance(annotation, type):
        advice = f"put @net.replicated above class {name}"
        if hasattr(annotation, "__dataclass_fields__"):
            advice = f"put @net.replicated above class {name} in place of @dataclass"
        elif issubclass(annotation, tuple):
            advice = "use tuple[...]"
        elif annotation.__module__ == "builtins":
            advice = "use int, float, bool, str, bytes, an Enum, tuple, list or dict"
    if advice is None:
        return "use int, float, bool, str, bytes, an Enum, tuple, list, dict or a nested Struct"
    return f"{advice}, or net.register_type(...)" if isinstance(annotation, type) else advice
