from __future__ import annotations

import math

import esper
import pytest

from ecsnet.notifications import Changed, Despawned, Inserted, Removed, Spawned
from ecsnet.replication.client.attachments import Attachment
from ecsnet.replication.client.samples import Blend
from tests.unit.replication.client.viewing import (
    CID,
    Angle,
    Bag,
    Likes,
    Place,
    Sprite,
    Subject,
    Tank,
    Turned,
    Turret,
)


def test_entities_spawn_change_and_despawn(subject: Subject) -> None:
    subject.view.watched.add(Tank)
    assert subject.show({1: [Tank(5), Place(1, 2)], 2: [Tank(6)]}) == [Spawned(1), Spawned(2)]
    assert subject.of(1) == {Tank: Tank(5), Place: Place(1, 2)}
    assert subject.true()
    tank = subject.of(1)[Tank]
    assert subject.show({1: [Tank(7)], 2: [Tank(8)]}) == [
        Changed(1, Tank(7)),
        Changed(2, Tank(8)),
    ]
    assert subject.of(1)[Tank] is tank  # changed in place: references to it hold
    assert subject.show({1: [Place(3, 4)]}) == []  # nobody watches it
    subject.say(gone=[1], hidden=[2])
    assert subject.poll() == [
        Despawned(1, "despawned", {Tank: Tank(7), Place: Place(3, 4)}),
        Despawned(2, "hidden", {Tank: Tank(8)}),
    ]
    assert subject.poll() == []
    assert not subject.view.local
    assert not subject.view.remote


def test_components_come_and_go(subject: Subject) -> None:
    subject.show({1: [Tank(5)]})
    assert subject.show({1: [Place(1, 2)]}) == [Inserted(1, Place(1, 2))]
    subject.say(removed=[(Tank, 1)])
    assert subject.poll() == [Removed(1, Tank(5))]
    assert subject.of(1) == {Place: Place(1, 2)}
    subject.say({1: [Tank(9)]}, removed=[(Place, 1)])
    assert set(map(type, subject.poll())) == {Inserted, Removed}
    assert subject.of(1) == {Tank: Tank(9)}


def test_removed_and_inserted_within_one_poll_is_a_new_value(subject: Subject) -> None:
    subject.show({1: [Tank(5)]})
    subject.say(removed=[(Tank, 1)])
    subject.say({1: [Tank(6)]})
    assert subject.poll() == []
    assert subject.of(1) == {Tank: Tank(6)}


def test_what_came_and_went_within_one_poll_is_not_reported(subject: Subject) -> None:
    subject.show({1: [Tank(5)]})
    subject.say({2: [Tank(6)]})
    subject.say({2: [Place()]}, gone=[1])
    subject.say(gone=[2])
    assert subject.poll() == [Despawned(1, "despawned", {Tank: Tank(5)})]
    subject.say({3: [Tank()]})
    assert subject.poll() == [Spawned(2)]
    with subject.world:
        assert esper.get_component(Tank) == [(2, Tank())]  # no query is poisoned


def test_out_of_sight_and_back_within_one_poll_is_no_event(subject: Subject) -> None:
    subject.show({1: [Tank(5), Place()]})
    subject.say(hidden=[1])
    subject.say({1: [Tank(6)]})
    assert subject.poll() == [Removed(1, Place())]
    assert subject.of(1) == {Tank: Tank(6)}
    assert subject.store.went == {}


def test_the_view_and_the_store_share_no_objects(subject: Subject) -> None:
    subject.show({1: [Bag([1, 2])]})
    bag = subject.of(1)[Bag]
    assert isinstance(bag, Bag)
    bag.items.append(3)
    assert subject.store.entities[1].values[CID[Bag]] == Bag([1, 2])
    subject.show({1: [Bag([1, 2, 4])]})
    assert subject.of(1)[Bag] == Bag([1, 2, 4])


def test_poll_puts_back_the_world_that_it_found(subject: Subject) -> None:
    before = esper.current_world
    subject.show({1: [Tank()]})
    assert esper.current_world == before != subject.world.name


