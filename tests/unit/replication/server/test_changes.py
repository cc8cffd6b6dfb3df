from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import field
from typing import Annotated

import esper
import msgspec
import pytest

from ecsnet.replication.server.changes import (
    BytesScan,
    ChangeDetector,
    LossyScan,
    OnceScan,
    StructScan,
    detector_for,
)
from ecsnet.replication.sizes import CONTAINER_BYTES, ENTITY_BYTES, MENTIONS_OF_ONE, Sizes
from ecsnet.schema import (
    TOO_MANY,
    EntityRef,
    MaxLen,
    Quantized,
    Registry,
    component_type,
    encode,
    register_type,
    replicated,
    use_registry,
)
from ecsnet.world import World


class Fickle:
    """Of some library: its conversion fails a few times."""

    failures = 0


def fickle_to_wire(_: Fickle) -> int:
    if Fickle.failures:
        Fickle.failures -= 1
        raise RuntimeError("not now")
    return 7


with use_registry(Registry()) as registry:
    register_type(Fickle, int, fickle_to_wire, lambda _: Fickle())

    @replicated
    class Tank:
        hp: int = 10
        speed: float = 0.0

    @replicated
    class Coarse:
        x: Annotated[float, Quantized(0.5)] = 0.0

    @replicated
    class Track:
        """Quantised, and of a type that cannot change, in place of which a game may give a list."""

        at: tuple[float, float] = (0.0, 0.0)
        x: Annotated[float, Quantized(0.5)] = 0.0

    @replicated
    class Bag:
        items: list[int] = []

    @replicated
    class Likes:
        whom: EntityRef = None

    @replicated(once=True)
    class Kind:
        number: int = 0

    @replicated(rate=5)
    class Slow:
        n: int = 0

    @replicated
    class Fuzzy:
        """Held by reference in a list: quantised and mutable at a time."""

        points: list[Annotated[float, Quantized(0.5)]] = []

    @replicated
    class Note:
        text: str = ""

    @replicated
    class Crowd:
        groups: list[list[int]] = []

    @replicated
    class Friends:
        who: list[EntityRef] = []

    @replicated
    class Label:
        """Bounded, and large at its bound."""

        text: Annotated[str, MaxLen(2000)] = ""

    @replicated
    class Caption:
        """Bounded by little less than what counts as large, without its container."""

        at: tuple[int, int] = (0, 0)
        text: Annotated[str, MaxLen(247)] = ""

    @replicated
    class Holder:
        fickle: Fickle = field(default_factory=Fickle)


class Subject:
    """One detector over a world of its own, as the entities drives it."""

    def __init__(self, cls: type) -> None:
        self.world = World()
        self.world.__enter__()
        self.cls = cls
        self.nets: dict[int | None, int] = {}
        self.sizes: Sizes[int] = Sizes()
        self.detector: ChangeDetector[int, object] = detector_for(
            component_type(cls), 0, self.nets.get, self.sizes
        )

    def close(self) -> None:
        self.world.__exit__(None, None, None)
        self.world.close()

    def add(self, *values: object) -> list[int]:
        return [esper.create_entity(value) for value in values]

    def sync(self) -> tuple[list[int], list[int]]:
        self.world.flush_dead()
        source = self.world.structure(self.cls)
        assert self.detector.stale(source)
        result = self.detector.sync(source, [entity for entity, _ in source])
        assert not self.detector.stale(source)
        return result

    def sent(self, entity: int) -> object:
        return msgspec.msgpack.decode(encode(self.detector.wires([entity])[0]))


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    made = Subject(request.param)
    yield made
    made.close()


def scanning(cls: type) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("subject", [cls], indirect=True)


def test_the_annotations_choose_how_values_are_compared() -> None:
    kinds = {Tank: StructScan, Coarse: LossyScan, Bag: BytesScan, Likes: BytesScan, Kind: OnceScan}
    kinds |= {Slow: StructScan, Fuzzy: BytesScan}
    for cls, kind in kinds.items():
        assert type(detector_for(component_type(cls), 0, lambda entity: None)) is kind


