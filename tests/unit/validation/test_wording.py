"""Values and the system's refusals, as messages name them."""

from __future__ import annotations

import enum
import errno
import os
import re
import socket

import pytest

import ecsnet as net
from ecsnet.schema import Registry, use_registry
from ecsnet.validation.wording import bind_trouble, brief, file_trouble, send_trouble

with use_registry(Registry()):

    @net.replicated
    class Tank:
        x: float = 0.0


class Plain:
    pass


class Angry:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        ("x", "'x'"),
        (None, "None"),
        (Tank, "class Tank"),
        (type(None), "None"),
        (enum.EnumMeta("Hue", (enum.Enum,), enum.EnumMeta.__prepare__("Hue", ())), "class Hue"),
        ([int, Plain], "[class int, class Plain]"),
        ({"a": Plain()}, "{'a': a Plain}"),
        (os, "module os"),
        (len, "function len()"),
        (brief, "function brief()"),
        ("x".upper, "function upper()"),
        (object(), "an object"),
        (Tank(1.5), "Tank(x=1.5)"),
        (type(Tank), "class StructMeta"),
    ],
)
def test_a_value_is_named_as_its_author_knows_it(value: object, text: str) -> None:
    assert brief(value) == text


def test_a_value_is_named_whatever_it_is() -> None:
    assert brief(Angry()) == "an Angry"
    assert brief(type("list", (), {})()) == "a list"
    assert len(brief("x" * 10_000)) < 100
    assert len(brief([["y" * 100] * 100] * 100)) <= 200


def refused(number: int) -> OSError:
    return OSError(number, os.strerror(number))


LOOKUPS = [
    (socket.gaierror(socket.EAI_NONAME, "Name unknown"), "Name unknown: is it spelt right"),
    (socket.gaierror(socket.EAI_AGAIN, "Try again"), "no name server answers: .* online"),
    (UnicodeError("label empty or too long"), "'fe80::1' can be no name of a machine"),
    (ValueError("embedded null character"), "can be no name of a machine: is it spelt"),
]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (refused(errno.EADDRNOTAVAIL), "no address of this machine: '0.0.0.0'"),
        (refused(errno.EACCES), "below 1024 .* above, such as 7777"),
        (refused(errno.EAFNOSUPPORT), "no IPv6: use an IPv4 address"),
        (refused(errno.EPERM), "firewall"),
        (refused(errno.EINVAL), "needs its interface: 'fe80::1%eth0'"),
        (refused(errno.EMFILE), "ulimit"),
        *LOOKUPS,
    ],
)
def test_what_cannot_be_served_on_comes_with_a_way_out(error: Exception, says: str) -> None:
    text = bind_trouble(error, "fe80::1", 80)
    assert re.search(says, text)
    if isinstance(error, OSError):
        assert text.startswith(f"{error.strerror}: ")


def test_a_port_that_needs_no_administrator_has_another_way_out() -> None:
    text = bind_trouble(refused(errno.EACCES), "127.0.0.1", 7777)
    assert "1024" not in text
    assert "try another one" in text


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (refused(errno.ENETUNREACH), "is it online"),
        (refused(errno.EHOSTUNREACH), "is it online"),
        (refused(errno.EADDRNOTAVAIL), "is it online"),
        (refused(errno.EACCES), "an address of many machines, or a firewall"),
        (refused(errno.EPERM), "firewall"),
        (refused(errno.EAFNOSUPPORT), "no IPv6: use the server's IPv4 address"),
        (refused(errno.EINVAL), "fe80 needs its interface"),
        *LOOKUPS,
    ],
)
def test_what_cannot_be_sent_to_comes_with_a_way_out(error: Exception, says: str) -> None:
    text = send_trouble(error, "fe80::1")
    assert re.search(says, text)
    if isinstance(error, OSError):
        assert text.startswith(f"{error.strerror}: ")


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EACCES, "let the user who runs this"),
        (errno.ENOENT, "spelt right"),
        (errno.ENOTDIR, "name a folder"),
        (errno.EISDIR, "name a file"),
        (errno.ENOSPC, "make room"),
        (errno.EROFS, "can be written"),
        (errno.EMFILE, "ulimit"),
    ],
)
def test_what_a_file_cannot_do_comes_with_a_way_out(number: int, says: str) -> None:
    text = file_trouble(refused(number))
    assert text.startswith(f"{os.strerror(number)}: ")
    assert says in text


def test_what_has_no_known_way_out_is_said_as_it_is() -> None:
    assert file_trouble(refused(errno.EPROTO)) == os.strerror(errno.EPROTO)
    assert bind_trouble(refused(errno.EPROTO), "host", 7777) == os.strerror(errno.EPROTO)
    assert send_trouble(refused(errno.EPROTO), "host") == os.strerror(errno.EPROTO)
    assert file_trouble(OSError("of another kind")) == "of another kind"
