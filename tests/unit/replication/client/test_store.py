from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count

import msgspec
import pytest

import ecsnet.replication.client.store as module
from ecsnet.replication.client.store import CONTENT_BYTES, Store
from ecsnet.replication.encoding import deltas, encode_run, encode_structure
from ecsnet.replication.wire import (
    HELD,
    MESSAGE_BYTES,
    STRUCTURE_TAG,
    U32,
    Events,
    Report,
    Structure,
    Update,
    WireFormat,
    encode_part,
)
from ecsnet.schema import EntityRef, Gate, Registry, encode, replicated, use_registry
from ecsnet.schema.contents import total

with use_registry(Registry()) as registry:

    @replicated
    class Place:
        x: float = 0.0

    @replicated
    class Tank:
        hp: int = 10

    @replicated
    class Likes:
        whom: EntityRef = None

    @replicated
    class Bag:
        items: list[int] = []

    @replicated(interpolate=True)
    class Ghost:
        x: float = 0.0

    @replicated(predicted=False)
    class Score:
        points: int = 0


SCHEMA = registry.schema()
PLACE, TANK = SCHEMA.cid_of[Place], SCHEMA.cid_of[Tank]
BAG, GHOST, SCORE = SCHEMA.cid_of[Bag], SCHEMA.cid_of[Ghost], SCHEMA.cid_of[Score]
EPOCH = 77

Column = tuple[int, Sequence[object]]


class Subject:
    """A store that takes what went over the wire, through the gates."""

    def __init__(self, *, tick: int = 0, waiting_bytes: int = 1 << 20) -> None:
        self.wire = WireFormat(SCHEMA)
        self.messages: Gate[Structure[object]] = Gate(self.wire.structure, 1 << 20)
        self.store = Store(self.wire, EPOCH, tick, waiting_bytes)
        self.number = 0

    def update(
        self,
        tick: int,
        *runs: tuple[Sequence[int], Sequence[Column]],
        depends: int | None = None,
        confirmed_tick: int = 0,
        report: Report | None = None,
        epoch: int = EPOCH,
        part: int = 0,
        size: int | None = None,
    ) -> bool:
        """An update; it is taken for one of ``size`` bytes."""
        head = (
            epoch,
            tick & U32,
            confirmed_tick,
            self.number if depends is None else depends,
            part,
            report,
        )
        body = [(deltas(nets), columns) for nets, columns in runs]
        data = encode((*head, body))
        update: Update[object, object] | None = self.wire.update.decode(data)
        assert update is not None
        return self.store.update(update, len(data) if size is None else size)

    def structure(
        self,
        tick: int,
        *runs: tuple[Sequence[int], Sequence[Column]],
        despawned: Sequence[int] = (),
        hidden: Sequence[int] = (),
        removed: Sequence[tuple[int, Sequence[int]]] = (),
        epoch: int = EPOCH,
        number: int | None = None,
        size: int = 0,
    ) -> bool:
        sets = [msgspec.Raw(encode_run(nets, list(columns))) for nets, columns in runs]
        raw = encode_structure(epoch, tick, list(despawned), list(hidden), list(removed), sets)
        message = self.messages.decode(raw)
        assert message is not None
        self.number = self.number + 1 if number is None else number
        return self.store.structure(self.number, message, size)

    def tank(self, net: int) -> object:
        return self.store.entities[net].values.get(TANK)

    def values(self) -> dict[int, dict[int, object]]:
        return {net: dict(record.values) for net, record in self.store.entities.items()}


def tanks(*hp: int) -> Column:
    return TANK, [[value] for value in hp]


@pytest.fixture
def subject() -> Subject:
    made = Subject()
    made.structure(1, ([3, 5], [tanks(30, 50), (PLACE, [[3.0], [5.0]])]))
    made.store.dirty.clear()
    return made


def test_structure_brings_entities_with_their_values(subject: Subject) -> None:
    subject = Subject()
    assert subject.structure(4, ([3, 9], [tanks(30, 90)]), ([12], []))
    assert subject.values() == {3: {TANK: Tank(30)}, 9: {TANK: Tank(90)}, 12: {}}
    assert subject.store.entities[3].ticks == {TANK: 4}
    assert subject.store.dirty == {3: {TANK}, 9: {TANK}, 12: set()}
    assert subject.store.structured == 1


