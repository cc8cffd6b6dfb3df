from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.connection.plain import Connection
from ecsnet.errors import UsageError
from ecsnet.limits import MAX_PACKET
from ecsnet.peer import Peer
from ecsnet.schema.gate import encode
from ecsnet.session.goodbye import Reason, code_of
from ecsnet.session.packets import RAW, PacketCodec
from ecsnet.session.session import MAX_PAYLOAD, NO_TAG, _tracked
from ecsnet.session.session import Received as PacketReceived
from ecsnet.session.session import Session as PacketSession
from ecsnet.testing import ManualClock, Network
from ecsnet.transport.conditioner import Link
from tests.unit.noting import Noted as Received
from tests.unit.noting import NotingPeer as Session

_fields = msgspec.msgpack.Decoder(list[object]).decode


def take(session: Session, packet: bytes, now: float = 0.0) -> Received:
    received = session.receive(packet, now)
    assert received is not None
    return received


def packet(
    number: int = 1,
    ack: int = 0,
    missing: int = 0,
    payload: object = None,
    *more: object,
) -> bytes:
    return encode((number, ack, missing, payload, *more))


# One packet.


def test_a_payload_crosses_and_its_record_comes_back() -> None:
    one, other = Session(), Session()
    received = take(other, one.send([1, "two"], 0.0, "record"), 0.1)
    assert received.payload is not None
    assert msgspec.msgpack.decode(received.payload) == [1, "two"]
    assert (received.acked, received.messages, received.reply) == ([], [], False)
    assert one.oldest_note() == "record"
    assert one.in_flight == 1
    back = take(one, other.send(None, 0.1), 0.2)
    assert list(back.acked) == ["record"]
    assert back.payload is None
    assert one.oldest_note() is None
    assert one.in_flight == 0
    assert one.lost(100.0) == []


def test_an_ordinary_packet_has_seven_bytes_of_header_at_most() -> None:
    one = Session()
    one.send(None, 0.0)
    payload = encode([1, 2, 3])
    plain = one.send(msgspec.Raw(payload), 0.1, "r")
    assert plain.endswith(payload)
    assert len(plain) - len(payload) == 4
    assert _fields(plain) == [2, 0, 0, [1, 2, 3]]
    for _ in range(70_000):
        last = one.send(msgspec.Raw(payload), 0.1)
    assert len(last) - len(payload) == 6


def test_nothing_falsy_is_mistaken_for_nothing() -> None:
    one, other = Session(), Session()
    payloads: list[object] = [0, False, "", [], b""]
    for payload in payloads:
        received = take(other, one.send(payload, 0.0))
        assert received.payload is not None
        assert msgspec.msgpack.decode(received.payload) == payload


def test_a_payload_that_does_not_encode_changes_nothing() -> None:
    one = Session()
    with pytest.raises(TypeError):
        one.send(object(), 0.0, "r")
    assert one.packets_sent == 0
    assert one.in_flight == 0


def test_a_packet_too_long_is_refused_and_riders_make_room() -> None:
    one, other = Session(), Session()
    one.queue(b"m" * 300)
    first, full = one.pack(msgspec.Raw(encode(b"x" * (MAX_PAYLOAD - 3))), 0.0)
    assert len(full) <= MAX_PACKET
    assert take(other, first).messages == [(1, b"m" * 300)]
    received = take(other, full)
    assert (received.messages, len(received.payload)) == ([], MAX_PAYLOAD)
    raw, _ = one._out.piggybacked()
    assert raw is not None
    (header,) = one.pack(b"", 0.1)
    room = MAX_PACKET - len(header) - 1  # of a longer payload the length has one byte more
    (together,) = one.pack(b"x" * room, 0.2)
    assert len(together) == MAX_PACKET
    assert len(one.pack(b"x" * (room + 1), 0.2000001)) == 2
    fresh = Session()
    with pytest.raises(UsageError, match="too long, the limit is 1175"):
        fresh.send(b"x" * 1200, 0.0, "r")
    with pytest.raises(UsageError):
        Session().send(b"x" * 1200, 0.0)
    assert fresh.packets_sent == 0


def test_messages_are_piggybacked_once_in_a_moment_unless_there_is_a_new_one() -> None:
    one, other = Session(), Session()
    one.queue(b"a")
    for now, expected in ((0.0, [(1, b"a")]), (0.0, []), (0.1, [])):
        (packet,) = one.pack("p", now)
        assert take(other, packet).messages == expected
    assert len(one.pack(None, 0.1)[0]) < len(packet)
    one.queue(b"b")
    (packet,) = one.pack("p", 0.1)
    assert take(other, packet).messages == [(2, b"b")]


@pytest.mark.parametrize("message", [False, True])
def test_a_packet_may_be_exactly_as_long_as_packets_may_be(message: bool) -> None:
    def pack(payload: bytes) -> list[bytes]:
        one = Session()
        if message:
            one.queue(b"m")
        return one.pack(payload, 0.0)

    (header,) = pack(b"")
    room = MAX_PACKET - len(header) - 1  # of a longer payload the length has one byte more
    (packet,) = pack(b"x" * room)
    assert len(packet) == MAX_PACKET
    if message:  # it goes in a packet of its own
        assert len(pack(b"x" * (room + 1))) == 2
    else:
        with pytest.raises(UsageError):
            pack(b"x" * (room + 1))


def test_the_longest_payload_fits_beside_the_longest_header_and_no_room_is_wasted() -> None:
    one, other = Session(first=40_000), Session(first=40_000)
    one.receive(packet(40_001, 40_000), 0.0)
    one.receive(packet(40_200, 40_000, 0, None, [], 127), 0.0)
    other.send(None, 0.0)
    for _ in range(199):
        other.send(None, 0.0)
    longest = msgspec.Raw(encode(b"x" * (MAX_PAYLOAD - 3)))
    assert len(longest) == MAX_PAYLOAD
    data = one.send(longest, 5000.0)  # the time for which the ping waited is cut off
    assert _fields(data)[2:3] + _fields(data)[4:] == [(1 << 64) - 1, [], 1, [127, 0xFFFFFFFF]]
    assert MAX_PACKET - 8 < len(data) <= MAX_PACKET
    assert take(other, data).payload == longest


@pytest.mark.parametrize("note", [None, "note"])
def test_the_first_packet_pings_and_answers_none(note: str | None) -> None:
    one = Session()
    assert one.due(0.0)
    assert _fields(one.send("p", 0.0, note)) == [1, 0, 0, "p", [], 1, None]


def test_a_goodbye_is_the_next_packet_and_last_words_have_no_numbers() -> None:
    one = Session(first=40_000)
    take(one, packet(40_003, 40_000))
    said = _fields(one.session.pack_goodbye(Reason.KICKED, "out", 0.0))
    assert said == [40_001, 40_003, 0b11, None, [], 0, None, [code_of(Reason.KICKED), "out"]]
    assert one.packets_sent == 1
    said = _fields(one.session.pack_last_words(Reason.KICKED))
    assert said == [0, 0, 0, None, [], 0, None, [code_of(Reason.KICKED), ""]]
    assert one.packets_sent == 1


def test_the_text_of_a_goodbye_is_cut_off_after_200_characters() -> None:
    one, other = Session(), Session()
    for data in (
        one.session.pack_goodbye(Reason.KICKED, "x" * 300, 0.0),
        one.session.pack_last_words(Reason.KICKED, "x" * 300),
    ):
        assert other.session.receive_packet(data, 0.0) is None
        assert other.session.goodbye is not None
        assert other.session.goodbye.text == "x" * 200
        other = Session()


