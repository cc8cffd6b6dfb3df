from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ecsnet.session.sent_packets import Flight, Record


def test_records_come_back_by_number_once() -> None:
    flight, one, two = Flight(), Record(1.0), Record(2.0)
    assert flight.oldest() is None
    assert flight.land(0) is None
    flight.fly(7, one)
    flight.fly(9, two)
    assert (flight.flying(), flight.first_flying, flight.oldest()) == (2, 7, one)
    assert [flight.land(number) for number in (6, 8, 10, 7 + 16)] == [None] * 4
    assert flight.land(7) is one
    assert flight.land(7) is None
    assert (flight.flying(), flight.first_flying, flight.oldest()) == (1, 9, two)
    assert flight.land(9) is two
    assert (flight.flying(), flight.first_flying, flight.oldest()) == (0, flight.end_flying, None)


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1), st.booleans()), max_size=200))
def test_it_is_a_dict_that_knows_its_oldest(steps: list[tuple[int, float, bool]]) -> None:
    flight, model = Flight(), dict[int, Record]()
    number = 0
    for ahead, where, oldest in steps:
        number += ahead
        model[number] = Record(float(number))
        flight.fly(number, model[number])
        if oldest or where > 0.5:
            numbers = list(model)
            taken = numbers[0] if oldest else numbers[int(where * (len(numbers) - 1))]
            assert flight.land(taken) is model.pop(taken)
            assert flight.land(taken) is None
        assert flight.flying() == len(model)
        assert (flight.first_flying < flight.end_flying) is bool(model)
        first = next(iter(model), None)
        assert flight.oldest() is (None if first is None else model[first])
        assert first is None or first == flight.first_flying