def test_the_newest_value_wins_in_whatever_order_packets_come(subject: Subject) -> None:
    ticks = list(range(2, 40))
    random.Random(4).shuffle(ticks)
    best = 1
    for tick in [*ticks, *ticks]:  # each twice
        subject.update(tick, ([3], [tanks(tick)]))
        best = max(best, tick)
        assert subject.tank(3) == Tank(best)
        assert subject.store.tick == best
    assert subject.tank(5) == Tank(50)


def test_structural_values_have_ticks_too(subject: Subject) -> None:
    subject.update(9, ([3], [tanks(9)]))
    # Removed and inserted anew at 12: what was sent at 10 comes too late.
    subject.structure(12, ([3], [tanks(12)]), removed=[(TANK, [3])])
    subject.update(10, ([3], [tanks(10)]), depends=1)
    assert subject.tank(3) == Tank(12)
    subject.update(13, ([3], [tanks(13)]))
    assert subject.tank(3) == Tank(13)
    # A structural value that is older than what came by itself loses as well.
    subject.structure(11, ([3], [tanks(11)]))
    assert subject.tank(3) == Tank(13)


def test_a_value_for_what_is_not_known_is_dropped_when_its_structure_was_there(
    subject: Subject,
) -> None:
    subject.structure(2, removed=[(PLACE, [3])])
    assert subject.update(5, ([3], [(PLACE, [[9.0]])]), ([8], [tanks(8)]))
    assert 8 not in subject.store.entities
    assert PLACE not in subject.store.entities[3].values
    # Not kept for later either.
    subject.structure(4, ([8], [tanks(1)]), ([3], [(PLACE, [[1.0]])]))
    assert subject.tank(8) == Tank(1)
    assert subject.store.entities[3].values[PLACE] == Place(1.0)


def test_a_value_that_depends_on_structure_waits_for_it(subject: Subject) -> None:
    subject.update(7, ([8], [tanks(87)]), depends=3)
    subject.update(6, ([8], [tanks(86)]), depends=3)
    subject.structure(2)
    assert 8 not in subject.store.entities
    subject.structure(5, ([8], [tanks(85)]))
    assert subject.tank(8) == Tank(87)  # the newest of those that waited
    assert subject.store._waiting_bytes == 0


def test_a_waiting_value_for_a_known_key_is_shown_at_once(subject: Subject) -> None:
    subject.update(7, ([3], [tanks(37)]), depends=2)
    assert subject.tank(3) == Tank(37)
    # The structure takes the component away and brings it back with an older value.
    subject.structure(6, ([3], [tanks(36)]), removed=[(TANK, [3])])
    assert subject.tank(3) == Tank(37)


def test_of_what_waits_the_newest_per_key_is_kept_and_its_bytes_are_counted() -> None:
    subject = Subject()
    for tick in range(1, 200):
        subject.update(tick, ([8, 9], [tanks(tick, tick)]), depends=5)
    assert len(subject.store._waiting) == 2
    assert 0 < subject.store._waiting_bytes < 500
    assert not subject.store.resync


def test_when_too_much_waits_everything_is_asked_for_again() -> None:
    subject = Subject(waiting_bytes=2000)
    for net in range(1, 40):
        subject.update(3, ([net], [tanks(net)]), depends=5)
        if subject.store.resync:
            break
    assert subject.store.resync
    assert subject.store._waiting_bytes == len(subject.store._waiting) == 0
    assert 10 < net < 39


def test_another_kind_of_message_counts_for_what_waits(subject: Subject) -> None:
    subject.update(7, ([3], [tanks(37)]), depends=2)
    subject.store.passed(2)
    assert subject.store.structured == 2
    assert not subject.store._waiting
    subject.store.passed(3)


def test_what_goes_says_whether_it_is_gone_or_only_out_of_sight(subject: Subject) -> None:
    subject.structure(2, despawned=[3], hidden=[5])
    assert not subject.store.entities
    assert subject.store.went == {3: "despawned", 5: "hidden"}
    assert subject.store.dirty == {3: {TANK, PLACE}, 5: {TANK, PLACE}}
    subject.structure(3, despawned=[3, 99], removed=[(TANK, [5])])  # known no more
    assert subject.store.went == {3: "despawned", 5: "hidden"}


