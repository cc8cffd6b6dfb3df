from __future__ import annotations

import asyncio
import inspect
import random
import re
from ast import literal_eval
from pathlib import Path

import esper
import pytest

import ecsnet.simulation.simulation as net
from ecsnet.analytics_options import Analytics
from ecsnet.components import Player
from ecsnet.errors import UsageError, WorldError
from ecsnet.schema import Registry, command, current_registry, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.world import current_name

with use_registry(Registry()) as registry:

    @replicated
    class Square:
        x: float = 0.0

    @command(hold=True)
    class Steer:
        dx: int = 0

    @command
    class Jump:
        height: int = 0


@pytest.fixture
def server() -> ServerWorld:
    server = ServerWorld(tick_rate=50)

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Square())

    @server.system
    def move(dt: float) -> None:
        for player, steer in net.commands(Steer):
            esper.component_for_entity(player, Square).x += steer.dx * 100 * dt

    @server.system(priority=5)
    def leap(dt: float) -> None:
        for player, jump in net.commands(Jump):
            esper.component_for_entity(player, Square).x += jump.height

    return server


def test_steps_without_clients_or_clock(server: ServerWorld) -> None:
    before = current_name()
    server.step(joins=["Ann", " Bob "])
    simulation = server.step(10, commands=[(1, Steer(1)), (2, Steer(-1)), (2, Jump(500))])
    assert current_name() == before
    with simulation.world:
        found = esper.get_components(Player, Square)
        assert {player.name: round(square.x) for _, (player, square) in found} == {
            "Ann": 20,
            "Bob": 480,
        }
    assert simulation.tick == 11
    server.step(leaves=[1])
    assert simulation.player_entity.keys() == {2}


def test_step_raises_what_a_system_raised(server: ServerWorld) -> None:
    @server.system
    def broken(dt: float) -> None:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        server.step()
    with pytest.raises(RuntimeError, match="boom"):
        server.step()  # a fresh simulation


def test_step_refuses_what_is_no_command(server: ServerWorld) -> None:
    with pytest.raises(UsageError, match=r"step\(\) got Square, which is replicated"):
        server.step(commands=[(1, Square())])
    with pytest.raises(UsageError, match=r"cannot be sent: .*Steer.dx"):
        server.step(commands=[(1, Steer(dx="left"))])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="printable"):
        server.step(joins=[""])
    with pytest.raises(UsageError, match="name=None: a player's name is a str"):
        server.step(joins=[None])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "arguments",
    [
        {"tick_rate": 0},
        {"tick_rate": 2000},
        {"update_rate": 61},
        {"update_rate": 0},
        {"max_clients": 0},
        {"on_error": "ignore"},
        {"timeout": 0},
        {"bandwidth": -1},
        {"tick_rate": "60"},
        {"tick_rate": True},
        {"update_rate": "20"},
        {"max_clients": 2.5},
        {"timeout": None},
        {"bandwidth": float("nan")},
    ],
)
def test_rates_that_make_no_sense_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(arguments))):
        ServerWorld(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [1, 60])
def test_updates_go_out_once_a_second_at_least_and_each_tick_at_most(rate: float) -> None:
    assert ServerWorld(60, update_rate=rate).update_rate == rate


def test_decorators_say_where_they_go(server: ServerWorld) -> None:
    with pytest.raises(UsageError, match=r"classes go to server\.add_system\(\)"):
        server.system(Square)
    with pytest.raises(UsageError, match=r"@server\.on_join got 3"):
        server.on_join(3)  # type: ignore[type-var]


def test_hooks_are_checked_when_they_are_added(server: ServerWorld) -> None:
    def nothing() -> None: ...

    def player(player: int) -> None: ...

    async def later(player: int) -> None: ...

    bare = r"player\(player\), but calls it as player\(\): write def player\(\)"
    with pytest.raises(UsageError, match=rf"@server\.on_start got .*{bare}"):
        server.on_start(player)
    for add in (server.on_join, server.on_leave):
        with pytest.raises(UsageError, match=r"calls it as nothing\(player\): write def nothing"):
            add(nothing)
        with pytest.raises(UsageError, match=r"later, which is async .* def later\(player: int\)"):
            add(later)
    seen: list[int] = []
    server.on_join(seen.append)
    server.step(joins=["Ann"])
    assert seen == [1]


def test_what_is_added_to_a_game_that_runs_is_refused(server: ServerWorld) -> None:
    class Drive:
        def process(self, dt: float) -> None: ...

    server.step()
    for add, what in (
        (lambda: server.system(lambda dt: None), "@server.system"),
        (lambda: server.add_system(Drive), r"add_system\(\)"),
        (lambda: server.on_leave(lambda player: None), "@server.on_leave"),
    ):
        with pytest.raises(UsageError, match=f"^{what} while the game runs, .* add all systems"):
            add()


def test_ports_and_addresses_of_the_wrong_type_are_refused(server: ServerWorld) -> None:
    for host, port, message in (
        ("127.0.0.1", "7777", "port='7777': give a number from 0 to 65535"),
        ("127.0.0.1", 7.5, "port=7.5: give a number"),
        (7777, 7777, "host=7777: give a name or an address"),
    ):
        with pytest.raises(UsageError, match=message):
            asyncio.run(server.serve(host, port))  # type: ignore[arg-type]


def test_decorated_functions_stay_what_they_are(server: ServerWorld) -> None:
    def plain(dt: float) -> None: ...

    assert server.system(plain) is plain
    assert server.system(priority=3)(plain) is plain

    def hook() -> None: ...

    def leave(player: int) -> None: ...

    assert server.on_start(hook) is hook
    assert server.on_leave(leave) is leave