@scanning(Tank)
def test_what_appears_goes_and_changes_is_told_once(subject: Subject) -> None:
    one, two = subject.add(Tank(1), Tank(2))
    assert subject.sync() == ([one, two], [])
    assert subject.detector.changed() == ([], [])
    esper.component_for_entity(two, Tank).hp = 3
    assert subject.detector.changed() == ([two], [])
    assert subject.detector.changed() == ([], [])
    assert subject.sent(two) == [3, 0.0]
    subject.world.delete(one)
    (three,) = subject.add(Tank(4))
    assert subject.sync() == ([three], [one])
    assert subject.sent(two) == [3, 0.0]
    assert subject.detector.shadow(two) == Tank(3)
    assert subject.detector.shadow(one) is None


@scanning(Tank)
def test_the_shadow_is_a_copy_and_not_the_live_object(subject: Subject) -> None:
    (one,) = subject.add(Tank(1))
    subject.sync()
    esper.component_for_entity(one, Tank).hp = 2
    assert subject.sent(one) == [1, 0.0]
    subject.detector.changed()
    assert subject.sent(one) == [2, 0.0]


@scanning(Tank)
def test_ints_for_floats_and_a_negative_zero_are_no_changes(subject: Subject) -> None:
    (one,) = subject.add(Tank(1, 2.0))
    subject.sync()
    tank = esper.component_for_entity(one, Tank)
    tank.speed = 2
    assert subject.detector.changed() == ([], [])
    tank.speed = 0
    assert subject.detector.changed() == ([one], [])
    tank.speed = -0.0
    assert subject.detector.changed() == ([], [])


@scanning(Tank)
def test_a_replaced_component_is_a_new_value_like_any_other(subject: Subject) -> None:
    (one,) = subject.add(Tank(1))
    subject.sync()
    esper.add_component(one, Tank(9))
    assert subject.sync() == ([], [])
    assert subject.detector.changed() == ([one], [])
    assert subject.sent(one) == [9, 0.0]


