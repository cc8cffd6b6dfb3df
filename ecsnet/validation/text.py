"""The rules for text that players write and others see: what of it can be shown, and how much."""

from __future__ import annotations

import unicodedata
from typing import Final

from ecsnet.validation.arguments import check_text, check_whole

__all__ = ["MARKS_IN_A_ROW", "SHAPING", "clean_text", "is_good", "is_mark"]

MARKS_IN_A_ROW: Final = 2
"""Combining marks that one character may carry, beyond those that it is composed with: written
languages need no more, and a pile of them reaches into the lines above and below."""

_PILE: Final = 16  # marks in a row that no text needs: bringing long rows into order takes long

# Characters that Python calls printable and that show nothing: fillers of Hangul and Khitan, the
# blank of Braille, vowels of Khmer that are only thought, what joins or selects others.
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U00016fe4\U0001d159"
    + "".join(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)

# What cannot be seen either, but shapes what stands on both sides of it.
_NON_JOINER: Final = "\u200c"
_JOINER: Final = "\u200d"
_AS_EMOJI: Final = "\ufe0f"
_KEYCAP: Final = "\u20e3"
SHAPING: Final = _NON_JOINER + _JOINER + _AS_EMOJI
_VIRAMA: Final = 9  # the combining class


def clean_text(text: str, length: int) -> str:
    """Return of a text what can be shown to other players: ``net.clean_text(say.text, 200)``.

    It is in normal form C. Control, bidirectional, private and unassigned characters go, and so do
    those that cannot be seen; joiners stay where they shape letters or emoji. Of combining marks
    two in a row stay. Line breaks, tabs and wide spaces become spaces.

    Args:
        text: Any text.
        length: The most characters of the result; none is cut off its combining marks.

    Raises:
        UsageError: The one is no text, or the other no whole number from 0 on.
    """
    check_text("clean_text(text", text, "give a str")
    check_whole("clean_text(length", length, 0, "give a number of characters, 0 or more")
    # A subclass may do as it likes.
    clean = _without_piles(_spaced(str.__str__(text)))
    while True:  # what goes may bring together what composes, or take what a joiner joined
        composed = unicodedata.normalize("NFC", clean)
        shorter = _cut(_visible(composed), length)
        if shorter == clean:
            return clean
        clean = shorter


def is_good(text: str, at: int) -> bool:
    """Return whether a character of a text can be seen, or shapes characters that can."""
    char = text[at]
    if char not in SHAPING:
        return char.isprintable() and char not in _INVISIBLE
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if char == _AS_EMOJI:
        return _is_picture(before) or (before != "" and after == _KEYCAP)
    if not before or not after:
        return False
    if unicodedata.combining(before) == _VIRAMA:  # of Indian scripts
        return unicodedata.category(after) == "Lo"
    if char == _JOINER:
        skin = unicodedata.category(before) == "Sk"
        return (_is_picture(before) or skin or before == _AS_EMOJI) and _is_picture(after)
    return unicodedata.bidirectional(before) == unicodedata.bidirectional(after) == "AL"  # Persian


def is_mark(char: str) -> bool:
    """Return whether a character is drawn over the one before it."""
    return unicodedata.category(char) in ("Mn", "Me")


def _spaced(text: str) -> str:
    """Return a text in one line, with plain spaces."""
    return "".join(" " if char.isspace() else char for char in text.replace("\r\n", " "))


def _without_piles(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if is_mark(char) else 0
        if marks <= _PILE:
            kept.append(char)
    return "".join(kept)


def _visible(text: str) -> str:
    """Return a text without what cannot be seen, and without marks that nothing carries."""
    kept: list[str] = []
    marks = MARKS_IN_A_ROW  # no mark may begin a word
    for at, char in enumerate(text):
        if not is_good(text, at):
            continue
        if is_mark(char):
            marks += 1
            if marks > MARKS_IN_A_ROW:
                continue
        else:
            marks = MARKS_IN_A_ROW if char == " " else 0
        kept.append(char)
    return "".join(kept)


def _cut(text: str, length: int) -> str:
    """Return the beginning of a text, without a character that would lose its marks."""
    if len(text) <= length:
        return text
    while length and unicodedata.category(text[length]).startswith("M"):
        length -= 1
    return text[:length]


def _is_picture(char: str) -> bool:
    return char != "" and unicodedata.category(char) == "So"
