from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from typing import Annotated, cast

import esper
import pytest

import ecsnet.simulation.simulation as net
from ecsnet.calls import rpc
from ecsnet.commands.inbox import PlayerCommands, ReceivedCommand
from ecsnet.components import Owner, Player
from ecsnet.errors import OutsideTickError, UsageError, WorldError, WrongThreadError
from ecsnet.schema import (
    EntityRef,
    MaxLen,
    Registry,
    command,
    command_type,
    register_type,
    replicated,
    use_registry,
)
from ecsnet.server import ServerWorld
from ecsnet.simulation.lobby import Lobby
from ecsnet.simulation.match import start_match
from ecsnet.simulation.rng import rng
from ecsnet.simulation.simulation import KEEP, Join, Leave, Simulation
from ecsnet.simulation.spec import SimulationSpec
from ecsnet.world import current_name


class Level:
    """A type of the game's own, which takes no number above 5."""

    def __init__(self, number: int) -> None:
        if number > 5:
            raise ValueError(number)
        self.number = number

    def to_wire(self) -> int:
        return self.number


with use_registry(Registry()):
    register_type(Level, int, Level.to_wire, Level)

    @command(hold=True)
    class Steer:
        dx: int = 0

    @command
    class Pick:
        level: Level

    @command
    class Attack:
        victim: EntityRef = None

    @replicated
    class Square:
        x: float = 0.0

    @replicated
    class Tower:
        height: int = 0

        @rpc("server")
        def raise_to(self, level: Level) -> None:
            self.height = level.number


def given(value: object, target: int = 0) -> ReceivedCommand:
    kind = command_type(type(value))
    return ReceivedCommand(kind, target, kind.to_wire(value, lambda ref: ref))


def raising(level: Level) -> ReceivedCommand:
    """A call of `Tower.raise_to`, as it comes from a client."""
    calls = Tower.__dict__["__ecsnet__"].calls
    return given(calls["raise_to"].cls(level))


@pytest.fixture
def spec() -> SimulationSpec:
    return SimulationSpec(tick_rate=50)


@pytest.fixture(autouse=True)
def same_world_as_before() -> Iterator[None]:
    before = current_name()
    yield
    assert current_name() == before


def simulation(spec: SimulationSpec, seed: int = 1) -> Simulation:
    return Simulation(spec, seed=seed, epoch=5, player=Player, owner=Owner)


def test_square_moves_by_what_its_player_holds(spec: SimulationSpec) -> None:
    def join(player: int) -> None:
        esper.add_component(player, Square())

    def move(dt: float) -> None:
        for player, steer in net.commands(Steer):
            esper.component_for_entity(player, Square).x += steer.dx * 100 * dt

    spec.on_join.append(join)
    spec.add_function(move, 0)
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann"), Join(2, "Bob")])
    for _ in range(10):
        running.step(
            commands=[PlayerCommands(1, (given(Steer(1)),)), PlayerCommands(2, (given(Steer(-1)),))]
        )
    with running.world:
        places = {
            player.name: square.x for _, (player, square) in esper.get_components(Player, Square)
        }
    assert places == {"Ann": pytest.approx(20), "Bob": pytest.approx(-20)}
    assert running.tick == 11
    running.close()


def test_hooks_run_in_order_inside_the_tick(spec: SimulationSpec) -> None:
    seen: list[object] = []

    def note(what: str) -> None:
        seen.append((what, net.tick(), current_name()))

    spec.on_start.append(lambda: note("start"))
    spec.on_join.append(lambda player: note("join"))
    spec.on_leave.append(lambda player: note("leave"))
    spec.add_function(lambda dt: note("system"), 0)
    running = simulation(spec)
    name = running.world.name
    running.step(joins=[Join(1, "Ann")])
    running.step(joins=[Join(2, "Bob")], leaves=[Leave(1)])
    assert seen == [
        ("start", 1, name),
        ("join", 1, name),
        ("system", 1, name),
        ("join", 2, name),
        ("leave", 2, name),
        ("system", 2, name),
    ]


def test_systems_run_by_priority_then_in_order(spec: SimulationSpec) -> None:
    seen: list[str] = []

    class Late:
        def process(self, dt: float) -> None:
            seen.append(f"late {dt}")

    class Early(esper.Processor):
        def process(self, dt: float) -> None:
            seen.append("early")

    spec.add_system(Late, -5)
    spec.add_function(lambda dt: seen.append("first"), 0)
    spec.add_function(lambda dt: seen.append("second"), 0)
    spec.add_system(Early(), 7)
    spec.add_system(lambda: Early(), 8)
    running = simulation(spec)
    running.step()
    assert seen == ["early", "early", "first", "second", "late 0.02"]
    running.add_system(lambda dt: seen.append("very last"), float("-inf"), "very last")
    running.step()
    assert seen[-1] == "very last"


