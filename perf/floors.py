"""The floors: programs that move the datagrams and do nothing else.

For the ticks of a server there are two, with the same traffic. One is a plain socket that is
drained twice a tick. The other is an endpoint of uvloop, which wakes up whenever something has
come: it costs more or less by how much that is each time.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TypeAlias, cast

import uvloop

from perf.children import Meter, Ready

Address = tuple[str, int]

BUFFER_BYTES = 4 << 20
LARGEST = 2048
CLOCK_MONOTONIC = 1


@dataclass(frozen=True)
class Traffic:
    """How many datagrams of which size went each way between a server and its clients.

    Attributes:
        clients: How many clients there were.
        ticks: How many ticks it was counted for.
        up: Size in bytes to number of datagrams, from all clients to the server.
        down: The same from the server to all clients.
    """

    clients: int
    ticks: int
    up: dict[int, int]
    down: dict[int, int]


Floor: TypeAlias = Callable[[Connection, int, Traffic, float, int, int], None]
"""Child: serves a port with some traffic, at a rate, for a warm-up and some measured ticks."""


def mean_size(sizes: dict[int, int]) -> float:
    """Returns the mean of a histogram of sizes, 0 when it is empty."""
    count = sum(sizes.values())
    return sum(size * number for size, number in sizes.items()) / count if count else 0.0


def spread(sizes: dict[int, int], count: int, seed: int) -> list[int]:
    """Returns ``count`` sizes in random order that are distributed as ``sizes`` are."""
    if not sizes:
        return []
    ordered = sorted(sizes.items())
    total = sum(sizes.values())
    picked: list[int] = []
    position, passed = 0, ordered[0][1]
    for index in range(count):
        wanted = (index + 0.5) * total / count
        while passed < wanted:
            position += 1
            passed += ordered[position][1]
        picked.append(ordered[position][0])
    random.Random(seed).shuffle(picked)
    return picked


def listen(port: int) -> socket.socket:
    """Returns a non-blocking UDP socket on the loopback with room for a burst of inputs."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.bind(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def timer(period: float, flags: int = 0) -> int:
    """Returns a timerfd, the cheapest clock of Linux, that fires every ``period`` seconds."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.timerfd_create(CLOCK_MONOTONIC, flags | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    whole, rest = divmod(round(period * 1e9), 1_000_000_000)
    when = struct.pack("qqqq", whole, rest, whole, rest)
    if libc.timerfd_settime(fd, 0, when, None):
        raise OSError(ctypes.get_errno(), "timerfd_settime")
    return fd


def every(loop: asyncio.AbstractEventLoop, period: float, tick: Callable[[], None]) -> None:
    """Calls ``tick`` every ``period`` seconds."""
    fd = timer(period, os.O_NONBLOCK)

    def fire() -> None:
        os.read(fd, 8)
        tick()

    loop.add_reader(fd, fire)


class Plan:
    """The datagrams of a floor: in each tick what ecsnet sent, by size, to clients in turns.

    Attributes:
        addresses: The clients that have been heard of.
    """

    TICKS = 64

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.addresses: dict[Address, None] = {}
        self.ticks: list[list[tuple[bytes, Address]]] = []
        self.number = 0

    def next(self) -> list[tuple[bytes, Address]] | None:
        """Returns what to send in the tick that comes; None until all clients were heard of."""
        if not self.ticks:
            if len(self.addresses) < self.traffic.clients:
                return None
            self.ticks = self._planned()
        self.number += 1
        return self.ticks[self.number % self.TICKS]

    def _planned(self) -> list[list[tuple[bytes, Address]]]:
        """Returns what to send in each of the ticks that are gone through again and again."""
        down = self.traffic.down
        total = round(sum(down.values()) / self.traffic.ticks * self.TICKS)
        payloads = {size: bytes(size) for size in down}
        addresses = list(self.addresses)
        ticks: list[list[tuple[bytes, Address]]] = [[] for _ in range(self.TICKS)]
        for index, size in enumerate(spread(down, total, seed=1)):
            tick = ticks[index * self.TICKS // total]
            tick.append((payloads[size], addresses[index % len(addresses)]))
        return ticks


def plain_socket(
    connection: Connection, port: int, traffic: Traffic, rate: float, warmup: int, ticks: int
) -> None:
    """Child: a floor of ``tick``: a plain socket that is drained before each tick and once between
    two of them.

    It sends ``Ready``, ``Begun`` and ``Measured``.
    """
    meter = Meter(connection, rate, warmup, ticks)
    plan = Plan(traffic)
    addresses = plan.addresses
    sock = listen(port)
    receive, send = sock.recvfrom, sock.sendto
    fd = timer(0.5 / rate)
    between = False
    connection.send(Ready())
    while True:
        os.read(fd, 8)
        while True:
            try:
                _, address = receive(LARGEST)
            except BlockingIOError:
                break
            if address not in addresses:
                addresses[address] = None
        between = not between
        if between or (datagrams := plan.next()) is None:
            continue
        meter.tick()
        for payload, address in datagrams:
            send(payload, address)


class SameTraffic(asyncio.DatagramProtocol):
    """Takes what the clients send, and sends each tick what ecsnet sent, by size."""

    def __init__(self, meter: Meter, traffic: Traffic) -> None:
        self.meter = meter
        self.plan = Plan(traffic)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.sendto = cast(asyncio.DatagramTransport, transport).sendto

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if addr not in self.plan.addresses:
            self.plan.addresses[addr] = None

    def tick(self) -> None:
        datagrams = self.plan.next()
        if datagrams is None:
            return
        self.meter.tick()
        sendto = self.sendto
        for payload, address in datagrams:
            sendto(payload, address)


class Echo(asyncio.DatagramProtocol):
    """Sends every datagram straight back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.sendto = cast(asyncio.DatagramTransport, transport).sendto

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.sendto(data, addr)


class AnswerAtTick(asyncio.DatagramProtocol):
    """Sends every datagram back at the next tick."""

    def __init__(self) -> None:
        self.waiting: list[tuple[bytes, Address]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.sendto = cast(asyncio.DatagramTransport, transport).sendto

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.waiting.append((data, addr))

    def tick(self) -> None:
        waiting, self.waiting = self.waiting, []
        for data, addr in waiting:
            self.sendto(data, addr)


def uvloop_endpoint(
    connection: Connection, port: int, traffic: Traffic, rate: float, warmup: int, ticks: int
) -> None:
    """Child: a floor of ``tick``: an endpoint of uvloop; it sends what `plain_socket` does."""

    async def serve() -> None:
        meter = Meter(connection, rate, warmup, ticks)
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_datagram_endpoint(
            lambda: SameTraffic(meter, traffic), sock=listen(port)
        )
        every(loop, 1 / rate, protocol.tick)
        connection.send(Ready())
        await asyncio.Event().wait()

    _run(serve())


def echo(connection: Connection, port: int) -> None:
    """Child: a bare echo."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(Echo, sock=listen(port))
        connection.send(Ready())
        await asyncio.Event().wait()

    _run(serve())


def answer_at_tick(connection: Connection, port: int, rate: float) -> None:
    """Child: answers everything at its next tick."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_datagram_endpoint(AnswerAtTick, sock=listen(port))
        every(loop, 1 / rate, protocol.tick)
        connection.send(Ready())
        await asyncio.Event().wait()

    _run(serve())


def _run(program: Coroutine[None, None, None]) -> None:
    uvloop.run(program)
