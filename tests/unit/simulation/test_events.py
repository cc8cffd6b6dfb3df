"""Events from `emit` to `poll`: who gets which, when, and how often."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import esper
import msgspec
import pytest

import ecsnet as net
from ecsnet.components import Owner
from ecsnet.replication.client import event_queue
from ecsnet.replication.client import view as view_module
from ecsnet.replication.server.events import LOOSE_BYTES, _Copy, _Event
from ecsnet.replication.wire import BODY_BYTES, EVENT_BYTES, Structure
from ecsnet.session.goodbye import Reason
from ecsnet.testing import Harness, Registry, use_registry


class Spot:
    """A type of the game's own that counts how often one is encoded."""

    encoded = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def to_wire(self) -> int:
        Spot.encoded += 1
        return self.number


class Moody:
    """A type of the game's own of which one conversion of the next ones fails."""

    fails_after = -1

    def to_wire(self) -> int:
        Moody.fails_after -= 1
        if Moody.fails_after == -1:
            raise ValueError("not now")
        return 5


with use_registry(Registry()) as registry:
    net.register_type(Spot, int, Spot.to_wire, Spot)
    net.register_type(Moody, int, Moody.to_wire, lambda number: Moody())

    @net.event
    class Point:
        at: Spot

    @net.event
    class Mood:
        of: Moody

    @net.replicated
    class Place:
        x: float = 0.0
        y: float = 0.0

    @net.replicated
    class Title:
        text: str = ""

    @net.event
    class Boom:
        number: int
        at: net.EntityRef = None

    @net.event
    class Pact:
        one: net.EntityRef = None
        other: net.EntityRef = None

    @net.event
    class Story:
        lines: list[str] = []

    @net.command
    class Go:
        number: int = 0


@dataclass
class Game:
    """A game whose ticks do what a test says.

    Attributes:
        todo: What to do in a tick, called with nothing; each once.
        joining: What ``on_join`` does.
        leaving: What ``on_leave`` does.
    """

    interest: net.Interest | None = None
    update_rate: float | None = None
    todo: list[Callable[[], object]] = field(default_factory=list)
    joining: Callable[[int], object] = lambda player: None
    leaving: Callable[[int], object] = lambda player: None

    def server(self) -> net.ServerWorld:
        with use_registry(registry):
            server = net.ServerWorld(interest=self.interest, update_rate=self.update_rate)
        server.on_join(lambda player: self.joining(player))
        server.on_leave(lambda player: self.leaving(player))
        server.add_system(self.act)
        return server

    def act(self, dt: float) -> None:
        todo, self.todo = self.todo, []
        for do in todo:
            do()


@pytest.fixture
def game() -> Game:
    return Game()


@pytest.fixture
def harness(game: Game) -> Iterator[Harness]:
    with Harness(game.server()) as harness:
        yield harness


def booms(harness: Harness, client: net.ClientWorld) -> list[int]:
    """The numbers of the events that a client got."""
    return [event.number for event in harness.events(client) if isinstance(event, Boom)]


def player_of(harness: Harness, client: net.ClientWorld) -> int:
    """The entity of a client's player on the server."""
    member = harness.member(client)
    assert member is not None
    assert member.seat is not None
    return harness.simulation.player_entity[member.seat.player_id]


# To whom.


def test_to_everybody_to_some_and_to_all_but_one(harness: Harness, game: Game) -> None:
    ann, bob, cid = (harness.connect(name) for name in ("ann", "bob", "cid"))
    a, b, c = (player_of(harness, client) for client in (ann, bob, cid))

    def emit() -> None:
        tank = esper.create_entity(Place(), Owner(b))
        net.emit(Boom(1))
        net.emit(Boom(2), to=a)
        net.emit(Boom(3), tank)
        net.emit(Boom(4), to=[a, tank, a])
        net.emit(Boom(5), to=iter([b, c]), but=c)
        net.emit(Boom(6), but=[a, tank])
        net.emit(Boom(7), to=[])

    game.todo.append(emit)
    harness.step(5)
    assert booms(harness, ann) == [1, 2, 4]
    assert booms(harness, bob) == [1, 3, 4, 5]
    assert booms(harness, cid) == [1, 6]
    assert [cast(Boom, emission.event).number for emission in harness.emitted] == [*range(1, 8)]
    assert not harness.simulation.ignored


def test_what_is_not_for_all_goes_by_itself_and_beside_what_is(
    harness: Harness, game: Game
) -> None:
    ann, bob = harness.connect("ann"), harness.connect("bob")
    a, b = player_of(harness, ann), player_of(harness, bob)
    for events in (
        [lambda: net.emit(Boom(1))],
        [lambda: net.emit(Boom(2), but=a)],
        [lambda: net.emit(Boom(3)), lambda: net.emit(Boom(4), but=a)],
        [lambda: net.emit(Boom(5))],
        [lambda: net.emit(Boom(6), to=b)],
    ):
        game.todo += events
        harness.step()
    harness.step(4)
    assert booms(harness, ann) == [1, 3, 5]
    assert booms(harness, bob) == [1, 2, 3, 4, 5, 6]


