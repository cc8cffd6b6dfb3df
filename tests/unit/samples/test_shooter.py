"""The shooter: ships, walls, bullets, beams, and what each of the three words does in it."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator

import esper
import pytest

import ecsnet as net
from ecsnet.components import Player, Position, Velocity
from ecsnet.testing import FaultyLink, Harness, Registry, use_registry

with use_registry(Registry()):
    from ecsnet.samples.shooter import bot
    from ecsnet.samples.shooter.aim import ahead, trace
    from ecsnet.samples.shooter.commands import Steer, Zap
    from ecsnet.samples.shooter.components import Beam, Bullet, Heading, Score
    from ecsnet.samples.shooter.events import Boom
    from ecsnet.samples.shooter.field import ARMOUR, BEAM, SHIP, STARTS, WALLS
    from ecsnet.samples.shooter.game import server

LEFT, TOP, WALL_WIDTH, WALL_HEIGHT = WALLS[0]


@pytest.fixture
def game() -> Iterator[Harness]:
    with Harness(server, seed=1) as made:
        yield made


def put(game: Harness, name: str, x: float, y: float, angle: float = 0.0) -> Position:
    """Put somebody's ship somewhere, at rest, and give everybody the time to see it there."""
    with game.world:
        for ship, (player, at, speed) in esper.get_components(Player, Position, Velocity):
            if player.name == name:
                at.x, at.y, speed.dx, speed.dy = x, y, 0.0, 0.0
                esper.component_for_entity(ship, Heading).angle = angle
                break
    game.run(seconds=1)
    return at


def scores(game: Harness) -> dict[str, Score]:
    with game.world:
        return {player.name: score for _, (player, score) in esper.get_components(Player, Score)}


def seen(client: net.ClientWorld, kind: type[esper.Processor]) -> int:
    return len(client.view.structure(kind))


def test_ships_fly_on_and_stop_at_walls(game: Harness) -> None:
    ann = game.connect("Ann")
    at = put(game, "Ann", LEFT - 100, TOP + 50)
    ann.send(Steer(thrust=1))
    game.run(seconds=0.4)
    assert LEFT - 80 < at.x < LEFT - 30
    ann.send(Steer())
    game.run(seconds=0.1)
    before = at.x
    game.run(seconds=0.1)
    assert at.x > before + 1  # it does not stop at once
    ann.send(Steer(thrust=1))
    game.run(seconds=2)
    assert at.x == pytest.approx(LEFT - SHIP)
    ann.send(Steer(thrust=-1))
    game.run(seconds=3)
    assert at.x == SHIP  # the edge of the field
    ann.send(Steer(turn=1))
    game.run(seconds=0.5)
    ((_, heading),) = ann.mine(Heading)
    assert 70 < heading.angle < 100


@pytest.mark.parametrize(
    ("x", "angle"), [(SHIP, 180), (LEFT - SHIP, 0)], ids=["the edge", "a wall"]
)
def test_ships_that_fly_against_something_leave_it_at_once(
    game: Harness, x: float, angle: float
) -> None:
    ann = game.connect("Ann")
    at = put(game, "Ann", x, TOP + 50, angle)
    ann.send(Steer(thrust=1))
    game.run(seconds=1)
    assert at.x == pytest.approx(x)
    ann.send(Steer(thrust=-1))
    game.until(lambda: abs(at.x - x) > 0.1, seconds=0.05)


def test_bullets_strike_ships_and_end_at_walls(game: Harness) -> None:
    ann, bob = game.connect("Ann"), game.connect("Bob")
    put(game, "Bob", LEFT + 100, TOP + 50)  # behind the wall
    at = put(game, "Ann", LEFT - 100, TOP + 50)
    ann.send(Steer(fire=True))
    farthest = 0.0
    for _ in range(120):
        game.step()
        with bob.view:
            bullets = esper.get_components(Bullet, Position)
            farthest = max([farthest, *(place.x for _, (_, place) in bullets)])
    assert LEFT - 10 < farthest < LEFT + 1
    assert scores(game)["Bob"].armour == ARMOUR
    put(game, "Bob", at.x, at.y + 60)
    put(game, "Ann", at.x, at.y, angle=90)
    game.run(seconds=1)
    assert scores(game)["Ann"].points > 0
    ann.send(Steer())
    game.run(seconds=2)
    assert not bob.view.structure(Bullet)


