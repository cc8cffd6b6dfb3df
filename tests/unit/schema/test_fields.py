"""Field types: what each annotation means, what is refused, and with which words."""

from __future__ import annotations

import datetime
import decimal
import enum
import re
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypeVar

import msgspec
import pygame
import pytest

from ecsnet.errors import DeclarationError
from ecsnet.schema import (
    PLAIN,
    Between,
    EntityRef,
    Gate,
    Kind,
    MaxLen,
    Quantized,
    Registry,
    Suspect,
    Turn,
    command,
    command_type,
    component_type,
    encode,
    register_type,
    replicated,
    use_registry,
)

T = TypeVar("T")
Meters = NewType("Meters", float)


@pytest.fixture(autouse=True)
def registry() -> Iterator[Registry]:
    with use_registry(Registry()) as registry:
        yield registry


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(msgspec.Struct):
    x: float
    y: float


class Corner(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    x: int
    y: int


def holding(annotation: object, **default: object) -> type[Any]:
    """A class Tank with one field, value, of that annotation."""
    return type("Tank", (), {"__annotations__": {"value": annotation}, **default})


def component(annotation: object) -> Any:
    with use_registry(Registry()):
        return component_type(replicated(holding(annotation)))


def sent(annotation: object) -> Any:
    with use_registry(Registry()):
        return command_type(command(holding(annotation)))


def refusal(declare: Callable[[object], object], annotation: object) -> str:
    with pytest.raises(DeclarationError) as caught:
        declare(annotation)
    return str(caught.value)


def accepts(declared: Any, value: object) -> bool:
    gate: Gate[object] = Gate(declared.wire_type, 10_000)
    return gate.decode(encode([value])) is not None


def plain(entity: int | None) -> int | None:
    return entity


@pytest.mark.parametrize(
    ("annotation", "text", "flat", "direct"),
    [
        (int, "int", True, True),
        (float, "float", True, True),
        (bool, "bool", True, True),
        (str, "str", True, True),
        (bytes, "bytes", True, True),
        (None, "None", True, True),
        (type(None), "None", True, True),
        (int | None, "int | None", True, True),
        (Optional[str], "str | None", True, True),  # noqa: UP045
        (Color, "Color(RED='red', BLUE='blue')", True, True),
        (Level, "Level(LOW=1, HIGH=2)", True, True),
        (Literal["b", "a", 3], "Literal['a', 'b', 3]", True, True),
        (Meters, "float", True, True),
        (Annotated[int, "a remark"], "int", True, True),
        (Annotated[int, Color], "int", True, True),
        (tuple[int, str], "tuple[int, str]", True, True),
        (tuple[()], "tuple[()]", True, True),
        (tuple[float, ...], "tuple[float, ...]", True, True),
        (list[int], "list[int]", False, True),
        (tuple[list[int], int], "tuple[list[int], int]", False, True),
        (dict[str, list[int]], "dict[str, list[int]]", False, True),
        (dict[Color, int], "dict[Color(RED='red', BLUE='blue'), int]", False, True),
        (typing.List[int], "list[int]", False, True),  # noqa: UP006
        (Annotated[int, Between(-1, 1)], "int between -1 and 1", True, True),
        (Annotated[int, Between(0.0, 9.0)], "int between 0 and 9", True, True),
        (Annotated[int, Between(3, 3)], "int between 3 and 3", True, True),
        (
            Annotated[int, Between(-(2**63), 2**63 - 1)],
            f"int between {-(2**63)} and {2**63 - 1}",
            True,
            True,
        ),
        (Annotated[float, Between(0, 1)], "float between 0.0 and 1.0", True, True),
        (Annotated[str, MaxLen(1)], "str up to 1", True, True),
        (Annotated[str, MaxLen(9)], "str up to 9", True, True),
        (Annotated[bytes, MaxLen(9)], "bytes up to 9", True, True),
        (Annotated[list[int], MaxLen(9)], "list[int] up to 9", False, True),
        (Annotated[dict[int, int], MaxLen(9)], "dict[int, int] up to 9", False, True),
        (Annotated[tuple[int, ...], MaxLen(9)], "tuple[int, ...] up to 9", True, True),
        (Annotated[int | None, Between(0, 1)], "int between 0 and 1 | None", True, True),
        (Annotated[float, Quantized(0.5)], "float in steps of 0.5", True, False),
        (Annotated[float, Turn(360)], "float", True, True),
        (Annotated[float, Turn(0.5)], "float", True, True),
        (Annotated[float, Turn(360), Quantized(0.5)], "float in steps of 0.5", True, False),
        (
            Annotated[float, Quantized(1 / 16), Between(0, 64)],
            "float in steps of 0.0625 between 0.0 and 64.0",
            True,
            False,
        ),
        (EntityRef, "EntityRef", True, False),
        (EntityRef | None, "EntityRef", True, False),
        (list[EntityRef], "list[EntityRef]", False, False),
        (tuple[EntityRef, ...], "tuple[EntityRef, ...]", True, False),
        (Point, "Point(x: float, y: float)", False, False),
        (Corner, "Corner(x: int, y: int)", True, True),
        (list[Corner] | None, "list[Corner(x: int, y: int)] | None", False, True),
    ],
)
def test_components_hold(annotation: object, text: str, flat: bool, direct: bool) -> None:
    declared = component(annotation)
    (field,) = declared.fields
    assert (field.name, field.text) == ("value", text)
    assert (declared.flat, declared.direct) == (flat, direct)
    assert (declared.wire_type is declared.cls) == direct
    assert declared.has_refs == ("EntityRef" in text)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (
            pygame.Vector2,
            "pygame.Vector2 cannot cross the wire: use two floats, or net.register_type(...)",
        ),
        (pygame.Rect, "pygame.Rect cannot cross the wire: use four ints, or net.register_type"),
        (complex, "complex cannot cross the wire: use two floats"),
        (datetime.datetime, "datetime.datetime cannot cross the wire: use a float, in seconds"),
        (decimal.Decimal, "decimal.Decimal cannot cross the wire: use an int of the smallest"),
        (set[int], "set[int] cannot cross the wire: use a list"),
        (bytearray, "bytearray cannot cross the wire: use bytes, or"),
        (memoryview, "memoryview cannot cross the wire: use int, float, bool"),
        (object, "object cannot cross the wire: use the type that it holds"),
        (Any, "Any cannot cross the wire: use the type that it holds"),
        (T, "~T cannot cross the wire: use int, float"),
        (list, "list cannot cross the wire: say what it holds, as in list[int]"),
        (dict, "dict cannot cross the wire: say what it holds, as in dict[str, int]"),
        (int | str, "int | str cannot cross the wire: use one type (with None, if need be)"),
        (int | str | None, "cannot cross the wire: use one type"),
        (Annotated[int, msgspec.Meta(ge=0)], "use net.Between, net.MaxLen or net.Quantized in"),
        (Annotated[str, Between(0, 1)], "Between goes with int and float, not with str"),
        (Annotated[int, MaxLen(3)], "MaxLen goes with str, bytes, list, dict and tuple[T, ...]"),
        (Annotated[tuple[int, int], MaxLen(3)], "MaxLen goes with str, bytes, list, dict"),
        (Annotated[int, Quantized(3)], "Quantized goes with float, not with int"),
        (Annotated[int, Turn(360)], "Turn goes with float, not with int"),
        (
            Annotated[tuple[float, float], Turn(360)],
            "Turn goes with float, not with tuple[float, float]",
        ),
        (Annotated[float, Turn], "Turn without brackets says nothing: write Turn(...)"),
        (Turn(360), "it goes with a type, Annotated[float, Turn(...)]"),
        (MaxLen(3), "it goes with a type, Annotated[str, MaxLen(...)]"),
        (Annotated[int, Between(0, 1), Between(0, 2)], "two of Between"),
        (Annotated[int, Between(0.5, 1)], "the bounds of an int are whole"),
        (Annotated[int, Between(0, 2**63)], "the bounds of an int are whole, below 2**63"),
        (dict[float, int], "float cannot be the key of a dict"),
        (dict[EntityRef, int], "EntityRef cannot be the key of a dict"),
        (enum.Flag("Bits", "A B"), "Bits cannot cross the wire, being a Flag: use int"),
        (enum.Enum("Mixed", {"A": 1, "B": "b"}), "must be all int or all str, and fit 64 bits"),
        (enum.Enum("Huge", {"A": 2**64}), "must be all int or all str, and fit 64 bits"),
        (Literal[b"a"], "Literal[b'a'] cannot cross the wire: its values must be"),
        ("Missing", "the annotation 'Missing' cannot be read here (name 'Missing'"),
        (list["Missing"], "the annotation 'Missing' cannot be read here"),  # type: ignore[name-defined]  # noqa: F821
        (Optional["Missing"], "the annotation 'Missing' cannot be read here"),  # noqa: F821
    ],
)
def test_refused(annotation: object, message: str) -> None:
    found = refusal(component, annotation)
    assert found.startswith("Tank.value: ")
    assert message in found


