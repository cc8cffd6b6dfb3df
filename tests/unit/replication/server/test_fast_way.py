"""The fast way, which most clients go in most ticks, and the general one."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import esper
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.components import Owner
from ecsnet.replication.server.client_state import ClientState, InterestGroup
from ecsnet.replication.server.interest import Grid
from ecsnet.replication.server.owner_state import OwnerStates
from ecsnet.replication.server.replicator import Replicator
from ecsnet.replication.server.structure import StructureWriter
from ecsnet.schema import encode
from tests.unit.counting import instructions
from tests.unit.replication.server.test_parts import parts
from tests.unit.replication.server.test_replicator import (
    Blob,
    Client,
    Diary,
    Field,
    Place,
    Secret,
    Tank,
)


class GeneralReplicator(Replicator):
    """Tells every client what came and went, and sends its updates, the general way."""

    def _serve(self, now: float) -> None:
        for client in self.clients:
            group = client.group
            assert group is not None
            if group.message is not None:
                self._structure._tell_apart(client, group, None)
            self._send(client, group, now)


class CountingReplicator(Replicator):
    """Counts the updates that went the general way."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.general = 0

    def _send(self, client: ClientState, group: InterestGroup, now: float) -> None:
        self.general += 1
        super()._send(client, group, now)


def history(kind: type[Replicator], seed: int, loss: float, grid: bool) -> list[object]:
    """Return what the clients of a random world hold in each tick."""
    dice = random.Random(seed)
    field = Field(Grid(Place, 10) if grid else None, kind, predicted=(Place, Tank, Secret, Diary))
    told: list[object] = []
    try:
        clients = [
            field.join(
                Place(dice.uniform(0, 30), 5), Tank(), Secret(), settle=False, smooth=number > 1
            )
            for number in range(4)
        ]
        lost: set[tuple[int, int]] = set()
        for number, client in enumerate(clients):
            client.lose = lambda packet, number=number: (number, packet.tick) in lost  # type: ignore[misc]
        things = [field.spawn(Place(dice.uniform(0, 30), 5), Tank()) for _ in range(12)]
        for thing in things[::2]:
            esper.add_component(thing, Secret())
            esper.add_component(thing, Owner(dice.choice(clients).player))
        for tick in range(90):
            for number, client in enumerate(clients):
                client.mute = dice.random() < loss
                if dice.random() < loss:
                    lost.add((number, field.tick + 1))
            for entity in (*things, *(client.player for client in clients)):
                parts = field.world.components(entity)
                for cls in dice.sample([Place, Tank, Secret], dice.randrange(3)):
                    if cls is Place and Place in parts:
                        parts[Place].x += dice.uniform(-1, 1)
                    elif cls is Tank and Tank in parts:
                        parts[Tank].hp = tick
                    elif cls is Secret and Secret in parts:
                        parts[Secret].code = tick
            if dice.random() < 0.1:
                esper.component_for_entity(things[0], Owner).player = dice.choice(clients).player
            if dice.random() < 0.05:
                blob = Blob(bytes(dice.choice([200, 1100, 3000])))
                esper.add_component(dice.choice(clients).player, blob)
            if dice.random() < 0.05:
                diary = Diary("a" * dice.choice([200, 1100, 3000]))
                esper.add_component(dice.choice(clients).player, diary)
            if dice.random() < 0.05:
                thing = things.pop(dice.randrange(1, len(things)))
                esper.delete_entity(thing)
                things.append(field.spawn(Place(dice.uniform(0, 30), 5), Tank()))
            field.step()
            told.append([(each.store.confirmed_tick, holdings(each)) for each in clients])
        for client in clients:
            client.mute = False
        field.settle()
        told.append([holdings(each) for each in clients])
    finally:
        field.close()
    return told


def holdings(client: Client) -> list[tuple[int, int, bytes]]:
    return [
        (net, cid, encode(value))
        for net, entity in sorted(client.store.entities.items())
        for cid, value in sorted(entity.values.items())
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from((0.0, 0.02, 0.2)), st.booleans())
def test_the_fast_way_tells_what_the_general_one_tells(seed: int, loss: float, grid: bool) -> None:
    """In each tick; where packets get lost, at the end: the general way looks for losses in each
    tick, the fast one where they are due.
    """
    fast, general = (history(kind, seed, loss, grid) for kind in (Replicator, GeneralReplicator))
    if loss:
        assert fast[-1] == general[-1]
        return
    for tick, (one, other) in enumerate(zip(fast, general, strict=True)):
        assert one == other, f"in tick {tick}"


def crowd(count: int) -> CountingReplicator:
    """A replicator after 30 ticks in which all move, and each has a new value of its own."""
    field = Field(Grid(Place, 10), CountingReplicator)
    clients = [field.join(Place(3 * number, 5), Secret(), settle=False) for number in range(count)]
    replicator = field.replicator
    assert isinstance(replicator, CountingReplicator)
    try:
        for tick in range(1, 61):
            if tick == 31:
                replicator.general = 0
            for client in clients:
                parts = field.world.components(client.player)
                parts[Place].y = 5 + tick % 3
                parts[Secret].code = tick
            field.step()
        assert all(client.difference() is None for client in clients)
    finally:
        field.close()
    return replicator


