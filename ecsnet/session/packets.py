"""The parts of packets on the wire, and the gates that decode them."""

from __future__ import annotations

from typing import Annotated, Final, Generic, TypeVar

import msgspec

from ecsnet.limits import MAX_PACKET
from ecsnet.schema.gate import Gate
from ecsnet.session.goodbye import Goodbye

__all__ = ["PING_IDS", "RAW", "Fragment", "Packet", "PacketCodec"]

PING_IDS: Final = 127
"""Pings are numbered from 1 to this, over and over."""

_U16 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
_Missing = Annotated[int, msgspec.Meta(ge=0)]


PayloadT = TypeVar("PayloadT", covariant=True)


class Fragment(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """A message, or one part of it, as the wire has it."""

    number: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_PACKET)]
    part: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)] = 0
    parts: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF)] = 1


class Packet(
    msgspec.Struct, Generic[PayloadT], array_like=True, forbid_unknown_fields=True, gc=False
):
    """A packet that may say all there is to say; see `Session`."""

    number: _U16
    ack: _U16
    missing: _Missing
    payload: PayloadT
    fragments: Annotated[tuple[Fragment, ...], msgspec.Meta(max_length=256)] = ()
    ping: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    pong: (
        tuple[
            Annotated[int, msgspec.Meta(ge=0, le=PING_IDS)],
            Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)],
        ]
        | None
    ) = None
    goodbye: Goodbye | None = None


class PacketCodec(Generic[PayloadT]):
    """The gates for packets whose payloads are of one type; any number of sessions share them.

    Args:
        payload: The type, which may be a Struct that was made at run time; ``msgspec.Raw``
            where whoever receives payloads decodes them.

    Attributes:
        raw: Whether it is ``msgspec.Raw``.
        short: For packets that hold acks and a payload; it raises one of ``DECODE_ERRORS``.
        full: For all packets.
    """

    def __init__(self, payload: type[PayloadT]) -> None:
        self.raw = payload is msgspec.Raw
        kind: object = payload if self.raw else payload | None
        short: Gate[tuple[int, int, int, PayloadT | None]] = Gate(
            tuple[_U16, _U16, _Missing, kind],  # type: ignore[valid-type]
            MAX_PACKET,
        )
        self.short = short.decode_or_raise
        self.full: Gate[Packet[PayloadT | None]] = Gate(
            Packet[kind],  # type: ignore[valid-type]
            MAX_PACKET,
        )


RAW = PacketCodec(msgspec.Raw)
"""For packets whose payloads are decoded by whoever receives them."""
