"""A session whose records are whatever a test likes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ecsnet.session.packets import RAW
from ecsnet.session.session import Received, SentPacket, Session


class Note(SentPacket):
    """A record that says ``what``."""

    __slots__ = ("what",)

    def __init__(self, sent_at: float, what: object) -> None:
        super().__init__(sent_at)
        self.what = what


@dataclass
class Noted:
    """`Received`, with the notes unfolded."""

    payload: Any
    messages: list[tuple[int, bytes]]
    acked: list[object]
    late: list[object]
    reply: bool

    @classmethod
    def of(cls, received: Received[Any]) -> Noted:
        return cls(
            received.payload,
            list(received.messages),
            unfolded(received.acked),
            unfolded(received.late),
            received.reply,
        )


def unfolded(records: Any) -> list[object]:
    return [record.what for record in records]


class NotingSession(Session[Any]):
    """Any object is a record for `send`; `receive`, `lost` and `oldest_note` return it again."""

    __slots__ = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(RAW, **options)

    def send(
        self, payload: object, now: float, record: object = None, *, piggyback: bool = True
    ) -> bytes:
        note = None if record is None else Note(now, record)
        return super().send(payload, now, note, piggyback=piggyback)

    def receive(self, packet: bytes, now: float) -> Any:
        received = super().receive(packet, now)
        return None if received is None else Noted.of(received)

    def lost(self, now: float) -> Any:
        return unfolded(super().lost(now))

    def oldest_note(self) -> Any:
        oldest = super().oldest()
        return oldest.what if isinstance(oldest, Note) else oldest
