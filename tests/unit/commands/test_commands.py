from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.commands.frames import ACTIONS_A_TICK, HELD_STATES, Frame, Input, frames_gate
from ecsnet.commands.inbox import Inbox, ReceivedCommand
from ecsnet.commands.inbox import __file__ as inbox_file
from ecsnet.commands.outbox import BACKLOG, COMMAND_BYTES, HELD_BYTES, CommandPayload, Outbox
from ecsnet.errors import BadMessageError, UsageError
from ecsnet.schema import Between, Gate, MaxLen, Registry, command, encode, use_registry
from tests.unit.counting import instructions

with use_registry(Registry()) as registry:

    @command
    class Shoot:
        number: int = 0

    @command
    class Say:
        text: Annotated[str, MaxLen(400)] = ""

    @command(hold=True)
    class Steer:
        dx: Annotated[int, Between(-1000, 1000)] = 0

    @command(hold=True)
    class Aim:
        x: float = 0.0


SCHEMA = registry.schema()
ID = {cls: SCHEMA.command_id_of[cls] for cls in (Shoot, Say, Steer, Aim)}
FRAMES = frames_gate(SCHEMA)
GATE: Gate[Input] = Gate(Input, 1200)
EPOCH = 77


def over_the_wire(packed: CommandPayload) -> Input:
    decoded = GATE.decode(encode((EPOCH, packed.number, packed.tick, packed.frames)))
    assert decoded is not None
    return decoded


def hand_over(outbox: Outbox, inbox: Inbox, next_tick: int, limit: int = 700) -> int:
    """One packet, received; returns what `Inbox.receive_frames` does."""
    packed = outbox.pack(limit)
    assert packed is not None
    whole = over_the_wire(packed)
    fresh = inbox.receive_frames(*whole[1:], next_tick)
    outbox.acked(packed.through)
    return fresh


def values(entries: Sequence[ReceivedCommand]) -> list[object]:
    return [entry.value for entry in entries]


def settled(outbox: Outbox, inbox: Inbox) -> bool:
    return outbox.sent == inbox.applied + inbox.expired + inbox.superseded + outbox.expired


def test_held_command_comes_once_in_each_tick() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    outbox.hold(ID[Steer], 0, Steer(1))
    outbox.stamp(range(10, 13))
    assert hand_over(outbox, inbox, 10) == 10
    for tick in (10, 11, 12):
        (entry,) = inbox.take(tick)
        assert entry.value == Steer(1)
        assert entry.kind.cls is Steer
        assert entry.target == 0
    assert inbox.applied == outbox.sent == 3


def test_unchanged_ticks_are_one_frame() -> None:
    outbox = Outbox()
    outbox.hold(ID[Steer], 0, Steer(1))
    outbox.stamp(range(10, 12))
    for tick in range(12, 70):
        outbox.hold(ID[Steer], 0, Steer(1))
        outbox.stamp(range(tick, tick + 1))
    packed = outbox.pack(700)
    assert packed is not None
    assert [frame[:2] for frame in packed.frames] == [(0, 60)]
    assert len(encode((EPOCH, packed.number, packed.tick, packed.frames))) < 24


def test_what_the_server_cannot_guess_is_urgent_until_it_is_acked() -> None:
    outbox = Outbox()
    assert not outbox.urgent

    def stamped(tick: int) -> list[bool]:
        """Stamp two ticks; whether they are urgent, and once the first, and both, are acked."""
        through = []
        for each in (tick, tick + 1):
            outbox.stamp(range(each, each + 1))
            packed = outbox.pack(700)
            through.append(0 if packed is None else packed.through)
        found = [outbox.urgent]
        for acked in through:
            outbox.acked(acked)
            found.append(outbox.urgent)
        return found

    outbox.hold(ID[Steer], 0, Steer(1))
    assert stamped(10) == [True, False, False]
    outbox.hold(ID[Steer], 0, Steer(1))
    assert stamped(12) == [False, False, False]
    outbox.act(ID[Shoot], 0, Shoot(1))
    assert stamped(14) == [True, False, False]
    outbox.drawn = 100
    outbox.stamp(range(16, 17))
    outbox.drawn = 300  # ticks that differ in what was drawn, and in nothing else
    assert stamped(17) == [False, False, False]
    outbox.stamp(range(19, 20))
    outbox.release(ID[Steer], 0)
    outbox.stamp(range(20, 21))
    outbox.acked(10)
    assert outbox.urgent
    outbox.acked(11)
    assert not outbox.urgent


def test_held_gap_repeats_the_last_for_a_quarter_of_a_second() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    outbox.hold(ID[Steer], 0, Steer(1))
    outbox.stamp(range(100, 101))
    hand_over(outbox, inbox, 100)
    seen = [tick for tick in range(100, 160) if values(inbox.take(tick)) == [Steer(1)]]
    assert seen == list(range(100, 116))
    assert inbox.applied == 1


def test_released_command_stops_at_once() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    outbox.hold(ID[Steer], 0, Steer(1))
    outbox.hold(ID[Aim], 5, Aim(2.0))
    outbox.stamp(range(1, 3))
    outbox.release(ID[Steer], 0)
    outbox.stamp(range(3, 4))
    outbox.release_all(5)
    outbox.release_all(6)
    outbox.stamp(range(4, 5))
    hand_over(outbox, inbox, 1)
    seen = [values(inbox.take(tick)) for tick in range(1, 8)]
    both = [Steer(1), Aim(2.0)]
    assert seen == [both, both, [Aim(2.0)], [], [], [], []]
    assert settled(outbox, inbox)
    assert inbox.applied == 5


def test_late_held_commands_are_superseded_but_the_newest() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    for tick in range(10, 15):
        outbox.hold(ID[Steer], 0, Steer(tick))
        outbox.stamp(range(tick, tick + 1))
    hand_over(outbox, inbox, 20)
    assert inbox.superseded == 4
    assert values(inbox.take(20)) == [Steer(14)]
    assert (inbox.applied, inbox.superseded) == (1, 4)
    for tick in range(15, 18):
        outbox.hold(ID[Steer], 0, Steer(tick))
        outbox.stamp(range(tick, tick + 1))
        hand_over(outbox, inbox, 21)
    assert values(inbox.take(21)) == [Steer(17)]
    assert settled(outbox, inbox)


