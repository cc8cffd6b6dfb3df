"""What of a text other players get to see."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecsnet as net
from ecsnet.validation.text import MARKS_IN_A_ROW, SHAPING, clean_text, is_good, is_mark

SPECIAL = (
    "\u200b\u200c\u200d\ufe0f\u20e3\u0301\u0308\u094d\u2764\U0001f468\u0646\u0928e \n\ud83d\u202e"
)

TEXTS = st.text() | st.text(SPECIAL) | st.text(st.characters(codec=None, categories=None))


@given(TEXTS, st.integers(0, 40))
def test_a_clean_text_is_bounded_readable_and_clean(text: str, length: int) -> None:
    clean = clean_text(text, length)
    assert len(clean) <= length
    assert clean_text(clean, length) == clean
    assert clean_text(clean, 10_000) == clean
    assert unicodedata.is_normalized("NFC", clean)
    clean.encode()
    marks = 0
    for at, char in enumerate(clean):
        assert is_good(clean, at)
        assert char.isprintable() or char in SHAPING
        assert unicodedata.category(char) not in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")
        marks = marks + 1 if is_mark(char) else 0
        assert marks <= MARKS_IN_A_ROW


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=40))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert clean_text(text, 40) == text


@pytest.mark.parametrize(
    "text",
    [
        "Zo\u00eb: don't! (5 % of \u20ac 3)",
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a non-joiner
        "\u0928\u092e\u0938\u094d\u0924\u0947 \u0915\u094d\u200d\u0937",  # Hindi, with a joiner
        "\u2764\ufe0f \U0001f3f3\ufe0f\u200d\U0001f308 1\ufe0f\u20e3",
        "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",
        "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48",
        "\u65e5\u672c\u8a9e",
    ],
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    assert clean_text(text, 100) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("one\ntwo\r\nthree\tfour\u2028five", "one two three four five"),
        ("a\u00a0b\u3000c\u2003d", "a b c d"),
        ("\x1b[31mred\x07\x00", "[31mred"),
        ("pay\u202etxt.exe\u2066\u200f", "paytxt.exe"),
        ("a\u200bb\u2060c\ufeffd\u00ade", "abcde"),
        ("\ue000\U000f0000x\ud800y\U000e0041", "xy"),
        ("e\u0301", "\u00e9"),
        ("e\u200b\u0301", "\u00e9"),  # what went stood between what composes
        ("Z" + "\u0316" * 30 + "!", "Z\u0316\u0316!"),
        ("\u0301\u0301word \u0301next", "word next"),  # nothing carries them
        ("a\u200db\u200c", "ab"),
        ("x\ufe0f \u2764\u200d", "x \u2764"),
        ("\u3164\u2800", ""),
        ("", ""),
    ],
)
def test_what_nobody_should_see_goes(text: str, clean: str) -> None:
    assert clean_text(text, 100) == clean


@pytest.mark.parametrize(
    ("text", "length", "clean"),
    [
        ("abcdef", 3, "abc"),
        ("abcdef", 0, ""),
        ("abx\u0316\u0317", 4, "ab"),  # not an x without its marks
        ("abx\u0316\u0317", 5, "abx\u0316\u0317"),
        ("x\u0316\u0317", 2, ""),
        ("\u0915\u093f\u0915\u093f", 3, "\u0915\u093f"),  # a vowel of Hindi takes space
        ("1\ufe0f\u20e3", 2, ""),
        ("\u0646\u0645\u06cc\u200c\u062e", 4, "\u0646\u0645\u06cc"),  # joins nothing any more
        ("\U0001f468\u200d\U0001f469", 2, "\U0001f468"),
        ("\u200b" * 50 + "late", 4, "late"),  # what goes takes no place
    ],
)
def test_a_long_text_is_cut_between_what_is_drawn(text: str, length: int, clean: str) -> None:
    assert clean_text(text, length) == clean


def test_a_pile_of_marks_takes_no_time_to_bring_into_order() -> None:
    """In normal form marks are sorted, which takes the square of their number."""
    assert clean_text("x" + "\u0301\u0316" * 500_000, 10) == "x\u0316\u0316"


def test_a_subclass_of_str_is_taken_at_its_characters() -> None:
    class Loud(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "\x00" * 100

    clean = clean_text(Loud("hi"), 5)
    assert clean == "hi"
    assert type(clean) is str


@pytest.mark.parametrize("text", [None, 5, b"hi", ["hi"]])
def test_what_is_no_text_is_refused(text: object) -> None:
    with pytest.raises(net.UsageError, match=r"^clean_text\(text=.*\): give a str$"):
        net.clean_text(text, 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [None, -1, 2.5, "5", True])
def test_what_is_no_length_is_refused(length: object) -> None:
    with pytest.raises(net.UsageError, match=r"^clean_text\(length=.*\): give a number of char"):
        net.clean_text("hi", length)  # type: ignore[arg-type]
