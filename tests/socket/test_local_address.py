"""A server on all addresses of a machine answers from the one that it was asked at."""

from __future__ import annotations

import asyncio
import errno
import logging
import select
import socket
from collections.abc import Callable, Iterator, Sequence

import pytest

from ecsnet.errors import AddressInUseError
from ecsnet.transport import local_address, udp_server
from ecsnet.transport.address import Address, bind_udp
from ecsnet.transport.udp_server import UdpServer, UdpServerSocket


def can_bind(family: socket.AddressFamily, host: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def told(everywhere: str) -> bool:
    """Return whether this system tells where a datagram was sent to."""
    try:
        bound = bind_udp(everywhere, 0)
    except Exception:
        return False
    with bound:
        return local_address.tell_local_address(bound)


two_addresses = pytest.mark.skipif(
    not (can_bind(socket.AF_INET, "127.0.0.2") and told("0.0.0.0")),
    reason="one loopback address, or a system that does not tell where a datagram was sent to",
)
with_ipv6 = pytest.mark.skipif(
    not (can_bind(socket.AF_INET6, "::1") and told("::")), reason="no IPv6"
)


class Dialler:
    """A connected socket: the system hands it nothing that comes from another address."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.connect((host, port))
        self.socket.settimeout(5)

    def ask(self, text: bytes = b"ask") -> None:
        self.socket.send(text)

    def hears(self, seconds: float = 5) -> bytes | None:
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(2048)
        except TimeoutError:
            return None


@pytest.fixture
def dial() -> Iterator[Callable[[str, int], Dialler]]:
    made: list[Dialler] = []

    def make(host: str, port: int) -> Dialler:
        made.append(Dialler(host, port))
        return made[-1]

    yield make
    for each in made:
        each.socket.close()


Dial = Callable[[str, int], Dialler]


def take(server: UdpServerSocket, count: int = 1) -> list[tuple[bytes, Address]]:
    """Take so many datagrams, as they come."""
    taken: list[tuple[bytes, Address]] = []
    while len(taken) < count:
        ready, _, _ = select.select(server._all_sockets(), [], [], 5)
        assert ready, f"{len(taken)} of {count} came"
        taken += server.receive()
    return taken


def echo(server: UdpServerSocket, count: int = 1) -> list[Address]:
    taken = take(server, count)
    for data, address in taken:
        server.send(b"echo " + data, address)
    return [address for _, address in taken]


@two_addresses
@pytest.mark.parametrize(
    ("everywhere", "hosts"),
    [
        pytest.param("0.0.0.0", ["127.0.0.2", "127.0.0.1", "127.0.0.3"], id="IPv4"),
        pytest.param(
            "::", ["127.0.0.2", "::1", "127.0.0.3", "127.0.0.1"], id="IPv6", marks=with_ipv6
        ),
    ],
)
def test_an_answer_leaves_from_the_address_that_was_asked(
    dial: Dial, everywhere: str, hosts: list[str]
) -> None:
    server = UdpServerSocket(everywhere, 0)
    clients = [dial(host, server.address[1]) for host in hosts]
    addresses: list[Address] = []
    for client in clients:
        client.ask()
        addresses += echo(server)
        assert client.hears() == b"echo ask"
    for turn in range(3):
        for client in clients:
            client.ask(b"%d" % turn)
        assert set(echo(server, len(clients))) == set(addresses)
        assert [client.hears() for client in clients] == [b"echo %d" % turn] * len(clients)
    for client, address in zip(clients, addresses, strict=True):
        server.send(b"by itself", address)  # as the updates of a tick
        assert client.hears() == b"by itself"
    assert server.dropped == 0
    # Who came to the first address is remembered nowhere.
    assert set(server._routes) == set(addresses[1:])
    server.close()


@two_addresses
def test_without_it_the_answer_is_a_strangers(dial: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check what the others would not show on a system that picks the right address by itself."""
    monkeypatch.setattr(udp_server, "tell_local_address", lambda _: False)
    server = UdpServerSocket("0.0.0.0", 0)
    client, other = dial("127.0.0.2", server.address[1]), dial("127.0.0.1", server.address[1])
    client.ask()
    other.ask()
    echo(server, 2)
    assert other.hears() == b"echo ask"
    assert client.hears(0.01) is None
    server.close()


@two_addresses
def test_one_client_that_tries_two_addresses_is_answered_from_each() -> None:
    server = UdpServerSocket("0.0.0.0", 0)
    port = server.address[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.settimeout(5)
        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.1", "127.0.0.2"):
            client.sendto(b"x", (host, port))
            echo(server)
            assert client.recvfrom(2048) == (b"echo x", (host, port))
    server.close()


@two_addresses
def test_only_the_first_datagrams_at_an_address_are_asked_where_they_were_sent(dial: Dial) -> None:
    server = UdpServerSocket("0.0.0.0", 0)
    clients = [dial(host, server.address[1]) for host in ("127.0.0.1", "127.0.0.2")]
    asked = 0
    looked_up = udp_server.local_host

    def counted(ancillary: list[tuple[int, int, bytes]]) -> str | None:
        nonlocal asked
        asked += 1
        return looked_up(ancillary)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(udp_server, "local_host", counted)
        for _ in range(50):
            for client in clients:
                client.ask()
                echo(server)
                assert client.hears() == b"echo ask"
    assert asked == 2
    server.close()


@two_addresses
def test_the_port_stays_ours_alone(dial: Dial) -> None:
    server = UdpServerSocket("0.0.0.0", 0)
    port = server.address[1]
    client = dial("127.0.0.2", port)
    client.ask()
    echo(server)
    assert client.hears() == b"echo ask"
    for host in ("0.0.0.0", "127.0.0.1", "127.0.0.2"):
        with pytest.raises(AddressInUseError):
            UdpServerSocket(host, port)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as greedy:
                greedy.setsockopt(socket.SOL_SOCKET, option, 1)
                with pytest.raises(OSError, match="in use"):
                    greedy.bind((host, port))
    server.close()
    UdpServerSocket("0.0.0.0", port).close()  # all of them are closed


@two_addresses
def test_a_flood_at_one_address_does_not_keep_the_others_waiting(dial: Dial) -> None:
    server = UdpServerSocket("0.0.0.0", 0)
    flood, client = dial("127.0.0.1", server.address[1]), dial("127.0.0.2", server.address[1])
    flood.ask()
    client.ask()
    echo(server, 2)
    for _ in range(100):
        flood.ask(b"flood")
    client.ask(b"here")
    taken: list[bytes] = []
    for _ in range(2):  # of two addresses, one after the other
        taken += [data for data, _ in server.receive(16)]
    assert taken.count(b"here") == 1
    assert taken.count(b"flood") >= 16
    assert len(server.receive()) == 101 - len(taken)
    server.close()


@two_addresses
def test_what_is_remembered_of_clients_has_a_bound(
    dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp_server, "_MOST_ROUTES", 5)
    server = UdpServerSocket("0.0.0.0", 0)
    first = dial("127.0.0.1", server.address[1])
    first.ask()
    echo(server)
    clients = [dial("127.0.0.2", server.address[1]) for _ in range(12)]
    for client in clients:
        client.ask()
        echo(server)
        assert client.hears() == b"echo ask"
        assert len(server._routes) <= 5
    ports = [address[1] for address in server._routes]
    assert ports == [client.socket.getsockname()[1] for client in clients[-5:]]
    clients[0].ask(b"still here")  # it was forgotten meanwhile
    echo(server)
    assert clients[0].hears() == b"echo still here"
    assert len(server._routes) == 5
    server.close()


@two_addresses
def test_beyond_so_many_local_addresses_the_system_chooses(
    dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp_server, "_MOST_LOCAL", 1)
    server = UdpServerSocket("0.0.0.0", 0)
    within, beyond = (dial(host, server.address[1]) for host in ("127.0.0.2", "127.0.0.3"))
    for client in (within, beyond, within):
        client.ask()
        echo(server)
    assert [within.hears(), within.hears()] == [b"echo ask"] * 2
    assert beyond.hears(0.01) is None
    assert len(server._all_sockets()) == 2
    server.close()


@two_addresses
def test_a_machine_may_use_64_addresses_and_each_has_room_for_a_full_server() -> None:
    server = UdpServerSocket("0.0.0.0", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for last in range(1, 71):
            client.sendto(b"ask", (f"127.0.0.{last}", server.address[1]))
            take(server)
    sockets = server._all_sockets()
    assert len(sockets) == 1 + 64
    rooms = {each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for each in sockets}
    assert len(rooms) == 1
    server.close()


def test_sixteen_thousand_clients_of_the_other_addresses_are_remembered() -> None:
    server = UdpServerSocket("127.0.0.1", 0)
    through = udp_server.BoundSocket(server._all_sockets()[0])
    for number in range(20_000):
        server._route(("192.0.2.1", number), through)
    assert len(server._routes) == 16_384
    server.close()


@two_addresses
def test_a_system_that_refuses_a_second_socket_is_served_as_before(
    dial: Dial, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = UdpServerSocket("0.0.0.0", 0)
    client = dial("127.0.0.1", server.address[1])

    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(local_address.socket, "socket", Refusing)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            client.ask()
            echo(server)
            assert client.hears() == b"echo ask"
    (record,) = caplog.records  # once, and not for each datagram
    assert record.name == "ecsnet.server"
    assert "cannot answer from 127.0.0.1: [Errno 13] Permission denied" in record.getMessage()
    server.close()


def test_a_socket_of_one_address_asks_nothing() -> None:
    server = UdpServerSocket("127.0.0.1", 0)
    assert server._everywhere is None
    server.close()


def test_a_system_that_does_not_tell_is_served_as_before(
    dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_IP_PKTINFO", "_IPV6_RECVPKTINFO"):
        monkeypatch.setattr(local_address, name, None)
    assert not told("0.0.0.0")
    server = UdpServerSocket("0.0.0.0", 0)
    client = dial("127.0.0.1", server.address[1])
    client.ask()
    echo(server)
    assert client.hears() == b"echo ask"
    assert len(server._all_sockets()) == 1
    server.close()


@two_addresses
@pytest.mark.parametrize("watched", [True, False])
def test_on_an_event_loop_new_sockets_are_looked_at_like_the_first(
    dial: Dial, watched: bool
) -> None:
    async def work() -> None:
        server = UdpServer("0.0.0.0", 0)

        def echo(datagrams: Sequence[tuple[bytes, Address]], _now: float) -> None:
            for data, address in datagrams:
                server.send(b"echo " + data, address)

        server.start(echo)
        server.watch(watched)
        loop = asyncio.get_running_loop()
        for host in ("127.0.0.2", "127.0.0.1", "127.0.0.2"):
            client = dial(host, server.address[1])
            client.socket.setblocking(False)
            for _ in range(3):
                client.ask()
                answer = await asyncio.wait_for(loop.sock_recv(client.socket, 2048), 5)
                assert answer == b"echo ask"
        assert server.watched is watched
        server.watch(not watched)
        client.ask()
        assert await asyncio.wait_for(loop.sock_recv(client.socket, 2048), 5) == b"echo ask"
        server.close()
        assert server.errors == server.dropped == 0

    asyncio.run(work())
