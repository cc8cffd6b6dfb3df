"""Measures of how a game feels: pure functions of what was drawn, and of what the server had.

What one thing did is a `Path`, what a client drew of it in one frame is a `Sample`. `path_of` and
`samples_of` take both out of a `Recording`; all else knows only these two.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import ceil, dist, floor, inf
from typing import NamedTuple

from ecsnet.client.world import ClientWorld
from ecsnet.testing.recording import Place, Recording

__all__ = [
    "STEADY_TICKS",
    "Corrections",
    "Path",
    "Sample",
    "Steps",
    "Timeline",
    "ages",
    "corrections",
    "distances",
    "first_seen",
    "frames_until_motion",
    "path_of",
    "percentile",
    "right_again",
    "samples_of",
    "slides",
    "steps",
]

STEADY_TICKS = 4
"""The ticks before and after a step for which something must keep its velocity to be steady there,
with an update in each tick: what was drawn on a guess has come to its end by then."""

HITCH = 0.25
"""The share of the steady step by which the step of a frame may differ from it; with more it is a
hitch."""

FROZEN = 0.05
"""The share of the steady step below which something has not moved at all."""

SLIDE_TICKS = 4
"""The ticks around a jump in which something that slides through it is seen to."""

_UNMOVED = 0.01  # units: nobody sees that much
_SAME = 1e-6  # of a velocity, units a tick: what rounding leaves


class Sample(NamedTuple):
    """Something as a client drew it in one frame."""

    at: float
    """The time of the frame, in seconds."""
    tick: float
    """The server's tick at which it was drawn."""
    place: Place | None
    """The place; None where it was not drawn."""


class Path:
    """The places that the server had something at, by tick.

    Args:
        places: The places.
        jump: A way of more than this between two ticks was a jump: there was nothing in between.
    """

    def __init__(self, places: Mapping[int, Place], jump: float = inf) -> None:
        self.places = places
        self.jump = jump
        # For each tick what it moved until the next one, and since which tick it moved so.
        self._moves: dict[int, tuple[Place, int]] = {}
        for tick in sorted(places):
            after = places.get(tick + 1)
            if after is None:
                continue
            move = tuple(b - a for a, b in zip(places[tick], after, strict=True))
            before = self._moves.get(tick - 1)
            same = before is not None and dist(before[0], move) < _SAME
            self._moves[tick] = move, before[1] if before is not None and same else tick

    def at(self, tick: float) -> Place | None:
        """Return the place at a tick, or between two ticks; None where it was not there."""
        before = self.places.get(floor(tick))
        after = self.places.get(ceil(tick))
        if before is None or after is None:
            return None
        if dist(before, after) > self.jump:
            return before
        share = tick - floor(tick)
        return tuple(a + (b - a) * share for a, b in zip(before, after, strict=True))

    def jumps(self) -> list[int]:
        """Return the ticks from which it jumped to another place in the next one."""
        still = (0.0,)
        return [
            tick
            for tick, (move, _) in self._moves.items()
            if dist(move, still * len(move)) > self.jump
        ]

    def velocity(self, first: int, last: int) -> Place | None:
        """Return what it moved a tick, where that was the same in all ticks of a stretch."""
        move, since = self._moves.get(last - 1, (None, last))
        return move if since <= first else None


class Timeline:
    """The times of the server's ticks.

    Args:
        times: When each tick ran, in seconds.
    """

    def __init__(self, times: Mapping[int, float]) -> None:
        self._path = Path({tick: (at,) for tick, at in times.items()})
        self._first, self._last = min(times), max(times)

    def at(self, tick: float) -> float:
        """Return the time of a tick, in seconds; beyond the first and the last one as long before
        or after it as ticks take there.
        """
        within = min(max(tick, self._first), self._last)
        place = self._path.at(within)
        assert place is not None  # ticks leave out no number
        if tick == within:
            return place[0]
        other = self._path.at(within + (1 if tick < within else -1))
        return place[0] if other is None else place[0] + abs(place[0] - other[0]) * (tick - within)


class Steps(NamedTuple):
    """The steps of something from frame to frame while it moved steadily."""

    frames: int
    """Frames in which it did."""
    hitches: int
    """Frames in which its step was not the steady one."""
    frozen: int
    """Of these, frames in which it did not move."""
    largest: float
    """The largest step, over the steady one."""


class Corrections(NamedTuple):
    """The times that something was drawn wrong, and became right again."""

    times: int
    """The number of them."""
    largest: float
    """The most by which it was wrong, in units of the place."""


# Out of a recording.


def path_of(recording: Recording, net: int, component: type, jump: float = inf) -> Path:
    """Return the path of an entity, by its network id."""
    ticks = recording.ticks.items()
    values = ((number, tick.values[component]) for number, tick in ticks)
    return Path({number: places[net] for number, places in values if net in places}, jump)


def samples_of(
    recording: Recording, client: ClientWorld, net: int, component: type, *, own: bool = False
) -> list[Sample]:
    """Return what a client drew of an entity: a sample for each of its frames.

    Args:
        recording: The recording.
        client: The client.
        net: The network id of the entity.
        component: The component with its place.
        own: Whether the client's own player owns it.
    """
    entities = recording.entities(client, net)
    samples: list[Sample] = []
    for frame in recording.frames[client]:
        values = frame.values[component]
        place = next((values[entity] for entity in entities if entity in values), None)
        samples.append(Sample(frame.at, frame.ahead if own else frame.shown, place))
    return samples


