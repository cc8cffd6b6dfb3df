"""The decode gate: the one way in for bytes from a peer, and the one encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

import msgspec

from ecsnet.errors import BadValueError

__all__ = ["DECODE_ERRORS", "ENCODE_ERRORS", "Gate", "encode"]

T = TypeVar("T")

_PLAIN: tuple[tuple[type, Callable[[Any], object]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (bytes, bytes.__bytes__),
)


def _plain(value: object) -> object:
    """Strip the class from an instance of a subclass of int, float, str or bytes: the encoder
    itself takes no subclasses, such as ``numpy.float64``.
    """
    for base, plain in _PLAIN:
        if isinstance(value, base):
            return plain(value)
    raise TypeError(f"a {type(value).__qualname__} cannot be encoded")


encode: Callable[[object], bytes] = msgspec.msgpack.Encoder(enc_hook=_plain).encode
"""Encode one object as msgpack; instances of subclasses of int, float, str and bytes as what they
are. On a value that cannot be encoded it raises one of ``ENCODE_ERRORS``, or what code of that
value raised: wrong types go through the encoder unnoticed, see ``WireType.fault``."""

ENCODE_ERRORS: tuple[type[Exception], ...] = (
    BadValueError,
    msgspec.MsgspecError,
    TypeError,
    ValueError,
    OverflowError,
    RecursionError,
)
"""The errors of ``encode`` and ``WireType.to_wire`` for a value that game code spoiled."""

# msgspec's own errors, UnicodeDecodeError, RecursionError, and whatever the code of a game's type
# raises that a decode runs, such as the __hash__ of an Enum: a decode runs no other code.
DECODE_ERRORS: tuple[type[Exception], ...] = (Exception,)
"""The errors of a decode for the bytes of a peer."""


class Gate(Generic[T]):
    """A decoder for messages of one type from a peer, which never raises.

    Args:
        type: What a message must be: a Struct, a union of tagged Structs, any type
            that msgspec decodes. Wire Structs are ``array_like`` and
            ``forbid_unknown_fields``, and bound what they hold.
        limit_bytes: Longer messages are rejected unread.

    Attributes:
        rejected: How many messages were turned away.
        decode_or_raise: Decodes without counting and without a limit, for who does both; raises
            one of ``DECODE_ERRORS``.
    """

    __slots__ = ("_limit", "decode_or_raise", "rejected")

    @overload
    def __init__(self, type: type[T], limit_bytes: int) -> None: ...

    @overload
    def __init__(self, type: object, limit_bytes: int) -> None: ...

    def __init__(self, type: object, limit_bytes: int) -> None:
        self.decode_or_raise: Callable[[bytes], T] = msgspec.msgpack.Decoder(type).decode
        self._limit = limit_bytes
        self.rejected = 0

    def decode(self, data: bytes) -> T | None:
        """Return the decoded message, or None for one that is not what it must be."""
        if len(data) <= self._limit:
            try:
                return self.decode_or_raise(data)
            except DECODE_ERRORS:
                pass
        self.rejected += 1
        return None
