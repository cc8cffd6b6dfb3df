"""Calls: methods of a component that run on the other end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Literal

import esper
import pytest

import ecsnet as net
from ecsnet.components import Owner
from ecsnet.messages.joining import Welcome
from ecsnet.schema import CommandType, EventType, command_type, encode
from ecsnet.schema.registry import is_stock
from ecsnet.testing import Harness, Registry, use_registry
from tests.unit.hostile_server import EPOCH, HostileServer, run_of

with use_registry(Registry()) as registry:

    @net.event
    class Note:
        text: str

    @net.replicated
    class Knight:
        gold: int = 0
        log: ClassVar[list[tuple[object, ...]]] = []

        @net.rpc("server")
        def attack(
            self, kind: Literal["slash", "stab"], at: net.EntityRef = None, *, hard: bool = False
        ) -> None:
            """Attack somebody."""
            self.gold += 1
            self.log.append(("attack", net.entity_of(self), kind, at, hard))

        @net.rpc("server")
        def fail(self) -> None:
            self.log.append(("fail",))
            raise RuntimeError("a fault of the game's")

        @net.rpc("server")
        def die(self) -> None:
            esper.delete_entity(net.entity_of(self), immediate=True)

        @net.rpc("owner")
        def result(self, won: bool, /, foe: net.EntityRef = None) -> None:
            self.log.append(("result", esper.current_world, net.entity_of(self), won, foe))

        @net.rpc("all")
        def shout(self, text: str) -> None:
            self.log.append(("shout", esper.current_world, net.entity_of(self), text))
            if text == "fail":
                raise RuntimeError("a fault of the client's")

    @net.replicated
    class Baron(Knight):
        land: int = 0

        @net.rpc("all")
        def shout(self, text: str) -> None:
            super().shout.__wrapped__(self, f"Baron: {text}")  # type: ignore[attr-defined]


Game = Callable[[Callable[[], object]], None]


class Play:
    """A game with a knight for each player, whose next tick does what a test says."""

    def __init__(self, **options: Any) -> None:
        self.todo: list[Callable[[], object]] = []
        with use_registry(registry):
            server = net.ServerWorld(**options)
        server.on_join(lambda player: esper.add_component(player, Knight()))
        server.add_system(self.act)
        self.server = server

    def act(self, dt: float) -> None:
        todo, self.todo = self.todo, []
        for do in todo:
            do()


@pytest.fixture(autouse=True)
def log() -> Iterator[list[tuple[object, ...]]]:
    Knight.log.clear()
    yield Knight.log
    Knight.log.clear()


@pytest.fixture
def play() -> Play:
    return Play()


@pytest.fixture
def harness(play: Play) -> Iterator[Harness]:
    with Harness(play.server) as harness:
        yield harness


def knight_of(client: net.ClientWorld) -> Knight:
    ((_, knight),) = client.mine(Knight)
    return knight


def entity_of_player(harness: Harness, client: net.ClientWorld) -> int:
    member = harness.member(client)
    assert member is not None
    assert member.seat is not None
    return harness.simulation.player_entity[member.seat.player_id]


# To the server.


def test_a_client_calls_and_the_server_runs_it(
    harness: Harness, log: list[tuple[object, ...]]
) -> None:
    ann, bob = harness.connect("ann"), harness.connect("bob")
    a, b = (entity_of_player(harness, client) for client in (ann, bob))
    with ann.view:
        theirs = next(e for e, _ in esper.get_component(Knight) if e != ann.player)
        assert knight_of(ann).attack("slash") is None
        knight_of(ann).attack("stab", theirs, hard=True)
        knight_of(ann).attack(at=None, kind="stab")
    assert log == []
    harness.step(8)
    assert log == [
        ("attack", a, "slash", None, False),
        ("attack", a, "stab", b, True),
        ("attack", a, "stab", None, False),
    ]
    assert harness.settle()
    assert knight_of(ann).gold == 3
    assert [e for e in harness.events(ann) if isinstance(e, net.Disconnected)] == []


def test_in_a_tick_it_is_an_ordinary_method(
    harness: Harness, play: Play, log: list[tuple[object, ...]]
) -> None:
    ann = harness.connect("ann")
    a = entity_of_player(harness, ann)
    play.todo.append(lambda: esper.component_for_entity(a, Knight).attack("slash", hard=True))
    harness.step(1)
    assert log == [("attack", a, "slash", None, True)]
    assert Knight.attack.__doc__ == "Attack somebody."


def test_calls_come_in_order_and_before_the_systems(
    harness: Harness, play: Play, log: list[tuple[object, ...]]
) -> None:
    ann = harness.connect("ann")
    with ann.view:
        for number in range(8):
            knight_of(ann).attack("stab" if number % 2 else "slash")
        with pytest.raises(net.UsageError, match="more than 8 commands in one tick"):
            knight_of(ann).attack("slash")
    for _ in range(30):  # until the tick in which they come
        log.clear()
        play.todo = [lambda: log.append(("system",))]
        harness.step()
        if len(log) > 1:
            break
    assert [entry[2] for entry in log[:8]] == ["slash", "stab"] * 4
    assert log[8:] == [("system",)]


def test_only_for_what_the_caller_owns(harness: Harness, log: list[tuple[object, ...]]) -> None:
    ann, bob = harness.connect("ann"), harness.connect("bob")
    rejected = harness.simulation.rejected
    with harness.world:
        owned = esper.create_entity(Knight(), Owner(entity_of_player(harness, ann)))
        bare = esper.create_entity(Owner(entity_of_player(harness, ann)))
    harness.step(3)
    with ann.view:
        theirs = next(
            k for e, k in esper.get_component(Knight) if e not in {e for e, _ in ann.mine(Knight)}
        )
        theirs.attack("slash")
        mine = [knight for entity, knight in ann.mine(Knight) if entity != ann.player]
        mine[0].attack("stab")
    ann.send(command(Knight, "attack")("slash"), bare_of(ann))
    harness.step(8)
    assert [entry[1:3] for entry in log] == [(owned, "stab")]
    # Somebody else's knight, and what has none.
    assert rejected[1] == 2
    assert bare
    assert bob.connected


def command(cls: type, name: str) -> type:
    """The command that a call is sent as."""
    return cls.__dict__["__ecsnet__"].calls[name].cls  # type: ignore[no-any-return]


def bare_of(client: net.ClientWorld) -> int:
    with client.view:
        return next(e for e in client.mine() if not esper.has_component(e, Knight))


def test_who_dies_in_a_call_gets_no_further_ones(
    harness: Harness, log: list[tuple[object, ...]]
) -> None:
    ann = harness.connect("ann")
    with ann.view:
        knight_of(ann).attack("slash")
        knight_of(ann).die()
        knight_of(ann).attack("stab")
    harness.step(8)
    assert [entry[0] for entry in log] == ["attack"]
    assert harness.simulation.rejected[1] == 1


def test_what_it_raises_is_dealt_with_as_the_game_says(
    caplog: pytest.LogCaptureFixture, log: list[tuple[object, ...]]
) -> None:
    with Harness(Play(on_error="skip").server) as harness:
        ann = harness.connect("ann")
        with ann.view:
            knight_of(ann).fail()
            knight_of(ann).attack("slash")
        harness.step(8)
        assert [entry[0] for entry in log] == ["fail", "attack"]
        assert harness.simulation.errors == {"Knight.fail": 1}
        assert "Knight.fail raised in tick" in caplog.text
    with Harness(Play().server) as harness:
        ann = harness.connect("ann")
        with ann.view:
            knight_of(ann).fail()
        with pytest.raises(RuntimeError, match="a fault of the game's"):
            harness.step(8)


def test_a_client_that_has_not_joined_sends_nothing() -> None:
    server = HostileServer(registry)
    try:
        server.accept()
        server.say(encode(Welcome(EPOCH, 2, 1, 60.0, 60.0, 100)))  # its player is number 2
        server.structure(run_of(registry, Knight, 1, [0]))
        client = server.client
        server.poll()
        with client.view:
            ((_, knight),) = esper.get_component(Knight)
            knight.attack("slash")
        assert client._sender.outbox.waiting == 0
        server.structure(run_of(registry, Knight, 2, [0]))
        server.poll()
        with client.view:
            knight_of(client).attack("slash")
        assert client._sender.outbox.waiting == 1
    finally:
        server.close()


def test_a_client_that_is_not_in_the_game_sends_nothing(
    harness: Harness, log: list[tuple[object, ...]]
) -> None:
    ann = harness.connect("ann")
    knight = knight_of(ann)
    harness.leave(ann)
    with ann.view:
        esper.create_entity(knight)
        with pytest.raises(net.UsageError, match="shows no client"):
            knight.attack("slash")
    harness.step(8)
    assert log == []


def test_nothing_is_called_while_the_world_is_held_still(
    harness: Harness, log: list[tuple[object, ...]]
) -> None:
    ann = harness.connect("ann")
    with ann.view:
        knight_of(ann).attack("slash")
    harness.simulation.paused = True
    harness.step(8)
    harness.simulation.paused = False
    harness.step(8)
    assert log == []


# To clients.


def test_the_owner_runs_what_the_server_calls(
    harness: Harness, play: Play, log: list[tuple[object, ...]]
) -> None:
    ann, bob = harness.connect("ann"), harness.connect("bob")
    a, b = (entity_of_player(harness, client) for client in (ann, bob))

    def call() -> None:
        knight = esper.component_for_entity(a, Knight)
        knight.result(True, b)
        knight.result(False)

    play.todo.append(call)
    harness.step(4)
    with ann.view:
        theirs = next(e for e, _ in esper.get_component(Knight) if e != ann.player)
    assert log == [
        ("result", ann.view.name, ann.player, True, theirs),
        ("result", ann.view.name, ann.player, False, None),
    ]
    assert [type(e) for e in harness.events(ann)].count(net.Spawned) == 2
    nobodys: list[int] = []

    def lonely() -> None:
        nobodys.append(esper.create_entity(knight := Knight()))
        knight.result(True)

    play.todo.append(lonely)
    harness.step(4)
    assert len(log) == 2
    assert harness.simulation.ignored == {"emit": 1}


def test_all_who_see_it_run_it_in_order_with_events(
    harness: Harness, play: Play, log: list[tuple[object, ...]]
) -> None:
    ann, bob = harness.connect("ann", every=5), harness.connect("bob")
    a = entity_of_player(harness, ann)

    def call() -> None:
        knight = esper.component_for_entity(a, Knight)
        net.emit(Note("first"))
        knight.shout("one")
        net.emit(Note("second"))
        knight.shout(text="two")

    play.todo.append(call)
    harness.step(10)
    for client in (ann, bob):
        assert [e for e in harness.events(client) if isinstance(e, Note)] == [
            Note("first"),
            Note("second"),
        ]
        mine = [entry for entry in log if entry[1] == client.view.name]
        assert [entry[3] for entry in mine] == ["one", "two"]


def test_the_dead_may_have_the_last_word(
    harness: Harness, play: Play, log: list[tuple[object, ...]]
) -> None:
    ann = harness.connect("ann", every=6)
    with harness.world:
        other = esper.create_entity(Knight())
    harness.step(6)

    def call() -> None:
        esper.component_for_entity(other, Knight).shout("farewell")
        esper.delete_entity(other)

    play.todo.append(call)
    harness.step(13)
    assert [entry[3] for entry in log] == ["farewell"]
    assert ann.connected


def test_what_a_call_raises_comes_out_of_poll_and_nothing_is_lost(
    harness: Harness, play: Play, log: list[tuple[object, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    ann = harness.connect("ann")
    a = entity_of_player(harness, ann)

    def call() -> None:
        knight = esper.component_for_entity(a, Knight)
        knight.shout("fail")
        net.emit(Note("after it"))
        knight.shout("well")
        knight.shout("fail")

    play.todo.append(call)
    with pytest.raises(RuntimeError, match="a fault of the client's"):
        harness.step(5)
    assert [entry[3] for entry in log] == ["fail", "well", "fail"]
    assert "2 calls raised, the last one" in caplog.text
    assert Note("after it") in ann.poll()
    assert harness.settle()


def test_a_call_may_close_the_client_but_not_poll_it(play: Play, harness: Harness) -> None:
    ann = harness.connect("ann")
    a = entity_of_player(harness, ann)
    caught: list[str] = []
    original = Knight.log

    class Meddler(list[tuple[object, ...]]):
        def append(self, entry: tuple[object, ...]) -> None:
            try:
                ann.poll()
            except net.UsageError as error:
                caught.append(str(error))
            ann.close()

    Knight.log = Meddler()
    try:
        play.todo.append(lambda: esper.component_for_entity(a, Knight).shout("one"))
        play.todo.append(lambda: esper.component_for_entity(a, Knight).shout("two"))
        harness.step(4)
    finally:
        Knight.log = original
    assert len(caught) == 1
    assert caught[0].startswith("poll() inside poll()")
    assert ann.closed
    with ann.view:
        assert esper.get_component(Knight) == []


def test_a_component_that_is_gone_misses_its_call(
    harness: Harness, play: Play, log: list[tuple[object, ...]]
) -> None:
    ann = harness.connect("ann", every=4)
    a = entity_of_player(harness, ann)

    def call() -> None:
        esper.component_for_entity(a, Knight).shout("unheard")
        esper.remove_component(a, Knight)

    play.todo.append(call)
    harness.step(9)
    assert log == []
    assert ann._calls.missed == 1


@pytest.mark.parametrize("whole", [True, False])
def test_what_a_call_deletes_misses_the_calls_behind_it(
    harness: Harness, play: Play, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entity, or all of the view's world."""
    ann = harness.connect("ann")
    a = entity_of_player(harness, ann)
    heard: list[tuple[object, ...]] = []

    class Destructive(list[tuple[object, ...]]):
        def append(self, entry: tuple[object, ...]) -> None:
            heard.append(entry)
            if whole:
                esper.switch_world("default")
                esper.delete_world(ann.view.name)
            else:
                esper.delete_entity(net.entity_of(knight_of(ann)))

    monkeypatch.setattr(Knight, "log", Destructive())
    play.todo.append(lambda: esper.component_for_entity(a, Knight).shout("one"))
    play.todo.append(lambda: esper.component_for_entity(a, Knight).shout("two"))
    harness.step(4) if not whole else ann_hears(harness, ann)
    assert [entry[3] for entry in heard] == ["one"]
    assert ann._calls.missed == 1


