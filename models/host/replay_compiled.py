"""The walk through an event stream, compiled: each event carried out by the model's allocator, and compared.

A section under the zone lock is carried out at the first event that tells of it: a refill with its steals at the
steal, not at the allocation that follows, since another CPU's events may lie between.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.host.replay_order import NO_EVENT, drain_follows, next_type, same_bulk
from models.kernel.direct_map import change_presence, next_split, split
from models.kernel.pages.allocator import take_buddy
from models.kernel.pages.buddy import block_type, free_block, isolate, zone_of
from models.kernel.pages.layout import (
    FREE,
    HIGHATOMIC,
    MOVABLE,
    NONE,
    config,
    lists,
    log,
    movable_given,
    pages,
    per_cpu,
    zone_at,
    zones,
)  # fmt: skip
from models.kernel.pages.lists import per_cpu_list
from models.kernel.pages.percpu import drain, list_index, put, refill, take_first
from models.kernel.pages.reserve_highatomic import give_back, set_aside
from models.kernel.pages.rotation import rotate_free_list
from models.kernel.pages.watermark import REQUEST_ATOMIC, next_zone
from simcore.compiled import jit, jit_allocating

__all__ = ["replay_events"]

A, B, K, F_TO_PCP, G, F = ord("A"), ord("B"), ord("K"), ord("f"), ord("g"), ord("F")
R_REFILL, D_DRAIN, D_ALL, X, Y = ord("r"), ord("d"), ord("D"), ord("X"), ord("Y")
H, U, ISOLATED_OP, PUT_BACK, CAPTURED = ord("H"), ord("U"), ord("I"), ord("P"), ord("C")
SPLIT, UNMAP, MAP, ROTATE, FOLD, UNBOOST, RECLAIM = (ord(op) for op in "SmuLVWR")

GFP_DMA32: Final = 0x4
GFP_ATOMIC: Final = 0x200


@jit
def _zone_for(handle: int, order: int, gfp: int, alloc_flags: int, bulk_pages: int, after: int) -> int:
    """Zone that the kernel takes the block from: the first of the zonelist above its watermark.

    Args:
        after: zone that the same request has just failed in, whose successors are asked; NONE for a new request.
    """
    highest = 0 if gfp & GFP_DMA32 else config(handle).zones - 1
    if gfp & GFP_ATOMIC:
        alloc_flags |= REQUEST_ATOMIC
    position = 0
    if after != NONE:
        while zone_at(handle, 0, position) != after:
            position += 1
        position = next_zone(handle, 0, position + 1, order, alloc_flags, highest, bulk_pages)
    if after == NONE or position == NONE:
        position = next_zone(handle, 0, 0, order, alloc_flags, highest, bulk_pages)
    return int(zone_at(handle, 0, position)) if position != NONE else NONE


@jit_allocating
def replay_events(
    handle: int, map_handle: int, op: NDArray[np.int64], cpu: NDArray[np.int64], zone: NDArray[np.int64],
    order: NDArray[np.int64], kind: NDArray[np.int64], pfn: NDArray[np.int64], gfp: NDArray[np.int64],
    alloc_flags: NDArray[np.int64], aux: NDArray[np.int64], section_of: NDArray[np.int64], captured: NDArray[np.int64],
    exact: NDArray[np.int64], predicted: NDArray[np.int64],
) -> int:  # fmt: skip
    """Apply events, and return how many were applied, or the position of the first that is predicted wrongly.

    Args:
        handle: of the allocator.
        map_handle: of the direct map.
        op, cpu, zone, order, kind, pfn, gfp, alloc_flags, aux: the stream, in columns; ``aux`` int64[n, 3].
        section_of: int64[n], allocation that an event's section under the zone lock belongs to.
        captured: int64[n], allocation that takes the block which an event frees.
        exact: int64[128], raised by the events predicted exactly, by code.
        predicted: int64[8], set to what the model said last.
    """
    settings, page = config(handle), pages(handle)
    cpus = settings.cpus
    done = np.full(cpus, NO_EVENT)  # allocation whose section has been carried out
    taken = np.full(cpus, NONE)  # block that a section took from the buddy lists
    read = np.zeros(cpus, np.int64)  # log entries of the section that have been compared
    section_zone = np.full(cpus, NONE)
    drain_pages = np.zeros(cpus, np.int64)
    drain_index = np.zeros(cpus, np.int64)
    drain_of = np.zeros(cpus, np.int64)  # whose lists the CPU drains
    split_first, split_count = np.zeros(cpus, np.int64), np.zeros(cpus, np.int64)
    entries = np.zeros((cpus, 4096, 8), np.int64)
    held = np.zeros(cpus, np.int64)
    failed = np.full(cpus, NO_EVENT)  # attempt that got no block, with nothing of the CPU after it
    previous = np.full(cpus, NO_EVENT)  # event of the CPU
    last_table = np.full(cpus, NONE)
    for i in range(len(op)):
        what, c, z, o, t, p = op[i], cpu[i], zone[i], order[i], kind[i], pfn[i]
        cause = section_of[i]
        if cause != NO_EVENT and done[c] != cause:
            # First event of a section: decide the zone, then refill or take, as the kernel did under its lock.
            request = op[cause]
            wanted, wanted_type, flags = order[cause], kind[cause], alloc_flags[cause]
            bulk = aux[cause, 0] if request == K else 0
            last, retried = failed[c], NONE
            if last != NO_EVENT and previous[c] == last and order[last] == wanted and kind[last] == wanted_type:
                retried = section_zone[c] if alloc_flags[last] == flags else NONE
            if retried != NONE and op[last] == A and request == B:
                chosen = retried  # the buddy lists of the zone whose per-CPU list could not be refilled
            elif (
                request == K
                and done[c] != NO_EVENT
                and op[done[c]] == K
                and section_zone[c] != NONE
                and same_bulk(op, cpu, done[c], cause, c)
            ):
                chosen = section_zone[c]
            else:
                chosen = _zone_for(handle, wanted, gfp[cause], flags, bulk, retried)
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
            failed[c] = i if got == NONE else NO_EVENT
            last_table[c] = got
        elif what == F_TO_PCP or what == G:
            # Read before the CPU's lists are locked, so that another CPU may have changed the pageblock since.
            remembered = block_type(handle, p) if cpus == 1 else aux[i, 0]
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
            if drain_pages[c] > 0 and not drain_follows(op, cpu, i, c):
                predicted[0], predicted[5] = D_DRAIN, drain_pages[c]
                return i
        elif what == D_DRAIN:
            predicted[0], predicted[1], predicted[2], predicted[5] = what, z, drain_index[c], drain_pages[c]
            if drain_pages[c] != aux[i, 0] or drain_index[c] != o:
                return i
            if captured[i] != NO_EVENT:
                settings.capture_pfn, settings.capture_order = pfn[captured[i]], order[captured[i]]
            drain(handle, z, drain_of[c], drain_pages[c], drain_index[c], c)
            drain_pages[c] = 0
            if settings.capture_pfn != NONE:
                predicted[0] = what
                return int(captured[i])
        elif what == D_ALL:
            # The CPU whose lists are drained is in the pfn column; the drain itself follows as an event of its own.
            drain_of[c], drain_pages[c], drain_index[c] = p, aux[i, 0], 0
        elif what == F:
            if captured[i] != NO_EVENT:
                settings.capture_pfn, settings.capture_order = pfn[captured[i]], order[captured[i]]
            remembered = block_type(handle, p) if cpus == 1 else t
            predicted[0], predicted[3] = what, remembered
            if remembered != t:
                return i
            free_block(handle, z, c, p, o, remembered, aux[i, 0] == 1)
            if settings.capture_pfn != NONE:
                predicted[0] = what
                return int(captured[i])
        elif what == UNMAP:
            split_first[c], split_count[c] = p, aux[i, 0]
            change_presence(map_handle, handle, p, aux[i, 0], False)
        elif what == MAP:
            split_first[c], split_count[c] = p, aux[i, 0]
            change_presence(map_handle, handle, p, aux[i, 0], True)
        elif what == SPLIT:
            first, level = next_split(map_handle, split_first[c], split_count[c])
            predicted[0], predicted[2], predicted[4], predicted[5] = what, level, last_table[c], first
            # A region that begins outside memory is recorded as -1.
            if level != o or last_table[c] != p or (first != aux[i, 0] and aux[i, 0] != -1):
                return i
            split(map_handle, first, level, p)
        elif what == ROTATE:
            if not rotate_free_list(handle, z, o, t, p, aux[i, 0] == 1):
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
            # Where the type is the one it had, the request says which it gets.
            give_back(handle, z, p, t if t < HIGHATOMIC else next_type(op, cpu, kind, i, MOVABLE))
        previous[c] = i
        exact[what] += 1
    return len(op)
