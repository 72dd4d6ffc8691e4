"""The commands ``run``, ``plot``, ``schema``, ``verify``. Heavy imports wait inside them, so that help stays quick."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from simcore.errors import SimcoreError

if TYPE_CHECKING:
    from simcore.result import Result
    from simcore.trace import Trace

__all__ = ["JobsOption", "JsonOption", "OutOption", "SetOption", "plot", "run", "schema", "verify"]

SetOption = Annotated[
    Optional[list[str]],  # noqa: UP045 - Typer evaluates it
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change a key; may be repeated."),
]
OutOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--out", metavar="DIR", help="Where to write; runs/<name> if not given."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
JobsOption = Annotated[int, typer.Option("--jobs", min=1, help="How many runs at a time.")]

OUTPUT = Path("runs")


def run(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG|DIR", help="An experiment, or a directory of them.")
    ],
    set: SetOption = None,
    out: OutOption = None,
    json: JsonOption = False,
    jobs: JobsOption = 1,
    plot: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(
            "--plot/--no-plot", help="Draw the plots too; by default for one experiment, not for many."
        ),
    ] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Write trace.json too, for ui.perfetto.dev; of one experiment.")
    ] = False,
    trace_window: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--trace-window", metavar="FROM..TO", help="Trace only this time, such as 10ms..20ms."),
    ] = None,
) -> None:
    """Run an experiment, or all in a directory, and check what they expect."""
    overrides = set or []
    tracer = _trace(trace_window) if trace or trace_window is not None else None
    if config.is_dir():
        if tracer is not None:
            raise SimcoreError("--trace takes one experiment, not a directory")
        _run_directory(config, overrides, out, json, jobs, bool(plot))
        return
    from simcore import views  # noqa: PLC0415
    from simcore.experiment import Experiment  # noqa: PLC0415
    from simcore.run import run as run_experiment  # noqa: PLC0415
    from simcore.run_directory import check_place  # noqa: PLC0415

    experiment = Experiment.load(config, overrides)
    directory = out if out is not None else OUTPUT / experiment.directory_name
    check_place(directory)
    result = run_experiment(experiment, out=directory, trace=tracer)
    drawn = views.draw_all(result, directory) if plot in {None, True} else []
    if tracer is not None:
        drawn.append(tracer.write(directory / "trace.json", result.series))
        if tracer.dropped:
            typer.echo(f"{tracer.dropped} slices left out of the trace; --trace-window makes it smaller", err=True)
    if json:
        typer.echo(result.to_json())
    else:
        _print_result(result, [directory, *drawn])
    if not result.passed:
        raise typer.Exit(1)


def _trace(window: str | None) -> Trace:
    """Return an empty trace for a window such as ``10ms..20ms``; either end may be left out.

    Raises:
        SimcoreError: Not such a window.
    """
    from simcore.trace import Trace  # noqa: PLC0415
    from simcore.units import parse_ns  # noqa: PLC0415

    if window is None:
        return Trace()
    begin, dots, end = window.partition("..")
    try:
        if not dots:
            raise ValueError("expected two times, such as 10ms..20ms")
        limits = {name: parse_ns(text) for name, text in (("begin_ns", begin), ("end_ns", end)) if text}
        return Trace(**limits)
    except ValueError as error:
        raise SimcoreError(f"--trace-window {window}: {error}") from None


def _run_directory(
    config: Path, overrides: list[str], out: Path | None, json: bool, jobs: int, plot: bool
) -> None:
    from simcore import batch  # noqa: PLC0415
    from simcore.tables import print_table  # noqa: PLC0415

    directory = out if out is not None else OUTPUT / (config.resolve().name or "experiments")
    rows = batch.run_all(config, overrides, directory, jobs, plot)
    if json:
        typer.echo(json_format.dumps(rows, indent=2))
    else:
        print_table(batch.HEADINGS, batch.table(rows), prose=True)
        typer.echo(f"{directory}")
    raise typer.Exit(batch.exit_code(rows))


def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="A run directory; several are laid over each other."),
    ],
    series: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--series", metavar="PATTERN", help="Draw only these series; may be repeated."),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--out", metavar="DIR", help="Where to write the plots; the (first) run directory if not given."
        ),
    ] = None,
    map: Annotated[bool, typer.Option("--map", help="Draw the model's map of its state instead.")] = False,
    at: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--at", metavar="TIME", help="The map at this moment, such as 10ms."),
    ] = None,
    animate: Annotated[bool, typer.Option("--animate", help="The map as an animation.")] = False,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Several runs as replications: mean and 95 % interval.")
    ] = False,
) -> None:
    """Draw a run: its series over time, and the plots that its model brings; or its map; or several runs."""
    from simcore import views  # noqa: PLC0415
    from simcore.result import Result  # noqa: PLC0415
    from simcore.units import parse_ns  # noqa: PLC0415

    if (at is not None or animate) and not map:
        raise SimcoreError("--at and --animate are options of --map")
    if map and (series or intervals):
        raise SimcoreError("a map draws no series: leave --series and --intervals out")
    results = [Result.open(run) for run in runs]
    directory = out if out is not None else runs[0]
    if map:
        try:
            at_ns = None if at is None else parse_ns(at)
        except ValueError as error:
            raise SimcoreError(f"--at {at}: {error}") from None
        if len(results) > 1 and out is not None:
            raise SimcoreError("--out with --map takes one run")
        paths = [
            path
            for run, result in zip(runs, results, strict=True)
            for path in views.draw_maps(result, out or run, at_ns, animate)
        ]
    elif len(results) > 1:
        paths = views.draw_together(results, [str(run) for run in runs], directory, series, intervals=intervals)
    else:
        paths = views.draw_all(results[0], directory, series)
    for path in paths:
        typer.echo(f"{path}")


def schema(
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="[MODEL]", help="The model; may be left out when one is installed."),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", metavar="FILE", help="Write to a file instead of printing."),
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="The reference of all keys for people, as Markdown, instead.")
    ] = False,
) -> None:
    """Print the JSON schema of experiment files, for editors; or the reference of their keys."""
    from simcore.experiment import schema as schema_of  # noqa: PLC0415
    from simcore.run_directory import write_atomically  # noqa: PLC0415

    if reference:
        from simcore.reference import reference as reference_of  # noqa: PLC0415

        text = reference_of(model)
    else:
        text = json_format.dumps(schema_of(model), indent=2) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(out, text.encode())


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


def _print_result(result: Result, paths: list[Path]) -> None:
    from simcore.result import format_value  # noqa: PLC0415
    from simcore.tables import print_table, print_verdicts  # noqa: PLC0415

    rows = []
    for name, value in result.values.items():
        if name == "name":
            continue
        statistics = result.summary["statistics"].get(name)
        extremes = [format_value(name, statistics[key]) for key in ("min", "max")] if statistics else ["", ""]
        rows.append([name, format_value(name, value), *extremes])
    print_table([result.name, "final", "min", "max"], rows)
    print_verdicts(result.verdicts)
    for path in paths:
        typer.echo(f"{path}")
