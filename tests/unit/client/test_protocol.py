"""The client's half of the protocol, with datagrams by hand."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import esper
import msgspec
import pytest

import ecsnet.client.protocol as module
from ecsnet.client.connection import ClientConnection
from ecsnet.messages.joining import SchemaOffer, Welcome
from ecsnet.notifications import Connected, Despawned, Disconnected, Refused, Spawned
from ecsnet.replication.encoding import encode_events, encode_structure
from ecsnet.schema import Registry, encode, event, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.testing import Network
from ecsnet.transport.address import Address
from tests.unit.hostile_server import HostileServer, run_of

with use_registry(Registry()) as registry:

    @replicated
    class Tank:
        hp: int = 10

    @event
    class Boom:
        size: int = 0


class TalkingServer(HostileServer):
    """A server that says what it is told to, and then lets the client poll."""

    def __init__(self) -> None:
        super().__init__(registry)

    def connect(self) -> TalkingServer:
        self.accept()
        return self

    def join(self, player: int = 1) -> TalkingServer:
        self.welcome(player)
        self.tell(encode_structure(7, 100, [], [], [], [self.run(1)]))
        return self

    def join_at_one_command_a_second(self) -> None:
        """Let the client in, and wait until a packet of its own has just come."""
        self.connect()
        self.tell(encode(Welcome(7, 1, 1, 60.0, 60.0, 100, 1.0)))
        self.tell(encode_structure(7, 100, [], [], [], [self.run(1)]))
        for _ in range(150):
            self.poll()
        before = self.peer.session.packets_received
        while self.peer.session.packets_received == before:
            self.poll()
        self.poll()

    @staticmethod
    def run(net: int) -> msgspec.Raw:
        return run_of(registry, Tank, net, [net])

    def tell(self, message: bytes) -> list[object]:
        self.say(message)
        return self.poll()

    def update(self, payload: object) -> list[object]:
        self.send(payload)
        return self.poll()


@pytest.fixture
def server() -> Iterator[TalkingServer]:
    made = TalkingServer()
    yield made
    made.close()


def test_the_handshake_keeps_to_the_address_that_answered(
    server: TalkingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[bool] = []
    monkeypatch.setattr(server.end, "pin", lambda: pinned.append(True))
    server.deliver(b"noise")
    server.deliver(bytes(40))
    server.poll()
    assert pinned == []
    assert server.client.stats.datagrams_rejected == 2
    server.connect()
    assert pinned == [True]
    assert len(server.heard) == 1  # its Hello


def test_values_before_the_welcome_are_not_for_us_yet(server: TalkingServer) -> None:
    server.connect()
    assert server.update((7, 100, 0, 0, 0, None, [])) == []
    assert server.client.stats.datagrams_rejected == 0


def test_values_that_overtook_the_welcome_are_taken_when_it_is_there(server: TalkingServer) -> None:
    server.connect()
    cid = registry.schema().cid_of[Tank]
    newer = msgspec.Raw(encode(([1], [(cid, [[50]])])))
    assert server.update((7, 102, 2, 2, 0, None, [newer])) == []
    server.tell(encode(Welcome(7, 1, 1, 60.0, 60.0, 100)))
    client = server.client
    store = client._protocol.store
    assert store is not None
    assert (store.tick, store.confirmed_tick) == (102, 0)
    assert Spawned(1) in server.tell(encode_structure(7, 100, [], [], [], [server.run(1)]))
    # The server has an ack for the packet, so it says that nothing is owed.
    server.update((7, 103, 0, 2, 0, None, []))
    assert store.confirmed_tick == 103
    assert store.entities[1].ticks == {cid: 102}
    with client.view:
        assert esper.component_for_entity(1, Tank) == Tank(50)
    assert client.stats.datagrams_rejected == 0
    assert client._protocol._early == []


def test_with_too_many_before_the_welcome_all_is_asked_for_again(
    server: TalkingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EARLY_UPDATES", 2)
    server.connect()
    for tick in (101, 102, 103):
        server.update((7, tick, 0, 2, 0, None, []))
    server.tell(encode(Welcome(7, 1, 1, 60.0, 60.0, 100)))
    store = server.client._protocol.store
    assert store is not None
    assert (store.tick, store.asked) == (102, 1)
    server.poll()
    assert server.heard[-1] == encode([17])


def test_a_second_welcome_puts_the_player_into_another_room(server: TalkingServer) -> None:
    server.join()
    client, cid = server.client, registry.schema().cid_of[Tank]
    server.update((7, 150, 0, 2, 0, None, []))
    assert client.stats.confirmed_tick == 150
    old = client.player
    early = msgspec.Raw(encode(([1], [(cid, [[50]])])))
    assert server.update((8, 22, 2, 4, 0, None, [early])) == []  # overtakes its Welcome
    events = server.tell(encode(Welcome(8, 1, 3, 20.0, 20.0, 20)))
    assert [type(event) for event in events] == [Despawned]
    assert events[0].entity == old  # type: ignore[attr-defined]
    assert events[0].why == "hidden"  # type: ignore[attr-defined]
    assert client.connected
    assert client.player is None
    assert (client.stats.tick, client.stats.confirmed_tick) == (22, 0)
    events = server.tell(encode_structure(8, 20, [], [], [], [server.run(1)]))
    assert events == [Connected(client.player or 0), Spawned(client.player or 0)]
    assert client.player not in (None, old)
    with client.view:
        assert [tank for _, tank in esper.get_component(Tank)] == [Tank(50)]
    # What is late of the room before says nothing.
    values = msgspec.Raw(encode(([1], [(cid, [[9]])])))
    before = client.stats.datagrams_rejected
    assert server.update((7, 160, 0, 2, 0, None, [values])) == []
    assert client.stats.datagrams_rejected == before + 1
    server.tell(encode_events(7, 160, []))
    assert client.stats.datagrams_rejected == before + 2
    server.tell(encode_structure(7, 160, [], [], [], [server.run(4)]))
    server.update((8, 23, 0, 5, 0, None, []))
    assert client.stats.confirmed_tick == 23
    assert server.peer.session.budget.strikes == client._connection.peer.session.budget.strikes == 0
    assert encode([17]) not in server.heard


def test_the_room_before_is_over_before_the_player_is_connected_to_the_next_one(
    server: TalkingServer,
) -> None:
    server.join()
    server.peer.queue(encode(Welcome(8, 1, 3, 20.0, 20.0, 20)))
    events = server.tell(encode_structure(8, 20, [], [], [], [server.run(1)]))
    assert [type(event) for event in events] == [Despawned, Connected, Spawned]


def test_who_is_moved_on_before_connected_is_told_of_no_events_of_the_room_before(
    server: TalkingServer,
) -> None:
    server.join(player=5)
    boom = msgspec.Raw(encode((registry.schema().event_id_of[Boom], [3])))
    server.peer.queue(encode_events(7, 100, [boom]))
    server.peer.queue(encode(Welcome(8, 1, 3, 20.0, 20.0, 20)))
    happened = server.tell(encode_structure(8, 20, [], [], [], [server.run(1)]))
    happened += server.tell(encode_events(8, 21, [boom]))
    assert happened.count(Boom(3)) == 1
    assert happened[-1] == Boom(3)
    assert [type(each) for each in happened[:-1]] == [Despawned, Connected, Spawned]


def test_who_has_no_player_entity_is_connected_with_the_welcome(server: TalkingServer) -> None:
    server.connect()
    assert server.tell(encode(Welcome(7, 0, 1, 60.0, 60.0, 100))) == [Connected(0)]


def test_what_the_game_deletes_as_it_leaves_a_room_has_nothing_any_more(
    server: TalkingServer,
) -> None:
    server.join()
    old = server.client.player or 0
    with server.client.view:
        esper.delete_entity(old)
    (event,) = server.tell(encode(Welcome(8, 1, 3, 20.0, 20.0, 20)))
    assert event == Despawned(old, "hidden", {})


def test_a_room_is_drawn_from_its_tick_0_on() -> None:
    with use_registry(registry):
        server = HostileServer(registry, ServerWorld())
    try:
        server.tick = 0
        server.welcome(1)
        server.say(encode_structure(7, 1, [], [], [], [run_of(registry, Tank, 1, [1])]))
        server.send((7, 1, 0, 2, 0, None, []))
        server.poll()
        assert server.client._protocol.shown == 0.0  # and what came with tick 1 waits
        assert not server.client.connected
        for _ in range(4):
            server.poll()
        assert server.client.connected
    finally:
        server.close()


def test_nothing_of_a_room_is_drawn_before_its_first_update() -> None:
    with use_registry(registry):
        server = HostileServer(registry, ServerWorld())
    try:
        server.tick = 0
        server.welcome(1)
        server.structure(run_of(registry, Tank, 1, [1]))
        for _ in range(10):
            assert server.poll() == []
        assert server.client.shown is None
        server.send((7, 2, 0, 2, 0, None, []))
        events = [event for _ in range(10) for event in server.poll()]
        assert events[0] == Connected(server.client.player or 0)
    finally:
        server.close()


def test_bytes_and_datagrams_are_counted_in_both_directions(
    server: TalkingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    came: list[int] = []
    send, deliver = server.end.send, server.network.send

    def count_sent(datagram: bytes) -> None:
        sent.append(len(datagram))
        send(datagram)

    def count_came(datagram: bytes, address: Address) -> None:
        came.append(len(datagram))
        deliver(datagram, address)

    monkeypatch.setattr(server.end, "send", count_sent)
    monkeypatch.setattr(server.network, "send", count_came)
    server.join()
    for _ in range(60):
        server.poll()
    stats = server.client.stats
    assert (stats.datagrams_sent, stats.bytes_sent) == (len(sent), sum(sent))
    assert (stats.datagrams_received, stats.bytes_received) == (len(came), sum(came))


def test_there_is_as_much_time_to_get_into_the_next_room(server: TalkingServer) -> None:
    def wait(seconds: float) -> None:
        for _ in range(round(60 * seconds)):
            server.update(None)

    server.connect()
    wait(6.0)
    server.join()
    assert server.client.connected
    server.tell(encode(Welcome(8, 1, 3, 20.0, 20.0, 20)))
    wait(6.0)
    server.tell(encode_structure(8, 20, [], [], [], [server.run(1)]))
    assert server.client.connected
    assert server.client.player is not None


def test_a_gap_between_two_polls_counts_as_a_quarter_of_a_second_of_the_joining(
    server: TalkingServer,
) -> None:
    server.join()
    server.clock.advance(1)
    server.tell(encode(Welcome(8, 1, 3, 20.0, 20.0, 20)))
    for _ in range(39):
        server.clock.advance(1)
        assert server.update(None) == []
    assert not server.client.closed  # ten seconds, and not more
    server.clock.advance(1)
    assert server.update(None) == [Disconnected("timeout")]


def test_who_comes_back_to_a_room_asks_for_everything_and_believes_nothing_old(
    server: TalkingServer,
) -> None:
    server.join()
    client, cid = server.client, registry.schema().cid_of[Tank]
    server.tell(encode(Welcome(8, 0, 3, 20.0, 20.0, 20)))
    assert encode([17]) not in server.heard
    server.tell(encode(Welcome(7, 1, 2, 60.0, 60.0, 200)))
    server.poll()
    assert server.heard[-1] == encode([17])
    server.tell(encode_structure(7, 200, [], [], [], [server.run(1)]))
    store = client._protocol.store
    assert store is not None
    # An update of the first stay, which comes only now.
    values = msgspec.Raw(encode(([1], [(cid, [[9]])])))
    server.update((7, 2**32 - 5, 0, 2, 0, None, [values]))
    server.update((7, 250, 0, 2, 0, None, [values]))
    assert (store.tick, store.confirmed_tick) == (200, 0)
    with client.view:
        assert [tank for _, tank in esper.get_component(Tank)] == [Tank(1)]
    assert client._connection.peer.session.budget.strikes == 0


def test_a_flood_of_welcomes_is_work(server: TalkingServer) -> None:
    server.join()
    for epoch in range(100, 160):
        server.peer.queue(encode(Welcome(epoch, 0, 1, 60.0, 60.0, 1)))
    server.update(None)
    epochs = []
    for _ in range(20):
        assert server.client._protocol.store is not None
        epochs.append(server.client._protocol.store.epoch)
        server.poll()
    assert epochs[0] == 106  # a Welcome is much work
    assert epochs[-1] == 159
    assert len(server.client._protocol._epochs) == 16


def test_who_ends_on_the_way_to_another_room_was_in_the_game(server: TalkingServer) -> None:
    server.join()
    assert server.client.connected
    server.tell(encode(Welcome(8, 1, 3, 20.0, 20.0, 20)))
    server.clock.advance(1)
    events: list[object] = []
    while not server.client.closed:
        events += server.update((8, 22, 0, 4, 0, None, []))  # alive, but our player does not come
    assert events == [Disconnected("timeout")]


def test_senseless_messages_are_counted_and_do_nothing(server: TalkingServer) -> None:
    server.join()
    client = server.client
    store = client._protocol.store
    assert store is not None
    assert client.connected
    before = client.stats.datagrams_rejected
    assert server.tell(b"\xc1") == []
    assert server.tell(encode(SchemaOffer(b"x"))) == []
    # Of a room that we are not in: it is kept.
    assert server.update((8, 100, 0, 0, 0, None, [])) == []
    assert server.update([1, 2, 3]) == []
    assert client.stats.datagrams_rejected == before + 3
    assert len(client._protocol._early) == 1
    assert store.epoch == 7
    assert store.structured == server.peer.queued
    assert server.tell(encode_structure(7, 101, [], [], [], [server.run(2)])) == [Spawned(2)]


def test_who_says_what_is_senseless_in_one_packet_is_left_in_that_poll(
    server: TalkingServer,
) -> None:
    server.join()
    for _ in range(5):
        server.peer.queue(b"\xc1")
    received = server.client.stats.datagrams_received
    assert server.update(None) == [Disconnected("abuse")]
    assert server.client.stats.datagrams_received == received + 1
    assert server.goodbye is Reason.ABUSE


def test_structure_of_what_cannot_be_an_entity_is_an_offence(server: TalkingServer) -> None:
    server.join()
    for strikes in range(1, 5):
        assert server.tell(encode_structure(7, 101, [], [], [], [server.run(0)])) == []
        assert server.client._connection.peer.session.budget.strikes == strikes
    assert server.tell(encode_structure(7, 101, [], [], [], [server.run(0)])) == [
        Disconnected("abuse")
    ]


def test_four_times_what_is_senseless_is_borne(server: TalkingServer) -> None:
    server.join()
    for payload in ([1], (7, 2**32, 0, 0, 0, None, []), (7, 101, 0, 0, "part", None, []), [2]):
        assert server.update(payload) == []
    assert server.client.connected
    assert server.client._connection.peer.session.budget.strikes == 4


class Noting:
    """A client's tick clock, with a note of each report. A compiled one cannot be patched."""

    def __init__(self, server: TalkingServer) -> None:
        sender = server.client._sender
        self.reports: list[tuple[float, int]] = []
        self._ticks = sender.ticks
        sender.ticks = self  # type: ignore[assignment]

    def report(self, slack: float, tick: int, loss: float) -> None:
        self.reports.append((slack, tick))

    def __getattr__(self, name: str) -> object:
        return getattr(self._ticks, name)


