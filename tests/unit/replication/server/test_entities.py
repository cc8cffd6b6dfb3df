from __future__ import annotations

from collections.abc import Hashable, Iterator

import esper
import pytest

from ecsnet.components import Owner
from ecsnet.errors import UsageError
from ecsnet.replication.server.entities import Delta, Entity, ReplicatedEntities
from ecsnet.replication.server.interest import ANYWHERE, Everyone, Grid, Interest, Placed, Visible
from ecsnet.schema import Registry, replicated, use_registry
from ecsnet.world import World

with use_registry(Registry()) as registry:

    @replicated
    class Place:
        x: float = 0.0
        y: float = 0.0

    @replicated
    class Tank:
        hp: int = 10

    @replicated(visible_to="owner")
    class Secret:
        code: int = 0

    @replicated(visible_to="server")
    class Plan:
        n: int = 0

    @replicated(visible_to="owner")
    class Lair:
        x: float = 0.0
        y: float = 0.0

    @replicated
    class Post:
        x: float = 0.0
        y: float = 0.0
        floor: int = 0


SCHEMA = registry.schema()
PLACE, TANK, POST = (1 << SCHEMA.cid_of[cls] for cls in (Place, Tank, Post))
SECRET, OWNER = (1 << SCHEMA.cid_of[cls] for cls in (Secret, Owner))


class Subject:
    def __init__(self, interest: Interest | None = None) -> None:
        self.world = World()
        self.world.__enter__()
        self.entities = ReplicatedEntities(SCHEMA, self.world, interest or Everyone(), Owner)
        self.tick = 0

    def close(self) -> None:
        self.world.__exit__(None, None, None)
        self.world.close()

    def capture(self) -> Delta:
        self.tick += 1
        self.world.flush_dead()
        return self.entities.capture(self.tick)

    def entity(self, esper_id: int) -> Entity:
        return self.entities.by_esper[esper_id]

    def owned(self, player: int) -> set[int]:
        return {entity.esper for entity in self.entities.belongings(player)}


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    made = Subject(getattr(request, "param", None))
    yield made
    made.close()


grid = pytest.mark.parametrize("subject", [Grid(Place, 10)], indirect=True)


def test_network_ids_go_up_and_only_replicated_entities_have_one(subject: Subject) -> None:
    one, plain, two = (
        esper.create_entity(Tank()),
        esper.create_entity(Plan(), 5),
        esper.create_entity(Place(), Tank()),
    )
    delta = subject.capture()
    entities = subject.entities
    assert [entities.network_id(e) for e in (one, plain, two, None)] == [1, None, 2, None]
    assert entities.by_net[2].esper == two
    assert subject.entity(two).public == TANK | PLACE
    # Entities that came as a whole are told by their cells, not part by part.
    assert not (delta.inserted)
    assert not (delta.removed)
    assert not (delta.changed)
    assert delta.cells.keys() == {ANYWHERE}
    assert entities.cids(TANK | PLACE) == tuple(sorted(map(SCHEMA.cid_of.get, (Tank, Place))))


def test_network_ids_are_never_reused_whatever_esper_does_with_its_own(subject: Subject) -> None:
    used: set[int] = set()
    espers: list[int] = []
    for _ in range(4):
        created = [esper.create_entity(Tank()) for _ in range(3)]
        subject.capture()
        nets = {subject.entity(entity).net for entity in created}
        assert not nets & used
        assert set(subject.entities.by_net) == nets
        used |= nets
        espers += created
        esper.clear_database()
    assert len(used) == 12
    assert len(set(espers)) == 3  # esper begins anew each time


def test_after_clear_database_everything_known_is_gone(subject: Subject) -> None:
    player = esper.create_entity(Tank())
    subject.entities.set_player(player, True)
    subject.capture()
    esper.clear_database()
    delta = subject.capture()
    assert not subject.entities.by_net
    assert not subject.entities.by_esper
    assert not subject.entities.cells
    assert delta.owners == {player}
    assert subject.owned(player) == set()
    esper.create_entity(Tank())
    subject.capture()
    assert subject.owned(player) == set()  # the same number, and somebody else


