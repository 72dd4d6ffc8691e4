"""Sweeps: design, plan, executors, store, and the table that they end in.

From Python: `run_sweep("sweep.yaml", out="runs/sweep", jobs=4).to_table()`, and long after
`SweepResult.open("runs/sweep")`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simcore.sweep.executors import Pool, open_pool
    from simcore.sweep.plan import Plan, make_plan
    from simcore.sweep.result import SweepResult
    from simcore.sweep.sweep import Sweep, run_sweep

__all__ = ["Plan", "Pool", "Sweep", "SweepResult", "make_plan", "open_pool", "run_sweep"]

_HOMES = {
    "Plan": "plan", "make_plan": "plan", "Pool": "executors", "open_pool": "executors",
    "SweepResult": "result", "Sweep": "sweep", "run_sweep": "sweep",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import on first use: the command line and every worker come through here, and need little of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
