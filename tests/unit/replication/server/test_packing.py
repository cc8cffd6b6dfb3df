from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.replication.encoding import deltas, encode_run
from ecsnet.replication.server.entities import Entity
from ecsnet.replication.server.packing import (
    Batch,
    EncodedRun,
    SentUpdates,
    array_header,
    bits_of,
    make_runs,
    tick_of,
)
from ecsnet.replication.wire import BODY_BYTES


def decode(data: bytes) -> tuple[list[int], list[tuple[int, list[object]]]]:
    ids, columns = msgspec.msgpack.decode(data)
    nets, net = [], 0
    for step in ids:
        net += step
        nets.append(net)
    return nets, [(cid, values) for cid, values in columns]


def wires(cid: int, nets: Sequence[int]) -> list[object]:
    return [[cid, net] for net in nets]


def bulky(cid: int, nets: Sequence[int]) -> list[object]:
    return [bytes(net) for net in nets]


def runs_of(
    nets: list[int], cids: tuple[int, ...], values: Callable[[int, Sequence[int]], list[object]]
) -> list[EncodedRun]:
    """The runs of entities, from what gives a column."""
    return make_runs(nets, cids, [(cid, values(cid, nets)) for cid in cids])


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 255, 65535])
def test_an_array_header_reads_as_the_encoder_writes_it(count: int) -> None:
    data = array_header(count) + b"\xc0" * count
    assert data == msgspec.msgpack.encode([None] * count)


@given(st.sets(st.integers(1, 2**40)))
def test_ids_survive_as_differences(ids: set[int]) -> None:
    nets = sorted(ids)
    assert decode(encode_run(nets, []))[0] == nets
    assert all(step > 0 for step in deltas(nets))


def test_few_entities_are_one_run() -> None:
    (run,) = runs_of([3, 5, 9], (0, 2), wires)
    assert (run.nets, run.cids) == ([3, 5, 9], (0, 2))
    assert decode(run.data) == ([3, 5, 9], [(0, wires(0, [3, 5, 9])), (2, wires(2, [3, 5, 9]))])
    assert run.size == len(run.data)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 1500), min_size=1, max_size=80))
def test_runs_fit_a_datagram_and_hold_whole_entities(sizes: list[int]) -> None:
    nets = list(range(1, len(sizes) + 1))

    def values(cid: int, some: Sequence[int]) -> list[object]:
        return [bytes(sizes[net - 1]) for net in some]

    runs = runs_of(nets, (0, 1), values)
    assert [net for run in runs for net in run.nets] == nets
    for run in runs:
        assert len(run.data) <= BODY_BYTES or len(run.nets) == 1
        found, columns = decode(run.data)
        assert found == list(run.nets)
        # All components of an entity that changed in one tick are in one run.
        assert columns == [(cid, values(cid, run.nets)) for cid in (0, 1)]


def least(sizes: Sequence[int]) -> int:
    """The fewest datagrams for whole entities in their order: with each one as full as can be."""

    values = [len(encode_run([], [(0, [bytes(size)])])) - EMPTY for size in sizes]
    count, start, total = 1, 0, 0
    for end, value in enumerate(values, 1):
        total += value
        many = end - start
        arrays = 2 * (len(array_header(many)) - 1)
        ids = many - 1 + len(msgspec.msgpack.encode(start + 1))
        if many > 1 and EMPTY + arrays + ids + total > BODY_BYTES:
            count, start, total = count + 1, end - 1, value
    return count


EMPTY = len(encode_run([], [(0, [])]))


def test_the_fewest_datagrams_are_counted_right() -> None:
    nets, sizes = list(range(1, 18)), [59] * 17
    values: list[object] = [bytes(size) for size in sizes]
    assert len(encode_run(nets, [(0, values)])) <= BODY_BYTES
    assert least(sizes) == 1
    assert len(encode_run([*nets, 18], [(0, [*values, bytes(59)])])) > BODY_BYTES
    assert least([*sizes, 59]) == 2


def datagrams(sizes: Sequence[int]) -> int:
    nets = list(range(1, len(sizes) + 1))
    runs = runs_of(nets, (0,), lambda _, some: [bytes(sizes[net - 1]) for net in some])
    return len(SentUpdates().fill_datagrams(runs))


