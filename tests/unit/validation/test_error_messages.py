"""The messages that authors meet first, word for word, each produced by its mistake."""

from __future__ import annotations

import enum
import importlib.util
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import esper
import pytest

import ecsnet as net
from ecsnet.components import Position
from ecsnet.play import HostedTransport
from ecsnet.schema import Registry, use_registry
from ecsnet.testing import ManualClock

STEP = 1 / 60

Load = Callable[[str], ModuleType]


@pytest.fixture(autouse=True)
def registry() -> Iterator[Registry]:
    with use_registry(Registry()) as registry:
        yield registry


@pytest.fixture(autouse=True)
def world() -> Iterator[net.World]:
    with net.World() as world:
        yield world
    world.close()


class Game:
    """A host and a client in one process, on a clock that the test moves."""

    def __init__(self, server: net.ServerWorld, registry: Registry, *, debug: bool = False) -> None:
        self.clock = ManualClock()
        self.wire = HostedTransport(server, None, self.clock)
        self.client = net.ClientWorld.over(
            self.wire, registry=registry, debug=debug, clock=self.clock
        )

    def run(self, frames: int = 30) -> list[object]:
        events: list[object] = []
        for _ in range(frames):
            self.clock.advance(STEP)
            events += self.client.poll()
        return events


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Import text as the module ``game``, from a file of that name."""

    def load(text: str) -> ModuleType:
        path = tmp_path / "game.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location("game", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["game"] = module
        spec.loader.exec_module(module)
        return module

    yield load
    sys.modules.pop("game", None)


GAME = '''"""A game whose author forgot a decorator."""

from typing import Annotated

import ecsnet as net

server = net.ServerWorld()

class Steer:
    dx: Annotated[int, net.Between(-1, 1)] = 0
'''

TYPE = """import ecsnet as net

@net.replicated
class {name}:
    {field}