@pytest.mark.parametrize("message", [False, True])
def test_numbers_and_acks_have_16_bits_on_the_wire(message: bool) -> None:
    one = Session(first=0x2FFF0)
    take(one, packet(0xFFF1, 0xFFF0))
    said = []
    for n in range(40):
        data = packet(0xFFF2 + n & 0xFFFF, 0xFFF0 + n & 0xFFFF)
        assert one.session.receive_packet(data, 0.0) is not None
        if message:
            one.queue(b"m")
        (data,) = one.pack(n, 0.0, 0)
        said.append(_fields(data)[:2])
    assert said == [[0xFFF1 + n & 0xFFFF, 0xFFF2 + n & 0xFFFF] for n in range(40)]


def test_a_number_half_of_all_away_is_not_taken_for_the_next_one() -> None:
    one = Session(first=40_000)
    one.send("p", 0.0, "r")
    assert one.receive(packet(40_001 - 0x8000, 40_001, 0, "q"), 0.0) is None
    assert one.stale == 1
    assert one.receive(packet(40_001, 40_001 - 0x8000, 0, "q"), 0.0) is None
    assert one.bad_acks == 1
    assert list(take(one, packet(40_001, 40_001, 0, "q")).acked) == ["r"]


def test_a_session_alone_has_the_defaults_of_a_peers() -> None:
    for session in (PacketSession(RAW), Peer(RAW).session):
        assert (session.keepalive, session.ping_interval) == (0.2, 0.25)
        assert session.path.loss_timeout == pytest.approx(0.5 + 0.05)


# Acks.


def test_duplicates_do_nothing() -> None:
    one, other = Session(), Session()
    first, second = one.send(1, 0.0), one.send(2, 0.0)
    for data in (first, second):
        take(other, data)
        assert other.receive(data, 0.0) is None
    third, fourth = one.send(3, 0.0), one.send(4, 0.0)
    take(other, fourth)
    take(other, third)
    assert other.receive(third, 0.0) is None
    assert other.duplicates == 3
    assert other.packets_received == 4
    assert other.strikes == 0


def test_packets_are_acked_in_whatever_order_they_come() -> None:
    one, other = Session(), Session()
    packets = [one.send(n, 0.0, n) for n in range(60)]
    order = list(range(60))
    random.Random(3).shuffle(order)
    dropped = set(order[:10])
    for n in order[10:]:
        take(other, packets[n])
    back = take(one, other.send(None, 0.1), 0.2)
    assert list(back.acked) == sorted(set(range(60)) - dropped)
    assert one.oldest_note() == min(dropped)


def test_acks_that_overtake_each_other_lose_nothing() -> None:
    one, other = Session(), Session()
    replies = []
    for n in range(100):
        take(other, one.send(n, 0.0, n))
        replies.append(other.send(None, 0.0))
    replies.reverse()
    acked = [record for data in replies for record in take(one, data, 0.1).acked]
    assert sorted(acked) == list(range(100))  # type: ignore[type-var]
    assert len(set(acked)) == 100


def test_a_hole_stays_open_while_its_packet_is_on_its_way() -> None:
    one, other = Session(), Session()
    first, second = one.send("a", 0.0, "first"), one.send("b", 0.0, "second")
    take(other, second)
    assert list(take(one, other.send(None, 0.0), 0.01).acked) == ["second"]
    assert one.lost(0.02) == []
    take(other, first)
    assert list(take(one, other.send(None, 0.0), 0.03).acked) == ["first"]


def test_a_hole_stays_where_it_is_while_newer_packets_are_acked_one_by_one() -> None:
    one, other = Session(), Session()
    for n in range(4):
        take(other, one.send(n, 0.0))
        take(one, other.send(n, 0.0, n))
    late = one.send("late", 0.0, "late")
    for n in range(10):
        take(other, one.send(n, 0.0, n))
        assert list(take(one, other.send(n, 0.0, n)).acked) == [n]
    take(other, late)
    assert list(take(one, other.send(None, 0.0)).acked) == ["late"]


@pytest.mark.parametrize("newer", [1, 2])
def test_one_ack_tells_of_newer_packets_and_of_one_that_was_missing(newer: int) -> None:
    one, other = Session(), Session()
    packets = [one.send(n, 0.0, n) for n in range(3 + newer)]
    for n in (0, 2):
        take(other, packets[n])
    assert take(one, other.send(None, 0.0)).acked == [0, 2]
    for data in (packets[1], *packets[3:]):
        take(other, data)
    assert take(one, other.send(None, 0.0)).acked == [1, *range(3, 3 + newer)]


def test_what_arrived_late_is_acked_by_the_very_next_payload() -> None:
    one, other = Session(), Session()
    for n in range(4):
        take(other, one.send(n, 0.0))
        take(one, other.send(n, 0.0, n))
    late = one.send("late", 0.0, "late")
    take(other, one.send("a", 0.0, "a"))
    assert list(take(one, other.send("a", 0.0, "a")).acked) == ["a"]
    take(other, late)
    take(other, one.send("b", 0.0, "b"))
    assert sorted(take(one, other.send("b", 0.0, "b")).acked) == ["b", "late"]


def test_what_was_given_up_long_ago_is_late_when_it_arrives() -> None:
    one, other = Session(), Session()
    late = one.send("late", 0.0, "late")
    take(other, one.send("b", 0.0, "second"))
    take(one, other.send(None, 0.0))
    assert one.lost(1.0) == ["late"]
    assert one.lost(1.5) == []
    take(other, late)
    received = take(one, other.send(None, 1.5), 1.5)
    assert (list(received.acked), list(received.late)) == ([], ["late"])


@pytest.mark.parametrize("tagged", [True, False])
def test_an_ack_is_wanted_after_as_many_packets_of_any_kind(tagged: bool) -> None:
    one, other = Session(), Session()
    answers = []
    for n in range(40):  # what is sent with each acks one more packet of the other end
        take(other, one.send(n, 0.0, n if tagged else None))
        answers.append(other.send(n, 0.0, n))
    replies = [take(one, data).reply for data in answers]
    assert replies == [n >= 31 for n in range(40)]


def test_the_first_32_packets_of_a_session_want_one_ack() -> None:
    one, other = Session(), Session()
    assert [take(other, one.send(n, 0.0)).reply for n in range(32)] == [False] * 31 + [True]


@pytest.mark.parametrize("message", [False, True])
def test_any_packet_acks_what_came(message: bool) -> None:
    one, other = Session(), Session()
    take(other, one.send("p", 0.0))
    for _ in range(2):
        other.send(None, 0.0)
    take(other, one.send("q", 0.0))
    assert other.session.due(0.0)
    if message:
        other.queue(b"m")
    (data,) = other.pack("answer", 0.0, 0)
    assert _fields(data)[:3] == [3, 2, 0]
    assert _fields(data)[5:] == ([0, None] if message else [])
    assert not other.session.due(0.0)


@pytest.mark.parametrize("codec", [RAW, PacketCodec(int)])
def test_an_ack_alone_wants_no_ack_whatever_payloads_are(codec: PacketCodec[Any]) -> None:
    one = PacketSession(codec)
    one.send(1, 0.0, 7)
    received = one.receive_packet(packet(1, 1), 0.01)
    assert received is not None
    assert (received.payload, list(received.acked)) == (None, [7])
    assert not one.due(0.01)


