"""The pictures of the guide's chapter on how a game feels: ``python -m perf.pictures docs/images``.

One game is played twice on the same bad network, without and with the three words. All of it runs
on a virtual clock, so the pictures are always the same.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import esper
import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot

import ecsnet as net
from ecsnet.components import Position
from ecsnet.testing import FaultyLink, Harness

FIRST, SECONDS = 3.0, 2.0  # the estimates of the network have settled by then
KEYS = ((0.4, 1.0, 1), (1.3, 1.7, -1))  # seconds in which a key is down, and its way
SPEED = 200.0
INK, GRID, KEY = "#3a4252", "#d6dae2", "#f2e2c4"
WITHOUT, WITH = "#d1495b", "#1b6ca8"


@net.command(hold=True)
class Steer:
    dx: Annotated[int, net.Between(-1, 1)] = 0


@net.replicated
class Robot:
    pass


server = net.ServerWorld(tick_rate=60)


@server.on_start
def start() -> None:
    esper.create_entity(Robot(), Position())


@server.on_join
def join(player: int) -> None:
    esper.add_component(player, Position())


@server.system(priority=10, shared=True)
def steer(dt: float) -> None:
    for ship, stick in net.commands(Steer, Position):
        esper.component_for_entity(ship, Position).x += stick.dx * SPEED * dt


@server.system
def swing(dt: float) -> None:
    for _, (_, at) in esper.get_components(Robot, Position):
        at.x = 60 * math.sin(net.tick() * dt * 4)


Way = list[tuple[float, float]]


def play(*, smooth: bool) -> tuple[Way, Way]:
    """Return where the ship and the robot were drawn, by seconds."""
    own: Way = []
    other: Way = []
    with Harness(server, seed=11) as game:
        link = FaultyLink(lag=0.075, jitter=0.015, loss=0.05, seed=11)
        client = game.connect("Ann", link, fps=60, phase=0.004, smooth=smooth)

        def press() -> None:
            seconds = game.clock.now - begun
            ways = [way for first, last, way in KEYS if first <= seconds < last]
            client.send(Steer(ways[0] if ways else 0))

        begun = game.clock.now + FIRST
        game.seats[client].before_poll = press
        recording = game.record(Position)
        game.run(seconds=FIRST + SECONDS)
        ((robot, _),) = client.view.structure(Robot)
        for frame in recording.frames[client]:
            if frame.player is not None and frame.at >= begun:
                places = frame.values[Position]
                own.append((frame.at - begun, places[frame.player][0]))
                other.append((frame.at - begun, places[robot][0]))
    return own, other


def draw(path: Path, ways: dict[str, Way], title: str, *, keys: bool) -> None:
    """Draw two ways over time, a dot for each frame."""
    figure, axes = pyplot.subplots(figsize=(8.4, 3.2), dpi=100, layout="constrained")
    if keys:
        for first, last, _ in KEYS:
            axes.axvspan(first, last, color=KEY, label="a key is down" if first < 1 else None)
    for (name, way), colour in zip(ways.items(), (WITHOUT, WITH), strict=True):
        axes.plot(*zip(*way, strict=True), ".-", color=colour, label=name, ms=3.5, lw=0.8)
    axes.set_title(title, color=INK, fontsize=10)
    axes.set_xlabel("seconds", color=INK)
    axes.set_ylabel("x, in pixels", color=INK)
    axes.tick_params(colors=INK)
    axes.grid(color=GRID)
    axes.legend(loc="best", fontsize=9)
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)


def main(folder: Path) -> None:
    (own, other), (own_smooth, other_smooth) = play(smooth=False), play(smooth=True)
    network = "75 ± 15 ms each way, 5 % lost"
    draw(
        folder / "feel-own.png",
        {"without": own, "with shared=True": own_smooth},
        f"My own ship, frame by frame ({network})",
        keys=True,
    )
    draw(
        folder / "feel-others.png",
        {"without": other, "with interpolate=True": other_smooth},
        f"Somebody else, frame by frame ({network})",
        keys=False,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
