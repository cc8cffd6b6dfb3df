from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.connection import plain as wire
from ecsnet.connection.plain import (
    MAX_DATAGRAM,
    MAX_PACKET,
    OVERHEAD,
    ClientHandshake,
    Connection,
    Listener,
    ListenerResult,
)
from ecsnet.session.goodbye import Reason
from tests.unit.connection.keeper import Keeper

HERE = ("192.0.2.1", 4000)
THERE = ("192.0.2.2", 5000)


def listener(max_clients: int = 4, seed: int = 1, timeout: float = 10.0) -> Keeper:
    randbytes = random.Random(seed).randbytes
    return Keeper(Listener(b"k" * 32, randbytes, max_clients, timeout=timeout))


def shake(
    server: Keeper, address: Hashable = HERE, now: float = 0.0, nonce: bytes = b"noncenon"
) -> tuple[ClientHandshake, Connection, list[ListenerResult]]:
    """Run a handshake without loss; return both ends."""
    handshake = ClientHandshake(nonce, now)
    seen: list[ListenerResult] = []
    for _ in range(4):
        for datagram in handshake.poll(now):
            inbound = server.receive(datagram, address, now)
            assert inbound is not None
            seen.append(inbound)
            assert len(b"".join(inbound.replies)) < len(datagram)
            for reply in inbound.replies:
                assert handshake.receive_answer(reply, now)
        if handshake.done:
            break
    return handshake, server.connections[address], seen


def test_sizes_leave_room_for_netcode() -> None:
    assert MAX_PACKET + 25 <= 1200
    assert OVERHEAD == 5
    sealed = Connection(HERE, b"12345678", 0, server=True).seal(b"x" * MAX_PACKET)
    assert len(sealed) == MAX_DATAGRAM


def test_what_comes_after_the_end_of_a_handshake_is_no_answer_to_it() -> None:
    server = listener(max_clients=1)
    handshake, _, seen = shake(server)
    connection = handshake.connection
    assert connection is not None
    (accept,) = seen[-1].replies
    assert not handshake.receive_answer(accept, 0.1)
    assert handshake.connection is connection
    refused = ClientHandshake(b"otherone", 0.0)
    for _ in range(2):
        (datagram,) = refused.poll(0.1)
        inbound = server.receive(datagram, THERE, 0.1)
        assert inbound is not None
        (refuse,) = inbound.replies
        assert refused.receive_answer(refuse, 0.1)
    assert refused.refused is Reason.FULL
    assert not refused.receive_answer(refuse, 0.2)


def test_a_handshake_makes_one_connection_and_packets_cross_both_ways() -> None:
    server = listener()
    handshake, there, seen = shake(server)
    here = handshake.connection
    assert here is not None
    assert [inbound.opened for inbound in seen] == [None, there]
    assert here.session_id == there.session_id
    assert not here.closed
    assert not there.closed
    assert not there.confirmed

    assert server.receive(here.seal(b"hello"), HERE, 1.0) is None
    assert server.packets == [(there, b"hello")]
    assert there.confirmed
    assert there.heard == 1.0
    assert here.open(there.seal(b"world"), 1.5) == b"world"
    assert here.heard == 1.5


def test_a_request_leaves_nothing_behind() -> None:
    server = listener()
    for number in range(300):
        request = ClientHandshake(number.to_bytes(8, "little"), 0.0).poll(0.0)[0]
        inbound = server.receive(request, ("192.0.2.7", number), number / 1000)
        assert inbound is not None
        assert inbound.opened is None
        assert len(inbound.replies) == 1
    assert not server.connections


def test_a_cookie_is_for_one_address_one_nonce_and_a_while() -> None:
    server = listener()
    handshake = ClientHandshake(b"noncenon", 0.0)
    challenge = server.receive(handshake.poll(0.0)[0], HERE, 0.0)
    assert challenge is not None
    assert handshake.receive_answer(challenge.replies[0], 0.0)
    response = handshake.poll(0.0)[0]
    assert server.receive(response, THERE, 0.0) is None
    forged = wire._finish(
        response[:1] + b"NONCENON" + response[9:-4], wire._handshake_seed(b"NONCENON")
    )
    assert server.receive(forged, HERE, 0.0) is None
    assert server.dropped["forged"] == 2
    assert server.receive(response, HERE, 10.5) is None
    assert server.dropped["expired"] == 1
    assert not server.connections
    accepted = server.receive(response, HERE, 9.5)
    assert accepted is not None
    assert accepted.opened is not None


