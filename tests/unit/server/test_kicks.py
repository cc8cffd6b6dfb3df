"""Who is thrown out: what its client still gets, what it is told, and what is left of it."""

from __future__ import annotations

import esper
import pytest

import ecsnet as net
from ecsnet.components import Owner, Player
from ecsnet.messages.joining import MemberState
from ecsnet.replication.wire import Resync
from ecsnet.schema import Registry, encode, use_registry
from ecsnet.server.host import GOODBYE_SECONDS
from ecsnet.session.goodbye import Reason
from ecsnet.simulation.observer import Observer
from ecsnet.testing import FaultyLink, Harness

with use_registry(Registry()) as registry:

    @net.replicated
    class Coin:
        worth: int = 0

    @net.command
    class Jump:
        pass

    @net.event
    class Foul:
        number: int = 0


class Game:
    """A game that throws out whom a test names, and notes who leaves."""

    def __init__(self, **options: object) -> None:
        with use_registry(registry):
            self.server = server = net.ServerWorld(**options)  # type: ignore[arg-type]
        self.doomed: dict[str, str] = {}
        self.left: list[tuple[str, str, int]] = []
        self.kicked_at: list[int] = []
        self.jumps: list[str] = []

        @server.system
        def throw(dt: float) -> None:
            for player, who in esper.get_component(Player):
                if who.name in self.doomed:
                    net.emit(Foul(1), to=player)
                    net.kick(player, self.doomed.pop(who.name))
                    net.emit(Foul(2))
                    self.kicked_at.append(net.tick())
                    esper.create_entity(Coin(), Owner(player))
                    esper.create_entity(Coin(7))
            for player, _ in net.commands(Jump):
                self.jumps.append(esper.component_for_entity(player, Player).name)

        @server.on_leave
        def leave(player: int, reason: str) -> None:
            assert type(reason) is str
            name = esper.component_for_entity(player, Player).name
            self.left.append((name, reason, net.tick()))

        self.play = Harness(server, registry=registry)

    def end(self, client: net.ClientWorld, seconds: float = 3.0) -> net.Disconnected:
        """Run until it is over for a client."""
        self.play.until(lambda: client.closed, seconds)
        event = self.play.events(client)[-1]
        assert isinstance(event, net.Disconnected)
        return event

    def names(self) -> list[str]:
        with self.play.world:
            return [who.name for _, who in esper.get_component(Player)]


@pytest.mark.parametrize("every", [1, 7])
def test_a_player_leaves_with_the_next_tick_and_is_told_the_text(every: int) -> None:
    game = Game(update_rate=60 / every)
    with game.play as play:
        ann, eve = play.connect("Ann"), play.connect("Eve")
        for offset in range(every):
            if eve.closed:
                eve = play.connect("Eve")
            play.until(lambda offset=offset: play.simulation.tick % every == offset)  # type: ignore[misc]
            game.doomed["Eve"] = "no cheating\u202e"
            play.step()
            assert game.end(eve).message == "no cheating"
            assert game.end(eve).reason == "kicked"
            assert game.left[-1] == ("Eve", "kicked", game.kicked_at[-1] + 1)
            assert game.names() == ["Ann"]
        assert len(game.left) == every
        assert ann.connected
        assert play.settle()
        assert len(play.host.members) == len(play.room.seats) == len(play.room.names) == 1
        assert play.host._dismissed == {}


def test_without_a_text_there_is_a_sentence() -> None:
    game = Game()
    with game.play as play:
        eve = play.connect("Eve")
        game.doomed["Eve"] = ""
        assert game.end(eve).message == "the server has thrown us out"


def test_what_was_sent_before_arrives_before() -> None:
    """Coins come in the tick of the kick, when three of four datagrams get lost."""
    game = Game()
    with game.play as play:
        for count in range(30):
            eve = play.connect("Eve", FaultyLink(lag=0.03, seed=count))
            play.seats[eve].link.loss = 0.75
            game.doomed["Eve"] = "out"
            play.until(lambda eve=eve: eve.closed, 20.0)  # type: ignore[misc]
            *events, end = play.events(eve)
            assert end == net.Disconnected("kicked")
            # Its player, the coins that were there, and two of that tick.
            assert sum(isinstance(event, net.Spawned) for event in events) == count + 3


