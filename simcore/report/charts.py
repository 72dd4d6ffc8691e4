"""Charts of a run's series: scaled for people, merged into bins of time that keep their peaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simcore.report.section import Chart, Line
from simcore.result import Result
from simcore.views.rates import rate_of
from simcore.views.scale import scale_of
from simcore.views.tracks import Track, track_of

__all__ = ["other_charts", "rate_chart", "series_chart"]

_BINS = 1500


def series_chart(
    result: Result,
    title: str,
    names: Sequence[str],
    labels: Sequence[str] | None = None,
    *,
    stacked: bool = False,
    note: str = "",
    y_label: str = "",
    colors: Sequence[int] | None = None,
) -> Chart:
    """Return a chart of series of one unit over time.

    Args:
        result: The run.
        title: The chart's heading.
        names: Series; for ``stacked`` from the bottom up.
        labels: What the legend calls them; the names if None.
        stacked: Areas upon each other.
        note: A sentence under the chart.
        y_label: What the values are, without unit.
        colors: Numbers in the page's palette.
    """
    end_ns = int(result.summary["simulated_ns"])
    time = scale_of("time_ns", end_ns)
    tracks = [track_of(result, name, _BINS) for name in names]
    tops = [np.nanmax(track.high) if len(track.high) and not np.all(np.isnan(track.high)) else 0 for track in tracks]
    scale = scale_of(names[0], float(sum(tops) if stacked else max(tops, default=0)))
    lines = []
    for number, (name, whole) in enumerate(zip(names, tracks, strict=True)):
        track = whole if stacked else _without_repeats(whole)
        merged = bool(np.any(track.low < track.high)) and not stacked
        lines.append(
            Line(
                labels[number] if labels else name,
                track.time_ns / time.factor,
                track.values / scale.factor,
                track.low / scale.factor if merged else None,
                track.high / scale.factor if merged else None,
                colors[number] if colors else None,
            )
        )
    unit = f"[{scale.label}]" if scale.label else ""
    kind, label = "stacked" if stacked else "steps", f"{y_label} {unit}".strip()
    return Chart(title, lines, kind, f"simulated time [{time.label}]", label, note, True)


def _without_repeats(track: Track) -> Track:
    """Leave out moments at which nothing changes; what is left draws the same steps and the same band."""
    if len(track.values) < 3:
        return track
    cells = np.stack([track.values, track.low, track.high])
    differs = np.any((cells[:, 1:] != cells[:, :-1]) & ~(np.isnan(cells[:, 1:]) & np.isnan(cells[:, :-1])), axis=0)
    kept = np.append(True, differs)
    # A band reaches back to the moment before, which must therefore stay; and the line goes on to the end.
    kept[:-1] |= differs
    kept[-1] = True
    return Track(track.time_ns[kept], track.values[kept], track.low[kept], track.high[kept])


def rate_chart(result: Result, title: str, names: Sequence[str], labels: Sequence[str], note: str = "") -> Chart:
    """Return a chart of how fast counters grow, per second of simulated time."""
    time = scale_of("time_ns", int(result.summary["simulated_ns"]))
    lines = []
    for name, label in zip(names, labels, strict=True):
        moments, rate = rate_of(result, name)
        lines.append(Line(label, moments / time.factor, rate))
    return Chart(title, lines, "steps", f"simulated time [{time.label}]", "[1/s]", note, True)


def other_charts(result: Result, shown: Sequence[str]) -> list[Chart]:
    """Return charts of all series that change and are not shown yet, those of one kind together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in result.series:
        low, high = result.series.low(name), result.series.high(name)
        known = ~np.isnan(high)
        if name in shown or not known.any() or np.nanmin(low) == np.nanmax(high):
            continue
        unit = next((unit for unit in ("_bytes", "_ns") if name.endswith(unit)), "")
        groups.setdefault((name.rpartition(".")[0], unit), []).append(name)
    return [series_chart(result, prefix or ", ".join(names), names) for (prefix, _), names in groups.items()]
