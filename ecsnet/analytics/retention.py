"""The order in which segments are deleted when space ends, and the count of lost records."""

from __future__ import annotations

import os
from typing import BinaryIO, Final

from ecsnet.analytics.folder import Segment, State, shipped_until
from ecsnet.analytics.records import Mark, decode, makes_documents
from ecsnet.analytics.segment import HEADER, SEGMENT_LIMIT, Frame, Series, frames, seed_of

__all__ = ["CLASSES", "unshipped_records", "worth"]

CLASSES: Final = {Series.SNAPSHOTS: 2, Series.EVENTS: 3}
"""The worth of the records of a series, unshipped; shipped ones are worth 2 less."""

_TAIL_BYTES: Final = 64  # a mark is shorter


def worth(segment: Segment) -> tuple[int, int]:
    """Rank a segment: shipped ones go first, and of these snapshots; the oldest first.

    Returns:
        Its class, see `CLASSES`, and its number: the least goes first.
    """
    shipped = segment.state is State.SHIPPED
    return (CLASSES[segment.series] - (2 if shipped else 0), segment.number)


def unshipped_records(segment: Segment) -> int:
    """Count the events or slices of a segment that are in no database yet.

    The last mark of a segment says how many there are, so that deleting one costs next to nothing;
    only what a shipper is in the middle of, or a server that died has left, is looked through.
    """
    if segment.state is State.SHIPPED:
        return 0
    number, offset = shipped_until(segment.path.parent, segment.series)
    if number > segment.number:
        return 0
    offset = offset if number == segment.number else 0
    try:
        with segment.path.open("rb") as file:
            seed = seed_of(file.read(HEADER))
            if seed is None:
                return 0
            to_document = _told(file, seed) if offset <= HEADER else None
            if to_document is not None:
                return to_document
            file.seek(max(offset, HEADER))
            data = file.read(SEGMENT_LIMIT)
    except OSError:
        return 0
    return sum(makes_documents(found.payload) for found in frames(data, seed))


def _told(file: BinaryIO, seed: int) -> int | None:
    """Return the number of records from the mark at the end; None where there is none."""
    size = file.seek(0, os.SEEK_END)
    begin = file.seek(max(HEADER, size - _TAIL_BYTES))
    last: Frame | None = None
    for found in frames(file.read(), seed, begin):
        last = found
    if last is None or last.end != size:
        return None
    mark = decode(last.payload)
    return mark.records if isinstance(mark, Mark) else None
