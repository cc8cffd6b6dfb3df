"""`net.Lobby`, and what a game without a lobby, or a wrong one, is told."""

from __future__ import annotations

import re

import esper
import pytest

import ecsnet as net
from ecsnet.components import LobbyReady
from ecsnet.schema import Registry, use_registry
from ecsnet.simulation.simulation import Simulation
from ecsnet.testing import Harness


def says(text: str) -> str:
    return f"^{re.escape(text)}$"


def test_a_lobby_has_sound_defaults_and_is_a_value() -> None:
    assert net.Lobby() == net.Lobby(players=(2, 4), countdown=3.0, late="watch")
    assert net.Lobby(players=(1, 1), countdown=0, late="refuse").countdown == 0
    with pytest.raises(AttributeError):
        net.Lobby().late = "play"  # type: ignore[misc]


class Uncomparable:
    """A value that cannot be compared, such as an array, whose comparison has no truth."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    def __repr__(self) -> str:
        return "Uncomparable()"


PLAYERS = ": give the least and the most players of a match, players=(2, 4)"
SECONDS = ": give seconds, from 0 to 3,600"
LATE = ": it is 'watch', 'play' or 'refuse'"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"players": 4}, "Lobby(players=4)" + PLAYERS),
        ({"players": (4, 2)}, "Lobby(players=(4, 2))" + PLAYERS),
        ({"players": (0, 2)}, "Lobby(players=(0, 2))" + PLAYERS),
        ({"players": (1, 2, 3)}, "Lobby(players=(1, 2, 3))" + PLAYERS),
        ({"players": (1.0, 2)}, "Lobby(players=(1.0, 2))" + PLAYERS),
        ({"players": [2, 4]}, "Lobby(players=[2, 4])" + PLAYERS),
        ({"countdown": -1}, "Lobby(countdown=-1)" + SECONDS),
        ({"countdown": float("nan")}, "Lobby(countdown=nan)" + SECONDS),
        ({"countdown": 3601}, "Lobby(countdown=3601)" + SECONDS),
        ({"countdown": "3"}, "Lobby(countdown='3')" + SECONDS),
        ({"late": "never"}, "Lobby(late='never')" + LATE),
        ({"late": None}, "Lobby(late=None)" + LATE),
        ({"late": ["play"]}, "Lobby(late=['play'])" + LATE),
        ({"late": Uncomparable()}, "Lobby(late=Uncomparable())" + LATE),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(net.UsageError, match=says(message)):
        net.Lobby(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [True, "lobby", (2, 4), net.Lobby])
def test_a_server_takes_a_lobby_or_none(wrong: object) -> None:
    with use_registry(Registry()):
        server = net.ServerWorld()
        for give in (
            lambda: net.ServerWorld(lobby=wrong),  # type: ignore[arg-type]
            lambda: setattr(server, "lobby", wrong),
        ):
            with pytest.raises(net.UsageError, match=r"^lobby=.*: give net.Lobby\(...\), or None$"):
                give()
    assert server.lobby is None


def test_a_lobby_may_be_given_later() -> None:
    with use_registry(Registry()):
        server = net.ServerWorld()
    server.lobby = net.Lobby(players=(1, 2))
    assert server.lobby == net.Lobby(players=(1, 2))
    assert not server.step(joins=["Ann"]).playing


WITHOUT = " in a game without a lobby: make the server with ServerWorld(lobby=net.Lobby(...))"


def test_on_play_needs_a_lobby_and_players() -> None:
    with use_registry(Registry()):
        server, plain = net.ServerWorld(lobby=net.Lobby()), net.ServerWorld()
    with pytest.raises(net.UsageError, match=says("@server.on_play" + WITHOUT)):
        plain.on_play(lambda players: None)

    def begin() -> None: ...

    message = (
        f"@server.on_play got {begin.__qualname__}(), but calls it as begin(players): write def"
        " begin(players: list[int])"
    )
    with pytest.raises(net.UsageError, match=says(message)):
        server.on_play(begin)  # type: ignore[type-var]
    server.step()
    with pytest.raises(net.UsageError, match=r"^@server\.on_play while the game runs"):
        server.on_play(lambda players: None)


@pytest.mark.parametrize("function", [net.start_match, net.end_match])
def test_matches_need_a_lobby_and_a_tick(function: object) -> None:
    name = function.__name__  # type: ignore[attr-defined]
    where = "call it in a system, on_start, on_join, on_play or on_leave"
    message = f"net.{name}() outside a tick: {where}"
    with pytest.raises(net.OutsideTickError, match=says(message)):
        function()  # type: ignore[operator]
    with use_registry(Registry()):
        server = net.ServerWorld()
    server.system(lambda dt: function())  # type: ignore[operator]
    with pytest.raises(net.UsageError, match=says(f"net.{name}(){WITHOUT}")):
        server.step()


def test_what_only_the_moment_makes_wrong_does_nothing_and_is_counted() -> None:
    with use_registry(Registry()):
        server = net.ServerWorld(lobby=net.Lobby(players=(1, 2)))
    calls = [
        net.end_match,  # none is played
        net.start_match,  # nobody is there
        net.start_match,
        net.start_match,  # one is played
        net.end_match,
        net.end_match,  # none is played
    ]
    began: list[list[int]] = []
    server.on_play(began.append)
    server.add_system(lambda dt: calls.pop(0)(), always=True)
    simulation = server.step(2)
    assert simulation.ignored == {"end_match": 1, "start_match": 1}
    server.step(4, joins=["Ann"])
    assert simulation.ignored == {"end_match": 2, "start_match": 2}
    assert len(began) == 1


def test_always_is_true_or_false() -> None:
    with use_registry(Registry()):
        server = net.ServerWorld()

    def count(dt: float) -> None: ...

    message = says(f"always of {count.__qualname__}=1: give True or False")
    with pytest.raises(net.UsageError, match=message):
        server.system(always=1)(count)  # type: ignore[call-overload]
    with pytest.raises(net.UsageError, match=message):
        server.add_system(count, always=1)  # type: ignore[arg-type]


def test_calls_run_while_a_match_is_played_only() -> None:
    registry = Registry()
    with use_registry(registry):

        @net.replicated
        class Knight:
            hits: int = 0

            @net.rpc("server")
            def attack(self) -> None:
                self.hits += 1

        server = net.ServerWorld(lobby=net.Lobby(players=(1, 1), countdown=0))
    knights: list[Knight] = []

    @server.on_join
    def join(player: int) -> None:
        knights.append(Knight())
        esper.add_component(player, knights[0])

    with Harness(server, registry=registry) as play:
        ann = play.connect("Ann")
        with ann.view:
            ((_, knight),) = ann.mine(Knight)
            knight.attack()
        play.run(0.5)
        assert knights[0].hits == 0
        assert play.simulation.rejected[1] == 1
        ann.send(LobbyReady())
        play.run(0.5)
        assert play.simulation.playing
        with ann.view:
            ((_, knight),) = ann.mine(Knight)
            knight.attack()
        play.run(0.5)
        assert knights[0].hits == 1


def test_an_on_play_hook_that_raises_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with use_registry(Registry()):
        server = net.ServerWorld(lobby=net.Lobby(players=(1, 2)), on_error="skip")

    @server.on_play
    def build(players: list[int]) -> None:
        raise ValueError("no map")

    @server.system(always=True)
    def start(dt: float) -> None:
        net.start_match()

    simulation: Simulation = server.step(joins=["Ann"])
    assert simulation.errors == {build.__qualname__: 1}
    assert simulation.playing
    assert "build raised in tick 1" in caplog.text
