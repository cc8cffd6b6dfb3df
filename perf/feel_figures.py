"""The figures of ``perf feel``: of one game, from what its clients drew and its server had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import pairwise
from math import floor
from typing import NamedTuple

from ecsnet.testing import Recording
from ecsnet.testing.measures import (
    STEADY_TICKS,
    Corrections,
    Path,
    Sample,
    Steps,
    Timeline,
    ages,
    corrections,
    distances,
    first_seen,
    frames_until_motion,
    path_of,
    percentile,
    right_again,
    samples_of,
    slides,
    steps,
)
from perf.feel_game import (
    CIRCLE,
    JUMPER,
    LINE,
    RATE,
    STOP_AND_GO,
    Bullet,
    Mover,
    Pilot,
    Played,
    SeenShot,
    Verdict,
)

JUMP = 60.0
"""A way between two ticks that nothing takes but by a jump."""

RIGHT = 5.0
"""Distance in px within which all is right after a stall: at any time so much is guessed wrong for
a frame in which a packet is late."""

LATE = 0.05
"""Seconds by which what is drawn may be older than usual, and still be right after a stall."""

MOTION_FRAMES = 300
"""The most frames to look at for the motion that a key brings about."""


class Judge:
    """The figures of one game.

    Args:
        played: The game.

    Attributes:
        played: The same.
    """

    def __init__(self, played: Played) -> None:
        self.played = played
        self._recording = played.recording
        self._place = played.setup.place
        self._timeline = Timeline(
            {number: tick.at for number, tick in played.recording.ticks.items()}
        )
        self._numbers = _numbers(played.recording)  # network ids by the numbers of movers
        self._paths: dict[int, Path] = {}
        # Where an update is lost, two of its intervals lie between two values.
        interval = round(RATE / (played.setup.update_rate or RATE))
        self._around = STEADY_TICKS + 2 * (interval - 1)
        self._minutes = played.seconds / 60
        self._per_pilot = self._minutes * len(played.pilots)

    # What is looked at.

    def _path(self, net: int) -> Path:
        path = self._paths.get(net)
        if path is None:
            path = self._paths[net] = path_of(self._recording, net, self._place, JUMP)
        return path

    def _own(self) -> Iterator[tuple[Path, list[Sample]]]:
        for pilot in self.played.pilots:
            path = self._path(pilot.net)
            yield path, samples_of(self._recording, pilot.client, pilot.net, self._place, own=True)

    def _remote(self, *numbers: int) -> Iterator[tuple[Path, list[Sample]]]:
        """Go through what each pilot saw of some movers, by number; of all when left out."""
        for pilot in self.played.pilots:
            for number, net in self._numbers.items():
                if net != pilot.net and (not numbers or number in numbers):
                    samples = samples_of(self._recording, pilot.client, net, self._place)
                    yield self._path(net), samples

    def _frames(self) -> Iterator[tuple[Pilot, list[Sample]]]:
        """Go through the frames of each pilot, as samples of nothing."""
        for pilot in self.played.pilots:
            frames = self._recording.frames[pilot.client]
            yield pilot, [Sample(frame.at, frame.shown, None) for frame in frames]

    # One's own.

    def delays(self) -> list[float]:
        """Return after how many frames a ship that stood still moved."""
        found: list[float] = []
        for pilot, (_, samples) in zip(self.played.pilots, self._own(), strict=True):
            for start in pilot.starts:
                frames = frames_until_motion(samples, start, MOTION_FRAMES)
                if frames is not None:
                    found.append(frames)
        return found

    def bullet_delays(self) -> list[float]:
        """Return after how many frames own bullets were seen."""
        found: list[float] = []
        for pilot in self.played.pilots:
            for frame, shot in pilot.fires:
                frames = first_seen(self._bullet(pilot, (pilot.number, shot), frame), 0)
                if frames is not None:
                    found.append(frames)
        return found

    def _bullet(self, pilot: Pilot, name: tuple[int, int], frame: int) -> list[Sample]:
        """Return what a pilot saw of a bullet in the frames from one on, for two seconds."""
        frames = self._recording.frames[pilot.client]
        samples: list[Sample] = []
        for each in frames[frame : frame + round(2 * self.played.setup.fps)]:
            seen = any(value[:2] == name for value in each.values[Bullet].values())
            samples.append(Sample(each.at, each.ahead, () if seen else None))
        return samples

    @cached_property
    def _own_steps(self) -> list[Steps]:
        return [steps(path, samples, RATE, self._around) for path, samples in self._own()]

    def own_hitches(self) -> float:
        """Return frames a minute in which the own ship flew steadily, and was not drawn so."""
        return sum(each.hitches for each in self._own_steps) / self._per_pilot

    def own_largest_step(self) -> float:
        """Return the largest step of the own ship in a frame, over the steady one."""
        return max(each.largest for each in self._own_steps)

    def own_largest_way(self) -> float:
        """Return the largest step of the own ship in a frame, along either axis."""
        return max(
            max(abs(b - a) for a, b in zip(before.place, now.place, strict=True))
            for _, samples in self._own()
            for before, now in pairwise(samples)
            if before.place is not None and now.place is not None
        )

    @cached_property
    def _own_distances(self) -> list[list[float | None]]:
        return [distances(path, samples) for path, samples in self._own()]

    @cached_property
    def _own_corrections(self) -> list[Corrections]:
        return [corrections(each) for each in self._own_distances]

    def own_corrections(self) -> float:
        """Return how often a minute the own ship was drawn where it was not."""
        return sum(each.times for each in self._own_corrections) / self._per_pilot

    def own_frames_off(self) -> float:
        """Return the frames a minute in which it was."""
        frames = (each for frames in self._own_distances for each in frames)
        return sum(each is not None and each > 1 for each in frames) / self._per_pilot

    def own_largest_correction(self) -> float:
        """Return by how much it was at most."""
        return max(each.largest for each in self._own_corrections)

    # Others.

    @cached_property
    def _steps(self) -> list[Steps]:
        numbers = self._numbers.keys() - {JUMPER}
        return [steps(*seen, RATE, self._around) for seen in self._remote(*numbers)]

    def hitches(self) -> float:
        """Return frames in which a thing moved steadily, and was not drawn so, a minute of that."""
        return sum(each.hitches for each in self._steps) / self._steady_minutes

    def frozen(self) -> float:
        """Return those of them in which it was drawn where it had been in the frame before."""
        return sum(each.frozen for each in self._steps) / self._steady_minutes

    @cached_property
    def _steady_minutes(self) -> float:
        return sum(each.frames for each in self._steps) / self.played.setup.fps / 60

    def largest_step(self) -> float:
        """Return the largest step of any in a frame, over the steady one."""
        return max(each.largest for each in self._steps)

    def error(self, *numbers: int) -> float:
        """Return how far from their places movers were drawn, p99."""
        return percentile(
            (
                each
                for path, samples in self._remote(*numbers)
                for each in distances(path, samples)
                if each is not None
            ),
            0.99,
        )

    def slides(self) -> float:
        """Return the frames a minute in which what jumps was drawn on its way."""
        return sum(slides(*seen) for seen in self._remote(JUMPER)) / self._per_pilot

    @property
    def player_numbers(self) -> list[int]:
        """The numbers of ships."""
        return [pilot.number for pilot in self.played.pilots]

    def bullets_beyond(self) -> float:
        """Return the frames a minute in which another's bullet was drawn beyond its life."""
        return self._others_bullets[0] / self._per_pilot

    def bullets_missing(self) -> float:
        """Return the frames a minute in which one was not drawn within it."""
        return self._others_bullets[1] / self._per_pilot

    @cached_property
    def _others_bullets(self) -> tuple[int, int]:
        """Count the frames in which a bullet was drawn beyond its life, or not within it."""
        beyond = missing = 0
        alive = {
            tick: {value[:2] for value in each.values[Bullet].values()}
            for tick, each in self._recording.ticks.items()
        }
        for pilot in self.played.pilots:
            for frame in self._recording.frames[pilot.client]:
                there, then = alive.get(floor(frame.shown)), alive.get(floor(frame.shown) + 1)
                if there is None or then is None:
                    continue
                drawn = {value[:2] for value in frame.values[Bullet].values()}
                mine = {name for name in drawn | there if name[0] == pilot.number}
                beyond += len(drawn - there - mine)
                missing += len((there & then) - drawn - mine)
        return beyond, missing

    def bullets_twice(self) -> float:
        """Return the frames a minute in which a bullet of one's own was there twice."""
        twice = 0
        for pilot in self.played.pilots:
            for frame in self._recording.frames[pilot.client]:
                names = [value[:2] for value in frame.values[Bullet].values()]
                twice += len(names) - len(set(names))
        return twice / self._per_pilot

    def ages(self) -> list[float]:
        """Return how old what was drawn of others was in each frame, ms."""
        return [1000 * age for _, frames in self._frames() for age in ages(frames, self._timeline)]

    def age_added(self) -> float:
        """Return by how much older than the newest tick heard of is what is drawn, ms."""
        return percentile(self.ages(), 0.5) - percentile(self._newest_ages(), 0.5)

    def _newest_ages(self) -> list[float]:
        return [
            1000 * (frame.at - self._timeline.at(frame.newest))
            for pilot in self.played.pilots
            for frame in self._recording.frames[pilot.client]
        ]

    def starved(self) -> float:
        """Return the frames a minute that were drawn at a tick not heard of yet."""
        frames = (
            frame.shown > frame.newest
            for pilot in self.played.pilots
            for frame in self._recording.frames[pilot.client]
        )
        return sum(frames) / self._per_pilot

    # Shots.

    def _shots(self) -> list[tuple[SeenShot, Verdict | None]]:
        """Return shots that have come to a verdict by now, if they ever do."""
        verdicts = self.played.verdicts
        return [
            (shot, verdicts.get((pilot.number, shot.shot)))
            for pilot in self.played.pilots
            for shot in pilot.shots[:-3]  # the last ones may still be on their way
        ]

    def verdicts(self, margin: float) -> float:
        """Return the share of shots, in per cent, of which both ends say the same."""
        shots = [(seen, said) for seen, said in self._shots() if seen.margin >= margin]
        same = sum(said is not None and said.hit == seen.hit for seen, said in shots)
        return 100 * same / max(1, len(shots))

    def hits(self) -> float:
        """Return the share of shots that hit on the screen, in per cent, that did on the server."""
        hits = [(seen, said) for seen, said in self._shots() if seen.hit]
        same = sum(said is not None and seen.hit <= said.hit for seen, said in hits)
        return 100 * same / max(1, len(hits))

    def rewinds(self) -> list[float]:
        """Return how far back what the shooters saw was when the server judged, ms."""
        return [
            1000 * (said.tick - seen.shown) / RATE
            for seen, said in self._shots()
            if said is not None
        ]

    # What ran ahead.

    def restores(self) -> float:
        """Return how often a minute what ran ahead was put right."""
        return sum(pilot.restores for pilot in self.played.pilots) / self._per_pilot

    def replayed(self) -> float:
        """Return the ticks a minute that were simulated once more for that."""
        return sum(pilot.replayed for pilot in self.played.pilots) / self._per_pilot

    # After a stall.

    def _right_again(self, seen: Iterable[tuple[Path, list[Sample]]]) -> float:
        """Return after how many seconds all that the first pilot saw of something was right."""
        latest = 0.0
        resumed = self.played.resumed_at
        for path, samples in seen:
            age = ages(samples, self._timeline)
            before = [
                each for each, sample in zip(age, samples, strict=True) if sample.at < resumed - 5.0
            ]
            again = right_again(
                samples,
                distances(path, samples),
                age,
                resumed,
                above=RIGHT,
                oldest=percentile(before, 1) + LATE,
            )
            latest = max(latest, again)
        return latest

    def seen_by_first(self) -> Iterator[tuple[Path, list[Sample]]]:
        """Go through what the first pilot, with whom something stalls, saw of all others.

        What jumps is left out: where that tick gets lost, it does so a frame late at any time.
        """
        first = self.played.pilots[0]
        for number, net in self._numbers.items():
            if net != first.net and number != JUMPER:
                samples = samples_of(self._recording, first.client, net, self._place)
                yield self._path(net), samples

    def others_right(self) -> float:
        """Return after how many seconds all else was right for the first pilot."""
        return self._right_again(self.seen_by_first())

    def own_right(self) -> float:
        """Return after how many seconds its own ship was."""
        return self._right_again([next(self._own())])


