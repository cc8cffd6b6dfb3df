"""MovementSystem: speed, bounds, blocking."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import esper
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.components import Bounds, Collider, MaxSpeed, Position, Velocity
from ecsnet.systems import MovementSystem
from ecsnet.systems.rectangles import TOLERANCE
from ecsnet.world import World


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


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_velocity_that_is_no_number_is_none(bad: float) -> None:
    mover = spawn(Position(1, 2), Velocity(bad, 5), MaxSpeed(10))
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