@pytest.mark.parametrize("update_rate", [60.0, 20.0, 5.0])
def test_what_happened_in_the_tick_of_the_kick_arrives_before(update_rate: float) -> None:
    game = Game(update_rate=update_rate)
    with game.play as play:
        for count in range(13):
            eve = play.connect("Eve", FaultyLink(lag=0.03, jitter=0.02, seed=count))
            play.seats[eve].link.loss = 0.5
            play.step(count)
            game.doomed["Eve"] = "out"
            play.until(lambda eve=eve: eve.closed, 20.0)  # type: ignore[misc]
            *events, end = play.events(eve)
            assert end == net.Disconnected("kicked")
            assert [event for event in events if isinstance(event, Foul)] == [Foul(1), Foul(2)]


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_what_takes_many_packets_arrives_before(loss: float) -> None:
    """A structural message of many packets leaves in the tick of the kick."""
    game = Game()
    with game.play as play:
        eve = play.connect("Eve", FaultyLink(lag=0.03, loss=loss, seed=3))
        with play.world:
            for worth in range(800):
                esper.create_entity(Coin(worth))
        game.doomed["Eve"] = "out"
        assert game.end(eve).message == "out"
        coins = sum(isinstance(event, net.Spawned) for event in play.events(eve))
        assert coins == 803


def test_a_client_shows_no_text_that_does_more_than_be_read() -> None:
    game = Game()
    with game.play as play:
        eve = play.connect("Eve")
        member = play.member(eve)
        assert member is not None
        play.host.disconnect(member, Reason.KICKED, play.clock.now, "\x1b[31mred\n\u202eWARNING")
        assert game.end(eve).message == "[31mred WARNING"


def test_a_goodbye_waits_for_a_second_at_most() -> None:
    game = Game()
    with game.play as play:
        eve = play.connect("Eve")
        member = play.member(eve)
        assert member is not None
        play.seats[eve].polling = False  # it acknowledges nothing
        game.doomed["Eve"] = "out"
        play.step(2)
        assert member.state is MemberState.LEAVING
        began = play.clock.now
        play.until(lambda: member.state is MemberState.CLOSED)
        assert play.clock.now - began == pytest.approx(GOODBYE_SECONDS, abs=0.05)
        assert game.names() == []
        play.seats[eve].polling = True
        assert game.end(eve).message == "out"


def test_a_goodbye_comes_as_soon_as_all_before_it_has_arrived() -> None:
    game = Game()
    with game.play as play:
        eve = play.connect("Eve", FaultyLink(lag=0.03, seed=1))
        play.run(1)
        began = play.clock.now
        game.doomed["Eve"] = "out"
        assert game.end(eve).message == "out"
        assert play.clock.now - began < 0.25


def test_what_it_does_then_counts_no_more_and_is_no_offence() -> None:
    game = Game()
    with game.play as play:
        eve = play.connect("Eve", FaultyLink(lag=0.2, seed=1))
        ann = play.connect("Ann")
        game.doomed["Eve"] = "out"
        play.step(1)
        eve.send(Jump())
        eve._connection.peer.queue(encode(Resync()))
        ann.send(Jump())
        strikes = 0
        while not eve.closed:
            play.step()
            member = play.member(eve)
            strikes = max(strikes, member.peer.session.budget.strikes if member else 0)
        assert game.jumps == ["Ann"]
        assert strikes == 0
        assert play.simulation.rejected == {}


def test_observers_are_told_once_and_the_log_too(caplog: pytest.LogCaptureFixture) -> None:
    class Noting(Observer):
        def __init__(self) -> None:
            self.told: list[tuple[object, ...]] = []

        def left(self, player_id: int, name: str, reason: str) -> None:
            self.told.append(("left", player_id, name, reason))

        def kicked(self, player_id: int, name: str, reason: str) -> None:
            self.told.append(("kicked", player_id, name, reason))

        def refused(self, name: str, reason: str, now: float) -> None:
            self.told.append(("refused", name, reason))

    game, noting = Game(), Noting()
    with caplog.at_level("INFO", "ecsnet.server"), game.play as play:
        eve = play.connect("Eve")
        play.room.observers.add(noting)
        game.doomed["Eve"] = "out"
        game.end(eve)
        play.run(1)
    assert noting.told == [("kicked", 1, "Eve", "kicked"), ("left", 1, "Eve", "kicked")]
    (line,) = [message for message in caplog.messages if "is gone" in message]
    assert line.endswith("is gone: kicked: out")


