from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from ecsnet.replication.server.owed import OwedValues

TANK, PLACE = 1, 2


def lacked(owed: OwedValues, tick: int = 99) -> int:
    """Since when something is lacked; 100 when nothing is."""
    return tick + 1 - owed.unconfirmed_ticks(tick, whole=False)


def test_what_is_owed_is_lacked_since_its_tick() -> None:
    owed = OwedValues()
    assert (bool(owed), len(owed), lacked(owed)) == (False, 0, 100)
    owed.owe(1, TANK, 44)
    owed.owe(2, TANK, 40)
    owed.owe(1, PLACE, 46)
    assert (bool(owed), len(owed), lacked(owed)) == (True, 2, 40)
    assert [owed.bits(net) for net in (1, 2, 3)] == [TANK | PLACE, TANK, 0]
    owed.drop(2)
    assert lacked(owed) == 44
    owed.drop(1)
    assert (len(owed), lacked(owed)) == (0, 100)


def test_the_oldest_comes_first_and_can_be_postponed() -> None:
    owed = OwedValues()
    for net in (3, 1, 2, 3):
        owed.owe(net, TANK, net)
    assert list(owed) == [3, 1, 2]
    owed.postpone(3)
    assert list(owed) == [1, 2, 3]


def test_what_is_sent_again_is_lacked_since_its_loss_until_its_packets_are_settled() -> None:
    owed = OwedValues()
    owed.owe(1, TANK, 30)
    owed.owe(2, TANK, 41)
    owed.resend(1, TANK, 45, open_from=44)
    owed.resend(2, TANK, 48, open_from=44)
    assert (len(owed), lacked(owed)) == (0, 30)
    owed.settle(45)
    assert lacked(owed) == 30
    owed.settle(46)
    assert lacked(owed) == 41
    owed.settle(49)
    assert (lacked(owed), owed.resends) == (100, {})
    assert not owed._on_their_way


def test_the_one_packet_of_a_tick_makes_up_for_it_itself() -> None:
    owed = OwedValues()
    owed.owe(1, TANK, 41)
    owed.resend(1, TANK, 50, open_from=50)
    assert owed.unconfirmed_ticks(50, whole=False) == 10
    assert owed.unconfirmed_ticks(50, whole=True) == 0
    assert owed.unconfirmed_ticks(51, whole=True) == 11


def test_what_is_sent_again_and_lost_is_lacked_since_the_first_loss() -> None:
    owed = OwedValues()
    owed.owe(1, TANK, 6)
    owed.resend(1, TANK, 9, open_from=7)
    owed.owe(1, TANK, 9)
    owed.settle(10)
    assert lacked(owed) == 6
    owed.resend(1, TANK, 14, open_from=10)
    # What arrives is there: what gets lost later is another matter.
    owed.settle(15)
    owed.owe(1, TANK, 30)
    assert lacked(owed) == 30


def test_what_a_later_packet_lost_is_another_matter_before_the_earlier_is_settled() -> None:
    owed = OwedValues()
    owed.owe(1, TANK, 6)
    owed.resend(1, TANK, 14, open_from=7)
    assert owed.lacked_since(1, 14) == 6
    assert owed.lacked_since(1, 15) == 15
    assert owed.lacked_since(2, 14) == 14


def test_what_is_left_out_while_it_is_on_its_way_is_lacked_since_the_first_loss() -> None:
    owed = OwedValues()
    owed.owe(1, TANK, 6)
    owed.resend(1, TANK, 9, open_from=7)
    owed.owe(1, TANK, 10)  # there was no room for its next value
    owed.resend(1, TANK, 11, open_from=9)
    owed.owe(1, TANK, 9)  # lost
    owed.settle(11)
    assert lacked(owed) == 6
    owed.resend(1, TANK, 12, open_from=11)
    owed.settle(13)
    owed.owe(1, TANK, 14)
    owed.resend(1, TANK, 15, open_from=13)  # what was on its way has arrived
    assert lacked(owed) == 14


def test_the_first_newer_value_of_a_component_makes_up_for_an_older() -> None:
    owed = OwedValues()
    owed.replace(1, TANK, newest=8, tick=1)
    owed.replace(1, TANK, newest=12, tick=5)
    assert list(owed.resends) == [8]
    owed.settle(9)
    assert lacked(owed) == 100


def test_a_newer_value_of_another_component_does_not() -> None:
    owed = OwedValues()
    owed.replace(1, TANK, newest=8, tick=1)
    owed.replace(1, PLACE, newest=12, tick=5)
    owed.settle(9)
    assert lacked(owed) == 1  # the entity, not its component
    # That of the first component may have come with another packet.
    owed.replace(1, TANK, newest=14, tick=10)
    owed.settle(13)
    assert lacked(owed) == 1
    owed.settle(15)
    assert lacked(owed) == 100


def test_one_packet_makes_up_for_two_components() -> None:
    owed = OwedValues()
    owed.replace(1, TANK, newest=8, tick=1)
    owed.replace(1, PLACE, newest=8, tick=2)
    owed.replace(1, TANK, newest=9, tick=3)
    owed.replace(1, PLACE, newest=10, tick=4)
    assert list(owed.resends) == [8]


