"""How a client's clock meets commands that come late: a little, or by far."""

from __future__ import annotations

import pytest

from ecsnet.client.tick_clock import TickClock


@pytest.mark.parametrize(
    ("late", "jumps"),
    [(0.02, False), (0.10, False), (0.13, False), (0.18, True), (0.25, True), (1.0, True)],
)
@pytest.mark.parametrize("rate", [20.0, 60.0])
def test_by_far_too_late_is_made_up_at_once(rate: float, late: float, jumps: bool) -> None:
    """Up to 0.15 s it runs faster for a while: a jump leaves ticks out."""
    clock = TickClock(rate)
    now, server = 0.0, 100
    clock.start(server, now, 0.1)
    every = round(rate / 4)
    way = 6.0  # ticks
    for step in range(1, round(20 * rate) + 1):
        now += 1 / rate
        server += 1
        clock.heard(server, now)
        clock.advance(now)
        if step == round(10 * rate):
            before = clock.jumps
            assert clock.speed == pytest.approx(1, abs=0.01)
            way += late * rate  # it became longer
        if step % every == 0:
            clock.report(clock.tick - server - way, server, 0.1)
            if step == round(10 * rate) + every:
                assert (clock.jumps > before) is jumps
    assert clock.jumps == before + jumps
    # In the end commands are in time, and not by far too early.
    assert 0 <= clock.tick - server - way < 3