def asked(server: Keeper, now: float = 0.0) -> bytes:
    """The response to a challenge, as a client at HERE sends it."""
    handshake = ClientHandshake(b"noncenon", now)
    challenge = server.receive(handshake.poll(now)[0], HERE, now)
    assert challenge is not None
    assert handshake.receive_answer(challenge.replies[0], now)
    (response,) = handshake.poll(now)
    return response


@pytest.mark.parametrize("later", [10.0, 10.001, 65.6, 70.0, 1e6])
def test_a_cookie_is_good_for_less_than_ten_seconds_and_never_again(later: float) -> None:
    server = listener()
    response = asked(server)
    assert server.receive(response, HERE, later) is None
    assert server.dropped == {"expired": 1}
    accepted = server.receive(response, HERE, 9.999)
    assert accepted is not None
    assert accepted.opened is not None


@pytest.mark.parametrize("uptime", [0.0, 2_147_483.6, 4_294_967.2, 8_589_934.5, 1e8])
def test_a_server_that_is_up_for_months_lets_clients_in(uptime: float) -> None:
    server = listener()
    response = asked(server, uptime)
    accepted = server.receive(response, HERE, uptime + 0.2)
    assert accepted is not None
    assert accepted.opened is not None


def test_a_connection_that_was_made_without_a_handshake_gives_way_to_a_new_one() -> None:
    server = listener()
    old = Connection(HERE, b"12345678", 0.0, server=True)
    server.listener.opened(old, 0.0)
    server.connections[HERE] = old
    _, new, _ = shake(server, now=0.001)
    assert old.closed
    assert not new.closed


def test_a_repeated_response_is_answered_alike() -> None:
    server = listener()
    handshake = ClientHandshake(b"noncenon", 0.0)
    challenge = server.receive(handshake.poll(0.0)[0], HERE, 0.0)
    assert challenge is not None
    assert handshake.receive_answer(challenge.replies[0], 0.0)
    response = handshake.poll(0.0)[0]
    first = server.receive(response, HERE, 0.0)
    again = server.receive(response, HERE, 0.4)
    assert first is not None
    assert again is not None
    assert first.opened is not None
    assert again.opened is None
    assert first.replies == again.replies
    assert list(server.connections.values()) == [first.opened]
    assert first.opened.heard == 0.4
    # Once packets flow, an old response does not keep a silent client alive.
    assert handshake.receive_answer(first.replies[0], 0.4)
    assert handshake.connection is not None
    server.receive(handshake.connection.seal(b"x"), HERE, 0.5)
    server.receive(response, HERE, 3.0)
    assert first.opened.heard == 0.5


def test_a_full_server_refuses() -> None:
    server = listener(max_clients=1)
    shake(server)
    handshake = ClientHandshake(b"anothern", 0.0)
    for _ in range(2):
        for datagram in handshake.poll(0.0):
            inbound = server.receive(datagram, THERE, 0.0)
            assert inbound is not None
            for reply in inbound.replies:
                handshake.receive_answer(reply, 0.0)
    assert handshake.refused is Reason.FULL
    assert handshake.done
    assert handshake.poll(1.0) == []
    assert len(server.connections) == 1


def test_another_version_is_refused_by_name() -> None:
    handshake = ClientHandshake(b"noncenon", 0.0)
    request = handshake.poll(0.0)[0]
    other = wire._finish(request[:5] + b"\x09\x00" + request[7:-4], handshake._seed)
    inbound = listener().receive(other, HERE, 0.0)
    assert inbound is not None
    assert handshake.receive_answer(inbound.replies[0], 0.0)
    assert handshake.refused is Reason.VERSION
    for version in (b"\x02\x01", b"\x00\x02", b"\x01\x00", b"\x03\x00"):
        again = ClientHandshake(b"noncenon", 0.0)
        other = wire._finish(request[:5] + version + request[7:-4], handshake._seed)
        inbound = listener().receive(other, HERE, 0.0)
        assert inbound is not None
        assert again.receive_answer(inbound.replies[0], 0.0)
        assert again.refused is Reason.VERSION


