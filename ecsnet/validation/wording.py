"""The wording of messages: values, types, and what the operating system refused."""

from __future__ import annotations

import errno
import reprlib
import socket
import sys
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

__all__ = ["bind_trouble", "brief", "file_trouble", "send_trouble", "short_name", "type_name"]


class _Brief(reprlib.Repr):
    """A repr as an author would write it: no addresses, no metaclasses, nothing long."""

    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxstring = 60

    def repr1(self, x: object, level: int) -> str:
        if isinstance(x, type):
            return "None" if x is type(None) else f"class {x.__name__}"
        if isinstance(x, ModuleType):
            return f"module {x.__name__}"
        if isinstance(x, FunctionType | BuiltinFunctionType | MethodType):
            return f"function {x.__name__}()"
        return super().repr1(x, level)

    def repr_instance(self, x: object, level: int) -> str:
        if type(x).__repr__ is object.__repr__:
            return _one(x)
        try:
            text = repr(x)
        except Exception:  # noqa: BLE001 - a repr is not ours
            return _one(x)
        return _cut(text, self.maxother)


_brief = _Brief()
_LONGEST = 200


def brief(value: object) -> str:
    """Name a value in a message: short, as an author knows it, and it never raises."""
    try:
        return _cut(_brief.repr(value), _LONGEST)
    except Exception:  # noqa: BLE001 - a class that only calls itself list, say
        return _one(value)


def short_name(cls: type[object]) -> str:
    """Return the qualified name, without the functions around it."""
    return cls.__qualname__.rpartition("<locals>.")[2]


def type_name(cls: type[object]) -> str:
    """``pygame.Vector2``, as people write it, rather than ``pygame.math.Vector2``; a class of the
    game's own has its name alone.
    """
    package, name = cls.__module__.partition(".")[0], cls.__name__
    module = sys.modules.get(package)
    if getattr(module, name, None) is not cls:
        return short_name(cls)
    if package == "builtins":
        return name
    is_library = hasattr(module, "__path__") or package in sys.stdlib_module_names
    return f"{package}.{name}" if is_library else name


def _one(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def _cut(text: str, longest: int) -> str:
    """Leave the middle of a long text out."""
    half = (longest - 3) // 2
    return text if len(text) <= longest else f"{text[:half]}...{text[-half:]}"


_FILES = {
    errno.EACCES: "let the user who runs this write and read there, or name another place",
    errno.EPERM: "let the user who runs this write and read there, or name another place",
    errno.EROFS: "name a place on a disk that can be written",
    errno.ENOENT: "is the name spelt right, and is the disk there?",
    errno.ENOTDIR: "a part of that path is a file: name a folder",
    errno.EISDIR: "that is a folder: name a file",
    errno.EEXIST: "something else has that name: choose another one",
    errno.ENOSPC: "make room on that disk, or name a place on another one",
    errno.EDQUOT: "this user may not fill more of that disk: make room, or name another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "links in that path lead in a circle",
    errno.EMFILE: "this program has too many files open: raise its limit (ulimit -n)",
    errno.ENFILE: "this machine has too many files open",
    errno.EIO: "the disk may be broken",
}


def file_trouble(error: OSError) -> str:
    """Say what the system refused to do with a file, and what helps."""
    return _with_advice(error, _FILES.get(error.errno or 0))


def bind_trouble(error: Exception, host: str, port: int) -> str:
    """Say why a socket cannot be bound there, and what helps.

    Args:
        error: What the look-up of the name, or a call of the socket, raised.
        host: The name or address of this machine.
        port: The port.
    """
    if not isinstance(error, OSError) or isinstance(error, socket.gaierror):
        return _lookup_trouble(error, host)
    advice = _BINDING.get(error.errno or 0)
    if error.errno == errno.EACCES and 0 < port < 1024:
        advice = "ports below 1024 are the administrator's: use one above, such as 7777"
    elif error.errno == errno.EINVAL and host.startswith("f"):
        advice = f"an address like that needs its interface: '{host}%eth0'"
    return _with_advice(error, advice)


def send_trouble(error: Exception, host: str) -> str:
    """Say why a server cannot be found by its name, or be sent anything, and what helps.

    Args:
        error: What the look-up of the name, or a call of the socket, raised.
        host: The server's name or address.
    """
    if not isinstance(error, OSError) or isinstance(error, socket.gaierror):
        return _lookup_trouble(error, host)
    return _with_advice(error, _SENDING.get(error.errno or 0))


def _lookup_trouble(error: Exception, host: str) -> str:
    if isinstance(error, socket.gaierror):  # its numbers are of another kind than errno's
        return _with_advice(error, _LOOKUPS.get(error.errno or 0, _SPELLING))
    return f"{brief(host)} can be no name of a machine: {_SPELLING}"  # it cannot be encoded


_SPELLING = "is it spelt right? An address in digits, such as '192.168.1.5', needs no look-up"

_LOOKUPS = {
    socket.EAI_AGAIN: "no name server answers: is this machine online? An address in digits,"
    " such as '192.168.1.5', needs none",
}

_BINDING = {
    errno.EADDRNOTAVAIL: "that is no address of this machine: '0.0.0.0' stands for all that it has",
    errno.EACCES: "this machine's rules forbid that port: try another one",
    errno.EPERM: "a firewall or a sandbox on this machine forbids it",
    errno.EAFNOSUPPORT: "this machine has no IPv6: use an IPv4 address, such as '0.0.0.0'",
    errno.EMFILE: _FILES[errno.EMFILE],
    errno.ENFILE: _FILES[errno.ENFILE],
}

_NO_WAY = "this machine has no way there: is it online, and is the address right?"
_FORBIDDEN = "that is an address of many machines, or a firewall on this one forbids it"

_SENDING = {
    errno.EADDRNOTAVAIL: _NO_WAY,
    errno.ENETUNREACH: _NO_WAY,
    errno.EHOSTUNREACH: _NO_WAY,
    errno.ENETDOWN: _NO_WAY,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EAFNOSUPPORT: "this machine has no IPv6: use the server's IPv4 address",
    errno.EINVAL: "is the address right? One that begins with fe80 needs its interface: %eth0",
    errno.EMFILE: _FILES[errno.EMFILE],
    errno.ENFILE: _FILES[errno.ENFILE],
}


def _with_advice(error: OSError, advice: str | None) -> str:
    text = error.strerror or str(error)
    return text if advice is None else f"{text}: {advice}"
