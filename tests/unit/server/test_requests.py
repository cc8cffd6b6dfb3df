"""`@server.on_request`: the game's own word on who may join, and what clients send along."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Annotated

import esper
import msgspec
import pytest

import ecsnet as net
from ecsnet.messages.joining import Hello
from ecsnet.schema import Registry, use_registry
from ecsnet.testing import FaultyLink, Harness
from ecsnet.transport.memory import MemoryServer

with use_registry(Registry()) as registry:

    @net.command
    class Login:
        password: Annotated[str, net.MaxLen(40)] = ""
        friend: net.EntityRef = None

    @net.replicated
    class Square:
        x: float = 0.0


def serving(**options: object) -> net.ServerWorld:
    with use_registry(registry):
        return net.ServerWorld(**options)  # type: ignore[arg-type]


@pytest.fixture
def server() -> net.ServerWorld:
    return serving()


@pytest.fixture
def game(server: net.ServerWorld) -> Iterator[Harness]:
    """A game whose hooks are added before the first use."""
    with Harness(server, registry=registry) as game:
        yield game


def refusal(game: Harness, name: str, data: object = None) -> net.Refused:
    """Let somebody try to join, and return why that is not to be."""
    client = game.connect(name, data=data, wait=None)
    game.until(lambda: client.closed)
    (event,) = game.events(client)
    assert isinstance(event, net.Refused)
    return event


def test_a_text_refuses_and_none_lets_in(server: net.ServerWorld) -> None:
    @server.on_request
    def judge(request: net.JoinRequest) -> str | None:
        return None if request.name == "Ann" else "Only Ann\nmay come.\u202e"

    with Harness(server, registry=registry) as game:
        ann = game.connect("Ann")
        assert refusal(game, "Bob") == net.Refused("declined", "Only Ann may come.")
        assert ann.connected
        assert list(game.simulation.player_entity) == [1]
        assert len(game.host.members) == 1
        assert game.host.stats().joined == 1


def test_a_refusal_without_a_text_has_a_sentence(server: net.ServerWorld) -> None:
    server.on_request(lambda request: "")
    with Harness(server, registry=registry) as game:
        assert refusal(game, "Bob") == net.Refused("declined", "the game does not let you in")


def test_a_hook_gets_what_the_client_sent_along(server: net.ServerWorld) -> None:
    requests: list[net.JoinRequest] = []

    @server.on_request
    def judge(request: net.JoinRequest) -> None:
        requests.append(request)

    with Harness(server, registry=registry) as game:
        ann = game.connect("Ann", data=Login("sesame", friend=5))
        game.connect("ann")
        first, second = requests
        assert first == net.JoinRequest("Ann", ann_address(game, ann), Login("sesame"))
        assert (second.name, second.data) == ("ann", None)


def ann_address(game: Harness, ann: net.ClientWorld) -> object:
    return game.seats[ann].address


def test_what_crosses_a_bad_network_is_asked_about_once(server: net.ServerWorld) -> None:
    asked: list[str] = []
    server.on_request(lambda request: asked.append(request.name))
    with Harness(server, registry=registry) as game:
        for number in range(20):
            link = FaultyLink(lag=0.05, jitter=0.03, loss=0.3, duplicate=0.2, seed=number)
            game.connect(f"Player {number}", link, data=Login("x" * 40))
        assert asked == [f"Player {number}" for number in range(20)]


def test_it_is_asked_before_there_is_a_seat_and_in_no_world(server: net.ServerWorld) -> None:
    seen: list[object] = []

    @server.on_request
    def judge(request: net.JoinRequest) -> str:
        seen.append((len(game.room.names), list(esper._entities), esper.current_world))
        return "no"

    with Harness(server, registry=registry) as game:
        refusal(game, "Ann")
        ((names, entities, world),) = seen  # type: ignore[misc]
        assert (names, entities) == (0, [])
        assert world != game.world.name
        assert world not in esper.list_worlds()


def test_another_game_and_a_bad_name_are_not_asked_about(server: net.ServerWorld) -> None:
    asked: list[str] = []
    server.on_request(lambda request: asked.append(request.name))
    with Harness(server, registry=Registry()) as game:  # the clients'
        assert refusal(game, "Ann").reason == "schema"
    assert asked == []


@pytest.mark.parametrize("answer", [5, True])
def test_where_errors_are_skipped_whoever_asked_is_refused(
    caplog: pytest.LogCaptureFixture, answer: object
) -> None:
    server = serving(on_error="skip")
    server.on_request(lambda request: answer if request.name == "Eve" else None)  # type: ignore[arg-type, return-value]
    with (
        caplog.at_level(logging.ERROR, "ecsnet.server"),
        Harness(server, registry=registry) as game,
    ):
        ann = game.connect("Ann")
        assert refusal(game, "Eve").reason == "error"
        assert refusal(game, "Eve").reason == "error"
        game.connect("Bob")
        assert ann.connected
        assert game.host.failure is None
    (message,) = caplog.messages
    assert "raised after tick" in message
    assert message.endswith("and the request is refused; not logged again")


def test_where_errors_stop_the_game_ends_as_for_another_hook(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = serving()

    asked: list[str] = []

    @server.on_request
    def judge(request: net.JoinRequest) -> None:
        asked.append(request.name)
        if request.name == "Eve":
            net.tick()

    with (
        caplog.at_level(logging.ERROR, "ecsnet.server"),
        Harness(server, registry=registry) as game,
    ):
        ann = game.connect("Ann")
        eve, bob = (game.connect(name, wait=None) for name in ("Eve", "Bob"))
        with pytest.raises(net.OutsideTickError):
            game.run(1)
        assert isinstance(game.host.failure, net.OutsideTickError)
        game.network.run(0.1)
        assert [event.reason for event in ann.poll()] == ["error"]  # type: ignore[attr-defined]
        assert [event.reason for event in eve.poll()] == ["error"]  # type: ignore[attr-defined]
        assert not bob.connected
        assert asked == ["Ann", "Eve"]  # nobody asks a game that has failed
    assert any("stopping" in message for message in caplog.messages)


def test_the_hooks_of_the_room_that_was_chosen_are_asked(server: net.ServerWorld) -> None:
    other = serving()
    server.on_request(lambda request: "not into this one")
    with Harness(server, registry=registry) as game:
        second = game.host.add_room(other.spec, game.clock.now)
        rooms = {"Ann": second}
        game.host.choose = lambda name: rooms.get(name, game.room)
        assert game.connect("Ann").connected
        assert refusal(game, "Bob").message == "not into this one"


@pytest.mark.parametrize(
    "data", [(0, b"\x91\x05"), (700, b"\x90"), (0, b"\x90" * 3), (0, b"\xa5hello")]
)
def test_data_that_no_honest_client_sends_is_a_strike(
    game: Harness, data: tuple[int, bytes]
) -> None:
    def forge(hello: Hello) -> bytes:
        forged = Hello(
            hello.wire_version, hello.fingerprint, hello.name, (data[0], msgspec.Raw(data[1]))
        )
        return msgspec.msgpack.encode(forged)

    eve = game.connect("Eve", wait=None)
    sound = msgspec.msgpack.decode(eve._connection._hello, type=Hello)
    eve._connection._hello = forge(sound)
    game.run(1)
    (member,) = game.host.members.values()
    assert member.peer.session.budget.strikes == 1
    assert game.room.seats == []
    for _ in range(4):
        eve._connection.peer.queue(forge(sound))
        game.run(0.2)
    assert [event.reason for event in game.events(eve)] == ["abuse"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("way", ["connect", "over", "harness", "async", "play"])
def test_data_is_looked_at_where_it_is_given(
    server: net.ServerWorld, way: str, game: Harness
) -> None:
    def connect(data: object) -> object:
        if way == "connect":
            return net.ClientWorld.connect("127.0.0.1", 9, data=data, registry=registry)
        if way == "over":
            return net.ClientWorld.over(MemoryServer().connect(), data=data, registry=registry)
        if way == "play":
            return net.play(serving(), offline=True, data=data)
        if way == "async":
            return net.ClientWorld.connect_async("127.0.0.1", 9, data=data).send(None)
        return game.connect(data=data)

    bad: dict[str, object] = {
        "connect(data=…) got Square, which is replicated, not a command (test_": Square(),
        "connect(data=…) got a class: pass an instance of it": Login,
        "connect(data=…) got str, which is not a command": "sesame",
        "connect(data=…) got Login.password: 5 is not str up to 40": Login(5),  # type: ignore[arg-type]
        "connect(data=…) got Login.friend: 'Bob' is not EntityRef": Login(friend="Bob"),  # type: ignore[arg-type]
    }
    with use_registry(Registry()):

        @net.command
        class Late:
            pass

    bad["connect(data=…) got Late, which was declared after connect(): import it before"] = Late()
    for message, data in bad.items():
        with use_registry(registry), pytest.raises(net.UsageError) as caught:
            connect(data)
        assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (5, "@server.on_request got 5: it goes above a function"),
        (lambda: None, "calls it as <lambda>(request): write lambda request: ..."),
    ],
)
def test_a_hook_that_cannot_be_called_is_refused(
    server: net.ServerWorld, hook: object, message: str
) -> None:
    with pytest.raises(net.UsageError) as caught:
        server.on_request(hook)  # type: ignore[type-var]
    assert message in str(caught.value)


def test_a_hook_that_would_run_later_is_refused(server: net.ServerWorld) -> None:
    with pytest.raises(
        net.UsageError, match=r"write a plain def judge\(request: net.JoinRequest\)"
    ):

        @server.on_request  # type: ignore[type-var]
        async def judge(request: net.JoinRequest) -> None: ...


def test_hooks_are_added_before_the_game_runs(server: net.ServerWorld) -> None:
    server.step()
    with pytest.raises(net.UsageError, match=r"@server\.on_request while the game runs"):
        server.on_request(lambda request: None)