def test_removals_take_components_and_forget_their_ticks(subject: Subject) -> None:
    subject.update(50, ([3], [tanks(1)]))
    subject.structure(51, removed=[(TANK, [3, 5, 6]), (40, [3])])
    assert subject.values() == {3: {PLACE: Place(3.0)}, 5: {PLACE: Place(5.0)}}
    assert TANK in subject.store.dirty[3]
    subject.structure(52, ([3], [tanks(7)]))
    assert subject.tank(3) == Tank(7)


def test_what_names_another_simulation_is_dropped(subject: Subject) -> None:
    before = subject.values()
    assert not subject.update(9, ([3], [tanks(1)]), epoch=EPOCH + 1)
    assert not subject.structure(9, despawned=[3], epoch=EPOCH + 1)
    assert subject.store.dropped == 2
    assert (subject.values(), subject.store.tick) == (before, 0)
    assert subject.store.structured == 2  # its place in the channel counts
    assert not subject.store.happened(Events(EPOCH + 1, 9, []), 10)
    assert subject.store.dropped == 3
    assert subject.store.happened(Events(EPOCH, 9, []), 10)


def test_a_run_that_contradicts_itself_is_dropped_with_all_that_came_along(
    subject: Subject,
) -> None:
    before = subject.values()
    for column in (tanks(1), tanks(1, 2, 3)):
        assert not subject.update(9, ([3], [tanks(8)]), ([3, 5], [column]))
        assert not subject.structure(9, ([3], [tanks(8)]), ([3, 5], [column]), despawned=[5])
    assert subject.store.dropped == 4
    assert (subject.values(), subject.store.tick) == (before, 0)


def test_confirmed_tick_is_what_the_server_says_once_its_structure_is_there(
    subject: Subject,
) -> None:
    subject.update(20, confirmed_tick=3)
    assert subject.store.confirmed_tick == 17
    subject.update(19, confirmed_tick=0)
    assert subject.store.confirmed_tick == 19
    subject.update(15, confirmed_tick=0)  # an old packet takes nothing back
    assert subject.store.confirmed_tick == 19
    subject.update(30, confirmed_tick=0, depends=2)
    assert subject.store.confirmed_tick == 19
    subject.structure(30)
    subject.update(31, confirmed_tick=0)
    assert subject.store.confirmed_tick == 31


def test_while_values_wait_for_structure_no_more_is_confirmed(subject: Subject) -> None:
    store = subject.store
    subject.update(5, ([3], [tanks(35)]), depends=3)
    subject.update(8, ([3], [tanks(38)]), depends=4)  # the one that is kept
    subject.structure(2, hidden=[3])
    subject.structure(4, ([3], [tanks(34)]))
    # All of tick 5 has come, but for the moment what shows is older.
    subject.update(6, confirmed_tick=1, depends=3)
    assert (subject.tank(3), store.confirmed_tick) == (Tank(34), 0)
    subject.structure(8)
    assert subject.tank(3) == Tank(38)
    subject.update(9, confirmed_tick=1)
    assert store.confirmed_tick == 8


def test_while_a_resync_is_open_nothing_is_confirmed(subject: Subject) -> None:
    store = subject.store
    store.resync = True
    subject.update(20, confirmed_tick=0)
    assert store.confirmed_tick == 0
    store.resync, store.asked = False, 1
    subject.update(21, confirmed_tick=0)
    assert store.confirmed_tick == 0
    subject.structure(22)  # a message without content is the answer
    assert store.asked == 0
    subject.update(23, confirmed_tick=0, depends=1)  # sent before the server knew
    assert store.confirmed_tick == 0
    subject.update(24, confirmed_tick=1)
    assert store.confirmed_tick == 23


@pytest.mark.parametrize("content", ["despawned", "hidden", "removed", "set"])
def test_a_message_with_content_is_no_answer_to_a_resync(subject: Subject, content: str) -> None:
    subject.store.asked = 1
    match content:
        case "despawned":
            subject.structure(22, despawned=[3])
        case "hidden":
            subject.structure(22, hidden=[3])
        case "removed":
            subject.structure(22, removed=[(TANK, [3])])
        case "set":
            subject.structure(22, ([3], [tanks(7)]))
    assert subject.store.asked == 1
    subject.structure(23)
    assert subject.store.asked == 0


