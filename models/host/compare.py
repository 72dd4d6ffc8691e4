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
    simulation_of,
)
from models.host.live_counters import live_counters, simulated_counters
from models.host.live_plan import LivePlan
from models.host.live_worker import ask_worker
from models.host.scatter import free_split_regions, scatter_request
from models.host.settling import plan_settling
from models.host.snapshot import take_snapshot
from models.host.snapshot_file import to_yaml
from models.host.sources import Captured, Sources, Unreadable, capture, page_tables_now, unmarked_now
from models.host.split_regions import known_regions
from models.machine.snapshot import Snapshot
from simcore.experiment import Experiment
from simcore.result import Result
from simcore.run_directory import write_atomically
from simcore.simulation import simulate
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


def run_captured(
    wanted: LivePlan, scatter: int = 0, seed: int = 0, report: Callable[[str], None] = lambda text: None
) -> tuple[LiveRun, Captured]:
    """Run on the kernel, and return what its files said when the run was about to begin.

    Args:
        wanted: what to run.
        scatter: 2M regions over which to scatter free kernel memory first; it is put together again at the end.
        seed: of the scattering.
        report: told what else is taken.
    """
    kept: list[tuple[LiveRun, Captured]] = []
    frames = max((zone.fields["start_pfn"] + zone.fields["spanned"] for zone in _zones()), default=0)
    buffer = bytearray(8 * frames) if os.access("/proc/kpageflags", os.R_OK) else bytearray()
    # Who may not read page flags may not look frames up either.
    settling = plan_settling(wanted) if buffer else None
    if settling is not None:
        report(settling.statement)
    tables, known, earlier = page_tables_now(), known_regions(), unmarked_now(buffer)

    def run() -> None:
        captured: list[Captured] = []
        live = run_live(wanted, lambda: captured.append(capture(buffer)), settling=settling)
        found = replace(
            captured[0], known_4k=known, earlier=earlier, page_tables=tables, given_back=tuple(live.given_back)
        )
        kept.append((live, found))

    if scatter:
        cpus = sorted(os.sched_getaffinity(0))
        request = scatter_request(
            scatter, 2 * plan_settling(wanted).pages, seed,
            cpus=cpus if wanted.tasks else cpus[:1], split_regions=free_split_regions(buffer, known),
        )  # fmt: skip
        report(f"before that {format_bytes((request['leftovers'] + 512 * scatter) * 4096)} of kernel memory is held")
        ask_worker(request, run)
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
    run, captured = run_captured(wanted, scatter, experiment.keys.seed, report)
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