def _numbers(recording: Recording) -> dict[int, int]:
    """Return the network ids of movers by their numbers."""
    last = recording.ticks[max(recording.ticks)]
    return {int(number): net for net, (number,) in last.values[Mover].items()}


class Figure(NamedTuple):
    """A figure of the report."""

    name: str
    unit: str
    of: Callable[[Judge], float]
    """Finds it."""
    goal: float | None = None
    """The most that it should be; of a share, the least."""

    def to(self, goal: float | None) -> Figure:
        """Return the same figure with another goal."""
        return self._replace(goal=goal)

    def missed(self, worst: float) -> bool:
        """Return whether it is not as it should be."""
        if self.goal is None:
            return False
        return worst < self.goal if self.unit == "%" else worst > self.goal

    def note(self, worst: float) -> str:
        """Return what a reader should know: the goal, and whether it was missed."""
        if self.goal is None:
            return ""
        side = "at least" if self.unit == "%" else "at most"
        return f"goal: {side} {self.goal:g}{', missed' * self.missed(worst)}"


MOTION = Figure("input to motion, p50", "frames", lambda judge: percentile(judge.delays(), 0.5), 0)
MOTION_MAX = Figure(
    "input to motion, most", "frames", lambda judge: percentile(judge.delays(), 1), 1
)
BULLET = Figure(
    "own bullet visible after, p50",
    "frames",
    lambda judge: percentile(judge.bullet_delays(), 0.5),
    1,
)
BULLET_MAX = Figure(
    "own bullet visible after, most",
    "frames",
    lambda judge: percentile(judge.bullet_delays(), 1),
    2,
)
OWN_HITCHES = Figure("own hitches", "a minute", Judge.own_hitches, 0)
OWN_STEP = Figure("own largest step over steady step", "times", Judge.own_largest_step)
OWN_WAY = Figure("own largest way in a frame", "px", Judge.own_largest_way)
OWN_CORRECTIONS = Figure("own corrections above 1 px", "a minute", Judge.own_corrections, 0)
OWN_OFF = Figure("own frames more than 1 px off", "a minute", Judge.own_frames_off)
OWN_ERROR = Figure("own largest correction", "px", Judge.own_largest_correction)
HITCHES = Figure("remote hitches", "a steady minute", Judge.hitches, 0)
FROZEN = Figure("remote frozen frames", "a steady minute", Judge.frozen, 0)
STEP = Figure("remote largest step over steady step", "times", Judge.largest_step)
ERROR_PLAYER = Figure(
    "remote error p99, player", "px", lambda judge: judge.error(*judge.player_numbers), 1
)
ERROR_STOPS = Figure(
    "remote error p99, stop-and-go", "px", lambda judge: judge.error(STOP_AND_GO), 1
)
ERROR_CIRCLE = Figure("remote error p99, circle", "px", lambda judge: judge.error(CIRCLE), 1)
ERROR_LINE = Figure("remote error p99, line", "px", lambda judge: judge.error(LINE), 1)
SLIDES = Figure("frames drawn within a jump", "a minute", Judge.slides, 0)
BULLETS_BEYOND = Figure(
    "bullets drawn before or after their life", "frames a minute", Judge.bullets_beyond, 0
)
BULLETS_MISSING = Figure("bullets missing", "frames a minute", Judge.bullets_missing)
BULLETS_TWICE = Figure("own bullets drawn twice", "frames a minute", Judge.bullets_twice, 0)
AGE = Figure("age of what is drawn, p50", "ms", lambda judge: percentile(judge.ages(), 0.5))
AGE_MOST = Figure("age of what is drawn, p99", "ms", lambda judge: percentile(judge.ages(), 0.99))
AGE_ADDED = Figure(
    "age of what is drawn, p50, above that of the newest heard of", "ms", Judge.age_added, 45
)
STARVED = Figure("starved frames", "a minute", Judge.starved)
VERDICTS = Figure("verdicts as the shooter saw them", "%", lambda judge: judge.verdicts(0.0))
VERDICTS_CLEAR = Figure(
    "the same, beyond 1 px of the edge", "%", lambda judge: judge.verdicts(1.0), 99.5
)
HITS = Figure("hits on the screen that hit", "%", Judge.hits)
REWIND = Figure("rewind that this takes, p50", "ms", lambda judge: percentile(judge.rewinds(), 0.5))
REWIND_MOST = Figure(
    "rewind that this takes, p99", "ms", lambda judge: percentile(judge.rewinds(), 0.99)
)
RESTORES = Figure("restores", "a minute", Judge.restores)
REPLAYED = Figure("ticks replayed", "a minute", Judge.replayed)
OTHERS_RIGHT = Figure("others right again after", "s", Judge.others_right, 1)
OWN_RIGHT = Figure("own right again after", "s", Judge.own_right, 1)

USUAL = (
    MOTION,
    MOTION_MAX,
    BULLET,
    BULLET_MAX,
    OWN_HITCHES,
    OWN_STEP,
    OWN_CORRECTIONS,
    OWN_ERROR,
    HITCHES,
    FROZEN,
    STEP,
    ERROR_PLAYER,
    ERROR_STOPS,
    ERROR_CIRCLE,
    ERROR_LINE,
    SLIDES,
    BULLETS_BEYOND,
    BULLETS_MISSING,
    BULLETS_TWICE,
    AGE,
    AGE_MOST,
    AGE_ADDED,
    STARVED,
    VERDICTS,
    VERDICTS_CLEAR,
    HITS,
    REWIND,
    REWIND_MOST,
    RESTORES,
    REPLAYED,
)
SHORT = (
    MOTION,
    MOTION_MAX,
    OWN_HITCHES,
    OWN_CORRECTIONS,
    OWN_ERROR,
    HITCHES,
    ERROR_PLAYER,
    ERROR_STOPS,
    ERROR_CIRCLE,
    AGE,
    STARVED,
    VERDICTS_CLEAR,
    RESTORES,
    REPLAYED,
)
AFTER_STALL = (OTHERS_RIGHT, OWN_RIGHT)
