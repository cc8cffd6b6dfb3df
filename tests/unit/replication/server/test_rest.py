"""A value that comes to rest is said three times, where clients draw between two values."""

from __future__ import annotations

import random
from itertools import pairwise

import esper
import pytest

from ecsnet.components import Position, Teleports
from ecsnet.notifications import Changed, Notification
from ecsnet.replication.client.store import Store
from ecsnet.replication.server.entities import ReplicatedEntities
from tests.unit.counting import instructions
from tests.unit.replication.server.test_replicator import (
    CID,
    Client,
    Field,
    Glide,
    Place,
    Whisper,
    field,
)

__all__ = ["field"]


def told(client: Client, thing: int, kind: type) -> list[object]:
    """The values of an entity that a client was sent in updates since the last call."""
    return client.values().get((client.field.net(thing), CID[kind]), [])


def test_what_comes_to_rest_is_said_in_the_next_two_updates_again(field: Field) -> None:
    client = field.join(smooth=True)
    thing = field.spawn(Position(), Place())
    field.step(10)
    client.fresh()
    for x in (1.0, 2.0):
        for kind in (Position, Place):
            field.world.components(thing)[kind].x = x
        field.step()
    assert told(client, thing, Position) == [Position(1.0), Position(2.0)]
    for ticks in (1, 2):
        field.step()
        (packet,) = client.packets
        assert packet.values() == {(field.net(thing), CID[Position]): Position(2.0)}
        record = client.store.entities[field.net(thing)]
        assert record.ticks[CID[Position]] == field.tick
        assert record.ticks[CID[Place]] == field.tick - ticks
        client.packets.clear()
    client.fresh()
    field.step(30)
    assert told(client, thing, Position) == []


def test_a_jump_is_said_three_times(field: Field) -> None:
    """Its value comes with that of the place; what is drawn in between goes by it."""
    client = field.join(smooth=True)
    thing = field.spawn(Position(), Teleports())
    field.step(10)
    client.fresh()
    field.world.components(thing)[Teleports].count = 1
    field.step(3)
    assert told(client, thing, Teleports) == [Teleports(1)] * 3
    field.step(30)
    assert told(client, thing, Teleports) == []


def test_a_last_step_that_got_lost_is_right_again_one_update_later(field: Field) -> None:
    """And not when the loss is noticed, as with a type that is not drawn between values."""
    client = field.join(smooth=True)
    thing = field.spawn(Position(), Place())
    field.step(60)
    for x in range(1, 6):
        for kind in (Position, Place):
            field.world.components(thing)[kind].x = float(x)
        if x == 5:
            client.lose = lambda packet, last=field.tick + 1: packet.tick == last  # type: ignore[misc]
        field.step()
    assert client.of(thing) == {Position: Position(4.0), Place: Place(4.0)}
    field.step()
    assert client.of(thing) == {Position: Position(5.0), Place: Place(4.0)}
    field.settle()
    assert client.of(thing) == {Position: Position(5.0), Place: Place(5.0)}


@pytest.mark.parametrize("lost", [1, 2])
def test_a_last_step_that_got_lost_twice_comes_with_the_third(field: Field, lost: int) -> None:
    client = field.join(smooth=True)
    thing = field.spawn(Position())
    field.step(60)
    field.world.components(thing)[Position].x = 1.0
    client.lose = lambda packet, last=field.tick + lost: packet.tick <= last  # type: ignore[misc]
    field.step(lost)
    assert client.of(thing) == {Position: Position(0.0)}
    field.step()
    assert client.of(thing) == {Position: Position(1.0)}


def test_where_all_three_got_lost_it_is_owed(field: Field) -> None:
    client = field.join(smooth=True)
    thing = field.spawn(Position())
    field.step(60)
    field.world.components(thing)[Position].x = 1.0
    lost = range(field.tick + 1, field.tick + 4)
    client.lose = lambda packet: packet.tick in lost
    field.step(4)
    assert client.of(thing) == {Position: Position(0.0)}
    assert client.store.confirmed_tick < lost[0]
    field.settle()
    field.step(10)
    assert client.of(thing) == {Position: Position(1.0)}
    assert client.store.confirmed_tick > lost[-1]


