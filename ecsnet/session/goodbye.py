"""The reasons for which a connection is refused or a session ends, and the message that says so."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

__all__ = ["GOODBYE_TEXT", "Goodbye", "Reason", "code_of", "reason_of", "sentence"]

GOODBYE_TEXT: Final = 200
"""Characters in the text of a `Goodbye`."""


class Reason(StrEnum):
    """The reason why a connection was refused or a session ended; for programs and logs."""

    LEFT = "left"
    TIMEOUT = "timeout"
    FULL = "full"
    VERSION = "version"
    SCHEMA = "schema"
    SHUTDOWN = "shutdown"
    KICKED = "kicked"
    REPLACED = "replaced"
    ABUSE = "abuse"
    SLOW = "slow"
    ERROR = "error"
    NAME = "name"
    UNREACHABLE = "unreachable"
    ADDRESS = "address"
    OVERLOAD = "overload"
    DECLINED = "declined"


_REASONS: Final = tuple(Reason)
_CODES: Final = {reason: code for code, reason in enumerate(_REASONS)}


class Goodbye(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """The last thing that one end of a session says."""

    code: Annotated[int, msgspec.Meta(ge=0, le=255)]
    """The reason, see `reason_of`."""
    text: Annotated[str, msgspec.Meta(max_length=GOODBYE_TEXT)] = ""
    """Anything to say beside it, for the player."""

    @property
    def reason(self) -> Reason:
        """The reason."""
        return reason_of(self.code)


def sentence(reason: str, text: str) -> str:
    """Return a reason and a text as they stand in a log: ``"kicked: no cheating"``."""
    return f"{reason}: {text}" if text else reason


def code_of(reason: Reason) -> int:
    """Return the number that stands for a reason on the wire."""
    return _CODES[reason]


def reason_of(code: int) -> Reason:
    """Return the reason behind a number on the wire; what a newer peer may say reads ERROR."""
    return _REASONS[code] if code < len(_REASONS) else Reason.ERROR
