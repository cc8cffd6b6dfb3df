"""Registries, wire names, fingerprints, and what two games say about their differences."""

from __future__ import annotations

import itertools
import os
import random
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecsnet
from ecsnet.errors import DeclarationError, UsageError
from ecsnet.schema import (
    DESCRIPTION_LIMIT,
    Between,
    ComponentType,
    EntityRef,
    Registry,
    Schema,
    WireType,
    command,
    component_type,
    current_registry,
    encode,
    replicated,
    use_registry,
)
from ecsnet.schema import declare as declare_module
from ecsnet.schema import description as description_module
from ecsnet.schema import registry as registry_module

TREE = Path(ecsnet.__file__).parents[1]


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setattr(registry_module, "_stock", registry_module._Declared())
    with use_registry(Registry()) as registry:
        yield registry


def declare(name: str, module: str = "game", file: str = "game.py", **annotations: object) -> type:
    """A component declared in a module of its own."""
    code = compile("made = replicated(cls)", file, "exec")
    cls = type(name, (), {"__annotations__": annotations, "__module__": module})
    namespace: dict[str, Any] = {"__name__": module, "replicated": replicated, "cls": cls}
    exec(code, namespace)
    return namespace["made"]  # type: ignore[no-any-return]


def test_declarations_go_into_the_registry_in_use() -> None:
    outer = current_registry()
    with use_registry(Registry()) as inner:
        assert current_registry() is inner
        declare("Tank", x=int)
        with pytest.raises(RuntimeError), use_registry(Registry()):
            raise RuntimeError
        assert current_registry() is inner
    assert current_registry() is outer
    assert [c.name for c in inner.schema().components] == ["Tank"]
    assert outer.schema().components == ()


def test_the_schema_is_made_anew_only_when_something_was_declared(registry: Registry) -> None:
    empty = registry.schema()
    assert registry.schema() is empty
    tank = declare("Tank", x=int)
    one = registry.schema()
    assert one is not empty
    assert registry.schema() is one
    assert empty.components == ()
    stock = declare("Owner", module="ecsnet.components.owner", x=int)
    assert registry.schema().cid_of == {tank: 0, stock: 1}


def test_ids_follow_the_names(registry: Registry) -> None:
    tank, ball = declare("Tank", x=int), declare("Ball", x=int)

    @replicated(visible_to="server")
    class Secret:
        x: int = 0

    @command
    class Shoot:
        pass

    @command
    class Drive:
        pass

    schema = registry.schema()
    assert [c.cls for c in schema.components] == [ball, tank]
    assert schema.cid_of == {ball: 0, tank: 1}
    assert schema.command_id_of == {Drive: 0, Shoot: 1}
    assert [c.cls for c in schema.commands] == [Drive, Shoot]
    assert component_type(Secret).visible_to == "server"


def test_the_wire_name_does_not_hold_the_module() -> None:
    names = {
        "game": "Tank",
        "__main__": "Tank",
        "ecsnet_game": "Tank",
        "ecsnet.samples.pong": "Tank",
        "ecsnet.components.tank": "ecsnet.Tank",
        "ecsnet.systems.tank": "ecsnet.Tank",
    }
    for module, name in names.items():
        with use_registry(Registry()), pytest.MonkeyPatch.context() as patch:
            patch.setattr(registry_module, "_stock", registry_module._Declared())
            assert component_type(declare("Tank", module=module)).name == name

    class Outer:
        @replicated
        class Inner:
            pass

    assert component_type(Outer.Inner).name.endswith("<locals>.Outer.Inner")


def test_stock_types_are_in_every_registry() -> None:
    stock = declare("Owner", module="ecsnet.components.owner", x=int)
    with use_registry(Registry()) as other:
        assert other.schema().cid_of == {stock: 0}
        with pytest.raises(DeclarationError, match=r"class ecsnet\.Owner is declared twice"):
            declare("Owner", module="ecsnet.components.owner", file="other.py", x=int)


def test_stock_types_are_not_declared_again_even_where_they_stand() -> None:
    declare("Owner", module="ecsnet.components.owner", x=int)
    with pytest.raises(DeclarationError, match=r"class ecsnet\.Owner is declared twice"):
        declare("Owner", module="ecsnet.components.owner", x=int)


class Running:
    def __init__(self) -> None:
        self.closed = False


