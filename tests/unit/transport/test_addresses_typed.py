"""What people type as an address: taken apart in one place, or refused with a `UsageError`."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.client.world import ClientWorld
from ecsnet.errors import UsageError
from ecsnet.transport.address import bind_udp, check_local, check_port, check_remote, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.168.1.5", ("192.168.1.5", 7777)),
        ("192.168.1.5:80", ("192.168.1.5", 80)),
        ("192.168.1.5:00080", ("192.168.1.5", 80)),
        ("example.org", ("example.org", 7777)),
        ("example.org.:80", ("example.org.", 80)),
        ("game_server-1:80", ("game_server-1", 80)),
        ("bücher.example:80", ("bücher.example", 80)),
        (" example.org:65535 ", ("example.org", 65535)),
        ("h." * 127 + "h:80", ("h." * 127 + "h", 80)),
        ("::1", ("::1", 7777)),
        ("fe80::1:2", ("fe80::1:2", 7777)),
        ("fe80::1%eth0", ("fe80::1%eth0", 7777)),
        ("::ffff:10.0.0.1", ("::ffff:10.0.0.1", 7777)),
        ("[::1]", ("::1", 7777)),
        ("[::1]:9", ("::1", 9)),
        (" [::1]:7778", ("::1", 7778)),
        ("\t[::1]\n", ("::1", 7777)),
        ("[fe80::1%3]:9", ("fe80::1%3", 9)),
    ],
)
def test_addresses_are_taken_apart(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text, 7777) == address


NONE = [
    *("", " ", ":", ":80", "[]", "[]:5", "[", "]", "[::1", "::1]", "[::1]x", "[::1]:", "[::1]8077"),
    *("host:", "host:0", "host:65536", "host:-1", "host:+1", "host:x", "host: 80", "host :80"),
    *("host:7_777", "host:²", "1.2.3.4:²", "host:٣", "host:\U0001d7d7", "host:1e3", "host:0x50"),
    *("host:" + "9" * 5000, "[::1]:" + "9" * 5000, "h" * 64, "h." * 128, "a..b", ".a"),
    *("[1.2.3.4]:80", "[host]:80", "1.2.3.4:80:90", "host:80:90", "1::2::3", "::g"),
    *("1.2.3.4.5", "256.1.1.1", "127.1", "7777", "1.2.3.4%eth0", "host%eth0"),
    *("::1%", "::1%%25", "[::1%]:80", "::1%a b", "[::1%a/b]:80"),
    *("a\u00adb", "::1%a\x07", "[::1%a\x07]:80", "h." * 200),
    *("http://host:80", "udp://host", "host/", "user@host", "ho st", "a\nb", "a\0b"),
]  # fmt: skip


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no address: write HOST or HOST:PORT"):
        parse_address(text, 7777)
    with pytest.raises(UsageError, match=r"^connect\("):
        check_remote(text, 7777)


@pytest.mark.parametrize("text", [None, 7777, b"host", ("host", 80)])
def test_what_is_no_text_is_refused(text: object) -> None:
    with pytest.raises(UsageError, match="is no address"):
        parse_address(text, 7777)  # type: ignore[arg-type]


HINTS = [
    ("1.2.3.4:²", "'1.2.3.4', 7777"),
    ("1.2.3.4:٣", "'1.2.3.4', 7777"),
    (" host ", "'host', 7777"),
    (" [::1]:80", "'::1', 80"),
]


@pytest.mark.parametrize(("host", "instead"), HINTS)
def test_connect_says_how_to_write_it(host: str, instead: str) -> None:
    with pytest.raises(UsageError) as caught:
        ClientWorld.connect(host)
    assert str(caught.value).endswith(f"a parameter of its own: connect({instead})")


hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{1,20}){0,3}", fullmatch=True),
)
ports = st.integers(1, 65535)
blanks = st.text(" \t\n\r\u00a0\u2003", max_size=3)


@given(hosts, ports, blanks, blanks)
def test_every_form_of_an_address_says_the_same(
    host: str, port: int, before: str, after: str
) -> None:
    with_port = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    assert parse_address(f"{before}{with_port}{after}", 7777) == (host, port)
    assert parse_address(f"{before}{host}{after}", 7777) == (host, 7777)
    if ":" in host:
        assert parse_address(f"{before}[{host}]{after}", 7777) == (host, 7777)


fragments = st.lists(
    st.one_of(
        st.sampled_from(["[", "]", ":", "::1", "%", ".", "0", "²", "٣", "_", "+", "host", " "]),
        st.characters(),
        st.integers(-1, 70_000).map(str),
    ),
    max_size=8,
).map("".join)


@given(st.one_of(st.text(max_size=20), fragments))
def test_all_else_is_a_usage_error(text: str) -> None:
    try:
        host, port = parse_address(text, 7777)
    except UsageError:
        return
    assert 0 < port < 65536
    assert host
    assert host in text
    assert host == host.strip()
    assert host.isprintable()
    assert not set(host) & set("[]/@ ")
    if ":" in host:
        ipaddress.IPv6Address(host)
    # Taken apart once, it stays as it is; and with a port it can be written down again.
    assert parse_address(host, port) == (host, port)
    again = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    assert parse_address(again, 1) == (host, port)


@pytest.mark.parametrize("host", ["127.0.0.1:7777", "localhost:7777", ":7777", "[::1]:7777"])
def test_a_port_behind_a_host_to_serve_on_is_told_its_place(host: str) -> None:
    with pytest.raises(UsageError, match="the port is given by itself: port=7777"):
        bind_udp(host, 0)
    for alone in ("", "0", "127.0.0.1", "localhost", "::", "::1", "fe80::1%eth0", "fe80::7777"):
        check_local(alone, 0)
    for no_port in ("127.0.0.1:", "host:game"):  # the look-up says what is wrong
        check_local(no_port, 0)


@pytest.mark.parametrize("host", ["a\0b", "\ud800", "h" * 64, "a..b"])
def test_a_host_to_serve_on_that_cannot_be_is_a_usage_error(host: str) -> None:
    with pytest.raises(UsageError, match="cannot serve on"):
        bind_udp(host, 0)


def test_ports_from_the_first_to_the_last_are_ports() -> None:
    for port in (1, 65535):
        check_port(port)
    check_local("127.0.0.1", 0)  # any that is free
    for port in (-1, 0, 65536):
        with pytest.raises(UsageError, match=f"port {port} is not between 1 and 65535"):
            check_port(port)


def test_a_server_is_reached_at_ports_from_the_first_to_the_last() -> None:
    for port in (1, 65535):
        check_remote("127.0.0.1", port)
    for none in (-1, 0, 65536, True, 7777.0, "7777", None):
        with pytest.raises(UsageError, match=r"^connect\(.* a number from 1 to 65535$"):
            check_remote("127.0.0.1", none)


@pytest.mark.parametrize("port", [True, 7777.0, "7777", None])
def test_a_port_to_serve_on_is_a_number(port: object) -> None:
    with pytest.raises(UsageError, match=r"^port=.*: give a number from 0 to 65535$"):
        check_local("127.0.0.1", port)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", [None, 7777, b"127.0.0.1"])
def test_a_host_to_serve_on_is_a_text(host: object) -> None:
    with pytest.raises(UsageError, match=r"^host=.*: give a name or an address"):
        check_local(host, 0)  # type: ignore[arg-type]
