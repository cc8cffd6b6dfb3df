from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ecsnet.session.sent_packets import NO_TAG, SentPackets


def test_tags_come_back_by_number_once() -> None:
    flight = SentPackets()
    assert flight.oldest_tag == NO_TAG
    assert flight.pop(0) == NO_TAG
    flight.add(7, 0, 1.0)
    assert (flight.oldest_number, flight.end_number) == (7, 8)
    flight.add(9, 5, 2.0)
    assert (len(flight), flight.oldest_number, flight.oldest_tag) == (2, 7, 0)
    assert (flight.oldest_sent_at, flight.sent_at(7), flight.sent_at(9)) == (1.0, 1.0, 2.0)
    assert flight.end_number == 10
    assert [flight.pop(number) for number in (6, 8, 10, 7 + 16)] == [NO_TAG] * 4
    assert flight.pop(7) == 0
    assert flight.pop(7) == NO_TAG
    assert (len(flight), flight.oldest_number, flight.oldest_tag) == (1, 9, 5)
    assert flight.oldest_sent_at == flight.sent_at(9) == 2.0
    assert flight.pop(9) == 5
    assert (len(flight), flight.oldest_number, flight.oldest_tag) == (0, flight.end_number, NO_TAG)


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1), st.booleans()), max_size=200))
def test_it_is_a_dict_that_knows_its_oldest(steps: list[tuple[int, float, bool]]) -> None:
    flight, model = SentPackets(), dict[int, tuple[int, float]]()
    number = 0
    for step, (ahead, where, oldest) in enumerate(steps):
        number += ahead
        model[number] = step, float(number)
        flight.add(number, step, float(number))
        if oldest or where > 0.5:
            numbers = list(model)
            taken = numbers[0] if oldest else numbers[int(where * (len(numbers) - 1))]
            tag, sent_at = model.pop(taken)
            assert flight.sent_at(taken) == sent_at
            assert flight.pop(taken) == tag
            assert flight.pop(taken) == NO_TAG
        assert len(flight) == len(model)
        assert (flight.oldest_number < flight.end_number) is bool(model)
        first = next(iter(model), None)
        tag, sent_at = (NO_TAG, flight.oldest_sent_at) if first is None else model[first]
        assert (flight.oldest_tag, flight.oldest_sent_at) == (tag, sent_at)
        assert first is None or first == flight.oldest_number


def test_what_is_kept_is_as_long_as_what_is_in_flight_wherever_the_numbers_stand() -> None:
    flight = SentPackets()
    for number in range(100_000, 100_010):
        flight.add(number, 0, 0.0)
    assert len(flight._tags) == 16
