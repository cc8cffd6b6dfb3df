from __future__ import annotations

import random
from collections import deque

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.errors import UsageError
from ecsnet.session.channel import (
    FRAGMENT_BYTES,
    MESSAGE_WINDOW,
    PIGGYBACK_BYTES,
    SPAN,
    Incoming,
    Outgoing,
    SentFragments,
)
from ecsnet.session.packets import Fragment

_pieces = msgspec.msgpack.Decoder(list[Fragment])


def decode(wire: object) -> list[Fragment]:
    return _pieces.decode(msgspec.msgpack.encode(wire))


def piggybacked(out: Outgoing) -> list[bytes]:
    raw, last = out.piggybacked()
    fragments = decode(raw) if raw is not None else []
    assert not fragments or fragments[-1].number == last & 0xFFFF
    return [fragment.data for fragment in fragments]


def fill_all(out: Outgoing) -> list[tuple[list[Fragment], SentFragments, int]]:
    packets = []
    while (filled := out.fill(1175)) is not None:
        wire, sent_fragments, size = filled
        assert len(msgspec.msgpack.encode(wire)) <= size + 3
        packets.append((decode(wire), sent_fragments, size))
    return packets


def test_small_messages_ride_oldest_first_until_acked() -> None:
    out = Outgoing(1 << 20)
    assert [out.queue(bytes([n]) * 100) for n in range(6)] == [1, 2, 3, 4, 5, 6]
    assert out.backlog == 600
    raw, last = out.piggybacked()
    assert raw is not None
    assert len(raw) <= PIGGYBACK_BYTES
    assert last == 3
    assert [data[0] for data in piggybacked(out)] == [0, 1, 2]
    assert out.streaming
    out.piggyback_arrived(1)
    assert out.delivered == 1
    assert [data[0] for data in piggybacked(out)] == [1, 2, 3]
    assert out.streaming
    ((fragments, fifth_and_sixth, size),) = fill_all(out)  # before they are piggybacked
    assert [fragment.number for fragment in fragments] == [5, 6]
    out.arrived(fifth_and_sixth[:1], size)  # the fifth before the second
    assert out.delivered == 1
    assert [data[0] for data in piggybacked(out)] == [1, 2, 3]
    out.piggyback_arrived(last)
    assert out.delivered == 3
    assert [data[0] for data in piggybacked(out)] == [3, 5]
    out.piggyback_arrived(last)  # twice is once
    assert out.delivered == 3
    assert out.backlog == 200
    out.piggyback_arrived(6)
    assert out.delivered == 6
    assert not out.unacked
    assert piggybacked(out) == []
    assert out.backlog == 0


@pytest.mark.parametrize("first", [0, 255, 40_000])
@pytest.mark.parametrize("size", [0, 1, 30, 80, 186, 187, 255, 256, 389, 390])
def test_what_rides_keeps_to_its_bytes_and_one_message_that_fits_always_does(
    first: int, size: int
) -> None:
    out = Outgoing(1 << 20, first)
    for _ in range(200):
        out.queue(bytes(size))
    raw, last = out.piggybacked()
    assert raw is not None
    assert last - first == len(decode(raw)) == (PIGGYBACK_BYTES - 3) // (size + 7)
    assert len(raw) <= PIGGYBACK_BYTES


def test_a_message_that_does_not_ride_keeps_those_behind_it_from_it() -> None:
    out = Outgoing(1 << 20)
    out.queue(bytes(PIGGYBACK_BYTES - 9))
    out.queue(b"")
    assert piggybacked(out) == []


def test_what_rides_is_not_streamed_too() -> None:
    out = Outgoing(1 << 20)
    for _ in range(3):
        out.queue(b"small")
    assert not out.streaming
    assert out.fill(1175) is None
    out.queue(b"x" * 500)
    assert out.streaming
    ((fragments, _, _),) = fill_all(out)
    assert [fragment.number for fragment in fragments] == [4]
    assert not out.streaming


def test_what_may_ride_is_not_streamed_before_it_does() -> None:
    out = Outgoing(1 << 20)
    out.queue(b"small")
    assert out.fill(1175) is None
    assert piggybacked(out) == [b"small"]


