"""Comparisons shown: a table for people, data for programs, plots of simulated over recorded series."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from models.host.comparison import Comparison, Row, Series

__all__ = ["columns", "plot", "print_tables", "tables", "to_json"]

_WIDTH_INCHES, _ROW_HEIGHT_INCHES = 10.0, 2.4


def columns(comparisons: Iterable[Comparison]) -> list[str]:
    """Return the names of all rows of ``comparisons`` in the order of their first appearance."""
    return list(dict.fromkeys(row.what for comparison in comparisons for row in comparison.rows))


def tables(comparisons: Sequence[Comparison]) -> list[RenderableType]:
    """Return one table for each mode, a section for each recording, and every first divergence below."""
    shown: list[RenderableType] = []
    for mode in dict.fromkeys(comparison.mode for comparison in comparisons):
        chosen = [comparison for comparison in comparisons if comparison.mode == mode]
        furthest = any(row.worst is not None for comparison in chosen for row in comparison.rows)
        table = Table(title=mode, title_justify="left", box=SIMPLE_HEAD)
        table.add_column("recording", no_wrap=True)
        table.add_column("what", no_wrap=True)
        table.add_column("exact", justify="right", no_wrap=True)
        if furthest:
            table.add_column("furthest off", justify="right")
        table.add_column("asked")
        table.add_column("", no_wrap=True)
        for comparison in chosen:
            names = [comparison.recording, *(f"  given: {part}" for part in comparison.given)]
            for at, row in enumerate(comparison.rows):
                name = names[at] if at < len(names) else ""
                cells = [name, row.what, f"{row.exact}/{row.total}"] + ([_worst(row)] if furthest else [])
                table.add_row(*cells, row.required, _verdict(row.passed) if row.required else "")
            table.add_section()
        shown.append(table)
        for comparison in chosen:
            if comparison.first_divergence is not None:
                shown.append(Text(f"{comparison.recording}: {comparison.first_divergence}"))
    return shown


def _verdict(passed: bool) -> Text:
    return Text("ok", style="green") if passed else Text("FAILED", style="bold red")


def _worst(row: Row) -> str:
    return "" if row.worst is None else f"{row.cell} ({row.worst.label})"


def print_tables(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print the tables, and how many comparisons are within their tolerance."""
    for renderable in tables(comparisons):
        console.print(renderable)
    passed = sum(comparison.passed for comparison in comparisons)
    console.print(f"{passed} of {len(comparisons)} comparisons within tolerance", highlight=False)


def to_json(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons as one JSON text."""
    return json.dumps(
        {
            "passed": all(comparison.passed for comparison in comparisons),
            "comparisons": [comparison.to_json() for comparison in comparisons],
        },
        indent=2,
        allow_nan=False,
    )


def plot(comparison: Comparison, out_dir: Path) -> Path | None:
    """Draw the series of a comparison over the samples.

    Returns:
        The picture ``RECORDING-MODE.png`` in ``out_dir``, which is made; None when there is nothing to draw.
    """
    if not comparison.series:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    rows = (len(comparison.series) + 1) // 2
    figure = Figure(figsize=(_WIDTH_INCHES, _ROW_HEIGHT_INCHES * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{comparison.recording}, {comparison.mode}")
    for at, series in enumerate(comparison.series):
        axes = figure.add_subplot(rows, 2, at + 1)
        _draw(axes, series)
        if at == 0:
            axes.legend(frameon=False)
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / f"{comparison.recording}-{comparison.mode}.png"
    figure.savefig(path, dpi=110)
    return path


def _draw(axes: object, series: Series) -> None:
    from matplotlib.axes import Axes  # noqa: PLC0415

    assert isinstance(axes, Axes)
    time_s = (series.time_ns - series.time_ns[0]) / 1e9 if len(series.time_ns) else series.time_ns
    if series.low is not None and series.high is not None:
        axes.fill_between(time_s, series.low, series.high, alpha=0.25, linewidth=0, label="all placements")
    axes.plot(time_s, series.recorded, color="black", linewidth=2.5, alpha=0.4, label="recorded")
    axes.plot(
        time_s, series.simulated, color="tab:blue", linewidth=1, marker=".", markersize=3, label="simulated"
    )
    axes.set_title(series.name, fontsize="medium")
    axes.set_xlabel("recorded time, s")
    axes.grid(alpha=0.3)
