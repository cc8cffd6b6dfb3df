"""`net.kick` in a simulation, which only notes whom to throw out, and in `ServerWorld.step`."""

from __future__ import annotations

import esper
import pytest

import ecsnet as net
from ecsnet.components import Owner, Player
from ecsnet.simulation.simulation import Join, Leave, Simulation
from ecsnet.simulation.spec import SimulationSpec, gets_reason


def throwing(*arguments: object) -> net.ServerWorld:
    """A game that calls `kick` in its second tick."""
    server = net.ServerWorld()

    @server.system
    def throw(dt: float) -> None:
        if net.tick() == 2:
            net.kick(*arguments)  # type: ignore[arg-type]

    return server


def test_who_is_kicked_in_one_tick_leaves_in_the_next() -> None:
    server = net.ServerWorld()
    left: list[tuple[int, str, int]] = []

    @server.system
    def throw(dt: float) -> None:
        for player, who in esper.get_component(Player):
            if net.tick() == 2 and who.name == "Eve":
                net.kick(player, "out")

    @server.on_leave
    def leave(player: int, reason: str) -> None:
        left.append((player, reason, net.tick()))

    simulation = server.step(joins=["Ann", "Eve"])
    eve = simulation.player_entity[2]
    server.step()
    assert (left, simulation.world.alive(eve)) == ([], True)
    assert simulation.kicked == {2: "out"}
    server.step()
    assert left == [(eve, "kicked", 3)]
    assert list(simulation.player_entity) == [1]
    assert not simulation.world.alive(eve)
    server.step(5)
    assert len(left) == 1


def test_it_needs_only_one_call_of_step() -> None:
    server = throwing(1)
    simulation = server.step(4, joins=["Ann", "Bob"])
    assert list(simulation.player_entity) == [2]


def test_the_first_text_counts_and_can_be_shown() -> None:
    spec = SimulationSpec()

    def throw(dt: float) -> None:
        for player in list(simulation.player_number):
            net.kick(player, "one\nline" + "!" * 500)
            net.kick(player, "another")

    spec.add_function(throw, 0)
    simulation = Simulation(spec, seed=1, epoch=1, player=Player, owner=Owner)
    simulation.step([Join(1, "Ann")])
    assert simulation.take_kicked() == {1: ("one line" + "!" * 500)[:200]}
    assert simulation.take_kicked() == {}
    simulation.step()
    simulation.step(leaves=[Leave(1, "timeout")])
    assert simulation.kicked == {}  # who has left cannot be thrown out any more
    simulation.close()


def test_what_only_the_moment_makes_wrong_does_nothing_and_is_counted() -> None:
    server = net.ServerWorld()
    gone: list[int] = []

    @server.on_leave
    def leave(player: int) -> None:
        net.kick(player)  # it is leaving
        gone.append(player)

    @server.system
    def throw(dt: float) -> None:
        if net.tick() == 3:
            net.kick(esper.create_entity())
            net.kick(987_654)
            net.kick(gone[0])

    simulation = server.step(joins=["Ann", "Bob"])
    server.step(leaves=[1])
    assert simulation.ignored["kick"] == 1
    server.step(5)
    assert simulation.ignored["kick"] == 4
    assert list(simulation.player_entity) == [2]


def test_who_is_leaving_or_no_player_is_not_thrown_out() -> None:
    spec = SimulationSpec()
    spec.add_function(lambda dt: net.kick(esper.create_entity()), 0)
    spec.on_leave.append(lambda player: net.kick(player))
    simulation = Simulation(spec, seed=1, epoch=1, player=Player, owner=Owner)
    simulation.step([Join(1, "Ann"), Join(2, "Bob")])
    assert simulation.take_kicked() == {}
    simulation.step(leaves=[Leave(1)])
    assert simulation.take_kicked() == {}
    assert simulation.ignored["kick"] == 3
    assert list(simulation.player_entity) == [2]
    simulation.close()


def test_a_player_whose_entity_the_game_deleted_can_be_kicked() -> None:
    server = net.ServerWorld()

    @server.system
    def throw(dt: float) -> None:
        (player,) = simulation.player_entity.values()
        esper.delete_entity(player)
        net.kick(player, "you are dead")

    simulation = server.step(0, joins=["Ann"])
    server.step(joins=["Bob"])
    assert simulation.kicked == {2: "you are dead"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Ann",), "net.kick('Ann'): give a player's entity, a number"),
        ((None,), "net.kick(None): give a player's entity, a number"),
        ((True,), "net.kick(True): give a player's entity, a number"),
        ((1.5,), "net.kick(1.5): give a player's entity, a number"),
        ((1, 5), "net.kick(text=5): give a text for the player, or leave it out"),
        ((1, None), "net.kick(text=None): give a text for the player, or leave it out"),
    ],
)
def test_what_can_be_no_player_or_text_is_refused(
    arguments: tuple[object, ...], message: str
) -> None:
    with pytest.raises(net.UsageError) as caught:
        throwing(*arguments).step(3, joins=["Ann"])
    assert str(caught.value) == message


def test_outside_a_tick_it_is_refused() -> None:
    with pytest.raises(net.OutsideTickError) as caught:
        net.kick(1)
    assert str(caught.value) == (
        "net.kick() outside a tick: call it in a system, on_start, on_join, on_play or on_leave"
    )


def test_an_on_leave_hook_takes_one_argument_or_two() -> None:
    log: list[object] = []
    server = net.ServerWorld()
    server.on_leave(lambda player: log.append("player"))
    server.on_leave(lambda player, reason: log.append(reason))
    server.on_leave(lambda player, why: log.append(why))
    server.on_leave(lambda player, reason="?": log.append(reason))
    server.on_leave(lambda player, log=log: log.append("its own"))  # not the reason
    server.on_leave(lambda *given: log.append(len(given)))
    server.step(joins=["Ann"])
    server.step(leaves=[1])
    assert log == ["player", "left", "left", "left", "its own", 1]


@pytest.mark.parametrize("hook", [dict.update, print])
def test_of_what_does_not_tell_it_is_said_no_reason(hook: object) -> None:
    assert not gets_reason(hook)  # type: ignore[arg-type]


def test_a_hook_that_takes_something_else_is_refused() -> None:
    server = net.ServerWorld()
    with pytest.raises(net.UsageError, match=r"calls it as leave\(player\): write def leave"):

        @server.on_leave
        def leave(player: int, reason: str, more: int) -> None: ...

    with pytest.raises(net.UsageError, match=r"write a plain def late\(player: int, reason: str\)"):

        @server.on_leave
        async def late(player: int, reason: str) -> None: ...


def test_whoever_is_there_at_the_end_leaves_for_the_reason_that_is_known() -> None:
    spec = SimulationSpec()
    left: list[tuple[int, str]] = []
    spec.on_leave.append(lambda player, reason: left.append((player, reason)))
    simulation = Simulation(spec, seed=1, epoch=1, player=Player, owner=Owner)
    simulation.step([Join(1, "Ann"), Join(2, "Bob"), Join(3, "Cid")])
    ann, bob, cid = simulation.player_entity.values()
    simulation.finish([Leave(2, "timeout"), Leave(9, "kicked")])
    assert left == [(ann, "shutdown"), (bob, "timeout"), (cid, "shutdown")]
    simulation.close()
