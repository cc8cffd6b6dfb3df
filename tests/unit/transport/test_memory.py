from __future__ import annotations

import sys

from ecsnet.testing import TransportEnds, check_transport
from ecsnet.transport.memory import IN_PROCESS, MemoryServer


def test_bytes_cross_in_order_both_ways() -> None:
    server = MemoryServer()
    client = server.connect()
    for n in range(5):
        client.send(bytes([n]))
    server.send(b"back", client.address)
    assert list(server.receive(3)) == [(bytes([n]), client.address) for n in range(3)]
    assert list(server.receive()) == [(b"\3", client.address), (b"\4", client.address)]
    assert list(server.receive()) == []
    client.pin()
    assert list(client.receive()) == [b"back"]


def test_each_client_has_an_address_that_no_socket_has() -> None:
    server = MemoryServer()
    clients = [server.connect() for _ in range(3)]
    addresses = [client.address for client in clients]
    assert len({server.address, *addresses}) == 4
    assert addresses == [(IN_PROCESS, 1), (IN_PROCESS, 2), (IN_PROCESS, 3)]
    for number, client in enumerate(clients):
        server.send(b"%d" % number, client.address)
    assert [list(client.receive()) for client in clients] == [[b"0"], [b"1"], [b"2"]]


def test_what_comes_while_receiving_waits_for_the_next_time() -> None:
    server = MemoryServer()
    client = server.connect()
    client.send(b"first")
    echoes = 0
    for data, _ in server.receive():
        client.send(data)
        echoes += 1
    assert echoes == 1
    assert list(server.receive()) == [(b"first", client.address)]


def test_what_nobody_fetches_is_lost_beyond_a_bound() -> None:
    server = MemoryServer()
    client = server.connect()
    for _ in range(5000):
        client.send(b"x")
        server.send(b"y", client.address)
    assert client.dropped == server.dropped == 5000 - 4096
    assert len(list(server.receive())) == len(list(client.receive())) == 1000
    assert len(list(server.receive(10_000))) == len(list(client.receive(10_000))) == 3096


def test_an_end_that_is_closed_while_it_receives_gives_no_more() -> None:
    server = MemoryServer()
    client, other = server.connect(), server.connect()
    for number in range(3):
        client.send(b"%d" % number)
        server.send(b"%d" % number, client.address)
        server.send(b"%d" % number, other.address)
    got = []
    for data in client.receive():
        got.append(data)
        client.close()
    assert got == [b"0"]
    seen = []
    for data, _ in server.receive():
        seen.append(data)
        server.close()
    assert seen == [b"0"]
    assert list(other.receive()) == [b"0", b"1", b"2"]


def test_a_closed_end_sends_nothing_and_its_last_words_arrive() -> None:
    server = MemoryServer()
    client, other = server.connect(), server.connect()
    client.send(b"last words")
    client.close()
    client.send(b"more")
    assert list(server.receive()) == [(b"last words", client.address)]
    server.send(b"to nobody", client.address)
    assert server.dropped == 1
    server.send(b"goodbye", other.address)
    server.close()
    server.send(b"more", other.address)
    assert list(other.receive()) == [b"goodbye"]
    other.send(b"anybody?")
    assert (client.dropped, other.dropped, server.dropped) == (0, 1, 1)


def test_a_client_of_a_closed_server_reaches_nobody() -> None:
    server = MemoryServer()
    server.close()
    client = server.connect()
    client.send(b"x")
    assert list(client.receive()) == list(server.receive()) == []
    assert client.dropped == 1


def test_a_closed_server_holds_on_to_no_client() -> None:
    server = MemoryServer()
    client = server.connect()
    held = sys.getrefcount(client)
    server.close()
    assert sys.getrefcount(client) == held - 1


def test_it_keeps_the_contract_of_transports() -> None:
    def make() -> TransportEnds:
        server = MemoryServer()
        return TransportEnds(server, server.connect)

    report = check_transport(make)
    assert report, report
    assert report.datagrams > 2400
