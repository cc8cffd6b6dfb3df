from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from ecsnet.errors import AddressInUseError, UsageError
from ecsnet.transport import address as address_module
from ecsnet.transport.address import Address, bind_udp
from ecsnet.transport.udp_server import UdpServer, UdpServerSocket

Loop = Callable[[], asyncio.AbstractEventLoop]


def _loops() -> list[object]:
    loops: list[object] = [pytest.param(asyncio.SelectorEventLoop, id="asyncio")]
    try:
        import uvloop
    except ImportError:
        loops.append(pytest.param(None, id="uvloop", marks=pytest.mark.skip("no uvloop")))
    else:
        loops.append(pytest.param(uvloop.new_event_loop, id="uvloop"))
    return loops


loops = pytest.mark.parametrize("loop", _loops())


def run(loop: Loop, work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work(), 20)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(bounded())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def fetch(sock: socket.socket, wanted: int) -> list[bytes]:
    """Read that many datagrams, or what came until nothing comes any more."""
    sock.settimeout(5)
    return [sock.recv(2048) for _ in range(wanted)]


def plain() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


@loops
def test_datagrams_come_and_go(loop: Loop) -> None:
    async def work() -> None:
        seen: list[tuple[bytes, Address]] = []
        server = UdpServer("127.0.0.1", 0)
        server.start(lambda datagrams, _: seen.extend(datagrams))
        host, port = server.address[:2]
        assert host == "127.0.0.1"
        assert port > 0
        with plain() as client:
            for n in range(200):
                client.sendto(b"%d" % n, server.address)
            await until(lambda: len(seen) == 200)
            assert {source for _, source in seen} == {client.getsockname()}
            assert [data for data, _ in seen] == [b"%d" % n for n in range(200)]
            for data, source in seen[:50]:
                server.send(data, source)
            assert fetch(client, 50) == [b"%d" % n for n in range(50)]
        server.close()
        assert server.errors == server.dropped == 0

    run(loop, work)


@loops
def test_what_is_sent_before_closing_goes_out(loop: Loop) -> None:
    async def work() -> None:
        server = UdpServer("127.0.0.1", 0)
        server.start(lambda *_: None)
        with plain() as client:
            for _ in range(5):
                server.send(b"goodbye", client.getsockname())
            server.close()
            server.close()
            server.send(b"too late", client.getsockname())
            assert fetch(client, 5) == [b"goodbye"] * 5
        again = UdpServerSocket("127.0.0.1", server.address[1])
        again.close()

    run(loop, work)


@loops
def test_a_datagram_from_port_0_harms_nobody(loop: Loop) -> None:
    async def work() -> None:
        seen: list[bytes] = []
        server = UdpServer("127.0.0.1", 0)
        server.start(lambda datagrams, _: seen.extend(data for data, _ in datagrams))
        try:
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
        except PermissionError:
            server.close()
            pytest.skip("raw sockets need privileges")
        body = b"from nowhere"
        with raw, plain() as client:
            header = struct.pack("!HHHH", 0, server.address[1], 8 + len(body), 0)
            for _ in range(3):
                raw.sendto(header + body, ("127.0.0.1", 0))
            await until(lambda: len(seen) == 3)
            # Even if it is answered, nothing ends.
            server.send(b"to port 0", ("127.0.0.1", 0))
            server.send(b"x" * 70_000, client.getsockname())
            server.send(b"broadcast", ("255.255.255.255", 9))
            client.sendto(b"still there?", server.address)
            await until(lambda: len(seen) == 4)
            server.send(b"yes", client.getsockname())
            assert fetch(client, 1) == [b"yes"]
        assert seen == [body, body, body, b"still there?"]
        assert server.dropped >= 1
        server.close()

    run(loop, work)