@pytest.mark.parametrize(("size", "packets"), [(27, 1), (28, 2)])
def test_a_whole_fragment_shares_its_packet_with_crumbs_only(size: int, packets: int) -> None:
    out = Outgoing(1 << 20)
    out.queue(bytes(FRAGMENT_BYTES))
    out.queue(bytes(size))
    assert len(fill_all(out)) == packets


def test_a_fragments_header_counts_as_much_as_it_has_at_its_longest() -> None:
    out = Outgoing(1 << 20, 40_000)
    out.queue(bytes(300 * FRAGMENT_BYTES))
    beside: list[int] = []
    while (filled := out.fill(1175)) is not None:
        wire, sent_fragments, size = filled
        beside.append(len(msgspec.msgpack.encode(wire)) - size)
        out.arrived(sent_fragments, size)
    assert len(beside) == 300
    assert max(beside) == 1  # the header of the list


def test_what_the_stream_lost_is_not_streamed_again_once_it_rides() -> None:
    out = Outgoing(1 << 20)
    out.queue(b"L" * FRAGMENT_BYTES)
    out.queue(b"s" * 200)
    (_, large, large_size), (_, small, small_size) = fill_all(out)
    out.lost(small, small_size, 0.0, 1.0)
    out.arrived(large, large_size)
    assert piggybacked(out) == [b"s" * 200]
    assert out.fill(1175) is None
    assert not out.streaming


def test_what_was_streamed_and_then_rode_may_arrive_both_ways() -> None:
    out = Outgoing(1 << 20)
    out.queue(b"L" * FRAGMENT_BYTES)
    out.queue(b"s" * 200)
    (_, large, large_size), (_, small, small_size) = fill_all(out)
    out.arrived(large, large_size)
    assert piggybacked(out) == [b"s" * 200]
    out.piggyback_arrived(2)
    out.arrived(small, small_size)
    assert (out.delivered, out.backlog, out.in_flight) == (2, 0, 0)


def test_small_messages_behind_a_large_one_share_packets() -> None:
    out = Outgoing(1 << 20)
    out.queue(b"L" * 2500)
    for _ in range(20):
        out.queue(b"s" * 30)
    assert piggybacked(out) == []
    packets = fill_all(out)
    assert [len(fragments) for fragments, _, _ in packets][:2] == [1, 1]
    assert sum(len(fragments) for fragments, _, _ in packets) == 23
    assert len(packets) <= 5
    assert all(
        sum(len(fragment.data) for fragment in fragments) <= 1175 for fragments, _, _ in packets
    )


def test_the_window_bounds_what_is_on_its_way_and_follows_acks_and_losses() -> None:
    out = Outgoing(1 << 20)
    out.queue(b"x" * 500_000)
    first = fill_all(out)
    assert 14 * 1024 < out.in_flight <= 16 * 1024
    for _, sent_fragments, size in first:
        out.arrived(sent_fragments, size)
    assert out.in_flight == 0
    assert out.window == pytest.approx(32 * 1024, rel=0.05)
    second = fill_all(out)
    assert len(second) == pytest.approx(2 * len(first), abs=2)
    before = out.window
    for _, sent_fragments, size in second:  # one cut for a whole window of losses
        out.lost(sent_fragments, size, 1.0, 2.0)
    assert out.window == pytest.approx(before * 0.7)
    again = fill_all(out)
    lost_parts = [fragment.part for fragments, _, _ in second for fragment in fragments]
    resent = [fragment.part for fragments, _, _ in again for fragment in fragments]
    assert resent == lost_parts[: len(resent)]
    assert resent
    for step in range(50):
        for _, sent_fragments, size in again:
            out.lost(sent_fragments, size, 3.0 + step, 3.5 + step)
        again = fill_all(out)
    assert out.window == 8 * 1024
    grown = out.window
    for _, sent_fragments, size in again:
        out.arrived(sent_fragments, size)
    assert grown + FRAGMENT_BYTES / 2 < out.window < grown + 2 * FRAGMENT_BYTES  # steady now


