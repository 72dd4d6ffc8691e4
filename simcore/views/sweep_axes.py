"""Axes of a sweep's plots: values in order, ticks with units, titles, and the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from simcore.analysis.tables import column, numbers
from simcore.units import format_bytes, format_ns

__all__ = [
    "Units",
    "finish_axes",
    "formatter_of",
    "is_numeric",
    "new_figure",
    "ordered",
    "save_figure",
    "scale_axis",
    "value_text",
]

Units = Mapping[str, str]
"""Unit of parameters whose name does not tell it: `bytes` or `ns`, by name."""


def new_figure() -> tuple[Figure, Axes]:
    """Return a figure of one plot and its axes."""
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG under a temporary name, rename it, and return its path."""
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png", dpi=130)
    temporary.replace(path)
    return path


def finish_axes(axes: Axes, table: Any, over: str, metric: str, shown: str) -> None:
    """Give axes their labels, title, grid and ticks of the metric."""
    outcomes = numbers(table, metric)
    axes.yaxis.set_major_formatter(formatter_of(metric, outcomes[~np.isnan(outcomes)]))
    axes.set_xlabel(over)
    axes.set_ylabel(metric)
    axes.set_title(f"{metric}, {shown}", loc="left", fontsize=10)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def scale_axis(axes: Axes, name: str, values: Sequence[float], units: Units) -> None:
    """Use a log axis for values over more than a decade and a half, and ticks at the values when few."""
    distinct = sorted(set(values))
    if distinct[0] > 0 and distinct[-1] / distinct[0] >= 30:
        axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(formatter_of(name, np.array(distinct), units))
    if len(distinct) <= 8:
        axes.set_xticks(distinct)
        axes.minorticks_off()


def formatter_of(name: str, values: Any, units: Units = MappingProxyType({})) -> FuncFormatter:
    """Return how to write values: as sizes or times when name or values say so."""
    whole = np.asarray(values, dtype=np.float64)
    if name.endswith("_ns") or units.get(name) == "ns":
        return FuncFormatter(lambda value, _=None: format_ns(value))
    looks_like_size = whole.size > 0 and bool(np.all((whole >= 1 << 20) & (whole % 4096 == 0)))
    if name.endswith("_bytes") or looks_like_size or units.get(name) == "bytes":
        return FuncFormatter(lambda value, _=None: format_bytes(value))
    return FuncFormatter(lambda value, _=None: f"{value:.4g}")


def value_text(name: str, value: Any, units: Units) -> str:
    """Return a value of a parameter as a tick or legend shows it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return str(formatter_of(name, np.array([value]), units)(value))


def ordered(table: Any, name: str) -> list[Any]:
    """Return distinct values: numbers by size, others in order of appearance."""
    values = list(dict.fromkeys(column(table, name)))
    return sorted(values) if is_numeric(table, name) else values


def is_numeric(table: Any, name: str) -> bool:
    """Tell whether all values of a column are numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in column(table, name))
