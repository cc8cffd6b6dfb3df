"""Client worlds against a real host, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import pairwise
from typing import Annotated

import esper
import msgspec
import pytest

from ecsnet.client import connection as uplink
from ecsnet.client.stats import ClientStats
from ecsnet.client.world import ClientWorld, showing
from ecsnet.commands.frames import HELD_STATES
from ecsnet.components import Owner, Player
from ecsnet.errors import (
    BadValueError,
    DisconnectedError,
    RefusedError,
    UsageError,
)
from ecsnet.notifications import (
    Changed,
    Connected,
    Despawned,
    Disconnected,
    Inserted,
    Refused,
    Removed,
    Spawned,
)
from ecsnet.schema import (
    Between,
    EntityRef,
    Registry,
    command,
    encode,
    replicated,
    use_registry,
)
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.simulation.simulation import commands
from ecsnet.testing import Harness, LinkEnd, ManualClock, Network
from ecsnet.transport.conditioner import Link
from tests.unit.hostile_server import HostileServer, run_of

with use_registry(Registry()) as registry:

    @replicated
    class Place:
        x: float = 0.0

    @replicated
    class Tank:
        hp: int = 10

    @command(hold=True)
    class Steer:
        dx: Annotated[int, Between(-1, 1)] = 0

    @command
    class Fire:
        at: EntityRef = None
        power: float = 1.0

    class NotACommand:
        pass


with use_registry(Registry()) as other_registry:

    @replicated
    class Ship:
        hull: int = 3


class World:
    """What the server saw, and the server."""

    def __init__(self, **options: object) -> None:
        with use_registry(registry):
            self.server = ServerWorld(seed=1, **options)  # type: ignore[arg-type]
        self.fired: list[tuple[int, Fire]] = []
        self.steered: list[tuple[int, int]] = []
        self.server.on_join(self.join)
        self.server.system(self.run)

    def join(self, player: int) -> None:
        esper.add_component(player, Place())

    def run(self, dt: float) -> None:
        self.fired += commands(Fire)
        self.steered += [(entity, steer.dx) for entity, steer in commands(Steer)]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def game(world: World) -> Iterator[Harness]:
    with Harness(world.server) as made:
        yield made


def own(game: Harness, client: ClientWorld) -> int:
    """A client's player in the server's world."""
    member = game.member(client)
    assert member is not None
    return game.simulation.player_entity[member.seat.player_id]


# Coming in.


def test_it_is_connected_once_its_own_player_is_there(game: Harness) -> None:
    client = game.connect("Ann", wait=None)
    assert (client.connected, client.player, client.closed) == (False, None, False)
    assert client.mine() == []
    assert repr(client) == "<ClientWorld 'Ann' connecting>"
    game.until(lambda: client.connected)
    player = client.player
    assert player is not None
    assert game.events(client)[0] == Connected(player)
    assert set(game.events(client)[1:]) == {Spawned(player)}
    with client.view:
        assert esper.component_for_entity(player, Player).name == "Ann"
        assert esper.component_for_entity(player, Place) == Place()
    assert repr(client) == "<ClientWorld 'Ann' connected>"
    client.close()
    assert repr(client) == "<ClientWorld 'Ann' closed>"


def test_connected_comes_before_what_is_seen_already(game: Harness) -> None:
    with game.world:
        esper.create_entity(Tank())
    first = game.connect("Ann")
    second = game.connect("Bob")
    for client in (first, second):
        kinds = [type(event) for event in game.events(client)]
        assert kinds.index(Connected) == 0
        assert kinds.count(Connected) == 1
    assert len(game.events(second)) == 4


def test_a_player_without_an_entity_is_connected_all_the_same() -> None:
    world = World()
    world.server.on_join(lambda player: esper.delete_entity(player, immediate=True))
    with Harness(world.server) as game:
        client = game.connect("Ann")
        assert game.events(client) == [Connected(0)]
        assert client.player is None
        assert client.mine() == []
        assert client.connected


def test_a_player_whose_entity_goes_while_it_is_on_its_way_is_connected(game: Harness) -> None:
    client = game.connect("Ann", Link(lag=0.1, seed=1), wait=None)
    game.until(lambda: game.simulation.player_entity)
    with game.world:
        esper.delete_entity(game.simulation.player_entity[1])
    game.until(lambda: client.connected)
    assert game.events(client) == [Connected(0)]
    assert client.player is None


@pytest.mark.parametrize("deleted", [False, True])
def test_who_comes_into_a_world_that_never_rests_does_not_wait_for_it(deleted: bool) -> None:
    world = World(bandwidth=16 * 1024)

    @world.server.on_start
    def start() -> None:
        for _ in range(3000):
            esper.create_entity(Place())

    @world.server.system
    def move(_dt: float) -> None:
        for _, place in esper.get_component(Place):
            place.x += 1

    with Harness(world.server) as game:
        client = game.connect("Ann", Link(lag=0.1, seed=1), wait=None)
        game.until(lambda: game.simulation.player_entity)
        if deleted:
            with game.world:
                esper.delete_entity(game.simulation.player_entity[1])
        game.until(lambda: client.connected, seconds=4)
        (connected, *_) = game.events(client)
        assert connected == Connected(client.player or 0)
        assert (client.player is None) is deleted
        assert client.stats.confirmed_tick == 0


def test_another_game_is_refused_with_what_differs(
    game: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    game._registry = other_registry
    client = game.connect("Ann", wait=None)
    game.until(lambda: client.closed)
    (event,) = game.events(client)
    assert isinstance(event, Refused)
    assert event.reason == "schema"
    assert event.message.startswith("this game differs from the server's: server has")
    assert event.message in caplog.text
    assert client.poll() == []


def test_a_full_server_says_so() -> None:
    with Harness(World(max_clients=1).server) as game:
        game.connect("Ann")
        client = game.connect("Bob", wait=None)
        game.until(lambda: client.closed)
        (event,) = game.events(client)
        assert isinstance(event, Refused)
        assert (event.reason, "full" in event.message) == ("full", True)


def test_when_nobody_answers_it_gives_up() -> None:
    clock = ManualClock()
    end = Network().connect()
    client = ClientWorld.over(end, world="alone", registry=registry, clock=clock)
    events: list[object] = []
    for _ in range(600):
        clock.advance(1 / 60)
        events += client.poll()
    (event,) = events
    assert isinstance(event, Refused)
    assert event.reason == "unreachable"
    assert "nobody answers there" in event.message
    assert end.sent > 20
    assert end.closed
    client.view.close()


def test_the_server_may_say_no_before_the_player_is_in(game: Harness) -> None:
    client = game.connect("Ann", wait=None)
    game.until(lambda: game.member(client) is not None)
    member = game.member(client)
    assert member is not None
    game.host.disconnect(member, Reason.NAME, game.clock.now)
    game.until(lambda: client.closed)
    (event,) = game.events(client)
    assert event == Refused("name", "the server does not take this name: choose another")


# What is seen.


def test_events_say_what_happened(game: Harness) -> None:
    client = game.connect("Ann")
    client.watch(Tank)
    game.events(client).clear()

    def news() -> list[object]:
        game.events(client).clear()
        game.step(2)
        return game.events(client)

    with game.world:
        tank = esper.create_entity(Tank(5))
    (event,) = news()
    assert isinstance(event, Spawned)
    entity = event.entity
    with game.world:
        esper.component_for_entity(tank, Tank).hp = 6
    assert news() == [Changed(entity, Tank(6))]
    with game.world:
        esper.add_component(tank, Place(2))
    assert news() == [Inserted(entity, Place(2))]
    with game.world:
        esper.component_for_entity(tank, Place).x = 3
    assert news() == []  # nobody watches it
    with game.world:
        esper.remove_component(tank, Place)
    assert news() == [Removed(entity, Place(3))]
    game.world.delete(tank)
    assert news() == [Despawned(entity, "despawned", {Tank: Tank(6)})]


def test_mine_is_what_the_player_owns(game: Harness) -> None:
    client, other = game.connect("Ann"), game.connect("Bob")
    player = client.player
    with game.world:
        for hp in (7, 8):
            esper.create_entity(Tank(hp), Owner(own(game, client)))
        esper.create_entity(Tank(9), Owner(own(game, other)))
        esper.create_entity(Tank(10))
    game.step(2)
    mine = client.mine()
    assert mine[0] == player
    assert len(mine) == 3
    assert client.mine(Tank) == [(mine[1], Tank(7)), (mine[2], Tank(8))]
    assert client.mine(Place) == [(player, Place())]
    assert [entity for entity, _ in client.mine(Tank, Owner)] == mine[1:]
    assert client.mine(Tank, Place) == []
    tank = client.mine(Tank, Owner)[0][1]
    assert (type(tank[0]), type(tank[1])) == (Tank, Owner)


def test_mine_refuses_what_is_not_replicated(game: Harness) -> None:
    client = game.connect("Ann", wait=None)  # before it is in, too
    with pytest.raises(UsageError, match=r"mine\(\) got NotACommand, which is not replicated"):
        client.mine(NotACommand)
    assert client.mine(Tank, NotACommand) == []  # a sprite, say
    with pytest.raises(UsageError, match=r"mine\(\) got Fire, which is a command"):
        client.mine(Fire)


def test_attachments_are_made_and_removed(game: Harness) -> None:
    client = game.connect("Ann")
    made: list[tuple[int, object]] = []
    gone: list[object] = []

    class Sprite:
        pass

    def make(entity: int, place: Place) -> Sprite:
        made.append((entity, place))
        return Sprite()

    client.attach(Place, make, remove=gone.append)
    assert made == [(client.player, Place())]
    with client.view:
        sprite = esper.component_for_entity(client.player or 0, Sprite)
    client.close()
    assert gone == [sprite]


def test_only_replicated_types_are_watched_and_attached_to(game: Harness) -> None:
    client = game.connect("Ann")
    with pytest.raises(UsageError, match=r"watch\(\) got NotACommand, which is not replicated"):
        client.watch(NotACommand)
    with pytest.raises(UsageError, match=r"attach\(\) got Fire, which is a command"):
        client.attach(Fire, lambda entity, fire: None)
    with pytest.raises(UsageError, match=r"attach\(make='sprite'\): give a function"):
        client.attach(Place, "sprite")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"attach\(remove=3\): give a function, or leave it out"):
        client.attach(Place, lambda entity, place: None, remove=3)  # type: ignore[arg-type]


# Commands.


def test_commands_reach_their_entity(world: World, game: Harness) -> None:
    client, other = game.connect("Ann"), game.connect("Bob")
    player = own(game, client)
    with game.world:
        tank = esper.create_entity(Tank(), Owner(player))
        theirs = esper.create_entity(Tank(), Owner(own(game, other)))
    game.step(2)
    shown = {value.hp: entity for entity, value in client.mine(Tank)}[10]
    net = game.room.replicator.network_id(theirs)
    client.send(Fire(at=shown, power=2.0))
    client.send(Fire(), shown)
    client.send(Fire(power=3.0), client.player)
    client.send(Fire(), 9999)  # nothing that is in sight: counted here
    client.send(Fire(power=4.0), client._view.local[net or 0])  # not ours: counted there
    game.run(0.5)
    assert world.fired == [(player, Fire(tank, 2.0)), (tank, Fire()), (player, Fire(None, 3.0))]
    game.run(1.0)
    stats = client.stats
    assert (stats.commands_sent, stats.commands_applied, stats.commands_rejected) == (4, 4, 2)
    assert (stats.commands_expired, stats.commands_superseded) == (0, 0)


def test_a_held_command_goes_on_until_it_is_released(world: World, game: Harness) -> None:
    client = game.connect("Ann")
    player = own(game, client)
    client.send(Steer(1))
    game.run(0.5)
    assert len(world.steered) > 15
    client.send(Steer(-1))
    game.run(0.5)
    assert world.steered[-1] == (player, -1)
    client.release(Steer)
    client.release(Steer)
    client.release(Steer, 9999)
    game.run(0.2)
    world.steered.clear()
    game.run(0.5)
    assert world.steered == []


def test_what_is_held_for_an_entity_ends_with_it(world: World, game: Harness) -> None:
    client = game.connect("Ann")
    client.send(Steer(1))
    for _ in range(HELD_STATES):  # one more than are held at a time
        with game.world:
            tank = esper.create_entity(Tank(), Owner(own(game, client)))
        game.run(0.2)
        ((shown, _),) = client.mine(Tank)
        client.send(Steer(-1), shown)
        game.run(0.2)
        assert world.steered[-2:] == [(own(game, client), 1), (tank, -1)]
        with game.world:
            esper.delete_entity(tank)
        game.run(0.2)
    assert world.steered[-1] == (own(game, client), 1)
    game.run(1.0)  # until the server has said what it rejected
    rejected = client.stats.commands_rejected
    game.run(0.5)
    assert client.stats.commands_rejected == rejected


def test_our_own_entity_by_its_number_or_left_out_is_the_same(world: World, game: Harness) -> None:
    client = game.connect("Ann")
    client.send(Steer(1), client.player)
    game.run(0.5)
    assert world.steered[-1] == (own(game, client), 1)
    client.send(Steer(-1))
    client.release(Steer, client.player)
    game.run(0.2)
    world.steered.clear()
    game.run(0.5)
    assert world.steered == []


def test_what_is_sent_for_the_greatest_network_id_is_sent() -> None:
    server = HostileServer(registry)
    server.welcome()
    for net in (2**53, 5):
        server.structure(run_of(registry, Tank, net, [3]))
    server.poll()
    client = server.client
    greatest = client._view.local[2**53]
    client.send(Fire(at=greatest), greatest)
    assert client._sender.unsendable == 0
    outbox, fire = client._sender.outbox, client._schema.command_id_of[Fire]
    outbox.stamp(range(10_000, 10_001))
    payload = outbox.pack(900)
    assert payload is not None
    *_, (_, _, actions) = msgspec.msgpack.decode(encode(payload.frames))
    assert actions == [[fire, 2**53, [2**53, 1.0]]]
    server.close()


def test_misuse_of_send_says_what_is_wrong(game: Harness) -> None:
    client = game.connect("Ann")
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: client.send(NotACommand()), r"send\(\) got NotACommand, which is not a command"),
        (lambda: client.send(Place()), r"send\(\) got Place, which is replicated, not a command"),
        (lambda: client.send(Steer), r"send\(\) got a class: pass an instance"),
        (lambda: client.send(Fire(power=float("nan"))), r"send\(\) got Fire.power: nan"),
        (lambda: client.send(Steer(5)), r"send\(\) got Steer.dx: 5"),
        (lambda: client.release(Fire), r"release\(\) got Fire, which is an action, not held"),
        (lambda: client.release(Place), r"release\(\) got Place, which is replicated"),
    ]
    for call, says in cases:
        with pytest.raises(UsageError, match=says):
            call()
    with pytest.raises(BadValueError):
        client.send(Steer("left"))  # type: ignore[arg-type]
    for what in ("me", 1.0, True, Place()):
        for call, verb in ((client.send, "send"), (client.release, "release")):
            given = Steer(1) if verb == "send" else Steer
            with pytest.raises(UsageError) as caught:
                call(given, entity=what)  # type: ignore[operator]
            assert str(caught.value) == (
                f"{verb}() got entity={what!r}: give the number of an entity in client.view,"
                " as from client.mine(), or leave it out for the player's own"
            )
        with pytest.raises(BadValueError) as caught:
            client.send(Fire(at=what))  # type: ignore[arg-type]
        assert str(caught.value) == f"send() got Fire.at: {what!r} is not EntityRef"
    for _ in range(8):
        client.send(Fire())
    with pytest.raises(UsageError, match="more than 8 commands in one tick"):
        client.send(Fire())


def test_a_command_declared_after_connect_is_refused(game: Harness) -> None:
    client = game.connect("Ann")
    with use_registry(Registry()):

        @command
        class Late:
            n: int = 0

        @command(hold=True)
        class LateState:
            n: int = 0

    with pytest.raises(UsageError, match=r"send\(\) got Late, which was declared after connect"):
        client.send(Late())
    with pytest.raises(UsageError, match=r"release\(\) got LateState, which was declared after"):
        client.release(LateState)


# The end.


def test_the_servers_end_is_the_last_event(game: Harness) -> None:
    client = game.connect("Ann")
    game.events(client).clear()
    game.host.close(Reason.SHUTDOWN, game.clock.now)
    game.clock.advance(0.1)
    assert client.poll() == [Disconnected("shutdown")]
    assert client.closed
    assert not client.connected
    assert client.poll() == []


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (Reason.SHUTDOWN, "shutdown: the server has ended"),
        (Reason.ERROR, "error: the server has failed; its own log says why"),
        (Reason.TIMEOUT, "timeout: nothing has come from the server for a while"),
        (Reason.ABUSE, "abuse: the server takes what we sent for no honest client's"),
        (Reason.SLOW, "slow: we take in too little of what is sent"),
        (Reason.KICKED, "kicked: the server has thrown us out"),
        (Reason.OVERLOAD, "overload"),  # the client's own, which has a detail
    ],
)
def test_the_log_says_in_a_sentence_why_it_ended(
    game: Harness, caplog: pytest.LogCaptureFixture, reason: Reason, says: str
) -> None:
    client = game.connect("Ann")
    game.host.close(reason, game.clock.now)
    game.clock.advance(0.1)
    assert client.poll()[-1] == Disconnected(reason.value)
    assert caplog.messages[-1].startswith(f"disconnected: {says}")


def test_a_server_that_fell_silent_is_given_up(game: Harness) -> None:
    client = game.connect("Ann")
    events: list[object] = []
    game.run(2)
    assert client.stats.silence < 0.5  # though nothing happens
    before = client.stats.silence
    for frame in range(1, 11 * 60):
        game.clock.advance(1 / 60)
        events += client.poll()
        if frame == 60:
            assert client.stats.silence == pytest.approx(before + 1)
    assert events == [Disconnected("timeout")]
    assert client.stats.silence == pytest.approx(10, abs=0.1)


def test_close_tells_the_server_and_empties_the_view(game: Harness) -> None:
    client, other = game.connect("Ann"), game.connect("Bob")
    with client.view:
        esper.create_entity("mine")
    with client as same:
        assert same is client
    assert client.closed
    with client.view:
        assert esper.get_component(Place) == []
        assert len(esper.get_component(str)) == 1
    client.close()
    assert client.poll() == []
    game.step(3)
    assert game.member(client) is None
    assert any(isinstance(event, Despawned) for event in game.events(other))


def test_the_goodbye_goes_past_a_bad_network(game: Harness) -> None:
    client = game.connect("Ann")
    client.link = link = Link(lag=5.0)
    client.close()
    assert client.link is link
    game.step(3)
    assert game.member(client) is None


# Figures.


def test_the_rate_is_what_went_by_since_it_was_measured_last() -> None:
    clock = ManualClock()
    end = Network(clock).connect()
    client = ClientWorld.over(end, world="rated", registry=registry, clock=clock)
    rates = []
    for seconds in (0.5, 0.5, 0.25, 1.75):
        before = client.stats.bytes_sent
        clock.advance(seconds)
        client.poll()
        rates.append((client.stats.rate, client.stats.bytes_sent, client.stats.bytes_sent - before))
    (first, sent, _), (second, then, _), (third, _, some), (last, total, more) = rates
    assert 0 < sent < then < total
    assert (first, second, third) == (0, then, then)  # of a second and more, and not of less
    assert last == (some + more) / 2
    client.close()
    client.view.close()


def test_figures_begin_at_0() -> None:
    stats = ClientStats()
    assert [getattr(stats, each.name) for each in fields(stats)] == [0] * len(fields(stats))


def test_what_is_said_in_a_title() -> None:
    stats = ClientStats(measured=True, rtt=0.048, loss=0.021, rate=4321.0, silence=1.99)
    assert str(stats) == "rtt 48 ms · loss 2 % · 4 kB/s"
    stats.ahead = 3.2
    assert str(stats) == "rtt 48 ms · loss 2 % · 4 kB/s · ahead 3 ticks"
    stats.delay = 1.7
    assert str(stats) == "rtt 48 ms · loss 2 % · 4 kB/s · ahead 3 · behind 2 ticks"
    stats.silence = 2.0
    assert str(stats) == "nothing from the server for 2 s"


def test_the_rate_is_that_of_the_last_second(game: Harness) -> None:
    client = game.connect("Ann")
    rates = []
    for _ in range(60 * 5):
        game.step()
        rates.append(client.stats.rate)
    assert sum(one != next_one for one, next_one in pairwise(rates)) in (4, 5)
    assert rates[-1] > 100


def test_stats_fit_a_window_title(game: Harness) -> None:
    link = Link(lag=0.05, loss=0.1, seed=1)
    client = game.connect("Ann", link)
    client.send(Steer(1))
    game.run(4)
    stats = client.stats
    assert stats.rtt == pytest.approx(0.1, abs=0.04)
    assert 0.01 < stats.loss < 0.4
    assert stats.rate > 100
    assert stats.bytes_sent > stats.datagrams_sent > 100
    assert stats.bytes_received > stats.datagrams_received > 50
    assert stats.confirmed_tick <= stats.tick <= game.simulation.tick
    assert stats.tick > game.simulation.tick - 20
    assert stats.commands_applied > 100
    assert stats.datagrams_rejected == 0
    assert stats.silence < 0.2
    figures = ClientStats(measured=True, rtt=0.048, loss=0.021, rate=4321.0)
    assert str(figures) == "rtt 48 ms · loss 2 % · 4 kB/s"
    figures.silence = 5.8
    assert str(figures) == "nothing from the server for 6 s"
    figures.silence = 0.0
    assert repr(figures).startswith("ClientStats(measured=True, rtt=0.048, jitter=0.0, loss=0.021,")


def test_a_round_trip_is_unknown_until_it_is_measured(game: Harness) -> None:
    client = game.connect("Ann", Link(lag=0.05), wait=None)
    stats = client.stats
    game.step(5)
    seen = (str(stats), stats.measured, stats.rtt, stats.jitter)
    assert seen == ("rtt ? · loss ? · 0 kB/s", False, 0.0, 0.0)
    game.until(lambda: stats.measured)
    assert str(stats).startswith("rtt 1")
    assert stats.rtt == pytest.approx(0.1, abs=0.04)


def test_there_is_no_silence_before_the_server_has_spoken() -> None:
    clock = ManualClock()
    client = ClientWorld.over(Network().connect(), world="silent", registry=registry, clock=clock)
    for _ in range(60):
        clock.advance(1 / 60)
        client.poll()
    assert client.stats.silence == 0
    client.close()
    client.view.close()


def test_its_own_link_delays_both_directions(game: Harness) -> None:
    client = game.connect("Ann")
    client.link = Link(lag=0.1, seed=1)
    game.run(8)
    assert client.stats.rtt > 0.2
    client.send(Steer(1))
    client.link = None
    game.run(1)
    assert client.connected


# Names and addresses.


class Udp(LinkEnd):
    """An end that nobody answers, as if it were a socket."""

    trouble: str | None = None

    def __init__(self) -> None:
        super().__init__(Network(), Link(), ("10.0.0.1", 1))


class FakeResolver:
    """A name that is looked up for some polls."""

    made: list[FakeResolver] = []

    def __init__(self, host: str, port: int) -> None:
        self.asked = (host, port)
        self.error: str | None = None
        self.addresses: list[object] | None = None
        FakeResolver.made.append(self)

    def poll(self) -> list[object] | None:
        return self.addresses


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    FakeResolver.made = []
    monkeypatch.setattr(uplink, "Resolver", FakeResolver)
    monkeypatch.setattr(uplink, "UdpClientSocket", lambda addresses: Udp())
    yield
    for name in ("named", "async"):
        if name in esper.list_worlds():
            esper.delete_world(name)


def test_looking_a_name_up_does_not_hold_a_poll_up(resolver: None) -> None:
    clock = ManualClock()
    client = ClientWorld.connect("example.org", 7777, world="named", registry=registry, clock=clock)
    (looking,) = FakeResolver.made
    assert looking.asked == ("example.org", 7777)
    clock.advance(30)
    assert client.poll() == []
    looking.addresses = ["an address"]
    clock.advance(1)
    assert client.poll() == []
    wire = client._connection._transport
    assert isinstance(wire, Udp)
    assert wire.sent == 1  # the time for an answer starts now
    client.close()


def test_a_look_up_that_never_ends_is_given_up(resolver: None) -> None:
    clock = ManualClock()
    client = ClientWorld.connect("example.org", 7777, world="named", registry=registry, clock=clock)
    events: list[object] = []
    for _ in range(21 * 10):
        clock.advance(0.1)
        events += client.poll()
    (event,) = events
    assert isinstance(event, Refused)
    assert event.reason == "unreachable"
    assert "which address the server's name stands for" in event.message
    assert client.closed


def test_a_gap_between_two_polls_counts_as_a_quarter_of_a_second_of_the_look_up(
    resolver: None,
) -> None:
    clock = ManualClock()
    client = ClientWorld.connect("example.org", 7777, world="named", registry=registry, clock=clock)
    for _ in range(80):
        clock.advance(1)
        assert client.poll() == []  # twenty seconds, and not more
    clock.advance(1)
    (event,) = client.poll()
    assert isinstance(event, Refused)


def test_who_was_given_a_name_gets_in_once_its_address_is_known(
    resolver: None, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network()
    clock = network.clock
    host = world.server.make_host(network.send, clock.now, environment={})
    monkeypatch.setattr(uplink, "UdpClientSocket", lambda addresses: network.connect())
    client = ClientWorld.connect("example.org", world="named", registry=registry, clock=clock)
    for frame in range(180):
        if frame == 120:
            FakeResolver.made[0].addresses = ["an address"]
        network.run(1 / 60)
        host.receive_datagrams(network.receive(), clock.now)
        host.tick(clock.now)
        client.poll()
        assert frame >= 120 or not network.links
    assert client.connected
    client.close()
    host.close(Reason.SHUTDOWN, clock.now)


def test_a_name_that_is_none_is_an_event(resolver: None) -> None:
    client = ClientWorld.connect("nowhere.invalid", world="named", registry=registry)
    FakeResolver.made[0].error = "no such name"
    (event,) = client.poll()
    assert event == Refused("unreachable", "no such name")
    assert client.poll() == []


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ("cannot send to 10.9.8.7: Network is unreachable", "cannot send to 10.9.8.7: Network is"),
        (None, "nobody answers there: is the server running"),
    ],
)
def test_nobody_answers_says_whether_anything_was_sent(
    resolver: None, trouble: str | None, says: str
) -> None:
    clock = ManualClock()
    client = ClientWorld.connect("10.9.8.7", world="named", registry=registry, clock=clock)
    FakeResolver.made[0].addresses = ["an address"]
    assert client.poll() == []
    wire = client._connection._transport
    assert isinstance(wire, Udp)
    wire.trouble = trouble
    events: list[object] = []
    for _ in range(60):
        clock.advance(0.5)
        events += client.poll()
    (event,) = events
    assert isinstance(event, Refused)
    assert event.reason == "unreachable"
    assert event.message.startswith(says)


@pytest.mark.parametrize(
    ("host", "options", "says"),
    [
        ("", {}, "give the name or the address"),
        (None, {}, "give the name or the address"),
        (7777, {}, "give the name or the address"),
        ("a\nb", {}, "give the name or the address"),
        ("host", {"port": 0}, r"connect\('host', 0\): a port is a number from 1 to 65535"),
        ("host", {"port": 65536}, "a port is a number"),
        ("host", {"port": "7820"}, r"connect\('host', '7820'\): a port is a number"),
        ("host", {"port": True}, "a port is a number"),
        ("host", {"name": ""}, "name="),
        ("host", {"name": "x" * 25}, "1 to 24 printable"),
        ("host", {"name": None}, "name=None: a player's name is"),
        ("host", {"world": 3}, "world=3: give the name of an esper world"),
        ("host", {"link": 0.1}, r"link=0.1: give a Link, as in net.Link\(lag=0.1\), or None"),
    ],
)
def test_what_cannot_be_is_refused_at_connect(
    resolver: None, host: str, options: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        ClientWorld.connect(host, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "instead"),
    [
        ("127.0.0.1:7778", "'127.0.0.1', 7778"),
        ("example.org:", "'example.org', 7777"),
        ("example.org:http", "'example.org', 7777"),
        ("[::1]:7778", "'::1', 7778"),
        ("[::1]", "'::1', 7777"),
    ],
)
def test_the_port_is_a_parameter_of_its_own(resolver: None, host: str, instead: str) -> None:
    with pytest.raises(UsageError) as caught:
        ClientWorld.connect(host)
    assert str(caught.value) == (
        f"connect({host!r}): the port is a parameter of its own: connect({instead})"
    )
    assert FakeResolver.made == []


@pytest.mark.parametrize("host", ["::1", "fe80::1%eth0", "2001:db8::5:1", "::ffff:10.0.0.1"])
def test_an_address_of_ipv6_is_none_with_a_port(resolver: None, host: str) -> None:
    ClientWorld.connect(host, world="named", registry=registry).close()
    assert FakeResolver.made[0].asked == (host, 7777)


def test_an_async_program_waits_a_time_that_can_be(resolver: None) -> None:
    for interval in (-1, "soon", float("nan")):
        with pytest.raises(UsageError, match=r"connect_async\(interval=.*\): give seconds"):
            asyncio.run(ClientWorld.connect_async("host", interval=interval))  # type: ignore[arg-type]
    assert FakeResolver.made == []


def test_an_async_program_may_wait_for_a_second_between_polls(
    resolver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poll(self: ClientWorld) -> None:
        self._protocol.connected_as = 3

    monkeypatch.setattr(ClientWorld, "_poll", poll)

    async def main(interval: float) -> ClientWorld:
        return await ClientWorld.connect_async("host", world="async", interval=interval)

    asyncio.run(main(1.0)).close()
    with pytest.raises(UsageError, match=r"from 0 to 1$"):
        asyncio.run(main(1.001))


def test_an_async_program_that_is_cancelled_leaves_no_client(resolver: None) -> None:
    async def main() -> None:
        connect = ClientWorld.connect_async("host", world="async", clock=ManualClock(), interval=0)
        connecting = asyncio.ensure_future(connect)
        await asyncio.sleep(0)
        assert showing("async") is not None
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    asyncio.run(main())
    assert showing("async") is None


def test_a_connect_that_failed_can_be_tried_again_at_once() -> None:
    try:
        ClientWorld.over(Network().connect(), world="again", name="", registry=registry)
    except UsageError:
        client = ClientWorld.over(Network().connect(), world="again", name="Ann", registry=registry)
    client.close()
    client.view.close()


def test_a_link_is_one_or_none(game: Harness) -> None:
    client = game.connect("Ann")
    with pytest.raises(UsageError, match="link=150: give a Link"):
        client.link = 150  # type: ignore[assignment]
    assert client.link is None
    client.link = link = Link()
    assert client.link is link


def test_the_reason_of_a_refusal_is_plain_text(resolver: None) -> None:
    clock = ManualClock()
    unknown = ClientWorld.connect("nowhere.invalid", world="named", registry=registry)
    FakeResolver.made[0].error = "no such name"
    silent = ClientWorld.over(Network().connect(), world="async", registry=registry, clock=clock)
    events = unknown.poll()
    for _ in range(600):
        clock.advance(1 / 60)
        events += silent.poll()
    assert [type(event.reason) for event in events if isinstance(event, Refused)] == [str, str]
    assert repr(events[0]).startswith("Refused(reason='unreachable', message=")


def test_without_anything_to_connect_to_it_waits() -> None:
    client = ClientWorld(world="nothing", registry=registry)
    assert client.poll() == []
    assert not client.interpolation
    client.close()
    client.view.close()


@pytest.mark.parametrize("first", [[], [Spawned(1)]])
@pytest.mark.parametrize(
    ("event", "error"),
    [
        (Refused("full", "the server is full"), RefusedError),
        (Disconnected("timeout", "it is gone: timeout"), DisconnectedError),
    ],
)
def test_an_async_program_gets_exceptions(
    resolver: None,
    monkeypatch: pytest.MonkeyPatch,
    event: object,
    error: type[Exception],
    first: list[object],
) -> None:
    polls: list[list[object]] = [[], first, [event]]

    def poll(client: ClientWorld) -> None:
        client._protocol.notifications += polls.pop(0)

    monkeypatch.setattr(ClientWorld, "_poll", poll)

    async def main() -> None:
        await ClientWorld.connect_async("host", world="async", interval=0)

    with pytest.raises(error, match=event.reason) as caught:  # type: ignore[union-attr]
        asyncio.run(main())
    assert caught.value.message == event.message  # type: ignore[attr-defined]
    assert polls == []


def test_an_async_program_gets_a_client_that_is_in(
    resolver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poll(self: ClientWorld) -> None:
        self._protocol.connected_as = 3

    monkeypatch.setattr(ClientWorld, "_poll", poll)

    async def main() -> ClientWorld:
        return await ClientWorld.connect_async("host", world="async")

    client = asyncio.run(main())
    assert client.connected
    client.close()


def test_the_view_is_the_world_that_was_current() -> None:
    client = ClientWorld.over(Network().connect(), registry=registry)
    assert client.view.name == esper.current_world
    with pytest.raises(UsageError, match="shows another client already"):
        ClientWorld.over(Network().connect(), world=client.view.name, registry=registry)
    client.close()


def test_a_world_shows_one_client_at_a_time() -> None:
    first = ClientWorld.connect("127.0.0.1", 9, world="one at a time")
    with pytest.raises(UsageError, match="shows another client already"):
        ClientWorld.connect("127.0.0.1", 9, world="one at a time")
    first.close()
    ClientWorld.connect("127.0.0.1", 9, world="one at a time").close()


def test_a_world_shows_a_client_until_that_is_closed() -> None:
    client = ClientWorld.over(Network().connect(), world="a while", registry=registry)
    assert showing("a while") is client
    client.close()
    assert showing("a while") is None
    client.view.close()


def test_a_link_counts_from_the_first_datagram_on() -> None:
    link = Link(lag=1.0)
    clock = ManualClock()
    end = Network(clock).connect()
    client = ClientWorld.over(end, world="linked", registry=registry, link=link, clock=clock)
    assert client.link is link
    client.poll()
    clock.advance(0.9)
    client.poll()
    assert end.sent == 0
    clock.advance(0.2)
    client.poll()
    assert end.sent > 0
    client.close()
    client.view.close()


def test_players_see_it_smooth_and_bots_see_the_newest(
    resolver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poll(self: ClientWorld) -> None:
        self._protocol.connected_as = 3

    connected = ClientWorld.connect("host", world="named", registry=registry)
    over = ClientWorld.over(Network().connect(), world="async", registry=registry)
    assert (connected.interpolation, over.interpolation) == (True, True)
    connected.close()
    over.close()
    monkeypatch.setattr(ClientWorld, "_poll", poll)
    bot = asyncio.run(ClientWorld.connect_async("host", world="async", registry=registry))
    assert not bot.interpolation
    bot.close()


def test_the_game_of_a_client_is_one() -> None:
    clock = ManualClock()
    end = Network(clock).connect()
    for wrong in (3, "game", ServerWorld, registry):
        with pytest.raises(UsageError, match=r"^game=.*: give the game, a ServerWorld, whose"):
            ClientWorld.over(end, world="odd", game=wrong, clock=clock)  # type: ignore[arg-type]
    with use_registry(registry):
        server = ServerWorld()
    client = ClientWorld.over(end, world="odd", registry=registry, game=server, clock=clock)
    client.close()
    client.view.close()
