"""One address against the others, and many visits while nobody reads the log; see `visits`."""

from __future__ import annotations

import sys

import pytest

from tests.socket import visits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.0/8 is one network")


def test_others_get_in_while_one_address_takes_what_it_can() -> None:
    found = visits.crowded(3, seconds=20.0)
    assert (found.tried, found.joined) == (3, 3)
    assert 20 < found.held <= 56
    assert found.refused["address"] > 20


def test_a_server_goes_on_while_nobody_reads_its_log() -> None:
    found = visits.visited(200, patience=30.0)
    assert found.came_in == found.visits == 200
    assert found.ticks_a_second > 0
    assert found.lines > 20
    assert found.lines + found.left_out >= 200
    assert found.ended_in is not None


def test_sigterm_ends_a_server_whose_log_nobody_reads() -> None:
    assert visits.stuck(5, patience=30.0) is not None
