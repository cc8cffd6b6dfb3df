"""What is drawn of the player's own: between two ticks, and errors fade there and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import nan
from typing import Annotated

import esper
import pytest

import ecsnet as net
from ecsnet.components import Owner, Teleports
from ecsnet.prediction.drawing import FADE_SECONDS, PredictedDrawing
from ecsnet.replication.client.store import LAST_ID, Store
from ecsnet.replication.client.view import ViewWorld
from ecsnet.schema import Registry, use_registry
from ecsnet.simulation.spec import SimulationSpec
from ecsnet.world import World
from tests.unit.prediction.lab import EPOCH, Lab, change

with use_registry(Registry()) as registry:

    @net.replicated(interpolate=True, snap=50.0)
    class Place:
        x: float = 0.0
        angle: Annotated[float, net.Turn(360)] = 0.0

    @net.replicated(interpolate=True)
    class Depth:
        z: Annotated[float, net.Quantized(1 / 16)] = 0.0

    @net.replicated
    class Count:
        ticks: int = 0

    @net.replicated
    class Bullet:
        pass

    @net.command(hold=True)
    class Steer:
        dx: Annotated[int, net.Between(-1, 1)] = 0

    @net.command
    class Fire:
        pass


def steer(dt: float) -> None:
    for ship, stick in net.commands(Steer, Place):
        place = esper.component_for_entity(ship, Place)
        place.x += stick.dx
        place.angle = (place.angle + 10) % 360
    for _, (depth, count) in esper.get_components(Depth, Count):
        depth.z += 2
        count.ticks += 1
    for ship, _ in net.commands(Fire, Place):
        x = esper.component_for_entity(ship, Place).x
        esper.create_entity(Bullet(), Place(x), Owner(ship))
    for _, (_, place) in esper.get_components(Bullet, Place):
        place.x += 4


def join(player: int) -> None:
    esper.add_component(player, Place())
    esper.add_component(player, Depth())
    esper.add_component(player, Count())


class Studio:
    """A lab whose predictions are drawn."""

    def __init__(self) -> None:
        spec = SimulationSpec(tick_rate=60)
        spec.add_function(steer, 0, shared=True)
        self.lab = Lab(registry, spec, join, ahead=10)
        self.view = ViewWorld(registry.schema(), World())
        drawn = Store(self.lab.wire, EPOCH)
        self.drawing = PredictedDrawing(self.lab.predictor, self.lab.store, drawn, self.view)
        self.now = 0.0

    def run(self, *commands: object, fraction: float = 0.0) -> None:
        """Run a tick, and draw at a fraction of it."""
        lab = self.lab
        lab.serve()
        lab.tell(max(1, lab.server.tick - 3))
        self.now += 1 / 60
        self.drawing.correct(self.now)
        tick = lab.server.tick + lab.ahead
        lab.give(tick, *commands)
        self.drawing.simulate(tick)
        self.draw(fraction)

    def draw(self, fraction: float) -> None:
        tick = self.lab.predictor.tick
        assert tick is not None
        blends: dict[tuple[int, int], object] = {}
        self.drawing.draw(tick + fraction, self.now, blends)  # type: ignore[arg-type]
        self.drawing.overlay.take_over()
        self.view.reconcile(self.drawing.overlay)
        self.view.blend(self.drawing.overlay, blends)  # type: ignore[arg-type]

    def of(self, component: type, net_id: int = 1) -> object:
        return self.view.world.components(self.view.local[net_id])[component]

    @property
    def place(self) -> Place:
        place = self.of(Place)
        assert isinstance(place, Place)
        return place

    def move(self, act: Callable[[Place], object]) -> None:
        """Let the server move the ship."""
        lab = self.lab
        change(lab, lambda: act(esper.component_for_entity(lab.player, Place)))


@pytest.fixture
def studio() -> Iterator[Studio]:
    made = Studio()
    for _ in range(20):
        made.run(Steer(1))
    yield made
    made.lab.predictor.close()
    made.lab.server.close()
    made.view.world.close()


def predicted(studio: Studio) -> Place:
    (place,) = studio.lab.predicted(Place)
    assert isinstance(place, Place)
    return place


def test_it_is_drawn_between_the_last_two_ticks(studio: Studio) -> None:
    for fraction in (0.0, 0.25, 0.9):
        studio.draw(fraction)
        last = predicted(studio)
        assert studio.place.x == pytest.approx(last.x - 1 + fraction)
        assert studio.place.angle == pytest.approx((last.angle - 10 + 10 * fraction) % 360)
        assert studio.drawing.ahead == studio.lab.predictor.tick - 1 + fraction  # type: ignore[operator]
    # Never ahead of the tick that runs, and never back.
    for fraction, drawn in ((7.0, 1.0), (0.5, 1.0), (-3.0, 1.0)):
        studio.draw(fraction)
        assert studio.place.x == pytest.approx(predicted(studio).x - 1 + drawn)
    studio.run(Steer(1), fraction=0.5)
    assert studio.place.x == pytest.approx(predicted(studio).x - 0.5)
    # What is no float is as after the last tick; and in steps, though not drawn in them.
    depth, count = studio.of(Depth), studio.of(Count)
    assert isinstance(depth, Depth)
    assert isinstance(count, Count)
    assert depth.z == 2 * count.ticks - 1


def test_what_stands_still_is_where_it_is(studio: Studio) -> None:
    studio.run(Steer(0), fraction=0.5)
    studio.run(Steer(0), fraction=0.5)
    assert studio.place.x == predicted(studio).x


def test_an_error_fades_in_what_is_drawn_and_nowhere_else(studio: Studio) -> None:
    studio.move(lambda place: setattr(place, "x", place.x + 30))
    before, steps, predictions = studio.place.x, [], []
    for _ in range(30):
        studio.run(Steer(1))
        steps.append(studio.place.x - before)
        before = studio.place.x
        predictions.append(predicted(studio).x)
    frames = round(FADE_SECONDS * 60)
    fading = [number for number, step in enumerate(steps) if step > 1.5]
    assert len(fading) == frames
    assert max(steps) == pytest.approx(1 + 30 / frames)
    assert sum(steps) == pytest.approx(30 + 30)
    assert predictions[5] - predictions[0] == 5 + 30
    assert studio.lab.predictor.corrections == 1
    assert studio.place.x == predicted(studio).x - 1


def test_errors_add_up_and_fade_together(studio: Studio) -> None:
    largest = 0.0
    before = studio.place.x
    for number in range(40):
        if number in (0, 5):
            studio.move(lambda place: setattr(place, "x", place.x - 20))
        studio.run(Steer(1))
        largest = max(largest, abs(studio.place.x - before - 1))
        before = studio.place.x
    frames = FADE_SECONDS * 60
    assert 20 / frames < largest < 2.0 * 20 / frames
    assert studio.place.x == predicted(studio).x - 1


def test_an_angle_fades_the_shorter_way(studio: Studio) -> None:
    studio.move(lambda place: setattr(place, "angle", (place.angle - 40) % 360))
    before = studio.place.angle
    for _ in range(30):
        studio.run(Steer(1))
        turned = (studio.place.angle - before + 180) % 360 - 180
        assert 5 < turned < 10.1
        before = studio.place.angle
    assert studio.place.angle == pytest.approx((predicted(studio).angle - 10) % 360)


@pytest.mark.parametrize("jump", ["far", "told"])
def test_nothing_fades_beyond_a_jump(studio: Studio, jump: str) -> None:
    if jump == "far":
        studio.move(lambda place: setattr(place, "x", place.x + 51))
    else:
        lab = studio.lab

        def teleport() -> None:
            place = esper.component_for_entity(lab.player, Place)
            place.x += 30
            esper.add_component(lab.player, Teleports(1))

        change(lab, teleport)
    steps = []
    before = studio.place.x
    for _ in range(20):
        studio.run(Steer(1))
        steps.append(studio.place.x - before)
        before = studio.place.x
    assert sorted(round(step) for step in steps)[:-1] == [1] * 19
    assert max(steps) == pytest.approx((51 if jump == "far" else 30) + 1)


def test_nothing_fades_after_a_stall(studio: Studio) -> None:
    lab = studio.lab
    studio.move(lambda place: setattr(place, "x", place.x + 30))
    for _ in range(8):
        studio.run(Steer(1))
    assert studio.place.x < predicted(studio).x - 10  # it fades
    for _ in range(100):
        lab.serve()
    studio.move(lambda place: setattr(place, "x", place.x + 30))
    studio.run(Steer(1))
    assert studio.place.x == predicted(studio).x - 1
    studio.run(Steer(1))
    assert studio.place.x == predicted(studio).x - 1


def test_a_jump_of_its_own_is_not_slid_through(studio: Studio) -> None:
    def jump(dt: float) -> None:
        for ship, _ in net.commands(Fire, Place):
            esper.component_for_entity(ship, Place).x += 1000

    predictor = studio.lab.predictor
    predictor.world.simulation.add_system(jump, -1, "jump")
    studio.run(Steer(1), Fire(), fraction=0.25)
    place = next(place for place in studio.lab.predicted(Place) if place.x > 500)  # type: ignore[attr-defined]
    assert studio.place.x == place.x  # type: ignore[attr-defined]


def test_a_spawn_is_where_it_is_and_keeps_its_entity(studio: Studio) -> None:
    studio.run(Steer(1), Fire(), fraction=0.5)
    (key,) = studio.view.local.keys() - {1}
    assert key > LAST_ID
    entity = studio.view.local[key]
    bullet = studio.of(Place, key)
    assert isinstance(bullet, Place)
    (ship, there) = studio.lab.predicted(Place)
    assert bullet == there  # nothing was before it
    assert there.x == ship.x + 4  # type: ignore[attr-defined]
    xs = []
    for _ in range(20):
        studio.run(Steer(1), fraction=0.5)
        (now,) = studio.view.local.keys() - {1}
        assert studio.view.local[now] == entity
        bullet = studio.of(Place, now)
        assert isinstance(bullet, Place)
        xs.append(bullet.x)
    assert key not in studio.view.local
    assert [b - a for a, b in pairwise(xs)] == [4.0] * 19


def test_what_cannot_be_sent_is_shown_as_it_was(studio: Studio) -> None:
    world = studio.lab.predictor.world
    depth = studio.of(Depth)
    assert isinstance(depth, Depth)
    before = depth.z
    with world.world:
        esper.component_for_entity(world.replicas[1].entity, Depth).z = nan
    studio.run(Steer(1), fraction=0.5)
    depth = studio.of(Depth)
    assert isinstance(depth, Depth)
    assert abs(depth.z - before) <= 2


def test_when_it_stops_what_was_told_is_shown(studio: Studio) -> None:
    studio.drawing.stop()
    assert studio.drawing.ahead is None
    studio.drawing.overlay.take_over()
    studio.view.reconcile(studio.drawing.overlay)
    studio.view.blend(studio.drawing.overlay, {})
    (told,) = studio.lab.true(Place, studio.lab.server.tick - 3)
    assert studio.place == told