# What the game does to its world.


def test_components_of_the_game_live_in_replicated_entities(subject: Subject) -> None:
    subject.show({1: [Tank(1)]})
    sprite = Sprite(1, None)
    with subject.world:
        esper.add_component(1, sprite)
        esper.create_entity(Sprite(0, None))
    assert subject.show({1: [Tank(2), Place()]}) == [Inserted(1, Place())]
    assert subject.of(1)[Sprite] is sprite
    subject.say(gone=[1])
    (event,) = subject.poll()
    assert isinstance(event, Despawned)
    assert event.components[Sprite] is sprite
    with subject.world:
        assert len(esper.get_component(Sprite)) == 1


def test_what_the_game_deletes_comes_back(subject: Subject) -> None:
    subject.show({1: [Tank(1), Place()], 2: [Tank(2), Likes(1)]})
    with subject.world:
        esper.delete_entity(1)
        esper.remove_component(2, Tank)
    # What was deleted comes back as another entity.
    assert subject.poll() == [Spawned(3), Inserted(2, Tank(2))]
    assert subject.true()
    assert subject.of(1) == {Tank: Tank(1), Place: Place()}
    assert subject.of(2)[Likes] == Likes(subject.view.local[1])
    with subject.world:
        esper.delete_entity(2, immediate=True)
    subject.poll()
    assert subject.true()
    with subject.world:
        esper.clear_database()
    subject.poll()
    assert subject.true()
    assert len(subject.view.local) == len(subject.view.remote) == 2
    assert subject.poll() == []


def test_what_the_game_deletes_comes_back_while_the_server_changes_it(subject: Subject) -> None:
    subject.show({1: [Tank(1), Place()], 2: [Tank(2), Place()]})
    with subject.world:
        esper.remove_component(1, Place)
        esper.delete_entity(2)
    for hp in range(3):  # dirty in every poll
        subject.show({1: [Tank(hp)], 2: [Tank(hp)]})
        assert subject.of(1) == {Tank: Tank(hp), Place: Place()}
        assert subject.of(2) == {Tank: Tank(hp), Place: Place()}
    with subject.world:
        esper.clear_database()
    subject.show({1: [Tank(9)]})
    assert subject.true()
    assert subject.of(1) == {Tank: Tank(9), Place: Place()}


def test_what_the_game_and_the_server_delete_at_a_time_is_gone(subject: Subject) -> None:
    subject.show({1: [Tank(1)], 2: [Tank(2)]})
    with subject.world:
        esper.delete_entity(1)
    subject.say(gone=[1])
    assert subject.poll() == []
    assert set(subject.view.local) == {2}
    with subject.world:
        esper.remove_component(2, Tank)
    subject.say({2: [Place()]}, removed=[(Tank, 2)])
    assert subject.poll() == [Inserted(2, Place())]
    assert subject.true()


def test_clear_takes_what_is_replicated_and_leaves_the_rest(subject: Subject) -> None:
    subject.view.attach(Attachment(Tank, Sprite, Sprite.kill))
    subject.show({1: [Tank(1)], 2: [Tank(2)]})
    sprite = subject.of(1)[Sprite]
    with subject.world:
        own = esper.create_entity(Place())
        esper.delete_entity(2)
    subject.view.clear()
    assert isinstance(sprite, Sprite)
    assert sprite.killed == 1
    assert not subject.view.local
    with subject.world:
        assert esper.get_component(Place) == [(own, Place())]
        assert esper.get_component(Tank) == []


# What lies between two values, and what goes by another network id.


