from __future__ import annotations

import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.errors import UsageError
from ecsnet.messages.joining import (
    WIRE_VERSION,
    Hello,
    SchemaDiffers,
    SchemaOffer,
    Welcome,
)
from ecsnet.schema import Gate, encode
from ecsnet.validation.names import NAME_LENGTH, is_name, printable, tidy_name

FINGERPRINT = bytes(range(16))
FROM_CLIENT: Gate[Hello | SchemaDiffers] = Gate(Hello | SchemaDiffers, 2048)
FROM_SERVER: Gate[Welcome | SchemaOffer] = Gate(Welcome | SchemaOffer, 1 << 20)


def test_greetings_cross_the_wire() -> None:
    hello = Hello(WIRE_VERSION, FINGERPRINT, "Ann")
    assert FROM_CLIENT.decode(encode(hello)) == hello
    assert encode(hello)[:3] == bytes([0x96, 1, WIRE_VERSION])
    assert FROM_CLIENT.decode(encode([1, WIRE_VERSION, FINGERPRINT, "Ann"])) == hello
    assert FROM_CLIENT.decode(encode([1, WIRE_VERSION, FINGERPRINT, "Ann", None])) == hello
    smooth = Hello(WIRE_VERSION, FINGERPRINT, "Ann", smooth=True)
    assert FROM_CLIENT.decode(encode(smooth)) == smooth != hello
    with_data = Hello(WIRE_VERSION, FINGERPRINT, "Ann", (3, msgspec.Raw(b"\x91\x07")))
    assert FROM_CLIENT.decode(encode(with_data)) == with_data
    differs = SchemaDiffers("server has Tank.hp: int, you have float")
    assert FROM_CLIENT.decode(encode(differs)) == differs
    welcome = Welcome(2**32 - 1, 7, 1, 62.5, 20, 12)
    assert FROM_SERVER.decode(encode(welcome)) == welcome
    full = Welcome(2**32 - 1, 7, 1, 62.5, 20, 12, 5.0, 2**64 - 1, 0.35)
    assert FROM_SERVER.decode(encode(full)) == full
    offer = SchemaOffer(b"x" * 1000)
    assert FROM_SERVER.decode(encode(offer)) == offer


@pytest.mark.parametrize(
    "message",
    [
        [1, WIRE_VERSION, FINGERPRINT[:15], "Ann"],
        [1, WIRE_VERSION, FINGERPRINT, "x" * 25],
        [1, WIRE_VERSION, FINGERPRINT, "Ann", 1],
        [1, WIRE_VERSION, FINGERPRINT, "Ann", [1]],
        [1, WIRE_VERSION, FINGERPRINT, "Ann", [-1, [7]]],
        [1, WIRE_VERSION, FINGERPRINT, "Ann", [2**16, [7]]],
        [1, WIRE_VERSION, FINGERPRINT, "Ann", [1, [7], 2]],
        [1, WIRE_VERSION, FINGERPRINT, "Ann", None, None],
        [1, WIRE_VERSION, FINGERPRINT, "Ann", None, 1],
        [1, WIRE_VERSION, FINGERPRINT, "Ann", None, True, None],
        [1, WIRE_VERSION, FINGERPRINT],
        [1, -1, FINGERPRINT, "Ann"],
        [4, "x" * 401],
        [2, 1, 2, 3, 60.0, 60.0, 5],
        [9],
    ],
)
def test_gate_turns_bad_greetings_away(message: object) -> None:
    assert FROM_CLIENT.decode(encode(message)) is None


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_server_cannot_have_a_mad_rate(rate: float) -> None:
    assert FROM_SERVER.decode(encode([2, 1, 2, 3, rate, 60.0, 5])) is None


@pytest.mark.parametrize(
    "end", [(-1,), (1.5,), (0, -0.1), (0, float("nan")), (0, float("inf")), (0, 3601), (0, 0, 0)]
)
def test_a_server_cannot_have_a_mad_seed_or_look_back_for_ever(end: tuple[object, ...]) -> None:
    assert FROM_SERVER.decode(encode([2, 1, 2, 3, 60.0, 60.0, 5, None, *end])) is None


SERVERS = {
    "epoch": (3, [0, 2**32 - 1], [-1, 2**32]),
    "player": (0, [0, 2**53], [-1, 2**53 + 1]),
    "player_id": (1, [0, 2**53], [-1, 2**53 + 1]),
    "tick_rate": (60.0, [0.1, 10_000], [0.09, 10_001]),
    "update_rate": (60.0, [0.1, 10_000], [0.09, 10_001]),
    "tick": (5, [0, 2**32 - 1], [-1, 2**32]),
    "command_rate": (None, [None, 1, 10_000], [0.9, 10_001]),
    "seed": (0, [0, 2**64 - 1], [-1]),
    "rewind": (0.0, [0, 3600], [-0.1, 3601]),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_welcome_may_say_as_much_as_its_limits_allow(name: str) -> None:
    _, good, bad = SERVERS[name]
    for value, sound in [*((each, True) for each in good), *((each, False) for each in bad)]:
        fields = {other: usual for other, (usual, _, _) in SERVERS.items()} | {name: value}
        welcome = FROM_SERVER.decode(encode([2, *fields.values()]))
        assert (welcome is not None) is sound, value
        assert not sound or getattr(welcome, name) == value


def test_what_an_older_server_leaves_out_of_its_welcome_has_a_default() -> None:
    welcome = FROM_SERVER.decode(encode([2, 1, 2, 3, 60.0, 60.0, 5]))
    assert isinstance(welcome, Welcome)
    assert (welcome.command_rate, welcome.seed, welcome.rewind) == (None, 0, 0.0)


def test_a_difference_may_have_400_characters() -> None:
    differs = SchemaDiffers("x" * 400)
    assert FROM_CLIENT.decode(encode(differs)) == differs


def test_names() -> None:
    decomposed = "Zoe\u0308"
    assert not is_name(decomposed)
    assert tidy_name(f"  {decomposed} ") == "Zo\u00eb"
    assert is_name("The Black Knight")
    for bad in ("", "   ", "x" * 25, "a\nb", "\u202eevil", "tab\there", "nul\0"):
        assert not is_name(bad)
        with pytest.raises(UsageError, match="1 to 24 printable characters"):
            tidy_name(bad)


@given(st.text(max_size=60))
def test_a_tidy_name_is_a_name(text: str) -> None:
    try:
        tidy = tidy_name(text)
    except UsageError:
        return
    assert is_name(tidy)
    assert tidy_name(tidy) == tidy
    assert unicodedata.normalize("NFC", tidy) == tidy
    assert 0 < len(tidy) <= NAME_LENGTH


@given(st.text(max_size=900))
def test_printable_is_one_bounded_line(text: str) -> None:
    line = printable(text)
    assert line.isprintable()
    assert len(line) <= 400 * 10
    seen = text.encode("ascii", "ignore").decode()  # others may be printable and not to be seen
    if seen.isprintable() and len(seen) <= 400:
        assert printable(seen) == seen


def test_long_text_is_cut() -> None:
    assert printable("x" * 500, 10) == "xxxxxxx..."
    assert printable("a\nb\u202e") == "a\\nb\\u202e"


def test_messages_are_structs_that_cannot_change() -> None:
    with pytest.raises(AttributeError):
        Hello(1, FINGERPRINT, "Ann").name = "Bob"  # type: ignore[misc]
    assert issubclass(Welcome, msgspec.Struct)
