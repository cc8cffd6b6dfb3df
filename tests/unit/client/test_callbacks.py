"""What a game's own functions do inside `poll`: they raise, close, delete, switch worlds, and more.

Whatever it is, `poll` raises nothing of its own, and the next poll shows what the server says.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import field

import esper
import msgspec
import pytest

from ecsnet.client.world import ClientWorld
from ecsnet.errors import ReadOnlyError, UsageError
from ecsnet.notifications import Connected, Despawned, Spawned
from ecsnet.play import play
from ecsnet.schema import Registry, register_type, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.testing import Harness, LinkEnd


class Hooks:
    """What the converters of this file's types do at their next call."""

    on_convert: Callable[[], object] | None = None
    on_build: Callable[[], object] | None = None
    world = ""
    """The client's world; the server makes values of these types, too."""

    @classmethod
    def run(cls, name: str) -> None:
        if esper.current_world == cls.world:
            hook = getattr(cls, name)
            setattr(cls, name, None)
            if hook is not None:
                hook()


def convert(degrees: int) -> Angle:
    Hooks.run("on_convert")
    return Angle(degrees)


class Angle:
    """Somebody else's type."""

    def __init__(self, degrees: int) -> None:
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Angle) and other.degrees == self.degrees

    __hash__ = None  # type: ignore[assignment]


class Part(msgspec.Struct):
    """A part that looks at what it is made from."""

    size: int = 0

    def __post_init__(self) -> None:
        Hooks.run("on_build")


with use_registry(Registry()) as registry:
    register_type(Angle, int, lambda angle: angle.degrees, convert)

    @replicated
    class Zone:
        size: int = 0

    @replicated
    class Turret:
        angle: Angle = field(default_factory=lambda: Angle(0))
        part: Part = field(default_factory=Part)


class Sprite:
    """What a game hangs on entities."""

    alive = 0

    def __init__(self, entity: int = 0, value: object = None) -> None:
        self.killed = 0
        Sprite.alive += 1

    def kill(self) -> None:
        self.killed += 1
        Sprite.alive -= 1


class Shadow(Sprite):
    pass


@pytest.fixture(autouse=True)
def clean() -> None:
    Hooks.on_convert = Hooks.on_build = None
    Sprite.alive = 0


@pytest.fixture
def game() -> Iterator[Harness]:
    with use_registry(registry):
        server = ServerWorld(seed=1)
    with Harness(server) as made:
        yield made


def spawn(game: Harness, *sizes: int) -> list[int]:
    with game.world:
        return [esper.create_entity(Zone(size), Turret(Angle(size))) for size in sizes]


def replicated_in(client: ClientWorld) -> int:
    with client.view:
        return len(esper.get_component(Zone)) + len(esper.get_component(Turret))


def healed(game: Harness, client: ClientWorld) -> bool:
    """Whether the next polls show what the server says, nothing twice, and all sprites."""
    game.step(2)
    with client.view:
        shown = sorted(zone.size for _, zone in esper.get_component(Zone))
    with game.world:
        said = sorted(zone.size for _, zone in esper.get_component(Zone))
    return bool(game.compare(client)) and shown == said != []


def once(action: Callable[[], object]) -> Callable[[], object]:
    """The action, at the first call only."""
    calls = itertools.count(1)

    def act() -> object:
        return action() if next(calls) == 1 else None

    return act


def clear() -> None:
    esper.clear_database()


def delete_all() -> None:
    for entity in list(esper._entities):
        esper.delete_entity(entity, immediate=True)


def delete_later() -> None:
    for entity in list(esper._entities):
        esper.delete_entity(entity)


def clear_and_fill() -> None:
    """Own entities then have the ids that the server's had."""
    esper.clear_database()
    for _ in range(8):
        esper.create_entity(Shadow())


def go_elsewhere() -> None:
    esper.switch_world("elsewhere of callbacks")
    esper.create_entity(Shadow())


DAMAGE = {
    "clears the database": clear,
    "deletes everything at once": delete_all,
    "deletes everything soon": delete_later,
    "clears and makes entities of its own": clear_and_fill,
    "switches to another world": go_elsewhere,
}
PLACES = ("make", "remove", "converter", "nested struct", "make of a second attachment")


