"""The generated functions: to the wire, back, copies, references and faults."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal, Union

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.components import Teleports
from ecsnet.errors import BadMessageError, BadValueError
from ecsnet.schema import (
    ENCODE_ERRORS,
    Between,
    EntityRef,
    Gate,
    MaxLen,
    Quantized,
    Registry,
    WireType,
    command,
    command_type,
    component_type,
    encode,
    is_sent,
    register_type,
    replicated,
    unsent,
    use_registry,
)


@pytest.fixture(autouse=True)
def registry() -> Iterator[Registry]:
    with use_registry(Registry()) as registry:
        yield registry


def plain(entity: int | None) -> int | None:
    return entity


def outward(entity: int | None) -> int | None:
    """Local ids are below 1000, network ids above; 13 is an entity that nobody knows."""
    return None if entity is None or entity == 13 else entity + 1000


def inward(entity: int | None) -> int | None:
    return None if entity is None else entity - 1000


class Point(msgspec.Struct):
    x: int


class Path(msgspec.Struct):
    points: list[Point]


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


def test_a_direct_type_is_its_own_wire_form() -> None:
    @replicated
    class Position:
        x: float = 0.0
        y: float = 0.0

    declared = component_type(Position)
    position = Position(1, 2)
    assert declared.direct
    assert declared.wire_type is Position
    assert declared.to_wire(position, plain) is position
    assert declared.from_wire(position, plain) is position
    assert declared.refs(position) == ()
    received = Gate(Position, 100).decode(encode(position))
    assert received == position
    assert type(received.x) is float


def test_copies_of_flat_values() -> None:
    @replicated
    class Position:
        x: float = 0.0
        y: float = 0.0

    declared = component_type(Position)
    position = Position(1.0, 2.0)
    twin = declared.clone(position)
    assert twin == position
    assert twin is not position
    other = Position()
    declared.assign(other, position)
    assert other == position


def test_a_class_without_fields() -> None:
    @replicated
    class Frozen:
        pass

    declared = component_type(Frozen)
    assert encode(declared.to_wire(Frozen(), plain)) == b"\x90"
    assert declared.clone(Frozen()) == Frozen()
    declared.assign(Frozen(), Frozen())
    assert declared.fault(Frozen(), plain) is None
    assert declared.flat
    assert declared.direct


def test_references_cross_as_network_ids() -> None:
    @replicated
    class Squad:
        leader: EntityRef = None
        members: list[EntityRef] = []
        pair: tuple[EntityRef, int] = (None, 0)
        posts: dict[str, EntityRef] = {}
        last: tuple[EntityRef, ...] | None = None

    declared = component_type(Squad)
    squad = Squad(1, [2, None, 13, 3], (4, 44), {"a": 5, "b": None}, (6, 6))
    wire = declared.to_wire(squad, outward)
    assert encode(wire) == encode(
        [1001, [1002, None, None, 1003], [1004, 44], {"a": 1005, "b": None}, [1006, 1006]]
    )
    assert declared.refs(wire) == (1001, 1002, 1003, 1004, 1005, 1006, 1006)
    received = Gate(declared.wire_type, 1000).decode(encode(wire))
    assert received is not None
    assert declared.refs(received) == declared.refs(wire)
    assert declared.from_wire(received, inward) == Squad(
        1, [2, None, None, 3], (4, 44), {"a": 5, "b": None}, (6, 6)
    )
    assert declared.refs(declared.to_wire(Squad(), outward)) == ()


def test_references_inside_nested_structs_and_foreign_types() -> None:
    @dataclass
    class Link:
        entity: int | None

    register_type(Link, EntityRef, lambda link: link.entity, Link)

    class HarnessClient(msgspec.Struct):
        passenger: EntityRef
        row: int

    @replicated
    class Bus:
        seats: list[HarnessClient]
        link: Link
        driver: HarnessClient | None = None

    declared = component_type(Bus)
    assert declared.has_refs
    bus = Bus([HarnessClient(1, 1), HarnessClient(None, 2)], Link(2), HarnessClient(3, 0))
    wire = declared.to_wire(bus, outward)
    assert encode(wire) == encode([[[1001, 1], [None, 2]], 1002, [1003, 0]])
    assert declared.refs(wire) == (1001, 1002, 1003)
    assert declared.from_wire(wire, inward) == bus


def test_what_is_native_passes_through_a_conversion_as_it_is() -> None:
    @replicated
    class Corner:
        x: int = 0

    @replicated
    class Wall:
        owner: EntityRef
        corner: Corner
        corners: tuple[Corner, int]
        names: list[str] | None

    declared = component_type(Wall)
    wall = Wall(1, Corner(2), (Corner(3), 4), ["a"])
    wire: Any = declared.to_wire(wall, outward)
    assert wire.corner is wall.corner
    assert wire.corners is wall.corners
    assert wire.names is wall.names
    assert encode(wire) == encode([1001, [2], [[3], 4], ["a"]])
    assert declared.from_wire(wire, inward) == wall
    assert not declared.flat
    twin: Any = declared.clone(wall)
    assert twin == wall
    assert twin.corner is not wall.corner


def test_quantized_floats_cross_as_steps() -> None:
    @replicated
    class Position:
        x: Annotated[float, Quantized(1 / 16)] = 0.0

    declared = component_type(Position)

    def crossed(x: float) -> float:
        return declared.from_wire(declared.to_wire(Position(x), plain), plain).x  # type: ignore[attr-defined,no-any-return]

    assert encode(declared.to_wire(Position(10.02), plain)) == encode([160])
    assert [crossed(x) for x in (10.02, -0.04, 3, 4096.0)] == [10.0, -0.0625, 3.0, 4096.0]
    assert str(crossed(-0.01)) == "0.0"


def test_clones_share_nothing_mutable() -> None:
    @replicated
    class Everything:
        names: list[str]
        grid: list[list[int]]
        point: Point
        path: Path
        by_name: dict[str, int]
        lists: dict[str, list[int]]
        pair: tuple[list[int], int]
        maybe: list[int] | None
        points: tuple[Point, ...]

    declared = component_type(Everything)
    value = Everything(
        ["a"], [[1]], Point(1), Path([Point(2)]), {"a": 1}, {"a": [1]}, ([1], 2), [1], (Point(3),)
    )
    before = encode(value)
    twin = declared.clone(value)
    other = declared.clone(value)
    declared.assign(other, value)
    assert twin == other == value
    for copy in (twin, other):
        assert isinstance(copy, Everything)
        copy.names.append("b")
        copy.grid[0].append(2)
        copy.point.x = 9
        copy.path.points[0].x = 9
        copy.by_name["b"] = 2
        copy.lists["a"].append(2)
        copy.pair[0].append(2)
        assert copy.maybe is not None
        copy.maybe.append(2)
        copy.points[0].x = 9
        assert copy != value
    assert encode(value) == before


@pytest.mark.parametrize(
    ("annotation", "good", "bad", "message"),
    [
        (int, 3, 2.5, "Tank.value: 2.5 is not int"),
        (int, 3, True, "Tank.value: True is not int"),
        (int, 3, 2**70, "is not int"),
        (Annotated[int, Between(0, 9)], 9, 10, "Tank.value: 10 is not int between 0 and 9"),
        (float, 3, "x", "Tank.value: 'x' is not float"),
        (str, "x", "\ud800", "Tank.value: '\\ud800' is not str"),
        (Annotated[str, MaxLen(3)], "abc", "abcd", "'abcd' is not str up to 3"),
        (Color, Color.RED, "green", "'green' is not Color(RED='red', BLUE='blue')"),
        (list[int], [1], [None], "[None] is not list[int]"),
        (tuple[int, int], (1, 2), (1, 2, 3), "(1, 2, 3) is not tuple[int, int]"),
        (tuple[EntityRef, int], (1, 2), (1, 2, 3), "(1, 2, 3) is not tuple[EntityRef, int]"),
        (tuple[EntityRef, int], (1, 2), (1,), "(1,) is not tuple[EntityRef, int]"),
        (Annotated[float, Quantized(0.5)], 1, float("nan"), "nan is not float in steps of 0.5"),
        (Annotated[float, Quantized(0.5)], 1, float("inf"), "inf is not float in steps of 0.5"),
        (Annotated[float, Quantized(0.5)], 1, None, "None is not float in steps of 0.5"),
        (EntityRef, 3, "Bob", "'Bob' is not EntityRef"),
        (list[EntityRef], [3], 3, "3 is not list[EntityRef]"),
    ],
)
def test_faults_name_the_field(annotation: object, good: object, bad: object, message: str) -> None:
    cls: type = replicated(
        type("Tank", (), {"__annotations__": {"first": int, "value": annotation}})
    )
    declared = component_type(cls)
    assert declared.fault(cls(1, good), plain) is None
    fault = declared.fault(cls(1, bad), plain)
    assert fault is not None
    assert fault.startswith("Tank.value: ")
    assert message in fault


def test_faults_survive_hostile_values() -> None:
    class Nasty:
        def __repr__(self) -> str:
            raise RuntimeError

    @replicated
    class Tank:
        value: int = 0

    declared = component_type(Tank)
    nasty = declared.fault(Tank(Nasty()), plain)  # type: ignore[arg-type]
    assert nasty == "Tank.value: a Nasty is not int"
    disguised = type("list", (), {})()
    assert declared.fault(Tank(disguised), plain) == "Tank.value: a list is not int"
    long = declared.fault(Tank("x" * 10_000), plain)  # type: ignore[arg-type]
    assert long is not None
    assert len(long) < 100
    deleted = Tank()
    del deleted.value
    assert declared.fault(deleted, plain) == "Tank.value: None is not int"


def test_what_to_wire_cannot_convert_raises_one_error() -> None:
    @replicated
    class Tank:
        x: Annotated[float, Quantized(0.5)] = 0.0

    declared = component_type(Tank)
    for bad in (float("nan"), float("inf"), "x", None):
        with pytest.raises(BadValueError, match="Tank cannot be sent") as caught:
            declared.to_wire(Tank(bad), plain)  # type: ignore[arg-type]
        assert isinstance(caught.value, ENCODE_ERRORS)


def test_a_foreign_converter_may_dislike_what_a_peer_sent() -> None:
    register_type(Fraction, tuple[int, int], lambda f: f.as_integer_ratio(), lambda p: Fraction(*p))

    @command
    class Bet:
        share: Fraction

    declared = command_type(Bet)
    gate: Gate[object] = Gate(declared.wire_type, 100)
    good, bad = gate.decode(encode([[1, 2]])), gate.decode(encode([[1, 0]]))
    assert good is not None
    assert bad is not None
    assert declared.from_wire(good, plain) == Bet(Fraction(1, 2))
    with pytest.raises(BadMessageError, match=r"a received .*Bet cannot be read"):
        declared.from_wire(bad, plain)
    with pytest.raises(BadValueError):
        declared.to_wire(Bet("half"), plain)  # type: ignore[arg-type]
    assert declared.fault(Bet("half"), plain) == (  # type: ignore[arg-type]
        "Bet.share: 'half' is not Fraction as tuple[int, int]"
    )


class Share(msgspec.Struct):
    part: Fraction
    name: str = ""


@pytest.mark.parametrize(
    ("annotation", "bad"),
    [
        (Fraction, [1, 0]),
        (tuple[int, Fraction], [3, [1, 0]]),
        (Share, [[1, 0], "a"]),
        (list[Share], [[[1, 2], "a"], [[1, 0], "b"]]),
    ],
)
def test_a_converter_beside_what_needs_none_may_dislike_what_a_peer_sent(
    annotation: object, bad: object
) -> None:
    register_type(Fraction, tuple[int, int], lambda f: f.as_integer_ratio(), lambda p: Fraction(*p))
    made = type("Bet", (), {"__annotations__": {"amount": int, "share": annotation}})
    declared = component_type(replicated(made))
    wire = msgspec.msgpack.decode(encode([5, bad]), type=declared.wire_type)
    with pytest.raises(BadMessageError, match="a received Bet cannot be read"):
        declared.from_wire(wire, plain)


def test_a_foreign_wire_type_is_converted_in_turn() -> None:
    class Degrees:
        def __init__(self, value: float) -> None:
            self.value = value

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Degrees) and other.value == self.value

    register_type(
        Degrees,
        Annotated[float, Quantized(0.5)],
        lambda d: d.value,
        Degrees,
    )

    @replicated
    class Turret:
        angle: Degrees

    declared = component_type(Turret)
    wire = declared.to_wire(Turret(Degrees(10.3)), plain)
    assert encode(wire) == encode([21])
    assert declared.from_wire(wire, plain) == Turret(Degrees(10.5))


# Random fields: (annotation, values, whether it may be a dict's key).

Draw = tuple[object, st.SearchStrategy[Any]]

_STEP = 0.125

KEYS: list[Draw] = [
    (Annotated[int, Between(-9, 9)], st.integers(-9, 9)),
    (Annotated[str, MaxLen(5)], st.text(max_size=5, alphabet="aäß€😀")),
    (Color, st.sampled_from(Color)),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
]
LEAVES: list[Draw] = [
    *KEYS,
    (int, st.integers(-(2**63), 2**63 - 1)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (None, st.none()),
    (Annotated[bytes, MaxLen(5)], st.binary(max_size=5)),
    (EntityRef, st.none() | st.integers(1, 999).filter(lambda entity: entity != 13)),
    (Annotated[float, Quantized(_STEP)], st.integers(-99, 99).map(lambda n: n * _STEP)),
    (Fraction, st.fractions(-9, 9, max_denominator=9)),
]


def _optional(inner: Draw) -> Draw:
    return Union[inner[0], None], st.none() | inner[1]  # noqa: UP007


def _list(inner: Draw) -> Draw:
    return Annotated[list[inner[0]], MaxLen(4)], st.lists(inner[1], max_size=4)  # type: ignore[valid-type]


def _tuple(inner: Draw) -> Draw:
    annotation = Annotated[tuple[inner[0], ...], MaxLen(4)]  # type: ignore[valid-type]
    return annotation, st.lists(inner[1], max_size=4).map(tuple)


def _pair(inner: tuple[Draw, Draw]) -> Draw:
    (first, firsts), (second, seconds) = inner
    return tuple[first, second], st.tuples(firsts, seconds)  # type: ignore[valid-type]


def _dict(inner: tuple[Draw, Draw]) -> Draw:
    (key, keys), (item, items) = inner
    annotation = Annotated[dict[key, item], MaxLen(3)]  # type: ignore[valid-type]
    return annotation, st.dictionaries(keys, items, max_size=3)


def _struct(inner: tuple[list[Draw], bool, bool]) -> Draw:
    fields, frozen, array_like = inner
    cls = msgspec.defstruct(
        "Nested",
        [(f"f{n}", annotation) for n, (annotation, _) in enumerate(fields)],
        frozen=frozen,
        array_like=array_like,
        forbid_unknown_fields=array_like,
    )
    return cls, st.tuples(*(values for _, values in fields)).map(lambda items: cls(*items))


DRAWS: st.SearchStrategy[Draw] = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        inner.map(_optional),
        inner.map(_list),
        inner.map(_tuple),
        st.tuples(inner, inner).map(_pair),
        st.tuples(st.sampled_from(KEYS), inner).map(_dict),
        st.tuples(st.lists(inner, max_size=3), st.booleans(), st.booleans()).map(_struct),
    ),
    max_leaves=5,
)


def _mutable_parts(value: object) -> Iterator[int]:
    """The identities of everything inside that could change."""
    if isinstance(value, list | tuple):
        inside: list[object] = list(value)
    elif isinstance(value, dict):
        inside = list(value.values())
    elif isinstance(value, msgspec.Struct):
        inside = [getattr(value, name) for name in value.__struct_fields__]
    else:
        return
    frozen = isinstance(value, msgspec.Struct) and value.__struct_config__.frozen
    if not isinstance(value, tuple) and not frozen:
        yield id(value)
    for part in inside:
        yield from _mutable_parts(part)


def _declare(kind: str, fields: list[Draw]) -> WireType:
    with use_registry(Registry()):
        register_type(
            Fraction, tuple[int, int], lambda f: f.as_integer_ratio(), lambda p: Fraction(*p)
        )
        body = {"__annotations__": {f"f{n}": a for n, (a, _) in enumerate(fields)}}
        cls = type("Random", (), body)
        return component_type(replicated(cls)) if kind == "r" else command_type(command(cls))


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from("rc"), st.lists(DRAWS, max_size=4))
def test_any_value_of_any_type_crosses(data: st.DataObject, kind: str, fields: list[Draw]) -> None:
    declared = _declare(kind, fields)
    make: Callable[..., object] = declared.cls
    value = make(*(data.draw(values) for _, values in fields))
    referred: list[int] = []

    def ref(entity: int | None) -> int | None:
        network_id = outward(entity)
        if network_id is not None:
            referred.append(network_id)
        return network_id

    wire = declared.to_wire(value, ref)
    sent = encode(wire)
    received = Gate(declared.wire_type, 100_000).decode(sent)
    assert received is not None
    assert encode(received) == sent
    assert list(declared.refs(received)) == list(declared.refs(wire)) == referred
    assert declared.has_refs or not referred

    back = declared.from_wire(received, inward)
    assert back == value
    assert encode(declared.to_wire(back, outward)) == sent

    twin = declared.clone(value)
    target = make(*(None for _ in fields))
    declared.assign(target, value)
    originals = set(_mutable_parts(value))
    for copied in (twin, target):
        assert type(copied) is declared.cls
        assert copied == value
        assert originals.isdisjoint(_mutable_parts(copied))
    if declared.flat:
        assert len(originals) == 1
    assert declared.fault(value, outward) is None


@settings(max_examples=60, deadline=None)
@given(st.sampled_from("rc"), st.lists(DRAWS, min_size=1, max_size=3), st.binary(max_size=40))
def test_garbage_never_gets_through_whole(kind: str, fields: list[Draw], data: bytes) -> None:
    declared = _declare(kind, fields)
    received = Gate(declared.wire_type, 100).decode(data)
    if received is not None:
        try:
            value = declared.from_wire(received, plain)
        except BadMessageError:
            return
        assert type(value) is declared.cls


@settings(max_examples=60, deadline=None)
@given(st.floats(2**-20, 2**20), st.floats(-(2.0**28), 2.0**28))
def test_quantizing_twice_changes_nothing(step: float, value: float) -> None:
    declared = _declare("r", [(Annotated[float, Quantized(step)], st.none())])
    make: Callable[..., object] = declared.cls
    wire = declared.to_wire(make(value), plain)
    once = declared.from_wire(wire, plain)
    assert abs(once.f0 - value) <= step * 0.5000001  # type: ignore[attr-defined]
    assert declared.to_wire(once, plain) == wire


# How much it may be.


class Rank(enum.Enum):
    LOW = "low"
    HIGH = "the highest of all"


@pytest.mark.parametrize(
    ("annotation", "largest"),
    [
        (int, 2**64 - 1),
        (float, -1e300),
        (bool, True),
        (EntityRef, 2**63 - 1),
        (Annotated[float, Quantized(0.5)], -(2.0**48)),
        (Annotated[str, MaxLen(40)], "\U0001f600" * 40),
        (Annotated[bytes, MaxLen(300)], bytes(300)),
        (Rank, Rank.HIGH),
        (Literal["a", "much longer"], "much longer"),
        (tuple[int, float, bool], (2**63, 0.5, False)),
        (tuple[int, tuple[EntityRef, Rank]] | None, (2**63, (2**63 - 1, Rank.HIGH))),
    ],
)
def test_a_bound_is_as_much_as_a_value_may_take(annotation: object, largest: object) -> None:
    cls: type = replicated(type("Sized", (), {"__annotations__": {"value": annotation}}))
    declared = component_type(cls)
    value = cls(largest)
    assert declared.fault(value, plain) is None
    assert declared.bound is not None
    assert len(encode(declared.to_wire(value, plain))) <= declared.bound <= 8 * len(encode(value))


@pytest.mark.parametrize(
    ("annotation", "most"),
    [
        (int, 9),
        (int | None, 9),
        (Annotated[str, MaxLen(40)], 5 + 40 * 4),
        (Annotated[bytes, MaxLen(300)], 5 + 300),
        (tuple[int, float], 5 + 9 + 9),
        (Point, 5 + 9),
    ],
)
def test_a_bound_is_the_longest_msgpack_of_its_parts(annotation: object, most: int) -> None:
    """A number has up to 9 bytes, and what has a length up to 5 before the rest."""
    cls: type = replicated(type("Sized", (), {"__annotations__": {"value": annotation}}))
    assert component_type(cls).bound == 5 + most


@pytest.mark.parametrize(
    "annotation",
    [str, bytes, list[int], dict[str, int], tuple[int, ...], str | None, tuple[int, str]],
)
def test_what_may_be_of_any_length_has_no_bound(annotation: object) -> None:
    cls: type = replicated(type("Endless", (), {"__annotations__": {"value": annotation}}))
    assert component_type(cls).bound is None


# What is in a value.


def naive(value: object) -> tuple[int, int]:
    """Containers and items in what was decoded, the thing itself included."""
    inside: list[object] = []
    if isinstance(value, list | tuple):
        inside = [*value]
    elif isinstance(value, dict):
        inside = [*value, *value.values()]
    elif isinstance(value, msgspec.Struct):
        inside = [getattr(value, name) for name in value.__struct_fields__]
    else:
        return 0, 1
    counts = [naive(each) for each in inside]
    return 1 + sum(c for c, _ in counts), 1 + sum(i for _, i in counts)


class Box(msgspec.Struct):
    number: int = 0
    rows: list[tuple[int, int]] = []


COUNTED: list[tuple[object, object, bool]] = [
    (int, 5, False),
    (str, "a text", False),
    (tuple[int, tuple[float, str]], (1, (2.0, "x")), False),
    (list[int], [1, 2, 3], False),
    (dict[str, int], {"a": 1, "b": 2}, False),
    (list[int] | None, [1], False),
    (tuple[list[int], str], ([1, 2], "x"), False),
    (Box, Box(1, [(1, 2), (3, 4)]), True),
    (list[list[int]], [[1], [], [2, 3]], True),
    (list[list[EntityRef]], [[1, None], []], True),
    (tuple[tuple[int, ...], ...], ((1,), ()), True),
    (dict[str, list[int]], {"a": [1], "b": []}, True),
    (dict[int, dict[int, int]], {1: {2: 3}, 4: {}}, True),
    (list[list[list[int]]], [[[1], []], [], [[2]]], True),
    (list[Box], [Box(), Box(2, [(1, 1)])], True),
    (list[list[int] | None], [[1], [2, 3]], True),
    (tuple[list[list[int]], list[Box] | None], ([[1]], [Box()]), True),
    (list[tuple[Annotated[float, Quantized(0.5)], str]], [(1.5, "a"), (2.0, "b")], True),
]


@pytest.mark.parametrize(("annotation", "value", "nests"), COUNTED)
def test_what_is_in_a_value_is_counted(annotation: object, value: object, nests: bool) -> None:
    cls: type = replicated(type("Counted", (), {"__annotations__": {"value": annotation}}))
    declared = component_type(cls)
    wire = msgspec.msgpack.decode(
        encode(declared.to_wire(cls(value), plain)), type=declared.wire_type
    )
    assert declared.held(wire) == naive(wire.value)
    assert declared.nests is nests
    varies = any(word in repr(annotation) for word in ("list", "dict", "...", "Box"))
    assert (declared.count is not None) is varies


def test_what_is_not_there_counts_where_its_type_has_a_fixed_size() -> None:
    @replicated
    class Maybe:
        pairs: list[tuple[int, int] | None] = []
        rows: list[int] | None = None

    held = component_type(Maybe).held
    assert held(Maybe([(1, 2), None], [7, 8])) == held(Maybe([None, None], [7, 8]))
    assert held(Maybe([], [7, 8])) == (2, 4)
    assert held(Maybe([None, None], None)) == (2 + 2, 2 + 2 * 3)


def test_a_value_of_a_registered_type_is_a_container() -> None:
    class Label:
        def __init__(self, number: int) -> None:
            self.number = number

    register_type(Label, int, lambda label: label.number, Label)

    @replicated
    class Labels:
        one: Label
        more: list[Label] = []

    declared = component_type(Labels)
    wire = declared.to_wire(Labels(Label(1), [Label(2), Label(3)]), plain)
    assert declared.held(wire) == (4, 7)  # a number for each, beside it


def test_of_too_many_containers_the_rest_is_not_counted() -> None:
    @replicated
    class Deep:
        deep: list[list[list[int]]] = []

    count = component_type(Deep).count
    assert count is not None
    assert count(Deep([[[]] * 40_000, [[]] * 40_000, [[1]] * 40_000])) == (3 + 80_000, 3 + 80_000)
    assert count(Deep([[[1]]] * 70_000)) == (70_000, 70_000)


# Values that look as if they fitted.


class Meters(float):
    pass


class Half:
    def __repr__(self) -> str:
        return "0.5"


@pytest.mark.parametrize(
    ("annotation", "bad", "message"),
    [
        (float, Half(), "Tank.value: 0.5 is not float: it is a Half"),
        (
            list[float],
            [1.0, Half()],
            "Tank.value: [1.0, 0.5] is not list[float]: 0.5 in it is a Half",
        ),
        (int, Meters(2.0), "Tank.value: 2.0 is not int: it is a Meters"),
        (int, 2**64, "18446744073709551616 is not int: it is too large for 64 bits"),
        (int, -(2**63) - 1, "it is too large for 64 bits"),
        (dict[str, list[int]], {"a": [1, 2**70]}, f"{2**70} in it is too large for 64 bits"),
        (str, "a\udc00", "it holds half of a surrogate pair"),
        (dict[str, int], {"\ud800": 1}, "'\\ud800' in it holds half of a surrogate pair"),
        (tuple[str, int], ("\ud800", 1), "'\\ud800' in it holds half of a surrogate pair"),
        (Annotated[float, Quantized(0.5)], Half(), "it is a Half"),
        (EntityRef, Meters(3.0), "3.0 is not EntityRef: it is a Meters"),
    ],
)
def test_a_fault_says_what_a_repr_hides(annotation: object, bad: object, message: str) -> None:
    def only_entities(entity: int | None) -> int | None:
        if not isinstance(entity, int | None):
            raise TypeError
        return entity

    cls: type = replicated(type("Tank", (), {"__annotations__": {"value": annotation}}))
    fault = component_type(cls).fault(cls(bad), only_entities)
    assert fault is not None
    assert message in fault


def test_a_fault_is_found_in_what_holds_itself() -> None:
    @replicated
    class Nest:
        inside: list[list[int]] = []

    endless: list[object] = []
    endless.append(endless)
    fault = component_type(Nest).fault(Nest(endless), plain)  # type: ignore[arg-type]
    assert fault is not None
    assert re.fullmatch(r"Nest.inside: \[+\.\.\.\]+ is not list\[list\[int\]\]", fault)


def fault_of(annotation: object, value: object) -> str | None:
    cls: type = replicated(type("Tank", (), {"__annotations__": {"value": annotation}}))
    return component_type(cls).fault(cls(value), plain)


def test_a_fault_blames_no_int_that_fits() -> None:
    held = [-(2**63), 2**63 - 1, 5, "x"]
    assert fault_of(list[int], held) == f"Tank.value: {held} is not list[int]"
    held[0] = 2**63
    assert fault_of(list[int], held) == (
        f"Tank.value: {held} is not list[int]: {2**63} in it is too large for 64 bits"
    )


def test_a_fault_does_not_tell_a_value_to_be_what_its_field_is_for() -> None:
    class Label:
        def __repr__(self) -> str:
            return "1.5"

    register_type(Label, int, lambda _: 1.5, lambda _: Label())
    assert fault_of(Label, Label()) == "Tank.value: 1.5 is not Label as int"


def test_a_fault_is_looked_for_among_100_000_values() -> None:
    held: list[object] = [0.5] * 99_000
    found = fault_of(list[float], [*held, Half()])
    assert found is not None
    assert found.endswith(" is not list[float]: 0.5 in it is a Half")
    found = fault_of(list[float], [*held, *held, Half()])
    assert found is not None
    assert found.endswith(" is not list[float]")


# Two values.


def test_a_move_hands_over_what_is_inside() -> None:
    @replicated
    class Bag:
        name: str
        items: list[int]

    source, target = Bag("a", [1]), Bag("b", [])
    component_type(Bag).move(target, source)
    assert target == Bag("a", [1])
    assert target.items is source.items


def test_values_differ_where_they_say_so_and_what_crosses_differs_too() -> None:
    class Mute:
        """Has no notion of being equal."""

        def __init__(self, number: int) -> None:
            self.number = number

    register_type(Mute, int, lambda mute: mute.number, Mute)

    @replicated
    class Tank:
        x: float
        mute: Mute

    differing = component_type(Tank).differing
    assert differing(Tank(0.0, Mute(1)), Tank(0.0, Mute(1))) is None
    assert differing(Tank(0.0, Mute(1)), Tank(0.0, Mute(2))) == "mute"
    assert differing(Tank(1.0, Mute(1)), Tank(0.0, Mute(2))) == "x"
    # Equal, though their bytes are not.
    assert differing(Tank(0.0, Mute(1)), Tank(-0.0, Mute(1))) is None


def test_what_comes_to_rest_is_repeated_where_others_are_drawn_by_it() -> None:
    @replicated(interpolate=True)
    class Drawn:
        x: float = 0.0

    @replicated
    class Told:
        x: float = 0.0

    assert component_type(Drawn).repeated
    assert not component_type(Told).repeated
    assert component_type(Teleports).repeated


def test_only_components_that_clients_see_are_sent() -> None:
    @replicated
    class Enemy:
        x: int = 0

    @replicated(visible_to="server")
    class Plan(Enemy):
        pass

    @command
    class Fire:
        pass

    class Minion(Enemy):
        pass

    assert [is_sent(cls) for cls in (Enemy, Plan, Fire, Minion, int)] == [True, *[False] * 4]
    sent = {Enemy}
    assert [unsent(cls, sent) for cls in (Enemy, Plan, Fire, int)] == [None] * 4
    message = unsent(Minion, sent)
    assert message is not None
    assert "Minion is never sent: it inherits from" in message
    message = unsent(Enemy, set())
    assert message is not None
    assert "it was declared when this server was made already" in message