def test_tick_of_its_own_supersedes_a_late_one() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    for tick in (19, 20):
        outbox.hold(ID[Steer], 0, Steer(tick))
        outbox.stamp(range(tick, tick + 1))
    hand_over(outbox, inbox, 20)
    assert values(inbox.take(20)) == [Steer(20)]
    assert (inbox.applied, inbox.superseded) == (1, 1)


def test_actions_go_with_the_first_tick_or_the_running_one() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    outbox.act(ID[Shoot], 0, Shoot(1))
    outbox.stamp(range(0))
    assert not outbox.pending  # no tick has begun yet
    outbox.stamp(range(10, 12))
    outbox.act(ID[Shoot], 0, Shoot(2))
    outbox.stamp(range(0))
    outbox.stamp(range(12, 13))
    hand_over(outbox, inbox, 10)
    assert [values(inbox.take(tick)) for tick in (10, 11, 12)] == [[Shoot(1)], [Shoot(2)], []]
    assert outbox.sent == inbox.applied == 2


def test_action_alone_after_everything_was_acked() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    outbox.hold(ID[Steer], 0, Steer(1))
    outbox.stamp(range(10, 11))
    hand_over(outbox, inbox, 10)
    assert not outbox.pending
    outbox.hold(ID[Steer], 0, Steer(2))
    outbox.act(ID[Shoot], 3, Shoot(1))
    outbox.stamp(range(0))
    assert hand_over(outbox, inbox, 10) == -1
    assert values(inbox.take(10)) == [Steer(1), Shoot(1)]
    outbox.stamp(range(11, 12))
    hand_over(outbox, inbox, 11)
    assert values(inbox.take(11)) == [Steer(2)]
    assert settled(outbox, inbox)


def test_late_actions_come_at_the_next_tick_from_a_budget() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    for tick in range(10, 15):
        for number in range(ACTIONS_A_TICK):
            outbox.act(ID[Shoot], 0, Shoot(tick * 10 + number))
        outbox.stamp(range(tick, tick + 1))
    hand_over(outbox, inbox, 100)
    taken = [values(inbox.take(tick)) for tick in range(100, 106)]
    assert [len(batch) for batch in taken] == [16, 8, 8, 8, 0, 0]
    wanted = [Shoot(tick * 10 + number) for tick in range(10, 15) for number in range(8)]
    assert [value for batch in taken for value in batch] == wanted


def test_too_many_waiting_actions_expire_oldest_first() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    count = 0
    for tick in range(37):  # 40 more than the 256 that may wait
        for _ in range(ACTIONS_A_TICK):
            outbox.act(ID[Shoot], 0, Shoot(count))
            count += 1
        outbox.stamp(range(tick, tick + 1))
        hand_over(outbox, inbox, 500)
    assert inbox.expired == 40
    first = inbox.take(500)[0]
    assert first.value == Shoot(40)
    for tick in range(501, 600):
        inbox.take(tick)
    assert settled(outbox, inbox)
    assert inbox.applied == count - 40


def test_more_than_eight_actions_in_a_tick_raise() -> None:
    outbox = Outbox()
    outbox.stamp(range(1, 2))
    for number in range(ACTIONS_A_TICK):
        outbox.act(ID[Shoot], 0, Shoot(number))
        outbox.stamp(range(0))
    with pytest.raises(UsageError) as caught:
        outbox.act(ID[Shoot], 0, Shoot())
    assert str(caught.value) == (
        "more than 8 commands in one tick: each of them is an action that happens once; for the"
        " state of a key or stick use @net.command(hold=True), and where they are actions, send the"
        " rest in a later frame"
    )
    outbox.stamp(range(2, 3))
    outbox.act(ID[Shoot], 0, Shoot())


def test_a_silent_network_never_makes_act_raise() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    for number in range(3 * BACKLOG):
        outbox.act(ID[Shoot], 0, Shoot(number))
        outbox.idle()
        outbox.stamp(range(0))
    assert outbox.sent == outbox.expired == 2 * BACKLOG
    outbox.stamp(range(50, 70))
    taken: list[object] = []
    for tick in range(50, 70):
        if outbox.pending:
            hand_over(outbox, inbox, tick)
        taken += values(inbox.take(tick))
    assert taken == [Shoot(number) for number in range(2 * BACKLOG, 3 * BACKLOG)]
    assert settled(outbox, inbox)


def test_after_a_pause_a_tick_takes_as_many_actions_as_any() -> None:
    outbox = Outbox()
    outbox.act(ID[Shoot], 0, Shoot(0))
    outbox.idle()
    for number in range(1, 9):
        outbox.act(ID[Shoot], 0, Shoot(number))
    with pytest.raises(UsageError, match="more than 8 commands in one tick"):
        outbox.act(ID[Shoot], 0, Shoot(9))


def test_without_a_tick_and_an_action_there_is_no_frame() -> None:
    outbox = Outbox()
    outbox.hold(ID[Steer], 0, Steer(1))
    outbox.stamp(range(10, 11))
    outbox.stamp(range(0))
    packed = outbox.pack(700)
    assert packed is not None
    assert [frame[:2] for frame in packed.frames] == [(0, 1)]


def test_where_it_runs_ahead_each_tick_tells_what_is_held_and_done_in_it() -> None:
    outbox = Outbox()
    outbox.ahead = True
    outbox.hold(ID[Steer], 5, Steer(1))
    outbox.act(ID[Shoot], 0, Shoot(1))
    outbox.stamp(range(10, 12))
    outbox.act(ID[Shoot], 0, Shoot(2))
    outbox.stamp(range(0))  # it waits for the next tick
    outbox.stamp(range(12, 13))
    held = {(ID[Steer], 5): encode((ID[Steer], 5, Steer(1)))}
    shots = [encode((ID[Shoot], 0, Shoot(number))) for number in (1, 2)]
    assert [
        (begun.tick, {key: bytes(raw) for key, raw in begun.held.items()}, [*map(bytes, actions)])
        for begun in outbox.take_begun()
        for actions in [begun.actions]
    ] == [(10, held, shots[:1]), (11, held, []), (12, held, shots[1:])]


def test_what_is_let_go_for_one_target_is_held_for_others() -> None:
    outbox = Outbox()
    for target in (4, 5, 6):
        outbox.hold(ID[Steer], target, Steer(1))
    outbox.release_all(5)
    assert outbox.held == [(ID[Steer], 4), (ID[Steer], 6)]