def test_who_did_not_see_the_dead_is_not_told_of_them() -> None:
    game = Game(interest=net.Grid(Place, 10.0, 0))
    game.joining = lambda player: esper.add_component(player, Place(5.0, 5.0))
    with Harness(game.server()) as harness:
        near, far = harness.connect("near"), harness.connect("far")
        with harness.world:
            esper.component_for_entity(player_of(harness, far), Place).x = 95.0
            victim = esper.create_entity(Place(6.0, 6.0))
        harness.step(10)

        def kill() -> None:
            esper.delete_entity(victim)
            net.emit(Boom(1), about=victim)

        game.todo.append(kill)
        harness.step(5)
        assert booms(harness, near) == [1]
        assert booms(harness, far) == []


def test_who_joined_since_the_last_event_is_told_of_what_it_owns() -> None:
    game = Game(interest=net.Grid(Place, 10.0, 0))
    game.joining = lambda player: esper.add_component(player, Place(5.0, 5.0))
    with Harness(game.server()) as harness:
        for number, name in enumerate(("ann", "bob")):
            client = harness.connect(name)
            with harness.world:
                ship = esper.create_entity(Place(95.0, 5.0), Owner(player_of(harness, client)))
            harness.step(5)
            game.todo.append(lambda number=number, ship=ship: net.emit(Boom(number), about=ship))
            harness.step(5)
            assert booms(harness, client) == [number]


def test_about_an_entity_is_for_those_who_see_it() -> None:
    game = Game(interest=net.Grid(Place, 10.0, 0))
    game.joining = lambda player: esper.add_component(player, Place(5.0, 5.0))
    with Harness(game.server()) as harness:
        near, far = harness.connect("near"), harness.connect("far")
        with harness.world:
            esper.component_for_entity(player_of(harness, far), Place).x = 95.0
            thing = esper.create_entity(Place(6.0, 6.0))
        harness.step(10)
        owned: list[int] = []

        def emit() -> None:
            owned.append(esper.create_entity(Place(7.0, 7.0), Owner(player_of(harness, far))))
            net.emit(Boom(1, thing), about=thing)
            net.emit(Boom(2, thing))
            net.emit(Boom(3), about=owned[0])
            net.emit(Boom(4), to=player_of(harness, far), about=thing)
            net.emit(Boom(5), about=thing, but=player_of(harness, near))

        game.todo.append(emit)
        harness.step(5)
        assert booms(harness, near) == [1, 2, 3]
        # It owns what it sees of that place, and is told nothing else of it.
        assert booms(harness, far) == [2, 3]
        told = [event for event in harness.events(far) if isinstance(event, Boom)]
        assert told[0].at is None


def test_no_id_of_what_a_client_does_not_see_crosses_the_wire() -> None:
    game = Game(interest=net.Grid(Place, 10.0, 0))
    game.joining = lambda player: esper.add_component(player, Place(5.0, 5.0))
    with Harness(game.server()) as harness:
        near, far = harness.connect("near"), harness.connect("far")
        with harness.world:
            esper.component_for_entity(player_of(harness, far), Place).x = 95.0
            thing = esper.create_entity(Place(6.0, 6.0))
        harness.step(10)
        net_id = harness.room.replicator.network_id(thing)
        game.todo.append(lambda: net.emit(Boom(1, thing)))
        for client in (near, far):
            harness.seats[client].polling = False  # it acknowledges nothing
        harness.step()
        told = {}
        for client in (near, far):
            peer = harness.member(client).peer  # type: ignore[union-attr]
            *_, events = msgspec.msgpack.decode(peer._out.unacked[peer.queued].data)
            told[client] = [values for _, values in events]
        assert told[near][0][:2] == [1, net_id]
        assert net_id not in told[far][0][1:]


def test_an_event_still_refers_to_what_a_client_sees_beside_what_it_does_not() -> None:
    game = Game(interest=net.Grid(Place, 10.0, 0))
    game.joining = lambda player: esper.add_component(player, Place(5.0, 5.0))
    with Harness(game.server()) as harness:
        client = harness.connect()
        with harness.world:
            seen, unseen = esper.create_entity(Place(6.0, 6.0)), esper.create_entity(Place(95.0))
        harness.step(10)
        game.todo.append(lambda: net.emit(Pact(unseen, seen)))
        harness.step(5)
        (pact,) = [event for event in harness.events(client) if isinstance(event, Pact)]
        with client.view:
            (here,) = [e for e, place in esper.get_component(Place) if place.x == 6.0]
        assert pact == Pact(None, here)


