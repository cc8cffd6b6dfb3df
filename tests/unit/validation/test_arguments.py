"""What is given wrongly is refused where it is written, and nothing is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import esper
import pytest

from ecsnet.analytics_options import Analytics
from ecsnet.client.world import ClientWorld
from ecsnet.errors import DeclarationError, UsageError
from ecsnet.play import play
from ecsnet.replication.server.interest import Everyone, Grid, Visible
from ecsnet.schema import Registry, command, register_type, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.simulation.game_events import analytics_event, teleported
from ecsnet.simulation.simulation import commands
from ecsnet.systems import MovementSystem
from ecsnet.testing import FaultyLink, Harness, ManualClock
from ecsnet.transport.conditioner import Link
from ecsnet.transport.memory import MemoryServer
from ecsnet.validation.arguments import check_call, check_function, takes
from ecsnet.world import World

with use_registry(Registry()) as registry:

    @replicated
    class Spot:
        x: float = 0.0
        y: float = 0.0

    @replicated
    class Sign:
        x: str = ""
        y: float = 0.0

    @command(hold=True)
    class Steer:
        dx: int = 0


class Odd:
    def __repr__(self) -> str:
        raise ValueError("not even a repr")


class Touchy:
    """Cannot be compared, told from others, looked up, nor shown."""

    def _raise(self, *given: object) -> Any:
        raise RuntimeError("not with me")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __repr__ = _raise
    __hash__ = _raise


class TouchyInt(Touchy, int):
    pass


class TouchyFloat(Touchy, float):
    pass


class TouchyText(Touchy, str):
    pass


def sees(player: int, entity: int) -> bool:
    return True


class Plain:
    pass


async def later(*given: object) -> None: ...


def bit_by_bit(*given: object) -> Iterator[None]:
    yield


ODD: list[object] = [object(), Odd(), Plain, b"x", {1}, 1j, ..., Spot(), Touchy()]
NO_NUMBER = [*ODD, "1", True, None, float("nan"), lambda: 1, [1], TouchyInt(1), TouchyFloat(1.0)]
HUGE = [10**400, -(10**400), 10**5000]
NO_FUNCTION = [*ODD[:2], *ODD[3:], "f", 1, True, [print], later, bit_by_bit]
NO_FLAG = [*ODD, "no", 0, 1, None]
NO_LIST = [object(), Odd(), Touchy(), Plain, 1, True, None, "Ann", b"Ann", list]


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    with use_registry(registry):
        yield
    for world in esper.list_worlds():
        if world != "default":
            esper.delete_world(world)


@pytest.fixture
def game() -> Iterator[Harness]:
    with Harness(ServerWorld()) as game:
        yield game


def over(**options: Any) -> ClientWorld:
    return ClientWorld.over(options.pop("wire", MemoryServer().connect()), world="over", **options)


def refused(call: Callable[..., object], *values: object) -> None:
    """Each of them is refused with a message in one line, before anything has happened."""
    assert values
    worlds = esper.list_worlds()
    for value in values:
        with pytest.raises(UsageError) as caught:
            call(value)
        text = str(caught.value)
        assert "\n" not in text
        assert "0x" not in text
    assert esper.list_worlds() == worlds


def settings(name: str) -> list[Callable[[object], object]]:
    """The two ways to tell a server something."""
    return [
        lambda value: ServerWorld(**{name: value}),  # type: ignore[arg-type]
        lambda value: setattr(ServerWorld(), name, value),
    ]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("tick_rate", [1, 60.0, 1000], [*NO_NUMBER, 0, -1, 1001, float("inf")]),
        ("update_rate", [None, 0.2, 60], [0.1, 61, "20", True, float("nan"), float("inf"), Odd()]),
        ("command_rate", [None, 1, 60], [0.9, 61, "20", True, float("nan"), float("inf"), Odd()]),
        ("max_clients", [1, 65_535], [*NO_NUMBER, 0, 65_536, 1.5]),
        ("per_address", [None, 1, 99], [0, -1, 1.5, True, "1", float("nan"), Odd()]),
        ("timeout", [0.1, float("inf")], [*NO_NUMBER, 0, -1]),
        ("bandwidth", [1000], [*NO_NUMBER, 0, -1]),
        ("rewind", [0, 0.35, 1], [*NO_NUMBER, -0.01, 1.01]),
        ("seed", [None, 0, -5, 2**70], [1.5, "1", True, Odd(), b"1", float("nan")]),
        ("interest", [None, Everyone(), Grid(Spot, 1)], [*ODD, "all", 0, "", [], False, True]),
        ("analytics", [None], [*ODD, 0, True, [], lambda: 1]),
    ],
)
def test_settings_of_a_server(name: str, good: list[object], bad: list[object]) -> None:
    for tell in settings(name):
        for value in good:
            tell(value)
        refused(tell, *bad)
    server = ServerWorld()
    before = getattr(server, name)
    with pytest.raises(UsageError, match=f"^{name}="):
        setattr(server, name, bad[0])
    assert getattr(server, name) == before


def test_what_nearly_is_an_interest_has_its_fix() -> None:
    for wrong, fix in (
        (Everyone, r"interest=class Everyone: make one, net\.Everyone\(\)"),
        (Grid, r"make one, net\.Grid\(\.\.\.\)"),
        (Visible, r"make one, net\.Visible\(\.\.\.\)"),
        (lambda player, entity: True, r"player and entity goes into net\.Visible\(\.\.\.\)"),
        ("all", r"interest='all': give net\.Everyone\(\), net\.Grid\(\.\.\.\) or net\.Visible"),
    ):
        for tell in settings("interest"):
            with pytest.raises(UsageError, match=fix):
                tell(wrong)


def test_other_attributes_of_a_server_are_its_own() -> None:
    class Mine(ServerWorld):
        def __init__(self) -> None:
            super().__init__(20, update_rate=10)
            self.score = 7

    server = Mine()
    assert (server.score, server.tick_rate, server.update_rate) == (7, 20, 10)


def test_on_error() -> None:
    refused(
        lambda value: ServerWorld(on_error=value),
        *ODD,
        None,
        True,
        "Stop",
        "",
        0,
        TouchyText("stop"),
    )


def test_hooks_and_systems() -> None:
    for name in ("on_start", "on_join", "on_leave", "system"):
        refused(getattr(ServerWorld(), name), *NO_FUNCTION)
    refused(ServerWorld().add_system, *NO_FUNCTION, None, Plain)
    refused(ServerWorld().on_join, lambda: None)
    refused(lambda value: ServerWorld().system(priority=value)(lambda dt: None), *NO_NUMBER)
    refused(lambda value: ServerWorld().add_system(MovementSystem, value), *NO_NUMBER)
    refused(MovementSystem, *[each for each in NO_NUMBER if each is not None], -1)


class Waits:
    async def __call__(self, dt: float) -> None: ...


def test_an_object_whose_call_is_async_runs_nothing_either() -> None:
    refused(ServerWorld().system, Waits())
    refused(ServerWorld().add_system, Waits())
    refused(lambda value: Visible(value), Waits())


def test_steps() -> None:
    server = ServerWorld()
    refused(lambda value: server.step(value), *NO_NUMBER, 1.0, -1, *HUGE, 10**12)
    refused(lambda value: server.step(joins=value), *NO_LIST, ["Ann", ""], ["Ann", 1], [Odd()])
    refused(lambda value: server.step(leaves=value), *NO_LIST, ["1"], [1.0], [Odd()], [None])
    commands = [[1], [Steer()], [(1,)], [(1, 2)], [("1", Steer())], [(1, Steer(1.5))], "ab"]  # type: ignore[arg-type]
    refused(lambda value: server.step(commands=value), *NO_LIST, *commands)
    # Nobody has joined by it, and no tick has run.
    simulation = server.step(joins=["Ann"])
    assert (simulation.tick, list(simulation.player_entity)) == (1, [1])


def test_a_host() -> None:
    def make(**options: Any) -> object:
        return ServerWorld().make_host(**{"send": lambda data, to: None, "now": 0.0, **options})

    refused(lambda value: make(send=value), *NO_FUNCTION, None, lambda data: None)
    refused(lambda value: make(now=value), *NO_NUMBER)
    refused(lambda value: make(random=value), *NO_FUNCTION, None, lambda: b"")
    refused(lambda value: make(catch_up=value), *NO_NUMBER, -1)
    refused(lambda value: make(environment=value), *ODD, "A=1", 1)

    def serve(value: object) -> None:
        asyncio.run(ServerWorld().serve("127.0.0.1", 0, ready=value))  # type: ignore[arg-type]

    refused(serve, *NO_FUNCTION, lambda: None)


def test_policies() -> None:
    def grid(**options: Any) -> Grid:
        return Grid(**{"position": Spot, "size": 10.0, **options})

    refused(lambda value: grid(position=value), *ODD, "Spot", None, Steer, int)
    with pytest.raises(
        UsageError, match=r"Grid\(Sign\): its x is str, and a coordinate is a number"
    ):
        grid(position=Sign)
    refused(lambda value: grid(size=value), *NO_NUMBER, 0, -1, float("inf"))
    refused(lambda value: grid(radius=value), *NO_NUMBER, -1, 1.5, 10**9, float("inf"))
    refused(lambda value: grid(hysteresis=value), *NO_NUMBER, -0.1, 1)
    refused(lambda value: grid(fields=value), *ODD, None, "xy", ("x",), ("x", 1), ("x", "z"), 2)
    refused(Visible, *NO_FUNCTION, None, lambda: True, lambda player: True)
    refused(lambda value: Visible(lambda p, e: True, every=value), *NO_NUMBER, 0, -1, 1.5)


def test_links() -> None:
    for kind in (Link, FaultyLink):
        for name in ("lag", "jitter", "loss", "duplicate", "corrupt"):
            refused(lambda value: kind(**{name: value}), *NO_NUMBER, -0.1, 11)  # noqa: B023
    refused(lambda value: Link(seed=value), *ODD, 1.5, "1", True)
    refused(lambda value: FaultyLink(seed=value), *ODD, 1.5, "1", True, None)
    refused(lambda value: FaultyLink(burst=value), *NO_NUMBER, -0.1, 1.1)
    refused(lambda value: FaultyLink(burst_seconds=value), *NO_NUMBER, -0.1)


def test_clients() -> None:
    refused(lambda value: over(debug=value), *NO_FLAG)
    refused(lambda value: over(smooth=value), *NO_FLAG)
    refused(lambda value: over(registry=value), *ODD, Registry, "game", {}, 0)
    refused(lambda value: over(clock=value), *NO_FUNCTION, None, lambda now: now, lambda: "noon")
    refused(lambda value: over(random=value), *NO_FUNCTION, None, lambda: b"")
    refused(lambda value: over(wire=value), *ODD, None, "127.0.0.1")
    refused(lambda value: over(link=value), *ODD, 0.1, Link, {})
    refused(lambda value: over(name=value), *ODD, None, "", 7)
    connect = ClientWorld.connect
    refused(lambda value: connect("127.0.0.1", debug=value), *NO_FLAG)
    refused(lambda value: connect("127.0.0.1", clock=value), None, 1.0, lambda now: now)
    refused(lambda value: connect("127.0.0.1", registry=value), Registry, "game")

    def wait(value: object) -> None:
        asyncio.run(ClientWorld.connect_async("127.0.0.1", interval=value))  # type: ignore[arg-type]

    refused(wait, *NO_NUMBER, -1, 1.5, 10**400, float("inf"))
    server = ServerWorld()
    refused(lambda value: play(server, offline=value), *NO_FLAG)
    refused(lambda value: play(server, offline=True, debug=value), *NO_FLAG)
    refused(lambda value: play(server, offline=True, link=value), *ODD, 0.1)
    assert server.host is None
    over().close()  # none of these holds the world


def test_what_a_client_is_asked(game: Harness) -> None:
    client: Any = game.connect()
    make = lambda entity, spot: None  # noqa: E731
    refused(lambda value: client.attach(value, make), *ODD, Spot(), Steer, "Spot", None)
    refused(lambda value: client.attach(Spot, value), *NO_FUNCTION, None, lambda: 1, lambda e: 1)
    refused(lambda value: client.attach(Spot, make, remove=value), *NO_FUNCTION, lambda: 1)
    refused(client.watch, *ODD, Spot(), Steer, "Spot", None)
    refused(lambda value: client.mine(Spot, value), object(), Odd(), "Spot", None, Spot())
    refused(client.send, *ODD, Spot, Steer, None)
    refused(client.release, *ODD, Spot, Steer(), None)
    # None of it was kept.
    with game.world:
        esper.create_entity(Spot())
    game.step(10)
    with client.view:
        assert len(esper.get_component(Spot)) == 1


def test_what_a_system_asks() -> None:
    def ask(value: Any) -> None:
        server = ServerWorld()
        server.system(lambda dt: commands(Steer, value))
        server.step()

    worlds = set(esper.list_worlds())
    for value in (object(), Odd(), "Spot", None, Spot(), 1):
        with pytest.raises(UsageError, match=r"net\.commands\(having=.*give classes"):
            ask(value)
    assert set(esper.list_worlds()) == worlds


def test_a_harness(game: Harness) -> None:
    server = ServerWorld()
    refused(Harness, *ODD, ServerWorld, None, "game:server")
    refused(lambda value: Harness(server, seed=value), *ODD, 1.5, "1", True)
    refused(lambda value: Harness(server, registry=value), *ODD, Registry, {})
    refused(lambda value: Harness(server, clock=value), *ODD, 1.0, ManualClock, lambda: 1.0)
    refused(lambda value: game.connect(link=value), *ODD, 0.1, Link)
    refused(lambda value: game.connect(every=value), *NO_NUMBER, 0, -1, 1.5)
    refused(lambda value: game.connect(wait=value), *[v for v in NO_NUMBER if v is not None], -1)
    refused(lambda value: game.connect(debug=value), *NO_FLAG)
    refused(game.step, *NO_NUMBER, -1, 1.5, *HUGE, 10**12)
    refused(game.run, *NO_NUMBER, -1, float("inf"), 1e9)
    refused(game.settle, *NO_NUMBER, -1, float("inf"), 1e9)
    refused(game.until, *NO_FUNCTION, None, lambda now: True)
    refused(lambda value: game.until(lambda: True, value), *NO_NUMBER, -1, float("inf"))
    with Harness(server) as other:
        stranger = other.connect()
        for method in (game.leave, game.vanish, game.events, game.member):
            refused(method, *ODD, None, 0, "ann", stranger)  # type: ignore[arg-type]
        refused(game.compare, *ODD, 0, "ann", stranger)
    refused(ManualClock, *NO_NUMBER)
    refused(ManualClock().advance, *NO_NUMBER, -1)
    assert game.connect().connected  # and it goes on


def test_declarations_and_worlds() -> None:
    def register(**options: Any) -> None:
        class Foreign:
            pass

        given = {"cls": Foreign, "wire_type": float, "to_wire": float, "from_wire": float}
        register_type(**{**given, **options})

    refused(lambda value: register(to_wire=value), *NO_FUNCTION, None, lambda: 1.0)
    refused(lambda value: register(from_wire=value), *NO_FUNCTION, None, lambda: 1.0)
    refused(lambda value: use_registry(value).__enter__(), *ODD, None, Registry, "game")
    refused(World, *ODD, 1, True)
    refused(World.named, *ODD, 1, True, None)


def test_what_does_not_tell_its_parameters_is_believed() -> None:
    assert takes(min)
    assert takes(min, 1, 2)
    assert not takes(lambda: None, 1)
    check_function("clock", ManualClock(), "")
    with pytest.raises(UsageError, match=r"got <lambda>\(\), .* write lambda a, b: \.\.\."):
        check_call("@server.on_join", lambda: None, "<lambda>", "a: int, b: int")


def test_what_a_game_tells_of_itself() -> None:
    server = ServerWorld()

    @server.system
    def tick(dt: float) -> None:
        refused(teleported, *NO_NUMBER, -1, 1.5)
        refused(analytics_event, *ODD, 1, None, "start")
        refused(lambda value: analytics_event("x", player=value), *ODD, -1, 1.5, True)
        refused(lambda value: analytics_event("x", entity=value), *ODD, -1, 1.5, True)

    server.step()


def test_an_int_beyond_all_floats_is_no_number(game: Harness) -> None:
    refused(lambda value: game.connect(wait=value), 10**400)
    refused(lambda value: ServerWorld(bandwidth=value), 10**400)
    refused(lambda value: ServerWorld().add_system(MovementSystem, priority=value), -(10**400))
    refused(lambda value: game.connect(link=Link(lag=value)), *HUGE)
    refused(game.run, *HUGE)
    refused(game.settle, *HUGE)
    refused(lambda value: game.until(lambda: True, value), *HUGE)
    refused(ManualClock, *HUGE)
    refused(ManualClock().advance, *HUGE)
    refused(lambda value: Grid(Spot, value), *HUGE)
    refused(lambda value: Grid(Spot, 1, radius=value), *HUGE)
    refused(MovementSystem, *HUGE)
    for name in ("tick_rate", "update_rate", "command_rate", "max_clients", "timeout"):
        for tell in settings(name):
            refused(tell, *HUGE)
    refused(lambda value: ServerWorld(seed=value), *HUGE)
    refused(lambda value: ServerWorld(per_address=value), *HUGE)
    refused(lambda value: Visible(sees, every=value), *HUGE)
    refused(lambda value: Harness(ServerWorld(), seed=value), *HUGE)
    refused(lambda value: game.connect(every=value), *HUGE)
    refused(lambda value: Link(seed=value), *HUGE)
    refused(lambda value: FaultyLink(seed=value), *HUGE)
    refused(lambda value: ServerWorld().step(leaves=[value]), *HUGE)
    refused(lambda value: ServerWorld().step(commands=[(value, Steer(1))]), *HUGE)
    client: Any = game.connect()
    refused(lambda value: client.send(Steer(value)), *HUGE)
    refused(lambda value: client.send(Steer(1), entity=value), *HUGE, TouchyInt(1))
    refused(lambda value: client.release(Steer, entity=value), *HUGE, TouchyInt(1))
    game.step()
    assert client.connected


def test_texts_that_cannot_be_compared() -> None:
    touchy: Any = TouchyText("owner")
    with pytest.raises(DeclarationError, match="visible_to"):
        replicated(visible_to=touchy)
    refused(lambda value: Analytics(driver=value), *ODD, touchy, "mongo", 5)
    refused(lambda value: over(name=value), TouchyText(""), TouchyText("a\0b"))
    refused(World, touchy)
    refused(World.named, touchy)
    refused(lambda value: ClientWorld.over(MemoryServer().connect(), world=value), touchy, 5)  # type: ignore[arg-type]
    refused(lambda value: ClientWorld.connect(value), touchy, *ODD)
    refused(lambda value: ClientWorld.connect("127.0.0.1", value), TouchyInt(7777), *HUGE)
    refused(lambda value: Grid(Spot, 1, fields=("x", value)), touchy)
    refused(lambda value: ServerWorld(analytics=value), touchy)
    refused(lambda value: ServerWorld().run(value, 0), touchy, *ODD)
    refused(lambda value: ServerWorld().run("127.0.0.1", value), TouchyInt(7777), *HUGE)
    with Harness(ServerWorld()) as game:
        refused(lambda value: game.compare(good=value), *ODD, 0, 1, "x")
    server = ServerWorld()

    @server.system
    def tick(dt: float) -> None:
        refused(analytics_event, touchy, TouchyText("start"))

    server.step()
