"""Commands name what their sender sees; network ids tell nothing of what it does not see."""

from __future__ import annotations

import statistics

import esper
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecsnet as net
from ecsnet.client.world import ClientWorld
from ecsnet.components import Owner
from ecsnet.replication.server.network_ids import ENDS, NetworkIds
from ecsnet.schema import command_type
from ecsnet.testing import Harness, Registry, use_registry


class Game:
    """Things at places, of which players see those of their own cell."""

    def __init__(self, interest: str = "grid", update_rate: float | None = None) -> None:
        self.registry = Registry()
        self.aimed: list[int | None] = []
        self.pushed: list[int] = []
        with use_registry(self.registry):

            @net.replicated
            class Place:
                x: float = 0.0
                y: float = 0.0

            @net.command
            class Shoot:
                at: net.EntityRef = None

            @net.command(hold=True)
            class Follow:
                who: net.EntityRef = None

            @net.command
            class Push:
                pass

            policy: net.Interest = (
                net.Grid(Place, 10.0, hysteresis=0.0)
                if interest == "grid"
                else net.Visible(self._near, every=1)
            )
            self.server = net.ServerWorld(interest=policy, update_rate=update_rate)
        self.Place, self.Shoot, self.Follow, self.Push = Place, Shoot, Follow, Push

        @self.server.on_join
        def join(player: int) -> None:
            esper.add_component(player, Place(5.0, 5.0))

        @self.server.system
        def note(_dt: float) -> None:
            self.aimed += [shot.at for _, shot in net.commands(Shoot)]
            self.aimed += [follow.who for _, follow in net.commands(Follow)]
            self.pushed += [entity for entity, _ in net.commands(Push)]

    def _near(self, player: int, entity: int) -> bool:
        return esper.component_for_entity(entity, self.Place).x < 10

    def put(self, game: Harness, x: float, **owner: int) -> int:
        with game.world:
            parts = [Owner(**owner)] if owner else []
            return esper.create_entity(self.Place(x, 5.0), *parts)

    def move(self, game: Harness, entity: int, x: float) -> None:
        with game.world:
            esper.component_for_entity(entity, self.Place).x = x

    def name(self, client: ClientWorld, command: type, network_id: int, target: int = 0) -> None:
        """What a modified client does: it names whatever id it likes."""
        kind = command_type(command, "")
        number = self.registry.schema().command_id_of[command]
        wire = kind.to_wire(
            command(1) if command is not self.Push else command(), lambda _: network_id
        )
        if kind.hold:
            client._sender.outbox.hold(number, target, wire)
        else:
            client._sender.outbox.act(number, target, wire)


def network_id(game: Harness, entity: int) -> int:
    found = game.room.replicator.network_id(entity)
    assert found is not None
    return found


@pytest.mark.parametrize("interest", ["grid", "visible"])
@pytest.mark.parametrize("command", ["Shoot", "Follow"])
def test_what_was_never_shown_reads_none_and_is_counted(interest: str, command: str) -> None:
    play = Game(interest)
    with Harness(play.server, registry=play.registry) as game:
        ann = game.connect("Ann")
        near, far = play.put(game, 6.0), play.put(game, 500.0)
        game.run(0.5)
        for entity, seen in ((near, near), (far, None)):
            play.aimed.clear()
            before = game.host.stats().commands_rejected
            play.name(ann, getattr(play, command), network_id(game, entity))
            game.run(0.5)
            assert play.aimed
            assert set(play.aimed[5:] or play.aimed) == {seen}
            assert (game.host.stats().commands_rejected > before) is (seen is None)
        game.run(0.5)
        assert ann.stats.commands_rejected > 0


def test_ids_that_nothing_has_read_none_too() -> None:
    play = Game()
    with Harness(play.server, registry=play.registry) as game:
        ann = game.connect("Ann")
        game.run(0.5)
        for number in (1, 7, 70_000, 2**40):
            play.name(ann, play.Shoot, number)
            game.run(0.1)
        assert play.aimed == [None] * 4
        assert game.host.stats().commands_rejected >= 3  # one of the small ones may be Ann herself


@pytest.mark.parametrize("update_rate", [None, 10.0])
@pytest.mark.parametrize("bystanders", [0, 1])
def test_what_left_sight_a_moment_ago_may_be_named_still(
    update_rate: float | None, bystanders: int
) -> None:
    """Honest players shoot at what is just leaving, and the network takes its time."""
    play = Game(update_rate=update_rate)
    with Harness(play.server, registry=play.registry) as game:
        ann = game.connect("Ann")
        for number in range(bystanders):
            game.connect(f"Bob {number}")
        entity = play.put(game, 6.0)
        game.run(0.5)
        named = network_id(game, entity)
        play.move(game, entity, 500.0)
        game.run(0.5)
        with ann.view:
            assert all(place.x < 10 for _, place in esper.get_component(play.Place))
        play.name(ann, play.Shoot, named)
        game.run(0.2)
        assert play.aimed == [entity]
        assert game.host.stats().commands_rejected == 0
        game.run(1.0)
        play.name(ann, play.Shoot, named)
        game.run(0.2)
        assert play.aimed == [entity, None]
        assert game.host.stats().commands_rejected == 1
        play.move(game, entity, 6.0)
        game.run(0.5)
        play.name(ann, play.Shoot, named)
        game.run(0.2)
        assert play.aimed == [entity, None, entity]


