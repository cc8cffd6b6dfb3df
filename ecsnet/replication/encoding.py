"""The encoding of replication's messages; their meaning is in `ecsnet.replication.wire`."""

from __future__ import annotations

from operator import sub

import msgspec

from ecsnet.replication.wire import EVENTS_TAG, STRUCTURE_TAG, U32
from ecsnet.schema import encode

__all__ = [
    "deltas",
    "encode_events",
    "encode_ids",
    "encode_run",
    "encode_run_of",
    "encode_structure",
]


def deltas(ids: list[int]) -> list[int]:
    """Network ids as differences: small numbers are short in MessagePack."""
    if len(ids) < 2:
        return ids
    return [ids[0], *map(sub, ids[1:], ids)]


def encode_run(ids: list[int], columns: list[tuple[int, list[object]]]) -> bytes:
    """Encode one run, from network ids and ``(component id, wire values)`` columns."""
    return encode((deltas(ids), columns))


def encode_ids(ids: list[int]) -> msgspec.Raw:
    """Encode the network ids of a run, for `encode_run_of`."""
    return msgspec.Raw(encode(deltas(ids)))


def encode_run_of(ids: msgspec.Raw, columns: list[tuple[int, list[object]]]) -> bytes:
    """Encode one run as `encode_run` does, from network ids that are encoded."""
    return encode((ids, columns))


def encode_structure(
    epoch: int,
    tick: int,
    despawned: list[int],
    hidden: list[int],
    removed: list[tuple[int, list[int]]],
    sets: list[msgspec.Raw],
) -> bytes:
    """Encode a structural message; ``sets`` are encoded runs."""
    gone = [(cid, deltas(ids)) for cid, ids in removed]
    head = (STRUCTURE_TAG, epoch, tick & U32, deltas(despawned), deltas(hidden), gone, sets)
    return encode(head)


def encode_events(epoch: int, tick: int, events: list[msgspec.Raw]) -> bytes:
    """Encode a message with events, which are encoded themselves."""
    return encode((EVENTS_TAG, epoch, tick & U32, events))
