"""Several rooms in one host: each lives, fails and ends by itself, and members change theirs."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import esper
import pytest

import ecsnet.simulation.simulation as net
from ecsnet.client.world import ClientWorld
from ecsnet.commands.inbox import PlayerCommands
from ecsnet.components import Owner, Player
from ecsnet.errors import UsageError
from ecsnet.messages.joining import MemberState
from ecsnet.notifications import Connected, Despawned, Disconnected, Refused, Spawned
from ecsnet.schema import EntityRef, Registry, command, replicated, use_registry
from ecsnet.server.room import Room
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.simulation.game_events import analytics_event, teleported
from ecsnet.simulation.observer import Observer
from ecsnet.simulation.presence import PlayerPresence
from ecsnet.simulation.simulation import Join, Leave, Simulation
from ecsnet.simulation.spec import SimulationSpec
from ecsnet.testing import Harness
from ecsnet.testing.compare import Comparison, Inserts, Truth
from ecsnet.transport.conditioner import Link

with use_registry(Registry()) as registry:

    @replicated
    class Square:
        x: float = 0.0
        friend: EntityRef = None

    @replicated
    class Coin:
        worth: int = 0

    @command(hold=True)
    class Steer:
        dx: int = 0

    @command(hold=True)
    class Aim:
        at: EntityRef = None

    @command
    class Jump:
        number: int = 0


class Log:
    """The commands that came into the ticks of a room: (name of the player, command)."""

    def __init__(self) -> None:
        self.jumps: list[tuple[str, int]] = []
        self.steered: list[tuple[str, int]] = []
        self.aimed: list[tuple[str, int | None]] = []


def racing(log: Log, tick_rate: float = 60.0) -> SimulationSpec:
    """Squares that go where their players steer them."""
    spec = SimulationSpec(tick_rate=tick_rate)

    def join(player: int) -> None:
        esper.add_component(player, Square())

    def move(dt: float) -> None:
        for player, steer in net.commands(Steer):
            esper.component_for_entity(player, Square).x += steer.dx * dt
            log.steered.append((name_of(player), steer.dx))

    def act(dt: float) -> None:
        for player, jump in net.commands(Jump):
            log.jumps.append((name_of(player), jump.number))
        for player, aim in net.commands(Aim):
            log.aimed.append((name_of(player), aim.at))

    spec.on_join.append(join)
    spec.add_function(move, 0)
    spec.add_function(act, 0)
    return spec


def mining(log: Log, tick_rate: float = 20.0) -> SimulationSpec:
    """Coins that come, are worth more and more, and go; players own some."""
    spec = racing(log, tick_rate)
    dice = random.Random(1)

    def mine(dt: float) -> None:
        players = [entity for entity, _ in esper.get_component(Player)]
        coins = esper.get_component(Coin)
        for _, coin in coins:
            coin.worth += 1
        if len(coins) < 30:
            owner = dice.choice([*players, None]) if players else None
            esper.create_entity(Coin(), Owner(owner))
        elif dice.random() < 0.5:
            esper.delete_entity(dice.choice(coins)[0])

    spec.add_function(mine, -1)
    return spec


def name_of(player: int) -> str:
    return str(esper.component_for_entity(player, Player).name)


class Rooms:
    """A harness whose host has a second room."""

    def __init__(self, first: Callable[[Log, float], SimulationSpec] = racing) -> None:
        self.logs = Log(), Log()
        self.game = Harness(serving(first(self.logs[0], 60.0)), seed=5, registry=registry)
        self.host, self.first = self.game.host, self.game.room
        self.second = self.add(mining(self.logs[1]))
        self.game.host.choose = lambda name: self.first

    def add(self, spec: SimulationSpec, **options: Any) -> Room:
        return self.host.add_room(spec, self.game.clock.now, seed=9, **options)

    def move(self, client: ClientWorld, room: Room) -> None:
        member = self.game.member(client)
        assert member is not None
        self.host.move(member, room, self.game.clock.now)

    def is_there(self, client: ClientWorld) -> bool:
        """Return whether a client knows itself on the seat that the host gave it last."""
        member = self.game.member(client)
        assert member is not None
        assert member.seat is not None
        seat, room = member.seat, member.seat.room
        player = room.simulation.player_entity.get(seat.player_id)
        net = None if player is None else room.replicator.network_id(player)
        return client._protocol.state is MemberState.JOINED and client._protocol.player_net == net

    def settle(self, clients: Sequence[ClientWorld], seconds: float = 10.0) -> Comparison:
        """Hold all rooms still until each client shows the same as its room."""
        for room in self.host.rooms:
            room.simulation.paused = True
        result = Comparison()
        for _ in range(round(seconds * 6)):
            self.game.step(10)
            result = Comparison()
            for client in clients:
                result += self.compare(client)
            if result:
                break
        for room in self.host.rooms:
            room.simulation.paused = False
        return result

    def compare(self, client: ClientWorld) -> Comparison:
        member = self.game.member(client)
        assert member is not None
        assert member.seat is not None
        room = member.seat.room
        if member.client_state is None or client._protocol.store is None:
            return Comparison(differences=["not there yet"])
        if client._protocol.store.epoch != room.epoch:
            return Comparison(differences=["still in another room"])
        inserts = Inserts(self.host.schema, room.simulation.world, room.replicator)
        with room.simulation.world:
            inserts.note()
        truth = Truth(self.host.schema, room.simulation.world, room.replicator, inserts)
        return truth.compare(client, member.client_state, member.name, {})


def serving(spec: SimulationSpec) -> ServerWorld:
    with use_registry(registry):
        server = ServerWorld(spec.tick_rate)
    server.spec.systems += spec.systems
    server.spec.on_join += spec.on_join
    return server


@pytest.fixture
def rooms() -> Iterator[Rooms]:
    made = Rooms()
    with made.game:
        yield made


def test_a_room_that_fails_ends_by_itself(rooms: Rooms, caplog: pytest.LogCaptureFixture) -> None:
    game, host = rooms.game, rooms.host

    def broken(dt: float) -> None:
        if broke:
            raise RuntimeError("boom")

    broke = False
    rooms.second.simulation.add_system(broken, 0, "broken")
    places = {"ann": rooms.first, "bob": rooms.second, "carl": rooms.second}
    host.choose = places.get
    ann, bob, carl = (game.connect(name) for name in places)
    ann.send(Steer(1))
    game.run(1)
    steered, ticks = len(rooms.logs[0].steered), host.stats().ticks
    world = rooms.second.simulation.world
    broke = True
    game.run(1)
    assert host.rooms == [rooms.first]
    assert host.failure is None
    assert isinstance(rooms.second.failure, RuntimeError)
    assert world.closed
    for client in (bob, carl):
        assert game.events(client)[-1] == Disconnected("error")
    assert ann.connected
    assert len(rooms.logs[0].steered) - steered > 55
    assert host.stats().ticks > ticks + 55  # those of the room that is gone still count
    assert host.stats().joined == 3
    assert "broken raised in tick" in caplog.text
    assert game.settle()
    host.choose = host._least_crowded
    dora = game.connect("dora")
    assert dora.connected
    assert [seat.name for seat in rooms.first.seats] == ["ann", "dora"]


def test_a_host_fails_with_its_last_room() -> None:
    made = Rooms()
    with made.game as game:

        def broken(dt: float) -> None:
            raise RuntimeError("boom")

        ann = game.connect("ann")
        made.second.simulation.add_system(broken, 0, "broken")
        game.run(0.2)
        assert made.host.failure is None
        made.first.simulation.add_system(broken, 0, "broken")
        with pytest.raises(RuntimeError, match="boom"):
            game.run(0.2)
        assert made.host.rooms == []
        game._poll(game.seats[ann])
        assert game.events(ann)[-1] == Disconnected("error")


def test_who_finds_no_room_is_refused(rooms: Rooms) -> None:
    rooms.host.choose = lambda name: None
    ann = rooms.game.connect("ann", wait=None)
    rooms.game.run(1)
    (refused,) = rooms.game.events(ann)
    assert isinstance(refused, Refused)
    assert refused.reason == "full"
    assert not rooms.host.members


def test_who_joins_comes_where_the_fewest_are(rooms: Rooms) -> None:
    rooms.host.choose = rooms.host._least_crowded
    for name in ("a", "b", "c", "d"):
        rooms.game.connect(name)
    assert [seat.name for seat in rooms.first.seats] == ["a", "c"]
    assert [seat.name for seat in rooms.second.seats] == ["b", "d"]


def test_rooms_come_and_go_while_others_run(rooms: Rooms) -> None:
    game, host = rooms.game, rooms.host
    ann = game.connect("ann")
    ann.send(Steer(1))
    logs = [Log() for _ in range(5)]
    left: list[int] = []
    guests = []
    for number, log in enumerate(logs):
        spec = mining(log, 10.0 + 10 * number)
        spec.on_leave.append(lambda player: left.append(player))
        room = rooms.add(spec, update_rate=10)
        host.choose = lambda name, room=room: room  # type: ignore[misc]
        guest = game.connect(f"guest {number}")
        guests.append(guest)
        guest.send(Steer(number))
        game.run(1)
        assert rooms.settle([ann, guest])
        epoch, world = room.epoch, room.simulation.world
        host.remove_room(room, Reason.SHUTDOWN, game.clock.now)
        game.run(0.2)
        assert game.events(guest)[-1] == Disconnected("shutdown")
        assert world.closed
        assert room not in host.rooms
        assert epoch not in [each.epoch for each in host.rooms]
        assert len(log.steered) > 5
    assert len(left) == 5
    assert ann.connected
    assert len(rooms.logs[0].steered) > 5 * 60
    assert host.rooms == [rooms.first, rooms.second]
    assert host.stats().joined == 6
    assert host.stats().clients == 1
    assert host.stats().commands_applied > len(rooms.logs[0].steered)


def test_a_shared_instance_is_refused_where_a_second_room_would_get_it(rooms: Rooms) -> None:
    class Counter:
        def __init__(self) -> None:
            self.ticks = 0

        def process(self, dt: float) -> None:
            self.ticks += 1

    spec = SimulationSpec()
    spec.add_system(Counter, 0)
    rooms.add(spec)
    rooms.add(spec)
    spec = SimulationSpec()
    spec.add_system(Counter(), 0)
    alone = rooms.add(spec)
    for _ in range(2):
        with pytest.raises(
            UsageError, match=r"add_system\(.*Counter\(\.\.\.\)\): both would share"
        ):
            rooms.add(spec)
        rooms.game.step(2)
    assert alone.simulation.tick >= 2
    rooms.host.remove_room(alone, Reason.SHUTDOWN, rooms.game.clock.now)
    with pytest.raises(UsageError, match="both would share"):  # it remembers the match before
        rooms.add(spec)


# Changing the room.


def test_a_member_that_changes_its_room_sees_the_other_one(rooms: Rooms) -> None:
    game = rooms.game
    ann, bob = game.connect("ann"), game.connect("bob")
    game.run(1)
    peer, before = game.member(ann).peer, ann.player  # type: ignore[union-attr]
    events = game.events(ann)
    events.clear()
    rooms.move(ann, rooms.second)
    game.run(1)
    gone = [event for event in events if isinstance(event, Despawned)]
    assert {event.entity for event in gone[:2]} >= {before}
    assert {event.why for event in gone[:2]} == {"hidden"}
    kinds = [type(event) for event in events]
    at = kinds.index(Connected)
    assert Despawned in kinds[:at]
    assert Spawned not in kinds[:at]
    assert Spawned in kinds[at:]
    assert events[at] == Connected(ann.player or 0)
    assert kinds.count(Connected) == 1
    assert not any(isinstance(event, Disconnected | Refused) for event in events)
    with ann.view:
        assert [player.name for _, player in esper.get_component(Player)] == ["ann"]
        assert len(esper.get_component(Coin)) > 5
    with bob.view:
        assert [player.name for _, player in esper.get_component(Player)] == ["bob"]
    assert game.member(ann).peer is peer  # type: ignore[union-attr]
    for each in (peer, ann._connection.peer):
        assert each.session.budget.strikes == 0
    assert rooms.settle([ann, bob])


def test_the_log_follows_a_client_from_state_to_state(
    rooms: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    game = rooms.game
    with caplog.at_level(logging.DEBUG, "ecsnet"):
        ann = game.connect("ann")
        rooms.move(ann, rooms.second)
        game.run(0.5)
        game.leave(ann)
        game.run(0.5)
    where = "10.0.0.1:40000"
    server = [r.getMessage() for r in caplog.records if r.name == "ecsnet.server"]
    assert [line for line in server if "sight" not in line] == [
        f"ann (player 1, {where}): handshake -> joining",
        f"ann (player 1, {where}): joining -> joined",
        f"ann (player 1, {where}) joined",
        f"ann (player 1, {where}): joined -> joining",
        f"ann (player 1, {where}): joining -> joined",
        f"ann (player 1, {where}) joined",
        f"ann (player 1, {where}) is gone: left",
        f"ann (player 1, {where}): joined -> closed",
    ]
    client = [r.getMessage() for r in caplog.records if r.name == "ecsnet.client"]
    assert client == [
        "ann: handshake -> joining",
        "ann: joining -> joined",
        "connected as ann",
        "ann: joined -> joining",
        "ann: joining -> joined",
        "connected as ann",
        "ann: joined -> closed",
    ]


def test_what_is_held_goes_on_but_for_what_names_entities(rooms: Rooms) -> None:
    game = rooms.game
    ann, bob = game.connect("ann"), game.connect("bob")
    game.run(0.5)
    friend = next(entity for entity in ann._view.local.values() if entity != ann.player)
    ann.send(Steer(3))
    ann.send(Aim(friend))
    game.run(0.5)
    assert ("ann", 3) in rooms.logs[0].steered
    assert any(at is not None for _, at in rooms.logs[0].aimed)
    rooms.move(ann, rooms.second)
    game.run(1)
    assert ("ann", 3) in rooms.logs[1].steered
    assert len(rooms.logs[1].steered) > 10
    assert rooms.logs[1].aimed == []
    assert bob.connected


def test_figures_are_those_of_the_room(rooms: Rooms) -> None:
    game, host = rooms.game, rooms.host
    ann = game.connect("ann")
    ann.send(Steer(1))
    game.run(2)
    assert ann.stats.commands_applied > 90
    applied = host.stats().commands_applied
    rooms.move(ann, rooms.second)
    game.run(1)
    assert 5 < ann.stats.commands_applied < 25
    assert ann.stats.tick <= rooms.second.simulation.tick
    assert host.stats().commands_applied >= applied + ann.stats.commands_applied
    assert host.stats().joined == 2  # into two rooms
    assert host.stats().clients == 1
    assert rooms.first.stats().joined == rooms.second.stats().joined == 1
    assert rooms.first.stats().commands_applied > 90
    assert not rooms.first.players
    assert len(rooms.first.names) == 0


def test_a_name_is_free_again_in_the_room_that_was_left(rooms: Rooms) -> None:
    game = rooms.game
    ann = game.connect("ann")
    other = game.connect("ann")
    rooms.move(ann, rooms.second)
    rooms.move(other, rooms.second)
    game.run(0.5)
    assert [seat.name for seat in rooms.second.seats] == ["ann", "ann (2)"]
    rooms.move(other, rooms.first)
    game.run(0.5)
    assert [seat.name for seat in rooms.first.seats] == ["ann"]
    assert rooms.settle([ann, other])


def test_who_leaves_while_changing_leaves_nothing(rooms: Rooms) -> None:
    game, host = rooms.game, rooms.host
    for ticks in range(12):
        ann = game.connect(f"ann {ticks}")
        rooms.move(ann, rooms.second)
        game.step(ticks)
        game.leave(ann)
        game.run(0.5)
        assert not host.members
    for room in (rooms.first, rooms.second):
        assert room.occupants() == room.replicator.clients == []
        assert room.players == room.simulation.player_entity == {}
        assert not any(room._report_turns)


@pytest.mark.parametrize("loss", [0.0, 0.3])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_worlds_stay_equal_and_actions_come_once_over_changes_of_the_room(
    loss: float, seed: int
) -> None:
    made = Rooms(mining)
    game, first, second = made.game, made.first, made.second
    dice = random.Random(seed)
    with game:
        links = [Link(lag=0.06, jitter=0.05, loss=loss, duplicate=0.02, seed=n) for n in (1, 2)]
        ann = game.connect("ann", links[0], wait=20)
        bob = game.connect("bob", links[1], wait=20)
        bob.send(Steer(1))
        safe: dict[Room, set[int]] = {first: set(), second: set()}
        numbers = changes = returns = polls = 0
        room = first
        for _ in range(10):
            stay = dice.choice((0.02, 0.1, 0.3, 3.0, 4.0))
            ticks = round(stay * 60)
            for tick in range(ticks):
                if made.is_there(ann):
                    numbers += 1
                    ann.send(Jump(numbers))
                    if tick < ticks - 120:
                        safe[room].add(numbers)
                ann.send(Steer(dice.choice((-1, 1))))
                game.step()
                polls += 1
                for client in (ann, bob):
                    stats = client.stats
                    assert stats.confirmed_tick <= stats.tick
                    store, member = client._protocol.store, game.member(client)
                    assert store is not None
                    assert member is not None
                    now_in = first if store.epoch == first.epoch else second
                    assert stats.tick <= now_in.simulation.tick
            room = second if room is first else first
            made.move(ann, room)
            changes += 1
            if dice.random() < 0.3:  # and back at once
                game.step(dice.randrange(4))
                room = second if room is first else first
                made.move(ann, room)
                returns += 1
        game.run(3)
        assert game.member(ann).seat.room is room  # type: ignore[union-attr]
        result = made.settle([ann, bob], 30)
        assert result, result.differences
        assert result.compared > 30
        assert changes == 10
        assert returns > 0
        assert polls > 500
        assert sum(link.stats.dropped for link in links) > 500 or not loss
        came = [number for log in made.logs for name, number in log.jumps if name == "ann"]
        assert len(came) == len(set(came)) > 200
        for log, where in zip(made.logs, (first, second), strict=True):
            jumps = [number for name, number in log.jumps if name == "ann"]
            assert jumps == sorted(jumps)
            assert safe[where] <= set(jumps)
        assert len(safe[first] | safe[second]) > 100
        for peer in (ann._connection.peer, game.member(ann).peer):  # type: ignore[union-attr]
            assert peer.session.budget.strikes == 0
        assert [e for e in game.events(ann) if isinstance(e, Disconnected | Refused)] == []


# Observers.


class Noting(Observer):
    """Keeps what it is told, and the match with it."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.told: list[tuple[object, ...]] = []
        self.match: list[tuple[Sequence[Join], Sequence[Leave], Sequence[PlayerCommands]]] = []
        self.ended: list[int] = []

    def joined(self, player_id: int, name: str) -> None:
        self.told.append(("joined", player_id, name))

    def left(self, player_id: int, name: str, reason: str) -> None:
        self.told.append(("left", player_id, name, reason))

    def refused(self, name: str, reason: str, now: float) -> None:
        self.told.append(("refused", name, reason))

    def kicked(self, player_id: int, name: str, reason: str) -> None:
        self.told.append(("kicked", player_id, name, reason))

    def tick_began(
        self,
        tick: int,
        joins: Sequence[Join],
        leaves: Sequence[Leave],
        commands: Sequence[PlayerCommands],
        presences: Sequence[PlayerPresence],
    ) -> None:
        assert tick == self.simulation.tick + 1
        self.match.append((joins, leaves, commands))

    def tick_ended(self, tick: int) -> None:
        assert tick == self.simulation.tick
        self.ended.append(tick)

    def event(
        self, type: str, player: int | None, entity: int | None, data: Mapping[str, object]
    ) -> None:
        self.told.append((type, player, entity, data))

    def teleported(self, entity: int) -> None:
        self.told.append(("teleported", entity))

    def stopped(self, reason: str, figures: Mapping[str, int]) -> None:
        self.told.append(("stopped", reason, figures["joined"]))


