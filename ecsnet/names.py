"""What players may be called, and that no two in one game are called alike.

A name is shown to other players and stands in logs. So it has to be seen, stay on its line, and
tell one player from another.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from ecsnet.errors import UsageError
from ecsnet.wording import brief

__all__ = ["NAME_LENGTH", "Names", "is_name", "looks_like", "printable", "tidy_name"]

NAME_LENGTH: Final = 24
"""Characters in the longest player name."""

MARKS_IN_A_ROW: Final = 2
"""Combining marks that one character may carry, beyond those that it is composed with: written
languages need no more, and a pile of them reaches into the lines above and below."""

_TEXT_LENGTH: Final = 400

# Characters that Python calls printable and that show nothing: fillers of Hangul and Khitan, the
# blank of Braille, vowels of Khmer that are only thought, what joins or selects others.
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U00016fe4\U0001d159"
    + "".join(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)

# Letters and digits that most fonts draw like another, once case is folded.
_LIKE: Final = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455"
    "\u03b1\u03b2\u03b5\u03b7\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0131i1|0",
    "abekmhopctyxljsabenlkvoptuxllllo",
    " _-.'\u2019",
)


def is_name(name: str) -> bool:
    """Whether a player can be called that.

    A name is 1 to 24 characters that can be seen, in normal form C, with single spaces between
    words, and no more than two combining marks in a row.
    """
    return _fault(name) is None


def tidy_name(name: str) -> str:
    """Bring what somebody typed into the form of a name.

    Raises:
        UsageError: It is no text, empty, too long, or has characters that a name cannot have.
    """
    if not isinstance(name, str):
        raise UsageError(f"name={brief(name)}: a player's name is a str")
    words = unicodedata.normalize("NFC", name).split(" ")
    tidy = " ".join(word for word in words if word).strip()
    fault = _fault(tidy)
    if fault is not None:
        raise UsageError(
            f"name={printable(name)!r}: a player's name is 1 to {NAME_LENGTH} printable characters;"
            f" {fault}"
        )
    return tidy


def looks_like(name: str) -> str:
    """What names that players would take for the same one have in common.

    Case, width, style, spacing and accents make no difference, nor do letters of other scripts
    that are drawn like Latin ones.
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    bare = "".join(char for char in folded if not unicodedata.combining(char))
    return bare.translate(_LIKE) or folded


class Names:
    """The names of the players in one game."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, name: str) -> str:
        """Give a player a name, with a number behind it where it is taken: "Ann (2)"."""
        given, number = name, 1
        while (key := looks_like(given)) in self._taken:
            number += 1
            end = f" ({number})"
            given = name[: NAME_LENGTH - len(end)].rstrip() + end
        self._taken.add(key)
        return given

    def free(self, name: str) -> None:
        """Let others have a name that `take` gave."""
        self._taken.discard(looks_like(name))


def printable(text: str, limit: int = _TEXT_LENGTH) -> str:
    """Text from a peer as it may stand in one line of a log: bounded, and nothing but printable."""
    short = text if len(text) <= limit else text[: limit - 3] + "..."
    shown: list[str] = []
    marks = 0
    for char in short:
        marks = marks + 1 if _is_mark(char) else 0
        if _can_be_seen(char) and marks <= MARKS_IN_A_ROW:
            shown.append(char)
        else:
            shown.append(char.encode("unicode_escape", "backslashreplace").decode())
    return "".join(shown)


def _can_be_seen(char: str) -> bool:
    return char.isprintable() and char not in _INVISIBLE


def _is_mark(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Me")


def _fault(name: str) -> str | None:
    """Why it is no name; None when it is one."""
    if not 0 < len(name) <= NAME_LENGTH:
        return f"this one has {len(name)}"
    if name != name.strip() or "  " in name:
        return "only single spaces, and between words"
    marks = MARKS_IN_A_ROW  # no mark may begin a word
    for char in name:
        if not _can_be_seen(char):
            return f"U+{ord(char):04X} cannot be seen"
        marks = marks + 1 if _is_mark(char) else 0
        if marks > MARKS_IN_A_ROW:
            return f"U+{ord(char):04X} is a combining mark too many"
        if char == " ":
            marks = MARKS_IN_A_ROW
    if not unicodedata.is_normalized("NFC", name):
        return "it is not in normal form C"
    return None
