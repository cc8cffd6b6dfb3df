from __future__ import annotations

import errno
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

import ecsnet.transport.udp_client as client_module
from ecsnet.errors import UsageError
from ecsnet.transport.address import Address
from ecsnet.transport.udp_client import Resolver, UdpClientSocket, _look_up
from ecsnet.transport.udp_server import UdpServerSocket


def until(condition: Callable[[], object]) -> None:
    for _ in range(10_000):
        if condition():
            return
        time.sleep(0.001)
    raise AssertionError("it did not come to pass")


T = TypeVar("T")


def more(into: list[T], come: Iterable[T]) -> bool:
    into.extend(come)
    return True


def serve() -> UdpServerSocket:
    return UdpServerSocket("127.0.0.1", 0)


def closed_port() -> Address:
    server = serve()
    server.close()
    return server.address


def texts(server: UdpServerSocket) -> list[bytes]:
    return [data for data, _ in server.receive()]


def echo(server: UdpServerSocket) -> int:
    count = 0
    for data, source in server.receive():
        server.send(b"echo " + data, source)
        count += 1
    return count


def test_datagrams_go_to_the_server_and_come_from_it_only() -> None:
    server = serve()
    client = UdpClientSocket([server.address])
    assert list(client.receive()) == []
    client.send(b"hello")
    until(lambda: echo(server))
    got: list[bytes] = []
    until(lambda: more(got, client.receive()) and got)
    assert got == [b"echo hello"]
    assert client.address is None
    client.pin()
    assert client.address == server.address
    client.pin()

    here = client._sockets[socket.AF_INET].getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"forged", ("127.0.0.1", here[1]))
    client.send(b"again")
    until(lambda: echo(server))
    got.clear()
    until(lambda: more(got, client.receive()) and got)
    assert got == [b"echo again"]
    client.close()
    client.send(b"x")
    assert list(client.receive()) == []
    assert client.dropped == 0
    server.close()


def test_the_first_datagrams_go_to_one_address_after_the_other() -> None:
    servers = [serve() for _ in range(3)]
    client = UdpClientSocket([server.address for server in servers])
    for number in range(6):
        client.send(b"%d" % number)
    heard: list[list[bytes]] = [[] for _ in servers]
    for server, got in zip(servers, heard, strict=True):
        until(lambda server=server, got=got: more(got, texts(server)) and len(got) == 2)
    assert heard == [[b"0", b"3"], [b"1", b"4"], [b"2", b"5"]]
    client.close()
    for server in servers:
        server.close()


def test_once_it_stays_with_an_address_the_others_are_strangers() -> None:
    first, second = serve(), serve()
    client = UdpClientSocket([first.address, second.address])
    client.send(b"x")
    until(lambda: echo(first))
    until(lambda: list(client.receive()))
    client.pin()
    here = ("127.0.0.1", client._sockets[socket.AF_INET].getsockname()[1])
    second.send(b"late", here)
    client.send(b"x")
    until(lambda: echo(first))
    got: list[bytes] = []
    until(lambda: more(got, client.receive()) and got)
    assert got == [b"echo x"]
    client.close()
    first.close()
    second.close()


def test_a_clients_socket_asks_for_room_for_a_mebibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[tuple[object, ...]] = []

    class Noting(socket.socket):
        def setsockopt(self, *option: object) -> None:
            options.append(option)

    monkeypatch.setattr(client_module.socket, "socket", Noting)
    UdpClientSocket([("127.0.0.1", 9), ("127.0.0.2", 9)]).close()
    assert options == [(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)]


def test_addresses_are_tried_in_turn_and_the_one_that_answers_is_kept() -> None:
    server = serve()
    candidates: list[Address] = [closed_port(), ("::1", server.address[1], 0, 0), server.address]
    client = UdpClientSocket(candidates)
    client.pin()  # nothing has come: nothing to stay with
    assert client.address is None
    answers: list[bytes] = []
    for _ in range(6):
        client.send(b"anybody?")
    until(lambda: echo(server))
    until(lambda: more(answers, client.receive()) and answers)
    assert set(answers) == {b"echo anybody?"}
    client.pin()
    assert client.address == server.address
    assert set(client._sockets) == {socket.AF_INET}
    for _ in range(3):
        client.send(b"you")
    served = 0

    def all_served() -> bool:
        nonlocal served
        served += echo(server)
        return served == 3

    until(all_served)
    client.close()
    server.close()


def test_nobody_there_is_silence_and_not_an_error() -> None:
    client = UdpClientSocket([closed_port()])
    for _ in range(20):
        client.send(b"x")
        assert list(client.receive()) == []
    client.send(b"x" * 70_000)
    assert client.dropped == 1
    client.close()
    nowhere = UdpClientSocket([])
    nowhere.send(b"x")
    assert list(nowhere.receive()) == []
    nowhere.close()


def test_why_nothing_can_be_sent_is_known_until_something_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve()
    # No socket sends to there: a broadcast has to be asked for.
    client = UdpClientSocket([("255.255.255.255", 9), server.address])
    client.send(b"x")
    assert client.dropped == 1
    assert client.trouble is not None
    assert client.trouble.startswith("cannot send to 255.255.255.255: ")
    client.send(b"x")
    assert client.trouble is None
    client.send(b"x")  # to the first one again
    assert client.dropped == 2
    assert client.trouble is None
    client.close()
    server.close()