# What was drawn, beside what was there.


def steps(path: Path, samples: Sequence[Sample], rate: float, around: int = STEADY_TICKS) -> Steps:
    """Compare the steps of something from frame to frame with what they should have been.

    Only frames count around which it kept its velocity on the server. There it should move that
    much in each.

    Args:
        path: What it did.
        samples: What was drawn.
        rate: The server's ticks a second.
        around: Ticks before and after what was drawn for which it has to keep it.
    """
    frames = hitches = frozen = 0
    largest = 0.0
    for before, now in pairwise(samples):
        if before.place is None or now.place is None:
            continue
        first, last = sorted((before.tick, now.tick))
        velocity = path.velocity(floor(first) - around, ceil(last) + around)
        elapsed = (now.at - before.at) * rate
        if velocity is None or not elapsed:
            continue
        wanted = tuple(each * elapsed for each in velocity)
        steady = dist(wanted, (0.0,) * len(wanted))
        if steady < _UNMOVED:
            continue
        step = tuple(b - a for a, b in zip(before.place, now.place, strict=True))
        length = dist(before.place, now.place)
        frames += 1
        hitches += dist(step, wanted) > HITCH * steady
        frozen += length < FROZEN * steady
        largest = max(largest, length / steady)
    return Steps(frames, hitches, frozen, largest)


def distances(path: Path, samples: Iterable[Sample]) -> list[float | None]:
    """Return for each frame how far from its place something was drawn.

    The place is where the server had it at the tick at which it was drawn. None stands for frames
    in which it was not drawn, or was not there.
    """
    result: list[float | None] = []
    for sample in samples:
        place = path.at(sample.tick)
        drawn = sample.place
        result.append(None if place is None or drawn is None else dist(place, drawn))
    return result


def corrections(wrong: Iterable[float | None], above: float = 1.0) -> Corrections:
    """Count how often something was drawn wrong by more than so much, and right again.

    Args:
        wrong: How far from its place it was drawn, frame by frame: `distances`.
        above: What is not seen, in units of the place.
    """
    count, largest, inside = 0, 0.0, False
    for each in wrong:
        if each is None:
            continue
        count += each > above and not inside
        inside = each > above
        largest = max(largest, each)
    return Corrections(count, largest)


def slides(path: Path, samples: Iterable[Sample]) -> int:
    """Count the frames in which something was drawn on its way, where it jumped.

    It should be near the place from which it jumped, or near that to which it did: as near as a
    quarter of the way.

    Args:
        path: What it did; it says what a jump is.
        samples: What was drawn.
    """
    jumps = path.jumps()
    count = 0
    for sample in samples:
        if sample.place is None:
            continue
        index = bisect_left(jumps, sample.tick - SLIDE_TICKS)
        if index == len(jumps) or jumps[index] > sample.tick + SLIDE_TICKS:
            continue
        before, after = path.places[jumps[index]], path.places[jumps[index] + 1]
        near = dist(before, after) / 4
        count += min(dist(sample.place, before), dist(sample.place, after)) > near
    return count


def frames_until_motion(samples: Sequence[Sample], frame: int, limit: int) -> int | None:
    """Return after how many frames something moved that stood still.

    Args:
        samples: What was drawn.
        frame: Index of the frame before whose poll the player pressed a key; 0 is returned where
            that frame shows it.
        limit: The most frames to look at.

    Returns:
        The number of frames; None where it moved before, was not there, or never moved.
    """
    before = [sample.place for sample in samples[max(0, frame - 2) : frame]]
    if len(before) < 2 or before[0] is None or before[1] is None:
        return None
    at = before[1]
    if dist(before[0], at) > _UNMOVED:
        return None
    for index, sample in enumerate(samples[frame : frame + limit]):
        if sample.place is not None:
            if dist(sample.place, at) > _UNMOVED:
                return index
            at = sample.place  # what creeps on stands still, and gets somewhere all the same
    return None


def first_seen(samples: Sequence[Sample], frame: int) -> int | None:
    """Return in which frame from one on something was drawn first, counted from that one."""
    places = (index for index, each in enumerate(samples[frame:]) if each.place is not None)
    return next(places, None)


def ages(samples: Iterable[Sample], timeline: Timeline) -> list[float]:
    """Return for each frame how long ago the tick was that it was drawn at, in seconds."""
    return [sample.at - timeline.at(sample.tick) for sample in samples]


def right_again(
    samples: Sequence[Sample],
    wrong: Sequence[float | None],
    age: Sequence[float],
    after: float,
    *,
    above: float = 1.0,
    oldest: float = inf,
) -> float:
    """Return how long after some moment all was right for good, in seconds.

    Args:
        samples: What was drawn.
        wrong: How far from its place that was, frame by frame: `distances`.
        age: How old: `ages`.
        after: The moment, as at the end of a stall.
        above: The greatest distance that is right.
        oldest: The greatest age, in seconds, that is.
    """
    again = 0.0
    for index in range(bisect_left(samples, after, key=lambda sample: sample.at), len(samples)):
        distance = wrong[index]
        if (distance is not None and distance > above) or age[index] > oldest:
            following = samples[index + 1 : index + 2]
            again = following[0].at - after if following else inf
    return again


def percentile(values: Iterable[float], share: float) -> float:
    """Return the least value that so large a share of all does not exceed; 0 where there is none.

    Args:
        values: The values.
        share: The share, 0 to 1: 0.5 for the median, 1 for the largest.
    """
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
