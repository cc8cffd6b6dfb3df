"""Tables, as far as rich does not decide how they look."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone

import pytest

pytest.importorskip("rich")

from ecsnet.analytics import tables
from ecsnet.analytics.reports import Use


def shown(value: object) -> str:
    return tables._shown(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (1234567, "1,234,567"),
        (1234.5678, "1,234.57"),
        (0.1 + 0.2, "0.3"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02 03:04:05"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=3))), "2026-01-02 00:04:05"),
        ({"x": 1, "to": {"y": [1, "b"]}}, "x 1, to y [1; b]"),
        ("naïve 名前", "naïve 名前"),
        ("\x1b[2Jgone\n\u202e", "\\x1b[2Jgone\\n\\u202e"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_name_is_no_markup_and_nothing_is_cut() -> None:
    out = io.StringIO()
    name = "[bold]" + "z" * 400
    tables.show(tables.use_table([Use("event", name, 3, 1)]), file=out)
    assert out.getvalue().count("z") == 400
    assert "[bold]" in out.getvalue()
