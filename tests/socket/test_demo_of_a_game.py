"""`ecsnet demo FILE.py`: anybody's game, its server and players as processes on the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ecsnet

HOME = str(Path(ecsnet.__file__).parents[1])
PATIENCE = 90.0

RULES = """
from typing import Annotated
import esper
import ecsnet as net

@net.replicated
class Ship:
    x: float = 0.0

@net.command(hold=True)
class Steer:
    dx: Annotated[int, net.Between(-1, 1)] = 0

server = net.ServerWorld(tick_rate=60)

@server.on_join
def join(player):
    esper.add_component(player, Ship())

@server.system
def move(dt):
    for player, steer in net.commands(Steer):
        esper.component_for_entity(player, Ship).x += steer.dx * 100 * dt
"""

BOOMS = """
@net.event
class Boom:
    number: int
    whose: net.EntityRef = None

@server.system
def explode(dt):
    for player, ship in esper.get_component(Ship):
        net.emit(Boom(net.tick(), player), to=player)
        net.emit(Boom(net.tick()), reliable=False)
"""

BOT = """
def bot(client):
    client.send(Steer(1))
"""

WINDOW = """
def main():
    import pygame

    screen, clock = pygame.display.set_mode((200, 100)), pygame.time.Clock()
    with net.play(server, port=9, name="somebody") as client:
        while not client.closed:
            for event in pygame.event.get():
                if event.type == pygame.QUIT:
                    return
            client.send(Steer(0))
            client.poll()
            screen.fill("#203040")
            for entity, ship in esper.get_component(Ship):
                colour = "#ffc04c" if entity == client.player else "#eef1f6"
                pygame.draw.rect(screen, colour, (ship.x % 180, entity % 3 * 30, 20, 20))
            pygame.display.flip()
            clock.tick(60)

if __name__ == "__main__":
    main()
"""

Demo = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    def run(source: str, *options: object, name: str = "game.py") -> Any:
        (tmp_path / "game.py").write_text(source)
        return subprocess.run(
            [sys.executable, "-m", "ecsnet", "demo", name, *map(str, options)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": HOME, "SDL_VIDEODRIVER": "dummy"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return run


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["compared"] > 0
    assert found["diverged"] == 0
    dealt = found["commands_applied"] + found["commands_superseded"] + found["commands_expired"]
    assert found["commands_sent"] == dealt
    assert found["events_seen"] == found["events_due"]
    return found


def test_a_bot_plays_it_on_a_bad_network(demo: Demo) -> None:
    link = ["--lag", 100, "--jitter", 20, "--loss", 5]
    done = demo(RULES + BOT, "--headless", "--seconds", 2, "--clients", 3, "--json", *link)
    found = figures(done)
    assert found["clients"] == 3
    assert found["compared"] == 18  # three players see Player and Ship of three
    assert found["datagrams_dropped"] > 0
    assert found["rtt_ms"] > 190
    assert found["commands_sent"] > 50


def test_each_client_sees_the_events_that_are_due_to_it(demo: Demo) -> None:
    link = ["--lag", 100, "--loss", 20]
    found = figures(demo(RULES + BOOMS + BOT, "--headless", "--seconds", 2, "--json", *link))
    due = found["events_due"]
    assert due.keys() == {"Ann", "Bob"}
    assert min(due.values()) > 60
    assert 2 * sum(due.values()) <= found["events_sent"]  # as many were not reliable
    assert found["datagrams_dropped"] > 0


def test_nobody_plays_it_where_it_has_no_bot(demo: Demo) -> None:
    found = figures(demo(RULES, "--headless", "--seconds", 1, "--json"))
    assert found["commands_sent"] == 0
    assert found["compared"] == 8


def test_its_own_window_is_in_the_picture(demo: Demo, tmp_path: Path) -> None:
    pygame = pytest.importorskip("pygame")
    options = ["--headless", "--seconds", 1, "--json", "--screenshot", "both.png"]
    found = figures(demo(RULES + BOT + WINDOW, *options))
    assert found["commands_sent"] > 10
    picture = pygame.image.load(tmp_path / "both.png")
    width, height = picture.get_size()
    assert (width, height) == (2 * 200 + 3 * 16, 100 + 30 + 2 * 16)
    for left in (16, 216 + 16):  # each window shows its own player and the other one
        seen = {
            tuple(picture.get_at((x, y)))[:3]
            for x in range(left, left + 200)
            for y in range(47, 146)
        }
        assert {(0xFF, 0xC0, 0x4C), (0xEE, 0xF1, 0xF6), (0x20, 0x30, 0x40)} <= seen


CLOSES = WINDOW.replace(
    "client.poll()", "client.poll()\n            if client.stats.commands_sent > 20: return"
)


@pytest.mark.parametrize(
    "window",
    [
        CLOSES,
        CLOSES.replace("return\n            screen", "client.close()\n            screen"),
        CLOSES.replace("return\n            screen", "raise SystemExit\n            screen"),
    ],
    ids=["returns", "closes", "exits"],
)
def test_a_window_that_is_closed_ends_it_well(demo: Demo, window: str) -> None:
    pytest.importorskip("pygame")
    assert window != WINDOW
    done = demo(RULES + BOT + window, "--json")  # with windows, until one is closed
    found = figures(done)
    assert found["commands_sent"] > 20


POLLS = """
def bot(client):
    while not client.closed:
        client.send(Steer(1))
        client.poll()
        time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("bot", "least"),
    [(BOT + "    client.close()\n", 0), ("import time\n" + POLLS, 20)],
    ids=["closes", "polls"],
)
@pytest.mark.parametrize("window", ["", WINDOW])
def test_a_bot_may_do_what_a_program_does(demo: Demo, bot: str, least: int, window: str) -> None:
    options = ["--json", "--seconds", 1, *([] if window else ["--headless"])]
    assert figures(demo(RULES + bot + window, *options))["commands_sent"] >= least