def ann_hears(harness: Harness, client: net.ClientWorld) -> None:
    """Run until a client has lost its world."""
    harness.until(lambda: not client.view.there)
    client.close()
    harness.seats[client].polling = False


def test_a_subclass_has_calls_of_its_own(
    harness: Harness, play: Play, log: list[tuple[object, ...]]
) -> None:
    ann = harness.connect("ann")
    a = entity_of_player(harness, ann)
    play.todo.append(lambda: esper.add_component(a, Baron()))
    harness.step(3)
    play.todo.append(lambda: esper.component_for_entity(a, Baron).shout("ho"))
    with ann.view:
        ((_, baron),) = ann.mine(Baron)
        baron.attack("slash")
    harness.step(8)
    assert [entry[-1] for entry in log if entry[0] == "shout"] == ["Baron: ho"]
    assert [entry[2] for entry in log if entry[0] == "attack"] == ["slash"]
    assert esper_gold(harness, a, Baron) == 1


def esper_gold(harness: Harness, entity: int, cls: type[Knight]) -> int:
    with harness.world:
        return esper.component_for_entity(entity, cls).gold


def test_a_harness_lists_what_ran(harness: Harness, play: Play) -> None:
    ann, bob = harness.connect("ann"), harness.connect("bob")
    a = entity_of_player(harness, ann)

    def call() -> None:
        esper.component_for_entity(a, Knight).shout("ho")
        esper.component_for_entity(a, Knight).result(True)

    play.todo.append(call)
    harness.step(4)
    assert ann.player is not None
    assert harness.calls(ann) == [
        ("Knight.shout", ann.player, {"text": "ho"}),
        ("Knight.result", ann.player, {"won": True, "foe": None}),
    ]
    assert [ran.name for ran in harness.calls(bob)] == ["Knight.shout"]
    with pytest.raises(
        net.UsageError, match=r"step\(\) got the method Knight.attack: step\(\) takes"
    ):
        play.server.step(commands=[(1, Knight.attack)])


