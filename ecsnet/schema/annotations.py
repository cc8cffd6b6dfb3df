"""From annotations to shapes: what a field may be, and what is said where it may not."""

from __future__ import annotations

import enum
import inspect
import math
import re
import sys
import typing
from collections.abc import Callable, Mapping
from types import FunctionType, GenericAlias, UnionType
from typing import Annotated, Literal, Union

import msgspec

from ecsnet.errors import DeclarationError
from ecsnet.schema.fields import Between, EntityMark, MaxLen, Quantized, Suspect, Turn
from ecsnet.schema.gate import encode
from ecsnet.schema.kinds import Kind
from ecsnet.schema.misfit import INT64
from ecsnet.schema.shapes import (
    HEADER_BYTES,
    EntityShape,
    FixedShape,
    Foreign,
    ForeignShape,
    MappingShape,
    NestedShape,
    OptionalShape,
    QuantizedShape,
    SequenceShape,
    Shape,
)
from ecsnet.validation.wording import brief, short_name, type_name

__all__ = ["Reader"]

_FINITE = (-sys.float_info.max, sys.float_info.max)

_GOES_WITH: dict[type, str] = {
    Quantized: "float",
    Between: "int and float",
    MaxLen: "str, bytes, list, dict and tuple[T, ...]",
    Suspect: "int, float and tuples of them",
    Turn: "float",
}

_MARKS = (Quantized, Between, MaxLen, EntityMark, Suspect, Turn)

_SPELLS_TYPES = ("typing", "types", "collections.abc", "_collections_abc", "dataclasses")
"""The modules of the classes that annotations are made of: ``list[int]``, ``int | str``."""

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
    "Set": "use a list",
    "deque": "use a list",
    "Sequence": "use a list",
    "Iterable": "use a list",
    "Mapping": "use a dict",
    "Callable": "use a Literal or an Enum that names it",
    "Final": "leave Final out",
    "Optional": "say what it is when it is not None, as in int | None",
    "Annotated": "say of what, as in Annotated[int, ...]",
    "Literal": "say which values, as in Literal['a', 'b']",
    "object": "use the type that it holds",
    "Any": "use the type that it holds",
}


