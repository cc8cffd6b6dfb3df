"""`ServerWorld(command_rate=)`: fewer packets from clients, and not one command less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import esper
import pytest

from ecsnet.client.world import ClientWorld
from ecsnet.commands.outbox import Outbox
from ecsnet.errors import UsageError
from ecsnet.messages.joining import SchemaOffer, Welcome
from ecsnet.schema import Between, Gate, Registry, command, encode, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.simulation.simulation import commands, tick
from ecsnet.testing import FaultyLink, Harness

with use_registry(Registry()) as registry:

    @replicated
    class Ship:
        x: int = 0

    @command(hold=True)
    class Steer:
        dx: Annotated[int, Between(-1000000, 1000000)] = 0

    @command
    class Shot:
        number: int = 0


pytestmark = pytest.mark.usefixtures("no_worlds_left")


class Watched:
    """A client's outbox; tells of the ticks that are stamped. Compiled ones cannot be patched."""

    def __init__(self, client: ClientWorld, tell: Callable[[range, Outbox], None]) -> None:
        self._outbox = client._sender.outbox
        self._tell = tell
        client._sender.outbox = self  # type: ignore[assignment]

    def stamp(self, ticks: range) -> None:
        self._tell(ticks, self._outbox)
        self._outbox.stamp(ticks)

    def __getattr__(self, name: str) -> object:
        return getattr(self._outbox, name)


