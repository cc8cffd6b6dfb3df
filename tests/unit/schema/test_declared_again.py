"""A declaration that is executed again takes its own place; two declarations stay a mistake."""

from __future__ import annotations

import code
import importlib
import itertools
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import esper
import pytest

from ecsnet.client.world import ClientWorld
from ecsnet.errors import DeclarationError, UsageError
from ecsnet.schema import (
    CommandType,
    Registry,
    command_type,
    component_type,
    current_registry,
    replicated,
    use_registry,
)
from ecsnet.schema.registry import is_stock
from ecsnet.server.world import ServerWorld
from ecsnet.testing import Harness
from ecsnet.transport.memory import MemoryServer

GAME = """
import ecsnet as net
from fractions import Fraction

net.register_type(Fraction, float, float, Fraction)

@net.replicated
class Tank:
    hp: int = 100
    at: Fraction | None = None

@net.command(hold=True)
class Steer:
    dx: int = 0

@net.command
class Shoot:
    pass
"""

_modules = itertools.count()


@pytest.fixture(autouse=True)
def registry() -> Iterator[Registry]:
    with use_registry(Registry()) as registry:
        yield registry
    for world in esper.list_worlds():
        if world != "default":
            esper.delete_world(world)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A game's file that can be imported, under a name that no other test has."""
    path = tmp_path / f"declared_again_{next(_modules)}.py"
    path.write_text(GAME)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    yield path
    sys.modules.pop(path.stem, None)


def own_commands(registry: Registry) -> list[CommandType]:
    """The commands of the game, without ecsnet's."""
    return [c for c in registry.types(CommandType) if not is_stock(c.cls.__module__)]


def check(registry: Registry, names: dict[str, object]) -> None:
    """The registry, and a schema made from it, have these classes and no others."""
    tank, steer, shoot = (names[name] for name in ("Tank", "Steer", "Shoot"))
    assert isinstance(tank, type)
    assert isinstance(steer, type)
    assert isinstance(shoot, type)
    schema = registry.schema()
    assert [c.cls for c in schema.components if not is_stock(c.cls.__module__)] == [tank]
    assert [c.cls for c in schema.commands if not is_stock(c.cls.__module__)] == [shoot, steer]
    assert {tank} <= schema.cid_of.keys()
    assert {c for c in schema.command_id_of if not is_stock(c.__module__)} == {shoot, steer}
    assert registry.schema() is schema


def test_a_file_that_is_run_again(registry: Registry, module: Path) -> None:
    for name in ("<run_path>", "__main__"):
        with use_registry(Registry()) as other:
            first = runpy.run_path(str(module), run_name=name)
            check(other, first)
            second = runpy.run_path(str(module), run_name=name)
            assert first["Tank"] is not second["Tank"]
            check(other, second)


def test_a_module_that_is_reloaded(registry: Registry, module: Path) -> None:
    loaded = importlib.import_module(module.stem)
    check(registry, vars(loaded))
    before = loaded.Tank
    importlib.reload(loaded)
    assert loaded.Tank is not before
    check(registry, vars(loaded))
    # Edited in between: other fields, other lines.
    module.write_text("# a comment\n\n" + GAME.replace("hp: int", "armour: float"))
    importlib.reload(loaded)
    check(registry, vars(loaded))
    assert [field.name for field in component_type(loaded.Tank).fields] == ["armour", "at"]
    assert "armour" in str(registry.schema().encode_description())
    module.write_text(GAME.replace("import ecsnet as net", "import ecsnet as net; import math"))
    importlib.reload(loaded)
    check(registry, vars(loaded))


def test_a_module_is_edited_and_reloaded_again_and_again(module: Path) -> None:
    game = "import ecsnet as net\n\n@net.replicated\nclass Tank:\n    hp: int = 100\n"
    module.write_text(game)
    loaded = importlib.import_module(module.stem)
    for above in (2, 7, 1):
        module.write_text("# a comment\n" * above + game)
        importlib.reload(loaded)
        assert component_type(loaded.Tank).place == f"{module.name}:{above + 4}"


def test_a_cell_of_a_notebook(registry: Registry) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    # In each of these a cell that was edited and run again has, or may have, another file name.
    for again in (
        ("<stdin>", "<stdin>"),
        ("<ipython-input-1-5e3a>", "<ipython-input-7-99cc>"),
        ("<python-input-0>", "<python-input-4>"),
        ("/tmp/ipykernel_41/3076.py", "/tmp/ipykernel_41/995.py"),
        (r"C:\\Temp\ipykernel_41\3076.py", r"C:\\Temp\ipykernel_41\995.py"),
        ("<string>", "<string>"),
    ):
        with use_registry(Registry()) as other:
            exec(compile(GAME, again[0], "exec"), names)
            check(other, names)
            exec(
                compile("\n\n\n" + GAME.replace("hp: int = 100", "hp: str = ''"), again[1], "exec"),
                names,
            )
            check(other, names)
            (field, _) = component_type(names["Tank"]).fields  # type: ignore[arg-type]
            assert field.text == "str"


