"""A peer without a connection, whose tags are whatever a test likes."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from ecsnet.peer import NO_TAG, Peer
from ecsnet.session.packets import RAW


@dataclass
class Noted:
    """`Received`, with notes in place of tags."""

    payload: Any
    messages: list[tuple[int, bytes]]
    acked: list[object]
    late: list[object]
    reply: bool


class NotingPeer(Peer[Any]):
    """Takes any object in place of a tag and returns it again. Its packets are handed in and out;
    what it does not know itself it asks its session and that one's budget.
    """

    __slots__ = ("notes",)

    def __init__(self, **options: Any) -> None:
        super().__init__(RAW, **options)
        self.notes: list[object] = []

    def send(  # type: ignore[override]
        self, payload: object, now: float, note: object = None, *, piggyback: bool = True
    ) -> bytes:
        """The packet with the payload, and with short messages, which have to fit, or without."""
        tag = NO_TAG
        if note is not None:
            tag = len(self.notes)
            self.notes.append(note)
        if not piggyback:
            return self.session.send(payload, now, tag)
        self._piggybacked_at, self._stream_allowance = -inf, 0.0
        (packet,) = self.pack(payload, now, tag)
        return packet

    def receive(self, packet: bytes, now: float) -> Any:
        received = super().receive_packet(packet, now)
        if received is None:
            return None
        return Noted(
            received.payload,
            list(received.messages),
            self._noted(received.acked),
            self._noted(received.late),
            received.reply,
        )

    def lost(self, now: float) -> Any:
        return self._noted(super().lost(now))

    def stream(self, now: float, allowance: int) -> list[bytes]:
        self._stream_allowance = float(allowance)
        return self.pack_messages(now)

    def oldest_note(self) -> Any:
        tag = self.tagged.oldest_tag
        return None if tag == NO_TAG else self.notes[tag]

    def _noted(self, tags: Any) -> list[object]:
        return [self.notes[tag] for tag in tags]

    def __getattr__(self, name: str) -> Any:
        for part in (self.session, self.session.budget, self.session.path):
            if hasattr(part, name):
                return getattr(part, name)
        raise AttributeError(name)
