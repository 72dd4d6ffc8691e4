"""The command that compares the model with recordings of real kernels: files, modes, verdict."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from simcore.errors import SimcoreError, nearest_name

if TYPE_CHECKING:
    from models.host.comparison import Comparison, Options
    from models.host.recording import AllocatorRecording, CountersRecording

__all__ = ["MODES", "Mode", "compare_all", "compare_for_page", "find_recordings", "validate"]


@dataclass(frozen=True)
class Mode:
    """One way to compare.

    Attributes:
        kind: Which recordings it can read: ``allocator`` or ``counters``.
        target: ``module:function``, imported when it is used. The function takes the recording and `Options`
            and returns a `Comparison`; that the model is wrong is what a comparison says, not an error.
    """

    kind: str
    target: str

    def compare(self, recording: AllocatorRecording | CountersRecording, options: Options) -> Comparison:
        """Return the outcome on ``recording``."""
        module, _, function = self.target.partition(":")
        run: Callable[[Any, Options], Comparison] = getattr(import_module(module), function)
        return run(recording, options)


#: All modes, in the order in which they run.
MODES: Mapping[str, Mode] = {
    "replay": Mode("allocator", "models.host.replay_comparison:compare"),
    "simulate": Mode("allocator", "models.host.simulate:compare"),
    "counters": Mode("counters", "models.host.placements:compare"),
}


def find_recordings(paths: Sequence[Path]) -> list[Path]:
    """Return files as they are, and what ``*.json`` and ``*.json.gz`` there is in directories.

    Raises:
        SimcoreError: A path is not there, or a directory holds no recording.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted({*path.rglob("*.json"), *path.rglob("*.json.gz")})
            if not inside:
                raise SimcoreError(f"{path}: no recording (*.json, *.json.gz) in this directory")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise SimcoreError(f"{path}: no such file or directory")
    return list(dict.fromkeys(found))


def compare_all(
    paths: Sequence[Path], chosen: Sequence[str], options: Options, modes: Mapping[str, Mode] = MODES
) -> Iterator[Comparison]:
    """Compare every recording in every chosen mode that it allows, one recording in memory at a time.

    Args:
        paths: Files and directories.
        chosen: Names of modes; empty for all.
        options: What the modes may be told.
        modes: The modes there are.

    Raises:
        SimcoreError: A path or mode is unknown, a recording is refused, or no mode fits any of them.
    """
    from models.host.recording import AllocatorRecording, read_recording  # noqa: PLC0415

    for name in chosen:
        if name not in modes:
            nearest = nearest_name(name, modes)
            hint = f"; did you mean {nearest!r}?" if nearest else ""
            raise SimcoreError(f"--mode: unknown mode {name!r}, expected one of {', '.join(modes)}{hint}")
    compared = False
    for path in find_recordings(paths):
        recording = read_recording(path)
        kind = "allocator" if isinstance(recording, AllocatorRecording) else "counters"
        for name, mode in modes.items():
            if mode.kind == kind and (not chosen or name in chosen):
                compared = True
                yield mode.compare(recording, options)
    if not compared:
        raise SimcoreError(f"--mode {' '.join(chosen)}: none of these recordings has what it needs")


def compare_for_page(
    paths: Sequence[Path], comparisons: Sequence[Comparison], options: Options
) -> list[Comparison]:
    """Return comparisons with what a page of documentation has besides: simulations that nothing is given to."""
    simulated = any(comparison.mode == "simulate" for comparison in comparisons)
    if not simulated or options.schedule == "own":
        return list(comparisons)
    return [*comparisons, *compare_all(paths, ["simulate"], replace(options, schedule="own"))]


def validate(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings, or directories that hold them.")],
    *,
    mode: Annotated[
        list[str] | None,
        typer.Option(help="replay, simulate or counters; repeatable. Default: all that fit."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Draw simulated over recorded series.")] = False,
    out: Annotated[Path, typer.Option(help="Directory of the plots.")] = Path("validation"),
    document: Annotated[
        Path | None, typer.Option(help="Write the results as a page of documentation.")
    ] = None,
    placements: Annotated[int, typer.Option(min=1, help="Placements drawn in mode counters.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the placements.")] = 0,
    schedule: Annotated[
        Literal["recorded", "own"],
        typer.Option(help="Who ran when, in mode simulate: as recorded, or as the model has it."),
    ] = "recorded",
) -> None:
    """Compare the model with recordings of real kernels; exit 1 when it is outside the tolerance."""
    from rich.console import Console  # noqa: PLC0415

    from models.host.comparison import Options  # noqa: PLC0415
    from models.host.validation_document import write_document  # noqa: PLC0415
    from models.host.validation_report import plot as draw  # noqa: PLC0415
    from models.host.validation_report import print_tables, to_json  # noqa: PLC0415

    progress = Console(stderr=True)
    comparisons = []
    options = Options(placements, seed, schedule)
    for comparison in compare_all(recordings, mode or (), options):
        comparisons.append(comparison)
        verdict = "ok" if comparison.passed else "FAILED"
        progress.print(f"{comparison.mode} {comparison.recording}: {verdict}", highlight=False)
        if plot and (picture := draw(comparison, out)) is not None:
            progress.print(f"  {picture}", highlight=False, soft_wrap=True)
    if as_json:
        sys.stdout.write(to_json(comparisons) + "\n")
    else:
        console = Console()
        # A file or a pipe has no width to fit into.
        print_tables(comparisons, console if console.is_terminal else Console(width=200))
    if document is not None:
        write_document(compare_for_page(recordings, comparisons, options), document)
    if not all(comparison.passed for comparison in comparisons):
        raise typer.Exit(1)
