"""The network beneath a harness, with datagrams by hand at both ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ecsnet.errors import UsageError
from ecsnet.testing import FaultyLink, ManualClock, Network
from ecsnet.transport.address import Address
from ecsnet.transport.conditioner import Direction, Link


def test_each_end_receives_what_the_other_sent_to_it() -> None:
    network = Network()
    one, other = network.connect(), network.connect(Link(lag=0.1, seed=1))
    one.send(b"one")
    other.send(b"other")
    assert network.receive() == [(b"one", one.address)]
    network.send(b"to one", one.address)
    network.send(b"to other", other.address)
    assert (list(one.receive()), list(other.receive())) == ([b"to one"], [])
    network.run(0.1)
    assert network.receive() == [(b"other", other.address)]
    assert (list(one.receive()), list(other.receive())) == ([], [b"to other"])
    assert (one.sent, one.longest) == (1, 3)


def test_both_ends_take_a_few_at_a_time() -> None:
    network = Network()
    end = network.connect()
    for _ in range(5):
        end.send(b"x")
        network.send(b"y", end.address)
    end.pin()
    assert [len(network.receive(2)), len(network.receive())] == [2, 3]
    assert [len(list(end.receive(2))), len(list(end.receive()))] == [2, 3]


def test_an_end_sends_and_takes_nothing_after_its_close() -> None:
    network = Network()
    end, other = network.connect(), network.connect()
    end.send(b"before")
    network.send(b"never seen", end.address)
    end.close()
    end.send(b"after")
    assert list(end.receive()) == []
    assert end.sent == 1
    assert network.receive() == [(b"before", end.address)]
    network.send(b"before", other.address)
    other.send(b"never seen")
    network.close()
    network.send(b"after", other.address)
    other.send(b"to nobody")
    network.connect().send(b"to nobody")
    assert network.receive() == []
    assert list(other.receive()) == [b"before"]
    assert network.dropped == 2


def test_a_client_whose_link_is_gone_is_gone_and_its_address_free() -> None:
    network = Network()
    old = network.connect(address=("10.0.0.7", 1))
    new = network.connect(address=old.address)
    network.send(b"x", old.address)
    assert (list(old.receive()), list(new.receive())) == ([], [b"x"])
    del network.links[new.address]
    network.send(b"y", new.address)
    new.send(b"z")
    assert network.receive() == list(new.receive()) == []
    assert network.dropped == 2


def test_a_tap_sees_drops_and_forges_in_both_directions() -> None:
    network = Network()
    end = network.connect()
    seen: list[tuple[Direction, bytes, Address]] = []

    def tap(direction: Direction, data: bytes, address: Address) -> list[bytes]:
        seen.append((direction, data, address))
        return {b"lost": [], b"twice": [data, data]}.get(data, [data.upper()])

    network.tap = tap
    for data in (b"lost", b"twice", b"small"):
        end.send(data)
        network.send(data, end.address)
    assert [data for data, _ in network.receive()] == [b"twice", b"twice", b"SMALL"]
    assert list(end.receive()) == [b"twice", b"twice", b"SMALL"]
    assert seen[:2] == [("out", b"lost", end.address), ("in", b"lost", end.address)]
    assert len(seen) == 6


def test_what_is_on_the_agenda_happens_at_its_time_and_in_order() -> None:
    clock = ManualClock(0.0)
    network = Network(clock)
    happened: list[tuple[str, float]] = []

    def beat() -> None:
        happened.append(("beat", clock.now))
        network.at(1.0, beat)

    network.at(1.0, beat)
    network.at(2.5, lambda: happened.append(("first", clock.now)))
    network.at(2.5, lambda: happened.append(("second", clock.now)))
    network.run(0.5)
    assert happened == []
    network.run(2.75)
    assert clock.now == 3.25
    assert happened == [
        ("beat", 1.0), ("beat", 2.0), ("first", 2.5), ("second", 2.5), ("beat", 3.0),
    ]  # fmt: skip
    clock.now = 10.0  # what it should have done meanwhile, it does now
    network.run(0.0)
    assert happened[-2:] == [("beat", 3.0), ("beat", 10.0)]


def test_a_handler_is_called_the_moment_something_arrives() -> None:
    network = Network(ManualClock(0.0))
    links = [FaultyLink(lag) for lag in (0.5, 0.25)]
    slow, fast = (network.connect(link) for link in links)
    heard: list[tuple[float, bytes]] = []

    def hear(datagrams: Sequence[tuple[bytes, Address]], now: float) -> None:
        heard.extend((now, data) for data, _ in datagrams)

    network.handler = hear
    network.at(0.25, lambda: heard.append((network.clock.now, b"called")))
    slow.send(b"slow")
    fast.send(b"fast")
    network.send(b"to be fetched", slow.address)
    network.run(1.0)
    assert heard == [(0.25, b"fast"), (0.25, b"called"), (0.5, b"slow")]
    links[1].stall(2.0, network.clock.now)
    fast.send(b"stalled")
    network.run(3.0)
    assert heard[3:] == [(3.0, b"stalled")]
    network.handler = None
    fast.send(b"waits")
    network.run(1.0)
    assert (len(heard), network.receive()) == (4, [(b"waits", fast.address)])


def test_it_takes_no_nonsense() -> None:
    network = Network()
    with pytest.raises(UsageError, match="ManualClock"):
        Network(5.0)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="give a Link"):
        network.connect(0.1)  # type: ignore[arg-type]
    for nonsense in (-0.1, float("nan"), 1e9):
        with pytest.raises(UsageError, match="give seconds"):
            network.run(nonsense)
        with pytest.raises(UsageError, match="give seconds"):
            network.at(nonsense, network.close)
    with pytest.raises(UsageError, match="give a function"):
        network.at(1.0, None)  # type: ignore[arg-type]