def test_a_console(registry: Registry) -> None:
    console = code.InteractiveConsole({"__name__": "__main__"})
    for fields in ("hp: int = 1", "hp: float = 0.0"):
        for line in ("import ecsnet as net", "@net.command", "class Steer:", f"    {fields}", ""):
            console.push(line)
    (steer,) = own_commands(registry)
    assert steer.cls is console.locals["Steer"]
    assert steer.fields[0].text == "float"


def test_a_class_in_a_function_that_is_called_again(registry: Registry) -> None:
    names: dict[str, object] = {"__name__": "game"}
    source = (
        "import ecsnet as net\ndef make():\n    @net.command\n    class Go: pass\n    return Go\n"
    )
    exec(compile(source, "made.py", "exec"), names)
    make = names["make"]
    assert callable(make)
    assert command_type(make()).cls is not make()
    (go,) = own_commands(registry)
    assert go.name == "make.<locals>.Go"


TWICE = """
import ecsnet as net

@net.replicated
class Tank:
    hp: int = 100

@net.replicated
class Tank:
    x: float = 0.0
"""


def test_two_declarations_stay_a_mistake(registry: Registry, module: Path) -> None:
    first = runpy.run_path(str(module))
    other = module.with_name("other.py")
    other.write_text(GAME)
    with pytest.raises(DeclarationError, match=r"Fraction is registered twice: at .* and at other"):
        runpy.run_path(str(other))
    other.write_text(GAME.replace("net.register_type", "(lambda *given: given)"))
    with pytest.raises(DeclarationError, match=r"class Tank is declared twice"):
        runpy.run_path(str(other))
    check(registry, first)
    # One module under two names has two of each class.
    with pytest.raises(DeclarationError, match=r"Fraction is registered twice"):
        importlib.import_module(module.stem)
    # Twice in one file, each time that it runs.
    twice = module.with_name("twice.py")
    twice.write_text(TWICE.replace("Tank", "Ship"))
    for _ in range(2):
        with pytest.raises(DeclarationError, match=r"class Ship is declared twice: at .*:5 and"):
            runpy.run_path(str(twice))
    # Without the words that usually begin one.
    twice.write_text(
        "import ecsnet as net\n"
        + "net.replicated(type('Raft', (), {'__annotations__': {'x': int}, 'x': 0}))\n" * 2
    )
    for _ in range(2):
        with pytest.raises(DeclarationError, match=r"class Raft is declared twice: at .*:2 and"):
            runpy.run_path(str(twice))
    twice.write_text(
        "import ecsnet as net\nfrom decimal import Decimal\nregister = net.register_type\n"
        + "register(Decimal, str, str, Decimal)\n" * 2
    )
    for _ in range(2):
        with use_registry(Registry()), pytest.raises(DeclarationError, match=r"registered twice"):
            runpy.run_path(str(twice))
    twice.write_text(
        "import ecsnet as net\nfrom decimal import Decimal\n"
        + "net.register_type(Decimal, str, str, Decimal)\n" * 2
    )
    for _ in range(2):
        with pytest.raises(DeclarationError, match=r"Decimal is registered twice"):
            runpy.run_path(str(twice))


def test_what_has_no_source_is_judged_by_its_place_alone(registry: Registry) -> None:
    names: dict[str, object] = {"__name__": "game"}
    source = "import ecsnet as net\n@net.command\nclass Go: pass\n"
    exec(compile(source, "nowhere.py", "exec"), names)
    exec(compile(source, "nowhere.py", "exec"), names)
    assert [c.cls for c in own_commands(registry)] == [names["Go"]]
    with pytest.raises(DeclarationError, match="class Go is declared twice"):
        exec(compile("\n" + source, "nowhere.py", "exec"), names)


def test_source_that_is_there_only_later_does_not_tell_what_stood_in_a_line(
    registry: Registry, tmp_path: Path
) -> None:
    names: dict[str, object] = {"__name__": "game"}
    source = "import ecsnet as net\n@net.command\nclass Go: pass\n"
    file = tmp_path / "later.py"
    exec(compile(source, str(file), "exec"), names)
    file.write_text("\n" + source)
    with pytest.raises(DeclarationError, match="class Go is declared twice"):
        exec(compile(file.read_text(), str(file), "exec"), names)


