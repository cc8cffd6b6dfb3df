"""What stands in front of the drawn store: of the player's own, what is ahead of it."""

from __future__ import annotations

from collections.abc import Iterator

import esper
import pytest

from ecsnet.notifications import Changed, Despawned, Inserted, Notification, Removed, Spawned
from ecsnet.prediction.overlay import Overlay
from ecsnet.replication.client.comparison import mend_written
from ecsnet.replication.client.samples import Blend
from ecsnet.replication.client.store import LAST_ID
from tests.unit.replication.client.viewing import CID, Bag, Place, Subject, Tank

KEY = LAST_ID + 1


class Front:
    """A view of what is drawn, with what is ahead in front of it."""

    def __init__(self) -> None:
        self.drawn = Subject()
        self.told = Subject()
        self.view = self.drawn.view
        self.overlay = Overlay(self.told.store, self.drawn.store)

    def poll(
        self, ahead: dict[int, list[object] | None], went: dict[int, str] | None = None
    ) -> list[Notification]:
        values = {
            key: None if parts is None else {CID[type(part)]: part for part in parts}
            for key, parts in ahead.items()
        }
        self.overlay.predict(values, went or {})  # type: ignore[arg-type]
        self.overlay.take_over()
        return self.view.reconcile(self.overlay)

    def say(self, *sets: object, **others: object) -> None:
        """What is told is drawn at once."""
        self.told.say(*sets, **others)  # type: ignore[arg-type]
        self.drawn.say(*sets, **others)  # type: ignore[arg-type]

    def of(self, key: int) -> dict[type, object]:
        return self.drawn.of(key)


@pytest.fixture
def front() -> Iterator[Front]:
    made = Front()
    yield made
    made.drawn.close()
    made.told.close()


def test_others_are_shown_as_they_are_drawn(front: Front) -> None:
    front.say({1: [Tank(1)], 2: [Tank(2)]})
    assert front.poll({}) == [Spawned(1), Spawned(2)]
    front.say({1: [Place()], 2: [Tank(3)]}, removed=[(Tank, 1)])
    assert set(map(type, front.poll({}))) == {Inserted, Removed}
    assert (front.of(1), front.of(2)) == ({Place: Place()}, {Tank: Tank(3)})
    front.say(gone=[1], hidden=[2])
    assert front.poll({}) == [
        Despawned(1, "despawned", {Place: Place()}),
        Despawned(2, "hidden", {Tank: Tank(3)}),
    ]
    assert front.overlay.entities == {}


def test_what_is_ahead_is_shown_and_nothing_else_of_it(front: Front) -> None:
    front.view.watched.add(Tank)
    assert front.poll({1: [Tank(1)]}) == [Spawned(1)]
    front.say({1: [Tank(5), Place(1, 1)], 2: [Tank(2)]})
    assert front.poll({1: [Tank(2)]}) == [Changed(1, Tank(2)), Spawned(2)]
    assert front.of(1) == {Tank: Tank(2)}
    assert front.poll({1: [Tank(2)]}) == []
    assert front.poll({1: [Tank(2), Place(3, 3)]}) == [Inserted(1, Place(3, 3))]
    assert front.poll({1: [Place(3, 3)]}) == [Removed(1, Tank(2))]
    with front.view.world:
        esper.component_for_entity(1, Place).x = 50.0
    assert mend_written(front.view, front.overlay) == (1, "Place.x")
    assert front.of(1) == {Place: Place(3, 3)}
    with front.view.world:
        esper.delete_entity(1)
    (again,) = front.poll({1: [Place(3, 3)]})
    assert isinstance(again, Spawned)


def test_an_entity_that_changes_sides_stays_and_is_what_is_drawn_of_it(front: Front) -> None:
    front.say({1: [Tank(1), Place(1, 1)]})
    assert front.poll({}) == [Spawned(1)]
    for _ in range(2):
        assert front.poll({1: [Tank(7)]}) == [Removed(1, Place(1, 1))]
        assert front.of(1) == {Tank: Tank(7)}
        assert front.poll({}) == [Inserted(1, Place(1, 1))]
        assert front.of(1) == {Tank: Tank(1), Place: Place(1, 1)}
    front.view.blend(front.overlay, {(1, CID[Place]): Blend((0.0, 0.0), (1.0, 1.0), 0.5)})
    assert front.of(1)[Place] == Place(0.5, 0.5)


