"""Snapshot, live run, simulations over placements: one experiment on this machine and on its model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.host.capture import Capture, Captured
from models.host.live import LiveRun, run_live, to_result
from models.host.live_comparison import (
    LiveComparison,
    compare_live,
    free_share,
    larger_task,
    others_beside,
    simulation_of,
)
from models.host.live_counters import live_counters, simulated_counters
from models.host.live_plan import LivePlan
from models.host.live_worker import ask_worker
from models.host.scatter import free_split_regions, scatter_request
from models.host.snapshot import take_snapshot
from models.host.snapshot_file import to_yaml
from models.host.sources import Unreadable
from models.kernel.footprint_presets import load_footprints
from models.machine.snapshot import Snapshot
from simcore.experiment import Experiment
from simcore.result import Result
from simcore.run_directory import write_atomically
from simcore.simulation import simulate
from simcore.streams import Streams
from simcore.units import format_bytes

__all__ = ["Outcome", "compare_here", "run_captured"]


@dataclass(frozen=True)
class Outcome:
    """Everything that a comparison made; the simulations in the order of their seeds."""

    comparison: LiveComparison
    snapshot: Snapshot
    run: LiveRun
    real: Result
    simulated: Sequence[Result]


_LARGEST = 2.0
"""What of a larger task is known are page tables and mappings; all that grows with them may be twice as much."""


def run_captured(
    wanted: LivePlan, scatter: int = 0, seed: int = 0, report: Callable[[str], None] = lambda text: None
) -> tuple[LiveRun, Captured]:
    """Run on the kernel, and return the state of the machine when the run was about to begin.

    Args:
        wanted: what to run.
        scatter: 2M regions over which to scatter free kernel memory first; it is put together again at the end.
        seed: of the scattering.
        report: told what else is taken.
    """
    kept: list[tuple[LiveRun, Captured]] = []
    with Capture() as capture:

        def run() -> None:
            captured: list[Captured] = []
            live = run_live(wanted, lambda: captured.append(capture.now()))
            kept.append((live, captured[0]))

        if scatter:
            request = _scattering(wanted, scatter, seed, capture)
            held_bytes = (request["leftovers"] + 512 * scatter) * 4096
            report(f"before that {format_bytes(held_bytes)} of kernel memory is held")
            ask_worker(request, run)
        else:
            run()
    return kept[0]


def _scattering(wanted: LivePlan, regions: int, seed: int, capture: Capture) -> dict[str, Any]:
    """Return the request to scatter more free kernel memory than a run takes."""
    cpus = sorted(os.sched_getaffinity(0))
    memory = capture.memory()
    split = 0 if isinstance(memory, Unreadable) else free_split_regions(memory[0].buddy, memory[1])
    given_back = 2 * (wanted.kernel_pages + wanted.kernel_pages // 4 + _SPARE_PAGES)
    return scatter_request(
        regions, given_back, seed, cpus=cpus if wanted.tasks else cpus[:1], split_regions=split
    )


_SPARE_PAGES = 256
"""What a process or two of somebody else may take."""


def compare_here(
    experiment: Experiment,
    wanted: LivePlan,
    out: Path,
    *,
    placements: int,
    costs: str | None = None,
    scatter: int = 0,
    report: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Compare an experiment on this machine with its simulation.

    The machine is read when the run is about to begin, and looked at afterwards: other processes change the free lists
    all the time, and so would this one. The simulations know the snapshot alone. What it does not tell is drawn anew
    for each: as root little more than what other processes take, else the order of lists, per-CPU lists, regions at 4K.

    Args:
        experiment: has one workload.
        wanted: its plan.
        out: directory for the snapshot and the real and simulated run directories.
        placements: how many simulations.
        costs: cost preset or file; None: the experiment's.
        scatter: 2M regions over which to scatter free kernel memory first, see `models.host.worker_scatter`; 0: none.
        report: told what happens.

    Raises:
        LiveRefusalError: This machine does not allow the run.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = (out / "machine.yaml").absolute()
    report("running on the kernel")
    run, captured = run_captured(wanted, scatter, experiment.keys.seed, report)
    snapshot = take_snapshot(captured)
    write_atomically(path, to_yaml(snapshot).encode())
    real = to_result(run, experiment)
    real.save(out / "real")
    accounting = snapshot.secretmem.accounting
    footprints = load_footprints(experiment.effective()["kernel"]["footprints"])
    kernel_pages = larger_task(run.task, footprints)
    simulated: list[Result] = []
    for number in range(placements):
        report(f"simulating placement {number + 1} of {placements}")
        seed = experiment.keys.seed + number
        others, larger = None, kernel_pages
        if simulated:  # in the first one the machine is quiet, and tasks are as large as is known
            random, lasts_ns = Streams(seed).get("host.others"), int(simulated[0].summary["simulated_ns"])
            others = others_beside(wanted.kernel_pages, lasts_ns, random)
            larger = round(kernel_pages * random.uniform(1.0, _LARGEST))
        again = simulation_of(
            experiment, path, seed, costs=costs, accounting=accounting, root=os.geteuid() == 0, others=others,
            kernel_pages=larger,
        )  # fmt: skip
        simulated.append(simulate(again))
    simulated[0].save(out / "simulated")
    kernel = f"Linux {snapshot.kernel.release}" if snapshot.kernel.version >= (6, 7) else ""
    # Tasks of a fork bomb hand pages on to each other: for them the share says nothing.
    share = None if wanted.tasks else free_share(run.frames, snapshot)
    counters = [simulated_counters(result) for result in simulated]
    comparison = compare_live(live_counters(run), counters, kernel, share)
    return Outcome(comparison, snapshot, run, real, simulated)
