"""A live run beside simulations of it that start from the same machine: ranges, errors, verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.host.live_counters import SPLITS_2M
from models.machine.page_runs import decode_pages, decode_runs
from models.machine.snapshot import Snapshot
from simcore.experiment import Experiment

__all__ = ["CounterRow", "LiveComparison", "compare_live", "free_share", "is_disturbed", "simulation_of"]


@dataclass(frozen=True)
class CounterRow:
    """One counter: real, and the simulations' median and range.

    Attributes:
        what: the counter.
        real: what the kernel did.
        median: of the simulations.
        low: least of them.
        high: greatest of them.
        allowed: how far the real value may be from the median; None: nothing is asked.
    """

    what: str
    real: float
    median: float
    low: float
    high: float
    allowed: float | None = None

    @property
    def error(self) -> float:
        """Median less real value."""
        return self.median - self.real

    @property
    def relative(self) -> float | None:
        """The error as a share of the real value; None where that is 0."""
        return self.error / self.real if self.real else None

    @property
    def in_range(self) -> bool:
        """Whether the real value lies in the simulated range."""
        return self.low <= self.real <= self.high

    @property
    def passed(self) -> bool:
        """In the range, and near enough to the median."""
        return self.allowed is None or (self.in_range and abs(self.error) <= self.allowed)


@dataclass(frozen=True)
class LiveComparison:
    """The outcome.

    Attributes:
        rows: one for each counter.
        real_splits: new entries of 2M that the kernel split; 0: the run proves nothing.
        placements: simulations made.
        free_share: share of the run's secret pages that were free when the machine was read; None: not known.
        notes: what to know about the comparison.
    """

    rows: Sequence[CounterRow]
    real_splits: int
    placements: int
    free_share: float | None
    notes: Sequence[str]

    @property
    def proves(self) -> bool:
        """Whether the kernel split anything, and began in the state that was read."""
        return self.real_splits > 0 and not is_disturbed(self.free_share)

    @property
    def passed(self) -> bool:
        """Whether the run proves something and every counter is within what is asked."""
        return self.proves and all(row.passed for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for programs."""
        rows = [
            {**asdict(row), "error": row.error, "in_range": row.in_range, "passed": row.passed} for row in self.rows
        ]
        return {
            "passed": self.passed,
            "proves": self.proves,
            "real_splits": self.real_splits,
            "placements": self.placements,
            "free_share": self.free_share,
            "notes": list(self.notes),
            "rows": rows,
        }


def simulation_of(
    experiment: Experiment, snapshot: Path, seed: int, *, costs: str | None, accounting: str | None, root: bool
) -> Experiment:
    """Return the experiment on the snapshot's machine, with another seed for what the snapshot does not know.

    The machine is the snapshot's; of the experiment's own machine only its costs remain.
    """
    data = experiment.effective()
    machine: dict[str, Any] = {"snapshot": str(snapshot)}
    machine["costs"] = costs or data["machine"].get("costs", "haswell_bare_metal")
    if "cost_values" in data["machine"]:
        machine["cost_values"] = data["machine"]["cost_values"]
    data |= {"machine": machine, "seed": seed, "expect": []}
    if accounting is not None:
        data.setdefault("kernel", {}).setdefault("secretmem", {})["accounting"] = accounting
    if root:
        users = data.setdefault("users", {})
        for workload in data["workloads"].values():
            users.setdefault(workload["user"], {})["capabilities"] = ["ipc_lock"]
    return Experiment.from_mapping(data)


def free_share(frames: NDArray[np.int64], snapshot: Snapshot) -> float | None:
    """Return the share of frames that were free, or on a per-CPU list, in a snapshot that knows its pages."""
    if snapshot.pages is None or not len(frames):
        return None
    inside = np.zeros(len(frames), bool)
    for _, pages in snapshot.pages.given_back:
        inside |= np.isin(frames, decode_pages(pages))
    for text in (snapshot.pages.free, snapshot.pages.unmarked):
        runs = decode_runs(text)
        at = np.searchsorted(runs[:, 0], frames, side="right") - 1
        inside |= (at >= 0) & (frames < runs[np.maximum(at, 0), 1])
    return float(inside.mean())


def is_disturbed(share: float | None) -> bool:
    """Whether a run took many pages that others gave back only after the machine was read."""
    return share is not None and share < _UNDISTURBED


_UNDISTURBED = 0.9


def compare_live(
    real: Mapping[str, float],
    simulated: Sequence[Mapping[str, float]],
    kernel: str = "",
    share: float | None = None,
) -> LiveComparison:
    """Put a live run's counters beside those of simulations over placements.

    The number of new 2M splits must lie in the simulated range and within max(2, 20 %) of its median.

    Args:
        real: of the live run.
        simulated: of each simulation.
        kernel: its name, if it differs from the modelled one.
        share: of the run's pages that were free when the machine was read; None: not known.
    """
    rows = []
    for what, value in real.items():
        values = [run[what] for run in simulated if what in run]
        if not values:
            continue
        median = float(np.median(values))
        allowed = max(2.0, 0.2 * median) if what == SPLITS_2M else None
        rows.append(CounterRow(what, value, median, min(values), max(values), allowed))
    splits = int(real[SPLITS_2M])
    return LiveComparison(rows, splits, len(simulated), share, _notes(splits, kernel, share))


def _notes(splits: int, kernel: str, share: float | None) -> list[str]:
    notes = []
    if splits == 0:
        notes.append(
            "The kernel split nothing: its secret pages came from regions that are at 4K already, as on a second run. "
            "This run proves nothing and does not count."
        )
    if is_disturbed(share):
        notes.append(
            f"Only {share:.0%} of the secret pages were free when the machine was read: other processes gave pages "
            "back between reading and running. This run does not count; repeat it when the machine is quiet."
        )
    if kernel:
        notes.append(
            f"{kernel}: from 6.7 on per-CPU high marks and refills tune themselves, from 6.18 on some slabs have "
            "sheaves; the model has 6.1's batches, and a snapshot's high marks stay as found."
        )
    return notes
