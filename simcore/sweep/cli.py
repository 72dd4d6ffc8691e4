"""The commands `sweep`, `plan` and `verify`; what is heavy is imported when they run."""

from __future__ import annotations

import json as json_format
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simcore.commands import JsonOption, OutOption, SetOption

if TYPE_CHECKING:
    from simcore.sweep.dispatch import Progress
    from simcore.sweep.result import SweepResult
    from simcore.sweep.sweep import Sweep

__all__ = ["plan", "sweep", "verify"]

SHOWN_ROWS = 60
"""Rows of a table on the terminal; the whole is in the files."""

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of the sweep.")]
JobsOption = Annotated[int | None, typer.Option("--jobs", min=1, help="Workers; all CPUs if not given.")]


def sweep(
    config: ConfigFile,
    set: SetOption = None,
    out: OutOption = None,
    jobs: JobsOption = None,
    executor: Annotated[str, typer.Option(metavar="NAME", help="serial, processes or dask.")] = "processes",
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Running Dask scheduler, tcp://host:port.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Metric to tabulate and plot; repeatable.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option(help="Make failed runs once more.")] = False,
    json: JsonOption = False,
) -> None:
    """Run what is left of a sweep; end with a table and plots."""
    from simcore.sweep.executors import open_pool  # noqa: PLC0415

    prepared = _prepare(config, set, out)
    try:
        with _progress() as report, open_pool(executor, jobs, scheduler) as pool:
            result = prepared.run(pool, report, retry_failed=retry_failed)
    except KeyboardInterrupt:
        typer.echo("what was finished is kept; the same command continues from there", err=True)
        raise
    _conclude(result, metric, json)


def plan(
    config: ConfigFile,
    set: SetOption = None,
    out: OutOption = None,
    jobs: JobsOption = None,
    json: JsonOption = False,
) -> None:
    """Print every run of a sweep, how many are done, and how long the rest will take."""
    from simcore.sweep.executors import available_cpus  # noqa: PLC0415

    prepared = _prepare(config, set, out)
    counts = prepared.counts()
    runs = prepared.plan.to_table(counts).to_pylist()
    left = {job.identity for job in prepared.missing(counts)}
    recorded = prepared.store.recorded()
    for run in runs:
        run["status"] = "to do" if run["identity"] in left else recorded[run["identity"]][0]
    done, wall_s = prepared.store.wall_seconds()
    workers = jobs or available_cpus()
    estimate_s = wall_s / done * len(left) / workers if done else None
    finished = sum(run["status"] != "to do" for run in runs)
    if json:
        typer.echo(
            json_format.dumps(
                {
                    "runs": runs,
                    "total": len(runs),
                    "done": finished,
                    "estimate_s": estimate_s,
                    "workers": workers,
                },
                indent=2,
            )
        )
        return
    names = ["point", "replication", *prepared.plan.parameters, "status", "identity"]
    _print_table(names, [[run[name] for name in names] for run in runs], limit=None)
    stop = prepared.plan.config.stop
    more = f", and more replications up to {stop.max} until the intervals are narrow enough" if stop else ""
    typer.echo(f"{len(runs)} runs of {len(prepared.plan.points)} points{more}; {finished} done, {len(left)} to do")
    if left:
        guess = "unknown before the first run" if estimate_s is None else _duration(estimate_s)
        typer.echo(f"time for the rest on {workers} workers: {guess}")


def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")],
    json: JsonOption = False,
) -> None:
    """Make a run again from its own configuration; exit 1 and name the first difference if there is one."""
    from dataclasses import asdict  # noqa: PLC0415

    from simcore.verify import verify as verify_run  # noqa: PLC0415

    difference = verify_run(run)
    if json:
        found = None if difference is None else asdict(difference)
        typer.echo(json_format.dumps({"run": str(run), "same": difference is None, "difference": found}, indent=2))
    elif difference is None:
        typer.echo(f"{run}: made again, the same to the last bit")
    else:
        typer.echo(f"{run}: {difference}")
    if difference is not None:
        raise typer.Exit(1)


def _prepare(config: Path, overrides: Sequence[str] | None, out: Path | None) -> Sweep:
    from simcore.sweep.plan import make_plan  # noqa: PLC0415
    from simcore.sweep.sweep import Sweep  # noqa: PLC0415

    return Sweep(make_plan(config, overrides or ()), out)


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Show runs done, failed and the remaining time on standard error, when that is a terminal."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[rest]}"),
    )  # fmt: skip
    with Bar(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("runs", total=None, rest="")

        def report(progress: Progress) -> None:
            rest = "" if progress.remaining_s is None else f"about {_duration(progress.remaining_s)} left"
            failed = f", {progress.failed} failed" if progress.failed else ""
            bar.update(task, total=progress.total, completed=progress.ended, rest=rest + failed)

        yield report


def _conclude(result: SweepResult, metric: Sequence[str] | None, as_json: bool) -> None:
    """Print the table, say what failed, draw the plots; exit 1 when a condition of `expect` did not hold."""
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
            json_format.dumps(
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
    from simcore.result import format_value  # noqa: PLC0415
    from simcore.units import format_bytes, format_ns  # noqa: PLC0415

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
    _print_table(["metric", *parameters, "n", "mean", f"{result.confidence:.0%} interval"], rows)
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
        _print_table(["metric", *parameters, "n", "difference", f"{result.confidence:.0%} interval", "p (Holm)"], rows)
    for name, found in indices.items():
        typer.echo(f"Sobol indices of {name}:")
        _print_table(
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
    from simcore.result import format_value  # noqa: PLC0415

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


def _print_table(names: Sequence[str], rows: Sequence[Sequence[Any]], limit: int | None = SHOWN_ROWS) -> None:
    """Print rows in columns; numbers to the right."""
    shown = rows if limit is None else rows[:limit]
    texts = [[_cell(value) for value in row] for row in shown]
    widths = [max([len(name), *(len(row[place]) for row in texts)]) for place, name in enumerate(names)]
    right = [any(isinstance(row[place], int | float) for row in shown) for place in range(len(names))]
    for line in [list(names), *texts]:
        cells = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ]
        typer.echo("  ".join(cells).rstrip())
    if len(rows) > len(shown):
        typer.echo(f"... and {len(rows) - len(shown)} more rows, all in the sweep's table")


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    from simcore.units import format_ns  # noqa: PLC0415

    return format_ns(round(seconds) * 1e9) if seconds >= 10 else f"{seconds:.1f}s"


def _finite(value: Any) -> Any:
    """Return the same with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
