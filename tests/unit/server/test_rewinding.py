"""Rewinding in a room: from what a client says that it drew to what `net.rewind` shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated

import esper
import pytest

import ecsnet as net
from ecsnet.components import Owner, Player, Position
from ecsnet.replication.server.entities import ReplicatedEntities
from ecsnet.replication.server.history import History
from ecsnet.replication.server.interest import Everyone
from ecsnet.schema import EntityRef, Quantized, Turn
from ecsnet.simulation.past import Past
from ecsnet.testing import Harness, Registry, use_registry
from ecsnet.transport.conditioner import Link
from ecsnet.world import World

with use_registry(Registry()) as registry:

    @net.replicated(interpolate=True)
    class Spot:
        x: float = 0.0
        laps: int = 0

    @net.replicated(interpolate=True)
    class Rough:
        x: Annotated[float, Quantized(0.5)] = 0.0

    @net.replicated(interpolate=True)
    class Chaser:
        x: float = 0.0
        at: EntityRef = None

    @net.replicated(interpolate=True, rate=6)
    class Seldom:
        x: float = 0.0

    @net.replicated(interpolate=True, snap=10)
    class Dial:
        angle: Annotated[float, Turn(360)] = 0.0

    @net.replicated(interpolate=True, visible_to="owner")
    class Secret:
        x: float = 0.0

    @net.replicated
    class Stepping:
        x: float = 0.0

    @net.command
    class Zap:
        pass

    @net.command(hold=True)
    class Beam:
        pass


SIXTEENTHS = 16


class Range:
    """A shooter, and what moves by 3.25 in each tick: at tick n all of it stands at 3.25 n."""

    def __init__(self, link: Link | None = None, **options: object) -> None:
        with use_registry(registry):
            self.server = net.ServerWorld(tick_rate=60, **options)  # type: ignore[arg-type]
        self.seen: dict[int, dict[type, float]] = {}
        self.look: Callable[[int], dict[type, float]] = self.look_at_target
        self.move: Callable[[int], None] = self.move_all

        @self.server.on_start
        def start() -> None:
            self.target = esper.create_entity(
                Spot(), Rough(), Chaser(), Seldom(), Secret(), Stepping()
            )
            self.dial = esper.create_entity(Dial())

        @self.server.system(priority=5)
        def move(dt: float) -> None:
            self.move(net.tick())

        @self.server.system
        def zap(dt: float) -> None:
            for shooter, _ in [*net.commands(Zap), *net.commands(Beam)]:
                with net.rewind(shooter):
                    self.seen[net.tick()] = self.look(shooter)

        self.game = Harness(self.server)
        self.client = self.game.connect("Ann", link)
        self.client._sender.outbox.drawn = 0  # the server remembers from now on
        self.game.run(1.0)

    @property
    def tick(self) -> int:
        return self.game.simulation.tick

    def move_all(self, tick: int) -> None:
        for cls in (Spot, Rough, Chaser, Seldom, Secret, Stepping):
            esper.component_for_entity(self.target, cls).x = 3.25 * tick

    def look_at_target(self, _shooter: int) -> dict[type, float]:
        components = esper.components_for_entity(self.target)
        return {type(each): float(each.x) for each in components if hasattr(each, "x")}

    def zap(self, drawn: float, ticks: int = 12) -> tuple[int, dict[type, float]]:
        """Zap while others are drawn at a tick; returns the tick in which the shot was judged, and
        what it saw.
        """
        self.seen.clear()
        self.client._sender.outbox.drawn = round(SIXTEENTHS * drawn)
        self.client.send(Zap())
        self.game.step(ticks)
        ((tick, seen),) = self.seen.items()
        return tick, seen


@pytest.fixture
def shooting() -> Iterator[Range]:
    shooting = Range()
    yield shooting
    shooting.game.close()


def test_a_shot_sees_what_its_player_saw(shooting: Range) -> None:
    drawn = shooting.tick - 4 + 5 / 16
    tick, seen = shooting.zap(drawn)
    assert tick > drawn + 4
    assert seen[Spot] == pytest.approx(3.25 * drawn)
    assert seen[Chaser] == pytest.approx(3.25 * drawn)
    # What clients were told: in steps of a half, blended.
    one, other = (round(3.25 * n * 2) / 2 for n in (int(drawn), int(drawn) + 1))
    assert seen[Rough] == pytest.approx(one + (other - one) * 5 / 16)
    # What is not interpolated, and what the player never saw, is where it is now.
    assert seen[Stepping] == seen[Secret] == 3.25 * tick
    stats = shooting.game.room.stats()
    assert (stats.rewinds, stats.rewinds_limited) == (1, 0)
    assert (shooting.game.host.stats().rewinds, shooting.game.host.stats().rewinds_limited) == (
        1,
        0,
    )
    with shooting.game.world:
        assert shooting.look_at_target(0)[Spot] == 3.25 * shooting.tick


def test_at_a_whole_tick_it_sees_exactly_what_was_told(shooting: Range) -> None:
    drawn = shooting.tick - 3
    _, seen = shooting.zap(drawn)
    assert seen[Spot] == 3.25 * drawn


def test_what_has_its_turn_every_few_ticks_is_drawn_between_its_turns(shooting: Range) -> None:
    drawn = shooting.tick - 10
    _, seen = shooting.zap(drawn + 0.5)
    assert seen[Seldom] == pytest.approx(3.25 * (drawn + 0.5))


def test_with_fewer_updates_it_is_drawn_between_these() -> None:
    shooting = Range(update_rate=20)
    try:
        shooting.move = lambda tick: setattr(
            esper.component_for_entity(shooting.target, Spot), "x", float(tick * tick)
        )
        shooting.game.run(1.0)
        drawn = shooting.tick // 3 * 3 - 6
        _, seen = shooting.zap(drawn + 1.5)
        assert seen[Spot] == pytest.approx((drawn**2 + (drawn + 3) ** 2) / 2)
    finally:
        shooting.game.close()


def test_what_is_held_is_judged_in_each_tick_by_what_was_drawn_then(shooting: Range) -> None:
    outbox = shooting.client._sender.outbox
    shooting.client.send(Beam())
    for _ in range(30):
        outbox.drawn = SIXTEENTHS * (shooting.tick - 3) + 5
        shooting.game.step()
    distances = {
        tick: tick - seen[Spot] / 3.25 for tick, seen in shooting.seen.items() if tick > 70
    }
    assert len(distances) > 20
    assert max(distances.values()) - min(distances.values()) < 0.01
    assert 3 < min(distances.values()) < 10


def test_own_things_stay_where_they_are_and_those_of_others_do_not(shooting: Range) -> None:
    bob = shooting.game.connect("Bob")
    with shooting.game.world:
        players = {player.id: entity for entity, player in esper.get_component(Player)}
        ann, other = players[1], players[2]
        mine = esper.create_entity(Spot(), Owner(ann))
        theirs = esper.create_entity(Spot(), Owner(other))
        for player in (ann, other):
            esper.add_component(player, Spot())
    assert bob.connected
    things = (ann, other, mine, theirs)

    def move(tick: int) -> None:
        for entity in things:
            esper.component_for_entity(entity, Spot).x = 3.25 * tick

    def look(_shooter: int) -> dict[type, float]:
        found.extend(esper.component_for_entity(entity, Spot).x / 3.25 for entity in things)
        return {}

    found: list[float] = []
    shooting.move, shooting.look = move, look
    shooting.game.run(0.5)
    drawn = shooting.tick - 4
    tick, _ = shooting.zap(drawn)
    assert found == pytest.approx([tick, drawn, tick, drawn])


def test_what_has_just_come_is_where_it_is_and_what_went_is_gone(shooting: Range) -> None:
    fresh: list[int] = []

    def move(tick: int) -> None:
        shooting.move_all(tick)
        if tick == born:
            fresh.append(esper.create_entity(Spot(1000.0)))
        for entity in fresh:
            esper.component_for_entity(entity, Spot).x += 1
        if tick == died:
            esper.delete_entity(gone)

    def look(_shooter: int) -> dict[type, float]:
        return {int: esper.component_for_entity(fresh[0], Spot).x, bool: esper.entity_exists(gone)}

    with shooting.game.world:
        gone = esper.create_entity(Spot(5.0))
    born = died = -1
    shooting.game.run(0.5)
    shooting.move, shooting.look = move, look
    drawn = shooting.tick
    born = died = shooting.tick + 2
    shooting.game.step(4)
    tick, seen = shooting.zap(drawn)
    assert seen == {int: 1001.0 + tick - born, bool: False}


def test_a_jump_is_not_slid_through(shooting: Range) -> None:
    """A step beyond the limit of its type: what was drawn is one end of it or the other."""
    steps = {0: 100.0, 1: 105.0, 2: 150.0, 3: 155.0}
    first = 0

    def move(tick: int) -> None:
        angle = steps.get(tick - first, 155.0 if tick > first else 100.0)
        esper.component_for_entity(shooting.dial, Dial).angle = angle

    def look(_shooter: int) -> dict[type, float]:
        return {Dial: esper.component_for_entity(shooting.dial, Dial).angle}

    shooting.move, shooting.look = move, look
    for part, angle in ((0.5, 102.5), (1.0, 105.0), (1.9, 105.0), (2.0, 150.0), (2.5, 152.5)):
        first = shooting.tick + 2
        shooting.game.step(6)
        _, seen = shooting.zap(first + part)
        assert seen[Dial] == pytest.approx(angle, abs=0.5)


def test_a_teleport_is_not_slid_through_and_the_tick_after_is(shooting: Range) -> None:
    first = 0

    def move(tick: int) -> None:
        shooting.move_all(tick)
        if first and tick >= first:
            for cls in (Spot, Seldom):
                esper.component_for_entity(shooting.target, cls).x += 4.0
        if tick == first:
            net.teleported(shooting.target)

    shooting.move = move
    for part, x in ((-0.5, -0.5), (0.5, 0), (0.9, 0), (1.0, 1.0 + 4 / 3.25), (1.5, 1.5 + 4 / 3.25)):
        first = 0
        shooting.game.step(6)
        first = shooting.tick + 3
        shooting.game.step(8)
        tick, seen = shooting.zap(first - 1 + part)
        assert tick < first + 20
        assert seen[Spot] / 3.25 - first + 1 == pytest.approx(x, abs=0.02)


def test_nor_is_one_between_two_turns_of_its_type(shooting: Range) -> None:
    first = 0

    def move(tick: int) -> None:
        shooting.move_all(tick)
        if tick == first:
            net.teleported(shooting.target)

    shooting.move = move
    shooting.game.step(6)
    turn = shooting.game.room.replicator.entities.detectors
    (seldom,) = [each for each in turn if each.component.cls is Seldom]
    while seldom.compared_at != shooting.tick:
        shooting.game.step()
    start, first = shooting.tick, shooting.tick + 3
    shooting.game.step(8)
    _, seen = shooting.zap(start + 4.5)
    assert seen[Seldom] == 3.25 * start
    assert seen[Spot] == pytest.approx(3.25 * (start + 4.5))


@pytest.mark.parametrize("odd", [float("inf"), float("nan")])
def test_beside_what_is_not_finite_nothing_is_between(shooting: Range, odd: float) -> None:
    first = 0

    def move(tick: int) -> None:
        x = odd if tick == first else 3.25 * tick
        esper.component_for_entity(shooting.target, Spot).x = x

    shooting.move = move
    for part, finite in ((-0.5, True), (0.5, False)):
        shooting.game.step(6)
        first = shooting.tick + 2
        shooting.game.step(6)
        _, seen = shooting.zap(first + part)
        if finite:
            assert seen[Spot] == 3.25 * (first - 1)
        else:
            assert str(seen[Spot]) == str(odd)


def test_what_it_does_not_see_is_where_it_is_until_a_moment_after_it_went() -> None:
    hidden: set[int] = set()
    shooting = Range(interest=net.Visible(lambda player, entity: entity not in hidden))
    try:
        with shooting.game.world:
            far = esper.create_entity(Spot())
        hidden.add(far)

        def move(tick: int) -> None:
            for entity in (far, shooting.target):
                esper.component_for_entity(entity, Spot).x = 3.25 * tick

        def look(_shooter: int) -> dict[type, float]:
            return {
                int: esper.component_for_entity(far, Spot).x,
                float: esper.component_for_entity(shooting.target, Spot).x,
            }

        shooting.move, shooting.look = move, look
        shooting.game.run(0.5)
        drawn = shooting.tick - 4
        tick, seen = shooting.zap(drawn)
        assert seen == {int: 3.25 * tick, float: 3.25 * drawn}
        hidden.add(shooting.target)  # just now: it was drawn still
        drawn = shooting.tick - 4
        shooting.game.step(2)
        tick, seen = shooting.zap(drawn)
        assert seen == {int: 3.25 * tick, float: 3.25 * drawn}
        shooting.game.run(1.5)
        tick, seen = shooting.zap(shooting.tick - 4)
        assert seen == {int: 3.25 * tick, float: 3.25 * tick}
    finally:
        shooting.game.close()


def test_angles_go_the_shorter_way(shooting: Range) -> None:
    def move(tick: int) -> None:
        esper.component_for_entity(shooting.dial, Dial).angle = 6.0 * tick % 360

    def look(_shooter: int) -> dict[type, float]:
        return {Dial: esper.component_for_entity(shooting.dial, Dial).angle}

    shooting.move, shooting.look = move, look
    while shooting.tick % 60 != 5:
        shooting.game.step()
    _, seen = shooting.zap(shooting.tick - 5.5)  # between 354 and 0
    assert seen[Dial] == pytest.approx(357)


@pytest.mark.parametrize("update_rate", [None, 20])
def test_a_smooth_client_says_what_it_shows(update_rate: float | None) -> None:
    """At a bad line, the verdict is of the very picture that the player had."""
    shooting = Range(update_rate=update_rate, rewind=0.5)
    try:

        def move(tick: int) -> None:
            for cls in (Spot, Rough):
                esper.component_for_entity(shooting.target, cls).x = 300 * math.sin(tick / 20)

        shooting.move = move
        bob = shooting.game.connect(
            "Bob", Link(lag=0.075, jitter=0.015, loss=0.05, seed=1), smooth=True
        )
        shooting.game.run(3.0)
        shooting.seen.clear()
        shown: list[tuple[float, float]] = []
        for shot in range(600):
            if shot % 20 == 0:
                with bob.view:
                    ((_, (spot, rough)),) = esper.get_components(Spot, Rough)
                    shown.append((spot.x, rough.x))
                bob.send(Zap())
            shooting.game.step()
        shooting.game.run(1.0)
        judged = [(seen[Spot], seen[Rough]) for _, seen in sorted(shooting.seen.items())]
        assert len(judged) == len(shown) == 30
        # A step of 15 in each tick, told to a sixteenth of it; now and then a value got lost.
        errors = sorted(
            max(abs(x - y) for x, y in zip(one, other, strict=True))
            for one, other in zip(shown, judged, strict=True)
        )
        assert errors[len(errors) // 2] < 0.6
        assert errors[-2] < 3
        assert shooting.game.room.stats().rewinds == 30
        assert shooting.game.room.stats().rewinds_limited == 0
    finally:
        shooting.game.close()


# How far back, and whose word is taken for it.


def test_it_looks_back_by_no_more_than_the_limit_and_counts_it() -> None:
    shooting = Range(Link(lag=0.3, seed=1), rewind=0.25)
    try:
        tick, seen = shooting.zap(shooting.tick - 30, 60)
        assert seen[Spot] == pytest.approx(3.25 * (tick - 15))
        stats = shooting.game.room.stats()
        assert (stats.rewinds, stats.rewinds_limited) == (1, 1)
    finally:
        shooting.game.close()


@pytest.mark.parametrize("lag", [0.0, 0.05])
def test_nor_by_more_than_an_honest_client_would(lag: float) -> None:
    shooting = Range(Link(lag=lag, seed=1), rewind=1.0)
    try:
        shooting.game.run(3.0)
        tick, seen = shooting.zap(shooting.tick - 50, 60)
        back = tick - seen[Spot] / 3.25
        path = shooting.game.member(shooting.client)
        assert path is not None
        rtt = path.peer.session.path.rtt
        assert 60 * (rtt + 0.1) < back < 60 * (rtt + 0.4)
        assert shooting.game.room.stats().rewinds_limited == 1
        # What it may have drawn is believed.
        drawn = shooting.tick - 3 - 60 * lag
        _, seen = shooting.zap(drawn, 60)
        assert seen[Spot] == pytest.approx(3.25 * round(16 * drawn) / 16)
        assert shooting.game.room.stats().rewinds_limited == 1
    finally:
        shooting.game.close()


def test_nobody_has_drawn_what_was_not_told_yet(shooting: Range) -> None:
    tick, seen = shooting.zap(shooting.tick + 100)
    assert seen[Spot] == 3.25 * (tick - 1)
    assert shooting.game.room.stats().rewinds_limited == 1


@pytest.mark.parametrize("command_rate", [None, 20])
def test_how_far_behind_an_honest_client_draws_goes_by_its_path_and_its_rates(
    command_rate: float | None,
) -> None:
    link = Link(lag=0.05, jitter=0.02, seed=1)
    shooting = Range(link, rewind=1.0, update_rate=20, command_rate=command_rate)
    try:
        most: list[float] = []

        def look(shooter: int) -> dict[type, float]:
            member = shooting.game.member(shooting.client)
            assert member is not None
            path = member.peer.session.path
            assert path.jitter > 0.002
            # What gets lost: six updates in a row, and two packets of commands.
            lost = 6 / 20 + (0.0 if command_rate is None else 2 / command_rate)
            most.append(path.rtt + 8 * path.jitter + 0.1 + lost)
            return shooting.look_at_target(shooter)

        shooting.look = look
        shooting.game.run(3.0)
        tick, seen = shooting.zap(shooting.tick - 70, 60)
        assert most[0] < 0.95
        assert tick - seen[Spot] / 3.25 == pytest.approx(60 * most[0], abs=1 / 16)
        assert shooting.game.room.stats().rewinds_limited == 1
    finally:
        shooting.game.close()


def test_nobody_has_drawn_more_than_the_last_update_between_two() -> None:
    shooting = Range(update_rate=20)
    try:
        told: list[int] = []
        for _ in range(6):
            tick, seen = shooting.zap(shooting.tick + 100, 13)
            assert seen[Spot] == 3.25 * ((tick - 1) // 3 * 3)
            told.append((tick - 1) % 3)
        assert set(told) == {0, 1, 2}
        assert shooting.game.room.stats().rewinds_limited == 6
    finally:
        shooting.game.close()


def test_who_says_nothing_shoots_at_what_is_there(shooting: Range) -> None:
    shooting.client._sender.outbox.drawn = None
    shooting.client.send(Zap())
    shooting.game.step(12)
    ((tick, seen),) = shooting.seen.items()
    assert seen[Spot] == 3.25 * tick
    stats = shooting.game.room.stats()
    assert (stats.rewinds, stats.rewinds_limited, stats.ignored) == (0, 0, {})


def test_with_a_limit_of_nothing_nothing_is_rewound() -> None:
    shooting = Range(rewind=0)
    try:
        tick, seen = shooting.zap(shooting.tick - 3)
        assert seen[Spot] == 3.25 * tick
        assert shooting.game.room.stats().rewinds == 0
    finally:
        shooting.game.close()


def test_what_was_told_is_kept_as_long_as_anybody_may_look_back_and_no_longer() -> None:
    shooting = Range(rewind=0.25)
    try:
        before = kept(shooting)
        shooting.game.run(3.0)
        assert kept(shooting) == before
        assert max(before.values()) <= 17
        assert before[Spot] >= 15
        assert before.keys() == {Spot, Rough, Chaser, Seldom, Dial, Position}
        assert before[Position] == 0  # nothing has one
    finally:
        shooting.game.close()


def test_it_is_remembered_while_there_is_somebody_who_draws_behind() -> None:
    shooting = Range()
    try:
        game = shooting.game
        bob = game.connect("Bob", smooth=True)
        game.run(1.0)
        game.leave(shooting.client)
        game.run(0.1)
        assert kept(shooting)[Spot] > 20
        game.run(1.0)
        assert kept(shooting)[Spot] > 20
        game.run(5.0)  # he does nothing, and his client says nothing any more
        with bob.view:
            assert esper.get_component(Spot)
        shooting.client = bob
        drawn = shooting.tick - 4
        _, seen = shooting.zap(drawn)
        assert seen[Spot] == 3.25 * drawn
        assert game.room.stats().rewinds == 1
        game.leave(bob)
        game.run(1.0)
        history = game.room.replicator._history
        assert history is not None
        remembered = history._types[0]._ticks
        assert not remembered
        left = shooting.tick
        carol = game.connect("Carol")  # who is shown the newest at once
        game.run(1.0)
        assert carol.connected
        assert not remembered
        game.connect("Dave", smooth=True)
        game.run(0.2)
        assert remembered[-1] == shooting.tick
        assert remembered[0] > left + 30
    finally:
        shooting.game.close()


def kept(shooting: Range) -> dict[type, int]:
    """How many values of each type are kept."""
    history = shooting.game.room.replicator._history
    assert history is not None
    return {each.detector.component.cls: len(each._ticks) for each in history._types}


def test_who_has_just_begun_sees_the_first_that_was_told() -> None:
    shooting = Range(rewind=1.0)
    try:
        with shooting.game.world:
            esper.clear_database()
            shooting.target = esper.create_entity(Spot())
        born = shooting.tick + 1
        shooting.move = lambda tick: setattr(
            esper.component_for_entity(shooting.target, Spot), "x", 3.25 * tick
        )
        shooting.game.step(3)
        past = Past()
        state = shooting.game.room.seats[0].client_state
        assert state is not None
        with shooting.game.world:
            assert shooting.game.room.replicator.look_back(state, born - 50.0, past)
            assert esper.component_for_entity(shooting.target, Spot).x == 3.25 * born
            past.leave()
    finally:
        shooting.game.close()


def test_in_the_tick_in_which_the_world_is_cleared_nothing_is_rewound(shooting: Range) -> None:
    seen: list[float] = []

    def look(shooter: int) -> dict[type, float]:
        esper.clear_database()
        with net.rewind(shooter):
            pass
        for _ in range(20):
            esper.create_entity(Spot(7.0))
        past = Past()
        state = shooting.game.room.seats[0].client_state
        assert state is not None
        replicator = shooting.game.room.replicator
        assert not replicator.look_back(state, float(shooting.tick - 3), past)
        seen.extend(spot.x for _, spot in esper.get_component(Spot))
        return {}

    shooting.look = look
    shooting.move = lambda tick: None
    shooting.zap(shooting.tick - 3)
    assert seen == [7.0] * 20


def test_what_had_gone_for_a_while_is_where_it_is(shooting: Range) -> None:
    """Also where it was the only one of its type."""
    gone = back = 0

    def move(tick: int) -> None:
        if tick == gone:
            esper.remove_component(shooting.target, Spot)
        elif tick == back:
            esper.add_component(shooting.target, Spot(1000.0))
        elif spot := esper.try_component(shooting.target, Spot):
            spot.x = 3.25 * tick if tick < back or not back else 1000.0

    shooting.move = move
    for part, x in ((-0.5, None), (0.0, 1000.0), (1.5, 1000.0), (2.5, 1000.0), (3.5, 1000.0)):
        gone = back = 0
        shooting.game.step(4)
        gone, back = shooting.tick + 2, shooting.tick + 5
        shooting.game.step(6)
        _, seen = shooting.zap(gone + part)
        assert seen[Spot] == (3.25 * (gone - 1) if x is None else x)


def test_what_went_in_this_very_tick_is_gone(shooting: Range) -> None:
    shot = 0
    found: list[bool] = []

    def move(tick: int) -> None:
        if tick >= shot > 0 and esper.entity_exists(doomed):
            esper.delete_entity(doomed, immediate=True)
            esper.remove_component(shooting.target, Rough)
        shooting_at = esper.components_for_entity(shooting.target)
        for component in shooting_at:
            if isinstance(component, Spot):
                component.x = 3.25 * tick

    def look(shooter: int) -> dict[type, float]:
        found.append(esper.entity_exists(doomed))
        return shooting.look_at_target(shooter)

    with shooting.game.world:
        doomed = esper.create_entity(Spot())
    shooting.move, shooting.look = move, look
    shooting.game.run(0.5)
    drawn = shooting.tick - 4
    tick, _ = shooting.zap(drawn)
    delay = tick - drawn
    assert found.pop()
    drawn = shooting.tick - 4
    shot = drawn + delay
    tick, seen = shooting.zap(drawn)
    assert tick == shot
    assert found == [False]
    assert seen[Spot] == 3.25 * drawn
    assert Rough not in seen


def test_what_is_kept_by_itself() -> None:
    with use_registry(Registry()) as own:

        @net.replicated(interpolate=True, snap=10)
        class Slide:
            x: float = 0.0

    world, past = World(), Past()
    with world:
        entities = ReplicatedEntities(own.schema(), world, Everyone())
        history = History(entities, world, 10, None)

        def seen(at: float) -> float | None:
            """Its place then; None where nothing is known."""
            known = history.show(at, [1], 0, past)
            x = slide.x
            past.leave()
            return x if known else None

        history.note(entities.capture(1))
        slide = Slide()
        esper.create_entity(slide)
        assert seen(1.0) is None  # nothing has one yet
        for tick, slide.x in enumerate((100.0, 110.0, 120.5), 2):
            history.note(entities.capture(tick))
        # A step of exactly the limit is drawn as one, a longer one as a jump.
        steps = [(1.0, 100.0), (2.0, 100.0), (2.5, 105.0), (3.0, 110.0), (3.5, 110.0), (4.0, 120.5)]
        assert [(at, seen(at)) for at, _ in steps] == steps
        assert seen(4.5) == 120.5
        history.clear()
        assert seen(4.0) is None
        slide.x = 7.0
        history.note(entities.capture(5))
        assert seen(5.0) == seen(4.0) == 7.0
        esper.clear_database()
        history.note(entities.capture(6))
        assert seen(5.0) is None
    world.close()
