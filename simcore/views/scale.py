"""Scales: the unit in which values of a series read well, and axes that carry it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from simcore.units import BYTE_UNITS, TIME_UNITS

__all__ = ["Scale", "dress", "scale_of"]


@dataclass(frozen=True)
class Scale:
    """A unit for an axis: divide by ``factor``, write ``label``."""

    factor: float
    label: str


def scale_of(name: str, largest: float) -> Scale:
    """Return the unit in which values of a series read well: sizes in KiB to PiB, times in us to d."""
    if name.endswith("_bytes"):
        return _fitting(largest, {unit: BYTE_UNITS[unit] for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB")})
    if name.endswith("_ns"):
        return _fitting(largest, {unit: TIME_UNITS[unit] for unit in ("ns", "us", "ms", "s", "h", "d")})
    return Scale(1, "")


def _fitting(largest: float, units: Mapping[str, int]) -> Scale:
    """Return the largest unit of which there are two or more, else the smallest."""
    fitting = [unit for unit, factor in units.items() if largest >= 2 * factor]
    unit = fitting[-1] if fitting else next(iter(units))
    return Scale(units[unit], unit)


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