def test_who_comes_back_while_it_is_held_for_an_event_is_another(subject: Subject) -> None:
    store = subject.store
    store.events.came += 1  # one that nobody was given
    subject.structure(2, despawned=[3], hidden=[5])
    assert set(store.entities) == {3, 5}
    assert store.went == {}
    subject.structure(3, ([3], [tanks(7)]))
    assert store.went == {3: "despawned"}
    assert subject.values()[3] == {TANK: Tank(7)}
    store.events.returned = store.events.came
    store.depart()
    assert set(store.entities) == {3}
    assert store.went == {3: "despawned", 5: "hidden"}
    # What has gone is not let go once more when it comes again.
    subject.structure(4, ([5], [tanks(9)]))
    store.depart()
    assert set(store.entities) == {3, 5}


def test_the_newest_report_is_kept(subject: Subject) -> None:
    subject.update(5, report=Report(16, 1))
    subject.update(7)
    subject.update(6, report=Report(99))
    assert subject.store.report == Report(16, 1)
    subject.update(8, report=Report(-4, 2, 3, 4, 5))
    assert subject.store.report == Report(-4, 2, 3, 4, 5)


def test_ticks_and_numbers_go_on_where_the_wires_wrap() -> None:
    start = 2**32 - 3
    subject = Subject(tick=start)
    subject.number = 2**32 - 2
    subject.store.passed(subject.number)
    subject.structure(start & U32, ([3], [tanks(1)]))
    for tick in range(start, start + 8):
        subject.update(tick, ([3], [tanks(tick - start)]), depends=subject.number & U32)
    assert subject.store.tick == start + 7
    assert subject.store.entities[3].ticks[TANK] == start + 7
    assert subject.tank(3) == Tank(7)
    assert subject.store.confirmed_tick == start + 7
    subject.update(start + 9, ([3], [tanks(9)]), depends=(subject.number + 2) & U32)
    assert subject.store._waiting
    subject.structure(9, number=2**32)
    subject.structure(9, ([5], [tanks(5)]), number=2**32 + 1)
    assert not subject.store._waiting
    assert subject.store.entities[5].ticks[TANK] == 2**32 + 9


def test_messages_have_the_tag_that_sets_them_apart_from_those_of_joining() -> None:
    raw = encode_structure(1, 2, [], [], [], [])
    assert raw[1] == STRUCTURE_TAG


def test_a_run_holds_what_its_values_hold() -> None:
    with use_registry(Registry()) as own:

        @replicated
        class Track:
            start: tuple[tuple[int, int], float]
            rows: list[list[int]] = []

        @replicated
        class Pair:
            ends: tuple[tuple[int, int], tuple[int, int]]

    schema = own.schema()
    wire = WireFormat(schema)
    ids = schema.cid_of
    tracks = [[((1, 2), 0.5), [[1], [2, 3]]], [((3, 4), 1.0), []]]
    pairs = [[((1, 2), (3, 4))], [((5, 6), (7, 8))]]
    data = encode_run([1, 2], sorted([(ids[Track], [*tracks]), (ids[Pair], [*pairs])]))
    message = encode_structure(EPOCH, 1, [], [], [], [msgspec.Raw(data)])
    decoded = Gate(wire.structure, 1 << 20).decode(message)
    assert decoded is not None
    (run,) = decoded.sets
    # A track has two tuples, a list, and a list in it for each row; a pair has three tuples.
    assert wire.contents(run).containers == (2 + 3) + (2 + 1) + 2 * 3
    held = [
        schema.components[column.cid].held(value)
        for column in wire.columns(run) or ()
        for value in column.values
    ]
    assert wire.contents(run) == total(*held)


