"""The result of a run: its series, its summary, and how it came about; in memory or from a run directory."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcore.series import Series
from simcore.units import format_bytes, format_count, format_ns

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

__all__ = ["Result", "format_value"]

#: Parts of a summary that are not single values.
_NESTED = ("expect", "statistics", "quantities")


@dataclass
class Result:
    """What one run left.

    Attributes:
        series: All recorded series.
        summary: Final values by series name, the model's own results, and the engine's (``fingerprint``,
            ``events``, ``wall_s``, ``simulated_ns``); ``statistics`` per series; ``expect``, the verdicts.
        config: The effective configuration; ``simcore.run`` takes it as it is.
        manifest: Versions and origin.
        tables: Tables that the model left, by name.
        directory: The run directory, None for a run that was not written.
    """

    series: Series
    summary: dict[str, Any]
    config: dict[str, Any]
    manifest: dict[str, Any]
    tables: dict[str, pa.Table] = field(default_factory=dict)
    directory: Path | None = None

    @classmethod
    def open(cls, directory: Path | str) -> Result:
        """Read a run directory.

        Raises:
            OutputError: Not a run directory, or one whose run did not finish.
        """
        from simcore.run_directory import read_run  # noqa: PLC0415 - it imports this module

        return read_run(Path(directory))

    def save(self, directory: Path | str) -> Path:
        """Write a run directory, in place of an older run if there is one.

        Raises:
            OutputError: Something else is there, or the disk refuses.
        """
        from simcore.run_directory import write_run  # noqa: PLC0415 - it imports this module

        self.directory = write_run(self, Path(directory))
        return self.directory

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return str(self.summary["name"])

    @property
    def fingerprint(self) -> str:
        """What tells this run from every run with another outcome."""
        return str(self.summary["fingerprint"])

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """Per condition of ``expect:`` its text (``check``), ``passed``, and the ``values`` in it."""
        return list(self.summary["expect"])

    @property
    def passed(self) -> bool:
        """Whether every condition of ``expect:`` held."""
        return all(verdict["passed"] for verdict in self.verdicts)

    @property
    def values(self) -> dict[str, Any]:
        """The single values of the summary."""
        return {name: value for name, value in self.summary.items() if name not in _NESTED}

    def statistics(self, name: str) -> dict[str, Any]:
        """Return final, min, max, mean over time and exact integral of a series."""
        self.series[name]  # raises with the nearest name
        return dict(self.summary["statistics"][name])

    def plot(self, names: Sequence[str] | None = None, path: Path | str | None = None) -> Figure:
        """Draw series over time, one small panel each.

        Args:
            names: Which series, by name or shell pattern; all that ever change if None.
            path: Where to save the figure too.
        """
        from simcore.views.series import small_multiples  # noqa: PLC0415 - Matplotlib only when it draws

        return small_multiples(self, names, path)

    def report(self, path: Path | str) -> Path:
        """Write the report, one HTML file that opens from disk; return its path."""
        from simcore.report.run_report import run_report  # noqa: PLC0415 - Plotly only when it reports
        from simcore.run_directory import write_atomically  # noqa: PLC0415

        write_atomically(Path(path), run_report(self).encode())
        return Path(path)

    def __repr__(self) -> str:
        return f"<Result {self.name!r}: {format_ns(self.summary['simulated_ns'])}, {len(self.series)} rows>"

    def _repr_html_(self) -> str:
        """Return a table for notebooks; names and texts are escaped."""
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td style='text-align:right'>"
            f"{html.escape(format_value(name, value))}</td></tr>"
            for name, value in self.values.items()
            if name != "name"
        )
        verdicts = "".join(
            f"<li>{'passed' if verdict['passed'] else '<b>FAILED</b>'}: "
            f"<code>{html.escape(verdict['check'])}</code></li>"
            for verdict in self.verdicts
        )
        return f"<h4>{html.escape(self.name)}</h4><table>{rows}</table>" + (
            f"<ul>{verdicts}</ul>" if verdicts else ""
        )

    def to_json(self) -> str:
        """Return the summary as JSON."""
        return json.dumps(self.summary, indent=2)


def format_value(name: str, value: Any) -> str:
    """Return a value for people, by the unit that its name ends with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if name.endswith("_bytes"):
        return format_bytes(value)
    if name.endswith("_ns"):
        return format_ns(value)
    if name.endswith("_s"):
        return format_ns(value * 1e9)
    return format_count(value)
