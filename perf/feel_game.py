"""The game of ``perf feel``: ships that players steer, and other things that move.

`play` lets two scripted players play it and returns what they saw. A player is a function of a
seed and of what is on its screen, as people are; it presses keys at any time between two frames.
"""

from __future__ import annotations

import math
import random
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple, TypeAlias

import esper

import ecsnet as net
from ecsnet.components import Owner, Player, Position
from ecsnet.testing import FaultyLink, Harness, Recording, Registry, use_registry

RATE = 60.0
SPEED = 280.0
"""Units a second of a ship: 4.7 in a tick."""
RADIUS = 16.0
"""The distance from its middle at which a shot still hits something."""
WIDTH, HEIGHT = 2000.0, 1200.0
"""Nothing leaves the world: what comes near its edge turns round."""
EDGE = 400.0
BULLET_SPEED = 420.0
BULLET_TICKS = 60
SPREAD = 0.1
LEAP = 300.0
LEAP_TICKS = 240
PUSH = 30.0
PUSH_TICKS = 180
STALL = 5.0
SETTLING = 3.0
"""Seconds after joining in which clients find their pace; they are not measured."""
SHIP = 24.0
"""The side of a ship, where it hits walls."""

LINE, CIRCLE, STOP_AND_GO, JUMPER = 10, 11, 12, 13
"""Numbers of the things that move by themselves. Further ones go along lines, and one in five stops
and goes."""

Stalled: TypeAlias = Literal["client", "link", "server"]

with use_registry(Registry()) as registry:

    @net.replicated(interpolate=True)
    class Coarse:
        """A position in steps of a sixteenth."""

        x: Annotated[float, net.Quantized(1 / 16)] = 0.0
        y: Annotated[float, net.Quantized(1 / 16)] = 0.0

    @net.replicated(once=True)
    class Mover:
        """The number of something to shoot at: a ship has that of its player."""

        number: int = 0

    @net.replicated(once=True)
    class Bullet:
        """A bullet, by its player's number and its own."""

        player: int = 0
        shot: int = 0
        dx: float = 0.0
        dy: float = 0.0
        born: int = 0

    @net.replicated(once=True)
    class Wall:
        """Something that no ship flies through."""

        width: float = 0.0
        height: float = 0.0

    @net.command(hold=True)
    class Steer:
        """The way that a ship goes."""

        dx: Annotated[int, net.Between(-1, 1)] = 0
        dy: Annotated[int, net.Between(-1, 1)] = 0

    @net.command
    class Fire:
        """A bullet, from the ship."""

        shot: int = 0
        dx: Annotated[int, net.Between(-1, 1)] = 0
        dy: Annotated[int, net.Between(-1, 1)] = 0

    @net.command
    class Zap:
        """A shot that hits at once what is under the crosshair."""

        shot: int = 0
        x: float = 0.0
        y: float = 0.0


class Course:
    """The way of something that moves by itself; the server's own."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.dx = 1.0

    def step(self, entity: int, at: Position | Coarse, tick: int, dt: float) -> None:
        """Go on by a tick."""
        if self.number == JUMPER and tick % LEAP_TICKS == 0:
            at.x += math.copysign(LEAP, WIDTH / 2 - at.x)
            net.teleported(entity)
            return
        if self.number == CIRCLE:
            at.x = 1000 + 150 * math.cos(2 * tick * dt)
            at.y = 600 + 150 * math.sin(2 * tick * dt)
            return
        stops = self.number % 5 == STOP_AND_GO % 5
        if stops and (tick + 37 * self.number) % 102 >= 60:
            return
        if not 100 < at.x + self.dx < WIDTH - 100:
            self.dx = -self.dx
        at.x += self.dx * (200 if stops else 120) * dt


class Verdict(NamedTuple):
    """The server's answer to a `Zap`."""

    tick: int
    hit: frozenset[int]
    """Numbers of what it hit."""