@pytest.mark.parametrize("count", [30, 65, 66, 95, 96, 130, 131, 200])
def test_old_acks_bring_news_beyond_the_mask_of_the_newest(count: int) -> None:
    one, other = Session(), Session()
    for n in range(30):
        take(other, one.send(n, 0.0, n))
    early = other.send(None, 0.0)
    for n in range(30, count):
        take(other, one.send(n, 0.0, n))
    newest = other.send(None, 0.0)
    told = max(0, count - 65)  # the newest says what became of so many packets, and of no more
    first = take(one, newest, 0.1).acked
    assert sorted(first) == list(range(told, count))  # type: ignore[type-var]
    second = take(one, early, 0.1).acked
    assert sorted(second) == list(range(min(told, 30)))  # type: ignore[type-var]


def test_four_packets_a_tick_at_300_ms_are_all_acked() -> None:
    one, other = Session(), Session()
    network = Network(ManualClock(0.0))
    end = network.connect(Link(lag=0.151))
    acked: list[object] = []
    given_up: list[object] = []
    for tick in range(600):
        now = network.clock.now
        for part in range(4):
            network.send(one.send([tick, part], now, (tick, part)), end.address)
        for data in end.receive():
            take(other, data, now)
        for data, _ in network.receive():
            acked += take(one, data, now).acked
        if other.due(now):
            end.send(other.send(None, now))
        given_up += one.lost(now)
        network.run(1 / 60)
    assert given_up == []
    assert len(acked) == 4 * (600 - 20)


def test_a_packet_too_late_for_the_mask_gets_an_ack_of_its_own() -> None:
    one, other = Session(), Session()
    late = [one.send("late", 0.0, n) for n in range(3)]
    for n in range(200):
        take(other, one.send(n, 0.0))
    take(one, other.send(None, 0.0))
    for data in late:
        take(other, data)
    assert other.due(0.0)
    acked: list[object] = []
    while other.due(0.0):
        acked += take(one, other.send(None, 0.0), 0.1).acked
    assert sorted(acked) == [0, 1, 2]  # type: ignore[type-var]


@pytest.mark.parametrize(("behind", "alone"), [(64, False), (65, True), (100, True)])
def test_a_packet_too_late_for_the_mask_is_one_more_than_64_behind(
    behind: int, alone: bool
) -> None:
    one, other = Session(), Session()
    one.send(None, 0.0)  # takes the ping that is due
    other.send(None, 0.0)
    first, *_, newest = [one.send(n, 0.0) for n in range(behind + 1)]
    take(other, newest)
    take(other, first)
    said = [_fields(other.send(n, 0.0, n))[1] for n in range(2)]
    assert said == [2 if alone else behind + 2, behind + 2]


def test_of_many_late_packets_the_last_64_get_acks() -> None:
    one, other = Session(), Session()
    packets = [one.send(n, 0.0) for n in range(200)]
    take(other, packets[-1])
    for data in packets[:100]:
        take(other, data)
    said: list[object] = []
    while other.due(0.0):
        said.append(_fields(other.send(None, 0.0))[1])
    assert said == [*range(100, 36, -1)]


def test_a_late_packet_that_is_refused_gets_no_ack_of_its_own() -> None:
    one, other = Session(), Session()
    first, *_, newest = [one.send(n, 0.0) for n in range(101)]
    take(other, newest)
    take(other, first)
    other.session.refuse(1)
    assert [_fields(other.send(None, 0.0))[1] for _ in range(2)] == [101, 101]
    take(other, first)  # it may come again
    assert _fields(other.send(None, 0.0))[1] == 1


def test_an_ack_of_a_late_packet_claims_no_other() -> None:
    one, other = Session(), Session()
    sent = [one.send(n, 0.0, n) for n in range(200)]
    lost = set(range(60, 71))
    for n in set(range(200)) - lost - {80}:
        take(other, sent[n])
    acked = set(take(one, other.send(None, 0.0), 0.1).acked)
    take(other, sent[80])
    while other.due(0.0):
        acked |= set(take(one, other.send(None, 0.0), 0.1).acked)
    assert acked == {*range(16, 81), *range(135, 200)} - lost  # an ack, and 64 before it


def test_packets_beyond_the_memory_are_dropped_unacked() -> None:
    one, other = Session(), Session()
    old = one.send("old", 0.0, "old")
    for _ in range(1025):
        newest = one.send(None, 0.0)
    take(other, newest)
    assert other.receive(old, 0.0) is None
    assert other.stale == 1
    assert other.strikes == 0
    # And acks from beyond it bring nothing.
    behind = packet(1, 5)
    ahead = packet(2, 1500)
    for _ in range(600):
        one.send(None, 0.0)
    take(one, ahead)
    assert take(one, packet(3, 5)).acked == []
    assert one.receive(behind, 0.0) is not None


def test_a_packet_is_taken_up_to_1024_behind_the_newest() -> None:
    one, other = Session(), Session()
    first, second, *_, newest = [one.send(n, 0.0) for n in range(1026)]
    take(other, newest)
    assert other.receive(first, 0.0) is None
    take(other, second)
    assert other.receive(second, 0.0) is None
    assert (other.stale, other.duplicates) == (1, 1)


def test_a_packet_is_taken_however_many_before_it_were_lost() -> None:
    one, other = Session(first=40_000), Session(first=40_000)
    for _ in range(20_000):
        newest = one.send(None, 0.0)
    take(other, newest)
    assert _fields(other.send(None, 0.0))[1] == 60_000


def test_numbers_wrap_unnoticed() -> None:
    one, other = Session(first=0xFFF0), Session(first=0xFFF0)
    for n in range(70_000):
        assert list(take(other, one.send(n, n / 100, n), n / 100).acked) == [n - 1] * (n > 0)
        assert list(take(one, other.send(n, n / 100, n), n / 100).acked) == [n]
    assert one.duplicates == other.duplicates == one.strikes == 0
    assert one.packets_sent == other.packets_received == 70_000


def test_an_ack_of_what_was_never_sent_is_a_strike() -> None:
    one = Session()
    one.send(1, 0.0, "r")
    assert one.receive(packet(1, 2), 0.0) is None
    assert one.receive(packet(2, 40_000), 0.0) is None
    assert one.bad_acks == one.strikes == 2
    # The packet does not count as received: it can come once more, sound.
    assert list(take(one, packet(1, 1)).acked) == ["r"]


def test_an_ack_may_be_half_of_all_numbers_old_and_no_older() -> None:
    one = Session(first=100_000)
    one.send(None, 0.0)
    for number, age in enumerate((0, 20_000, 0x7FFF), 100_001):
        take(one, packet(number & 0xFFFF, 100_001 - age & 0xFFFF))
    assert one.bad_acks == 0
    for age in (-1, -20_000, 0x8000):
        assert one.receive(packet(100_004 & 0xFFFF, 100_001 - age & 0xFFFF), 0.0) is None
    assert one.bad_acks == 3