@pytest.mark.parametrize("immediate", [True, False])
@pytest.mark.parametrize("interest", [None, net.Grid(Place, 10.0), net.Visible(lambda *_: True)])
def test_who_died_is_still_there_for_the_event_that_says_so(
    interest: net.Interest | None, immediate: bool
) -> None:
    game = Game(interest=interest)
    game.joining = lambda player: esper.add_component(player, Place())
    with Harness(game.server()) as harness:
        client = harness.connect()
        with harness.world:
            victim = esper.create_entity(Place(1.0, 2.0))
        harness.step(3)

        def kill() -> None:
            esper.delete_entity(victim, immediate=immediate)
            net.emit(Boom(1, victim), about=victim)

        game.todo.append(kill)
        harness.until(lambda: booms(harness, client))
        *_, last = harness.events(client)
        assert isinstance(last, Boom)
        assert last.at is not None
        with client.view:
            assert esper.component_for_entity(last.at, Place) == Place(1.0, 2.0)
        harness.step(2)
        *_, gone = harness.events(client)
        assert isinstance(gone, net.Despawned)
        assert gone.entity == last.at


def test_what_lives_for_a_tick_is_there_for_its_event(harness: Harness, game: Game) -> None:
    """Even where its spawn, the event and its end come with one poll."""
    client = harness.connect(every=10)
    things: list[int] = []
    game.todo.append(lambda: things.append(esper.create_entity(Place(3.0))))
    harness.step()

    def end() -> None:
        net.emit(Boom(1, things[0]), about=things[0])
        esper.delete_entity(things[0])

    game.todo.append(end)
    harness.step(25)
    *_, spawned, boom, gone = harness.events(client)
    assert isinstance(spawned, net.Spawned)
    assert isinstance(boom, Boom)
    assert isinstance(gone, net.Despawned)
    assert spawned.entity == boom.at == gone.entity


def test_events_of_one_poll_come_in_order_and_the_dead_stay_for_all(
    harness: Harness, game: Game
) -> None:
    client = harness.connect(every=12)
    with harness.world:
        victims = [esper.create_entity(Place()) for _ in range(5)]
    harness.step(24)
    for victim in victims:

        def kill(victim: int = victim) -> None:
            net.emit(Boom(victim, victim), about=victim)
            esper.delete_entity(victim)

        game.todo.append(kill)
        harness.step()
    harness.step(24)
    found = [event for event in harness.events(client) if isinstance(event, Boom)]
    assert [boom.number for boom in found] == victims
    assert None not in {boom.at for boom in found}
    assert len({boom.at for boom in found}) == 5


# When.


def test_events_of_the_joining_tick_wait_for_the_newcomer(game: Game) -> None:
    def join(player: int) -> None:
        esper.add_component(player, Place())
        net.emit(Boom(1, player), to=player)
        net.emit(Boom(2))
        net.emit(Boom(3), about=player)
        net.emit(Boom(4), but=player)

    game.joining = join
    with Harness(game.server()) as harness:
        ann = harness.connect("ann")
        harness.step(5)
        kinds = [type(event) for event in harness.events(ann)]
        assert kinds == [net.Connected, net.Spawned, Boom, Boom, Boom]
        assert booms(harness, ann) == [1, 2, 3]
        first = next(event for event in harness.events(ann) if isinstance(event, Boom))
        assert first.at == ann.player
        bob = harness.connect("bob")
        harness.step(5)
        assert booms(harness, bob) == [1, 2, 3]
        assert booms(harness, ann) == [1, 2, 3, 2, 3, 4]
        player = player_of(harness, bob)
        assert [receipt.arrived(player) for receipt in harness.emitted[4:]] == [True] * 3 + [False]


def test_who_leaves_before_the_welcome_leaves_nothing_behind(game: Game) -> None:
    game = Game(update_rate=6.0)
    game.joining = lambda player: net.emit(Boom(1), to=player)
    with Harness(game.server()) as harness:
        client = harness.connect(wait=None)
        harness.until(lambda: harness.emitted)
        harness.leave(client)
        harness.run(1.0)
        writer = harness.room.replicator._events
        assert not writer._waiting
        assert not writer._for_newcomers


def test_with_fewer_updates_events_come_with_the_next_one() -> None:
    game = Game(update_rate=10.0)
    with Harness(game.server()) as harness:
        ann = harness.connect("ann")
        harness.until(lambda: harness.simulation.tick % 6 == 1)

        def emit(number: int) -> Callable[[], object]:
            return lambda: net.emit(Boom(number))

        for number in range(4):
            game.todo.append(emit(number))
            harness.step()
        assert booms(harness, ann) == []
        harness.step(3)
        assert booms(harness, ann) == [0, 1, 2, 3]


