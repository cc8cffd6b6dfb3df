"""The groups of clients that see the same, and where each looks from."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import pytest

from ecsnet.components import Owner
from ecsnet.replication.server.interest import (
    Everyone,
    Grid,
    Interest,
    InterestObserver,
    Placed,
    Visible,
)
from tests.unit.replication.server.test_replicator import Client, Field, Place, Tank


class Noting(Grid):
    """A grid that notes for whom it was asked."""

    def __init__(self) -> None:
        super().__init__(Place, 10)
        self.asked: list[int] = []

    def group_key(
        self, observer: InterestObserver, entities: Iterable[Placed], tick: int
    ) -> Hashable:
        self.asked.append(observer.player)
        return super().group_key(observer, entities, tick)


def leave(field: Field, client: Client) -> None:
    field.replicator.remove_client(client.client_state)
    field.clients.remove(client)


def test_only_who_comes_to_another_cell_is_given_another_place() -> None:
    policy = Noting()
    field = Field(policy)
    ann, bob = field.join(Place(5, 5)), field.join(Place(5, 5))
    field.join()  # who looks from nowhere
    thing = field.spawn(Place(5, 5), Tank())
    field.step(5)
    policy.asked.clear()
    for client in (ann, bob):
        field.world.components(client.player)[Place].x = 6.0
    field.world.components(thing)[Place].x = 95.0
    field.step(5)
    assert policy.asked == []
    field.world.components(bob.player)[Place].x = 25.0
    field.step(5)
    assert policy.asked == [bob.player]
    policy.asked.clear()
    field.spawn(Tank(), Owner(ann.player))
    field.step(5)
    assert policy.asked == [ann.player]
    field.close()


def test_where_everyone_sees_everything_a_place_is_for_ever() -> None:
    asked: list[int] = []

    class Noted(Everyone):
        def group_key(
            self, observer: InterestObserver, entities: Iterable[Placed], tick: int
        ) -> Hashable:
            asked.append(observer.player)
            return super().group_key(observer, entities, tick)

    field = Field(Noted())
    clients = [field.join(Place(5, 5)) for _ in range(3)]
    asked.clear()
    for client in clients:
        field.world.components(client.player)[Place].x = 95.0
    field.step(5)
    assert asked == []
    field.close()


@pytest.mark.parametrize(
    "policy", [Everyone(), Grid(Place, 10), Visible(lambda player, entity: True)]
)
def test_a_group_lasts_while_it_sees_the_same(policy: Interest) -> None:
    field = Field(policy)
    ann, bob = field.join(Place(5, 5)), field.join(Place(6, 5))
    field.step(60)
    group = ann.client_state.group
    assert group is bob.client_state.group is not None
    assert group.clients == [ann.client_state, bob.client_state]
    for client in (ann, bob):
        field.world.components(client.player)[Place].x += 0.5
    field.step(10)
    assert ann.client_state.group is bob.client_state.group is group
    assert ann.client_state.in_sync
    assert bob.client_state.in_sync
    leave(field, ann)
    assert group.clients == [bob.client_state]
    assert field.replicator._groups.by_key == {group.group_key: group}
    field.step(2)
    assert bob.client_state.group is group
    leave(field, bob)
    assert field.replicator._groups.by_key == field.replicator._groups.watchers == {}
    field.close()


def test_who_leaves_before_it_was_given_a_place_is_given_none() -> None:
    field = Field(Grid(Place, 10))
    stays = field.join(Place(5, 5))
    comes = field.join(Place(95, 5), settle=False)
    leave(field, comes)
    field.step()
    assert comes.client_state.group is comes.client_state.focus is None
    groups = field.replicator._groups
    assert [group.clients for group in groups.by_key.values()] == [[stays.client_state]]
    assert not groups._ungrouped
    leave(field, stays)
    assert stays.client_state.group is None
    assert groups.by_key == groups.watchers == groups._focused == {}
    field.close()


def test_a_client_looks_from_the_first_thing_that_it_owns_until_its_player_has_a_position() -> None:
    field = Field(Grid(Place, 10))
    ann = field.join()
    first, second = (field.spawn(Place(x, 5), Owner(ann.player)) for x in (105, 205))
    field.step(2)
    assert ann.client_state.focus is field.replicator.entities.by_esper[first]
    field.world.delete(first)
    field.step(2)
    assert ann.client_state.focus is field.replicator.entities.by_esper[second]
    field.world.add(ann.player, Place(305, 5))
    field.step(2)
    assert ann.client_state.focus is field.replicator.entities.by_esper[ann.player]
    assert ann.client_state.group_key == (30, 0)
    field.close()