def test_a_question_of_another_protocol_or_shorter_than_its_answer_has_none() -> None:
    server = listener()
    handshake = ClientHandshake(b"noncenon", 0.0)
    request = handshake.poll(0.0)[0]
    other = wire._finish(request[:1] + b"ECSM" + request[5:-4], handshake._seed)
    unpadded = wire._finish(request[:15], handshake._seed)
    padded = wire._finish(request[:-4] + b"\0", handshake._seed)
    for datagram in (other, unpadded, padded):
        assert server.receive(datagram, HERE, 0.0) is None
    assert server.dropped == {"corrupt": 1, "unknown": 2}


def test_a_client_that_comes_anew_replaces_its_old_connection() -> None:
    server = listener(max_clients=1)
    _, old, _ = shake(server, now=0.0, nonce=b"firstfir")
    _, new, seen = shake(server, now=1.0, nonce=b"secondse")
    assert seen[-1].opened is new
    assert old.closed
    assert not new.closed
    assert list(server.connections.values()) == [new]


def test_a_late_response_neither_replaces_nor_revives() -> None:
    server = listener()
    old = ClientHandshake(b"firstfir", 0.0)
    challenge = server.receive(old.poll(0.0)[0], HERE, 0.0)
    assert challenge is not None
    assert old.receive_answer(challenge.replies[0], 0.0)
    response = old.poll(0.0)[0]
    assert server.receive(response, HERE, 0.0) is not None
    _, new, _ = shake(server, now=1.0, nonce=b"secondse")
    assert server.receive(response, HERE, 1.5) is None
    assert server.connections[HERE] is new
    assert not new.closed
    server.end(new, 2.0, last_words=[b"goodbye"])
    assert server.receive(response, HERE, 2.5) is None
    assert not server.connections
    assert server.dropped["outdated"] == 2
    # The memory of ended connections lasts as long as cookies do.
    for step in range(9):
        server.poll(3.0 + step)
    assert server._ended
    server.poll(12.0)
    assert not server._ended
    _, third, _ = shake(server, now=20.0, nonce=b"thirdthi")
    assert not third.closed


def test_a_copy_of_the_response_does_not_raise_the_connection_that_it_made() -> None:
    server = listener()
    handshake = ClientHandshake(b"noncenon", 0.0)
    challenge = server.receive(handshake.poll(0.0)[0], HERE, 0.0)
    assert challenge is not None
    assert handshake.receive_answer(challenge.replies[0], 0.0)
    response = handshake.poll(0.0)[0]
    server.receive(response, HERE, 0.0)
    server.end(server.connections[HERE], 1.0)
    assert server.receive(response, HERE, 1.5) is None
    assert not server.connections
    assert server.dropped["outdated"] == 1


def test_no_copy_of_a_response_outlives_the_memory_of_what_it_made() -> None:
    server = listener()
    response = asked(server)
    server.receive(response, HERE, 0.0)
    server.end(server.connections[HERE], 0.0)
    server.poll(10.0)
    assert server.receive(response, HERE, 10.0) is None
    assert not server.connections


def test_of_two_that_asked_at_the_same_time_the_first_to_come_in_stays() -> None:
    server = listener()
    other = ClientHandshake(b"otherone", 1.0)
    challenge = server.receive(other.poll(1.0)[0], HERE, 1.0)
    assert challenge is not None
    assert other.receive_answer(challenge.replies[0], 1.0)
    _, first, _ = shake(server, now=1.0, nonce=b"firstfir")
    (response,) = other.poll(1.0)
    assert server.receive(response, HERE, 1.1) is None
    assert server.connections[HERE] is first
    assert not first.closed


def test_five_thousand_questions_a_second_are_answered() -> None:
    server = listener()
    answered = 0
    for number in range(20_000):
        request = ClientHandshake(number.to_bytes(8, "big"), 0.0).poll(0.0)[0]
        answered += server.receive(request, ("h", number), number / 10_000) is not None
    assert abs(answered - 2.1 * 5000) <= 1  # in two seconds, and what had been saved up


def test_the_memory_of_ended_connections_is_bounded() -> None:
    server = listener()
    for number in range(5000):
        ended = Connection(("h", number), b"12345678", 0, server=True, issued=1)
        server.connections[("h", number)] = ended
        server.end(ended, 0.0, last_words=[b"goodbye"])
    assert len(server._ended) == len(server._dismissed) == 4096


