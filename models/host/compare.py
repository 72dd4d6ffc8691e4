"""Snapshot, live run, simulations over placements: one experiment on this machine and on its model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.host import procfs
from models.host.live import LiveRun, run_live, to_result
from models.host.live_comparison import (
    LiveComparison,
    compare_live,
    free_share,
    live_counters,
    simulated_counters,
    simulation_of,
)
from models.host.live_plan import LivePlan
from models.host.live_worker import ask_worker
from models.host.scatter import scatter_request
from models.host.snapshot import take_snapshot, to_yaml
from models.host.sources import Captured, Sources, Unreadable, capture, unmarked_now
from models.host.split_regions import known_regions
from models.machine.snapshot import Snapshot
from simcore.experiment import Experiment
from simcore.result import Result
from simcore.run_directory import write_atomically
from simcore.simulation import simulate

__all__ = ["Outcome", "compare_here", "run_captured"]


@dataclass(frozen=True)
class Outcome:
    """Everything that a comparison made; the simulations in the order of their seeds."""

    comparison: LiveComparison
    snapshot: Snapshot
    run: LiveRun
    real: Result
    simulated: Sequence[Result]


def run_captured(wanted: LivePlan, scatter: int = 0, seed: int = 0) -> tuple[LiveRun, Captured]:
    """Run on the kernel, and return what its files said when the run was about to begin.

    Args:
        wanted: what to run.
        scatter: 2M regions over which to scatter free kernel memory first; it is put together again at the end.
        seed: of the scattering.
    """
    kept: list[tuple[LiveRun, Captured]] = []
    frames = max((zone.fields["start_pfn"] + zone.fields["spanned"] for zone in _zones()), default=0)
    buffer = bytearray(8 * frames) if os.access("/proc/kpageflags", os.R_OK) else bytearray()
    known, earlier = known_regions(), unmarked_now(buffer)

    def run() -> None:
        captured: list[Captured] = []
        live = run_live(wanted, lambda: captured.append(capture(buffer)))
        kept.append((live, replace(captured[0], known_4k=known, earlier=earlier)))

    if scatter:
        # More pages than the run needs, its slabs and page tables included.
        given_back = -(-3 * (wanted.secret_pages + 20 * wanted.tasks) // scatter) + 8
        ask_worker(scatter_request(scatter, given_back, seed), run)
    else:
        run()
    return kept[0]


def _zones() -> list[procfs.ZoneInfo]:
    try:
        return procfs.parse_zoneinfo(Sources().text("zoneinfo"))
    except (Unreadable, procfs.ProcError):
        return []


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
    all the time, and so would this one. The simulations know the snapshot alone. What it does not tell (order of lists,
    per-CPU lists, regions at 4K) is drawn anew for each.

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
    run, captured = run_captured(wanted, scatter, experiment.keys.seed)
    snapshot = take_snapshot(captured)
    write_atomically(path, to_yaml(snapshot).encode())
    real = to_result(run, experiment)
    real.save(out / "real")
    accounting = snapshot.secretmem.accounting
    simulated = []
    for number in range(placements):
        report(f"simulating placement {number + 1} of {placements}")
        seed = experiment.keys.seed + number
        again = simulation_of(experiment, path, seed, costs=costs, accounting=accounting, root=os.geteuid() == 0)
        simulated.append(simulate(again))
    simulated[0].save(out / "simulated")
    kernel = f"Linux {snapshot.kernel.release}" if snapshot.kernel.version >= (6, 7) else ""
    # Tasks of a fork bomb hand pages on to each other: for them the share says nothing.
    share = None if wanted.tasks else free_share(run.frames, snapshot)
    counters = [simulated_counters(result) for result in simulated]
    comparison = compare_live(live_counters(run), counters, kernel, share)
    return Outcome(comparison, snapshot, run, real, simulated)
