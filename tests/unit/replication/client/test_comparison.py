from __future__ import annotations

import math

import esper

from ecsnet.replication.client.comparison import comparable, mend_written
from ecsnet.replication.client.samples import Blend
from tests.unit.replication.client.viewing import CID, Angle, Bag, Place, Subject, Tank, Turret


def test_what_the_game_took_away_is_compared_too(subject: Subject) -> None:
    subject.show({1: [Tank(1)], 2: [Place(1, 2)]})
    with subject.world:
        esper.remove_component(2, Place)
    assert list(comparable(subject.view, subject.store)) == [
        (1, CID[Tank], Tank(1), Tank(1)),
        (2, CID[Place], None, Place(1, 2)),
    ]


def test_a_written_component_is_found_named_and_put_right(subject: Subject) -> None:
    subject.show({1: [Tank(1)], 2: [Place(1, 2), Bag([1])]})
    assert mend_written(subject.view, subject.store) is None
    place, bag = subject.of(2)[Place], subject.of(2)[Bag]
    assert isinstance(place, Place)
    assert isinstance(bag, Bag)
    place.y = 5
    assert mend_written(subject.view, subject.store) == (2, "Place.y")
    assert place.y == 2
    bag.items.append(3)
    assert mend_written(subject.view, subject.store) == (2, "Bag.items")
    assert mend_written(subject.view, subject.store) is None
    with subject.world:
        esper.remove_component(2, Place)
        esper.delete_entity(1, immediate=True)
    subject.view.local.pop(1)
    assert mend_written(subject.view, subject.store) is None  # that is not writing


def test_what_is_not_a_number_was_not_written(subject: Subject) -> None:
    subject.show({1: [Place(math.nan, 1.0)]})
    assert mend_written(subject.view, subject.store) is None
    place = subject.of(1)[Place]
    assert isinstance(place, Place)
    place.x = 4.0
    assert mend_written(subject.view, subject.store) == (1, "Place.x")
    assert math.isnan(place.x)


def test_what_a_converter_refuses_was_not_written_and_hides_nothing_that_was(
    subject: Subject,
) -> None:
    subject.show({1: [Turret(Angle(90)), Tank(1)]})
    values = subject.store.entities[1].values
    assert [*values] == [CID[Turret], CID[Tank]]  # they are compared in this order
    values[CID[Turret]] = 400  # there is no such angle
    assert mend_written(subject.view, subject.store) is None
    assert subject.of(1)[Turret] == Turret(Angle(90))
    tank = subject.of(1)[Tank]
    assert isinstance(tank, Tank)
    tank.hp = 5
    assert mend_written(subject.view, subject.store) == (1, "Tank.hp")


def test_what_is_not_shown_yet_was_not_written(subject: Subject) -> None:
    subject.show({1: [Tank(1)], 2: [Tank(1)]})
    subject.say({1: [Tank(2)]})
    assert mend_written(subject.view, subject.store) is None
    assert subject.of(1)[Tank] == Tank(1)
    subject.poll()
    assert subject.of(1)[Tank] == Tank(2)


def test_what_lies_between_two_values_was_not_written(subject: Subject) -> None:
    subject.show({1: [Place(1.0, 2.0)]})
    blend = Blend((1.0, 2.0), (3.0, 6.0), 0.5)
    subject.view.blend(subject.store, {(1, CID[Place]): blend})
    assert mend_written(subject.view, subject.store) is None
    place = subject.of(1)[Place]
    assert isinstance(place, Place)
    place.y = 9.0
    assert mend_written(subject.view, subject.store) == (1, "Place.y")
    assert place == Place(2.0, 4.0)
    assert subject.store.entities[1].values[CID[Place]] == Place(1.0, 2.0)
