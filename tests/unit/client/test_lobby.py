"""`ClientWorld.lobby`, `set_ready` and `set_info`: the lobby on a client."""

from __future__ import annotations

import re
from collections.abc import Callable

import esper
import pytest

import ecsnet as net
from ecsnet.client.lobby import ClientLobby, PlayerInLobby, encode_info, read_lobby
from ecsnet.components import LobbyInfo, LobbyPlayer, LobbyState, Player, Presence
from ecsnet.schema import Registry, encode, use_registry
from ecsnet.testing import FaultyLink, Harness
from ecsnet.transport.conditioner import Link

registry = Registry()


def game(**options: object) -> net.ServerWorld:
    with use_registry(registry):
        return net.ServerWorld(**options)  # type: ignore[arg-type]


def lobby_of(client: net.ClientWorld) -> ClientLobby:
    lobby = client.lobby
    assert lobby is not None
    return lobby


def test_a_game_without_a_lobby_has_none_and_takes_what_is_said() -> None:
    with Harness(game(), registry=registry) as play:
        ann = play.connect("Ann")
        ann.set_ready(True)
        ann.set_info(colour="red")
        play.run(1)
        assert ann.lobby is None
        assert ann.connected


def test_there_is_none_before_and_after_the_game() -> None:
    with Harness(game(lobby=net.Lobby()), registry=registry) as play:
        ann = play.connect("Ann", wait=None)
        assert ann.lobby is None
        play.until(lambda: ann.connected)
        play.run(0.2)
        assert ann.lobby is not None
        ann.close()
        assert ann.lobby is None


def test_there_is_none_for_who_was_thrown_out() -> None:
    server = game(lobby=net.Lobby())

    @server.system(always=True)
    def throw(dt: float) -> None:
        for player, _ in esper.get_component(Player):
            if net.tick() == 60:
                net.kick(player)

    with Harness(server, registry=registry) as play:
        ann = play.connect("Ann")
        play.until(lambda: ann.closed)
        with ann.view:
            assert esper.get_component(LobbyState)  # the view still shows what was last seen
        assert ann.lobby is None


@pytest.mark.parametrize(
    ("phase", "until", "left"),
    [("countdown", 130, 0.5), ("countdown", 100, 0.0), ("countdown", 90, 0.0), ("waiting", 0, 0.0)],
)
def test_it_is_read_from_a_view(phase: str, until: int, left: float) -> None:
    view = net.World()
    with view:
        esper.create_entity(LobbyState(phase, until, 3))  # type: ignore[arg-type]
        late = esper.create_entity(Player(2, "Bob"), LobbyPlayer())
        early = esper.create_entity(Player(1, "Ann"), LobbyPlayer(), Presence("lost", 7))
        esper.create_entity(Player(3, "Eve"))  # in no lobby
    found = read_lobby(view, late, 100, 60.0)
    assert found is not None
    assert (found.phase, found.seconds_left, found.match) == (phase, left, 3)
    assert [(each.entity, each.mine, each.status, each.ping) for each in found.players] == [
        (early, False, "lost", 7),
        (late, True, "ok", 0),
    ]
    view.close()


class Level(int):
    """An int of the game's own."""


def test_values_of_the_games_own_are_what_they_are() -> None:
    assert encode_info({"level": Level(3), "on": True}) == encode({"level": 3, "on": True})


def test_it_says_who_is_there_and_how() -> None:
    server = game(lobby=net.Lobby(players=(2, 2)))
    with Harness(server, registry=registry) as play:
        ann = play.connect("Ann", Link(lag=0.05))
        play.connect("Bob", Link(lag=0.1))
        eve = play.connect("Eve")
        ann.set_ready(True)
        ann.set_info(colour="red", level=3, share=0.5, away=False)
        play.run(2)
        found = lobby_of(eve)
        assert (found.phase, found.seconds_left, found.match) == ("waiting", 0.0, 0)
        red = {"colour": "red", "level": 3, "share": 0.5, "away": False}
        ann_seen, bob_seen, eve_seen = found.players
        with eve.view:
            assert sorted(each.entity for each in found.players) == sorted(
                entity for entity, _ in esper.get_component(LobbyPlayer)
            )
        assert ann_seen == PlayerInLobby(
            ann_seen.entity, "Ann", False, True, True, red, "ok", ann_seen.ping
        )
        assert 100 <= ann_seen.ping <= 160 < 200 <= bob_seen.ping <= 260
        assert (bob_seen.name, bob_seen.mine, bob_seen.ready, bob_seen.info) == (
            "Bob", False, False, {},
        )  # fmt: skip
        assert (eve_seen.name, eve_seen.mine, eve_seen.plays) == ("Eve", True, False)
        assert eve_seen.entity == eve.player
        assert [each.mine for each in lobby_of(ann).players] == [True, False, False]
        play.run(1)
        assert found.players[0] is ann_seen  # read once: it does not change


def test_the_countdown_is_told_in_seconds_on_any_way() -> None:
    server = game(tick_rate=30, update_rate=10, lobby=net.Lobby(players=(1, 1), countdown=3.0))
    with Harness(server, registry=registry) as play:
        ann = play.connect("Ann", Link(lag=0.1, loss=0.2, seed=2))
        ann.set_ready(True)
        play.until(lambda: lobby_of(ann).phase == "countdown")
        left = [lobby_of(ann).seconds_left]
        assert 2.5 <= left[0] <= 3.0
        while lobby_of(ann).phase == "countdown":
            play.step()
            left.append(lobby_of(ann).seconds_left)
        assert left == sorted(left, reverse=True)
        assert left[-2] <= 0.5
        assert left[-1] == 0.0
        assert len(set(left)) > 10
        assert lobby_of(ann).phase == "playing"
        assert lobby_of(ann).match == 1


