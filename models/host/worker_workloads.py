"""The workloads of a live run: the system calls that `models.workloads` simulates, made for real."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.host.worker_files import churn, many_files, one_file
from models.host.worker_fork_bomb import fork_bomb
from models.host.worker_live import Live
from models.host.worker_spread import spread

__all__ = ["WORKLOADS", "Live"]

WORKLOADS: dict[str, Callable[[Live, dict[str, Any]], None]] = {
    "one_file": one_file, "many_files": many_files, "fork_bomb": fork_bomb, "spread": spread, "churn": churn,
}  # fmt: skip
