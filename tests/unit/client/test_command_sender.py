from __future__ import annotations

import msgspec
import pytest

from ecsnet.client.command_sender import CommandSender
from ecsnet.client.tick_clock import TickClock
from ecsnet.commands.outbox import BACKLOG
from ecsnet.connection.plain import Connection
from ecsnet.messages.joining import Welcome
from ecsnet.peer import Peer
from ecsnet.replication.client.store import Store
from ecsnet.replication.wire import WireFormat
from ecsnet.schema import EntityRef, Registry, command, encode, use_registry
from ecsnet.session.packets import RAW
from ecsnet.transport.address import Address

with use_registry(Registry()) as registry:

    @command(hold=True)
    class Aim:
        at: EntityRef = None

    @command(hold=True)
    class Steer:
        dx: int = 0

    @command
    class Shoot:
        pass


SCHEMA = registry.schema()
AIM, SHOOT, STEER = (SCHEMA.command_id_of[cls] for cls in (Aim, Shoot, Steer))
RATE = 60
START = 100
ADDRESS = ("10.0.0.1", 7777)


class Sending:
    """A sender in a room, and a server that hears it."""

    def __init__(self, command_rate: float | None = None) -> None:
        self.peer: Peer[msgspec.Raw] = Peer(RAW)
        self.server: Peer[msgspec.Raw] = Peer(RAW)
        self.sent = 0
        self.peer.relink(Connection(None, b"8 bytes.", 0.0, server=False), ADDRESS, self.hear)
        self.sender = CommandSender(self.peer)
        self.welcome = Welcome(7, 1, 1, float(RATE), float(RATE), START, command_rate)
        self.store = Store(WireFormat(SCHEMA), 7, START)
        self.now = 0.0
        self.joined = True
        self.payloads: list[tuple[int, int, int, list[list[object]]]] = []
        self.sender.enter_room(self.welcome)

    def frames(self, count: int, rate: float = RATE) -> int:
        """Poll so many times; returns the number of packets that left."""
        before = self.sent
        for _ in range(count):
            self.now += 1 / rate
            self.store.tick = START + int(self.now * RATE)
            if self.sender.ticks is not None:
                self.sender.ticks.heard(self.store.tick, self.now)
            self.sender.send(self.store, self.now, joined=self.joined)
        return self.sent - before

    def hear(self, datagram: bytes, _address: Address) -> None:
        self.sent += 1
        received = self.server.receive_packet(datagram[1:-4], self.now)
        assert received is not None
        if received.payload is not None:
            self.payloads.append(msgspec.msgpack.decode(received.payload))

    @property
    def ticks(self) -> TickClock:
        """The clock of the room."""
        ticks = self.sender.ticks
        assert ticks is not None
        return ticks

    def measure(self) -> None:
        self.peer.session.path.measured = True


def test_no_tick_begins_before_the_round_trip_is_known() -> None:
    sending = Sending()
    sending.sender.outbox.hold(STEER, 0, [1])
    assert sending.frames(60) > 0  # what the session has to say
    assert sending.payloads == []
    sending.measure()
    sending.frames(60)
    assert len(sending.payloads) > 40
    assert {epoch for epoch, *_ in sending.payloads} == {7}


def test_each_tick_is_sent_and_with_a_rate_some_at_a_time() -> None:
    sending = Sending()
    sending.measure()
    sending.sender.outbox.hold(STEER, 0, [1])
    assert sending.frames(120) > 100
    slow = Sending(command_rate=10)
    slow.measure()
    slow.sender.outbox.hold(STEER, 0, [1])
    assert 15 < slow.frames(120) < 25
    assert slow.sender.ticks is not None
    # All ticks are in the last packet, since the server acknowledged none.
    covered = sum(int(str(frame[1])) for frame in slow.payloads[-1][3])
    assert covered > 100


