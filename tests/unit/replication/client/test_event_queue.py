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
