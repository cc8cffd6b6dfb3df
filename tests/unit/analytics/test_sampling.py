"""Snapshots: a little of a large world each tick, whatever games put into their components."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import esper
import pytest

import ecsnet as net
from ecsnet.analytics.records import Slice, decode
from ecsnet.analytics.sampling import TICK_SECONDS, Column, Sampler
from ecsnet.analytics.segment import FRAME_LIMIT
from ecsnet.components import Owner, Position
from ecsnet.schema import Registry, use_registry
from ecsnet.world import World


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    with made:
        yield made
    made.close()


class Taken:
    """A sampler, and what it took. Each look at the clock costs as much as it is told."""

    def __init__(self, world: World, columns: list[Column], cost: float = 0.0) -> None:
        self.records: list[bytes] = []
        self.now = 0.0
        self.cost = cost
        numbers = count(1)
        self.sampler = Sampler(
            world,
            columns,
            Owner,
            lambda tick, snapshot: (3, 0, next(numbers), tick, snapshot, 0),
            self.records.append,
            clock=self.clock,
        )

    def clock(self) -> float:
        self.now += self.cost
        return self.now

    def take(self, tick: int, players: dict[int, int] | None = None) -> list[Slice]:
        before = len(self.records)
        self.sampler.take(tick, players or {})
        slices = [decode(record) for record in self.records[before:]]
        assert all(isinstance(each, Slice) for each in slices)
        return slices  # type: ignore[return-value]


def column(cls: type, every: int = 1, number: int = 0) -> Column:
    return Column(number, cls, every)


def test_a_small_world_is_one_slice(world: World) -> None:
    owner = esper.create_entity(Position(1, 2))
    owned = esper.create_entity(Owner(owner), Position(3, 4))
    nobodys = esper.create_entity(Position(5, 6))
    esper.create_entity(Owner())
    taken = Taken(world, [column(Position, 10)])
    assert taken.take(9) == []
    (made,) = taken.take(10, {owner: 7})
    assert (made.tick, made.snapshot, made.seq) == (10, 10, 1)
    assert made.entities == [owner, owned, nobodys]
    assert made.owners == [7, 7, None]
    assert made.columns == [(0, [[1, 2], [3, 4], [5, 6]])]
    assert taken.take(11) == []


def test_each_type_is_taken_as_often_as_it_is_to_be(world: World) -> None:
    esper.create_entity(Position(), Owner())
    taken = Taken(world, [column(Position, 2, 0), column(Owner, 3, 1)])
    numbers = {
        tick: [number for made in taken.take(tick) for number, _ in made.columns]
        for tick in range(1, 7)
    }
    assert numbers == {1: [], 2: [0], 3: [1], 4: [0], 5: [], 6: [0, 1]}


def test_a_large_world_takes_several_ticks_and_each_slice_names_its_own(world: World) -> None:
    entities = [esper.create_entity(Position(n, 0)) for n in range(5000)]
    taken = Taken(world, [column(Position, 600)], cost=TICK_SECONDS)
    slices: list[Slice] = []
    for tick in range(600, 700):
        now = taken.take(tick)
        assert len(now) <= 1  # each look at the clock says that time is up
        assert all(made.tick == tick for made in now)
        slices += now
        for _, place in esper.get_component(Position):
            place.y = tick
    assert [entity for made in slices for entity in made.entities] == entities
    assert {made.snapshot for made in slices} == {600}
    assert len({made.tick for made in slices}) > 1
    # As it was in that tick, not when the snapshot began.
    last = slices[-1]
    assert last.columns[0][1][0][1] == last.tick - 1  # type: ignore[index]


def test_a_small_world_is_of_one_tick_however_slow_that_is(world: World) -> None:
    esper.create_entity(Position(1, 2))
    taken = Taken(world, [column(Position)], cost=TICK_SECONDS * 50)
    assert [len(taken.take(tick)) for tick in range(1, 5)] == [1, 1, 1, 1]


def test_the_tick_in_which_a_large_snapshot_begins_has_done_enough(world: World) -> None:
    for n in range(1000):
        esper.create_entity(Position(n, 0))
    taken = Taken(world, [column(Position, 60)], cost=TICK_SECONDS * 1.01)
    assert taken.take(60) == []
    assert [len(taken.take(tick)) for tick in (61, 62, 63)] == [1, 1, 1]


def test_a_component_that_is_false_is_one_all_the_same(world: World) -> None:
    with use_registry(Registry()):

        @net.replicated
        class Purse:
            gold: int = 0

            def __bool__(self) -> bool:
                return self.gold > 0

    esper.create_entity(Purse(), Position(1, 2))
    (made,) = Taken(world, [column(Purse, 1, 0), column(Position, 1, 1)]).take(1)
    assert made.columns == [(0, [[0]]), (1, [[1, 2]])]


def test_a_world_that_becomes_empty_says_so_once(world: World) -> None:
    taken = Taken(world, [column(Position, 2, 0), column(Owner, 3, 1)])
    assert taken.take(2) == []  # it has not been anything else yet
    entity = esper.create_entity(Position())
    assert [made.entities for made in taken.take(4)] == [[entity]]
    assert taken.take(9) == []  # of owners; positions are there
    esper.delete_entity(entity, immediate=True)
    (made,) = taken.take(10)
    assert (made.tick, made.snapshot, made.entities, made.columns) == (10, 10, [], [])
    assert taken.take(12) == []
    entity = esper.create_entity(Position())
    assert [made.entities for made in taken.take(14)] == [[entity]]


def test_a_snapshot_that_is_due_while_one_is_taken_follows_it(world: World) -> None:
    for n in range(2000):
        esper.create_entity(Position(n, 0))
    taken = Taken(world, [column(Position, 2)], cost=TICK_SECONDS)
    seen = [(made.snapshot, made.tick) for tick in range(2, 40) for made in taken.take(tick)]
    snapshots = sorted({snapshot for snapshot, _ in seen})
    assert snapshots[0] == 2
    assert len(snapshots) > 1
    assert seen == sorted(seen)


def test_who_is_gone_by_then_is_left_out(world: World) -> None:
    entities = [esper.create_entity(Position(n, 0)) for n in range(2000)]
    taken = Taken(world, [column(Position, 60)], cost=TICK_SECONDS)
    slices = taken.take(60)
    esper.delete_entity(entities[-1], immediate=True)
    for tick in range(61, 100):
        slices += taken.take(tick)
    assert [entity for made in slices for entity in made.entities] == entities[:-1]


def test_slices_fit_into_frames_whatever_is_in_them(world: World) -> None:
    with use_registry(Registry()):

        @net.replicated
        class Page:
            text: str = ""

    entities = [esper.create_entity(Page("x" * 5000)) for _ in range(300)]
    taken = Taken(world, [column(Page)])
    slices = taken.take(1)
    assert [entity for made in slices for entity in made.entities] == entities
    assert max(map(len, taken.records)) <= FRAME_LIMIT


@pytest.mark.parametrize("value", [10**30, {1: object()}, object(), "\ud800", 1j, print])
def test_what_cannot_be_encoded_costs_that_value_and_no_other(world: World, value: object) -> None:
    one = esper.create_entity(Position(1, 2))
    two = esper.create_entity(Position(value, 4))  # type: ignore[arg-type]
    (made,) = Taken(world, [column(Position)]).take(1)
    assert made.entities == [one, two]
    ((_, values),) = made.columns
    assert values[0] == [1, 2]
    assert values[1][1] == 4  # type: ignore[index]


def test_an_empty_world_is_no_slice(world: World) -> None:
    assert Taken(world, [column(Position)]).take(1) == []