def test_what_was_sent_at_the_moment_of_a_cut_is_no_reason_for_another() -> None:
    out = Outgoing(1 << 20)
    out.queue(bytes(3 * FRAGMENT_BYTES))
    (_, first, size), (_, second, _), (_, third, _) = fill_all(out)
    out.lost(first, size, 0.0, 1.0)
    cut = out.window
    out.lost(second, size, 1.0, 2.0)
    assert out.window == cut
    out.lost(third, size, 1.5, 2.0)
    assert out.window < cut


def test_a_lost_piece_that_arrived_late_is_not_sent_again() -> None:
    out = Outgoing(1 << 20)
    out.queue(b"x" * 1000)
    ((_, sent_fragments, size),) = fill_all(out)
    out.lost(sent_fragments, size, 0.0, 1.0)
    assert out.streaming
    out.arrived(sent_fragments, 0)
    assert out.delivered == 1
    assert not out.unacked
    assert not out.streaming
    assert fill_all(out) == []
    out.lost(sent_fragments, 0, 0.0, 2.0)
    assert not out.streaming


def test_of_lost_pieces_those_that_arrived_late_are_not_sent_again() -> None:
    out = Outgoing(1 << 20)
    out.queue(bytes(3 * FRAGMENT_BYTES))
    (_, first, size), (_, second, _), _ = fill_all(out)
    out.lost(first, size, 0.0, 1.0)
    out.lost(second, size, 0.0, 1.0)
    out.arrived(first, 0)
    ((again, _, _),) = fill_all(out)
    assert [fragment.part for fragment in again] == [1]
    assert out.in_flight == 2 * size  # the second and the third


def test_an_allowance_below_a_piece_takes_nothing() -> None:
    out = Outgoing(1 << 20)
    out.queue(b"x" * 1000)
    assert out.fill(900) is None
    assert out.in_flight == 0
    assert out.fill(1100) is not None


def test_numbers_on_their_way_stay_within_the_peers_window() -> None:
    out = Outgoing(1 << 20)
    for _ in range(MESSAGE_WINDOW * 2):
        out.queue(b"")
    sent = {fragment.number for fragments, _, _ in fill_all(out) for fragment in fragments}
    sent |= {fragment.number for fragment in decode(out.piggybacked()[0])}
    assert max(sent) == MESSAGE_WINDOW == 256
    assert len(sent) == MESSAGE_WINDOW


def test_what_rides_stays_within_the_peers_window_too() -> None:
    out = Outgoing(1 << 20)
    out.queue(b"first")
    for _ in range(MESSAGE_WINDOW - 2):
        out.queue(b"x" * PIGGYBACK_BYTES)
    for _ in range(MESSAGE_WINDOW):
        out.queue(b"")
    arrived: set[int] = set()
    for _ in range(20):  # all but the first
        for fragments, sent_fragments, size in fill_all(out):
            arrived |= {fragment.number for fragment in fragments}
            out.arrived(sent_fragments, size)
    assert arrived == set(range(2, MESSAGE_WINDOW + 1))
    assert [*out.unacked][:2] == [1, MESSAGE_WINDOW + 1]
    assert piggybacked(out) == [b"first"]
    out.piggyback_arrived(1)
    assert out.delivered == MESSAGE_WINDOW
    assert len(piggybacked(out)) > 10


def test_the_last_message_in_the_peers_window_rides() -> None:
    out = Outgoing(1 << 20)
    out.queue(b"first")
    for _ in range(MESSAGE_WINDOW - 2):
        out.queue(bytes(PIGGYBACK_BYTES))
    while (filled := out.fill(1175)) is not None:
        _, sent_fragments, size = filled
        out.arrived(sent_fragments, size)
    out.queue(b"last")
    out.queue(b"too far ahead")
    assert piggybacked(out) == [b"first", b"last"]