def test_one_user_that_is_not_closed_keeps_what_it_runs_with(registry: Registry) -> None:
    users = [Running(), Running()]
    for user in users:
        registry.use(user)
    declare("Tank", x=int)
    for user in users:
        with pytest.raises(DeclarationError, match=r"class Tank is declared again, at game\.py:1"):
            declare("Tank", x=float)
        user.closed = True
    tank = declare("Tank", x=float)
    assert [c.cls for c in registry.types(ComponentType)] == [tank]


def test_a_duplicate_names_both_places() -> None:
    declare("Tank", file="/games/tanks.py", x=int)

    def message(**where: str) -> str:
        with pytest.raises(DeclarationError) as caught:
            declare("Tank", **where)
        return str(caught.value)

    assert message(module="more", file="/games/more.py") == (
        "class Tank is declared twice: at tanks.py:1 and at more.py:1;"
        " the wire name does not hold the module, so rename one of them"
    )
    assert message(module="other.tanks", file="/other/tanks.py") == (
        "class Tank is declared twice: at /games/tanks.py:1 and at /other/tanks.py:1;"
        " the wire name does not hold the module, so rename one of them"
    )
    assert message(module="__main__", file="/games/tanks.py") == (
        "class Tank is declared twice: at tanks.py:1 and at tanks.py:1;"
        " the same line ran as game and as __main__, and may run only once"
    )


def test_a_component_and_a_command_may_share_a_name(registry: Registry) -> None:
    def in_the_components() -> type:
        class Move:
            x: int = 0

        Move.__qualname__ = "Move"
        return Move

    component: type = replicated(in_the_components())
    action: type = command(in_the_components())
    schema = registry.schema()
    assert schema.cid_of == {component: 0}
    assert schema.command_id_of == {action: 0}
    assert schema.first_difference(schema.encode_description()) == ""


GAME = """
import enum
from typing import Annotated, Literal
import ecsnet.schema as net

class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"
"""

CLASSES = [
    """
@net.replicated(visible_to="owner", rate=2)
class Tank:
    x: float = 0.0
    color: Color = Color.RED
    mode: Literal["z", "a", "m"] = "a"
""",
    """
@net.replicated
class Ball:
    at: Annotated[float, net.Quantized(1 / 16)] = 0.0
    parts: dict[str, list[int]] = {}
    last: net.EntityRef = None
""",
    """
@net.command(hold=True)
class Steer:
    dx: Annotated[int, net.Between(-1, 1)] = 0
""",
    """
@net.replicated(visible_to="server")
class Secret:
    x: int = 0
""",
]

REPORT = """
import sys
print(net.current_registry().schema().fingerprint.hex())
"""


