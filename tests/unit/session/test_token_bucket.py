from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.session.token_bucket import TokenBucket


def test_it_starts_full_and_refills_to_the_brim() -> None:
    bucket = TokenBucket(100, 50)
    assert bucket.level(2.0) == 50
    assert bucket.take(50, 2.0)
    assert not bucket.take(1, 2.0)
    assert bucket.take(12, 2.125)
    assert not bucket.take(1, 2.125)
    assert bucket.level(1000.0) == 50


def test_a_refusal_takes_nothing() -> None:
    bucket = TokenBucket(1, 10)
    assert not bucket.take(11, 0.0)
    assert bucket.level(0.0) == 10


def test_debt_is_bounded_and_paid_back() -> None:
    bucket = TokenBucket(10, 20)
    bucket.spend(1000, 0.0)
    assert bucket.level(0.0) == -20
    assert not bucket.take(1, 2.0)
    assert bucket.take(5, 2.5)


def test_time_that_runs_backwards_adds_nothing() -> None:
    bucket = TokenBucket(10, 20)
    assert bucket.take(20, 5.0)
    assert bucket.level(1.0) == 0
    assert bucket.level(5.5) == 5


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.floats(0, 200)),
        min_size=1,
        max_size=60,
    )
)
def test_never_more_than_burst_and_rate(asks: list[tuple[float, float]]) -> None:
    bucket = TokenBucket(30, 60)
    now = taken = 0.0
    for wait, units in asks:
        now += wait
        if bucket.take(units, now):
            taken += units
    assert taken <= 60 + 30 * now + 1e-6
