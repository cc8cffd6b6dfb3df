"""What a running game leaves in its journal."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import esper
import pytest

import ecsnet as net
from ecsnet.analytics.declared import declare
from ecsnet.analytics.folder import FolderInUseError
from ecsnet.analytics.reader import Damage, Series, documents
from ecsnet.analytics.values import Document
from ecsnet.analytics_options import MONGO_VARIABLE, Analytics, keeping
from ecsnet.components import LobbyReady, Owner, Player, Position
from ecsnet.errors import UsageError
from ecsnet.schema import ComponentType, Registry, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.testing import Harness


class Number(int):
    """An int that no encoder takes for one."""


class Game:
    """A server that keeps what happens, and what it left when it ended."""

    def __init__(self, folder: Path, registry: Registry, **options: Any) -> None:
        self.folder = folder
        self.tick: Callable[[], None] = lambda: None
        with use_registry(registry):

            @net.replicated(visible_to="server")
            class Purse:
                gold: Annotated[int, net.Suspect(max_rate=50)] = 0

            @net.command(hold=True)
            class Steer:
                dx: Annotated[int, net.Between(-1, 1)] = 0

            @net.command
            class Never:
                pass

            @net.event
            class Boom:
                at: net.EntityRef = None

            @net.event
            class Calm:
                pass

            self.purse, self.steer = Purse, Steer
            self.boom = Boom
            analytics = Analytics(folder, **{"interval": 10, "server": "srv", **options})
            self.server = ServerWorld(20, analytics=analytics)

        @self.server.on_join
        def join(player: int) -> None:
            esper.add_component(player, Purse())
            esper.add_component(player, Position())

        @self.server.system
        def play(dt: float) -> None:
            self.tick()

    def read(self, series: Series = Series.EVENTS) -> list[Document]:
        return list(documents(self.folder, series))

    def of_type(self, type: str) -> list[Document]:
        return [document for document in self.read() if document["type"] == type]


def run(harness: Harness, ticks: int) -> None:
    harness.run(seconds=ticks * harness.room.dt)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


@pytest.fixture
def game(tmp_path: Path) -> Game:
    return Game(tmp_path / "journal", Registry())


def test_a_match_is_told_from_start_to_stop(game: Game) -> None:
    with Harness(game.server) as harness:
        ann = harness.connect("Ann")
        harness.connect("Bob")
        run(harness, 25)
        harness.leave(ann)
        run(harness, 5)
        ticks = harness.simulation.tick
    types = [document["type"] for document in game.read()]
    assert types == ["start", "join", "join", "leave", "leave", "stop"]
    start, ann_joins, bob_joins, ann_leaves, bob_leaves, stop = game.read()
    begun: Any = start["data"]
    assert (begun["tick_rate"], begun["interval"]) == (20, 10)
    assert [_short(name) for name in begun["commands"]] == [
        "Never",
        "Steer",
        "LobbyInfo",
        "LobbyReady",
    ]
    assert [_short(name) for name in begun["events"]] == ["Boom", "Calm"]
    assert {_short(each["name"]): each["fields"] for each in begun["components"]}["Purse"] == [
        "gold"
    ]
    assert (ann_joins["player"], ann_joins["data"]) == (1, {"name": "Ann"})
    assert isinstance(ann_joins["entity"], int)
    assert (bob_joins["player"], bob_joins["data"]) == (2, {"name": "Bob"})
    assert ann_leaves["data"] == {"name": "Ann", "reason": "left"}
    assert bob_leaves["data"] == {"name": "Bob", "reason": "shutdown"}
    data: Any = stop["data"]
    assert (data["reason"], data["ticks"], data["joined"]) == ("stopped", ticks, 2)
    assert (data["lost_events"], data["lost_snapshots"]) == (0, 0)
    assert len({document["match"] for document in game.read()}) == 1
    assert {document["server"] for document in game.read()} == {"srv"}


def test_snapshots_hold_what_the_world_holds_for_the_servers_eyes_as_well(game: Game) -> None:
    def tick() -> None:
        for _, (purse, place) in esper.get_components(game.purse, Position):
            purse.gold = net.tick()
            place.x = net.tick() / 2

    game.tick = tick
    with Harness(game.server) as harness:
        harness.connect("Ann")
        run(harness, 30)
    snapshots = game.read(Series.SNAPSHOTS)
    assert [document["tick"] for document in snapshots] == [
        tick for tick in range(10, 40, 10) if tick <= int(str(snapshots[-1]["tick"]))
    ]
    for document in snapshots:
        entity: Any = document["entities"][0]  # type: ignore[index,call-overload]
        at: Any = document["tick"]
        assert entity["owner"] == 1
        assert entity[
            "purse" if "purse" in entity else next(k for k in entity if "purse" in k)
        ] == {"gold": at}
        assert entity["position"] == {"x": at / 2, "y": 0.0}
        assert entity["player"] == {"id": 1, "name": "Ann"}


def test_the_games_own_events_are_kept_with_whatever_is_in_them(game: Game) -> None:
    def tick() -> None:
        if net.tick() == 5:
            net.analytics_event("pickup", player=1, entity=9, gold=3, info={"$x": [1, [2]]})
            net.analytics_event("odd", what=object, nan=float("nan"))
            net.analytics_event("\ud800", **{"\ud800": "\ud800", "$x": 10**99})

    game.tick = tick
    with Harness(game.server) as harness:
        run(harness, 10)
    (pickup,) = game.of_type("pickup")
    assert (pickup["tick"], pickup["player"], pickup["entity"]) == (5, 1, 9)
    assert pickup["data"] == {"gold": 3, "info": [{"k": "$x", "v": [1, {"items": [2]}]}]}
    (worse,) = game.of_type("?")
    assert worse["data"] == {"others": [{"k": "?", "v": "?"}, {"k": "$x", "v": str(10**99)}]}
    (odd,) = game.of_type("odd")
    assert odd["data"] == {"what": "<class 'object'>", "nan": "NaN"}


def test_a_hack_of_six_ticks_between_two_snapshots_is_found(tmp_path: Path) -> None:
    game = Game(tmp_path, Registry(), interval=20, suspects={Position: net.Suspect(max_speed=100)})

    def tick() -> None:
        for _, place in esper.get_component(Position):
            place.x += 50 if 101 <= net.tick() <= 106 else 5
        for _, purse in esper.get_component(game.purse):
            purse.gold += 1000 if net.tick() == 110 else 1

    game.tick = tick
    with Harness(game.server) as harness:
        harness.connect("Ann")
        run(harness, 140)
    found = game.of_type("suspect")
    assert [each["tick"] for each in found] == [101, 102, 103, 104, 105, 106, 110]
    assert {each["player"] for each in found} == {1}
    speed: Any = found[0]["data"]
    assert (speed["component"], speed["field"], speed["limit"]) == ("position", "x, y", "max_speed")
    assert (speed["allowed"], speed["rate"]) == (100.0, pytest.approx(1000))
    assert speed["after"][0] - speed["before"][0] == 50
    gold: Any = found[-1]["data"]
    assert (gold["field"], gold["limit"], gold["after"] - gold["before"]) == (
        "gold",
        "max_rate",
        1000,
    )


def test_ten_honest_matches_are_above_suspicion(tmp_path: Path) -> None:
    limits = {Position: net.Suspect(max_speed=100)}
    for number in range(10):
        game = Game(tmp_path, Registry(), suspects=limits)

        def tick() -> None:
            for entity, (place, purse) in esper.get_components(Position, game.purse):  # noqa: B023
                place.x += net.rng().uniform(-5, 5)
                purse.gold += net.rng().randint(0, 2)
                if net.tick() == 30:  # the game itself moves somebody
                    place.x += 5000
                    net.teleported(entity)

        game.tick = tick
        with Harness(game.server, seed=number) as harness:
            for name in ("Ann", "Bob", "Cleo"):
                harness.connect(name)
            run(harness, 60)
        assert game.of_type("suspect") == []
    assert len(game.of_type("start")) == len({each["match"] for each in game.of_type("stop")}) == 10


def counted(game: Game, type: str) -> dict[str, int]:
    """What all documents of a type count, by name."""
    counts: dict[str, int] = {}
    for document in game.of_type(type):
        for each in document["data"]["counts"]:  # type: ignore[index,call-overload,union-attr]
            name: Any = _short(each["name"])  # type: ignore[index,call-overload]
            counts[name] = counts.get(name, 0) + each["count"]  # type: ignore[index,call-overload]
    return counts


def test_commands_are_counted_by_their_type(game: Game) -> None:
    with Harness(game.server) as harness:
        ann = harness.connect("Ann")
        ann.send(game.steer(1))
        run(harness, 40)
        applied = harness.host.stats().commands_applied
    assert counted(game, "commands") == {"Steer": applied}
    assert applied > 0


def test_events_are_counted_by_their_type(game: Game) -> None:
    def tick() -> None:
        if net.tick() % 4 == 0:
            net.emit(game.boom())
            net.emit(game.boom(), to=10**6, reliable=False)  # for nobody, and yet it happened

    game.tick = tick
    with Harness(game.server) as harness:
        run(harness, 25)  # the last ones come with the end
        emitted = harness.host.stats().events_emitted
        last = harness.simulation.tick
    assert emitted == 12
    assert counted(game, "events") == {"Boom": emitted}
    assert [document["tick"] for document in game.of_type("events")] == [10, 20, last]
    (stop,) = game.of_type("stop")
    assert stop["data"]["events_emitted"] == emitted  # type: ignore[index,call-overload]


def test_each_match_of_a_lobby_is_told(game: Game) -> None:
    game.server.lobby = net.Lobby(players=(1, 2), countdown=0)
    game.tick = net.end_match  # as soon as it has begun
    with Harness(game.server) as harness:
        ann = harness.connect("Ann")
        for _ in range(2):
            run(harness, 25)
            ann.send(LobbyReady())
        run(harness, 5)
    told = [
        (document["type"], document["data"])
        for document in game.read()
        if str(document["type"]).startswith("match")
    ]
    assert told == [
        ("match_began", {"number": 1, "players": [1]}),
        ("match_ended", {"number": 1}),
        ("match_began", {"number": 2, "players": [1]}),
        ("match_ended", {"number": 2}),
    ]


def test_who_is_thrown_out_is_told(game: Game) -> None:
    with Harness(game.server) as harness:
        harness.connect("Ann")
        (member,) = harness.host.members.values()
        harness.host.disconnect(member, Reason.ABUSE, harness.clock.now)
        run(harness, 5)
    assert [document["data"] for document in game.of_type("kicked")] == [
        {"name": "Ann", "reason": "abuse"}
    ]
    assert len(game.of_type("leave")) == 1


def test_who_is_refused_is_told_and_a_flood_of_them_is_not(game: Game) -> None:
    with use_registry(Registry()) as other:

        @net.replicated
        class Another:
            x: int = 0

    with Harness(game.server, registry=other) as harness:
        with pytest.raises(net.UsageError, match="did not get in"):
            harness.connect("Eve")
        (system,) = harness.room.observers
        assert system is not None
        for _ in range(1000):
            system.refused("Eve", "full", harness.clock.now)
    refused = game.of_type("refused")
    assert refused[0]["data"] == {"name": "Eve", "reason": "schema"}
    assert 1 < len(refused) < 50


def test_who_finds_the_server_full_is_told(game: Game) -> None:
    game.server.max_clients = 1
    with Harness(game.server) as harness:
        harness.connect("Ann")
        with pytest.raises(net.UsageError, match="did not get in"):
            harness.connect("Bob")
    assert {"name": "", "reason": "full"} in [each["data"] for each in game.of_type("refused")]


def test_a_match_that_fails_says_so(game: Game) -> None:
    def tick() -> None:
        if net.tick() == 8:
            raise ZeroDivisionError

    game.tick = tick
    with Harness(game.server) as harness, pytest.raises(ZeroDivisionError):
        run(harness, 10)
    (stop,) = game.of_type("stop")
    assert stop["data"]["reason"] == "failed"  # type: ignore[index,call-overload]


def test_each_start_is_a_match_of_its_own(game: Game) -> None:
    for _ in range(3):
        with Harness(game.server) as harness:
            run(harness, 3)
    matches = [document["match"] for document in game.of_type("start")]
    assert len(set(matches)) == 3
    assert all(len(str(match)) == 32 for match in matches)


def test_analytics_that_fail_cost_the_game_nothing(
    game: Game, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Harness(game.server) as harness:
        (system,) = harness.room.observers
        assert system is not None

        def broken() -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(system, "_keep", broken)
        with caplog.at_level(logging.ERROR, "ecsnet.analytics"):
            run(harness, 10)
        assert harness.simulation.tick >= 10
        assert len(caplog.records) == 1


def test_what_is_lost_is_told_in_the_journal(game: Game) -> None:
    with Harness(game.server) as harness:
        (system,) = harness.room.observers
        assert system is not None
        system._journal._snapshots.refused = 3
        run(harness, 25)
    (lost,) = game.of_type("lost")
    assert lost["data"] == {"events": 0, "snapshots": 3}


def test_outside_a_tick_and_without_analytics(game: Game) -> None:
    with pytest.raises(net.OutsideTickError, match=r"net.analytics_event\(\) outside a tick"):
        net.analytics_event("x")
    with pytest.raises(net.OutsideTickError, match=r"net.teleported\(\) outside a tick"):
        net.teleported(1)
    plain = ServerWorld()

    @plain.system
    def tick(dt: float) -> None:
        net.analytics_event("x", y=1)
        net.teleported(1)

    plain.step(2)


@pytest.mark.parametrize("type", ["start", "suspect", "", 3])
def test_ecsnets_own_types_are_not_the_games(type: Any) -> None:
    server = ServerWorld()

    @server.system
    def tick(dt: float) -> None:
        net.analytics_event(type)

    says = "a text of your own; ecsnet's are commands, events, join"
    with pytest.raises(net.UsageError, match=says):
        server.step()


def test_a_second_server_on_the_folder_is_refused_before_it_starts(game: Game) -> None:
    with Harness(game.server), pytest.raises(FolderInUseError):
        Harness(game.server)


# Options.


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"interval": 0}, "interval=0.*whole number of ticks"),
        ({"interval": 1.5}, "interval=1.5"),
        ({"every": {Position: 0}}, r"every\[Position\]=0"),
        ({"every": {int: 1}}, "int, which is not replicated"),
        ({"leave_out": [str]}, "str, which is not replicated"),
        ({"suspects": {Position: 5}}, r"give a net.Suspect"),
        ({"folder": ""}, "name a folder"),
        ({"every": [Position]}, "every=.*a dict from component types"),
        ({"suspects": [Position]}, "suspects=.*a dict from component types"),
        ({"leave_out": Position}, "leave_out=.*a list of component types"),
        ({"every": {"Position": 3}}, "pass a class that is replicated"),
        ({"suspects": {Owner: net.Suspect(max_speed=1)}}, "no field that is a number"),
        ({"max_bytes": 10}, "max_bytes=10"),
        ({"max_days": -1}, "max_days=-1"),
        ({"expire_days": "x"}, "expire_days='x'"),
        ({"expire_days": math.inf}, "expire_days=inf.*below 36,500"),
        ({"max_days": 10**400}, "max_days=1000"),
        ({"interval": 10**30}, "interval=1000"),
        ({"max_bytes": 10**30}, "max_bytes=1000"),
        (
            {"every": {Position: 2}, "leave_out": [Position]},
            "is in every and in leave_out",
        ),
        ({"mongo": 5}, "mongo=.*not int"),
        ({"server": 5}, "server=5.*printable"),
        ({"server": "\ud800"}, "server=.*printable"),
        ({"server": "x" * 1000}, "server='xxx.*1 to 255"),
        ({"folder": 5}, r"Analytics\(5\): name a folder"),
        ({"folder": b"x"}, "name a folder"),
        ({"folder": "a\0b"}, "name a folder"),
        ({"folder": None}, "name a folder"),
        ({"folder": "mongodb://me:secret@host/db"}, r"'mongodb://\.\.\.'\).* mongo="),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(net.UsageError, match=says):
        Analytics(**{"folder": "x", **options})


def test_a_folder_is_enough(tmp_path: Path) -> None:
    assert ServerWorld(analytics=tmp_path).analytics == Analytics(tmp_path)
    assert ServerWorld(analytics=str(tmp_path)).analytics == Analytics(str(tmp_path))
    assert ServerWorld().analytics is None
    with pytest.raises(net.UsageError, match=r"analytics=5: a folder, or net.Analytics"):
        ServerWorld(analytics=5)  # type: ignore[arg-type]


def test_a_test_ships_to_no_database_that_the_environment_names(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MONGO_VARIABLE, "this is no MongoDB URI")  # who looks at it, complains
    with Harness(game.server) as harness:
        run(harness, 5)
    with pytest.raises(net.UsageError, match="no MongoDB URI"):
        game.server.make_host(lambda data, address: None, 0.0)


def test_the_password_in_a_uri_is_not_shown() -> None:
    assert "secret" not in repr(Analytics(mongo="mongodb://me:secret@host/db"))


def test_a_command_line_changes_what_it_names() -> None:
    assert keeping(None) is None
    assert keeping(None, "here") == Analytics("here")
    assert keeping(None, None, "mongodb://x") == Analytics(mongo="mongodb://x")
    own = Analytics("own", interval=5)
    assert keeping(own) is own
    assert keeping(own, "there") == Analytics("there", interval=5)
    assert MONGO_VARIABLE == "ECSNET_MONGO_URI"


def test_what_is_left_out_is_in_no_snapshot(tmp_path: Path) -> None:
    game = Game(tmp_path, Registry(), leave_out=[Player], every={Position: 4})
    with Harness(game.server) as harness:
        harness.connect("Ann")
        run(harness, 30)
    entities: list[Any] = [document["entities"] for document in game.read(Series.SNAPSHOTS)]
    assert all("player" not in entity for each in entities for entity in each)
    ticks = [
        document["tick"]
        for document, each in zip(game.read(Series.SNAPSHOTS), entities, strict=True)
        if any("position" in entity for entity in each)
    ]
    assert len(ticks) > 3
    assert all(int(str(tick)) % 4 == 0 for tick in ticks)


def test_of_a_whole_component_x_and_y_are_one_point_whatever_else_is_in_it(tmp_path: Path) -> None:
    with use_registry(Registry()) as registry:

        @net.replicated
        class Miner:
            name: str = "Ann"
            x: float = 0.0
            gold: int = 0
            y: int = 0

        @net.replicated
        class Purse:
            name: str = ""
            gold: int | None = 0

        server = ServerWorld(
            20,
            analytics=Analytics(
                tmp_path,
                suspects={Miner: net.Suspect(max_speed=100), Purse: net.Suspect(max_rate=10)},
            ),
        )
    assert registry is server._registry

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Miner())
        esper.add_component(player, Purse())

    @server.system
    def tick(dt: float) -> None:
        for _, (miner, purse) in esper.get_components(Miner, Purse):
            miner.gold += 50  # not far to walk
            miner.x += 3
            miner.y += 4 if net.tick() != 10 else 400
            purse.gold = 100 if net.tick() > 20 else 0

    with Harness(server) as harness:
        harness.connect("Ann")
        run(harness, 30)
    found: list[Any] = [
        each for each in documents(tmp_path, Series.EVENTS) if each["type"] == "suspect"
    ]
    assert [(each["tick"], each["data"]["field"]) for each in found] == [(10, "x, y"), (21, "gold")]


def test_an_event_of_an_entity_is_its_players(game: Game) -> None:
    def tick() -> None:
        for entity, _ in esper.get_component(Position):
            net.analytics_event("mine", entity=entity)
        net.analytics_event("nobodys", entity=4711)

    game.tick = tick
    with Harness(game.server) as harness:
        harness.connect("Ann")
        run(harness, 10)
    assert {event["player"] for event in game.of_type("mine")} == {1}
    assert {event["player"] for event in game.of_type("nobodys")} == {None}


@pytest.mark.parametrize("given", ["Ann", [1], -1, True, 1.0, 1 << 63, Number(1)])
def test_what_can_be_no_number_of_a_player_or_an_entity_is_refused(given: Any) -> None:
    def fails(call: Callable[[], None], says: str) -> None:
        server = ServerWorld()
        server.system(lambda dt: call())
        with pytest.raises(net.UsageError, match=says):
            server.step()

    fails(lambda: net.analytics_event("odd", entity=given), r"event\(entity=.*give an entity")
    fails(lambda: net.analytics_event("odd", player=given), r"event\(player=.*a Player.id")
    fails(lambda: net.teleported(given), r"teleported\(.*give an entity, a number")


@pytest.mark.parametrize("given", [0, 1, (1 << 63) - 1])
def test_what_a_journal_can_hold_may_be_a_number_of_one(given: int) -> None:
    told: list[object] = []
    server = ServerWorld()

    @server.system
    def tell(dt: float) -> None:
        net.analytics_event("pickup", player=given, entity=given)
        net.teleported(given)
        told.append(given)

    server.step()
    assert told == [given]


def test_an_owner_that_is_none_costs_nobody_anything(game: Game) -> None:
    def tick() -> None:
        for player, _ in esper.get_component(Player):
            esper.add_component(player, Owner(Player()))  # type: ignore[arg-type]
            net.analytics_event("mine", entity=player)

    game.tick = tick
    with Harness(game.server) as harness:
        harness.connect("Ann")
        run(harness, 40)
    assert {event["player"] for event in game.of_type("mine")} == {1}
    assert any(slice_["entities"] for slice_ in game.read(Series.SNAPSHOTS))


def test_hooks_tell_of_players_who_come_and_go(game: Game) -> None:
    @game.server.on_join
    def came(player: int) -> None:
        net.analytics_event("came", entity=player)

    @game.server.on_leave
    def went(player: int) -> None:
        net.analytics_event("went", entity=player)

    with Harness(game.server) as harness:
        harness.connect("Ann")
        bob = harness.connect("Bob")
        run(harness, 10)
        harness.leave(bob)
        run(harness, 10)
    assert [event["player"] for event in game.of_type("came")] == [1, 2]
    assert [event["player"] for event in game.of_type("went")] == [2, 1]


def test_a_gap_in_the_numbers_of_events_is_a_lost_one(game: Game) -> None:
    def tick() -> None:
        net.analytics_event("short", text="x")
        net.analytics_event("long", text="x" * 10_000)  # is cut

    game.tick = tick
    with Harness(game.server) as harness:
        run(harness, 5)
    numbers = [int(str(event["_id"]).rpartition("-")[2]) for event in game.read()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(game.of_type("long")) == len(game.of_type("short")) > 0


def test_a_component_that_no_frame_holds_costs_itself_alone(tmp_path: Path) -> None:
    with use_registry(Registry()):

        @net.replicated(visible_to="server")
        class Bulk:
            data: bytes = b""

        server = ServerWorld(20, analytics=Analytics(tmp_path, interval=5))

    @server.on_start
    def start() -> None:
        esper.create_entity(Position(1, 2), Bulk(b"x" * 10_000_000))

    with Harness(server) as harness:
        run(harness, 10)
        (service,) = harness.host.sources
        assert service.journal.lost.total == 0  # type: ignore[attr-defined]
    entity: Any = next(documents(tmp_path, Series.SNAPSHOTS))["entities"][0]  # type: ignore[index,call-overload]
    assert entity["position"] == {"x": 1, "y": 2}
    assert entity["bulk"]["too_large"] > 10_000_000


@pytest.mark.parametrize("members", [100, 6_000])
def test_an_enum_of_thousands_of_members_makes_no_journal_unreadable(
    tmp_path: Path, members: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What a segment begins with is one frame, and frames have a limit."""
    item = Enum("Item", {f"ITEM_NUMBER_{number:05}": number for number in range(members)})
    registry = Registry()
    with use_registry(registry):
        Bag = net.replicated(  # noqa: N806
            type(
                "Bag",
                (),
                {"__annotations__": dict.fromkeys("abc", item), "a": item(1)}
                | {"b": item(2), "c": item(3)},
            )
        )
        server = ServerWorld(20, analytics=Analytics(tmp_path, interval=5))
    server.on_join(lambda player: esper.add_component(player, Bag()))
    server.system(lambda dt: net.analytics_event("tick"))
    with Harness(server, registry=registry) as game:
        game.connect("Ann")
        game.run(1.0)
        ticks = game.simulation.tick
    damage = Damage()
    events = list(documents(tmp_path, Series.EVENTS, damage=damage))
    states = list(documents(tmp_path, Series.SNAPSHOTS, damage=damage))
    assert not damage
    assert sum(event["type"] == "tick" for event in events) == ticks
    bags: list[Any] = [e["bag"] for state in states for e in state["entities"] if "bag" in e]
    assert bags
    names = {"a": "ITEM_NUMBER_00001", "b": "ITEM_NUMBER_00002", "c": "ITEM_NUMBER_00003"}
    assert bags[-1] == (names if members == 100 else {"a": 1, "b": 2, "c": 3})
    assert ("more names than a journal holds" in caplog.text) == (members > 100)


def test_names_that_no_journal_can_hold_are_an_error() -> None:
    registry = Registry()
    with use_registry(registry):
        fields = {f"a_field_with_a_name_that_is_long_{number}": int for number in range(250)}
        for number in range(20):
            net.replicated(
                type(f"T{number}", (), {"__annotations__": fields} | dict.fromkeys(fields, 0))
            )
    with pytest.raises(UsageError, match="use fewer or shorter ones, or leave analytics= out"):
        declare(tuple(registry.types(ComponentType)))
