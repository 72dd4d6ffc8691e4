"""Compiled footprints and slab caches against the plain ones: the same operations take and give the same pages."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.kernel.footprint_presets import load_footprints
from models.kernel.limits import User
from models.kernel.pages.layout import USED
from models.kernel.program_steps import SCRATCH
from tests.models.kernel.footprint_reference import FootprintState, Ledger, Release, Request
from tests.models.kernel.machines import boot

FILE_STEPS = (
    ("memfd_secret", (), "close_file"), ("mmap_file", (), "munmap_file"),
    ("mmap_file", ("tall_tree",), "munmap_file"), ("mmap_fixed", (), "munmap_file"),
    ("mmap_anon", (), "munmap_anon"), ("first_anon_fault", (), "munmap_anon"), ("pipe", (), "close_pipe"),
)  # fmt: skip
"""What a file, mapping or pipe may do first, with the conditions that hold, and what ends it."""
TASK_ENDS = ("exit", "exit_switched_away", "reap")
FOREVER_NS = 1 << 60


class Both:
    """One kernel and its plain counterpart, which do the same."""

    def __init__(self) -> None:
        self.kernel = boot({"memory": 64 << 20, "cpus": 1})
        self.plain = FootprintState(load_footprints("minimal_6_1"))
        self.held: dict[int, int] = {}
        self.now_ns = 0

    def new_task(self) -> int:
        """Holder of a task that stands for a forked one."""
        holder = self.kernel.first_task(_nobody()).holder
        self.kernel.state.counts["first_tasks"] = 0
        return holder

    def note(self, entries: list[Request | Release]) -> None:
        for entry in entries:
            if isinstance(entry, Request):
                self.held[entry.handle] = entry.order
            else:
                del self.held[entry.handle]

    def perform(
        self, operation: str, holder: int, ledger: Ledger, flags: tuple[str, ...] = (), generation: int = 1
    ) -> None:
        self.now_ns += 1
        self.kernel.now_ns = self.now_ns
        assert self.kernel.run(operation, holder, 0, self.kernel.programs.flag(*flags), generation)
        self.note(
            self.plain.perform(operation, ledger, now_ns=self.now_ns, flags=flags, generation=generation)
        )

    def end_grace_period(self) -> None:
        """All that waits is given back; what that lets wait anew, too."""
        while self.kernel.run_deferred(FOREVER_NS):
            pass
        while entries := self.plain.end_grace_period(FOREVER_NS):
            self.note(entries)  # type: ignore[arg-type]

    def check(self) -> None:
        pages = self.kernel.store.pages
        orders = Counter(pages["order"][np.flatnonzero(pages["state"] == USED)].tolist())
        assert orders == Counter(self.held.values())


actions = st.lists(
    st.tuples(st.sampled_from(("task", "file", "end", "grace")), st.integers(0, 1 << 16), st.integers(1, 3)),
    min_size=1,
    max_size=120,
)


@settings(max_examples=40, deadline=None)
@given(actions)
def test_compiled_footprints_are_the_plain_ones(steps: list[tuple[str, int, int]]) -> None:
    """Whatever tasks and files come and go: as many blocks of each order are in use, slab pages included."""
    both = Both()
    live: list[tuple[tuple[str, ...], int, Ledger]] = []
    for what, choice, generation in steps:
        if what == "task":
            holder, ledger = both.new_task(), Ledger()
            both.perform("fork", holder, ledger, ("large_fdtable",) if choice % 2 else (), generation)
            both.perform("child_starts", holder, ledger)
            if choice & 2:
                both.perform("split_leaf", holder, ledger)
            live.append((TASK_ENDS, holder, ledger))
        elif what == "file":
            holder, ledger = both.kernel.new_holder(), Ledger()
            operation, flags, end = FILE_STEPS[choice % len(FILE_STEPS)]
            both.perform(operation, holder, ledger, flags)
            live.append(((end,), holder, ledger))
        elif what == "end" and live:
            ends, holder, ledger = live.pop(choice % len(live))
            for operation in ends:
                both.perform(operation, holder, ledger)
        elif what == "grace":
            both.end_grace_period()
        both.check()
    for ends, holder, ledger in live:
        for operation in ends:
            both.perform(operation, holder, ledger)
    both.end_grace_period()
    both.check()


def test_many_tasks_come_and_go() -> None:
    """Beyond the objects that the boot left: hundreds of tasks, dozens of slabs of every cache, half of them gone."""
    both = Both()
    live = []
    for number in range(300):
        holder, ledger = both.new_task(), Ledger()
        both.perform("fork", holder, ledger)
        both.perform("child_starts", holder, ledger)
        live.append((holder, ledger))
        if number % 3 == 2:
            gone = live.pop(len(live) // 2)
            for operation in TASK_ENDS:
                both.perform(operation, *gone)
        if number % 50 == 49:
            both.end_grace_period()
        both.check()


def test_tasks_one_after_another_do_not_fill_memory() -> None:
    """What the numbers of tasks and the addresses of their stacks take follows the most tasks at a time."""
    kernel = boot({"memory": 64 << 20, "cpus": 1})
    parent, used = kernel.first_task(_nobody()), []
    for number in range(4 * 1638):
        kernel.now_ns = number
        child = kernel.fork(parent, 0)
        kernel.exit(child, 0)
        kernel.reap(child, 0)
        while kernel.run_deferred(FOREVER_NS):
            pass
        used.append(int((kernel.store.pages["state"] == USED).sum()))
    assert used[-1] - used[1700] <= 2


def _nobody() -> User:
    return User("nobody")


def test_what_the_boot_has_taken_costs_no_page() -> None:
    """Its objects are in use, and its pages are part of the state that there is."""
    kernel = boot({"memory": 64 << 20, "cpus": 1})
    nodes = kernel.programs.caches["radix_tree_node"]
    counts, free = kernel.state.counts[0], int(kernel.store.config[0]["free_pages"])
    lists = int(kernel.store.config[0]["per_cpu_pages"])
    in_use = int(kernel.state.caches[nodes]["objects"])
    counts["before_start"] = 1
    assert kernel.run("late_device", SCRATCH, 0)
    counts["before_start"] = 0
    assert int(kernel.state.caches[nodes]["objects"]) == in_use + 2
    assert (int(kernel.store.config[0]["free_pages"]), int(kernel.store.config[0]["per_cpu_pages"])) == (free, lists)
    assert kernel.run("late_device", SCRATCH, 0)
    assert int(kernel.store.config[0]["free_pages"]) + int(kernel.store.config[0]["per_cpu_pages"]) < free + lists
