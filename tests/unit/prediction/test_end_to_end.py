"""A player whose own ship runs ahead of the server, over a network that is as bad as it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Annotated

import esper
import pytest

import ecsnet as net
from ecsnet.commands.outbox import BACKLOG
from ecsnet.components import Owner, Position
from ecsnet.schema import Registry, use_registry
from ecsnet.session.goodbye import Reason
from ecsnet.simulation.simulation import running_now
from ecsnet.testing import FaultyLink, Harness, ManualClock

with use_registry(Registry()) as registry:

    @net.replicated
    class Gun:
        ready_at: int = 0

    @net.replicated
    class Bullet:
        until: int = 0

    @net.replicated(predicted=False)
    class Score:
        points: int = 0

    @net.command(hold=True)
    class Steer:
        dx: Annotated[int, net.Between(-1, 1)] = 0

    @net.command
    class Fire:
        pass

    @net.event
    class Died:
        entity: net.EntityRef


@pytest.fixture
def server() -> net.ServerWorld:
    with use_registry(registry):
        server = net.ServerWorld(tick_rate=60)

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Position(100.0, 100.0))
        esper.add_component(player, Gun())

    @server.system(priority=10, shared=True)
    def steer(dt: float) -> None:
        for ship, stick in net.commands(Steer, Position):
            esper.component_for_entity(ship, Position).x += stick.dx * 200 * dt

    @server.system(priority=9, shared=True)
    def shoot(dt: float) -> None:
        for ship, _ in net.commands(Fire, Gun):
            gun = esper.component_for_entity(ship, Gun)
            at = esper.component_for_entity(ship, Position)
            if net.tick() >= gun.ready_at:
                gun.ready_at = net.tick() + 10
                bullet = Bullet(net.tick() + 60)
                esper.create_entity(bullet, Position(at.x, at.y), Owner(ship))

    @server.system(priority=8, shared=True)
    def fly(dt: float) -> None:
        for entity, (bullet, at) in esper.get_components(Bullet, Position):
            at.y -= 300 * dt
            if net.tick() >= bullet.until:
                esper.delete_entity(entity)

    return server


def place(client: net.ClientWorld) -> Position:
    ((_, at),) = [pair for pair in client.mine(Position) if pair[0] == client.player]
    return at


def test_the_ship_moves_in_the_frame_in_which_the_stick_is_moved(server: net.ServerWorld) -> None:
    link = net.Link(lag=0.075, loss=0.05, seed=3)
    with Harness(server, seed=1) as game:
        client = game.connect("Ann", link, smooth=True)
        game.run(seconds=3)
        assert client.ahead is not None
        corrections = client.stats.corrections
        steps = []
        for number in range(240):
            client.send(Steer((number // 40) % 2 * 2 - 1))
            before = place(client).x
            game.step()
            steps.append(place(client).x - before)
        # The first frame draws the begun part of a tick, the others whole ones.
        assert steps[0] != 0
        turned = [number for number in range(1, 239) if number % 40 > 1]
        assert all(2.8 < abs(steps[number]) < 3.8 for number in turned), steps
        assert client.stats.corrections == corrections
        assert game.settle()


@pytest.mark.parametrize("seed", range(6))
def test_what_is_done_right_after_joining_gets_there(server: net.ServerWorld, seed: int) -> None:
    """A round trip is not measured by then, so there are no ticks yet."""
    fired: list[int] = []

    @server.system(priority=20)
    def count(dt: float) -> None:
        fired.extend(player for player, _ in net.commands(Fire))

    with Harness(server, seed=1) as game:
        link = net.Link(lag=0.1, jitter=0.03, loss=0.2, seed=seed)
        client = game.connect("Ann", link, smooth=True, wait=None)
        game.until(lambda: client.connected)
        client.send(Fire())
        game.run(seconds=3)
        assert (len(fired), client.stats.commands_expired) == (1, 0)


def test_it_can_be_turned_off_and_on(server: net.ServerWorld) -> None:
    with Harness(server, seed=1) as game:
        ann, bob = (game.connect(name, bad(), smooth=True) for name in ("Ann", "Bob"))
        game.run(seconds=3)
        assert ann.prediction
        ann.prediction = False
        game.step()
        ann.send(Steer(1))
        ann.send(Fire())
        still = place(ann).x
        game.step(6)
        assert (place(ann).x, ann.ahead, bullets(ann)) == (still, None, [])
        game.run(seconds=0.4)
        assert place(ann).x > still
        (bullet,) = bullets(ann)
        place_of_others = {entity: at.x for entity, at in ships(bob)}
        assert place(ann).x == pytest.approx(place_of_others[other(bob)], abs=8)
        ann.prediction = True
        before = place(ann).x
        game.step()
        assert ann.ahead is not None
        assert place(ann).x > before + 20
        assert bullets(ann) == [bullet]  # it stays the same entity
        ann.send(Steer(0))
        ann.send(Fire())
        game.step(2)
        still, two = place(ann).x, bullets(ann)
        game.step(6)
        assert (place(ann).x, bullets(ann)) == (still, two)
        assert len(two) == 2
        assert game.settle()


def other(client: net.ClientWorld) -> int:
    (found,) = (entity for entity, _ in ships(client) if entity != client.player)
    return found


def test_what_cannot_predict_cannot_be_made_to(server: net.ServerWorld) -> None:
    with use_registry(registry):
        alone = net.ServerWorld()
    for game_server, smooth, lack in (
        (server, False, "connect it with smooth=True"),
        (alone, True, "no system of its game is shared"),
    ):
        with Harness(game_server, seed=1) as game:
            client = game.connect("Ann", smooth=smooth)
            assert not client.prediction
            client.prediction = False
            with pytest.raises(net.UsageError, match=f"cannot predict: {lack}"):
                client.prediction = True
            with pytest.raises(net.UsageError, match="prediction="):
                client.prediction = None  # type: ignore[assignment]


def test_what_the_server_alone_writes_is_shown_as_told(server: net.ServerWorld) -> None:
    @server.system
    def count(dt: float) -> None:
        for _, score in esper.get_component(Score):
            score.points = net.tick() // 10

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Score())

    with Harness(server, seed=1) as game:
        ann, bob = (game.connect(name, bad(), smooth=True) for name in ("Ann", "Bob"))
        game.run(seconds=3)
        shown: list[list[int]] = []
        for _ in range(60):
            game.step(3)
            for client in (ann, bob):
                scores = client.view.structure(Score)
                shown.append([score.points for _, score in sorted(scores, key=mine(client))])
        assert all(own >= other for own, other in shown)  # what others have waits for its tick
        assert {own - other for own, other in shown} >= {0, 1}
        assert {own for own, _ in shown} == {other for _, other in shown} | {shown[-1][0]}
        assert game.settle()


def mine(client: net.ClientWorld) -> Callable[[tuple[int, object]], bool]:
    """Return a key that puts the client's own first."""
    return lambda found: found[0] != client.player