def test_an_older_packet_makes_up_for_nothing_that_a_newer_one_was_sent_again_in() -> None:
    owed = OwedValues()
    owed.owe(1, TANK, 6)
    owed.resend(1, TANK, 14, open_from=7)
    owed.replace(1, PLACE, newest=11, tick=9)
    owed.settle(12)
    assert lacked(owed) == 6
    owed.replace(1, TANK, newest=17, tick=13)
    assert list(owed.resends) == [14]


def test_what_was_lacked_once_is_not_lacked_for_ever() -> None:
    owed = OwedValues()
    owed.owe(1, TANK, 44)
    owed.owe(1, PLACE, 40)  # since then, altogether
    owed.owe(2, TANK, 40)
    assert lacked(owed) == 40
    owed.drop(1)
    assert lacked(owed) == 40
    owed.drop(2)
    owed.owe(3, TANK, 50)
    assert lacked(owed) == 50


def test_what_was_sent_again_and_has_arrived_is_no_part_of_the_next_loss() -> None:
    owed = OwedValues()
    owed.owe(1, TANK, 6)
    owed.resend(1, TANK, 9, open_from=7)
    owed.owe(1, TANK, 12)
    owed.resend(1, TANK, 13, open_from=10)
    owed.settle(10)
    assert lacked(owed) == 12


def test_a_packet_that_is_lost_makes_up_for_nothing() -> None:
    owed = OwedValues()
    owed.owe(1, TANK, 6)
    owed.resend(1, TANK, 9, open_from=7)
    owed.replace(1, TANK, newest=12, tick=9)
    owed.settle(12)
    assert lacked(owed) == 6
    owed.settle(13)
    assert lacked(owed) == 100


# Against the network, packet by packet.


@dataclass
class Sent:
    """A packet: the component bits of each entity in it, and whether it gets lost."""

    tick: int
    nets: dict[int, int]
    lost: bool
    open: bool = True


@dataclass
class Line:
    """A server that changes, sends, leaves out and sends again, and what its client has of it."""

    owed: OwedValues = field(default_factory=OwedValues)
    changed: dict[tuple[int, int], int] = field(default_factory=dict)
    has: dict[tuple[int, int], int] = field(default_factory=dict)
    packets: list[Sent] = field(default_factory=list)
    tick: int = 0

    def open_from(self) -> int:
        return next((packet.tick for packet in self.packets if packet.open), self.tick)

    def step(self, changes: dict[int, int], left_out: set[int], room: int, lost: bool) -> None:
        self.tick += 1
        nets: dict[int, int] = {}
        for net, bits in changes.items():
            for bit in (TANK, PLACE):
                if bits & bit:
                    self.changed[net, bit] = self.tick
            if net in left_out:
                self.owed.owe(net, bits, self.tick)
            elif bits:
                nets[net] = bits
        for net in [*self.owed][:room]:
            bits = self.owed.bits(net)
            self.owed.resend(net, bits, self.tick, self.open_from())
            nets[net] = nets.get(net, 0) | bits
        if nets:
            self.packets.append(Sent(self.tick, nets, lost))

    def learn(self) -> None:
        """The fate of the oldest packet is known."""
        packet = next((packet for packet in self.packets if packet.open), None)
        if packet is None:
            return
        packet.open = False
        for net, bits in packet.nets.items():
            for bit in (TANK, PLACE):
                if not bits & bit:
                    continue
                if not packet.lost:
                    self.has[net, bit] = max(self.has.get((net, bit), 0), packet.tick)
                elif self.changed[net, bit] <= packet.tick or self.owed.bits(net) & bit:
                    self.owed.owe(net, bit, packet.tick)
                else:
                    self.owed.replace(net, bit, self.changed[net, bit], packet.tick)

    def check(self, history: dict[tuple[int, int], list[int]]) -> None:
        """Check that the client has what is confirmed."""
        confirmed = min(self.open_from() - 1, self.tick)
        self.owed.settle(self.open_from())
        confirmed = min(confirmed, self.tick - self.owed.unconfirmed_ticks(self.tick, whole=False))
        for key, ticks in history.items():
            due = max((tick for tick in ticks if tick <= confirmed), default=0)
            assert self.has.get(key, 0) >= due, (key, ticks, confirmed)


_step = st.tuples(
    st.dictionaries(st.integers(1, 3), st.sampled_from((TANK, PLACE, TANK | PLACE)), max_size=3),
    st.sets(st.integers(1, 3), max_size=2),  # left out
    st.integers(0, 3),  # room for what is owed
    st.booleans(),  # lost
    st.integers(0, 3),  # fates that become known
)


@given(st.lists(_step, max_size=40))
def test_what_is_confirmed_the_client_has_whatever_gets_lost(
    steps: list[tuple[dict[int, int], set[int], int, bool, int]],
) -> None:
    line = Line()
    history: dict[tuple[int, int], list[int]] = {}
    for changes, left_out, room, lost, fates in steps:
        line.step(changes, left_out, room, lost)
        for net, bits in changes.items():
            for bit in (TANK, PLACE):
                if bits & bit:
                    history.setdefault((net, bit), []).append(line.tick)
        line.check(history)
        for _ in range(fates):
            line.learn()
            line.check(history)
    # Once nothing more gets lost, nothing stays lacked.
    for _ in range(3):
        line.step({}, set(), 10, False)
        while any(packet.open for packet in line.packets):
            line.learn()
        line.check(history)
    assert lacked(line.owed, line.tick) == line.tick + 1
    assert not line.owed._on_their_way
    for key, ticks in history.items():
        assert line.has[key] >= ticks[-1]
