"""What a report says of a direct map: tiling and costs over time, the map with a slider, where the costs come from."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from models.views.map_frames import frames_of
from models.views.map_history import REGION_BYTES, MapHistory
from models.views.report_presets import presets
from simcore.report.charts import rate_chart, series_chart
from simcore.report.section import Chart, Section
from simcore.result import Result
from simcore.units import format_bytes

__all__ = ["sections"]

Names = tuple[str, ...]
_TILING = ("direct_map.1g_bytes", "direct_map.2m_bytes", "direct_map.4k_bytes")
_SPLITS = ("direct_map.level2_splits", "direct_map.level3_splits")
_COLLAPSES = ("direct_map.level2_collapses", "direct_map.level3_collapses")
_KEYS = (
    ("3", "1G"), ("2", "2M"), ("1", "4K"), ("secret", "secret pages"), ("absent", "unmapped, not secret"),
    ("0", "no memory"),
)  # fmt: skip
_COSTS = ("tlb.flush_ns", "tlb.reach_ns", "tlb.refill_ns")


def sections(result: Result) -> list[Section]:
    """Return the sections about memory; none for a run of another model."""
    if not all(name in result.series for name in _TILING):
        return []
    found = [_over_time(result)]
    history = MapHistory.of(result)
    if history is not None:
        found.append(_map(history))
    return [*found, *_bystanders(result), *presets(result)]


def _over_time(result: Result) -> Section:
    series = result.series
    charts = [
        series_chart(
            result, "How the direct map is tiled", _TILING, ("1G entries", "2M entries", "4K entries"), stacked=True,
            y_label="mapped", colors=(0, 3, 1), note="Parts of the whole; boxes switch them off and on.",
        )
    ]  # fmt: skip
    charts.append(series_chart(result, "Mapped with 4K entries", _TILING[2:], ("4K entries",), colors=(1,)))
    shown = list(_TILING)

    def add(title: str, names: Names, labels: Names, note: str = "", *, stacked: bool = False) -> None:
        there = [(name, label) for name, label in zip(names, labels, strict=True) if name in series]
        moving = [pair for pair in there if np.nanmax(series.high(pair[0])) > np.nanmin(series.low(pair[0]))]
        shown.extend(name for name, _ in there)
        if moving:
            few, words = zip(*moving, strict=True)
            charts.append(series_chart(result, title, few, words, stacked=stacked, note=note))

    add("Splits and collapses", (*_SPLITS, *_COLLAPSES), ("2M splits", "1G splits", "2M collapses", "1G collapses"))
    if series.high("direct_map.level2_splits").max() > 0:
        charts.append(rate_chart(result, "Rate of splits", _SPLITS, ("2M splits", "1G splits")))
    charts.append(_secret(result))
    shown += ["secretmem.pages", "direct_map.unmapped_bytes"]
    add("Free memory", ("memory.free_bytes", "memory.per_cpu_bytes"), ("free", "on per-CPU lists"))
    add(
        "What translation costs, in all so far", _COSTS,
        ("flushes (waiting for other CPUs)", "reach (more walks for smaller entries)", "refill (after flushes)"),
        "CPU time, added up over all CPUs.", stacked=True,
    )  # fmt: skip
    shown.append("tlb.cost_ns")
    return Section("Over time", charts=charts, series=shown)


def _bystanders(result: Result) -> list[Section]:
    """A chart per quantity, with a line per bystander; what slows them first."""
    quantities: dict[str, list[str]] = {}
    for name in result.series:
        if name.startswith("bystander.") and name.count(".") == 2:
            quantities.setdefault(name.rpartition(".")[2], []).append(name)
    if not quantities:
        return []
    charts = []
    for quantity, names in sorted(quantities.items(), key=lambda item: (not item[0].startswith("slowdown"), item[0])):
        if any(np.nanmax(result.series.high(name)) > np.nanmin(result.series.low(name)) for name in names):
            title = quantity.replace("_", " ")
            charts.append(series_chart(result, title, names, [name.split(".")[1] for name in names]))
    return [Section("Bystanders", charts=charts, series=[name for names in quantities.values() for name in names])]


def _secret(result: Result) -> Chart:
    chart = series_chart(result, "Out of the direct map", ["direct_map.unmapped_bytes"], ["unmapped"], y_label="")
    pages = series_chart(result, "", ["secretmem.pages"], ["secret"])
    unit = {"[B]": 1, "[KiB]": 1 << 10, "[MiB]": 1 << 20, "[GiB]": 1 << 30, "[TiB]": 1 << 40}[chart.y_label]
    line = pages.lines[0]
    scaled = [None if part is None else part * 4096 / unit for part in (line.y, line.low, line.high)]
    assert scaled[0] is not None
    secret = type(line)("secret", line.x, scaled[0], scaled[1], scaled[2], 4, dash=True)
    return Chart(chart.title, [*chart.lines, secret], chart.kind, chart.x_label, chart.y_label, chart.note, True)


def _map(history: MapHistory) -> Section:
    frames = frames_of(history)
    cell = format_bytes(frames.cell_regions * REGION_BYTES)
    keys = "".join(f'<li><span class="map-key" data-key="{key}"></span>{label}</li>' for key, label in _KEYS)
    markup = (
        "<p>Physical memory along a Hilbert curve from address 0 on: what lies close together in memory lies close "
        f"together here. One cell is {cell}; lines every {format_bytes(frames.border_bytes)}. "
        "Point at a cell to read it; arrow keys on the slider move through time.</p>"
        '<div class="map-bar"><button type="button" class="map-play">Play</button>'
        f'<input type="range" class="map-slider" min="0" max="{len(frames.moments_ns) - 1}" value="0" step="1" '
        'aria-label="moment of the map">'
        '<output class="map-time"></output></div>'
        f'<ul class="map-legend">{keys}</ul>'
        '<canvas class="map-canvas" role="img" aria-label="map of physical memory"></canvas>'
        '<p class="map-where note" aria-live="polite">&nbsp;</p>'
    )
    package = files("models.views")
    script, style = (package / "map.js").read_text("utf-8"), (package / "map.css").read_text("utf-8")
    return Section("Map of memory", markup, data=frames.to_json(), script=script, style=style)
