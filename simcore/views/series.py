"""Series over time: small multiples and stacked areas, readable in print and without colour vision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from simcore.errors import SimcoreError, nearest_name
from simcore.result import Result
from simcore.run_directory import write_atomically
from simcore.units import BYTE_UNITS, TIME_UNITS

__all__ = [
    "PALETTE",
    "Picture",
    "Scale",
    "Track",
    "choose",
    "dress",
    "save",
    "scale_of",
    "small_multiples",
    "stacked",
    "track_of",
]

#: Okabe and Ito's colours, which readers with any colour vision tell apart ("Color Universal Design", 2008);
#: ordered so that neighbours differ in lightness too.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#F0E442", "#CC79A7", "#000000")

#: More points than a panel has dots are merged into bins of time, with their extremes.
_BINS = 500
_DOTS_PER_INCH = 150


class Picture(Figure):
    """A figure that notebooks show without pyplot, and so without global state."""

    def __init__(self, width_inches: float, height_inches: float) -> None:
        super().__init__(figsize=(width_inches, height_inches), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        content = BytesIO()
        self.savefig(content, format="png", dpi=_DOTS_PER_INCH)
        return content.getvalue()


@dataclass(frozen=True)
class Scale:
    """A unit for an axis: divide by ``factor``, write ``label``."""

    factor: float
    label: str


@dataclass(frozen=True)
class Track:
    """One series ready to draw as steps: each value holds from its time to the next.

    Attributes:
        time_ns: Moments, the end of the run last, shape (n,).
        values: Value from each moment on, shape (n,).
        low: Smallest value since the moment before, shape (n,).
        high: Largest value since the moment before, shape (n,).
    """

    time_ns: NDArray[np.int64]
    values: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]


def scale_of(name: str, largest: float) -> Scale:
    """Return the unit in which values of a series read well: sizes in KiB to PiB, times in us to d."""
    if name.endswith("_bytes"):
        return _fitting(
            largest, {unit: BYTE_UNITS[unit] for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB")}
        )
    if name.endswith("_ns"):
        return _fitting(largest, {unit: TIME_UNITS[unit] for unit in ("ns", "us", "ms", "s", "h", "d")})
    return Scale(1, "")


def _fitting(largest: float, units: Mapping[str, int]) -> Scale:
    """Return the largest unit of which there are two or more, else the smallest."""
    fitting = [unit for unit, factor in units.items() if largest >= 2 * factor]
    unit = fitting[-1] if fitting else next(iter(units))
    return Scale(units[unit], unit)


def track_of(result: Result, name: str, at_most: int = _BINS) -> Track:
    """Return a series ready to draw; a long one merged into ``at_most`` bins of time without losing its peaks."""
    series = result.series
    end_ns = int(result.summary["simulated_ns"])
    time_ns, values = series.time_ns, series[name]
    low, high = series.low(name), series.high(name)
    if len(time_ns) > 2 * at_most:
        bins = (time_ns - time_ns[0]) * at_most // max(int(time_ns[-1] - time_ns[0]), 1)
        starts = np.flatnonzero(np.append(True, bins[1:] != bins[:-1]))
        ends = np.append(starts[1:], len(bins)) - 1
        low, high = np.fmin.reduceat(low, starts), np.fmax.reduceat(high, starts)
        time_ns, values = time_ns[ends], values[ends]
    if len(time_ns) and time_ns[-1] < end_ns:
        time_ns = np.append(time_ns, end_ns)
        values, low, high = (np.append(cells, cells[-1]) for cells in (values, low, high))
        low[-1] = high[-1] = values[-1]
    return Track(time_ns, values, low, high)


def small_multiples(
    results: Result | Sequence[Result],
    names: Sequence[str] | None = None,
    path: Path | str | None = None,
    labels: Sequence[str] | None = None,
) -> Picture:
    """Draw one small panel per series, all over the same time.

    Args:
        results: A run, or several to lay over each other.
        names: Series by name or shell pattern; None takes those that ever change.
        path: Where to save.
        labels: Names of the runs, for a legend; those of the experiments if None.

    Raises:
        SimcoreError: A name or pattern that no series has.
    """
    runs = [results] if isinstance(results, Result) else list(results)
    chosen = choose(runs, names)
    columns = 1 if len(chosen) == 1 else 2 if len(chosen) <= 8 else 3
    lines = max(-(-len(chosen) // columns), 1)
    picture = Picture(4.4 * columns + 0.6, 1.9 * lines + 0.9)
    end_ns = max(int(run.summary["simulated_ns"]) for run in runs)
    time_scale = scale_of("time_ns", end_ns)
    panels = picture.subplots(lines, columns, squeeze=False).flat
    for number, panel in enumerate(panels):
        if number >= len(chosen):
            panel.set_visible(False)
            continue
        _panel(panel, runs, chosen[number], time_scale, end_ns)
        if number + columns >= len(chosen):
            panel.set_xlabel(f"simulated time [{time_scale.label}]")
    title = runs[0].name if len(runs) == 1 else ""
    if len(runs) > 1:
        handles = picture.axes[0].get_lines()
        names_of_runs = list(labels) if labels is not None else [run.name for run in runs]
        picture.legend(
            handles, _plain(names_of_runs), loc="outside upper center", ncols=min(len(runs), 4), frameon=False
        )
    _finish(picture, title, path)
    return picture


def _panel(panel: Axes, runs: Sequence[Result], name: str, time_scale: Scale, end_ns: int) -> None:
    tracks = [track_of(run, name) for run in runs]
    largest = max(
        (float(np.nanmax(np.abs(track.high))) for track in tracks if _any_number(track.high)), default=0.0
    )
    scale = scale_of(name, largest)
    for number, track in enumerate(tracks):
        colour = PALETTE[number % len(PALETTE)]
        time = track.time_ns / time_scale.factor
        width = 1.1
        if np.any(track.low < track.high):
            width = 0.7
            # The extremes of a row belong to the time before it.
            panel.fill_between(
                time,
                track.low / scale.factor,
                track.high / scale.factor,
                step="pre",
                color=colour,
                alpha=0.35,
                lw=0,
            )
        style = ("-", "--", ":", "-.")[number // len(PALETTE) % 4]
        panel.step(time, track.values / scale.factor, where="post", color=colour, lw=width, ls=style)
    panel.set_title(_plain([f"{name} [{scale.label}]" if scale.label else name])[0], fontsize=9, loc="left")
    dress(panel, time_scale, end_ns)


def stacked(
    result: Result,
    names: Sequence[str],
    labels: Sequence[str] | None = None,
    path: Path | str | None = None,
    *,
    colors: Sequence[str] | None = None,
    title: str | None = None,
    ylabel: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw series of one unit as areas stacked upon each other: parts of a whole over time.

    Args:
        result: The run.
        names: Series from the bottom up; their names end alike (``_bytes``), and so do their units.
        labels: What the legend says; the names if None.
        path: Where to save.
        colors: One per series; the palette if None.
        title: Above the figure; the experiment's name if None.
        ylabel: What the sum is.
        ax: Draw here instead of in a new figure; then nothing is saved unless ``path`` says so.

    Raises:
        SimcoreError: No such series.
    """
    picture: Figure = Picture(8.0, 4.2) if ax is None else ax.figure  # type: ignore[assignment]
    panel = picture.subplots() if ax is None else ax
    series = result.series
    end_ns = int(result.summary["simulated_ns"])
    time_scale = scale_of("time_ns", end_ns)
    tracks = [track_of(result, name) for name in names]
    time = tracks[0].time_ns / time_scale.factor
    sums = np.cumsum([np.nan_to_num(track.values.astype(np.float64)) for track in tracks], axis=0)
    scale = scale_of(names[0], float(sums[-1].max()) if len(series) else 0.0)
    below = np.zeros(len(time))
    colours = colors or PALETTE
    for number, (name, top) in enumerate(zip(names, sums / scale.factor, strict=True)):
        panel.fill_between(
            time,
            below,
            top,
            step="post",
            color=colours[number % len(colours)],
            label=_plain([labels[number] if labels else name])[0],
            lw=0,
        )
        if len(time) < _BINS // 2:
            # A thin edge keeps neighbours apart in black and white; over many steps it would hide them.
            panel.step(time, top, where="post", color="white", lw=0.6)
        below = top
    panel.set_ylabel(f"{ylabel or ''} [{scale.label}]".strip() if scale.label else ylabel or "")
    panel.set_xlabel(f"simulated time [{time_scale.label}]")
    panel.set_ylim(bottom=0)
    dress(panel, time_scale, end_ns)
    panel.margins(y=0.02)
    handles, texts = panel.get_legend_handles_labels()
    # In the order in which the areas lie.
    panel.legend(handles[::-1], texts[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    _finish(picture, title if title is not None else result.name if ax is None else "", path)
    return picture


def save(figure: Figure, path: Path | str) -> Path:
    """Write a figure under a temporary name and rename it; the suffix says the format.

    Raises:
        OutputError: The disk refuses.
    """
    path = Path(path)
    suffix = path.suffix.lstrip(".") or "png"

    def write(temporary: Path) -> None:
        # No date inside, so that the same run gives the same file.
        metadata = {"Date": None} if suffix in {"svg", "pdf"} else None
        figure.savefig(temporary, format=suffix, dpi=_DOTS_PER_INCH, metadata=metadata)

    write_atomically(path, write)
    return path


def _finish(picture: Figure, title: str, path: Path | str | None) -> None:
    if title:
        picture.suptitle(_plain([title])[0], fontsize=11)
    if path is not None:
        save(picture, path)


def choose(runs: Sequence[Result], names: Sequence[str] | None) -> list[str]:
    """Return names of series that runs have.

    Args:
        runs: The runs.
        names: Names or shell patterns; None: those that ever change.

    Raises:
        SimcoreError: A name or pattern that no series has.
    """
    known = sorted({name for run in runs for name in run.series})
    if names is None:
        changing = [name for name in known if any(_changes(run, name) for run in runs if name in run.series)]
        return changing or known
    chosen: list[str] = []
    for pattern in names:
        found = [name for name in known if name == pattern or fnmatchcase(name, pattern)]
        if not found:
            nearest = nearest_name(pattern, known)
            raise SimcoreError(f"no series {pattern!r}" + (f"; did you mean {nearest!r}?" if nearest else ""))
        chosen += [name for name in found if name not in chosen]
    return chosen


def _changes(run: Result, name: str) -> bool:
    low, high = run.series.low(name), run.series.high(name)
    return _any_number(high) and bool(np.nanmin(low) < np.nanmax(high))


def _any_number(values: NDArray[Any]) -> bool:
    return bool(np.any(~np.isnan(values)))


def dress(panel: Axes, time_scale: Scale, end_ns: int) -> None:
    """Give a panel its time axis, plain numbers and a light grid."""
    panel.set_xlim(0, max(end_ns / time_scale.factor, 1e-9))
    panel.xaxis.set_major_locator(MaxNLocator(6))
    low, high = panel.get_ylim()
    if max(abs(low), abs(high)) >= 1e5:
        panel.yaxis.set_major_formatter(EngFormatter(sep=""))
    else:
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    panel.yaxis.set_major_locator(MaxNLocator(5))
    panel.grid(True, color="0.9", lw=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8)


def _plain(texts: Sequence[str]) -> list[str]:
    """Escape what Matplotlib would read as mathematics."""
    return [text.replace("$", r"\$") for text in texts]
