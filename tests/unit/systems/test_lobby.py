"""The lobby: its phases, who plays and who watches, and what players say in it."""

from __future__ import annotations

from collections.abc import Sequence

import esper
import pytest

import ecsnet as net
from ecsnet.components import (
    LobbyInfo,
    LobbyPlayer,
    LobbyReady,
    LobbyState,
    Owner,
    Player,
    Presence,
)
from ecsnet.schema import Registry, encode, use_registry
from ecsnet.simulation.observer import Observer
from ecsnet.simulation.presence import PlayerPresence
from ecsnet.simulation.simulation import Simulation

with use_registry(Registry()) as registry:

    @net.replicated
    class Coin:
        worth: int = 0

    @net.command(hold=True)
    class Steer:
        dx: int = 0


class Game:
    """A game with a lobby, and notes of what happens in it. A tenth of a second is one tick."""

    def __init__(self, lobby: net.Lobby, **options: object) -> None:
        with use_registry(registry):
            self.server = server = net.ServerWorld(
                10,
                lobby=lobby,
                **options,  # type: ignore[arg-type]
            )
        self.played: list[tuple[int, list[int]]] = []  # tick, players
        self.ran: list[int] = []  # ticks in which the game's system ran
        self.steered: list[tuple[str, int]] = []
        self.do: list[object] = []  # functions for an `always` system to call
        self.keep = False

        @server.on_play
        def play(players: list[int]) -> None:
            self.played.append((net.tick(), players))

        @server.on_leave
        def leave(player: int) -> object:
            return net.KEEP if self.keep else None

        @server.system
        def rule(dt: float) -> None:
            self.ran.append(net.tick())
            self.steered += [("rule", steer.dx) for _, steer in net.commands(Steer)]

        @server.system(priority=1, always=True)
        def always(dt: float) -> None:
            self.steered += [("always", steer.dx) for _, steer in net.commands(Steer)]
            while self.do:
                self.do.pop(0)()  # type: ignore[operator]

        self.simulation = server.step(1)

    def step(self, ticks: int = 1, **given: object) -> None:
        self.server.step(ticks, **given)  # type: ignore[arg-type]

    def join(self, *names: str) -> None:
        self.step(joins=names)

    def say(self, command: object, *players: int) -> None:
        self.step(commands=[(player, command) for player in players])

    def ready(self, *players: int) -> None:
        self.say(LobbyReady(), *players)

    def soon(self, *functions: object) -> None:
        """Call functions in a system of the next tick."""
        self.do += functions
        self.step()

    def hear(self, player: int, *, silent: bool) -> None:
        """Let a player fall silent, or come back."""
        self.simulation.step(presences=[PlayerPresence(player, silent)])

    @property
    def phase(self) -> str:
        return self.state.phase

    @property
    def state(self) -> LobbyState:
        with self.simulation.world:
            ((_, state),) = esper.get_component(LobbyState)
            return state

    def of(self, player: int) -> LobbyPlayer:
        with self.simulation.world:
            entity = self.simulation.player_entity[player]
            return esper.component_for_entity(entity, LobbyPlayer)

    def who(self, field: str) -> list[int]:
        """The numbers of the players of whom a flag is true."""
        return [n for n in self.simulation.player_entity if getattr(self.of(n), field)]


# From waiting to playing.


def test_a_match_begins_when_all_are_ready_and_the_countdown_is_over() -> None:
    game = Game(net.Lobby(players=(2, 4), countdown=1.0))
    game.join("Ann", "Bob")
    assert (game.phase, game.state.match) == ("waiting", 0)
    game.ready(1)
    game.step(20)
    assert game.phase == "waiting"
    game.ready(2)
    began = game.simulation.tick
    assert (game.phase, game.state.until) == ("countdown", began + 10)
    game.step(9)
    assert game.phase == "countdown"
    assert game.played == game.ran == []
    game.step(3)
    assert (game.phase, game.state.until, game.state.match) == ("playing", 0, 1)
    entities = list(game.simulation.player_entity.values())
    assert game.played == [(began + 10, entities)]
    assert game.ran == [began + 10, began + 11, began + 12]


def test_a_countdown_of_nothing_begins_at_once() -> None:
    game = Game(net.Lobby(players=(1, 1), countdown=0))
    game.join("Ann")
    game.ready(1)
    assert game.phase == "playing"
    assert game.ran == [game.simulation.tick]