def test_type_statements_are_followed() -> None:
    class TypeAliasType:
        """What ``type Health = ...`` makes, from Python 3.12 on."""

        __value__ = Annotated[int, Between(0, 9)]

    assert component(TypeAliasType()).fields[0].text == "int between 0 and 9"


def test_refused_classes_are_told_what_to_do() -> None:
    class Plain:
        pass

    @dataclass
    class Data:
        x: int

    class Named(NamedTuple):
        x: int

    class Missing(enum.Enum):
        A = 1

        @classmethod
        def _missing_(cls, value: object) -> Missing:
            return cls.A

    class Unreadable(msgspec.Struct):
        x: Nowhere  # type: ignore[name-defined]  # noqa: F821

    class Tree(msgspec.Struct):
        branches: list[Leaf]

    class Leaf(msgspec.Struct):
        tree: Tree | None

    assert "put @net.replicated above class Plain, or net.register_type" in refusal(
        component, Plain
    )
    assert "above class Data in place of @dataclass" in refusal(component, Data)
    assert "use tuple[...], or net.register_type(...)" in refusal(component, Named)
    assert "with its own _missing_" in refusal(component, Missing)
    assert "the annotations of Unreadable cannot be read" in refusal(component, Unreadable)

    # Two classes that hold each other, as a module would have them.
    Tree.__annotations__["branches"] = list[Leaf]
    Leaf.__annotations__["tree"] = Tree | None
    assert refusal(component, Tree).startswith(
        "Tank.value.branches.tree: Tree inside itself cannot cross the wire"
    )


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Quantized(0),
        lambda: Quantized(-1),
        lambda: Quantized(10**400),
        lambda: Between(0, 10**400),
        lambda: Quantized(float("nan")),
        lambda: Quantized(float("inf")),
        lambda: Quantized("1"),  # type: ignore[arg-type]
        lambda: Quantized(True),
        lambda: Between(1, 0),
        lambda: Between(float("-inf"), 0),
        lambda: Between(0, float("nan")),
        lambda: Between("a", "b"),  # type: ignore[arg-type]
        lambda: Turn(0),
        lambda: Turn(-360),
        lambda: Turn(float("inf")),
        lambda: Turn("360"),  # type: ignore[arg-type]
        lambda: MaxLen(0),
        lambda: MaxLen(1.5),  # type: ignore[arg-type]
        lambda: MaxLen(True),
    ],
)
def test_marks_check_their_arguments(declare: Callable[[], object]) -> None:
    with pytest.raises(DeclarationError):
        declare()