def test_masks_from_nowhere_do_no_harm() -> None:
    one = Session()
    for n in range(10):
        one.send(n, 0.0, n)
    assert list(take(one, packet(1, 10, (1 << 64) - 1)).acked) == [9]
    assert list(take(one, packet(2, 0, 0)).acked) == []
    assert list(take(one, packet(3, 10, 0)).acked) == list(range(9))
    assert list(take(one, packet(4, 3, 5)).acked) == []
    assert one.strikes == 0


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xc1",
        b"\x91" * 1100,
        packet(1)[:-1],
        packet(1) + b"\0",
        packet(-1),
        packet(65536),
        packet(1, -1),
        packet(1, 0, -1),
        encode((1, 0, 0)),
        packet(1, 0, 0, None, [], 0, None, 1),
        packet(1, 0, 0, None, [], 256),
        packet(1, 0, 0, None, [], 0, (128, 0)),
        packet(1, 0, 0, None, [[1, b""]] * 257),
        packet(1, 0, 0, None, [[1, "text"]]),
        encode({"number": 1}),
        encode(b"x" * 1200),
    ],
)
def test_malformed_packets_are_strikes(bad: bytes) -> None:
    one = Session()
    assert one.receive(bad, 0.0) is None
    assert (one.malformed, one.strikes, one.packets_received) == (1, 1, 0)
    assert take(one, packet(1)) is not None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=64), max_size=20), st.randoms(use_true_random=False))
def test_noise_never_raises(noise: list[bytes], dice: random.Random) -> None:
    one, other = Session(message_limit=5000), Session()
    other.queue(b"message")
    for data in noise:
        one.receive(data, 0.0)
        sound = bytearray(other.send([1, 2, 3], 0.0))
        for _ in range(3):
            sound[dice.randrange(len(sound))] = dice.randrange(256)
        one.receive(bytes(sound), 0.0)
    # Each is taken, or counted among what is not, once.
    dropped = one.malformed + one.duplicates + one.stale + one.bad_acks + one.bad_fragments
    assert one.packets_received + dropped == 2 * len(noise)
    one.send(None, 0.0)


def test_strikes_make_abusive() -> None:
    one = Session()
    for _ in range(4):
        one.receive(b"\xc1", 0.0)
    assert not one.abusive
    one.strike(0.0)
    assert one.abusive


# Loss.


@pytest.mark.parametrize("first", [0, 65_500])
def test_forgotten_tags_are_never_told_in_whatever_order_acks_come(first: int) -> None:
    one, other = Session(first=first), Session(first=first)
    dice = random.Random(first)
    now, messages = 0.0, []
    on_their_way: list[bytes] = []
    for number in range(120):
        now += 0.02
        if number % 3 == 0:
            one.queue(b"m%d" % number)
        on_their_way.append(one.send([number], now, number))
        if number % 7 == 0:
            on_their_way += one.stream(now, 3000)
        if number == 100:
            assert one.lost(now) != []
            before = one.in_flight
            one.session.forget_tags()
            assert one.in_flight == before > 10
            assert one.oldest_note() is None
    dice.shuffle(on_their_way)
    told: list[object] = []
    for data in on_their_way[:70]:  # the others are lost
        received = other.receive(data, now)
        if received is not None:
            messages += [message for _, message in received.messages]
        now += 0.001
        acks = one.receive(other.send(None, now), now)
        told += [*acks.acked, *acks.late]
    for _ in range(300):
        now += 0.05
        told += one.lost(now)
        for data in (one.send(None, now), *one.stream(now, 3000)):
            received = other.receive(data, now)
            messages += [message for _, message in received.messages]
        acks = one.receive(other.send(None, now), now)
        told += [*acks.acked, *acks.late]
    assert messages == [b"m%d" % number for number in range(0, 120, 3)]
    assert sorted(told) == sorted(set(told))
    assert set(told) == set(range(101, 120))
    assert one.in_flight == 0
    assert one.backlog == 0


def test_loss_is_decided_by_time_never_by_position() -> None:
    one, other = Session(), Session()
    lost_one = one.send("lost", 0.0, "lost")
    assert lost_one
    for n in range(500):
        now = n / 1000
        take(other, one.send(n, now, n), now)
        take(one, other.send(None, now), now)
        if now < one.path.loss_timeout:
            assert one.lost(now) == []
    assert one.path.loss_timeout < 0.4
    assert list(one.lost(0.5)) == ["lost"]
    assert one.lost(0.6) == []


def test_a_packet_is_waited_for_until_its_time_is_over() -> None:
    one = Session(peer_interval=0.25)
    one.send("p", 0.0, "r")
    assert one.lost(0.75) == []
    assert one.lost(0.7500001) == ["r"]


def test_messages_are_overdue_from_the_next_look_for_losses_on() -> None:
    one, other = Session(), Session()
    for each in (one, other):
        each.lost(0.0)
    other.queue(b"m")
    for each in (one, other):
        each.pack("p", 0.0, 0 if each is one else NO_TAG)
    assert [one.overdue(at) for at in (0.04, 0.05)] == [False, False]  # it has a tag only
    assert [other.overdue(at) for at in (0.04, 0.05)] == [False, True]


def test_every_packet_is_lost_or_arrived_once_in_the_share_of_losses() -> None:
    one, other = Session(first=1000), Session(first=1000)
    packets = [one.send(n, 0.0, n) for n in range(40)]
    for n, data in enumerate(packets):
        if n % 4:
            take(other, data)
    take(one, other.send(None, 0.0), 0.01)
    take(other, packets[20])  # before it is given up
    take(one, other.send(None, 0.0), 0.02)
    one.lost(10.0)
    assert one.loss == 9 / 40
    take(other, packets[24])  # after that
    take(one, other.send(None, 10.0), 10.1)
    assert one.loss == 8 / 40


def test_acks_that_come_one_by_one_count_in_the_share_of_losses_too() -> None:
    one, other = Session(first=1000), Session(first=1000)
    for n in range(40):
        data = one.send(n, 0.0, n)
        if n != 20:
            take(other, data)
        take(one, other.send(n, 0.0, n))
    one.lost(10.0)
    assert one.loss == 1 / 40


def test_losses_are_looked_for_no_more_often_than_need_be() -> None:
    one = Session()
    assert one.session.lost(0.0) is not None
    looks = [n for n in range(1, 2000) if one.session.lost(n / 1000) is not None]
    assert 1 <= len(looks) <= 41  # every 50 ms


def test_patience_that_shrinks_counts_for_what_is_in_flight() -> None:
    one, other = Session(), Session()
    one.send("lost", 0.0, "lost")
    assert one.lost(0.0) == []
    for n in range(1, 20):
        now = n / 100
        take(other, one.send(n, now, n), now)
        take(one, other.send(n, now), now + 0.005)
    assert one.path.loss_timeout < 0.1
    assert list(one.lost(0.2)) == ["lost"]


def test_a_loss_is_found_in_the_first_tick_after_its_time() -> None:
    one, other = Session(), Session()
    found: list[object] = []
    for n in range(300):
        now = n / 60
        data = one.send(n, now, n)
        if n % 10:
            take(other, data, now)
        take(one, other.send(n, now), now)
        loss_timeout = one.path.loss_timeout
        for record in one.lost(now):
            assert isinstance(record, int)
            found.append(record)
            if n > 60:
                assert loss_timeout < now - record / 60 < loss_timeout + 2 / 60
    assert len(found) >= 28


def test_records_in_flight_are_lost_oldest_first_and_carriers_quietly() -> None:
    one = Session()
    one.queue(b"ride")
    for n in range(3):
        one.send(n, n / 100, n)
        one.send(None, n / 100)
    one.send(9, 5.0, 9)
    assert one.in_flight == 7
    assert list(one.lost(5.0)) == [0, 1, 2]
    assert one.in_flight == 1
    assert one.oldest_note() == 9
    assert one.loss == 1.0