def test_bytes_that_came_since_they_were_counted_count_at_once() -> None:
    subject = Subject()
    sizes = [1 << 20] * (CONTENT_BYTES >> 20)
    for number, size in enumerate(sizes, 2):
        assert subject.store.overload is None
        run = msgspec.Raw(encode_run([number], [(TANK, [[number]])]))
        raw = encode_structure(EPOCH, number, [], [], [], [run])
        message = subject.messages.decode(raw)
        assert message is not None
        subject.store.structure(number, message, size)  # as if its values took that much
    assert subject.store.overload is not None
    assert "MiB" in subject.store.overload


def test_bytes_that_came_while_they_were_counted_count_too() -> None:
    subject = Subject()
    numbers = count(2)

    def show(nets: list[int], messages: int) -> None:
        for _ in range(messages):
            number = next(numbers)
            run = msgspec.Raw(encode_run(nets, [(TANK, [[net] for net in nets])]))
            message = subject.messages.decode(encode_structure(EPOCH, number, [], [], [], [run]))
            assert message is not None
            subject.store.structure(number, message, 1 << 20)

    show(list(range(1, 2501)), 5)  # more entities than are counted in one poll
    subject.store.recount()
    show([3000], 8)
    subject.store.recount()
    show([3000], 7)
    assert subject.store.overload is None
    show([3000], 1)
    assert subject.store.overload is not None


def test_an_update_that_is_none_of_its_tick_is_dropped(subject: Subject) -> None:
    for part in (encode_part(2, 2, 0), encode_part(1, 1, 3), encode_part(1023, 1, 0)):
        assert not subject.update(2, ([3], [tanks(29)]), part=part)
    assert subject.store.dropped == 3
    assert subject.store.tick < 2
    assert subject.update(2, ([3], [tanks(29)]), part=encode_part(1, 2, 3))
    assert subject.store.dropped == 3


def test_a_value_that_is_said_twice_of_one_tick_is_no_change(subject: Subject) -> None:
    subject.update(5, ([3], [tanks(7)]))
    assert subject.store.dirty == {3: {TANK}}
    subject.store.dirty.clear()
    subject.update(5, ([3], [tanks(7)]))
    assert subject.store.dirty == {}


@pytest.mark.parametrize("predicting", [False, True])
def test_what_is_said_again_to_be_drawn_or_predicted_by_is_no_change(predicting: bool) -> None:
    subject = Subject()
    subject.store = store = Store(subject.wire, EPOCH, predicting=predicting)
    columns: list[Column] = [(GHOST, [[2.0]]), tanks(7), (SCORE, [[3]])]
    subject.structure(1, ([3], sorted(columns)))
    assert store.dirty == {3: {GHOST, TANK, SCORE}}
    store.dirty.clear()
    subject.update(2, ([3], sorted(columns)))
    assert store.dirty == {3: {SCORE} if predicting else {TANK, SCORE}}
    assert store.entities[3].ticks[GHOST] == 2
    subject.update(3, ([3], [(GHOST, [[2.5]])]))
    assert GHOST in store.dirty[3]


def test_what_cannot_be_compared_has_changed(subject: Subject) -> None:
    class Odd:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise ValueError("no single answer")

    subject.structure(2, ([3], [(GHOST, [[2.0]])]))
    subject.store.entities[3].values[GHOST] = Odd()
    subject.store.dirty.clear()
    subject.update(3, ([3], [(GHOST, [[2.0]])]))
    assert subject.store.dirty == {3: {GHOST}}


def test_each_datagram_of_the_newest_tick_may_say_how_the_server_does(subject: Subject) -> None:
    assert not subject.store.held
    subject.update(5, part=encode_part(0, 2, 0))
    subject.update(5, part=encode_part(1, 2, HELD), report=Report(16, 1))
    assert subject.store.report == Report(16, 1)
    assert subject.store.held


def test_without_any_structure_the_first_update_is_all_there_is() -> None:
    subject = Subject()
    assert not subject.store.introduced
    subject.update(5)
    assert subject.store.introduced
    assert subject.store.confirmed_tick == 5


def test_each_answer_is_to_one_resync(subject: Subject) -> None:
    subject.store.asked = 2
    answered = []
    for tick in (22, 23, 24):
        subject.structure(tick)
        answered.append(subject.store.asked)
    assert answered == [1, 0, 0]