@pytest.mark.parametrize("above", [0, 5])
@pytest.mark.parametrize(
    ("before", "after"), [("<stdin>", "game.py"), ("game.py", "<stdin>"), ("one.py", "two.py")]
)
def test_what_stands_in_another_file_is_another_declaration(
    before: str, after: str, above: int, tmp_path: Path
) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    source = "import ecsnet as net\n@net.command\nclass Go: pass\n"

    def execute(name: str, text: str) -> None:
        path = tmp_path / name
        if path.suffix:
            path.write_text(text)
        exec(compile(text, str(path) if path.suffix else name, "exec"), names)

    execute(before, source)
    with pytest.raises(DeclarationError, match="class Go is declared twice"):
        execute(after, "\n" * above + source)


def test_no_class_takes_the_place_of_one_that_a_game_runs_with(registry: Registry) -> None:
    names: dict[str, object] = {"__name__": "game"}
    source = compile("import ecsnet as net\n@net.command\nclass Go: pass\n", "nowhere.py", "exec")
    exec(source, names)
    game = Harness(ServerWorld())
    with pytest.raises(DeclarationError, match=r"class Go is declared again, .* a game runs"):
        exec(source, names)
    game.close()
    exec(source, names)
    assert [c.cls for c in own_commands(registry)] == [names["Go"]]


def test_nothing_takes_the_place_of_what_a_game_runs_with(registry: Registry, module: Path) -> None:
    first = runpy.run_path(str(module))
    register = (
        "import ecsnet as net, decimal as d\nnet.register_type(d.Decimal, str, str, d.Decimal)\n"
    )
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(register, "<stdin>", "exec"), names)
    again = r"again, at .*, while a game runs .*: close its clients and stop its server"

    def refused() -> None:
        for run in (
            lambda: runpy.run_path(str(module)),
            lambda: exec(compile(register, "<stdin>", "exec"), names),
        ):
            with pytest.raises(DeclarationError, match=again):
                run()
        check(registry, first)

    game = Harness(ServerWorld())
    refused()
    client = game.connect()
    refused()
    game.close()
    assert client.closed
    second = runpy.run_path(str(module))
    check(registry, second)
    first = second
    client = ClientWorld.over(MemoryServer().connect(), world="alone")
    refused()
    client.close()
    check(registry, runpy.run_path(str(module)))
    exec(compile(register, "<stdin>", "exec"), names)
    # Other games are none of its business.
    with use_registry(Registry()):
        busy = Harness(ServerWorld())
    check(registry, runpy.run_path(str(module)))
    busy.close()


def test_a_server_that_is_gone_keeps_nothing(registry: Registry, module: Path) -> None:
    runpy.run_path(str(module))
    host = ServerWorld().make_host(lambda data, address: None, 0.0)
    with pytest.raises(DeclarationError, match="while a game runs"):
        runpy.run_path(str(module))
    import gc

    del host
    gc.collect()
    check(registry, runpy.run_path(str(module)))


def test_the_game_that_was_declared_last_is_played(registry: Registry, module: Path) -> None:
    for _ in range(2):
        names = runpy.run_path(str(module))
        tank, steer = names["Tank"], names["Steer"]
        server = ServerWorld()

        @server.on_join
        def join(player: int, tank: type = tank) -> None:
            esper.add_component(player, tank())

        with Harness(server) as game:
            client = game.connect()
            client.send(steer(1))
            game.step(5)
            with client.view:
                assert len(esper.get_component(tank)) == 1
    runpy.run_path(str(module))
    with Harness(ServerWorld()) as game:
        client = game.connect()
        with pytest.raises(UsageError, match="declared after connect"):
            client.send(steer(1))
    assert current_registry() is registry


def test_annotations_mean_what_stands_beside_them_and_not_in_a_module_of_that_name() -> None:
    source = """
from __future__ import annotations
import ecsnet as net

Points = int

def make():
    @net.replicated
    class Tank:
        hp: Points = 3
    return Tank
"""
    names: dict[str, object] = {"__name__": __name__}  # this module has no Points
    exec(compile(source, "elsewhere.py", "exec"), names)
    make = names["make"]
    assert callable(make)
    assert [field.text for field in component_type(make(), "").fields] == ["int"]


def test_a_class_may_say_that_it_is_from_a_module_that_is_not_there() -> None:
    @replicated
    class Tank:
        __module__ = "nowhere"
        hp: int = 3

    assert [field.text for field in component_type(Tank, "").fields] == ["int"]
