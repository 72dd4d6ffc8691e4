"""A discrete-event simulation engine: time, randomness, records, experiments, sweeps, results and plots.

From Python: ``simcore.run("configs/x.yaml", set={...})`` returns a ``Result``, ``simcore.run_sweep("sweep.yaml")`` a
``SweepResult``, and ``simcore.open_result(directory)`` either of them from a directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simcore.run import run

if TYPE_CHECKING:
    from simcore.open_result import open_result
    from simcore.sweep.sweep import run_sweep

__all__ = ["open_result", "run", "run_sweep"]

_HOMES = {"open_result": "simcore.open_result", "run_sweep": "simcore.sweep.sweep"}


def __getattr__(name: str) -> Any:
    """Import on first use: every command line starts here, and needs little."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    found = getattr(import_module(_HOMES[name]), name)
    # Importing simcore.open_result has put the module here; the function is what was asked for.
    globals()[name] = found
    return found