def test_what_is_removed_as_it_begins_to_be_ahead_goes_from_the_view(front: Front) -> None:
    front.view.watched.add(Tank)
    front.say({1: [Tank(1), Place(1, 1)]})
    front.poll({})
    front.say({1: [Tank(2)]}, removed=[(Place, 1)])
    assert front.poll({1: [Tank(7)]}) == [Removed(1, Place(1, 1)), Changed(1, Tank(7))]
    front.say({1: [Tank(3), Place(2, 2)]})
    front.poll({1: [Tank(7)]})
    front.say(removed=[(Place, 1)])
    assert front.poll({1: [Tank(7)]}) == []
    assert front.of(1) == {Tank: Tank(7)}


def test_what_is_no_longer_the_players_is_shown_though_it_is_not_drawn_yet(front: Front) -> None:
    front.told.say({1: [Tank(3)]})
    assert front.poll({1: [Tank(7)]}) == [Spawned(1)]
    assert front.poll({}) == []
    assert front.of(1) == {Tank: Tank(3)}
    front.drawn.say({1: [Tank(2)]})
    assert front.poll({}) == []
    assert front.of(1) == {Tank: Tank(2)}


def test_what_went_and_came_again_lacks_what_it_lost_before(front: Front) -> None:
    front.say({1: [Tank(1), Place()]})
    front.poll({})
    front.say(removed=[(Place, 1)])
    front.say(hidden=[1])
    front.say({1: [Tank(2)]})
    assert front.poll({}) == [Removed(1, Place())]
    assert front.of(1) == {Tank: Tank(2)}


def test_what_is_not_drawn_yet_goes_on_as_it_was_told_first(front: Front) -> None:
    """Until it is drawn, nothing that is told of it later may show, or go unnoticed."""
    front.told.say({1: [Tank(1), Place()]})
    front.poll({1: [Tank(1), Place()]})
    assert front.poll({}) == []
    front.told.say({1: [Tank(2)]}, removed=[(Place, 1)])
    assert front.poll({}) == []
    assert front.of(1) == {Tank: Tank(1), Place: Place()}
    front.drawn.say({1: [Tank(2)]})
    assert front.poll({}) == [Removed(1, Place())]
    assert front.of(1) == {Tank: Tank(2)}


def test_what_was_deleted_ahead_is_hidden_until_it_is_back(front: Front) -> None:
    front.say({1: [Tank(1)]})
    assert front.poll({1: [Tank(7)]}) == [Spawned(1)]
    assert front.poll({1: None}) == [Despawned(1, "despawned", {Tank: Tank(7)})]
    front.say({1: [Tank(2)]})
    assert front.poll({1: None}) == []
    assert front.poll({1: [Tank(8)]}) == [Spawned(2)]
    assert front.poll({2: None, 1: [Tank(8)]}) == []  # it was never there


@pytest.mark.parametrize("hidden", [False, True])
def test_what_is_gone_stays_as_it_was_until_that_is_drawn(front: Front, hidden: bool) -> None:
    """The others are drawn later than it went, and so are the events before its end."""
    front.say({1: [Tank(1)]})
    front.poll({1: [Tank(7)]})
    gone = {"hidden" if hidden else "gone": [1]}
    front.told.say(**gone)
    assert front.poll({}, {1: "despawned"}) == []
    front.drawn.say({1: [Tank(2)]})
    assert front.poll({}) == []
    assert front.of(1) == {Tank: Tank(7)}
    assert list(front.overlay.ending) == [1]
    front.drawn.say(**gone)
    why = "hidden" if hidden else "despawned"
    assert front.poll({}) == [Despawned(1, why, {Tank: Tank(7)})]
    assert not front.overlay.ending
    # It is seen again, as somebody else's.
    front.say({1: [Tank(3)]})
    assert front.poll({}) == [Spawned(2)]


