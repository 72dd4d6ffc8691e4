"""The commands `host snapshot|run|compare|calibrate`. Heavy imports wait inside them."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from models.host.live_plan import LivePlan
    from simcore.experiment import Experiment

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The real kernel of this machine: snapshot it, run on it, compare, calibrate.",
)

MAX_PAGES = 2048
ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="An experiment with one workload.")]
SetOption = Annotated[
    Optional[list[str]],  # noqa: UP045 - Typer evaluates it
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change a key; may be repeated."),
]
OutOption = Annotated[Optional[Path], typer.Option("--out", help="Where to write.")]  # noqa: UP045
YesOption = Annotated[bool, typer.Option("--yes", help="Go on beyond --max-pages or 64 tasks.")]
MaxOption = Annotated[int, typer.Option("--max-pages", min=1, help="Most secret pages without --yes.")]
ScatterOption = Annotated[
    int,
    typer.Option(
        min=0, max=256, help="First scatter free kernel memory over that many 2M regions; holds up to 1 GiB meanwhile."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command()
def snapshot(
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("machine.yaml"),
    files: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--files", metavar="DIR", help="Copies of another machine's /proc files, instead of this one's."),
    ] = None,
) -> None:
    """Write this machine as a machine file; says where each part came from and what could not be read."""
    from models.host.snapshot import take_snapshot  # noqa: PLC0415
    from models.host.snapshot_file import describe, to_yaml  # noqa: PLC0415
    from models.host.sources import Sources  # noqa: PLC0415
    from simcore.run_directory import write_atomically  # noqa: PLC0415

    taken = take_snapshot(None if files is None else Sources.copied(files))
    write_atomically(out, to_yaml(taken).encode())
    for line in describe(taken, out):
        typer.echo(line)


@app.command()
def run(
    config: ConfigArgument,
    *,
    set: SetOption = None,
    out: OutOption = None,
    max_pages: MaxOption = MAX_PAGES,
    yes: YesOption = False,
    record: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--record", metavar="FILE", help="Write a recording too (.json or .json.gz)."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run the workload with real system calls. Splits of the direct map last until the machine reboots."""
    from models.host.live import run_live, to_result  # noqa: PLC0415
    from models.host.recording_writer import write_recording  # noqa: PLC0415
    from models.host.snapshot import take_snapshot  # noqa: PLC0415
    from simcore import views  # noqa: PLC0415
    from simcore.run_directory import check_place  # noqa: PLC0415

    experiment, wanted = _announced(config, set or [], max_pages, yes)
    directory = out if out is not None else Path("runs") / f"{experiment.directory_name}-real"
    check_place(directory)
    before = take_snapshot() if record is not None else None
    live = run_live(wanted)
    result = to_result(live, experiment)
    result.save(directory)
    paths = [directory, *views.draw_all(result, directory)]
    if record is not None and before is not None:
        paths.append(write_recording(live, before, record))
    if json:
        typer.echo(result.to_json())
        return
    _print_run(result.values, live.refused)
    for path in paths:
        typer.echo(f"{path}")
    if not result.passed:
        raise typer.Exit(1)


@app.command()
def compare(
    config: ConfigArgument,
    *,
    set: SetOption = None,
    out: OutOption = None,
    placements: Annotated[int, typer.Option(min=1, help="Simulations, each with another placement.")] = 20,
    costs: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--costs", help="Cost preset or file, such as `host calibrate` writes."),
    ] = None,
    scatter: ScatterOption = 0,
    max_pages: MaxOption = MAX_PAGES,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Snapshot, run, simulate from the snapshot; exit 1 when the new splits are not as simulated, or there are none."""
    from models.host.compare import compare_here  # noqa: PLC0415
    from models.host.live_figure import draw_comparison  # noqa: PLC0415
    from models.host.live_report import print_comparison  # noqa: PLC0415

    experiment, wanted = _announced(config, set or [], max_pages, yes)
    directory = out if out is not None else Path("runs") / f"{experiment.directory_name}-compare"
    file = str(Path(costs).absolute()) if costs is not None and costs.endswith((".yaml", ".yml")) else costs
    outcome = compare_here(
        experiment, wanted, directory, placements=placements, costs=file, scatter=scatter,
        report=lambda text: typer.echo(f"  {text}", err=True),
    )  # fmt: skip
    figure = draw_comparison(outcome, directory / "comparison.png")
    document = outcome.comparison.to_json()
    (directory / "comparison.json").write_text(json_format.dumps(document, indent=2) + "\n", encoding="utf-8")
    if json:
        typer.echo(json_format.dumps(document, indent=2))
    else:
        print_comparison(outcome)
        typer.echo(f"{figure}")
    if not outcome.comparison.passed:
        raise typer.Exit(1)


@app.command()
def calibrate(
    *,
    out: Annotated[Path, typer.Option("--out", help="The cost preset to write.")] = Path("costs.yaml"),
    rounds: Annotated[int, typer.Option(min=1, help="Repetitions; medians are over all of them.")] = 8,
    pages: Annotated[int, typer.Option(min=16, max=MAX_PAGES, help="Secret pages touched in each repetition.")] = 512,
    scatter: ScatterOption = 0,
) -> None:
    """Measure what operations cost on this machine, and write a cost preset."""
    from models.host.calibrate import calibrate_here, describe  # noqa: PLC0415
    from simcore.run_directory import write_atomically  # noqa: PLC0415

    typer.echo(
        f"calibrate takes {pages} secret pages at a time, 600 MiB of ordinary memory at most, and keeps every CPU "
        "busy for some seconds. Its secret pages may split entries of the direct map: splits last until the machine "
        "reboots.",
        err=True,
    )
    calibration = calibrate_here(rounds, pages, scatter)
    write_atomically(out, calibration.to_yaml().encode())
    for line in describe(calibration, out):
        typer.echo(line)


def _announced(config: Path, overrides: list[str], max_pages: int, yes: bool) -> tuple[Experiment, LivePlan]:
    """Say what a live run will take, and ask for consent where it is large."""
    from models.host.live_plan import LiveRefusalError, check, plan  # noqa: PLC0415
    from simcore.experiment import Experiment  # noqa: PLC0415

    experiment = Experiment.load(config, overrides)
    wanted = plan(experiment)
    typer.echo(wanted.statement, err=True)
    if (why := wanted.needs_consent(max_pages)) and not yes:
        raise LiveRefusalError(f"{why}: say --yes to go on")
    check(wanted)
    return experiment, wanted


def _print_run(values: dict[str, object], refused: str | None) -> None:
    from simcore.result import format_value  # noqa: PLC0415
    from simcore.tables import print_table  # noqa: PLC0415

    rows = [[name, format_value(name, value)] for name, value in values.items() if name not in {"name", "real"}]
    print_table([str(values["name"]), "real"], rows)
    if refused:
        typer.echo(f"the kernel refused on the way: {refused}")
    if not values["splits.new_2m"]:
        typer.echo("nothing was split: the pages came from regions that are at 4K already, as on a second run")
