from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.session.sequence import unwrap


@settings(deadline=None)
@given(
    bits=st.sampled_from([8, 16, 32]),
    wide=st.integers(0, 1 << 40),
    data=st.data(),
)
def test_a_counter_survives_the_wire(bits: int, wide: int, data: st.DataObject) -> None:
    half = 1 << (bits - 1)
    near = data.draw(st.integers(max(0, wide - half + 1), wide + half - 1))
    assert unwrap(wide & ((1 << bits) - 1), bits, near) == wide


@settings(deadline=None)
@given(bits=st.integers(1, 40), near=st.integers(0, 1 << 48), data=st.data())
def test_the_nearest_congruent_number_that_is_not_negative(
    bits: int, near: int, data: st.DataObject
) -> None:
    span = 1 << bits
    low = data.draw(st.integers(0, span - 1))
    wide = unwrap(low, bits, near)
    assert wide >= 0
    assert wide % span == low
    others = [one for one in (wide - span, wide + span) if one >= 0]
    assert all(abs(wide - near) <= abs(one - near) for one in others)


def test_edges() -> None:
    assert unwrap(0, 16, 0xFFFF) == 0x10000
    assert unwrap(0xFFFF, 16, 0x10000) == 0xFFFF
    assert unwrap(0xFFFF, 16, 0) == 0xFFFF  # never negative
    assert unwrap(0x8000, 16, 0x10000) == 0x8000  # equally near: the smaller
    assert unwrap(5, 32, (1 << 32) - 1) == (1 << 32) + 5