def test_bytes_on_their_way_stay_within_the_peers_span() -> None:
    out = Outgoing(1 << 20)
    for _ in range(40):
        out.queue(b"x" * 8192)
    stuck = None
    highest = 0
    for _ in range(100):
        for fragments, sent_fragments, size in fill_all(out):
            highest = max(highest, fragments[-1].number)
            if stuck is None:
                stuck = sent_fragments, size
            else:
                out.arrived(sent_fragments, size)
    assert highest == SPAN // 8192 == 16
    assert stuck is not None
    out.arrived(*stuck)
    assert fill_all(out)


def test_riding_respects_the_span_too() -> None:
    out = Outgoing(1 << 20)
    out.queue(b"first")
    first = out.piggybacked()[1]
    for size in (SPAN - 1000, 900, 90):
        out.queue(b"x" * size)
    for _ in range(200):
        for _, sent_fragments, size in fill_all(out):
            out.arrived(sent_fragments, size)
    assert sorted(out.unacked) == [1]
    out.queue(b"late" * 10)
    assert piggybacked(out)[0] == b"first"
    assert b"late" * 10 not in piggybacked(out)
    out.piggyback_arrived(first)
    assert b"late" * 10 in piggybacked(out)


def test_a_message_longer_than_the_limit_is_refused_here() -> None:
    out = Outgoing(1000)
    with pytest.raises(UsageError, match="1001 bytes is too long, the limit is 1000"):
        out.queue(b"x" * 1001)
    assert out.queued == 0
    assert out.backlog == 0
    assert out.queue(b"x" * 1000) == 1


def test_pieces_come_together_in_any_order() -> None:
    out, into = Outgoing(1 << 20), Incoming(1 << 20)
    message = random.Random(1).randbytes(5000)
    out.queue(message)
    out.queue(b"next")
    fragments = [fragment for fragments, _, _ in fill_all(out) for fragment in fragments]
    assert len(fragments) == 6
    fragments.reverse()
    handed = []
    for fragment in fragments:
        for _ in range(2):
            assert into.admit([fragment]) is not None
            handed += into.take([fragment])
    assert handed == [(1, message), (2, b"next")]
    assert into.received == 2
    assert into.held == 0


def fragment(number: int, data: bytes = b"x", part: int = 0, parts: int = 1) -> Fragment:
    return Fragment(number, data, part, parts)


@pytest.mark.parametrize(
    "bad",
    [
        fragment(MESSAGE_WINDOW + 1),
        fragment(1, parts=9),  # longer than the limit allows
        fragment(1, b"x" * 1024, part=3, parts=3),
        fragment(1, b"x" * 1025),
        fragment(1, b"x", part=0, parts=2),  # only the last part may be short
        fragment(1, b"", part=1, parts=2),
        fragment(1, b"x" * 1025, part=1, parts=2),
        fragment(1, b"x" * 1000, part=7, parts=8),  # 8,168 bytes of 8,000
    ],
)
def test_pieces_that_no_honest_peer_sends(bad: Fragment) -> None:
    into = Incoming(8000)
    assert into.admit([bad]) is None
    assert into.admit([fragment(1), bad]) is None


def test_the_furthest_message_in_the_window_is_taken_and_none_beyond() -> None:
    into = Incoming(8000, 40_000)
    assert into.admit([fragment(40_000 + MESSAGE_WINDOW)]) == 1
    assert into.admit([fragment(40_000 + MESSAGE_WINDOW + 1)]) is None
    assert into.admit([fragment(60_000)]) is None


def test_what_came_long_ago_is_not_kept_again() -> None:
    into = Incoming(8000, 40_000)
    for old in (39_999, 20_000, 40_000 - 0x7FFF):
        assert into.admit([fragment(old)]) == 0
        assert into.take([fragment(old)]) == []
    assert into.held == 0


def test_a_message_of_exactly_the_limit_is_taken() -> None:
    into = Incoming(8000)
    message = random.Random(1).randbytes(8000)
    pieces = [fragment(1, message[n * 1024 : (n + 1) * 1024], n, 8) for n in range(8)]
    assert into.admit(pieces) == 1
    assert into.take(pieces) == [(1, message)]


def test_the_first_piece_of_a_message_that_is_too_long_is_not_taken() -> None:
    assert Incoming(1000).admit([fragment(1, b"x" * 1024, 0, 2)]) is None


