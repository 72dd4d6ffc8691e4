"""Replaying a recorded event stream through the model's allocator, compiled: every decision predicted and compared.

The stream's requests drive the model; frames, refills, drains, steals, splits and zones are the model's own. What the
allocator's state cannot tell is taken from the stream: see `GIVEN`.

A section under the zone lock is carried out at the first event that tells of it: a refill with its steals at the
steal, not at the allocation that follows, since another CPU's events may lie between.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.host.recording import AllocatorRecording
from models.host.restore import restore, restore_direct_map
from models.kernel.direct_map import DirectMap, change_presence, next_split, split
from models.kernel.pages.allocator import take_buddy
from models.kernel.pages.buddy import block_type, free_block, isolate, zone_of
from models.kernel.pages.layout import (
    FREE,
    HIGHATOMIC,
    MOVABLE,
    NONE,
    Store,
    config,
    lists,
    log,
    movable_given,
    pages,
    per_cpu,
    zone_at,
    zones,
)  # fmt: skip
from models.kernel.pages.lists import buddy_list, per_cpu_list
from models.kernel.pages.percpu import drain, list_index, put, refill, take_first
from models.kernel.pages.reserve_highatomic import give_back, set_aside
from models.kernel.pages.watermark import next_zone
from simcore.compiled import jit, jit_allocating

__all__ = ["GIVEN", "PREDICTED", "Replay", "replay"]

GIVEN: Final = "DRVWHUICPLM"
"""Events that are input: drains on request, reclaim, folds, boosts lowered, reserves, compaction, markers."""
PREDICTED: Final = "ABKfgFrdXYmuS"
"""Events whose every field beyond the request is predicted and compared."""

A, B, K, F_TO_PCP, G, F = ord("A"), ord("B"), ord("K"), ord("f"), ord("g"), ord("F")
R_REFILL, D_DRAIN, D_ALL, X, Y = ord("r"), ord("d"), ord("D"), ord("X"), ord("Y")
H, U, ISOLATED_OP, PUT_BACK, CAPTURED = ord("H"), ord("U"), ord("I"), ord("P"), ord("C")
SPLIT, UNMAP, MAP, ROTATE, FOLD, UNBOOST, RECLAIM = (ord(op) for op in "SmuLVWR")

GFP_DMA32: Final = 0x4
NO_SECTION: Final = -1


@dataclass(frozen=True)
class Replay:
    """What a replay found.

    Attributes:
        exact: events predicted exactly, by letter, up to the first divergence.
        total: events of the whole stream, by letter.
        diverged_at: index of the first event predicted wrongly, or None.
        predicted: what the model said there: op, zone, order, type, pfn, and up to three numbers more.
        store: the allocator after the last event replayed.
        direct_map: the direct map after it.
    """

    exact: dict[str, int]
    total: dict[str, int]
    diverged_at: int | None
    predicted: tuple[int, ...]
    store: Store
    direct_map: DirectMap


def replay(recording: AllocatorRecording) -> Replay:
    """Replay a recording from its initial state to its end, or to the first event that the model predicts wrongly."""
    events = recording.events
    store = restore(recording.machine, recording.initial)
    direct_map = restore_direct_map(recording.machine, recording.initial.direct_map)
    store.config[0]["logging"] = 1
    # One width for all columns, so that the allocator is compiled once, not again for every type of argument.
    op, cpu, zone, order, kind, gfp, alloc_flags = (
        column.astype(np.int64)
        for column in (
            events.op,
            events.cpu,
            events.zone,
            events.order,
            events.type,
            events.gfp,
            events.alloc_flags,
        )
    )
    causes = _causes(op, cpu, recording.machine.cpus)
    captures = _captures(op, cpu, recording.machine.cpus)
    exact = np.zeros(128, np.int64)
    predicted = np.full(8, NONE, np.int64)
    stopped_at = _replay(
        store.handle, direct_map.handle, op, cpu, zone, order, kind, events.pfn, gfp, alloc_flags, events.aux,
        causes, captures, exact, predicted,
    )  # fmt: skip
    counts = np.bincount(events.op, minlength=128)
    letters = [chr(code) for code in np.flatnonzero(counts)]
    return Replay(
        exact={letter: int(exact[ord(letter)]) for letter in letters},
        total={letter: int(counts[ord(letter)]) for letter in letters},
        diverged_at=None if stopped_at == len(events) else int(stopped_at),
        predicted=tuple(predicted.tolist()),
        store=store,
        direct_map=direct_map,
    )


@jit_allocating
def _causes(op: NDArray[np.int64], cpu: NDArray[np.int64], cpus: int) -> NDArray[np.int64]:
    """For every refill, steal and move (r, X, Y): the allocation of the same CPU that caused it, which comes after."""
    causes = np.full(len(op), NO_SECTION)
    following = np.full(cpus, NO_SECTION)
    for i in range(len(op) - 1, -1, -1):
        if op[i] == A or op[i] == B or op[i] == K:
            following[cpu[i]] = i
            causes[i] = i
        elif op[i] == R_REFILL or op[i] == X or op[i] == Y:
            causes[i] = following[cpu[i]]
    return causes


@jit_allocating
def _captures(op: NDArray[np.int64], cpu: NDArray[np.int64], cpus: int) -> NDArray[np.int64]:
    """For every free and drain (d, F): the capture by compaction next to it on the same CPU, or NO_SECTION."""
    captures = np.full(len(op), NO_SECTION)
    last = np.full(cpus, NO_SECTION)
    waiting = np.full(cpus, NO_SECTION)
    for i in range(len(op)):
        c = cpu[i]
        if op[i] == D_DRAIN or op[i] == F:
            if waiting[c] != NO_SECTION:
                captures[i] = waiting[c]
                waiting[c] = NO_SECTION
            last[c] = i
        elif op[i] == CAPTURED:
            if last[c] != NO_SECTION and captures[last[c]] == NO_SECTION:
                captures[last[c]] = i
            else:
                waiting[c] = i
        elif op[i] != D_ALL:
            last[c] = NO_SECTION
    return captures


@jit
def _zone_for(handle: int, order: int, gfp: int, alloc_flags: int, bulk_pages: int) -> int:
    """Zone that the kernel would take the block from: the first of the zonelist above its watermark."""
    highest = 0 if gfp & GFP_DMA32 else config(handle).zones - 1
    position = next_zone(handle, 0, 0, order, alloc_flags, highest, bulk_pages)
    return int(zone_at(handle, 0, position)) if position != NONE else NONE


@jit
def _rotate(handle: int, zone: int, order: int, migratetype: int, pfn: int, to_tail: bool) -> bool:
    """Rotate a free list as compaction's scanners do, so that the block becomes its head, or its tail."""
    index = buddy_list(zone, order, migratetype)
    page, which = pages(handle), lists(handle)[index]
    if page[pfn].state != FREE or page[pfn].order != order or page[pfn].migratetype != migratetype:
        return False
    head, tail = which.head, which.tail
    first = page[pfn].next if to_tail else pfn  # the new head
    if first == NONE or first == head:
        return True
    last = page[first].prev  # the new tail
    page[tail].next = head
    page[head].prev = tail
    page[last].next = NONE
    page[first].prev = NONE
    which.head, which.tail = first, last
    return True


