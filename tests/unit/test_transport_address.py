from __future__ import annotations

import pytest

from ecsnet.transport.address import Address, answerable


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