def test_on_the_way_into_the_game_nothing_is_stamped() -> None:
    sending = Sending()
    sending.measure()
    sending.joined = False
    sending.sender.outbox.act(SHOOT, 0, [])
    sending.frames(30)
    assert sending.sender.outbox.sent == 0
    sending.joined = True
    sending.frames(30)
    assert sending.sender.outbox.sent == 1


def test_while_the_server_is_silent_the_player_may_go_on_acting() -> None:
    sending = Sending()
    sending.measure()
    sending.frames(30)
    ticks = sending.ticks
    for _ in range(10 * RATE):
        sending.now += 1 / RATE
        sending.sender.send(sending.store, sending.now, joined=True)
        sending.sender.outbox.act(SHOOT, 0, [])
    assert ticks.paused
    assert not ticks.waiting


def test_what_is_unacked_is_said_again_while_the_server_is_silent() -> None:
    sending = Sending()
    sending.measure()
    sending.sender.outbox.hold(STEER, 0, [1])
    sending.frames(30)
    ticks = sending.ticks
    said = []
    for _ in range(10 * RATE):
        sending.now += 1 / RATE
        before = len(sending.payloads)
        sending.sender.send(sending.store, sending.now, joined=True)
        if ticks.paused:
            said.append(len(sending.payloads) - before)
    assert len(said) > RATE
    # As often as 30 times a second, or after one frame more.
    assert 1 / 3 <= sum(said) / len(said) <= 1 / 2


def test_actions_between_the_ticks_of_a_fast_screen_are_bounded() -> None:
    sending = Sending()
    sending.measure()
    sending.frames(60)
    sent = 0
    for _ in range(10 * RATE):  # a second at ten frames in each tick
        sending.sender.outbox.idle()
        sending.sender.outbox.act(SHOOT, 0, [])
        sent += sending.frames(1, rate=10 * RATE)
    assert 1.5 * RATE <= sent <= 1.5 * RATE + 8 + 1


def test_who_has_jumped_back_may_go_on_acting() -> None:
    sending = Sending()
    sending.measure()
    sending.frames(60)
    ticks = sending.ticks
    ticks.report(30.0, sending.store.tick)  # far too early: no tick begins for half a second
    for _ in range(20):
        sending.sender.outbox.act(SHOOT, 0, [])
        sending.frames(1)
        assert ticks.waiting
        assert not ticks.paused


def test_who_runs_ahead_is_a_tick_earlier() -> None:
    def position(*ahead: bool) -> float:
        sending = Sending()
        for each in ahead:
            sending.sender.run_ahead(each)
        sending.measure()
        sending.frames(1)
        return sending.ticks.position

    assert position(True) == pytest.approx(position() + 1)
    assert position(True, False) == position(False) == position()


def test_a_rate_that_no_tick_falls_in_with_is_kept_on_a_fast_screen() -> None:
    """The parts of a tick are kept until a packet may leave, and go with it."""
    sending = Sending(command_rate=45)
    sending.measure()
    sending.sender.outbox.hold(STEER, 0, [1])
    sending.frames(600, rate=600)
    assert 44 <= sending.frames(600, rate=600) <= 46


def test_packets_leave_exactly_where_the_rate_has_them_leave() -> None:
    sending = Sending(command_rate=4)
    sending.measure()
    sending.sender.outbox.hold(STEER, 0, [1])
    left = [frame for frame in range(1, 641) if sending.frames(1, rate=64)]
    assert left == [1, *range(16, 641, 16)]


def test_from_two_per_cent_of_loss_on_what_is_done_ahead_leaves_twice() -> None:
    for arrived, packets in ((98, 12), (99, 6)):
        sending = settled(ahead=True)
        sending.peer.session.path.count(arrived, 2)
        sending.sender.outbox.hold(STEER, 0, [1])
        assert sending.frames(6) == packets


