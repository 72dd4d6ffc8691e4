"""Who holds which page, read off the kernel's books of holders, slabs, tables and what waits to be freed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from models.kernel.areas import PINNED_TABLE
from models.kernel.deferral import PAGES
from models.kernel.kernel import Kernel
from models.kernel.layout import State, page_at
from models.kernel.pages.layout import NONE
from models.kernel.program_steps import SCRATCH
from models.kernel.records import CHAINS, DEFERRED_SLOTS, MAX_TASKS, OTHER_PAGES, TASK_PAGES
from tests.models.kernel.machines import PageCensus, tables


def chain(state: State, holder: int, kind: int) -> list[int]:
    """First frames of the blocks on a holder's chain, read in both directions.

    Raises:
        AssertionError: the links do not agree.
    """
    record: Any = state.chains[holder * CHAINS + kind]
    page, pfns = state.pages.pages, []
    before, pfn = NONE, int(record["head"])
    for _ in range(int(record["blocks"])):
        assert int(page["prev"][pfn]) == before
        assert int(page["owner"][pfn]) == holder
        pfns.append(pfn)
        before, pfn = pfn, int(page["next"][pfn])
    assert not pfns or int(record["tail"]) == before
    return pfns


def held_by(state: State, holder: int) -> list[int]:
    """First frames of all blocks that a holder has."""
    slots = TASK_PAGES if holder < MAX_TASKS else OTHER_PAGES
    kept = [int(state.held_pages[page_at(holder, slot)]) for slot in range(slots)]
    return [pfn for kind in range(CHAINS) for pfn in chain(state, holder, kind)] + [pfn for pfn in kept if pfn > 0]


def holders_of(kernel: Kernel) -> Iterator[int]:
    """Holders in use: tasks, their mappings, files and pipes, chunks of pools, and the kernel's scratch holder."""
    yield SCRATCH
    files = {}
    for task in kernel.tasks:
        yield task.holder
        if task.pipes:
            yield task.pipes
        files.update({file.holder: file for file in task.files})
        for mapping in task.mappings:
            yield mapping.holder
            if mapping.file is not None:
                files[mapping.file.holder] = mapping.file
    for holder, file in files.items():
        yield holder
        if file.pool is not None:
            yield from (chunk_holder for _, chunk_holder, _ in file.pool.chunks)


def pool_pages(kernel: Kernel) -> Iterator[int]:
    """Pages of the chunks of all pools."""
    files = {file for task in kernel.tasks for file in [*task.files, *(m.file for m in task.mappings if m.file)]}
    for file in files:
        if file.pool is not None:
            for first, *_ in file.pool.chunks:
                yield from range(first, first + 512)


def waiting_pages(state: State) -> Iterator[int]:
    """First frames of the blocks that wait for a grace period or a worker."""
    for ring in range(2):
        added, done = state.deferred_ends[2 * ring : 2 * ring + 2].tolist()
        for position in range(done, added):
            entry: Any = state.deferred[ring * DEFERRED_SLOTS + position % DEFERRED_SLOTS]
            if int(entry["what"]) == PAGES:
                yield int(entry["number"])


def slab_pages(state: State) -> Iterator[int]:
    """First frames of all slabs in use."""
    used, given = state.slab_ids[:2].tolist()
    unused = set(state.slab_ids[2 : 2 + given].tolist())
    pfns = (int(state.slabs[number]["pfn"]) for number in range(used) if number not in unused)
    yield from (pfn for pfn in pfns if pfn != NONE)  # a slab from before the start has no pages that are known


def shared_tables(kernel: Kernel) -> Iterator[int]:
    """Page tables that mappings share, while some mapping needs them."""
    ends = {number for task in kernel.tasks for mapping in task.mappings for end in mapping.tables for number in end}
    yield from (int(pfn) for pfn in kernel.state.tables[sorted(ends - {NONE, PINNED_TABLE})] if pfn >= 0)


def check_owners(kernel: Kernel, census: PageCensus, others: Iterable[int] = (), kernels_own: int = 0) -> None:
    """Check that every block that was handed out is held exactly once.

    Args:
        kernel: whose books are read.
        census: where the allocator says the pages are.
        others: first frames of blocks that the test itself holds.
        kernels_own: blocks that the kernel has taken for itself, for good.

    Raises:
        AssertionError: a block is held twice, or held and free, or handed out and held by nobody.
    """
    state = kernel.state
    held: dict[int, str] = {}

    def claim(pfns: Iterable[int], who: str) -> None:
        for pfn in pfns:
            assert pfn not in held, f"page {pfn} is held by {held[pfn]} and by {who}"
            assert pfn in census.used_blocks, f"page {pfn} is held by {who} and not handed out"
            held[pfn] = who

    claim(others, "the test")
    for holder in holders_of(kernel):
        claim(held_by(state, holder), f"holder {holder}")
    claim(pool_pages(kernel), "a pool")
    claim(slab_pages(state), "a slab cache")
    claim(tables(state.direct_map), "the direct map")
    claim(waiting_pages(state), "the deferred")
    claim(shared_tables(kernel), "an address space")
    nobody = census.used_blocks.keys() - held.keys()
    assert len(nobody) == kernels_own, f"pages {sorted(nobody)[:8]} are handed out and held by nobody"
