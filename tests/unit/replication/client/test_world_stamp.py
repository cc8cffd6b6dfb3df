from __future__ import annotations

from collections.abc import Callable

import esper
import pytest

from ecsnet.replication.client.world_stamp import WorldStamp
from ecsnet.world import World


class Thing:
    """A component."""


@pytest.mark.parametrize(
    "change",
    [
        lambda: esper.create_entity(),
        lambda: esper.add_component(1, "something"),
        lambda: esper.remove_component(1, Thing),
        lambda: esper.delete_entity(1, immediate=True),
    ],
    ids=["create", "add", "remove", "delete"],
)
def test_every_change_of_structure_disturbs(change: Callable[[], object]) -> None:
    world = World()
    with world:
        esper.create_entity(Thing())
    stamp = WorldStamp(world)
    assert not stamp.undisturbed  # nothing is known yet
    stamp.renew()
    with world:
        assert esper.get_component(Thing)  # a look is none
    assert stamp.undisturbed
    with world:
        change()
    assert not stamp.undisturbed
    assert stamp.same_world
    stamp.renew()
    assert stamp.undisturbed
    stamp.clear()
    assert not stamp.undisturbed
    world.close()


def test_a_cleared_database_is_another_world_until_that_is_known() -> None:
    world = World()
    stamp = WorldStamp(world)
    assert stamp.same_world
    stamp.renew()
    assert stamp.same_world
    with world:
        esper.clear_database()
    assert not stamp.same_world
    assert not stamp.undisturbed
    stamp.clear()
    assert stamp.same_world
    world.close()