@pytest.mark.parametrize(
    "size", [1, 9, 20, 33, 60, 64, 90, 150, 178, 200, 270, 350, 530, 540, 1000]
)
@pytest.mark.parametrize("count", [2, 10, 18, 35, 100, 333, 1000])
def test_entities_of_one_size_take_as_few_datagrams_as_can_be(size: int, count: int) -> None:
    assert datagrams([size] * count) == least([size] * count)


@pytest.mark.parametrize(
    "sizes",
    [
        [*[20] * 300, *[200] * 300],
        [*[500] * 60, *[5] * 900],
        [10, 900] * 50,
        [*range(1, 500)],
        [*range(500, 1, -1)],
        [*[1] * 500, *[1070] * 5, *[1] * 500],
    ],
)
def test_entities_of_many_sizes_take_few_datagrams(sizes: list[int]) -> None:
    assert datagrams(sizes) <= 1.1 * least(sizes)


def test_over_sizes_and_counts_datagrams_are_at_most_a_tenth_more_than_need_be() -> None:
    dice = random.Random(40)
    made = needed = 0
    ratios = []
    for _ in range(120):
        longest, count = dice.choice([8, 40, 100, 300, 600]), dice.choice([10, 30, 100, 400])
        sizes = [dice.randint(0, longest) for _ in range(count)]
        found, fewest = datagrams(sizes), least(sizes)
        made, needed = made + found, needed + fewest
        ratios.append(found / fewest)
    assert made <= 1.1 * needed
    assert sum(ratios) <= 1.1 * len(ratios)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 600), min_size=1, max_size=200))
def test_runs_leave_little_room_for_what_comes_next(sizes: list[int]) -> None:
    assert datagrams(sizes) <= 1.25 * least(sizes) + 1


def test_an_entity_larger_than_a_datagram_is_a_run_of_its_own() -> None:
    runs = runs_of([1, 5000, 5001], (0,), bulky)
    assert [list(run.nets) for run in runs if run.size > BODY_BYTES] == [[5000], [5001]]


def test_a_body_is_extended_by_runs_where_they_fit() -> None:
    sent = SentUpdates()
    sent.begin(3)
    shared = runs_of([1, 2], (0,), wires)
    (body,) = sent.fill_datagrams(shared)
    own = runs_of([5], (1,), wires)
    extended = sent.extend(body, own)
    assert extended is not None
    assert extended.runs == shared + own
    assert bytes(extended.raw) == array_header(2) + shared[0].data + own[0].data
    assert extended.tag != body.tag
    assert sent.runs(extended.tag) == extended.runs
    assert sent.runs(body.tag) == shared
    several = sent.extend(body, own * 2)
    assert several is not None
    assert bytes(several.raw) == array_header(3) + shared[0].data + own[0].data * 2
    alone = sent.extend(None, own)
    assert alone is not None
    assert alone.runs == own
    for room, fits in ((0, True), (1, False)):
        size = BODY_BYTES - len(shared[0].data) + room
        extended = sent.extend(body, [EncodedRun([9], (0,), bytes(size))])
        assert (extended is not None) is fits


def test_two_bodies_go_together_where_they_fit() -> None:
    sent = SentUpdates()
    for room, fits in ((0, True), (1, False)):
        (one,) = sent.fill_datagrams([EncodedRun([1], (0,), b"a" * 700)])
        (other,) = sent.fill_datagrams([EncodedRun([2], (0,), bytes(BODY_BYTES - 701 + room))])
        both = one.with_runs_of(other)
        assert (both is not None) is fits
        if both is not None:
            assert bytes(both) == array_header(2) + one.data + other.data


def test_a_datagram_is_filled_to_the_last_byte() -> None:
    runs = [EncodedRun([1], (0,), bytes(size)) for size in (600, BODY_BYTES - 600, 10)]
    assert [body.runs for body in SentUpdates().fill_datagrams(runs)] == [runs[:2], runs[2:]]


def test_no_runs_are_no_datagrams() -> None:
    assert SentUpdates().fill_datagrams([]) == []


