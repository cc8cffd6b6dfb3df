"""Processes that stand still: the player's keys work again soon after, whoever it was.

Each process has a clock of its own, which counts while the process sleeps, or does not; datagrams
that come meanwhile wait in its socket. All of it is simulated time.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import esper
import pytest

from ecsnet.client.world import ClientWorld
from ecsnet.connection.plain import TIMEOUT
from ecsnet.notifications import Connected, Disconnected
from ecsnet.play import HostedTransport
from ecsnet.schema import Registry, command, replicated, use_registry
from ecsnet.server.host import Host
from ecsnet.server.world import ServerWorld
from ecsnet.simulation.rng import rng
from ecsnet.simulation.simulation import commands
from ecsnet.testing import FaultyLink, ManualClock, Network
from ecsnet.transport.contract import ClientTransport

with use_registry(Registry()) as registry:

    @replicated
    class Ship:
        x: int = 0

    @command(hold=True)
    class Steer:
        frame: int = 0

    @command
    class Shot:
        number: int = 0


SOON = 0.5
HOURS = 3 * 3600.0

_names = itertools.count()


class Process:
    """What polls at a steady rate, unless it sleeps."""

    def __init__(self, network: Network, rate: float, phase: float) -> None:
        self.network = network
        self.rate = rate
        self.poll: Callable[[], None]
        self.skew = 0.0  # what its clock shows, less the true time
        self.wakes = 0.0
        network.at(phase / rate, self._beat)

    @property
    def now(self) -> float:
        return self.network.clock.now + self.skew

    def __call__(self) -> float:
        return self.now

    def _beat(self) -> None:
        asleep = self.wakes - self.network.clock.now
        if asleep > 0:
            self.network.at(asleep, self._beat)
        else:
            self.network.at(1 / self.rate, self._beat)
            self.poll()


class Pilot:
    """A client that steers in each frame and shoots now and then, and what became of it."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.process = process
        process.poll = self.poll
        self.client: ClientWorld
        self.events: list[object] = []
        self.ended_at: float | None = None
        self.sent_at: list[float] = []  # true time of each frame
        self.shot_at: list[float] = []
        self.obeyed_at: dict[int, float] = {}  # frame -> true time at which the server steered
        self.ticks_obeyed: list[float] = []
        self.hit: list[int] = []
        self.hit_at: list[float] = []

    def poll(self) -> None:
        client, now = self.client, self.process.network.clock.now
        if client.closed:
            return
        if client.connected:
            client.send(Steer(len(self.sent_at)))
            self.sent_at.append(now)
            if len(self.sent_at) % 7 == 0:
                client.send(Shot(len(self.shot_at)))
                self.shot_at.append(now)
        for event in client.poll():
            self.events.append(event)
            if isinstance(event, Disconnected):
                self.ended_at = now

    def dead_for(self, woke: float) -> float:
        """Seconds from the end of a stall until the server obeyed a frame from after it."""
        first = next(frame for frame, at in enumerate(self.sent_at) if at >= woke)
        return min((at for f, at in self.obeyed_at.items() if f >= first), default=1e9) - woke

    def held_up(self, woke: float) -> float:
        """The longest that an action from after a stall took to the server."""
        delays = [
            at - self.shot_at[shot]
            for shot, at in zip(self.hit, self.hit_at, strict=True)
            if self.shot_at[shot] >= woke
        ]
        assert delays
        return max(delays)


