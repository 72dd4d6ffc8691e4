"""Sweeps for tests: files of the small queue model, and ways to run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from simcore.sweep.dispatch import Progress
from simcore.sweep.executors import open_pool
from simcore.sweep.plan import make_plan
from simcore.sweep.result import SweepResult
from simcore.sweep.rows import VOLATILE
from simcore.sweep.sweep import Sweep

MODEL = "tests.simcore.sweep.sweep_models:QueueModel"


def write_sweep(path: Path, **keys: Any) -> Path:
    """Write the configuration of a sweep over the queue model and return its path."""
    content = {
        "name": "queue",
        "model": MODEL,
        "customers": 5,
        **keys,
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def run(
    config: Path,
    out: Path,
    executor: str = "serial",
    report: Callable[[Progress], None] | None = None,
    **options: Any,
) -> SweepResult:
    with open_pool(executor, 2) as pool:
        return Sweep(make_plan(config), out).run(pool, report or (lambda progress: None), **options)


def run_and_forget(config: Path, out: Path, executor: str) -> None:
    """Run a sweep in a process that is going to be killed."""
    run(config, out, executor)


def stable(result: SweepResult) -> pa.Table:
    """Return the table without the columns that tell how runs were executed."""
    return result.to_table().drop_columns(list(VOLATILE))


def rows(result: SweepResult) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = result.to_table().to_pylist()
    return found
