"""The decode gate: whatever arrives, it returns a message or counts a rejection."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.schema import ENCODE_ERRORS, Gate, encode


class Kind(enum.Enum):
    A = 1


class Inner(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    text: Annotated[str, msgspec.Meta(max_length=8)]
    kind: Kind


class Message(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    number: Annotated[int, msgspec.Meta(ge=0, le=10)]
    inner: list[Inner] = []


class Raising(msgspec.Struct, array_like=True):
    value: int

    def __post_init__(self) -> None:
        raise (TypeError, ValueError, OverflowError, RecursionError)[self.value]


def test_a_message_passes() -> None:
    gate = Gate(Message, 100)
    message = Message(3, [Inner("ab", Kind.A)])
    assert gate.decode(encode(message)) == message
    assert gate.rejected == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        encode([11]),
        encode(["x"]),
        encode([1, [], 3]),
        encode([1, [["123456789", 1]]]),
        encode([1, [["a", 2]]]),
        encode([1]) + b"\x00",
        encode([1])[:-1],
        encode(None),
        b"\x92\x01\x91\x92\xa2\xff\xff\x01",  # not UTF-8
        b"\xdd\xff\xff\xff\xff",  # four billion items, they say
        b"\x92\x01\xdd\xff\xff\xff\xff",
    ],
)
def test_what_is_not_a_message_is_counted(data: bytes) -> None:
    gate = Gate(Message, 1200)
    assert gate.decode(data) is None
    assert gate.rejected == 1
    assert gate.decode(encode([1])) == Message(1)
    assert gate.rejected == 1


def test_nesting_does_not_escape() -> None:
    class Node(msgspec.Struct, array_like=True):
        child: Node | None = None

    Node.__annotations__["child"] = Node | None
    gate = Gate(Node, 10_000)
    assert gate.decode(b"\x91" * 9_000) is None
    assert gate.rejected == 1


def test_errors_of_conversions_do_not_escape() -> None:
    gate = Gate(Raising, 100)
    assert [gate.decode(encode([n])) for n in range(4)] == [None] * 4
    assert gate.rejected == 4


def test_the_limit_is_in_bytes_and_included() -> None:
    data = encode([1])
    assert Gate(Message, len(data)).decode(data) == Message(1)
    gate = Gate(Message, len(data) - 1)
    assert gate.decode(data) is None
    assert gate.rejected == 1


def test_unions_and_plain_types_have_gates() -> None:
    class A(msgspec.Struct, array_like=True, tag=1):
        x: int

    class B(msgspec.Struct, array_like=True, tag=2):
        y: str

    union: Gate[A | B] = Gate(A | B, 100)
    assert union.decode(encode(B("b"))) == B("b")
    assert Gate(list[int], 100).decode(encode([1, 2])) == [1, 2]


@given(st.binary(max_size=64))
def test_garbage_never_raises(data: bytes) -> None:
    gate = Gate(Message, 64)
    decoded = gate.decode(data)
    assert (decoded is None) == (gate.rejected == 1)


@given(st.data())
def test_mutated_messages_never_raise(data: st.DataObject) -> None:
    good = encode(Message(3, [Inner("ab", Kind.A)] * 3))
    bad = bytearray(good)
    for index in data.draw(st.lists(st.integers(0, len(bad) - 1), min_size=1, max_size=4)):
        bad[index] = data.draw(st.integers(0, 255))
    gate = Gate(Message, 1000)
    gate.decode(bytes(bad))
    assert gate.rejected <= 1


@pytest.mark.parametrize("value", [object(), 2**64, "\ud800", {1: {2: {3: 1j}}}])
def test_what_cannot_be_encoded_raises_one_of_the_named(value: object) -> None:
    with pytest.raises(ENCODE_ERRORS):
        encode(value)


def test_endless_values_raise_one_of_the_named() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ENCODE_ERRORS):
        encode(endless)