def test_floats_are_drawn_between_two_values_and_as_told_again(subject: Subject) -> None:
    subject.show({1: [Place(1.0, 2.0), Tank(3)], 2: [Place(5.0, 5.0)]})
    cid = CID[Place]
    subject.view.blend(subject.store, {(1, cid): Blend((1.0, 2.0), (3.0, 6.0), 0.5)})
    assert subject.of(1)[Place] == Place(2.0, 4.0)
    assert subject.of(2)[Place] == Place(5.0, 5.0)
    assert subject.store.entities[1].values[cid] == Place(1.0, 2.0)
    subject.view.blend(subject.store, {(2, cid): Blend((5.0, 5.0), (6.0, 6.0), 0.5)})
    assert subject.of(1)[Place] == Place(1.0, 2.0)
    assert subject.of(2)[Place] == Place(5.5, 5.5)
    subject.view.blend(subject.store, {})
    assert subject.of(2)[Place] == Place(5.0, 5.0)
    assert not subject.view.blended


def test_what_is_told_is_drawn_where_nothing_lies_between(subject: Subject) -> None:
    subject.show({1: [Place(1.0, 2.0)]})
    cid = CID[Place]
    subject.view.blend(subject.store, {(1, cid): Blend((1.0, 2.0), (3.0, 6.0), 0.5)})
    subject.store.entities[1].values[cid] = Place(math.inf, 7.0)
    subject.store.dirty[1] = {cid}
    subject.poll()
    subject.view.blend(subject.store, {})
    assert subject.of(1)[Place] == Place(math.inf, 7.0)


def test_what_is_not_there_is_not_blended(subject: Subject) -> None:
    subject.show({1: [Place(1.0, 2.0)]})
    cid = CID[Place]
    blends = {(1, cid): Blend((1.0, 2.0), (3.0, 6.0), 0.5), (9, cid): Blend((0.0,), (1.0,), 0.5)}
    with subject.world:
        esper.remove_component(subject.view.local[1], Place)
    subject.view.blend(subject.store, blends)
    subject.poll()
    assert subject.of(1)[Place] == Place(1.0, 2.0)
    subject.view.blend(subject.store, blends)
    assert subject.of(1)[Place] == Place(2.0, 4.0)
    subject.say(gone=[1])
    subject.poll()
    subject.view.blend(subject.store, {})


def test_another_store_has_nothing_in_between(subject: Subject) -> None:
    subject.show({1: [Place(1.0, 2.0)]})
    blends = {(1, CID[Place]): Blend((1.0, 2.0), (3.0, 6.0), 0.5)}
    subject.view.blend(subject.store, blends)
    subject.view.hide_all()
    assert not subject.view.blended
    subject.store.dirty[1] = {CID[Place]}
    subject.poll()
    subject.view.blend(subject.store, blends)
    with subject.world:
        esper.clear_database()
    subject.poll()
    assert not subject.view.blended


def test_an_entity_goes_by_another_network_id(subject: Subject) -> None:
    subject.show({1: [Tank(1), Likes(2)], 2: [Tank(2)], 3: [Likes(1)]})
    view = subject.view
    entity, other = view.local[1], view.local[2]
    view.rename(1, 9)
    assert view.local == {9: entity, 2: other, 3: view.local[3]}
    assert view.remote[entity] == 9
    # What it mentions is known by that, and heals.
    assert set(view.references.referrers([2])) == {(9, CID[Likes])}
    subject.store.entities[9] = subject.store.entities.pop(1)
    subject.say(gone=[2])
    (gone,) = subject.poll()
    assert isinstance(gone, Despawned)
    likes = subject.of(9)[Likes]
    assert isinstance(likes, Likes)
    assert likes.whom is None
    for net, taken in ((1, 4), (9, 3), (9, 9)):
        before = dict(view.local)
        view.rename(net, taken)
        assert view.local == before


def test_an_entity_without_components_goes_by_another_network_id(subject: Subject) -> None:
    subject.say({1: []})
    subject.view._create(1)
    subject.view.rename(1, 9)
    subject.store.entities[9] = subject.store.entities.pop(1)
    subject.store.dirty[9] = subject.store.dirty.pop(1)
    assert subject.poll() == [Spawned(subject.view.local[9])]