def test_who_ended_last_is_remembered_longest() -> None:
    server = listener()
    for number in (*range(4096), 0, 4096):  # the first one came again
        ended = Connection(("h", number), b"12345678", 0, server=True, issued=1)
        server.connections[("h", number)] = ended
        server.end(ended, 0.0, last_words=[b"goodbye"])
    for remembered in (server._ended, server._dismissed):
        assert ("h", 0) in remembered
        assert ("h", 1) not in remembered
        assert len(remembered) == 4096


def test_a_connection_that_has_ended_opens_nothing() -> None:
    server = listener()
    handshake, there, _ = shake(server)
    here = handshake.connection
    assert here is not None
    assert there.open(here.seal(b"x"), 0.5) == b"x"
    server.end(there, 1.0)
    assert there.closed
    assert not server.connections
    assert there.open(here.seal(b"x"), 1.5) is None
    assert there.heard == 0.5


def test_who_talks_to_a_connection_that_was_given_up_is_told_so() -> None:
    server = listener(timeout=5.0)
    handshake, there, _ = shake(server)
    here = handshake.connection
    assert here is not None
    server.receive(here.seal(b"x"), HERE, 0.0)
    now = 0.0
    while not there.closed:  # it sleeps, and hears none of the goodbyes
        now += 0.1
        server.poll(now)
    for later in (now + 1, now + 4000.0):
        question = here.seal(b"good morning")
        inbound = server.receive(question, HERE, later)
        assert inbound is not None
        assert inbound.opened is None
        assert inbound.replies == [b"you slept"]
        assert server.receive(here.seal(b"y" * 3), HERE, later) is None  # a shorter question
        # Neither what is forged, nor what comes from elsewhere, has an answer.
        forged = question[:-1] + bytes([question[-1] ^ 1])
        assert server.receive(forged, HERE, later) is None
        assert server.receive(question, THERE, later) is None
    # Who comes anew, or has left by itself, is told nothing of it.
    _, new, _ = shake(server, now=later + 1, nonce=b"secondse")
    assert not server._dismissed
    server.end(new, later + 2)
    assert server.receive(here.seal(b"late"), HERE, later + 2) is None
    assert not server._dismissed
    assert server.dropped["ended"] == 4


def test_only_the_packets_of_what_has_ended_are_answered_after_the_goodbyes() -> None:
    server = listener()
    handshake, there, _ = shake(server)
    here = handshake.connection
    assert here is not None
    server.end(there, 4.0, last_words=[b"goodbye"])
    question = here.seal(b"x" * 59)
    assert len(question) == 64  # as long as the questions of a handshake
    assert server.receive(question, HERE, 4.99) is None
    inbound = server.receive(question, HERE, 5.0)
    assert inbound is not None
    assert inbound.replies == [b"goodbye"]
    assert server.dropped == {"ended": 2}
    to_server = crc32(b"to server", crc32(there.session_id))
    assert server.receive(wire._finish(b"\x07" + question[1:-4], to_server), HERE, 5.0) is None
    assert server.receive(wire._finish(b"\x07 no packet", to_server), HERE, 5.0) is None
    assert server.dropped == {"ended": 2, "unknown": 2}


def test_silence_times_out_and_half_open_sooner() -> None:
    server = listener(timeout=5.0)
    handshake, there, _ = shake(server)
    assert handshake.connection is not None
    server.receive(handshake.connection.seal(b"x"), HERE, 0.0)
    _, half_open, _ = shake(server, THERE, nonce=b"otherone")
    ended = []
    for now in (step / 8 for step in range(50)):
        ended += [(connection, now) for connection in server.poll(now)]
    assert ended == [(half_open, 3.125), (there, 5.125)]
    assert half_open.closed
    assert there.closed
    assert not server.connections


def test_a_stall_of_the_server_is_not_held_against_clients() -> None:
    server = listener(timeout=5.0)
    handshake, there, _ = shake(server)
    assert handshake.connection is not None
    server.receive(handshake.connection.seal(b"x"), HERE, 0.0)
    server.poll(0.0)
    assert server.poll(60.0) == []  # stalled for a minute
    assert not there.closed
    ended = []
    for step in range(1, 60):
        ended += server.poll(60 + step / 10)
    assert ended == [there]


