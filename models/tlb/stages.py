"""The exact model's loop over a trace: blocks of accesses pass level 1, level 2 and the walker as lists of entries."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.tlb.compiled import inlined, unmanaged
from models.tlb.exact_compiled import mix64, visit

__all__ = ["ALL", "BLOCK", "ROWS", "run"]

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

# No level's answer depends on what a later one holds, so each sees all entries of a block before the next does.
# Those that missed are gathered without a branch: hits and misses alternate too irregularly to be predicted.
BLOCK = 1024
# Rows of the block, by place in it: the access's place in the trace; key; guest's page size; key for the array that
# is asked; which one that is; whether it missed; entries that a walk reads in the guest's and the host's tables.
AT, KEY, GUEST, ASKED, HOLDER, MISSED, READ, READ_HOST = range(8)
# Lists of places: all of the block; those that still miss; those that one array is asked for.
ALL, LEFT, MEMBERS = range(8, 11)
ROWS = 11
# Bit of the entries that no array holds.
NONE = 63
uintp = np.uintp
int64: type[int] = np.int64  # type: ignore[assignment]


@inlined
def _holder(level: int, size: int, number: int, route: Ints) -> int:
    """Return the array that may hold page ``number`` at a level; -1: none."""
    one, other = route[uintp(level), uintp(size), uintp(0)], route[uintp(level), uintp(size), uintp(1)]
    odd = one != other and mix64(np.uint64(number)) & np.uint64(1) == np.uint64(1)
    return int64(other if odd else one)


@inlined
def _gather(count: int, members: Ints, missed: Ints, left: Ints) -> int:
    """Write those of ``members`` that missed to ``left``, in order, and return their number."""
    number = 0
    for t in range(count):
        j = members[uintp(t)]
        left[uintp(number)] = j
        number += missed[uintp(j)]
    return number


@inlined
def _move(count: int, who: Ints, key: Ints, counters: Ints, source: int, target: int) -> None:
    """Count entries of ``who``, by size, at ``target`` and no longer at ``source``."""
    large = 0
    huge = 0
    for t in range(count):
        kind = key[uintp(who[uintp(t)])] & 3
        large += int64(kind == 1)
        huge += int64(kind == 2)
    moved = (count - large - huge, large, huge)
    for size in range(3):
        counters[source + size] -= moved[size]
        counters[target + size] += moved[size]


@unmanaged
def _ask(
    used: int, count: int, who: Ints, asked: Ints, holder: Ints, missed: Ints, members: Ints, arrays: Ints,
    state: Ints, seed: np.uint64,
) -> None:  # fmt: skip
    """Let each array of ``used`` (a bit each; one more for "none") see the entries that it may hold."""
    for array in range(arrays.shape[0]):
        if used == 1 << array:
            visit(array, count, who, asked, missed, arrays, state, seed)
        elif used >> array & 1:
            number = 0
            for t in range(count):
                j = who[uintp(t)]
                members[uintp(number)] = j
                number += int64(holder[uintp(j)] == array)
            visit(array, number, members, asked, missed, arrays, state, seed)


@unmanaged
def _read_tables(
    dimension: int, count: int, who: Ints, pages: Ints, at: Ints, size: Ints, asked: Ints, missed: Ints, members: Ints,
    read: Ints, psc: Ints, arrays: Ints, state: Ints,
) -> None:  # fmt: skip
    """Write how many table entries each walk reads; the paging-structure caches get the upper ones."""
    for which in range(3):
        cache = psc[uintp(dimension), uintp(which)]
        number = 0
        for t in range(count):
            j = who[uintp(t)]
            members[uintp(number)] = j
            number += missed[uintp(j)] & int64(size[uintp(j)] <= which)
        if cache >= 0:
            for t in range(number):
                j = uintp(members[uintp(t)])
                asked[j] = pages[uintp(at[j])] >> (9 * (which + 1))
            visit(cache, number, members, asked, missed, arrays, state, np.uint64(0))
        for t in range(number):
            j = uintp(members[uintp(t)])
            read[j] += missed[j]


@unmanaged
def run(
    pages: Ints, table: Bytes, codes: Bytes, broken: Flags, arrays: Ints, psc: Ints, route: Ints,
    l2_shift: Ints, l2_size: Ints, plan: Ints, timing: Ints, state: Ints, keys: npt.NDArray[np.uint64],
    free_at: Ints, clock: Ints, counters: Ints, block: Ints,
) -> None:  # fmt: skip
    """Feed ``pages`` to the arrays and add to ``counters``; the arguments are `ExactTlb`'s attributes."""
    group_shift, host = plan[0], plan[1]
    tabled = codes.size == 0
    timed = timing[0] + timing[1] + timing[2] > 0
    seed = keys[0]
    at, key_of, guest_of, asked, holder, missed = (
        block[AT], block[KEY], block[GUEST], block[ASKED], block[HOLDER], block[MISSED],
    )  # fmt: skip
    read, read_host, everyone, left, members = block[READ], block[READ_HOST], block[ALL], block[LEFT], block[MEMBERS]
    last_key = int64(-1)
    i = int64(0)
    while i < pages.size:
        # Level 1 is asked for what differs from the access before: the most recent entry of an array hits.
        count = int64(0)
        used = int64(0)
        large = int64(0)
        huge = int64(0)
        begin = i
        while i < pages.size and count < BLOCK:
            first = i
            page = pages[uintp(i)]
            i += 1
            while tabled and i < pages.size and pages[uintp(i)] == page:
                i += 1
            guest = int64(table[uintp(page >> 9)]) if tabled else int64(codes[uintp(first)])
            single = guest == 3
            if single:
                guest = int64(0)
            size = guest if host < 0 or guest < host else int64(host)
            number = page >> (9 * size)
            kind = size
            if group_shift > 0 and size == 0 and not single and not (broken.size and broken[page >> group_shift]):
                number = page >> group_shift
                kind = int64(3)
            key = (number << 2) | kind
            large += (i - first) * int64(size == 1)
            huge += (i - first) * int64(size == 2)
            if key == last_key:
                continue
            last_key = key
            at[uintp(count)] = first
            key_of[uintp(count)] = key
            guest_of[uintp(count)] = guest
            array = _holder(0, size, number, route)
            holder[uintp(count)] = array
            used |= int64(1) << array
            count += 1
        counters[0] += i - begin - large - huge
        counters[1] += large
        counters[2] += huge
        _ask(used, count, everyone, key_of, holder, missed, members, arrays, state, seed)
        count = _gather(count, everyone, missed, left)
        _move(count, left, key_of, counters, 0, 3)
        used = int64(0)
        for t in range(count):
            j = left[uintp(t)]
            key = key_of[uintp(j)]
            size = key & 3 if key & 3 < 3 else int64(0)
            number = key >> 2
            if l2_size[uintp(size)] != size:
                number = pages[uintp(at[uintp(j)])] >> l2_shift[uintp(size)]
                key = (number << 2) | l2_size[uintp(size)]
            array = _holder(1, size, number, route)
            asked[uintp(j)] = key
            holder[uintp(j)] = array
            used |= int64(1) << (array & NONE)
        # An entry that level 2 does not hold has missed already.
        _ask(used, count, left, asked, holder, missed, members, arrays, state, seed)
        count = _gather(count, left, missed, left)
        _move(count, left, key_of, counters, 3, 6)
        for t in range(count):
            read[uintp(left[uintp(t)])] = 1
        _read_tables(0, count, left, pages, at, guest_of, asked, missed, members, read, psc, arrays, state)
        if host >= 0:
            for t in range(count):
                j = uintp(left[uintp(t)])
                guest_of[j], missed[j], read_host[j] = host, 1, 1
            _read_tables(1, count, left, pages, at, guest_of, asked, missed, members, read_host, psc, arrays, state)
            for t in range(count):
                j = uintp(left[uintp(t)])
                read[j] = (read[j] + 1) * (read_host[j] + 1) - 1
        for t in range(count):
            counters[9] += read[uintp(left[uintp(t)])]
        if timed:
            _occupy_walkers(count, left, at, read, timing, free_at, clock, counters)
    clock[0] += timing[0] * pages.size


@unmanaged
def _occupy_walkers(
    count: int, walks: Ints, at: Ints, read: Ints, timing: Ints, free_at: Ints, clock: Ints, counters: Ints
) -> None:
    """Give each walk to the walker that is free first, and let its access wait for it."""
    for t in range(count):
        j = uintp(walks[uintp(t)])
        cycles = timing[1] + timing[2] * read[j]
        walker = 0
        for other in range(1, free_at.size):
            if free_at[other] < free_at[walker]:
                walker = other
        now = clock[0] + timing[0] * at[j]
        wait = max(free_at[walker] - now, 0)
        clock[0] += wait
        free_at[walker] = now + wait + cycles
        counters[10] += cycles
        counters[11] += wait
