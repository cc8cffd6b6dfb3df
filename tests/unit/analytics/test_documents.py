"""Records become documents, the same ones each time."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import msgspec

import ecsnet as net
from ecsnet.analytics.declared import declare
from ecsnet.analytics.documents import DOCUMENT_LIMIT, Origin, documents_of, size_of
from ecsnet.analytics.records import Declared, Event, Match, Slice, decode, encode
from ecsnet.analytics.values import Document
from ecsnet.schema import PLAIN, ComponentType, Registry, component_type, use_registry

MATCH = Match(0, bytes(range(16)), 1_700_000_000_000, "red", 60.0)
POSITION = Declared("position", "ecsnet.Position", ("x", "y"), (PLAIN, PLAIN))
ORIGIN = Origin(MATCH, "srv", (POSITION,))


def event(**changed: Any) -> Event:
    told: dict[str, Any] = {
        "match": 0,
        "seq": 7,
        "tick": 30,
        "time": 1_700_000_000_500,
        "type": "pickup",
        "player": 2,
        "entity": 5,
        "own": False,
        "data": {},
    }
    return Event(**{**told, **changed})


def taken(entities: list[int], values: list[object], owners: list[int | None]) -> Slice:
    return Slice(0, 3, 60, 59, 1_700_000_001_000, entities, owners, [(0, values)])


def only(record: Event | Slice) -> Document:
    (document,) = documents_of(record, ORIGIN)
    return document


def test_a_record_says_what_it_is_part_of() -> None:
    document = only(event())
    assert document["_id"] == f"{MATCH.id.hex()}-00000007"
    assert (document["match"], document["server"], document["room"]) == (
        MATCH.id.hex(),
        "srv",
        "red",
    )
    assert (document["tick"], document["type"], document["player"], document["entity"]) == (
        30,
        "pickup",
        2,
        5,
    )


def test_a_slice_becomes_entities_with_their_components() -> None:
    document = only(taken([4, 9], [[1.5, 2.0], None], [1, None]))
    assert document["entities"] == [
        {"id": 4, "owner": 1, "position": {"x": 1.5, "y": 2.0}},
        {"id": 9, "owner": None},
    ]
    assert (document["tick"], document["snapshot"]) == (60, 59)


def test_keys_of_the_author_stay_and_keys_of_players_do_not() -> None:
    given = {"gold": 3, "info": {"$set": 1}, "$where": "x", "a.b": 1, "": 0}
    assert only(event(data=given))["data"] == {
        "gold": 3,
        "info": [{"k": "$set", "v": 1}],
        "others": [{"k": "$where", "v": "x"}, {"k": "a.b", "v": 1}, {"k": "", "v": 0}],
    }


def test_a_record_makes_the_same_documents_each_time() -> None:
    values: list[object] = [[float(n), "x" * 300] for n in range(500)]
    record = taken(list(range(500)), values, [None] * 500)
    first = list(documents_of(record, ORIGIN))
    again = decode(encode(record))
    assert isinstance(again, Slice)
    assert first == list(documents_of(again, ORIGIN))
    assert len(first) > 1
    assert [document["_id"] for document in first] == [
        f"{MATCH.id.hex()}-00000003.{part}" for part in range(1, len(first) + 1)
    ]
    assert all(size_of(document) <= DOCUMENT_LIMIT + 1024 for document in first)
    entities = [entity for document in first for entity in document["entities"]]  # type: ignore[union-attr]
    assert [entity["id"] for entity in entities] == list(range(500))  # type: ignore[index,call-overload]


def test_one_entity_that_is_too_large_is_told_by_its_size() -> None:
    document = only(taken([1], [["x" * 200_000, 1]], [None]))
    entity = document["entities"][0]  # type: ignore[index]
    assert entity["id"] == 1  # type: ignore[index,call-overload]
    assert entity["position"]["too_large"] > 200_000  # type: ignore[index,call-overload]


def test_columns_that_do_not_fit_are_told_as_they_stand() -> None:
    document = only(taken([1, 2, 3], [[1], "x", [1, 2, 3]], []))
    assert document["entities"] == [
        {"id": 1, "owner": None, "position": {"value": [1]}},
        {"id": 2, "owner": None, "position": {"value": "x"}},
        {"id": 3, "owner": None, "position": {"value": [1, 2, 3]}},
    ]


def test_a_declared_type_is_called_by_its_name_and_told_as_what_it_holds() -> None:
    with use_registry(Registry()) as registry:

        class Colour(enum.Enum):
            RED = 1

        @net.replicated
        class Position:
            at: tuple[int, int] = (0, 0)

        @net.replicated
        class Id:
            colour: Colour | None = None
            nested: list[Position] = []

        made = {each.name: each for each in declare(registry.types(ComponentType))}
        own = next(name for name in made if name.endswith("Position") and "ecsnet." not in name)
        taken_key = next(name for name in made if name.endswith(".Id"))
        assert made["ecsnet.Position"].key == "ecsnet_position"
        assert made[own].key != "position"
        assert made[taken_key].key not in ("id", "owner")
        value = Id(Colour.RED, [Position((1, 2))])
        raw = msgspec.msgpack.decode(msgspec.msgpack.encode(value))
        origin = Origin(MATCH, "", [made[taken_key]])
        (document,) = documents_of(taken([1], [raw], [None]), origin)
        entity: Any = document["entities"]
        assert entity[0][made[taken_key].key] == {
            "colour": "RED",
            "nested": [{"at": [1, 2]}],
        }


def test_a_registered_type_is_told_as_what_crosses_in_its_place() -> None:
    with use_registry(Registry()) as registry:

        class Colour(enum.Enum):
            RED = 1

        class Point(msgspec.Struct, array_like=True):
            x: int

        class Paint:
            def __init__(self, colour: Colour) -> None:
                self.colour = colour

        class Mark:
            def __init__(self, point: Point) -> None:
                self.point = point

        net.register_type(Paint, Colour, lambda paint: paint.colour, Paint)
        net.register_type(Mark, Point, lambda mark: mark.point, Mark)

        @net.replicated
        class Wall:
            paint: Paint
            marks: list[Mark] = []

        declared = next(d for d in declare(registry.types(ComponentType)) if "Wall" in d.name)
        wire = component_type(Wall).to_wire(Wall(Paint(Colour.RED), [Mark(Point(3))]), lambda _: 0)
        raw = msgspec.msgpack.decode(msgspec.msgpack.encode(wire))
        assert raw == [1, [[3]]]
        (document,) = documents_of(taken([1], [raw], [None]), Origin(MATCH, "", [declared]))
        entity: Any = document["entities"]
        assert entity[0][declared.key] == {"paint": "RED", "marks": [{"x": 3}]}


def test_a_limit_is_no_part_of_what_two_ends_agree_on() -> None:
    def fingerprint(annotation: object) -> bytes:
        with use_registry(Registry()) as registry:

            class Gold:
                amount: annotation = 0  # type: ignore[valid-type]

            net.replicated(Gold)
            return registry.schema().fingerprint

    assert fingerprint(int) == fingerprint(Annotated[int, net.Suspect(max_rate=5)])
