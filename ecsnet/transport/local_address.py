"""The address of this machine that a datagram was sent to, and a socket to answer from there.

A socket that is bound to all addresses (0.0.0.0 or ::) answers from the one that the system
prefers for the way out. A client that asked another one takes that for a stranger's datagram. So
such a socket has the system tell, beside each datagram, where it was sent to, and each address in
use gets a socket of its own.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterable
from typing import Final

from ecsnet.transport.address import enlarge_buffers, is_unicast

__all__ = ["ANCILLARY_BYTES", "bind_beside", "local_host", "tell_local_address"]

logger = logging.getLogger("ecsnet.server")

# Python has no name for the first; the number is in the system's <netinet/in.h>.
_IP_PKTINFO: Final = {"linux": 8, "darwin": 26}.get(sys.platform)
_IPV6_PKTINFO: Final[int | None] = getattr(socket, "IPV6_PKTINFO", None)
_IPV6_RECVPKTINFO: Final[int | None] = getattr(socket, "IPV6_RECVPKTINFO", None)

_LINK_LOCAL: Final = ("fe8", "fe9", "fea", "feb")  # fe80::/10

ANCILLARY_BYTES: Final = 64
"""The room for ancillary data in `socket.recvmsg`: either message takes 40 bytes at most."""


def tell_local_address(bound: socket.socket) -> bool:
    """Have the system tell, with each datagram, which address it was sent to.

    Returns:
        Whether it does, and whether that is of use: a socket that is bound to one address answers
        from there anyway.
    """
    if not _is_everywhere(bound) or not hasattr(bound, "recvmsg"):
        return False
    if bound.family == socket.AF_INET6:
        level, option = socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO
    else:
        level, option = socket.IPPROTO_IP, _IP_PKTINFO
    if option is None:
        return False
    try:
        bound.setsockopt(level, option, 1)
    except OSError:
        return False
    return True


def local_host(ancillary: Iterable[tuple[int, int, bytes]]) -> str | None:
    """Read the address that a datagram was sent to out of what came beside it.

    Returns:
        The address in digits, a link-local one with its interface; None where it is not told, or
        where nothing can be sent from: a datagram can be for everybody.
    """
    for level, kind, info in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(info) == 12:
            host = socket.inet_ntop(socket.AF_INET, info[4:8])  # interface, local, destination
        elif level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO and len(info) == 20:
            host = socket.inet_ntop(socket.AF_INET6, info[:16])  # destination, interface
            if host.startswith(_LINK_LOCAL):
                host += f"%{int.from_bytes(info[16:], sys.byteorder)}"
        else:
            continue
        return host if is_unicast(host) else None
    return None


def bind_beside(everywhere: socket.socket, host: str) -> socket.socket | None:
    """Bind another socket to one address, on the port of one that is bound to all of them.

    The system gives it what is sent to that address from then on.

    Returns:
        The socket; None where the system refuses, which is logged.
    """
    host, _, interface = host.partition("%")
    port = everywhere.getsockname()[1]
    beside = socket.socket(everywhere.family, socket.SOCK_DGRAM)
    try:
        beside.setblocking(False)
        enlarge_buffers(beside)
        if everywhere.family == socket.AF_INET6:
            beside.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            address: tuple[str, int] | tuple[str, int, int, int]
            address = host, port, 0, int(interface or 0)
        else:
            address = host, port
        # Both for this moment only: afterwards no other program can have the port. Unlike
        # SO_REUSEADDR this one lets nobody in between who is not the same user.
        for each in (everywhere, beside):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        beside.bind(address)
    except OSError as error:
        beside.close()
        logger.warning(
            "cannot answer from %s: %s; clients that use this address of the machine may not be"
            " able to join: serve on that address by itself",
            host,
            error,
        )
        return None
    finally:
        for each in (everywhere, beside):
            if each.fileno() >= 0:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    return beside


def _is_everywhere(bound: socket.socket) -> bool:
    return bound.getsockname()[0] in ("0.0.0.0", "::")
