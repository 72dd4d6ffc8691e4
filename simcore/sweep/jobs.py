"""What is sent to a worker, and what comes back: chunks of jobs out, short reports in; never results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from simcore.config import Loaded

__all__ = ["Chunk", "Job", "Keep", "Report", "Setting"]

Keep = Literal["summary", "series", "all"]
"""What a run leaves: its row only, its series beside it, or its whole run directory."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run to be made.

    Attributes:
        identity: hash of effective configuration, replication and model version.
        replication: number of the replication.
        overrides: value of every varied key, by dotted name.
        columns: the same as the table shows them.
        attempt: 1, and one more for every worker that died on it.
    """

    identity: str
    replication: int
    overrides: Mapping[str, Any]
    columns: Mapping[str, Any]
    attempt: int = 1


@dataclass(frozen=True)
class Setting:
    """What all jobs of a sweep have in common.

    Attributes:
        store: directory of the sweep, the same on every worker.
        base: the experiment without what is varied, as read from YAML.
        keep: what a run leaves.
        timeout_s: most seconds that one run may take; None for no limit.
        versions: columns of every row that tell the versions it was made with.
    """

    store: str
    base: Loaded
    keep: Keep
    timeout_s: float | None
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Chunk:
    """Jobs that one worker makes in a row."""

    name: str
    jobs: tuple[Job, ...]


@dataclass
class Report:
    """How a chunk went.

    Attributes:
        done: runs that succeeded.
        failed: runs that ended as failure, timeout or killed.
        wall_s: seconds that all of them took.
    """

    done: int = 0
    failed: int = 0
    wall_s: float = 0.0
