"""The samples as somebody runs them: by name, copied elsewhere, served, joined."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ecsnet as net
from ecsnet.schema import Registry, use_registry

HOME = Path(net.__file__).parents[1]
SAMPLES = Path(net.__file__).parent / "samples"
PATIENCE = 30.0

# Started like that, a game's net.play uses another port than everybody's.
ELSEWHERE = """
import functools, runpy, sys
import ecsnet
ecsnet.play = functools.partial(ecsnet.play, host="127.0.0.1", port=int(sys.argv[1]))
what, sys.argv = sys.argv[2], sys.argv[2:]
if what.endswith(".py"):
    runpy.run_path(what, run_name="__main__")
else:
    sys.path.insert(0, ".")
    runpy.run_module(what, run_name="__main__", alter_sys=True)
"""


class Programs:
    """Programs that this test started; they end with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(HOME),
            "SDL_VIDEODRIVER": "dummy",
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        program = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(program)
        return program

    def ecsnet(self, *arguments: object) -> subprocess.Popen[str]:
        return self.start("-m", "ecsnet", *arguments)

    def end(self) -> None:
        for program in self._started:
            program.kill()
            program.communicate()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    started = Programs(tmp_path)
    yield started
    started.end()


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def finished(program: subprocess.Popen[str], typed: str | None = None) -> str:
    out, _ = program.communicate(typed, timeout=PATIENCE)
    assert program.returncode == 0, out
    assert "Traceback" not in out
    return out


def watch(
    client: net.ClientWorld, seen: Callable[[], object], *programs: subprocess.Popen[str]
) -> None:
    deadline = time.monotonic() + PATIENCE
    with client.view:
        while not seen():
            assert time.monotonic() < deadline, "it did not happen"
            assert all(program.poll() is None for program in programs), "it ended too soon"
            assert not [e for e in client.poll() if isinstance(e, net.Refused | net.Disconnected)]
            time.sleep(0.01)


def wait_for(program: subprocess.Popen[str], text: str) -> None:
    assert program.stdout is not None
    line = program.stdout.readline()
    while text not in line:
        assert line, f"it ended before it said {text!r}"
        line = program.stdout.readline()


def count_of(client: net.ClientWorld, kind: type) -> Callable[[], int]:
    return lambda: len(client.view.structure(kind))


# Their size is part of what they are for.


