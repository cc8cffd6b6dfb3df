from __future__ import annotations

from math import inf

from ecsnet.session.inbound_budget import InboundBudget


def taken(budget: InboundBudget, size: int, now: float, count: int) -> int:
    return sum(budget.take(size, now) for _ in range(count))


def test_after_a_burst_the_rate_lets_packets_in_as_time_passes() -> None:
    budget = InboundBudget(300, inf, 1000)
    assert taken(budget, 10, 0.0, 700) == 600
    assert taken(budget, 10, 0.5, 700) == 150
    assert taken(budget, 10, 0.75, 700) == 75
    assert taken(budget, 10, 100.0, 700) == 600
    assert budget.excess == 100 + 550 + 625 + 100


def test_without_a_rate_for_packets_each_counts_its_bytes_and_an_empty_one_counts_one() -> None:
    assert taken(InboundBudget(inf, 100, 1000), 1, 0.0, 300) == 200
    assert taken(InboundBudget(inf, 100, 1000), 0, 0.0, 300) == 200
    assert taken(InboundBudget(inf, 100, 1000), 3, 0.0, 300) == 66


def test_what_has_just_come_together_is_enough() -> None:
    budget = InboundBudget(inf, 100, 1000)
    assert budget.take(200, 0.0)
    assert not budget.take(25, 0.125)
    assert budget.take(25, 0.25)


def test_excess_now_and_then_counts_for_a_quarter_of_a_second_each_time() -> None:
    budget = InboundBudget(300, inf, 1000)
    times = 0
    while not budget.abusive:
        times += 1
        budget.exceeded(float(times))
    # Each is worth 0.2 strikes, of which a sixtieth is forgiven until the next one.
    assert times == 22


def test_four_strikes_in_a_row_are_tolerated_and_what_comes_on_top_is_not() -> None:
    budget = InboundBudget(300, inf, 1000)
    for _ in range(4):
        budget.strike(5.0)
    assert not budget.abusive
    budget.exceeded(5.0)
    assert budget.abusive
    assert (budget.strikes, budget.excess) == (4, 1)
