"""What can go wrong with a sweep as a whole; a run that fails is a row of the table and no error."""

from __future__ import annotations

from simcore.errors import SimcoreError

__all__ = ["StoreError", "SweepError", "WorkerLost"]


class SweepError(SimcoreError):
    """A sweep that cannot start or cannot go on."""


class StoreError(SweepError):
    """The sweep's directory cannot be read or written; what was finished before is kept."""


class WorkerLost(Exception):  # noqa: N818  (an event that the sweep survives)
    """A worker process ended in the middle of its work; the message says by which signal or exit code."""
