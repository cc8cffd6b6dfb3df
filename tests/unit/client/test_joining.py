"""The way into a game: it has an end, whatever a server does, and what is sent on it arrives."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Annotated

import esper
import pytest

from ecsnet.client.world import ClientWorld
from ecsnet.connection.plain import CHALLENGE
from ecsnet.errors import UsageError
from ecsnet.messages.joining import SchemaOffer, Welcome
from ecsnet.notifications import Connected, Disconnected, Refused, Spawned
from ecsnet.replication.encoding import encode_structure
from ecsnet.schema import (
    Between,
    EntityRef,
    MaxLen,
    Registry,
    command,
    encode,
    replicated,
    use_registry,
)
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.simulation.simulation import commands, tick
from ecsnet.testing import Harness
from ecsnet.transport.address import Address
from ecsnet.transport.conditioner import Direction, Link
from tests.unit.hostile_server import HostileServer, is_over, run_of

with use_registry(Registry()) as registry:

    @replicated
    class Tank:
        hp: int = 10

    @command
    class Join:
        team: Annotated[str, MaxLen(80)] = ""
        beside: EntityRef = None

    @command(hold=True)
    class Steer:
        dx: Annotated[int, Between(-9, 9)] = 0

    @command(hold=True)
    class Aim:
        angle: int = 0


class Seen:
    """A server, and the commands that its systems saw, with their ticks."""

    def __init__(self) -> None:
        self.joined: list[tuple[int, str]] = []
        self.steered: list[tuple[int, int]] = []
        self.aimed: list[tuple[int, int]] = []
        with use_registry(registry):
            self.server = ServerWorld(seed=1)
        self.server.system(self.look)

    def look(self, dt: float) -> None:
        self.joined += [(tick(), join.team) for _, join in commands(Join)]
        self.steered += [(tick(), steer.dx) for _, steer in commands(Steer)]
        self.aimed += [(tick(), aim.angle) for _, aim in commands(Aim)]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def game(seen: Seen) -> Iterator[Harness]:
    with Harness(seen.server) as made:
        yield made


# What is sent before the player is in.


@pytest.mark.parametrize("link", [Link(), Link(lag=0.2, jitter=0.05, loss=0.3, seed=4)])
def test_what_is_sent_before_connected_comes_with_the_first_tick(
    seen: Seen, game: Harness, link: Link
) -> None:
    client = game.connect("Ann", link, wait=None)
    client.send(Join("red"))
    client.send(Steer(1))
    client.send(Join("with a hat"))
    client.send(Steer(2))  # of a state the last one counts
    client.send(Aim(7))
    game.until(lambda: client.connected, 9)
    game.run(2.0)
    assert [team for _, team in seen.joined] == ["red", "with a hat"]
    assert seen.joined[0][0] == seen.joined[1][0]
    assert {dx for _, dx in seen.steered} == {2}
    assert {angle for _, angle in seen.aimed} == {7}
    assert min(seen.steered)[0] <= seen.joined[0][0]
    game.run(1.0)
    stats = client.stats
    assert stats.commands_expired == stats.commands_rejected == 0
    assert stats.commands_applied > 10


def test_of_many_actions_the_first_eight_are_kept_and_the_rest_counted(
    seen: Seen, game: Harness
) -> None:
    client = game.connect("Ann", wait=None)
    for number in range(6):
        client.send(Join(f"{number}"))
    game.step()
    for number in range(6, 12):
        client.send(Join(f"{number}"))
    game.step()
    assert client.stats.commands_expired == 4  # told before there is a connection
    game.until(lambda: client.connected)
    game.run(1.0)
    assert [team for _, team in seen.joined] == [str(number) for number in range(8)]
    assert len({when for when, _ in seen.joined}) == 1
    stats = client.stats
    assert (stats.commands_sent, stats.commands_applied, stats.commands_expired) == (12, 8, 4)


def test_what_was_sent_before_connected_takes_no_room_from_what_is_sent_then(
    seen: Seen, game: Harness
) -> None:
    client = game.connect("Ann", wait=None)
    for number in range(8):
        client.send(Join(f"{number}"))
    while not client.connected:
        game.step()
    client.send(Join("now"))
    game.run(1.0)
    assert [team for _, team in seen.joined] == [*map(str, range(8)), "now"]


def test_eight_long_actions_before_connected_all_arrive_in_order(seen: Seen, game: Harness) -> None:
    client = game.connect("Ann", wait=None)
    teams = [f"{number}" * 80 for number in range(8)]
    for team in teams:
        client.send(Join(team))
    game.until(lambda: client.connected)
    game.run(1.0)
    assert [team for _, team in seen.joined] == teams
    assert client.stats.commands_expired == 0


def test_a_state_let_go_before_connected_is_not_held(seen: Seen, game: Harness) -> None:
    client = game.connect("Ann", wait=None)
    client.send(Steer(1))
    client.send(Aim(3))
    client.release(Steer)
    game.until(lambda: client.connected)
    game.run(1.0)
    assert seen.steered == []
    assert seen.aimed


def test_what_names_an_entity_before_there_are_any_is_rejected(seen: Seen, game: Harness) -> None:
    client = game.connect("Ann", wait=None)
    client.send(Join("red"), entity=5)
    client.send(Join("blue", beside=5))
    game.step()
    assert client.stats.commands_rejected == 1
    game.until(lambda: client.connected)
    game.run(1.0)
    assert [team for _, team in seen.joined] == ["blue"]


def test_misuse_before_connected_raises_as_ever(game: Harness) -> None:
    client = game.connect("Ann", wait=None)
    for wrong in (lambda: client.send(Steer(10)), lambda: client.send(Tank())):
        with pytest.raises(UsageError):
            wrong()
    with pytest.raises(UsageError, match="give the number of an entity"):
        client.send(Join(), entity="me")  # type: ignore[arg-type]


def test_after_the_end_nothing_is_sent_or_counted(seen: Seen, game: Harness) -> None:
    client = game.connect("Ann", wait=None)
    client.close()
    client.send(Join("red"))
    client.send(Join("red"), 5)
    client.release(Steer)
    game.run(1.0)
    assert seen.joined == []
    assert (client.stats.commands_sent, client.stats.commands_rejected) == (0, 0)


# An asyncio program.


def test_connect_async_takes_what_connect_takes() -> None:
    def parameters(function: Callable[..., object]) -> dict[str, object]:
        return {p.name: p.default for p in inspect.signature(function).parameters.values()}

    asynchronous = parameters(ClientWorld.connect_async)
    assert asynchronous.pop("interval") == 0.01
    connect = parameters(ClientWorld.connect)
    # It is for bots, who want the newest at once.
    assert (asynchronous.pop("smooth"), connect.pop("smooth")) == (False, True)
    assert asynchronous == connect
    assert connect["debug"] is False
    over = parameters(ClientWorld.over)
    assert over.pop("smooth") is True
    assert {name: over[name] for name in connect.keys() - {"host", "port"}} == {
        name: default for name, default in connect.items() if name not in ("host", "port")
    }


def test_the_first_poll_after_connect_async_tells_what_there_is(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dials a harness: `connect` is told to go there."""
    with Harness(seen.server) as game:
        with game.world:
            for _ in range(3):
                esper.create_entity(Tank())
        asked: dict[str, object] = {}

        def connect(cls: type[ClientWorld], host: str, port: int, **options: object) -> ClientWorld:
            asked.update(options)
            client = game.connect("Ann", wait=None)
            game.seats[client].polling = False
            return client

        monkeypatch.setattr(ClientWorld, "connect", classmethod(connect))
        link = Link()

        async def play() -> ClientWorld:
            async def tick() -> None:
                while True:
                    game.step()
                    await asyncio.sleep(0)

            ticking = asyncio.ensure_future(tick())
            try:
                return await ClientWorld.connect_async(
                    "here", 7, link=link, debug=True, registry=registry, interval=0
                )
            finally:
                ticking.cancel()

        client = asyncio.run(play())
        assert asked["link"] is link
        assert asked["debug"] is True
        assert asked["registry"] is registry
        assert client.connected
        events = client.poll()
        assert events[0] == Connected(client.player or 0)
        assert [type(event) for event in events].count(Connected) == 1
        spawned = [event.entity for event in events if isinstance(event, Spawned)]
        for _ in range(10):
            game.step()
            spawned += [event.entity for event in client.poll() if isinstance(event, Spawned)]
        with client.view:
            assert sorted(spawned) == sorted(esper._entities)
        assert len(spawned) == 4


