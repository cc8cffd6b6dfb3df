"""The rules for players' names, and for no two in one game to look alike.

A name is shown to other players and stands in logs. So it has to be seen, stay on its line, and
tell one player from another.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from ecsnet.errors import UsageError
from ecsnet.validation.text import MARKS_IN_A_ROW, SHAPING, is_good, is_mark
from ecsnet.validation.wording import brief

__all__ = ["NAME_LENGTH", "Names", "is_name", "looks_like", "printable", "tidy_name"]

NAME_LENGTH: Final = 24
"""Characters in the longest player name."""

_TEXT_LENGTH: Final = 400

# Letters and digits that most fonts draw like another: among small ones, and among capitals.
_NO_MATTER: Final = f" _-.'\u2019{SHAPING}"
_LIKE_SMALL: Final = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455"
    "\u03b1\u03b2\u03b5\u03b7\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0131i1|0",
    "abekmhopctyxljsabenlkvoptuxllllo",
    _NO_MATTER,
)
_LIKE_CAPITAL: Final = str.maketrans(
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0406\u0408\u0405"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7L1|0",
    "ABEKMHOPCTYXIJSABEZHIKMNOPTYXIIIO",
    _NO_MATTER,
)


def is_name(name: str) -> bool:
    """Return whether a text is a valid name of a player.

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
    name = str.__str__(name)  # a subclass may compare as it likes
    words = unicodedata.normalize("NFC", name).split(" ")
    tidy = " ".join(word for word in words if word).strip()
    fault = _fault(tidy)
    if fault is not None:
        raise UsageError(
            f"name={printable(name)!r:.60}: a player's name is 1 to {NAME_LENGTH} printable"
            f" characters; {fault}"
        )
    return tidy


def looks_like(name: str) -> frozenset[str]:
    """Return the readings of a name: two that have any of them in common are easily confused.

    Case, width, style, spacing and accents make no difference, nor do letters of other scripts
    that are drawn like Latin ones: small ones like small ones, or capitals like capitals.
    """
    plain = unicodedata.normalize("NFKC", name)
    small, capital = _bare(plain.casefold()), _bare(plain.upper())
    readings = small.translate(_LIKE_SMALL), capital.translate(_LIKE_CAPITAL)
    return frozenset(filter(None, readings)) or frozenset((small,))


class Names:
    """The names of the players in one game."""

    def __init__(self) -> None:
        self._given: dict[str, frozenset[str]] = {}  # name -> what it may be read as
        self._taken: set[str] = set()

    def __len__(self) -> int:
        return len(self._given)

    def take(self, name: str) -> str:
        """Give a player a name, with a number behind it where it is taken: "Ann (2)"."""
        given, number = name, 1
        while not self._taken.isdisjoint(readings := looks_like(given)):
            number += 1
            end = f" ({number})"
            given = name[: NAME_LENGTH - len(end)].rstrip(f" {SHAPING}") + end
        self._given[given] = readings
        self._taken |= readings
        return given

    def free(self, name: str) -> None:
        """Let others have a name that `take` gave."""
        self._taken -= self._given.pop(name, frozenset())


def printable(text: str, limit: int = _TEXT_LENGTH) -> str:
    """Text from a peer as it may stand in one line of a log: bounded, and nothing but printable."""
    short = text if len(text) <= limit else text[: limit - 3] + "..."
    shown: list[str] = []
    marks = 0
    for at, char in enumerate(short):
        marks = marks + 1 if is_mark(char) else 0
        if is_good(short, at) and marks <= MARKS_IN_A_ROW:
            shown.append(char)
        else:
            shown.append(char.encode("unicode_escape", "backslashreplace").decode())
    return "".join(shown)


def _bare(text: str) -> str:
    """Return a text without its accents."""
    apart = unicodedata.normalize("NFKD", text)
    return "".join(char for char in apart if not unicodedata.combining(char))


def _fault(name: str) -> str | None:
    """Explain why a text is no name; None when it is one."""
    if not 0 < len(name) <= NAME_LENGTH:
        return f"this one has {len(name)}"
    if name != name.strip() or "  " in name:
        return "only single spaces, and between words"
    marks = MARKS_IN_A_ROW  # no mark may begin a word
    for at, char in enumerate(name):
        if not is_good(name, at):
            return f"U+{ord(char):04X} cannot be seen"
        marks = marks + 1 if is_mark(char) else 0
        if marks > MARKS_IN_A_ROW:
            return f"U+{ord(char):04X} is a combining mark too many"
        if char == " ":
            marks = MARKS_IN_A_ROW
    if not unicodedata.is_normalized("NFC", name):
        return "it is not in normal form C"
    return None