# The types.


def test_calls_are_commands_and_events_of_the_schema() -> None:
    schema = registry.schema()
    assert [c.name for c in schema.commands if not is_stock(c.cls.__module__)] == [
        "Baron.attack", "Baron.die", "Baron.fail", "Knight.attack", "Knight.die", "Knight.fail",
    ]  # fmt: skip
    events = [e.name for e in schema.events]
    assert events == ["Baron.result", "Baron.shout", "Knight.result", "Knight.shout", "Note"]
    attack = next(c for c in schema.commands if c.name == "Knight.attack")
    assert isinstance(attack, CommandType)
    assert not attack.hold
    assert [(f.name, f.default) for f in attack.fields] == [
        ("kind", None), ("at", "None"), ("hard", "False"),
    ]  # fmt: skip
    result = next(e for e in schema.events if e.name == "Knight.result")
    assert isinstance(result, EventType)
    assert [f.name for f in result.fields] == ["self", "won", "foe"]
    assert attack.place.startswith("test_calls.py:")
    assert command_type(attack.cls) is attack


def test_a_component_knows_its_entity(harness: Harness) -> None:
    with harness.world as world:
        knights = [Knight() for _ in range(3)]
        entities = [esper.create_entity(knight) for knight in knights]
        assert [net.entity_of(knight) for knight in knights] == entities
        esper.add_component(entities[0], again := Knight())
        assert net.entity_of(again) == entities[0]
        says = f"this Knight is on no entity of the world {world.name!r}: take it from a query"
        with pytest.raises(net.UsageError, match=says):
            net.entity_of(knights[0])
        esper.add_component(entities[1], again)
        with pytest.raises(net.UsageError, match="this Knight is on several entities: give each a"):
            net.entity_of(again)
        esper.delete_entity(entities[0], immediate=True)
        assert net.entity_of(again) == entities[1]


