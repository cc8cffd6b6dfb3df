"""World: switching, the thread guard, and esper's traps held shut."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import esper
import pytest

from ecsnet import world as worlds
from ecsnet.errors import UsageError, WorldError, WrongThreadError
from ecsnet.world import World, current_name, idle_worlds


@dataclass
class Position:
    x: float = 0.0


@dataclass
class Name:
    text: str = ""


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with world:
        yield world
    world.close()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    before, names = current_name(), set(esper.list_worlds())
    yield
    assert current_name() == before
    assert set(esper.list_worlds()) == names


def in_thread(function: object) -> list[BaseException]:
    caught: list[BaseException] = []

    def run() -> None:
        try:
            function()  # type: ignore[operator]
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run, name="other")
    thread.start()
    thread.join()
    return caught


def test_new_worlds_have_names_of_their_own_and_leave_the_current_one_alone() -> None:
    before = current_name()
    worlds = [World() for _ in range(3)]
    assert len({w.name for w in worlds} | {before}) == 4
    assert current_name() == before
    for w in worlds:
        w.close()


def test_made_up_name_skips_one_that_is_taken(world: World) -> None:
    stem, number = world.name.rsplit("-", 1)
    taken = f"{stem}-{int(number) + 1}"
    with World(taken) as first:
        second = World()
        assert second.name not in (taken, world.name)
        second.close()
    first.close()


def test_a_taken_name_is_refused(world: World) -> None:
    with pytest.raises(WorldError, match="already"):
        World(world.name)


def test_blocks_nest_in_any_order_and_restore() -> None:
    a, b, before = World("a"), World("b"), current_name()
    with a:
        assert current_name() == "a"
        with b, a, a:
            assert current_name() == "a"
        assert current_name() == "a"
        with b:
            assert current_name() == "b"
    assert current_name() == before
    a.close()
    b.close()


def test_restores_when_the_block_raises_or_leaks_a_switch() -> None:
    world, other, before = World(), World(), current_name()
    with pytest.raises(ZeroDivisionError), world:
        raise ZeroDivisionError
    assert current_name() == before
    with world:
        esper.switch_world(other.name)
    assert current_name() == before
    world.close()
    other.close()


def test_entities_of_two_worlds_are_apart() -> None:
    a, b = World(), World()
    with a:
        entity = esper.create_entity(Position(1.0))
    with b:
        assert esper.create_entity(Position(2.0)) == entity
    assert a.structure(Position) == [(entity, Position(1.0))]
    assert b.structure(Position) == [(entity, Position(2.0))]
    a.close()
    b.close()


def test_current_adopts_and_close_lets_go(world: World) -> None:
    adopted = World.current()
    entity = esper.create_entity(Position())
    with World() as other:
        assert adopted.alive(entity)
        assert not other.alive(entity)
    other.close()
    adopted.close()
    assert adopted.closed
    assert world.alive(entity)
    with pytest.raises(WorldError, match="closed"):
        adopted.alive(entity)


def test_close_deletes_once_and_refuses_use() -> None:
    world = World()
    world.close()
    world.close()
    assert world.name not in esper.list_worlds()
    assert repr(world) == f"<World {world.name!r} closed>"
    with pytest.raises(WorldError, match="is closed"), world:
        pass
    assert world.name not in esper.list_worlds()


def test_what_was_deleted_comes_back_under_its_number() -> None:
    with World() as world:
        first, second = esper.create_entity(Name()), esper.create_entity()
        world.delete(first, immediate=True)
        world.delete(second)
        assert world.structure(Name) == []
        for entity in (first, second):
            world.revive(entity)
            assert world.alive(entity)
            assert world.add(entity, Name())
        assert [entity for entity, _ in world.structure(Name)] == [first, second]
        world.revive(first)
        assert Name in world.components(first)
        assert world.flush_dead() == ()
    world.close()


def test_nothing_is_kept_of_worlds_that_are_closed() -> None:
    before = dict(worlds._in_use)
    for number in range(20):
        first = World(f"short-lived {number}")
        second = World.named(first.name)
        first_again = World.named(first.name)
        for world in (first_again, second, first):
            world.close()
            world.close()
    assert dict(worlds._in_use) == before


def test_close_of_a_world_in_use_is_refused() -> None:
    world, before = World(), current_name()
    with world, World.current(), pytest.raises(WorldError, match="inside `with`"):
        world.close()
    esper.switch_world(world.name)
    with pytest.raises(WorldError, match="while it is current"):
        world.close()
    esper.switch_world(before)
    assert not world.closed
    assert repr(world) == f"<World {world.name!r}>"
    world.close()


def test_a_world_deleted_behind_our_back_is_not_made_again() -> None:
    world = World()
    esper.delete_world(world.name)
    with pytest.raises(WorldError, match="was deleted"), world:
        pass
    assert world.name not in esper.list_worlds()
    world.close()


def test_the_world_to_go_back_to_was_deleted() -> None:
    before = current_name()
    world = World()
    for error in (None, ZeroDivisionError):
        esper.switch_world("doomed")
        with pytest.raises(error or WorldError), world:  # noqa: PT012
            esper.delete_world("doomed")
            if error is not None:
                raise error
        assert current_name() == "default"
    assert "doomed" not in esper.list_worlds()
    esper.switch_world(before)
    world.close()


def test_a_second_thread_is_refused(world: World) -> None:
    uses = [
        World,
        World.current,
        lambda: World.named("there"),
        world.__enter__,
        world.close,
        world.flush_dead,
    ]
    for use in uses:
        (error,) = in_thread(use)
        assert isinstance(error, WrongThreadError)
        assert "'other'" in str(error)
        assert threading.current_thread().name in str(error)
    assert current_name() == world.name
    assert "there" not in esper.list_worlds()


def test_the_next_thread_may_after_the_first_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Thread(target=int)
    ended.start()
    ended.join()
    monkeypatch.setattr("ecsnet.world._owner", ended)
    monkeypatch.setattr("ecsnet.world._here.owns_esper", False)
    World().close()
    (error,) = in_thread(World)
    assert isinstance(error, WrongThreadError)


def test_deleting_what_is_gone_does_nothing(world: World) -> None:
    entity = esper.create_entity(Position())
    assert world.delete(entity)
    assert not world.alive(entity)
    assert not world.delete(entity)
    assert not world.delete(entity, immediate=True)
    assert not world.delete(entity, immediate=True)
    assert not world.delete(999)
    assert not world.delete(999, immediate=True)
    esper.process()
    assert world.structure(Position) == []


def test_immediate_delete(world: World) -> None:
    entity = esper.create_entity(Position())
    assert world.delete(entity, immediate=True)
    assert world.components(entity) == {}
    assert world.structure(Position) == []
    assert world.flush_dead() == ()


def test_flush_returns_who_went_and_drops_the_unknown(world: World) -> None:
    entities = [esper.create_entity(Position()) for _ in range(20)]
    for entity in reversed(entities[5:]):
        esper.delete_entity(entity)
    esper.delete_entity(12345)
    assert world.flush_dead() == tuple(entities[5:])
    assert world.flush_dead() == ()
    assert [e for e, _ in world.structure(Position)] == entities[:5]
    esper.process()


def test_flush_after_a_double_delete(world: World) -> None:
    entity = esper.create_entity(Position())
    esper.delete_entity(entity)
    esper.delete_entity(entity, immediate=True)
    assert world.flush_dead() == ()
    esper.process()


def test_add_and_remove_are_safe_on_what_is_gone(world: World) -> None:
    entity = esper.create_entity(Position(1.0))
    assert world.add(entity, Name("a"))
    assert world.add(entity, Name("b"))
    assert world.components(entity) == {Position: Position(1.0), Name: Name("b")}
    assert world.remove(entity, Name) == Name("b")
    assert world.remove(entity, Name) is None
    assert world.remove(999, Name) is None
    world.delete(entity)
    assert not world.add(entity, Name("c"))
    assert not world.add(999, Name("d"))
    assert world.structure(Name) == []


def test_add_under_an_alias(world: World) -> None:
    @dataclass
    class Base:
        pass

    class Derived(Base):
        pass

    entity = esper.create_entity()
    derived = Derived()
    assert world.add(entity, derived, Base)
    assert world.structure(Base) == [(entity, derived)]
    assert world.structure(Derived) == []


def test_structure_is_the_same_list_until_the_structure_changes(world: World) -> None:
    entity = esper.create_entity(Position())
    seen = world.structure(Position)
    seen[0][1].x = 5.0
    assert world.structure(Position) is seen
    esper.create_entity()
    again = world.structure(Position)
    assert again is not seen
    assert again == seen
    esper.add_component(entity, Position(6.0))
    assert world.structure(Position) is not again


def poison(world: World) -> int:
    """Do what a careless system does: add to an entity that is gone."""
    entity = esper.create_entity(Position())
    world.delete(entity, immediate=True)
    with pytest.raises(KeyError):
        esper.add_component(entity, Position())
    with pytest.raises(KeyError):
        esper.get_component(Position)
    return entity


def test_a_poisoned_query_heals(world: World) -> None:
    alive = esper.create_entity(Position(3.0))
    poison(world)
    assert world.structure(Position) == [(alive, Position(3.0))]
    assert esper.get_component(Position) == [(alive, Position(3.0))]


def test_repair_counts_what_it_dropped(world: World) -> None:
    poison(world)
    esper.delete_entity(4711)
    assert world.repair() == 2
    assert world.repair() == 0
    esper.process()
    assert esper.get_component(Position) == []


def test_identity_changes_with_clear_database_only(world: World) -> None:
    identity = world.identity()
    entity = esper.create_entity(Position())
    world.delete(entity)
    world.flush_dead()
    with World() as other:
        assert other.identity() is not identity
    other.close()
    assert world.identity() is identity
    esper.clear_database()
    assert world.identity() is not identity


def test_a_handler_that_dies_in_another_world_does_no_harm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", complaints.append)
    heard: list[int] = []

    class Listener:
        def on_hit(self, points: int) -> None:
            heard.append(points)

    keep, drop, lone = Listener(), Listener(), Listener()
    for listener in (keep, drop):
        esper.set_handler("hit", listener.on_hit)
    esper.set_handler("lone", lone.on_hit)
    with World() as other:
        del drop, lone, listener
        gc.collect()
    other.close()
    assert len(complaints) == 2  # esper's own callback looks in the wrong registry
    esper.dispatch_event("hit", 3)
    esper.dispatch_event("lone", 4)
    assert heard == [3]
    assert "lone" not in esper.event_registry


def test_a_world_by_name_is_the_one_there_is_or_a_new_one() -> None:
    made = World.named("by name")
    again = World.named("by name")
    with made:
        entity = esper.create_entity()
    assert again.alive(entity)
    again.close()
    assert made.alive(entity)
    made.close()
    assert "by name" not in esper.list_worlds()


def test_the_entity_of_a_component_is_looked_up_anew_where_any_came_or_went() -> None:
    class Hat: ...

    world = World()
    with world:
        one, other = Hat(), Hat()
        first = esper.create_entity(one)
        assert world.entity_of(one) == first
        second = esper.create_entity(other)
        assert world.entity_of(other) == second
        esper.delete_entity(first, immediate=True)
        with pytest.raises(UsageError, match="is on no entity"):
            world.entity_of(one)
    world.close()


def test_a_component_on_two_entities_is_of_neither(world: World) -> None:
    shared, own = Position(1.0), Position(1.0)
    esper.create_entity(shared)
    second, third = esper.create_entity(shared), esper.create_entity(own)
    with pytest.raises(UsageError, match="is on several entities"):
        world.entity_of(shared)
    assert world.entity_of(own) == third
    esper.delete_entity(second, immediate=True)
    assert world.entity_of(shared) != second


def test_who_comes_back_is_a_change_of_the_structure(world: World) -> None:
    entity = esper.create_entity(Position())
    world.delete(entity, immediate=True)
    seen = world.structure(Position)
    world.revive(entity)
    assert world.structure(Position) is not seen
    seen = world.structure(Position)
    world.revive(entity)  # is there already
    assert world.structure(Position) is seen


def test_a_deletion_waits_for_the_next_flush_unless_it_is_immediate(world: World) -> None:
    now, later = esper.create_entity(Position()), esper.create_entity(Position())
    world.delete(later)
    world.delete(now, immediate=True)
    assert [entity for entity, _ in world.structure(Position)] == [later]
    assert world.flush_dead() == (later,)


def test_repair_forgets_types_that_nothing_has(world: World) -> None:
    alive = esper.create_entity(Name("Ann"))
    poison(world)
    assert Position in world.types()
    seen = world.structure(Name)
    assert world.repair() == 1
    assert list(world.types()) == [Name]
    assert world.structure(Name) == [(alive, Name("Ann"))]
    assert world.structure(Name) is not seen
    assert world.repair() == 0


def test_a_world_that_was_found_idle_is_found_again(world: World) -> None:
    esper.switch_world("idle")
    esper.switch_world(world.name)
    try:
        for _ in range(2):
            names = [each.name for each in idle_worlds()]
            assert "idle" in names
            assert world.name not in names
    finally:
        esper.delete_world("idle")