@loops
def test_a_handler_that_raises_is_logged_once(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        def handle(datagrams: Sequence[tuple[bytes, Address]], now: float) -> None:
            raise RuntimeError("bug")

        server = UdpServer("127.0.0.1", 0)
        server.start(handle)
        with plain() as client:
            for n in range(20):
                client.sendto(b"x", server.address)
                await until(lambda n=n: server.errors == n + 1)
        server.close()

    with caplog.at_level(logging.ERROR):
        run(loop, work)
    assert len(caplog.records) == 1
    assert caplog.records[0].name == "ecsnet.server"


@loops
def test_it_can_be_looked_at_now_and_then(loop: Loop) -> None:
    async def work() -> None:
        seen: list[bytes] = []
        server = UdpServer("127.0.0.1", 0)
        server.start(lambda datagrams, _: seen.extend(data for data, _ in datagrams))
        assert server.watched
        with plain() as client:
            for n, watched in enumerate((False, False, True, True, False)):
                server.watch(watched)
                assert server.watched is watched
                client.sendto(b"%d" % n, server.address)
                await until(lambda n=n: len(seen) == n + 1)
            client.sendto(b"at once", server.address)
            server.drain()
            assert seen == [b"0", b"1", b"2", b"3", b"4", b"at once"]
        server.close()
        server.watch(True)
        assert not server.watched

    run(loop, work)


@loops
def test_it_looks_no_more_when_it_watches_or_is_closed(loop: Loop) -> None:
    async def work() -> None:
        server = UdpServer("127.0.0.1", 0)
        server.start(lambda datagrams, now: None)
        for end in (lambda: server.watch(True), server.close):
            server.watch(False)
            look = server._look
            assert look is not None
            end()
            assert server._look is None
            assert look.cancelled()

    run(loop, work)


@loops
def test_the_loop_watches_no_socket_that_it_need_not(loop: Loop) -> None:
    async def work() -> None:
        running = asyncio.get_running_loop()
        server = UdpServer("127.0.0.1", 0)
        server.start(lambda *_: None)
        (bound,) = server._all_sockets()
        descriptor = bound.fileno()
        server.watch(False)
        assert not running.remove_reader(descriptor)
        server.watch(True)
        server.close()
        assert not running.remove_reader(descriptor)

    run(loop, work)


@loops
def test_datagrams_are_handed_on_sixteen_at_a_time(loop: Loop) -> None:
    async def work() -> None:
        batches: list[int] = []
        server = UdpServer("127.0.0.1", 0)
        server.start(lambda datagrams, _: batches.append(len(datagrams)))
        server.watch(False)
        with plain() as client:
            for _ in range(40):
                client.sendto(b"x", server.address)
            server.drain()
        assert batches == [16, 16, 8]
        server.close()

    run(loop, work)


def test_a_drain_ends_though_more_keeps_coming() -> None:
    class Endless(UdpServer):
        def receive(self, budget: int = 1000) -> list[tuple[bytes, Address]]:
            return [(b"x", ("127.0.0.1", 9))] * budget

    async def work() -> None:
        taken = 0

        def take(datagrams: Sequence[tuple[bytes, Address]], now: float) -> None:
            nonlocal taken
            taken += len(datagrams)

        server = Endless("127.0.0.1", 0)
        server.start(take)
        server.drain()
        assert taken == 4096
        server.close()

    run(asyncio.SelectorEventLoop, work)


def test_a_drain_looks_once_where_nothing_waits() -> None:
    looks = 0

    class Idle(UdpServer):
        def receive(self, budget: int = 1000) -> list[tuple[bytes, Address]]:
            nonlocal looks
            looks += 1
            return []

    async def work() -> None:
        server = Idle("127.0.0.1", 0)
        server.start(lambda *_: None)
        server.drain()
        assert looks == 1
        server.close()

    run(asyncio.SelectorEventLoop, work)


@loops
def test_what_comes_before_the_start_waits_for_it(loop: Loop) -> None:
    async def work() -> None:
        seen: list[bytes] = []
        server = UdpServer("127.0.0.1", 0)
        server.watch(True)
        assert not server.watched
        with plain() as client:
            client.sendto(b"early", server.address)
            server.drain()
            server.start(lambda datagrams, _: seen.extend(data for data, _ in datagrams))
            assert server.watched
            server.drain()
        assert seen == [b"early"]
        with pytest.raises(UsageError, match=r"start\(\) of a UdpServer that was started"):
            server.start(lambda *_: None)
        server.close()
        assert server.errors == 0

    run(loop, work)


class NotingLoop(asyncio.SelectorEventLoop):
    """Notes the seconds until a server's socket is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []

    def call_later(self, delay: float, call: Any, *rest: Any, **options: Any) -> Any:
        if getattr(call, "__func__", None) is UdpServer.drain:
            self.delays.append(delay)
        return super().call_later(delay, call, *rest, **options)


def test_a_loop_that_cannot_watch_a_socket_drains_it_too() -> None:
    class Blind(NotingLoop):
        def add_reader(self, *_: object) -> None:
            raise NotImplementedError

    async def work() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Blind)
        seen: list[bytes] = []
        server = UdpServer("127.0.0.1", 0)
        server.start(lambda datagrams, _: seen.extend(data for data, _ in datagrams))
        with plain() as client:
            client.sendto(b"x", server.address)
            await until(lambda: seen)
        assert not server.watched
        server.close()
        # Twice in a tick, where nothing else looks.
        assert loop.delays[1:] == [0.004] * (len(loop.delays) - 1)

    run(Blind, work)


def test_a_busy_socket_is_looked_at_once_between_two_ticks() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, NotingLoop)
        server = UdpServer("127.0.0.1", 0)
        server.start(lambda *_: None)
        loop.delays.clear()
        server.watch(False)
        server.watch(False)
        look = server._look
        assert look is not None
        server.drain()  # a tick does, and the next look is as long after that
        assert look.cancelled()
        assert loop.delays == [0.009] * 2
        server.close()

    run(NotingLoop, work)


@loops
def test_a_taken_port_is_one_clear_line(loop: Loop) -> None:
    async def work() -> None:
        server = UdpServer("127.0.0.1", 0)
        server.start(lambda *_: None)
        port = server.address[1]
        with pytest.raises(
            AddressInUseError, match=f"port {port} on 127.0.0.1 is in use"
        ) as caught:
            UdpServer("127.0.0.1", port)
        assert caught.value.__suppress_context__  # it says all that the OSError did
        with pytest.raises(AddressInUseError):
            UdpServerSocket("127.0.0.1", port)
        server.close()

    run(loop, work)


@pytest.mark.parametrize(
    ("host", "port"),
    [("192.0.2.1", 0), ("no-such-host.invalid", 0), ("x" * 300, 1), ("127.0.0.1", 70_000)],
)
def test_an_address_that_is_not_ours_is_one_clear_line(host: str, port: int) -> None:
    with pytest.raises(UsageError, match=r"cannot serve on|port 70000 is not between 0") as caught:
        bind_udp(host, port)
    assert not isinstance(caught.value, AddressInUseError)
    assert "\n" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("host", "port", "way_out"),
    [
        ("192.0.2.1", 0, "no address of this machine: '0.0.0.0' stands for all"),
        ("no-such-host.invalid", 0, "such as '192.168.1.5'"),
        ("a..b", 0, "'a..b' can be no name of a machine: is it spelt right?"),
        ("a\0b", 0, "is it spelt right?"),
        ("fe80::1", 0, "'fe80::1%eth0'"),
    ],
)
def test_an_address_that_is_not_ours_comes_with_a_way_out(
    host: str, port: int, way_out: str
) -> None:
    with pytest.raises(UsageError) as caught:
        bind_udp(host, port)
    if "IPv6" not in str(caught.value):  # a machine without it says that
        assert way_out in str(caught.value)


def test_a_port_of_the_administrators_comes_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(address_module.socket.socket, "bind", refusing, raising=False)
    with pytest.raises(UsageError, match=r"Permission denied: ports below 1024 .* such as 7777"):
        bind_udp("127.0.0.1", 80)


def test_a_machine_without_ipv6_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = socket.socket

    def without(family: int, kind: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return plain(family, kind)

    monkeypatch.setattr(address_module.socket, "socket", without)
    with pytest.raises(UsageError, match=r"cannot serve on ::1:0: .* no IPv6: use an IPv4 address"):
        bind_udp("::1", 0)
    bind_udp("127.0.0.1", 0).close()


def test_a_small_receive_buffer_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address_module, "RECEIVE_BUFFER", 64 << 10)
    with caplog.at_level(logging.WARNING):
        bind_udp("127.0.0.1", 0).close()
    assert "receive buffer has 128 KiB of the 64 KiB" in caplog.text


def test_a_system_that_refuses_large_buffers_is_served_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(address_module, "RECEIVE_BUFFER", 1 << 40)

    class Refusing(socket.socket):
        def setsockopt(self, *args: object) -> None:
            if args[0] == socket.SOL_SOCKET:
                raise OSError("no")

    monkeypatch.setattr(socket, "socket", Refusing)
    bind_udp("127.0.0.1", 0).close()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6")
def test_ipv6_and_both_kinds_at_once() -> None:
    everywhere = UdpServerSocket("::", 0)
    port = everywhere.address[1]
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", (host, port))
            data, source = wait_for(everywhere)
            everywhere.send(data, source)
            assert fetch(client, 1) == [b"x"]
    everywhere.close()
    only = UdpServerSocket("::1", 0)
    assert only.address[0] == "::1"
    only.close()


def wait_for(server: UdpServerSocket) -> tuple[bytes, Address]:
    for _ in range(5000):
        for one in server.receive(1):
            return one
        time.sleep(0.001)
    raise AssertionError("nothing came")


def test_a_plain_socket_is_polled_and_never_blocks() -> None:
    server = UdpServerSocket("localhost", 0)
    assert server.address[0] == "127.0.0.1"
    assert server.receive() == []
    with plain() as client:
        for n in range(10):
            client.sendto(b"%d" % n, server.address)
        first = wait_for(server)
        rest: list[tuple[bytes, Address]] = []
        while len(rest) < 9:
            rest += server.receive(4)
        assert [first[0], *(data for data, _ in rest)] == [b"%d" % n for n in range(10)]
        server.send(b"back", first[1])
        assert fetch(client, 1) == [b"back"]
        server.send(b"x" * 70_000, first[1])
        server.send(b"x", ("127.0.0.1", 0))
        assert server.dropped == 2
    server.close()
    assert server.receive() == []
    server.send(b"x", first[1])


def test_a_plain_socket_survives_resets() -> None:
    class Scripted:
        def __init__(self) -> None:
            self.script: list[object] = [
                ConnectionResetError(),
                (b"good", ("127.0.0.1", 5)),
                BlockingIOError(),
            ]

        def recvfrom(self, size: int) -> object:
            step = self.script.pop(0)
            if isinstance(step, Exception):
                raise step
            return step

    server = UdpServerSocket("127.0.0.1", 0)
    server._usual.recvfrom = Scripted().recvfrom  # type: ignore[assignment]
    assert server.receive() == [(b"good", ("127.0.0.1", 5))]
    server.close()
