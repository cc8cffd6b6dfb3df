"""Whatever a game puts into a component arrives, or the log says why; all else goes on."""

from __future__ import annotations

import array
import dataclasses
import datetime
import enum
import itertools
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated, TypeVar

import esper
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecsnet as net
from ecsnet.components import Owner
from ecsnet.errors import BadValueError
from ecsnet.replication.sizes import CONTAINER_BYTES, ENTITY_BYTES, MENTIONS_OF_ONE, Sizes
from ecsnet.replication.wire import MESSAGE_BYTES, STRUCTURE_BYTES, WireFormat
from ecsnet.schema import Gate, component_type
from ecsnet.testing import Harness, HarnessClient, Registry, use_registry

T = TypeVar("T")

HALF = ENTITY_BYTES // 2


class Meters(float):
    """A float with a unit."""


class Level(enum.IntEnum):
    EASY = 1
    HARD = 2


class Name(str):
    """A text that remembers what it was."""

    __slots__ = ("before",)


class Frozen(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    points: tuple[int, ...] = ()


class Sly(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Says that it is equal to everything."""

    number: int = 0

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


class Mood(enum.Enum):
    """All of one kind."""

    GOOD = 1
    BAD = 2

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mood)

    __hash__ = enum.Enum.__hash__


class Vector:
    """Of some library: registered, and mutable."""

    def __init__(self, x: float, y: float) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vector) and (self.x, self.y) == (other.x, other.y)

    __hash__ = object.__hash__


def vector_to_wire(vector: Vector) -> tuple[float, float]:
    if vector.x < 0:
        raise RuntimeError("a converter may raise anything")
    return vector.x, vector.y


class Touchy:
    """Cannot even be compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    __hash__ = object.__hash__


class Nowhere(datetime.tzinfo):
    def utcoffset(self, when: datetime.datetime | None) -> datetime.timedelta:
        raise LookupError("no such zone")


REGISTRY = Registry()
with use_registry(REGISTRY):
    net.register_type(Vector, tuple[float, float], vector_to_wire, lambda pair: Vector(*pair))

    @net.replicated
    class Blob:
        data: bytes = b""

    @net.replicated
    class Note:
        text: str = ""

    @net.replicated
    class Book:
        pages: dict[str, str] = {}

    @net.replicated(visible_to="owner")
    class Diary:
        text: str = ""

    @net.replicated(once=True)
    class Scroll:
        text: str = ""

    @net.replicated(rate=4)
    class Chart:
        rows: list[int] = []

    @net.replicated
    class Friends:
        who: list[net.EntityRef] = []

    @net.replicated
    class Groups:
        of: list[list[net.EntityRef]] = []

    @net.replicated
    class Route:
        points: tuple[tuple[int, int], ...] = ()

    @net.replicated
    class Deep:
        deep: list[list[list[int]]] = []

    @net.replicated(once=True)
    class Crates:
        crates: dict[str, list[int]] = {}

    @net.replicated
    class Thing:
        at: tuple[float, float] = (0.0, 0.0)
        x: float = 0.0
        n: int = 0
        text: str = ""
        maybe: tuple[int, ...] | None = None

    @net.replicated
    class Stepped:
        at: tuple[Annotated[float, net.Quantized(0.5)], ...] = ()
        data: bytes = b""
        x: Annotated[float, net.Quantized(0.5)] = 0.0

    @net.replicated
    class Holder:
        frozen: Frozen = Frozen()
        grid: tuple[tuple[int, ...], ...] = ()

    @net.replicated
    class Tricky:
        sly: Sly = Sly()

    @net.replicated
    class Moody:
        mood: Mood = Mood.GOOD
        last: tuple[Mood, ...] = ()

    @net.replicated
    class Point:
        x: float = 0.0
        y: float = 0.0

    @net.replicated
    class Placed:
        where: Vector = dataclasses.field(default_factory=lambda: Vector(0.0, 0.0))

    @net.replicated
    class Enemy:
        hp: int = 1

    @net.replicated
    class Boss(Enemy):
        rage: int = 0

    @net.replicated(visible_to="server")
    class Plan:
        step: int = 0

    @net.command
    class Move:
        to: tuple[float, float] = (0.0, 0.0)
        n: int = 0
        text: Annotated[str, net.MaxLen(20)] = ""


class Minion(Enemy):
    """Without a decorator."""


class Scheme(Plan):
    """Its base is for the server alone, so nobody expects it to be sent."""


class Game:
    """A server, one client, and what both say."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        with use_registry(REGISTRY):
            self.server = net.ServerWorld(60, bandwidth=64 << 20)
        self.harness = Harness(self.server, seed=1, registry=REGISTRY)
        self.caplog = caplog
        self.client = self.harness.connect("Ann")
        self.run(0.5)

    def run(self, seconds: float) -> None:
        self.harness.run(seconds)

    def add(self, *components: object) -> int:
        with self.harness.world:
            return esper.create_entity(*components)

    def put(self, entity: int, component: object, alias: type | None = None) -> None:
        with self.harness.world:
            esper.add_component(entity, component, alias)

    def take(self, entity: int, cls: type) -> None:
        with self.harness.world:
            esper.remove_component(entity, cls)

    def live(self, entity: int, cls: type[T]) -> T:
        with self.harness.world:
            return esper.component_for_entity(entity, cls)

    def shown(self, cls: type[T]) -> list[T]:
        """What the client shows of a type, in the order in which it came."""
        with self.client.view:
            found = dict(esper.get_component(cls))
        return [found[entity] for entity in sorted(found)]

    def all(self, cls: type[T]) -> list[T]:
        """The server's components of a type."""
        with self.harness.world:
            return [component for _, component in esper.get_component(cls)]

    def until(self, done: Callable[[], bool]) -> None:
        self.harness.until(done, 60.0)

    def settle(self) -> None:
        """Everything that can arrive has arrived."""
        result = self.harness.settle()
        assert result, str(result)
        assert result.compared > 0

    @property
    def lines(self) -> list[str]:
        return [r.getMessage() for r in self.caplog.records if r.levelno >= logging.WARNING]


@pytest.fixture
def game(caplog: pytest.LogCaptureFixture) -> Iterator[Game]:
    made = Game(caplog)
    yield made
    assert made.harness.simulation.failure is None
    assert made.client.connected
    made.harness.close()


# What is larger than a message.


def test_the_limit_of_an_entity_leaves_room_in_a_message() -> None:
    assert ENTITY_BYTES + STRUCTURE_BYTES + 1024 < MESSAGE_BYTES
    rest = MESSAGE_BYTES - ENTITY_BYTES - STRUCTURE_BYTES - 1024
    for types in (1, 30, 100, 1_000, 3_000):
        sizes: Sizes[str] = Sizes(types)
        unseen = types * (max(sizes.small, 0) + 8)
        assert unseen <= rest
        assert unseen > rest - types or sizes.small == 1024  # no more values than need be count


def test_an_entity_may_take_all_bytes_of_its_limit_and_no_more() -> None:
    sizes: Sizes[str] = Sizes()
    half = ENTITY_BYTES // 2 - 8  # around each value
    assert sizes.set("one", 0, half)
    assert sizes.set("other", 0, half)
    assert not sizes.set("one", 1, half + 1)
    assert sizes.set("one", 1, half)
    assert sizes.total("one") == sizes.would_be("one", 1, half) == ENTITY_BYTES
    assert sizes.would_be("one", 0, half - 5) == ENTITY_BYTES - 5
    assert sizes.would_be("one", 2, sizes.small) == ENTITY_BYTES
    assert sizes.would_be("one", 2, sizes.small + 1) > ENTITY_BYTES
    assert not sizes.set("one", 2, sizes.small + 1)
    assert sizes.set("one", 0, sizes.small)
    assert sizes.total("one") == ENTITY_BYTES // 2
    sizes.drop("one", 1)
    assert sizes.total("one") == 0
    assert sizes.total("other") == ENTITY_BYTES // 2


def test_what_one_component_took_is_given_back_and_the_others_count_on() -> None:
    sizes: Sizes[str] = Sizes()
    for cid in range(3):
        assert sizes.set("one", cid, 2_000 + cid)
    sizes.drop("one", 1)
    sizes.drop("one", 7)
    assert sizes.total("one") == 2_008 + 2_010
    assert [*sizes.large("one")] == [0, 2]
    assert sizes.set("one", 2, 10)
    assert [*sizes.large("one")] == [0]
    sizes.drop("one", 0)
    sizes.drop("other", 0)
    assert not sizes._sizes  # nothing is kept of what has no large value


def test_a_value_larger_than_a_message_stays_and_is_named(game: Game) -> None:
    other = game.add(Note("all else goes on"))
    large = game.add(Blob(b"x" * 1_048_570), Note("and so do its other components"))
    game.run(0.5)
    (line,) = game.lines
    assert f"Blob of 1,048,576 bytes on entity {large}" in line
    assert f"{ENTITY_BYTES:,} can be sent at once" in line
    assert [note.text for note in game.shown(Note)] == [
        "all else goes on",
        "and so do its other components",
    ]
    assert game.shown(Blob) == []
    game.live(other, Note).text = "paused"
    game.live(large, Blob).data = b"small"
    game.run(0.2)
    assert game.shown(Blob) == [Blob(b"small")]
    assert game.shown(Note)[0].text == "paused"
    game.settle()
    assert len(game.lines) == 1


def test_a_value_that_grows_too_large_leaves_the_last_one_that_fitted(game: Game) -> None:
    entity = game.add(Blob(b"first"), Book({"a": "b"}), Chart([1]), Note("n"))
    game.run(0.2)
    for cls, write in (
        (Blob, lambda blob: setattr(blob, "data", bytes(ENTITY_BYTES + 1))),
        (Book, lambda book: book.pages.update({"long": "x" * ENTITY_BYTES})),
        (Chart, lambda chart: chart.rows.extend(range(2**40, 2**40 + ENTITY_BYTES // 8))),
        (Note, lambda note: setattr(note, "text", "\u20ac" * (ENTITY_BYTES // 3))),
    ):
        write(game.live(entity, cls))
        game.run(0.2)
        assert len(game.lines) == 1, game.lines
        assert f"{cls.__name__} of 1," in game.lines[0]
        assert f"bytes on entity {entity}" in game.lines[0]
        assert game.lines[0].endswith(f"clients keep the last valid {cls.__name__}")
        game.caplog.clear()
    assert game.shown(Blob) == [Blob(b"first")]
    assert game.shown(Book) == [Book({"a": "b"})]
    assert game.shown(Chart) == [Chart([1])]
    assert game.shown(Note) == [Note("n")]
    game.settle()


@pytest.mark.parametrize("second", [Blob, Diary, Scroll, Book])
def test_the_components_of_an_entity_count_together(game: Game, second: type[object]) -> None:
    player = game.harness.simulation.player_entity[1]
    with game.harness.world:
        owner = Owner(player)
    entity = game.add(Note("x" * (HALF + 10)), owner)
    game.run(2.0)
    made: dict[type[object], Callable[[], object]] = {
        Blob: lambda: Blob(bytes(HALF)),
        Diary: lambda: Diary("y" * HALF),
        Scroll: lambda: Scroll("y" * HALF),
        Book: lambda: Book({"y": "y" * HALF}),
    }
    game.put(entity, made[second]())
    game.run(0.5)
    (line,) = game.lines
    assert second.__name__ in line
    assert f"entity {entity}" in line
    assert game.shown(second) == []
    # The first one makes room, in place.
    game.live(entity, Note).text = "short"
    game.run(3.0)
    assert game.shown(second) == [game.live(entity, second)]
    game.settle()
    # And now there is none for it.
    game.live(entity, Note).text = "x" * (HALF + 10)
    game.run(0.5)
    assert game.shown(Note) == [Note("short")]
    game.take(entity, second)
    game.run(3.0)
    assert [len(note.text) for note in game.shown(Note)] == [HALF + 10]
    game.settle()
    assert len(game.lines) == 2


def test_what_an_owner_alone_gets_counts_for_whoever_owns_it_next(game: Game) -> None:
    bob = game.harness.connect("Bob")
    game.run(0.5)
    ann, bobs = (game.harness.simulation.player_entity[number] for number in (1, 2))
    with game.harness.world:
        owner = Owner(ann)
    entity = game.add(Blob(bytes(HALF - 100)), Diary("y" * (HALF - 100)), owner)
    game.run(4.0)
    assert [len(diary.text) for diary in game.shown(Diary)] == [HALF - 100]
    game.live(entity, Owner).player = bobs
    game.run(4.0)
    assert game.shown(Diary) == []
    with bob.view:
        assert [len(diary.text) for _, diary in esper.get_component(Diary)] == [HALF - 100]
    game.live(entity, Blob).data = bytes(HALF + 200)
    game.run(0.5)
    assert len(game.lines) == 1
    assert [len(blob.data) for blob in game.shown(Blob)] == [HALF - 100]
    game.settle()


def test_a_full_entity_is_told_to_who_joins_late_and_after_a_resync(game: Game) -> None:
    player = game.harness.simulation.player_entity[1]
    with game.harness.world:
        parts = [Blob(bytes(HALF - 200)), Diary("y" * (HALF - 200)), Owner(player), Thing()]
    game.add(*parts)
    game.run(5.0)
    member = game.harness.member(game.client)
    assert member is not None
    assert member.client_state is not None
    game.harness.room.replicator.resync(member.client_state)
    bob = game.harness.connect("Bob")
    game.run(8.0)
    with bob.view:
        assert [len(blob.data) for _, blob in esper.get_component(Blob)] == [HALF - 200]
        assert esper.get_component(Diary) == []
    game.settle()
    assert game.lines == []


def test_very_many_entities_come_and_go_at_once(game: Game) -> None:
    player = game.harness.simulation.player_entity[1]
    with game.harness.world:
        crowd = [esper.create_entity(Note("-"), Owner(player)) for _ in range(2_000)]
    game.run(1.0)
    assert len(game.shown(Note)) == 2_000
    for entity in crowd:  # all at once, and for one player only: more than a message
        game.put(entity, Diary("y" * 600))
        game.put(entity, Scroll("once"))
    game.run(3.0)
    assert [diary.text for diary in game.shown(Diary)] == ["y" * 600] * 2_000
    for entity in crowd:
        game.put(entity, Scroll("again"))
    game.run(1.0)
    assert {scroll.text for scroll in game.shown(Scroll)} == {"again"}
    with game.harness.world:
        for entity in crowd:
            esper.delete_entity(entity)
    game.run(1.0)
    assert game.shown(Diary) == []
    game.settle()
    assert game.lines == []


def test_what_goes_at_once_is_told_in_messages_of_any_number(game: Game) -> None:
    replicator = game.harness.room.replicator
    gone = range(1_001, 300_000_000, 1_000)
    removals = {0: list(range(7, 90_000_000, 3_000)), 1: [5]}
    messages = list(replicator._structure._messages(gone, removals, [b"\x92\x90\x90"]))
    assert max(map(len, messages)) < STRUCTURE_BYTES + 1024
    gate = Gate(WireFormat(REGISTRY.schema()).structure, MESSAGE_BYTES)
    found: list[int] = []
    removed: dict[int, list[int]] = {}
    for message in messages:
        structure = gate.decode(message)
        assert structure is not None
        found += itertools.accumulate(structure.despawned)
        for cid, ids in structure.removed:
            removed.setdefault(cid, []).extend(itertools.accumulate(ids))
    assert found == list(gone)
    assert removed == removals
    assert [*structure.sets]  # after all that went


def test_a_message_names_as_many_as_fit_at_their_longest(game: Game) -> None:
    structure = game.harness.room.replicator._structure
    far = [number << 33 for number in range(1, 6_000)]  # nine bytes to the next one
    lengths = [len(message) for message in structure._messages(far, {}, [])]
    assert 0.98 * STRUCTURE_BYTES < max(lengths) <= STRUCTURE_BYTES + 32
    most = STRUCTURE_BYTES // 9
    for removed, count in ((most - 1_001, 1), (most - 1_000, 2)):
        messages = [*structure._messages(far[:1_000], {0: far[:removed]}, [])]
        assert len(messages) == count


def test_large_entities_that_change_together_do_not_end_their_clients(game: Game) -> None:
    crowd = [game.add(Blob(b"-")) for _ in range(24)]
    game.run(0.5)
    for entity in crowd:
        game.live(entity, Blob).data = bytes(600_000)
    game.run(1.0)
    member = game.harness.member(game.client)
    assert member is not None
    assert member.peer.backlog < 2 * 600_100
    for entity in crowd:
        game.live(entity, Blob).data = b"+"
    game.settle()
    assert game.shown(Blob) == [Blob(b"+")] * 24


@pytest.mark.parametrize(("count", "size"), [(24, 600_000), (90, 100_000)])
def test_a_flood_of_new_components_does_not_end_its_clients(
    game: Game, count: int, size: int
) -> None:
    crowd = [game.add(Note("-")) for _ in range(count)]
    game.run(1.5)
    assert len(game.shown(Note)) == count
    for entity in crowd:
        game.put(entity, Blob(bytes(size)))
    game.run(0.2)
    assert len(game.shown(Blob)) < count
    game.harness.until(lambda: len(game.shown(Blob)) == count, 60.0)
    game.settle()
    assert game.lines == []


@pytest.mark.parametrize(("count", "hidden"), [(40, False), (44, True)])
def test_only_more_than_four_mebibytes_of_new_components_are_a_flood(
    game: Game, count: int, hidden: bool
) -> None:
    crowd = [game.add(Note("-")) for _ in range(count)]
    game.run(1.0)
    for entity in crowd:
        game.put(entity, Blob(bytes(100_000)))
    game.run(0.05)
    assert (len(game.shown(Note)) < count) is hidden
    game.settle()
    assert len(game.shown(Blob)) == count
    assert game.lines == []


def test_a_flood_for_a_new_owner_does_not_end_it(game: Game) -> None:
    player = game.harness.simulation.player_entity[1]
    crowd = [game.add(Note("-"), Diary("y" * 600_000), Owner(None)) for _ in range(24)]
    game.run(1.0)
    for entity in crowd:
        game.live(entity, Owner).player = player
    game.run(0.2)
    assert 0 < len(game.shown(Diary)) < 24
    assert [owner.player for owner in game.shown(Owner)] == [game.client.player] * 24
    game.harness.until(lambda: len(game.shown(Diary)) == 24, 60.0)
    game.settle()
    for entity in crowd:
        game.live(entity, Owner).player = None
    game.run(0.2)
    assert game.shown(Diary) == []
    game.settle()
    assert game.lines == []


# Containers take more room and time than their bytes tell.

CONTAINERS = ENTITY_BYTES // (1 + CONTAINER_BYTES)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (Groups([[]] * 10), Groups([[]] * 60_000)),
        (Route(((1, 2),) * 10), Route(((1, 2),) * 60_000)),
        (Crates({"a": []}), Crates({str(number): [] for number in range(50_000)})),
    ],
)
def test_too_many_containers_stay_and_are_named(game: Game, good: object, bad: object) -> None:
    cls = type(good)
    other = game.add(good)
    large = game.add(bad, Note("its other components go on"))
    game.run(0.5)
    (line,) = game.lines
    assert re.match(rf"{cls.__name__} of \d+,\d+ bytes in [56]0,00[01] containers", line)
    assert f"on entity {large}" in line
    assert f"with {CONTAINER_BYTES} for each container, and {ENTITY_BYTES:,} can" in line
    assert game.shown(cls) == [game.live(other, cls)] == [good]
    assert [note.text for note in game.shown(Note)] == ["its other components go on"]
    game.settle()
    assert len(game.lines) == 1


def test_as_many_containers_as_an_entity_may_have_are_shown(game: Game) -> None:
    some = CONTAINERS - 20
    entity = game.add(Groups([[]] * some), Note("x"))
    game.until(lambda: len(game.shown(Groups)) == 1)
    assert len(game.shown(Groups)[0].of) == some
    assert game.lines == []
    game.live(entity, Groups).of += [[]] * 40
    game.run(0.1)
    assert len(game.lines) == 1
    game.put(entity, Route(((1, 2),) * 100))  # no room for it beside the other
    game.run(0.1)
    assert len(game.lines) == 2
    assert game.shown(Route) == []
    game.live(entity, Groups).of = [[]]
    game.run(0.5)
    assert game.shown(Groups) == [Groups([[]])]
    assert len(game.shown(Route)) == 1
    game.settle()
    assert len(game.lines) == 2


def test_containers_deep_inside_are_counted_as_far_as_need_be(game: Game) -> None:
    game.add(Deep([[[]] * 40_000, [[]] * 40_000, [[1]] * 40_000]))
    game.run(0.2)
    (line,) = game.lines
    assert line.startswith("Deep of 160,0")
    assert "in more than 65,536 containers" in line
    game.settle()


def test_many_entities_with_containers_come_in_messages_that_clients_take(game: Game) -> None:
    with game.harness.world:
        for _ in range(1_000):
            esper.create_entity(Groups([[]] * 50), Route(((1, 2),) * 20))
    game.until(lambda: len(game.shown(Groups)) == 1_000)
    for groups in game.all(Groups):
        groups.of.append([])
    game.run(1.0)
    game.settle()
    assert game.lines == []


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 40, 900, 20_000, 45_000, 60_000])),
        max_size=6,
    )
)
@settings(max_examples=6, deadline=None)
def test_no_message_has_more_than_a_client_takes(steps: list[tuple[int, int]]) -> None:
    with use_registry(REGISTRY):
        server = net.ServerWorld(10, bandwidth=64 << 20)
    with Harness(server, seed=1, registry=REGISTRY) as harness:
        client = harness.connect("Ann")
        harness.run(0.3)
        made: tuple[Callable[[int], object], ...] = (
            lambda count: Groups([[]] * count),
            lambda count: Route(((1, 2),) * count),
            lambda count: Crates({str(number): [] for number in range(count)}),
            lambda count: Blob(bytes(count * 10)),
        )
        with harness.world:
            entity = esper.create_entity(Note("here"))
        for which, count in steps:
            with harness.world:
                esper.add_component(entity, made[which](count))
            harness.run(0.1)
        result = harness.settle()
        assert result, str(result)
        assert result.compared > 0
        assert client.connected


def test_more_references_than_a_client_takes_stay_and_are_named(game: Game) -> None:
    someone = game.add(Note())
    game.run(0.2)
    entity = game.add(Friends([someone] * MENTIONS_OF_ONE))
    game.run(0.5)
    assert game.lines == []
    assert [len(friends.who) for friends in game.shown(Friends)] == [MENTIONS_OF_ONE]
    game.live(entity, Friends).who.append(someone)
    game.run(0.5)
    (line,) = game.lines
    assert line.startswith(
        f"Friends with {MENTIONS_OF_ONE + 1:,} references on entity {entity}: a component can hold"
        f" {MENTIONS_OF_ONE:,}"
    )
    assert line.endswith("clients keep the last valid Friends")
    game.live(entity, Friends).who += [None] * 10_000
    game.live(entity, Friends).who[0] = None
    game.run(0.5)
    assert [len(friends.who) for friends in game.shown(Friends)] == [MENTIONS_OF_ONE + 10_001]
    game.settle()
    assert len(game.lines) == 1


def test_a_list_of_references_can_be_too_long(game: Game) -> None:
    someone = game.add(Note())
    game.run(0.2)
    entity = game.add(Friends([someone] * (ENTITY_BYTES + 10)))
    game.run(0.03)
    (line,) = game.lines
    assert line.startswith("Friends with 1,000,010 references")
    game.live(entity, Friends).who[10:] = []
    game.run(0.5)
    assert [len(friends.who) for friends in game.shown(Friends)] == [10]


def test_a_thousand_texts_fill_their_datagrams() -> None:
    with use_registry(REGISTRY):
        server = net.ServerWorld(60, bandwidth=64 << 20)
    notes: list[Note] = []

    @server.system
    def write(_dt: float) -> None:
        for note in notes:
            note.text = f"{net.tick():>60}"

    with Harness(server, seed=1, registry=REGISTRY) as harness:
        clients = [harness.connect(f"P{number}") for number in range(20)]
        harness.run(0.5)
        with harness.world:
            made = [Note("-" * 60) for _ in range(1_000)]
            for note in made:
                esper.create_entity(note)
        harness.until(lambda: all(len(client._view.local) >= 1_000 for client in clients))
        harness.run(0.1)
        notes += made
        sent: dict[int, Counter[str]] = {}

        def count(data: bytes, seat: HarnessClient) -> None:
            sent.setdefault(harness.simulation.tick, Counter())[seat.name] += 1

        harness.watch_sent = count
        harness.step(6)
        assert len(sent) >= 6
        for tick in [*sent][1:-1]:
            assert len(sent[tick]) == len(clients)
            # With 60 characters, a tag, and an id each, they cannot be fewer than 59.
            assert min(sent[tick].values()) >= 59
            assert max(sent[tick].values()) <= 67


# What a value may raise.


@pytest.mark.parametrize(
    ("cls", "field", "bad", "says"),
    [
        (Thing, "x", Touchy(), "Thing.x: a Touchy is not float"),
        (Thing, "at", (1.0, Touchy()), "Thing.at: "),
        (Thing, "x", array.array("d", [1.0]), "Thing.x: "),
        (Thing, "text", datetime.datetime(2024, 1, 1, tzinfo=Nowhere()), "Thing.text: "),
        (Placed, "where", Vector(-1.0, 0.0), "Placed.where: "),
        (Placed, "where", None, "Placed.where: None is not Vector"),
        (Stepped, "x", Touchy(), "Stepped.x: a Touchy is not float in steps of 0.5"),
        (Holder, "grid", ((1,), ("x",)), "Holder.grid: "),
        (Book, "pages", {"a": Touchy()}, "Book.pages: "),
        (Friends, "who", [Touchy()], "Friends.who: "),
    ],
)
def test_whatever_a_value_raises_it_stays_at_home(
    game: Game, cls: type[object], field: str, bad: object, says: str
) -> None:
    entity, beside = game.add(cls()), game.add(cls(), Note("beside"))
    game.run(0.2)
    good = getattr(game.live(entity, cls), field)
    setattr(game.live(entity, cls), field, bad)
    game.live(beside, Note).text = "goes on"
    game.run(0.3)
    (line,) = game.lines
    assert line.startswith(says)
    assert f"on entity {entity}" in line
    assert game.shown(Note) == [Note("goes on")]
    assert len(game.shown(cls)) == 2
    setattr(game.live(entity, cls), field, good)
    game.settle()
    # It was good again, so it is told once more.
    setattr(game.live(entity, cls), field, bad)
    game.run(0.3)
    assert len(game.lines) == 2


@pytest.mark.parametrize("cls", [Thing, Stepped, Book, Friends])
def test_a_field_that_was_deleted_stays_at_home(game: Game, cls: type[object]) -> None:
    entity = game.add(cls())
    game.run(0.2)
    field = cls.__struct_fields__[0]  # type: ignore[attr-defined]
    delattr(game.live(entity, cls), field)
    game.run(0.3)
    (line,) = game.lines
    assert line.startswith(f"{cls.__name__}.{field}: None is not")
    assert game.shown(cls) == [cls()]


def test_a_position_that_cannot_be_compared_leaves_its_entity_where_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with use_registry(REGISTRY):
        server = net.ServerWorld(60, interest=net.Grid(Point, 10.0))
    with Harness(server, seed=1, registry=REGISTRY) as harness:
        client = harness.connect("Ann")
        harness.run(0.3)
        with harness.world:
            esper.add_component(harness.simulation.player_entity[1], Point(1.0, 1.0))
            entity = esper.create_entity(Point(1.0, 1.0))
            bad = esper.create_entity(Point(Touchy(), array.array("d", [1.0])))  # type: ignore[arg-type]
        harness.run(0.3)
        with harness.world:
            esper.component_for_entity(entity, Point).x = Touchy()  # type: ignore[assignment]
            esper.add_component(entity, Note("structure"))
        harness.run(0.3)
        with client.view:
            assert [note for _, note in esper.get_component(Note)] == [Note("structure")]
        assert harness.simulation.failure is None
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 2
        assert f"on entity {bad}" in lines[0]
        assert f"on entity {entity}" in lines[1]


class Unit(float):
    """A float that refuses to be divided or taken from, as with another unit."""

    def refuse(self, other: object) -> float:
        raise RuntimeError("of another unit")

    __truediv__ = __floordiv__ = __sub__ = __rsub__ = refuse  # type: ignore[assignment]


def test_a_position_may_calculate_in_its_own_way() -> None:
    with use_registry(REGISTRY):
        server = net.ServerWorld(60, interest=net.Grid(Point, 10.0))
    with Harness(server, seed=1, registry=REGISTRY) as harness:
        client = harness.connect("Ann")
        harness.run(0.3)
        with harness.world:
            esper.add_component(harness.simulation.player_entity[1], Point(Unit(41.0), 1.0))
            near = esper.create_entity(Point(Unit(42.0), Unit(1.0)))
            far = esper.create_entity(Point(Unit(4.0), Unit(900.0)))
        assert harness.settle()
        with client.view:
            assert sorted(point.x for _, point in esper.get_component(Point)) == [41.0, 42.0]
        with harness.world:
            esper.component_for_entity(near, Point).y = Unit(900.0)
            esper.component_for_entity(far, Point).y = Unit(1.0)
            esper.component_for_entity(far, Point).x = Unit(43.0)
        assert harness.settle()
        with client.view:
            assert sorted(point.x for _, point in esper.get_component(Point)) == [41.0, 43.0]


# What is mutable where its type is not.


class Pairing(list[float]):
    """A list of a game's own."""


def poke_list(value: list[object]) -> None:
    value[0] = 9


@pytest.mark.parametrize(
    ("cls", "field", "value", "change"),
    [
        (Thing, "at", [1.0, 2.0], poke_list),
        (Thing, "at", Pairing([1.0, 2.0]), poke_list),
        (Thing, "at", Point(1.0, 2.0), lambda point: setattr(point, "x", 9.0)),
        (Thing, "maybe", [1, 2, 3], poke_list),
        (Thing, "maybe", {1, 2}, lambda value: value.add(3)),
        (Blob, "data", bytearray(b"abc"), lambda value: value.extend(b"d")),
        (Blob, "data", memoryview(bytearray(b"abc")), lambda view: view.__setitem__(0, 65)),
        (Stepped, "at", [1.0, 2.0], poke_list),
        (Stepped, "data", bytearray(b"abc"), lambda value: value.extend(b"d")),
        (Holder, "frozen", Frozen([1, 2]), lambda frozen: poke_list(frozen.points)),  # type: ignore[arg-type]
        (Holder, "grid", ((1, 2), [3]), lambda grid: grid[1].append(4)),
        (Placed, "where", Vector(1.0, 2.0), lambda vector: setattr(vector, "x", 9.0)),
    ],
)
def test_a_change_in_place_arrives_whatever_the_declared_type(
    game: Game, cls: type[object], field: str, value: object, change: Callable[[object], None]
) -> None:
    entity = game.add(cls())
    game.run(0.2)
    setattr(game.live(entity, cls), field, value)
    game.run(0.3)
    before = getattr(game.shown(cls)[0], field)
    game.settle()
    sent = sent_values(game, 0.5)
    change(value)
    game.run(0.3)
    assert getattr(game.shown(cls)[0], field) != before or cls is Placed
    game.settle()
    assert game.lines == []
    # Compared in every tick, and sent when it differs.
    assert sent == 0
    assert sent_values(game, 0.5) == 0


def sent_values(game: Game, seconds: float) -> int:
    """How many values the client is sent in that time."""
    store = game.client._protocol.store
    assert store is not None
    before = {net: dict(record.ticks) for net, record in store.entities.items()}
    game.run(seconds)
    after = {net: dict(record.ticks) for net, record in store.entities.items()}
    return sum(
        ticks[cid] != before.get(net, {}).get(cid) for net, ticks in after.items() for cid in ticks
    )


def test_what_calls_itself_equal_to_everything_is_compared_by_its_bytes(game: Game) -> None:
    entity = game.add(Tricky(Sly(1)))
    game.run(0.3)
    game.live(entity, Tricky).sly = Sly(2)
    game.run(0.3)
    assert [tricky.sly.number for tricky in game.shown(Tricky)] == [2]

    entity = game.add(Moody())
    game.run(0.3)
    game.live(entity, Moody).mood = Mood.BAD
    game.run(0.3)
    assert [moody.mood.name for moody in game.shown(Moody)] == ["BAD"]
    game.live(entity, Moody).last = (Mood.BAD,)
    game.run(0.3)
    game.live(entity, Moody).last = (Mood.GOOD,)
    game.run(0.3)
    assert [moody.last[0].name for moody in game.shown(Moody)] == ["GOOD"]


def test_not_a_number_is_sent_once(game: Game) -> None:
    entity = game.add(Thing(x=float("nan")), Stepped(data=b"x"))
    game.run(0.3)
    assert sent_values(game, 0.5) == 0
    game.live(entity, Thing).at = [float("nan"), 1.0]  # type: ignore[assignment]
    game.run(0.3)
    assert game.shown(Thing)[0].at[1] == 1.0
    assert sent_values(game, 0.5) == 0


# Subclasses of what crosses, and what only looks like it.


@pytest.mark.parametrize(
    ("field", "value", "plain"),
    [
        ("x", Meters(1.5), 1.5),
        ("x", Level.HARD, 2.0),
        ("n", Level.HARD, 2),
        ("n", type("Count", (int,), {})(7), 7),
        ("text", Name("Ann"), "Ann"),
        ("at", (Meters(1.0), Meters(2.0)), (1.0, 2.0)),
        ("maybe", (Level.EASY, type("Count", (int,), {})(7)), (1, 7)),
    ],
)
def test_a_subclass_crosses_as_what_it_is(
    game: Game, field: str, value: object, plain: object
) -> None:
    entity = game.add(Thing(**{field: value}), Point(1.0, Meters(2.0)))  # type: ignore[arg-type]
    game.run(0.3)
    found = getattr(game.shown(Thing)[0], field)
    assert found == plain
    assert type(found) is type(plain)
    assert game.shown(Point) == [Point(1.0, 2.0)]
    game.live(entity, Point).x = Meters(3.0)
    game.settle()
    assert game.shown(Point) == [Point(3.0, 2.0)]
    assert game.lines == []


def test_an_owner_or_a_reference_may_be_of_a_subclass_of_int(game: Game) -> None:
    number = type("Number", (int,), {})
    player = game.harness.simulation.player_entity[1]
    game.add(Diary("mine"), Owner(number(player)), Friends([number(player)]))
    game.run(0.3)
    assert game.shown(Diary) == [Diary("mine")]
    assert [len(friends.who) for friends in game.shown(Friends)] == [1]
    assert game.shown(Friends)[0].who == [game.client.player]
    assert game.lines == []


def test_numbers_of_numpy_cross_as_what_they_are(game: Game) -> None:
    numpy = pytest.importorskip("numpy")
    entity = game.add(
        Thing(x=numpy.float64(1.5), text=numpy.str_("n")), Stepped((numpy.float64(1),))
    )
    game.run(0.3)
    assert (game.shown(Thing)[0].x, game.shown(Thing)[0].text) == (1.5, "n")
    assert game.lines == []
    for bad, name in ((numpy.float32(2.5), "float32"), (numpy.int64(3), "int64")):
        game.live(entity, Thing).x = bad
        game.run(0.2)
        assert f"is a numpy.{name}" in game.lines[-1]
        game.live(entity, Thing).x = 1.5
        game.run(0.2)


def test_what_a_converter_makes_is_judged_like_all_else(game: Game) -> None:
    class Half:
        def __repr__(self) -> str:
            return "0.5"

    entity = game.add(Placed(Vector(Meters(1.0), Level.HARD)))
    game.run(0.2)
    assert game.shown(Placed) == [Placed(Vector(1.0, 2.0))]
    assert game.lines == []
    game.live(entity, Placed).where = Vector(1.0, Half())  # type: ignore[arg-type]
    game.run(0.2)
    (line,) = game.lines
    assert f"on entity {entity}: 0.5 in it is a Half; clients keep the last valid Placed" in line


def test_nothing_that_is_too_large_stops_a_server_that_skips_errors(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with use_registry(REGISTRY):
        server = net.ServerWorld(60, on_error="skip")

    @server.on_start
    def start() -> None:
        esper.create_entity(Blob(bytes(1_048_570)), Note("beside"))

    with Harness(server, seed=1, registry=REGISTRY) as harness:
        client = harness.connect("Ann")
        harness.run(0.5)
        with client.view:
            assert [note for _, note in esper.get_component(Note)] == [Note("beside")]
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert record.getMessage().startswith("Blob of 1,048,5")


def test_commands_take_subclasses_and_name_what_they_refuse(game: Game) -> None:
    class Half:
        def __repr__(self) -> str:
            return "0.5"

    good = Move((Meters(1.0), Meters(2.0)), Level.HARD, Name("go"))
    for bad, says in (
        (Move(n=2**63), "Move.n: 9223372036854775808 is not int: it is too large for 64 bits"),
        (Move(n=2**64), "it is too large for 64 bits"),
        (Move(text="\ud800"), "it holds half of a surrogate pair"),
        (Move((0.0, Half())), "0.5 in it is a Half"),  # type: ignore[arg-type]
        (Move(Half()), "Move.to: 0.5 is not tuple[float, float]: it is a Half"),  # type: ignore[arg-type]
    ):
        with pytest.raises(BadValueError) as caught:
            game.client.send(bad)
        assert says in str(caught.value)
    game.client.send(good)
    game.run(0.3)
    member = game.harness.member(game.client)
    assert member is not None
    assert member.seat.inbox.applied == 1


# What is wrong lies in the type.


def test_a_subclass_without_a_decorator_is_warned_of_once(game: Game) -> None:
    game.add(Minion(), Note("seen"))
    game.add(Minion())
    game.add(Scheme())
    game.run(0.3)
    game.add(Minion())
    game.run(0.3)
    (line,) = game.lines
    assert line.startswith("Minion is never sent: it inherits from Enemy, which is replicated")
    assert "put @net.replicated above class Minion (test_values.py:" in line
    assert game.shown(Note) == [Note("seen")]
    assert game.shown(Enemy) == []


def test_a_component_that_was_declared_later_is_warned_of(game: Game) -> None:
    with use_registry(REGISTRY):

        @net.replicated
        class Late:
            x: int = 0

    late = component_type(Late)
    del REGISTRY._own.types[type(late), late.name]
    game.add(Late())
    game.run(0.2)
    (line,) = game.lines
    assert "Late (test_values.py:" in line
    assert "is never sent: it was declared when this server was made already" in line


class Foe:
    """A component of the server's own."""


class Creature:
    """Under which a game looks for whatever lives."""


def test_a_component_that_is_stored_under_another_type_is_warned_of_once(game: Game) -> None:
    game.add(Foe())
    game.run(0.1)
    assert game.lines == []  # there is nothing but what it says
    entity = game.add(Note("seen"))
    game.put(entity, Enemy(3), Creature)
    game.put(game.add(), Enemy(4), Creature)
    game.run(0.3)
    (line,) = game.lines
    assert line == (
        f"Enemy on entity {entity} is never sent: it is stored under the type Creature;"
        " add it without type_alias"
    )
    assert game.shown(Enemy) == []
    assert game.shown(Note) == [Note("seen")]


@pytest.mark.parametrize("other", [Boss, Minion, Note])
def test_another_type_stored_under_a_components_is_named(game: Game, other: type[object]) -> None:
    entity, good = game.add(Note("a")), game.add(Enemy(5))
    game.put(entity, other(), Enemy)
    game.run(0.3)
    (line,) = game.lines
    assert line.startswith(f"Enemy on entity {entity}: it holds a {other.__name__}")
    assert game.shown(Enemy) == [Enemy(5)]
    game.put(good, other(), Enemy)
    game.run(0.3)
    assert f"Enemy on entity {good}: it holds a {other.__name__}" in game.lines[1]
    assert game.shown(Enemy) == [Enemy(5)]
    game.put(entity, Enemy(7), Enemy)
    game.run(0.3)
    assert game.shown(Enemy) == [Enemy(7), Enemy(5)]
    assert len(game.lines) == 2