# Servers that let nobody in.


@pytest.fixture
def server() -> Iterator[HostileServer]:
    made = HostileServer(registry)
    yield made
    made.close()


def until_over(server: HostileServer, say: Callable[[], object], seconds: float) -> object:
    """Let a server say something in each frame until the client has had enough."""
    events: list[object] = []
    for _ in range(round(seconds * 60)):
        say()
        events += server.poll()
        if server.client.closed:
            assert is_over(events[-1])
            assert sum(map(is_over, events)) == 1
            return events[-1]
    raise AssertionError(f"still waiting after {seconds} s")


def test_accepted_and_then_nothing(server: HostileServer, caplog: pytest.LogCaptureFixture) -> None:
    """It acknowledges, and keeps the connection alive, and does not let us in."""
    server.accept()
    event = until_over(server, lambda: server.send(None), 12)
    assert isinstance(event, Refused)
    assert event.reason == "timeout"
    assert "did not let us in in time" in event.message
    assert event.message in caplog.text
    assert server.goodbye is Reason.TIMEOUT  # it is told


def test_a_stall_of_this_end_does_not_count_as_waiting(server: HostileServer) -> None:
    server.accept()
    server.clock.advance(60)  # a breakpoint, say
    server.send(None)
    for _ in range(60):
        server.send(None)
        server.poll()
    assert not server.client.closed
    server.welcome()
    assert server.client.connected


