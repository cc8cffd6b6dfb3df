"""A server for everybody, on the loopback: `python tests/socket/visits.py --visits 5000`.

Two questions, each to an `ecsnet serve` of its own whose stderr is a pipe that nobody reads:

- *One address takes what it can get*: places, silent connections, joins. Does a player of another
  address get in within a second, ten times of ten?
- *Thousands come and go*, from as many addresses. Does the server go on ticking, are the lines told
  that were left out, once somebody reads, and does SIGTERM end it?

Exits with status 1 when the answer to one of them is no. Linux only: there 127.0.0.0/8 is one
network.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ecsnet.connection.plain import ClientHandshake
from ecsnet.messages.joining import WIRE_VERSION, Hello, Welcome
from ecsnet.peer import Peer
from ecsnet.schema import Gate, Registry, encode
from ecsnet.session.goodbye import Reason
from ecsnet.session.packets import RAW

GAME = """
import ecsnet as net

server = net.ServerWorld(tick_rate=60)
"""
TICK_RATE = 60.0
AT_ONCE = 32  # visitors
HOG = "127.0.0.1"
_WELCOME: Gate[Welcome] = Gate(Welcome, 4096)
_FINGERPRINT = Registry().schema().fingerprint  # the game declares nothing, whatever others do here


class Visitor:
    """One client: comes from an address, says hello, and goes or stays."""

    def __init__(self, port: int, host: str, *, silent: bool = False, name: str = "Ann") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, 0))
        self.socket.connect(("127.0.0.1", port))
        self.name = name
        self.silent = silent
        self.began = time.perf_counter()
        self.handshake = ClientHandshake(os.urandom(8), self.began)
        self.peer = Peer(RAW)
        self.welcome: Welcome | None = None
        self.welcomed_at = 0.0
        self.tick = 0

    @property
    def over(self) -> Reason | None:
        goodbye = self.peer.goodbye
        return self.handshake.refused if goodbye is None else goodbye.reason

    def settled(self) -> bool:
        """Whether it knows if it is in."""
        return self.welcome is not None or self.over is not None

    def poll(self) -> None:
        now = time.perf_counter()
        while True:
            try:
                datagram = self.socket.recv(2048)
            except OSError:
                break
            self._take(datagram, now)
        if self.handshake.connection is None:
            for datagram in self.handshake.poll(now):
                self._send(datagram)
        elif not self.silent and (self.peer.due(now) or self.peer.backlog):
            for packet in self.peer.pack(None, now):
                self._send(self.handshake.connection.seal(packet))

    def _take(self, datagram: bytes, now: float) -> None:
        connection = self.handshake.connection
        if connection is None:
            self.handshake.receive_answer(datagram, now)
            if self.handshake.connection is not None and not self.silent:
                self.peer.queue(encode(Hello(WIRE_VERSION, _FINGERPRINT, self.name)))
            return
        packet = connection.open(datagram, now)
        received = None if packet is None else self.peer.receive_packet(packet, now)
        if received is None:
            return
        for _, message in received.messages:
            welcome = _WELCOME.decode(message)
            if welcome is not None:
                self.welcome, self.welcomed_at, self.tick = welcome, now, welcome.tick

    def leave(self) -> None:
        if self.handshake.connection is not None:
            goodbye = self.peer.session.pack_goodbye(Reason.LEFT, "", time.perf_counter())
            self._send(self.handshake.connection.seal(goodbye))
        self.socket.close()

    def _send(self, datagram: bytes) -> None:
        with contextlib.suppress(OSError):
            self.socket.send(datagram)


class Server:
    """A server as a process of its own, whose log nobody reads until `read_log`."""

    def __init__(self, folder: Path) -> None:
        (folder / "public.py").write_text(GAME, encoding="utf-8")
        self.port = _free_port()
        command = [sys.executable, "-m", "ecsnet", "serve", "public.py:server"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ready(self, host: str) -> Visitor:
        """A visitor who got in, as the first."""
        deadline = time.perf_counter() + 30
        while time.perf_counter() < deadline:
            visitor = Visitor(self.port, host)
            until(visitor.settled, [visitor], 5)
            if visitor.welcome is not None:
                return visitor
            visitor.leave()
        raise TimeoutError("the server did not start")

    def fill_log(self) -> None:
        """Leave no room in the pipe of its log: whoever writes to it waits."""
        assert self.process.stderr is not None
        # Our end reads only; through /proc the same pipe can be written to.
        number = os.open(
            f"/proc/self/fd/{self.process.stderr.fileno()}", os.O_WRONLY | os.O_NONBLOCK
        )
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(number, b"." * 4096)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(number, b".")
        os.close(number)

    def read_log(self) -> Log:
        """Read from now on."""
        assert self.process.stderr is not None
        return Log(self.process.stderr.fileno())

    def end(self, patience: float) -> float | None:
        """SIGTERM; the seconds until it has ended, None when it had to be killed."""
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            return None
        return time.perf_counter() - began

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class Log:
    """What a server logs, read by a thread."""

    def __init__(self, number: int) -> None:
        self.text = ""
        self._number = os.dup(number)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._number, 1 << 16):
            self.text += data.decode(errors="replace")
        os.close(self._number)

    def left_out(self) -> int:
        """Lines that it says were left out or dropped."""
        counts = re.findall(r"left out (\d+) lines|(\d+) lines of the log dropped", self.text)
        return sum(int(one or other) for one, other in counts)

    def lines(self, end: str) -> int:
        """Lines that end like this."""
        return sum(line.endswith(end) for line in self.text.splitlines())


@dataclass
class Crowded:
    """How others got in while one address took what it could."""

    tried: int = 0
    joined: int = 0
    longest: float = 0.0
    held: int = 0
    refused: dict[str, int] = field(default_factory=dict)


@dataclass
class Visited:
    """How a server did while many came and went."""

    visits: int = 0
    came_in: int = 0
    seconds: float = 0.0
    ticks_a_second: float = 0.0
    lines: int = 0
    left_out: int = 0
    ended_in: float | None = None


def crowded(tries: int, seconds: float = 1.0) -> Crowded:
    """Let one address take what it can get, and others try to come in."""
    result = Crowded()
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        first = server.ready("127.9.0.1")
        server.fill_log()
        hogs: list[Visitor] = []

        def hog() -> None:
            for visitor in [each for each in hogs if each.over is not None]:
                reason = str(visitor.over)
                result.refused[reason] = result.refused.get(reason, 0) + 1
                visitor.socket.close()
                hogs.remove(visitor)
            while len(hogs) < 120:
                hogs.append(Visitor(server.port, HOG, silent=len(hogs) % 9 == 0))

        for number in range(tries):
            mine = Visitor(server.port, f"127.9.1.{number + 1}")
            deadline = time.perf_counter() + seconds
            # The hog has had time to take everything there is, and goes on.
            _for(lambda: [first, *hogs], 0.3 if number else 2.0, hog)
            mine.began = time.perf_counter()
            deadline = mine.began + seconds
            while mine.welcome is None and mine.over is None and time.perf_counter() < deadline:
                hog()
                _poll([mine, first, *hogs])
            result.tried += 1
            if mine.welcome is not None:
                result.joined += 1
                result.longest = max(result.longest, mine.welcomed_at - mine.began)
            mine.leave()
        result.held = sum(each.welcome is not None for each in hogs)
        for visitor in [*hogs, first]:
            visitor.leave()
        server.end(5)
    return result


def visited(visits: int, patience: float = 5.0) -> Visited:
    """Let many come and go from addresses of their own, while nobody reads the log."""
    result = Visited()
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        watcher = server.ready("127.9.0.1")
        server.fill_log()
        addresses = _addresses()
        here: list[Visitor] = []
        start = _tick(server.port)
        began = time.perf_counter()
        while result.visits < visits or here:
            while result.visits < visits and len(here) < AT_ONCE:
                here.append(Visitor(server.port, next(addresses), name=f"v{result.visits}"))
                result.visits += 1
            _poll([watcher, *here])
            now = time.perf_counter()
            for visitor in here.copy():
                if visitor.welcome is not None or visitor.over or now - visitor.began > 10:
                    result.came_in += visitor.welcome is not None
                    visitor.leave()
                    here.remove(visitor)
        result.seconds = time.perf_counter() - began
        result.ticks_a_second = (_tick(server.port) - start) / (time.perf_counter() - began)
        watcher.leave()
        log = server.read_log()
        until(lambda: log.left_out() + log.lines(" joined") >= visits, [], patience)
        result.ended_in = server.end(patience)
        result.lines, result.left_out = log.lines(" joined"), log.left_out()
    return result


def stuck(visits: int, patience: float = 5.0) -> float | None:
    """How long SIGTERM takes while nobody reads the log, and its pipe is full."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        server.ready("127.9.0.1").leave()
        server.fill_log()
        for number in range(visits):
            visitor = Visitor(server.port, f"127.9.2.{number % 250 + 1}")
            until(visitor.settled, [visitor], 5)
            visitor.leave()
        return server.end(patience)