def test_what_depends_on_an_earlier_stay_is_for_nobody() -> None:
    subject = Subject()
    subject.store = store = Store(subject.wire, EPOCH, number=40_000)
    for depends in (1, 39_999):
        assert subject.update(9, ([3], [tanks(1)]), depends=depends)
    assert (store.tick, store.confirmed_tick, store.dropped) == (0, 0, 0)
    assert not store._waiting
    assert subject.update(9, ([3], [tanks(1)]), depends=40_000)
    assert (store.tick, store.confirmed_tick) == (9, 9)


def test_a_tick_may_be_far_from_the_last_one(subject: Subject) -> None:
    subject.update(100_000, ([3], [tanks(7)]))
    assert subject.store.tick == subject.store.entities[3].ticks[TANK] == 100_000
    subject.structure(200_000, ([3], [tanks(8)]))
    assert subject.store.entities[3].ticks[TANK] == 200_000
    subject.update(200_001, ([3], [tanks(9)]), depends=subject.number + 40_000)
    assert subject.store._waiting


@pytest.mark.parametrize(("net", "known"), [(0, False), (2**53, True), (2**53 + 1, False)])
def test_network_ids_have_53_bits_and_0_is_none(net: int, known: bool) -> None:
    subject = Subject()
    assert subject.structure(1, ([1, net], [tanks(1, 1)])) is known
    assert (net in subject.store.entities) is known


# What may be kept.


def test_some_entities_stay_for_the_events_before_their_end() -> None:
    subject = Subject()
    store = subject.store
    nets = [*range(1, 4098)]
    subject.structure(1, (nets, [tanks(*nets)]))
    store.events.came += 1
    subject.structure(2, despawned=nets)
    assert (len(store.entities), store.went) == (4096, {4097: "despawned"})
    store.depart()
    assert len(store.entities) == 4096
    store.events.returned = store.events.came
    store.depart()
    assert not store.entities
    # Those that went have made room for others.
    subject.structure(3, ([5000, 5001], [tanks(1, 2)]))
    store.events.came += 1
    subject.structure(4, despawned=[5000, 1])
    assert set(store.entities) == {5000, 5001}


def test_ids_and_values_of_one_message_are_bounded() -> None:
    subject = Subject()
    assert subject.structure(1, despawned=range(1, 131_073))
    assert subject.store.overload is None
    assert subject.structure(2, despawned=range(1, 131_074))
    assert subject.store.overload is not None
    assert "131,073 ids and values" in subject.store.overload


