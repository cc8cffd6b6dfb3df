"""What reports say of matches whose figures are known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.analytics.maps import HeatMap, heat, timeline
from ecsnet.analytics.records import Declared
from ecsnet.analytics.reports import (
    Accused,
    Commands,
    Summary,
    findings_of,
    summaries,
    suspects,
    usage,
)
from ecsnet.analytics.sources import Match, matches_of
from ecsnet.analytics.values import Document
from ecsnet.errors import UsageError
from ecsnet.schema import PLAIN
from tests.analytics.played import POSITION, A, C, Played, some_matches

MALLORY = "[red]Mallory\x1b[2J"


def matches(played: Played) -> list[Match]:
    return matches_of(played.events())


# summary


def summary(played: Played) -> list[Summary]:
    return summaries(matches(played), played.events(), played.states())


def test_summary_has_the_games_own_numbers() -> None:
    first, second, third = summary(some_matches())
    assert (first.match, first.server, first.room, first.state) == (A, "here", "red", "stopped")
    assert (first.ticks, first.seconds, first.tick_rate, first.dropped_ticks) == (42, 4.2, 10.0, 3)
    assert (first.joined, first.players, first.most_players) == (2, ["Ada", MALLORY], 2)
    assert first.commands == Commands(applied=73, expired=1, superseded=2)
    assert first.commands_taken == 73
    assert (first.entities, first.most_entities) == (3, 3)
    assert (first.server_events, first.game_state) == (15, 8)
    assert list(first.events.items())[:3] == [("commands", 5), ("join", 2), ("suspect", 2)]
    assert sum(first.events.values()) == 15
    # What the server counted at its end; where it said nothing of it, what was told before.
    assert [each.emitted for each in (first, second, third)] == [6, 0, 2]
    assert (first.lost_events, first.lost_snapshots) == (0, 2)
    assert (second.state, second.commands) == ("failed", Commands(0, 0, 0))
    assert (third.state, third.ended, third.commands) == ("running or crashed", None, None)
    assert (third.ticks, third.seconds, third.dropped_ticks) == (7, 0.7, None)
    assert (third.joined, third.entities) == (1, 2)


def test_summary_counts_players_at_once_and_entities_once_a_snapshot() -> None:
    played = Played()
    number = played.match("ab")
    for player, (joins, leaves) in enumerate([(1, 5), (2, 9), (6, 9)], 1):
        played.event(number, "join", joins, player, player, name=f"player {player % 2}")
        played.event(number, "leave", leaves, player, name="", reason="left")
    played.records.sort(key=lambda each: each[1].tick)
    here = {"position": (0.0, 0.0)}
    played.snapshot(number, 1, {1: (None, here), 2: (None, here)})
    played.snapshot(number, 2, {2: (None, here), 3: (None, here)}, of=1)
    played.snapshot(number, 9, {3: (None, here)})
    [told] = summary(played)
    assert (told.joined, told.most_players) == (3, 2)
    assert told.players == ["player 1", "player 0"]
    assert (told.entities, told.most_entities, told.game_state) == (1, 3, 3)


# usage


def test_usage_has_the_rarest_first_and_what_nobody_used() -> None:
    played = some_matches()
    uses = usage(matches(played), played.events(), played.states())
    assert [use.count for use in uses] == sorted(use.count for use in uses)
    assert (uses[0].kind, uses[0].name, uses[0].count, uses[0].matches) == (
        "command",
        "game.Wave",
        0,
        0,
    )
    told = {use.name: (use.count, use.matches) for use in uses}
    assert told["game.Jump"] == (1, 1)
    assert told["game.Move"] == (72, 1)
    assert told["ecsnet.Position"] == (16, 2)
    assert told["game.Score"] == (9, 2)
    assert told["game.Ghost"] == (1, 1)
    assert told["game.Boom"] == (7, 2)
    assert told["game.Calm"] == (0, 0)
    assert {use.name for use in uses if use.kind == "emission"} == {"game.Boom", "game.Calm"}
    assert told["coin"] == (1, 1)
    assert told["join"] == (4, 3)


def test_usage_of_a_match_without_its_schema_has_what_was_seen() -> None:
    played = Played()
    number = played.match("ab", starts=False)
    played.event(number, "coin", 1, own=False)
    played.snapshot(number, 1, {1: (None, {"ghost": ("sad",)})})
    uses = usage(matches(played), played.events(), played.states())
    assert [(use.kind, use.name, use.count) for use in uses] == [
        ("component", "ghost", 1),
        ("event", "coin", 1),
    ]


# suspects


def test_suspects_are_listed_and_counted_over_matches() -> None:
    played = some_matches()
    told = suspects(matches(played), played.events())
    assert [(each.match, each.tick, each.rule, each.entity) for each in told.findings] == [
        (A, 23, "max_speed", 12),
        (A, 25, "max_speed", 12),
        (C, 7, "max_rate", 7),
    ]
    first = told.findings[0]
    assert (first.player, first.name) == (2, MALLORY)
    assert first.data == {
        "component": "position",
        "field": "x",
        "allowed": 12.0,
        "rate": 40.0,
        "before": 20.0,
        "after": 24.0,
    }
    assert told.accused == [Accused(MALLORY, 3, 2, {"max_speed": 2, "max_rate": 1})]


def test_a_rule_of_ones_own_gets_a_match_by_tick() -> None:
    def rich(documents: Iterator[Document]) -> Iterator[Mapping[str, object]]:
        for document in documents:
            entities: Any = document.get("entities", ())
            for entity in entities:
                if entity.get("score", {}).get("coins", 0) > 3:
                    yield {
                        "tick": document["tick"],
                        "player": entity["owner"],
                        "entity": entity["id"],
                        "coins": entity["score"]["coins"],
                    }

    played = some_matches()
    own = findings_of(rich, "rich", A, (each for each in played.states() if each["match"] == A))
    told = suspects(matches(played), played.events(), own)
    assert [each.rule for each in told.findings] == ["max_speed", "max_speed", "rich", "max_rate"]
    found = told.findings[2]
    assert (found.tick, found.player, found.name, found.entity) == (40, 1, "Ada", 11)
    assert found.data == {"coins": 4}
    assert [each.name for each in told.accused] == [MALLORY, "Ada"]


def test_a_finding_may_say_little() -> None:
    [found] = findings_of(lambda documents: [{"why": "odd"}], "odd", A, iter(()))
    assert (found.tick, found.player, found.entity) == (None, None, None)
    assert found.data == {"why": "odd"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "odd gave NoneType: a rule yields findings, mappings such as"),
        ([3], "odd found 3: a rule yields mappings such as"),
        ([{"tick": "x"}], "odd found tick 'x': expected a number, or None"),
    ],
)
def test_a_rule_that_yields_something_else_is_told(given: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        list(findings_of(lambda documents: given, "odd", A, iter(())))
    assert says in str(caught.value)


# heatmap


def seen(played: Played, component: str = "position", **options: Any) -> HeatMap:
    return heat(matches(played), played.states(), component, **options)


def test_a_heat_map_is_of_players_unless_told_otherwise() -> None:
    played = some_matches()
    players = seen(played)
    assert (players.component, players.x, players.y) == ("ecsnet.Position", "x", "y")
    assert (players.samples, players.entities, players.matches) == (12, 3, 2)
    assert (players.left, players.top) == (-40.0, 0.0)
    everybody = seen(played, who="all")
    assert (everybody.samples, everybody.entities) == (16, 4)
    one = seen(played, who=13)
    assert (one.samples, one.entities, one.counts) == (4, 1, [[4]])


def test_a_heat_map_counts_what_lies_in_a_cell() -> None:
    played = Played()
    number = played.match("ab")
    places = [(0.0, 0.0), (3.9, 1.9), (4.0, 0.0), (8.0, 4.0), (7.9, 3.9)]
    for tick, place in enumerate(places, 1):
        played.snapshot(number, tick, {1: (1, {"position": place})})
    told = seen(played, cells=2)
    assert (told.cell, told.left, told.top) == (4.0, 0.0, 0.0)
    assert told.counts == [[2, 2], [0, 1]]
    assert seen(played, cells=1).counts == [[5]]


@pytest.mark.parametrize("name", ["position", "Position", "ecsnet.Position", "ECSNET.POSITION"])
def test_a_component_is_found_in_any_case(name: str) -> None:
    assert seen(some_matches(), name).component == "ecsnet.Position"


def test_fields_are_found_in_any_case_or_by_what_they_hold() -> None:
    place = Declared("place", "game.Place", ("label", "on", "Lon", "lat"), (PLAIN,) * 4)
    played = Played([place])
    number = played.match("ab")
    played.snapshot(number, 1, {1: (1, {"place": ("home", True, 7, 50.5)})})
    found = seen(played, "place")
    assert (found.x, found.y, found.left, found.top) == ("Lon", "lat", 7.0, 50.5)
    found = seen(played, "place", x="LAT", y="lon")
    assert (found.x, found.y) == ("lat", "Lon")
    found = seen(played, "place", x="lat")
    assert (found.x, found.y) == ("lat", "Lon")


@pytest.mark.parametrize(
    ("component", "options", "says"),
    [
        ("nix", {}, "there is no component 'nix': ecsnet.Position, game.Ghost, game.Score"),
        ("position", {"x": "z"}, "ecsnet.Position has no field 'z': --x is one of x, y"),
        (
            "score",
            {},
            "game.Score holds no place: of its fields (coins, title) no two are numbers",
        ),
        (
            "ghost",
            {},
            "no snapshot has game.Ghost with two numbers on a player's entity; ",
        ),
        (
            "position",
            {"who": 99},
            "with two numbers on the entity 99",
        ),
        ("score", {"x": "title", "y": "title"}, "game.Score.title holds no numbers: give --x"),
    ],
)
def test_what_cannot_be_mapped_is_told(component: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        seen(some_matches(), component, **options)
    assert says in str(caught.value)


def test_a_name_that_two_components_have_is_told() -> None:
    other = Declared("game_position", "game.Position", ("x", "y"), (PLAIN, PLAIN))
    ours = Declared("ecsnet_position", "ecsnet.Position", ("x", "y"), (PLAIN, PLAIN))
    played = Played([other, ours])
    number = played.match("ab")
    played.snapshot(number, 1, {1: (1, {"game_position": (1, 2)})})
    with pytest.raises(UsageError, match=r"'position' may be ecsnet.Position or game.Position"):
        seen(played)
    assert seen(played, "game.position").samples == 1
    assert seen(played, "game_position").samples == 1


def test_a_match_without_its_schema_is_mapped_by_what_documents_say() -> None:
    played = Played()
    number = played.match("ab", starts=False)
    played.event(number, "join", 1, 1, 1, name="Ada")
    played.snapshot(number, 1, {1: (1, {"position": (1, 2)})})
    assert seen(played, "ecsnet.Position").samples == 1


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
places = st.lists(st.tuples(numbers, numbers, st.booleans()), min_size=1)


@given(places=places, cells=st.integers(1, 40))
def test_every_sample_is_in_a_cell(places: list[tuple[Any, Any, bool]], cells: int) -> None:
    played = Played([POSITION])
    number = played.match("ab")
    for tick, (x, y, owned) in enumerate(places, 1):
        played.snapshot(number, tick, {tick: (1 if owned else None, {"position": (x, y)})})
    for who in ("players", "all"):
        samples = len(places) if who == "all" else sum(owned for *_, owned in places)
        if samples:
            told = seen(played, who=who, cells=cells)
            assert told.samples == sum(map(sum, told.counts)) == samples
            assert 1 <= len(told.counts) <= cells
            assert {len(row) for row in told.counts} == {len(told.counts[0])}
            assert 1 <= len(told.counts[0]) <= cells
            assert max(len(told.counts), len(told.counts[0])) == cells or told.cell == 1.0
            assert math.isfinite(told.left)


# timeline


def test_a_timeline_follows_an_entity() -> None:
    played = some_matches()
    match = matches(played)[0]

    def follow(entity: int, field: str | None = None) -> list[tuple[str, str, list[object]]]:
        states = (each for each in played.states() if each["match"] == A)
        events = (each for each in played.events() if each["match"] == A)
        told = timeline(match, events, states, entity, field)
        assert all(line.ticks == [10, 20, 30, 40] for line in told.lines)
        assert told.suspect == ([23, 25] if entity == 12 else [])
        assert (told.match, told.entity, told.tick_rate) == (A, entity, 10.0)
        return [(line.component, line.field, line.values) for line in told.lines]

    x = ("ecsnet.Position", "x", [10.0, 20.0, 30.0, 40.0])
    y = ("ecsnet.Position", "y", [5.0] * 4)
    coins = ("game.Score", "coins", [1, 2, 3, 4])
    title = ("game.Score", "title", ["squire"] * 4)
    assert follow(11) == [x, y, coins, title]
    assert follow(12)[0][2] == [10.0, 20.0, 120.0, 160.0]
    for text in ("x", "X", "position.x", "Position.X", "ecsnet.Position.x"):
        assert follow(11, text) == [x]
    for text in ("position", "ecsnet.position"):
        assert follow(11, text) == [x, y]
    with pytest.raises(UsageError, match=f"no snapshot of {A} has an entity 99"):
        follow(99)
    with pytest.raises(UsageError, match=r"entity 13 has no 'coins': it has ecsnet.Position.x, "):
        follow(13, "coins")