def test_each_simulation_has_its_own_systems_and_world(spec: SimulationSpec) -> None:
    made: list[object] = []

    class Counting:
        def __init__(self) -> None:
            made.append(self)
            self.ticks = 0

        def process(self, dt: float) -> None:
            self.ticks += 1
            esper.create_entity(Square(self.ticks))

    spec.add_system(Counting, 0)
    one, two = simulation(spec), simulation(spec)
    for _ in range(3):
        one.step()
    two.step()
    assert [system.ticks for system in cast("list[Counting]", made)] == [3, 1]
    with one.world:
        assert len(esper.get_component(Square)) == 3
    with two.world:
        assert len(esper.get_component(Square)) == 1


def test_a_simulation_may_step_another_inside_its_tick(spec: SimulationSpec) -> None:
    inner = simulation(SimulationSpec())
    ticks = []

    def play(dt: float) -> None:
        inner.step()
        ticks.append((net.tick(), inner.tick))

    spec.add_function(play, 0)
    outer = simulation(spec)
    outer.step()
    outer.step()
    assert ticks == [(1, 1), (2, 2)]


def test_add_system_says_what_it_takes(spec: SimulationSpec) -> None:
    class Nothing:
        pass

    class Needy:
        def __init__(self, speed: float) -> None:
            self.speed = speed

        def process(self, dt: float) -> None: ...

    class Still:
        def process(self) -> None: ...

    class Later:
        async def process(self, dt: float) -> None: ...

    def nothing() -> None: ...

    def much(dt: float, more: int) -> None: ...

    def bit_by_bit(dt: float) -> Iterator[None]:
        yield

    add = spec.add_system
    bare = r"but calls it as process\(dt\): write def process\(self, dt: float\)"
    plain = "which is async or has a yield: a call would run none of it; write a plain def"
    for wrong, message in (
        (Nothing, "Nothing, which has no method process"),
        (3, "got 3: it takes a class"),
        (Needy, "Needy, which cannot be called without arguments: add an instance"),
        (Still, rf"Still.process\(self\), {bare}"),
        (Still(), rf"Still.process\(\), {bare}"),
        (Later, rf"Later.process, {plain} process\(self, dt: float\)"),
        (Later(), rf"Later.process, {plain} process\(self, dt: float\)"),
        (much, r"much\(dt, more\), but calls it as much\(dt\): write def much\(dt: float\)"),
        (bit_by_bit, rf"bit_by_bit, {plain} bit_by_bit\(dt: float\)"),
    ):
        with pytest.raises(UsageError, match=message):
            add(wrong, 0)  # type: ignore[arg-type]
    for function, message in (
        (nothing, r"nothing\(\), but calls it as nothing\(dt\): write def nothing"),
        (bit_by_bit, "bit_by_bit, which is async or has a yield"),
    ):
        with pytest.raises(UsageError, match=rf"@server\.system got .*{message}"):
            spec.add_function(function, 0)  # type: ignore[arg-type]
    assert spec.systems == []
    for made, message in (
        (Nothing, "made .*, which has no method process"),
        (Still, "Still.process"),
    ):
        broken = SimulationSpec()
        broken.add_system(lambda made=made: made(), 0)  # type: ignore[misc]
        with pytest.raises(UsageError, match=message):
            simulation(broken)


def test_a_priority_is_a_number(spec: SimulationSpec) -> None:
    for wrong in ("high", None, float("nan"), True):
        with pytest.raises(UsageError, match=f"priority={wrong!r} of .*: give a number"):
            spec.add_function(lambda dt: None, wrong)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="give a number"):
            spec.add_system(esper.Processor, wrong)  # type: ignore[arg-type]


def test_add_system_takes_a_function_of_dt_too(spec: SimulationSpec) -> None:
    seen: list[object] = []

    class Callable:
        def __call__(self, dt: float) -> None:
            seen.append("object")

    def drive(dt: float) -> None:
        seen.append(dt)

    spec.add_system(Callable(), 1)
    spec.add_system(drive, 2)
    simulation(spec).step()
    assert seen == [0.02, "object"]
    names = [system.name.rpartition(".")[2] for system in spec.systems]
    assert names == ["Callable", "drive"]