def test_square_is_the_smallest_game() -> None:
    lines = (SAMPLES / "square" / "__main__.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 34


def test_pong_is_small() -> None:
    files = list((SAMPLES / "pong").rglob("*.py"))
    assert len(files) > 8
    assert sum(len(file.read_text().splitlines()) for file in files) < 300


def test_the_shooter_is_small() -> None:
    files = list((SAMPLES / "shooter").rglob("*.py"))
    assert len(files) > 15
    assert sum(len(file.read_text().splitlines()) for file in files) < 600


def test_chat_is_small() -> None:
    lines = (SAMPLES / "chat" / "game.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) < 40


@pytest.mark.parametrize("name", ["cards", "chat", "knights", "pong", "shooter"])
def test_imports_within_a_sample_are_relative(name: str) -> None:
    for file in (SAMPLES / name).rglob("*.py"):
        assert "samples" not in file.read_text(), file


# Square.


@pytest.fixture
def square(programs: Programs) -> tuple[Path, Registry, type]:
    pytest.importorskip("pygame")
    file = programs.folder / "square.py"
    shutil.copy(SAMPLES / "square" / "__main__.py", file)
    registry = Registry()
    with use_registry(registry):
        kind = runpy.run_path(str(file), run_name="square")["Square"]
    return file, registry, kind


def test_square_started_twice_is_two_windows_in_one_world(
    programs: Programs, square: tuple[Path, Registry, type], port: int
) -> None:
    file, registry, kind = square
    first = programs.start("-c", ELSEWHERE, port, file.name)
    second = None
    with net.ClientWorld.connect(
        "127.0.0.1", port, registry=registry, world=f"watcher {port}", name="Watcher"
    ) as client:
        watch(client, count_of(client, kind), first)
        second = programs.start("-c", ELSEWHERE, port, file.name)
        watch(client, lambda: count_of(client, kind)() == 3, first, second)


def test_square_is_served_and_joined(
    programs: Programs, square: tuple[Path, Registry, type], port: int
) -> None:
    file, registry, kind = square
    server = programs.ecsnet("serve", "square:server", "--host", "127.0.0.1", "--port", port)
    wait_for(server, "serving")
    window = programs.ecsnet("join", file.name, f"127.0.0.1:{port}")
    with net.ClientWorld.connect(
        "127.0.0.1", port, registry=registry, world=f"watcher {port}", name="Watcher"
    ) as client:
        watch(client, lambda: count_of(client, kind)() == 2, server, window)


def test_a_taken_port_is_one_line_and_status_2(programs: Programs, port: int) -> None:
    (programs.folder / "game.py").write_text("import ecsnet\nserver = ecsnet.ServerWorld()\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", port))
        late = programs.ecsnet("serve", "game:server", "--host", "127.0.0.1", "--port", port)
        out, _ = late.communicate(timeout=PATIENCE)
    assert late.returncode == 2
    assert out.count("\n") == 1
    assert f"port {port}" in out


# Pong.


def poll_line(out: str) -> int:
    """Check what --profile prints; returns the number of polls."""
    found = re.search(r"poll: p50 [\d.]+ ms, p99 [\d.]+ ms, max [\d.]+ ms, (\d+) polls", out)
    assert found, out
    return int(found[1])


def test_pong_is_served_and_joined(programs: Programs, port: int) -> None:
    pytest.importorskip("pygame")
    server = programs.ecsnet(
        "serve", "ecsnet.samples.pong.game:server", "--host", "127.0.0.1", "--port", port
    )
    wait_for(server, "serving")
    players = [
        programs.ecsnet(
            "join", "pong", f"127.0.0.1:{port}", "--name", name, "--profile", "--seconds", 1.5, *bot
        )
        for name, bot in (("Ann", ["--bot"]), ("Bob", []))
    ]
    for player in players:
        assert poll_line(finished(player)) > 10
    server.terminate()
    out = finished(server)
    assert out.count(") joined") == 2
    assert "Ann" in out


def test_pong_copied_elsewhere_is_a_game(programs: Programs, port: int) -> None:
    pytest.importorskip("pygame")
    shutil.copytree(SAMPLES / "pong", programs.folder / "mine")
    players = [
        programs.start("-c", ELSEWHERE, port, "mine", "--bot", "--profile", "--seconds", seconds)
        for seconds in (6, 4.5)
    ]
    polls = [poll_line(finished(player)) for player in players]
    assert all(count > 10 for count in polls)


def test_windows_on_a_screen(programs: Programs) -> None:
    pytest.importorskip("pygame")
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        pytest.skip("no Xvfb")
    told, tell = os.pipe()
    screen = subprocess.Popen(
        [xvfb, "-displayfd", str(tell), "-screen", "0", "1400x600x24", "-nolisten", "tcp"],
        pass_fds=[tell],
        stderr=subprocess.DEVNULL,
    )
    os.close(tell)
    try:
        with open(told) as words:
            display = words.readline().strip()
        if not display:
            pytest.skip("Xvfb does not start")
        demo = programs.start(
            "-m", "ecsnet", "demo", "pong", "--seconds", 5, "--screenshot", "both.png",
            env={"DISPLAY": f":{display}", "SDL_VIDEODRIVER": "x11"},
        )  # fmt: skip
        out = finished(demo)
    finally:
        screen.kill()
        screen.wait()
    assert "headless" not in out
    assert "no window" not in out
    assert "48 of 48 components equal" in out
    assert (programs.folder / "both.png").stat().st_size > 1000


# Knights.


def test_knights_fight_on_the_command_line(programs: Programs, port: int) -> None:
    host = programs.start(
        "-c", ELSEWHERE, port, "ecsnet.samples.knights", "--name", "Ann", "--bot", "--seconds", 60
    )
    wait_for(host, "Welcome")
    member = programs.start("-c", ELSEWHERE, port, "ecsnet.samples.knights", "--name", "Bob")
    out = finished(member, "look\nattack nobody\ndance\nquit\n")
    assert "Welcome" in out
    assert "Ann the knight" in out
    assert "Bob the knight: 100 health, 0 gold" in out
    assert "no barbarian 'nobody'" in out
    assert "commands:" in out
    wait_for(host, "gold")
    wait_for(host, "falls")


def test_knights_read_how_their_attack_went(programs: Programs, port: int) -> None:
    host = programs.start("-c", ELSEWHERE, port, "ecsnet.samples.knights", "--name", "Ann")
    wait_for(host, "barbarian")  # all of its health is more than one hit takes
    member = programs.start("-c", ELSEWHERE, port, "ecsnet.samples.knights", "--name", "Bob")
    wait_for(member, "Welcome")
    assert member.stdin is not None
    member.stdin.write("attack\n")
    member.stdin.flush()
    wait_for(member, "You hit")
    wait_for(host, "Bob the knight")
    finished(member, "quit\n")


# Chat.


def test_people_chat_on_the_command_line(programs: Programs, port: int) -> None:
    host = programs.start("-c", ELSEWHERE, port, "ecsnet.samples.chat", "--name", "Ann")
    wait_for(host, "Welcome")
    member = programs.start("-c", ELSEWHERE, port, "ecsnet.samples.chat", "--name", "Bob")
    wait_for(host, "* Bob comes")
    for program, text in ((host, "Good morning"), (member, "/who\n\nHello, Ann\nToo fast")):
        assert program.stdin is not None
        program.stdin.write(f"{text}\n")
        program.stdin.flush()
    wait_for(host, "Bob: Hello, Ann")
    wait_for(member, "* Not so fast! Nobody has read: Too fast")
    finished(member, "/quit\n")
    wait_for(host, "* Bob goes (left)")


def test_what_is_chatted_is_read(programs: Programs, port: int) -> None:
    host = programs.start(
        "-c", ELSEWHERE, port, "ecsnet.samples.chat", "--name", "Ann", "--bot", "--seconds", 60
    )
    wait_for(host, "Welcome")
    member = programs.start("-c", ELSEWHERE, port, "ecsnet.samples.chat", "--name", "Bob")
    wait_for(member, "Ann: ")
    out = finished(member, "/who\n/quit\n")
    assert "* here: Ann, Bob\n" in out


# Cards.


def test_people_play_cards_on_the_command_line(programs: Programs, port: int) -> None:
    host = programs.start(
        "-c", ELSEWHERE, port, "ecsnet.samples.cards", "--name", "Ann", "--bot", "--seconds", 60
    )
    wait_for(host, "Your turn")
    member = programs.start("-c", ELSEWHERE, port, "ecsnet.samples.cards", "--name", "Bob")
    wait_for(member, "North (Ann): ")
    wait_for(member, "your hand: ")
    wait_for(member, "Your turn")
    assert member.stdin is not None
    member.stdin.write("dance\n\ndraw\n")
    member.stdin.flush()
    wait_for(member, "'DANCE' does not go")
    wait_for(member, "East (Bob) draws")
    finished(member, "look\nquit\n")
    wait_for(host, "Now it is East (computer)")
    wait_for(host, "East (computer) ")
