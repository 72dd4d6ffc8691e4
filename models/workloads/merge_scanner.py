"""The scanner that merges entries of the direct map in rounds (`merging: periodic`)."""

from __future__ import annotations

from models.workloads.kernel_thread import kernel_thread
from models.workloads.system import System
from models.workloads.waits import Wait

__all__ = ["merge_scanner"]


def merge_scanner(system: System, interval_ns: int) -> Wait:
    """Scan every ``interval_ns``; how much of memory in a round, and which entries merge, the kernel's policy says."""
    return kernel_thread(system, interval_ns, system.kernel.merging.scan)
