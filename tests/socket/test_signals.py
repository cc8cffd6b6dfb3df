"""How programs end that are asked to: by Ctrl-C, `kill`, or the end of their terminal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import ecsnet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no POSIX signals")

HOME = str(Path(ecsnet.__file__).parents[1])
PATIENCE = 30.0

Start = Callable[..., subprocess.Popen[str]]

GAME = """
import time
import esper
import ecsnet as net

server = net.ServerWorld(tick_rate=60)

@server.on_join
def join(player):
    print("joined", flush=True)

@server.on_leave
def leave(player):
    print("left", net.tick() > 0, flush=True)

@server.system
def run(dt):
    pass
"""

LOOP = """
with net.play(server, host="127.0.0.1", port=0) as client:
    while not client.closed:
        client.poll()
        time.sleep(0.005)
"""

WITHOUT_WITH = LOOP.replace("with", "client =").replace(" as client:", "\nif True:")

ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program with a file ``game.py`` in its folder; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def program(
        text: str, *command: object, then: str = "", **options: object
    ) -> subprocess.Popen[str]:
        (tmp_path / "game.py").write_text(GAME + dedent(text) + then)
        process = subprocess.Popen(
            [sys.executable, *map(str, command or ["game.py"])],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": HOME, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,  # type: ignore[call-overload]
        )
        started.append(process)
        return process

    yield program
    for process in started:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    seen = []
    while text not in (line := process.stdout.readline()):
        seen.append(line)
        assert line, f"it ended before it said {text!r}: {seen}"


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in out, out
    assert "Exception ignored" not in out, out
    return process.returncode, out


STATUS = {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize(
    "loop", [LOOP, LOOP.replace("with", "client =").replace(" as client:", "\nif 1:")]
)
def test_who_hosts_in_play_says_goodbye(start: Start, number: signal.Signals, loop: str) -> None:
    process = start(loop)
    wait_for(process, "joined")
    process.send_signal(number)
    status, out = ended(process)
    assert out == "left True\n"
    assert status == STATUS[number]


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("how", ["join", "port"])
def test_who_joined_in_play_says_goodbye(start: Start, how: str, number: signal.Signals) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = ("-m", "ecsnet", "serve", "game:server", "--host", "127.0.0.1", "--port", port)
    game = f"""
    if __name__ == "__main__":
        how = {{"join": "127.0.0.1:{port}"}} if {how!r} == "join" else {{}}
        with net.play(server, host="127.0.0.1", port={port}, **how) as client:
            while not client.closed:
                client.poll()
                time.sleep(0.005)
    """
    server = start(game, *serve)
    wait_for(server, "serving on")
    player = start(game)
    wait_for(server, "joined")
    player.send_signal(number)
    status, _ = ended(player)
    assert status == STATUS[number]
    wait_for(server, "left True")  # told, not found out: a silence would be noticed after 10 s
    server.terminate()
    _, out = ended(server)
    assert "timeout" not in out


@pytest.mark.parametrize("number", ENDS)
def test_a_tick_is_not_cut_in_half(start: Start, number: signal.Signals) -> None:
    process = start(
        f"""
        import os
        from ecsnet.components import Player

        played = 0

        @server.system
        def interrupted(dt):
            global played
            played += len(esper.get_component(Player))
            if played == 5:  # the player is there, however many ticks that took
                print("asked in", net.tick(), flush=True)
                os.kill(os.getpid(), {int(number)})
                print("went on in", net.tick(), flush=True)
        """,
        then=LOOP,
    )
    status, out = ended(process)
    asked, went_on, left = out.splitlines()[-3:]
    assert asked.startswith("asked in ")
    assert (went_on, left) == (asked.replace("asked", "went on"), "left True")
    assert status == STATUS[number]


STUCK = """
        @server.system
        def stuck(dt):
            print("stuck", flush=True)
            while True:
                time.sleep(0.001)
        """


def test_a_system_that_never_ends_is_ended_by_the_second(start: Start) -> None:
    process = start(
        STUCK,
        then=LOOP,
    )
    wait_for(process, "stuck")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGINT)
    status, _ = ended(process)
    assert status == -signal.SIGINT


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_served_system_that_never_ends_is_ended_by_the_second(
    start: Start, number: signal.Signals, status: int
) -> None:
    process = start(
        STUCK,
        *SERVERS["serve"],
    )
    wait_for(process, "stuck")
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(number)
    found, out = ended(process)
    assert "bye" in out
    assert found == status


def test_a_program_that_catches_an_interrupt_goes_on(start: Start) -> None:
    process = start(
        """
        import os
        with net.play(server, offline=True) as client:
            for frame in range(40):
                try:
                    client.poll()
                    if frame == 20:
                        os.kill(os.getpid(), 2)
                    time.sleep(0.005)
                except KeyboardInterrupt:
                    print("caught", flush=True)
        print("done", client.closed)
        """
    )
    status, out = ended(process)
    assert out.splitlines() == ["joined", "caught", "left True", "done True"]
    assert status == 0


def test_a_programs_own_handlers_stay(start: Start) -> None:
    process = start(
        """
        import os, signal

        def own(number, frame):
            print("own", number, flush=True)

        for number in (1, 2, 15):
            signal.signal(number, own)
        with net.play(server, offline=True) as client:
            for number in (1, 2, 15):
                os.kill(os.getpid(), number)
                client.poll()
        print(all(signal.getsignal(n) is own for n in (1, 2, 15)))
        """
    )
    status, out = ended(process)
    assert [line for line in out.splitlines() if "own" in line] == ["own 1", "own 2", "own 15"]
    assert out.endswith("True\n")
    assert status == 0


@pytest.mark.parametrize(
    "run", ["net.play(server, offline=True).close()", "server.run('127.0.0.1', 0)"]
)
def test_handlers_are_put_back(start: Start, run: str) -> None:
    process = start(
        f"""
        import signal, threading
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        before = [signal.getsignal(n) for n in numbers]
        threading.Timer(0.3, server.stop).start()
        {run}
        print(before == [signal.getsignal(n) for n in numbers], before[1:])
        """
    )
    status, out = ended(process)
    assert out.splitlines()[-1].startswith("True [<Handlers.SIG_DFL: 0>, <Handlers.SIG_IGN: 1>]")
    assert status == 0


@pytest.mark.parametrize(
    "run",
    [
        "net.play(server, offline=True).close()",
        "threading.Timer(0.3, server.stop).start(); server.run('127.0.0.1', 0)",
    ],
)
def test_another_thread_leaves_signals_alone(start: Start, run: str) -> None:
    process = start(
        f"""
        import signal, threading

        def other():
            {run}
            print("ran", flush=True)

        thread = threading.Thread(target=other)
        thread.start()
        before = signal.getsignal(signal.SIGTERM)
        thread.join()
        print(before == signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
        """
    )
    status, out = ended(process)
    assert out.endswith("ran\nTrue\n")
    assert status == 0


def test_a_windows_own_sigterm_stays_its_own(start: Start) -> None:
    pytest.importorskip("pygame")
    process = start(
        """
        import os
        os.environ["SDL_VIDEODRIVER"] = "dummy"
        import pygame
        pygame.display.set_mode((64, 64))
        with net.play(server, offline=True) as client:
            print("open", flush=True)
            while pygame.QUIT not in [event.type for event in pygame.event.get()]:
                client.poll()
                time.sleep(0.005)
            print("quit", flush=True)
        """
    )
    wait_for(process, "open")
    wait_for(process, "joined")
    process.terminate()
    status, out = ended(process)
    assert out.splitlines() == ["quit", "left True"]
    assert status == 0


# A server.

SERVERS = {
    "serve": ("-m", "ecsnet", "serve", "game:server", "--host", "127.0.0.1", "--port", "0"),
    "run": ("game.py",),
}


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("how", SERVERS)
def test_a_server_stops(start: Start, how: str, number: signal.Signals) -> None:
    text = """
    import logging
    logging.basicConfig(level="INFO")
    if __name__ == "__main__":
        server.run("127.0.0.1", 0)
    """
    process = start(text, *SERVERS[how])
    wait_for(process, "serving on")
    process.send_signal(number)
    status, out = ended(process)
    assert "bye" in out
    assert status == 0


def test_a_server_under_nohup_outlives_its_terminal(start: Start) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = start("", *SERVERS["serve"], preexec_fn=ignore)
    wait_for(process, "serving on")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    status, out = ended(process)
    assert "bye" in out
    assert status == 0


# What the game raises.


@pytest.mark.parametrize(
    "broken",
    [
        "@server.system\ndef broken(dt): raise net.UsageError('of all things')",
        "@server.on_start\ndef broken(): raise net.DeclarationError('of all things')",
        "@server.system\ndef broken(dt):\n    net.commands(int)",
        "@server.system\ndef broken(dt): raise BrokenPipeError('of all things')",
        "def broken(): raise net.UsageError('of all things')\nserver.add_system(broken)",
    ],
)
def test_what_the_game_raises_is_a_traceback_and_status_1(start: Start, broken: str) -> None:
    process = start(broken, *SERVERS["serve"])
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "Traceback" in out
    assert "in broken" in out
    assert "ecsnet serve:" not in out


@pytest.mark.parametrize("error", ["net.UsageError", "BrokenPipeError", "ZeroDivisionError"])
def test_what_a_game_that_joins_raises_is_its_own(start: Start, error: str) -> None:
    process = start(
        f"""
        net.play(server)
        raise {error}("of all things")
        """,
        *("-m", "ecsnet", "join", "game.py", "127.0.0.1:9"),
    )
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "Traceback" in out
    assert f"{error.rpartition('.')[2]}: of all things" in out


# Ctrl-C at any time.

SHIP = "analytics ship . --follow --mongo mongodb://127.0.0.1:9"

COMMANDS = {
    "demo": ("-m", "ecsnet", "demo", "pong", "--headless"),
    "serve": SERVERS["serve"],
    "game": ("game.py",),
    "join": ("-m", "ecsnet", "join", "game.py", "127.0.0.1:9"),
    "analytics": ("-m", "ecsnet", *SHIP.split()),
    "knights": ("-m", "ecsnet.samples.knights"),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("after", [0.1, 0.2, 0.4, 0.8])
def test_an_interrupt_at_any_time_is_no_traceback(start: Start, name: str, after: float) -> None:
    text = 'if __name__ == "__main__":\n    import pygame' + LOOP.replace("\n", "\n    ")
    process = start(text, *COMMANDS[name], start_new_session=True, stdin=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(after)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    status, out = ended(process)
    assert status in (0, 130, -signal.SIGINT), out


def test_a_name_that_the_output_has_no_letters_for(start: Start, tmp_path: Path) -> None:
    (tmp_path / "spiel\xe9.py").write_text("import ecsnet as net\nserver = net.ServerWorld()\n")
    run = ("demo", "spiel\xe9.py", "--headless", "--seconds", "0.2", "--clients", "1")
    os.environ["PYTHONIOENCODING"] = "ascii"
    try:
        process = start("", "-m", "ecsnet", *run)
    finally:
        del os.environ["PYTHONIOENCODING"]
    status, out = ended(process)
    assert status == 0
    assert "spiel\\xe9.py\n" in out


@pytest.mark.parametrize("command", [["--version"], ["analytics", "--help"]])
def test_nobody_reads_the_output(command: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "ecsnet", *command],
        env={**os.environ, "PYTHONPATH": HOME, "PYTHONUNBUFFERED": ""},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1
