"""A peer's bandwidth, and what it sends of messages beside payloads."""

from __future__ import annotations

import pytest

from ecsnet.connection.plain import Connection
from ecsnet.errors import UsageError
from ecsnet.limits import MAX_PACKET
from ecsnet.peer import BANDWIDTH_SECONDS, Peer
from ecsnet.schema.gate import encode
from ecsnet.session.packets import RAW
from ecsnet.session.session import KEEPALIVE
from ecsnet.transport.address import Address

ADDRESS: Address = ("10.0.0.1", 1)
BANDWIDTH = 60_000.0


class Two:
    """A peer that sends within a bandwidth, and one that takes in all that arrives."""

    def __init__(self, bandwidth: float = BANDWIDTH) -> None:
        self.now = 10.0
        self.sent: list[bytes] = []
        self.lose = False
        self.one, self.other = Peer(RAW), Peer(RAW)
        self.one.relink(Connection(None, b"8 bytes.", 0.0, server=True), ADDRESS, self.deliver)
        self.one.limit(bandwidth)
        self.messages: list[bytes] = []

    def deliver(self, datagram: bytes, _address: Address) -> None:
        self.sent.append(datagram)
        if self.lose:
            return
        received = self.other.receive_packet(datagram[1:-4], self.now)
        self.messages += [data for _, data in received.messages] if received else ()

    def tick(self, payload: object = None) -> int:
        """Let a sixtieth of a second pass in which a payload is sent; return the bytes sent."""
        before = self.one.bytes_sent
        self.now += 1 / 60
        self.one.lost(self.now)
        self.one.refill(self.now)
        if payload is not None:
            self.one.send(payload, self.now)
        else:
            self.one.flush(self.now)
        (ack,) = self.other.pack(None, self.now)
        self.one.receive_packet(ack, self.now)
        return self.one.bytes_sent - before


