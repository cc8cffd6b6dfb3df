"""The floors: uvloop programs that move the datagrams and do nothing else."""

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
from typing import cast

import uvloop

from perf.children import Meter, Ready

Address = tuple[str, int]

BUFFER_BYTES = 4 << 20
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


def every(loop: asyncio.AbstractEventLoop, period: float, tick: Callable[[], None]) -> None:
    """Calls ``tick`` every ``period`` seconds, as cheaply as Linux can: from a timerfd."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer = libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if timer < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    whole, rest = divmod(round(period * 1e9), 1_000_000_000)
    when = struct.pack("qqqq", whole, rest, whole, rest)
    if libc.timerfd_settime(timer, 0, when, None):
        raise OSError(ctypes.get_errno(), "timerfd_settime")

    def fire() -> None:
        os.read(timer, 8)
        tick()

    loop.add_reader(timer, fire)


class SameTraffic(asyncio.DatagramProtocol):
    """Takes what the clients send, and sends each tick what ecsnet sent, by size."""

    PLANNED_TICKS = 64

    def __init__(self, meter: Meter, traffic: Traffic) -> None:
        self.meter = meter
        self.traffic = traffic
        self.received = 0
        self.tick_number = 0
        self.addresses: dict[Address, None] = {}
        self.plan: list[list[tuple[bytes, Address]]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.sendto = cast(asyncio.DatagramTransport, transport).sendto

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.received += 1
        if addr not in self.addresses:
            self.addresses[addr] = None

    def tick(self) -> None:
        if not self.plan:
            if len(self.addresses) == self.traffic.clients:
                self.plan = self.planned()
            return
        self.meter.tick()
        sendto = self.sendto
        self.tick_number += 1
        for payload, address in self.plan[self.tick_number % self.PLANNED_TICKS]:
            sendto(payload, address)

    def planned(self) -> list[list[tuple[bytes, Address]]]:
        """Returns what to send in each of the ticks that are gone through again and again."""
        down = self.traffic.down
        total = round(sum(down.values()) / self.traffic.ticks * self.PLANNED_TICKS)
        payloads = {size: bytes(size) for size in down}
        addresses = list(self.addresses)
        ticks: list[list[tuple[bytes, Address]]] = [[] for _ in range(self.PLANNED_TICKS)]
        for index, size in enumerate(spread(down, total, seed=1)):
            tick = ticks[index * self.PLANNED_TICKS // total]
            tick.append((payloads[size], addresses[index % len(addresses)]))
        return ticks


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


def same_traffic(
    connection: Connection, port: int, traffic: Traffic, rate: float, warmup: int, ticks: int
) -> None:
    """Child: the floor of ``tick``; sends ``Begun`` and ``Measured``."""

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