def test_what_is_said_arrives_at_any_loss_and_in_order() -> None:
    with Harness(game(lobby=net.Lobby(players=(2, 4))), registry=registry) as play:
        ann = play.connect("Ann", Link(lag=0.1, loss=0.5, seed=1), wait=30)
        bob = play.connect("Bob")
        for level in range(30):
            ann.set_info(level=level)
            play.run(0.1)
        ann.set_ready(True)
        play.run(5)
        assert lobby_of(bob).players[0].info == {"level": 29}
        assert lobby_of(bob).players[0].ready
        assert play.settle()


def test_what_is_said_before_connected_comes_with_the_first_tick() -> None:
    with Harness(game(lobby=net.Lobby(players=(2, 4))), registry=registry) as play:
        ann = play.connect("Ann", wait=None)
        ann.set_ready(True)
        ann.set_info(level=1)
        play.run(2)
        (own,) = lobby_of(ann).players
        assert (own.ready, own.info) == (True, {"level": 1})


def test_status_shows_who_is_lost_and_who_has_left() -> None:
    server = game(timeout=30.0, lobby=net.Lobby(players=(2, 4)))
    server.on_leave(lambda player: net.KEEP)
    link = FaultyLink(seed=1)
    with Harness(server, registry=registry) as play:
        ann = play.connect("Ann")
        play.connect("Bob", link)
        eve = play.connect("Eve")
        play.leave(eve)
        link.cut(20, play.clock.now)
        play.run(4)
        found = [(each.name, each.status) for each in lobby_of(ann).players]
        assert found == [("Ann", "ok"), ("Bob", "lost"), ("Eve", "left")]


def test_a_game_may_take_the_presence_away() -> None:
    with Harness(game(lobby=net.Lobby()), registry=registry) as play:
        ann = play.connect("Ann")
        with play.world:
            esper.remove_component(play.simulation.player_entity[1], Presence)
        play.run(1)
        assert [(each.status, each.ping) for each in lobby_of(ann).players] == [("ok", 0)]


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("when", ["at once", "in a stall"])
def test_what_is_said_while_no_ticks_begin_is_said_later(ahead: bool, when: str) -> None:
    """Right after `Connected` no round trip is measured, and in a stall nothing is heard."""
    server = game(lobby=net.Lobby())

    @server.system(shared=True)
    def play_on(dt: float) -> None:
        pass

    link = FaultyLink(lag=0.1, loss=0.1, seed=1)
    with Harness(server, registry=registry) as play:
        eve = play.connect("Eve")
        ann = play.connect("Ann", link, wait=None, smooth=ahead)
        play.until(lambda: ann.connected)
        if when == "in a stall":
            play.run(2)
            link.stall(1, play.clock.now)
            play.run(0.5)
        ann.set_info(team="red")
        ann.set_ready(True)
        play.run(2)
        found = lobby_of(eve).players[1]
        assert (found.info, found.ready) == ({"team": "red"}, True)
        assert ann.prediction is ahead


@pytest.mark.parametrize("info", [b"\xc1", encode([1]), encode({"a": [1]}), encode({"a": None})])
def test_info_that_is_no_map_of_values_reads_as_nothing(info: bytes) -> None:
    with Harness(game(lobby=net.Lobby()), registry=registry) as play:
        ann, eve = play.connect("Ann"), play.connect("Eve")
        ann.set_info(level=1)
        play.run(0.5)
        assert lobby_of(eve).players[0].info == {"level": 1}
        ann.send(LobbyInfo(info))
        play.run(0.5)
        assert lobby_of(eve).players[0].info == {}
        assert eve.connected


VALUE = ": a value is an int of at most 64 bits, a float, a bool or a str"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.set_ready(1), "set_ready(ready=1): give True or False"),
        (lambda c: c.set_ready(None), "set_ready(ready=None): give True or False"),
        (lambda c: c.set_info(a=1, team=None), "set_info(team=None)" + VALUE),
        (lambda c: c.set_info(team=["red"]), "set_info(team=['red'])" + VALUE),
        (lambda c: c.set_info(team=b"red"), "set_info(team=b'red')" + VALUE),
        (lambda c: c.set_info(big=2**64), f"set_info(big={2**64})" + VALUE),
        (lambda c: c.set_info(text="\ud800"), "set_info(text='\\ud800')" + VALUE),
        (
            lambda c: c.set_info(text="x" * 193),
            "set_info() got 201 bytes encoded: at most 200 are told to the others",
        ),
    ],
)
def test_what_cannot_be_said(call: Callable[[net.ClientWorld], None], message: str) -> None:
    with Harness(game(lobby=net.Lobby()), registry=registry) as play:
        ann = play.connect("Ann")
        ann.set_info(text="x" * 192)
        with pytest.raises(net.UsageError, match=f"^{re.escape(message)}$"):
            call(ann)
        play.run(0.5)
        assert lobby_of(ann).players[0].info == {"text": "x" * 192}