"""


def test_sending_what_is_no_command(load: Load, registry: Registry) -> None:
    game = load(GAME)
    playing = Game(game.server, registry)
    with pytest.raises(net.UsageError) as caught:
        playing.client.send(game.Steer())
    assert str(caught.value) == (
        "send() got Steer, which is not a command: put @net.command above class Steer (game.py:9)"
    )
    playing.client.close()


def test_a_system_without_dt(load: Load) -> None:
    with pytest.raises(net.UsageError) as caught:
        load(f"{GAME}\n@server.system\ndef drive():\n    pass\n")
    assert str(caught.value) == (
        "@server.system got drive(), but calls it as drive(dt): write def drive(dt: float)"
    )


def test_commands_outside_a_tick() -> None:
    @net.command
    class Steer:
        dx: int = 0

    with pytest.raises(net.OutsideTickError) as caught:
        net.commands(Steer)
    assert str(caught.value) == (
        "net.commands(Steer) outside a tick: call it in a system, on_start, on_join, on_play or"
        " on_leave"
    )
    for call, name in ((net.tick, "net.tick()"), (net.rng, "net.rng()")):
        with pytest.raises(net.OutsideTickError) as caught:
            call()
        assert str(caught.value) == (
            f"{name} outside a tick: call it in a system, on_start, on_join, on_play or on_leave"
        )


def test_a_type_that_cannot_cross_the_wire(load: Load) -> None:
    pytest.importorskip("pygame")
    with pytest.raises(net.DeclarationError) as caught:
        load(f"import pygame\n{TYPE.format(name='Position', field='pos: pygame.Vector2')}")
    assert str(caught.value) == (
        "Position.pos: pygame.Vector2 cannot cross the wire:"
        " use two floats, or net.register_type(...)"
    )


class Hue(enum.Enum):
    RED = 1


class Shape(typing.NamedTuple):
    sides: int = 3


def has_field(annotation: object, *default: object) -> Callable[[], object]:
    """Declare a component Wall with a field ``x``."""
    names = {"__annotations__": {"x": annotation}, "__module__": __name__}
    return lambda: net.replicated(
        type("Wall", (), names if not default else {**names, "x": default[0]})
    )


FIELD = "Wall.x: "
CROSS = " cannot cross the wire: "


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        # Annotations.
        (
            has_field(typing.Union[int, str, None]),  # noqa: UP007 - as it is in older programs
            (
                f"{FIELD}Union[int, str, None]{CROSS}use one type (with None, if need be), or two"
                " fields"
            ),
        ),
        (
            has_field(Callable[[int], None]),
            f"{FIELD}Callable[[int], None]{CROSS}use a Literal or an Enum that names it",
        ),
        (has_field([int]), f"{FIELD}[class int]{CROSS}write list[int]"),
        (has_field((int, float)), f"{FIELD}(class int, class float){CROSS}write tuple[int, float]"),
        (has_field([]), f"{FIELD}[]{CROSS}write list[...]"),
        (has_field({}), f"{FIELD}{{}}{CROSS}write dict[...]"),
        (has_field({str: int}), f"{FIELD}{{class str: class int}}{CROSS}write dict[str, int]"),
        (
            has_field(net.Between(0, 9)),
            f"{FIELD}Between(lo=0, hi=9){CROSS}it goes with a type, Annotated[int, Between(...)]",
        ),
        (
            has_field(net.Quantized),
            f"{FIELD}ecsnet.Quantized{CROSS}it goes with a type, Annotated[float, Quantized(...)]",
        ),
        (
            has_field(len),
            (
                f"{FIELD}function len(){CROSS}it is no type: write that, as in int, and the value"
                " behind a ="
            ),
        ),
        (has_field(typing.Any), f"{FIELD}Any{CROSS}use the type that it holds"),
        (has_field(typing.List), f"{FIELD}list{CROSS}say what it holds, as in list[int]"),  # noqa: UP006
        (has_field(typing.Tuple), f"{FIELD}tuple{CROSS}say what it holds, as in tuple[int]"),  # noqa: UP006
        (has_field(typing.Final[int]), f"{FIELD}Final[int]{CROSS}leave Final out"),
        # Defaults.
        (has_field(int, Position), f"{FIELD}the default class Position is not int"),
        (has_field(list[int], Position), f"{FIELD}the default class Position is not list[int]"),
        (has_field(list[int], 3), f"{FIELD}the default 3 is not list[int]"),
        (has_field(int, Hue), f"{FIELD}the default class Hue is not int"),
        (has_field(int, len), f"{FIELD}the default function len() is not int"),
        (has_field(int, [1]), f"{FIELD}the default [1] is not int"),
        (has_field(int, []), f"{FIELD}the default [] is not int"),
        (has_field(list[int], {}), f"{FIELD}the default {{}} is not list[int]"),
        (
            has_field(int, Position()),
            f"{FIELD}the default Position(x=0.0, y=0.0) is not int",
        ),
        # Classes.
        (
            lambda: net.replicated(Hue),
            (
                "class Hue is an Enum, which is the type of a field: use it in a class that has"
                " one, as in kind: Hue"
            ),
        ),
        (
            lambda: net.command(typing.TypedDict("Move", {"x": int})),
            "class Move is a TypedDict: write class Move, without a base",
        ),
        (
            lambda: net.replicated(typing),
            (
                "replicated() got module typing: write @net.replicated or @net.replicated"
                "(option=...) above a class"
            ),
        ),
        # What is called.
        (
            lambda: net.ServerWorld().add_system(Position()),
            (
                "add_system() got Position(x=0.0, y=0.0): it takes a class with a method process"
                "(dt), an instance of one, a function that makes one, or a function of dt"
            ),
        ),
        (
            lambda: net.ServerWorld().system(Position),
            (
                "@server.system got class Position: it goes above a function of dt; classes go to"
                " server.add_system()"
            ),
        ),
        (lambda: net.ServerWorld().on_join(typing), "@server.on_join got module typing: it goes"),
        (
            lambda: net.play(Position),
            (
                "play() got class Position: it takes the game, a ServerWorld: server ="
                " net.ServerWorld()"
            ),
        ),
        (
            lambda: net.ServerWorld(interest=Position),
            "interest=class Position: a function of player and entity goes into net.Visible(...)",
        ),
        (
            lambda: net.ServerWorld(analytics=object()),
            "analytics=an object: a folder, or net.Analytics(...)",
        ),
        (lambda: net.Link(lag=Position), "Link(lag=class Position): give seconds"),
        (lambda: net.Between(Hue, 3), "Between(class Hue, 3): the smaller number first"),
        (lambda: net.MaxLen(len), "MaxLen(function len()): a whole number"),
        (lambda: net.ServerWorld(tick_rate=object()), "tick_rate=an object: a number between"),
        (lambda: net.play(net.ServerWorld(), join=Hue), "class Hue is no address: write HOST or"),
        (
            lambda: net.play(net.ServerWorld(), name=Hue, offline=True),
            "name=class Hue: a player's name is a str",
        ),
    ],
)
def test_types_are_named_as_their_author_knows_them(
    mistake: Callable[[], object], message: str
) -> None:
    with pytest.raises(net.UsageError) as caught:
        mistake()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "send() got None, which is not a command"),
        (list[int], "send() got a class: pass an instance of it"),
        (int | str, "send() got a class: pass an instance of it"),
    ],
    ids=str,
)
def test_what_is_no_command_is_named(registry: Registry, value: object, message: str) -> None:
    playing = Game(net.ServerWorld(), registry)
    with pytest.raises(net.UsageError) as caught:
        playing.client.send(value)
    assert str(caught.value) == message
    playing.client.close()


def test_writing_on_a_client(registry: Registry) -> None:
    class Render(esper.Processor):
        def process(self) -> None:
            for _, position in esper.get_component(Position):
                position.x += 1.0

    server = net.ServerWorld()

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Position(10.0, 10.0))

    for _ in range(6):
        esper.create_entity()
    playing = Game(server, registry, debug=True)
    esper.add_processor(Render())
    events = playing.run()
    assert net.Connected(7) in events
    with pytest.raises(net.ReadOnlyError) as caught:
        esper.process()
    assert str(caught.value) == (
        "Render wrote Position.x on entity 7; only the server may: send a command"
    )
    # It was put right, and the game goes on.
    assert esper.component_for_entity(7, Position).x == 10.0
    assert not [event for event in playing.run() if isinstance(event, net.Disconnected)]

    esper.component_for_entity(7, Position).y = 0.0
    with pytest.raises(net.ReadOnlyError, match=r"outside esper's processors wrote Position\.y on"):
        playing.run(1)
    playing.client.close()


def test_games_that_differ(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ecsnet")
    with use_registry(Registry()):
        load(TYPE.format(name="Tank", field="hp: int"))
        server = net.ServerWorld()
    with use_registry(Registry()) as mine:
        load(TYPE.format(name="Tank", field="hp: float"))
    playing = Game(server, mine)
    message = "this game differs from the server's: server has Tank.hp: int, you have float"
    assert playing.run() == [net.Refused("schema", message)]
    assert playing.client.closed
    # The server's log names it too.
    (said,) = [record for record in caplog.records if "another game" in record.getMessage()]
    assert said.name == "ecsnet.server"
    assert said.getMessage().endswith(message)
