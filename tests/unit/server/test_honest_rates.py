"""Whoever plays as a game allows is no abuser, however fast the game, the screen or the player."""

from __future__ import annotations

import pytest

from ecsnet.server.host import PACKET_RATE
from tests.unit.client.test_stalls import Rig, Shot

pytestmark = pytest.mark.usefixtures("no_worlds_left")


@pytest.mark.parametrize("tick_rate", [60.0, 128.0, 400.0, 1000.0])
def test_a_fast_game_takes_a_packet_a_tick_for_ever(tick_rate: float) -> None:
    rig = Rig(hosted=False, lag=0.03, frame_rate=tick_rate, tick_rate=tick_rate)
    rig.start(14.0)
    (member,) = rig.host.members.values()
    assert member.peer.session.packets_received > 0.9 * 13.5 * tick_rate
    assert member.peer.session.budget.strikes == member.peer.session.budget.excess == 0


@pytest.mark.parametrize("frame_rate", [60.0, 240.0, 360.0])
@pytest.mark.parametrize("lag", [0.02, 0.05])
def test_who_acts_in_every_frame_of_a_fast_screen_is_no_abuser(
    frame_rate: float, lag: float
) -> None:
    rig = Rig(hosted=False, lag=lag, frame_rate=frame_rate)
    far = rig.far

    def poll() -> None:
        if far.client.connected:
            far.client.send(Shot(len(far.shot_at)))
            far.shot_at.append(rig.now)
        far.events += far.client.poll()

    far.process.poll = poll
    rig.run(14.0)
    assert far.client.connected
    (member,) = rig.host.members.values()
    assert member.peer.session.budget.strikes == member.peer.session.budget.excess == 0
    assert member.peer.session.packets_received < 0.7 * 14.0 * PACKET_RATE
    assert len(far.hit) > 0.9 * 13.0 * frame_rate
    assert far.hit == list(range(len(far.hit)))
    assert far.held_up(rig.now - 2.0) < lag + 0.1