def fingerprint(folder: Path, source: str, hash_seed: str, module: str | None = None) -> str:
    folder.mkdir()
    (folder / "game.py").write_text(source)
    start = ["-c", f"import {module}"] if module else ["game.py"]
    done = subprocess.run(
        [sys.executable, *start],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(TREE)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_fingerprint_is_the_same_in_every_process(tmp_path: Path) -> None:
    shuffled = CLASSES[:]
    random.Random(1).shuffle(shuffled)
    runs = [
        fingerprint(tmp_path / "a", GAME + "".join(CLASSES) + REPORT, "0"),
        fingerprint(tmp_path / "b", GAME + "".join(CLASSES) + REPORT, "1", module="game"),
        fingerprint(tmp_path / "c", GAME + "".join(shuffled) + REPORT, "12345"),
        # Types that only the server sees, and methods, do not cross the wire.
        fingerprint(tmp_path / "d", GAME + "".join(CLASSES[:3]) + REPORT, "7", module="game"),
        fingerprint(
            tmp_path / "e",
            "from __future__ import annotations\n"
            + GAME
            + "".join(CLASSES).replace("color: Color = Color.RED", 'color: "Color" = Color.BLUE')
            + "    def method(self): return 1\n"
            + REPORT,
            "99",
        ),
    ]
    assert re.fullmatch(r"[0-9a-f]{32}", runs[0])
    assert runs == [runs[0]] * len(runs)


def test_import_order_of_modules_does_not_matter(tmp_path: Path) -> None:
    for number, text in enumerate(CLASSES):
        (tmp_path / f"part{number}.py").write_text(GAME + text)
    seen = set()
    orders = list(itertools.permutations(range(len(CLASSES))))[::8]
    for order in orders:
        source = "".join(f"import part{n}\n" for n in order) + "import ecsnet.schema as net\n"
        done = subprocess.run(
            [sys.executable, "-c", source + REPORT],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": str(order[0]), "PYTHONPATH": str(TREE)},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(done.stdout)
    assert len(orders) >= 3
    assert len(seen) == 1


def game(text: str) -> Schema:
    """The schema of a game with these classes."""
    source = GAME + textwrap.dedent(text)
    with use_registry(Registry()) as registry:
        exec(compile(source, "game.py", "exec", dont_inherit=True), {"__name__": "game"})
        return registry.schema()


TANK = "@net.replicated\nclass Tank:\n    x: float = 0.0\n    hp: int = 0\n"


@pytest.mark.parametrize(
    ("server", "client", "difference"),
    [
        (TANK, TANK.replace("hp: int", "hp: float"), "server has Tank.hp: int, you have float"),
        (
            TANK,
            TANK.replace("    hp: int = 0\n", ""),
            "server has Tank.hp: int, you have no such field",
        ),
        (
            TANK,
            TANK + "    mp: int = 0\n",
            "you have Tank.mp: int, the server has no such field",
        ),
        (
            TANK,
            "@net.replicated\nclass Tank:\n    hp: int = 0\n    x: float = 0.0\n",
            "server has the fields of Tank in another order: x, hp",
        ),
        (TANK, "", "server has the component Tank, you do not"),
        ("", TANK, "you have the component Tank, the server does not"),
        (TANK, TANK.replace("replicated", "command"), "server has the component Tank, you do not"),
        (
            TANK.replace("replicated", "command(hold=True)"),
            TANK.replace("replicated", "command"),
            "server has Tank with hold=True, you have False",
        ),
        (
            TANK.replace("replicated", "replicated(visible_to='owner')"),
            TANK,
            "server has Tank with visible_to=owner, you have everyone",
        ),
        (
            TANK.replace("replicated", "replicated(once=True)"),
            TANK,
            "server has Tank with once=True, you have False",
        ),
        (
            TANK,
            TANK.replace("replicated", "replicated(rate=2)"),
            "server has Tank with rate=1, you have 2",
        ),
        (
            TANK,
            TANK.replace("replicated", "replicated(interpolate=True)"),
            "server has Tank with interpolate=False, you have True",
        ),
        (
            TANK.replace("replicated", "replicated(interpolate=True, snap=60)"),
            TANK.replace("replicated", "replicated(interpolate=True, snap=60.5)"),
            "server has Tank with snap=60.0, you have 60.5",
        ),
        (
            TANK.replace("replicated", "replicated(predicted=False)"),
            TANK,
            "server has Tank with predicted=False, you have True",
        ),
        (
            TANK,
            TANK.replace("replicated", "replicated(visible_to='server')"),
            "server has the component Tank, you do not",
        ),
        (
            TANK.replace("hp: int", "hp: Annotated[int, net.Between(0, 9)]"),
            TANK,
            "server has Tank.hp: int between 0 and 9, you have int",
        ),
        (
            TANK.replace("x: float", "x: Annotated[float, net.Quantized(0.5)]"),
            TANK.replace("x: float", "x: Annotated[float, net.Quantized(0.25)]"),
            "server has Tank.x: float in steps of 0.5, you have float in steps of 0.25",
        ),
        (
            TANK + "    color: Color = Color.RED\n",
            "Color = enum.Enum('Color', {'RED': 'red'})\n"
            + TANK
            + "    color: Color = Color.RED\n",
            "server has Tank.color: Color(RED='red', BLUE='blue'), you have Color(RED='red')",
        ),
        (
            TANK + "\n@net.command\nclass Ball:\n    x: int = 0\n",
            TANK.replace("hp: int", "hp: float")
            + "\n@net.command\nclass Ball:\n    x: float = 0\n",
            "server has Tank.hp: int, you have float",
        ),
    ],
)
def test_the_first_difference_is_named(server: str, client: str, difference: str) -> None:
    theirs, ours = game(server), game(client)
    assert theirs.fingerprint != ours.fingerprint
    found = ours.first_difference(theirs.encode_description())
    assert found == f"this game differs from the server's: {difference}"


def test_no_difference() -> None:
    ours, theirs = game(TANK), game(TANK.replace("= 0.0", "= 1.5"))
    assert ours.fingerprint == theirs.fingerprint
    assert ours.first_difference(theirs.encode_description()) == ""
    assert len(ours.fingerprint) == 16


OPTIONS = [
    ["visible_to", "everyone"],
    ["once", "False"],
    ["rate", "1"],
    ["interpolate", "False"],
    ["snap", "None"],
    ["predicted", "True"],
]


def test_the_description_is_plain_data() -> None:
    described = game(TANK)
    assert msgspec.msgpack.decode(encode(described.description())) == [
        [
            "component",
            "Tank",
            OPTIONS,
            [["x", "float"], ["hp", "int"]],
        ]
    ]
    assert encode(described.description()) == described.encode_description()


@pytest.mark.parametrize(
    "description",
    [
        b"",
        b"\xc1" * 10,
        encode([["component", "Tank"]]),
        encode([["component", "Tank", [], [["x", 3]]]]),
        encode([["component", "T" * 5000, [], []]]),
        encode([["component", "Tank", [], []]] * 40_000),
    ],
)
def test_an_unreadable_description_is_said_to_be_one(description: bytes) -> None:
    found = game(TANK).first_difference(description)
    assert found == "the server describes its game in a way that this version cannot read"


def test_a_hostile_description_stays_one_short_printable_line() -> None:
    ours = game(TANK)
    hostile = encode([["component", "Tank", [], [["x\n\x1b[31m" + "y" * 4000, "float"]]]])
    found = ours.first_difference(hostile)
    assert found.isprintable()
    assert len(found) == 400
    assert "Tank.x??[31my" in found


def test_options_that_are_not_known_are_a_difference() -> None:
    ours = game(TANK)
    fields = [["x", "float"], ["hp", "int"]]
    newer = encode([["component", "Tank", [*OPTIONS, ["zone", "3"]], fields]])
    assert ours.first_difference(newer).endswith("server has Tank with zone=3, you have None")
    older = encode([["component", "Tank", OPTIONS[:1], fields]])
    assert ours.first_difference(older).endswith("server has Tank with other options")


Names = st.text(max_size=5)


@given(
    st.lists(
        st.tuples(
            Names,
            Names,
            st.lists(st.tuples(Names, Names), max_size=2),
            st.lists(st.tuples(Names, Names), max_size=2),
        ),
        max_size=3,
    )
)
def test_any_description_is_answered_in_one_line(entries: list[object]) -> None:
    found = game(TANK).first_difference(encode(entries))
    assert found.isprintable()
    assert found


def test_a_game_that_is_too_large_to_describe_is_refused(registry: Registry) -> None:
    one: dict[str, Any] = {
        f"field_{n}": Literal[tuple(f"{'x' * 50}{n}" for n in range(20))] for n in range(100)
    }
    for number in range(15):
        declare(f"Tank{number}", **one)
    with pytest.raises(UsageError, match=f"a client reads {DESCRIPTION_LIMIT}"):
        registry.schema()


def test_a_game_of_many_fields_is_described_to_another(registry: Registry) -> None:
    one: dict[str, Any] = {
        f"field_{n}": Literal[tuple(f"{'x' * 50}{n}" for n in range(20))] for n in range(100)
    }
    for number in range(10):
        declare(f"Tank{number}", **one)
    schema = registry.schema()
    described = schema.encode_description()
    assert 400_000 < len(described) < DESCRIPTION_LIMIT == 524_288
    assert schema.first_difference(described) == ""


def test_a_description_may_be_as_long_as_a_client_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = game(TANK)
    described = schema.encode_description()
    monkeypatch.setattr(description_module, "DESCRIPTION_LIMIT", len(described))
    assert Schema(schema._types).first_difference(described) == ""
    monkeypatch.setattr(description_module, "DESCRIPTION_LIMIT", len(described) - 1)
    with pytest.raises(UsageError, match="declare fewer classes"):
        Schema(schema._types)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SignalType(WireType):
    """A kind of declarations that ecsnet does not have: one row of the table."""

    kind = "signal"
    decorator = "signal"
    predicate = "a signal"
    from_client = True

    loud: bool
    far: int

    @property
    def crosses(self) -> bool:
        return self.far > 0


def signal(loud: bool = False, far: int = 1) -> Any:
    """The decorator of that kind."""
    return declare_module._decorate(SignalType, None, loud=loud, far=far)


@pytest.fixture
def with_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (declare_module, description_module):
        monkeypatch.setattr(module, "KINDS", (*module.KINDS, SignalType))


def signals(registry: Registry, loud: bool = False, **fields: type) -> Schema:
    """The schema of a game with two signals, one of them of a component's name, and one unsent."""
    with use_registry(registry):
        declare("Horn", x=int)
        names = {"Horn": fields, "Bell": {}}
        for name, annotations in names.items():
            signal(loud)(type(name, (), {"__annotations__": annotations, "__module__": "game"}))
        signal(far=0)(type("Silence", (), {"__module__": "game"}))
    return registry.schema()


@pytest.mark.usefixtures("with_signals")
def test_a_new_kind_is_one_row_of_the_table() -> None:
    registry = Registry()
    schema = signals(registry, loud=True, pitch=int)
    bell, horn = schema.types(SignalType)
    assert [t.name for t in registry.types(SignalType)] == ["Bell", "Horn", "Silence"]
    assert schema.numbers(SignalType) == {bell.cls: 0, horn.cls: 1}
    assert (bell.name, horn.name, horn.loud, horn.far) == ("Bell", "Horn", True, 1)
    assert [t.name for t in schema.components] == ["Horn"]
    assert schema.commands == ()
    assert msgspec.msgpack.decode(schema.encode_description())[1:] == [
        ["signal", "Bell", [["loud", "True"], ["far", "1"]], []],
        ["signal", "Horn", [["loud", "True"], ["far", "1"]], [["pitch", "int"]]],
    ]
    with pytest.raises(UsageError, match=r"Bell, which is a signal, not replicated \("):
        component_type(bell.cls, "attach()")
    with pytest.raises(DeclarationError, match="a client could send any amount"):
        signals(Registry(), pitch=str)
    with use_registry(registry), pytest.raises(DeclarationError, match="Horn is declared twice"):
        signal()(type("Horn", (), {"__module__": "other"}))


@pytest.mark.usefixtures("with_signals")
def test_a_new_kind_is_in_the_fingerprint_and_in_a_difference() -> None:
    without = Registry()
    with use_registry(without):
        declare("Horn", x=int)
    games = [
        without.schema(),
        signals(Registry()),
        signals(Registry(), loud=True),
        signals(Registry(), pitch=int),
    ]
    assert len({schema.fingerprint for schema in games}) == len(games)
    assert games[1].fingerprint == signals(Registry()).fingerprint

    def difference(server: Schema, client: Schema) -> str:
        return client.first_difference(server.encode_description()).partition(": ")[2]

    none, plain, loud, pitched = games
    assert difference(plain, none) == "server has the signal Bell, you do not"
    assert difference(none, plain) == "you have the signal Bell, the server does not"
    assert difference(loud, plain) == "server has Bell with loud=True, you have False"
    assert difference(pitched, plain) == "server has Horn.pitch: int, you have no such field"
    assert difference(plain, signals(Registry())) == ""


def test_a_kind_that_only_the_server_knows_comes_last() -> None:
    ours = game(TANK)
    unknown = ["alarm", "Fire", [], []]
    theirs = [unknown, *game(TANK.replace("hp: int", "hp: float")).description()]
    assert ours.first_difference(encode(theirs)).endswith("Tank.hp: float, you have int")
    theirs = [unknown, *ours.description()]
    assert ours.first_difference(encode(theirs)).endswith("the alarm Fire, you do not")


def test_only_declared_types_can_be_added(registry: Registry) -> None:
    tank = component_type(declare("Tank", x=Annotated[int, Between(0, 1)], y=EntityRef))
    other = Registry()
    other.add(tank)
    assert other.schema().fingerprint == registry.schema().fingerprint


def test_method_form_of_register_type(registry: Registry) -> None:
    class Vec:
        pass

    registry.register_type(Vec, int, lambda _: 1, lambda _: Vec())
    foreign = registry.foreign(Vec)
    assert foreign is not None
    assert foreign.place.startswith("test_registry.py:")
    assert Registry().foreign(Vec) is None
