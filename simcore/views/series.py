"""Series over time: small multiples and stacked areas, readable in print and without colour vision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simcore.result import Result
from simcore.views.picture import PALETTE, Picture, finish, plain
from simcore.views.scale import Scale, dress, scale_of
from simcore.views.tracks import BINS, any_number, choose, track_of

__all__ = ["small_multiples", "stacked"]


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
            handles, plain(names_of_runs), loc="outside upper center", ncols=min(len(runs), 4), frameon=False
        )
    finish(picture, title, path)
    return picture


def _panel(panel: Axes, runs: Sequence[Result], name: str, time_scale: Scale, end_ns: int) -> None:
    tracks = [track_of(run, name) for run in runs]
    largest = max((float(np.nanmax(np.abs(track.high))) for track in tracks if any_number(track.high)), default=0.0)
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
    panel.set_title(plain([f"{name} [{scale.label}]" if scale.label else name])[0], fontsize=9, loc="left")
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
            label=plain([labels[number] if labels else name])[0],
            lw=0,
        )
        if len(time) < BINS // 2:
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
    finish(picture, title if title is not None else result.name if ax is None else "", path)
    return picture
