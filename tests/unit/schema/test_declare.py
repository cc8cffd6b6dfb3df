"""@replicated and @command: what they keep, what they make, what they refuse."""

from __future__ import annotations

import copy
import dataclasses
import enum
import functools
import gc
import inspect
import pickle
import pprint
import re
import textwrap
from abc import ABC
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypedDict, TypeVar

import msgspec
import pytest

from ecsnet.errors import DeclarationError, UsageError
from ecsnet.schema import (
    Between,
    CommandType,
    ComponentType,
    EntityRef,
    Gate,
    MaxLen,
    Quantized,
    Registry,
    command,
    command_type,
    component_type,
    encode,
    event,
    register_type,
    replicated,
    use_registry,
)

F = TypeVar("F", bound=Callable[..., object])


@pytest.fixture(autouse=True)
def registry() -> Iterator[Registry]:
    with use_registry(Registry()) as registry:
        yield registry


@pytest.fixture
def game(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs the text of a module, as a file of its own."""

    def run(text: str, module: str = "game", **names: object) -> dict[str, Any]:
        file = tmp_path / f"{module}.py"
        file.write_text(textwrap.dedent(text))
        code = compile(file.read_text(), str(file), "exec", dont_inherit=True)
        namespace: dict[str, Any] = {
            "__name__": module,
            "replicated": replicated,
            "command": command,
            **names,
        }
        exec(code, namespace)
        return namespace

    return run


class Unwired:
    """Nothing that a field may hold."""


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


def refused(message: str) -> pytest.RaisesExc[DeclarationError]:
    return pytest.raises(DeclarationError, match=re.escape(message))


def test_bare_and_called_forms() -> None:
    @replicated
    class Bare:
        x: int = 1

    @replicated()
    class Called:
        x: int = 1

    @replicated(visible_to="owner", rate=3)
    class Rated:
        x: int = 1

    @replicated(visible_to="server", once=True)
    class Once:
        x: int = 1

    @replicated(interpolate=True, snap=60, predicted=False)
    class Between:
        x: float = 1.0

    @command
    class Jump:
        pass

    @command(hold=True)
    class Steer:
        dx: int = 0

    for cls in (Bare, Called):
        declared = component_type(cls)
        assert isinstance(declared, ComponentType)
        assert (declared.visible_to, declared.once, declared.rate) == ("everyone", False, 1)
        assert (declared.interpolate, declared.snap, declared.predicted) == (False, None, True)
    between = component_type(Between)
    assert (between.interpolate, between.predicted) == (True, False)
    assert repr(between.snap) == "60.0"
    rated, once = component_type(Rated), component_type(Once)
    assert (rated.visible_to, rated.once, rated.rate) == ("owner", False, 3)
    assert (once.visible_to, once.once) == ("server", True)
    assert isinstance(command_type(Jump), CommandType)
    assert not command_type(Jump).hold
    assert command_type(Steer).hold


def test_the_class_is_a_struct_that_crosses_as_an_array() -> None:
    @replicated
    class Tank:
        """A tank."""

        x: float
        hp: int = 100

    tank = Tank(1.5)
    assert repr(tank) == "Tank(x=1.5, hp=100)"
    assert tank == Tank(x=1.5, hp=100) != Tank(2.0)
    assert encode(tank) == encode([1.5, 100])
    assert Tank.__doc__ == "A tank."
    assert Tank.__module__ == __name__
    assert Tank.__qualname__.endswith("<locals>.Tank")
    tank.hp -= 1
    assert tank.hp == 99
    with pytest.raises(AttributeError):
        tank.hpp = 3  # type: ignore[attr-defined]
    gate = Gate(Tank, 100)
    assert gate.decode(encode([2, 3])) == Tank(2.0, 3)
    assert gate.decode(encode([2, 3, 4])) is None


def test_methods_properties_and_class_attributes_are_kept() -> None:
    @replicated
    class Tank:
        hp: int = 100
        LIMIT: ClassVar[int] = 100
        unannotated = Unwired()
        __test__ = False
        measure = len

        class Part:
            kept = True

        @property
        def alive(self) -> bool:
            return self.hp > 0

        @alive.setter
        def alive(self, alive: bool) -> None:
            self.hp = self.LIMIT if alive else 0

        @classmethod
        def wreck(cls) -> Tank:
            return cls(hp=0)

        @staticmethod
        def noise() -> str:
            return "boom"

        def __bool__(self) -> bool:
            return self.alive

        def __lt__(self, other: Tank) -> bool:
            return self.hp < other.hp

    tank = Tank.wreck()
    assert type(tank) is Tank
    assert not tank
    assert tank < Tank()
    tank.alive = True
    assert tank.hp == Tank.LIMIT == 100
    assert tank.noise() == "boom"
    assert isinstance(tank.unannotated, Unwired)
    assert tank.measure is len
    assert Tank.Part.kept
    assert Tank.__test__ is False
    assert [field.name for field in component_type(Tank).fields] == ["hp"]


def _logged(function: F) -> F:
    @functools.wraps(function)
    def wrapper(*args: object) -> object:
        return function(*args)

    return wrapper  # type: ignore[return-value]


def test_super_without_arguments_works_everywhere() -> None:
    class Base:
        def one(self) -> str:
            return "base"

        two = four = six = one

        @classmethod
        def three(cls) -> str:
            return "base"

        @property
        def five(self) -> str:
            return "base"

    @replicated
    class Tank(Base):
        x: int = 0

        def one(self) -> str:
            return super().one() + "!"

        @_logged
        def two(self) -> str:
            return super().two() + "!"

        @classmethod
        def three(cls) -> str:
            return super().three() + "!"

        def _four(self, mark: str) -> str:
            return super().four() + mark

        four = functools.partialmethod(_four, "!")

        @property
        def five(self) -> str:
            return super().five + "!"

        @functools.lru_cache  # noqa: B019
        def six(self) -> str:  # type: ignore[override]
            return super().six() + "!"

        def __hash__(self) -> int:
            return 1

        def itself(self) -> type:
            return __class__  # type: ignore[name-defined,no-any-return]

    tank = Tank()
    said = [tank.one(), tank.two(), tank.three(), tank.four(), tank.five, tank.six()]
    assert said == ["base!"] * 6
    assert tank.itself() is Tank


@pytest.mark.parametrize(
    "wrap",
    [
        lambda f: f,
        classmethod,
        staticmethod,
        property,
        functools.partialmethod,
        _logged,
        lambda f: staticmethod(functools.lru_cache(f)),
    ],
    ids=[
        "method",
        "classmethod",
        "staticmethod",
        "property",
        "partialmethod",
        "decorated",
        "cache",
    ],
)
def test_whatever_a_method_is_wrapped_in_its_class_is_the_declared_one(wrap: Any) -> None:
    """One alone: the methods of a class share what tells them their class."""

    @replicated
    class Tank:
        x: int = 0
        itself = wrap(lambda *_: __class__)  # type: ignore[name-defined]

    found = Tank().itself
    assert (found if wrap is property else found()) is Tank


def test_a_wrapper_may_refer_to_itself() -> None:
    def counted(function: Callable[..., object]) -> Any:
        def wrapper(*args: object) -> object:
            wrapper.calls += 1  # type: ignore[attr-defined]
            return function(*args)

        wrapper.calls = 0  # type: ignore[attr-defined]
        return wrapper

    @replicated
    class Tank:
        x: int = 0

        @counted
        def itself(self) -> type:
            return __class__  # type: ignore[name-defined,no-any-return]

    assert Tank().itself() is Tank
    assert Tank.itself.calls == 1


def test_empty_cells_are_left_alone() -> None:
    def make() -> Any:
        def late() -> object:
            return later

        @replicated
        class Tank:
            x: int = 0
            call: ClassVar[Any] = staticmethod(late)

        later = "set after the class"
        return Tank

    assert make().call() == "set after the class"


def test_inheritance() -> None:
    class Loud:
        def noise(self) -> str:
            return "brumm"

    @replicated
    class Vehicle:
        x: float = 0.0
        items: list[int] = dataclasses.field(default_factory=list)

        def name(self) -> str:
            return "vehicle"

    @replicated
    class Tank(Loud, Vehicle):
        hp: int = 100
        x: float = 5.0
        parts: list[int] = dataclasses.field(default_factory=lambda: [1])

        def name(self) -> str:
            return f"tank, a {super().name()}"

    class Undeclared(Tank):
        shells: int = 3

    @replicated
    class Big(Undeclared):
        pass

    tank = Tank()
    assert isinstance(tank, Vehicle)
    assert tank.name() == "tank, a vehicle"
    assert tank.noise() == "brumm"
    assert [f.name for f in component_type(Tank).fields] == ["x", "items", "hp", "parts"]
    assert (tank.x, tank.items, tank.parts) == (5.0, [], [1])
    assert tank.items is not Tank().items
    assert Big() == Big(5.0, [], 100, [1], 3)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="Undeclared, which is not replicated"):
        component_type(Undeclared)
    assert component_type(Tank) is not component_type(Vehicle)


def test_a_command_that_inherits_is_bounded_again() -> None:
    @replicated
    class Free:
        x: float = 0.0

    @command
    class Bound(Free):
        dx: int = 0

    assert Gate(Free, 100).decode(encode([float("inf")])) is not None
    assert command_type(Bound).direct
    assert Gate(Bound, 100).decode(encode([1.0, 2])) == Bound(1.0, 2)
    assert Gate(Bound, 100).decode(encode([float("inf"), 2])) is None
    assert Gate(Bound, 100).decode(encode([float("nan"), 2])) is None

    @replicated
    class Chatty:
        text: str = ""

    with refused("Says.text: a client could send any amount"):

        @command
        class Says(Chatty):
            pass


def test_a_struct_of_the_authors_own_can_be_declared() -> None:
    class Base(msgspec.Struct, frozen=True):
        x: int
        tags: list[str] = []
        n: Annotated[int, Between(0, 3)] = msgspec.field(default=1)

    @replicated
    class Tank(Base):  # type: ignore[misc]
        y: int = 0

    @replicated
    class Plain(msgspec.Struct, kw_only=True):
        a: int
        b: int = 2
        c: ClassVar[int] = 3

    with refused("Late.a must have a default too"):

        @replicated
        class Late(msgspec.Struct, kw_only=True):
            b: int = 2
            a: int  # type: ignore[misc]

    tank = Tank(1)
    tank.x = 2  # type: ignore[misc]
    assert encode(tank) == encode([2, [], 1, 0])
    assert Plain(1, 2) == Plain(a=1)  # type: ignore[call-arg]


def test_string_annotations_are_read_where_the_class_stands(game: Callable[..., Any]) -> None:
    local = int

    @replicated
    class Tank:
        class Kind(enum.Enum):
            LIGHT = 1

        x: local = 0  # type: ignore[valid-type]
        kind: Kind = Kind.LIGHT
        nested: list["local"] = dataclasses.field(default_factory=list)  # type: ignore[valid-type]  # noqa: UP037

    texts = [field.text for field in component_type(Tank).fields]
    assert texts == ["int", "Tank.Kind(LIGHT=1)", "list[int]"]

    made = game(
        """
        from typing import List, Optional

        Number = int

        @replicated
        class Tank:
            x: "Number" = 0
            y: Optional[int] = None
            z: "List['Number']" = []
        """
    )
    assert [f.text for f in component_type(made["Tank"]).fields] == [
        "int",
        "int | None",
        "list[int]",
    ]


def test_the_module_of_the_class_counts_not_that_of_the_caller(game: Callable[..., Any]) -> None:
    class Tank:
        color: Color = Color.RED

    made = game("Made = replicated(Tank)", module="elsewhere", Tank=Tank)
    assert component_type(made["Made"]).fields[0].text == "Color(RED='red', BLUE='blue')"


def test_the_place_is_the_line_of_the_class(game: Callable[..., Any]) -> None:
    made = game(
        """\
        import functools


        @replicated(
            rate=2,
        )
        class Tank:
            x: int = 0

        Other = replicated(type("Other", (), {}))
        """
    )
    assert component_type(made["Tank"]).place == "game.py:7"
    assert component_type(made["Other"]).place == "game.py:10"
    assert repr(component_type(made["Tank"])) == "<ComponentType Tank (game.py:7)>"


@pytest.mark.parametrize(("between", "line"), [(40, 43), (60, 1)])
def test_a_class_is_looked_for_not_far_below_its_decorator(
    game: Callable[..., Any], between: int, line: int
) -> None:
    text = "@replicated(\n" + "    # many words\n" * between + ")\nclass Tank:\n    x: int = 0\n"
    assert component_type(game(text)["Tank"]).place == f"game.py:{line}"


def test_garbage_collection_is_left_out_for_scalars_only() -> None:
    @replicated
    class Scalars:
        i: int = 0
        c: Color = Color.RED
        t: EntityRef = None
        o: str | None = None
        w: Literal["a"] = "a"
        q: Annotated[float, Quantized(0.5)] = 0.0

    @replicated
    class Tuples:
        t: tuple[int, ...] = ()

    class Mixin:
        pass

    @replicated
    class Mixed(Mixin):
        x: int = 0

    @replicated
    class Both:
        target: EntityRef = None
        items: list[int] = []

    assert not gc.is_tracked(Scalars())
    assert not gc.is_tracked(component_type(Scalars).to_wire(Scalars(), lambda entity: entity))
    assert Both.__struct_config__.gc  # type: ignore[attr-defined]
    assert component_type(Both).wire_type.__struct_config__.gc  # type: ignore[attr-defined]
    assert Tuples.__struct_config__.gc  # type: ignore[attr-defined]
    assert Mixed.__struct_config__.gc  # type: ignore[attr-defined]
    assert Mixed(3) == Mixed(3) != Mixed(4)


def test_defaults() -> None:
    @replicated
    class Tank:
        name: str
        ammo: list[int] = []
        tags: dict[str, int] = {}
        hp: int = dataclasses.field(default=5)
        seen: list[int] = dataclasses.field(default_factory=lambda: [1, 2])
        bare: int | None = None

    first, second = Tank("a"), Tank("b")
    first.ammo.append(1)
    first.seen.append(3)
    assert (second.ammo, second.tags, second.hp, second.seen) == ([], {}, 5, [1, 2])
    with pytest.raises(TypeError):
        Tank()  # type: ignore[call-arg]
    defaults = [field.default for field in component_type(Tank).fields]
    assert defaults == [None, "list()", "dict()", "5", "<lambda>()", "None"]

    @replicated
    class Required:
        x: int = dataclasses.field()

    assert component_type(Required).fields[0].default is None
    with pytest.raises(TypeError):
        Required()  # type: ignore[call-arg]


class Bag(msgspec.Struct, frozen=True):
    name: str
    items: list[int]


class Agreeable(msgspec.Struct, frozen=True):
    x: int = 0

    def __eq__(self, other: object) -> bool:
        return True


class Meters(float):
    pass


@pytest.mark.parametrize(
    ("annotation", "default", "kind"),
    [
        (Bag, Bag("a", []), "Bag"),
        (tuple[int, list[int]], (1, [2]), "tuple"),
        (dict[str, int], {"a": 1}, "dict"),
    ],
)
def test_a_default_that_can_change_inside_is_not_shared(
    annotation: object, default: object, kind: str
) -> None:
    with refused(f"Tank.value: all instances would share one {kind}: use dataclasses.field("):
        replicated(type("Tank", (), {"value": default, "__annotations__": {"value": annotation}}))


def test_a_default_of_a_registered_type_is_not_shared() -> None:
    register_type(Vector, int, lambda _: 1, lambda _: Vector())
    with refused("Ball.at: all instances would share one Vector: use dataclasses.field("):

        @replicated
        class Ball:
            at: Vector = Vector()


def test_a_frozen_default_is_shared() -> None:
    shared = Agreeable(3)

    @replicated
    class Tank:
        mark: Agreeable = shared

    assert Tank().mark is Tank().mark is shared


@pytest.mark.parametrize(
    ("annotation", "default", "message"),
    [
        (int, 2.5, "the default 2.5 is not int"),
        (int, Meters(2.0), "the default 2.0 is not int: it is a Meters"),
        # These would cross, and come out as another type.
        (bytes, bytearray(b"a"), "the default bytearray(b'a') is not bytes"),
        (tuple[int, int], [1, 2], "the default [1, 2] is not tuple[int, int]"),
    ],
)
def test_a_default_has_the_very_type_of_its_field(
    annotation: object, default: object, message: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        replicated(type("Tank", (), {"hp": default, "__annotations__": {"hp": annotation}}))
    assert str(caught.value) == f"Tank.hp: {message}"


def test_bad_defaults_are_refused() -> None:
    with refused("Tank.hp: the default 2.5 is not int"):

        @replicated
        class Tank:
            hp: int = 2.5  # type: ignore[assignment]

    with refused("Steer.dx: the default 2 is not int between -1 and 1"):

        @command
        class Steer:
            dx: Annotated[int, Between(-1, 1)] = 2

    with refused("Shared.items: all instances would share one list"):

        @replicated
        class Shared:
            items: list[int] = [1]

    @replicated
    class Point:
        x: int = 0

    with refused("Holder.point: all instances would share one Point"):

        @replicated
        class Holder:
            point: Point = Point()

    with refused("Order.y must have a default too, because it comes after Order.x"):

        @replicated
        class Order:
            x: int = 0
            y: int  # type: ignore[misc]

    for options in ({"init": False}, {"compare": False}, {"kw_only": True}):
        with refused("only default and default_factory mean something"):
            replicated(
                type(
                    "Options",
                    (),
                    {"x": dataclasses.field(**options), "__annotations__": {"x": int}},  # type: ignore[call-overload]
                )
            )


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("__init__", "classmethod"),
        ("__new__", "classmethod"),
        ("__post_init__", "classmethod"),
        ("__eq__", "same_as()"),
        ("__ne__", "same_as()"),
        ("__setattr__", "property"),
        ("__getattribute__", "property"),
        ("__copy__", "copied()"),
    ],
)
@pytest.mark.parametrize("decorator", [replicated, command])
def test_own_machinery_is_refused_with_the_way_out(
    decorator: Callable[[type], type], name: str, way_out: str
) -> None:
    own = type("Tank", (), {name: lambda *_: None})
    with pytest.raises(DeclarationError, match=rf"Tank\.{name} cannot be kept: .*{way_out}") as e:
        decorator(own)
    assert way_out in str(e.value)
    mixin = type("Mixin", (), {name: lambda *_: None})
    with refused(f"Mixin.{name} cannot be kept"):
        decorator(type("Tank", (mixin,), {}))


def test_a_base_may_have_slots_where_it_holds_nothing() -> None:
    class Loud:
        __slots__ = ()

        def noise(self) -> str:
            return "brumm"

    @replicated
    class Tank(Loud):
        x: int = 0

    assert Tank(2).noise() == "brumm"
    assert not gc.is_tracked(Tank())


def test_a_bare_class_variable_is_no_field() -> None:
    @replicated
    class Tank:
        LIMIT: ClassVar = 3
        x: int = 0

    assert [field.name for field in component_type(Tank).fields] == ["x"]
    assert Tank.LIMIT == 3


def test_declared_classes_are_equal_or_not_and_in_no_order() -> None:
    @replicated
    class Tank:
        x: int = 0

    assert Tank(1) != Tank(2)
    with pytest.raises(TypeError):
        Tank(1) < Tank(2)  # type: ignore[operator]  # noqa: B015


def test_options_at_their_limits() -> None:
    @replicated(rate=1000)
    class Slow:
        x: int = 0

    @replicated(interpolate=True, snap=0.5)
    class Near:
        x: float = 0.0

    assert component_type(Slow).rate == 1000
    assert component_type(Near).snap == 0.5


def test_what_one_field_needs_the_whole_class_needs() -> None:
    @replicated
    class Plain:
        hp: int
        name: Annotated[str, MaxLen(9)]

    @replicated
    class Mixed:
        hp: int
        target: EntityRef
        icon: Annotated[bytes, MaxLen(8)]
        rows: Annotated[list[Annotated[list[int], MaxLen(2)]], MaxLen(2)]

    plain, mixed = component_type(Plain), component_type(Mixed)
    assert (plain.direct, plain.flat) == (True, True)
    assert (plain.has_refs, plain.nests, plain.buffers) == (False, False, False)
    assert (mixed.direct, mixed.flat) == (False, False)
    assert (mixed.has_refs, mixed.nests, mixed.buffers) == (True, True, True)


def test_one_float_is_enough_to_interpolate() -> None:
    @replicated(interpolate=True)
    class Tank:
        hp: int
        x: float
        name: Annotated[str, MaxLen(9)]

    assert component_type(Tank).interpolate


def test_an_inherited_field_is_the_field_of_the_base() -> None:
    @replicated
    class Vehicle:
        hp: Annotated[int, Between(0, 9)]
        x: Annotated[float, Quantized(0.5)]
        name: Annotated[str, MaxLen(9)]
        cargo: Annotated[list[Annotated[bytes, MaxLen(3)]], MaxLen(2)]
        target: EntityRef = None

    @replicated
    class Tank(Vehicle):
        shells: int = 3

    assert component_type(Tank).fields[:-1] == component_type(Vehicle).fields


def test_an_empty_container_is_the_default_of_a_container_only() -> None:
    with refused("Tank.hp: the default [] is not int"):

        @replicated
        class Tank:
            hp: int = []  # type: ignore[assignment]

    with refused("Map.tiles: the default {} is not list[int]"):

        @replicated
        class Map:
            tiles: list[int] = {}  # type: ignore[assignment]


def test_a_class_that_is_a_type_of_fields_is_told_apart_from_one_that_has_some() -> None:
    with refused("class Kind is an Enum, which is the type of a field: use it in a class that"):

        @replicated
        class Kind(enum.Enum):
            SCOUT = 1

    with refused("class Options is a TypedDict: write class Options, without a base"):

        @replicated
        class Options(TypedDict):
            hard: bool


def test_classes_that_cannot_be_rebuilt_are_refused() -> None:
    with refused("@net.replicated stands in place of @dataclass"):

        @replicated
        @dataclasses.dataclass
        class Data:
            x: int = 0

    with refused("Slots.__slots__ cannot be kept"):

        @replicated
        class Slots:
            __slots__ = ("x",)
            x: int

    with refused("class Abstract: its metaclass ABCMeta cannot be kept"):

        @replicated
        class Abstract(ABC):  # noqa: B024
            x: int = 0

    class Picky:
        def __init_subclass__(cls) -> None:
            if issubclass(cls, msgspec.Struct):
                raise TypeError("no Structs here")

    with refused("class Broken cannot be declared: no Structs here"):

        @replicated
        class Broken(Picky):
            x: int = 0

    with refused("Exception.__init__ cannot be kept"):

        @replicated
        class Error(Exception):
            x: int = 0

    with refused("Tank.x comes from class Mixin, which has no decorator"):

        class Mixin:
            LIMIT: ClassVar[int] = 3
            x: int = 0

        @replicated
        class Tank(Mixin):
            y: int = 0

    with refused("class Twice is declared already"):

        @command
        @replicated
        class Twice:
            x: int = 0

    with refused("the annotations of class Base cannot be read"):

        class Base(msgspec.Struct):
            x: Unknown = 0  # type: ignore[name-defined]  # noqa: F821

        @replicated
        class Derived(Base):
            pass


def test_dataclass_above_a_declared_class_is_refused() -> None:
    message = "@net.replicated, @net.command and @net.event stand in place of @dataclass"
    for options in ({}, {"slots": True}, {"init": False}):
        with use_registry(Registry()), refused(message):

            @dataclasses.dataclass(**options)  # type: ignore[call-overload]
            @replicated
            class Data:
                x: int = 0

        with use_registry(Registry()), refused(message):

            @dataclasses.dataclass(**options)  # type: ignore[call-overload]
            @command
            class Jump:
                x: int = 0

    with use_registry(Registry()):

        @replicated
        class Base:
            x: int = 0

    with refused(message):

        @dataclasses.dataclass
        class Derived(Base):
            y: int = 0


def test_who_asks_whether_it_is_a_dataclass_hears_that_it_is_none() -> None:
    @replicated
    class Tank:
        x: int = 0

    @replicated
    class Big(Tank):
        pass

    for one in (Tank, Tank(), Big, Big()):
        assert not dataclasses.is_dataclass(one)
    assert pprint.pformat(Big(3)) == "Big(x=3)"
    assert "x" in dict(inspect.getmembers(Big))


class Level(enum.IntEnum):
    LOW = 1


class Pair(msgspec.Struct):
    x: int = 0


class Vector:
    def __repr__(self) -> str:
        return "Vector()"


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (3, "int", "3"),
        (0.5, "float", "0.5"),
        (True, "bool", "True"),
        ("a", "str", "'a'"),
        (b"a", "bytes", "b'a'"),
        (None, "... | None", "None"),
        ([], "list[...]", "[]"),
        ({1: 2}, "dict[...]", "{1: 2}"),
        ((0, 0), "tuple[...]", "(0, 0)"),
        (Color.RED, "Color", "Color.RED"),
        (Level.LOW, "Level", "Level.LOW"),
        (Pair(1), "Pair", "Pair(x=1)"),
        (Vector(), "Vector", "Vector()"),
        (dataclasses.field(default=1), "...", "field(...)"),
    ],
)
@pytest.mark.parametrize("decorator", [replicated, command])
def test_a_value_without_a_type_is_refused(
    decorator: Callable[[type], type], value: object, kind: str, text: str
) -> None:
    register_type(Vector, int, lambda _: 1, lambda _: Vector())
    with pytest.raises(DeclarationError) as caught:
        decorator(type("A", (), {"y": 1, "x": value, "__annotations__": {"y": int}}))
    assert str(caught.value) == (
        f"A.x = {text} has no type: write x: {kind} = {text},"
        f" or x: ClassVar[{kind}] = {text} where all instances share it"
    )


@pytest.mark.parametrize("name", ["x__", "__x"])
def test_only_pythons_own_names_may_have_a_value_without_a_type(name: str) -> None:
    with refused(f"A.{name} = 3 has no type: write {name}: int = 3"):
        replicated(type("A", (), {name: 3}))


def test_a_subclass_may_give_class_attributes_other_values_and_not_fields() -> None:
    class Loud:
        noise = "brumm"

    @replicated
    class Vehicle(Loud):
        WHEELS: ClassVar[int] = 4
        noise = "honk"
        x: int = 0

    @replicated
    class Bike(Vehicle):
        WHEELS = 2
        noise = "ring"

    assert (Vehicle.WHEELS, Vehicle().noise) == (4, "honk")
    assert (Bike.WHEELS, Bike().noise) == (2, "ring")
    with refused("Far.x = 9 has no type: write x: int = 9"):

        @replicated
        class Far(Vehicle):
            x = 9


def test_a_bad_default_is_told_without_what_msgspec_said() -> None:
    with refused("Tank.hp: the default 2.5 is not int") as caught:

        @replicated
        class Tank:
            hp: int = 2.5  # type: ignore[assignment]

    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


def test_wrong_use_of_the_decorators_is_refused() -> None:
    with refused(
        "class Rank has no field that is a float, so interpolate=True has nothing to draw between"
        " two values: make a number in it a float, or leave interpolate out"
    ):

        @replicated(interpolate=True)
        class Rank:
            stars: int = 0
            share: float | None = None
            at: tuple[float, float] = (0.0, 0.0)

    with refused("replicated() got 'owner': write @net.replicated"):
        replicated("owner")  # type: ignore[call-overload]
    with refused("command() got 3"):
        command(3)  # type: ignore[call-overload]
    with pytest.raises(DeclarationError) as caught:
        event(3)  # type: ignore[call-overload]
    assert str(caught.value) == "event() got 3: write @net.event above a class"
    with refused("replicated(visible_to='team'): it is one of 'everyone', 'owner', 'server'"):
        replicated(visible_to="team")  # type: ignore[call-overload]
    with refused("replicated(once=1)"):
        replicated(once=1)  # type: ignore[call-overload]
    for rate in (0, -1, 1001, 1.5, True):
        with refused(f"replicated(rate={rate}): a number of ticks from 1 to 1000"):
            replicated(rate=rate)  # type: ignore[arg-type]
    with refused("replicated(once=True): it is sent once"):
        replicated(once=True, rate=2)
    for option in ("interpolate", "predicted"):
        with refused(f"replicated({option}=1): it is True or False"):
            replicated(**{option: 1})  # type: ignore[call-overload]
    with refused("replicated(once=True): it is sent once, so there is nothing to interpolate"):
        replicated(once=True, interpolate=True)
    for snap in (0, -1.5, float("inf"), float("nan"), True, "60"):
        with refused(f"replicated(snap={snap!r}): a number above 0, or None"):
            replicated(interpolate=True, snap=snap)  # type: ignore[arg-type]
    with refused(
        "replicated(snap=60): it goes with interpolate=True, which draws between two values"
    ):
        replicated(snap=60)
    with refused("command(hold='yes')"):
        command(hold="yes")  # type: ignore[call-overload]


def test_unreadable_annotations_name_the_field() -> None:
    with refused("Tank.turret: the annotation 'Turret' cannot be read here"):

        @replicated
        class Tank:
            turret: Turret  # type: ignore[name-defined]  # noqa: F821

    with refused("Node.next: Node inside itself cannot cross the wire"):

        @replicated
        class Node:
            next: Node | None = None


def test_a_failed_declaration_leaves_nothing_behind(registry: Registry) -> None:
    with refused("Tank.hp: the default"):

        @replicated
        class Tank:
            hp: int = "x"  # type: ignore[assignment]

    assert registry.schema().cid_of.keys() == Registry().schema().cid_of.keys()


@replicated
class Picklable:
    x: int = 1
    target: EntityRef = None


def test_instances_copy_and_pickle() -> None:
    value = Picklable(2, 3)
    assert pickle.loads(pickle.dumps(value)) == copy.copy(value) == copy.deepcopy(value) == value


def test_asking_for_what_was_not_declared(game: Callable[..., Any]) -> None:
    made = game(
        """\
        @replicated
        class Tank:
            x: int = 0

        @command
        class Jump:
            pass

        class Steer:
            dx: int = 0
        """
    )

    def message(call: Callable[..., object], *args: object) -> str:
        with pytest.raises(UsageError) as caught:
            call(*args)
        return str(caught.value)

    tank, jump = made["Tank"], made["Jump"]
    assert component_type(tank).cls is tank
    assert command_type(jump).cls is jump
    assert message(command_type, tank, "send()") == (
        "send() got Tank, which is replicated, not a command (game.py:2)"
    )
    assert message(component_type, jump, "attach()") == (
        "attach() got Jump, which is a command, not replicated (game.py:6)"
    )
    # The class stands in no module that is known, so its line is not found.
    assert message(command_type, made["Steer"], "send()") == (
        "send() got Steer, which is not a command: put @net.command above class Steer"
    )
    assert message(command_type, int, "send()") == "send() got int, which is not a command"
    assert message(command_type, type(tank), "send()") == (
        "send() got a class: pass an instance of it"
    )
    assert message(component_type, tank(), "attach()") == (
        "attach() got Tank(x=0): pass the class, Tank"
    )
    assert message(component_type, "Tank", "watch()") == (
        "watch() got 'Tank': pass a class that is replicated"
    )


def noted(cls: type) -> type:
    return cls


@noted
class Steer:
    dx: int = 0


def test_the_message_for_a_plain_class_names_its_place() -> None:
    line = next(
        number
        for number, text in enumerate(Path(__file__).read_text().splitlines(), 1)
        if text == "class Steer:"
    )
    with pytest.raises(UsageError) as caught:
        command_type(Steer, "send()")
    assert str(caught.value) == (
        "send() got Steer, which is not a command: put @net.command above"
        f" class Steer (test_declare.py:{line})"
    )


def test_fields_describe_themselves() -> None:
    @command
    class Chat:
        text: Annotated[str, MaxLen(20)]
        to: EntityRef = None

    text, to = command_type(Chat).fields
    assert (text.name, text.text, text.default) == ("text", "str up to 20", None)
    assert (to.name, to.text, to.default) == ("to", "EntityRef", "None")
