"""The commands of each tick, as the server will take them."""

from __future__ import annotations

from ecsnet.commands.inbox import ReceivedCommand
from ecsnet.prediction.command_history import CommandHistory
from ecsnet.schema import Registry, command, command_type, use_registry

with use_registry(Registry()):

    @command(hold=True)
    class Steer:
        dx: int = 0

    @command
    class Fire:
        pass


LEFT, RIGHT = (ReceivedCommand(command_type(Steer), 0, Steer(dx)) for dx in (-1, 1))
FIRE = ReceivedCommand(command_type(Fire), 0, Fire())


def test_what_is_held_comes_first_and_actions_once() -> None:
    history = CommandHistory(60, 60)
    assert history.of(5) == ()
    history.record(5, (LEFT,), [FIRE])
    history.record(6, (RIGHT,), [])
    assert (history.of(4), history.of(5), history.of(6)) == ((), (LEFT, FIRE), (RIGHT,))


def test_in_ticks_that_are_left_out_it_is_repeated_as_on_the_server() -> None:
    history = CommandHistory(60, 60)
    history.record(5, (LEFT,), [FIRE])
    assert history.of(6) == history.of(20) == (LEFT,)
    assert history.of(21) == ()
    history.record(30, (RIGHT,), [])
    # It is the same in ticks that run again.
    assert [history.of(tick) for tick in (4, 5, 6, 20, 21, 29, 30)] == [
        *((), (LEFT, FIRE), (LEFT,), (LEFT,), (), (), (RIGHT,))
    ]


def test_only_so_many_ticks_are_kept() -> None:
    history = CommandHistory(60, 10)
    for tick in [*range(1, 100), 10_000_000]:
        history.record(tick, (LEFT,), [])
        assert len(history._given) <= 10
    assert history.of(10_000_000) == (LEFT,)
    assert history.of(99) == ()