def test_a_stall_of_the_server_makes_up_for_no_silence_before_it() -> None:
    server = listener(timeout=5.0)
    handshake, there, _ = shake(server)
    assert handshake.connection is not None
    server.receive(handshake.connection.seal(b"x"), HERE, 0.0)
    for step in range(46):
        assert server.poll(step / 10) == []
    assert server.poll(60.0) == []  # silent for 4.5 s, then stalled for a minute
    assert server.poll(60.2) == []
    assert server.poll(60.4) == [there]


def test_how_long_the_server_stalled_is_told_once() -> None:
    server = listener()
    assert server.stalled == 0.0
    told = []
    for now in (50.0, 50.25, 110.25, 110.5, 110.75):
        server.poll(now)
        told.append(server.stalled)
    assert told == [0.0, 0.0, 59.75, 0.0, 0.0]


def test_a_client_is_as_patient_as_it_is_told() -> None:
    here = Connection(None, b"12345678", 0.0, server=False)
    for quarter in range(1, 41):
        assert not here.silent(quarter / 4)
    assert here.silent(10.25)
    assert not here.silent(10.25, 10.25)


def test_the_client_gives_up_a_silent_server_but_not_after_its_own_stall() -> None:
    here = Connection(None, b"12345678", 0.0, server=False)
    assert not here.silent(0.1)
    assert not here.silent(100.0)
    now = 100.0
    while not here.silent(now):
        now += 0.1
    assert 109.0 < now < 111.0
    assert here.silent(now + 1)


def test_a_dial_asks_again_and_gives_up() -> None:
    handshake = ClientHandshake(b"noncenon", 0.0, timeout=2.0)
    asked = 0
    now = 0.0
    while not handshake.done:
        asked += len(handshake.poll(now))
        now += 0.05
    assert handshake.refused is Reason.UNREACHABLE
    assert 8 <= asked <= 11
    assert 1.9 < now < 2.2
    stalled = ClientHandshake(b"noncenon", 0.0, timeout=2.0)
    stalled.poll(0.0)
    assert stalled.poll(50.0)
    assert not stalled.done


def test_a_dial_gives_up_the_moment_its_time_is_over() -> None:
    handshake = ClientHandshake(b"noncenon", 0.0, timeout=2.0)
    for quarter in range(8):
        assert handshake.poll(quarter / 4)
    assert not handshake.answered
    assert handshake.poll(2.0) == []
    assert handshake.refused is Reason.UNREACHABLE


def test_a_dial_responds_eight_times_before_it_asks_anew() -> None:
    server = listener()
    handshake = ClientHandshake(b"noncenon", 0.0, timeout=60.0)
    questions = [handshake.poll(quarter / 4)[0] for quarter in range(5)]
    assert {question[0] for question in questions} == {wire.REQUEST}
    challenge = server.receive(questions[0], HERE, 1.0)
    assert challenge is not None
    assert handshake.receive_answer(challenge.replies[0], 1.0)
    assert handshake.answered
    kinds = [handshake.poll(1.0 + quarter / 4)[0][0] for quarter in range(12)]
    assert kinds == [wire.RESPONSE] * 8 + [wire.REQUEST] * 4


def test_a_dial_starts_over_with_a_server_that_forgot_its_cookies() -> None:
    old, new = listener(seed=1), Keeper(Listener(b"other" * 5, random.Random(2).randbytes, 4))
    handshake = ClientHandshake(b"noncenon", 0.0, timeout=10.0)
    challenge = old.receive(handshake.poll(0.0)[0], HERE, 0.0)
    assert challenge is not None
    assert handshake.receive_answer(challenge.replies[0], 0.0)
    now = 0.0
    while handshake.connection is None and now < 10.0:
        for datagram in handshake.poll(now):
            inbound = new.receive(datagram, HERE, now)
            for reply in inbound.replies if inbound else []:
                handshake.receive_answer(reply, now)
        now += 0.05
    assert handshake.connection is not None
    assert new.dropped["forged"] > 0


def test_a_nonce_has_eight_bytes() -> None:
    with pytest.raises(ValueError, match="nonce has 3 bytes"):
        ClientHandshake(b"abc", 0.0)