def test_parts_that_come_and_go_are_told_of_those_who_stay(subject: Subject) -> None:
    one = esper.create_entity(Tank())
    subject.capture()
    esper.add_component(one, Place())
    delta = subject.capture()
    entity = subject.entity(one)
    assert (delta.inserted, delta.removed) == ({entity: PLACE}, {})
    esper.remove_component(one, Tank)
    delta = subject.capture()
    assert (delta.inserted, delta.removed) == ({}, {entity: TANK})
    assert entity.public == PLACE
    esper.add_component(one, Tank())
    esper.remove_component(one, Place)
    delta = subject.capture()
    assert (delta.inserted, delta.removed) == ({entity: TANK}, {entity: PLACE})
    assert not delta.cells


def test_a_value_that_changed_is_told_with_its_tick(subject: Subject) -> None:
    one = esper.create_entity(Tank(1), Place())
    subject.capture()
    esper.component_for_entity(one, Tank).hp = 2
    delta = subject.capture()
    assert delta.changed == {subject.entity(one): TANK}
    cid = SCHEMA.cid_of[Tank]
    assert subject.entities.detectors[cid].ticks() == {subject.entity(one): 2}
    place = subject.entities.detectors[SCHEMA.cid_of[Place]]
    assert place.ticks() == {subject.entity(one): 1}
    assert subject.entities.columns((cid,), [1]) == [(cid, [Tank(2)])]
    subject.world.delete(one)
    subject.capture()
    assert not subject.entities.detectors[cid].ticks()


def test_an_entity_without_parts_keeps_its_id_while_it_lives(subject: Subject) -> None:
    one = esper.create_entity(Tank(), 5)
    subject.capture()
    esper.remove_component(one, Tank)
    delta = subject.capture()
    assert not (delta.removed)
    assert not (delta.inserted)
    assert not subject.entities.cells
    assert subject.entities.network_id(one) == 1
    esper.add_component(one, Place())
    subject.capture()
    assert subject.entities.network_id(one) == 1
    assert subject.entities.cells == {ANYWHERE: {1}}
    subject.world.delete(one)
    subject.capture()
    assert subject.entities.network_id(one) is None
    assert not subject.entities.by_net


def test_who_came_and_went_within_a_tick_was_never_there(subject: Subject) -> None:
    one = esper.create_entity(Tank())
    subject.world.delete(one)
    delta = subject.capture()
    assert not subject.entities.by_net
    assert not delta.cells
    two = esper.create_entity(Tank())
    subject.capture()
    subject.world.delete(two)
    three = esper.create_entity(Tank())
    subject.capture()
    assert set(subject.entities.by_net) == {subject.entity(three).net}


