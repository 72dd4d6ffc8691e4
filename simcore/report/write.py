"""Writing the report of whatever a directory holds: a run, or a sweep."""

from __future__ import annotations

from pathlib import Path

from simcore.errors import OutputError
from simcore.result import Result
from simcore.run_directory import write_atomically

__all__ = ["write_report"]


def write_report(directory: Path | str, out: Path | str | None = None) -> Path:
    """Write the report of a run or a sweep; return the file.

    Args:
        directory: Of the run or the sweep.
        out: The file; ``report.html`` in the directory if None.

    Raises:
        OutputError: Neither is there, or the file cannot be written.
    """
    directory = Path(directory)
    if (directory / "sweep.json").exists():
        from simcore.report.sweep_report import sweep_report  # noqa: PLC0415 - brings SciPy
        from simcore.sweep.result import SweepResult  # noqa: PLC0415

        page = sweep_report(SweepResult.open(directory))
    elif directory.is_dir():
        from simcore.report.run_report import run_report  # noqa: PLC0415

        page = run_report(Result.open(directory))
    else:
        raise OutputError(f"{directory}: no such run or sweep")
    path = directory / "report.html" if out is None else Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())
    return path
