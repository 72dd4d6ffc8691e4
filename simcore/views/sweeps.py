"""Plots of a sweep: a metric over a parameter with its interval, curves by a second, a heat map over two."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from simcore.analysis.intervals import summarise
from simcore.analysis.tables import AnalysisError, column, groups, numbers
from simcore.units import format_bytes, format_ns

__all__ = ["plot_curves", "plot_heat_map", "plot_scatter", "plot_sweep"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, which readers with any kind of colour vision can tell apart."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
CURVES_LIMIT = len(COLOURS)
SCATTER_FROM = 12
"""Distinct values from which a sampled parameter is shown as a cloud and not as a curve."""


Units = Mapping[str, str]
"""Unit of parameters whose name does not tell it: `bytes` or `ns`, by name."""


def plot_sweep(
    table: Any,
    parameters: Sequence[str],
    metrics: Sequence[str],
    directory: Path,
    units: Units = MappingProxyType({}),
) -> list[Path]:
    """Draw what suits the design, for every metric: curves and a heat map for grids, clouds for samples.

    Where more parameters vary than a plot shows, runs are first averaged over the others within each
    replication, so that an interval counts independent values only.

    Args:
        table: any table, one row per run.
        parameters: varied keys, in the design's order.
        metrics: numeric columns.
        directory: where the PNGs go.
        units: of parameters.

    Returns:
        The files made.
    """
    distinct = {name: len(set(column(table, name))) for name in parameters}
    varied = [name for name in parameters if distinct[name] > 1]
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for metric in metrics:
        name = re.sub(r"[^\w.]+", "-", metric).strip("-")
        if not varied:
            continue
        if _is_sample(table, varied, distinct):
            made.append(plot_scatter(table, metric, varied, directory / f"{name}.png", units=units))
            continue
        over = max(varied, key=lambda key: (_is_numeric(table, key), distinct[key]))
        others = [key for key in varied if key != over]
        by = min(others, key=lambda key: distinct[key]) if others else None
        hidden = [key for key in others if key != by]
        shown = _averaged(table, [over, *([by] if by else [])], metric) if hidden else table
        note = f", averaged over {', '.join(hidden)}" if hidden else ""
        if by is None or distinct[by] <= CURVES_LIMIT:
            path = directory / f"{name}.png"
            made.append(plot_curves(shown, metric, over, by, path, note=note, units=units))
        if by is not None:
            path = directory / f"{name}.map.png"
            made.append(plot_heat_map(shown, metric, over, by, path, note=note, units=units))
    return made


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
    figure, axes = _figure()
    values = _ordered(table, over)
    curves = _ordered(table, by) if by else [None]
    if len(curves) > CURVES_LIMIT:
        raise AnalysisError(
            f"{len(curves)} values of {by} are more than the {CURVES_LIMIT} curves that can be told apart"
        )
    rows = summarise(table, [over, *([by] if by else [])], [metric], confidence)
    numeric = _is_numeric(table, over)
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
        _scale(axes, over, [float(value) for value in values], units)
    else:
        axes.set_xticks(range(len(values)), [_value(over, value, units) for value in values])
        axes.set_xlim(-0.5, len(values) - 0.5)
    _finish(axes, table, over, metric, f"mean and {confidence:.0%} interval{note}")
    if by:
        axes.legend(title=by, frameon=False)
    return _save(figure, path)


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
    figure, axes = _figure()
    columns, lines = _ordered(table, over), _ordered(table, by)
    grid = np.full((len(lines), len(columns)), np.nan)
    for row in summarise(table, [over, by], [metric]):
        grid[lines.index(row[by]), columns.index(row[over])] = row["mean"]
    image = axes.imshow(grid, origin="lower", aspect="auto", cmap="cividis")
    formatter = _formatter(metric, grid[~np.isnan(grid)])
    figure.colorbar(image, ax=axes, label=metric, format=formatter)
    if grid.size <= 120:
        middle = np.nanmean([np.nanmin(grid), np.nanmax(grid)])
        for (line, place), value in np.ndenumerate(grid):
            if not np.isnan(value):
                colour = "black" if value > middle else "white"
                axes.text(place, line, formatter(value), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(
        range(len(columns)), [_value(over, value, units) for value in columns], rotation=30, ha="right"
    )
    axes.set_yticks(range(len(lines)), [_value(by, value, units) for value in lines])
    axes.set_xlabel(over)
    axes.set_ylabel(by)
    axes.set_title(f"{metric}, mean{note}", loc="left", fontsize=10)
    return _save(figure, path)


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
        if _is_numeric(table, name):
            places = numbers(table, name)
            axes.plot(places, outcomes, "o", markersize=3, alpha=0.5, color=COLOURS[0])
            _scale(axes, name, [float(value) for value in places], units)
        else:
            values = _ordered(table, name)
            places = np.array([values.index(value) for value in column(table, name)], dtype=np.float64)
            jitter = np.linspace(-0.2, 0.2, places.size)
            axes.plot(places + jitter, outcomes, "o", markersize=3, alpha=0.5, color=COLOURS[0])
            axes.set_xticks(range(len(values)), [_value(name, value, units) for value in values])
        axes.set_xlabel(name)
        axes.yaxis.set_major_formatter(_formatter(metric, outcomes[~np.isnan(outcomes)]))
        axes.grid(alpha=0.25)
        if number % across == 0:
            axes.set_ylabel(metric)
    return _save(figure, path)


def _averaged(table: Any, keys: Sequence[str], metric: str) -> dict[str, list[Any]]:
    """Return one row per combination of the keys and replication: the mean over everything else."""
    values = numbers(table, metric)
    made: dict[str, list[Any]] = {name: [] for name in (*keys, "replication", metric)}
    for key, members in groups(table, [*keys, "replication"]).items():
        known = values[members][~np.isnan(values[members])]
        for name, value in zip((*keys, "replication"), key, strict=True):
            made[name].append(value)
        made[metric].append(float(known.mean()) if known.size else None)
    return made


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _save(figure: Figure, path: Path) -> Path:
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png", dpi=130)
    temporary.replace(path)
    return path


def _finish(axes: Axes, table: Any, over: str, metric: str, shown: str) -> None:
    outcomes = numbers(table, metric)
    axes.yaxis.set_major_formatter(_formatter(metric, outcomes[~np.isnan(outcomes)]))
    axes.set_xlabel(over)
    axes.set_ylabel(metric)
    axes.set_title(f"{metric}, {shown}", loc="left", fontsize=10)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _scale(axes: Axes, name: str, values: Sequence[float], units: Units) -> None:
    """Use a log axis for values over more than a decade and a half, and ticks at the values when few."""
    distinct = sorted(set(values))
    if distinct[0] > 0 and distinct[-1] / distinct[0] >= 30:
        axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(_formatter(name, np.array(distinct), units))
    if len(distinct) <= 8:
        axes.set_xticks(distinct)
        axes.minorticks_off()


def _formatter(name: str, values: Any, units: Units = MappingProxyType({})) -> FuncFormatter:
    """Return how to write values: as sizes or times when name or values say so."""
    whole = np.asarray(values, dtype=np.float64)
    if name.endswith("_ns") or units.get(name) == "ns":
        return FuncFormatter(lambda value, _=None: format_ns(value))
    looks_like_size = whole.size > 0 and bool(np.all((whole >= 1 << 20) & (whole % 4096 == 0)))
    if name.endswith("_bytes") or looks_like_size or units.get(name) == "bytes":
        return FuncFormatter(lambda value, _=None: format_bytes(value))
    return FuncFormatter(lambda value, _=None: f"{value:.4g}")


def _value(name: str, value: Any, units: Units) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return str(_formatter(name, np.array([value]), units)(value))


def _label(by: str | None, curve: Any, units: Units) -> str | None:
    return None if by is None else _value(by, curve, units)


def _ordered(table: Any, name: str) -> list[Any]:
    """Return distinct values: numbers by size, others in order of appearance."""
    values = list(dict.fromkeys(column(table, name)))
    return sorted(values) if _is_numeric(table, name) else values


def _is_numeric(table: Any, name: str) -> bool:
    return all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in column(table, name)
    )


def _is_sample(table: Any, varied: Sequence[str], distinct: dict[str, int]) -> bool:
    """Tell a sampled design from a grid: several parameters, of which one hardly ever takes a value twice."""
    points = len(set(zip(*(column(table, name) for name in varied), strict=True)))
    widest = max(distinct[name] for name in varied)
    return len(varied) > 1 and widest >= SCATTER_FROM and points < 2 * widest
