"""Where the numbers of a run come from: every value of its presets with its source and how sure it is."""

from __future__ import annotations

from simcore.report.section import Section, escape, table
from simcore.result import Result

__all__ = ["presets"]

_WORDS = (
    "<p>Words of confidence: <em>measured</em>, <em>verified</em> and <em>published</em> values have a source; "
    "<em>derived</em> is arithmetic on others; <em>unverified</em> is widely repeated and there to be replaced; "
    "<em>swept</em> is a guess within a range.</p>"
)


def presets(result: Result) -> list[Section]:
    """Return the section on a run's presets, from the table `confidence` that it left; none without it."""
    if "confidence" not in result.tables:
        return []
    rows = result.tables["confidence"].to_pylist()
    parts = [_WORDS]
    for preset in dict.fromkeys(row["of"] for row in rows):
        cells = [
            [row["value"], _number(row["number"]), row["confidence"], row["source"] or ""]
            for row in rows
            if row["of"] == preset
        ]
        heads = ["value", "is", "confidence", "source"]
        parts.append(f"<h3>{escape(preset)}</h3>{table(heads, cells, sortable=True)}")
    return [Section("Where the numbers come from", "".join(parts))]


def _number(text: str) -> str | tuple[str, float]:
    """Return a number with its text, so that a column sorts by it."""
    try:
        return text, float(text)
    except ValueError:
        return text