def test_a_first_value_that_is_bad_lets_the_entity_appear_later(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    one = esper.create_entity(Tank("x"))  # type: ignore[arg-type]
    delta = subject.capture()
    assert not delta.cells
    assert not subject.entity(one).public
    esper.component_for_entity(one, Tank).hp = 3
    delta = subject.capture()
    assert delta.cells.keys() == {ANYWHERE}
    assert subject.entity(one).public == TANK
    assert "Tank.hp" in caplog.text


def test_who_has_just_gone_is_found_until_the_next_tick(subject: Subject) -> None:
    one, two = esper.create_entity(Tank()), esper.create_entity(Tank())
    subject.capture()
    entities, world = subject.entities, subject.world.identity()
    gone = subject.entity(one)
    assert entities.find(one, world) is gone
    subject.world.delete(one)
    subject.capture()
    assert entities.find(one, world) is gone
    assert entities.find(two, world) is subject.entity(two)
    assert entities.find(one, object()) is None  # of some world before that
    assert (entities.named(one, world), entities.named(two, world)) == (1, 2)
    subject.capture()
    assert entities.find(one, world) is entities.named(one, world) is None


def test_a_number_is_looked_up_in_the_world_that_it_is_of(subject: Subject) -> None:
    one = esper.create_entity(Tank())
    subject.capture()
    entities, world, before = subject.entities, subject.world.identity(), subject.entity(one)
    esper.clear_database()
    assert esper.create_entity(Tank()) == one
    subject.capture()
    after, now = subject.world.identity(), subject.entity(one)
    assert entities.find(one, world) is before
    assert entities.find(one, after) is now
    subject.world.delete(one)
    subject.capture()
    assert entities.find(one, world) is None
    assert entities.find(one, after) is now


# Cells.


@grid
def test_entities_move_between_cells(subject: Subject) -> None:
    one = esper.create_entity(Place(5, 5))
    two = esper.create_entity(Place(5, 5))
    subject.capture()
    assert subject.entities.cells == {(0, 0): {1, 2}}
    esper.component_for_entity(one, Place).x = 25
    delta = subject.capture()
    assert subject.entities.cells == {(0, 0): {2}, (2, 0): {1}}
    assert delta.cells.keys() == {(0, 0), (2, 0)}
    esper.component_for_entity(two, Place).x = 6
    delta = subject.capture()
    assert not delta.cells
    subject.world.delete(two)
    delta = subject.capture()
    assert delta.cells.keys() == {(0, 0)}
    assert subject.entities.cells == {(2, 0): {1}}


@grid
def test_what_has_no_position_is_seen_by_all(subject: Subject) -> None:
    one = esper.create_entity(Tank())
    subject.capture()
    assert subject.entities.cells == {ANYWHERE: {1}}
    esper.add_component(one, Place(15, 5))
    subject.capture()
    assert subject.entities.cells == {(1, 0): {1}}
    assert subject.entity(one).point == (15, 5)
    esper.remove_component(one, Place)
    subject.capture()
    assert subject.entities.cells == {ANYWHERE: {1}}
    assert subject.entity(one).point is None


@grid
def test_a_position_that_is_none_leaves_the_entity_in_its_cell(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    one = esper.create_entity(Place(15, 5))
    subject.capture()
    place = esper.component_for_entity(one, Place)
    for x in (float("nan"), float("inf"), "left"):
        place.x = x  # type: ignore[assignment]
        subject.capture()
        assert subject.entities.cells == {(1, 0): {1}}
        assert subject.entity(one).point == (15, 5)


class Halls(Grid):
    """A grid with a mind of its own: two halls, no height, and a cellar that is in neither."""

    def point(self, position: object) -> tuple[float, float] | None:
        assert isinstance(position, Place)
        return None if position.y < 0 else (position.x, 0.0)

    def cell(self, entity: Placed) -> Hashable:
        return "left" if entity.point is None or entity.point[0] < 10 else "right"


@pytest.mark.parametrize("subject", [Halls(Place, 10)], indirect=True)
def test_a_grid_that_a_game_derived_is_asked_itself(subject: Subject) -> None:
    one = esper.create_entity(Place(5, 5))
    esper.create_entity(Place(15, 5))
    subject.capture()
    assert subject.entities.cells == {"left": {1}, "right": {2}}
    esper.component_for_entity(one, Place).x = 25
    subject.capture()
    assert subject.entities.cells == {"right": {1, 2}}
    esper.component_for_entity(one, Place).y = -1
    subject.capture()
    assert subject.entities.cells == {"right": {1, 2}}
    assert subject.entity(one).point == (25, 0)  # where it was last


def test_whoever_came_and_went_did_neither() -> None:
    delta = Delta(1)
    for old, new in (("a", "b"), ("b", "c"), ("c", "d")):
        delta.left(7, old)
        delta.entered(7, new)
    differences = {cell: (change.entered, change.left) for cell, change in delta.cells.items()}
    assert differences == {
        "a": (set(), {7}),
        "b": (set(), set()),
        "c": (set(), set()),
        "d": ({7}, set()),
    }
    delta.left(7, "d")
    delta.entered(7, "a")
    assert not any(change.entered or change.left for change in delta.cells.values())


@pytest.mark.parametrize("subject", [Visible(lambda p, e: True)], indirect=True)
def test_with_a_predicate_each_entity_is_a_cell(subject: Subject) -> None:
    esper.create_entity(Tank())
    esper.create_entity(Tank())
    subject.capture()
    assert subject.entities.cells == {1: {1}, 2: {2}}


def test_interest_needs_a_position_that_clients_get() -> None:
    world = World()
    with world:
        for cls in (Plan, type("Never", (), {"__struct_fields__": ("x", "y")})):
            policy = Grid(Place, 10)
            policy.position = cls
            with pytest.raises(UsageError, match="clients never get this component"):
                ReplicatedEntities(SCHEMA, world, policy, Owner)
    world.close()


def test_an_owner_only_position_places_an_entity_too() -> None:
    subject = Subject(Grid(Lair, 10))
    one = esper.create_entity(Lair(15, 5), Tank())
    subject.capture()
    assert subject.entities.cells == {(1, 0): {1}}
    assert subject.entity(one).private == 1 << SCHEMA.cid_of[Lair]
    subject.close()


def test_an_owner_only_position_moves_what_others_see_of_an_entity() -> None:
    subject = Subject(Grid(Lair, 10))
    one = esper.create_entity(Lair(15, 5))
    subject.capture()
    esper.component_for_entity(one, Lair).x = 25
    assert not subject.capture().cells
    assert not subject.entities.cells  # others see nothing of it
    esper.component_for_entity(one, Lair).x = 35
    esper.add_component(one, Tank())
    subject.capture()
    assert subject.entities.cells == {(3, 0): {1}}
    esper.component_for_entity(one, Lair).x = 45
    subject.capture()
    assert subject.entities.cells == {(4, 0): {1}}
    subject.close()


@grid
def test_other_components_with_coordinates_move_nothing(subject: Subject) -> None:
    one = esper.create_entity(Place(5, 5), Post(), Lair())
    subject.capture()
    for cls in (Post, Lair):
        esper.component_for_entity(one, cls).x = 500
        assert not subject.capture().cells
    assert subject.entity(one).point == (5, 5)


@pytest.mark.parametrize("subject", [Grid(Post, 10)], indirect=True)
def test_a_position_that_clients_never_got_places_nothing(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    one = esper.create_entity(Tank(), Post(15, 5, "upper"))  # type: ignore[arg-type]
    subject.capture()
    assert subject.entities.cells == {ANYWHERE: {1}}
    assert subject.entity(one).public == TANK
    esper.component_for_entity(one, Post).floor = 2
    assert subject.capture().inserted == {subject.entity(one): POST}
    assert subject.entities.cells == {(1, 0): {1}}


# Owners.


def test_owner_only_components_are_private_bits(subject: Subject) -> None:
    one = esper.create_entity(Tank(), Secret(3))
    subject.capture()
    entity = subject.entity(one)
    assert (entity.public, entity.private) == (TANK, SECRET)
    assert subject.entities.private_bits & SECRET
    esper.remove_component(one, Secret)
    delta = subject.capture()
    assert (entity.public, entity.private) == (TANK, 0)
    assert delta.removed == {entity: SECRET}
    esper.remove_component(one, Tank)
    esper.add_component(one, Secret())
    delta = subject.capture()
    assert (entity.public, entity.private) == (0, SECRET)
    assert not subject.entities.cells  # nobody but an owner has anything to see
    subject.world.delete(one)
    subject.capture()
    assert not subject.entities.by_net


def test_a_player_owns_itself_while_its_client_is_there(subject: Subject) -> None:
    player = esper.create_entity(Tank())
    subject.capture()
    assert subject.owned(player) == set()
    subject.entities.set_player(player, True)
    assert subject.owned(player) == {player}
    subject.entities.set_player(player, False)
    assert subject.owned(player) == set()
    subject.entities.set_player(999, True)  # none that is replicated
    subject.entities.set_player(999, False)
    assert list(subject.entities.belongings(None)) == []


def test_owners_are_told_when_their_belongings_change(subject: Subject) -> None:
    ann, bob = esper.create_entity(Tank()), esper.create_entity(Tank())
    thing = esper.create_entity(Tank(), Owner(ann))
    delta = subject.capture()
    assert delta.owners == {ann}
    assert subject.owned(ann) == {thing}
    esper.component_for_entity(thing, Owner).player = bob
    delta = subject.capture()
    assert delta.owners == {ann, bob}
    assert (subject.owned(ann), subject.owned(bob)) == (set(), {thing})
    esper.add_component(thing, Secret())
    assert subject.capture().owners == {bob}
    esper.component_for_entity(thing, Tank).hp = 77
    assert subject.capture().owners == set()
    esper.remove_component(thing, Owner)
    assert subject.capture().owners == {bob}
    esper.add_component(thing, Owner(ann))
    subject.capture()
    subject.world.delete(thing)
    assert subject.capture().owners == {ann}
    assert subject.owned(ann) == set()
    assert not subject.entities.owned


def test_a_player_that_is_gone_owns_nothing(subject: Subject) -> None:
    ann = esper.create_entity(Tank())
    thing = esper.create_entity(Tank(), Owner(ann))
    subject.capture()
    subject.world.delete(ann)
    subject.capture()  # she goes, and with her the network id behind the reference
    delta = subject.capture()
    assert delta.changed == {subject.entity(thing): OWNER}
    assert subject.owned(ann) == set()
    assert subject.entity(thing).owner is None


def test_what_its_owner_has_given_up_is_nobodys(subject: Subject) -> None:
    ann = esper.create_entity(Tank())
    thing = esper.create_entity(Tank(), Owner(ann))
    subject.capture()
    esper.component_for_entity(thing, Owner).player = None
    assert subject.capture().owners == {ann}
    assert subject.entity(thing).owner is None
    assert not subject.entities.owned


def test_a_bad_owner_stays_at_home(subject: Subject, caplog: pytest.LogCaptureFixture) -> None:
    ann = esper.create_entity(Tank())
    thing = esper.create_entity(Tank(), Owner(ann))
    subject.capture()
    esper.component_for_entity(thing, Owner).player = "Ann"  # type: ignore[assignment]
    esper.remove_component(thing, Tank)  # so that it is looked at
    subject.capture()
    assert subject.owned(ann) == {thing}


@grid
def test_losing_the_position_is_told_once(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    one, two, never = (
        esper.create_entity(Tank(), Place()),
        esper.create_entity(Tank(), Place()),
        esper.create_entity(Tank()),
    )
    subject.capture()
    esper.component_for_entity(one, Place).x = 50.0
    esper.remove_component(never, Tank)
    esper.delete_entity(two)
    subject.capture()
    assert caplog.messages == []
    esper.remove_component(one, Place)
    subject.capture()
    assert subject.entities.cells == {ANYWHERE: {subject.entity(one).net}}
    (line,) = caplog.messages
    assert line.startswith(f"entity {one} had a Place and has none now, so every player sees it")
    esper.add_component(one, Place())
    subject.capture()
    esper.remove_component(one, Place)
    subject.capture()
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("subject", [Everyone(), Visible(lambda *_: True)], indirect=True)
def test_without_a_grid_a_position_may_go(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    one = esper.create_entity(Tank(), Place())
    subject.capture()
    esper.remove_component(one, Place)
    assert subject.capture().removed == {subject.entity(one): PLACE}
    assert caplog.messages == []


def test_what_was_private_altogether_is_told_of_what_becomes_public(subject: Subject) -> None:
    player = esper.create_entity(Secret())
    subject.entities.set_player(player, True)
    subject.capture()
    assert subject.owned(player) == {player}
    esper.add_component(player, Tank())
    delta = subject.capture()
    entity = subject.entity(player)
    assert delta.inserted == {entity: TANK}
    assert delta.owners == {player}
    esper.remove_component(player, Tank)
    delta = subject.capture()
    assert delta.removed == {entity: TANK}
    assert delta.owners == {player}
    assert subject.owned(player) == {player}
    esper.add_component(player, Tank())
    subject.capture()
    esper.remove_component(player, Secret)
    delta = subject.capture()
    assert delta.removed == {entity: SECRET}
    assert delta.owners == {player}


def test_belongings_stay_in_the_order_in_which_they_came(subject: Subject) -> None:
    ann = esper.create_entity(Tank())
    things = [esper.create_entity(Tank(), Owner(ann)) for _ in range(3)]
    subject.capture()
    esper.add_component(things[0], Place())
    esper.remove_component(things[1], Tank)
    subject.capture()
    assert [entity.esper for entity in subject.entities.belongings(ann)] == things


def test_entities_are_listed_in_the_order_in_which_they_came() -> None:
    """However many of them, and whatever their network ids are."""
    world = World()
    with world:
        ids = iter(range(1000, 0, -1))
        entities = ReplicatedEntities(SCHEMA, world, Everyone(), Owner, lambda: next(ids))
        for _ in range(100):
            esper.create_entity(Tank())
        entities.capture(1)
        for nets in ({999, 950, 930}, set(range(901, 1001)), set()):
            assert entities.in_order(nets) == sorted(nets, reverse=True)
    world.close()