def test_a_late_ack_is_told_apart_and_takes_the_loss_back() -> None:
    one, other = Session(), Session()
    number = one.queue(b"m")
    take(other, one.send("p", 0.0, "r"), 0.1)
    quiet = one.send(None, 0.0)
    take(other, quiet, 0.1)
    reply = other.send(None, 0.1)
    assert list(one.lost(1.0)) == ["r"]
    assert one.loss == 1.0
    loss_timeout = one.path.loss_timeout
    back = take(one, reply, 1.1)
    assert list(back.late) == ["r"]
    assert back.acked == []
    assert one.delivered == number
    assert one.loss == 0.0
    assert one.path.loss_timeout > loss_timeout


def test_what_is_long_gone_is_forgotten() -> None:
    one, other = Session(), Session()
    take(other, one.send("p", 0.0, "r"), 0.1)
    reply = other.send(None, 0.1)
    one.send("q", 1.0, "s")
    assert list(one.lost(1.0)) == ["r"]
    assert list(one.lost(2.9)) == ["s"]
    assert len(one._gone) == 2
    one.lost(3.0)
    assert len(one._gone) == 1
    back = take(one, reply, 3.2)
    assert (list(back.acked), list(back.late)) == ([], [])
    one.lost(10.0)
    assert not one._gone


def test_the_path_is_measured_without_the_peers_leisure() -> None:
    one, other = Session(), Session()
    for n in range(200):
        now = n / 20
        data = one.send(n, now, n)
        take(other, data, now + 0.02)
        take(one, other.send(n, now + 0.035), now + 0.04)  # 15 ms of leisure
    assert one.rtt == pytest.approx(0.025, abs=0.002)
    assert one.jitter < 0.005
    assert one.path.ack_lag == pytest.approx(0.04, abs=0.005)
    assert one.loss == 0.0
    assert other.loss_in == 0.0


def test_loss_inwards_is_seen_by_the_numbers() -> None:
    one, other = Session(), Session()
    dice = random.Random(5)
    for n in range(2000):
        now = n / 60
        data = one.send(n, now)
        if dice.random() > 0.25:
            take(other, data, now)
        other.send(None, now)
    assert other.loss_in == pytest.approx(0.25, abs=0.12)


def test_loss_inwards_is_looked_at_when_eight_more_numbers_have_come() -> None:
    one, other = Session(), Session()
    packets = [one.send(n, 0.0) for n in range(8)]
    other.send(1, 0.0)
    for data in packets[:7:2]:
        take(other, data)
    other.send(1, 0.25)
    assert other.loss_in == 0.0
    take(other, packets[7])
    other.send(1, 0.5)
    assert other.loss_in == pytest.approx((1 - 5 / 8) / 4)
    for n in range(8):  # what was looked at does not count again
        take(other, one.send(n, 0.5))
    other.send(1, 0.75)
    assert other.loss_in == pytest.approx((1 - 5 / 8) / 4 * 3 / 4)


# Pings and when to speak.


def test_pings_are_numbered_from_1_to_127_over_and_over() -> None:
    one = Session()
    pings = [_fields(one.send(1, n / 4))[5] for n in range(130)]
    assert pings == [*range(1, 128), 1, 2, 3]


def test_a_message_wants_an_ack_without_a_ping() -> None:
    one, other = Session(), Session()
    for n in range(7):
        one.send(n, 0.0, n)
    one.queue(b"m")
    (data,) = one.pack(None, 0.0)
    assert _fields(data) == [8, 0, 0, None, [[1, b"m"]], 0, None]
    other.send(None, 0.0)
    take(other, data)
    assert other.due(0.0)


def test_a_packet_with_a_message_carries_the_ping_that_is_due_and_the_pong_that_is_owed() -> None:
    one = Session()
    for n in range(7):
        one.send(n, 0.0, n)
    one.queue(b"m")
    (data,) = one.pack("p", 1.0, 0)
    assert _fields(data) == [8, 0, 0, "p", [[1, b"m"]], 2, None]
    take(one, packet(1, 0, 0, None, [], 5), 1.0)
    one.queue(b"n")
    (data,) = one.pack("q", 1.0, 0)
    assert _fields(data) == [9, 1, 0, "q", [[1, b"m"], [2, b"n"]], 0, [5, 0]]
    assert _fields(one.send(None, 1.0))[6] is None  # one answer is enough


def test_a_payload_as_long_as_a_packet_goes_without_the_ping_that_is_due() -> None:
    one = Session()
    one.send(None, 0.0)
    assert len(one.send(b"x" * (MAX_PACKET - 7), 10.0, "r")) == MAX_PACKET


def test_whatever_is_sent_puts_off_the_next_sign_of_life() -> None:
    one = Session()
    one.send(None, 0.0)
    for at, note, message in ((1.0, None, True), (2.0, "r", False), (3.0, "s", True)):
        if message:
            one.queue(b"m")
            (data,) = one.pack("p", at, NO_TAG if note is None else 0)
        else:
            data = one.send("p", at, note, piggyback=False)
        assert len(_fields(data)) == (7 if message else 4)
        assert not one.session.due(at + 0.04)
        assert one.session.due(at + 0.06)


def test_a_ping_is_answered_at_once() -> None:
    one, other = Session(), Session()
    other.send(None, 1.0)
    assert not other.due(1.05)
    received = take(other, one.ping(1.0), 1.05)
    assert received.reply
    assert received.payload is None
    assert other.due(1.05)
    take(one, other.send(None, 1.05), 1.1)
    assert one.rtt == pytest.approx(0.1)
    assert one.path.measured
    assert not take(one, other.send(1, 1.1), 1.2).reply


def test_packets_carry_pings_four_times_a_second() -> None:
    one = Session()
    pings = 0
    for n in range(600):
        fields = _fields(one.send(1, n / 60))
        pings += len(fields) > 5 and fields[5] != 0
    assert 35 <= pings <= 41


def test_the_next_packet_answers_a_ping() -> None:
    one, other = Session(), Session()
    for n in range(3):  # their numbers differ: what a packet carries is looked at by its number
        take(one, other.send(n, 0.0, n))
    pings = 0
    for n in range(60):
        now = n / 10
        data = one.send(n, now, n)
        pings += len(one._pings)
        take(other, data, now)
        take(one, other.send(n, now, n), now)
        assert not one._pings, n
    assert pings > 5


def test_pongs_nobody_asked_for_do_nothing() -> None:
    one = Session()
    first = _fields(one.send(1, 0.0))
    assert first[5] == 1
    take(one, packet(1, 0, 0, None, [], 0, (77, 0)), 0.1)
    assert not one.path.measured
    take(one, packet(2, 0, 0, None, [], 128, (1, 0xFFFFFFFF)), 0.1)  # held longer than it took
    assert one.path.measured
    assert one.rtt == 0.0
    assert not one.due(0.0)  # 128 is no ping


def test_acks_are_due_every_32_packets_and_once_a_poll() -> None:
    one, other = Session(), Session()
    other.send(None, 0.0)
    assert not other.due(0.0)
    assert not other.ack_due
    replies = 0
    for n in range(100):
        received = take(other, one.send(n, 0.0))
        assert other.due(0.0)
        assert received.reply == other.ack_due
        if received.reply:
            replies += 1
            other.send(None, 0.0)
    assert replies == 3
    assert other.due(0.0)
    other.send(None, 0.0)
    assert not other.due(0.1)
    assert other.due(0.2)  # keepalive


def test_acks_alone_are_not_acked() -> None:
    one, other = Session(), Session()
    take(other, one.send("p", 0.0, "r"), 0.0)
    chatter = 0
    for n in range(1, 20):
        now = n / 1000
        for this, that in ((other, one), (one, other)):
            if this.due(now):
                chatter += 1
                take(that, this.send(None, now), now)
    assert chatter <= 2
    assert one.in_flight == 0