@pytest.mark.parametrize("cause", ["unready", "leave", "lost", "join"])
def test_what_breaks_the_condition_brings_it_back_to_waiting(cause: str) -> None:
    game = Game(net.Lobby(players=(2, 3), countdown=1.0))
    game.join("Ann", "Bob")
    game.ready(1, 2)
    game.step(5)
    assert game.phase == "countdown"
    if cause == "unready":
        game.say(LobbyReady(False), 2)
    elif cause == "leave":
        game.step(leaves=[2])
    elif cause == "lost":
        game.hear(2, silent=True)
    else:
        game.join("Eve")
    assert (game.phase, game.state.until) == ("waiting", 0)
    game.step(20)
    assert (game.phase, game.played) == ("waiting", [])


def test_the_countdown_goes_on_while_enough_are_left() -> None:
    game = Game(net.Lobby(players=(2, 4), countdown=1.0))
    game.join("Ann", "Bob", "Eve")
    game.ready(1, 2, 3)
    until = game.state.until
    game.step(leaves=[3])
    assert (game.phase, game.state.until) == ("countdown", until)
    game.step(10)
    assert len(game.played[0][1]) == 2


def test_who_watches_does_not_hold_up_the_countdown_and_plays_where_there_is_a_place() -> None:
    game = Game(net.Lobby(players=(2, 3), countdown=1.0))
    game.join("Ann", "Bob", "Cid", "Eve")
    game.ready(1, 2, 3)
    game.step(leaves=[3])
    game.step(5)
    assert (game.phase, game.who("plays")) == ("countdown", [1, 2])
    game.step(5)
    assert game.played[0][1] == [game.simulation.player_entity[n] for n in (1, 2, 4)]


def test_it_is_looked_at_again_when_the_countdown_is_over() -> None:
    """In the very tick in which it would begin, somebody is not ready any more."""
    game = Game(net.Lobby(players=(2, 4), countdown=1.0))
    game.join("Ann", "Bob")
    game.ready(1, 2)
    game.step(9)
    assert game.state.until == game.simulation.tick + 1
    game.say(LobbyReady(False), 1)
    assert (game.phase, game.played) == ("waiting", [])


def test_too_few_do_not_begin_however_ready() -> None:
    game = Game(net.Lobby(players=(3, 4), countdown=0))
    game.join("Ann", "Bob")
    game.ready(1, 2)
    game.step(20)
    assert game.phase == "waiting"


def test_who_is_lost_is_not_ready_and_has_to_say_it_again() -> None:
    game = Game(net.Lobby(players=(2, 4), countdown=1.0))
    game.join("Ann", "Bob")
    game.ready(2)
    game.hear(2, silent=True)
    assert game.who("ready") == []
    game.ready(2)  # it cannot be: it is lost
    assert game.who("ready") == []
    game.hear(2, silent=False)
    assert game.who("ready") == []
    game.step(10)
    game.ready(2)
    assert game.who("ready") == [2]


def test_a_kept_entity_is_no_player_and_not_ready() -> None:
    game = Game(net.Lobby(players=(2, 2), countdown=1.0))
    game.keep = True
    game.join("Ann", "Bob")
    bob = game.simulation.player_entity[2]
    game.ready(1, 2)
    game.step(leaves=[2])
    assert game.phase == "waiting"
    with game.simulation.world:
        assert not esper.component_for_entity(bob, LobbyPlayer).ready
        assert esper.component_for_entity(bob, Presence).status == "left"
    game.join("Eve")
    assert game.of(3).plays
    game.ready(1, 3)
    game.step(10)
    assert game.played[0][1] == [game.simulation.player_entity[n] for n in (1, 3)]


# What players say.


def test_ready_toggles_at_most_twice_a_second() -> None:
    game = Game(net.Lobby(players=(2, 4)))
    game.join("Ann")
    flags = []
    for number in range(4):
        game.say(LobbyReady(number % 2 == 0), 1)
        flags.append(game.of(1).ready)
    assert flags == [True, False, False, False]
    assert game.simulation.rejected[1] == 1  # the last one is no change
    game.step(6)
    game.say(LobbyReady(True), 1)
    assert game.of(1).ready
    assert game.simulation.rejected[1] == 1


def test_saying_the_same_again_is_free() -> None:
    game = Game(net.Lobby(players=(2, 4)))
    game.join("Ann")
    for _ in range(30):
        game.ready(1)
    game.say(LobbyReady(False), 1)
    assert not game.of(1).ready
    assert game.simulation.rejected[1] == 0