def test_shared_systems_are_known_and_run_like_all_others() -> None:
    with use_registry(Registry()):
        server = ServerWorld()
    seen: list[str] = []

    class Drive(esper.Processor):
        def process(self, dt: float) -> None:
            seen.append("Drive")

    @server.system(shared=True)
    def steer(dt: float) -> None:
        seen.append("steer")

    @server.system(always=True)
    def burn(dt: float) -> None:
        seen.append("burn")

    server.add_system(Drive, shared=True)
    server.add_system(lambda: Drive(), 5, shared=True)
    server.add_system(lambda dt: seen.append("function"), shared=True)
    server.add_system(Drive)
    server.add_system(Drive())
    flags = [(system.shared, system.always) for system in server.spec.systems]
    shared, own = (True, False), (False, False)
    assert flags == [shared, (False, True), shared, shared, shared, own, own]
    server.step()
    assert seen == ["Drive", "steer", "burn", "Drive", "function", "Drive", "Drive"]


def test_shared_is_true_or_false_and_for_what_each_end_can_make() -> None:
    with use_registry(Registry()):
        server = ServerWorld()

    class Drive(esper.Processor):
        def process(self, dt: float) -> None: ...

    def steer(dt: float) -> None: ...

    message = f"^shared of {re.escape(steer.__qualname__)}='yes': give True or False$"
    with pytest.raises(UsageError, match=message):
        server.system(shared="yes")(steer)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match=message):
        server.add_system(steer, shared="yes")  # type: ignore[arg-type]
    with pytest.raises(
        UsageError, match=r"Drive\(…\), shared=True\): .* each makes one of its own"
    ):
        server.add_system(Drive(), shared=True)
    assert server.spec.systems == []
    assert server.spec.instances == []


def test_outside_a_tick_there_are_no_commands_ticks_or_dice() -> None:
    where = "call it in a system, on_start, on_join, on_play or on_leave"
    for ask, what in (
        (lambda: net.commands(Steer), "net.commands(Steer)"),
        (net.tick, "net.tick()"),
        (rng, "net.rng()"),
    ):
        with pytest.raises(
            OutsideTickError, match=f"^{re.escape(f'{what} outside a tick: {where}')}$"
        ):
            ask()


def test_commands_are_not_for_other_threads_even_where_there_are_none(spec: SimulationSpec) -> None:
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            net.commands(Steer)
        except WrongThreadError as error:
            caught.append(error)

    def look(dt: float) -> None:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    spec.add_function(look, 0)
    simulation(spec).step()
    assert len(caught) == 1


def test_commands_wants_a_command(spec: SimulationSpec) -> None:
    spec.add_function(lambda dt: net.commands(Square) and None, 0)
    running = simulation(spec)
    running.step()
    assert "net.commands() got Square, which is replicated, not a command" in str(running.failure)


def test_the_same_data_makes_the_same_match(spec: SimulationSpec) -> None:
    def drift(dt: float) -> None:
        for _, square in esper.get_component(Square):
            square.x += rng().random() * net.tick()
        for player, steer in net.commands(Steer):
            esper.component_for_entity(player, Square).x += steer.dx

    spec.on_join.append(lambda player: esper.add_component(player, Square()))
    spec.add_function(drift, 0)

    def play(seed: int) -> list[float]:
        running = simulation(spec, seed)
        for tick in range(50):
            running.step(
                [Join(tick, "x")] if tick < 5 else [],
                [Leave(3)] if tick == 30 else [],
                [PlayerCommands(player, (given(Steer(tick * player)),)) for player in range(5)],
            )
        with running.world:
            return [square.x for _, square in esper.get_component(Square)]

    first = play(7)
    assert len(first) == 4
    assert play(7) == first
    assert play(8) != first


def test_leaving_takes_what_the_player_owns(spec: SimulationSpec) -> None:
    def join(player: int) -> None:
        for _ in range(3):
            esper.create_entity(Owner(player), Square())
        esper.create_entity(Owner(None), Square())

    spec.on_join.append(join)
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann"), Join(2, "Bob")])
    running.step(leaves=[Leave(1)])
    with running.world:
        bob = running.player_entity[2]
        assert sorted(owner.player or 0 for _, owner in esper.get_component(Owner)) == [
            0,
            0,
            bob,
            bob,
            bob,
        ]
        assert [player.name for _, player in esper.get_component(Player)] == ["Bob"]
    running.step(leaves=[Leave(1), Leave(99)])
    assert running.player_entity.keys() == {2}