def place(game: Harness, client: ClientWorld, where: str, action: Callable[[], object]) -> None:
    """Let the client's game do something at its next chance there, and give it the chance."""
    act = once(action)
    Hooks.world = client.view.name

    def make(entity: int, zone: Zone) -> Sprite:
        act()
        return Sprite()

    def remove(sprite: Sprite) -> None:
        sprite.kill()
        act()

    if where == "make":
        client.attach(Zone, make, remove=Sprite.kill)
    elif where == "make of a second attachment":
        client.attach(Zone, Shadow, remove=Sprite.kill)
        client.attach(Zone, make, remove=Sprite.kill)
    elif where == "remove":
        client.attach(Zone, Sprite, remove=remove)
        first = spawn(game, 100, 200)
        game.step(2)
        for entity in first:
            game.world.delete(entity)
    elif where == "converter":
        Hooks.on_convert = act
    else:
        Hooks.on_build = act
    spawn(game, 1, 2, 3)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("damage", DAMAGE)
def test_whatever_a_callback_does_to_the_world_is_mended(
    game: Harness, where: str, damage: str
) -> None:
    client = game.connect("Ann")
    found = esper.current_world
    done: list[str] = []

    def act() -> None:
        assert esper.current_world == client.view.name
        DAMAGE[damage]()
        done.append(damage)

    place(game, client, where, act)
    game.step(3)
    assert done == [damage]
    assert esper.current_world == found
    assert healed(game, client)
    with client.view:
        assert len(esper.get_component(Turret)) == len(esper.get_component(Zone))
    client.close()
    assert replicated_in(client) == 0


@pytest.mark.parametrize("where", PLACES)
def test_a_callback_that_closes_leaves_nothing(game: Harness, where: str) -> None:
    client = game.connect("Ann")
    spawn(game, 7)
    game.step(2)
    assert replicated_in(client) == 2
    place(game, client, where, client.close)
    game.step(3)
    assert client.closed
    assert client.poll() == []
    assert replicated_in(client) == 0
    assert client._view.local == {}
    assert Sprite.alive == 0
    game.step(2)
    assert game.member(client) is None


def test_where_a_converter_closes_nothing_is_sent_after_the_goodbye(game: Harness) -> None:
    client = game.connect("Ann")
    wire = client._connection._transport
    assert isinstance(wire, LinkEnd)
    sent: list[int] = []

    def close() -> None:
        client._connection.peer.queue(bytes(5000))  # this would go on in the same poll
        client.close()
        sent.append(wire.sent)

    place(game, client, "converter", close)
    game.step(3)
    assert sent == [wire.sent]


@pytest.mark.parametrize("where", PLACES)
def test_a_callback_that_has_closed_may_poll(game: Harness, where: str) -> None:
    client = game.connect("Ann")
    polled: list[object] = []

    def act() -> None:
        client.close()
        polled.append(client.poll())

    place(game, client, where, act)
    game.step(3)
    assert len(polled) == 1
    assert client.closed


@pytest.mark.parametrize("where", ["make", "remove", "make of a second attachment"])
def test_what_a_callback_raises_comes_out_when_the_poll_is_done(game: Harness, where: str) -> None:
    client = game.connect("Ann")
    game.events(client).clear()
    raised = KeyError("of the game")

    def act() -> None:
        raise raised

    place(game, client, where, act)
    with pytest.raises(KeyError) as caught:
        game.step(3)
    assert caught.value is raised
    assert game.compare(client)
    assert replicated_in(client) >= 6
    game.step(1)
    spawned = [event for event in game.events(client) if isinstance(event, Spawned)]
    assert len(spawned) >= 3  # what happened in that poll is told by the next
    assert healed(game, client)
    client.close()
    assert replicated_in(client) == 0