def test_the_clock_is_told_of_the_newest_report_alone(server: TalkingServer) -> None:
    server.join()
    noting = Noting(server)
    for tick, report in ((150, (40, 0, 0, 0, 0)), (149, (-8, 0, 0, 0, 0)), (151, None)):
        server.update((7, tick, 0, 2, 0, report, []))
    server.update((7, 152, 0, 2, 0, (-8, 0, 0, 0, 0), []))
    assert noting.reports == [(2.5, 150), (-0.5, 152)]


def test_commands_are_counted_on_both_ends(server: TalkingServer) -> None:
    server.join()
    client = server.client
    client._sender.outbox.expire()
    client._sender.unsendable += 1
    server.update((7, 150, 0, 2, 0, (0, 20, 3, 40, 5), []))
    stats = client.stats
    assert (stats.commands_applied, stats.commands_superseded) == (20, 40)
    assert (stats.commands_expired, stats.commands_rejected) == (1 + 3, 1 + 5)


@pytest.mark.parametrize("direction", ["in", "out"])
def test_the_loss_is_that_of_the_worse_direction(server: TalkingServer, direction: str) -> None:
    server.join()
    dice = random.Random(1)

    def lose(way: str, datagram: bytes, _address: Address) -> list[bytes]:
        return [] if way == direction and dice.random() < 0.3 else [datagram]

    server.network.tap = lose
    for _ in range(300):
        server.update(None)
    assert 0.05 < server.client.stats.loss < 0.5


