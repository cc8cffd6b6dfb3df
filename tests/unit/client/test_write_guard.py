from __future__ import annotations

import math
from collections.abc import Iterator

import esper
import pytest

from ecsnet.client import write_guard
from ecsnet.client.world import ClientWorld
from ecsnet.errors import ReadOnlyError
from ecsnet.schema import Registry, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.testing import Harness

with use_registry(Registry()):

    @replicated
    class Place:
        x: float = 0.0

    server = ServerWorld(seed=1)

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Place(5.0))

    @server.system
    def move(dt: float) -> None:
        for _, place in esper.get_component(Place):
            place.x += 1


class Mover(esper.Processor):
    """A system that thinks it is on the server."""

    writes = True

    def __init__(self) -> None:
        self.ran = 0

    def process(self, amount: float) -> str:
        self.ran += 1
        if self.writes:
            for _, place in esper.get_component(Place):
                place.x += amount
        return "done"


class Other(esper.Processor):
    def process(self, amount: float) -> None:
        pass


@pytest.fixture
def game() -> Iterator[Harness]:
    with Harness(server) as made:
        yield made


def position(client: ClientWorld) -> float:
    with client.view:
        ((_, place),) = esper.get_component(Place)
        return place.x


def test_without_debug_nobody_looks(game: Harness) -> None:
    client = game.connect("ann")
    with client.view:
        ((_, place),) = esper.get_component(Place)
        place.x = -7.0
    game.step()  # the server's next value puts it right
    assert position(client) > 0


def test_the_system_that_wrote_is_named(game: Harness) -> None:
    client = game.connect("ann", debug=True)
    player = client.player
    mover = Mover()
    with client.view:
        esper.add_processor(Other(), priority=5)
        esper.add_processor(mover)
        game.step()
        before = position(client)
        says = f"Mover wrote Place.x on entity {player}; only the server may: send a command"
        with pytest.raises(ReadOnlyError) as caught:
            esper.process(2.0)
        assert str(caught.value) == says
        assert position(client) == before  # put right again
        mover.writes = False
        esper.process(2.0)
        assert mover.process(3.0) == "done"
        assert mover.ran == 3


def test_code_outside_of_systems_is_caught_at_the_next_poll(game: Harness) -> None:
    client = game.connect("ann", debug=True)
    with client.view:
        ((_, place),) = esper.get_component(Place)
    place.x = -7.0
    with pytest.raises(ReadOnlyError, match="outside esper's processors wrote Place"):
        client.poll()
    game.step(3)  # and the game goes on
    assert client.connected


def test_a_processor_is_watched_once_and_by_the_connection_that_came_last(game: Harness) -> None:
    client = game.connect("ann", debug=True)
    mover = Mover()
    with client.view:
        esper.add_processor(mover)
        game.step(3)
        first = mover.process
        assert isinstance(first, write_guard._Checked)
        game.step(3)
        assert mover.process is first
        # Somebody connects once more, with the same world.
        later = write_guard.WriteGuard(client._view, client.view)
        later.watch(None)
        checked = mover.process
        assert isinstance(checked, write_guard._Checked)
        assert checked.guard is later
        assert not isinstance(checked.process, write_guard._Checked)
        mover.process(1.0)  # nothing to compare with yet
        later.watch(client._protocol.store)
        with pytest.raises(ReadOnlyError, match="Mover wrote"):
            mover.process(1.0)


def test_what_is_not_a_number_is_no_offence(game: Harness) -> None:
    client = game.connect("ann", debug=True)
    with game.world:
        ((_, place),) = esper.get_component(Place)
        place.x = math.nan
    game.step(5)
    assert math.isnan(position(client))
    assert client.connected
