"""The feel of a demo, from films that are made here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import esper
import pytest

import ecsnet as net
from ecsnet.demo import feel
from ecsnet.demo.feel import Feel, Film, Frame, Place, Reel, Tick, feel_of, places_in, write_films
from ecsnet.schema import Registry, use_registry

MINE, OTHERS = 1, 2
RATE = 60.0
DELAY = 3.0  # ticks that others are behind

REGISTRY = Registry()

with use_registry(REGISTRY):

    @net.replicated(interpolate=True)
    class Heading:
        number: int = 0
        angle: float = 0.0

    @net.replicated
    class Hull:
        heat: float = 0.0


def still(_tick: float) -> Place:
    return 0.0, 0.0


def flying(tick: float) -> Place:
    return 3.0 * tick, 50.0


def ticks(count: int, place: Callable[[float], Place], jumped: Iterable[int] = ()) -> list[Tick]:
    return [
        Tick(
            number,
            [MINE] if number in jumped else [],
            {"At": {MINE: place(number), OTHERS: flying(number)}},
        )
        for number in range(count)
    ]


def frames(
    count: int,
    own: Callable[[float], Place],
    other: Callable[[float], Place] = flying,
    pressed: Iterable[int] = (),
    late: Iterable[int] = (),
) -> list[Frame]:
    made: list[Frame] = []
    began = 0.0
    for number in range(count):
        began += 0.04 if number in late else feel.FRAME
        ahead = began * RATE
        places = {"At": {MINE: own(ahead), OTHERS: other(ahead - DELAY)}}
        made.append(Frame(began, ahead - DELAY, ahead, number in pressed, places))
    return made


def felt(had: list[Tick], drawn: list[Frame]) -> Feel:
    return feel_of(had, [Reel(drawn, frozenset([MINE]))], RATE)


def test_films_are_written_with_the_names_of_what_is_in_them(tmp_path: Path) -> None:
    file = tmp_path / "film.json"
    reel = Reel(frames(1, still), frozenset([MINE]))
    write_films(str(file), ticks(2, still, jumped=[1]), RATE, {"Ann": reel})
    assert json.loads(file.read_bytes()) == {
        "rate": RATE,
        "ticks": [
            {"number": 0, "jumped": [], "places": {"At": {"1": [0, 0], "2": [0, 50]}}},
            {"number": 1, "jumped": [1], "places": {"At": {"1": [0, 0], "2": [3, 50]}}},
        ],
        "players": {
            "Ann": {
                "own": [1],
                "frames": [
                    {
                        "began": pytest.approx(1 / 60),
                        "shown": pytest.approx(-2),
                        "ahead": pytest.approx(1),
                        "pressed": False,
                        "places": {"At": {"1": [0, 0], "2": [pytest.approx(-6), 50]}},
                    }
                ],
            }
        },
    }


def test_what_is_drawn_as_it_was_has_no_fault() -> None:
    found = felt(ticks(700, flying), frames(600, flying))
    assert (found.own_hitches, found.hitches) == (0, 0)
    assert (found.own_corrections, found.own_correction_max) == (0, 0)
    assert (found.frames, found.late_frames, found.late_hitches) == (600, 0, 0)


def test_what_stands_still_in_every_third_frame_hitches() -> None:
    def jerky(tick: float) -> Place:
        return flying(tick // 3 * 3)

    found = felt(ticks(700, flying), frames(600, flying, jerky))
    assert found.hitches == pytest.approx(3600, rel=0.05)  # it stands still, or moves too far
    assert found.own_hitches == 0
    found = felt(ticks(700, flying), frames(600, jerky))
    assert found.own_hitches == pytest.approx(3600, rel=0.05)
    assert found.hitches == 0


def test_frames_that_began_late_are_counted_apart() -> None:
    def stuck(tick: float) -> Place:
        return flying(min(tick, 300.0))

    had = ticks(2000, flying)
    every = range(1, 600)
    found = felt(had, frames(600, flying, stuck, late=every))
    assert found.late_frames == 599
    assert found.late_hitches > 200
    assert found.hitches == 0
    found = felt(had, frames(600, flying, stuck, late=[500]))
    assert found.late_frames == 1
    assert found.late_hitches == 1
    assert found.hitches > 1000


@pytest.mark.parametrize("delay", [0, 12])
def test_the_effect_of_a_key_is_looked_for(delay: int) -> None:
    def goes(tick: float) -> Place:
        # The key is pressed before frame 100, which begins at tick 101.
        return 3.0 * max(0.0, tick - 100 - delay), 0.0

    found = felt(ticks(300, goes), frames(200, goes, pressed=[100]))
    assert (found.keys, found.own_delay_frames) == (1, {"p50": delay, "max": delay})


def test_a_key_without_an_effect_of_its_own_does_not_count() -> None:
    def goes(tick: float) -> Place:
        return 3.0 * max(0.0, tick - 130), 0.0

    for pressed in ([], [50], [100, 115], [90, 110], [150]):
        assert felt(ticks(300, goes), frames(200, goes, pressed=pressed)).keys == 0, pressed
    assert felt(ticks(300, goes), frames(200, goes, pressed=[100])).keys == 1


def test_what_is_drawn_where_it_was_not_is_a_correction() -> None:
    def pushed(tick: float) -> Place:
        return 3.0 * tick, 10.0 if tick >= 200 else 0.0

    def unaware(tick: float) -> Place:
        return 3.0 * tick, 10.0 if tick >= 210 else 0.0

    found = felt(ticks(700, pushed), frames(600, unaware))
    assert found.own_corrections == 6  # one in ten seconds
    assert found.own_correction_max == 10
    # What the game teleports the player's client cannot know of.
    found = felt(ticks(700, pushed, jumped=[200]), frames(600, unaware))
    assert (found.own_corrections, found.own_correction_max) == (0, 0)


def test_an_angle_that_comes_round_is_no_correction() -> None:
    def angle(tick: float) -> Place:
        return (3.0 * tick % 360, 0.0)

    found = felt(ticks(700, angle), frames(600, angle))
    assert (found.own_corrections, found.own_correction_max) == (0, 0)


def test_nothing_has_no_figures() -> None:
    found = feel_of([], [Reel([], frozenset())], RATE)
    assert found == Feel(0, {"p50": 0, "max": 0}, 0, 0, 0, 0, 0, 0, 0)


def test_a_film_keeps_the_last_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feel, "PLACES", 30)
    film: Film[Tick] = Film()
    for tick in ticks(100, still):  # each takes three
        film.add(tick)
    assert [tick.number for tick in film.cut()] == list(range(90, 100))


def test_places_are_those_of_what_glides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feel, "THINGS", 2)
    with use_registry(REGISTRY) as registry, net.World() as world:
        for number in range(4):
            esper.create_entity(Heading(number, number / 2), Hull(1.0))
        kinds = registry.schema().components
        network_ids = {1: None, 2: 12, 3: 11, 4: 13}
        found = places_in(world, kinds, network_ids.__getitem__)
        assert found == {"ecsnet.Position": {}, "Heading": {11: (1.0,), 12: (0.5,)}}
        esper.component_for_entity(2, Heading).angle = "up"  # type: ignore[assignment]
        assert places_in(world, kinds, network_ids.__getitem__)["Heading"] == {11: (1.0,)}
    world.close()