def test_an_address_of_a_kind_that_this_machine_lacks_is_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without(family: int, kind: int) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(client_module.socket, "socket", without)
    client = UdpClientSocket([("2001:db8::1", 7777, 0, 0)])
    client.send(b"x")
    assert client.trouble is not None
    assert re.fullmatch(r"cannot send to 2001:db8::1: .*no IPv6: .*", client.trouble)
    client.close()


def test_a_budget_bounds_one_poll() -> None:
    server = serve()
    client = UdpClientSocket([server.address])
    client.send(b"x")
    source: list[tuple[bytes, Address]] = []
    until(lambda: more(source, server.receive()) and source)
    for n in range(100):
        server.send(b"%d" % n, source[0][1])
    got: list[bytes] = []
    until(lambda: more(got, client.receive(7)) and len(got) >= 7)
    assert len(got) == 7
    until(lambda: more(got, client.receive()) and len(got) == 100)
    assert got == [b"%d" % n for n in range(100)]
    client.close()
    server.close()


def test_resets_are_swallowed_and_families_that_are_missing_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Scripted(socket.socket):
        script: list[OSError | tuple[bytes, Address]] = [
            ConnectionRefusedError(),
            (b"stranger", ("127.0.0.9", 1)),
            (b"data", ("127.0.0.1", 1)),
            BlockingIOError(),
        ]

        def __init__(self, family: int = -1, *args: object) -> None:
            if family == socket.AF_INET6:
                raise OSError("no IPv6 here")
            super().__init__(socket.AF_INET, socket.SOCK_DGRAM)

        def recvfrom(self, *args: object) -> tuple[bytes, Address]:
            step = self.script.pop(0)
            if isinstance(step, OSError):
                raise step
            return step

    monkeypatch.setattr(socket, "socket", Scripted)
    client = UdpClientSocket([("127.0.0.1", 1), ("::1", 1, 0, 0)])
    assert list(client.receive()) == [b"data"]
    client.send(b"x")
    client.send(b"x")  # the IPv6 address: no socket for it
    client.close()


def test_an_ipv6_server_is_known_by_host_and_port_whatever_the_interface(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Scripted(socket.socket):
        script: list[tuple[bytes, Address]] = [
            (b"data", ("fe80::1", 7777, 0, 2)),
            (b"stranger", ("fe80::2", 7777, 0, 2)),
            (b"stranger", ("fe80::1", 7778, 0, 2)),
        ]

        def __init__(self, *_: object) -> None:
            super().__init__(socket.AF_INET, socket.SOCK_DGRAM)  # no machine need have IPv6

        def recvfrom(self, *_: object) -> tuple[bytes, Address]:
            if not self.script:
                raise BlockingIOError
            return self.script.pop(0)

    monkeypatch.setattr(socket, "socket", Scripted)
    client = UdpClientSocket([("fe80::1", 7777, 0, 0)])
    assert list(client.receive()) == [b"data"]
    client.close()


# Names.


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", ("127.0.0.1", 7777)),
        ("0.0.0.0", ("127.0.0.1", 7777)),
        ("", ("127.0.0.1", 7777)),
        ("::1", ("::1", 7777, 0, 0)),
        ("::", ("::1", 7777, 0, 0)),
    ],
)
def test_digits_need_no_thread(host: str, address: Address) -> None:
    before = threading.active_count()
    assert Resolver(host, 7777).poll() == [address]
    assert threading.active_count() == before


def test_a_port_that_is_none_is_misuse() -> None:
    for port in (0, 65536, -1):
        with pytest.raises(UsageError, match=f"port {port} is not between 1 and 65535"):
            Resolver("127.0.0.1", port)


def test_a_name_is_looked_up_without_waiting() -> None:
    gate = threading.Event()
    addresses: list[Address] = [("192.0.2.1", 5), ("2001:db8::1", 5, 0, 0)]

    def slow(host: str, port: int) -> list[Address]:
        assert (host, port) == ("game.example", 5)
        assert gate.wait(20)
        return addresses

    resolver = Resolver("game.example", 5, lookup=slow)
    for _ in range(1000):
        assert resolver.poll() is None
    assert resolver.error is None
    # A program that ends does not wait for it.
    assert all(each.daemon for each in threading.enumerate() if each.name == "ecsnet-resolver")
    gate.set()
    until(resolver.poll)
    assert resolver.poll() == addresses


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (socket.gaierror(-2, "Name or service not known"), "cannot find game.example: Name or"),
        (UnicodeError("label too long"), "cannot find game.example: 'game.example' can be no"),
        (None, "cannot find game.example: it has no address"),
    ],
)
def test_a_name_that_is_not_there_is_a_text(failure: Exception | None, text: str) -> None:
    def failing(host: str, port: int) -> list[Address]:
        if failure is not None:
            raise failure
        return []

    resolver = Resolver("game.example", 5, lookup=failing)
    until(lambda: resolver.error)
    assert str(resolver.error).startswith(text)
    assert resolver.poll() is None


def test_each_address_of_a_name_is_tried_once_and_those_of_ipv4_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    v6 = (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("2001:db8::1", 5, 0, 0))
    v4 = (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.1", 5))
    other = (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.2", 5))
    found = [v6, v4, v4, v6, other]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert _look_up("game.example", 5) == [v4[4], other[4], v6[4]]


def test_localhost_is_found_ipv4_first() -> None:
    resolver = Resolver("localhost", 7777)
    until(resolver.poll)
    found = resolver.poll()
    assert found is not None
    assert found[0][:2] == ("127.0.0.1", 7777)
    assert len(found) == len(set(found)) == len(_look_up("localhost", 7777))
