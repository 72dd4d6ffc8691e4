"""One job becomes one row, whether its run succeeds, fails, or cannot tell its end by itself."""

from __future__ import annotations

import errno
import os
import platform
import time
import traceback
from collections.abc import Mapping
from typing import Any

from simcore.sweep.dotted_names import flatten
from simcore.sweep.errors import StoreError
from simcore.sweep.experiments import Experiments
from simcore.sweep.jobs import Job, Setting
from simcore.sweep.rows import VOLATILE, as_scalar

__all__ = ["KILLED", "Row", "failure_row", "run_job"]

TRACEBACK_LIMIT = 8000
"""Characters of a traceback that are kept, from its end."""

KILLED = "worker killed while it made this run, twice"
"""What the table says of a run that two workers died on."""

Row = dict[str, Any]


def run_job(job: Job, setting: Setting, experiments: Experiments | None = None) -> Row:
    """Make one run and return its row, whether it succeeds or fails.

    Raises:
        StoreError: there is no space for what the run leaves.
    """
    experiments = experiments or Experiments(setting.base)
    started_at, begin = time.time(), time.perf_counter()
    metrics: Mapping[str, Any] = {}
    status, message, trace = "done", None, None
    try:
        metrics = experiments.run(job, setting)
    except (Exception, SystemExit) as error:
        if _is_full(error):
            raise StoreError(
                f"no space left for {setting.store}: everything that was finished is kept; "
                "the same command continues from there once there is space"
            ) from error
        status, message = "failed", f"{type(error).__name__}: {error}"[:500]
        trace = "".join(traceback.format_exception(error))[-TRACEBACK_LIMIT:]
    row = _row(job, setting, status, message, trace)
    row |= {"started_at": started_at, "wall_s": time.perf_counter() - begin}
    for name, value in flatten(metrics).items():
        if name not in row and name not in VOLATILE:
            row[name] = as_scalar(value)
    return row


def failure_row(job: Job, setting: Setting, status: str, message: str, wall_s: float = 0.0) -> Row:
    """Return the row of a run that could not tell its end by itself."""
    return _row(job, setting, status, message, None) | {"started_at": time.time(), "wall_s": wall_s}


def _row(job: Job, setting: Setting, status: str, message: str | None, trace: str | None) -> Row:
    return {
        **{name: as_scalar(value) for name, value in job.columns.items()},
        "identity": job.identity,
        "replication": job.replication,
        "status": status,
        "error": message,
        "worker": f"{platform.node()}:{os.getpid()}",
        "attempts": job.attempt,
        "traceback": trace,
        "model_version": setting.versions["model_version"],
        "simcore_version": setting.versions["simcore_version"],
        "python_version": setting.versions["python_version"],
    }


def _is_full(error: BaseException | None) -> bool:
    """Tell whether a full disk is behind an error, however it was wrapped."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False