def test_while_anything_is_unacked_something_is_sent_that_wants_an_ack() -> None:
    one, other = Session(), Session()
    one.send("p", 0.0, "r")
    assert not one.due(0.04)
    assert one.due(0.05)
    nudge = one.send(None, 0.05)
    other.send(None, 0.05)
    assert not other.due(0.05)
    take(other, nudge, 0.05)
    assert other.due(0.05)
    one.queue(b"small")
    assert one.due(0.05)
    big = Session()
    big.queue(b"x" * 5000)
    big.send(None, 0.0)
    assert not big.due(0.0)
    assert big.streaming


# Messages.


def test_a_message_is_delivered_when_the_ack_of_its_packet_comes_with_a_payload() -> None:
    one, other = Session(), Session()
    take(other, one.send(None, 0.0))
    take(one, other.send(None, 0.0))
    one.queue(b"m")
    take(other, one.send("p", 0.0, "p"))
    assert take(one, other.send("q", 0.0, "q")).acked == ["p"]
    assert (one.delivered, one.unacked) == (1, False)


def test_messages_ride_until_acked_and_come_once() -> None:
    one, other = Session(), Session()
    assert (one.queue(b"a"), one.queue(b"b")) == (1, 2)
    assert one.backlog == 2
    assert not one.streaming
    first = one.send("p", 0.0, "r")
    assert take(other, one.send("q", 0.1), 0.1).messages == [(1, b"a"), (2, b"b")]
    assert take(other, one.send("x", 0.1, piggyback=False), 0.1).messages == []
    assert len(one.send(None, 0.2)) > len(one.send(None, 0.2, piggyback=False)) + 4
    assert take(other, first, 0.3).messages == []
    take(one, other.send(None, 0.3), 0.4)
    assert (one.delivered, one.queued, one.backlog, other.received) == (2, 2, 0, 2)
    assert _fields(one.send(None, 0.4))[4] == []


def test_a_stream_keeps_to_its_allowance() -> None:
    one = Session()
    one.queue(b"x" * 100_000)
    assert one.stream(0.0, 500) == []
    assert one.stream(0.0, 1050) == []  # a whole fragment, but not with what is around it
    packets = one.stream(0.0, 5000)
    assert 4 * 1024 < sum(map(len, packets)) <= 5000
    assert all(len(data) <= MAX_PACKET for data in packets)
    rest = one.stream(0.0, 1 << 30)
    assert len(packets) + len(rest) == 15  # the window
    assert one.stream(0.0, 1 << 30) == []
    assert one.in_flight == 15
    assert one.oldest_note() is None


def test_a_stream_packet_that_is_lost_goes_again() -> None:
    one, other = Session(), Session()
    message = random.Random(2).randbytes(10_000)
    one.queue(message)
    assert one.stream(0.0, 1 << 20)
    assert one.lost(1.0) == []
    assert one.streaming
    handed: list[tuple[int, bytes]] = []
    for data in one.stream(1.0, 1 << 20):
        handed += take(other, data, 1.0).messages
    assert handed == [(1, message)]


def test_pieces_no_honest_peer_sends_are_strikes_and_not_acked() -> None:
    one = Session(message_limit=2000)
    assert one.receive(packet(1, 0, 0, None, [[500, b"x"]]), 0.0) is None
    assert (one.bad_fragments, one.strikes, one.packets_received) == (1, 1, 0)
    assert take(one, packet(1, 0, 0, None, [[1, b"x"]])).messages == [(1, b"x")]
    assert _fields(one.send(None, 0.0))[6] is None  # what is left out is no ping


def test_a_message_over_the_send_limit_is_refused_here() -> None:
    with pytest.raises(UsageError):
        Session(send_limit=10).queue(b"x" * 11)


def test_a_stream_packet_that_arrives_late_is_taken_off_the_window_once() -> None:
    one, other = Session(), Session()
    one.queue(b"x" * 1000)
    (data,) = one.stream(0.0, 5000)
    assert one._out.in_flight > 1000
    one.lost(1.0)
    assert one._out.in_flight == 0
    take(other, data, 1.0)
    take(one, other.send(None, 1.0), 1.1)
    assert (one.delivered, one._out.in_flight) == (1, 0)


# Budgets.


def test_too_many_packets_are_dropped_unacked() -> None:
    one = Session(packet_rate=300)
    other = Session()
    packets = [other.send(n, 0.0, n) for n in range(700)]
    taken = sum(one.receive(data, 0.0) is not None for data in packets)
    assert taken == 600
    assert one.excess == 100
    assert one.strikes == 0
    assert not one.abusive
    # A second later the rate has filled it up again.
    assert sum(one.receive(other.send(n, 1.0), 1.0) is not None for n in range(400)) == 300
    # What was dropped is not acked.
    acked = take(other, one.send(None, 1.0), 1.0).acked
    assert len(acked) <= 65


def test_a_pause_saves_up_one_burst_and_no_more() -> None:
    one, other = Session(packet_rate=300), Session()
    for n in range(600):
        one.lost(n / 60)
    taken = sum(one.receive(other.send(n, 10.0), 10.0) is not None for n in range(2000))
    assert 600 <= taken <= 600 + 300 * 0.1


def test_bytes_and_messages_have_budgets_too() -> None:
    one, other = Session(byte_rate=10_000), Session()
    big = [other.send(b"x" * 1000, 0.0) for _ in range(30)]
    assert sum(one.receive(data, 0.0) is not None for data in big) == 19
    assert sum(one.receive(data, 60.0) is not None for data in big[19:]) == 11
    chatty, quiet = Session(message_rate=10), Session()
    taken = 0
    for n in range(60):
        quiet.queue(b"m")
        received = chatty.receive(quiet.send(None, n / 1000), n / 1000)
        if received is not None:
            taken += len(received.messages)
            quiet.receive(chatty.send(None, n / 1000), n / 1000)
    assert taken == 20
    assert chatty.excess == 40
    assert chatty.strikes == 0


def test_an_honest_144_hz_client_after_a_stall_is_within_its_budget() -> None:
    one = Session(packet_rate=300)
    other = Session()
    backlog = [other.send(n, 0.0) for n in range(2 * 144)]
    for data in backlog:
        take(one, data, 2.0)
    for n in range(144 * 20):
        take(one, other.send(n, 2 + n / 144), 2 + n / 144)
    assert one.excess == 0


def test_five_seconds_of_excess_are_abuse_and_a_burst_is_not() -> None:
    one, other = Session(packet_rate=300), Session()
    now = 0.0
    while not one.abusive and now < 30:
        for _ in range(10):
            one.receive(other.send(1, now), now)
        now += 1 / 60
    assert 6.0 < now < 9.0
    patient, bursty = Session(packet_rate=300), Session()
    for burst in range(20):
        for _ in range(1000):
            patient.receive(bursty.send(1, 3.0 * burst), 3.0 * burst)
    assert patient.excess > 1000
    assert not patient.abusive


def pours(one: Session, other: Session, at: float, seconds: float, rate: float) -> None:
    """Let packets come at a rate for some seconds, or until it is abuse."""
    for number in range(round(seconds * rate)):
        if one.abusive:
            return
        now = at + number / rate
        one.receive(other.send(1, now), now)