def test_who_joins_between_updates_gets_nothing_from_before() -> None:
    game = Game(update_rate=2.0)
    with Harness(game.server()) as harness:
        harness.until(lambda: harness.simulation.tick % 30 == 1)
        bob = harness.connect("bob", wait=None)
        game.todo.append(lambda: net.emit(Boom(1)))
        harness.step()
        harness.until(lambda: harness.simulation.player_entity)
        game.todo.append(lambda: net.emit(Boom(2)))
        harness.run(2.0)
        assert bob.connected
        assert booms(harness, bob) == [2]


def test_a_world_enters_in_pieces_while_something_happens_in_every_tick(
    harness: Harness, game: Game
) -> None:
    with harness.world:
        for _ in range(500):
            esper.create_entity(Title("x" * 100))
    client = harness.connect()
    for number in range(90):
        game.todo.append(lambda number=number: net.emit(Boom(number)))
        harness.step()
    with client.view:
        assert len(esper.get_component(Title)) == 500
    assert booms(harness, client)[-1] > 80


def test_an_event_waits_until_the_view_shows_what_came_before_it(
    harness: Harness, game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_module, "PARTS_AT_ONCE", 6)
    client = harness.connect()
    harness.step(10)

    def emit() -> None:
        things = [esper.create_entity(Place()) for _ in range(20)]
        net.emit(Boom(1, things[-1]))

    game.todo.append(emit)
    harness.step()
    for step in range(40):
        game.todo.append(lambda step=step: net.emit(Boom(100 + step)))
        harness.step()
        shown = sum(isinstance(event, net.Spawned) for event in harness.events(client))
        if booms(harness, client):
            break
        assert shown < 21
    # All of it was shown, the player's own entity, too, and nothing that came later held it up.
    assert shown == 21
    (boom,) = [event for event in harness.events(client) if isinstance(event, Boom)][:1]
    assert boom.number == 1
    assert boom.at is not None
    harness.step(5)
    assert booms(harness, client) == [1, *range(100, 100 + step + 1)]


# How often.


def test_reliable_events_come_exactly_once_and_in_order_at_half_of_all_lost(game: Game) -> None:
    with Harness(game.server()) as harness:
        link = net.Link(lag=0.05, jitter=0.05, loss=0.5, seed=4)
        client = harness.connect(link=link, wait=20.0)
        for number in range(300):
            game.todo.append(lambda number=number: net.emit(Boom(number)))
            game.todo.append(lambda number=number: net.emit(Boom(-1 - number), reliable=False))
            harness.step()
        harness.run(5.0)
        came = booms(harness, client)
        assert [number for number in came if number >= 0] == [*range(300)]
        loose = [number for number in came if number < 0]
        assert 60 < len(loose) < 240
        assert len(set(loose)) == len(loose)


def test_loose_events_that_fill_more_than_a_datagram_come_in_several(
    harness: Harness, game: Game
) -> None:
    client = harness.connect()

    def emit() -> None:
        esper.create_entity(Place())
        for number in range(40):
            net.emit(Story([str(number), "x" * 80]), reliable=False)

    game.todo.append(emit)
    harness.step(3)
    stories = [event for event in harness.events(client) if isinstance(event, Story)]
    assert [int(story.lines[0]) for story in stories] == [*range(40)]
    assert harness.settle()


def test_loose_events_fill_a_datagram_to_its_last_byte(harness: Harness, game: Game) -> None:
    client = harness.connect()
    peer = harness.member(client).peer  # type: ignore[union-attr]
    story = Story(["x" * 50])  # of 56 bytes
    for last, datagrams in (("x" * 63, 1), ("x" * 64, 2)):
        harness.run(1.0)

        def emit(last: str = last) -> None:
            for _ in range(18):
                net.emit(story, reliable=False)
            net.emit(Story([last]), reliable=False)

        game.todo.append(emit)
        before = peer.session.packets_sent
        harness.step()
        assert peer.session.packets_sent - before == datagrams
    assert BODY_BYTES == 3 + 18 * 56 + 69


