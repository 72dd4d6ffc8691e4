"""Footprints as programs: the ordered steps of an operation, compiled to rows of numbers and carried out.

A step takes pages or objects for a holder and notes them in a slot, or gives a slot's content back, at once or later.
What an operation takes and gives back by itself is noted in a scratch holder, so that holders stay small.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.kernel.address_space import GATHER_PAGES as GATHER_BATCH
from models.kernel.chains import append, give_chain, take
from models.kernel.deferral import defer
from models.kernel.footprints import Footprints, Step
from models.kernel.layout import (
    ANON,
    FILE_PAGES,
    INHERITED,
    MAX_TASKS,
    OTHER_OBJECTS,
    OTHER_PAGES,
    ROW,
    TASK_OBJECTS,
    TASK_PAGES,
    held_pages,
    object_at,
    objects,
    page_at,
    page_handle,
    program_rows,
    runs,
)  # fmt: skip
from models.kernel.nodes import give_nodes, take_node
from models.kernel.pages.allocator import bulk_zone, free_pages, take_bulk_page
from models.kernel.pages.fallback import LRU
from models.kernel.pages.layout import MOVABLE, NONE, RECLAIMABLE, UNMOVABLE, config, pages
from models.kernel.slab_caches import give_object, take_object
from simcore.compiled import jit

__all__ = ["FILE", "SCRATCH", "TASK", "Programs", "compile_programs", "reset_holder", "run_program"]

SCRATCH: Final = 0
"""Holder of what an operation takes and gives back by itself; it is the kernel's own."""

# Kinds of rows.
_TAKE_PAGES, _TAKE_OBJECTS, _GIVE_PAGES, _GIVE_OBJECTS, _GIVE_CHAIN, _GIVE_NODES = range(6)
ALLOC_BULK: Final = 1
"""Flags of a bulk request: low watermark, types may mix (`alloc_pages_bulk` passes no more)."""
_NO_SLOT: Final = -1  # nobody gives it back
_ON_CHAIN: Final = -2
_ON_NODES: Final = -3

TASK: Final = "task"
FILE: Final = "file"
_BUILT_IN: Final = frozenset({"secret_fault", "anon_fault", "read_fault", "page_cache_node"})
"""Operations that happen once a page; `address_space` and `secret_pages` carry them out, and page tables."""
_FILE_OPERATIONS: Final = frozenset({"close_file", "close_chunk", "close_pipe", "munmap_anon"})
"""Operations that only give back, and give back what files, chunks and mappings hold."""
_TYPES: Final = {"unmovable": UNMOVABLE, "movable": MOVABLE, "reclaimable": RECLAIMABLE}
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
                if row["kind"] == _TAKE_PAGES and row["slot"] != _NO_SLOT and not row["scratch"] and not row["flag"]:
                    counted[int(row["migratetype"])] += int(row["count"]) << int(row["what"])
        return counted[UNMOVABLE] + counted[RECLAIMABLE], counted[MOVABLE]


@dataclass
class _Slots:
    """Slots handed out to the labels of one kind of holder."""

    pages: int = 0
    objects: int = 0


