"""Which plots suit a sweep: curves and a heat map for a grid, clouds for a sample; and drawing them all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from simcore.analysis.tables import column, groups, numbers
from simcore.views.sweep_axes import Units, is_numeric
from simcore.views.sweep_plots import CURVES_LIMIT, plot_curves, plot_heat_map, plot_scatter

__all__ = ["plot_sweep"]

SCATTER_FROM = 12
"""Distinct values from which a sampled parameter is shown as a cloud and not as a curve."""


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
        over = max(varied, key=lambda key: (is_numeric(table, key), distinct[key]))
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


def _is_sample(table: Any, varied: Sequence[str], distinct: dict[str, int]) -> bool:
    """Tell a sampled design from a grid: several parameters, of which one hardly ever takes a value twice."""
    points = len(set(zip(*(column(table, name) for name in varied), strict=True)))
    widest = max(distinct[name] for name in varied)
    return len(varied) > 1 and widest >= SCATTER_FROM and points < 2 * widest
