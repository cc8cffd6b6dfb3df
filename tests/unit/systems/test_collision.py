"""CollisionSystem: who meets whom."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import esper
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.components import Collider, Contacts, Position, Velocity
from ecsnet.systems import CollisionSystem, MovementSystem
from ecsnet.world import World
from tests.unit.systems import plain_movement


@pytest.fixture(autouse=True)
def world() -> Iterator[World]:
    world = World()
    with world:
        yield world
    world.close()


def box(x: float, y: float, side: float = 10.0, *, blocking: bool = False) -> int:
    return esper.create_entity(Position(x, y), Collider(side, side, blocking))


def meets(entity: int) -> tuple[int, ...]:
    return esper.component_for_entity(entity, Contacts).entities


def run() -> None:
    CollisionSystem().process(1 / 60)


def test_overlapping_ones_meet_both_ways_in_order() -> None:
    a, b, c, far = box(0, 0), box(5, 5), box(9, 0), box(100, 0)
    run()
    assert [meets(e) for e in (a, b, c, far)] == [(b, c), (a, c), (a, b), ()]


def test_neighbours_meet_only_when_both_block() -> None:
    coin, player, wall = box(0, 0), box(10, 0, blocking=True), box(20, 0, blocking=True)
    corner = box(30, 10, blocking=True)
    run()
    assert [meets(e) for e in (coin, player, wall, corner)] == [(), (wall,), (player,), ()]


def test_neighbours_may_be_a_rounding_error_apart() -> None:
    wall, near, far = box(0, 0, blocking=True), box(10.0000009, 0, blocking=True), box(20.000003, 0)
    esper.component_for_entity(far, Collider).blocking = True
    run()
    assert (meets(wall), meets(near), meets(far)) == ((near,), (wall,), ())


def test_contacts_follow_the_world() -> None:
    a, b = box(0, 0), box(5, 0)
    run()
    contacts = esper.component_for_entity(a, Contacts)
    assert contacts.entities == (b,)
    esper.component_for_entity(b, Position).x = 50
    run()
    assert esper.component_for_entity(a, Contacts) is contacts
    assert contacts.entities == ()
    esper.component_for_entity(b, Position).x = 5
    run()
    assert contacts.entities == (b,)
    esper.remove_component(b, Collider)
    run()
    assert (contacts.entities, meets(b)) == ((), ())


def test_what_is_deleted_meets_nobody() -> None:
    a, b = box(0, 0), box(5, 0)
    run()
    esper.delete_entity(b)
    run()
    assert (meets(a), meets(b)) == ((), ())


def test_no_structural_change_once_all_have_contacts(world: World) -> None:
    a = box(0, 0)
    box(5, 0)
    run()
    seen = world.structure(Contacts)
    run()
    assert world.structure(Contacts) is seen
    assert meets(a) != ()


def test_blocked_mover_meets_the_wall() -> None:
    wall = box(50, 0, blocking=True)
    mover = box(0, 0, blocking=True)
    esper.add_component(mover, Velocity(100, 0))
    for _ in range(3):
        MovementSystem().process(1.0)
        run()
        assert (meets(mover), meets(wall)) == ((wall,), (mover,))


def test_the_grid_misses_nobody() -> None:
    rng = random.Random(7)
    boxes = [box(rng.uniform(0, 400), rng.uniform(0, 400), rng.uniform(1, 60)) for _ in range(150)]
    boxes.append(box(-1000, 200, 3000))
    run()

    def expected(entity: int) -> tuple[int, ...]:
        return tuple(other for other in boxes if other != entity and overlaps(entity, other))

    assert [meets(e) for e in boxes] == [expected(e) for e in boxes]
    assert sum(len(meets(e)) for e in boxes) > 200


def overlaps(a: int, b: int) -> bool:
    (at, size), (other, room) = (
        (esper.component_for_entity(e, Position), esper.component_for_entity(e, Collider))
        for e in (a, b)
    )
    return (
        at.x < other.x + room.width
        and other.x < at.x + size.width
        and at.y < other.y + room.height
        and other.y < at.y + size.height
    )


numbers = (
    st.integers(-6, 6).map(lambda n: 10.0 * n)
    | st.floats(-60, 60)
    | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1e18, 10.000001])
)
sizes = st.sampled_from([0.0, 10.0, 10.0, 20.0]) | numbers.map(abs)


@given(st.lists(st.tuples(numbers, numbers, sizes, sizes, st.booleans()), max_size=15))
def test_contacts_are_what_asking_everybody_about_all_finds(
    placed: list[tuple[float, float, float, float, bool]],
) -> None:
    esper.clear_database()
    for x, y, width, height, blocking in placed:
        esper.create_entity(Position(x, y), Collider(width, height, blocking))
    run()
    found = {entity: contacts.entities for entity, contacts in esper.get_component(Contacts)}
    assert found == plain_movement.contacts()
