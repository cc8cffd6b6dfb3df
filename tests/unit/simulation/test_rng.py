"""`net.rng`: chance of the server alone, and chance of an entity that its client knows too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import esper
import pytest

import ecsnet as net
from ecsnet.components import Owner, Player
from ecsnet.errors import OutsideTickError, UsageError
from ecsnet.simulation.simulation import Join, Simulation
from ecsnet.simulation.spec import SimulationSpec
from ecsnet.testing import Harness


class Game:
    """A simulation in which a test runs ticks of its own."""

    def __init__(self, *, seed: int = 1, ahead: bool = False) -> None:
        spec = SimulationSpec()
        self.do: Callable[[], object] = lambda: None
        spec.add_function(lambda dt: self.do(), 0)
        self.simulation = Simulation(
            spec, seed=seed, epoch=5, player=Player, owner=Owner, ahead=ahead
        )
        self.simulation.step([Join(1, "Ann"), Join(2, "Bob")])
        self.ann, self.bob = (self.simulation.player_entity[n] for n in (1, 2))

    def run(self, do: Callable[[], object]) -> None:
        self.do = do
        self.simulation.step()
        assert self.simulation.failure is None

    def rolls(self, *entities: int, tick: int | None = None) -> list[float]:
        """What each of these entities rolls in a tick."""
        made: list[float] = []
        if tick is not None:
            self.simulation.tick = tick - 1
        self.run(lambda: made.extend(net.rng(entity).random() for entity in entities))
        return made


@pytest.fixture
def game() -> Iterator[Game]:
    game = Game()
    yield game
    game.simulation.close()


def test_an_entity_has_chance_of_its_own_in_each_tick(game: Game) -> None:
    first, second = game.rolls(game.ann, game.bob), game.rolls(game.ann, game.bob)
    assert len({*first, *second}) == 4


def test_asked_again_in_a_tick_it_goes_on(game: Game) -> None:
    alone = game.rolls(game.ann, game.ann, game.ann, tick=50)
    assert len(set(alone)) == 3
    assert game.rolls(game.ann, game.bob, game.ann, tick=50)[::2] == alone[:2]


def test_a_tick_that_is_run_again_has_the_same_chance(game: Game) -> None:
    once = game.rolls(game.ann, tick=50)
    assert game.rolls(game.ann, tick=50) == once
    assert game.rolls(game.ann) != once


def test_both_ends_come_to_the_same(game: Game) -> None:
    """By network ids, whatever the entities are called here or there, and whoever else asks."""
    client = Game(seed=99, ahead=True)
    client.simulation.public_seed = game.simulation.public_seed
    with client.simulation.world:
        other = esper.create_entity()
    game.simulation.network_id = {game.ann: 2**53, game.bob: 71}.get
    client.simulation.network_id = {other: 2**53}.get
    for tick in (50, 51, 2**32 + 3):
        mine = game.rolls(game.bob, game.ann, tick=tick)[1:]
        assert client.rolls(other, tick=tick) == mine
    client.simulation.public_seed += 1
    assert client.rolls(other, tick=51) != game.rolls(game.ann, tick=51)
    client.simulation.close()


def test_what_has_no_network_id_yet_has_its_owners_chance(game: Game) -> None:
    game.simulation.network_id = {}.get
    made: list[float] = []
    of_ann = game.rolls(game.ann, game.ann, tick=50)

    def system() -> None:
        bullet = esper.create_entity(Owner(game.ann))
        made.extend((net.rng(game.ann).random(), net.rng(bullet).random()))
        made.append(net.rng(esper.create_entity()).random())

    game.simulation.tick = 49
    game.run(system)
    assert made[:2] == of_ann
    assert made[2] not in of_ann
    # A player's number and a network id are two things.
    game.simulation.network_id = {game.bob: 1}.get
    assert game.rolls(game.bob, tick=50)[0] not in made


def test_no_two_entities_or_ticks_have_the_same_chance(game: Game) -> None:
    """By their network ids and by their owners, however long the game has run."""
    with game.simulation.world:
        entities = [esper.create_entity() for _ in range(8)]
    nets = {entity: net_id for net_id, entity in enumerate(entities, 1)}
    game.simulation.network_id = nets.get
    asked = [*entities, game.ann, game.bob]
    rolled = [
        roll
        for first in (50, (1 << 16) + 5, (1 << 17) + 5)
        for tick in range(first, first + 32)
        for entity in asked
        for roll in game.rolls(entity, tick=tick)
    ]
    assert len(set(rolled)) == len(rolled) == 3 * 32 * 10


def test_it_leaves_the_servers_own_chance_alone(game: Game) -> None:
    other = Game()
    mine: list[float] = []
    game.run(lambda: mine.extend((net.rng(game.ann).random(), net.rng().random())))
    alone: list[float] = []
    other.run(lambda: alone.append(net.rng().random()))
    assert mine[1:] == alone
    assert game.simulation.rng is not other.simulation.rng
    other.simulation.close()


def test_what_can_be_no_entity_is_refused(game: Game) -> None:
    def system() -> None:
        for wrong, shown in (("ship", "'ship'"), (1.5, "1.5"), (True, "True")):
            message = (
                f"net.rng({shown}): give an entity, a number, or leave it out for the simulation's"
                " own"
            )
            with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
                net.rng(wrong)  # type: ignore[arg-type]

    game.run(system)
    with pytest.raises(OutsideTickError):
        net.rng(game.ann)


def test_a_room_gives_what_its_clients_know() -> None:
    server = net.ServerWorld()
    made: list[float] = []

    @server.system
    def roll(dt: float) -> None:
        made.extend(net.rng(player).random() for player, _ in esper.get_component(Player))

    with Harness(server) as game:
        client = game.connect("Ann")
        game.step(5)
        game.simulation.tick = 500
        made.clear()
        game.step()
        ahead = Game(seed=5, ahead=True)
        ahead.simulation.public_seed = game.simulation.public_seed
        net_of = client._view.remote
        player = client.player
        assert player is not None
        ahead.simulation.network_id = {ahead.ann: net_of[player]}.get
        assert ahead.rolls(ahead.ann, tick=501) == made
        ahead.simulation.close()