def until(condition: Callable[[], object], visitors: list[Visitor], seconds: float) -> bool:
    """Poll visitors until something is so; whether it was in this time."""
    deadline = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > deadline:
            return False
        _poll(visitors)
    return True


def _for(visitors: Callable[[], list[Visitor]], seconds: float, also: Callable[[], None]) -> None:
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        also()
        _poll(visitors())


def _poll(visitors: list[Visitor]) -> None:
    for visitor in visitors:
        visitor.poll()
    with selectors.DefaultSelector() as selector:
        for visitor in visitors:
            selector.register(visitor.socket, selectors.EVENT_READ)
        selector.select(0.002)


def _tick(port: int) -> int:
    """The tick that the server is in, as a newcomer is told."""
    visitor = Visitor(port, "127.9.0.2")
    until(lambda: visitor.welcome is not None, [visitor], 10)
    visitor.leave()
    return visitor.tick


def _addresses() -> Iterator[str]:
    for number in range(1 << 20):
        yield f"127.{20 + (number >> 16)}.{number >> 8 & 255}.{number & 255 or 1}"


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> int:
    """Ask both questions; the exit status says whether both answers are yes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=5000, metavar="N")
    parser.add_argument("--tries", type=int, default=10, metavar="N", help="of other addresses")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    others, many = crowded(given.tries), visited(given.visits)
    unread = stuck(20)
    answers = {
        "others get in within a second": others.joined == others.tried,
        "ticks go on": many.ticks_a_second >= 0.95 * TICK_RATE,
        "everybody came in": many.came_in == many.visits,
        "what was left out is told": many.lines + many.left_out >= many.visits,
        "SIGTERM ends it within a second": max(many.ended_in or 9, unread or 9) <= 1.0,
    }
    if given.json:
        figures = {"crowded": asdict(others), "visited": asdict(many), "unread_ended_in": unread}
        print(json.dumps({**figures, "answers": answers}))
    else:
        print(others, many, f"SIGTERM with the log unread: {unread} s", sep="\n")
        for question, answer in answers.items():
            print(f"{'yes' if answer else 'NO ':<4} {question}")
    return 0 if all(answers.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
