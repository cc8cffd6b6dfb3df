from __future__ import annotations

import logging
import socket
from collections.abc import Hashable
from typing import ClassVar

import pytest

from ecsnet.errors import UsageError
from ecsnet.transport import address as address_module
from ecsnet.transport.address import (
    DEFAULT_PORT,
    Address,
    answerable,
    bind_udp,
    lan_host,
    parse_address,
    source_of,
    spell_address,
)


@pytest.mark.parametrize(
    "address",
    [
        ("127.0.0.1", 1),
        ("192.168.1.5", 7777),
        ("203.0.113.5", 65535),
        ("223.255.255.254", 9),
        ("::1", 7777, 0, 0),
        ("fe80::1%2", 7777, 0, 2),
        ("fd00::1", 7777, 0, 0),
        ("2001:db8::1", 7777, 0, 0),
        ("::ffff:192.0.2.1", 7777, 0, 0),
        # A transport of another kind has hosts of another kind.
        ("in process", 1),
        ("friend-1", 1),
        ("2nd player", 1),
        ("::first", 1),
    ],
)
def test_hosts_are_answered(address: Address) -> None:
    assert answerable(address)


@pytest.mark.parametrize(
    "address",
    [
        ("127.0.0.1", 0),
        ("::1", 0, 0, 0),
        ("255.255.255.255", 7777),
        ("224.0.0.1", 7777),
        ("239.255.255.250", 1900),
        ("ff02::1", 7777, 0, 0),
        ("::", 7777, 0, 0),
        ("::ffff:224.0.0.1", 7777, 0, 0),
        ("::ffff:255.255.255.255", 7777, 0, 0),
        ("", 7777),
    ],
)
def test_port_0_broadcast_and_multicast_are_not(address: Address) -> None:
    assert not answerable(address)


@pytest.mark.parametrize("host", ["192.168.1.5", "example.org", "::1", "fe80::1%eth0"])
@pytest.mark.parametrize("port", [1, 7777, 65535])
def test_what_is_spelt_can_be_taken_apart(host: str, port: int) -> None:
    text = spell_address(host, port, 7777)
    assert parse_address(text, 7777) == (host, port)
    assert (text == host) is (port == 7777)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (("192.168.1.5", 7777), "192.168.1.5"),
        (("fe80::1%eth0", 7777, 0, 2), "fe80::1%eth0"),
        (("127.0.0.1", 7777), None),
        (("127.8.9.1", 7777), None),
        (("::1", 7777, 0, 0), None),
    ],
)
def test_where_others_reach_a_socket_that_is_bound_to_one_address(
    address: Address, host: str | None
) -> None:
    assert lan_host(address) == host


V4, V6 = "192.168.1.5", "2001:db8::7"


@pytest.mark.parametrize(
    ("host", "has", "reached"),
    [
        ("0.0.0.0", (V4, V6), V4),
        ("0.0.0.0", (None, V6), None),
        ("::", (V4, V6), V4),  # people can read it to each other
        ("::", (V4, None), V4),
        ("::", (None, V6), V6),
        ("::", (None, None), None),
    ],
)
def test_where_others_reach_a_socket_that_is_bound_to_all_addresses(
    host: str,
    has: tuple[str | None, str | None],
    reached: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outgoing = dict(zip((socket.AF_INET, socket.AF_INET6), has, strict=True))
    monkeypatch.setattr(address_module, "_outgoing", lambda family, _: outgoing[family])
    assert lan_host((host, 7777)) == reached


@pytest.mark.parametrize(
    ("own", "reached"), [("192.168.1.5", "192.168.1.5"), ("127.0.0.1", None), (None, None)]
)
def test_the_address_on_the_way_out_is_the_systems_choice(
    own: str | None, reached: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Probe(socket.socket):
        def connect(self, address: object) -> None:
            if own is None:
                raise OSError("Network is unreachable")

        def getsockname(self) -> tuple[str | None, int]:
            return own, 50_000

    monkeypatch.setattr(address_module.socket, "socket", Probe)
    assert lan_host(("0.0.0.0", 7777)) == reached


@pytest.mark.parametrize(
    ("address", "source"),
    [
        (("192.0.2.1", 7777), "192.0.2.1"),
        (("::ffff:192.0.2.1", 7777, 0, 0), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 7777, 0, 0), "2001:db8:1:2::"),
        (("fe80::7%eth0", 7777, 0, 2), "fe80::"),
        (("in process", 3), "in process"),
        (("a: no address", 3), "a: no address"),
        ((5, 3), 5),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        (7, 7),
        (b"::1", b"::1"),
        (None, None),
    ],
)
def test_the_source_of_an_address_is_its_host_or_the_network_of_that(
    address: Hashable, source: Hashable
) -> None:
    assert source_of(address) == source


class Noting(socket.socket):
    """Notes the options that it is given; what it has for a receive buffer can be said."""

    options: ClassVar[dict[tuple[int, int], object]] = {}
    buffer = 4 << 20

    def setsockopt(self, level: int, option: int, value: object) -> None:  # type: ignore[override]
        self.options[level, option] = value

    def getsockopt(self, *_: int) -> int:  # type: ignore[override]
        return self.buffer

    def bind(self, address: object) -> None: ...


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> type[Noting]:
    monkeypatch.setattr(Noting, "options", {})
    monkeypatch.setattr(address_module.socket, "socket", Noting)
    return Noting


def test_a_servers_socket_asks_for_room_for_what_a_full_server_gets(noting: type[Noting]) -> None:
    bind_udp("127.0.0.1", 0).close()
    assert noting.options == {
        (socket.SOL_SOCKET, socket.SO_RCVBUF): 4 * 1024 * 1024,
        (socket.SOL_SOCKET, socket.SO_SNDBUF): 1024 * 1024,
    }


@pytest.mark.parametrize(("buffer", "warned"), [((1 << 20) - 1, True), (1 << 20, False)])
def test_a_receive_buffer_below_a_mebibyte_is_a_warning(
    buffer: int,
    warned: bool,
    noting: type[Noting],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(noting, "buffer", buffer)
    with caplog.at_level(logging.WARNING):
        bind_udp("127.0.0.1", 0).close()
    assert len(caplog.records) == warned


V6_FIRST = [
    (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", 0, 0, 0)),
    (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", 0)),
]


def test_a_name_with_addresses_of_both_kinds_is_served_on_the_ipv4_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for found in (V6_FIRST, V6_FIRST[::-1]):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, found=found, **__: found)
        with bind_udp("localhost", 0) as bound:
            assert bound.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(("host", "only_v6"), [("::", False), ("::1", True)])
def test_all_addresses_are_those_of_both_kinds_whatever_the_systems_default(
    host: str, only_v6: bool, noting: type[Noting]
) -> None:
    try:
        bind_udp(host, 0).close()
    except UsageError:
        pytest.skip("no IPv6")
    assert noting.options[socket.IPPROTO_IPV6, socket.IPV6_V6ONLY] == only_v6


def test_no_host_at_all_is_every_address_of_the_machine() -> None:
    with bind_udp("", 0) as bound:
        assert bound.getsockname()[0] == "0.0.0.0"


def test_the_port_of_those_who_say_none_stays_the_same() -> None:
    assert DEFAULT_PORT == 7777  # people have typed it into their routers