def test_beams_strike_at_once_and_two_of_them_end_a_ship(game: Harness) -> None:
    ann, bob = game.connect("Ann"), game.connect("Bob")
    put(game, "Bob", 300, 240)
    put(game, "Ann", 60, 240)
    ann.send(Zap())
    ann.send(Zap())  # it is not loaded
    game.run(seconds=0.1)
    ((_, beam),) = bob.view.structure(Beam)
    assert (beam.to_x, beam.to_y) == (pytest.approx(300 - SHIP), 240)
    assert beam.victim == bob.player
    assert (scores(game)["Ann"].hits, scores(game)["Bob"].armour) == (1, ARMOUR - 2)
    game.run(seconds=1)
    assert not bob.view.structure(Beam)
    assert Boom(300, 240) not in game.events(ann)
    ann.send(Zap())
    game.run(seconds=0.5)
    ours, theirs = scores(game)["Ann"], scores(game)["Bob"]
    assert (ours.beams, ours.hits, ours.points, theirs.armour) == (2, 2, 1, ARMOUR)
    for client in (ann, bob):
        assert game.events(client).count(Boom(300, 240)) == 1
    with bob.view:
        at = esper.component_for_entity(bob.player or 0, Position)
    assert (at.x, at.y) in STARTS


def test_beams_end_at_walls(game: Harness) -> None:
    ann, _ = game.connect("Ann"), game.connect("Bob")
    for x, y, angle, to in (
        (LEFT - 100, TOP + 50, 0, (LEFT, TOP + 50)),
        (LEFT + WALL_WIDTH + 80, TOP + 50, 180, (LEFT + WALL_WIDTH, TOP + 50)),
        (LEFT + 10, TOP - 60, 90, (LEFT + 10, TOP)),
    ):
        put(game, "Bob", LEFT + WALL_WIDTH + 30 if angle == 0 else LEFT - 30, TOP + 50)
        put(game, "Ann", x, y, angle)
        ann.send(Zap())
        game.run(seconds=0.1)
        ((_, beam),) = ann.view.structure(Beam)
        assert (beam.to_x, beam.to_y, beam.victim) == (*map(pytest.approx, to), None)


@pytest.mark.parametrize("rewind", [True, False])
def test_a_beam_hits_what_its_shooter_sees(game: Harness, rewind: bool) -> None:
    ann = game.connect("Ann", FaultyLink(lag=0.075, seed=1), smooth=True)
    bob = game.connect("Bob")
    put(game, "Ann", 60, 240)
    put(game, "Bob", 560, 440, angle=270)
    bob.send(Steer(thrust=1))  # up, across her way
    ann.send(Steer(rewind=rewind))
    game.run(seconds=0.5)
    shot = False
    for _ in range(120):
        with ann.view:
            ((ship, at),) = ann.mine(Position)
            if not shot and trace(ship, at, 0.0, BEAM)[1] is not None:
                ann.send(Zap())
                shot = True
        game.step()
    assert shot
    score = scores(game)["Ann"]
    assert (score.beams, score.hits) == (1, int(rewind))