# Mistakes.


def declare(side: object, make: Callable[[Any], object]) -> Callable[[], object]:
    """Declare a class ``Knight`` with a method that is made by a function of the decorator."""

    def run() -> object:
        body = {"__module__": __name__, "attack": make(net.rpc(side))}  # type: ignore[arg-type]
        with use_registry(Registry()):
            return net.replicated(type("Knight", (), body))

    return run


class Methods:
    """Methods to stand under the decorator."""

    def good(self) -> None: ...
    def bare(self, kind) -> None: ...  # type: ignore[no-untyped-def]
    def several(self, *kinds: int) -> None: ...
    def options(self, **kinds: int) -> None: ...
    def unbounded(self, text: str) -> None: ...
    def unsendable(self, at: range) -> None: ...
    def returning(self) -> int:
        return 1

    def shared(self, items: Annotated[list[int], net.MaxLen(3)] = []) -> None: ...  # noqa: B006
    def misfit(self, number: int = "one") -> None: ...  # type: ignore[assignment]
    async def later(self) -> None: ...


def alone() -> None: ...


MISTAKES: list[tuple[Callable[[], object], str]] = [
    (
        declare("client", lambda rpc: rpc(Methods.good)),
        "rpc('client'): the side is one of 'server', 'owner', 'all'",
    ),
    (
        lambda: net.rpc(Methods.good),  # type: ignore[arg-type]
        "@net.rpc goes with a side: write @net.rpc('server')",
    ),
    (lambda: net.rpc("all")(5), "@net.rpc got 5: it stands above a method of a replicated"),  # type: ignore[type-var]
    (
        lambda: net.rpc("all")(alone),
        "@net.rpc got the function alone: it stands above a method of a replicated class, whose",
    ),
    (
        lambda: net.rpc("all")(Methods.later),  # type: ignore[type-var]
        "@net.rpc got Methods.later, which is async or has a yield: a call would run none of it;",
    ),
    (
        declare("server", lambda rpc: rpc(Methods.bare)),
        "Knight.attack(kind): it has no annotation, and that says what may be sent: write kind: ",
    ),
    (
        declare("all", lambda rpc: rpc(Methods.several)),
        "Knight.attack(*kinds): a call has so many parameters, and each a type: write kinds: ",
    ),
    (
        declare("all", lambda rpc: rpc(Methods.options)),
        "Knight.attack(**kinds): a call has so many parameters, and each a type: write kinds: ",
    ),
    (declare("server", lambda rpc: rpc(Methods.unbounded)), "Knight.attack.text: "),
    (
        declare("all", lambda rpc: rpc(Methods.unsendable)),
        "Knight.attack.at: range cannot cross the wire",
    ),
    (
        declare("all", lambda rpc: rpc(Methods.returning)),
        "Knight.attack() returns int: a call goes to another end and brings nothing back: write ->",
    ),
    (
        declare("server", lambda rpc: rpc(Methods.shared)),
        "Knight.attack(items): the default [] can change: give a constant, such as () or None",
    ),
    (
        declare("all", lambda rpc: rpc(Methods.misfit)),
        "Knight.attack.number: the default 'one' is not int",
    ),
]