def test_forged_floods_shed_strangers_and_spare_players() -> None:
    server = listener()
    handshake, there, _ = shake(server)
    here = handshake.connection
    assert here is not None
    shed = 0
    for number in range(20_000):
        now = number / 20_000
        request = ClientHandshake(number.to_bytes(8, "little"), now).poll(now)[0]
        if server.receive(request, ("203.0.113.9", number), now) is None:
            shed += 1
        if number % 200 == 0:
            server.receive(here.seal(b"input"), HERE, now)
    assert server.packets == [(there, b"input")] * 100
    assert shed > 10_000
    assert server.dropped["shed"] == shed
    assert not there.closed
    assert len(server.connections) == 1


def every_datagram() -> list[tuple[str, bytes, Callable[[bytes], object]]]:
    """One sound datagram of each kind, and who takes it."""
    server = listener()
    handshake = ClientHandshake(b"noncenon", 0.0)
    request = handshake.poll(0.0)[0]
    challenge = server.receive(request, HERE, 0.0)
    assert challenge is not None
    handshake.receive_answer(challenge.replies[0], 0.0)
    response = handshake.poll(0.0)[0]
    accept = server.receive(response, HERE, 0.0)
    assert accept is not None
    there = server.connections[HERE]
    here = Connection(None, there.session_id, 0.0, server=False)

    def dialled(data: bytes) -> object:
        fresh = ClientHandshake(b"noncenon", 0.0)
        return fresh.receive_answer(data, 0.0) or None

    def served(data: bytes) -> object:
        return listener().receive(data, HERE, 0.0)

    def known(data: bytes) -> object:
        fresh = listener()
        fresh.connections[HERE] = Connection(HERE, there.session_id, 0.0, server=True)
        return fresh.receive(data, HERE, 0.0) or next(iter(fresh.packets), None)

    def opened(data: bytes) -> object:
        fresh = Connection(None, there.session_id, 0.0, server=False)
        return fresh.open(data, 0.0)

    return [
        ("request", request, served),
        ("challenge", challenge.replies[0], dialled),
        ("response", response, served),
        ("accept", accept.replies[0], dialled),
        ("refuse", server._refuse(b"noncenon", Reason.FULL), dialled),
        ("up", here.seal(b"a packet to the server"), known),
        ("down", there.seal(b"a packet to the client"), opened),
    ]


@pytest.mark.parametrize("which", range(7))
def test_corrupt_and_cut_datagrams_do_nothing(which: int) -> None:
    name, datagram, take = every_datagram()[which]
    assert take(datagram) is not None, name
    dice = random.Random(which)
    mutations = 0
    for _ in range(400):
        mutated = bytearray(datagram)
        for _ in range(dice.randint(1, 3)):
            mutated[dice.randrange(len(mutated))] ^= 1 << dice.randrange(8)
        if bytes(mutated) == datagram:
            continue
        mutations += 1
        assert take(bytes(mutated)) is None, name
    for length in range(len(datagram)):
        assert take(datagram[:length]) is None, name
    assert take(datagram + b"\0") is None
    assert mutations > 300


def test_each_datagram_has_the_kind_and_the_length_that_the_protocol_gives_it() -> None:
    seen = {name: (data[0], len(data)) for name, data, _ in every_datagram()}
    assert seen == {
        "request": (1, 64),
        "challenge": (2, 33),
        "response": (3, 64),
        "accept": (4, 21),
        "refuse": (5, 16),
        "up": (6, 22 + OVERHEAD),
        "down": (6, 22 + OVERHEAD),
    }


def test_the_sum_of_a_datagram_says_which_way_it_goes() -> None:
    here = Connection(None, b"12345678", 0.0, server=False)
    there = Connection(HERE, b"12345678", 0.0, server=True)
    to_server = crc32(b"to server", crc32(b"12345678"))
    assert here.open(wire._finish(b"\x06down", _to_client(b"12345678")), 0.0) == b"down"
    assert there.open(wire._finish(b"\x06up", to_server), 0.0) == b"up"


