"""Each step of ``docs/pong.md`` is a game that two people can play.

A comment above a block says which file it is, or is added to at the end; a step goes on with the
files of the one before.
"""

from __future__ import annotations

import itertools
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import esper
import pytest

import ecsnet as net
from ecsnet.components import Collider, Position
from ecsnet.schema import Registry, use_registry
from tests.docs.test_docs import Chapter, Screen, _importable, chapters, screen, world

pygame = pytest.importorskip("pygame")

__all__ = ["screen", "world"]  # fixtures

STEPS = [chapter for chapter in chapters("docs/pong.md") if chapter.title.startswith("Step ")]


def write(steps: list[Chapter], folder: Path) -> None:
    """Do what a reader does up to a step."""
    for step in steps:
        for block in step.blocks:
            if block.language == "python":
                way, name = block.hint
                with (folder / name).open({"file": "w", "add": "a"}[way], encoding="utf-8") as out:
                    out.write(block.code)


@dataclass
class Seen:
    """What the second player's world was in one frame."""

    places: dict[int, tuple[float, float]]
    sizes: dict[int, tuple[float, float]]
    scores: list[int]
    mine: int | None


class Match:
    """A program that hosts in this process, and a second player who joins it over UDP."""

    def __init__(self, screen: Screen, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder
        self.registry = Registry()
        self.seen: list[Seen] = []
        self.events: list[object] = []
        self.captions: list[str] = []
        self.way = 0  # where the second player steers
        self._screen = screen
        self._ports: list[int] = []
        self._client: net.ClientWorld | None = None
        self._game: dict[str, Any] = {}
        tick, udp = screen.tick, sys.modules["ecsnet.play"].UdpServerSocket

        def bound(host: str, port: int) -> Any:
            made = udp(host, port)
            self._ports.append(made.address[1])
            return made

        def both(rate: float = 0) -> int:
            self._frame()
            return tick(rate)

        monkeypatch.setattr(sys.modules["ecsnet.play"], "UdpServerSocket", bound)
        monkeypatch.setattr(screen, "tick", both)
        monkeypatch.setattr(pygame.display, "set_caption", self.captions.append)
        monkeypatch.setattr(sys, "argv", ["main.py", "Ada"])

    def play(self, frames: int) -> None:
        self._screen.frames = frames
        with use_registry(self.registry), _importable(self.folder):
            runpy.run_path(str(self.folder / "main.py"), run_name="__main__")
        assert self._client is not None
        self.events += self._client.poll()
        self._client.close()
        self._client.view.close()

    def _frame(self) -> None:
        if self._client is None:
            self._game = vars(sys.modules["game"])
            self._client = net.ClientWorld.connect(
                "127.0.0.1",
                self._ports[0],
                name="Bob",
                world="second",
                registry=self.registry,
                clock=self._screen.clock,
            )
        if "Steer" in self._game and self._client.connected:
            self._client.send(self._game["Steer"](self.way))
        self.events += self._client.poll()
        with self._client.view:
            found = esper.get_components(Position, Collider)
            scores = esper.get_component(self._game["Score"]) if "Score" in self._game else []
            self.seen.append(
                Seen(
                    {entity: (at.x, at.y) for entity, (at, _) in found},
                    {entity: (size.width, size.height) for entity, (_, size) in found},
                    [score.points for _, score in scores],
                    self._client.player,
                )
            )

    def paddles(self) -> list[list[tuple[float, float]]]:
        """Where the two paddles were, left one first, in each frame in which both were there."""
        return [
            sorted(one.places[entity] for entity, size in one.sizes.items() if size == (12, 80))
            for one in self.seen
            if list(one.sizes.values()).count((12, 80)) == 2
        ]

    def ball(self) -> list[tuple[float, float]]:
        """Where the ball was."""
        return [
            one.places[entity]
            for one in self.seen
            for entity, size in one.sizes.items()
            if size == (12, 12)
        ]


@pytest.fixture
def match(screen: Screen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Match:
    screen.pressed = {pygame.K_DOWN: True}
    return Match(screen, monkeypatch, tmp_path)


def test_there_are_five_steps() -> None:
    assert [step.title.partition(":")[0] for step in STEPS] == [f"Step {n}" for n in range(1, 6)]
    for step in STEPS:
        assert any(block.hint[:1] == ["add"] for block in step.blocks)


@pytest.mark.parametrize("number", range(1, 6))
def test_a_step_is_played_by_two(match: Match, number: int) -> None:
    write(STEPS[:number], match.folder)
    match.way = -1
    match.play(120)
    assert isinstance(match.events[0], net.Connected)
    assert match.events[-1] == net.Disconnected("shutdown")
    paddles = match.paddles()
    assert len(paddles) > 60
    assert {(left[0], right[0]) for left, right in paddles} == {(20, 608)}
    # The host holds the arrow that points down, the second player one that points up.
    assert paddles[-1][0][1] == (160 if number == 1 else 320)
    assert paddles[-1][1][1] == (160 if number == 1 else 0)
    assert bool(match.ball()) is (number >= 3)


def test_the_ball_comes_back_from_all_edges(match: Match) -> None:
    write(STEPS[:3], match.folder)
    match.play(600)
    places = match.ball()
    # A step is at most 4 pixels.
    assert 0 <= min(x for x, _ in places) < 4
    assert 0 <= min(y for _, y in places) < 4
    assert 624 < max(x for x, _ in places) <= 628
    assert 384 < max(y for _, y in places) <= 388


def test_the_ball_comes_back_from_paddles(match: Match) -> None:
    """The second player goes after the ball, and no longer meets it at the edge behind."""
    write(STEPS[:4], match.folder)
    follow(match)
    match.play(600)
    right = [x for x, _ in match.ball()]
    turns = [b for a, b, c in zip(right, right[1:], right[2:], strict=False) if a < b > c]
    assert turns
    assert max(turns) < 608
    # Faster each time.
    steps = [abs(b - a) for a, b in itertools.pairwise(right)]
    assert max(steps) > 260 / 60


def test_points_are_counted_and_names_are_shown(match: Match) -> None:
    """The host holds a key and never meets the ball; the second player always does."""
    write(STEPS, match.folder)
    follow(match)
    match.play(900)
    assert sum(match.seen[-1].scores) >= 1
    assert max(match.seen[-1].scores) == sum(match.seen[-1].scores)
    ours, theirs = match.captions[-1].split(" : ")
    assert (int(ours), int(theirs)) == (0, max(match.seen[-1].scores))
    names = {player["name"] for world in match._screen.worlds for player in world["Player"]}  # type: ignore[index]
    assert names == {"Ada", "Bob"}
    labelled = [world for world in match._screen.worlds if len(world["Surface"]) == 2]
    assert len(labelled) > 400


def follow(match: Match) -> None:
    """Let the second player stay level with the ball."""
    frame = match._frame

    def chase() -> None:
        if match.ball() and match.seen[-1].mine in match.seen[-1].places:
            mine = match.seen[-1].places[match.seen[-1].mine]
            off = match.ball()[-1][1] - 34 - mine[1]
            match.way = (off > 5) - (off < -5)
        frame()

    match._frame = chase  # type: ignore[method-assign]