def test_ready_means_nothing_in_a_match_and_is_counted() -> None:
    game = Game(net.Lobby(players=(1, 4), countdown=0))
    game.join("Ann")
    game.ready(1)
    game.join("Eve")
    game.step(20)
    game.ready(2)
    assert game.who("ready") == [1]
    assert game.simulation.rejected[2] == 1


def test_info_is_what_the_player_says_in_every_phase() -> None:
    game = Game(net.Lobby(players=(1, 4), countdown=0))
    game.join("Ann")
    assert game.of(1).values() == {}
    game.say(LobbyInfo(encode({"team": "red", "level": 3})), 1)
    assert game.of(1).values() == {"team": "red", "level": 3}
    game.ready(1)
    game.say(LobbyInfo(encode({"team": "blue"})), 1)
    assert (game.phase, game.of(1).values()) == ("playing", {"team": "blue"})


@pytest.mark.parametrize(
    "info",
    [
        b"\xc1",
        b"\x80\x80",
        encode([1, 2]),
        encode({"a": [1]}),
        encode({"a": None}),
        encode({1: 1}),
        encode("text"),
        b"\x81\xa1\xff\x01",
        b"\xdf\xff\xff\xff\xff",
    ],
)
def test_info_that_cannot_be_read_reads_as_nothing(info: bytes) -> None:
    game = Game(net.Lobby(players=(2, 4)))
    game.join("Ann")
    game.say(LobbyInfo(encode({"a": 1})), 1)
    game.say(LobbyInfo(info), 1)
    assert game.of(1).info == info
    assert game.of(1).values() == {}


def test_info_is_at_most_200_bytes() -> None:
    game = Game(net.Lobby(players=(2, 4)))
    game.join("Ann")
    game.say(LobbyInfo(b"x" * 200), 1)
    with pytest.raises(net.UsageError, match="info"):
        game.say(LobbyInfo(b"x" * 201), 1)


# Who plays, and who watches.


def test_who_finds_all_places_taken_watches_until_one_is_free() -> None:
    game = Game(net.Lobby(players=(1, 2)))
    game.join("Ann", "Bob", "Eve", "Zoe")
    assert game.who("plays") == [1, 2]
    game.step(leaves=[1])
    assert game.who("plays") == [2, 3]
    game.ready(2, 3)  # Zoe watches, and need not be ready
    assert game.phase == "countdown"
    game.step(30)
    assert game.played[0][1] == [game.simulation.player_entity[n] for n in (2, 3)]


@pytest.mark.parametrize(("late", "plays"), [("watch", [1]), ("play", [1, 2]), ("refuse", [1])])
def test_who_comes_during_the_match(late: str, plays: list[int]) -> None:
    game = Game(net.Lobby(players=(1, 2), countdown=0, late=late))  # type: ignore[arg-type]
    seen: list[bool] = []

    def look(player: int) -> None:
        seen.append(esper.component_for_entity(player, LobbyPlayer).plays)

    game.simulation._on_join = (look,)
    game.join("Ann")
    game.ready(1)
    game.join("Bob", "Eve")
    assert game.phase == "playing"
    assert game.who("plays") == plays
    assert seen == [True, late == "play", False]  # on_join knows it already
    assert len(game.played) == 1


def test_watchers_become_players_in_the_order_in_which_they_came() -> None:
    game = Game(net.Lobby(players=(1, 3), countdown=0))
    game.join("Ann", "Bob")
    game.ready(1, 2)
    game.join("Cid", "Dan")
    game.join("Eve")
    game.step(leaves=[1])
    assert game.who("plays") == [2]  # nobody moves up within the match
    game.soon(net.end_match)
    assert game.phase == "waiting"
    assert game.who("plays") == [2, 3, 4]
    assert game.who("ready") == []


@pytest.mark.parametrize(
    ("late", "taken", "playing", "text"),
    [
        ("refuse", 1, False, None),
        ("refuse", 2, False, "all places are taken"),
        ("refuse", 1, True, "the match has begun"),
        ("watch", 9, True, None),
        ("play", 9, True, None),
    ],
)
def test_who_is_refused(late: str, taken: int, playing: bool, text: str | None) -> None:
    game = Game(net.Lobby(players=(1, 2), countdown=0, late=late))  # type: ignore[arg-type]
    game.join("Ann")
    if playing:
        game.ready(1)
    assert game.simulation.lobby is not None
    assert game.simulation.lobby.refusal(taken) == text


