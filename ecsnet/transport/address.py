"""Socket addresses: which of them may be answered, and how a server's socket is bound."""

from __future__ import annotations

import errno
import ipaddress
import logging
import re
import socket
from collections.abc import Hashable
from contextlib import suppress
from functools import lru_cache
from typing import TypeAlias

from ecsnet.errors import AddressInUseError, UsageError
from ecsnet.validation.arguments import is_text, is_whole
from ecsnet.validation.wording import bind_trouble, brief

__all__ = [
    "DEFAULT_PORT",
    "Address",
    "answerable",
    "bind_udp",
    "check_local",
    "check_port",
    "check_remote",
    "enlarge_buffers",
    "is_unicast",
    "lan_host",
    "parse_address",
    "source_of",
    "spell_address",
]

Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
"""(host, port) for IPv4, (host, port, flow info, scope id) for IPv6."""

DEFAULT_PORT = 7777
"""The UDP port of servers and clients that say none."""

RECEIVE_BUFFER = 4 << 20
"""Bytes that a server's socket asks for: what a full server gets in one tick, and a stall."""

SEND_BUFFER = 1 << 20

# Below this, some hundred clients that speak at once overflow the socket.
_SMALL_BUFFER = 1 << 20

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_PORT = re.compile(r"[0-9]{1,5}")  # int() takes signs, underscores and other digits as well
_ZONE = re.compile(r"[^\s%/\[\]]+")  # an interface's name or number

_log = logging.getLogger("ecsnet.server")


def answerable(address: Address) -> bool:
    """Return whether a datagram from there may be answered.

    A forged source can be port 0, broadcast or multicast: answering those errs or floods.
    """
    if address[1] == 0:
        return False
    host = address[0]
    # Only what starts like this can be a multicast or broadcast address.
    return host[:1] not in ("2", "f", ":", "") or is_unicast(host)


@lru_cache(maxsize=1024)
def is_unicast(host: str) -> bool:
    """Return whether it is the address of one machine: no group, not everybody, not "any"."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return bool(host)  # a transport of another kind has hosts of another kind
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return not (
        address.is_multicast
        or address.is_unspecified
        or address == ipaddress.IPv4Address("255.255.255.255")
    )


def parse_address(text: str, port: int) -> tuple[str, int]:
    """Take ``HOST``, ``HOST:PORT``, ``[IPV6]:PORT`` or ``IPV6`` apart; nothing is looked up.

    Args:
        text: What somebody typed; blanks around it do not count.
        port: The port where it names none.

    Returns:
        The host, as it was written and without brackets, and the port.

    Raises:
        UsageError: It is none of these, or its port is not between 1 and 65535.
    """
    if not is_text(text):
        raise _no_address(text)
    typed = text.strip()
    host, bracket, rest = typed[1:].partition("]") if typed[:1] == "[" else ("", "", "")
    separator, digits = rest[:1], rest[1:]
    if bracket:
        possible = _is_ipv6(host) and separator in ("", ":")
    else:
        host, separator, digits = typed.partition(":")
        if ":" in digits:
            host, separator = typed, ""
        possible = _is_ipv6(host) if ":" in host else _is_name(host)
    if separator:
        possible = possible and _PORT.fullmatch(digits) is not None and 0 < int(digits) < 65536
    if not possible:
        raise _no_address(text)
    return host, int(digits) if separator else port


def check_remote(host: object, port: object) -> None:
    """Refuse an address that no server can be reached at, without a look at the network.

    Raises:
        UsageError: It has no host, or no port from 1 to 65535.
    """
    if not is_whole(port) or not 0 < port < 65536:
        raise UsageError(
            f"connect({brief(host)}, {brief(port)}): a port is a number from 1 to 65535"
        )
    name, own = "", port
    for text in (host, host.rpartition(":")[0]) if is_text(host) else ():
        with suppress(UsageError):  # what stands behind the colon may be no port
            name, own = parse_address(text, port)
            break
    if not name:
        raise UsageError(f"connect({brief(host)}): give the name or the address of the server")
    if name != host:
        raise UsageError(
            f"connect({brief(host)}): the port is a parameter of its own: connect({name!r}, {own})"
        )


def spell_address(host: str, port: int, default: int) -> str:
    """Write what `parse_address` takes apart, without the port where that is the default one."""
    if port == default:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def lan_host(address: Address) -> str | None:
    """Return where others in this network reach a socket that is bound to an address.

    Nothing is sent to find out, and no name is looked up.

    Returns:
        An address in digits; None where nobody else can reach it, or there is no network.
    """
    host = address[0]
    if host == "0.0.0.0":
        return _outgoing(socket.AF_INET, "192.0.2.1")
    if host == "::":
        return _outgoing(socket.AF_INET, "192.0.2.1") or _outgoing(socket.AF_INET6, "2001:db8::1")
    return None if _is_loopback(host) else host


def _outgoing(family: socket.AddressFamily, somewhere: str) -> str | None:
    """Return this machine's address on the way out: UDP connects without a packet."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((somewhere, 9))
            host = str(probe.getsockname()[0])
    except OSError:  # it is in no network
        return None
    return None if _is_loopback(host) else host


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def _no_address(text: object) -> UsageError:
    return UsageError(
        f"{brief(text)} is no address: write HOST or HOST:PORT, such as 192.168.1.5:7777 or"
        " [::1]:7777, PORT from 1 to 65535"
    )


