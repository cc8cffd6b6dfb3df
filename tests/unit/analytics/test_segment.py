"""Frames prove to be whole: what is damaged is skipped, what looks like a frame is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.analytics.segment import (
    FRAME_LIMIT,
    HEADER,
    SYNC,
    frame,
    frames,
    new_header,
    seed_of,
)

SEED = 0x12345678


def payloads(data: bytes, seed: int = SEED) -> list[bytes]:
    return [found.payload for found in frames(data, seed)]


def test_a_header_tells_its_seed_and_each_has_another() -> None:
    one, two = new_header(), new_header()
    assert len(one) == HEADER
    assert seed_of(one) is not None
    assert seed_of(one) != seed_of(two)


@pytest.mark.parametrize("data", [b"", b"ECSNETJ1", b"ECSNETJ2aaaa", b"\0" * 12])
def test_what_is_no_header_has_no_seed(data: bytes) -> None:
    assert seed_of(data) is None


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_frames_come_back_with_their_places(given: list[bytes]) -> None:
    data = b"".join(frame(each, SEED) for each in given)
    found = list(frames(data, SEED))
    assert [each.payload for each in found] == given
    assert [each.start for each in found[1:]] == [each.end for each in found[:-1]]
    assert not found or (found[0].start, found[-1].end) == (HEADER, HEADER + len(data))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=10), st.data())
def test_a_changed_byte_costs_one_frame(given: list[bytes], data: st.DataObject) -> None:
    parts = [frame(each, SEED) for each in given]
    hit = data.draw(st.integers(0, len(parts) - 1))
    at = data.draw(st.integers(0, len(parts[hit]) - 1))
    broken = bytearray(parts[hit])
    broken[at] ^= data.draw(st.integers(1, 255))
    stream = b"".join([*parts[:hit], bytes(broken), *parts[hit + 1 :]])
    assert payloads(stream) == given[:hit] + given[hit + 1 :]


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=10), st.data())
def test_a_cut_leaves_a_clean_prefix(given: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame(each, SEED) for each in given)
    cut = data.draw(st.integers(0, len(stream)))
    found = payloads(stream[:cut])
    assert found == given[: len(found)]


def test_text_that_looks_like_a_frame_is_none_after_damage() -> None:
    # A player who knows the format, but not the segment's random bytes, sends a frame as a name.
    forged = frame(b"forged", SEED ^ 1)
    data = bytearray(frame(b"name: " + forged, SEED) + frame(b"next", SEED))
    data[14] ^= 1
    assert payloads(bytes(data)) == [b"next"]


def test_frames_of_another_segment_are_none() -> None:
    assert payloads(frame(b"old", SEED + 1) + frame(b"new", SEED)) == [b"new"]


def test_a_segment_full_of_false_frames_is_given_up_in_time() -> None:
    false = SYNC + FRAME_LIMIT.to_bytes(4, "little") + b"\0\0\0\0"
    data = false * (2 * FRAME_LIMIT // len(false)) + frame(b"last", SEED)
    assert payloads(data) == []
