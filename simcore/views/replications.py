"""Replications of one experiment as one picture: the mean of each series over time, and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from simcore.errors import SimcoreError
from simcore.result import Result
from simcore.views.picture import PALETTE, Picture, save
from simcore.views.scale import dress, scale_of
from simcore.views.tracks import choose

__all__ = ["Band", "band_of", "replication_bands"]

_MOMENTS = 400


@dataclass(frozen=True)
class Band:
    """A series over several runs.

    Attributes:
        time_ns: Moments, shape (n,).
        mean: Average over the runs at each of them.
        low: Lower end of the pointwise interval; the mean where it has none.
        high: Upper end.
        least: Smallest value that any run had since the moment before.
        most: Largest value that any run had since the moment before.
    """

    time_ns: NDArray[np.int64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    least: NDArray[np.float64]
    most: NDArray[np.float64]


def band_of(results: Sequence[Result], name: str, confidence: float = 0.95) -> Band:
    """Return the mean of a series over runs, and Student's t interval at each moment.

    A run that has ended keeps its final values. The intervals hold for each moment by itself, not for the
    curve as a whole.

    Raises:
        SimcoreError: Fewer than two runs, or one without the series.
    """
    if len(results) < 2:
        raise SimcoreError("an interval needs two replications or more")
    end_ns = max(int(result.summary["simulated_ns"]) for result in results)
    moments = np.linspace(0, end_ns, _MOMENTS).astype(np.int64)
    cells = np.array([_sampled(result, name, moments) for result in results])
    values = cells[:, 0]
    mean = values.mean(0)
    half = stats.t.ppf((1 + confidence) / 2, len(results) - 1) * values.std(0, ddof=1) / np.sqrt(len(results))
    return Band(moments, mean, mean - half, mean + half, cells[:, 1].min(0), cells[:, 2].max(0))


def _sampled(result: Result, name: str, moments: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return value, smallest and largest since the moment before, shape (3, moments)."""
    series = result.series
    times = series.time_ns
    values = series[name].astype(np.float64)
    if len(times) == 0:
        raise SimcoreError(f"the run {result.name!r} recorded nothing of {name!r}")
    held = np.maximum(np.searchsorted(times, moments, side="right") - 1, 0)
    sampled = np.array([values[held]] * 3)
    slots = np.minimum(np.searchsorted(moments, times, side="left"), len(moments) - 1)
    np.fmin.at(sampled[1], slots, series.low(name).astype(np.float64))
    np.fmax.at(sampled[2], slots, series.high(name).astype(np.float64))
    return sampled


def replication_bands(
    results: Sequence[Result],
    names: Sequence[str] | None = None,
    path: Path | str | None = None,
    confidence: float = 0.95,
) -> Picture:
    """Draw one small panel per series: the mean over runs, its interval, and thinly what any run reached.

    Args:
        results: Replications, two or more.
        names: Series by name or shell pattern; None takes those that ever change.
        path: Where to save.
        confidence: Coverage of the intervals.

    Raises:
        SimcoreError: Fewer than two runs, or a name or pattern that no series has.
    """
    chosen = choose(results, names)
    columns = 1 if len(chosen) == 1 else 2 if len(chosen) <= 8 else 3
    lines = max(-(-len(chosen) // columns), 1)
    picture = Picture(4.4 * columns + 0.6, 1.9 * lines + 0.9)
    panels: Any = picture.subplots(lines, columns, squeeze=False).flat
    for number, panel in enumerate(panels):
        if number >= len(chosen):
            panel.set_visible(False)
            continue
        name = chosen[number]
        band = band_of(results, name, confidence)
        end_ns = int(band.time_ns[-1])
        time_scale, scale = scale_of("time_ns", end_ns), scale_of(name, float(np.nanmax(np.abs(band.most))))
        time = band.time_ns / time_scale.factor
        panel.fill_between(time, band.least / scale.factor, band.most / scale.factor, color="0.9", lw=0, label="range")
        interval = f"{confidence:.0%} interval"
        panel.fill_between(
            time, band.low / scale.factor, band.high / scale.factor, color=PALETTE[3], lw=0, alpha=0.6, label=interval
        )
        panel.plot(time, band.mean / scale.factor, color=PALETTE[0], lw=1.1, label=f"mean of {len(results)} runs")
        panel.set_title(f"{name} [{scale.label}]" if scale.label else name, fontsize=9, loc="left")
        dress(panel, time_scale, end_ns)
        if number + columns >= len(chosen):
            panel.set_xlabel(f"simulated time [{time_scale.label}]")
    handles, labels = picture.axes[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    if path is not None:
        save(picture, path)
    return picture
