"""The demo's comparison and its figures, without processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated

import esper
import pytest

import ecsnet as net
from ecsnet.cli.games import bot_of, figures_of, find_game, sample_names, server_of
from ecsnet.demo.control import PlayerReport, ServerReport
from ecsnet.demo.digest import shown_to, visible_to
from ecsnet.demo.feel import Feel
from ecsnet.demo.figures import spread
from ecsnet.demo.report import Outcome, compare, outcome
from ecsnet.demo.runner import has_window
from ecsnet.schema import Registry, use_registry
from ecsnet.server.room import Room

SERVER = ServerReport(
    ticks=600,
    ticks_dropped=1,
    late_ms=(0.0, 0.2, 0.5),
    still_at=500,
    entities=2,
    applied=95,
    expired=2,
    superseded=3,
    rejected=1,
    rewinds=20,
    rewinds_limited=4,
    events_sent=9,
    events_due={"Ann": 8, "Bob": 5},
    packets_sent=1000,
    bytes_sent=50_000,
    worlds={"Ann": {"1 A": "x", "2 A": "y"}, "Bob": {"1 A": "x"}},
)
FEEL = Feel(9, {"p50": 1.0, "max": 2.0}, 3.5, 4.25, 5.0, 6.0, 1200, 7, 8)


def player(name: str, **changes: object) -> PlayerReport:
    report = PlayerReport(
        name=name,
        sent=51,
        expired=1,
        polls=300,
        poll_ms=(0.1, 0.2, 0.3),
        rtt_ms=10.0,
        jitter_ms=1.0,
        loss=0.25,
        datagrams_sent=300,
        datagrams_dropped=20,
        bytes_sent=20_000,
        confirmed_tick=600,
        events_seen=SERVER.events_due[name],
        figures={"shots": 3.0, "hits": 1.0},
        world=dict(SERVER.worlds[name]),
    )
    for field, value in changes.items():
        setattr(report, field, value)
    return report


def result(**changes: object) -> Outcome:
    players = [player("Ann"), player("Bob", poll_ms=(0.2, 0.1, 0.9), loss=0.05)]
    made = outcome("pong", 10.0, 0.02, SERVER, players, FEEL)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_figures_add_up() -> None:
    made = result()
    assert (made.compared, made.diverged) == (3, 0)
    assert (made.commands_sent, made.commands_applied) == (102, 95)
    assert (made.commands_expired, made.commands_superseded) == (4, 3)
    assert (made.datagrams_sent, made.datagrams_dropped) == (1600, 40)
    assert made.bytes_sent == 90_000
    assert made.loss == pytest.approx(0.15)
    assert made.poll_ms == {"p50": 0.2, "p99": 0.2, "max": 0.9}
    assert (made.events_sent, made.events_due) == (9, {"Ann": 8, "Bob": 5})
    assert made.events_seen == made.events_due
    assert "9 emitted, 13 of 13 that were due seen" in made.summary()
    assert made.good
    assert made.figures == {"shots": 6, "hits": 2}
    assert made.as_dict()["compared"] == 3
    assert made.as_dict()["feel"]["own_delay_frames"] == {"p50": 1, "max": 2}  # type: ignore[index]
    for words in (
        "1 frames from a key to its effect, 2 at most (9 keys)",
        "a minute 3.5 corrections, 5 hitches",
        "others     6 hitches a minute",
        "frames     1200, of which 7 began late, with 8 more hitches",
        "game       shots 6, hits 2",
        "rewinds    20, of which 4 limited",
    ):
        assert words in made.summary()
    assert "game" not in result(figures={}).summary()
    assert "rewinds " not in result(rewinds=0).summary()
    assert "3 of 3 components equal" in made.summary()


@pytest.mark.parametrize(
    "fault", [{"compared": 0}, {"diverged": 1}, {"commands_sent": 103}, {"commands_applied": 94}]
)
def test_what_is_not_good(fault: dict[str, int]) -> None:
    assert not result(**fault).good


@pytest.mark.parametrize("seen", [7, 9, 0])
def test_events_that_were_missed_or_seen_twice_count_as_diverged(seen: int) -> None:
    made = outcome(
        "pong", 10.0, 0.02, SERVER, [player("Ann", events_seen=seen), player("Bob")], FEEL
    )
    assert (made.compared, made.diverged) == (3, 1)
    assert not made.good
    assert f"9 emitted, {seen + 5} of 13 that were due seen" in made.summary()
    assert "3 of 3 components equal" in made.summary()


@pytest.mark.parametrize(
    ("shown", "counts"),
    [
        ({"Ann": {"1 A": "x", "2 A": "y"}, "Bob": {"1 A": "x"}}, (3, 0)),
        ({"Ann": {"1 A": "x", "2 A": "z"}, "Bob": {"1 A": "x"}}, (3, 1)),
        ({"Ann": {"1 A": "x"}, "Bob": {"1 A": "x"}}, (3, 1)),
        ({"Ann": {"1 A": "x", "2 A": "y"}, "Bob": {"1 A": "x", "3 A": "w"}}, (4, 1)),
        ({"Ann": {"1 A": "x", "2 A": "y"}}, (3, 1)),
        ({}, (3, 3)),
    ],
)
def test_compares_both_ways(shown: dict[str, dict[str, str]], counts: tuple[int, int]) -> None:
    assert compare(SERVER.worlds, shown) == counts


def test_spread() -> None:
    assert spread([]) == (0.0, 0.0, 0.0)
    assert spread([0.002]) == (2.0, 2.0, 2.0)
    assert spread([n / 1000 for n in range(101)]) == (50.0, 99.0, 100.0)


def test_every_sample_can_be_played_by_a_bot() -> None:
    names = sample_names()
    assert {"cards", "chat", "knights", "pong", "shooter", "square"} <= set(names)
    assert [name for name in names if has_window(name)] == ["pong", "shooter", "square"]
    for name in names:
        with use_registry(Registry()):
            server, module = server_of(find_game(name))
        assert isinstance(server, net.ServerWorld)
        assert callable(bot_of(module))
        assert (figures_of(module) is not None) is (name == "shooter")
    with pytest.raises(net.UsageError, match="there is no game 'chess'"):
        has_window("chess")


# Digests: a game in one process, its server and its client.

REGISTRY = Registry()

with use_registry(REGISTRY):

    @net.replicated
    class Thing:
        x: Annotated[float, net.Quantized(0.25)] = 0.0
        y: float = 0.0
        near: net.EntityRef = None
        bag: list[int] = dataclasses.field(default_factory=list)

    @net.replicated(once=True)
    class Badge:
        text: str = "new"

    @net.replicated(visible_to="owner")
    class Secret:
        number: int = 0


@pytest.fixture
def game() -> Iterator[tuple[net.ClientWorld, Room]]:
    with use_registry(REGISTRY):
        server = net.ServerWorld()

        @server.on_join
        def join(player: int) -> None:
            hidden = esper.create_entity()  # nothing of it is replicated
            thing = esper.create_entity(Thing(0.3, -0.0, player, [1, 2]), Badge(), Secret(7))
            esper.create_entity(Thing(near=thing))
            esper.create_entity(Thing(near=hidden))
            esper.add_component(player, Secret(1))
            esper.component_for_entity(thing, Badge).text = "worn"

        with net.play(server, offline=True, name="Ann", smooth=False) as client:
            while not client.connected:
                client.poll()
            host = client._connection._transport.host  # type: ignore[union-attr]
            yield client, host.rooms[0]


def catch_up(client: net.ClientWorld, room: Room) -> None:
    target = room.simulation.tick + 3
    while client.stats.confirmed_tick < target:
        client.poll()


def test_digests_are_the_same_at_both_ends(game: tuple[net.ClientWorld, Room]) -> None:
    client, room = game
    catch_up(client, room)
    told = visible_to(room)["Ann"]
    assert len(told) == 6  # three things, one badge, the player with its secret
    assert shown_to(client) == told


def test_digests_see_every_change(game: tuple[net.ClientWorld, Room]) -> None:
    client, room = game
    catch_up(client, room)
    before = shown_to(client)
    with room.simulation.world:
        _, thing = esper.get_component(Thing)[0]
        thing.bag.append(3)
    assert compare(visible_to(room), {"Ann": before})[1] == 1
    catch_up(client, room)
    assert shown_to(client) == visible_to(room)["Ann"] != before


def test_digests_see_what_the_view_lacks_or_shows_wrongly(
    game: tuple[net.ClientWorld, Room],
) -> None:
    client, room = game
    catch_up(client, room)
    told = visible_to(room)
    entity, thing = esper.get_component(Thing)[0]
    thing.y = 1.0
    assert compare(told, {"Ann": shown_to(client)})[1] == 1
    esper.remove_component(entity, Thing)
    assert compare(told, {"Ann": shown_to(client)})[1] == 1
    esper.add_component(entity, Badge("false"))
    assert compare(told, {"Ann": shown_to(client)})[1] == 2


def test_digests_know_what_stays_at_home_for_its_size(
    game: tuple[net.ClientWorld, Room],
) -> None:
    client, room = game
    with room.simulation.world:
        _, thing = esper.get_component(Thing)[0]
        thing.bag = [2**40] * 200_000  # more than an entity may say at once
    catch_up(client, room)
    told = visible_to(room)["Ann"]
    assert len(told) == 6
    assert shown_to(client) == told
    with room.simulation.world:
        thing.bag = [5]
    catch_up(client, room)
    assert shown_to(client) == visible_to(room)["Ann"] != told