@pytest.mark.parametrize(
    ("rate", "seconds", "calm"),
    [(1800, 4.5, 1.5), (1800, 1.5, 2.5), (900, 3.0, 1.1), (20_000, 0.05, 1.2)],
)
def test_excess_with_calm_between_is_remembered(rate: float, seconds: float, calm: float) -> None:
    one, other = Session(packet_rate=300), Session()
    now = 0.0
    while not one.abusive and now < 60:
        pours(one, other, now, seconds, rate)
        now += seconds + calm
    assert one.abusive
    assert one.excess > 600
    assert now > 4.5  # one burst alone is none


def test_excess_after_minutes_of_calm_is_forgotten() -> None:
    one, other = Session(packet_rate=300), Session()
    for at in range(0, 3600, 300):
        pours(one, other, at, 4.5, 1800)
    assert one.excess > 12 * 1000
    assert not one.abusive


def test_what_a_stall_held_back_is_no_abuse() -> None:
    """Ten seconds of an honest client arrive at once, again and again."""
    one, other = Session(packet_rate=300), Session()
    now = 0.0
    for _ in range(30):
        now += 10.0
        for _ in range(10 * 144):
            one.receive(other.send(1, now), now)
    assert one.excess > 30 * 800
    assert not one.abusive


@pytest.mark.parametrize("bad", [b"\xc1", b"\x94\x01\xcd\x10\x00\x00\xc0"])
def test_a_strike_is_forgiven_a_minute(bad: bytes) -> None:
    """Malformed packets, and acks of what was never sent."""
    patient, hasty = Session(), Session()
    for number in range(20):
        patient.receive(bad, 61.0 * number)
        assert not patient.abusive
        hasty.receive(bad, 20.0 * number)
    assert patient.strikes == hasty.strikes == 20
    assert hasty.abusive


def test_a_callers_strikes_are_forgiven_too() -> None:
    one = Session()
    for number in range(20):
        one.strike(61.0 * number)
    assert not one.abusive
    for number in range(5):
        one.strike(1300.0 + number)
    assert one.abusive


# Everything at once.


@dataclass
class Side:
    """One end with an oracle of what it sent and what became of it."""

    session: Session
    wire: Connection
    name: int
    queued: list[bytes] = field(default_factory=list)
    handed: list[bytes] = field(default_factory=list)
    sent: set[object] = field(default_factory=set)
    got: set[object] = field(default_factory=set)
    acked: list[object] = field(default_factory=list)
    lost: list[object] = field(default_factory=list)
    late: list[object] = field(default_factory=list)


def converse(seed: int, loss: float, ticks: int, first: int, faults: Counter[str]) -> None:
    dice = random.Random(seed)
    sides = [
        Side(
            Session(first=first),
            Connection("a", b"12345678", 0.0, server=name == 0),
            name,
        )
        for name in (0, 1)
    ]
    way: list[tuple[float, int, int, bytes]] = []
    order = 0

    def put(side: Side, data: bytes) -> None:
        nonlocal order
        datagram = side.wire.seal(data)
        assert len(datagram) + 20 <= 1200
        if dice.random() < rate:
            faults["lost"] += 1
            return
        copies = 1
        if dice.random() < 0.1:
            faults["duplicated"] += 1
            copies = 2
        for _ in range(copies):
            if dice.random() < 0.05:
                faults["corrupted"] += 1
                mutated = bytearray(datagram)
                mutated[dice.randrange(len(mutated))] ^= 1 << dice.randrange(8)
                datagram = bytes(mutated)
            order += 1
            delay = 0.02 + dice.expovariate(1 / 0.03)
            heapq.heappush(way, (now + delay, order, 1 - side.name, datagram))

    newest = [0, 0]
    for tick in range(ticks + 400):
        now = tick / 60
        rate = loss if tick < ticks else 0.0
        while way and way[0][0] <= now:
            _, sequence, name, datagram = heapq.heappop(way)
            if sequence < newest[name]:
                faults["reordered"] += 1
            newest[name] = max(newest[name], sequence)
            side = sides[name]
            opened = side.wire.open(datagram, now)
            if opened is None:
                continue
            received = side.session.receive(opened, now)
            if received is None:
                continue
            if received.payload is not None:
                payload = msgspec.msgpack.decode(received.payload)
                assert payload not in side.got
                side.got.add(payload)
            side.handed += [data for _, data in received.messages]
            side.acked += received.acked
            side.late += received.late
            if received.reply:
                put(side, side.session.send(None, now, piggyback=False))
        for side in sides:
            side.lost += side.session.lost(now)
            if tick < ticks:
                if dice.random() < 0.2:
                    size = dice.choice((1, 20, 200, 700, 3000, 20_000))
                    message = dice.randbytes(size)
                    side.queued.append(message)
                    side.session.queue(message)
                if dice.random() < 0.9:
                    for part in range(dice.choice((1, 1, 3))):
                        record = tick * 4 + part
                        side.sent.add(record)
                        put(side, side.session.send(record, now, record, piggyback=not part))
            for data in side.session.stream(now, 20_000):
                put(side, data)
            if side.session.due(now):
                put(side, side.session.send(None, now))
    for side, peer in (sides, sides[::-1]):
        assert peer.handed == side.queued
        assert side.queued
        assert side.session.delivered == side.session.queued == first + len(side.queued)
        assert side.session.backlog == 0
        # Each record had one fate, and none was told a thing that is not so.
        assert sorted(side.acked + side.lost) == sorted(side.sent)  # type: ignore[type-var]
        assert set(side.acked) <= peer.got
        assert set(side.late) <= set(side.lost) & peer.got
        assert len(set(side.late)) == len(side.late)
        assert side.session.in_flight == 0
        assert side.session.strikes == 0
        assert side.wire.rejected > 0
        faults["acked"] += len(side.acked)
        faults["given up"] += len(side.lost)
        faults["late"] += len(side.late)


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.2, 0.5])
def test_every_record_has_one_fate_and_every_message_arrives(loss: float) -> None:
    faults: Counter[str] = Counter()
    for seed in range(3):
        converse(seed, loss, 600, 0xFF80 if seed == 1 else 0, faults)
    expected = {"duplicated", "corrupted", "reordered", "acked", "given up"}
    if loss:
        expected |= {"lost"}
    assert all(faults[fault] > 10 for fault in expected), faults


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1 << 32), loss=st.floats(0, 0.6))
def test_any_seed(seed: int, loss: float) -> None:
    converse(seed, loss, 80, 0, Counter())


def test_a_silent_peer_costs_bounded_memory() -> None:
    one = Session()
    one.queue(b"short")
    one.queue(b"x" * 100_000)
    for n in range(60 * 60):
        now = n / 60
        one.send(n, now, n)
        one.stream(now, 20_000)
        one.lost(now)
        if one.due(now):
            one.send(None, now)
    held = one.in_flight + len(one._gone) + len(one._pings)
    assert held + len(one._piggybacks) < 1000
    assert len(one._carried) < 100
    assert one.backlog == 100_005


def test_a_stall_of_five_seconds_heals() -> None:
    one, other = Session(), Session()
    queued = [one.queue(bytes([n])) for n in range(5)]
    waiting: list[bytes] = []
    handed: list[tuple[int, bytes]] = []
    for n in range(60 * 8):
        now = n / 60
        waiting.append(one.send(n, now, n))
        one.lost(now)
        if not 60 <= n < 360:  # the peer sleeps from second 1 to 6
            for data in waiting:
                received = take(other, data, now)
                handed += received.messages
                if received.reply:
                    take(one, other.send(None, now), now)
            waiting.clear()
            take(one, other.send(None, now), now)
    assert [number for number, _ in handed] == queued
    assert one.in_flight == 0
    assert one.rtt < 2.0
    assert one.delivered == 5


