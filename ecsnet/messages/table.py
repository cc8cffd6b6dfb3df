"""Reliable messages by a table: which there are, when each may come, and what takes it.

A new message is a Struct with a tag of its own and one row in the table of the end that takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Generic, TypeVar, Union, cast, get_origin

import msgspec

from ecsnet.messages.joining import MemberState
from ecsnet.schema import Gate

__all__ = ["MessageHandler", "MessageTable", "handles"]

StructT = TypeVar("StructT", bound=msgspec.Struct)
FromT = TypeVar("FromT")


class MessageHandler(Generic[FromT]):
    """One row of a `MessageTable`; made by `handles`.

    Attributes:
        struct: The message.
        states: In which it may come.
        handle: What takes it: the message, where it came from, seconds.
        limit: Bytes in the longest one; None where it may be as long as any in the table.
    """

    __slots__ = ("handle", "limit", "states", "struct")

    def __init__(
        self,
        struct: type[msgspec.Struct],
        states: frozenset[MemberState],
        handle: Callable[[msgspec.Struct, FromT, float], None],
        limit: int | None,
    ) -> None:
        self.struct = struct
        self.states = states
        self.handle = handle
        self.limit = limit


def handles(
    struct: type[StructT],
    states: Iterable[MemberState],
    handle: Callable[[StructT, FromT, float], None],
    limit: int | None = None,
) -> MessageHandler[FromT]:
    """Return a row of a table.

    Args:
        struct: The message: a Struct with a tag that no other one in the table has.
        states: In which it may come; in others it is no honest peer's.
        handle: Called with the message, with what `MessageTable.dispatch` is told of where it came
            from, and with seconds.
        limit: Bytes in the longest one, where that is less than in the longest of the table.
    """
    taking = cast("Callable[[msgspec.Struct, FromT, float], None]", handle)
    return MessageHandler(struct, frozenset(states), taking, limit)


class _Head(msgspec.Struct, array_like=True):
    """The tag of any message; what follows is skipped, and nothing is made of it."""

    tag: int


class MessageTable(Generic[FromT]):
    """The messages that one end takes.

    Args:
        limit: Bytes in the longest message.
        handlers: The rows.
    """

    __slots__ = ("_by_type", "_gate", "_heads", "_limits", "_long", "_short")

    def __init__(self, limit: int, handlers: Iterable[MessageHandler[FromT]]) -> None:
        rows = list(handlers)
        structs = tuple(row.struct for row in rows)
        self._gate: Gate[msgspec.Struct] = Gate(Union[structs], limit)  # noqa: UP007
        # A Struct with parameters decodes to instances of the bare one.
        self._by_type = {get_origin(row.struct) or row.struct: row for row in rows}
        self._heads: Gate[_Head] = Gate(_Head, limit)
        self._limits = {
            struct.__struct_config__.tag: row.limit
            for struct, row in self._by_type.items()
            if row.limit is not None
        }
        self._short = min(self._limits.values(), default=limit)
        self._long = 0

    @property
    def rejected(self) -> int:
        """Number of messages that did not decode, or were too long."""
        return self._gate.rejected + self._long

    def dispatch(self, data: bytes, state: MemberState, source: FromT, now: float) -> bool:
        """Decode a message and let its handler take it.

        Args:
            data: The message.
            state: That of whom it came from, or of this end.
            source: What the handlers are told of where it came from.
            now: Seconds.

        Returns:
            Whether it is one that may come in this state; no honest peer sends another.
        """
        if len(data) > self._short and self._too_long(data):
            self._long += 1
            return False
        message = self._gate.decode(data)
        if message is None:
            return False
        row = self._by_type[type(message)]
        if state not in row.states:
            return False
        row.handle(message, source, now)
        return True

    def _too_long(self, data: bytes) -> bool:
        """Return whether a message is longer than those of its kind are, before it is decoded."""
        head = self._heads.decode(data)
        return head is not None and len(data) > self._limits.get(head.tag, inf)