class Range:
    """A game with one client that steers anew in each frame and shoots now and then."""

    def __init__(self, link: FaultyLink | None = None, every: int = 1, **options: float) -> None:
        with use_registry(registry):
            server = ServerWorld(**{"tick_rate": 60, "seed": 1, **options})  # type: ignore[arg-type]
        self.steered: list[tuple[int, int]] = []  # tick, what was steered
        self.hit: list[tuple[int, int]] = []

        @server.on_join
        def join(player: int) -> None:
            esper.add_component(player, Ship())

        @server.system
        def obey(dt: float) -> None:
            for entity, steer in commands(Steer):
                esper.component_for_entity(entity, Ship).x += 1
                self.steered.append((tick(), steer.dx))
            for _, shot in commands(Shot):
                self.hit.append((tick(), shot.number))

        self.game = Harness(server, seed=1)
        self.client = self.game.connect("ann", link, every=every, wait=30.0)
        self.frame = self.shots = 0
        self.stamped: list[tuple[int, int]] = []  # as steered, but where the client stamped it
        self.fired: list[tuple[int, int]] = []

        def stamped(ticks: range, outbox: Outbox) -> None:
            self.stamped += [(tick, self.frame // 4) for tick in ticks]
            if outbox._actions:
                at = ticks[0] if ticks else outbox._tick - 1
                self.fired.append((at, self.shots - 1))

        Watched(self.client, stamped)

    def play(self, seconds: float) -> int:
        """Returns how many datagrams the client sent."""
        before = self.client.stats.datagrams_sent
        for _ in range(round(seconds * self.game.room.tick_rate)):
            self.frame += 1
            if not self.client.closed:
                self.client.send(Steer(self.frame // 4))
                if self.frame % 9 == 0:
                    self.client.send(Shot(self.shots))
                    self.shots += 1
            self.game.step()
        return self.client.stats.datagrams_sent - before


@pytest.mark.parametrize("rate", [60, 30, 20, 12.5, 10, 5, 2])
@pytest.mark.parametrize("update_rate", [60, 20])
def test_a_client_sends_so_many_packets_and_every_command(rate: float, update_rate: int) -> None:
    game = Range(command_rate=rate, update_rate=update_rate)
    game.play(8.0)
    ticks = game.game.simulation.tick
    sent = game.play(8.0)
    assert sent <= 8.0 * rate + 2
    assert sent >= 0.9 * 8.0 * rate
    # Once the clock is right, each tick has what was held in it when it was stamped, once.
    steered = [pair for pair in game.steered if pair[0] > ticks]
    assert [at for at, _ in steered] == list(range(ticks + 1, ticks + 481))
    assert set(steered) <= set(game.stamped)
    # All shots, each once and in its tick.
    assert [number for _, number in game.hit] == list(range(len(game.hit)))
    hit = [pair for pair in game.hit if pair[0] > ticks]
    assert len(hit) > 50
    assert set(hit) <= set(game.fired)
    assert game.client.stats.loss == 0
    assert game.game.settle()
    game.game.close()


@pytest.mark.parametrize("rate", [30, 10, 5])
def test_on_a_bad_network_no_action_is_lost_and_few_states_are_late(rate: float) -> None:
    link = FaultyLink(lag=0.06, jitter=0.02, loss=0.1, duplicate=0.05, seed=4)
    game = Range(link, command_rate=rate, update_rate=30)
    game.play(10.0)
    superseded, rejected = (
        game.client.stats.commands_superseded,
        game.client.stats.commands_rejected,
    )
    before = len(game.steered)
    sent = game.play(10.0)
    assert sent <= 10.0 * rate + 2 + 10
    assert link.stats.dropped > 20
    assert len(game.steered) - before == 600
    assert game.client.stats.commands_superseded - superseded < 0.08 * 600
    assert game.client.stats.commands_rejected == rejected == 0
    numbers = [number for _, number in game.hit]
    assert numbers == list(range(len(numbers)))
    assert game.shots - len(numbers) < 12
    (member,) = game.game.host.members.values()
    assert member.peer.session.budget.strikes == 0
    assert game.game.settle()
    game.game.close()


def test_the_server_does_not_take_seldom_for_lost() -> None:
    """Acks come with the client's packets: what waits for one is not sent again."""
    for rate in (60, 5):
        game = Range(command_rate=rate)
        game.play(10.0)
        (member,) = game.game.host.members.values()
        assert member.peer.session.path.loss == 0
        assert member.peer.session.path.peer_interval == max(0.05, 1 / rate)
        game.game.close()


def test_without_it_a_client_says_each_tick() -> None:
    for options in ({}, {"update_rate": 20.0}):
        game = Range(**options)
        game.play(2.0)
        assert 290 <= game.play(5.0) <= 302
        game.game.close()


def test_what_many_states_fill_a_packet_with_is_sent_sooner() -> None:
    with use_registry(Registry()) as many:

        @command(hold=True)
        class Aim:
            x: float = 0.0
            y: float = 0.0
            z: float = 0.0

    seen: dict[int, float] = {}
    stamped: dict[int, float] = {}
    with use_registry(many):
        server = ServerWorld(command_rate=2)

    @server.system
    def look(dt: float) -> None:
        seen.update((tick(), aim.x) for _, aim in commands(Aim))

    game = Harness(server)
    client = game.connect()

    def stamping(ticks: range, _: Outbox) -> None:
        stamped.update((tick, frame + 0.5) for tick in ticks)

    Watched(client, stamping)
    for frame in range(1800):
        client.send(Aim(frame + 0.5, frame + 0.25, frame + 0.125))
        game.step()
    late = range(game.simulation.tick - 599, game.simulation.tick + 1)
    assert [seen[at] for at in late] == [stamped[at] for at in late]
    assert client.stats.datagrams_sent < 500
    game.close()


@pytest.mark.parametrize(
    "wrong", [0, 0.5, -1, 61, float("nan"), float("inf"), True, "20", None.__class__, [20]]
)
def test_what_is_no_command_rate_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError, match=r"command_rate=.*between 1 and tick_rate=60"):
        ServerWorld(tick_rate=60, command_rate=wrong)  # type: ignore[arg-type]


def test_it_follows_a_tick_rate_that_is_set_later() -> None:
    server = ServerWorld(tick_rate=60, command_rate=30)
    server.tick_rate = 20
    assert server.command_rate == 20
    assert ServerWorld().command_rate is None


@pytest.mark.parametrize("rate", [0, -0.0, 0.5, float("nan"), float("inf"), 1e300, "10", True])
def test_a_hostile_welcome_is_refused(rate: object) -> None:
    gate: Gate[Welcome | SchemaOffer] = Gate(Welcome | SchemaOffer, 1000)
    assert gate.decode(encode((2, 7, 1, 1, 60.0, 60.0, 5, rate))) is None
    assert gate.rejected == 1
    for good in (None, 1, 20.5, 10_000):
        welcome = gate.decode(encode((2, 7, 1, 1, 60.0, 60.0, 5, good)))
        assert isinstance(welcome, Welcome)
        assert welcome.command_rate == good