# The match, and its end.


def test_commands_reach_always_systems_only_until_it_is_playing() -> None:
    game = Game(net.Lobby(players=(1, 2), countdown=0))
    game.join("Ann")
    game.say(Steer(1), 1)
    assert game.steered == [("always", 1)]
    game.ready(1)
    game.say(Steer(2), 1)
    assert game.steered == [("always", 1), ("always", 2), ("rule", 2)]
    game.soon(net.end_match)
    game.say(Steer(3), 1)
    assert game.steered[3:] == [("always", 3)]


def test_the_end_deletes_what_was_made_since_the_match_began() -> None:
    game = Game(net.Lobby(players=(1, 4), countdown=0))
    made: dict[str, int] = {}

    def build(players: list[int]) -> None:
        made["map"] = esper.create_entity(Coin())

    game.simulation._on_play = (build,)
    game.join("Ann")
    game.soon(lambda: made.update(scenery=esper.create_entity(Coin(1))))
    game.ready(1)
    game.join("Eve")
    (ann, eve) = game.simulation.player_entity.values()
    game.soon(lambda: made.update(avatar=esper.create_entity(Coin(2), Owner(ann))))
    with game.simulation.world:
        assert len(esper.get_component(Coin)) == 3
    game.soon(net.end_match)
    with game.simulation.world:
        esper.clear_dead_entities()
        assert [entity for entity, _ in esper.get_component(Coin)] == [made["scenery"]]
        assert sorted(entity for entity, _ in esper.get_component(Player)) == sorted([ann, eve])
    assert game.phase == "waiting"  # its state is there, too


def test_no_system_of_the_match_runs_after_its_end_in_the_same_tick() -> None:
    game = Game(net.Lobby(players=(1, 4), countdown=0))
    game.join("Ann")
    game.ready(1)
    ran = len(game.ran)
    game.soon(net.end_match)
    assert len(game.ran) == ran


def test_a_match_that_loses_all_its_players_ends() -> None:
    game = Game(net.Lobby(players=(1, 1), countdown=0))
    game.join("Ann", "Eve")
    game.ready(1)
    game.step(leaves=[1])
    assert (game.phase, game.state.match) == ("waiting", 1)
    assert game.who("plays") == [2]
    game.ready(2)
    assert (game.phase, game.state.match) == ("playing", 2)


def test_start_match_begins_at_once_with_those_who_are_there() -> None:
    game = Game(net.Lobby(players=(4, 4)))
    game.join("Ann", "Bob")
    seen: list[int] = []
    game.soon(net.start_match, lambda: seen.append(len(game.played)))
    assert seen == [1]
    assert game.played == [(game.simulation.tick, list(game.simulation.player_entity.values()))]
    assert game.ran == [game.simulation.tick]


def test_a_player_whose_entity_was_just_deleted_does_not_play() -> None:
    game = Game(net.Lobby(players=(1, 4)))
    game.join("Ann", "Bob")
    ann, bob = game.simulation.player_entity.values()
    game.soon(lambda: esper.delete_entity(ann), net.start_match)
    assert game.played == [(game.simulation.tick, [bob])]


def test_each_on_play_hook_gets_a_list_of_its_own() -> None:
    game = Game(net.Lobby(players=(1, 2), countdown=0))
    got: list[int] = []
    game.simulation._on_play = (lambda players: players.clear(), got.extend)
    game.join("Ann")
    game.ready(1)
    assert got == [game.simulation.player_entity[1]]


def test_matches_follow_each_other() -> None:
    game = Game(net.Lobby(players=(1, 2), countdown=0))
    game.join("Ann")
    for number in range(1, 4):
        game.step(20)
        game.ready(1)
        assert (game.phase, game.state.match) == ("playing", number)
        game.soon(net.end_match)
        assert game.phase == "waiting"


def test_an_on_play_hook_may_end_the_match_and_the_others_are_not_called() -> None:
    game = Game(net.Lobby(players=(1, 2), countdown=0))
    called: list[list[int]] = []

    def refuse(players: list[int]) -> None:
        called.append(players)
        net.end_match()

    game.simulation._on_play = (refuse, called.append)
    game.join("Ann")
    game.ready(1)
    assert len(called) == 1
    assert game.phase == "waiting"


