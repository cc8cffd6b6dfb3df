from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import field

import esper
import msgspec
import pytest

from ecsnet.notifications import Changed, Despawned, Inserted, Notification, Removed, Spawned
from ecsnet.replication.client.store import Store
from ecsnet.replication.client.view import Attachment, ViewWorld
from ecsnet.replication.encoding import encode_run, encode_structure
from ecsnet.replication.wire import Structure, WireFormat
from ecsnet.schema import (
    EntityRef,
    Gate,
    Registry,
    register_type,
    replicated,
    use_registry,
)
from ecsnet.world import World


class Angle:
    """Somebody else's type; its converter refuses what is out of range."""

    def __init__(self, degrees: int) -> None:
        if not 0 <= degrees < 360:
            raise ValueError(degrees)
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Angle) and other.degrees == self.degrees

    __hash__ = None  # type: ignore[assignment]


with use_registry(Registry()) as registry:
    register_type(Angle, int, lambda angle: angle.degrees, Angle)

    @replicated
    class Place:
        x: float = 0.0
        y: float = 0.0

    @replicated
    class Tank:
        hp: int = 10

    @replicated
    class Bag:
        items: list[int] = []

    @replicated
    class Likes:
        whom: EntityRef = None
        others: list[EntityRef] = []

    @replicated
    class Turret:
        angle: Angle = field(default_factory=lambda: Angle(0))


SCHEMA = registry.schema()
CID = SCHEMA.cid_of


class Sprite:
    def __init__(self, entity: int, value: object) -> None:
        self.entity, self.value = entity, value
        self.killed = 0

    def kill(self) -> None:
        self.killed += 1


class Subject:
    """A view, and a store that hears what a server would say."""

    def __init__(self) -> None:
        wire = WireFormat(SCHEMA)
        self.gate: Gate[Structure[object]] = Gate(wire.structure, 1 << 20)
        self.store = Store(wire, 1)
        self.world = World()
        self.view = ViewWorld(SCHEMA, self.world)
        self.tick = 0

    def say(
        self,
        sets: dict[int, Sequence[object]] | None = None,
        *,
        gone: Sequence[int] = (),
        hidden: Sequence[int] = (),
        removed: Sequence[tuple[type, int]] = (),
    ) -> None:
        """Structure; components are given with network ids for references."""
        self.tick += 1
        runs = []
        for net, components in (sets or {}).items():
            columns = []
            for component in components:
                cid = CID[type(component)]
                columns.append((cid, [SCHEMA.components[cid].to_wire(component, lambda e: e)]))
            runs.append(msgspec.Raw(encode_run([net], columns)))
        taken = [(CID[cls], [net]) for cls, net in removed]
        raw = encode_structure(1, self.tick, list(gone), list(hidden), taken, runs)
        message = self.gate.decode(raw)
        assert message is not None
        assert self.store.structure(self.tick, message)

    def poll(self) -> list[Notification]:
        events = self.view.reconcile(self.store)
        self.view.call_back()
        return events

    def show(self, sets: dict[int, Sequence[object]]) -> list[Notification]:
        self.say(sets)
        return self.poll()

    def of(self, net: int) -> dict[type, object]:
        return dict(self.world.components(self.view.local[net]))

    def true(self) -> bool:
        """Whether the view holds what the store does, something at least."""
        compared = list(self.view.comparable(self.store))
        return bool(compared) and all(shown == said for _, _, shown, said in compared)

    def close(self) -> None:
        self.world.close()


@pytest.fixture
def subject() -> Iterator[Subject]:
    made = Subject()
    yield made
    made.close()


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


# References.


def test_a_reference_reads_none_while_its_entity_is_out_of_sight_and_heals(
    subject: Subject,
) -> None:
    subject.show({1: [Likes(2, [1, 2])]})
    assert subject.of(1)[Likes] == Likes(None, [1, None])
    subject.show({2: [Tank()]})
    two = subject.view.local[2]
    assert subject.of(1)[Likes] == Likes(two, [1, two])
    subject.say(hidden=[2])
    subject.poll()
    assert subject.of(1)[Likes] == Likes(None, [1, None])
    subject.show({5: [], 2: [Tank()]})
    assert subject.view.local[2] != two
    assert subject.of(1)[Likes] == Likes(subject.view.local[2], [1, subject.view.local[2]])
    assert subject.true()


def test_references_among_entities_that_come_together_are_there_at_once(
    subject: Subject,
) -> None:
    subject.show({1: [Likes(2)], 2: [Likes(1)]})
    one, two = subject.view.local[1], subject.view.local[2]
    assert (subject.of(1)[Likes], subject.of(2)[Likes]) == (Likes(two), Likes(one))


def test_a_reference_that_changed_heals_no_more(subject: Subject) -> None:
    subject.show({1: [Likes(7)], 2: [Likes(7)]})
    subject.show({1: [Likes(1)]})
    subject.say(removed=[(Likes, 2)])
    subject.poll()
    subject.show({7: [Tank()]})
    assert subject.of(1)[Likes] == Likes(1)
    assert Likes not in subject.of(2)