class Rig:
    """A server, alone or in the process of a player who hosts, and a player far away."""

    def __init__(
        self,
        *,
        hosted: bool,
        lag: float = 0.0,
        jitter: float = 0.0,
        loss: float = 0.0,
        seed: int = 0,
        frame_rate: float = 60.0,
        **options: float,
    ) -> None:
        self.network = Network(ManualClock(1000.0))
        self.dice = random.Random(seed)
        self.link = FaultyLink(lag, jitter, loss, seed=seed)
        with use_registry(registry):
            server = ServerWorld(**{"tick_rate": 60, "seed": seed, **options})  # type: ignore[arg-type]
        self.left: list[tuple[float, int]] = []
        self._add_rules(server)
        self.tick_rate = server.tick_rate
        rate = frame_rate if hosted else server.tick_rate
        self.far = Pilot("far", Process(self.network, frame_rate, self.dice.random()))
        self.home = Process(self.network, rate, self.dice.random())
        self.pilots = [self.far]
        self.own: Pilot | None = None
        self.host: Host
        if hosted:
            wire = HostedTransport(server, self.network, self.home)
            self.host = wire.host
            self.own = Pilot("own", self.home)
            self.own.client = self._client(wire, self.own)
            self.pilots.append(self.own)
        else:
            send, now = self.network.send, self.home.now
            self.host = server.make_host(send, now, random=self.dice.randbytes)
            self.home.poll = self._serve
        self.far.client = self._client(self.network.connect(self.link), self.far)

    @property
    def now(self) -> float:
        return self.network.clock.now

    def _client(self, end: ClientTransport, pilot: Pilot) -> ClientWorld:
        return ClientWorld.over(
            end,
            name=pilot.name,
            world=f"stalls-{next(_names)}",
            registry=registry,
            clock=pilot.process,
            random=self.dice.randbytes,
        )

    def _add_rules(self, server: ServerWorld) -> None:
        @server.on_join
        def join(player: int) -> None:
            esper.add_component(player, Ship())

        @server.on_leave
        def leave(player: int) -> None:
            self.left.append((self.now, player))

        @server.system
        def obey(dt: float) -> None:
            rng().random()
            for entity, steer in commands(Steer):
                esper.component_for_entity(entity, Ship).x += 1
                pilot = self._pilot(entity)
                pilot.obeyed_at.setdefault(steer.frame, self.now)
                pilot.ticks_obeyed.append(self.now)
            for entity, shot in commands(Shot):
                pilot = self._pilot(entity)
                pilot.hit.append(shot.number)
                pilot.hit_at.append(self.now)

    def _pilot(self, entity: int) -> Pilot:
        number = self.host.rooms[0].simulation.player_number[entity]
        name = self.host.rooms[0].simulation._names[number]
        return next(pilot for pilot in self.pilots if pilot.name == name)

    def sleep(self, process: Process, seconds: float, *, counts: bool = True) -> None:
        """Let a process stand still from now on."""
        process.wakes = self.now + seconds
        if not counts:
            process.skew -= seconds

    def jump(self, process: Process, seconds: float) -> None:
        """Let its clock jump, while it goes on."""
        process.skew += seconds

    def run(self, seconds: float) -> None:
        self.network.run(seconds)

    def _serve(self) -> None:
        self.host.receive_datagrams(self.network.receive(), self.home.now)
        self.host.tick(self.home.now, early=0.5 / self.tick_rate)

    def start(self, seconds: float = 4.0) -> None:
        self.run(seconds)
        for pilot in self.pilots:
            assert any(isinstance(event, Connected) for event in pilot.events)
            assert len(pilot.hit) > 5

    def assert_alive(self, woke: float, path: float = 0.0) -> None:
        """Keys work, soon after a stall and from then on, and no action was lost or doubled."""
        self.run(3.0)
        for pilot in self.pilots:
            assert not pilot.client.closed, pilot.name
            assert pilot.dead_for(woke) < SOON + path, pilot.name
            ticks = sum(at > self.now - 2.0 for at in pilot.ticks_obeyed)
            assert ticks >= 0.95 * 2.0 * self.tick_rate, pilot.name
            assert pilot.held_up(woke) < SOON + path, pilot.name
            assert pilot.hit == list(range(len(pilot.hit))), pilot.name
            assert len(pilot.shot_at) - len(pilot.hit) <= 4, pilot.name


pytestmark = pytest.mark.usefixtures("no_worlds_left")


STALLS = (0.1, 0.2, 0.3, 0.45, 0.6, 1.0, 1.7, 3.0, 5.0, 6.0)


@pytest.mark.parametrize("who", ["home", "far", "both"])
@pytest.mark.parametrize("hosted", [True, False], ids=["played", "served"])
@pytest.mark.parametrize(("lag", "jitter", "loss"), [(0, 0, 0), (0.05, 0.01, 0.1)])
def test_keys_work_soon_after_any_stall(
    who: str, hosted: bool, lag: float, jitter: float, loss: float
) -> None:
    for seed, seconds in enumerate(STALLS):
        rig = Rig(hosted=hosted, lag=lag, jitter=jitter, loss=loss, seed=seed)
        rig.start()
        if who != "far":
            rig.sleep(rig.home, seconds)
        if who != "home":
            rig.sleep(rig.far.process, seconds + rig.dice.uniform(0, 0.05))
        rig.run(seconds + 0.06)
        rig.assert_alive(rig.now - 0.01, 2 * (lag + jitter))


