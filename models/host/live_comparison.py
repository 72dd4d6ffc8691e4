"""A live run beside simulations of it that start from the same machine: ranges, errors, verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.host.live_counters import SPLITS_2M
from models.kernel.footprints import Footprints
from models.machine.page_runs import decode_runs
from models.machine.snapshot import Snapshot
from simcore.experiment import Experiment

__all__ = [
    "CounterRow", "LiveComparison", "compare_live", "free_share", "is_disturbed",
    "larger_task", "others_beside", "simulation_of",
]  # fmt: skip


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
    experiment: Experiment, snapshot: Path, seed: int, *, costs: str | None, accounting: str | None, root: bool,
    others: Mapping[str, Any] | None = None, kernel_pages: int = 0,
) -> Experiment:  # fmt: skip
    """Return the experiment on the snapshot's machine, with another seed for what the snapshot does not know.

    The machine is the snapshot's; of the experiment's own machine only its costs remain. ``others`` is the workload of
    processes beside it, as `others_beside` draws it, and ``kernel_pages`` what a task of a fork bomb takes besides, as
    `larger_task` tells.
    """
    data = experiment.effective()
    machine: dict[str, Any] = {"snapshot": str(snapshot)}
    machine["costs"] = costs or data["machine"].get("costs", "haswell_bare_metal")
    if "cost_values" in data["machine"]:
        machine["cost_values"] = data["machine"]["cost_values"]
    data |= {"machine": machine, "seed": seed, "expect": []}
    if kernel_pages:
        data["workloads"] = {
            name: {**workload, "kernel_pages": kernel_pages} for name, workload in data["workloads"].items()
        }
    if others is not None:
        name = "others"
        while name in data["workloads"]:
            name += "_"
        data["workloads"] = {**data["workloads"], name: dict(others)}
    if accounting is not None:
        data.setdefault("kernel", {}).setdefault("secretmem", {})["accounting"] = accounting
    if root:
        users = data.setdefault("users", {})
        for workload in data["workloads"].values():
            users.setdefault(workload.get("user", "user"), {})["capabilities"] = ["ipc_lock"]
    return Experiment.from_mapping(data)


def larger_task(task: Mapping[str, int], footprints: Footprints) -> int:
    """Return how many kernel pages a forked task takes besides what the footprints say: they are of a small program.

    Args:
        task: ``page_tables`` and ``mappings`` of a task that was forked on trial; empty: nothing is known.
        footprints: of the model.
    """
    if not task:
        return 0
    fork = footprints.operations["fork"]
    tables = sum(step.count or 1 for step in fork if step.page_table in _COUNTED_TABLES and step.with_flag is None)
    mappings = sum(step.count or 1 for step in fork if step.object == "vm_area_struct" and step.with_flag is None)
    slabs = max(0, task["mappings"] - mappings) * _MAPPING_BYTES // 4096
    return max(0, task["page_tables"] - tables) + slabs


_COUNTED_TABLES = ("pte", "pmd", "pud")
"""What VmPTE counts [6.1 `mm_pgtables_bytes`]."""
_MAPPING_BYTES = 512
"""A vm_area_struct, two anon_vma_chain, an anon_vma, and a mapping's part of a maple node, about."""


def others_beside(kernel_pages: int, lasts_ns: int, random: np.random.Generator) -> dict[str, Any]:
    """Return a workload of other processes: up to a share of the run's own kernel pages, spread over its time.

    Nobody tells how much others will take: the share is an assumption. So is what they take of the CPUs' lists first.

    Args:
        kernel_pages: that the run itself takes.
        lasts_ns: how long it lasts when it is alone.
        random: draws how many.
    """
    steps = 1 + int(random.integers(1 + int(_OTHERS_SHARE * kernel_pages / _PAGES_A_STEP)))
    return {
        "kind": "others", "steps": steps, "rate": steps * 1e9 / max(lasts_ns, 1), "pages": [1, 2 * _PAGES_A_STEP],
        "before": True,
    }  # fmt: skip


_OTHERS_SHARE = 0.1
_PAGES_A_STEP = 8


def free_share(frames: NDArray[np.int64], snapshot: Snapshot) -> float | None:
    """Return the share of frames that were free, or on a per-CPU list, in a snapshot that knows where those are."""
    if not len(frames):
        return None
    if snapshot.lists is not None:
        starts, pages = snapshot.lists.blocks()
        order = np.argsort(starts)
        return _inside(frames, starts[order], (starts + pages)[order])
    if snapshot.pages is None:
        return None
    runs = [decode_runs(text) for text in (snapshot.pages.free, snapshot.pages.unmarked)]
    both = np.concatenate(runs)[np.argsort(np.concatenate(runs)[:, 0])]
    return _inside(frames, both[:, 0], both[:, 1])


def _inside(frames: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> float:
    """Return the share of frames that lie in one of some ranges; these ascend and do not overlap."""
    at = np.searchsorted(starts, frames, side="right") - 1
    return float(((at >= 0) & (frames < ends[np.maximum(at, 0)])).mean())


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
            f"{kernel}: what 6.7 changed in per-CPU lists is modelled and not proved by recordings; that some slabs "
            "have sheaves from 6.18 on, and that CPUs' lists decay once a second, is not modelled."
        )
    return notes