def test_events_fill_a_message_to_its_last_byte(harness: Harness, game: Game) -> None:
    client = harness.connect()
    peer = harness.member(client).peer  # type: ignore[union-attr]
    half = "x" * (EVENT_BYTES // 2 - 7)
    for second, messages in ((half, 1), (half + "x", 2)):
        game.todo.append(lambda: net.emit(Story([half])))
        game.todo.append(lambda second=second: net.emit(Story([second])))
        before = peer.queued
        harness.step()
        assert peer.queued - before == messages


def test_a_message_with_events_names_the_tick_of_its_update(harness: Harness, game: Game) -> None:
    client = harness.connect()
    harness.seats[client].polling = False  # it acknowledges nothing
    peer = harness.member(client).peer  # type: ignore[union-attr]
    game.todo.append(lambda: net.emit(Boom(1)))
    harness.step()
    _, _, tick, _ = msgspec.msgpack.decode(peer._out.unacked[peer.queued].data)
    assert tick == harness.simulation.tick


def test_who_gets_the_same_gets_the_same_bytes_in_one_message(harness: Harness, game: Game) -> None:
    clients = [harness.connect(f"p{number}") for number in range(6)]
    before = [harness.member(client).peer.queued for client in clients]  # type: ignore[union-attr]

    def emit() -> None:
        thing = esper.create_entity(Place())
        for number in range(10):
            net.emit(Boom(number, thing))
            net.emit(Point(Spot(number)))

    Spot.encoded = 0
    game.todo.append(emit)
    harness.step(3)
    assert [booms(harness, client) for client in clients] == [[*range(10)]] * 6
    # To copy it, to send it, and once on each client to copy it again.
    assert Spot.encoded == 10 * (2 + len(clients))
    after = [harness.member(client).peer.queued for client in clients]  # type: ignore[union-attr]
    # One message for the thing, and one for all that happened.
    assert [a - b for a, b in zip(after, before, strict=True)] == [2] * 6


def test_who_gets_the_same_gets_one_encoded_message(harness: Harness, game: Game) -> None:
    clients = [harness.connect(f"p{number}") for number in range(4)]
    game.todo.append(lambda: net.emit(Boom(7)))
    # One tick of the server's, and no client that acknowledges anything.
    for client in clients:
        harness.seats[client].polling = False
    harness.step()
    peers = [harness.member(client).peer for client in clients]  # type: ignore[union-attr]
    messages = [peer._out.unacked[peer.queued].data for peer in peers]
    assert b"\x07" in messages[0]
    assert all(message is messages[0] for message in messages)


def test_events_are_gone_with_their_tick(harness: Harness, game: Game) -> None:
    """And not left to the garbage collector, which would have to look for what each tick leaves."""
    client = harness.connect("ann")

    def emit() -> None:
        thing = esper.create_entity(Place())
        net.emit(Boom(1, thing))
        net.emit(Boom(2, thing), about=thing)
        net.emit(Boom(3), to=player_of(harness, client))
        net.emit(Boom(4), reliable=False)

    gc.collect()
    gc.disable()
    try:
        game.todo.append(emit)
        harness.step(10)
        left = [each for each in gc.get_objects() if isinstance(each, (_Event, _Copy))]
    finally:
        gc.enable()
    assert booms(harness, client) == [1, 2, 3, 4]
    assert left == []


def test_an_insert_is_told_once_in_a_tick_with_events() -> None:
    """To a client, too, that does not see what its neighbours see, and is told by itself."""
    game = Game(interest=net.Grid(Place, 10.0, 0))
    game.joining = lambda player: esper.add_component(player, Place(5.0, 5.0))
    with Harness(game.server()) as harness:
        ann, bob = harness.connect("ann"), harness.connect("bob")
        with harness.world:
            esper.create_entity(Place(95.0, 95.0), Owner(player_of(harness, ann)))
            thing = esper.create_entity(Place(6.0, 6.0))
        harness.step(10)
        told: dict[str, list[object]] = {}
        for client in (ann, bob):
            store = client._protocol.store
            assert store is not None
            structure = store.structure

            def watched(
                number: int,
                message: Structure[object],
                size: int = 0,
                *,
                name: str = client.view.name,
                structure: Callable[..., bool] = structure,
            ) -> bool:
                told.setdefault(name, []).append(message)
                return structure(number, message, size)

            store.structure = watched  # type: ignore[method-assign]

        def emit() -> None:
            esper.add_component(thing, Title("it"))
            net.emit(Boom(1, thing), about=thing)
            esper.delete_entity(player_of(harness, bob))
            net.emit(Boom(2))

        game.todo.append(emit)
        harness.step(4)
        assert booms(harness, ann) == booms(harness, bob) == [1, 2]
        for messages in told.values():
            # What came before the events, and what went behind them.
            assert [len(message.sets) for message in messages] == [1, 0]
            assert [len(message.despawned) for message in messages] == [0, 1]


def test_many_events_for_one_tick_are_cut_into_messages(harness: Harness, game: Game) -> None:
    client = harness.connect()
    game.todo.append(lambda: [net.emit(Story([str(n) * 5000])) for n in range(9)])
    harness.run(1.0)
    stories = [event for event in harness.events(client) if isinstance(event, Story)]
    assert [story.lines[0][0] for story in stories] == [*"012345678"]


def test_a_receipt_tells_who_has_acknowledged_an_event(game: Game) -> None:
    with Harness(game.server()) as harness:
        ann = harness.connect("ann")
        bob = harness.connect("bob", net.Link(lag=0.2))
        a, b = player_of(harness, ann), player_of(harness, bob)
        receipts: list[net.Emission] = []

        def emit() -> None:
            receipts.append(net.emit(Boom(1)))
            receipts.append(net.emit(Boom(2), to=a))
            receipts.append(net.emit(Boom(3), reliable=False))

        def arrived() -> list[tuple[bool, bool]]:
            return [(receipt.arrived(a), receipt.arrived(b)) for receipt in receipts]

        game.todo.append(emit)
        harness.step()
        assert arrived() == [(False, False)] * 3
        harness.step(5)
        assert arrived() == [(True, False), (True, False), (False, False)]
        harness.run(1.0)
        assert arrived() == [(True, True), (True, False), (False, False)]
        harness.leave(bob)
        harness.run(1.0)
        assert arrived() == [(True, False), (True, False), (False, False)]
        with pytest.raises(net.UsageError, match=r"arrived\(player='bob'\): give the entity of a"):
            receipts[0].arrived("bob")  # type: ignore[arg-type]


def test_what_is_no_player_has_acknowledged_nothing(harness: Harness, game: Game) -> None:
    player = player_of(harness, harness.connect())
    game.todo.append(lambda: net.emit(Boom(1)))
    harness.step(5)
    (receipt,) = harness.emitted
    assert receipt.arrived(player)
    with harness.world:
        thing = esper.create_entity(Owner(player))
    for other in (thing, 9999, 0):
        assert not receipt.arrived(other)


def test_an_event_shows_what_it_held_when_it_was_emitted(harness: Harness, game: Game) -> None:
    client = harness.connect()

    def emit() -> None:
        story = Story(["first"])
        net.emit(story)
        story.lines.append("second")

    game.todo.append(emit)
    harness.step(3)
    assert [event for event in harness.events(client) if isinstance(event, Story)] == [
        Story(["first"])
    ]


def test_what_happened_in_a_room_is_told_before_the_next_one(game: Game) -> None:
    other = Game()
    with Harness(game.server()) as harness:
        client = harness.connect(every=4)
        harness.step(4)
        room = harness.host.add_room(other.server().spec, harness.clock.now)
        member = harness.member(client)
        assert member is not None

        def emit() -> None:
            thing = esper.create_entity(Place())
            net.emit(Boom(1, thing), about=thing)

        game.todo.append(emit)
        harness.step()
        harness.host.move(member, room, harness.clock.now)
        harness.step(1)
        other.todo.append(lambda: net.emit(Boom(2)))
        harness.until(lambda: booms(harness, client))
        *_, first = harness.events(client)
        assert isinstance(first, Boom)
        assert first.at is not None
        with client.view:  # in spite of the Welcome that has come with it
            assert esper.has_component(first.at, Place)
        harness.step(12)
        events = harness.events(client)
        assert booms(harness, client) == [1, 2]
        assert isinstance(events[events.index(first) + 1], net.Despawned)


def test_a_poll_hands_out_so_many_events_and_the_next_one_goes_on(
    harness: Harness, game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_queue, "EVENTS_AT_ONCE", 10)
    client = harness.connect()
    game.todo.append(lambda: [net.emit(Boom(number)) for number in range(35)])
    counts = []
    for _ in range(8):
        harness.step()
        counts.append(len(booms(harness, client)))
    assert sorted({0, *counts}) == [0, 10, 20, 30, 35]
    assert booms(harness, client) == [*range(35)]
    # So many bytes, too, but one event at least.
    monkeypatch.setattr(event_queue, "BYTES_AT_ONCE", 1)
    game.todo.append(lambda: [net.emit(Boom(number)) for number in range(35, 38)])
    harness.step(2)
    before = len(booms(harness, client))
    harness.step()
    assert len(booms(harness, client)) == before + 1
    harness.step(3)
    assert booms(harness, client) == [*range(38)]


def test_events_that_one_poll_did_not_hand_out_outlive_their_room(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_queue, "EVENTS_AT_ONCE", 10)
    with Harness(game.server()) as harness:
        client = harness.connect()
        room = harness.host.add_room(Game().server().spec, harness.clock.now)
        member = harness.member(client)
        assert member is not None
        game.todo.append(lambda: [net.emit(Boom(number)) for number in range(35)])
        harness.step()
        harness.host.move(member, room, harness.clock.now)
        harness.step(12)
        assert booms(harness, client) == [*range(35)]
        kinds = [type(event) for event in harness.events(client)]
        assert kinds.count(net.Connected) == 2
        assert kinds[-2:] == [net.Connected, net.Spawned]


# What only the moment makes wrong.


def test_an_event_for_somebody_who_is_not_there_is_counted(harness: Harness, game: Game) -> None:
    ann, bob = harness.connect("ann"), harness.connect("bob")
    a, b = player_of(harness, ann), player_of(harness, bob)
    game.leaving = lambda player: net.emit(Boom(9), to=player)
    with harness.world:
        nobodys = esper.create_entity(Place())
        dead = esper.create_entity(Place(), Owner(a))
        esper.delete_entity(dead, immediate=True)
    harness.leave(bob)
    harness.step(3)
    assert harness.simulation.ignored == {"emit": 1}  # of the hook

    def emit() -> None:
        for to in (nobodys, dead, b, 10**9):
            net.emit(Boom(1), to=to)
        net.emit(Boom(2), about=dead)
        net.emit(Boom(3), about=10**9)
        net.emit(Boom(4), to=[a, nobodys])

    game.todo.append(emit)
    harness.step(3)
    assert harness.simulation.ignored == {"emit": 8}
    assert booms(harness, ann) == [4]


@pytest.mark.parametrize(
    ("event", "reliable", "says"),
    [
        (lambda: Boom("one"), True, "Boom.number: 'one' is not int"),  # type: ignore[arg-type]
        (lambda: Boom(1, "her"), True, "Boom.at: 'her' is not"),  # type: ignore[arg-type]
        (lambda: Story(["a", 5]), True, "Story.lines: ['a', 5] is not list[str]"),  # type: ignore[list-item]
        (lambda: Story(None), True, "Story.lines: None is not list[str]"),  # type: ignore[arg-type]
        (lambda: Story(["x" * 16_500]), True, "Story: it takes 16,507 bytes, and an event 16,384"),
        (lambda: Story(["x" * 1_000]), False, "Story: it takes 1,007 bytes, and one with reliable"),
    ],
)
def test_an_event_that_cannot_be_sent_is_dropped_with_one_line(
    harness: Harness,
    game: Game,
    caplog: pytest.LogCaptureFixture,
    event: Callable[[], object],
    reliable: bool,
    says: str,
) -> None:
    client = harness.connect()
    caplog.set_level(logging.ERROR)

    def emit() -> None:
        net.emit(Boom(1))
        net.emit(event(), reliable=reliable)
        net.emit(event(), reliable=reliable)
        net.emit(Boom(2))

    game.todo.append(emit)
    harness.step(3)
    assert booms(harness, client) == [1, 2]
    (line,) = [record.message for record in caplog.records]
    assert line.startswith(says), line
    assert "the event is dropped, and others like it" in line


@pytest.mark.parametrize(("most", "reliable"), [(EVENT_BYTES, True), (LOOSE_BYTES, False)])
def test_the_largest_event_is_sent(
    harness: Harness, game: Game, caplog: pytest.LogCaptureFixture, most: int, reliable: bool
) -> None:
    client = harness.connect()
    text = "x" * (most - 7)  # around a text of that length
    game.todo.append(lambda: net.emit(Story([text]), reliable=reliable))
    game.todo.append(lambda: net.emit(Story([text + "x"]), reliable=reliable))
    harness.run(1.0)
    assert [event for event in harness.events(client) if isinstance(event, Story)] == [
        Story([text])
    ]
    (record,) = caplog.records
    assert f"it takes {most + 1:,} bytes" in record.message


def test_an_event_whose_fields_can_be_sent_one_by_one_is_dropped_with_one_line(
    harness: Harness, game: Game, caplog: pytest.LogCaptureFixture
) -> None:
    client = harness.connect()

    def emit() -> None:
        Moody.fails_after = 1  # after the one that copies it
        net.emit(Mood(Moody()))
        net.emit(Boom(1))

    game.todo.append(emit)
    harness.step(3)
    assert booms(harness, client) == [1]
    assert not [event for event in harness.events(client) if isinstance(event, Mood)]
    (line,) = [record.message for record in caplog.records]
    assert line == "Mood: it cannot be encoded; the event is dropped, and others like it"


def test_each_field_that_cannot_be_sent_is_named_once(
    harness: Harness, game: Game, caplog: pytest.LogCaptureFixture
) -> None:
    harness.connect()

    def emit() -> None:
        for _ in range(2):
            net.emit(Boom("one"))  # type: ignore[arg-type]
            net.emit(Boom(1, "her"))  # type: ignore[arg-type]

    game.todo.append(emit)
    harness.step(3)
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "Boom.number",
        "Boom.at",
    ]


