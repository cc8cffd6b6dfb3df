"""The shape of a field: what its annotation means, on the wire and in memory.

A shape knows the type msgspec decodes, the text that describes it to the other end, and how
generated code converts, copies and searches it. `annotations.Reader` makes trees of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from types import GenericAlias, NoneType
from typing import Annotated, Any, Literal, NamedTuple, Union

import msgspec

from ecsnet.schema.codegen import Code
from ecsnet.schema.contents import ONE, TOO_MANY, Contents, total
from ecsnet.schema.fields import Suspect
from ecsnet.schema.kinds import PLAIN, Kind
from ecsnet.schema.misfit import INT64
from ecsnet.validation.wording import short_name

__all__ = [
    "HEADER_BYTES",
    "EntityShape",
    "FixedShape",
    "Foreign",
    "ForeignShape",
    "MappingShape",
    "NestedShape",
    "OptionalShape",
    "Origin",
    "QuantizedShape",
    "SequenceShape",
    "Shape",
    "bound_of",
    "lasts",
    "strict",
    "wire_struct",
]

# Above this a float no longer tells neighbouring steps apart with certainty.
_STEPS = (-(2**50), 2**50)
_TEXT_LIMIT = 400
_NUMBER_BYTES = 9
_CONTAINER = Contents(1, 1)

HEADER_BYTES = 5
"""The most bytes of the head of something of any length, encoded."""


class Origin(NamedTuple):
    """The origin of a declaration: the module that ran it, file, line, and what that line said."""

    module: str
    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """A type that somebody else wrote, and how it crosses the wire."""

    cls: type[object]
    wire_type: object
    to_wire: Callable[[Any], object]
    from_wire: Callable[[Any], object]
    place: str
    """For people: ``"game.py:9"``."""
    origin: Origin


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
        buffers: There are bytes inside: what equals them may be a bytearray, which can change.
        bound: The most bytes that a value takes encoded; None where nothing bounds it.
        contents: What each value holds at least, itself included.
        nests: How many containers a value holds differs from one to the other.
        suspect: What it never does in honest play.
        stepped: There are numbers of steps inside, see `Quantized`.
        blends: It is a float: between two values there are others.
        turn: Of such a one, after how much it comes round again; None where it does not.
    """

    immutable = True
    scalar = True
    native = True
    refs = False
    foreign = False
    kind = PLAIN
    number = False
    buffers = False
    contents = ONE
    nests = False
    suspect: Suspect | None = None
    stepped = False
    blends = False
    turn: float | None = None

    def __init__(
        self, text: str, wire: object, *, key: bool = False, bound: int | None = _NUMBER_BYTES
    ) -> None:
        self.text = _bounded(text)
        self.wire = wire
        self.key = key
        self.bound = bound

    def to_wire(self, code: Code, value: str) -> str:
        """Return an expression for the wire form of ``value``."""
        return value

    def from_wire(self, code: Code, value: str) -> str:
        """Return an expression for the component form of the wire value ``value``."""
        return value

    def clone(self, code: Code, value: str) -> str:
        """Return an expression for a copy of ``value`` that shares nothing mutable with it."""
        return value

    def collect(self, code: Code, value: str) -> list[str]:
        """Statements that ``add`` each network id in the wire value ``value``."""
        return []

    def count(self, code: Code, value: str) -> list[str]:
        """Statements that add to ``containers`` and ``items`` what the wire value ``value`` holds
        beyond `contents`.
        """
        return []

    def near(self, code: Code, one: str, other: str) -> str:
        """Return an expression for whether two wire values may stand for the same number."""
        if not self.stepped:
            return f"{one} == {other}"
        body = self._near(code)
        return f"{code.function('one, other', [f'return {body}'])}({one}, {other})"

    def _near(self, code: Code) -> str:
        """Return the expression for what is `stepped`, with the values ``one`` and ``other``."""
        return "abs(one - other) <= 1"


class EntityShape(Shape):
    """A reference to an entity: a network id on the wire, an esper id in memory."""

    native = False
    refs = True

    def __init__(self) -> None:
        network_id = Annotated[int, msgspec.Meta(ge=1, le=INT64[1])]
        super().__init__("EntityRef", Union[network_id, None])  # noqa: UP007 - pyright

    def to_wire(self, code: Code, value: str) -> str:
        return f"ref({value})"

    def from_wire(self, code: Code, value: str) -> str:
        return f"ref({value})"

    def collect(self, code: Code, value: str) -> list[str]:
        name = code.fresh()
        return [f"if ({name} := {value}) is not None: add({name})"]


class QuantizedShape(Shape):
    """A float that crosses as a number of steps."""

    native = False
    stepped = True

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

    def __init__(self, text: str, wire: object, *inner: Shape, bound: int | None = None) -> None:
        super().__init__(text, wire, bound=bound)
        self.immutable = all(shape.immutable for shape in inner)
        self.scalar = False
        self.native = all(shape.native for shape in inner)
        self.refs = any(shape.refs for shape in inner)
        self.foreign = any(shape.foreign for shape in inner)
        self.buffers = any(shape.buffers for shape in inner)
        self.nests = any(shape.nests for shape in inner)
        self.stepped = any(shape.stepped for shape in inner)