@scanning(Tank)
def test_who_comes_again_with_a_bad_value_is_complained_of_again(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        one = esper.create_entity(Tank("much"))  # type: ignore[arg-type]
        subject.sync()
        subject.detector.changed()
        subject.world.delete(one)
        subject.sync()
        esper.clear_database()  # ids begin anew
    assert len(caplog.messages) == 2


@scanning(Bag)
def test_a_change_made_in_place_is_seen(subject: Subject) -> None:
    one, two = subject.add(Bag([1]), Bag([2]))
    subject.sync()
    esper.component_for_entity(one, Bag).items.append(5)
    assert subject.detector.changed() == ([one], [])
    assert subject.sent(one) == [[1, 5]]
    assert subject.sent(two) == [[2]]
    esper.component_for_entity(one, Bag).items[:] = [1, 5]
    assert subject.detector.changed() == ([], [])


@scanning(Fuzzy)
def test_a_change_in_place_below_the_quantisation_step_is_none(subject: Subject) -> None:
    (one,) = subject.add(Fuzzy([1.0]))
    subject.sync()
    points = esper.component_for_entity(one, Fuzzy).points
    points[0] = 1.01
    assert subject.detector.changed() == ([], [])
    points[0] = 1.5
    assert subject.detector.changed() == ([one], [])


@scanning(Coarse)
def test_a_value_whose_quantised_bytes_did_not_change_is_not_sent(subject: Subject) -> None:
    one, two = subject.add(Coarse(1.0), Coarse(5.0))
    subject.sync()
    value = esper.component_for_entity(one, Coarse)
    before = subject.sent(one)
    for x in (1.01, 1.1, 0.95, 1.2):
        value.x = x
        assert subject.detector.changed() == ([], [])
        assert subject.sent(one) == before
    value.x = 1.5
    assert subject.detector.changed() == ([one], [])
    assert subject.sent(one) != before
    subject.world.delete(two)
    assert subject.sync() == ([], [two])
    assert subject.detector.clear() == [one]
    assert subject.sync() == ([one], [])
    assert subject.sent(one) == msgspec.msgpack.decode(encode([3]))


@scanning(Track)
def test_a_list_in_place_of_a_tuple_is_compared_by_its_bytes(subject: Subject) -> None:
    (one,) = subject.add(Track((1.0, 2.0)))
    subject.sync()
    track = esper.component_for_entity(one, Track)
    at = track.at = [1.0, 2.0]  # type: ignore[assignment]
    assert subject.detector.changed() == ([], [])
    for x in (3.0, 4.0):
        at[0] = x
        assert subject.detector.changed() == ([one], [])
        assert subject.sent(one) == [[x, 2.0], 0]
    assert subject.detector.changed() == ([], [])
    at[0] = math.nan  # which equals nothing
    assert subject.detector.changed() == ([one], [])
    assert subject.detector.changed() == ([], [])


@scanning(Likes)
def test_a_reference_is_a_network_id_and_changes_with_it(subject: Subject) -> None:
    one, two = subject.add(Likes(), Likes())
    subject.sync()
    likes = esper.component_for_entity(one, Likes)
    likes.whom = two
    assert subject.detector.changed() == ([], [])  # it has none yet: None on the wire
    subject.nets[two] = 88
    assert subject.detector.changed() == ([one], [])
    assert subject.sent(one) == [88]
    del subject.nets[two]
    assert subject.detector.changed() == ([one], [])
    assert subject.sent(one) == [None]


@scanning(Kind)
def test_a_once_component_keeps_the_bytes_of_its_insert(subject: Subject) -> None:
    (one,) = subject.add(Kind(1))
    subject.sync()
    esper.component_for_entity(one, Kind).number = 2
    assert subject.detector.changed() == ([], [])
    subject.add(Kind(7))
    subject.sync()
    assert subject.sent(one) == [1]


@scanning(Kind)
def test_another_instance_of_a_once_component_is_another_insert(subject: Subject) -> None:
    one, two = subject.add(Kind(1), Kind(5))
    subject.sync()
    esper.add_component(one, Kind(3))
    assert subject.sync() == ([one], [one])
    assert subject.sent(one) == [3]
    assert subject.sent(two) == [5]


def test_a_rated_type_is_compared_every_so_many_ticks_and_types_take_turns() -> None:
    def ticks(cid: int) -> list[int]:
        detector = detector_for(component_type(Slow), cid, lambda entity: None)
        return [tick for tick in range(1, 21) if detector.due(tick)]

    assert ticks(0) == [1, 6, 11, 16]
    assert ticks(2) == [2, 7, 12, 17]
    detector = detector_for(component_type(Slow), 0, lambda entity: None)
    assert [tick for tick in (4, 5, 8, 9, 14, 30, 31, 35) if detector.due(tick)] == [
        4,
        9,
        14,
        30,
        35,
    ]


# An invalid value is not sent.


@pytest.mark.parametrize("bad", ["x", 2.5, 2**70, None])
@scanning(Tank)
def test_an_invalid_value_is_not_sent_and_is_named_once(
    subject: Subject, bad: object, caplog: pytest.LogCaptureFixture
) -> None:
    one, two, three = subject.add(Tank(1), Tank(2), Tank(3))
    subject.sync()
    tank = esper.component_for_entity(two, Tank)
    with caplog.at_level(logging.ERROR, "ecsnet.server"):
        tank.hp = bad  # type: ignore[assignment]
        esper.component_for_entity(three, Tank).hp = 33
        assert subject.detector.changed() == ([three], [])  # the good ones go on
        assert subject.detector.changed() == ([], [])
    (line,) = caplog.messages
    assert line.startswith(f"Tank.hp: {bad!r} is not int on entity {two}")
    assert line.endswith("; clients keep the last valid Tank")
    assert subject.sent(two) == [2, 0.0]  # the last good value
    assert subject.sent(one) == [1, 0.0]
    tank.hp = 4
    assert subject.detector.changed() == ([two], [])
    with caplog.at_level(logging.ERROR, "ecsnet.server"):
        tank.hp = bad  # type: ignore[assignment]
        subject.detector.changed()
    assert len(caplog.messages) == 2  # it was good in between


@scanning(Tank)
def test_a_component_that_was_never_good_is_said_to_be_missing(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = subject.add(Tank("x"))  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR, "ecsnet.server"):
        assert subject.sync() == ([], [])
    (line,) = caplog.messages
    assert line == (
        f"Tank.hp: 'x' is not int on entity {one}; clients get no Tank until it is valid"
    )


@scanning(Bag)
def test_a_bad_value_among_mutable_ones_stays_at_home(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = subject.add(Bag([1]), Bag([2]))
    subject.sync()
    esper.component_for_entity(one, Bag).items.append(10**30)  # no encoder takes that
    esper.component_for_entity(two, Bag).items.append(3)
    with caplog.at_level(logging.ERROR, "ecsnet.server"):
        assert subject.detector.changed() == ([two], [])
        assert subject.detector.changed() == ([], [])
    assert len(caplog.messages) == 1
    assert subject.sent(one) == [[1]]
    assert subject.sent(two) == [[2, 3]]
    esper.component_for_entity(one, Bag).items.pop()
    assert subject.detector.changed() == ([], [])


@scanning(Coarse)
def test_a_value_that_cannot_be_quantised_stays_at_home(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = subject.add(Coarse(1.0), Coarse(2.0))
    subject.sync()
    before = subject.sent(one)
    esper.component_for_entity(one, Coarse).x = math.nan
    esper.component_for_entity(two, Coarse).x = 3.0
    with caplog.at_level(logging.ERROR, "ecsnet.server"):
        assert subject.detector.changed() == ([two], [])
    assert "Coarse.x: nan" in caplog.text
    assert subject.sent(one) == before


@scanning(Tank)
def test_what_was_bad_from_the_beginning_appears_when_it_is_good(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = subject.add(Tank("x"), Tank(2))  # type: ignore[arg-type]
    assert subject.sync() == ([two], [])
    assert subject.detector.changed() == ([], [])
    assert subject.detector.shadow(one) is None
    esper.component_for_entity(one, Tank).hp = 7
    assert subject.detector.changed() == ([], [one])
    subject.world.delete(one)
    subject.world.delete(two)
    assert subject.sync() == ([], [one, two])


@scanning(Tank)
def test_what_never_had_a_good_value_goes_unmentioned(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = subject.add(Tank("x"))  # type: ignore[arg-type]
    assert subject.sync() == ([], [])
    subject.world.delete(one)
    (two,) = subject.add(Tank())
    assert subject.sync() == ([two], [])
    assert subject.detector.clear() == [two]
    assert subject.detector.clear() == []


@scanning(Kind)
def test_a_bad_once_component_is_tried_again_until_it_is_good(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = subject.add(Kind("x"))  # type: ignore[arg-type]
    assert subject.sync() == ([], [])
    assert subject.detector.changed() == ([], [])
    esper.component_for_entity(one, Kind).number = 4
    assert subject.detector.changed() == ([], [one])
    assert subject.sent(one) == [4]


@scanning(Kind)
def test_a_bad_once_component_that_is_replaced_by_a_good_one_appears_and_never_went(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = subject.add(Kind("x"))  # type: ignore[arg-type]
    assert subject.sync() == ([], [])
    esper.add_component(one, Kind(2))
    assert subject.sync() == ([one], [])
    assert subject.sent(one) == [2]


@pytest.mark.parametrize("subject", [Tank, Coarse, Bag, Kind], indirect=True)
def test_what_went_and_comes_again_with_the_same_value_appears_again(subject: Subject) -> None:
    (one,) = subject.add(subject.cls())
    assert subject.sync() == ([one], [])
    esper.remove_component(one, subject.cls)
    assert subject.sync() == ([], [one])
    esper.add_component(one, subject.cls())
    assert subject.sync() == ([one], [])


@scanning(Tank)
def test_the_bits_of_all_are_those_of_the_entities_that_are_there(subject: Subject) -> None:
    one, two = subject.add(Tank(1), Tank(2))
    subject.sync()
    for _ in range(2):
        found = subject.detector.bits_of([one, two])
        assert found == {one: 1, two: 1}
        found[one] = 7  # whoever asked may add the bits of other types
    subject.world.delete(one)
    (three,) = subject.add(Tank(3))
    subject.sync()
    assert subject.detector.bits_of([two, three]) == {two: 1, three: 1}
    assert subject.detector.bits_of([three]) == {three: 1}


@scanning(Tank)
def test_once_all_is_cleared_there_is_nothing_to_compare(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    subject.add(Tank(1))
    esper.add_component(esper.create_entity(), Coarse(), Tank)  # under a type that is not its own
    subject.sync()
    assert subject.detector.count == 2
    subject.detector.clear()
    assert subject.detector.count == 0
    assert subject.detector.changed() == ([], [])


def test_a_conversion_that_fails_only_at_times_is_named_without_a_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    subject = Subject(Holder)
    (one,) = subject.add(Holder())
    Fickle.failures = 2  # of all in one go, and of each by itself
    assert subject.sync() == ([], [])
    assert caplog.messages == [
        f"Holder on entity {one}: it cannot be encoded; clients get no Holder until it is valid"
    ]
    assert subject.detector.changed() == ([], [one])
    subject.close()


# Large values are counted, see `Sizes`.


@scanning(Note)
def test_a_large_value_counts_beside_one_that_cannot_be_sent(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    large, bad = subject.add(Note("x" * 5000), Note(7))  # type: ignore[arg-type]
    assert subject.sync() == ([large], [])
    assert subject.sizes.total(large) > 5000
    assert subject.sizes.total(bad) == 0
    subject.detector.clear()
    assert subject.sizes.total(large) == 0


@scanning(Bag)
def test_a_value_counts_from_the_first_byte_beyond_what_is_small(subject: Subject) -> None:
    (one,) = subject.add(Bag([0]))
    subject.sync()
    bag = esper.component_for_entity(one, Bag)
    counted = []
    for length in range(980, 1040):
        for bag.items in ([], [1] * length):
            assert subject.detector.changed() == ([one], [])
        weight = len(encode([bag.items])) + CONTAINER_BYTES
        counted.append(subject.sizes.total(one) > 0)
        assert counted[-1] is (weight > subject.sizes.small)
    assert set(counted) == {False, True}


@scanning(Crowd)
def test_each_container_counts_beside_its_bytes(subject: Subject) -> None:
    groups = [[1, 2, 3]] * 200
    (one,) = subject.add(Crowd(groups))
    subject.sync()
    assert len(encode([groups])) < subject.sizes.small
    weight = len(encode([groups])) + CONTAINER_BYTES * 201
    assert weight <= subject.sizes.total(one) < weight + CONTAINER_BYTES


@pytest.mark.parametrize(
    ("value", "subject"),
    [(Label("x" * 2000), Label), (Caption((-(2**62), 2**62), "\U0001f600" * 247), Caption)],
    indirect=["subject"],
)
def test_a_value_of_a_bounded_type_counts_where_it_is_large(
    subject: Subject, value: object
) -> None:
    bound = component_type(type(value)).bound
    assert bound is not None
    (one,) = subject.add(value)
    assert subject.sync() == ([one], [])
    assert subject.sizes.total(one) > subject.sizes.small


@scanning(Crowd)
def test_more_containers_than_are_counted_are_called_more(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = subject.add(Crowd([[]] * (TOO_MANY - 1)))
    assert subject.sync() == ([], [])
    assert f" bytes in {TOO_MANY:,} containers on entity {one}" in caplog.text


@scanning(Note)
def test_an_entity_has_room_up_to_the_last_byte(subject: Subject) -> None:
    (one,) = subject.add(Note())
    subject.sync()
    around = subject.sizes.would_be(one, 0, 5000) - 5000
    text = "x" * (ENTITY_BYTES - around - 6)
    assert len(encode([text])) + around == ENTITY_BYTES
    assert subject.detector.has_room(one, Note(text))
    assert not subject.detector.has_room(one, Note(text + "x"))
    esper.component_for_entity(one, Note).text = text
    assert subject.detector.changed() == ([one], [])


@scanning(Friends)
def test_a_component_has_room_for_so_many_references(subject: Subject) -> None:
    (one,) = subject.add(Friends())
    subject.sync()
    for count, fits in ((MENTIONS_OF_ONE, True), (MENTIONS_OF_ONE + 1, False)):
        wire = component_type(Friends).to_wire(Friends([1] * count), lambda entity: entity)
        assert subject.detector.has_room(one, wire) is fits