def test_what_the_hook_gives_away_or_keeps_stays(spec: SimulationSpec) -> None:
    ships: list[int] = []

    def join(player: int) -> None:
        ships.extend(esper.create_entity(Owner(player)) for _ in range(2))

    def leave(player: int) -> object:
        if esper.component_for_entity(player, Player).name == "Ann":
            esper.component_for_entity(ships[0], Owner).player = None
            return None
        return KEEP

    spec.on_join.append(join)
    spec.on_leave.append(leave)
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann"), Join(2, "Bob")])
    bob = running.player_entity[2]
    running.step(leaves=[Leave(1), Leave(2)])
    alive = running.world.alive
    assert [alive(ship) for ship in ships] == [True, False, True, True]
    assert alive(bob)
    assert not running.player_entity


def test_commands_for_what_is_gone_or_not_ones_own_are_counted(spec: SimulationSpec) -> None:
    got: list[tuple[int, int]] = []
    ships: dict[int, int] = {}

    def join(player: int) -> None:
        ships[player] = esper.create_entity(Owner(player))

    spec.on_join.append(join)
    spec.add_function(
        lambda dt: got.extend((entity, steer.dx) for entity, steer in net.commands(Steer)), 0
    )
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann"), Join(2, "Bob")])
    ann, bob = (running.player_entity[number] for number in (1, 2))
    nets = {101: ann, 102: bob, 103: ships[ann], 104: ships[bob], 105: 9999}
    running.resolve = nets.get
    running.step(
        commands=[
            PlayerCommands(
                1,
                tuple(
                    given(Steer(number), target=number)
                    for number in (0, 101, 102, 103, 104, 105, 106)
                ),
            ),
            PlayerCommands(7, (given(Steer(1)), given(Steer(2)))),
        ]
    )
    assert got == [(ann, 0), (ann, 101), (ships[ann], 103)]
    assert running.rejected == {1: 4, 7: 2}
    got.clear()
    running.world.delete(ships[ann])
    running.step(commands=[PlayerCommands(1, (given(Steer(5), target=103), given(Steer(6))))])
    assert got == [(ann, 6)]
    assert running.rejected[1] == 5
    running.world.delete(ann)
    running.step(commands=[PlayerCommands(1, (given(Steer(7)),))])
    assert running.rejected[1] == 6


@pytest.mark.parametrize("immediate", [True, False])
def test_an_entity_that_dies_during_the_tick_gets_no_more_commands(
    spec: SimulationSpec, immediate: bool
) -> None:
    got: list[int] = []

    def reap(dt: float) -> None:
        for entity, _ in net.commands(Steer):
            esper.delete_entity(entity, immediate)

    spec.add_function(reap, 1)
    spec.add_function(lambda dt: got.extend(e for e, _ in net.commands(Steer)), 0)
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann")], commands=[PlayerCommands(1, (given(Steer(1)),))])
    assert got == []
    assert running.failure is None


def test_commands_for_entities_that_lack_a_component_can_be_left_out(spec: SimulationSpec) -> None:
    seen: list[list[int]] = []

    def system(_dt: float) -> None:
        seen.append([entity for entity, _ in net.commands(Steer, Square)])

    spec.add_function(system, 0)
    simulation = Simulation(spec, seed=1, epoch=1, player=Player, owner=Owner)
    steering = [PlayerCommands(number, (given(Steer(1)),)) for number in (1, 2)]
    simulation.step([Join(1, "with"), Join(2, "without")])
    with simulation.world:
        esper.add_component(simulation.player_entity[1], Square())
    simulation.step(commands=steering)
    assert simulation.failure is None
    assert seen == [[], [simulation.player_entity[1]]]


def test_references_in_commands_become_entities(spec: SimulationSpec) -> None:
    got: list[int | None] = []
    spec.add_function(lambda dt: got.extend(a.victim for _, a in net.commands(Attack)), 0)
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann"), Join(2, "Bob")])
    running.resolve = {50: running.player_entity[2]}.get
    running.step(
        commands=[PlayerCommands(1, (given(Attack(50)), given(Attack(51)), given(Attack(None))))]
    )
    assert got == [running.player_entity[2], None, None]


def test_a_system_cannot_spoil_the_next_ticks_command(spec: SimulationSpec) -> None:
    seen: list[int] = []

    def clumsy(dt: float) -> None:
        for _, steer in net.commands(Steer):
            seen.append(steer.dx)
            steer.dx = 99

    spec.add_function(clumsy, 0)
    running = simulation(spec)
    held = (given(Steer(1)),)
    running.step(joins=[Join(1, "Ann")])
    for _ in range(3):
        running.step(commands=[PlayerCommands(1, held)])
    assert seen == [1, 1, 1]


