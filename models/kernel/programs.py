"""Footprints as programs: the ordered steps of an operation, compiled to rows of numbers.

What an operation takes and gives back by itself is noted in a scratch holder, so that holders stay small.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.kernel.footprints import Footprints, Step
from models.kernel.pages.layout import MOVABLE, RECLAIMABLE, UNMOVABLE
from models.kernel.program_steps import (
    GIVE_CHAIN,
    GIVE_NODES,
    GIVE_OBJECTS,
    GIVE_PAGES,
    NO_SLOT,
    ON_CHAIN,
    ON_NODES,
    SCRATCH,
    TAKE_OBJECTS,
    TAKE_PAGES,
)  # fmt: skip
from models.kernel.records import ANON, FILE_PAGES, INHERITED, OTHER_OBJECTS, OTHER_PAGES, ROW, TASK_OBJECTS, TASK_PAGES
from models.kernel.vmap_areas import lazy_areas

__all__ = ["FILE", "TASK", "Programs", "compile_programs"]

TASK: Final = "task"
FILE: Final = "file"
_BUILT_IN: Final = frozenset({"secret_fault", "anon_fault", "read_fault", "page_cache_node"})
"""Operations that happen once a page; `address_space` and `secret_pages` carry them out, and page tables."""
_FILE_OPERATIONS: Final = frozenset({"close_file", "close_chunk", "close_pipe", "munmap_anon"})
"""Operations that only give back, and give back what files, chunks and mappings hold."""
_TYPES: Final = {"unmovable": UNMOVABLE, "movable": MOVABLE, "reclaimable": RECLAIMABLE}
_STACK_PAGES: Final = 5
"""Of a task's stack in the kernel's address space: four, and the guard behind them."""
_WHENS: Final = {"now": 0, "rcu": 1, "worker": 2}
_CHAIN_LABELS: Final = {"anon": ANON, "shared": ANON, "inherited": INHERITED, "data": FILE_PAGES}


@dataclass(frozen=True)
class Programs:
    """All operations of a footprints preset, ready to run.

    Attributes:
        rows: `ROW` records.
        spans: operation to (number of the program, first row, one past its last row).
        flags: bit of each condition that a caller may set.
        caches: slab caches by name, in the order of their numbers.
    """

    rows: NDArray[Any]
    spans: dict[str, tuple[int, int, int]]
    flags: dict[str, int]
    caches: dict[str, int]

    def flag(self, *names: str) -> int:
        """Bits of the named conditions; a condition that no step knows has none."""
        return sum(self.flags.get(name, 0) for name in names)

    def pages_of_a_task(self, *operations: str) -> tuple[int, int]:
        """Pages that operations take for good, unmovable and movable; without slabs, and without what has a flag."""
        counted = {UNMOVABLE: 0, MOVABLE: 0, RECLAIMABLE: 0}
        for operation in operations:
            _, start, end = self.spans[operation]
            for row in self.rows[start:end]:
                if row["kind"] == TAKE_PAGES and row["slot"] != NO_SLOT and not row["scratch"] and not row["flag"]:
                    counted[int(row["migratetype"])] += int(row["count"]) << int(row["what"])
        return counted[UNMOVABLE] + counted[RECLAIMABLE], counted[MOVABLE]


@dataclass
class _Slots:
    """Slots handed out to the labels of one kind of holder."""

    pages: int = 0
    objects: int = 0


def compile_programs(footprints: Footprints, cpus: int) -> Programs:
    """Translate a preset's operations into rows, for a machine of so many CPUs.

    Raises:
        ValueError: a holder would need more slots than it has.
    """
    caches = {name: number for number, name in enumerate(footprints.caches)}
    for name, spec in footprints.caches.items():
        caches.update(dict.fromkeys(spec.merges, caches[name]))
    flags: dict[str, int] = {}
    taken: dict[tuple[str, str], list[tuple[int, int, int]]] = defaultdict(
        list
    )  # (holder, label) -> kind, slot, count
    used: dict[str | int, _Slots] = {TASK: _Slots(), SCRATCH: _Slots()}
    rows: list[list[int]] = []
    spans: dict[str, tuple[int, int, int]] = {}
    operations = _separate_chunks(footprints.operations)
    task_labels = {
        step.label
        for steps in operations.values()
        for step in steps
        if step.give is None and step.whose in ("task", "parent")
    }
    kinds = _kinds(operations, task_labels)
    for number, (operation, steps) in enumerate(operations.items()):
        start = len(rows)
        kind = kinds[operation]
        used.setdefault(kind, _Slots())
        scratch = _given_back_at_once(steps)
        used[SCRATCH] = _Slots()
        for step in steps:
            if operation in _BUILT_IN or (step.page_table and step.whose == "mapping"):
                continue
            flag = flags.setdefault(step.with_flag, 1 << len(flags)) if step.with_flag else 0
            per = _per(step, cpus)
            rows.extend(_rows_of(step, kind, flag, per, caches, scratch, taken, used))
        spans[operation] = (number, start, len(rows))
        for label in scratch:
            taken.pop(("", label), None)
    for holder, slots in used.items():
        is_task = holder in (TASK, SCRATCH)
        page_limit, object_limit = (TASK_PAGES, TASK_OBJECTS) if is_task else (OTHER_PAGES, OTHER_OBJECTS)
        if slots.pages > page_limit or slots.objects > object_limit:
            raise ValueError(
                f"footprints {footprints.name}: a {holder} holds {slots.pages} single blocks and "
                f"{slots.objects} objects, more than {page_limit} and {object_limit}"
            )
    return Programs(np.array([tuple(row) for row in rows], ROW), spans, flags, caches)


def _per(step: Step, cpus: int) -> int:
    """What a step's `every` counts: 0: runs; else tasks, and how many that have ended count still, plus 1."""
    return {"run": 0, "task": 1, "stack": 1 + lazy_areas(_STACK_PAGES, cpus)}[step.per]


