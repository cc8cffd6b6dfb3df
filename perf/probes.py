"""Stop-watches: how long a ping takes, and how long a command takes to be seen."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from perf.swarm import LARGEST, Bot, Swarm, connected, send

PATIENCE_SECONDS = 0.5
GOLDEN = 0.6180339887498949
PROBE_BYTES = 64
AT_ONCE = 4


@dataclass(frozen=True)
class Times:
    """How long answers took.

    Attributes:
        seconds: One for each answer that came.
        unanswered: How many questions were given up.
    """

    seconds: list[float]
    unanswered: int


class Pinger(Bot):
    """A client that can ping."""

    @abstractmethod
    def answers(self) -> int:
        """Returns how many answers it has taken."""

    @abstractmethod
    def ping(self, now: float) -> bytes:
        """Returns the datagram that asks."""


class EchoPinger(Pinger):
    """Pings a bare echo, and sends nothing else."""

    echoed = 0

    def answers(self) -> int:
        return self.echoed

    def ping(self, now: float) -> bytes:
        return bytes(PROBE_BYTES)

    def turn(self, now: float) -> Sequence[bytes]:
        return ()

    def take(self, datagram: bytes, now: float) -> Sequence[bytes]:
        self.echoed += 1
        return ()


def ping_times(swarm: Swarm, rate: float, seconds: float) -> Times:
    """Has each pinger of the swarm ping ``rate`` times a second, one after the other.

    In between the swarm goes on; while a ping is under way nothing but its socket is looked at,
    without pause, so what is measured is the server and the kernel, not the queue of this process.
    """
    pingers = [
        (bot, sock)
        for bot, sock in zip(swarm.bots, swarm.sockets, strict=True)
        if isinstance(bot, Pinger)
    ]
    times: list[float] = []
    unanswered = asked = 0
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        swarm.step(0, AT_ONCE)
        if asked > (now - began) * rate * len(pingers):
            continue
        pinger, sock = pingers[asked % len(pingers)]
        asked += 1
        before = pinger.answers()
        question = pinger.ping(time.perf_counter())
        sent = time.perf_counter()
        send(sock, question)
        while pinger.answers() == before:
            now = time.perf_counter()
            try:
                answer = sock.recv(LARGEST)
            except OSError:
                if now - sent > PATIENCE_SECONDS:
                    unanswered += 1
                    break
                continue
            now = time.perf_counter()
            for datagram in pinger.take(answer, now):
                send(sock, datagram)
        else:
            times.append(now - sent)
    return Times(times, unanswered)


class Probe(ABC):
    """A client that gives a command and polls without pause until it sees the effect."""

    @abstractmethod
    def ask(self) -> None:
        """Gives the command."""

    @abstractmethod
    def poll(self) -> bool:
        """Does what a client does all the time; returns whether the effect is to be seen."""


class EchoProbe(Probe):
    """Speaks to a server that answers at its next tick."""

    def __init__(self, port: int) -> None:
        """Makes a socket that speaks to ``port`` of the loopback."""
        self.socket = connected(port)

    def ask(self) -> None:
        self.socket.send(bytes(PROBE_BYTES))

    def poll(self) -> bool:
        try:
            return bool(self.socket.recv(LARGEST))
        except OSError:
            return False


def effect_times(probe: Probe, swarm: Swarm, tick: float, seconds: float) -> Times:
    """Has ``probe`` ask again and again, at moments that cover the tick evenly.

    Args:
        probe: The client that asks.
        swarm: The other clients, which go on in between.
        tick: The server's tick in seconds.
        seconds: How long to go on.
    """
    times: list[float] = []
    unanswered = 0
    phase = 0.0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        phase = (phase + GOLDEN) % 1
        resume = time.perf_counter() + (1 + phase) * tick
        while time.perf_counter() < resume:
            probe.poll()
            swarm.step(0, AT_ONCE)
        sent = time.perf_counter()
        probe.ask()
        while not probe.poll():
            if time.perf_counter() - sent > PATIENCE_SECONDS:
                unanswered += 1
                break
            swarm.step(0, AT_ONCE)
        else:
            times.append(time.perf_counter() - sent)
    return Times(times, unanswered)