@pytest.mark.parametrize("size", [20, 390, 3000])
@pytest.mark.parametrize("lose", [True, False])
def test_messages_alone_stay_within_the_bandwidth_too(size: int, lose: bool) -> None:
    two = Two(bandwidth=6_000.0)
    two.lose = lose
    for _ in range(60):
        two.one.queue(bytes(size))
    seconds = 20
    sent = sum([two.tick() for _ in range(60 * seconds)])
    assert sent <= 6_000 * seconds + 2 * 2 * MAX_PACKET + 3 * MAX_PACKET
    if not lose:
        assert len(two.messages) >= min(60, 6_000 * seconds // size // 2 - 1)  # half is values'


def test_at_most_a_quarter_of_a_second_is_saved_up_but_two_packets_at_least() -> None:
    peers = Two()
    peers.one.refill(0.0)
    peers.one.refill(1000.0)
    assert peers.one.allowance == BANDWIDTH * BANDWIDTH_SECONDS == 15_000
    poor = Two(bandwidth=100.0)
    poor.one.refill(0.0)
    poor.one.refill(1000.0)
    assert poor.one.allowance == 2 * MAX_PACKET


def test_what_is_sent_is_taken_from_the_allowance_and_time_gives_it_back() -> None:
    peers = Two()
    peers.one.refill(peers.now)
    before = peers.one.allowance
    peers.one.send(b"x" * 1000, peers.now)
    assert peers.one.allowance == before - len(peers.sent[-1])
    assert peers.one.bytes_sent == len(peers.sent[-1])
    peers.one.refill(peers.now + 0.01)
    assert peers.one.allowance == pytest.approx(before - len(peers.sent[-1]) + 600)
    for _ in range(20):
        peers.one.send(b"x" * 1000, peers.now)
    assert peers.one.allowance < 0  # whoever sends has to heed it


def test_without_a_limit_there_is_none() -> None:
    peers = Two()
    peers.other.relink(peers.one.connection, ADDRESS, lambda *_: None)  # type: ignore[arg-type]
    peers.other.queue(bytes(200_000))
    peers.other.refill(1.0)
    peers.other.send(b"x" * 1000, 2.0)
    assert peers.other.allowance == float("inf")
    assert peers.other.bytes_sent > 10_000


def test_long_messages_have_half_of_the_bandwidth_and_payloads_the_other() -> None:
    peers = Two()
    for _ in range(30):
        peers.tick(b"x" * 900)
    peers.one.queue(bytes(1_000_000))
    stream = payloads = 0
    for _ in range(300):
        if peers.one.allowance > 0:
            payloads += peers.tick(b"x" * 900)
        else:
            stream += peers.tick()
    together = stream + payloads
    assert together <= BANDWIDTH * 5 + 2 * 15_000
    assert together > 0.95 * BANDWIDTH * 5
    count = sum(len(datagram) > 900 and b"x" * 900 in datagram for datagram in peers.sent[-300:])
    assert 50 < count < 250  # neither starves


def test_half_of_what_time_gives_is_for_messages_while_there_are_any() -> None:
    peers = Two()
    peers.one.refill(10.0)
    payloads, stream = peers.one.allowance, peers.one._stream_allowance
    peers.one.refill(10.01)
    assert peers.one.allowance == pytest.approx(payloads + BANDWIDTH * 0.01)
    assert peers.one._stream_allowance == stream
    peers.one.queue(bytes(20_000))
    peers.one.refill(10.02)
    assert peers.one.allowance == pytest.approx(payloads + BANDWIDTH * 0.015)
    assert peers.one._stream_allowance == pytest.approx(stream + BANDWIDTH * 0.005)


def test_short_messages_ride_in_one_packet_of_a_moment() -> None:
    peers = Two()
    peers.lose = True
    peers.one.queue(b"short message")
    for _ in range(3):
        peers.one.send("payload", peers.now)
    peers.now += 0.01
    peers.one.send("payload", peers.now)
    assert [b"short message" in datagram for datagram in peers.sent] == [True, False, False, True]


def test_what_goes_of_long_messages_takes_nothing_from_payloads() -> None:
    peers = Two()
    peers.one.queue(bytes(20_000))
    peers.tick()
    peers.now += 0.1
    peers.one.refill(peers.now)
    before, stream, sent = peers.one.allowance, peers.one._stream_allowance, len(peers.sent)
    peers.one.send_messages(peers.now)
    assert len(peers.sent) > sent
    assert peers.one.allowance == before
    assert peers.one._stream_allowance == stream - sum(map(len, peers.sent[sent:]))


def test_a_message_alone_is_sent_without_a_payload() -> None:
    peers = Two()
    assert not peers.one.unacked
    peers.one.queue(b"short")
    peers.one.queue(b"x" * 5000)
    assert peers.one.unacked
    for _ in range(10):
        peers.tick()
    assert peers.messages == [b"short", b"x" * 5000]
    assert peers.one.backlog == 0
    assert not peers.one.unacked


def test_flush_sends_signs_of_life_and_no_more() -> None:
    peers = Two()
    for _ in range(60):
        peers.tick()
    assert 1 / KEEPALIVE <= len(peers.sent) <= 1 + 60 / 2


def test_what_got_lost_of_a_message_goes_again() -> None:
    peers = Two()
    for _ in range(10):
        peers.tick(b"x")
    peers.one.queue(bytes(4000))
    peers.lose = True
    peers.tick(b"x")
    peers.lose = False
    assert peers.messages == []
    for _ in range(120):
        peers.tick(b"x")
    assert peers.messages == [bytes(4000)]


def test_a_new_limit_begins_with_half_of_what_may_be_saved_up() -> None:
    peers = Two()
    assert peers.one.allowance == 7_500
    peers.one.refill(1.0)
    peers.one.limit(20_000.0)
    assert peers.one.allowance == 2_500
    peers.one.refill(100.0)  # time counts from here on
    assert peers.one.allowance == 2_500
    peers.one.refill(100.05)
    assert peers.one.allowance == pytest.approx(3_500)


def test_signs_of_life_wait_until_there_is_bandwidth_for_them() -> None:
    peers = Two()
    peers.one.refill(peers.now)
    peers.one.allowance = 0.0
    peers.one.flush(peers.now)
    assert peers.sent == []
    peers.one.flush(peers.now + 0.00001)  # lets 0.6 bytes go
    assert len(peers.sent) == 1


def test_messages_alone_go_on_as_time_lets_them() -> None:
    peers = Two()
    peers.one.queue(bytes(40_000))
    for _ in range(180):
        peers.now += 1 / 60
        peers.one.send_messages(peers.now)
        (ack,) = peers.other.pack(None, peers.now)
        peers.one.receive_packet(ack, peers.now)
    assert peers.messages == [bytes(40_000)]


def test_a_lost_packet_with_short_messages_is_none_of_the_stream() -> None:
    peers = Two()
    peers.lose = True
    window = peers.one._out.window
    peers.one.queue(b"short")
    peers.one.send("payload", peers.now)
    peers.one.lost(peers.now + 5.0)
    assert (peers.one._out.window, peers.one._out.in_flight) == (window, 0)


def test_a_message_has_a_mebibyte_at_most_unless_told_otherwise() -> None:
    peer = Peer(RAW)
    peer.queue(bytes(1 << 20))
    with pytest.raises(UsageError, match="1048577 bytes is too long, the limit is 1048576"):
        peer.queue(bytes((1 << 20) + 1))
    for parts, refused in ((1024, 0), (1025, 1)):
        into = Peer(RAW)
        into.receive_packet(encode((1, 0, 0, None, [[1, bytes(1024), 0, parts]])), 0.0)
        assert into.bad_fragments == refused


def test_on_packet_is_called_with_each_packet_and_whether_it_is_sent() -> None:
    peers = Two()
    told: list[tuple[bytes, bool]] = []
    peers.one.on_packet = lambda packet, sent: told.append((packet, sent))
    peers.one.send("payload", peers.now)
    (answer,) = peers.other.pack(None, peers.now)
    peers.one.receive_packet(answer, peers.now)
    assert told == [(peers.sent[0][1:-4], True), (answer, False)]


def test_a_message_queued_between_two_packets_of_a_moment_goes_in_the_second() -> None:
    peers = Two()
    peers.lose = True
    for message in (b"the first", b"the second"):
        peers.one.queue(message)
        peers.one.send("payload", peers.now)
    assert b"the second" in peers.sent[1]


def test_short_messages_leave_payloads_all_that_time_gives() -> None:
    peers = Two()
    peers.one.refill(10.0)
    before = peers.one.allowance
    peers.one.queue(b"short")
    assert not peers.one.streaming
    peers.one.refill(10.01)
    assert peers.one.allowance == pytest.approx(before + BANDWIDTH * 0.01)


def test_messages_beyond_their_rate_are_refused_and_come_again_later() -> None:
    peers = Two()
    peers.other = Peer(RAW, message_rate=5.0)
    for number in range(12):  # ten at once are the burst of two seconds
        peers.one.queue(b"%d" % number)
        peers.tick()
    assert peers.messages == [b"%d" % number for number in range(10)]
    assert peers.other.session.budget.excess > 0
    assert peers.other.bad_fragments == 0
    for _ in range(60):
        peers.tick()
    assert peers.messages == [b"%d" % number for number in range(12)]
    assert peers.one.backlog == 0


def test_fragments_that_no_honest_peer_sends_are_dropped_and_five_times_are_abuse() -> None:
    peer = Peer(RAW)
    for number in range(1, 6):
        assert not peer.abusive
        bad = encode((number, 0, 0, None, [[1, bytes(1024), 0, 1025]]))
        assert peer.receive_packet(bad, 0.0) is None
    assert peer.bad_fragments == 5
    assert peer.abusive


def test_an_ack_of_what_was_given_up_does_not_count_its_bytes_again() -> None:
    peers = Two()
    for _ in range(10):
        peers.tick(b"x")
    held: list[bytes] = []
    peers.lose = True
    before = len(peers.sent)
    peers.one.queue(bytes(4000))
    peers.one.send_messages(peers.now)
    held += peers.sent[before:]
    peers.now += 0.9
    peers.one.lost(peers.now)
    assert peers.one._out.in_flight == 0
    peers.lose = False
    for datagram in held:
        peers.deliver(datagram, ADDRESS)
    (ack,) = peers.other.pack(None, peers.now)
    peers.one.receive_packet(ack, peers.now)
    assert peers.one._out.in_flight == 0
    for _ in range(30):
        peers.tick()
    assert peers.messages == [bytes(4000)]
    assert peers.one._out.in_flight == 0


def test_packets_that_never_arrive_are_forgotten_one_day() -> None:
    peers = Two()
    peers.lose = True
    peers.one.queue(b"short")
    peers.one.queue(bytes(4000))
    for _ in range(600):
        peers.tick(b"x")
    peers.lose = False
    for _ in range(1200):
        peers.tick(b"x")
    assert peers.messages == [b"short", bytes(4000)]
    assert len(peers.one._carried) == len(peers.one._piggybacks) == 0


def test_a_short_message_is_due_at_once_and_a_long_one_is_the_streams() -> None:
    peers = Two()
    for _ in range(30):
        peers.tick(b"x")
    assert not peers.one.due(peers.now)
    peers.one.queue(b"short")
    assert peers.one.due(peers.now)
    for _ in range(10):
        peers.tick(b"x")
    assert not peers.one.unacked
    peers.one.queue(bytes(5000))
    assert not peers.one.due(peers.now)


def test_long_messages_begin_with_the_next_flush() -> None:
    peers = Two()
    for _ in range(30):
        peers.tick(b"x")
    before = len(peers.sent)
    peers.one.queue(bytes(5000))
    peers.one.flush(peers.now)
    assert len(peers.sent) > before


def test_a_short_message_goes_in_a_packet_before_a_payload_that_leaves_it_no_room() -> None:
    peers = Two()
    peers.one.queue(b"short message" * 20)
    packets = peers.one.pack(b"x" * 1050, peers.now)
    assert [b"short message" in packet for packet in packets] == [True, False]
    assert b"x" * 1050 in packets[1]