def test_an_event_that_was_declared_too_late_is_dropped_with_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with use_registry(Registry()) as own:

        @net.event
        class Early:
            pass

        server = net.ServerWorld()
    events: list[type] = [Early]

    @server.system
    def speak(dt: float) -> None:
        for cls in events:
            net.emit(cls())

    with Harness(server, registry=own) as harness:
        client = harness.connect()
        with use_registry(own):

            @net.event
            class Late:
                pass

        events.insert(0, Late)
        harness.step(3)
        assert {type(event).__name__ for event in harness.events(client)} >= {"Early"}
    (line,) = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert "Late: test_events.py:" in line
    assert "was imported after the server was made; the event is dropped" in line


def test_a_database_that_is_cleared_loses_no_event(harness: Harness, game: Game) -> None:
    client = harness.connect()
    with harness.world:
        thing = esper.create_entity(Place())
    player = player_of(harness, client)
    harness.step(3)

    def emit() -> None:
        net.emit(Boom(1), to=player)
        net.emit(Boom(2, thing), about=thing)
        esper.clear_database()
        net.emit(Boom(3))
        again = [esper.create_entity(Place()) for _ in range(thing)][-1]
        assert again == thing
        esper.delete_entity(again, immediate=True)
        net.emit(Boom(4), about=again)  # of which nobody was ever told

    game.todo.append(emit)
    harness.step(4)
    assert booms(harness, client) == [1, 2, 3]
    second = [event for event in harness.events(client) if isinstance(event, Boom)][1]
    assert second.at is not None


