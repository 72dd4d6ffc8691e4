"""The command ``report``: one HTML file about a run or a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

__all__ = ["report"]


def report(
    directory: Annotated[Path, typer.Argument(metavar="RUN|SWEEP", help="A run directory, or that of a sweep.")],
    out: Annotated[
        Optional[Path],  # noqa: UP045 - Typer evaluates it
        typer.Option("--out", metavar="FILE", help="Where to write; report.html in the directory if not given."),
    ] = None,
) -> None:
    """Write a report: one page with charts, tables and provenance that opens from disk, without a network."""
    from simcore.report.write import write_report  # noqa: PLC0415 - help stays quick

    typer.echo(f"{write_report(directory, out)}")
