"""Hosting and playing in one process. The socket here is a list; the real ones are tested in
tests/socket.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import esper
import pytest

from ecsnet.client.connection import End
from ecsnet.client.world import ClientWorld
from ecsnet.errors import AddressInUseError, UsageError
from ecsnet.notifications import Connected, Disconnected, Refused, Spawned
from ecsnet.play import HostedTransport, join_instead, play
from ecsnet.schema import Registry, command, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.simulation.simulation import commands, tick
from ecsnet.testing import ManualClock, Network
from ecsnet.transport.address import Address
from ecsnet.transport.conditioner import Link
from ecsnet.transport.memory import MemoryServer
from ecsnet.world import World

with use_registry(Registry()) as registry:

    @replicated
    class Square:
        x: float = 0.0

    @command
    class Push:
        by: float = 0.0


# The package's own `play` is the function.
MODULE = sys.modules[play.__module__]


class Socket(Network):
    """A network in place of a server's socket."""

    taken = False
    made: list[Socket] = []

    def __init__(self, host: str, port: int) -> None:
        if Socket.taken:
            raise AddressInUseError(f"port {port} is in use")
        super().__init__()
        self.address = (host, port)
        Socket.made.append(self)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[ManualClock]:
    made = ManualClock()
    monkeypatch.setattr(MODULE, "UdpServerSocket", Socket)
    monkeypatch.setattr(MODULE, "time", SimpleNamespace(perf_counter=made))
    Socket.made, Socket.taken = [], False
    yield made
    for world in esper.list_worlds():
        if world != "default":
            esper.delete_world(world)
    esper.clear_database()


@pytest.fixture
def game() -> ServerWorld:
    with use_registry(registry):
        server = ServerWorld(tick_rate=60, seed=1)

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Square())

    @server.system
    def push(dt: float) -> None:
        for player, by in commands(Push):
            esper.component_for_entity(player, Square).x += by.by

    return server


def start(server: ServerWorld, **options: object) -> ClientWorld:
    with use_registry(registry):
        return play(server, **options)  # type: ignore[arg-type]


def frames(client: ClientWorld, clock: ManualClock, count: int = 30) -> list[object]:
    events: list[object] = []
    for _ in range(count):
        clock.advance(1 / 60)
        events += client.poll()
    return events


def test_the_first_one_hosts_and_plays_through_bytes_in_memory(
    clock: ManualClock, game: ServerWorld
) -> None:
    with start(game, port=7000, name="Ann") as client:
        (socket,) = Socket.made
        assert socket.address == ("0.0.0.0", 7000)
        events = frames(client, clock)
        assert events == [Connected(client.player or 0), Spawned(client.player or 0)]
        client.send(Push(2.5))
        frames(client, clock)
        assert esper.get_component(Square) == [(client.player, Square(2.5))]
        wire = client._connection._transport
        assert isinstance(wire, HostedTransport)
        # The host's world is another one, and shares no objects.
        (room,) = wire.host.rooms
        ((_, square),) = room.simulation.world.structure(Square)
        assert square == Square(2.5)
        assert square is not esper.get_component(Square)[0][1]
        assert socket.dropped == 0  # nothing was sent
    assert socket.closed
    assert wire.host.closed
    assert esper.get_component(Square) == []