def test_parts_must_agree() -> None:
    into = Incoming(8000)
    full = b"x" * 1024
    assert into.admit([fragment(2, full, 0, 3), fragment(2, full, 1, 4)]) is None
    assert into.admit([fragment(2, full, 0, 3)]) == 1
    assert into.take([fragment(2, full, 0, 3)]) == []
    assert into.admit([fragment(2, full, 1, 4)]) is None
    assert into.admit([fragment(2, full, 1, 3)]) == 0


@pytest.mark.parametrize("parts", [7, 8])  # of the last message some fit, or all
def test_what_waits_is_bounded(parts: int) -> None:
    into = Incoming(8192)
    taken = 0
    for number in range(2, MESSAGE_WINDOW + 2):
        for part in range(parts):
            one = fragment(number, b"x" * 1024, part, parts)
            if into.admit([one]) is not None:
                taken += 1
                assert into.take([one]) == []
    assert into.held == taken * 1024 == SPAN
    # What comes twice takes no more room, and what takes some has none.
    assert into.admit([fragment(2, b"x" * 1024, part, parts) for part in range(parts)]) == 0
    assert into.admit([fragment(1)]) is None


def test_old_messages_are_ignored() -> None:
    into = Incoming(8192)
    assert into.take([fragment(1), fragment(1, b"other")]) == [(1, b"x")]
    assert into.admit([fragment(1, b"y" * 9)]) == 0
    assert into.take([fragment(1, b"y" * 9)]) == []
    assert into.held == 0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    sizes=st.lists(
        st.one_of(st.integers(0, 120), st.integers(300, 1100), st.integers(2000, 60_000)),
        min_size=1,
        max_size=60,
    ),
    loss=st.floats(0, 0.7),
    first=st.sampled_from([0, 0xFFF0, 0x1FFF0]),
)
def test_exactly_once_in_order_whatever_the_packets_suffer(
    seed: int, sizes: list[int], loss: float, first: int
) -> None:
    dice = random.Random(seed)
    out, into = Outgoing(60_000, first), Incoming(60_000, first)
    messages = [dice.randbytes(size) for size in sizes]
    waiting = deque(messages)
    handed: list[tuple[int, bytes]] = []
    way: list[tuple[list[Fragment], SentFragments | int, int, int]] = []
    given_up: list[SentFragments | int] = []

    def note_arrived(carried: SentFragments | int, size: int) -> None:
        if isinstance(carried, int):
            out.piggyback_arrived(carried)
        else:
            out.arrived(carried, size)

    for tick in range(3000):
        for _ in range(dice.randint(0, 3)):
            if waiting:
                out.queue(waiting.popleft())
        raw, last = out.piggybacked()
        if raw is not None:
            way.append((decode(raw), last, 0, tick))
        way += [(*packet, tick) for packet in fill_all(out)]
        dice.shuffle(way)
        for _ in range(len(way)):
            fragments, carried, size, sent = way.pop()
            fate = dice.random()
            if fate < loss:
                if not isinstance(carried, int):
                    out.lost(carried, size, sent, tick)
                if dice.random() < 0.3:  # it did arrive, and its ack comes late
                    assert into.admit(fragments) is not None
                    handed += into.take(fragments)
                    given_up.append(carried)
            elif fate < loss + 0.1:
                way.insert(0, (fragments, carried, size, sent))
            else:
                for _ in range(dice.choice((1, 1, 2))):
                    assert into.admit(fragments) is not None
                    handed += into.take(fragments)
                note_arrived(carried, size)
        if given_up and dice.random() < 0.5:
            note_arrived(given_up.pop(), 0)
        assert into.held <= max(SPAN, 60_000)
        assert out.in_flight >= 0
        if not waiting and not out.unacked:
            break
    assert [data for _, data in handed] == messages
    assert [number for number, _ in handed] == list(range(first + 1, first + 1 + len(messages)))
    assert out.delivered == out.queued == first + len(messages)
    assert out.backlog == 0
    assert into.held == 0
    assert not out.streaming
