"""Documents as a journal gives them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ecsnet.analytics.values import Document

MATCH = "0123456789abcdef0123456789abcdef"
STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(seq: int, type: str = "scored", **data: object) -> Document:
    """An event of the game's."""
    return {
        "_id": f"{MATCH}-{seq:08d}",
        "match": MATCH,
        "started": STARTED,
        "server": "test",
        "room": "",
        "tick": seq,
        "time": STARTED + timedelta(milliseconds=16 * seq),
        "type": type,
        "player": 1,
        "entity": None,
        "data": data,  # type: ignore[dict-item]
    }


def events(count: int, first: int = 1) -> list[Document]:
    return [event(seq) for seq in range(first, first + count)]
