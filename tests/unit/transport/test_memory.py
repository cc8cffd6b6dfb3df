from __future__ import annotations

from ecsnet.transport.memory import memory_pair


def test_bytes_cross_in_order_both_ways() -> None:
    one, other = memory_pair()
    for n in range(5):
        one.send(bytes([n]))
    other.send(b"back")
    assert list(other.receive(3)) == [b"\0", b"\1", b"\2"]
    assert list(other.receive()) == [b"\3", b"\4"]
    assert list(other.receive()) == []
    one.pin()
    assert list(one.receive()) == [b"back"]


def test_what_comes_while_receiving_waits_for_the_next_time() -> None:
    one, other = memory_pair()
    other.send(b"first")
    echoes = 0
    for data in one.receive():
        other.send(data)
        echoes += 1
    assert echoes == 1
    assert list(one.receive()) == [b"first"]


def test_what_nobody_fetches_is_lost_beyond_a_bound() -> None:
    one, other = memory_pair()
    for _ in range(5000):
        one.send(b"x")
    assert other.overflowed > 0
    assert len(list(other.receive(10_000))) + other.overflowed == 5000


def test_a_closed_end_sends_nothing() -> None:
    one, other = memory_pair()
    one.send(b"last words")
    one.close()
    one.send(b"more")
    assert list(other.receive()) == [b"last words"]