class Noting(Observer):
    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def match_began(self, number: int, players: Sequence[int]) -> None:
        self.told.append(("began", number, list(players)))

    def match_ended(self, number: int) -> None:
        self.told.append(("ended", number))


def test_observers_are_told_of_each_match() -> None:
    game = Game(net.Lobby(players=(1, 1), countdown=0))
    noting = Noting()
    game.simulation.observers.add(noting)
    game.join("Ann", "Eve")
    game.ready(1)
    game.step(leaves=[1])
    game.ready(2)
    assert noting.told == [("began", 1, [1]), ("ended", 1), ("began", 2, [2])]


# What games do.


def test_paused_beats_every_phase() -> None:
    game = Game(net.Lobby(players=(1, 1), countdown=0))
    game.join("Ann")
    game.simulation.paused = True
    game.say(Steer(1), 1)
    game.ready(1)
    assert (game.phase, game.ran, game.steered) == ("waiting", [], [])
    game.simulation.paused = False
    game.ready(1)
    game.simulation.paused = True
    ran = len(game.ran)
    game.step(5)
    assert (game.phase, len(game.ran)) == ("playing", ran)


def test_a_game_without_a_lobby_always_plays() -> None:
    with use_registry(registry):
        server = net.ServerWorld()
    ran: list[str] = []

    @server.system
    def one(dt: float) -> None:
        ran.append("one")

    @server.system(always=True, priority=-1)
    def two(dt: float) -> None:
        ran.append("two")

    simulation = server.step(2, joins=["Ann"], commands=[(1, LobbyReady())])
    assert ran == ["one", "two"] * 2
    assert simulation.playing
    assert simulation.lobby is None
    with simulation.world:
        assert esper.get_component(LobbyState) == esper.get_component(LobbyPlayer) == []


@pytest.mark.parametrize("phase", ["waiting", "playing"])
def test_the_game_may_clear_the_world(phase: str) -> None:
    game = Game(net.Lobby(players=(1, 2), countdown=0))
    game.join("Ann")
    if phase == "playing":
        game.ready(1)
    game.soon(esper.clear_database, lambda: esper.create_entity(Coin()))
    game.join("Bob")
    assert game.phase == "waiting"
    with game.simulation.world:  # its id may be one that was there when the match began
        esper.clear_dead_entities()
        assert len(esper.get_component(Coin)) == (0 if phase == "playing" else 1)
    game.ready(2)
    assert game.phase == "playing"
    assert len(game.played) == (2 if phase == "playing" else 1)


@pytest.mark.parametrize("phase", ["waiting", "playing"])
def test_the_game_may_delete_the_entity_of_the_lobby(phase: str) -> None:
    game = Game(net.Lobby(players=(1, 2), countdown=0))
    game.join("Ann")
    if phase == "playing":
        game.ready(1)

    def delete() -> None:
        for entity, _ in esper.get_component(LobbyState):
            esper.delete_entity(entity)

    game.soon(delete)
    game.step()
    assert game.phase == phase
    assert game.simulation.playing is (phase == "playing")
    state = game.state
    if phase == "playing":
        game.soon(net.end_match)
        game.step()
    assert game.state is state
    assert game.phase == "waiting"


def test_the_same_data_make_the_same_match_again() -> None:
    game = Game(net.Lobby(players=(2, 2), countdown=0.5), seed=3)
    steps: list[dict[str, object]] = [
        {"joins": ["Ann", "Bob"]},
        {"commands": [(1, LobbyReady()), (2, LobbyReady())]},
        {"ticks": 4, "commands": [(1, LobbyInfo(encode({"a": 1})))]},
        {"ticks": 4, "joins": ["Eve"]},
        {"leaves": [1]},
        {"ticks": 3, "leaves": [2]},
    ]
    again = Game(net.Lobby(players=(2, 2), countdown=0.5), seed=3)
    for given in steps:
        for each in (game, again):
            each.step(**given)  # type: ignore[arg-type]
        assert contents(game.simulation) == contents(again.simulation)
    assert game.played == again.played != []
    assert game.phase == "waiting"


def contents(simulation: Simulation) -> list[tuple[int, list[object]]]:
    with simulation.world:
        found: list[tuple[int, list[object]]] = [
            (e, [s]) for e, s in esper.get_component(LobbyState)
        ]
        found += [(e, list(c)) for e, c in esper.get_components(Player, LobbyPlayer, Presence)]
        return found