def compile_programs(footprints: Footprints) -> Programs:
    """Translate a preset's operations into rows.

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
            rows.extend(_rows_of(step, kind, flag, caches, scratch, taken, used))
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
    step: Step, home: str, flag: int, caches: dict[str, int], scratch: set[str],
    taken: dict[tuple[str, str], list[tuple[int, int, int]]], used: dict[str | int, _Slots],
) -> list[list[int]]:  # fmt: skip
    label = step.give or step.label
    in_scratch = label in scratch
    key = ("" if in_scratch else home, label)
    condition = [step.every, step.first or step.every, flag, int(step.per_generation), int(in_scratch)]
    when, most = _WHENS[step.when], step.count or 1 << 60
    if step.give is not None:
        if label in _CHAIN_LABELS:
            return [[_GIVE_CHAIN, 0, 0, most, int(step.how == "batched"), _CHAIN_LABELS[label], when, *condition, most]]
        where = [(_GIVE_NODES, 0, 0)] if label == "nodes" else taken[key]
        return [
            [kind, 0, 0, count, 0, slot, when, *condition, 0 if at else most]
            for at, (kind, slot, count) in enumerate(reversed(where))
        ]
    count = step.count or 1
    slots = used[SCRATCH if in_scratch else home]
    if step.object is not None:
        slot = _NO_SLOT
        if step.per_generation:
            slot = _ON_NODES
            if not any(kind == _GIVE_NODES for kind, _, _ in taken[key]):
                taken[key].append((_GIVE_NODES, 0, 0))
        elif step.whose != "kernel":
            slot = slots.objects
            slots.objects += count
            taken[key].append((_GIVE_OBJECTS, slot, count))
        return [[_TAKE_OBJECTS, caches[step.object], 0, count, 0, slot, when, *condition, 0]]
    slot = _NO_SLOT
    if label in _CHAIN_LABELS:
        slot = _ON_CHAIN
    elif step.whose != "kernel":
        slot = slots.pages
        slots.pages += count
        taken[key].append((_GIVE_PAGES, slot, count))
    return [[_TAKE_PAGES, step.order, _TYPES[step.migratetype], count, int(step.bulk), slot, when, *condition, 0]]


@jit
def reset_holder(handle: int, holder: int) -> None:
    """Empty the slots of a holder that is about to be used."""
    held, kept = held_pages(handle), objects(handle)
    many = holder < MAX_TASKS
    for slot in range(TASK_PAGES if many else OTHER_PAGES):
        held[page_at(holder, slot)] = NONE
    for slot in range(TASK_OBJECTS if many else OTHER_OBJECTS):
        kept[object_at(holder, slot)] = NONE


@jit
def _take_pages(handle: int, row: Any, cpu: int, node: int, holder: int, order: int) -> bool:
    store = page_handle(handle)
    order = row.what if order < 0 else order
    settings = config(store)
    zone = NONE
    if row.bulk and row.count > 1:
        zone = bulk_zone(store, node, row.count, ALLOC_BULK, settings.highest_kind)
    for k in range(row.count):
        pfn = NONE
        if zone != NONE:
            pfn = take_bulk_page(store, zone, cpu, row.migratetype, ALLOC_BULK)
        if pfn == NONE:
            pfn = take(handle, cpu, node, order, row.migratetype)
        if pfn == NONE:
            return False
        if row.slot == _ON_CHAIN:
            append(handle, holder, ANON, pfn, LRU if row.migratetype == MOVABLE else 0)
        elif row.slot != _NO_SLOT:
            pages(store)[pfn].owner = holder
            held_pages(handle)[page_at(holder, row.slot + k)] = pfn
    return True


@jit
def _take_objects(handle: int, row: Any, cpu: int, node: int, holder: int, generation: int) -> bool:
    for k in range(row.count * (generation if row.per_generation else 1)):
        if row.slot == _ON_NODES:
            if not take_node(handle, cpu, node, row.what, holder):
                return False
            continue
        slab = take_object(handle, cpu, node, row.what)
        if slab == NONE:
            return False
        if row.slot != _NO_SLOT:
            objects(handle)[object_at(holder, row.slot + k)] = slab
    return True


@jit
def _give(handle: int, row: Any, cpu: int, holder: int, now_ns: int, most: int) -> int:
    """Give back what a row's slots hold, at the most ``most`` things, the last first; returns how many they were."""
    store, when, given = page_handle(handle), row.when, 0
    if row.kind == _GIVE_CHAIN:
        return int(give_chain(handle, cpu, holder, row.slot, most, GATHER_BATCH if row.bulk else 1, False))
    if row.kind == _GIVE_NODES:
        give_nodes(handle, cpu, holder, when, now_ns)
        return 0
    for k in range(row.count - 1, -1, -1):
        if given == most:
            break
        if row.kind == _GIVE_PAGES:
            at = page_at(holder, row.slot + k)
            number = held_pages(handle)[at]
            held_pages(handle)[at] = NONE
        else:
            at = object_at(holder, row.slot + k)
            number = np.int64(objects(handle)[at])
            objects(handle)[at] = NONE
        if number == NONE:
            continue
        given += 1
        if when > 0:
            defer(handle, cpu, when, now_ns, int(row.kind == _GIVE_PAGES), number)
        elif row.kind == _GIVE_PAGES:
            free_pages(store, cpu, number, pages(store)[number].order)
        else:
            give_object(handle, cpu, number, now_ns)
    return given


@jit
def run_program(
    handle: int,
    program: int,
    start: int,
    end: int,
    cpu: int,
    node: int,
    holder: int,
    flags: int,
    generation: int,
    order: int,
    now_ns: int,
) -> bool:
    """Carry out the steps of one operation for a holder.

    Args:
        program: number of the program; start, end: its rows.
        flags: conditions that hold (`Programs.flag`).
        generation: how many forks the task is away from the first one.
        order: of the pages that it takes, where only the caller knows; else NONE.
        now_ns: time, for what is given back after a delay.

    Returns:
        Whether there was memory; if not, what was taken so far stays noted with the holder.
    """
    rows = program_rows(handle)
    runs(handle)[program] += 1
    run, left = runs(handle)[program], 0
    for index in range(start, end):
        row = rows[index]
        if (row.flag and not row.flag & flags) or run < row.first or (run - row.first) % row.every != 0:
            continue
        whose = SCRATCH if row.scratch else holder
        if row.kind == _TAKE_PAGES:
            if not _take_pages(handle, row, cpu, node, whose, order):
                return False
        elif row.kind == _TAKE_OBJECTS:
            if not _take_objects(handle, row, cpu, node, whose, generation):
                return False
        else:
            left = row.limit if row.limit > 0 else left
            left -= _give(handle, row, cpu, whose, now_ns, left)
    return True
