from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.replication.encoding import deltas, encode_run
from ecsnet.replication.packing import (
    Run,
    array_header,
    make_owned_runs,
    make_runs,
    sheets,
)
from ecsnet.replication.wire import SHEET_BYTES


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


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 255, 65535])
def test_an_array_header_reads_as_the_encoder_writes_it(count: int) -> None:
    data = array_header(count) + b"\xc0" * count
    assert msgspec.msgpack.decode(data) == [None] * count


@given(st.sets(st.integers(1, 2**40)))
def test_ids_survive_as_differences(ids: set[int]) -> None:
    nets = sorted(ids)
    assert decode(encode_run(nets, []))[0] == nets
    assert all(step > 0 for step in deltas(nets))


def test_few_entities_are_one_run() -> None:
    (run,) = make_runs([3, 5, 9], (0, 2), wires)
    assert (run.nets, run.cids, run.owner, run.owners) == ([3, 5, 9], (0, 2), None, None)
    assert decode(run.data) == ([3, 5, 9], [(0, wires(0, [3, 5, 9])), (2, wires(2, [3, 5, 9]))])
    assert run.size == len(run.data)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 1500), min_size=1, max_size=80))
def test_runs_fit_a_datagram_and_hold_whole_entities(sizes: list[int]) -> None:
    nets = list(range(1, len(sizes) + 1))

    def values(cid: int, some: Sequence[int]) -> list[object]:
        return [bytes(sizes[net - 1]) for net in some]

    runs = make_runs(nets, (0, 1), values)
    assert [net for run in runs for net in run.nets] == nets
    for run in runs:
        assert len(run.data) <= SHEET_BYTES or len(run.nets) == 1
        found, columns = decode(run.data)
        assert found == list(run.nets)
        # All components of an entity that changed in one tick are in one run.
        assert columns == [(cid, values(cid, run.nets)) for cid in (0, 1)]


def test_an_entity_larger_than_a_datagram_is_a_run_of_its_own() -> None:
    runs = make_runs([1, 5000, 5001], (0,), bulky)
    assert [list(run.nets) for run in runs if run.size > SHEET_BYTES] == [[5000], [5001]]


def test_a_run_of_owned_entities_has_a_form_for_its_owner_and_one_for_the_rest() -> None:
    (run,) = make_owned_runs([3, 4], (0,), (1,), 77, wires)
    assert (run.owner, run.cids) == (77, (0,))
    assert run.owners is not None
    assert run.owners.cids == (0, 1)
    assert run.size == len(run.owners.data) > len(run.data)
    assert [cid for cid, _ in decode(run.data)[1]] == [0]
    assert [cid for cid, _ in decode(run.owners.data)[1]] == [0, 1]


def test_where_only_owner_only_components_changed_there_is_nothing_for_the_rest() -> None:
    (run,) = make_owned_runs([3], (), (1,), 77, wires)
    assert run.data == b""
    assert run.owners is not None
    assert decode(run.owners.data) == ([3], [(1, wires(1, [3]))])


def test_owned_runs_are_split_by_the_owners_form() -> None:
    nets = [400] * 3
    runs = make_owned_runs(nets, (0,), (1,), 77, bulky)
    assert len(runs) == 3
    assert all(run.size <= SHEET_BYTES for run in runs)


def test_no_runs_are_no_sheets() -> None:
    assert sheets(5, [], 0.0) == []


@settings(max_examples=60)
@given(st.lists(st.integers(1, SHEET_BYTES), max_size=60))
def test_sheets_hold_all_runs_in_order_and_stay_below_their_bound(sizes: list[int]) -> None:
    runs = [Run([net], (0,), b"\xc0" * size) for net, size in enumerate(sizes, 1)]
    filled = sheets(9, runs, 0.0)
    assert [run for sheet in filled for run in sheet.flight.runs] == runs
    for sheet in filled:
        assert sheet.flight.tick == 9
        assert sheet.size == len(bytes(memoryview(sheet.raw))) <= SHEET_BYTES + 3
    # Nothing is left for a second sheet that would have fitted into the first.
    for one, other in itertools.pairwise(filled):
        assert one.size + len(other.flight.runs[0].data) > SHEET_BYTES


def test_a_sheets_raw_form_is_an_array_of_its_runs() -> None:
    runs = make_runs([1, 2], (0,), wires) * 20
    (sheet,) = sheets(3, runs, 0.0)
    assert len(msgspec.msgpack.decode(sheet.raw)) == 20