def test_a_system_that_raises_stops_the_simulation(
    spec: SimulationSpec, caplog: pytest.LogCaptureFixture
) -> None:
    after: list[int] = []

    def broken(dt: float) -> None:
        if net.tick() == 3:
            raise RuntimeError("out of coffee")

    spec.add_function(broken, 1)
    spec.add_function(lambda dt: after.append(net.tick()), 0)
    running = simulation(spec)
    with caplog.at_level(logging.ERROR, "ecsnet.server"):
        for _ in range(3):
            running.step()
    assert isinstance(running.failure, RuntimeError)
    assert after == [1, 2]
    (record,) = caplog.records
    assert "broken raised in tick 3" in record.getMessage()
    with pytest.raises(UsageError, match="has stopped"):
        running.step()


def test_or_is_skipped_for_the_tick_and_logged_once(
    spec: SimulationSpec, caplog: pytest.LogCaptureFixture
) -> None:
    spec.on_error = "skip"
    after: list[int] = []

    def broken(dt: float) -> None:
        esper.add_component(4711, Square())

    spec.add_function(broken, 1)
    spec.add_function(lambda dt: after.append(len(esper.get_component(Square))), 0)
    running = simulation(spec)
    with caplog.at_level(logging.ERROR, "ecsnet.server"):
        for _ in range(4):
            running.step()
    assert after == [0, 0, 0, 0]
    assert list(running.errors.values()) == [4]
    assert running.failure is None
    (record,) = caplog.records
    assert re.search(r"broken raised in tick 1, skipped", record.getMessage())


def test_hooks_that_raise_are_treated_alike(spec: SimulationSpec) -> None:
    spec.on_error = "skip"

    def join(player: int) -> None:
        raise ValueError("full of eels")

    spec.on_join.append(join)
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann")])
    assert running.player_entity.keys() == {1}
    assert list(running.errors.values()) == [1]


def test_a_system_must_leave_its_world_current(spec: SimulationSpec) -> None:
    spec.on_error = "skip"
    names: list[str] = []

    def wanderer(dt: float) -> None:
        esper.switch_world("elsewhere")

    spec.add_function(wanderer, 1)
    spec.add_function(lambda dt: names.append(current_name()), 0)
    running = simulation(spec)
    running.step()
    assert names == [running.world.name]
    assert list(running.errors.values()) == [1]
    spec.on_error = "stop"
    strict = simulation(spec)
    strict.step()
    assert isinstance(strict.failure, WorldError)
    assert "wanderer left the esper world 'elsewhere' current" in str(strict.failure)
    esper.delete_world("elsewhere")


def test_deletions_are_finished_when_a_tick_begins(spec: SimulationSpec) -> None:
    counts: list[int] = []
    spec.add_function(lambda dt: counts.append(len(list(esper.get_entities()))), 0)
    running = simulation(spec)
    running.step()
    with running.world:
        entity = esper.create_entity(Square())
    running.step()
    running.world.delete(entity)
    running.step()
    assert counts == [0, 1, 0]


def test_a_tick_inside_its_own_tick_is_refused(spec: SimulationSpec) -> None:
    spec.add_function(lambda dt: running.step(), 0)
    running = simulation(spec)
    running.step()
    assert "step() inside a tick" in str(running.failure)


def test_who_loses_its_entity_to_a_system_stays_and_is_warned_of_once(
    spec: SimulationSpec, caplog: pytest.LogCaptureFixture
) -> None:
    left: list[int] = []
    lost: list[int] = []

    def join(player: int) -> None:
        esper.create_entity(Owner(player), Square())

    def reap(dt: float) -> None:
        if net.tick() == 2:
            lost.append(1)
            esper.delete_entity(running.player_entity[1], immediate=True)

    spec.on_join.append(join)
    spec.on_leave.append(left.append)
    spec.add_function(reap, 0)
    running = simulation(spec)
    with caplog.at_level(logging.WARNING, "ecsnet.server"):
        running.step(joins=[Join(1, "Ann"), Join(2, "Bob")])
        for _ in range(3):
            running.step(commands=[PlayerCommands(1, (given(Steer(1)),))])
    assert lost == [1]
    (message,) = caplog.messages
    assert message.startswith(
        "the entity of player 1 (Ann), who is still in the game, is gone in tick 2: the game"
    )
    assert "Owner(player)" in message
    assert running.failure is None
    assert running.rejected[1] == 2
    bob = running.player_entity[2]
    running.step(leaves=[Leave(1), Leave(2)])
    assert left == [bob]  # no hook is given an entity that is gone
    assert not running.world.structure(Owner)  # and what she owned went all the same
    assert len(caplog.messages) == 1