def test_others_reach_the_host_through_its_socket(
    clock: ManualClock, game: ServerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    host = start(game)
    (socket,) = Socket.made

    member = ClientWorld.over(
        socket.connect(), name="Bob", world="bob", registry=registry, clock=clock
    )
    events: list[object] = []
    for _ in range(60):
        frames(host, clock, 1)
        events += member.poll()
    assert Connected(member.player or 0) in events
    assert len(esper.get_component(Square)) == 2
    host.close()
    events = list(member.poll())
    assert events[-1] == Disconnected("shutdown")
    assert caplog.messages == [
        "disconnected: shutdown: the server has ended"
    ]  # a warning: it can be seen
    member.close()


@pytest.mark.parametrize(
    ("bound", "outgoing", "line"),
    [
        (("0.0.0.0", 7777), "192.168.1.5", "ecsnet join game.py 192.168.1.5"),
        (("0.0.0.0", 7001), "192.168.1.5", "ecsnet join game.py 192.168.1.5:7001"),
        (("::", 7777, 0, 0), "192.168.1.5", "ecsnet join game.py 192.168.1.5"),
        (("10.1.2.3", 7777), None, "ecsnet join game.py 10.1.2.3"),
        (("2001:db8::5", 7001, 0, 0), None, "ecsnet join game.py [2001:db8::5]:7001"),
        (("0.0.0.0", 7777), None, "on port 7777 of this machine: start the game again to join it"),
        (("0.0.0.0", 7777), "127.0.0.1", "on port 7777 of this machine"),
        (("127.0.0.1", 7001), "192.168.1.5", "on port 7001 of this machine"),
        (("::1", 7001, 0, 0), "192.168.1.5", "on port 7001 of this machine"),
    ],
)
def test_who_hosts_is_told_what_the_others_type(
    clock: ManualClock,
    game: ServerWorld,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    bound: Address,
    outgoing: str | None,
    line: str,
) -> None:
    class Bound(Socket):
        def __init__(self, host: str, port: int) -> None:
            super().__init__(host, port)
            self.address = bound

    monkeypatch.setattr(MODULE, "UdpServerSocket", Bound)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/home/ada/game.py", raising=False)
    monkeypatch.setattr("ecsnet.transport.address.socket", WayOut(outgoing))
    start(game).close()
    out, err = capsys.readouterr()
    assert out.startswith("hosting")
    assert out.count("\n") == 1
    assert line in out
    assert ("with a copy of this game" in out) is ("ecsnet join" in out)
    assert err == ""


class WayOut:
    """What a machine says of its way out, in place of the module ``socket``."""

    AF_INET, AF_INET6, SOCK_DGRAM = 1, 2, 3

    def __init__(self, outgoing: str | None) -> None:
        self._outgoing = outgoing

    def socket(self, family: int, kind: int) -> WayOut:
        return self

    def __enter__(self) -> WayOut:
        return self

    def __exit__(self, *_: object) -> None: ...

    def connect(self, address: tuple[str, int]) -> None:
        if self._outgoing is None:
            raise OSError("Network is unreachable")

    def getsockname(self) -> tuple[str, int]:
        assert self._outgoing is not None
        return self._outgoing, 40_000


def test_a_game_in_a_folder_is_named_by_it(
    clock: ManualClock,
    game: ServerWorld,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("ecsnet.transport.address.socket", WayOut("10.0.0.2"))
    for file, name in (
        ("/home/ada/pong/__main__.py", "pong"),
        ("/home/ada/my game.py", "'my game.py'"),
        (None, "GAME.py"),
    ):
        monkeypatch.setattr(sys.modules["__main__"], "__file__", file, raising=False)
        start(game).close()
        assert f"ecsnet join {name} 10.0.0.2\n" in capsys.readouterr().out


def test_who_joins_or_plays_alone_or_wants_quiet_is_told_nothing(
    clock: ManualClock,
    game: ServerWorld,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start(game, quiet=True).close()
    assert len(Socket.made) == 1
    start(game, offline=True).close()
    client = ClientWorld.over(MemoryServer().connect(), registry=registry, clock=clock)
    monkeypatch.setattr(ClientWorld, "connect", lambda *_, **__: client)
    start(game, join="10.1.2.3")
    Socket.taken = True
    start(game)
    client.close()
    assert capsys.readouterr().out == ""


def test_a_game_whose_output_nobody_reads_is_hosted(
    clock: ManualClock, game: ServerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        tried = 0

        def write(self, text: str) -> None:
            Broken.tried += 1
            raise BrokenPipeError

    for out in (Broken(), None):
        monkeypatch.setattr(sys, "stdout", out)
        with start(game) as client:
            assert any(isinstance(event, Connected) for event in frames(client, clock))
    assert Broken.tried


def test_with_the_port_taken_it_joins_the_game_there(
    clock: ManualClock, game: ServerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[tuple[object, ...]] = []

    client = ClientWorld.over(MemoryServer().connect(), registry=registry, clock=clock)

    def connect(host: str, port: int, **options: object) -> object:
        joined.append((host, port, options))
        return client

    monkeypatch.setattr(ClientWorld, "connect", connect)
    Socket.taken = True
    link = Link()
    options = {"name": "Bob", "data": Push(1.0), "link": link, "debug": True, "smooth": True}
    assert start(game, port=7001, **options) is client
    told = {**options, "game": game}
    assert joined == [("0.0.0.0", 7001, told)]
    # Somebody else's game, whether a port is free or not.
    given = {**options, "join": "10.1.2.3:99"}
    assert start(game, **given) is client
    assert start(game, join="10.1.2.3", port=7002) is client
    assert joined[1] == ("10.1.2.3", 99, told)
    assert joined[2][:2] == ("10.1.2.3", 7002)
    assert Socket.made == []
    # `ecsnet join` says so for a program that knows nothing of it.
    join_instead("example.org:5")
    try:
        start(game)
        start(game, join="10.1.2.3")
    finally:
        join_instead(None)
    assert [entry[:2] for entry in joined[3:]] == [("example.org", 5)] * 2
    with pytest.raises(UsageError, match="no address"):
        join_instead("host:port")
    client.close()


def test_offline_needs_no_socket(clock: ManualClock, game: ServerWorld) -> None:
    Socket.taken = True
    with start(game, offline=True) as client:
        assert any(isinstance(event, Connected) for event in frames(client, clock))
        # A datagram for somebody else goes nowhere.
        wire = client._connection._transport
        assert isinstance(wire, HostedTransport)
        wire._answer(b"x", ("10.0.0.9", 5000))
        wire.pin()
    with pytest.raises(UsageError, match="either join a game or play alone"):
        start(game, join="there", offline=True)


def test_a_port_that_something_else_holds_is_said_to_be_taken(
    clock: ManualClock, game: ServerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(host: str, port: int, **options: object) -> ClientWorld:
        # What holds the port is no game of ours: at the other end of this there is nobody.
        return ClientWorld.over(MemoryServer().connect(), registry=registry, clock=clock)

    monkeypatch.setattr(ClientWorld, "connect", connect)
    Socket.taken = True
    messages = []
    for options in ({"port": 7842}, {"join": "10.1.2.3"}):
        (event,) = frames(start(game, **options), clock, 600)
        assert isinstance(event, Refused)
        assert event.reason == "unreachable"
        messages.append(event.message)
    assert messages[0] == (
        "port 7842 is taken here, and what holds it does not answer as this game: use another"
        " port, play(server, port=…)"
    )
    assert messages[1].startswith("nobody answers there")


def joining_the_game_of(
    game: ServerWorld, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> HostedTransport:
    """What holds the port is this game; a `play` that finds it taken connects through memory."""
    wire = HostedTransport(game, None, clock)

    def connect(host: str, port: int, **options: object) -> ClientWorld:
        return ClientWorld.over(wire, world="joining", clock=clock)

    monkeypatch.setattr(ClientWorld, "connect", connect)
    Socket.taken = True
    return wire


@pytest.mark.parametrize(
    ("declare", "difference"),
    [
        ("class Coin:\n    worth: int = 1", "you have the component Coin, the server does not"),
        ("class Square:\n    x: int = 0", "server has Square.x: float, you have int"),
    ],
)
def test_another_game_on_the_port_is_said_to_hold_it(
    clock: ManualClock,
    game: ServerWorld,
    monkeypatch: pytest.MonkeyPatch,
    declare: str,
    difference: str,
) -> None:
    joining_the_game_of(game, clock, monkeypatch)
    names: dict[str, object] = {"replicated": replicated, "__name__": "another"}
    with use_registry(Registry()):
        exec(f"@replicated\n{declare}", names)
        client = play(ServerWorld(), port=7842)
        (event,) = frames(client, clock, 600)
    assert isinstance(event, Refused)
    assert event.reason == "schema"
    assert event.message == (
        f"another game holds port 7842 (this game differs from the server's: {difference}):"
        " end that one, or give this one another port, play(server, port=…); to play together,"
        " start the same version of one game"
    )


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (Reason.VERSION, "another game holds port 7842 (the server speaks another version of the"),
        (Reason.FULL, "the server is full"),
    ],
)
def test_a_refusal_on_a_taken_port_names_it_where_that_helps(
    clock: ManualClock,
    game: ServerWorld,
    monkeypatch: pytest.MonkeyPatch,
    reason: Reason,
    says: str,
) -> None:
    joining_the_game_of(game, clock, monkeypatch)
    client = start(game, port=7842)
    client._connection.end = End(reason)
    (event,) = frames(client, clock, 1)
    assert isinstance(event, Refused)
    assert event.message.startswith(says)


def test_the_server_knows_its_host_while_it_is_played(
    clock: ManualClock, game: ServerWorld
) -> None:
    assert game.host is None
    with start(game, offline=True) as client:
        frames(client, clock)
        clock.advance(1.0)  # a window that was dragged
        frames(client, clock)
        assert game.host is not None
        stats = game.host.stats()
        assert stats.clients == 1
        assert stats.dropped_ticks > 30
        with (
            World() as other,
            pytest.raises(UsageError, match="runs already: make a second one"),
        ):
            start(game, offline=True)
        other.close()
        with pytest.raises(UsageError, match="while the game runs"):
            game.system(lambda dt: None)
        assert game.host is not None
    assert game.host is None
    game.system(lambda dt: None)


def test_everybody_leaves_when_the_host_closes(clock: ManualClock, game: ServerWorld) -> None:
    left: list[object] = []

    @game.on_leave
    def leave(player: int) -> None:
        left.append((tick(), esper.component_for_entity(player, Square)))

    client = start(game, offline=True)
    frames(client, clock)
    assert game.host is not None
    last = game.host.stats().ticks
    client.close()
    client.close()
    assert left == [(last, Square(0.0))]


def test_what_a_hook_raises_at_the_end_comes_out_of_close(
    clock: ManualClock, game: ServerWorld
) -> None:
    @game.on_leave
    def leave(player: int) -> None:
        raise ZeroDivisionError("of all things")

    client = start(game)
    frames(client, clock)
    with pytest.raises(ZeroDivisionError, match="of all things"):
        client.close()
    assert client.closed
    assert Socket.made[0].closed
    client.close()


def test_play_says_what_it_takes(clock: ManualClock, game: ServerWorld) -> None:
    for wrong, message in (
        ("127.0.0.1", r"'127\.0\.0\.1': it takes .* play\(server, join='127\.0\.0\.1'\)"),
        (ServerWorld, r"make one, server = ServerWorld\(\)"),
        (None, r"play\(\) got None: .* server = net\.ServerWorld\(\)"),
    ):
        with pytest.raises(UsageError, match=message):
            start(wrong)  # type: ignore[arg-type]
    for options, message in (
        ({"port": "7820"}, "port='7820': give a number"),
        ({"port": "7820", "join": "here"}, "port='7820': give a number"),
        ({"port": 70_000}, "port 70000 is not between"),
        ({"join": 7820}, "7820 is no address"),
        ({"name": None}, "name=None: a player's name is a str"),
        ({"name": None, "offline": True}, "name=None: a player's name is a str"),
    ):
        with pytest.raises(UsageError, match=message):
            start(game, **options)
    assert all(socket.closed for socket in Socket.made)


def test_the_hosts_own_link_may_be_bad(clock: ManualClock, game: ServerWorld) -> None:
    link = Link(lag=0.05, loss=0.2, seed=3)
    with start(game, offline=True, link=link) as client:
        assert any(isinstance(event, Connected) for event in frames(client, clock, 120))
    assert link.stats.dropped > 5


def test_what_a_system_raises_comes_out_of_poll(clock: ManualClock, game: ServerWorld) -> None:
    client = start(game, offline=True)
    frames(client, clock)

    def broken(dt: float) -> None:
        raise ZeroDivisionError("of all things")

    wire = client._connection._transport
    assert isinstance(wire, HostedTransport)
    wire.host.rooms[0].simulation.add_system(broken, 0, "broken")
    with pytest.raises(ZeroDivisionError, match="of all things"):
        frames(client, clock)
    client.close()


@pytest.mark.parametrize("offline", [True, False])
def test_a_client_that_cannot_be_leaves_nothing_behind(
    clock: ManualClock, game: ServerWorld, offline: bool
) -> None:
    worlds = set(esper.list_worlds())
    with pytest.raises(UsageError, match="name="):
        start(game, offline=offline, name="  ")
    assert set(esper.list_worlds()) == worlds
    assert all(socket.closed for socket in Socket.made)


def test_a_host_that_cannot_be_leaves_no_socket(
    clock: ManualClock, game: ServerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_host(*arguments: object, **options: object) -> None:
        raise UsageError("not today")

    monkeypatch.setattr(game, "make_host", make_host)
    with pytest.raises(UsageError, match="not today"):
        start(game)
    assert Socket.made[0].closed
    with pytest.raises(UsageError, match="not today"):
        start(game, offline=True)


def test_closing_tells_the_host_that_its_player_left(clock: ManualClock, game: ServerWorld) -> None:
    client = start(game, offline=True)
    frames(client, clock)
    wire = client._connection._transport
    assert isinstance(wire, HostedTransport)
    (member,) = wire.host.members.values()
    client.close()
    assert member.peer.goodbye.reason is Reason.LEFT
    assert client.poll() == []
    client.close()


def test_servers_and_clients_meet_without_saying_a_port() -> None:
    calls = (
        play,
        ServerWorld.run,
        ServerWorld.serve,
        ClientWorld.connect,
        ClientWorld.connect_async,
    )
    ports = {
        call.__qualname__: inspect.signature(call).parameters["port"].default for call in calls
    }
    assert set(ports.values()) == {7777}, ports
