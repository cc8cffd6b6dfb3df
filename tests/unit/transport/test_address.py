from __future__ import annotations

import socket

import pytest

from ecsnet.transport import address as address_module
from ecsnet.transport.address import Address, answerable, lan_host, parse_address, spell_address


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
        ("2 nonsense", 7777),
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