@pytest.mark.parametrize("seed", range(12))
def test_keys_work_soon_after_stalls_of_any_length_and_phase(seed: int) -> None:
    dice = random.Random(seed)
    frame_rate = dice.choice((30.0, 60.0, 62.5, 144.0))
    rates = {"tick_rate": dice.choice((20.0, 60.0, 64.0)), "update_rate": dice.choice((10.0, 20.0))}
    lag = dice.choice((0.0, 0.02, 0.1))
    rig = Rig(hosted=seed % 2 == 0, lag=lag, loss=0.05, seed=seed, frame_rate=frame_rate, **rates)
    rig.start(5.0)
    for _ in range(4):
        seconds = dice.choice((dice.uniform(0.05, 1.0), dice.uniform(1.0, 8.0)))
        who = dice.choice(("home", "far", "both", "both"))
        if who != "far":
            rig.sleep(rig.home, seconds)
        if who != "home":
            rig.sleep(rig.far.process, seconds + dice.choice((0.0, dice.uniform(0, 0.4))))
        rig.run(max(rig.home.wakes, rig.far.process.wakes) - rig.now + 0.01)
        rig.assert_alive(
            rig.now - 0.01, 2 * lag + 2 / rates["update_rate"] + 2 / rates["tick_rate"]
        )


@pytest.mark.parametrize("hosted", [True, False], ids=["played", "served"])
@pytest.mark.parametrize("home", [True, False], ids=["counts", "stands"])
@pytest.mark.parametrize("far", [True, False], ids=["counts", "stands"])
@pytest.mark.parametrize("seconds", [9.0, HOURS])
def test_keys_work_soon_after_everything_was_suspended(
    hosted: bool, home: bool, far: bool, seconds: float
) -> None:
    """Some clocks count the time for which a laptop is suspended, others do not."""
    rig = Rig(hosted=hosted, lag=0.01)
    rig.start()
    rig.sleep(rig.home, seconds, counts=home)
    rig.sleep(rig.far.process, seconds + 0.03, counts=far)
    rig.run(seconds + 0.04)
    rig.assert_alive(rig.now - 0.01, 0.03)


@pytest.mark.parametrize("hosted", [True, False], ids=["played", "served"])
@pytest.mark.parametrize("who", ["home", "far"])
@pytest.mark.parametrize("frame_rate", [60.0, 144.0])
@pytest.mark.parametrize("seconds", [0.3, 5.0, 60.0, HOURS])
def test_keys_work_soon_after_a_clock_jumped(
    hosted: bool, who: str, frame_rate: float, seconds: float
) -> None:
    rig = Rig(hosted=hosted, lag=0.05, jitter=0.02, frame_rate=frame_rate)
    rig.start()
    rig.jump(rig.home if who == "home" else rig.far.process, seconds)
    rig.assert_alive(rig.now, 0.16)


@pytest.mark.parametrize("seconds", [TIMEOUT + 2, 60.0])
@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize("deaf", [True, False])
def test_who_slept_past_the_timeout_hears_of_it_on_waking(
    seconds: float, counts: bool, loss: float, deaf: bool
) -> None:
    rig = Rig(hosted=False, lag=0.05, loss=loss)
    rig.start()
    rig.sleep(rig.far.process, seconds, counts=counts)
    rig.run(seconds - 0.01)
    assert len(rig.left) == 1
    if deaf:  # a system keeps little for who does not look, and a suspended one nothing
        assert rig.link.take("in", rig.now)
    rig.run(1.0)
    assert rig.far.events[-1] == Disconnected("timeout")


@pytest.mark.parametrize("seconds", [TIMEOUT + 2, 60.0])
@pytest.mark.parametrize("hosted", [True, False], ids=["played", "served"])
def test_a_server_that_slept_past_a_clients_patience_lets_it_go_on_waking(
    seconds: float, hosted: bool
) -> None:
    """A debugger's breakpoint in the server, for instance."""
    rig = Rig(hosted=hosted, lag=0.05)
    rig.start()
    began = rig.now
    rig.sleep(rig.home, seconds)
    rig.run(seconds - 0.01)
    assert rig.far.events[-1] == Disconnected("timeout")
    assert rig.far.ended_at is not None
    assert rig.far.ended_at - began < TIMEOUT + 1
    assert not rig.left
    rig.run(1.0)
    assert len(rig.left) == 1
    if rig.own is not None:
        assert rig.own.client.connected
        assert rig.own.dead_for(began + seconds) < SOON


