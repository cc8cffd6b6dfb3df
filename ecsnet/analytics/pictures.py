"""Reports as pictures, drawn by matplotlib without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import nan
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecsnet.analytics.maps import HeatMap, Line, Timeline
from ecsnet.errors import UsageError
from ecsnet.validation.wording import file_trouble

__all__ = ["draw_heat", "draw_timeline"]

DPI = 150


def draw_heat(heat: HeatMap, path: Path) -> None:
    """Draw a heat map, y downwards as on a screen.

    Args:
        heat: What to draw.
        path: Where to; its ending says in which format.

    Raises:
        UsageError: It cannot be written there.
    """
    rows, columns = len(heat.counts), len(heat.counts[0])
    # A wide world gets a wide picture, within reason, with its scale below.
    ratio = min(max(rows / columns, 0.1), 1.6)
    wide = ratio < 0.4
    figure = _figure(8.0, 8.0 * ratio * 0.85 + (2.0 if wide else 1.3))
    axes = figure.add_subplot()
    counts = [[count or float("nan") for count in row] for row in heat.counts]
    right, bottom = heat.left + columns * heat.cell, heat.top + rows * heat.cell
    axes.set_facecolor("#f4f4f6")  # where nobody was is not the darkest colour
    image = axes.imshow(
        counts,
        # Few places are visited much, many a little: a linear scale would show the few alone.
        norm=PowerNorm(0.5, vmin=1, vmax=max(2, *map(max, heat.counts))),
        cmap="viridis_r",
        extent=(heat.left, right, bottom, heat.top),
        origin="upper",
        aspect="equal",
        interpolation="nearest",
    )
    bar = figure.colorbar(
        image, ax=axes, location="bottom" if wide else "right", shrink=0.9, pad=0.02
    )
    bar.set_label("samples")
    bar.locator = MaxNLocator(integer=True, nbins=6)
    bar.update_ticks()
    whose = {"players": "players", "all": "all entities"}.get(str(heat.who), f"entity {heat.who}")
    axes.set_title(f"{heat.component}: where {whose} were", loc="left", fontweight="bold", pad=22)
    to_document = f"{_many(heat.samples, 'sample')} of {_many(heat.entities, 'entity')}"
    _below_title(axes, f"{to_document} in {_many(heat.matches, 'match')}")
    axes.set_xlabel(heat.x)
    axes.set_ylabel(heat.y)
    _save(figure, path)


def draw_timeline(timeline: Timeline, path: Path) -> None:
    """Draw an entity's values over ticks; what is not a number is left out.

    A line is broken where more than one sample is missing.

    Args:
        timeline: What to draw.
        path: Where to; its ending says in which format.

    Raises:
        UsageError: There is no number to draw, or it cannot be written there.
    """
    # What belongs to one component shares an axis: x and y compare, x and hit points do not.
    components: dict[str, list[tuple[Line, list[float]]]] = {}
    for line in timeline.lines:
        values = [float(value) for value in line.values if isinstance(value, int | float)]
        if len(values) == len(line.ticks):
            components.setdefault(line.component, []).append((line, values))
    if not components:
        fields = ", ".join(f"{line.component}.{line.field}" for line in timeline.lines)
        raise UsageError(f"no number to draw in {fields}: --json shows what it holds")
    figure = _figure(9.0, 1.4 + 2.6 * len(components))
    panels = figure.subplots(len(components), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (component, of) in zip(panels, components.items(), strict=True):
        for line, values in of:
            dots = "." if len(values) <= 60 else None
            drawn = _broken(line.ticks, values)
            axes.plot(*drawn, label=line.field, linewidth=1.5, marker=dots)
        for number, tick in enumerate(timeline.suspect):
            axes.axvline(
                tick,
                color="#d62728",
                alpha=0.35,
                linewidth=1,
                label=None if number else "past a limit",
                zorder=0,
            )
        axes.set_ylabel(f"{component}.{of[0][0].field}" if len(of) == 1 else component)
        if len(of) > 1 or timeline.suspect:
            axes.legend(loc="best", frameon=False, fontsize="small", ncols=min(len(of) + 1, 5))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("tick")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_title(f"Entity {timeline.entity}", loc="left", fontweight="bold", pad=22)
    rate = timeline.tick_rate
    _below_title(
        panels[0], f"match {timeline.match[:8]}" + (f", {rate:g} ticks a second" if rate else "")
    )
    _save(figure, path)


def _broken(ticks: Sequence[int], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return a line's points, with gaps for the samples that have no such component."""
    steps = [after - before for before, after in pairwise(ticks)]
    usual = median(steps) if steps else 0
    x, y = [*map(float, ticks[:1])], [*values[:1]]
    for step, tick, value in zip(steps, ticks[1:], values[1:], strict=True):
        if step > 2 * usual:
            x.append(tick - step / 2)
            y.append(nan)
        x.append(tick)
        y.append(value)
    return x, y


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _below_title(axes: Axes, text: str) -> None:
    axes.annotate(
        text,
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(0, 7),
        textcoords="offset points",
        color="#666666",
        fontsize="small",
    )


def _many(number: int, noun: str) -> str:
    plural = {"entity": "entities", "match": "matches"}.get(noun, f"{noun}s")
    return f"{number:,} {noun if number == 1 else plural}"


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {file_trouble(error)}") from error
