"""`ServerWorld` on real UDP over the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable

import esper
import pytest

import ecsnet.simulation.simulation as net
from ecsnet.components import Player
from ecsnet.connection.plain import ClientHandshake
from ecsnet.errors import AddressInUseError, UsageError
from ecsnet.messages.joining import WIRE_VERSION, Hello, Welcome
from ecsnet.peer import Peer
from ecsnet.schema import Gate, Registry, encode, use_registry
from ecsnet.server.host import Host
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.session.packets import RAW
from ecsnet.transport.address import Address, lan_host
from ecsnet.transport.udp_client import Resolver, UdpClientSocket
from ecsnet.transport.udp_server import UdpServerSocket

WELCOME: Gate[Welcome] = Gate(Welcome, 4096)
REGISTRY = Registry()
PATIENCE = 10.0


class Visitor:
    """Joins a server and listens to it."""

    def __init__(self, address: Address, registry: Registry = REGISTRY) -> None:
        found = Resolver(*address[:2]).poll()
        assert found is not None
        self.socket = UdpClientSocket(found)
        self.handshake = ClientHandshake(os.urandom(8), time.perf_counter())
        self.peer = Peer(RAW)
        self.fingerprint = registry.schema().fingerprint
        self.welcome: Welcome | None = None
        self.packets = 0

    @property
    def over(self) -> Reason | None:
        goodbye = self.peer.goodbye
        return self.handshake.refused if goodbye is None else goodbye.reason

    def poll(self) -> None:
        now = time.perf_counter()
        for datagram in self.socket.receive():
            connection = self.handshake.connection
            if connection is None:
                self.handshake.receive_answer(datagram, now)
                if self.handshake.connection is not None:
                    self.socket.pin()
                    hello = Hello(WIRE_VERSION, self.fingerprint, "Ann")
                    self.peer.queue(encode(hello))
            elif (packet := connection.open(datagram, now)) is not None:
                self.packets += 1
                received = self.peer.receive_packet(packet, now)
                for _, message in received.messages if received else ():
                    self.welcome = self.welcome or WELCOME.decode(message)
        if self.handshake.connection is None:
            for datagram in self.handshake.poll(now):
                self.socket.send(datagram)
        elif self.peer.due(now) or self.peer.backlog:
            for packet in self.peer.pack(None, now):
                self.socket.send(self.handshake.connection.seal(packet))

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.perf_counter() + PATIENCE
        while not condition():
            assert time.perf_counter() < deadline, "it did not happen"
            self.poll()
            time.sleep(0.001)

    async def until_async(self, condition: Callable[[], object]) -> None:
        deadline = time.perf_counter() + PATIENCE
        while not condition():
            assert time.perf_counter() < deadline, "it did not happen"
            self.poll()
            await asyncio.sleep(0.001)

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@pytest.fixture
def server() -> ServerWorld:
    with use_registry(REGISTRY):
        return ServerWorld(tick_rate=100)


async def started(server: ServerWorld) -> tuple[asyncio.Task[None], Address]:
    ready: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(server.serve("127.0.0.1", 0, ready=ready.set_result))
    task.add_done_callback(lambda task: ready.done() or ready.cancel())
    return task, await ready


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of Linux")
def test_a_player_joins_at_any_address_of_the_machine(server: ServerWorld) -> None:
    async def scenario() -> None:
        ready: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(server.serve("0.0.0.0", 0, ready=ready.set_result))
        _, port = (await ready)[:2]
        with Visitor(("127.0.0.1", port)) as ann, Visitor(("127.0.0.2", port)) as bob:
            for visitor in (ann, bob):
                await visitor.until_async(lambda visitor=visitor: visitor.welcome)
            before = bob.packets
            await bob.until_async(lambda: bob.packets > before + 20)
            assert bob.socket.address == ("127.0.0.2", port)
            assert bob.over is None
        server.stop()
        await task

    asyncio.run(scenario())


def test_serves_until_it_is_stopped_and_says_goodbye(server: ServerWorld) -> None:
    names: list[str] = []
    server.on_join(lambda p: names.append(esper.component_for_entity(p, Player).name))
    server.on_leave(lambda p: names.append(f"{esper.component_for_entity(p, Player).name} left"))

    async def scenario() -> None:
        task, address = await started(server)
        with Visitor(address) as ann:
            await ann.until_async(lambda: ann.welcome)
            assert server.host is not None
            assert server.host.stats().clients == 1
            with pytest.raises(UsageError, match="being served"):
                await server.serve("127.0.0.1", 0)
            before = server.host.stats().ticks
            await ann.until_async(lambda: server.host and server.host.stats().ticks > before + 20)
            server.stop()
            await ann.until_async(lambda: ann.over)
            assert ann.over is Reason.SHUTDOWN
            assert ann.packets > 1
        await task
        UdpServerSocket(*address[:2]).close()  # the port is free again
        assert server.host is None

    asyncio.run(scenario())
    assert names == ["Ann", "Ann left"]


def test_a_cancelled_server_says_goodbye_too(server: ServerWorld) -> None:
    async def scenario() -> None:
        task, address = await started(server)
        with Visitor(address) as ann:
            await ann.until_async(lambda: ann.welcome)
            task.cancel()
            await ann.until_async(lambda: ann.over)
            assert ann.over is Reason.SHUTDOWN
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_a_server_can_be_served_again(server: ServerWorld) -> None:
    async def scenario() -> None:
        for _ in range(2):
            task, address = await started(server)
            with Visitor(address) as ann:
                await ann.until_async(lambda: ann.welcome)
                assert ann.welcome is not None
                assert ann.welcome.player_id == 1
            server.stop()
            await task

    asyncio.run(scenario())


def test_what_a_system_raises_ends_the_server(server: ServerWorld) -> None:
    @server.system
    def broken(dt: float) -> None:
        if net.running("test").player_entity:
            raise RuntimeError("boom")

    async def scenario() -> None:
        task, address = await started(server)
        with Visitor(address) as ann:
            await ann.until_async(lambda: ann.over)
            assert ann.over is Reason.ERROR
        with pytest.raises(RuntimeError, match="boom"):
            await task

    asyncio.run(scenario())


def test_what_goes_wrong_beside_the_game_ends_the_server_too(
    server: ServerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tick(host: Host, now: float, *, early: float = 0.0) -> int:
        raise MemoryError("no more")

    async def scenario() -> None:
        task, _ = await started(server)
        monkeypatch.setattr(Host, "tick", tick)
        with pytest.raises(MemoryError, match="no more"):
            await task

    asyncio.run(scenario())


def test_what_stands_outside_the_game_is_told_when_it_is_served(
    server: ServerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        await server.serve("127.0.0.1", 0, ready=lambda _: server.stop())

    esper.switch_world("elsewhere")
    esper.create_entity()
    esper.switch_world("default")
    try:
        asyncio.run(scenario())
    finally:
        esper.delete_world("elsewhere")
    (line,) = [line for line in caplog.messages if "where the game does not run" in line]
    assert "'elsewhere' holds 1 entity" in line


def test_after_120_ticks_the_garbage_collector_leaves_out_what_is_there() -> None:
    with use_registry(REGISTRY):
        server = ServerWorld(tick_rate=400)
    frozen: list[int] = []
    server.system(lambda dt: frozen.append(gc.get_freeze_count()))

    async def scenario() -> None:
        task, _ = await started(server)
        while len(frozen) < 200 and not task.done():
            await asyncio.sleep(0.001)
        server.stop()
        await task

    asyncio.run(scenario())
    assert set(frozen[:120]) == {0}
    assert frozen[199]  # some ticks run at once where time is lost
    assert gc.get_freeze_count() == 0


def test_what_nobody_needs_is_collected_before_the_rest_is_left_out() -> None:
    class Node:
        def __init__(self) -> None:
            self.itself = self

    with use_registry(REGISTRY):
        server = ServerWorld(tick_rate=400)
    nodes: list[weakref.ref[Node]] = []
    frozen: list[int] = []

    @server.system
    def make_garbage(dt: float) -> None:
        frozen.append(gc.get_freeze_count())
        if len(nodes) < 120:
            nodes.append(weakref.ref(Node()))

    async def scenario() -> None:
        task, _ = await started(server)
        while not any(frozen) and not task.done():
            await asyncio.sleep(0.001)
        alive = [node for node in nodes if node() is not None]
        server.stop()
        await task
        assert alive == []

    asyncio.run(scenario())


def test_a_server_raises_the_threshold_for_young_garbage_and_restores_it() -> None:
    before = gc.get_threshold()
    with use_registry(REGISTRY):
        server = ServerWorld(tick_rate=100)
    seen: list[tuple[int, int, int]] = []

    @server.system
    def look(dt: float) -> None:
        seen.append(gc.get_threshold())
        server.stop()

    gc.set_threshold(700, 11, 12)
    try:
        asyncio.run(server.serve("127.0.0.1", 0))
        after = gc.get_threshold()
    finally:
        gc.set_threshold(*before)
    assert seen[0][0] > 700
    assert seen[0][1:] == (11, 12)
    assert after == (700, 11, 12)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_server_that_has_ended_leaves_nothing_open_on_a_loop_that_goes_on(
    server: ServerWorld,
) -> None:
    async def scenario() -> None:
        before = os.listdir("/proc/self/fd")
        for _ in range(2):
            task, _ = await started(server)
            await asyncio.sleep(0)
            server.stop()
            await task
        assert len(os.listdir("/proc/self/fd")) == len(before)

    asyncio.run(scenario())


def test_a_system_that_ends_the_program_ends_the_server(server: ServerWorld) -> None:
    @server.system
    def leave(dt: float) -> None:
        raise SystemExit(3)

    async def scenario() -> None:
        async with asyncio.timeout(PATIENCE):
            await server.serve("127.0.0.1", 0)

    with pytest.raises(SystemExit):
        asyncio.run(scenario())


def test_a_machine_knows_its_address_without_sending_anything() -> None:
    for host in ("0.0.0.0", "::"):
        found = lan_host((host, 7777))
        assert found is None or not ipaddress.ip_address(found).is_loopback


def test_a_taken_port_is_one_clear_error(server: ServerWorld) -> None:
    holder = UdpServerSocket("127.0.0.1", 0)
    try:
        with pytest.raises(AddressInUseError, match=f"port {holder.address[1]} .* in use"):
            server.run("127.0.0.1", holder.address[1])
    finally:
        holder.close()


GAME = """
import logging, ecsnet.server
logging.basicConfig(level=logging.INFO, format="%(message)s")
server = ecsnet.server.ServerWorld(tick_rate=60)
server.run("127.0.0.1", 0)
print("came back", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_shut_it_down_cleanly(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", GAME],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        while "serving on" not in line:
            assert line, "the server ended before it served"
            line = process.stderr.readline()
        port = int(line.rsplit(":", 1)[1])
        with Visitor(("127.0.0.1", port), Registry()) as ann:
            ann.until(lambda: ann.welcome)
            process.send_signal(number)
            ann.until(lambda: ann.over)
            assert ann.over is Reason.SHUTDOWN
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert "came back" in out
    assert "Traceback" not in err
    assert "bye" in err