def test_nothing_is_kept_of_references_from_what_is_gone(subject: Subject) -> None:
    subject.show({1: [Tank()]})
    for net in range(2, 60):
        subject.show({net: [Likes(1)]})
        subject.say(gone=[net])
        subject.poll()
    assert not subject.view._mentions
    assert not subject.view._refers
    subject.show({90: [Likes(1)], 91: [Likes(90)]})
    with subject.world:
        esper.clear_database()
    subject.say(gone=[90, 91])
    subject.poll()
    assert not subject.view._mentions
    assert not subject.view._refers


# What a converter refuses.


def test_a_value_that_its_converter_refuses_leaves_the_old_one(subject: Subject) -> None:
    subject.show({1: [Turret(Angle(20)), Tank()]})
    wrong = Angle(0)
    wrong.degrees = 400
    subject.show({1: [Turret(wrong), Tank(3)], 2: [Turret(wrong), Tank(4)]})
    assert subject.of(1) == {Turret: Turret(Angle(20)), Tank: Tank(3)}
    assert subject.of(2) == {Tank: Tank(4)}
    assert subject.view.broken >= 2
    subject.show({2: [Turret(Angle(1))]})
    assert subject.of(2)[Turret] == Turret(Angle(1))


# Attachments.


def test_attachments_come_and_go_with_their_component(subject: Subject) -> None:
    subject.show({1: [Tank(1)]})
    subject.view.attach(Attachment(Tank, Sprite, Sprite.kill))
    first = subject.of(1)[Sprite]  # for existing ones at once
    subject.show({2: [Tank(2), Likes(1)], 3: [Place()]})
    second = subject.of(2)[Sprite]
    assert isinstance(first, Sprite)
    assert isinstance(second, Sprite)
    assert (first.entity, first.value) == (1, Tank(1))
    assert second.value is subject.of(2)[Tank]
    assert Sprite not in subject.of(3)
    subject.show({3: [Tank(3)]})
    third = subject.of(3)[Sprite]
    subject.say(gone=[1], removed=[(Tank, 2)])
    subject.poll()
    assert (first.killed, second.killed) == (1, 1)
    assert Sprite not in subject.of(2)
    assert subject.of(3)[Sprite] is third


def test_an_attachment_may_be_nothing_and_need_no_removing(subject: Subject) -> None:
    subject.view.attach(Attachment(Tank, lambda entity, tank: None, None))
    subject.view.attach(Attachment(Place, Sprite, None))
    subject.show({1: [Tank(), Place()]})
    assert set(subject.of(1)) == {Tank, Place, Sprite}
    subject.say(removed=[(Place, 1), (Tank, 1)])
    subject.poll()
    assert subject.of(1) == {}


def test_attachments_are_renewed_when_the_world_was_cleared(subject: Subject) -> None:
    subject.view.attach(Attachment(Tank, Sprite, Sprite.kill))
    subject.show({1: [Tank(1)]})
    sprite = subject.of(1)[Sprite]
    with subject.world:
        esper.clear_database()
    subject.poll()
    assert isinstance(sprite, Sprite)
    assert sprite.killed == 1
    assert subject.of(1)[Sprite] is not sprite
    with subject.world:
        esper.delete_entity(1, immediate=True)
    subject.poll()
    assert len(subject.view._attached) == 1


def test_an_attachment_that_the_game_replaced_is_left_to_it(subject: Subject) -> None:
    subject.view.attach(Attachment(Tank, Sprite, Sprite.kill))
    subject.show({1: [Tank(1)]})
    sprite, own = subject.of(1)[Sprite], Sprite(0, None)
    with subject.world:
        esper.add_component(1, own)
    subject.say(removed=[(Tank, 1)])
    subject.poll()
    assert isinstance(sprite, Sprite)
    assert (sprite.killed, own.killed) == (1, 0)
    assert subject.of(1) == {Sprite: own}


# Who wrote?


def test_a_written_component_is_found_named_and_put_right(subject: Subject) -> None:
    subject.show({1: [Tank(1)], 2: [Place(1, 2), Bag([1])]})
    assert subject.view.written(subject.store) is None
    place, bag = subject.of(2)[Place], subject.of(2)[Bag]
    assert isinstance(place, Place)
    assert isinstance(bag, Bag)
    place.y = 5
    assert subject.view.written(subject.store) == (2, "Place.y")
    assert place.y == 2
    bag.items.append(3)
    assert subject.view.written(subject.store) == (2, "Bag.items")
    assert subject.view.written(subject.store) is None
    with subject.world:
        esper.remove_component(2, Place)
        esper.delete_entity(1, immediate=True)
    subject.view.local.pop(1)
    assert subject.view.written(subject.store) is None  # that is not writing


def test_what_is_not_a_number_was_not_written(subject: Subject) -> None:
    subject.show({1: [Place(math.nan, 1.0)]})
    assert subject.view.written(subject.store) is None
    place = subject.of(1)[Place]
    assert isinstance(place, Place)
    place.x = 4.0
    assert subject.view.written(subject.store) == (1, "Place.x")
    assert math.isnan(place.x)
