"""Straight-line functions for one class, made the way dataclasses makes ``__init__``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import hypot
from typing import Protocol

import msgspec

from ecsnet.errors import BadMessageError, BadValueError
from ecsnet.schema.gate import encode
from ecsnet.schema.misfit import reason

__all__ = ["Check", "Code", "Codec", "Count", "Emitter", "Ref", "generate"]

Ref = Callable[[int | None], int | None]
"""A function from an entity id of one end to that of the other; None for None and unknown ids."""

Check = Callable[[object, Ref], str | None]
"""A check whether a field can hold a value, by encoding and decoding it: None when it can, else the
`reason`, which is empty where the value's repr shows it."""


Count = Callable[[object], tuple[int, int]]
"""A count of the containers and items that a wire value holds beyond what all of its type hold. Of
more containers than `TOO_MANY` the rest may not be counted."""


class Emitter(Protocol):
    """The source text of a field's shape: expressions that convert an expression."""

    text: str
    wire: object
    native: bool
    foreign: bool
    blends: bool
    turn: float | None

    def to_wire(self, code: Code, value: str) -> str:
        """Return an expression for the wire form of ``value``."""
        ...

    def from_wire(self, code: Code, value: str) -> str:
        """Return an expression for the component form of the wire value ``value``."""
        ...

    def clone(self, code: Code, value: str) -> str:
        """Return an expression for a copy of ``value`` that shares nothing mutable with it."""
        ...

    def collect(self, code: Code, value: str) -> list[str]:
        """Statements that ``add`` each network id in the wire value ``value``."""
        ...

    def count(self, code: Code, value: str) -> list[str]:
        """Statements that add to ``containers`` and ``items``, see `Count`."""
        ...

    def near(self, code: Code, one: str, other: str) -> str:
        """Return an expression for whether two wire values may stand for the same number."""
        ...


class Code:
    """The source and the namespace of functions in the making."""

    def __init__(self) -> None:
        self.namespace: dict[str, object] = {}
        self._lines: list[str] = []
        self._names = 0

    def fresh(self) -> str:
        """Return a name that is used nowhere else."""
        self._names += 1
        return f"_{self._names}"

    def constant(self, value: object) -> str:
        """Return a name under which the functions find ``value``."""
        name = self.fresh()
        self.namespace[name] = value
        return name

    def function(self, arguments: str, body: Sequence[str]) -> str:
        """Add a function and return its name."""
        name = self.fresh()
        self._lines.append(f"def {name}({arguments}):")
        self._lines.extend(f"    {line}" for line in body)
        return name

    def build(self, title: str) -> dict[str, object]:
        """Run the source and return the namespace it filled."""
        source = "\n".join(self._lines)
        exec(compile(source, f"<ecsnet {title}>", "exec"), self.namespace)
        return self.namespace


class Codec:
    """The generated functions of one class, see ``WireType``."""

    __slots__ = (
        "assign",
        "blend",
        "checks",
        "clone",
        "count",
        "distance",
        "floats",
        "from_wire",
        "move",
        "near",
        "read_floats",
        "refs",
        "to_wire",
        "write_floats",
    )

    def __init__(
        self,
        to_wire: Callable[[object, Ref], object],
        from_wire: Callable[[object, Ref], object],
        refs: Callable[[object], tuple[int, ...]],
        assign: Callable[[object, object], None],
        move: Callable[[object, object], None],
        clone: Callable[[object], object],
        count: Count | None,
        floats: Callable[[object], tuple[float, ...]],
        blend: Callable[[object, Sequence[float], Sequence[float], float], None],
        near: Callable[[object, object], bool],
        distance: Callable[[Sequence[float], Sequence[float]], float],
        read_floats: Callable[[object], tuple[float, ...]],
        write_floats: Callable[[object, Sequence[float]], None],
        checks: tuple[Check, ...],
    ) -> None:
        self.to_wire = to_wire
        self.from_wire = from_wire
        self.refs = refs
        self.assign = assign
        self.move = move
        self.clone = clone
        self.count = count
        self.floats = floats
        self.blend = blend
        self.near = near
        self.distance = distance
        self.read_floats = read_floats
        self.write_floats = write_floats
        self.checks = checks


