"""The commands `sweep` and `plan`; what is heavy is imported when they run."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simcore.commands import JsonOption, OutOption, SetOption
from simcore.sweep.terminal import duration_text, print_columns, progress_bar

if TYPE_CHECKING:
    from simcore.sweep.sweep import Sweep

__all__ = ["plan", "sweep"]

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
    from simcore.sweep.conclusion import conclude  # noqa: PLC0415
    from simcore.sweep.executors import open_pool  # noqa: PLC0415

    prepared = _prepare(config, set, out)
    try:
        with progress_bar() as report, open_pool(executor, jobs, scheduler) as pool:
            result = prepared.run(pool, report, retry_failed=retry_failed)
    except KeyboardInterrupt:
        typer.echo("what was finished is kept; the same command continues from there", err=True)
        raise
    conclude(result, metric, json)


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
    print_columns(names, [[run[name] for name in names] for run in runs], limit=None)
    stop = prepared.plan.config.stop
    more = f", and more replications up to {stop.max} until the intervals are narrow enough" if stop else ""
    typer.echo(f"{len(runs)} runs of {len(prepared.plan.points)} points{more}; {finished} done, {len(left)} to do")
    if left:
        guess = "unknown before the first run" if estimate_s is None else duration_text(estimate_s)
        typer.echo(f"time for the rest on {workers} workers: {guess}")


def _prepare(config: Path, overrides: Sequence[str] | None, out: Path | None) -> Sweep:
    from simcore.sweep.plan import make_plan  # noqa: PLC0415
    from simcore.sweep.sweep import Sweep  # noqa: PLC0415

    return Sweep(make_plan(config, overrides or ()), out)
