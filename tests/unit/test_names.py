"""What players may be called, and what others and the logs see of it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.errors import UsageError
from ecsnet.names import NAME_LENGTH, Names, is_name, looks_like, printable, tidy_name

INVISIBLE = {
    "Hangul filler": "\u3164",
    "halfwidth Hangul filler": "\uffa0",
    "Hangul jamo filler": "\u1160",
    "Braille blank": "\u2800",
    "Khmer inherent vowel": "\u17b4",
    "grapheme joiner": "\u034f",
    "variation selector": "\ufe0f",
    "supplementary variation selector": "\U000e0101",
    "Mongolian variation selector": "\u180b",
    "null notehead": "\U0001d159",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "word joiner": "\u2060",
    "soft hyphen": "\u00ad",
    "byte order mark": "\ufeff",
    "right-to-left override": "\u202e",
    "left-to-right isolate": "\u2066",
    "no-break space": "\u00a0",
    "tag": "\U000e0041",
    "private use": "\ue000",
}


@pytest.mark.parametrize("char", INVISIBLE.values(), ids=INVISIBLE)
def test_what_cannot_be_seen_is_in_no_name(char: str) -> None:
    for name in (char, f"A{char}nn", char * 5):
        assert not is_name(name)
    with pytest.raises(UsageError, match=rf"U\+{ord(char):04X} cannot be seen"):
        tidy_name(f"A{char}nn")
    assert printable(f"A{char}") == "A" + char.encode("unicode_escape").decode()


@pytest.mark.parametrize(
    "name",
    [
        "a\u0301\u0302\u0303\u0304",
        "Z\u0311\u036b\u0343\u036a\u0302algo",
        "\u0e2a" + "\u0e47" * 8,
        "\u0301Ann",
        "Ann \u0301",
        "o\u20dd\u20dd\u20dd",
        "\u0489" * 10,
    ],
)
def test_combining_marks_do_not_pile_up(name: str) -> None:
    assert not is_name(unicodedata.normalize("NFC", name))
    with pytest.raises(UsageError, match="combining mark too many"):
        tidy_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "The Black Knight",
        "Zo\u00eb",
        "O'Neill-Smith_99",
        "\ud55c\uad6d",
        "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48",
        "\u0928\u092e\u0938\u094d\u0924\u0947",
        "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",
        "\u041d\u0430\u0442\u0430\u0448\u0430",
        "\U0001f680",
    ],
)
def test_people_of_all_languages_have_names(name: str) -> None:
    name = unicodedata.normalize("NFC", name)
    assert is_name(name)
    assert tidy_name(f"  {name} ") == name
    assert printable(name) == name


def test_spaces_are_brought_into_order() -> None:
    assert tidy_name("  Ann   B ") == "Ann B"
    assert not is_name("Ann  B")
    assert not is_name(" Ann")
    with pytest.raises(UsageError, match="1 to 24 printable characters; this one has 0"):
        tidy_name("   ")
    with pytest.raises(UsageError, match="this one has 25"):
        tidy_name("x" * 25)


def test_a_pile_of_marks_stays_in_its_line_of_a_log() -> None:
    assert printable("a" + "\u0301" * 4) == "a\u0301\u0301\\u0301\\u0301"


@pytest.mark.parametrize(
    "other",
    [
        "ann b",
        "ANN B",
        "AnnB",
        "Ann_B",
        "\uff21\uff4e\uff4e B",
        "\U0001d400\U0001d427\U0001d427 B",
        "\u0410nn B",
        "\u00c5nn B",
        "Ann \u0412",
    ],
)
def test_what_looks_alike_is_told_apart(other: str) -> None:
    assert is_name(other)
    assert looks_like(other) == looks_like("Ann B")
    names = Names()
    assert names.take("Ann B") == "Ann B"
    assert names.take(other) == f"{other} (2)"
    assert names.take("Ann C") == "Ann C"


@pytest.mark.parametrize(("one", "other"), [("Ian", "lan"), ("B0b", "Bob"), ("Bill", "Bi1l")])
def test_digits_and_letters_that_look_alike_count_as_the_same(one: str, other: str) -> None:
    assert looks_like(one) == looks_like(other)


@pytest.mark.parametrize(("one", "other"), [("Ann", "Anna"), ("---", "--"), ("!", "?")])
def test_different_names_stay_as_they_are(one: str, other: str) -> None:
    names = Names()
    assert [names.take(one), names.take(other)] == [one, other]


def test_a_name_is_free_again_when_its_player_has_left() -> None:
    names = Names()
    assert [names.take("Ann") for _ in range(3)] == ["Ann", "Ann (2)", "Ann (3)"]
    names.free("Ann (2)")
    assert names.take("ann") == "ann (2)"
    for name in ("Ann", "ann (2)", "Ann (3)"):
        names.free(name)
    assert len(names) == 0


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=20))
def test_given_names_are_names_and_no_two_are_alike(texts: list[str]) -> None:
    names, given_names = Names(), []
    for text in [*texts, *texts]:
        try:
            given_names.append(names.take(tidy_name(text)))
        except UsageError:
            continue
    assert all(is_name(name) and len(name) <= NAME_LENGTH for name in given_names)
    assert len({looks_like(name) for name in given_names}) == len(given_names) == len(names)
    for name in given_names:
        names.free(name)
    assert len(names) == 0
