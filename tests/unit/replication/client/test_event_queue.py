from __future__ import annotations

import pytest

from ecsnet.replication.client.event_queue import (
    EVENTS,
    EVENTS_BYTES,
    EventQueue,
    ReceivedEvent,
)
from ecsnet.schema import Registry, event, event_type, use_registry

with use_registry(Registry()):

    @event
    class Boom:
        pass


def received(size: int) -> ReceivedEvent:
    return ReceivedEvent(event_type(Boom, "this"), None, size, True)


@pytest.mark.parametrize(
    ("size", "most", "says"),
    [(1, EVENTS, "65,536 events wait"), (1 << 10, EVENTS_BYTES >> 10, "more than 4 MiB")],
)
def test_as_many_wait_as_may_and_one_more_is_too_much(size: int, most: int, says: str) -> None:
    events = EventQueue()
    for _ in range(most):
        events.add(received(size))
    assert events.overload is None
    events.shown((), (), ())
    taken = events.take()
    next(taken)
    events.add(received(size))
    assert events.overload is None  # what was taken makes room
    events.add(received(size))
    assert events.overload is not None
    assert says in events.overload


def take(events: EventQueue) -> int:
    return len(list(events.take()))


def test_an_event_waits_for_what_the_view_lacked_when_it_came_and_for_nothing_since() -> None:
    events = EventQueue()
    alive = range(1, 10)
    events.shown((), [1], alive)
    events.add(received(1))
    events.shown((), [1, 2], alive)
    events.add(received(1))
    events.shown([1], [2, 3], alive)
    assert take(events) == 0
    events.shown([2], [3], alive)
    assert take(events) == 1
    events.shown([3], [], alive)
    assert take(events) == 1
    assert len(events) == 0


def test_what_is_gone_holds_no_event_up() -> None:
    events = EventQueue()
    events.add(received(1))
    events.shown((), [1, 2], {1, 2})
    events.shown([1], [], {1})
    assert take(events) == 1
    events.add(received(1))
    events.shown((), [2, 3], {1})
    assert take(events) == 1


def test_one_poll_hands_out_so_many_events() -> None:
    events = EventQueue()
    for _ in range(4097):
        events.add(received(1))
    events.shown((), (), ())
    assert [take(events) for _ in range(3)] == [4096, 1, 0]


def test_one_poll_hands_out_half_a_mebibyte_of_events() -> None:
    events = EventQueue()
    for size in ((512 << 10) - 1, 1, 1):
        events.add(received(size))
    events.shown((), (), ())
    assert [take(events) for _ in range(3)] == [2, 1, 0]