def ships(client: net.ClientWorld) -> list[tuple[int, Position]]:
    with client.view:
        found = list(esper.get_components(Gun, Position))
    return [(entity, at) for entity, (_, at) in found]


def bullets(client: net.ClientWorld) -> list[int]:
    with client.view:
        return [entity for entity, _ in esper.get_component(Bullet)]


def bad() -> net.Link:
    return net.Link(lag=0.075, jitter=0.015, loss=0.05, seed=3)


def test_a_push_fades_in_what_is_drawn(server: net.ServerWorld) -> None:
    with Harness(server, seed=1) as game:
        client = game.connect("Ann", bad(), smooth=True)
        game.run(seconds=3)
        client.send(Steer(1))
        game.run(seconds=0.5)
        (ship,) = game.simulation.player_number
        corrections, replayed = client.stats.corrections, client.stats.replayed_ticks
        with game.world:
            esper.component_for_entity(ship, Position).x += 30
            pushed_at = game.simulation.tick
        steps, before = [], place(client).x
        for _ in range(60):
            game.step()
            steps.append(place(client).x - before)
            before = place(client).x
        assert client.stats.corrections == corrections + 1
        assert 8 < client.stats.replayed_ticks - replayed < 20
        assert max(steps) < 200 / 60 * 1.06 + 2.5
        # All of it got there, and it began when it was told of.
        assert sum(steps) == pytest.approx(60 * 200 / 60 + 30, abs=4)
        fading = [number for number, step in enumerate(steps) if step > 4.5]
        assert 4 < fading[0] < 12
        assert len(fading) == 15
        assert pushed_at < game.simulation.tick