def _is_ipv6(text: str) -> bool:
    host, percent, zone = text.partition("%")
    if percent and not (zone.isprintable() and _ZONE.fullmatch(zone)):
        return False
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _is_name(text: str) -> bool:
    """Return whether a text can be looked up: an IPv4 address, or a name in any script."""
    try:
        plain = text.encode("idna").decode()
        if plain.rpartition(".")[2].isdigit():  # no name ends like that
            ipaddress.IPv4Address(plain)
    except ValueError:
        return False
    return text.isprintable() and len(plain) < 256 and _NAME.fullmatch(plain) is not None


def source_of(address: Hashable) -> Hashable:
    """Return the source of an address: an IPv4 address, or the /64 of an IPv6 one.

    One household or machine has a whole /64 to itself. An IPv4 address inside an IPv6 one is the
    former; ports and scopes make no difference.
    """
    host = address[0] if isinstance(address, tuple) else address
    return _network(host) if isinstance(host, str) and ":" in host else host


@lru_cache(maxsize=1024)
def _network(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = address.ipv4_mapped
    return (
        str(mapped) if mapped is not None else str(ipaddress.IPv6Address(int(address) >> 64 << 64))
    )


def check_port(port: int, *, lowest: int = 1) -> None:
    """Raise ``UsageError`` for a number that is no port; the system would cut off its top."""
    if type(port) is not int:
        raise UsageError(f"port={brief(port)}: give a number from {lowest} to 65535")
    if not lowest <= port <= 65535:
        raise UsageError(f"port {brief(port)} is not between {lowest} and 65535")


def check_local(host: str, port: int) -> None:
    """Raise ``UsageError`` for an invalid address of a server."""
    check_port(port, lowest=0)
    if not is_text(host):
        raise UsageError(f"host={brief(host)}: give a name or an address, such as '0.0.0.0'")
    name, colon, digits = host.rpartition(":")
    if colon and _PORT.fullmatch(digits) and (":" not in name or name.endswith("]")):
        raise UsageError(f"host={brief(host)}: the port is given by itself: port={digits}")


def bind_udp(host: str, port: int) -> socket.socket:
    """Return a non-blocking UDP socket bound to an address of this machine.

    Args:
        host: A name or an address; ``"0.0.0.0"`` for every IPv4 address of the machine,
            ``"::"`` for every address of both kinds.
        port: The port, 0 for any free one.

    Raises:
        AddressInUseError: Another socket has the port.
        UsageError: There is no such port, or the address is not one of this machine's.
    """
    check_local(host, port)
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_DGRAM)
    except (OSError, ValueError, OverflowError) as error:
        raise _cannot_serve(error, host, port) from None
    # "localhost" is both ::1 and 127.0.0.1; people dial the latter.
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    try:
        bound = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        raise _cannot_serve(error, host, port) from None
    try:
        bound.setblocking(False)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        enlarge_buffers(bound)
        _warn_of_small_buffer(bound)
        # No SO_REUSEADDR: with it two servers could share a port and halve the players.
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _cannot_serve(error, host, port) from None
    return bound


def _cannot_serve(error: Exception, host: str, port: int) -> UsageError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return AddressInUseError(
            f"port {port} on {host} is in use: is a server running already? Join the game there,"
            " or use another port"
        )
    return UsageError(f"cannot serve on {host}:{port}: {bind_trouble(error, host, port)}")


def enlarge_buffers(bound: socket.socket) -> None:
    """Ask for the buffers of a server's socket; a system may give less, or refuse."""
    for option, size in ((socket.SO_RCVBUF, RECEIVE_BUFFER), (socket.SO_SNDBUF, SEND_BUFFER)):
        try:
            bound.setsockopt(socket.SOL_SOCKET, option, size)
        except OSError:  # macOS refuses what it caps elsewhere
            continue


def _warn_of_small_buffer(bound: socket.socket) -> None:
    got = bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    if got < _SMALL_BUFFER:
        _log.warning(
            "the socket's receive buffer has %d KiB of the %d KiB asked for; "
            "a full server loses datagrams: raise net.core.rmem_max",
            got >> 10,
            RECEIVE_BUFFER >> 10,
        )