def test_actions_before_connected_take_no_room_where_no_tick_begins_with_it(
    server: HostileServer,
) -> None:
    client = server.client
    server.welcome(1)
    for tick_of_server in range(101, 140):
        server.send((7, tick_of_server, 0, 2, 0, None, []))
        server.poll()
    for number in range(8):
        client.send(Join(f"{number}"))
    server.say(encode_structure(7, 139, [], [], [], [run_of(registry, Tank, 1, [3])]))
    server.network.run(0)
    client.poll()
    assert client.connected
    for number in range(8):
        client.send(Join(f"then {number}"))


def test_welcome_and_never_the_player(server: HostileServer) -> None:
    server.accept()
    server.say(encode(Welcome(7, 5, 1, 60.0, 60.0, 100)))
    ticks = iter(range(101, 10_000))

    def say() -> None:
        server.say(encode_structure(7, next(ticks), [], [], [], [run_of(registry, Tank, 9, [3])]))

    event = until_over(server, say, 12)
    assert isinstance(event, Refused)
    assert event.reason == "timeout"


@pytest.mark.parametrize("delay", range(4))
@pytest.mark.parametrize("others", [0, 3000])
def test_a_player_that_the_game_deletes_soon_is_connected_all_the_same(
    delay: int, others: int
) -> None:
    """Before the client was shown it, or after."""
    with use_registry(registry):
        server = ServerWorld(seed=1)
    joined: list[tuple[int, int]] = []
    server.on_join(lambda player: joined.append((tick(), player)))
    with Harness(server) as game:
        with game.world:
            for _ in range(others):
                esper.create_entity(Tank())
        client = game.connect("Ann", Link(lag=0.05, jitter=0.02, loss=0.2, seed=delay), wait=None)
        while not joined or game.simulation.tick < joined[0][0] + delay:
            game.step()
        game.world.delete(joined[0][1])
        game.until(lambda: client.connected, 3)
        game.run(2.0)
        assert client.player is None
        assert [type(event) for event in game.events(client)].count(Connected) == 1
        assert game.compare(client)


def test_a_player_among_many_is_shown_before_connected() -> None:
    with use_registry(registry):
        server = ServerWorld(seed=1, bandwidth=50_000)
    with Harness(server) as game:
        with game.world:
            for _ in range(5000):
                esper.create_entity(Tank())
        client = game.connect("Ann", Link(lag=0.05, loss=0.2, seed=1))
        assert client.player
        assert Connected(client.player) in game.events(client)


def test_schema_offers_without_end(server: HostileServer) -> None:
    server.accept()
    event = until_over(server, lambda: server.say(encode(SchemaOffer(b"\x90"))), 5)
    assert isinstance(event, Refused)
    assert event.reason == "schema"  # that is what the player has to know
    assert len(server.heard) == 2  # Hello, and what differs, once


def test_a_schema_offer_and_no_goodbye(server: HostileServer) -> None:
    server.accept()
    server.say(encode(SchemaOffer(b"\x90")))
    event = until_over(server, lambda: server.send(None), 12)
    assert isinstance(event, Refused)
    assert event.reason == "schema"
    assert event.message.startswith("this game differs from the server's")


