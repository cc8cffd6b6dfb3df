"""``perf feel``: what players see of a game on a bad network, frame by frame, beside its server.

Server, clients and datagrams have times of their own on one virtual clock, so nothing here depends
on the machine, and the same seed gives the same figures. What the figures mean is in
``docs/performance.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from perf.feel_figures import (
    AFTER_STALL,
    ERROR_CIRCLE,
    ERROR_PLAYER,
    ERROR_STOPS,
    FROZEN,
    HITCHES,
    MOTION,
    MOTION_MAX,
    OWN_OFF,
    OWN_WAY,
    REPLAYED,
    RESTORES,
    REWIND,
    SHORT,
    STEP,
    USUAL,
    VERDICTS_CLEAR,
    Figure,
    Judge,
)
from perf.feel_game import Setup, play
from perf.report import Report, Row, single

STALL_SECONDS = 10.0
"""The time that is measured around a stall, half of it after it."""


class Scenario(NamedTuple):
    """One way to play, and what is told of it."""

    setup: Setup
    figures: Sequence[Figure] = SHORT


def _with(figures: Sequence[Figure], *others: Figure) -> tuple[Figure, ...]:
    """Return figures, some of them with another goal."""
    by_name = {other.name: other for other in others}
    return tuple(by_name.get(figure.name, figure) for figure in figures)


SCENARIOS: dict[str, Scenario] = {
    "60": Scenario(Setup(), USUAL),
    "62.5": Scenario(Setup(fps=62.5), USUAL),
    "144": Scenario(Setup(fps=144), _with(USUAL, MOTION.to(1), MOTION_MAX.to(2))),
    "30": Scenario(Setup(fps=30)),
    "client-stall": Scenario(Setup(stall="client"), AFTER_STALL),
    "link-stall": Scenario(Setup(stall="link"), AFTER_STALL),
    "server-stall": Scenario(Setup(stall="server"), AFTER_STALL),
    # A stop is said twice, and both get lost in one of 25.
    "loss": Scenario(Setup(loss=0.2), _with(SHORT, ERROR_PLAYER.to(None), ERROR_STOPS.to(None))),
    "jitter": Scenario(Setup(jitter=0.04), _with(SHORT, HITCHES.to(1))),
    "lan": Scenario(Setup(lag=0.005, jitter=0.001, loss=0.0), (*SHORT, REWIND)),
    "no-latency": Scenario(Setup(lag=0.0, jitter=0.0, loss=0.0), _with(SHORT, RESTORES.to(0))),
    # Within three ticks nobody hears of a turn, and more than the 350 ms of rewind may be needed.
    "update-rate": Scenario(
        Setup(update_rate=20.0),
        _with(
            (*SHORT, REWIND),
            ERROR_PLAYER.to(None),
            ERROR_STOPS.to(None),
            ERROR_CIRCLE.to(1.5),
            VERDICTS_CLEAR.to(None),
        ),
    ),
    # Who flies against a wall waits for ever.
    "walls": Scenario(Setup(walls=True), [each for each in SHORT if each != MOTION_MAX]),
    "quantised": Scenario(Setup(quantised=True), _with(SHORT, RESTORES.to(5))),
    "push": Scenario(Setup(push=True), (OWN_WAY.to(7), OWN_OFF, RESTORES, REPLAYED)),
    "150-movers": Scenario(Setup(movers=150), (HITCHES.to(5), FROZEN, STEP)),
    "250-movers": Scenario(Setup(movers=250), tuple(figure.to(None) for figure in SHORT)),
}
"""By the names of ``--rows``. 250 movers are more than the bandwidth carries: no goal stands."""


def run(
    command: str, rows: Sequence[str], seeds: Sequence[int], seconds: float, *, smooth: bool
) -> Report:
    """Play each scenario once with each seed.

    Args:
        command: The command line, for the report.
        rows: Names of `SCENARIOS`.
        seeds: The seeds.
        seconds: How long each is measured, of the virtual clock; around a stall `STALL_SECONDS`.
        smooth: Whether ships run ahead, others are drawn between two values, and shots are for
            what was drawn.

    Returns:
        The report: the median of the seeds, and the lowest and highest of them.
    """
    report = Report("feel", command)
    for name in rows:
        scenario = SCENARIOS[name]
        found: list[dict[Figure, float]] = []
        for seed in seeds:
            print(f"{name}, seed {seed}", file=sys.stderr)
            found.append(measure(scenario, seed, seconds, smooth=smooth))
        report.rows += [_row(name, figure, found) for figure in scenario.figures]
    return report


def measure(scenario: Scenario, seed: int, seconds: float, *, smooth: bool) -> dict[Figure, float]:
    """Play a scenario and return its figures."""
    setup = replace(scenario.setup, smooth=smooth)
    judge = Judge(play(setup, seed, seconds if setup.stall is None else STALL_SECONDS))
    return {figure: figure.of(judge) for figure in scenario.figures}


def _row(name: str, figure: Figure, found: Sequence[dict[Figure, float]]) -> Row:
    values = [each[figure] for each in found]
    worst = min(values) if figure.unit == "%" else max(values)
    return single(f"{name}: {figure.name}", figure.unit, values, figure.note(worst))
