"""One plot of a sweep: a metric as curves over a parameter, a heat map over two, or a cloud over each of many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simcore.analysis.intervals import summarise
from simcore.analysis.tables import AnalysisError, column, numbers
from simcore.views.sweep_axes import (
    Units,
    finish_axes,
    formatter_of,
    is_numeric,
    new_figure,
    ordered,
    save_figure,
    scale_axis,
    value_text,
)

__all__ = ["COLOURS", "CURVES_LIMIT", "plot_curves", "plot_heat_map", "plot_scatter"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, which readers with any kind of colour vision can tell apart."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")

LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))

CURVES_LIMIT = len(COLOURS)


def plot_curves(
    table: Any,
    metric: str,
    over: str,
    by: str | None,
    path: Path,
    *,
    confidence: float = 0.95,
    note: str = "",
    units: Units = MappingProxyType({}),
) -> Path:
    """Draw a metric's mean and interval over one parameter, with a curve for every value of a second one.

    Raises:
        AnalysisError: more values of `by` than curves can be told apart, or a column is missing.
    """
    figure, axes = new_figure()
    values = ordered(table, over)
    curves = ordered(table, by) if by else [None]
    if len(curves) > CURVES_LIMIT:
        raise AnalysisError(
            f"{len(curves)} values of {by} are more than the {CURVES_LIMIT} curves that can be told apart"
        )
    rows = summarise(table, [over, *([by] if by else [])], [metric], confidence)
    numeric = is_numeric(table, over)
    for number, curve in enumerate(curves):
        chosen = {row[over]: row for row in rows if by is None or row[by] == curve}
        places = [index for index, value in enumerate(values) if value in chosen]
        x = np.array([float(values[index]) if numeric else index for index in places])
        if not numeric:
            x = x + 0.08 * (number - (len(curves) - 1) / 2)  # side by side, so that no interval hides another
        y = np.array([chosen[values[index]]["mean"] for index in places])
        half = np.nan_to_num([chosen[values[index]]["half_width"] for index in places])
        style: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number]}
        line = LINES[number] if numeric else "none"
        axes.errorbar(x, y, yerr=half, linestyle=line, capsize=3, label=_label(by, curve, units), **style)
        if numeric:
            axes.fill_between(x, y - half, y + half, color=COLOURS[number], alpha=0.12, linewidth=0)
    if numeric:
        scale_axis(axes, over, [float(value) for value in values], units)
    else:
        axes.set_xticks(range(len(values)), [value_text(over, value, units) for value in values])
        axes.set_xlim(-0.5, len(values) - 0.5)
    finish_axes(axes, table, over, metric, f"mean and {confidence:.0%} interval{note}")
    if by:
        axes.legend(title=by, frameon=False)
    return save_figure(figure, path)


def _label(by: str | None, curve: Any, units: Units) -> str | None:
    return None if by is None else value_text(by, curve, units)


def plot_heat_map(
    table: Any,
    metric: str,
    over: str,
    by: str,
    path: Path,
    *,
    note: str = "",
    units: Units = MappingProxyType({}),
) -> Path:
    """Draw a metric's mean over two parameters, with the value written into every cell."""
    figure, axes = new_figure()
    columns, lines = ordered(table, over), ordered(table, by)
    grid = np.full((len(lines), len(columns)), np.nan)
    for row in summarise(table, [over, by], [metric]):
        grid[lines.index(row[by]), columns.index(row[over])] = row["mean"]
    image = axes.imshow(grid, origin="lower", aspect="auto", cmap="cividis")
    formatter = formatter_of(metric, grid[~np.isnan(grid)])
    figure.colorbar(image, ax=axes, label=metric, format=formatter)
    if grid.size <= 120:
        middle = np.nanmean([np.nanmin(grid), np.nanmax(grid)])
        for (line, place), value in np.ndenumerate(grid):
            if not np.isnan(value):
                colour = "black" if value > middle else "white"
                axes.text(place, line, formatter(value), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(columns)), [value_text(over, value, units) for value in columns], rotation=30, ha="right")
    axes.set_yticks(range(len(lines)), [value_text(by, value, units) for value in lines])
    axes.set_xlabel(over)
    axes.set_ylabel(by)
    axes.set_title(f"{metric}, mean{note}", loc="left", fontsize=10)
    return save_figure(figure, path)


def plot_scatter(
    table: Any, metric: str, parameters: Sequence[str], path: Path, *, units: Units = MappingProxyType({})
) -> Path:
    """Draw a metric against every parameter of a sampled design, one panel each."""
    across = min(3, len(parameters))
    down = -(-len(parameters) // across)
    figure = Figure(figsize=(4.2 * across, 3.2 * down), layout="constrained")
    FigureCanvasAgg(figure)
    outcomes = numbers(table, metric)
    for number, name in enumerate(parameters):
        axes = figure.add_subplot(down, across, number + 1)
        if is_numeric(table, name):
            places = numbers(table, name)
            axes.plot(places, outcomes, "o", markersize=3, alpha=0.5, color=COLOURS[0])
            scale_axis(axes, name, [float(value) for value in places], units)
        else:
            values = ordered(table, name)
            places = np.array([values.index(value) for value in column(table, name)], dtype=np.float64)
            jitter = np.linspace(-0.2, 0.2, places.size)
            axes.plot(places + jitter, outcomes, "o", markersize=3, alpha=0.5, color=COLOURS[0])
            axes.set_xticks(range(len(values)), [value_text(name, value, units) for value in values])
        axes.set_xlabel(name)
        axes.yaxis.set_major_formatter(formatter_of(metric, outcomes[~np.isnan(outcomes)]))
        axes.grid(alpha=0.25)
        if number % across == 0:
            axes.set_ylabel(metric)
    return save_figure(figure, path)