def test_all_actions_that_a_tick_takes_leave_at_once_after_a_pause() -> None:
    sending = Sending()
    sending.measure()
    sending.frames(60)
    ticks = sending.ticks
    began = ticks.tick
    while ticks.tick == began:
        sending.frames(1, rate=100 * RATE)
    for _ in range(8):
        sending.sender.outbox.act(SHOOT, 0, [])
        assert sending.frames(1, rate=100 * RATE) == 1


def test_where_packets_get_lost_what_is_done_ahead_leaves_twice_until_it_is_acked() -> None:
    def sent(*, ahead: bool = True, loss: float = 0.2, rate: float | None = None) -> list[int]:
        """The packets for a second in which nothing is done, of what is done then, of its ack."""
        sending = Sending(rate)
        sending.measure()
        outbox = sending.sender.outbox
        sending.frames(RATE)
        sending.sender.run_ahead(ahead)
        sending.peer.session.path.count(100, round(100 * loss / (1 - loss)))
        outbox.acked(1 << 40)
        found = [sending.frames(RATE)]
        outbox.hold(STEER, 0, [1])
        found.append(sending.frames(RATE // 10))
        outbox.acked(outbox._number)
        found.append(sending.frames(RATE // 10))
        outbox.act(SHOOT, 0, [])
        found.append(sending.frames(10 * RATE))
        packets = [msgspec.msgpack.encode(payload) for payload in sending.payloads]
        assert (len(packets) > len(set(packets))) is (ahead and loss > 0.02 and rate is None)
        return found

    quiet, held, acked, acted = once = sent(ahead=False)
    assert (quiet, held, acked) == (RATE, RATE // 10, RATE // 10)
    assert sent() == [quiet, 2 * held, acked, pytest.approx(1.5 * acted + 4, abs=5)]
    assert sent(loss=0.01) == once
    assert sent(rate=20) == sent(rate=20, ahead=False)


def settled(ahead: bool) -> Sending:
    """A client whose clock has settled, and that runs ahead or does not."""
    sending = Sending()
    sending.measure()
    sending.frames(60)
    sending.sender.run_ahead(ahead)
    return sending


def test_who_runs_ahead_acts_with_the_next_tick_and_is_told_of_each() -> None:
    """The tick that runs has been through already."""
    for ahead in (False, True):
        sending = settled(ahead)
        outbox, ticks = sending.sender.outbox, sending.sender.ticks
        assert ticks is not None
        outbox.hold(STEER, 0, [1])
        acted: list[int] = []
        begun = []
        for frame in range(10 * RATE):  # ten frames in each tick
            if frame % 25 == 7:
                outbox.act(SHOOT, 0, [])
                acted.append(ticks.tick)
            sending.frames(1, rate=10 * RATE)
            begun += outbox.take_begun()
        # A frame of no ticks is one of actions between them.
        between = [f for *_, frames in sending.payloads for f in frames if f[1] == 0]
        assert bool(between) is not ahead
        assert len(begun) == ahead * RATE or abs(len(begun) - RATE) <= 2 * ahead
        if ahead:
            done = [each.tick for each in begun for _ in each.actions]
            assert [tick - 1 for tick in done] == acted
            assert all(each.held is begun[0].held for each in begun)
            assert len(begun[0].held) == 1


@pytest.mark.parametrize("every", [1, 8])
@pytest.mark.parametrize("ahead", [False, True])
def test_what_is_done_while_the_clock_is_paused_is_done_later(ahead: bool, every: int) -> None:
    """Of who runs ahead too: the ticks that begin afterwards have been through nowhere."""
    sending = settled(ahead)
    outbox, ticks = sending.sender.outbox, sending.sender.ticks
    assert ticks is not None
    begun = []
    paused = 0  # the first frame of the pause
    for frame in range(1, 5 * RATE + 1):
        sending.now += 1 / RATE
        if frame % every == 0:
            outbox.act(SHOOT, 0, [frame])
        sending.sender.send(sending.store, sending.now, joined=True)
        begun += outbox.take_begun()
        paused = paused or (frame if ticks.paused else 0)
    assert 0 < paused < RATE
    sending.frames(30)
    begun += outbox.take_begun()
    acted = [*range(every, 5 * RATE + 1, every)]
    if ahead:
        waited = [frame for frame in acted if frame >= paused]
        acted = [frame for frame in acted if frame < paused] + waited[-BACKLOG:]
        done = [msgspec.msgpack.decode(action) for tick in begun for action in tick.actions]
        assert [frame for _, _, (frame,) in done] == acted
    assert (outbox.waiting, outbox.sent) == (0, 5 * RATE // every)
    assert outbox.expired == outbox.sent - len(acted)
    packed = outbox.pack(1 << 20)  # nothing is acked
    assert packed is not None
    frames = msgspec.msgpack.decode(encode(packed.frames))
    assert [frame for _, _, actions in frames for _, _, (frame,) in actions] == acted


def test_before_it_is_in_the_game_who_runs_ahead_keeps_actions() -> None:
    sending = Sending()
    sending.sender.run_ahead(True)
    sending.joined = False
    sending.sender.outbox.act(SHOOT, 0, [])
    sending.frames(60)
    assert sending.sender.outbox.waiting == 1


def test_ticks_begin_once_in_a_poll() -> None:
    sending = Sending()
    sending.measure()
    sending.frames(60)
    sending.now += 3 / RATE
    begun = sending.sender.begin_ticks(sending.store, sending.now, joined=True)
    assert len(begun) == 3
    before = sending.sent
    sending.sender.send(sending.store, sending.now, joined=True)
    assert sending.sent == before + 1  # it says what has begun
    assert sending.sender.ticks is not None
    assert sending.sender.ticks.tick == begun[-1]


def test_another_room_forgets_what_is_for_entities_of_the_last() -> None:
    sending = Sending()
    sending.measure()
    outbox = sending.sender.outbox
    outbox.hold(STEER, 0, [1])
    outbox.hold(STEER, 5, [1])
    outbox.hold(AIM, 0, [5])
    outbox.act(SHOOT, 5, [])
    sending.frames(30)
    assert outbox.pending
    before = sending.sender.ticks
    sending.sender.leave_room(SCHEMA.commands)
    sending.sender.enter_room(sending.welcome)
    assert outbox.held == [(STEER, 0)]
    assert not outbox.pending
    assert sending.sender.ticks is not before


@pytest.mark.parametrize("rewind", [0.0, 0.35])
def test_what_is_drawn_is_said_where_the_server_looks_back(rewind: float) -> None:
    sending = Sending()
    sending.measure()
    sending.sender.note_drawn(90.5)  # in a room that looks back by nothing
    assert sending.sender.outbox.drawn is None
    sending.sender.leave_room(SCHEMA.commands)
    sending.sender.enter_room(msgspec.structs.replace(sending.welcome, rewind=rewind))
    sending.sender.note_drawn(90.53)
    assert sending.sender.outbox.drawn == (1448 if rewind else None)
    sending.sender.outbox.hold(STEER, 0, [1])
    sending.frames(30)
    frames = [frame for payload in sending.payloads for frame in payload[3]]
    assert len(frames) > 10
    assert {len(frame) for frame in frames} == {4 if rewind else 3}
    sending.sender.note_drawn(None)
    assert sending.sender.outbox.drawn is None


@pytest.mark.parametrize("joined", [True, False])
def test_outside_of_a_room_the_session_goes_on(joined: bool) -> None:
    sent: list[bytes] = []
    peer: Peer[msgspec.Raw] = Peer(RAW)
    peer.relink(
        Connection(None, b"8 bytes.", 0.0, server=False), ADDRESS, lambda data, _: sent.append(data)
    )
    sender = CommandSender(peer)
    for frame in range(120):
        sender.send(None, frame / 60, joined=joined)
    assert 0 < len(sent) < 60
    sent.clear()
    peer.queue(b"hello")
    CommandSender(peer).send(None, 0.0, joined=joined)
    assert len(sent) == 1  # at once, whatever the clock says