def test_without_latency_nothing_is_set_right(server: net.ServerWorld) -> None:
    for phase in (None, 1e-4):
        with Harness(server, seed=1) as game:
            timed = {} if phase is None else {"fps": 60.0, "phase": phase}
            client = game.connect("Ann", smooth=True, **timed)  # type: ignore[arg-type]
            for number in range(600):
                client.send(Steer((number // 7) % 3 - 1))
                if number % 13 == 0:
                    client.send(Fire())
                game.step()
            assert client.ahead is not None
            assert client.stats.corrections == 0
            assert game.settle()


def test_a_bullet_is_the_same_entity_from_the_frame_in_which_it_is_fired(
    server: net.ServerWorld,
) -> None:
    with Harness(server, seed=1) as game:
        client = game.connect("Ann", bad(), smooth=True)
        made: list[int] = []
        gone: list[object] = []
        client.attach(
            Bullet, lambda entity, _: made.append(entity) or str(entity), remove=gone.append
        )
        game.run(seconds=3)
        game.events(client).clear()
        fired: list[int] = []
        for number in range(300):
            if number % 25 == 0 and number < 200:
                client.send(Fire())
            before = bullets(client)
            game.step()
            new = [entity for entity in bullets(client) if entity not in before]
            # The clock slews, so in a frame now and then no tick begins.
            assert not new or number % 25 < 2
            fired += new
            assert len(fired) == min(8, number // 25 + (number % 25 > 0)) or number % 25 == 0
        assert bullets(client) == []
        events = game.events(client)
        assert [e.entity for e in events if isinstance(e, net.Spawned)] == fired == made
        assert [e.entity for e in events if isinstance(e, net.Despawned)] == fired
        assert gone == [str(entity) for entity in fired]
        assert client.stats.corrections == 0
        assert len(game.simulation.player_entity) == 1


def test_a_bullet_that_the_server_denies_goes(server: net.ServerWorld) -> None:
    @server.system(priority=9.5)
    def jam(dt: float) -> None:
        """The server alone knows: the gun is jammed."""
        for ship, _ in net.commands(Fire, Gun):
            esper.component_for_entity(ship, Gun).ready_at = net.tick() + 5

    with Harness(server, seed=1) as game:
        client = game.connect("Ann", bad(), smooth=True)
        game.run(seconds=3)
        client.send(Fire())
        game.step()
        (bullet,) = bullets(client)
        # It cannot be meant yet: the server knows of none.
        client.send(Steer(1), bullet)
        assert client._sender.unsendable == 1
        game.run(seconds=0.5)
        assert bullets(client) == []
        assert (
            net.Despawned(bullet, "despawned", {}).entity
            == [event.entity for event in game.events(client) if isinstance(event, net.Despawned)][
                -1
            ]
        )
        assert client.stats.corrections == 1
        assert game.settle()


@pytest.mark.parametrize("seed", range(4))
def test_what_the_server_deletes_stays_for_the_events_about_its_end(
    server: net.ServerWorld, seed: int
) -> None:
    @server.on_join
    def join(player: int) -> None:
        esper.create_entity(Position(0.0, 500.0), Gun(), Owner(player))

    @server.system(shared=True)
    def drift(dt: float) -> None:
        for _, (_, _, at) in esper.get_components(Owner, Gun, Position):
            at.x += 100 * dt

    @server.system
    def strike(dt: float) -> None:
        if net.tick() == 240:
            for drone, _ in esper.get_components(Owner, Gun):
                net.emit(Died(drone))
                esper.delete_entity(drone)

    with Harness(server, seed=1) as game:
        links = [net.Link(lag=0.075, jitter=0.015, loss=0.1, seed=seed + i) for i in range(2)]
        ann, bob = (
            game.connect(name, link, smooth=True) for name, link in zip("AB", links, strict=True)
        )
        game.run(seconds=2)
        ((mine, _),) = ann.mine(Owner)
        drones: dict[net.ClientWorld, list[int]] = {}
        for client in (ann, bob):
            with client.view:
                drones[client] = [entity for entity, _ in esper.get_components(Owner, Gun)]
            assert len(drones[client]) == 2
        seen: list[tuple[int, float | None]] = []  # events of Ann's, and where her drone is
        while game.simulation.tick < 300:
            before = {client: len(game.events(client)) for client in drones}
            game.step()
            for client, known in drones.items():
                for event in game.events(client)[before[client] :]:
                    if isinstance(event, Died):
                        assert event.entity in known
                        with client.view:
                            assert esper.has_components(event.entity, Owner, Gun, Position)
            components = ann.view.components(mine)
            at = components.get(Position)
            events = game.events(ann)[before[ann] :]
            seen.append((events.count(Died(mine)), at.x if isinstance(at, Position) else None))
        for client, known in drones.items():
            told = [e for e in game.events(client) if isinstance(e, Died | net.Despawned)]
            assert sorted([e.entity or 0 for e in told]) == sorted([*known, *known])
            assert [type(e) for e in told] == [Died, Died, net.Despawned, net.Despawned]
        # As soon as its end is known it stands where it was drawn last; then it goes.
        (end,) = [index for index, (died, _) in enumerate(seen) if died]
        way = [x for _, x in seen[: end + 1] if x is not None]
        assert len(way) == end + 1
        assert all(x is None for _, x in seen[end + 1 :])
        steps = [b - a for a, b in pairwise(way)]
        stopped = [index for index, step in enumerate(steps) if step == 0]
        assert stopped == list(range(stopped[0], end))
        assert len(stopped) > 1
        assert all(step > 0 for step in steps[: stopped[0]])


def test_what_is_deleted_ahead_is_gone_before_the_events_about_its_end(
    server: net.ServerWorld,
) -> None:
    @server.system(priority=8.5)
    def tell(dt: float) -> None:
        for entity, bullet in esper.get_component(Bullet):
            if net.tick() >= bullet.until:
                net.emit(Died(entity))

    with Harness(server, seed=1) as game:
        ann, bob = (game.connect(name, bad(), smooth=True) for name in ("Ann", "Bob"))
        game.run(seconds=2)
        ann.send(Fire())
        game.run(seconds=3)
        for client, names in ((ann, [net.Despawned, Died]), (bob, [Died, net.Despawned])):
            ends = [e for e in game.events(client) if isinstance(e, Died | net.Despawned)]
            assert [type(e) for e in ends] == names
        assert Died(None) in game.events(ann)
        assert Died(None) not in game.events(bob)


def test_nothing_is_predicted_without_a_game_or_shared_systems(server: net.ServerWorld) -> None:
    with use_registry(registry):
        other = net.ServerWorld()
    other.on_join(server.spec.on_join[0])
    for game_server, smooth in ((server, False), (other, True)):
        with Harness(game_server, seed=1) as game:
            worlds = len(esper.list_worlds())
            client = game.connect("Ann", smooth=smooth)
            game.run(seconds=1)
            assert client.ahead is None
            assert client._protocol._prediction is None
            assert len(esper.list_worlds()) == worlds + 1  # the view
            state = game.member(client).client_state  # type: ignore[union-attr]
            assert state is not None
            assert not state.smooth
            assert game.settle()


def test_a_shared_system_that_raises_leaves_what_the_server_says(
    server: net.ServerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    @net.replicated(visible_to="server")
    class Fuel:
        left: int = 1

    @server.system(priority=7, shared=True)
    def burn(dt: float) -> None:
        for ship, _ in net.commands(Fire):
            esper.component_for_entity(ship, Fuel).left -= 1

    @server.on_join
    def fill(player: int) -> None:
        esper.add_component(player, Fuel())

    with Harness(server, seed=1) as game:
        worlds = len(esper.list_worlds())
        client = game.connect("Ann", bad(), smooth=True, debug=True)
        game.run(seconds=3)
        ship = client.player
        client.send(Steer(1))
        game.run(seconds=0.5)
        game.events(client).clear()
        assert len(esper.list_worlds()) == worlds + 2
        client.send(Fire())
        game.run(seconds=1)
        assert client.ahead is None
        assert len(esper.list_worlds()) == worlds + 1
        (said,) = [record for record in caplog.records if record.name == "ecsnet.client"]
        assert "burn" in said.getMessage()
        assert "Fuel" in said.getMessage()
        assert said.exc_info is not None
        assert client.player == ship
        assert len(bullets(client)) == 1
        kinds = [type(event) for event in game.events(client)]
        assert net.Despawned not in kinds[:-1]
        client.send(Fire())
        game.run(seconds=1)
        assert len(bullets(client)) == 1
        assert len([r for r in caplog.records if r.name == "ecsnet.client"]) == 1
        assert game.settle()
        # Nor does it predict in the next room.
        room = game.host.add_room(server.spec, game.clock.now, seed=2)
        game.host.move(game.member(client), room, game.clock.now)
        game.run(seconds=2)
        assert client.connected
        assert client.player is not None
        assert client.ahead is None


def test_the_view_keeps_entities_that_change_sides(server: net.ServerWorld) -> None:
    with Harness(server, seed=1) as game:
        client = game.connect("Ann", bad(), smooth=True, debug=True)
        (ship,) = game.simulation.player_number
        with game.world:
            boat = esper.create_entity(Gun(), Position(500.0, 0.0))
        game.run(seconds=1)
        (shown,) = [entity for entity, at in ships(client) if at.x == 500]
        game.events(client).clear()
        owned = []
        for _ in range(3):
            with game.world:
                esper.add_component(boat, Owner(ship))
            game.run(seconds=0.5)
            owned.append(shown in client.mine())
            client.send(Steer(1), shown)
            x = client.view.components(shown)[Position].x  # type: ignore[attr-defined]
            game.step(2)
            assert client.view.components(shown)[Position].x > x  # type: ignore[attr-defined]
            game.run(seconds=0.5)
            with game.world:
                esper.remove_component(boat, Owner)
            game.run(seconds=0.5)
            owned.append(shown in client.mine())
        assert owned == [True, False] * 3
        events = game.events(client)
        assert not [e for e in events if isinstance(e, net.Spawned | net.Despawned)]
        assert [type(e) for e in events] == [net.Inserted, net.Removed] * 3
        assert game.settle()


@pytest.mark.parametrize("what", ["server", "link", "client"])
@pytest.mark.parametrize("every", [1, 10])
def test_what_is_done_in_a_stall_is_done_after_it(
    server: net.ServerWorld, what: str, every: int
) -> None:
    """In the same ticks here and there: nothing has to be set right for what has waited."""
    done = 0

    @server.system(priority=20)
    def count(dt: float) -> None:
        nonlocal done
        done += len([*net.commands(Fire)])

    with Harness(server, seed=1) as game:
        link = FaultyLink(lag=0.075, jitter=0.015, loss=0.05, seed=3)
        client = game.connect("Ann", link, smooth=True, fps=60)
        game.run(seconds=3)
        corrections = client.stats.corrections
        sent = frames = 0

        def act() -> None:
            nonlocal sent, frames
            frames += 1
            if frames % every == 0:
                sent += 1
                client.send(Fire())

        game.seats[client].before_poll = act
        if what == "server":
            game.stall(5)
        elif what == "link":
            link.stall(5, game.clock.now)
            game.run(seconds=5)
        else:
            game.stall(5, client)
            game.run(seconds=6)
        game.seats[client].before_poll = None
        game.run(seconds=3)
        assert sent >= 50 // every
        expired = client.stats.commands_expired
        assert done == sent - expired
        # More than so many do not wait, and the first quarter of a second is no stall yet.
        assert (expired > 0) is (every == 1 and what != "client")
        assert expired == 0 or done >= BACKLOG
        if what == "server":  # else what was done before the stall was seen comes late
            assert client.stats.corrections == corrections
        assert client._sender.outbox.waiting == 0
        assert game.settle()


@pytest.mark.parametrize("fps", [144.0, 30.0])
def test_at_other_frame_rates_nothing_is_set_right_either(
    server: net.ServerWorld, fps: float
) -> None:
    """An action between two ticks belongs to the next one: the running one is over here."""
    with Harness(server, seed=1) as game:
        client = game.connect("Ann", net.Link(lag=0.075), smooth=True, fps=fps, debug=True)
        game.run(seconds=3)
        frames: list[tuple[float, float]] = []
        number = 0

        def play() -> None:
            nonlocal number
            number += 1
            client.send(Steer((number // 50) % 2 * 2 - 1))
            if number % 37 == 0:
                client.send(Fire())
            if client.ahead is not None:
                frames.append((client.ahead, place(client).x))

        game.seats[client].before_poll = play
        game.run(seconds=10)
        game.seats[client].before_poll = None
        assert client.stats.corrections == 0
        per_tick = [
            abs(x - before_x) / (tick - before)
            for (before, before_x), (tick, x) in pairwise(frames)
            if tick > before
        ]
        steady = [speed for speed in per_tick if speed > 3.3]
        assert len(steady) > 0.9 * len(per_tick) > 200
        assert max(per_tick) < 3.34
        assert game.settle()


def test_chance_is_the_same_on_both_ends(server: net.ServerWorld) -> None:
    @server.system(priority=7, shared=True)
    def drift(dt: float) -> None:
        for entity, (_, at) in esper.get_components(Gun, Position):
            at.y += net.rng(entity).uniform(-1, 1)

    @server.system(priority=6)
    def weather(dt: float) -> None:
        net.rng().random()

    with Harness(server, seed=1) as game:
        client = game.connect("Ann", net.Link(lag=0.075), smooth=True)
        game.connect("Bob", net.Link(lag=0.05), smooth=True)
        game.run(seconds=4)
        assert client.stats.corrections == 0
        assert place(client).y != 100.0


def test_shared_systems_see_others_as_they_are_drawn(server: net.ServerWorld) -> None:
    """On the client as its player saw them; so does the server, when it gets there."""
    seen: dict[bool, dict[int, list[float]]] = {True: {}, False: {}}

    @server.system(priority=7)
    def sail(dt: float) -> None:
        for _, (each, at) in esper.get_components(Bullet, Position):
            at.x += 3.0 * (each.until > 1e6)

    @server.system(priority=6, shared=True)
    def aim(dt: float) -> None:
        simulation = running_now()
        assert simulation is not None
        for ship, _ in net.commands(Fire):
            targets = [
                at for _, (each, at) in esper.get_components(Bullet, Position) if each.until > 1e6
            ]
            before = [at.x for at in targets]
            with net.rewind(ship):
                now = [at.x for at in targets]
            assert [at.x for at in targets] == before
            seen[simulation.ahead].setdefault(net.tick(), []).append(now[0])

    with Harness(server, seed=1) as game:
        client = game.connect("Ann", net.Link(lag=0.075), smooth=True)
        (ship,) = game.simulation.player_number
        with game.world:
            esper.create_entity(Bullet(1 << 30), Position(0.0, 5000.0))
        game.run(seconds=3)
        drawn: list[float] = []
        for number in range(60):
            if number % 12 == 0:
                with client.view:
                    drawn += [
                        at.x
                        for _, (each, at) in esper.get_components(Bullet, Position)
                        if each.until > 1e6
                    ]
                client.send(Fire())
            if number % 12 == 6:  # so the ticks of the shots run again
                with game.world:
                    esper.component_for_entity(ship, Position).x += 5
            game.step()
        game.run(seconds=1)
        here, there = seen[True], seen[False]
        assert client.stats.corrections == 5
        assert any(len(values) > 1 for values in here.values())
        assert all(len(set(values)) == 1 for values in here.values())
        assert [values[0] for values in here.values()] == drawn
        assert here.keys() == there.keys()
        for tick, values in there.items():
            assert values[0] == pytest.approx(here[tick][0], abs=3.0 / 16)


def test_a_jump_of_its_own_is_drawn_as_one(server: net.ServerWorld) -> None:
    @server.system(priority=7, shared=True)
    def blink(dt: float) -> None:
        for ship, _ in net.commands(Fire):
            esper.component_for_entity(ship, Position).y += 500
            net.teleported(ship)

    with Harness(server, seed=1) as game:
        client = game.connect("Ann", net.Link(lag=0.075), smooth=True, fps=144, debug=True)
        game.run(seconds=3)
        drawn: set[float] = set()
        game.seats[client].before_poll = lambda: drawn.add(place(client).y)
        for _ in range(3):
            client.send(Fire())
            game.run(seconds=0.5)
        assert drawn == {100.0, 600.0, 1100.0, 1600.0}
        assert client.stats.corrections == 0


def test_in_a_lobby_nothing_runs_ahead(server: net.ServerWorld) -> None:
    server.lobby = net.Lobby(players=(1, 4), countdown=1.0)
    with Harness(server, seed=1) as game:
        client = game.connect("Ann", bad(), smooth=True)
        game.run(seconds=2)
        client.send(Steer(1))
        game.run(seconds=1)
        assert place(client).x == 100.0
        client.set_ready(True)
        game.run(seconds=3)
        assert place(client).x > 200
        corrections = client.stats.corrections
        game.run(seconds=1)
        assert client.stats.corrections == corrections
        assert game.settle()


def test_figures_say_how_far_ahead_and_behind_things_are_drawn(server: net.ServerWorld) -> None:
    with Harness(server, seed=1) as game:
        client = game.connect("Ann", net.Link(lag=0.075), smooth=True)
        game.run(seconds=3)
        assert client.ahead is not None
        assert client.shown is not None
        stats = client.stats
        assert stats.ahead == pytest.approx(client.ahead - stats.tick)
        assert 9 < stats.ahead < 14
        assert str(stats).endswith(
            f" kB/s · ahead {stats.ahead:.0f} · behind {stats.delay:.0f} ticks"
        )


def test_before_the_first_room_nothing_is_ahead(server: net.ServerWorld) -> None:
    with Harness(server, seed=1) as game:
        client = game.connect("Ann", smooth=True, wait=None)
        game.step()
        stats = client.stats
        assert not client.connected
        assert client.ahead is None
        assert (stats.corrections, stats.replayed_ticks, stats.ahead) == (0, 0, 0.0)


def test_in_each_room_it_begins_anew(server: net.ServerWorld) -> None:
    """One of them is of half the ticks, and of another server's spec."""
    with Harness(server, seed=1) as game:
        client = game.connect("Ann", bad(), smooth=True, debug=True)
        game.run(seconds=3)
        first, now = game.room, game.clock.now
        with use_registry(registry):
            slow = net.ServerWorld(tick_rate=30)
        slow.spec.systems += server.spec.systems
        slow.spec.on_join += server.spec.on_join
        second = game.host.add_room(slow.spec, now, seed=2)
        worlds = len(esper.list_worlds())
        for room in (second, first, second):
            client.send(Steer(1))
            client.send(Fire())
            game.run(seconds=0.3)
            member = game.member(client)
            assert member is not None
            game.host.move(member, room, game.clock.now)
            game.run(seconds=3)
            assert client.connected
            assert len(esper.list_worlds()) == worlds
            assert client.ahead is not None
            assert client.ahead > room.simulation.tick - 1
            corrections = client.stats.corrections
            speeds = []
            for _ in range(60):
                client.send(Steer(1))
                before, at = client.ahead, place(client).x
                game.step()
                speeds.append((place(client).x - at) / (client.ahead - before))
            assert speeds[30:] == pytest.approx([200 * room.dt] * 30)
            client.send(Fire())
            game.run(seconds=1)
            assert len(bullets(client)) == 1
            assert client.stats.corrections == corrections


def test_nothing_is_left_when_it_is_over(server: net.ServerWorld) -> None:
    for end in ("close", "vanish", "shutdown"):
        with Harness(server, seed=1) as game:
            worlds = len(esper.list_worlds())
            client = game.connect("Ann", smooth=True)
            game.run(seconds=1)
            assert len(esper.list_worlds()) == worlds + 2
            if end == "close":
                game.leave(client)
            elif end == "vanish":
                game.vanish(client)
            else:
                game.host.close(Reason.SHUTDOWN, game.clock.now)
                game.until(lambda client=client: client.closed)  # type: ignore[misc]
                assert client.player is not None  # the view stays as it was
                client.poll()
            # The view, and the server's unless that has ended.
            assert len(esper.list_worlds()) == worlds + (end != "shutdown")
            client.close()
            client.close()


def test_who_hosts_is_never_set_right(
    server: net.ServerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    module = sys.modules[net.play.__module__]
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=clock))
    with use_registry(registry):
        client = net.play(server, offline=True, smooth=True, quiet=True)
    with client:
        for frame in range(600):
            clock.advance(1 / 60 + (frame % 5 - 2) / 2000)
            client.send(Steer((frame // 9) % 3 - 1))
            if frame % 20 == 0:
                client.send(Fire())
            client.poll()
        assert client.ahead is not None
        assert client.stats.corrections == 0
        assert client.stats.commands_superseded == 0
        assert place(client).x != 100
