"""The game of the guide's chapter on how it feels, as it is printed there, played by two."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import esper
import pytest

import ecsnet as net
from ecsnet.components import Position
from ecsnet.schema import Registry, use_registry
from ecsnet.testing import FaultyLink, Harness
from tests.docs.test_docs import Block, Screen, chapters, screen, world

pygame = pytest.importorskip("pygame")

__all__ = ["screen", "world"]  # fixtures


def game() -> Block:
    (chapter,) = (each for each in chapters("docs/guide.md") if each.title == "How it feels")
    (block,) = (block for block in chapter.blocks if block.hint[:1] == ["program"])
    return block


def test_it_is_small() -> None:
    lines = [line for line in game().code.splitlines() if line.strip()]
    assert len(lines) == 45
    assert sum("shared=True" in line or "rewind" in line for line in lines) == 2


def test_its_window_shows_two_ships(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It hosts in this process, and a second player joins over UDP."""
    path = tmp_path / "beams.py"
    path.write_text(game().code, encoding="utf-8")
    ports: list[int] = []
    udp = sys.modules["ecsnet.play"].UdpServerSocket
    second: list[net.ClientWorld] = []
    registry = Registry()
    tick = screen.tick

    def bound(host: str, port: int) -> Any:
        made = udp(host, port)
        ports.append(made.address[1])
        return made

    def both(rate: float = 0) -> int:
        if not second:
            second.append(
                net.ClientWorld.connect(
                    "127.0.0.1", ports[0], world="second", registry=registry, clock=screen.clock
                )
            )
        second[0].poll()
        return tick(rate)

    monkeypatch.setattr(sys.modules["ecsnet.play"], "UdpServerSocket", bound)
    monkeypatch.setattr(screen, "tick", both)
    screen.frames = 200
    with use_registry(registry):
        runpy.run_path(str(path), run_name="__main__")
    second[0].close()
    second[0].view.close()
    assert screen.shown == 199
    ships = [world["Position"] for world in screen.worlds if len(world["Ship"]) == 2]
    assert len(ships) > 100
    first, last = ships[0], ships[-1]
    assert [ship["y"] for ship in last] == [40, 420]  # type: ignore[index]
    assert last[0]["x"] > first[0]["x"] + 300  # type: ignore[index]
    assert last[1]["x"] == 320  # type: ignore[index]


def test_beams_hit_what_is_seen_and_ships_answer_at_once(tmp_path: Path) -> None:
    path = tmp_path / "beams.py"
    path.write_text(game().code, encoding="utf-8")
    with use_registry(Registry()):
        names = runpy.run_path(str(path), run_name="beams")
    Ship, Steer, Zap = names["Ship"], names["Steer"], names["Zap"]  # noqa: N806
    with Harness(names["server"], seed=1) as played:
        ann = played.connect("Ann", FaultyLink(lag=0.075, seed=1), smooth=True)
        bob = played.connect("Bob")
        played.run(seconds=1)
        ((mine, at),) = ann.mine(Position)
        bob.send(Steer(1))
        ann.send(Steer(1))
        played.step(2)
        assert at.x > 320  # 0.15 s before the server has heard of it
        ann.send(Steer(0))
        played.run(seconds=1)
        bob.send(Steer(-1))
        shots = 0
        for _ in range(90):
            with ann.view:
                (there,) = (
                    place.x
                    for ship, (_, place) in esper.get_components(Ship, Position)
                    if ship != mine
                )
            if abs(there - at.x) < 18 and not shots:
                ann.send(Zap())
                shots += 1
            played.step()
        with played.world:
            hits = sorted(ship.hits for _, ship in esper.get_component(Ship))
        assert (shots, hits) == (1, [0, 1])
