"""Limits for each proven address: places, half-open connections, joins, waits after abuse."""

from __future__ import annotations

import gc
import random
import weakref
from collections import Counter
from collections.abc import Hashable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.connection.admission import (
    HALF_OPEN,
    JOINS_A_SECOND,
    REMEMBERED,
    Admission,
    Denial,
)
from ecsnet.connection.plain import ClientHandshake, Connection, Listener
from ecsnet.session.goodbye import Reason
from ecsnet.transport.address import source_of
from tests.unit.connection.keeper import Keeper


class Server:
    """A listener with a visitor for each port."""

    def __init__(self, max_clients: int = 64, per_address: int | None = None) -> None:
        self.dice = random.Random(5)
        self.now = 100.0
        self.ports = 0
        listener = Listener(
            bytes(32),
            self.dice.randbytes,
            max_clients,
            per_address=per_address,
            source=source_of,
        )
        self.listener = Keeper(listener)

    @property
    def denied(self) -> Counter[str]:
        denied: Counter[str] = self.listener.admission.denied
        return denied

    def visit(self, host: str, *, speak: bool = True) -> tuple[ClientHandshake, Connection | None]:
        """One try of a client from a new port; who is accepted says something, or nothing."""
        self.ports += 1
        address: Hashable = (host, self.ports)
        if ":" in host:
            address = (host, self.ports, 0, 0)
        handshake = ClientHandshake(self.dice.randbytes(8), self.now)
        for _ in range(3):
            for datagram in handshake.poll(self.now):
                inbound = self.listener.receive(datagram, address, self.now)
                for reply in inbound.replies if inbound else ():
                    handshake.receive_answer(reply, self.now)
        if handshake.connection is not None and speak:
            self.listener.receive(handshake.connection.seal(b"hello"), address, self.now)
        return handshake, self.listener.connections.get(address)

    def end(self, connection: Connection, reason: Reason) -> None:
        last_words = [] if reason is Reason.LEFT else [b"goodbye"]
        abusive = reason is Reason.ABUSE
        self.listener.end(connection, self.now, abusive=abusive, last_words=last_words)

    def pass_time(self, seconds: float) -> None:
        """Go on, while everybody who is in stays."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.1)
            for connection in self.listener.connections.values():
                if connection.confirmed:
                    connection.heard = self.now
            self.listener.poll(self.now)


SAME = {
    "IPv4": ["10.1.2.3"],
    "an IPv6 /64": ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:DB8:1:2:0:0:0:5"],
    "IPv4 in IPv6, and without": ["::ffff:10.1.2.3", "10.1.2.3", "::FFFF:0a01:0203"],
    "with a scope": ["fe80::1%eth0", "fe80::2%eth0"],
    "loopback": ["127.0.0.1"],
}


@pytest.mark.parametrize("hosts", SAME.values(), ids=SAME)
def test_one_address_leaves_places_to_others(hosts: list[str]) -> None:
    server = Server(max_clients=64)
    reasons = [server.visit(hosts[n % len(hosts)])[0].refused for n in range(100)]
    assert reasons.count(None) == 56
    assert reasons.count(Reason.ADDRESS) == 44
    assert server.denied["address"] == 44
    for other in ("10.1.2.4", "2001:db8:1:3::1", "::ffff:10.1.2.5", "127.0.0.2"):
        handshake, connection = server.visit(other)
        assert handshake.refused is None
        assert connection is not None


def test_the_game_says_how_many_places_one_address_may_take() -> None:
    server = Server(max_clients=64, per_address=3)
    assert [server.visit("10.0.0.1")[0].refused for _ in range(4)] == [None] * 3 + [Reason.ADDRESS]
    _, first = server.visit("10.0.0.2")
    assert first is not None
    for number in range(3, 40):
        server.visit(f"10.0.0.{number}")
    assert len(server.listener.connections) == 3 + 38
    server = Server(max_clients=8, per_address=100)
    assert [server.visit("10.0.0.1")[0].refused for _ in range(9)] == [None] * 8 + [Reason.FULL]
    assert server.denied == {"full": 1}


@pytest.mark.parametrize("places", [1, 2, 7])
def test_a_small_game_can_be_full_of_one_household(places: int) -> None:
    server = Server(max_clients=places)
    assert [server.visit("10.0.0.1")[0].refused for _ in range(places)] == [None] * places
    assert server.visit("10.0.0.2")[0].refused is Reason.FULL


def test_forty_bots_on_one_machine_and_a_classroom_get_in() -> None:
    server = Server()
    assert all(server.visit("127.0.0.1")[1] for _ in range(40))
    assert not server.denied


def test_a_school_that_comes_at_once_after_a_restart_waits_for_no_more_than_four_turns() -> None:
    server = Server(max_clients=256)
    turns = 0
    came: list[Connection] = []
    while len(came) < 224:
        turns += 1
        new = [server.visit("10.0.0.1", speak=False) for _ in range(224 - len(came))]
        opened = [
            (handshake, connection) for handshake, connection in new if connection is not None
        ]
        assert opened
        for handshake, connection in opened:  # its first packet is a round trip later
            assert handshake.connection is not None
            server.listener.receive(
                handshake.connection.seal(b"hello"), connection.address, server.now
            )
            came.append(connection)
        server.pass_time(0.3)
    assert turns == 4
    assert server.denied.keys() == {"half-open"}


def test_what_says_nothing_is_bounded_and_asked_again_it_may_come_in() -> None:
    server = Server()
    tries = [server.visit("10.0.0.1", speak=False) for _ in range(40)]
    assert len(server.listener.connections) == HALF_OPEN == 16
    assert server.denied["half-open"] == server.listener.dropped["half-open"] > 0
    refused = {handshake.refused for handshake, _ in tries}
    assert refused == {None}  # nobody was told to go
    assert server.visit("10.0.0.2")[1] is not None
    # One of them speaks, which makes room for one.
    handshake, connection = tries[0]
    assert handshake.connection is not None
    assert connection is not None
    server.listener.receive(handshake.connection.seal(b"hello"), connection.address, server.now)
    assert server.visit("10.0.0.1")[1] is not None
    # And those that go on saying nothing are given up.
    server.pass_time(4.0)
    assert len(server.listener.connections) == 3


def test_coming_and_going_is_rationed() -> None:
    server = Server(max_clients=16)
    came = 0
    for _ in range(400):
        _, connection = server.visit("10.0.0.1")
        if connection is not None:
            came += 1
            server.end(connection, Reason.LEFT)
        server.pass_time(0.025)
    assert 16 + 4 * 9 <= came <= 16 + 4 * 11
    assert server.denied["joins"] == 400 - came
    assert server.visit("10.0.0.2")[1] is not None
    server.pass_time(5.0)
    assert all(server.visit("10.0.0.1")[1] for _ in range(14))  # seven eighths of the places


def test_starting_anew_from_the_same_port_is_rationed_too() -> None:
    server = Server(max_clients=8)
    address = ("10.0.0.1", 4000)
    opened = 0
    for _ in range(40):
        server.now += 0.01
        handshake = ClientHandshake(server.dice.randbytes(8), server.now)
        for _ in range(2):
            for datagram in handshake.poll(server.now):
                inbound = server.listener.receive(datagram, address, server.now)
                opened += inbound is not None and inbound.opened is not None
                for reply in inbound.replies if inbound else ():
                    handshake.receive_answer(reply, server.now)
        if handshake.connection is not None:
            server.listener.receive(handshake.connection.seal(b"x"), address, server.now)
    assert opened == 9  # eight, and what 0.4 s give
    assert len(server.listener.connections) == 1


def test_who_was_thrown_out_for_abuse_waits_longer_each_time() -> None:
    server = Server()
    waits = []
    for _ in range(5):
        _, connection = server.visit("10.0.0.1")
        assert connection is not None
        server.end(connection, Reason.ABUSE)
        began = server.now
        while server.visit("10.0.0.1")[1] is None:
            assert server.visit("10.0.0.1")[0].refused is Reason.ABUSE
            server.pass_time(1.0)
        waits.append(round(server.now - began))
        for connection in list(server.listener.connections.values()):
            server.end(connection, Reason.LEFT)
    assert waits == [10, 20, 40, 80, 160]
    assert server.denied["abuse"] > 100
    server.now += 2 * 3600.0
    _, connection = server.visit("10.0.0.1")
    assert connection is not None
    server.end(connection, Reason.ABUSE)
    server.pass_time(10.1)
    assert server.visit("10.0.0.1")[1] is not None  # what was long ago is forgotten


def test_another_port_or_address_of_the_64_is_no_way_round_a_wait() -> None:
    server = Server()
    _, connection = server.visit("2001:db8::1")
    assert connection is not None
    server.end(connection, Reason.ABUSE)
    assert server.visit("2001:db8::dead:beef")[0].refused is Reason.ABUSE
    assert server.visit("2001:db8:0:1::1")[1] is not None


@pytest.mark.parametrize("reason", [Reason.KICKED, Reason.SLOW, Reason.TIMEOUT, Reason.LEFT])
def test_who_goes_otherwise_may_come_again_at_once(reason: Reason) -> None:
    server = Server()
    _, connection = server.visit("10.0.0.1")
    assert connection is not None
    server.end(connection, reason)
    assert server.visit("10.0.0.1")[1] is not None


def test_who_is_turned_away_costs_no_memory() -> None:
    server = Server(max_clients=1)
    assert server.visit("10.0.0.1")[1] is not None
    kept = len(server.listener.admission)
    for number in range(3000):
        assert server.visit(f"10.1.{number >> 8}.{number & 255}")[0].refused is Reason.FULL
        server.now += 0.01
    assert len(server.listener.admission) == kept == 1


def test_what_is_remembered_is_bounded_and_ends() -> None:
    server = Server(max_clients=4)
    for number in range(4096 + 100):
        _, connection = server.visit(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        assert connection is not None
        reason = Reason.ABUSE if number % 2 else Reason.LEFT
        server.end(connection, reason)
        server.now += 0.001
    assert len(server.listener.admission) == REMEMBERED == 4096
    server.pass_time(6.0)
    assert 0 < len(server.listener.admission) <= REMEMBERED / 2  # those who left are forgotten
    server.now += 2 * 3600.0
    server.listener.poll(server.now)
    assert len(server.listener.admission) == 0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("jjjlka"), st.floats(0, 3)), max_size=80)
)
@settings(deadline=None)
def test_the_counts_are_those_of_the_connections(
    steps: list[tuple[int, str, float]],
) -> None:
    """Whatever comes and goes: nobody has more than its share, and nothing is left."""
    server = Server(max_clients=8)
    for number, what, seconds in steps:
        host = f"10.0.0.{number}"
        mine = [c for c in server.listener.connections.values() if c.address[0] == host]  # type: ignore[index]
        if what == "j":
            server.visit(host)
        elif mine:
            reason = {"l": Reason.LEFT, "k": Reason.KICKED, "a": Reason.ABUSE}[what]
            server.end(mine[0], reason)
        server.pass_time(seconds)
        shares = Counter(source_of(address) for address in server.listener.connections)
        assert all(share <= 7 for share in shares.values())
        assert sum(shares.values()) <= 8
        kept = server.listener.admission._here
        assert {key: each.places for key, each in kept.items()} == shares
    for connection in list(server.listener.connections.values()):
        server.end(connection, Reason.LEFT)
    server.now += 2 * 3600.0
    server.listener.poll(server.now)
    assert len(server.listener.admission) == 0


def test_admission_denies_by_cause() -> None:
    admission = Admission(8, 2, source_of)
    connection = Connection(("h", 1), b"12345678", 0.0, server=True)
    assert admission.deny(("h", 1), 0.0, again=False) is None
    admission.opened(("h", 1), connection, 0.0)
    admission.opened(("h", 2), connection, 0.0)
    assert admission.deny(("h", 3), 0.0, again=False) is Denial.ADDRESS
    assert admission.deny(("h", 2), 0.0, again=True) is None
    assert admission.denied == {"address": 1}


@pytest.mark.parametrize("still_here", [True, False])
def test_a_source_waits_for_what_a_connection_of_it_cost(still_here: bool) -> None:
    admission = Admission(8, 8, source_of)
    connection = Connection(("h", 1), b"12345678", 0.0, server=True)
    admission.opened(("h", 1), connection, 0.0)
    connection.confirmed = True
    if not still_here:
        admission.closed(("h", 1), 0.0, abusive=False)
    admission.charge(("h", 1), 3.0, 0.0)
    # It has opened one of the eight that it may open at once.
    wait = 3.0 - 7 / JOINS_A_SECOND + 1 / JOINS_A_SECOND
    assert admission.deny(("h", 2), wait - 0.01, again=False) is Denial.JOINS
    assert admission.deny(("h", 2), wait + 0.01, again=False) is None
    admission.charge(("a stranger", 1), 10.0, 0.0)
    assert len(admission) == 1


def test_what_said_nothing_and_is_gone_is_not_counted() -> None:
    admission = Admission(64, 64, source_of)
    players = [Connection(("h", n), b"12345678", 0.0, server=True) for n in range(HALF_OPEN + 1)]
    for connection in players:
        admission.opened(connection.address, connection, 0.0)
    players[0].confirmed = True
    assert admission.deny(("h", 99), 0.0, again=False) is Denial.HALF_OPEN
    players[1].closed = True
    admission.closed(players[1].address, 0.0, abusive=False)
    assert admission.deny(("h", 99), 0.0, again=False) is None


class Guest:
    """A connection as the counts see it."""

    def __init__(self, *, confirmed: bool = True) -> None:
        self.confirmed = confirmed
        self.closed = False


def come_and_be_thrown_out(admission: Admission, now: float) -> None:
    admission.opened(("h", 1), Guest(), now)
    admission.closed(("h", 1), now, abusive=True)


def test_a_wait_ends_on_time_and_grows_to_640_seconds_however_often_it_happens() -> None:
    admission = Admission(8, 8, source_of)
    now = 0.0
    waits: list[float] = []
    for _ in range(1100):
        come_and_be_thrown_out(admission, now)
        wait = 10.0 * 2 ** min(len(waits), 6)
        assert admission.deny(("h", 2), now + wait - 0.5, again=False) is Denial.ABUSE
        assert admission.deny(("h", 2), now + wait, again=False) is None
        waits.append(wait)
        now += wait
    assert waits[5:9] == [320.0, 640.0, 640.0, 640.0]


@pytest.mark.parametrize(("later", "wait"), [(3609.5, 20.0), (3610.0, 10.0)])
def test_abuse_is_forgotten_an_hour_after_the_wait_was_over(later: float, wait: float) -> None:
    admission = Admission(8, 8, source_of)
    come_and_be_thrown_out(admission, 0.0)  # it waits until 10.0
    admission.sweep(later)
    assert len(admission) == (later < 3610)
    come_and_be_thrown_out(admission, later)
    assert admission.deny(("h", 2), later + wait - 0.5, again=False) is Denial.ABUSE
    assert admission.deny(("h", 2), later + wait, again=False) is None


@pytest.mark.parametrize("swept", [True, False])
def test_abuse_is_forgotten_whether_somebody_swept_or_not(swept: bool) -> None:
    admission = Admission(8, 8, source_of)
    for now in (0.0, 10.0):
        come_and_be_thrown_out(admission, now)
    if swept:
        admission.sweep(3630.0)
    come_and_be_thrown_out(admission, 3630.0)
    assert admission.deny(("h", 2), 3640.0, again=False) is None


def test_what_is_remembered_is_looked_through_once_in_five_seconds() -> None:
    admission = Admission(8, 8, source_of)
    admission.sweep(0.0)
    admission.opened(("h", 1), Guest(), 0.0)
    admission.closed(("h", 1), 0.0, abusive=False)
    for now in (2.0, 4.5, 4.99):
        admission.sweep(now)
        assert len(admission) == 1
    admission.sweep(5.0)
    assert len(admission) == 0
    admission.opened(("h", 1), Guest(), 5.0)
    admission.closed(("h", 1), 5.0, abusive=False)
    admission.sweep(9.99)
    assert len(admission) == 1
    admission.sweep(10.0)
    assert len(admission) == 0


def test_a_quarter_of_a_large_servers_places_may_say_nothing_yet() -> None:
    admission = Admission(256, None, source_of)
    for number in range(56):
        assert admission.deny(("h", number), 0.0, again=False) is None
        admission.opened(("h", number), Guest(confirmed=False), 0.0)
    assert admission.deny(("h", 56), 0.0, again=False) is Denial.HALF_OPEN


def test_a_source_that_is_remembered_holds_no_connection_in_memory() -> None:
    admission = Admission(8, 8, source_of)
    guest = Guest()
    admission.opened(("h", 1), guest, 0.0)
    admission.closed(("h", 1), 0.0, abusive=False)
    gone = weakref.ref(guest)
    del guest
    gc.collect()
    assert len(admission) == 1
    assert gone() is None


def test_a_place_that_is_given_up_is_one_place_for_another() -> None:
    admission = Admission(3, 3, source_of)
    for host in ("a", "b", "c"):
        admission.opened((host, 1), Guest(), 0.0)
    assert admission.deny(("d", 1), 0.0, again=False) is Denial.FULL
    assert admission.deny(("c", 1), 0.0, again=True) is None
    admission.closed(("a", 1), 0.0, abusive=False)
    assert admission.deny(("d", 1), 0.0, again=False) is None
    admission.opened(("d", 1), Guest(), 0.0)
    assert admission.deny(("e", 1), 0.0, again=False) is Denial.FULL


def test_the_end_of_what_was_never_counted_changes_nothing() -> None:
    admission = Admission(1, 1, source_of)
    admission.closed(("h", 1), 0.0, abusive=True)
    assert len(admission) == 0
    assert admission.deny(("h", 1), 0.0, again=False) is None
    admission.opened(("h", 1), Guest(), 0.0)
    assert admission.deny(("i", 1), 0.0, again=False) is Denial.FULL


def test_what_says_nothing_counts_on_when_another_of_the_source_ends() -> None:
    admission = Admission(64, 64, source_of)
    for number in range(HALF_OPEN):
        admission.opened(("h", number), Guest(confirmed=False), 0.0)
    admission.opened(("h", 99), Guest(), 0.0)
    admission.closed(("h", 99), 0.0, abusive=False)
    assert admission.deny(("h", 98), 0.0, again=False) is Denial.HALF_OPEN