@pytest.mark.parametrize(
    ("annotation", "fix"),
    [
        (str, "Annotated[str, net.MaxLen(64)]"),
        (bytes, "Annotated[bytes, net.MaxLen(64)]"),
        (list[int], "Annotated[list[int], net.MaxLen(64)]"),
        (tuple[int, ...], "Annotated[tuple[int, ...], net.MaxLen(64)]"),
        (dict[int, int], "Annotated[dict[int, int], net.MaxLen(64)]"),
        (Annotated[list[str], MaxLen(3)], "Annotated[str, net.MaxLen(64)]"),
        (Annotated[dict[str, int], MaxLen(3)], "Annotated[str, net.MaxLen(64)]"),
        (tuple[int, str], "Annotated[str, net.MaxLen(64)]"),
        (str | None, "Annotated[str, net.MaxLen(64)]"),
    ],
)
def test_commands_must_be_bounded(annotation: object, fix: str) -> None:
    found = refusal(sent, annotation)
    assert found == (f"Tank.value: a client could send any amount; say how much it may be: {fix}")
    assert component(annotation)


def test_a_nested_unbounded_field_is_named_by_its_path() -> None:
    class Name(msgspec.Struct):
        first: str

    @replicated
    class Person:
        name: Name

    assert refusal(sent, Person).startswith("Tank.value.name.first: a client could send any")


