"""A task's address space as far as it takes pages: page tables, ordinary pages, unmapping [6.1].

A page table is taken with the first page that needs it: a PTE table per 2 MiB, a PMD per 1 GiB, a PUD per 512 GiB.
Where a mapping begins or ends inside such a range, it shares the table with its neighbours (see `areas`); all others
are its own and hang on its chain.
"""

from typing import Final

from models.kernel.areas import LEVELS, SHIFTS
from models.kernel.chains import append, give_chain, join, prepend, take
from models.kernel.layout import chains, charge, costs, counts, holders, page_handle, tables
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.fallback import LRU
from models.kernel.pages.layout import MOVABLE, NONE, UNMOVABLE, pages
from models.kernel.records import ANON, CHAINS, PAGE_TABLES
from simcore.compiled import jit

__all__ = [
    "ALL_BATCHES", "GATHER_BUNDLE", "GATHER_PAGES", "adopt_tables", "cover", "end_unmapping", "gather", "give_gathered",
    "place", "touch_anon", "touch_table", "unmap",
]  # fmt: skip

GATHER_BUNDLE: Final = 8
"""Pages that an unmapping collects before it takes a page to note more (`MMU_GATHER_BUNDLE`)."""
GATHER_PAGES: Final = 510
"""Pages that such a page notes (`MAX_GATHER_BATCH`)."""
GATHER_LIMIT: Final = 19
"""Such pages at the most, before what was collected is freed (`MAX_GATHER_BATCH_COUNT`)."""
ALL_BATCHES: Final = 1 << 62
"""For `give_gathered`: not to stop before all is freed."""
TABLE_PAGES: Final = 512
_HIGHEST: Final = LEVELS - 1


@jit
def place(
    handle: int, task: int, mapping: int, start: int, count: int, first: tuple[int, ...], last: tuple[int, ...]
) -> None:
    """Put a mapping of `count` pages at a page of a task's address space, with its shared tables by level."""
    record = holders(handle)[mapping]
    record.task, record.start, record.pages, record.present = task, start, count, 0
    for level in range(LEVELS):
        record.covered[level] = NONE
        record.first_table[level], record.last_table[level] = first[level], last[level]


@jit
def _shared_table(handle: int, mapping: int, level: int, unit: int) -> int:
    """Number of the shared table that covers a unit of a mapping, or NONE when the mapping has it for itself."""
    record = holders(handle)[mapping]
    if unit == record.start >> SHIFTS[level]:
        return int(record.first_table[level])
    if unit == (record.start + record.pages - 1) >> SHIFTS[level]:
        return int(record.last_table[level])
    return NONE


@jit
def cover(handle: int, cpu: int, node: int, mapping: int, index: int) -> bool:
    """Take the page tables that a page of a mapping needs and that are not there, highest level first.

    A mapping's pages are touched in ascending order.

    Returns:
        Whether there was memory for them.
    """
    record = holders(handle)[mapping]
    address = record.start + index
    if address >> SHIFTS[0] == record.covered[0]:
        return True
    for step in range(LEVELS):
        level = _HIGHEST - step
        unit = address >> SHIFTS[level]
        if unit == record.covered[level]:
            continue
        shared = _shared_table(handle, mapping, level, unit)
        if shared == NONE or tables(handle)[shared] == NONE:
            pfn = take(handle, cpu, node, 0, UNMOVABLE)
            if pfn == NONE:
                return False
            charge(handle).cpu_ns += costs(handle).page_table
            if shared == NONE:
                append(handle, mapping, PAGE_TABLES, pfn, 0)
            else:
                tables(handle)[shared] = pfn
                pages(page_handle(handle))[pfn].owner = record.task
        record.covered[level] = unit
    return True


@jit
def touch_anon(handle: int, cpu: int, node: int, mapping: int, count: int) -> int:
    """Touch the next pages of an anonymous mapping, one movable page each.

    Returns:
        Pages got; fewer than `count` when memory ran out.
    """
    record = holders(handle)[mapping]
    for done in range(count):
        if not cover(handle, cpu, node, mapping, record.present):
            return done
        pfn = take(handle, cpu, node, 0, MOVABLE)
        if pfn == NONE:
            return done
        append(handle, mapping, ANON, pfn, LRU)
        record.present += 1
        charge(handle).cpu_ns += costs(handle).page_fault
        counts(handle).faults += 1
    return count


@jit
def touch_table(handle: int, cpu: int, node: int, mapping: int, count: int) -> int:
    """Read the zero page at the next 2 MiB steps of a mapping: takes a page table each, and no page.

    Returns:
        Tables got; fewer than `count` when memory ran out.
    """
    record = holders(handle)[mapping]
    for done in range(count):
        if not cover(handle, cpu, node, mapping, record.present * TABLE_PAGES):
            return done
        record.present += 1
        charge(handle).cpu_ns += costs(handle).read_fault
        counts(handle).faults += 1
    return count