def test_a_reference_to_what_the_game_deleted_as_it_went_reads_none(subject: Subject) -> None:
    """Its end finds no entity any more, and still those that mention it are to be made again."""
    subject.show({1: [Tank(1)], 2: [Likes(1, [1])]})
    with subject.world:
        esper.delete_entity(subject.view.local[1], immediate=True)
    subject.say(gone=[1])
    subject.poll()
    assert subject.of(2)[Likes] == Likes(None, [None])


# How much at a time, and when anew.


def test_so_many_entities_and_components_are_shown_at_a_time(subject: Subject) -> None:
    """Of 4096, with an entity and its component each."""
    subject.say({net: [Tank()] for net in range(1, 2050)})
    assert [len(subject.poll()) for _ in range(3)] == [2048, 1, 0]


def test_what_the_view_changes_itself_is_not_looked_for_in_the_next_poll(subject: Subject) -> None:
    stamp = subject.view._stamp
    subject.show({1: [Tank(1), Bag([1])], 2: [Likes(1)]})
    assert stamp.undisturbed
    subject.say({1: [Tank(2)]}, removed=[(Bag, 1)], gone=[2])
    subject.poll()
    assert stamp.undisturbed
    with subject.world:
        esper.create_entity()
    subject.poll()
    assert stamp.undisturbed
    subject.show({3: [Tank(3)]})
    assert stamp.undisturbed


def test_a_world_that_was_cleared_is_left_with_all_that_was_attached(subject: Subject) -> None:
    subject.view.attach(Attachment(Tank, Sprite, Sprite.kill))
    subject.show({1: [Tank(1)]})
    sprite = subject.of(1)[Sprite]
    with subject.world:
        esper.clear_database()
        own = esper.create_entity(Place())  # by the number that the tank had
    assert subject.view.hide_all() == []
    subject.view.clear()
    assert isinstance(sprite, Sprite)
    assert sprite.killed == 1
    assert subject.world.alive(own)


def test_an_entity_is_born_once_whatever_it_was_called_before(subject: Subject) -> None:
    subject.say({1: []})
    subject.view._create(1)
    subject.view.rename(1, 9)
    subject.store.entities[9] = subject.store.entities.pop(1)
    subject.store.dirty[9] = subject.store.dirty.pop(1)
    assert len(subject.show({2: [Tank(2)]})) == 2
    subject.view.rename(2, 1)
    subject.store.entities[1] = subject.store.entities.pop(2)
    assert subject.show({1: [Place()]}) == [Inserted(subject.view.local[1], Place())]


# Events, and what converters do.


def test_events_that_a_converter_refuses_are_not_given(subject: Subject) -> None:
    for degrees, reliable in ((90, True), (400, True), (10, False)):
        subject.happen(degrees, reliable=reliable)
    taken = subject.view.take_events(subject.store)
    assert [value for _, value in taken] == [Turned(Angle(90)), Turned(Angle(10))]
    assert (subject.store.events.given, subject.store.events.given_reliable) == (2, 1)


@pytest.mark.parametrize("of_event", [False, True])
def test_what_a_converter_attaches_waits_until_all_is_converted(
    subject: Subject, of_event: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = subject.view
    subject.show({1: [Tank(1)]})
    made: list[int] = []
    during: list[int] = []
    attachment = Attachment(Tank, lambda entity, tank: made.append(entity), None)

    def convert(angle: Angle, degrees: int) -> None:
        angle.degrees = degrees
        if Tank not in view.attachments.by_type:
            view.attach(attachment)
        during.extend(made)

    if of_event:
        subject.happen(90)
        monkeypatch.setattr(Angle, "__init__", convert)
        assert len(view.take_events(subject.store)) == 1
    else:
        subject.say({2: [Turret(Angle(90))]})
        monkeypatch.setattr(Angle, "__init__", convert)
        view.reconcile(subject.store)
    assert during == made == []
    subject.poll()
    assert made == [1]
    view.attach(Attachment(Tank, lambda entity, tank: made.append(-entity), None))
    assert made == [1, -1]  # at once, as ever
