from __future__ import annotations

import errno
import runpy
import socket
import struct
import sys
from unittest.mock import MagicMock

import pytest

from ecsnet.transport import local_address
from ecsnet.transport.local_address import bind_beside, local_host, tell_local_address

V4, V6 = 8, 50
SHARED = (socket.SOL_SOCKET, getattr(socket, "SO_REUSEPORT", 15))


@pytest.fixture(autouse=True)
def numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of one system, on all of them."""
    monkeypatch.setattr(local_address, "_IP_PKTINFO", V4)
    monkeypatch.setattr(local_address, "_IPV6_PKTINFO", V6)


def v4(local: str, sent_to: str | None = None) -> tuple[int, int, bytes]:
    packed = struct.pack("=i4s4s", 2, socket.inet_aton(local), socket.inet_aton(sent_to or local))
    return socket.IPPROTO_IP, V4, packed


def v6(sent_to: str, interface: int = 2) -> tuple[int, int, bytes]:
    packed = socket.inet_pton(socket.AF_INET6, sent_to) + interface.to_bytes(4, sys.byteorder)
    return socket.IPPROTO_IPV6, V6, packed


@pytest.mark.parametrize(
    ("beside", "host"),
    [
        (v4("127.0.0.2"), "127.0.0.2"),
        (v4("192.168.1.5", "192.168.1.255"), "192.168.1.5"),  # for everybody in the network
        (v4("0.0.0.0", "224.0.0.1"), None),
        (v6("::1"), "::1"),
        (v6("2001:db8::7", 3), "2001:db8::7"),
        (v6("::ffff:192.0.2.1"), "::ffff:192.0.2.1"),
        (v6("fe80::1", 3), "fe80::1%3"),
        (v6("febf::1", 4), "febf::1%4"),
        (v6("ff02::1"), None),
        (v6("::"), None),
        ((socket.IPPROTO_IP, V4, b"short"), None),
        ((socket.IPPROTO_IPV6, V6, b""), None),
        ((socket.SOL_SOCKET, *v4("127.0.0.2")[1:]), None),
        ((socket.IPPROTO_IP, V4 + 1, v4("127.0.0.2")[2]), None),
        ((socket.SOL_SOCKET, *v6("::1")[1:]), None),
        ((socket.IPPROTO_IPV6, V6 + 1, v6("::1")[2]), None),
    ],
)
def test_where_a_datagram_was_sent_to(beside: tuple[int, int, bytes], host: str | None) -> None:
    stranger = (socket.SOL_SOCKET, 29, bytes(16))
    assert local_host([beside]) == host
    assert local_host([stranger, beside, stranger]) == host


def test_nothing_beside_it_tells_nothing() -> None:
    assert local_host([]) is None


@pytest.mark.parametrize(
    ("host", "bound_to"),
    [
        ("fe80::1%3", ("fe80::1", 7777, 0, 3)),
        ("2001:db8::7", ("2001:db8::7", 7777, 0, 0)),
    ],
)
def test_a_socket_beside_is_bound_on_the_interface_that_its_address_names(
    host: str, bound_to: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No machine has them all."""
    made = MagicMock()
    made.getsockopt.return_value = 1 << 30  # the size of a buffer
    made.fileno.return_value = 3
    monkeypatch.setattr(local_address.socket, "socket", lambda *_: made)
    everywhere = MagicMock(family=socket.AF_INET6)
    everywhere.fileno.return_value = 0  # of a daemon that has closed its stdin
    everywhere.getsockname.return_value = ("::", 7777, 0, 0)
    assert bind_beside(everywhere, host) is made
    made.bind.assert_called_once_with(bound_to)
    made.setsockopt.assert_any_call(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    for each in (everywhere, made):  # for the moment of binding only
        shared = [call.args for call in each.setsockopt.mock_calls if call.args[:2] == SHARED]
        assert shared == [(*SHARED, 1), (*SHARED, 0)]


class Deaf(socket.socket):
    """On all addresses, on a system that has the option for it and refuses it."""

    def setsockopt(self, *_: object) -> None:
        raise OSError(errno.ENOPROTOOPT, "Protocol not available")


class WithoutRecvmsg:
    """A socket on all addresses, as Windows' Python makes it."""

    family = socket.AF_INET

    def getsockname(self) -> tuple[str, int]:
        return "0.0.0.0", 7777

    def setsockopt(self, *_: object) -> None: ...


def test_a_system_that_cannot_tell_is_not_asked() -> None:
    with Deaf(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("0.0.0.0", 0))
        assert not tell_local_address(deaf)
    assert not tell_local_address(WithoutRecvmsg())  # type: ignore[arg-type]


class Telling(socket.socket):
    """On all addresses, on a system that tells; notes the options that it is given."""

    def __init__(self, family: socket.AddressFamily, host: str) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.kind = family
        self.host = host
        self.options: list[tuple[object, ...]] = []

    @property
    def family(self) -> socket.AddressFamily:  # type: ignore[override]
        return self.kind  # no machine need have IPv6

    def getsockname(self) -> tuple[str, int]:
        return self.host, 7777

    def setsockopt(self, *option: object) -> None:
        self.options.append(option)


@pytest.mark.skipif(not hasattr(socket.socket, "recvmsg"), reason="cannot be told")
@pytest.mark.parametrize(
    ("family", "host", "option"),
    [
        (socket.AF_INET, "0.0.0.0", (socket.IPPROTO_IP, V4, 1)),
        (socket.AF_INET6, "::", (socket.IPPROTO_IPV6, V6 - 1, 1)),
        (socket.AF_INET, "192.168.1.5", None),  # it answers from there anyway
        (socket.AF_INET6, "2001:db8::7", None),
    ],
)
def test_the_system_is_asked_to_tell_by_the_option_of_the_sockets_family(
    family: socket.AddressFamily,
    host: str,
    option: tuple[object, ...] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_address, "_IPV6_RECVPKTINFO", V6 - 1)
    with Telling(family, host) as bound:
        assert tell_local_address(bound) is (option is not None)
        assert bound.options == ([] if option is None else [option])


@pytest.mark.parametrize(
    ("platform", "number"), [("linux", 8), ("darwin", 26), ("win32", None), ("freebsd14", None)]
)
def test_the_option_has_the_number_that_the_system_gives_it(
    platform: str, number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert runpy.run_path(local_address.__file__)["_IP_PKTINFO"] == number