def test_numbers_of_commands_are_finite_and_fit() -> None:
    floats, ints = sent(float), sent(int)
    for bad in (float("nan"), float("inf"), float("-inf"), "1", None, True):
        assert not accepts(floats, bad)
    assert accepts(floats, 1e308)
    assert accepts(floats, 3)
    assert accepts(ints, 2**63 - 1)
    assert accepts(ints, -(2**63))
    for bad in (2**63, 1.0, True, None):
        assert not accepts(ints, bad)
    assert accepts(component(float), float("inf"))


def test_nested_numbers_of_commands_are_bounded_too() -> None:
    @replicated
    class Free:
        x: float = 0.0

    shared, bound = component(Free), sent(Free)
    assert shared.direct
    assert not bound.direct
    gates = [Gate(shared.wire_type, 100), Gate(bound.wire_type, 100)]
    for gate in gates:
        assert gate.decode(encode([[1.0]])) is not None
    infinite = encode([[float("inf")]])
    assert [gate.decode(infinite) is None for gate in gates] == [False, True]


@pytest.mark.parametrize("declare", [component, sent])
def test_bounds_are_checked_on_the_way_in(declare: Callable[[object], Any]) -> None:
    between = declare(Annotated[int, Between(-1, 1)])
    assert [accepts(between, n) for n in (-2, -1, 0, 1, 2, 0.5)] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]
    share = declare(Annotated[float, Between(0, 1)])
    assert [accepts(share, x) for x in (-0.5, 0.0, 0.5, 1.0, 1.5, float("nan"))] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]
    text = declare(Annotated[str, MaxLen(3)])
    assert [accepts(text, s) for s in ("", "äöü", "abcd", 3)] == [True, True, False, False]
    items = declare(Annotated[list[int], MaxLen(2)])
    assert [accepts(items, i) for i in ([], [1, 2], [1, 2, 3], ["a"])] == [True, True, False, False]
    reference = declare(EntityRef)
    assert [accepts(reference, i) for i in (None, 1, 2**63 - 1, 0, -1, 2**63, "1")] == [
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_quantized_steps_are_bounded() -> None:
    free = component(Annotated[float, Quantized(0.1)])
    assert [accepts(free, n) for n in (2**50, 2**50 + 1, -(2**50), -(2**50) - 1, 0.5)] == [
        True,
        False,
        True,
        False,
        False,
    ]
    tight = component(Annotated[float, Quantized(0.25), Between(-1, 2)])
    assert [accepts(tight, n) for n in (-5, -4, 8, 9)] == [False, True, True, False]
    vast = component(Annotated[float, Quantized(1e-300), Between(-1e300, 1e300)])
    assert [accepts(vast, n) for n in (2**50, 2**50 + 1)] == [True, False]


def test_a_quantized_value_from_a_peer_stays_within_its_bounds() -> None:
    declared = sent(Annotated[float, Quantized(0.28), Between(-1, 1)])
    read = [declared.from_wire(declared.wire_type(n), plain).value for n in (-4, -3, 0, 3, 4)]
    assert read == pytest.approx([-1, -0.84, 0, 0.84, 1])
    assert min(read) == -1
    assert max(read) == 1


@pytest.mark.parametrize(
    ("lo", "hi", "outermost"), [(-3, 4, {-2: -3.0, 2: 4.0}), (-4, 3, {-2: -4.0, 2: 3.0})]
)
def test_a_step_beyond_one_of_two_bounds_is_read_as_that_bound(
    lo: float, hi: float, outermost: dict[int, float]
) -> None:
    declared = sent(Annotated[float, Quantized(2), Between(lo, hi)])
    for steps, value in outermost.items():
        assert accepts(declared, steps)
        assert declared.from_wire(declared.wire_type(steps), plain).value == value


def test_long_descriptions_are_cut_and_still_tell_types_apart() -> None:
    def long(last: int) -> str:
        members = {f"MEMBER_{n}": n for n in range(100)} | {"LAST": last}
        return str(component(enum.Enum("Long", members)).fields[0].text)

    assert len(long(100)) < 450
    assert long(100) != long(101)
    assert long(100) == long(100)


def test_a_description_of_400_characters_is_told_whole() -> None:
    def text(length: int) -> str:
        value = "x" * (length - len("Literal['']"))
        return str(component(Literal[value]).fields[0].text)

    assert text(400) == f"Literal['{'x' * 389}']"
    assert text(401).startswith(f"Literal['{'x' * 390}'... #")


def test_foreign_types(registry: Registry) -> None:
    register_type(pygame.Vector2, tuple[float, float], tuple, pygame.Vector2)

    @replicated
    class Ball:
        at: pygame.Vector2
        trail: list[pygame.Vector2]
        goal: pygame.Vector2 | None = None

    declared = component_type(Ball)
    assert declared.fields[0].text == "Vector2 as tuple[float, float]"
    assert not declared.flat
    assert not declared.direct
    ball = Ball(pygame.Vector2(1, 2), [pygame.Vector2(3, 4)])
    wire = declared.to_wire(ball, plain)
    assert encode(wire) == encode([[1.0, 2.0], [[3.0, 4.0]], None])
    assert declared.from_wire(wire, plain) == ball
    twin = declared.clone(ball)
    assert isinstance(twin, Ball)
    assert twin == ball
    twin.at.x = 9
    assert ball.at.x == 1


def test_foreign_types_in_commands_are_bounded() -> None:
    register_type(pygame.Vector2, tuple[float, float], tuple, pygame.Vector2)

    class Name:
        pass

    register_type(Name, str, str, lambda _: Name())
    aim = command_type(command(holding(pygame.Vector2)))
    assert accepts(aim, [1.0, 0.0])
    assert not accepts(aim, [float("inf"), 0.0])
    with pytest.raises(DeclarationError, match=r"Tank\.value: a client could send any amount"):
        command(holding(Name))


def test_register_type_refuses() -> None:
    register_type(pygame.Vector2, tuple[float, float], tuple, pygame.Vector2)
    with pytest.raises(DeclarationError) as caught:
        register_type(pygame.Vector2, tuple[float, float], tuple, pygame.Vector2)
    places = re.findall(r"test_fields\.py:(\d+)", str(caught.value))
    assert len(set(places)) == 2
    assert str(caught.value).startswith("Vector2 is registered twice: at ")

    @replicated
    class Tank:
        x: int = 0

    for cls in (int, Tank, "pygame.Vector2"):
        with pytest.raises(DeclarationError, match="takes a class that cannot cross"):
            register_type(cls, int, int, int)  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match=r"register_type\(Rect, ...\): set\[int\] cannot"):
        register_type(pygame.Rect, set[int], set, pygame.Rect)
    with pytest.raises(DeclarationError, match="give the type itself, not 'int'"):
        register_type(pygame.Rect, "int", int, pygame.Rect)  # type: ignore[arg-type]