class Slow(Session):
    """Takes and sends every packet the general way."""

    __slots__ = ()

    def __init__(self, ping_interval: float) -> None:
        super().__init__()
        self.session = SlowSession(RAW, ping_interval=ping_interval)


class SlowSession(PacketSession[msgspec.Raw]):
    __slots__ = ()

    def receive_packet(self, packet: bytes, now: float) -> PacketReceived[msgspec.Raw] | None:
        self._expected_missing = -1
        return super().receive_packet(packet, now)

    def send(self, payload: object, now: float, tag: int = NO_TAG) -> bytes:
        self.more = True
        return super().send(payload, now, tag)

    def send_fragments(
        self, fragments: msgspec.Raw, payload: object, now: float, tag: int = NO_TAG
    ) -> bytes | None:
        self.more = True
        return super().send_fragments(fragments, payload, now, tag)


@settings(max_examples=60)
@given(st.integers(0, 1 << 32), st.sampled_from((0.0, 0.02, 0.3)))
def test_the_short_ways_do_as_the_general_ones(seed: int, loss: float) -> None:
    dice = random.Random(seed)
    seldom = 1e9  # the short way leaves most pings to every eighth packet
    one, fast, slow = Session(), Session(ping_interval=seldom), Slow(seldom)
    waiting: list[bytes] = []
    back: list[bytes] = []
    acked: dict[Session, list[object]] = {fast: [], slow: []}
    for step in range(300):
        now = step / 60
        waiting.append(one.send(step, now, step))
        if dice.random() < 0.05:
            dice.shuffle(waiting)
        if dice.random() < 0.7 and waiting:
            data = waiting.pop(0)
            if dice.random() >= loss:
                ways = [end.receive(data, now) for end in (fast, slow)]
                assert ways[0] == ways[1]
                for end, received in zip((fast, slow), ways, strict=True):
                    acked[end] += received.acked if received else ()
        # Both say the same: one of the two is heard.
        tag = len(fast.notes)
        if dice.random() < 0.3:
            some = msgspec.Raw(encode([(1, b"x" * dice.choice((1, 1200)))]))
            sent = [end.session.send_fragments(some, step, now, tag) for end in (fast, slow)]
            assert (sent[0] is None) == (len(some) > 1200)
        else:
            sent = [end.session.send(step, now, tag) for end in (fast, slow)]
        assert sent[0] == sent[1]
        if sent[0] is None:
            continue
        for end in (fast, slow):
            end.notes.append(step)
        if dice.random() >= loss:
            back.append(sent[0])
        if back and dice.random() < 0.8:
            one.receive(back.pop(0), now)
        state = [
            (
                end._top,
                end._all_missing(),
                end._heard,
                _tracked(end._holes, end._heard - end._holes_heard),
                end.number,
                end.in_flight,
            )
            for end in (fast, slow)
        ]
        assert state[0] == state[1]
    assert acked[fast] == acked[slow]
    assert loss > 0.2 or len(acked[fast]) > 100


@pytest.mark.parametrize("make", [Session, Slow], ids=["the short way", "the general way"])
def test_what_is_missing_is_told_in_64_packets_and_taken_late_in_1024(
    make: Callable[..., Session],
) -> None:
    one, two = Session(ping_interval=1e9), make(1e9) if make is Slow else make(ping_interval=1e9)
    packets = [one.send(number, number / 60) for number in range(1, 1101)]  # from number 1 on
    told: list[int] = []
    for number, packet in enumerate(packets, 1):
        if number not in (3, 10, 75, 77):
            assert two.receive(packet, number / 60)
            told.append(number)
            missing = _fields(two.send(None, number / 60))[2]
            lost = [each for each in (3, 10, 75, 77) if number - 64 <= each < number]
            assert missing == sum(1 << number - 1 - each for each in lost)
    assert len(told) == 1096
    # The newest is 1100: 75 is too old, 77 is not.
    assert not two.receive(packets[74], 20.0)
    assert two.stale == 1
    assert two.receive(packets[76], 20.0)
    assert not two.receive(packets[76], 20.0)
    assert (two.stale, two.duplicates) == (1, 1)


class CountingSession(PacketSession[msgspec.Raw]):
    """Counts the packets that it takes and sends the general way."""

    __slots__ = ("general",)

    def __init__(self) -> None:
        super().__init__(RAW, ping_interval=1e9)
        self.general = 0

    def _receive(self, *parts: Any) -> PacketReceived[msgspec.Raw] | None:
        self.general += 1
        return super()._receive(*parts)

    def _pack(self, *parts: Any) -> bytes:
        self.general += 1
        return super()._pack(*parts)


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05])
def test_a_lost_packet_sends_few_of_those_after_it_the_general_way(loss: float) -> None:
    dice = random.Random(3)
    ends = [CountingSession(), CountingSession()]
    count = 4000
    for step in range(count):
        now = step / 60
        for one, other in (ends, ends[::-1]):
            one.lost(now)
            packet = one.send(step, now, step)
            if dice.random() >= loss:
                other.receive_packet(packet, now)
    for end in ends:
        # Of each packet sent and taken: the eighth that is timed, and some two after each loss.
        assert end.general <= 2 * count * (1 / 8 + 2.5 * loss) + 20


def test_a_refused_packet_counts_as_one_that_never_came() -> None:
    for order in ([1, 2, 3, 4], [1, 3, 4, 2], [3, 1, 4, 2], [4, 1, 2, 3]):
        for refused in order:
            one, other = Session(), Session()
            packets = {n: one.send(n, 0.0, n) for n in range(1, 5)}
            for n in order:
                take(other, packets[n])
                if n == refused:
                    other.session.refuse(n)
            assert other.packets_received == 3
            back = take(one, other.send(None, 0.1), 0.2)
            assert sorted(back.acked) == sorted(set(order) - {refused})  # type: ignore[type-var]
            take(other, packets[refused])  # it may come again
            back = take(one, other.send(None, 0.3), 0.4)
            assert list(back.acked) == [refused]


def test_forgotten_tags_are_told_no_more_and_messages_arrive_all_the_same() -> None:
    one, other = Session(), Session()
    packets = [one.send(n, 0.0, n) for n in range(20)]
    one.queue(b"message")
    packets.append(one.send(20, 0.0, 20))
    assert one.lost(2.0) == list(range(21))
    packets += [one.send(n, 2.0, n) for n in range(21, 30)]
    one.session.forget_tags()
    assert one.oldest_note() is None
    packets.append(one.send("new", 2.0, "new"))
    for data in packets[5:]:
        take(other, data, 2.1)
    back = take(one, other.send(None, 2.1), 2.2)
    assert (back.acked, back.late) == (["new"], [])
    assert other.received == one.delivered == 1
    assert one.in_flight == 0
    assert one.lost(9.0) == []


@pytest.mark.parametrize("message_first", [True, False])
def test_packets_of_messages_stay_in_flight_when_tags_are_forgotten(message_first: bool) -> None:
    one, other = Session(), Session()
    one.queue(b"message")
    packets = []
    for message in (message_first, not message_first):
        packets += one.pack("p", 0.0) if message else [one.send("q", 0.0, "q", piggyback=False)]
    assert one.in_flight == 2
    one.session.forget_tags()
    assert one.in_flight == 2
    for data in packets:
        take(other, data)
    back = take(one, other.send(None, 0.1), 0.2)
    assert (back.acked, one.delivered, one.in_flight) == ([], 1, 0)