@pytest.mark.parametrize("most", [23, 22])
def test_all_ids_and_values_of_a_message_count(
    subject: Subject, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MESSAGE_PARTS", most)
    assert subject.structure(
        2,
        ([11, 12, 13, 14], sorted([tanks(1, 2, 3, 4), (PLACE, [[1.0]] * 4)])),
        ([15], [tanks(5)]),
        despawned=[21, 22, 23],
        hidden=[31, 32],
        removed=[(TANK, [41, 42]), (PLACE, [51, 52])],
    )
    assert (subject.store.overload is None) is (most == 23)
    assert (15 in subject.store.entities) is (most == 23)


@pytest.mark.parametrize("items", [0, 1])
def test_bytes_of_one_message_are_bounded(subject: Subject, items: int) -> None:
    """With sixteen for each container."""
    bags: Column = (BAG, [[[1] * items]] * 3)
    assert subject.structure(2, ([3, 5, 7], [bags]), size=MESSAGE_BYTES - 3 * 16)
    assert subject.store.overload is None
    assert subject.structure(3, ([3, 5, 9], [bags]), size=MESSAGE_BYTES - 3 * 16 + 1)
    assert 9 not in subject.store.entities
    assert subject.store.overload is not None
    assert "3 containers or more" in subject.store.overload


def test_entities_of_one_message_are_bounded() -> None:
    subject = Subject()
    nets = [*range(1, 8194)]
    first, tank = nets[:-1], tanks(*nets)[1]
    subject.structure(1, (first, [(TANK, tank[:-1])]), (first, [(PLACE, [[1.0]] * 8192)]))
    assert subject.store.overload is None
    subject = Subject()
    subject.structure(1, (nets, [(TANK, tank)]))
    assert subject.store.overload == "a message brings 8,193 entities, at most 8,192 fit"


@pytest.mark.parametrize("most", [9, 8])
def test_an_entity_counts_once_however_often_it_is_named(
    subject: Subject, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENTITIES", most)
    nets = [3, *range(11, 18)]  # seven new ones
    subject.structure(2, (nets, [tanks(*nets)]), (nets, [(PLACE, [[1.0]] * 8)]))
    assert (subject.store.overload is None) is (most == 9)


def test_what_is_told_counts_with_what_is_in_it(subject: Subject) -> None:
    """Sixteen bytes for each container, and four for each field and item, beside its bytes."""
    store = subject.store
    before = store.taken
    subject.structure(2, ([3], [(BAG, [[[1, 2, 3]]])]), size=1000)
    assert store.taken - before == 1000 + 16 + 4 * (1 + 3)
    before = store.taken
    subject.update(3, ([3], [(BAG, [[[1, 2, 3, 4, 5]]])]), size=500)
    assert store.taken - before == 500 + 16 + 4 * (1 + 5)


def test_sixteen_mebibytes_are_kept() -> None:
    subject = Subject()
    store = subject.store
    subject.structure(1, ([3], [tanks(1)]))
    each = store.taken
    subject.update(2, ([3], [tanks(2)]), size=(16 << 20) - 3 * each)
    assert store.taken == (16 << 20) - each
    subject.update(3, ([3], [tanks(2)]), size=0)
    subject.structure(4)
    assert store.overload is None
    subject.update(5, ([3], [tanks(2)]), size=0)
    subject.structure(6)
    assert store.overload is not None


@pytest.mark.parametrize("short", [0, 1])
def test_what_is_kept_is_counted_again_after_four_mebibytes(short: int) -> None:
    """Before that it is not worth the time, and afterwards there is as much room as before."""
    subject = Subject()
    store = subject.store
    subject.structure(1, ([3], [tanks(1)]))
    each = store.taken
    subject.update(2, ([3], [tanks(2)]), size=(4 << 20) - 2 * each - short)
    store.recount()
    subject.update(3, ([3], [tanks(3)]), size=(12 << 20) - each + short)
    subject.structure(4)
    assert store.overload is None
    subject.update(5, ([3], [tanks(3)]), size=each)
    subject.structure(6)
    assert (store.overload is not None) is bool(short)


@pytest.mark.parametrize(("size", "fits"), [(11_000_000, True), (12_000_000, False)])
def test_what_is_counted_again_takes_as_much_as_when_it_came(size: int, fits: bool) -> None:
    subject = Subject()
    subject.structure(1, ([3], [tanks(1)]))
    for net in range(11, 15):  # five megabytes, four of them for the items
        subject.structure(net, ([net], [(BAG, [[[0] * 250_000]])]), size=250_000)
    subject.store.recount()
    subject.update(20, ([3], [tanks(2)]), size=size)
    subject.structure(21)
    assert (subject.store.overload is None) is fits


def test_a_mebibyte_waits_for_structure() -> None:
    subject = Subject()
    subject.store = store = Store(subject.wire, EPOCH)
    subject.update(2, ([1], [tanks(1)]), depends=5, size=0)
    subject.update(2, ([2], [tanks(1)]), depends=5, size=(1 << 20) - 2 * store._waiting_bytes)
    assert store._waiting_bytes == 1 << 20
    assert not store.resync
    subject.update(2, ([3], [tanks(1)]), depends=5, size=0)
    assert store.resync
    assert store._waiting_bytes == len(store._waiting) == 0


def test_ten_thousand_small_values_wait_for_structure() -> None:
    subject = Subject()
    waiting = 0
    for start in range(1, 12_000, 200):
        nets = [*range(start, start + 200)]
        subject.update(2, (nets, [tanks(*[1] * 200)]), depends=5, size=0)
        if subject.store.resync:
            break
        waiting = start + 199
    assert waiting == 10_000


def test_each_value_that_waits_takes_its_share_of_the_datagram() -> None:
    subject = Subject()
    columns: list[Column] = sorted([tanks(1, 2), (PLACE, [[1.0], [2.0]])])
    subject.update(2, ([1, 2], columns), depends=5, size=4000)
    assert subject.store._waiting_bytes == 4000 + 4 * (100 + 4)