def test_what_a_player_walked_away_from_a_moment_ago_may_be_named_still() -> None:
    play = Game()
    with Harness(play.server, registry=play.registry) as game:
        ann = game.connect("Ann")
        entity = play.put(game, 6.0)
        game.run(0.5)
        named = network_id(game, entity)
        play.move(game, game.simulation.player_entity[1], 500.0)
        game.run(0.5)
        assert ann._protocol.store is not None
        assert named not in ann._protocol.store.entities
        play.name(ann, play.Shoot, named)
        game.run(0.2)
        assert play.aimed == [entity]
        game.run(1.0)
        play.name(ann, play.Shoot, named)
        game.run(0.2)
        assert play.aimed == [entity, None]


def test_what_is_gone_reads_none_without_blame() -> None:
    play = Game()
    with Harness(play.server, registry=play.registry) as game:
        ann = game.connect("Ann")
        entity = play.put(game, 6.0)
        game.run(0.5)
        named = network_id(game, entity)
        with game.world:
            esper.delete_entity(entity)
        game.run(0.3)
        play.name(ann, play.Shoot, named)
        game.run(0.2)
        assert play.aimed == [None]
        assert game.host.stats().commands_rejected == 0


def test_a_target_has_to_have_been_shown() -> None:
    play = Game()
    with Harness(play.server, registry=play.registry) as game:
        ann, bob = game.connect("Ann"), game.connect("Bob")
        hers = play.put(game, 6.0, player=game.simulation.player_entity[1])
        game.run(0.5)
        play.name(ann, play.Push, 0, network_id(game, hers))
        play.name(bob, play.Push, 0, network_id(game, hers))
        game.run(0.3)
        assert play.pushed == [hers]
        assert game.host.stats().commands_rejected == 1
        # SentCommands apart from what the game says: hers, and not shown.
        game.simulation.sees = lambda _player, _net: False
        play.name(ann, play.Push, 0, network_id(game, hers))
        game.run(0.3)
        assert play.pushed == [hers]
        assert game.host.stats().commands_rejected == 2


def test_a_player_who_joins_later_knows_no_more_than_it_was_shown() -> None:
    play = Game()
    with Harness(play.server, registry=play.registry) as game:
        game.connect("Ann")
        entity = play.put(game, 6.0)
        game.run(0.5)
        named = network_id(game, entity)
        play.move(game, entity, 500.0)
        game.run(0.1)
        bob = game.connect("Bob")
        play.name(bob, play.Shoot, named)
        game.run(0.3)
        assert play.aimed == [None]


# Network ids.


def drawn(count: int, key: bytes = b"key") -> list[int]:
    ids = NetworkIds(key)
    return [ids.draw() for _ in range(count)]


@given(st.binary(max_size=80), st.integers(1, 9000))
def test_ids_are_never_used_twice(key: bytes, count: int) -> None:
    ids = drawn(count, key)
    assert len(set(ids)) == count
    assert min(ids) > 0
    assert max(ids) < ENDS[1]
    assert drawn(count, key) == ids


def test_blocks_are_used_up_one_after_the_other() -> None:
    ids = drawn(2 * ENDS[1] + 10)
    assert len(set(ids)) == len(ids)
    assert set(ids[: ENDS[0] - 1]) == set(range(1, ENDS[0]))
    assert set(ids[: ENDS[1] - 1]) == set(range(1, ENDS[1]))
    assert set(ids[: 2 * ENDS[1] - 1]) == set(range(1, 2 * ENDS[1]))


@pytest.mark.parametrize("before", [0, 10, 300, 3000])
def test_an_id_does_not_tell_how_many_there_were(before: int) -> None:
    """Wherever it stands in the line, it is anywhere in the block."""
    ids = [drawn(before + 1, b"%d" % key)[-1] for key in range(200)]
    assert 0.4 < statistics.mean(ids) / ENDS[0] < 0.6
    assert min(ids) < 0.1 * ENDS[0]
    assert max(ids) > 0.9 * ENDS[0]


def test_what_clients_read_does_not_count_what_is_hidden() -> None:
    """As the network has it: the same thing in worlds with few and many things out of sight."""

    def first_seen(hidden: int, seed: int) -> int:
        play = Game()
        with Harness(play.server, registry=play.registry, seed=seed) as game:
            for _ in range(hidden):
                play.put(game, 500.0)
            game.run(0.1)
            ann = game.connect("Ann")
            assert ann._protocol.store is not None
            (seen,) = ann._protocol.store.entities
            return seen

    few, many = ([first_seen(hidden, seed) for seed in range(12)] for hidden in (3, 900))
    assert min(few) < 1500 < max(few)
    assert min(many) < 1500 < max(many)
    assert first_seen(3, 5) == few[5]


def test_clients_create_entities_in_the_order_of_the_server() -> None:
    """What is drawn first on a server is drawn first on its clients."""
    play = Game()

    @play.server.on_start
    def start() -> None:
        for number in range(300):
            esper.create_entity(play.Place(number / 100, 1.0))

    with Harness(play.server, registry=play.registry) as game:
        ann = game.connect("Ann")
        game.run(0.5)
        with ann.view:
            places = [place.x for _, place in sorted(esper.get_component(play.Place))[:-1]]
        assert len(places) == 300
        assert places == sorted(places)