@jit
def give_gathered(handle: int, cpu: int, mapping: int, given: int, batches: int) -> int:
    """Free some of what an unmapping has gathered, in batches, each last page first (`tlb_batch_pages_flush`).

    Args:
        given: pages that it has freed already.
        batches: after how many to stop; after each the kernel asks whether to give way.

    Returns:
        Pages freed.
    """
    chain, freed = chains(handle)[mapping * CHAINS + ANON], 0
    for _ in range(batches):
        if chain.blocks == 0:
            break
        begins = (given + freed) % (GATHER_BUNDLE + GATHER_LIMIT * GATHER_PAGES) == 0
        size = GATHER_BUNDLE if begins else GATHER_PAGES
        freed += give_chain(handle, cpu, mapping, ANON, size, size, False)
    charge(handle).cpu_ns += costs(handle).free_page * freed
    return freed


@jit
def _most_per_table(start: int, count: int) -> int:
    """Most pages of a range that lie under one PTE table: what a file's unmapping collects before it flushes."""
    if count >= 2 * TABLE_PAGES:
        return TABLE_PAGES
    first = min(count, TABLE_PAGES - start % TABLE_PAGES)
    return max(first, min(TABLE_PAGES, count - first))


@jit
def adopt_tables(handle: int, mapping: int, onto: int, gone: int) -> None:
    """Put a mapping's shared tables that nobody else needs on a chain; `gone` has a bit for each of its six."""
    record, shared = holders(handle)[mapping], tables(handle)
    for level in range(LEVELS):
        for end in range(2):
            if not gone >> (2 * level + end) & 1:
                continue
            number = record.last_table[level] if end else record.first_table[level]
            pfn = shared[number]
            if pfn < 0:
                continue
            shared[number] = NONE
            if end or onto != mapping:
                append(handle, onto, PAGE_TABLES, pfn, 0)
            else:
                prepend(handle, onto, PAGE_TABLES, pfn)


@jit
def gather(handle: int, cpu: int, node: int, mapping: int, file_pages: int, gone: int) -> int:
    """Gather what an unmapping frees, a mapping's ordinary pages and page tables, on its chain of ordinary pages.

    Args:
        file_pages: pages of a file that were mapped; they stay with the file. Being dirty and shared, they make the
            unmapping flush at the end of each PTE table.
        gone: shared tables that no other mapping needs: bits 2 * level (the first) and 2 * level + 1 (the last).

    Returns:
        The first of the pages that note what is to be freed, or NONE.
    """
    store = page_handle(handle)
    record = holders(handle)[mapping]
    listed = chains(handle)
    # Of a table that it shares with others an unmapping looks at its own entries only.
    charge(handle).cpu_ns += costs(handle).scan_table * listed[mapping * CHAINS + PAGE_TABLES].blocks
    adopt_tables(handle, mapping, mapping, gone)
    noted = max(
        listed[mapping * CHAINS + ANON].blocks + listed[mapping * CHAINS + PAGE_TABLES].blocks,
        _most_per_table(record.start, file_pages),
    )
    wanted = 0
    if noted >= GATHER_BUNDLE:
        wanted = min(GATHER_LIMIT, 1 + (noted - GATHER_BUNDLE) // GATHER_PAGES)
    first, last = NONE, NONE
    for _ in range(wanted):
        pfn = take(handle, cpu, node, 0, UNMOVABLE)
        if pfn == NONE:
            break
        pages(store)[pfn].next = NONE
        if first == NONE:
            first = pfn
        else:
            pages(store)[last].next = pfn
        last = pfn
    join(handle, mapping, ANON, PAGE_TABLES)
    return int(first)


@jit
def end_unmapping(handle: int, cpu: int, mapping: int, first: int) -> None:
    """Free the pages that noted what was to be freed, when that is done."""
    store, record = page_handle(handle), holders(handle)[mapping]
    while first != NONE:
        following = pages(store)[first].next
        free_pages(store, cpu, first, 0)
        first = following
    record.present = 0
    record.pages = 0


@jit
def unmap(handle: int, cpu: int, node: int, mapping: int, file_pages: int, gone: int) -> None:
    """Unmap a mapping at once; see `gather`."""
    first = gather(handle, cpu, node, mapping, file_pages, gone)
    give_gathered(handle, cpu, mapping, 0, ALL_BATCHES)
    end_unmapping(handle, cpu, mapping, first)