def test_a_short_timeout_survives_longer_stalls_of_the_server() -> None:
    rig = Rig(hosted=False, lag=0.05, loss=0.1, timeout=1.0)
    rig.start()
    for seconds in (0.9, 1.5, 6.0):
        rig.sleep(rig.home, seconds)
        rig.run(seconds + 0.01)
        rig.assert_alive(rig.now - 0.01, 0.2)
    assert not rig.left


@pytest.mark.parametrize("begun", [0.02, 0.12, 0.22, 0.32])
def test_who_is_being_let_in_while_everything_is_suspended_gets_in(begun: float) -> None:
    rig = Rig(hosted=False, lag=0.05)
    rig.run(begun)
    assert rig.link.stats.carried
    assert not rig.far.client.connected
    for process in (rig.home, rig.far.process):
        rig.sleep(process, HOURS)
    rig.run(HOURS)
    rig.start()


@pytest.mark.parametrize("hosted", [True, False], ids=["played", "served"])
@pytest.mark.parametrize("rates", [{}, {"update_rate": 5.0, "command_rate": 5.0}])
@pytest.mark.parametrize("frame_rate", [10.0, 144.0])
@pytest.mark.parametrize("seconds", [0.3, 5.0, 60.0, HOURS])
def test_keys_work_on_when_a_players_clock_is_set_back(
    hosted: bool, rates: dict[str, float], frame_rate: float, seconds: float
) -> None:
    """A game may give the clock of the wall, which somebody sets, or a server of the time."""
    rig = Rig(hosted=hosted, lag=0.05, jitter=0.01, frame_rate=frame_rate, **rates)
    rig.start(6.0)
    rig.jump(rig.far.process, -seconds)
    rig.run(3.0)
    assert rig.far.client.connected
    assert rig.far.dead_for(rig.now - 3.0) < SOON
    assert sum(at > rig.now - 2.5 for at in rig.far.ticks_obeyed) >= 0.98 * 2.5 * rig.tick_rate
    assert rig.far.hit == list(range(len(rig.far.hit)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("seconds", [1.0, 6.0])
@pytest.mark.parametrize("rate", [4.0, 5.0])
def test_who_sends_seldom_is_in_time_again_after_a_stall(
    seed: int, seconds: float, rate: float
) -> None:
    """What the stall made it send sooner does not make it send later."""
    rates = {"update_rate": rate, "command_rate": rate}
    rig = Rig(hosted=False, lag=0.05, jitter=0.01, frame_rate=144.0, seed=seed, **rates)
    rig.start(6.0)
    rig.sleep(rig.home, seconds)
    rig.run(seconds + 2.5)
    obeyed = len(rig.far.ticks_obeyed)
    rig.run(3.0)
    assert len(rig.far.ticks_obeyed) - obeyed >= 0.98 * 3.0 * rig.tick_rate


@pytest.mark.parametrize("update_rate", [1.0, 2.0, 3.0])
def test_what_is_done_before_who_is_told_seldom_sees_a_stall_is_done(update_rate: float) -> None:
    """It goes on for three updates: longer than others may be ahead of the server."""
    rig = Rig(hosted=False, lag=0.05, jitter=0.01, seed=3, update_rate=update_rate)
    rig.start(8.0)
    rig.sleep(rig.home, 6.0)
    rig.run(12.0)
    far = rig.far
    assert (far.client.stats.commands_expired, far.client.stats.commands_rejected) == (0, 0)
    assert far.hit == list(range(len(far.hit)))
    assert len(far.shot_at) - len(far.hit) <= 2


@pytest.mark.parametrize(
    ("timeout", "rates"),
    [
        (0.1, {}),
        (0.5, {"command_rate": 1.0}),
        (0.1, {"command_rate": 1.0, "update_rate": 1.0}),
        (1.0, {"command_rate": 2.0}),
    ],
)
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_no_timeout_is_shorter_than_what_clients_are_told_to_be_silent_for(
    timeout: float, rates: dict[str, float], loss: float
) -> None:
    rig = Rig(hosted=False, lag=0.05, timeout=timeout, loss=loss, seed=2, **rates)
    rig.start(30.0)
    assert rig.far.client.connected
    assert not rig.left
    rig.sleep(rig.far.process, 60.0)
    rig.run(5.0)
    assert len(rig.left) == 1
