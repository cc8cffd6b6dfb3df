"""A simulation that a client runs ahead of its server: nobody hears of what its systems say."""

from __future__ import annotations

import logging

import esper
import pytest

import ecsnet as net
from ecsnet.components import Owner, Player
from ecsnet.schema import Registry, use_registry
from ecsnet.simulation.simulation import Join, Simulation
from ecsnet.simulation.spec import SimulationSpec

with use_registry(Registry()):

    @net.event
    class Boom:
        pass

    @net.replicated
    class Ship:
        @net.rpc("all")
        def honk(self) -> None:
            raise AssertionError("it runs on other clients")


def run(*, ahead: bool) -> Simulation:
    """Two ticks in which a system says all that there is to say, and makes two mistakes."""
    spec = SimulationSpec()

    def join(player: int) -> None:
        esper.add_component(player, Ship())

    def talk(dt: float) -> None:
        for player, ship in esper.get_component(Ship):
            assert net.emit(Boom(), player).arrived(player) is False
            ship.honk()
            net.kick(player)
            net.analytics_event("pickup", player=1)
            if ahead:  # there is no lobby here
                net.start_match()
                net.end_match()
            esper.create_entity(Owner(4321))
        with pytest.raises(net.UsageError):
            net.emit("boom")

    spec.on_join.append(join)
    spec.add_function(talk, 0)
    made = Simulation(spec, seed=1, epoch=1, player=Player, owner=Owner, ahead=ahead)
    made.step([Join(1, "Ann")])
    made.step()
    assert made.failure is None
    return made


def test_what_systems_say_ahead_reaches_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        made = run(ahead=True)
    assert (made.emitted, made.kicked, caplog.text) == ([], {}, "")
    made.close()


def test_on_the_server_the_same_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        made = run(ahead=False)
    assert isinstance(made.emitted[0].event, Boom)
    assert len(made.emitted) == 2
    assert list(made.kicked) == [1]
    assert "Owner(4321)" in caplog.text
    made.close()