def test_a_window_turns_the_switches(game: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    from ecsnet.samples.shooter.window import Window

    ann = game.connect("Ann", smooth=True)
    game.connect("Bob")
    window = Window()

    def picture() -> bytes:
        with ann.view:
            window.draw(ann, [])
        made: bytes = pygame.image.tobytes(window.screen, "RGB")
        return made

    def press(key: int) -> None:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
        with ann.view:
            window.steer(ann)
        game.run(seconds=0.1)

    def states() -> tuple[bool, bool, bool, bool]:
        return ann.interpolation, ann.prediction, window.rewind, ann.link is None

    try:
        assert states() == (True, True, True, True)
        pictures = [picture()]
        for key in (pygame.K_1, pygame.K_2, pygame.K_3, pygame.K_4):
            press(key)
            pictures.append(picture())
        assert states() == (False, False, False, False)
        assert len(set(pictures)) == 5
        press(pygame.K_3)
        assert states() == (False, False, True, False)
        press(pygame.K_x)
        game.run(seconds=0.5)
        assert scores(game)["Ann"].beams == 1
    finally:
        pygame.quit()


def test_bots_see_what_the_server_says_on_a_bad_network(
    game: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot, "random", random.Random(1))
    links = [FaultyLink(lag=0.075, jitter=0.015, loss=0.05, seed=seed) for seed in range(3)]
    names = ("Ann", "Bob", "Cleo")
    clients = [
        game.connect(name, link, smooth=True) for name, link in zip(names, links, strict=True)
    ]
    for _ in range(60 * 60):
        for client in clients:
            with client.view:
                bot.play(client)
        game.step()
    assert game.settle()
    told = scores(game).values()
    assert sum(score.beams for score in told) > 60
    assert sum(score.hits for score in told) > 10
    assert sum(score.points for score in told) > 10
    figures: Counter[str] = Counter()
    for client in clients:
        figures.update(bot.figures(client))
    assert figures["beams"] > 60
    assert figures["verdicts"] >= 0.99 * figures["beams"]
    assert figures["near_edge"] < 0.2 * figures["beams"]
    assert figures["moved"] < 0.1 * figures["beams"]


def test_bots_shoot_with_the_heading_that_they_see(
    game: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two frames may fall into one tick, whose heading is that of the later one."""
    saw: list[float] = []
    beams: dict[int, Beam] = {}

    def play() -> None:
        with ann.view:
            bot.play(ann)

    def zap() -> Zap:
        ((_, heading),) = ann.mine(Heading)
        saw.append(heading.angle)
        return Zap()

    monkeypatch.setattr(bot, "random", random.Random(1))
    monkeypatch.setattr(bot, "Zap", zap)
    ann, bob = game.connect("Ann", smooth=True, fps=67), game.connect("Bob")
    game.seats[ann].before_poll = play
    bob.send(Steer(turn=1, thrust=1))
    for _ in range(60 * 60):
        game.step()
        with game.world:
            beams.update(esper.get_component(Beam))
    assert len(beams) > 20
    for angle, beam in zip(saw, beams.values(), strict=False):  # the last may be on its way
        dx, dy = beam.to_x - beam.x, beam.to_y - beam.y
        x, y = ahead(angle, math.hypot(dx, dy))
        assert (dx, dy) == pytest.approx((x, y), abs=0.01)


@pytest.mark.parametrize("moved", [False, True])
def test_bots_count_no_beams_of_ships_that_were_gone_by_then(game: Harness, moved: bool) -> None:
    ann = game.connect("Ann", FaultyLink(lag=0.075, seed=1), smooth=True)
    put(game, "Ann", 60, 240)

    def play() -> bot.Pilot:
        with ann.view:
            bot.play(ann)
            ((_, (_, pilot)),) = ann.mine(Score, bot.Pilot)
        game.step()
        return pilot

    assert any(play().saw is not None for _ in range(2 * bot.PLAN))
    if moved:
        with game.world:
            ((_, score),) = esper.get_component(Score)
            score.armour = 0  # before the server hears of the beam
    for _ in range(60):
        pilot = play()
    assert (pilot.shots, pilot.right, pilot.moved) == ((0, 0, 1) if moved else (1, 1, 0))


def test_bots_wait_for_a_verdict_before_the_next_beam(
    game: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = game.connect("Ann")
    at = put(game, "Ann", 60, 240)
    shot: list[Zap] = []
    after_plans: list[int] = []

    def zap() -> Zap:
        shot.append(Zap())
        return shot[-1]

    monkeypatch.setattr(bot, "Zap", zap)
    pilot = bot.Pilot()
    pilot.frame = 0
    with ann.view:
        for _ in range(4):
            for _ in range(bot.PLAN):
                pilot.fly(ann, ann.player or 0, at)
            after_plans.append(len(shot))
    assert after_plans == [1, 1, 2, 2]


@pytest.mark.parametrize(("speed", "tells"), [(0.0, True), (150.0, False)])
def test_bots_do_not_tell_what_a_ship_would_hit_that_flies_on(
    game: Harness, speed: float, tells: bool
) -> None:
    for name in ("Ann", "Bob"):
        game.connect(name)
    put(game, "Bob", 300, 240 + SHIP + 4)
    put(game, "Ann", 60, 240)
    with game.world:
        ship, (_, at, own) = esper.get_components(Player, Position, Velocity)[0]
        own.dy = speed
        assert bot.Pilot().sees_hit(ship, at) is (False if tells else None)
