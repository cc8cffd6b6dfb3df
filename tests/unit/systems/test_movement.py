"""MovementSystem: speed, bounds, blocking."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import TypeAlias

import esper
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsnet.components import Bounds, Collider, MaxSpeed, Position, Velocity
from ecsnet.systems import MovementSystem
from ecsnet.systems.rectangles import TOLERANCE
from ecsnet.world import World
from tests.unit.counting import instructions
from tests.unit.systems import plain_movement

Components: TypeAlias = tuple[object, ...]


@pytest.fixture(autouse=True)
def world() -> Iterator[World]:
    world = World()
    with world:
        yield world
    world.close()


def spawn(*components: object) -> int:
    return esper.create_entity(*components)


def at(entity: int) -> tuple[float, float]:
    position = esper.component_for_entity(entity, Position)
    return position.x, position.y


def going(entity: int) -> tuple[float, float]:
    velocity = esper.component_for_entity(entity, Velocity)
    return velocity.dx, velocity.dy


def wall(x: float, y: float, width: float, height: float) -> int:
    return spawn(Position(x, y), Collider(width, height, blocking=True))


def block(x: float, y: float, dx: float, dy: float, side: float = 10.0) -> int:
    return spawn(Position(x, y), Velocity(dx, dy), Collider(side, side, blocking=True))


def run(dt: float = 1.0, ticks: int = 1, **options: float) -> None:
    system = MovementSystem(**options)
    for _ in range(ticks):
        system.process(dt)


def test_velocity_moves_by_the_second() -> None:
    mover, paused = spawn(Position(1, 2), Velocity(30, -60)), spawn(Position(5, 5))
    run(dt=0.1)
    assert at(mover) == pytest.approx((4, -4))
    assert at(paused) == (5, 5)


def test_what_is_deleted_stays_and_blocks_nobody() -> None:
    gone, dead_wall = spawn(Position(), Velocity(1, 1)), wall(20, 0, 10, 10)
    mover = block(0, 0, 100, 0)
    esper.delete_entity(gone)
    esper.delete_entity(dead_wall)
    run()
    assert at(gone) == (0, 0)
    assert at(mover) == (100, 0)


def test_max_speed_keeps_the_direction() -> None:
    fast = spawn(Position(), Velocity(300, 400), MaxSpeed(50))
    slow = spawn(Position(), Velocity(3, 4), MaxSpeed(50))
    held = spawn(Position(), Velocity(3, 4), MaxSpeed(0))
    run()
    assert going(fast) == pytest.approx((30, 40))
    assert at(fast) == pytest.approx((30, 40))
    assert at(slow) == (3, 4)
    assert at(held) == (0, 0)


def test_limit_of_the_system_is_for_those_without_their_own() -> None:
    plain = spawn(Position(), Velocity(100, 0))
    own = spawn(Position(), Velocity(100, 0), MaxSpeed(70))
    run(max_speed=50)
    assert (at(plain), at(own)) == ((50, 0), (70, 0))


@pytest.mark.parametrize("limit", [10, math.inf])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_velocity_that_is_no_number_is_none(bad: float, limit: float) -> None:
    mover = spawn(Position(1, 2), Velocity(bad, 5), MaxSpeed(limit))
    run()
    assert at(mover) == (1, 2)
    assert going(mover) == (0, 0)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1e6, 1e6), st.floats(0, 1e4))
def test_nobody_exceeds_the_limit(dx: float, dy: float, limit: float) -> None:
    mover = spawn(Position(), Velocity(dx, dy), MaxSpeed(limit))
    run(dt=1 / 60)
    # Beside the relative error there is an absolute one, where floats run out of digits.
    assert math.hypot(*at(mover)) <= limit / 60 * (1 + 1e-9) + 1e-300
    esper.delete_entity(mover, immediate=True)


def test_reach_gets_there_and_no_faster_than_allowed() -> None:
    position, velocity = Position(0, 0), Velocity()
    mover = spawn(position, velocity, MaxSpeed(50))
    path: list[float] = []
    for _ in range(4):
        velocity.reach(position, 10, 0, dt=0.1)
        run(dt=0.1)
        path.append(position.x)
    assert path == pytest.approx([5, 10, 10, 10])
    assert at(mover)[1] == 0


@pytest.mark.parametrize(
    ("dx", "dy", "end"),
    [
        (500, 0, (90, 50)),
        (-500, 0, (0, 50)),
        (0, 500, (50, 80)),
        (0, -500, (50, 0)),
        (500, 500, (90, 80)),
        (40, 30, (90, 80)),
        (10, 5, (60, 55)),
    ],
)
def test_bounds_hold_the_whole_collider(dx: float, dy: float, end: tuple[float, float]) -> None:
    mover = spawn(Position(50, 50), Velocity(dx, dy), Bounds(0, 0, 100, 100), Collider(10, 20))
    run()
    assert at(mover) == end
    assert going(mover) == (dx, dy)


def test_bounds_hold_a_point_and_bring_back_what_was_put_outside() -> None:
    mover = spawn(Position(500, -30), Velocity(-1, 0), Bounds(0, 0, 100, 100))
    run()
    assert at(mover) == (99, 0)


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize(
    ("start", "way", "end"),
    [
        ((-50, 50), (60, 0), (60, 50)),
        ((150, 50), (-60, 0), (30, 50)),
        ((50, -50), (0, 60), (50, 60)),
        ((50, 150), (0, -60), (50, 30)),
    ],
)
def test_what_is_outside_is_brought_back_before_it_moves_in(
    start: tuple[float, float], way: tuple[float, float], end: tuple[float, float], blocking: bool
) -> None:
    mover = spawn(
        Position(*start), Velocity(*way), Bounds(0, 0, 100, 100), Collider(10, 10, blocking)
    )
    run()
    assert at(mover) == end


def test_bounds_that_are_too_small_hold_at_the_left_and_top() -> None:
    mover = spawn(Position(50, 50), Velocity(5, -5), Bounds(0, 0, 5, 5), Collider(10, 10))
    run(ticks=3)
    assert at(mover) == (0, 0)


def test_bounce_comes_back_at_the_same_speed() -> None:
    ball = spawn(
        Position(80, 50), Velocity(30, -120), Bounds(0, 0, 110, 100, True), Collider(10, 10)
    )
    run()
    assert at(ball) == pytest.approx((90, 70))
    assert going(ball) == (-30, 120)
    edge = spawn(Position(100, 0), Velocity(7, 0), Bounds(0, 0, 100, 100, True))
    run()
    assert at(edge) == (93, 0)


@given(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5), st.booleans())
def test_nobody_leaves_the_bounds(dx: float, dy: float, bounce: bool) -> None:
    mover = spawn(
        Position(50, 50), Velocity(dx, dy), Bounds(0, 0, 100, 90, bounce), Collider(10, 10)
    )
    for _ in range(5):
        run(dt=1 / 60)
        x, y = at(mover)
        assert 0 <= x <= 90
        assert 0 <= y <= 80
        assert (abs(going(mover)[0]), abs(going(mover)[1])) == (abs(dx), abs(dy))
    esper.delete_entity(mover, immediate=True)


@pytest.mark.parametrize("speed", [60, 600, 1e5, 1e9])
def test_no_wall_is_jumped_over(speed: float) -> None:
    wall(100, -1000, 0.5, 2000)
    mover = block(0, 0, speed, 0)
    run(dt=1 / 60, ticks=200)
    assert at(mover) == (90, 0)


def test_a_blocked_step_slides() -> None:
    wall(20, 0, 10, 100)
    mover = block(0, 0, 40, 20)
    run()
    assert at(mover) == (10, 20)
    run()
    assert at(mover) == (10, 40)
    assert going(mover) == (40, 20)


def test_only_two_blocking_ones_block() -> None:
    spawn(Position(20, 0), Collider(10, 10))
    confirmed_tick = block(0, 0, 50, 0)
    wall(20, 100, 10, 10)
    ghost = spawn(Position(0, 100), Velocity(50, 0), Collider(10, 10))
    run()
    assert (at(confirmed_tick), at(ghost)) == ((50, 0), (50, 100))


def test_a_row_of_tiles_is_a_smooth_floor() -> None:
    tiles = [wall(10.0 * i, 10, 10, 10) for i in reversed(range(20))]
    mover = block(0, 0, 7, 9)
    run(ticks=20)
    assert len(tiles) == 20
    assert at(mover) == pytest.approx((140, 0))


def test_fractions_do_not_creep_through_a_wall() -> None:
    wall(0.3, -5, 0.1, 10)
    mover = block(-0.7, 0, 0.1, 0.001, side=0.7)
    run(dt=0.7, ticks=3000)
    assert at(mover)[0] + 0.7 == pytest.approx(0.3, abs=TOLERANCE)
    assert at(mover)[1] == pytest.approx(2.1)


def test_what_begins_inside_can_leave() -> None:
    wall(0, 0, 10, 10)
    mover = block(5, 5, 20, 0)
    run()
    assert at(mover) == (25, 5)


def test_movers_go_by_id_and_see_where_the_others_went() -> None:
    first, second = block(0, 0, 100, 0), block(50, 0, 30, 0)
    run()
    assert (at(first), at(second)) == ((40, 0), (80, 0))
    run()
    assert (at(first), at(second)) == ((70, 0), (110, 0))
    left, right = block(0, 500, 100, 0), block(50, 500, -100, 0)
    run()
    assert (at(left), at(right)) == ((40, 500), (50, 500))


def test_blocked_by_wall_and_bounds_together() -> None:
    wall(60, 0, 10, 100)
    mover = spawn(
        Position(0, 80),
        Velocity(200, 200),
        Bounds(0, 0, 100, 100),
        Collider(10, 10, blocking=True),
    )
    run()
    assert at(mover) == (50, 90)


def crowd(seed: int) -> list[int]:
    """Blocks on a grid_index, none overlapping, each with some velocity."""
    rng = random.Random(seed)
    spots = [(30.0 * i, 30.0 * j) for i in range(5) for j in range(5)]
    return [
        spawn(
            Position(x, y),
            Velocity(rng.uniform(-2000, 2000), rng.uniform(-2000, 2000)),
            Bounds(0, 0, 150, 150, bounce=rng.random() < 0.5),
            Collider(rng.uniform(2, 29), rng.uniform(2, 29), blocking=True),
        )
        for x, y in rng.sample(spots, 15)
    ]


@pytest.mark.parametrize("seed", range(10))
def test_a_crowd_never_overlaps_and_always_moves_the_same_way(seed: int) -> None:
    def play() -> list[tuple[float, float]]:
        entities = crowd(seed)
        trail: list[tuple[float, float]] = []
        for _ in range(40):
            run(dt=1 / 60)
            trail += [at(e) for e in entities]
            for i, a in enumerate(entities):
                for b in entities[:i]:
                    assert penetration(a, b) <= 2 * TOLERANCE
        esper.clear_database()
        return trail

    trail = play()
    assert len(set(trail)) > 50
    assert play() == trail


def penetration(a: int, b: int) -> float:
    (ax, ay), (bx, by) = at(a), at(b)
    first, second = (esper.component_for_entity(e, Collider) for e in (a, b))
    return min(
        min(ax + first.width, bx + second.width) - max(ax, bx),
        min(ay + first.height, by + second.height) - max(ay, by),
    )


# The same as what is plain and slow, to the bit.

wide = st.integers(-8, 8) | st.floats(-100, 100)
"""Places, ways and sizes in a world of 200 units."""

odd = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 3, 5e-324, 1e9, -1e18, 1e300])

fine = st.builds(
    lambda tenths, small: 0.1 * tenths + 0.5 * TOLERANCE * small,
    st.integers(-15, 15),
    st.sampled_from([0, 0, 0, -3, -2, -1, 1, 2, 3]),
) | st.sampled_from([0, -0.0, 1])
"""Numbers of which many are equal, but for rounding."""


def things(number: st.SearchStrategy[float], edge: float) -> st.SearchStrategy[list[Components]]:
    """Lists of the components of entities, which keep to bounds at ``edge`` or to others."""
    one, other = -edge, 1.05 * edge
    each = st.tuples(
        st.builds(Position, number, number),
        st.none() | st.builds(Velocity, number, number),
        st.none() | st.builds(Collider, number.map(abs), number.map(abs), st.just(True)),
        st.none()
        | st.builds(
            Bounds, st.just(one), st.just(one), st.just(other), st.just(edge), st.booleans()
        )
        | st.builds(Bounds, number, number, number, number, st.booleans()),
        st.none() | st.none() | st.builds(MaxSpeed, number.map(abs)),
    )
    return st.lists(each, min_size=1, max_size=12)


class Pair:
    """Two worlds with the same in them: one for the system, one for the plain way."""

    def __init__(self, spec: list[Components], max_speed: float | None = None) -> None:
        self.system, self.max_speed = MovementSystem(max_speed), max_speed
        self.fast, self.plain = World(), World()
        for world in (self.fast, self.plain):
            with world:
                for components in deepcopy(spec):
                    spawn(*(each for each in components if each is not None))

    def step(self, dt: float) -> None:
        with self.fast:
            self.system.process(dt)
        with self.plain:
            plain_movement.move(dt, self.max_speed)
        assert self.state(self.fast) == self.state(self.plain)

    def state(self, world: World) -> list[str]:
        with world:
            found = esper.get_component(Position) + esper.get_component(Velocity)
        return [f"{entity}: {component}" for entity, component in found]

    def close(self) -> None:
        self.fast.close()
        self.plain.close()


@settings(max_examples=200)
@given(
    things(wide, 90.0) | things(fine, 1.2) | things(wide | odd, 90.0),
    st.sampled_from([0.1, 1.0, 10.0]),
    st.sampled_from([None, 20.0]),
)
def test_it_moves_as_plainly_written(
    spec: list[Components], dt: float, limit: float | None
) -> None:
    pair = Pair(spec, limit)
    for _ in range(6):
        pair.step(dt)
    pair.close()


def test_many_who_nearly_reach_an_edge_move_as_plainly_written() -> None:
    rng = random.Random(3)

    def number() -> float:
        return 0.1 * rng.randint(-8, 8) + 0.5 * TOLERANCE * rng.choice([0, 0, -3, -2, -1, 1, 2, 3])

    spec: list[Components] = []
    for _ in range(2000):
        left, top = number(), number()
        right, bottom = left + 2 * abs(number()), top + 2 * abs(number())
        spec.append(
            (
                Position(number(), number()),
                Velocity(number(), number()),
                Collider(abs(number()), abs(number())),
                Bounds(left, top, right, bottom, bounce=rng.random() < 0.5),
            )
        )
    pair = Pair(spec)
    for _ in range(4):
        pair.step(1.0)
    pair.close()


@pytest.mark.parametrize("seed", range(4))
def test_many_among_walls_that_change_move_as_plainly_written(seed: int) -> None:
    """For many ticks, in which now and then a game puts something elsewhere."""
    rng = random.Random(seed)
    spec: list[Components] = [
        (Position(40.0 * i, 40.0 * j), Collider(10, rng.uniform(5, 30), blocking=True))
        for i in range(6)
        for j in range(6)
    ]
    spec += [
        (
            Position(rng.uniform(0, 240), rng.uniform(0, 240)),
            Velocity(rng.uniform(-400, 400), rng.uniform(-400, 400)),
            Collider(8, 8, blocking=True),
            Bounds(0, 0, 240, 240, bounce=rng.random() < 0.5),
        )
        for _ in range(12)
    ]
    pair = Pair(spec)
    for _ in range(150):
        entity, x, change = rng.randint(1, len(spec)), rng.uniform(0, 240), rng.random()
        for world in (pair.fast, pair.plain):
            with world:
                if change < 0.2 and esper.entity_exists(entity):
                    esper.component_for_entity(entity, Position).x = x
                elif change < 0.3 and esper.entity_exists(entity):
                    collider = esper.component_for_entity(entity, Collider)
                    collider.blocking = not collider.blocking
                    collider.width = x / 10
                elif change < 0.33:
                    esper.delete_entity(entity)
        pair.step(1 / 60)
    pair.close()


def test_one_system_may_move_several_worlds() -> None:
    pairs = [Pair([(Position(x, 0), Collider(10, 10, True)), MOVER]) for x in (50.0, 80.0)]
    for pair in pairs:
        pair.system = pairs[0].system
    for _ in range(5):
        for pair in pairs:
            pair.step(0.1)
    ends: list[tuple[float, float]] = []
    for pair in pairs:
        with pair.fast:
            ends.append(at(2))
        pair.close()
    assert ends == [(40, 0), (70, 0)]


MOVER = Position(), Velocity(200, 0), Collider(10, 10, True)


def test_scenery_that_stands_still_costs_little() -> None:
    """Counted in instructions of a step of ten that move, far from all of it."""

    def cost(walls: int, moved: int) -> int:
        esper.clear_database()
        scenery = [Position(40.0 * number, 500.0) for number in range(walls)]
        for position in scenery:
            spawn(position, Collider(20, 20, blocking=True))
        for number in range(10):
            block(40.0 * number, 0, 60, 0)
        system = MovementSystem()
        system.process(1 / 60)
        for position in scenery[:moved]:
            position.y += 1
        return instructions(partial(system.process, 1 / 60))

    alone = cost(0, 0)
    assert (cost(200, 0) - alone) / 200 < 40
    assert (cost(200, 1) - alone) / 200 > 60


def test_each_costs_as_much_among_many() -> None:
    """Counted in instructions of a step, of blocking ones on a grid."""

    def cost(many: int) -> float:
        esper.clear_database()
        for number in range(many):
            block(60.0 * (number % 20), 60.0 * (number // 20), 60, 30)
        return instructions(partial(MovementSystem().process, 1 / 60)) / many

    assert cost(400) < 1.2 * cost(40)
