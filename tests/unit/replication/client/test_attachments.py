from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import esper
import pytest

from ecsnet.errors import UsageError
from ecsnet.replication.client.attachments import Attachment, Attachments
from ecsnet.replication.client.world_stamp import WorldStamp
from ecsnet.world import World
from tests.unit.replication.client.viewing import Likes, Place, Sprite, Subject, Tank


class Attached:
    """Attachments by themselves, to entities that a test makes."""

    def __init__(self) -> None:
        self.world = World()
        self.stamp = WorldStamp(self.world)
        self.entities: set[int] = set()
        self.attachments = Attachments(self.world, self.stamp, self.entities, {Tank})

    def appear(self, *components: object) -> int:
        with self.world:
            entity = esper.create_entity(*components)
        self.entities.add(entity)
        self.stamp.renew()
        for component in components:
            if type(component) in self.attachments.by_type:
                self.attachments.appeared(entity, type(component))
        return entity

    def sprite(self, entity: int) -> object | None:
        return self.world.components(entity).get(Sprite)


@pytest.fixture
def attached() -> Iterator[Attached]:
    made = Attached()
    yield made
    made.world.close()


def test_nothing_is_called_before_its_time(attached: Attached) -> None:
    attachments = attached.attachments
    attachments.add(Attachment(Tank, Sprite, Sprite.kill))
    entity = attached.appear(Tank(), Place())
    assert attached.sprite(entity) is None
    attachments.call_back()
    sprite = attached.sprite(entity)
    assert isinstance(sprite, Sprite)
    assert (sprite.entity, sprite.value) == (entity, Tank())
    attachments.disappeared(entity, Place)
    assert attached.sprite(entity) is sprite
    attachments.disappeared(entity, Tank)
    assert attached.sprite(entity) is None
    assert sprite.killed == 0
    attachments.call_back()
    attachments.call_back()
    assert sprite.killed == 1


def test_what_is_attached_is_no_disturbance_and_what_its_maker_does_is(attached: Attached) -> None:
    attached.attachments.add(Attachment(Tank, Sprite, None))
    attached.appear(Tank())
    attached.attachments.call_back()
    assert attached.stamp.undisturbed

    def busy(entity: int, value: object) -> Sprite:
        esper.create_entity()
        return Sprite(entity, value)

    attached.attachments.add(Attachment(Place, busy, None))
    entity = attached.appear(Place())
    attached.attachments.call_back()
    assert isinstance(attached.sprite(entity), Sprite)
    assert not attached.stamp.undisturbed


def test_an_entity_that_went_before_the_call_gets_nothing(attached: Attached) -> None:
    made: list[Sprite] = []
    attached.attachments.add(Attachment(Tank, lambda *of: made.append(Sprite(*of)), None))
    attached.entities.remove(attached.appear(Tank()))
    with attached.world:
        esper.delete_entity(attached.appear(Tank()))
    attached.attachments.call_back()
    assert made == []
    attached.appear(Tank())
    attached.attachments.call_back()
    assert len(made) == 1


def test_all_are_called_and_the_first_error_comes_out(attached: Attached) -> None:
    def refuse(entity: int, value: object) -> object:
        raise ValueError(entity)

    attached.attachments.add(Attachment(Tank, refuse, None))
    attached.attachments.add(Attachment(Place, Sprite, None))
    first, second = attached.appear(Tank(), Place()), attached.appear(Tank(), Place())
    with pytest.raises(ValueError, match=str(first)):
        attached.attachments.call_back()
    assert isinstance(attached.sprite(first), Sprite)
    assert isinstance(attached.sprite(second), Sprite)
    assert not attached.attachments.calling


def test_a_single_error_comes_out_and_is_not_logged(
    attached: Attached, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(entity: int, value: object) -> object:
        raise ValueError(entity)

    attached.attachments.add(Attachment(Tank, refuse, None))
    for raised in (1, 2):
        for _ in range(raised):
            attached.appear(Tank())
        with pytest.raises(ValueError, match=r"^\d+$"):
            attached.attachments.call_back()
    assert [record.getMessage() for record in caplog.records] == [
        "2 attached functions raised, the last one:"
    ]


def test_what_appeared_twice_before_the_call_is_made_once(attached: Attached) -> None:
    made: list[object] = []

    def make(entity: int, value: object) -> Sprite:
        made.append(value)
        return Sprite(entity, value)

    attached.attachments.add(Attachment(Tank, make, None))
    entity = attached.appear(Tank())
    attached.attachments.disappeared(entity, Tank)
    attached.attachments.appeared(entity, Tank)
    attached.attachments.call_back()
    assert len(made) == 1


def test_nothing_is_made_for_who_has_the_number_of_an_entity_of_a_cleared_world(
    attached: Attached,
) -> None:
    attached.attachments.add(Attachment(Tank, Sprite, None))
    entity = attached.appear(Tank())
    with attached.world:
        esper.clear_database()
        assert esper.create_entity(Tank()) == entity
    attached.attachments.call_back()
    assert attached.sprite(entity) is None


def test_a_function_that_has_no_name_goes_by_its_type() -> None:
    assert str(Attachment(Tank, partial(Sprite), None)) == "partial"
    assert str(Attachment(Tank, Sprite, None)) == "Sprite"


def test_a_replicated_component_is_refused_and_let_go(attached: Attached) -> None:
    removed: list[object] = []
    attached.attachments.add(Attachment(Place, lambda *_: Tank(3), removed.append))
    entity = attached.appear(Place())
    with pytest.raises(UsageError, match="Tank, which is replicated"):
        attached.attachments.call_back()
    assert removed == [Tank(3)]
    assert Tank not in attached.world.components(entity)


def test_all_is_let_go_where_the_world_was_cleared(attached: Attached) -> None:
    attached.attachments.add(Attachment(Tank, Sprite, Sprite.kill))
    entity = attached.appear(Tank())
    attached.attachments.call_back()
    sprite = attached.sprite(entity)
    with attached.world:
        esper.clear_database()
    attached.attachments.clear()
    attached.attachments.call_back()
    assert isinstance(sprite, Sprite)
    assert sprite.killed == 1


# In a view.


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
    assert len(subject.view.attachments._made) == 1


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