class Reader:
    """The reader of one class's annotations.

    Args:
        from_client: Whether a client sends it: then everything must be bounded.
        foreign: Finds a registered foreign type.
        resolve: Evaluates an annotation that is still a string; gets the path, too.
        cls: The class itself, as its own annotations see it.
    """

    def __init__(
        self,
        from_client: bool,
        foreign: Callable[[object], Foreign | None],
        resolve: Callable[[str, str], object],
        cls: type[object] | None = None,
    ) -> None:
        self._from_client = from_client
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
        if base is float:
            turn = marks.pop(Turn, None)
            shape.blends = True
            shape.turn = float(turn.period) if isinstance(turn, Turn) else None
        if Suspect in marks and self._from_client:
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
            return EntityShape()
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
            wire = Annotated[base, meta] if meta else base
            shape = Shape(text, wire, key=True, bound=_text_bound(base, meta))
            shape.buffers = base is bytes
            return shape
        if origin is Union or origin is UnionType:
            return self._optional(path, base, marks)
        if origin is Literal:
            return self._literal(path, base)
        if origin in (list, tuple, dict):
            if hasattr(base, "__args__"):
                return self._container(path, origin, typing.get_args(base), marks)
            base = origin  # typing.List with nothing in brackets
        if isinstance(base, type):
            foreign = self._foreign(base)
            if foreign is not None:
                return ForeignShape(foreign, self.read(path, foreign.wire_type))
            if issubclass(base, enum.Enum):
                return self._enum(path, base)
            if base in self._inside:
                raise DeclarationError(
                    f"{path}: {short_name(base)} inside itself cannot cross the wire:"
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
        if self._from_client:
            return Shape("int", Annotated[int, msgspec.Meta(ge=INT64[0], le=INT64[1])], key=True)
        return Shape("int", int, key=True)

    def _float(self, marks: dict[type, object]) -> Shape:
        between = marks.pop(Between, None)
        bounds = None
        if isinstance(between, Between):
            bounds = (float(between.lo), float(between.hi))
        quantized = marks.pop(Quantized, None)
        if isinstance(quantized, Quantized):
            return QuantizedShape(float(quantized.step), bounds)
        if bounds is not None:
            text = f"float between {bounds[0]!r} and {bounds[1]!r}"
            return Shape(text, Annotated[float, msgspec.Meta(ge=bounds[0], le=bounds[1])])
        if self._from_client:
            # Two finite bounds keep out NaN and the infinities.
            return Shape("float", Annotated[float, msgspec.Meta(ge=_FINITE[0], le=_FINITE[1])])
        return Shape("float", float)

    def _length(
        self, path: str, text: str, marks: dict[type, object]
    ) -> tuple[msgspec.Meta | None, str]:
        limit = marks.pop(MaxLen, None)
        if isinstance(limit, MaxLen):
            return msgspec.Meta(max_length=limit.n), f"{text} up to {limit.n}"
        if self._from_client:
            raise DeclarationError(
                f"{path}: a client could send any amount; say how much it may be:"
                f" Annotated[{text}, net.MaxLen(64)]"
            )
        return None, text

    def _optional(self, path: str, base: object, marks: dict[type, object]) -> Shape:
        members = [member for member in typing.get_args(base) if member is not type(None)]
        if len(members) > 1:
            raise DeclarationError(
                f"{path}: {_name(base)} cannot cross the wire:"
                " use one type (with None, if need be), or two fields"
            )
        inner = members[0]
        for mark in marks.values():
            inner = Annotated[inner, mark]
        marks.clear()
        shape = self.read(path, inner)
        return shape if isinstance(shape, EntityShape) else OptionalShape(shape)

    def _literal(self, path: str, base: object) -> Shape:
        text = ", ".join(sorted(map(repr, typing.get_args(base))))
        shape = _checked(path, Shape(f"Literal[{text}]", base, key=True))
        shape.bound = max(len(encode(value)) for value in typing.get_args(base))
        return shape

    def _enum(self, path: str, base: type[enum.Enum]) -> Shape:
        name = short_name(base)
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
        # With an __eq__ of its own it may say that it is what it was, and is not.
        shape.immutable = not isinstance(base.__eq__, FunctionType)
        shape.bound = max(len(encode(value)) for value in values)
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
            return MappingShape(text, _wire(dict, (key.wire, item.wire), meta), key, item)
        if origin is list:
            item = self.read(path, inner[0])
            meta, text = self._length(path, f"list[{item.text}]", marks)
            return SequenceShape(text, _wire(list, (item.wire,), meta), item, is_list=True)
        if len(inner) == 2 and inner[1] is Ellipsis:
            item = self.read(path, inner[0])
            meta, text = self._length(path, f"tuple[{item.text}, ...]", marks)
            return SequenceShape(text, _wire(tuple, (item.wire, ...), meta), item, is_list=False)
        return FixedShape([self.read(path, part) for part in inner])

    def _nested(self, path: str, base: type[msgspec.Struct]) -> Shape:
        # Of a declared class: what its author wrote, and what msgspec decodes in its place.
        written = vars(base).get("__ecsnet_hints__")
        hints: Mapping[str, object] = inspect.get_annotations(base)
        if written is None:
            try:
                written = hints = typing.get_type_hints(base, include_extras=True)
            except Exception as error:
                raise DeclarationError(
                    f"{path}: the annotations of {short_name(base)} cannot be read: {error}"
                ) from error
        self._inside.append(base)
        try:
            fields = [
                (name, self.read(f"{path}.{name}", written[name]))
                for name in base.__struct_fields__
            ]
        finally:
            self._inside.pop()
        return NestedShape(base, fields, hints)


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


def _text_bound(base: object, meta: msgspec.Meta | None) -> int | None:
    """Return the most bytes of a str or bytes of limited length; a character takes up to four."""
    if meta is None or meta.max_length is None:
        return None
    return HEADER_BYTES + meta.max_length * (4 if base is str else 1)


def _wire(origin: type[object], inner: tuple[object, ...], meta: msgspec.Meta | None) -> object:
    wire = GenericAlias(origin, inner)
    return Annotated[wire, meta] if meta else wire


def _is_numbers(base: object) -> bool:
    """Return whether an annotation means an int, a float, or a tuple of a fixed number of them."""
    if typing.get_origin(base) is tuple:
        return all(part in (int, float) for part in typing.get_args(base))
    return base in (int, float)


def _whole(number: float) -> bool:
    return INT64[0] <= number <= INT64[1] and math.floor(number) == number


def _name(annotation: object) -> str:
    """``pygame.Vector2`` rather than ``<class 'pygame.math.Vector2'>``."""
    if _is_value(annotation):
        return brief(annotation)
    if annotation is typing.Any:
        return "Any"
    if not isinstance(annotation, type):
        text = str(annotation).replace("NoneType", "None")
        return re.sub(r"\b(typing|collections\.abc)\.", "", text)
    return type_name(annotation)


def _is_value(annotation: object) -> bool:
    """Return whether it stands for no type, as ``[int]`` and ``net.Between(0, 9)`` do not."""
    return not isinstance(annotation, type) and type(annotation).__module__ not in _SPELLS_TYPES


def _advice_for_mark(mark: type) -> str:
    held = "float" if mark in (Quantized, Turn) else "str" if mark is MaxLen else "int"
    return f"it goes with a type, Annotated[{held}, {mark.__name__}(...)]"


def _advice_for_value(value: object) -> str:
    """Suggest what may have been meant by ``x: [int]``, ``x: 3`` or ``x: net.Between(0, 9)``."""
    if isinstance(value, _MARKS):
        return _advice_for_mark(type(value))
    if isinstance(value, list | tuple | dict):
        parts = [*value, *value.values()] if isinstance(value, dict) else [*value]
        names = ", ".join(map(_name, parts)) or "..."
        return f"write {type(value).__name__}[{names}]"
    return "it is no type: write that, as in int, and the value behind a ="


def _advice(annotation: object) -> str:
    if _is_value(annotation):
        return _advice_for_value(annotation)
    if isinstance(annotation, type) and issubclass(annotation, _MARKS):
        return _advice_for_mark(annotation)
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