class SeenShot(NamedTuple):
    """A `Zap` as its player saw it."""

    shot: int
    shown: float
    """The tick that the others were drawn at."""
    hit: frozenset[int]
    """Numbers of what was under the crosshair."""
    margin: float
    """The distance from the nearest edge of anything."""


@dataclass(frozen=True)
class Setup:
    """The game that is played, and the network that it is played over.

    Attributes:
        fps: Frames a second of the clients.
        lag: Seconds each way.
        jitter: Seconds by which that varies, up and down.
        loss: Share of datagrams lost each way.
        smooth: Whether ships run ahead, others are drawn between two values, and shots are for
            what was drawn.
        update_rate: Updates a second; one with each tick when None.
        walls: Whether there are sixteen walls.
        quantised: Whether positions cross the wire in sixteenths.
        push: Whether the server moves ships now and then.
        movers: How many things move by themselves.
        stall: What stands still for `STALL` seconds.
    """

    fps: float = 60.0
    lag: float = 0.075
    jitter: float = 0.015
    loss: float = 0.05
    smooth: bool = True
    update_rate: float | None = None
    walls: bool = False
    quantised: bool = False
    push: bool = False
    movers: int = 4
    stall: Stalled | None = None

    @property
    def place(self) -> type[Position] | type[Coarse]:
        """The component that says where something is."""
        return Coarse if self.quantised else Position


@dataclass
class Played:
    """The outcome of a game.

    Attributes:
        setup: What was played.
        recording: What the clients drew, and what the server had.
        pilots: The players.
        verdicts: The server's answers, by the numbers of player and shot.
        resumed_at: When the stall was over, in seconds.
        seconds: How long it was measured.
    """

    setup: Setup
    recording: Recording
    pilots: list[Pilot] = field(default_factory=list)
    verdicts: dict[tuple[int, int], Verdict] = field(default_factory=dict)
    resumed_at: float = math.inf
    seconds: float = 0.0


def play(setup: Setup, seed: int, seconds: float) -> Played:
    """Let two players play for so many seconds, after they have found their pace."""
    verdicts: dict[tuple[int, int], Verdict] = {}
    with Harness(make_game(setup, verdicts), seed=seed, registry=registry) as game:
        dice = random.Random(seed)
        pilots = [_join(game, setup, f"pilot {index}", dice) for index in range(2)]
        game.run(SETTLING)
        recording = game.record(setup.place, Mover, Bullet, Player)
        played = Played(setup, recording, pilots, verdicts, seconds=seconds)
        for pilot in pilots:
            pilot.begin(recording)
        if setup.stall is None:
            game.run(seconds)
        else:
            game.run(seconds / 2)
            _stall(game, setup.stall, pilots[0])
            played.resumed_at = game.clock.now
            game.run(seconds / 2)
        for pilot in pilots:
            pilot.finish()
    return played


def _join(game: Harness, setup: Setup, name: str, dice: random.Random) -> Pilot:
    link = FaultyLink(setup.lag, setup.jitter, setup.loss, seed=dice.randrange(1 << 30))
    # Where there is no network, the frames are those of the host, right after ticks.
    phase = dice.random() / setup.fps if setup.lag else 1e-4
    client = game.connect(name, link, fps=setup.fps, phase=phase, smooth=setup.smooth)
    return Pilot(game, client, setup, dice.randrange(1 << 30))


def _stall(game: Harness, what: Stalled, pilot: Pilot) -> None:
    if what == "server":
        game.stall(STALL)
        return
    if what == "client":
        game.stall(STALL, pilot.client)
    else:
        link = game.seats[pilot.client].link
        assert isinstance(link, FaultyLink)
        link.stall(STALL, game.clock.now)
    game.run(STALL)


