"""What the commands of sweeps write with: columns of text, durations, and a bar of progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from simcore.sweep.dispatch import Progress

__all__ = ["duration_text", "print_columns", "progress_bar"]

SHOWN_ROWS = 60
"""Rows of a table on the terminal; the whole is in the files."""


def print_columns(names: Sequence[str], rows: Sequence[Sequence[Any]], limit: int | None = SHOWN_ROWS) -> None:
    """Print rows in columns; numbers to the right.

    Args:
        names: headings.
        rows: cells, as many per row as there are names.
        limit: rows to print at most; None prints all.
    """
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


def duration_text(seconds: float) -> str:
    """Return seconds as people say them."""
    from simcore.units import format_ns  # noqa: PLC0415

    return format_ns(round(seconds) * 1e9) if seconds >= 10 else f"{seconds:.1f}s"


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
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
            rest = "" if progress.remaining_s is None else f"about {duration_text(progress.remaining_s)} left"
            failed = f", {progress.failed} failed" if progress.failed else ""
            bar.update(task, total=progress.total, completed=progress.ended, rest=rest + failed)

        yield report
