"""Jumps that the game itself makes, which cross the wire."""

from __future__ import annotations

from collections.abc import Iterator

import esper
import pytest

from ecsnet.components import Player, Position, Teleports
from ecsnet.replication.client.store import Store
from ecsnet.schema import Registry, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.simulation.game_events import teleported
from ecsnet.simulation.simulation import tick
from ecsnet.testing import Harness

with use_registry(Registry()) as registry:

    @replicated(visible_to="server")
    class Hidden:
        pass


class Plain:
    """A component that nobody is sent."""


@pytest.fixture
def server() -> ServerWorld:
    with use_registry(registry):
        return ServerWorld(seed=1)


@pytest.fixture
def things(server: ServerWorld) -> Iterator[list[int]]:
    """The entities to teleport in the next tick."""
    todo: list[int] = []

    @server.system
    def move(dt: float) -> None:
        for entity in todo:
            teleported(entity)

    with server.step().world:
        yield todo


def test_an_entity_that_clients_are_shown_counts_its_jumps(
    server: ServerWorld, things: list[int]
) -> None:
    entity = esper.create_entity(Position())
    server.step()
    assert not esper.has_component(entity, Teleports)
    things += [entity]
    server.step()
    assert esper.component_for_entity(entity, Teleports) == Teleports(1)
    server.step()
    assert esper.component_for_entity(entity, Teleports) == Teleports(2)


@pytest.mark.parametrize(("before", "after"), [(32_767, 32_768), (65_534, 65_535), (65_535, 0)])
def test_the_count_takes_16_bits(
    server: ServerWorld, things: list[int], before: int, after: int
) -> None:
    entity = esper.create_entity(Teleports(before))
    things += [entity]
    server.step()
    assert esper.component_for_entity(entity, Teleports) == Teleports(after)


def test_what_clients_are_not_shown_is_left_alone(server: ServerWorld, things: list[int]) -> None:
    plain, hidden, dead = (esper.create_entity(each) for each in (Plain(), Hidden(), Position()))
    gone = esper.create_entity(Position())
    esper.delete_entity(gone, immediate=True)
    things += [plain, hidden, dead, gone, 10_000]
    esper.delete_entity(dead)
    server.step()
    assert esper.get_component(Teleports) == []


def test_of_an_entity_one_component_that_clients_are_shown_is_enough(
    server: ServerWorld, things: list[int]
) -> None:
    entity = esper.create_entity(Plain(), Position(), Hidden())
    things += [entity]
    server.step()
    assert esper.component_for_entity(entity, Teleports) == Teleports(1)


def test_what_dies_in_the_same_tick_is_left_alone(server: ServerWorld) -> None:
    dying: list[int] = []

    @server.system
    def end(dt: float) -> None:
        for entity in dying:
            esper.delete_entity(entity)
            teleported(entity)

    with server.step().world:
        dying += [esper.create_entity(Position())]
        server.step()
        assert esper.get_component(Teleports) == []


def test_the_jump_crosses_the_wire_with_the_position_of_its_tick(server: ServerWorld) -> None:
    jumps = (40, 41, 60)

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Position())

    @server.system
    def move(dt: float) -> None:
        for entity, (_, position) in esper.get_components(Player, Position):
            position.x += 1.0
            if tick() in jumps:
                position.x += 1000.0
                teleported(entity)

    with Harness(server, registry=registry) as play:
        ann = play.connect("Ann")
        seen: list[tuple[int, int]] = []
        while play.simulation.tick < 80:
            play.step()
            store = ann._protocol.store
            if isinstance(store, Store) and ann.player:
                with ann.view:
                    position = esper.component_for_entity(ann.player, Position)
                    counted = esper.try_component(ann.player, Teleports)
                seen.append((int(position.x // 1000), 0 if counted is None else counted.count))
        assert all(thousands == count for thousands, count in seen)
        assert {count for _, count in seen} == {0, 1, 2, 3}