@pytest.mark.parametrize(("mistake", "says"), MISTAKES)
def test_a_mistake_in_a_declaration_gets_one_sentence(
    mistake: Callable[[], object], says: str
) -> None:
    with pytest.raises(net.UsageError) as caught:
        mistake()
    assert str(caught.value).startswith(says), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_call_in_another_class_than_a_component_is_refused() -> None:
    class Plain:
        @net.rpc("server")
        def attack(self) -> None: ...

    name = "test_a_call_in_another_class_than_a_component_is_refused.<locals>.Plain"
    with pytest.raises(net.UsageError) as caught:
        Plain().attack()
    assert str(caught.value) == (
        f"{name}.attack() is a call, and class {name} is not replicated: put @net.replicated above"
        f" class {name}"
    )
    says = "Fire.attack: @net.rpc goes above a method of a class under @net.replicated, and Fire is"
    with use_registry(Registry()), pytest.raises(net.DeclarationError, match=says):

        @net.command
        class Fire:
            @net.rpc("server")
            def attack(self) -> None: ...

    says = "Mind.attack: no client ever has a Mind, which is visible to the server only"
    with use_registry(Registry()), pytest.raises(net.DeclarationError, match=says):

        @net.replicated(visible_to="server")
        class Mind:
            @net.rpc("server")
            def attack(self) -> None: ...