@pytest.mark.parametrize("way", ["leaves", "vanishes", "abuses"])
@pytest.mark.parametrize("update_rate", [60.0, 5.0])
def test_nothing_is_left_of_one_that_goes_by_itself_meanwhile(way: str, update_rate: float) -> None:
    game = Game(update_rate=update_rate)
    with game.play as play:
        eve = play.connect("Eve")
        play.until(lambda: play.simulation.tick % 12 == 3)
        play.seats[eve].polling = False
        game.doomed["Eve"] = "out"
        play.step(2)
        member = play.member(eve)
        assert member is not None
        if way == "leaves":
            play.leave(eve)
        elif way == "vanishes":
            play.vanish(eve)
        else:
            play.host.disconnect(member, Reason.ABUSE, play.clock.now)
        play.run(3)
        assert member.state is MemberState.CLOSED
        assert game.left == [("Eve", "kicked", game.kicked_at[0] + 1)]
        assert (play.host.members, play.host._dismissed, play.room._kicked) == ({}, {}, [])
        assert play.room.replicator.clients == []
        assert len(play.room.names) == 0


@pytest.mark.parametrize("update_rate", [60.0, 5.0])
def test_the_end_of_the_game_does_not_wait(update_rate: float) -> None:
    game = Game(update_rate=update_rate)
    with game.play as play:
        eve, ann = play.connect("Eve"), play.connect("Ann")
        play.until(lambda: play.simulation.tick % 12 == 3)
        game.doomed["Eve"] = "out"
        play.step(1)
        play.host.close(Reason.SHUTDOWN, play.clock.now)
        play.network.run(0.1)
        (end,) = [event for event in eve.poll() if isinstance(event, net.Disconnected)]
        if update_rate == 60:
            assert end == net.Disconnected("kicked")
            assert end.message == "out"
        assert ann.poll()[-1] == net.Disconnected("shutdown")
        assert [(name, reason) for name, reason, _ in game.left] == [
            ("Eve", "kicked"),
            ("Ann", "shutdown"),
        ]


@pytest.mark.parametrize("update_rate", [60.0, 5.0])
def test_a_room_that_goes_takes_those_with_it_who_are_being_thrown_out(update_rate: float) -> None:
    game = Game(update_rate=update_rate)
    with game.play as play:
        eve = play.connect("Eve")
        play.until(lambda: play.simulation.tick % 12 == 3)
        game.doomed["Eve"] = "out"
        play.step(1)
        play.host.remove_room(play.room, Reason.SHUTDOWN, play.clock.now)
        for _ in range(120):
            play.network.run(1 / 60)
            play.host.receive_datagrams(play.network.receive(), play.clock.now)
            play.host.tick(play.clock.now)
            eve.poll()
        assert eve.closed
        assert (play.host.members, play.host._dismissed) == ({}, {})


def test_who_is_thrown_out_on_the_way_in_is_refused() -> None:
    with use_registry(registry):
        server = net.ServerWorld(update_rate=5)

    @server.on_join
    def join(player: int) -> None:
        net.kick(player, "not today")

    with Harness(server, registry=registry) as play:
        eve = play.connect("Eve", wait=None)
        play.until(lambda: eve.closed)
        assert play.events(eve) == [net.Refused("kicked", "not today")]
        assert play.simulation.player_entity == {}
        assert play.room.replicator.clients == []


def test_the_reasons_of_others_are_told_as_well() -> None:
    game = Game(timeout=2.0)
    with game.play as play:
        clients = [play.connect(name) for name in ("left", "timeout", "abuse", "slow", "kicked")]
        left, timeout, abuse, slow, kicked = clients
        play.leave(left)
        play.vanish(timeout)
        for client, reason in (
            (abuse, Reason.ABUSE),
            (slow, Reason.SLOW),
            (kicked, Reason.KICKED),
        ):
            member = play.member(client)
            assert member is not None
            play.host.disconnect(member, reason, play.clock.now)
        play.run(5)
        assert len(game.left) == 5
        assert all(name == reason for name, reason, _ in game.left)