def test_after_close_nothing_is_told_of_a_poll_that_raised(game: Harness) -> None:
    client = game.connect("Ann")

    def act() -> None:
        raise KeyError

    place(game, client, "make", act)
    with pytest.raises(KeyError):
        game.step(3)
    assert client._protocol.notifications
    client.close()
    assert client.poll() == []


def test_of_several_that_raise_the_first_comes_out_and_the_last_is_logged(
    game: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    client = game.connect("Ann")
    made: list[int] = []

    def make(entity: int, zone: Zone) -> Sprite:
        made.append(zone.size)
        raise ValueError(f"no picture of {zone.size}")

    client.attach(Zone, make)
    spawn(game, 1, 2, 3)
    with pytest.raises(ValueError, match="no picture of 1"):
        game.step(3)
    assert made == [1, 2, 3]
    (logged,) = [record for record in caplog.records if record.name == "ecsnet.client"]
    assert logged.getMessage() == "3 attached functions raised, the last one:"
    assert logged.exc_info is not None
    assert str(logged.exc_info[1]) == "no picture of 3"
    assert healed(game, client)
    assert made == [1, 2, 3]


@pytest.mark.parametrize("where", PLACES)
def test_poll_inside_poll_is_refused_at_the_inner_line(game: Harness, where: str) -> None:
    client = game.connect("Ann")
    caught: list[UsageError] = []

    def act() -> None:
        with pytest.raises(UsageError, match=r"poll\(\) inside poll\(\)") as error:
            client.poll()
        caught.append(error.value)

    place(game, client, where, act)
    game.step(3)
    assert len(caught) == 1
    assert healed(game, client)


def test_attach_inside_a_callback_counts_from_the_next_poll_on(game: Harness) -> None:
    client = game.connect("Ann")
    shadows: list[int] = []

    def make(entity: int, zone: Zone) -> Sprite:
        client.attach(Zone, lambda entity, zone: shadows.append(zone.size))
        return Sprite()

    client.attach(Zone, make)
    spawn(game, 1)
    game.step(3)
    assert shadows == [1]
    spawn(game, 2)
    game.step(2)
    assert sorted(shadows) == [1, 1, 2, 2]  # there are two such attachments by then
    assert healed(game, client)


def test_attach_inside_its_own_make_does_not_go_on_for_ever(game: Harness) -> None:
    client = game.connect("Ann")
    calls: list[int] = []

    def make(entity: int, zone: Zone) -> None:
        calls.append(entity)
        if len(calls) < 20:
            client.attach(Zone, make)

    spawn(game, 1)
    game.step(2)
    client.attach(Zone, make)
    assert len(calls) == 1
    game.step(3)
    assert len(calls) > 2
    assert healed(game, client)


def test_attach_whose_make_closes_is_at_an_end(game: Harness) -> None:
    client = game.connect("Ann")
    spawn(game, 1, 2)
    game.step(2)

    def make(entity: int, zone: Zone) -> Sprite:
        client.close()
        return Sprite()

    client.attach(Zone, make, remove=Sprite.kill)
    assert client.closed
    assert replicated_in(client) == 0
    assert Sprite.alive == 0


def test_what_was_made_for_an_entity_that_is_gone_is_removed(game: Harness) -> None:
    client = game.connect("Ann")

    def make(entity: int, zone: Zone) -> Sprite:
        if zone.size == 1 and not Sprite.alive:
            esper.delete_entity(entity, immediate=True)
        return Sprite()

    client.attach(Zone, make, remove=Sprite.kill)
    spawn(game, 1, 2)
    game.step(2)
    assert healed(game, client)
    with client.view:
        hung = [sprite for _, (_, sprite) in esper.get_components(Zone, Sprite)]
    assert len(hung) == Sprite.alive == 2


def test_a_clear_before_the_end_takes_no_entities_of_the_games_own(game: Harness) -> None:
    client = game.connect("Ann")
    spawn(game, 1, 2, 3)
    game.step(2)
    with client.view:
        clear_and_fill()
    client.close()
    with client.view:
        assert len(esper.get_component(Shadow)) == 8


def test_mine_without_the_player_that_the_game_deleted(game: Harness) -> None:
    client = game.connect("Ann")
    with client.view:
        esper.delete_entity(client.player or 0, immediate=True)
    assert client.mine(Zone) == []
    game.step(2)
    assert client.mine()


def test_remove_may_raise_at_close(game: Harness) -> None:
    client = game.connect("Ann")
    removed: list[int] = []

    def remove(sprite: Sprite) -> None:
        removed.append(1)
        raise RuntimeError("cannot let go")

    client.attach(Zone, Sprite, remove=remove)
    spawn(game, 1, 2)
    game.step(2)
    with pytest.raises(RuntimeError, match="cannot let go"):
        client.close()
    assert removed == [1, 1]
    assert client.closed
    assert replicated_in(client) == 0
    client.close()


# The game that `play` hosts runs inside poll, too.


def test_a_system_of_the_hosted_game_may_close_the_client() -> None:
    with use_registry(registry):
        server = ServerWorld(seed=1)
    clients: list[ClientWorld] = []
    left: list[int] = []
    server.on_leave(left.append)

    @server.on_join
    def join(player: int) -> None:
        esper.create_entity(Zone(1))

    @server.system
    def end(dt: float) -> None:
        if clients[0].connected:
            with pytest.raises(UsageError, match=r"poll\(\) inside poll\(\)"):
                clients[0].poll()
            clients[0].close()

    with use_registry(registry):
        client = play(server, offline=True)
    clients.append(client)
    for _ in range(100_000):
        client.poll()
        if client.closed:
            break
    assert client.closed
    assert replicated_in(client) == 0
    assert len(left) == 1
    assert server.host is None


def test_a_hook_that_raises_at_the_end_leaves_no_view_behind() -> None:
    with use_registry(registry):
        server = ServerWorld(seed=1)

    @server.on_join
    def join(player: int) -> None:
        esper.create_entity(Zone(1))

    @server.on_leave
    def leave(player: int) -> None:
        raise RuntimeError("cannot save")

    with use_registry(registry):
        client = play(server, offline=True)
    for _ in range(100_000):
        if any(isinstance(event, Connected) for event in client.poll()):
            break
    for _ in range(100_000):
        client.poll()
        if replicated_in(client):
            break
    assert replicated_in(client) == 1
    with pytest.raises(RuntimeError, match="cannot save"):
        client.close()
    assert replicated_in(client) == 0


# Two on one entity.


def test_two_attachments_that_make_one_type_are_named(game: Harness) -> None:
    client = game.connect("Ann")

    def hull(entity: int, zone: Zone) -> Sprite:
        return Sprite()

    def turret(entity: int, turret: Turret) -> Sprite:
        return Sprite()

    client.attach(Zone, hull, remove=Sprite.kill)
    client.attach(Turret, turret, remove=Sprite.kill)
    spawn(game, 1)
    with pytest.raises(UsageError) as caught:
        game.step(3)
    says = str(caught.value)
    assert "hull" in says
    assert "turret" in says
    assert "Sprite" in says
    assert Sprite.alive == 1
    with client.view:
        ((entity, (_, kept)),) = esper.get_components(Turret, Sprite)  # whose turn came first
    game.step(2)
    game.events(client).clear()
    with game.world:
        (tank,) = [one for one, _ in esper.get_component(Zone)]
        esper.remove_component(tank, Zone)
    game.step(2)
    with client.view:
        assert esper.component_for_entity(entity, Sprite) is kept
    game.world.delete(tank)
    game.step(2)
    assert isinstance(game.events(client)[-1], Despawned)
    assert Sprite.alive == 0


def test_one_attachment_twice_is_the_same_mistake(game: Harness) -> None:
    client = game.connect("Ann")
    spawn(game, 1)
    game.step(2)
    client.attach(Zone, Sprite, remove=Sprite.kill)
    with pytest.raises(UsageError, match="Sprite and Sprite"):
        client.attach(Zone, Sprite, remove=Sprite.kill)
    assert Sprite.alive == 1


def test_two_types_with_one_base_are_fine(game: Harness) -> None:
    client = game.connect("Ann")
    client.attach(Zone, Sprite, remove=Sprite.kill)
    client.attach(Turret, Shadow, remove=Sprite.kill)
    spawn(game, 1, 2)
    game.step(2)
    assert Sprite.alive == 4
    client.close()
    assert Sprite.alive == 0


def test_a_make_that_returns_what_the_server_says_is_refused(game: Harness) -> None:
    client = game.connect("Ann")
    client.attach(Zone, lambda entity, zone: Turret(Angle(9)))
    spawn(game, 1)
    with pytest.raises(UsageError, match="Turret, which is replicated"):
        game.step(3)
    assert game.compare(client)
    with client.view:
        ((_, turret),) = esper.get_component(Turret)
    assert turret.angle == Angle(1)


def test_a_remove_that_has_no_hash_will_do(game: Harness) -> None:
    class Bin(list[object]):
        def __call__(self, thing: object) -> None:
            self.append(thing)

    client = game.connect("Ann")
    thrown = Bin()
    client.attach(Zone, Sprite, remove=thrown)
    spawn(game, 1)
    game.step(2)
    client.close()
    assert len(thrown) == 1


def test_nothing_is_logged_in_good_times(game: Harness, caplog: pytest.LogCaptureFixture) -> None:
    client = game.connect("Ann")
    client.attach(Zone, Sprite, remove=Sprite.kill)
    spawn(game, 1, 2)
    game.step(2)
    assert Sprite.alive == 2
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_a_view_whose_world_was_deleted_can_be_closed(game: Harness) -> None:
    client = game.connect("Ann")
    client.attach(Zone, Sprite, remove=Sprite.kill)
    spawn(game, 1, 2)
    game.step(3)
    assert Sprite.alive == 2
    esper.delete_world(client.view.name)
    client.close()
    assert client.closed
    assert Sprite.alive == 0
    assert not client.view.there


def test_what_the_code_of_a_type_refuses_is_said_once(
    game: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    client = game.connect("Ann")
    Hooks.world = client.view.name

    def fail() -> None:
        Hooks.on_convert = fail
        raise LookupError("no such angle")

    Hooks.on_convert = fail
    spawn(game, 1, 2)
    game.step(3)
    assert replicated_in(client) == 2  # the zones
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "a Turret from the server is not shown" in said[0].getMessage()
    assert "no such angle" in caplog.text


class Ambiguous:
    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


class Array:
    """As those of numpy, comparing gives another array."""

    def __init__(self, *items: int) -> None:
        self.items = [*items]

    def __eq__(self, other: object) -> Ambiguous:  # type: ignore[override]
        return Ambiguous()

    __hash__ = None  # type: ignore[assignment]


class Opaque:
    """Nothing is equal to it but itself."""

    def __init__(self, *items: int) -> None:
        self.items = [*items]


@pytest.mark.parametrize("cls", [Array, Opaque])
def test_debug_mode_compares_what_crosses_where_values_cannot_be_compared(
    cls: Callable[..., Array | Opaque],
) -> None:
    with use_registry(Registry()) as own:
        kind = Array if cls is Array else Opaque
        register_type(kind, list[int], lambda value: value.items, lambda items: cls(*items))

        @replicated
        class Grid:
            cells: kind = field(default_factory=lambda: cls(1, 2))  # type: ignore[valid-type]
            width: float = float("nan")

        server = ServerWorld(seed=1)
    with Harness(server, registry=own) as game:
        client = game.connect("Ann", debug=True)
        with game.world:
            entity = esper.create_entity(Grid())
        game.step(5)
        with game.world:
            esper.component_for_entity(entity, Grid).cells.items[0] = 3
        game.step(5)
        assert game.settle()
        with client.view:
            ((_, shown),) = esper.get_component(Grid)
        assert shown.cells.items == [3, 2]
        shown.cells.items[1] = 9
        with pytest.raises(ReadOnlyError, match=r"wrote Grid\.cells"):
            game.step()
        assert shown.cells.items == [3, 2]
        shown.width = 1.0
        with pytest.raises(ReadOnlyError, match=r"wrote Grid\.width"):
            game.step()
        game.step(3)