def test_frames_with_different_states_are_not_merged() -> None:
    outbox = Outbox()
    outbox.hold(ID[Steer], 0, Steer(1))
    outbox.stamp(range(10, 11))
    outbox.hold(ID[Aim], 0, Aim(1.0))
    outbox.stamp(range(11, 12))
    packed = outbox.pack(1)
    assert packed is not None
    assert msgspec.msgpack.decode(encode(packed.frames)) == [[0, 1, [[ID[Steer], 0, [1]]]]]
    outbox.acked(1)
    outbox.stamp(range(20, 21))  # ticks apart are not merged, either
    packed = outbox.pack(1)
    assert packed is not None
    assert (packed.tick, packed.frames[0][1], packed.through) == (11, 1, 2)


def test_unacked_ticks_are_bounded() -> None:
    outbox = Outbox()
    for tick in range(1000):
        outbox.act(ID[Shoot], 0, Shoot(tick))
        outbox.stamp(range(tick, tick + 1))
    assert outbox.sent == 512 + (1000 - 512 - 64)  # stamped, and expired here
    assert outbox.expired == 1000 - 512 - 64


def test_limits_on_what_is_held_and_sent() -> None:
    outbox = Outbox()
    for target in range(HELD_STATES):
        outbox.hold(ID[Steer], target, Steer(1))
    with pytest.raises(UsageError, match="held at a time"):
        outbox.hold(ID[Steer], HELD_STATES, Steer(1))
    outbox.hold(ID[Steer], 5, Steer(2))
    outbox = Outbox()
    for target in range(HELD_BYTES // 13):
        outbox.hold(ID[Aim], target, Aim(0.1))
    with pytest.raises(UsageError, match=rf"at most {HELD_BYTES} fit all together"):
        outbox.hold(ID[Aim], HELD_STATES, Aim(0.1))
    with pytest.raises(UsageError, match=f"at most {COMMAND_BYTES} fit"):
        outbox.act(ID[Say], 0, Say("x" * 400))


def test_states_may_take_256_bytes_and_not_one_more() -> None:
    outbox = Outbox()
    for target in range(19):
        outbox.hold(ID[Aim], target, Aim(0.1))  # 13 bytes each
    outbox.hold(ID[Steer], 1000, Steer(1000))
    assert len(encode((ID[Steer], 1000, Steer(1000)))) == 256 - 19 * 13
    with pytest.raises(UsageError, match="held commands take 261 bytes encoded, at most 256 fit"):
        outbox.hold(ID[Steer], 1, Steer(1))
    outbox.hold(ID[Steer], 1000, Steer(999))  # it takes the place of the one before
    outbox.release(ID[Aim], 0)
    outbox.hold(ID[Aim], 20, Aim(0.1))
    assert len(outbox.held) == 20


def largest() -> Say:
    """An action of as many bytes as one may take."""
    head = len(encode((ID[Say], 0, Say("x" * 300)))) - 300
    return Say("x" * (320 - head))


def test_an_action_may_take_320_bytes_and_not_one_more() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    with pytest.raises(UsageError, match="a command of 321 bytes encoded: at most 320 fit"):
        outbox.act(ID[Say], 0, Say(largest().text + "x"))
    outbox.act(ID[Say], 0, largest())
    outbox.stamp(range(1, 2))
    hand_over(outbox, inbox, 1)
    assert values(inbox.take(1)) == [largest()]


@pytest.mark.parametrize("drawn", [None, 16])
def test_it_is_crowded_where_the_largest_frame_would_not_fit(drawn: int | None) -> None:
    crowded = []
    for limit in range(340, 380):
        outbox = Outbox()
        outbox.drawn = drawn
        outbox.act(ID[Shoot], 0, Shoot(1))
        outbox.stamp(range(10, 11))
        crowded.append(outbox.crowded(limit))
        outbox.act(ID[Say], 0, largest())
        outbox.stamp(range(11, 12))
        packed = outbox.pack(limit)
        assert packed is not None
        assert (len(packed.frames) < 2) is crowded[-1]
    assert set(crowded) == {True, False}


def test_it_is_crowded_before_a_change_of_all_that_is_held_does_not_fit() -> None:
    outbox = Outbox()
    tick = 0
    while not outbox.crowded(900):
        tick += 1
        for target in range(15):
            outbox.hold(ID[Aim], target, Aim(tick + target / 16))
        outbox.stamp(range(tick, tick + 1))
        packed = outbox.pack(900)
        assert packed is not None
        assert len(packed.frames) == tick
    assert tick == 2


def test_what_is_let_go_is_within_the_limit_too() -> None:
    fitted = 0
    for limit in range(200, 600):
        outbox = Outbox()
        for target in range(19):
            outbox.hold(ID[Steer], 2**50 + target, Steer(1))
        outbox.stamp(range(1, 2))
        outbox.release_all()
        outbox.stamp(range(2, 3))
        packed = outbox.pack(limit)
        assert packed is not None
        if len(packed.frames) == 2:
            fitted += 1
            assert len(encode(packed.frames)) <= limit
    assert fitted > 90


def test_a_frame_covers_no_more_ticks_than_it_can_say() -> None:
    outbox = Outbox()
    outbox.hold(ID[Steer], 0, Steer(1))
    outbox.stamp(range(1, 70_001))
    packed = outbox.pack(700)
    assert packed is not None
    assert [frame[:2] for frame in packed.frames] == [(0, 0xFFFF), (0, 70_000 - 0xFFFF)]
    assert FRAMES.decode(encode(packed.frames)) is not None


def test_frames_are_merged_up_to_as_many_ticks_as_one_can_say() -> None:
    outbox = Outbox()
    end = 1
    for dx, count in ((1, 65_000), (2, 535), (3, 1)):
        outbox.hold(ID[Steer], 0, Steer(dx))
        outbox.stamp(range(end, end + count))
        end += count
    packed = outbox.pack(1)
    assert packed is not None
    assert [frame[:2] for frame in packed.frames] == [(0, 0xFFFF)]
    assert packed.through == 0xFFFF


def test_two_frames_that_do_not_fit_are_one() -> None:
    outbox = Outbox()
    for tick in (10, 11):
        outbox.hold(ID[Steer], 0, Steer(tick))
        outbox.stamp(range(tick, tick + 1))
    packed = outbox.pack(1)
    assert packed is not None
    assert packed.through == 2
    assert msgspec.msgpack.decode(encode(packed.frames)) == [[0, 2, [[ID[Steer], 0, [11]]]]]


def test_large_actions_spread_over_ticks() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    for number in range(4):
        outbox.act(ID[Say], 0, Say(str(number) * 120))
    for tick in range(4):
        outbox.stamp(range(tick, tick + 1))
    hand_over(outbox, inbox, 0)
    assert [len(inbox.take(tick)) for tick in range(4)] == [2, 2, 0, 0]


def test_oldest_ticks_are_merged_where_they_do_not_fit() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    for tick in range(200):
        outbox.hold(ID[Aim], 0, Aim(tick + 0.5))
        outbox.hold(ID[Steer], 0, Steer(tick))
        if tick == 150:
            outbox.act(ID[Shoot], 0, Shoot(tick))
        outbox.stamp(range(tick, tick + 1))
    packed = outbox.pack(700)
    assert packed is not None
    assert len(encode(packed.frames)) <= 700
    assert packed.through == 200
    hand_over(outbox, inbox, 190)
    assert values(inbox.take(190)) == [Aim(190.5), Steer(190), Shoot(150)]
    for tick in range(191, 200):
        assert values(inbox.take(tick)) == [Aim(tick + 0.5), Steer(tick)]
    assert settled(outbox, inbox)
    assert inbox.applied == 21
    assert inbox.superseded == 2 * 190


def test_ticks_that_were_left_out_make_a_gap() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    outbox.hold(ID[Steer], 0, Steer(1))
    outbox.stamp(range(10, 12))
    outbox.stamp(range(40, 42))
    packed = outbox.pack(700)
    assert packed is not None
    assert [frame[:2] for frame in packed.frames] == [(0, 2), (28, 2)]
    hand_over(outbox, inbox, 10)
    seen = [tick for tick in range(10, 45) if inbox.take(tick)]
    assert seen == [*range(10, 27), *range(40, 45)]
    assert inbox.applied == outbox.sent == 4


def test_a_gap_is_one_in_a_packet_of_a_single_frame_too() -> None:
    inbox = Inbox(60, FRAMES)
    raw = msgspec.Raw(encode([(3, 1, [(ID[Steer], 0, (7,))])]))
    assert inbox.receive_frames(0, 10, raw, 10) == 13
    assert [len(inbox.take(tick)) for tick in range(10, 15)] == [0, 0, 0, 1, 1]
    assert (inbox.number, inbox.applied) == (1, 1)


def test_partial_ack_keeps_the_rest() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    outbox.act(ID[Shoot], 0, Shoot(1))
    outbox.hold(ID[Steer], 0, Steer(1))
    outbox.stamp(range(10, 12))
    first = outbox.pack(700)
    outbox.stamp(range(12, 14))
    assert first is not None
    whole = over_the_wire(first)
    inbox.receive_frames(*whole[1:], 10)
    outbox.acked(first.through)
    rest = outbox.pack(700)
    assert rest is not None
    assert (rest.number, rest.tick, [frame[:2] for frame in rest.frames]) == (2, 12, [(0, 2)])
    outbox.acked(first.through - 1)
    whole = over_the_wire(rest)
    inbox.receive_frames(*whole[1:], 10)
    outbox.acked(rest.through)
    assert outbox.pack(700) is None
    assert [len(inbox.take(tick)) for tick in range(10, 14)] == [2, 1, 1, 1]
    assert settled(outbox, inbox)


@pytest.mark.parametrize("acked", range(4))
def test_an_ack_within_a_frame_leaves_its_other_ticks(acked: int) -> None:
    outbox = Outbox()
    outbox.act(ID[Shoot], 0, Shoot(1))
    outbox.stamp(range(10, 14))
    outbox.acked(acked)
    packed = outbox.pack(700)
    assert packed is not None
    (frame,) = packed.frames
    actions = frame[2]
    assert isinstance(actions, list)
    assert (packed.number, packed.tick, frame[1]) == (acked, 10 + acked, 4 - acked)
    assert len(actions) == (acked == 0)  # the action is one of the first tick


@pytest.mark.parametrize("number", [0, 2**31 - 30, 2**32 - 30, 2**33 - 30])
def test_numbers_and_ticks_wrap(number: int) -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    start = 2**32 - 30
    outbox._number = inbox.number = number
    outbox.hold(ID[Steer], 0, Steer(1))
    inbox.take(start - 1)
    for tick in range(start, start + 60):
        outbox.stamp(range(tick, tick + 1))
        hand_over(outbox, inbox, tick)
        assert len(inbox.take(tick)) == 1
    assert inbox.applied == outbox.sent == 60


def raw_input(number: int, tick: int, frames: object) -> Input:
    decoded = GATE.decode(encode((EPOCH, number, tick, frames)))
    assert decoded is not None
    return decoded


def feed(inbox: Inbox, next_tick: int, number: int, tick: int, frames: object) -> None:
    whole = raw_input(number, tick, frames)
    inbox.receive_frames(*whole[1:], next_tick)


def test_far_future_is_bounded_and_counted() -> None:
    inbox = Inbox(60, FRAMES)
    steer, shoot = ID[Steer], ID[Shoot]
    feed(inbox, 100, 0, 100, [[0, 0xFFFF, [[steer, 0, [1]]]]])
    assert inbox.rejected == inbox.superseded == 0xFFFF - 60
    feed(inbox, 100, 0xFFFF, 5000, [[0, 1, [[shoot, 0, [7]]]]])
    assert inbox.rejected == 0xFFFF - 60 + 1
    assert inbox.expired == 1
    assert not [tick for tick in range(100, 200) if Shoot(7) in values(inbox.take(tick))]
    assert inbox.applied + inbox.superseded + inbox.expired == 0xFFFF + 1


@pytest.mark.parametrize(
    ("rate", "interval", "update_interval", "horizon"),
    [(60, 0, 0, 60), (60, 0.5, 0, 120), (60, 0, 1, 240), (20, 0.25, 0.5, 60), (5, 0, 0, 8)],
)
def test_who_sends_or_is_told_seldom_may_be_further_ahead(
    rate: int, interval: float, update_interval: float, horizon: int
) -> None:
    inbox = Inbox(rate, FRAMES, interval, update_interval)
    feed(inbox, 100, 0, 99 + horizon, [[0, 1, [[ID[Steer], 0, [1]]]]])
    assert inbox.rejected == 0
    feed(inbox, 100, 1, 100 + horizon, [[0, 1, [[ID[Steer], 0, [2]]]]])
    assert inbox.rejected == 1
    taken = [values(inbox.take(tick)) for tick in range(100, 100 + horizon)]
    assert taken == [[]] * (horizon - 1) + [[Steer(1)]]


def test_a_state_is_repeated_for_a_tick_at_least() -> None:
    inbox = Inbox(2, FRAMES)
    feed(inbox, 10, 0, 10, [[0, 1, [[ID[Steer], 0, [1]]]]])
    assert [len(inbox.take(tick)) for tick in range(10, 13)] == [1, 1, 0]


def test_the_very_first_tick_is_one_like_any_other() -> None:
    inbox = Inbox(60, FRAMES)
    assert inbox.take(0) == ()
    assert inbox.drawn is None
    inbox = Inbox(60, FRAMES)
    shots = [[ID[Shoot], 0, [number]] for number in range(16)]
    feed(inbox, 0, 0, 0, [[0, 1, shots[:8]], [0, 0, shots[8:]]])
    assert values(inbox.take(0)) == [Shoot(number) for number in range(16)]
    inbox = Inbox(60, FRAMES)
    feed(inbox, 0, 0, 0, [[0, 2, [[ID[Steer], 0, [1]]]]])
    assert [values(inbox.take(tick)) for tick in range(2)] == [[Steer(1)]] * 2
    assert (inbox.applied, inbox.superseded) == (2, 0)


def test_actions_come_in_order_whatever_they_are_stamped() -> None:
    inbox = Inbox(60, FRAMES)
    for number, tick in enumerate((105, 150, 110)):
        feed(inbox, 100, number, tick, [[0, 1, [[ID[Shoot], 0, [number]]]]])
    taken = {tick: values(inbox.take(tick)) for tick in range(100, 160)}
    assert {tick: shots for tick, shots in taken.items() if shots} == {
        105: [Shoot(0)],
        110: [Shoot(1), Shoot(2)],
    }


AHEAD = [30, 59, 60, 61, 64, 1000, 2**31 - 1]
"""Ticks by which a stamp is too early; within the horizon, beyond it, and where numbers wrap."""


@pytest.mark.parametrize("ahead", AHEAD)
def test_an_action_stamped_far_ahead_holds_up_none_of_the_next(ahead: int) -> None:
    for next_tick in (100, 2**31 - 10, 2**32 - 10):
        inbox = Inbox(60, FRAMES)
        inbox.take(next_tick - 1)
        shot = [[0, 1, [[ID[Shoot], 0, [1]]]]]
        feed(inbox, next_tick, 0, (next_tick + ahead) % 2**32, shot)
        refused = int(ahead > 60)
        assert (inbox.rejected, inbox.expired) == (refused, refused)
        for number in range(1, 4):
            tick = next_tick + number
            honest = [[0, 1, [[ID[Shoot], 0, [number + 1]]]]]
            feed(inbox, tick, number, tick % 2**32, honest)
            # In order, always: what was stamped too far ahead goes before.
            before = [Shoot(1)] if number == 1 and not refused else []
            assert values(inbox.take(tick)) == [*before, Shoot(number + 1)]
        assert inbox.applied + inbox.expired == 4


@pytest.mark.parametrize("ahead", AHEAD)
def test_a_state_stamped_far_ahead_holds_up_none_of_the_next(ahead: int) -> None:
    for spread in (1, 5):
        inbox = Inbox(60, FRAMES)
        feed(inbox, 100, 0, 100 + ahead, [[0, spread, [[ID[Steer], 0, [-1]]]]])
        number = spread
        for tick in range(100, 180):
            # Some the same as those before, for which there is a shorter way.
            feed(inbox, tick, number, tick, [[0, 1, [[ID[Steer], 0, [tick // 7]]]]])
            number += 1
            assert values(inbox.take(tick)) == [Steer(tick // 7)]
        assert inbox.rejected == spread
        assert (inbox.applied, inbox.superseded) == (80, spread)


def test_a_client_that_goes_back_is_believed_from_there_on() -> None:
    inbox = Inbox(60, FRAMES)
    same = [[0, 1, [[ID[Steer], 0, [5]]]]]
    for number in range(8):
        feed(inbox, 100, number, 120 + number, same)
    feed(inbox, 100, 8, 100, [[0, 3, [[ID[Steer], 0, [6]]]]])
    feed(inbox, 100, 11, 103, [[0, 1, [[ID[Shoot], 0, [1]], [ID[Steer], 0, [7]]]]])
    taken = [values(inbox.take(tick)) for tick in range(100, 104)]
    assert taken == [[Steer(6)], [Steer(6)], [Steer(6)], [Steer(7), Shoot(1)]]
    assert not [tick for tick in range(104, 140) if Steer(5) in values(inbox.take(tick))]
    assert inbox.applied == 5
    assert inbox.superseded == inbox.rejected == 8


@pytest.mark.parametrize("ahead", [200, 70_000, 2**31 - 1, 2**31 + 50, 2**32 - 1])
@pytest.mark.parametrize("cls", [Steer, Shoot])
def test_a_client_that_numbered_a_frame_far_ahead_is_heard_again(ahead: int, cls: type) -> None:
    inbox = Inbox(60, FRAMES)
    number = 0
    for tick in range(100, 110):
        feed(inbox, tick, number, tick, [[0, 1, [[ID[cls], 0, [tick]]]]])
        assert values(inbox.take(tick)) == [cls(tick)]
        number += 1
    far = (number + ahead) % 2**32
    feed(inbox, 110, far, 110, [[0, 1, [[ID[cls], 0, [-1]]]]])
    heard: list[int] = []
    for tick in range(110, 600):
        feed(inbox, tick, number % 2**32, tick, [[0, 1, [[ID[cls], 0, [tick]]]]])
        number += 1
        if cls(tick) in values(inbox.take(tick)):
            heard.append(tick)
    assert heard[-1] == 599
    assert heard[0] < 110 + 2 * 60 + 30
    assert heard == list(range(heard[0], 600))


def test_eight_packets_in_two_seconds_are_a_new_numbering() -> None:
    inbox = Inbox(60, FRAMES)
    feed(inbox, 100, 5000, 100, [[0, 1, [[ID[Shoot], 0, [0]]]]])
    inbox.take(100)
    heard = []
    for count in range(1, 11):
        tick = 100 + 30 * count
        feed(inbox, tick, count, tick, [[0, 1, [[ID[Shoot], 0, [count]]]]])
        heard += [shot.number for shot in values(inbox.take(tick)) if isinstance(shot, Shoot)]
    assert heard == [9, 10]


@pytest.mark.parametrize(("seconds", "heard"), [(119 / 60, False), (120 / 60, True)])
def test_eight_packets_in_less_than_two_seconds_are_late_ones(seconds: float, heard: bool) -> None:
    inbox = Inbox(60, FRAMES)
    feed(inbox, 100, 5000, 100, [[0, 1, [[ID[Shoot], 0, [0]]]]])
    inbox.take(100)
    later = 101 + round(60 * seconds)
    for count in range(1, 9):
        feed(inbox, 101 if count == 1 else later, count, 101, [[0, 1, [[ID[Shoot], 0, [count]]]]])
    feed(inbox, later, 9, later, [[0, 1, [[ID[Shoot], 0, [9]]]]])
    assert values(inbox.take(later)) == [Shoot(9)] * heard


def test_late_packets_are_no_new_numbering() -> None:
    """However many of them come, and whenever: what is in them was taken before."""
    inbox = Inbox(60, FRAMES)
    shots = [[[0, 1, [[ID[Shoot], 0, [number]]]]] for number in range(100)]
    for number in range(100):
        feed(inbox, 100 + number, number, 100 + number, shots[number])
        assert values(inbox.take(100 + number)) == [Shoot(number)]
    for number in range(50):  # held back by the network, all of them at once
        feed(inbox, 200, number, 100 + number, shots[number])
    for tick in range(200, 900):  # and again, while the client says what is new
        if tick % 30 == 0:
            feed(inbox, tick, 100 + tick, tick, [[0, 1, [[ID[Shoot], 0, [tick]]]]])
        else:
            late = tick % 50
            feed(inbox, tick, late, 100 + late, shots[late])
        assert values(inbox.take(tick)) == ([Shoot(tick)] if tick % 30 == 0 else [])
    for tick in range(900, 1500):  # what was not acked comes again, too
        feed(inbox, tick, 100 + 870, 870, [[0, 1, [[ID[Shoot], 0, [870]]]]])
        if tick % 2:
            feed(inbox, tick, tick % 50, 100, shots[tick % 50])
        assert values(inbox.take(tick)) == []
    assert inbox.applied == 100 + len(range(210, 900, 30))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_is_stamped_all_is_counted_and_the_next_is_in_time(seed: int) -> None:
    dice = random.Random(seed)
    inbox = Inbox(60, FRAMES)
    number = sent = 0
    for tick in range(100, 140):
        for _ in range(dice.randrange(4)):
            stamp = tick + dice.choice((1, 20, 59, 60, 61, 500, -1, -30, -90))
            kind, count = dice.choice(((Shoot, 0), (Shoot, 1), (Steer, 1), (Steer, 30)))
            feed(inbox, tick, number, stamp, [[0, count, [[ID[kind], 0, [-1]]]]])
            number += count or 1
            sent += count or 1
        shoot, steer = [ID[Shoot], 0, [tick]], [ID[Steer], 0, [tick]]
        feed(inbox, tick, number, tick, [[0, 1, [shoot, steer]]])
        number += 1
        sent += 2
        taken = values(inbox.take(tick))
        assert Shoot(tick) in taken
        assert Steer(tick) in taken
    for tick in range(140, 300):
        inbox.take(tick)
    assert sent == inbox.applied + inbox.superseded + inbox.expired


def test_repeated_ticks_under_new_numbers_change_nothing() -> None:
    inbox = Inbox(60, FRAMES)
    for number in range(1000):
        feed(inbox, 100, number, 130, [[0, 1, [[ID[Steer], 0, [number]]]]])
    assert inbox.rejected == 999
    assert [values(inbox.take(tick)) for tick in range(100, 131)][-1] == [Steer(0)]
    assert inbox.applied + inbox.superseded == 1000


@pytest.mark.parametrize("first", [0, 10])
@pytest.mark.parametrize("skipped", [1, 3, 1000])
def test_of_ticks_that_were_skipped_the_newest_is_still_good(skipped: int, first: int) -> None:
    inbox = Inbox(60, FRAMES)
    for n in range(4):
        feed(inbox, first, n, first + n, [[0, 1, [[ID[Steer], 0, [n]]]]])
    assert values(inbox.take(first + skipped)) == [Steer(min(skipped, 3))]
    assert (inbox.applied, inbox.superseded) == (1, min(skipped, 3))
    assert values(inbox.take(first + 1 + skipped)) == [Steer(min(skipped + 1, 3))]


def test_states_that_stay_the_same_are_counted_when_ticks_are_skipped() -> None:
    inbox = Inbox(60, FRAMES)
    frames = [[0, 1, [[ID[Steer], 0, [5]]]]]
    for n in range(3):
        feed(inbox, 1, n, 1 + n, frames)
    feed(inbox, 4, 3, 4, frames)  # nobody took the first three, and this one is their successor
    assert (values(inbox.take(4)), values(inbox.take(5))) == ([Steer(5)], [Steer(5)])
    assert (inbox.applied, inbox.superseded) == (1, 3)
    for n in range(4, 7):
        feed(inbox, 6, n, 2 + n, frames)
    feed(inbox, 6, 7, 9, [[0, 1, [[ID[Steer], 0, [6]]]]])
    assert [values(inbox.take(tick)) for tick in range(6, 10)] == [[Steer(5)]] * 3 + [[Steer(6)]]
    assert (inbox.applied, inbox.superseded) == (5, 3)


def test_more_actions_or_states_than_allowed_are_cut() -> None:
    inbox = Inbox(60, FRAMES)
    feed(inbox, 1, 0, 1, [[0, 1, [[ID[Shoot], 0, [n]] for n in range(40)]]])
    assert inbox.rejected == 32
    assert values(inbox.take(1)) == [Shoot(n) for n in range(8)]
    feed(inbox, 2, 1, 2, [[0, 1, [[ID[Steer], n, [0]] for n in range(40)]]])
    assert inbox.rejected == 40
    assert len(inbox.take(2)) == HELD_STATES
    feed(inbox, 3, 2, 3, [[0, 1, [[ID[Shoot], 0, [n]] for n in range(9)]]])  # one too many
    assert (inbox.rejected, inbox.expired) == (41, 33)


@pytest.mark.parametrize(
    "data",
    [
        [EPOCH, 0, 0, [[0, 1, [["steer", 0, [1]]]]]],
        [EPOCH, 0, 0, [[0, 1, [[ID[Steer], 0, [1001]]]]]],
        [EPOCH, 0, 0, [[0, 1, [[ID[Steer], -1, [1]]]]]],
        [EPOCH, 0, 0, [[0, 1, [[ID[Steer], 2**53 + 1, [1]]]]]],
        [EPOCH, 0, 0, [[0, 1, [[ID[Steer], 0, [1], 0]]]]],
        [EPOCH, 0, 0, [[0, 1, [[ID[Aim], 0, [float("nan")]]]]]],
        [EPOCH, 0, 0, [[0, 1, [[ID[Shoot], 0, None]]]]],
        [EPOCH, 0, 0, [[0, 0x10000, []]]],
        [EPOCH, 0, 2**32, []],
        [EPOCH, 0, 0, [[0, 1, [[ID[Steer], 0, [1]]] * 41]]],
        [EPOCH, 0, 0, [], 1],
        [EPOCH, 0, 0],
    ],
)
def test_gate_turns_bad_input_away(data: object) -> None:
    gates: tuple[Gate[Input], Gate[list[Frame]]] = Gate(Input, 1200), frames_gate(SCHEMA)
    whole = gates[0].decode(encode(data))
    assert whole is None or gates[1].decode(whole[3]) is None
    assert gates[0].rejected + gates[1].rejected == 1


@pytest.mark.parametrize(
    "frame",
    [
        [0, 0xFFFF, []],
        [2**32 - 1, 1, []],
        [0, 1, [[ID[Steer], 2**53, [1000]]]],
        [0, 1, [[ID[Steer], 0, [1]]] * 40],
        [0, 0, [], 0],
    ],
)
def test_gate_lets_in_what_is_at_its_limits(frame: object) -> None:
    frames = frames_gate(SCHEMA).decode(encode([frame]))
    assert frames is not None
    assert frames[0].behind == 0  # it does not say


def test_bad_frames_raise_and_change_nothing() -> None:
    inbox = Inbox(60, FRAMES)
    feed(inbox, 1, 0, 1, [[0, 1, [[ID[Steer], 0, [1]]]]])
    for bad in ([[0, 1, [[ID[Steer], 0, [1001]]]]], [[0, 1]], 7):
        with pytest.raises(BadMessageError):
            feed(inbox, 1, 1, 2, bad)
    feed(inbox, 1, 1, 2, [[0, 1, [[ID[Steer], 0, [1]]]]])
    assert [values(inbox.take(tick)) for tick in (1, 2)] == [[Steer(1)], [Steer(1)]]
    assert inbox.applied == 2


def test_an_action_said_twice_is_two_objects() -> None:
    inbox = Inbox(60, FRAMES)
    for tick in (1, 2):
        feed(inbox, 1, tick, tick, [[0, 1, [[ID[Say], 0, ["again"]]]]])
    (one,), (other,) = inbox.take(1), inbox.take(2)
    assert one.value == other.value
    assert one is not other
    assert one.value is not other.value


def test_gate_of_a_game_without_commands() -> None:
    with use_registry(Registry()) as empty:
        gate = frames_gate(empty.schema())
    assert gate.decode(encode([[0, 5, []]])) is not None
    assert gate.decode(encode([[0, 5, [[0, 0, [1]]]]])) is None
    assert gate.decode(encode([[0, 5, [None]]])) is None


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.2, 0.5]),
    lead=st.integers(-3, 10),
    limit=st.sampled_from([400, 700]),
)
def test_every_command_is_accounted_for(seed: int, loss: float, lead: int, limit: int) -> None:
    """Loss, reordering and duplicates: actions once and in order, all of it counted."""
    dice = random.Random(seed)
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    wire: list[tuple[int, CommandPayload]] = []
    acks: list[tuple[int, int]] = []
    shots: list[object] = []
    acted = lost = 0
    per_tick = []
    for tick in range(500):
        if tick < 200:
            for cls, highest in ((Steer, 3), (Aim, 5)):
                if dice.random() < 0.3:
                    outbox.hold(ID[cls], dice.randrange(2), cls(dice.randrange(highest)))
                elif dice.random() < 0.1:
                    outbox.release(ID[cls], dice.randrange(2))
            outbox.idle()
            for _ in range(dice.choice((0, 0, 0, 0, 0, 1, 2, 8))):
                outbox.act(ID[Shoot], 0, Shoot(acted))
                acted += 1
            begun = dice.choice((0, 1, 1, 2))
            outbox.stamp(
                range(tick + lead + 3, tick + lead + 3 + begun) if begun == 1 else range(0)
            )
        elif tick == 200:
            outbox.release_all()
            outbox.stamp(range(tick + lead + 3, tick + lead + 4))
        packed = outbox.pack(limit)
        if packed is not None:
            for _ in range(dice.choice((1, 1, 1, 2))):
                if dice.random() < loss and tick < 300:
                    lost += 1
                else:
                    wire.append((tick + dice.randrange(6), packed))
        dice.shuffle(wire)
        for due, arrived in list(wire):
            if due <= tick:
                wire.remove((due, arrived))
                whole = over_the_wire(arrived)
                inbox.receive_frames(*whole[1:], tick)
                if dice.random() >= loss or tick > 300:
                    acks.append((tick + dice.randrange(6), arrived.through))
        for due, through in list(acks):
            if due <= tick:
                acks.remove((due, through))
                outbox.acked(through)
        taken = inbox.take(tick)
        held = [(type(e.value), e.target) for e in taken if e.kind.hold]
        assert len(held) == len(set(held))
        fired = [e.value for e in taken if not e.kind.hold]
        per_tick.append(len(fired))
        shots += fired
    assert not outbox.pending
    assert settled(outbox, inbox)
    assert inbox.expired == outbox.expired == inbox.rejected == 0
    assert shots == [Shoot(number) for number in range(acted)]
    assert acted > 100
    assert max(per_tick) <= 2 * ACTIONS_A_TICK
    assert lost > 0 or loss == 0


@pytest.mark.parametrize("first", [10, 100_000])
def test_tells_its_ticks_at_first_and_while_there_are_commands(first: int) -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)

    def told(ticks: range) -> int:
        stamped = 0
        for tick in ticks:
            outbox.stamp(range(tick, tick + 1))
            if outbox.pending:
                hand_over(outbox, inbox, tick)
                stamped += 1
        return stamped

    # So that the clock is right when it is needed.
    for _ in range(1000):
        outbox.stamp(range(0))  # frames without a tick do not count
    assert told(range(first, first + 60)) == 60
    for _ in range(1000):
        outbox.stamp(range(0))
    assert told(range(first + 60, first + 290)) == 1 + 128 - 60
    outbox.hold(ID[Steer], 0, Steer(1))
    outbox.stamp(range(first + 290, first + 291))
    outbox.release(ID[Steer], 0)
    assert 100 < told(range(first + 291, first + 590)) < 150
    outbox.act(ID[Shoot], 0, Shoot(1))
    outbox.stamp(range(0))
    hand_over(outbox, inbox, first + 589)
    assert values(inbox.take(first + 589)) == [Shoot(1)]
    assert settled(outbox, inbox)
    assert told(range(first + 590, first + 900)) < 150
    outbox.change_room()
    inbox = Inbox(60, FRAMES, number=inbox.number)
    assert 100 < told(range(2 * first, 2 * first + 290)) < 150


def restless_frames(first: int, changes: int, states: int, *, action: bool = False) -> msgspec.Raw:
    """A frame with all states, and then one for each change of one of them."""
    steer, shoot = ID[Steer], ID[Shoot]
    frames: list[object] = [(0, 1, [(steer, target, (first,)) for target in range(1, states + 1)])]
    for number in range(changes):
        commands: list[object] = [(steer, 1 + number % states, (first + number,))]
        if action:
            commands.append((shoot, 0, (number,)))
        frames.append((0, 1, commands))
    return msgspec.Raw(encode(frames))


@pytest.mark.skipif(not inbox_file.endswith(".py"), reason="compiled code has no instructions")
@pytest.mark.parametrize("action", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_a_change_costs_the_same_however_much_is_held(known: bool, action: bool) -> None:
    """Of one of 32 states as of the only one: in frames that are news, and in old ones."""
    costs = []
    for states in (1, HELD_STATES):
        inbox = Inbox(60.0, FRAMES)
        inbox.receive_frames(0, 1, restless_frames(0, 40, states), 1)
        second = restless_frames(1, 40, states, action=action)
        number = 0 if known else 41
        changes = instructions(partial(inbox.receive_frames, number, number + 1, second, 1))
        whole = restless_frames(2, 0, states)
        costs.append(
            changes - instructions(partial(inbox.receive_frames, number, number + 1, whole, 1))
        )
    one, many = costs
    assert one > 40 * 20
    assert many < 1.2 * one


def test_what_is_held_after_each_of_many_changes() -> None:
    inbox = Inbox(60.0, FRAMES)
    inbox.receive_frames(0, 1, restless_frames(0, 40, HELD_STATES), 1)
    expected = dict.fromkeys(range(1, HELD_STATES + 1), 0)
    for tick in range(1, 42):
        if tick > 1:
            expected[1 + (tick - 2) % HELD_STATES] = tick - 2
        taken = inbox.take(tick)
        assert {given.target: given.value.dx for given in taken} == expected  # type: ignore[attr-defined]
    assert inbox.applied == 41 * HELD_STATES


def test_in_another_room_numbers_go_on_and_what_is_held_does_and_nothing_else() -> None:
    outbox, inbox = Outbox(), Inbox(60, FRAMES)
    outbox.hold(ID[Steer], 0, Steer(1))
    outbox.act(ID[Shoot], 0, Shoot(1))
    outbox.stamp(range(500, 510))
    late = outbox.pack(700)
    assert late is not None
    hand_over(outbox, inbox, 500)
    outbox.act(ID[Shoot], 0, Shoot(2))
    outbox.stamp(range(510, 512))
    outbox.act(ID[Shoot], 0, Shoot(3))
    outbox.change_room()
    assert (outbox.sent, outbox.pending, outbox.waiting) == (0, False, 0)
    outbox.act(ID[Shoot], 0, Shoot(4))
    outbox.stamp(range(0))  # no tick has begun there: it waits for one
    assert not outbox.pending
    outbox.stamp(range(7, 9))
    outbox.acked(late.through)  # an ack of the room before says nothing
    other = Inbox(20, FRAMES, number=inbox.number)
    assert hand_over(outbox, other, 5) == 7
    taken = [[(entry.kind.cls, entry.value) for entry in other.take(tick)] for tick in range(5, 9)]
    assert [len(commands) for commands in taken] == [0, 0, 2, 1]
    assert taken[2][1][0] is Shoot
    assert settled(outbox, other)
    # What the first inbox had already is not taken again by one that comes after it.
    again = Inbox(60, FRAMES, number=inbox.number)
    raw = msgspec.Raw(encode(late.frames))
    assert again.receive_frames(late.number, late.tick, raw, 500) == -1
    assert [again.take(tick) for tick in range(500, 512)] == [()] * 12


def test_ticks_of_the_room_before_are_not_told_in_the_next() -> None:
    outbox = Outbox()
    outbox.ahead = True
    outbox.stamp(range(100, 103))
    outbox.change_room()
    outbox.stamp(range(7, 9))
    assert [begun.tick for begun in outbox.take_begun()] == [7, 8]


def test_the_first_tick_in_another_room_has_room_for_as_many_actions_as_any() -> None:
    outbox = Outbox()
    outbox.stamp(range(100, 101))
    for _ in range(3):
        outbox.act(ID[Shoot], 0, Shoot(1))
    outbox.change_room()
    assert outbox.waiting == 0
    for _ in range(ACTIONS_A_TICK):
        outbox.act(ID[Shoot], 0, Shoot(1))
    assert outbox.waiting == ACTIONS_A_TICK
    with pytest.raises(UsageError, match="more than 8 commands in one tick"):
        outbox.act(ID[Shoot], 0, Shoot(1))