# Without clients.


def test_step_shows_what_was_emitted(game: Game) -> None:
    server = game.server()
    game.todo.append(lambda: net.emit(Boom(1), reliable=False))
    simulation = server.step()
    (emission,) = simulation.emitted
    assert (emission.event, emission.tick, emission.to, emission.about) == (Boom(1), 1, None, None)
    assert not emission.reliable
    assert repr(emission) == "<Emission of Boom(number=1, at=None) in tick 1>"
    assert server.step().emitted == []


# Mistakes.


class Plain:
    """Declared as nothing."""


def mistakes() -> Iterator[tuple[Callable[[], object], str]]:
    yield lambda: net.emit(Plain()), "emit() got Plain, which is not an event: put @net.event above"
    yield (
        lambda: net.emit(Boom),
        "emit() got a class: pass an instance of it",
    )
    yield lambda: net.emit(Go(1)), "emit() got Go, which is a command, not an event ("
    yield lambda: net.emit(Place()), "emit() got Place, which is replicated, not an event ("
    yield lambda: net.emit(5), "emit() got int, which is not an event"
    whom = "give a player's entity, one that a player owns, or several of them"
    yield lambda: net.emit(Boom(1), to="bob"), f"emit(to='bob'): {whom}"  # type: ignore[arg-type]
    yield lambda: net.emit(Boom(1), to=1.5), f"emit(to=1.5): {whom}"  # type: ignore[arg-type]
    yield lambda: net.emit(Boom(1), to=True), f"emit(to=True): {whom}"
    yield lambda: net.emit(Boom(1), to=[None]), f"emit(to=[None]): {whom}"  # type: ignore[list-item]
    yield lambda: net.emit(Boom(1), but=["x"]), f"emit(but=['x']): {whom}"  # type: ignore[list-item]
    yield (
        lambda: net.emit(Boom(1), about="him"),  # type: ignore[arg-type]
        "emit(about='him'): give an entity, a number",
    )
    yield (
        lambda: net.emit(Boom(1), reliable=1),  # type: ignore[arg-type]
        "emit(reliable=1): give True or False",
    )