def test_a_game_that_is_called_pygame(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "pygame.py").write_text(RULES + BOT)
    found = figures(demo("", "--headless", "--seconds", 1, "--json", name="pygame.py"))
    assert found["commands_sent"] > 20


def test_nobody_reads_what_goes_on(tmp_path: Path) -> None:
    (tmp_path / "game.py").write_text(RULES + BOT)
    command = [sys.executable, "-m", "ecsnet", "demo", "game.py", "--headless", "--seconds", "0.2"]
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh"]
    for arguments, status in ((command, 0), ([*command, "--lag", "x"], 2)):
        done = subprocess.run(
            [*shell, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": HOME},
            stdout=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == status
        assert (b"8 of 8 components equal" in done.stdout) is (status == 0)


def test_the_module_and_the_server_may_be_named(demo: Demo) -> None:
    two = RULES.replace("server = ", "other, server = net.ServerWorld(), ")
    found = figures(demo(two + BOT, "--headless", "--seconds", 1, "--json", name="game:server"))
    assert found["compared"] == 8


@pytest.mark.parametrize(
    ("source", "options", "says"),
    [
        ("x = 1\n", [], "there is no server in game.py: give it one at its top level"),
        ("x = (\n", [], "game cannot be imported"),
        (RULES + "two = net.ServerWorld()\n", [], "game.py has several servers, server, two"),
        (RULES + "@net.replicated\nclass A:\n    x: object\n", [], "A.x"),
        (RULES + "def bot(): ...\n", [], "but calls it as bot(client)"),
        (RULES, ["--screenshot", "a.png"], "game.py ended and never called net.play()"),
        (
            RULES + WINDOW.replace("display.set_mode", "Surface").replace("display.flip", "init"),
            ["--screenshot", "a.png"],
            "game.py opens no window of pygame's",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_it_is_one_line_and_status_2(
    demo: Demo, source: str, options: list[str], says: str
) -> None:
    done = demo(source, "--headless", "--seconds", 1, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert says in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("ecsnet demo: ")


@pytest.mark.parametrize(
    "source",
    [
        RULES + "1 / 0\n",
        RULES + "def bot(client):\n    1 / 0\n",
        RULES + "@server.system\ndef broken(dt):\n    raise net.UsageError('of all things')\n",
    ],
)
def test_what_it_raises_is_a_traceback_and_status_1(demo: Demo, source: str) -> None:
    done = demo(source, "--headless", "--seconds", 5)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("ecsnet demo: ")
