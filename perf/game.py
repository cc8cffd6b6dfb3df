"""The games that are measured, as child processes that run a server."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Annotated, Any, Literal, TypeAlias, cast

import esper

import ecsnet as net
from ecsnet.components import Player, Position
from ecsnet.schema import Schema, current_registry
from perf.children import Meter, Ready

WORLD = 4095.0
CELL = 315.0
SHARE = 10
HURT_SHARE = 50
SPEED = 30.0

Kind: TypeAlias = Literal["plain", "loss", "own", "shared", "declared", "events", "everybody"]
"""A game of ``perf tick``: the `crowd`, the same for clients that lose datagrams, the same with
`Ammo`, the same for clients that run ahead, the same with events and calls that nobody uses, the
same with events, and the `arena`."""

EVENTS_A_SECOND = 100.0
"""The events to everybody in the game with events."""


@net.replicated
class Health:
    """How much something can take."""

    points: int = 100


@net.replicated
class Pressed:
    """The number of a player's last press."""

    number: int = 0


@net.command(hold=True)
class Steer:
    """Where a player goes."""

    dx: Annotated[int, net.Between(-1, 1)] = 0
    dy: Annotated[int, net.Between(-1, 1)] = 0


@net.command
class Press:
    """Asks for an effect that can be seen."""

    number: int = 0


@dataclass
class Heading:
    """Which way something goes; the server's own."""

    dx: float
    dy: float


class Ammo:
    """The shots that a player has left."""

    left: int = 0


def declare_ammo() -> type[Ammo]:
    """Returns `Ammo` as a component that only its player is told of.

    It is declared where it is used, in the server and in its clients: other games would have a
    component more to look for.
    """
    return net.replicated(visible_to="owner")(Ammo)


class Boom:
    """Something that happened somewhere."""

    x: float
    y: float
    by: net.EntityRef = None


class Horn:
    """Something that can be blown."""

    blown: int = 0

    def blow(self, loud: bool) -> None:
        """Blows it; the server does that for a client."""
        self.blown += 1

    def heard(self, loud: bool) -> None:
        """Hears it, on the clients of all who see it."""


def declare_events() -> Callable[[float, float], object]:
    """Returns `Boom` as an event, and declares `Horn` with its methods as calls."""
    for side, method in (("server", Horn.blow), ("all", Horn.heard)):
        setattr(Horn, method.__name__, net.rpc(side)(method))  # type: ignore[arg-type]
    net.replicated(Horn)
    made: Any = net.event(Boom)  # type checkers do not see what that gives the class
    return cast("Callable[[float, float], object]", made)


def schema() -> Schema:
    """Returns what the games declare."""
    return current_registry().schema()


def room_for(clients: int) -> int:
    """Returns a ``max_clients`` that lets so many in from one address."""
    return clients * 8 // 7 + 1


