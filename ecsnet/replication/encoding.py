"""Encodes what replication puts on the wire; what it means is in `ecsnet.replication.wire`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import sub

import msgspec

from ecsnet.replication.wire import STRUCTURE_TAG, U32
from ecsnet.schema import encode

__all__ = ["deltas", "encode_run", "encode_structure"]


def deltas(ids: Sequence[int]) -> list[int]:
    """Network ids as differences: small numbers are short in MessagePack."""
    if len(ids) < 2:
        return list(ids)
    return [ids[0], *map(sub, ids[1:], ids)]


def encode_run(ids: Sequence[int], columns: Iterable[tuple[int, Sequence[object]]]) -> bytes:
    """One run, from sorted network ids and ``(component id, wire values)`` columns."""
    return encode((deltas(ids), list(columns)))


def encode_structure(
    epoch: int,
    tick: int,
    despawned: Sequence[int],
    hidden: Sequence[int],
    removed: Sequence[tuple[int, Sequence[int]]],
    sets: Sequence[msgspec.Raw],
) -> bytes:
    """A structural message; ``sets`` are encoded runs."""
    gone = [(cid, deltas(ids)) for cid, ids in removed]
    head = (STRUCTURE_TAG, epoch, tick & U32, deltas(despawned), deltas(hidden), gone, sets)
    return encode(head)
