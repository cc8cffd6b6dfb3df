"""What was drawn when a player acted: from its client's outbox to the tick on the server."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

import pytest

from ecsnet.commands.frames import FURTHEST_BEHIND, SIXTEENTHS, Input, frames_gate
from ecsnet.commands.inbox import REPEAT_SECONDS, Inbox
from ecsnet.commands.outbox import UNACKED_FRAMES, CommandPayload, Outbox
from ecsnet.schema import Between, Gate, Registry, command, encode, use_registry

with use_registry(Registry()) as registry:

    @command
    class Shoot:
        number: int = 0

    @command(hold=True)
    class Steer:
        dx: Annotated[int, Between(-1000, 1000)] = 0


SCHEMA = registry.schema()
SHOOT, STEER = (SCHEMA.command_id_of[cls] for cls in (Shoot, Steer))
FRAMES = frames_gate(SCHEMA)
GATE: Gate[Input] = Gate(Input, 1200)
RATE = 60
TICK = SIXTEENTHS


def packed(outbox: Outbox, limit: int = 700) -> CommandPayload:
    made = outbox.pack(limit)
    assert made is not None
    return made


def behinds(outbox: Outbox) -> list[tuple[object, object]]:
    """The ticks of each frame, and how far behind it says that others were drawn."""
    return [(frame[1], frame[3] if len(frame) > 3 else 0) for frame in packed(outbox).frames]


def receive(inbox: Inbox, payload: CommandPayload, next_tick: int) -> None:
    decoded = GATE.decode(encode((7, payload.number, payload.tick, payload.frames)))
    assert decoded is not None
    inbox.receive_frames(*decoded[1:], next_tick)


def hand_over(outbox: Outbox, inbox: Inbox, next_tick: int, limit: int = 700) -> None:
    payload = packed(outbox, limit)
    receive(inbox, payload, next_tick)
    outbox.acked(payload.through)


def drawn(inbox: Inbox, ticks: Sequence[int]) -> list[int | None]:
    said = []
    for tick in ticks:
        inbox.take(tick)
        said.append(inbox.drawn)
    return said


def hold(outbox: Outbox, dx: int = 1) -> None:
    outbox.hold(STEER, 0, Steer(dx))


def shoot(outbox: Outbox, number: int = 0) -> None:
    outbox.act(SHOOT, 0, Shoot(number))


def test_who_says_nothing_sends_what_it_always_sent() -> None:
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    hold(outbox)
    shoot(outbox)
    outbox.stamp(range(10, 13))
    assert [len(frame) for frame in packed(outbox).frames] == [3]
    hand_over(outbox, inbox, 10)
    assert drawn(inbox, range(9, 14)) == [None] * 5


def test_what_was_drawn_comes_with_the_tick() -> None:
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    hold(outbox)
    for tick in range(10, 13):
        outbox.drawn = TICK * (tick - 7) + 5
        outbox.stamp(range(tick, tick + 1))
    # The same distance for each of them, in one frame.
    assert behinds(outbox) == [(3, TICK * 7 - 5)]
    hand_over(outbox, inbox, 10)
    assert drawn(inbox, range(10, 13)) == [TICK * (tick - 7) + 5 for tick in range(10, 13)]


@pytest.mark.parametrize(
    ("differences", "frames"),
    [
        ([0, 0, 0], 1),
        ([0, 2, -2], 1),  # by two sixteenths at most, from the first of them
        ([0, 1, 3], 2),
        ([0, 2, 4], 2),
        ([0, -3, -3], 2),
        ([0, 3, 0], 3),
    ],
)
def test_ticks_are_one_frame_while_about_the_same_is_drawn(
    differences: list[int], frames: int
) -> None:
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    hold(outbox)
    for index, difference in enumerate(differences):
        outbox.drawn = TICK * (index + 4) - difference
        outbox.stamp(range(index + 10, index + 11))
    assert len(behinds(outbox)) == frames
    hand_over(outbox, inbox, 10)
    for index, difference in enumerate(differences):
        inbox.take(index + 10)
        assert inbox.drawn is not None
        assert abs(inbox.drawn - (TICK * (index + 4) - difference)) <= 2


def test_who_begins_or_ends_to_say_what_it_draws_begins_a_frame() -> None:
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    hold(outbox)
    for tick, seen in ((10, None), (11, TICK * 11 - 2), (12, TICK * 12 - 2), (13, None)):
        outbox.drawn = seen
        outbox.stamp(range(tick, tick + 1))
    assert behinds(outbox) == [(1, 0), (2, 2), (1, 0)]
    hand_over(outbox, inbox, 10)
    said = drawn(inbox, range(10, 14))
    assert said == [None, TICK * 11 - 2, TICK * 12 - 2, None]


@pytest.mark.parametrize("seen", [(1, 2), (2, 1), (1, 3)])
def test_the_least_distance_is_one_like_any_other(seen: tuple[int, int]) -> None:
    outbox = Outbox()
    hold(outbox)
    for tick, behind in zip((10, 11), seen, strict=True):
        outbox.drawn = TICK * tick - behind
        outbox.stamp(range(tick, tick + 1))
    assert behinds(outbox) == [(2, seen[0])]


def test_an_action_goes_by_what_was_drawn_when_it_was_done() -> None:
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    hold(outbox)
    outbox.drawn = TICK * 3
    shoot(outbox)
    outbox.drawn = TICK * 3 + 6
    shoot(outbox)
    outbox.drawn = TICK * 4 + 9  # the next poll has drawn more before the tick begins
    outbox.stamp(range(10, 11))
    outbox.stamp(range(11, 12))
    assert behinds(outbox) == [(1, TICK * 7 - 6), (1, TICK * 7 - 9)]
    hand_over(outbox, inbox, 10)
    # Of two in one tick the last one counts.
    assert drawn(inbox, (10, 11)) == [TICK * 3 + 6, TICK * 4 + 9]


def test_an_action_of_a_tick_that_runs_says_what_was_drawn_too() -> None:
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    outbox.drawn = TICK * 3
    outbox.stamp(range(10, 11))
    outbox.drawn = TICK * 3 + 7
    shoot(outbox)
    outbox.stamp(range(0))
    assert behinds(outbox) == [(1, TICK * 7), (0, TICK * 7 - 7)]
    hand_over(outbox, inbox, 10)
    assert [entry.kind.cls for entry in inbox.take(10)] == [Shoot]
    assert inbox.drawn == TICK * 3 + 7


def test_an_action_that_comes_late_is_of_its_own_time() -> None:
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    hold(outbox)
    outbox.drawn = TICK * 3
    shoot(outbox)
    outbox.stamp(range(10, 11))
    late = packed(outbox)
    outbox.drawn = TICK * 9
    outbox.stamp(range(16, 17))
    receive(inbox, late, 15)
    assert [entry.kind.cls for entry in inbox.take(15)] == [Steer, Shoot]
    assert inbox.drawn == TICK * 3
    hand_over(outbox, inbox, 16)
    assert drawn(inbox, (16, 17)) == [TICK * 9, TICK * 10]


def test_what_is_held_too_late_is_of_its_own_time() -> None:
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    hold(outbox)
    for tick in (10, 11):
        outbox.drawn = TICK * (tick - 6)
        outbox.stamp(range(tick, tick + 1))
    hand_over(outbox, inbox, 15)
    assert drawn(inbox, (15,)) == [TICK * 5]
    # Of ticks that were left out, too.
    outbox.drawn = TICK * 10
    outbox.stamp(range(16, 17))
    hand_over(outbox, inbox, 16)
    assert drawn(inbox, (20,)) == [TICK * 10]


def test_what_is_repeated_is_as_far_behind() -> None:
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    hold(outbox)
    outbox.drawn = TICK * 4 + 3
    outbox.stamp(range(10, 11))
    hand_over(outbox, inbox, 10)
    repeated = round(REPEAT_SECONDS * RATE)
    said = drawn(inbox, range(10, 12 + repeated))
    assert said == [TICK * (4 + n) + 3 for n in range(repeated + 1)] + [None]


def test_who_does_nothing_still_says_what_it_draws() -> None:
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    outbox.drawn = TICK * 4
    outbox.stamp(range(10, 11))
    hand_over(outbox, inbox, 10)
    assert inbox.take(10) == ()
    assert inbox.drawn == TICK * 4


def test_an_ack_that_cuts_a_frame_leaves_the_rest_of_it_right() -> None:
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    hold(outbox)
    for tick in range(10, 13):
        outbox.drawn = TICK * (tick - 7)
        outbox.stamp(range(tick, tick + 1))
        if tick == 11:
            hand_over(outbox, inbox, 10)
            assert not outbox.pending
            outbox.drawn += 1
    assert behinds(outbox) == [(1, TICK * 7)]
    other = Outbox()
    hold(other)
    for tick in range(10, 14):
        other.drawn = TICK * (tick - 7)
        other.stamp(range(tick, tick + 1))
    other.acked(2)
    assert behinds(other) == [(2, TICK * 7)]
    again = Inbox(RATE, FRAMES)
    receive(again, packed(other), 10)
    assert drawn(again, (12, 13)) == [TICK * 5, TICK * 6]


def test_frames_that_are_merged_keep_what_an_action_says() -> None:
    outbox = Outbox()
    for tick in range(10, 210):
        hold(outbox, tick)
        outbox.drawn = TICK * (tick - 7) - 4 * (tick % 2)
        if tick == 10:
            outbox.drawn = TICK * 2
            shoot(outbox)
        outbox.stamp(range(tick, tick + 1))
    frames = packed(outbox, 300).frames
    assert sum(int(str(frame[1])) for frame in frames) == 200
    assert frames[0][3] == TICK * 8
    assert {frame[3] for frame in frames[1:]} <= {TICK * 7, TICK * 7 + 4}
    assert len(encode(frames)) <= 300


def test_a_packet_has_room_for_what_is_drawn() -> None:
    """At a fast screen each tick is a frame of its own, for as long as no ack comes."""
    outbox = Outbox()
    hold(outbox)
    for tick in range(1, 2 * UNACKED_FRAMES):
        outbox.drawn = TICK * tick - 3000 - 7 * (tick % 2)
        outbox.stamp(range(tick, tick + 1))
        if outbox.crowded(900):
            assert len(encode(packed(outbox, 900).frames)) <= 900
        outbox.acked(tick - 150)
    assert 60 < len(packed(outbox, 900).frames) < 150


@pytest.mark.parametrize("limit", [300, 900])
def test_it_is_crowded_before_a_frame_more_does_not_fit(limit: int) -> None:
    outbox = Outbox()
    hold(outbox)
    tick = 0
    while not outbox.crowded(limit):
        tick += 1
        outbox.drawn = TICK * tick - 3000 - 7 * (tick % 2)
        outbox.stamp(range(tick, tick + 1))
        assert len(packed(outbox, limit).frames) == tick


def test_frames_far_apart_fit_as_well() -> None:
    outbox = Outbox()
    for tick in range(1, 70_000 * 60, 70_000):
        outbox.act(SHOOT, 0, Shoot())
        outbox.drawn = TICK * tick - 3000
        outbox.stamp(range(tick, tick + 1))
    frames = packed(outbox, 300).frames
    assert 250 < len(encode(frames)) <= 300


@pytest.mark.parametrize("lead", [1, 5])
def test_a_stream_of_ticks_says_it_for_each(lead: int) -> None:
    """As it is mostly: every packet brings one tick that is news."""
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    hold(outbox)
    seen: dict[int, int | None] = {}
    for tick in range(20, 80):
        stamped = tick + lead
        seen[stamped] = outbox.drawn = TICK * (stamped - 7) + 5 * (tick // 15)
        outbox.stamp(range(stamped, stamped + 1))
        if tick % 7:  # else it gets lost
            hand_over(outbox, inbox, tick)
        if tick > 20 + lead:
            inbox.take(tick)
            if seen[tick] == seen[tick - 1] or tick % 7:
                assert inbox.drawn is not None
                said = seen[tick]
                assert said is not None
                assert abs(inbox.drawn - said) <= (2 if lead > 1 else 5)


def test_nothing_is_drawn_that_a_frame_cannot_say() -> None:
    outbox = Outbox()
    hold(outbox)
    for tick, seen in ((10_000, TICK * 10_001), (10_001, 0)):
        outbox.drawn = seen
        outbox.stamp(range(tick, tick + 1))
    assert behinds(outbox) == [(1, 1), (1, 65_535)]
    for behind in (-1, FURTHEST_BEHIND + 1, 1.5, None):
        assert FRAMES.decode(encode([[0, 1, [], behind]])) is None
    assert FRAMES.decode(encode([[0, 1, [], FURTHEST_BEHIND, 0]])) is None


def test_in_another_room_nothing_is_drawn_yet() -> None:
    outbox = Outbox()
    hold(outbox)
    outbox.drawn = TICK * 5
    outbox.change_room()
    outbox.stamp(range(7, 8))
    assert behinds(outbox) == [(1, 0)]


@pytest.mark.parametrize("seed", range(20))
def test_what_was_drawn_survives_loss(seed: int) -> None:
    """Whatever gets lost, cut and said again: what a tick has said is what was drawn then, within
    two sixteenths; an action has what its player saw, exactly.
    """
    dice = random.Random(seed)
    outbox, inbox = Outbox(), Inbox(RATE, FRAMES)
    seen: dict[int, int] = {}
    shots: dict[int, int] = {}
    wire: list[tuple[int, CommandPayload]] = []
    told = close = heard = 0
    for tick in range(20, 400):
        stamped = tick + 8
        if dice.random() < 0.2:
            hold(outbox, dice.randrange(3))
        outbox.drawn = TICK * (tick - 3) + dice.choice((0, 0, 0, 1, 2, 7))
        if dice.random() < 0.1:
            shots[len(shots)] = outbox.drawn
            shoot(outbox, len(shots) - 1)
            seen[stamped] = outbox.drawn
            if dice.random() < 0.5:
                outbox.drawn += 5
        else:
            seen[stamped] = outbox.drawn
        outbox.stamp(range(stamped, stamped + 1))
        payload = outbox.pack(900)
        if payload is not None and dice.random() > 0.3:
            wire.append((tick + dice.randrange(6), payload))
        for due, arrived in list(wire):
            if due <= tick:
                wire.remove((due, arrived))
                receive(inbox, arrived, tick)
                if dice.random() > 0.3:
                    outbox.acked(arrived.through)
        actions = [entry.value for entry in inbox.take(tick) if entry.kind.cls is Shoot]
        if tick < 60:
            continue
        if actions:
            last = actions[-1]
            assert isinstance(last, Shoot)
            assert inbox.drawn == shots[last.number]
            heard += 1
        elif inbox.drawn is not None and tick in seen:
            told += 1
            assert abs(inbox.drawn - seen[tick]) <= TICK  # where it is repeated for want of news
            close += abs(inbox.drawn - seen[tick]) <= 2
    assert told > 200
    assert close > 0.9 * told
    assert heard > 15