def crowd(
    clients: int,
    entities: int,
    rate: float,
    ammo: type[Ammo] | None = None,
    boom: Callable[[float, float], object] | None = None,
    *,
    shared: bool = False,
) -> net.ServerWorld:
    """Returns a game in which a crowd walks on a plain, of which a tenth moves each tick.

    The players are among the ``entities``. A fifth of those that move also loses health. Each
    player sees about 50 entities; about three of all cross into another cell each tick. With
    ``ammo`` each player has some, other than before in every tick; with ``boom`` everybody is told
    of `EVENTS_A_SECOND`; with ``shared`` the systems that move players are shared.
    """
    dice = random.Random(1)
    interest = net.Grid(Position, CELL)
    # Who moves in which tick, and who gets hurt in which: the game itself should cost little.
    movers: list[list[tuple[Position, Heading]]] = [[] for _ in range(SHARE)]
    hurt_ones: list[list[Health]] = [[] for _ in range(HURT_SHARE)]
    magazines: list[Ammo] = []
    server = net.ServerWorld(tick_rate=rate, max_clients=room_for(clients), interest=interest)

    def place(entity: int) -> None:
        position = Position(dice.uniform(0, WORLD), dice.uniform(0, WORLD))
        health, heading = Health(), Heading(dice.choice((-1, 1)), dice.choice((-1, 1)))
        for component in (position, health, heading):
            esper.add_component(entity, component)
        movers[entity % SHARE].append((position, heading))
        hurt_ones[entity % HURT_SHARE].append(health)

    @server.on_start
    def start() -> None:
        for _ in range(entities - clients):
            place(esper.create_entity())

    @server.on_join
    def join(player: int) -> None:
        place(player)
        if ammo is not None:
            magazine = ammo()
            esper.add_component(player, magazine)
            magazines.append(magazine)

    @server.system(priority=20, shared=shared)
    def steer(_dt: float) -> None:
        for player, command in net.commands(Steer):
            heading = esper.component_for_entity(player, Heading)
            heading.dx, heading.dy = command.dx, command.dy

    @server.system(priority=10, shared=shared)
    def move(dt: float) -> None:
        step = SPEED * dt * SHARE
        for position, heading in movers[net.tick() % SHARE]:
            position.x = (position.x + heading.dx * step) % WORLD
            position.y = (position.y + heading.dy * step) % WORLD

    @server.system(priority=5)
    def hurt(_dt: float) -> None:
        for health in hurt_ones[net.tick() % HURT_SHARE]:
            health.points = (health.points - 1) % 100

    if ammo is not None:

        @server.system(priority=5)
        def shoot(_dt: float) -> None:
            for magazine in magazines:
                magazine.left = (magazine.left - 1) % 100

    if boom is not None:

        @server.system(priority=5)
        def explode(dt: float) -> None:
            due = int(net.tick() * dt * EVENTS_A_SECOND) - int(
                (net.tick() - 1) * dt * EVENTS_A_SECOND
            )
            for _ in range(due):
                net.emit(boom(dice.uniform(0, WORLD), dice.uniform(0, WORLD)))

    return server


def arena(clients: int, rate: float) -> net.ServerWorld:
    """Returns a game in which everybody moves in every tick, and everybody sees it."""
    server = net.ServerWorld(tick_rate=rate, max_clients=room_for(clients))

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Position())
        esper.add_component(player, Pressed())

    @server.system(priority=20)
    def press(_dt: float) -> None:
        for player, command in net.commands(Press):
            esper.component_for_entity(player, Pressed).number = command.number

    @server.system(priority=10)
    def move(dt: float) -> None:
        for player, command in net.commands(Steer):
            position = esper.component_for_entity(player, Position)
            position.x = (position.x + command.dx * 200 * dt) % WORLD
            position.y = (position.y + command.dy * 200 * dt) % WORLD

    return server


def serve_measured(
    connection: Connection,
    port: int,
    kind: Kind,
    clients: int,
    entities: int,
    rate: float,
    warmup: int,
    ticks: int,
) -> None:
    """Child: a game of ``tick``; sends ``Ready``, ``Begun`` and ``Measured``."""
    meter = Meter(connection, rate, warmup, ticks)
    if kind == "everybody":
        server = arena(clients, rate)
    else:
        ammo = declare_ammo() if kind == "own" else None
        boom = declare_events() if kind in ("declared", "events") else None
        boom = boom if kind == "events" else None
        server = crowd(clients, entities, rate, ammo, boom, shared=kind == "shared")

    @server.on_start
    def start() -> None:
        connection.send(Ready())

    @server.system(priority=100)
    def measure(_dt: float) -> None:
        if len(esper.get_component(Player)) == clients:
            meter.tick()

    server.run("127.0.0.1", port)


def serve_arena(connection: Connection, port: int, clients: int, rate: float) -> None:
    """Child: the game of ``response``: the `arena`."""
    server = arena(clients, rate)

    @server.on_start
    def start() -> None:
        connection.send(Ready())

    server.run("127.0.0.1", port)
