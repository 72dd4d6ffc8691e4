"""The figure of a comparison: the real run over the simulations' range, by secret pages held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.host.compare import Outcome
from simcore.result import Result

__all__ = ["draw_comparison"]

_PANELS = (
    ("direct_map.level2_splits", "new 2M splits", 1),
    ("direct_map.4k_bytes", "DirectMap4k, change (MiB)", 1 << 20),
    ("memory.free_bytes", "free memory, change (MiB)", 1 << 20),
    ("time", "time (ms)", 1_000_000),
)


def draw_comparison(outcome: Outcome, path: Path) -> Path:
    """Draw four panels over the number of secret pages, up to the peak; returns the file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - only when it draws
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(2, 2)
    most = int(max(outcome.real.series["secretmem.pages"]))
    grid = np.linspace(0, most, 200)
    for axis, (name, title, unit) in zip(axes.flat, _PANELS, strict=True):
        curves = np.array([_at(result, name, grid) / unit for result in outcome.simulated])
        axis.fill_between(grid, curves.min(axis=0), curves.max(axis=0), color="#9ecae1", label="simulated, range")
        axis.plot(grid, np.median(curves, axis=0), color="#2171b5", lw=1.5, label="simulated, median")
        axis.plot(grid, _at(outcome.real, name, grid) / unit, color="#cb181d", lw=1.5, label="real")
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_xlabel("secret pages")
        axis.spines[["top", "right"]].set_visible(False)
    axes.flat[0].legend(frameon=False, fontsize=9)
    release = outcome.snapshot.kernel.release
    figure.suptitle(f"{outcome.real.name} on Linux {release}, {len(outcome.simulated)} placements", fontsize=11)
    figure.savefig(path, dpi=130)
    return path


def _at(result: Result, name: str, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a series, as a change since the start, at numbers of secret pages on the way up."""
    series = result.series
    pages = np.asarray(series["secretmem.pages"], float)
    end = int(np.argmax(pages)) + 1
    values = np.asarray(series.time_ns if name == "time" else series[name], float)[:end]
    rising, first = np.unique(np.maximum.accumulate(pages[:end]), return_index=True)
    curve: NDArray[np.float64] = np.interp(grid, rising, values[first] - values[0])
    return curve
