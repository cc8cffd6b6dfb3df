"""UDP keeps the contract of transports, on loops and off them."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time

import pytest

from ecsnet.testing import TransportEnds, check_transport
from ecsnet.transport.address import Address
from ecsnet.transport.udp_client import UdpClientSocket
from ecsnet.transport.udp_server import UdpServer, UdpServerSocket


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


with_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of Linux")


def dial(host: str, server: Address) -> UdpClientSocket:
    port = server[1]
    return UdpClientSocket([(host, port, 0, 0) if ":" in host else (host, port)])


def a_moment() -> None:
    time.sleep(0.001)


@pytest.mark.parametrize(
    ("bound", "dialled"),
    [
        pytest.param("127.0.0.1", "127.0.0.1", id="IPv4"),
        pytest.param("::1", "::1", id="IPv6", marks=with_ipv6),
        pytest.param("0.0.0.0", "127.0.0.2", id="all of IPv4", marks=on_linux),
        pytest.param("::", "127.0.0.2", id="IPv4 within IPv6", marks=[on_linux, with_ipv6]),
        pytest.param("::", "::1", id="all of IPv6", marks=with_ipv6),
    ],
)
def test_a_polled_socket_keeps_the_contract(bound: str, dialled: str) -> None:
    def make() -> TransportEnds:
        server = UdpServerSocket(bound, 0)
        return TransportEnds(
            server, lambda: dial(dialled, server.address), wait=a_moment, counts_losses=False
        )

    report = check_transport(make)
    assert report, report
    assert report.datagrams > 2400


def test_two_addresses_at_once_keep_the_contract() -> None:
    if sys.platform != "linux":
        pytest.skip("127.0.0.2 is an address of Linux")

    def make() -> TransportEnds:
        server = UdpServerSocket("0.0.0.0", 0)
        made = 0

        def connect() -> UdpClientSocket:
            nonlocal made
            made += 1
            return dial(f"127.0.0.{1 + made % 3}", server.address)

        return TransportEnds(server, connect, wait=a_moment, counts_losses=False)

    report = check_transport(make)
    assert report, report
    assert report.datagrams > 2400


def _loops() -> list[object]:
    loops: list[object] = [pytest.param(asyncio.SelectorEventLoop, id="asyncio")]
    try:
        import uvloop
    except ImportError:
        loops.append(pytest.param(None, id="uvloop", marks=pytest.mark.skip("no uvloop")))
    else:
        loops.append(pytest.param(uvloop.new_event_loop, id="uvloop"))
    return loops


@pytest.mark.parametrize("loop", _loops())
def test_a_socket_on_a_loop_keeps_the_contract(
    loop: type, caplog: pytest.LogCaptureFixture
) -> None:
    def make() -> TransportEnds:
        runner = asyncio.Runner(loop_factory=loop)

        async def bind() -> UdpServer:
            return UdpServer("0.0.0.0", 0)

        server = runner.run(bind())
        return TransportEnds(
            server,
            lambda: dial("127.0.0.1", server.address),
            wait=lambda: runner.run(asyncio.sleep(0.001)),
            finish=runner.close,
            counts_losses=False,
        )

    with caplog.at_level(logging.ERROR):
        report = check_transport(make)
    assert report, report
    assert report.datagrams > 2400
    (record,) = caplog.records  # the handler that raises on purpose
    assert record.name == "ecsnet.server"