class OptionalShape(_Holder):
    """A value, or None."""

    def __init__(self, inner: Shape) -> None:
        text = f"{inner.text} | None"
        super().__init__(text, Union[inner.wire, None], inner, bound=inner.bound)  # noqa: UP007
        self.scalar = inner.scalar
        self.kind = inner.kind
        self.number = inner.number
        self.suspect = inner.suspect
        self.contents = inner.contents
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

    def count(self, code: Code, value: str) -> list[str]:
        name = code.fresh()
        inside = self._inner.count(code, name)
        if not inside:
            return []
        return [f"if ({name} := {value}) is not None:", *_indented(inside)]

    def _near(self, code: Code) -> str:
        inside = self._inner.near(code, "one", "other")
        return f"one is other if one is None or other is None else {inside}"

    @staticmethod
    def _guard(code: Code, value: str, convert: Callable[[Code, str], str]) -> str:
        name = code.fresh()
        return f"(None if ({name} := {value}) is None else {convert(code, name)})"


class SequenceShape(_Holder):
    """``list[T]``, and ``tuple[T, ...]``."""

    def __init__(self, text: str, wire: object, inner: Shape, is_list: bool) -> None:
        super().__init__(text, wire, inner)
        self.immutable = inner.immutable and not is_list
        self.kind = _kind("list", inner)
        self.contents = _CONTAINER
        self.nests = inner.contents.containers > 0
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

    def count(self, code: Code, value: str) -> list[str]:
        name = code.fresh()
        inside = self._inner.count(code, name)
        return _count_each(value, self._inner.contents, name, value, inside)

    def _near(self, code: Code) -> str:
        inside = self._inner.near(code, "a", "b")
        return f"len(one) == len(other) and all({inside} for a, b in zip(one, other))"

    def _each(self, code: Code, value: str, convert: Callable[[Code, str], str]) -> str:
        name = code.fresh()
        items = f"[{convert(code, name)} for {name} in {value}]"
        return items if self._is_list else f"tuple({items})"


class FixedShape(_Holder):
    """``tuple[A, B]``: as many items as types."""

    def __init__(self, inner: Sequence[Shape]) -> None:
        text = ", ".join(shape.text for shape in inner) or "()"
        wire = GenericAlias(tuple, tuple(shape.wire for shape in inner))
        super().__init__(f"tuple[{text}]", wire, *inner, bound=bound_of(inner))
        self.kind = _kind("tuple", *inner)
        self.contents = total(_CONTAINER, *[shape.contents for shape in inner])
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

    def count(self, code: Code, value: str) -> list[str]:
        names = [code.fresh() for _ in self._inner]
        inside = [
            line
            for name, shape in zip(names, self._inner, strict=True)
            for line in shape.count(code, name)
        ]
        return [f"{', '.join(names)}, = {value}", *inside] if inside else []

    def _near(self, code: Code) -> str:
        inner = enumerate(self._inner)
        return " and ".join(
            [shape.near(code, f"one[{number}]", f"other[{number}]") for number, shape in inner]
        )

    @staticmethod
    def _unpack(
        code: Code, value: str, converts: Sequence[Callable[[Code, str], str]], extra: str = ""
    ) -> str:
        # A function, so that a tuple of the wrong length raises instead of losing items.
        names = [code.fresh() for _ in converts]
        items = [convert(code, name) for convert, name in zip(converts, names, strict=True)]
        body = [f"{', '.join(names)}, = items", f"return ({', '.join(items)},)"]
        return f"{code.function(f'items{extra}', body)}({value}{extra})"


class MappingShape(_Holder):
    """A dict."""

    def __init__(self, text: str, wire: object, key: Shape, inner: Shape) -> None:
        super().__init__(text, wire, key, inner)
        self.immutable = False
        self.kind = _kind("dict", key, inner)
        self.contents = _CONTAINER
        self.nests = inner.contents.containers > 0
        self._each_contents = total(key.contents, inner.contents)
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

    def count(self, code: Code, value: str) -> list[str]:
        name = code.fresh()
        inside = self._inner.count(code, name)
        return _count_each(value, self._each_contents, name, f"{value}.values()", inside)

    def _near(self, code: Code) -> str:
        inside = self._inner.near(code, "one[key]", "other[key]")
        return f"one.keys() == other.keys() and all({inside} for key in one)"

    @staticmethod
    def _each(code: Code, value: str, convert: Callable[[Code, str], str]) -> str:
        key, item = code.fresh(), code.fresh()
        return f"{{{key}: {convert(code, item)} for {key}, {item} in {value}.items()}}"


