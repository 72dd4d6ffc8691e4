"""The life of a plain task in compiled code: forked, it maps one secret file, touches its page, ends.

What `models.kernel.kernel` does call by call for any task, for tasks that no limit and no control group stops: the
same steps in the same order. Whoever calls makes sure that there is memory (`models.kernel.room`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.kernel.address_space import place, unmap
from models.kernel.areas import LEVELS, PINNED_TABLE, Areas
from models.kernel.chains import move
from models.kernel.layout import counts, other_numbers, task_numbers
from models.kernel.numbers import give_number, take_number
from models.kernel.pages.fallback import FORKED
from models.kernel.pages.layout import NONE
from models.kernel.program_steps import reset_holder, run_program
from models.kernel.records import ANON, INHERITED
from models.kernel.secret_pages import ALL_PAGES, fault_page, release_pages
from simcore.compiled import jit

if TYPE_CHECKING:
    from models.kernel.entities import Task
    from models.kernel.kernel import Kernel

__all__ = ["PLAN", "end_task", "fork_task", "map_file", "open_file", "plan", "reap_task", "touch_file"]

_OPERATIONS: Final = (
    "fork", "fork_returns", "child_starts", "memfd_secret", "mmap_area", "split_leaf",
    "munmap_file", "exit", "close_file", "exit_switched_away", "reap",
)  # fmt: skip
_FORK, _FORK_RETURNS, _STARTS, _OPEN, _MAP, _SPLIT, _UNMAP, _EXIT, _CLOSE, _SWITCHED, _REAP = range(len(_OPERATIONS))

PLAN: Final = np.dtype(
    [
        ("program", "<i8", (len(_OPERATIONS),)), ("first", "<i8", (len(_OPERATIONS),)),
        ("end", "<i8", (len(_OPERATIONS),)), ("flags", "<i8", (len(_OPERATIONS),)),
        ("fork_ns", "<i8"), ("open_ns", "<i8"), ("map_ns", "<i8"), ("exit_ns", "<i8"), ("reap_ns", "<i8"),
        ("parent", "<i8"), ("generation", "<i8"),  # the forking task: its holder, forks between it and the first task
        ("start", "<i8"),  # first page of the mapping
        ("node_cache", "<i8"), ("node_shift", "<i8"),
    ]
)  # fmt: skip
"""What all plain children of one task have in common."""


def plan(kernel: Kernel, parent: Task) -> Any | None:
    """What the plain children of a task have in common, as the fields of a `PLAN` by name.

    Returns:
        None when they cannot be plain: a limit, a control group or a policy has a say in every step, they inherit
        something, or their one mapping would need page tables that it shares.
    """
    user, limits = parent.user, kernel.limits
    areas = Areas(lambda: NONE, lambda _: None)
    start = areas.place(1)
    if (
        user.group is not None
        or user.workloads > 1
        or limits.accounting != "per_mm"
        or limits.global_pages is not None
        or not kernel.secretmem_enabled
        or not kernel.policy.compiled
        or not kernel.merging.idle
        or user.files_max < 1
        or (user.memlock_pages < 1 and not user.cap_ipc_lock)
        or any(mapping.file is not None or mapping.shared for mapping in parent.mappings)
        or parent.files
        or parent.descriptors >= parent.max_fds
        or areas.share(start, 1) != ((PINNED_TABLE,) * LEVELS,) * 2
    ):
        return None
    spans, ns = [kernel.programs.spans[name] for name in _OPERATIONS], kernel.costs.ns
    always = kernel.programs.flag(*kernel.footprints.flags)
    flags = [always] * len(_OPERATIONS)
    flags[_FORK] |= kernel.fork_flags(parent)
    return {
        "program": [span[0] for span in spans],
        "first": [span[1] for span in spans],
        "end": [span[2] for span in spans],
        "flags": flags,
        "fork_ns": ns("fork"),
        "open_ns": kernel.costs.part_ns("start") + ns("memfd_secret") + ns("ftruncate"),
        "map_ns": ns("mmap"),
        "exit_ns": ns("exit"),
        "reap_ns": ns("wait"),
        "parent": parent.holder,
        "generation": parent.generation,
        "start": start,
        "node_cache": kernel.node_cache,
        "node_shift": kernel.node_shift,
    }


@jit
def _run(handle: int, shared: Any, operation: int, cpu: int, node: int, holder: int, now_ns: int) -> None:
    generation = shared.generation if operation == _FORK else 1
    run_program(
        handle, shared.program[operation], shared.first[operation], shared.end[operation], cpu, node, holder,
        shared.flags[operation], generation, NONE, now_ns,
    )  # fmt: skip


@jit
def fork_task(handle: int, shared: Any, cpu: int, node: int, now_ns: int) -> int:
    """Fork a child; returns its holder."""
    task = take_number(task_numbers(handle))
    reset_holder(handle, task)
    counts(handle).tasks_alive += 1
    _run(handle, shared, _FORK, cpu, node, task, now_ns)
    move(handle, shared.parent, ANON, task, INHERITED, FORKED)
    _run(handle, shared, _FORK_RETURNS, cpu, node, shared.parent, now_ns)
    return int(task)


@jit
def open_file(handle: int, shared: Any, cpu: int, node: int, task: int, now_ns: int) -> int:
    """A new task takes its first steps and opens a secret file of one page; returns the file's holder."""
    _run(handle, shared, _STARTS, cpu, node, task, now_ns)
    file = take_number(other_numbers(handle))
    reset_holder(handle, file)
    _run(handle, shared, _OPEN, cpu, node, file, now_ns)
    counts(handle).open_files += 1
    return int(file)


@jit
def map_file(handle: int, shared: Any, cpu: int, node: int, task: int, now_ns: int) -> int:
    """Map the file; returns the mapping's holder."""
    mapping = take_number(other_numbers(handle))
    reset_holder(handle, mapping)
    pinned = (PINNED_TABLE, PINNED_TABLE, PINNED_TABLE)
    place(handle, task, mapping, shared.start, 1, pinned, pinned)
    _run(handle, shared, _MAP, cpu, node, mapping, now_ns)
    _run(handle, shared, _SPLIT, cpu, node, task, now_ns)
    return int(mapping)


@jit
def touch_file(handle: int, shared: Any, cpu: int, node: int, file: int, mapping: int) -> None:
    """Fault in the file's page."""
    fault_page(handle, cpu, node, mapping, file, 0, shared.node_cache, shared.node_shift)


@jit
def end_task(handle: int, shared: Any, cpu: int, node: int, task: int, file: int, mapping: int, now_ns: int) -> None:
    """Exit: unmap, end, close the file, which gives its page back."""
    unmap(handle, cpu, node, mapping, 1, 0)
    _run(handle, shared, _UNMAP, cpu, node, mapping, now_ns)
    give_number(other_numbers(handle), mapping)
    _run(handle, shared, _EXIT, cpu, node, task, now_ns)
    release_pages(handle, cpu, file, ALL_PAGES)
    _run(handle, shared, _CLOSE, cpu, node, file, now_ns)
    counts(handle).open_files -= 1
    give_number(other_numbers(handle), file)
    _run(handle, shared, _SWITCHED, cpu, node, task, now_ns)


@jit
def reap_task(handle: int, shared: Any, cpu: int, node: int, task: int, now_ns: int) -> None:
    """Collect a child that has ended."""
    _run(handle, shared, _REAP, cpu, node, task, now_ns)
    give_number(task_numbers(handle), task)
    counts(handle).tasks_alive -= 1
