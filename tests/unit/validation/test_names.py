"""What players may be called, and what others and the logs see of it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.errors import UsageError
from ecsnet.validation.names import NAME_LENGTH, Names, is_name, looks_like, printable, tidy_name

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


SHAPED = {
    "heart": "\u2764\ufe0f",
    "rainbow flag": "\U0001f3f3\ufe0f\u200d\U0001f308",
    "family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "shrug": "\U0001f937\U0001f3fd\u200d\u2640\ufe0f",
    "keycap": "1\ufe0f\u20e3",
    "Persian": "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "Malayalam": "\u0d28\u0d4d\u200d\u0d31",
    "Bengali": "\u09b0\u09cd\u200c\u09af",
}


@pytest.mark.parametrize("name", SHAPED.values(), ids=SHAPED)
def test_joiners_are_good_where_they_shape_what_can_be_seen(name: str) -> None:
    for shown in (name, f"{name} Ann", f"Ann {name}", name * 2):
        assert is_name(shown)
        assert tidy_name(shown) == printable(shown) == shown
    names = Names()
    names.take(name)
    plain = "".join(char for char in name if char not in "\u200c\u200d\ufe0f")
    assert names.take(plain) == f"{plain} (2)"


@pytest.mark.parametrize(
    "name",
    [
        "\u2764\ufe0f\ufe0f",
        "\u200d\u2764",
        "\u2764\u200d",
        "\u2764\u200d\u200d\u2764",
        "A\u200d\u2764",
        "\u2764\u200dA",
        "A\ufe0f",
        "\ufe0f\u20e3",
        "\u200c\u0646",
        "\u0646\u200c",
        "\u0646\u200c\u200c\u0646",
        "\u0646\u200d\u0646",
        "A\u200cB",
        "\u09b0\u09cd\u200c",
    ],
)
def test_joiners_are_in_no_name_where_they_shape_nothing(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(UsageError, match="cannot be seen"):
        tidy_name(name)


@pytest.mark.parametrize("length", range(1, 25))
def test_a_number_cuts_no_joined_picture_in_half(length: int) -> None:
    names = Names()
    name = ("x" * length + "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 5)[:24]
    name = tidy_name(name.rstrip("\u200d"))
    for _ in range(12):
        given_name = names.take(name)
        assert is_name(given_name)


def test_spaces_are_brought_into_order() -> None:
    assert tidy_name("  Ann   B ") == "Ann B"
    assert not is_name("Ann  B")
    assert not is_name(" Ann")
    with pytest.raises(UsageError, match="1 to 24 printable characters; this one has 0"):
        tidy_name("   ")
    with pytest.raises(UsageError, match="this one has 500") as raised:
        tidy_name("x" * 500)
    assert len(str(raised.value)) < 200
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
        "\u0391\u039d\u039d B",
        "A\u03bd\u03bd \u0392",
        "\u0410NN \u0392",
        "\u00c5nn B",
        "Ann \u0412",
    ],
)
def test_what_looks_alike_is_told_apart(other: str) -> None:
    assert is_name(other)
    assert looks_like(other) & looks_like("Ann B")
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
    readings = [looks_like(name) for name in given_names]
    assert sum(map(len, readings)) == len(frozenset().union(*readings))
    assert len(given_names) == len(names)
    for name in given_names:
        names.free(name)
    assert len(names) == 0