def test_what_owners_are_told_in_every_update_goes_the_fast_way() -> None:
    """Whether all of it moves, or nothing; and whether it fits beside all else or not."""
    field = Field(None, CountingReplicator, predicted=(Place, Tank, Secret))
    replicator = field.replicator
    assert isinstance(replicator, CountingReplicator)
    clients = [
        field.join(Place(float(number)), Tank(), Secret(), settle=False, smooth=True)
        for number in range(40)
    ]
    field.step(60)
    for moving in (40, 20, 0):
        for number in range(60):
            if number == 30:  # at first packets are open that went the other way
                replicator.general = 0
            for client in clients[:moving]:
                field.world.components(client.player)[Place].x += 1.0
            field.step()
        assert replicator.general <= 40  # once in a while, to be given the bandwidth since then
    for client in clients:
        record = client.store.entities[field.net(client.player)]
        assert set(record.ticks.values()) >= {field.tick}
        assert client.difference() is None
    field.close()


def test_what_did_not_change_is_not_encoded_again() -> None:
    field = Field(predicted=(Place, Tank))
    clients = [field.join(Place(), Tank(), settle=False, smooth=True) for _ in range(10)]
    field.step(60)
    encode_it = OwnerStates._encode.__name__
    for moving in (True, False):
        counts = []
        for _ in range(4):
            for client in clients if moving else ():
                field.world.components(client.player)[Place].x += 1.0
            field.tick += 1
            collect = partial(field.replicator.collect_changes, field.tick)
            counts.append(instructions(collect, encode_it))
            field.replicator.send_updates(field.now)
        assert counts[0] > 0  # of what moves no position goes along, and then it does again
        assert counts[1:] == [0, 0, 0]
    field.close()


def test_owner_only_values_go_the_fast_way() -> None:
    assert crowd(40).general == 0


@pytest.mark.parametrize("secret", [False, True])
def test_what_comes_and_goes_is_told_alike_to_all_but_who_owns_it(
    monkeypatch: pytest.MonkeyPatch, secret: bool
) -> None:
    """A player sees what it owns wherever it is, with owner-only values and without."""
    apart: list[ClientState] = []
    tell_apart = StructureWriter._tell_apart

    def counted(
        self: StructureWriter, client: ClientState, group: InterestGroup, departures: Any
    ) -> None:
        apart.append(client)
        tell_apart(self, client, group, departures)

    monkeypatch.setattr(StructureWriter, "_tell_apart", counted)
    field = Field(Grid(Place, 10))
    values = [Secret()] if secret else []
    clients = [field.join(Place(5, 5), *values) for _ in range(3)]
    owner, *others = clients
    thing = field.spawn(Place(5, 6), Tank())
    owned = field.spawn(Place(5, 7), Owner(owner.player), Tank())
    field.step(30)
    told = len(apart)
    for x in (95.0, 5.0, 95.0):
        field.world.components(thing)[Place].x = x
        field.step(3)
        assert [field.net(thing) in each.store.entities for each in clients] == [x == 5.0] * 3
    assert len(apart) == told
    field.world.components(owned)[Place].x = 95.0
    field.step(3)
    assert set(apart[told:]) == {owner.client_state}
    assert field.net(owned) in owner.store.entities
    assert not any(field.net(owned) in each.store.entities for each in others)
    field.settle()
    field.close()


@pytest.mark.parametrize("smooth", [False, True])
def test_the_work_for_a_client_does_not_grow_with_the_number_of_clients(smooth: bool) -> None:
    """Counted in instructions that run in an update in which each has a new value of its own, or
    all that it owns goes along.
    """
    costs = []
    for count in (10, 80):
        field = Field(predicted=(Secret, Tank))
        clients = [field.join(Secret(), Tank(), settle=False, smooth=smooth) for _ in range(count)]
        field.step(30)
        for client in clients:
            field.world.components(client.player)[Secret].code = 9

        def update(field: Field = field) -> None:
            field.replicator.collect_changes(field.tick + 1)
            field.replicator.send_updates(field.now)

        costs.append(instructions(update) / count)
        field.close()
    few, many = costs
    assert 20 < many < 1.1 * few


def test_who_does_not_predict_pays_nothing() -> None:
    """For those who do."""
    costs = []
    for predicted in ((), (Secret, Tank)):
        field = Field(predicted=predicted)
        clients = [field.join(Secret(), Tank(), settle=False) for _ in range(20)]
        field.step(30)
        for client in clients:
            field.world.components(client.player)[Tank].hp = 9
        field.replicator.collect_changes(field.tick + 1)
        costs.append(instructions(partial(field.replicator.send_updates, field.now)))
        field.close()
    assert costs[0] == costs[1]


def test_no_more_datagrams_are_sent_in_a_tick_than_can_be_numbered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    field = Field()
    monkeypatch.setattr("ecsnet.replication.server.replicator.PARTS", 3)
    client = field.join(bandwidth=1e9)
    things = [field.spawn(Place(1.0, float(number))) for number in range(500)]
    field.step(30)
    client.fresh()
    for thing in things:
        field.world.components(thing)[Place].x += 1.0
    field.step()
    assert parts(client.fresh()) == [(index, 3, True, False) for index in range(3)]
    field.settle()
    field.close()
