"""A lobby on a host: who is refused, who is lost, and worlds that stay equal at any loss."""

from __future__ import annotations

import random

import esper
import pytest

import ecsnet as net
from ecsnet.components import LobbyPlayer, LobbyReady, LobbyState, Player
from ecsnet.schema import Registry, use_registry
from ecsnet.testing import FaultyLink, Harness
from ecsnet.transport.conditioner import Link

with use_registry(Registry()) as registry:

    @net.replicated
    class Coin:
        worth: int = 0


def game(**lobby: object) -> net.ServerWorld:
    with use_registry(registry):
        server = net.ServerWorld(
            timeout=30.0,
            lobby=net.Lobby(**lobby),  # type: ignore[arg-type]
        )

    @server.on_play
    def build(players: list[int]) -> None:
        for player in players:
            esper.create_entity(Coin(player))

    @server.system
    def work(dt: float) -> None:
        for _, coin in esper.get_component(Coin):
            coin.worth += 1

    return server


def phase(play: Harness) -> str:
    with play.world:
        ((_, state),) = esper.get_component(LobbyState)
        return state.phase


def flags(client: net.ClientWorld) -> dict[str, tuple[bool, bool]]:
    """Who is ready, and who plays, as a client sees it."""
    with client.view:
        found = esper.get_components(Player, LobbyPlayer)
        return {who.name: (each.ready, each.plays) for _, (who, each) in found}


def refused(play: Harness, name: str) -> str:
    client = play.connect(name, wait=None)
    play.until(lambda: client.closed)
    event = play.events(client)[-1]
    assert isinstance(event, net.Refused)
    assert event.reason == "declined"
    return event.message


def test_who_comes_too_late_is_refused_with_a_text() -> None:
    with Harness(game(players=(1, 2), countdown=0, late="refuse"), registry=registry) as play:
        ann, bob = play.connect("Ann"), play.connect("Bob")
        assert refused(play, "Eve") == "all places are taken"
        play.leave(bob)
        play.run(0.5)
        bob = play.connect("Bob")
        ann.send(LobbyReady())
        bob.send(LobbyReady())
        play.run(0.5)
        assert phase(play) == "playing"
        play.leave(bob)
        play.run(0.5)
        assert refused(play, "Eve") == "the match has begun"


def test_the_last_place_is_taken_once_by_those_who_ask_at_the_same_time() -> None:
    with Harness(game(players=(1, 3), late="refuse"), registry=registry) as play:
        clients = [play.connect(f"player{n}", wait=None) for n in range(8)]
        play.run(2)
        assert sum(client.connected for client in clients) == 3
        assert len(play.simulation.player_entity) == 3


def test_the_game_is_asked_too() -> None:
    server = game(players=(1, 1), late="refuse")
    asked: list[str] = []

    @server.on_request
    def judge(request: net.JoinRequest) -> str | None:
        asked.append(request.name)
        return "not you" if request.name == "Eve" else None

    with Harness(server, registry=registry) as play:
        assert refused(play, "Eve") == "not you"
        play.connect("Ann")
        assert refused(play, "Bob") == "all places are taken"
        assert asked == ["Eve", "Ann"]


def test_who_falls_silent_in_the_countdown_holds_up_the_match() -> None:
    link = FaultyLink(lag=0.02, seed=1)
    with Harness(game(players=(2, 2), countdown=3.0), registry=registry) as play:
        ann, bob = play.connect("Ann"), play.connect("Bob", link)
        link.cut(8, play.clock.now)
        ann.send(LobbyReady())
        bob.send(LobbyReady())
        play.run(4)
        assert phase(play) == "waiting"
        play.run(5)  # what was said in the silence comes, and counts
        assert flags(ann) == {"Ann": (True, True), "Bob": (True, True)}
        assert phase(play) == "countdown"
        link.cut(2.9, play.clock.now)
        play.run(2.5)
        assert phase(play) == "waiting"
        play.run(6)
        assert (phase(play), flags(ann)["Bob"]) == ("waiting", (False, True))


@pytest.mark.parametrize("seed", range(4))
def test_lobbies_and_matches_at_loss(seed: int) -> None:
    dice = random.Random(seed)
    server = game(players=(2, 3), countdown=0.5, late=("watch", "play")[seed % 2])
    began: list[int] = []
    server.on_play(lambda players: began.append(net.tick()))

    @server.system
    def end(dt: float) -> None:
        if net.rng().random() < 0.01:
            net.end_match()

    with Harness(server, seed=seed, registry=registry) as play:
        clients = [
            play.connect(f"player{n}", Link(lag=0.05, jitter=0.03, loss=0.3, seed=n), wait=30)
            for n in range(5)
        ]
        for _ in range(60):
            for client in clients:
                client.send(LobbyReady(dice.random() < 0.9))
            play.run(0.5)
        assert len(began) > 3
        assert play.settle()
        seen = [flags(client) for client in clients]
        assert seen[0]
        assert seen.count(seen[0]) == 5
        assert sum(plays for _, plays in seen[0].values()) == 3
