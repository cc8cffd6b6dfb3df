"""The bytes of a journal: segments of frames that each prove to be whole.

A segment is a file: `MAGIC`, 4 random bytes, then frames. A frame is `SYNC`, the length of its
payload and a CRC-32 of both (little-endian, 4 bytes each), then the payload. The CRC starts from
the segment's random bytes, so that text which a player made up to look like a frame is none. Where
bytes are damaged, the next `SYNC` with a right CRC is where reading goes on.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple
from zlib import crc32

__all__ = [
    "FRAME_LIMIT",
    "FRAME_PREFIX",
    "HEADER",
    "MAGIC",
    "SEGMENT_LIMIT",
    "SYNC",
    "Frame",
    "Series",
    "frame",
    "frames",
    "new_header",
    "seed_of",
]

MAGIC = b"ECSNETJ1"
SYNC = b"\xec\xf5\x0a\x1d"

HEADER = len(MAGIC) + 4
"""Bytes before the first frame."""

FRAME_LIMIT = 256 * 1024
"""Bytes in the longest payload."""

SEGMENT_LIMIT = 16 << 20
"""Bytes of a segment that are looked at; a writer begins a new one long before."""

_PREFIX = struct.Struct("<4sII")

FRAME_PREFIX = _PREFIX.size
"""Bytes of a frame before its payload."""

# Each false `SYNC` costs a CRC. A segment that is full of them, which no accident makes, is given
# up after so many bytes.
_FALSE_LIMIT = 64 << 20


class Series(StrEnum):
    """The two kinds of segments of a journal."""

    EVENTS = "events"
    SNAPSHOTS = "snapshots"


class Frame(NamedTuple):
    """A frame that was found whole.

    Attributes:
        payload: What it holds.
        start: Where it begins, in bytes from the beginning of the segment.
        end: Where the next one begins.
    """

    payload: bytes
    start: int
    end: int


def new_header() -> bytes:
    """Return the first bytes of a new segment."""
    return MAGIC + os.urandom(4)


def seed_of(header: bytes) -> int | None:
    """Return the seed of a segment's CRCs; None when it is no segment."""
    if len(header) < HEADER or not header.startswith(MAGIC):
        return None
    return int.from_bytes(header[len(MAGIC) : HEADER], "little")


def frame(payload: bytes, seed: int) -> bytes:
    """Frame a payload as it is written."""
    length = len(payload)
    return _PREFIX.pack(SYNC, length, _check(payload, length, seed)) + payload


def frames(data: bytes, seed: int, base: int = HEADER) -> Iterator[Frame]:
    """Yield the whole frames in a part of a segment, in order.

    Args:
        data: The part.
        seed: Of the segment.
        base: Where the part begins in the segment.

    Yields:
        Each frame. Between the end of one and the start of the next lies what is damaged.
    """
    at, checked = 0, 0
    while True:
        prefix = data[at : at + _PREFIX.size]
        if len(prefix) == _PREFIX.size:
            sync, length, check = _PREFIX.unpack(prefix)
            begin = at + _PREFIX.size
            if sync == SYNC and length <= FRAME_LIMIT and begin + length <= len(data):
                payload = data[begin : begin + length]
                if _check(payload, length, seed) == check:
                    yield Frame(payload, base + at, base + begin + length)
                    at = begin + length
                    continue
                checked += length
        at = data.find(SYNC, at + 1)
        if at < 0 or checked > _FALSE_LIMIT:
            return


def _check(payload: bytes, length: int, seed: int) -> int:
    return crc32(payload, crc32(length.to_bytes(4, "little"), seed))
