from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ecsnet.session.sent_packets import SentPacket, SentPackets


def test_records_come_back_by_number_once() -> None:
    flight, one, two = SentPackets(), SentPacket(1.0), SentPacket(2.0)
    assert flight.oldest() is None
    assert flight.pop(0) is None
    flight.add(7, one)
    flight.add(9, two)
    assert (flight.flying(), flight.oldest_number, flight.oldest()) == (2, 7, one)
    assert [flight.pop(number) for number in (6, 8, 10, 7 + 16)] == [None] * 4
    assert flight.pop(7) is one
    assert flight.pop(7) is None
    assert (flight.flying(), flight.oldest_number, flight.oldest()) == (1, 9, two)
    assert flight.pop(9) is two
    assert (flight.flying(), flight.oldest_number, flight.oldest()) == (0, flight.end_number, None)


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1), st.booleans()), max_size=200))
def test_it_is_a_dict_that_knows_its_oldest(steps: list[tuple[int, float, bool]]) -> None:
    flight, model = SentPackets(), dict[int, SentPacket]()
    number = 0
    for ahead, where, oldest in steps:
        number += ahead
        model[number] = SentPacket(float(number))
        flight.add(number, model[number])
        if oldest or where > 0.5:
            numbers = list(model)
            taken = numbers[0] if oldest else numbers[int(where * (len(numbers) - 1))]
            assert flight.pop(taken) is model.pop(taken)
            assert flight.pop(taken) is None
        assert flight.flying() == len(model)
        assert (flight.oldest_number < flight.end_number) is bool(model)
        first = next(iter(model), None)
        assert flight.oldest() is (None if first is None else model[first])
        assert first is None or first == flight.oldest_number
