"""The stock components: their names on the wire and what they carry."""

from __future__ import annotations

import math

import pytest

import ecsnet.components
from ecsnet.components import Contacts, Owner, Player, Position, Velocity
from ecsnet.errors import UsageError
from ecsnet.schema import component_type

STOCK = [
    getattr(ecsnet.components, name)
    for name in ecsnet.components.__all__
    if name not in ("Contacts", "LobbyInfo", "LobbyReady")
]


@pytest.mark.parametrize("cls", STOCK)
def test_stock_components_are_replicated_to_everyone(cls: type) -> None:
    kind = component_type(cls)
    assert kind.name == f"ecsnet.{cls.__name__}"
    assert kind.visible_to == "everyone"
    assert kind.flat
    assert kind.clone(cls()) == cls()


def test_contacts_stay_on_the_server() -> None:
    with pytest.raises(UsageError):
        component_type(Contacts)


def test_owner_refers_to_an_entity() -> None:
    kind = component_type(Owner)
    wire = kind.to_wire(Owner(7), lambda entity: {7: 700}[entity or 0])
    assert kind.refs(wire) == (700,)
    assert kind.from_wire(wire, lambda net_id: {700: 3}[net_id or 0]) == Owner(3)
    assert kind.from_wire(wire, lambda net_id: None) == Owner(None)


def test_fields_by_position_and_by_name() -> None:
    assert Player(3, "anna") == Player(id=3, name="anna")
    assert Position(y=2.0) == Position(0.0, 2.0)


def test_reach_is_the_velocity_for_one_step() -> None:
    velocity = Velocity()
    velocity.reach(Position(1.0, 2.0), 4.0, -2.0, dt=0.5)
    assert math.isclose(velocity.dx, 6.0)
    assert math.isclose(velocity.dy, -8.0)
