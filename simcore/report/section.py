"""What a report is made of: sections with markup, charts with lines; all text escaped on its way in."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SECTION_GROUP", "Chart", "Line", "Section", "escape", "table"]

SECTION_GROUP = "simcore.report_sections"


_LONG = 60
"""Letters from which the text of a cell may be broken."""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        label: What the legend says.
        x: Places, numbers or names.
        y: Values, in the chart's unit; NaN where there is none.
        low: Lower end at each place, an extreme or an interval's; None: there is none.
        high: Upper end.
        color: Its number in the page's palette; None takes the next.
        dash: Dotted, so that a line under it shows.
    """

    label: str
    x: NDArray[Any] | Sequence[Any]
    y: NDArray[Any]
    low: NDArray[Any] | None = None
    high: NDArray[Any] | None = None
    color: int | None = None
    dash: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: Its heading.
        lines: What it shows.
        kind: `steps` (each value holds until the next), `stacked` (steps upon each other), `points` (with
            intervals, joined by lines), `cloud` (points alone).
        x_label: What the axis across shows, with unit.
        y_label: What the axis up shows, with unit.
        note: A sentence under the chart.
        time: Whether the axis across is simulated time; such charts zoom together.
    """

    title: str
    lines: Sequence[Line]
    kind: str = "steps"
    x_label: str = ""
    y_label: str = ""
    note: str = ""
    time: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what the page's script draws."""
        return {
            "title": self.title,
            "kind": self.kind,
            "xLabel": self.x_label,
            "yLabel": self.y_label,
            "note": self.note,
            "time": self.time,
            "lines": [
                {
                    "label": line.label,
                    "x": _cells(line.x),
                    "y": _cells(line.y),
                    "low": None if line.low is None else _cells(line.low),
                    "high": None if line.high is None else _cells(line.high),
                    "color": number if line.color is None else line.color,
                    "dash": line.dash,
                }
                for number, line in enumerate(self.lines)
            ],
        }


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: Its heading; also where the table of contents leads.
        html: Markup, in which the section has escaped every text (``escape``).
        charts: Drawn behind the markup.
        data: For the section's script: whatever JSON holds.
        script: JavaScript, the body of a function of ``(root, data, page)``: the section's element, its data, and
            the page (``page.onTheme(callback)``, ``page.css(name)``).
        series: Names of the series that it shows; the others get charts of their own.
        style: CSS rules.
    """

    title: str
    html: str = ""
    charts: Sequence[Chart] = ()
    data: Any = None
    script: str = ""
    style: str = field(default="", repr=False)
    series: Sequence[str] = ()


def escape(value: object) -> str:
    """Return a value as text that no browser takes for markup."""
    return html.escape(str(value), quote=True)


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], *, sortable: bool = False, caption: str = "") -> str:
    """Return a table's markup.

    Args:
        headings: Of the columns.
        rows: Cells: text, or a pair of text and the number to sort by; numbers stand to the right.
        sortable: Whether headings sort it.
        caption: Above it.
    """
    names = [f'<button type="button">{escape(name)}</button>' if sortable else escape(name) for name in headings]
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    kind = ' class="sortable"' if sortable else ""
    content = f"{above}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide" tabindex="0"><table{kind}>{content}</table></div>'


def _cell(cell: Any) -> str:
    if isinstance(cell, tuple):
        text, number = cell
        return f'<td class="number" data-value="{float(number)!r}">{escape(text)}</td>'
    return f'<td class="long">{escape(cell)}</td>' if len(str(cell)) > _LONG else f"<td>{escape(cell)}</td>"


def _cells(values: NDArray[Any] | Sequence[Any]) -> list[Any]:
    """Return numbers in as many digits as a screen can show, texts as they are."""
    cells = np.asarray(values)
    if cells.dtype.kind not in "fiu":
        return [str(value) for value in values]
    return [None if not np.isfinite(value) else float(f"{value:.9g}") for value in cells.astype(np.float64).tolist()]