def test_a_call_from_the_wrong_side_says_which_one_may(harness: Harness) -> None:
    ann = harness.connect("ann")
    knight = knight_of(ann)
    with ann.view:
        for method, arguments in (("shout", ("ho",)), ("result", (True,))):
            with pytest.raises(net.UsageError) as caught:
                getattr(knight, method)(*arguments)
            assert str(caught.value) == (
                f"Knight.{method}() was called on a client, where it runs: only the server may call"
                " it, in a system or hook"
            )
        with pytest.raises(TypeError, match=r"Knight\.attack\(\): missing a required argument"):
            knight.attack()  # type: ignore[call-arg]
        with pytest.raises(net.BadValueError, match=r"Knight\.attack\.kind: 'bite' is not"):
            knight.attack("bite")  # type: ignore[arg-type]
    with pytest.raises(net.UsageError) as caught:
        Knight().attack("slash")
    assert str(caught.value) == (
        "Knight.attack() outside a tick, and the current world shows no client: call it in a system"
        " or hook on the server, or within `with client.view:` on a client"
    )


def test_a_bad_argument_to_clients_is_logged_and_dropped(
    harness: Harness, play: Play, caplog: pytest.LogCaptureFixture, log: list[tuple[object, ...]]
) -> None:
    ann = harness.connect("ann")
    a = entity_of_player(harness, ann)
    caplog.set_level(logging.ERROR)

    def call() -> None:
        esper.component_for_entity(a, Knight).shout(5)  # type: ignore[arg-type]
        esper.component_for_entity(a, Knight).shout("well")

    play.todo.append(call)
    harness.step(4)
    assert [entry[3] for entry in log] == ["well"]
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("Knight.shout.text: 5 is not str")
