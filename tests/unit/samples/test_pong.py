"""Pong: a lobby, five points, who won, and the lobby again."""

from __future__ import annotations

import random
from collections.abc import Iterator

import esper
import pytest

import ecsnet as net
from ecsnet.components import Position, Velocity
from ecsnet.testing import FaultyLink, Harness, Registry, use_registry

with use_registry(Registry()):
    from ecsnet.samples.pong import bot
    from ecsnet.samples.pong.commands import Serve, Steer
    from ecsnet.samples.pong.components import Ball, Paddle
    from ecsnet.samples.pong.events import Won
    from ecsnet.samples.pong.game import server
    from ecsnet.samples.pong.table import POINTS, WIDTH


@pytest.fixture
def game() -> Iterator[Harness]:
    with Harness(server, seed=1) as made:
        yield made


def phase(client: net.ClientWorld) -> str:
    assert client.lobby is not None
    return client.lobby.phase


def begin(game: Harness, *clients: net.ClientWorld) -> None:
    for client in clients:
        client.set_ready(True)
    game.until(lambda: all(phase(client) == "playing" for client in clients))


def won(game: Harness, client: net.ClientWorld) -> list[object]:
    return [event for event in game.events(client) if isinstance(event, Won)]


def scores(client: net.ClientWorld) -> dict[bool, int]:
    return {paddle.left: paddle.score for _, paddle in client.view.structure(Paddle)}


def balls(client: net.ClientWorld) -> int:
    return len(client.view.structure(Ball))


def shoot(game: Harness, *, left_scores: bool) -> None:
    """Put the ball behind a paddle."""
    with game.world:
        for _, (ball, at, speed) in esper.get_components(Ball, Position, Velocity):
            ball.serve_at, speed.dx, speed.dy = 0, 0.0, 0.0
            at.x = WIDTH + 1 if left_scores else -WIDTH / 2
    game.step(3)


def test_a_match_from_the_lobby_to_the_lobby(game: Harness) -> None:
    ann, bob = game.connect("Ann"), game.connect("Bob")
    assert phase(ann) == "waiting"
    ann.set_ready(True)
    game.run(seconds=4)
    assert (phase(ann), balls(ann)) == ("waiting", 0)
    bob.set_ready(True)
    game.run(seconds=0.5)
    assert (phase(ann), balls(ann)) == ("countdown", 0)
    game.run(seconds=3)
    assert (phase(ann), balls(ann), scores(ann)) == ("playing", 1, {True: 0, False: 0})
    shoot(game, left_scores=False)
    for points in range(1, POINTS):
        shoot(game, left_scores=True)
        assert scores(bob) == {True: points, False: 1}
    assert (phase(bob), won(game, bob)) == ("playing", [])
    shoot(game, left_scores=True)
    assert won(game, ann) == won(game, bob) == [Won("Ann")]
    assert (phase(bob), balls(bob), scores(bob)) == ("waiting", 0, {})
    begin(game, ann, bob)
    assert (balls(ann), scores(ann)) == (1, {True: 0, False: 0})


def test_who_leaves_loses(game: Harness) -> None:
    ann, bob = game.connect("Ann"), game.connect("Bob")
    begin(game, ann, bob)
    game.leave(ann)
    game.run(seconds=0.5)
    assert won(game, bob) == [Won("Bob")]
    assert (phase(bob), balls(bob)) == ("waiting", 0)


def test_who_watches_sees_the_match_and_plays_the_next_one(game: Harness) -> None:
    ann, bob, cleo = (game.connect(name) for name in ("Ann", "Bob", "Cleo"))
    begin(game, ann, bob)
    game.run(seconds=0.1)
    assert (balls(cleo), scores(cleo)) == (1, {True: 0, False: 0})
    for entity in (None, *(paddle for paddle, _ in cleo.view.structure(Paddle))):
        cleo.send(Steer(1), entity)
        cleo.send(Serve(), entity)
    game.run(seconds=0.5)
    assert cleo.stats.commands_rejected >= 4
    with game.world:
        assert all(not speed.dy for _, speed in esper.get_component(Velocity))
    game.leave(ann)
    game.run(seconds=0.5)
    assert won(game, cleo) == [Won("Bob")]
    begin(game, bob, cleo)
    with cleo.view:
        assert len(cleo.mine(Paddle)) == 1


def test_paddles_are_steered_by_their_players(game: Harness) -> None:
    ann, bob = game.connect("Ann"), game.connect("Bob")
    begin(game, ann, bob)
    with ann.view:
        ((paddle, _),) = ann.mine(Paddle)
        ann.send(Steer(1), entity=paddle)
    game.run(seconds=0.2)
    with game.world:
        speeds = {p.left: s.dy for _, (p, s) in esper.get_components(Paddle, Velocity)}
    assert speeds[True] > 0
    assert speeds[False] == 0
    with ann.view:
        ann.send(Serve(), entity=paddle)
    game.run(seconds=0.1)
    with game.world:
        ((_, ball),) = esper.get_component(Ball)
    assert ball.serve_at == 0


def test_a_window_takes_space_and_shows_who_won(
    game: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    from ecsnet.samples.pong import window

    ann = game.connect("Ann")
    shown = window.Window()

    def press_space() -> None:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_SPACE))
        with ann.view:
            window.steer(ann)
            window.steer(ann)  # it was pressed once
        game.run(seconds=0.5)

    def title(*events: object) -> bytes:
        with ann.view:
            shown.draw(ann, list(events))
        picture: bytes = pygame.image.tobytes(shown.screen.subsurface((0, 30, WIDTH, 100)), "RGB")
        return picture

    try:
        before = title()
        assert title(Won("Bob")) != before
        game.run(seconds=3)
        assert title() != before
        game.run(seconds=2)
        assert title() == before
        for ready in (True, False, True):
            press_space()
            assert ann.lobby is not None
            assert [each.ready for each in ann.lobby.players] == [ready]
            game.run(seconds=1)
        bob = game.connect("Bob")
        begin(game, bob)
        press_space()
        with game.world:
            ((_, ball),) = esper.get_component(Ball)
        assert ball.serve_at == 0
    finally:
        pygame.quit()


def test_bots_play_match_after_match_on_a_bad_network(
    game: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot, "random", random.Random(1))
    links = [FaultyLink(lag=0.05, jitter=0.02, loss=0.1, seed=seed) for seed in (1, 2)]
    ann, bob = (game.connect(name, link) for name, link in zip(("Ann", "Bob"), links, strict=True))
    begin(game, ann, bob)
    cleo = game.connect("Cleo")  # she watches
    for _ in range(200 * 60):
        for client in (ann, bob, cleo):
            with client.view:
                bot.play(client)
        game.step()
        lobby = ann.lobby
        if lobby is not None and (lobby.match, lobby.phase) == (3, "playing"):
            break
    assert game.settle()
    assert len(won(game, ann)) == 2
    assert won(game, cleo) == won(game, bob) == won(game, ann)
    assert all(link.stats.dropped > 100 for link in links)
    # Only what was under way when a match ended came too late.
    assert all(client.stats.commands_rejected < 40 for client in (ann, bob, cleo))
