"""What a smooth client shows: all that is told waits for its tick, and floats lie in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import esper
import pytest

import ecsnet as net
import ecsnet.replication.client.store
from ecsnet.components import Position
from ecsnet.errors import ReadOnlyError
from ecsnet.notifications import Changed, Connected, Despawned, Disconnected, Spawned
from ecsnet.schema import Registry, event, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.testing import Harness
from ecsnet.transport.conditioner import Link

with use_registry(Registry()) as registry:

    @replicated
    class Tank:
        hp: int = 10

        @net.rpc("all")
        def hurt(self, by: int) -> None:
            pass

    @net.command
    class Shoot:
        pass

    @replicated
    class Poster:
        text: str = ""

    @event
    class Boom:
        size: int = 0
        by: net.EntityRef = None


def bad() -> Link:
    return Link(lag=0.05, jitter=0.02, loss=0.1, seed=4)


class Game:
    """A game in which each tank drives, two units a tick."""

    def __init__(self, *, speed: float = 2.0, **options: object) -> None:
        with use_registry(registry):
            self.server = ServerWorld(seed=1, **options)  # type: ignore[arg-type]
        self.server.add_system(self.drive)
        self.speed = speed

    def drive(self, dt: float) -> None:
        for _, (_, position) in esper.get_components(Tank, Position):
            position.x += self.speed


@pytest.fixture
def made() -> Game:
    return Game()


@pytest.fixture
def game(made: Game) -> Iterator[Harness]:
    with Harness(made.server, seed=1) as harness:
        yield harness


def spawn(game: Harness, x: float = 0.0) -> int:
    with game.world:
        return esper.create_entity(Tank(), Position(x, 0.0))


def xs(client: net.ClientWorld) -> list[float]:
    with client.view:
        return [position.x for _, (_, position) in esper.get_components(Tank, Position)]


def test_without_it_everything_is_shown_at_once(game: Harness) -> None:
    client = game.connect()
    spawn(game)
    game.step(2)
    assert len(xs(client)) == 1
    assert client.shown is None
    assert client.stats.delay == 0
    assert "behind" not in str(client.stats)
    assert client._protocol._drawing is None
    assert client._protocol.drawn is client._protocol.store


@pytest.mark.parametrize("link", [Link, bad])
def test_others_move_evenly(game: Harness, link: Callable[[], Link]) -> None:
    smooth, plain = game.connect("a", link(), smooth=True), game.connect("b", link())
    spawn(game)
    game.run(3)
    seen: dict[net.ClientWorld, list[float]] = {smooth: [], plain: []}
    for _ in range(400):
        game.step()
        for client, values in seen.items():
            values += xs(client)
    steps = {
        client: [after - before for before, after in pairwise(values)]
        for client, values in seen.items()
    }
    assert len(steps[smooth]) == 399
    assert all(1.85 <= step <= 2.15 for step in steps[smooth])
    if link is bad:
        assert max(steps[plain]) >= 4
    # And what is drawn is where it was at the tick that is drawn.
    assert smooth.shown is not None
    with game.world:
        ((_, (_, position)),) = esper.get_components(Tank, Position)
    true = position.x - (game.simulation.tick - smooth.shown) * 2
    assert xs(smooth) == [pytest.approx(true, abs=0.01)]


def test_what_is_shown_is_behind_and_says_by_how_much(game: Harness) -> None:
    client = game.connect("a", bad(), smooth=True)
    spawn(game)
    game.run(5)
    assert client.shown is not None
    assert 1 < client.stats.delay < 8
    assert f"behind {client.stats.delay:.0f} ticks" in str(client.stats)
    behind = client.stats.tick - client.shown
    assert 0 < behind < 9


def test_it_can_be_turned_off_and_on(game: Harness) -> None:
    smooth, plain = game.connect("a", bad(), smooth=True), game.connect("b")
    spawn(game)
    game.run(3)
    assert smooth.interpolation
    assert not plain.interpolation
    smooth.interpolation = False
    for _ in range(60):
        game.step()
        assert smooth.shown == smooth.stats.tick
        assert xs(smooth) == [newest(smooth)]
    smooth.interpolation = True
    shown = [float(smooth.stats.tick)]
    for _ in range(120):
        game.step()
        assert smooth.shown is not None
        shown.append(smooth.shown)
    assert all(before <= after for before, after in pairwise(shown))  # it never goes back
    assert 1 < smooth.stats.tick - shown[-1] < 9
    assert xs(smooth)[0] < xs(plain)[0]
    assert game.settle()


def newest(client: net.ClientWorld) -> float:
    """Where the tank of this client is, as it was told last."""
    store = client._protocol.store
    assert store is not None
    ((x,),) = (
        [value.x for value in record.values.values() if isinstance(value, Position)]
        for record in store.entities.values()
        if any(isinstance(value, Tank) for value in record.values.values())
    )
    return x


def test_what_is_not_smooth_cannot_interpolate(game: Harness) -> None:
    plain = game.connect()
    plain.interpolation = False
    with pytest.raises(net.UsageError, match="made with smooth=False"):
        plain.interpolation = True
    with pytest.raises(net.UsageError, match="interpolation="):
        plain.interpolation = "yes"  # type: ignore[assignment]


@pytest.mark.parametrize("smooth", [True, False])
def test_the_server_rewinds_to_what_was_drawn(made: Game, smooth: bool) -> None:
    server, saw = made.server, []

    @server.system(priority=-1)
    def shoot(dt: float) -> None:
        for player, _ in net.commands(Shoot):
            with net.rewind(player):
                saw.extend(at.x for _, (_, at) in esper.get_components(Tank, Position))

    with Harness(server, seed=1) as game:
        client = game.connect("a", bad(), smooth=smooth)
        spawn(game)
        game.run(3)
        drawn: list[float] = []
        for _ in range(30):
            drawn += xs(client)
            client.send(Shoot())
            game.step(10)
        game.run(1)
    assert len(saw) == len(drawn) == 30
    # It moves two units a tick; a client that is not smooth does not say what it shows.
    away = [abs(one - other) for one, other in zip(saw, drawn, strict=True)]
    assert (max(away) < 0.2) is smooth


def test_worlds_are_equal_when_they_come_to_rest(game: Harness) -> None:
    client = game.connect("a", bad(), smooth=True, debug=True)
    entities = [spawn(game, x) for x in (0.0, 10.0, 20.0)]
    game.run(2)
    assert not game.compare()  # it is behind, while things move
    with game.world:
        esper.delete_entity(entities[0])
    result = game.settle()
    assert result, str(result)
    assert result.compared > 4
    assert len(xs(client)) == 2


def test_what_comes_and_goes_waits_for_its_tick(game: Harness) -> None:
    """Lag alone: what is told at a tick is there some ticks later, and is drawn later still."""
    client = game.connect("a", Link(lag=0.05, jitter=0.02, seed=2), smooth=True)
    spawn(game)
    game.run(4)
    told, drawn = client._protocol.store, client._protocol.drawn
    assert told is not None
    assert drawn is not None
    other = spawn(game, 500.0)
    born = game.simulation.tick + 1
    game.until(lambda: len(told.entities) > len(drawn.entities))
    assert len(xs(client)) == 1
    assert client.shown is not None
    assert client.shown < born
    game.until(lambda: len(xs(client)) == 2)
    assert born <= client.shown < born + 1.2
    with game.world:
        esper.delete_entity(other)
    died = game.simulation.tick + 1
    game.until(lambda: len(told.entities) < len(drawn.entities))
    assert len(xs(client)) == 2
    game.until(lambda: len(xs(client)) == 1)
    assert died <= client.shown < died + 1.2
    kinds = [type(each) for each in game.events(client)]
    assert kinds.count(Spawned) >= 3
    assert kinds.count(Despawned) == 1


def test_events_come_between_what_comes_and_what_goes(game: Harness) -> None:
    client = game.connect("a", bad(), smooth=True)
    game.run(1)
    seat = game.seats[client]
    dying: list[int] = []

    def die(_dt: float) -> None:
        if dying:
            entity = dying.pop()
            net.emit(Boom(len(seat.events), entity))
            esper.delete_entity(entity)

    game.simulation.add_system(die, 0.0, "die")
    for number in range(20):
        seen = len(seat.events)
        entity = spawn(game, float(number))
        game.step(2)
        dying.append(entity)
        game.until(lambda seen=seen: any(isinstance(e, Despawned) for e in seat.events[seen:]))  # type: ignore[misc]
        now = seat.events[seen:]
        (boom,) = [each for each in now if isinstance(each, Boom)]
        (gone,) = [each for each in now if isinstance(each, Despawned)]
        (came,) = [each for each in now if isinstance(each, Spawned)]
        assert now.index(came) < now.index(boom) < now.index(gone)
        assert boom.by == gone.entity
    assert client.stats.events_received == 20


def test_calls_wait_for_their_tick(game: Harness) -> None:
    client = game.connect("a", Link(lag=0.05, jitter=0.02, seed=2), smooth=True)
    entity = spawn(game)
    game.run(2)
    called: list[int] = []

    def call(_dt: float) -> None:
        if not called:
            called.append(game.simulation.tick)
            with game.world:
                esper.component_for_entity(entity, Tank).hurt(3)

    game.simulation.add_system(call, 0.0, "call")
    game.until(lambda: game.calls(client))
    ((name, _, arguments),) = game.calls(client)
    assert (name, arguments) == ("Tank.hurt", {"by": 3})
    assert client.shown is not None
    assert called[0] <= client.shown < called[0] + 1.2
    game.run(1)
    assert len(game.calls(client)) == 1


def test_changed_is_told_once_for_each_value(made: Game) -> None:
    made.speed = 0.0
    with Harness(made.server) as game:
        client = game.connect("a", Link(lag=0.03, seed=1), smooth=True)
        client.watch(Position)
        spawn(game)
        game.run(1)
        game.events(client).clear()
        made.speed = 4.0
        game.step(10)
        made.speed = 0.0
        game.run(1)
        changes = [each for each in game.events(client) if isinstance(each, Changed)]
        assert 10 <= len(changes) <= 11  # what comes to rest is said twice
        assert xs(client) == [40]


def test_jumps_are_not_slid_through(game: Harness) -> None:
    client = game.connect("a", Link(lag=0.05, jitter=0.02, seed=3), smooth=True)
    entity = spawn(game)
    game.run(2)
    drawn: list[float] = []
    for turn in range(8):
        with game.world:
            esper.component_for_entity(entity, Position).x += 10_000
            game.simulation.teleported(entity)
        for _ in range(30):
            game.step()
            drawn += [x % 10_000 for x in xs(client)]
        assert xs(client)[0] > 10_000 * (turn + 1)
    assert all(x < 2 * game.simulation.tick + 2 for x in drawn)


def test_debug_mode_finds_what_a_game_writes(game: Harness) -> None:
    client = game.connect("a", bad(), smooth=True, debug=True, fps=62.5)
    spawn(game)
    game.run(2)
    blended = 0
    for _ in range(120):
        game.step()
        blended += len(client._view.blended)
    assert blended > 60
    with client.view:
        ((_, (_, position)),) = esper.get_components(Tank, Position)
        position.x += 0.25
    with pytest.raises(ReadOnlyError, match=r"wrote Position\.x"):
        game.step()
    game.run(1)
    assert game.settle()


def test_what_the_game_deletes_comes_back_and_moves_on(game: Harness) -> None:
    client = game.connect("a", bad(), smooth=True)
    spawn(game)
    game.run(2)
    for _ in range(10):
        with client.view:
            ((entity, _),) = esper.get_components(Tank, Position)
            esper.remove_component(entity, Position)
        game.step(3)
        assert len(xs(client)) == 1
        with client.view:
            esper.clear_database()
        game.step(3)
        assert len(xs(client)) == 1
    assert game.settle()


def test_a_client_that_ends_is_told_all_that_happened_before(game: Harness) -> None:
    client = game.connect("a", Link(lag=0.05, jitter=0.02, seed=3), smooth=True)
    game.run(2)
    entity = spawn(game)
    game.step(5)

    (player,) = game.simulation.player_entity.values()

    def last(_dt: float) -> None:
        if game.simulation.world.alive(player):
            net.emit(Boom(7, entity))
            net.kick(player, "enough")

    game.simulation.add_system(last, 0.0, "last")
    game.until(lambda: client.closed)
    boom, gone = game.events(client)[-2:]
    assert boom == Boom(7, boom.by)
    assert gone == Disconnected("kicked", "enough")


def test_stalls_are_over_at_once(game: Harness) -> None:
    client = game.connect("a", Link(lag=0.05, jitter=0.01, seed=5), smooth=True)
    spawn(game)
    game.run(4)
    seat = game.seats[client]
    seat.polling = False
    game.run(3)
    seat.polling = True
    game.step(2)
    assert client.shown is not None
    assert game.simulation.tick - client.shown < 12
    with game.world:
        ((_, (_, position)),) = esper.get_components(Tank, Position)
    assert xs(client)[0] == pytest.approx(
        position.x - (game.simulation.tick - client.shown) * 2, abs=2.5
    )


def test_what_came_together_with_the_end_is_shown(game: Harness) -> None:
    """Nothing of it was drawn yet, and no frame comes after this one."""
    client = game.connect("a", Link(lag=0.05), smooth=True)
    entity = spawn(game)
    game.run(2)
    drawn = client._protocol.drawn
    assert drawn is not None
    (player,) = game.simulation.player_entity.values()

    def last(_dt: float) -> None:
        net.emit(Boom(7, entity))
        if game.simulation.world.alive(player):
            net.kick(player, "enough")

    game.simulation.add_system(last, 0.0, "last")
    game.step(2)
    seat = game.seats[client]
    seat.polling = False
    game.step(100)
    before = drawn.events.came
    happened = client.poll()
    assert before == 0
    assert client.closed
    assert [type(each) for each in happened[-2:]] == [Boom, Disconnected]


def test_what_happened_in_a_room_is_told_before_the_next_one_is_shown(made: Game) -> None:
    with Harness(made.server, seed=1) as game:
        client = game.connect("a", Link(lag=0.05, jitter=0.02, seed=3), smooth=True)
        game.run(1)
        spawn(game)
        game.run(1)
        assert len(xs(client)) == 1
        # Of the same seed: its things have the numbers that those of the first have.
        second = game.host.add_room(Game(speed=-7.0).server.spec, game.clock.now, seed=1)
        with second.simulation.world:
            for _ in range(30):
                esper.create_entity(Tank(), Position(0.0, 0.0))
        booms = [0]

        def boom(_dt: float) -> None:
            booms[0] += 1
            net.emit(Boom(booms[0]))

        game.simulation.add_system(boom, 0.0, "boom")
        game.step(30)
        seat, member = game.seats[client], game.member(client)
        assert member is not None
        game.host.move(member, second, game.clock.now)
        seat.polling = False
        game.step(40)
        seat.polling = True
        first, looks = client._protocol.drawn, 0
        for _ in range(120):
            game.step()
            if client._protocol._shown is first:
                looks += client._protocol.drawn is not first
                (x,) = xs(client)
                assert x > 0  # nothing of the one room is drawn on the other
        assert looks
        sizes = [each.size for each in seat.events if isinstance(each, Boom)]
        assert sizes == list(range(1, len(sizes) + 1))
        assert len(sizes) >= 29
        kinds = [type(each) for each in seat.events]
        assert kinds.count(Connected) == 2
        assert kinds.index(Boom) < len(kinds) - kinds[::-1].index(Connected) - 1
        assert len(xs(client)) == 30


def test_the_told_store_keeps_nothing_for_a_view(game: Harness) -> None:
    client = game.connect("a", bad(), smooth=True)
    entity = spawn(game)
    game.simulation.add_system(lambda _dt: net.emit(Boom(1, entity)), 0.0, "boom")
    other = spawn(game)
    game.run(2)
    with game.world:
        esper.delete_entity(other)
    game.run(1)
    told, drawn = client._protocol.store, client._protocol.drawn
    assert told is not None
    assert drawn is not None
    assert told is not drawn
    assert not told.dirty
    assert not told.went
    assert told.events.came == 0
    assert drawn.events.came > 60
    assert len(drawn.events) < 5


def test_what_both_stores_keep_is_counted_again(
    game: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecsnet.replication.client.store, "_RECOUNT_BYTES", 1000)
    client = game.connect("a", Link(lag=0.05, seed=1), smooth=True)
    spawn(game)
    game.run(10)
    for store in (client._protocol.store, client._protocol.drawn):
        assert store is not None
        assert store.taken > 10_000
        assert store._came < 2000


def test_a_message_that_comes_alone_is_drawn_in_time(made: Game) -> None:
    """While nothing changes there are few updates, and what is large goes without one."""
    made.speed = 0.0
    with Harness(made.server) as game:
        client = game.connect("a", Link(lag=0.05, jitter=0.01, seed=2), smooth=True)
        game.run(5)
        for _ in range(10):
            with game.world:
                esper.create_entity(Poster("x" * 4000))
            born = game.simulation.tick + 1
            before = len(client.view.structure(Poster))
            game.until(lambda before=before: len(client.view.structure(Poster)) > before)  # type: ignore[misc]
            assert game.simulation.tick - born <= 10
            game.run(0.35)


def test_what_the_drawn_store_dropped_is_asked_for_again(game: Harness) -> None:
    client = game.connect("a", Link(lag=0.05, seed=1), smooth=True)
    spawn(game)
    game.run(1)
    told, drawn = client._protocol.store, client._protocol.drawn
    assert told is not None
    assert drawn is not None
    drawn.resync = True
    game.step()
    assert told.asked == 1
    assert not drawn.resync
    game.run(1)
    assert told.asked == 0
    assert game.settle()
