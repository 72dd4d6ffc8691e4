"""What the command `sweep` ends with: tables, failures, plots, or all of it as JSON, and the exit code."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from simcore.result import format_value
from simcore.sweep.result import SweepResult
from simcore.sweep.terminal import print_columns
from simcore.units import format_bytes, format_ns

__all__ = ["conclude"]


def conclude(result: SweepResult, metric: Sequence[str] | None, as_json: bool) -> None:
    """Print the table, say what failed, and draw the plots.

    Args:
        result: the sweep that has been run.
        metric: metrics to tabulate and plot; those that the sweep shows if None.
        as_json: print JSON instead.

    Raises:
        typer.Exit: with code 1, when a condition of `expect` did not hold.
    """
    table = result.to_table()
    statuses = table["status"].to_pylist()
    failed = {status: statuses.count(status) for status in dict.fromkeys(statuses) if status != "done"}
    metrics = list(metric) if metric else result.shown_metrics()
    if "done" not in statuses:
        metrics = []
    statistics = result.statistics(metrics)
    differences = [row for name in metrics for row in result.differences(name)] if result.about["baseline"] else []
    indices = {name: result.sensitivity(name) for name in metrics} if result.about["indices"] and not failed else {}
    plots = result.plot(metrics) if metrics else []
    unmet = (
        sum(count or 0 for count in table["expect.failed"].to_pylist()) if "expect.failed" in table.column_names else 0
    )
    if as_json:
        typer.echo(
            json.dumps(
                _finite(
                    {
                        "directory": str(result.store.directory),
                        "runs": table.num_rows,
                        "failed": failed,
                        "expectations_failed": unmet,
                        "statistics": statistics,
                        "differences": differences,
                        "sensitivity": indices,
                        "plots": [str(path) for path in plots],
                    }
                ),
                indent=2,
            )
        )
    else:
        _print_results(result, statistics, differences, indices)
        _print_failures(table, failed)
        typer.echo(f"{table.num_rows} runs in {result.store.directory}, {len(plots)} plots in its plots/")
    if unmet:
        typer.echo(f"{unmet} conditions of `expect` did not hold (column expect.failed)", err=True)
        raise typer.Exit(1)


def _print_results(
    result: SweepResult,
    statistics: Sequence[Mapping[str, Any]],
    differences: Sequence[Mapping[str, Any]],
    indices: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    def interval(row: Mapping[str, Any], value: str) -> list[str]:
        name = row["metric"]
        if math.isnan(row["half_width"]):
            return [format_value(name, row[value]), ""]
        return [format_value(name, row[value]), f"{_plain(name, row['low'])} .. {_plain(name, row['high'])}"]

    parameters = result.parameters
    writers = {"bytes": format_bytes, "ns": format_ns}

    def shown(row: Mapping[str, Any]) -> list[Any]:
        units = result.about["units"]
        return [writers[units[key]](row[key]) if key in units else row[key] for key in parameters]

    order = {name: place for place, name in enumerate(dict.fromkeys(row["metric"] for row in statistics))}
    statistics = sorted(statistics, key=lambda row: order[row["metric"]])
    rows = [[row["metric"], *shown(row), row["n"], *interval(row, "mean")] for row in statistics]
    print_columns(["metric", *parameters, "n", "mean", f"{result.confidence:.0%} interval"], rows)
    if differences:
        rows = [
            [
                row["metric"],
                *shown(row),
                row["n"],
                *interval(row, "difference"),
                f"{row['p_holm']:.2g}",
            ]
            for row in differences
        ]
        baseline = ", ".join(f"{key} = {value}" for key, value in result.about["baseline"].items())
        typer.echo(f"differences from {baseline}, run by run:")
        print_columns(["metric", *parameters, "n", "difference", f"{result.confidence:.0%} interval", "p (Holm)"], rows)
    for name, found in indices.items():
        typer.echo(f"Sobol indices of {name}:")
        print_columns(
            ["parameter", "first order", "total"],
            [
                [
                    row["parameter"],
                    f"{row['first_order']:.3f} +- {row['first_order_half_width']:.3f}",
                    f"{row['total']:.3f} +- {row['total_half_width']:.3f}",
                ]
                for row in found
            ],
        )


def _plain(name: str, value: float) -> str:
    return format_value(name, value) if value >= 0 else "-" + format_value(name, -value)


def _print_failures(table: Any, failed: Mapping[str, int]) -> None:
    if not failed:
        return
    reasons: dict[str, int] = {}
    for status, error in zip(table["status"].to_pylist(), table["error"].to_pylist(), strict=True):
        if status != "done":
            reasons[f"{status}: {error}"] = reasons.get(f"{status}: {error}", 0) + 1
    typer.echo(f"{sum(failed.values())} of {table.num_rows} runs did not succeed:", err=True)
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1])[:5]:
        typer.echo(f"  {count} x {reason}", err=True)


def _finite(value: Any) -> Any:
    """Return the same with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
