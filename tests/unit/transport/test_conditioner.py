from __future__ import annotations

import random

import pytest

from ecsnet.errors import UsageError
from ecsnet.transport.conditioner import Link, LinkStats


def through(link: Link, count: int, *, every: float = 0.01, length: int = 40) -> list[bytes]:
    """What comes out of one end of what goes in at the other."""
    arrived: list[bytes] = []
    for number in range(count):
        now = number * every
        link.put("in", number.to_bytes(length, "big"), now)
        arrived += link.take("in", now)
    return arrived + link.take("in", 1e9)


def test_a_plain_link_lets_everything_through_at_once() -> None:
    link = Link()
    link.put("out", b"two", 5.0)
    link.put("out", b"one", 5.0)
    assert link.take("in", 9.0) == []
    assert link.take("out", 5.0) == [b"two", b"one"]
    assert link.take("out", 9.0) == []
    assert link.stats == LinkStats(2, 0, 0, 0, 0)


def test_lag_delays_each_direction_by_itself() -> None:
    link = Link(lag=0.1)
    link.put("out", b"question", 1.0)
    link.put("in", b"answer", 1.05)
    assert link.next_at() == pytest.approx(1.1)
    assert link.take("out", 1.099) == []
    assert link.take("out", 1.1) == [b"question"]
    assert link.next_at() == pytest.approx(1.15)
    assert link.take("in", 1.2) == [b"answer"]
    assert link.next_at() is None


def test_jitter_lets_datagrams_overtake_each_other_but_not_leave_before_they_came() -> None:
    link = Link(lag=0.02, jitter=0.05, seed=1)
    arrived = through(link, 300)
    assert sorted(arrived) == [number.to_bytes(40, "big") for number in range(300)]
    assert arrived != sorted(arrived)
    assert link.stats.reordered > 50
    early = Link(lag=0.0, jitter=1.0, seed=1)
    for _ in range(50):
        early.put("in", b"x", 10.0)
    assert early.next_at() == 10.0


def test_what_is_overtaken_is_counted_once() -> None:
    link = Link(lag=1.0)
    link.put("in", b"first", 0.0)
    link.lag = 0.0
    for now in (0.5, 0.75, 1.0, 1.25):
        link.put("in", b"then", now)
    assert link.stats == LinkStats(5, 0, 0, 2, 0)
    link.put("out", b"the other way", 0.0)
    assert link.stats.reordered == 2


def test_one_to_four_bits_are_flipped_and_any_of_them() -> None:
    link = Link(corrupt=1.0, seed=4)
    touched = [0, 0]
    counts = []
    for number in range(400):
        data = (b"\0" if number % 2 else b"\xff") * 40
        link.put("in", data, 0.0)
        (arrived,) = link.take("in", 0.0)
        flipped = int.from_bytes(arrived, "big") ^ int.from_bytes(data, "big")
        touched[number % 2] |= flipped
        counts.append(flipped.bit_count())
    assert set(counts) - {0} == {1, 2, 3, 4}
    assert 80 < counts.count(1) < 130
    for bits in touched:
        assert all(bits >> bit & 0x01010101 for bit in range(8))


class Zeros(random.Random):
    """The least that dice can give."""

    def random(self) -> float:
        return 0.0


def test_what_never_happens_does_not_happen_whatever_the_dice() -> None:
    link = Link(lag=0.5)
    link._dice = Zeros()
    link.put("in", b"x", 0.0)
    assert link.take("in", 0.5) == [b"x"]
    assert link.stats == LinkStats(1, 0, 0, 0, 0)


def test_faults_happen_about_as_often_as_asked() -> None:
    link = Link(loss=0.3, duplicate=0.2, corrupt=0.1, seed=3)
    arrived = through(link, 2000)
    stats = link.stats
    assert stats.carried == 2000
    assert 500 < stats.dropped < 700
    assert 200 < stats.duplicated < 360
    assert 100 < stats.corrupted < 240
    assert len(arrived) == 2000 - stats.dropped + stats.duplicated
    sent = {number.to_bytes(40, "big") for number in range(2000)}
    # A bit that is flipped twice is as it was.
    assert stats.corrupted - 5 <= sum(data not in sent for data in arrived) <= stats.corrupted
    assert all(len(data) == 40 for data in arrived)


def test_all_may_be_lost() -> None:
    link = Link(loss=1.0)
    assert through(link, 50) == []
    assert link.stats.dropped == 50
    assert link.next_at() is None


def test_an_empty_datagram_cannot_be_corrupted() -> None:
    link = Link(corrupt=1.0, duplicate=1.0, seed=2)
    link.put("in", b"", 0.0)
    assert link.take("in", 0.0) == [b"", b""]
    assert link.stats.corrupted == 0


def test_the_same_seed_fares_the_same() -> None:
    def run(seed: int | None) -> tuple[list[bytes], LinkStats]:
        link = Link(0.05, 0.04, 0.2, duplicate=0.1, corrupt=0.1, seed=seed)
        return through(link, 300), link.stats

    assert run(5) == run(5)
    assert run(5) != run(6)
    assert run(None) != run(None)


def test_it_can_be_changed_while_it_runs() -> None:
    link = Link(seed=1)
    link.loss = 1.0
    link.put("in", b"x", 0.0)
    link.loss, link.lag = 0.0, 0.5
    link.put("in", b"y", 0.0)
    assert link.take("in", 0.4) == []
    assert link.take("in", 0.5) == [b"y"]
    assert repr(link) == "Link(lag=0.5, jitter=0, loss=0)"


@pytest.mark.parametrize("name", ["loss", "duplicate", "corrupt"])
@pytest.mark.parametrize("share", [-0.1, 1.1, 5, float("nan")])
def test_a_share_is_between_nothing_and_all(name: str, share: float) -> None:
    with pytest.raises(UsageError, match=rf"Link\({name}=.*between 0 and 1"):
        Link(**{name: share})  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [{"lag": -0.1}, {"jitter": -1}])
def test_a_time_is_not_negative(times: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"give seconds, from 0 to 10$"):
        Link(**times)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["lag", "jitter"])
@pytest.mark.parametrize(
    ("time", "says"),
    [
        (150, "150): give seconds, from 0 to 10; did you mean 0.15?"),
        (10_000, "10000): give seconds, from 0 to 10; did you mean 10?"),
        (10_001, "10001): give seconds, from 0 to 10"),
        (10.5, "10.5): give seconds, from 0 to 10; did you mean 0.0105?"),
        (1e9, "1000000000.0): give seconds, from 0 to 10"),
        (float("nan"), "nan): give seconds, from 0 to 10"),
        ("0.1", "'0.1'): give seconds, from 0 to 10"),
        (None, "None): give seconds, from 0 to 10"),
    ],
)
def test_a_time_in_milliseconds_is_refused(name: str, time: float, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        Link(**{name: time})  # type: ignore[arg-type]
    assert str(caught.value) == f"Link({name}={says}"
    assert Link(**{name: 10})  # type: ignore[arg-type]


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Link\(loss='5'\): give a share"):
        Link(loss="5")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"Link\(seed=\[1\]\): give a whole number, or None"):
        Link(seed=[1])  # type: ignore[arg-type]