def _separate_chunks(operations: Mapping[str, tuple[Step, ...]]) -> dict[str, tuple[Step, ...]]:
    """Make giving back a pool's chunk an operation of its own: a file may have many, each with its own holder."""
    separated = dict(operations)
    close = separated.pop("close_pool_file", ())
    separated["close_chunk"] = tuple(step for step in close if step.give == "chunk")
    if "pool_chunk" in separated:
        # The chunk itself is taken by the policy.
        separated["pool_chunk"] = tuple(step for step in separated["pool_chunk"] if step.label != "data")
    return separated


def _holder_kind(operation: str, steps: tuple[Step, ...], task_labels: set[str]) -> str:
    """Whether an operation is run for a task, or for a file or mapping: by whose its steps are, or were."""
    owners = {step.whose for step in steps if step.give is None} - {"kernel"}
    if owners:
        return TASK if owners <= {"task", "parent"} else FILE
    return TASK if any(step.give in task_labels for step in steps) and operation not in _FILE_OPERATIONS else FILE


def _kinds(operations: Mapping[str, tuple[Step, ...]], task_labels: set[str]) -> dict[str, str]:
    """Kind of holder that each operation is run for: a task, or one of the kinds of files and mappings.

    Operations that speak of the same label are run for the same kind. Each kind numbers its slots from 0, so that
    holders stay small.
    """
    kinds: dict[str, str] = {}
    of_label: dict[str, str] = {}
    for operation, steps in operations.items():
        kinds[operation] = _holder_kind(operation, steps, task_labels)
        if kinds[operation] == TASK:
            continue
        labels = {step.give or step.label for step in steps} - _given_back_at_once(steps)
        known = sorted({of_label[label] for label in labels if label in of_label})
        kind = known[0] if known else f"{FILE} {operation}"
        of_label.update(dict.fromkeys(labels, kind))
        kinds[operation] = kind
        for label, other in of_label.items():
            if other in known:
                of_label[label] = kind
        kinds.update({name: kind for name, other in kinds.items() if other in known})
    return kinds


def _given_back_at_once(steps: tuple[Step, ...]) -> set[str]:
    """Labels of which an operation gives back as much as it takes."""
    balance: dict[str, int] = defaultdict(int)
    for step in steps:
        if step.give is None:
            balance[step.label] += step.count or 1
        elif step.give in balance:
            balance[step.give] -= step.count or balance[step.give]
    return {label for label, left in balance.items() if left == 0}


def _rows_of(
    step: Step, home: str, flag: int, per: int, caches: dict[str, int], scratch: set[str],
    taken: dict[tuple[str, str], list[tuple[int, int, int]]], used: dict[str | int, _Slots],
) -> list[list[int]]:  # fmt: skip
    label = step.give or step.label
    in_scratch = label in scratch
    key = ("" if in_scratch else home, label)
    condition = [step.every, step.first or step.every, flag, int(step.per_generation), int(in_scratch), per, 0]
    when, most = _WHENS[step.when], step.count or 1 << 60
    if step.give is not None:
        if label in _CHAIN_LABELS:
            return [[GIVE_CHAIN, 0, 0, most, int(step.how == "batched"), _CHAIN_LABELS[label], when, *condition, most]]
        where = [(GIVE_NODES, 0, 0)] if label == "nodes" else taken[key]
        return [
            [kind, 0, 0, count, 0, slot, when, *condition, 0 if at else most]
            for at, (kind, slot, count) in enumerate(reversed(where))
        ]
    count = step.count or 1
    slots = used[SCRATCH if in_scratch else home]
    if step.object is not None:
        slot = NO_SLOT
        if step.per_generation:
            slot = ON_NODES
            if not any(kind == GIVE_NODES for kind, _, _ in taken[key]):
                taken[key].append((GIVE_NODES, 0, 0))
        elif step.whose != "kernel":
            slot = slots.objects
            slots.objects += count
            taken[key].append((GIVE_OBJECTS, slot, count))
        return [[TAKE_OBJECTS, caches[step.object], 0, count, 0, slot, when, *condition, 0]]
    slot = NO_SLOT
    if label in _CHAIN_LABELS:
        slot = ON_CHAIN
    elif step.whose != "kernel":
        slot = slots.pages
        slots.pages += count
        taken[key].append((GIVE_PAGES, slot, count))
    return [[TAKE_PAGES, step.order, _TYPES[step.migratetype], count, int(step.bulk), slot, when, *condition, 0]]
