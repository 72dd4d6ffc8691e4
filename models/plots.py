"""The picture of a run: bytes of the direct map at 4K, 2M and 1G stacked over time, the 4K part alone, splits."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from simcore.result import Result
from simcore.views.picture import PALETTE, Picture, save
from simcore.views.scale import scale_of
from simcore.views.series import stacked
from simcore.views.tracks import track_of

__all__ = ["tiling"]

_PARTS: Final = (
    ("direct_map.4k_bytes", "4K", PALETTE[4]),
    ("direct_map.2m_bytes", "2M", PALETTE[1]),
    ("direct_map.1g_bytes", "1G", PALETTE[0]),
)
_SPLITS: Final = (
    ("direct_map.level2_splits", "2M to 4K", PALETTE[4]),
    ("direct_map.level3_splits", "1G to 2M", PALETTE[1]),
)
FILE_NAME: Final = "tiling.png"


def tiling(result: Result, out_dir: Path) -> Path | None:
    """Draw how the direct map was tiled over time.

    The uppermost panel shows all of it. What is mapped at 4K may be a thousandth of that, so the second panel shows it
    alone, on a scale of its own; then what is not present, and last the splits.

    Args:
        result: A run of the direct-map model.
        out_dir: Where to write ``tiling.png``.

    Returns:
        The file; None when the run has no such series.
    """
    if any(name not in result.series for name, _, _ in _PARTS):
        return None
    picture = Picture(8.0, 8.4)
    whole, small, absent, splits = picture.subplots(4, 1, sharex=True, height_ratios=(5, 2.5, 2, 2.5))
    stacked(
        result, [name for name, _, _ in _PARTS], [label for _, label, _ in _PARTS],
        colors=[color for _, _, color in _PARTS], ylabel="direct map", ax=whole,
    )  # fmt: skip
    whole.set_xlabel("")
    _alone(small, result, "direct_map.4k_bytes", "4K alone", PALETTE[4])
    _alone(absent, result, "direct_map.unmapped_bytes", "not present", "0.35")
    _split_lines(splits, result)
    splits.set_xlabel(f"simulated time [{_time_scale(result)[1]}]")
    # A run's own title may hold what Matplotlib takes for mathematics.
    picture.suptitle(result.name.replace("$", r"\$"), fontsize=11)
    return save(picture, Path(out_dir) / FILE_NAME)


def _time_scale(result: Result) -> tuple[float, str]:
    scale = scale_of("time_ns", float(result.summary["simulated_ns"]))
    return scale.factor, scale.label


def _alone(panel: Axes, result: Result, name: str, label: str, color: str) -> None:
    """One part on a scale of its own that begins at 0."""
    factor, _ = _time_scale(result)
    track = track_of(result, name)
    scale = scale_of(name, float(np.max(track.high)))
    panel.fill_between(track.time_ns / factor, track.high / scale.factor, step="post", color=color, lw=0, label=label)
    panel.set_ylabel(f"{label} [{scale.label}]")
    _finish(panel)


def _split_lines(panel: Axes, result: Result) -> None:
    factor, _ = _time_scale(result)
    for name, label, color in _SPLITS:
        track = track_of(result, name)
        # From the start of the run: the boot has split entries too.
        splits = track.values - result.series[name][0]
        panel.step(track.time_ns / factor, splits, where="post", color=color, lw=1.3, label=label)
    panel.set_ylabel("splits")
    _finish(panel)


def _finish(panel: Axes) -> None:
    panel.set_ylim(bottom=0)
    panel.margins(y=0.08)
    panel.grid(True, color="0.9", lw=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8)
    panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
