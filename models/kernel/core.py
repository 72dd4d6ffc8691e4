"""What the kernel's face stands on: its state, footprints and holders, and what it gives back by itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from models.kernel.areas import PINNED_TABLE
from models.kernel.deferral import RCU, WORKER, oldest_ns
from models.kernel.entities import SecretFile, Task
from models.kernel.flush import flush_kernel
from models.kernel.footprints import Footprints
from models.kernel.grace_period import give_due, waiting
from models.kernel.layout import State
from models.kernel.limits import Limits
from models.kernel.merging import MergeNever
from models.kernel.migration import Compactor
from models.kernel.numbers import Numbers
from models.kernel.pages.layout import NONE, Store
from models.kernel.pool_chunks import forget_pages
from models.kernel.program_steps import SCRATCH, reset_holder, run_program
from models.kernel.programs import Programs
from models.kernel.records import DEFERRED_SLOTS, PINNED
from models.kernel.secretmem.base import Policy
from models.kernel.slab_caches import give_object, take_object
from models.kernel.vmap_areas import VmapAreas
from models.machine.costs import CostPreset

__all__ = ["Core"]


class Core:
    """A kernel without system calls.

    Attributes:
        state: its arrays; ``handle`` is their address.
        programs: footprints of its operations.
        limits: accounting and the machine-wide cap.
        policy: where secret pages come from; set once by whoever builds the kernel.
        compactor: what makes blocks of 2 MiB; set likewise.
        node_of: NUMA node of each CPU.
        spent_ns: CPU time of the operations since it was last taken.
        now_ns: time, as the caller last told it.
        busy_from_ns: until when the operation begun last asks whether to give way, for a machine's only CPU.
        busy_until_ns: when it asks once more, if that is before its end, when all do.
        oom_kills: tasks that the OOM killer chose, those of control groups included.
        secretmem_enabled: False: memfd_secret is ENOSYS, since it is switched off or the architecture cannot change
            its direct map.
        can_set_direct_map: whether pages of the direct map can be changed one by one.
        merging: whether and when entries of the direct map become one again; set likewise.
        costs: what operations cost.
        footprints: what operations take besides.
        tasks: those that exist; children that `models.kernel.plain_tasks` has made only once they are adopted.
        task_pages: pages that a new task takes for good, unmovable and movable.
        node_cache: slab cache of the page cache's nodes; 1 << node_shift: slots of a node.
        forked: whether any task has forked.
        reported: whether a child has reported to its parent.
    """

    policy: Policy
    compactor: Compactor
    merging: MergeNever
    secretmem_enabled = True

    def __init__(
        self,
        state: State,
        programs: Programs,
        footprints: Footprints,
        limits: Limits,
        costs: CostPreset,
        node_of: Sequence[int],
    ) -> None:
        self.state = state
        self.handle = state.handle
        self._alive = state.counts["tasks_alive"]
        self.programs = programs
        self._spans = programs.spans
        self.limits = limits
        self.node_of = tuple(node_of)
        self.spent_ns = 0
        self.now_ns = 0
        self.busy_from_ns = self.busy_until_ns = 0
        self.oom_kills = 0
        self.forked = False
        self.reported = False
        self._open_files = state.counts["open_files"]
        self.costs = costs
        self.task_pages = programs.pages_of_a_task("fork", "child_starts")
        self.node_cache = programs.caches[footprints.xarray.cache]
        self.node_shift = footprints.xarray.slots.bit_length() - 1
        self.can_set_direct_map = True
        self.tasks: set[Task] = set()
        self._task_holders, self._holders = state.task_numbers, state.other_numbers
        self._tables = Numbers(PINNED_TABLE + 1, len(state.tables))
        state.tables[PINNED_TABLE] = PINNED
        reset_holder(state.handle, SCRATCH)
        self.footprints = footprints
        self._always = programs.flag(*footprints.flags)
        names = ("memfd_secret", "ftruncate", "mmap", "fork", "exit", "wait", "null_syscall")
        self._ns = {name: costs.ns(name) for name in names}
        parts = ("start", "resume", "descriptor", "close", "munmap", "unmap_page", "tree_node")
        self._ns.update((name, costs.part_ns(name)) for name in parts)

    def new_holder(self) -> int:
        """Number for a file, a mapping or a pool's chunk."""
        holder = self._holders.take()
        reset_holder(self.handle, holder)
        return holder

    def drop_holder(self, holder: int) -> None:
        """Give a number back whose pages and objects are gone."""
        self._holders.give(holder)

    def forget_pages(self, file: SecretFile) -> None:
        """Count a file's pages as gone."""
        forget_pages(self.handle, file.holder)

    def _new_table(self) -> int:
        number = self._tables.take()
        self.state.tables[number] = NONE
        return number

    def run(
        self, operation: str, holder: int, cpu: int, flags: int = 0, generation: int = 1, order: int = NONE,
        after_ns: int = 0,
    ) -> bool:  # fmt: skip
        """Take and give what an operation does besides its own pages; false when memory ran out on the way.

        Args:
            after_ns: how long after the time that the caller last told it happens.
        """
        program, start, end = self._spans[operation]
        return run_program(
            self.handle, program, start, end, cpu, self.node_of[cpu], holder, flags | self._always, generation, order,
            self.now_ns + after_ns,
        )  # fmt: skip

    @cached_property
    def vmap_areas(self) -> VmapAreas:
        """Areas of the kernel's address space for what pools of secret pages note about their chunks."""
        handle, cache = self.handle, self.programs.caches["vmap_area"]
        spec = self.footprints.vmap
        return VmapAreas(
            spec.holes,
            spec.first_table,
            len(self.node_of),
            lambda cpu: int(take_object(handle, cpu, self.node_of[cpu], cache)),
            lambda cpu, slab: give_object(handle, cpu, slab, self.now_ns),
            lambda: flush_kernel(handle, True),
        )

    def vmap_flags(self, area: int) -> int:
        """Conditions that hold when an area is taken: it may need a page table.

        It does not once there have been forks, as stacks, aligned to their size, leave holes between them.
        """
        return self.programs.flag("vmap_table") if not self.forked and self.vmap_areas.needs_table(area) else 0

    def deferred_since_ns(self) -> int | None:
        """Since when something waits for a grace period or a worker; None: nothing does."""
        times = [time for time in (oldest_ns(self.handle, RCU), oldest_ns(self.handle, WORKER)) if time >= 0]
        return min(times, default=None)

    def deferred_until(self, noted_until_ns: int) -> int:
        """How many things wait for a grace period or a worker that were noted up to a time."""
        handle = self.handle
        return int(waiting(handle, RCU, noted_until_ns)) + int(waiting(handle, WORKER, noted_until_ns))

    def run_deferred(self, noted_until_ns: int, most: int = DEFERRED_SLOTS) -> int:
        """Give back what has waited since before a time, at the most some things; returns how many that were."""
        done = 0
        for when in (RCU, WORKER):
            done += int(give_due(self.handle, when, noted_until_ns, self.now_ns, most - done))
        return done

    @property
    def open_files(self) -> int:
        """Secret files that exist."""
        return int(self._open_files[0])

    def split_count(self) -> int:
        """Entries of the direct map split so far."""
        counters = self.state.direct_map.counters[0]
        return int(counters["level2_splits"]) + int(counters["level3_splits"])

    @property
    def store(self) -> Store:
        """State of the page allocator."""
        return self.state.pages

    def state_digest(self) -> bytes:
        """Owner of every page that is in use, and the tiling: what a fingerprint covers beside the series."""
        from models.kernel.digest import digest  # noqa: PLC0415 - only a finished run needs it

        return digest(self.state)

    def settings(self) -> dict[str, Any]:
        """What the kernel counts outside the series."""
        return {"oom_kills": self.oom_kills, "refusals": dict(self.limits.refusals)}