class Source:
    def __init__(self) -> None:
        self.made: list[Noting] = []
        self.closed = 0

    def observe(self, simulation: Simulation) -> Observer:
        self.made.append(Noting(simulation))
        return self.made[-1]

    def close(self) -> None:
        self.closed += 1


def test_observers_are_told_what_happens_and_a_match_is_a_list(rooms: Rooms) -> None:
    game, host = rooms.game, rooms.host
    source = Source()
    host.sources = [source]
    log = Log()

    def tell(dt: float) -> None:
        if net.tick() == 5:
            analytics_event("pickup", player=1, gold=3)
            teleported(7)

    spec = mining(log)
    spec.add_function(tell, 0)
    room = rooms.add(spec)
    (noting,) = source.made
    host.choose = lambda name: room
    ann, bob = game.connect("ann"), game.connect("bob")
    for number in range(40):
        ann.send(Steer(1))
        bob.send(Jump(number))
        game.step(3)
    rooms.move(ann, rooms.first)
    member = game.member(bob)
    assert member is not None
    host.disconnect(member, Reason.KICKED, game.clock.now)
    game.run(0.5)
    host.remove_room(room, Reason.SHUTDOWN, game.clock.now)
    assert noting.told == [
        ("joined", 1, "ann"),
        ("pickup", 1, None, {"gold": 3}),
        ("teleported", 7),
        ("joined", 2, "bob"),
        ("left", 1, "ann", "moved"),
        ("kicked", 2, "bob", "kicked"),
        ("left", 2, "bob", "kicked"),
        ("stopped", "stopped", 2),
    ]
    assert noting.ended == list(range(1, len(noting.match) + 1))
    assert len(noting.match) > 40
    # The same list makes the same match again.
    again = Simulation(mining(Log()), seed=9, epoch=1, player=Player, owner=Owner)
    for joins, leaves, commands in noting.match:
        again.step(joins, leaves, commands)
    assert again.tick == len(noting.match)
    again.close()