class NestedShape(_Holder):
    """A Struct within a field."""

    def __init__(
        self,
        cls: type[msgspec.Struct],
        fields: Sequence[tuple[str, Shape]],
        hints: Mapping[str, object],
    ) -> None:
        shapes = [shape for _, shape in fields]
        text = ", ".join(f"{name}: {shape.text}" for name, shape in fields)
        super().__init__(f"{short_name(cls)}({text})", cls, *shapes, bound=bound_of(shapes))
        config = cls.__struct_config__
        self._cls = cls
        self._fields = fields
        names = tuple(name for name, _ in fields)
        self.kind = Kind("struct", names, parts=tuple(shape.kind for shape in shapes))
        self.contents = total(_CONTAINER, *[shape.contents for shape in shapes])
        self._shallow = self.immutable
        # With an __eq__ of its own it may say that it is what it was, and is not.
        self.immutable = self.immutable and config.frozen and cls.__eq__ is msgspec.Struct.__eq__
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

    def count(self, code: Code, value: str) -> list[str]:
        holder = code.fresh()
        inside = [
            line for name, shape in self._fields for line in shape.count(code, f"{holder}.{name}")
        ]
        return [f"{holder} = {value}", *inside] if inside else []

    def _near(self, code: Code) -> str:
        return " and ".join(
            [shape.near(code, f"one.{name}", f"other.{name}") for name, shape in self._fields]
        )

    def _build(self, code: Code, converts: Sequence[Callable[[Code, str], str]]) -> list[str]:
        items = [
            f"{name}={convert(code, f'value.{name}')}"
            for (name, _), convert in zip(self._fields, converts, strict=True)
        ]
        return [f"return {code.constant(self._cls)}({', '.join(items)})"]


class ForeignShape(_Holder):
    """A value of a type that somebody else wrote, and that is registered."""

    def __init__(self, foreign: Foreign, inner: Shape) -> None:
        text = f"{short_name(foreign.cls)} as {inner.text}"
        super().__init__(text, inner.wire, inner, bound=inner.bound)
        self.immutable = self.native = False
        self.foreign = True
        self.kind = inner.kind
        self.contents = total(_CONTAINER, inner.contents)
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

    def count(self, code: Code, value: str) -> list[str]:
        return self._inner.count(code, value)

    def _near(self, code: Code) -> str:
        return self._inner.near(code, "one", "other")


def lasts(value: object) -> bool:
    """Return whether a value, as it stands in a field, can never change under its holder."""
    if isinstance(value, tuple):
        return all(map(lasts, value))
    if isinstance(value, msgspec.Struct):
        return value.__struct_config__.frozen and all(map(lasts, msgspec.structs.astuple(value)))
    return isinstance(value, (int, float, str, bytes, Enum, NoneType))


def strict(cls: type[msgspec.Struct]) -> bool:
    """Return whether a Struct crosses the wire as an array of its fields and nothing else."""
    config = cls.__struct_config__
    return (
        config.array_like
        and config.forbid_unknown_fields
        and config.tag is None
        and not config.omit_defaults
    )


def bound_of(shapes: Iterable[Shape]) -> int | None:
    """Return the most bytes that an encoded array of such values takes; None if unbounded."""
    total = HEADER_BYTES
    for shape in shapes:
        if shape.bound is None:
            return None
        total += shape.bound
    return total


def wire_struct(cls: type[object], fields: Sequence[tuple[str, Shape]]) -> type[msgspec.Struct]:
    """Return the Struct that crosses the wire in the place of ``cls``."""
    return msgspec.defstruct(
        cls.__name__,
        [(name, shape.wire) for name, shape in fields],
        module=cls.__module__,
        array_like=True,
        forbid_unknown_fields=True,
        gc=not all(shape.scalar for _, shape in fields),
    )


def _kind(form: Literal["list", "tuple", "dict"], *inner: Shape) -> Kind:
    """Return the kind of a container; plain where all within it is."""
    parts = tuple(shape.kind for shape in inner)
    return PLAIN if all(part is PLAIN for part in parts) else Kind(form, parts=parts)


def _count_each(
    value: str, each: Contents, name: str, values: str, inside: Sequence[str]
) -> list[str]:
    """Statements that count what is in a container of any length.

    Args:
        value: The container.
        each: What an item of it holds at least.
        name: The variable for one, in ``inside``.
        values: What goes through them.
        inside: Statements that count what else is in an item.
    """
    lines = [f"items += {each.items} * len({value})"]
    if each.containers:
        lines.append(f"containers += {each.containers} * len({value})")
    if inside:
        lines.append(f"if containers > {TOO_MANY}: return containers, items")
        lines += [f"for {name} in {values}:", *_indented(inside)]
    return lines


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _bounded(text: str) -> str:
    if len(text) <= _TEXT_LIMIT:
        return text
    return f"{text[:_TEXT_LIMIT]}... #{blake2b(text.encode(), digest_size=8).hexdigest()}"