def test_nested_structs_of_any_kind_cross_as_exact_arrays() -> None:
    class Tagged(msgspec.Struct, tag=True, array_like=True, forbid_unknown_fields=True):
        x: int

    class Fussy(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
        x: int

        def __post_init__(self) -> None:
            if self.x < 0:
                raise KeyError(self.x)

    class Closed(msgspec.Struct, forbid_unknown_fields=True):
        x: int

    class Open(msgspec.Struct, array_like=True):
        x: int

    class Sparse(msgspec.Struct, array_like=True, forbid_unknown_fields=True, omit_defaults=True):
        x: int = 0

    for nested in (Point, Tagged, Fussy, Closed, Open, Sparse):
        declared = component(nested)
        assert not declared.direct
        value = declared.cls(nested(*range(len(nested.__struct_fields__))))
        wire = declared.to_wire(value, plain)
        assert encode(wire) == encode([list(range(len(nested.__struct_fields__)))])
        assert declared.from_wire(wire, plain) == value
        assert not accepts(declared, [0, 0, 0])
    assert not accepts(component(Corner), [0, 0, 0])


def test_a_frozen_struct_of_mutable_things_is_not_flat() -> None:
    class Bag(msgspec.Struct, frozen=True):
        items: list[int]

    assert not component(Bag).flat


def test_what_an_eq_of_the_games_own_calls_equal_may_have_changed() -> None:
    class Mode(enum.Enum):
        CALM = 1

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

    class Mark(msgspec.Struct, frozen=True):
        x: int

        def __eq__(self, other: object) -> bool:
            return True

    for annotation in (Mode, Mark, tuple[int, Mark], Mode | None):
        assert not component(annotation).flat


def test_one_field_of_a_nested_struct_is_enough_to_bound_it() -> None:
    @replicated
    class Lamp:
        on: bool = False
        x: float = 0.0

    bound = sent(Lamp)
    assert accepts(bound, [True, 1.0])
    assert not accepts(bound, [True, float("inf")])


@pytest.mark.parametrize(
    ("annotation", "has_refs", "buffers", "nests"),
    [
        (int, False, False, False),
        (tuple[int, list[int]], False, False, False),
        (bytes, False, True, False),
        (bytes | None, False, True, False),
        (tuple[int, bytes], False, True, False),
        (dict[str, bytes], False, True, False),
        (tuple[int, EntityRef], True, False, False),
        (dict[int, EntityRef], True, False, False),
        (tuple[int, list[list[int]]], False, False, True),
    ],
)
def test_what_is_inside_one_field_holds_for_the_class(
    annotation: object, has_refs: bool, buffers: bool, nests: bool
) -> None:
    made = type("Tank", (), {"__annotations__": {"hp": int, "value": annotation}})
    declared = component_type(replicated(made))
    assert (declared.has_refs, declared.buffers, declared.nests) == (has_refs, buffers, nests)


@pytest.mark.parametrize(
    ("annotation", "number"),
    [
        (int, True),
        (float | None, True),
        (Annotated[int | None, Between(0, 9)], True),
        (Annotated[float, Quantized(0.5)], True),
        (bool, False),
        (str, False),
        (Level, False),
        (EntityRef, False),
        (list[int], False),
        (tuple[int, int], False),
    ],
)
def test_a_field_knows_whether_it_is_a_single_number(annotation: object, number: bool) -> None:
    assert component(annotation).fields[0].number is number


COLOR = Kind("enum", ("RED", "BLUE"), ("red", "blue"))


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (int, PLAIN),
        (Color, COLOR),
        (Color | None, COLOR),
        (list[int], PLAIN),
        (list[Color], Kind("list", parts=(COLOR,))),
        (tuple[Color, ...], Kind("list", parts=(COLOR,))),
        (tuple[int, Color], Kind("tuple", parts=(PLAIN, COLOR))),
        (dict[str, int], PLAIN),
        (dict[str, Color], Kind("dict", parts=(PLAIN, COLOR))),
        (Corner, Kind("struct", ("x", "y"), parts=(PLAIN, PLAIN))),
        (decimal.Decimal, COLOR),
    ],
)
def test_a_field_tells_how_its_values_are_read_without_its_classes(
    annotation: object, kind: Kind
) -> None:
    register_type(decimal.Decimal, Color, lambda _: Color.RED, lambda _: decimal.Decimal(1))
    assert component_type(replicated(holding(annotation))).fields[0].kind == kind


def test_a_limit_to_suspect_goes_with_numbers_only() -> None:
    for annotation in (tuple[int, str], tuple[int, ...], bool):
        found = refusal(component, Annotated[annotation, Suspect(max_rate=1)])
        assert "Suspect goes with int, float and tuples of them, not with" in found
