"""Running a recorded workload with the model's own tasks: the run itself, and what is read at each of its samples."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

import simpy

from models.host.placed_cpus import PlacedCpus
from models.host.recorded_cpus import Turns, share_slabs
from models.host.recorded_fragmenting import Fragmenting
from models.host.recorded_kcompactd import RecordedKcompactd
from models.host.recorded_notes import Notes, Observed
from models.host.recorded_program import MAPPED_AT_START, PREPARED_NS, Program
from models.host.recorded_schedule import OWN, Schedule
from models.kernel.areas import MMAP_TOP
from models.kernel.compaction.background import Background
from models.kernel.entities import Task
from models.kernel.errors import KernelRefusal
from models.kernel.footprints import BackgroundSpec
from models.kernel.kernel import Kernel
from models.kernel.limits import UNLIMITED, User
from models.kernel.list_costs import forgive
from models.kernel.mapping_tree import MappingTree
from models.kernel.pages.layout import NONE
from models.kernel.program_steps import SCRATCH
from models.kernel.slab_caches import give_object
from models.workloads.background_compaction import Kcompactd
from models.workloads.base import Workload, WorkloadConfig
from models.workloads.churn import Churn
from models.workloads.clocks import Clocks
from models.workloads.cpus import Cpus
from models.workloads.fair_cpus import FairCpu
from models.workloads.files import ManyFiles, OneFile
from models.workloads.fork_bomb import ForkBomb
from models.workloads.spread import Spread
from models.workloads.system import System
from models.workloads.thread import Thread
from models.workloads.ticks import Ticks
from models.workloads.waits import Killed
from models.workloads.watched_cpus import WatchedCpus
from simcore.environment import Environment

__all__ = ["policy_config", "run_recorded"]

_WORKLOADS: dict[str, type[Workload]] = {
    "one_file": OneFile,
    "many_files": ManyFiles,
    "fork_bomb": ForkBomb,
    "spread": Spread,
    "churn": Churn,
}
_POLICIES: dict[str, dict[str, Any]] = {
    "page": {"policy": "page"},
    "pmd_pool": {"policy": "pmd_pool", "options": {"migratetype": "unmovable", "version": "v8", "flush": "local"}},
    "pmd_pool_pagewise": {
        "policy": "pmd_pool",
        "options": {"migratetype": "unmovable", "removal": "page", "version": "v8", "flush": "local"},
    },
}
#: Descriptors that the recorded program has open before its first secret file.
_DESCRIPTORS = 8


def policy_config(recorded: str) -> dict[str, Any]:
    """Return the configuration of a secretmem policy by the name that recordings have for it; limits do not bind."""
    return {**_POLICIES[recorded], "accounting": "per_user"}


def run_recorded(
    kernel: Kernel, cpus: int, config: WorkloadConfig, *, idle_ns: int, seed: int = 0,
    fragmenting: Fragmenting | None = None, noted: int = 0, first_cpu: int = 0, check_ns: int | None = None,
    booted_ns: int = 0, ticks: Ticks | None = None, clock_ns: int = 0, in_turns: bool = False,
    schedule: Schedule = OWN, drifts: Sequence[float] = (),
) -> Observed:  # fmt: skip
    """Run a workload as the recorded program did: it samples, it idles in the end, it does not exit.

    Args:
        kernel: In the state in which the recording begins.
        cpus: CPUs of the machine.
        config: The workload, with the numbers of operations at which it samples.
        idle_ns: How long it idles in the end.
        seed: Of the run's random streams.
        fragmenting: What the program left behind before the recording began.
        noted: files or tasks about which the program sets a note before it begins.
        first_cpu: CPU on which the program begins.
        check_ns: When the kernel first looks whether memory is to be compacted unasked; None: it never does.
        booted_ns: When the boot ended, by the kernel's clock.
        ticks: When the timer ticks, by that clock; None: at multiples of its period.
        clock_ns: What that clock says when the recording begins.
        in_turns: CPUs were emulated one at a time.
        schedule: What is given of who ran when.
        drifts: By which part all takes longer than it costs, for the time from each sample on; after them: nothing.
    """
    env = Environment(seed=seed)
    share_slabs(kernel, first_cpu)
    # Where memory is in pieces kswapd may be woken by any single fault.
    system = System(
        env, kernel, cpus, on_fault_oom="kill", batching=fragmenting is None and not schedule.turns,
        cpus_type=_cpus_type(cpus, schedule),
    )  # fmt: skip
    task = kernel.first_task(User("recorded", memlock_pages=UNLIMITED, files_max=UNLIMITED))
    task.descriptors = _DESCRIPTORS
    if fragmenting is not None:
        fragmenting.leave(kernel, task, first_cpu)
    workload = _WORKLOADS[config.kind]("recorded", system, task.user, config, env.streams.get("workload"))
    background = Background(kernel.state, kernel.costs, proactive=check_ns is not None)
    if schedule.turns:
        RecordedKcompactd(system, background, schedule)
    else:
        Kcompactd(system, background, check_ns or 0)
    notes = Notes(system, drifts)
    workload.readers.append(notes.read)
    workload.watchers.append(notes.look_up)
    program = Program(kernel, task, fragmenting)
    _watch(workload, kernel, program, task, fragmenting)
    system.ticks = (ticks or system.ticks).since(clock_ns)
    if in_turns and cpus > 1 and schedule.placement is None:
        turns = Turns(system, env.streams.get("host.turns"))
        workload.leavers.append(turns.leave)
        workload.watchers.append(turns.flushed)

    def life() -> Generator[simpy.Event, Any, None]:
        thread = Thread(system, task, first_cpu)
        task.process = env.active_process
        yield from thread.run()
        forgive(kernel.state)  # what was before the recording
        notes.read("start")
        # The clock is read before the counters: those were still to be read when the stream began.
        kernel.spent_ns += program.read_ns + PREPARED_NS
        program.begin(first_cpu, noted)
        yield from thread.spend()
        try:
            yield from workload.run(thread)
        except (KernelRefusal, Killed, simpy.Interrupt):
            notes.cut_short = True
        else:
            thread.sleep()
            yield env.timeout(idle_ns)
            notes.read("idle")
        notes.cut_short |= any(what.startswith("refused") for what in workload.progress)
        notes.read("end")

    for entry in kernel.footprints.background:
        slabs = kernel.state.cpu_slabs[:, first_cpu]["slab"]
        boots = {name: int(slabs[kernel.programs.caches[name]]) for name in entry.gives}
        after_ns = booted_ns + entry.after_ns - clock_ns
        if after_ns >= 0:
            env.process(_background(env, kernel, after_ns, entry, boots))
        else:
            _run_before_start(kernel, entry)
            _give_boots(kernel, entry, boots)
    env.run(env.process(life()))
    return notes.observed()


def _cpus_type(cpus: int, schedule: Schedule) -> Callable[[Environment, Clocks], Cpus]:
    if schedule.placement is not None:
        return partial(PlacedCpus, placement=schedule.placement)
    return FairCpu if cpus == 1 else WatchedCpus


def _watch(
    workload: Workload, kernel: Kernel, program: Program, task: Task, fragmenting: Fragmenting | None
) -> None:
    """Let the program read and look up what it did, when it did."""
    workload.beginners.append(lambda _, cpu: program.read(cpu))
    workload.looker = program
    if type(workload) in (Churn, ManyFiles, OneFile):
        left = () if fragmenting is None else fragmenting.mapped
        task.tree = MappingTree(sorted((*MAPPED_AT_START, *left)), NONE)
        for first, last in (*left, *(each for each in MAPPED_AT_START if each[0] == MMAP_TOP)):
            kernel.know_vma(task, first, last + 1)


def _background(
    env: Environment, kernel: Kernel, after_ns: int, entry: BackgroundSpec, boots: dict[str, int]
) -> Generator[simpy.Event, Any, None]:
    yield env.timeout(after_ns)
    kernel.run(entry.operation, SCRATCH, 0)
    kernel.spent_ns += entry.takes_ns  # the task that runs waits for it
    _give_boots(kernel, entry, boots)


def _run_before_start(kernel: Kernel, entry: BackgroundSpec) -> None:
    """Let the boot have what it ran by itself: its pages are part of the recorded state, its objects are not."""
    counts = kernel.state.counts[0]
    counts["before_start"] = 1
    kernel.run(entry.operation, SCRATCH, 0)
    counts["before_start"] = kernel.spent_ns = 0


def _give_boots(kernel: Kernel, entry: BackgroundSpec, boots: dict[str, int]) -> None:
    """Give back what the boot had taken, and no longer needs.

    Args:
        boots: slab caches to the slab in which it had that.
    """
    for name, count in entry.gives.items():
        for _ in range(count):
            give_object(kernel.handle, 0, boots[name], kernel.now_ns)