class Pilot:
    """A player with dice for fingers.

    Attributes:
        client: Its client.
        recording: Where its frames are noted; None before that begins.
        starts: Frames in whose poll a ship that stood still was told to go, by their index.
        fires: Frames in whose poll a bullet was fired, with the number of it.
        shots: What was under the crosshair.
        number: Of its player.
        net: The network id of its ship.
        restores: How often what ran ahead had to be put right, while it was measured.
        replayed: Ticks that were simulated once more for that.
    """

    def __init__(self, game: Harness, client: net.ClientWorld, setup: Setup, seed: int) -> None:
        self.client = client
        self.recording: Recording | None = None
        self.starts: list[int] = []
        self.fires: list[tuple[int, int]] = []
        self.shots: list[SeenShot] = []
        self.number = 0
        self.net = 0
        self.restores = self.replayed = 0
        self._game = game
        self._place = setup.place
        self._dice = random.Random(seed)
        self._flying = False
        self._stick = (0, 0)
        self._shot = 0
        self._turn_at = self._fire_at = self._zap_at = game.clock.now
        game.seats[client].before_poll = self.act

    def begin(self, recording: Recording) -> None:
        """Note from now on what is pressed in which frame of a recording."""
        self.recording = recording
        stats = self.client.stats
        self.restores, self.replayed = -stats.corrections, -stats.replayed_ticks

    def finish(self) -> None:
        """Note who it was, and what its client counted."""
        stats = self.client.stats
        self.restores += stats.corrections
        self.replayed += stats.replayed_ticks
        player = self.client.player
        assert player is not None
        self.number = self.client.view.components(player)[Player].id  # type: ignore[attr-defined]
        self.net = self.client._view.remote[player]

    def act(self) -> None:
        """Press and release keys, before a poll."""
        client, now, dice = self.client, self._game.clock.now, self._dice
        if client.player is None:
            return
        recording = self.recording
        frame = -1 if recording is None else len(recording.frames.get(client, ()))
        if now >= self._turn_at:
            self._turn(frame)
            self._turn_at = now + dice.uniform(0.5, 0.9)
        if now >= self._fire_at:
            self._fire_at = now + dice.uniform(0.7, 1.3)
            self._shot += 1
            client.send(Fire(self._shot, *self._way()))
            if frame >= 0:
                self.fires.append((frame, self._shot))
        if now >= self._zap_at:
            self._zap_at = now + dice.uniform(0.2, 0.5)
            self._zap(frame)

    def _turn(self, frame: int) -> None:
        dice = self._dice
        if self._flying and dice.random() < 0.7:
            self._flying = False
            self._stick = (0, 0)
        else:
            if not self._flying and frame >= 0:
                self.starts.append(frame)
            self._flying = True
            self._stick = self._way()
        self.client.send(Steer(*self._stick))

    def _way(self) -> tuple[int, int]:
        """Choose one of the eight ways, near an edge one that leads away from it."""
        player = self.client.player
        assert player is not None
        at = self.client.view.components(player)[self._place]
        assert isinstance(at, Position | Coarse)
        ways = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
        dx, dy = self._dice.choice(ways)
        return _inwards(at.x, dx, WIDTH), _inwards(at.y, dy, HEIGHT)

    def _zap(self, frame: int) -> None:
        """Aim at the edge of something, a little inside of it or a little outside."""
        client, dice = self.client, self._dice
        with client.view:
            others = [
                (mover.number, at)
                for entity, (mover, at) in esper.get_components(Mover, self._place)
                if entity != client.player
            ]
        if not others:
            return
        _, target = dice.choice(others)
        angle, distance = dice.uniform(0, 2 * math.pi), dice.uniform(0, 2 * RADIUS)
        x = target.x + distance * math.cos(angle)
        y = target.y + distance * math.sin(angle)
        self._shot += 1
        client.send(Zap(self._shot, x, y))
        if frame <= 0:
            return
        assert self.recording is not None
        shown = self.recording.frames[client][-1].shown
        distances = {number: math.hypot(at.x - x, at.y - y) for number, at in others}
        hit = frozenset(number for number, each in distances.items() if each < RADIUS)
        margin = min(abs(each - RADIUS) for each in distances.values())
        self.shots.append(SeenShot(self._shot, shown, hit, margin))


