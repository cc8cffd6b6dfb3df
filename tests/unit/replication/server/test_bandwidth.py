"""No client is ever sent more than its bandwidth: of values, of the stream, and of both."""

from __future__ import annotations

import esper
import pytest

from ecsnet.schema import Registry, event, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.simulation.events import emit
from ecsnet.testing import Harness, HarnessClient
from ecsnet.transport.conditioner import Link
from tests.simulation.spending import Spending

with use_registry(Registry()) as registry:

    @replicated
    class Place:
        x: float = 0.0
        y: float = 0.0

    @replicated
    class Long:
        text: str = ""
        serial: int = 0

    @replicated
    class Still:
        hp: float = 0.0

    @event
    class Shout:
        text: str = ""


def demanding(entities: int, long: int, bandwidth: float, update_rate: float) -> ServerWorld:
    """A game with more to say in each tick than the bandwidth has room for."""
    with use_registry(registry):
        server = ServerWorld(seed=1, tick_rate=60, bandwidth=bandwidth, update_rate=update_rate)

    @server.on_start
    def start() -> None:
        for number in range(entities):
            entity = esper.create_entity(Place())
            if long:
                esper.add_component(entity, Long("x" * long, number))

    @server.system
    def change(dt: float) -> None:
        for entity, place in esper.get_component(Place):
            place.x += dt * (1 + entity % 7)
            place.y -= dt
        if long:
            for _, text in list(esper.get_component(Long))[:20]:
                text.serial += 1

    return server


class Watched:
    """A game, and what each of its clients is sent."""

    def __init__(self, game: Harness, bandwidth: float) -> None:
        self.game = game
        self.bandwidth = bandwidth
        self.spent: dict[HarnessClient, Spending] = {}
        game.watch_sent = self.sent

    def sent(self, data: bytes, seat: HarnessClient) -> None:
        spending = self.spent.setdefault(seat, Spending(self.bandwidth))
        spending.sent(len(data), self.game.clock.now)


@pytest.mark.parametrize("loss", [0.0, 0.3])
@pytest.mark.parametrize("update_rate", [60.0, 15.0])
@pytest.mark.parametrize(
    ("entities", "long", "least"),
    [(600, 0, 0.85), (600, 300, 0.85), (40, 3_000, 0.4), (4, 60_000, 0.4)],
    ids=["values", "a world to stream", "larger than a datagram", "huge"],
)
def test_a_client_is_sent_its_bandwidth_and_no_more(
    entities: int, long: int, least: float, update_rate: float, loss: float
) -> None:
    bandwidth = 30_000.0
    with Harness(demanding(entities, long, bandwidth, update_rate)) as game:
        watched = Watched(game, bandwidth)
        for number in range(2):
            game.connect(f"player{number}", Link(lag=0.05, loss=loss, seed=number), wait=None)
        game.run(seconds=8)
        assert len(watched.spent) == 2
        for spending in watched.spent.values():
            assert spending.worst <= 1
            # There was more to say all the time; half of the bandwidth is the stream's.
            assert spending.total > least * bandwidth * 8


@pytest.mark.parametrize("entities", [0, 20])
def test_events_that_may_get_lost_are_sent_within_the_bandwidth(entities: int) -> None:
    bandwidth = 60_000.0
    server = demanding(entities, 0, bandwidth, 60)

    @server.system
    def shout(dt: float) -> None:
        for _ in range(20):
            emit(Shout("x" * 600), reliable=False)

    with Harness(server) as game:
        watched = Watched(game, bandwidth)
        client = game.connect("alice")
        game.run(seconds=8)
        spending = watched.spent[game.seats[client]]
        assert spending.worst <= 0.6  # of two bursts; the stream has nothing to say
        assert spending.total > 0.85 * bandwidth * 8


def test_no_byte_goes_uncounted() -> None:
    """Envelopes and answers to pings are little, and in a minute they are more than a burst."""
    bandwidth = 30_000.0
    with Harness(demanding(150, 0, bandwidth, 60)) as game:
        watched = Watched(game, bandwidth)
        client = game.connect("alice")
        game.run(seconds=60)
        spending = watched.spent[game.seats[client]]
        assert 0.95 * bandwidth * 60 < spending.total <= bandwidth * 60 + spending.allowed
        assert spending.worst <= 0.6  # of two bursts; the stream has nothing to say


def test_who_was_sent_little_for_long_is_not_sent_all_of_it_at_once() -> None:
    """An allowance is put by for a quarter of a second and not for ever."""
    bandwidth = 30_000.0
    with Harness(demanding(600, 0, bandwidth, 60)) as game:
        watched = Watched(game, bandwidth)
        client = game.connect("alice")
        game.simulation.paused = True
        assert game.settle()
        game.simulation.paused = True
        game.run(seconds=20)
        spending = watched.spent[game.seats[client]]
        before = spending.total
        game.simulation.paused = False
        game.run(seconds=1)
        assert 0.85 * bandwidth < spending.total - before < 1.5 * bandwidth
        assert spending.worst <= 1


@pytest.mark.parametrize("update_rate", [60.0, 20.0])
def test_who_needs_less_than_its_bandwidth_never_waits(update_rate: float) -> None:
    bandwidth = 900 * update_rate
    with Harness(demanding(36, 0, bandwidth, update_rate)) as game:
        watched = Watched(game, bandwidth)
        client = game.connect("alice")
        game.run(seconds=1)
        store, member = client._protocol.store, game.member(client)
        assert store is not None
        assert member is not None
        assert member.client_state is not None
        spending = watched.spent[game.seats[client]]
        before = spending.total
        for _ in range(8 * 60):
            game.step()
            assert not member.client_state.owed
        newest = sorted(max(record.ticks.values()) for record in store.entities.values())
        assert newest[1:] == [store.tick] * 36  # the first is the player
        # Most of the bandwidth was used all the same.
        assert spending.total - before > 0.75 * bandwidth * 8


def test_what_was_not_used_is_there_when_much_happens_at_once() -> None:
    """A quarter of a second of bandwidth, also for who was sent a little in every tick."""
    bandwidth = 60_000.0
    with Harness(demanding(20, 0, bandwidth, 60)) as game:
        client = game.connect("alice")
        with game.world:
            paused = [esper.create_entity(Still()) for _ in range(800)]
        game.run(seconds=3)
        member, store = game.member(client), client._protocol.store
        assert member is not None
        assert member.client_state is not None
        assert store is not None
        for _ in range(3):
            watched = Watched(game, bandwidth)
            with game.world:
                for entity in paused:
                    esper.component_for_entity(entity, Still).hp += 1.5
            game.step()
            assert 8_000 < watched.spent[game.seats[client]].total < bandwidth / 4
            assert not member.client_state.owed
            game.run(seconds=0.6)