def test_what_is_said_again_is_no_change(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    client = field.join(smooth=True)
    thing = field.spawn(Position())
    field.step(10)
    client.view.watched.add(Position)
    told_of: list[Notification] = []
    reconcile = client.view.reconcile

    def noting(store: Store) -> list[Notification]:
        notifications = reconcile(store)
        told_of.extend(notifications)
        return notifications

    monkeypatch.setattr(client.view, "reconcile", noting)
    for x in (3.0, 4.0, 4.0, 4.0, 4.5, 4.5, 4.0, 4.5):
        field.world.components(thing)[Position].x = x
        field.step()
    assert [type(each) for each in told_of] == [Changed] * 5


def test_a_type_with_a_rate_rests_when_it_has_its_turn(field: Field) -> None:
    client = field.join(smooth=True)
    thing = field.spawn(Glide())
    field.step(12)
    client.fresh()
    sent = []
    for tick in range(24):
        if tick < 8:
            field.world.components(thing)[Glide].x += 1.0
        field.step()
        sent.append(told(client, thing, Glide))
    values = [each.x for (each,) in filter(None, sent)]  # type: ignore[attr-defined]
    assert values == [*sorted(set(values)), 8.0, 8.0]
    turns = [tick for tick, each in enumerate(sent) if each]
    assert [after - before for before, after in pairwise(turns)] == [4] * (len(turns) - 1)


def test_an_owner_hears_three_times_of_what_others_do_not_see(field: Field) -> None:
    client, other = field.join(Whisper(), smooth=True), field.join(smooth=True)
    client.fresh(), other.fresh()
    field.world.components(client.player)[Whisper].x = 1.0
    field.step(5)
    assert told(client, client.player, Whisper) == [Whisper(1.0)] * 3
    assert told(other, client.player, Whisper) == []


def test_it_is_said_once_where_nobody_draws_between_two_values(field: Field) -> None:
    client, smooth = field.join(), field.join(smooth=True)
    thing = field.spawn(Position())
    field.step(10)

    def told_after_a_step() -> int:
        client.fresh()
        field.world.components(thing)[Position].x += 1.0
        field.step(5)
        return len(told(client, thing, Position))

    assert told_after_a_step() == 3
    field.world.components(thing)[Position].x += 1.0
    field.step()
    field.replicator.remove_client(smooth.client_state)
    field.clients.remove(smooth)
    assert told_after_a_step() == 1
    field.join(smooth=True)
    assert told_after_a_step() == 3


@pytest.mark.parametrize("ticks", [1, 2])
@pytest.mark.parametrize("what", ["entity", "component", "replaced", "cleared"])
def test_what_is_gone_is_not_said_again(field: Field, what: str, ticks: int) -> None:
    client = field.join(smooth=True)
    thing = field.spawn(Position(), Place())
    field.step(10)
    field.world.components(thing)[Position].x = 1.0
    net = field.net(thing)
    field.step(ticks)
    client.fresh()
    if what == "entity":
        esper.delete_entity(thing)
    elif what == "cleared":
        esper.clear_database()
    else:
        esper.remove_component(thing, Position)
    field.step()
    if what == "replaced":
        esper.add_component(thing, Position(7.0))
        field.step()
        assert client.of(thing) == {Position: Position(7.0), Place: Place()}
    assert client.values().get((net, CID[Position]), []) == []


def test_whoever_comes_later_is_not_told_again_of_what_came_to_rest_before(field: Field) -> None:
    field.join()
    smooth = field.join(smooth=True)
    thing = field.spawn(Position())
    field.step(10)
    field.world.components(thing)[Position].x = 1.0
    field.step()
    field.replicator.remove_client(smooth.client_state)
    field.clients.remove(smooth)
    field.step(10)
    later = field.join(smooth=True)
    field.step(10)
    assert told(later, thing, Position) == []
    assert later.of(thing) == {Position: Position(1.0)}


@pytest.mark.parametrize("rests", [0, 1])
def test_what_moves_beside_what_rests_is_said_once_and_what_stands_is_not(
    field: Field, rests: int
) -> None:
    """Those that move and those that rest are together as many as there are."""
    client = field.join(smooth=True)
    mover, other, standing = (field.spawn(Position()) for _ in range(3))
    if rests:
        esper.delete_entity(other)
    field.step(10)
    client.fresh()
    moving = (mover,) if rests else (mover, other)
    for x, things in enumerate((moving, moving[:1][rests:], (mover,), (), (), ()), 1):
        for thing in things:
            field.world.components(thing)[Position].x = float(x)
        field.step()
        assert told(client, standing, Position) == []


def test_what_moves_all_the_time_is_said_once(field: Field) -> None:
    client = field.join(smooth=True)
    things = [field.spawn(Position(), Place()) for _ in range(10)]
    field.step(10)
    client.fresh()
    for _ in range(5):
        for thing in things:
            field.world.components(thing)[Position].x += 1.0
        field.step()
        assert {len(values) for values in client.values().values()} == {1}


def test_rest_costs_nothing_where_nothing_rests() -> None:
    """Neither where no type is drawn between values, nor where all of it moves."""

    def cost(kind: type, count: int) -> int:
        field = Field()
        field.join(smooth=True)
        things = [field.spawn(kind()) for _ in range(count)]
        field.step(5)
        for _ in range(2):
            for thing in things:
                field.world.components(thing)[kind].x += 1.0
            field.tick += 1
            spent = instructions(
                lambda: field.replicator.collect_changes(field.tick),
                ReplicatedEntities._with_rested.__name__,
            )
        field.close()
        return spent

    assert cost(Position, 10) == cost(Position, 200) < 100


def test_a_value_is_as_new_as_the_last_update_that_brought_it(field: Field) -> None:
    client = field.join(smooth=True)
    things = [field.spawn(Position()) for _ in range(3)]
    field.step(60)
    client.fresh()
    detector = field.replicator.entities.detectors[CID[Position]]
    told: dict[int, int] = {}
    rng = random.Random(1)
    for step in range(1000):
        for thing in things:
            if step == 0 or rng.random() < 0.3:
                field.world.components(thing)[Position].x += 1.0
        field.step()
        for packet in client.fresh():
            assert packet.update is not None
            nets = [net for run in packet.update.runs for net in run.entities()]
            told.update(dict.fromkeys(nets, field.tick))
        assert {entity.net: tick for entity, tick in detector.ticks().items()} == told
