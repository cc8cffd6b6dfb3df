"""The feel of a demo: what players drew from frame to frame, beside what the server had.

Each process keeps the last of what it had in a `Film`; the parent lays the server's beside each
player's. What is measured, `ecsnet.testing.measures` says.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, dist, floor
from typing import Generic, TypeAlias, TypeVar

import msgspec

from ecsnet.schema import ComponentType
from ecsnet.testing.measures import (
    Corrections,
    Path,
    Sample,
    Steps,
    corrections,
    distances,
    frames_until_motion,
    percentile,
    steps,
)
from ecsnet.validation.arguments import is_number
from ecsnet.world import World

__all__ = [
    "FRAME",
    "Feel",
    "Film",
    "Frame",
    "Places",
    "Reel",
    "Tick",
    "feel_of",
    "places_in",
    "write_films",
]

FRAME = 1 / 60
"""Seconds from one frame of a player to the next."""

LATE = 0.008
"""Seconds by which a frame begins late that is counted apart: the process itself was late."""

THINGS = 100
"""The most entities with a component that are looked at: those with the lowest network ids."""

PLACES = 150_000
"""The most places that a film keeps."""

QUIET = 30
"""Frames without another key before a key whose effect is looked for."""

ANSWER = 60
"""Frames in which a key has its effect, or has none."""

JUMP = 60.0
"""Units between two ticks that nothing moves by: it jumped."""

UNAWARE = 60
"""Ticks after a jump in which its owner's client may not know of it, and fires from where it was:
the server alone makes jumps, and what it does alone is late by a round trip."""

Place: TypeAlias = tuple[float, ...]
"""The floats of a component."""

Places: TypeAlias = dict[str, dict[int, Place]]
"""The places of what is drawn between two values, by component and network id."""

Thing: TypeAlias = tuple[str, int]
"""A component and a network id."""

_NOWHERE = Sample(0.0, 0.0, None)


class Tick(msgspec.Struct, array_like=True):
    """The server's world after a tick."""

    number: int
    jumped: list[int]
    """Network ids of what the game said was teleported in it."""
    places: Places


class Frame(msgspec.Struct, array_like=True):
    """A frame as a player saw it."""

    began: float
    """The time, in seconds."""
    shown: float
    """The tick at which it drew others."""
    ahead: float
    """The tick at which it drew what is the player's own."""
    pressed: bool
    """True if the player holds down something else than in the one before."""
    places: Places


T = TypeVar("T", Tick, Frame)


class Film(Generic[T]):
    """The last pictures of a process, as many as `PLACES` allow."""

    def __init__(self) -> None:
        self._pictures: deque[T] = deque()
        self._size = 0

    def add(self, picture: T) -> None:
        """Add a picture, in the place of the oldest ones."""
        self._pictures.append(picture)
        self._size += _size(picture)
        while self._size > PLACES:
            self._size -= _size(self._pictures.popleft())

    def cut(self) -> list[T]:
        """Return the pictures, oldest first."""
        return list(self._pictures)


def _size(picture: Tick | Frame) -> int:
    return 1 + sum(map(len, picture.places.values()))


def places_in(
    world: World, kinds: Iterable[ComponentType], network_id: Callable[[int], int | None]
) -> Places:
    """Return the places that a world has now, of the first `THINGS` of each kind."""
    found: Places = {}
    for kind in kinds:
        if kind.interpolate:
            structure: list[tuple[int, object]] = world.structure(kind.cls)
            values = {network_id(entity): value for entity, value in structure}
            first = sorted(net for net in values if net is not None)[:THINGS]
            places = ((net, kind.read_floats(values[net])) for net in first)
            found[kind.name] = {net: place for net, place in places if all(map(is_number, place))}
    return found


@dataclass(frozen=True, slots=True)
class Feel:
    """The figures of all players together."""

    keys: int
    """Presses and releases that had an effect on something of the player's that stood still."""
    own_delay_frames: dict[str, float]
    """Frames until the player saw it; 0 where the next frame drawn shows it."""
    own_corrections: float
    """Times a minute that something of the player's own was drawn more than a unit from where the
    server had it in that tick. What the server alone does, jumps, is left out."""
    own_correction_max: float
    """The most by which it was, in units."""
    own_hitches: float
    """Frames a minute in which something of the player's own moved steadily, and not on the
    screen."""
    hitches: float
    """The same of others."""
    frames: int
    late_frames: int
    """Frames that began over 8 ms late; what they show counts in no figure of hitches."""
    late_hitches: int
    """The hitches in those."""


@dataclass(frozen=True, slots=True)
class Reel:
    """The film of one player."""

    frames: Sequence[Frame]
    own: frozenset[int]
    """Network ids of what is the player's own."""

    def late(self) -> set[int]:
        """Return the numbers of the frames that began late."""
        pairs = enumerate(pairwise(frame.began for frame in self.frames), 1)
        return {number for number, (one, other) in pairs if other - one > FRAME + LATE}

    def tracks(self, jumps: Mapping[int, Sequence[int]]) -> dict[Thing, dict[int, Sample]]:
        """Return what was drawn of each thing, by number of the frame.

        Args:
            jumps: Ticks in which the server teleported something, by network id.
        """
        found: defaultdict[Thing, dict[int, Sample]] = defaultdict(dict)
        ours = [at for net in self.own for at in jumps.get(net, ())]
        for number, frame in enumerate(self.frames):
            unaware = any(-1 < frame.ahead - at < UNAWARE for at in ours)
            for name, places in frame.places.items():
                for net, place in places.items():
                    own = net in self.own
                    if not (own and unaware):
                        tick = frame.ahead if own else frame.shown
                        found[name, net][number] = Sample(frame.began, tick, place)
        return found