def generate(
    cls: type[object],
    wire_type: type[object],
    fields: Sequence[tuple[str, Emitter]],
    flat: bool,
) -> Codec:
    """Make the functions of one class.

    Args:
        cls: The author's class.
        wire_type: The Struct that crosses the wire; ``cls`` itself when the two are one.
        fields: Names and shapes, in wire order.
        flat: Whether a shallow copy is a copy.
    """
    code = Code()
    title = cls.__qualname__
    make, wire = code.constant(cls), code.constant(wire_type)
    foreign = any(shape.foreign for _, shape in fields)

    if wire_type is cls:
        to_wire = from_wire = code.function("value, ref", ["return value"])
    else:
        encoded = ", ".join(shape.to_wire(code, f"value.{name}") for name, shape in fields)
        body = _guarded(code, f"return {wire}({encoded})", _bad_value, title)
        to_wire = code.function("value, ref", body)
        decoded = ", ".join(shape.from_wire(code, f"wire.{name}") for name, shape in fields)
        body = [f"return {make}({decoded})"]
        if foreign:
            body = _guarded(code, body[0], _bad_message, title)
        from_wire = code.function("wire, ref", body)

    body = [line for name, shape in fields for line in shape.collect(code, f"wire.{name}")]
    if body:
        body = ["found = []", "add = found.append", *body, "return tuple(found)"]
    refs = code.function("wire", body or ["return ()"])

    body = [line for name, shape in fields for line in shape.count(code, f"wire.{name}")]
    count = None
    if body:
        body = ["containers = items = 0", *body, "return containers, items"]
        count = code.function("wire", body)

    copies = [shape.clone(code, f"src.{name}") for name, shape in fields]
    assign = code.function(
        "dst, src",
        [f"dst.{name} = {copy}" for (name, _), copy in zip(fields, copies, strict=True)]
        or ["pass"],
    )
    move = code.function("dst, src", [f"dst.{name} = src.{name}" for name, _ in fields] or ["pass"])
    body = [f"return {make}({', '.join(copies)})"]
    if foreign:
        body = _guarded(code, body[0], _bad_message, title)
    clone = code.function("src", body)

    blending = [(name, shape) for name, shape in fields if shape.blends]
    numbers = [shape.from_wire(code, f"wire.{name}") for name, shape in blending]
    floats = code.function("wire", [f"return ({', '.join([*numbers, ''])})"])
    ways = [_way(code, shape.turn, number) for number, (_, shape) in enumerate(blending)]
    distance = code.function("one, other", [f"return {code.constant(hypot)}({', '.join(ways)})"])
    body = [
        f"dst.{name} = {_between(code, shape.turn, number)}"
        for number, (name, shape) in enumerate(blending)
    ]
    blend = code.function("dst, one, other, fraction", body or ["pass"])
    held = [f"value.{name}" for name, _ in blending]
    read_floats = code.function("value", [f"return ({', '.join([*held, ''])})"])
    body = [f"dst.{name} = floats[{number}]" for number, (name, _) in enumerate(blending)]
    write_floats = code.function("dst, floats", body or ["pass"])

    close = [shape.near(code, f"one.{name}", f"other.{name}") for name, shape in fields]
    near = code.function("one, other", [f"return {' and '.join(close) or 'True'}"])

    singles = [
        code.function("value, ref", [f"return {shape.to_wire(code, 'value')}"])
        for _, shape in fields
    ]

    made = code.build(title)
    return Codec(
        made[to_wire],  # type: ignore[arg-type]
        made[from_wire],  # type: ignore[arg-type]
        made[refs],  # type: ignore[arg-type]
        made[assign],  # type: ignore[arg-type]
        made[move],  # type: ignore[arg-type]
        cls.__copy__ if flat else made[clone],  # type: ignore[arg-type, attr-defined]
        None if count is None else made[count],  # type: ignore[arg-type]
        made[floats],  # type: ignore[arg-type]
        made[blend],  # type: ignore[arg-type]
        made[near],  # type: ignore[arg-type]
        made[distance],  # type: ignore[arg-type]
        made[read_floats],  # type: ignore[arg-type]
        made[write_floats],  # type: ignore[arg-type]
        tuple(
            _check(made[single], shape)  # type: ignore[arg-type]
            for single, (_, shape) in zip(singles, fields, strict=True)
        ),
    )


def _check(to_wire: Callable[[object, Ref], object], shape: Emitter) -> Check:
    decode = msgspec.msgpack.Decoder(shape.wire).decode

    def check(value: object, ref: Ref) -> str | None:
        wire = value
        try:
            wire = to_wire(value, ref)
            decode(encode(wire))
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - converters and references are not ours
            return reason(value, wire, shape.text)
        return None

    return check


def _way(code: Code, turn: float | None, number: int) -> str:
    """Return an expression for the way between the floats of that number of two tuples."""
    if turn is None:
        return f"other[{number}] - one[{number}]"
    return f"{code.constant(_shorter_way)}(one[{number}], other[{number}], {turn!r})"


def _between(code: Code, turn: float | None, number: int) -> str:
    """Return an expression for what lies between the floats of that number of two tuples."""
    if turn is None:
        return f"one[{number}] + ({_way(code, turn, number)}) * fraction"
    return f"{code.constant(_turned)}(one[{number}], other[{number}], fraction, {turn!r})"


def _shorter_way(one: float, other: float, period: float) -> float:
    """Return by how much one angle has to turn to be another."""
    half = period / 2
    return (other - one + half) % period - half


def _turned(one: float, other: float, fraction: float, period: float) -> float:
    """Go from one angle towards another, the shorter way round."""
    half = period / 2
    angle = one + _shorter_way(one, other, period) * fraction
    # Games keep angles from 0 on or around 0, and look things up by them, or let them grow.
    for least in (0.0, -half):
        if least <= one < least + period and least <= other < least + period:
            # Twice: of the least below 0 the remainder is rounded up to the period itself.
            return least + (angle - least) % period % period
    return angle


def _guarded(
    code: Code, statement: str, fault: Callable[[str, BaseException], Exception], title: str
) -> list[str]:
    """Return a statement that runs code of the game's: whatever it raises, SystemExit too, is a
    fault of the value, and nothing more. Ctrl-C is the user's.
    """
    return [
        "try:",
        f"    {statement}",
        "except KeyboardInterrupt:",
        "    raise",
        "except BaseException as error:",
        f"    raise {code.constant(fault)}({title!r}, error) from error",
    ]


def _bad_value(title: str, error: BaseException) -> BadValueError:
    return BadValueError(f"a {title} cannot be sent: {_text(error)}")


def _bad_message(title: str, error: BaseException) -> BadMessageError:
    return BadMessageError(f"a received {title} cannot be read: {_text(error)}")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception of the game's may not even have a text
        return type(error).__name__