@pytest.mark.parametrize(("mistake", "says"), [*mistakes()])
def test_a_mistake_gets_one_sentence(game: Game, mistake: Callable[[], object], says: str) -> None:
    game.todo.append(mistake)
    with pytest.raises(net.UsageError) as caught:
        game.server().step()
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_outside_a_tick_nothing_is_emitted() -> None:
    with pytest.raises(net.OutsideTickError) as caught:
        net.emit(Boom(1))
    assert str(caught.value) == (
        "net.emit(Boom) outside a tick: call it in a system, on_start, on_join, on_play or on_leave"
    )


# Figures.


def test_stats_count_what_was_emitted_what_was_in_vain_and_what_arrived(
    harness: Harness, game: Game
) -> None:
    ann, bob = harness.connect("ann"), harness.connect("bob")
    a = player_of(harness, ann)

    def emit() -> None:
        net.emit(Boom(1))
        net.emit(Boom(2), reliable=False)
        net.emit(Boom(3), to=a)
        net.emit(Boom(4), to=10**9)

    game.todo.append(emit)
    harness.step(3)
    for _ in range(2):  # looking at the figures does not change them
        stats = harness.host.stats()
        assert (stats.events_emitted, stats.ignored) == (4, {"emit": 1})
    assert (ann.stats.events_received, bob.stats.events_received) == (3, 2)
    due = {seat.name: seat.client_state.events_due for seat in harness.room.seats}  # type: ignore[union-attr]
    assert due == {"ann": 2, "bob": 1}
    seen = [client._protocol.store.events.given_reliable for client in (ann, bob)]  # type: ignore[union-attr]
    assert seen == [2, 1]
    harness.host.add_room(game.server().spec, harness.clock.now)
    harness.host.remove_room(harness.room, Reason.SHUTDOWN, harness.clock.now)
    for _ in range(2):  # what a room did is counted when it is gone
        stats = harness.host.stats()
        assert (stats.events_emitted, stats.ignored) == (4, {"emit": 1})
