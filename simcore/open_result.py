"""Opening what a directory holds, a run or a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from simcore.result import Result

if TYPE_CHECKING:
    from simcore.sweep.result import SweepResult

__all__ = ["open_result"]


def open_result(directory: Path | str) -> Result | SweepResult:
    """Return the run or the sweep in a directory.

    Raises:
        SimcoreError: Neither is there, or a run that did not finish.
    """
    if (Path(directory) / "sweep.json").exists():
        from simcore.sweep.result import SweepResult  # noqa: PLC0415 - most directories hold runs

        return SweepResult.open(directory)
    return Result.open(directory)