@settings(max_examples=60)
@given(st.lists(st.integers(1, BODY_BYTES), max_size=60))
def test_bodies_hold_all_runs_in_order_and_stay_below_their_bound(sizes: list[int]) -> None:
    runs = [EncodedRun([net], (0,), b"\xc0" * size) for net, size in enumerate(sizes, 1)]
    filled = SentUpdates().fill_datagrams(runs)
    assert [run for body in filled for run in body.runs] == runs
    for body in filled:
        assert body.size == len(bytes(memoryview(body.raw))) <= BODY_BYTES + 3
    # Nothing is left for a second one that would have fitted into the first.
    for one, other in itertools.pairwise(filled):
        assert one.size + len(other.runs[0].data) > BODY_BYTES


def test_a_bodys_raw_form_is_an_array_of_its_runs() -> None:
    runs = runs_of([1, 2], (0,), wires) * 20
    (body,) = SentUpdates().fill_datagrams(runs)
    assert len(msgspec.msgpack.decode(body.raw)) == 20


def test_tags_tell_tick_and_runs_until_they_are_settled() -> None:
    sent = SentUpdates()
    tags: dict[int, tuple[int, list[EncodedRun]]] = {}
    for tick in (3, 5, 2**40):
        sent.begin(tick)
        for count in (1, 3):
            runs = [[EncodedRun([net], (0,), b"\xc0" * BODY_BYTES)] for net in range(count)]
            for body in sent.fill_datagrams([run for (run,) in runs]):
                assert body.tag not in tags
                tags[body.tag] = tick, body.runs
    assert len(tags) == 12
    for tag, (tick, runs) in tags.items():
        assert (tick_of(tag), sent.runs(tag)) == (tick, runs)
    sent.settle(5)
    assert len(sent) == 2
    for tag, (tick, runs) in tags.items():
        if tick == 3:
            with pytest.raises(KeyError):
                sent.runs(tag)
        else:
            assert sent.runs(tag) == runs