def test_reflected_and_foreign_datagrams_do_nothing() -> None:
    one = Connection(None, b"session1", 0.0, server=False)
    other = Connection(None, b"session2", 0.0, server=False)
    there = Connection(HERE, b"session1", 0.0, server=True)
    assert one.open(one.seal(b"x"), 0.0) is None
    assert other.open(there.seal(b"x"), 0.0) is None
    assert there.open(there.seal(b"x"), 0.0) is None
    assert there.open(one.seal(b"x"), 0.0) == b"x"
    assert one.rejected == other.rejected == there.rejected == 1


def _to_client(session_id: bytes) -> int:
    """The seed of a connection's sums in one direction."""
    return crc32(b"to client", crc32(session_id))


def test_sound_but_senseless_datagrams_do_nothing() -> None:
    here = Connection(None, b"12345678", 0.0, server=False)
    there = Connection(HERE, b"12345678", 0.0, server=True)
    for body in (b"\x06", b"\x07", b"\x07\x00\x00", b"\x01hello", b"\xff", b""):
        assert here.open(wire._finish(body, _to_client(b"12345678")), 0.0) is None
    assert here.open(there.seal(b"x" * (MAX_PACKET + 1)), 0.0) is None
    assert not here.closed
    assert here.rejected == 7
    handshake = ClientHandshake(b"noncenon", 0.0)
    for kind in (1, 2, 3, 4, 5, 6, 9):
        strange = wire._finish(bytes([kind]) + b"noncenon" + b"?" * 5, handshake._seed)
        assert not handshake.receive_answer(strange, 0.0)
    assert not handshake.done


@pytest.mark.parametrize("nonce", [b"noncenon", b"otherone"])
def test_each_answer_is_as_long_as_its_kind_and_has_the_nonce(nonce: bytes) -> None:
    lengths = {wire.CHALLENGE: 33, wire.ACCEPT: 21, wire.REFUSE: 16}
    for kind in range(8):
        for length in lengths.values():
            handshake = ClientHandshake(b"noncenon", 0.0)
            answer = wire._finish(bytes([kind]) + nonce + bytes(length - 13), handshake._seed)
            sound = nonce == b"noncenon" and lengths.get(kind) == length
            assert handshake.receive_answer(answer, 0.0) is sound
            assert handshake.answered is (sound and kind == wire.CHALLENGE)
            assert (handshake.connection is not None) is (sound and kind == wire.ACCEPT)
            assert (handshake.refused is not None) is (sound and kind == wire.REFUSE)


def test_the_longest_packet_crosses_both_ways() -> None:
    here = Connection(None, b"12345678", 0.0, server=False)
    there = Connection(HERE, b"12345678", 0.0, server=True)
    packet = bytes(MAX_PACKET)
    assert there.open(here.seal(packet), 0.0) == packet
    assert here.open(there.seal(packet), 0.0) == packet


@settings(deadline=None)
@given(data=st.binary(max_size=1300), known=st.booleans())
def test_noise_is_answered_with_nothing(data: bytes, known: bool) -> None:
    server = listener()
    if known:
        server.connections[HERE] = Connection(HERE, b"12345678", 0.0, server=True)
    assert server.receive(data, HERE, 0.0) is None
    assert not ClientHandshake(b"noncenon", 0.0).receive_answer(data, 0.0)
    assert sum(server.dropped.values()) == 1
    assert len(server.connections) == known


def test_the_checksum_needs_no_slice() -> None:
    for seed in (0, 1, 0xFFFFFFFF, 0x12345678):
        for body in (b"", b"a", bytes(range(256)) * 4):
            assert crc32(wire._finish(body, seed), seed) == wire._SOUND


def test_a_handshake_comes_through_a_bad_network() -> None:
    joined = drops = 0
    for seed in range(40):
        dice = random.Random(seed)
        server = listener(seed=seed)
        handshake = ClientHandshake(dice.randbytes(8), 0.0, timeout=20.0)
        now = 0.0
        while not handshake.done:
            for datagram in handshake.poll(now):
                for _ in range(dice.choice((0, 1, 1, 2))):
                    inbound = server.receive(datagram, HERE, now)
                    for reply in inbound.replies if inbound else []:
                        if dice.random() < 0.5:
                            drops += 1
                        else:
                            handshake.receive_answer(reply, now)
            server.poll(now)
            now += 1 / 60
        joined += handshake.connection is not None
        assert len(server.connections) == 1
    assert joined == 40
    assert drops > 20
