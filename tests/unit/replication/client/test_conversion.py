from __future__ import annotations

import pytest

from ecsnet.replication.client.conversion import Conversion
from tests.unit.replication.client.viewing import (
    CID,
    SCHEMA,
    Angle,
    Bag,
    Likes,
    Place,
    Subject,
    Tank,
    Turret,
)


def test_components_share_nothing_mutable_with_the_store() -> None:
    conversion = Conversion(lambda net: None)
    bag, place = SCHEMA.components[CID[Bag]], SCHEMA.components[CID[Place]]
    said = Bag([1, 2])
    made = conversion.value(bag, said)
    assert made == said
    assert isinstance(made, Bag)
    assert made.items is not said.items
    flat = Place(1.0, 2.0)
    assert conversion.value(place, flat) == flat


def test_references_become_entities_as_far_as_they_are_in_sight() -> None:
    conversion = Conversion(lambda net: {5: 50}.get(net or 0))
    kind = SCHEMA.components[CID[Likes]]
    assert conversion.value(kind, Likes(5, [6, 5])) == Likes(50, [None, 50])


def test_what_a_converter_refuses_is_counted_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    conversion = Conversion(lambda net: None)
    kind = SCHEMA.components[CID[Turret]]
    wrong = Angle(0)
    wrong.degrees = 400
    wire = kind.to_wire(Turret(wrong), lambda entity: None)
    assert conversion.value(kind, wire) is None
    assert conversion.value(kind, wire) is None
    assert conversion.broken == 2
    assert [record.getMessage().split(" from ")[0] for record in caplog.records] == ["a Turret"]


# In a view.


def test_a_value_that_its_converter_refuses_leaves_the_old_one(subject: Subject) -> None:
    subject.show({1: [Turret(Angle(20)), Tank()]})
    wrong = Angle(0)
    wrong.degrees = 400
    subject.show({1: [Turret(wrong), Tank(3)], 2: [Turret(wrong), Tank(4)]})
    assert subject.of(1) == {Turret: Turret(Angle(20)), Tank: Tank(3)}
    assert subject.of(2) == {Tank: Tank(4)}
    assert subject.view.conversion.broken >= 2
    subject.show({2: [Turret(Angle(1))]})
    assert subject.of(2)[Turret] == Turret(Angle(1))