def write_films(path: str, ticks: Sequence[Tick], rate: float, reels: Mapping[str, Reel]) -> None:
    """Write what the server had and what each player drew into a file, as one JSON object.

    Args:
        path: Of the file.
        ticks: What the server had.
        rate: Ticks a second.
        reels: What the players drew, by name.

    Raises:
        OSError: It cannot be written.
    """
    films = {
        "rate": rate,
        "ticks": [msgspec.structs.asdict(tick) for tick in ticks],
        "players": {
            name: {
                "own": sorted(reel.own),
                "frames": [msgspec.structs.asdict(frame) for frame in reel.frames],
            }
            for name, reel in reels.items()
        },
    }
    with open(path, "wb") as file:
        file.write(msgspec.json.encode(films))


def feel_of(ticks: Sequence[Tick], reels: Sequence[Reel], rate: float) -> Feel:
    """Return how it felt.

    Args:
        ticks: What the server had.
        reels: What the players drew.
        rate: Ticks a second.
    """
    paths, jumps = _paths(ticks), _teleports(ticks)
    delays: list[int] = []
    wrong: list[Corrections] = []
    steady: dict[bool, list[Steps]] = {True: [], False: []}  # by whether it is the player's own
    late_frames = late_hitches = 0
    for reel in reels:
        late, tracks = reel.late(), reel.tracks(jumps)
        late_frames += len(late)
        delays += _delays(reel, tracks)
        for thing, track in tracks.items():
            path, own = paths.get(thing), thing[1] in reel.own
            if path is None:
                continue
            found = [steps(path, run, rate) for run in _runs(track, late)]
            steady[own] += found
            every = [steps(path, run, rate) for run in _runs(track, set())]
            late_hitches += sum(all_.hitches for all_ in every) - sum(s.hitches for s in found)
            if own:
                there = [each for each in track.values() if not _jumps(path, each.tick)]
                wrong.append(corrections(distances(path, there)))
    minutes = sum(len(reel.frames) for reel in reels) * FRAME / 60
    return Feel(
        keys=len(delays),
        own_delay_frames={"p50": percentile(delays, 0.5), "max": percentile(delays, 1)},
        own_corrections=_a_minute(sum(each.times for each in wrong), minutes),
        own_correction_max=round(max((each.largest for each in wrong), default=0.0), 2),
        own_hitches=_hitches(steady[True]),
        hitches=_hitches(steady[False]),
        frames=sum(len(reel.frames) for reel in reels),
        late_frames=late_frames,
        late_hitches=late_hitches,
    )


def _paths(ticks: Sequence[Tick]) -> dict[Thing, Path]:
    places: defaultdict[Thing, dict[int, Place]] = defaultdict(dict)
    for tick in ticks:
        for name, known in tick.places.items():
            for net, place in known.items():
                places[name, net][tick.number] = place
    return {thing: Path(known) for thing, known in places.items()}


def _teleports(ticks: Sequence[Tick]) -> dict[int, list[int]]:
    jumps: defaultdict[int, list[int]] = defaultdict(list)
    for tick in ticks:
        for net in tick.jumped:
            jumps[net].append(tick.number)
    return jumps


def _jumps(path: Path, tick: float) -> bool:
    """Return whether something was nowhere between two places then, such as an angle that came
    round.
    """
    one, other = path.places.get(floor(tick)), path.places.get(ceil(tick))
    return one is not None and other is not None and dist(one, other) > JUMP


def _delays(reel: Reel, tracks: Mapping[Thing, Mapping[int, Sample]]) -> Iterator[int]:
    """Yield after how many frames a key had its effect."""
    own = [
        [track.get(number, _NOWHERE) for number in range(len(reel.frames))]
        for (_, net), track in tracks.items()
        if net in reel.own
    ]
    presses = [number for number, frame in enumerate(reel.frames) if frame.pressed]
    ends = [-QUIET, *presses, len(reel.frames)]
    for before, press, after in zip(ends, presses, ends[2:], strict=False):
        if press - before >= QUIET:
            most = min(ANSWER, after - press)
            answers = [frames_until_motion(samples, press, most) for samples in own]
            yield from sorted(each for each in answers if each is not None)[:1]


def _runs(track: Mapping[int, Sample], late: Container[int]) -> Iterator[list[Sample]]:
    """Yield what was drawn in frames one after the other, none but the first of them late."""
    run: list[Sample] = []
    for number, sample in track.items():
        if number - 1 not in track or number in late:
            yield run
            run = []
        run.append(sample)
    yield run


def _hitches(steady: Sequence[Steps]) -> float:
    minutes = sum(each.frames for each in steady) * FRAME / 60
    return _a_minute(sum(each.hitches for each in steady), minutes)


def _a_minute(count: int, minutes: float) -> float:
    return round(count / minutes, 2) if minutes else 0.0
