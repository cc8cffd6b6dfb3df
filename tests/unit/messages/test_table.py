"""A message is taken where its row says, and nowhere else."""

from __future__ import annotations

import msgspec
import pytest

from ecsnet.messages.joining import MemberState
from ecsnet.messages.table import MessageTable, handles
from ecsnet.schema import encode


class One(msgspec.Struct, array_like=True, tag=1):
    value: int


class Two(msgspec.Struct, array_like=True, tag=2):
    text: str


class Both:
    """Takes two messages, and notes them."""

    def __init__(self) -> None:
        self.taken: list[tuple[object, str, float]] = []
        self.table: MessageTable[str] = MessageTable(
            20,
            [
                handles(One, [MemberState.HANDSHAKE], self.one),
                handles(Two, [MemberState.JOINING, MemberState.JOINED], self.two, 12),
            ],
        )

    def one(self, message: One, source: str, now: float) -> None:
        self.taken.append((message.value, source, now))

    def two(self, message: Two, source: str, now: float) -> None:
        self.taken.append((message.text, source, now))


def test_messages_go_to_their_handlers_in_their_states_alone() -> None:
    both = Both()
    legal = [
        (state, message)
        for state in MemberState
        for message in (One(7), Two("x"))
        if both.table.dispatch(encode(message), state, "ann", 1.5)
    ]
    assert legal == [
        (MemberState.HANDSHAKE, One(7)),
        (MemberState.JOINING, Two("x")),
        (MemberState.JOINED, Two("x")),
    ]
    assert both.taken == [(7, "ann", 1.5), ("x", "ann", 1.5), ("x", "ann", 1.5)]
    assert both.table.rejected == 0


@pytest.mark.parametrize("data", [b"", b"\xc1", encode([3, 1]), encode(One(7)) + bytes(20)])
def test_what_does_not_decode_is_counted_and_taken_by_nobody(data: bytes) -> None:
    both = Both()
    assert not both.table.dispatch(data, MemberState.JOINED, "ann", 0.0)
    assert both.table.rejected == 1
    assert both.taken == []


@pytest.mark.parametrize("tag", [b"\x02", b"\xcc\x02"])  # the tag may take more bytes than it needs
def test_a_message_that_is_too_long_for_its_kind_is_not_even_decoded(
    tag: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Both()
    text = b"\x92" + tag + encode("x" * 8)
    assert both.table.dispatch(text, MemberState.JOINED, "ann", 0.0)
    # One of another kind may be as long as this one.
    assert both.table.dispatch(encode([1, 7, *bytes(12)]), MemberState.HANDSHAKE, "ann", 0.0)
    assert both.table.rejected == 0
    monkeypatch.setattr(both.table, "_gate", None)
    text = b"\x92" + tag + encode("x" * 10)
    assert not both.table.dispatch(text, MemberState.JOINED, "ann", 0.0)
    assert both.table._long == 1
    assert len(both.taken) == 2


def test_each_kind_has_a_limit_of_its_own() -> None:
    taken: list[str] = []

    class Three(msgspec.Struct, array_like=True, tag=3):
        text: str

    def two(message: Two, source: str, now: float) -> None:
        taken.append(message.text)

    def three(message: Three, source: str, now: float) -> None:
        taken.append(message.text)

    table: MessageTable[str] = MessageTable(
        20,
        [
            handles(Two, [MemberState.JOINED], two, 8),
            handles(Three, [MemberState.JOINED], three, 12),
        ],
    )
    for kind, limit in ((Two, 8), (Three, 12)):
        for size in (limit, limit + 1):
            message = encode(kind("x" * (size - 3)))
            assert len(message) == size
            fits = table.dispatch(message, MemberState.JOINED, "ann", 0.0)
            assert fits is (size == limit)
    assert taken == ["x" * 5, "x" * 9]
    assert table.rejected == 2


def test_two_messages_with_one_tag_are_a_mistake_at_once() -> None:
    class Other(msgspec.Struct, array_like=True, tag=1):
        pass

    def take(message: Other, source: None, now: float) -> None:
        raise AssertionError

    def take_one(message: One, source: None, now: float) -> None:
        raise AssertionError

    rows = [
        handles(One, [MemberState.JOINED], take_one),
        handles(Other, [MemberState.JOINED], take),
    ]
    with pytest.raises(TypeError, match="tag"):
        MessageTable(100, rows)