@jit
def _run_section(
    handle: int, cpu: int, zone: int, order: int, migratetype: int, alloc_flags: int, op: int, empty: bool
) -> int:
    """Do what an allocation does under the zone lock: refill an empty list, or take a block from the buddy lists."""
    if op == B:
        return take_buddy(handle, zone, cpu, order, migratetype, alloc_flags)
    if empty:
        refill(handle, zone, cpu, order, migratetype, alloc_flags)
    return NONE


@jit_allocating
def _replay(
    handle: int, map_handle: int, op: NDArray[np.int64], cpu: NDArray[np.int64], zone: NDArray[np.int64],
    order: NDArray[np.int64], kind: NDArray[np.int64], pfn: NDArray[np.int64], gfp: NDArray[np.int64],
    alloc_flags: NDArray[np.int64], aux: NDArray[np.int64], causes: NDArray[np.int64], captures: NDArray[np.int64],
    exact: NDArray[np.int64], predicted: NDArray[np.int64],
) -> int:  # fmt: skip
    settings, page = config(handle), pages(handle)
    cpus = settings.cpus
    done = np.full(cpus, NO_SECTION)  # allocation whose section has been carried out
    taken = np.full(cpus, NONE)  # block that a section took from the buddy lists
    read = np.zeros(cpus, np.int64)  # log entries of the section that have been compared
    section_zone = np.full(cpus, NONE)
    drain_pages = np.zeros(cpus, np.int64)
    drain_index = np.zeros(cpus, np.int64)
    drain_of = np.zeros(cpus, np.int64)  # whose lists the CPU drains
    split_first, split_count = np.zeros(cpus, np.int64), np.zeros(cpus, np.int64)
    entries = np.zeros((cpus, 4096, 8), np.int64)
    held = np.zeros(cpus, np.int64)
    failed_zone = np.full(cpus, NONE)
    last_table = np.full(cpus, NONE)
    for i in range(len(op)):
        what, c, z, o, t, p = op[i], cpu[i], zone[i], order[i], kind[i], pfn[i]
        cause = causes[i]
        if cause != NO_SECTION and done[c] != cause:
            # First event of a section: decide the zone, then refill or take, as the kernel did under its lock.
            request = op[cause]
            wanted, wanted_type, flags = order[cause], kind[cause], alloc_flags[cause]
            chosen = failed_zone[c]
            if chosen == NONE:
                bulk = aux[cause, 0] if request == K else 0
                if (
                    request == K
                    and done[c] != NO_SECTION
                    and op[done[c]] == K
                    and section_zone[c] != NONE
                    and _same_bulk(op, cpu, done[c], cause, c)
                ):
                    chosen = section_zone[c]
                else:
                    chosen = _zone_for(handle, wanted, gfp[cause], flags, bulk)
            section_zone[c] = chosen
            done[c] = cause
            if chosen == NONE:
                predicted[0], predicted[1] = request, NONE
                return i
            settings.log_used = 0
            settings.movable_next, settings.movable_end = 0, 0
            given = movable_given(handle)
            for j in range(i, cause):
                if op[j] == Y and cpu[j] == c:
                    given[settings.movable_end] = aux[j, 1]
                    settings.movable_end += 1
            if request == A:
                per_cpu(handle, chosen, c).free_factor >>= 1
            if request == B:
                taken[c] = take_buddy(handle, chosen, c, wanted, wanted_type, flags)
            elif lists(handle)[per_cpu_list(handle, chosen, c, list_index(wanted, wanted_type))].head == NONE:
                refill(handle, chosen, c, wanted, wanted_type, flags)
            held[c], read[c] = settings.log_used, 0
            noted = log(handle)
            for j in range(settings.log_used):
                e = noted[j]
                entries[c, j, 0], entries[c, j, 1], entries[c, j, 2], entries[c, j, 3] = (
                    e.kind,
                    e.zone,
                    e.order,
                    e.type,
                )
                entries[c, j, 4], entries[c, j, 5], entries[c, j, 6], entries[c, j, 7] = (
                    e.pfn,
                    e.aux[0],
                    e.aux[1],
                    e.aux[2],
                )
        if what == R_REFILL or what == X or what == Y:
            if read[c] >= held[c]:
                predicted[0] = 0
                return i
            e8 = entries[c, read[c]]
            predicted[:8] = e8
            read[c] += 1
            same = e8[0] == what and e8[1] == z
            if what == R_REFILL:
                same = same and e8[2] == o and e8[3] == t and e8[5] == aux[i, 0]
            elif what == X:
                same = same and e8[2] == o and e8[3] == t and e8[4] == p
                same = same and e8[5] == aux[i, 0] and e8[6] == aux[i, 1] and e8[7] == aux[i, 2]
            else:
                same = same and e8[5] == aux[i, 0] and e8[6] == aux[i, 1] and e8[7] == aux[i, 2]
            if not same:
                return i
        elif what == A or what == K or what == B:
            if read[c] != held[c]:
                predicted[:8] = entries[c, read[c]]
                return i
            chosen = section_zone[c]
            got = taken[c] if what == B else take_first(handle, chosen, c, o, t)
            predicted[0], predicted[1], predicted[2], predicted[3], predicted[4] = what, chosen, o, t, got
            if chosen != z or (got if got != NONE else 0) != p:
                return i
            failed_zone[c] = chosen if got == NONE and what == A else NONE
            last_table[c] = got
        elif what == F_TO_PCP or what == G:
            remembered = block_type(handle, p)
            listed_as = remembered if remembered < HIGHATOMIC else MOVABLE
            where = zone_of(handle, p)
            predicted[0], predicted[1], predicted[2], predicted[3], predicted[4], predicted[5] = (
                what,
                where,
                o,
                listed_as,
                p,
                remembered,
            )
            if where != z or listed_as != t or remembered != aux[i, 0]:
                return i
            page[p].flags &= 2
            drain_of[c], drain_pages[c] = c, put(handle, z, c, p, o, remembered)
            drain_index[c] = list_index(o, listed_as)
            if drain_pages[c] > 0 and not _drain_follows(op, cpu, i, c):
                predicted[0], predicted[5] = D_DRAIN, drain_pages[c]
                return i
        elif what == D_DRAIN:
            predicted[0], predicted[1], predicted[2], predicted[5] = what, z, drain_index[c], drain_pages[c]
            if drain_pages[c] != aux[i, 0] or drain_index[c] != o:
                return i
            if captures[i] != NO_SECTION:
                settings.capture_pfn, settings.capture_order = pfn[captures[i]], order[captures[i]]
            drain(handle, z, drain_of[c], drain_pages[c], drain_index[c], c)
            settings.capture_pfn = NONE
            drain_pages[c] = 0
        elif what == D_ALL:
            # The CPU whose lists are drained is in the pfn column; the drain itself follows as an event of its own.
            drain_of[c], drain_pages[c], drain_index[c] = p, aux[i, 0], 0
        elif what == F:
            if captures[i] != NO_SECTION:
                settings.capture_pfn, settings.capture_order = pfn[captures[i]], order[captures[i]]
            remembered = block_type(handle, p)
            predicted[0], predicted[3] = what, remembered
            if remembered != t:
                return i
            free_block(handle, z, c, p, o, remembered, aux[i, 0] == 1)
            settings.capture_pfn = NONE
        elif what == UNMAP:
            split_first[c], split_count[c] = p, aux[i, 0]
            change_presence(map_handle, handle, p, aux[i, 0], False)
        elif what == MAP:
            split_first[c], split_count[c] = p, aux[i, 0]
            change_presence(map_handle, handle, p, aux[i, 0], True)
        elif what == SPLIT:
            first, level = next_split(map_handle, split_first[c], split_count[c])
            predicted[0], predicted[2], predicted[4], predicted[5] = what, level, last_table[c], first
            if level != o or last_table[c] != p or first != aux[i, 0]:
                return i
            split(map_handle, first, level, p)
        elif what == ROTATE:
            if not _rotate(handle, z, o, t, p, aux[i, 0] == 1):
                predicted[0] = what
                return i
        elif what == ISOLATED_OP:
            if page[p].state != FREE or page[p].order != o:
                predicted[0], predicted[2] = what, page[p].order
                return i
            isolate(handle, z, c, p, o)
        elif what == PUT_BACK:
            free_block(handle, z, c, p, o, t, True)
        elif what == FOLD:
            zones(handle)[z].free_pages += per_cpu(handle, z, c).free_pages_diff
            per_cpu(handle, z, c).free_pages_diff = 0
        elif what == UNBOOST:
            zones(handle)[z].boost -= min(zones(handle)[z].boost, aux[i, 0])
        elif what == RECLAIM:
            zones(handle)[z].reclaim_active = aux[i, 0]
        elif what == H:
            set_aside(handle, z, p)
        elif what == U:
            give_back(handle, z, p, t)
        exact[what] += 1
    return len(op)


@jit
def _drain_follows(op: NDArray[np.int64], cpu: NDArray[np.int64], i: int, c: int) -> bool:
    """Whether the next event of the CPU is a drain."""
    for j in range(i + 1, len(op)):
        if cpu[j] == c:
            return bool(op[j] == D_DRAIN)
    return False


@jit
def _same_bulk(op: NDArray[np.int64], cpu: NDArray[np.int64], before: int, cause: int, c: int) -> bool:
    """Whether two bulk pages belong to one request: no other event of the CPU lies between them, but its refills."""
    for j in range(before + 1, cause):
        if cpu[j] == c and op[j] != R_REFILL and op[j] != X and op[j] != Y:
            return False
    return True
