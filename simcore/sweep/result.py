"""The result of a sweep: its table, its statistics and its plots, while it runs and long after."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from simcore.analysis.intervals import paired_differences, summarise
from simcore.analysis.sensitivity import sobol_indices
from simcore.analysis.tables import AnalysisError, groups, numbers
from simcore.sweep.errors import StoreError
from simcore.sweep.rows import BOOKKEEPING
from simcore.sweep.store import Store

__all__ = ["SweepResult"]

SHOWN_ROWS = 40
"""Rows that a notebook shows."""

SHOWN_METRICS = 4
"""Metrics that are shown when the user names none."""

RUN_COSTS = ("events",)
"""Metrics of how a run was executed, which are not shown unless asked for."""


class SweepResult:
    """A sweep's directory, read.

    Attributes:
        store: the sweep's store.
        about: what `sweep.json` holds: name, parameters, chosen metrics, baseline, confidence, keep.
    """

    def __init__(self, store: Store) -> None:
        """Read what the sweep is about.

        Raises:
            StoreError: the directory holds no sweep.
        """
        self.store = store
        try:
            self.about: Mapping[str, Any] = json.loads((store.directory / "sweep.json").read_text())
        except (OSError, ValueError) as error:
            raise StoreError(f"{store.directory} holds no sweep: {error}") from None

    @classmethod
    def open(cls, directory: Path | str) -> SweepResult:
        """Read the sweep in a directory, finished or not.

        Raises:
            StoreError: there is none.
        """
        return cls(Store.open(directory))

    @property
    def parameters(self) -> list[str]:
        """Names of the varied keys."""
        return list(self.about["parameters"])

    def to_table(self) -> pa.Table:
        """Return one row per finished run, see `Store.to_table`; `.to_pandas()` makes it a frame."""
        return self.store.to_table()

    def manifest(self) -> pa.Table:
        """Return status, failure with traceback, versions and wall time of every recorded run."""
        return self.store.manifest()

    def metrics(self) -> list[str]:
        """Return the names of all numeric metrics."""
        return _numeric(self.to_table(), self.parameters)

    def shown_metrics(self) -> list[str]:
        """Return the metrics of the stopping rule, else those that vary most between points."""
        chosen = list(self.about["metrics"])
        return chosen or _most_varying(self.to_table(), self.parameters)

    def statistics(self, metrics: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return mean, interval and extrema per design point and metric.

        Raises:
            AnalysisError: an unknown metric.
        """
        return summarise(
            self.to_table(),
            self.parameters,
            self.shown_metrics() if metrics is None else metrics,
            self.confidence,
        )

    def differences(self, metric: str, baseline: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return paired differences against a baseline, by default the design's own.

        Raises:
            AnalysisError: there is no baseline, or it names what is not varied.
        """
        chosen = self.about["baseline"] if baseline is None else baseline
        if chosen is None:
            raise AnalysisError("the design names no `baseline`; give one")
        return paired_differences(self.to_table(), metric, self.parameters, chosen, confidence=self.confidence)

    def sensitivity(self, metric: str) -> list[dict[str, Any]]:
        """Return first-order and total Sobol indices of a metric, for `sobol: {indices: true}`.

        Raises:
            AnalysisError: another design, missing points, or SALib is not installed.
        """
        return sobol_indices(self.to_table(), metric, self.parameters, confidence=self.confidence)

    def plot(self, metrics: Sequence[str] | None = None) -> list[Path]:
        """Draw the plots that suit the design into `plots/`, and return them."""
        from simcore.views.sweeps import plot_sweep  # noqa: PLC0415  (matplotlib takes long to import)

        chosen = self.shown_metrics() if metrics is None else metrics
        directory = self.store.directory / "plots"
        return plot_sweep(self.to_table(), self.parameters, chosen, directory, self.about["units"])

    def report(self, path: Path | str | None = None) -> Path:
        """Write the report, one HTML file that opens from disk; ``report.html`` in the sweep's directory by default."""
        from simcore.report.write import write_report  # noqa: PLC0415  (megabytes of Plotly)

        return write_report(self.store.directory, path)

    def __repr__(self) -> str:
        runs = self.to_table().num_rows
        return f"<SweepResult {self.about['name']!r}: {runs} runs over {', '.join(self.parameters)}>"

    def _repr_html_(self) -> str:
        """Return a table of means and intervals for notebooks; names and values are escaped."""
        rows = self.statistics()
        heads = ["metric", *self.parameters, "n", "mean", f"{self.confidence:.0%} interval"]
        cells = [
            [row["metric"], *(row[name] for name in self.parameters), row["n"], f"{row['mean']:.6g}",
             f"{row['low']:.6g} .. {row['high']:.6g}"]
            for row in rows[:SHOWN_ROWS]
        ]  # fmt: skip
        head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in heads)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in cells
        )
        more = f"<p>and {len(rows) - SHOWN_ROWS} more rows</p>" if len(rows) > SHOWN_ROWS else ""
        return f"<h4>{html.escape(str(self.about['name']))}</h4><table><tr>{head}</tr>{body}</table>{more}"

    @property
    def confidence(self) -> float:
        """Coverage of the intervals."""
        return float(self.about["confidence"])


def _numeric(table: pa.Table, parameters: Sequence[str]) -> list[str]:
    return [
        field.name
        for field in table.schema
        if field.name not in BOOKKEEPING
        and field.name not in parameters
        and (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    ]


def _most_varying(table: pa.Table, parameters: Sequence[str]) -> list[str]:
    """Return the metrics whose means differ most between points, measured against their own mean."""
    points = list(groups(table, list(parameters)).values())
    spread: dict[str, float] = {}
    for name in _numeric(table, parameters):
        if name in RUN_COSTS:
            continue
        values = numbers(table, name)
        means = [float(known.mean()) for rows in points if (known := values[rows][~np.isnan(values[rows])]).size]
        if len(means) > 1 and np.ptp(means) > 0:
            spread[name] = float(np.std(means) / (np.mean(np.abs(means)) or 1.0))
    return sorted(spread, key=lambda name: -spread[name])[:SHOWN_METRICS]
