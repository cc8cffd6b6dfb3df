"""A session goes on over another connection, from another address, and loses nothing."""

from __future__ import annotations

from typing import Annotated

import esper
import pytest

import ecsnet as net
from ecsnet import schema
from ecsnet.client.world import ClientWorld
from ecsnet.connection.plain import Connection
from ecsnet.testing import Harness

with schema.use_registry(schema.Registry()) as registry:

    @net.replicated
    class Tank:
        hp: int = 10

    @net.replicated
    class Score:
        shots: int = 0
        steps: int = 0

    @net.command
    class Shoot:
        number: int = 0

    @net.command(hold=True)
    class Walk:
        dx: Annotated[int, net.Between(-1, 1)] = 0


class Game:
    """Tanks that come, change and go, and a player who shoots."""

    def __init__(self) -> None:
        self.shots: list[int] = []
        with schema.use_registry(registry):
            self.server = net.ServerWorld()

        @self.server.on_join
        def join(player: int) -> None:
            esper.add_component(player, Score())

        @self.server.system
        def work(dt: float) -> None:
            tick = net.tick()
            for entity, tank in esper.get_component(Tank):
                tank.hp += (tick + entity) % 3 == 0
            if tick % 5 == 0:
                esper.create_entity(Tank(tick))
            tanks = esper.get_component(Tank)
            if len(tanks) > 40:
                esper.delete_entity(tanks[0][0])
            for player, shot in net.commands(Shoot):
                self.shots.append(shot.number)
                esper.component_for_entity(player, Score).shots += 1
            for player, _ in net.commands(Walk):
                esper.component_for_entity(player, Score).steps += 1


def relink(play: Harness, client: ClientWorld, number: int) -> None:
    """Let a client come from another address all at once, on both ends."""
    seat, member = play.seats[client], play.member(client)
    assert member is not None
    address = ("10.9.0.1", 50_000 + number)
    session_id = number.to_bytes(8, "little")
    now = play.clock.now
    play.host.relink(member, Connection(address, session_id, now, server=True), now)
    client._connection.relink(Connection(None, session_id, now, server=False))
    play.network.links[address] = play.network.links.pop(seat.address)
    play._by_address[address] = play._by_address.pop(seat.address)
    seat.address = seat.end.address = address


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_session_whose_link_is_swapped_goes_on(loss: float) -> None:
    game = Game()
    with Harness(game.server, registry=registry) as play:
        link = net.Link(lag=0.04, jitter=0.02, loss=loss, seed=3)
        ann, bob = play.connect("Ann", link), play.connect("Bob")
        member = play.member(ann)
        assert member is not None
        session = member.peer.session
        ann.send(Walk(1))
        sent = swaps = strays = 0
        for tick in range(600):
            if tick % 7 == 0:
                ann.send(Shoot(sent))
                sent += 1
            if tick % 50 == 25:
                swaps += 1
                assert member.peer.connection is not None
                strays += member.peer.connection.rejected
                relink(play, ann, swaps)
            play.step()
            assert ann.stats.confirmed_tick <= ann.stats.tick <= play.simulation.tick
        assert swaps == 12
        assert strays > 12  # what was on its way is lost
        assert play.member(ann) is member
        assert member.peer.session is session
        ann.release(Walk)
        play.run(2.0)
        assert play.settle()
        assert game.shots == list(range(sent))
        stats = ann.stats
        assert stats.commands_sent == (
            stats.commands_applied + stats.commands_expired + stats.commands_superseded
        )
        assert stats.commands_expired == 0
        assert (ann.connected, bob.connected) == (True, True)
        assert play.host.stats().joined == 2
        assert len(play.host.members) == len(play.host.peers.by_address) == 2