def test_challenges_without_end(server: HostileServer) -> None:
    """Each question is answered with a new one."""
    sent = 0

    def only_challenges(direction: Direction, data: bytes, _address: Address) -> list[bytes]:
        nonlocal sent
        sent += direction == "in"
        return [data] if direction == "out" or data[0] == CHALLENGE else []

    server.secretive = True
    server.network.tap = only_challenges
    event = until_over(server, lambda: None, 7)
    assert isinstance(event, Refused)
    assert event.reason == "unreachable"
    assert "the server is there and does not let us in" in event.message
    assert sent > 5


# Servers that send invalid data.


def garbage(server: HostileServer, kind: str) -> bytes:
    connection, peer = server.connection, server.peer
    assert connection is not None
    if kind == "packets":
        return connection.seal(b"\xc1 is no packet")
    if kind == "acks":
        return connection.seal(encode((peer.session.packets_sent + 1 & 0xFFFF, 30_000, 0, None)))
    if kind == "fragments":
        piece = (60_000, b"x", 3, 2)
        packet = (peer.session.packets_sent + 1 & 0xFFFF, 0, 0, None, [piece], 0, None)
        return connection.seal(encode(packet))
    if kind == "updates":
        return connection.seal(peer.session.send(["not", "an", "update"], server.clock.now))
    cid = registry.schema().cid_of[Tank]
    contradiction = ([1, 1], [(cid, [[1]])])  # two entities, one value
    return connection.seal(
        peer.session.send((7, 200, 0, 0, 0, None, [contradiction]), server.clock.now)
    )


@pytest.mark.parametrize("kind", ["packets", "acks", "fragments", "updates", "contradictions"])
def test_a_server_that_sends_invalid_data_is_left(
    server: HostileServer, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.welcome()
    assert server.client.connected
    said = 0

    def say() -> None:
        nonlocal said
        said += 1
        server.deliver(garbage(server, kind))

    event = until_over(server, say, 5)
    assert event == Disconnected("abuse")
    assert said <= 10
    assert server.goodbye is Reason.ABUSE
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.getMessage() == (
        "disconnected: abuse: the server sent invalid data again and again"
    )


def test_invalid_data_before_the_welcome_ends_the_joining(server: HostileServer) -> None:
    server.accept()
    event = until_over(server, lambda: server.deliver(garbage(server, "packets")), 5)
    assert isinstance(event, Refused)
    assert event.reason == "abuse"
    assert "invalid data" in event.message


def test_of_a_flood_of_invalid_data_only_the_beginning_is_read(server: HostileServer) -> None:
    server.welcome()
    for _ in range(20_000):
        server.deliver(b"\x06" + garbage(server, "packets")[1:])
    rejected = server.client._connection.peer.session.malformed
    server.poll()
    assert server.client.closed
    assert server.client._connection.peer.session.malformed - rejected < 10


def test_what_strangers_send_is_no_offence_of_the_servers(server: HostileServer) -> None:
    server.welcome()
    before = server.client.stats.datagrams_rejected
    for _ in range(500):
        server.deliver(b"whoever can send to our port can send this")
    server.poll()
    assert server.client.stats.datagrams_rejected == before + 500
    assert server.client.connected
    server.send((8, 200, 0, 0, 0, None, []))  # of another epoch
    for _ in range(20):
        server.send((8, 200, 0, 0, 0, None, []))
        server.poll()
    assert server.client.connected


class Broken(logging.Handler):
    """What a game sends its log lines with, while there is no network."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ConnectionError("no network")


@pytest.fixture
def broken_log() -> Iterator[None]:
    logger, handler = logging.getLogger("ecsnet.client"), Broken()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    logger.setLevel(level)


def run_past_errors(game: Harness, seconds: float) -> int:
    """Run, and return how often something was raised."""
    raised = 0
    until = game.clock.now + seconds
    while game.clock.now < until:
        try:
            game.step()
        except ConnectionError:
            raised += 1
    return raised


@pytest.mark.usefixtures("broken_log")
def test_no_event_is_lost_where_the_log_raises(game: Harness) -> None:
    client = game.connect("Ann", wait=None)
    assert run_past_errors(game, 1.0) == 1
    assert [type(event) for event in game.events(client)][:1] == [Connected]
    game.host.disconnect(next(iter(game.host.members.values())), Reason.KICKED, game.clock.now)
    assert run_past_errors(game, 1.0) == 1
    assert client.closed
    assert game.events(client)[-1] == Disconnected("kicked")
    assert client.poll() == []
