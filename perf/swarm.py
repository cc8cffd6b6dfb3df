"""The load: many clients in one process, one UDP socket each, on one epoll."""

from __future__ import annotations

import random
import select
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from perf.floors import LARGEST, Traffic

BUFFER_BYTES = 256 << 10


def connected(port: int) -> socket.socket:
    """Returns a non-blocking UDP socket that speaks to ``port`` of the loopback."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def send(sock: socket.socket, datagram: bytes) -> None:
    """Sends one datagram; that there is no server, or no room, is its loss."""
    try:
        sock.send(datagram)
    except OSError:
        pass


class Bot(ABC):
    """One client of the load: what it says and takes, without a socket."""

    @abstractmethod
    def turn(self, now: float) -> Sequence[bytes]:
        """Returns the datagrams to send: it is this client's moment of the period."""

    @abstractmethod
    def take(self, datagram: bytes, now: float) -> Sequence[bytes]:
        """Takes a datagram from the server; returns those to send at once."""


class Swarm:
    """Gives each bot its turn once a period, spread evenly over it, and hands out what arrives.

    Attributes:
        bots: The bots.
        sockets: Their sockets, in the same order.
        skipped: Turns that were left out because the process could not keep up.
    """

    def __init__(self, bots: Sequence[Bot], rate: float, port: int) -> None:
        """Each of ``bots`` gets ``rate`` turns a second and speaks to ``port`` of the loopback."""
        self.bots = bots
        self.rate = rate * len(bots)
        self.sockets = [connected(port) for _ in bots]
        self.by_fd = {
            sock.fileno(): (bot, sock) for bot, sock in zip(bots, self.sockets, strict=True)
        }
        self.epoll = select.epoll()
        for fd in self.by_fd:
            self.epoll.register(fd, select.EPOLLIN)
        self.started = time.perf_counter()
        self.turns = 0
        self.skipped = 0
        self.up = [0] * LARGEST
        self.down = [0] * LARGEST

    def step(self, wait: float = 0.001, most: int = 1 << 30) -> None:
        """Gives the turns that are due and hands out what is there, at most ``most`` of each.

        Sleeps for up to ``wait`` seconds when nothing is there.
        """
        bots, sockets, turns, up = self.bots, self.sockets, self.turns, self.up
        count = len(bots)
        due = int((time.perf_counter() - self.started) * self.rate)
        if due - turns > 2 * count:
            self.skipped += due - turns - count
            turns = due - count
        last = min(due, turns + most)
        for index in range(turns, last):
            which = index % count
            for datagram in bots[which].turn(time.perf_counter()):
                up[len(datagram)] += 1
                send(sockets[which], datagram)
        self.turns = last
        down = self.down
        for fd, _ in self.epoll.poll(wait if last == due else 0, min(most, 512)):
            bot, sock = self.by_fd[fd]
            try:
                data = sock.recv(LARGEST)
            except OSError:
                continue
            down[len(data)] += 1
            for datagram in bot.take(data, time.perf_counter()):
                up[len(datagram)] += 1
                send(sock, datagram)

    def count_again(self) -> None:
        """Starts counting datagrams from zero."""
        self.up = [0] * LARGEST
        self.down = [0] * LARGEST
        self.skipped = 0

    def traffic(self, ticks: int) -> Traffic:
        """Returns what was counted, which happened during ``ticks`` ticks."""
        up = {size: number for size, number in enumerate(self.up) if number}
        down = {size: number for size, number in enumerate(self.down) if number}
        return Traffic(len(self.bots), ticks, up, down)

    def close(self) -> None:
        """Closes all sockets."""
        self.epoll.close()
        for sock in self.sockets:
            sock.close()


class Blind(Bot):
    """Sends datagrams of given sizes, one a turn, and reads nothing out of what it gets."""

    def __init__(self, sizes: Sequence[int]) -> None:
        """Goes through ``sizes`` again and again."""
        self.datagrams = [(bytes(size),) for size in sizes]
        self.next = 0

    def turn(self, now: float) -> Sequence[bytes]:
        self.next = (self.next + 1) % len(self.datagrams)
        return self.datagrams[self.next]

    def take(self, datagram: bytes, now: float) -> Sequence[bytes]:
        return ()


class Lossy(Bot):
    """A bot whose datagrams get lost, both ways; the same ones for the same seed."""

    def __init__(self, bot: Bot, loss: float, seed: int) -> None:
        """``bot`` loses ``loss`` of what it sends and of what it is sent, 0 to 1."""
        self.bot = bot
        self.loss = loss
        self.random = random.Random(seed).random

    def turn(self, now: float) -> Sequence[bytes]:
        return self._left(self.bot.turn(now))

    def take(self, datagram: bytes, now: float) -> Sequence[bytes]:
        if self.random() < self.loss:
            return ()
        return self._left(self.bot.take(datagram, now))

    def _left(self, datagrams: Sequence[bytes]) -> Sequence[bytes]:
        return [datagram for datagram in datagrams if self.random() >= self.loss]