def make_game(setup: Setup, verdicts: dict[tuple[int, int], Verdict]) -> net.ServerWorld:
    """Return the game.

    Args:
        setup: What is in it.
        verdicts: Where it notes what shots hit.
    """
    place = setup.place
    with use_registry(registry):
        server = net.ServerWorld(RATE, seed=1, update_rate=setup.update_rate)

    @server.on_start
    def start() -> None:
        for number in range(LINE, LINE + setup.movers):
            x, y = 200 + 73 * number % 1600, 100 + 37 * number % 1000
            esper.create_entity(place(x, y), Mover(number), Course(number))
        if setup.walls:
            for index in range(16):
                at = place(150 + 450 * (index % 4), 100 + 280 * (index // 4))
                esper.create_entity(at, Wall(120, 60))

    @server.on_join
    def join(player: int) -> None:
        number = esper.component_for_entity(player, Player).id
        esper.add_component(player, place(600 + 100 * number, 550))
        esper.add_component(player, Mover(number))

    @server.system(priority=30, shared=setup.smooth)
    def steer(dt: float) -> None:
        walls = [
            (at.x - SHIP / 2, at.y - SHIP / 2, at.x + wall.width, at.y + wall.height)
            for _, (at, wall) in esper.get_components(place, Wall)
        ]
        for ship, stick in net.commands(Steer, place):
            at = esper.component_for_entity(ship, place)
            x, y = at.x + stick.dx * SPEED * dt, at.y + stick.dy * SPEED * dt
            if not _blocked(walls, x, at.y):
                at.x = x
            if not _blocked(walls, at.x, y):
                at.y = y

    @server.system(priority=20, shared=setup.smooth)
    def fire(_dt: float) -> None:
        for ship, order in net.commands(Fire, place):
            at = esper.component_for_entity(ship, place)
            number = esper.component_for_entity(ship, Player).id
            spread = net.rng(ship).uniform(-SPREAD, SPREAD)
            dx, dy = order.dx - order.dy * spread, order.dy + order.dx * spread
            bullet = Bullet(number, order.shot, dx, dy, net.tick())
            esper.create_entity(bullet, place(at.x, at.y), Owner(ship))

    @server.system(priority=10, shared=setup.smooth)
    def fly(dt: float) -> None:
        for entity, (bullet, at) in esper.get_components(Bullet, place):
            if net.tick() - bullet.born >= BULLET_TICKS:
                esper.delete_entity(entity)
            at.x += bullet.dx * BULLET_SPEED * dt
            at.y += bullet.dy * BULLET_SPEED * dt

    @server.system(priority=10)
    def wander(dt: float) -> None:
        for entity, (at, course) in esper.get_components(place, Course):
            course.step(entity, at, net.tick(), dt)

    if setup.push:

        @server.system(priority=5)
        def push(_dt: float) -> None:
            if net.tick() % PUSH_TICKS == 0:
                for _, (at, _player) in esper.get_components(place, Player):
                    at.x += PUSH

    @server.system(priority=0)
    def zap(_dt: float) -> None:
        for ship, shot in net.commands(Zap, place):
            number = esper.component_for_entity(ship, Player).id
            with net.rewind(ship) if setup.smooth else nullcontext():
                hit = frozenset(
                    mover.number
                    for other, (mover, at) in esper.get_components(Mover, place)
                    if other != ship and math.hypot(at.x - shot.x, at.y - shot.y) < RADIUS
                )
            verdicts[number, shot.shot] = Verdict(net.tick(), hit)

    return server


def _inwards(at: float, way: int, size: float) -> int:
    """Return a way along one axis, turned round near an edge."""
    return 1 if at < EDGE else -1 if at > size - EDGE else way


def _blocked(walls: list[tuple[float, float, float, float]], x: float, y: float) -> bool:
    half = SHIP / 2
    return any(
        left - half < x < right + half and top - half < y < bottom + half
        for left, top, right, bottom in walls
    )
