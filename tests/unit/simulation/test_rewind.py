"""`net.rewind`: others as a player saw them, within a block; all else as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import esper
import pytest

import ecsnet as net
from ecsnet.commands.inbox import PlayerCommands
from ecsnet.components import Owner, Player
from ecsnet.errors import OutsideTickError, UsageError
from ecsnet.schema import Registry, component_type, replicated, use_registry
from ecsnet.simulation.past import Past
from ecsnet.simulation.simulation import Join, Leave, Simulation
from ecsnet.simulation.spec import OnError, SimulationSpec

with use_registry(Registry()) as registry:

    @replicated(interpolate=True)
    class Spot:
        x: float = 0.0
        y: float = 0.0
        hits: int = 0


SPOT = component_type(Spot)
ANN, BOB = 1, 2


class Game:
    """Two players, and spots that each of them sees elsewhere: by 100 or 200 to the left."""

    def __init__(self, on_error: OnError = "stop") -> None:
        self.spec = SimulationSpec(tick_rate=50, on_error=on_error)
        self.do: Callable[[], object] = lambda: None
        self.spec.add_function(lambda dt: self.do(), 0)
        self.simulation = Simulation(self.spec, seed=1, epoch=5, player=Player, owner=Owner)
        self.simulation.look_back = self.look_back
        self.simulation.step([Join(ANN, "Ann"), Join(BOB, "Bob")])
        self.ann, self.bob = (self.simulation.player_entity[n] for n in (ANN, BOB))
        with self.simulation.world:
            esper.add_component(self.ann, Spot(1.0, 10.0))
            esper.add_component(self.bob, Spot(2.0, 20.0))
            self.rock = esper.create_entity(Spot(3.0, 30.0))

    def look_back(self, player_id: int, past: Past) -> bool:
        own = self.simulation.player_entity[player_id]
        for entity, spot in esper.get_component(Spot):
            if entity != own:
                past.show(SPOT, spot, (spot.x - 100 * player_id, spot.y))
        return True

    def at(self, entity: int) -> float:
        return float(esper.component_for_entity(entity, Spot).x)

    def all(self) -> list[float]:
        return [self.at(entity) for entity in (self.ann, self.bob, self.rock)]

    def run(self, do: Callable[[], object], **given: Any) -> None:
        """Run a tick in which a system does something."""
        self.do = do
        self.simulation.step(**given)
        self.do = lambda: None
        if self.simulation.failure is not None:
            raise self.simulation.failure


@pytest.fixture
def game() -> Iterator[Game]:
    game = Game()
    yield game
    game.simulation.close()


NOW = [1.0, 2.0, 3.0]


def test_others_are_where_the_player_saw_them(game: Game) -> None:
    seen: list[list[float]] = []

    def system() -> None:
        for player in (game.ann, game.bob):
            with net.rewind(player):
                seen.append(game.all())
            seen.append(game.all())

    game.run(system)
    assert seen == [[1.0, -98.0, -97.0], NOW, [-199.0, 2.0, -197.0], NOW]
    assert game.simulation.rewinds == 2
    assert game.simulation.rewinds_limited == 0
    assert not game.simulation.ignored


def test_what_a_player_owns_stands_for_it(game: Game) -> None:
    seen: list[list[float]] = []

    def system() -> None:
        bullet = esper.create_entity(Owner(game.ann))
        with net.rewind(bullet):
            seen.append(game.all())

    game.run(system)
    assert seen == [[1.0, -98.0, -97.0]]


def test_the_present_is_back_also_when_the_block_raises(game: Game) -> None:
    seen: list[list[float]] = []

    def system() -> None:
        try:
            with net.rewind(game.ann):
                seen.append(game.all())
                raise ZeroDivisionError
        except ZeroDivisionError:
            seen.append([])
        seen.append(game.all())

    game.run(system)
    assert seen == [[1.0, -98.0, -97.0], [], NOW]
    assert game.simulation.past is None


def test_what_a_system_raises_in_a_block_is_its_own_and_nothing_stays_rewound() -> None:
    game = Game(on_error="skip")

    def system() -> None:
        with net.rewind(game.ann):
            raise ZeroDivisionError

    game.run(system)
    assert game.simulation.errors.total() == 1
    with game.simulation.world:
        assert game.all() == NOW
    game.simulation.close()


def test_what_is_written_in_the_block_stays_field_by_field(game: Game) -> None:
    def system() -> None:
        with net.rewind(game.ann):
            spot = esper.component_for_entity(game.bob, Spot)
            spot.hits += 1
            spot.y = 25.0
            esper.component_for_entity(game.rock, Spot).x += 5
            esper.component_for_entity(game.ann, Spot).x = 7.0

    game.run(system)
    with game.simulation.world:
        assert esper.component_for_entity(game.bob, Spot) == Spot(2.0, 25.0, 1)
        assert esper.component_for_entity(game.rock, Spot) == Spot(-92.0, 30.0)
        assert game.at(game.ann) == 7.0


def test_what_is_written_as_it_was_shown_is_not_written(game: Game) -> None:
    def system() -> None:
        with net.rewind(game.ann):
            for _, spot in esper.get_component(Spot):
                spot.x = max(-500.0, spot.x + 0.0)
                spot.y = float(str(spot.y))

    game.run(system)
    with game.simulation.world:
        assert game.all() == NOW


def test_numbers_that_are_equal_to_nothing_come_back(game: Game) -> None:
    with game.simulation.world:
        esper.component_for_entity(game.bob, Spot).y = float("nan")

    def system() -> None:
        with net.rewind(game.ann):
            assert game.at(game.bob) == -98.0

    game.run(system)
    with game.simulation.world:
        assert game.all() == NOW


def test_what_comes_and_goes_within_the_block_is_no_matter(game: Game) -> None:
    seen: list[float] = []

    def system() -> None:
        with net.rewind(game.ann):
            esper.delete_entity(game.bob, immediate=True)
            esper.add_component(game.rock, Spot(50.0))
            seen.append(game.at(esper.create_entity(Spot(60.0))))
        seen.append(game.at(game.rock))

    game.run(system)
    assert seen == [60.0, 50.0]


def test_of_two_blocks_the_inner_one_counts(game: Game) -> None:
    seen: list[list[float]] = []

    def system() -> None:
        with net.rewind(game.ann):
            with net.rewind(game.bob):
                seen.append(game.all())
                esper.component_for_entity(game.rock, Spot).x = 55.0
            seen.append(game.all())
            esper.component_for_entity(game.bob, Spot).x = 66.0
            with net.rewind(game.ann):
                seen.append(game.all())
            seen.append(game.all())
        seen.append(game.all())

    game.run(system)
    assert seen == [
        [-199.0, 2.0, -197.0],
        [1.0, -98.0, -97.0],
        [1.0, -34.0, -45.0],  # from what was written in both
        [1.0, 66.0, -97.0],
        [1.0, 66.0, 55.0],
    ]


def test_for_nobody_nothing_is_rewound(game: Game) -> None:
    seen: list[list[float]] = []

    def system() -> None:
        for entity in (game.rock, 9999, esper.create_entity(Owner(game.rock))):
            with net.rewind(entity):
                seen.append(game.all())
        with net.rewind(game.ann), net.rewind(game.rock):
            seen.append(game.all())

    game.run(system)
    assert seen == [NOW] * 4
    assert game.simulation.ignored == {"rewind": 4}
    assert game.simulation.rewinds == 1


def test_nor_for_who_has_just_left_or_said_nothing(game: Game) -> None:
    seen: list[list[float]] = []

    def leave(player: int) -> None:
        with net.rewind(player):
            seen.append(game.all())

    game.simulation._on_leave = ((leave, False),)
    game.run(lambda: None, leaves=[Leave(BOB)])
    assert seen == [NOW]
    assert game.simulation.ignored == {"rewind": 1}
    game.simulation.look_back = lambda player_id, past: False

    def system() -> None:
        with net.rewind(game.ann):
            seen.append([game.at(game.rock)])

    game.run(system)
    assert seen == [NOW, NOW[2:]]
    assert game.simulation.ignored == {"rewind": 1}
    assert game.simulation.rewinds == 0


def test_it_is_told_which_of_them_were_limited(game: Game) -> None:
    given = [
        PlayerCommands(ANN, (), 300, True),
        PlayerCommands(BOB, (), 310, False),
        PlayerCommands(3, (), 310, False),
    ]
    said: list[dict[int, int | None]] = []

    def system() -> None:
        said.append({n: each.drawn for n, each in game.simulation.drawn.items()})
        for player in (game.ann, game.bob, game.ann):
            with net.rewind(player):
                pass

    game.run(system, commands=given)
    assert said == [{ANN: 300, BOB: 310}]
    assert (game.simulation.rewinds, game.simulation.rewinds_limited) == (3, 2)
    game.run(system, commands=given[1:])
    assert said[1:] == [{BOB: 310}]
    assert (game.simulation.rewinds, game.simulation.rewinds_limited) == (6, 2)


@pytest.mark.parametrize("nested", [False, True])
def test_a_block_that_is_left_open_ends_with_its_system(nested: bool) -> None:
    game = Game(on_error="skip")
    kept: list[object] = []

    def system() -> None:
        if nested:
            with net.rewind(game.bob):
                kept.append(net.rewind(game.ann))
                kept[-1].__enter__()  # type: ignore[attr-defined]
        else:
            kept.append(net.rewind(game.ann))
            kept[-1].__enter__()  # type: ignore[attr-defined]

    game.run(system)
    with game.simulation.world:
        assert game.all() == NOW
    assert game.simulation.past is None
    assert game.simulation.errors.total() == (0 if nested else 1)
    game.simulation.close()


def test_the_mistake_is_named(game: Game) -> None:
    kept = []

    def system() -> None:
        kept.append(net.rewind(game.ann))
        kept[-1].__enter__()

    message = r"left a block of net\.rewind\(\) open: end it before it returns$"
    with pytest.raises(UsageError, match=message):
        game.run(system)
    assert kept


def test_what_can_be_no_entity_is_refused(game: Game) -> None:
    def system() -> None:
        for wrong, shown in ((None, "None"), ("ship", "'ship'"), (1.5, "1.5"), (True, "True")):
            message = (
                f"net.rewind({shown}): give a player's entity, or one that a player owns, a number"
            )
            with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
                net.rewind(wrong)  # type: ignore[arg-type]

    game.run(system)


def test_outside_of_a_tick_there_is_nothing_to_rewind() -> None:
    with pytest.raises(OutsideTickError, match=r"^net\.rewind\(\) outside a tick: call it in a "):
        net.rewind(1)


def test_without_clients_nothing_is_rewound() -> None:
    seen: list[float] = []
    with use_registry(registry):
        server = net.ServerWorld()

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Spot(5.0))
        esper.create_entity(Spot(6.0))

    @server.system
    def look(dt: float) -> None:
        for player, _ in esper.get_components(Player, Spot):
            with net.rewind(player):
                seen.extend(spot.x for _, spot in esper.get_component(Spot))

    simulation = server.step(2, joins=["Ann"])
    assert seen == [5.0, 6.0] * 2
    assert simulation.rewinds == 0
