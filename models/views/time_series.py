"""A run at a glance: tiling, splits and their rate, secret and free memory, costs, bystanders, over one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from simcore.result import Result
from simcore.views.picture import PALETTE, Picture, save
from simcore.views.rates import rate_of
from simcore.views.scale import dress, scale_of
from simcore.views.series import stacked
from simcore.views.tracks import track_of

__all__ = ["COSTS", "TILING", "draw", "overview"]

TILING: Final = {"direct_map.1g_bytes": "1G", "direct_map.2m_bytes": "2M", "direct_map.4k_bytes": "4K"}
COSTS: Final = {"tlb.flush_ns": "flushes", "tlb.reach_ns": "reach", "tlb.refill_ns": "refill"}
_TILING_COLOURS: Final = ("#08519c", "#9ecae1", "#E69F00")
_STYLES: Final = ("-", "--", ":", "-.")


def draw(result: Result, directory: Path) -> Path | None:
    """Draw a run's overview into a directory; None for a run of another model."""
    if not all(name in result.series for name in TILING):
        return None
    path = directory / "overview.png"
    overview(result, path)
    return path


def overview(result: Result, path: Path | str | None = None) -> Picture:
    """Draw what happened to the direct map, why, and what it cost; panels of things that never changed are left out.

    Args:
        result: a run of the direct map's model.
        path: where to save.
    """
    series = result.series
    slow = [name for name in series if name.startswith("bystander.") and name.endswith(".slowdown")]
    panels: list[tuple[str, dict[str, str]]] = [
        ("tiling", dict(TILING)),
        ("4K entries", {"direct_map.4k_bytes": "4K"}),
        ("splits", {"direct_map.level2_splits": "2M split", "direct_map.level3_splits": "1G split",
                    "direct_map.level2_collapses": "2M collapsed", "direct_map.level3_collapses": "1G collapsed"}),
        ("splits per second", {"direct_map.level2_splits": "2M", "direct_map.level3_splits": "1G"}),
        ("out of the direct map", {"direct_map.unmapped_bytes": "unmapped"}),
        ("secret pages", {"secretmem.pages": "pages"}),
        ("free memory", {"memory.free_bytes": "free"}),
        ("cost of translation so far", dict(COSTS)),
        ("slowdown of bystanders", {name: name.split(".")[1] for name in slow}),
    ]  # fmt: skip
    shown = [
        (title, moving)
        for title, names in panels
        if (moving := {name: label for name, label in names.items() if name in series and _changes(result, name)})
    ]
    columns = 2
    lines = -(-len(shown) // columns)
    picture = Picture(9.6, 2.3 * max(lines, 1) + 0.6)
    axes = picture.subplots(max(lines, 1), columns, squeeze=False).flat
    for number, axis in enumerate(axes):
        if number >= len(shown):
            axis.set_visible(False)
            continue
        title, names = shown[number]
        if title == "tiling":
            stacked(result, list(TILING), list(TILING.values()), colors=_TILING_COLOURS, ax=axis)
        elif title.startswith("cost"):
            stacked(result, list(names), list(names.values()), ax=axis)
        elif title.endswith("per second"):
            _rates(axis, result, names)
        else:
            _steps(axis, result, names)
        axis.set_title(title, fontsize=9, loc="left")
        if number + columns < len(shown):
            axis.set_xlabel("")
    picture.suptitle(result.name.replace("$", r"\$"), fontsize=11)
    if path is not None:
        save(picture, path)
    return picture


def _changes(result: Result, name: str) -> bool:
    high, low = result.series.high(name), result.series.low(name)
    return bool(np.any(~np.isnan(high))) and bool(np.nanmin(low) < np.nanmax(high))


def _steps(axis: Axes, result: Result, names: dict[str, str]) -> None:
    end_ns = int(result.summary["simulated_ns"])
    time = scale_of("time_ns", end_ns)
    tracks = {name: track_of(result, name) for name in names}
    scale = scale_of(next(iter(names)), max(float(np.nanmax(np.abs(track.high))) for track in tracks.values()))
    for number, (name, label) in enumerate(names.items()):
        track, colour = tracks[name], PALETTE[number % len(PALETTE)]
        moments = track.time_ns / time.factor
        if np.any(track.low < track.high):
            low, high = track.low / scale.factor, track.high / scale.factor
            axis.fill_between(moments, low, high, step="pre", color=colour, alpha=0.35, lw=0)
        style = _STYLES[number % len(_STYLES)]
        axis.step(moments, track.values / scale.factor, where="post", color=colour, lw=1.1, ls=style, label=label)
    _finish(axis, end_ns, scale.label, list(names))


def _rates(axis: Axes, result: Result, names: dict[str, str]) -> None:
    end_ns = int(result.summary["simulated_ns"])
    time = scale_of("time_ns", end_ns)
    for number, (name, label) in enumerate(names.items()):
        moments, rate = rate_of(result, name)
        style = _STYLES[number % len(_STYLES)]
        axis.step(moments / time.factor, rate, where="post", color=PALETTE[number], lw=1.1, ls=style, label=label)
    _finish(axis, end_ns, "1/s", list(names))


def _finish(axis: Axes, end_ns: int, unit: str, names: Sequence[str]) -> None:
    time = scale_of("time_ns", end_ns)
    dress(axis, time, end_ns)
    axis.set_xlabel(f"simulated time [{time.label}]")
    if unit:
        axis.set_ylabel(f"[{unit}]")
    if len(names) > 1:
        axis.legend(loc="best", frameon=False, fontsize=8)