def test_players_that_left_or_were_deleted_by_their_hook_are_not_missed(
    spec: SimulationSpec, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []

    def leave(player: int) -> object:
        called.append("first")
        esper.delete_entity(player)
        return KEEP

    spec.on_leave += [leave, lambda player: called.append("second")]
    running = simulation(spec)
    with caplog.at_level(logging.WARNING, "ecsnet.server"):
        running.step(joins=[Join(1, "Ann")])
        running.step(leaves=[Leave(1)])
        running.step()
    assert called == ["first"]
    assert caplog.messages == []


def test_a_cleared_database_is_told_of_too(
    spec: SimulationSpec, caplog: pytest.LogCaptureFixture
) -> None:
    def clear(dt: float) -> None:
        if net.tick() == 2:
            esper.clear_database()
            esper.create_entity()  # has the number that the player had

    spec.add_function(clear, 0)
    running = simulation(spec)
    with caplog.at_level(logging.WARNING, "ecsnet.server"):
        for tick in range(4):
            running.step(joins=[Join(1, "Ann")] if not tick else [])
    (message,) = caplog.messages
    assert "player 1 (Ann)" in message
    assert not running.player_entity


def test_an_owner_that_names_no_player_is_warned_of_once(
    spec: SimulationSpec, caplog: pytest.LogCaptureFixture
) -> None:
    spec.on_start.append(lambda: esper.create_entity())

    def join(player: int) -> None:
        number = esper.component_for_entity(player, Player).id
        for _ in range(3):
            esper.create_entity(Owner(number))
        esper.create_entity(Owner(player))
        esper.create_entity(Owner(None))
        esper.create_entity(Owner("Ann"))  # type: ignore[arg-type]  # replication says so

    spec.on_join.append(join)
    spec.on_leave.append(lambda player: KEEP)
    spec.add_function(lambda dt: net.tick() % 2 and esper.create_entity() and None, 0)
    running = simulation(spec)
    with caplog.at_level(logging.WARNING, "ecsnet.server"):
        running.step(joins=[Join(1, "Ann")])
        for _ in range(4):
            running.step()
        # Who was a player may still own something when it is none any more.
        running.step(leaves=[Leave(1)])
        for _ in range(3):
            running.step()
    (message,) = caplog.messages
    assert message.startswith("Owner(1) on entity 3 names no player's entity, in tick 1:")
    assert message.endswith("give the entity that on_join is called with, not Player.id")
    assert len(running.world.structure(Owner)) == 6


def test_owners_that_are_no_players_are_noted_a_few_times_only(
    spec: SimulationSpec, caplog: pytest.LogCaptureFixture
) -> None:
    spec.add_function(lambda dt: esper.create_entity(Owner(1000 + net.tick())) and None, 0)
    running = simulation(spec)
    with caplog.at_level(logging.WARNING, "ecsnet.server"):
        for _ in range(100):
            running.step()
    assert len(caplog.messages) == len(running._nobodies) == 16
    assert "Owner(1001)" in caplog.messages[0]


def test_when_it_finishes_everybody_leaves_and_no_system_runs(spec: SimulationSpec) -> None:
    seen: list[object] = []

    def leave(player: int) -> None:
        name = esper.component_for_entity(player, Player).name
        seen.append((name, net.tick(), net.commands(Steer), current_name()))

    spec.on_leave.append(leave)
    spec.add_function(lambda dt: seen.append(len(net.commands(Steer))), 0)
    running = simulation(spec)
    running.finish()  # nobody is there
    joins = [Join(1, "Ann"), Join(2, "Bob")]
    running.step(joins=joins, commands=[PlayerCommands(1, (given(Steer(1)),))])
    running.finish()
    running.finish()
    name = running.world.name
    assert seen == [1, ("Ann", 1, [], name), ("Bob", 1, [], name)]
    assert not running.player_entity
    assert running.tick == 1
    with pytest.raises(OutsideTickError):
        net.tick()


def test_nobody_leaves_a_world_that_a_failure_stopped(spec: SimulationSpec) -> None:
    left: list[int] = []

    def broken(dt: float) -> None:
        raise RuntimeError("out of coffee")

    spec.on_leave.append(left.append)
    spec.add_function(broken, 0)
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann")])
    assert running.failure is not None
    running.finish()
    assert left == []
    assert list(running.player_entity) == [1]


def test_a_hook_that_raises_while_it_finishes_is_the_failure(spec: SimulationSpec) -> None:
    left: list[int] = []

    def leave(player: int) -> None:
        left.append(player)
        raise RuntimeError("disk full")

    spec.on_leave.append(leave)
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann"), Join(2, "Bob")])
    running.finish()
    assert len(left) == 1
    assert str(running.failure) == "disk full"


def test_systems_are_held_back_without_a_match_and_while_it_is_paused() -> None:
    with use_registry(Registry()):
        server = ServerWorld(lobby=Lobby(players=(1, 2)))
    ran: list[tuple[int, bool]] = []
    begin: list[int] = []

    @server.system(always=True)
    def start(dt: float) -> None:
        if begin:
            begin.clear()
            start_match()

    running = server.step(joins=["Ann"])
    running.add_system(lambda dt: ran.append((net.tick(), running.held)), 0, "more")
    server.step()
    assert running.held
    begin.append(1)
    server.step()  # from where it begins in this tick, the others run
    assert not running.held
    running.paused = True
    server.step()
    assert running.held
    running.paused = False
    server.step()
    assert not running.held
    assert ran == [(3, False), (5, False)]


def test_who_joins_after_the_database_was_cleared_stays(spec: SimulationSpec) -> None:
    def clear(dt: float) -> None:
        if net.tick() == 2:
            esper.clear_database()

    spec.add_function(clear, 0)
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann"), Join(2, "Bob")])
    running.step()
    assert (running.player_entity, running.player_number) == ({}, {})
    running.step(joins=[Join(3, "Carl")])
    running.step()
    running.step()
    assert running.player_entity.keys() == {3}
    assert list(running.player_number.values()) == [3]


def test_what_was_done_and_deleted_before_it_finishes_is_over(spec: SimulationSpec) -> None:
    seen: list[object] = []

    def leave(player: int) -> None:
        seen.append((len(esper.get_component(Square)), dict(running.drawn)))

    spec.on_leave.append(leave)
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann")], commands=[PlayerCommands(1, (), 300)])
    assert running.drawn.keys() == {1}
    with running.world:
        esper.delete_entity(esper.create_entity(Square()))
    running.finish()
    assert seen == [(0, {})]


def test_who_has_left_is_gone_for_the_systems_of_that_tick(spec: SimulationSpec) -> None:
    seen: list[tuple[int, int]] = []
    spec.on_join.append(lambda player: esper.create_entity(Owner(player)))
    spec.add_function(
        lambda dt: seen.append((len(esper.get_component(Player)), len(esper.get_component(Owner)))),
        0,
    )
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann"), Join(2, "Bob")])
    running.step(leaves=[Leave(1)])
    assert seen == [(2, 2), (1, 1)]


def test_commands_of_who_dies_before_the_systems_run_are_rejected(spec: SimulationSpec) -> None:
    got: list[int] = []

    def leave(player: int) -> object:
        esper.delete_entity(running.player_entity[1])
        return KEEP  # so nothing comes or goes before the next tick

    spec.on_leave.append(leave)
    spec.add_function(lambda dt: got.extend(entity for entity, _ in net.commands(Steer)), 0)
    running = simulation(spec)
    steering = [PlayerCommands(1, (given(Steer(1)),))]
    running.step(joins=[Join(1, "Ann"), Join(2, "Bob")], commands=steering)
    assert len(got) == 1
    running.step(leaves=[Leave(2)], commands=steering)
    assert len(got) == 1
    assert running.rejected == {1: 1}


def test_what_a_command_names_and_its_player_cannot_see_is_counted_once(
    spec: SimulationSpec,
) -> None:
    got: list[int | None] = []
    spec.add_function(lambda dt: got.extend(a.victim for _, a in net.commands(Attack)), 0)
    spec.add_function(lambda dt: got.extend(a.victim for _, a in net.commands(Attack)), 0)
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann")])
    running.resolve = {50: running.player_entity[1]}.get
    running.sees = lambda player_id, net: net != 50
    running.step(commands=[PlayerCommands(1, (given(Attack(50)), given(Attack(None))))])
    assert got == [None] * 4
    assert running.rejected == {1: 1}


def test_commands_are_counted_by_type_as_they_come(spec: SimulationSpec) -> None:
    running = simulation(spec)
    running.step(joins=[Join(1, "Ann")])
    running.step(commands=[PlayerCommands(1, (given(Steer(1)), given(Attack()), given(Attack())))])
    assert {kind.cls: count for kind, count in running.taken()} == {Steer: 1, Attack: 2}


def test_a_held_command_with_a_reference_is_a_new_one_in_each_tick_and_for_each_player(
    spec: SimulationSpec,
) -> None:
    with use_registry(Registry()):

        @command(hold=True)
        class Follow:
            whom: EntityRef = None
            path: Annotated[list[int], MaxLen(5)] = []

    seen: list[tuple[int | None, list[int]]] = []

    def clumsy(dt: float) -> None:
        for _, follow in net.commands(Follow):
            seen.append((follow.whom, follow.path.copy()))
            follow.path.append(99)

    spec.add_function(clumsy, 0)
    running = simulation(spec)
    held = given(Follow(50, [1]))
    running.step(joins=[Join(1, "Ann"), Join(2, "Bob")])
    ann = running.player_entity[1]
    running.resolve = {50: ann}.get
    for _ in range(3):
        running.step(commands=[PlayerCommands(player, (held,)) for player in (1, 2)])
    assert seen == [(ann, [1])] * 6


def test_a_spec_is_of_60_ticks_and_its_systems_are_the_servers_in_matches_alone() -> None:
    class Drive:
        def process(self, dt: float) -> None: ...

    spec = SimulationSpec()
    spec.add_function(lambda dt: None, 0)
    spec.add_system(Drive, 0)
    spec.add_system(lambda dt: None, 0)
    assert [(system.always, system.shared) for system in spec.systems] == [(False, False)] * 3
    assert spec.shared == []
    assert simulation(spec).dt == 1 / 60


def test_commands_of_who_has_left_and_is_kept_are_rejected(spec: SimulationSpec) -> None:
    got: list[int] = []
    spec.on_leave.append(lambda player: KEEP)
    spec.add_function(lambda dt: got.extend(entity for entity, _ in net.commands(Steer)), 0)
    running = simulation(spec)
    steering = [PlayerCommands(number, (given(Steer(1)),)) for number in (1, 2)]
    running.step(joins=[Join(1, "Ann"), Join(2, "Bob")])
    bad = PlayerCommands(2, (given(Steer(1), target=99),))
    running.step(commands=[bad])
    assert running.rejected == {2: 1}
    running.step(leaves=[Leave(2)])
    assert running.rejected == {}
    running.step(commands=steering)
    running.step(leaves=[Leave(1)], commands=steering)
    assert got == [1]
    assert running.rejected == {1: 1, 2: 2}


@pytest.mark.parametrize("immediate", [True, False])
def test_a_command_that_names_what_is_dead_names_nothing(
    spec: SimulationSpec, immediate: bool
) -> None:
    got: list[int | None] = []

    def look(dt: float) -> None:
        esper.delete_entity(victim, immediate=immediate)
        got.extend(attack.victim for _, attack in net.commands(Attack))

    spec.add_function(look, 0)
    running = simulation(spec)
    with running.world:
        victim = esper.create_entity(Square())
    running.resolve = {50: victim}.get
    running.step([Join(1, "Ann")], commands=[PlayerCommands(1, (given(Attack(50)),))])
    assert got == [None]


def test_a_command_that_the_games_own_type_refuses_is_rejected(spec: SimulationSpec) -> None:
    got: list[int] = []
    spec.add_function(lambda dt: got.extend(pick.level.number for _, pick in net.commands(Pick)), 0)
    running = simulation(spec)
    low, high = Level(4), Level(5)
    high.number = 6
    picks = tuple(given(Pick(level)) for level in (high, low))
    running.step([Join(1, "Ann")], commands=[PlayerCommands(1, picks)])
    assert got == [4]
    assert running.rejected == {1: 1}
    assert running.failure is None


def test_a_call_that_the_games_own_type_refuses_is_rejected_and_the_next_one_runs(
    spec: SimulationSpec,
) -> None:
    tower = Tower()
    spec.on_join.append(lambda player: esper.add_component(player, tower))
    running = simulation(spec)
    high = Level(5)
    high.number = 6
    running.step([Join(1, "Ann")])
    running.step(commands=[PlayerCommands(1, (raising(high),))])
    assert running.rejected == {1: 1}
    assert tower.height == 0
    running.step(commands=[PlayerCommands(1, (raising(Level(4)), raising(high)))])
    assert running.rejected == {1: 2}
    assert tower.height == 4
    running.step(commands=[PlayerCommands(1, (raising(high), raising(Level(3))))])
    assert running.rejected == {1: 3}
    assert tower.height == 3
    assert running.failure is None


def test_calls_are_rejected_while_no_match_is_played() -> None:
    with use_registry(Registry()):
        server = ServerWorld(lobby=Lobby(players=(1, 2)))
    tower = Tower()
    server.on_join(lambda player: esper.add_component(player, tower))
    running = server.step(joins=["Ann"])
    running.step(commands=[PlayerCommands(1, (raising(Level(2)), raising(Level(3))))])
    assert tower.height == 0
    assert running.rejected == {1: 2}
    running.playing = True
    running.step(commands=[PlayerCommands(1, (raising(Level(4)),))])
    assert tower.height == 4
    assert running.rejected == {1: 2}