def test_an_observer_that_raises_is_told_nothing_more(
    rooms: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(Observer):
        calls = 0

        def tick_ended(self, tick: int) -> None:
            self.calls += 1
            raise RuntimeError("boom")

    game = rooms.game
    bad, good = Bad(), Noting(rooms.first.simulation)
    rooms.first.observers.add(bad)
    rooms.first.observers.add(good)
    ann = game.connect("ann")
    with caplog.at_level(logging.ERROR, "ecsnet.server"):
        game.run(1)
    assert bad.calls == 1
    assert len(good.ended) > 60
    assert list(rooms.first.observers) == [good]
    assert ann.connected
    assert game.settle()


def observed(rooms: Rooms, *specs: SimulationSpec) -> tuple[list[Room], list[Noting]]:
    """Rooms with an observer each."""
    source = Source()
    rooms.host.sources = [source]
    return [rooms.add(spec) for spec in specs], source.made


@pytest.mark.parametrize("end", ["room", "host"])
def test_where_a_room_ends_nobody_was_thrown_out(rooms: Rooms, end: str) -> None:
    game, host = rooms.game, rooms.host
    (room,), (noting,) = observed(rooms, racing(Log()))
    host.choose = lambda name: room
    game.connect("ann")
    if end == "room":
        host.remove_room(room, Reason.SHUTDOWN, game.clock.now)
    else:
        host.close(Reason.SHUTDOWN, game.clock.now)
    assert noting.told == [
        ("joined", 1, "ann"),
        ("left", 1, "ann", "shutdown"),
        ("stopped", "stopped", 1),
    ]


def test_who_is_thrown_out_on_the_way_into_a_room_was_refused_by_that_room(rooms: Rooms) -> None:
    game, host = rooms.game, rooms.host
    (slow, other), (noting, elsewhere) = observed(rooms, racing(Log(), 1.0), racing(Log()))
    host.choose = lambda name: slow
    game.run(1.2)
    game.connect("ann", wait=None)
    game.until(lambda: slow.occupants(), 0.5)
    (member,) = host.members.values()
    assert member.state is MemberState.JOINING
    host.disconnect(member, Reason.ABUSE, game.clock.now)
    host.disconnect(member, Reason.ABUSE, game.clock.now)  # which has no effect
    assert noting.told == [("refused", "ann", "abuse")]
    assert elsewhere.told == []
    assert other.occupants() == []


def test_who_is_thrown_out_before_it_has_a_room_was_refused_by_all(rooms: Rooms) -> None:
    game, host = rooms.game, rooms.host
    _, told = observed(rooms, racing(Log()), racing(Log()))
    client = game.connect("ann", wait=None)
    client._connection._hello = b"\xc1"
    game.until(lambda: host.members)
    (member,) = host.members.values()
    host.disconnect(member, Reason.ABUSE, game.clock.now)
    assert [noting.told for noting in told] == [[("refused", "", "abuse")]] * 2


def test_a_tick_that_fails_has_not_ended_for_observers(rooms: Rooms) -> None:
    game, host = rooms.game, rooms.host

    def broken(dt: float) -> None:
        if net.tick() == 20:
            raise RuntimeError("boom")

    spec = racing(Log())
    spec.add_function(broken, 0)
    (room,), (noting,) = observed(rooms, spec)
    host.choose = lambda name: room
    ann = game.connect("ann", wait=None)
    game.run(1)
    assert len(noting.match) == 20
    assert noting.ended == list(range(1, 20))
    assert noting.told[-1] == ("stopped", "failed", 1)
    assert game.events(ann)[-1] == Disconnected("error")


def test_who_has_no_player_owns_nothing() -> None:
    with use_registry(Registry()) as own:

        @replicated(visible_to="owner")
        class Secret:
            word: str = "sesame"

        @replicated
        class Rock:
            weight: int = 1

        server = ServerWorld()

    @server.on_join
    def join(player: int) -> None:
        esper.clear_database()
        for _ in range(3):
            esper.create_entity(Rock(), Secret())

    with Harness(server, registry=own) as game:
        client = game.connect("ann")
        game.run(0.5)
        with client.view:
            assert len(esper.get_component(Rock)) == 3
            assert esper.get_component(Secret) == []


def test_nobody_sees_anything_who_is_not_in_the_room(rooms: Rooms) -> None:
    game, first = rooms.game, rooms.first
    game.connect("ann")
    game.run(0.2)
    player = first.replicator.network_id(first.simulation.player_entity[1])
    assert player is not None
    assert first.sees(1, player)
    assert not first.sees(2, player)
    assert not first.sees(1, player + 1)
