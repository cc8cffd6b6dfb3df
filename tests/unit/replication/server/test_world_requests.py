"""What costs the server a world is rationed by what it costs: a resync, and coming again."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import esper
import pytest

import ecsnet as net
from ecsnet.client.world import ClientWorld
from ecsnet.replication.server.client_state import ClientState
from ecsnet.replication.server.client_state import __file__ as viewer_file
from ecsnet.replication.wire import Resync
from ecsnet.schema import encode
from ecsnet.session.goodbye import Reason
from ecsnet.simulation.spec import SimulationSpec
from ecsnet.testing import Harness, Registry, use_registry
from tests.unit.counting import instructions
from tests.unit.server.test_host import HostNetwork, Square, moving

interpreted = pytest.mark.skipif(
    not viewer_file.endswith(".py"), reason="compiled code has no instructions"
)


class Game:
    """A world of things that stand still."""

    def __init__(self, things: int, **options: object) -> None:
        self.registry = Registry()
        with use_registry(self.registry):

            @net.replicated
            class Thing:
                x: float = 0.0
                y: float = 0.0

            self.server = net.ServerWorld(**options)  # type: ignore[arg-type]

        @self.server.on_start
        def start() -> None:
            for number in range(things):
                esper.create_entity(Thing(float(number), 1.0))

        self.Thing = Thing

    def harness(self) -> Harness:
        return Harness(self.server, registry=self.registry)


def state_of(game: Harness, client: ClientWorld) -> ClientState:
    member = game.member(client)
    assert member is not None
    assert member.client_state is not None
    return member.client_state


def ask(client: ClientWorld) -> None:
    client._connection.peer.queue(encode(Resync()))


def resyncs(game: Harness, clients: list[ClientState], steps: int) -> Iterator[list[ClientState]]:
    """Who begins to be sent everything, step by step."""
    was = [client_state.restoring for client_state in clients]
    for _ in range(steps):
        game.step()
        now = [client_state.restoring for client_state in clients]
        yield [v for v, old, new in zip(clients, was, now, strict=True) if new and not old]
        was = now


def test_asking_all_the_time_gets_every_twentieth_turn() -> None:
    play = Game(2000)
    with play.harness() as game:
        ann = game.connect("Ann")
        game.run(3.0)
        client_state = state_of(game, ann)
        begun = 0
        for step in range(60 * 40):
            if step % 6 == 0:
                ask(ann)
            before = client_state.restoring
            game.step()
            begun += client_state.restoring and not before
        assert 6 <= begun <= 7  # a turn of 2,000 entities takes 0.3 seconds
        game.run(1.0)
        assert game.settle(30)


@pytest.mark.parametrize(("things", "bandwidth"), [(100, 256 * 1024), (2000, 16 * 1024)])
def test_the_wait_is_worth_what_is_sent_and_not_how_long_that_takes(
    things: int, bandwidth: int
) -> None:
    play = Game(things, bandwidth=bandwidth)
    with play.harness() as game:
        ann = game.connect("Ann")
        assert game.settle(30)
        client_state = state_of(game, ann)
        for _ in range(2):
            ask(ann)
        begins = []
        while len(begins) < 2:
            before = client_state.restoring
            game.step()
            if client_state.restoring and not before:
                begins.append(game.simulation.tick)
            assert game.simulation.tick < 60 * 60
        first, second = begins
        assert second - first == pytest.approx(60 * 20 * 1.5e-4 * things, abs=12)


def test_who_asks_once_is_served_at_once() -> None:
    play = Game(300)
    with play.harness() as game:
        ann = game.connect("Ann")
        game.run(1.0)
        client_state = state_of(game, ann)
        ask(ann)
        game.run(0.1)
        assert client_state.resync_at > 0
        game.run(1.0)
        assert not client_state.restoring
        assert not client_state.owed
        assert game.settle()
        assert ann.stats.confirmed_tick > game.simulation.tick - 30


def test_clients_take_turns() -> None:
    play = Game(3000)
    with play.harness() as game:
        clients = [game.connect(f"Player {number}") for number in range(4)]
        game.run(5.0)
        states = [state_of(game, client) for client in clients]
        for client in clients:
            ask(client)
        begins = [who for who in resyncs(game, states, 120) if who]
        assert [len(who) for who in begins] == [1, 1, 1, 1]
        assert {state for (state,) in begins} == set(states)


def test_who_leaves_while_waiting_for_its_turn_is_forgotten() -> None:
    play = Game(3000)
    with play.harness() as game:
        ann, bob = game.connect("Ann"), game.connect("Bob")
        game.run(4.0)
        ask(ann)
        ask(bob)
        game.run(0.1)
        assert len(game.room.replicator._resyncs) == 1
        game.leave(ann)
        game.leave(bob)
        game.run(0.5)
        assert game.room.replicator._resyncs == []


@interpreted
@pytest.mark.parametrize("lost", [False, True])
def test_a_tick_costs_what_is_sent_and_not_what_is_owed(lost: bool) -> None:
    """With ten times as much owed, of a resync or of what got lost, a tick costs the same."""
    costs: list[float] = []
    for things in (300, 2000):
        play = Game(things, bandwidth=8_000)
        with play.harness() as game:
            ann = game.connect("Ann")
            client_state = state_of(game, ann)
            game.run(things / 40)
            assert len(client_state.known) > things
            if lost:
                for net in sorted(client_state.known):
                    client_state.owed.owe(net, 1, game.simulation.tick)
            else:
                ask(ann)
            game.until(lambda client_state=client_state: client_state.owed)  # type: ignore[misc]
            game.step(5)
            owed = len(client_state.owed)
            assert owed > things / 2
            names = (
                "take_owed",
                "unconfirmed_ticks",
                "resend",
                "drop",
                "settle",
                "sees",
            )
            cost = instructions(partial(game.step, 20), *names)
            sent = owed - len(client_state.owed)
            assert sent > 20
            costs.append(cost / sent)
    few, many = costs
    assert few > 50
    assert many < 1.5 * few


@interpreted
def test_a_newcomer_that_waits_for_acks_costs_nothing() -> None:
    play = Game(4000)
    with play.harness() as game:
        ann = game.connect("Ann")
        game.clients.remove(ann)
        client_state = state_of(game, ann)
        game.until(lambda: len(client_state.known) > 500)
        game.seats[ann].polling = False  # no ack comes
        game.run(1.0)
        assert len(client_state.known) < 3000
        names = ("_tell_apart", "_next_piece", "_farthest_first", "in_order")
        assert instructions(partial(game.step, 20), *names) == 0


@interpreted
def test_where_newcomers_look_is_looked_up_once() -> None:
    """The order in which a world enters is not worked out anew for each piece of it."""
    play = Game(4000)
    with play.harness() as game:
        counted: list[int] = []
        whole = type(game.room.replicator.entities).in_order
        entities = game.room.replicator.entities
        entities.in_order = lambda nets: counted.append(len(nets)) or whole(entities, nets)  # type: ignore[method-assign, func-returns-value]
        ann = game.connect("Ann")
        client_state = state_of(game, ann)
        game.until(lambda: len(client_state.known) > 4000, 20)
        assert client_state.peer.delivered > 4  # pieces
        assert sum(counted) < 6 * 4000
        assert sum(each >= 1000 for each in counted) <= 3


def furnished(things: int) -> SimulationSpec:
    spec = moving()
    spec.on_start.append(lambda: [esper.create_entity(Square(float(n))) for n in range(things)])
    return spec


@pytest.mark.parametrize(("things", "least", "most"), [(0, 80, 200), (4000, 4, 30)])
def test_coming_for_a_moment_is_paid_for_by_the_size_of_the_world(
    things: int, least: int, most: int
) -> None:
    network = HostNetwork(furnished(things), max_clients=16)
    network.run(0.1)
    came = 0
    until = network.now + 20.0
    while network.now < until:
        client = network.client(f"Player {came}")
        network.until(lambda client=client: client.welcome or client.over)  # type: ignore[misc]
        if client.welcome is not None:
            came += 1
            network.run(0.02)
            network.host.disconnect(client.member, Reason.KICKED, network.now)
        else:
            assert client.over is Reason.ADDRESS
            network.run(0.1)
    assert least <= came <= most
    assert (network.host.stats().denied["joins"] > 0) is (things > 0 or came > 90)
    # Nobody else pays for it.
    other = network.client("Bob", address=("10.0.0.2", 4000))
    network.until(lambda: other.welcome)


def test_who_stays_pays_nothing() -> None:
    network = HostNetwork(furnished(4000), max_clients=16)
    network.run(0.1)
    for _ in range(12):
        clients = network.joined(3)
        network.run(5.0)
        for client in clients:
            network.host.disconnect(client.member, Reason.KICKED, network.now)
        network.links.clear()
    assert network.host.stats().joined == 36
    assert not network.host.stats().denied