@settings(max_examples=60)
@given(
    st.sets(st.integers(1, 2**53), min_size=1, max_size=300),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=8),
)
def test_a_batch_says_what_is_encoded_anew(ids: set[int], turns: list[tuple[int, int]]) -> None:
    """Values that grow and shrink leave no run too long, nor many that are nearly empty."""
    batch = Batch([Entity(net, net, 0) for net in ids])
    nets = sorted(ids)
    for first, last in turns:
        count = len(nets)
        column: list[object] = [
            bytes(first + (last - first) * index // count) for index in range(count)
        ]
        columns: list[tuple[int, list[object]]] = [(1, column), (2, [*range(count)])]
        runs = batch.encode((1, 2), columns)
        assert [net for run in runs for net in run.nets] == nets
        start = 0
        for run in runs:
            end = start + len(run.nets)
            assert run.size == len(run.data) <= BODY_BYTES
            assert run.data == encode_run(nets[start:end], [(c, v[start:end]) for c, v in columns])
            start = end
        total = sum(run.size for run in runs)
        assert len(runs) <= 1 + (total + BODY_BYTES) // (BODY_BYTES // 2)


def test_a_batch_keeps_its_runs_while_they_fit() -> None:
    batch = Batch([Entity(net << 32, net, 0) for net in range(1, 400)])

    def encode(*values: object) -> list[EncodedRun]:
        return batch.encode((1,), [(1, [*values, *[1] * (399 - len(values))])])

    first, second = encode(), encode(2)
    assert len(first) > 2
    assert all(one.nets is other.nets for one, other in zip(first, second, strict=True))
    at = len(first[0].nets)
    longer = encode(*[1] * at, "x" * 900)  # what lies before the longer one stays as it is
    assert longer[0].nets is first[0].nets
    assert longer[1].nets != first[1].nets
    assert len(longer) == len(first) + 1
    assert len(encode()) == len(longer)  # it shrinks by less than a datagram


def test_a_batch_that_shrinks_by_a_datagram_goes_in_fewer() -> None:
    nets = [*range(1, 101)]
    batch = Batch([Entity(net, net, 0) for net in nets])
    for size in (200, 20, 100):
        columns: list[tuple[int, list[object]]] = [(1, [bytes(size)] * 100)]
        runs = batch.encode((1,), columns)
        assert [run.nets for run in runs] == [run.nets for run in make_runs(nets, (1,), columns)]


def test_a_batch_holds_what_is_larger_than_a_datagram() -> None:
    batch = Batch([Entity(net, net, 0) for net in range(1, 41)])
    for size in (10, 3000, 3000, 10):
        columns: list[tuple[int, list[object]]] = [(1, [*[bytes(10)] * 20, *[bytes(size)] * 20])]
        runs = batch.encode((1,), columns)
        assert [net for run in runs for net in run.nets] == batch.nets
        assert sum(run.size > BODY_BYTES for run in runs) == (20 if size > 10 else 0)
        assert all(len(run.nets) == 1 for run in runs if run.size > BODY_BYTES)


@pytest.mark.parametrize(("size", "count"), [(231, 1), (232, 2)])
def test_a_batch_is_cut_anew_once_it_has_shrunk_by_exactly_a_datagram(
    size: int, count: int
) -> None:
    batch = Batch([Entity(net, net, 0) for net in range(1, 5)])

    def encode(*sizes: int) -> list[EncodedRun]:
        return batch.encode((1,), [(1, [bytes(size) for size in sizes])])

    assert [len(run.nets) for run in encode(500, 500, 500, 500)] == [2, 2]
    assert len(encode(231, 231, 231, size)) == count


def test_every_body_of_a_tick_has_a_tag_of_its_own() -> None:
    sent = SentUpdates()
    sent.begin(3)
    run = EncodedRun([1], (0,), bytes(BODY_BYTES))
    tags = [body.tag for body in sent.fill_datagrams([run] * 5000)]
    assert len(set(tags)) == 5000
    assert {tick_of(tag) for tag in tags} == {3}
    sent.settle(4)
    assert len(sent) == 0


def test_the_only_body_of_a_tick_is_found_by_its_tag() -> None:
    sent = SentUpdates()
    for tick in (3, 4):
        sent.begin(tick)
        runs = [EncodedRun([tick], (0,), bytes(10))]
        (body,) = sent.fill_datagrams(runs)
        assert sent.runs(body.tag) == runs
    sent.begin(5)  # an update without values is not kept
    assert len(sent) == 2


def test_component_ids_make_a_bit_set() -> None:
    assert bits_of(()) == 0
    assert bits_of((0, 3, 5)) == 0b101001
    assert bits_of((5, 5)) == 0b100000


def sized(*sizes: int) -> tuple[list[int], list[object]]:
    """Entities with a value of so many bytes each."""
    return [*range(1, len(sizes) + 1)], [bytes(size) for size in sizes]


def test_a_run_of_many_entities_is_filled_to_the_last_byte() -> None:
    nets, values = sized(*[10] * 63, 30, *[10] * 36)
    missing = BODY_BYTES - len(encode_run(nets[:64], [(1, values[:64])]))
    values[63] = bytes(30 + missing)
    assert len(encode_run(nets[:64], [(1, values[:64])])) == BODY_BYTES
    runs = make_runs(nets, (1,), [(1, values)])
    assert [len(run.nets) for run in runs] == [64, 36]


def test_a_run_takes_one_more_entity_that_fits_to_the_last_byte() -> None:
    each = BODY_BYTES // 65
    nets, values = sized(*[each - 3] * 100)  # with an id and a header of two bytes
    missing = BODY_BYTES - len(encode_run(nets[:65], [(1, values[:65])]))
    values[0] = bytes(each - 3 + missing)
    first = len(encode_run(nets[:64], [(1, values[:64])]))
    assert BODY_BYTES - first == first // 64 == each
    assert len(make_runs(nets, (1,), [(1, values)])[0].nets) == 65


@pytest.mark.parametrize("count", [64, 65, 66])
def test_small_values_of_about_as_many_entities_as_expected_are_one_run(count: int) -> None:
    nets, values = sized(*[1] * count)
    (run,) = make_runs(nets, (1,), [(1, values)])
    assert run.nets == nets