def test_the_tick_rate_can_be_set_before_a_run() -> None:
    server = ServerWorld(tick_rate=60, update_rate=30)
    server.tick_rate = 20
    assert (server.tick_rate, server.update_rate) == (20, 20)
    assert server.step().dt == 1 / 20
    with pytest.raises(UsageError):
        server.tick_rate = -1


def test_a_host_is_made_from_the_registry_of_the_declaration() -> None:
    with use_registry(registry):
        server = ServerWorld(max_clients=3, seed=9)
    assert current_registry() is not registry
    host = server.make_host(lambda data, address: None, 5.0, random=random.Random(1).randbytes)
    assert host.schema is registry.schema()
    assert host.peers.listener.max_clients == 3
    assert host.rooms[0].simulation.rng.random() == random.Random(9).random()


def test_two_hosts_of_one_recipe_are_two_games(server: ServerWorld) -> None:
    hosts = [server.make_host(lambda data, address: None, 0.0) for _ in range(2)]
    for index in range(10):
        hosts[0].tick(index / 50)
    worlds = [host.rooms[0].simulation for host in hosts]
    assert [simulation.tick for simulation in worlds] == [10, 0]
    assert worlds[0].epoch != worlds[1].epoch
    assert worlds[0].world.name != worlds[1].world.name


def test_stop_without_a_run_does_nothing(server: ServerWorld) -> None:
    server.stop()
    assert server.host is None


def test_a_system_without_a_priority_has_0() -> None:
    server = ServerWorld()
    ran: list[str] = []
    server.system(lambda dt: ran.append("plain"))
    server.system(priority=0.5)(lambda dt: ran.append("first"))
    server.system(always=True)(lambda dt: ran.append("always"))
    server.add_system(lambda dt: ran.append("added"))
    server.add_system(lambda dt: ran.append("last"), -0.5)
    server.step()
    assert ran == ["first", "plain", "always", "added", "last"]


def test_a_step_draws_from_the_seed_and_from_0_without_one() -> None:
    def drawn(**options: int) -> float:
        return ServerWorld(**options).step().rng.random()  # type: ignore[arg-type]

    assert drawn(seed=7) == random.Random(7).random()
    assert drawn() == drawn(seed=0) == random.Random(0).random()


def test_after_a_failure_step_begins_anew_and_leaves_nothing(server: ServerWorld) -> None:
    before = set(esper.list_worlds())
    joined: list[int] = []

    @server.on_join
    def fail(player: int) -> None:
        joined.append(esper.component_for_entity(player, Player).id)
        if failing:
            raise RuntimeError("boom")

    failing = True
    with pytest.raises(RuntimeError, match="boom"):
        server.step(joins=["Ann"])
    assert set(esper.list_worlds()) == before
    server.on_start(lambda: None)  # nothing runs now
    failing = False
    simulation = server.step(joins=["Bob"])
    assert (joined, simulation.tick) == ([1, 1], 1)


def test_step_lets_nobody_leave_and_nobody_command_whose_number_nobody_has(
    server: ServerWorld,
) -> None:
    simulation = server.step(joins=["Ann"], leaves=[0], commands=[(0, Jump(3)), (1, Jump(4))])
    assert simulation.player_entity.keys() == {1}
    assert simulation.rejected == {0: 1}


def test_a_host_may_catch_up_nothing(server: ServerWorld) -> None:
    host = server.make_host(lambda data, address: None, 0.0, catch_up=0)
    assert host.tick(0.01) == 1
    assert host.tick(1.01) == 1
    assert host.dropped_ticks == 49
    host.close(Reason.SHUTDOWN, 1.0)


def test_skip_goes_on() -> None:
    server = ServerWorld(on_error="skip")

    @server.system
    def broken(dt: float) -> None:
        esper.switch_world("nowhere")

    simulation = server.step(3)
    assert simulation.tick == 3
    assert list(simulation.errors.values()) == [3]
    esper.delete_world("nowhere")
    server = ServerWorld()
    server.system(broken)
    with pytest.raises(WorldError):
        server.step()
    esper.delete_world("nowhere")


def test_serve_says_that_the_address_is_no_good(server: ServerWorld) -> None:
    with pytest.raises(UsageError, match="cannot serve on"):
        asyncio.run(server.serve("203.0.113.7", 0))
    assert server.host is None


def test_a_system_that_cannot_be_made_leaves_the_journal_to_the_next(tmp_path: Path) -> None:
    class Broken:
        def __init__(self) -> None:
            if failing:
                raise UsageError("of all things")

        def process(self, dt: float) -> None: ...

    failing = True
    server = ServerWorld(analytics=Analytics(tmp_path))
    server.add_system(Broken)
    with pytest.raises(UsageError, match="of all things"):
        server.make_host(lambda data, address: None, 0.0)
    failing = False
    host = server.make_host(lambda data, address: None, 0.0)
    host.close(Reason.SHUTDOWN, 0.0)
    assert host.closed


def test_the_guide_lists_all_options_with_their_defaults() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guide.md").read_text("utf-8")
    table = guide.split("The options of a `ServerWorld`:")[1].split("\n\n")[1]
    listed = dict(re.findall(r"^\| `(\w+)=(\S+)` \|", table, re.MULTILINE))
    options = inspect.signature(ServerWorld).parameters.values()
    assert listed.keys() == {option.name for option in options}
    assert {name: literal_eval(text) for name, text in listed.items()} == {
        option.name: option.default for option in options
    }
