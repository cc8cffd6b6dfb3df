"""What pictures show."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from ecsnet.analytics.maps import Line, Timeline
from ecsnet.analytics.pictures import _broken, draw_timeline


def test_a_line_is_broken_where_samples_are_missing(tmp_path: Path) -> None:
    ticks = [20, 40, 61, 200, 220, 240]
    x, y = _broken(ticks, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert [tick for tick in x if tick in ticks] == ticks
    (gap,) = [number for number, value in enumerate(y) if isnan(value)]
    assert x[gap - 1] < x[gap] < x[gap + 1]
    assert (x[gap - 1], x[gap + 1]) == (61, 200)
    out = tmp_path / "gap.png"
    draw_timeline(Timeline("ab" * 16, 7, 20.0, [Line("Gold", "coins", ticks, [1] * 6)], []), out)
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("ticks", [[], [5], [5, 900], [20, 40, 60, 80]])
def test_a_line_without_gaps_is_whole(ticks: list[int]) -> None:
    values = [float(tick) for tick in ticks]
    assert _broken(ticks, values) == (values, values)
