"""``perf sockets``: what it costs a datagram that an answer leaves from the address that was asked.

A server bound to 0.0.0.0 beside one bound to 127.0.0.1, with clients at the first of its local
addresses, or half of them at a second one; and what the calls would cost that tell, for each
datagram, where it was sent to. It is one process: datagrams are put into the buffer of the server's
socket before the clock runs, which is CPU time.
"""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ecsnet.transport.address import Address
from ecsnet.transport.local_address import ANCILLARY_BYTES, tell_local_address
from ecsnet.transport.udp_server import UdpServerSocket
from perf.report import PerfError, Report, Row, paired

CLIENTS = 32
AT_ONCE = 16
"""Datagrams taken together, as a server on an event loop does."""

TURNS = 1000
"""Of each way, one after the other; the median is a run's figure."""

UP, DOWN = bytes(60), bytes(160)
LONGEST = 2048

Work = Callable[[], float]


def run(command: str, runs: int) -> Report:
    """Measures the ways in turns.

    Args:
        command: The command line, for the report.
        runs: How often.

    Raises:
        PerfError: This machine has no 127.0.0.2, or does not tell where a datagram was sent to.
    """
    report = Report("sockets", command)
    one, two = ["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]
    with (
        _server("127.0.0.1", one) as bound,
        _server("0.0.0.0", one) as everywhere,
        _server("0.0.0.0", two) as both,
        _plain(False) as without,
        _plain(True) as telling,
    ):
        report.rows = [
            _row("in and out, a server on 0.0.0.0", everywhere, bound, runs),
            _row("in and out, clients at two of its addresses", both, bound, runs),
            _row("in, recvmsg for each datagram", telling, without, runs),
        ]
    return report


def _row(name: str, work: Work, floor: Work, runs: int) -> Row:
    values: list[float] = []
    floors: list[float] = []
    for _ in range(runs):
        turns = [(work(), floor()) for _ in range(TURNS)]
        for seconds, into in zip(zip(*turns, strict=True), (values, floors), strict=True):
            into.append(statistics.median(seconds) / CLIENTS * 1e6)
    return paired(name, "us a datagram", values, floors)


@contextmanager
def _server(bound: str, dialled: list[str]) -> Iterator[Work]:
    """A server's socket; one call takes a datagram of each client and answers it."""
    server = UdpServerSocket(bound, 0)
    clients = _clients(server.address[1], dialled)

    def turn() -> float:
        for client in clients:
            client.send(UP)
        began = time.thread_time()
        taken = 0
        while datagrams := server.receive(AT_ONCE):
            for _, address in datagrams:
                server.send(DOWN, address)
            taken += len(datagrams)
        seconds = time.thread_time() - began
        if taken != len(clients):
            raise PerfError(f"{taken} of {len(clients)} datagrams came")
        for client in clients:
            if client.recv(LONGEST) != DOWN:
                raise PerfError("a client got a wrong answer")
        return seconds

    try:
        turn()
        yield turn
    finally:
        for each in clients:
            each.close()
        server.close()


@contextmanager
def _plain(telling: bool) -> Iterator[Work]:
    """A socket on 0.0.0.0; one call takes a datagram of each client, ``telling`` or not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("0.0.0.0", 0))
        bound.setblocking(False)
        if telling and not tell_local_address(bound):
            raise PerfError("this system does not tell where a datagram was sent to")
        clients = _clients(bound.getsockname()[1], ["127.0.0.1"])

        def turn() -> float:
            for client in clients:
                client.send(UP)
            taken: list[tuple[bytes, Address]] = []
            began = time.thread_time()
            if telling:
                for _ in clients:
                    data, _, _, address = bound.recvmsg(LONGEST, ANCILLARY_BYTES)
                    taken.append((data, address))
            else:
                for _ in clients:
                    taken.append(bound.recvfrom(LONGEST))  # noqa: PERF401 - as above
            return time.thread_time() - began

        try:
            yield turn
        finally:
            for each in clients:
                each.close()


def _clients(port: int, hosts: list[str]) -> list[socket.socket]:
    """Sockets that hear nothing but what comes from the address that they dialled."""
    clients = []
    for index in range(CLIENTS):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(1)
        client.connect((hosts[index % len(hosts)], port))
        clients.append(client)
    return clients