def test_the_server_is_sent_a_bounded_number_of_bytes_a_second(server: TalkingServer) -> None:
    """Messages have half of 64 KiB a second while they wait."""
    server.join()
    server.client._connection.peer.queue(bytes(600_000))
    for _ in range(120):
        server.update(None)
    before = server.client.stats.bytes_sent
    for _ in range(300):
        server.update(None)
    assert (server.client.stats.bytes_sent - before) / 5 == pytest.approx(32 * 1024, rel=0.15)


def test_as_many_notifications_as_may_wait_are_kept(server: TalkingServer) -> None:
    server.join()
    protocol = server.client._protocol
    protocol.notifications += [Spawned(1)] * 131_072
    server.client._poll()
    assert server.client.connected
    protocol.notifications.append(Spawned(1))
    server.client._poll()
    assert server.client.closed
    assert protocol.notifications[-1] == Disconnected("overload")


def test_what_the_server_says_of_the_end_counts_where_there_is_too_much_to_keep(
    server: TalkingServer,
) -> None:
    server.join()
    server.client._protocol.notifications += [Spawned(1)] * 131_073
    server.say_goodbye(Reason.KICKED)
    assert server.poll()[-1] == Disconnected("kicked")


def test_a_game_that_describes_itself_like_ours_and_is_another_is_refused(
    server: TalkingServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.connect()
    with caplog.at_level(logging.CRITICAL, "ecsnet.client"):
        server.tell(encode(SchemaOffer(registry.schema().encode_description())))
    for _ in range(10):
        server.poll()
    assert len(server.heard) == 2  # it says what differs
    server.say_goodbye(Reason.SCHEMA)
    (event,) = server.poll()
    assert isinstance(event, Refused)
    assert event.message.startswith("this game differs from the server's")


def test_a_ping_is_answered_at_once(server: TalkingServer) -> None:
    server.join()
    for _ in range(30):
        server.poll()
    assert server.connection is not None
    server.deliver(server.connection.seal(server.peer.session.ping(server.clock.now)))
    before = server.peer.session.packets_received
    server.poll()
    assert server.peer.session.packets_received > before


def test_a_ping_is_answered_at_once_by_who_sends_seldom(server: TalkingServer) -> None:
    server.join_at_one_command_a_second()
    session, connection = server.peer.session, server.connection
    assert connection is not None
    before = session.packets_received
    server.deliver(connection.seal(session.ping(server.clock.now)))
    server.poll()
    assert session.packets_received == before + 1


def test_a_long_message_of_who_sends_seldom_begins_at_once(server: TalkingServer) -> None:
    server.join_at_one_command_a_second()
    session = server.peer.session
    before = session.packets_received
    server.client._connection.peer.queue(bytes(5000))
    server.poll()
    assert session.packets_received > before


def test_before_anything_is_measured_a_packet_may_take_half_a_second_and_a_packet_more() -> None:
    peer = ClientConnection(b"hello", 0.0, bytes).peer
    assert peer.loss_timeout == pytest.approx(0.5 + 0.05)


def test_what_overflowed_while_it_waited_is_asked_for_again(server: TalkingServer) -> None:
    server.join()
    store = server.client._protocol.store
    assert store is not None
    store.resync = True
    heard = len(server.heard)
    for _ in range(3):
        server.poll()
    assert len(server.heard) == heard + 1
    assert server.heard[-1] == encode([17])
    assert (store.resync, store.asked) == (False, 1)
    server.tell(encode_structure(7, 102, [], [], [], []))
    assert store.asked == 0


def test_what_overflows_before_the_answer_is_asked_for_after_it(server: TalkingServer) -> None:
    server.join()
    store = server.client._protocol.store
    assert store is not None
    store.resync = True
    server.update(None)
    server.update(None)
    heard = len(server.heard)
    store.resync = True
    for _ in range(3):
        server.update(None)
    assert (len(server.heard), store.asked) == (heard, 1)
    server.tell(encode_structure(7, 102, [], [], [], []))
    server.update(None)
    assert (len(server.heard), store.asked) == (heard + 1, 1)


def test_nothing_is_asked_for_again_while_other_messages_wait(server: TalkingServer) -> None:
    server.join()
    store, peer = server.client._protocol.store, server.client._connection.peer
    assert store is not None
    server.update(None)
    peer.queue(b"first")
    store.resync = True
    server.poll()
    assert (store.resync, store.asked) == (True, 0)
    for _ in range(3):
        server.update(None)
    assert peer.backlog == 0
    assert (store.resync, store.asked) == (False, 1)
    assert server.heard[-2:] == [b"first", encode([17])]


def test_long_messages_of_ours_go_in_pieces(server: TalkingServer) -> None:
    server.join()
    server.client._connection.peer.queue(bytes(20_000))
    for _ in range(60):
        server.poll()
        server.update(None)
        if len(server.heard[-1]) == 20_000:
            break
    assert len(server.heard[-1]) == 20_000


def test_what_gets_lost_of_our_messages_goes_again_and_is_forgotten(server: TalkingServer) -> None:
    server.join()
    dice = random.Random(3)
    lost = []

    def lose(direction: str, datagram: bytes, _address: Address) -> list[bytes]:
        if direction == "out" and dice.random() < 0.3:
            lost.append(datagram)
            return []
        return [datagram]

    server.network.tap = lose
    peer = server.client._connection.peer
    peer.queue(bytes(20_000))
    for _ in range(600):
        server.update(None)
    assert len(lost) > 20
    assert len(server.heard[-1]) == 20_000
    assert peer.session.in_flight < 20


def test_one_poll_takes_in_a_bounded_number_of_datagrams(server: TalkingServer) -> None:
    server.join()
    for _ in range(2500):
        server.deliver(b"flood")
    server.poll()
    assert list(server.end.receive(2500)) == [b"flood"] * 1500


def test_of_datagrams_that_nobody_looks_at_the_first_two_thousand_wait() -> None:
    network = Network()
    end = network.connect()
    connection = ClientConnection(b"hello", 0.0, bytes)
    connection.over(end)
    for number in range(3000):
        network.send(b"%d" % number, end.address)
    for _ in range(3):
        connection.fetch(0.0)
    assert list(connection._waiting) == [b"%d" % number for number in range(2000)]
    assert connection.next_packet(0.0) is None
    assert connection.stats.datagrams_received == connection.stats.datagrams_rejected == 2000


def test_nothing_is_read_after_the_end(server: TalkingServer) -> None:
    server.join()
    server.say_goodbye(Reason.KICKED)
    for datagram in (b"more", b"still more"):
        server.deliver(datagram)
    received = server.client.stats.datagrams_received
    assert server.poll() == [Disconnected("kicked")]
    assert server.client.stats.datagrams_received == received + 1


def test_a_player_who_is_not_there_yet_is_waited_for(server: TalkingServer) -> None:
    server.join(player=5)
    assert server.poll() == []
    assert not server.client.connected
    events = server.tell(encode_structure(7, 101, [], [], [], [server.run(5)]))
    assert events[0] == Connected(2)
    assert server.client.player == 2
    # It goes: the client stays.
    server.tell(encode_structure(7, 102, [5], [], [], []))
    assert server.client.player is None
    assert server.client.connected