def test_what_is_gone_and_drawn_so_goes_at_once(front: Front) -> None:
    front.say({1: [Tank(1)], 2: [Tank(2)]})
    front.poll({1: [Tank(7)], 2: [Tank(7)]})
    front.say(gone=[1])
    assert front.poll({2: [Tank(7)]}) == [Despawned(1, "despawned", {Tank: Tank(7)})]
    # The drawn store has taken it out before the prediction comes to know of it.
    front.say(gone=[2])
    assert front.poll({2: [Tank(7)]}) == []
    assert front.poll({}, {2: "hidden"}) == [Despawned(2, "hidden", {Tank: Tank(7)})]
    assert not front.overlay.ending


def test_what_was_deleted_ahead_and_is_gone_is_not_drawn_again(front: Front) -> None:
    front.say({1: [Tank(1)]})
    front.poll({1: [Tank(7)]})
    assert front.poll({1: None}) == [Despawned(1, "despawned", {Tank: Tank(7)})]
    front.told.say(gone=[1])
    assert front.poll({}, {1: "despawned"}) == []
    front.drawn.say({1: [Tank(2)]})
    assert front.poll({}) == []
    front.drawn.say(gone=[1])
    assert front.poll({}) == []
    assert not front.overlay.ending


def test_what_came_and_went_ahead_is_not_drawn_afterwards(front: Front) -> None:
    front.told.say({1: [Tank(1)]})
    assert front.poll({1: [Tank(1)]}) == [Spawned(1)]
    front.told.say(gone=[1])
    assert front.poll({}, {1: "despawned"}) == []
    front.drawn.say({1: [Tank(1)]})
    assert front.poll({}) == []
    front.drawn.say(gone=[1])
    front.drawn.say({1: [Tank(2)]})
    assert front.poll({}) == []  # as for all that go and come within a poll
    assert front.of(1) == {Tank: Tank(2)}
    # So it is for what the drawn store has as a whole.
    front.told.say({2: [Tank(1)]})
    assert front.poll({2: [Tank(1)]}) == [Spawned(2)]
    front.told.say(gone=[2])
    assert front.poll({}) == []
    front.drawn.say({2: [Tank(1)]})
    front.drawn.say(gone=[2])
    assert front.poll({}) == [Despawned(2, "despawned", {Tank: Tank(1)})]


def test_what_is_ahead_again_before_its_end_is_drawn_goes_on(front: Front) -> None:
    front.say({1: [Tank(1)]})
    assert front.poll({1: [Tank(7)]}) == [Spawned(1)]
    front.told.say(hidden=[1])
    assert front.poll({}, {1: "hidden"}) == []
    front.told.say({1: [Tank(8)]})
    assert front.poll({1: [Tank(8)]}) == []
    assert front.of(1) == {Tank: Tank(8)}
    front.drawn.say(hidden=[1])
    front.drawn.say({1: [Tank(8)]})
    assert front.poll({1: [Tank(8)]}) == []
    assert not front.overlay.ending


def test_what_was_predicted_goes_by_its_network_id(front: Front) -> None:
    assert front.poll({KEY: [Tank(1)]}) == [Spawned(1)]
    front.say({5: [Tank(1)]})
    front.overlay.rename(KEY, 5)
    front.view.rename(KEY, 5)
    assert front.poll({5: [Tank(2)]}) == []
    assert front.of(5) == {Tank: Tank(2)}
    assert front.poll({5: None}) == [Despawned(1, "despawned", {Tank: Tank(2)})]
    # Never told: nothing of it is left.
    assert front.poll({5: None, KEY: [Tank(1)]}) == [Spawned(2)]
    assert len(front.poll({5: None})) == 1
    assert KEY not in front.overlay.entities


def test_values_that_cannot_be_compared_are_new(front: Front) -> None:
    class Odd(list[int]):
        def __ne__(self, other: object) -> bool:
            raise ValueError("no single answer")

    front.view.watched.add(Bag)
    assert front.poll({1: [Bag(Odd([1]))]}) == [Spawned(1)]
    (changed,) = front.poll({1: [Bag(Odd([2]))]})
    assert isinstance(changed, Changed)
    assert front.of(1) == {Bag: Bag([2])}
